/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  A virgl context can allocate without any virtio-gpu
 * command, by what it writes into its command stream.  This walk reads the
 * stream with virglrenderer's eyes, keeps the same state (which sub-contexts
 * and objects there are, which one is current) and adds up what it costs.
 *
 *  1. Every header is checked against the table and what is left of the
 *     stream; commands that allocate change the books (stream_books.c).
 *  2. The sum is charged at once.  When it does not fit, or when a command was
 *     refused, the books are put back as they were: nobody saw anything.
 *  3. What the stream destroys stays charged until stream_done() says that
 *     virglrenderer has executed it.  A guest that puts an error in front of
 *     its DESTROY commands gets nothing back.
 *
 * asked cannot overflow: a stream has at most STREAM_CHANGES_MAX changes of a
 * sub-context or a shader's text each.  The sum of the blobs is checked.
 *
 * Left out on purpose: constants and inline data (bounded by a command's
 * length), and what a GL driver allocates for a draw.
 */
#include "stream.h"

#include "size.h"
#include "stream_books.h"
#include "stream_table.h"

StreamContext *stream_context_new(Ledger *ledger, StreamLimits *limits)
{
    StreamContext *ctx;

    if (limits->max_subcontexts && limits->subcontexts >= limits->max_subcontexts) {
        return NULL;
    }
    if (!ledger_charge(ledger, STREAM_SUBCONTEXT_BYTES)) {
        return NULL;
    }
    ctx = g_new0(StreamContext, 1);
    ctx->ledger = ledger;
    ctx->limits = limits;
    ctx->subs = g_hash_table_new(NULL, NULL);
    ctx->current = sub_context_new(0);
    g_hash_table_insert(ctx->subs, GUINT_TO_POINTER(0), ctx->current);
    ctx->blobs = g_array_new(FALSE, FALSE, sizeof(Blob));
    ctx->memory_info = g_array_new(FALSE, FALSE, sizeof(MemoryInfo));
    books_open(ctx);
    ctx->charged = STREAM_SUBCONTEXT_BYTES;
    ctx->counted = 1;
    limits->subcontexts++;
    return ctx;
}

void stream_context_free(StreamContext *ctx)
{
    GHashTableIter iter;
    gpointer sub;

    if (!ctx) {
        return;
    }
    ledger_refund(ctx->ledger, ctx->charged);
    ctx->limits->subcontexts -= ctx->counted;
    g_hash_table_iter_init(&iter, ctx->subs);
    while (g_hash_table_iter_next(&iter, NULL, &sub)) {
        sub_context_free(sub);
    }
    g_hash_table_destroy(ctx->subs);
    g_array_free(ctx->blobs, TRUE);
    g_array_free(ctx->memory_info, TRUE);
    g_array_free(ctx->journal, TRUE);
    g_free(ctx);
}

/*
 * A shader's text: whole in one command, or its full length announced by the
 * first and the rest in continuations.  cmd[0] is the header.
 */
static bool walk_shader(StreamContext *ctx, const uint32_t *cmd, uint32_t length,
                        const StreamObjectRule *rule, const char **why)
{
    uint32_t handle = cmd[1];
    uint32_t type = cmd[2];
    uint32_t offset = cmd[3];
    uint32_t tokens = cmd[4];
    uint32_t outputs = cmd[5];
    uint32_t fields = 5;
    uint32_t here, total;
    LongShader now;

    if (type >= PIPE_SHADER_TYPES) {
        *why = "unknown shader type";
        return false;
    }
    if (tokens > STREAM_TOKENS_MAX) {
        *why = "more tokens in one shader than allowed";
        return false;
    }
    /* A compute shader has its local memory there. */
    if (type != PIPE_SHADER_COMPUTE && outputs) {
        if (outputs > 64 || length < 5 + 4 + 2 * outputs) {
            *why = "a shader's stream outputs do not fit its length";
            return false;
        }
        fields = 5 + 4 + 2 * outputs;
    }
    here = (length - fields) * 4;
    now = ctx->current->under_way[type];

    if (offset & VIRGL_OBJ_SHADER_OFFSET_CONT) {
        if (!now.handle || now.handle != handle || (offset & ~VIRGL_OBJ_SHADER_OFFSET_CONT) != now.received ||
            here > now.total - now.received) {
            *why = "a shader continuation that continues nothing";
            return false;
        }
        now.received += here;
        if (now.received == now.total) {
            now = (LongShader){ 0 };
        }
        return books_set_under_way(ctx, type, now, why);
    }

    if (now.handle) {
        *why = "a new shader while another of its type is not complete";
        return false;
    }
    if (offset == 0 || offset > STREAM_SHADER_TEXT_MAX) {
        *why = "a shader text of length 0, or longer than allowed";
        return false;
    }
    total = (offset + 3) & ~3u;
    if (here > total) {
        *why = "a shader text longer than it says";
        return false;
    }
    if (!books_create_object(ctx, handle, VIRGL_OBJECT_SHADER, rule->bytes + total * STREAM_SHADER_TEXT_SCALE,
                             why)) {
        return false;
    }
    if (here == total) {
        return true;
    }
    now = (LongShader){ .handle = handle, .received = here, .total = total };
    return books_set_under_way(ctx, type, now, why);
}

static bool walk_create_object(StreamContext *ctx, const uint32_t *cmd, uint32_t length, const char **why)
{
    uint32_t type = VIRGL_CMD_OBJECT(cmd[0]);
    const StreamObjectRule *rule = stream_object_rule(type);

    if (!rule) {
        *why = "unknown object type";
        return false;
    }
    if (!stream_length_fits(&rule->length, length)) {
        *why = "an object of the wrong length";
        return false;
    }
    if (cmd[1] == 0) {
        *why = "an object with handle 0";
        return false;
    }
    if (type == VIRGL_OBJECT_SHADER) {
        return walk_shader(ctx, cmd, length, rule, why);
    }
    return books_create_object(ctx, cmd[1], type, rule->bytes, why);
}

static bool walk_resource_create(StreamContext *ctx, const uint32_t *cmd, const char **why)
{
    ResourceShape shape = {
        .target = cmd[1],
        .format = cmd[2],
        .bind = cmd[3],
        .width = cmd[4],
        .height = cmd[5],
        .depth = cmd[6],
        .array_size = cmd[7],
        .last_level = cmd[8],
        .nr_samples = cmd[9],
        .flags = cmd[10],
    };
    uint64_t bytes;

    if (!resource_size(&shape, &bytes)) {
        *why = "a resource of an impossible shape";
        return false;
    }
    if (bytes > INT32_MAX) { /* see walk_transfer */
        *why = "a resource of 2 GiB or more, which virglrenderer does not serve";
        return false;
    }
    return books_create_blob(ctx, cmd[11], bytes, why);
}

static bool walk_memory_info(StreamContext *ctx, const uint32_t *cmd, size_t at, const char **why)
{
    MemoryInfo info = { .at = at, .resource_id = cmd[1] };

    if (ctx->memory_info->len >= STREAM_MEMORY_INFO_MAX) {
        *why = "more GET_MEMORY_INFO in one stream than allowed";
        return false;
    }
    g_array_append_val(ctx->memory_info, info);
    return true;
}

/*
 * virglrenderer 1.1 adds up in 64 bits how far a transfer's strides reach, keeps
 * 32 of them and compares those with the memory there is: 17 layers 256 MiB apart
 * made it read 4 GiB past a stream.  Inline writes and transfers share a layout.
 */
static bool walk_transfer(const uint32_t *cmd, uint32_t offset, const char **why)
{
    uint64_t rows = (uint64_t)cmd[10] * cmd[4];
    uint64_t layers = (uint64_t)cmd[11] * cmd[5];

    if (rows > UINT32_MAX / 4 || layers > UINT32_MAX / 4 || offset > UINT32_MAX / 4) {
        *why = "a transfer whose strides reach past 1 GiB";
        return false;
    }
    return true;
}

/* One command whose length fits both the table and the stream. */
static bool walk_command(StreamContext *ctx, const uint32_t *cmd, uint32_t length, size_t at,
                         const char **why)
{
    switch (VIRGL_CMD_OPCODE(cmd[0])) {
    case VIRGL_CCMD_CREATE_OBJECT:
        return walk_create_object(ctx, cmd, length, why);
    case VIRGL_CCMD_DESTROY_OBJECT:
        return books_destroy_object(ctx, cmd[1], why);
    case VIRGL_CCMD_SET_SUB_CTX:
        return books_set_sub(ctx, cmd[1], why);
    case VIRGL_CCMD_CREATE_SUB_CTX:
        return books_create_sub(ctx, cmd[1], why);
    case VIRGL_CCMD_DESTROY_SUB_CTX:
        return books_destroy_sub(ctx, cmd[1], why);
    case VIRGL_CCMD_PIPE_RESOURCE_CREATE:
        return walk_resource_create(ctx, cmd, why);
    case VIRGL_CCMD_RESOURCE_INLINE_WRITE:
        return walk_transfer(cmd, 0, why);
    case VIRGL_CCMD_TRANSFER3D:
        return walk_transfer(cmd, cmd[12], why);
    case VIRGL_CCMD_COPY_TRANSFER3D:
        return walk_transfer(cmd, cmd[13], why);
    case VIRGL_CCMD_GET_MEMORY_INFO:
        return walk_memory_info(ctx, cmd, at, why);
    case VIRGL_CCMD_DRAW_VBO:
        if (length != 12 && length != 14 && length != 20) {
            *why = "a command of the wrong length";
            return false;
        }
        return true;
    case VIRGL_CCMD_SEND_STRING_MARKER:
        if (cmd[1] > (length - 1) * 4) {
            *why = "a string marker longer than its command";
            return false;
        }
        return true;
    default:
        return true;
    }
}

static bool walk(StreamContext *ctx, const uint32_t *dwords, size_t count, const char **why)
{
    size_t at = 0;

    while (at < count) {
        uint32_t length = VIRGL_CMD_LENGTH(dwords[at]);
        const StreamLength *rule = stream_command_length(VIRGL_CMD_OPCODE(dwords[at]), why);

        if (!rule) {
            return false;
        }
        if (length > count - at - 1) {
            *why = "a command that ends past the stream";
            return false;
        }
        if (!stream_length_fits(rule, length)) {
            *why = "a command of the wrong length";
            return false;
        }
        if (!walk_command(ctx, dwords + at, length, at, why)) {
            return false;
        }
        at += length + 1;
    }
    return true;
}

StreamVerdict stream_walk(StreamContext *ctx, uint32_t *dwords, size_t count, const char **why,
                          uint64_t *bytes)
{
    guint i;

    stream_done(ctx, true);
    *why = NULL;
    *bytes = 0;
    if (ctx->dead) {
        *why = "the context is lost since an earlier stream failed";
        return STREAM_INVALID;
    }
    books_begin(ctx);
    if (!walk(ctx, dwords, count, why)) {
        books_take_back(ctx);
        return STREAM_INVALID;
    }
    if (__builtin_add_overflow(ctx->asked, ctx->asked_blobs, bytes)) {
        *bytes = UINT64_MAX;
    }
    if (*bytes && !ledger_charge(ctx->ledger, *bytes)) {
        *why = "past the memory limit";
        books_take_back(ctx);
        return STREAM_OUT_OF_MEMORY;
    }
    ctx->charged += ctx->asked;
    ctx->leaving_bytes = ctx->freed;
    ctx->leaving_subs = ctx->gone_subs;
    books_keep(ctx);
    for (i = 0; i < ctx->memory_info->len; i++) {
        MemoryInfo *info = &g_array_index(ctx->memory_info, MemoryInfo, i);

        dwords[info->at] = VIRGL_CMD0(VIRGL_CCMD_NOP, 0, 1);
        dwords[info->at + 1] = 0;
    }
    return STREAM_OK;
}

void stream_done(StreamContext *ctx, bool executed)
{
    if (!executed) {
        ctx->dead = true;
    } else {
        ledger_refund(ctx->ledger, ctx->leaving_bytes);
        ctx->charged -= ctx->leaving_bytes;
        ctx->limits->subcontexts -= ctx->leaving_subs;
        ctx->counted -= ctx->leaving_subs;
    }
    ctx->leaving_bytes = 0;
    ctx->leaving_subs = 0;
}

bool stream_take_blob(StreamContext *ctx, uint32_t blob_id, uint64_t *charged)
{
    guint i;

    for (i = 0; i < ctx->blobs->len; i++) {
        Blob *blob = &g_array_index(ctx->blobs, Blob, i);

        if (blob->id == blob_id) {
            *charged = blob->bytes;
            g_array_remove_index(ctx->blobs, i);
            return true;
        }
    }
    return false;
}

bool stream_next_untaken(StreamContext *ctx, uint32_t *blob_id)
{
    if (ctx->blobs->len == 0) {
        return false;
    }
    *blob_id = g_array_index(ctx->blobs, Blob, 0).id;
    return true;
}

bool stream_next_memory_info(StreamContext *ctx, uint32_t *resource_id)
{
    if (ctx->next_memory_info >= ctx->memory_info->len) {
        return false;
    }
    *resource_id = g_array_index(ctx->memory_info, MemoryInfo, ctx->next_memory_info++).resource_id;
    return true;
}
