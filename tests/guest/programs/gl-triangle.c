/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gl-triangle [--frames N | --seconds S] [--size PIXELS] [--device NODE] [--json]:
 * draws a triangle off screen N times (default 1) or for S seconds, checks pixels
 * inside and outside of it after the first and the last frame, prints frames=,
 * seconds=, fps= and pixels=, or a line of JSON.
 * Status 0 when the pixels are right, 1 when not, 2 without OpenGL.
 */
#include "gl.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const vertex_text =
    "#version 330 core\n"
    "void main() {\n"
    "    vec2 at[3] = vec2[3](vec2(-0.5, -0.5), vec2(0.5, -0.5), vec2(0.0, 0.5));\n"
    "    gl_Position = vec4(at[gl_VertexID], 0.0, 1.0);\n"
    "}\n";

static const char *const fragment_text = "#version 330 core\n"
                                         "uniform vec4 paint;\n"
                                         "out vec4 colour;\n"
                                         "void main() { colour = paint; }\n";

static unsigned compile(unsigned type, const char *text)
{
    unsigned shader = gl.CreateShader(type);
    char log[1024] = "";
    int good = 0;

    gl.ShaderSource(shader, 1, &text, NULL);
    gl.CompileShader(shader);
    gl.GetShaderiv(shader, GL_COMPILE_STATUS, &good);
    if (!good) {
        gl.GetShaderInfoLog(shader, sizeof(log), NULL, log);
        fprintf(stderr, "a shader does not compile: %s\n", log);
        exit(1);
    }
    return shader;
}

static unsigned link_program(void)
{
    unsigned program = gl.CreateProgram();
    int good = 0;

    gl.AttachShader(program, compile(GL_VERTEX_SHADER, vertex_text));
    gl.AttachShader(program, compile(GL_FRAGMENT_SHADER, fragment_text));
    gl.LinkProgram(program);
    gl.GetProgramiv(program, GL_LINK_STATUS, &good);
    if (!good) {
        fprintf(stderr, "the shaders do not link\n");
        exit(1);
    }
    return program;
}

static bool make_target(int size)
{
    unsigned texture;

    gl.GenTextures(1, &texture);
    gl.BindTexture(GL_TEXTURE_2D, texture);
    gl.TexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAX_LEVEL, 0);
    gl.TexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, size, size, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    return gl_target(texture);
}

/* The triangle's colour steps with the frame, so that an old picture is seen as one. */
static uint8_t red_of(unsigned long frame)
{
    return (uint8_t)(255 - frame % 128);
}

static void draw(unsigned long frame, int paint)
{
    gl.ClearColor(0.0f, 0.0f, 1.0f, 1.0f);
    gl.Clear(GL_COLOR_BUFFER_BIT);
    gl.Uniform4f(paint, (float)red_of(frame) / 255.0f, 1.0f, 0.0f, 1.0f);
    gl.DrawArrays(GL_TRIANGLES, 0, 3);
    gl.Flush();
}

static bool pixel_is(int x, int y, const uint8_t want[4])
{
    uint8_t have[4] = { 9, 9, 9, 9 };

    gl.ReadPixels(x, y, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE, have);
    for (int i = 0; i < 4; i++) {
        if (abs(have[i] - want[i]) > 1) {
            fprintf(stderr, "pixel %d,%d is %u,%u,%u,%u, not %u,%u,%u,%u\n", x, y, have[0], have[1], have[2],
                    have[3], want[0], want[1], want[2], want[3]);
            return false;
        }
    }
    return true;
}

/* Middle, near each corner of the triangle, and the same distances outside. */
static bool picture_is_right(unsigned long frame, int size)
{
    const uint8_t in[4] = { red_of(frame), 255, 0, 255 };
    const uint8_t out[4] = { 0, 0, 255, 255 };
    int q = size / 4, e = size / 16;

    return pixel_is(size / 2, size / 2, in) && pixel_is(q + e, q + 1, in) && pixel_is(3 * q - e, q + 1, in) &&
           pixel_is(size / 2, 3 * q - e, in) && pixel_is(q - e, q, out) && pixel_is(3 * q + e, q, out) &&
           pixel_is(size / 2, 3 * q + e, out) && pixel_is(0, 0, out) && pixel_is(size - 1, size - 1, out) &&
           pixel_is(q, 3 * q, out);
}

int main(int argc, char **argv)
{
    unsigned long frames = 1, size = 256;
    const char *device = NULL;
    bool right;
    bool json = false;
    double start, took, limit = 0;
    int paint;
    unsigned program, vertices;

    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--frames") == 0) {
            frames = number(argv[i + 1]);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            limit = (double)number(argv[i + 1]);
        } else if (strcmp(argv[i], "--size") == 0) {
            size = number(argv[i + 1]);
        } else if (strcmp(argv[i], "--device") == 0 && argv[i + 1]) {
            device = argv[i + 1];
        } else if (strcmp(argv[i], "--json") == 0) {
            json = true;
            i--;
        } else {
            fprintf(stderr, "usage: gl-triangle [--frames N | --seconds S] [--size PIXELS] [--device NODE] "
                            "[--json]\n");
            return 2;
        }
    }
    if (frames == 0 || size < 64 || size > 8192) {
        fprintf(stderr, "--frames is at least 1, --size 64 to 8192\n");
        return 2;
    }
    gl_open(device);
    if (!make_target((int)size)) {
        fprintf(stderr, "the framebuffer is not complete\n");
        return 1;
    }
    program = link_program();
    gl.UseProgram(program);
    paint = gl.GetUniformLocation(program, "paint");
    gl.GenVertexArrays(1, &vertices);
    gl.BindVertexArray(vertices);
    gl.Viewport(0, 0, (int)size, (int)size);

    draw(0, paint);
    right = picture_is_right(0, (int)size);
    start = seconds();
    for (unsigned long frame = 1; limit > 0 ? seconds() - start < limit : frame < frames; frame++) {
        draw(frame, paint);
        if (limit > 0) {
            frames = frame + 1;
            /* no longer a queue than an application with a screen would have */
            if (frame % 4 == 0) {
                gl.Finish();
            }
        }
    }
    gl.Finish();
    took = seconds() - start;
    right = right && picture_is_right(frames - 1, (int)size) && gl.GetError() == GL_NO_ERROR;
    if (json) {
        printf("{\"program\": \"gl-triangle\", \"device\": \"%s\", \"right\": %s, \"unit\": \"frames\", "
               "\"count\": %lu, \"seconds\": %.3f, \"per_second\": %.3f}\n",
               (const char *)gl.GetString(GL_RENDERER), right ? "true" : "false", frames - 1, took,
               took > 0 ? (double)(frames - 1) / took : 0.0);
    } else {
        printf("frames=%lu\nseconds=%.3f\nfps=%.1f\npixels=%s\n", frames, took,
               took > 0 ? (double)(frames - 1) / took : 0.0, right ? "ok" : "wrong");
    }
    return right ? 0 : 1;
}
