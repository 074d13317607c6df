/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Losing a renderer.  What comes then is in revive.c.
 *
 * vgpu_lose() may be called from anywhere: deep inside QEMU's vhost core, from
 * a channel handler, in a vCPU thread.  It only notes the cause (the first one
 * counts), makes the link answer by itself and schedules a bottom half, which
 * takes the device out of service when nobody is on its stack:
 * the rings are given back to QEMU (kicks of the guest then lead nowhere), the
 * sockets close, what it had mapped in the window goes, vgpud hears of it, the
 * log says what happened.  The VM runs on.
 *
 * A driver that took VGPU_F_LOSS hears of it: NEEDS_RESET in the device status,
 * with an interrupt, as long as there is no renderer and none on its way.  It
 * resets the device then, which brings it to vgpu_rejoin().
 *
 * A renderer that closes its sockets may have left last words on the gpu channel,
 * which count more than the end itself: vgpu_lost_why() looks for them.
 * Often the reset itself finds the renderer gone, as it has to stop the rings:
 * the bottom half is still to come then, and goes on with vgpu_rejoin().
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "vgpu.h"
#include "trace.h"

void vgpu_clean_text(char *dst, size_t dst_size, const char *src, size_t src_size)
{
    size_t i;

    for (i = 0; i < dst_size - 1 && i < src_size && src[i]; i++) {
        unsigned char c = src[i];

        dst[i] = c >= 0x20 && c != 0x7f ? c : ' ';
    }
    dst[i] = 0;
    /* Cut in the middle of a character, or none at all. */
    if (!g_utf8_validate(dst, -1, NULL)) {
        for (i = 0; dst[i]; i++) {
            dst[i] = (unsigned char)dst[i] < 0x80 ? dst[i] : '?';
        }
    }
}

void vgpu_lose(VgpuDevice *d, enum vgpu_lost_cause cause, const char *fmt, ...)
{
    va_list ap;

    if (d->losing || d->state == VGPU_STATE_LOST || d->state == VGPU_STATE_OFF) {
        return; /* e.g. vgpud's news of the end of a renderer that is gone */
    }
    d->losing = true;
    d->lost_cause = cause;
    va_start(ap, fmt);
    vsnprintf(d->lost_why, sizeof(d->lost_why), fmt, ap);
    va_end(ap);
    trace_vgpu_lose(d, cause, d->lost_why);
    if (d->link) {
        vgpu_link_kill(d->link);
    }
    /* While realize or a rejoin waits, they look at d->losing themselves. */
    qemu_bh_schedule(d->lost_bh);
}

const char *vgpu_lost_why(VgpuDevice *d)
{
    if (d->losing && d->lost_cause == VGPU_LOST_CLOSED) {
        vgpu_channel_last_words(d);
    }
    return d->lost_why;
}

bool vgpu_guest_knows_loss(VgpuDevice *d)
{
    return virtio_vdev_has_feature(VIRTIO_DEVICE(d), VGPU_F_LOSS);
}

static void lost_tell(void *opaque)
{
    VgpuDevice *d = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(d);

    if (d->state == VGPU_STATE_LOST && vgpu_guest_knows_loss(d) &&
        (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) && !(vdev->status & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        trace_vgpu_lost_tell(d);
        vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        virtio_notify_config(vdev);
    }
    object_unref(OBJECT(d));
}

/* From inside virtio_set_status() too, which stores the guest's own status when we are through. */
void vgpu_lost_tell_guest(VgpuDevice *d)
{
    if (d->state == VGPU_STATE_LOST && vgpu_guest_knows_loss(d)) {
        object_ref(OBJECT(d));
        aio_bh_schedule_oneshot(qemu_get_aio_context(), lost_tell, d);
    }
}

static const char *lost_outlook(VgpuDevice *d)
{
    if (d->reset_while_losing) {
        return "it was just reset and asks for a new one";
    }
    if (vgpu_guest_knows_loss(d)) {
        return "its driver is told, and resets it";
    }
    return vgpu_revive_will(d) ? "a new one is to take over"
                               : "the VM runs on without graphics until it is reset";
}

void vgpu_lost_drop_renderer(VgpuDevice *d)
{
    vgpu_rings_fini(d);
    vgpu_rings_rewind(d);
    vgpu_channel_close(d);
    vgpu_window_revoke(d);
    vgpu_stats_unmap(d);
    vgpu_migrate_lost(d);
    d->losing = false;
    qemu_bh_cancel(d->lost_bh);
}

static void lost_bh(void *opaque)
{
    VgpuDevice *d = opaque;
    enum vgpu_lost_cause cause = d->lost_cause;

    if (!d->losing || d->state != VGPU_STATE_RUNNING) {
        return;
    }
    trace_vgpu_lost(d, vgpu_lost_why(d));
    vgpu_revive_keep(d);
    vgpu_lost_drop_renderer(d);
    vgpu_set_state(d, VGPU_STATE_LOST);
    vgpu_attach_send_lost(d, cause);
    vgpu_console_leave(d);
    warn_report("vgpu: %s of VM '%s' lost its renderer (%s): %s", d->device_name, d->vm_name, d->lost_why,
                lost_outlook(d));
    if (d->reset_while_losing) {
        vgpu_rejoin(d);
    } else {
        vgpu_revive_soon(d);
    }
    vgpu_lost_tell_guest(d);
}

void vgpu_lost_init(VgpuDevice *d)
{
    /* Of the context that only the main loop polls: consoles change in its thread alone. */
    d->lost_bh = aio_bh_new(iohandler_get_aio_context(), lost_bh, d);
    d->losing = false;
    d->reset_while_losing = false;
}

void vgpu_lost_fini(VgpuDevice *d)
{
    qemu_bh_delete(d->lost_bh);
    d->lost_bh = NULL;
    d->losing = false;
}
