/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vgpu: the one place that knows kernels apart.  The driver is written against
 * the newest kernel's interfaces; what 6.1 and 6.12 name otherwise is bridged
 * here, oldest kernel last in each block.
 */
#ifndef VGPU_COMPAT_H
#define VGPU_COMPAT_H

#include <linux/version.h>

#include <linux/mm.h>
#include <linux/reboot.h>
#include <linux/virtio_config.h>

#include <drm/drm_edid.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_plane.h>

#define VGPU_KERNEL(major, minor)                                              \
	(LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0))

/* 6.11: one array of structs; before that, three */
static inline int vgpu_find_vqs(struct virtio_device *vdev, unsigned int count,
				struct virtqueue *vqs[],
				vq_callback_t *callback,
				const char *const names[])
{
#if VGPU_KERNEL(6, 11)
	struct virtqueue_info info[16] = {};
	unsigned int i;

	if (WARN_ON(count > ARRAY_SIZE(info)))
		return -EINVAL;
	for (i = 0; i < count; i++) {
		info[i].name = names[i];
		info[i].callback = callback;
	}
	return virtio_find_vqs(vdev, count, vqs, info, NULL);
#else
	vq_callback_t *callbacks[16];
	unsigned int i;

	if (WARN_ON(count > ARRAY_SIZE(callbacks)))
		return -EINVAL;
	for (i = 0; i < count; i++)
		callbacks[i] = callback;
	return virtio_find_vqs(vdev, count, vqs, callbacks,
			       (const char **)names, NULL);
#endif
}

/* 6.3: vm_flags are changed by functions */
static inline void vgpu_vm_flags_set(struct vm_area_struct *vma,
				     vm_flags_t flags)
{
#if VGPU_KERNEL(6, 3)
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/* 6.14: no date any more; 6.5 and before: PRIME has to be asked for */
#if VGPU_KERNEL(6, 14)
#define VGPU_DRIVER_COMPAT
#elif VGPU_KERNEL(6, 6)
#define VGPU_DRIVER_COMPAT .date = "0",
#else
#define VGPU_DRIVER_COMPAT                                                     \
	.date = "0", .prime_handle_to_fd = drm_gem_prime_handle_to_fd,         \
	.prime_fd_to_handle = drm_gem_prime_fd_to_handle,
#endif

/* 6.13: namespaces of symbols are strings */
#if VGPU_KERNEL(6, 13)
#define VGPU_IMPORT_DMA_BUF MODULE_IMPORT_NS("DMA_BUF")
#else
#define VGPU_IMPORT_DMA_BUF MODULE_IMPORT_NS(DMA_BUF)
#endif

/* A commit of atomic mode setting: what the planes' callbacks are given. */
#if VGPU_KERNEL(7, 2)
#define vgpu_atomic_state drm_atomic_commit
#define vgpu_atomic_state_put drm_atomic_commit_put
#else
#define vgpu_atomic_state drm_atomic_state
#define vgpu_atomic_state_put drm_atomic_state_put
#endif

/* The parameters of two callbacks; what the second one passes on. */
#if VGPU_KERNEL(6, 15)
#define VGPU_ASYNC_CHECK_ARGS                                                  \
	struct drm_plane *plane, struct vgpu_atomic_state *state, bool flip
#else
#define VGPU_ASYNC_CHECK_ARGS                                                  \
	struct drm_plane *plane, struct vgpu_atomic_state *state
#endif

#if VGPU_KERNEL(6, 17)
#define VGPU_FB_CREATE_ARGS                                                    \
	struct drm_device *drm, struct drm_file *file,                         \
		const struct drm_format_info *info,                            \
		const struct drm_mode_fb_cmd2 *cmd
#define VGPU_FB_CREATE() drm_gem_fb_create_with_dirty(drm, file, info, cmd)
#else
#define VGPU_FB_CREATE_ARGS                                                    \
	struct drm_device *drm, struct drm_file *file,                         \
		const struct drm_mode_fb_cmd2 *cmd
#define VGPU_FB_CREATE() drm_gem_fb_create_with_dirty(drm, file, cmd)
#endif

/*
 * Where the hot spot of a cursor is.  Before 6.8 the framebuffer had it, and
 * all who used cursors had to know that of virtual GPUs.
 */
#if VGPU_KERNEL(6, 8)
#define VGPU_CURSOR_FEATURES DRIVER_CURSOR_HOTSPOT
static inline int vgpu_cursor_hot_x(const struct drm_plane_state *state)
{
	return state->hotspot_x;
}

static inline int vgpu_cursor_hot_y(const struct drm_plane_state *state)
{
	return state->hotspot_y;
}
#else
#define VGPU_CURSOR_FEATURES 0
static inline int vgpu_cursor_hot_x(const struct drm_plane_state *state)
{
	return state->fb ? state->fb->hot_x : 0;
}

static inline int vgpu_cursor_hot_y(const struct drm_plane_state *state)
{
	return state->fb ? state->fb->hot_y : 0;
}
#endif

/* Returns the number of modes, or less than 1. */
static inline int vgpu_edid_add_modes(struct drm_connector *connector,
				      const struct drm_edid *edid)
{
	int ret = drm_edid_connector_update(connector, edid);

#if VGPU_KERNEL(6, 4)
	if (!ret)
		ret = drm_edid_connector_add_modes(connector);
#endif
	return ret;
}

/*
 * The console on top of the driver: a line of struct drm_driver, and a call
 * after drm_dev_register().
 */
#if VGPU_KERNEL(6, 14)
#include <drm/clients/drm_client_setup.h>
#include <drm/drm_fbdev_shmem.h>
#define VGPU_FBDEV_DRIVER_OPS DRM_FBDEV_SHMEM_DRIVER_OPS,
#define vgpu_fbdev_setup(drm) drm_client_setup(drm, NULL)
#elif VGPU_KERNEL(6, 11)
#include <drm/drm_fbdev_shmem.h>
#define VGPU_FBDEV_DRIVER_OPS
#define vgpu_fbdev_setup(drm) drm_fbdev_shmem_setup(drm, 0)
#else
#include <drm/drm_fb_helper.h>
#define VGPU_FBDEV_DRIVER_OPS
#define vgpu_fbdev_setup(drm) drm_fbdev_generic_setup(drm, 0)
#endif

/* 6.5: fdinfo begins in the core; before that it is all ours */
#if VGPU_KERNEL(6, 5)
#define VGPU_FOPS_FDINFO drm_show_fdinfo
#define VGPU_DRIVER_FDINFO .show_fdinfo = vgpu_show_fdinfo,
#else
#define VGPU_FOPS_FDINFO vgpu_show_fdinfo_file
#define VGPU_DRIVER_FDINFO
#endif

/*
 * 6.16: virtio drivers have a shutdown.  Some before that have one of the bus
 * instead, which breaks the rings and then resets the device; some have none.
 */
#if VGPU_KERNEL(6, 16)
#define VGPU_SHUTDOWN_OPS .shutdown = shutdown,
#else
#define VGPU_SHUTDOWN_OPS
#endif

static inline void vgpu_reboot_register(struct notifier_block *reboot,
					notifier_fn_t function)
{
#if !VGPU_KERNEL(6, 16)
	reboot->notifier_call = function;
	register_reboot_notifier(reboot);
#endif
}

static inline void vgpu_reboot_unregister(struct notifier_block *reboot)
{
#if !VGPU_KERNEL(6, 16)
	unregister_reboot_notifier(reboot);
#endif
}

#endif
