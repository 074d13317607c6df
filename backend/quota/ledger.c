/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  used is the only word that decides: a charge reads it,
 * works out the sum with overflow checked, and swaps the sum in only if nobody
 * moved it meanwhile, so that two threads can never both take the last bytes.
 * limit may change between the look and the swap; a charge admitted under the
 * limit of a moment ago is as good as one that came a moment earlier.
 *
 * With a statistics page both words are there: vgpud changes the limit, and the
 * renderer and the Vulkan processes of its VM charge the same used.  Who could
 * write another figure there is one of these processes and could as well leave
 * the ledger alone: vgpud watches from outside.  The other figures there are
 * for readers only.
 *
 * own is what the process that keeps the ledger has charged for itself, counted
 * after the charge and before the refund: a bound for what others' claims can
 * take away, and what is right when they are gone.
 */
#include "ledger.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static bool swap(uint64_t *word, uint64_t *old, uint64_t value)
{
    return __atomic_compare_exchange_n(word, old, value, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static uint64_t *used_word(Ledger *l)
{
    return l->stats ? &l->stats->memory_used : &l->used;
}

/* Raises *word to at least value. */
static void raise_to(uint64_t *word, uint64_t value)
{
    uint64_t old = load(word);

    while (old < value && !swap(word, &old, value)) {
    }
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

void ledger_join(Ledger *l, struct vgpu_stats *stats)
{
    *l = (Ledger){ .stats = stats };
}

static bool deny(Ledger *l, uint64_t bytes)
{
    if (l->stats) {
        __atomic_fetch_add(&l->stats->alloc_denied, 1, __ATOMIC_RELAXED);
        vgpu_stats_set(&l->stats->alloc_denied_size, bytes);
    }
    return false;
}

bool ledger_charge_shared(Ledger *l, uint64_t bytes)
{
    uint64_t reserve = bytes <= LEDGER_SMALL_MAX ? LEDGER_RESERVE : 0;
    uint64_t used = ledger_used(l);
    uint64_t sum, ceiling;

    do {
        if (__builtin_add_overflow(ledger_limit(l), reserve, &ceiling)) {
            ceiling = UINT64_MAX;
        }
        if (__builtin_add_overflow(used, bytes, &sum) || sum > ceiling) {
            return deny(l, bytes);
        }
    } while (!swap(used_word(l), &used, sum));
    if (l->stats) {
        raise_to(&l->stats->memory_peak, sum);
    }
    return true;
}

/* Around what changes both words: see ledger_settle_shared. */
static void begin(Ledger *l)
{
    __atomic_fetch_add(&l->begun, 1, __ATOMIC_SEQ_CST);
}

static void end(Ledger *l)
{
    __atomic_fetch_add(&l->ended, 1, __ATOMIC_SEQ_CST);
}

bool ledger_charge(Ledger *l, uint64_t bytes)
{
    bool charged;

    begin(l);
    charged = ledger_charge_shared(l, bytes);
    if (charged) {
        __atomic_fetch_add(&l->own, bytes, __ATOMIC_SEQ_CST);
    }
    end(l);
    return charged;
}

void ledger_carry(Ledger *l, uint64_t bytes)
{
    begin(l);
    __atomic_fetch_add(used_word(l), bytes, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&l->own, bytes, __ATOMIC_SEQ_CST);
    end(l);
}

/* Books that wrapped would refuse this VM for ever: they end at floor. */
static void take_off(Ledger *l, uint64_t *word, uint64_t bytes, uint64_t floor)
{
    uint64_t old = load(word), rest;
    bool fault;

    do {
        fault = old < floor || bytes > old - floor;
        rest = !fault ? old - bytes : old < floor ? old : floor;
    } while (!swap(word, &old, rest));
    /* A bug of ours, or somebody scribbled on the page: said once. */
    if (fault && __atomic_fetch_add(&l->faults, 1, __ATOMIC_RELAXED) == 0) {
        fprintf(stderr, "vgpu: quota: refund of %" PRIu64 " bytes with only %" PRIu64 " charged\n", bytes,
                old < floor ? 0 : old - floor);
    }
}

void ledger_refund(Ledger *l, uint64_t bytes)
{
    begin(l);
    take_off(l, &l->own, bytes, 0);
    take_off(l, used_word(l), bytes, 0);
    end(l);
}

void ledger_refund_shared(Ledger *l, uint64_t bytes)
{
    take_off(l, used_word(l), bytes, load(&l->own));
}

/* The two words as they are while no other thread is between them.  False: one was. */
static bool look(const Ledger *l, uint64_t *used, uint64_t *own)
{
    uint64_t ended = load(&l->ended), begun = load(&l->begun);

    *used = ledger_used(l);
    *own = load(&l->own);
    return begun == ended && load(&l->begun) == begun;
}

/*
 * A step of another thread that begins after the look has not changed used when
 * the swap succeeds, and changes own and used by the same.
 */
uint64_t ledger_settle_shared(Ledger *l, uint64_t bytes)
{
    uint64_t used, own, right;

    do {
        while (!look(l, &used, &own)) {
            sched_yield();
        }
        if (__builtin_add_overflow(own, bytes, &right)) {
            right = UINT64_MAX;
        }
    } while (
        !__atomic_compare_exchange_n(used_word(l), &used, right, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return used > right ? used - right : right - used;
}

uint64_t ledger_used(const Ledger *l)
{
    return load(l->stats ? &l->stats->memory_used : &l->used);
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
