/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shares of CPU time where turns leave CPUs idle: the scheduler and the meter
 * together, simulated.  VMs that always have work on a software GPU of two CPUs;
 * they keep more or less of them at work, each a little more than the one before.
 */
#include <glib.h>

#include "sched/sched.h"
#include "vgpud/lease_meter.h"

#define MS       1000000ull
#define CPUS     2
#define VMS_MAX  8
#define STEP     (100 * MS) /* from the start of a window to that of the next */
#define SECONDS  60
#define STEPS    (SECONDS * 10)
#define HANDOVER (60 * 1000ull) /* ns */
#define SETTLE   20             /* steps */

typedef struct Vm {
    SchedClient *client;
    LeaseMeter meter;
    LeaseSample sample;
    double busy; /* of the CPUs, on average */
} Vm;

typedef struct Run {
    unsigned vms;
    uint64_t batch; /* ns */
    double least, most;
    uint32_t first_ppm, other_ppm; /* weights */
    uint64_t cpu[STEPS][VMS_MAX];  /* ns, ever */
} Run;

static void vm_start(Vm *v, const Run *run, unsigned i, Sched *s, uint64_t now)
{
    SchedParams params = { .share_ppm = i ? run->other_ppm : run->first_ppm,
                           .priority = SCHED_PRIORITY_NORMAL,
                           .width = CPUS };

    v->client = sched_add(s, &params, v, now);
    v->busy = run->least + (run->most - run->least) * i / (run->vms - 1);
    v->sample = (LeaseSample){ .now = now, .width = CPUS, .capacity = CPUS, .cpu_counts = true };
    lease_meter_start(&v->meter, &v->sample);
    sched_want(s, v->client, now);
}

static double about(GRand *r, double value, double part)
{
    return value * g_rand_double_range(r, 1 - part, 1 + part);
}

/* As many batches as fit, one at least, and half of the last may be outside. */
static uint64_t turn(Vm *v, Sched *s, GRand *r, uint64_t slice, uint64_t batch, uint64_t now)
{
    uint64_t took = (uint64_t)about(r, (double)batch, 0.05), one = took;

    while (took + one / 2 <= slice && took < 30 * MS) {
        took += one;
    }
    now += took;
    v->sample.now = now;
    v->sample.held = took;
    v->sample.cpu += (uint64_t)about(r, (double)took * CPUS * v->busy, 0.1);
    sched_charge(s, v->client, lease_meter_charge(&v->meter, &v->sample), now);
    sched_return(s, v->client, now);
    sched_want(s, v->client, now);
    return now;
}

static void simulate(Run *run)
{
    uint64_t start = 1000 * MS, now = start;
    Sched *s = sched_new(SCHED_BEST_EFFORT, CPUS);
    GRand *r = g_rand_new_with_seed(7);
    Vm v[VMS_MAX];

    for (unsigned i = 0; i < run->vms; i++) {
        vm_start(&v[i], run, i, s, now);
    }
    for (unsigned step = 0; step < STEPS;) {
        SchedGrant grant;

        if (now >= start + step * STEP) {
            for (unsigned i = 0; i < run->vms; i++) {
                run->cpu[step][i] = v[i].sample.cpu;
            }
            step++;
        } else if (sched_grant(s, now, &grant)) {
            now = turn(grant.opaque, s, r, grant.slice_ns, run->batch, now) + HANDOVER;
        } else {
            g_assert_not_reached();
        }
    }
    g_rand_free(r);
    sched_free(s);
}

/* The least of the VMs' CPU time over the largest, in the worst window. */
static double worst_fairness(const Run *run, unsigned steps)
{
    double worst = 1;

    for (unsigned from = SETTLE; from + steps < STEPS; from++) {
        uint64_t least = UINT64_MAX, most = 1;

        for (unsigned i = 0; i < run->vms; i++) {
            uint64_t used = run->cpu[from + steps][i] - run->cpu[from][i];

            least = MIN(least, used);
            most = MAX(most, used);
        }
        worst = MIN(worst, (double)least / (double)most);
    }
    return worst;
}

/* Batches and quanta of 2 ms, windows of 4 s: the bounds of tests/bench/run share. */
static void test_equal(void)
{
    static const struct {
        double least, most, fair;
    } cases[] = {
        { 1.0, 1.0, 0.98 },   { 0.6, 0.64, 0.98 },  { 0.5, 0.54, 0.97 },
        { 0.46, 0.46, 0.97 }, { 0.47, 0.49, 0.93 }, /* of the time held: 0.96 */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree Run *run = g_new0(Run, 1);
        double fair;

        *run = (Run){ .vms = 8,
                      .batch = 2 * MS,
                      .least = cases[i].least,
                      .most = cases[i].most,
                      .first_ppm = 50000,
                      .other_ppm = 50000 };
        simulate(run);
        fair = worst_fairness(run, 40);
        g_test_message("%.2f to %.2f of the CPUs at work: %.3f", cases[i].least, cases[i].most, fair);
        g_assert_cmpfloat(fair, >=, cases[i].fair);
    }
}

/* Batches of 10 ms, windows of 10 s. */
static void test_ten_to_ninety(void)
{
    static const double busy[][2] = { { 1.0, 1.0 }, { 0.6, 0.64 }, { 0.5, 0.54 }, { 0.46, 0.46 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(busy); i++) {
        g_autofree Run *run = g_new0(Run, 1);

        *run = (Run){ .vms = 2,
                      .batch = 10 * MS,
                      .least = busy[i][0],
                      .most = busy[i][1],
                      .first_ppm = 100000,
                      .other_ppm = 900000 };
        simulate(run);
        for (unsigned from = SETTLE; from + 100 < STEPS; from++) {
            double ratio = (double)(run->cpu[from + 100][1] - run->cpu[from][1]) /
                           (double)(run->cpu[from + 100][0] - run->cpu[from][0]);

            g_assert_cmpfloat(ratio, >=, 8.7);
            g_assert_cmpfloat(ratio, <=, 9.3);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease-scenes/equal", test_equal);
    g_test_add_func("/lease-scenes/ten-to-ninety", test_ten_to_ninety);
    return g_test_run();
}
