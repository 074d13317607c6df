/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An off-screen OpenGL 3.3 context for the guest's test programs.  Linked to
 * nothing but libc and libEGL, so that one build runs in every guest.
 */
#ifndef VGPU_TEST_GL_H
#define VGPU_TEST_GL_H

#include "args.h"

#include <GL/glcorearb.h>
#include <stdbool.h>

/* What the programs call, as gl.Name(). */
#define GL_FUNCTIONS(F)                                                                                      \
    F(PFNGLGETSTRINGPROC, GetString)                                                                         \
    F(PFNGLGETSTRINGIPROC, GetStringi)                                                                       \
    F(PFNGLGETINTEGERVPROC, GetIntegerv)                                                                     \
    F(PFNGLGETERRORPROC, GetError)                                                                           \
    F(PFNGLFINISHPROC, Finish)                                                                               \
    F(PFNGLFLUSHPROC, Flush)                                                                                 \
    F(PFNGLVIEWPORTPROC, Viewport)                                                                           \
    F(PFNGLCLEARCOLORPROC, ClearColor)                                                                       \
    F(PFNGLCLEARPROC, Clear)                                                                                 \
    F(PFNGLGENTEXTURESPROC, GenTextures)                                                                     \
    F(PFNGLBINDTEXTUREPROC, BindTexture)                                                                     \
    F(PFNGLTEXIMAGE2DPROC, TexImage2D)                                                                       \
    F(PFNGLTEXSUBIMAGE2DPROC, TexSubImage2D)                                                                 \
    F(PFNGLTEXPARAMETERIPROC, TexParameteri)                                                                 \
    F(PFNGLGENFRAMEBUFFERSPROC, GenFramebuffers)                                                             \
    F(PFNGLBINDFRAMEBUFFERPROC, BindFramebuffer)                                                             \
    F(PFNGLFRAMEBUFFERTEXTURE2DPROC, FramebufferTexture2D)                                                   \
    F(PFNGLCHECKFRAMEBUFFERSTATUSPROC, CheckFramebufferStatus)                                               \
    F(PFNGLREADPIXELSPROC, ReadPixels)                                                                       \
    F(PFNGLBLITFRAMEBUFFERPROC, BlitFramebuffer)                                                             \
    F(PFNGLCREATESHADERPROC, CreateShader)                                                                   \
    F(PFNGLSHADERSOURCEPROC, ShaderSource)                                                                   \
    F(PFNGLCOMPILESHADERPROC, CompileShader)                                                                 \
    F(PFNGLGETSHADERIVPROC, GetShaderiv)                                                                     \
    F(PFNGLGETSHADERINFOLOGPROC, GetShaderInfoLog)                                                           \
    F(PFNGLCREATEPROGRAMPROC, CreateProgram)                                                                 \
    F(PFNGLATTACHSHADERPROC, AttachShader)                                                                   \
    F(PFNGLLINKPROGRAMPROC, LinkProgram)                                                                     \
    F(PFNGLGETPROGRAMIVPROC, GetProgramiv)                                                                   \
    F(PFNGLUSEPROGRAMPROC, UseProgram)                                                                       \
    F(PFNGLGETUNIFORMLOCATIONPROC, GetUniformLocation)                                                       \
    F(PFNGLUNIFORM4FPROC, Uniform4f)                                                                         \
    F(PFNGLGENVERTEXARRAYSPROC, GenVertexArrays)                                                             \
    F(PFNGLBINDVERTEXARRAYPROC, BindVertexArray)                                                             \
    F(PFNGLDRAWARRAYSPROC, DrawArrays)                                                                       \
    F(PFNGLFENCESYNCPROC, FenceSync)                                                                         \
    F(PFNGLCLIENTWAITSYNCPROC, ClientWaitSync)                                                               \
    F(PFNGLDELETESYNCPROC, DeleteSync)

struct gl_functions {
#define GL_FIELD(type, name) type name;
    GL_FUNCTIONS(GL_FIELD)
#undef GL_FIELD
};

extern struct gl_functions gl;

/*
 * device: path of a render or card node, or NULL for the first GPU there is.
 * On failure says why on stderr and ends the process with status 2.
 */
void gl_open(const char *device);

/* A framebuffer whose only attachment is the texture; false when it is not complete. */
bool gl_target(unsigned texture);

#endif
