/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fences: answers that wait for the GPU.
 *
 * A guest driver that sees the fence n of a timeline answered takes all earlier
 * ones of that timeline for done.  So a timeline is a queue: a fence that is
 * done waits for those before it, and the error answer of a fenced command
 * takes its turn like any other.  Timelines do not wait for each other.
 *
 * An answer that waits for something else (QEMU, say) and is not fenced has a
 * timeline of its own: nothing is behind it.
 *
 * Fences are known by an id of ours that is never used twice: an id that a
 * reset dropped is simply not found any more when its callback comes.  The
 * number of them is bounded by the descriptors of the ring.
 */
#include "vhost.h"

#include <linux/virtio_gpu.h>
#include <string.h>

/* Low words of keys that are no ring's (those are 8 bits). */
#define TIMELINE_OWN (1ull << 31)

typedef struct Timeline {
    uint64_t key;
    GQueue fences; /* of Fence, oldest first */
} Timeline;

typedef struct Fence {
    uint64_t id;
    Element *element;
    Timeline *timeline;
    bool done;
} Fence;

static void fence_free(gpointer p)
{
    Fence *f = p;

    if (f->element) {
        element_free(f->element);
    }
    g_free(f);
}

static void timeline_free(gpointer p)
{
    Timeline *t = p;

    g_queue_clear(&t->fences); /* the fences belong to the other table */
    g_free(t);
}

void timeline_init(Vhost *v)
{
    v->fences = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, fence_free);
    v->timelines = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, timeline_free);
}

uint64_t timeline_add(Vhost *v, uint64_t key, Element *e)
{
    Fence *f = g_new0(Fence, 1);
    Timeline *t;
    uint64_t id;

    g_mutex_lock(&v->lock);
    if (e->generation != v->generation) {
        /* Its fence may be one that the renderer's reset swallows: it would stop the timeline. */
        g_mutex_unlock(&v->lock);
        element_free(e);
        g_free(f);
        return 0;
    }
    t = g_hash_table_lookup(v->timelines, &key);
    if (!t) {
        t = g_new0(Timeline, 1);
        t->key = key;
        g_queue_init(&t->fences);
        g_hash_table_insert(v->timelines, &t->key, t);
    }
    id = f->id = ++v->last_fence;
    f->element = e;
    f->timeline = t;
    g_queue_push_tail(&t->fences, f);
    g_hash_table_insert(v->fences, &f->id, f);
    g_mutex_unlock(&v->lock);
    return id;
}

uint64_t timeline_own_key(Vhost *v)
{
    uint32_t n = ++v->last_own & (TIMELINE_OWN - 1);

    return TIMELINE_OWN | n;
}

/* Pushes what is done at the head of t; t goes when it is empty. */
static void timeline_advance(Vhost *v, Timeline *t)
{
    Fence *f;

    while ((f = g_queue_peek_head(&t->fences)) && f->done) {
        g_queue_pop_head(&t->fences);
        queue_push_locked(v, g_steal_pointer(&f->element));
        g_hash_table_remove(v->fences, &f->id);
        if (!(t->key & TIMELINE_OWN)) {
            vgpu_stats_set(&v->stats->fences, vgpu_stats_get(&v->stats->fences) + 1);
        }
    }
    if (g_queue_is_empty(&t->fences)) {
        g_hash_table_remove(v->timelines, &t->key);
    }
}

/* The answer becomes an error. */
static void element_fail(Element *e, uint32_t code)
{
    uint32_t size = MIN(e->answer_size, (uint32_t)sizeof(struct virtio_gpu_ctrl_hdr));

    if (size < sizeof(struct virtio_gpu_ctrl_hdr)) {
        return; /* nobody asked for one */
    }
    memcpy(e->answer ? e->answer : e->inline_answer, &code, sizeof(code)); /* hdr.type is first */
    e->answer_size = size;
}

void timeline_done(Vhost *v, uint64_t fence)
{
    timeline_done_as(v, fence, 0);
}

void timeline_done_as(Vhost *v, uint64_t fence, uint32_t code)
{
    Fence *f;

    g_mutex_lock(&v->lock);
    f = g_hash_table_lookup(v->fences, &fence);
    if (f && !f->done) {
        f->done = true;
        if (code) {
            element_fail(f->element, code);
        }
        timeline_advance(v, f->timeline);
        queue_notify_locked(v);
    }
    g_mutex_unlock(&v->lock);
}

void timeline_finish_context(Vhost *v, uint32_t ctx)
{
    g_autoptr(GList) all = NULL;

    g_mutex_lock(&v->lock);
    all = g_hash_table_get_values(v->timelines);
    for (GList *l = all; l; l = l->next) {
        Timeline *t = l->data;

        if (t->key >> 32 != ctx) {
            continue;
        }
        for (GList *i = t->fences.head; i; i = i->next) {
            ((Fence *)i->data)->done = true;
        }
        timeline_advance(v, t);
    }
    queue_notify_locked(v);
    g_mutex_unlock(&v->lock);
}

void timeline_drop_all(Vhost *v)
{
    g_hash_table_remove_all(v->timelines);
    g_hash_table_remove_all(v->fences);
}
