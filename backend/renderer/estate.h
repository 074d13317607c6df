/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a lost renderer left: its object table (table.h), read once into our own
 * memory and then checked.  Or what was saved elsewhere (saved.h), in the same form.
 *
 * It may have been taken over by its guest before it died, so an entry is
 * believed as far as a guest's command would be, and no further: what is here
 * is well-formed, and whether it is possible (formats, sizes, guest pages, the
 * quota) is decided where commands decide it, see adopt.h.  An entry that is
 * not well-formed is left out; the others are not harmed.
 */
#ifndef VGPU_RENDERER_ESTATE_H
#define VGPU_RENDERER_ESTATE_H

#include "table.h"

typedef struct EstateResource {
    uint32_t id; /* not 0, of one only */
    bool is_2d;  /* then its shape is one that RESOURCE_CREATE_2D makes */
    ResourceShape shape;
    uint32_t blob_mem; /* VIRTIO_GPU_BLOB_MEM_*; 0: no blob */
    uint32_t blob_flags;
    uint64_t blob_size;
    const struct TablePages *pages; /* NULL: none, or they are not known */
    uint32_t pages_count;
    bool backing_lost;
    uint8_t uuid[16];   /* all zero: none */
    uint64_t pixels_at; /* of a 2D picture, in Estate.pixels_fd; 0: its backing is all there is */
} EstateResource;

typedef struct EstateChain {
    uint16_t head;
    uint32_t tries;
    uint64_t order;
} EstateChain;

typedef struct EstateQueue {
    struct TableQueue ring;
    EstateChain *chain; /* oldest first */
    unsigned count;
} EstateQueue;

typedef struct Estate {
    GArray *resources; /* of EstateResource */
    struct TableScanout scanout[TABLE_SCANOUTS];
    EstateQueue queue[TABLE_QUEUES];
    unsigned refused; /* entries; the log says which */
    uint32_t guest;   /* Vhost.generation when it was given, see adopt.h */
    uint8_t *map;     /* our copy, NULL: the caller's */
    /* Of a saved state, see saved.h. */
    uint32_t contexts; /* that were left behind */
    int pixels_fd;     /* -1: none */
} Estate;

/*
 * NULL with a sentence when it is no table of our version, or of the guest before
 * its last reset (which its renderer did not live to see).  fd is borrowed.
 */
Estate *estate_read(int fd, uint32_t generation, GError **error);
/* The same from TABLE_SIZE bytes that outlive it, all zero from filled on. */
Estate *estate_parse(const uint8_t *table, size_t filled, uint32_t generation, GError **error);
void estate_free(Estate *e); /* takes NULL */

#endif
