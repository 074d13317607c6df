/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vhost.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VERSION      1u
#define F_REPLY      (1u << 2)
#define F_NEED_REPLY (1u << 3)
#define PAYLOAD_MAX  512
#define FDS_MAX      8

typedef struct VhostHdr {
    uint32_t request, flags, size;
} VhostHdr;

typedef struct VhostState {
    uint32_t index, num;
} VhostState;

typedef struct VhostAddr {
    uint32_t index, flags;
    uint64_t desc, used, avail, log;
} VhostAddr;

G_STATIC_ASSERT(sizeof(VhostHdr) == 12);
G_STATIC_ASSERT(sizeof(VhostAddr) == 40);

void vhost_init(Vhost *v, int fd)
{
    memset(v, 0, sizeof(*v));
    v->fd = fd;
}

void vhost_finish(Vhost *v)
{
    if (v->fd >= 0) {
        close(v->fd);
    }
    v->fd = -1;
}

static bool fail(Vhost *v, uint32_t request, const char *what)
{
    if (!v->failed) {
        g_test_message("vhost-user request %u: %s", request, what);
    }
    v->failed = true;
    return false;
}

static bool send_message(Vhost *v, const VhostHdr *h, const void *payload, const int *fds, unsigned n_fds)
{
    char control[CMSG_SPACE(sizeof(int) * FDS_MAX)] = { 0 };
    struct iovec iov[2] = {
        { .iov_base = (void *)h, .iov_len = sizeof(*h) },
        { .iov_base = (void *)payload, .iov_len = h->size },
    };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    g_assert_cmpuint(n_fds, <=, FDS_MAX);
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
    return sendmsg(v->fd, &msg, MSG_NOSIGNAL) == (ssize_t)(sizeof(*h) + h->size);
}

/* Reads exactly size bytes or gives up at the deadline (monotonic, us). */
static bool receive(Vhost *v, void *data, size_t size, int64_t deadline)
{
    size_t have = 0;

    while (have < size) {
        struct pollfd p = { .fd = v->fd, .events = POLLIN };
        int64_t left = (deadline - g_get_monotonic_time()) / 1000;
        ssize_t n;

        if (left <= 0 || poll(&p, 1, left) < 0) {
            return false;
        }
        n = recv(v->fd, (char *)data + have, size - have, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        have += MAX(n, 0);
    }
    return true;
}

bool vhost_exchange(Vhost *v, uint32_t request, const void *payload, uint32_t size, const int *fds,
                    unsigned n_fds, void *reply, uint32_t reply_size)
{
    bool ack = !reply && (v->protocol_features & (1u << VHOST_PROTOCOL_REPLY_ACK));
    VhostHdr h = { .request = request, .flags = VERSION | (ack ? F_NEED_REPLY : 0), .size = size };
    int64_t deadline = g_get_monotonic_time() + VHOST_DEADLINE * 1000;
    uint8_t answer[PAYLOAD_MAX];

    if (v->failed) {
        return false;
    }
    if (!send_message(v, &h, payload, fds, n_fds)) {
        return fail(v, request, "could not be sent");
    }
    if (!reply && !ack) {
        return true;
    }
    if (!receive(v, &h, sizeof(h), deadline)) {
        return fail(v, request, "no answer within the deadline, or the socket was closed");
    }
    if (h.request != request || !(h.flags & F_REPLY) || h.size > sizeof(answer)) {
        return fail(v, request, "the answer is for something else");
    }
    if (!receive(v, answer, h.size, deadline)) {
        return fail(v, request, "half an answer");
    }
    if (reply) {
        memset(reply, 0, reply_size);
        memcpy(reply, answer, MIN(h.size, reply_size));
        return h.size >= reply_size || fail(v, request, "the answer is too short");
    }
    return h.size == 8 && !memcmp(answer, &(uint64_t){ 0 }, 8);
}

bool vhost_get_features(Vhost *v, uint64_t *features)
{
    return vhost_exchange(v, VHOST_GET_FEATURES, NULL, 0, NULL, 0, features, sizeof(*features));
}

bool vhost_set_features(Vhost *v, uint64_t features)
{
    return vhost_exchange(v, VHOST_SET_FEATURES, &features, sizeof(features), NULL, 0, NULL, 0);
}

bool vhost_handshake(Vhost *v, bool mem_slots)
{
    uint64_t want = (1u << VHOST_PROTOCOL_REPLY_ACK) | (mem_slots ? 1u << VHOST_PROTOCOL_MEM_SLOTS : 0);
    uint64_t offered = 0;

    if (!vhost_get_features(v, &v->features)) {
        return false;
    }
    if (v->features & (1ull << VHOST_F_PROTOCOL_FEATURES)) {
        if (!vhost_exchange(v, VHOST_GET_PROTOCOL_FEATURES, NULL, 0, NULL, 0, &offered, sizeof(offered))) {
            return false;
        }
        want &= offered;
        if (!vhost_exchange(v, VHOST_SET_PROTOCOL_FEATURES, &want, sizeof(want), NULL, 0, NULL, 0)) {
            return false;
        }
        v->protocol_features = want;
    }
    return vhost_exchange(v, VHOST_SET_OWNER, NULL, 0, NULL, 0, NULL, 0);
}

void vhost_ram_regions(Ram *ram, VhostRegion regions[2])
{
    regions[0] = (VhostRegion){ RAM_LOW_GPA, ram->low_size, RAM_LOW_QVA, 0 };
    regions[1] = (VhostRegion){ RAM_HIGH_GPA, ram->high_size, RAM_HIGH_QVA, ram->low_size };
}

bool vhost_add_region(Vhost *v, Ram *ram, const VhostRegion *r)
{
    struct {
        uint64_t pad;
        VhostRegion r;
    } m = { 0, *r };

    return vhost_exchange(v, VHOST_ADD_MEM_REG, &m, sizeof(m), &ram->fd, 1, NULL, 0);
}

bool vhost_remove_region(Vhost *v, Ram *ram, const VhostRegion *r)
{
    struct {
        uint64_t pad;
        VhostRegion r;
    } m = { 0, *r };

    return vhost_exchange(v, VHOST_REM_MEM_REG, &m, sizeof(m), &ram->fd, 1, NULL, 0);
}

bool vhost_set_mem_table(Vhost *v, Ram *ram, int high_fd, uint64_t high_offset)
{
    struct {
        uint32_t n, pad;
        VhostRegion r[2];
    } m = { .n = 2 };
    int fds[2] = { ram->fd, high_fd };

    vhost_ram_regions(ram, m.r);
    m.r[1].fd_offset = high_offset;
    return vhost_exchange(v, VHOST_SET_MEM_TABLE, &m, sizeof(m), fds, 2, NULL, 0);
}

bool vhost_set_memory(Vhost *v, Ram *ram)
{
    VhostRegion r[2];

    if (v->protocol_features & (1u << VHOST_PROTOCOL_MEM_SLOTS)) {
        vhost_ram_regions(ram, r);
        return vhost_add_region(v, ram, &r[0]) && vhost_add_region(v, ram, &r[1]);
    }
    return vhost_set_mem_table(v, ram, ram->fd, ram->low_size);
}

/* The order in which QEMU's vhost_virtqueue_start() sends them. */
bool vhost_start_ring(Vhost *v, unsigned index, Vring *vr, uint16_t base)
{
    VhostState num = { index, vr->num }, start = { index, base }, enable = { index, 1 };
    VhostAddr addr = {
        .index = index,
        .desc = ram_qva(vr->ram, vr->desc_gpa),
        .avail = ram_qva(vr->ram, vr->avail_gpa),
        .used = ram_qva(vr->ram, vr->used_gpa),
    };
    uint64_t which = index;

    return vhost_exchange(v, VHOST_SET_VRING_NUM, &num, sizeof(num), NULL, 0, NULL, 0) &&
           vhost_exchange(v, VHOST_SET_VRING_BASE, &start, sizeof(start), NULL, 0, NULL, 0) &&
           vhost_exchange(v, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0, NULL, 0) &&
           vhost_exchange(v, VHOST_SET_VRING_KICK, &which, sizeof(which), &vr->kick_fd, 1, NULL, 0) &&
           vhost_exchange(v, VHOST_SET_VRING_CALL, &which, sizeof(which), &vr->call_fd, 1, NULL, 0) &&
           vhost_exchange(v, VHOST_SET_VRING_ENABLE, &enable, sizeof(enable), NULL, 0, NULL, 0);
}

bool vhost_stop_ring(Vhost *v, unsigned index, uint16_t *base)
{
    VhostState enable = { index, 0 }, get = { index, 0 }, got;

    if (!vhost_exchange(v, VHOST_SET_VRING_ENABLE, &enable, sizeof(enable), NULL, 0, NULL, 0) ||
        !vhost_exchange(v, VHOST_GET_VRING_BASE, &get, sizeof(get), NULL, 0, &got, sizeof(got))) {
        return false;
    }
    *base = got.num;
    return true;
}
