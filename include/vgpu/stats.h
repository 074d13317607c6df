/* SPDX-License-Identifier: MIT */
/*
 * The statistics page of one VM: a sealed memfd of VGPU_STATS_SIZE bytes that
 * vgpud makes, the renderer writes and vgpud and QEMU read.  The words that
 * vgpud sets are orders; a renderer that does not follow them, or writes others
 * there, is held to vgpud's own books from outside.
 *
 * Every counter is a naturally aligned 64-bit word with one writer, stored and
 * loaded with relaxed atomics; there is no order between two of them.  What a
 * renderer writes here is its claim (the renderer is not trusted): readers must
 * not use a figure as a size, an index or a permission.
 */
#ifndef VGPU_STATS_H
#define VGPU_STATS_H

#include <stdint.h>

#define VGPU_STATS_MAGIC   0x54415453u /* "STAT" */
#define VGPU_STATS_VERSION 1
#define VGPU_STATS_SIZE    4096

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
    uint64_t last_submit_ns; /* CLOCK_MONOTONIC, 0: never */
    uint64_t kind;           /* enum vgpu_renderer_kind */
    uint64_t renew;          /* set by vgpud: at its next reset QEMU is to ask for another renderer */
    uint64_t contexts_hung;  /* contexts whose process was ended because their work hung, ever */
};

_Static_assert(sizeof(struct vgpu_stats) <= VGPU_STATS_SIZE, "one page");

static inline uint64_t vgpu_stats_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static inline void vgpu_stats_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

#endif
