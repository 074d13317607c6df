/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The null renderer: takes every command, draws nothing.  Queues, quota,
 * dispatch and fences are tested with it where there is no graphics at all.
 *
 * Its fences are done by a thread of its own a moment later, as a GPU's are:
 * so it is the renderer that shows whether asynchronous answers work.
 */
#include <linux/virtio_gpu.h>
#include <string.h>

#include "ops.h"

/* AR24: what its black pixels are. */
#define NULL_FOURCC 0x34325241u

struct Renderer {
    void (*fence_done)(void *opaque, uint64_t fence);
    void *opaque;
    GAsyncQueue *fences; /* of uint64_t, allocated; 0: end */
    GThread *thread;
};

static gpointer null_fence_thread(gpointer data)
{
    Renderer *r = data;

    for (;;) {
        g_autofree uint64_t *fence = g_async_queue_pop(r->fences);

        if (!*fence) {
            return NULL;
        }
        r->fence_done(r->opaque, *fence);
    }
}

static Renderer *null_create(const RendererConfig *config, GError **error)
{
    Renderer *r = g_new0(Renderer, 1);

    r->fence_done = config->fence_done;
    r->opaque = config->opaque;
    r->fences = g_async_queue_new_full(g_free);
    r->thread = g_thread_try_new("fences", null_fence_thread, r, error);
    if (!r->thread) {
        g_async_queue_unref(r->fences);
        g_free(r);
        return NULL;
    }
    return r;
}

static void null_destroy(Renderer *r)
{
    g_async_queue_push(r->fences, g_new0(uint64_t, 1));
    g_thread_join(r->thread);
    g_async_queue_unref(r->fences);
    g_free(r);
}

static void null_reset(Renderer *r)
{
}

static const char *null_description(Renderer *r)
{
    return "null";
}

static int null_poll_fd(Renderer *r)
{
    return -1;
}

static void null_poll(Renderer *r)
{
}

static bool null_capset_info(Renderer *r, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size)
{
    return false;
}

static bool null_capset(Renderer *r, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    return false;
}

static uint32_t null_resource_create(Renderer *r, uint32_t resource_id, const ResourceShape *shape)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void null_resource_destroy(Renderer *r, uint32_t resource_id)
{
}

static uint32_t null_backing_attach(Renderer *r, uint32_t resource_id, const struct iovec *iov,
                                    uint32_t count)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t null_transfer(Renderer *r, const RendererTransfer *t)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t null_read_pixels(Renderer *r, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w,
                                 uint32_t h, void *dst, uint32_t dst_stride, uint32_t *drm_fourcc)
{
    *drm_fourcc = NULL_FOURCC;
    for (uint32_t i = 0; dst && i < h; i++) {
        memset((uint8_t *)dst + (size_t)i * dst_stride, 0, (size_t)w * 4);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t null_context_create(Renderer *r, uint32_t ctx_id, uint32_t capset_id, const char *name,
                                    uint32_t name_len)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void null_context_destroy(Renderer *r, uint32_t ctx_id)
{
}

static uint32_t null_context_attach(Renderer *r, uint32_t ctx_id, uint32_t resource_id)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void null_context_detach(Renderer *r, uint32_t ctx_id, uint32_t resource_id)
{
}

static uint32_t null_submit(Renderer *r, uint32_t ctx_id, void *commands, uint32_t size)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t null_create_fence(Renderer *r, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence)
{
    g_async_queue_push(r->fences, g_memdup2(&fence, sizeof(fence)));
    return VIRTIO_GPU_RESP_OK_NODATA;
}

const RendererOps renderer_null_ops = {
    .name = "null",
    .kind = VGPU_RENDERER_NULL,
    .virtio_features = 1ull << VIRTIO_GPU_F_VIRGL,
    .create = null_create,
    .destroy = null_destroy,
    .reset = null_reset,
    .description = null_description,
    .poll_fd = null_poll_fd,
    .poll = null_poll,
    .capset_info = null_capset_info,
    .capset = null_capset,
    .resource_create = null_resource_create,
    .resource_destroy = null_resource_destroy,
    .backing_attach = null_backing_attach,
    .backing_detach = null_resource_destroy,
    .transfer_to_host = null_transfer,
    .transfer_from_host = null_transfer,
    .read_pixels = null_read_pixels,
    .context_create = null_context_create,
    .context_destroy = null_context_destroy,
    .context_attach = null_context_attach,
    .context_detach = null_context_detach,
    .submit = null_submit,
    .create_fence = null_create_fence,
};
