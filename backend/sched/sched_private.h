/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the scheduler: sched.c (clients, and the theory of operation), place.c
 * (where a client is: asleep, waiting, holding; virtual time), turn.c (who is
 * let in, asked to leave and charged).
 */
#ifndef VGPU_SCHED_PRIVATE_H
#define VGPU_SCHED_PRIVATE_H

#include <glib.h>

#include "allowance.h"
#include "heap.h"
#include "sched.h"

#define QUANTUM_FEW      (2 * 1000 * 1000ull) /* ns, default */
#define QUANTUM_MANY     (1 * 1000 * 1000ull)
#define FEW              8 /* clients */
#define SHARE_MAX        1000000u
#define OWED_MAX         (1000 * 1000 * 1000ull) /* ns of virtual time at weight SHARE_MAX */
#define ALLOWANCE_MAX    (50 * 1000 * 1000)      /* ns, beside a quantum */
#define VIRTUAL_FRACTION 16                      /* bits */
#define LINGER_MAX       (1000 * 1000ull)        /* ns */
#define LINGER_LEAST     (50 * 1000ull)
#define GAP_MAX          (4 * LINGER_MAX) /* no longer one is told from another */

typedef enum State {
    ASLEEP,    /* no work */
    WAITING,   /* in waiting[width - 1], by v */
    THROTTLED, /* has work and no allowance: in throttled, by when it will have */
    SHUT_OUT,  /* has work, the GPU is another's alone */
    HOLDING,   /* in holding, by v - lift */
    LINGERING, /* no work, and room is kept for it: in lingering, by until when */
} State;

struct SchedClient {
    HeapEntry place; /* first */
    GList all;       /* in Sched.all */
    void *opaque;
    SchedParams params;
    State state;
    HeapKey v; /* less lift while HOLDING */

    uint64_t left, left_at; /* Sched.round and .now when it gave its lease back */
    uint64_t gap;           /* ns from there until it wants it again, on average */

    uint32_t held_width; /* while HOLDING or LINGERING: params may change meanwhile */
    uint64_t granted, slice;
    uint64_t asked;                      /* the end it was told, SCHED_NEVER: none */
    uint64_t charged, charged_contended; /* Sched.now and .contended at the last charge */

    uint64_t carry;      /* ns: turns were too long by that, less than a quantum */
    Allowance allowance; /* fixed-share */
    uint64_t used, overshoot;
};

struct Sched {
    SchedPolicy policy;
    uint32_t capacity;
    int64_t room; /* capacity nobody holds or lingers for; below 0 when more hold than fit */
    GQueue all;   /* SchedClient, longest attached first */

    Heap *waiting; /* one for each width */
    Heap throttled, holding, lingering;
    uint64_t waiting_width, holding_weight; /* sums */
    unsigned asked;                         /* holders that were told an end */

    HeapKey virtual_now;
    HeapKey last; /* v of who was let in last */
    HeapKey lift;
    uint64_t round; /* calls of sched_grant */

    uint64_t now;
    uint64_t contended; /* ns in which somebody waited in vain */
};

static inline SchedClient *client_of(HeapEntry *e)
{
    return (SchedClient *)e;
}

static inline uint64_t add_sat(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static inline uint32_t weight(const Sched *s, const SchedClient *c)
{
    return s->policy == SCHED_EQUAL_SHARE ? SHARE_MAX : c->params.share_ppm;
}

/* ns of GPU time as virtual time. */
static inline HeapKey virtual_ns(uint64_t ns, uint64_t w)
{
    return ((HeapKey)ns << VIRTUAL_FRACTION) * SHARE_MAX / w;
}

/* What a lease of that width held for ns uses. */
static inline uint64_t gpu_ns(const Sched *s, uint32_t width, uint64_t ns)
{
    return (uint64_t)((HeapKey)ns * width / s->capacity);
}

static inline uint64_t gpu_quantum(const Sched *s, const SchedClient *c)
{
    return MAX(gpu_ns(s, c->params.width, sched_quantum(s, c)), 1);
}

static inline HeapKey virtual_quantum(const Sched *s, const SchedClient *c)
{
    return virtual_ns(gpu_quantum(s, c), weight(s, c));
}

/* Some that wait will have to wait until others leave. */
static inline bool contended(const Sched *s)
{
    return s->waiting_width && (int64_t)s->waiting_width > s->room;
}

/* Its allowance counts. */
static inline bool bounded(const Sched *s, const SchedClient *c)
{
    return s->policy == SCHED_FIXED_SHARE && c->params.share_ppm < SHARE_MAX;
}

/* Its allowance, as of now. */
static inline void refresh(const Sched *s, SchedClient *c)
{
    allowance_grow(&c->allowance, c->params.share_ppm,
                   (int64_t)gpu_quantum(s, c) + (c->state == ASLEEP ? 0 : ALLOWANCE_MAX), s->now);
}

/* To be let in. */
static inline int64_t allowance_needed(const Sched *s, const SchedClient *c)
{
    return (int64_t)(gpu_quantum(s, c) + 1) / 2;
}

/* When it has that. */
static inline uint64_t ready_at(const Sched *s, const SchedClient *c)
{
    return allowance_time(&c->allowance, c->params.share_ppm, allowance_needed(s, c));
}

static inline bool shut_out(const Sched *s, const SchedClient *c)
{
    return s->policy == SCHED_EXCLUSIVE && &c->all != s->all.head;
}

static inline bool waits(const SchedClient *c)
{
    return c->state == WAITING || c->state == THROTTLED || c->state == SHUT_OUT;
}

/* ---- place.c ---- */

/* Time goes on: first in every call that changes anything. */
void place_advance(Sched *s, uint64_t now);
/* The best of those that wait and are at most so wide, or NULL. */
SchedClient *place_best(const Sched *s, int64_t width);
/* At each decision, not when somebody leaves, who may be back before the next one. */
HeapKey place_virtual_now(Sched *s);

/* The v that one that slept goes on with. */
void place_wake(const Sched *s, SchedClient *c);
void place_enqueue(Sched *s, SchedClient *c);              /* from ASLEEP */
void place_dequeue(Sched *s, SchedClient *c);              /* to ASLEEP, from anywhere but HOLDING */
void place_requeue(Sched *s, SchedClient *c);              /* what it waits for may have changed */
void place_hold(Sched *s, SchedClient *c, uint64_t slice); /* from ASLEEP */
void place_let_go(Sched *s, SchedClient *c);               /* HOLDING to ASLEEP */
void place_linger(Sched *s, SchedClient *c);               /* ASLEEP to LINGERING, if it is worth it */

#endif
