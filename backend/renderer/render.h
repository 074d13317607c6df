/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two threads.
 *
 * The render thread owns the renderer (GL) and everything of the guest's.  It
 * sleeps in epoll on the kicks of both queues, runs commands in order and never
 * answers QEMU itself.  The front thread serves the vhost-user socket and the
 * gpu channel and never touches the renderer: it answers within a millisecond
 * while a submit takes 25 seconds.
 */
#ifndef VGPU_RENDERER_RENDER_H
#define VGPU_RENDERER_RENDER_H

#include "device.h"

/*
 * The render thread, main(): starts a renderer and serves until QEMU is gone.
 * False when no renderer starts.
 */
bool render_serve(Device *d);

/* The front thread's body.  Ends the process a moment after QEMU is gone. */
void *front_thread(void *device);

/* The channel's callbacks, with the Device as opaque. */
void front_reset(void *device, uint32_t generation);
void front_window(void *device, uint64_t size);
void front_adopt(void *device, int fd, const struct vgpu_channel_adopt *a);
void front_save(void *device, int fd, const struct vgpu_channel_save *s);
void front_blob_done(void *device, uint64_t serial, uint32_t status);
void front_wake(void *device);
void front_idle(void *device);

/* What a renderer is created with; the Device must outlive it. */
void render_config(Device *d, RendererConfig *config);

/* Render thread: the guest was reset, if it was; everything of the old generation goes. */
void render_reset(Device *d);

/* The render thread looks at it: VHOST_WORK_*; -1: nothing. */
void render_watch(Device *d, int fd, uint32_t what);

/* Which renderers the option names: ops to try, in order; NULL-terminated. */
bool render_choose(const char *renderer, const RendererOps *ops[3], GError **error);

#endif
