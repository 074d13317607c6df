/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to the GPU: work of a device begins while this process holds the VM's
 * lease (sched/lease.h), and the lease goes back when all of it has ended.
 */
#ifndef VGPU_LAYER_GATE_H
#define VGPU_LAYER_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

#define WORK_WAITS 16

struct Device;

/* What one call has submitted, until its fence has signalled. */
typedef struct Work {
    struct Work *next;
    VkFence fence;
    bool waits_binary; /* for a semaphore that other work is to signal */
    uint32_t waits_count;
    struct {
        VkSemaphore semaphore;
        uint64_t value;
    } waits[WORK_WAITS]; /* timeline semaphores; the first of them */
} Work;

typedef struct Gate {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* work has ended, the lease is here, or it has gone */
    pthread_cond_t work;  /* there is some, or it is the end */
    bool held;
    bool entering; /* a thread waits for the lease */
    uint32_t ticket;
    uint32_t begun; /* calls that are in the driver now */
    uint32_t works; /* in flight, over all queues */
    uint32_t ended; /* that the waiter has not counted yet */
    struct GateQueue *queues;
    Work *spare;

    pthread_t waiter;
    bool has_waiter, quit;
    bool asleep, resting; /* the waiter: until there is work; for a moment */
    uint32_t dense;       /* so many ends of work in short order */
    uint64_t over_ns;     /* how long work has gone on past the end of the slice */
} Gate;

void gate_init(Gate *g);
/* Nobody submits any more; waits until all that was has ended. */
void gate_finish(struct Device *d);

/*
 * Before a call that submits: waits for the lease.  Its fence is to be signalled
 * when the work has ended.  NULL: there is no memory.
 */
Work *gate_begin(struct Device *d);
/* After it.  Not submitted: its fence will not signal. */
void gate_end(struct Device *d, VkQueue queue, Work *w, bool submitted);

/* Around what may let work go on that waits: true when gate_signalled must follow. */
bool gate_signal(struct Device *d);
void gate_signalled(struct Device *d);

#endif
