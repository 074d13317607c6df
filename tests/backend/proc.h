/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc tells about a process and those it started. */
#ifndef TEST_PROC_H
#define TEST_PROC_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A field of /proc/PID/status as text, NULL when there is none. */
char *proc_status(pid_t pid, const char *field);
/* Children of any of its threads. */
GArray *proc_children(pid_t pid);
/* The last of the line: of a wrapper process the program it wraps. */
pid_t proc_deepest(pid_t pid);
/* Anonymous resident KiB of a process and of all below it: guest RAM does not count. */
uint64_t proc_rss_kib(pid_t pid);
/* Same namespace as this test's? type as in /proc/PID/ns. */
bool proc_same_namespace(pid_t pid, const char *type);
bool proc_alive(pid_t pid);
/* Descriptors open in the process. */
unsigned proc_fd_count(pid_t pid);

#endif
