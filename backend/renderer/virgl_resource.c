/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation: lingering.  A guest that gives a resource back has lost
 * its name, not yet its memory: virglrenderer keeps a resource as long as any
 * object in a context (a sampler view, a surface, a vertex buffer binding)
 * refers to it.  A guest could so hold any amount without paying.  Hence the
 * charge of a resource that outlives its name stays: it is moved to a list,
 * whose members are looked at after each submit and refunded once their GL name
 * is free again.  When the name was given to a new resource before we looked,
 * the old one is gone as well.  (A name taken meanwhile by a texture that the
 * guest cannot name keeps the charge until that goes: never too little.)
 */
#include "venus.h"

#include <epoxy/gl.h>
#include <errno.h>

#include "../quota/virgl.h"
#include "log.h"

/* Buffers in plain host memory have no GL name; Mesa makes them for query results. */
#define CUSTOM_MAX (64u * 1024)

/* virglrenderer 1.1 counts the bytes of a transfer in 32 bits. */
#define MIB          (1024ull * 1024)
#define RESOURCE_MAX (2048 * MIB)

/* How many lingering resources are looked at after one submit. */
#define SETTLE_STEP 64

struct virgl_box { /* virglrenderer's, from its vtest and gallium headers */
    uint32_t x, y, z;
    uint32_t w, h, d;
};

typedef struct VirglLinger {
    uint32_t gl_id;
    bool buffer;
    uint64_t bytes;
} VirglLinger;

static VirglResource *lookup(Renderer *r, uint32_t id)
{
    return g_hash_table_lookup(r->resources, GUINT_TO_POINTER(id));
}

static uint32_t gl_name(uint32_t resource_id)
{
    struct virgl_renderer_resource_info info = { 0 };

    return virgl_renderer_resource_get_info((int)resource_id, &info) == 0 ? info.tex_id : 0;
}

static bool gl_exists(uint32_t gl_id, bool buffer)
{
    return buffer ? glIsBuffer(gl_id) : glIsTexture(gl_id);
}

/* A new resource has this name: whatever had it before is gone. */
static void name_taken(Renderer *r, uint32_t gl_id, bool buffer)
{
    for (GList *l = r->lingering.head; l; l = l->next) {
        VirglLinger *linger = l->data;

        if (linger->gl_id == gl_id && linger->buffer == buffer) {
            ledger_refund(r->ledger, linger->bytes);
            g_queue_delete_link(&r->lingering, l);
            g_free(linger);
            return;
        }
    }
}

/* Dispatch refunds the resource when we return: the bytes never leave the books. */
static void linger(Renderer *r, uint32_t gl_id, bool buffer, uint64_t bytes)
{
    VirglLinger *entry = g_new(VirglLinger, 1);

    *entry = (VirglLinger){ .gl_id = gl_id, .buffer = buffer, .bytes = bytes };
    ledger_carry(r->ledger, bytes);
    g_queue_push_tail(&r->lingering, entry);
}

/* Any GL context of the share group may be current. */
void virgl_resource_settle(Renderer *r)
{
    guint steps = MIN(r->lingering.length, SETTLE_STEP);

    while (steps-- > 0) {
        VirglLinger *entry = g_queue_pop_head(&r->lingering);

        if (gl_exists(entry->gl_id, entry->buffer)) {
            g_queue_push_tail(&r->lingering, entry);
        } else {
            ledger_refund(r->ledger, entry->bytes);
            g_free(entry);
        }
    }
}

void virgl_resource_settle_all(Renderer *r)
{
    VirglLinger *entry;

    while ((entry = g_queue_pop_head(&r->lingering))) {
        ledger_refund(r->ledger, entry->bytes);
        g_free(entry);
    }
}

/*
 * virglrenderer 1.1 knows seven of virtio's eight 2D formats.  The eighth lies in
 * memory as its sister with alpha does; that its alpha is none, shape.format says.
 */
static uint32_t texture_format(uint32_t format)
{
    return format == VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM ? VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM : format;
}

uint32_t virgl_resource_create(Renderer *r, uint32_t resource_id, const ResourceShape *shape)
{
    struct virgl_renderer_resource_create_args args = {
        .handle = resource_id,
        .target = shape->target,
        .format = texture_format(shape->format),
        .bind = shape->bind,
        .width = shape->width,
        .height = shape->height,
        .depth = shape->depth,
        .array_size = shape->array_size,
        .last_level = shape->last_level,
        .nr_samples = shape->nr_samples,
        .flags = shape->flags,
    };
    VirglResource *resource;
    uint64_t bytes;
    int ret;

    if (resource_id == 0 || lookup(r, resource_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    if (!resource_size(shape, &bytes) || ((shape->bind & VIRGL_RES_BIND_CUSTOM) && bytes > CUSTOM_MAX)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (bytes > RESOURCE_MAX) {
        log_guest("VM '%s': resource %u of %llu MiB refused: virglrenderer serves at most %llu MiB "
                  "in one resource",
                  r->vm_name, resource_id, bytes / MIB, RESOURCE_MAX / MIB);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    virgl_renderer_force_ctx_0();
    ret = virgl_renderer_resource_create(&args, NULL, 0);
    if (ret) {
        return virgl_response(ret);
    }
    resource = g_new0(VirglResource, 1);
    resource->shape = *shape;
    resource->bytes = bytes;
    name_taken(r, gl_name(resource_id), shape->target == PIPE_BUFFER);
    g_hash_table_insert(r->resources, GUINT_TO_POINTER(resource_id), resource);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void virgl_resource_destroy(Renderer *r, uint32_t resource_id)
{
    VirglResource *resource = lookup(r, resource_id);
    uint32_t gl_id;
    bool buffer;

    if (!resource) {
        return;
    }
    virgl_resource_detach(r, resource_id);
    venus_forget_resource(r, resource_id);
    buffer = resource->shape.target == PIPE_BUFFER;
    gl_id = gl_name(resource_id);
    virgl_renderer_force_ctx_0();
    virgl_renderer_resource_unref(resource_id);
    virgl_context_forget_resource(r, resource_id);
    if (gl_id && gl_exists(gl_id, buffer)) {
        linger(r, gl_id, buffer, resource->bytes);
    }
    venus_blob_free(r, resource->host);
    g_hash_table_remove(r->resources, GUINT_TO_POINTER(resource_id));
}

uint32_t virgl_resource_attach(Renderer *r, uint32_t resource_id, const struct iovec *iov, uint32_t count)
{
    VirglResource *resource = lookup(r, resource_id);
    int ret;

    if (!resource) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    virgl_resource_detach(r, resource_id);
    if (count == 0) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (count > INT_MAX) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    virgl_renderer_force_ctx_0();
    ret = virgl_renderer_resource_attach_iov((int)resource_id, (struct iovec *)iov, (int)count);
    if (ret == 0) {
        resource->iov = iov;
        resource->iov_count = count;
    }
    return virgl_response(ret);
}

void virgl_resource_detach(Renderer *r, uint32_t resource_id)
{
    VirglResource *resource = lookup(r, resource_id);

    if (!resource || resource->iov_count == 0) {
        return;
    }
    virgl_renderer_force_ctx_0();
    virgl_renderer_resource_detach_iov((int)resource_id, NULL, NULL);
    resource->iov = NULL;
    resource->iov_count = 0;
}

/*
 * virglrenderer 1.1 works out in 32 bits whether strides of the guest's reach
 * past the backing: nothing that would wrap may come to it.  (No resource is
 * that large either, so its own strides do not wrap.)
 */
static bool strides_fit(const RendererTransfer *t)
{
    return t->offset <= UINT32_MAX / 4 && (uint64_t)t->box.h * t->stride <= UINT32_MAX / 4 &&
           (uint64_t)t->box.d * t->layer_stride <= UINT32_MAX / 4;
}

/* A context sees only what was attached to it; context 0 is the device's own and sees all. */
static uint32_t check_transfer(Renderer *r, const RendererTransfer *t)
{
    VirglResource *resource = lookup(r, t->resource_id);

    if (!resource) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    if (t->ctx_id && !g_hash_table_contains(r->contexts, GUINT_TO_POINTER(t->ctx_id))) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (resource->iov_count == 0 || !strides_fit(t)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static struct virgl_box to_box(const RendererBox *b)
{
    return (struct virgl_box){ b->x, b->y, b->z, b->w, b->h, b->d };
}

uint32_t virgl_resource_to_host(Renderer *r, const RendererTransfer *t)
{
    struct virgl_box box = to_box(&t->box);
    uint32_t response = check_transfer(r, t);

    if (response != VIRTIO_GPU_RESP_OK_NODATA) {
        return response;
    }
    return virgl_response(virgl_renderer_transfer_write_iov(
        t->resource_id, t->ctx_id, (int)t->level, t->stride, t->layer_stride, &box, t->offset, NULL, 0));
}

uint32_t virgl_resource_from_host(Renderer *r, const RendererTransfer *t)
{
    struct virgl_box box = to_box(&t->box);
    uint32_t response = check_transfer(r, t);

    if (response != VIRTIO_GPU_RESP_OK_NODATA) {
        return response;
    }
    return virgl_response(virgl_renderer_transfer_read_iov(t->resource_id, t->ctx_id, t->level, t->stride,
                                                           t->layer_stride, &box, t->offset, NULL, 0));
}
