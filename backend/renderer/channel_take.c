/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What QEMU says on the gpu channel.  Front thread. */
#include "channel_private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

static bool channel_take_display_info(Channel *c, const void *payload)
{
    const struct vgpu_channel_display_info *info = payload;

    if (!info->count || info->count > VGPU_CHANNEL_MAX_SCANOUTS) {
        return false;
    }
    g_mutex_lock(&c->lock);
    c->info = *info;
    g_mutex_unlock(&c->lock);
    return true;
}

static bool channel_take_edid(Channel *c, const void *payload)
{
    const struct vgpu_channel_edid *edid = payload;

    if (edid->scanout_id >= VGPU_CHANNEL_MAX_SCANOUTS || edid->size > VGPU_CHANNEL_EDID_MAX) {
        return false;
    }
    g_mutex_lock(&c->lock);
    c->scanout[edid->scanout_id].edid = *edid;
    g_mutex_unlock(&c->lock);
    return true;
}

static bool channel_take_reset(Channel *c, const void *payload)
{
    const struct vgpu_channel_reset *reset = payload;

    g_mutex_lock(&c->lock);
    c->muted = true;
    c->generation = reset->generation;
    channel_drop_orders(c);
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        ChannelScanout *s = &c->scanout[i];

        /* QEMU still shows the picture, and may owe us an UPDATE_DONE for it. */
        s->damage = (Rect){ 0 };
        s->pos_pending = false;
        g_clear_pointer(&s->cursor, g_free);
    }
    g_mutex_unlock(&c->lock);
    c->call.reset(c->call.opaque, reset->generation);
    return true;
}

static bool channel_take_ping(Channel *c, const void *payload)
{
    g_mutex_lock(&c->lock);
    memcpy(&c->pong, payload, sizeof(c->pong));
    c->pong_pending = true;
    channel_pump(c);
    g_mutex_unlock(&c->lock);
    return true;
}

static bool channel_take_update_done(Channel *c, const void *payload)
{
    const struct vgpu_channel_update_done *done = payload;
    ChannelScanout *s;
    bool idle = false;

    if (done->scanout_id >= VGPU_CHANNEL_MAX_SCANOUTS) {
        return false;
    }
    s = &c->scanout[done->scanout_id];
    g_mutex_lock(&c->lock);
    if (s->outstanding && s->serial == done->serial) {
        s->outstanding = false;
        channel_pump(c);
        idle = true;
    }
    g_mutex_unlock(&c->lock);
    if (idle) {
        c->call.idle(c->call.opaque);
    }
    return true;
}

static bool channel_take_window(Channel *c, const void *payload)
{
    const struct vgpu_channel_window *w = payload;

    c->call.window(c->call.opaque, w->size);
    return true;
}

static bool channel_take_blob_done(Channel *c, const void *payload)
{
    const struct vgpu_channel_blob_done *done = payload;

    c->call.blob_done(c->call.opaque, done->serial, done->status);
    return true;
}

static int channel_take_fd(Channel *c)
{
    int fd = c->in_fd;

    c->in_fd = -1;
    return fd;
}

static bool channel_take_adopt(Channel *c, const void *payload)
{
    const struct vgpu_channel_adopt *adopt = payload;

    if (c->in_fd < 0 || adopt->form > VGPU_ADOPT_SAVED) {
        return false;
    }
    c->call.adopt(c->call.opaque, channel_take_fd(c), adopt);
    return true;
}

static bool channel_take_save(Channel *c, const void *payload)
{
    if (c->in_fd < 0) {
        return false;
    }
    c->call.save(c->call.opaque, channel_take_fd(c), payload);
    return true;
}

static const struct {
    uint32_t request, size;
    bool (*take)(Channel *c, const void *payload);
} channel_requests[] = {
    { VGPU_CHANNEL_DISPLAY_INFO, sizeof(struct vgpu_channel_display_info), channel_take_display_info },
    { VGPU_CHANNEL_EDID, sizeof(struct vgpu_channel_edid), channel_take_edid },
    { VGPU_CHANNEL_RESET, sizeof(struct vgpu_channel_reset), channel_take_reset },
    { VGPU_CHANNEL_PING, sizeof(struct vgpu_channel_ping), channel_take_ping },
    { VGPU_CHANNEL_UPDATE_DONE, sizeof(struct vgpu_channel_update_done), channel_take_update_done },
    { VGPU_CHANNEL_WINDOW, sizeof(struct vgpu_channel_window), channel_take_window },
    { VGPU_CHANNEL_BLOB_DONE, sizeof(struct vgpu_channel_blob_done), channel_take_blob_done },
    { VGPU_CHANNEL_ADOPT, sizeof(struct vgpu_channel_adopt), channel_take_adopt },
    { VGPU_CHANNEL_SAVE, sizeof(struct vgpu_channel_save), channel_take_save },
};

/* Takes whole messages off the front of c->in. */
static bool channel_take(Channel *c)
{
    struct vgpu_channel_hdr hdr;

    while (c->in_size >= sizeof(hdr)) {
        unsigned i;
        size_t whole;

        memcpy(&hdr, c->in, sizeof(hdr));
        for (i = 0; i < G_N_ELEMENTS(channel_requests); i++) {
            if (channel_requests[i].request == hdr.request) {
                break;
            }
        }
        if (i == G_N_ELEMENTS(channel_requests) || channel_requests[i].size != hdr.size || hdr.flags) {
            log_say("gpu channel: request 0x%x with %u bytes is not one", hdr.request, hdr.size);
            return false;
        }
        whole = sizeof(hdr) + hdr.size;
        if (c->in_size < whole) {
            break;
        }
        /* The payload is aligned for its 64-bit fields by this copy. */
        {
            union {
                uint64_t align;
                uint8_t bytes[sizeof(struct vgpu_channel_edid)];
            } payload;

            G_STATIC_ASSERT(sizeof(struct vgpu_channel_edid) >= sizeof(struct vgpu_channel_display_info));
            memcpy(payload.bytes, c->in + sizeof(hdr), hdr.size);
            if (!channel_requests[i].take(c, payload.bytes)) {
                log_say("gpu channel: a field of request 0x%x is out of range", hdr.request);
                return false;
            }
        }
        memmove(c->in, c->in + whole, c->in_size - whole);
        c->in_size -= whole;
    }
    return true;
}

/* Whether what has come of the next message is the start of one that has a descriptor. */
static bool channel_may_have_fd(const Channel *c)
{
    struct vgpu_channel_hdr hdr = { 0 };

    memcpy(&hdr, c->in, MIN(c->in_size, sizeof(hdr)));
    return c->in_size && (c->in_size < sizeof(hdr) || hdr.request == VGPU_CHANNEL_ADOPT ||
                          hdr.request == VGPU_CHANNEL_SAVE);
}

/* ADOPT and SAVE carry one each, and come alone.  False, and none is kept: these are others. */
static bool channel_keep_fd(Channel *c, const struct cmsghdr *cm)
{
    size_t count = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    bool ok = count == 1 && c->in_fd < 0;

    for (size_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(cm) + i * sizeof(fd), sizeof(fd));
        if (ok) {
            c->in_fd = fd;
        } else {
            close(fd);
        }
    }
    return ok;
}

bool channel_read(Channel *c)
{
    for (;;) {
        union {
            char buf[CMSG_SPACE(8 * sizeof(int))];
            struct cmsghdr align;
        } control;
        struct iovec iov = { .iov_base = c->in + c->in_size, .iov_len = sizeof(c->in) - c->in_size };
        struct msghdr mh = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.buf,
            .msg_controllen = sizeof(control.buf),
        };
        ssize_t n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return true;
        }
        if (n <= 0) {
            return false;
        }
        for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm)) {
            if (!channel_keep_fd(c, cm)) {
                log_say("gpu channel: descriptors came with a request that has none");
                return false;
            }
        }
        c->in_size += n;
        if (!channel_take(c)) {
            return false;
        }
        if (c->in_fd >= 0 && !channel_may_have_fd(c)) {
            log_say("gpu channel: a descriptor came with a request that has none");
            return false;
        }
    }
}
