// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Host memory in the host-visible window (virtio 1.2, section 5.7.6.10).
 *
 * Theory of operation.  A host blob that may be mapped gets a place in the
 * window when it is made, and MAP_BLOB is sent right behind its creation;
 * mmap() waits for the answer, which says how the memory is to be cached.
 *
 * Mappings are made by page faults, many pages at a time, under the window's
 * lock: so there is a moment from which on no page of a lost blob is mapped
 * anywhere.  That is how they are revoked when the device is lost: the window
 * shows nothing of theirs any more, and a process that polls such memory would
 * spin for ever.  It gets SIGBUS.
 */
#include <linux/dma-buf.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include <drm/drm_vma_manager.h>

#include "vgpu_drv.h"

/* Pages that one fault maps. */
#define FAULT_PAGES 512

int vgpu_vram_init(struct vgpu_device *vgpu)
{
	mutex_init(&vgpu->window_lock);
	init_waitqueue_head(&vgpu->mapped);
	if (!vgpu->has_blob ||
	    !virtio_get_shm_region(vgpu->vdev, &vgpu->window,
				   VIRTIO_GPU_SHM_ID_HOST_VISIBLE))
		return 0;
	/* a device that says nonsense has no window */
	if (!vgpu->window.len || !PAGE_ALIGNED(vgpu->window.addr) ||
	    !PAGE_ALIGNED(vgpu->window.len) ||
	    vgpu->window.addr + vgpu->window.len < vgpu->window.addr) {
		drm_err(&vgpu->drm,
			"the window for host memory (%llu bytes at 0x%llx) is not made of pages: not used\n",
			vgpu->window.len, vgpu->window.addr);
		return 0;
	}
	if (!devm_request_mem_region(&vgpu->vdev->dev, vgpu->window.addr,
				     vgpu->window.len, "vgpu window")) {
		drm_err(&vgpu->drm,
			"the window for host memory is taken by another driver: not used\n");
		return 0;
	}
	drm_mm_init(&vgpu->window_mm, vgpu->window.addr, vgpu->window.len);
	vgpu->has_host_visible = true;
	return 0;
}

void vgpu_vram_fini(struct vgpu_device *vgpu)
{
	if (vgpu->has_host_visible)
		drm_mm_takedown(&vgpu->window_mm);
}

/* A place in the window, and one in the file for mmap(). */
int vgpu_vram_reserve(struct vgpu_object *obj)
{
	struct vgpu_device *vgpu = to_vgpu(obj->shmem.base.dev);
	int ret;

	if (!vgpu->has_host_visible)
		return -EINVAL;
	ret = drm_gem_create_mmap_offset(&obj->shmem.base);
	if (ret)
		return ret;
	mutex_lock(&vgpu->window_lock);
	ret = drm_mm_insert_node(&vgpu->window_mm, &obj->window,
				 obj->shmem.base.size);
	mutex_unlock(&vgpu->window_lock);
	if (ret)
		drm_dbg(&vgpu->drm,
			"no %zu bytes are free in the window for host memory\n",
			obj->shmem.base.size);
	return ret;
}

int vgpu_vram_map(struct vgpu_object *obj)
{
	struct vgpu_device *vgpu = to_vgpu(obj->shmem.base.dev);
	int ret;

	ret = vgpu_cmd_map_blob(vgpu, obj,
				obj->window.start - vgpu->window.addr);
	if (ret)
		return ret;
	obj->map_sent = true;
	vgpu_kick(vgpu);
	return 0;
}

/* The object is dying: nothing maps it, the device has let go of it. */
void vgpu_vram_release(struct vgpu_object *obj)
{
	struct vgpu_device *vgpu = to_vgpu(obj->shmem.base.dev);

	mutex_lock(&vgpu->window_lock);
	if (drm_mm_node_allocated(&obj->window))
		drm_mm_remove_node(&obj->window);
	mutex_unlock(&vgpu->window_lock);
}

/* Waits, killable, for the answer to MAP_BLOB. */
static int wait_mapped(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	int ret, state;

	ret = wait_event_killable(vgpu->mapped, READ_ONCE(obj->map_state));
	if (ret)
		return ret;
	/* pairs with mapped() */
	state = smp_load_acquire(&obj->map_state);
	return state < 0 ? state : 0;
}

int vgpu_vram_mmap(struct drm_gem_object *gem, struct vm_area_struct *vma)
{
	struct vgpu_object *obj = to_vgpu_object(gem);
	struct vgpu_device *vgpu = to_vgpu(gem->dev);
	unsigned long pages = vma_pages(vma), from;
	int ret;

	if (!(obj->blob.flags & VIRTGPU_BLOB_FLAG_USE_MAPPABLE))
		return -EINVAL;
	/* no private copies: vmf_insert_pfn() has a BUG_ON() for them */
	if ((vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE)
		return -EINVAL;
	/* drm_gem_mmap() leaves the place in the device's file */
	from = vma->vm_pgoff - drm_vma_node_start(&gem->vma_node);
	if (from > gem->size >> PAGE_SHIFT ||
	    pages > (gem->size >> PAGE_SHIFT) - from)
		return -EINVAL;
	ret = wait_mapped(vgpu, obj);
	if (ret)
		return ret;

	vgpu_vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);
	switch (obj->map_info) {
	case VIRTIO_GPU_MAP_CACHE_WC:
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
		break;
	case VIRTIO_GPU_MAP_CACHE_UNCACHED:
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
		break;
	}
	vma->vm_page_prot = pgprot_decrypted(vma->vm_page_prot);
	return 0;
}

static vm_fault_t vram_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct vgpu_object *obj = to_vgpu_object(vma->vm_private_data);
	struct vgpu_device *vgpu = to_vgpu(obj->shmem.base.dev);
	unsigned long page, first, last, start, pfn;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	start = vma->vm_pgoff - drm_vma_node_start(&obj->shmem.base.vma_node);
	page = (vmf->address - vma->vm_start) >> PAGE_SHIFT;
	first = round_down(page, FAULT_PAGES);
	last = min(first + FAULT_PAGES, vma_pages(vma));

	mutex_lock(&vgpu->window_lock);
	if (obj->map_state == 1 && drm_mm_node_allocated(&obj->window)) {
		pfn = (obj->window.start >> PAGE_SHIFT) + start;
		/* the page that is asked for decides, the others may fail */
		ret = vmf_insert_pfn(vma, vma->vm_start + (page << PAGE_SHIFT),
				     pfn + page);
		for (; first < last && ret == VM_FAULT_NOPAGE; first++)
			if (first != page &&
			    vmf_insert_pfn(vma,
					   vma->vm_start +
						   (first << PAGE_SHIFT),
					   pfn + first) != VM_FAULT_NOPAGE)
				break;
	}
	mutex_unlock(&vgpu->window_lock);
	return ret;
}

const struct vm_operations_struct vgpu_vram_vm_ops = {
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
	.fault = vram_fault,
};

/* The device is lost: no page of the object stays mapped, none comes back. */
void vgpu_vram_revoke(struct vgpu_object *obj)
{
	struct drm_gem_object *gem = &obj->shmem.base;
	struct vgpu_device *vgpu = to_vgpu(gem->dev);

	mutex_lock(&vgpu->window_lock);
	WRITE_ONCE(obj->map_state, -EIO);
	if (drm_mm_node_allocated(&obj->window))
		drm_mm_remove_node(&obj->window);
	mutex_unlock(&vgpu->window_lock);
	wake_up_all(&vgpu->mapped);

	drm_vma_node_unmap(&gem->vma_node, vgpu->drm.anon_inode->i_mapping);
	mutex_lock(&vgpu->drm.object_name_lock);
	if (gem->dma_buf)
		drm_vma_node_unmap(&gem->vma_node,
				   gem->dma_buf->file->f_mapping);
	mutex_unlock(&vgpu->drm.object_name_lock);
}
