/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gl-load --batch-us N --ready FILE --go FILE --stop FILE [--device NODE]:
 * keeps the GPU busy with draws that each take about so long, DEPTH of them
 * always under way.  Finds out how much work that is, makes READY, begins when
 * there is GO and ends when there is STOP; prints batches= and batch-us=.
 */
#include "gl.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE   256
#define ROUNDS 6
#define TIMES  5
#define DEPTH  4 /* so that the guest's own CPUs may be late */

static const char *const vertex_text =
    "#version 330 core\n"
    "void main() {\n"
    "    vec2 at[3] = vec2[3](vec2(-1.0, -1.0), vec2(3.0, -1.0), vec2(-1.0, 3.0));\n"
    "    gl_Position = vec4(at[gl_VertexID], 0.0, 1.0);\n"
    "}\n";

static const char *const fragment_text = "#version 330 core\n"
                                         "uniform vec4 work;\n"
                                         "out vec4 colour;\n"
                                         "void main() {\n"
                                         "    vec4 v = gl_FragCoord * 0.001;\n"
                                         "    for (float i = 0.0; i < work.x; i += 1.0) {\n"
                                         "        v = fract(v * 1.7 + v.yzwx * 0.3 + work.y);\n"
                                         "    }\n"
                                         "    colour = v;\n"
                                         "}\n";

static int work;

static unsigned compile(unsigned type, const char *text)
{
    unsigned shader = gl.CreateShader(type);
    int good = 0;

    gl.ShaderSource(shader, 1, &text, NULL);
    gl.CompileShader(shader);
    gl.GetShaderiv(shader, GL_COMPILE_STATUS, &good);
    if (!good) {
        fprintf(stderr, "a shader does not compile\n");
        exit(1);
    }
    return shader;
}

static void set_up(void)
{
    unsigned texture, program = gl.CreateProgram(), vertices;
    int good = 0;

    gl.GenTextures(1, &texture);
    gl.BindTexture(GL_TEXTURE_2D, texture);
    gl.TexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAX_LEVEL, 0);
    gl.TexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, SIDE, SIDE, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    gl.AttachShader(program, compile(GL_VERTEX_SHADER, vertex_text));
    gl.AttachShader(program, compile(GL_FRAGMENT_SHADER, fragment_text));
    gl.LinkProgram(program);
    gl.GetProgramiv(program, GL_LINK_STATUS, &good);
    if (!good || !gl_target(texture)) {
        fprintf(stderr, "the program does not link, or the framebuffer is not complete\n");
        exit(1);
    }
    gl.UseProgram(program);
    work = gl.GetUniformLocation(program, "work");
    gl.GenVertexArrays(1, &vertices);
    gl.BindVertexArray(vertices);
    gl.Viewport(0, 0, SIDE, SIDE);
}

/* One draw, sent to the host as a batch of its own. */
static GLsync begin(unsigned loops)
{
    static unsigned n;
    GLsync fence;

    gl.Uniform4f(work, (float)loops, (float)(n++ % 7) * 0.01f, 0.0f, 0.0f);
    gl.DrawArrays(GL_TRIANGLES, 0, 3);
    fence = gl.FenceSync(GL_SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.Flush();
    return fence;
}

static void wait_for(GLsync fence)
{
    GLenum how = gl.ClientWaitSync(fence, GL_SYNC_FLUSH_COMMANDS_BIT, 60000000000ull);

    if (how != GL_ALREADY_SIGNALED && how != GL_CONDITION_SATISFIED) {
        fprintf(stderr, "a batch did not end within a minute\n");
        exit(1);
    }
    gl.DeleteSync(fence);
}

static int compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

/* The time of one in a row of ten of them, us: what the guest itself takes is beside the host's work. */
static double batch_us(unsigned loops)
{
    double times[TIMES];

    for (int i = 0; i < TIMES; i++) {
        GLsync last = begin(loops);
        double start = seconds();

        for (int k = 0; k < 10; k++) {
            GLsync next = begin(loops);

            wait_for(last);
            last = next;
        }
        times[i] = (seconds() - start) * 1e5;
        wait_for(last);
    }
    qsort(times, TIMES, sizeof(times[0]), compare);
    return times[TIMES / 2];
}

static unsigned calibrate(unsigned long wanted_us)
{
    unsigned loops = 16;

    for (int round = 0; round < ROUNDS; round++) {
        double us = batch_us(loops);
        double next = (double)loops * (double)wanted_us / us;

        loops = next < 1 ? 1 : next > 100000 ? 100000 : (unsigned)next;
    }
    return loops;
}

static int exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int main(int argc, char **argv)
{
    unsigned long wanted_us = 10000, batches = 0;
    const char *device = NULL, *ready = NULL, *go = NULL, *stop = NULL;
    double looked = 0;
    unsigned loops;
    GLsync under_way[DEPTH];
    FILE *f;

    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1];

        if (strcmp(argv[i], "--batch-us") == 0) {
            wanted_us = number(value);
        } else if (strcmp(argv[i], "--ready") == 0) {
            ready = value;
        } else if (strcmp(argv[i], "--go") == 0) {
            go = value;
        } else if (strcmp(argv[i], "--stop") == 0) {
            stop = value;
        } else if (strcmp(argv[i], "--device") == 0) {
            device = value;
        }
    }
    if (!ready || !go || !stop) {
        fprintf(stderr, "usage: gl-load --batch-us N --ready FILE --go FILE --stop FILE [--device NODE]\n");
        return 2;
    }
    gl_open(device);
    set_up();
    loops = calibrate(wanted_us);
    printf("batch-us=%.0f\n", batch_us(loops));
    f = fopen(ready, "w");
    if (!f || fclose(f)) {
        perror(ready);
        return 1;
    }
    while (!exists(go)) {
        usleep(50000);
    }
    for (int i = 0; i < DEPTH; i++) {
        under_way[i] = begin(loops);
    }
    for (;;) {
        wait_for(under_way[batches % DEPTH]);
        under_way[batches % DEPTH] = begin(loops);
        batches++;
        if (seconds() > looked + 0.2) { /* a look at the host's files is a batch's time */
            looked = seconds();
            if (exists(stop)) {
                break;
            }
        }
    }
    for (int i = 0; i < DEPTH; i++) {
        wait_for(under_way[i]);
    }
    printf("batches=%lu\n", batches);
    return gl.GetError() == GL_NO_ERROR ? 0 : 1;
}
