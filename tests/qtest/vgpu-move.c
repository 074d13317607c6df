/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "vgpu-cases.h"
#include "vgpu-move.h"
#include "vgpu-qmp.h"

static char *stderr_path(void)
{
    return g_build_filename(g_get_tmp_dir(), "stderr", NULL);
}

Gpu *move_begin(const char *renderer, const char *device, uint64_t extension)
{
    g_autofree char *config = g_strdup_printf("[renderer]\nkind=%s\n", renderer);
    GpuVm *vm;
    Gpu *g;

    target_configure(config);
    vm = vm_start(device, NULL);
    g = gpu_find(vm, "gpu0", 0);
    g->extension = extension;
    gpu_init(g, UINT64_MAX);
    return g;
}

void move_end(Gpu *g)
{
    GpuVm *vm = g->vm;

    gpu_free(g);
    vm_stop(vm);
}

/* The next QEMU looks for its vgpud there. */
GpuVm *move_elsewhere(const char *device)
{
    static unsigned serial;
    g_autofree char *here = g_strdup(getenv("XDG_RUNTIME_DIR")), *path = stderr_path();
    g_autofree char *there = g_strdup_printf("%s/host%u", here, ++serial);
    int own = dup(2), file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    GpuVm *vm;

    g_assert_cmpint(g_mkdir_with_parents(there, 0700), ==, 0);
    g_assert_cmpint(dup2(file, 2), ==, 2);
    g_setenv("XDG_RUNTIME_DIR", there, true);
    vm = vm_start(device, "-incoming defer");
    g_setenv("XDG_RUNTIME_DIR", here, true);
    g_assert_cmpint(dup2(own, 2), ==, 2);
    close(own);
    close(file);
    return vm;
}

char *move_said(void)
{
    g_autofree char *path = stderr_path();
    char *said;

    g_assert_true(g_file_get_contents(path, &said, NULL, NULL));
    g_test_message("QEMU said: %s", said);
    return said;
}

void move_send(GpuVm *vm, const char *uri)
{
    qtest_qmp_assert_success(vm->qts, "{ 'execute': 'migrate', 'arguments': { 'uri': %s } }", uri);
}

void move_receive(GpuVm *vm, const char *uri)
{
    qtest_qmp_assert_success(vm->qts,
                             "{ 'execute': 'migrate-incoming', 'arguments': "
                             "{ 'uri': %s, 'exit-on-error': false } }",
                             uri);
}

static QDict *query(GpuVm *vm)
{
    QDict *rsp = qtest_qmp(vm->qts, "{ 'execute': 'query-migrate' }");

    g_assert_true(qdict_haskey(rsp, "return"));
    return rsp;
}

char *move_status(GpuVm *vm)
{
    QDict *rsp = query(vm);
    char *status = g_strdup(qdict_get_try_str(qdict_get_qdict(rsp, "return"), "status") ?: "none");

    qobject_unref(rsp);
    return status;
}

bool move_wait(GpuVm *vm, char **why)
{
    int64_t end = g_get_monotonic_time() + MOVE_MS * 1000ll;

    for (;;) {
        g_autofree char *status = move_status(vm);

        if (g_str_equal(status, "completed") || g_str_equal(status, "failed")) {
            if (why) {
                QDict *rsp = query(vm);

                *why = g_strdup(qdict_get_try_str(qdict_get_qdict(rsp, "return"), "error-desc") ?: "");
                g_test_message("%s: %s", status, *why);
                qobject_unref(rsp);
            }
            return g_str_equal(status, "completed");
        }
        if (g_get_monotonic_time() > end) {
            g_test_message("still '%s' after %d ms", status, MOVE_MS);
            g_assert_cmpstr(status, ==, "completed");
        }
        g_usleep(5000);
    }
}

void move_running(GpuVm *vm)
{
    int64_t end = g_get_monotonic_time() + MOVE_MS * 1000ll;

    for (;;) {
        QDict *rsp = qtest_qmp(vm->qts, "{ 'execute': 'query-status' }");
        bool running = qdict_get_bool(qdict_get_qdict(rsp, "return"), "running");

        qobject_unref(rsp);
        if (running) {
            return;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(5000);
    }
}

void move_driver(Gpu *g, GpuVm *vm)
{
    QTestState *old = g->vm->qts;
    char *name = g->vm->name;

    g->vm->qts = vm->qts;
    g->vm->bus->qts = vm->qts;
    g->vm->name = vm->name;
    vm->qts = old;
    vm->bus->qts = old;
    vm->name = name;
    vm_stop(vm);
}

void move_by_socket(Gpu *g, const char *device)
{
    g_autofree char *uri = g_strdup_printf("unix:%s/move", g_get_tmp_dir());
    GpuVm *vm = move_elsewhere(device);

    move_receive(vm, uri);
    move_send(g->vm, uri);
    g_assert_true(move_wait(g->vm, NULL));
    move_running(vm);
    move_driver(g, vm);
}

char *move_to_file(Gpu *g)
{
    char *file = g_build_filename(g_get_tmp_dir(), "saved", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", file), *why = NULL;

    move_send(g->vm, uri);
    g_assert_true(move_wait(g->vm, &why));
    return file;
}

static void by_file(Gpu *g, const char *device, bool running)
{
    g_autofree char *file = move_to_file(g), *uri = g_strdup_printf("file:%s", file);
    GpuVm *vm = move_elsewhere(device);

    move_receive(vm, uri);
    g_assert_true(move_wait(vm, NULL));
    if (running) {
        move_running(vm);
    }
    move_driver(g, vm);
}

void move_by_file(Gpu *g, const char *device)
{
    by_file(g, device, true);
}

void move_by_file_stopped(Gpu *g, const char *device)
{
    by_file(g, device, false);
}

/* ---- a picture ---- */

uint32_t *move_draw(Gpu *g)
{
    uint32_t *pixels = g_new(uint32_t, MOVE_WIDTH *MOVE_HEIGHT);
    struct virtio_gpu_update_cursor c = {
        .hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR, .resource_id = MOVE_CURSOR, .pos = { 0, 11, 22 }, .hot_x = 3
    };
    uint64_t backing = gpu_picture(g, MOVE_PICTURE, MOVE_WIDTH, MOVE_HEIGHT),
             other = vm_alloc(g->vm, 64 * 64 * 4);

    gpu_expect_ok(g, gpu_set_scanout(g, 0, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT));
    gpu_expect_ok(g, gpu_flush(g, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT));
    qtest_memread(g->vm->qts, backing, pixels, MOVE_WIDTH * MOVE_HEIGHT * 4);
    for (unsigned i = 0; i < MOVE_WIDTH * MOVE_HEIGHT; i++) {
        pixels[i] &= 0xffffff;
    }
    move_expect_screen(g, pixels, MOVE_WIDTH, MOVE_HEIGHT);
    qtest_memset(g->vm->qts, backing, 0x77, MOVE_WIDTH * MOVE_HEIGHT * 4);

    for (unsigned i = 0; i < 64 * 64; i += 5) {
        qtest_writel(g->vm->qts, other + i * 4, 0x01020304 * (i % 63));
    }
    gpu_expect_ok(g, gpu_create_2d(g, MOVE_DETACHED, VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, 64, 64));
    gpu_expect_ok(g, gpu_attach(g, MOVE_DETACHED, other, 64 * 64 * 4));
    gpu_expect_ok(g, gpu_transfer_2d(g, MOVE_DETACHED, 0, 0, 64, 64, 0));
    gpu_expect_ok(g, gpu_detach(g, MOVE_DETACHED));

    gpu_expect_ok(g, gpu_create_2d(g, MOVE_CURSOR, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 64, 64));
    gpu_expect_ok(g, gpu_attach(g, MOVE_CURSOR, other, 64 * 64 * 4));
    gpu_expect_ok(g, gpu_transfer_2d(g, MOVE_CURSOR, 0, 0, 64, 64, 0));
    gpu_expect_ok(g, gpu_cursor(g, &c));
    return pixels;
}

void move_expect_detached(Gpu *g)
{
    g_autofree uint32_t *want = g_new0(uint32_t, 64 * 64);

    for (unsigned i = 0; i < 64 * 64; i += 5) { /* R8G8B8X8 */
        want[i] = bswap32(0x01020304 * (i % 63)) >> 8;
    }
    gpu_expect_ok(g, gpu_set_scanout(g, 0, MOVE_DETACHED, 0, 0, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, MOVE_DETACHED, 0, 0, 64, 64));
    move_expect_screen(g, want, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT));
    gpu_expect_ok(g, gpu_flush(g, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT));
}

uint32_t *move_screen(Gpu *g, unsigned w, unsigned h)
{
    int64_t end = g_get_monotonic_time() + MOVE_MS * 1000ll;

    for (;;) {
        unsigned is_w, is_h;
        uint32_t *pixels = qmp_screendump(g, 0, &is_w, &is_h);

        if (is_w == w && is_h == h) {
            return pixels;
        }
        g_free(pixels);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(20000);
    }
}

void move_expect_screen(Gpu *g, const uint32_t *want, unsigned w, unsigned h)
{
    int64_t end = g_get_monotonic_time() + MOVE_MS * 1000ll;
    unsigned i;

    for (;;) {
        g_autofree uint32_t *got = move_screen(g, w, h);

        for (i = 0; i < w * h && got[i] == want[i]; i++) {
            /* the first that differs */
        }
        if (i == w * h) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            g_test_message("pixel %u,%u is %06x and was %06x", i % w, i / w, got[i], want[i]);
            g_assert_cmphex(got[i], ==, want[i]);
        }
        g_usleep(20000);
    }
}

void move_expect_goes_on(Gpu *g)
{
    g_autofree uint32_t *grey = g_new(uint32_t, MOVE_WIDTH *MOVE_HEIGHT);

    for (unsigned i = 0; i < MOVE_WIDTH * MOVE_HEIGHT; i++) {
        grey[i] = 0x777777;
    }
    /* the backing is the guest's, and attached */
    gpu_expect_ok(g, gpu_transfer_2d(g, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT, 0));
    gpu_expect_ok(g, gpu_flush(g, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT));
    move_expect_screen(g, grey, MOVE_WIDTH, MOVE_HEIGHT);
    gpu_expect(g, gpu_create_2d(g, MOVE_PICTURE, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 8, 8),
               VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect(g, gpu_transfer_2d(g, MOVE_DETACHED, 0, 0, 64, 64, 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
    gpu_expect_ok(g, gpu_unref(g, MOVE_DETACHED));
    gpu_expect_ok(g, gpu_unref(g, MOVE_CURSOR));
    gpu_assert_alive(g);
}

/* ---- moving while it goes on ---- */

static void parameter(GpuVm *vm, const char *name, uint64_t value)
{
    qtest_qmp_assert_success(vm->qts,
                             "{ 'execute': 'migrate-set-parameters', 'arguments': { %s: %" PRId64 " } }",
                             name, (int64_t)value);
}

void move_slowly(Gpu *g, const char *uri)
{
    int64_t end = g_get_monotonic_time() + MOVE_MS * 1000ll, sent;

    qtest_memset(g->vm->qts, 160 * 1024 * 1024, 0x5a, 64 * 1024 * 1024);
    parameter(g->vm, "max-bandwidth", 4 * 1024 * 1024);
    parameter(g->vm, "downtime-limit", 1);
    move_send(g->vm, uri);
    do {
        QDict *rsp = qtest_qmp(g->vm->qts, "{ 'execute': 'query-migrate' }");
        QDict *info = qdict_get_qdict(rsp, "return");

        sent = qdict_haskey(info, "ram") ? qdict_get_int(qdict_get_qdict(info, "ram"), "transferred") : 0;
        qobject_unref(rsp);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(10000);
    } while (sent < 3 * 1024 * 1024);
}

void move_hurry_up(Gpu *g)
{
    parameter(g->vm, "max-bandwidth", 10000ull * 1024 * 1024);
    parameter(g->vm, "downtime-limit", 2000);
}
