/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bare.h"

#include <gio/gio.h>
#include <sched.h>

#include "../renderer/egl.h"

static Egl *egl;
static gint fence_done; /* atomic: the last one signalled */
static int fence_last;

/* virglrenderer's fence thread */
static void on_fence(void *opaque, uint32_t fence)
{
    g_atomic_int_set(&fence_done, (gint)fence);
}

static virgl_renderer_gl_context on_create_context(void *opaque, int scanout,
                                                   struct virgl_renderer_gl_ctx_param *param)
{
    return egl_context_new(egl, param->major_ver, param->minor_ver, param->compat_ctx);
}

static void on_destroy_context(void *opaque, virgl_renderer_gl_context context)
{
    egl_context_free(egl, context);
}

static int on_make_current(void *opaque, int scanout, virgl_renderer_gl_context context)
{
    return egl_make_current(egl, context) ? 0 : -1;
}

static void *on_display(void *opaque)
{
    return egl_display(egl);
}

bool bare_start(const char *render_node, GError **error)
{
    static struct virgl_renderer_callbacks callbacks = {
        .version = 4,
        .write_fence = on_fence,
        .create_gl_context = on_create_context,
        .destroy_gl_context = on_destroy_context,
        .make_current = on_make_current,
        .get_egl_display = on_display,
    };

    egl = egl_open(render_node, error);
    if (!egl) {
        return false;
    }
    if (virgl_renderer_init(&callbacks, VIRGL_RENDERER_THREAD_SYNC | VIRGL_RENDERER_ASYNC_FENCE_CB,
                            &callbacks)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "virglrenderer does not start on '%s'",
                    egl_description(egl));
        return false;
    }
    return true;
}

bool bare_fence_begin(void)
{
    return virgl_renderer_create_fence(++fence_last, 0) == 0;
}

void bare_fence_wait(void)
{
    while (g_atomic_int_get(&fence_done) != fence_last) {
        sched_yield(); /* the driver's threads may want this CPU */
    }
}
