// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu: planes: framebuffers to the host, by rectangles.
 *
 * Who touches what.  Commits of one CRTC follow each other (the atomic helpers
 * see to that), so what is in struct vgpu_output belongs to the commit that
 * runs.  The one exception is a cursor that only moves: its asynchronous update
 * sends the position and touches nothing else.
 *
 * Where a command could not be sent for lack of memory the output is marked
 * stale, and its next frame is sent whole.
 */
#include <drm/drm_atomic_helper.h>
#include <drm/drm_blend.h>
#include <drm/drm_damage_helper.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_gem_atomic_helper.h>
#include <drm/drm_gem_framebuffer_helper.h>

#include "vgpu_kms.h"

/* More rectangles than this are sent as the one around them all. */
#define VGPU_MAX_RECTS 16

/* A host that has shown nothing for this long is not waited for any more. */
#define VGPU_FRAME_TIMEOUT (5 * HZ)

static const u32 vgpu_primary_formats[] = {
	DRM_FORMAT_XRGB8888,
	DRM_FORMAT_ARGB8888,
};

static const u32 vgpu_cursor_formats[] = {
	DRM_FORMAT_ARGB8888,
};

static u32 vgpu_wire_format(const struct drm_framebuffer *fb)
{
	return fb->format->format == DRM_FORMAT_ARGB8888 ?
		       VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM :
		       VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM;
}

static struct vgpu_object *vgpu_framebuffer_object(struct drm_framebuffer *fb)
{
	return to_vgpu_object(fb->obj[0]);
}

/*
 * SET_SCANOUT has no offset, no pitch and no size beyond the resource's own:
 * the framebuffer must be the resource.  A blob is whatever one says it is.
 */
int vgpu_framebuffer_check(struct vgpu_device *vgpu,
			   const struct drm_framebuffer *fb)
{
	const struct vgpu_object *obj = to_vgpu_object(fb->obj[0]);
	u32 width, height;

	switch (obj->kind) {
	case VGPU_OBJECT_2D:
		width = obj->two_d.width;
		height = obj->two_d.height;
		if (fb->pitches[0] != width * fb->format->cpp[0]) {
			drm_dbg_kms(&vgpu->drm,
				    "a pitch of %u bytes on a buffer of %u pixels\n",
				    fb->pitches[0], width);
			return -EINVAL;
		}
		break;
	case VGPU_OBJECT_3D:
		width = le32_to_cpu(obj->three_d.width);
		height = le32_to_cpu(obj->three_d.height);
		break;
	default:
		return 0;
	}
	if (fb->width > width || fb->height > height || fb->offsets[0]) {
		drm_dbg_kms(&vgpu->drm,
			    "a framebuffer of %ux%u at %u on a resource of %ux%u\n",
			    fb->width, fb->height, fb->offsets[0], width,
			    height);
		return -EINVAL;
	}
	return 0;
}

/* ---------------------------------------------------------------- waits */

static void vgpu_output_take_fence(struct vgpu_output *output,
				   struct vgpu_fence *fence)
{
	swap(output->flushed, fence);
	if (fence)
		dma_fence_put(&fence->base);
}

/*
 * For the last frame that was sent.  A commit cannot fail any more, so a signal
 * only ends the wait: that slows nobody down but the process that is to die.
 */
static void vgpu_output_wait(struct vgpu_device *vgpu,
			     struct vgpu_output *output, bool interruptible)
{
	long left;

	if (!output->flushed)
		return;
	left = dma_fence_wait_timeout(&output->flushed->base, interruptible,
				      VGPU_FRAME_TIMEOUT);
	if (!left)
		drm_err_ratelimited(&vgpu->drm,
				    "output %u: the host has not shown a frame for %u s\n",
				    output->index, VGPU_FRAME_TIMEOUT / HZ);
	vgpu_output_take_fence(output, NULL);
}

/* -------------------------------------------------------------- primary */

static int vgpu_plane_check(struct drm_plane *plane,
			    struct vgpu_atomic_state *state, bool can_position)
{
	struct drm_plane_state *new =
		drm_atomic_get_new_plane_state(state, plane);
	struct drm_crtc_state *crtc_state = NULL;

	if (new->crtc)
		crtc_state = drm_atomic_get_new_crtc_state(state, new->crtc);
	return drm_atomic_helper_check_plane_state(new, crtc_state,
						   DRM_PLANE_NO_SCALING,
						   DRM_PLANE_NO_SCALING,
						   can_position, true);
}

static int vgpu_primary_check(struct drm_plane *plane,
			      struct vgpu_atomic_state *state)
{
	return vgpu_plane_check(plane, state, false);
}

/* The memory of the guest that changed, to the host's copy. */
static int vgpu_send_rect(struct vgpu_device *vgpu, struct drm_framebuffer *fb,
			  const struct drm_rect *rect, struct vgpu_fence *fence)
{
	struct vgpu_object *obj = vgpu_framebuffer_object(fb);
	u64 offset = (u64)rect->y1 * fb->pitches[0] +
		     (u64)rect->x1 * fb->format->cpp[0];

	return vgpu_cmd_transfer_to_host_2d(vgpu, obj, offset, rect->x1,
					    rect->y1, drm_rect_width(rect),
					    drm_rect_height(rect), fence);
}

static int vgpu_set_scanout(struct vgpu_device *vgpu,
			    struct vgpu_output *output,
			    struct drm_framebuffer *fb,
			    const struct drm_rect *src)
{
	struct vgpu_object *obj = vgpu_framebuffer_object(fb);

	if (vgpu_object_is_blob(obj))
		return vgpu_cmd_set_scanout_blob(vgpu, output->index, obj, fb,
						 vgpu_wire_format(fb), src->x1,
						 src->y1, drm_rect_width(src),
						 drm_rect_height(src));
	return vgpu_cmd_set_scanout(vgpu, output->index, obj->id, src->x1,
				    src->y1, drm_rect_width(src),
				    drm_rect_height(src));
}

/* @rects of the framebuffer: sent where they are the guest's, and shown. */
static int vgpu_show_rects(struct vgpu_device *vgpu, struct vgpu_output *output,
			   struct drm_framebuffer *fb,
			   const struct drm_rect *src, bool set,
			   const struct drm_rect *rects, unsigned int count)
{
	struct vgpu_object *obj = vgpu_framebuffer_object(fb);
	struct vgpu_fence *fence;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && obj->kind == VGPU_OBJECT_2D && i < count; i++)
		ret = vgpu_send_rect(vgpu, fb, &rects[i], NULL);
	if (!ret && set)
		ret = vgpu_set_scanout(vgpu, output, fb, src);
	for (i = 0; !ret && i < count; i++) {
		/* the last one's answer says that all are shown */
		fence = i + 1 < count ? NULL : vgpu_fence_alloc(vgpu->timeline);
		ret = vgpu_cmd_flush(vgpu, obj->id, rects[i].x1, rects[i].y1,
				     drm_rect_width(&rects[i]),
				     drm_rect_height(&rects[i]), fence);
		if (!ret)
			vgpu_output_take_fence(output, fence);
		else if (fence)
			dma_fence_put(&fence->base);
	}
	return ret;
}

/* What is damaged, in pixels of the framebuffer; at most VGPU_MAX_RECTS. */
static unsigned int vgpu_damage(const struct drm_plane_state *old,
				struct drm_plane_state *new,
				struct drm_rect *rects)
{
	struct drm_atomic_helper_damage_iter iter;
	struct drm_rect rect;
	unsigned int count = 0;

	drm_atomic_helper_damage_iter_init(&iter, old, new);
	drm_atomic_for_each_plane_damage(&iter, &rect) {
		if (count == VGPU_MAX_RECTS)
			return drm_atomic_helper_damage_merged(old, new, rects);
		rects[count++] = rect;
	}
	return count;
}

/*
 * Damage tells one frame from the one before it.  It says nothing of another
 * framebuffer, whose copy on the host is older than that: it is sent whole.
 */
static void vgpu_primary_update(struct drm_plane *plane,
				struct vgpu_atomic_state *state)
{
	struct drm_plane_state *old =
		drm_atomic_get_old_plane_state(state, plane);
	struct drm_plane_state *new =
		drm_atomic_get_new_plane_state(state, plane);
	struct drm_rect rects[VGPU_MAX_RECTS], src;
	struct vgpu_device *vgpu = to_vgpu(plane->dev);
	struct vgpu_output *output;
	unsigned int count = 1;
	bool set;

	if (!new->crtc || !new->fb || !new->visible)
		return;
	output = crtc_to_output(new->crtc);
	vgpu_output_wait(vgpu, output, true);

	drm_rect_fp_to_int(&src, &new->src);
	set = output->stale || old->fb != new->fb ||
	      !drm_rect_equals(&old->src, &new->src) ||
	      drm_atomic_crtc_needs_modeset(new->crtc->state);
	if (set)
		rects[0] = src;
	else
		count = vgpu_damage(old, new, rects);
	output->stale =
		vgpu_show_rects(vgpu, output, new->fb, &src, set, rects, count);
	output->flipped = set;
	if (output->stale)
		drm_err_ratelimited(plane->dev,
				    "output %u: no memory to send a frame, the next one will be whole\n",
				    output->index);
	vgpu_kick(vgpu);
}

static void vgpu_primary_disable(struct drm_plane *plane,
				 struct vgpu_atomic_state *state)
{
	struct drm_plane_state *old =
		drm_atomic_get_old_plane_state(state, plane);
	struct vgpu_device *vgpu = to_vgpu(plane->dev);

	if (!old->crtc)
		return;
	if (vgpu_cmd_set_scanout(vgpu, crtc_to_output(old->crtc)->index, 0, 0,
				 0, 0, 0))
		drm_err_ratelimited(plane->dev,
				    "no memory to take a framebuffer off its output\n");
	vgpu_kick(vgpu);
}

static const struct drm_plane_helper_funcs vgpu_primary_helpers = {
	.prepare_fb = drm_gem_plane_helper_prepare_fb,
	.atomic_check = vgpu_primary_check,
	.atomic_update = vgpu_primary_update,
	.atomic_disable = vgpu_primary_disable,
};

/* --------------------------------------------------------------- cursor */

static int vgpu_cursor_check(struct drm_plane *plane,
			     struct vgpu_atomic_state *state)
{
	struct drm_plane_state *new =
		drm_atomic_get_new_plane_state(state, plane);

	if (new->fb && (new->fb->width != VGPU_CURSOR_SIZE ||
			new->fb->height != VGPU_CURSOR_SIZE)) {
		drm_dbg_kms(plane->dev,
			    "a cursor of %ux%u pixels: they have %ux%u here\n",
			    new->fb->width, new->fb->height, VGPU_CURSOR_SIZE,
			    VGPU_CURSOR_SIZE);
		return -EINVAL;
	}
	return vgpu_plane_check(plane, state, true);
}

/* But for its place. */
static bool vgpu_cursor_same(const struct drm_plane_state *old,
			     const struct drm_plane_state *new)
{
	if (old->fb != new->fb || old->crtc != new->crtc ||
	    old->src_x != new->src_x || old->src_y != new->src_y)
		return false;
	if (vgpu_cursor_hot_x(old) != vgpu_cursor_hot_x(new))
		return false;
	return vgpu_cursor_hot_y(old) == vgpu_cursor_hot_y(new);
}

static void vgpu_cursor_move(struct vgpu_device *vgpu,
			     struct vgpu_output *output,
			     const struct drm_plane_state *new)
{
	/* the next one will be right */
	if (!vgpu_cmd_move_cursor(vgpu, output->index, new->crtc_x,
				  new->crtc_y))
		vgpu_queue_kick(&vgpu->cursor);
}

/*
 * The picture is sent here, on the control queue; vgpu_planes_finish() shows it
 * when it is there.
 */
static void vgpu_cursor_update(struct drm_plane *plane,
			       struct vgpu_atomic_state *state)
{
	static const struct drm_rect whole = {
		.x2 = VGPU_CURSOR_SIZE,
		.y2 = VGPU_CURSOR_SIZE,
	};
	struct drm_plane_state *old =
		drm_atomic_get_old_plane_state(state, plane);
	struct drm_plane_state *new =
		drm_atomic_get_new_plane_state(state, plane);
	struct vgpu_device *vgpu = to_vgpu(plane->dev);
	struct vgpu_output *output;
	struct vgpu_fence *fence;

	if (!new->crtc || !new->fb)
		return;
	output = crtc_to_output(new->crtc);
	if (vgpu_cursor_same(old, new) &&
	    !drm_atomic_crtc_needs_modeset(new->crtc->state)) {
		vgpu_cursor_move(vgpu, output, new);
		return;
	}
	output->cursor_changed = true;
	/* of a host's resource the picture is there; of a blob, a formality */
	if (vgpu_framebuffer_object(new->fb)->kind == VGPU_OBJECT_3D)
		return;
	fence = vgpu_fence_alloc(vgpu->timeline);
	if (vgpu_send_rect(vgpu, new->fb, &whole, fence)) {
		drm_err_ratelimited(plane->dev,
				    "output %u: no memory to send a cursor\n",
				    output->index);
		if (fence)
			dma_fence_put(&fence->base);
		return;
	}
	vgpu_output_take_fence(output, fence);
	vgpu_kick(vgpu);
}

static void vgpu_cursor_disable(struct drm_plane *plane,
				struct vgpu_atomic_state *state)
{
	struct drm_plane_state *old =
		drm_atomic_get_old_plane_state(state, plane);

	if (old->crtc)
		crtc_to_output(old->crtc)->cursor_changed = true;
}

static int vgpu_cursor_async_check(VGPU_ASYNC_CHECK_ARGS)
{
	struct drm_plane_state *new =
		drm_atomic_get_new_plane_state(state, plane);
	const struct drm_plane_state *old = plane->state;

	/* moves, and nothing else */
	if (!new->fb || !vgpu_cursor_same(old, new))
		return -EINVAL;
	return 0;
}

static void vgpu_cursor_async_update(struct drm_plane *plane,
				     struct vgpu_atomic_state *state)
{
	struct drm_plane_state *new =
		drm_atomic_get_new_plane_state(state, plane);

	plane->state->crtc_x = new->crtc_x;
	plane->state->crtc_y = new->crtc_y;
	vgpu_cursor_move(to_vgpu(plane->dev), crtc_to_output(new->crtc), new);
}

static const struct drm_plane_helper_funcs vgpu_cursor_helpers = {
	.prepare_fb = drm_gem_plane_helper_prepare_fb,
	.atomic_check = vgpu_cursor_check,
	.atomic_update = vgpu_cursor_update,
	.atomic_disable = vgpu_cursor_disable,
	.atomic_async_check = vgpu_cursor_async_check,
	.atomic_async_update = vgpu_cursor_async_update,
};

static void vgpu_cursor_show(struct vgpu_device *vgpu,
			     struct vgpu_output *output)
{
	const struct drm_plane_state *new = output->crtc.cursor->state;
	int ret;

	if (new->fb)
		ret = vgpu_cmd_update_cursor(vgpu, output->index,
					     vgpu_framebuffer_object(new->fb)
						     ->id,
					     new->crtc_x, new->crtc_y,
					     vgpu_cursor_hot_x(new),
					     vgpu_cursor_hot_y(new));
	else
		ret = vgpu_cmd_update_cursor(vgpu, output->index, 0, 0, 0, 0,
					     0);
	if (ret)
		drm_err_ratelimited(&vgpu->drm,
				    "output %u: no memory to change the cursor\n",
				    output->index);
}

/* --------------------------------------------------------------- planes */

void vgpu_planes_finish(struct vgpu_device *vgpu,
			struct vgpu_atomic_state *state)
{
	struct drm_crtc_state *crtc_state;
	struct vgpu_output *output;
	struct drm_crtc *crtc;
	bool cursors = false;
	int i;

	for_each_new_crtc_in_state(state, crtc, crtc_state, i) {
		output = crtc_to_output(crtc);
		if (output->flipped || output->cursor_changed)
			vgpu_output_wait(vgpu, output, !output->cursor_changed);
		output->flipped = false;
		if (!output->cursor_changed)
			continue;
		output->cursor_changed = false;
		vgpu_cursor_show(vgpu, output);
		cursors = true;
	}
	if (cursors)
		vgpu_queue_kick(&vgpu->cursor);
}

static const struct drm_plane_funcs vgpu_plane_funcs = {
	.update_plane = drm_atomic_helper_update_plane,
	.disable_plane = drm_atomic_helper_disable_plane,
	.reset = drm_atomic_helper_plane_reset,
	.atomic_duplicate_state = drm_atomic_helper_plane_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_plane_destroy_state,
};

struct drm_plane *vgpu_plane_create(struct vgpu_device *vgpu, u32 index,
				    enum drm_plane_type type)
{
	bool cursor = type == DRM_PLANE_TYPE_CURSOR;
	struct vgpu_plane {
		struct drm_plane base;
	} *plane;

	plane = drmm_universal_plane_alloc(&vgpu->drm, struct vgpu_plane, base,
					   BIT(index), &vgpu_plane_funcs,
					   cursor ? vgpu_cursor_formats :
						    vgpu_primary_formats,
					   cursor ?
						   ARRAY_SIZE(vgpu_cursor_formats) :
						   ARRAY_SIZE(vgpu_primary_formats),
					   NULL, type, NULL);
	if (IS_ERR(plane))
		return ERR_CAST(plane);
	drm_plane_helper_add(&plane->base, cursor ? &vgpu_cursor_helpers :
						    &vgpu_primary_helpers);
	if (!cursor)
		drm_plane_enable_fb_damage_clips(&plane->base);
	return &plane->base;
}
