/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases among many: a vgpud on a thread, clients on others and in other processes. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lease-client.h"

/* A vgpud on a thread: serves calls, grants, and takes back as it likes. */
typedef struct Server {
    Host *h;
    GThread *thread;
    gint quit;        /* atomic */
    gint inside;      /* atomic: of the clients, between enter and leave */
    gint bad;         /* atomic: seen inside without a lease */
    uint64_t longest; /* between two looks, ns */
    bool slices;      /* takes it back after a slice of slice_ns */
    uint64_t slice_ns;
    gint grants; /* atomic */
} Server;

static gpointer serve(gpointer data)
{
    Server *s = data;
    Host *h = s->h;
    uint64_t last = now_ns();

    while (!g_atomic_int_get(&s->quit)) {
        uint64_t now = now_ns();
        uint32_t old;

        s->longest = MAX(s->longest, now - last);
        last = now;

        readable(h->call, 1);
        if (calls(h)) {
            acknowledge(h);
        }
        old = state(h);
        if (!(old & GRANTED)) {
            /* ours: nobody may be at work */
            if (g_atomic_int_get(&s->inside)) {
                g_atomic_int_set(&s->bad, 1);
            }
            if (old & WANTED) {
                if (s->slices) {
                    __atomic_store_n(&h->page->end_ns, now_ns() + s->slice_ns, __ATOMIC_RELAXED);
                }
                g_assert_true(swap(h, old, GRANTED | (s->slices && s->grants % 2 ? YIELD : 0)));
                g_atomic_int_inc(&s->grants);
                wake(h);
            }
        } else if (s->slices && !(old & USERS)) {
            swap(h, old, 0);
        } else if (s->slices && !(old & YIELD)) {
            swap(h, old, old | YIELD);
        }
    }
    return NULL;
}

static void server_start(Server *s, Host *h)
{
    s->h = h;
    s->thread = g_thread_new("vgpud", serve, s);
}

static void server_stop(Server *s)
{
    g_atomic_int_set(&s->quit, 1);
    g_thread_join(s->thread);
    if (s->longest > VGPU_LEASE_ACK_NS / 2) {
        g_test_message("this machine kept vgpud from running for %.0f ms", s->longest / 1e6);
        return;
    }
    g_assert_cmpuint(s->h->page->loose_ns, ==, 0);
    g_assert_cmpint(s->bad, ==, 0);
}

typedef struct Worker {
    Host *h;
    LeaseClient *l;
    Server *s;
    int until; /* as many grants */
    guint entries;
} Worker;

static gpointer work(gpointer data)
{
    Worker *w = data;

    while (g_atomic_int_get(&w->s->grants) < w->until) {
        uint32_t ticket;

        g_assert_true(lease_enter(w->l, &ticket));
        g_atomic_int_inc(&w->s->inside);
        if (g_atomic_int_add((gint *)&w->entries, 1) % 16 == 0) {
            g_thread_yield();
        }
        g_atomic_int_add(&w->s->inside, -1);
        lease_leave(w->l, ticket, 0);
    }
    return NULL;
}

static void test_enter_waits(void)
{
    Host h;
    Server s = { 0 };
    uint32_t ticket;

    host_open(&h);
    server_start(&s, &h);
    g_assert_true(lease_enter(h.l, &ticket));
    g_assert_cmphex(state(&h), ==, GRANTED | 1);
    lease_leave(h.l, ticket, 0);
    server_stop(&s);
    g_assert_cmpint(s.grants, ==, 1);
    host_close(&h);
}

/* Many threads with two clients of one page, and slices too short for all of them. */
static void test_threads(void)
{
    Host h;
    Server s = { .slices = true, .slice_ns = 200 * 1000 };
    GThread *threads[8];
    LeaseClient *second;
    Worker w[2];

    host_open(&h);
    second = lease_new(h.page_fd, h.call, h.wake);
    server_start(&s, &h);
    for (unsigned i = 0; i < 2; i++) {
        w[i] = (Worker){ .h = &h, .l = i ? second : h.l, .s = &s, .until = 50 };
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("worker", work, &w[i % 2]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    server_stop(&s);
    g_test_message("%d grants for %u entries", s.grants, w[0].entries + w[1].entries);
    g_assert_cmphex(state(&h) & USERS, ==, 0);
    if (!h.page->loose_ns) {
        g_assert_cmpuint(h.page->batches, ==, w[0].entries + w[1].entries);
    }
    g_assert_cmpuint(h.page->busy_since_ns, ==, 0);
    lease_free(second);
    host_close(&h);
}

/* Another process of the VM dies with the lease in its hands: revoked, and all goes on. */
static void test_processes(void)
{
    Host h;
    Server s = { .slices = true, .slice_ns = 200 * 1000 };
    pid_t child;
    int status;
    Worker w = { .h = &h, .s = &s, .until = 50 };
    uint32_t ticket;

    host_open(&h);
    w.l = h.l;
    hold(&h);
    child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        LeaseClient *l;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        l = lease_new(h.page_fd, h.call, h.wake);
        if (!l || lease_try(l, &ticket) != LEASE_HELD) {
            _exit(1);
        }
        raise(SIGKILL);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmphex(state(&h), ==, GRANTED | 2);
    take_away(&h);
    __atomic_store_n(&h.page->state, 0, __ATOMIC_RELEASE); /* epoch 0 again, for serve() */
    server_start(&s, &h);

    child = fork();
    if (child == 0) {
        LeaseClient *l = lease_new(h.page_fd, h.call, h.wake);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (unsigned i = 0; l && i < 500; i++) {
            if (!lease_enter(l, &ticket)) {
                _exit(1);
            }
            lease_leave(l, ticket, 0);
        }
        _exit(l ? 0 : 1);
    }
    work(&w);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    server_stop(&s);
    g_assert_cmphex(state(&h) & USERS, ==, 0);
    host_close(&h);
}

static gpointer enter_in_vain(gpointer data)
{
    Host *h = data;
    uint32_t ticket;

    /* No vgpud acknowledges: loose in the end, were it not for the interrupt. */
    return GINT_TO_POINTER(lease_enter(h->l, &ticket) ? 1 : 2);
}

static void test_interrupt(void)
{
    Host h;
    GThread *threads[4];
    uint32_t ticket;

    host_open(&h);
    hold(&h);
    ask_back(&h, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("waiter", enter_in_vain, &h);
    }
    while (!(state(&h) & WANTED)) {
        g_usleep(100);
    }
    lease_interrupt(h.l);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(threads[i])), ==, 2);
    }
    g_assert_false(lease_enter(h.l, &ticket)); /* now and later */
    host_close(&h);
}

/* Figures only: what a machine that is busy makes of them is no failure. */
static void test_figures(void)
{
    enum { ROUNDS = 200000, HANDOVERS = 200 };
    Host h;
    Server s = { .slices = true, .slice_ns = 0 };
    uint32_t ticket;
    uint64_t start;

    host_open(&h);
    lease_leave(h.l, hold(&h), 0);
    start = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (lease_try(h.l, &ticket) == LEASE_HELD) {
            lease_leave(h.l, ticket, 0);
        }
    }
    g_test_message("acquire and release, nobody waits: %.0f ns", (double)(now_ns() - start) / ROUNDS);
    g_assert_cmpuint(h.page->batches, ==, ROUNDS + 1);
    ticket = hold(&h);
    start = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        g_assert_false(lease_over(h.l, ticket));
    }
    g_test_message("a look between two commands: %.1f ns", (double)(now_ns() - start) / ROUNDS);
    ask_back(&h, 0);
    lease_leave(h.l, ticket, 0);
    server_start(&s, &h);
    start = now_ns();
    for (unsigned i = 0; i < HANDOVERS; i++) {
        g_assert_true(lease_enter(h.l, &ticket));
        ask_back(&h, 0);
        lease_leave(h.l, ticket, 0);
    }
    g_test_message("return, call, grant and wake: %.1f us", (double)(now_ns() - start) / HANDOVERS / 1000);
    server_stop(&s);
    host_close(&h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease/crowd/enter-waits", test_enter_waits);
    g_test_add_func("/lease/crowd/threads", test_threads);
    g_test_add_func("/lease/crowd/processes", test_processes);
    g_test_add_func("/lease/crowd/interrupt", test_interrupt);
    g_test_add_func("/lease/crowd/figures", test_figures);
    return g_test_run();
}
