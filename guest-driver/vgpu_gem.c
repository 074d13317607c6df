// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Objects: GEM buffers with a resource of the device on them.
 *
 * Theory of operation.  Their memory is shmem (the DRM helper's) but for host
 * blobs, whose memory is the host's (vgpu_vram.c).  An object's pages are
 * given to the device with ATTACH_BACKING, or with the creation of a blob, and
 * stay where they are until the device has answered UNREF: requests in flight
 * count as users of the object, and a worker frees it when the last is gone
 * (they end in the interrupt handler, and freeing sleeps).  So a device that
 * never answers keeps memory, but it cannot make us free what it may still
 * write to.
 *
 * The id of a resource is used again only after that, too.
 */
#include <linux/overflow.h>
#include <linux/slab.h>

#include "vgpu_drv.h"

/* ------------------------------------------------------- birth and death */

static int object_register(struct vgpu_device *vgpu, struct vgpu_object *obj,
			   enum vgpu_object_kind kind)
{
	int id;

	id = ida_alloc_min(&vgpu->resource_ids, 1, GFP_KERNEL);
	if (id < 0)
		return id;
	obj->id = id;
	obj->kind = kind;
	obj->generation = READ_ONCE(vgpu->generation);
	kref_init(&obj->users);
	mutex_lock(&vgpu->objects_lock);
	list_add_tail(&obj->link, &vgpu->objects);
	mutex_unlock(&vgpu->objects_lock);
	return 0;
}

/* The counterpart of both ways to make one: shmem and the host's memory. */
static void object_destroy(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	if (obj->id) {
		mutex_lock(&vgpu->objects_lock);
		list_del(&obj->link);
		mutex_unlock(&vgpu->objects_lock);
		ida_free(&vgpu->resource_ids, obj->id);
	}
	if (obj->kind == VGPU_OBJECT_HOST_BLOB) {
		vgpu_vram_release(obj);
		drm_gem_object_release(&obj->shmem.base);
		kfree(obj);
	} else {
		drm_gem_shmem_free(&obj->shmem);
	}
}

void vgpu_objects_free_dead(struct work_struct *work)
{
	struct vgpu_device *vgpu =
		container_of(work, struct vgpu_device, dead_work);
	struct llist_node *list = llist_del_all(&vgpu->dead_objects);
	struct vgpu_object *obj, *next;

	llist_for_each_entry_safe(obj, next, list, dead)
		object_destroy(vgpu, obj);
}

static void object_dead(struct kref *users)
{
	struct vgpu_object *obj =
		container_of(users, struct vgpu_object, users);
	struct vgpu_device *vgpu = to_vgpu(obj->shmem.base.dev);

	llist_add(&obj->dead, &vgpu->dead_objects);
	queue_work(vgpu->workers, &vgpu->dead_work);
}

void vgpu_object_get(struct vgpu_object *obj)
{
	kref_get(&obj->users);
}

void vgpu_object_put(struct vgpu_object *obj)
{
	kref_put(&obj->users, object_dead);
}

static void gem_free(struct drm_gem_object *gem)
{
	struct vgpu_object *obj = to_vgpu_object(gem);
	struct vgpu_device *vgpu = to_vgpu(gem->dev);

	if (!obj->id) {
		/* the helper gave up half-way */
		object_destroy(vgpu, obj);
		return;
	}
	if (obj->on_host) {
		vgpu_order_control(vgpu, obj->used, obj->generation);
		if (obj->map_sent)
			vgpu_cmd_unmap_blob(vgpu, obj);
		if (vgpu_cmd_unref(vgpu, obj)) {
			drm_err_ratelimited(&vgpu->drm,
					    "no memory to let go of resource %u: it leaks\n",
					    obj->id);
			return;
		}
		vgpu_kick(vgpu);
	}
	vgpu_object_put(obj);
}

/* -------------------------------------------------------- files and handles */

static int gem_open(struct drm_gem_object *gem, struct drm_file *file)
{
	struct vgpu_file *f = file->driver_priv;

	return vgpu_context_attach(f->context, to_vgpu_object(gem));
}

static void gem_close(struct drm_gem_object *gem, struct drm_file *file)
{
	struct vgpu_file *f = file->driver_priv;

	vgpu_context_detach(f->context, to_vgpu_object(gem));
}

static const struct drm_gem_object_funcs shmem_funcs = {
	.free = gem_free,
	.open = gem_open,
	.close = gem_close,
	.export = vgpu_prime_export,
	.print_info = drm_gem_shmem_object_print_info,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = drm_gem_shmem_object_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

static const struct drm_gem_object_funcs host_funcs = {
	.free = gem_free,
	.open = gem_open,
	.close = gem_close,
	.export = vgpu_prime_export,
	.mmap = vgpu_vram_mmap,
	.vm_ops = &vgpu_vram_vm_ops,
};

/* ------------------------------------------------------------- memory */

struct drm_gem_object *vgpu_gem_create_object(struct drm_device *drm,
					      size_t size)
{
	struct vgpu_object *obj = kzalloc(sizeof(*obj), GFP_KERNEL);

	if (!obj)
		return ERR_PTR(-ENOMEM);
	obj->shmem.base.funcs = &shmem_funcs;
	return &obj->shmem.base;
}

static struct vgpu_object *object_new(struct vgpu_device *vgpu, size_t size,
				      enum vgpu_object_kind kind)
{
	struct drm_gem_shmem_object *shmem;
	struct vgpu_object *obj;
	int ret;

	if (!size || size > SIZE_MAX - PAGE_SIZE)
		return ERR_PTR(-EINVAL);
	size = PAGE_ALIGN(size);
	if (kind == VGPU_OBJECT_HOST_BLOB) {
		obj = kzalloc(sizeof(*obj), GFP_KERNEL);
		if (!obj)
			return ERR_PTR(-ENOMEM);
		obj->kind = kind;
		obj->shmem.base.funcs = &host_funcs;
		drm_gem_private_object_init(&vgpu->drm, &obj->shmem.base, size);
	} else {
		shmem = drm_gem_shmem_create(&vgpu->drm, size);
		if (IS_ERR(shmem))
			return ERR_CAST(shmem);
		obj = container_of(shmem, struct vgpu_object, shmem);
	}
	ret = object_register(vgpu, obj, kind);
	if (ret) {
		drm_gem_object_put(&obj->shmem.base);
		return ERR_PTR(ret);
	}
	return obj;
}

static bool use_dma_addresses(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	/* of foreign memory we know nothing else */
	return vgpu->use_dma_api || obj->imported;
}

int vgpu_object_entries(struct vgpu_device *vgpu, struct vgpu_object *obj,
			struct vgpu_payload *payload, unsigned int *count)
{
	bool dma = use_dma_addresses(vgpu, obj);
	struct virtio_gpu_mem_entry *entry = NULL;
	unsigned int i, piece = 0, left = 0, n;
	struct scatterlist *sg;
	struct sg_table *sgt;
	int ret;

	sgt = drm_gem_shmem_get_pages_sgt(&obj->shmem);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	n = dma ? sgt->nents : sgt->orig_nents;
	ret = vgpu_payload_alloc(&vgpu->control, payload,
				 (size_t)n * sizeof(*entry));
	if (ret)
		return ret;
	for_each_sg(sgt->sgl, sg, n, i) {
		if (!left) {
			/* pieces are multiples of an entry's size */
			entry = sg_virt(&payload->sg[piece]);
			left = payload->sg[piece++].length / sizeof(*entry);
		}
		entry->addr =
			cpu_to_le64(dma ? sg_dma_address(sg) : sg_phys(sg));
		entry->length = cpu_to_le32(dma ? sg_dma_len(sg) : sg->length);
		entry->padding = 0;
		entry++;
		left--;
	}
	*count = n;
	return 0;
}

/* ------------------------------------------------------------ creation */

/*
 * The resource of a new object.  Close to the limit the device's answer is
 * waited for.
 */
static int create_on_host(struct vgpu_device *vgpu, struct vgpu_object *obj,
			  u32 ctx_id, bool wait)
{
	int ret;

	vgpu_limit_created(vgpu, obj);
	switch (obj->kind) {
	case VGPU_OBJECT_2D:
		ret = vgpu_cmd_create_2d(vgpu, obj, wait);
		break;
	case VGPU_OBJECT_3D:
		ret = vgpu_cmd_create_3d(vgpu, obj, wait);
		break;
	default:
		ret = vgpu_cmd_create_blob(vgpu, ctx_id, obj, wait);
		break;
	}
	if (ret) {
		/* refused is never there; a signal leaves that open */
		if (ret != -ERESTARTSYS)
			obj->on_host = false;
		return ret;
	}
	if (!vgpu_object_is_blob(obj))
		ret = vgpu_cmd_attach_backing(vgpu, obj);
	vgpu_kick(vgpu);
	return ret;
}

static struct vgpu_object *object_create(struct vgpu_device *vgpu,
					 struct vgpu_object *obj, u32 ctx_id)
{
	int ret;

	ret = create_on_host(vgpu, obj, ctx_id,
			     vgpu_limit_near(vgpu, obj->shmem.base.size));
	if (ret) {
		drm_gem_object_put(&obj->shmem.base);
		return ERR_PTR(ret);
	}
	return obj;
}

struct vgpu_object *vgpu_object_create_2d(struct vgpu_device *vgpu, size_t size,
					  u32 format, u32 width, u32 height)
{
	struct vgpu_object *obj = object_new(vgpu, size, VGPU_OBJECT_2D);

	if (IS_ERR(obj))
		return obj;
	obj->dumb = true;
	obj->two_d.format = format;
	obj->two_d.width = width;
	obj->two_d.height = height;
	return object_create(vgpu, obj, 0);
}

struct vgpu_object *
vgpu_object_create_3d(struct vgpu_device *vgpu, size_t size,
		      const struct virtio_gpu_resource_create_3d *params)
{
	struct vgpu_object *obj = object_new(vgpu, size, VGPU_OBJECT_3D);

	if (IS_ERR(obj))
		return obj;
	obj->three_d = *params;
	return object_create(vgpu, obj, 0);
}

struct vgpu_object *vgpu_object_create_blob(struct vgpu_device *vgpu,
					    struct vgpu_context *context,
					    size_t size, u32 mem, u32 flags,
					    u64 blob_id)
{
	bool host = mem == VIRTGPU_BLOB_MEM_HOST3D;
	struct vgpu_object *obj;
	int ret;

	obj = object_new(vgpu, size,
			 host ? VGPU_OBJECT_HOST_BLOB : VGPU_OBJECT_GUEST_BLOB);
	if (IS_ERR(obj))
		return obj;
	obj->blob.mem = mem;
	obj->blob.flags = flags;
	obj->blob.id = blob_id;
	if (host && (flags & VIRTGPU_BLOB_FLAG_USE_MAPPABLE)) {
		ret = vgpu_vram_reserve(obj);
		if (ret) {
			drm_gem_object_put(&obj->shmem.base);
			return ERR_PTR(ret);
		}
	}
	obj = object_create(vgpu, obj, context ? context->id : 0);
	if (IS_ERR(obj))
		return obj;
	if (host && (flags & VIRTGPU_BLOB_FLAG_USE_MAPPABLE)) {
		ret = vgpu_vram_map(obj);
		if (ret) {
			drm_gem_object_put(&obj->shmem.base);
			return ERR_PTR(ret);
		}
	}
	return obj;
}

/* Linear memory for a picture that the CPU draws, of the format of consoles. */
int vgpu_dumb_create(struct drm_file *file, struct drm_device *drm,
		     struct drm_mode_create_dumb *args)
{
	struct vgpu_object *obj;
	int ret;

	if (args->bpp != 32)
		return -EINVAL;
	if (check_mul_overflow(args->width, 4u, &args->pitch))
		return -EINVAL;
	args->size = PAGE_ALIGN((u64)args->pitch * args->height);
	obj = vgpu_object_create_2d(to_vgpu(drm), args->size,
				    VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
				    args->width, args->height);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	ret = drm_gem_handle_create(file, &obj->shmem.base, &args->handle);
	drm_gem_object_put(&obj->shmem.base);
	return ret;
}

/* An object that the helper made of a foreign dma-buf; the caller puts it. */
int vgpu_object_adopt(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	int ret;

	obj->imported = true;
	ret = object_register(vgpu, obj, VGPU_OBJECT_GUEST_BLOB);
	if (ret)
		return ret;
	obj->blob.mem = VIRTGPU_BLOB_MEM_GUEST;
	obj->blob.flags = VIRTGPU_BLOB_FLAG_USE_SHAREABLE;
	return create_on_host(vgpu, obj, 0, false);
}

/* ------------------------------------------------------------- loss */

/* The next object of the list that is alive, referenced; puts @last. */
static struct vgpu_object *next_object(struct vgpu_device *vgpu,
				       struct vgpu_object *last)
{
	struct vgpu_object *obj;

	mutex_lock(&vgpu->objects_lock);
	obj = last ? list_next_entry(last, link) :
		     list_first_entry(&vgpu->objects, struct vgpu_object, link);
	list_for_each_entry_from(obj, &vgpu->objects, link)
		if (kref_get_unless_zero(&obj->shmem.base.refcount))
			break;
	if (list_entry_is_head(obj, &vgpu->objects, link))
		obj = NULL;
	mutex_unlock(&vgpu->objects_lock);
	if (last)
		drm_gem_object_put(&last->shmem.base);
	return obj;
}

void vgpu_objects_lost(struct vgpu_device *vgpu)
{
	struct vgpu_object *obj = NULL;

	while ((obj = next_object(vgpu, obj))) {
		obj->on_host = false;
		obj->has_backing = false;
		obj->map_sent = false;
		obj->uuid_state = 0;
		WRITE_ONCE(obj->used, 0);
		obj->error = -EIO;
		if (obj->kind == VGPU_OBJECT_HOST_BLOB)
			vgpu_vram_revoke(obj);
	}
}

void vgpu_objects_restore(struct vgpu_device *vgpu)
{
	struct vgpu_object *obj = NULL;

	while ((obj = next_object(vgpu, obj))) {
		/* what was in the host's memory is gone */
		if (vgpu_object_is_blob(obj) &&
		    obj->blob.mem != VIRTGPU_BLOB_MEM_GUEST)
			continue;
		obj->generation = vgpu->generation;
		obj->error = 0;
		if (create_on_host(vgpu, obj, 0, false))
			drm_err_ratelimited(&vgpu->drm,
					    "resource %u could not be made again after the reset\n",
					    obj->id);
	}
}
