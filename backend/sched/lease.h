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
 * page, call, wake: borrowed descriptors of vgpud's.  NULL with errno set when
 * they make no lease.  page < 0: there is none to be had, all works at once.
 */
LeaseClient *lease_new(int page, int call, int wake);
void lease_free(LeaseClient *l);

/*
 * One more piece of work is about to begin: one compare-and-swap when others
 * do not wait.  *ticket goes to lease_leave when its last fence has signalled.
 */
LeaseResult lease_try(LeaseClient *l, uint32_t *ticket);
/* The same, and waits.  False: interrupted by lease_interrupt. */
bool lease_enter(LeaseClient *l, uint32_t *ticket);
void lease_interrupt(LeaseClient *l);

/* It is done; any thread.  used_ns: GPU time measured, 0 to count the time since lease_try. */
void lease_leave(LeaseClient *l, uint32_t ticket, uint64_t used_ns);

/* Between two pieces of work: the slice is over, begin no other before it came back. */
bool lease_over(const LeaseClient *l);

int lease_wake_fd(const LeaseClient *l);             /* to poll; lease_try reads it */
uint64_t lease_frame_interval(const LeaseClient *l); /* ns, 0: no bound */
uint64_t lease_quantum(const LeaseClient *l);

#endif
