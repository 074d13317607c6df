/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A binary min-heap of entries that lie in the caller's structs and know their
 * place: push, remove and top without a search.  Equal keys come out in the
 * order they were pushed.
 */
#ifndef VGPU_SCHED_HEAP_H
#define VGPU_SCHED_HEAP_H

#include <glib.h>
#include <stdbool.h>

/* Time and virtual time in one: signed, and too wide to wrap. */
__extension__ typedef __int128 HeapKey;

typedef struct HeapEntry {
    HeapKey key; /* changed only outside of a heap, or by heap_rekey */
    guint64 turn;
    guint index; /* in the heap it is in */
} HeapEntry;

typedef struct Heap {
    GPtrArray *entries;
    guint64 turns;
    guint64 steps; /* entries moved, ever: for tests of how that grows */
} Heap;

void heap_init(Heap *h);
void heap_clear(Heap *h); /* the entries are the caller's */

static inline guint heap_size(const Heap *h)
{
    return h->entries->len;
}

/* In no order, but the least comes first; i < heap_size(). */
static inline HeapEntry *heap_at(const Heap *h, guint i)
{
    return g_ptr_array_index(h->entries, i);
}

/* NULL when empty. */
static inline HeapEntry *heap_top(const Heap *h)
{
    return heap_size(h) ? heap_at(h, 0) : NULL;
}

void heap_push(Heap *h, HeapEntry *e, HeapKey key);
void heap_remove(Heap *h, HeapEntry *e);
void heap_rekey(Heap *h, HeapEntry *e, HeapKey key);

#endif
