/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hand-encoded virgl command streams (virglrenderer 1.1's protocol).  The
 * numbers are our own copy on purpose: the walk in backend/quota has its own.
 */
#ifndef TEST_GL_STREAM_H
#define TEST_GL_STREAM_H

#include <glib.h>
#include <stdint.h>

#define GL_NOP                  0
#define GL_CREATE_OBJECT        1
#define GL_SET_FRAMEBUFFER      5
#define GL_CLEAR                7
#define GL_BLIT                 16
#define GL_SET_SUB_CTX          28
#define GL_CREATE_SUB_CTX       29
#define GL_DESTROY_SUB_CTX      30
#define GL_PIPE_RESOURCE_CREATE 48
#define GL_GET_MEMORY_INFO      50
#define GL_LAST                 63 /* the first number that is no command */

#define GL_OBJECT_SURFACE 8

typedef struct GlStream {
    GArray *dwords; /* of uint32_t */
} GlStream;

GlStream *gl_stream_new(void);
void gl_stream_free(GlStream *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GlStream, gl_stream_free)

uint32_t *gl_stream_data(GlStream *s);
uint32_t gl_stream_count(GlStream *s);

void gl_dword(GlStream *s, uint32_t value);
void gl_command(GlStream *s, uint32_t opcode, uint32_t object, uint32_t length);
/* A surface on a resource's level 0, as handle. */
void gl_create_surface(GlStream *s, uint32_t handle, uint32_t resource, uint32_t format);
void gl_set_framebuffer(GlStream *s, uint32_t surface);
/* The colour buffer becomes 0xRRGGBB. */
void gl_clear(GlStream *s, uint32_t rgb);
void gl_sub_context(GlStream *s, uint32_t opcode, uint32_t id);
/* A square 2D texture of four-byte pixels, made inside the stream. */
void gl_pipe_resource(GlStream *s, uint32_t blob, uint32_t side);
void gl_memory_info(GlStream *s, uint32_t resource);

#endif
