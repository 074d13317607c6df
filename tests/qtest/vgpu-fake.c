/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vgpu-fake.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "standard-headers/drm/drm_fourcc.h"
#include "vgpu/attach.h"
#include "vgpu/stats.h"

#define MIB (1024ull * 1024)

/* More of docs/interop/vhost-user.rst. */
enum {
    VU_SET_MEM_TABLE = 5,
    VU_SET_LOG_BASE = 6,
    VU_GET_PROTOCOL_FEATURES = 15,
    VU_GET_QUEUE_NUM = 17,
};
#define VU_F_LOG_ALL   (1ull << 26)
#define VU_F_PROTOCOL  (1ull << 30)
#define VU_F_VERSION_1 (1ull << 32)
#define VU_P_LOG_SHMFD (1ull << 1)
#define VU_P_REPLY_ACK (1ull << 3)
#define VU_NEED_REPLY  0x8
#define VU_REPLY       0x5
#define VU_PAYLOAD_MAX 4096

typedef struct VuHdr {
    uint32_t request, flags, size;
} VuHdr;

struct Fake {
    char *socket;
    int listen_fd, attach_fd, vhost_fd, quit_fd;
    GThread *thread;
    GMutex lock; /* of what follows */
    GCond cond;
    FakeOptions options;
    unsigned renderers;
    int next_channel; /* of a renderer that the test has not taken yet, or -1 */
    uint64_t memory, memory_end;
    /* the test's own */
    unsigned taken;
    int channel;
    uint64_t window;
    uint32_t generation;
    unsigned adopted;
    int saved; /* the descriptor of the last SAVE, -1: none */
};

#define CONTROL_SIZE CMSG_SPACE(sizeof(int) * 8)

static void put_fds(struct msghdr *msg, char control[CONTROL_SIZE], const int *fds, unsigned n)
{
    struct cmsghdr *c;

    if (n) {
        memset(control, 0, CONTROL_SIZE);
        msg->msg_control = control;
        msg->msg_controllen = CMSG_SPACE(sizeof(int) * n);
        c = CMSG_FIRSTHDR(msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    }
}

/* ---- the thread ---- */

static void drop(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int sealed_memory(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
    return fd;
}

static void greet(int channel, uint64_t features)
{
    struct {
        struct vgpu_channel_hdr hdr;
        struct vgpu_channel_hello hello;
    } QEMU_PACKED m = {
        .hdr = { VGPU_CHANNEL_HELLO, 0, sizeof(m.hello) },
        .hello = { .version = VGPU_CHANNEL_VERSION,
                   .kind = VGPU_RENDERER_NULL,
                   .virtio_features = features,
                   .description = "fake" },
    };

    g_assert_cmpint(send(channel, &m, sizeof(m), MSG_NOSIGNAL), ==, sizeof(m));
}

static void accept_request(Fake *f, const struct vgpu_attach_request *r)
{
    struct vgpu_attach_accepted a = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_ACCEPTED, sizeof(a),
                 VGPU_ATTACH_FD_COUNT },
        .memory_limit = 256 * MIB,
        .profile = "fake",
        .gpu = "fake0",
        .max_outputs = r->max_outputs,
    };
    char control[CONTROL_SIZE];
    struct iovec iov = { &a, sizeof(a) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    int vhost[2], channel[2], fds[VGPU_ATTACH_FD_COUNT], i;
    unsigned number;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, vhost), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), ==, 0);
    fds[VGPU_ATTACH_FD_VHOST_USER] = vhost[1];
    fds[VGPU_ATTACH_FD_CHANNEL] = channel[1];
    fds[VGPU_ATTACH_FD_STATS] = sealed_memory("fake-stats", VGPU_STATS_SIZE);
    fds[VGPU_ATTACH_FD_OBJECTS] = sealed_memory("fake-objects", 4096);
    g_mutex_lock(&f->lock);
    number = f->renderers + 1;
    g_assert_cmpint(pwrite(fds[VGPU_ATTACH_FD_OBJECTS], &number, sizeof(number), 0), ==, sizeof(number));
    a.hostmem = f->options.hostmem;
    greet(channel[0], f->options.features);
    drop(&f->vhost_fd);
    drop(&f->next_channel);
    f->vhost_fd = vhost[0];
    if (f->options.on_request) {
        drop(&f->channel);
        f->channel = channel[0];
    } else {
        f->next_channel = channel[0];
    }
    f->renderers++;
    g_cond_signal(&f->cond);
    g_mutex_unlock(&f->lock);
    put_fds(&msg, control, fds, VGPU_ATTACH_FD_COUNT);
    g_assert_cmpint(sendmsg(f->attach_fd, &msg, MSG_NOSIGNAL), ==, sizeof(a));
    for (i = 0; i < VGPU_ATTACH_FD_COUNT; i++) {
        close(fds[i]);
    }
}

static void attach_readable(Fake *f)
{
    union {
        struct vgpu_attach_hdr hdr;
        struct vgpu_attach_request request;
        struct vgpu_attach_lost lost;
    } p;
    ssize_t n = recv(f->attach_fd, &p, sizeof(p), 0);

    if (n <= 0) {
        drop(&f->attach_fd);
    } else if (p.hdr.type == VGPU_ATTACH_REQUEST && n == sizeof(p.request)) {
        accept_request(f, &p.request);
    }
}

/* All of it, or the end; of descriptors that come along the last one is wanted, where kept says so. */
static bool read_keep(int fd, void *buffer, size_t size, int *kept)
{
    uint8_t *p = buffer;

    while (size) {
        char control[CONTROL_SIZE];
        struct iovec iov = { p, size };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); n > 0 && c; c = CMSG_NXTHDR(&msg, c)) {
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                if (kept) {
                    drop(kept);
                    *kept = ((int *)CMSG_DATA(c))[i];
                } else {
                    close(((int *)CMSG_DATA(c))[i]);
                }
            }
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        size -= n;
    }
    return true;
}

static bool read_full(int fd, void *buffer, size_t size)
{
    return read_keep(fd, buffer, size, NULL);
}

static void note_memory(Fake *f, const uint8_t *payload)
{
    uint32_t count;

    memcpy(&count, payload, sizeof(count));
    g_mutex_lock(&f->lock);
    f->memory = f->memory_end = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t region[4]; /* guest address, size, QEMU's address, offset */

        memcpy(region, payload + 8 + i * sizeof(region), sizeof(region));
        f->memory += region[1];
        f->memory_end = MAX(f->memory_end, region[0] + region[1]);
    }
    g_mutex_unlock(&f->lock);
}

static void vhost_readable(Fake *f)
{
    uint8_t payload[VU_PAYLOAD_MAX];
    struct {
        VuHdr hdr;
        uint64_t value;
    } QEMU_PACKED reply = {};
    VuHdr h;
    bool answer;

    if (!read_full(f->vhost_fd, &h, sizeof(h)) || h.size > sizeof(payload) ||
        !read_full(f->vhost_fd, payload, h.size)) {
        drop(&f->vhost_fd);
        return;
    }
    if (f->options.on_request) {
        f->options.on_request(f, h.request);
    }
    answer = h.flags & VU_NEED_REPLY;
    switch (h.request) {
    case FAKE_GET_FEATURES:
        answer = true;
        reply.value = VU_F_LOG_ALL | VU_F_PROTOCOL | VU_F_VERSION_1;
        break;
    case VU_GET_PROTOCOL_FEATURES:
        answer = true;
        reply.value = VU_P_LOG_SHMFD | VU_P_REPLY_ACK;
        break;
    case VU_SET_LOG_BASE:
        answer = true;
        break;
    case VU_GET_QUEUE_NUM:
        answer = true;
        reply.value = 2;
        break;
    case FAKE_GET_VRING_BASE:
        answer = true;
        memcpy(&reply.value, payload, sizeof(uint32_t)); /* the ring, at its start */
        break;
    case VU_SET_MEM_TABLE:
        note_memory(f, payload);
        break;
    default:
        break;
    }
    if (answer) {
        reply.hdr = (VuHdr){ h.request, VU_REPLY, sizeof(reply.value) };
        send(f->vhost_fd, &reply, sizeof(reply), MSG_NOSIGNAL);
    }
}

/* ---- the channel ---- */

bool fake_send_bytes(Fake *f, const void *bytes, size_t size, const int *fds, unsigned n_fds)
{
    char control[CONTROL_SIZE];
    struct iovec iov = { (void *)bytes, size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    put_fds(&msg, control, fds, n_fds);
    while (iov.iov_len) {
        struct pollfd p = { f->channel, POLLOUT };
        ssize_t n;

        if (poll(&p, 1, FAKE_SOON_MS) <= 0) {
            return false;
        }
        n = sendmsg(f->channel, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        iov.iov_base = (uint8_t *)iov.iov_base + n;
        iov.iov_len -= n;
        msg.msg_control = NULL;
        msg.msg_controllen = 0;
    }
    return true;
}

bool fake_send(Fake *f, uint32_t request, const void *payload, uint32_t size, int fd)
{
    g_autofree uint8_t *m = g_malloc(sizeof(struct vgpu_channel_hdr) + size);
    struct vgpu_channel_hdr h = { request, 0, size };

    memcpy(m, &h, sizeof(h));
    memcpy(m + sizeof(h), payload, size);
    return fake_send_bytes(f, m, sizeof(h) + size, &fd, fd >= 0 ? 1 : 0);
}

/* 1: a message; 0: none in time; -1: the end */
static int next_message(Fake *f, struct vgpu_channel_hdr *h, uint8_t *payload, int timeout_ms)
{
    struct pollfd p = { f->channel, POLLIN };
    int fd = -1;

    if (poll(&p, 1, timeout_ms) <= 0) {
        return 0;
    }
    if (!read_keep(f->channel, h, sizeof(*h), &fd) || h->size > VGPU_CHANNEL_MAX_PAYLOAD ||
        !read_full(f->channel, payload, h->size)) {
        return -1;
    }
    switch (h->request) {
    case VGPU_CHANNEL_WINDOW:
        f->window = ((struct vgpu_channel_window *)payload)->size;
        break;
    case VGPU_CHANNEL_RESET:
        f->generation = ((struct vgpu_channel_reset *)payload)->generation;
        break;
    case VGPU_CHANNEL_ADOPT:
        g_assert_cmpint(pread(fd, &f->adopted, sizeof(f->adopted), 0), ==, sizeof(f->adopted));
        break;
    case VGPU_CHANNEL_SAVE:
        drop(&f->saved);
        f->saved = fd;
        fd = -1;
        break;
    case VGPU_CHANNEL_PING:
        fake_send(f, VGPU_CHANNEL_PONG, payload, h->size, -1);
        break;
    default:
        break;
    }
    drop(&fd);
    return 1;
}

int fake_take_fd(Fake *f)
{
    int fd = f->saved;

    f->saved = -1;
    return fd;
}

void fake_say_adopted(Fake *f)
{
    struct vgpu_channel_adopted m = { 0 };

    fake_send(f, VGPU_CHANNEL_ADOPTED, &m, sizeof(m), -1);
}

void fake_cursor(Fake *f, uint32_t x, uint32_t y)
{
    struct vgpu_channel_cursor_pos pos = { .x = x, .y = y };

    fake_send(f, VGPU_CHANNEL_CURSOR_POS, &pos, sizeof(pos), -1);
}

void fake_scanout(Fake *f, uint32_t width, uint32_t height)
{
    struct vgpu_channel_shm_scanout s = {
        .width = width,
        .height = height,
        .stride = width * 4,
        .drm_fourcc = DRM_FORMAT_XRGB8888,
        .size = width * height * 4,
    };
    int fd = sealed_memory("fake-picture", s.size);

    fake_send(f, VGPU_CHANNEL_SHM_SCANOUT, &s, sizeof(s), fd);
    close(fd);
}

void fake_fatal(Fake *f, const char *message)
{
    struct vgpu_channel_fatal fatal = {};

    g_strlcpy(fatal.message, message, sizeof(fatal.message));
    fake_send(f, VGPU_CHANNEL_FATAL, &fatal, sizeof(fatal), -1);
}

void fake_die(Fake *f)
{
    shutdown(f->channel, SHUT_RDWR);
    shutdown(f->vhost_fd, SHUT_RDWR);
}

/* ---- the loop ---- */

static void channel_readable(Fake *f)
{
    g_autofree uint8_t *payload = g_malloc(VGPU_CHANNEL_MAX_PAYLOAD);
    struct vgpu_channel_hdr h;

    if (next_message(f, &h, payload, 0) < 0) {
        drop(&f->channel);
    }
}

static gpointer fake_thread(gpointer opaque)
{
    Fake *f = opaque;

    for (;;) {
        struct pollfd p[] = {
            { f->quit_fd, POLLIN },
            { f->listen_fd, POLLIN },
            { f->attach_fd, POLLIN },
            { f->vhost_fd, POLLIN },
            { f->options.on_request ? f->channel : -1, POLLIN },
        };

        poll(p, G_N_ELEMENTS(p), -1);
        if (p[0].revents) {
            return NULL;
        }
        if (p[3].revents) {
            vhost_readable(f);
        }
        if (p[4].revents) {
            channel_readable(f);
        }
        if (p[2].revents) {
            attach_readable(f);
        }
        if (p[1].revents) {
            drop(&f->attach_fd);
            f->attach_fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        }
    }
}

/* ---- for the test ---- */

Fake *fake_new(FakeOptions options)
{
    g_autofree char *dir = g_build_filename(getenv("XDG_RUNTIME_DIR"), "vgpu", NULL);
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    Fake *f = g_new0(Fake, 1);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    f->socket = g_build_filename(dir, options.socket ?: "vgpud.sock", NULL);
    f->attach_fd = f->vhost_fd = f->next_channel = f->channel = f->saved = -1;
    f->options = options;
    g_mutex_init(&f->lock);
    g_cond_init(&f->cond);
    g_assert_cmpuint(strlen(f->socket), <, sizeof(un.sun_path));
    strcpy(un.sun_path, f->socket);
    f->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(f->listen_fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    g_assert_cmpint(listen(f->listen_fd, 8), ==, 0);
    f->quit_fd = eventfd(0, EFD_CLOEXEC);
    f->thread = g_thread_new("fake", fake_thread, f);
    return f;
}

void fake_free(Fake *f)
{
    eventfd_write(f->quit_fd, 1);
    g_thread_join(f->thread);
    drop(&f->listen_fd);
    drop(&f->attach_fd);
    drop(&f->vhost_fd);
    drop(&f->next_channel);
    drop(&f->channel);
    drop(&f->saved);
    drop(&f->quit_fd);
    g_unlink(f->socket);
    g_free(f->socket);
    g_free(f);
}

void fake_set_options(Fake *f, FakeOptions options)
{
    g_mutex_lock(&f->lock);
    f->options = options;
    g_mutex_unlock(&f->lock);
}

const char *fake_socket(Fake *f)
{
    return f->socket;
}

unsigned fake_renderers(Fake *f)
{
    unsigned n;

    g_mutex_lock(&f->lock);
    n = f->renderers;
    g_mutex_unlock(&f->lock);
    return n;
}

void fake_wait_renderer(Fake *f, unsigned n)
{
    int64_t end = g_get_monotonic_time() + FAKE_SOON_MS * 1000ll;

    g_mutex_lock(&f->lock);
    while (f->renderers < n) {
        g_assert_true(g_cond_wait_until(&f->cond, &f->lock, end));
    }
    if (f->next_channel >= 0) {
        drop(&f->channel);
        f->channel = f->next_channel;
        f->next_channel = -1;
        f->window = 0;
        f->generation = 0;
        f->adopted = 0;
    }
    g_mutex_unlock(&f->lock);
}

bool fake_receive(Fake *f, uint32_t request, void *payload, uint32_t size, int timeout_ms)
{
    g_autofree uint8_t *m = g_malloc(VGPU_CHANNEL_MAX_PAYLOAD);
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;
    struct vgpu_channel_hdr h;

    while (next_message(f, &h, m, MAX((end - g_get_monotonic_time()) / 1000, 0)) > 0) {
        if (h.request == request) {
            g_assert_cmpuint(h.size, ==, size);
            memcpy(payload, m, size);
            return true;
        }
    }
    return false;
}

void fake_drain(Fake *f)
{
    g_autofree uint8_t *m = g_malloc(VGPU_CHANNEL_MAX_PAYLOAD);
    struct vgpu_channel_hdr h;

    while (next_message(f, &h, m, 200) > 0) {
        continue;
    }
}

bool fake_hung_up(Fake *f, int timeout_ms)
{
    g_autofree uint8_t *m = g_malloc(VGPU_CHANNEL_MAX_PAYLOAD);
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;
    struct vgpu_channel_hdr h;
    int r;

    do {
        r = next_message(f, &h, m, 100);
    } while (r >= 0 && g_get_monotonic_time() < end);
    return r < 0;
}

uint64_t fake_window(Fake *f)
{
    return f->window;
}

uint32_t fake_generation(Fake *f)
{
    return f->generation;
}

unsigned fake_adopted(Fake *f)
{
    return f->adopted;
}

uint64_t fake_memory(Fake *f, uint64_t *end)
{
    uint64_t bytes;

    g_mutex_lock(&f->lock);
    bytes = f->memory;
    *end = f->memory_end;
    g_mutex_unlock(&f->lock);
    return bytes;
}
