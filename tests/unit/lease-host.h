/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpud's side of a lease, played step by step; of the backend tests too. */
#ifndef TEST_LEASE_HOST_H
#define TEST_LEASE_HOST_H

#include <glib.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vgpu/lease.h"

#define GRANTED VGPU_LEASE_GRANTED
#define WANTED  VGPU_LEASE_WANTED
#define YIELD   VGPU_LEASE_YIELD
#define USERS   VGPU_LEASE_USERS_MASK
#define EPOCH1  (1u << VGPU_LEASE_EPOCH_SHIFT)
#define MS      1000000ull

/* Long enough for a machine that does other things too; only a failure waits for it. */
#define DEADLINE_MS 20000

typedef struct Host {
    int page_fd, call, wake;
    struct vgpu_lease *page;
    struct LeaseClient *l; /* where the test is the client too */
} Host;

static inline uint64_t now_ns(void)
{
    return (uint64_t)g_get_monotonic_time() * 1000;
}

static inline void host_open_page(Host *h)
{
    h->page_fd = memfd_create("lease", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(h->page_fd, VGPU_LEASE_SIZE), ==, 0);
    h->page = mmap(NULL, VGPU_LEASE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, h->page_fd, 0);
    g_assert_true(h->page != MAP_FAILED);
    h->page->magic = VGPU_LEASE_MAGIC;
    h->page->version = VGPU_LEASE_VERSION;
    h->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    h->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static inline void host_close_page(Host *h)
{
    munmap(h->page, VGPU_LEASE_SIZE);
    close(h->page_fd);
    close(h->call);
    close(h->wake);
}

static inline uint32_t state(Host *h)
{
    return __atomic_load_n(&h->page->state, __ATOMIC_ACQUIRE);
}

static inline bool swap(Host *h, uint32_t old, uint32_t new)
{
    return __atomic_compare_exchange_n(&h->page->state, &old, new, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* How often was call signalled since the last look? */
static inline unsigned calls(Host *h)
{
    eventfd_t n = 0;

    return eventfd_read(h->call, &n) == 0 ? n : 0;
}

static inline void acknowledge(Host *h)
{
    __atomic_add_fetch(&h->page->ack, 1, __ATOMIC_RELAXED);
}

static inline void wake(Host *h)
{
    eventfd_write(h->wake, 1);
    syscall(SYS_futex, &h->page->state, FUTEX_WAKE, G_MAXINT, NULL, NULL, 0);
}

static inline void grant(Host *h)
{
    uint32_t s = state(h);

    g_assert_cmphex(s & ~VGPU_LEASE_EPOCH_MASK, ==, WANTED);
    g_assert_true(swap(h, s, (s & ~WANTED) | GRANTED));
    wake(h);
}

static inline void ask_back(Host *h, uint64_t end_ns)
{
    __atomic_store_n(&h->page->end_ns, end_ns, __ATOMIC_RELAXED);
    __atomic_or_fetch(&h->page->state, YIELD, __ATOMIC_ACQ_REL);
}

static inline void take_away(Host *h)
{
    uint32_t old = state(h), new;

    do {
        new = ((old + EPOCH1) & VGPU_LEASE_EPOCH_MASK) | (old & WANTED);
    } while (
        !__atomic_compare_exchange_n(&h->page->state, &old, new, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

static inline bool readable(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, timeout_ms) == 1;
}

#endif
