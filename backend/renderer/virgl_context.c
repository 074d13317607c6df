/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  A stream is walked, and what it would allocate is
 * charged, before virglrenderer sees it.  A stream that is refused is not
 * executed at all; what follows it would then draw with objects that are not
 * there, possibly in another program's sub-context.  So its context is lost:
 * every later submit is refused without a look, until the guest destroys it.
 * virglrenderer does the same to a context whose stream fails inside it, and
 * tells us by the return code.  virgl has no message that would tell the guest.
 */
#include "venus.h"

#include <string.h>

#include "log.h"
#include "memory_info.h"

static VirglContext *lookup(Renderer *r, uint32_t id)
{
    return g_hash_table_lookup(r->contexts, GUINT_TO_POINTER(id));
}

void virgl_set_name(char *to, size_t size, const char *name, uint32_t name_len)
{
    size_t n = name ? strnlen(name, MIN(name_len, size - 1)) : 0;

    memcpy(to, name ? name : "", n);
    to[n] = 0;
}

void virgl_context_free(gpointer context)
{
    VirglContext *ctx = context;

    stream_context_free(ctx->books);
    g_hash_table_destroy(ctx->attached);
    g_free(ctx);
}

static int create_in_virgl(uint32_t ctx_id, uint32_t capset_id, const char *name)
{
    uint32_t length = (uint32_t)strlen(name);

    if (capset_id == 0) { /* a guest without CONTEXT_INIT */
        return virgl_renderer_context_create(ctx_id, length, name);
    }
    return virgl_renderer_context_create_with_flags(ctx_id, capset_id, length, name);
}

uint32_t virgl_context_create(Renderer *r, uint32_t ctx_id, uint32_t capset_id, const char *name,
                              uint32_t name_len)
{
    VirglContext *ctx;
    int ret;

    if (r->venus && capset_id == VIRTIO_GPU_CAPSET_VENUS) {
        return venus_context_create(r, ctx_id, name, name_len);
    }
    if (ctx_id == 0 || lookup(r, ctx_id) || venus_context(r, ctx_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (capset_id > VIRTIO_GPU_CAPSET_VIRGL2) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (r->max_contexts && r->limits.subcontexts >= r->max_contexts) {
        log_guest("VM '%s': refused an OpenGL context: its profile's max-contexts=%u are in use", r->vm_name,
                  r->max_contexts);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    ctx = g_new0(VirglContext, 1);
    ctx->id = ctx_id;
    virgl_set_name(ctx->name, sizeof(ctx->name), name, name_len);
    ctx->attached = g_hash_table_new(NULL, NULL);
    ctx->books = stream_context_new(r->ledger, &r->limits);
    if (!ctx->books) {
        log_guest("VM '%s': refused the OpenGL context of '%s': its %u KiB do not fit into the "
                  "%" G_GUINT64_FORMAT " MiB that are free of %" G_GUINT64_FORMAT " MiB",
                  r->vm_name, ctx->name, STREAM_SUBCONTEXT_BYTES >> 10, ledger_free(r->ledger) >> 20,
                  ledger_limit(r->ledger) >> 20);
        virgl_context_free(ctx);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    virgl_renderer_force_ctx_0();
    ret = create_in_virgl(ctx_id, capset_id, ctx->name);
    virgl_renderer_force_ctx_0();
    if (ret) {
        virgl_context_free(ctx);
        return virgl_response(ret);
    }
    g_hash_table_insert(r->contexts, GUINT_TO_POINTER(ctx_id), ctx);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t unused_resource_id(Renderer *r)
{
    uint32_t id = UINT32_MAX;

    while (g_hash_table_contains(r->resources, GUINT_TO_POINTER(id))) {
        id--;
    }
    return id;
}

/* virglrenderer forgets blobs nobody took when their context goes: take them, give them back. */
static void free_untaken_blobs(Renderer *r, VirglContext *ctx)
{
    struct virgl_renderer_resource_create_blob_args args = {
        .res_handle = unused_resource_id(r),
        .ctx_id = ctx->id,
        .blob_mem = VIRGL_RENDERER_BLOB_MEM_HOST3D,
        .blob_flags = VIRGL_RENDERER_BLOB_FLAG_USE_MAPPABLE,
        .size = 1,
    };
    uint64_t charged;
    uint32_t blob;

    while (stream_next_untaken(ctx->books, &blob)) {
        args.blob_id = blob;
        if (virgl_renderer_resource_create_blob(&args) == 0) {
            virgl_renderer_resource_unref(args.res_handle);
        }
        if (!stream_take_blob(ctx->books, blob, &charged)) {
            return;
        }
        ledger_refund(r->ledger, charged);
    }
}

void virgl_context_destroy(Renderer *r, uint32_t ctx_id)
{
    VirglContext *ctx = lookup(r, ctx_id);

    if (venus_context(r, ctx_id)) {
        venus_context_destroy(r, ctx_id);
    }
    if (!ctx) {
        return;
    }
    virgl_renderer_force_ctx_0();
    free_untaken_blobs(r, ctx);
    virgl_renderer_context_destroy(ctx_id);
    /* It may leave the context it destroyed current. */
    virgl_renderer_force_ctx_0();
    virgl_fences_nudge(&r->fences);
    g_hash_table_remove(r->contexts, GUINT_TO_POINTER(ctx_id));
    virgl_resource_settle(r);
}

uint32_t virgl_context_attach(Renderer *r, uint32_t ctx_id, uint32_t resource_id)
{
    VirglContext *ctx = lookup(r, ctx_id);
    VenusContext *vulkan = venus_context(r, ctx_id);

    if (vulkan) {
        return venus_context_attach(r, vulkan, resource_id);
    }
    if (!ctx) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (!g_hash_table_contains(r->resources, GUINT_TO_POINTER(resource_id))) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    virgl_renderer_ctx_attach_resource((int)ctx_id, (int)resource_id);
    g_hash_table_add(ctx->attached, GUINT_TO_POINTER(resource_id));
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void virgl_context_detach(Renderer *r, uint32_t ctx_id, uint32_t resource_id)
{
    VirglContext *ctx = lookup(r, ctx_id);
    VenusContext *vulkan = venus_context(r, ctx_id);

    if (vulkan) {
        venus_context_detach(r, vulkan, resource_id);
        return;
    }
    if (!ctx || !g_hash_table_remove(ctx->attached, GUINT_TO_POINTER(resource_id))) {
        return;
    }
    virgl_renderer_force_ctx_0();
    virgl_renderer_ctx_detach_resource((int)ctx_id, (int)resource_id);
}

void virgl_context_forget_resource(Renderer *r, uint32_t resource_id)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, r->contexts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_hash_table_remove(((VirglContext *)value)->attached, GUINT_TO_POINTER(resource_id));
    }
}

static uint32_t refuse(Renderer *r, VirglContext *ctx, StreamVerdict verdict, const char *why, uint64_t bytes)
{
    ctx->lost = true;
    if (verdict == STREAM_OUT_OF_MEMORY) {
        log_guest_loses("VM '%s': refused %" G_GUINT64_FORMAT " MiB: %s; %" G_GUINT64_FORMAT
                        " of %" G_GUINT64_FORMAT " MiB are in use; the OpenGL context %u of '%s' is lost",
                        r->vm_name, (bytes + (1 << 20) - 1) >> 20, why, ledger_used(r->ledger) >> 20,
                        ledger_limit(r->ledger) >> 20, ctx->id, ctx->name);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    log_guest_loses("VM '%s': refused a command stream: %s; the OpenGL context %u of '%s' is lost",
                    r->vm_name, why, ctx->id, ctx->name);
    return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

/* The walk has taken the calls out of the stream. */
static void answer_memory_info(Renderer *r, VirglContext *ctx, uint32_t resource_id)
{
    VirglResource *resource = g_hash_table_lookup(r->resources, GUINT_TO_POINTER(resource_id));

    if (!resource || !g_hash_table_contains(ctx->attached, GUINT_TO_POINTER(resource_id)) ||
        !memory_info_write(r->ledger, resource->iov, resource->iov_count)) {
        log_guest("VM '%s': '%s' asked for memory information in resource %u, which it does not "
                  "have or which has too small a backing",
                  r->vm_name, ctx->name, resource_id);
    }
}

uint32_t virgl_context_submit(Renderer *r, uint32_t ctx_id, void *commands, uint32_t size)
{
    VirglContext *ctx = lookup(r, ctx_id);
    const char *why = "";
    uint64_t bytes = 0;
    StreamVerdict verdict;
    VenusContext *vulkan = venus_context(r, ctx_id);
    uint32_t asker;
    int ret;

    if (vulkan) {
        return venus_context_submit(r, vulkan, commands, size);
    }
    if (!ctx) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (ctx->lost) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    verdict = stream_walk(ctx->books, commands, size / 4, &why, &bytes);
    if (verdict != STREAM_OK) {
        return refuse(r, ctx, verdict, why, bytes);
    }
    ret = virgl_renderer_submit_cmd(commands, (int)ctx_id, (int)(size / 4));
    stream_done(ctx->books, ret == 0);
    virgl_resource_settle(r);
    if (ret) {
        ctx->lost = true;
        log_guest_loses("VM '%s': the OpenGL context %u of '%s' is lost: virglrenderer refused its "
                        "commands (%s), often because a resource was refused before",
                        r->vm_name, ctx->id, ctx->name, g_strerror(ret < 0 ? -ret : ret));
        return virgl_response(ret);
    }
    while (stream_next_memory_info(ctx->books, &asker)) {
        answer_memory_info(r, ctx, asker);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t virgl_context_fence(Renderer *r, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence)
{
    VenusContext *vulkan = venus_context(r, ctx_id);
    uint32_t nothing = 0;

    if (vulkan) {
        return venus_context_fence(r, vulkan, ring_idx, fence);
    }
    if (ctx_id) {
        if (!lookup(r, ctx_id)) {
            return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
        }
        if (ring_idx) { /* virgl has one timeline per context */
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
        }
        /* A fence goes into the GL context that is current: make it this one.  A lost one stays out. */
        virgl_renderer_submit_cmd(&nothing, (int)ctx_id, 0);
    }
    return virgl_fences_create(&r->fences, fence) ? VIRTIO_GPU_RESP_OK_NODATA
                                                  : VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
}
