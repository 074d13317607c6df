/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors: popped, read, answered, pushed.  See vhost.h for the theory. */
#include "vhost.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"

/* A ring is served while QEMU started and enabled it and the guest behaves. */
bool queue_running(Vhost *v, unsigned q)
{
    VuVirtq *vq = vu_get_queue(&v->dev, q);
    bool enabled = vq->enable || !(v->dev.features & (1ull << VHOST_USER_F_PROTOCOL_FEATURES));

    return !v->dev.broken && vq->started && enabled && vq->vring.num;
}

void element_free(Element *e)
{
    guest_memory_unref(e->memory);
    g_free(e->answer);
    free(e); /* libvhost-user's malloc */
}

bool element_stale(Vhost *v, const Element *e)
{
    return (uint32_t)g_atomic_int_get(&v->generation) != e->generation;
}

static uint64_t iov_bytes(const struct iovec *iov, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++) {
        bytes += iov[i].iov_len;
    }
    return bytes;
}

/* Lock held. */
static void queue_read_kick(Vhost *v, unsigned q)
{
    eventfd_t kicks;

    if (v->queue[q].kick_fd >= 0) {
        eventfd_read(v->queue[q].kick_fd, &kicks);
    }
}

/* Nothing is lost: who begins to pop again looks at the ring, kicked or not. */
unsigned queue_quiet(Vhost *v, unsigned q)
{
    VuVirtq *vq = vu_get_queue(&v->dev, q);
    unsigned n = 0;

    g_mutex_lock(&v->lock);
    v->at_queue = q;
    queue_read_kick(v, q);
    if (!v->reset_wanted && queue_running(v, q) && !vu_queue_empty(&v->dev, vq) && vq->vring.avail) {
        /* Not what libvhost-user last saw of it, which stays old while the ring is not empty. */
        n = (uint16_t)(__atomic_load_n(&vq->vring.avail->idx, __ATOMIC_RELAXED) - vq->last_avail_idx);
        n = MIN(n, vq->vring.num);
    }
    v->at_queue = -1;
    g_mutex_unlock(&v->lock);
    return n;
}

/*
 * The guest is told not to kick while we look anyhow, and to kick again when
 * the ring is empty; the second look closes the gap between the two.
 */
unsigned queue_pop(Vhost *v, unsigned q, Element **out, unsigned max)
{
    VuVirtq *vq = vu_get_queue(&v->dev, q);
    unsigned n = 0;

    g_mutex_lock(&v->lock);
    v->at_queue = q;
    queue_read_kick(v, q);
    while (n < max && !v->reset_wanted && queue_running(v, q)) {
        Element *e;

        if (vu_queue_empty(&v->dev, vq)) {
            /* Checked after empty(), which maps the ring where needed. */
            if (!queue_running(v, q) || !vq->vring.avail || vq->notification) {
                break;
            }
            vu_queue_set_notification(&v->dev, vq, 1);
            if (vu_queue_empty(&v->dev, vq)) {
                break;
            }
        }
        if (vq->notification) {
            vu_queue_set_notification(&v->dev, vq, 0);
        }
        e = vu_queue_pop(&v->dev, vq, sizeof(*e));
        if (!e) {
            if (!v->dev.broken) {
                continue;
            }
            break;
        }
        /* libvhost-user filled in vu only. */
        memset((uint8_t *)e + sizeof(e->vu), 0, sizeof(*e) - sizeof(e->vu));
        e->memory = guest_memory_ref(v->memory);
        e->generation = v->generation;
        e->queue = q;
        e->out_size = iov_bytes(e->vu.out_sg, e->vu.out_num);
        e->in_size = iov_bytes(e->vu.in_sg, e->vu.in_num);
        table_inflight(v->table, q, e->vu.index, true);
        out[n++] = e;
    }
    v->at_queue = -1;
    g_mutex_unlock(&v->lock);
    return n;
}

bool element_read(const Element *e, uint64_t offset, void *dst, uint64_t size)
{
    uint8_t *p = dst;

    if (offset > e->out_size || size > e->out_size - offset) {
        return false;
    }
    for (unsigned i = 0; size && i < e->vu.out_num; i++) {
        const struct iovec *iov = &e->vu.out_sg[i];
        uint64_t n;

        if (offset >= iov->iov_len) {
            offset -= iov->iov_len;
            continue;
        }
        n = MIN(size, iov->iov_len - offset);
        memcpy(p, (const uint8_t *)iov->iov_base + offset, n);
        p += n;
        size -= n;
        offset = 0;
    }
    return true;
}

void element_answer(Element *e, const void *answer, uint32_t size)
{
    e->answer_size = MIN((uint64_t)size, e->in_size);
    if (e->answer_size > sizeof(e->inline_answer)) {
        e->answer = g_memdup2(answer, e->answer_size);
    } else if (e->answer_size) {
        memcpy(e->inline_answer, answer, e->answer_size);
    }
}

static void element_write_answer(const Element *e)
{
    const uint8_t *p = e->answer ? e->answer : e->inline_answer;
    uint32_t left = e->answer_size;

    for (unsigned i = 0; left && i < e->vu.in_num; i++) {
        uint32_t n = MIN((uint64_t)left, e->vu.in_sg[i].iov_len);

        memcpy(e->vu.in_sg[i].iov_base, p, n);
        p += n;
        left -= n;
    }
}

void queue_push_locked(Vhost *v, Element *e)
{
    VhostQueue *queue = &v->queue[e->queue];
    VuVirtq *vq = vu_get_queue(&v->dev, e->queue);

    e->next = NULL;
    if (e->generation != v->generation || v->dev.broken) {
        element_free(e);
        return;
    }
    if (!queue_running(v, e->queue)) {
        *queue->held_tail = e;
        queue->held_tail = &e->next;
        return;
    }
    element_write_answer(e);
    table_inflight(v->table, e->queue, e->vu.index, false);
    v->at_queue = e->queue;
    vu_queue_push(&v->dev, vq, &e->vu, e->answer_size);
    v->at_queue = -1;
    queue->notify = true;
    element_free(e);
}

/* Without a call eventfd yet (or again) the guest is told when one comes. */
void queue_notify_locked(Vhost *v)
{
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        VuVirtq *vq = vu_get_queue(&v->dev, q);

        if (v->queue[q].notify && vq->call_fd >= 0 && queue_running(v, q)) {
            v->queue[q].notify = false;
            v->at_queue = q;
            vu_queue_notify(&v->dev, vq);
            v->at_queue = -1;
        }
    }
}

void queue_push(Vhost *v, Element *first)
{
    g_mutex_lock(&v->lock);
    while (first) {
        Element *next = first->next;

        queue_push_locked(v, first);
        first = next;
    }
    queue_notify_locked(v);
    g_mutex_unlock(&v->lock);
}

static Element *queue_take_held(VhostQueue *queue)
{
    Element *e = queue->held;

    queue->held = NULL;
    queue->held_tail = &queue->held;
    return e;
}

void queue_release_held(Vhost *v, unsigned q)
{
    Element *e = queue_take_held(&v->queue[q]);

    while (e) {
        Element *next = e->next;

        queue_push_locked(v, e);
        e = next;
    }
}

void queue_drop_held(Vhost *v, unsigned q)
{
    Element *e = queue_take_held(&v->queue[q]);

    while (e) {
        Element *next = e->next;

        element_free(e);
        e = next;
    }
}
