/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtqueues are served by the renderer: vhost-user by QEMU's own core on
 * the socket of link.c.
 *
 * rings_ready: the vhost device exists (between vhost_dev_init and _cleanup).
 * rings_started: the renderer serves the guest's rings: the first two, and the
 * submit queues where its driver took them.
 * Nothing here reports a loss: link.c notices it and lost.c acts on it.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/virtio/virtio-bus.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "vgpu.h"
#include "trace.h"

/*
 * A ring that is no ring (not in RAM, chains that loop): the guest has to reset
 * the device.  It is told in a bottom half, as virtio_set_status() stores the
 * guest's own status after we return.  A guest can do that as often as it
 * likes, so it is traced and not logged.
 */
static void vgpu_rings_need_reset(void *opaque)
{
    VgpuDevice *d = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(d);

    if (vdev->broken) {
        vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        virtio_notify_config(vdev);
    }
    object_unref(OBJECT(d));
}

static void vgpu_rings_broken(VgpuDevice *d)
{
    VIRTIO_DEVICE(d)->broken = true;
    object_ref(OBJECT(d));
    aio_bh_schedule_oneshot(qemu_get_aio_context(), vgpu_rings_need_reset, d);
}

/* The renderer found a ring broken; QEMU's core would log a line and go on. */
static void vgpu_rings_error(EventNotifier *n)
{
    struct vhost_virtqueue *vq = container_of(n, struct vhost_virtqueue, error_notifier);
    VgpuDevice *d = container_of(vq->dev, VgpuDevice, vhost);

    if (event_notifier_test_and_clear(n) && d->rings_started && !VIRTIO_DEVICE(d)->broken) {
        trace_vgpu_rings_broken(d, vq - d->vqs);
        vgpu_rings_broken(d);
    }
}

bool vgpu_rings_init(VgpuDevice *d, int fd, int64_t budget_ms, Error **errp)
{
    Error *err = NULL;
    int ret;

    d->link = vgpu_link_new(d, fd);
    vgpu_link_set_budget(d->link, budget_ms);
    if (!qemu_chr_fe_init(&d->link_be, CHARDEV(d->link), errp)) {
        object_unref(OBJECT(d->link));
        d->link = NULL;
        return false;
    }
    if (!vhost_user_init(&d->vhost_user, &d->link_be, errp)) {
        goto fail;
    }
    memset(d->vqs, 0, sizeof(d->vqs));
    d->vhost = (struct vhost_dev){
        .nvqs = d->queues,
        .vqs = d->vqs,
        .vq_index_end = d->queues,
    };
    /* Cleans up after itself when it fails. */
    ret = vhost_dev_init(&d->vhost, &d->vhost_user, VHOST_BACKEND_TYPE_USER, 0, &err);
    if (ret >= 0 && !d->losing) {
        vgpu_link_set_budget(d->link, d->deadline_ms);
        for (int i = 0; i < d->queues; i++) {
            event_notifier_set_handler(&d->vqs[i].error_notifier, vgpu_rings_error);
        }
        d->rings_ready = true;
        return true;
    }
    if (ret >= 0) {
        vhost_dev_cleanup(&d->vhost);
    }
    if (d->losing) {
        error_free(err);
        error_setg(errp, "vgpu: the renderer did not get through its start: %s", vgpu_lost_why(d));
    } else {
        error_propagate_prepend(errp, err, "vgpu: ");
    }
    vhost_user_cleanup(&d->vhost_user);

fail:
    qemu_chr_fe_deinit(&d->link_be, true);
    d->link = NULL;
    return false;
}

static void vgpu_rings_release(VgpuDevice *d)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);
    BusState *qbus = qdev_get_parent_bus(DEVICE(d));
    VirtioBusClass *k = VIRTIO_BUS_GET_CLASS(qbus);

    k->set_guest_notifiers(qbus->parent, d->vhost.nvqs, false);
    vhost_dev_disable_notifiers(&d->vhost, vdev);
    d->vhost.nvqs = d->queues; /* those that cleaning up is for */
}

/* QEMU's own need, as of descriptors, that may be met in a moment: the next renderer is the next try. */
static void vgpu_rings_not_now(VgpuDevice *d, int ret)
{
    vgpu_lose(d, VGPU_LOST_UNKNOWN, "QEMU could not start the rings: %s", strerror(-ret));
}

void vgpu_rings_start(VgpuDevice *d)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);
    BusState *qbus = qdev_get_parent_bus(DEVICE(d));
    VirtioBusClass *k = VIRTIO_BUS_GET_CLASS(qbus);
    int ret, i;

    if (!d->rings_ready || d->rings_started || d->losing) {
        return;
    }
    d->vhost.nvqs = virtio_vdev_has_feature(vdev, VGPU_F_SUBMIT_QUEUES) ? d->queues : VGPU_QUEUE_SUBMIT;
    trace_vgpu_rings_start(d, vdev->guest_features, d->vhost.nvqs);
    ret = vhost_dev_enable_notifiers(&d->vhost, vdev);
    if (ret < 0) {
        d->vhost.nvqs = d->queues;
        vgpu_rings_not_now(d, ret);
        return;
    }
    ret = k->set_guest_notifiers(qbus->parent, d->vhost.nvqs, true);
    if (ret < 0) {
        vhost_dev_disable_notifiers(&d->vhost, vdev);
        d->vhost.nvqs = d->queues;
        vgpu_rings_not_now(d, ret);
        return;
    }
    d->vhost.acked_features = vdev->guest_features;
    ret = vhost_dev_start(&d->vhost, vdev, true);
    trace_vgpu_rings_started(d, ret);
    if (ret < 0) {
        vgpu_rings_release(d);
        if (ret == -EMFILE || ret == -ENFILE) {
            vgpu_rings_not_now(d, ret);
            return;
        }
        trace_vgpu_rings_broken(d, -1);
        vgpu_rings_broken(d);
        return;
    }
    d->rings_started = true;
    for (i = 0; i < d->vhost.nvqs; i++) {
        vhost_virtqueue_mask(&d->vhost, vdev, i, false);
        /* What was kicked while nobody served the ring is still in it. */
        event_notifier_set(virtio_queue_get_host_notifier(virtio_get_queue(vdev, i)));
    }
}

void vgpu_rings_stop(VgpuDevice *d)
{
    if (!d->rings_started) {
        return;
    }
    trace_vgpu_rings_stop(d);
    vhost_dev_stop(&d->vhost, VIRTIO_DEVICE(d), true);
    vgpu_rings_release(d);
    d->rings_started = false;
}

/*
 * What a dead link said of where the rings are was nothing.  From the used index on
 * nothing is lost, and a renderer that takes over knows what of that was taken.
 */
void vgpu_rings_rewind(VgpuDevice *d)
{
    for (int i = 0; i < d->queues; i++) {
        virtio_queue_restore_last_avail_idx(VIRTIO_DEVICE(d), i);
    }
}

void vgpu_rings_fini(VgpuDevice *d)
{
    if (!d->rings_ready) {
        return;
    }
    vgpu_rings_stop(d);
    d->rings_ready = false;
    vhost_dev_cleanup(&d->vhost);
    vhost_user_cleanup(&d->vhost_user);
    vgpu_link_kill(d->link);
    qemu_chr_fe_deinit(&d->link_be, true);
    d->link = NULL;
}
