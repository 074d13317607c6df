/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HDR sizeof(struct vgpu_channel_hdr)

/* What a renderer may send: exact payload sizes and fd counts. */
static const struct {
    uint32_t request, size, fds;
} known[] = {
    { VGPU_CHANNEL_CURSOR_POS, sizeof(struct vgpu_channel_cursor_pos), 0 },
    { VGPU_CHANNEL_CURSOR_POS_HIDE, sizeof(struct vgpu_channel_cursor_pos), 0 },
    { VGPU_CHANNEL_CURSOR_UPDATE, sizeof(struct vgpu_channel_cursor_update), 0 },
    { VGPU_CHANNEL_SCANOUT, sizeof(struct vgpu_channel_scanout), 0 },
    { VGPU_CHANNEL_DMABUF_SCANOUT2, sizeof(struct vgpu_channel_dmabuf_scanout2), 1 },
    { VGPU_CHANNEL_HELLO, sizeof(struct vgpu_channel_hello), 0 },
    { VGPU_CHANNEL_SHM_SCANOUT, sizeof(struct vgpu_channel_shm_scanout), 1 },
    { VGPU_CHANNEL_SHM_UPDATE, sizeof(struct vgpu_channel_shm_update), 0 },
    { VGPU_CHANNEL_PONG, sizeof(struct vgpu_channel_ping), 0 },
    { VGPU_CHANNEL_FATAL, sizeof(struct vgpu_channel_fatal), 0 },
    { VGPU_CHANNEL_ADOPTED, sizeof(struct vgpu_channel_adopted), 0 },
    { VGPU_CHANNEL_CONTEXTS, sizeof(struct vgpu_channel_contexts), 0 },
    { VGPU_CHANNEL_JUDGED, sizeof(struct vgpu_channel_judged), 0 },
    { VGPU_CHANNEL_BLOB_MAP, sizeof(struct vgpu_channel_blob_map), 1 },
    { VGPU_CHANNEL_BLOB_UNMAP, sizeof(struct vgpu_channel_blob_unmap), 0 },
};

void channel_init(Channel *c, int fd)
{
    memset(c, 0, sizeof(*c));
    c->fd = fd;
    c->pending_fd = -1;
    g_queue_init(&c->messages);
}

void channel_msg_free(ChannelMsg *m)
{
    if (m && m->fd >= 0) {
        close(m->fd);
    }
    g_free(m);
}

void channel_finish(Channel *c)
{
    g_queue_clear_full(&c->messages, (GDestroyNotify)channel_msg_free);
    if (c->fd >= 0) {
        close(c->fd);
    }
    if (c->pending_fd >= 0) {
        close(c->pending_fd);
    }
    c->fd = c->pending_fd = -1;
}

static bool fail(Channel *c, const char *what, uint32_t request)
{
    if (!c->failed) {
        g_test_fail_printf("gpu channel: %s (message 0x%x)", what, request);
    }
    c->failed = true;
    return false;
}

/* One whole message in buf: into the queue, or a failure. */
static bool take_message(Channel *c)
{
    struct vgpu_channel_hdr h;
    ChannelMsg *m;
    unsigned i;

    memcpy(&h, c->buf, HDR);
    for (i = 0; i < G_N_ELEMENTS(known) && known[i].request != h.request; i++) {
    }
    if (i == G_N_ELEMENTS(known)) {
        return fail(c, "unknown request", h.request);
    }
    if (h.flags || h.size != known[i].size) {
        return fail(c, "flags or size wrong", h.request);
    }
    if ((c->pending_fd >= 0) != (known[i].fds == 1)) {
        return fail(c, "a descriptor too many or too few", h.request);
    }
    if (!c->greeted && h.request != VGPU_CHANNEL_HELLO && h.request != VGPU_CHANNEL_FATAL) {
        return fail(c, "HELLO is not first", h.request);
    }
    if (c->greeted && h.request == VGPU_CHANNEL_HELLO) {
        return fail(c, "HELLO came twice", h.request);
    }
    c->greeted = true;
    m = g_new0(ChannelMsg, 1);
    m->request = h.request;
    m->size = h.size;
    m->fd = c->pending_fd;
    c->pending_fd = -1;
    memcpy(m->data, c->buf + HDR, h.size);
    g_queue_push_tail(&c->messages, m);
    return true;
}

/* Reads no further than the end of the message, so that an fd is told apart. */
static bool read_some(Channel *c)
{
    struct vgpu_channel_hdr h;
    char control[CMSG_SPACE(sizeof(int) * 4)];
    size_t want = HDR;
    struct iovec iov;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    ssize_t n;

    if (c->have >= HDR) {
        memcpy(&h, c->buf, HDR);
        if (h.size > VGPU_CHANNEL_MAX_PAYLOAD) {
            return fail(c, "payload over the maximum", h.request);
        }
        want = HDR + h.size;
    }
    iov = (struct iovec){ c->buf + c->have, want - c->have };
    n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) {
        return (errno != EAGAIN && errno != EINTR) ? fail(c, strerror(errno), 0) : false;
    }
    for (struct cmsghdr *m = CMSG_FIRSTHDR(&msg); m; m = CMSG_NXTHDR(&msg, m)) {
        if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS) {
            if (m->cmsg_len != CMSG_LEN(sizeof(int)) || c->pending_fd >= 0) {
                return fail(c, "several descriptors", 0);
            }
            memcpy(&c->pending_fd, CMSG_DATA(m), sizeof(int));
        }
    }
    if (n == 0) {
        /* closed: the caller's wait ends; a test that minds looks at failed */
        c->failed = true;
        return false;
    }
    c->have += n;
    if (c->have == HDR) {
        memcpy(&h, c->buf, HDR);
        want = HDR + h.size;
    }
    if (c->have >= HDR && c->have == want) {
        c->have = 0;
        return take_message(c);
    }
    return true;
}

void channel_pump(Channel *c, int timeout)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };

    if (c->failed || poll(&p, 1, timeout) <= 0) {
        return;
    }
    while (!c->failed && read_some(c)) {
    }
}

static ChannelMsg *find(Channel *c, uint32_t request)
{
    for (GList *l = c->messages.head; l; l = l->next) {
        ChannelMsg *m = l->data;

        if (!request || m->request == request) {
            g_queue_delete_link(&c->messages, l);
            return m;
        }
    }
    return NULL;
}

ChannelMsg *channel_find(Channel *c, uint32_t request, int timeout)
{
    int64_t deadline = g_get_monotonic_time() + timeout * 1000ll;
    ChannelMsg *m;

    channel_pump(c, 0);
    while (!(m = find(c, request)) && !c->failed) {
        int64_t left = (deadline - g_get_monotonic_time() + 999) / 1000;

        if (left <= 0) {
            break;
        }
        channel_pump(c, left);
    }
    return m ? m : find(c, request);
}

ChannelMsg *channel_next(Channel *c, int timeout)
{
    return channel_find(c, 0, timeout);
}

bool channel_send(Channel *c, uint32_t request, const void *payload, uint32_t size)
{
    struct vgpu_channel_hdr h = { .request = request, .size = size };
    g_autofree uint8_t *m = g_malloc(HDR + size);
    size_t done = 0, step = c->pieces ? 1 : HDR + size;

    memcpy(m, &h, HDR);
    if (size) {
        memcpy(m + HDR, payload, size);
    }
    while (done < HDR + size) {
        ssize_t n = send(c->fd, m + done, MIN(step, HDR + size - done), MSG_NOSIGNAL);

        if (n <= 0) {
            return false;
        }
        done += n;
    }
    return true;
}

bool channel_barrier(Channel *c, int timeout)
{
    static uint64_t cookie = 0x1000;
    struct vgpu_channel_ping ping = { .cookie = ++cookie };
    g_autoptr(ChannelMsg) pong = NULL;

    if (!channel_send(c, VGPU_CHANNEL_PING, &ping, sizeof(ping))) {
        return false;
    }
    pong = channel_find(c, VGPU_CHANNEL_PONG, timeout);
    return pong && pong->ping.cookie == ping.cookie;
}
