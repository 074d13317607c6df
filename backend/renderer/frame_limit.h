/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame-rate limit: each scanout shows a frame at most once in the interval
 * that the lease page names.
 *
 * Theory of operation.  A flush that comes too early is not refused, it waits:
 * what it would show is shown, and it is answered, when the next frame is due.
 * A guest whose applications wait for that answer (by the fence of a page flip)
 * slows down to the limit; one that flushes many small parts without waiting
 * gets them all at once, as one frame, so that its ring does not fill up.  A
 * fenced flush keeps its place in its timeline meanwhile: a guest driver takes
 * a later fence as proof of all before it, and would not wait otherwise.
 *
 * A timer exists and runs only while a frame waits.  Render thread only.
 */
#ifndef VGPU_RENDERER_FRAME_LIMIT_H
#define VGPU_RENDERER_FRAME_LIMIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vgpu/channel.h"
#include "vhost.h"

struct Device;

typedef struct FrameLimit {
    int timer_fd;                            /* -1: none was needed yet */
    uint64_t armed;                          /* what it is set to; CLOCK_MONOTONIC, ns */
    uint32_t waiting;                        /* scanouts with a frame that is not due yet, a bit each */
    uint32_t held;                           /* of them, those that the command being run shows a frame on */
    uint64_t due[VGPU_CHANNEL_MAX_SCANOUTS]; /* when the next one may be shown */
    GQueue answers;                          /* that wait for them */
} FrameLimit;

void frame_limit_init(FrameLimit *f);

/*
 * A frame of a scanout is ready.  True: show it.  False: it is to wait until
 * frame_limit_work shows it, and so is the command's answer.
 */
bool frame_limit_pass(struct Device *d, unsigned scanout);
static inline bool frame_limit_waits(const FrameLimit *f, unsigned scanout)
{
    return f->waiting & (1u << scanout);
}

/*
 * After a command: the scanouts its answer must wait for; 0: none.  If some,
 * frame_limit_hold either takes e, which has its answer, or (e NULL) gives the
 * renderer that fence of a timeline when the time has come.
 */
uint32_t frame_limit_held(FrameLimit *f);
void frame_limit_hold(FrameLimit *f, uint32_t scanouts, Element *e, uint64_t fence, uint32_t ctx,
                      uint32_t ring);

/* Shows what is due and answers who waited for it.  Needs the GPU for that, and may not get it now. */
void frame_limit_work(struct Device *d);
/* The timer was readable. */
void frame_limit_ticked(FrameLimit *f);
/* The guest was reset: nobody waits for answers. */
void frame_limit_forget(FrameLimit *f);

#endif
