/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What holds for the scheduler whatever comes: random VMs, loads, weights,
 * widths, policies and changes, checked after each event.  Each case prints its
 * seed; VGPU_TEST_SEED runs it first.
 */
#include "sched-sim.h"

#define MAX_VMS 24

static uint64_t seed;
static unsigned cases;

/* ---- random things ---- */

static SchedParams random_params(Sim *sim, double share_most)
{
    return (SchedParams){
        .share_ppm = (uint32_t)sim_random(sim, 10000, (uint64_t)(share_most * 1e6)),
        .priority = (SchedPriority)sim_random(sim, SCHED_PRIORITY_LOW, SCHED_PRIORITY_HIGH),
        .quantum_ns =
            sim_random(sim, 0, 1) ? 0 : sim_random(sim, SCHED_QUANTUM_MIN_NS, SCHED_QUANTUM_MAX_NS / 3),
        .width = (uint32_t)sim_random(sim, 1, sim->capacity),
    };
}

static SimLoad random_load(Sim *sim, SimKind kind)
{
    uint64_t longest = SIM_MS << sim_random(sim, 0, 4);

    return (SimLoad){ .kind = kind,
                      .batch_min = sim_random(sim, 10 * SIM_US, longest),
                      .batch_max = longest,
                      .period = sim_random(sim, SIM_MS / 10, 50 * SIM_MS),
                      .burst = (unsigned)sim_random(sim, 1, 10) };
}

static SimKind random_kind(Sim *sim)
{
    return (SimKind)sim_random(sim, SIM_IDLE, SIM_SLEEPY);
}

static uint64_t begin_case(const char *what, unsigned i)
{
    g_test_message("%s: VGPU_TEST_SEED=%" G_GUINT64_FORMAT, what, seed + i);
    return seed + i;
}

/* ---- changes at any time ---- */

static bool work_conserving(const Sim *sim)
{
    SchedPolicy policy = sched_policy(sim->sched);

    return policy == SCHED_BEST_EFFORT || policy == SCHED_EQUAL_SHARE;
}

static void check_holders(Sim *sim, void *opaque)
{
    const SimVm *oldest = *(SimVm **)opaque;
    uint32_t width = 0;
    unsigned told = 0;

    for (guint i = 0; i < sim->holders->len; i++) {
        const SimVm *vm = g_ptr_array_index(sim->holders, i);

        g_assert_true(sched_holds(vm->client));
        g_assert_false(sched_wants(vm->client));
        width += vm->params.width;
        told += vm->end != SCHED_NEVER;
        if (sched_policy(sim->sched) == SCHED_EXCLUSIVE && vm != oldest) {
            g_assert_cmpuint(vm->end, !=, SCHED_NEVER);
        }
        if (vm->end != SCHED_NEVER) {
            g_assert_cmpuint(vm->end, <=, sim->now + SCHED_QUANTUM_MAX_NS);
        }
    }
    g_assert_cmpuint(width, <=, sim->capacity);
    if (sim->wanting && work_conserving(sim)) { /* they get it now, or when something happens */
        g_assert_true(told || sched_next(sim->sched, sim->now) != SCHED_NEVER);
    }
}

static void change_something(Sim *sim, SimVm **oldest)
{
    SimVm *vm = g_ptr_array_index(sim->vms, sim_random(sim, 0, sim->vms->len - 1));
    SchedParams params = random_params(sim, 1);
    SimLoad load = random_load(sim, random_kind(sim));

    switch (sim_random(sim, 0, 5)) {
    case 0:
        sched_set_policy(sim->sched, (SchedPolicy)sim_random(sim, SCHED_BEST_EFFORT, SCHED_EXCLUSIVE),
                         sim->now);
        break;
    case 1:
    case 2:
        params.width = vm->params.width;
        vm->params = params;
        sched_set_params(sim->sched, vm->client, &params, sim->now);
        break;
    case 3:
        if (sim->vms->len < MAX_VMS) {
            sim_add(sim, &params, &load, false);
        }
        break;
    case 4:
        if (sim->vms->len > 1 && vm != *oldest) {
            sim_remove(sim, vm);
        }
        break;
    default:
        if (sim->vms->len > 1) { /* the oldest; who is the next is not known here: put a new one at the end */
            sim->check = NULL;
            sim_remove(sim, *oldest);
            while (sim->vms->len) {
                sim_remove(sim, g_ptr_array_index(sim->vms, 0));
            }
            *oldest = sim_add(sim, &params, &load, false);
            for (unsigned i = 0; i < 4; i++) {
                params = random_params(sim, 1);
                load = random_load(sim, random_kind(sim));
                sim_add(sim, &params, &load, false);
            }
            sim->check = check_holders;
        }
        break;
    }
    sim_settle(sim);
}

/* Whatever was changed before: everybody that waits gets its turn. */
static void assert_nobody_starves(Sim *sim)
{
    uint64_t grants[MAX_VMS], wanted_at[MAX_VMS], rounds = 0;
    bool wanted[MAX_VMS];

    sched_set_policy(sim->sched, SCHED_EQUAL_SHARE, sim->now);
    sim_settle(sim);
    for (guint i = 0; i < sim->vms->len; i++) {
        const SimVm *vm = g_ptr_array_index(sim->vms, i);

        grants[i] = vm->grants;
        wanted[i] = sched_wants(vm->client);
        wanted_at[i] = vm->wanted_at;
        rounds += 3 * (sched_quantum(sim->sched, vm->client) + vm->load.batch_max);
    }
    sim_run(sim, sim->now + 2 * rounds);
    for (guint i = 0; i < sim->vms->len; i++) {
        const SimVm *vm = g_ptr_array_index(sim->vms, i);

        g_assert_true(!wanted[i] || vm->grants > grants[i] || vm->wanted_at != wanted_at[i] ||
                      !sched_wants(vm->client));
    }
}

static void test_changes(void)
{
    for (unsigned i = 0; i < cases; i++) {
        g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 1, begin_case("changes", i));
        SimVm *oldest = NULL;

        sched_free(sim->sched);
        sim->capacity = (uint32_t)sim_random(sim, 1, 8);
        sim->sched =
            sched_new((SchedPolicy)sim_random(sim, SCHED_BEST_EFFORT, SCHED_EXCLUSIVE), sim->capacity);
        for (uint64_t n = sim_random(sim, 1, 12); n; n--) {
            SchedParams params = random_params(sim, 1);
            SimLoad load = random_load(sim, random_kind(sim));
            SimVm *vm = sim_add(sim, &params, &load, false);

            oldest = oldest ? oldest : vm;
        }
        sim->check = check_holders;
        sim->opaque = &oldest;
        for (int k = 0; k < 100; k++) {
            sim_run(sim, sim->now + sim_random(sim, 1, 50 * SIM_MS));
            change_something(sim, &oldest);
        }
        assert_nobody_starves(sim);
    }
}

/* ---- shares ---- */

/* The longest turn and the largest start, by weight. */
static double leeway(const Sim *sim, const SimVm *vm)
{
    uint64_t quantum = sched_quantum(sim->sched, vm->client);

    return (double)(3 * quantum + vm->load.batch_max + sim->handover) / vm->params.share_ppm;
}

/* Of those that always have work none is ahead of another by more than a turn of each. */
static void check_shares(Sim *sim, void *opaque)
{
    double ahead = -G_MAXDOUBLE, behind = G_MAXDOUBLE;

    for (guint i = 0; i < sim->vms->len; i++) {
        const SimVm *vm = g_ptr_array_index(sim->vms, i);
        double had = (double)sched_used(vm->client) / vm->params.share_ppm, turn = leeway(sim, vm);

        if (vm->load.kind == SIM_SATURATING) {
            ahead = MAX(ahead, had - turn);
            behind = MIN(behind, had + turn);
        }
    }
    g_assert_cmpfloat(ahead, <=, behind);
}

static void test_shares(void)
{
    for (unsigned i = 0; i < cases; i++) {
        g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 1, begin_case("shares", i));
        unsigned saturated = (unsigned)sim_random(sim, 2, 8), others = (unsigned)sim_random(sim, 0, 8);

        for (unsigned k = 0; k < saturated + others; k++) {
            SchedParams params = random_params(sim, 1);
            SimLoad load = random_load(sim, k < saturated ? SIM_SATURATING : random_kind(sim));

            if (k < saturated) {
                load.period = 0; /* all from the beginning */
            } else if (load.kind == SIM_SATURATING) {
                load.kind = SIM_FRAMES;
            }
            sim_add(sim, &params, &load, false);
        }
        sim_run(sim, 0);
        sim->check = check_shares;
        sim_run(sim, 5 * SIM_S);
        g_assert_cmpuint(sim->wasted, <=, sim->now / 5); /* only for those that come back at once */
    }
}

/* ---- fixed share ---- */

#define SAVED (50 * SIM_MS) /* what it may have been kept waiting for */

static void check_fixed(Sim *sim, void *opaque)
{
    for (guint i = 0; i < sim->vms->len; i++) {
        const SimVm *vm = g_ptr_array_index(sim->vms, i);
        double most = (double)sim->now * vm->params.share_ppm / 1e6;

        g_assert_cmpfloat((double)sched_used(vm->client), <=,
                          most + (double)(SAVED + 3 * sched_quantum(sim->sched, vm->client) +
                                          vm->load.batch_max + sim->handover));
    }
}

static void test_fixed(void)
{
    for (unsigned i = 0; i < cases; i++) {
        g_autoptr(Sim) sim = sim_new(SCHED_FIXED_SHARE, 1, begin_case("fixed", i));
        unsigned n = (unsigned)sim_random(sim, 1, 12);
        uint64_t round = 0;

        for (unsigned k = 0; k < n; k++) {
            SchedParams params = random_params(sim, 0.9 / n);
            SimLoad load = random_load(sim, sim_random(sim, 0, 1) ? SIM_SATURATING : random_kind(sim));
            SimVm *vm = sim_add(sim, &params, &load, false);

            round += sched_quantum(sim->sched, vm->client) + load.batch_max;
        }
        sim->check = check_fixed;
        sim_run(sim, 10 * SIM_S);
        for (guint k = 0; k < sim->vms->len; k++) {
            const SimVm *vm = g_ptr_array_index(sim->vms, k);

            if (vm->load.kind == SIM_SATURATING) {
                g_assert_cmpfloat((double)vm->used + (double)(2 * round + vm->load.period), >=,
                                  (double)sim->now * vm->params.share_ppm / 1e6);
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    seed = sim_seed(true);
    cases = g_getenv("VGPU_TEST_FULL") ? 2000 : 50;
    g_test_add_func("/sched-random/changes", test_changes);
    g_test_add_func("/sched-random/shares", test_shares);
    g_test_add_func("/sched-random/fixed", test_fixed);
    return g_test_run();
}
