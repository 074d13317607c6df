/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that serves renderers' calls and the ends of slices.  See leases.c for the theory. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "ini.h"
#include "lease_private.h"

#define NEVER LEASE_PAGE_NEVER

#define EVENTS_MAX 32

/*
 * Calls a renderer may make: one that gives a lease back or asks for one costs
 * a token, one for nothing ten.  Turns of half a millisecond, in two halves,
 * are 4,000 a second; who is out of tokens is not heard for a moment.
 */
#define TOKENS_PER_S 20000
#define TOKENS_MOST  2000
#define TOKENS_VAIN  10
#define MUTED_NS     (5 * LEASE_MS)

enum { KEY_TIMER = 1, KEY_KICK = 2 }; /* a lease's has an upper half */

static bool fail(GError **error, const char *what)
{
    g_set_error(error, VGPUD_ERROR, 0, "cannot schedule leases: %s: %s", what, g_strerror(errno));
    return false;
}

static int watch(const Leases *l, int op, int fd, uint32_t events, uint64_t key)
{
    struct epoll_event ev = { .events = events | EPOLLET, .data.u64 = key };

    return epoll_ctl(l->epoll, op, fd, &ev);
}

bool lease_thread_watch(Leases *l, Lease *lease, GError **error)
{
    return watch(l, EPOLL_CTL_ADD, lease->call, EPOLLIN, lease->key) == 0 || fail(error, "its eventfd");
}

void lease_thread_forget(Leases *l, Lease *lease)
{
    /* the renderer has the description too, so closing ours would not end it */
    watch(l, EPOLL_CTL_DEL, lease->call, 0, 0);
    g_queue_remove(&l->muted, lease);
}

void lease_thread_tell(Leases *l)
{
    eventfd_write(l->tell, 1);
}

void lease_thread_arm(Leases *l, uint64_t now)
{
    uint64_t at = NEVER;
    struct itimerspec spec = { 0 };

    for (guint i = 0; i < l->gpus->len; i++) {
        at = MIN(at, lease_gpu_deadline(l->gpus->pdata[i], now));
    }
    if (l->muted.head) {
        at = MIN(at, ((const Lease *)l->muted.head->data)->muted_until);
    }
    if (at != l->armed) {
        l->armed = at;
        if (at != NEVER) {
            spec.it_value.tv_sec = (time_t)(at / (1000 * LEASE_MS));
            spec.it_value.tv_nsec = (long)(at % (1000 * LEASE_MS));
        }
        timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &spec, NULL);
    }
}

/* ---- calls ---- */

static void mute(Leases *l, Lease *lease, uint64_t now)
{
    lease->muted_until = now + MUTED_NS;
    watch(l, EPOLL_CTL_MOD, lease->call, 0, lease->key);
    g_queue_push_tail(&l->muted, lease);
}

static void hear_again(Leases *l, uint64_t now)
{
    Lease *lease;

    while ((lease = g_queue_peek_head(&l->muted)) && lease->muted_until <= now) {
        g_queue_pop_head(&l->muted);
        lease->muted_until = 0;
        watch(l, EPOLL_CTL_MOD, lease->call, EPOLLIN, lease->key); /* which tells of what it missed */
    }
}

static void pay(Leases *l, Lease *lease, bool vain, uint64_t now)
{
    uint64_t more = (now - lease->tokens_at) / (1000 * LEASE_MS / TOKENS_PER_S);

    if (more) {
        lease->tokens = MIN(lease->tokens + (int64_t)MIN(more, TOKENS_MOST), TOKENS_MOST);
        lease->tokens_at = now;
    }
    lease->tokens -= vain ? TOKENS_VAIN : 1;
    if (lease->tokens < 0) {
        mute(l, lease, now);
    }
}

static void serve_call(Leases *l, uint64_t key, uint64_t now)
{
    uint32_t place = (uint32_t)key;
    Lease *lease = place < l->leases->len ? l->leases->pdata[place] : NULL;
    bool held, waiting;
    uint64_t grants;

    if (!lease || lease->key != key || lease->muted_until) {
        return; /* removed since */
    }
    held = lease->held;
    waiting = lease->waiting;
    grants = lease->figures.grants;
    lease_follow(lease, now);
    lease_page_acknowledge(&lease->page);
    lease_gpu_round(lease->gpu, now);
    pay(l, lease, held == lease->held && waiting == lease->waiting && grants == lease->figures.grants, now);
    if (l->asleep) {
        l->asleep = false;
        l->awake_untold = true;
        lease_thread_tell(l);
    }
    l->calls++;
}

/* ---- the thread ---- */

/* Others may be at work with all CPUs, software renderers above all.  Not being allowed is no failure. */
static bool hurry(void)
{
    const struct sched_param one = { .sched_priority = 1 };
    bool nice = setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -10) == 0;

    sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &one);
    return nice;
}

static void *run(void *opaque)
{
    struct epoll_event ev[EVENTS_MAX];
    Leases *l = opaque;
    bool may_nice;

    may_nice = hurry();
    pthread_mutex_lock(&l->lock);
    l->may_nice = may_nice;
    pthread_mutex_unlock(&l->lock);
    for (;;) {
        int n = epoll_wait(l->epoll, ev, EVENTS_MAX, -1);
        uint64_t now;

        pthread_mutex_lock(&l->lock);
        if (l->quit) {
            pthread_mutex_unlock(&l->lock);
            return NULL;
        }
        now = lease_now();
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u64 > UINT32_MAX) {
                serve_call(l, ev[i].data.u64, now);
            } else if (ev[i].data.u64 == KEY_TIMER) {
                l->armed = NEVER;
            }
        }
        for (guint i = 0; i < l->gpus->len; i++) {
            lease_gpu_look(l->gpus->pdata[i], now);
        }
        hear_again(l, now);
        lease_thread_arm(l, lease_now());
        pthread_mutex_unlock(&l->lock);
    }
}

bool lease_thread_start(Leases *l, GError **error)
{
    sigset_t all, before;
    int why;

    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    l->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll < 0 || l->timer < 0 || l->kick < 0 ||
        watch(l, EPOLL_CTL_ADD, l->timer, EPOLLIN, KEY_TIMER) < 0 ||
        watch(l, EPOLL_CTL_ADD, l->kick, EPOLLIN, KEY_KICK) < 0) {
        return fail(error, "its descriptors");
    }
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the main thread's */
    why = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->threaded = why == 0;
    if (why) {
        errno = why;
        return fail(error, "its thread");
    }
    pthread_setname_np(l->thread, "leases");
    return true;
}

void lease_thread_stop(Leases *l)
{
    if (l->threaded) {
        pthread_mutex_lock(&l->lock);
        l->quit = true;
        pthread_mutex_unlock(&l->lock);
        eventfd_write(l->kick, 1);
        pthread_join(l->thread, NULL);
    }
    for (unsigned i = 0; i < 3; i++) {
        int fd = (const int[]){ l->epoll, l->timer, l->kick }[i];

        if (fd >= 0) {
            close(fd);
        }
    }
}
