/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virgl context with a ledger of its own, and what tests ask of it.
 */
#ifndef VGPU_TESTS_STREAM_FIXTURE_H
#define VGPU_TESTS_STREAM_FIXTURE_H

#include "stream-builder.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define SUB (10752 * KIB) /* one GL context, as measured */

typedef struct Fixture {
    struct vgpu_stats stats;
    Ledger ledger;
    StreamLimits limits;
    StreamContext *ctx;
    Stream s;
    const char *why;
    uint64_t bytes;
} Fixture;

static inline void set_up(Fixture *f, gconstpointer limit)
{
    *f = (Fixture){ 0 };
    ledger_init(&f->ledger, GPOINTER_TO_SIZE(limit), &f->stats);
    f->ctx = stream_context_new(&f->ledger, &f->limits);
    g_assert_nonnull(f->ctx);
}

/* Every test ends here: nothing may stay charged once the context is gone. */
static inline void tear_down(Fixture *f, gconstpointer limit)
{
    uint32_t id;

    while (stream_next_untaken(f->ctx, &id)) {
        g_assert_true(stream_take_blob(f->ctx, id, &f->bytes));
        ledger_refund(&f->ledger, f->bytes);
    }
    stream_context_free(f->ctx);
    stream_clear(&f->s);
    g_assert_cmpuint(ledger_used(&f->ledger), ==, 0);
    g_assert_cmpuint(f->limits.subcontexts, ==, 0);
}

/* Walks what was built, then starts a new stream. */
static inline StreamVerdict walk(Fixture *f)
{
    StreamVerdict v = stream_walk(f->ctx, f->s.dwords, f->s.count, &f->why, &f->bytes);

    g_assert_cmpint(v == STREAM_OK, ==, f->why == NULL);
    f->s.count = 0;
    return v;
}

/* Refused for this reason, with books and ledger as before. */
static inline void assert_invalid(Fixture *f, const char *why)
{
    uint64_t used = ledger_used(&f->ledger);
    uint32_t subs = f->limits.subcontexts;

    g_assert_cmpint(walk(f), ==, STREAM_INVALID);
    g_assert_cmpstr(f->why, ==, why);
    g_assert_cmpuint(ledger_used(&f->ledger), ==, used);
    g_assert_cmpuint(f->limits.subcontexts, ==, subs);
}

static inline void assert_ok(Fixture *f)
{
    g_assert_cmpint(walk(f), ==, STREAM_OK);
    stream_done(f->ctx, true);
}

static inline void assert_used(Fixture *f, uint64_t expected)
{
    g_assert_cmpuint(ledger_used(&f->ledger), ==, expected);
    g_assert_cmpuint(f->stats.memory_used, ==, expected);
}

#endif
