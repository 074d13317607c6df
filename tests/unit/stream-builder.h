/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes virgl command streams for tests: one function per command, each
 * appends to a growing array of dwords.
 */
#ifndef VGPU_TESTS_STREAM_BUILDER_H
#define VGPU_TESTS_STREAM_BUILDER_H

#include <glib.h>

#include "quota/stream.h"
#include "quota/virgl.h"

typedef struct Stream {
    uint32_t *dwords;
    size_t count, room;
} Stream;

static inline void stream_put(Stream *s, uint32_t dword)
{
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->dwords = g_renew(uint32_t, s->dwords, s->room);
    }
    s->dwords[s->count++] = dword;
}

static inline void stream_clear(Stream *s)
{
    g_free(s->dwords);
    *s = (Stream){ 0 };
}

/* A command with length dwords of zero. */
static inline uint32_t *stream_command(Stream *s, uint32_t opcode, uint32_t object, uint32_t length)
{
    uint32_t i;

    stream_put(s, VIRGL_CMD0(opcode, object, length));
    for (i = 0; i < length; i++) {
        stream_put(s, 0);
    }
    return s->dwords + s->count - length;
}

static inline void stream_command1(Stream *s, uint32_t opcode, uint32_t value)
{
    stream_command(s, opcode, 0, 1)[0] = value;
}

static inline void stream_create_sub(Stream *s, uint32_t id)
{
    stream_command1(s, VIRGL_CCMD_CREATE_SUB_CTX, id);
}

static inline void stream_set_sub(Stream *s, uint32_t id)
{
    stream_command1(s, VIRGL_CCMD_SET_SUB_CTX, id);
}

static inline void stream_destroy_sub(Stream *s, uint32_t id)
{
    stream_command1(s, VIRGL_CCMD_DESTROY_SUB_CTX, id);
}

/* An object of the right length for its type; not for shaders. */
static inline void stream_create_object(Stream *s, uint32_t type, uint32_t handle)
{
    static const uint32_t lengths[VIRGL_MAX_OBJECTS] = {
        [VIRGL_OBJECT_BLEND] = 11,
        [VIRGL_OBJECT_RASTERIZER] = 9,
        [VIRGL_OBJECT_DSA] = 5,
        [VIRGL_OBJECT_VERTEX_ELEMENTS] = 9,
        [VIRGL_OBJECT_SAMPLER_VIEW] = 6,
        [VIRGL_OBJECT_SAMPLER_STATE] = 9,
        [VIRGL_OBJECT_SURFACE] = 5,
        [VIRGL_OBJECT_QUERY] = 4,
        [VIRGL_OBJECT_STREAMOUT_TARGET] = 4,
        [VIRGL_OBJECT_MSAA_SURFACE] = 6,
    };

    stream_command(s, VIRGL_CCMD_CREATE_OBJECT, type, lengths[type])[0] = handle;
}

static inline void stream_destroy_object(Stream *s, uint32_t handle)
{
    stream_command1(s, VIRGL_CCMD_DESTROY_OBJECT, handle);
}

/* offset: the length of the whole text, or VIRGL_OBJ_SHADER_OFFSET_CONT | where it goes on. */
static inline void stream_create_shader(Stream *s, uint32_t type, uint32_t handle, uint32_t offset,
                                        uint32_t text_dwords)
{
    uint32_t *p = stream_command(s, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + text_dwords);

    p[0] = handle;
    p[1] = type;
    p[2] = offset;
    p[3] = 10; /* tokens */
}

/* A plain 2D picture of 4 bytes a texel. */
static inline uint32_t *stream_create_resource(Stream *s, uint32_t blob_id, uint32_t width, uint32_t height)
{
    uint32_t *p = stream_command(s, VIRGL_CCMD_PIPE_RESOURCE_CREATE, 0, 11);

    p[0] = PIPE_TEXTURE_2D;
    p[1] = VIRGL_FORMAT_B8G8R8A8_UNORM;
    p[2] = 1u << 3; /* VIRGL_BIND_SAMPLER_VIEW */
    p[3] = width;
    p[4] = height;
    p[5] = 1;
    p[6] = 1;
    p[10] = blob_id;
    return p;
}

#endif
