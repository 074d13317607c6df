/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks a virgl command stream before virglrenderer sees it: charges what it
 * would allocate, refuses what is unknown, and keeps what the stream did so
 * that it can be refunded.
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

/* Sub-contexts the whole VM may have; shared by all its StreamContexts. */
typedef struct StreamLimits {
    uint32_t max_subcontexts; /* 0: no bound */
    uint32_t subcontexts;     /* now */
} StreamLimits;

/* Measured with virglrenderer 1.1.0 on llvmpipe. */
#define STREAM_SUBCONTEXT_BYTES (10752u * 1024)

/* Charges for the context itself; NULL when that does not fit. */
StreamContext *stream_context_new(Ledger *ledger, StreamLimits *limits);

/* Refunds all that the context still holds; takes NULL. */
void stream_context_free(StreamContext *ctx);

/*
 * dwords: the stream, in our own memory (not the guest's).  On anything but
 * STREAM_OK nothing was charged, the stream must not be executed, and *why is
 * a static phrase for the log.  *bytes: what was asked for when out of memory.
 */
StreamVerdict stream_walk(StreamContext *ctx, const uint32_t *dwords, size_t count,
                          const char **why, uint64_t *bytes);

/* A resource that the stream made became a guest-visible blob: its charge is now the caller's. */
bool stream_take_blob(StreamContext *ctx, uint32_t blob_id, uint64_t *charged);

/*
 * The guest called VIRGL_CCMD_GET_MEMORY_INFO: the resource whose backing gets
 * the answer, one per call since the last stream_walk; false when no more.
 * The walk rewrites nothing; the caller answers in virglrenderer's stead after
 * the submit.
 */
bool stream_next_memory_info(StreamContext *ctx, uint32_t *resource_id);

#endif
