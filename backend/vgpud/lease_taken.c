/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * On a software GPU the CPUs are the GPU, and others run on them that are no
 * VM's renderer: QEMU's vCPUs, daemons, a compiler.  What they take of a turn
 * its holder has not had.  Charged for all of the time that it held the lease,
 * a VM whose turns are disturbed more would have less of the GPU's time than
 * another of the same share: 0.85 of it beside a compiler, measured.
 *
 * A holder that leaves CPUs idle is another matter.  It is in the others' way
 * for nothing, and is charged.  The kernel knows which of the two it was: it
 * counts for each thread the time in which it could have run and another one
 * did (/proc/TID/schedstat).  That is read after a turn, when what was charged
 * beyond CPU time has grown by LEAST, and no more than that is taken off what
 * the VM is charged next.  While one of its threads waits all CPUs are at work,
 * or the kernel would have let it run elsewhere; so each moment of it counts for
 * the whole width of the lease: the VM's other threads, which may be waiting for
 * that one, could not have had the other CPUs either.
 *
 * A thread also waits for a CPU that has to wake up first, which takes a while
 * where the host is a VM itself; that is not its VM's doing either.
 *
 * A renderer that its guest has taken over can have many threads, which wait for
 * each other.  So the sum of their waits is believed as far as others did use the
 * host's CPUs, which is what these neither idled (/proc/uptime) nor gave to the
 * GPU's renderers.  Beyond that counts what one thread has waited: that one could
 * buy itself by as much time of all CPUs, which is charged.  And threads that want
 * to run after all others, by a nice value or a policy, do not count, nor does a
 * VM that vgpud itself lets run last (lease_outside.c).  Which CPUs it runs on is
 * not a renderer's to say (the sandbox).
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "lease_private.h"

#define LEAST   (2 * LEASE_MS)   /* of GPU time: not worth reading for less */
#define AGAIN   (50 * LEASE_MS)  /* for what was not known the last time */
#define WITHIN  (500 * LEASE_MS) /* what was read longer ago tells of other turns */
#define PERIOD  (500 * LEASE_MS) /* of what others use */
#define STEP    (10 * LEASE_MS)  /* of the kernel's figure for idle CPUs */
#define THREADS 32               /* beside one for each CPU: how long we read is not a renderer's to say */

/* One thread, and how long it has waited for CPUs, ever. */
typedef struct Waiter {
    pid_t tid;
    uint64_t ns;
} Waiter;

/* Since the last look. */
typedef struct Waits {
    const GArray *before; /* Waiter */
    GArray *now;
    uint64_t sum, most; /* ns of all, of one */
    unsigned left;
    int nice; /* what is usual */
} Waits;

static bool runs_like_others(pid_t tid, int nice)
{
    int policy = sched_getscheduler(tid) & ~SCHED_RESET_ON_FORK;

    return policy != SCHED_BATCH && policy != SCHED_IDLE && getpriority(PRIO_PROCESS, (id_t)tid) <= nice;
}

static const Waiter *find(const GArray *waiters, pid_t tid)
{
    for (guint i = 0; waiters && i < waiters->len; i++) {
        const Waiter *w = &g_array_index(waiters, Waiter, i);

        if (w->tid == tid) {
            return w;
        }
    }
    return NULL;
}

static void add_wait(Waits *w, const Waiter *now)
{
    const Waiter *before = find(w->before, now->tid);
    uint64_t ns = before && now->ns > before->ns ? now->ns - before->ns : 0;

    g_array_append_vals(w->now, now, 1);
    w->sum += ns;
    w->most = MAX(w->most, ns);
}

/* "CPU time, time waited for a CPU, slices": a thread that is gone has none. */
static bool add_thread(pid_t tid, void *opaque)
{
    char path[32], text[96], *wait;
    Waits *w = opaque;
    Waiter now = { .tid = tid };
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    if (n > 0 && runs_like_others(tid, w->nice)) {
        text[n] = 0;
        strtoull(text, &wait, 10);
        now.ns = strtoull(wait, NULL, 10);
        add_wait(w, &now);
    }
    return --w->left > 0;
}

static void add_process(pid_t pid, void *opaque)
{
    Waits *w = opaque;

    if (w->left) {
        process_each_thread(pid, add_thread, w);
    }
}

/* CPU time that all CPUs were idle, ever; in steps of 10 ms. */
static bool idle_time(uint64_t *ns)
{
    char text[64], *idle, *end;
    int fd = open("/proc/uptime", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0) {
        return false;
    }
    text[n] = 0;
    idle = strchr(text, ' ');
    if (!idle) {
        return false;
    }
    *ns = strtoull(idle, &end, 10) * 1000 * LEASE_MS;
    *ns += *end == '.' ? strtoull(end + 1, NULL, 10) * STEP : 0;
    return true;
}

/*
 * GPU time that others than the GPU's renderers used and that was not given back
 * yet, in the last half second to one and a half.
 */
static uint64_t used_by_others(LeaseGpu *g, uint64_t now)
{
    LeaseOthers next = { .at = now, .cpu = g->cpu }, *o = &g->others[0];
    uint64_t all, known;

    if (!idle_time(&next.idle)) {
        return 0;
    }
    if (now - g->others[1].at >= PERIOD) { /* all zero at first */
        g->others[0] = now - g->others[1].at < 2 * PERIOD ? g->others[1] : next;
        g->others[1] = next;
    }
    all = (now - o->at) * (uint64_t)get_nprocs() + STEP;
    known = (next.idle - o->idle) + (next.cpu - o->cpu) + o->given * g->capacity;
    return all > known ? (all - known) / g->capacity : 0;
}

static void give(LeaseGpu *g, uint64_t ns)
{
    g->others[0].given += ns;
    g->others[1].given += ns;
}

static bool is_time(const Lease *l, uint64_t now)
{
    uint64_t unused = l->meter.unused;

    return l->settings.software &&
           (unused >= l->taken.unused + LEAST || (unused >= LEAST && now - l->taken.at >= AGAIN));
}

void lease_look_for_taken(Lease *l, uint64_t now)
{
    LeaseGpu *g = l->gpu;
    uint64_t taken = 0, others;
    Waits w;

    if (!is_time(l, now)) {
        return;
    }
    w = (Waits){
        .before = l->taken.waiters,
        .now = g_array_new(FALSE, FALSE, sizeof(Waiter)),
        .left = THREADS + g->capacity,
        .nice = getpriority(PRIO_PROCESS, (id_t)getpid()),
    };
    lease_tree_each(&l->tree, add_process, &w);
    others = used_by_others(g, now);
    if (now - l->taken.at >= WITHIN) { /* it tells of other turns as well */
        l->meter.unused = 0;
    } else if (!l->outside && !l->outside_told) {
        taken = MAX(MIN(lease_gpu_time(l, w.sum), others), lease_gpu_time(l, w.most));
    }
    give(g, lease_meter_taken(&l->meter, taken));
    lease_forget_taken(l);
    l->taken.waiters = w.now;
    l->taken.unused = l->meter.unused;
    l->taken.at = now;
}

void lease_forget_taken(Lease *l)
{
    g_clear_pointer(&l->taken.waiters, g_array_unref);
}
