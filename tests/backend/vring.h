/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A split virtqueue as a guest's driver sees it, in guest RAM.  The fields are
 * public: the hostile tests write into them directly.
 */
#ifndef TEST_VRING_H
#define TEST_VRING_H

#include <linux/virtio_ring.h>

#include "ram.h"

typedef struct VringBuf {
    uint64_t gpa;
    uint32_t len;
} VringBuf;

typedef struct Vring {
    Ram *ram;
    uint16_t num;
    uint64_t desc_gpa, avail_gpa, used_gpa;
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    int kick_fd, call_fd;
    bool event_idx, indirect;
    uint16_t avail_idx; /* of the next chain */
    uint16_t last_used; /* of the next used element to read */
    uint16_t free_head, free_count;
    uint16_t *chain_len; /* descriptors of the chain that starts here */
    uint64_t *table_gpa; /* its indirect table, 0: none */
} Vring;

/* num: a power of two. */
Vring *vring_new(Ram *ram, uint16_t num, bool event_idx, bool indirect);
void vring_free(Vring *vr);
/* As after a device reset: empty, nothing in flight. */
void vring_reset(Vring *vr);

/* Readable buffers first.  The head's index, or -1 when the ring is full. */
int vring_add(Vring *vr, const VringBuf *out, unsigned n_out, const VringBuf *in, unsigned n_in);
/* Makes a chain that lies in the table already available, without a look at it. */
void vring_offer(Vring *vr, uint16_t head);
/* Tells the device; with event idx only when it asked to be told. */
void vring_kick(Vring *vr);
/* Tells the device always. */
void vring_kick_now(Vring *vr);

/* One used element, if there is one. */
bool vring_pop(Vring *vr, uint16_t *head, uint32_t *len);
/* Asks for a call at the next used element; false when there is one already. */
bool vring_want_call(Vring *vr);

#endif
