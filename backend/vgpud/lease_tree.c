/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A VM with Vulkan works in a process for each context, below its renderer.
 * Their CPU time is as much the VM's as its renderer's, and it is to be known
 * in time: at the end of each turn, or a turn would be charged when it is long
 * over.  To find all of them takes a walk through /proc, which is done once a
 * second, in the main thread and without the lock (process_tree.c); in between
 * the clocks of those that are known are read, which is less than a microsecond
 * each, and at most CLOCKS of them.  A VM without such processes costs nothing.
 *
 * What the walk finds comes late: all that a new process used before it was
 * known, and what those used that have ended since they were last seen.  That
 * stands in their parent's figure for children it waited for, together with
 * what was counted of them before, which is taken off.  Late time is charged by
 * what happened since the last walk and not by who has the lease now, and what
 * was charged meanwhile for holding the lease is not charged again (see
 * LeaseSample.cpu_late).
 */
#include <stdlib.h>
#include <time.h>

#include "lease_private.h"
#include "process_tree.h"

#define CLOCKS 16              /* read at each charge */
#define AHEAD  (20 * LEASE_MS) /* a clock may be of ours */

/* One that is known: a renderer itself, whose own time its lease's clock tells, or one below it. */
typedef struct LeaseProcess {
    pid_t pid;
    uint64_t start;
    bool root;
    clockid_t clock;
    bool clock_known;
    uint64_t own;    /* ns of its own, counted */
    uint64_t recent; /* of that, since the last walk */
    uint64_t at;     /* when own was read */
    uint64_t reaped; /* ns of those it waited for, counted */
} LeaseProcess;

void lease_tree_init(LeaseTree *t, pid_t root)
{
    LeaseProcess p = { .pid = root, .root = true };

    t->processes = g_array_new(FALSE, TRUE, sizeof(LeaseProcess));
    g_array_append_val(t->processes, p);
}

void lease_tree_finish(LeaseTree *t)
{
    g_clear_pointer(&t->processes, g_array_unref);
}

static bool read_clock(clockid_t clock, uint64_t *ns)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) < 0) {
        return false;
    }
    *ns = (uint64_t)ts.tv_sec * 1000 * LEASE_MS + (uint64_t)ts.tv_nsec;
    return true;
}

/* What it used since it was read last.  Never more than all CPUs had: its pid may be another's by now. */
static uint64_t advance(LeaseProcess *p, uint32_t cpus, uint64_t now)
{
    uint64_t own, most, used = 0;

    if (p->clock_known && read_clock(p->clock, &own) && own > p->own) {
        most = (now - MIN(p->at, now)) * cpus + AHEAD;
        used = MIN(own - p->own, most);
        p->own += used;
        p->recent += used;
    }
    p->at = now;
    return used;
}

uint64_t lease_tree_time(LeaseTree *t, uint32_t cpus, uint64_t now)
{
    for (guint i = 1; i < t->processes->len && i <= CLOCKS; i++) {
        t->total += advance(&g_array_index(t->processes, LeaseProcess, i), cpus, now);
    }
    return t->total;
}

bool lease_tree_is_one(const LeaseTree *t)
{
    return t->processes->len <= 1;
}

static LeaseProcess *find(const LeaseTree *t, const ProcessTreeMember *m)
{
    for (guint i = 0; i < t->processes->len; i++) {
        LeaseProcess *p = &g_array_index(t->processes, LeaseProcess, i);

        if (p->pid == m->pid && (p->start == m->start || p->root)) {
            return p;
        }
    }
    return NULL;
}

static LeaseProcess begin(const ProcessTreeMember *m, uint64_t now)
{
    LeaseProcess p = { .pid = m->pid, .start = m->start, .at = now };

    /* one that is gone by now: what it used its parent has, or never will */
    p.clock_known = clock_getcpuclockid(m->pid, &p.clock) == 0 && read_clock(p.clock, &p.own);
    p.recent = p.own;
    p.reaped = m->reaped;
    return p;
}

static int by_recent(const void *a, const void *b)
{
    const LeaseProcess *x = a, *y = b;

    return x->recent < y->recent ? 1 : x->recent > y->recent ? -1 : 0;
}

/* Those that work come first: not all clocks are read each time. */
static void order(GArray *processes)
{
    if (processes->len > CLOCKS + 1) {
        qsort(&g_array_index(processes, LeaseProcess, 1), processes->len - 1, sizeof(LeaseProcess),
              by_recent);
    }
    for (guint i = 0; i < processes->len; i++) {
        g_array_index(processes, LeaseProcess, i).recent = 0;
    }
}

void lease_tree_see(LeaseTree *t, const ProcessTree *seen, uint32_t cpus, uint64_t now)
{
    g_autoptr(GArray) old = t->processes;
    uint64_t own = 0, reaped = 0, known = 0;

    t->processes = g_array_sized_new(FALSE, TRUE, sizeof(LeaseProcess), seen->members->len);
    for (guint i = 0; i < seen->members->len; i++) {
        const ProcessTreeMember *m = &g_array_index(seen->members, ProcessTreeMember, i);
        LeaseTree before = { .processes = old };
        LeaseProcess *p = find(&before, m), fresh;

        if (p) {
            own += advance(p, cpus, now);
            reaped += m->reaped - MIN(p->reaped, m->reaped);
            p->reaped = MAX(p->reaped, m->reaped);
            g_array_append_val(t->processes, *p);
            p->pid = 0; /* taken */
        } else {
            fresh = begin(m, now);
            own += fresh.own;
            reaped += fresh.reaped;
            g_array_append_val(t->processes, fresh);
        }
    }
    for (guint i = 0; i < old->len; i++) {
        const LeaseProcess *p = &g_array_index(old, LeaseProcess, i);

        known += p->pid ? p->own + p->reaped : 0;
    }
    order(t->processes);
    if (t->begun) {
        t->total += own + reaped - MIN(known, reaped);
    }
    t->begun = true;
}

void lease_tree_each(const LeaseTree *t, void (*each)(pid_t pid, void *opaque), void *opaque)
{
    for (guint i = 0; i < t->processes->len; i++) {
        each(g_array_index(t->processes, LeaseProcess, i).pid, opaque);
    }
}
