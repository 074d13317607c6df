/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of the attach protocol. */
#include "attach.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int attach_connect(Vgpud *d)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, d->socket, sizeof(addr.sun_path));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct vgpu_attach_request attach_request(const char *profile, const char *name, unsigned number)
{
    struct vgpu_attach_request r = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_REQUEST, sizeof(r), 0 },
        .max_outputs = 1,
    };

    g_strlcpy(r.profile, profile, sizeof(r.profile));
    g_strlcpy(r.name, name, sizeof(r.name));
    g_strlcpy(r.device, "vgpu0", sizeof(r.device));
    memset(r.uuid, 0x11, sizeof(r.uuid));
    memcpy(r.uuid, &number, sizeof(number));
    return r;
}

bool attach_send(int fd, const void *packet, size_t size, const int *fds, unsigned n_fds)
{
    char control[CMSG_SPACE(sizeof(int) * 8)] = { 0 };
    struct iovec iov = { (void *)packet, size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n_fds) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)size;
}

static unsigned take_fds(struct msghdr *msg, int all[8])
{
    unsigned n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(all, CMSG_DATA(c), n * sizeof(int));
        }
    }
    return n;
}

bool attach_receive_any(int fd, AttachPacket *p, FrontendFds *fds, int timeout)
{
    static const size_t sizes[] = {
        [VGPU_ATTACH_ACCEPTED] = sizeof(struct vgpu_attach_accepted),
        [VGPU_ATTACH_REFUSED] = sizeof(struct vgpu_attach_refused),
        [VGPU_ATTACH_EVENT] = sizeof(struct vgpu_attach_event),
    };
    char control[CMSG_SPACE(sizeof(int) * 8)];
    struct iovec iov = { p, sizeof(*p) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    int all[8];
    unsigned n_fds;
    ssize_t n;

    memset(p, 0, sizeof(*p));
    if (poll(&poll_fd, 1, timeout) <= 0) {
        return false;
    }
    do { /* that it closed with something unread is told once, before what it had sent */
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == ECONNRESET);
    if (n <= 0) {
        return false;
    }
    n_fds = take_fds(&msg, all);
    g_assert_cmphex(p->hdr.magic, ==, VGPU_ATTACH_MAGIC);
    g_assert_cmpuint(p->hdr.version, ==, VGPU_ATTACH_VERSION);
    g_assert_cmpuint(p->hdr.size, ==, (size_t)n);
    g_assert_cmpuint(p->hdr.fd_count, ==, n_fds);
    if (p->hdr.type >= G_N_ELEMENTS(sizes) || !sizes[p->hdr.type] || sizes[p->hdr.type] != (size_t)n) {
        g_test_fail_printf("vgpud sent a packet of type %u and %zd bytes", p->hdr.type, n);
        return false;
    }
    if (p->hdr.type == VGPU_ATTACH_REFUSED) {
        g_assert_nonnull(memchr(p->refused.message, 0, sizeof(p->refused.message)));
        g_assert_cmpuint(p->refused.pad, ==, 0);
    }
    if (fds && n_fds == VGPU_ATTACH_FD_COUNT) {
        fds->vhost = all[VGPU_ATTACH_FD_VHOST_USER];
        fds->channel = all[VGPU_ATTACH_FD_CHANNEL];
        fds->stats = all[VGPU_ATTACH_FD_STATS];
        fds->objects = all[VGPU_ATTACH_FD_OBJECTS];
    } else if (n_fds) {
        g_test_fail_printf("vgpud sent %u descriptors", n_fds);
        return false;
    }
    return true;
}

bool attach_is_changed(const AttachPacket *p)
{
    return p->hdr.type == VGPU_ATTACH_EVENT && p->event.event == VGPU_EVENT_CHANGED;
}

bool attach_receive(int fd, AttachPacket *p, FrontendFds *fds, int timeout)
{
    do {
        if (!attach_receive_any(fd, p, fds, timeout)) {
            return false;
        }
    } while (attach_is_changed(p));
    return true;
}

bool attach_changed(int fd, int timeout)
{
    AttachPacket p;

    return attach_receive_any(fd, &p, NULL, timeout) && attach_is_changed(&p);
}

Frontend *attach_vm_over(int fd, const char *profile, const char *name, unsigned number)
{
    struct vgpu_attach_request r = attach_request(profile, name, number);
    FrontendOptions o = { .ram = 32ull << 20 };
    AttachPacket p;
    FrontendFds fds;

    if (fd < 0 || !attach_send(fd, &r, sizeof(r), NULL, 0) ||
        !attach_receive(fd, &p, &fds, ATTACH_DEADLINE)) {
        g_test_fail_printf("vgpud did not answer the request of %s", name);
        return NULL;
    }
    if (p.hdr.type != VGPU_ATTACH_ACCEPTED) {
        g_test_fail_printf("vgpud refused %s: %s", name, p.refused.message);
        return NULL;
    }
    return frontend_adopt(&o, &fds);
}

Frontend *attach_vm(Vgpud *d, const char *profile, const char *name, unsigned number, int *fd)
{
    *fd = attach_connect(d);
    return attach_vm_over(*fd, profile, name, number);
}

char *attach_refused(int fd, uint32_t code)
{
    AttachPacket p;

    if (!attach_receive(fd, &p, NULL, ATTACH_DEADLINE)) {
        g_test_fail_printf("no answer, and REFUSED with code %u was expected", code);
        return g_strdup("");
    }
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_REFUSED);
    g_assert_cmpuint(p.refused.code, ==, code);
    g_assert_true(attach_closed(fd, ATTACH_DEADLINE));
    return g_strndup(p.refused.message, sizeof(p.refused.message));
}

bool attach_closed(int fd, int timeout)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    AttachPacket last;
    ssize_t n;

    do {
        n = poll(&p, 1, timeout) > 0 ? recv(fd, &last, sizeof(last), MSG_DONTWAIT) : -1;
    } while (n == sizeof(last.event) && attach_is_changed(&last));
    return n == 0;
}
