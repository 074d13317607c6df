/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A lease is a matter of good will: a renderer that its guest has taken over
 * need not wait for one.  On hardware only the driver could see that.  On a
 * software GPU the kernel tells of each process what CPU time it used, and CPU
 * time is what is divided.
 *
 * What is used without a lease while others have one is charged like all else,
 * so it costs turns; but who takes no turns does not care.  So each lease has an
 * account of it: on it goes what was used so, off it what the VM's share of the
 * time would have been.  While something is left on it the renderer's threads
 * get what CPU time all others leave, by their nice value, and so it has its
 * share over a few seconds, however it came by it.  An honest renderer uses
 * little without a lease (it decodes, and copies 2D pictures) and is not met.
 *
 * Where the kernel schedules sessions as groups, a session whose value is the last
 * one gets so little and so seldom that even a thread of it that does nothing but
 * say now and then that it is there comes seconds late; Mesa in a guest then takes
 * its Vulkan ring for dead, and ends the program.  So the session's value is what
 * leaves it its share beside all others: the kernel's weights are 1.25 times
 * smaller from one to the next.
 *
 * Who raises a nice value needs a privilege to lower it again: without it
 * nothing is done.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lease_private.h"

#define TOO_MUCH  (100 * LEASE_MS) /* on the account */
#define MOST      (500 * LEASE_MS) /* it is not held against it for longer */
#define LITTLE    10               /* of one CPU's time this part is nobody's business */
#define NICE_LAST 19

uint64_t lease_weight(const Lease *l)
{
    return sched_policy(l->gpu->sched) == SCHED_EQUAL_SHARE ? 1 : l->settings.params.share_ppm;
}

/* At which its session's weight is its share, and that of a usual one all others'. */
static int nice_of_share(uint64_t weight, uint64_t all)
{
    double others = (double)(all - weight);
    int value = 1;

    for (double own = others / 1.25; value < NICE_LAST && own > (double)weight; own /= 1.25) {
        value++;
    }
    return value;
}

void lease_judge(Lease *l)
{
    LeaseGpu *g = l->gpu;
    uint64_t busy = g->busy - l->outside_busy;
    uint64_t weight = lease_weight(l), all = MAX(g->active_weight, weight), free;
    double share = 1.25 * (double)weight / (double)all;

    free = (uint64_t)((double)busy * MAX(share, 1.0 / (LITTLE * g->capacity)));
    l->outside_due += l->outside_used;
    l->outside_due = MIN(l->outside_due - MIN(l->outside_due, free), MOST);
    l->outside_used = 0;
    l->outside_busy = g->busy;
    if (!busy) {
        l->outside_due = 0; /* there is nobody to make up for it to */
    }
    l->outside_nice = nice_of_share(weight, all);
    if (l->outside_due > TOO_MUCH) {
        l->outside = g->software && g->all->may_nice;
    } else if (!l->outside_due) {
        l->outside = false;
    }
}

/*
 * It has a session of its own, and where the kernel schedules sessions as groups
 * that has a nice value too.  Who is in our session is a test's process, and its
 * developer would run last.
 */
static void renice_session(pid_t pid, int value)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/autogroup", (int)pid);
    pid_t session = getsid(pid);
    int fd = session > 0 && session != getsid(0) ? open(path, O_WRONLY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        dprintf(fd, "%d", value);
        close(fd);
    }
}

static bool renice_thread(pid_t tid, void *value)
{
    setpriority(PRIO_PROCESS, (id_t)tid, *(int *)value); /* it may be gone */
    return true;
}

typedef struct Nice {
    int threads, session;
} Nice;

static void renice_process(pid_t pid, void *opaque)
{
    Nice *n = opaque;

    renice_session(pid, n->session);
    process_each_thread(pid, renice_thread, &n->threads);
}

void lease_renice(const Lease *l, bool last)
{
    int usual = getpriority(PRIO_PROCESS, (id_t)getpid());
    Nice n = { last ? NICE_LAST : usual, last ? MAX(l->outside_nice, usual) : usual };

    lease_tree_each(&l->tree, renice_process, &n);
}
