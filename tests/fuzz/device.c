/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device-qemu.h"
#include "renderer/frame_limit.h"
#include "renderer/late.h"
#include "renderer/render.h"
#include "renderer/resource.h"
#include "renderer/scanout.h"

/* Its own fences are done by another thread: that long at most. */
#define FENCES_US (10 * G_USEC_PER_SEC)

typedef struct Asked {
    bool has_header, answered;
    uint32_t flags;
    uint64_t fence;
} Asked;

static Device *d;
static Options options = {
    .lease_fd = -1,
    .lease_call_fd = -1,
    .lease_wake_fd = -1,
    .vm_name = (char *)"fuzz",
    .profile = (char *)"fuzz",
    .gpu = (char *)"fuzz",
    .renderer = (char *)"null",
    .apis = (char *)"gl,vulkan",
    .gl = true,
    .vulkan = true,
    .max_outputs = DEVICE_OUTPUTS,
    .max_contexts = 8,
    .record_fd = -1,
    .null_submit_how = (char *)"burn",
};
static struct vgpu_stats *stats;
static Renderer *renderers[2];
static RendererOps null_ops; /* but for what it can be asked to do to its host */
static int vhost_end = -1, memory_fd[2];
static uint32_t generation;
static bool plugged;
static GArray *asked;        /* of Asked: its commands since the reset */
static GPtrArray *buffers;   /* what they lie in */
static unsigned descriptors; /* open, with no guest's */

/* Instead of log.c: nobody reads a million sentences. */
void log_init(const char *vm);
void log_say(const char *format, ...) G_GNUC_PRINTF(1, 2);
void log_guest(const char *format, ...) G_GNUC_PRINTF(1, 2);
void log_guest_loses(const char *format, ...) G_GNUC_PRINTF(1, 2);

void log_init(const char *vm)
{
}

void log_say(const char *format, ...)
{
}

void log_guest(const char *format, ...)
{
}

void log_guest_loses(const char *format, ...)
{
}

/* ---- vhost-user, from QEMU's end ---- */

typedef struct VhostHead {
    uint32_t request, flags, size;
} VhostHead;

static void vhost_say(uint32_t request, const void *payload, uint32_t size, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    VhostHead head = { request, 1, size };
    struct iovec iov[] = { { &head, sizeof(head) }, { (void *)payload, size } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
    }
    FUZZ_ASSERT(sendmsg(vhost_end, &msg, 0) == (ssize_t)(sizeof(head) + size));
    FUZZ_ASSERT(vhost_serve(d->vhost));
}

static void set_features(uint64_t features)
{
    vhost_say(VHOST_USER_SET_FEATURES, &features, sizeof(features), -1);
}

static void region(uint32_t request, unsigned i)
{
    uint64_t at = i ? DEVICE_PLUGGED : 0;
    uint64_t msg[5] = { 0, at, DEVICE_REGION, 0x7f0000000000ull + at, 0 };

    vhost_say(request, msg, sizeof(msg), request == VHOST_USER_ADD_MEM_REG ? memory_fd[i] : -1);
}

/* ---- its life ---- */

static uint32_t submit(Renderer *r, uint32_t ctx_id, void *commands, uint32_t size)
{
    /* NULL_HOARD: a test's way to take the host's memory */
    return *(const uint32_t *)commands == 0x52414f48u ? VIRTIO_GPU_RESP_ERR_UNSPEC
                                                      : renderer_null_ops.submit(r, ctx_id, commands, size);
}

static int new_memory(size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    FUZZ_ASSERT(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static void make(void)
{
    ChannelCallbacks callbacks = {
        .reset = front_reset,
        .window = front_window,
        .adopt = front_adopt,
        .save = front_save,
        .blob_done = front_blob_done,
        .wake_poll = front_wake,
        .idle = front_idle,
    };
    RendererConfig config;
    int pair[2];

    d = g_new0(Device, 1);
    callbacks.opaque = d;
    d->options = &options;
    d->stats = stats = mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FUZZ_ASSERT(stats != MAP_FAILED);
    d->table = table_new(new_memory(TABLE_SIZE), NULL);
    FUZZ_ASSERT(d->table && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhost_end = pair[1];
    d->vhost = vhost_new(pair[0], d->table, stats, NULL);
    FUZZ_ASSERT(d->vhost && gpu_time_init(&d->gpu_time, -1, -1, -1, NULL));
    ledger_init(&d->ledger, DEVICE_LIMIT, stats);
    vgpu_stats_set(&stats->memory_limit, DEVICE_LIMIT);
    d->front_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->channel = channel_new(qemu_connect(), DEVICE_OUTPUTS, &callbacks);
    window_init(&d->window);
    resources_init(d);
    contexts_init(d);
    frame_limit_init(&d->frame_limit);
    vhost_offer(d->vhost, ~0ull);
    render_config(d, &config);
    null_ops = renderer_null_ops;
    null_ops.submit = submit;
    renderers[DEVICE_NULL] = renderer_null_ops.create(&config, NULL);
    renderers[DEVICE_2D] = renderer_2d_ops.create(&config, NULL);
    FUZZ_ASSERT(renderers[DEVICE_NULL] && renderers[DEVICE_2D]);
    asked = g_array_new(FALSE, TRUE, sizeof(Asked));
    buffers = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < 2; i++) {
        memory_fd[i] = new_memory(DEVICE_REGION);
    }
    region(VHOST_USER_ADD_MEM_REG, 0);
    channel_hello(d->channel, &(struct vgpu_channel_hello){ .version = VGPU_CHANNEL_VERSION });
    device_channel(VGPU_CHANNEL_WINDOW, &(struct vgpu_channel_window){ DEVICE_WINDOW },
                   sizeof(struct vgpu_channel_window));
}

void device_begin(DeviceKind kind, uint64_t features)
{
    if (!d) {
        make();
        descriptors = fuzz_descriptors();
    }
    d->ops = kind == DEVICE_2D ? &renderer_2d_ops : &null_ops;
    d->renderer = renderers[kind];
    set_features(features | 1ull << 32);
    device_plug(true);
    device_reset();
}

/* ---- the guest ---- */

static void check_answer(const Element *e)
{
    Asked *a = &g_array_index(asked, Asked, e->vu.index);
    struct virtio_gpu_ctrl_hdr hdr;

    FUZZ_ASSERT(!a->answered && e->answer_size <= e->in_size);
    a->answered = true;
    if (e->answer_size < sizeof(hdr)) {
        FUZZ_ASSERT(!e->answer_size);
        return;
    }
    memcpy(&hdr, e->answer ? e->answer : e->inline_answer, sizeof(hdr));
    FUZZ_ASSERT(
        (hdr.type >= VIRTIO_GPU_RESP_OK_NODATA && hdr.type <= VIRTIO_GPU_RESP_OK_MAP_INFO) ||
        (hdr.type >= VIRTIO_GPU_RESP_ERR_UNSPEC && hdr.type <= VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER));
    FUZZ_ASSERT(hdr.type < VIRTIO_GPU_RESP_ERR_UNSPEC || e->answer_size == sizeof(hdr));
    if (a->has_header && (a->flags & VIRTIO_GPU_FLAG_FENCE)) {
        FUZZ_ASSERT((hdr.flags & VIRTIO_GPU_FLAG_FENCE) && hdr.fence_id == a->fence);
    } else {
        FUZZ_ASSERT(!hdr.flags && !hdr.fence_id);
    }
}

/* No ring runs, so answers are held: here they are looked at and taken. */
static void take_answers(void)
{
    Vhost *v = d->vhost;

    g_mutex_lock(&v->lock);
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        for (const Element *e = v->queue[q].held; e; e = e->next) {
            check_answer(e);
            element_write_answer(e);
        }
        queue_drop_held(v, q);
    }
    g_mutex_unlock(&v->lock);
}

static void check_books(void)
{
    uint64_t used = ledger_used(&d->ledger);

    /* a picture of a display is carried when it must be: each output has one at most */
    FUZZ_ASSERT(used <= DEVICE_LIMIT + LEDGER_RESERVE + DEVICE_OUTPUTS * 4096ull * 2160 * 4);
    FUZZ_ASSERT(!__atomic_load_n(&d->ledger.faults, __ATOMIC_RELAXED));
    FUZZ_ASSERT(vgpu_stats_get(&stats->resources) == g_hash_table_size(d->resources));
    FUZZ_ASSERT(d->window.maps <= VGPU_CHANNEL_BLOB_MAPS);
}

/* size bytes in pieces; data: NULL where the device is to write. */
static unsigned pieces(struct iovec *iov, const uint8_t *data, size_t size, uint8_t cut)
{
    unsigned n = 0;

    for (size_t at = 0; at < size; n++) {
        size_t len = n < 7 && (cut & 1u << n) ? MIN(size - at, (size_t)(n * 5 + 3)) : size - at;
        void *p = data ? g_memdup2(data + at, len) : g_malloc(len);

        g_ptr_array_add(buffers, p);
        iov[n] = (struct iovec){ p, len };
        at += len;
    }
    return n;
}

static Element *element_new(unsigned queue, const void *request, size_t size, size_t room, uint8_t cut)
{
    struct iovec iov[2][8];
    Element *e = calloc(1, sizeof(*e) + sizeof(iov)); /* element_free() is free() */

    e->vu.out_sg = (struct iovec *)(e + 1);
    e->vu.in_sg = e->vu.out_sg + G_N_ELEMENTS(iov[0]);
    e->vu.out_num = pieces(e->vu.out_sg, request, size, cut);
    e->vu.in_num = pieces(e->vu.in_sg, NULL, room, cut >> 1);
    e->out_size = size;
    e->in_size = room;
    e->queue = queue;
    e->generation = d->vhost->generation;
    e->memory = vhost_memory(d->vhost);
    e->vu.index = asked->len;
    return e;
}

void device_command(unsigned queue, const void *request, size_t size, size_t room, uint8_t cut,
                    unsigned tries)
{
    Element *e = element_new(queue, request, size, room, cut);
    struct virtio_gpu_ctrl_hdr hdr = { 0 };
    Asked a = { .has_header = size >= sizeof(hdr) };
    uint32_t hints;

    e->tries = tries;
    memcpy(&hdr, request, MIN(size, sizeof(hdr)));
    a.flags = hdr.flags;
    a.fence = hdr.fence_id;
    if (!order_may_run(d, e)) { /* it would wait in its ring */
        element_free(e);
        return;
    }
    g_array_append_val(asked, a);
    resources_follow_memory(d);
    /* as the render thread does it */
    hints = dispatch_hints(d, e);
    if (hints & COMMAND_REMOTE) {
        gpu_time_leave(d);
    }
    FUZZ_ASSERT(!(hints & COMMAND_GPU) || gpu_time_enter(d));
    FUZZ_ASSERT(!(hints & COMMAND_BRIEF) || gpu_time_brief(d));
    e = dispatch(d, e);
    order_ran(&d->order, queue);
    if (e) {
        e->next = NULL;
        queue_push(d->vhost, e);
    }
    frame_limit_work(d);
    scanout_catch_up(d);
    take_answers();
    check_books();
}

/* ---- QEMU ---- */

void device_channel(uint32_t request, const void *payload, uint32_t size)
{
    qemu_say(request, payload, size);
    FUZZ_ASSERT(channel_read(d->channel));
    take_answers();
}

void device_qemu(unsigned messages, bool refuse)
{
    while (messages--) {
        /* what did not fit into the socket comes when there is room */
        if (!qemu_hear(refuse) && (!channel_write(d->channel) || !qemu_hear(refuse))) {
            break;
        }
        FUZZ_ASSERT(channel_read(d->channel));
        scanout_catch_up(d);
        take_answers();
    }
    check_books();
}

void device_plug(bool plug)
{
    if (plugged == plug) {
        return;
    }
    plugged = plug;
    region(plug ? VHOST_USER_ADD_MEM_REG : VHOST_USER_REM_MEM_REG, 1);
    resources_follow_memory(d);
    check_books();
}

void device_reset(void)
{
    gpu_time_leave(d);
    qemu_reset(++generation);
    device_channel(VGPU_CHANNEL_RESET, &(struct vgpu_channel_reset){ .generation = generation },
                   sizeof(struct vgpu_channel_reset));
    render_reset(d);
    FUZZ_ASSERT(ledger_used(&d->ledger) == 0);
    FUZZ_ASSERT(!g_hash_table_size(d->resources) && !g_hash_table_size(d->contexts) && !d->backing_entries);
    FUZZ_ASSERT(!d->window.maps && !g_hash_table_size(d->window.orders) && !window_prepared(&d->window));
    g_array_set_size(asked, 0);
}

static bool all_fences_done(void)
{
    bool done;

    g_mutex_lock(&d->vhost->lock);
    done = !g_hash_table_size(d->vhost->fences);
    g_mutex_unlock(&d->vhost->lock);
    return done;
}

void device_end(void)
{
    gint64 end = g_get_monotonic_time() + FENCES_US;

    gpu_time_leave(d);
    device_qemu(G_MAXUINT, false);
    while (!all_fences_done()) {
        FUZZ_ASSERT(g_get_monotonic_time() < end);
        g_usleep(20);
    }
    take_answers();
    for (guint i = 0; i < asked->len; i++) {
        FUZZ_ASSERT(g_array_index(asked, Asked, i).answered);
    }
    device_reset();
    FUZZ_ASSERT(fuzz_descriptors() == descriptors);
    g_ptr_array_set_size(buffers, 0);
}
