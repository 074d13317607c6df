/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A renderer with neither quota nor turns, to measure what they cost: linked
 * with the renderer's other objects in the place of its gpu_time.c, of
 * backend/quota's ledger and streams and of backend/sched's lease.  Nothing is
 * charged, no stream is looked at, nobody waits and nobody is counted.  For the
 * benchmark only; it serves one trusted guest.
 */
#include <stdlib.h>
#include <string.h>

#include "renderer/device.h"
#include "quota/ledger.h"
#include "quota/stream.h"
#include "sched/lease.h"

/* ---- ledger.h ---- */

void ledger_init(Ledger *l, uint64_t limit, struct vgpu_stats *stats)
{
    memset(l, 0, sizeof(*l));
    l->limit = limit;
}

void ledger_join(Ledger *l, struct vgpu_stats *stats)
{
    ledger_init(l, stats->memory_limit, stats);
}

bool ledger_charge(Ledger *l, uint64_t bytes)
{
    return true;
}

void ledger_carry(Ledger *l, uint64_t bytes)
{
}

void ledger_refund(Ledger *l, uint64_t bytes)
{
}

bool ledger_charge_shared(Ledger *l, uint64_t bytes)
{
    return true;
}

void ledger_refund_shared(Ledger *l, uint64_t bytes)
{
}

uint64_t ledger_settle_shared(Ledger *l, uint64_t bytes)
{
    return 0;
}

uint64_t ledger_used(const Ledger *l)
{
    return 0;
}

uint64_t ledger_limit(const Ledger *l)
{
    return l->limit;
}

uint64_t ledger_free(const Ledger *l)
{
    return l->limit;
}

void ledger_set_limit(Ledger *l, uint64_t limit)
{
    l->limit = limit;
}

/* ---- stream.h ---- */

struct StreamContext {
    char nothing;
};

StreamContext *stream_context_new(Ledger *ledger, StreamLimits *limits)
{
    return calloc(1, sizeof(StreamContext));
}

void stream_context_free(StreamContext *ctx)
{
    free(ctx);
}

StreamVerdict stream_walk(StreamContext *ctx, uint32_t *dwords, size_t count, const char **why,
                          uint64_t *bytes)
{
    return STREAM_OK;
}

void stream_done(StreamContext *ctx, bool executed)
{
}

bool stream_take_blob(StreamContext *ctx, uint32_t blob_id, uint64_t *charged)
{
    *charged = 0;
    return true;
}

bool stream_next_untaken(StreamContext *ctx, uint32_t *blob_id)
{
    return false;
}

bool stream_next_memory_info(StreamContext *ctx, uint32_t *resource_id)
{
    return false;
}

/* ---- gpu_time.h ---- */

bool gpu_time_init(GpuTime *g, int page, int call, int wake, GError **error)
{
    *g = (GpuTime){ .lease = lease_new(page, call, wake) };
    return true;
}

bool gpu_time_enter(Device *d)
{
    d->gpu_time.entered = true;
    return true;
}

bool gpu_time_brief(Device *d)
{
    return gpu_time_enter(d);
}

void gpu_time_worked(Device *d, bool async)
{
}

void gpu_time_leave(Device *d)
{
    d->gpu_time.entered = false;
}

void gpu_time_fence_begin(GpuTime *g)
{
}

void gpu_time_fence_end(GpuTime *g)
{
}

void gpu_time_left(GpuTime *g, uint32_t ticket, uint32_t users)
{
}

uint64_t gpu_time_patience(const GpuTime *g)
{
    return UINT64_MAX;
}

/* ---- lease.h ---- */

struct LeaseClient {
    char nothing;
};

LeaseClient *lease_new(int page, int call, int wake)
{
    return calloc(1, sizeof(LeaseClient));
}

void lease_free(LeaseClient *l)
{
    free(l);
}

LeaseResult lease_try(LeaseClient *l, uint32_t *ticket)
{
    *ticket = 0;
    return LEASE_HELD;
}

bool lease_enter(LeaseClient *l, uint32_t *ticket)
{
    *ticket = 0;
    return true;
}

void lease_interrupt(LeaseClient *l)
{
}

void lease_leave(LeaseClient *l, uint32_t ticket, uint64_t used_ns)
{
}

bool lease_over(LeaseClient *l, uint32_t ticket)
{
    return false;
}

void lease_progress(LeaseClient *l, uint32_t fences)
{
}

void lease_queue_depth(LeaseClient *l, uint64_t commands)
{
}

void lease_look(LeaseClient *l)
{
}

int lease_wake_fd(LeaseClient *l)
{
    return -1;
}

void lease_woken(LeaseClient *l)
{
}

uint64_t lease_frame_interval(const LeaseClient *l)
{
    return 0;
}

uint64_t lease_quantum(const LeaseClient *l)
{
    return UINT64_MAX;
}

uint64_t lease_hang_timeout(const LeaseClient *l)
{
    return 0;
}

bool lease_is_loose(uint32_t ticket)
{
    return false;
}

bool lease_wanted(const LeaseClient *l)
{
    return false;
}
