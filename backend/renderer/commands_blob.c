/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of VIRTIO_GPU_F_RESOURCE_BLOB. */
#include "blob.h"
#include "command.h"
#include "log.h"
#include "resource.h"
#include "scanout.h"

uint32_t command_create_blob(Device *d, Command *c)
{
    const struct virtio_gpu_resource_create_blob *in = &c->in.create_blob;

    if (c->data_size != (uint64_t)in->nr_entries * sizeof(struct virtio_gpu_mem_entry)) {
        log_guest("blob %u: %u entries in %u bytes", in->resource_id, in->nr_entries, c->data_size);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (c->replay && blob_is_made(d, in)) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    return blob_create(d, in, c->data);
}

/* NULL and *code when there is no such resource or it is no blob. */
static Resource *blob_of(Device *d, uint32_t id, uint32_t *code)
{
    Resource *r = resource_find(d, id);

    if (r && r->blob) {
        return r;
    }
    log_guest("%s %u", r ? "no blob: resource" : "there is no resource", id);
    *code = r ? VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER : VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    return NULL;
}

uint32_t command_map_blob(Device *d, Command *c)
{
    uint32_t code;
    Resource *r = blob_of(d, c->in.map_blob.resource_id, &code);

    if (!r) {
        return code;
    }
    code = blob_map(d, r, c->in.map_blob.offset, &c->out.map_info.map_info);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        return code;
    }
    c->out_size = sizeof(c->out.map_info);
    return VIRTIO_GPU_RESP_OK_MAP_INFO;
}

uint32_t command_unmap_blob(Device *d, Command *c)
{
    uint32_t code;
    Resource *r;

    if (resource_is_gone(d, c->in.unmap_blob.resource_id)) {
        return VIRTIO_GPU_RESP_OK_NODATA; /* QEMU did that when the renderer was lost */
    }
    r = blob_of(d, c->in.unmap_blob.resource_id, &code);
    return r ? blob_unmap(d, r) : code;
}

uint32_t command_set_scanout_blob(Device *d, Command *c)
{
    const struct virtio_gpu_set_scanout_blob *in = &c->in.set_scanout_blob;
    Rect rect = { in->r.x, in->r.y, in->r.width, in->r.height };
    BlobFrame frame = {
        .width = in->width,
        .height = in->height,
        .format = in->format,
        .stride = in->strides[0],
        .offset = in->offsets[0],
    };
    uint32_t code;
    Resource *r;

    if (!scanout_exists(d, in->scanout_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    }
    if (!in->resource_id) {
        scanout_disable(d, in->scanout_id);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    r = blob_of(d, in->resource_id, &code);
    if (!r) {
        return code;
    }
    if (!blob_frame_fits(r, &frame) || !rect.w || !rect.h || !rect_within(&rect, frame.width, frame.height)) {
        log_guest("blob %u has %" G_GUINT64_FORMAT " bytes: a picture of %ux%u in format %u, from %u on, "
                  "%u a row, and %ux%u+%u+%u of it cannot be shown",
                  r->id, r->blob->size, frame.width, frame.height, frame.format, frame.offset, frame.stride,
                  rect.w, rect.h, rect.x, rect.y);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (!scanout_allowed(d, &rect)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    return scanout_set(d, in->scanout_id, r, &rect, &frame);
}
