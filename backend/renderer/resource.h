/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's resources: ids, shapes, what they were charged, and the guest
 * pages behind them.  Render thread only.
 */
#ifndef VGPU_RENDERER_RESOURCE_H
#define VGPU_RENDERER_RESOURCE_H

#include <linux/virtio_gpu.h>

#include "device.h"

/*
 * Pages one backing may have: 512 MiB of scattered 4 KiB pages (QEMU's own
 * device stops at 16384, which a large texture of a fragmented guest exceeds).
 */
#define BACKING_ENTRIES_MAX 131072u
/* All backings together: 16 GiB of single pages, 128 MiB of our memory. */
#define BACKING_ENTRIES_ALL (4u * 1024 * 1024)

/* See blob.h. */
typedef struct Blob {
    uint32_t mem, flags; /* VIRTIO_GPU_BLOB_* */
    uint32_t ctx_id;     /* that made it */
    bool remote;         /* that context's process has it: see ops.h */
    uint64_t size;       /* bytes */
    WindowPlace place;   /* where the guest has it mapped; id 0: nowhere */
    bool revoked;        /* that was taken away, and the guest has not unmapped it since */
    struct iovec view;   /* host memory as we see it, once it was shown; NULL: not yet */
    int view_fd;         /* of a dmabuf, -1: none */
} Blob;

typedef struct Resource {
    uint32_t id;
    bool is_2d;
    bool in_renderer; /* the renderer knows it */
    Blob *blob;       /* NULL: it is none; then shape is all zero */
    ResourceShape shape;
    uint64_t charged;  /* bytes, refunded when it goes */
    uint32_t slot;     /* in the object table */
    uint32_t scanouts; /* bit per scanout that shows it */
    bool has_uuid;
    uint8_t uuid[16];

    bool has_backing;
    struct TablePages *pages; /* as the guest gave them */
    uint32_t pages_count;
    struct iovec *iov; /* translated, adjacent ones merged */
    uint32_t iov_count;
    uint64_t backing_size; /* bytes */
    GuestMemory *memory;   /* the generation iov is of */
} Resource;

void resources_init(Device *d);

/* NULL when there is no such id. */
Resource *resource_find(Device *d, uint32_t id);

/*
 * It was lost with a renderer, and the guest does not know: to all commands it
 * is not there, but giving it back once is not an error.
 */
void resource_set_gone(Device *d, uint32_t id);
bool resource_is_gone(Device *d, uint32_t id);
bool resource_forget_gone(Device *d, uint32_t id); /* true: it was */

void resource_set_uuid(Device *d, Resource *r, const uint8_t uuid[16]);

/* Whether a new resource can have it. */
bool resource_id_free(Device *d, uint32_t id);

/* VIRTIO_GPU_RESP_*.  Charges, creates, enters it. */
uint32_t resource_create(Device *d, uint32_t id, const ResourceShape *shape, bool is_2d);
void resource_destroy(Device *d, Resource *r);
/* The renderer was or will be reset: forgets and refunds all. */
void resources_forget(Device *d);

/*
 * For blob.c, in this order.  resource_new: checks the id and charges; NULL and
 * *code, or one that resource_drop gives back until it is published.
 * resource_take_pages: translates its backing, which resource_keep_pages makes
 * its own once the renderer has it.
 */
Resource *resource_new(Device *d, uint32_t id, const ResourceShape *shape, bool is_2d, uint64_t bytes,
                       uint32_t *code);
uint32_t resource_take_pages(Device *d, Resource *r, const struct virtio_gpu_mem_entry *entries,
                             uint32_t count);
void resource_keep_pages(Device *d, Resource *r);
void resource_publish(Device *d, Resource *r);
void resource_drop(Device *d, Resource *r);

/* entries: count of them, our own copy. */
uint32_t resource_attach(Device *d, Resource *r, const struct virtio_gpu_mem_entry *entries, uint32_t count);
void resource_detach(Device *d, Resource *r);

/*
 * The memory table changed: every backing is translated again.  One whose
 * pages are gone is detached; its resource keeps what it has, transfers fail.
 */
void resources_follow_memory(Device *d);

#endif
