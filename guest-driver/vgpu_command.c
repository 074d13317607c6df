// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The commands of the device, one function each: CPU numbers in, little-endian
 * request out.  See vgpu_drv.h for what they have in common.
 */
#include <drm/drm_fourcc.h>

#include "vgpu_drv.h"

/* A request whose answer is a header, by the type of its command. */
#define NEW_REQUEST(cmd_type, cmd)                                             \
	vgpu_request_alloc(cmd_type, sizeof(*(cmd)),                           \
			   VIRTIO_GPU_RESP_OK_NODATA,                          \
			   sizeof(struct virtio_gpu_ctrl_hdr))

/* The command of a request, as what it is. */
#define COMMAND(request) ((void *)&(request)->hdr)

static void set_fence(struct vgpu_request *request, struct vgpu_fence *fence)
{
	if (!fence)
		return;
	dma_fence_get(&fence->base);
	request->fence = fence;
}

static void set_object(struct vgpu_request *request, struct vgpu_object *obj)
{
	vgpu_object_get(obj);
	request->object = obj;
}

/* ------------------------------------------------------------ resources */

/* Creation is not waited for: what became of it is on the object. */
static void created(struct vgpu_device *vgpu, struct vgpu_request *request,
		    int error)
{
	struct vgpu_object *obj = request->object;

	if (error)
		WRITE_ONCE(obj->error, error);
	vgpu_limit_answered(vgpu, obj);
}

static struct vgpu_request *create_request(u32 type, u32 size,
					   struct vgpu_object *obj)
{
	struct vgpu_request *request;

	request = vgpu_request_alloc(type, size, VIRTIO_GPU_RESP_OK_NODATA,
				     sizeof(struct virtio_gpu_ctrl_hdr));
	if (!request)
		return NULL;
	set_object(request, obj);
	request->done = created;
	return request;
}

/* @wait: for the answer, whose error is returned */
static int send_create(struct vgpu_device *vgpu, struct vgpu_request *request,
		       bool wait)
{
	request->object->on_host = true;
	if (wait)
		return vgpu_queue_call(&vgpu->control, request,
				       MAX_SCHEDULE_TIMEOUT, NULL);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

int vgpu_cmd_create_2d(struct vgpu_device *vgpu, struct vgpu_object *obj,
		       bool wait)
{
	struct virtio_gpu_resource_create_2d *cmd;
	struct vgpu_request *request;

	request = create_request(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
				 sizeof(*cmd), obj);
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->resource_id = cpu_to_le32(obj->id);
	cmd->format = cpu_to_le32(obj->two_d.format);
	cmd->width = cpu_to_le32(obj->two_d.width);
	cmd->height = cpu_to_le32(obj->two_d.height);
	return send_create(vgpu, request, wait);
}

int vgpu_cmd_create_3d(struct vgpu_device *vgpu, struct vgpu_object *obj,
		       bool wait)
{
	struct virtio_gpu_resource_create_3d *cmd;
	struct virtio_gpu_ctrl_hdr hdr;
	struct vgpu_request *request;

	request = create_request(VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
				 sizeof(*cmd), obj);
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	hdr = cmd->hdr;
	*cmd = obj->three_d;
	cmd->hdr = hdr;
	cmd->resource_id = cpu_to_le32(obj->id);
	return send_create(vgpu, request, wait);
}

int vgpu_cmd_create_blob(struct vgpu_device *vgpu, u32 ctx_id,
			 struct vgpu_object *obj, bool wait)
{
	struct virtio_gpu_resource_create_blob *cmd;
	struct vgpu_request *request;
	unsigned int entries = 0;
	int ret;

	request = create_request(VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
				 sizeof(*cmd), obj);
	if (!request)
		return -ENOMEM;
	if (obj->blob.mem != VIRTGPU_BLOB_MEM_HOST3D) {
		ret = vgpu_object_entries(vgpu, obj, &request->payload,
					  &entries);
		if (ret) {
			vgpu_request_put(request);
			return ret;
		}
		obj->has_backing = true;
	}
	cmd = COMMAND(request);
	cmd->hdr.ctx_id = cpu_to_le32(ctx_id);
	cmd->resource_id = cpu_to_le32(obj->id);
	cmd->blob_mem = cpu_to_le32(obj->blob.mem);
	cmd->blob_flags = cpu_to_le32(obj->blob.flags);
	cmd->blob_id = cpu_to_le64(obj->blob.id);
	cmd->size = cpu_to_le64(obj->shmem.base.size);
	cmd->nr_entries = cpu_to_le32(entries);
	return send_create(vgpu, request, wait);
}

int vgpu_cmd_attach_backing(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	struct virtio_gpu_resource_attach_backing *cmd;
	struct vgpu_request *request;
	unsigned int entries;
	int ret;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, cmd);
	if (!request)
		return -ENOMEM;
	ret = vgpu_object_entries(vgpu, obj, &request->payload, &entries);
	if (ret) {
		vgpu_request_put(request);
		return ret;
	}
	set_object(request, obj);
	cmd = COMMAND(request);
	cmd->resource_id = cpu_to_le32(obj->id);
	cmd->nr_entries = cpu_to_le32(entries);
	obj->has_backing = true;
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

/* The object's memory is kept until the device has let go of it. */
int vgpu_cmd_unref(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	struct virtio_gpu_resource_unref *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_RESOURCE_UNREF, cmd);
	if (!request)
		return -ENOMEM;
	set_object(request, obj);
	cmd = COMMAND(request);
	cmd->resource_id = cpu_to_le32(obj->id);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

static void uuid_answered(struct vgpu_device *vgpu,
			  struct vgpu_request *request, int error)
{
	const struct virtio_gpu_resp_resource_uuid *resp = request->resp;
	struct vgpu_object *obj = request->object;

	if (!error)
		memcpy(obj->uuid, resp->uuid, sizeof(obj->uuid));
	/* pairs with vgpu_prime.c: the uuid is there once the state says so */
	smp_store_release(&obj->uuid_state, error ?: 1);
}

int vgpu_cmd_assign_uuid(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	struct virtio_gpu_resource_assign_uuid *cmd;
	struct vgpu_request *request;

	request =
		vgpu_request_alloc(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
				   sizeof(*cmd),
				   VIRTIO_GPU_RESP_OK_RESOURCE_UUID,
				   sizeof(struct virtio_gpu_resp_resource_uuid));
	if (!request)
		return -ENOMEM;
	set_object(request, obj);
	request->done = uuid_answered;
	cmd = COMMAND(request);
	cmd->resource_id = cpu_to_le32(obj->id);
	return vgpu_queue_call(&vgpu->control, request, MAX_SCHEDULE_TIMEOUT,
			       NULL);
}

/* --------------------------------------------------- host-visible memory */

static void mapped(struct vgpu_device *vgpu, struct vgpu_request *request,
		   int error)
{
	const struct virtio_gpu_resp_map_info *resp = request->resp;
	struct vgpu_object *obj = request->object;

	if (!error)
		obj->map_info = le32_to_cpu((__force __le32)resp->map_info) &
				VIRTIO_GPU_MAP_CACHE_MASK;
	/* pairs with vgpu_vram.c: how to map it is there with the state */
	smp_store_release(&obj->map_state, error ?: 1);
	wake_up_all(&vgpu->mapped);
}

int vgpu_cmd_map_blob(struct vgpu_device *vgpu, struct vgpu_object *obj,
		      u64 offset)
{
	struct virtio_gpu_resource_map_blob *cmd;
	struct vgpu_request *request;

	request = vgpu_request_alloc(VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
				     sizeof(*cmd), VIRTIO_GPU_RESP_OK_MAP_INFO,
				     sizeof(struct virtio_gpu_resp_map_info));
	if (!request)
		return -ENOMEM;
	set_object(request, obj);
	request->done = mapped;
	cmd = COMMAND(request);
	cmd->resource_id = cpu_to_le32(obj->id);
	cmd->offset = cpu_to_le64(offset);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

int vgpu_cmd_unmap_blob(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	struct virtio_gpu_resource_unmap_blob *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, cmd);
	if (!request)
		return -ENOMEM;
	set_object(request, obj);
	cmd = COMMAND(request);
	cmd->resource_id = cpu_to_le32(obj->id);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

/* ------------------------------------------------------------- contexts */

int vgpu_cmd_ctx_create(struct vgpu_device *vgpu, struct vgpu_context *context)
{
	struct virtio_gpu_ctx_create *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_CTX_CREATE, cmd);
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->hdr.ctx_id = cpu_to_le32(context->id);
	cmd->context_init = cpu_to_le32(context->capset_id);
	cmd->nlen = cpu_to_le32(strnlen(context->name,
					sizeof(cmd->debug_name) - 1));
	strscpy(cmd->debug_name, context->name, sizeof(cmd->debug_name));
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

int vgpu_cmd_ctx_destroy(struct vgpu_device *vgpu, u32 ctx_id,
			 vgpu_done_fn done, void *data)
{
	struct virtio_gpu_ctx_destroy *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_CTX_DESTROY, cmd);
	if (!request)
		return -ENOMEM;
	request->hdr.ctx_id = cpu_to_le32(ctx_id);
	request->done = done;
	request->data = data;
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

int vgpu_cmd_ctx_attach(struct vgpu_device *vgpu, u32 ctx_id,
			struct vgpu_object *obj, bool attach)
{
	struct virtio_gpu_ctx_resource *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(attach ? VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE :
				       VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
			      cmd);
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->hdr.ctx_id = cpu_to_le32(ctx_id);
	cmd->resource_id = cpu_to_le32(obj->id);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

struct vgpu_request *vgpu_cmd_submit_request(struct vgpu_context *context,
					     struct vgpu_queue *queue, u32 size)
{
	struct virtio_gpu_cmd_submit *cmd;
	struct vgpu_request *request;
	struct vgpu_submit *submit;

	if (queue->index < VGPU_QUEUE_SUBMIT) {
		request = NEW_REQUEST(VIRTIO_GPU_CMD_SUBMIT_3D, cmd);
		if (!request)
			return NULL;
		cmd = COMMAND(request);
		cmd->size = cpu_to_le32(size);
	} else {
		request =
			vgpu_request_alloc(VGPU_CMD_SUBMIT,
					   sizeof(request->hdr) +
						   sizeof(*submit),
					   VIRTIO_GPU_RESP_OK_NODATA,
					   sizeof(struct virtio_gpu_ctrl_hdr));
		if (!request)
			return NULL;
		submit = vgpu_submit_of(request);
		submit->size = cpu_to_le32(size);
	}
	request->hdr.ctx_id = cpu_to_le32(context->id);
	request->generation = context->generation;
	return request;
}

int vgpu_cmd_transfer_3d(struct vgpu_device *vgpu, u32 ctx_id,
			 struct vgpu_object *obj, bool to_host,
			 const struct vgpu_transfer *t,
			 struct vgpu_fence *fence)
{
	struct virtio_gpu_transfer_host_3d *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(to_host ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D :
					VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
			      cmd);
	if (!request)
		return -ENOMEM;
	set_object(request, obj);
	set_fence(request, fence);
	cmd = COMMAND(request);
	cmd->hdr.ctx_id = cpu_to_le32(ctx_id);
	cmd->resource_id = cpu_to_le32(obj->id);
	cmd->box.x = cpu_to_le32(t->box.x);
	cmd->box.y = cpu_to_le32(t->box.y);
	cmd->box.z = cpu_to_le32(t->box.z);
	cmd->box.w = cpu_to_le32(t->box.w);
	cmd->box.h = cpu_to_le32(t->box.h);
	cmd->box.d = cpu_to_le32(t->box.d);
	cmd->offset = cpu_to_le64(t->offset);
	cmd->level = cpu_to_le32(t->level);
	cmd->stride = cpu_to_le32(t->stride);
	cmd->layer_stride = cpu_to_le32(t->layer_stride);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

/* ------------------------------------------------------------- displays */

static struct virtio_gpu_rect rect_of(u32 x, u32 y, u32 width, u32 height)
{
	return (struct virtio_gpu_rect){
		.x = cpu_to_le32(x),
		.y = cpu_to_le32(y),
		.width = cpu_to_le32(width),
		.height = cpu_to_le32(height),
	};
}

int vgpu_cmd_transfer_to_host_2d(struct vgpu_device *vgpu,
				 struct vgpu_object *obj, u64 offset, u32 x,
				 u32 y, u32 width, u32 height,
				 struct vgpu_fence *fence)
{
	struct virtio_gpu_transfer_to_host_2d *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, cmd);
	if (!request)
		return -ENOMEM;
	set_object(request, obj);
	set_fence(request, fence);
	cmd = COMMAND(request);
	cmd->resource_id = cpu_to_le32(obj->id);
	cmd->offset = cpu_to_le64(offset);
	cmd->r = rect_of(x, y, width, height);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

int vgpu_cmd_set_scanout(struct vgpu_device *vgpu, u32 scanout, u32 id, u32 x,
			 u32 y, u32 width, u32 height)
{
	struct virtio_gpu_set_scanout *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_SET_SCANOUT, cmd);
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->r = rect_of(x, y, width, height);
	cmd->scanout_id = cpu_to_le32(scanout);
	cmd->resource_id = cpu_to_le32(id);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

int vgpu_cmd_set_scanout_blob(struct vgpu_device *vgpu, u32 scanout,
			      struct vgpu_object *obj,
			      const struct drm_framebuffer *fb, u32 format,
			      u32 x, u32 y, u32 width, u32 height)
{
	struct virtio_gpu_set_scanout_blob *cmd;
	struct vgpu_request *request;
	unsigned int i;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, cmd);
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->r = rect_of(x, y, width, height);
	cmd->scanout_id = cpu_to_le32(scanout);
	cmd->resource_id = cpu_to_le32(obj->id);
	cmd->width = cpu_to_le32(fb->width);
	cmd->height = cpu_to_le32(fb->height);
	cmd->format = cpu_to_le32(format);
	for (i = 0; i < ARRAY_SIZE(cmd->strides); i++) {
		cmd->strides[i] = cpu_to_le32(fb->pitches[i]);
		cmd->offsets[i] = cpu_to_le32(fb->offsets[i]);
	}
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

int vgpu_cmd_flush(struct vgpu_device *vgpu, u32 id, u32 x, u32 y, u32 width,
		   u32 height, struct vgpu_fence *fence)
{
	struct virtio_gpu_resource_flush *cmd;
	struct vgpu_request *request;

	request = NEW_REQUEST(VIRTIO_GPU_CMD_RESOURCE_FLUSH, cmd);
	if (!request)
		return -ENOMEM;
	set_fence(request, fence);
	cmd = COMMAND(request);
	cmd->r = rect_of(x, y, width, height);
	cmd->resource_id = cpu_to_le32(id);
	vgpu_queue_add(&vgpu->control, request);
	return 0;
}

static int cursor_command(struct vgpu_device *vgpu, u32 type, u32 scanout,
			  u32 id, u32 x, u32 y, u32 hot_x, u32 hot_y)
{
	struct virtio_gpu_update_cursor *cmd;
	struct vgpu_request *request;

	/* this queue has no answers */
	request = vgpu_request_alloc(type, sizeof(*cmd), 0, 0);
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->pos.scanout_id = cpu_to_le32(scanout);
	cmd->pos.x = cpu_to_le32(x);
	cmd->pos.y = cpu_to_le32(y);
	cmd->resource_id = cpu_to_le32(id);
	cmd->hot_x = cpu_to_le32(hot_x);
	cmd->hot_y = cpu_to_le32(hot_y);
	vgpu_queue_add(&vgpu->cursor, request);
	vgpu_queue_kick(&vgpu->cursor);
	return 0;
}

int vgpu_cmd_update_cursor(struct vgpu_device *vgpu, u32 scanout, u32 id, u32 x,
			   u32 y, u32 hot_x, u32 hot_y)
{
	return cursor_command(vgpu, VIRTIO_GPU_CMD_UPDATE_CURSOR, scanout, id,
			      x, y, hot_x, hot_y);
}

int vgpu_cmd_move_cursor(struct vgpu_device *vgpu, u32 scanout, u32 x, u32 y)
{
	return cursor_command(vgpu, VIRTIO_GPU_CMD_MOVE_CURSOR, scanout, 0, x,
			      y, 0, 0);
}

/* ------------------------------------------------------- what is waited for */

/* Copies @size bytes of the answer to @to. */
static int call(struct vgpu_device *vgpu, struct vgpu_request *request,
		unsigned long timeout, void *to, size_t size)
{
	struct vgpu_request *answer;
	int ret;

	ret = vgpu_queue_call(&vgpu->control, request, timeout, &answer);
	if (ret)
		return ret;
	memcpy(to, answer->resp, size);
	vgpu_request_put(answer);
	return 0;
}

int vgpu_cmd_get_display_info(struct vgpu_device *vgpu,
			      struct virtio_gpu_resp_display_info *info)
{
	struct vgpu_request *request;

	request = vgpu_request_alloc(VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
				     sizeof(struct virtio_gpu_ctrl_hdr),
				     VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
				     sizeof(*info));
	if (!request)
		return -ENOMEM;
	return call(vgpu, request, VGPU_WORKER_TIMEOUT, info, sizeof(*info));
}

int vgpu_cmd_get_edid(struct vgpu_device *vgpu, u32 scanout,
		      struct virtio_gpu_resp_edid *edid)
{
	struct virtio_gpu_cmd_get_edid *cmd;
	struct vgpu_request *request;
	int ret;

	request = vgpu_request_alloc(VIRTIO_GPU_CMD_GET_EDID, sizeof(*cmd),
				     VIRTIO_GPU_RESP_OK_EDID, sizeof(*edid));
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->scanout = cpu_to_le32(scanout);
	ret = call(vgpu, request, VGPU_WORKER_TIMEOUT, edid, sizeof(*edid));
	if (!ret && le32_to_cpu(edid->size) > sizeof(edid->edid))
		return -EPROTO;
	return ret;
}

int vgpu_cmd_get_capset_info(struct vgpu_device *vgpu, u32 index,
			     struct vgpu_capset_info *info)
{
	struct virtio_gpu_resp_capset_info resp;
	struct virtio_gpu_get_capset_info *cmd;
	struct vgpu_request *request;
	int ret;

	request = vgpu_request_alloc(VIRTIO_GPU_CMD_GET_CAPSET_INFO,
				     sizeof(*cmd),
				     VIRTIO_GPU_RESP_OK_CAPSET_INFO,
				     sizeof(resp));
	if (!request)
		return -ENOMEM;
	cmd = COMMAND(request);
	cmd->capset_index = cpu_to_le32(index);
	ret = call(vgpu, request, VGPU_WORKER_TIMEOUT, &resp, sizeof(resp));
	if (ret)
		return ret;
	info->id = le32_to_cpu(resp.capset_id);
	info->max_version = le32_to_cpu(resp.capset_max_version);
	info->max_size = le32_to_cpu(resp.capset_max_size);
	return 0;
}

int vgpu_cmd_get_capset(struct vgpu_device *vgpu, u32 id, u32 version, void *to,
			u32 size, unsigned long timeout)
{
	struct virtio_gpu_get_capset *cmd;
	struct vgpu_request *request, *answer;
	int ret;

	request = vgpu_request_alloc(VIRTIO_GPU_CMD_GET_CAPSET, sizeof(*cmd),
				     VIRTIO_GPU_RESP_OK_CAPSET,
				     sizeof(struct virtio_gpu_resp_capset) +
					     size);
	if (!request)
		return -ENOMEM;
	/* an older version is shorter; the rest is zero */
	request->resp_min = sizeof(struct virtio_gpu_resp_capset);
	cmd = COMMAND(request);
	cmd->capset_id = cpu_to_le32(id);
	cmd->capset_version = cpu_to_le32(version);
	ret = vgpu_queue_call(&vgpu->control, request, timeout, &answer);
	if (ret)
		return ret;
	memcpy(to, answer->resp + sizeof(struct virtio_gpu_resp_capset), size);
	vgpu_request_put(answer);
	return 0;
}
