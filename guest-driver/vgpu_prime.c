// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sharing of buffers.  What this driver exports is a virtio dma-buf: other
 * virtio devices ask for the UUID under which the host knows it.  What others
 * export becomes a guest blob, if the device has blobs.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/virtio_dma_buf.h>

#include <drm/drm_prime.h>

#include "vgpu_drv.h"

static int prime_uuid(struct dma_buf *buf, uuid_t *uuid)
{
	struct vgpu_object *obj = to_vgpu_object(buf->priv);
	struct vgpu_device *vgpu = to_vgpu(obj->shmem.base.dev);
	int state, ret, index;

	if (!vgpu->has_uuid)
		return -ENODEV;
	/* pairs with uuid_answered() */
	state = smp_load_acquire(&obj->uuid_state);
	if (!state) {
		if (!drm_dev_enter(&vgpu->drm, &index))
			return -ENODEV;
		ret = vgpu_cmd_assign_uuid(vgpu, obj);
		drm_dev_exit(index);
		if (ret)
			return ret;
		/* pairs with uuid_answered() */
		state = smp_load_acquire(&obj->uuid_state);
	}
	if (state < 0)
		return state;
	import_uuid(uuid, obj->uuid);
	return 0;
}

/* Host memory is at a place in the window; nobody else can know more of it. */
static struct sg_table *host_map(struct dma_buf_attachment *attach,
				 enum dma_data_direction dir)
{
	struct vgpu_object *obj = to_vgpu_object(attach->dmabuf->priv);
	struct sg_table *sgt;
	dma_addr_t addr;
	int ret;

	if (READ_ONCE(obj->map_state) != 1)
		return ERR_PTR(-EINVAL);
	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	ret = sg_alloc_table(sgt, 1, GFP_KERNEL);
	if (ret)
		goto free;
	addr = dma_map_resource(attach->dev, obj->window.start,
				obj->shmem.base.size, dir,
				DMA_ATTR_SKIP_CPU_SYNC);
	ret = dma_mapping_error(attach->dev, addr);
	if (ret)
		goto free_table;
	sg_set_page(sgt->sgl, NULL, obj->shmem.base.size, 0);
	sg_dma_address(sgt->sgl) = addr;
	sg_dma_len(sgt->sgl) = obj->shmem.base.size;
	return sgt;

free_table:
	sg_free_table(sgt);
free:
	kfree(sgt);
	return ERR_PTR(ret);
}

static struct sg_table *prime_map(struct dma_buf_attachment *attach,
				  enum dma_data_direction dir)
{
	struct vgpu_object *obj = to_vgpu_object(attach->dmabuf->priv);

	if (obj->kind == VGPU_OBJECT_HOST_BLOB)
		return host_map(attach, dir);
	return drm_gem_map_dma_buf(attach, dir);
}

static void prime_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			enum dma_data_direction dir)
{
	struct vgpu_object *obj = to_vgpu_object(attach->dmabuf->priv);

	if (obj->kind != VGPU_OBJECT_HOST_BLOB) {
		drm_gem_unmap_dma_buf(attach, sgt, dir);
		return;
	}
	dma_unmap_resource(attach->dev, sg_dma_address(sgt->sgl),
			   sg_dma_len(sgt->sgl), dir, DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(sgt);
	kfree(sgt);
}

static int prime_attach(struct dma_buf *buf, struct dma_buf_attachment *attach)
{
	struct vgpu_object *obj = to_vgpu_object(buf->priv);

	if (obj->kind == VGPU_OBJECT_HOST_BLOB)
		return 0;
	return drm_gem_map_attach(buf, attach);
}

static void prime_detach(struct dma_buf *buf, struct dma_buf_attachment *attach)
{
	struct vgpu_object *obj = to_vgpu_object(buf->priv);

	if (obj->kind != VGPU_OBJECT_HOST_BLOB)
		drm_gem_map_detach(buf, attach);
}

static const struct virtio_dma_buf_ops prime_ops = {
	.ops = {
		.attach = virtio_dma_buf_attach,
		.detach = prime_detach,
		.map_dma_buf = prime_map,
		.unmap_dma_buf = prime_unmap,
		.release = drm_gem_dmabuf_release,
		.mmap = drm_gem_dmabuf_mmap,
		.vmap = drm_gem_dmabuf_vmap,
		.vunmap = drm_gem_dmabuf_vunmap,
	},
	.device_attach = prime_attach,
	.get_uuid = prime_uuid,
};

struct dma_buf *vgpu_prime_export(struct drm_gem_object *gem, int flags)
{
	struct dma_buf_export_info info = {
		.exp_name = KBUILD_MODNAME,
		.owner = THIS_MODULE,
		.ops = &prime_ops.ops,
		.size = gem->size,
		.flags = flags,
		.priv = gem,
		.resv = gem->resv,
	};
	struct dma_buf *buf;

	buf = virtio_dma_buf_export(&info);
	if (IS_ERR(buf))
		return buf;
	/* drm_gem_dmabuf_release() puts both */
	drm_dev_get(gem->dev);
	drm_gem_object_get(gem);
	return buf;
}

struct drm_gem_object *vgpu_prime_import(struct drm_device *drm,
					 struct dma_buf *buf)
{
	if (buf->ops == &prime_ops.ops) {
		struct drm_gem_object *gem = buf->priv;

		if (gem->dev == drm) {
			drm_gem_object_get(gem);
			return gem;
		}
	}
	if (!to_vgpu(drm)->has_blob)
		return ERR_PTR(-ENODEV);
	return drm_gem_prime_import(drm, buf);
}

struct drm_gem_object *
vgpu_prime_import_sg_table(struct drm_device *drm,
			   struct dma_buf_attachment *attach,
			   struct sg_table *sgt)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct drm_gem_object *gem;
	struct vgpu_object *obj;
	int ret;

	gem = drm_gem_shmem_prime_import_sg_table(drm, attach, sgt);
	if (IS_ERR(gem))
		return gem;
	/* the helper's caller notes the attachment only after us */
	obj = to_vgpu_object(gem);
	ret = vgpu_object_adopt(vgpu, obj);
	if (ret) {
		/* the caller unmaps the table */
		obj->shmem.sgt = NULL;
		drm_gem_object_put(gem);
		return ERR_PTR(ret);
	}
	return gem;
}
