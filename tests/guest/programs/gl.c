/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gl.h"

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gl_functions gl;

static unsigned framebuffer;

static void die(const char *what)
{
    fprintf(stderr, "%s (EGL error 0x%x)\n", what, (unsigned)eglGetError());
    exit(2);
}

/* The EGL device with this node; there may be several GPUs in a guest. */
static EGLDisplay device_display(const char *path)
{
    PFNEGLQUERYDEVICESEXTPROC query_devices =
        (PFNEGLQUERYDEVICESEXTPROC)eglGetProcAddress("eglQueryDevicesEXT");
    PFNEGLQUERYDEVICESTRINGEXTPROC query_string =
        (PFNEGLQUERYDEVICESTRINGEXTPROC)eglGetProcAddress("eglQueryDeviceStringEXT");
    static const EGLint names[] = { EGL_DRM_DEVICE_FILE_EXT, EGL_DRM_RENDER_NODE_FILE_EXT };
    EGLDeviceEXT devices[32];
    EGLint count = 0;

    if (!query_devices || !query_string || !query_devices(32, devices, &count)) {
        die("EGL cannot list devices");
    }
    for (EGLint i = 0; i < count; i++) {
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
            const char *node = query_string(devices[i], names[n]);

            if (node && strcmp(node, path) == 0) {
                return eglGetPlatformDisplay(EGL_PLATFORM_DEVICE_EXT, devices[i], NULL);
            }
        }
    }
    die("EGL has no device with this node");
    return EGL_NO_DISPLAY;
}

void gl_open(const char *device)
{
    static const EGLint attributes[] = {
        EGL_CONTEXT_MAJOR_VERSION,
        3,
        EGL_CONTEXT_MINOR_VERSION,
        3,
        EGL_CONTEXT_OPENGL_PROFILE_MASK,
        EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT,
        EGL_NONE,
    };
    EGLDisplay display =
        device ? device_display(device) : eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, NULL, NULL);
    EGLContext context;

    if (display == EGL_NO_DISPLAY || !eglInitialize(display, NULL, NULL)) {
        die("EGL does not start");
    }
    eglBindAPI(EGL_OPENGL_API);
    context = eglCreateContext(display, EGL_NO_CONFIG_KHR, EGL_NO_CONTEXT, attributes);
    if (context == EGL_NO_CONTEXT || !eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context)) {
        die("no OpenGL 3.3 context");
    }
#define GL_LOAD(type, name)                                                                                  \
    gl.name = (type)eglGetProcAddress("gl" #name);                                                           \
    if (!gl.name) {                                                                                          \
        die("no function gl" #name);                                                                         \
    }
    GL_FUNCTIONS(GL_LOAD)
#undef GL_LOAD
}

bool gl_target(unsigned texture)
{
    if (!framebuffer) {
        gl.GenFramebuffers(1, &framebuffer);
        gl.BindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    }
    gl.FramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture, 0);
    return gl.CheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE;
}
