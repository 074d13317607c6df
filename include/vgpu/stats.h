/* SPDX-License-Identifier: MIT */
/*
 * The statistics page of one VM: a sealed memfd of VGPU_STATS_SIZE bytes that
 * vgpud makes, the renderer writes and vgpud and QEMU read.  The words that
 * vgpud sets are orders; a renderer that does not follow them, or writes others
 * there, is held to vgpud's own books from outside.
 *
 * The guest reads it as well (virtio.h, VGPU_PCI_BAR_STATS).  So it says nothing
 * of other VMs but what any guest can measure: how long it had to wait.  Nor how
 * long the host has been up, by which two guests could find out that they share it.
 *
 * Every counter is a naturally aligned 64-bit word with one writer, stored and
 * loaded with relaxed atomics; there is no order between two of them.  What a
 * renderer writes here is its claim (the renderer is not trusted): readers must
 * not use a figure as a size, an index or a permission.  Host byte order, which
 * is little-endian.  A page without the magic is of no renderer: all is zero.
 *
 * Each renderer has a page of its own, which begins with what vgpud knows and
 * zero for the rest: "ever" is since that renderer started, but for the words of
 * version 2, which go on.
 */
#ifndef VGPU_STATS_H
#define VGPU_STATS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define VGPU_STATS_MAGIC   0x54415453u /* "STAT" */
#define VGPU_STATS_VERSION 2
#define VGPU_STATS_SIZE    4096

/* Why a VM lost its last renderer. */
enum vgpu_reset_cause {
    VGPU_RESET_NONE     = 0, /* it has lost none */
    VGPU_RESET_CRASH    = 1, /* it ended by itself, or broke its contract with QEMU */
    VGPU_RESET_HANG     = 2, /* the VM's work did not end within its hang timeout */
    VGPU_RESET_RESOURCE = 3, /* it took more memory or processes of the host than it may */
    VGPU_RESET_OPERATOR = 4, /* somebody on the host ended it */
    VGPU_RESET_DEADLINE = 5, /* it did not answer QEMU in time */
};

struct vgpu_stats {
    uint32_t magic; /* set by vgpud */
    uint32_t version;
    uint64_t memory_limit;      /* bytes; vgpud may change it at any time, the renderer never does */
    uint64_t memory_used;       /* bytes charged now */
    uint64_t memory_peak;       /* bytes, highest memory_used */
    uint64_t alloc_denied;      /* requests refused for lack of quota */
    uint64_t alloc_denied_size; /* bytes asked for by the last one refused */
    uint64_t resources;         /* objects now */
    uint64_t contexts;
    uint64_t commands;       /* control commands answered, ever */
    uint64_t submits;        /* SUBMIT_3D executed, ever */
    uint64_t fences;         /* signalled, ever */
    uint64_t frames;         /* flushes of a scanout, ever */
    uint64_t errors;         /* error replies, ever */
    uint64_t last_submit_ns; /* CLOCK_MONOTONIC, less what only vgpud and renderer know; 0: never */
    uint64_t kind;           /* enum vgpu_renderer_kind */
    uint64_t renew;          /* set by vgpud: at its next reset QEMU is to ask for another renderer */
    uint64_t contexts_hung;  /* contexts whose process was ended because their work hung, ever */

    /* version 2, set by vgpud when they change, the times at most once a second */
    uint64_t share;        /* of the GPU's time that the profile stands for, millionths */
    uint64_t gpu_time_ns;  /* GPU time that the VM was charged, ever */
    uint64_t throttled_ns; /* time that it had work and waited for its turn, ever */
    uint64_t resets;       /* renderers that it has lost, ever */
    uint64_t reset_cause;  /* enum vgpu_reset_cause: of the last one */
    /*
     * Counts changes of the profile and of all that it grants: 2 more for each,
     * odd while the next words are being written.  Read it (acquire), then
     * them, then it again (behind a read barrier): they belong together if it
     * was even and is the same.
     */
    uint64_t profile_serial;
    char profile[64]; /* UTF-8, ends in NUL */

    /* Of the VM's work on the GPU, and how long QEMU waits for a sign of life; set by vgpud, 0: not known. */
    uint64_t hang_timeout_ns;
};

_Static_assert(sizeof(struct vgpu_stats) <= VGPU_STATS_SIZE, "one page");

#ifndef __KERNEL__ /* there: READ_ONCE() */
static inline uint64_t vgpu_stats_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static inline void vgpu_stats_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}
#endif /* !__KERNEL__ */

#endif
