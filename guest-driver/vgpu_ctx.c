// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Contexts of the host's renderer.
 *
 * An open file has one.  It is created on the host by the first ioctl that
 * needs it, or by CONTEXT_INIT, which says what kind it is to be.  Objects that
 * the file has by then, and those that it gets later, are attached to it.
 *
 * A context belongs to one generation of the device: after a reset it is lost,
 * and so is everything that user space has built in it.  Its file stays open
 * and every ioctl that needs the context says -EIO.
 */
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vgpu_drv.h"

static void context_free(struct kref *ref)
{
	struct vgpu_context *context =
		container_of(ref, struct vgpu_context, ref);
	unsigned int i;

	vgpu_stats_closed(context);
	vgpu_timeline_put(context->timeline);
	vgpu_timeline_put(context->control);
	for (i = 0; i < ARRAY_SIZE(context->ring); i++)
		vgpu_timeline_put(context->ring[i]);
	kfree(context);
}

void vgpu_context_put(struct vgpu_context *context)
{
	kref_put(&context->ref, context_free);
}

int vgpu_open(struct drm_device *drm, struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct vgpu_context *context;
	struct vgpu_file *f;
	int id;

	f = kzalloc(sizeof(*f), GFP_KERNEL);
	context = kzalloc(sizeof(*context), GFP_KERNEL);
	if (!f || !context)
		goto free;
	id = ida_alloc_min(&vgpu->context_ids, 1, GFP_KERNEL);
	if (id < 0)
		goto free;

	kref_init(&context->ref);
	mutex_init(&context->lock);
	context->vgpu = vgpu;
	context->id = id;
	context->queue = vgpu->num_submit ?
				 &vgpu->submit[id % vgpu->num_submit] :
				 &vgpu->control;
	vgpu_stats_opened(context);
	f->drm = file;
	f->context = context;
	file->driver_priv = f;
	return 0;

free:
	kfree(context);
	kfree(f);
	return -ENOMEM;
}

static void id_released(struct vgpu_device *vgpu, struct vgpu_request *request,
			int error)
{
	ida_free(&vgpu->context_ids, (unsigned long)request->data);
}

void vgpu_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct vgpu_file *f = file->driver_priv;
	struct vgpu_context *context = f->context;

	/* the id is not used again before the device has let go of it */
	if (vgpu_context_alive(context)) {
		vgpu_context_order(context);
		if (!vgpu_cmd_ctx_destroy(vgpu, context->id, id_released,
					  (void *)(unsigned long)context->id))
			vgpu_kick(vgpu);
	} else {
		ida_free(&vgpu->context_ids, context->id);
	}
	vgpu_context_put(context);
	kfree(f);
}

/* Whether the host has it, as far as we know. */
bool vgpu_context_alive(struct vgpu_context *context)
{
	/* pairs with context_create() */
	return smp_load_acquire(&context->created) &&
	       context->generation == READ_ONCE(context->vgpu->generation);
}

/* What is added to the control queue from now on finds its submits run. */
int vgpu_context_order(struct vgpu_context *context)
{
	return vgpu_order_control(context->vgpu, vgpu_use_now(context->queue),
				  context->generation);
}

int vgpu_context_check(struct vgpu_context *context)
{
	/* pairs with context_create() */
	if (smp_load_acquire(&context->created) &&
	    context->generation != READ_ONCE(context->vgpu->generation))
		return -EIO;
	return 0;
}

/* What the file had before its context was there. */
static int attach_all(struct vgpu_context *context, struct drm_file *file)
{
	struct drm_gem_object *gem;
	int handle, ret = 0;

	for (handle = 0; !ret; handle++) {
		spin_lock(&file->table_lock);
		gem = idr_get_next(&file->object_idr, &handle);
		if (gem)
			drm_gem_object_get(gem);
		spin_unlock(&file->table_lock);
		if (!gem)
			break;
		ret = vgpu_cmd_ctx_attach(context->vgpu, context->id,
					  to_vgpu_object(gem), true);
		drm_gem_object_put(gem);
	}
	return ret;
}

/* With context->lock held. */
static int context_create(struct vgpu_context *context, struct drm_file *file)
{
	struct vgpu_device *vgpu = context->vgpu;
	char comm[TASK_COMM_LEN];
	int ret;

	if (READ_ONCE(vgpu->lost))
		return -EIO;
	if (!context->name[0]) {
		get_task_comm(comm, current);
		strscpy(context->name, comm, sizeof(context->name));
	}
	/* not before: the console's file must not pin the module */
	if (!context->timeline)
		context->timeline = vgpu_timeline_alloc(true);
	if (!context->control)
		context->control = vgpu_timeline_alloc(true);
	if (!context->timeline || !context->control)
		return -ENOMEM;
	context->generation = READ_ONCE(vgpu->generation);
	ret = vgpu_cmd_ctx_create(vgpu, context);
	if (ret)
		return ret;
	/* pairs with the readers: generation and the rest are set */
	smp_store_release(&context->created, true);
	ret = attach_all(context, file);
	vgpu_kick(vgpu);
	return ret;
}

int vgpu_context_ready(struct drm_file *file, struct vgpu_context **out)
{
	struct vgpu_file *f = file->driver_priv;
	struct vgpu_context *context = f->context;
	int ret = 0;

	/* pairs with context_create() */
	if (!smp_load_acquire(&context->created)) {
		ret = vgpu_reset_wait(context->vgpu);
		if (ret)
			return ret;
		mutex_lock(&context->lock);
		if (!context->created)
			ret = context_create(context, file);
		mutex_unlock(&context->lock);
	}
	*out = context;
	return ret ?: vgpu_context_check(context);
}

int vgpu_context_attach(struct vgpu_context *context, struct vgpu_object *obj)
{
	int ret = 0;

	if (!context->vgpu->has_virgl)
		return 0;
	mutex_lock(&context->lock);
	if (vgpu_context_alive(context)) {
		ret = vgpu_cmd_ctx_attach(context->vgpu, context->id, obj,
					  true);
		vgpu_kick(context->vgpu);
	}
	mutex_unlock(&context->lock);
	return ret;
}

void vgpu_context_detach(struct vgpu_context *context, struct vgpu_object *obj)
{
	if (!vgpu_context_alive(context))
		return;
	vgpu_context_order(context);
	if (!vgpu_cmd_ctx_attach(context->vgpu, context->id, obj, false))
		vgpu_kick(context->vgpu);
}

/* The timeline of a ring, made when it is first used. */
struct vgpu_timeline *vgpu_context_ring(struct vgpu_context *context,
					unsigned int ring)
{
	struct vgpu_timeline *timeline;

	/* pairs with the store below: what it points to is whole */
	timeline = smp_load_acquire(&context->ring[ring]);
	if (timeline)
		return timeline;
	mutex_lock(&context->lock);
	timeline = context->ring[ring];
	if (!timeline) {
		timeline = vgpu_timeline_alloc(true);
		/* pairs with the load above */
		smp_store_release(&context->ring[ring], timeline);
	}
	mutex_unlock(&context->lock);
	return timeline;
}

/* -------------------------------------------------------- CONTEXT_INIT */

struct context_params {
	u32 capset_id;
	u32 num_rings;
	u64 poll_rings;
	bool has_capset;
	bool has_rings;
	bool has_poll;
	char name[64];
};

static int context_param(struct vgpu_device *vgpu, struct context_params *p,
			 u64 param, u64 value)
{
	switch (param) {
	case VIRTGPU_CONTEXT_PARAM_CAPSET_ID:
		if (p->has_capset || value >= 64 ||
		    !(vgpu->capset_mask & BIT_ULL(value)))
			return -EINVAL;
		p->has_capset = true;
		p->capset_id = value;
		return 0;
	case VIRTGPU_CONTEXT_PARAM_NUM_RINGS:
		if (p->has_rings || value > VGPU_MAX_RINGS)
			return -EINVAL;
		p->has_rings = true;
		p->num_rings = value;
		return 0;
	case VIRTGPU_CONTEXT_PARAM_POLL_RINGS_MASK:
		if (p->has_poll)
			return -EINVAL;
		p->has_poll = true;
		p->poll_rings = value;
		return 0;
	case VIRTGPU_CONTEXT_PARAM_DEBUG_NAME:
		if (p->name[0])
			return -EINVAL;
		if (strncpy_from_user(p->name, u64_to_user_ptr(value),
				      sizeof(p->name) - 1) < 0)
			return -EFAULT;
		return 0;
	default:
		return -EINVAL;
	}
}

int vgpu_context_init_ioctl(struct drm_device *drm, void *data,
			    struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct drm_virtgpu_context_init *args = data;
	struct drm_virtgpu_context_set_param set;
	struct drm_virtgpu_context_set_param __user *from =
		u64_to_user_ptr(args->ctx_set_params);
	struct vgpu_file *f = file->driver_priv;
	struct vgpu_context *context = f->context;
	struct context_params p = {};
	u32 i;
	int ret;

	if (!vgpu->has_virgl || !vgpu->has_context_init)
		return -EINVAL;
	/* each of the four once */
	if (args->num_params > 4 || args->pad)
		return -EINVAL;
	for (i = 0; i < args->num_params; i++) {
		if (copy_from_user(&set, &from[i], sizeof(set)))
			return -EFAULT;
		ret = context_param(vgpu, &p, set.param, set.value);
		if (ret)
			return ret;
	}
	/* a mask of rings is of rings that there are */
	if (p.poll_rings && (!p.has_rings || !p.num_rings ||
			     (p.num_rings < 64 && p.poll_rings >> p.num_rings)))
		return -EINVAL;

	if (!READ_ONCE(context->created)) {
		ret = vgpu_reset_wait(vgpu);
		if (ret)
			return ret;
	}
	mutex_lock(&context->lock);
	if (context->created) {
		ret = vgpu_context_check(context) ?: -EEXIST;
	} else {
		context->capset_id = p.capset_id;
		context->has_rings = p.has_rings;
		context->num_rings = p.num_rings;
		context->poll_rings = p.poll_rings;
		memcpy(context->name, p.name, sizeof(context->name));
		ret = context_create(context, file);
	}
	mutex_unlock(&context->lock);
	return ret;
}
