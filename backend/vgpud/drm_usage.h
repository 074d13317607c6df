/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The GPU time that a hardware GPU's driver says a renderer's processes have
 * used (drm-engine-* of /proc/PID/fdinfo, see the kernel's drm-usage-stats):
 * what no renderer can claim away.
 */
#ifndef VGPUD_DRM_USAGE_H
#define VGPUD_DRM_USAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct DrmUsage DrmUsage;

/* pci: the GPU's address, like 0000:03:00.0, or NULL: whichever GPU they have open. */
DrmUsage *drm_usage_new(const char *pci);
void drm_usage_free(DrmUsage *u); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DrmUsage, drm_usage_free)

/*
 * A look: begin, the fdinfo of each descriptor (of anything), end.  Text returns
 * whether it tells of that GPU.  End returns ns, ever: of the engine that was
 * busiest since the last look, added to what was before.
 */
void drm_usage_begin(DrmUsage *u);
bool drm_usage_text(DrmUsage *u, const char *fdinfo);
uint64_t drm_usage_end(DrmUsage *u);

/* The same with all descriptors of these processes; false: their driver tells nothing. */
bool drm_usage_look(DrmUsage *u, const pid_t *pids, unsigned count, uint64_t *ns);

#endif
