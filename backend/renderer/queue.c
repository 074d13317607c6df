/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors: popped, read, answered, pushed.  See vhost.h for the theory. */
#include "vhost.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "adopt.h"
#include "dirty.h"
#include "log.h"

/* A ring is served while QEMU started and enabled it, the guest took what it is of, and behaves. */
bool queue_running(Vhost *v, unsigned q)
{
    VuVirtq *vq = vu_get_queue(&v->dev, q);
    bool enabled = vq->enable || !(v->dev.features & (1ull << VHOST_USER_F_PROTOCOL_FEATURES));

    enabled &= q < VHOST_QUEUE_SUBMIT || vhost_has_feature(v, VGPU_F_SUBMIT_QUEUES);
    return !v->dev.broken && vq->started && enabled && vq->vring.num;
}

/* Nothing keeps chains from being taken. */
static bool queue_popping(Vhost *v, unsigned q)
{
    return !v->reset_wanted && !v->adopting && !v->draining && !v->let_go && queue_running(v, q);
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
 * The ring goes on where a lost renderer left it.  What that one's table says is
 * held against the ring itself: chains that are not there, or more of them than
 * the guest waits for, would be answers to nothing.
 */
void queue_resume(Vhost *v, unsigned q)
{
    VuVirtq *vq = vu_get_queue(&v->dev, q);
    VhostQueue *queue = &v->queue[q];
    const EstateQueue *in = &queue->inherited;
    unsigned n = 0;
    uint32_t taken;
    uint16_t used;

    queue->inherits = false;
    queue->run = in->ring.taken;
    vu_queue_empty(&v->dev, vq); /* finds the ring, where memory has changed since */
    if (!queue_running(v, q) || !vq->vring.avail || !vq->vring.used) {
        return;
    }
    used = __atomic_load_n(&vq->vring.used->idx, __ATOMIC_ACQUIRE);
    vq->resubmit_list = calloc(MAX(in->count, 1), sizeof(*vq->resubmit_list));
    for (unsigned i = in->count; vq->resubmit_list && i-- > 0;) { /* libvhost-user takes the last one first */
        const EstateChain *c = &in->chain[i];
        bool answered = in->ring.used_idx != used && c->head == in->ring.last_head;

        if (c->head < vq->vring.num && !answered) {
            vq->resubmit_list[n++] = (VuVirtqInflightDesc){ c->head, MIN(c->tries, ADOPT_TRIES_MAX) + 1 };
        }
    }
    if (n > (uint16_t)(__atomic_load_n(&vq->vring.avail->idx, __ATOMIC_ACQUIRE) - used)) {
        log_say("virtqueue %u: the lost renderer's table has %u commands in flight, more than the guest "
                "waits for: they are taken from the ring",
                q, n);
        n = 0;
    }
    for (unsigned i = n; i-- > 0;) {
        table_popped(v->table, q, vq->resubmit_list[i].index, (uint32_t)vq->resubmit_list[i].counter);
    }
    table_ring(v->table, q, used);
    /* The ring knows how many were taken but for what wrapped, and that the table knows. */
    taken = in->ring.taken + (uint32_t)(int16_t)((uint16_t)(used + n) - (uint16_t)in->ring.taken);
    table_taken(v->table, q, taken);
    queue->run = taken - n;
    vq->resubmit_num = (uint16_t)n;
    vq->inuse = n;
    vq->used_idx = used;
    vq->last_avail_idx = vq->shadow_avail_idx = (uint16_t)(used + n);
    /* It may have been lost between an answer and its interrupt. */
    vq->signalled_used_valid = false;
    queue->notify = true;
    queue_notify_locked(v);
}

/* A chain that a lost renderer left, with how many were lost with it; NULL: there is none. */
static Element *queue_take(Vhost *v, unsigned q, uint32_t *tries)
{
    VuVirtq *vq = vu_get_queue(&v->dev, q);
    Element *e;

    *tries = 0;
    while (vq->resubmit_list && vq->resubmit_num) {
        VuVirtqInflightDesc d = vq->resubmit_list[vq->resubmit_num - 1];

        v->replaying = true;
        e = vu_queue_pop(&v->dev, vq, sizeof(Element));
        v->replaying = false;
        *tries = (uint32_t)d.counter;
        if (e) {
            return e;
        }
        v->dev.broken = false; /* that is not the guest's fault */
        vq->inuse--;
        table_push_end(v->table, q, d.index, vq->used_idx);
    }
    return NULL;
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
    if (queue_popping(v, q) && v->queue[q].inherits) {
        queue_resume(v, q);
    }
    while (n < max && queue_popping(v, q)) {
        uint32_t tries;
        Element *e = queue_take(v, q, &tries);

        if (!e && vu_queue_empty(&v->dev, vq)) {
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
        e = e ? e : vu_queue_pop(&v->dev, vq, sizeof(*e));
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
        e->tries = tries;
        if (!tries) {
            table_popped(v->table, q, e->vu.index, 0);
        }
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

void element_write_answer(const Element *e)
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
    if (e->generation != v->generation || v->dev.broken || v->let_go) {
        element_free(e);
        return;
    }
    if (!queue_running(v, e->queue)) {
        *queue->held_tail = e;
        queue->held_tail = &e->next;
        return;
    }
    if (v->hostile.kind && hostile_push(v, e)) {
        return;
    }
    element_write_answer(e);
    dirty_iov(v, e->memory, e->vu.in_sg, e->vu.in_num, e->answer_size);
    table_push_begin(v->table, e->queue, e->vu.index);
    v->at_queue = e->queue;
    vu_queue_push(&v->dev, vq, &e->vu, e->answer_size);
    v->at_queue = -1;
    dirty_ring(v, e->queue);
    table_push_end(v->table, e->queue, e->vu.index, vq->used_idx);
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
