/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "draws.h"

#include <string.h>

/* virglrenderer's, as in gl_stream.h; pipe_* are Gallium's. */
enum { BIND_OBJECT = 2, SET_VIEWPORT = 4, DRAW_VBO = 8, BIND_SHADER = 31 };
enum { OBJECT_BLEND = 1, OBJECT_RASTERIZER, OBJECT_DSA, OBJECT_SHADER, OBJECT_VERTEX_ELEMENTS };
enum { VERTEX, FRAGMENT };
enum { TRIANGLES = 4, BLEND_ONE = 1, COLOR_MASK_ALL = 15, COLOR_BUFFERS = 8 };

#define FIRST_HANDLE 100 /* surfaces have small ones */

/* The corners (-1, -1), (3, -1) and (-1, 3). */
static const char vertex[] = "VERT\n"
                             "DCL SV[0], VERTEXID\n"
                             "DCL OUT[0], POSITION\n"
                             "DCL TEMP[0]\n"
                             "IMM[0] UINT32 {1, 2, 0, 0}\n"
                             "IMM[1] FLT32 {4.0, 2.0, -1.0, 1.0}\n"
                             "IMM[2] FLT32 {0.0, 0.0, 0.0, 1.0}\n"
                             "  0: AND TEMP[0].xy, SV[0].xxxx, IMM[0].xyyy\n"
                             "  1: U2F TEMP[0].xy, TEMP[0].xyyy\n"
                             "  2: MAD TEMP[0].xy, TEMP[0].xyyy, IMM[1].xyyy, IMM[1].zzzz\n"
                             "  3: MOV TEMP[0].zw, IMM[2].xxxw\n"
                             "  4: MOV OUT[0], TEMP[0]\n"
                             "  5: END\n";

#define ROUNDS 4

static void put_float(GlStream *s, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    gl_dword(s, bits);
}

static void put_zeros(GlStream *s, unsigned n)
{
    while (n--) {
        gl_dword(s, 0);
    }
}

static void bind(GlStream *s, uint32_t object, uint32_t handle)
{
    gl_command(s, BIND_OBJECT, object, 1);
    gl_dword(s, handle);
}

/* Each round needs what the one before gave. */
static char *fragment(void)
{
    GString *text = g_string_new("FRAG\n"
                                 "DCL IN[0], POSITION, LINEAR\n"
                                 "DCL OUT[0], COLOR\n"
                                 "DCL TEMP[0]\n"
                                 "IMM[0] FLT32 {0.001, 0.002, 0.003, 0.004}\n"
                                 "IMM[1] FLT32 {0.7, 0.8, 0.9, 0.6}\n"
                                 "  0: MUL TEMP[0], IN[0].xyxy, IMM[0]\n");
    unsigned line = 1;

    for (; line <= ROUNDS; line++) {
        g_string_append_printf(text, "  %u: MAD TEMP[0], TEMP[0], IMM[1], IMM[0].wzyx\n", line);
    }
    g_string_append_printf(text, "  %u: MOV OUT[0], TEMP[0]\n  %u: END\n", line, line + 1);
    return g_string_free(text, FALSE);
}

static void shader(GlStream *s, uint32_t handle, uint32_t type, const char *text)
{
    uint32_t size = (uint32_t)strlen(text) + 1, dwords = (size + 3) / 4;
    uint32_t *padded = g_new0(uint32_t, dwords);

    memcpy(padded, text, size);
    gl_command(s, GL_CREATE_OBJECT, OBJECT_SHADER, 5 + dwords);
    gl_dword(s, handle);
    gl_dword(s, type);
    gl_dword(s, size);
    gl_dword(s, 400); /* tokens at most */
    gl_dword(s, 0);   /* no stream output */
    g_array_append_vals(s->dwords, padded, dwords);
    g_free(padded);
    gl_command(s, BIND_SHADER, 0, 2);
    gl_dword(s, handle);
    gl_dword(s, type);
}

/* The colours are added to what is there. */
static void blend(GlStream *s, uint32_t handle)
{
    gl_command(s, GL_CREATE_OBJECT, OBJECT_BLEND, 3 + COLOR_BUFFERS);
    gl_dword(s, handle);
    put_zeros(s, 2);
    gl_dword(s, 1 | BLEND_ONE << 4 | BLEND_ONE << 9 | BLEND_ONE << 17 | BLEND_ONE << 22 |
                    (uint32_t)COLOR_MASK_ALL << 27);
    put_zeros(s, COLOR_BUFFERS - 1);
    bind(s, OBJECT_BLEND, handle);
}

void draws_prepare(GlStream *s, uint32_t side)
{
    g_autofree char *colour = fragment();
    uint32_t handle = FIRST_HANDLE;
    float half = (float)side / 2;

    shader(s, handle++, VERTEX, vertex);
    shader(s, handle++, FRAGMENT, colour);
    blend(s, handle++);
    gl_command(s, GL_CREATE_OBJECT, OBJECT_DSA, 5);
    gl_dword(s, handle);
    put_zeros(s, 4);
    bind(s, OBJECT_DSA, handle++);
    gl_command(s, GL_CREATE_OBJECT, OBJECT_RASTERIZER, 9);
    gl_dword(s, handle);
    gl_dword(s, 1 << 1 | 1 << 29); /* depth clip, pixels' centres */
    put_float(s, 1.0f);            /* size of points */
    put_zeros(s, 2);
    put_float(s, 1.0f); /* width of lines */
    put_zeros(s, 3);
    bind(s, OBJECT_RASTERIZER, handle++);
    gl_command(s, GL_CREATE_OBJECT, OBJECT_VERTEX_ELEMENTS, 1); /* none: corners are numbered */
    gl_dword(s, handle);
    bind(s, OBJECT_VERTEX_ELEMENTS, handle);
    gl_command(s, SET_VIEWPORT, 0, 7);
    gl_dword(s, 0); /* the first */
    put_float(s, half);
    put_float(s, half);
    put_float(s, 0.5f);
    put_float(s, half);
    put_float(s, half);
    put_float(s, 0.5f);
}

void draws_one(GlStream *s)
{
    gl_command(s, DRAW_VBO, 0, 12);
    gl_dword(s, 0); /* the first corner */
    gl_dword(s, 3);
    gl_dword(s, TRIANGLES);
    gl_dword(s, 0); /* no indices */
    gl_dword(s, 1); /* one instance */
    put_zeros(s, 7);
}
