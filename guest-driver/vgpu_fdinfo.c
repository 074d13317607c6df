// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu: /proc/PID/fdinfo of an open file: its GPU time and its memory, in the
 * words of Documentation/gpu/drm-usage-stats.rst.
 *
 * Of memory this shows what the driver knows: its GEM objects.  What Vulkan
 * allocates without mapping or exporting it never passes the driver; the VM's
 * whole use is in sysfs.
 */
#include <linux/dma-resv.h>
#include <linux/pci.h>
#include <linux/seq_file.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "vgpu_stats.h"

struct memory_sums {
	u64 total;
	u64 shared;   /* of it */
	u64 resident; /* of it */
	u64 active;   /* of it */
};

/* Host memory exists as long as its resource; the guest's when it was touched. */
static bool object_is_resident(const struct vgpu_object *obj)
{
	return obj->kind == VGPU_OBJECT_HOST_BLOB || obj->shmem.pages ||
	       obj->shmem.sgt;
}

static void count_objects(struct drm_file *file, struct memory_sums *sums)
{
	struct drm_gem_object *gem;
	int id;

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, gem, id) {
		sums->total += gem->size;
		if (gem->handle_count > 1 || gem->dma_buf)
			sums->shared += gem->size;
		if (object_is_resident(to_vgpu_object(gem)))
			sums->resident += gem->size;
		if (!dma_resv_test_signaled(gem->resv, dma_resv_usage_rw(true)))
			sums->active += gem->size;
	}
	spin_unlock(&file->table_lock);
}

void vgpu_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(file->minor->dev);
	struct vgpu_file *client = file->driver_priv;
	struct memory_sums sums = {};

	drm_printf(p, "drm-engine-render:\t%llu ns\n",
		   vgpu_stats_engine_ns(vgpu, client->context));
	count_objects(file, &sums);
	drm_printf(p, "drm-total-memory:\t%llu KiB\n", sums.total >> 10);
	drm_printf(p, "drm-shared-memory:\t%llu KiB\n", sums.shared >> 10);
	drm_printf(p, "drm-active-memory:\t%llu KiB\n", sums.active >> 10);
	drm_printf(p, "drm-resident-memory:\t%llu KiB\n", sums.resident >> 10);
}

#if !VGPU_KERNEL(6, 5)
/* struct file_operations.show_fdinfo: what drm_show_fdinfo() does later. */
void vgpu_show_fdinfo_file(struct seq_file *m, struct file *f)
{
	struct drm_file *file = f->private_data;
	struct drm_device *drm = file->minor->dev;
	struct vgpu_file *client = file->driver_priv;
	struct drm_printer p = drm_seq_file_printer(m);
	struct pci_dev *pci = NULL;
	int idx;

	if (!drm_dev_enter(drm, &idx))
		return;
	drm_printf(&p, "drm-driver:\t%s\n", drm->driver->name);
	drm_printf(&p, "drm-client-id:\t%llu\n",
		   client->context->stats.client_id);
	if (drm->dev && dev_is_pci(drm->dev))
		pci = to_pci_dev(drm->dev);
	if (pci)
		drm_printf(&p, "drm-pdev:\t%04x:%02x:%02x.%d\n",
			   pci_domain_nr(pci->bus), pci->bus->number,
			   PCI_SLOT(pci->devfn), PCI_FUNC(pci->devfn));
	vgpu_show_fdinfo(&p, file);
	drm_dev_exit(idx);
}
#endif
