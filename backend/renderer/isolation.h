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
bool isolate_starting(GError **error);
/*
 * Failing here is the end of the process: it would serve a guest unconfined.
 * devices: its driver opens the GPU's device again and again, as NVIDIA's does for
 * each piece of memory that it maps; what is there may be opened for writing then.
 */
void isolate_serving(bool devices);

#endif
