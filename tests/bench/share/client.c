/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One VM-like client of a vgpud: a fake front-end on a real renderer that
 * draws by virgl streams, each submit fenced.
 *
 * A submit is some draws over all of a texture (draws.h), which llvmpipe does as
 * one scene: its threads share out the tiles, and all of them have work to the
 * end.  Or it is some clears of two textures in turn (one texture's would be
 * merged), which are as many scenes of 50 us: there the threads wait for each
 * other more than they work, so that no such client keeps all CPUs at work.
 *
 *   bench-share-client SOCKET PROFILE NAME NUMBER [KEY=VALUE...]
 *     clears=N    a submit's work
 *     draws=N     or so; with neither it finds out how many take batch-us
 *     batch-us=N  for that
 *     scenes=1    with neither: clears and not draws
 *     depth=N     submits in flight (saturating): default 2
 *     hz=N        instead: one submit at a time, N a second, and its time is kept
 *
 * Says "ready N" (draws or clears) on stdout, works from "go" on stdin until "stop", then
 * prints "submits N" and, with hz, "frame-us A B C ...".
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "draws.h"
#include "gl_stream.h"
#include "gpu_cmd.h"

#define SIDE      512
#define DEPTH_MAX 16

typedef struct Client {
    Frontend *f;
    GlStream *work;
    unsigned clears, draws, batch_us, scenes, depth, hz;
    uint64_t submits;
    GArray *frames; /* of uint32_t, us */
} Client;

static void make_work(Client *c, unsigned n)
{
    *(c->scenes ? &c->clears : &c->draws) = n;
    g_array_set_size(c->work->dwords, 0);
    gl_set_framebuffer(c->work, 1);
    for (unsigned i = 0; i < c->draws; i++) {
        draws_one(c->work);
    }
    for (unsigned i = 0; i < c->clears; i++) {
        gl_set_framebuffer(c->work, 1 + i % 2);
        gl_clear(c->work, i * 0x010305);
    }
}

static Pending *begin(Client *c)
{
    c->submits++;
    return gpu_submit_fenced(c->f, 1, gl_stream_data(c->work), gl_stream_count(c->work), c->submits);
}

static int64_t one(Client *c)
{
    int64_t start = g_get_monotonic_time();
    Pending *p = begin(c);

    if (!p || !frontend_wait(c->f, p, FRONTEND_COMMAND_DEADLINE)) {
        fprintf(stderr, "a submit of %u draws or clears was not answered\n", c->draws + c->clears);
        exit(1);
    }
    if (gpu_response(p) != OK_NODATA) {
        fprintf(stderr, "a submit of %u draws or clears was refused with 0x%x\n", c->draws + c->clears,
                gpu_response(p));
        exit(1);
    }
    pending_free(p);
    return g_get_monotonic_time() - start;
}

static int compare(const void *a, const void *b)
{
    return *(const int64_t *)a < *(const int64_t *)b ? -1 : 1;
}

#define PIECES_MAX 4096

/* The number of draws or clears that take batch_us, by the median of some runs. */
static void calibrate(Client *c)
{
    double per_piece = 0;
    unsigned n = 4;

    for (unsigned round = 0; round < 6; round++) {
        int64_t times[9];

        make_work(c, n);
        for (unsigned i = 0; i < G_N_ELEMENTS(times); i++) {
            times[i] = one(c);
        }
        qsort(times, G_N_ELEMENTS(times), sizeof(times[0]), compare);
        per_piece = (double)times[G_N_ELEMENTS(times) / 2] / n;
        n = CLAMP((unsigned)(c->batch_us / per_piece), 1, PIECES_MAX);
    }
    if (n == PIECES_MAX) {
        fprintf(stderr, "%u draws or clears take less than %u us: nothing is drawn\n", n, c->batch_us);
        exit(1);
    }
    make_work(c, n);
}

static bool told(const char *word)
{
    struct pollfd p = { .fd = 0, .events = POLLIN };
    char line[64];

    if (poll(&p, 1, 0) <= 0) {
        return false;
    }
    return !fgets(line, sizeof(line), stdin) || g_str_has_prefix(line, word);
}

static void saturate(Client *c)
{
    Pending *p[DEPTH_MAX] = { NULL };

    for (unsigned i = 0;; i = (i + 1) % c->depth) {
        if (p[i]) {
            if (!frontend_wait(c->f, p[i], 60000)) {
                fprintf(stderr, "a submit was not answered within a minute\n");
                exit(1);
            }
            pending_free(p[i]);
        }
        p[i] = NULL;
        if (told("stop")) {
            break;
        }
        p[i] = begin(c);
    }
    for (unsigned i = 0; i < c->depth; i++) {
        if (p[i] && frontend_wait(c->f, p[i], 60000)) {
            pending_free(p[i]);
        }
    }
}

static void paced(Client *c)
{
    int64_t next = g_get_monotonic_time();

    while (!told("stop")) {
        uint32_t us = (uint32_t)one(c);
        int64_t now = g_get_monotonic_time();

        g_array_append_val(c->frames, us);
        next = MAX(next + 1000000 / c->hz, now);
        g_usleep(next - now);
    }
}

static void set(Client *c, const char *text)
{
    g_auto(GStrv) pair = g_strsplit(text, "=", 2);
    const struct {
        const char *key;
        unsigned *to;
    } keys[] = {
        { "clears", &c->clears }, { "draws", &c->draws }, { "batch-us", &c->batch_us },
        { "scenes", &c->scenes }, { "depth", &c->depth }, { "hz", &c->hz },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (pair[1] && g_str_equal(pair[0], keys[i].key)) {
            *keys[i].to = (unsigned)strtoul(pair[1], NULL, 10);
            return;
        }
    }
    fprintf(stderr, "what is '%s'?\n", text);
    exit(2);
}

int main(int argc, char **argv)
{
    Vgpud d = { 0 };
    Client c = { .batch_us = 2000, .depth = 2 };
    int fd;

    if (argc < 5) {
        fprintf(stderr, "usage: bench-share-client SOCKET PROFILE NAME NUMBER [KEY=VALUE...]\n");
        return 2;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    for (int i = 5; i < argc; i++) {
        set(&c, argv[i]);
    }
    c.depth = CLAMP(c.depth, 1, DEPTH_MAX);
    d.socket = argv[1];
    c.f = attach_vm(&d, argv[2], argv[3], (unsigned)atoi(argv[4]), &fd);
    c.work = gl_stream_new();
    c.frames = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    if (!c.f || c.f->dead || gpu_context_create(c.f, 1, 0) != OK_NODATA) {
        fprintf(stderr, "the renderer does not serve OpenGL\n");
        return 1;
    }
    for (unsigned i = 1; i <= 2; i++) {
        gpu_create_texture(c.f, i, BGRX, SIDE, SIDE);
        gpu_context_attach(c.f, 1, i);
        gl_create_surface(c.work, i, i, BGRX);
    }
    draws_prepare(c.work, SIDE);
    one(&c);
    c.scenes |= c.clears;
    if (c.clears || c.draws) {
        make_work(&c, c.clears + c.draws);
    } else {
        calibrate(&c);
    }
    printf("ready %u\n", c.clears + c.draws);
    fflush(stdout);
    while (!told("go")) {
        g_usleep(1000);
    }
    c.submits = 0;
    if (c.hz) {
        paced(&c);
    } else {
        saturate(&c);
    }
    printf("submits %" G_GUINT64_FORMAT "\n", (guint64)c.submits);
    if (c.hz) {
        printf("frame-us");
        for (guint i = 0; i < c.frames->len; i++) {
            printf(" %u", g_array_index(c.frames, uint32_t, i));
        }
        printf("\n");
    }
    fflush(stdout);
    frontend_free(c.f);
    close(fd);
    return 0;
}
