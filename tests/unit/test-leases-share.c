/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How vgpud divides time between renderers that always have work.  Bounds are
 * those of a machine that does other things too: the benchmark has the exact ones.
 */
#include "host-busy.h"
#include "lease-player.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

static Leases *new_leases(SchedPolicy policy, uint32_t capacity)
{
    g_autoptr(GError) error = NULL;
    Leases *l = leases_new(NULL, NULL, &error);

    g_assert_no_error(error);
    leases_set_policy(l, "gpu0", policy, capacity);
    leases_start(l);
    return l;
}

/* GPU time charged to each, and time each worked, from start_all on. */
typedef struct Start {
    uint64_t used[16];
    gint worked[16];
} Start;

static void start_all(Player *p, unsigned count, Start *s)
{
    for (unsigned i = 0; i < count; i++) {
        s->used[i] = player_figures(&p[i]).used_ns;
        s->worked[i] = g_atomic_int_get(&p[i].worked_us);
    }
}

static uint64_t used_since(Player *p, unsigned count, const Start *s, double *share)
{
    uint64_t used[16], sum = 0;

    for (unsigned i = 0; i < count; i++) {
        used[i] = player_figures(&p[i]).used_ns - s->used[i];
        sum += used[i];
    }
    for (unsigned i = 0; i < count; i++) {
        share[i] = (double)used[i] / (double)MAX(sum, 1);
    }
    return sum;
}

/*
 * Each should have its share, give or take, and does in the end if time is
 * divided as it should be: a machine that is busy elsewhere makes it take longer.
 */
static void expect_shares(Player *p, unsigned count, const double *want, double tolerance)
{
    HostTime since = host_time();
    double share[16], worst;
    unsigned tries = 0;
    uint64_t sum;
    Start s;

    start_all(p, count, &s);
    g_usleep(200000);
    do {
        g_usleep(200000);
        sum = used_since(p, count, &s, share);
        worst = 0;
        for (unsigned i = 0; i < count; i++) {
            worst = MAX(worst, ABS(share[i] / want[i] - 1));
        }
    } while (worst > tolerance && ++tries < 50);
    for (unsigned i = 0; i < count; i++) {
        g_test_message("%u: %.3f of %.1f ms, to be %.3f", i, share[i], (double)sum / MS, want[i]);
    }
    if (worst > tolerance && host_was_busy(since)) {
        return;
    }
    g_assert_cmpfloat(worst, <=, tolerance);
}

/* GPU time in so many ms. */
static uint64_t measure(Player *p, unsigned count, unsigned ms)
{
    double share[16];
    Start s;

    start_all(p, count, &s);
    g_usleep(ms * 1000);
    return used_since(p, count, &s, share);
}

static void open_all(Player *p, unsigned count, Leases *l, const double *share, uint64_t batch_us)
{
    for (unsigned i = 0; i < count; i++) {
        LeaseSettings s = player_settings(share[i]);

        player_open(&p[i], l, &s);
    }
    for (unsigned i = 0; i < count; i++) {
        player_start(&p[i], batch_us);
    }
    g_usleep(50000);
}

static void close_all(Player *p, unsigned count, Leases *l)
{
    for (unsigned i = 0; i < count; i++) {
        player_stop(&p[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        player_close(&p[i]);
    }
    leases_free(l);
}

static void test_equal(void)
{
    static const double want[2][4] = { { 0.5, 0.5 }, { 0.25, 0.25, 0.25, 0.25 } };

    for (unsigned n = 0; n < 2; n++) {
        unsigned count = n ? 4 : 2;
        Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
        Player p[4];

        open_all(p, count, l, want[n], 500);
        expect_shares(p, count, want[n], 0.05);
        for (unsigned i = 0; i < count; i++) {
            g_assert_cmpuint(p[i].page->loose_ns, ==, 0);
        }
        close_all(p, count, l);
    }
}

static void test_weights(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
    Player p[2];

    open_all(p, 2, l, (const double[]){ 0.1, 0.9 }, 500);
    expect_shares(p, 2, (const double[]){ 0.1, 0.9 }, 0.1);
    close_all(p, 2, l);
}

/* Batches of 3 ms against such of 300 us: what a turn was too long by is paid back. */
static void test_long_batches(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
    LeaseSettings s = player_settings(0.5);
    Player p[2];

    player_open(&p[0], l, &s);
    player_open(&p[1], l, &s);
    player_start(&p[0], 3000);
    player_start(&p[1], 300);
    expect_shares(p, 2, (const double[]){ 0.5, 0.5 }, 0.05);
    close_all(p, 2, l);
}

/* Who claims nothing is charged like the others, and gets no more time. */
static void test_liar(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
    LeaseSettings s = player_settings(0.5);
    HostTime since = host_time();
    double worked[2], ratio = 1;
    Player p[2];
    Start start;

    player_open(&p[0], l, &s);
    player_open(&p[1], l, &s);
    p[0].lies = true;
    player_start(&p[0], 500);
    g_usleep(100000); /* alone it has not saved up anything */
    player_start(&p[1], 500);
    g_usleep(100000);
    start_all(p, 2, &start);
    expect_shares(p, 2, (const double[]){ 0.5, 0.5 }, 0.05);
    for (unsigned i = 0; i < 50 && ratio > 0.55; i++) {
        for (unsigned k = 0; k < 2; k++) {
            worked[k] = g_atomic_int_get(&p[k].worked_us) - start.worked[k];
        }
        ratio = worked[0] / (worked[0] + worked[1]);
        g_usleep(100000);
    }
    g_test_message("the liar worked %.3f of the time", ratio);
    if (ratio <= 0.55 || !host_was_busy(since)) {
        g_assert_cmpfloat(ratio, <=, 0.55);
        g_assert_cmpuint(player_figures(&p[0]).lied_ns, >, 100 * MS);
        g_assert_cmpuint(player_figures(&p[1]).lied_ns, <, player_figures(&p[0]).lied_ns / 4);
    }
    close_all(p, 2, l);
}

/*
 * On hardware, one that works without a lease and claims nothing, whose driver
 * tells of it: it is charged for all of it, and pays with its next turns.
 */
static void test_driver_tells(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
    LeaseSettings s = player_settings(0.5);
    HostTime since = host_time();
    uint64_t before, used;
    Player p[2];
    Start start;

    player_open(&p[0], l, &s);
    player_open(&p[1], l, &s);
    leases_see_driver(p[0].lease, 7000 * MS);
    before = player_figures(&p[0]).used_ns;
    leases_see_driver(p[0].lease, 7500 * MS); /* nobody else was there */
    used = player_figures(&p[0]).used_ns - before;
    g_assert_cmpuint(used, >=, 480 * MS);
    g_assert_cmpuint(used, <=, 500 * MS);
    g_assert_cmpuint(player_figures(&p[0]).lied_ns, ==, used);
    player_start(&p[0], 500);
    player_start(&p[1], 500);
    g_usleep(100000);
    start_all(p, 2, &start); /* which it has not to pay for */
    expect_shares(p, 2, (const double[]){ 0.5, 0.5 }, 0.05);
    start_all(p, 2, &start);
    for (unsigned i = 0; i < 20; i++) { /* beside its turns it uses as much again */
        uint64_t worked_us;

        g_usleep(50000);
        worked_us = (uint64_t)(g_atomic_int_get(&p[0].worked_us) - start.worked[0]);
        leases_see_driver(p[0].lease, 7500 * MS + 2000 * worked_us);
    }
    {
        double mine = g_atomic_int_get(&p[0].worked_us) - start.worked[0];
        double others = g_atomic_int_get(&p[1].worked_us) - start.worked[1];

        g_test_message("it had %.3f of the turns", mine / (mine + others));
        if ((mine / (mine + others) < 0.42 && mine / (mine + others) > 0.2) || !host_was_busy(since)) {
            g_assert_cmpfloat(mine / (mine + others), <, 0.42); /* a third, and it began with a half */
            g_assert_cmpfloat(mine / (mine + others), >, 0.2);
        }
    }
    close_all(p, 2, l);
}

static void expect_at_most(Player *p, double share)
{
    HostTime since = host_time();
    uint64_t used = measure(p, 1, 800);
    double passed = (double)(g_get_monotonic_time() - since.start_us) * 1000;
    double most = passed * share + 60 * MS; /* what it was kept waiting for */

    g_test_message("%.3f of the time, to be at most %.3f", (double)used / passed, share);
    if ((double)used < most || !host_was_busy(since)) {
        g_assert_cmpfloat((double)used, <, most);
    }
}

static void expect_at_least(Player *p, double share)
{
    unsigned tries = 0;

    while (measure(p, 1, 100) < 100 * MS * share) {
        g_assert_cmpuint(tries++, <, 50);
    }
}

/* Alone on the GPU and still no more than the share; and at once more when the policy changes. */
static void test_fixed_share(void)
{
    Leases *l = new_leases(SCHED_FIXED_SHARE, 1);
    Player p;

    open_all(&p, 1, l, (const double[]){ 0.25 }, 500);
    expect_at_least(&p, 0.15);
    expect_at_most(&p, 0.25);
    leases_set_policy(l, "gpu0", SCHED_BEST_EFFORT, 1);
    g_assert_cmpint(leases_policy(l, "gpu0"), ==, SCHED_BEST_EFFORT);
    expect_at_least(&p, 0.6);
    leases_set_policy(l, "gpu0", SCHED_FIXED_SHARE, 1);
    g_usleep(20000); /* the turn it is in may end */
    expect_at_most(&p, 0.25);
    close_all(&p, 1, l);
}

/* Another share is in force with the next turn. */
static void test_live_share(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
    LeaseSettings s = player_settings(0.8);
    Player p[2];

    open_all(p, 2, l, (const double[]){ 0.5, 0.5 }, 500);
    s.frame_interval_ns = 5 * MS;
    s.params.quantum_ns = 4 * MS;
    s.hang_timeout_ns = 7000 * MS;
    leases_set(p[0].lease, &s);
    s.params.share_ppm = 200000;
    leases_set(p[1].lease, &s);
    expect_shares(p, 2, (const double[]){ 0.8, 0.2 }, 0.1);
    g_assert_cmpuint(lease_quantum(p[0].client), ==, 4 * MS);
    g_assert_cmpuint(lease_frame_interval(p[0].client), ==, 5 * MS);
    g_assert_cmpuint(lease_hang_timeout(p[0].client), ==, 7000 * MS);
    close_all(p, 2, l);
}

/* Two that are half as wide as the GPU hold it side by side; with a third, all wait in turn. */
static void test_side_by_side(void)
{
    static const double third[] = { 1 / 3.0, 1 / 3.0, 1 / 3.0 };
    Leases *l = new_leases(SCHED_BEST_EFFORT, 2);
    Player p[3];
    uint64_t used = 0;

    open_all(p, 2, l, third, 500);
    for (unsigned i = 0; i < 50 && used < 70 * MS; i++) {
        used = measure(p, 2, 100);
    }
    g_assert_cmpuint(used, >=, 70 * MS);
    g_assert_cmpuint(player_figures(&p[0]).grants + player_figures(&p[1]).grants, <=, 4);
    close_all(p, 2, l);

    l = new_leases(SCHED_BEST_EFFORT, 2);
    for (unsigned i = 0; i < 3; i++) {
        LeaseSettings s = player_settings(third[i]);

        player_open(&p[i], l, &s);
        p[i].lies = i == 0;
        player_start(&p[i], 500);
    }
    expect_shares(p, 3, third, 0.08);
    close_all(p, 3, l);
}

/* A process that burns CPU time up to so many ms of it for each byte it is sent, and answers. */
static pid_t fork_burner(int *socket)
{
    int pair[2];
    pid_t pid;
    uint8_t tens;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    *socket = pair[0];
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(pair[1], &tens, 1) == 1) {
            struct timespec ts;

            do {
                clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
            } while (ts.tv_sec == 0 && ts.tv_nsec < tens * 10 * 1000 * 1000);
            if (write(pair[1], &tens, 1) != 1) {
                break;
            }
        }
        _exit(0);
    }
    close(pair[1]);
    return pid;
}

static void burn(int socket, uint8_t tens)
{
    g_assert_cmpint(write(socket, &tens, 1), ==, 1);
    g_assert_cmpint(read(socket, &tens, 1), ==, 1);
}

/* On a software GPU the CPU time of a process counts once it has asked, whatever it says and holds. */
static void test_cpu_time(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 2);
    LeaseSettings s = player_settings(0.5);
    uint32_t ticket;
    uint64_t used;
    Player p;
    pid_t pid;
    int socket;

    s.software = true;
    player_open(&p, NULL, NULL);
    pid = fork_burner(&socket);
    player_attach(&p, l, pid, &s);
    burn(socket, 10); /* it starts */
    leases_tick(l);
    g_assert_cmpuint(player_figures(&p).used_ns, ==, 0);
    g_assert_true(lease_enter(p.client, &ticket));
    lease_leave(p.client, ticket, 1);
    burn(socket, 20);
    leases_tick(l);
    used = player_figures(&p).used_ns;
    g_assert_cmpuint(used, >=, 40 * MS); /* half of a GPU of two CPUs */
    g_assert_cmpuint(used, <=, 70 * MS);
    g_assert_cmpuint(leases_gpu_used(l, "gpu0"), ==, used);
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    close(socket);
    player_close(&p);
    leases_free(l);
}

/* Who uses too much out of turn runs after others, and no longer than there are others. */
static void test_out_of_turn(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 2);
    LeaseSettings s = player_settings(0.001), rest = player_settings(0.9);
    int usual = getpriority(PRIO_PROCESS, 0), socket;
    Player p, other;
    uint32_t ticket;
    pid_t pid;

    if (setpriority(PRIO_PROCESS, 0, usual - 1) < 0 || setpriority(PRIO_PROCESS, 0, usual) < 0) {
        g_test_skip("may not lower a nice value");
        leases_free(l);
        return;
    }
    s.software = rest.software = true;
    player_open(&p, NULL, NULL);
    pid = fork_burner(&socket);
    player_attach(&p, l, pid, &s);
    player_open(&other, l, &rest);
    g_assert_true(lease_enter(p.client, &ticket));
    lease_leave(p.client, ticket, 1);
    leases_tick(l);
    leases_tick(l);
    leases_tick(l); /* nobody has it now */
    g_assert_true(lease_enter(other.client, &ticket));
    for (uint8_t tens = 30; tens <= 90; tens += 30) {
        burn(socket, tens);
        leases_tick(l);
    }
    lease_leave(other.client, ticket, 1);
    if (getpriority(PRIO_PROCESS, (id_t)pid) != 19) {
        g_test_skip("this machine gave it too little CPU time to be too much");
        goto out;
    }
    for (unsigned i = 0; i < 6; i++) { /* the last ones with an idle GPU */
        leases_tick(l);
    }
    g_assert_cmpint(getpriority(PRIO_PROCESS, (id_t)pid), ==, usual);
    g_assert_false(leases_tick(l)); /* nothing is left to look at */
out:
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    close(socket);
    player_close(&p);
    player_close(&other);
    leases_free(l);
}

/* ---- figures only: what a machine that is busy makes of them is no failure ---- */

static int compare_ns(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
}

static uint64_t baton_left; /* atomic */
static uint64_t baton_took[400];
static gint baton_count;

static gpointer pass_on(gpointer data)
{
    Player *p = data;
    uint32_t ticket;

    while (!g_atomic_int_get(&p->quit) && lease_enter(p->client, &ticket)) {
        uint64_t left = __atomic_exchange_n(&baton_left, 0, __ATOMIC_RELAXED);
        gint i = g_atomic_int_add(&baton_count, left != 0);

        if (left && i < (gint)G_N_ELEMENTS(baton_took)) {
            baton_took[i] = now_ns() - left;
        }
        while (!g_atomic_int_get(&p->quit) && !lease_over(p->client, ticket)) {
            g_usleep(200);
        }
        __atomic_store_n(&baton_left, now_ns(), __ATOMIC_RELAXED);
        lease_leave(p->client, ticket, 0);
    }
    return NULL;
}

/* From the holder's leave to the next one's work. */
static void test_handover(void)
{
    Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
    LeaseSettings s = player_settings(0.5);
    Player p[2];

    for (unsigned i = 0; i < 2; i++) {
        player_open(&p[i], l, &s);
        p[i].thread = g_thread_new("player", pass_on, &p[i]);
    }
    WAIT_UNTIL(g_atomic_int_get(&baton_count) >= 200);
    close_all(p, 2, l);
    qsort(baton_took, 200, sizeof(uint64_t), compare_ns);
    g_test_message("handover: p50 %.1f us, p99 %.1f us", (double)baton_took[100] / 1000,
                   (double)baton_took[198] / 1000);
}

/* CPU time of the thread that decides, ns; 0 where the kernel does not tell. */
static uint64_t thread_cpu(void)
{
    g_autofree char *text = leases_thread("schedstat");

    return g_ascii_strtoull(text, NULL, 10);
}

static void test_thousand(void)
{
    enum { COUNT = 1000, ROUNDS = 2000 };
    Leases *l = new_leases(SCHED_BEST_EFFORT, 1);
    LeaseSettings s = player_settings(0.001);
    Player *p = g_new0(Player, COUNT);
    uint64_t start, cpu;
    uint32_t ticket;

    for (unsigned i = 0; i < COUNT; i++) {
        player_open(&p[i], l, &s);
    }
    cpu = thread_cpu();
    start = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        g_assert_true(lease_enter(p[i % COUNT].client, &ticket));
        lease_leave(p[i % COUNT].client, ticket, 0);
    }
    g_test_message("1000 clients: call, decision and wake %.1f us",
                   (double)(now_ns() - start) / 1000 / ROUNDS);
    g_test_message("the thread's part %.1f us", (double)(thread_cpu() - cpu) / 1000 / ROUNDS);
    start = now_ns();
    leases_tick(l);
    g_test_message("1000 clients: a tick %.1f us", (double)(now_ns() - start) / 1000);
    for (unsigned i = 0; i < COUNT; i++) {
        player_close(&p[i]);
    }
    leases_free(l);
    g_free(p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/leases/share/equal", test_equal);
    g_test_add_func("/leases/share/weights", test_weights);
    g_test_add_func("/leases/share/long-batches", test_long_batches);
    g_test_add_func("/leases/share/liar", test_liar);
    g_test_add_func("/leases/share/driver-tells", test_driver_tells);
    g_test_add_func("/leases/share/fixed", test_fixed_share);
    g_test_add_func("/leases/share/live", test_live_share);
    g_test_add_func("/leases/share/side-by-side", test_side_by_side);
    g_test_add_func("/leases/share/cpu-time", test_cpu_time);
    g_test_add_func("/leases/share/out-of-turn", test_out_of_turn);
    g_test_add_func("/leases/figures/handover", test_handover);
    g_test_add_func("/leases/figures/thousand", test_thousand);
    return g_test_run();
}
