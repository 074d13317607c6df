/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this process gives up, in stages.  Namespaces and cgroups are vgpud's,
 * before exec; this is what only the process itself can do.
 *
 * isolate_initial   first thing: close what was inherited, no new privileges,
 *                   no core of guest memory, limits.
 * isolate_starting  before a thread or GL exists: the system calls that neither
 *                   the start nor the work needs are gone.
 * isolate_serving   GL is up, all threads: no file is made or opened for
 *                   writing, no process is made, nothing that only the start needed.
 */
#ifndef VGPU_RENDERER_ISOLATION_H
#define VGPU_RENDERER_ISOLATION_H

#include <glib.h>
#include <stdbool.h>

/* keep: descriptors of ours. */
bool isolate_initial(const int *keep, unsigned count, GError **error);
/*
 * devices, here and below: its driver opens the GPU's device again and again, as
 * NVIDIA's does for each piece of memory that it maps.  What is there may be opened
 * for writing then, while serving too; and the links that it wants to make for the
 * device each time fail by the box's files, with no line in the kernel's log.
 */
bool isolate_starting(bool devices, GError **error);
/* Failing here is the end of the process: it would serve a guest unconfined. */
void isolate_serving(bool devices);

#endif
