/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of VIRTIO_GPU_F_VIRGL: contexts, 3D resources, submits. */
#include <string.h>
#include <time.h>

#include "command.h"
#include "dirty.h"
#include "late.h"
#include "log.h"
#include "resource.h"

/* Where the profile sets no bound of its own. */
#define CONTEXTS_MAX    1024
#define PIPE_TEXTURE_3D 3

void contexts_init(Device *d)
{
    d->contexts = g_hash_table_new(NULL, NULL);
}

/* QEMU wants to know: a VM with contexts cannot simply be moved. */
static void contexts_tell(Device *d)
{
    uint32_t n = g_hash_table_size(d->contexts);

    vgpu_stats_set(&d->stats->contexts, n);
    channel_contexts(d->channel, n);
}

void contexts_forget(Device *d)
{
    g_hash_table_remove_all(d->contexts);
    contexts_tell(d);
}

static bool context_exists(Device *d, uint32_t id)
{
    if (!id || !g_hash_table_contains(d->contexts, GUINT_TO_POINTER(id))) {
        log_guest("there is no context %u", id);
        return false;
    }
    return true;
}

/* The renderer may have no 3D although a guest wrongly took the feature. */
static bool renderer_is_3d(Device *d)
{
    return late_start(d);
}

uint32_t command_ctx_create(Device *d, Command *c)
{
    const struct virtio_gpu_ctx_create *in = &c->in.ctx_create;
    guint max = d->options->max_contexts ? (guint)d->options->max_contexts : CONTEXTS_MAX;
    uint32_t id = in->hdr.ctx_id, code;

    if (!renderer_is_3d(d)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (!id || g_hash_table_contains(d->contexts, GUINT_TO_POINTER(id))) {
        log_guest("context id %u is %s", id, id ? "taken" : "not one");
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (in->nlen > sizeof(in->debug_name) ||
        (in->context_init && !vhost_has_feature(d->vhost, VIRTIO_GPU_F_CONTEXT_INIT))) {
        log_guest("context %u: a name of %u bytes, init 0x%x", id, in->nlen, in->context_init);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (!capset_allowed(d, in->context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK)) {
        log_guest("context %u refused: the profile's apis=%s allow none of capset %u", id, d->options->apis,
                  in->context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (g_hash_table_size(d->contexts) >= max) {
        log_guest("context %u refused: there are %u already", id, max);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    code = d->ops->context_create(d->renderer, id, in->context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK,
                                  (const char *)in->debug_name, in->nlen);
    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        g_hash_table_add(d->contexts, GUINT_TO_POINTER(id));
        contexts_tell(d);
    }
    return code;
}

static void context_end(Device *d, uint32_t id)
{
    d->ops->context_destroy(d->renderer, id);
    timeline_finish_context(d->vhost, id);
    g_hash_table_remove(d->contexts, GUINT_TO_POINTER(id));
    contexts_tell(d);
}

uint32_t command_ctx_destroy(Device *d, Command *c)
{
    uint32_t id = c->in.hdr.ctx_id;

    if (!renderer_is_3d(d)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (c->replay && !g_hash_table_contains(d->contexts, GUINT_TO_POINTER(id))) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (!context_exists(d, id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    context_end(d, id);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Of ATTACH and DETACH: both ids must exist. */
static uint32_t context_resource_check(Device *d, const Command *c)
{
    if (!renderer_is_3d(d)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (!context_exists(d, c->in.hdr.ctx_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (!resource_find(d, c->in.ctx_resource.resource_id)) {
        log_guest("there is no resource %u", c->in.ctx_resource.resource_id);
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t command_ctx_attach(Device *d, Command *c)
{
    uint32_t code = context_resource_check(d, c);

    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        return code;
    }
    return d->ops->context_attach(d->renderer, c->in.hdr.ctx_id, c->in.ctx_resource.resource_id);
}

uint32_t command_ctx_detach(Device *d, Command *c)
{
    uint32_t code = context_resource_check(d, c);

    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        d->ops->context_detach(d->renderer, c->in.hdr.ctx_id, c->in.ctx_resource.resource_id);
    }
    return code;
}

uint32_t command_create_3d(Device *d, Command *c)
{
    const struct virtio_gpu_resource_create_3d *in = &c->in.create_3d;
    ResourceShape shape = {
        .target = in->target,
        .format = in->format,
        .bind = in->bind,
        .width = in->width,
        .height = in->height,
        .depth = in->depth,
        .array_size = in->array_size,
        .last_level = in->last_level,
        .nr_samples = in->nr_samples,
        .flags = in->flags,
    };
    const Resource *r;

    if (!renderer_is_3d(d)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    r = c->replay ? resource_find(d, in->resource_id) : NULL;
    if (r && !r->is_2d && !r->blob && !memcmp(&r->shape, &shape, sizeof(shape))) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    return resource_create(d, in->resource_id, &shape, false);
}

static uint32_t minify(uint32_t size, uint32_t level)
{
    size = level < 32 ? size >> level : 0;
    return size ? size : 1;
}

static bool box_in_resource(const Resource *r, uint32_t level, const RendererBox *b)
{
    const ResourceShape *s = &r->shape;
    uint32_t layers = s->target == PIPE_TEXTURE_3D ? minify(s->depth, level) : s->array_size;

    return level <= s->last_level && b->w && b->h && b->d &&
           span_within(b->x, b->w, minify(s->width, level)) &&
           span_within(b->y, b->h, minify(s->height, level)) && span_within(b->z, b->d, layers ? layers : 1);
}

static uint32_t command_transfer_3d(Device *d, Command *c, bool to_host)
{
    const struct virtio_gpu_transfer_host_3d *in = &c->in.transfer_3d;
    RendererTransfer t = {
        .resource_id = in->resource_id,
        .ctx_id = in->hdr.ctx_id,
        .level = in->level,
        .stride = in->stride,
        .layer_stride = in->layer_stride,
        .offset = in->offset,
        .box = { in->box.x, in->box.y, in->box.z, in->box.w, in->box.h, in->box.d },
    };
    Resource *r;
    uint32_t code;

    if (!renderer_is_3d(d)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (t.ctx_id && !context_exists(d, t.ctx_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    r = resource_find(d, t.resource_id);
    if (!r) {
        log_guest("there is no resource %u", t.resource_id);
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    if (r->blob) {
        log_guest("resource %u is a blob: there is nothing to transfer", r->id);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (!r->has_backing) {
        log_guest("resource %u has no backing to transfer with", r->id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (!box_in_resource(r, t.level, &t.box) || t.offset >= r->backing_size) {
        log_guest("resource %u: a transfer that is not within it", r->id);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (to_host) {
        return d->ops->transfer_to_host(d->renderer, &t);
    }
    code = d->ops->transfer_from_host(d->renderer, &t);
    dirty_backing(d->vhost, r->memory, r->iov, r->iov_count);
    return code;
}

uint32_t command_transfer_to_host_3d(Device *d, Command *c)
{
    return command_transfer_3d(d, c, true);
}

uint32_t command_transfer_from_host_3d(Device *d, Command *c)
{
    return command_transfer_3d(d, c, false);
}

/* size: what the command says of itself. */
static uint32_t submit(Device *d, Command *c, uint32_t size)
{
    uint32_t code;
    struct timespec now;

    if (!renderer_is_3d(d)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (!context_exists(d, c->in.hdr.ctx_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (c->replay && c->data_size) {
        /* It may be half done, or what the renderer was lost by: its context has a hole now. */
        log_guest("a submit of context %u was lost with its renderer, and the context with it",
                  c->in.hdr.ctx_id);
        context_end(d, c->in.hdr.ctx_id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (size != c->data_size || size % 4) {
        log_guest("a submit of %u bytes says it has %u", c->data_size, size);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (!c->data_size) {
        return VIRTIO_GPU_RESP_OK_NODATA; /* only its fence is wanted */
    }
    code = d->ops->submit(d->renderer, c->in.hdr.ctx_id, c->data, c->data_size);
    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        stats_add(&d->stats->submits, 1);
        clock_gettime(CLOCK_MONOTONIC, &now);
        vgpu_stats_set(&d->stats->last_submit_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec -
                                                      (uint64_t)d->options->clock_base);
    }
    return code;
}

uint32_t command_submit(Device *d, Command *c)
{
    return submit(d, c, c->in.submit.size);
}

/* All they wait for is done, or there is something wrong with them: see order.h. */
static bool wait_is_valid(const Command *c, uint32_t mask, uint32_t padding)
{
    if (padding || !order_mask_ok(mask, c->queue)) {
        log_guest("queue %u: a request cannot wait for the submit queues 0x%x", c->queue, mask);
        return false;
    }
    return true;
}

uint32_t command_queue_submit(Device *d, Command *c)
{
    const struct vgpu_submit *in = &c->in.queue_submit.body;

    if (!wait_is_valid(c, in->wait_mask, in->padding)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    return submit(d, c, in->size);
}

uint32_t command_wait(Device *d, Command *c)
{
    const struct vgpu_wait *in = &c->in.wait.body;

    return wait_is_valid(c, in->wait_mask, in->padding) ? VIRTIO_GPU_RESP_OK_NODATA
                                                        : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}
