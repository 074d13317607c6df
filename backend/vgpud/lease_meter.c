/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Three figures tell of the same work, each at its own time: the lease is seen
 * to come back first, the claim is written a moment later, the kernel counts
 * the CPU time of a thread at its next tick.  The larger of them, moment by
 * moment, would count one piece of work twice.  So each has an account of what
 * is due by it; the larger is charged, and taken off all three.  An account
 * may be overdrawn by CREDIT, what figures of the same work may be late by;
 * that of the time held never, because we see that one ourselves when it
 * happens, and it is the one that others waited for.  CPU time of processes
 * that are not known yet is later than that: until it comes the account may be
 * overdrawn by all that is charged meanwhile.
 *
 * A rasteriser's threads wait for each other, now more, now less, so that time
 * held is a poor measure of what two VMs had of a software GPU: for the same work
 * one is at times charged a tenth more than the other.  So CPU time excuses twice as
 * much of the time held, and half of that at most: who keeps half of its CPUs at
 * work is charged for what they did, who keeps less of them, down to a quarter, for
 * half of what it held, and who does nothing with them for all of it.  Small scenes
 * leave half of two CPUs idle.  Were CPU time to excuse no more than itself, who did
 * a little less than half would pay more for it than who did half, have fewer turns
 * for that, and fall behind by twice what it did less.
 *
 * What of the time held the host's other programs had (lease_taken.c) comes off
 * the time held next; CPU time is charged whatever that says.
 *
 * A claim is whatever the renderer likes.  One that goes back is not heard, one
 * that jumps ahead counts no more than the time that has passed, or what was
 * charged without a claim before.  While work
 * goes on its claim is not written yet: then the time since it began stands
 * for it, and is taken off what is claimed later.
 */
#include "lease_meter.h"

#define CREDIT (20 * 1000 * 1000) /* ns: two ticks of the slowest kernel clock */

#define UNUSED_MOST (200 * 1000 * 1000ull) /* ns: longer ago others have had nothing */

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#define EXCUSES 2 /* times itself */

/* CPU time excuses a part of the time held, now or, as it is known later, next time. */
static uint64_t excused(LeaseMeter *m, uint64_t held, uint64_t own)
{
    uint64_t most = max64(m->excuse, CREDIT + m->open), all = m->excuse + EXCUSES * own,
             back = min64(all, held / 2);

    m->excuse = min64(all - back, most);
    return back;
}

/* Time of a lease of that width as GPU time. */
static uint64_t gpu_time(const LeaseSample *s, uint64_t ns)
{
    __extension__ unsigned __int128 wide = ns;

    return (uint64_t)(wide * s->width / s->capacity);
}

static uint64_t claimed(LeaseMeter *m, const LeaseSample *s)
{
    uint64_t passed = s->now - m->at, used = 0, paid;
    uint64_t most = gpu_time(s, passed) + (uint64_t)(m->claim_due < 0 ? -m->claim_due : 0);

    if (s->claim > m->claim) {
        used = s->claim - m->claim;
        m->claim = s->claim;
        paid = min64(used, m->advance);
        used -= paid;
        m->advance = s->busy_since ? m->advance - paid : 0;
    } else if (s->busy_since && s->busy_since < s->now) {
        used = s->busy_since > m->at ? s->now - s->busy_since : passed;
        m->advance += used;
    } else if (!s->busy_since) {
        m->advance = min64(m->advance, CREDIT);
    }
    return min64(gpu_time(s, used), most);
}

void lease_meter_start(LeaseMeter *m, const LeaseSample *s)
{
    *m = (LeaseMeter){ .at = s->now, .claim = s->claim, .cpu = s->cpu };
}

uint64_t lease_meter_charge(LeaseMeter *m, const LeaseSample *s)
{
    int64_t held_due = (int64_t)gpu_time(s, min64(s->held, s->now - m->at));
    int64_t charge, credit;
    uint64_t own = 0, back = 0;

    m->claim_due += (int64_t)claimed(m, s);
    if (s->cpu_counts && s->cpu > m->cpu) {
        own = (s->cpu - m->cpu) / s->capacity;
        m->cpu_due += (int64_t)own;
        m->cpu = s->cpu;
    }
    if (s->cpu_counts) {
        held_due -= (int64_t)excused(m, (uint64_t)held_due, own);
        back = min64(m->refund, (uint64_t)held_due);
        m->refund -= back;
        held_due -= (int64_t)back;
    }
    m->at = s->now;

    charge = s->cpu_counts ? m->cpu_due : m->claim_due;
    charge = charge > held_due ? charge : held_due;
    charge = charge > 0 ? charge : 0;
    if (s->cpu_counts) {
        m->unused += (uint64_t)charge + back;
        m->unused -= min64(m->unused, own);
    }
    m->open = s->cpu_late ? m->open + charge : 0;
    credit = CREDIT + m->open;
    m->cpu_due = m->cpu_due - charge > -credit ? m->cpu_due - charge : -credit;
    m->claim_due -= charge;
    if (m->claim_due < -CREDIT) {
        m->lied += (uint64_t)(-CREDIT - m->claim_due);
        m->claim_due = -CREDIT;
    } else if (m->claim_due > CREDIT) { /* only where it does not count */
        m->claim_due = CREDIT;
    }
    return (uint64_t)charge;
}

/* The kernel tells of a wait when it is over: what nobody has taken yet may have been all the same. */
uint64_t lease_meter_taken(LeaseMeter *m, uint64_t ns)
{
    uint64_t back = min64(ns, m->unused);

    m->refund += back;
    m->unused = min64(m->unused - back, UNUSED_MOST);
    return back;
}

/*
 * What was charged for time that was held and not used is no credit for later:
 * more than the two figures are apart by their own times is forgotten.
 */
uint64_t lease_driver_excess(LeaseDriver *d, uint64_t seen, uint64_t charged)
{
    uint64_t excess;

    if (d->begun) {
        d->due += (int64_t)(seen - d->seen) - (int64_t)(charged - d->charged);
    }
    d->begun = true;
    d->due = d->due > -CREDIT ? d->due : -CREDIT;
    excess = d->due > CREDIT ? (uint64_t)(d->due - CREDIT) : 0;
    d->due -= (int64_t)excess;
    d->seen = seen;
    d->charged = charged + excess;
    return excess;
}
