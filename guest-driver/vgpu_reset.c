// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Loss and reset, suspend and resume.
 *
 * Theory of operation.  The device is lost when it says so (DEVICE_NEEDS_RESET,
 * virtio 1.2, section 2.1.2), when it breaks a ring, and when the machine goes
 * to sleep; from there the way is the same:
 *
 *	lose	the generation counts up: from that moment every context of user
 *		space says -EIO, and requests fail at once.
 *	down	the device is reset, so that it no longer writes anywhere.  What
 *		it had in flight fails: all fences signal, all waiters return.
 *		Mappings of host memory are revoked.
 *	up	features, rings, DRIVER_OK.  Objects that live in guest memory
 *		are made again on the host.
 *	back	requests are taken again: what was begun meanwhile goes on.
 *		The displays show their framebuffers.
 *
 * lose can happen anywhere; down and up sleep and run in a worker (in the
 * suspend and resume callbacks, there), under reset_lock.  A device that is
 * lost again is reset again, but not in a hurry.  That goes for one that is
 * lost before it has answered anything, too: so nothing that waits for an
 * answer runs under that lock or in that worker.
 *
 * Whose fault was it?  vgpu_stats.reset_cause says whether work hung.  Then the
 * contexts that had work on the host are guilty and the others are innocent; if
 * the host was to blame, all are innocent; else nobody knows.  The page that
 * says so comes with the next renderer: the first answer is when to read it.
 */
#include <linux/idr.h>
#include <linux/slab.h>

#include "vgpu_drv.h"
#include "vgpu_trace.h"

#define RETRY_MIN HZ
#define RETRY_MAX (30 * HZ)

/* Who comes while the device is lost waits for so long until it is back. */
#define BACK_TIMEOUT (10 * HZ)

void vgpu_lose(struct vgpu_device *vgpu, const char *why)
{
	if (xchg(&vgpu->lost, true))
		return;
	WRITE_ONCE(vgpu->generation, vgpu->generation + 1);
	vgpu_queues_kill(vgpu);
	trace_vgpu_lost(vgpu, why);
	/* a machine that goes down breaks its devices on purpose */
	if (system_state == SYSTEM_RESTART || system_state == SYSTEM_HALT ||
	    system_state == SYSTEM_POWER_OFF)
		return;
	drm_err(&vgpu->drm, "%s: it is going to be reset\n", why);
	queue_delayed_work(vgpu->workers, &vgpu->reset_work, 0);
}

/*
 * vgpu_reset_wait - for a device that is lost to be back; before the first call
 * of a program that has lost nothing.  Waits, killable.  0, -EIO, -ERESTARTSYS.
 */
int vgpu_reset_wait(struct vgpu_device *vgpu)
{
	long left;

	if (!READ_ONCE(vgpu->lost))
		return 0;
	left = wait_event_killable_timeout(vgpu->back, !READ_ONCE(vgpu->lost),
					   BACK_TIMEOUT);
	if (left < 0)
		return left;
	return left ? 0 : -EIO;
}

/* Which contexts had work on the device, before all of it fails. */
static void note_busy(struct vgpu_device *vgpu)
{
	struct drm_file *file;

	mutex_lock(&vgpu->drm.filelist_mutex);
	list_for_each_entry(file, &vgpu->drm.filelist, lhead) {
		struct vgpu_file *f = file->driver_priv;

		/* once is enough: after the first loss it has none */
		if (f && f->context && atomic_read(&f->context->in_flight) > 0)
			f->context->was_busy = true;
	}
	mutex_unlock(&vgpu->drm.filelist_mutex);
}

static u32 judge(const struct vgpu_context *context, u64 cause)
{
	switch (cause) {
	case VGPU_RESET_HANG:
	case VGPU_RESET_RESOURCE:
		return context->was_busy ? VGPU_RESET_STATUS_GUILTY :
					   VGPU_RESET_STATUS_INNOCENT;
	case VGPU_RESET_OPERATOR:
		return VGPU_RESET_STATUS_INNOCENT;
	default:
		return context->was_busy ? VGPU_RESET_STATUS_UNKNOWN :
					   VGPU_RESET_STATUS_INNOCENT;
	}
}

static u64 reset_cause(struct vgpu_device *vgpu)
{
	const struct vgpu_stats *stats = READ_ONCE(vgpu->stats);

	if (!stats || READ_ONCE(stats->magic) != VGPU_STATS_MAGIC)
		return VGPU_RESET_NONE;
	return READ_ONCE(stats->reset_cause);
}

static void judge_all(struct vgpu_device *vgpu, u64 cause)
{
	struct drm_file *file;

	mutex_lock(&vgpu->drm.filelist_mutex);
	list_for_each_entry(file, &vgpu->drm.filelist, lhead) {
		struct vgpu_file *f = file->driver_priv;

		/* the first loss is what counts: after it nothing ran */
		if (f && f->context && !f->context->status &&
		    vgpu_context_check(f->context))
			f->context->status = judge(f->context, cause);
	}
	mutex_unlock(&vgpu->drm.filelist_mutex);
}

/* With reset_lock held: nothing of the device is left. */
static void device_down(struct vgpu_device *vgpu)
{
	note_busy(vgpu);
	virtio_reset_device(vgpu->vdev);
	vgpu_queues_stop(vgpu);
	vgpu_objects_lost(vgpu);
}

static int negotiate(struct virtio_device *vdev)
{
	int ret;

	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	ret = vdev->config->finalize_features(vdev);
	if (ret)
		return ret;
	virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	if (!(vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_FEATURES_OK))
		return -ENODEV;
	return 0;
}

/* With reset_lock held: features are negotiated. */
static int device_up(struct vgpu_device *vgpu)
{
	int ret = vgpu_queues_start(vgpu);

	if (ret)
		return ret;
	virtio_device_ready(vgpu->vdev);
	vgpu_objects_restore(vgpu);
	return 0;
}

static bool needs_reset(struct vgpu_device *vgpu)
{
	struct virtio_device *vdev = vgpu->vdev;

	return vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* Open for business, unless it was lost again meanwhile. */
static void device_back(struct vgpu_device *vgpu)
{
	/* either the interrupt sees that we are back, or we see the status */
	smp_store_mb(vgpu->lost, false);
	wake_up_all(&vgpu->back);
	if (needs_reset(vgpu))
		vgpu_lose(vgpu, "the device has lost its renderer again");
}

/*
 * What waits for the next renderer, in a worker of its own: should that be lost
 * as well, it is the reset that ends these waits.
 */
void vgpu_back_work(struct work_struct *work)
{
	struct vgpu_device *vgpu =
		container_of(work, struct vgpu_device, back_work);
	struct virtio_gpu_resp_display_info *info;
	int index;

	if (!drm_dev_enter(&vgpu->drm, &index))
		return;
	info = kmalloc(sizeof(*info), GFP_KERNEL);
	if (info)
		vgpu_cmd_get_display_info(vgpu, info);
	kfree(info);

	/* lost again: the next reset brings us here once more */
	mutex_lock(&vgpu->reset_lock);
	if (READ_ONCE(vgpu->lost)) {
		mutex_unlock(&vgpu->reset_lock);
		goto out;
	}
	judge_all(vgpu, reset_cause(vgpu));
	mutex_unlock(&vgpu->reset_lock);
	wake_up_all(&vgpu->back);

	vgpu_stats_was_reset(vgpu);
	vgpu_kms_restore(vgpu);
	drm_info(&vgpu->drm,
		 "the device was reset: programs that used it have to be started again\n");
out:
	drm_dev_exit(index);
}

void vgpu_reset_work(struct work_struct *work)
{
	struct vgpu_device *vgpu =
		container_of(work, struct vgpu_device, reset_work.work);
	unsigned long since;
	int index, ret;

	if (!drm_dev_enter(&vgpu->drm, &index))
		return;
	mutex_lock(&vgpu->reset_lock);
	if (vgpu->asleep || !READ_ONCE(vgpu->lost))
		goto out;
	since = jiffies - vgpu->last_reset;
	if (vgpu->retry && since < vgpu->retry) {
		queue_delayed_work(vgpu->workers, &vgpu->reset_work,
				   vgpu->retry - since);
		goto out;
	}
	/* quick losses one after another: each waits longer */
	vgpu->retry = since < 2 * RETRY_MAX ?
			      clamp_t(unsigned long, 2 * vgpu->retry, RETRY_MIN,
				      RETRY_MAX) :
			      RETRY_MIN;
	vgpu->last_reset = jiffies;

	device_down(vgpu);
	ret = negotiate(vgpu->vdev) ?: device_up(vgpu);
	trace_vgpu_reset(vgpu, ret);
	if (ret) {
		drm_err(&vgpu->drm,
			"the device does not come back (%d): tried again in %u s\n",
			ret, jiffies_to_msecs(vgpu->retry) / 1000);
		virtio_reset_device(vgpu->vdev);
		queue_delayed_work(vgpu->workers, &vgpu->reset_work,
				   vgpu->retry);
		goto out;
	}
	atomic64_inc(&vgpu->resets);
	device_back(vgpu);
	queue_work(vgpu->workers, &vgpu->back_work);
out:
	mutex_unlock(&vgpu->reset_lock);
	drm_dev_exit(index);
}

/* ------------------------------------------------------ suspend and resume */

int vgpu_freeze(struct virtio_device *vdev)
{
	struct vgpu_device *vgpu = vdev->priv;
	int ret;

	ret = vgpu_kms_suspend(vgpu);
	if (ret)
		return ret;
	cancel_work_sync(&vgpu->config_work);
	cancel_work_sync(&vgpu->back_work);
	mutex_lock(&vgpu->reset_lock);
	vgpu->asleep = true;
	if (!xchg(&vgpu->lost, true))
		WRITE_ONCE(vgpu->generation, vgpu->generation + 1);
	vgpu_queues_kill(vgpu);
	device_down(vgpu);
	mutex_unlock(&vgpu->reset_lock);
	return 0;
}

int vgpu_restore(struct virtio_device *vdev)
{
	struct vgpu_device *vgpu = vdev->priv;
	int ret;

	mutex_lock(&vgpu->reset_lock);
	ret = device_up(vgpu);
	vgpu->asleep = false;
	if (!ret) {
		atomic64_inc(&vgpu->resets);
		judge_all(vgpu, VGPU_RESET_OPERATOR);
		device_back(vgpu);
		queue_work(vgpu->workers, &vgpu->config_work);
	} else {
		drm_err(&vgpu->drm,
			"the device does not come back from suspend (%d): it is going to be reset\n",
			ret);
		queue_delayed_work(vgpu->workers, &vgpu->reset_work, 0);
	}
	mutex_unlock(&vgpu->reset_lock);
	return vgpu_kms_resume(vgpu);
}

/* -------------------------------------------------------------- the ioctl */

int vgpu_reset_status_ioctl(struct drm_device *drm, void *data,
			    struct drm_file *file)
{
	struct vgpu_device *vgpu = to_vgpu(drm);
	struct drm_vgpu_reset_status *args = data;
	struct vgpu_file *f = file->driver_priv;
	long left;

	/* whoever has just seen -EIO wants to know how that ends */
	if (vgpu_context_check(f->context)) {
		left = wait_event_killable_timeout(vgpu->back,
						   READ_ONCE(f->context->status),
						   BACK_TIMEOUT);
		if (left < 0)
			return left;
	}
	mutex_lock(&vgpu->reset_lock);
	args->status = f->context->status;
	if (!args->status && vgpu_context_check(f->context))
		args->status = VGPU_RESET_STATUS_UNKNOWN;
	args->cause = reset_cause(vgpu);
	args->resets = atomic64_read(&vgpu->resets);
	mutex_unlock(&vgpu->reset_lock);
	return 0;
}
