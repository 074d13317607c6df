/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same with a client at the other end. */
#ifndef TEST_LEASE_CLIENT_H
#define TEST_LEASE_CLIENT_H

#include "lease-host.h"
#include "sched/lease.h"

static inline void host_open(Host *h)
{
    host_open_page(h);
    h->l = lease_new(h->page_fd, h->call, h->wake);
    g_assert_nonnull(h->l);
}

static inline void host_close(Host *h)
{
    lease_free(h->l);
    host_close_page(h);
}

/* Asks, is granted, enters. */
static inline uint32_t hold(Host *h)
{
    uint32_t ticket = 0;

    if (lease_try(h->l, &ticket) == LEASE_WAITING) {
        calls(h);
        acknowledge(h);
        grant(h);
        g_assert_cmpint(lease_try(h->l, &ticket), ==, LEASE_HELD);
    }
    return ticket;
}

#endif
