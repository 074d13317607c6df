/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The GPU-time scheduler: who uses a GPU next, and for how long.
 *
 * Pure: no clock, no I/O, no threads; time is an argument, in nanoseconds of
 * any clock that does not go back.  One Sched per GPU.  O(log n) in the number
 * of its clients for every call but sched_set_policy, and linear at most in
 * the GPU's capacity.
 *
 * A GPU has a capacity (1 for hardware; the number of host CPUs for software
 * rendering) and each client a width (1; the CPUs its profile grants): those
 * whose widths fit side by side hold leases at once.  Work is charged in
 * GPU time: time held x width / capacity, so that all shares add up to 1.
 */
#ifndef VGPU_SCHED_H
#define VGPU_SCHED_H

#include <stdbool.h>
#include <stdint.h>

typedef enum SchedPolicy {
    SCHED_BEST_EFFORT, /* work-conserving, by weight among those that have work */
    SCHED_EQUAL_SHARE, /* the same, all weights equal */
    SCHED_FIXED_SHARE, /* never more than the share, not even on an idle GPU */
    SCHED_EXCLUSIVE,   /* the client attached longest keeps the lease, others get none */
} SchedPolicy;

/* Who goes first when it wakes, not who gets how much: shares stay as they are. */
typedef enum SchedPriority {
    SCHED_PRIORITY_LOW,
    SCHED_PRIORITY_NORMAL, /* SCHED_NORMAL is the C library's */
    SCHED_PRIORITY_HIGH,
} SchedPriority;

#define SCHED_NEVER          UINT64_MAX
#define SCHED_QUANTUM_MIN_NS (500ull * 1000)
#define SCHED_QUANTUM_MAX_NS (30ull * 1000 * 1000)

typedef struct SchedParams {
    uint32_t share_ppm; /* 1 to 1,000,000: weight, and bound under fixed-share */
    SchedPriority priority;
    uint64_t quantum_ns; /* SCHED_QUANTUM_MIN_NS to _MAX_NS; 0: 2 ms up to 8 clients attached, 1 ms above */
    uint32_t width;      /* 1 to capacity */
} SchedParams;

typedef struct Sched Sched;
typedef struct SchedClient SchedClient;

typedef struct SchedGrant {
    SchedClient *client;
    void *opaque;      /* of the client */
    uint64_t slice_ns; /* from now; SCHED_NEVER: until it is asked for */
} SchedGrant;

Sched *sched_new(SchedPolicy policy, uint32_t capacity);
void sched_free(Sched *s); /* with its clients; takes NULL */
void sched_set_policy(Sched *s, SchedPolicy policy, uint64_t now);
SchedPolicy sched_policy(const Sched *s);

SchedClient *sched_add(Sched *s, const SchedParams *params, void *opaque, uint64_t now);
void sched_remove(Sched *s, SchedClient *c, uint64_t now); /* whatever it holds */
void sched_set_params(Sched *s, SchedClient *c, const SchedParams *params, uint64_t now);

/* It has work and no lease.  Twice is once. */
void sched_want(Sched *s, SchedClient *c, uint64_t now);
/* It has no work after all. */
void sched_unwant(Sched *s, SchedClient *c, uint64_t now);

/* It holds a lease already, whether that fits or not (from before the Sched was made). */
void sched_hold(Sched *s, SchedClient *c, uint64_t now);

/*
 * The next lease to grant, if there is one now: then the client holds it.
 * Call until false after each want, return, charge, set_* and remove, and at
 * sched_next.  One that gives its lease back and wants it again goes on, if
 * both are told before sched_grant is called: else it has slept.
 */
bool sched_grant(Sched *s, uint64_t now, SchedGrant *grant);

/* When to call sched_grant again if nothing else happens; or SCHED_NEVER. */
uint64_t sched_next(const Sched *s, uint64_t now);

/*
 * The next holder that should give its lease up because another waits, and
 * when (now at the earliest): at most once for each holder until what it is
 * asked for changes.  *end SCHED_NEVER: it may keep it after all, also what
 * its grant said.  False when there is none (any more).  Call until false
 * after sched_grant said so.
 */
bool sched_preempt(Sched *s, uint64_t now, SchedClient **holder, uint64_t *end);

/* It used that much GPU time since the last charge; it goes on holding what it holds. */
void sched_charge(Sched *s, SchedClient *c, uint64_t used_ns, uint64_t now);
/* It gives its lease back; charge first. */
void sched_return(Sched *s, SchedClient *c, uint64_t now);

void *sched_opaque(const SchedClient *c);
bool sched_holds(const SchedClient *c);
bool sched_wants(const SchedClient *c);
uint64_t sched_quantum(const Sched *s, const SchedClient *c); /* in force, ns */
uint64_t sched_used(const SchedClient *c);                    /* charged, ever, ns */
bool sched_contended(const Sched *s);                         /* some have to wait for others to leave */
uint64_t sched_overshoot(const SchedClient *c); /* held past slice ends, ever, as GPU time, ns */

#endif
