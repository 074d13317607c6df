/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blobs of Vulkan contexts.  With blob_id 0 it is shared memory that the context
 * process makes for the guest's rings: the ledger is charged for it like for any
 * resource.  Otherwise it is a VkDeviceMemory, which the layer has charged when
 * it was allocated: here the charge is taken over, so that it stays until both
 * are gone.  What the layer has not charged is not shared.
 *
 * What descriptor it is and where the memory begins in it: shared memory and
 * dmabufs begin at 0; in an opaque descriptor of a driver's the layer has found
 * out where (lavapipe has a header there).
 */
#include "venus.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

uint64_t venus_blob_bytes(const RendererBlob *blob)
{
    return blob->mem == VIRTIO_GPU_BLOB_MEM_HOST3D && !blob->blob_id ? blob->size : 0;
}

static bool kind_of(uint32_t type, VenusMemory *memory)
{
    switch (type) {
    case VIRGL_RENDERER_BLOB_FD_TYPE_SHM:
        *memory = VENUS_SHM;
        return true;
    case VIRGL_RENDERER_BLOB_FD_TYPE_DMABUF:
        *memory = VENUS_DMABUF;
        return true;
    case VIRGL_RENDERER_BLOB_FD_TYPE_OPAQUE:
        *memory = VENUS_OPAQUE;
        return true;
    default:
        return false;
    }
}

/* In the books from now on; NULL, or why it cannot be. */
static const char *adopt(Renderer *r, int fd, VenusBlob *host)
{
    VulkanFile file = { .offset = VGPU_VULKAN_OFFSET_UNKNOWN };
    VulkanBlob blob;
    struct stat st;

    if (host->memory == VENUS_SHM) {
        return "it is no device memory";
    }
    if (fstat(fd, &st) < 0) {
        return "its descriptor is none";
    }
    file.dev = st.st_dev;
    file.ino = st.st_ino;
    if (!vulkan_books_adopt(r->venus->books, &file, &blob)) {
        return "the Vulkan layer has not charged it";
    }
    host->entry = blob.entry;
    host->offset = host->memory == VENUS_DMABUF ? 0 : blob.offset;
    return NULL;
}

/* It is there in virglrenderer. */
static VenusBlob *host_new(Renderer *r, const RendererBlob *blob)
{
    VenusBlob host = { .ctx_id = blob->ctx_id, .entry = -1 };
    const char *why = NULL;
    uint32_t type = 0;
    int fd;

    if (virgl_renderer_resource_export_blob(blob->resource_id, &type, &fd)) {
        return NULL;
    }
    if (!kind_of(type, &host.memory)) {
        why = "it is of no known kind";
    } else if (blob->blob_id) {
        why = adopt(r, fd, &host);
    } else if (host.memory != VENUS_SHM) {
        why = "it is no shared memory";
    }
    close(fd);
    if (why) {
        log_guest("VM '%s': refused blob %u: %s", r->vm_name, blob->resource_id, why);
        return NULL;
    }
    return g_memdup2(&host, sizeof(host));
}

/* virglrenderer does not look at what only a context process can know, which is all else. */
static bool can_be(const RendererBlob *blob)
{
    return blob->mem == VIRTIO_GPU_BLOB_MEM_HOST3D &&
           (blob->blob_id || blob->flags == VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE);
}

uint32_t venus_blob_create(Renderer *r, VenusContext *ctx, const RendererBlob *blob)
{
    struct virgl_renderer_resource_create_blob_args args = {
        .res_handle = blob->resource_id,
        .ctx_id = ctx->id,
        .blob_mem = VIRGL_RENDERER_BLOB_MEM_HOST3D,
        .blob_flags = blob->flags,
        .blob_id = blob->blob_id,
        .size = blob->size,
    };
    VirglResource *resource;
    VenusBlob *host;
    int ret;

    if (!ctx->process) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (!can_be(blob)) {
        log_guest("VM '%s': refused blob %u: a Vulkan context shares its own memory only, and what has no id "
                  "can only be mapped",
                  r->vm_name, blob->resource_id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    venus_guard_enter(&r->venus->guard, ctx);
    ret = virgl_renderer_resource_create_blob(&args);
    venus_guard_leave(&r->venus->guard);
    if (ret) {
        return virgl_response(ret);
    }
    g_hash_table_add(ctx->attached, GUINT_TO_POINTER(blob->resource_id));
    host = host_new(r, blob);
    if (!host) {
        venus_context_detach(r, ctx, blob->resource_id);
        virgl_renderer_resource_unref(blob->resource_id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    resource = g_new0(VirglResource, 1);
    resource->host = host;
    g_hash_table_insert(r->resources, GUINT_TO_POINTER(blob->resource_id), resource);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t venus_blob_export(Renderer *r, uint32_t resource_id, const VenusBlob *host, RendererMemory *memory)
{
    uint32_t type, map_info;
    int fd;

    if (host->lost || host->offset == VGPU_VULKAN_OFFSET_UNKNOWN ||
        virgl_renderer_resource_get_map_info(resource_id, &map_info) ||
        virgl_renderer_resource_export_blob(resource_id, &type, &fd)) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    *memory = (RendererMemory){
        .fd = fd,
        .offset = host->offset,
        .map_info = map_info & VIRGL_RENDERER_MAP_CACHE_MASK,
    };
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void venus_blob_free(Renderer *r, VenusBlob *host)
{
    if (host && host->entry >= 0) {
        vulkan_books_blob_gone(r->venus->books, host->entry);
    }
    g_free(host);
}
