/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "qemu/atomic.h"
#include "vgpu-driver.h"
#include "vgpu-hostile.h"
#include "vgpu/stats.h"
#include "standard-headers/drm/drm_fourcc.h"

#define REQUEST_GET_PROTOCOL_FEATURES 15
#define REQUEST_GET_QUEUE_NUM         17
#define FLAG_REPLY                    0x5 /* of version 1 */
#define FLAG_NEED_REPLY               0x8
#define F_PROTOCOL                    (1ull << 30)
#define F_VERSION_1                   (1ull << 32)
#define PROTOCOL_MQ                   (1ull << 0)
#define PROTOCOL_REPLY_ACK            (1ull << 3)

/* --- the gpu channel --- */

static void send_with_fd(int to, const void *data, size_t size, const int *fds, unsigned count)
{
    union {
        struct cmsghdr hdr;
        char space[CMSG_SPACE(VGPU_ATTACH_FD_COUNT * sizeof(int))];
    } control = {};
    struct iovec iov = { (void *)data, size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (count) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.hdr.cmsg_level = SOL_SOCKET;
        control.hdr.cmsg_type = SCM_RIGHTS;
        control.hdr.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.hdr), fds, count * sizeof(int));
    }
    sendmsg(to, &msg, MSG_NOSIGNAL);
}

void hostile_say(Hostile *h, uint32_t request, const void *payload, uint32_t size, int fd)
{
    g_autofree uint8_t *message = g_malloc(sizeof(struct vgpu_channel_hdr) + size);
    struct vgpu_channel_hdr hdr = { .request = request, .size = size };

    memcpy(message, &hdr, sizeof(hdr));
    memcpy(message + sizeof(hdr), payload, size);
    send_with_fd(h->channel, message, sizeof(hdr) + size, &fd, fd >= 0);
}

static void hello(Hostile *h)
{
    struct vgpu_channel_hello hi = { .version = VGPU_CHANNEL_VERSION, .description = "hostile" };

    hostile_say(h, VGPU_CHANNEL_HELLO, &hi, sizeof(hi), -1);
}

void hostile_cursor(Hostile *h, uint32_t x, uint32_t y)
{
    struct vgpu_channel_cursor_pos pos = { .x = x, .y = y };

    hostile_say(h, VGPU_CHANNEL_CURSOR_POS, &pos, sizeof(pos), -1);
}

static int sealed_memory(size_t size)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
    return fd;
}

void hostile_scanout(Hostile *h, uint32_t width, uint32_t height)
{
    struct vgpu_channel_shm_scanout s = {
        .width = width,
        .height = height,
        .stride = width * 4,
        .drm_fourcc = DRM_FORMAT_XRGB8888,
        .size = width * height * 4,
    };
    int fd = sealed_memory(s.size);

    hostile_say(h, VGPU_CHANNEL_SHM_SCANOUT, &s, sizeof(s), fd);
    close(fd);
}

void hostile_fatal(Hostile *h, const char *message)
{
    struct vgpu_channel_fatal f = {};

    g_strlcpy(f.message, message, sizeof(f.message));
    hostile_say(h, VGPU_CHANNEL_FATAL, &f, sizeof(f), -1);
}

void hostile_die(Hostile *h)
{
    shutdown(h->channel, SHUT_RDWR);
    shutdown(h->vhost, SHUT_RDWR);
}

static bool read_full(int fd, void *buf, size_t len)
{
    return !len || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

/* false: QEMU has closed it, or we have */
static bool answer_channel(Hostile *h)
{
    uint8_t payload[VGPU_CHANNEL_MAX_PAYLOAD];
    struct vgpu_channel_hdr hdr;

    if (!read_full(h->channel, &hdr, sizeof(hdr)) || hdr.size > sizeof(payload) ||
        !read_full(h->channel, payload, hdr.size)) {
        return false;
    }
    if (hdr.request == VGPU_CHANNEL_PING) {
        hostile_say(h, VGPU_CHANNEL_PONG, payload, hdr.size, -1);
    }
    return true;
}

/* --- vhost-user --- */

static void drop_fds(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            close(fd);
        }
    }
}

static bool answer_vhost(Hostile *h)
{
    struct {
        uint32_t request, flags, size;
    } hdr;
    struct {
        uint32_t request, flags, size;
        uint64_t value;
    } QEMU_PACKED reply = { .flags = FLAG_REPLY, .size = sizeof(reply.value) };
    uint8_t payload[1024], control[CMSG_SPACE(16 * sizeof(int))];
    struct iovec iov = { &hdr, sizeof(hdr) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };

    if (recvmsg(h->vhost, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(hdr)) {
        return false;
    }
    drop_fds(&msg);
    if (hdr.size > sizeof(payload) || !read_full(h->vhost, payload, hdr.size)) {
        return false;
    }
    if (h->on_request) {
        h->on_request(h, hdr.request);
    }
    qatomic_inc(&h->requests);
    reply.request = hdr.request;
    switch (hdr.request) {
    case HOSTILE_GET_FEATURES:
        reply.value = F_PROTOCOL | F_VERSION_1;
        break;
    case REQUEST_GET_PROTOCOL_FEATURES:
        reply.value = PROTOCOL_MQ | PROTOCOL_REPLY_ACK;
        break;
    case REQUEST_GET_QUEUE_NUM:
        reply.value = GPU_QUEUES;
        break;
    case HOSTILE_GET_VRING_BASE:
        memcpy(&reply.value, payload, sizeof(uint32_t)); /* of that ring: it got nowhere */
        break;
    default:
        if (!(hdr.flags & FLAG_NEED_REPLY)) {
            return true;
        }
    }
    return send(h->vhost, &reply, sizeof(reply), MSG_NOSIGNAL) == sizeof(reply);
}

static void *serve(void *opaque)
{
    Hostile *h = opaque;
    struct pollfd p[2] = { { .fd = h->vhost, .events = POLLIN }, { .fd = h->channel, .events = POLLIN } };
    bool more = true;

    hello(h);
    while (more && poll(p, 2, -1) >= 0) {
        more = (!p[0].revents || answer_vhost(h)) && (!p[1].revents || answer_channel(h));
    }
    hostile_die(h);
    close(h->vhost);
    close(h->channel);
    return NULL;
}

/* --- vgpud --- */

static void grant(Hostile *h, int client)
{
    struct vgpu_attach_accepted a = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_ACCEPTED, sizeof(a),
                 VGPU_ATTACH_FD_COUNT },
        .memory_limit = 1 << 30,
        .profile = "hostile",
        .gpu = "hostile0",
        .max_outputs = 1,
    };
    int fds[VGPU_ATTACH_FD_COUNT], vhost[2], channel[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, vhost), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), ==, 0);
    fds[VGPU_ATTACH_FD_VHOST_USER] = vhost[0];
    fds[VGPU_ATTACH_FD_CHANNEL] = channel[0];
    fds[VGPU_ATTACH_FD_STATS] = sealed_memory(VGPU_STATS_SIZE);
    fds[VGPU_ATTACH_FD_OBJECTS] = sealed_memory(4096);
    h->vhost = vhost[1];
    h->channel = channel[1];
    if (h->server) {
        g_thread_join(h->server);
    }
    h->server = g_thread_new("hostile-renderer", serve, h);
    send_with_fd(client, &a, sizeof(a), fds, VGPU_ATTACH_FD_COUNT);
    for (unsigned i = 0; i < VGPU_ATTACH_FD_COUNT; i++) {
        close(fds[i]);
    }
}

static void *vgpud(void *opaque)
{
    Hostile *h = opaque;
    char packet[4096];
    int client;

    while ((client = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        while (recv(client, packet, sizeof(packet), 0) > 0) {
            if (((struct vgpu_attach_hdr *)packet)->type == VGPU_ATTACH_REQUEST) {
                qatomic_inc(&h->attached);
                grant(h, client);
            }
        }
        close(client);
    }
    return NULL;
}

Hostile *hostile_start(void (*on_request)(Hostile *h, uint32_t request))
{
    g_autofree char *dir = g_build_filename(getenv("XDG_RUNTIME_DIR"), "vgpu", NULL);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    Hostile *h = g_new0(Hostile, 1);

    h->on_request = on_request;
    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/vgpud.sock", dir);
    h->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(h->listener, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(h->listener, 4), ==, 0);
    h->thread = g_thread_new("hostile-vgpud", vgpud, h);
    return h;
}

void hostile_stop(Hostile *h)
{
    shutdown(h->listener, SHUT_RDWR);
    g_thread_join(h->thread);
    close(h->listener);
    if (h->server) {
        g_thread_join(h->server);
    }
    g_free(h);
}

unsigned hostile_count(const unsigned *counter)
{
    return qatomic_read(counter);
}
