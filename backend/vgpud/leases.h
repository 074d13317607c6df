/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The leases of all GPUs: the scheduler (backend/sched) run against real
 * renderers, on a thread of its own that sleeps until a renderer calls or a
 * slice of a contended GPU ends.  See include/vgpu/lease.h for the page.
 *
 * All functions are the main thread's.  They take effect at once; none waits
 * for a renderer.
 */
#ifndef VGPUD_LEASES_H
#define VGPUD_LEASES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../sched/sched.h"
#include "process_tree.h"
#include "vgpu/lease.h"

typedef struct Leases Leases;
typedef struct Lease Lease; /* one VM's */

/* A lease's holder outstays its welcome: told on the main thread, once per hang. */
typedef void LeasesHung(void *vm, uint64_t ns, void *opaque);

/* Its renderer uses more than its share without a lease, or does so no longer: told on the main thread. */
typedef void LeasesOutside(void *vm, bool outside, void *opaque);

Leases *leases_new(LeasesHung *hung, void *opaque, GError **error);
void leases_free(Leases *l); /* takes NULL; renderers run on without */

/* The scheduler of a GPU; made when it is first named. capacity: see sched.h. */
void leases_set_policy(Leases *l, const char *gpu, SchedPolicy policy, uint32_t capacity);
SchedPolicy leases_policy(Leases *l, const char *gpu);

typedef struct LeaseSettings {
    SchedParams params;
    uint64_t hang_timeout_ns;
    uint64_t frame_interval_ns;
    bool software; /* the process's CPU time, over the GPU's capacity, is GPU time */
} LeaseSettings;

/* Nothing is granted before this: add what an earlier vgpud left first. */
void leases_start(Leases *l);

/*
 * A VM's lease.  page, call and wake: as leases_make_fds makes them (checked:
 * they may come from a renderer that an earlier vgpud started); their ownership
 * passes here on success.  A page that says it is granted stays so.  pid: the
 * renderer's, for its CPU time and state.
 */
Lease *leases_add(Leases *l, const char *gpu, int page, int call, int wake, pid_t pid,
                  const LeaseSettings *settings, void *vm, GError **error);
void leases_set(Lease *lease, const LeaseSettings *settings);
/*
 * The renderer's processes as they are now; without it its own CPU time is all
 * that is known.  At the first time: what they used before does not count.
 */
void leases_see(Lease *lease, const ProcessTree *seen);
/* Its renderer is gone, or about to be: whatever it held is free. */
void leases_remove(Lease *lease);

/* A new page, its eventfd and its pipe, for leases_add and for a renderer. */
bool leases_make_fds(int *page, int *call, int *wake, GError **error);

/* The GPU time that its renderer's driver tells of, ever, ns: see drm_usage.h.  Now and then. */
void leases_see_driver(Lease *lease, uint64_t gpu_ns);

/* Figures; consistent with each other. */
#define LEASES_WAIT_BUCKETS 12
typedef struct LeaseFigures {
    uint64_t used_ns;      /* GPU time charged, ever */
    uint64_t overshoot_ns; /* used past the ends of slices, ever */
    uint64_t grants;       /* to one who waited */
    uint64_t preemptions;  /* given back because others waited, with work left */
    uint64_t revocations;  /* taken away while in use */
    uint64_t lied_ns;      /* charged more than claimed, ever */
    uint64_t wait_ns;      /* for the lease, ever */
    uint64_t
        waits[LEASES_WAIT_BUCKETS + 1]; /* how many took at most leases_wait_bound[i] ns; the last: longer */
    uint64_t quantum_ns;
    uint64_t queue_depth; /* commands waiting for the lease: the renderer's claim */
    bool holds, wants;
} LeaseFigures;
extern const uint64_t leases_wait_bound[LEASES_WAIT_BUCKETS];
void leases_figures(Lease *lease, LeaseFigures *f);

/* GPU time charged to all of a GPU's VMs, ever, ns. */
uint64_t leases_gpu_used(Leases *l, const char *gpu);

/*
 * Once a second while any VM is attached: charges what uncontended holders
 * used, takes leases back that have been idle for a second, looks for hangs.
 * False: every lease is idle and taken back, no need to call again before
 * a renderer calls (which leases_set_awake tells).
 */
bool leases_tick(Leases *l);
void leases_set_outside(Leases *l, LeasesOutside *outside, void *opaque);
void leases_set_awake(Leases *l, void (*awake)(void *opaque), void *opaque);

#endif
