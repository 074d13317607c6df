/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order between queues (submit queues of vgpu/virtio.h).
 *
 * Within a queue requests are run as they come.  Between two of them a request
 * says itself what has to be before it: so many requests of that queue, counted
 * since the reset.  The counts of what was run are here, the render thread's
 * alone.
 *
 * What a request says is read from guest memory to find out when it is run, and
 * once more when it is run (dispatch.c).  A guest that changes it in between has
 * changed its own order: nothing else depends on it.  A number that is never
 * reached holds up its queue until the reset, and nobody waits in here.
 */
#ifndef VGPU_RENDERER_ORDER_H
#define VGPU_RENDERER_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "vhost.h"

struct Device;

typedef struct Order {
    uint32_t ran[VHOST_QUEUES]; /* wraps */
} Order;

/* Whether all is done that the request in e waits for, or it waits for nothing. */
bool order_may_run(struct Device *d, const Element *e);

/* A mask of submit queues that a request of that queue may wait for. */
bool order_mask_ok(uint32_t mask, unsigned queue);

/* A request of that queue was run. */
static inline void order_ran(Order *o, unsigned queue)
{
    o->ran[queue]++;
}

#endif
