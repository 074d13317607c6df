// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu: displays.
 *
 * Theory.  An output is a scanout of the device with a CRTC, a primary and a
 * cursor plane, and a connector; there are as many as the device has scanouts.
 * A commit turns into commands on the control queue:
 *
 *	CRTC off		SET_SCANOUT 0
 *	dumb framebuffer	TRANSFER_TO_HOST_2D of what is damaged
 *	other framebuffer	SET_SCANOUT, or SET_SCANOUT_BLOB
 *	always			RESOURCE_FLUSH of what is damaged, fenced
 *
 * and, on the cursor queue, UPDATE_CURSOR when the cursor has another picture
 * and MOVE_CURSOR when it has not.  The device has no vertical blank; a frame
 * is on the screen when the host answers its flush, so that is when the commit
 * of a flip completes: events and out-fences come then, and who draws as fast
 * as it gets them is held back by the host and nothing else.  A commit that
 * only damages the framebuffer that is shown does not wait for its own flush
 * but for the one before it: one is always on its way, never two.
 *
 * The two queues have no order between them: the picture of a cursor is sent
 * on the control queue, and UPDATE_CURSOR only when that was answered.
 *
 * What rendering owes the framebuffer (implicit fences, IN_FENCE_FD) is waited
 * for by the atomic helpers before the planes are touched.
 *
 * Left out: scaling, rotation, colour management, modifiers other than linear.
 */
#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_gem_framebuffer_helper.h>
#include <drm/drm_modeset_helper.h>
#include <drm/drm_probe_helper.h>

#include "vgpu_kms.h"

static struct drm_framebuffer *vgpu_framebuffer_create(VGPU_FB_CREATE_ARGS)
{
	struct drm_framebuffer *fb;
	int ret;

	fb = VGPU_FB_CREATE();
	if (IS_ERR(fb))
		return fb;
	ret = vgpu_framebuffer_check(to_vgpu(drm), fb);
	if (ret) {
		drm_framebuffer_put(fb);
		return ERR_PTR(ret);
	}
	return fb;
}

static const struct drm_mode_config_funcs vgpu_mode_config_funcs = {
	.fb_create = vgpu_framebuffer_create,
	.atomic_check = drm_atomic_helper_check,
	.atomic_commit = drm_atomic_helper_commit,
};

static void vgpu_commit_tail(struct vgpu_atomic_state *state)
{
	struct drm_device *drm = state->dev;

	drm_atomic_helper_commit_modeset_disables(drm, state);
	drm_atomic_helper_commit_modeset_enables(drm, state);
	drm_atomic_helper_commit_planes(drm, state,
					DRM_PLANE_COMMIT_ACTIVE_ONLY);
	vgpu_planes_finish(to_vgpu(drm), state);
	drm_atomic_helper_fake_vblank(state);
	drm_atomic_helper_commit_hw_done(state);
	drm_atomic_helper_cleanup_planes(drm, state);
}

static const struct drm_mode_config_helper_funcs vgpu_mode_config_helpers = {
	.atomic_commit_tail = vgpu_commit_tail,
};

int vgpu_kms_init(struct vgpu_device *vgpu)
{
	struct drm_device *drm = &vgpu->drm;
	struct drm_mode_config *config = &drm->mode_config;
	int ret;
	u32 i;

	if (!vgpu->num_scanouts) {
		drm->driver_features &= ~(DRIVER_MODESET | DRIVER_ATOMIC);
		return 0;
	}
	ret = drmm_mode_config_init(drm);
	if (ret)
		return ret;
	config->min_width = 1;
	config->min_height = 1;
	config->max_width = VGPU_MAX_SIZE;
	config->max_height = VGPU_MAX_SIZE;
	config->cursor_width = VGPU_CURSOR_SIZE;
	config->cursor_height = VGPU_CURSOR_SIZE;
	config->preferred_depth = 24;
	config->fb_modifiers_not_supported = true;
	config->funcs = &vgpu_mode_config_funcs;
	config->helper_private = &vgpu_mode_config_helpers;
	ret = drm_mode_create_suggested_offset_properties(drm);
	if (ret)
		return ret;
	for (i = 0; i < vgpu->num_scanouts; i++) {
		ret = vgpu_output_init(vgpu, i);
		if (ret)
			return ret;
	}
	ret = vgpu_outputs_read(vgpu);
	if (ret)
		return ret;
	drm_mode_config_reset(drm);
	return 0;
}

void vgpu_kms_register(struct vgpu_device *vgpu)
{
	if (vgpu->num_scanouts)
		vgpu_fbdev_setup(&vgpu->drm);
}

void vgpu_kms_fini(struct vgpu_device *vgpu)
{
	if (vgpu->num_scanouts)
		drm_atomic_helper_shutdown(&vgpu->drm);
}

void vgpu_kms_displays_changed(struct vgpu_device *vgpu)
{
	if (!vgpu->num_scanouts || vgpu_outputs_read(vgpu))
		return;
	drm_kms_helper_hotplug_event(&vgpu->drm);
}

int vgpu_kms_suspend(struct vgpu_device *vgpu)
{
	if (!vgpu->num_scanouts)
		return 0;
	return drm_mode_config_helper_suspend(&vgpu->drm);
}

int vgpu_kms_resume(struct vgpu_device *vgpu)
{
	if (!vgpu->num_scanouts)
		return 0;
	return drm_mode_config_helper_resume(&vgpu->drm);
}

/*
 * What is shown now once more, as a mode set: the planes then send all of their
 * framebuffers.  A framebuffer that did not survive leaves its output dark.
 */
static int vgpu_kms_show_again(struct drm_device *drm,
			       struct drm_modeset_acquire_ctx *ctx)
{
	struct vgpu_atomic_state *state;
	struct drm_crtc_state *crtc_state;
	struct drm_crtc *crtc;
	int ret, i;

	state = drm_atomic_helper_duplicate_state(drm, ctx);
	if (IS_ERR(state))
		return PTR_ERR(state);
	state->acquire_ctx = ctx;
	for_each_new_crtc_in_state(state, crtc, crtc_state, i)
		crtc_state->mode_changed = true;
	ret = drm_atomic_commit(state);
	vgpu_atomic_state_put(state);
	return ret;
}

void vgpu_kms_restore(struct vgpu_device *vgpu)
{
	struct drm_device *drm = &vgpu->drm;
	struct drm_modeset_acquire_ctx ctx;
	int ret;

	if (!vgpu->num_scanouts)
		return;
	DRM_MODESET_LOCK_ALL_BEGIN(drm, ctx, 0, ret);
	ret = vgpu_kms_show_again(drm, &ctx);
	DRM_MODESET_LOCK_ALL_END(drm, ctx, ret);
	if (ret)
		drm_err(drm,
			"the displays cannot be lit again (%d): set a mode, or switch to a console and back\n",
			ret);
	vgpu_kms_displays_changed(vgpu);
}
