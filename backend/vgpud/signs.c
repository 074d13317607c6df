/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A guest's Mesa ends a Vulkan program whose host has given no sign of life for
 * 3.5 s while it waited.  The sign is given by two threads that do nothing else, a
 * few microseconds four times a second: one of the renderer's (renderer/venus_signs.c)
 * and, before that knows of the guest's ring, virglrenderer's in the context process
 * (renderer/venus_ring.c).  For the kernel they are threads like those that
 * compile shaders, and may be asked to wait as long as they: where more is to
 * be done than there are CPUs, and sessions or cgroups are scheduled as groups, a
 * group was seen to get nothing for up to 9 s while another one had the CPU for
 * itself, at equal nice values (Linux 6.18, four VMs under TCG on two CPUs).
 *
 * So these threads get a small share of a CPU for sure: SCHED_DEADLINE.  It is as
 * safe as it can be with a process that its guest may have taken over: the kernel
 * sees to it that the thread gets no more than its RUNTIME in each PERIOD, that
 * not more is promised than there is, and that what it makes has nothing of it.
 * What it uses is charged like all else.  No process has two of them, whatever it
 * calls its threads.
 *
 * A thread with a deadline has to be let to all CPUs, those included which the
 * VM's profile leaves to others.
 *
 * Without the privilege nothing is done.
 */
#include "signs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vgpu/vulkan.h>

#define MONITOR "vkr-ringmon" /* what virglrenderer calls it, and a number */

/* A run takes 25 us. */
#define RUNTIME_NS (200 * 1000ull)
#define PERIOD_NS  (100 * 1000 * 1000ull)

typedef struct Look {
    const char *name; /* what it begins with */
    pid_t monitor;    /* 0: none yet */
    bool done;        /* one has its deadlines */
} Look;

static bool is_called(pid_t tid, const char *begin)
{
    char path[32], name[32] = { 0 };
    bool is = false;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        is = read(fd, name, sizeof(name) - 1) > 0 && strncmp(name, begin, strlen(begin)) == 0;
        close(fd);
    }
    return is;
}

static bool look_at(pid_t tid, void *opaque)
{
    Look *look = opaque;

    look->done = (sched_getscheduler(tid) & ~SCHED_RESET_ON_FORK) == SCHED_DEADLINE;
    if (!look->done && !look->monitor && is_called(tid, look->name)) {
        look->monitor = tid;
    }
    return !look->done;
}

static bool give_deadlines(pid_t tid)
{
    struct sched_attr attr = {
        .size = sizeof(attr),
        .sched_policy = SCHED_DEADLINE,
        .sched_flags = SCHED_FLAG_RESET_ON_FORK,
        .sched_runtime = RUNTIME_NS,
        .sched_deadline = PERIOD_NS,
        .sched_period = PERIOD_NS,
    };

    return sched_setattr(tid, &attr, 0) == 0;
}

/* It may be gone, or the kernel have no time left to promise: then it is as before. */
static void hasten(pid_t tid)
{
    static bool refused; /* we have no right to, or not all CPUs */
    cpu_set_t own, all;

    if (refused || give_deadlines(tid) || errno != EPERM || sched_getaffinity(tid, sizeof(own), &own) < 0) {
        return;
    }
    memset(&all, 0xff, sizeof(all));
    if (sched_setaffinity(tid, sizeof(all), &all) == 0 && !give_deadlines(tid)) {
        refused = errno == EPERM;
        sched_setaffinity(tid, sizeof(own), &own);
    }
}

void signs_see(const ProcessTree *t)
{
    /* the first is the renderer itself */
    for (guint i = 0; i < t->members->len; i++) {
        Look look = { .name = i ? MONITOR : VGPU_VULKAN_SIGNS };

        process_each_thread(g_array_index(t->members, ProcessTreeMember, i).pid, look_at, &look);
        if (look.monitor && !look.done) {
            hasten(look.monitor);
        }
    }
}
