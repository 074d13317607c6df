/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.
 *
 * Shares.  Start-time fair queueing: each client has a virtual time v, the GPU
 * time charged to it over its weight, and of those that wait the one with the
 * least v is next.  So two clients that always have work differ at any moment
 * by no more than one turn (a slice and the batch that outlasted it), whatever
 * their batches: a long batch carries v far ahead and is paid back in full by
 * turns left out.  The quantum bounds a turn; what the last turn was too long
 * by shortens the next ones, to half a quantum at the least, so that the
 * quantum is also what turns take on average.
 *
 * Sleeping.  Virtual now is the least v among those that wait or hold.  Who
 * wakes starts at its own v or at virtual now less a start, whichever is
 * later: time slept through is not saved up, and what was overdrawn before is
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
 * of each charge only the part for the time in which somebody waited moves the
 * holder's v alone; the rest moves all holders alike (lift): between clients
 * that were in nobody's way there is nothing to settle.
 *
 * Width.  The waiting client with the least v is next even if it does not fit
 * yet; those that hold then make room slice by slice.  Meanwhile a narrower one
 * may use what is free until the last of the current slices ends, unless it is
 * ahead by more than a quantum of each: it delays the next one by its last batch at most,
 * and one that owes a long batch does not slip in again and again.  A client
 * too narrow for its weight would fall behind for ever: nobody is owed more
 * than OWED_MAX, measured from who was let in last.
 *
 * Fixed share.  A client also has an allowance that grows at the rate of its
 * share and shrinks by what it uses, below 0 too.  It is let in while half a
 * quantum is there, and uses what is there, a quantum at the most.  Asleep it
 * saves up one quantum; while it waits or holds, what it was kept waiting for
 * (ALLOWANCE_MAX: others' batches of 50 ms).
 *
 * Exclusive.  The client attached longest is the only one let in.
 *
 * Quanta count attached clients, not those with work, so that they do not
 * change with every frame of somebody else.
 *
 * Left out on purpose: a GPU that is kept idle for a client that might come
 * back soon.  A client that has nothing queued at the moment it leaves loses
 * that turn; who wants all of its share keeps two batches queued.
 */
#include "sched.h"

#include <glib.h>

#include "allowance.h"
#include "heap.h"

#define QUANTUM_FEW      (2 * 1000 * 1000ull) /* ns, default */
#define QUANTUM_MANY     (1 * 1000 * 1000ull)
#define FEW              8 /* clients */
#define SHARE_MAX        1000000u
#define OWED_MAX         (1000 * 1000 * 1000ull) /* ns of virtual time at weight SHARE_MAX */
#define ALLOWANCE_MAX    (50 * 1000 * 1000)      /* ns, beside a quantum */
#define VIRTUAL_FRACTION 16                      /* bits */

typedef enum State {
    ASLEEP,    /* no work */
    WAITING,   /* in waiting[width - 1], by v */
    THROTTLED, /* has work and no allowance: in throttled, by when it will have */
    SHUT_OUT,  /* has work, the GPU is another's alone */
    HOLDING,   /* in holding, by v - lift */
} State;

struct SchedClient {
    HeapEntry place; /* first */
    GList all;       /* in Sched.all */
    void *opaque;
    SchedParams params;
    State state;
    HeapKey v;     /* less lift while HOLDING */
    uint64_t left; /* Sched.round when it gave its lease back */

    uint32_t held_width; /* while HOLDING: params may change meanwhile */
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
    int64_t room; /* capacity nobody holds; below 0 when more hold than fit */
    GQueue all;   /* SchedClient, longest attached first */

    Heap *waiting; /* one for each width */
    Heap throttled, holding;
    uint64_t waiting_width, asked_width; /* sums */
    uint64_t holding_weight;

    HeapKey virtual_now;
    HeapKey last; /* v of who was let in last */
    HeapKey lift;
    uint64_t round; /* calls of sched_grant */

    uint64_t now;
    uint64_t contended; /* ns in which somebody waited in vain */
};

static SchedClient *client_of(HeapEntry *e)
{
    return (SchedClient *)e;
}

static uint64_t add_sat(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint32_t weight(const Sched *s, const SchedClient *c)
{
    return s->policy == SCHED_EQUAL_SHARE ? SHARE_MAX : c->params.share_ppm;
}

/* ns of GPU time as virtual time. */
static HeapKey virtual_ns(uint64_t ns, uint64_t w)
{
    return ((HeapKey)ns << VIRTUAL_FRACTION) * SHARE_MAX / w;
}

/* What a lease of that width held for ns uses. */
static uint64_t gpu_ns(const Sched *s, uint32_t width, uint64_t ns)
{
    return (uint64_t)((HeapKey)ns * width / s->capacity);
}

uint64_t sched_quantum(const Sched *s, const SchedClient *c)
{
    if (c->params.quantum_ns) {
        return c->params.quantum_ns;
    }
    return s->all.length <= FEW ? QUANTUM_FEW : QUANTUM_MANY;
}

static uint64_t gpu_quantum(const Sched *s, const SchedClient *c)
{
    return MAX(gpu_ns(s, c->params.width, sched_quantum(s, c)), 1);
}

static HeapKey virtual_quantum(const Sched *s, const SchedClient *c)
{
    return virtual_ns(gpu_quantum(s, c), weight(s, c));
}

/* Some that wait will have to wait until others leave. */
static bool contended(const Sched *s)
{
    return s->waiting_width && (int64_t)s->waiting_width > s->room;
}

/* First in every call that changes anything. */
static void advance(Sched *s, uint64_t now)
{
    if (now > s->now) {
        if (contended(s)) {
            s->contended += now - s->now;
        } else if (!s->waiting_width && !heap_size(&s->holding)) {
            s->virtual_now += virtual_ns(now - s->now, SHARE_MAX);
        }
        s->now = now;
    }
}

/* ---- virtual time ---- */

/* The best that waits and is at most so wide. */
static SchedClient *best(const Sched *s, int64_t width)
{
    HeapEntry *found = NULL;

    for (uint32_t w = 0; w < s->capacity && w < width; w++) {
        HeapEntry *top = heap_top(&s->waiting[w]);

        if (top && (!found || top->key < found->key)) {
            found = top;
        }
    }
    return found ? client_of(found) : NULL;
}

/* At every decision and charge, not when somebody leaves: it may be back before the next decision. */
static HeapKey update_virtual_now(Sched *s)
{
    const SchedClient *waits = best(s, s->capacity);
    const HeapEntry *holds = heap_top(&s->holding);
    HeapKey least = s->virtual_now;

    if (waits && holds) {
        least = MIN(waits->place.key, holds->key + s->lift);
    } else if (waits) {
        least = waits->place.key;
    } else if (holds) {
        least = holds->key + s->lift;
    }
    s->virtual_now = MAX(s->virtual_now, least);
    return s->virtual_now;
}

static void wake(const Sched *s, SchedClient *c)
{
    int quanta = c->params.priority == SCHED_PRIORITY_HIGH     ? 2
                 : c->params.priority == SCHED_PRIORITY_NORMAL ? 1
                                                               : 0;

    c->v = MAX(c->v, s->virtual_now - quanta * virtual_quantum(s, c));
}

/* ---- fixed share ---- */

static bool bounded(const Sched *s, const SchedClient *c)
{
    return s->policy == SCHED_FIXED_SHARE && c->params.share_ppm < SHARE_MAX;
}

static void refresh(const Sched *s, SchedClient *c)
{
    allowance_grow(&c->allowance, c->params.share_ppm,
                   (int64_t)gpu_quantum(s, c) + (c->state == ASLEEP ? 0 : ALLOWANCE_MAX), s->now);
}

static int64_t allowance_needed(const Sched *s, const SchedClient *c)
{
    return (int64_t)(gpu_quantum(s, c) + 1) / 2;
}

static uint64_t ready_at(const Sched *s, const SchedClient *c)
{
    return allowance_time(&c->allowance, c->params.share_ppm, allowance_needed(s, c));
}

/* ---- states ---- */

static bool shut_out(const Sched *s, const SchedClient *c)
{
    return s->policy == SCHED_EXCLUSIVE && &c->all != s->all.head;
}

/* From ASLEEP. */
static void enqueue(Sched *s, SchedClient *c)
{
    if (shut_out(s, c)) {
        c->state = SHUT_OUT;
    } else if (bounded(s, c) && ready_at(s, c) > s->now) {
        c->state = THROTTLED;
        heap_push(&s->throttled, &c->place, ready_at(s, c));
    } else {
        c->state = WAITING;
        s->waiting_width += c->params.width;
        heap_push(&s->waiting[c->params.width - 1], &c->place, c->v);
    }
}

static void dequeue(Sched *s, SchedClient *c)
{
    if (c->state == WAITING) {
        heap_remove(&s->waiting[c->params.width - 1], &c->place);
        s->waiting_width -= c->params.width;
    } else if (c->state == THROTTLED) {
        heap_remove(&s->throttled, &c->place);
    }
    c->state = ASLEEP;
}

static bool waits(const SchedClient *c)
{
    return c->state == WAITING || c->state == THROTTLED || c->state == SHUT_OUT;
}

/* Its place may be another one now. */
static void requeue(Sched *s, SchedClient *c)
{
    if (waits(c)) {
        refresh(s, c);
        if (c->state != WAITING) { /* the others have gone on */
            wake(s, c);
        }
        dequeue(s, c);
        enqueue(s, c);
    }
}

/* From ASLEEP. */
static void hold(Sched *s, SchedClient *c, uint64_t slice)
{
    c->state = HOLDING;
    c->held_width = c->params.width;
    c->granted = c->charged = s->now;
    c->charged_contended = s->contended;
    c->slice = slice;
    c->asked = SCHED_NEVER;
    c->v -= s->lift;
    heap_push(&s->holding, &c->place, c->v);
    s->room -= c->held_width;
    s->holding_weight += weight(s, c);
}

/* To ASLEEP. */
static void let_go(Sched *s, SchedClient *c)
{
    uint64_t quantum = sched_quantum(s, c);

    if (c->asked != SCHED_NEVER) {
        if (s->now > c->asked) {
            uint64_t over = s->now - c->asked;

            c->overshoot = add_sat(c->overshoot, gpu_ns(s, c->held_width, over));
            c->carry = (c->carry + over) % quantum;
        }
        s->asked_width -= c->held_width;
    }
    refresh(s, c);
    heap_remove(&s->holding, &c->place);
    c->v += s->lift;
    s->room += c->held_width;
    s->holding_weight -= weight(s, c);
    c->state = ASLEEP;
    c->left = s->round;
}

/* ---- clients ---- */

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
    g_free(s);
}

SchedClient *sched_add(Sched *s, const SchedParams *params, void *opaque, uint64_t now)
{
    SchedClient *c = g_new0(SchedClient, 1);

    advance(s, now);
    c->opaque = opaque;
    c->params = valid(s, params);
    c->asked = SCHED_NEVER;
    c->v = s->virtual_now - virtual_ns(OWED_MAX, SHARE_MAX); /* wake() says more */
    c->left = SCHED_NEVER;
    c->all.data = c;
    g_queue_push_tail_link(&s->all, &c->all);
    c->allowance = (Allowance){ (int64_t)gpu_quantum(s, c), s->now };
    return c;
}

void sched_remove(Sched *s, SchedClient *c, uint64_t now)
{
    advance(s, now);
    if (c->state == HOLDING) {
        let_go(s, c);
    }
    dequeue(s, c);
    g_queue_unlink(&s->all, &c->all);
    g_free(c);
    if (s->policy == SCHED_EXCLUSIVE && s->all.length) {
        requeue(s, g_queue_peek_head(&s->all));
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

    advance(s, now);
    if (policy == old) {
        return;
    }
    at = update_virtual_now(s);
    for (GList *l = s->all.head; l; l = l->next) {
        SchedClient *c = l->data;
        uint32_t before = weight(s, c);

        if (old != SCHED_FIXED_SHARE) {
            c->allowance = (Allowance){ (int64_t)gpu_quantum(s, c), s->now };
        }
        s->policy = policy;
        reweigh(s, c, at, before, weight(s, c));
        requeue(s, c);
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

    advance(s, now);
    at = update_virtual_now(s);
    refresh(s, c);
    if (waits(c)) {
        dequeue(s, c);
    }
    c->params = valid(s, params);
    reweigh(s, c, at, old, weight(s, c));
    if (state == WAITING || state == THROTTLED || state == SHUT_OUT) {
        if (state != WAITING) {
            wake(s, c);
        }
        enqueue(s, c);
    }
}

/* ---- work ---- */

void sched_want(Sched *s, SchedClient *c, uint64_t now)
{
    advance(s, now);
    if (c->state != ASLEEP) {
        return;
    }
    refresh(s, c);
    if (c->left != s->round) { /* else nothing was decided since: it goes on */
        wake(s, c);
    }
    c->v = MAX(c->v, s->last - virtual_ns(OWED_MAX, SHARE_MAX));
    enqueue(s, c);
}

void sched_unwant(Sched *s, SchedClient *c, uint64_t now)
{
    advance(s, now);
    if (waits(c)) {
        refresh(s, c);
        dequeue(s, c);
    }
}

void sched_hold(Sched *s, SchedClient *c, uint64_t now)
{
    advance(s, now);
    if (c->state != HOLDING) {
        sched_unwant(s, c, now);
        wake(s, c);
        hold(s, c, sched_quantum(s, c));
    }
}

/* Those that have an allowance again. */
static void admit_ready(Sched *s)
{
    for (HeapEntry *e = heap_top(&s->throttled); e && e->key <= (HeapKey)s->now;
         e = heap_top(&s->throttled)) {
        requeue(s, client_of(e));
    }
}

static uint64_t natural_end(const SchedClient *c)
{
    return add_sat(c->granted, c->slice);
}

/* Until when those that hold now may hold, if asked. */
static uint64_t last_end(const Sched *s)
{
    uint64_t last = s->now;

    for (guint i = 0; i < heap_size(&s->holding); i++) {
        last = MAX(last, natural_end(client_of(heap_at(&s->holding, i))));
    }
    return last;
}

/* May it not hold for ever? */
static bool must_end(const Sched *s, const SchedClient *c)
{
    return bounded(s, c) || shut_out(s, c);
}

bool sched_grant(Sched *s, uint64_t now, SchedGrant *grant)
{
    SchedClient *c, *first;
    uint64_t slice, most = SCHED_NEVER;

    advance(s, now);
    s->round++;
    admit_ready(s);
    update_virtual_now(s);
    first = best(s, s->capacity);
    c = best(s, s->room);
    if (!c) {
        return false;
    }
    slice = sched_quantum(s, c);
    if (c == first) {
        s->last = MAX(s->last, c->v);
    } else {
        most = last_end(s) - s->now;
        if (c->v > first->v + virtual_quantum(s, first) + virtual_quantum(s, c) || most < slice / 4) {
            return false;
        }
    }
    if (bounded(s, c)) {
        int64_t used;

        refresh(s, c);
        used = CLAMP(c->allowance.ns, allowance_needed(s, c), (int64_t)gpu_quantum(s, c));
        slice = (uint64_t)((HeapKey)used * s->capacity / c->params.width);
    } else {
        uint64_t cut = MIN(c->carry, slice / 2);

        slice -= cut;
        c->carry -= cut;
    }
    slice = MIN(slice, most);
    dequeue(s, c);
    hold(s, c, slice);
    if (contended(s) || must_end(s, c)) {
        c->asked = natural_end(c);
        s->asked_width += c->held_width;
    }
    *grant = (SchedGrant){ c, c->opaque, c->asked == SCHED_NEVER ? SCHED_NEVER : slice };
    return true;
}

uint64_t sched_next(const Sched *s, uint64_t now)
{
    const HeapEntry *e = heap_top(&s->throttled);

    return e ? MAX((uint64_t)e->key, now) : SCHED_NEVER;
}

bool sched_preempt(Sched *s, uint64_t now, SchedClient **holder, uint64_t *end)
{
    SchedClient *found = NULL;
    int64_t needed;
    bool needs, each = s->policy == SCHED_FIXED_SHARE || s->policy == SCHED_EXCLUSIVE;

    advance(s, now);
    needed = contended(s) ? (int64_t)s->waiting_width - s->room : 0;
    needs = needed > (int64_t)s->asked_width;
    if (!each && !needs && (needed || !s->asked_width)) {
        return false;
    }
    for (guint i = 0; i < heap_size(&s->holding); i++) {
        SchedClient *c = client_of(heap_at(&s->holding, i));

        if (must_end(s, c)) {
            if (c->asked == SCHED_NEVER) {
                found = c;
                break;
            }
        } else if (!needed && c->asked != SCHED_NEVER) { /* nobody waits any more */
            c->asked = SCHED_NEVER;
            s->asked_width -= c->held_width;
            *holder = c;
            *end = SCHED_NEVER;
            return true;
        } else if (needs && c->asked == SCHED_NEVER &&
                   (!found || MAX(natural_end(c), s->now) < MAX(natural_end(found), s->now) ||
                    (MAX(natural_end(c), s->now) == MAX(natural_end(found), s->now) && c->v > found->v))) {
            found = c;
        }
    }
    if (!found) {
        return false;
    }
    found->asked = MAX(natural_end(found), s->now);
    s->asked_width += found->held_width;
    *holder = found;
    *end = found->asked;
    return true;
}

void sched_charge(Sched *s, SchedClient *c, uint64_t used_ns, uint64_t now)
{
    uint64_t own = used_ns;

    advance(s, now);
    refresh(s, c);
    c->used = add_sat(c->used, used_ns);
    allowance_use(&c->allowance, used_ns);
    if (c->state != HOLDING) {
        c->v += virtual_ns(used_ns, weight(s, c));
        requeue(s, c);
        return;
    }
    if (s->now > c->charged) {
        own = (uint64_t)((HeapKey)used_ns * (s->contended - c->charged_contended) / (s->now - c->charged));
    } else if (!contended(s)) {
        own = 0;
    }
    c->charged = s->now;
    c->charged_contended = s->contended;
    c->v += virtual_ns(own, weight(s, c));
    heap_rekey(&s->holding, &c->place, c->v);
    s->lift += virtual_ns(used_ns - own, s->holding_weight);
    update_virtual_now(s);
}

void sched_return(Sched *s, SchedClient *c, uint64_t now)
{
    advance(s, now);
    if (c->state == HOLDING) {
        let_go(s, c);
    }
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

uint64_t sched_overshoot(const SchedClient *c)
{
    return c->overshoot;
}
