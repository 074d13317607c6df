/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Helpers for the blob commands, as gpu_cmd.h has them for the others. */
#ifndef TEST_GPU_BLOB_H
#define TEST_GPU_BLOB_H

#include "gpu_cmd.h"

#define OK_MAP_INFO VIRTIO_GPU_RESP_OK_MAP_INFO
#define MEM_GUEST   VIRTIO_GPU_BLOB_MEM_GUEST
#define MEM_HOST    VIRTIO_GPU_BLOB_MEM_HOST3D
#define MEM_BOTH    VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST
#define MAPPABLE    VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE

/* Of the null renderer's memory: which kind a blob_id asks it for. */
enum { KIND_SEALED, KIND_BEHIND_HEADER, KIND_UNSEALED, KIND_NO_FILE, KIND_SHORT, KIND_PRIVATE, KIND_FAILS };

typedef struct BlobAsk {
    uint32_t id, ctx, mem, flags;
    uint64_t blob_id, size;
    uint32_t told; /* entries it says it has */
    const struct virtio_gpu_mem_entry *entries;
    uint32_t sent; /* entries it has */
} BlobAsk;

uint32_t gpu_blob(Frontend *f, const BlobAsk *a);
/* One of guest memory with one entry. */
uint32_t gpu_blob_guest(Frontend *f, uint32_t id, uint64_t gpa, uint32_t size);
/* One of host memory that can be mapped, in that context. */
uint32_t gpu_blob_host(Frontend *f, uint32_t id, uint32_t ctx, uint64_t size);
uint32_t gpu_map(Frontend *f, uint32_t id, uint64_t offset);
uint32_t gpu_unmap(Frontend *f, uint32_t id);
uint32_t gpu_scanout_blob(Frontend *f, const struct virtio_gpu_set_scanout_blob *s);
/* Not waited for. */
Pending *gpu_send_map(Frontend *f, uint32_t id, uint64_t offset, uint32_t flags, uint64_t fence);
Pending *gpu_send_unmap(Frontend *f, uint32_t id);

#endif
