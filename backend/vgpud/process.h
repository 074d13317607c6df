/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc says about a process. */
#ifndef VGPUD_PROCESS_H
#define VGPUD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* When it started, clock ticks since boot: with the pid, which process it is. */
bool process_start_time(pid_t pid, uint64_t *ticks);

/* The same, and the CPU time in ns of its children that ended and that it waited for. */
bool process_times(pid_t pid, uint64_t *ticks, uint64_t *reaped_ns);

/* Its state letter (R, S, D, T, t, Z, ...), 0: there is no such process. */
char process_state(pid_t pid);

/*
 * The process that had this pid and start time is gone, or the kernel takes it
 * apart: a killed QEMU gives its memory back first, which takes a while, and
 * closes its sockets last.
 */
bool process_is_ending(pid_t pid, uint64_t start);

/* Bytes of memory of its own: anonymous and swapped pages.  For what is shared see process_shared.h. */
bool process_own_memory(pid_t pid, uint64_t *bytes);

/* What tells one boot of one host, and one pid namespace, from another; to free. */
char *process_era(void);

/*
 * A pidfd of the process that had this pid and start time; -1 when it is gone
 * or another process has its pid.
 */
int process_open(pid_t pid, uint64_t start);

/* A copy of its descriptor, -1 when it has none or we may not. */
int process_get_fd(int pidfd, int fd);

void process_kill(int pidfd, int signal);

#endif
