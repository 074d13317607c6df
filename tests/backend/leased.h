/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A renderer with a lease, and the test as its vgpud. */
#ifndef TEST_LEASED_H
#define TEST_LEASED_H

#include "../unit/lease-host.h"
#include "gpu_cmd.h"

typedef struct Leased {
    Host h;
    int fds[3];
    Frontend *f;
    GThread *vgpud; /* acknowledges calls, NULL: nobody does */
    gint quit;      /* atomic */
    gint calls;     /* atomic; acknowledged so far */
    gint generous;  /* atomic; grants whatever is asked for */
} Leased;

/* o->lease is filled in.  present: calls are acknowledged. */
Leased *leased_new(FrontendOptions *o, bool present);
/* Ends the renderer; what is Pending goes first. */
void leased_free(Leased *v);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Leased, leased_free)

/* Waits for bits of the lease's state; false (and the test failed) when they do not come. */
bool leased_wait(Leased *v, uint32_t mask, uint32_t value);
/* Takes the lease back as soon as nothing uses it. */
void leased_take_back(Leased *v);
/* The renderer has looked at everything that was sent before. */
void leased_barrier(Leased *v);

/* A null renderer whose submits cost what they say; how: --null-submit-how=... */
Leased *leased_null(const char *how);
/* With a context 1, and a lease that nobody asks back. */
Leased *leased_null_granted(const char *how);
/* us of work in context 1; fence 0: none. */
Pending *leased_submit(Leased *v, uint32_t us, uint64_t fence);
bool leased_answered(Leased *v, Pending *p); /* within the deadline, and no error */
uint64_t leased_claim(const uint64_t *word);
/* The renderer writes its claims a moment after what they tell of. */
void leased_claim_becomes(const uint64_t *word, uint64_t least, uint64_t most);
void leased_calls_reach(Leased *v, int n);

#endif
