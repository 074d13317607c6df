/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One row per opcode and per object type.  A length that virglrenderer would
 * refuse is refused here, where it still costs nobody their context.
 *
 * Video is left out on purpose: a codec allocates what the stream does not
 * say, and our capset does not offer it.
 */
#include "stream_table.h"

#include <stddef.h>

#include "stream.h"
#include "virgl.h"

#define ANY                     { 0, UINT16_MAX, 1, true }
#define EXACT(n)                { n, n, 1, true }
#define FROM(n)                 { n, UINT16_MAX, 1, true }
#define EVERY(min, step, count) { min, (min) + (step) * (count), step, true }

/* Slots of virgl's arrays. */
#define MAX_ATTRIBS       32
#define MAX_COLOR_BUFS    8
#define MAX_SAMPLERS      32
#define MAX_SAMPLER_VIEWS 128
#define MAX_SLOTS         32 /* shader buffers, images, atomic buffers */
#define MAX_SO_TARGETS    16
#define MAX_VIEWPORTS     16
#define MAX_PLANES        4

static const StreamLength commands[VIRGL_MAX_COMMANDS] = {
    [VIRGL_CCMD_NOP] = ANY,
    [VIRGL_CCMD_CREATE_OBJECT] = FROM(1), /* see objects[] */
    [VIRGL_CCMD_BIND_OBJECT] = EXACT(1),
    [VIRGL_CCMD_DESTROY_OBJECT] = EXACT(1),
    [VIRGL_CCMD_SET_VIEWPORT_STATE] = EVERY(1, 6, MAX_VIEWPORTS),
    [VIRGL_CCMD_SET_FRAMEBUFFER_STATE] = EVERY(2, 1, MAX_COLOR_BUFS),
    [VIRGL_CCMD_SET_VERTEX_BUFFERS] = EVERY(0, 3, MAX_ATTRIBS),
    [VIRGL_CCMD_CLEAR] = EXACT(8),
    [VIRGL_CCMD_DRAW_VBO] = EVERY(12, 2, 4), /* 12, 14 or 20: see the walk */
    [VIRGL_CCMD_RESOURCE_INLINE_WRITE] = FROM(12),
    [VIRGL_CCMD_SET_SAMPLER_VIEWS] = EVERY(2, 1, MAX_SAMPLER_VIEWS),
    [VIRGL_CCMD_SET_INDEX_BUFFER] = EVERY(1, 2, 1),
    [VIRGL_CCMD_SET_CONSTANT_BUFFER] = FROM(2),
    [VIRGL_CCMD_SET_STENCIL_REF] = EXACT(1),
    [VIRGL_CCMD_SET_BLEND_COLOR] = EXACT(4),
    [VIRGL_CCMD_SET_SCISSOR_STATE] = EVERY(1, 2, MAX_VIEWPORTS),
    [VIRGL_CCMD_BLIT] = EXACT(21),
    [VIRGL_CCMD_RESOURCE_COPY_REGION] = EXACT(13),
    [VIRGL_CCMD_BIND_SAMPLER_STATES] = EVERY(2, 1, MAX_SAMPLERS),
    [VIRGL_CCMD_BEGIN_QUERY] = EXACT(1),
    [VIRGL_CCMD_END_QUERY] = EXACT(1),
    [VIRGL_CCMD_GET_QUERY_RESULT] = EXACT(2),
    [VIRGL_CCMD_SET_POLYGON_STIPPLE] = EXACT(32),
    [VIRGL_CCMD_SET_CLIP_STATE] = EXACT(32),
    [VIRGL_CCMD_SET_SAMPLE_MASK] = EXACT(1),
    [VIRGL_CCMD_SET_STREAMOUT_TARGETS] = EVERY(1, 1, MAX_SO_TARGETS),
    [VIRGL_CCMD_SET_RENDER_CONDITION] = EXACT(3),
    [VIRGL_CCMD_SET_UNIFORM_BUFFER] = EXACT(5),
    [VIRGL_CCMD_SET_SUB_CTX] = EXACT(1),
    [VIRGL_CCMD_CREATE_SUB_CTX] = EXACT(1),
    [VIRGL_CCMD_DESTROY_SUB_CTX] = EXACT(1),
    [VIRGL_CCMD_BIND_SHADER] = EXACT(2),
    [VIRGL_CCMD_SET_TESS_STATE] = EXACT(6),
    [VIRGL_CCMD_SET_MIN_SAMPLES] = EXACT(1),
    [VIRGL_CCMD_SET_SHADER_BUFFERS] = EVERY(2, 3, MAX_SLOTS),
    [VIRGL_CCMD_SET_SHADER_IMAGES] = EVERY(2, 5, MAX_SLOTS),
    [VIRGL_CCMD_MEMORY_BARRIER] = EXACT(1),
    [VIRGL_CCMD_LAUNCH_GRID] = EXACT(8),
    [VIRGL_CCMD_SET_FRAMEBUFFER_STATE_NO_ATTACH] = EXACT(2),
    [VIRGL_CCMD_TEXTURE_BARRIER] = EXACT(1),
    [VIRGL_CCMD_SET_ATOMIC_BUFFERS] = EVERY(4, 3, MAX_SLOTS - 1),
    [VIRGL_CCMD_SET_DEBUG_FLAGS] = FROM(2),
    [VIRGL_CCMD_GET_QUERY_RESULT_QBO] = EXACT(6),
    [VIRGL_CCMD_TRANSFER3D] = FROM(13),
    [VIRGL_CCMD_END_TRANSFERS] = ANY, /* its length pads a transfer buffer */
    [VIRGL_CCMD_COPY_TRANSFER3D] = EXACT(14),
    [VIRGL_CCMD_SET_TWEAKS] = FROM(2),
    [VIRGL_CCMD_CLEAR_TEXTURE] = EXACT(12),
    [VIRGL_CCMD_PIPE_RESOURCE_CREATE] = EXACT(11),
    [VIRGL_CCMD_PIPE_RESOURCE_SET_TYPE] = EVERY(10, 2, MAX_PLANES - 1),
    [VIRGL_CCMD_GET_MEMORY_INFO] = EXACT(1),
    [VIRGL_CCMD_SEND_STRING_MARKER] = FROM(2),
    [VIRGL_CCMD_LINK_SHADER] = EXACT(6),
    [VIRGL_CCMD_CLEAR_SURFACE] = EXACT(10),
};

/*
 * bytes: virglrenderer's own structure and the GL object behind it, measured on
 * llvmpipe (thousands of each, growth of resident memory) and rounded up; a view
 * in another format than its resource is a GL texture of its own.
 */
static const StreamObjectRule objects[VIRGL_MAX_OBJECTS] = {
    [VIRGL_OBJECT_BLEND] = { EXACT(11), 512 },
    [VIRGL_OBJECT_RASTERIZER] = { EXACT(9), 256 },
    [VIRGL_OBJECT_DSA] = { EXACT(5), 512 },
    [VIRGL_OBJECT_SHADER] = { FROM(5), STREAM_SHADER_BYTES },
    [VIRGL_OBJECT_VERTEX_ELEMENTS] = { EVERY(1, 4, MAX_ATTRIBS), 2048 },
    [VIRGL_OBJECT_SAMPLER_VIEW] = { EXACT(6), 2048 },
    [VIRGL_OBJECT_SAMPLER_STATE] = { EXACT(9), 1024 },
    [VIRGL_OBJECT_SURFACE] = { EXACT(5), 2048 },
    [VIRGL_OBJECT_QUERY] = { EXACT(4), 1024 },
    [VIRGL_OBJECT_STREAMOUT_TARGET] = { EXACT(4), 512 },
    /* Only GL ES drivers have it; elsewhere virglrenderer refuses it. */
    [VIRGL_OBJECT_MSAA_SURFACE] = { EXACT(6), 2048 },
};

const StreamLength *stream_command_length(uint32_t opcode, const char **why)
{
    if (opcode >= VIRGL_MAX_COMMANDS) {
        *why = "unknown opcode";
        return NULL;
    }
    if (!commands[opcode].known) {
        *why = "a video command, which is not offered";
        return NULL;
    }
    return &commands[opcode];
}

const StreamObjectRule *stream_object_rule(uint32_t type)
{
    if (type >= VIRGL_MAX_OBJECTS || !objects[type].length.known) {
        return NULL;
    }
    return &objects[type];
}

bool stream_length_fits(const StreamLength *rule, uint32_t length)
{
    return length >= rule->min && length <= rule->max && (length - rule->min) % rule->step == 0;
}
