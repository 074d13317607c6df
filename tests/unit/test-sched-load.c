/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the scheduler promises under load, simulated: shares over windows, frame times, 1,000 VMs. */
#include "sched-sim.h"

static uint64_t seed;
static bool full;

static SimVm *saturating(Sim *sim, double share, uint64_t batch_min, uint64_t batch_max)
{
    SchedParams params = { .share_ppm = (uint32_t)(share * 1e6 + 0.5),
                           .priority = SCHED_PRIORITY_NORMAL,
                           .width = 1 };
    SimLoad load = { .kind = SIM_SATURATING, .batch_min = batch_min, .batch_max = batch_max };

    return sim_add(sim, &params, &load, true);
}

/* The least and the most of GPU time that a VM has in any window that begins at a full millisecond, as part
 * of it. */
static void extremes(Sim *sim, const SimVm *vm, uint64_t begin, uint64_t window, double *least, double *most)
{
    *least = 1;
    *most = 0;
    for (uint64_t from = begin; from + window <= sim->now; from += SIM_SAMPLE) {
        double used = sim_used_between(vm, from, from + window) / (double)window;

        *least = MIN(*least, used);
        *most = MAX(*most, used);
    }
}

/* The least of min/max of GPU time, over each window that begins at a full millisecond. */
static double least_ratio(Sim *sim, uint64_t window)
{
    double least = 1;

    sim_sum_up(sim);
    for (uint64_t from = 0; from + window <= sim->now; from += SIM_SAMPLE) {
        double min = (double)window, max = 0;

        for (guint i = 0; i < sim->vms->len; i++) {
            double used = sim_used_between(g_ptr_array_index(sim->vms, i), from, from + window);

            min = MIN(min, used);
            max = MAX(max, used);
        }
        least = MIN(least, min / max);
    }
    return least;
}

/* ---- equal weights ---- */

typedef struct Fair {
    const char *name;
    unsigned clients;
    uint64_t batch; /* the longest, ns */
    uint64_t window;
    uint32_t capacity;
} Fair;

static const Fair fair[] = {
    { "/sched-load/equal/2-in-1-s", 2, 2 * SIM_MS, 1 * SIM_S, 1 },
    { "/sched-load/equal/4-in-1-s", 4, 2 * SIM_MS, 1 * SIM_S, 1 },
    { "/sched-load/equal/8-in-4-s", 8, 2 * SIM_MS, 4 * SIM_S, 1 },
    { "/sched-load/equal/2-in-20-s", 2, 50 * SIM_MS, 20 * SIM_S, 1 },
    { "/sched-load/equal/4-in-20-s", 4, 50 * SIM_MS, 20 * SIM_S, 1 },
    { "/sched-load/equal/8-in-40-s", 8, 50 * SIM_MS, 40 * SIM_S, 1 },
    { "/sched-load/equal/4-on-2-cpus", 4, 2 * SIM_MS, 1 * SIM_S, 2 },
    { "/sched-load/equal/7-on-4-cpus", 7, 2 * SIM_MS, 4 * SIM_S, 4 },
    { "/sched-load/equal/7-on-4-cpus-in-20-s", 7, 50 * SIM_MS, 20 * SIM_S, 4 },
};

/* Batches of any length, all the longest, all just too long for a slice, and one VM unlike the others. */
static void test_equal(gconstpointer data)
{
    const Fair *f = data;

    for (unsigned mix = 0; mix < 4; mix++) {
        g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, f->capacity, seed + mix);
        double ratio;

        for (unsigned i = 0; i < f->clients; i++) {
            uint64_t least[] = { f->batch / 100, f->batch, f->batch - f->batch / 20,
                                 i ? f->batch / 100 : f->batch };
            uint64_t most[] = { f->batch, f->batch, f->batch - f->batch / 20, i ? f->batch / 10 : f->batch };

            saturating(sim, 1.0 / f->clients, least[mix], most[mix]);
        }
        sim_run(sim, (full ? 200 : 10) * f->window);
        ratio = least_ratio(sim, f->window);
        g_test_message("mix %u: min/max %.4f", mix, ratio);
        g_assert_cmpfloat(ratio, >=, 0.97);
    }
}

/* ---- weights ---- */

static void test_ten_ninety(void)
{
    for (unsigned mix = 0; mix < 3; mix++) {
        g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 1, seed + mix);
        uint64_t most[] = { 10 * SIM_MS, mix == 2 ? 1 * SIM_MS : 10 * SIM_MS };
        SimVm *ten = saturating(sim, 0.1, mix == 1 ? most[0] : SIM_MS / 10, most[0]),
              *ninety = saturating(sim, 0.9, mix == 1 ? most[1] : SIM_MS / 10, most[1]);
        double least = G_MAXDOUBLE, highest = 0;

        sim_run(sim, (full ? 2000 : 100) * SIM_S);
        sim_sum_up(sim);
        for (uint64_t from = 0; from + 10 * SIM_S <= sim->now; from += SIM_SAMPLE) {
            double ratio = sim_used_between(ninety, from, from + 10 * SIM_S) /
                           sim_used_between(ten, from, from + 10 * SIM_S);

            least = MIN(least, ratio);
            highest = MAX(highest, ratio);
        }
        g_test_message("mix %u: 1:%.3f to 1:%.3f", mix, least, highest);
        g_assert_cmpfloat(least, >=, 8.7);
        g_assert_cmpfloat(highest, <=, 9.3);
    }
}

/* Each sends a batch, waits for it and a moment more, and sends the next. */
static void test_one_batch_at_a_time(void)
{
    static const double shares[] = { 0.5, 0.1 };

    for (unsigned i = 0; i < G_N_ELEMENTS(shares); i++) {
        g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 1, seed);
        SimVm *vms[2];
        double part;

        for (unsigned k = 0; k < 2; k++) {
            uint64_t batch = k == i ? 10 * SIM_MS : 1 * SIM_MS;
            SimLoad load = {
                .kind = SIM_CHAINED, .batch_min = batch, .batch_max = batch, .period = 50 * SIM_US
            };
            SchedParams params = { .share_ppm = (uint32_t)((k ? 1 - shares[i] : shares[i]) * 1e6),
                                   .priority = SCHED_PRIORITY_NORMAL,
                                   .width = 1 };

            vms[k] = sim_add(sim, &params, &load, false);
        }
        sim_run(sim, 20 * SIM_S);
        part = (double)vms[0]->used / (double)(vms[0]->used + vms[1]->used);
        g_test_message("share %.2f: %.4f of what was used, %.1f %% idle", shares[i], part,
                       100 - (double)(vms[0]->used + vms[1]->used) / (double)sim->now * 100);
        g_assert_cmpfloat_with_epsilon(part, shares[i], 0.03);
        g_assert_cmpuint(vms[0]->used + vms[1]->used, >=, sim->now * 9 / 10);
    }
}

/* ---- widths ---- */

static SimVm *saturating_wide(Sim *sim, double share, uint32_t width, uint64_t batch)
{
    SchedParams params = { .share_ppm = (uint32_t)(share * 1e6),
                           .priority = SCHED_PRIORITY_NORMAL,
                           .width = width };
    SimLoad load = { .kind = SIM_SATURATING, .batch_min = batch / 100, .batch_max = batch };

    return sim_add(sim, &params, &load, true);
}

/* Wide and narrow ones, with short and with long batches: none is kept out, and little is left idle. */
static void test_widths(void)
{
    static const struct {
        uint32_t capacity, width[6];
        uint64_t batch[6];
        double busy; /* at least */
    } mixes[] = {
        { 2, { 2, 1, 1 }, { 2, 2, 2 }, 0.85 },
        { 2, { 2, 1, 1 }, { 2, 2, 50 }, 0.5 },
        { 4, { 4, 2, 1, 1 }, { 2, 2, 2, 2 }, 0.75 },
        { 4, { 3, 2, 2, 1, 1, 1 }, { 2, 5, 2, 10, 2, 2 }, 0.6 },
        { 16, { 16, 8, 4, 4, 2, 1 }, { 2, 2, 2, 2, 2, 2 }, 0.34 },
    };

    for (unsigned m = 0; m < G_N_ELEMENTS(mixes); m++) {
        g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, mixes[m].capacity, seed + m);
        uint64_t least = UINT64_MAX, most = 0, all = 0;

        for (unsigned i = 0; i < 6 && mixes[m].width[i]; i++) {
            saturating_wide(sim, 0.2, mixes[m].width[i], mixes[m].batch[i] * SIM_MS);
        }
        sim_run(sim, 100 * SIM_S);
        for (guint i = 0; i < sim->vms->len; i++) {
            const SimVm *vm = g_ptr_array_index(sim->vms, i);

            g_test_message("mix %u: width %u of %u, batches to %d ms: %.4f", m, vm->params.width,
                           sim->capacity, (int)(vm->load.batch_max / SIM_MS),
                           (double)vm->used / (double)sim->now);
            all += vm->used;
            least = MIN(least, vm->used);
            most = MAX(most, vm->used);
        }
        g_test_message("mix %u: busy %.3f", m, (double)all / (double)sim->now);
        g_assert_cmpfloat((double)least / (double)most, >=, 0.97);
        g_assert_cmpfloat((double)all / (double)sim->now, >=, mixes[m].busy);
    }
}

/* What a client cannot use, having too few CPUs for its share, it is not owed for ever, nor is who comes
 * later. */
static void test_too_narrow(void)
{
    g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 4, seed);
    SimVm *newcomer, *vms[4];
    uint64_t before;

    saturating_wide(sim, 0.9, 1, SIM_MS);
    for (int i = 0; i < 4; i++) {
        vms[i] = saturating_wide(sim, 0.02, 1, SIM_MS);
    }
    sim_run(sim, 100 * SIM_S);
    for (int i = 0; i < 4; i++) { /* they have what is left */
        g_assert_cmpfloat_with_epsilon((double)vms[i]->used / (double)sim->now, 0.75 / 4, 0.005);
    }
    before = vms[0]->used;
    newcomer = saturating_wide(sim, 0.02, 1, SIM_MS);
    sim_run(sim, 110 * SIM_S);
    g_test_message("newcomer %.3f s, another one %.3f s", (double)newcomer->used / SIM_S,
                   (double)(vms[0]->used - before) / SIM_S);
    g_assert_cmpfloat_with_epsilon((double)newcomer->used / SIM_S, 10 * 0.75 / 5, 0.1);
    g_assert_cmpfloat_with_epsilon((double)(vms[0]->used - before) / SIM_S, 10 * 0.75 / 5, 0.1);
}

/* ---- fixed share ---- */

typedef struct Fixed {
    const char *name;
    double shares[6];
    uint64_t batch;
    uint32_t capacity, width;
} Fixed;

static const Fixed fixed[] = {
    { "/sched-load/fixed/alone", { 0.25 }, 2 * SIM_MS, 1, 1 },
    { "/sched-load/fixed/alone-long-batches", { 0.25 }, 50 * SIM_MS, 1, 1 },
    { "/sched-load/fixed/alone-small", { 0.05 }, 10 * SIM_MS, 1, 1 },
    { "/sched-load/fixed/alone-on-4-cpus", { 0.125 }, 2 * SIM_MS, 4, 1 },
    { "/sched-load/fixed/together", { 0.5, 0.25, 0.125, 0.0625 }, 2 * SIM_MS, 1, 1 },
    { "/sched-load/fixed/together-long-batches", { 0.4, 0.25, 0.125, 0.0625 }, 20 * SIM_MS, 1, 1 },
    { "/sched-load/fixed/together-on-4-cpus", { 0.2, 0.2, 0.2, 0.1, 0.1, 0.1 }, 2 * SIM_MS, 4, 1 },
};

static void test_fixed(gconstpointer data)
{
    const Fixed *f = data;
    g_autoptr(Sim) sim = sim_new(SCHED_FIXED_SHARE, f->capacity, seed);

    for (unsigned i = 0; i < G_N_ELEMENTS(f->shares) && f->shares[i] > 0; i++) {
        saturating(sim, f->shares[i], SIM_MS / 10, f->batch);
    }
    sim_run(sim, (full ? 1000 : 100) * SIM_S);
    sim_sum_up(sim);
    for (guint i = 0; i < sim->vms->len; i++) {
        double least, most;

        extremes(sim, g_ptr_array_index(sim->vms, i), 0, 10 * SIM_S, &least, &most);
        g_test_message("share %.4f: %.4f to %.4f", f->shares[i], least, most);
        g_assert_cmpfloat(least, >=, f->shares[i] - 0.01);
        g_assert_cmpfloat(most, <=, f->shares[i] + 0.01);
    }
}

/* Promised more than there is: nobody gets more than its share, not even when the others have gone. */
static void test_fixed_overbooked(void)
{
    g_autoptr(Sim) sim = sim_new(SCHED_FIXED_SHARE, 1, seed);
    SimVm *vms[3];
    double least, most;

    for (int i = 0; i < 3; i++) {
        vms[i] = saturating(sim, 0.5, SIM_MS / 10, 2 * SIM_MS);
    }
    sim_run(sim, 30 * SIM_S);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpfloat_with_epsilon((double)vms[i]->used / (30.0 * SIM_S), 1 / 3.0, 0.01);
    }
    sim_remove(sim, vms[0]);
    sim_remove(sim, vms[1]);
    sim_run(sim, 60 * SIM_S);
    sim_sum_up(sim);
    extremes(sim, vms[2], 25 * SIM_S, 10 * SIM_S, &least, &most);
    g_test_message("%.4f to %.4f", least, most);
    g_assert_cmpfloat(least, >=, 1 / 3.0 - 0.01);
    g_assert_cmpfloat(most, <=, 0.51);
}

/* ---- frame times ---- */

static uint64_t frame_time(const SimLoad *load, unsigned others, uint64_t batch, SchedPriority priority)
{
    g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 1, seed);
    SchedParams params = { .share_ppm = 250000, .priority = priority, .width = 1 };
    SimVm *vm = sim_add(sim, &params, load, false);

    for (unsigned i = 0; i < others; i++) {
        saturating(sim, 0.25, batch / 100, batch);
    }
    sim_run(sim, (full ? 600 : 60) * SIM_S);
    g_assert_cmpuint(vm->latencies->len, >=, sim->now / SIM_S * 60 * 99 / 100); /* all in time */
    return sim_percentile(vm, 0.99);
}

/* 60 small frames a second beside three that take all they get. */
static void test_light(void)
{
    static const uint64_t quantum = 2 * SIM_MS;

    for (unsigned batches = 1; batches <= 3; batches++) {
        SimLoad load = { .kind = SIM_FRAMES,
                         .batch_min = SIM_MS,
                         .batch_max = SIM_MS,
                         .period = SIM_S / 60,
                         .burst = batches };
        uint64_t alone = frame_time(&load, 0, 0, SCHED_PRIORITY_NORMAL),
                 beside = frame_time(&load, 3, quantum, SCHED_PRIORITY_NORMAL),
                 high = frame_time(&load, 3, quantum, SCHED_PRIORITY_HIGH),
                 low = frame_time(&load, 3, quantum, SCHED_PRIORITY_LOW),
                 bound = (alone + 3 * quantum) * 5 / 4;

        g_test_message(
            "up to %u batches of 1 ms, p99: alone %.2f ms, beside three %.2f (high %.2f, low %.2f), "
            "bound %.2f",
            batches, (double)alone / SIM_MS, (double)beside / SIM_MS, (double)high / SIM_MS,
            (double)low / SIM_MS, (double)bound / SIM_MS);
        g_assert_cmpuint(beside, <=, bound);
        g_assert_cmpuint(high, <=, beside * 21 / 20);
        g_assert_cmpuint(low, <=, SIM_S / 60);
    }
}

/* ---- sleepers ---- */

/* One that sleeps now and then has what is its part of the time awake; so have the others. */
static void test_sleepy(void)
{
    g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 1, seed);
    SchedParams params = { .share_ppm = 300000, .priority = SCHED_PRIORITY_NORMAL, .width = 1 };
    SimVm *busy[2], *sleepy;
    SimLoad load = { .kind = SIM_SLEEPY, .batch_min = SIM_MS / 10, .batch_max = 5 * SIM_MS, .period = SIM_S };
    double ratio;

    for (int i = 0; i < 2; i++) {
        busy[i] = saturating(sim, 0.3, SIM_MS / 10, 5 * SIM_MS);
    }
    sleepy = sim_add(sim, &params, &load, false);
    sim_run(sim, (full ? 10000 : 1000) * SIM_S);
    ratio = (double)busy[0]->used / (double)busy[1]->used;
    g_assert_cmpfloat_with_epsilon(ratio, 1, 0.001);
    ratio = (double)sleepy->used / ((double)sleepy->awake / 3);
    g_test_message("awake for %.1f s, used %.4f of a third of that", (double)sleepy->awake / SIM_S, ratio);
    g_assert_cmpfloat(ratio, >=, 0.97);
    g_assert_cmpfloat(ratio, <=, 1.02); /* each waking is worth a quantum at most */
}

/* Who sleeps a moment after each batch, to wake as one that is served soon, gains no share by it. */
static void test_naps(void)
{
    for (uint64_t nap = SIM_MS / 16; nap <= 8 * SIM_MS; nap *= 2) {
        g_autoptr(Sim) sim = sim_new(SCHED_BEST_EFFORT, 1, seed);
        SchedParams params = { .share_ppm = 300000, .priority = SCHED_PRIORITY_HIGH, .width = 1 };
        SimLoad load = { .kind = SIM_CHAINED, .batch_min = SIM_MS, .batch_max = 4 * SIM_MS, .period = nap };
        SimVm *napping = sim_add(sim, &params, &load, false);
        double part;

        for (int i = 0; i < 2; i++) {
            saturating(sim, 0.3, SIM_MS / 10, 2 * SIM_MS);
        }
        sim_run(sim, 20 * SIM_S);
        part = (double)napping->used / (double)sim->now;
        g_test_message("naps of %.3f ms: %.4f", (double)nap / SIM_MS, part);
        g_assert_cmpfloat(part, <=, 1 / 3.0 + 0.005);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    full = g_getenv("VGPU_TEST_FULL") != NULL;
    seed = sim_seed(full);
    for (size_t i = 0; i < G_N_ELEMENTS(fair); i++) {
        g_test_add_data_func(fair[i].name, &fair[i], test_equal);
    }
    g_test_add_func("/sched-load/ten-ninety", test_ten_ninety);
    g_test_add_func("/sched-load/one-batch-at-a-time", test_one_batch_at_a_time);
    g_test_add_func("/sched-load/widths", test_widths);
    g_test_add_func("/sched-load/too-narrow", test_too_narrow);
    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
        g_test_add_data_func(fixed[i].name, &fixed[i], test_fixed);
    }
    g_test_add_func("/sched-load/fixed/overbooked", test_fixed_overbooked);
    g_test_add_func("/sched-load/light", test_light);
    g_test_add_func("/sched-load/sleepy", test_sleepy);
    g_test_add_func("/sched-load/naps", test_naps);
    return g_test_run();
}
