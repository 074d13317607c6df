/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floor under every virtio-gpu device: the same streams as
 * tests/qtest/bench-device.c, given straight to libvirglrenderer in one process.
 *
 *   bench-device-floor [--seconds S] PART...
 *
 * Parts: calibrate eventfd init empty fenced fence fence_1ms fence_5ms transfer,
 * the last ones with --clears-1ms and --clears-5ms, which calibrate prints.
 * One line of JSON for each figure, with the names of bench-device.c.
 *
 * A fence is waited for as a device has to wait for it: by virglrenderer's own
 * callback, on its own thread.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bare.h"
#include "bench-figures.h"
#include "bench-work.h"

#define BATCH 32

static int seconds = 3, clears_1ms = 1, clears_5ms = 1;
static bool started;
static double init_ms;

static int64_t deadline(void)
{
    return bench_now_ns() + seconds * 1000000000ll;
}

static void die(const char *what)
{
    fprintf(stderr, "bench-device-floor: %s\n", what);
    exit(1);
}

/* ---- virglrenderer ---- */

static void submit(uint32_t *dwords, size_t count)
{
    if (virgl_renderer_submit_cmd(dwords, WORK_CONTEXT, (int)count)) {
        die("virglrenderer refused a stream");
    }
}

static void fence_begin(void)
{
    if (!bare_fence_begin()) {
        die("virglrenderer made no fence");
    }
}

static void target(uint32_t id, uint32_t side, uint32_t bind, struct iovec *iov)
{
    struct virgl_renderer_resource_create_args args = {
        .handle = id,
        .target = WORK_TARGET_2D,
        .format = WORK_FORMAT_BGRA8,
        .bind = bind,
        .width = side,
        .height = side,
        .depth = 1,
        .array_size = 1,
    };

    if (virgl_renderer_resource_create(&args, NULL, 0) ||
        (iov && virgl_renderer_resource_attach_iov((int)id, iov, 1))) {
        die("virglrenderer refused a resource");
    }
    virgl_renderer_ctx_attach_resource(WORK_CONTEXT, (int)id);
}

static void start(void)
{
    static struct iovec iov;
    g_autoptr(GError) error = NULL;
    uint32_t setup[WORK_SETUP_DWORDS];
    int64_t begin = bench_now_ns();
    size_t count;

    if (!bare_start(NULL, &error)) {
        die(error->message);
    }
    started = true;
    init_ms = (double)(bench_now_ns() - begin) / 1e6;
    if (virgl_renderer_context_create(WORK_CONTEXT, 5, "floor")) {
        die("virglrenderer made no context");
    }
    iov.iov_len = WORK_UPLOAD_SIDE * WORK_UPLOAD_SIDE * 4;
    iov.iov_base = g_malloc0(iov.iov_len);
    target(WORK_TARGET, WORK_SIDE, WORK_BIND_RENDER, NULL);
    target(WORK_TARGET + 1, WORK_SIDE, WORK_BIND_RENDER, NULL);
    target(WORK_UPLOAD, WORK_UPLOAD_SIDE, WORK_BIND_SAMPLER, &iov);
    count = work_setup(setup);
    submit(setup, count);
}

/* ---- parts ---- */

static void submits(const char *name, bool fenced)
{
    uint32_t nop[1];
    size_t count = work_empty(nop);
    int64_t begin = bench_now_ns(), end = deadline();
    uint64_t done = 0;

    while (bench_now_ns() < end) {
        for (unsigned i = 0; i < BATCH; i++) {
            submit(nop, count);
            if (fenced) {
                fence_begin();
            }
        }
        if (fenced) {
            bare_fence_wait();
        }
        done += BATCH;
    }
    bench_figure(name, "1/s", (double)done * 1e9 / (double)(bench_now_ns() - begin), (unsigned)done);
}

static GArray *round_trips(uint32_t *dwords, size_t count)
{
    GArray *took = g_array_new(FALSE, FALSE, sizeof(int64_t));
    int64_t end = deadline();

    while (bench_now_ns() < end) {
        int64_t begin = bench_now_ns();

        submit(dwords, count);
        fence_begin();
        bare_fence_wait();
        begin = bench_now_ns() - begin;
        g_array_append_val(took, begin);
    }
    return took;
}

static void fence_of(const char *name, unsigned clears)
{
    g_autofree uint32_t *dwords = g_new(uint32_t, WORK_CLEARS_DWORDS(clears) + 1);
    size_t count = clears ? work_clears(dwords, clears) : work_empty(dwords);
    g_autoptr(GArray) took = round_trips(dwords, count);

    bench_figure_times(name, (int64_t *)(void *)took->data, took->len);
}

/* How many clears make about so many microseconds of work. */
static void calibrate(const char *name, int64_t us)
{
    unsigned clears = 4;

    for (unsigned round = 0; round < 5; round++) {
        g_autofree uint32_t *dwords = g_new(uint32_t, WORK_CLEARS_DWORDS(clears));
        size_t count = work_clears(dwords, clears);
        g_autoptr(GArray) took = g_array_new(FALSE, FALSE, sizeof(int64_t));

        for (unsigned i = 0; i < 60; i++) {
            int64_t begin = bench_now_ns();

            submit(dwords, count);
            fence_begin();
            bare_fence_wait();
            begin = bench_now_ns() - begin;
            g_array_append_val(took, begin);
        }
        clears = (unsigned)CLAMP(us * 1000 * clears /
                                     MAX(bench_percentile((int64_t *)(void *)took->data, took->len, 50), 1),
                                 1, WORK_CLEAR_MAX / 4);
    }
    bench_figure(name, "clears", clears, 5);
}

static void transfer(void)
{
    struct virgl_box box = { .w = WORK_UPLOAD_SIDE, .h = WORK_UPLOAD_SIDE, .d = 1 };
    int64_t begin = bench_now_ns(), end = deadline();
    unsigned done = 0;

    for (; bench_now_ns() < end; done++) {
        if (virgl_renderer_transfer_write_iov(WORK_UPLOAD, WORK_CONTEXT, 0, WORK_UPLOAD_SIDE * 4, 0, &box, 0,
                                              NULL, 0)) {
            die("virglrenderer refused a transfer");
        }
    }
    bench_figure("transfer_4m", "MB/s",
                 done * (WORK_UPLOAD_SIDE * WORK_UPLOAD_SIDE * 4e-6) * 1e9 / (double)(bench_now_ns() - begin),
                 done);
}

/* ---- a round trip between two processes: the unit in which the path's overhead is counted ---- */

static void eventfd_round_trips(void)
{
    int there = eventfd(0, EFD_CLOEXEC), back = eventfd(0, EFD_CLOEXEC);
    g_autoptr(GArray) took = g_array_new(FALSE, FALSE, sizeof(int64_t));
    uint64_t one = 1, count;
    pid_t child = fork();

    if (child < 0) {
        die("no second process");
    }
    if (child == 0) {
        while (read(there, &count, sizeof(count)) == sizeof(count) && count == 1) {
            (void)!write(back, &one, sizeof(one));
        }
        _exit(0);
    }
    for (unsigned i = 0; i < 20000; i++) {
        int64_t begin = bench_now_ns();

        (void)!write(there, &one, sizeof(one));
        (void)!read(back, &count, sizeof(count));
        begin = bench_now_ns() - begin;
        g_array_append_val(took, begin);
    }
    one = 2;
    (void)!write(there, &one, sizeof(one));
    bench_figure_times("eventfd", (int64_t *)(void *)took->data, took->len);
    close(there);
    close(back);
}

static bool run(const char *part)
{
    if (g_str_equal(part, "eventfd")) {
        eventfd_round_trips();
        return true;
    }
    if (!started) {
        start();
    }
    if (g_str_equal(part, "init")) {
        bench_figure("first_capset", "ms", init_ms, 1);
    } else if (g_str_equal(part, "calibrate")) {
        calibrate("clears_1ms", 1000);
        calibrate("clears_5ms", 5000);
    } else if (g_str_equal(part, "empty")) {
        submits("empty_submits", false);
    } else if (g_str_equal(part, "fenced")) {
        submits("fenced_submits", true);
    } else if (g_str_equal(part, "fence")) {
        fence_of("fence", 0);
    } else if (g_str_equal(part, "fence_1ms")) {
        fence_of("fence_1ms", (unsigned)clears_1ms);
    } else if (g_str_equal(part, "fence_5ms")) {
        fence_of("fence_5ms", (unsigned)clears_5ms);
    } else if (g_str_equal(part, "transfer")) {
        transfer();
    } else {
        fprintf(stderr, "there is no part '%s'; the file's head lists them\n", part);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const GOptionEntry options[] = {
        { "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, NULL, NULL },
        { "clears-1ms", 0, 0, G_OPTION_ARG_INT, &clears_1ms, NULL, NULL },
        { "clears-5ms", 0, 0, G_OPTION_ARG_INT, &clears_5ms, NULL, NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("PART...");
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        die(error->message);
    }
    clears_1ms = CLAMP(clears_1ms, 1, WORK_CLEAR_MAX);
    clears_5ms = CLAMP(clears_5ms, 1, WORK_CLEAR_MAX);
    for (int i = 1; i < argc; i++) {
        if (!run(argv[i])) {
            return 2;
        }
    }
    return 0;
}
