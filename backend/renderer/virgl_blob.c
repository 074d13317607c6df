/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blobs of guest memory: virglrenderer gets their pages, and a context of the
 * guest's may make a texture or a buffer of them.  Host memory in OpenGL is a
 * buffer of the driver's that no descriptor leads to: it cannot be shared with
 * QEMU, so the guest is not offered what needs it (memory_info.h).
 */
#include "venus.h"

#include "log.h"

uint64_t virgl_blob_bytes(Renderer *r, const RendererBlob *blob)
{
    return venus_context(r, blob->ctx_id) ? venus_blob_bytes(blob) : 0;
}

uint32_t virgl_blob_create(Renderer *r, const RendererBlob *blob)
{
    struct virgl_renderer_resource_create_blob_args args = {
        .res_handle = blob->resource_id,
        .ctx_id = blob->ctx_id,
        .blob_mem = VIRGL_RENDERER_BLOB_MEM_GUEST,
        .blob_flags = blob->flags,
        .size = blob->size,
        .iovecs = blob->iov,
        .num_iovs = blob->iov_count,
    };
    VenusContext *vulkan = venus_context(r, blob->ctx_id);
    VirglResource *resource;
    int ret;

    if (vulkan && blob->mem != VIRTIO_GPU_BLOB_MEM_GUEST) {
        return venus_blob_create(r, vulkan, blob);
    }
    if (blob->mem != VIRTIO_GPU_BLOB_MEM_GUEST) {
        log_guest("VM '%s': refused a blob of host memory: OpenGL has none that can be shared", r->vm_name);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    virgl_renderer_force_ctx_0();
    ret = virgl_renderer_resource_create_blob(&args);
    if (ret) {
        return virgl_response(ret);
    }
    resource = g_new0(VirglResource, 1);
    resource->iov = blob->iov;
    resource->iov_count = blob->iov_count;
    g_hash_table_insert(r->resources, GUINT_TO_POINTER(blob->resource_id), resource);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t virgl_blob_export(Renderer *r, uint32_t resource_id, RendererMemory *memory)
{
    const VirglResource *resource = g_hash_table_lookup(r->resources, GUINT_TO_POINTER(resource_id));

    return resource && resource->host ? venus_blob_export(r, resource_id, resource->host, memory)
                                      : VIRTIO_GPU_RESP_ERR_UNSPEC;
}
