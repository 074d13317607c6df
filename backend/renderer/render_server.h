/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virglrenderer's render server: the process that has Vulkan, as this one has
 * OpenGL.
 *
 * Theory of operation.  The server is started by us, not by virglrenderer: once
 * this process is confined it can start nothing.  It lives in this process'
 * namespaces and dies with it, and with the server die the processes it forks,
 * one for each Vulkan context of the guest.  Our Vulkan layer is preloaded into
 * it (backend/vulkan-layer): it confines the server before its main(), confines
 * each context process further, and has it say hello here, which is how a
 * context is known to be subject to the quota.
 *
 * A VM that may have Vulkan need not use it, and the server costs some MiB and the
 * time to load a driver.  So what is started is only a child of this process that
 * waits, with nothing of ours open but what the server will have, and becomes the
 * server when the first context is wanted.
 *
 * What they write on stderr comes through a pipe that never makes them wait: a
 * context process that waited for its log to be read could be waited for by who
 * reads it.
 */
#ifndef VGPU_RENDERER_RENDER_SERVER_H
#define VGPU_RENDERER_RENDER_SERVER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct RenderServer RenderServer;

typedef struct RenderServerConfig {
    const char *program;                /* path */
    const char *layer;                  /* path of the Vulkan layer, with its manifest beside it */
    const char *render_node;            /* NULL: software */
    int page, stats, lease, call, wake; /* descriptors it inherits; borrowed; -1: none */
    bool unconfined;                    /* for debugging */
} RenderServerConfig;

/* Before this process is confined and has threads.  NULL with *error set. */
RenderServer *render_server_start(const RenderServerConfig *config, GError **error);
void render_server_free(RenderServer *s); /* ends it; takes NULL */

/* Before its first context: it becomes what it is to be. */
void render_server_wake(RenderServer *s);

/* virglrenderer's end of its socket; the caller's.  -1: it was taken already. */
int render_server_take_socket(RenderServer *s);

/* The same socket: shut down, it ends the waiting of who waits for the server. */
int render_server_socket(const RenderServer *s);

/* Readable once it has ended. */
int render_server_fd(const RenderServer *s);
/* And talks to us. */
bool render_server_alive(const RenderServer *s);

/* Readable when there is something to read for render_server_log. */
int render_server_log_fd(const RenderServer *s);
void render_server_log(RenderServer *s);

/*
 * Waits for the next context process to say hello: the slot it says it has
 * taken, and a descriptor, the caller's, that hangs up when the process has
 * ended and ends it when it is written to or closed.  False: none has.
 */
bool render_server_hello(RenderServer *s, int timeout_ms, uint32_t *slot, int *leash);

/* Whether nobody is at the other end, of a leash say. */
bool render_server_has_hung_up(int fd);

#endif
