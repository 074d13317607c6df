// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Errors of allocations at the call.
 *
 * Theory of operation.  The host refuses what does not fit into the VM's slice,
 * and the device's answer says so; but to wait for the answer of every creation
 * would cost a round trip each.  The statistics page shows what is used and
 * what the limit is, so: well below the limit a creation is sent and believed;
 * close to it the call waits for the answer and returns -ENOMEM.
 *
 * What the page shows lags: it does not know what was sent and not answered.
 * We do: those bytes are counted here.  What else is spent meanwhile (Vulkan
 * memory, which never passes the driver; mip levels and samples that the host
 * rounds up) is what the margin is for.  The page is the host's claim: a wrong
 * figure costs a round trip or an error that comes late, nothing more.
 */
#include <linux/io.h>
#include <linux/pci.h>

#include "vgpu_drv.h"

/* The part of the limit that has to be free for a creation to be believed. */
#define MARGIN_DIVISOR 8
#define MARGIN_MIN (16ull << 20)

/* The page stays mapped as long as the DRM device: it is read at any time. */
int vgpu_limit_init(struct vgpu_device *vgpu)
{
	struct device *parent = vgpu->vdev->dev.parent;
	struct pci_dev *pci;

	if (!vgpu->has_stats || !dev_is_pci(parent))
		return 0;
	pci = to_pci_dev(parent);
	if (!(pci_resource_flags(pci, VGPU_PCI_BAR_STATS) & IORESOURCE_MEM) ||
	    pci_resource_len(pci, VGPU_PCI_BAR_STATS) < VGPU_STATS_SIZE) {
		drm_err(&vgpu->drm,
			"the device has no page of statistics where it says: done without\n");
		return 0;
	}
	vgpu->stats = memremap(pci_resource_start(pci, VGPU_PCI_BAR_STATS),
			       VGPU_STATS_SIZE, MEMREMAP_WB);
	return vgpu->stats ? 0 : -ENOMEM;
}

void vgpu_limit_fini(struct vgpu_device *vgpu)
{
	if (vgpu->stats)
		memunmap((void *)vgpu->stats);
}

bool vgpu_limit_near(struct vgpu_device *vgpu, u64 size)
{
	const struct vgpu_stats *stats = READ_ONCE(vgpu->stats);
	u64 limit, used, pending, margin;

	if (!stats || READ_ONCE(stats->magic) != VGPU_STATS_MAGIC)
		return false;
	limit = READ_ONCE(stats->memory_limit);
	used = READ_ONCE(stats->memory_used);
	if (!limit)
		return false;
	pending = atomic64_read(&vgpu->creating_bytes);
	margin = max(limit / MARGIN_DIVISOR, MARGIN_MIN);
	/* the host's copy is at most about twice ours: alignment, mip levels */
	return used >= limit || pending >= limit - used || size >= limit ||
	       2 * (pending + size) + margin > limit - used;
}

void vgpu_limit_created(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	obj->creating = true;
	atomic64_add(obj->shmem.base.size, &vgpu->creating_bytes);
}

void vgpu_limit_answered(struct vgpu_device *vgpu, struct vgpu_object *obj)
{
	if (!obj->creating)
		return;
	obj->creating = false;
	atomic64_sub(obj->shmem.base.size, &vgpu->creating_bytes);
}
