/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An EGL display without a window system, and OpenGL contexts on it that share
 * their objects.
 */
#ifndef VGPU_RENDERER_EGL_H
#define VGPU_RENDERER_EGL_H

#include <epoxy/egl.h>
#include <glib.h>
#include <stdbool.h>

typedef struct Egl Egl;

/* Before there are threads and filters: what egl_open could do no more. */
void egl_prepare(const char *render_node);

/*
 * render_node: path (or /dev/nvidia0), or NULL for software rendering on the
 * surfaceless platform.  NULL with *error set (a sentence with the remedy) when this host
 * has no OpenGL 3.1 there.  Makes the root context current on this thread.
 */
Egl *egl_open(const char *render_node, GError **error);

/* Contexts must be gone.  Takes NULL. */
void egl_close(Egl *egl);

EGLDisplay egl_display(const Egl *egl);

/* GL_RENDERER of the host; lives as long as egl. */
const char *egl_description(const Egl *egl);
const char *egl_version(const Egl *egl); /* GL_VERSION, or "" */

/* A context that shares objects with all others of egl; NULL when refused. */
EGLContext egl_context_new(Egl *egl, int major, int minor, bool compatibility);
void egl_context_free(Egl *egl, EGLContext context);

/* NULL: none. */
bool egl_make_current(Egl *egl, EGLContext context);

/* The context nobody else draws in: for our own reads. */
bool egl_make_root_current(Egl *egl);

#endif
