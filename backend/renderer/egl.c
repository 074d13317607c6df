/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why our own EGL and not virglrenderer's: its errors become sentences, the
 * display never depends on what lies in /dev/dri (a render node is used when it
 * was asked for, and only that one), and we keep a context of our own, the
 * root, in which pixels are read without touching the state of a guest's.
 *
 * Three ways lead to a display: GBM on a render node; Mesa's surfaceless platform
 * in software; and a device of EGL's where the GPU is one of NVIDIA's driver, which
 * needs no render node for it and may have none.
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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../vgpud/nvidia.h"

#define DEVICES_MAX 64
/* What libglvnd knows Mesa by, of several vendors. */
#define MESA_VENDOR "/usr/share/glvnd/egl_vendor.d/50_mesa.json"

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
        /* Else Mesa would take a GPU that nobody gave this VM, and NVIDIA's EGL its own. */
        g_setenv("LIBGL_ALWAYS_SOFTWARE", "true", FALSE);
        if (!g_getenv("__EGL_VENDOR_LIBRARY_DIRS") && access(MESA_VENDOR, R_OK) == 0) {
            g_setenv("__EGL_VENDOR_LIBRARY_FILENAMES", MESA_VENDOR, FALSE);
        }
    } else if (early_node < 0 && !nvidia_is_node(render_node)) {
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

/* Its display, or EGL_NO_DISPLAY: it is another vendor's, or it cannot be used from here. */
static EGLDisplay nvidia_display(EGLDeviceEXT device)
{
    const char *extensions = eglQueryDeviceStringEXT(device, EGL_EXTENSIONS);
    EGLDisplay display;
    EGLint major, minor;

    if (!extensions || !strstr(extensions, "EGL_NV_device_cuda")) {
        return EGL_NO_DISPLAY;
    }
    display = eglGetPlatformDisplayEXT(EGL_PLATFORM_DEVICE_EXT, device, NULL);
    return display != EGL_NO_DISPLAY && eglInitialize(display, &major, &minor) ? display : EGL_NO_DISPLAY;
}

/*
 * In the box there is one such GPU whose device can be opened.  Outside of it
 * they come in the order of their numbers.
 */
static bool open_nvidia(Egl *egl, const char *path, GError **error)
{
    unsigned wanted = (unsigned)strtoul(strrchr(path, '/') + strlen("/nvidia"), NULL, 10);
    EGLDeviceEXT devices[DEVICES_MAX];
    EGLint count = 0;

    if (access(path, R_OK | W_OK) < 0) {
        return fail(error, "cannot use the GPU '%s': %s; 'nvidia-modprobe -c %u' makes its device files",
                    path, g_strerror(errno), wanted);
    }
    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_device") ||
        !eglQueryDevicesEXT(DEVICES_MAX, devices, &count)) {
        count = 0;
    }
    for (EGLint i = 0; i <= count && egl->display == EGL_NO_DISPLAY; i++) {
        unsigned n = i ? (unsigned)i - 1 : wanted; /* the wanted one first */

        if (n < (unsigned)count) {
            egl->display = nvidia_display(devices[n]);
        }
    }
    if (egl->display == EGL_NO_DISPLAY) {
        return fail(error,
                    "EGL starts on none of its %d devices for the GPU '%s' (%s); install NVIDIA's EGL "
                    "library of the kernel driver's release (libnvidia-egl or nvidia-egl-icd: "
                    "10_nvidia.json in /usr/share/glvnd/egl_vendor.d)",
                    count, path, egl_error_name());
    }
    return true;
}

static bool open_surfaceless(Egl *egl, GError **error)
{
    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_MESA_platform_surfaceless")) {
        return fail(error, "EGL has no surfaceless platform here; install Mesa (libegl-mesa0, "
                           "libgl1-mesa-dri), or name a render node");
    }
    egl->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
    return true;
}

static bool open_platform(Egl *egl, const char *render_node, GError **error)
{
    if (!render_node) {
        return open_surfaceless(egl, error);
    }
    return nvidia_is_node(render_node) ? open_nvidia(egl, render_node, error)
                                       : open_node(egl, render_node, error);
}

static bool open_display(Egl *egl, const char *render_node, GError **error)
{
    EGLint major, minor;

    if (!render_node) {
        egl_prepare(NULL); /* before EGL is asked anything */
    }
    /* epoxy ends the process when it cannot load libEGL: ask first. */
    if (!epoxy_has_egl()) {
        return fail(error, "libEGL is not installed; install libegl1 and libegl-mesa0");
    }
    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_base")) {
        return fail(error, "EGL here lacks EGL_EXT_platform_base; install %s",
                    nvidia_is_node(render_node) ? "NVIDIA's EGL library of the kernel driver's release"
                                                : "Mesa (libegl-mesa0)");
    }
    if (!open_platform(egl, render_node, error)) {
        return false;
    }
    if (egl->display == EGL_NO_DISPLAY || !eglInitialize(egl->display, &major, &minor)) {
        fail(error, "EGL does not start on %s (%s); check that its driver's EGL is installed",
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
        fail(error, "no OpenGL 3.1 context on %s (%s); check that %s is installed",
             render_node ? render_node : "the surfaceless platform", egl_error_name(),
             nvidia_is_node(render_node) ? "NVIDIA's OpenGL library" : "libgl1-mesa-dri");
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
