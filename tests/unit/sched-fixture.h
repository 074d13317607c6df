/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short words for tests of the scheduler. */
#ifndef VGPU_SCHED_FIXTURE_H
#define VGPU_SCHED_FIXTURE_H

#include <glib.h>

#include "sched/sched.h"

#define MS (1000ull * 1000)

static inline SchedClient *add(Sched *s, double share, SchedPriority priority, uint32_t width)
{
    SchedParams p = { .share_ppm = (uint32_t)(share * 1000000 + 0.5), .priority = priority, .width = width };

    return sched_add(s, &p, NULL, 0);
}

/* The slice it is granted at now. */
static inline uint64_t granted(Sched *s, SchedClient *c, uint64_t now)
{
    SchedGrant g;

    g_assert_true(sched_grant(s, now, &g));
    g_assert_true(g.client == c);
    g_assert_true(sched_holds(c));
    g_assert_false(sched_wants(c));
    return g.slice_ns;
}

static inline void assert_none(Sched *s, uint64_t now)
{
    SchedGrant g;

    g_assert_false(sched_grant(s, now, &g));
}

static inline void assert_asked(Sched *s, uint64_t now, SchedClient *c, uint64_t at)
{
    SchedClient *holder = NULL;
    uint64_t end = 0;

    g_assert_true(sched_preempt(s, now, &holder, &end));
    g_assert_true(holder == c);
    g_assert_cmpuint(end, ==, at);
}

static inline void assert_nobody_asked(Sched *s, uint64_t now)
{
    SchedClient *holder;
    uint64_t end;

    g_assert_false(sched_preempt(s, now, &holder, &end));
}

/* It has used all the time it held since, and gives it back, for good or not. */
static inline void back(Sched *s, SchedClient *c, uint64_t used, uint64_t now, bool again)
{
    sched_charge(s, c, used, now);
    sched_return(s, c, now);
    if (again) {
        sched_want(s, c, now);
    }
}

#endif
