/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The books of one virgl context: sub-contexts, objects, shaders under way,
 * blobs, and a journal that can take one stream's changes back.
 * Used by stream.c only.
 */
#ifndef VGPU_QUOTA_STREAM_BOOKS_H
#define VGPU_QUOTA_STREAM_BOOKS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "stream.h"
#include "virgl.h"

/* A shader whose text comes in several commands; one per shader type. */
typedef struct LongShader {
    uint32_t handle;          /* 0: none under way */
    uint32_t received, total; /* bytes */
} LongShader;

typedef struct Object {
    uint32_t type;
    uint32_t bytes;
} Object;

typedef struct SubContext {
    uint32_t id;
    GHashTable *objects; /* handle -> Object */
    uint32_t shaders;    /* of these */
    uint64_t bytes;      /* charged for it and its objects */
    LongShader under_way[PIPE_SHADER_TYPES];
} SubContext;

typedef struct Blob {
    uint32_t id;
    uint64_t bytes;
} Blob;

typedef struct MemoryInfo {
    size_t at; /* dword of the header in the stream */
    uint32_t resource_id;
} MemoryInfo;

struct StreamContext {
    Ledger *ledger;
    StreamLimits *limits;
    GHashTable *subs; /* id -> SubContext */
    SubContext *current;
    GArray *blobs;       /* of Blob, oldest first */
    GArray *memory_info; /* of MemoryInfo */
    guint next_memory_info;
    uint64_t charged; /* in the ledger, without the blobs */
    uint32_t counted; /* in limits->subcontexts */
    /* Destroyed by the last stream, refunded once that was executed. */
    uint64_t leaving_bytes;
    uint32_t leaving_subs;
    bool dead;

    /* The stream being walked. */
    GArray *journal;
    uint64_t asked;       /* bytes to charge, blobs excepted */
    uint64_t asked_blobs; /* bytes to charge for blobs */
    uint64_t freed;
    uint32_t new_subs, gone_subs;
    guint old_blobs; /* blobs->len when it began */
};

/* Makes the journal of a new context. */
void books_open(StreamContext *ctx);

/* Changes come between begin and one of keep and take_back; false, and why: past a cap. */
void books_begin(StreamContext *ctx);
void books_keep(StreamContext *ctx);
void books_take_back(StreamContext *ctx);

bool books_create_sub(StreamContext *ctx, uint32_t id, const char **why);
bool books_set_sub(StreamContext *ctx, uint32_t id, const char **why);
bool books_destroy_sub(StreamContext *ctx, uint32_t id, const char **why);
bool books_create_object(StreamContext *ctx, uint32_t handle, uint32_t type, uint32_t bytes,
                         const char **why);
bool books_destroy_object(StreamContext *ctx, uint32_t handle, const char **why);
bool books_set_under_way(StreamContext *ctx, uint32_t shader_type, LongShader now, const char **why);
bool books_create_blob(StreamContext *ctx, uint32_t id, uint64_t bytes, const char **why);

SubContext *sub_context_new(uint32_t id);
void sub_context_free(SubContext *sub);

#endif
