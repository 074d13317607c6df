/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a descriptor chain to a handler and back to an answer.
 *
 * The request is copied out of guest memory once.  The table below then says
 * whether there is such a command on this queue, whether its feature was
 * negotiated and whether the request has the size it must have: exactly that of
 * its struct, or with data behind it up to a cap.  Only then a handler runs.
 */
#include "command.h"

#include <inttypes.h>
#include <string.h>

#include "late.h"
#include "log.h"
#include "recorder.h"
#include "resource.h"
#include "vgpu/virtio.h"

/* virtio is little-endian, and so is every host this is built for: no swaps. */
G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);

#define NO_FEATURE       64
#define BACKING_DATA_MAX (BACKING_ENTRIES_MAX * (uint32_t)sizeof(struct virtio_gpu_mem_entry))

/* Of a context (virtio 1.2, 5.7.6.7). */
#define RINGS_MAX 64

/* What is looked at before a command is decoded, and its first words. */
typedef struct CommandStart {
    struct virtio_gpu_ctrl_hdr hdr;
    uint32_t word[2];
} CommandStart;

typedef struct CommandType {
    uint32_t type;
    uint16_t size;           /* of the struct */
    uint8_t feature;         /* that must be negotiated */
    uint8_t queue;           /* VHOST_QUEUE_SUBMIT: each of them */
    uint8_t work;            /* COMMAND_* */
    uint32_t data_max;       /* bytes that may follow */
    CommandHandler *handler; /* NULL: known, not served: ERR_UNSPEC */
} CommandType;

/* clang-format off */
#define CONTROL(type, in, feature, work, data_max, handler)                            \
    { VIRTIO_GPU_CMD_##type, sizeof(((Command *)0)->in), feature, VHOST_QUEUE_CONTROL, \
      work, data_max, handler }
#define OURS(type, in, queue, work, data_max, handler)                                 \
    { VGPU_CMD_##type, sizeof(((Command *)0)->in), VGPU_F_SUBMIT_QUEUES, queue, work,  \
      data_max, handler }
#define CURSOR(type, work, handler)                                                    \
    { VIRTIO_GPU_CMD_##type, sizeof(struct virtio_gpu_update_cursor), NO_FEATURE,      \
      VHOST_QUEUE_CURSOR, work, 0, handler }
/* clang-format on */

#define SLOW (COMMAND_GPU | COMMAND_LONG) /* done when it returns */
#define SENT (SLOW | COMMAND_ASYNC)

#define VIRGL VIRTIO_GPU_F_VIRGL
#define BLOB  VIRTIO_GPU_F_RESOURCE_BLOB

static const CommandType command_types[] = {
    CONTROL(GET_DISPLAY_INFO, in.hdr, NO_FEATURE, 0, 0, command_get_display_info),
    CONTROL(RESOURCE_CREATE_2D, in.create_2d, NO_FEATURE, COMMAND_GPU, 0, command_create_2d),
    CONTROL(RESOURCE_UNREF, in.unref, NO_FEATURE, COMMAND_GPU, 0, command_unref),
    CONTROL(SET_SCANOUT, in.set_scanout, NO_FEATURE, SLOW, 0, command_set_scanout),
    CONTROL(RESOURCE_FLUSH, in.flush, NO_FEATURE, SLOW, 0, command_flush),
    CONTROL(TRANSFER_TO_HOST_2D, in.transfer_2d, NO_FEATURE, SLOW, 0, command_transfer_2d),
    CONTROL(RESOURCE_ATTACH_BACKING, in.attach, NO_FEATURE, 0, BACKING_DATA_MAX, command_attach_backing),
    CONTROL(RESOURCE_DETACH_BACKING, in.detach, NO_FEATURE, 0, 0, command_detach_backing),
    CONTROL(GET_CAPSET_INFO, in.capset_info, NO_FEATURE, 0, 0, command_get_capset_info),
    CONTROL(GET_CAPSET, in.capset, NO_FEATURE, COMMAND_GPU, 0, command_get_capset),
    CONTROL(GET_EDID, in.edid, VIRTIO_GPU_F_EDID, 0, 0, command_get_edid),
    CONTROL(RESOURCE_ASSIGN_UUID, in.assign_uuid, VIRTIO_GPU_F_RESOURCE_UUID, 0, 0, command_assign_uuid),
    CONTROL(RESOURCE_CREATE_BLOB, in.create_blob, BLOB, COMMAND_GPU, BACKING_DATA_MAX, command_create_blob),
    CONTROL(SET_SCANOUT_BLOB, in.set_scanout_blob, BLOB, SLOW, 0, command_set_scanout_blob),
    CONTROL(CTX_CREATE, in.ctx_create, VIRGL, SLOW, 0, command_ctx_create),
    CONTROL(CTX_DESTROY, in.hdr, VIRGL, SLOW, 0, command_ctx_destroy),
    CONTROL(CTX_ATTACH_RESOURCE, in.ctx_resource, VIRGL, 0, 0, command_ctx_attach),
    CONTROL(CTX_DETACH_RESOURCE, in.ctx_resource, VIRGL, 0, 0, command_ctx_detach),
    CONTROL(RESOURCE_CREATE_3D, in.create_3d, VIRGL, COMMAND_GPU, 0, command_create_3d),
    CONTROL(TRANSFER_TO_HOST_3D, in.transfer_3d, VIRGL, SENT, 0, command_transfer_to_host_3d),
    CONTROL(TRANSFER_FROM_HOST_3D, in.transfer_3d, VIRGL, SLOW, 0, command_transfer_from_host_3d),
    CONTROL(SUBMIT_3D, in.submit, VIRGL, SENT, COMMAND_SUBMIT_MAX, command_submit),
    CONTROL(RESOURCE_MAP_BLOB, in.map_blob, BLOB, 0, 0, command_map_blob),
    CONTROL(RESOURCE_UNMAP_BLOB, in.unmap_blob, BLOB, 0, 0, command_unmap_blob),
    OURS(SUBMIT, in.queue_submit, VHOST_QUEUE_SUBMIT, SENT, COMMAND_SUBMIT_MAX, command_queue_submit),
    OURS(WAIT, in.wait, VHOST_QUEUE_CONTROL, 0, 0, command_wait),
    CURSOR(UPDATE_CURSOR, COMMAND_BRIEF, command_update_cursor),
    CURSOR(MOVE_CURSOR, 0, command_move_cursor),
};

static const CommandType *command_type(uint32_t type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(command_types); i++) {
        if (command_types[i].type == type) {
            return &command_types[i];
        }
    }
    return NULL;
}

static bool context_is_remote(Device *d, uint32_t ctx_id)
{
    return ctx_id && d->ops->context_is_remote && d->ops->context_is_remote(d->renderer, ctx_id);
}

static bool resource_is_remote(Device *d, uint32_t id)
{
    const Resource *r = resource_find(d, id);

    return r && r->blob && r->blob->remote;
}

/* in: as much of the request as CommandStart has. */
static bool command_is_remote(Device *d, const CommandStart *in)
{
    switch (in->hdr.type) {
    case VIRTIO_GPU_CMD_CTX_CREATE:
        return late_capset_is_remote(d, in->word[1] & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK);
    case VIRTIO_GPU_CMD_RESOURCE_UNREF:
        return resource_is_remote(d, in->word[0]);
    case VIRTIO_GPU_CMD_CTX_DESTROY:
    case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
    case VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE:
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
    case VIRTIO_GPU_CMD_SUBMIT_3D:
    case VGPU_CMD_SUBMIT:
        return context_is_remote(d, in->hdr.ctx_id);
    default:
        return false;
    }
}

static bool fence_names_ring(Device *d, const struct virtio_gpu_ctrl_hdr *hdr)
{
    return (hdr->flags & VIRTIO_GPU_FLAG_INFO_RING_IDX) &&
           vhost_has_feature(d->vhost, VIRTIO_GPU_F_CONTEXT_INIT);
}

/* COMMAND_* of a command of that type; its fence does not count. */
static uint32_t command_work(Device *d, const CommandType *t, const CommandStart *in)
{
    return command_is_remote(d, in) ? COMMAND_LONG | COMMAND_REMOTE : t->work;
}

uint32_t dispatch_hints(Device *d, const Element *e)
{
    CommandStart in = { 0 };
    const CommandType *t;
    uint32_t hints;

    /* Hints only: what is read here is read again. */
    if (!element_read(e, 0, &in.hdr, sizeof(in.hdr))) {
        return 0;
    }
    element_read(e, sizeof(in.hdr), in.word, sizeof(in.word));
    t = command_type(in.hdr.type);
    hints = t ? command_work(d, t, &in) : 0;
    if (!(in.hdr.flags & VIRTIO_GPU_FLAG_FENCE) ||
        (fence_names_ring(d, &in.hdr) && context_is_remote(d, in.hdr.ctx_id))) {
        return hints;
    }
    /* A fence is the GPU's, and after what was before it. */
    return hints | COMMAND_GPU;
}

/* The header is in c->in already.  Copies the rest; VIRTIO_GPU_RESP_OK_NODATA or an error. */
static uint32_t command_decode(Device *d, const Element *e, Command *c, const CommandType **type)
{
    uint32_t opcode = c->in.hdr.type;
    const CommandType *t = command_type(opcode);
    uint64_t more;

    c->queue = e->queue;
    if (!t || t->queue != MIN(e->queue, VHOST_QUEUE_SUBMIT) || !t->handler ||
        (t->feature != NO_FEATURE && !vhost_has_feature(d->vhost, t->feature))) {
        log_guest("command 0x%x is not served on queue %u", opcode, e->queue);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if ((c->in.hdr.flags & VIRTIO_GPU_FLAG_FENCE) && fence_names_ring(d, &c->in.hdr) &&
        c->in.hdr.ring_idx >= RINGS_MAX) {
        log_guest("command 0x%x is of ring %u of context %u: there are %u at most", opcode,
                  c->in.hdr.ring_idx, c->in.hdr.ctx_id, RINGS_MAX);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (e->out_size < t->size || e->out_size - t->size > t->data_max) {
        log_guest("command 0x%x has %" PRIu64 " bytes, not %u%s", opcode, e->out_size, t->size,
                  t->data_max ? " and what follows" : "");
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    /* The header stays the one that was looked up. */
    if (t->size > sizeof(c->in.hdr) &&
        !element_read(e, sizeof(c->in.hdr), (uint8_t *)&c->in + sizeof(c->in.hdr),
                      t->size - sizeof(c->in.hdr))) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    more = e->out_size - t->size;
    if (more) {
        c->data = g_try_malloc(more);
        if (!c->data || !element_read(e, t->size, c->data, more)) {
            return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
        }
        c->data_size = more;
    }
    *type = t;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* The answer's header, from the request's (virtio 1.2, 5.7.6.7).  Returns the code it has in the end. */
static uint32_t command_answer(Element *e, Command *c, uint32_t code)
{
    struct virtio_gpu_ctrl_hdr *hdr;
    uint32_t size = code < VIRTIO_GPU_RESP_ERR_UNSPEC && c->out_size ? c->out_size : sizeof(*hdr);
    bool fit = size <= e->in_size;

    if (!fit) {
        /* No room: at least the header says that something went wrong. */
        if (code < VIRTIO_GPU_RESP_ERR_UNSPEC && e->in_size >= sizeof(*hdr)) {
            code = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
        }
        size = sizeof(*hdr);
    }
    hdr = fit && c->big ? c->big : &c->out.hdr;
    memset(hdr, 0, sizeof(*hdr));
    hdr->type = code;
    if (c->in.hdr.flags & VIRTIO_GPU_FLAG_FENCE) {
        hdr->flags = c->in.hdr.flags & (VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
        hdr->fence_id = c->in.hdr.fence_id;
        hdr->ctx_id = c->in.hdr.ctx_id;
        hdr->ring_idx = hdr->flags & VIRTIO_GPU_FLAG_INFO_RING_IDX ? c->in.hdr.ring_idx : 0;
    }
    /* A chain with less room than a header gets nothing, but comes back. */
    element_answer(e, hdr, e->in_size >= sizeof(*hdr) ? size : 0);
    return code;
}

/*
 * Which timeline a fence is of: that of a context's ring where the guest may
 * name one, else the one of the device.
 */
static uint64_t command_timeline(Device *d, const Command *c, uint32_t *ctx, uint32_t *ring)
{
    *ctx = *ring = 0;
    if (fence_names_ring(d, &c->in.hdr)) {
        *ctx = c->in.hdr.ctx_id;
        *ring = c->in.hdr.ring_idx;
    }
    return (uint64_t)*ctx << 32 | *ring;
}

void dispatch_fence(Device *d, uint32_t ctx, uint32_t ring, uint64_t fence)
{
    if (context_is_remote(d, ctx)) {
        if (d->ops->create_fence(d->renderer, ctx, ring, fence) != VIRTIO_GPU_RESP_OK_NODATA) {
            timeline_done(d->vhost, fence);
        }
        return;
    }
    /* The cursor queue's do not wait for the GPU: they are done when their turn comes. */
    if (!gpu_time_entered(&d->gpu_time)) {
        timeline_done(d->vhost, fence);
        return;
    }
    gpu_time_fence_begin(&d->gpu_time);
    if (d->ops->create_fence(d->renderer, ctx, ring, fence) != VIRTIO_GPU_RESP_OK_NODATA) {
        gpu_time_fence_end(&d->gpu_time);
        timeline_done(d->vhost, fence);
    }
}

/* Takes e, which has its answer.  scanouts: see frame_limit_held. */
static void command_fence(Device *d, Command *c, Element *e, bool failed, uint32_t scanouts)
{
    uint32_t ctx, ring;
    uint64_t fence = timeline_add(d->vhost, command_timeline(d, c, &ctx, &ring), e);

    if (!fence) {
        return;
    }
    if (failed) {
        /* An error has nothing to wait for but its turn. */
        timeline_done(d->vhost, fence);
    } else if (scanouts) {
        frame_limit_hold(&d->frame_limit, scanouts, NULL, fence, ctx, ring);
    } else {
        dispatch_fence(d, ctx, ring, fence);
    }
}

/* Takes e, which has its answer: it waits until QEMU has done what the command needs of it. */
static void command_await_qemu(Device *d, Command *c, Element *e)
{
    uint32_t ctx, ring;
    bool fenced = c->in.hdr.flags & VIRTIO_GPU_FLAG_FENCE;
    uint64_t key = fenced ? command_timeline(d, c, &ctx, &ring) : timeline_own_key(d->vhost);
    uint64_t fence = timeline_add(d->vhost, key, e);

    if (fence) {
        window_send(d, fence);
    } else {
        window_cancel(d);
    }
}

/* on_gpu: it may use it. */
static uint32_t command_run(Device *d, Command *c, const CommandType *type, bool on_gpu)
{
    CommandStart start = { .hdr = c->in.hdr };
    uint32_t code, work;

    if (type->size >= sizeof(start)) {
        memcpy(start.word, (const uint8_t *)&c->in + sizeof(start.hdr), sizeof(start.word));
    }
    work = command_work(d, type, &start);
    if ((work & (COMMAND_GPU | COMMAND_BRIEF)) && !on_gpu) {
        log_guest("command 0x%x was another one when its turn on the GPU was asked for", type->type);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    recorder_command(d->recorder, d, c, type->size, type->queue);
    code = type->handler(d, c);
    if (work & COMMAND_GPU) {
        gpu_time_worked(d, work & COMMAND_ASYNC);
    }
    return code;
}

Element *dispatch(Device *d, Element *e)
{
    Command c = { 0 };
    const CommandType *type = NULL;
    uint32_t code = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, scanouts;
    bool failed, on_gpu = gpu_time_allowed(&d->gpu_time);

    if (element_read(e, 0, &c.in.hdr, sizeof(c.in.hdr))) {
        code = command_decode(d, e, &c, &type);
        if (code == VIRTIO_GPU_RESP_OK_NODATA && e->tries >= ADOPT_TRIES_MAX) {
            log_say("command 0x%x was there when %u renderers were lost: it is not run again", type->type,
                    e->tries);
            code = VIRTIO_GPU_RESP_ERR_UNSPEC;
        } else if (code == VIRTIO_GPU_RESP_OK_NODATA) {
            c.replay = e->tries > 0;
            code = command_run(d, &c, type, on_gpu);
        }
    } else {
        log_guest("a request of %" PRIu64 " bytes has no header", e->out_size);
    }
    code = command_answer(e, &c, code);
    failed = code >= VIRTIO_GPU_RESP_ERR_UNSPEC;
    if (failed) {
        stats_add(&d->stats->errors, 1);
        window_cancel(d); /* a map whose answer had no room */
    }
    stats_add(&d->stats->commands, 1);
    scanouts = frame_limit_held(&d->frame_limit);
    g_free(c.data);
    g_free(c.big);
    if (window_prepared(&d->window)) {
        command_await_qemu(d, &c, e);
        return NULL;
    }
    if (c.in.hdr.flags & VIRTIO_GPU_FLAG_FENCE) {
        command_fence(d, &c, e, failed, scanouts);
        return NULL;
    }
    if (scanouts && !failed) {
        frame_limit_hold(&d->frame_limit, scanouts, e, 0, 0, 0);
        return NULL;
    }
    return e;
}
