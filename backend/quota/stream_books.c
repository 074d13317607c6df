/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  A stream is either taken whole or not at all, but its
 * commands build on each other (create a sub-context, switch to it, create
 * objects there).  So the walk changes the books as it goes and writes down in
 * a journal what stood there before; when the stream is refused the journal is
 * played backwards.
 *
 * An Object or SubContext that a change removed lives on in its journal entry
 * until the stream is kept.  Memory on our side is bounded by the caps of
 * stream.h: objects per sub-context, and changes per stream.
 *
 * What the stream creates is summed in asked, what it destroys in freed: the
 * two are never set off against each other, because within the stream the
 * first may come before the second.
 */
#include "stream_books.h"

typedef enum ChangeKind {
    CHANGE_OBJECT,    /* handle of sub held old (NULL: nothing) */
    CHANGE_SUB_NEW,   /* sub was made */
    CHANGE_SUB_GONE,  /* sub was removed */
    CHANGE_CURRENT,   /* sub was the current one */
    CHANGE_UNDER_WAY, /* shader_type of sub was old_shader */
} ChangeKind;

typedef struct Change {
    ChangeKind kind;
    uint32_t handle; /* or shader type */
    SubContext *sub;
    union {
        Object *old;
        LongShader old_shader;
    };
} Change;

SubContext *sub_context_new(uint32_t id)
{
    SubContext *sub = g_new0(SubContext, 1);

    sub->id = id;
    sub->objects = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    sub->bytes = STREAM_SUBCONTEXT_BYTES;
    return sub;
}

void sub_context_free(SubContext *sub)
{
    g_hash_table_destroy(sub->objects);
    g_free(sub);
}

/* Puts an object (NULL: none) at a handle and hands back what was there. */
static Object *exchange_object(SubContext *sub, uint32_t handle, Object *object)
{
    gpointer key = GUINT_TO_POINTER(handle);
    gpointer old = NULL;

    if (g_hash_table_steal_extended(sub->objects, key, NULL, &old)) {
        sub->bytes -= ((Object *)old)->bytes;
        sub->shaders -= ((Object *)old)->type == VIRGL_OBJECT_SHADER;
    }
    if (object) {
        g_hash_table_insert(sub->objects, key, object);
        sub->bytes += object->bytes;
        sub->shaders += object->type == VIRGL_OBJECT_SHADER;
    }
    return old;
}

/* False: the stream changes more than any honest one. */
static bool note(StreamContext *ctx, Change change, const char **why)
{
    if (ctx->journal->len >= STREAM_CHANGES_MAX) {
        *why = "more changes in one stream than allowed";
        return false;
    }
    g_array_append_val(ctx->journal, change);
    return true;
}

void books_open(StreamContext *ctx)
{
    ctx->journal = g_array_new(FALSE, FALSE, sizeof(Change));
}

void books_begin(StreamContext *ctx)
{
    g_array_set_size(ctx->journal, 0);
    g_array_set_size(ctx->memory_info, 0);
    ctx->next_memory_info = 0;
    ctx->asked = 0;
    ctx->asked_blobs = 0;
    ctx->freed = 0;
    ctx->new_subs = 0;
    ctx->gone_subs = 0;
    ctx->old_blobs = ctx->blobs->len;
}

/* A journal that grew large once is not kept for the context's life. */
static void empty_journal(StreamContext *ctx)
{
    if (ctx->journal->len > 1024) {
        g_array_free(ctx->journal, TRUE);
        books_open(ctx);
    } else {
        g_array_set_size(ctx->journal, 0);
    }
}

void books_keep(StreamContext *ctx)
{
    guint i;

    for (i = 0; i < ctx->journal->len; i++) {
        Change *c = &g_array_index(ctx->journal, Change, i);

        if (c->kind == CHANGE_OBJECT) {
            g_free(c->old);
        } else if (c->kind == CHANGE_SUB_GONE) {
            sub_context_free(c->sub);
        }
    }
    empty_journal(ctx);
}

void books_take_back(StreamContext *ctx)
{
    guint i;

    for (i = ctx->journal->len; i-- > 0;) {
        Change *c = &g_array_index(ctx->journal, Change, i);

        switch (c->kind) {
        case CHANGE_OBJECT:
            g_free(exchange_object(c->sub, c->handle, c->old));
            break;
        case CHANGE_SUB_NEW:
            g_hash_table_remove(ctx->subs, GUINT_TO_POINTER(c->sub->id));
            sub_context_free(c->sub);
            break;
        case CHANGE_SUB_GONE:
            g_hash_table_insert(ctx->subs, GUINT_TO_POINTER(c->sub->id), c->sub);
            break;
        case CHANGE_CURRENT:
            ctx->current = c->sub;
            break;
        case CHANGE_UNDER_WAY:
            c->sub->under_way[c->handle] = c->old_shader;
            break;
        }
    }
    empty_journal(ctx);
    g_array_set_size(ctx->blobs, ctx->old_blobs);
    g_array_set_size(ctx->memory_info, 0);
    ctx->limits->subcontexts -= ctx->new_subs;
    ctx->counted -= ctx->new_subs;
    ctx->asked = 0;
    ctx->asked_blobs = 0;
    ctx->freed = 0;
    ctx->new_subs = 0;
    ctx->gone_subs = 0;
}

static bool make_current(StreamContext *ctx, SubContext *sub, const char **why)
{
    if (ctx->current == sub) {
        return true;
    }
    if (!note(ctx, (Change){ .kind = CHANGE_CURRENT, .sub = ctx->current }, why)) {
        return false;
    }
    ctx->current = sub;
    return true;
}

/* As virglrenderer: one that exists stays as it is and does not become current. */
bool books_create_sub(StreamContext *ctx, uint32_t id, const char **why)
{
    SubContext *sub;

    if (g_hash_table_contains(ctx->subs, GUINT_TO_POINTER(id))) {
        return true;
    }
    if (ctx->limits->max_subcontexts && ctx->limits->subcontexts >= ctx->limits->max_subcontexts) {
        *why = "more sub-contexts than the profile's max-contexts";
        return false;
    }
    sub = sub_context_new(id);
    if (!note(ctx, (Change){ .kind = CHANGE_SUB_NEW, .sub = sub }, why)) {
        sub_context_free(sub);
        return false;
    }
    g_hash_table_insert(ctx->subs, GUINT_TO_POINTER(id), sub);
    ctx->limits->subcontexts++;
    ctx->counted++;
    ctx->new_subs++;
    ctx->asked += STREAM_SUBCONTEXT_BYTES;
    return make_current(ctx, sub, why);
}

/* As virglrenderer: one that does not exist leaves the current one current. */
bool books_set_sub(StreamContext *ctx, uint32_t id, const char **why)
{
    SubContext *sub = g_hash_table_lookup(ctx->subs, GUINT_TO_POINTER(id));

    return sub ? make_current(ctx, sub, why) : true;
}

/* As virglrenderer: 0 is never destroyed, and takes over when the current one is. */
bool books_destroy_sub(StreamContext *ctx, uint32_t id, const char **why)
{
    SubContext *sub = id ? g_hash_table_lookup(ctx->subs, GUINT_TO_POINTER(id)) : NULL;

    if (!sub) {
        return true;
    }
    if (ctx->current == sub && !make_current(ctx, g_hash_table_lookup(ctx->subs, GUINT_TO_POINTER(0)), why)) {
        return false;
    }
    if (!note(ctx, (Change){ .kind = CHANGE_SUB_GONE, .sub = sub }, why)) {
        return false;
    }
    g_hash_table_remove(ctx->subs, GUINT_TO_POINTER(id));
    ctx->gone_subs++;
    ctx->freed += sub->bytes;
    return true;
}

/*
 * virglrenderer's buffer for the text keeps the shader alive whatever becomes
 * of its handle: then its refund would come too early.
 */
static bool is_under_way(const SubContext *sub, uint32_t handle)
{
    unsigned int i;

    for (i = 0; i < PIPE_SHADER_TYPES; i++) {
        if (sub->under_way[i].handle == handle) {
            return true;
        }
    }
    return false;
}

/* As virglrenderer: a handle that is taken gets the new object, the old one is freed. */
bool books_create_object(StreamContext *ctx, uint32_t handle, uint32_t type, uint32_t bytes, const char **why)
{
    SubContext *sub = ctx->current;
    Object *object, *old;

    if (is_under_way(sub, handle)) {
        *why = "the handle of a shader whose text is not complete";
        return false;
    }
    if (g_hash_table_size(sub->objects) >= STREAM_OBJECTS_MAX) {
        *why = "more objects in one sub-context than allowed";
        return false;
    }
    if (type == VIRGL_OBJECT_SHADER && sub->shaders >= STREAM_SHADERS_MAX) {
        *why = "more shaders in one sub-context than allowed";
        return false;
    }
    old = g_hash_table_lookup(sub->objects, GUINT_TO_POINTER(handle));
    if (!note(ctx, (Change){ .kind = CHANGE_OBJECT, .sub = sub, .handle = handle, .old = old }, why)) {
        return false;
    }
    object = g_new(Object, 1);
    *object = (Object){ .type = type, .bytes = bytes };
    exchange_object(sub, handle, object);
    ctx->asked += bytes;
    if (old) {
        ctx->freed += old->bytes;
    }
    return true;
}

bool books_destroy_object(StreamContext *ctx, uint32_t handle, const char **why)
{
    SubContext *sub = ctx->current;
    Object *old = g_hash_table_lookup(sub->objects, GUINT_TO_POINTER(handle));

    if (!old) {
        return true;
    }
    if (is_under_way(sub, handle)) {
        *why = "the handle of a shader whose text is not complete";
        return false;
    }
    if (!note(ctx, (Change){ .kind = CHANGE_OBJECT, .sub = sub, .handle = handle, .old = old }, why)) {
        return false;
    }
    exchange_object(sub, handle, NULL);
    ctx->freed += old->bytes;
    return true;
}

bool books_set_under_way(StreamContext *ctx, uint32_t shader_type, LongShader now, const char **why)
{
    SubContext *sub = ctx->current;

    if (!note(ctx,
              (Change){ .kind = CHANGE_UNDER_WAY,
                        .sub = sub,
                        .handle = shader_type,
                        .old_shader = sub->under_way[shader_type] },
              why)) {
        return false;
    }
    sub->under_way[shader_type] = now;
    return true;
}

bool books_create_blob(StreamContext *ctx, uint32_t id, uint64_t bytes, const char **why)
{
    Blob blob = { .id = id, .bytes = bytes };
    uint64_t sum;

    if (ctx->blobs->len >= STREAM_BLOBS_MAX) {
        *why = "more resources made in streams and not taken than allowed";
        return false;
    }
    if (__builtin_add_overflow(ctx->asked_blobs, bytes, &sum)) {
        *why = "resources of more bytes than can be counted";
        return false;
    }
    g_array_append_val(ctx->blobs, blob);
    ctx->asked_blobs = sum;
    return true;
}
