/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the driver offers to user space beside drm/virtgpu_drm.h.
 */
#ifndef VGPU_DRM_H
#define VGPU_DRM_H

#include <drm/drm.h>

#define DRM_VGPU_RESET_STATUS 0x50

/* Whose work it was that the device was lost for. */
#define VGPU_RESET_STATUS_NONE 0     /* this file's context was not lost */
#define VGPU_RESET_STATUS_GUILTY 1   /* this context's */
#define VGPU_RESET_STATUS_INNOCENT 2 /* another's */
#define VGPU_RESET_STATUS_UNKNOWN 3  /* nobody can say */

/*
 * Of the file's context, at any time; the only ioctl that does not say EIO when
 * that is lost.  Blocks while a reset is going on.
 */
struct drm_vgpu_reset_status {
	__u32 status; /* out: VGPU_RESET_STATUS_* */
	__u32 cause;  /* out: enum vgpu_reset_cause of the last */
	__u64 resets; /* out: of the device, since it was probed */
};

#define DRM_IOCTL_VGPU_RESET_STATUS                                            \
	DRM_IOR(DRM_COMMAND_BASE + DRM_VGPU_RESET_STATUS,                      \
		struct drm_vgpu_reset_status)

#endif
