/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM as the renderer sees it.
 *
 * A GuestMemory is one generation of the memory table: immutable, reference
 * counted, made anew whenever QEMU adds or removes a region.  A region is
 * mapped once and shared by all generations that have it; it is unmapped when
 * the last of them goes.  So whoever holds a generation may use its pointers,
 * however long its transfer runs and whatever QEMU does to the table meanwhile.
 *
 * QEMU is trusted for the table (it may shrink a file and we die of SIGBUS);
 * the guest is not trusted for the addresses it gives.
 */
#ifndef VGPU_RENDERER_GUEST_MEMORY_H
#define VGPU_RENDERER_GUEST_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* libvhost-user's VHOST_USER_MAX_RAM_SLOTS, and QEMU's usual bound. */
#define GUEST_MEMORY_MAX_REGIONS 509

typedef struct GuestRegion {
    int refs;           /* atomic; of generations */
    uint64_t gpa, size; /* guest-physical, bytes */
    uint64_t qva;       /* QEMU's address: how vring addresses are given */
    uint8_t *base;      /* of gpa */
    void *map;          /* what was mapped: from a huge page boundary on */
    uint64_t map_size;
} GuestRegion;

typedef struct GuestMemory {
    int refs; /* atomic */
    unsigned count;
    GuestRegion *region[]; /* ascending gpa, disjoint */
} GuestMemory;

/* A generation without regions. */
GuestMemory *guest_memory_new(void);
GuestMemory *guest_memory_ref(GuestMemory *m);
void guest_memory_unref(GuestMemory *m); /* takes NULL */

/*
 * A new generation: old's regions and one more.  fd is borrowed.  NULL with
 * *error set when the region overlaps, is malformed or cannot be mapped.
 */
GuestMemory *guest_memory_add(const GuestMemory *old, uint64_t gpa, uint64_t size, uint64_t qva, int fd,
                              uint64_t fd_offset, GError **error);

/* A new generation without that region; NULL when there is no such region. */
GuestMemory *guest_memory_remove(const GuestMemory *old, uint64_t gpa, uint64_t size, uint64_t qva);

/*
 * Where gpa is; *len is cut to what follows in the same region.  NULL when
 * there is no memory.
 */
void *guest_memory_at(const GuestMemory *m, uint64_t gpa, uint64_t *len);

/*
 * The way back: which guest address p is; *len is cut to what follows in the
 * same region.  False when p is not in guest memory.
 */
bool guest_memory_gpa(const GuestMemory *m, const void *p, uint64_t *gpa, uint64_t *len);

/* True when QEMU's [qva, qva + len) lies within one region. */
bool guest_memory_has_qva(const GuestMemory *m, uint64_t qva, uint64_t len);

#endif
