// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The driver's life: module, probe and remove.
 *
 * Where the device does not offer the extension, .validate declines: the core
 * then tries the next driver, so that the stock one binds.  (It does not when
 * .probe declines.)
 *
 * The drm_device outlives the virtio device as long as user space has files
 * open.  After remove the queues are dead: every request fails at once, so that
 * nothing that user space can still call needs to know.
 */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_managed.h>

#include "vgpu_drv.h"

/* What a device may claim to have. */
#define CAPSETS_MAX 64
#define CAPSET_SIZE_MAX SZ_1M

static const struct file_operations vgpu_fops = {
	.owner = THIS_MODULE,
	DRM_GEM_FOPS,
	.show_fdinfo = VGPU_FOPS_FDINFO,
};

static const struct drm_driver vgpu_driver = {
	.driver_features = DRIVER_GEM | DRIVER_RENDER | DRIVER_SYNCOBJ |
			   DRIVER_SYNCOBJ_TIMELINE | DRIVER_MODESET |
			   DRIVER_ATOMIC | VGPU_CURSOR_FEATURES,
	.open = vgpu_open,
	.postclose = vgpu_postclose,
	.gem_create_object = vgpu_gem_create_object,
	.gem_prime_import = vgpu_prime_import,
	.gem_prime_import_sg_table = vgpu_prime_import_sg_table,
	.dumb_create = vgpu_dumb_create,
	.debugfs_init = vgpu_debugfs_init,
	VGPU_DRIVER_FDINFO VGPU_FBDEV_DRIVER_OPS VGPU_DRIVER_COMPAT.ioctls =
		vgpu_ioctls,
	.num_ioctls = VGPU_NUM_IOCTLS,
	.fops = &vgpu_fops,
	.name = VGPU_DRIVER_NAME,
	.desc = VGPU_DRIVER_DESC,
	.major = VGPU_DRIVER_MAJOR,
	.minor = VGPU_DRIVER_MINOR,
	.patchlevel = VGPU_DRIVER_PATCHLEVEL,
};

/* ------------------------------------------------------------ discovery */

static void read_features(struct vgpu_device *vgpu)
{
	struct virtio_device *vdev = vgpu->vdev;

	vgpu->has_virgl = virtio_has_feature(vdev, VIRTIO_GPU_F_VIRGL);
	vgpu->has_edid = virtio_has_feature(vdev, VIRTIO_GPU_F_EDID);
	vgpu->has_uuid = virtio_has_feature(vdev, VIRTIO_GPU_F_RESOURCE_UUID);
	vgpu->has_blob = virtio_has_feature(vdev, VIRTIO_GPU_F_RESOURCE_BLOB);
	vgpu->has_context_init =
		virtio_has_feature(vdev, VIRTIO_GPU_F_CONTEXT_INIT);
	vgpu->has_stats = virtio_has_feature(vdev, VGPU_F_STATS);
	vgpu->has_events = virtio_has_feature(vdev, VGPU_F_EVENTS);
	vgpu->has_loss = virtio_has_feature(vdev, VGPU_F_LOSS);
	vgpu->has_submit_queues =
		virtio_has_feature(vdev, VGPU_F_SUBMIT_QUEUES);
	if (vgpu->has_submit_queues)
		vgpu->num_submit =
			min_t(u32, VGPU_SUBMIT_QUEUES_MAX,
			      virtio_cread32(vdev,
					     VGPU_CONFIG_OFFSET +
						     offsetof(struct vgpu_config,
							      submit_queues)));
	vgpu->use_dma_api = !virtio_has_dma_quirk(vdev);

	virtio_cread_le(vdev, struct virtio_gpu_config, num_scanouts,
			&vgpu->num_scanouts);
	virtio_cread_le(vdev, struct virtio_gpu_config, num_capsets,
			&vgpu->num_capsets);
	vgpu->num_scanouts =
		min_t(u32, vgpu->num_scanouts, VIRTIO_GPU_MAX_SCANOUTS);
	vgpu->num_capsets = vgpu->has_virgl ?
				    min_t(u32, vgpu->num_capsets, CAPSETS_MAX) :
				    0;
}

/* Before the managed memory that they hang from: last come, first gone. */
static void free_capset_copies(struct drm_device *drm, void *unused)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	unsigned int i;

	for (i = 0; i < vgpu->num_capsets; i++)
		kvfree(vgpu->capset_copies[i].data);
}

/* Its own, not those of a file: what the host serves, and the facts. */
static int read_capsets(struct vgpu_device *vgpu)
{
	struct vgpu_capset_info info;
	unsigned int i, n = 0;
	int ret;

	if (!vgpu->num_capsets)
		return 0;
	vgpu->capsets = drmm_kcalloc(&vgpu->drm, vgpu->num_capsets,
				     sizeof(*vgpu->capsets), GFP_KERNEL);
	vgpu->capset_copies = drmm_kcalloc(&vgpu->drm, vgpu->num_capsets,
					   sizeof(*vgpu->capset_copies),
					   GFP_KERNEL);
	if (!vgpu->capsets || !vgpu->capset_copies)
		return -ENOMEM;
	ret = drmm_add_action_or_reset(&vgpu->drm, free_capset_copies, NULL);
	if (ret)
		return ret;
	for (i = 0; i < vgpu->num_capsets; i++) {
		ret = vgpu_cmd_get_capset_info(vgpu, i, &info);
		if (ret == -EIO || ret == -ETIMEDOUT || ret == -ERESTARTSYS ||
		    ret == -ENOMEM)
			return ret;
		if (ret || !info.id || info.max_size > CAPSET_SIZE_MAX) {
			drm_err(&vgpu->drm,
				"capability set %u of the device makes no sense: not used\n",
				i);
			continue;
		}
		vgpu->capsets[n++] = info;
		if (info.id < 64)
			vgpu->capset_mask |= BIT_ULL(info.id);
	}
	vgpu->num_capsets = n;

	if (vgpu->capset_mask & BIT_ULL(VGPU_CAPSET_ID)) {
		ret = vgpu_cmd_get_capset(vgpu, VGPU_CAPSET_ID,
					  VGPU_CAPSET_VERSION, &vgpu->facts,
					  sizeof(vgpu->facts),
					  VGPU_WORKER_TIMEOUT);
		if (ret)
			memset(&vgpu->facts, 0, sizeof(vgpu->facts));
	}
	return 0;
}

/* ------------------------------------------------------------- changes */

static void config_work(struct work_struct *work)
{
	struct vgpu_device *vgpu =
		container_of(work, struct vgpu_device, config_work);
	const u32 known = VIRTIO_GPU_EVENT_DISPLAY | VGPU_EVENT_PROFILE;
	u32 events;
	int index;

	if (!drm_dev_enter(&vgpu->drm, &index))
		return;
	virtio_cread_le(vgpu->vdev, struct virtio_gpu_config, events_read,
			&events);
	events &= known;
	if (events)
		virtio_cwrite_le(vgpu->vdev, struct virtio_gpu_config,
				 events_clear, &events);
	if (events & VIRTIO_GPU_EVENT_DISPLAY)
		vgpu_kms_displays_changed(vgpu);
	if (events & VGPU_EVENT_PROFILE && vgpu->has_events)
		vgpu_stats_profile_changed(vgpu);
	drm_dev_exit(index);
}

static void config_changed(struct virtio_device *vdev)
{
	struct vgpu_device *vgpu = vdev->priv;

	if (vgpu->has_loss &&
	    vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		vgpu_lose(vgpu, "the device has lost its renderer");
	else
		queue_work(vgpu->workers, &vgpu->config_work);
}

/* ------------------------------------------------------ probe and remove */

static void release(struct drm_device *drm, void *unused)
{
	struct vgpu_device *vgpu = to_vgpu(drm);

	/* the last files have let go of their objects */
	if (vgpu->workers) {
		flush_work(&vgpu->dead_work);
		destroy_workqueue(vgpu->workers);
	}
	vgpu_stats_fini(vgpu);
	vgpu_limit_fini(vgpu);
	vgpu_vram_fini(vgpu);
	vgpu_timeline_put(vgpu->timeline);
	ida_destroy(&vgpu->resource_ids);
	ida_destroy(&vgpu->context_ids);
	cleanup_srcu_struct(&vgpu->rings);
}

static int device_init(struct vgpu_device *vgpu)
{
	int ret;

	vgpu->generation = 1;
	ida_init(&vgpu->resource_ids);
	ida_init(&vgpu->context_ids);
	init_llist_head(&vgpu->dead_objects);
	INIT_LIST_HEAD(&vgpu->objects);
	mutex_init(&vgpu->objects_lock);
	mutex_init(&vgpu->capset_lock);
	mutex_init(&vgpu->reset_lock);
	init_waitqueue_head(&vgpu->back);
	INIT_WORK(&vgpu->dead_work, vgpu_objects_free_dead);
	INIT_WORK(&vgpu->config_work, config_work);
	INIT_DELAYED_WORK(&vgpu->reset_work, vgpu_reset_work);
	INIT_WORK(&vgpu->back_work, vgpu_back_work);
	ret = vgpu_queues_init(vgpu);
	if (ret)
		return ret;
	ret = drmm_add_action_or_reset(&vgpu->drm, release, NULL);
	if (ret)
		return ret;
	vgpu->workers = alloc_workqueue("vgpu", WQ_UNBOUND, 0);
	vgpu->timeline = vgpu_timeline_alloc(false);
	if (!vgpu->workers || !vgpu->timeline)
		return -ENOMEM;
	return 0;
}

static int validate(struct virtio_device *vdev)
{
	return virtio_has_feature(vdev, VGPU_F_EXTENSION) ? 0 : -ENODEV;
}

/* A next kernel must find a device that writes nowhere: kexec. */
static void shutdown(struct virtio_device *vdev)
{
	struct vgpu_device *vgpu = vdev->priv;

	mutex_lock(&vgpu->reset_lock);
	vgpu->asleep = true;
	vgpu_queues_kill(vgpu);
	virtio_reset_device(vdev);
	mutex_unlock(&vgpu->reset_lock);
}

/* Kernels whose virtio drivers have no shutdown: see vgpu_compat.h. */
static int rebooting(struct notifier_block *reboot, unsigned long action,
		     void *data)
{
	struct vgpu_device *vgpu =
		container_of(reboot, struct vgpu_device, reboot);

	shutdown(vgpu->vdev);
	return NOTIFY_DONE;
}

static int probe(struct virtio_device *vdev)
{
	struct device *parent = vdev->dev.parent;
	struct vgpu_device *vgpu;
	int ret;

	/*
	 * The DRM device's parent is the PCI device, as user space expects; its
	 * managed resources are ours to release when the virtio device goes.
	 */
	if (!devres_open_group(parent, vdev, GFP_KERNEL))
		return -ENOMEM;
	vgpu = devm_drm_dev_alloc(parent, &vgpu_driver, struct vgpu_device,
				  drm);
	if (IS_ERR(vgpu)) {
		ret = PTR_ERR(vgpu);
		goto release;
	}
	devres_close_group(parent, vdev);
	vgpu->vdev = vdev;
	vdev->priv = vgpu;
	ret = device_init(vgpu);
	if (ret)
		goto release;

	read_features(vgpu);
	ret = vgpu_vram_init(vgpu)	    ?:
		      vgpu_limit_init(vgpu) ?:
		      vgpu_stats_init(vgpu) ?:
					      vgpu_queues_start(vgpu);
	if (ret)
		goto release;
	virtio_device_ready(vdev);
	ret = read_capsets(vgpu)	  ?:
		      vgpu_kms_init(vgpu) ?:
					    drm_dev_register(&vgpu->drm, 0);
	if (ret)
		goto stop;
	vgpu_kms_register(vgpu);
	vgpu_reboot_register(&vgpu->reboot, rebooting);
	return 0;

stop:
	virtio_reset_device(vdev);
	vgpu_queues_stop(vgpu);
release:
	devres_release_group(parent, vdev);
	return ret;
}

static void remove(struct virtio_device *vdev)
{
	struct vgpu_device *vgpu = vdev->priv;

	vgpu_reboot_unregister(&vgpu->reboot);
	drm_dev_unplug(&vgpu->drm);
	vgpu_kms_fini(vgpu);
	cancel_work_sync(&vgpu->config_work);
	cancel_delayed_work_sync(&vgpu->reset_work);
	cancel_work_sync(&vgpu->back_work);
	vgpu_queues_kill(vgpu);
	virtio_reset_device(vdev);
	vgpu_queues_stop(vgpu);
	devres_release_group(vdev->dev.parent, vdev);
}

static const struct virtio_device_id ids[] = {
	{ VIRTIO_ID_GPU, VIRTIO_DEV_ANY_ID },
	{},
};
MODULE_DEVICE_TABLE(virtio, ids);

static unsigned int features[] = {
	VIRTIO_GPU_F_VIRGL,
	VIRTIO_GPU_F_EDID,
	VIRTIO_GPU_F_RESOURCE_UUID,
	VIRTIO_GPU_F_RESOURCE_BLOB,
	VIRTIO_GPU_F_CONTEXT_INIT,
	VGPU_F_EXTENSION,
	VGPU_F_STATS,
	VGPU_F_EVENTS,
	VGPU_F_SUBMIT_QUEUES,
	VGPU_F_LOSS,
};

static struct virtio_driver vgpu_virtio_driver = {
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.driver.dev_groups = vgpu_sysfs_groups,
	.id_table = ids,
	.validate = validate,
	.probe = probe,
	.remove = remove,
	.config_changed = config_changed,
	VGPU_SHUTDOWN_OPS
#ifdef CONFIG_PM_SLEEP
		.freeze = vgpu_freeze,
	.restore = vgpu_restore,
#endif
};

static int __init vgpu_module_init(void)
{
	return register_virtio_driver(&vgpu_virtio_driver);
}
module_init(vgpu_module_init);

static void __exit vgpu_module_exit(void)
{
	unregister_virtio_driver(&vgpu_virtio_driver);
	/* see vgpu_fence.c: the last timelines let go of us in a callback */
	rcu_barrier();
}
module_exit(vgpu_module_exit);

MODULE_DESCRIPTION(VGPU_DRIVER_DESC);
MODULE_AUTHOR("The vgpu founders");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION(VGPU_VERSION);
VGPU_IMPORT_DMA_BUF;
