/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.
 *
 * Shares.  Start-time fair queueing: each client has a virtual time v, the GPU
 * time charged to it over its weight, and of those that wait the one with the
 * least v is next.  So two clients that always have work differ at any moment
 * by no more than a turn (a slice and the batch that outlasted it), whatever
 * their batches: a long batch carries v far ahead and is paid back in full by
 * turns left out.  The quantum bounds a turn; what the last turn was too long
 * by shortens the next ones, to half a quantum at the least, so that the
 * quantum is also what turns take on average.
 *
 * Sleeping.  Virtual now is the least v among those that wait, hold or are kept
 * room for, as of the last decision: between two a client may leave and want
 * again, and has not slept.  Who wakes starts at its own v or at virtual now
 * less a start, whichever is later: time slept through is not saved up, and what was overdrawn before is
 * not forgotten, but for what its share would have been of a GPU that was
 * idle meanwhile.  The start lets a client that uses less than its share in
 * before those that use all of theirs; a v never goes back, so it gains no
 * share by it.
 *
 * Priority is how large that start is: high two quanta, normal one, low none.
 * It says who goes first, not who gets how much; weights alone say that.
 * Strict classes would starve, and weights times a priority would break the
 * shares that the profiles promise.  A waiting client is overtaken by each
 * other one's start at most, so nobody starves.
 *
 * Charges come late.  A holder that nobody waits for is charged in bulk, and
 * the bulk must neither make who comes next win it nor the holder lose it.  So
 * only what was used while somebody waited moves the holder's v alone.  The
 * rest moves all holders alike (lift), or nobody once somebody waits, who
 * started where they stood: between clients that were in nobody's way there is
 * nothing to settle.
 *
 * Width.  The waiting client with the least v is next even if it does not fit
 * yet; those that hold then make room slice by slice.  Meanwhile a narrower one
 * may use what is free until the last of the current slices ends, unless it is
 * ahead by more than a quantum of each: it delays the next one by its last
 * batch at most, and one that owes a long batch does not slip in again and
 * again.  A client too narrow for its weight would fall behind for ever: nobody is owed more
 * than OWED_MAX, measured from who was let in last.
 *
 * Fixed share.  A client also has an allowance that grows at the rate of its
 * share and shrinks by what it uses, below 0 too.  It is let in for a turn when
 * half a quantum is there.  Asleep it saves up one quantum; while it waits or
 * holds, what it was kept waiting for (ALLOWANCE_MAX: others' batches of 50 ms).
 *
 * Exclusive.  The client attached longest is the only one let in.
 *
 * Quanta count attached clients, not those with work, so that they do not
 * change with every frame of somebody else.
 *
 * Gaps.  Many programs send a batch, wait for it and send the next: each time
 * they hold no lease and do not wait for one either, and whoever does wait
 * would have the turn, so that they would go batch about with long batches,
 * whatever their weights.  So room is kept for one that leaves before its turn
 * is over by v, if it has used to come back within a quarter of the time that
 * it held and LINGER_MAX.  The GPU is idle meanwhile, and that is charged to
 * its v: the others lose nothing by it, and the GPU at most a fifth of what
 * such a client's share is.
 */
#include "sched_private.h"

static SchedParams valid(const Sched *s, const SchedParams *p)
{
    SchedParams v = *p;

    v.share_ppm = CLAMP(v.share_ppm, 1, SHARE_MAX);
    v.width = CLAMP(v.width, 1, s->capacity);
    if (v.quantum_ns) {
        v.quantum_ns = CLAMP(v.quantum_ns, SCHED_QUANTUM_MIN_NS, SCHED_QUANTUM_MAX_NS);
    }
    return v;
}

Sched *sched_new(SchedPolicy policy, uint32_t capacity)
{
    Sched *s = g_new0(Sched, 1);

    s->policy = policy;
    s->capacity = MAX(capacity, 1);
    s->room = s->capacity;
    s->waiting = g_new0(Heap, s->capacity);
    for (uint32_t w = 0; w < s->capacity; w++) {
        heap_init(&s->waiting[w]);
    }
    heap_init(&s->throttled);
    heap_init(&s->holding);
    heap_init(&s->lingering);
    g_queue_init(&s->all);
    return s;
}

void sched_free(Sched *s)
{
    if (!s) {
        return;
    }
    while (s->all.length) {
        g_free(g_queue_pop_head_link(&s->all)->data);
    }
    for (uint32_t w = 0; w < s->capacity; w++) {
        heap_clear(&s->waiting[w]);
    }
    g_free(s->waiting);
    heap_clear(&s->throttled);
    heap_clear(&s->holding);
    heap_clear(&s->lingering);
    g_free(s);
}

SchedClient *sched_add(Sched *s, const SchedParams *params, void *opaque, uint64_t now)
{
    SchedClient *c = g_new0(SchedClient, 1);

    place_advance(s, now);
    c->opaque = opaque;
    c->params = valid(s, params);
    c->asked = SCHED_NEVER;
    c->v = s->virtual_now - virtual_ns(OWED_MAX, SHARE_MAX); /* wake() says more */
    c->left = SCHED_NEVER;
    c->gap = GAP_MAX;
    c->all.data = c;
    g_queue_push_tail_link(&s->all, &c->all);
    c->allowance = (Allowance){ (int64_t)gpu_quantum(s, c), s->now };
    return c;
}

void sched_remove(Sched *s, SchedClient *c, uint64_t now)
{
    place_advance(s, now);
    if (c->state == HOLDING) {
        place_let_go(s, c);
    }
    place_dequeue(s, c);
    g_queue_unlink(&s->all, &c->all);
    g_free(c);
    if (s->policy == SCHED_EXCLUSIVE && s->all.length) {
        place_requeue(s, g_queue_peek_head(&s->all));
    }
}

/* What it is ahead by stays the same GPU time under another weight. */
static void reweigh(Sched *s, SchedClient *c, HeapKey at, uint32_t old, uint32_t new)
{
    HeapKey base = c->state == HOLDING ? at - s->lift : at;

    if (old == new) {
        return;
    }
    c->v = base + (c->v - base) * old / new;
    if (c->state == HOLDING) {
        s->holding_weight += (uint64_t)new - old;
        heap_rekey(&s->holding, &c->place, c->v);
    }
}

void sched_set_policy(Sched *s, SchedPolicy policy, uint64_t now)
{
    SchedPolicy old = s->policy;
    HeapKey at;

    place_advance(s, now);
    if (policy == old) {
        return;
    }
    at = place_virtual_now(s);
    for (GList *l = s->all.head; l; l = l->next) {
        SchedClient *c = l->data;
        uint32_t before = weight(s, c);

        if (old != SCHED_FIXED_SHARE) {
            c->allowance = (Allowance){ (int64_t)gpu_quantum(s, c), s->now };
        }
        s->policy = policy;
        reweigh(s, c, at, before, weight(s, c));
        place_requeue(s, c);
        s->policy = old;
    }
    s->policy = policy;
}

SchedPolicy sched_policy(const Sched *s)
{
    return s->policy;
}

void sched_set_params(Sched *s, SchedClient *c, const SchedParams *params, uint64_t now)
{
    State state = c->state;
    HeapKey at;
    uint32_t old = weight(s, c);

    place_advance(s, now);
    at = place_virtual_now(s);
    refresh(s, c);
    if (waits(c)) {
        place_dequeue(s, c);
    }
    c->params = valid(s, params);
    reweigh(s, c, at, old, weight(s, c));
    if (state == WAITING || state == THROTTLED || state == SHUT_OUT) {
        if (state != WAITING) {
            place_wake(s, c);
        }
        place_enqueue(s, c);
    }
}

/* ---- work ---- */

void sched_want(Sched *s, SchedClient *c, uint64_t now)
{
    bool goes_on = c->state == LINGERING || c->left == s->round; /* nothing was decided since */

    place_advance(s, now);
    if (c->state != ASLEEP && c->state != LINGERING) {
        return;
    }
    refresh(s, c);
    place_dequeue(s, c);
    if (c->left != s->round && c->left != SCHED_NEVER) {
        c->gap = (3 * c->gap + MIN(s->now - c->left_at, GAP_MAX)) / 4;
    }
    if (!goes_on) {
        place_wake(s, c);
    }
    c->v = MAX(c->v, s->last - virtual_ns(OWED_MAX, SHARE_MAX));
    place_enqueue(s, c);
}

void sched_unwant(Sched *s, SchedClient *c, uint64_t now)
{
    place_advance(s, now);
    if (waits(c)) {
        refresh(s, c);
        place_dequeue(s, c);
    }
}

void sched_hold(Sched *s, SchedClient *c, uint64_t now)
{
    place_advance(s, now);
    if (c->state != HOLDING) {
        refresh(s, c);
        place_dequeue(s, c);
        place_wake(s, c);
        place_hold(s, c, sched_quantum(s, c));
    }
}

uint64_t sched_quantum(const Sched *s, const SchedClient *c)
{
    if (c->params.quantum_ns) {
        return c->params.quantum_ns;
    }
    return s->all.length <= FEW ? QUANTUM_FEW : QUANTUM_MANY;
}

void *sched_opaque(const SchedClient *c)
{
    return c->opaque;
}

bool sched_holds(const SchedClient *c)
{
    return c->state == HOLDING;
}

bool sched_wants(const SchedClient *c)
{
    return waits(c);
}

uint64_t sched_used(const SchedClient *c)
{
    return c->used;
}

bool sched_contended(const Sched *s)
{
    return contended(s);
}

uint64_t sched_overshoot(const SchedClient *c)
{
    return c->overshoot;
}
