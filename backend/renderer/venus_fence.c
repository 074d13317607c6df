/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  virglrenderer calls back for each fence of a ring, in
 * their order, on a thread of the context's.  When the context is destroyed it
 * frees those that are waiting without a word; when the process has died its
 * thread takes all of them for done after a while.  So each is in a list here
 * too, and is done when it is taken out of that, by whoever comes first.
 *
 * No call of virglrenderer's is made with the lock held: its thread calls back
 * with a lock of its own.
 */
#include "venus.h"

void venus_fences_init(VenusFences *f, void (*done)(void *opaque, uint64_t fence), void *opaque)
{
    *f = (VenusFences){ .done = done, .opaque = opaque };
    g_mutex_init(&f->lock);
    f->contexts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

void venus_fences_finish(VenusFences *f)
{
    g_hash_table_destroy(f->contexts);
    g_mutex_clear(&f->lock);
}

/* Lock held.  NULL: no fence of that context is waiting. */
static GQueue *rings_of(VenusFences *f, uint32_t ctx_id)
{
    return g_hash_table_lookup(f->contexts, GUINT_TO_POINTER(ctx_id));
}

static void add(VenusFences *f, uint32_t ctx_id, uint32_t ring, uint64_t fence)
{
    GQueue *rings;

    g_mutex_lock(&f->lock);
    rings = rings_of(f, ctx_id);
    if (!rings) {
        rings = g_new0(GQueue, VENUS_RINGS);
        g_hash_table_insert(f->contexts, GUINT_TO_POINTER(ctx_id), rings);
    }
    g_queue_push_tail(&rings[ring], GSIZE_TO_POINTER(fence));
    g_mutex_unlock(&f->lock);
}

/* False: it was taken out already. */
static bool take_out(VenusFences *f, uint32_t ctx_id, uint32_t ring, uint64_t fence)
{
    GQueue *rings;
    bool there;

    g_mutex_lock(&f->lock);
    rings = rings_of(f, ctx_id);
    there = rings && ring < VENUS_RINGS && g_queue_remove(&rings[ring], GSIZE_TO_POINTER(fence));
    g_mutex_unlock(&f->lock);
    return there;
}

/* In the list first: the callback may come before virglrenderer returns. */
bool venus_fences_create(VenusFences *f, uint32_t ctx_id, uint32_t ring, uint64_t fence)
{
    add(f, ctx_id, ring, fence);
    if (virgl_renderer_context_create_fence(ctx_id, VIRGL_RENDERER_FENCE_FLAG_MERGEABLE, ring, fence) == 0) {
        return true;
    }
    return !take_out(f, ctx_id, ring, fence);
}

void venus_fences_signal(VenusFences *f, uint32_t ctx_id, uint32_t ring, uint64_t fence)
{
    if (take_out(f, ctx_id, ring, fence)) {
        f->done(f->opaque, fence);
    }
}

void venus_fences_finish_context(VenusFences *f, uint32_t ctx_id)
{
    gpointer rings = NULL;

    g_mutex_lock(&f->lock);
    g_hash_table_steal_extended(f->contexts, GUINT_TO_POINTER(ctx_id), NULL, &rings);
    g_mutex_unlock(&f->lock);
    for (unsigned i = 0; rings && i < VENUS_RINGS; i++) {
        GQueue *q = (GQueue *)rings + i;

        while (!g_queue_is_empty(q)) {
            f->done(f->opaque, GPOINTER_TO_SIZE(g_queue_pop_head(q)));
        }
    }
    g_free(rings);
}
