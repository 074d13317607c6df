/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver's side of a virtqueue at memory speed: the guest's RAM is a memfd
 * that this program maps as well, so that only doorbells go through QEMU.
 */
#ifndef BENCH_RAM_H
#define BENCH_RAM_H

#include "vgpu-driver.h"

/* The RAM of this VM, mapped; never unmapped. */
uint8_t *bench_ram(GpuVm *vm);

/* QEMU arguments for a vCPU that halts at once, with the clocks running; firmware is written to dir. */
char *bench_idle_cpu(const char *dir);

#define RING_REQUEST_MAX (64 * 1024)        /* of one slot, bytes */
#define RING_PAYLOAD_MAX (16 * 1024 * 1024) /* of a request that goes elsewhere, one at a time */

#define RING_SLOTS_MAX 128

/*
 * Slots are taken in turn; each is a chain of a header, a payload if there is
 * one, and a response, as Linux makes them.  The device may use them in any
 * order: what waits for a fence is overtaken by what has none.
 */
typedef struct Ring {
    Gpu *g;
    unsigned queue, slots;
    uint16_t size;
    uint8_t *ram;
    struct vring_desc *desc;
    uint16_t *avail, *used; /* as in the ring: flags, idx, ... */
    uint16_t pushed, kicked, reaped;
    bool busy[RING_SLOTS_MAX];
    unsigned in_flight;
    unsigned errors;     /* answers that were none of success */
    uint64_t memory;     /* of the slots, guest address */
    uint64_t big;        /* for a payload that fits into no slot; 0: none yet */
    unsigned big_slot;   /* that uses it, or did last */
    uint32_t *interrupt; /* where the device's message lands, NULL: none */
    uint64_t fence;      /* of the last request that had one */
    uint64_t kicks;      /* doorbells rung */
} Ring;

/* Takes over a queue that gpu_init() has set up and that has carried nothing yet in flight. */
void ring_open(Ring *r, Gpu *g, unsigned queue);

/* Puts a request on the ring, whose slot is awaited: its header and what follows it.  The device does not see
 * it before ring_kick().
 */
void ring_push(Ring *r, struct virtio_gpu_ctrl_hdr *header, size_t header_size, const void *payload,
               size_t payload_size, bool fenced);
/* SUBMIT_3D of a context */
void ring_push_submit(Ring *r, uint32_t ctx, const uint32_t *dwords, size_t count, bool fenced);
void ring_kick(Ring *r); /* rings only where the device asked for it */

/* Waits until this many are in flight at most; polls, and yields while it does. */
void ring_wait(Ring *r, unsigned in_flight);
/* The same, until the device's interrupt says so. */
void ring_wait_interrupt(Ring *r, unsigned in_flight);
/* Ends the program when an answer was none of success. */
void ring_expect_ok(Ring *r);

#endif
