/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a child does between its fork and the renderer's program, whoever
 * forked it: vgpud itself (launcher.c), or the zygote (zygote.h) for it.  One
 * piece of code, so that the two make the same box.
 */
#ifndef VGPUD_LAUNCH_CHILD_H
#define VGPUD_LAUNCH_CHILD_H

#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "sandbox.h"

/* The renderer's descriptors. */
#define LAUNCHER_VHOST_USER_FD 3
#define LAUNCHER_CHANNEL_FD    4
#define LAUNCHER_STATS_FD      5
#define LAUNCHER_OBJECTS_FD    6
#define LAUNCHER_LEASE_FD      9
#define LAUNCHER_CALL_FD       10
#define LAUNCHER_WAKE_FD       11
#define LAUNCHER_RECORD_FD     12
/* The child's, until it is a renderer. */
#define LAUNCH_STATUS_FD 7 /* what went wrong; its end: nothing did */
#define LAUNCH_GO_FD     8 /* a byte: the ids are mapped */
#define LAUNCH_FDS       13

typedef struct LaunchChild {
    int fds[LAUNCH_FDS]; /* what becomes descriptor i; -1 from LAUNCHER_LEASE_FD on: nothing */
    const Sandbox *box;  /* NULL: none */
    cpu_set_t cpus;
    bool pinned;
    rlim_t processes; /* and threads */
    rlim_t file;      /* bytes */
} LaunchChild;

/*
 * Returns where the renderer's program begins, in its box, with its descriptors
 * in their places; LAUNCH_STATUS_FD and LAUNCH_GO_FD are open until exec.  Only
 * system calls: see launcher.c.
 */
void launch_child_enter(LaunchChild *c);

/* Says that what failed, with errno, and ends the process. */
G_NORETURN void launch_child_fail(const char *what);

#endif
