/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  The state word of the page decides everything; who
 * changes it does so by compare-and-swap, so that threads, processes and vgpud
 * need no lock between them.  Nobody waits: lease_try and lease_leave are
 * one swap each, and a clock is read by the first user and the last one only.
 *
 * The slow path is taken when the lease is not there, or its slice is over.
 * It leaves WANTED in the page: with a call to vgpud where nobody holds the
 * lease, else silently, because the last user to leave will call.  vgpud's
 * grant then wakes those who sleep on the word itself (lease_enter) and those
 * who poll (lease_wake_fd).
 *
 * The descriptor to poll is an epoll of ours with two members: vgpud's wake,
 * edge-triggered because other processes of this VM watch it too and whoever
 * read it would take it from them, and a timer.  The timer is for the one thing
 * that no message tells: that vgpud is gone.  A call (asked_ns) that is not
 * acknowledged in time makes this client loose: it works without a lease, and
 * calls now and then until ack moves again or somebody grants.
 *
 * A ticket is the epoch in which the lease was taken, so that a leave after a
 * revocation changes nothing, or LOOSE for work that holds nothing.
 */
#include "lease.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define GRANTED VGPU_LEASE_GRANTED
#define WANTED  VGPU_LEASE_WANTED
#define YIELD   VGPU_LEASE_YIELD
#define EPOCH   VGPU_LEASE_EPOCH_MASK
#define USERS   VGPU_LEASE_USERS_MASK

/* In a ticket, beside the epoch. */
#define LOOSE 1u

#define NS_PER_S 1000000000ull

struct LeaseClient {
    struct vgpu_lease *page; /* NULL: no lease is to be had */
    int call, wake;          /* borrowed */
    int poll_fd, timer_fd;
    bool polled;       /* atomic: somebody asked for poll_fd */
    bool interrupted;  /* atomic */
    uint64_t enough;   /* atomic: end_ns of the slice that we begin nothing more in */
    uint32_t sleepers; /* atomic: in lease_enter, about to look at interrupted or asleep */

    pthread_mutex_t lock; /* the slow path; what follows */
    bool unanswered;      /* ack has not moved since the call below */
    bool loose;           /* vgpud is gone, as far as we know */
    uint32_t asked_ack;   /* page->ack before the last call */
    uint64_t asked_ns;    /* when that was */
    uint64_t deadline_ns; /* while waiting: when to look again without being woken */
    uint64_t armed_ns;    /* the timer's */
    uint32_t loose_users;
    uint64_t loose_since_ns;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t get64(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static uint32_t get_state(const LeaseClient *l)
{
    return __atomic_load_n(&l->page->state, __ATOMIC_ACQUIRE);
}

static bool swap_state(LeaseClient *l, uint32_t *old, uint32_t new)
{
    return __atomic_compare_exchange_n(&l->page->state, old, new, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    /* Not FUTEX_PRIVATE: vgpud and others share the page. */
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static void signal_eventfd(int fd)
{
    const uint64_t one = 1;

    /* Fails only when it is full, and then it is signalled anyhow. */
    if (write(fd, &one, sizeof(one)) < 0) {
        return;
    }
}

/* Making and freeing */

static int add_edge(int epoll, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.fd = fd };

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

static struct vgpu_lease *map_page(int fd)
{
    struct vgpu_lease *page;
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return NULL;
    }
    if (st.st_size < VGPU_LEASE_SIZE) {
        errno = EINVAL;
        return NULL;
    }
    page = mmap(NULL, VGPU_LEASE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        return NULL;
    }
    if (page->magic != VGPU_LEASE_MAGIC || page->version != VGPU_LEASE_VERSION) {
        munmap(page, VGPU_LEASE_SIZE);
        errno = EPROTO;
        return NULL;
    }
    return page;
}

static bool open_fds(LeaseClient *l)
{
    l->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return l->poll_fd >= 0 && l->timer_fd >= 0 && add_edge(l->poll_fd, l->wake) == 0 &&
           add_edge(l->poll_fd, l->timer_fd) == 0;
}

LeaseClient *lease_new(int page, int call, int wake)
{
    LeaseClient *l = calloc(1, sizeof(*l));

    if (!l) {
        return NULL;
    }
    l->call = call;
    l->wake = wake;
    l->poll_fd = l->timer_fd = -1;
    pthread_mutex_init(&l->lock, NULL);
    if (page < 0) {
        return l;
    }
    l->page = map_page(page);
    if (!l->page || !open_fds(l)) {
        int why = errno;

        lease_free(l);
        errno = why;
        return NULL;
    }
    return l;
}

void lease_free(LeaseClient *l)
{
    if (!l) {
        return;
    }
    if (l->page) {
        munmap(l->page, VGPU_LEASE_SIZE);
    }
    if (l->poll_fd >= 0) {
        close(l->poll_fd);
    }
    if (l->timer_fd >= 0) {
        close(l->timer_fd);
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* Entering */

/* While others wait. */
static uint64_t slice_left(const LeaseClient *l)
{
    uint64_t end = get64(&l->page->end_ns), now = now_ns();

    return now < end && end != get64(&l->enough) ? end - now : 0;
}

/* May one more user be added in this state? */
static bool may_enter(const LeaseClient *l, uint32_t state)
{
    if (!(state & GRANTED) || (state & USERS) == USERS) {
        return false;
    }
    return !(state & YIELD) || slice_left(l) > 0;
}

/* state is the word before our user was added. */
static uint32_t entered(LeaseClient *l, uint32_t state)
{
    if (!(state & USERS)) {
        __atomic_store_n(&l->page->busy_since_ns, now_ns(), __ATOMIC_RELAXED);
    }
    return state & EPOCH;
}

/* Lock held: a call that vgpud should acknowledge. */
static void ask(LeaseClient *l, uint64_t now)
{
    l->asked_ack = __atomic_load_n(&l->page->ack, __ATOMIC_RELAXED);
    l->asked_ns = now;
    l->unanswered = true;
    signal_eventfd(l->call);
}

/*
 * Lock held: while the state says WANTED.  Is there anybody to grant it?
 * Calls again where that is due, and sets when to look the next time.
 */
static bool is_loose(LeaseClient *l, uint64_t now)
{
    if (l->unanswered && __atomic_load_n(&l->page->ack, __ATOMIC_RELAXED) != l->asked_ack) {
        l->unanswered = false;
        l->loose = false;
    }
    if (l->unanswered && now - l->asked_ns >= VGPU_LEASE_ACK_NS) {
        l->loose = true;
    }
    if (now - l->asked_ns >= VGPU_LEASE_LOOSE_NS) {
        ask(l, now);
    }
    l->deadline_ns = l->asked_ns + (l->unanswered && !l->loose ? VGPU_LEASE_ACK_NS : VGPU_LEASE_LOOSE_NS);
    return l->loose;
}

/* Lock held: wakes who polls at deadline_ns. */
static void arm_timer(LeaseClient *l)
{
    struct itimerspec at = { .it_value = { .tv_sec = (time_t)(l->deadline_ns / NS_PER_S),
                                           .tv_nsec = (long)(l->deadline_ns % NS_PER_S) } };

    if (l->armed_ns != l->deadline_ns && __atomic_load_n(&l->polled, __ATOMIC_RELAXED)) {
        l->armed_ns = l->deadline_ns;
        timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    }
}

/* Lock held: the lease cannot be had now; sees to it that WANTED is on.  False: look again. */
static bool want(LeaseClient *l, uint32_t state, uint64_t now)
{
    bool in_use = (state & GRANTED) && (state & USERS);

    if ((state & WANTED) && (in_use || !(state & GRANTED))) {
        return true;
    }
    if (!swap_state(l, &state, in_use ? state | WANTED : (state & EPOCH) | WANTED)) {
        return false;
    }
    l->loose = false;
    if (in_use) {
        /* The last one to leave will call. */
        l->unanswered = false;
        l->asked_ns = now;
    } else {
        ask(l, now);
    }
    return true;
}

static LeaseResult try_slowly(LeaseClient *l, uint32_t *ticket)
{
    LeaseResult result = LEASE_WAITING;
    uint64_t now;
    uint32_t state;

    pthread_mutex_lock(&l->lock);
    now = now_ns(); /* not before: asked_ns is never in the future */
    do {
        state = get_state(l);
        while (may_enter(l, state)) {
            if (swap_state(l, &state, (state & ~WANTED) + 1)) {
                l->loose = false;
                pthread_mutex_unlock(&l->lock);
                *ticket = entered(l, state);
                return LEASE_HELD;
            }
        }
    } while (!want(l, state, now));
    if (is_loose(l, now)) {
        if (l->loose_users++ == 0) {
            l->loose_since_ns = now;
        }
        *ticket = LOOSE;
        result = LEASE_HELD;
    } else {
        arm_timer(l);
    }
    pthread_mutex_unlock(&l->lock);
    return result;
}

LeaseResult lease_try(LeaseClient *l, uint32_t *ticket)
{
    uint32_t state;

    if (!l->page) {
        *ticket = LOOSE;
        return LEASE_HELD;
    }
    state = get_state(l);
    while ((state & GRANTED) && !(state & (YIELD | WANTED)) && (state & USERS) < USERS) {
        if (swap_state(l, &state, state + 1)) {
            *ticket = entered(l, state);
            return LEASE_HELD;
        }
    }
    return try_slowly(l, ticket);
}

/* Until the word changes or it is time to look again. */
static void sleep_on(LeaseClient *l)
{
    uint32_t state = get_state(l);
    uint64_t now = now_ns(), deadline;
    struct timespec timeout;

    pthread_mutex_lock(&l->lock);
    deadline = l->deadline_ns;
    pthread_mutex_unlock(&l->lock);
    /* Without WANTED nobody would wake us: it was granted and taken back since. */
    if ((state & WANTED) && !may_enter(l, state) && deadline > now) {
        timeout.tv_sec = (time_t)((deadline - now) / NS_PER_S);
        timeout.tv_nsec = (long)((deadline - now) % NS_PER_S);
        futex(&l->page->state, FUTEX_WAIT, state, &timeout);
    }
}

bool lease_enter(LeaseClient *l, uint32_t *ticket)
{
    while (lease_try(l, ticket) != LEASE_HELD) {
        bool interrupted;

        __atomic_add_fetch(&l->sleepers, 1, __ATOMIC_SEQ_CST);
        interrupted = __atomic_load_n(&l->interrupted, __ATOMIC_SEQ_CST);
        if (!interrupted) {
            sleep_on(l);
        }
        __atomic_sub_fetch(&l->sleepers, 1, __ATOMIC_SEQ_CST);
        if (interrupted) {
            return false;
        }
    }
    return true;
}

void lease_interrupt(LeaseClient *l)
{
    const struct timespec a_little = { .tv_nsec = 100 * 1000 };

    __atomic_store_n(&l->interrupted, true, __ATOMIC_SEQ_CST);
    /* One of them may be between its look at the flag and its sleep: until all were seen to wake. */
    while (__atomic_load_n(&l->sleepers, __ATOMIC_SEQ_CST)) {
        futex(&l->page->state, FUTEX_WAKE, INT32_MAX, NULL);
        nanosleep(&a_little, NULL);
    }
}

/* Leaving */

static void leave_loose(LeaseClient *l)
{
    uint64_t now, used = 0;

    if (!l->page) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    now = now_ns();
    if (--l->loose_users == 0) {
        used = now - l->loose_since_ns;
    }
    pthread_mutex_unlock(&l->lock);
    __atomic_add_fetch(&l->page->loose_ns, used, __ATOMIC_RELAXED);
    __atomic_add_fetch(&l->page->busy_ns, used, __ATOMIC_RELAXED);
}

/* The lease went back by our doing: tell vgpud, or those here who wait. */
static void returned(LeaseClient *l, uint32_t state)
{
    if (!(state & YIELD)) {
        /* Somebody waited for an end that vgpud took back: it is there to be had. */
        futex(&l->page->state, FUTEX_WAKE, INT32_MAX, NULL);
        signal_eventfd(l->wake);
    } else if (state & WANTED) {
        pthread_mutex_lock(&l->lock);
        ask(l, now_ns());
        l->deadline_ns = l->asked_ns + VGPU_LEASE_ACK_NS;
        arm_timer(l);
        pthread_mutex_unlock(&l->lock);
    } else {
        signal_eventfd(l->call);
    }
}

/*
 * One user less.  *state: the word before that.  False: the lease was revoked.
 * *since: when it was first used, for the last one to leave.
 */
static bool subtract_user(LeaseClient *l, uint32_t ticket, uint32_t *state, uint64_t *since)
{
    uint32_t next;

    *since = 0;
    *state = get_state(l);
    do {
        bool last = (*state & USERS) == 1;

        if ((*state & EPOCH) != ticket || !(*state & GRANTED) || !(*state & USERS)) {
            return false;
        }
        /* Taken before the swap: right after it a new first user may set it. */
        if (last && !*since) {
            *since = __atomic_exchange_n(&l->page->busy_since_ns, 0, __ATOMIC_RELAXED);
        } else if (!last && *since) {
            __atomic_store_n(&l->page->busy_since_ns, *since, __ATOMIC_RELAXED);
            *since = 0;
        }
        next = !last ? *state - 1 : (*state & YIELD) ? *state & (EPOCH | WANTED) : *state & (EPOCH | GRANTED);
    } while (!swap_state(l, state, next));
    return true;
}

void lease_leave(LeaseClient *l, uint32_t ticket, uint64_t used_ns)
{
    uint64_t since;
    uint32_t state;
    bool held;

    if (ticket & LOOSE) {
        leave_loose(l);
        return;
    }
    __atomic_add_fetch(&l->page->batches, 1, __ATOMIC_RELAXED);
    held = subtract_user(l, ticket, &state, &since);
    if (!held && !since && !(state & USERS)) {
        since = __atomic_exchange_n(&l->page->busy_since_ns, 0, __ATOMIC_RELAXED);
    }
    if (since && !used_ns) {
        used_ns = now_ns() - since;
    }
    if (used_ns) {
        __atomic_add_fetch(&l->page->busy_ns, used_ns, __ATOMIC_RELAXED);
    }
    if (held && (state & USERS) == 1 && (state & (YIELD | WANTED))) {
        returned(l, state);
    }
}

bool lease_is_loose(uint32_t ticket)
{
    return ticket & LOOSE;
}

/* Between two pieces of work */

static bool loose_over(LeaseClient *l)
{
    bool over;

    if (!l->page) {
        return false;
    }
    pthread_mutex_lock(&l->lock);
    over = (get_state(l) & GRANTED) || !l->loose || now_ns() >= l->deadline_ns ||
           (l->unanswered && __atomic_load_n(&l->page->ack, __ATOMIC_RELAXED) != l->asked_ack);
    pthread_mutex_unlock(&l->lock);
    return over;
}

uint64_t lease_left(LeaseClient *l, uint32_t ticket)
{
    uint32_t state;

    if (ticket & LOOSE) {
        return loose_over(l) ? 0 : UINT64_MAX;
    }
    state = get_state(l);
    if ((state & EPOCH) != ticket || !(state & GRANTED)) {
        return 0;
    }
    return (state & YIELD) ? slice_left(l) : UINT64_MAX;
}

bool lease_over(LeaseClient *l, uint32_t ticket)
{
    return !lease_left(l, ticket);
}

void lease_enough(LeaseClient *l)
{
    if (l->page) {
        __atomic_store_n(&l->enough, get64(&l->page->end_ns), __ATOMIC_RELAXED);
    }
}

void lease_want(LeaseClient *l)
{
    uint32_t state;

    if (!l->page) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    state = get_state(l);
    while ((state & GRANTED) && (state & YIELD) && (state & USERS) && !(state & WANTED)) {
        if (swap_state(l, &state, state | WANTED)) {
            l->loose = l->unanswered = false; /* the last one to leave will call */
            l->asked_ns = now_ns();
        }
    }
    pthread_mutex_unlock(&l->lock);
}

void lease_progress(LeaseClient *l, uint32_t fences)
{
    if (l->page) {
        __atomic_add_fetch(&l->page->batches, fences, __ATOMIC_RELAXED);
    }
}

void lease_queue_depth(LeaseClient *l, uint64_t commands)
{
    if (l->page && get64(&l->page->queue_depth) != commands) {
        __atomic_store_n(&l->page->queue_depth, commands, __ATOMIC_RELAXED);
    }
}

void lease_look(LeaseClient *l)
{
    if (l->page) {
        signal_eventfd(l->call);
    }
}

/* Polling */

int lease_wake_fd(LeaseClient *l)
{
    if (l->page && !__atomic_exchange_n(&l->polled, true, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&l->lock);
        arm_timer(l); /* the first wait may have begun */
        pthread_mutex_unlock(&l->lock);
    }
    return l->poll_fd;
}

void lease_woken(LeaseClient *l)
{
    struct epoll_event ev[2];

    if (l->poll_fd >= 0) {
        epoll_wait(l->poll_fd, ev, 2, 0);
    }
}

/* Settings */

uint64_t lease_frame_interval(const LeaseClient *l)
{
    return l->page ? get64(&l->page->frame_interval_ns) : 0;
}

uint64_t lease_quantum(const LeaseClient *l)
{
    return l->page ? get64(&l->page->quantum_ns) : 0;
}

uint64_t lease_hang_timeout(const LeaseClient *l)
{
    return l->page ? get64(&l->page->hang_timeout_ns) : 0;
}

bool lease_wanted(const LeaseClient *l)
{
    return l->page && (__atomic_load_n(&l->page->state, __ATOMIC_RELAXED) & VGPU_LEASE_WANTED);
}
