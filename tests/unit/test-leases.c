/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpud's side of leases, one behaviour a test; how time is divided is in test-leases-share.c. */
#include "lease-player.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "vgpud/ini.h"

typedef struct Seen {
    void *vm;
    uint64_t ns;
    unsigned times, awake;
} Seen;

static void on_hung(void *vm, uint64_t ns, void *opaque)
{
    Seen *seen = opaque;

    seen->vm = vm;
    seen->ns = ns;
    seen->times++;
}

static void on_awake(void *opaque)
{
    ((Seen *)opaque)->awake++;
}

static Leases *new_leases(Seen *seen)
{
    g_autoptr(GError) error = NULL;
    Leases *l = leases_new(on_hung, seen, &error);

    g_assert_no_error(error);
    leases_set_policy(l, "gpu0", SCHED_BEST_EFFORT, 1);
    leases_start(l);
    return l;
}

static void run_main_context(unsigned ms)
{
    gint64 end = g_get_monotonic_time() + ms * 1000;

    while (g_get_monotonic_time() < end) {
        while (g_main_context_iteration(NULL, FALSE)) {
        }
        g_usleep(1000);
    }
}

/* Context switches of the thread that serves leases: how often it ran. */
static uint64_t thread_runs(void)
{
    g_autofree char *status = leases_thread("status");
    const char *line = strstr(status, "\nvoluntary_ctxt_switches:");

    return g_ascii_strtoull(strchr(line + 1, ':') + 1, NULL, 10);
}

/* Alone, a VM asks once, and then neither side says a word. */
static void test_silence(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(1);
    Player p;
    uint32_t ticket;
    uint64_t runs;

    player_open(&p, l, &s);
    g_assert_true(lease_enter(p.client, &ticket));
    lease_leave(p.client, ticket, 0);
    g_usleep(100000);
    runs = thread_runs();
    for (unsigned i = 0; i < 200; i++) {
        g_assert_cmpint(lease_try(p.client, &ticket), ==, LEASE_HELD);
        g_usleep(1000);
        lease_leave(p.client, ticket, 0);
    }
    g_assert_cmpuint(thread_runs(), ==, runs);
    g_assert_cmpuint(player_figures(&p).grants, ==, 1);
    g_assert_true(player_figures(&p).holds);
    g_assert_cmpuint(p.page->ack, ==, 2); /* when it was attached, and its call */
    player_close(&p);
    leases_free(l);
}

/* Nobody uses it and another wants it: it is taken without a word. */
static void test_idle_is_taken(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    uint32_t ticket;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_true(lease_enter(a.client, &ticket));
    lease_leave(a.client, ticket, 0);
    g_assert_true(lease_enter(b.client, &ticket));
    g_assert_cmphex(player_state(&a), ==, 0);
    lease_leave(b.client, ticket, 0);
    g_assert_cmphex(player_state(&b), ==, GRANTED);
    g_assert_cmpuint(player_figures(&a).preemptions, ==, 0);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* It is used: asked for, and there when the work is done. */
static void test_busy_is_asked(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    uint32_t ticket;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_true(lease_enter(a.client, &ticket));
    player_start(&b, 1000);
    WAIT_UNTIL(player_state(&a) & YIELD);
    WAIT_UNTIL(lease_over(a.client, ticket));
    g_usleep(20000);
    g_assert_cmphex(player_state(&a), ==, GRANTED | YIELD | 1);
    g_assert_false(player_figures(&b).holds);
    g_assert_true(player_figures(&b).wants);
    g_assert_cmpint(g_atomic_int_get(&b.worked_us), ==, 0);
    lease_leave(a.client, ticket, 0);
    WAIT_UNTIL(g_atomic_int_get(&b.worked_us) > 0);
    g_assert_cmpuint(player_figures(&a).overshoot_ns, >=, 15 * MS);
    g_assert_cmpuint(player_figures(&a).revocations, ==, 0);
    g_assert_cmpuint(player_figures(&b).wait_ns, >=, 15 * MS);
    player_stop(&b);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* Who waited goes away: the holder may go on, and is told. */
static void test_kept_after_all(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    uint32_t ticket;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_true(lease_enter(a.client, &ticket));
    player_start(&b, 1000);
    WAIT_UNTIL(player_state(&a) & YIELD);
    player_stop(&b);
    player_close(&b);
    WAIT_UNTIL(!(player_state(&a) & YIELD));
    g_assert_false(lease_over(a.client, ticket));
    lease_leave(a.client, ticket, 0);
    g_assert_cmphex(player_state(&a), ==, GRANTED);
    player_close(&a);
    leases_free(l);
}

/* Asks, gets it and does not begin: others wait a moment, not for ever. */
static void test_never_begins(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    uint32_t ticket;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_cmpint(lease_try(a.client, &ticket), ==, LEASE_WAITING);
    WAIT_UNTIL(player_state(&a) == GRANTED);
    g_assert_true(lease_enter(b.client, &ticket));
    g_assert_cmphex(player_state(&a), ==, 0);
    g_assert_cmpuint(player_figures(&a).used_ns, >, 0); /* it was in b's way */
    lease_leave(b.client, ticket, 0);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* A renderer that helps itself has it for a moment only, beside nobody else's. */
static void test_self_granted(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    uint32_t ticket;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_true(lease_enter(b.client, &ticket));
    __atomic_store_n(&a.page->state, GRANTED | 3, __ATOMIC_RELEASE);
    leases_tick(l);
    g_assert_cmphex(player_state(&a) & (GRANTED | USERS), ==, 0);
    __atomic_store_n(&a.page->state, UINT32_MAX, __ATOMIC_RELEASE);
    eventfd_write(a.call, 1);
    WAIT_UNTIL(!(player_state(&a) & GRANTED));
    g_assert_cmpuint(player_figures(&a).revocations, >=, 1);
    g_assert_cmphex(player_state(&b) & GRANTED, ==, GRANTED);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* ---- other processes ---- */

/* A renderer that takes the lease and then does not move. */
static pid_t fork_holder(Player *p, int sig)
{
    pid_t child = fork();

    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        LeaseClient *c;
        uint32_t ticket;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        c = lease_new(p->page_fd, p->call, p->wake);
        if (!c || !lease_enter(c, &ticket)) {
            _exit(1);
        }
        raise(sig);
        lease_leave(c, ticket, 0);
        _exit(lease_enter(c, &ticket) ? 0 : 1);
    }
    return child;
}

/* Its fork needs a lease, and the lease its pid: it waits until it is attached. */
static void attach_holder(Player *p, Leases *l, int sig, pid_t *pid)
{
    LeaseSettings s = player_settings(0.5);

    player_open(p, NULL, NULL);
    *pid = fork_holder(p, sig);
    player_attach(p, l, *pid, &s);
    WAIT_UNTIL((player_state(p) & (GRANTED | USERS)) == (GRANTED | 1));
}

/* Stopped by a signal: its lease is another's in a moment, and when it goes on it asks again. */
static void test_stopped(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    pid_t pid;
    uint32_t ticket, epoch;
    int status;

    attach_holder(&a, l, SIGSTOP, &pid);
    g_assert_cmpint(waitpid(pid, &status, WUNTRACED), ==, pid);
    player_open(&b, l, &s);
    epoch = player_state(&a) & VGPU_LEASE_EPOCH_MASK;
    g_assert_true(lease_enter(b.client, &ticket));
    g_assert_cmphex(player_state(&a) & ~VGPU_LEASE_EPOCH_MASK, ==, 0);
    g_assert_cmphex(player_state(&a) & VGPU_LEASE_EPOCH_MASK, !=, epoch);
    g_assert_cmpuint(player_figures(&a).revocations, ==, 1);
    g_assert_cmpuint(seen.times, ==, 0);
    kill(pid, SIGCONT);
    lease_leave(b.client, ticket, 0);
    while (waitpid(pid, &status, WNOHANG) != pid) {
        leases_tick(l);
        g_usleep(1000);
    }
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* Dead, and the main thread has not heard of it yet. */
static void test_killed(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    pid_t pid;
    uint32_t ticket;

    attach_holder(&a, l, SIGKILL, &pid);
    player_open(&b, l, &s);
    g_assert_true(lease_enter(b.client, &ticket));
    g_assert_cmpuint(player_figures(&a).revocations, ==, 1);
    lease_leave(b.client, ticket, 0);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* Removed while it holds and while others wait. */
static void test_removed(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    uint32_t ticket;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_true(lease_enter(a.client, &ticket));
    player_start(&b, 1000);
    WAIT_UNTIL(player_state(&a) & YIELD);
    player_close(&a);
    WAIT_UNTIL(g_atomic_int_get(&b.worked_us) > 0);
    player_stop(&b);
    player_close(&b);
    leases_free(l);
}

/* ---- hangs ---- */

/* It outstays its slice by the hang timeout, whatever it says it has done meanwhile. */
static void test_hang_while_others_wait(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player a, b;
    uint32_t ticket;

    s.hang_timeout_ns = 200 * MS;
    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_true(lease_enter(a.client, &ticket));
    player_start(&b, 1000);
    for (unsigned i = 0; i < 100 && !seen.times; i++) {
        lease_progress(a.client, 1);
        run_main_context(10);
    }
    WAIT_UNTIL(seen.times);
    g_assert_true(seen.vm == &a);
    g_assert_cmpuint(seen.ns, >=, 200 * MS);
    WAIT_UNTIL(g_atomic_int_get(&b.worked_us) > 0);
    /* it is not granted anything any more */
    g_assert_true(lease_over(a.client, ticket));
    lease_leave(a.client, ticket, 0);
    g_assert_cmpint(lease_try(a.client, &ticket), ==, LEASE_WAITING);
    run_main_context(50);
    g_assert_cmphex(player_state(&a) & GRANTED, ==, 0);
    g_assert_cmpuint(seen.times, ==, 1);
    player_stop(&b);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* Alone: hung when nothing is done for that long; not hung as long as something is. */
static void test_hang_alone(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(1);
    Player a;
    uint32_t ticket;

    s.hang_timeout_ns = 300 * MS;
    player_open(&a, l, &s);
    g_assert_true(lease_enter(a.client, &ticket));
    for (unsigned i = 0; i < 12; i++) {
        run_main_context(50);
        lease_progress(a.client, 1);
        g_assert_true(leases_tick(l));
    }
    g_assert_cmpuint(seen.times, ==, 0);
    for (unsigned i = 0; i < 1000 && !seen.times; i++) {
        run_main_context(10);
        leases_tick(l);
    }
    g_assert_cmpuint(seen.times, ==, 1);
    g_assert_true(seen.vm == &a);
    g_assert_cmpuint(seen.ns, >=, 300 * MS);
    player_close(&a);
    leases_free(l);
}

/* An idle lease is no hung one, and no timeout is none. */
static void test_no_hang(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(1), none = player_settings(1);
    Player a, b;
    uint32_t ticket;

    s.hang_timeout_ns = 50 * MS;
    player_open(&a, l, &s);
    player_open(&b, l, &none);
    g_assert_true(lease_enter(a.client, &ticket));
    lease_leave(a.client, ticket, 0);
    run_main_context(100);
    leases_tick(l);
    g_assert_true(lease_enter(b.client, &ticket));
    for (unsigned i = 0; i < 4; i++) {
        run_main_context(50);
        leases_tick(l);
    }
    g_assert_cmpuint(seen.times, ==, 0);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* ---- sleeping ---- */

/* Idle leases are taken back, then there is nothing to tick for until somebody calls. */
static void test_falls_asleep(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(1);
    Player a;
    uint32_t ticket;

    player_open(&a, l, &s);
    leases_set_awake(l, on_awake, &seen);
    g_assert_true(lease_enter(a.client, &ticket));
    g_assert_true(leases_tick(l));
    lease_leave(a.client, ticket, 0);
    g_assert_true(leases_tick(l));
    g_assert_cmphex(player_state(&a), ==, GRANTED); /* a little patience */
    g_assert_false(leases_tick(l));
    g_assert_cmphex(player_state(&a), ==, 0);
    g_assert_false(leases_tick(l));
    g_assert_cmpuint(seen.awake, ==, 0);
    g_assert_true(lease_enter(a.client, &ticket));
    WAIT_UNTIL(seen.awake == 1);
    g_assert_true(leases_tick(l));
    lease_leave(a.client, ticket, 0);
    player_close(&a);
    leases_free(l);
}

/* ---- hostile renderers ---- */

/* Who calls for nothing is heard a bounded number of times a second. */
static void test_flood(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    gint64 start, end;
    Player a, b;
    uint32_t ticket, acks;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    start = g_get_monotonic_time();
    while ((end = g_get_monotonic_time()) < start + 300000) {
        eventfd_write(a.call, 1);
    }
    acks = __atomic_load_n(&a.page->ack, __ATOMIC_RELAXED);
    g_test_message("%u calls heard in %.3f s", acks, (double)(end - start) / 1e6);
    g_assert_cmpuint(acks, <, 250 + 2200 * (uint32_t)((end - start) / 1000 + 10) / 1000);
    g_assert_cmpuint(acks, >, 100);
    /* and is served again when it has a reason */
    g_assert_true(lease_enter(b.client, &ticket));
    lease_leave(b.client, ticket, 0);
    g_assert_true(lease_enter(a.client, &ticket));
    lease_leave(a.client, ticket, 0);
    g_assert_cmpuint(a.page->loose_ns, ==, 0);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* Its wake pipe is full and blocks who writes there: not us, and it is woken all the same. */
static void test_full_pipe(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    char junk[4096] = { 0 };
    Player a, b;
    uint32_t ticket;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    g_assert_cmpint(lease_wake_fd(a.client), >=, 0);
    while (write(a.wake, junk, sizeof(junk)) > 0) {
    }
    lease_woken(a.client);
    g_assert_cmpint(fcntl(a.wake, F_SETFL, 0), ==, 0);
    g_assert_cmpint(fcntl(a.call, F_SETFL, 0), ==, 0);
    for (unsigned i = 0; i < 20; i++) {
        struct pollfd p = { .fd = lease_wake_fd(a.client), .events = POLLIN };

        if (lease_try(a.client, &ticket) == LEASE_WAITING) {
            while (!(player_state(&a) & GRANTED)) {
                g_assert_cmpint(poll(&p, 1, DEADLINE_US / 1000), ==, 1);
                lease_woken(a.client);
            }
            g_assert_cmpint(lease_try(a.client, &ticket), ==, LEASE_HELD);
        }
        lease_leave(a.client, ticket, 0);
        g_assert_true(lease_enter(b.client, &ticket));
        lease_leave(b.client, ticket, 0);
    }
    g_assert_cmpuint(a.page->loose_ns, ==, 0);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* The whole page is written at random all the time: others are served, figures stay figures. */
static gpointer scribble(gpointer data)
{
    Player *p = data;
    uint32_t r = 12345;

    while (!g_atomic_int_get(&p->quit)) {
        uint32_t *words = (uint32_t *)p->page;

        r = r * 1664525 + 1013904223;
        __atomic_store_n(&words[2 + (r >> 8) % 24], r ^ (r << 7), __ATOMIC_RELAXED);
        if (r % 64 == 0) {
            eventfd_write(p->call, r % 128 ? 1 : UINT64_MAX - 1);
        }
    }
    return NULL;
}

static void test_scribbled_page(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    gint64 start = g_get_monotonic_time();
    uint64_t passed;
    Player a, b;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    fcntl(a.call, F_SETFL, O_NONBLOCK);
    a.thread = g_thread_new("scribbler", scribble, &a);
    player_start(&b, 1000);
    run_main_context(300);
    leases_tick(l);
    WAIT_UNTIL(g_atomic_int_get(&b.worked_us) > 20000);
    g_atomic_int_set(&a.quit, 1);
    g_thread_join(a.thread);
    player_stop(&b);
    passed = (uint64_t)(g_get_monotonic_time() - start) * 1000;
    g_assert_cmpuint(player_figures(&a).used_ns, <=, passed);
    g_assert_cmpuint(player_figures(&b).used_ns, <=, passed);
    g_assert_cmpuint(leases_gpu_used(l, "gpu0"), <=, 2 * passed);
    player_close(&a);
    player_close(&b);
    leases_free(l);
}

/* ---- restarts ---- */

static void test_restart(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    g_autoptr(GError) error = NULL;
    Player a, b, c;
    uint32_t ticket, state;
    uint64_t used;
    int64_t attached;

    player_open(&a, l, &s);
    player_open(&b, l, &s);
    player_open(&c, NULL, &s);
    g_assert_true(lease_enter(a.client, &ticket));
    g_usleep(20000);
    leases_free(l);
    a.lease = b.lease = NULL;
    player_start(&b, 1000); /* waits in vain, for now */
    WAIT_UNTIL(player_state(&b) & WANTED);
    state = player_state(&a);
    g_assert_cmphex(state, ==, GRANTED | 1);
    /* a third says that it has one too: there is room for one */
    __atomic_store_n(&c.page->state, GRANTED | 1, __ATOMIC_RELEASE);

    l = leases_new(on_hung, &seen, &error);
    g_assert_no_error(error);
    leases_set_policy(l, "gpu0", SCHED_BEST_EFFORT, 1);
    player_attach(&b, l, getpid(), &s);
    g_assert_cmphex(player_state(&b) & GRANTED, ==, 0);
    attached = g_get_monotonic_time();
    player_attach(&a, l, getpid(), &s);
    g_assert_cmphex(player_state(&a), ==, state);
    player_attach(&c, l, getpid(), &s);
    g_assert_cmphex(player_state(&c) & (GRANTED | USERS), ==, 0);
    g_assert_false(player_figures(&c).holds);
    leases_start(l);
    g_assert_true(player_figures(&a).holds);
    /* what it used before, 20 ms at least, was counted before */
    used = player_figures(&a).used_ns;
    g_assert_cmpuint(used, <=, (uint64_t)(g_get_monotonic_time() - attached) * 1000 + MS);
    WAIT_UNTIL(player_state(&a) & YIELD);
    lease_leave(a.client, ticket, 0);
    WAIT_UNTIL(player_figures(&b).grants > 0);
    g_assert_cmpuint(player_figures(&a).revocations, ==, 0);
    player_stop(&b);
    player_close(&a);
    player_close(&b);
    player_close(&c);
    leases_free(l);
}

/* What a renderer has in the place of a lease's descriptors is looked at before it is used. */
static void test_not_a_lease(void)
{
    Seen seen = { 0 };
    Leases *l = new_leases(&seen);
    LeaseSettings s = player_settings(0.5);
    Player p;
    int loose, ends[2], file, bad[4][3];

    player_open(&p, NULL, &s);
    loose = memfd_create("loose", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(loose, VGPU_LEASE_SIZE), ==, 0);
    g_assert_cmpint(pipe(ends), ==, 0);
    file = open("/dev/null", O_RDWR);
    memcpy(bad,
           ((int[4][3]){ { loose, p.call, p.wake },
                         { p.page_fd, ends[0], p.wake },
                         { p.page_fd, p.call, file },
                         { -1, -1, -1 } }),
           sizeof(bad));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(leases_add(l, "gpu0", bad[i][0], bad[i][1], bad[i][2], getpid(), &s, &p, &error));
        g_assert_error(error, VGPUD_ERROR, 0);
    }
    p.page->version = 99;
    g_assert_null(leases_add(l, "gpu0", p.page_fd, p.call, p.wake, getpid(), &s, &p, NULL));
    p.page->version = VGPU_LEASE_VERSION;
    player_attach(&p, l, getpid(), &s);
    player_close(&p);
    close(loose);
    close(file);
    close(ends[0]);
    close(ends[1]);
    leases_free(l);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/leases/silence", test_silence);
    g_test_add_func("/leases/idle-is-taken", test_idle_is_taken);
    g_test_add_func("/leases/busy-is-asked", test_busy_is_asked);
    g_test_add_func("/leases/kept-after-all", test_kept_after_all);
    g_test_add_func("/leases/never-begins", test_never_begins);
    g_test_add_func("/leases/self-granted", test_self_granted);
    g_test_add_func("/leases/stopped", test_stopped);
    g_test_add_func("/leases/killed", test_killed);
    g_test_add_func("/leases/removed", test_removed);
    g_test_add_func("/leases/hang/while-others-wait", test_hang_while_others_wait);
    g_test_add_func("/leases/hang/alone", test_hang_alone);
    g_test_add_func("/leases/hang/none", test_no_hang);
    g_test_add_func("/leases/falls-asleep", test_falls_asleep);
    g_test_add_func("/leases/hostile/flood", test_flood);
    g_test_add_func("/leases/hostile/full-pipe", test_full_pipe);
    g_test_add_func("/leases/hostile/scribbled-page", test_scribbled_page);
    g_test_add_func("/leases/restart", test_restart);
    g_test_add_func("/leases/not-a-lease", test_not_a_lease);
    return g_test_run();
}
