/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why our own EGL and not virglrenderer's: its errors become sentences, the
 * display never depends on what lies in /dev/dri (a render node is used when it
 * was asked for, and only that one), and we keep a context of our own, the
 * root, in which pixels are read without touching the state of a guest's.
 *
 * All contexts share objects with the root and use no config, so that they
 * work without any surface.
 */
#include "egl.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <fcntl.h>
#include <gbm.h>
#include <gio/gio.h>
#include <unistd.h>

struct Egl {
    EGLDisplay display;
    EGLConfig config;
    EGLContext root;
    int node;               /* render node, -1: none */
    struct gbm_device *gbm; /* of the render node, NULL: surfaceless */
    char *description, *version;
};

static const char *egl_error_name(void)
{
    EGLint code = eglGetError();

    switch (code) {
    case EGL_SUCCESS:
        return "no error code";
    case EGL_NOT_INITIALIZED:
        return "EGL_NOT_INITIALIZED";
    case EGL_BAD_ACCESS:
        return "EGL_BAD_ACCESS";
    case EGL_BAD_ALLOC:
        return "EGL_BAD_ALLOC";
    case EGL_BAD_ATTRIBUTE:
        return "EGL_BAD_ATTRIBUTE";
    case EGL_BAD_CONFIG:
        return "EGL_BAD_CONFIG";
    case EGL_BAD_MATCH:
        return "EGL_BAD_MATCH";
    case EGL_BAD_PARAMETER:
        return "EGL_BAD_PARAMETER";
    case EGL_CONTEXT_LOST:
        return "EGL_CONTEXT_LOST";
    default:
        return "an unknown EGL error";
    }
}

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_propagate_error(error, g_error_new_valist(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, format, ap));
    va_end(ap);
    return false;
}

static int early_node = -1; /* of egl_prepare, until it is used */

void egl_prepare(const char *render_node)
{
    if (!render_node) {
        /* Else Mesa would take a GPU that nobody gave this VM. */
        g_setenv("LIBGL_ALWAYS_SOFTWARE", "true", FALSE);
    } else if (early_node < 0) {
        early_node = open(render_node, O_RDWR | O_CLOEXEC);
    }
}

/* The render node's own driver, by GBM: needs no device enumeration, so it works in the sandbox. */
static bool open_node(Egl *egl, const char *path, GError **error)
{
    egl->node = early_node >= 0 ? early_node : open(path, O_RDWR | O_CLOEXEC);
    early_node = -1;
    if (egl->node < 0) {
        return fail(error,
                    "cannot open the render node '%s': %s; name another one, or none to "
                    "render in software",
                    path, g_strerror(errno));
    }
    egl->gbm = gbm_create_device(egl->node);
    if (!egl->gbm) {
        return fail(error,
                    "no GBM driver for the render node '%s'; install the Mesa driver for "
                    "it, or name none to render in software",
                    path);
    }
    egl->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_GBM_KHR, egl->gbm, NULL);
    return true;
}

static bool open_surfaceless(Egl *egl, GError **error)
{
    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_MESA_platform_surfaceless")) {
        return fail(error, "EGL has no surfaceless platform here; install Mesa (libegl-mesa0, "
                           "libgl1-mesa-dri), or name a render node");
    }
    egl_prepare(NULL);
    egl->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
    return true;
}

static bool open_display(Egl *egl, const char *render_node, GError **error)
{
    EGLint major, minor;

    /* epoxy ends the process when it cannot load libEGL: ask first. */
    if (!epoxy_has_egl()) {
        return fail(error, "libEGL is not installed; install libegl1 and libegl-mesa0");
    }
    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_base")) {
        return fail(error, "EGL here lacks EGL_EXT_platform_base; install Mesa (libegl-mesa0)");
    }
    if (!(render_node ? open_node(egl, render_node, error) : open_surfaceless(egl, error))) {
        return false;
    }
    if (egl->display == EGL_NO_DISPLAY || !eglInitialize(egl->display, &major, &minor)) {
        fail(error, "EGL does not start on %s (%s); check that its Mesa driver is installed",
             render_node ? render_node : "the surfaceless platform", egl_error_name());
        egl->display = EGL_NO_DISPLAY;
        return false;
    }
    return true;
}

static bool check_extensions(Egl *egl, GError **error)
{
    static const char *const needed[] = {
        "EGL_KHR_surfaceless_context",
        "EGL_KHR_create_context",
        "EGL_KHR_no_config_context",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (!epoxy_has_egl_extension(egl->display, needed[i])) {
            return fail(error, "EGL here lacks %s; a newer Mesa has it", needed[i]);
        }
    }
    return true;
}

Egl *egl_open(const char *render_node, GError **error)
{
    Egl *egl = g_new0(Egl, 1);

    egl->node = -1;
    egl->display = EGL_NO_DISPLAY;
    egl->config = EGL_NO_CONFIG_KHR;
    if (!open_display(egl, render_node, error) || !check_extensions(egl, error)) {
        egl_close(egl);
        return NULL;
    }
    egl->root = egl_context_new(egl, 3, 3, false);
    if (!egl->root) {
        egl->root = egl_context_new(egl, 3, 1, false);
    }
    if (!egl->root || !egl_make_root_current(egl)) {
        fail(error, "no OpenGL 3.1 context on %s (%s); check that libgl1-mesa-dri is installed",
             render_node ? render_node : "the surfaceless platform", egl_error_name());
        egl_close(egl);
        return NULL;
    }
    egl->description = g_strdup((const char *)glGetString(GL_RENDERER));
    egl->version = g_strdup((const char *)glGetString(GL_VERSION));
    return egl;
}

void egl_close(Egl *egl)
{
    if (!egl) {
        return;
    }
    if (egl->display != EGL_NO_DISPLAY) {
        egl_make_current(egl, NULL);
        if (egl->root) {
            eglDestroyContext(egl->display, egl->root);
        }
        eglTerminate(egl->display);
        eglReleaseThread();
    }
    if (egl->gbm) {
        gbm_device_destroy(egl->gbm);
    }
    if (egl->node >= 0) {
        close(egl->node);
    }
    g_free(egl->description);
    g_free(egl->version);
    g_free(egl);
}

EGLDisplay egl_display(const Egl *egl)
{
    return egl->display;
}

const char *egl_description(const Egl *egl)
{
    return egl->description ? egl->description : "";
}

const char *egl_version(const Egl *egl)
{
    return egl->version ? egl->version : "";
}

EGLContext egl_context_new(Egl *egl, int major, int minor, bool compatibility)
{
    const EGLint attributes[] = {
        EGL_CONTEXT_MAJOR_VERSION_KHR,
        major,
        EGL_CONTEXT_MINOR_VERSION_KHR,
        minor,
        EGL_CONTEXT_OPENGL_PROFILE_MASK_KHR,
        compatibility ? EGL_CONTEXT_OPENGL_COMPATIBILITY_PROFILE_BIT_KHR
                      : EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT_KHR,
        EGL_NONE,
    };

    /* The bound API belongs to the thread. */
    eglBindAPI(EGL_OPENGL_API);
    return eglCreateContext(egl->display, egl->config, egl->root ? egl->root : EGL_NO_CONTEXT, attributes);
}

void egl_context_free(Egl *egl, EGLContext context)
{
    eglDestroyContext(egl->display, context);
}

bool egl_make_current(Egl *egl, EGLContext context)
{
    return eglMakeCurrent(egl->display, EGL_NO_SURFACE, EGL_NO_SURFACE, context ? context : EGL_NO_CONTEXT);
}

bool egl_make_root_current(Egl *egl)
{
    return egl_make_current(egl, egl->root);
}
