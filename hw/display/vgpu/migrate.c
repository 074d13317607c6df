/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving a VM's graphics, and loading them: savevm, migration, and files.
 *
 * Theory of operation
 *
 * What the guest has made is the renderer's.  With the VM stopped QEMU sends SAVE
 * with one end of a socket pair, and the renderer writes into it what another
 * one needs: the object table, the commands in flight, the pixels of each
 * picture (backend/renderer/saved.h).  QEMU copies that into its stream as it
 * comes, in the same frames, and looks at no byte of it: a renderer may be taken
 * over by its guest, and its words are for the next renderer to judge, which sits
 * in a sandbox.  Bounded is how much it may write (the VM's GPU memory and
 * EXTRA_SIZE), and how long QEMU waits, as it holds the BQL: the renderer may have to
 * end what it has begun, which can take a while (x-save-patience-ms in all, and MIB_MS
 * for each MiB that came), but the thread of it that serves vhost-user has nothing to wait
 * for.  So when nothing came for LOOK_MS that one is asked for a sign of life by way
 * of link.c, and has some deadlines' time for it.
 *
 * At the other end it goes into a memory file, which the renderer there gets by
 * ADOPT, as if it took over from one that was lost (revive.c); from there on it is
 * the same path, with the same file kept until ADOPTED.  The renderer says by
 * JUDGED whether it can go on from that, and loading waits for it: a VM whose state
 * cannot be taken over goes on where it was.  What QEMU knows itself is fields of
 * the stream (VgpuSaved), checked before the first byte of the rest is read.
 *
 * What the renderer writes into guest memory while the VM is moved it marks in a
 * log of QEMU's vhost code; see backend/renderer/dirty.h.  The log is shared by
 * all vhost-user devices of the VM, so a hostile renderer may spoil what they
 * have marked: that is the guest's own memory, which it can write anyhow.
 *
 * OpenGL and Vulkan contexts cannot be moved.  The renderer tells of the first and
 * of the last (CONTEXTS).  With migration=block there is a blocker while there is
 * one, and a context that came too late for that makes saving fail, the VM going
 * on.  With migration=reset contexts are left behind: the guest sees what it sees
 * when its renderer was lost.  A driver that took VGPU_F_LOSS is told, and resets.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/virtio/virtio.h"
#include "migration/blocker.h"
#include "migration/qemu-file-types.h"
#include "migration/vmstate.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "vgpu.h"
#include "trace.h"

#include <poll.h>

#define JUDGE_MS 10000
#define MIB_MS   20
#define LOOK_MS  250
/* Seen on a busy host: the thread that answers came late by a second beside the one that copies pictures. */
#define LOOK_DEADLINES 4
/* Beside pixels: a table, and pages of memory that are charged to nobody. */
#define EXTRA_SIZE (64 * MiB)

#define SENTENCE_CONTEXTS                                                                                    \
    "vgpu: OpenGL or Vulkan contexts of the guest are in use and cannot be moved or saved: end the programs" \
    " that use them, or plug the device with migration=reset, which leaves them behind"

/* ---- whether it may be -------------------------------------------------------- */

bool vgpu_migrate_check(VgpuDevice *d, Error **errp)
{
    VgpuMigrate *m = &d->migrate;

    if (!m->property || g_str_equal(m->property, "block")) {
        m->leave_contexts = false;
    } else if (g_str_equal(m->property, "reset")) {
        m->leave_contexts = true;
    } else {
        error_setg(errp, "vgpu: migration=%s is not possible: block or reset", m->property);
        return false;
    }
    return true;
}

/* Adding one fails while the VM is being moved: then put_renderer() says no, and we are asked again. */
void vgpu_migrate_look(VgpuDevice *d)
{
    Error **blocker = &d->parent_obj.migration_blocker;
    bool want = d->migrate.contexts && !d->migrate.leave_contexts;

    if (want == !!*blocker) {
        return;
    }
    trace_vgpu_migrate_block(d, want);
    if (want) {
        error_setg(blocker, "%s", SENTENCE_CONTEXTS);
        migrate_add_blocker_internal(blocker, NULL);
    } else {
        migrate_del_blocker(blocker);
    }
}

bool vgpu_migrate_contexts(VgpuDevice *d, const void *payload, int *fd)
{
    struct vgpu_channel_contexts c;

    memcpy(&c, payload, sizeof(c));
    d->migrate.contexts = c.count > 0;
    vgpu_migrate_look(d);
    return true;
}

/* There is no renderer, so there are no contexts. */
void vgpu_migrate_lost(VgpuDevice *d)
{
    d->migrate.contexts = false;
    vgpu_migrate_look(d);
}

/* ---- saving ------------------------------------------------------------------- */

typedef struct SaveSource {
    VgpuDevice *d;
    int fd;
    uint64_t got;      /* bytes */
    int64_t waited_ns; /* in all */
    const char *why;   /* it failed */
} SaveSource;

/* One that stands still is lost by that. */
static bool save_alive(SaveSource *s)
{
    struct vhost_dev *v = &s->d->vhost;
    uint64_t features;

    if (s->d->rings_ready && !s->d->losing) {
        /* The main loop, which gives it back, does not run meanwhile: each look has all of it. */
        vgpu_link_set_budget(s->d->link, (int64_t)s->d->deadline_ms * LOOK_DEADLINES);
        v->vhost_ops->vhost_get_features(v, &features);
        vgpu_link_set_budget(s->d->link, s->d->deadline_ms);
    }
    if (!s->d->rings_ready || s->d->losing) {
        s->why = s->d->lost_why;
        return false;
    }
    return true;
}

/* False: there is no more to wait for. */
static bool save_wait(SaveSource *s)
{
    struct pollfd p = { .fd = s->fd, .events = POLLIN };
    int64_t start = get_clock();
    bool alive = RETRY_ON_EINTR(poll(&p, 1, LOOK_MS)) != 0 || save_alive(s);

    s->waited_ns += get_clock() - start;
    if (!alive) {
        return false;
    }
    if (s->waited_ns / SCALE_MS > s->d->migrate.patience_ms + (int64_t)(s->got / MiB) * MIB_MS) {
        s->why = "it is too slow: is it busy with work of the guest? Try again later";
        return false;
    }
    return true;
}

/* False when the other end is gone, or takes too long: s->why. */
static bool save_read(SaveSource *s, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len) {
        ssize_t n = recv(s->fd, p, len, MSG_DONTWAIT);

        if (n > 0) {
            p += n;
            len -= n;
            s->got += n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!save_wait(s)) {
                return false;
            }
        } else if (n == 0 || errno != EINTR) {
            s->why = "it ended";
            return false;
        }
    }
    return true;
}

static void put_frame(QEMUFile *f, const void *bytes, uint32_t size)
{
    qemu_put_be32(f, size);
    qemu_put_buffer(f, bytes, size);
}

/* The renderer's frames, checked and passed on. */
static int save_copy(VgpuDevice *d, QEMUFile *f, int fd)
{
    uint8_t *frame = d->migrate.frame;
    uint64_t total = 0, most = vgpu_memory_limit(d) + EXTRA_SIZE;
    SaveSource source = { .d = d, .fd = fd };
    struct vgpu_save_refused refused;
    char text[sizeof(refused.message)];
    uint32_t size;

    while (save_read(&source, &size, sizeof(size))) {
        if (size == VGPU_SAVE_REFUSED) {
            if (!save_read(&source, &refused, sizeof(refused))) {
                break;
            }
            vgpu_clean_text(text, sizeof(text), refused.message, sizeof(refused.message));
            source.why = text;
            break;
        }
        if (size > VGPU_SAVE_FRAME_MAX || size > most - total) {
            source.why = "it writes more than the VM can have";
            break;
        }
        if (size && !save_read(&source, frame, size)) {
            break;
        }
        put_frame(f, frame, size);
        total += size;
        if (!size) {
            trace_vgpu_save(d, total);
            return 0;
        }
    }
    error_report("vgpu: the graphics of %s of VM '%s' are not saved: the renderer: %s", d->device_name,
                 d->vm_name, source.why);
    return -EIO;
}

/* A state that was loaded, and not taken over since: what was loaded is what it is. */
static int save_again(VgpuDevice *d, QEMUFile *f)
{
    uint8_t *frame = d->migrate.frame;
    uint64_t total = 0;
    ssize_t n;

    while ((n = RETRY_ON_EINTR(pread(d->revive.table_fd, frame, VGPU_SAVE_FRAME_MAX, total))) > 0) {
        put_frame(f, frame, n);
        total += n;
    }
    put_frame(f, NULL, 0);
    trace_vgpu_save(d, total);
    return n < 0 ? -errno : 0;
}

static int save_ask(VgpuDevice *d, QEMUFile *f)
{
    struct vgpu_channel_save m = { .leave_contexts = d->migrate.leave_contexts };
    int pair[2], ret;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        error_report("vgpu: %s: no socket to save the graphics of VM '%s' by: %s", d->device_name, d->vm_name,
                     strerror(errno));
        return -EMFILE;
    }
    vgpu_channel_send_fd(d, VGPU_CHANNEL_SAVE, &m, sizeof(m), pair[1]);
    close(pair[1]);
    ret = save_copy(d, f, pair[0]);
    close(pair[0]);
    return ret;
}

/* Without a driver there are no objects. */
static bool has_objects(VgpuDevice *d)
{
    return VIRTIO_DEVICE(d)->status & VIRTIO_CONFIG_S_DRIVER_OK;
}

static int put_renderer(QEMUFile *f, void *opaque, size_t size, const VMStateField *field, JSONWriter *vmdesc)
{
    VgpuDevice *d = opaque;
    VgpuRevive *r = &d->revive;

    if (!has_objects(d)) {
        put_frame(f, NULL, 0);
        return 0;
    }
    if (r->table_fd >= 0 && r->form == VGPU_ADOPT_SAVED) {
        return save_again(d, f);
    }
    if (d->state != VGPU_STATE_RUNNING || d->losing) {
        error_report("vgpu: %s of VM '%s' has lost its renderer (%s), and there is nothing to save: try"
                     " again when its property 'state' is 'running'",
                     d->device_name, d->vm_name, vgpu_lost_why(d));
        return -EAGAIN;
    }
    if (d->migrate.contexts && !d->migrate.leave_contexts) {
        error_report("%s", SENTENCE_CONTEXTS);
        return -EBUSY;
    }
    return save_ask(d, f);
}

/* ---- loading ------------------------------------------------------------------ */

static bool G_GNUC_PRINTF(2, 3) refuse(VgpuDevice *d, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_report("vgpu: %s of VM '%s' cannot be loaded: %s", d->device_name, d->vm_name, why);
    return false;
}

/* This device is like the one that was saved, as far as the guest can see without a driver. */
static bool load_shape_fits(VgpuDevice *d)
{
    const VgpuSaved *s = &d->migrate.saved;

    if (s->outputs != d->parent_obj.conf.max_outputs) {
        return refuse(d,
                      "it was saved with max_outputs=%u, and has %u here: plug it with max_outputs=%u, in a"
                      " profile that allows as many",
                      s->outputs, d->parent_obj.conf.max_outputs, s->outputs);
    }
    if (s->submit_queues != d->submit_queues) {
        return refuse(d, "it was saved with submit-queues=%u, and has %u here: plug it with submit-queues=%u",
                      s->submit_queues, d->submit_queues, s->submit_queues);
    }
    if (s->window != d->window.size) {
        return refuse(d,
                      "it was saved with a window of %" PRIu64 " MiB, and has one of %" PRIu64
                      " MiB here: plug it with hostmem=%" PRIu64 "M",
                      s->window / MiB, d->window.size / MiB, s->window / MiB);
    }
    return true;
}

/* And with one. */
static bool load_fits(VgpuDevice *d)
{
    const VgpuSaved *s = &d->migrate.saved;
    uint64_t missing = vgpu_features_missing(d, s->features);

    if (missing) {
        return refuse(d,
                      "its guest uses what the renderer here does not serve (feature bits 0x%" PRIx64
                      "): give it a GPU and a profile with the same APIs as it had",
                      missing);
    }
    if (s->status_ok && !has_objects(d)) {
        return refuse(d, "the saved state says that the guest's driver runs, and that it does not");
    }
    if (d->state != VGPU_STATE_RUNNING || d->losing) {
        return refuse(d, "it has lost its renderer here: %s", vgpu_lost_why(d));
    }
    if ((s->features & (1ull << VIRTIO_GPU_F_VIRGL)) && s->capsets != d->channel.hello.num_capsets) {
        warn_report(
            "vgpu: %s of VM '%s' was saved with %u kinds of 3D contexts, and the renderer here has %u:"
            " programs that the guest starts may fail until it is rebooted",
            d->device_name, d->vm_name, s->capsets, d->channel.hello.num_capsets);
    }
    return true;
}

/* All frames, into a memory file; -1: they are no good. */
static int load_file(VgpuDevice *d, QEMUFile *f, uint64_t *total)
{
    uint8_t *frame = d->migrate.frame;
    uint64_t most = vgpu_memory_limit(d) + EXTRA_SIZE;
    int fd = qemu_memfd_create("vgpu-saved", 0, false, 0, 0, NULL);

    *total = 0;
    if (fd < 0) {
        refuse(d, "no memory for the saved state of its graphics: %s", strerror(errno));
        return -1;
    }
    for (;;) {
        uint32_t size = qemu_get_be32(f);

        if (qemu_file_get_error(f) || size > VGPU_SAVE_FRAME_MAX) {
            refuse(d, "the saved state of its graphics ends early, or is damaged (behind byte %" PRIu64 ")",
                   *total);
            break;
        }
        if (size > most - *total) {
            refuse(d,
                   "it has more than the %" PRIu64 " MiB of graphics that its profile gives it here: choose a"
                   " larger profile",
                   vgpu_memory_limit(d) / MiB);
            break;
        }
        if (!size) {
            return fd;
        }
        if (qemu_get_buffer(f, frame, size) != size) {
            refuse(d, "the saved state of its graphics ends early (behind byte %" PRIu64 ")", *total);
            break;
        }
        if (RETRY_ON_EINTR(pwrite(fd, frame, size, *total)) != size) {
            refuse(d, "no memory for the saved state of its graphics: %s", strerror(errno));
            break;
        }
        *total += size;
    }
    close(fd);
    return -1;
}

bool vgpu_migrate_judged(VgpuDevice *d, const void *payload, int *fd)
{
    const struct vgpu_channel_judged *j = payload;
    VgpuMigrate *m = &d->migrate;

    if (!m->judging) {
        return false;
    }
    m->judging = false;
    m->accepted = j->ok;
    vgpu_clean_text(m->verdict, sizeof(m->verdict), j->message, sizeof(j->message));
    return true;
}

/* In the main loop's thread: that is where loading is done. */
static bool load_judge(VgpuDevice *d)
{
    VgpuMigrate *m = &d->migrate;
    int64_t end = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + JUDGE_MS;

    m->judging = true;
    m->accepted = false;
    vgpu_revive_load(d);
    while (m->judging && !d->losing && qemu_clock_get_ms(QEMU_CLOCK_REALTIME) < end) {
        struct pollfd p = { .fd = d->channel.fd, .events = POLLIN };

        poll(&p, 1, 20);
        vgpu_channel_read(d);
    }
    if (m->accepted) {
        return true;
    }
    if (m->judging && !d->losing) {
        vgpu_lose(d, VGPU_LOST_DEADLINE, "it did not say in %d ms what it thinks of a saved state", JUDGE_MS);
    }
    m->judging = false;
    return refuse(d, "%s", d->losing ? vgpu_lost_why(d) : m->verdict);
}

static int get_renderer(QEMUFile *f, void *opaque, size_t size, const VMStateField *field)
{
    VgpuDevice *d = opaque;
    uint64_t total;
    int fd;

    if (!load_fits(d)) {
        return -EINVAL;
    }
    fd = load_file(d, f, &total);
    if (fd < 0) {
        return -EINVAL;
    }
    trace_vgpu_load(d, total);
    if (!total) {
        close(fd);
        return d->migrate.saved.status_ok ? (refuse(d, "the saved state of its graphics is missing"), -EINVAL)
                                          : 0;
    }
    vgpu_revive_take(d, fd);
    if (!load_judge(d)) {
        vgpu_revive_drop(d);
        return -EINVAL;
    }
    return 0;
}

/* ---- the guest goes on --------------------------------------------------------- */

static void tell_guest(void *opaque)
{
    VgpuDevice *d = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(d);

    if (d->migrate.tell_loss && (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) && vgpu_guest_knows_loss(d)) {
        trace_vgpu_lost_tell(d);
        vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        virtio_notify_config(vdev);
    }
    d->migrate.tell_loss = false;
    if (d->migrate.tell_profile && virtio_vdev_has_feature(vdev, VGPU_F_EVENTS)) {
        trace_vgpu_event(d, VGPU_EVENT_PROFILE);
        d->parent_obj.virtio_config.events_read |= VGPU_EVENT_PROFILE;
        virtio_notify_config(vdev);
    }
    d->migrate.tell_profile = false;
    object_unref(OBJECT(d));
}

/* In a bottom half: virtio_set_status() stores the guest's own status when we are through. */
void vgpu_migrate_arrived(VgpuDevice *d)
{
    if (d->migrate.tell_loss || d->migrate.tell_profile) {
        object_ref(OBJECT(d));
        aio_bh_schedule_oneshot(qemu_get_aio_context(), tell_guest, d);
    }
}

/* ---- the stream ---------------------------------------------------------------- */

static int shape_pre_save(void *opaque)
{
    VgpuDevice *d = opaque;

    d->migrate.saved.outputs = d->parent_obj.conf.max_outputs;
    d->migrate.saved.submit_queues = d->submit_queues;
    d->migrate.saved.window = d->window.size;
    return 0;
}

static int shape_post_load(void *opaque, int version_id)
{
    return load_shape_fits(opaque) ? 0 : -EINVAL;
}

static int saved_pre_save(void *opaque)
{
    VgpuDevice *d = opaque;
    VgpuSaved *s = &d->migrate.saved;

    s->features = VIRTIO_DEVICE(d)->guest_features;
    s->capsets = d->channel.hello.num_capsets;
    s->events = d->parent_obj.virtio_config.events_read;
    s->contexts = d->migrate.contexts;
    s->status_ok = has_objects(d);
    return 0;
}

static int saved_post_load(void *opaque, int version_id)
{
    VgpuDevice *d = opaque;
    const VgpuSaved *s = &d->migrate.saved;

    d->parent_obj.virtio_config.events_read = s->events & (VIRTIO_GPU_EVENT_DISPLAY | VGPU_EVENT_PROFILE);
    d->migrate.tell_loss = s->contexts;
    d->migrate.tell_profile = true;
    return 0;
}

static const VMStateInfo renderer_info = {
    .name = "vgpu renderer",
    .get = get_renderer,
    .put = put_renderer,
};

/*
 * A section of its own that comes before those of all devices: what differs here shows
 * in the PCI function as well, of which QEMU's core says "Bad config data" only.
 */
static const VMStateDescription vmstate_shape = {
    .name = "vgpu-shape",
    .version_id = 1,
    .minimum_version_id = 1,
    .priority = MIG_PRI_PCI_BUS,
    .pre_save = shape_pre_save,
    .post_load = shape_post_load,
    .fields =
        (const VMStateField[]){ VMSTATE_UINT32(migrate.saved.outputs, VgpuDevice),
                                VMSTATE_UINT32(migrate.saved.submit_queues, VgpuDevice),
                                VMSTATE_UINT64(migrate.saved.window, VgpuDevice), VMSTATE_END_OF_LIST() },
};

bool vgpu_migrate_init(VgpuDevice *d, Error **errp)
{
    return vmstate_register_with_alias_id(VMSTATE_IF(d), VMSTATE_INSTANCE_ID_ANY, &vmstate_shape, d, -1, 0,
                                          errp) == 0;
}

void vgpu_migrate_fini(VgpuDevice *d)
{
    vmstate_unregister(VMSTATE_IF(d), &vmstate_shape, d);
}

/* The fields first: the rest is read when they are known to fit. */
const VMStateDescription vgpu_vmstate_saved = {
    .name = "vgpu-state",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = saved_pre_save,
    .post_load = saved_post_load,
    .fields = (const VMStateField[]){ VMSTATE_UINT64(migrate.saved.features, VgpuDevice),
                                      VMSTATE_UINT32(migrate.saved.capsets, VgpuDevice),
                                      VMSTATE_UINT32(migrate.saved.events, VgpuDevice),
                                      VMSTATE_BOOL(migrate.saved.contexts, VgpuDevice),
                                      VMSTATE_BOOL(migrate.saved.status_ok, VgpuDevice),
                                      {
                                          .name = "renderer",
                                          .version_id = 1,
                                          .info = &renderer_info,
                                          .flags = VMS_SINGLE,
                                      },
                                      VMSTATE_END_OF_LIST() },
};

const VMStateDescription vgpu_vmstate = {
    .name = "vgpu",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]){ VMSTATE_VIRTIO_DEVICE, VMSTATE_END_OF_LIST() },
};
