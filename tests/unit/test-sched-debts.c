/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who owes what to whom: long batches, late charges, sleepers, newcomers, and those away for a moment. */
#include "sched-fixture.h"

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sched-debts/bulk-charge", test_bulk_charge);
    g_test_add_data_func("/sched-debts/bulk-charge-of-two", NULL, test_bulk_charge_of_two);
    g_test_add_data_func("/sched-debts/late-charge-of-two", "late", test_bulk_charge_of_two);
    g_test_add_func("/sched-debts/overshoot", test_overshoot);
    g_test_add_func("/sched-debts/carry", test_carry);
    g_test_add_func("/sched-debts/sleeper", test_sleeper);
    g_test_add_func("/sched-debts/debt-kept", test_debt_kept);
    g_test_add_func("/sched-debts/debt-slept-off", test_debt_slept_off);
    g_test_add_func("/sched-debts/debt-under-another-weight", test_debt_under_another_weight);
    g_test_add_func("/sched-debts/newcomer-beside-debt", test_newcomer_beside_debt);
    g_test_add_func("/sched-debts/priority", test_priority);
    g_test_add_func("/sched-debts/low-is-not-starved", test_low_is_not_starved);
    g_test_add_func("/sched-debts/linger", test_linger);
    g_test_add_func("/sched-debts/linger-for-nothing", test_linger_for_nothing);
    g_test_add_func("/sched-debts/newcomer-beside-linger", test_newcomer_beside_linger);
    g_test_add_func("/sched-debts/newcomer-beside-holder", test_newcomer_beside_holder);
    g_test_add_func("/sched-debts/charged-asleep", test_charged_asleep);
    return g_test_run();
}
