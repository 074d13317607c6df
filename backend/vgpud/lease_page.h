/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpud's side of one lease page (include/vgpu/lease.h): each change of its
 * state is one function here.  A renderer may write there what it likes and
 * when it likes: no function loops for ever or blocks because of it.
 */
#ifndef VGPUD_LEASE_PAGE_H
#define VGPUD_LEASE_PAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vgpu/lease.h"

#define LEASE_PAGE_NEVER UINT64_MAX

typedef struct LeasePage {
    struct vgpu_lease *shared;
    int wake; /* a description of our own, that the renderer cannot make block */
} LeasePage;

/* A new page, an eventfd to call by and a pipe to be woken by: for a renderer, and for lease_page_open. */
bool lease_page_make(int *page, int *call, int *wake, GError **error);

/* The descriptors stay the caller's.  Refused when they are not what lease_page_make makes. */
bool lease_page_open(LeasePage *p, int page, int call, int wake, GError **error);
void lease_page_close(LeasePage *p);

static inline uint32_t lease_page_state(const LeasePage *p)
{
    return __atomic_load_n(&p->shared->state, __ATOMIC_ACQUIRE);
}

static inline uint64_t lease_page_get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* To who wants it, until end_ns or (LEASE_PAGE_NEVER) until asked.  False: it wants it no longer. */
bool lease_page_grant(LeasePage *p, uint64_t end_ns);

typedef enum LeaseAsked {
    LEASE_ASKED, /* it will come back by a call */
    LEASE_TAKEN, /* nobody used it: it is ours */
    LEASE_GONE,  /* it came back before */
} LeaseAsked;

/* Asks for it by end_ns; take: when it is not in use, takes it instead. */
LeaseAsked lease_page_ask(LeasePage *p, uint64_t end_ns, bool take);

/* Takes it back if it is not in use. */
LeaseAsked lease_page_take_idle(LeasePage *p);

/* It may keep it after all. */
void lease_page_keep(LeasePage *p);

/* Takes it whoever uses it. */
void lease_page_revoke(LeasePage *p);

/* A call was served. */
void lease_page_acknowledge(LeasePage *p);

/* Whoever sleeps looks again. */
void lease_page_wake(LeasePage *p);

#endif
