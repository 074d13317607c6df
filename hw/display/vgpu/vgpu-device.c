/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-device: a virtio-gpu device whose commands a renderer process executes.
 *
 * QEMU answers the config space and draws the consoles; the virtqueues belong
 * to the renderer (rings.c).  QEMU parses no command.  realize is the only
 * place that waits for other processes, for x-attach-deadline-ms at most.  It
 * has two halves, as the size of a BAR depends on what vgpud says: vgpu-pci.c
 * calls vgpu_prepare() before it makes the function.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "hw/boards.h"
#include "hw/qdev-properties.h"
#include "migration/blocker.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "system/confidential-guest-support.h"
#include "vgpu.h"
#include "trace.h"

#include <poll.h>

#define VGPU_CTRL_QUEUE_SIZE   256
#define VGPU_CURSOR_QUEUE_SIZE 16
#define VGPU_SUBMIT_QUEUE_SIZE 256
#define VGPU_CAPSETS_MAX       32

/* Feature bits of the device type: 0 to 23 and 50 to 63. */
#define VGPU_OUR_FEATURES  (0x3fffull << 50)
#define VGPU_TYPE_FEATURES (0xffffffull | VGPU_OUR_FEATURES)

/* Those we know: anything else a renderer claims is not for our guests. */
#define VGPU_KNOWN_FEATURES                                                                                  \
    ((1ull << VIRTIO_GPU_F_VIRGL) | (1ull << VIRTIO_GPU_F_EDID) | (1ull << VIRTIO_GPU_F_RESOURCE_UUID) |     \
     (1ull << VIRTIO_GPU_F_RESOURCE_BLOB) | (1ull << VIRTIO_GPU_F_CONTEXT_INIT) |                            \
     (1ull << VGPU_F_EXTENSION) | (1ull << VGPU_F_SUBMIT_QUEUES))

static const char *const vgpu_state_names[] = {
    [VGPU_STATE_OFF] = "off",
    [VGPU_STATE_STARTING] = "starting",
    [VGPU_STATE_RUNNING] = "running",
    [VGPU_STATE_LOST] = "lost",
};

/* Nobody is told "running" of a renderer that is known to be gone. */
const char *vgpu_state_name(const VgpuDevice *d)
{
    bool gone = d->losing && d->state == VGPU_STATE_RUNNING;

    return vgpu_state_names[gone ? VGPU_STATE_LOST : d->state];
}

void vgpu_set_state(VgpuDevice *d, VgpuState state)
{
    trace_vgpu_state(d, vgpu_state_names[d->state], vgpu_state_names[state]);
    d->state = state;
}

/* vgpud may change it while the VM runs; a lost renderer's page is not looked at. */
uint64_t vgpu_memory_limit(const VgpuDevice *d)
{
    return d->state == VGPU_STATE_RUNNING ? vgpu_stats_get(&d->stats->memory_limit)
                                          : d->attach.grant.memory_limit;
}

uint64_t vgpu_memory_used(const VgpuDevice *d)
{
    return d->state == VGPU_STATE_RUNNING ? vgpu_stats_get(&d->stats->memory_used) : 0;
}

/* ---- features and config space ------------------------------------------- */

static uint64_t vgpu_type_features(VgpuDevice *d)
{
    uint64_t f = d->channel.hello.virtio_features & VGPU_KNOWN_FEATURES;

    if (!virtio_gpu_edid_enabled(d->parent_obj.conf)) {
        f &= ~(1ull << VIRTIO_GPU_F_EDID);
    }
    if (!d->window.size) {
        f &= ~(1ull << VIRTIO_GPU_F_RESOURCE_BLOB);
    }
    if (!d->submit_queues || !(f & (1ull << VGPU_F_EXTENSION))) {
        f &= ~(1ull << VGPU_F_SUBMIT_QUEUES);
    }
    if (f & (1ull << VGPU_F_EXTENSION)) { /* what QEMU does without the renderer's help */
        f |= 1ull << VGPU_F_EVENTS | 1ull << VGPU_F_LOSS;
        f |= d->stats_shown ? 1ull << VGPU_F_STATS : 0;
    }
    return f;
}

/*
 * Of the ring features only what the renderer's side said it can do; packed
 * rings, per-queue reset and an IOMMU it cannot do at all.
 */
static uint64_t vgpu_get_features(VirtIODevice *vdev, uint64_t features, Error **errp)
{
    VgpuDevice *d = VGPU_DEVICE(vdev);
    const uint64_t ring = (1ull << VIRTIO_RING_F_INDIRECT_DESC) | (1ull << VIRTIO_RING_F_EVENT_IDX);
    const uint64_t own =
        (1ull << VIRTIO_F_NOTIFY_ON_EMPTY) | (1ull << VIRTIO_F_ANY_LAYOUT) | (1ull << VIRTIO_F_VERSION_1);

    d->plug_features = features & (own | (ring & d->vhost.features));
    return d->plug_features | vgpu_type_features(d);
}

/* What the guest took: what stands on something else needs that as well. */
static int vgpu_validate_features(VirtIODevice *vdev)
{
    const uint64_t extension = 1ull << VGPU_F_EXTENSION, ours = VGPU_OUR_FEATURES & ~extension;
    uint64_t f = vdev->guest_features;

    if (((f & ours) && !(f & extension)) ||
        ((f & (1ull << VGPU_F_SUBMIT_QUEUES)) && !(f & (1ull << VGPU_F_LOSS)))) {
        return -EINVAL;
    }
    return 0;
}

void vgpu_update_features(VgpuDevice *d)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);

    vdev->host_features = (vdev->host_features & ~VGPU_TYPE_FEATURES) | vgpu_type_features(d);
}

uint64_t vgpu_features_missing(VgpuDevice *d, uint64_t features)
{
    return features & VGPU_TYPE_FEATURES & ~vgpu_type_features(d);
}

static void vgpu_get_config(VirtIODevice *vdev, uint8_t *config)
{
    VgpuDevice *d = VGPU_DEVICE(vdev);
    VirtIOGPUBase *b = VIRTIO_GPU_BASE(vdev);
    struct vgpu_config more = { .submit_queues = cpu_to_le32(d->submit_queues) };

    b->virtio_config.num_capsets = cpu_to_le32(MIN(d->channel.hello.num_capsets, VGPU_CAPSETS_MAX));
    memset(config, 0, vdev->config_len);
    memcpy(config, &b->virtio_config, sizeof(b->virtio_config));
    memcpy(config + VGPU_CONFIG_OFFSET, &more, sizeof(more));
}

static void vgpu_set_config(VirtIODevice *vdev, const uint8_t *config)
{
    VirtIOGPUBase *b = VIRTIO_GPU_BASE(vdev);
    struct virtio_gpu_config c;

    memcpy(&c, config, sizeof(c));
    b->virtio_config.events_read &= ~c.events_clear;
}

/*
 * vgpud tells when there is something to see; a vgpud that was restarted knows
 * nobody to tell, so it is looked at now and then as well.
 */
void vgpu_check_profile(VgpuDevice *d)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);
    uint64_t serial = vgpu_stats_get(&d->stats->profile_serial);

    if (d->state != VGPU_STATE_RUNNING || serial == d->profile_serial || serial & 1) {
        return;
    }
    d->profile_serial = serial;
    if (virtio_vdev_has_feature(vdev, VGPU_F_EVENTS)) {
        trace_vgpu_event(d, VGPU_EVENT_PROFILE);
        d->parent_obj.virtio_config.events_read |= VGPU_EVENT_PROFILE;
        virtio_notify_config(vdev);
    }
}

/* ---- the guest's driver comes and goes ------------------------------------ */

static void vgpu_set_status(VirtIODevice *vdev, uint8_t status)
{
    VgpuDevice *d = VGPU_DEVICE(vdev);

    trace_vgpu_set_status(d, status, vdev->vm_running);
    if (virtio_device_should_start(vdev, status) && !vdev->broken) {
        vgpu_rings_start(d);
        vgpu_migrate_arrived(d);
    } else {
        vgpu_rings_stop(d);
    }
    if (status & VIRTIO_CONFIG_S_DRIVER_OK) {
        vgpu_lost_tell_guest(d); /* it came while there was no renderer */
    }
}

static void vgpu_reset(VirtIODevice *vdev)
{
    VgpuDevice *d = VGPU_DEVICE(vdev);
    struct vgpu_channel_reset reset;

    virtio_gpu_base_reset(VIRTIO_GPU_BASE(vdev));
    d->parent_obj.virtio_config.events_read = 0;
    d->migrate.tell_loss = d->migrate.tell_profile = false;
    vgpu_window_revoke(d);
    reset = (struct vgpu_channel_reset){ .generation = ++d->generation };
    trace_vgpu_reset(d, reset.generation);
    if (d->state == VGPU_STATE_RUNNING && vgpu_stats_get(&d->stats->renew)) {
        vgpu_lose(d, VGPU_LOST_UNKNOWN, "vgpud has another one for this VM");
    } else if (d->state == VGPU_STATE_RUNNING) {
        d->window.generation = reset.generation;
        vgpu_channel_send(d, VGPU_CHANNEL_RESET, &reset, sizeof(reset));
    }
    vgpu_rejoin(d); /* also if stopping the rings or that message found it gone */
}

static bool vgpu_guest_notifier_pending(VirtIODevice *vdev, int idx)
{
    VgpuDevice *d = VGPU_DEVICE(vdev);

    if (idx < 0 || idx >= d->vhost.nvqs || !d->rings_ready) { /* VIRTIO_CONFIG_IRQ_IDX is -1 */
        return false;
    }
    return vhost_virtqueue_pending(&d->vhost, idx);
}

static void vgpu_guest_notifier_mask(VirtIODevice *vdev, int idx, bool mask)
{
    VgpuDevice *d = VGPU_DEVICE(vdev);

    if (idx < 0 || idx >= d->vhost.nvqs || !d->rings_ready) {
        return;
    }
    vhost_virtqueue_mask(&d->vhost, vdev, idx, mask);
}

static struct vhost_dev *vgpu_get_vhost(VirtIODevice *vdev)
{
    VgpuDevice *d = VGPU_DEVICE(vdev);

    return d->rings_ready ? &d->vhost : NULL;
}

/* ---- realize ---------------------------------------------------------------- */

static bool vgpu_check_text(const char *property, const char *value, size_t size, Error **errp)
{
    if (value && strlen(value) >= size) {
        error_setg(errp, "vgpu: %s=%s is too long: at most %zu bytes", property, value, size - 1);
        return false;
    }
    return true;
}

static bool vgpu_check_properties(VgpuDevice *d, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);
    struct virtio_gpu_base_conf *conf = &d->parent_obj.conf;

    if (conf->max_outputs < 1 || conf->max_outputs > VGPU_CHANNEL_MAX_SCANOUTS) {
        error_setg(errp, "vgpu: max_outputs=%u is not possible: 1 to %d", conf->max_outputs,
                   VGPU_CHANNEL_MAX_SCANOUTS);
        return false;
    }
    if (conf->xres < 1 || conf->xres > 16384 || conf->yres < 1 || conf->yres > 16384) {
        error_setg(errp, "vgpu: xres=%u,yres=%u is not possible: 1 to 16384 each", conf->xres, conf->yres);
        return false;
    }
    if (!vgpu_check_text("profile", d->profile, VGPU_NAME_MAX, errp) ||
        !vgpu_check_text("gpu", d->gpu, VGPU_NAME_MAX, errp) ||
        !vgpu_check_text("name", d->name, VGPU_VM_NAME_MAX, errp)) {
        return false;
    }
    if (d->submit_queues == VGPU_SUBMIT_QUEUES_AUTO) {
        d->submit_queues = MIN(current_machine->smp.cpus, VGPU_SUBMIT_QUEUES_WELL);
    }
    if (d->submit_queues > VGPU_SUBMIT_QUEUES_MAX) {
        error_setg(errp, "vgpu: submit-queues=%u is not possible: 0 to %d", d->submit_queues,
                   VGPU_SUBMIT_QUEUES_MAX);
        return false;
    }
    d->queues = VGPU_QUEUE_SUBMIT + d->submit_queues;
    if (d->deadline_ms < 10 || d->attach_deadline_ms < 10) {
        error_setg(errp,
                   "vgpu: deadline-ms=%u,x-attach-deadline-ms=%u is not possible: at least"
                   " 10 each",
                   d->deadline_ms, d->attach_deadline_ms);
        return false;
    }
    if (current_machine->cgs) {
        error_setg(errp,
                   "vgpu: a confidential guest (confidential-guest-support=%s) is not"
                   " supported: the renderer has to read the guest's memory",
                   object_get_canonical_path_component(OBJECT(current_machine->cgs)));
        return false;
    }
    if (virtio_host_has_feature(vdev, VIRTIO_F_IOMMU_PLATFORM)) {
        error_setg(errp, "vgpu: iommu_platform=on is not supported: the renderer reads the guest's"
                         " memory directly; leave iommu_platform=on away");
        return false;
    }
    return true;
}

/* The device's name for vgpud: its id, else its QOM path, made to fit. */
static void vgpu_name_device(VgpuDevice *d, DeviceState *proxy)
{
    g_autofree char *path = proxy->id ? g_strdup(proxy->id) : object_get_canonical_path(OBJECT(proxy));

    if (!path || strlen(path) >= sizeof(d->device_name)) {
        g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA1, path ?: "", -1);

        pstrcpy(d->device_name, sizeof(d->device_name), sum);
    } else {
        pstrcpy(d->device_name, sizeof(d->device_name), path);
    }
}

static void vgpu_wait(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    poll(&p, fd >= 0, 20);
}

static bool vgpu_get_renderer(VgpuDevice *d, Error **errp)
{
    int r;

    vgpu_attach_begin(d, false);
    while ((r = vgpu_attach_step(d, errp)) == 0) {
        vgpu_wait(d->attach.fd);
    }
    if (r < 0 || !vgpu_attach_take(d, errp)) {
        return false;
    }
    if (d->attach.grant.max_outputs && d->attach.grant.max_outputs < d->parent_obj.conf.max_outputs) {
        warn_report("vgpu: profile '%s' has %u outputs, max_outputs=%u was asked for: using %u",
                    d->attach.grant.profile, d->attach.grant.max_outputs, d->parent_obj.conf.max_outputs,
                    d->attach.grant.max_outputs);
        d->parent_obj.conf.max_outputs = d->attach.grant.max_outputs;
    }
    return true;
}

static bool vgpu_wait_for_hello(VgpuDevice *d, Error **errp)
{
    char text[sizeof(d->channel.hello.warning)];

    vgpu_channel_open(d, d->attach.fds[VGPU_ATTACH_FD_CHANNEL]);
    d->attach.fds[VGPU_ATTACH_FD_CHANNEL] = -1;
    for (;;) {
        vgpu_channel_read(d);
        if (d->losing) {
            error_setg(errp, "vgpu: the renderer did not get through its start: %s", vgpu_lost_why(d));
            return false;
        }
        if (d->channel.hello_seen) {
            break;
        }
        if (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) >= d->attach.expires) {
            error_setg(errp, "vgpu: the renderer did not greet within %u ms; vgpud's log says why",
                       d->attach_deadline_ms);
            return false;
        }
        vgpu_wait(d->channel.fd);
    }
    vgpu_clean_text(text, sizeof(text), d->channel.hello.warning, sizeof(d->channel.hello.warning));
    if (text[0]) {
        warn_report("vgpu: %s", text);
    }
    return true;
}

static bool vgpu_connect_rings(VgpuDevice *d, Error **errp)
{
    int64_t left = d->attach.expires - qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    int fd = d->attach.fds[VGPU_ATTACH_FD_VHOST_USER];

    d->attach.fds[VGPU_ATTACH_FD_VHOST_USER] = -1;
    return vgpu_rings_init(d, fd, MAX(left, d->deadline_ms), errp);
}

static void vgpu_init_virtio(VgpuDevice *d)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(d);

    d->parent_obj.virtio_config.num_scanouts = cpu_to_le32(d->parent_obj.conf.max_outputs);
    virtio_init(vdev, VIRTIO_ID_GPU, VGPU_CONFIG_OFFSET + sizeof(struct vgpu_config));
    /* No handlers: without a renderer nobody serves them. */
    virtio_add_queue(vdev, VGPU_CTRL_QUEUE_SIZE, NULL);
    virtio_add_queue(vdev, VGPU_CURSOR_QUEUE_SIZE, NULL);
    for (int i = 0; i < d->submit_queues; i++) {
        virtio_add_queue(vdev, VGPU_SUBMIT_QUEUE_SIZE, NULL);
    }
}

static void vgpu_go(VgpuDevice *d)
{
    vgpu_memory_watch(d);
    vgpu_link_watch(d->link);
    vgpu_channel_watch(d);
    vgpu_attach_watch(d);
    vgpu_set_state(d, VGPU_STATE_RUNNING);
    d->profile_serial = vgpu_stats_get(&d->stats->profile_serial);
    vgpu_window_announce(d);
    vgpu_console_push_modes(d);
}

/* Undoes whatever of realize was done. */
static void vgpu_teardown(VgpuDevice *d)
{
    vgpu_memory_unwatch(d);
    vgpu_rings_fini(d);
    vgpu_channel_close(d);
    vgpu_window_fini(d);
    g_byte_array_unref(d->channel.out);
    d->channel.out = NULL;
    timer_free(d->ping_timer);
    d->ping_timer = NULL;
    vgpu_attach_fini(d);
    vgpu_lost_fini(d);
    vgpu_revive_fini(d);
    migrate_del_blocker(&d->parent_obj.migration_blocker);
    vgpu_set_state(d, VGPU_STATE_OFF);
}

bool vgpu_prepare(VgpuDevice *d, DeviceState *proxy, Error **errp)
{
    if (!vgpu_check_properties(d, errp) || !vgpu_migrate_check(d, errp) || !vgpu_memory_check(d, errp)) {
        return false;
    }
    vgpu_name_device(d, proxy);
    trace_vgpu_realize(d, d->name ?: "", d->device_name, d->profile);
    vgpu_attach_init(d);
    vgpu_channel_init(d);
    vgpu_lost_init(d);
    vgpu_revive_init(d);
    vgpu_set_state(d, VGPU_STATE_STARTING);
    if (!vgpu_stats_init(d, errp) || !vgpu_get_renderer(d, errp) || !vgpu_wait_for_hello(d, errp) ||
        !vgpu_window_choose(d, errp)) {
        vgpu_teardown(d);
        return false;
    }
    return true;
}

void vgpu_abandon(VgpuDevice *d)
{
    if (d->state != VGPU_STATE_OFF) {
        vgpu_teardown(d);
    }
}

static void vgpu_device_realize(DeviceState *qdev, Error **errp)
{
    VgpuDevice *d = VGPU_DEVICE(qdev);

    if (d->state == VGPU_STATE_OFF && !vgpu_prepare(d, qdev_get_parent_bus(qdev)->parent, errp)) {
        return;
    }
    if (!vgpu_window_init(d, errp) || !vgpu_connect_rings(d, errp) || !vgpu_migrate_init(d, errp)) {
        vgpu_teardown(d);
        return;
    }
    vgpu_init_virtio(d);
    vgpu_console_init(d, errp);
    vgpu_go(d);
    trace_vgpu_realized(d, vgpu_type_features(d), vgpu_memory_limit(d));
}

static void vgpu_device_unrealize(DeviceState *qdev)
{
    VgpuDevice *d = VGPU_DEVICE(qdev);

    trace_vgpu_unrealize(d);
    /* First what the renderer can reach: stopping the rings is an exchange with it. */
    vgpu_rings_fini(d);
    vgpu_channel_close(d);
    vgpu_console_fini(d);
    vgpu_migrate_fini(d);
    vgpu_teardown(d);
    for (int i = VGPU_QUEUE_SUBMIT; i < d->queues; i++) {
        virtio_del_queue(VIRTIO_DEVICE(d), i);
    }
    virtio_gpu_base_device_unrealize(qdev);
}

/* ---- QOM ---------------------------------------------------------------------- */

static char *vgpu_get_state(Object *obj, Error **errp)
{
    return g_strdup(vgpu_state_name(VGPU_DEVICE(obj)));
}

static void vgpu_get_limit(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    uint64_t value = vgpu_memory_limit(VGPU_DEVICE(obj));

    visit_type_uint64(v, name, &value, errp);
}

static void vgpu_get_used(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    uint64_t value = vgpu_memory_used(VGPU_DEVICE(obj));

    visit_type_uint64(v, name, &value, errp);
}

static const Property vgpu_properties[] = {
    VIRTIO_GPU_BASE_PROPERTIES(VgpuDevice, parent_obj.conf),
    DEFINE_PROP_STRING("profile", VgpuDevice, profile),
    DEFINE_PROP_STRING("gpu", VgpuDevice, gpu),
    DEFINE_PROP_STRING("socket", VgpuDevice, socket),
    DEFINE_PROP_STRING("name", VgpuDevice, name),
    DEFINE_PROP_SIZE("hostmem", VgpuDevice, hostmem, 0),
    DEFINE_PROP_UINT16("submit-queues", VgpuDevice, submit_queues, VGPU_SUBMIT_QUEUES_AUTO),
    DEFINE_PROP_UINT32("deadline-ms", VgpuDevice, deadline_ms, 1000),
    DEFINE_PROP_UINT32("x-attach-deadline-ms", VgpuDevice, attach_deadline_ms, 10000),
    DEFINE_PROP_STRING("migration", VgpuDevice, migrate.property),
    DEFINE_PROP_UINT32("x-save-patience-ms", VgpuDevice, migrate.patience_ms, 10000),
    DEFINE_PROP_BOOL("x-revive", VgpuDevice, revive.enabled, true),
};

static const char *const vgpu_property_help[][2] = {
    { "profile", "the share of the GPU: a profile of vgpud, see 'vgpuctl profiles'" },
    { "gpu", "which GPU of the host (default: vgpud chooses)" },
    { "socket", "vgpud's socket (default: " VGPU_SOCKET_SYSTEM ", then $XDG_RUNTIME_DIR/" VGPU_SOCKET_USER
                ", then that of a vgpud this user started without XDG_RUNTIME_DIR)" },
    { "name", "the VM's name for operators (default: that of -name, else its UUID)" },
    { "hostmem", "size of the window in which the guest sees host memory, a power of two"
                 " (default: at least twice the profile's memory)" },
    { "max_outputs", "how many monitors, 1 to 16" },
    { "xres", "width in pixels that the first monitor prefers" },
    { "yres", "height in pixels that the first monitor prefers" },
    { "edid", "give each monitor an EDID" },
    { "submit-queues", "virtqueues for submits of a guest that has vgpu's own driver, 0 to 8"
                       " (default: one for each vCPU, 4 at most)" },
    { "deadline-ms", "the longest that QEMU waits for the renderer before it counts as lost" },
    { "x-attach-deadline-ms", "the longest that plugging the device waits for vgpud and renderer" },
    { "migration", "with OpenGL or Vulkan contexts of the guest in use: block (the default) refuses to move"
                   " or save the VM, reset leaves them behind as if the renderer had been lost" },
    { "x-save-patience-ms", "the longest that saving the VM waits in all for a renderer that lives" },
    { "x-revive", "take a new renderer when one is lost; off: at the next reset only" },
};

static void vgpu_init(Object *obj)
{
    VGPU_DEVICE(obj)->profile = g_strdup("full");
}

static void vgpu_finalize(Object *obj)
{
    vgpu_window_free(VGPU_DEVICE(obj));
    vgpu_stats_free(VGPU_DEVICE(obj));
}

static void vgpu_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    /* The base class says no because its unrealize leaves consoles behind. */
    dc->hotpluggable = true;
    dc->desc = "a share of the host's GPU, as a virtio-gpu device";
    dc->vmsd = &vgpu_vmstate;
    vdc->vmsd = &vgpu_vmstate_saved;
    vdc->realize = vgpu_device_realize;
    vdc->unrealize = vgpu_device_unrealize;
    vdc->get_features = vgpu_get_features;
    vdc->validate_features = vgpu_validate_features;
    vdc->get_config = vgpu_get_config;
    vdc->set_config = vgpu_set_config;
    vdc->set_status = vgpu_set_status;
    vdc->reset = vgpu_reset;
    vdc->guest_notifier_pending = vgpu_guest_notifier_pending;
    vdc->guest_notifier_mask = vgpu_guest_notifier_mask;
    vdc->get_vhost = vgpu_get_vhost;

    device_class_set_props(dc, vgpu_properties);
    for (int i = 0; i < ARRAY_SIZE(vgpu_property_help); i++) {
        object_class_property_set_description(klass, vgpu_property_help[i][0], vgpu_property_help[i][1]);
    }
    object_class_property_add_str(klass, "state", vgpu_get_state, NULL);
    object_class_property_add(klass, "memory-limit", "uint64", vgpu_get_limit, NULL, NULL, NULL);
    object_class_property_add(klass, "memory-used", "uint64", vgpu_get_used, NULL, NULL, NULL);
}

static const TypeInfo vgpu_info = {
    .name = TYPE_VGPU_DEVICE,
    .parent = TYPE_VIRTIO_GPU_BASE,
    .instance_size = sizeof(VgpuDevice),
    .instance_init = vgpu_init,
    .instance_finalize = vgpu_finalize,
    .class_init = vgpu_class_init,
};

static void vgpu_register(void)
{
    type_register_static(&vgpu_info);
}

type_init(vgpu_register)
