/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  The render thread says which context process it is
 * about to wait for, and when it is back.  A thread here looks a few times a
 * second: a process that has kept the render thread longer than patience allows
 * is ended by its leash, the socket between the two closes, and the call that
 * waits fails.  The server has no leash: its socket is shut down.  What time the VM has to wait for its turn
 * on the GPU is not the process' fault and does not count.
 */
#include "venus.h"

#include <gio/gio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

#define STEP_US (250 * G_TIME_SPAN_MILLISECOND)

/* So much more for the server, which may have to load a driver on a busy host. */
#define SERVER_PATIENCE 4

/* Lock held. */
static void look(VenusGuard *g)
{
    uint64_t patience = g->patience(g->opaque);
    int64_t now = g_get_monotonic_time();

    if (g->fd < 0) {
        return;
    }
    if (patience == UINT64_MAX) {
        g->since = now;
    } else if ((uint64_t)(now - g->since) > patience / 1000 * (g->socket ? SERVER_PATIENCE : 1)) {
        log_guest("%s has not answered for %" G_GINT64_FORMAT " ms and is ended",
                  g->socket ? "the render server" : "a Vulkan context", (now - g->since) / 1000);
        if (g->socket ? shutdown(g->fd, SHUT_RDWR) < 0 : write(g->fd, "", 1) < 0) {
            log_guest("it has ended already"); /* the call that waits is about to return */
        }
        g->fd = -1;
    }
}

static gpointer guard_thread(gpointer guard)
{
    VenusGuard *g = guard;

    g_mutex_lock(&g->lock);
    while (!g->quit) {
        if (g->processes || g->fd >= 0) {
            g_cond_wait_until(&g->wake, &g->lock, g_get_monotonic_time() + STEP_US);
        } else {
            g_cond_wait(&g->wake, &g->lock);
        }
        look(g);
    }
    g_mutex_unlock(&g->lock);
    return NULL;
}

bool venus_guard_start(VenusGuard *g, uint64_t (*patience)(void *opaque), void *opaque, GError **error)
{
    *g = (VenusGuard){ .fd = -1, .patience = patience, .opaque = opaque };
    g_mutex_init(&g->lock);
    g_cond_init(&g->wake);
    g->thread = g_thread_try_new("guard", guard_thread, g, error);
    return g->thread != NULL;
}

void venus_guard_stop(VenusGuard *g)
{
    if (!g->thread) {
        return;
    }
    g_mutex_lock(&g->lock);
    g->quit = true;
    g_cond_signal(&g->wake);
    g_mutex_unlock(&g->lock);
    g_thread_join(g->thread);
    g_mutex_clear(&g->lock);
    g_cond_clear(&g->wake);
}

static void enter(VenusGuard *g, int fd, bool socket)
{
    g_mutex_lock(&g->lock);
    g->fd = fd;
    g->socket = socket;
    g->since = g_get_monotonic_time();
    if (!g->processes) {
        g_cond_signal(&g->wake);
    }
    g_mutex_unlock(&g->lock);
}

void venus_guard_enter(VenusGuard *g, const VenusContext *ctx)
{
    enter(g, ctx->process->leash, false);
}

void venus_guard_enter_server(VenusGuard *g, const RenderServer *s)
{
    enter(g, render_server_socket(s), true);
}

void venus_guard_leave(VenusGuard *g)
{
    g_mutex_lock(&g->lock);
    g->fd = -1;
    g_mutex_unlock(&g->lock);
}

void venus_guard_count(VenusGuard *g, int more)
{
    g_mutex_lock(&g->lock);
    g->processes += (unsigned)more;
    g_cond_signal(&g->wake);
    g_mutex_unlock(&g->lock);
}
