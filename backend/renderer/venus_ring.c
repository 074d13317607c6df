/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  A guest's Mesa hands its commands over in a ring in shared
 * memory.  When it makes one it says how often it wants a sign of life, a bit in
 * the ring's status, which a thread of the context process sets.  Who waits for
 * the ring takes the bit away, looks for it again some 3.5 s later, and aborts
 * the program when it is not there.  Mesa 25 asks for one every 3 s: so on a host
 * where that thread gets its CPU half a second late, programs die that only had
 * to wait (seen with four VMs on two CPUs, in two of them at once).
 *
 * What the guest names is the longest time between two signs.  So the request is
 * shortened on its way: the thread then may be late by three seconds.  A process
 * that is dead gives no sign at either rate.  Once it runs we give signs of our own
 * (venus_signs.c).
 *
 * Such a command comes alone.  One that is not exactly as Mesa makes it is left as
 * it is: the context process judges it.
 */
#include "venus.h"

/* Of the venus protocol. */
enum {
    COMMAND_CREATE_RING = 188,
    COMMAND_DESTROY_RING = 189,
    RING_CREATE_INFO = 1000384000,
    RING_MONITOR_INFO = 1000384006,
    RING_PRIORITY_INFO = 1000384007,
};

/* In words: type, flags, ring, "there is a structure". */
#define COMMAND_WORDS 6
/* flags, resource, and ten numbers of 64 bits */
#define CREATE_INFO_WORDS 22
/* Of those: where in the resource it begins, and where in it are the head and the status. */
enum { OFFSET = 2, HEAD = 8, STATUS = 12 };
/* Of those that can be chained to it, each of one word. */
#define CHAIN_MAX 2

#define PERIOD_US 250000

/* Reads of what is not there are 0. */
static uint32_t word_at(const uint32_t *words, uint32_t count, uint32_t i)
{
    return i < count ? words[i] : 0;
}

static bool there_is_one(const uint32_t *words, uint32_t count, uint32_t i)
{
    return word_at(words, count, i) == 1 && word_at(words, count, i + 1) == 0;
}

static uint64_t number(const uint32_t *words)
{
    return words[0] | (uint64_t)words[1] << 32;
}

static bool take(const uint32_t *id, const uint32_t *info, VenusRing *ring)
{
    uint64_t begin = number(info + OFFSET);

    ring->id = number(id);
    ring->resource_id = info[1];
    return !__builtin_add_overflow(begin, number(info + HEAD), &ring->head) &&
           !__builtin_add_overflow(begin, number(info + STATUS), &ring->status);
}

bool venus_ring_hasten(uint32_t *words, uint32_t count, VenusRing *ring)
{
    bool watched = false;
    uint32_t types[CHAIN_MAX], n = 0, at = COMMAND_WORDS + 1;

    if (word_at(words, count, 0) != COMMAND_CREATE_RING || !there_is_one(words, count, 4) ||
        word_at(words, count, COMMAND_WORDS) != RING_CREATE_INFO) {
        return false;
    }
    /* first the types, then what they hold, the last one's first */
    while (n < CHAIN_MAX && there_is_one(words, count, at)) {
        types[n++] = word_at(words, count, at + 2);
        at += 3;
    }
    at += 2; /* the end of the chain */
    if (count != at + n + CREATE_INFO_WORDS) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *held = &words[at + n - 1 - i];

        if (types[i] == RING_MONITOR_INFO) {
            watched = true;
            *held = *held > PERIOD_US ? PERIOD_US : *held;
        } else if (types[i] != RING_PRIORITY_INFO) {
            return false;
        }
    }
    return watched && take(&words[2], &words[at + n], ring);
}

bool venus_ring_ends(const uint32_t *words, uint32_t count, const VenusRing *ring)
{
    return count == 4 && words[0] == COMMAND_DESTROY_RING && number(&words[2]) == ring->id;
}
