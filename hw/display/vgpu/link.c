/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link: the vhost-user socket between QEMU's vhost core and the renderer.
 *
 * Theory of operation
 *
 * QEMU's vhost-user code writes a message and, for some, reads the reply at
 * once, under the BQL, retrying for as long as the socket says EAGAIN.  A
 * renderer that is stopped would stop the VM with it.  It also believes what a
 * reply says, and turns every failure into several lines of error_report().
 *
 * This chardev sits below that code and changes three things:
 *
 * 1. Bounded waits.  The socket is non-blocking and the only place where QEMU
 *    waits is link_wait(), in poll(), which ends when the budget is spent.
 *    The budget (deadline-ms) counts the time spent waiting since the main
 *    loop last ran, so a sequence of exchanges (starting two rings takes
 *    some twenty messages) has one deadline and not twenty; a bottom half gives
 *    the budget back.  Only waiting counts, not what else QEMU did meanwhile,
 *    and poll() looks at the socket once more before it gives up: a QEMU that
 *    was itself stopped for a minute blames nobody.  As the wait is ours, it
 *    needs no second thread that shuts the socket down from outside.
 *
 * 2. Checked replies.  All replies of the messages we let through are 8 bytes.
 *    Flags, request and size are checked here, a refused message (a REPLY_ACK
 *    other than 0) counts as a loss, and protocol features are cut down to
 *    those whose messages are bounded: with VHOST_USER_PROTOCOL_F_BACKEND_REQ
 *    the renderer could send half a message to a reader in QEMU's core that
 *    blocks the main loop, and with others it could make QEMU map its fds.
 *
 * 3. A dead link answers by itself.  After a loss messages go nowhere and
 *    replies are "0, done": the vhost core unwinds through its ordinary path
 *    (vhost_dev_stop() and the rest), at once and without a word.  lost.c takes the
 *    device out of service right after and says once what happened.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "vgpu.h"
#include "trace.h"

#include <poll.h>

/* From docs/interop/vhost-user.rst; QEMU keeps its own private to vhost-user.c. */
#define LINK_GET_FEATURES          1
#define LINK_SET_LOG_BASE          6
#define LINK_GET_VRING_BASE        11
#define LINK_GET_PROTOCOL_FEATURES 15
#define LINK_GET_QUEUE_NUM         17
#define LINK_GET_MAX_MEM_SLOTS     36
#define LINK_FLAG_VERSION          0x1
#define LINK_FLAG_REPLY            0x4
#define LINK_FLAG_NEED_REPLY       0x8
#define LINK_REPLY_SIZE            8

#define LINK_PROTOCOL_FEATURES                                                                               \
    ((1ull << VHOST_USER_PROTOCOL_F_MQ) | (1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK) |                        \
     (1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | (1ull << VHOST_USER_PROTOCOL_F_LOG_SHMFD))

#define LINK_FDS_MAX 8 /* SET_MEM_TABLE's */

typedef struct LinkHeader {
    uint32_t request, flags, size;
} LinkHeader;

struct VgpuLink {
    Chardev parent_obj;

    VgpuDevice *dev;
    int fd; /* -1: never opened */
    bool dead;
    int64_t budget_ns;
    int64_t waited_ns; /* since the main loop last ran */
    QEMUBH *breath_bh; /* runs when the main loop does */

    int fds[LINK_FDS_MAX]; /* borrowed, go with the next write */
    int nfds;
    size_t write_left; /* of a message whose start was written */
    uint32_t request;  /* the last one written */
    bool want_ack;
    bool in_payload; /* a reply's header was handed on */
};

static void link_breath(void *opaque)
{
    VgpuLink *l = opaque;

    l->waited_ns = 0;
}

/* False when the budget is spent. */
static bool link_wait(VgpuLink *l, short events)
{
    struct pollfd p = { .fd = l->fd, .events = events };
    int64_t start = get_clock();
    int64_t left;
    int r;

    qemu_bh_schedule(l->breath_bh);
    do {
        left = l->budget_ns - l->waited_ns - (get_clock() - start);
        r = poll(&p, 1, left > 0 ? DIV_ROUND_UP(left, SCALE_MS) : 0);
    } while (r < 0 && errno == EINTR);
    l->waited_ns += get_clock() - start;
    if (r == 0) {
        trace_vgpu_link_deadline(l->dev, l->request, l->budget_ns / SCALE_MS);
        vgpu_lose(l->dev, VGPU_LOST_DEADLINE, "no answer for %" PRId64 " ms", l->budget_ns / SCALE_MS);
    }
    return r > 0;
}

static void link_closed(VgpuLink *l)
{
    vgpu_lose(l->dev, VGPU_LOST_CLOSED, "it ended");
}

static void link_nonsense(VgpuLink *l, const char *what)
{
    vgpu_lose(l->dev, VGPU_LOST_PROTOCOL, "it %s vhost-user request %u", what, l->request);
}

static bool link_read_full(VgpuLink *l, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (!l->dead && len) {
        ssize_t n = recv(l->fd, p, len, MSG_DONTWAIT);

        if (n > 0) {
            p += n;
            len -= n;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (!link_wait(l, POLLIN)) {
                return false;
            }
        } else {
            link_closed(l);
        }
    }
    return len == 0;
}

/* QEMU's core hands down a whole message, and the rest of it until all is taken. */
static int link_write(Chardev *chr, const uint8_t *buf, int len)
{
    VgpuLink *l = VGPU_LINK(chr);
    int done = 0;

    if (!l->write_left && len >= (int)sizeof(LinkHeader)) {
        LinkHeader h;

        memcpy(&h, buf, sizeof(h));
        l->request = h.request;
        l->want_ack = h.flags & LINK_FLAG_NEED_REPLY;
        l->in_payload = false;
        l->write_left = len;
        trace_vgpu_link_send(l->dev, h.request, h.flags, l->nfds);
    }
    while (!l->dead && done < len) {
        union {
            struct cmsghdr hdr;
            char space[CMSG_SPACE(sizeof(l->fds))];
        } control = {};
        struct iovec iov = { (void *)(buf + done), len - done };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        if (l->nfds) {
            msg.msg_control = &control;
            msg.msg_controllen = CMSG_SPACE(l->nfds * sizeof(int));
            control.hdr.cmsg_level = SOL_SOCKET;
            control.hdr.cmsg_type = SCM_RIGHTS;
            control.hdr.cmsg_len = CMSG_LEN(l->nfds * sizeof(int));
            memcpy(CMSG_DATA(&control.hdr), l->fds, l->nfds * sizeof(int));
        }
        n = sendmsg(l->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            l->nfds = 0;
            done += n;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            link_wait(l, POLLOUT);
        } else {
            link_closed(l);
        }
    }
    l->nfds = 0;
    l->write_left -= MIN(l->write_left, (size_t)len);
    return len;
}

static void link_header(VgpuLink *l, LinkHeader *h)
{
    if (!link_read_full(l, h, sizeof(*h))) {
        goto dead;
    }
    if (h->flags != (LINK_FLAG_VERSION | LINK_FLAG_REPLY) || h->request != l->request ||
        h->size != LINK_REPLY_SIZE) {
        link_nonsense(l, "answered wrongly");
        goto dead;
    }
    return;

dead:
    *h = (LinkHeader){
        .request = l->request,
        .flags = LINK_FLAG_VERSION | LINK_FLAG_REPLY,
        .size = LINK_REPLY_SIZE,
    };
}

static uint64_t link_payload(VgpuLink *l)
{
    uint64_t value;

    if (!link_read_full(l, &value, sizeof(value))) {
        return 0;
    }
    trace_vgpu_link_reply(l->dev, l->request, l->waited_ns / SCALE_US);
    switch (l->request) {
    case LINK_GET_FEATURES:
        /* Not offered to the guest, and QEMU's core would want BACKEND_REQ. */
        return value & ~(1ull << VIRTIO_F_ACCESS_PLATFORM);
    case LINK_GET_PROTOCOL_FEATURES:
        return value & LINK_PROTOCOL_FEATURES;
    case LINK_SET_LOG_BASE: /* an answer that nobody asks for by a flag: not 0 is no */
        if (value) {
            link_nonsense(l, "refused");
        }
        return 0;
    case LINK_GET_VRING_BASE:
    case LINK_GET_QUEUE_NUM:
    case LINK_GET_MAX_MEM_SLOTS:
        return value;
    default:
        if (l->want_ack && value) {
            link_nonsense(l, "refused");
            return 0;
        }
        return value;
    }
}

/* QEMU's core reads a header, then as many bytes as it announced. */
static int link_sync_read(Chardev *chr, const uint8_t *buf, int len)
{
    VgpuLink *l = VGPU_LINK(chr);
    uint8_t *out = (uint8_t *)buf; /* const in the class, to be written in fact */

    if (!l->in_payload && len == sizeof(LinkHeader)) {
        LinkHeader h;

        link_header(l, &h);
        memcpy(out, &h, sizeof(h));
        l->in_payload = true;
    } else if (l->in_payload && len == LINK_REPLY_SIZE) {
        uint64_t value = link_payload(l);

        memcpy(out, &value, sizeof(value));
        l->in_payload = false;
    } else {
        /* A message of a kind that we do not let through. */
        link_nonsense(l, "was asked in a way not supported:");
        memset(out, 0, len);
    }
    return len;
}

static int link_set_msgfds(Chardev *chr, int *fds, int num)
{
    VgpuLink *l = VGPU_LINK(chr);

    if (num < 0 || num > LINK_FDS_MAX) {
        return -1;
    }
    if (num) {
        memcpy(l->fds, fds, num * sizeof(int));
    }
    l->nfds = num;
    return 0;
}

/* Between exchanges the renderer has nothing to say here but good-bye. */
static void link_readable(void *opaque)
{
    VgpuLink *l = opaque;
    char c;
    ssize_t n = recv(l->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n > 0) {
        vgpu_lose(l->dev, VGPU_LOST_PROTOCOL, "it sent a vhost-user message nobody asked for");
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        link_closed(l);
    }
}

VgpuLink *vgpu_link_new(VgpuDevice *d, int fd)
{
    VgpuLink *l = VGPU_LINK(object_new(TYPE_VGPU_LINK));

    l->dev = d;
    l->fd = fd;
    l->breath_bh = qemu_bh_new(link_breath, l);
    return l;
}

void vgpu_link_set_budget(VgpuLink *l, int64_t ms)
{
    l->budget_ns = ms * SCALE_MS;
    l->waited_ns = 0;
}

void vgpu_link_watch(VgpuLink *l)
{
    qemu_set_fd_handler(l->fd, link_readable, NULL, l);
}

void vgpu_link_kill(VgpuLink *l)
{
    if (!l->dead) {
        l->dead = true;
        qemu_set_fd_handler(l->fd, NULL, NULL, NULL);
        shutdown(l->fd, SHUT_RDWR);
    }
}

static void link_init(Object *obj)
{
    VGPU_LINK(obj)->fd = -1;
}

static void link_finalize(Object *obj)
{
    VgpuLink *l = VGPU_LINK(obj);

    if (l->breath_bh) {
        qemu_bh_delete(l->breath_bh);
    }
    if (l->fd >= 0) {
        qemu_set_fd_handler(l->fd, NULL, NULL, NULL);
        close(l->fd);
    }
}

static void link_class_init(ObjectClass *oc, void *data)
{
    ChardevClass *cc = CHARDEV_CLASS(oc);

    cc->internal = true;
    cc->chr_write = link_write;
    cc->chr_sync_read = link_sync_read;
    cc->set_msgfds = link_set_msgfds;
}

static const TypeInfo link_info = {
    .name = TYPE_VGPU_LINK,
    .parent = TYPE_CHARDEV,
    .instance_size = sizeof(VgpuLink),
    .instance_init = link_init,
    .instance_finalize = link_finalize,
    .class_init = link_class_init,
};

static void link_register(void)
{
    type_register_static(&link_info);
}

type_init(link_register)
