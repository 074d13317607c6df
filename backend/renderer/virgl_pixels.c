/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a scanout's pixels, in the root context so that no guest's GL state is
 * touched.  A texture of a resource with Y_0_TOP holds the picture's first row
 * as its last, all others as their first.
 */
#include "virgl.h"

#include <epoxy/gl.h>
#include <string.h>

#include "../quota/virgl.h"
#include "log.h"
#include "rect.h"

#define FOURCC(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define FOURCC_XR24        FOURCC('X', 'R', '2', '4')
#define FOURCC_AR24        FOURCC('A', 'R', '2', '4')

#define RESOURCE_Y_0_TOP (1u << 0)

/* Everything is read as B8G8R8A8; alpha means something only where the format has it. */
static uint32_t fourcc_of(uint32_t format)
{
    switch (format) {
    case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
    case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
    case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
    case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
        return FOURCC_AR24;
    default:
        return FOURCC_XR24;
    }
}

static void flip_rows(char *rows, size_t row_bytes, size_t stride, uint32_t h)
{
    g_autofree char *keep = g_malloc(row_bytes);

    for (uint32_t top = 0, bottom = h - 1; top < bottom; top++, bottom--) {
        memcpy(keep, rows + top * stride, row_bytes);
        memcpy(rows + top * stride, rows + bottom * stride, row_bytes);
        memcpy(rows + bottom * stride, keep, row_bytes);
    }
}

/* The root context is current.  y counts rows of the texture. */
static bool read_texture(Renderer *r, uint32_t texture, GLenum target, const Rect *rect, void *dst,
                         uint32_t dst_stride)
{
    GLenum status;

    if (!r->framebuffer) {
        glGenFramebuffers(1, &r->framebuffer);
    }
    while (glGetError() != GL_NO_ERROR) {
    }
    glBindFramebuffer(GL_READ_FRAMEBUFFER, r->framebuffer);
    glFramebufferTexture2D(GL_READ_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, target, texture, 0);
    status = glCheckFramebufferStatus(GL_READ_FRAMEBUFFER);
    if (status == GL_FRAMEBUFFER_COMPLETE) {
        glPixelStorei(GL_PACK_ALIGNMENT, 4);
        glPixelStorei(GL_PACK_ROW_LENGTH, (GLint)(dst_stride / 4));
        glReadPixels((GLint)rect->x, (GLint)rect->y, (GLsizei)rect->w, (GLsizei)rect->h, GL_BGRA,
                     GL_UNSIGNED_INT_8_8_8_8_REV, dst);
    }
    /* Else the texture would live on in our framebuffer. */
    glFramebufferTexture2D(GL_READ_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, target, 0, 0);
    return status == GL_FRAMEBUFFER_COMPLETE && glGetError() == GL_NO_ERROR;
}

uint32_t virgl_pixels_read(Renderer *r, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
                           void *dst, uint32_t dst_stride, uint32_t *drm_fourcc)
{
    VirglResource *resource = g_hash_table_lookup(r->resources, GUINT_TO_POINTER(resource_id));
    struct virgl_renderer_resource_info info = { 0 };
    Rect rect = { x, y, w, h };
    bool y_0_top, done = false;

    if (!resource) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    if (resource->shape.target != PIPE_TEXTURE_2D && resource->shape.target != PIPE_TEXTURE_RECT) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    *drm_fourcc = fourcc_of(resource->shape.format);
    if (!dst) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (w == 0 || h == 0 || dst_stride / 4 < w || dst_stride % 4 ||
        !rect_within(&rect, resource->shape.width, resource->shape.height) ||
        resource->shape.nr_samples > 1 || virgl_renderer_resource_get_info((int)resource_id, &info) ||
        info.tex_id == 0) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    y_0_top = info.flags & RESOURCE_Y_0_TOP;
    if (y_0_top) {
        rect.y = resource->shape.height - y - h;
    }
    if (egl_make_root_current(r->egl)) {
        done =
            read_texture(r, info.tex_id,
                         resource->shape.target == PIPE_TEXTURE_RECT ? GL_TEXTURE_RECTANGLE : GL_TEXTURE_2D,
                         &rect, dst, dst_stride);
    }
    virgl_renderer_force_ctx_0();
    if (!done) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (y_0_top) {
        flip_rows(dst, (size_t)w * 4, dst_stride, h);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}
