/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See channel.h for the theory. */
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

/* Before QEMU said what its displays are like. */
#define DEFAULT_WIDTH  1024
#define DEFAULT_HEIGHT 768
#define FATAL_WAIT_MS  200

typedef struct ChannelScanout {
    bool off_pending; /* say SCANOUT 0x0 */
    bool shm_pending; /* say shm, with shm_fd */
    struct vgpu_channel_shm_scanout shm;
    int shm_fd;
    bool outstanding; /* an update was not answered yet */
    uint32_t serial;
    Rect damage; /* empty: none */
    bool pos_pending, pos_visible;
    struct vgpu_channel_cursor_pos pos;
    struct vgpu_channel_cursor_update *cursor; /* NULL: nothing to say */
    struct vgpu_channel_edid edid;             /* size 0: none yet */
} ChannelScanout;

/* One of the two, not sent yet. */
typedef struct ChannelOrder {
    bool is_map;
    union {
        struct vgpu_channel_blob_map map;
        struct vgpu_channel_blob_unmap unmap;
    };
    int fd; /* of a map */
} ChannelOrder;

struct Channel {
    int fd;
    unsigned outputs;
    ChannelCallbacks call;

    GMutex lock; /* guards all below but in */
    bool failed;
    bool muted;    /* between a RESET and the end of what was shown before */
    bool poll_out; /* the socket is full */
    struct vgpu_channel_hello *hello;
    bool hello_sent;
    bool pong_pending;
    struct vgpu_channel_ping pong;
    uint32_t generation; /* of the last RESET */
    GQueue orders;       /* of ChannelOrder */
    ChannelScanout scanout[VGPU_CHANNEL_MAX_SCANOUTS];
    unsigned next_scanout; /* whose turn it is */
    struct vgpu_channel_display_info info;

    size_t out_size, out_done; /* one message on its way */
    int out_fd;
    uint8_t out[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];

    size_t in_size; /* front thread only */
    uint8_t in[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];
};

static void channel_put(Channel *c, uint32_t request, const void *payload, uint32_t size, int fd)
{
    struct vgpu_channel_hdr hdr = { .request = request, .size = size };

    memcpy(c->out, &hdr, sizeof(hdr));
    if (size) {
        memcpy(c->out + sizeof(hdr), payload, size);
    }
    c->out_size = sizeof(hdr) + size;
    c->out_done = 0;
    c->out_fd = fd;
}

/* The next thing of one scanout to say, into c->out.  False: nothing. */
static bool channel_put_scanout(Channel *c, unsigned i)
{
    ChannelScanout *s = &c->scanout[i];

    if (s->off_pending) {
        struct vgpu_channel_scanout off = { .scanout_id = i };

        s->off_pending = false;
        channel_put(c, VGPU_CHANNEL_SCANOUT, &off, sizeof(off), -1);
        return true;
    }
    if (s->shm_pending) {
        s->shm_pending = false;
        channel_put(c, VGPU_CHANNEL_SHM_SCANOUT, &s->shm, sizeof(s->shm), s->shm_fd);
        s->shm_fd = -1;
        return true;
    }
    if (s->damage.w && !s->outstanding) {
        struct vgpu_channel_shm_update u = {
            .scanout_id = i,
            .x = s->damage.x,
            .y = s->damage.y,
            .width = s->damage.w,
            .height = s->damage.h,
            .serial = ++s->serial,
        };

        s->damage = (Rect){ 0 };
        s->outstanding = true;
        channel_put(c, VGPU_CHANNEL_SHM_UPDATE, &u, sizeof(u), -1);
        return true;
    }
    if (s->cursor) {
        channel_put(c, VGPU_CHANNEL_CURSOR_UPDATE, s->cursor, sizeof(*s->cursor), -1);
        g_clear_pointer(&s->cursor, g_free);
        return true;
    }
    if (s->pos_pending) {
        s->pos_pending = false;
        channel_put(c, s->pos_visible ? VGPU_CHANNEL_CURSOR_POS : VGPU_CHANNEL_CURSOR_POS_HIDE, &s->pos,
                    sizeof(s->pos), -1);
        return true;
    }
    return false;
}

static void channel_put_order(Channel *c)
{
    g_autofree ChannelOrder *o = g_queue_pop_head(&c->orders);

    if (o->is_map) {
        channel_put(c, VGPU_CHANNEL_BLOB_MAP, &o->map, sizeof(o->map), o->fd);
    } else {
        channel_put(c, VGPU_CHANNEL_BLOB_UNMAP, &o->unmap, sizeof(o->unmap), -1);
    }
}

static bool channel_put_next(Channel *c)
{
    if (c->hello) {
        channel_put(c, VGPU_CHANNEL_HELLO, c->hello, sizeof(*c->hello), -1);
        g_clear_pointer(&c->hello, g_free);
        c->hello_sent = true;
        return true;
    }
    if (c->pong_pending) {
        c->pong_pending = false;
        channel_put(c, VGPU_CHANNEL_PONG, &c->pong, sizeof(c->pong), -1);
        return true;
    }
    if (c->hello_sent && !g_queue_is_empty(&c->orders)) {
        channel_put_order(c);
        return true;
    }
    /* HELLO comes first of all that shows anything. */
    for (unsigned n = 0; c->hello_sent && n < VGPU_CHANNEL_MAX_SCANOUTS; n++) {
        unsigned i = (c->next_scanout + n) % VGPU_CHANNEL_MAX_SCANOUTS;

        if (channel_put_scanout(c, i)) {
            c->next_scanout = i;
            return true;
        }
    }
    return false;
}

/* Sends some of c->out.  False: full or failed. */
static bool channel_send(Channel *c)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov = { .iov_base = c->out + c->out_done, .iov_len = c->out_size - c->out_done };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (c->out_fd >= 0) {
        struct cmsghdr *cm = &control.align;

        mh.msg_control = control.buf;
        mh.msg_controllen = sizeof(control.buf);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cm), &c->out_fd, sizeof(int));
    }
    do {
        n = sendmsg(c->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        c->poll_out = errno == EAGAIN;
        c->failed |= errno != EAGAIN;
        return false;
    }
    if (c->out_fd >= 0) {
        close(c->out_fd); /* ownership transferred to QEMU */
        c->out_fd = -1;
    }
    c->out_done += n;
    return true;
}

static void channel_pump(Channel *c)
{
    bool was = c->poll_out;

    c->poll_out = false;
    while (!c->failed && (c->out_done < c->out_size || channel_put_next(c))) {
        if (!channel_send(c)) {
            break;
        }
    }
    if (c->poll_out && !was) {
        c->call.wake_poll(c->call.opaque);
    }
}

Channel *channel_new(int fd, unsigned outputs, const ChannelCallbacks *callbacks)
{
    Channel *c = g_new0(Channel, 1);

    g_mutex_init(&c->lock);
    c->fd = fd;
    c->outputs = outputs;
    c->call = *callbacks;
    c->out_fd = -1;
    g_queue_init(&c->orders);
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        c->scanout[i].shm_fd = -1;
    }
    c->info.count = outputs;
    c->info.mode[0] = (struct vgpu_channel_mode){
        .enabled = 1,
        .width = DEFAULT_WIDTH,
        .height = DEFAULT_HEIGHT,
    };
    return c;
}

int channel_fd(const Channel *c)
{
    return c->fd;
}

short channel_events(Channel *c)
{
    short events;

    g_mutex_lock(&c->lock);
    events = POLLIN | (c->poll_out ? POLLOUT : 0);
    g_mutex_unlock(&c->lock);
    return events;
}

bool channel_write(Channel *c)
{
    bool ok;

    g_mutex_lock(&c->lock);
    channel_pump(c);
    ok = !c->failed;
    g_mutex_unlock(&c->lock);
    return ok;
}

void channel_hello(Channel *c, const struct vgpu_channel_hello *hello)
{
    g_mutex_lock(&c->lock);
    c->hello = g_memdup2(hello, sizeof(*hello));
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

static void channel_forget_picture(ChannelScanout *s)
{
    if (s->shm_fd >= 0) {
        close(s->shm_fd);
        s->shm_fd = -1;
    }
    s->shm_pending = false;
    s->damage = (Rect){ 0 };
    /* An answer to an older update is told apart by its serial. */
    s->outstanding = false;
}

void channel_scanout_off(Channel *c, unsigned scanout)
{
    ChannelScanout *s = &c->scanout[scanout];

    g_mutex_lock(&c->lock);
    channel_forget_picture(s);
    s->off_pending = true;
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

void channel_shm_scanout(Channel *c, const struct vgpu_channel_shm_scanout *shm, int fd)
{
    ChannelScanout *s = &c->scanout[shm->scanout_id];

    g_mutex_lock(&c->lock);
    if (c->muted) {
        g_mutex_unlock(&c->lock);
        close(fd);
        return;
    }
    channel_forget_picture(s);
    s->off_pending = false; /* the new picture says as much */
    s->shm = *shm;
    s->shm_fd = fd;
    s->shm_pending = true;
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

void channel_damage(Channel *c, unsigned scanout, const Rect *rect)
{
    g_mutex_lock(&c->lock);
    if (!c->muted) {
        rect_unite(&c->scanout[scanout].damage, rect);
        channel_pump(c);
    }
    g_mutex_unlock(&c->lock);
}

bool channel_idle(Channel *c, unsigned scanout)
{
    const ChannelScanout *s = &c->scanout[scanout];
    bool idle;

    g_mutex_lock(&c->lock);
    idle = !s->outstanding && !s->damage.w;
    g_mutex_unlock(&c->lock);
    return idle;
}

void channel_unmute(Channel *c)
{
    g_mutex_lock(&c->lock);
    c->muted = false;
    g_mutex_unlock(&c->lock);
}

void channel_cursor_pos(Channel *c, unsigned scanout, uint32_t x, uint32_t y, bool visible)
{
    ChannelScanout *s = &c->scanout[scanout];

    g_mutex_lock(&c->lock);
    s->pos = (struct vgpu_channel_cursor_pos){ scanout, x, y };
    s->pos_visible = visible;
    s->pos_pending = !c->muted;
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

void channel_cursor_update(Channel *c, const struct vgpu_channel_cursor_update *u)
{
    ChannelScanout *s = &c->scanout[u->pos.scanout_id];

    g_mutex_lock(&c->lock);
    if (c->muted) {
        g_mutex_unlock(&c->lock);
        return;
    }
    if (!s->cursor) {
        s->cursor = g_new(struct vgpu_channel_cursor_update, 1);
    }
    *s->cursor = *u;
    s->pos_pending = false; /* the update says where it is */
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

/* Takes fd. */
static void channel_order(Channel *c, ChannelOrder o)
{
    g_mutex_lock(&c->lock);
    if (!c->muted) {
        *(o.is_map ? &o.map.generation : &o.unmap.generation) = c->generation;
        g_queue_push_tail(&c->orders, g_memdup2(&o, sizeof(o)));
        o.fd = -1;
        channel_pump(c);
    }
    g_mutex_unlock(&c->lock);
    if (o.fd >= 0) {
        close(o.fd);
    }
}

void channel_blob_map(Channel *c, const struct vgpu_channel_blob_map *m, int fd)
{
    channel_order(c, (ChannelOrder){ .is_map = true, .map = *m, .fd = fd });
}

void channel_blob_unmap(Channel *c, const struct vgpu_channel_blob_unmap *m)
{
    channel_order(c, (ChannelOrder){ .unmap = *m, .fd = -1 });
}

static void channel_drop_orders(Channel *c)
{
    ChannelOrder *o;

    while ((o = g_queue_pop_head(&c->orders))) {
        if (o->fd >= 0) {
            close(o->fd);
        }
        g_free(o);
    }
}

void channel_fatal(Channel *c, const char *message)
{
    struct vgpu_channel_fatal fatal = { 0 };
    struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };

    g_strlcpy(fatal.message, message, sizeof(fatal.message));
    g_mutex_lock(&c->lock);
    /* A message on its way must end first. */
    while (!c->failed && c->out_done < c->out_size) {
        if (!channel_send(c) && poll(&pfd, 1, FATAL_WAIT_MS) <= 0) {
            c->failed = true;
        }
    }
    channel_put(c, VGPU_CHANNEL_FATAL, &fatal, sizeof(fatal), -1);
    while (!c->failed && c->out_done < c->out_size) {
        if (!channel_send(c) && poll(&pfd, 1, FATAL_WAIT_MS) <= 0) {
            c->failed = true;
        }
    }
    c->failed = true;
    g_mutex_unlock(&c->lock);
}

void channel_display_info(Channel *c, struct vgpu_channel_display_info *out)
{
    g_mutex_lock(&c->lock);
    *out = c->info;
    g_mutex_unlock(&c->lock);
}

bool channel_edid(Channel *c, unsigned scanout, struct vgpu_channel_edid *out)
{
    bool has;

    g_mutex_lock(&c->lock);
    *out = c->scanout[scanout].edid;
    has = out->size > 0;
    g_mutex_unlock(&c->lock);
    return has;
}

/* Requests. */

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
            /* No request to us carries a descriptor. */
            log_say("gpu channel: descriptors came with a request that has none");
            return false;
        }
        c->in_size += n;
        if (!channel_take(c)) {
            return false;
        }
    }
}
