/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's side of a lease (include/vgpu/lease.h): for anything that sends
 * work to the GPU.  Depends on nothing but libc, so that the Vulkan layer can
 * have it too.  Thread-safe; several processes may share one page.
 */
#ifndef VGPU_SCHED_LEASE_H
#define VGPU_SCHED_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "vgpu/lease.h"

typedef struct LeaseClient LeaseClient;

typedef enum LeaseResult {
    LEASE_HELD,    /* go ahead, and leave when the work is done */
    LEASE_WAITING, /* asked for: poll lease_wake_fd(), then try again */
} LeaseResult;

/*
 * page, call, wake: borrowed descriptors of vgpud's; call and wake must stay
 * open.  NULL with errno set when they make no lease.  page < 0: there is none
 * to be had, all works at once.
 */
LeaseClient *lease_new(int page, int call, int wake);
void lease_free(LeaseClient *l); /* takes NULL; nobody is in it any more */

/*
 * One more piece of work is about to begin: one compare-and-swap when others
 * do not wait.  *ticket goes to lease_leave when its last fence has signalled.
 */
LeaseResult lease_try(LeaseClient *l, uint32_t *ticket);
/* The same, and waits.  False: it would wait and lease_interrupt was called. */
bool lease_enter(LeaseClient *l, uint32_t *ticket);
/* Nobody waits any more, now and later; returns when they have stopped. */
void lease_interrupt(LeaseClient *l);

/*
 * It is done; any thread.  used_ns: GPU time measured, 0 to count the time the
 * lease was in use.
 */
void lease_leave(LeaseClient *l, uint32_t ticket, uint64_t used_ns);

/*
 * A ticket of work that holds nothing, vgpud being away.  Any other may be left
 * by another client of the page, for a process that is gone.
 */
bool lease_is_loose(uint32_t ticket);

/*
 * Between two pieces of work: the slice is over, or the lease was taken away.
 * Leave, and begin no other before lease_try or lease_enter lets you.
 */
bool lease_over(LeaseClient *l, uint32_t ticket);

/* How much of the slice is left, ns: 0: none; UINT64_MAX: nobody waits for its end. */
uint64_t lease_left(LeaseClient *l, uint32_t ticket);
/* What is left is too little for what comes next: until the next slice, as if this one was over. */
void lease_enough(LeaseClient *l);

/*
 * There is more to do after this slice: to be said before the last one leaves, or
 * vgpud takes this VM for one that sleeps, whose turn another may have.
 */
void lease_want(LeaseClient *l);

/* Claims: fences signalled while work goes on (each lease_leave counts one by
 * itself); how many commands wait for the lease. */
void lease_progress(LeaseClient *l, uint32_t fences);
void lease_queue_depth(LeaseClient *l, uint64_t commands);

/* Readable when it is time to try again; lease_woken then takes that off.  -1: never. */
int lease_wake_fd(LeaseClient *l);
void lease_woken(LeaseClient *l);

/* vgpud is to look at this VM, whose leases it may have seen idle: there is a process more. */
void lease_look(LeaseClient *l);

/* Whether somebody of this VM waits for a grant. */
bool lease_wanted(const LeaseClient *l);

uint64_t lease_frame_interval(const LeaseClient *l); /* ns, 0: no bound */
uint64_t lease_quantum(const LeaseClient *l);        /* ns */
uint64_t lease_hang_timeout(const LeaseClient *l);   /* ns, 0: none */

#endif
