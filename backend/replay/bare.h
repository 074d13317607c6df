/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirglrenderer alone in this process, on this machine's EGL: what every
 * virtio-gpu device with OpenGL stands on.  One per process, one thread.
 */
#ifndef VGPU_REPLAY_BARE_H
#define VGPU_REPLAY_BARE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <virglrenderer.h>

struct virgl_box { /* virglrenderer's; its header only names it */
    uint32_t x, y, z, w, h, d;
};

/* render_node: path, or NULL for software.  False with *error set, a sentence. */
bool bare_start(const char *render_node, GError **error);

/* A fence after all work so far; bare_fence_wait() returns when virglrenderer has said that it is done. */
bool bare_fence_begin(void);
void bare_fence_wait(void);

#endif
