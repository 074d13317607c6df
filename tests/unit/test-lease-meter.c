/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM is charged for, figure by figure. */
#include <glib.h>

#include "vgpud/lease_meter.h"

#define MS 1000000ull
#define US 1000ull

/* From a while after boot. */
static LeaseSample first(void)
{
    return (LeaseSample){ .now = 1000 * MS, .width = 1, .capacity = 1 };
}

static LeaseMeter start(const LeaseSample *s)
{
    LeaseMeter m;

    lease_meter_start(&m, s);
    return m;
}

/* Charged for so many turns, each of them held and used so long, ns; taken: what others had of each. */
static uint64_t charge_turns(unsigned turns, uint64_t every, uint64_t held, uint64_t cpu, uint64_t taken)
{
    LeaseSample s = first();
    LeaseMeter m;
    uint64_t sum = 0;

    s.cpu_counts = true;
    m = start(&s);
    for (unsigned turn = 0; turn < turns; turn++) {
        s.now += every;
        s.held = held;
        s.cpu += cpu;
        sum += lease_meter_charge(&m, &s);
        lease_meter_taken(&m, taken);
    }
    return sum;
}

/* Nobody waited, so the claim counts; what was claimed before does not. */
static void test_claim(void)
{
    LeaseSample s = first();
    LeaseMeter m;

    s.claim = 77 * MS;
    m = start(&s);
    s.now += 10 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 0);
    s.now += 10 * MS;
    s.claim += 4 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 4 * MS);
    g_assert_cmpuint(m.lied, ==, 0);
}

static void test_held_counts_without_a_claim(void)
{
    LeaseSample s = first();
    LeaseMeter m = start(&s);
    uint64_t sum = 0;

    for (unsigned i = 0; i < 100; i++) {
        s.now += 4 * MS;
        s.held = 2 * MS;
        sum += lease_meter_charge(&m, &s);
    }
    g_assert_cmpuint(sum, ==, 200 * MS);
    g_assert_cmpuint(m.lied, ==, 180 * MS); /* all but what may be late */
}

/* The same work seen by the lease, the claim and the CPU's clock, each at its time, is charged once. */
static void test_charged_once(void)
{
    LeaseSample s = first();
    LeaseMeter m;
    uint64_t sum = 0;

    s.cpu_counts = true;
    m = start(&s);
    for (unsigned i = 0; i < 100; i++) {
        s.now += 2 * MS;
        s.held = 2 * MS;
        sum += lease_meter_charge(&m, &s);
        s.now += 1 * MS;
        s.held = 0;
        s.claim += 2 * MS;
        sum += lease_meter_charge(&m, &s);
        s.now += 1 * MS;
        s.cpu += 2 * MS;
        sum += lease_meter_charge(&m, &s);
    }
    g_assert_cmpuint(sum, ==, 200 * MS);
    g_assert_cmpuint(m.lied, ==, 0);
}

/* CPU time that is known once a second is not charged for a second time when it comes. */
static void test_late_cpu_is_charged_once(void)
{
    LeaseSample s = first();
    LeaseMeter m;
    uint64_t sum = 0;

    s.cpu_counts = true;
    m = start(&s);
    for (unsigned second = 0; second < 3; second++) {
        s.cpu_late = true;
        for (unsigned i = 0; i < 250; i++) {
            s.now += 2 * MS;
            s.held = 2 * MS;
            sum += lease_meter_charge(&m, &s);
            s.now += 2 * MS;
            s.held = 0;
            sum += lease_meter_charge(&m, &s);
        }
        s.cpu_late = false;
        s.cpu += 500 * MS;
        sum += lease_meter_charge(&m, &s);
        g_assert_cmpuint(sum, ==, (second + 1) * 500 * MS);
    }
    /* what it used beyond that is */
    s.cpu += 300 * MS;
    s.now += 500 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 300 * MS);
    /* and having held it for nothing is worth nothing when all is known, but for what is excused */
    s.cpu_late = true;
    s.now += 500 * MS;
    s.held = 500 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 250 * MS);
    s.cpu_late = false;
    s.held = 0;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 0);
    s.cpu += 100 * MS;
    s.now += 500 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), >=, 80 * MS);
}

/* What others had of its turns comes off the next ones; no more than was charged for it, and no CPU time. */
static void test_taken(void)
{
    static const struct {
        uint64_t cpu, taken, charged; /* of each turn of 10 ms: ms, ms, us */
    } cases[] = {
        { 3, 7, 3000 }, { 3, 3, 3000 }, { 3, 1, 4000 },  { 3, 0, 5000 }, { 3, 100, 3000 },
        { 2, 3, 3000 }, { 2, 0, 6000 }, { 0, 0, 10000 }, { 0, 10, 0 },   { 12, 100, 12000 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t sum = charge_turns(100, 10 * MS, 10 * MS, cases[i].cpu * MS, cases[i].taken * MS);

        g_test_message("%u ms", (unsigned)(sum / MS));
        g_assert_cmpuint(sum, >=, 100 * cases[i].charged * US);
        g_assert_cmpuint(sum, <=, 100 * cases[i].charged * US + 10 * MS);
    }
}

/*
 * Who keeps half of its CPUs at work is charged for that, who keeps a quarter for
 * half of what it held, and who does nothing for all of it.
 */
static void test_excused(void)
{
    static const struct {
        uint64_t cpu, charged; /* of each turn of 12 ms, ms */
    } cases[] = { { 0, 12 }, { 1, 10 }, { 2, 8 }, { 3, 6 }, { 5, 6 }, { 6, 6 }, { 10, 10 }, { 12, 12 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t sum = charge_turns(1000, 12 * MS, 12 * MS, cases[i].cpu * MS, 0);

        g_assert_cmpuint(sum, ==, 1000 * cases[i].charged * MS);
    }
}

/* Two do the same work, and the threads of one wait for each other longer. */
static void test_excused_alike(void)
{
    uint64_t charged[2] = { 0 };

    for (unsigned vm = 0; vm < 2; vm++) {
        LeaseSample s = first();
        GRand *r = g_rand_new_with_seed(vm);
        LeaseMeter m;

        s.cpu_counts = true;
        m = start(&s);
        for (unsigned turn = 0; turn < 250; turn++) {
            s.now += 4 * MS;
            s.held = (1900 + 200 * vm + (uint64_t)g_rand_int_range(r, 0, 200)) * US;
            s.cpu += 1700 * US;
            charged[vm] += lease_meter_charge(&m, &s);
        }
        g_rand_free(r);
    }
    g_assert_cmpuint(charged[0], >=, 425 * MS);
    g_assert_cmpuint(charged[1], >=, 425 * MS);
    g_assert_cmpuint(charged[0] + charged[1], <=, 852 * MS);
}

/*
 * Scenes so small that the threads wait for each other half of the time, some more
 * and some less: who did less is not charged more, or it would have fewer turns too.
 */
static void test_small_scenes(void)
{
    static const uint64_t cpu[] = { 800, 900, 1000, 1100, 1200 }; /* of each turn of 2 ms, us */
    uint64_t before = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(cpu); i++) {
        uint64_t sum = charge_turns(1000, 4 * MS, 2 * MS, cpu[i] * US, 0);

        g_assert_cmpuint(sum, ==, 1000 * MAX(cpu[i], 1000) * US);
        g_assert_cmpuint(sum, >=, before);
        before = sum;
    }
}

/* Where CPU time is not what counts nobody takes anything. */
static void test_taken_on_hardware(void)
{
    LeaseSample s = first();
    LeaseMeter m = start(&s);

    s.now += 10 * MS;
    s.held = 10 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 10 * MS);
    lease_meter_taken(&m, 10 * MS);
    s.now += 10 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 10 * MS);
}

/* Next to nothing is gained by having been charged too much before. */
static void test_credit_is_bounded(void)
{
    LeaseSample s = first();
    LeaseMeter m;
    uint64_t sum = 0;

    s.cpu_counts = true;
    m = start(&s);
    s.now += 3600 * 1000 * MS;
    s.cpu += 3600 * 1000 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 3600 * 1000 * MS);
    for (unsigned i = 0; i < 50; i++) {
        s.now += 2 * MS;
        s.held = 2 * MS;
        sum += lease_meter_charge(&m, &s);
    }
    g_assert_cmpuint(sum, >=, 75 * MS); /* time held has no credit but what that CPU time excuses */
    for (unsigned i = 0; i < 50; i++) {
        s.now += 2 * MS;
        s.held = 0;
        s.cpu += 2 * MS;
        sum += lease_meter_charge(&m, &s);
    }
    g_assert_cmpuint(sum, >=, 155 * MS);
}

/* Claims that go back or jump charge no more than the time that passed. */
static void test_wild_claims(void)
{
    LeaseSample s = first();
    LeaseMeter m;
    uint64_t sum = 0;
    GRand *r = g_rand_new_with_seed(1);

    s.claim = 1000 * MS;
    m = start(&s);
    s.now += 1 * MS;
    s.claim = 0;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 0);
    s.now += 1 * MS;
    s.claim = 1000 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 0); /* counted before */
    s.now += 1 * MS;
    s.claim = UINT64_MAX;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 1 * MS);
    for (unsigned i = 0; i < 10000; i++) {
        s.now += MS;
        s.claim = (uint64_t)g_rand_int(r) << 32 | g_rand_int(r);
        s.busy_since = i % 2 ? (uint64_t)g_rand_int(r) << (i % 32) : 0;
        sum += lease_meter_charge(&m, &s);
    }
    g_assert_cmpuint(sum, <=, 10000 * MS);
    g_rand_free(r);
}

/* One long batch is charged while it goes on, and not again when it is claimed. */
static void test_long_batch(void)
{
    LeaseSample s = first();
    LeaseMeter m = start(&s);
    uint64_t sum = 0;

    s.busy_since = s.now + 500 * MS;
    s.now += 1000 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 500 * MS);
    for (unsigned i = 0; i < 4; i++) {
        s.now += 1000 * MS;
        sum += lease_meter_charge(&m, &s);
    }
    g_assert_cmpuint(sum, ==, 4000 * MS);
    s.now += 200 * MS;
    s.busy_since = 0;
    s.claim = 4600 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 100 * MS);
    s.now += 1000 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 0);
}

/* A lease of one CPU of four, held for a second, is a quarter of a second of the GPU. */
static void test_width(void)
{
    LeaseSample s = first();
    LeaseMeter m;

    s.cpu_counts = true;
    s.capacity = 4;
    m = start(&s);
    s.now += 1000 * MS;
    s.held = 1000 * MS;
    s.cpu = 900 * MS;
    s.claim = 1000 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 225 * MS);
    /* with more threads than it was granted, and no lease */
    s.now += 1000 * MS;
    s.held = 0;
    s.cpu += 4000 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), >=, 970 * MS);
}

/* Where CPU time is GPU time the claim, of time that passed, does not count; but one too low is noted. */
static void test_software(void)
{
    LeaseSample s = first();
    LeaseMeter m;

    s.cpu_counts = true;
    m = start(&s);
    s.now += 1000 * MS;
    s.claim = 1000 * MS;
    s.cpu = 300 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 300 * MS);
    g_assert_cmpuint(m.lied, ==, 0);
    s.now += 1000 * MS;
    s.cpu += 300 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 300 * MS);
    g_assert_cmpuint(m.lied, >=, 250 * MS);
}

/* Where CPU time is no GPU time it does not count. */
static void test_hardware(void)
{
    LeaseSample s = first();
    LeaseMeter m = start(&s);

    s.now += 1000 * MS;
    s.cpu = 1000 * MS;
    g_assert_cmpuint(lease_meter_charge(&m, &s), ==, 0);
}

#define DRIVER_MS 1000000ull

/* Driver's and our figures, ever, in ms: what is charged beside ours at each look. */
static void test_driver(void)
{
    static const struct {
        uint64_t seen, charged, excess;
    } looks[] = {
        { 500, 40, 0 },  /* what was before is nobody's business */
        { 600, 140, 0 }, /* honest */
        { 710, 240, 0 }, /* the figures are of slightly different times */
        { 800, 340, 0 },
        { 1800, 340, 980 }, /* a second without a lease, less what times may be apart */
        { 1800, 1320, 0 },  /* the caller has charged that */
        { 1900, 1420, 0 },
        { 1900, 11420, 0 }, /* ten seconds held while others waited, and not used: no credit */
        { 2900, 11420, 960 },
    };
    LeaseDriver d = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(looks); i++) {
        g_test_message("look %u", i);
        g_assert_cmpuint(lease_driver_excess(&d, looks[i].seen * DRIVER_MS, looks[i].charged * DRIVER_MS), ==,
                         looks[i].excess * DRIVER_MS);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease-meter/claim", test_claim);
    g_test_add_func("/lease-meter/held-counts-without-a-claim", test_held_counts_without_a_claim);
    g_test_add_func("/lease-meter/charged-once", test_charged_once);
    g_test_add_func("/lease-meter/late-cpu-is-charged-once", test_late_cpu_is_charged_once);
    g_test_add_func("/lease-meter/credit-is-bounded", test_credit_is_bounded);
    g_test_add_func("/lease-meter/wild-claims", test_wild_claims);
    g_test_add_func("/lease-meter/long-batch", test_long_batch);
    g_test_add_func("/lease-meter/width", test_width);
    g_test_add_func("/lease-meter/software", test_software);
    g_test_add_func("/lease-meter/hardware", test_hardware);
    g_test_add_func("/lease-meter/excused", test_excused);
    g_test_add_func("/lease-meter/excused-alike", test_excused_alike);
    g_test_add_func("/lease-meter/small-scenes", test_small_scenes);
    g_test_add_func("/lease-meter/taken", test_taken);
    g_test_add_func("/lease-meter/taken-on-hardware", test_taken_on_hardware);
    g_test_add_func("/lease-meter/driver", test_driver);
    return g_test_run();
}
