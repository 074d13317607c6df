/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gl-fill TOTAL CHUNK [--hold SECONDS] [--device NODE]: textures of CHUNK MiB
 * until the next would pass TOTAL MiB, each filled with a pattern of its own and read
 * back.  Last line and status:
 *
 *   ok bytes=B textures=N seconds=S    0: everything holds its data, also at the end
 *   out-of-memory bytes=B textures=N   3: GL_OUT_OF_MEMORY; what was there is intact
 *   lost bytes=B textures=N            4: what was read back is not what was written:
 *                                         the context is gone (all there is to hear
 *                                         from a stock driver); B and N held before
 *
 * --hold prints "holding" when all is filled and keeps it for so long, then
 * checks again.
 */
#include "gl.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH        1024
#define ROWS_PER_MIB (1024 * 1024 / 4 / WIDTH)
#define BAND         ROWS_PER_MIB /* rows moved at once: 1 MiB */
#define TEXTURES_MAX 4096

enum { SOURCE, SCRATCH };
static unsigned framebuffers[2];
static unsigned textures[TEXTURES_MAX];
static uint32_t band[BAND][WIDTH], back[BAND][WIDTH];

/* Never 0, so that a lost context's black is always wrong. */
static void pattern(unsigned index, unsigned first_row)
{
    for (unsigned y = 0; y < BAND; y++) {
        uint32_t v = (index + 1) * 2654435761u + (first_row + y) * 40503u;

        for (unsigned x = 0; x < WIDTH; x++) {
            band[y][x] = (v + x * 0x01010101u) | 0x00010000u;
        }
    }
}

static void upload(unsigned index, unsigned rows)
{
    for (unsigned y = 0; y < rows; y += BAND) {
        pattern(index, y);
        gl.TexSubImage2D(GL_TEXTURE_2D, 0, 0, (int)y, WIDTH, BAND, GL_RGBA, GL_UNSIGNED_BYTE, band);
    }
}

static void make_scratch(void)
{
    unsigned texture;

    gl.GenFramebuffers(2, framebuffers);
    gl.GenTextures(1, &texture);
    gl.BindTexture(GL_TEXTURE_2D, texture);
    gl.TexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAX_LEVEL, 0);
    gl.TexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, WIDTH, BAND, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    gl.BindFramebuffer(GL_FRAMEBUFFER, framebuffers[SCRATCH]);
    gl.FramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture, 0);
}

/*
 * A band of the texture by way of the scratch one, turned upside down by the
 * GPU.  In a lost context nothing is executed or read back, and what the guest
 * then finds is an older buffer of its own, often just the one that it uploaded:
 * without the turn it would pass for the texture.
 */
static void read_band(unsigned first_row)
{
    gl.BindFramebuffer(GL_READ_FRAMEBUFFER, framebuffers[SOURCE]);
    gl.BindFramebuffer(GL_DRAW_FRAMEBUFFER, framebuffers[SCRATCH]);
    gl.BlitFramebuffer(0, (int)first_row, WIDTH, (int)(first_row + BAND), 0, BAND, WIDTH, 0,
                       GL_COLOR_BUFFER_BIT, GL_NEAREST);
    gl.BindFramebuffer(GL_READ_FRAMEBUFFER, framebuffers[SCRATCH]);
    gl.ReadPixels(0, 0, WIDTH, BAND, GL_RGBA, GL_UNSIGNED_BYTE, back);
}

static bool band_is_back(void)
{
    for (unsigned y = 0; y < BAND; y++) {
        if (memcmp(band[y], back[BAND - 1 - y], sizeof(band[y])) != 0) {
            return false;
        }
    }
    return true;
}

static bool holds(unsigned index, unsigned rows)
{
    gl.BindFramebuffer(GL_FRAMEBUFFER, framebuffers[SOURCE]);
    gl.FramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, textures[index], 0);
    if (gl.CheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) {
        return false;
    }
    for (unsigned y = 0; y < rows; y += BAND) {
        pattern(index, y);
        memset(back, 0, sizeof(back));
        read_band(y);
        if (!band_is_back()) {
            return false;
        }
    }
    return true;
}

static bool all_hold(unsigned count, unsigned rows)
{
    for (unsigned i = 0; i < count; i++) {
        if (!holds(i, rows)) {
            fprintf(stderr, "texture %u of %u does not hold its data\n", i, count);
            return false;
        }
    }
    return true;
}

static int report(const char *what, unsigned count, unsigned long chunk, int status)
{
    printf("%s bytes=%llu textures=%u\n", what, (unsigned long long)count * chunk << 20, count);
    return status;
}

/* 0, or the status to end with. */
static int add_texture(unsigned index, unsigned long chunk, unsigned rows)
{
    unsigned error;

    gl.GenTextures(1, &textures[index]);
    gl.BindTexture(GL_TEXTURE_2D, textures[index]);
    gl.TexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAX_LEVEL, 0);
    gl.TexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    gl.TexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, WIDTH, (int)rows, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    error = gl.GetError();
    if (error == GL_OUT_OF_MEMORY) {
        return all_hold(index, rows) ? report("out-of-memory", index, chunk, 3)
                                     : report("lost", index, chunk, 4);
    }
    if (error) {
        fprintf(stderr, "glTexImage2D: GL error 0x%x\n", error);
        return 1;
    }
    upload(index, rows);
    gl.Finish();
    if (!holds(index, rows)) {
        fprintf(stderr, "the first texture %s its data\n", holds(0, rows) ? "holds" : "has lost");
        return report("lost", index, chunk, 4);
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned long total, chunk, hold = 0;
    const char *device = NULL;
    unsigned count, rows;
    double start = seconds();
    int status, limit;

    if (argc < 3 || argc % 2 == 0) {
        fprintf(stderr, "usage: gl-fill TOTAL CHUNK [--hold SECONDS] [--device NODE]\n");
        return 2;
    }
    total = number(argv[1]);
    chunk = number(argv[2]);
    for (int i = 3; i < argc; i += 2) {
        if (strcmp(argv[i], "--hold") == 0) {
            hold = number(argv[i + 1]);
        } else if (strcmp(argv[i], "--device") == 0) {
            device = argv[i + 1];
        } else {
            fprintf(stderr, "unknown option '%s'\n", argv[i]);
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    gl_open(device);
    gl.GetIntegerv(GL_MAX_TEXTURE_SIZE, &limit);
    if (chunk == 0 || chunk * ROWS_PER_MIB > (unsigned long)limit || total / chunk > TEXTURES_MAX) {
        fprintf(stderr, "CHUNK is 1 to %d MiB here, TOTAL at most %d times that\n", limit / ROWS_PER_MIB,
                TEXTURES_MAX);
        return 2;
    }
    make_scratch();
    count = (unsigned)(total / chunk);
    rows = (unsigned)chunk * ROWS_PER_MIB;
    for (unsigned i = 0; i < count; i++) {
        status = add_texture(i, chunk, rows);
        if (status) {
            return status;
        }
    }
    if (hold) {
        printf("holding\n");
        sleep((unsigned)hold);
    }
    if (!all_hold(count, rows)) {
        return report("lost", 0, chunk, 4);
    }
    printf("ok bytes=%llu textures=%u seconds=%.2f\n", (unsigned long long)count * chunk << 20, count,
           seconds() - start);
    return 0;
}
