/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hostile.h"

#include <linux/virtio_gpu.h>
#include <string.h>

#include "log.h"
#include "vhost.h"

static const char *const hostile_names[HOSTILE_KINDS] = {
    [HOSTILE_SHORT] = "short", [HOSTILE_EMPTY] = "empty",   [HOSTILE_TYPE] = "type",
    [HOSTILE_FENCE] = "fence", [HOSTILE_BODY] = "body",     [HOSTILE_ID] = "id",
    [HOSTILE_TWICE] = "twice", [HOSTILE_LENGTH] = "length", [HOSTILE_STOP] = "stop",
    [HOSTILE_JUMP] = "jump",
};

static const uint32_t hostile_types[] = {
    0,          VIRTIO_GPU_RESP_OK_EDID,         VIRTIO_GPU_CMD_SUBMIT_3D,       VIRTIO_GPU_RESP_OK_CAPSET,
    UINT32_MAX, VIRTIO_GPU_RESP_OK_DISPLAY_INFO, VIRTIO_GPU_RESP_ERR_UNSPEC - 1, VIRTIO_GPU_RESP_OK_MAP_INFO,
};

bool hostile_parse(const char *text, Hostile *h, GError **error)
{
    g_auto(GStrv) part = g_strsplit(text, ":", 5);
    guint n = g_strv_length(part);
    guint64 number[4] = { 0, 0, 1, UINT32_MAX };

    *h = (Hostile){ 0 };
    for (unsigned i = HOSTILE_SHORT; n && i < HOSTILE_KINDS; i++) {
        h->kind = g_str_equal(part[0], hostile_names[i]) ? i : h->kind;
    }
    for (guint i = 1; i < n && i < G_N_ELEMENTS(number); i++) {
        if (!g_ascii_string_to_unsigned(part[i], 10, 0, UINT32_MAX, &number[i], NULL)) {
            h->kind = HOSTILE_NONE;
        }
    }
    if (!h->kind || n > G_N_ELEMENTS(number)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "'%s' is no way of being hostile: KIND[:AFTER[:COUNT[:QUEUES]]] with decimal numbers, "
                    "KIND one of short, empty, type, fence, body, id, twice, length, stop and jump",
                    text);
        return false;
    }
    h->after = (uint32_t)number[1];
    h->count = (uint32_t)number[2];
    h->queues = (uint32_t)number[3];
    return true;
}

void hostile_begin(Vhost *v, const Hostile *h)
{
    g_mutex_lock(&v->lock);
    v->hostile = *h;
    g_mutex_unlock(&v->lock);
    log_say("a test's: from now on hostile to the guest (%s, %u answers after %u, queues 0x%x)",
            hostile_names[h->kind], h->count, h->after, h->queues);
}

bool hostile_asked(Vhost *v, const uint32_t words[5])
{
    const Hostile h = {
        .kind = words[1] < HOSTILE_KINDS ? (HostileKind)words[1] : HOSTILE_NONE,
        .queues = words[2],
        .after = words[3],
        .count = words[4],
        .asked = true,
    };

    if (h.kind != HOSTILE_NONE) {
        hostile_begin(v, &h);
    }
    return h.kind != HOSTILE_NONE;
}

void hostile_reset(Vhost *v)
{
    if (v->hostile.asked) {
        v->hostile = (Hostile){ 0 };
    }
}

/* Changes the answer itself. */
static void spoil_answer(Hostile *h, Element *e)
{
    uint8_t *answer = e->answer ? e->answer : e->inline_answer;
    struct virtio_gpu_ctrl_hdr hdr = { 0 };
    uint32_t has = MIN(e->answer_size, (uint32_t)sizeof(hdr));

    memcpy(&hdr, answer, has);
    switch (h->kind) {
    case HOSTILE_SHORT:
        e->answer_size = MIN(e->answer_size, 8u);
        break;
    case HOSTILE_EMPTY:
        e->answer_size = 0;
        break;
    case HOSTILE_TYPE:
        hdr.type = hostile_types[h->turn % G_N_ELEMENTS(hostile_types)];
        break;
    case HOSTILE_FENCE:
        hdr.flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;
        hdr.fence_id = h->turn % 2 ? UINT64_MAX : hdr.fence_id + 1000;
        hdr.ctx_id = UINT32_MAX;
        hdr.ring_idx = 255;
        break;
    case HOSTILE_BODY:
        memset(answer + has, 0xff, e->answer_size - has);
        break;
    default:
        break;
    }
    memcpy(answer, &hdr, MIN(e->answer_size, has));
}

/* What stands in the ring, and how far it says it has come: the driver looks at it any time. */
static void push(Vhost *v, Element *e, const struct vring_used_elem *instead, unsigned times)
{
    VuVirtq *vq = vu_get_queue(&v->dev, e->queue);

    for (unsigned i = 0; i < times; i++) {
        vu_queue_fill(&v->dev, vq, &e->vu, e->answer_size, i);
        if (instead && !v->dev.broken && vq->vring.used) {
            vq->vring.used->ring[(uint16_t)(vq->used_idx + i) % vq->vring.num] = *instead;
        }
    }
    vu_queue_flush(&v->dev, vq, times);
    vq->inuse += times - 1;
}

bool hostile_push(Vhost *v, Element *e)
{
    Hostile *h = &v->hostile;
    VuVirtq *vq = vu_get_queue(&v->dev, e->queue);
    struct vring_used_elem used = { .id = e->vu.index };

    if (!h->kind || !(h->queues & 1u << e->queue)) {
        return false;
    }
    if (h->after) {
        h->after--;
        return false;
    }
    if (!h->count) {
        return false;
    }
    h->count -= h->count != UINT32_MAX;
    spoil_answer(h, e);
    element_write_answer(e);
    used.len = e->answer_size;
    v->at_queue = e->queue;
    switch (h->kind) {
    case HOSTILE_ID:
        used.id = (const uint32_t[]){ vq->vring.num + 3, UINT32_MAX, e->vu.index ^ 1, 1u << 31 }[h->turn % 4];
        push(v, e, &used, 1);
        break;
    case HOSTILE_TWICE:
        push(v, e, NULL, 2);
        break;
    case HOSTILE_LENGTH:
        used.len = h->turn % 2 ? UINT32_MAX : (uint32_t)e->in_size + 4096;
        push(v, e, &used, 1);
        break;
    case HOSTILE_JUMP:
        push(v, e, NULL, 1);
        vq->vring.used->idx += 5;
        break;
    case HOSTILE_STOP:
        break;
    default:
        push(v, e, NULL, 1);
    }
    v->at_queue = -1;
    h->turn++;
    table_push_end(v->table, e->queue, e->vu.index, vq->used_idx);
    v->queue[e->queue].notify = true;
    element_free(e);
    return true;
}
