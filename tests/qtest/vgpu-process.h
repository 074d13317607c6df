/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes around a test, found in /proc: renderers, vgpud, what is left over. */
#ifndef VGPU_PROCESS_H
#define VGPU_PROCESS_H

#include <sys/resource.h>

/* pids (pid_t) of the vgpu-renderers started with --vm-name=VM_NAME */
GArray *process_renderers(const char *vm_name);
/* pids (pid_t) of programs called name whose environment has our runtime folder */
GArray *process_named(const char *name);
void process_signal(GArray *pids, int sig);
bool process_gone(GArray *pids, int timeout_ms);
/* After SIGSTOP: no thread of theirs runs any more. */
bool process_stopped(GArray *pids, int timeout_ms);
/* Kilobytes of resident memory of all of them. */
uint64_t process_rss_kib(GArray *pids);

/* Fails the test when the renderers are not those of before: one had died. */
void process_assert_same(const char *vm_name, GArray *before);

/* From now on it can open nothing more; *was is the limit that it had, for prlimit(). */
void process_starve(pid_t pid, struct rlimit *was);

/* Kills all descendants of this process and reaps them. */
void process_kill_orphans(void);
void process_remove_tree(const char *dir);

#endif
