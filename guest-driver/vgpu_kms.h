/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* vgpu: what the files of the displays share.  vgpu_kms.c has the theory. */
#ifndef VGPU_KMS_H
#define VGPU_KMS_H

#include <drm/drm_atomic.h>
#include <drm/drm_plane.h>
#include <drm/drm_print.h>

#include "vgpu_drv.h"

/* Pixels; what virtio-gpu hosts show at most, and the one size of a cursor. */
#define VGPU_MAX_SIZE 16384
#define VGPU_CURSOR_SIZE 64

static inline struct vgpu_output *crtc_to_output(struct drm_crtc *crtc)
{
	return container_of(crtc, struct vgpu_output, crtc);
}

static inline struct vgpu_output *
connector_to_output(struct drm_connector *connector)
{
	return container_of(connector, struct vgpu_output, connector);
}

/* vgpu_output.c */
int vgpu_output_init(struct vgpu_device *vgpu, u32 index);
/* Asks the host for places and EDIDs of all outputs.  Waits. */
int vgpu_outputs_read(struct vgpu_device *vgpu);

/* vgpu_plane.c */
struct drm_plane *vgpu_plane_create(struct vgpu_device *vgpu, u32 index,
				    enum drm_plane_type type);
/*
 * The end of a commit: waits until the host has shown what is new, then gives
 * it the cursors whose pictures it has by now.
 */
void vgpu_planes_finish(struct vgpu_device *vgpu,
			struct vgpu_atomic_state *state);
/* -EINVAL and a debug message where the host could not show this. */
int vgpu_framebuffer_check(struct vgpu_device *vgpu,
			   const struct drm_framebuffer *fb);

#endif
