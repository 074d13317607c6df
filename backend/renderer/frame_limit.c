/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See frame_limit.h for the theory. */
#include "frame_limit.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "scanout.h"

#define NS_PER_S 1000000000ull

/* The page is vgpud's, and still: no frame waits longer than this. */
#define INTERVAL_MAX_NS NS_PER_S

typedef struct HeldAnswer {
    uint32_t scanouts; /* that it waits for, a bit each */
    Element *element;  /* NULL: its timeline has it */
    uint64_t fence;
    uint32_t ctx, ring;
} HeldAnswer;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void held_answer_free(gpointer p)
{
    HeldAnswer *a = p;

    if (a->element) {
        element_free(a->element);
    }
    g_free(a);
}

void frame_limit_init(FrameLimit *f)
{
    *f = (FrameLimit){ .timer_fd = -1 };
    g_queue_init(&f->answers);
}

/* A frame is shown: the next one is due an interval after this one was. */
static void frame_shown(FrameLimit *f, unsigned scanout, uint64_t now, uint64_t interval)
{
    uint64_t *due = &f->due[scanout];

    *due = now < *due + interval ? *due + interval : now + interval;
}

static uint64_t frame_interval(Device *d)
{
    return MIN(lease_frame_interval(d->gpu_time.lease), INTERVAL_MAX_NS);
}

bool frame_limit_pass(Device *d, unsigned scanout)
{
    FrameLimit *f = &d->frame_limit;
    uint64_t interval = frame_interval(d);

    if (!frame_limit_waits(f, scanout)) {
        uint64_t now;

        if (!interval) {
            return true;
        }
        now = now_ns();
        if (now >= f->due[scanout]) {
            frame_shown(f, scanout, now, interval);
            return true;
        }
        /* Of an interval that was longer: the one in force now counts. */
        f->due[scanout] = MIN(f->due[scanout], now + interval);
    }
    f->waiting |= 1u << scanout;
    f->held |= 1u << scanout;
    return false;
}

uint32_t frame_limit_held(FrameLimit *f)
{
    uint32_t held = f->held;

    f->held = 0;
    return held;
}

void frame_limit_hold(FrameLimit *f, uint32_t scanouts, Element *e, uint64_t fence, uint32_t ctx,
                      uint32_t ring)
{
    HeldAnswer *a = g_new(HeldAnswer, 1);

    *a = (HeldAnswer){ .scanouts = scanouts, .element = e, .fence = fence, .ctx = ctx, .ring = ring };
    g_queue_push_tail(&f->answers, a);
}

/* At when something is due; 0: never.  False: there will be no timer. */
static bool frame_limit_arm(Device *d, uint64_t when)
{
    FrameLimit *f = &d->frame_limit;
    struct itimerspec at = { .it_value = { .tv_sec = (time_t)(when / NS_PER_S),
                                           .tv_nsec = (long)(when % NS_PER_S) } };

    if (f->armed == when) {
        return true;
    }
    if (f->timer_fd < 0) {
        struct epoll_event ev = { .events = EPOLLIN, .data.u32 = VHOST_WORK_FRAME };

        f->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (f->timer_fd < 0 || epoll_ctl(d->vhost->work_fd, EPOLL_CTL_ADD, f->timer_fd, &ev) < 0) {
            log_say("no timer for the frame-rate limit: %s", g_strerror(errno));
            return false;
        }
    }
    timerfd_settime(f->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    f->armed = when;
    return true;
}

void frame_limit_ticked(FrameLimit *f)
{
    uint64_t times;

    if (read(f->timer_fd, &times, sizeof(times)) == sizeof(times)) {
        f->armed = 0;
    }
}

/* The answers that waited for these scanouts and wait for no other. */
static void frame_limit_answer(Device *d, uint32_t scanouts)
{
    FrameLimit *f = &d->frame_limit;
    Element *first = NULL, **tail = &first;

    for (GList *l = f->answers.head, *next; l; l = next) {
        HeldAnswer *a = l->data;

        next = l->next;
        a->scanouts &= ~scanouts;
        if (a->scanouts) {
            continue;
        }
        if (a->element) {
            *tail = g_steal_pointer(&a->element);
            tail = &(*tail)->next;
        } else {
            dispatch_fence(d, a->ctx, a->ring, a->fence);
        }
        g_queue_delete_link(&f->answers, l);
        held_answer_free(a);
    }
    *tail = NULL;
    if (first) {
        queue_push(d->vhost, first);
    }
}

void frame_limit_work(Device *d)
{
    FrameLimit *f = &d->frame_limit;
    uint32_t due = 0;
    uint64_t now, next = 0;

    if (!f->waiting) {
        return;
    }
    now = now_ns();
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        if (frame_limit_waits(f, i) && now >= f->due[i]) {
            due |= 1u << i;
        }
    }
    /* Without the GPU: woken by the lease, not by the timer. */
    if (due && !gpu_time_enter(d)) {
        return;
    }
    f->waiting &= ~due;
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        if (due & (1u << i)) {
            frame_shown(f, i, now, frame_interval(d));
            scanout_show(d, i);
        } else if (frame_limit_waits(f, i)) {
            next = next ? MIN(next, f->due[i]) : f->due[i];
        }
    }
    if (due) {
        frame_limit_answer(d, due);
    }
    if (!frame_limit_arm(d, next)) {
        f->waiting = 0;
        frame_limit_answer(d, UINT32_MAX);
    }
}

void frame_limit_forget(FrameLimit *f)
{
    g_queue_clear_full(&f->answers, held_answer_free);
    f->waiting = f->held = 0;
}
