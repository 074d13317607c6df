/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Getting a new renderer, and what it takes over from a lost one.
 *
 * Theory of operation
 *
 * QEMU asks, as it knows first that the renderer is gone, and it alone knows when
 * the rings may go on.  vgpud decides: how often one VM gets a renderer (it is
 * another process's CPU time), and whether one whose work hung too often still
 * gets 3D.  A timer drives vgpu_attach_step(), then waits for HELLO; nothing blocks.
 *
 * A lost renderer is asked for again at once, without the guest.  When it does
 * not last (LASTS_MS; one that makes room for another is not meant), or does not come, that is tried AT_ONCE
 * times and then with pauses that double up to PAUSE_MOST_MS, for as long as it takes: a host on which vgpud
 * is being replaced is no reason to give up.  A guest that resets its device asks as well, RESET_GAP_MS apart
 * at least.
 *
 * What the guest has made is in the lost renderer's object table, a memfd that
 * QEMU holds and never looks into.  The new renderer gets it by ADOPT, checks it as
 * what it is, words of a process that the guest may have taken over, and says
 * ADOPTED when it has a table of its own that is as good.  One that is lost before
 * leaves the older table for the next; when TABLE_LOSSES were lost by the same
 * table, and not by what was QEMU's own doing, it is dropped.  A reset of the guest
 * drops it as well: its objects are gone.  The table's own generation tells whether
 * it is of before the last reset, in case its renderer was lost before it had read
 * RESET.
 *
 * The rings go on where they were.  QEMU can tell the used index only; which chains
 * were taken and not answered the new renderer finds in the table, and answers them.
 * What host memory showed in the window went with the renderer (lost.c).
 *
 * The guest has agreed to features, and is not asked again.  Without 3D what it
 * knows still works, and 3D commands are errors: that is served.  Without others it
 * is not: the device stays lost until the guest resets it.
 *
 * On the console the last picture stays.  After DARK_MS without a new renderer a
 * message takes its place.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "hw/virtio/virtio.h"
#include "vgpu.h"
#include "trace.h"

#define STEP_MS       10
#define RESET_GAP_MS  1000
#define LASTS_MS      2000
#define AT_ONCE       4
#define PAUSE_MS      500
#define PAUSE_MOST_MS 30000
#define DARK_MS       3000
#define TABLE_LOSSES  AT_ONCE /* others kill renderers too: two such blows in a row are no proof */

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/* ---- what the next one takes over ----------------------------------------- */

static void revive_drop_table(VgpuDevice *d)
{
    VgpuRevive *r = &d->revive;

    if (r->table_fd >= 0) {
        close(r->table_fd);
        r->table_fd = -1;
    }
    r->form = VGPU_ADOPT_TABLE;
    r->losses = 0;
    r->adopting = false;
}

/* A guest whose driver resets a device that was lost starts from nothing. */
static bool revive_guest_resets(VgpuDevice *d)
{
    return vgpu_guest_knows_loss(d);
}

void vgpu_revive_keep(VgpuDevice *d)
{
    VgpuRevive *r = &d->revive;

    r->adopted_due = false;
    r->lost = now_ms();
    if (r->planned || r->lost - r->running >= LASTS_MS) {
        r->short_lived = 0;
    } else {
        r->short_lived++;
    }
    r->planned = false;
    if (!vgpu_revive_will(d) || d->reset_while_losing) {
        revive_drop_table(d);
    } else if (!r->adopting) {
        revive_drop_table(d);
        r->table_fd = d->objects_fd;
        r->generation = d->window.generation;
        d->objects_fd = -1;
    } else if (d->lost_cause != VGPU_LOST_UNKNOWN && ++r->losses >= TABLE_LOSSES) {
        warn_report("vgpu: %s of VM '%s': %u renderers were lost while they took over what the guest has:"
                    " the next one begins with nothing",
                    d->device_name, d->vm_name, r->losses);
        revive_drop_table(d);
    }
}

void vgpu_revive_load(VgpuDevice *d)
{
    VgpuRevive *r = &d->revive;
    struct vgpu_channel_adopt adopt = { .generation = r->generation, .form = r->form };

    trace_vgpu_adopt(d, r->generation, r->form);
    r->adopting = true;
    r->adopted_due = true;
    vgpu_channel_send_fd(d, VGPU_CHANNEL_ADOPT, &adopt, sizeof(adopt), r->table_fd);
}

static void revive_hand_over(VgpuDevice *d)
{
    if (d->revive.table_fd < 0) {
        vgpu_console_clear(d);
        return;
    }
    /* It was judged before, where it was loaded: this one may think of it what it likes. */
    d->migrate.judging = d->revive.form == VGPU_ADOPT_SAVED;
    vgpu_revive_load(d);
}

void vgpu_revive_take(VgpuDevice *d, int fd)
{
    VgpuRevive *r = &d->revive;

    revive_drop_table(d);
    r->table_fd = fd;
    r->form = VGPU_ADOPT_SAVED;
    r->generation = d->window.generation;
    r->lost = now_ms();
}

void vgpu_revive_drop(VgpuDevice *d)
{
    revive_drop_table(d);
}

bool vgpu_revive_adopted(VgpuDevice *d, const void *payload, int *fd)
{
    VgpuRevive *r = &d->revive;
    struct vgpu_channel_adopted m;

    memcpy(&m, payload, sizeof(m));
    if (!r->adopted_due) {
        return false;
    }
    r->adopted_due = false;
    trace_vgpu_adopted(d, m.resources, m.lost, m.refused, m.descriptors);
    if (r->adopting && r->form == VGPU_ADOPT_SAVED) {
        info_report(
            "vgpu: %s of VM '%s' goes on from its saved state: %u objects of the guest are there again,"
            " %u are gone",
            d->device_name, d->vm_name, m.resources, m.lost);
        revive_drop_table(d);
    } else if (r->adopting) {
        info_report("vgpu: %s of VM '%s' has a new renderer after %" PRId64 " ms: %u objects of the guest"
                    " are there again, %u are gone",
                    d->device_name, d->vm_name, now_ms() - r->lost, m.resources, m.lost);
        revive_drop_table(d);
    }
    return true;
}

/* ---- asking ---------------------------------------------------------------- */

static void revive_again(VgpuDevice *d)
{
    timer_mod(d->revive.timer, now_ms() + STEP_MS);
}

bool vgpu_revive_will(VgpuDevice *d)
{
    return d->revive.enabled && !revive_guest_resets(d);
}

static int64_t revive_pause(const VgpuRevive *r)
{
    unsigned n = r->short_lived < AT_ONCE ? 0 : MIN(r->short_lived - AT_ONCE, 16);

    return r->short_lived < AT_ONCE ? 0 : MIN((int64_t)PAUSE_MS << n, PAUSE_MOST_MS);
}

static void revive_dark(void *opaque)
{
    VgpuDevice *d = opaque;

    if (d->state != VGPU_STATE_RUNNING) {
        vgpu_console_lost(d);
    }
}

void vgpu_revive_soon(VgpuDevice *d)
{
    VgpuRevive *r = &d->revive;
    int64_t pause = revive_pause(r);

    if (!vgpu_revive_will(d)) {
        vgpu_console_lost(d);
        return;
    }
    trace_vgpu_revive(d, r->short_lived, pause);
    if (!timer_pending(r->dark_timer)) {
        timer_mod(r->dark_timer, MAX(r->lost + DARK_MS, now_ms()));
    }
    timer_mod(r->timer, now_ms() + pause);
}

/* From now on there is one on its way, though it may be asked for a little later. */
static void revive_begin(VgpuDevice *d, int64_t when)
{
    trace_vgpu_reattach(d, "begin");
    vgpu_set_state(d, VGPU_STATE_STARTING);
    vgpu_attach_begin(d, true);
    d->revive.asked = when;
    d->attach.expires = when + d->attach_deadline_ms;
    timer_mod(d->revive.timer, when);
}

static void revive_failed(VgpuDevice *d, Error *err)
{
    VgpuRevive *r = &d->revive;
    const char *why = err ? error_get_pretty(err) : vgpu_lost_why(d);
    bool will = vgpu_revive_will(d);

    trace_vgpu_reattach(d, "failed");
    /* For as long as it is the same once is enough. */
    if (r->short_lived <= 1 || !will || strcmp(why, d->lost_why) != 0) {
        warn_report("vgpu: %s of VM '%s' got no new renderer (%s): %s", d->device_name, d->vm_name, why,
                    will ? "it goes on asking" : "the next reset tries again");
    }
    if (why != d->lost_why) {
        pstrcpy(d->lost_why, sizeof(d->lost_why), why);
    }
    r->short_lived++;
    r->adopted_due = false;
    vgpu_lost_drop_renderer(d);
    vgpu_attach_watch(d);
    vgpu_set_state(d, VGPU_STATE_LOST);
    error_free(err);
    vgpu_revive_soon(d);
    vgpu_lost_tell_guest(d);
}

static void revive_done(VgpuDevice *d)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);

    trace_vgpu_reattach(d, "done");
    vgpu_update_features(d);
    vgpu_link_watch(d->link);
    vgpu_channel_watch(d);
    vgpu_attach_watch(d);
    vgpu_set_state(d, VGPU_STATE_RUNNING);
    vgpu_check_profile(d); /* another one since */
    timer_del(d->revive.dark_timer);
    d->revive.running = now_ms();
    vgpu_window_announce(d);
    revive_hand_over(d);
    vgpu_console_push_modes(d);
    if (virtio_device_should_start(vdev, vdev->status) && !vdev->broken) {
        vgpu_rings_start(d); /* the guest goes on, or was faster */
    }
}

/* Of the features that the guest has taken, those whose commands are not just errors. */
static bool revive_serves(VgpuDevice *d, Error **errp)
{
    const uint64_t only_3d = (1ull << VIRTIO_GPU_F_VIRGL) | (1ull << VIRTIO_GPU_F_CONTEXT_INIT);
    uint64_t missing = vgpu_features_missing(d, VIRTIO_DEVICE(d)->guest_features);

    if (missing & ~only_3d) {
        error_setg(errp,
                   "it does not serve what the guest uses (feature bits 0x%" PRIx64
                   "): a reset of the VM lets"
                   " them agree anew",
                   missing);
        return false;
    }
    if (missing) {
        warn_report("vgpu: %s of VM '%s': the new renderer has no 3D: new programs of the guest get none"
                    " until the VM is reset",
                    d->device_name, d->vm_name);
    }
    return true;
}

static bool revive_connect(VgpuDevice *d, Error **errp)
{
    int fd = d->attach.fds[VGPU_ATTACH_FD_VHOST_USER];

    d->attach.fds[VGPU_ATTACH_FD_VHOST_USER] = -1;
    return vgpu_rings_init(d, fd, d->deadline_ms, errp);
}

/* 1: vgpud's answer is here and the renderer has greeted; 0: not yet; -1: no. */
static int revive_wait(VgpuDevice *d, Error **errp)
{
    if (d->channel.fd < 0) {
        int r = vgpu_attach_step(d, errp);

        if (r <= 0) {
            return r;
        }
        trace_vgpu_reattach(d, "granted");
        if (!vgpu_attach_take(d, errp)) {
            return -1;
        }
        vgpu_channel_open(d, d->attach.fds[VGPU_ATTACH_FD_CHANNEL]);
        d->attach.fds[VGPU_ATTACH_FD_CHANNEL] = -1;
    }
    vgpu_channel_read(d);
    if (!d->losing && !d->channel.hello_seen) {
        if (now_ms() < d->attach.expires) {
            return 0;
        }
        vgpu_lose(d, VGPU_LOST_DEADLINE, "no greeting within %u ms", d->attach_deadline_ms);
    }
    if (d->losing) {
        vgpu_attach_send_lost(d, d->lost_cause);
        return -1;
    }
    return 1;
}

static void revive_step(void *opaque)
{
    VgpuDevice *d = opaque;
    Error *err = NULL;
    int r;

    if (d->state == VGPU_STATE_LOST) {
        revive_begin(d, now_ms()); /* and here again at once */
        return;
    }
    if (d->state != VGPU_STATE_STARTING) {
        return;
    }
    r = revive_wait(d, &err);
    if (r == 0) {
        revive_again(d);
    } else if (r < 0) {
        revive_failed(d, err);
    } else if (!revive_serves(d, &err) || !revive_connect(d, &err)) {
        vgpu_attach_send_lost(d, d->losing ? d->lost_cause : VGPU_LOST_UNKNOWN);
        revive_failed(d, err);
    } else {
        revive_done(d);
    }
}

void vgpu_rejoin(VgpuDevice *d)
{
    int64_t now = now_ms();

    revive_drop_table(d);
    if (d->losing && d->state == VGPU_STATE_RUNNING) {
        d->reset_while_losing = true; /* lost_bh() calls again */
        return;
    }
    if (d->state != VGPU_STATE_LOST) {
        return;
    }
    d->reset_while_losing = false;
    if (!timer_pending(d->revive.dark_timer)) {
        timer_mod(d->revive.dark_timer, MAX(now, d->revive.lost + DARK_MS));
    }
    revive_begin(d, MAX(now, d->revive.asked + RESET_GAP_MS));
}

void vgpu_revive_init(VgpuDevice *d)
{
    VgpuRevive *r = &d->revive;

    r->timer = timer_new_ms(QEMU_CLOCK_REALTIME, revive_step, d);
    r->dark_timer = timer_new_ms(QEMU_CLOCK_REALTIME, revive_dark, d);
    r->asked = INT32_MIN;
    r->running = now_ms();
    r->table_fd = -1;
    r->short_lived = 0;
}

void vgpu_revive_fini(VgpuDevice *d)
{
    VgpuRevive *r = &d->revive;

    revive_drop_table(d);
    timer_free(r->timer);
    timer_free(r->dark_timer);
    r->timer = r->dark_timer = NULL;
}
