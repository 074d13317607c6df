/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blobs, and the window (BAR 4) in which the guest sees those of host memory. */
#ifndef VGPU_WINDOW_H
#define VGPU_WINDOW_H

#include "vgpu-driver.h"

#define PAGE 4096u

/* blob_id of the null renderer: what kind of memory a blob of it is */
enum {
    BLOB_SEALED = 0,
    BLOB_BEHIND_HEADER = 1, /* a page further in its file */
    BLOB_UNSEALED = 2,
    BLOB_NO_FILE = 3,
    BLOB_SHORT = 4, /* a page less than it says */
    BLOB_PRIVATE = 5,
    BLOB_FAILS = 6,
};

/*
 * Gives BAR 4 a place in the guest's address space, far above RAM; what is to be
 * read there is then at *base.  Returns its size, 0: the device has none.
 */
uint64_t window_open(Gpu *g, uint64_t *base);
/* What the shared memory capability says: the same, or 0. */
uint64_t window_capability(Gpu *g);

/* The first word of each of the first 16 pages of the null renderer's blobs. */
#define BLOB_MARK(id, page) ((id) << 8 | (page))

/* req is filled in as far as it is not about the entries */
uint32_t blob_create(Gpu *g, const struct virtio_gpu_resource_create_blob *req,
                     const struct virtio_gpu_mem_entry *entries, unsigned sent);
/* Host memory that can be mapped, of context 1. */
uint32_t blob_host(Gpu *g, uint32_t id, uint64_t kind, uint64_t size);
uint32_t blob_guest(Gpu *g, uint32_t id, uint64_t addr, uint32_t size);
uint32_t blob_map(Gpu *g, uint32_t id, uint64_t offset);
uint32_t blob_unmap(Gpu *g, uint32_t id);
/* A picture of that size, B8G8R8X8 from the blob's start, on scanout 0. */
uint32_t blob_show(Gpu *g, uint32_t id, uint32_t width, uint32_t height);

#endif
