/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs that share a simulated GPU: backend/sched run by events, as vgpud runs
 * it.  Batches are not interrupted, whoever is asked for its lease returns it
 * after the batch that outlasts its slice, one with nothing to do at once, and
 * whoever nobody waits for keeps it and is charged when somebody comes.
 */
#ifndef VGPU_SCHED_SIM_H
#define VGPU_SCHED_SIM_H

#include <glib.h>
#include <stdbool.h>

#include "sched/heap.h"
#include "sched/sched.h"

#define SIM_US     1000ull
#define SIM_MS     (1000 * SIM_US)
#define SIM_S      (1000 * SIM_MS)
#define SIM_HOUR   (3600 * SIM_S)
#define SIM_SAMPLE SIM_MS /* of SimVm.used_in */

typedef enum SimKind {
    SIM_IDLE,
    SIM_SATURATING,
    SIM_FRAMES,  /* a frame of up to burst batches each period, unless the last one is not done yet */
    SIM_CHAINED, /* the next batch comes a period after the last one was done */
    SIM_BURSTY,  /* up to burst batches, once a period on average */
    SIM_SLEEPY,  /* saturating for a period on average, then asleep for one */
} SimKind;

typedef struct SimLoad {
    SimKind kind;
    uint64_t batch_min, batch_max; /* ns that one takes, anything between */
    uint64_t period;               /* ns */
    unsigned burst;
} SimLoad;

typedef struct SimVm {
    SchedClient *client;
    SchedParams params;
    SimLoad load;

    uint64_t backlog;    /* batches; SCHED_NEVER: without end */
    bool busy;           /* a batch of it is on the GPU */
    uint64_t end;        /* of its slice */
    uint64_t run_from;   /* an unbounded run is between two batches then; SCHED_NEVER: none */
    uint64_t charged_to; /* while busy */
    uint64_t wanted_at, arrived_at;
    struct SimEvent {
        HeapEntry at; /* first */
        struct SimVm *vm;
        bool queued, arrival;
    } batch, arrival;

    /* figures */
    uint64_t used;                   /* GPU time */
    uint64_t awake, awake_since;     /* SIM_SLEEPY: ns with work */
    uint64_t wait_max, grants, slip; /* slip: held past the end of a slice, most */
    uint64_t batches_arrived, batches_done;
    GArray *latencies; /* uint32_t, us: of each frame, in order */
    GArray *used_in;   /* double: GPU time by SIM_SAMPLE; NULL: not kept */
} SimVm;

typedef struct Sim {
    Sched *sched;
    uint32_t capacity;
    uint64_t now, random, handover;
    GPtrArray *vms, *holders; /* SimVm */
    Heap events;
    unsigned wanting;
    uint64_t wasted; /* ns in which nobody held and somebody wanted */
    uint64_t decisions;
    void (*check)(struct Sim *sim, void *opaque); /* after each event */
    void *opaque;
} Sim;

Sim *sim_new(SchedPolicy policy, uint32_t capacity, uint64_t seed);
void sim_free(Sim *sim);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sim, sim_free)

SimVm *sim_add(Sim *sim, const SchedParams *params, const SimLoad *load, bool sampled);
void sim_remove(Sim *sim, SimVm *vm); /* frees it */
void sim_run(Sim *sim, uint64_t until);
void sim_settle(Sim *sim); /* after a change from outside, like sched_set_policy */

/* $VGPU_TEST_SEED, or another one each time if fresh; printed. */
uint64_t sim_seed(bool fresh);
uint64_t sim_random(Sim *sim, uint64_t least, uint64_t most);

/* The latency that the given part of the frames is within, ns. */
uint64_t sim_percentile(const SimVm *vm, double part);
/*
 * GPU time used from one time to another, both multiples of SIM_SAMPLE; once
 * sim_sum_up was called, after the last sim_run.
 */
void sim_sum_up(Sim *sim);
double sim_used_between(const SimVm *vm, uint64_t from, uint64_t to);

#endif
