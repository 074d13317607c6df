/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See channel.h for the theory. */
#include "channel_private.h"

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
    if (c->hello_sent && c->judged) {
        channel_put(c, VGPU_CHANNEL_JUDGED, c->judged, sizeof(*c->judged), -1);
        g_clear_pointer(&c->judged, g_free);
        return true;
    }
    if (c->hello_sent && c->contexts_pending) {
        struct vgpu_channel_contexts contexts = { .count = c->contexts };

        c->contexts_pending = false;
        channel_put(c, VGPU_CHANNEL_CONTEXTS, &contexts, sizeof(contexts), -1);
        return true;
    }
    if (c->hello_sent && c->adopted_pending) {
        c->adopted_pending = false;
        channel_put(c, VGPU_CHANNEL_ADOPTED, &c->adopted, sizeof(c->adopted), -1);
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

void channel_pump(Channel *c)
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
    c->out_fd = c->in_fd = -1;
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

void channel_drop_orders(Channel *c)
{
    ChannelOrder *o;

    while ((o = g_queue_pop_head(&c->orders))) {
        if (o->fd >= 0) {
            close(o->fd);
        }
        g_free(o);
    }
}

void channel_adopted(Channel *c, const struct vgpu_channel_adopted *m)
{
    g_mutex_lock(&c->lock);
    c->adopted = *m;
    c->adopted_pending = true;
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

void channel_judged(Channel *c, const char *message)
{
    struct vgpu_channel_judged *m = g_new0(struct vgpu_channel_judged, 1);

    m->ok = !message;
    g_strlcpy(m->message, message ? message : "", sizeof(m->message));
    g_mutex_lock(&c->lock);
    g_free(c->judged);
    c->judged = m;
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

void channel_contexts(Channel *c, uint32_t count)
{
    g_mutex_lock(&c->lock);
    c->contexts_pending |= !count != !c->contexts;
    c->contexts = count;
    channel_pump(c);
    g_mutex_unlock(&c->lock);
}

void channel_fatal(Channel *c, enum vgpu_fatal_cause cause, const char *message)
{
    struct vgpu_channel_fatal fatal = { .cause = cause };
    struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };

    g_strlcpy(fatal.message, message, sizeof(fatal.message));
    g_mutex_lock(&c->lock);
    /* A message on its way must end first. */
    while (!c->failed && c->out_done < c->out_size) {
        if (!channel_send(c) && poll(&pfd, 1, FATAL_WAIT_MS) <= 0) {
            c->failed = true;
        }
    }
    if (!c->failed) {
        channel_put(c, VGPU_CHANNEL_FATAL, &fatal, sizeof(fatal), -1);
    }
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
