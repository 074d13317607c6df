/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Losing a renderer, and getting a new one.
 *
 * vgpu_lose() may be called from anywhere: deep inside QEMU's vhost core, from
 * a channel handler, in a vCPU thread.  It only notes the cause (the first one
 * counts), makes the link answer by itself and schedules a bottom half, which
 * takes the device out of service when nobody is on its stack:
 * the rings are given back to QEMU (kicks of the guest then lead nowhere), the
 * sockets close, what it had mapped in the window goes, vgpud hears of it, the
 * consoles and the log say what happened.
 * The VM runs on.
 *
 * vgpu_rejoin(), called at every reset of the device, asks for a new renderer:
 * a timer drives vgpu_attach_step(), then waits for HELLO; nothing blocks.  A
 * guest can reset its device as often as it likes, hence REJOIN_GAP_MS.
 * A renderer that closes its sockets may have left last words on the gpu channel,
 * which count more than the end itself: vgpu_lost_why() looks for them.
 * Often the reset itself finds the renderer gone, as it has to stop the rings:
 * the bottom half is still to come then, and goes on with the rejoin.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "vgpu.h"
#include "trace.h"

#define REJOIN_STEP_MS 20
#define REJOIN_GAP_MS  1000

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

static void lost_drop_renderer(VgpuDevice *d)
{
    vgpu_rings_fini(d);
    vgpu_channel_close(d);
    vgpu_window_revoke(d);
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
    lost_drop_renderer(d);
    vgpu_set_state(d, VGPU_STATE_LOST);
    vgpu_attach_send_lost(d, cause);
    vgpu_console_lost(d);
    warn_report("vgpu: %s of VM '%s' lost its renderer (%s): %s", d->device_name, d->vm_name, d->lost_why,
                d->reset_while_losing ? "it was just reset and asks for a new one"
                                      : "the VM runs on without graphics until it is reset");
    if (d->reset_while_losing) {
        vgpu_rejoin(d);
    }
}

/* ---- a new renderer ------------------------------------------------------- */

static void rejoin_again(VgpuDevice *d)
{
    timer_mod(d->rejoin_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + REJOIN_STEP_MS);
}

static void rejoin_failed(VgpuDevice *d, Error *err)
{
    const char *why = err ? error_get_pretty(err) : vgpu_lost_why(d);

    trace_vgpu_reattach(d, "failed");
    warn_report("vgpu: %s of VM '%s' got no new renderer (%s): the next reset tries again", d->device_name,
                d->vm_name, why);
    if (why != d->lost_why) {
        pstrcpy(d->lost_why, sizeof(d->lost_why), why);
    }
    lost_drop_renderer(d);
    vgpu_attach_watch(d);
    vgpu_set_state(d, VGPU_STATE_LOST);
    vgpu_console_lost(d);
    error_free(err);
}

static void rejoin_done(VgpuDevice *d)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);

    trace_vgpu_reattach(d, "done");
    vgpu_update_features(d);
    vgpu_block_migration(d, NULL);
    vgpu_link_watch(d->link);
    vgpu_channel_watch(d);
    vgpu_attach_watch(d);
    vgpu_set_state(d, VGPU_STATE_RUNNING);
    vgpu_window_announce(d);
    vgpu_console_push_modes(d);
    if (virtio_device_should_start(vdev, vdev->status)) {
        vgpu_rings_start(d); /* the guest was faster */
    }
}

static void rejoin_step(void *opaque)
{
    VgpuDevice *d = opaque;
    Error *err = NULL;
    int fd;

    if (d->channel.fd < 0) {
        int r = vgpu_attach_step(d, &err);

        if (r < 0) {
            rejoin_failed(d, err);
            return;
        } else if (r == 0) {
            rejoin_again(d);
            return;
        }
        trace_vgpu_reattach(d, "granted");
        if (!vgpu_attach_take(d, &err)) {
            rejoin_failed(d, err);
            return;
        }
        vgpu_channel_open(d, d->attach.fds[VGPU_ATTACH_FD_CHANNEL]);
        d->attach.fds[VGPU_ATTACH_FD_CHANNEL] = -1;
    }
    vgpu_channel_read(d);
    if (!d->losing && !d->channel.hello_seen) {
        if (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) < d->attach.expires) {
            rejoin_again(d);
            return;
        }
        vgpu_lose(d, VGPU_LOST_DEADLINE, "no greeting within %u ms", d->attach_deadline_ms);
    }
    if (d->losing) {
        vgpu_attach_send_lost(d, d->lost_cause);
        rejoin_failed(d, NULL);
        return;
    }
    fd = d->attach.fds[VGPU_ATTACH_FD_VHOST_USER];
    d->attach.fds[VGPU_ATTACH_FD_VHOST_USER] = -1;
    if (!vgpu_rings_init(d, fd, d->deadline_ms, &err)) {
        vgpu_attach_send_lost(d, d->losing ? d->lost_cause : VGPU_LOST_UNKNOWN);
        rejoin_failed(d, err);
        return;
    }
    rejoin_done(d);
}

void vgpu_rejoin(VgpuDevice *d)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (d->losing && d->state == VGPU_STATE_RUNNING) {
        d->reset_while_losing = true; /* lost_bh() calls again */
        return;
    }
    if (d->state != VGPU_STATE_LOST) {
        return;
    }
    trace_vgpu_reattach(d, "begin");
    d->reset_while_losing = false;
    vgpu_set_state(d, VGPU_STATE_STARTING);
    vgpu_attach_begin(d, true);
    now = MAX(now, d->rejoined + REJOIN_GAP_MS);
    d->rejoined = now;
    d->attach.expires = now + d->attach_deadline_ms;
    timer_mod(d->rejoin_timer, now);
}

void vgpu_lost_init(VgpuDevice *d)
{
    /* Of the context that only the main loop polls: consoles change in its thread alone. */
    d->lost_bh = aio_bh_new(iohandler_get_aio_context(), lost_bh, d);
    d->rejoin_timer = timer_new_ms(QEMU_CLOCK_REALTIME, rejoin_step, d);
    d->rejoined = INT32_MIN;
    d->losing = false;
    d->reset_while_losing = false;
}

void vgpu_lost_fini(VgpuDevice *d)
{
    qemu_bh_delete(d->lost_bh);
    timer_free(d->rejoin_timer);
    d->lost_bh = NULL;
    d->rejoin_timer = NULL;
    d->losing = false;
}
