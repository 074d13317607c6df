/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What others on the host take of a VM's turns on a software GPU is not charged
 * to it, what it leaves idle is: a process that spins or sleeps plays the
 * renderer, of which another one on the same CPU takes half.
 */
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "lease-player.h"

#define RUN_MS 1500

typedef struct Fixture {
    Leases *l;
    Player p, other;
    pid_t renderer, hog; /* 0: none */
} Fixture;

/* A process on the first CPU there is. */
static pid_t start(bool spins, int niceness)
{
    pid_t pid = fork();
    cpu_set_t all, one;

    if (pid) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(all), &all) == 0) {
        for (unsigned i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
            if (CPU_ISSET(i, &all)) {
                CPU_SET(i, &one);
            }
        }
        sched_setaffinity(0, sizeof(one), &one);
    }
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + niceness);
    while (spins) {
    }
    for (;;) {
        pause();
    }
}

static uint64_t cpu_ms(pid_t pid)
{
    struct timespec used = { 0 };
    clockid_t clock;

    g_assert_cmpint(clock_getcpuclockid(pid, &clock), ==, 0);
    g_assert_cmpint(clock_gettime(clock, &used), ==, 0);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

static void set_up(Fixture *f, bool spins, int niceness)
{
    LeaseSettings s = player_settings(1);
    uint32_t ticket;

    s.software = true;
    f->l = leases_new(NULL, NULL, NULL);
    leases_set_policy(f->l, "gpu0", SCHED_BEST_EFFORT, 1);
    leases_start(f->l);
    f->renderer = start(spins, niceness);
    player_open(&f->p, NULL, &s);
    player_attach(&f->p, f->l, f->renderer, &s);
    s = player_settings(0.05);
    player_open(&f->other, f->l, &s);
    g_assert_true(lease_enter(f->p.client, &ticket)); /* it works: its time counts */
    lease_leave(f->p.client, ticket, 0);
}

static void tear_down(Fixture *f)
{
    const pid_t pids[] = { f->renderer, f->hog };

    player_close(&f->p);
    player_close(&f->other);
    leases_free(f->l);
    for (unsigned i = 0; i < G_N_ELEMENTS(pids); i++) {
        if (pids[i]) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    }
}

typedef struct Sums {
    uint64_t charged, held, cpu; /* ms */
} Sums;

/* It has long turns, another one short ones and few. */
static Sums run(Fixture *f)
{
    Sums s;

    player_start(&f->p, 20000);
    player_start(&f->other, 1000);
    g_usleep(200000);
    s.charged = player_figures(&f->p).used_ns / MS;
    s.cpu = cpu_ms(f->renderer);
    s.held = (uint64_t)g_atomic_int_get(&f->p.worked_us) / 1000;
    g_usleep(RUN_MS * 1000);
    s.charged = player_figures(&f->p).used_ns / MS - s.charged;
    s.cpu = cpu_ms(f->renderer) - s.cpu;
    s.held = (uint64_t)g_atomic_int_get(&f->p.worked_us) / 1000 - s.held;
    player_stop(&f->p);
    player_stop(&f->other);
    g_test_message("charged %u ms, held %u, CPU time %u", (unsigned)s.charged, (unsigned)s.held,
                   (unsigned)s.cpu);
    return s;
}

static bool kernel_tells(void)
{
    g_autofree char *text = NULL;

    return g_file_get_contents("/proc/self/schedstat", &text, NULL, NULL) &&
           !g_str_equal(g_strstrip(text), "0 0 0");
}

static void test_taken(void)
{
    Fixture f = { 0 };
    Sums s;

    if (!kernel_tells()) {
        g_test_skip("this kernel does not tell how long threads wait for a CPU");
        return;
    }
    set_up(&f, true, 0);
    f.hog = start(true, 0);
    s = run(&f);
    tear_down(&f);
    g_assert_cmpuint(s.cpu, <, s.held * 3 / 4);
    g_assert_cmpuint(s.charged + 60, >=, s.cpu);
    g_assert_cmpuint(s.charged, <, s.cpu + (s.held - s.cpu) / 3);
}

/* Nobody took anything: it was idle. */
static void test_idle(void)
{
    Fixture f = { 0 };
    Sums s;

    set_up(&f, false, 0);
    f.hog = start(true, 0);
    s = run(&f);
    tear_down(&f);
    g_assert_cmpuint(s.cpu, <, s.held / 4);
    g_assert_cmpuint(s.charged + 60, >=, s.held);
}

/* It wants to run after all others, with the GPU in its hands. */
static void test_nice(void)
{
    Fixture f = { 0 };
    Sums s;

    set_up(&f, true, 19);
    f.hog = start(true, 0);
    s = run(&f);
    tear_down(&f);
    g_assert_cmpuint(s.cpu, <, s.held / 2);
    g_assert_cmpuint(s.charged, >=, s.held * 3 / 4); /* who else is on the host has a little */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease-taken/taken", test_taken);
    g_test_add_func("/lease-taken/idle", test_idle);
    g_test_add_func("/lease-taken/nice", test_nice);
    return g_test_run();
}
