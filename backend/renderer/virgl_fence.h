/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dispatcher's 64-bit fences over virglrenderer's 32-bit cookies.
 */
#ifndef VGPU_RENDERER_VIRGL_FENCE_H
#define VGPU_RENDERER_VIRGL_FENCE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct VirglFences {
    GMutex lock;
    GCond idle;     /* none waiting, none being reported */
    GQueue waiting; /* of VirglFence, oldest first */
    int reporting;  /* threads inside done() */
    uint32_t next;  /* cookie */
    void (*done)(void *opaque, uint64_t fence);
    void *opaque;
} VirglFences;

void virgl_fences_init(VirglFences *f, void (*done)(void *opaque, uint64_t fence), void *opaque);
/* None may be waiting. */
void virgl_fences_finish(VirglFences *f);

/* The three below: render thread. */

/* False when virglrenderer has no memory for it: done will not be called. */
bool virgl_fences_create(VirglFences *f, uint64_t fence);
/* To be called after a context was destroyed. */
void virgl_fences_nudge(VirglFences *f);
/* Returns when none is waiting and none is being reported. */
void virgl_fences_drain(VirglFences *f);

/* virglrenderer's callback; any thread. */
void virgl_fences_signal(VirglFences *f, uint32_t cookie);

#endif
