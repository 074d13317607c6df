/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  With THREAD_SYNC and ASYNC_FENCE_CB a thread of
 * virglrenderer's own waits for one fence after the other, in the order they
 * were made, whatever context they belong to, and calls back.  So a timeline
 * per context would win nothing, and it costs dearly: virglrenderer 1.1 frees
 * the fences of a context that is destroyed without a callback, and its thread
 * uses that context once more if it is waiting at that moment.  Therefore every
 * fence is one of context 0's; which GL context it is put into is the caller's
 * business (it is the current one).
 *
 * Cookies count up and wrap; at most 2^31 may be waiting.  Fences of context 0
 * are mergeable: the callback for one means that all before it are done too.
 *
 * virglrenderer 1.1 has a moment in which destroying any context makes its
 * thread forget to call back for the fence it has just begun to wait for.  A
 * fence made afterwards (the nudge) completes the forgotten one.
 *
 * When queries are waiting the thread asks, through virgl_renderer_get_poll_fd,
 * for a virgl_renderer_poll() on the render thread before it calls back, and it
 * waits for that for ever: so a drain must poll, and virglrenderer must not be
 * cleaned up before a drain.
 */
#include "virgl_fence.h"

#include <poll.h>
#include <virglrenderer.h>

typedef struct VirglFence {
    uint32_t cookie;
    bool nudge; /* nobody's: only completes others */
    uint64_t fence;
} VirglFence;

/* How often a drain looks whether it is asked to poll. */
#define DRAIN_STEP_US (2 * G_TIME_SPAN_MILLISECOND)

void virgl_fences_init(VirglFences *f, void (*done)(void *opaque, uint64_t fence), void *opaque)
{
    *f = (VirglFences){ .done = done, .opaque = opaque };
    g_mutex_init(&f->lock);
    g_cond_init(&f->idle);
    g_queue_init(&f->waiting);
}

void virgl_fences_finish(VirglFences *f)
{
    g_assert(g_queue_is_empty(&f->waiting));
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->idle);
}

/* Lock held. */
static bool busy(const VirglFences *f)
{
    return f->reporting > 0 || f->waiting.length > 0;
}

/* In the queue first: the callback may come before virglrenderer returns. */
static bool create(VirglFences *f, uint64_t fence, bool nudge)
{
    VirglFence *entry = g_new(VirglFence, 1);
    uint32_t cookie;
    int ret;

    g_mutex_lock(&f->lock);
    cookie = f->next++;
    *entry = (VirglFence){ .cookie = cookie, .nudge = nudge, .fence = fence };
    g_queue_push_tail(&f->waiting, entry);
    g_mutex_unlock(&f->lock);

    ret = virgl_renderer_create_fence((int)cookie, 0);
    if (ret == 0) {
        return true;
    }
    g_mutex_lock(&f->lock);
    /* No callback for this cookie, and this thread alone makes fences: it is still the last. */
    if (g_queue_peek_tail(&f->waiting) == entry) {
        g_queue_pop_tail(&f->waiting);
        g_free(entry);
    }
    g_mutex_unlock(&f->lock);
    return false;
}

bool virgl_fences_create(VirglFences *f, uint64_t fence)
{
    return create(f, fence, false);
}

static bool any_waiting(VirglFences *f)
{
    bool any;

    g_mutex_lock(&f->lock);
    any = !g_queue_is_empty(&f->waiting);
    g_mutex_unlock(&f->lock);
    return any;
}

void virgl_fences_nudge(VirglFences *f)
{
    if (any_waiting(f)) {
        create(f, 0, true);
    }
}

void virgl_fences_signal(VirglFences *f, uint32_t cookie)
{
    GQueue done = G_QUEUE_INIT;
    VirglFence *entry;

    g_mutex_lock(&f->lock);
    while ((entry = g_queue_peek_head(&f->waiting)) && (int32_t)(entry->cookie - cookie) <= 0) {
        g_queue_push_tail(&done, g_queue_pop_head(&f->waiting));
    }
    f->reporting++;
    g_mutex_unlock(&f->lock);

    while ((entry = g_queue_pop_head(&done))) {
        if (!entry->nudge) {
            f->done(f->opaque, entry->fence);
        }
        g_free(entry);
    }

    /* After the callbacks: who drained may free what they use. */
    g_mutex_lock(&f->lock);
    f->reporting--;
    if (!busy(f)) {
        g_cond_broadcast(&f->idle);
    }
    g_mutex_unlock(&f->lock);
}

static void poll_if_asked(void)
{
    struct pollfd pfd = { .fd = virgl_renderer_get_poll_fd(), .events = POLLIN };

    if (pfd.fd >= 0 && poll(&pfd, 1, 0) > 0) {
        virgl_renderer_poll();
    }
}

void virgl_fences_drain(VirglFences *f)
{
    bool waiting;

    virgl_fences_nudge(f);
    do {
        poll_if_asked();
        g_mutex_lock(&f->lock);
        waiting = busy(f);
        if (waiting) {
            g_cond_wait_until(&f->idle, &f->lock, g_get_monotonic_time() + DRAIN_STEP_US);
        }
        g_mutex_unlock(&f->lock);
    } while (waiting);
}
