/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See gpu_time.h for the theory. */
#include "gpu_time.h"

#include <errno.h>

#include <linux/virtio_gpu.h>

#include "device.h"

/*
 * Commands without a fence before one of ours, and how long they may take: what
 * vgpud sees of a GPU's progress, to tell much work from work that hangs.
 */
#define UNFENCED_MAX    64
#define UNFENCED_MAX_US (250 * G_TIME_SPAN_MILLISECOND)

/* Where vgpud says nothing of hangs. */
#define PATIENCE_NS (30ull * 1000 * 1000 * 1000)

/* What a liar's work holds.  No ticket of the lease's has all bits set. */
#define NO_TICKET UINT32_MAX

static uint32_t hold_ticket(uint64_t hold)
{
    return (uint32_t)(hold >> 32);
}

static uint32_t hold_count(uint64_t hold)
{
    return (uint32_t)hold;
}

static uint64_t hold_make(uint32_t ticket, uint32_t count)
{
    return (uint64_t)ticket << 32 | count;
}

static uint64_t hold_get(const GpuTime *g)
{
    return __atomic_load_n(&g->hold, __ATOMIC_ACQUIRE);
}

static bool hold_swap(GpuTime *g, uint64_t *old, uint64_t new)
{
    return __atomic_compare_exchange_n(&g->hold, old, new, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

bool gpu_time_init(GpuTime *g, int page, int call, int wake, GError **error)
{
    *g = (GpuTime){ .lease = lease_new(page, call, wake), .leased = page >= 0 };
    if (!g->lease) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "descriptors %d, %d and %d are not a lease of version %d: %s", page, call, wake,
                    VGPU_LEASE_VERSION, g_strerror(errno));
        return false;
    }
    return true;
}

static void give_back(GpuTime *g, uint32_t ticket)
{
    if (ticket != NO_TICKET) {
        lease_leave(g->lease, ticket, g->lies ? 1 : 0);
    }
}

/* One more where there are some already. */
static bool hold_join(GpuTime *g)
{
    uint64_t old = hold_get(g);

    while (hold_count(old)) {
        if (hold_ticket(old) != NO_TICKET && lease_over(g->lease, hold_ticket(old))) {
            return false;
        }
        if (hold_swap(g, &old, old + 1)) {
            return true;
        }
    }
    return false;
}

/* One more, with a new ticket. */
static void hold_take(GpuTime *g, uint32_t ticket)
{
    uint64_t old = hold_get(g);

    while (!hold_swap(g, &old, hold_make(ticket, hold_count(old) + 1))) {
        continue;
    }
    /*
     * Fences of an earlier turn, which was taken away or was none at all, are
     * this one's now; or it is the same turn, which then counts us twice.
     */
    if (hold_count(old)) {
        give_back(g, hold_ticket(old));
    }
}

/* One less.  False: it was the last. */
static bool hold_drop(GpuTime *g)
{
    uint64_t old = hold_get(g);

    while (!hold_swap(g, &old, hold_count(old) == 1 ? 0 : old - 1)) {
        continue;
    }
    if (hold_count(old) > 1) {
        return true;
    }
    give_back(g, hold_ticket(old));
    return false;
}

bool gpu_time_enter(Device *d)
{
    GpuTime *g = &d->gpu_time;
    uint32_t ticket;

    if (g->entered) {
        uint32_t held = hold_ticket(hold_get(g));

        if (held == NO_TICKET || !lease_over(g->lease, held)) {
            return true;
        }
        gpu_time_leave(d);
    } else if (hold_join(g)) {
        g->entered = true;
        return true;
    }
    if (lease_try(g->lease, &ticket) != LEASE_HELD) {
        if (!g->lies) {
            return false;
        }
        ticket = NO_TICKET;
    }
    hold_take(g, ticket);
    g->entered = true;
    return true;
}

bool gpu_time_brief(Device *d)
{
    GpuTime *g = &d->gpu_time;
    uint64_t now = (uint64_t)g_get_monotonic_time() * 1000;

    if (!g->entered && g->leased && now - g->brief_ns >= GPU_TIME_BRIEF_MS * 1000000ull) {
        g->brief = true;
        g->brief_ns = now;
        return true;
    }
    return gpu_time_enter(d);
}

/* A fence of our own behind all that was sent. */
static void gpu_time_fence(Device *d)
{
    GpuTime *g = &d->gpu_time;

    gpu_time_fence_begin(g);
    if (d->ops->create_fence(d->renderer, 0, 0, GPU_TIME_FENCE) != VIRTIO_GPU_RESP_OK_NODATA) {
        gpu_time_fence_end(g);
    }
}

void gpu_time_worked(Device *d, bool async)
{
    GpuTime *g = &d->gpu_time;
    int64_t now;

    if (!g->leased) {
        return;
    }
    g->in_flight |= async;
    now = g_get_monotonic_time();
    if (!g->unfenced++) {
        g->unfenced_since = now;
    } else if (g->unfenced >= UNFENCED_MAX || now - g->unfenced_since >= UNFENCED_MAX_US) {
        gpu_time_fence(d);
    }
}

void gpu_time_leave(Device *d)
{
    GpuTime *g = &d->gpu_time;

    if (!g->entered) {
        return;
    }
    if (g->in_flight) {
        gpu_time_fence(d);
    }
    g->entered = false;
    hold_drop(g);
}

void gpu_time_fence_begin(GpuTime *g)
{
    g->in_flight = false;
    g->unfenced = 0;
    __atomic_add_fetch(&g->hold, 1, __ATOMIC_RELAXED); /* we hold it already */
}

void gpu_time_fence_end(GpuTime *g)
{
    if (hold_drop(g)) {
        lease_progress(g->lease, 1);
    }
}

void gpu_time_left(GpuTime *g, uint32_t ticket, uint32_t users)
{
    while (users--) {
        lease_leave(g->lease, ticket, 0);
    }
}

/* Earlier than vgpud loses its own, and ends this process. */
uint64_t gpu_time_patience(const GpuTime *g)
{
    uint64_t hang = lease_hang_timeout(g->lease);

    if (lease_wanted(g->lease)) {
        return UINT64_MAX;
    }
    return hang ? hang - MIN(hang / 4, 1000ull * 1000 * 1000) : PATIENCE_NS;
}
