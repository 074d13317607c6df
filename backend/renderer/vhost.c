/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost-user messages and the life of the rings.  See vhost.h for the theory. */
#include "vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dirty.h"
#include "log.h"

/* VIRTIO_F_VERSION_1, the ring features that libvhost-user serves, and a log of what is written. */
#define VHOST_RING_FEATURES                                                                                  \
    ((1ull << 32) | (1ull << VIRTIO_RING_F_INDIRECT_DESC) | (1ull << VIRTIO_RING_F_EVENT_IDX) |              \
     (1ull << VHOST_USER_F_PROTOCOL_FEATURES) | (1ull << VHOST_F_LOG_ALL))

/*
 * MQ for GET_QUEUE_NUM, REPLY_ACK so that QEMU hears of a region we cannot
 * map, memory slots so that a DIMM more does not take the whole table anew,
 * LOG_SHMFD for the log (dirty.h).
 * No config space (QEMU answers it), no postcopy.
 */
#define VHOST_PROTOCOL_FEATURES                                                                              \
    ((1ull << VHOST_USER_PROTOCOL_F_MQ) | (1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK) |                        \
     (1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | (1ull << VHOST_USER_PROTOCOL_F_LOG_SHMFD))

static Vhost *vhost_of(VuDev *dev)
{
    return (Vhost *)((char *)dev - offsetof(Vhost, dev));
}

void vhost_wake(Vhost *v)
{
    eventfd_write(v->wake_fd, 1);
}

int vhost_fd(const Vhost *v)
{
    return v->dev.sock;
}

void vhost_offer(Vhost *v, uint64_t device_features)
{
    __atomic_store_n(&v->offered, device_features | VHOST_RING_FEATURES, __ATOMIC_RELAXED);
}

bool vhost_has_feature(Vhost *v, unsigned bit)
{
    uint64_t acked = __atomic_load_n(&v->acked, __ATOMIC_RELAXED);
    uint64_t offered = __atomic_load_n(&v->offered, __ATOMIC_RELAXED);

    return acked & offered & (1ull << bit);
}

GuestMemory *vhost_memory(Vhost *v)
{
    GuestMemory *m;

    g_mutex_lock(&v->lock);
    m = guest_memory_ref(v->memory);
    g_mutex_unlock(&v->lock);
    return m;
}

/* libvhost-user: the guest (or, hardly, QEMU) did what must not be. */
static void vhost_panic(VuDev *dev, const char *what)
{
    Vhost *v = vhost_of(dev);

    if (v->replaying) {
        log_say("virtqueue %d: a command that the lost renderer left in flight is none: %s", v->at_queue,
                what ? what : "out of memory");
        return;
    }
    log_guest_loses("virtqueue %d: %s: the device is broken until the guest resets it", v->at_queue,
                    what ? what : "out of memory");
    if (v->at_queue >= 0 && v->dev.vq[v->at_queue].err_fd >= 0) {
        eventfd_write(v->dev.vq[v->at_queue].err_fd, 1);
    }
}

/* Queues have no handler, so libvhost-user never asks to watch anything. */
static void vhost_set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
}

static void vhost_remove_watch(VuDev *dev, int fd)
{
}

/*
 * The render thread polls a duplicate of the kick eventfd: libvhost-user closes
 * the original whenever it likes.
 */
static void vhost_set_started(VuDev *dev, int q, bool started)
{
    Vhost *v = vhost_of(dev);
    VhostQueue *queue = &v->queue[q];
    VuVirtq *vq = vu_get_queue(dev, q);

    if (queue->kick_fd >= 0) {
        epoll_ctl(v->work_fd, EPOLL_CTL_DEL, queue->kick_fd, NULL);
        close(queue->kick_fd);
        queue->kick_fd = -1;
    }
    if (started) {
        struct epoll_event ev = { .events = EPOLLIN, .data.u32 = q };

        /* What the ring says of it may be of one that was stopped at work: the first look mends it. */
        vq->notification = false;
        vq->signalled_used_valid = false;
        table_ring(v->table, (unsigned)q, vq->used_idx);
        if (vq->kick_fd >= 0) {
            queue->kick_fd = fcntl(vq->kick_fd, F_DUPFD_CLOEXEC, 0);
        }
        if (queue->kick_fd >= 0) {
            /* We read it when a queue is looked at, kicked or not. */
            fcntl(queue->kick_fd, F_SETFL, fcntl(queue->kick_fd, F_GETFL) | O_NONBLOCK);
            epoll_ctl(v->work_fd, EPOLL_CTL_ADD, queue->kick_fd, &ev);
        }
    }
}

/* Takes m: the table is now this one. */
static void vhost_use_memory(Vhost *v, GuestMemory *m)
{
    VuDev *dev = &v->dev;

    for (unsigned i = 0; i < m->count; i++) {
        const GuestRegion *r = m->region[i];

        dev->regions[i] = (VuDevRegion){
            .gpa = r->gpa,
            .size = r->size,
            .qva = r->qva,
            .mmap_addr = (uintptr_t)r->base,
            .mmap_offset = 0,
        };
    }
    dev->nregions = m->count;
    /* libvhost-user finds the rings again when it next touches them. */
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        VuRing *ring = &dev->vq[q].vring;

        ring->desc = NULL;
        ring->avail = NULL;
        ring->used = NULL;
    }
    guest_memory_unref(v->memory);
    v->memory = m;
    __atomic_add_fetch(&v->memory_serial, 1, __ATOMIC_RELAXED);
}

static bool vhost_set_mem_table(Vhost *v, VhostUserMsg *msg)
{
    VhostUserMemory t; /* the message is packed */
    GuestMemory *m = guest_memory_new();
    g_autoptr(GError) error = NULL;

    memcpy(&t, &msg->payload.memory, sizeof(t));
    if (t.nregions > VHOST_MEMORY_BASELINE_NREGIONS || (unsigned)msg->fd_num != t.nregions) {
        log_say("SET_MEM_TABLE with %u regions and %d descriptors refused", t.nregions, msg->fd_num);
        guest_memory_unref(m);
        return false;
    }
    for (unsigned i = 0; i < t.nregions; i++) {
        const VhostUserMemoryRegion *r = &t.regions[i];
        GuestMemory *more;

        more = guest_memory_add(m, r->guest_phys_addr, r->memory_size, r->userspace_addr, msg->fds[i],
                                r->mmap_offset, &error);
        guest_memory_unref(m);
        if (!more) {
            log_say("%s", error->message);
            return false;
        }
        m = more;
    }
    vhost_use_memory(v, m);
    return true;
}

static bool vhost_add_mem_reg(Vhost *v, VhostUserMsg *msg)
{
    VhostUserMemoryRegion r;
    GuestMemory *m;
    g_autoptr(GError) error = NULL;

    memcpy(&r, &msg->payload.memreg.region, sizeof(r));
    if (msg->fd_num != 1 || msg->size < sizeof(msg->payload.memreg)) {
        log_say("ADD_MEM_REG with %d descriptors and %u bytes refused", msg->fd_num, msg->size);
        return false;
    }
    m = guest_memory_add(v->memory, r.guest_phys_addr, r.memory_size, r.userspace_addr, msg->fds[0],
                         r.mmap_offset, &error);
    if (!m) {
        log_say("%s", error->message);
        return false;
    }
    vhost_use_memory(v, m);
    return true;
}

static bool vhost_remove_mem_reg(Vhost *v, VhostUserMsg *msg)
{
    VhostUserMemoryRegion r;
    GuestMemory *m;

    memcpy(&r, &msg->payload.memreg.region, sizeof(r));
    m = msg->size < sizeof(msg->payload.memreg)
            ? NULL
            : guest_memory_remove(v->memory, r.guest_phys_addr, r.memory_size, r.userspace_addr);
    if (!m) {
        log_say("REM_MEM_REG: there is no region at 0x%" PRIx64, (uint64_t)r.guest_phys_addr);
        return false;
    }
    vhost_use_memory(v, m);
    return true;
}

/* libvhost-user takes any number here and divides by it later. */
static bool vhost_vring_num_ok(const VhostUserMsg *msg)
{
    unsigned num = msg->payload.state.num;

    return msg->payload.state.index < VHOST_QUEUES && num && num <= VIRTQUEUE_MAX_SIZE && !(num & (num - 1));
}

/* libvhost-user checks where a ring begins only. */
static bool vhost_vring_addr_ok(const Vhost *v, const VhostUserMsg *msg)
{
    struct vhost_vring_addr a;
    unsigned num;

    memcpy(&a, &msg->payload.addr, sizeof(a));
    if (a.index >= VHOST_QUEUES) {
        return false;
    }
    num = v->dev.vq[a.index].vring.num;
    return num && !(a.desc_user_addr & 15) && !(a.avail_user_addr & 1) && !(a.used_user_addr & 3) &&
           guest_memory_has_qva(v->memory, a.desc_user_addr, 16ull * num) &&
           guest_memory_has_qva(v->memory, a.avail_user_addr, 6 + 2ull * num) &&
           guest_memory_has_qva(v->memory, a.used_user_addr, 6 + 8ull * num);
}

static void vhost_close_fds(VhostUserMsg *msg)
{
    for (int i = 0; i < msg->fd_num; i++) {
        close(msg->fds[i]);
    }
    msg->fd_num = 0;
}

static int vhost_reply_u64(VhostUserMsg *msg, uint64_t value, int *do_reply)
{
    vhost_close_fds(msg);
    msg->flags = 0;
    msg->size = sizeof(msg->payload.u64);
    msg->payload.u64 = value;
    *do_reply = 1;
    return 1;
}

/* For a request that has no answer of its own, where QEMU asked for one. */
static int vhost_reply_ack(VhostUserMsg *msg, bool ok, int *do_reply)
{
    if (msg->flags & VHOST_USER_NEED_REPLY_MASK) {
        return vhost_reply_u64(msg, ok ? 0 : 1, do_reply);
    }
    vhost_close_fds(msg);
    *do_reply = 0;
    return 1;
}

/* A ring stops: what was written and is not marked yet. */
static void vhost_stopping(Vhost *v, unsigned q)
{
    if (q < VHOST_QUEUES) {
        dirty_ring(v, q);
    }
    if (q == VHOST_QUEUE_CONTROL) {
        dirty_backings(v);
    }
}

/*
 * Every message passes here first.  1: we did it (memory, features, what is
 * refused); 0: libvhost-user does it.  Only requests named here get there: it
 * has some that exit the process, map what they are told or call userfaultfd.
 */
static int vhost_process_msg(VuDev *dev, VhostUserMsg *msg, int *do_reply)
{
    Vhost *v = vhost_of(dev);
    bool ok;

    switch (msg->request) {
    case VHOST_USER_GET_FEATURES:
        return vhost_reply_u64(msg, __atomic_load_n(&v->offered, __ATOMIC_RELAXED), do_reply);
    case VHOST_USER_GET_PROTOCOL_FEATURES:
        return vhost_reply_u64(msg, VHOST_PROTOCOL_FEATURES, do_reply);
    case VHOST_USER_SET_FEATURES:
        __atomic_store_n(&v->acked, msg->payload.u64, __ATOMIC_RELAXED);
        dirty_enable(v, msg->payload.u64 & (1ull << VHOST_F_LOG_ALL));
        return 0;
    case VHOST_USER_SET_LOG_BASE:
        ok = dirty_set_log(v, msg);
        return vhost_reply_u64(msg, ok ? 0 : 1, do_reply);
    case VHOST_USER_GET_VRING_BASE:
        vhost_stopping(v, msg->payload.state.index);
        return 0;
    case VHOST_USER_SET_MEM_TABLE:
        ok = vhost_set_mem_table(v, msg);
        return vhost_reply_ack(msg, ok, do_reply);
    case VHOST_USER_ADD_MEM_REG:
        ok = vhost_add_mem_reg(v, msg);
        return vhost_reply_ack(msg, ok, do_reply);
    case VHOST_USER_REM_MEM_REG:
        ok = vhost_remove_mem_reg(v, msg);
        return vhost_reply_ack(msg, ok, do_reply);
    case VHOST_USER_SET_VRING_NUM:
        if (!vhost_vring_num_ok(msg)) {
            log_say("a ring of %u descriptors refused: a power of 2 up to %d is needed",
                    msg->payload.state.num, VIRTQUEUE_MAX_SIZE);
            return vhost_reply_ack(msg, false, do_reply);
        }
        return 0;
    case VHOST_USER_SET_VRING_ADDR:
        if (!vhost_vring_addr_ok(v, msg)) {
            log_say("a ring that is not in guest memory refused");
            return vhost_reply_ack(msg, false, do_reply);
        }
        return 0;
    case VHOST_USER_SET_PROTOCOL_FEATURES:
        msg->payload.u64 &= VHOST_PROTOCOL_FEATURES;
        return 0;
    case VHOST_USER_SET_OWNER:
    case VHOST_USER_RESET_OWNER:
    case VHOST_USER_SET_VRING_BASE:
    case VHOST_USER_SET_VRING_KICK:
    case VHOST_USER_SET_VRING_CALL:
    case VHOST_USER_SET_VRING_ERR:
    case VHOST_USER_GET_QUEUE_NUM:
    case VHOST_USER_SET_VRING_ENABLE:
    case VHOST_USER_GET_MAX_MEM_SLOTS:
        return 0;
    default:
        log_say("vhost-user request %d is not served", msg->request);
        return vhost_reply_ack(msg, false, do_reply);
    }
}

/* All of size bytes, in however many pieces they come. */
static bool vhost_read_full(int fd, void *dst, size_t size)
{
    uint8_t *p = dst;

    while (size) {
        ssize_t n = recv(fd, p, size, MSG_WAITALL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        size -= n;
    }
    return true;
}

/*
 * Instead of libvhost-user's own, which panics at the end of the connection
 * and asserts that a message comes in one piece.
 */
static bool vhost_read_msg(VuDev *dev, int sock, VhostUserMsg *msg)
{
    union {
        char buf[CMSG_SPACE(sizeof(msg->fds))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { .iov_base = msg, .iov_len = VHOST_USER_HDR_SIZE };
    struct msghdr mh = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.buf,
        .msg_controllen = sizeof(control.buf),
    };
    Vhost *v = vhost_of(dev);
    ssize_t n;

    do {
        n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);

    msg->fd_num = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); n > 0 && c; c = CMSG_NXTHDR(&mh, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t bytes = c->cmsg_len - CMSG_LEN(0);

            memcpy(msg->fds, CMSG_DATA(c), bytes);
            msg->fd_num = bytes / sizeof(int);
        }
    }
    if (n <= 0 || !vhost_read_full(sock, (uint8_t *)msg + n, VHOST_USER_HDR_SIZE - n)) {
        v->closed = true;
    } else if (msg->size > sizeof(msg->payload)) {
        log_say("vhost-user request %d with %u bytes refused", msg->request, msg->size);
        v->closed = true;
    } else if (!vhost_read_full(sock, &msg->payload, msg->size)) {
        v->closed = true;
    }
    if (v->closed) {
        vhost_close_fds(msg);
    }
    return !v->closed;
}

static const VuDevIface vhost_iface = {
    .process_msg = vhost_process_msg,
    .queue_set_started = vhost_set_started,
};

bool vhost_serve(Vhost *v)
{
    bool ok;

    g_mutex_lock(&v->lock);
    ok = vu_dispatch(&v->dev) && !v->closed;
    for (unsigned q = 0; ok && q < VHOST_QUEUES; q++) {
        if (queue_running(v, q)) {
            queue_release_held(v, q);
        }
    }
    queue_notify_locked(v);
    g_mutex_unlock(&v->lock);
    vhost_wake(v);
    return ok;
}

static void vhost_forget_inherited(Vhost *v, unsigned q)
{
    g_clear_pointer(&v->queue[q].inherited.chain, g_free);
    v->queue[q].inherits = false;
}

void vhost_inherit(Vhost *v, const EstateQueue queue[VHOST_QUEUES])
{
    g_mutex_lock(&v->lock);
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        VhostQueue *to = &v->queue[q];

        vhost_forget_inherited(v, q);
        to->inherited = queue[q];
        to->inherited.chain = g_memdup2(queue[q].chain, queue[q].count * sizeof(*queue[q].chain));
        to->inherits = true;
    }
    v->adopting = true;
    g_mutex_unlock(&v->lock);
}

unsigned vhost_inherited(Vhost *v, uint32_t run[VHOST_QUEUES])
{
    unsigned n = 0;

    g_mutex_lock(&v->lock);
    v->adopting = false;
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        if (v->queue[q].inherits && queue_running(v, q)) {
            queue_resume(v, q);
        }
        n += vu_get_queue(&v->dev, q)->resubmit_num;
        run[q] = v->queue[q].run;
    }
    g_mutex_unlock(&v->lock);
    return n;
}

static bool runs_locked(Vhost *v)
{
    return queue_running(v, VHOST_QUEUE_CONTROL) || queue_running(v, VHOST_QUEUE_CURSOR);
}

bool vhost_runs(Vhost *v)
{
    bool runs;

    g_mutex_lock(&v->lock);
    runs = runs_locked(v);
    g_mutex_unlock(&v->lock);
    return runs;
}

bool vhost_copy_stopped(Vhost *v, uint8_t *rings)
{
    bool runs;

    g_mutex_lock(&v->lock);
    runs = runs_locked(v);
    if (!runs) {
        memcpy(rings, table_bytes(v->table) + TABLE_RINGS_AT, TABLE_RINGS_SIZE);
    }
    g_mutex_unlock(&v->lock);
    return !runs;
}

void vhost_drain(Vhost *v)
{
    g_mutex_lock(&v->lock);
    v->draining = true;
    g_mutex_unlock(&v->lock);
}

bool vhost_drained(Vhost *v)
{
    bool done = true;

    g_mutex_lock(&v->lock);
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        /* Those of a ring that is stopped are the next renderer's. */
        done &= !queue_running(v, q) || !vu_get_queue(&v->dev, q)->inuse;
    }
    g_mutex_unlock(&v->lock);
    return done;
}

void vhost_let_go(Vhost *v)
{
    g_mutex_lock(&v->lock);
    v->let_go = true;
    table_let_go(v->table);
    g_mutex_unlock(&v->lock);
}

void vhost_reset(Vhost *v, uint32_t generation)
{
    g_mutex_lock(&v->lock);
    g_atomic_int_set(&v->generation, generation);
    v->reset_wanted = true;
    timeline_drop_all(v);
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        VuVirtq *vq = vu_get_queue(&v->dev, q);

        queue_drop_held(v, q);
        v->queue[q].notify = false;
        vhost_forget_inherited(v, q);
        free(vq->resubmit_list); /* libvhost-user's calloc() */
        vq->resubmit_list = NULL;
        vq->resubmit_num = 0;
        /*
         * libvhost-user knows no reset.  Whatever the order in which QEMU
         * stops the rings and says so: nothing is popped from the old ones.
         */
        vq->started = false;
        memset(&vq->vra, 0, sizeof(vq->vra));
        vq->vring.desc = NULL;
        vq->vring.avail = NULL;
        vq->vring.used = NULL;
        vq->inuse = 0;
        vq->last_avail_idx = vq->shadow_avail_idx = vq->used_idx = 0;
        vq->signalled_used_valid = false;
        vq->notification = true;
    }
    v->dev.broken = false;
    v->adopting = false;
    hostile_reset(v);
    table_rings_clear(v->table);
    g_mutex_unlock(&v->lock);
    vhost_wake(v);
}

bool vhost_reset_wanted(Vhost *v, uint32_t *generation)
{
    bool wanted;

    g_mutex_lock(&v->lock);
    wanted = v->reset_wanted;
    *generation = v->generation;
    g_mutex_unlock(&v->lock);
    return wanted;
}

void vhost_reset_done(Vhost *v, uint32_t generation)
{
    g_mutex_lock(&v->lock);
    if (v->generation == generation) {
        v->reset_wanted = false;
    }
    g_mutex_unlock(&v->lock);
}

Vhost *vhost_new(int fd, Table *table, struct vgpu_stats *stats, GError **error)
{
    Vhost *v = g_new0(Vhost, 1);
    struct epoll_event ev = { .events = EPOLLIN, .data.u32 = VHOST_WORK_WAKE };

    g_mutex_init(&v->lock);
    v->table = table;
    v->stats = stats;
    v->memory = guest_memory_new();
    v->at_queue = -1;
    v->work_fd = epoll_create1(EPOLL_CLOEXEC);
    v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        v->queue[q].kick_fd = -1;
        v->queue[q].held_tail = &v->queue[q].held;
    }
    timeline_init(v);
    if (v->work_fd < 0 || v->wake_fd < 0 || epoll_ctl(v->work_fd, EPOLL_CTL_ADD, v->wake_fd, &ev) < 0 ||
        !vu_init(&v->dev, VHOST_QUEUES, fd, vhost_panic, vhost_read_msg, vhost_set_watch, vhost_remove_watch,
                 &vhost_iface)) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot serve vhost-user on descriptor %d: %s", fd, g_strerror(errno));
        g_free(v);
        return NULL;
    }
    /* Waits happen in poll(): a message, once begun, comes whole. */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return v;
}
