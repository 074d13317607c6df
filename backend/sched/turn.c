/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose turn it is, how long, and what it cost. */
#include "sched_private.h"

static HeapEntry *due(const Heap *h, uint64_t now)
{
    HeapEntry *e = heap_top(h);

    return e && e->key <= (HeapKey)now ? e : NULL;
}

/* Those that have an allowance again wait, those that did not come back are waited for no more. */
static void catch_up(Sched *s)
{
    HeapEntry *e;

    while ((e = due(&s->throttled, s->now))) {
        place_requeue(s, client_of(e));
    }
    while ((e = due(&s->lingering, s->now))) {
        place_dequeue(s, client_of(e));
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

/* May it not hold for ever?  One that has become wider holds less than it needs. */
static bool must_end(const Sched *s, const SchedClient *c)
{
    return bounded(s, c) || shut_out(s, c) || c->held_width < c->params.width;
}

/* How much room is to be made: for those that wait, or because more hold than fit. */
static int64_t room_needed(const Sched *s)
{
    return contended(s) ? (int64_t)s->waiting_width - s->room : MAX(-s->room, 0);
}

bool sched_grant(Sched *s, uint64_t now, SchedGrant *grant)
{
    SchedClient *c, *first;
    uint64_t slice, cut, most = SCHED_NEVER;

    place_advance(s, now);
    s->round++;
    catch_up(s);
    place_virtual_now(s);
    first = place_best(s, s->capacity);
    c = place_best(s, s->room);
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
    cut = MIN(c->carry, slice / 2);
    c->carry -= cut;
    slice -= cut;
    slice = MIN(slice, most);
    place_dequeue(s, c);
    place_hold(s, c, slice);
    if (contended(s) || must_end(s, c)) {
        c->asked = natural_end(c);
        s->asked++;
    }
    *grant = (SchedGrant){ c, c->opaque, c->asked == SCHED_NEVER ? SCHED_NEVER : slice };
    return true;
}

uint64_t sched_next(const Sched *s, uint64_t now)
{
    const HeapEntry *throttled = heap_top(&s->throttled), *lingering = heap_top(&s->lingering);
    uint64_t next = SCHED_NEVER;

    if (throttled) {
        next = MAX((uint64_t)throttled->key, now);
    }
    if (lingering) {
        next = MIN(next, MAX((uint64_t)lingering->key, now));
    }
    return next;
}

/* When it would leave if it was asked now. */
static uint64_t end_if_asked(const Sched *s, const SchedClient *c)
{
    return MAX(natural_end(c), s->now);
}

/* Does c leave before d if both are asked, or is it the one who had more? */
static bool leaves_first(const Sched *s, const SchedClient *c, const SchedClient *d)
{
    uint64_t c_end = end_if_asked(s, c), d_end = end_if_asked(s, d);

    return c_end != d_end ? c_end < d_end : c->v > d->v;
}

/* The holder to ask, of those that nobody asked: whoever of all is to leave first, as far as room is needed.
 */
static SchedClient *to_ask(const Sched *s, int64_t needed)
{
    SchedClient *found = NULL;

    for (guint i = 0; i < heap_size(&s->holding); i++) {
        SchedClient *c = client_of(heap_at(&s->holding, i));

        if (c->asked == SCHED_NEVER && must_end(s, c)) {
            return c;
        }
        if (c->asked == SCHED_NEVER && (!found || leaves_first(s, c, found))) {
            found = c;
        }
    }
    for (guint i = 0; found && i < heap_size(&s->holding); i++) {
        const SchedClient *c = client_of(heap_at(&s->holding, i));

        if (c->asked <= end_if_asked(s, found)) {
            needed -= c->held_width;
        }
    }
    return needed > 0 ? found : NULL;
}

/* One that was asked for somebody who waits no more. */
static SchedClient *to_keep(const Sched *s)
{
    for (guint i = 0; i < heap_size(&s->holding); i++) {
        SchedClient *c = client_of(heap_at(&s->holding, i));

        if (c->asked != SCHED_NEVER && !must_end(s, c)) {
            return c;
        }
    }
    return NULL;
}

bool sched_preempt(Sched *s, uint64_t now, SchedClient **holder, uint64_t *end)
{
    SchedClient *c = NULL;

    place_advance(s, now);
    if (s->asked < heap_size(&s->holding)) {
        c = to_ask(s, room_needed(s));
    }
    if (c) {
        c->asked = end_if_asked(s, c);
        s->asked++;
    } else if (s->asked && !room_needed(s) && (c = to_keep(s))) {
        c->asked = SCHED_NEVER;
        s->asked--;
    } else {
        return false;
    }
    *holder = c;
    *end = c->asked;
    return true;
}

void sched_charge(Sched *s, SchedClient *c, uint64_t used_ns, uint64_t now)
{
    uint64_t own = used_ns;

    place_advance(s, now);
    refresh(s, c);
    c->used = add_sat(c->used, used_ns);
    allowance_use(&c->allowance, used_ns);
    if (c->state != HOLDING) {
        c->v += virtual_ns(used_ns, weight(s, c));
        place_requeue(s, c);
        return;
    }
    if (s->now - c->charged > s->contended - c->charged_contended) {
        own = MIN(used_ns, gpu_ns(s, c->held_width, s->contended - c->charged_contended));
    } else if (s->now == c->charged && !contended(s)) {
        own = 0;
    }
    c->charged = s->now;
    c->charged_contended = s->contended;
    c->v += virtual_ns(own, weight(s, c));
    heap_rekey(&s->holding, &c->place, c->v);
    if (!s->waiting_width) { /* else it was before somebody came, who starts where this one stands */
        s->lift += virtual_ns(used_ns - own, s->holding_weight);
        place_virtual_now(s);
    }
}

void sched_return(Sched *s, SchedClient *c, uint64_t now)
{
    place_advance(s, now);
    if (c->state == HOLDING) {
        place_let_go(s, c);
        place_linger(s, c);
    }
}
