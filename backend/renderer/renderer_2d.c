/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 2D renderer: pictures in memory, copied by the CPU.  What a guest gets
 * where OpenGL does not start.  Formats are the eight 32-bit ones of virtio;
 * pixels are kept as the guest sent them and the scanout says which they are.
 */
#include <linux/virtio_gpu.h>
#include <string.h>

#include "format.h"
#include "iov.h"
#include "ops.h"

typedef struct Image {
    uint32_t width, height;
    uint32_t fourcc;
    uint8_t *pixels;         /* width * 4 bytes a line */
    const struct iovec *iov; /* borrowed; NULL: no backing */
    uint32_t iov_count;
} Image;

struct Renderer {
    void (*fence_done)(void *opaque, uint64_t fence);
    void *opaque;
    GHashTable *images; /* id -> Image */
};

static void image_free(gpointer p)
{
    Image *image = p;

    g_free(image->pixels);
    g_free(image);
}

static Image *image_find(Renderer *r, uint32_t id)
{
    return g_hash_table_lookup(r->images, GUINT_TO_POINTER(id));
}

static Renderer *soft_create(const RendererConfig *config, GError **error)
{
    Renderer *r = g_new0(Renderer, 1);

    r->fence_done = config->fence_done;
    r->opaque = config->opaque;
    r->images = g_hash_table_new_full(NULL, NULL, NULL, image_free);
    return r;
}

static void soft_destroy(Renderer *r)
{
    g_hash_table_unref(r->images);
    g_free(r);
}

static void soft_reset(Renderer *r)
{
    g_hash_table_remove_all(r->images);
}

static const char *soft_description(Renderer *r)
{
    return "";
}

static int soft_poll_fd(Renderer *r)
{
    return -1;
}

static void soft_poll(Renderer *r)
{
}

static bool soft_capset_info(Renderer *r, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size)
{
    return false;
}

static bool soft_capset(Renderer *r, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    return false;
}

static uint32_t soft_resource_create(Renderer *r, uint32_t resource_id, const ResourceShape *shape)
{
    uint32_t fourcc = format_fourcc(shape->format);
    Image *image;
    uint8_t *pixels;

    if (!fourcc) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    pixels = g_try_malloc0((size_t)shape->width * shape->height * 4);
    if (!pixels) {
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    image = g_new0(Image, 1);
    image->width = shape->width;
    image->height = shape->height;
    image->fourcc = fourcc;
    image->pixels = pixels;
    g_hash_table_insert(r->images, GUINT_TO_POINTER(resource_id), image);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void soft_resource_destroy(Renderer *r, uint32_t resource_id)
{
    g_hash_table_remove(r->images, GUINT_TO_POINTER(resource_id));
}

static uint32_t soft_backing_attach(Renderer *r, uint32_t resource_id, const struct iovec *iov,
                                    uint32_t count)
{
    Image *image = image_find(r, resource_id);

    image->iov = iov;
    image->iov_count = count;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void soft_backing_detach(Renderer *r, uint32_t resource_id)
{
    Image *image = image_find(r, resource_id);

    image->iov = NULL;
    image->iov_count = 0;
}

static uint32_t soft_transfer_to_host(Renderer *r, const RendererTransfer *t)
{
    Image *image = image_find(r, t->resource_id);
    uint64_t stride = (uint64_t)image->width * 4, line = (uint64_t)t->box.w * 4;
    IovCursor c = { image->iov, image->iov_count, t->offset };

    for (uint32_t y = 0; y < t->box.h; y++) {
        iov_cursor_read(&c, image->pixels + (t->box.y + y) * stride + (uint64_t)t->box.x * 4, line);
        iov_cursor_skip(&c, stride - line);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t soft_transfer_from_host(Renderer *r, const RendererTransfer *t)
{
    return VIRTIO_GPU_RESP_ERR_UNSPEC;
}

static uint32_t soft_read_pixels(Renderer *r, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w,
                                 uint32_t h, void *dst, uint32_t dst_stride, uint32_t *drm_fourcc)
{
    const Image *image = image_find(r, resource_id);
    size_t stride = (size_t)image->width * 4;

    *drm_fourcc = image->fourcc;
    for (uint32_t i = 0; dst && i < h; i++) {
        memcpy((uint8_t *)dst + (size_t)i * dst_stride, image->pixels + (y + i) * stride + (size_t)x * 4,
               (size_t)w * 4);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* All work is done before its command returns. */
static uint32_t soft_create_fence(Renderer *r, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence)
{
    r->fence_done(r->opaque, fence);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

const RendererOps renderer_2d_ops = {
    .name = "2d",
    .kind = VGPU_RENDERER_2D,
    .create = soft_create,
    .destroy = soft_destroy,
    .reset = soft_reset,
    .description = soft_description,
    .poll_fd = soft_poll_fd,
    .poll = soft_poll,
    .capset_info = soft_capset_info,
    .capset = soft_capset,
    .resource_create = soft_resource_create,
    .resource_destroy = soft_resource_destroy,
    .backing_attach = soft_backing_attach,
    .backing_detach = soft_backing_detach,
    .transfer_to_host = soft_transfer_to_host,
    .transfer_from_host = soft_transfer_from_host,
    .read_pixels = soft_read_pixels,
    .create_fence = soft_create_fence,
};
