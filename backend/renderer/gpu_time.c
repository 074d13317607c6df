/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See gpu_time.h for the theory. */
#include "gpu_time.h"

#include <errno.h>
#include <time.h>

#include <linux/virtio_gpu.h>

#include "device.h"

/*
 * Commands without a fence before one of ours, and how long they may take: what
 * vgpud sees of a GPU's progress, to tell much work from work that hangs.
 */
#define UNFENCED_MAX    64
#define UNFENCED_MAX_US (250 * G_TIME_SPAN_MILLISECOND)

#define NS_PER_S (1000ull * 1000 * 1000)

/* Where vgpud says nothing of hangs. */
#define PATIENCE_NS (30 * NS_PER_S)

/* What a liar's work holds.  No ticket of the lease's has all bits set. */
#define NO_TICKET UINT32_MAX

#define AVERAGED 8 /* pieces of work */

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

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint32_t fences_in_flight(const GpuTime *g, uint64_t hold)
{
    return hold_count(hold) - g->entered;
}

/* Is there no time left for one more command? */
static bool is_over(GpuTime *g, uint64_t hold)
{
    uint32_t fences = fences_in_flight(g, hold);
    uint64_t left, passed, piece, rest;

    if (hold_ticket(hold) == NO_TICKET) {
        return false;
    }
    left = lease_left(g->lease, hold_ticket(hold));
    if (left == UINT64_MAX || (left && !fences && !g->begun)) {
        return false;
    }
    if (left) {
        piece = __atomic_load_n(&g->piece_ns, __ATOMIC_RELAXED);
        passed = now_ns() - __atomic_load_n(&g->since_ns, __ATOMIC_RELAXED);
        rest = fences * piece;
        rest -= MIN(rest, passed);
        if (rest + piece / 2 <= left) {
            return false;
        }
        lease_enough(g->lease);
    }
    lease_want(g->lease);
    return true;
}

/* One more where there are some already. */
static bool hold_join(GpuTime *g)
{
    uint64_t old = hold_get(g);

    while (hold_count(old)) {
        if (is_over(g, old)) {
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

    g->begun = false;
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

/* The thread is in; what it sends now is what the GPU does next, if it does nothing else. */
static bool enter(GpuTime *g)
{
    g->entered = true;
    if (g->leased && !fences_in_flight(g, hold_get(g))) {
        __atomic_store_n(&g->since_ns, now_ns(), __ATOMIC_RELAXED);
    }
    return true;
}

bool gpu_time_enter(Device *d)
{
    GpuTime *g = &d->gpu_time;
    uint32_t ticket;

    if (g->entered) {
        if (!is_over(g, hold_get(g))) {
            return enter(g);
        }
        gpu_time_leave(d);
    } else if (hold_join(g)) {
        return enter(g);
    }
    if (lease_try(g->lease, &ticket) != LEASE_HELD) {
        if (!g->lies) {
            return false;
        }
        ticket = NO_TICKET;
    }
    hold_take(g, ticket);
    return enter(g);
}

bool gpu_time_brief(Device *d)
{
    GpuTime *g = &d->gpu_time;
    uint64_t now = now_ns();

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
    g->begun = true;
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

/* The GPU is at the next one now. */
static void piece_done(GpuTime *g)
{
    uint64_t now = now_ns(), since = __atomic_exchange_n(&g->since_ns, now, __ATOMIC_RELAXED),
             piece = __atomic_load_n(&g->piece_ns, __ATOMIC_RELAXED),
             took = MIN(now - MIN(since, now), NS_PER_S);

    __atomic_store_n(&g->piece_ns, piece - piece / AVERAGED + took / AVERAGED, __ATOMIC_RELAXED);
}

void gpu_time_fence_end(GpuTime *g)
{
    if (g->leased) {
        piece_done(g);
    }
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
    return hang ? hang - MIN(hang / 4, NS_PER_S) : PATIENCE_NS;
}
