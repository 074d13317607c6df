/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks a virgl command stream before virglrenderer sees it: charges what it
 * would allocate, refuses what is unknown, and keeps what the stream did so
 * that it can be refunded.
 *
 * The order for one submit: stream_walk(); if that is STREAM_OK,
 * virgl_renderer_submit_cmd() and stream_done() with its result; then
 * stream_next_memory_info() until it is false.
 *
 * Not thread-safe, except for the ledger: all calls come from the render thread.
 */
#ifndef VGPU_QUOTA_STREAM_H
#define VGPU_QUOTA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger.h"

typedef struct StreamContext StreamContext; /* the books of one virgl context */

typedef enum StreamVerdict {
    STREAM_OK,
    STREAM_OUT_OF_MEMORY, /* the quota: RESP_ERR_OUT_OF_MEMORY */
    STREAM_INVALID,       /* malformed, unknown opcode or past a cap: RESP_ERR_INVALID_PARAMETER */
} StreamVerdict;

/*
 * GL contexts the whole VM may have; shared by all its StreamContexts.  A
 * virgl context counts as one (its sub-context 0), each further sub-context
 * as one more.
 */
typedef struct StreamLimits {
    uint32_t max_subcontexts; /* 0: no bound */
    uint32_t subcontexts;     /* now */
} StreamLimits;

/* Measured with virglrenderer 1.1.0 on llvmpipe. */
#define STREAM_SUBCONTEXT_BYTES (10752u * 1024)

/*
 * A shader's charge: the selector and its GL object, and for every byte of its
 * text the tokens, the GLSL made of them and what the GL compiler keeps.
 */
#define STREAM_SHADER_BYTES      (16u * 1024)
#define STREAM_SHADER_TEXT_SCALE 8

/* Caps that no desktop comes near; each one bounds memory on our side too. */
#define STREAM_OBJECTS_MAX     65536u              /* of all types in one sub-context */
#define STREAM_SHADERS_MAX     16384u              /* in one sub-context */
#define STREAM_SHADER_TEXT_MAX (16u * 1024 * 1024) /* bytes; virglrenderer allocates it up front */
#define STREAM_TOKENS_MAX      (1u << 20)          /* of one shader; the same */
#define STREAM_BLOBS_MAX       1024u               /* made in a context and not yet taken */
#define STREAM_MEMORY_INFO_MAX 64u                 /* GET_MEMORY_INFO in one stream */
#define STREAM_CHANGES_MAX     262144u /* to the books in one stream; Mesa flushes at 65536 dwords */

/* Charges for the context itself; NULL when that does not fit, or max_subcontexts are there. */
StreamContext *stream_context_new(Ledger *ledger, StreamLimits *limits);

/*
 * The virgl context is gone: refunds all that it still held; takes NULL.
 *
 * Blobs that were made and never taken stay charged, because virglrenderer 1.1
 * forgets them without freeing their GL storage.  So empty the books before
 * virgl_renderer_context_destroy(): for each stream_next_untaken(), make a
 * resource of it (virgl_renderer_resource_create_blob), unref that, and refund
 * what stream_take_blob() hands over.
 */
void stream_context_free(StreamContext *ctx);

/*
 * dwords: the stream, in our own memory (not the guest's).  On anything but
 * STREAM_OK nothing was charged, the stream must not be executed, and *why is
 * a static phrase for the log.  *bytes: what was asked for when out of memory.
 *
 * On STREAM_OK each GET_MEMORY_INFO was turned into a NOP of the same length:
 * virglrenderer would write the host's own figures.  Nothing else is changed.
 */
StreamVerdict stream_walk(StreamContext *ctx, uint32_t *dwords, size_t count, const char **why,
                          uint64_t *bytes);

/*
 * What became of the stream that was walked.  Executed: what it destroyed is
 * refunded.  Not executed (virgl_renderer_submit_cmd failed): nobody knows how
 * far it came, and virglrenderer runs nothing more in that context; everything
 * stays charged until the context is freed and further walks are refused.
 * Without this call the next walk takes the stream for executed.
 */
void stream_done(StreamContext *ctx, bool executed);

/*
 * A resource that the stream made became a guest-visible blob: its charge is
 * now the caller's.  Of several with one id the oldest, as virglrenderer does.
 */
bool stream_take_blob(StreamContext *ctx, uint32_t blob_id, uint64_t *charged);

/* A blob that was made and not taken; false when there is none. */
bool stream_next_untaken(StreamContext *ctx, uint32_t *blob_id);

/*
 * The guest called VIRGL_CCMD_GET_MEMORY_INFO: the resource whose backing gets
 * the answer (struct virgl_memory_info of virgl.h at its start), one per call
 * since the last stream_walk; false when no more.  The caller answers in
 * virglrenderer's stead after the submit.
 */
bool stream_next_memory_info(StreamContext *ctx, uint32_t *resource_id);

#endif
