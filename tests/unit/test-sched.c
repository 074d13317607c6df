/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scheduler, one behaviour a test; see test-sched-debts.c for who owes what, test-sched-load.c for loads.
 */
#include "sched/sched_private.h"
#include "sched-fixture.h"

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

/* Who becomes wider leaves, although nobody waits, and is alone when it comes back. */
static void test_wider(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 2);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1);
    SchedParams wide = { .share_ppm = 500000, .priority = SCHED_PRIORITY_NORMAL, .width = 2 };

    sched_want(s, a, 0);
    sched_want(s, b, 0);
    granted(s, a, 0);
    granted(s, b, 0);
    assert_nobody_asked(s, 0);
    sched_set_params(s, a, &wide, 1 * MS);
    assert_asked(s, 1 * MS, a, 2 * MS);
    assert_nobody_asked(s, 1 * MS);
    back(s, a, 2 * MS, 2 * MS, true);
    assert_none(s, 2 * MS);
    assert_asked(s, 2 * MS, b, 2 * MS);
    back(s, b, 2 * MS, 2 * MS, false);
    granted(s, a, 2 * MS);
    sched_want(s, b, 3 * MS);
    assert_none(s, 3 * MS);
    sched_free(s);
}

/* More hold than fit, as an earlier vgpud's renderers may: so many leave that those who stay do. */
static void test_too_many(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 2);
    SchedClient *a = add(s, 0.5, SCHED_PRIORITY_NORMAL, 2), *b = add(s, 0.5, SCHED_PRIORITY_NORMAL, 1), *c;
    uint64_t end;

    sched_hold(s, a, 0);
    sched_hold(s, b, 0);
    g_assert_true(sched_preempt(s, 5 * MS, &c, &end));
    g_assert_true(c == a || c == b);
    g_assert_cmpuint(end, ==, 5 * MS);
    assert_nobody_asked(s, 5 * MS);
    back(s, c, 5 * MS, 5 * MS, true);
    if (c == b) { /* a stays, and is as wide as all */
        assert_none(s, 5 * MS);
        assert_asked(s, 5 * MS, a, 5 * MS);
    }
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

/* Entries moved in all heaps by a turn of one of so many, on average; and the most by any. */
static double steps_of_a_turn(SchedPolicy policy, unsigned clients, uint64_t *most)
{
    const unsigned turns = 2000;
    Sched *s = sched_new(policy, 1);
    uint64_t now = 0, first, all = 0;

    for (unsigned i = 0; i < clients; i++) {
        sched_want(s, add(s, 1.0 / clients, (SchedPriority)(i % 3), 1), 0);
    }
    *most = 0;
    for (unsigned i = 0; i < turns; i++) {
        SchedGrant g;

        first = s->waiting[0].steps + s->throttled.steps + s->holding.steps + s->lingering.steps;
        while (!sched_grant(s, now, &g)) {
            now = sched_next(s, now); /* fixed shares: somebody's allowance has grown */
        }
        now += 1 * MS + (uint64_t)g_test_rand_int_range(0, 1000000);
        back(s, g.client, 1 * MS, now, true);
        g_assert_false(sched_preempt(s, now, &g.client, &g.slice_ns));
        first = s->waiting[0].steps + s->throttled.steps + s->holding.steps + s->lingering.steps - first;
        *most = MAX(*most, first);
        all += first;
    }
    sched_free(s);
    return (double)all / turns;
}

/* Sixteen times as many clients cost four more levels of a heap each time, and nothing else. */
static void test_growth(gconstpointer policy)
{
    double before = 0, grown = 0;

    for (unsigned levels = 4; levels <= 16; levels += 4) {
        uint64_t most;
        double steps = steps_of_a_turn((SchedPolicy)GPOINTER_TO_INT(policy), 1u << levels, &most);

        g_test_message("%u clients: %.1f steps a turn, at most %u", 1u << levels, steps, (unsigned)most);
        if (before) {
            grown = MAX(grown, steps - before);
        }
        before = steps;
        g_assert_cmpfloat(steps, <=, 5 * levels + 10);
    }
    g_assert_cmpfloat(grown, <=, 5 * 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/sched/growth/best-effort", GINT_TO_POINTER(SCHED_BEST_EFFORT), test_growth);
    g_test_add_data_func("/sched/growth/fixed-share", GINT_TO_POINTER(SCHED_FIXED_SHARE), test_growth);
    g_test_add_func("/sched/alone", test_alone);
    g_test_add_func("/sched/turns", test_turns);
    g_test_add_func("/sched/asked-at-once", test_asked_at_once);
    g_test_add_func("/sched/wider", test_wider);
    g_test_add_func("/sched/too-many", test_too_many);
    g_test_add_func("/sched/equal-share", test_equal_share);
    g_test_add_func("/sched/quantum", test_quantum);
    g_test_add_func("/sched/width", test_width);
    g_test_add_func("/sched/one-is-enough", test_one_is_enough);
    g_test_add_func("/sched/fixed-share", test_fixed_share);
    g_test_add_func("/sched/fixed-share-of-all", test_fixed_share_of_all);
    g_test_add_func("/sched/width-while-held", test_width_while_held);
    g_test_add_func("/sched/policy-while-held", test_policy_while_held);
    g_test_add_func("/sched/exclusive", test_exclusive);
    g_test_add_func("/sched/after-exclusive", test_after_exclusive);
    g_test_add_func("/sched/adopted", test_adopted);
    g_test_add_func("/sched/absurd-charges", test_absurd_charges);
    g_test_add_func("/sched/decision-time", test_decision_time);
    return g_test_run();
}
