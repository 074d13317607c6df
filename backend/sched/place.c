/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a client is, and virtual time. */
#include "sched_private.h"

void place_advance(Sched *s, uint64_t now)
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

SchedClient *place_best(const Sched *s, int64_t width)
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

HeapKey place_virtual_now(Sched *s)
{
    const SchedClient *first = place_best(s, s->capacity);
    const HeapEntry *holding = heap_top(&s->holding);
    HeapKey least = first ? first->v : holding ? holding->key + s->lift : s->virtual_now;

    if (holding) {
        least = MIN(least, holding->key + s->lift);
    }
    for (guint i = 0; i < heap_size(&s->lingering); i++) { /* no more than fit side by side */
        least = MIN(least, client_of(heap_at(&s->lingering, i))->v);
    }
    s->virtual_now = MAX(s->virtual_now, least);
    return s->virtual_now;
}

void place_wake(const Sched *s, SchedClient *c)
{
    int quanta = c->params.priority == SCHED_PRIORITY_HIGH     ? 2
                 : c->params.priority == SCHED_PRIORITY_NORMAL ? 1
                                                               : 0;

    c->v = MAX(c->v, s->virtual_now - quanta * virtual_quantum(s, c));
}

void place_enqueue(Sched *s, SchedClient *c)
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

void place_dequeue(Sched *s, SchedClient *c)
{
    if (c->state == WAITING) {
        heap_remove(&s->waiting[c->params.width - 1], &c->place);
        s->waiting_width -= c->params.width;
    } else if (c->state == THROTTLED) {
        heap_remove(&s->throttled, &c->place);
    } else if (c->state == LINGERING) { /* the GPU was kept idle for it: that is its turn too */
        heap_remove(&s->lingering, &c->place);
        s->room += c->held_width;
        c->v += virtual_ns(gpu_ns(s, c->held_width, s->now - c->left_at), weight(s, c));
    }
    c->state = ASLEEP;
}

void place_requeue(Sched *s, SchedClient *c)
{
    if (waits(c)) {
        refresh(s, c);
        if (c->state != WAITING) { /* the others have gone on */
            place_wake(s, c);
        }
        place_dequeue(s, c);
        place_enqueue(s, c);
    }
}

void place_hold(Sched *s, SchedClient *c, uint64_t slice)
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

void place_let_go(Sched *s, SchedClient *c)
{
    uint64_t quantum = sched_quantum(s, c);

    if (c->asked != SCHED_NEVER) {
        if (s->now > c->asked) {
            uint64_t over = s->now - c->asked;

            c->overshoot = add_sat(c->overshoot, gpu_ns(s, c->held_width, over));
            c->carry = (c->carry + over) % quantum;
        }
        s->asked--;
    }
    refresh(s, c);
    heap_remove(&s->holding, &c->place);
    c->v += s->lift;
    s->room += c->held_width;
    s->holding_weight -= weight(s, c);
    c->state = ASLEEP;
    c->left = s->round;
    c->left_at = s->now;
}

void place_linger(Sched *s, SchedClient *c)
{
    const SchedClient *first = place_best(s, s->capacity);
    uint64_t held = s->now - c->granted;

    if (!first || c->v >= first->v || c->gap > MIN(LINGER_MAX, held / 4) ||
        (bounded(s, c) && ready_at(s, c) > s->now)) {
        return;
    }
    c->state = LINGERING;
    c->held_width = c->params.width;
    s->room -= c->held_width;
    heap_push(&s->lingering, &c->place, (HeapKey)s->now + MAX(2 * c->gap, LINGER_LEAST));
}
