/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM's turn on the GPU (backend/sched/lease.h), as the render thread and
 * the fences see it.
 *
 * Theory of operation.  The lease is held by the render thread, from the first
 * command that needs the GPU until there is no other to run, and by every fence
 * until it has signalled.  These are counted here; the page that vgpud sees
 * changes when the first of them comes and when the last has gone.  Work that
 * no fence of the guest's covers gets one of ours before the thread leaves: a
 * lease that goes back has nothing in flight.
 *
 * Between two commands the thread looks whether the slice is over.  Then it
 * leaves, its fences signal, the lease goes back, and the thread sleeps in its
 * epoll (which watches for the grant) with the commands it has taken, so that
 * resets and the cursor are served meanwhile.  One command is the unit of
 * preemption: it is never interrupted.  A guest keeps several in flight, and what
 * is begun at the end of a slice, or behind work that fills the rest of it, ends
 * after it; all that is paid back, but others wait meanwhile, and where slices are
 * short their shares waver.  So the thread also leaves when more than half of the
 * next piece of work would be outside, as long as it was lately.
 *
 * A command that waits for the lease holds up what follows it in the control
 * queue, whether that needs the GPU or not: order is the guest's to rely on.
 *
 * Contexts of Vulkan work in processes of their own, which take the lease
 * themselves: a command for one needs it not.  But such a command may have to
 * wait for that process, and it for the lease, and a lease whose slice is over
 * comes back only when all have left it: so this thread leaves before.
 *
 * The pointer's picture is read back from the GPU, but a pointer that waits for
 * other VMs is a nuisance: now and then one is read without the lease, too
 * seldom for a guest to make a share of it.
 */
#ifndef VGPU_RENDERER_GPU_TIME_H
#define VGPU_RENDERER_GPU_TIME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "../sched/lease.h"

struct Device;

typedef struct GpuTime {
    LeaseClient *lease; /* never NULL */
    bool leased;        /* there is one to be had */
    bool lies;          /* a test's: works without the lease and claims nothing */
    uint64_t hold;      /* atomic: ticket << 32 | by how many it is held */
    uint64_t since_ns;  /* atomic: since when the GPU is at the first of what is in flight; CLOCK_MONOTONIC */
    uint64_t piece_ns;  /* atomic: how long it is at what one fence covers, on average */

    /* Render thread only. */
    bool entered;           /* it is one of them */
    bool begun;             /* something, in this turn */
    bool in_flight;         /* work that no fence covers */
    unsigned unfenced;      /* commands since the last fence */
    int64_t unfenced_since; /* when the first of them was done, us */
    bool brief;             /* the next command may do without the lease */
    uint64_t brief_ns;      /* when the last one did; CLOCK_MONOTONIC */
} GpuTime;

/* The id of our own fences in the renderer's fence_done: no guest's is 0. */
#define GPU_TIME_FENCE 0

/* page, call, wake: borrowed descriptors of vgpud's, or all -1. */
bool gpu_time_init(GpuTime *g, int page, int call, int wake, GError **error);

/* Render thread: before a command that needs the GPU.  False: not now. */
bool gpu_time_enter(struct Device *d);
static inline bool gpu_time_entered(const GpuTime *g)
{
    return g->entered;
}
/*
 * The same before one that needs it for a moment only and should not wait:
 * true for one in GPU_TIME_BRIEF_MS at least.
 */
#define GPU_TIME_BRIEF_MS 5
bool gpu_time_brief(struct Device *d);
/* Once for each command: whether one of these said that it may. */
static inline bool gpu_time_allowed(GpuTime *g)
{
    bool allowed = g->entered || g->brief;

    g->brief = false;
    return allowed;
}
/* After it.  async: the GPU may be at it still. */
void gpu_time_worked(struct Device *d, bool async);
/* There is nothing to run, or nothing that may run. */
void gpu_time_leave(struct Device *d);

/*
 * Around each fence that is asked of the renderer, by a thread that is in: one
 * more holds the lease, and then, from any thread, one less.
 */
void gpu_time_fence_begin(GpuTime *g);
void gpu_time_fence_end(GpuTime *g);

/* A process that worked for the VM has ended; it was so many users of the lease. */
void gpu_time_left(GpuTime *g, uint32_t ticket, uint32_t users);

/* How long work may take, ns; UINT64_MAX: somebody of this VM waits for its turn.  Any thread. */
uint64_t gpu_time_patience(const GpuTime *g);

#endif
