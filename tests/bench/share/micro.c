/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a lease costs: one that nobody else wants, and one that two processes
 * hand to and fro through vgpud's own lease thread (this process has it).
 * Prints "acquire-release-ns N" and "handover-us P50 P99".  With a thousand VMs
 * that all want the GPU: "decision-us N", the scheduler's part of a turn, and
 * "turn-us N", all that vgpud's thread does for one.
 */
#include <glib.h>
#include <stdio.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sched/lease.h"
#include "vgpud/leases.h"

#define LOOPS     2000000
#define HANDOVERS 4000
#define CLIENTS   1000
#define TURNS     4000
#define DECISIONS 200000
#define WORK_NS   100000 /* long enough that the other one waits by then */

typedef struct Shared {
    uint64_t left[2]; /* when each of the two left last, ns */
    uint32_t count[2];
    uint32_t took[2][HANDOVERS]; /* ns from the other's leaving to our entering */
} Shared;

typedef struct Member {
    int page, call, wake;
    Lease *lease;
} Member;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_hung(void *vm, uint64_t ns, void *opaque)
{
    fprintf(stderr, "a lease hung for %" G_GUINT64_FORMAT " ms\n", (guint64)(ns / 1000000));
    exit(1);
}

static Leases *leases_of_its_own(void)
{
    g_autoptr(GError) error = NULL;
    Leases *l = leases_new(on_hung, NULL, &error);

    if (!l) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    leases_set_policy(l, "gpu0", SCHED_BEST_EFFORT, 1);
    leases_start(l);
    return l;
}

/* The descriptors for vgpud's side are copies: leases_add takes what it gets. */
static Member member_new(Leases *l, pid_t pid, const Member *fds)
{
    LeaseSettings settings = {
        .params = { .share_ppm = 500000, .priority = SCHED_PRIORITY_NORMAL, .width = 1 },
        .hang_timeout_ns = 10000000000u
    };
    g_autoptr(GError) error = NULL;
    Member m = *fds;

    m.lease = leases_add(l, "gpu0", dup(m.page), dup(m.call), dup(m.wake), pid, &settings, NULL, &error);
    if (!m.lease) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return m;
}

static Member member_fds(void)
{
    g_autoptr(GError) error = NULL;
    Member m = { .page = -1 };

    if (!leases_make_fds(&m.page, &m.call, &m.wake, &error)) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return m;
}

static LeaseClient *client(const Member *m)
{
    LeaseClient *c = lease_new(m->page, m->call, m->wake);

    if (!c) {
        perror("lease_new");
        exit(1);
    }
    return c;
}

static void uncontended(const Member *m)
{
    LeaseClient *c = client(m);
    uint64_t start;
    uint32_t ticket;

    lease_enter(c, &ticket);
    lease_leave(c, ticket, 0);
    start = now_ns();
    for (unsigned i = 0; i < LOOPS; i++) {
        lease_enter(c, &ticket);
        lease_leave(c, ticket, 0);
    }
    printf("acquire-release-ns %.1f\n", (double)(now_ns() - start) / LOOPS);
    lease_free(c);
}

static G_NORETURN void player(const Member *m, Shared *s, unsigned self)
{
    LeaseClient *c = client(m);
    uint64_t seen = 0;
    uint32_t ticket;

    while (__atomic_load_n(&s->count[0], __ATOMIC_ACQUIRE) < HANDOVERS &&
           __atomic_load_n(&s->count[1], __ATOMIC_ACQUIRE) < HANDOVERS) {
        uint64_t entered, left;

        lease_enter(c, &ticket);
        entered = now_ns();
        left = __atomic_load_n(&s->left[!self], __ATOMIC_ACQUIRE);
        if (left > seen && s->count[self] < HANDOVERS) {
            s->took[self][s->count[self]] = (uint32_t)MIN(entered - left, UINT32_MAX);
            __atomic_store_n(&s->count[self], s->count[self] + 1, __ATOMIC_RELEASE);
        }
        seen = entered;
        while (now_ns() < entered + WORK_NS) {
        }
        __atomic_store_n(&s->left[self], now_ns(), __ATOMIC_RELEASE);
        lease_leave(c, ticket, 0);
    }
    _exit(0);
}

static int compare(const void *a, const void *b)
{
    return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static void contended(Leases *l)
{
    Shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Member fds[2] = { member_fds(), member_fds() };
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(uint32_t));

    for (unsigned i = 0; i < 2; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            player(&fds[i], s, i);
        }
        member_new(l, pid, &fds[i]);
    }
    wait(NULL);
    for (unsigned i = 0; i < 2; i++) {
        g_array_append_vals(all, s->took[i], s->count[i]);
    }
    qsort(all->data, all->len, sizeof(uint32_t), compare);
    printf("handover-us %.1f %.1f\n", g_array_index(all, uint32_t, all->len / 2) / 1e3,
           g_array_index(all, uint32_t, all->len * 99 / 100) / 1e3);
}

/* CPU time of the threads that decide, ns: of two, one sleeps. */
static uint64_t thread_cpu(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    uint64_t sum = 0;
    const char *tid;

    while ((tid = g_dir_read_name(dir))) {
        g_autofree char *comm = g_strdup_printf("/proc/self/task/%s/comm", tid), *name = NULL, *text = NULL;
        g_autofree char *stat = g_strdup_printf("/proc/self/task/%s/schedstat", tid);

        if (g_file_get_contents(comm, &name, NULL, NULL) && g_str_equal(name, "leases\n") &&
            g_file_get_contents(stat, &text, NULL, NULL)) {
            sum += g_ascii_strtoull(text, NULL, 10);
        }
    }
    return sum;
}

/*
 * All of them want their turn all the time: each turn the thread is called,
 * charges, decides and wakes.  Its CPU time is what that takes, system calls and
 * wake-up included.
 */
static void thousand(Leases *l)
{
    LeaseClient *c[CLIENTS];
    uint32_t ticket[CLIENTS];
    bool waits[CLIENTS] = { false };
    struct rlimit files = { 16 * CLIENTS, 16 * CLIENTS };
    uint64_t cpu;
    unsigned turns = 0, holder = CLIENTS;

    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        perror("setrlimit");
        exit(1);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        Member fds = member_fds();

        member_new(l, getpid(), &fds);
        c[i] = client(&fds);
        close(fds.page);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (lease_try(c[i], &ticket[i]) == LEASE_HELD) {
            holder = i;
        } else {
            waits[i] = true;
        }
    }
    g_usleep(100000);
    cpu = thread_cpu();
    while (turns < TURNS) {
        unsigned next = CLIENTS;

        if (holder < CLIENTS) { /* has done its batch, and has another */
            lease_leave(c[holder], ticket[holder], 0);
            waits[holder] = lease_try(c[holder], &ticket[holder]) == LEASE_WAITING;
            next = waits[holder] ? CLIENTS : holder;
        }
        while (next == CLIENTS) { /* whose pipe says that it is its turn */
            struct pollfd p[CLIENTS];

            for (unsigned i = 0; i < CLIENTS; i++) {
                p[i] = (struct pollfd){ .fd = waits[i] ? lease_wake_fd(c[i]) : -1, .events = POLLIN };
            }
            poll(p, CLIENTS, 1000);
            for (unsigned i = 0; i < CLIENTS && next == CLIENTS; i++) {
                if (p[i].revents & POLLIN) {
                    lease_woken(c[i]);
                    if (lease_try(c[i], &ticket[i]) == LEASE_HELD) {
                        waits[i] = false;
                        next = i;
                    }
                }
            }
        }
        holder = next;
        turns++;
    }
    printf("turn-us %.2f\n", (double)(thread_cpu() - cpu) / 1e3 / turns);
}

/* Charge, return, want again, and who is next. */
static void decisions(void)
{
    Sched *s = sched_new(SCHED_BEST_EFFORT, 1);
    const SchedParams params = { .share_ppm = 1000, .priority = SCHED_PRIORITY_NORMAL, .width = 1 };
    uint64_t now = 0, start;
    SchedGrant g;

    for (unsigned i = 0; i < CLIENTS; i++) {
        sched_want(s, sched_add(s, &params, NULL, now), now);
    }
    if (!sched_grant(s, now, &g)) {
        exit(1);
    }
    start = now_ns();
    for (unsigned i = 0; i < DECISIONS; i++) {
        SchedClient *holder;
        uint64_t end;

        now += 1000000;
        sched_charge(s, g.client, 1000000, now);
        sched_return(s, g.client, now);
        sched_want(s, g.client, now);
        if (!sched_grant(s, now, &g)) {
            exit(1);
        }
        sched_preempt(s, now, &holder, &end);
    }
    printf("decision-us %.3f\n", (double)(now_ns() - start) / 1e3 / DECISIONS);
    sched_free(s);
}

int main(void)
{
    Leases *l = leases_of_its_own();
    Member alone = member_fds(), m;

    m = member_new(l, getpid(), &alone);
    uncontended(&alone);
    leases_remove(m.lease);
    decisions();
    thousand(leases_of_its_own());
    contended(l);
    fflush(stdout);
    _exit(0); /* with the other player, which waits for a turn */
}
