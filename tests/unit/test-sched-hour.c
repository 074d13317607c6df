/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 1,000 VMs for an hour: nobody gets too much, nobody starves, and small frames come in time. */
#include "sched-sim.h"

#define VMS       1000
#define SATURATED 60
#define SLEEPY    100
#define LIGHT     10
#define BURSTY    200 /* the others are idle */

#define BATCH_MAX (2 * SIM_MS)
#define QUANTUM   (1 * SIM_MS) /* of that many */
#define STEP      (60 * SIM_S)

static uint64_t seed;

/* Shares of a thousand: at most three quarters of the GPU in all, but for those that are idle. */
static uint32_t share_ppm(Sim *sim, SimKind kind)
{
    switch (kind) {
    case SIM_SATURATING:
        return 2000u << sim_random(sim, 0, 2);
    case SIM_SLEEPY:
        return 1000u << sim_random(sim, 0, 1);
    case SIM_FRAMES:
        return 15000;
    default:
        return 500;
    }
}

static const SimLoad loads[] = {
    [SIM_IDLE] = { .kind = SIM_IDLE },
    [SIM_SATURATING] = { .kind = SIM_SATURATING, .batch_min = SIM_MS / 20, .batch_max = BATCH_MAX },
    [SIM_SLEEPY] = { .kind = SIM_SLEEPY,
                     .batch_min = SIM_MS / 20,
                     .batch_max = BATCH_MAX,
                     .period = 60 * SIM_S },
    [SIM_FRAMES] = { .kind = SIM_FRAMES,
                     .batch_min = SIM_MS / 20,
                     .batch_max = SIM_MS / 10,
                     .period = SIM_S / 60,
                     .burst = 1 },
    [SIM_BURSTY] = { .kind = SIM_BURSTY,
                     .batch_min = SIM_MS / 10,
                     .batch_max = SIM_MS,
                     .period = 30 * SIM_S,
                     .burst = 10 },
};

static Sim *thousand(SchedPolicy policy, SimKind *kinds, double *weights)
{
    Sim *sim = sim_new(policy, 1, seed);

    *weights = 0;
    for (unsigned i = 0; i < VMS; i++) {
        SimKind kind = i < SATURATED                             ? SIM_SATURATING
                       : i < SATURATED + SLEEPY                  ? SIM_SLEEPY
                       : i < SATURATED + SLEEPY + LIGHT          ? SIM_FRAMES
                       : i < SATURATED + SLEEPY + LIGHT + BURSTY ? SIM_BURSTY
                                                                 : SIM_IDLE;
        SchedParams params = { .share_ppm = share_ppm(sim, kind),
                               .priority = (SchedPriority)sim_random(sim, 0, 2),
                               .width = 1 };

        kinds[i] = kind;
        *weights += kind == SIM_IDLE ? 0 : params.share_ppm / 1e6;
        sim_add(sim, &params, &loads[kind], false);
    }
    return sim;
}

static double weight_of(const Sim *sim, const SimVm *vm)
{
    return sched_policy(sim->sched) == SCHED_EQUAL_SHARE ? 1 : vm->params.share_ppm / 1e6;
}

/* Those that always had work, since the last call: min/max of what they had by weight. */
static double step_ratio(Sim *sim, uint64_t *before)
{
    double least = G_MAXDOUBLE, most = 0;

    for (unsigned i = 0; i < SATURATED; i++) {
        const SimVm *vm = g_ptr_array_index(sim->vms, i);
        double had = (double)(vm->used - before[i]) / weight_of(sim, vm);

        before[i] = vm->used;
        least = MIN(least, had);
        most = MAX(most, had);
    }
    return least / most;
}

static void test_hour(gconstpointer data)
{
    SchedPolicy policy = GPOINTER_TO_INT(data);
    SimKind kinds[VMS];
    double weights, ratio, worst = 1, saturated = 0, slept = 0, slept_for = 0;
    g_autoptr(Sim) sim = thousand(policy, kinds, &weights);
    uint64_t before[SATURATED] = { 0 }, frame_worst = 0, wait_worst = 0;
    gint64 start = g_get_monotonic_time();

    for (uint64_t until = STEP; until <= SIM_HOUR; until += STEP) {
        sim_run(sim, until);
        ratio = step_ratio(sim, before);
        worst = MIN(worst, ratio);
    }
    for (unsigned i = 0; i < VMS; i++) {
        const SimVm *vm = g_ptr_array_index(sim->vms, i);
        double part = (double)vm->used / (double)sim->now, weight = weight_of(sim, vm);
        uint64_t wait_bound;

        if (policy == SCHED_EQUAL_SHARE) {
            weights = SATURATED + SLEEPY + LIGHT + BURSTY;
        }
        /* two rounds of everybody's longest turn, and everybody's start */
        wait_bound = (uint64_t)(2 * (QUANTUM + BATCH_MAX) * MAX(weights, 1) / weight + VMS * 2 * QUANTUM);
        g_assert_cmpuint(vm->wait_max, <=, wait_bound);
        wait_worst = MAX(wait_worst, vm->wait_max);
        g_assert_cmpuint(vm->slip, <=, BATCH_MAX + sim->handover);
        g_assert_cmpuint(vm->used, ==, sched_used(vm->client));
        switch (kinds[i]) {
        case SIM_IDLE:
            g_assert_cmpuint(vm->grants, ==, 0);
            break;
        case SIM_SATURATING:
            saturated += part / weight / SATURATED;
            if (policy == SCHED_FIXED_SHARE) {
                g_assert_cmpfloat_with_epsilon(part, weight, 0.0002);
            }
            break;
        case SIM_SLEEPY:
            slept += (double)vm->used / weight;
            slept_for += (double)(vm->awake + (vm->backlog ? sim->now - vm->awake_since : 0));
            break;
        case SIM_FRAMES:
            frame_worst = MAX(frame_worst, sim_percentile(vm, 0.99));
            g_assert_cmpuint(vm->latencies->len, >=, sim->now / SIM_S * 60 * 99 / 100);
            break;
        default:
            g_assert_cmpuint(vm->batches_done + 2 * vm->load.burst, >=, vm->batches_arrived);
            break;
        }
    }
    g_test_message(
        "%.0f min, %" G_GUINT64_FORMAT " turns in %.1f s: min/max by weight in any minute %.4f, sleepers "
        "%.4f of it, frames p99 %.2f ms, longest wait %.0f ms, idle with work %" G_GUINT64_FORMAT " ns",
        (double)sim->now / STEP, sim->decisions, (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC,
        worst, slept / slept_for / saturated, (double)frame_worst / SIM_MS, (double)wait_worst / SIM_MS,
        sim->wasted);
    g_assert_cmpfloat(worst, >=, 0.96);
    g_assert_cmpfloat_with_epsilon(slept / slept_for / saturated, 1, 0.05);
    g_assert_cmpuint(frame_worst, <=, SIM_S / 60);
    if (policy != SCHED_FIXED_SHARE) {
        g_assert_cmpuint(sim->wasted, ==, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    seed = sim_seed(g_getenv("VGPU_TEST_FULL") != NULL);
    g_test_add_data_func("/sched-hour/best-effort", GINT_TO_POINTER(SCHED_BEST_EFFORT), test_hour);
    g_test_add_data_func("/sched-hour/equal-share", GINT_TO_POINTER(SCHED_EQUAL_SHARE), test_hour);
    g_test_add_data_func("/sched-hour/fixed-share", GINT_TO_POINTER(SCHED_FIXED_SHARE), test_hour);
    return g_test_run();
}
