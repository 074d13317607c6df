/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "heap.h"

void heap_init(Heap *h)
{
    *h = (Heap){ .entries = g_ptr_array_new() };
}

void heap_clear(Heap *h)
{
    g_clear_pointer(&h->entries, g_ptr_array_unref);
}

static bool before(const HeapEntry *a, const HeapEntry *b)
{
    return a->key != b->key ? a->key < b->key : a->turn < b->turn;
}

static void put(Heap *h, guint i, HeapEntry *e)
{
    h->entries->pdata[i] = e;
    e->index = i;
    h->steps++;
}

static void sift_up(Heap *h, HeapEntry *e)
{
    guint i = e->index;

    while (i && before(e, heap_at(h, (i - 1) / 2))) {
        put(h, i, heap_at(h, (i - 1) / 2));
        i = (i - 1) / 2;
    }
    put(h, i, e);
}

static void sift_down(Heap *h, HeapEntry *e)
{
    guint i = e->index;

    for (guint child = 2 * i + 1; child < heap_size(h); child = 2 * i + 1) {
        if (child + 1 < heap_size(h) && before(heap_at(h, child + 1), heap_at(h, child))) {
            child++;
        }
        if (!before(heap_at(h, child), e)) {
            break;
        }
        put(h, i, heap_at(h, child));
        i = child;
    }
    put(h, i, e);
}

void heap_push(Heap *h, HeapEntry *e, HeapKey key)
{
    e->key = key;
    e->turn = h->turns++;
    e->index = heap_size(h);
    g_ptr_array_add(h->entries, e);
    sift_up(h, e);
}

void heap_remove(Heap *h, HeapEntry *e)
{
    HeapEntry *last = heap_at(h, heap_size(h) - 1);

    g_assert(heap_at(h, e->index) == e);
    g_ptr_array_set_size(h->entries, (gint)heap_size(h) - 1);
    if (last != e) {
        put(h, e->index, last);
        sift_up(h, last);
        sift_down(h, last);
    }
}

void heap_rekey(Heap *h, HeapEntry *e, HeapKey key)
{
    g_assert(heap_at(h, e->index) == e);
    e->key = key;
    sift_up(h, e);
    sift_down(h, e);
}
