/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* vgpu: what the files of the statistics share.  vgpu_stats.c has the theory. */
#ifndef VGPU_STATS_INTERNAL_H
#define VGPU_STATS_INTERNAL_H

#include "vgpu_drv.h"

/* The host's page, or NULL while the device has no renderer. */
const struct vgpu_stats *vgpu_stats_page(struct vgpu_device *vgpu);

/*
 * A profile as one moment had it.  Without a page, what the capset said when
 * the driver was loaded.
 */
struct vgpu_profile {
	char name[64];	  /* printable, ends in NUL */
	u64 memory_limit; /* bytes */
	u64 share;	  /* millionths, 0: not known */
};

void vgpu_stats_profile(struct vgpu_device *vgpu, struct vgpu_profile *profile);

/* Of the longest text that the host gives. */
#define VGPU_TEXT_SIZE 128

/* Copies a text of the host's: printable, of one line, ends in NUL. */
void vgpu_stats_text(char *to, size_t to_size, const char *from,
		     size_t from_size);

/*
 * Nanoseconds that the GPU worked for a client, ever; it never goes back.
 * Sleeps.
 */
u64 vgpu_stats_engine_ns(struct vgpu_device *vgpu,
			 struct vgpu_context *context);

#endif
