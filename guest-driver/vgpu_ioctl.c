// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The virtgpu user interface (drm/virtgpu_drm.h) but for EXECBUFFER and
 * CONTEXT_INIT.  Arguments are checked as far as this machine is concerned;
 * what a number means to a resource is the host's to check.
 */
#include <linux/dma-resv.h>
#include <linux/slab.h>
#include <linux/sync_file.h>
#include <linux/uaccess.h>

#include <drm/drm_ioctl.h>
#include <drm/drm_vma_manager.h>

#include "vgpu_drv.h"

/* As long as the stock driver waits: user space knows -EBUSY from there. */
#define WAIT_TIMEOUT (15 * HZ)

static int getparam_ioctl(struct drm_device *drm, void *data,
			  struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct drm_virtgpu_getparam *args = data;
	/* an int: user space is known to point at one */
	int value;

	switch (args->param) {
	case VIRTGPU_PARAM_3D_FEATURES:
		value = vgpu->has_virgl;
		break;
	case VIRTGPU_PARAM_CAPSET_QUERY_FIX:
		value = 1;
		break;
	case VIRTGPU_PARAM_RESOURCE_BLOB:
		value = vgpu->has_blob;
		break;
	case VIRTGPU_PARAM_HOST_VISIBLE:
		value = vgpu->has_host_visible;
		break;
	case VIRTGPU_PARAM_CROSS_DEVICE:
		value = vgpu->has_uuid;
		break;
	case VIRTGPU_PARAM_CONTEXT_INIT:
		value = vgpu->has_context_init;
		break;
	case VIRTGPU_PARAM_SUPPORTED_CAPSET_IDs:
		value = vgpu->capset_mask;
		break;
	case VIRTGPU_PARAM_EXPLICIT_DEBUG_NAME:
		value = vgpu->has_context_init;
		break;
	default:
		return -EINVAL;
	}
	if (copy_to_user(u64_to_user_ptr(args->value), &value, sizeof(value)))
		return -EFAULT;
	return 0;
}

static int map_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_virtgpu_map *args = data;
	struct drm_gem_object *gem;
	int ret = 0;

	gem = drm_gem_object_lookup(file, args->handle);
	if (!gem)
		return -ENOENT;
	if (to_vgpu_object(gem)->kind == VGPU_OBJECT_HOST_BLOB &&
	    !drm_mm_node_allocated(&gem->vma_node.vm_node))
		ret = -EINVAL;
	else
		args->offset = drm_vma_node_offset_addr(&gem->vma_node);
	drm_gem_object_put(gem);
	return ret;
}

/* A handle for a new object, whose reference goes to the handle. */
static int give_handle(struct drm_file *file, struct vgpu_object *obj,
		       u32 *handle)
{
	int ret;

	ret = drm_gem_handle_create(file, &obj->shmem.base, handle);
	drm_gem_object_put(&obj->shmem.base);
	return ret;
}

static int resource_create_ioctl(struct drm_device *drm, void *data,
				 struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct drm_virtgpu_resource_create *args = data;
	struct virtio_gpu_resource_create_3d params = {};
	struct vgpu_context *context;
	struct vgpu_object *obj;
	size_t size = args->size ?: PAGE_SIZE;
	u32 handle = 0, id;
	int ret;

	if (vgpu->has_virgl) {
		ret = vgpu_context_ready(file, &context);
		if (ret)
			return ret;
	} else if (args->depth > 1 || args->nr_samples > 1 ||
		   args->last_level > 1 || args->target != 2) {
		/* a device of 2D has textures of 2D */
		return -EINVAL;
	}
	ret = vgpu_queue_throttle(&vgpu->control);
	if (ret)
		return ret;

	if (vgpu->has_virgl) {
		params.target = cpu_to_le32(args->target);
		params.format = cpu_to_le32(args->format);
		params.bind = cpu_to_le32(args->bind);
		params.width = cpu_to_le32(args->width);
		params.height = cpu_to_le32(args->height);
		params.depth = cpu_to_le32(args->depth);
		params.array_size = cpu_to_le32(args->array_size);
		params.last_level = cpu_to_le32(args->last_level);
		params.nr_samples = cpu_to_le32(args->nr_samples);
		params.flags = cpu_to_le32(args->flags);
		obj = vgpu_object_create_3d(vgpu, size, &params);
	} else {
		obj = vgpu_object_create_2d(vgpu, size, args->format,
					    args->width, args->height);
	}
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	id = obj->id;
	ret = give_handle(file, obj, &handle);
	if (ret)
		return ret;
	args->res_handle = id; /* similar to a VM address */
	args->bo_handle = handle;
	return 0;
}

static int resource_info_ioctl(struct drm_device *drm, void *data,
			       struct drm_file *file)
{
	struct drm_virtgpu_resource_info *args = data;
	struct drm_gem_object *gem;
	struct vgpu_object *obj;

	gem = drm_gem_object_lookup(file, args->bo_handle);
	if (!gem)
		return -ENOENT;
	obj = to_vgpu_object(gem);
	args->size = gem->size;
	args->res_handle = obj->id;
	args->blob_mem = vgpu_object_is_blob(obj) ? obj->blob.mem : 0;
	drm_gem_object_put(gem);
	return 0;
}

static int check_blob(struct vgpu_device *vgpu,
		      const struct drm_virtgpu_resource_create_blob *args)
{
	const u32 flags = VIRTGPU_BLOB_FLAG_USE_MAPPABLE |
			  VIRTGPU_BLOB_FLAG_USE_SHAREABLE |
			  VIRTGPU_BLOB_FLAG_USE_CROSS_DEVICE;
	bool host = args->blob_mem != VIRTGPU_BLOB_MEM_GUEST;

	if (!vgpu->has_blob || args->pad || (args->blob_flags & ~flags))
		return -EINVAL;
	if (args->blob_flags & VIRTGPU_BLOB_FLAG_USE_CROSS_DEVICE &&
	    !vgpu->has_uuid)
		return -EINVAL;
	switch (args->blob_mem) {
	case VIRTGPU_BLOB_MEM_GUEST:
	case VIRTGPU_BLOB_MEM_HOST3D_GUEST:
	case VIRTGPU_BLOB_MEM_HOST3D:
		break;
	default:
		return -EINVAL;
	}
	if (host) {
		if (!vgpu->has_virgl || args->cmd_size % 4)
			return -EINVAL;
	} else if (args->blob_id || args->cmd_size) {
		return -EINVAL;
	}
	return 0;
}

/* The commands that make the memory which the blob is going to name. */
static int
send_blob_commands(struct vgpu_device *vgpu, struct vgpu_context *context,
		   const struct drm_virtgpu_resource_create_blob *args)
{
	struct vgpu_request *request;
	int ret;

	request = vgpu_cmd_submit_request(context, &vgpu->control,
					  args->cmd_size);
	if (!request)
		return -ENOMEM;
	ret = vgpu_payload_alloc(&vgpu->control, &request->payload, args->cmd_size) ?:
		      vgpu_payload_from_user(&request->payload,
					     u64_to_user_ptr(args->cmd));
	if (ret) {
		vgpu_request_put(request);
		return ret;
	}
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

static int resource_create_blob_ioctl(struct drm_device *drm, void *data,
				      struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct drm_virtgpu_resource_create_blob *args = data;
	struct vgpu_context *context = NULL;
	struct vgpu_object *obj;
	u32 handle = 0, id;
	int ret;

	ret = check_blob(vgpu, args);
	if (ret)
		return ret;
	if (vgpu->has_virgl) {
		ret = vgpu_context_ready(file, &context);
		if (ret)
			return ret;
	}
	ret = vgpu_queue_throttle(&vgpu->control);
	/* the memory may come from what the context has submitted */
	if (!ret && context && args->blob_mem != VIRTGPU_BLOB_MEM_GUEST)
		ret = vgpu_context_order(context);
	if (!ret && args->cmd_size)
		ret = send_blob_commands(vgpu, context, args);
	if (ret)
		return ret;
	obj = vgpu_object_create_blob(vgpu, context, args->size, args->blob_mem,
				      args->blob_flags, args->blob_id);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	id = obj->id;
	ret = give_handle(file, obj, &handle);
	if (ret)
		return ret;
	args->res_handle = id;
	args->bo_handle = handle;
	return 0;
}

/* ------------------------------------------------------------ transfers */

/*
 * A transfer is fenced: WAIT on the object waits for it, and so does whoever
 * else uses the buffer.
 */
static int transfer(struct drm_device *drm, struct drm_file *file, u32 handle,
		    bool to_host, const struct vgpu_transfer *t)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct vgpu_context *context = NULL;
	struct drm_gem_object *gem;
	struct vgpu_object *obj;
	struct vgpu_fence *fence;
	int ret;

	if (!vgpu->has_virgl && !to_host)
		return -EOPNOTSUPP;
	if (vgpu->has_virgl) {
		ret = vgpu_context_ready(file, &context);
		if (ret)
			return ret;
	}
	ret = vgpu_queue_throttle(&vgpu->control);
	if (ret)
		return ret;
	gem = drm_gem_object_lookup(file, handle);
	if (!gem)
		return -ENOENT;
	obj = to_vgpu_object(gem);
	ret = -EINVAL;
	/* the layout of what the guest has made is known to the host */
	if ((!vgpu_object_is_blob(obj) ||
	     obj->blob.mem == VIRTGPU_BLOB_MEM_GUEST) &&
	    (t->stride || t->layer_stride))
		goto put;
	if (vgpu_object_is_blob(obj) && !context)
		goto put;

	ret = -ENOMEM;
	fence = vgpu_fence_alloc(context ? context->control : vgpu->timeline);
	if (!fence)
		goto put;
	if (context) {
		kref_get(&context->ref);
		fence->context = context;
	}
	ret = dma_resv_lock_interruptible(gem->resv, NULL);
	if (ret)
		goto put_fence;
	ret = dma_resv_reserve_fences(gem->resv, 1);
	if (!ret && context)
		ret = vgpu_context_order(context) ?:
			      vgpu_order_control(vgpu, obj->used,
						 context->generation);
	if (!ret && context)
		ret = vgpu_cmd_transfer_3d(vgpu, context->id, obj, to_host, t,
					   fence);
	else if (!ret)
		ret = vgpu_cmd_transfer_to_host_2d(vgpu, obj, t->offset,
						   t->box.x, t->box.y, t->box.w,
						   t->box.h, fence);
	if (!ret) {
		vgpu_kick(vgpu);
		dma_resv_add_fence(gem->resv, &fence->base,
				   DMA_RESV_USAGE_WRITE);
	}
	dma_resv_unlock(gem->resv);
put_fence:
	dma_fence_put(&fence->base);
put:
	drm_gem_object_put(gem);
	return ret;
}

static int transfer_from_host_ioctl(struct drm_device *drm, void *data,
				    struct drm_file *file)
{
	struct drm_virtgpu_3d_transfer_from_host *args = data;
	struct vgpu_transfer t = {
		.box = args->box,
		.offset = args->offset,
		.level = args->level,
		.stride = args->stride,
		.layer_stride = args->layer_stride,
	};

	return transfer(drm, file, args->bo_handle, false, &t);
}

static int transfer_to_host_ioctl(struct drm_device *drm, void *data,
				  struct drm_file *file)
{
	struct drm_virtgpu_3d_transfer_to_host *args = data;
	struct vgpu_transfer t = {
		.box = args->box,
		.offset = args->offset,
		.level = args->level,
		.stride = args->stride,
		.layer_stride = args->layer_stride,
	};

	return transfer(drm, file, args->bo_handle, true, &t);
}

static int wait_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_virtgpu_3d_wait *args = data;
	struct vgpu_file *f = file->driver_priv;
	struct drm_gem_object *gem;
	long ret;

	ret = vgpu_context_check(f->context);
	if (ret)
		return ret;
	gem = drm_gem_object_lookup(file, args->handle);
	if (!gem)
		return -ENOENT;
	if (args->flags & VIRTGPU_WAIT_NOWAIT)
		ret = dma_resv_test_signaled(gem->resv, DMA_RESV_USAGE_READ);
	else
		ret = dma_resv_wait_timeout(gem->resv, DMA_RESV_USAGE_READ,
					    true, WAIT_TIMEOUT);
	drm_gem_object_put(gem);
	if (!ret)
		return -EBUSY;
	if (ret < 0)
		return ret;
	/* what was waited for may have failed with the device */
	return vgpu_context_check(f->context);
}

/* -------------------------------------------------------------- capsets */

/*
 * The device is asked once and the answer kept, as long as it is not reset: a
 * copy of an older generation is worth nothing.  So the reset need not wait for
 * who waits here for an answer.
 */
static int copy_capset(struct vgpu_device *vgpu,
		       const struct vgpu_capset_info *info,
		       struct vgpu_capset_copy *copy, u32 version, void *to,
		       u32 size)
{
	u32 generation;
	void *fresh;
	int ret;

	ret = mutex_lock_interruptible(&vgpu->capset_lock);
	if (ret)
		return ret;
	generation = READ_ONCE(vgpu->generation);
	if (!copy->data || copy->version != version ||
	    copy->generation != generation) {
		fresh = kvzalloc(info->max_size, GFP_KERNEL);
		ret = fresh ? vgpu_cmd_get_capset(vgpu, info->id, version,
						  fresh, info->max_size,
						  MAX_SCHEDULE_TIMEOUT) :
			      -ENOMEM;
		if (ret) {
			kvfree(fresh);
		} else {
			kvfree(copy->data);
			copy->data = fresh;
			copy->version = version;
			copy->generation = generation;
		}
	}
	if (!ret)
		memcpy(to, copy->data, size);
	mutex_unlock(&vgpu->capset_lock);
	return ret;
}

static int get_caps_ioctl(struct drm_device *drm, void *data,
			  struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct drm_virtgpu_get_caps *args = data;
	const struct vgpu_capset_info *info = NULL;
	unsigned int i;
	void *answer;
	u32 size;
	int ret;

	for (i = 0; i < vgpu->num_capsets && !info; i++)
		if (vgpu->capsets[i].id == args->cap_set_id &&
		    vgpu->capsets[i].max_version >= args->cap_set_ver)
			info = &vgpu->capsets[i];
	if (!info || !info->max_size)
		return -EINVAL;

	/* the first thing that a new program asks */
	ret = vgpu_reset_wait(vgpu);
	if (ret)
		return ret;
	size = min(args->size, info->max_size);
	answer = kvmalloc(size ?: 1, GFP_KERNEL);
	if (!answer)
		return -ENOMEM;
	ret = copy_capset(vgpu, info, &vgpu->capset_copies[i - 1],
			  args->cap_set_ver, answer, size);
	/* with no lock: user memory may take as long as user space likes */
	if (!ret && copy_to_user(u64_to_user_ptr(args->addr), answer, size))
		ret = -EFAULT;
	kvfree(answer);
	return ret;
}

#define VGPU_IOCTL(name, function)                                             \
	DRM_IOCTL_DEF_DRV(VIRTGPU_##name, function, DRM_RENDER_ALLOW)

const struct drm_ioctl_desc vgpu_ioctls[VGPU_NUM_IOCTLS] = {
	VGPU_IOCTL(MAP, map_ioctl),
	/* with the newest layout, whatever the kernel's header has */
	[DRM_VIRTGPU_EXECBUFFER] = {
		.cmd = DRM_IOWR(DRM_COMMAND_BASE + DRM_VIRTGPU_EXECBUFFER,
				struct vgpu_execbuffer),
		.func = vgpu_execbuffer_ioctl,
		.flags = DRM_RENDER_ALLOW,
		.name = "VIRTGPU_EXECBUFFER",
	},
	VGPU_IOCTL(GETPARAM, getparam_ioctl),
	VGPU_IOCTL(RESOURCE_CREATE, resource_create_ioctl),
	VGPU_IOCTL(RESOURCE_INFO, resource_info_ioctl),
	VGPU_IOCTL(TRANSFER_FROM_HOST, transfer_from_host_ioctl),
	VGPU_IOCTL(TRANSFER_TO_HOST, transfer_to_host_ioctl),
	VGPU_IOCTL(WAIT, wait_ioctl),
	VGPU_IOCTL(GET_CAPS, get_caps_ioctl),
	VGPU_IOCTL(RESOURCE_CREATE_BLOB, resource_create_blob_ioctl),
	VGPU_IOCTL(CONTEXT_INIT, vgpu_context_init_ioctl),
	[DRM_VGPU_RESET_STATUS] = {
		.cmd = DRM_IOCTL_VGPU_RESET_STATUS,
		.func = vgpu_reset_status_ioctl,
		.flags = DRM_RENDER_ALLOW,
		.name = "VGPU_RESET_STATUS",
	},
};
