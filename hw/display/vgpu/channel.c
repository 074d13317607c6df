/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gpu channel: framing of include/vgpu/channel.h in both directions.
 *
 * The renderer is taken for an enemy here.  A message is read in as many
 * pieces as it comes in; each recvmsg() asks for the rest of the header or the
 * rest of the payload and never for more, so a descriptor is known to belong to
 * the message being read.  The table below is consulted as soon as the header is
 * there: request, size and number of descriptors must fit before a byte of
 * payload is read.  Any violation is the end of this renderer (lost.c).
 *
 * At most CHANNEL_BURST messages are handled per turn of the main loop, or as
 * many as CHANNEL_BURST_NS lets begin (unmapping can take a while), and what the
 * socket does not take at once is kept, up to CHANNEL_OUT_MAX bytes.
 *
 * Keep-alive: a PING every CHANNEL_TICK_MS.  One that is not answered is followed
 * by others, CHANNEL_TICKS_MAX within the VM's hang timeout, and when all those
 * are unanswered the renderer is lost.  Ticks are counted, not time: a QEMU that
 * was itself stopped blames nobody.  The renderer's answer comes from a thread that
 * never waits for the GPU: one that says nothing for CHANNEL_PATIENCE_MAX_MS is gone,
 * however long its work may take; and who waits for a CPU has CHANNEL_PATIENCE_MIN_MS.
 *
 * Messages change consoles, so they are handled by the main loop's thread only,
 * and only between realize and unrealize; before, HELLO and FATAL are all there is.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "hw/core/cpu.h"
#include "qemu/main-loop.h"
#include "qemu/sockets.h"
#include "vgpu.h"
#include "trace.h"

#define CHANNEL_BURST      32
#define CHANNEL_BURST_NS   (2 * SCALE_MS)
#define CHANNEL_LAST_WORDS 1024 /* messages of one that is gone */
#define CHANNEL_OUT_MAX    (256 * 1024)
#define CHANNEL_TICK_MS    2000
#define CHANNEL_TICKS_MAX  5

#define CHANNEL_PATIENCE_MIN_MS 2000
#define CHANNEL_PATIENCE_MAX_MS (CHANNEL_TICKS_MAX * CHANNEL_TICK_MS)

typedef struct ChannelRule {
    uint32_t request;
    uint32_t size;
    int fds;
    bool (*handle)(VgpuDevice *d, const void *payload, int *fd);
} ChannelRule;

static bool channel_hello(VgpuDevice *d, const void *payload, int *fd)
{
    VgpuChannel *c = &d->channel;
    struct vgpu_channel_hello h;
    char text[sizeof(h.description)];

    memcpy(&h, payload, sizeof(h));
    if (c->hello_seen) {
        return false;
    }
    if (h.version != VGPU_CHANNEL_VERSION) {
        vgpu_lose(d, VGPU_LOST_PROTOCOL,
                  "it speaks version %u of the gpu channel and this QEMU"
                  " version %u: install a vgpu-renderer and a QEMU of the same vgpu release",
                  h.version, VGPU_CHANNEL_VERSION);
        return true;
    }
    vgpu_clean_text(text, sizeof(text), h.description, sizeof(h.description));
    memcpy(h.description, text, sizeof(text));
    c->hello = h;
    c->hello_seen = true;
    trace_vgpu_channel_hello(d, h.kind, h.virtio_features, text);
    return true;
}

/* Of that page the renderer could have written any word: it is held to the bounds. */
static int64_t channel_patience_ms(const VgpuDevice *d)
{
    uint64_t ns = vgpu_stats_get(&d->stats->hang_timeout_ns);

    return ns ? MIN(MAX(ns / SCALE_MS, CHANNEL_PATIENCE_MIN_MS), CHANNEL_PATIENCE_MAX_MS)
              : CHANNEL_PATIENCE_MAX_MS;
}

static bool channel_pong(VgpuDevice *d, const void *payload, int *fd)
{
    VgpuChannel *c = &d->channel;
    struct vgpu_channel_ping p;

    memcpy(&p, payload, sizeof(p));
    if (p.cookie > c->cookie) {
        return false;
    }
    if (c->unanswered) { /* there is time for the next */
        c->unanswered = 0;
        timer_mod(d->ping_timer, c->ticked + CHANNEL_TICK_MS);
    }
    if (c->notify_after && p.cookie >= c->notify_after) {
        /* The renderer knows the new modes: now the guest may ask for them. */
        c->notify_after = 0;
        d->parent_obj.virtio_config.events_read |= VIRTIO_GPU_EVENT_DISPLAY;
        virtio_notify_config(VIRTIO_DEVICE(d));
    }
    return true;
}

static bool channel_fatal(VgpuDevice *d, const void *payload, int *fd)
{
    const struct vgpu_channel_fatal *f = payload;
    bool planned = f->cause == VGPU_FATAL_PLANNED;
    const char *how = planned ? "" : "it gave up: ";
    char text[sizeof(f->message)];

    d->revive.planned |= planned;
    vgpu_clean_text(text, sizeof(text), f->message, sizeof(f->message));
    if (d->losing) { /* read by vgpu_channel_last_words() */
        snprintf(d->lost_why, sizeof(d->lost_why), "%s%s", how, text);
    } else {
        vgpu_lose(d, VGPU_LOST_CLOSED, "%s%s", how, text);
    }
    return true;
}

static const ChannelRule channel_rules[] = {
    { VGPU_CHANNEL_HELLO, sizeof(struct vgpu_channel_hello), 0, channel_hello },
    { VGPU_CHANNEL_SHM_UPDATE, sizeof(struct vgpu_channel_shm_update), 0, vgpu_console_shm_update },
    { VGPU_CHANNEL_BLOB_MAP, sizeof(struct vgpu_channel_blob_map), 1, vgpu_window_map },
    { VGPU_CHANNEL_BLOB_UNMAP, sizeof(struct vgpu_channel_blob_unmap), 0, vgpu_window_unmap },
    { VGPU_CHANNEL_SHM_SCANOUT, sizeof(struct vgpu_channel_shm_scanout), 1, vgpu_console_shm_scanout },
    { VGPU_CHANNEL_SCANOUT, sizeof(struct vgpu_channel_scanout), 0, vgpu_console_scanout },
    { VGPU_CHANNEL_DMABUF_SCANOUT2, sizeof(struct vgpu_channel_dmabuf_scanout2), 1,
      vgpu_console_dmabuf_scanout },
    { VGPU_CHANNEL_CURSOR_POS, sizeof(struct vgpu_channel_cursor_pos), 0, vgpu_console_cursor_pos },
    { VGPU_CHANNEL_CURSOR_POS_HIDE, sizeof(struct vgpu_channel_cursor_pos), 0, vgpu_console_cursor_hide },
    { VGPU_CHANNEL_CURSOR_UPDATE, sizeof(struct vgpu_channel_cursor_update), 0, vgpu_console_cursor_update },
    { VGPU_CHANNEL_PONG, sizeof(struct vgpu_channel_ping), 0, channel_pong },
    { VGPU_CHANNEL_FATAL, sizeof(struct vgpu_channel_fatal), 0, channel_fatal },
    { VGPU_CHANNEL_ADOPTED, sizeof(struct vgpu_channel_adopted), 0, vgpu_revive_adopted },
    { VGPU_CHANNEL_CONTEXTS, sizeof(struct vgpu_channel_contexts), 0, vgpu_migrate_contexts },
    { VGPU_CHANNEL_JUDGED, sizeof(struct vgpu_channel_judged), 0, vgpu_migrate_judged },
};

static const ChannelRule *channel_rule(uint32_t request)
{
    for (int i = 0; i < ARRAY_SIZE(channel_rules); i++) {
        if (channel_rules[i].request == request) {
            return &channel_rules[i];
        }
    }
    return NULL;
}

static void channel_drop_fd(VgpuChannel *c)
{
    if (c->in_fd >= 0) {
        close(c->in_fd);
        c->in_fd = -1;
    }
}

/* Keeps the one descriptor that may come; padding in a cmsg has room for two.  How many came. */
static size_t channel_take_fds(VgpuChannel *c, struct cmsghdr *cm, int *flags)
{
    size_t count = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(cm) + i * sizeof(fd), sizeof(fd));
        if (c->have || c->in_fd >= 0) {
            close(fd);
            *flags |= MSG_CTRUNC;
        } else {
            c->in_fd = fd;
        }
    }
    return count;
}

/* Some were left out: none has a place without one that has, unless QEMU could have none. */
static void channel_cut(VgpuDevice *d, size_t came)
{
    if (came) {
        vgpu_lose(d, VGPU_LOST_PROTOCOL, "it sent a descriptor that belongs to no message");
    } else {
        vgpu_lose(d, VGPU_LOST_UNKNOWN,
                  "QEMU has no descriptor left for what it sent: raise QEMU's limit of"
                  " open files (ulimit -n)");
    }
}

/*
 * Reads towards have == want.  1: there; 0: not yet; -1: the renderer is lost.
 * Only the first byte of a message may bring a descriptor, and one at most.
 */
static int channel_fill(VgpuDevice *d, size_t want)
{
    VgpuChannel *c = &d->channel;

    while (c->have < want) {
        union {
            struct cmsghdr hdr;
            char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = { c->in + c->have, want - c->have };
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = &control,
            .msg_controllen = sizeof(control),
        };
        struct cmsghdr *cm;
        size_t came = 0;
        ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return 0;
        }
        if (n <= 0) {
            vgpu_lose(d, VGPU_LOST_CLOSED, "it ended");
            return -1;
        }
        for (cm = CMSG_FIRSTHDR(&msg); cm; cm = CMSG_NXTHDR(&msg, cm)) {
            if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
                came += channel_take_fds(c, cm, &msg.msg_flags);
            }
        }
        if (msg.msg_flags & MSG_CTRUNC) {
            channel_cut(d, came);
            return -1;
        }
        c->have += n;
    }
    return 1;
}

/* 1: *rule's message is complete in in[]; 0: not yet; -1: the renderer is lost */
static int channel_next(VgpuDevice *d, const ChannelRule **next)
{
    VgpuChannel *c = &d->channel;
    struct vgpu_channel_hdr h;
    const ChannelRule *rule;
    int r = channel_fill(d, MAX(c->have, sizeof(h)));

    if (r <= 0) {
        return r;
    }
    memcpy(&h, c->in, sizeof(h));
    rule = channel_rule(h.request);
    if (!rule || h.flags || h.size != rule->size || rule->fds != (c->in_fd >= 0) ||
        (d->state == VGPU_STATE_STARTING && h.request != VGPU_CHANNEL_HELLO &&
         h.request != VGPU_CHANNEL_FATAL)) {
        vgpu_lose(d, VGPU_LOST_PROTOCOL,
                  "it sent gpu channel request 0x%x with %u bytes and %d"
                  " descriptors",
                  h.request, h.size, c->in_fd >= 0);
        return -1;
    }
    QEMU_BUILD_BUG_ON(sizeof(struct vgpu_channel_cursor_update) > VGPU_CHANNEL_MAX_PAYLOAD);
    r = channel_fill(d, sizeof(h) + rule->size);
    if (r <= 0) {
        return r;
    }
    trace_vgpu_channel_in(d, h.request, h.size, c->in_fd);
    c->have = 0;
    *next = rule;
    return 1;
}

/* 1: a message was handled; 0: none complete; -1: the renderer is lost */
static int channel_message(VgpuDevice *d)
{
    VgpuChannel *c = &d->channel;
    const ChannelRule *rule;
    int r = channel_next(d, &rule);

    if (r <= 0) {
        return r;
    }
    if (!rule->handle(d, c->in + sizeof(struct vgpu_channel_hdr), &c->in_fd)) {
        vgpu_lose(d, VGPU_LOST_PROTOCOL,
                  "it sent gpu channel request 0x%x with values out of"
                  " bounds",
                  rule->request);
    }
    channel_drop_fd(c);
    return d->losing ? -1 : 1;
}

void vgpu_channel_read(VgpuDevice *d)
{
    int64_t end = get_clock() + CHANNEL_BURST_NS;

    for (int i = 0; i < CHANNEL_BURST && (!i || get_clock() < end); i++) {
        if (d->losing || d->channel.fd < 0 || channel_message(d) <= 0) {
            return;
        }
        if (d->state == VGPU_STATE_STARTING) {
            return; /* that was HELLO; for the rest the device is not ready */
        }
    }
}

/* What it still wanted to show is dropped; a FATAL says why it ended. */
void vgpu_channel_last_words(VgpuDevice *d)
{
    VgpuChannel *c = &d->channel;
    const ChannelRule *rule;

    for (int i = 0; i < CHANNEL_LAST_WORDS && c->fd >= 0 && channel_next(d, &rule) > 0; i++) {
        if (rule->request == VGPU_CHANNEL_FATAL) {
            rule->handle(d, c->in + sizeof(struct vgpu_channel_hdr), &c->in_fd);
            i = CHANNEL_LAST_WORDS;
        }
        channel_drop_fd(c);
    }
}

static void channel_readable(void *opaque)
{
    /* A vCPU's thread that waits for a disk may poll the main loop's descriptors. */
    if (!current_cpu) {
        vgpu_channel_read(opaque);
    }
}

static void channel_flush(void *opaque);

static void channel_set_handlers(VgpuDevice *d)
{
    VgpuChannel *c = &d->channel;

    /* Not qemu_set_fd_handler(): HMP's screendump waits for us in aio_poll(). */
    aio_set_fd_handler(qemu_get_aio_context(), c->fd, channel_readable, c->out->len ? channel_flush : NULL,
                       NULL, NULL, d);
}

/* Writes what the socket takes. */
static void channel_drain(VgpuDevice *d)
{
    VgpuChannel *c = &d->channel;

    while (c->out->len && !d->losing) {
        ssize_t n = send(c->fd, c->out->data, c->out->len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0) {
            g_byte_array_remove_range(c->out, 0, n);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (!(n < 0 && errno == EINTR)) {
            vgpu_lose(d, VGPU_LOST_CLOSED, "it ended");
        }
    }
}

static void channel_flush(void *opaque)
{
    VgpuDevice *d = opaque;

    channel_drain(d);
    if (!d->losing) {
        channel_set_handlers(d);
    }
}

void vgpu_channel_send(VgpuDevice *d, uint32_t request, const void *payload, uint32_t size)
{
    VgpuChannel *c = &d->channel;
    struct vgpu_channel_hdr h = { .request = request, .size = size };
    bool was_empty;

    if (c->fd < 0 || d->losing) {
        return;
    }
    if (c->out->len + sizeof(h) + size > CHANNEL_OUT_MAX) {
        vgpu_lose(d, VGPU_LOST_DEADLINE, "it does not read its gpu channel");
        return;
    }
    trace_vgpu_channel_out(d, request, size);
    was_empty = c->out->len == 0;
    g_byte_array_append(c->out, (const uint8_t *)&h, sizeof(h));
    g_byte_array_append(c->out, payload, size);
    if (was_empty) {
        channel_drain(d);
        if (c->out->len && !d->losing) {
            channel_set_handlers(d);
        }
    }
}

void vgpu_channel_send_fd(VgpuDevice *d, uint32_t request, const void *payload, uint32_t size, int fd)
{
    VgpuChannel *c = &d->channel;
    struct vgpu_channel_hdr h = { .request = request, .size = size };
    union {
        struct cmsghdr hdr;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {};
    struct iovec iov[] = { { &h, sizeof(h) }, { (void *)payload, size } };
    struct msghdr msg = {
        .msg_iov = iov,
        .msg_iovlen = ARRAY_SIZE(iov),
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };

    control.hdr.cmsg_level = SOL_SOCKET;
    control.hdr.cmsg_type = SCM_RIGHTS;
    control.hdr.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.hdr), &fd, sizeof(int));
    if (c->fd < 0 || d->losing) {
        return;
    }
    trace_vgpu_channel_out(d, request, size);
    channel_drain(d);
    if (c->out->len ||
        RETRY_ON_EINTR(sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)) != sizeof(h) + size) {
        vgpu_lose(d, VGPU_LOST_DEADLINE, "it does not read its gpu channel");
    }
}

uint64_t vgpu_channel_ping(VgpuDevice *d)
{
    struct vgpu_channel_ping p = { .cookie = ++d->channel.cookie };

    vgpu_channel_send(d, VGPU_CHANNEL_PING, &p, sizeof(p));
    return p.cookie;
}

static void channel_tick(void *opaque)
{
    VgpuDevice *d = opaque;
    VgpuChannel *c = &d->channel;
    int64_t patience = channel_patience_ms(d);

    if (c->unanswered >= CHANNEL_TICKS_MAX) {
        vgpu_lose(d, VGPU_LOST_DEADLINE, "no sign of life for %" PRId64 ".%" PRId64 " s", patience / 1000,
                  patience % 1000 / 100);
        return;
    }
    if (c->unanswered) {
        trace_vgpu_channel_pong_missing(d, c->unanswered);
    }
    c->unanswered++;
    c->ticked = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    timer_mod(d->ping_timer, c->ticked + patience / CHANNEL_TICKS_MAX);
    vgpu_channel_ping(d);
    vgpu_check_profile(d);
    vgpu_migrate_look(d);
}

void vgpu_channel_init(VgpuDevice *d)
{
    VgpuChannel *c = &d->channel;

    memset(c, 0, sizeof(*c));
    c->fd = c->in_fd = -1;
    c->out = g_byte_array_new();
    d->ping_timer = timer_new_ms(QEMU_CLOCK_REALTIME, channel_tick, d);
}

void vgpu_channel_open(VgpuDevice *d, int fd)
{
    qemu_socket_set_nonblock(fd);
    d->channel.fd = fd;
}

/* From now on the main loop reads it. */
void vgpu_channel_watch(VgpuDevice *d)
{
    channel_set_handlers(d);
    timer_mod(d->ping_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + CHANNEL_TICK_MS);
}

void vgpu_channel_close(VgpuDevice *d)
{
    VgpuChannel *c = &d->channel;

    timer_del(d->ping_timer);
    channel_drop_fd(c);
    if (c->fd >= 0) {
        aio_set_fd_handler(qemu_get_aio_context(), c->fd, NULL, NULL, NULL, NULL, NULL);
        close(c->fd);
        c->fd = -1;
    }
    g_byte_array_set_size(c->out, 0);
    c->have = 0;
    c->hello_seen = false;
    c->unanswered = 0;
    c->notify_after = 0;
}
