// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * OpenGL ES 2 without a display: a triangle over half of a small frame, and
 * every pixel looked at.
 */
#include "try.h"

#include <stdio.h>

#if !__has_include(<EGL/eglext.h>) || !__has_include(<GLES2/gl2.h>)
int try_gl(const char *node)
{
	(void)node;
	fprintf(stderr, "vgpu-smi was built without the headers of EGL\n");
	return TRY_LEFT_OUT;
}
#else

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 64

static void *lib;
static __eglMustCastToProperFunctionPointerType (*get)(const char *name);

/* A function of EGL or GL, cast to the type of its declaration. */
#define CALL(name) ((__typeof__(&(name)))function(#name))

static void *function(const char *name)
{
	void *f = dlsym(lib, name);

	if (!f)
		f = (void *)get(name);
	if (!f) {
		fprintf(stderr, "the OpenGL library has no %s\n", name);
		exit(TRY_FAILED);
	}
	return f;
}

/* The EGL device whose node this is: there may be several GPUs. */
static EGLDisplay display_of(const char *node)
{
	PFNEGLQUERYDEVICESEXTPROC devices_of =
		(PFNEGLQUERYDEVICESEXTPROC)get("eglQueryDevicesEXT");
	PFNEGLQUERYDEVICESTRINGEXTPROC string_of =
		(PFNEGLQUERYDEVICESTRINGEXTPROC)get("eglQueryDeviceStringEXT");
	PFNEGLGETPLATFORMDISPLAYEXTPROC platform_display =
		(PFNEGLGETPLATFORMDISPLAYEXTPROC)get("eglGetPlatformDisplayEXT");
	static const EGLint names[] = {
		0x3377, /* EGL_DRM_RENDER_NODE_FILE_EXT */
		EGL_DRM_DEVICE_FILE_EXT,
	};
	EGLDeviceEXT devices[32];
	EGLint count = 0;

	if (!platform_display)
		return EGL_NO_DISPLAY;
	/* asked for software, Mesa 25 crashes on a device that is none */
	if (getenv("LIBGL_ALWAYS_SOFTWARE") || !devices_of || !string_of ||
	    !devices_of(32, devices, &count))
		count = 0;
	for (int i = 0; i < count * 2; i++) {
		const char *path = string_of(devices[i / 2], names[i % 2]);

		if (path && !strcmp(path, node))
			return platform_display(EGL_PLATFORM_DEVICE_EXT,
						devices[i / 2], NULL);
	}
	return platform_display(EGL_PLATFORM_SURFACELESS_MESA,
				EGL_DEFAULT_DISPLAY, NULL);
}

static bool make_context(const char *node)
{
	static const EGLint wanted[] = { EGL_CONTEXT_CLIENT_VERSION, 2,
					 EGL_NONE };
	EGLDisplay display = display_of(node);
	EGLContext context;

	if (display == EGL_NO_DISPLAY ||
	    !CALL(eglInitialize)(display, NULL, NULL)) {
		fprintf(stderr, "EGL does not start (error 0x%x)\n",
			(unsigned int)CALL(eglGetError)());
		return false;
	}
	CALL(eglBindAPI)(EGL_OPENGL_ES_API);
	context = CALL(eglCreateContext)(display, EGL_NO_CONFIG_KHR,
					 EGL_NO_CONTEXT, wanted);
	if (context == EGL_NO_CONTEXT ||
	    !CALL(eglMakeCurrent)(display, EGL_NO_SURFACE, EGL_NO_SURFACE,
				  context)) {
		fprintf(stderr,
			"there is no OpenGL ES 2 context (error 0x%x)\n",
			(unsigned int)CALL(eglGetError)());
		return false;
	}
	return true;
}

static GLuint shader(GLenum type, const char *source)
{
	GLuint s = CALL(glCreateShader)(type);
	GLint ok = 0;

	CALL(glShaderSource)(s, 1, &source, NULL);
	CALL(glCompileShader)(s);
	CALL(glGetShaderiv)(s, GL_COMPILE_STATUS, &ok);
	return ok ? s : 0;
}

static bool use_program(void)
{
	GLuint vertex = shader(GL_VERTEX_SHADER,
			       "attribute vec2 at;\n"
			       "void main() {\n"
			       "  gl_Position = vec4(at, 0.0, 1.0);\n"
			       "}\n");
	GLuint fragment = shader(GL_FRAGMENT_SHADER,
				 "precision mediump float;\n"
				 "void main() {\n"
				 "  gl_FragColor = vec4(0.0, 1.0, 0.0, 1.0);\n"
				 "}\n");
	GLuint program = CALL(glCreateProgram)();
	GLint ok = 0;

	if (vertex && fragment) {
		CALL(glAttachShader)(program, vertex);
		CALL(glAttachShader)(program, fragment);
		CALL(glBindAttribLocation)(program, 0, "at");
		CALL(glLinkProgram)(program);
		CALL(glGetProgramiv)(program, GL_LINK_STATUS, &ok);
	}
	if (!ok) {
		fprintf(stderr, "a shader does not compile\n");
		return false;
	}
	CALL(glUseProgram)(program);
	return true;
}

static bool make_target(void)
{
	GLuint texture, framebuffer;

	CALL(glGenTextures)(1, &texture);
	CALL(glBindTexture)(GL_TEXTURE_2D, texture);
	CALL(glTexImage2D)(GL_TEXTURE_2D, 0, GL_RGBA, SIZE, SIZE, 0, GL_RGBA,
			   GL_UNSIGNED_BYTE, NULL);
	CALL(glGenFramebuffers)(1, &framebuffer);
	CALL(glBindFramebuffer)(GL_FRAMEBUFFER, framebuffer);
	CALL(glFramebufferTexture2D)(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0,
				     GL_TEXTURE_2D, texture, 0);
	if (CALL(glCheckFramebufferStatus)(GL_FRAMEBUFFER) ==
	    GL_FRAMEBUFFER_COMPLETE)
		return true;
	fprintf(stderr, "a texture of %d x %d pixels cannot be drawn to\n",
		SIZE, SIZE);
	return false;
}

/* Green below the diagonal, red above; on it the driver may choose. */
static bool frame_is_right(const unsigned char *pixels)
{
	for (int y = 0; y < SIZE; y++) {
		for (int x = 0; x < SIZE; x++) {
			const unsigned char *p = pixels + 4 * (y * SIZE + x);
			bool inside = x + y < SIZE - 2;

			if (x + y >= SIZE - 2 && x + y <= SIZE)
				continue;
			if (p[0] == (inside ? 0 : 255) &&
			    p[1] == (inside ? 255 : 0) && p[2] == 0 &&
			    p[3] == 255)
				continue;
			fprintf(stderr,
				"pixel %d, %d is %02x%02x%02x%02x, should be %s\n",
				x, y, p[0], p[1], p[2], p[3],
				inside ? "00ff00ff" : "ff0000ff");
			return false;
		}
	}
	return true;
}

static bool draw(void)
{
	static const GLfloat corners[] = { -1, -1, 1, -1, -1, 1 };
	static unsigned char pixels[SIZE * SIZE * 4];
	GLenum error;

	if (!make_target() || !use_program())
		return false;
	CALL(glViewport)(0, 0, SIZE, SIZE);
	CALL(glClearColor)(1, 0, 0, 1);
	CALL(glClear)(GL_COLOR_BUFFER_BIT);
	CALL(glVertexAttribPointer)(0, 2, GL_FLOAT, GL_FALSE, 0, corners);
	CALL(glEnableVertexAttribArray)(0);
	CALL(glDrawArrays)(GL_TRIANGLES, 0, 3);
	CALL(glReadPixels)(0, 0, SIZE, SIZE, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
	error = CALL(glGetError)();
	if (error) {
		fprintf(stderr, "OpenGL error 0x%x\n", (unsigned int)error);
		return false;
	}
	return frame_is_right(pixels);
}

int try_gl(const char *node)
{
	lib = dlopen("libEGL.so.1", RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return TRY_MISSING;
	}
	get = (__typeof__(get))dlsym(lib, "eglGetProcAddress");
	if (!get || !make_context(node))
		return TRY_FAILED;
	printf("renderer=%s\nversion=%s\n",
	       (const char *)CALL(glGetString)(GL_RENDERER),
	       (const char *)CALL(glGetString)(GL_VERSION));
	fflush(stdout);
	if (!draw())
		return TRY_FAILED;
	printf("frame=right\n");
	return TRY_OK;
}

#endif
