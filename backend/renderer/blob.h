/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blobs: resources that are a number of bytes and nothing more.  Render thread
 * only.
 *
 * One of guest memory is a list of guest pages: it costs us the list, which is
 * what it is charged.  One of host memory is made by the renderer in a context
 * and can be mapped into the guest's window; what it is charged it stays charged
 * until it is gone and QEMU has unmapped it.  A blob outlives the context that
 * made it, and so does its map: another process of the guest may have it.
 */
#ifndef VGPU_RENDERER_BLOB_H
#define VGPU_RENDERER_BLOB_H

#include "resource.h"

/* VIRTIO_GPU_RESP_*.  entries: in->nr_entries of them. */
uint32_t blob_create(Device *d, const struct virtio_gpu_resource_create_blob *in,
                     const struct virtio_gpu_mem_entry *entries);

/* Whether there is such a blob already. */
bool blob_is_made(Device *d, const struct virtio_gpu_resource_create_blob *in);

/* r is a blob.  The command's answer is to wait for QEMU: see window.h. */
uint32_t blob_map(Device *d, Resource *r, uint64_t offset, uint32_t *map_info);
uint32_t blob_unmap(Device *d, Resource *r);
/*
 * A context is lost, and whatever polled its memory in the guest must not spin
 * for ever: none of its blobs stays mapped.  Each may be unmapped once more.
 */
void blob_lose_context(Device *d, uint32_t ctx_id);

/* For resource.c; both take resources that are no blobs. */
void blob_unmap_for_good(Device *d, Resource *r); /* its charge goes along */
void blob_free(Resource *r);

/* Whether a picture of that kind lies within r, a blob. */
bool blob_frame_fits(const Resource *r, const BlobFrame *f);
/* VIRTIO_GPU_RESP_*: before its pixels can be read. */
uint32_t blob_prepare_read(Device *d, Resource *r);
/* rect lies within f, which fits r. */
uint32_t blob_read(const Resource *r, const BlobFrame *f, const Rect *rect, void *dst, uint32_t dst_stride);

#endif
