/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scheduler, one behaviour a test; whole loads are in test-sched-load.c. */
#include <glib.h>

#include "sched/sched.h"

#define MS (1000ull * 1000)

static SchedClient *add(Sched *s, double share, SchedPriority priority, uint32_t width)
{
    SchedParams p = { .share_ppm = (uint32_t)(share * 1000000 + 0.5), .priority = priority, .width = width };

    return sched_add(s, &p, NULL, 0);
}

/* The slice it is granted at now. */
static uint64_t granted(Sched *s, SchedClient *c, uint64_t now)
{
    SchedGrant g;

    g_assert_true(sched_grant(s, now, &g));
    g_assert_true(g.client == c);
    g_assert_true(sched_holds(c));
    g_assert_false(sched_wants(c));
    return g.slice_ns;
}

static void assert_none(Sched *s, uint64_t now)
{
    SchedGrant g;

    g_assert_false(sched_grant(s, now, &g));
}

static void assert_asked(Sched *s, uint64_t now, SchedClient *c, uint64_t at)
{
    SchedClient *holder = NULL;
    uint64_t end = 0;

    g_assert_true(sched_preempt(s, now, &holder, &end));
    g_assert_true(holder == c);
    g_assert_cmpuint(end, ==, at);
}

static void assert_nobody_asked(Sched *s, uint64_t now)
{
    SchedClient *holder;
    uint64_t end;

    g_assert_false(sched_preempt(s, now, &holder, &end));
}

/* It has used all the time it held since, and gives it back, for good or not. */
static void back(Sched *s, SchedClient *c, uint64_t used, uint64_t now, bool again)
{
    sched_charge(s, c, used, now);
    sched_return(s, c, now);
    if (again) {
        sched_want(s, c, now);
    }
}

static void test_alone(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 1, SCHED_PRIORITY_NORMAL, 1);

    assert_none(s, 0);
    sched_want(s, a, 5);
    sched_want(s, a, 5);
    g_assert_true(sched_wants(a));
    g_assert_cmpuint(granted(s, a, 5), ==, SCHED_NEVER);
    sched_want(s, a, 6);
    assert_none(s, 7);
    assert_nobody_asked(s, 8);
    g_assert_cmpuint(sched_next(s, 9), ==, SCHED_NEVER);
    sched_charge(s, a, 3, 9);
    sched_return(s, a, 10);
    sched_return(s, a, 10);
    g_assert_false(sched_holds(a));
    g_assert_cmpuint(sched_used(a), ==, 3);
    assert_none(s, 11);
    sched_want(s, a, 12);
    sched_unwant(s, a, 13);
    g_assert_false(sched_wants(a));
    assert_none(s, 14);
    sched_free(s);
}

static void test_turns(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 0;

    sched_want(s, a, now);
    granted(s, a, now);
    sched_charge(s, a, 1 * MS, 1 * MS);
    sched_want(s, b, 1 * MS); /* a has had half of its slice */
    assert_none(s, 1 * MS);
    assert_asked(s, 1 * MS, a, 2 * MS);
    assert_nobody_asked(s, 1 * MS);
    back(s, a, 1 * MS, 2 * MS, true);
    for (now = 2 * MS; now < 100 * MS; now += 4 * MS) {
        g_assert_cmpuint(granted(s, b, now), ==, 2 * MS);
        assert_none(s, now);
        assert_nobody_asked(s, now); /* the grant said it */
        back(s, b, 2 * MS, now + 2 * MS, true);
        g_assert_cmpuint(granted(s, a, now + 2 * MS), ==, 2 * MS);
        back(s, a, 2 * MS, now + 4 * MS, true);
    }
    sched_free(s);
}

/* One that nobody waited for has had its slice when somebody comes. */
static void test_asked_at_once(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);

    sched_want(s, a, 0);
    granted(s, a, 0);
    sched_charge(s, a, 1000 * MS, 1000 * MS);
    sched_want(s, b, 1000 * MS);
    assert_none(s, 1000 * MS);
    assert_asked(s, 1000 * MS, a, 1000 * MS);
    sched_unwant(s, b, 1001 * MS); /* and it may go on */
    assert_asked(s, 1001 * MS, a, SCHED_NEVER);
    assert_nobody_asked(s, 1001 * MS);
    sched_want(s, b, 1002 * MS);
    assert_asked(s, 1002 * MS, a, 1002 * MS);
    sched_remove(s, a, 1003 * MS);
    g_assert_cmpuint(granted(s, b, 1003 * MS), ==, SCHED_NEVER);
    sched_free(s);
}

/* An hour charged after the fact is neither the newcomer's gain nor the holder's loss. */
static void test_bulk_charge(void)
{
    static const uint64_t hour = 3600 * 1000 * MS;

    for (int times = 0; times <= 2; times++) { /* charged too late, in one piece, every half an hour */
        Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
        SchedClient *a = add(s, 0.1, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.9, SCHED_PRIORITY_NORMAL, 1);
        uint64_t now = hour, used[2];

        sched_want(s, a, 0);
        granted(s, a, 0);
        for (int i = 1; i <= times; i++) {
            sched_charge(s, a, hour / times, hour / times * i);
        }
        sched_want(s, b, now);
        if (!times) {
            sched_charge(s, a, hour, now);
        }
        used[0] = sched_used(a);
        used[1] = sched_used(b);
        assert_asked(s, now, a, now);
        back(s, a, 0, now, true);
        while (now < hour + 1000 * MS) {
            SchedGrant g;

            g_assert_true(sched_grant(s, now, &g));
            now += g.slice_ns;
            back(s, g.client, g.slice_ns, now, true);
        }
        g_assert_cmpfloat_with_epsilon((double)(sched_used(a) - used[0]) / (1000 * MS), 0.1, 0.005);
        g_assert_cmpfloat_with_epsilon((double)(sched_used(b) - used[1]) / (1000 * MS), 0.9, 0.005);
        sched_free(s);
    }
}

/* The same where two held side by side and one of them did next to nothing. */
static void test_bulk_charge_of_two(gconstpointer late)
{
    static const uint64_t hour = 3600 * 1000 * MS;
    Sched *s = sched_new(SCHED_BEST_EFFORT, 2);
    SchedClient *c[3];
    uint64_t now = hour, end[3] = { 0 }, used[3];

    for (int i = 0; i < 3; i++) {
        c[i] = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1);
        if (i < 2) {
            sched_want(s, c[i], 0);
            granted(s, c[i], 0);
        }
    }
    if (late) { /* what they held while another waited is their own, however long they did not use it */
        sched_charge(s, c[0], 0, now);
        sched_want(s, c[2], now);
        now += 100 * MS;
    }
    sched_charge(s, c[1], late ? 50 * MS : 1 * MS, now);
    sched_charge(s, c[0], late ? 50 * MS : hour / 2, now);
    for (int i = 0; i < 3; i++) {
        used[i] = late ? 0 : sched_used(c[i]);
        sched_return(s, c[i], now);
        sched_want(s, c[i], now);
    }
    while (now < hour + 3000 * MS) {
        SchedGrant g;

        while (sched_grant(s, now, &g)) {
            for (int i = 0; i < 3; i++) {
                if (g.client == c[i]) {
                    end[i] = now + MIN(g.slice_ns, 2 * MS);
                }
            }
        }
        now += MS / 2;
        for (int i = 0; i < 3; i++) {
            if (sched_holds(c[i])) {
                sched_charge(s, c[i], MS / 4, now); /* half of the GPU */
                if (now >= end[i]) {
                    back(s, c[i], 0, now, true);
                }
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        g_assert_cmpfloat_with_epsilon((double)(sched_used(c[i]) - used[i]) / (3000 * MS), 1 / 3.0, 0.003);
    }
    sched_free(s);
}

/* A long batch that others waited for is paid back in turns. */
static void test_overshoot(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 0;
    int turns = 0;

    sched_want(s, a, 0);
    sched_want(s, b, 0);
    g_assert_cmpuint(granted(s, a, 0), ==, 2 * MS);
    now = 50 * MS;
    back(s, a, 50 * MS, now, true);
    g_assert_cmpuint(sched_overshoot(a), ==, 48 * MS);
    for (;;) {
        SchedGrant g;

        g_assert_true(sched_grant(s, now, &g));
        if (g.client == a) {
            break;
        }
        now += 2 * MS;
        turns++;
        back(s, b, 2 * MS, now, true);
    }
    g_assert_cmpint(turns, >=, 25);
    g_assert_cmpint(turns, <=, 26);
    g_assert_cmpuint(sched_overshoot(b), ==, 0);
    sched_free(s);
}

/* Small ones shorten what comes after them, so that a turn is a quantum on average. */
static void test_carry(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *c[2] = { add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), add(s, 0.5, SCHED_PRIORITY_NORMAL, 1) };
    uint64_t now = 0;
    unsigned turns = 0;

    sched_want(s, c[0], 0);
    sched_want(s, c[1], 0);
    while (now < 10000 * MS) {
        SchedGrant g;
        uint64_t used = 0;

        g_assert_true(sched_grant(s, now, &g));
        while (used < g.slice_ns) {
            used += 700 * 1000;
        }
        now += used;
        turns++;
        back(s, g.client, used, now, true);
    }
    g_assert_cmpfloat_with_epsilon((double)now / turns, 2 * MS, 0.02 * MS);
    sched_free(s);
}

/* Who slept an hour finds the others where they are. */
static void test_sleeper(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1),
                *c = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 0;
    SchedGrant g;

    sched_want(s, a, 0);
    sched_want(s, b, 0);
    while (now < 1000 * 1000 * MS) {
        g_assert_true(sched_grant(s, now, &g));
        now += 2 * MS;
        back(s, g.client, 2 * MS, now, true);
    }
    sched_want(s, c, now);
    for (int i = 0; i < 30; i++) {
        g_assert_true(sched_grant(s, now, &g));
        g_assert_true(i || g.client == c); /* soon */
        now += 2 * MS;
        back(s, g.client, 2 * MS, now, true);
    }
    g_assert_cmpuint(sched_used(c), >=, 20 * MS);
    g_assert_cmpuint(sched_used(c), <=, 24 * MS); /* a quantum and what a third is */
    sched_free(s);
}

/* Nor is it rid of what it overdrew, unless the GPU was idle. */
static void test_debt_kept(void)
{
    for (int idle = 0; idle < 2; idle++) {
        Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
        SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
        uint64_t now = 50 * MS;

        sched_want(s, a, 0);
        sched_want(s, b, 0);
        granted(s, a, 0);
        back(s, a, 50 * MS, now, false);
        granted(s, b, now);
        back(s, b, 2 * MS, now + 2 * MS, false);
        assert_none(s, now + 2 * MS);
        now += idle ? 1000 * MS : 2 * MS;
        sched_want(s, a, now);
        sched_want(s, b, now);
        granted(s, idle ? a : b, now);
        sched_free(s);
    }
}

/* Whoever slept while others had the GPU for an hour owes nothing any more, whether they were waited for or
 * not. */
static void test_debt_slept_off(void)
{
    static const uint64_t hour = 3600 * 1000 * MS;
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);

    sched_want(s, a, 0);
    granted(s, a, 0);
    sched_want(s, b, 0);
    back(s, a, 1000 * MS, 1000 * MS, false);
    granted(s, b, 1000 * MS);
    sched_charge(s, b, hour, hour);
    sched_want(s, a, hour);
    assert_asked(s, hour, b, hour);
    back(s, b, 2 * MS, hour + 2 * MS, true);
    granted(s, a, hour + 2 * MS);
    sched_free(s);
}

/* Debts are GPU time, not virtual time. */
static void test_debt_under_another_weight(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    SchedParams small = { .share_ppm = 100000, .priority = SCHED_PRIORITY_NORMAL, .width = 1 };
    uint64_t now = 50 * MS;
    SchedGrant g;

    sched_want(s, a, 0);
    granted(s, a, 0);
    sched_want(s, b, 0);
    back(s, a, 50 * MS, now, true);
    sched_set_params(s, a, &small, now);
    while (sched_grant(s, now, &g) && g.client == b) {
        now += 2 * MS;
        back(s, b, 2 * MS, now, true);
    }
    g_assert_cmpuint(now, >=, (50 + 5 * 50 - 10) * MS); /* five times a's weight */
    g_assert_cmpuint(now, <=, (50 + 5 * 50 + 10) * MS);
    sched_free(s);
}

/* Who comes is on a par with those that are served, not with one that owes a long batch. */
static void test_newcomer_beside_debt(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1),
                *c = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 1000 * MS;

    sched_want(s, b, 0);
    granted(s, b, 0);
    sched_want(s, a, 0);
    back(s, b, 1000 * MS, now, true);
    granted(s, a, now);
    sched_want(s, c, now + 1 * MS);
    back(s, a, 2 * MS, now + 2 * MS, true);
    for (int i = 0; i < 100; i++) {
        SchedGrant g;

        now += 2 * MS;
        g_assert_true(sched_grant(s, now, &g));
        back(s, g.client, 2 * MS, now + 2 * MS, true);
    }
    g_assert_cmpuint(sched_used(c), >=, 96 * MS);
    g_assert_cmpuint(sched_used(c), <=, 104 * MS);
    sched_free(s);
}

/* The same where one of those that are served holds all the time. */
static void test_newcomer_beside_holder(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 2);
    SchedClient *a = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1),
                *c = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1), *d = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 1000 * MS;
    SchedGrant g;

    sched_want(s, b, 0);
    granted(s, b, 0);
    sched_want(s, c, 0);
    granted(s, c, 0);
    sched_want(s, a, 0);
    back(s, b, 500 * MS, now, true);
    granted(s, a, now);
    back(s, c, 0, now, false);
    granted(s, b, now); /* for want of another */
    sched_want(s, d, now);
    assert_none(s, now);
    back(s, a, 1 * MS, now + 2 * MS, true);
    granted(s, d, now + 2 * MS);
    for (int i = 0; i < 50; i++) { /* b is in a long batch: the two share what is left */
        SchedClient *holder = sched_holds(a) ? a : d;

        now += 2 * MS;
        back(s, holder, 1 * MS, now + 2 * MS, true);
        g_assert_true(sched_grant(s, now + 2 * MS, &g));
    }
    g_assert_cmpuint(sched_used(d), >=, 23 * MS);
    g_assert_cmpuint(sched_used(d), <=, 28 * MS);
    sched_free(s);
}

/* What it holds stays as wide as it was granted. */
static void test_width_while_held(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 2);
    SchedClient *a = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1),
                *c = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1);
    SchedParams wide = { .share_ppm = 300000, .priority = SCHED_PRIORITY_NORMAL, .width = 2 };

    sched_want(s, a, 0);
    granted(s, a, 0);
    sched_set_params(s, a, &wide, 0);
    sched_want(s, b, 0);
    granted(s, b, 0);
    back(s, a, 0, 1, false);
    sched_want(s, c, 1);
    granted(s, c, 1);
    sched_want(s, a, 2);
    assert_none(s, 2);
    sched_return(s, b, 3);
    assert_none(s, 3);
    sched_return(s, c, 4);
    granted(s, a, 4);
    sched_want(s, b, 5);
    assert_none(s, 5);
    sched_free(s);
}

/* Work done without a lease, vgpud being away, counts too. */
static void test_charged_asleep(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 0;
    SchedGrant g;

    sched_want(s, a, 0);
    granted(s, a, 0);
    back(s, a, 0, 0, false);
    sched_want(s, b, 0);
    granted(s, b, 0);
    sched_charge(s, a, 20 * MS, 0);
    sched_want(s, a, 0);
    sched_charge(s, a, 20 * MS, 0);
    do {
        now += 2 * MS;
        back(s, b, 2 * MS, now, true);
    } while (sched_grant(s, now, &g) && g.client == b);
    g_assert_cmpuint(now, >=, 38 * MS);
    g_assert_cmpuint(now, <=, 46 * MS);
    g_assert_cmpuint(sched_used(a), ==, 40 * MS);
    sched_free(s);
}

static void test_equal_share(void)
{
    Sched *s = sched_new(SCHED_EQUAL_SHARE, 1);
    SchedClient *a = add(s, 0.1, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.9, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 0;

    sched_want(s, a, 0);
    sched_want(s, b, 0);
    for (int phase = 0; phase < 3; phase++) {
        static const double expected[] = { 0.5, 0.1, 0.75 };
        uint64_t until = now + 1000 * MS, was = sched_used(a);
        SchedParams p = { .share_ppm = 750000, .priority = SCHED_PRIORITY_NORMAL, .width = 1 };

        if (phase == 1) {
            sched_set_policy(s, SCHED_BEST_EFFORT, now);
            g_assert_cmpint(sched_policy(s), ==, SCHED_BEST_EFFORT);
        } else if (phase == 2) {
            sched_set_params(s, a, &p, now);
            p.share_ppm = 250000;
            sched_set_params(s, b, &p, now);
        }
        while (now < until) {
            SchedGrant g;

            g_assert_true(sched_grant(s, now, &g));
            now += 2 * MS;
            back(s, g.client, 2 * MS, now, true);
        }
        g_assert_cmpfloat_with_epsilon((double)(sched_used(a) - was) / (1000 * MS), expected[phase], 0.01);
    }
    sched_free(s);
}

static void test_priority(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *busy = add(s, 0.25, SCHED_PRIORITY_NORMAL, 1), *low = add(s, 0.25, SCHED_PRIORITY_LOW, 1),
                *normal = add(s, 0.25, SCHED_PRIORITY_NORMAL, 1),
                *high = add(s, 0.25, SCHED_PRIORITY_HIGH, 1);

    sched_want(s, busy, 0);
    granted(s, busy, 0);
    sched_want(s, low, 1 * MS);
    sched_want(s, normal, 1 * MS);
    sched_want(s, high, 1 * MS);
    back(s, busy, 20 * MS, 20 * MS, true);
    granted(s, high, 20 * MS);
    back(s, high, 1 * MS, 21 * MS, false);
    granted(s, normal, 21 * MS);
    back(s, normal, 1 * MS, 22 * MS, false);
    granted(s, low, 22 * MS);
    sched_free(s);
}

/* However high the others, however many, and even if each of them comes back as one that slept. */
static void test_low_is_not_starved(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *low = add(s, 0.1, SCHED_PRIORITY_LOW, 1), *away = NULL;
    uint64_t now = 0;

    for (int i = 0; i < 9; i++) {
        sched_want(s, add(s, 0.1, SCHED_PRIORITY_HIGH, 1), 0);
    }
    sched_want(s, low, 0);
    while (now < 10000 * MS) {
        SchedGrant g;

        g_assert_true(sched_grant(s, now, &g));
        if (away) {
            sched_want(s, away, now);
        }
        now += MIN(g.slice_ns, 2 * MS);
        back(s, g.client, MIN(g.slice_ns, 2 * MS), now, g.client == low);
        away = g.client == low ? NULL : g.client;
    }
    g_assert_cmpfloat_with_epsilon((double)sched_used(low) / (10000 * MS), 0.1, 0.002);
    sched_free(s);
}

static void test_quantum(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedParams p = {
        .share_ppm = 100000, .priority = SCHED_PRIORITY_NORMAL, .width = 1, .quantum_ns = 4 * MS
    };
    SchedClient *c[9];

    for (int i = 0; i < 8; i++) {
        c[i] = add(s, 0.1, SCHED_PRIORITY_NORMAL, 1);
    }
    g_assert_cmpuint(sched_quantum(s, c[0]), ==, 2 * MS);
    c[8] = add(s, 0.1, SCHED_PRIORITY_NORMAL, 1);
    g_assert_cmpuint(sched_quantum(s, c[0]), ==, 1 * MS);
    sched_set_params(s, c[0], &p, 0);
    g_assert_cmpuint(sched_quantum(s, c[0]), ==, 4 * MS);
    p.quantum_ns = 1;
    sched_set_params(s, c[0], &p, 0);
    g_assert_cmpuint(sched_quantum(s, c[0]), ==, SCHED_QUANTUM_MIN_NS);
    p.quantum_ns = SCHED_NEVER;
    sched_set_params(s, c[0], &p, 0);
    g_assert_cmpuint(sched_quantum(s, c[0]), ==, SCHED_QUANTUM_MAX_NS);
    sched_remove(s, c[8], 0);
    g_assert_cmpuint(sched_quantum(s, c[1]), ==, 2 * MS);
    sched_free(s);
}

static void test_width(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 4);
    SchedClient *a = add(s, 0.2, SCHED_PRIORITY_NORMAL, 2), *b = add(s, 0.2, SCHED_PRIORITY_NORMAL, 2),
                *all = add(s, 0.2, SCHED_PRIORITY_NORMAL, 99), *one = add(s, 0.2, SCHED_PRIORITY_NORMAL, 0);

    sched_want(s, a, 0);
    sched_want(s, b, 0);
    granted(s, a, 0);
    granted(s, b, 0);
    assert_nobody_asked(s, 0);
    sched_charge(s, a, MS / 2, 1 * MS);
    sched_charge(s, b, MS / 2, 1 * MS);
    sched_want(s, all, 1 * MS);
    assert_none(s, 1 * MS);
    assert_asked(s, 1 * MS, a, 2 * MS); /* it takes all of it */
    assert_asked(s, 1 * MS, b, 2 * MS);
    assert_nobody_asked(s, 1 * MS);
    sched_return(s, a, MS * 3 / 2);
    assert_none(s, MS * 3 / 2);
    sched_want(s, one, MS * 3 / 2); /* fits, and is gone when b is */
    g_assert_cmpuint(granted(s, one, MS * 3 / 2), ==, MS / 2);
    back(s, one, MS / 8, 2 * MS, true);
    assert_none(s, 2 * MS - 1);
    sched_return(s, b, 2 * MS);
    g_assert_cmpuint(granted(s, all, 2 * MS), ==, 2 * MS);
    assert_none(s, 2 * MS);
    sched_free(s);
}

/* No more are asked than there is need for, and those who began first. */
static void test_one_is_enough(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 2);
    SchedClient *a = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1),
                *c = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1);

    sched_want(s, a, 0);
    granted(s, a, 0);
    sched_want(s, b, 1 * MS);
    granted(s, b, 1 * MS);
    sched_want(s, c, MS * 3 / 2);
    assert_none(s, MS * 3 / 2);
    assert_asked(s, MS * 3 / 2, a, 2 * MS);
    assert_nobody_asked(s, MS * 3 / 2);
    back(s, a, 1 * MS, 2 * MS, true);
    g_assert_cmpuint(granted(s, c, 2 * MS), ==, 2 * MS);
    assert_asked(s, 2 * MS, b, 3 * MS); /* before c, who will leave too */
    assert_nobody_asked(s, 2 * MS);
    sched_free(s);
}

static void test_fixed_share(void)
{
    Sched *s = sched_new(SCHED_FIXED_SHARE, 1);
    SchedClient *a = add(s, 0.25, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 0, slept = 0;

    sched_want(s, a, 0);
    while (now < 10000 * MS) {
        SchedGrant g;

        if (sched_grant(s, now, &g)) {
            g_assert_cmpuint(g.slice_ns, >=, 1 * MS);
            g_assert_cmpuint(g.slice_ns, <=, 2 * MS);
            assert_nobody_asked(s, now);
            now += g.slice_ns;
            back(s, a, g.slice_ns, now, true);
        } else {
            uint64_t next = sched_next(s, now);

            g_assert_true(sched_wants(a));
            g_assert_cmpuint(next, >, now);
            g_assert_cmpuint(next, !=, SCHED_NEVER);
            assert_none(s, next - 1);
            slept += next - now;
            now = next;
        }
    }
    g_assert_cmpfloat_with_epsilon((double)sched_used(a) / (double)now, 0.25, 0.001);
    g_assert_cmpfloat_with_epsilon((double)slept / (double)now, 0.75, 0.001);
    sched_free(s);
}

/* All of it is not a bound. */
static void test_fixed_share_of_all(void)
{
    Sched *s = sched_new(SCHED_FIXED_SHARE, 1);
    SchedClient *a = add(s, 1, SCHED_PRIORITY_NORMAL, 1);

    sched_want(s, a, 0);
    g_assert_cmpuint(granted(s, a, 0), ==, SCHED_NEVER);
    assert_nobody_asked(s, 0);
    sched_free(s);
}

/* a shows that it comes back soon; b waits all the time, and then overdraws 100 ms at once. */
static uint64_t teach(Sched *s, SchedClient *a, SchedClient *b)
{
    uint64_t now = 2 * MS;
    SchedGrant g;

    sched_want(s, b, 0);
    granted(s, b, 0);
    sched_want(s, a, 0);
    back(s, b, 2 * MS, now, true);
    for (int i = 0; i < 20; i++) {
        uint64_t batch = (i < 19 ? 1 : 100) * MS;

        granted(s, a, now);
        now += 1 * MS;
        back(s, a, 1 * MS, now, false);
        if (sched_grant(s, now, &g)) {
            g_assert_true(g.client == b);
            sched_want(s, a, now + MS / 10);
            now += batch;
            back(s, b, batch, now, true);
        } else { /* shown */
            now += MS / 10;
            sched_want(s, a, now);
        }
    }
    return now;
}

/* Who always comes back soon is not passed over for being away a moment; who does not is not waited for. */
static void test_linger(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = teach(s, a, b), next;
    unsigned kept = 0;
    SchedGrant g;

    while (sched_grant(s, now, &g) && g.client == a) { /* it is owed 100 ms */
        now += 1 * MS;
        back(s, a, 1 * MS, now, false);
        if (sched_grant(s, now, &g)) {
            break;
        }
        g_assert_cmpuint(sched_next(s, now), >, now + MS / 10);
        now += MS / 10;
        assert_none(s, now);
        sched_want(s, a, now);
        kept++;
    }
    g_assert_true(g.client == b);
    g_assert_cmpuint(kept, >=, 80); /* ten of the hundred are what was waited */
    g_assert_cmpuint(kept, <=, 95);
    sched_want(s, a, now);
    now += 100 * MS;
    back(s, b, 100 * MS, now, true);
    granted(s, a, now);
    now += 1 * MS;
    back(s, a, 1 * MS, now, false);
    assert_none(s, now);
    next = sched_next(s, now);
    g_assert_cmpuint(next, <=, now + 2 * MS);
    assert_none(s, next - 1);
    granted(s, b, next); /* this time it did not come */
    sched_free(s);
}

/* Nor is one waited for that would have to wait itself. */
static void test_linger_for_nothing(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = teach(s, a, b);

    sched_set_policy(s, SCHED_FIXED_SHARE, now);
    granted(s, a, now);
    back(s, a, 5 * MS, now + 5 * MS, false);
    granted(s, b, now + 5 * MS);
    sched_free(s);
}

/* Who comes while one is waited for that is owed is on a par with it, not with who owes. */
static void test_newcomer_beside_linger(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1),
                *c = add(s, 0.3, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = teach(s, a, b), before;

    granted(s, a, now);
    now += 1 * MS;
    back(s, a, 1 * MS, now, false);
    assert_none(s, now);
    sched_want(s, c, now);
    sched_want(s, a, now + MS / 10);
    before = sched_used(a);
    now += MS / 10;
    for (int i = 0; i < 40; i++) {
        SchedGrant g;

        g_assert_true(sched_grant(s, now, &g));
        now += 1 * MS;
        back(s, g.client, 1 * MS, now, true);
    }
    g_assert_cmpuint(sched_used(a) - before, >=, 18 * MS);
    g_assert_cmpuint(sched_used(c), >=, 18 * MS);
    sched_free(s);
}

/* Whoever holds when the policy begins is told its end, and released when it ends. */
static void test_policy_while_held(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);

    sched_want(s, a, 0);
    g_assert_cmpuint(granted(s, a, 0), ==, SCHED_NEVER);
    sched_set_policy(s, SCHED_FIXED_SHARE, 1 * MS);
    assert_asked(s, 1 * MS, a, 2 * MS);
    assert_nobody_asked(s, 1 * MS);
    sched_set_policy(s, SCHED_BEST_EFFORT, 1 * MS);
    assert_asked(s, 1 * MS, a, SCHED_NEVER);
    assert_nobody_asked(s, 1 * MS);
    sched_free(s);
}

static void test_exclusive(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 2);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);

    sched_want(s, b, 0);
    granted(s, b, 0);
    sched_set_policy(s, SCHED_EXCLUSIVE, 1 * MS);
    assert_asked(s, 1 * MS, b, 2 * MS);
    sched_want(s, a, 1 * MS);
    g_assert_cmpuint(granted(s, a, 1 * MS), ==, SCHED_NEVER);
    back(s, b, 1 * MS, 2 * MS, true);
    assert_none(s, 2 * MS);
    assert_nobody_asked(s, 2 * MS);
    back(s, a, 1 * MS, 3 * MS, false); /* not even while it sleeps */
    assert_none(s, 3600 * 1000 * MS);
    g_assert_true(sched_wants(b));
    sched_remove(s, a, 3600 * 1000 * MS);
    g_assert_cmpuint(granted(s, b, 3600 * 1000 * MS), ==, SCHED_NEVER);
    sched_free(s);
}

/* Those that were shut out for an hour are owed nothing of it. */
static void test_after_exclusive(void)
{
    Sched *s = sched_new(SCHED_EXCLUSIVE, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    uint64_t now = 3600 * 1000 * MS, was;

    sched_want(s, a, 0);
    sched_want(s, b, 0);
    granted(s, a, 0);
    sched_charge(s, a, now, now);
    sched_set_policy(s, SCHED_BEST_EFFORT, now);
    assert_asked(s, now, a, now);
    back(s, a, 0, now, true);
    was = sched_used(a);
    for (int i = 0; i < 100; i++) {
        SchedGrant g;

        g_assert_true(sched_grant(s, now, &g));
        now += 2 * MS;
        back(s, g.client, 2 * MS, now, true);
    }
    g_assert_cmpuint(sched_used(a) - was, >=, 98 * MS);
    sched_free(s);
}

/* What was held before the scheduler was made. */
static void test_adopted(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1),
                *c = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);

    sched_want(s, a, 0);
    sched_hold(s, a, 0);
    sched_hold(s, b, 0); /* two that do not fit side by side */
    g_assert_true(sched_holds(a) && sched_holds(b));
    sched_want(s, c, 0);
    assert_none(s, 0);
    assert_asked(s, 0, a, 2 * MS);
    assert_asked(s, 0, b, 2 * MS);
    back(s, a, 1 * MS, 1 * MS, false);
    assert_none(s, 1 * MS);
    back(s, b, 1 * MS, 1 * MS, false);
    granted(s, c, 1 * MS);
    sched_free(s);
}

/* Claims of any size break nothing. */
static void test_absurd_charges(void)
{
    Sched *s = sched_new(SCHED_FIXED_SHARE, 3);
    SchedClient *a = add(s, 0, SCHED_PRIORITY_LOW, 1), *b = add(s, 1, SCHED_PRIORITY_HIGH, 2);
    SchedGrant g;

    for (int i = 0; i < 100; i++) {
        sched_want(s, a, (uint64_t)i);
        sched_want(s, b, (uint64_t)i);
        while (sched_grant(s, (uint64_t)i, &g)) {
        }
        sched_charge(s, a, UINT64_MAX, (uint64_t)i);
        sched_charge(s, b, UINT64_MAX, (uint64_t)i);
        sched_return(s, a, (uint64_t)i);
        sched_return(s, b, (uint64_t)i);
    }
    g_assert_cmpuint(sched_used(a), ==, UINT64_MAX);
    sched_want(s, a, SCHED_NEVER - 1);
    g_assert_cmpuint(sched_next(s, 100), <, SCHED_NEVER);
    sched_set_policy(s, SCHED_BEST_EFFORT, SCHED_NEVER - 1);
    granted(s, a, SCHED_NEVER - 1);
    sched_free(s);
}

/* A thousand of them that all want: the issue allows 5 us for a decision. */
static void test_decision_time(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    uint64_t now = 0;
    gint64 best = G_MAXINT64;

    for (int i = 0; i < 1000; i++) {
        sched_want(s, add(s, 0.001, SCHED_PRIORITY_NORMAL, 1), 0);
    }
    for (int round = 0; round < 20; round++) {
        gint64 start = g_get_monotonic_time();

        for (int i = 0; i < 1000; i++) {
            SchedGrant g;

            g_assert_true(sched_grant(s, now, &g));
            now += 1 * MS + (uint64_t)g_test_rand_int_range(0, 1000000);
            back(s, g.client, 1 * MS, now, true);
            g_assert_false(sched_preempt(s, now, &g.client, &g.slice_ns));
        }
        best = MIN(best, g_get_monotonic_time() - start);
    }
    g_test_message("a turn (grant, charge, return, want) of one of 1000 clients: %.3f us", best / 1000.0);
    g_assert_cmpint(best, <, 5 * 1000);
    sched_free(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sched/alone", test_alone);
    g_test_add_func("/sched/turns", test_turns);
    g_test_add_func("/sched/asked-at-once", test_asked_at_once);
    g_test_add_func("/sched/bulk-charge", test_bulk_charge);
    g_test_add_data_func("/sched/bulk-charge-of-two", NULL, test_bulk_charge_of_two);
    g_test_add_data_func("/sched/late-charge-of-two", "late", test_bulk_charge_of_two);
    g_test_add_func("/sched/overshoot", test_overshoot);
    g_test_add_func("/sched/carry", test_carry);
    g_test_add_func("/sched/sleeper", test_sleeper);
    g_test_add_func("/sched/debt-kept", test_debt_kept);
    g_test_add_func("/sched/debt-slept-off", test_debt_slept_off);
    g_test_add_func("/sched/debt-under-another-weight", test_debt_under_another_weight);
    g_test_add_func("/sched/newcomer-beside-debt", test_newcomer_beside_debt);
    g_test_add_func("/sched/equal-share", test_equal_share);
    g_test_add_func("/sched/priority", test_priority);
    g_test_add_func("/sched/low-is-not-starved", test_low_is_not_starved);
    g_test_add_func("/sched/quantum", test_quantum);
    g_test_add_func("/sched/width", test_width);
    g_test_add_func("/sched/one-is-enough", test_one_is_enough);
    g_test_add_func("/sched/fixed-share", test_fixed_share);
    g_test_add_func("/sched/fixed-share-of-all", test_fixed_share_of_all);
    g_test_add_func("/sched/linger", test_linger);
    g_test_add_func("/sched/linger-for-nothing", test_linger_for_nothing);
    g_test_add_func("/sched/newcomer-beside-linger", test_newcomer_beside_linger);
    g_test_add_func("/sched/newcomer-beside-holder", test_newcomer_beside_holder);
    g_test_add_func("/sched/width-while-held", test_width_while_held);
    g_test_add_func("/sched/charged-asleep", test_charged_asleep);
    g_test_add_func("/sched/policy-while-held", test_policy_while_held);
    g_test_add_func("/sched/exclusive", test_exclusive);
    g_test_add_func("/sched/after-exclusive", test_after_exclusive);
    g_test_add_func("/sched/adopted", test_adopted);
    g_test_add_func("/sched/absurd-charges", test_absurd_charges);
    g_test_add_func("/sched/decision-time", test_decision_time);
    return g_test_run();
}
