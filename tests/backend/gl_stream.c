/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gl_stream.h"

#include <string.h>

GlStream *gl_stream_new(void)
{
    GlStream *s = g_new0(GlStream, 1);

    s->dwords = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    return s;
}

void gl_stream_free(GlStream *s)
{
    if (s) {
        g_array_free(s->dwords, TRUE);
        g_free(s);
    }
}

uint32_t *gl_stream_data(GlStream *s)
{
    return (uint32_t *)(void *)s->dwords->data;
}

uint32_t gl_stream_count(GlStream *s)
{
    return s->dwords->len;
}

void gl_dword(GlStream *s, uint32_t value)
{
    g_array_append_val(s->dwords, value);
}

void gl_command(GlStream *s, uint32_t opcode, uint32_t object, uint32_t length)
{
    gl_dword(s, opcode | object << 8 | length << 16);
}

static void gl_float(GlStream *s, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    gl_dword(s, bits);
}

void gl_create_surface(GlStream *s, uint32_t handle, uint32_t resource, uint32_t format)
{
    gl_command(s, GL_CREATE_OBJECT, GL_OBJECT_SURFACE, 5);
    gl_dword(s, handle);
    gl_dword(s, resource);
    gl_dword(s, format);
    gl_dword(s, 0); /* level */
    gl_dword(s, 0); /* first and last layer */
}

void gl_set_framebuffer(GlStream *s, uint32_t surface)
{
    gl_command(s, GL_SET_FRAMEBUFFER, 0, 3);
    gl_dword(s, 1); /* colour buffers */
    gl_dword(s, 0); /* no depth */
    gl_dword(s, surface);
}

void gl_clear(GlStream *s, uint32_t rgb)
{
    gl_command(s, GL_CLEAR, 0, 8);
    gl_dword(s, 1 << 2); /* PIPE_CLEAR_COLOR0 */
    gl_float(s, (rgb >> 16 & 0xff) / 255.0f);
    gl_float(s, (rgb >> 8 & 0xff) / 255.0f);
    gl_float(s, (rgb & 0xff) / 255.0f);
    gl_float(s, 1.0f);
    gl_dword(s, 0); /* depth, a double */
    gl_dword(s, 0);
    gl_dword(s, 0); /* stencil */
}

void gl_sub_context(GlStream *s, uint32_t opcode, uint32_t id)
{
    gl_command(s, opcode, 0, 1);
    gl_dword(s, id);
}

void gl_pipe_resource(GlStream *s, uint32_t blob, uint32_t side)
{
    gl_command(s, GL_PIPE_RESOURCE_CREATE, 0, 11);
    gl_dword(s, 2);               /* PIPE_TEXTURE_2D */
    gl_dword(s, 1);               /* B8G8R8A8_UNORM */
    gl_dword(s, 1 << 1 | 1 << 3); /* RENDER_TARGET, SAMPLER_VIEW */
    gl_dword(s, side);
    gl_dword(s, side);
    gl_dword(s, 1); /* depth */
    gl_dword(s, 1); /* array size */
    gl_dword(s, 0); /* last level */
    gl_dword(s, 0); /* samples */
    gl_dword(s, 0); /* flags */
    gl_dword(s, blob);
}

void gl_memory_info(GlStream *s, uint32_t resource)
{
    gl_command(s, GL_GET_MEMORY_INFO, 0, 1);
    gl_dword(s, resource);
}
