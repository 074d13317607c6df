/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slice of the GPU's time: what a renderer begins in it, and how it ends. */
#include "leased.h"

#define SLICE_FOREVER (now_ns() + 3600 * 1000 * MS)

/* What is in flight is finished first; what comes meanwhile waits for the next turn. */
static void test_yields_with_nothing_in_flight(gconstpointer fenced)
{
    enum { COST_US = 700 * 1000 };
    g_autoptr(Leased) v = leased_null_granted("--null-submit-how=async");
    g_autoptr(Pending) first = NULL;
    g_autoptr(Pending) second = NULL;
    uint64_t sent;
    gint called;

    leased_barrier(v);
    called = g_atomic_int_get(&v->calls);
    sent = now_ns();
    first = leased_submit(v, COST_US, GPOINTER_TO_INT(fenced));
    leased_wait(v, USERS, 1);
    ask_back(&v->h, 0);
    second = leased_submit(v, 0, 2);
    if (!fenced) {
        /* its answer says nothing of the GPU: a fence of the renderer's own does */
        g_assert_true(leased_answered(v, first));
    }
    leased_wait(v, GRANTED, 0);
    g_assert_cmpuint(now_ns() - sent, >=, COST_US * 1000ull);
    g_assert_true(leased_answered(v, first));
    leased_wait(v, UINT32_MAX, WANTED);
    leased_barrier(v);
    g_assert_false(frontend_collect(v->f, second));
    leased_calls_reach(v, called + 1);
    grant(&v->h);
    g_assert_true(leased_answered(v, second));
    leased_wait(v, UINT32_MAX, GRANTED);
    leased_claim_becomes(&v->h.page->busy_ns, COST_US * 1000ull, UINT64_MAX);
}

/* Before the slice ends it is used, after the end one command at most is finished. */
static void test_slices(void)
{
    enum { COUNT = 60, COST_US = 2000 };
    g_autoptr(Leased) v = leased_null_granted("--null-submit-how=sleep");
    Pending *p[COUNT];
    unsigned slices = 0, done = 0;

    leased_take_back(v);
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = leased_submit(v, COST_US, i + 1);
    }
    while (done < COUNT && slices < COUNT) {
        uint64_t before = done, begin;

        if (!leased_wait(v, GRANTED | WANTED, WANTED)) {
            break;
        }
        leased_barrier(v);
        frontend_collect(v->f, NULL);
        for (done = 0; done < COUNT && p[done]->done; done++) {
            continue;
        }
        slices++;
        begin = now_ns();
        v->h.page->end_ns = begin + 10 * MS;
        g_assert_true(swap(&v->h, WANTED, GRANTED | YIELD));
        wake(&v->h);
        leased_wait(v, GRANTED, 0);
        leased_barrier(v);
        frontend_collect(v->f, NULL);
        for (done = 0; done < COUNT && p[done]->done; done++) {
            continue;
        }
        /* each takes 2 ms, so no more than 5 begin before the end, and one at the very end */
        g_assert_cmpuint(done - before, <=, 6);
        if (done == COUNT) {
            break;
        }
    }
    g_test_message("%u commands in %u slices", done, slices);
    g_assert_cmpuint(done, ==, COUNT);
    g_assert_cmpuint(slices, >=, COUNT / 6);
    for (unsigned i = 0; i < COUNT; i++) {
        pending_free(p[i]);
    }
}

/* A slice that goes on is used to its end without a message in between. */
static void test_slice_not_over(void)
{
    g_autoptr(Leased) v = leased_null_granted("--null-submit-how=async");
    g_autoptr(Pending) p = NULL;
    g_autoptr(Pending) q = NULL;

    leased_barrier(v);
    p = leased_submit(v, 500 * 1000, 1);
    leased_wait(v, USERS, 1);
    ask_back(&v->h, SLICE_FOREVER);
    q = leased_submit(v, 0, 2);
    g_assert_true(leased_answered(v, q)); /* in the same slice */
    g_assert_true(leased_answered(v, p));
    leased_wait(v, UINT32_MAX, 0); /* drained: it goes back before its end */
}

/*
 * Three are there at once, and a slice has room for one and a quarter of them: each has
 * one.  (With one and a half, what comes nearest is a matter of how long a sleep of 20 ms takes.)
 */
static void test_as_much_as_fits(void)
{
    enum { COUNT = 3, COST_MS = 20, SLICE_MS = 25, LEARN = 40 };
    g_autoptr(Leased) v = leased_null_granted("--null-submit-how=async");
    Pending *p[COUNT];
    uint64_t batches;

    for (unsigned i = 0; i < LEARN; i++) {
        g_autoptr(Pending) q = leased_submit(v, COST_MS * 1000, i + 1);

        g_assert_true(leased_answered(v, q));
    }
    leased_take_back(v);
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = leased_submit(v, COST_MS * 1000, LEARN + i + 1);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        leased_wait(v, GRANTED | WANTED, WANTED);
        leased_barrier(v);
        batches = leased_claim(&v->h.page->batches);
        v->h.page->end_ns = now_ns() + SLICE_MS * MS;
        g_assert_true(swap(&v->h, WANTED, GRANTED | YIELD));
        wake(&v->h);
        leased_wait(v, GRANTED, 0);
        g_assert_true(leased_answered(v, p[i]));
        leased_barrier(v);
        g_assert_cmpuint(leased_claim(&v->h.page->batches), ==, batches + 1);
        g_assert_true(i + 1 == COUNT || !frontend_collect(v->f, p[i + 1]));
    }
    for (unsigned i = 0; i < COUNT; i++) {
        pending_free(p[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_data_func("/lease/yields-with-nothing-in-flight/fenced", GINT_TO_POINTER(1),
                         test_yields_with_nothing_in_flight);
    g_test_add_data_func("/lease/yields-with-nothing-in-flight/unfenced", GINT_TO_POINTER(0),
                         test_yields_with_nothing_in_flight);
    g_test_add_func("/lease/slices", test_slices);
    g_test_add_func("/lease/slice-not-over", test_slice_not_over);
    g_test_add_func("/lease/as-much-as-fits", test_as_much_as_fits);
    return g_test_run();
}
