/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  A device holds the lease (as one user of it) from its
 * first submit until nothing of it is in flight.  Each call that submits gets a
 * fence of ours: in place of the guest's where it gave none, else behind it.  One
 * thread for each device waits for the newest fence of each queue, so that it
 * wakes as often as the GPU catches up and not for each submit, and leaves the
 * lease when all have signalled.  While the lease is held, a submit costs a mutex
 * that nobody else wants and a look at the page.  Where work ends more often than
 * once in REST_NS that thread would cost as much as small work does: then it looks
 * that often, and the lease goes back so much later, unless others wait for it.
 *
 * When the slice is over (lease_over) no more work begins: submits wait until
 * what is in flight has ended and the lease has been left, and ask for the next
 * one.
 *
 * Work may wait for a timeline semaphore that the guest signals later, by itself
 * or by a submit that we hold up.  Such a device is stalled: it uses no GPU, so
 * it leaves the lease, and who would let it go on (a submit, vkSignalSemaphore)
 * enters first.  A call that carries batches behind such a wait is made in
 * several calls (submit.c): work is stalled before it begins or not at all.
 * Work that waits for an event which the host sets is at work as far as anybody
 * can see.
 *
 * The same thread is the watchdog: vgpud would kill the whole renderer for work
 * that does not end.  So it ends this process, that is one context of the guest,
 * a little earlier, when a queue's oldest work has made no progress, or the slice
 * has been over, for that long.  Time is counted in the steps of this thread,
 * each of a bounded length, so that a process that was stopped does not find
 * itself hung.
 */
#include "gate.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "layer.h"
#include "process.h"

#define MS          1000000ull
#define TICK_NS     (20 * MS)
#define WAIT_FENCES 32 /* queues waited for at a time; of others we hear each tick */
#define EARLY_NS    (1000 * MS)
#define REST_NS     MS /* how late the end of work may be seen where it ends more often than that */
#define DENSE       4  /* after so many ends in a row */

typedef struct GateQueue {
    struct GateQueue *next;
    VkQueue handle;
    Work *first, *last;
    uint64_t stuck_ns; /* without progress */
} GateQueue;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
}

static struct timespec in_ns(uint64_t ns)
{
    uint64_t t = now_ns() + ns;

    return (struct timespec){ .tv_sec = (time_t)(t / (1000 * MS)), .tv_nsec = (long)(t % (1000 * MS)) };
}

void gate_init(Gate *g)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->moved, &attr);
    pthread_cond_init(&g->work, &attr);
    pthread_condattr_destroy(&attr);
}

/* ---- the lease; the gate is locked ---- */

static void take_lease(Gate *g, uint32_t ticket)
{
    g->held = true;
    g->ticket = ticket;
    g->over_ns = 0;
    if (!lease_is_loose(ticket)) {
        vulkan_books_lease_entered(&process.books, process.slot, ticket);
    }
    pthread_cond_broadcast(&g->moved);
}

static void leave_lease(Gate *g)
{
    g->held = false;
    lease_progress(process.lease, g->ended ? g->ended - 1 : 0); /* leaving counts one */
    g->ended = 0;
    lease_leave(process.lease, g->ticket, 0);
    if (!lease_is_loose(g->ticket)) {
        vulkan_books_lease_left(&process.books, process.slot, g->ticket);
    }
    pthread_cond_broadcast(&g->moved);
}

static bool waits_for_guest(Device *d, const Work *w)
{
    for (uint32_t i = 0; i < w->waits_count; i++) {
        if (!semaphores_reached(d, w->waits[i].semaphore, w->waits[i].value)) {
            return true;
        }
    }
    return false;
}

/* Nothing in flight can go on by itself. */
static bool is_stalled(Device *d)
{
    Gate *g = &d->gate;
    bool stalled = false;

    if (g->begun || !g->works) {
        return false;
    }
    for (GateQueue *q = g->queues; q && !stalled; q = q->next) {
        stalled = q->first && waits_for_guest(d, q->first);
    }
    for (GateQueue *q = g->queues; q && stalled; q = q->next) {
        stalled = !q->first || q->first->waits_binary || waits_for_guest(d, q->first);
    }
    return stalled;
}

static void sleep_moved(Gate *g)
{
    struct timespec until = in_ns(TICK_NS);

    if (g->resting) {
        pthread_cond_signal(&g->work);
    }
    pthread_cond_timedwait(&g->moved, &g->lock, &until);
}

/* Returns with the lease held, and its slice not over. */
static void enter(Device *d)
{
    Gate *g = &d->gate;

    for (;;) {
        if (g->held) {
            if (!lease_over(process.lease, g->ticket)) {
                return;
            }
            if (!g->begun && (!g->works || is_stalled(d))) {
                leave_lease(g);
            } else {
                sleep_moved(g);
            }
        } else if (g->entering) {
            pthread_cond_wait(&g->moved, &g->lock);
        } else {
            uint32_t ticket;

            g->entering = true;
            pthread_mutex_unlock(&g->lock);
            lease_enter(process.lease, &ticket);
            pthread_mutex_lock(&g->lock);
            g->entering = false;
            take_lease(g, ticket);
        }
    }
}

/* ---- what has ended ---- */

static void spare(Gate *g, Work *w)
{
    w->next = g->spare;
    g->spare = w;
}

/*
 * Takes off what has ended.  lost: the device is, and all has.  Not while the
 * waiter is in the driver with these fences.
 */
static void retire(Device *d, bool lost)
{
    Gate *g = &d->gate;
    uint32_t retired = 0;

    for (GateQueue *q = g->queues; q; q = q->next) {
        Work *w;

        while ((w = q->first) && (lost || d->next.GetFenceStatus(d->handle, w->fence) != VK_NOT_READY)) {
            q->first = w->next;
            q->stuck_ns = 0;
            d->next.ResetFences(d->handle, 1, &w->fence);
            spare(g, w);
            retired++;
        }
    }
    g->works -= retired;
    g->ended += retired;
}

static uint64_t patience(void)
{
    uint64_t timeout = lease_hang_timeout(process.lease);

    return timeout - (timeout / 4 < EARLY_NS ? timeout / 4 : EARLY_NS);
}

/*
 * After each step of the waiter's, with work in flight.  elapsed is cut to what
 * a busy host may make of a step: this process may have been stopped.
 */
static void watch(Device *d, bool progress, uint64_t elapsed)
{
    Gate *g = &d->gate;
    uint64_t longest = 0, limit = patience();
    uint64_t most = limit / 8 > 2 * TICK_NS ? limit / 8 : 2 * TICK_NS;

    elapsed = elapsed < most ? elapsed : most;
    if (is_stalled(d)) {
        for (GateQueue *q = g->queues; q; q = q->next) {
            q->stuck_ns = 0;
        }
        if (g->held) {
            leave_lease(g);
        }
        return;
    }
    if (!g->held && !g->entering) {
        uint32_t ticket;

        /* Something that we do not see let it go on. */
        if (lease_try(process.lease, &ticket) == LEASE_HELD) {
            take_lease(g, ticket);
        }
    }
    for (GateQueue *q = g->queues; q; q = q->next) {
        const Work *w = q->first;

        /* It may wait for what goes on in another queue. */
        if (!w || (progress && (w->waits_binary || w->waits_count))) {
            q->stuck_ns = 0;
        } else {
            q->stuck_ns += elapsed;
        }
        longest = q->stuck_ns > longest ? q->stuck_ns : longest;
    }
    g->over_ns = g->held && lease_over(process.lease, g->ticket) ? g->over_ns + elapsed : 0;
    longest = g->over_ns > longest ? g->over_ns : longest;
    if (limit && longest >= limit) {
        process_end_hung(longest);
    }
}

/* The newest of each queue: a fence signals after all that was submitted before. */
static uint32_t newest_fences(const Gate *g, VkFence *fences)
{
    uint32_t n = 0;

    for (const GateQueue *q = g->queues; q && n < WAIT_FENCES; q = q->next) {
        if (q->first) {
            fences[n++] = q->last->fence;
        }
    }
    return n;
}

/* Gate locked: the waiter sleeps a little, or until somebody is in a hurry. */
static void rest(Gate *g)
{
    struct timespec until = in_ns(REST_NS);

    g->resting = true;
    pthread_cond_timedwait(&g->work, &g->lock, &until);
    g->resting = false;
}

/* Work ends so often that it is enough to look now and then, while nobody else wants the GPU. */
static bool is_dense(Gate *g, bool rested, uint32_t ended, uint64_t elapsed)
{
    if (!ended || (!rested && elapsed >= 2 * REST_NS) || (g->held && lease_over(process.lease, g->ticket))) {
        g->dense = 0;
    } else if (g->dense < DENSE) {
        g->dense++;
    }
    return g->dense == DENSE;
}

static void *waiter(void *opaque)
{
    Device *d = opaque;
    Gate *g = &d->gate;
    uint64_t last = now_ns();
    bool dense = false;

    pthread_setname_np(pthread_self(), "vgpu-waiter");
    pthread_mutex_lock(&g->lock);
    while (g->works || !g->quit) {
        VkFence fences[WAIT_FENCES];
        uint32_t ended, n = newest_fences(g, fences);
        VkResult result = VK_SUCCESS;
        uint64_t now;

        if (!n) {
            g->asleep = true;
            pthread_cond_wait(&g->work, &g->lock);
            g->asleep = false;
            last = now_ns();
            continue;
        }
        if (dense) {
            rest(g);
        } else {
            pthread_mutex_unlock(&g->lock);
            result = d->next.WaitForFences(d->handle, n, fences, VK_FALSE, TICK_NS);
            pthread_mutex_lock(&g->lock);
        }
        now = now_ns();
        retire(d, result == VK_ERROR_DEVICE_LOST);
        ended = g->ended;
        dense = is_dense(g, dense, ended, now - last);
        if (!g->works && !g->begun && g->held) {
            leave_lease(g);
        } else {
            lease_progress(process.lease, ended);
            g->ended = 0;
        }
        if (g->works) {
            watch(d, ended > 0, now - last);
        }
        if (ended) {
            pthread_cond_broadcast(&g->moved);
        }
        last = now;
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* ---- what begins ---- */

/* Gate locked. */
static bool start_waiter(Device *d)
{
    Gate *g = &d->gate;
    sigset_t all, old;

    if (g->has_waiter) {
        return true;
    }
    /* Signals are for the threads of the process that we are in. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    g->has_waiter = pthread_create(&g->waiter, NULL, waiter, d) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return g->has_waiter;
}

/* Gate locked. */
static Work *work_new(Device *d)
{
    const VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    Gate *g = &d->gate;
    Work *w = g->spare;

    if (w) {
        g->spare = w->next;
    } else {
        w = malloc(sizeof(*w));
        if (w && d->next.CreateFence(d->handle, &info, NULL, &w->fence) != VK_SUCCESS) {
            free(w);
            w = NULL;
        }
    }
    if (w) {
        *w = (Work){ .fence = w->fence };
    }
    return w;
}

Work *gate_begin(Device *d)
{
    Gate *g = &d->gate;
    Work *w = NULL;

    pthread_mutex_lock(&g->lock);
    if (g->resting) {
        retire(d, false); /* its fence is at hand, and the driver need not keep what that stands for */
    }
    if (start_waiter(d)) {
        w = work_new(d);
    }
    if (w) {
        enter(d);
        g->begun++;
    }
    pthread_mutex_unlock(&g->lock);
    return w;
}

/* Gate locked.  NULL: no memory. */
static GateQueue *queue_of(Gate *g, VkQueue handle)
{
    GateQueue *q = g->queues;

    while (q && q->handle != handle) {
        q = q->next;
    }
    if (!q) {
        q = calloc(1, sizeof(*q));
        if (q) {
            q->handle = handle;
            q->next = g->queues;
            g->queues = q;
        }
    }
    return q;
}

/* Gate locked: one call less is in the driver. */
static void end_call(Gate *g)
{
    g->begun--;
    if (!g->begun && !g->works && g->held) {
        leave_lease(g);
    }
    /* Who waits for the end of the slice waits for this as well. */
    pthread_cond_broadcast(&g->moved);
}

void gate_end(Device *d, VkQueue queue, Work *w, bool submitted)
{
    Gate *g = &d->gate;
    GateQueue *q;

    pthread_mutex_lock(&g->lock);
    q = submitted ? queue_of(g, queue) : NULL;
    if (submitted && !q) {
        /* No memory to remember it by: it ends here. */
        d->next.WaitForFences(d->handle, 1, &w->fence, VK_TRUE, UINT64_MAX);
        d->next.ResetFences(d->handle, 1, &w->fence);
    }
    if (q) {
        *(q->first ? &q->last->next : &q->first) = w;
        q->last = w;
        g->works++;
        if (g->asleep) {
            pthread_cond_signal(&g->work);
        }
    } else {
        spare(g, w);
    }
    end_call(g);
    pthread_mutex_unlock(&g->lock);
}

bool gate_signal(Device *d)
{
    Gate *g = &d->gate;
    bool entered;

    pthread_mutex_lock(&g->lock);
    entered = g->works > 0;
    if (entered) {
        if (!g->held) {
            enter(d);
        }
        g->begun++; /* the lease stays */
    }
    pthread_mutex_unlock(&g->lock);
    return entered;
}

void gate_signalled(Device *d)
{
    Gate *g = &d->gate;

    pthread_mutex_lock(&g->lock);
    end_call(g);
    pthread_mutex_unlock(&g->lock);
}

void gate_finish(Device *d)
{
    Gate *g = &d->gate;
    GateQueue *q;
    Work *w;

    if (g->has_waiter) {
        pthread_mutex_lock(&g->lock);
        g->quit = true;
        pthread_cond_signal(&g->work);
        pthread_mutex_unlock(&g->lock);
        pthread_join(g->waiter, NULL);
    }
    while ((w = g->spare)) {
        g->spare = w->next;
        d->next.DestroyFence(d->handle, w->fence, NULL);
        free(w);
    }
    while ((q = g->queues)) {
        g->queues = q->next;
        free(q);
    }
    pthread_cond_destroy(&g->moved);
    pthread_cond_destroy(&g->work);
    pthread_mutex_destroy(&g->lock);
}
