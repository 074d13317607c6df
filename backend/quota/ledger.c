/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  used is the only word that decides: a charge reads it,
 * works out the sum with overflow checked, and swaps the sum in only if nobody
 * moved it meanwhile, so that two threads can never both take the last bytes.
 * limit may change between the look and the swap; a charge admitted under the
 * limit of a moment ago is as good as one that came a moment earlier.
 *
 * The limit lies in the statistics page, where vgpud changes it.  Nothing else
 * there is read back for a decision: its figures are written after the fact and
 * only for readers.  Who could write another limit there is in this process and
 * could as well leave the ledger alone: vgpud watches from outside.  Each publisher stores what used is at
 * that instant and looks again afterwards, so that the last one to finish
 * leaves the right figure behind.
 */
#include "ledger.h"

#include <glib.h>
#include <inttypes.h>

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* Raises *word to at least value. */
static void raise_to(uint64_t *word, uint64_t value)
{
    uint64_t old = vgpu_stats_get(word);

    while (old < value &&
           !__atomic_compare_exchange_n(word, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* Two publishers may overtake each other: whoever stored an old figure stores again. */
static void publish(Ledger *l)
{
    uint64_t used;

    if (!l->stats) {
        return;
    }
    do {
        used = load(&l->used);
        __atomic_store_n(&l->stats->memory_used, used, __ATOMIC_SEQ_CST);
    } while (load(&l->used) != used);
}

void ledger_init(Ledger *l, uint64_t limit, struct vgpu_stats *stats)
{
    *l = (Ledger){ .limit = limit, .stats = stats };
    if (stats) {
        if (!vgpu_stats_get(&stats->memory_limit)) {
            vgpu_stats_set(&stats->memory_limit, limit);
        }
        vgpu_stats_set(&stats->memory_used, 0);
        vgpu_stats_set(&stats->memory_peak, 0);
        vgpu_stats_set(&stats->alloc_denied, 0);
        vgpu_stats_set(&stats->alloc_denied_size, 0);
    }
}

static bool deny(Ledger *l, uint64_t bytes)
{
    if (l->stats) {
        __atomic_fetch_add(&l->stats->alloc_denied, 1, __ATOMIC_RELAXED);
        vgpu_stats_set(&l->stats->alloc_denied_size, bytes);
    }
    return false;
}

bool ledger_charge(Ledger *l, uint64_t bytes)
{
    uint64_t reserve = bytes <= LEDGER_SMALL_MAX ? LEDGER_RESERVE : 0;
    uint64_t used = load(&l->used);
    uint64_t sum, ceiling;

    do {
        if (__builtin_add_overflow(ledger_limit(l), reserve, &ceiling)) {
            ceiling = UINT64_MAX;
        }
        if (__builtin_add_overflow(used, bytes, &sum) || sum > ceiling) {
            return deny(l, bytes);
        }
    } while (!__atomic_compare_exchange_n(&l->used, &used, sum, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    if (l->stats) {
        raise_to(&l->stats->memory_peak, sum);
    }
    publish(l);
    return true;
}

void ledger_carry(Ledger *l, uint64_t bytes)
{
    __atomic_fetch_add(&l->used, bytes, __ATOMIC_SEQ_CST);
    publish(l);
}

void ledger_refund(Ledger *l, uint64_t bytes)
{
    uint64_t used = load(&l->used);
    uint64_t rest;

    do {
        if (bytes > used) {
            /* A bug of ours: books that wrapped would refuse this VM for ever. */
            g_critical("quota: refund of %" PRIu64 " bytes with only %" PRIu64 " charged", bytes, used);
            rest = 0;
        } else {
            rest = used - bytes;
        }
    } while (!__atomic_compare_exchange_n(&l->used, &used, rest, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    publish(l);
}

uint64_t ledger_used(const Ledger *l)
{
    return load(&l->used);
}

uint64_t ledger_limit(const Ledger *l)
{
    return load(l->stats ? &l->stats->memory_limit : &l->limit);
}

uint64_t ledger_free(const Ledger *l)
{
    uint64_t limit = ledger_limit(l);
    uint64_t used = ledger_used(l);

    return used < limit ? limit - used : 0;
}

void ledger_set_limit(Ledger *l, uint64_t limit)
{
    __atomic_store_n(l->stats ? &l->stats->memory_limit : &l->limit, limit, __ATOMIC_SEQ_CST);
}
