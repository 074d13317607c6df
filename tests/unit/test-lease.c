/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client of a lease, one step at a time. */
#include <errno.h>

#include "lease-client.h"

static void test_none_to_be_had(void)
{
    LeaseClient *l = lease_new(-1, -1, -1);
    uint32_t ticket;

    g_assert_nonnull(l);
    g_assert_cmpint(lease_try(l, &ticket), ==, LEASE_HELD);
    g_assert_true(lease_enter(l, &ticket));
    g_assert_false(lease_over(l, ticket));
    lease_progress(l, 1);
    lease_queue_depth(l, 1);
    lease_enough(l);
    lease_want(l);
    g_assert_cmpuint(lease_left(l, ticket), ==, UINT64_MAX);
    lease_leave(l, ticket, 0);
    g_assert_cmpint(lease_wake_fd(l), ==, -1);
    lease_woken(l);
    g_assert_cmpuint(lease_frame_interval(l), ==, 0);
    lease_interrupt(l);
    lease_free(l);
    lease_free(NULL);
}

static void test_not_a_page(void)
{
    int fd = memfd_create("no-lease", MFD_CLOEXEC), ev = eventfd(0, EFD_NONBLOCK);

    g_assert_cmpint(ftruncate(fd, 100), ==, 0);
    g_assert_null(lease_new(fd, ev, ev));
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpint(ftruncate(fd, VGPU_LEASE_SIZE), ==, 0);
    g_assert_null(lease_new(fd, ev, ev));
    g_assert_cmpint(errno, ==, EPROTO);
    g_assert_null(lease_new(ev, ev, ev));
    close(fd);
    g_assert_null(lease_new(fd, ev, ev));
    g_assert_cmpint(errno, ==, EBADF);
    close(ev);
}

static void test_granted(void)
{
    Host h;
    uint32_t ticket, second;
    uint64_t before = now_ns();

    host_open(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmphex(state(&h), ==, WANTED);
    g_assert_cmpuint(calls(&h), ==, 1);
    acknowledge(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmpuint(calls(&h), ==, 0); /* asked once is asked */

    lease_woken(h.l);
    g_assert_false(readable(lease_wake_fd(h.l), 0));
    grant(&h);
    g_assert_true(readable(lease_wake_fd(h.l), DEADLINE_MS));
    lease_woken(h.l);
    g_assert_false(readable(lease_wake_fd(h.l), 0));

    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, GRANTED | 1);
    g_assert_cmpuint(h.page->busy_since_ns, >=, before);
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, GRANTED | 2);
    g_assert_false(lease_over(h.l, ticket));
    lease_leave(h.l, second, 0);
    g_assert_cmpuint(h.page->busy_ns, ==, 0); /* in use by the first one yet */
    lease_leave(h.l, ticket, 0);
    g_assert_cmphex(state(&h), ==, GRANTED); /* nobody waits: it stays ours */
    g_assert_cmpuint(h.page->busy_ns, >, 0);
    g_assert_cmpuint(h.page->busy_ns, <=, now_ns() + 1000 - before);
    g_assert_cmpuint(h.page->busy_since_ns, ==, 0);
    g_assert_cmpuint(h.page->batches, ==, 2);
    g_assert_cmpuint(calls(&h), ==, 0);

    /* what was measured is what is claimed */
    before = h.page->busy_ns;
    ticket = hold(&h);
    lease_leave(h.l, ticket, 12345);
    g_assert_cmpuint(h.page->busy_ns, ==, before + 12345);
    lease_progress(h.l, 5);
    lease_queue_depth(h.l, 7);
    g_assert_cmpuint(h.page->batches, ==, 8);
    g_assert_cmpuint(h.page->queue_depth, ==, 7);
    host_close(&h);
}

static void test_settings(void)
{
    Host h;

    host_open(&h);
    h.page->frame_interval_ns = 16666667;
    h.page->quantum_ns = 2 * MS;
    g_assert_cmpuint(lease_frame_interval(h.l), ==, 16666667);
    g_assert_cmpuint(lease_quantum(h.l), ==, 2 * MS);
    h.page->hang_timeout_ns = 10000 * MS;
    g_assert_cmpuint(lease_hang_timeout(h.l), ==, 10000 * MS);
    host_close(&h);
}

static void test_taken_back_idle(void)
{
    Host h;
    uint32_t ticket;

    host_open(&h);
    lease_leave(h.l, hold(&h), 0);
    g_assert_true(swap(&h, GRANTED, 0));
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmphex(state(&h), ==, WANTED);
    g_assert_cmpuint(calls(&h), ==, 1);
    host_close(&h);
}

static void test_yield(void)
{
    Host h;
    uint32_t first, second, third;

    /* before its end the slice may be used; the last to leave gives it back */
    host_open(&h);
    first = hold(&h);
    ask_back(&h, now_ns() + 3600 * 1000 * MS);
    g_assert_false(lease_over(h.l, first));
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, GRANTED | YIELD | 2);
    lease_leave(h.l, first, 0);
    g_assert_cmphex(state(&h), ==, GRANTED | YIELD | 1);
    g_assert_cmpuint(calls(&h), ==, 0);
    lease_leave(h.l, second, 0);
    g_assert_cmphex(state(&h), ==, 0);
    g_assert_cmpuint(calls(&h), ==, 1);

    /* after its end nobody more comes in, and who waits is not forgotten */
    first = hold(&h);
    ask_back(&h, now_ns());
    g_assert_true(lease_over(h.l, first));
    g_assert_cmpint(lease_try(h.l, &third), ==, LEASE_WAITING);
    g_assert_cmphex(state(&h), ==, GRANTED | YIELD | WANTED | 1);
    g_assert_cmpuint(calls(&h), ==, 0); /* there is nothing to grant yet */
    lease_leave(h.l, first, 0);
    g_assert_cmphex(state(&h), ==, WANTED);
    g_assert_cmpuint(calls(&h), ==, 1);
    grant(&h);
    g_assert_cmpint(lease_try(h.l, &third), ==, LEASE_HELD);

    /* end_ns 0: now */
    ask_back(&h, 0);
    g_assert_true(lease_over(h.l, third));
    lease_leave(h.l, third, 0);
    g_assert_cmphex(state(&h), ==, 0);
    host_close(&h);
}

/* Who has enough of a slice has none of it left, and the next one whole. */
static void test_enough(void)
{
    Host h;
    uint32_t first, second;

    host_open(&h);
    first = hold(&h);
    g_assert_cmpuint(lease_left(h.l, first), ==, UINT64_MAX);
    ask_back(&h, now_ns() + 3600 * 1000 * MS);
    g_assert_cmpuint(lease_left(h.l, first), >, 1800 * 1000 * MS);
    g_assert_cmpuint(lease_left(h.l, first), <=, 3600 * 1000 * MS);
    lease_enough(h.l);
    g_assert_cmpuint(lease_left(h.l, first), ==, 0);
    g_assert_true(lease_over(h.l, first));
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_WAITING);
    g_assert_cmphex(state(&h), ==, GRANTED | YIELD | WANTED | 1);
    lease_leave(h.l, first, 0);
    g_assert_cmphex(state(&h), ==, WANTED);
    g_assert_cmpuint(calls(&h), ==, 1);
    h.page->end_ns = now_ns() + 3600 * 1000 * MS;
    g_assert_true(swap(&h, WANTED, GRANTED | YIELD));
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_HELD);
    g_assert_cmpuint(lease_left(h.l, second), >, 0);
    /* and where nobody waits any more there is no end */
    lease_enough(h.l);
    g_assert_true(swap(&h, GRANTED | YIELD | 1, GRANTED | 1));
    g_assert_cmpuint(lease_left(h.l, second), ==, UINT64_MAX);
    lease_leave(h.l, second, 0);
    host_close(&h);
}

/* vgpud hears of the end of a turn and of the wish for another one at once. */
static void test_want(void)
{
    Host h;
    uint32_t ticket;

    host_open(&h);
    lease_want(h.l);
    g_assert_cmphex(state(&h), ==, 0); /* there is no turn */
    ticket = hold(&h);
    lease_want(h.l);
    g_assert_cmphex(state(&h), ==, GRANTED | 1); /* nor does it end */
    ask_back(&h, 0);
    lease_want(h.l);
    g_assert_cmphex(state(&h), ==, GRANTED | YIELD | WANTED | 1);
    g_assert_cmpuint(calls(&h), ==, 0);
    lease_leave(h.l, ticket, 0);
    g_assert_cmphex(state(&h), ==, WANTED);
    g_assert_cmpuint(calls(&h), ==, 1);
    acknowledge(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmpuint(calls(&h), ==, 0);
    grant(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_HELD);
    lease_leave(h.l, ticket, 0);
    host_close(&h);
}

/* Granted with a slice that ends: it may pass before anybody enters. */
static void test_slice_missed(void)
{
    Host h;
    uint32_t ticket;

    host_open(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmpuint(calls(&h), ==, 1);
    h.page->end_ns = now_ns();
    g_assert_true(swap(&h, WANTED, GRANTED | YIELD));
    wake(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmphex(state(&h), ==, WANTED);
    g_assert_cmpuint(calls(&h), ==, 1);
    h.page->end_ns = now_ns() + 3600 * 1000 * MS;
    g_assert_true(swap(&h, WANTED, GRANTED | YIELD));
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, GRANTED | YIELD | 1);
    lease_leave(h.l, ticket, 0);
    g_assert_cmphex(state(&h), ==, 0);
    host_close(&h);
}

/* Who made it yield went away: those who wait here for the next grant hear of it. */
static void test_yield_withdrawn(void)
{
    Host h;
    uint32_t first, second;

    host_open(&h);
    first = hold(&h);
    ask_back(&h, 0);
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_WAITING);
    __atomic_and_fetch(&h.page->state, ~YIELD, __ATOMIC_ACQ_REL);
    wake(&h);
    g_assert_true(readable(lease_wake_fd(h.l), DEADLINE_MS));
    lease_woken(h.l);
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, GRANTED | 2);
    lease_leave(h.l, second, 0);

    /* the same where the last user leaves before they look */
    ask_back(&h, 0);
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_WAITING);
    __atomic_and_fetch(&h.page->state, ~YIELD, __ATOMIC_ACQ_REL);
    lease_woken(h.l);
    lease_leave(h.l, first, 0);
    g_assert_cmphex(state(&h), ==, GRANTED);
    g_assert_true(readable(lease_wake_fd(h.l), DEADLINE_MS));
    g_assert_cmpint(lease_try(h.l, &second), ==, LEASE_HELD);
    host_close(&h);
}

static void test_revoked(void)
{
    Host h;
    uint32_t old, new;

    host_open(&h);
    /* 300 times: the epoch wraps */
    for (unsigned i = 1; i <= 300; i++) {
        uint32_t epoch = (i << VGPU_LEASE_EPOCH_SHIFT) & VGPU_LEASE_EPOCH_MASK;

        old = hold(&h);
        take_away(&h);
        g_assert_true(lease_over(h.l, old));
        g_assert_cmpint(lease_try(h.l, &new), ==, LEASE_WAITING);
        g_assert_cmphex(state(&h), ==, epoch | WANTED);
        grant(&h);
        g_assert_cmpint(lease_try(h.l, &new), ==, LEASE_HELD);
        /* the old one does not count any more */
        lease_leave(h.l, old, 0);
        g_assert_cmphex(state(&h), ==, epoch | GRANTED | 1);
        g_assert_false(lease_over(h.l, new));
        lease_leave(h.l, new, 0);
        g_assert_cmphex(state(&h), ==, epoch | GRANTED);
    }
    old = hold(&h);
    take_away(&h);
    lease_leave(h.l, old, 0);
    g_assert_cmphex(state(&h) & (GRANTED | USERS), ==, 0);
    g_assert_cmpuint(h.page->busy_since_ns, ==, 0);
    host_close(&h);
}

/* vgpud does not answer: work goes on without a lease, and with one when it is back. */
static void test_gone(void)
{
    Host h;
    uint32_t ticket, other;

    host_open(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmpuint(calls(&h), ==, 1);
    g_assert_true(readable(lease_wake_fd(h.l), DEADLINE_MS));
    lease_woken(h.l);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, WANTED); /* it is not: nobody granted it */
    g_assert_cmpuint(h.page->loose_ns, ==, 0);
    lease_leave(h.l, ticket, 0);
    g_assert_cmpuint(h.page->loose_ns, >, 0);
    g_assert_cmpuint(h.page->loose_ns, ==, h.page->busy_ns);

    /* It calls again now and then, and works meanwhile. */
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_HELD);
    while (!lease_over(h.l, ticket)) {
        g_usleep(10000);
    }
    lease_leave(h.l, ticket, 0);
    g_assert_cmpuint(calls(&h), ==, 0);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_HELD);
    g_assert_cmpuint(calls(&h), ==, 1);

    /* A vgpud that acknowledges is obeyed ... */
    acknowledge(&h);
    g_assert_true(lease_over(h.l, ticket));
    lease_leave(h.l, ticket, 0);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    grant(&h);
    g_assert_cmpint(lease_try(h.l, &other), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, GRANTED | 1);
    lease_leave(h.l, other, 0);
    host_close(&h);
}

/* ... and one that grants unasked, because it found the page in a renderer. */
static void test_back(void)
{
    Host h;
    uint32_t loose, ticket;

    host_open(&h);
    while (lease_try(h.l, &loose) == LEASE_WAITING) {
        g_usleep(10000);
    }
    g_assert_false(lease_over(h.l, loose));
    grant(&h);
    g_assert_true(lease_over(h.l, loose));
    lease_leave(h.l, loose, 0);
    g_assert_cmphex(state(&h), ==, GRANTED);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_HELD);
    g_assert_cmphex(state(&h), ==, GRANTED | 1);
    /* lost again, and vgpud is there again: it waits, as if nothing had been */
    ask_back(&h, 0);
    lease_leave(h.l, ticket, 0);
    calls(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    g_assert_cmpuint(calls(&h), ==, 1);
    host_close(&h);
}

/* It acknowledged and was gone before it granted. */
static void test_gone_while_waiting(void)
{
    Host h;
    uint32_t ticket;
    uint64_t start = now_ns();

    host_open(&h);
    g_assert_cmpint(lease_try(h.l, &ticket), ==, LEASE_WAITING);
    acknowledge(&h);
    while (lease_try(h.l, &ticket) == LEASE_WAITING) {
        g_assert_true(readable(lease_wake_fd(h.l), DEADLINE_MS));
        lease_woken(h.l);
    }
    g_assert_cmpuint(now_ns() - start, >=, VGPU_LEASE_LOOSE_NS + VGPU_LEASE_ACK_NS);
    host_close(&h);
}

/* vgpud is told to look, and nothing else happens. */
static void test_look(void)
{
    Host h;

    host_open(&h);
    lease_look(h.l);
    g_assert_cmpuint(calls(&h), ==, 1);
    g_assert_cmphex(state(&h), ==, 0);
    host_close(&h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease/none-to-be-had", test_none_to_be_had);
    g_test_add_func("/lease/not-a-page", test_not_a_page);
    g_test_add_func("/lease/granted", test_granted);
    g_test_add_func("/lease/settings", test_settings);
    g_test_add_func("/lease/look", test_look);
    g_test_add_func("/lease/taken-back-idle", test_taken_back_idle);
    g_test_add_func("/lease/yield", test_yield);
    g_test_add_func("/lease/enough", test_enough);
    g_test_add_func("/lease/want", test_want);
    g_test_add_func("/lease/slice-missed", test_slice_missed);
    g_test_add_func("/lease/yield-withdrawn", test_yield_withdrawn);
    g_test_add_func("/lease/revoked", test_revoked);
    g_test_add_func("/lease/gone", test_gone);
    g_test_add_func("/lease/back", test_back);
    g_test_add_func("/lease/gone-while-waiting", test_gone_while_waiting);
    return g_test_run();
}
