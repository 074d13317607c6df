/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a user of the VM's screens sees: screendump after a flush has the
 * pixels, and a window (a VNC client here) that changes size is an event for
 * the guest.  Pictures travel beside the virtqueue, so a picture may come a
 * little after the answer to its flush: it is waited for.
 */
#include "qemu/osdep.h"
#include <sys/un.h>
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"

#define PICTURE_MS 5000

/* As gpu_picture() paints them. */
static uint32_t picture_pixel(uint32_t x, uint32_t y)
{
    return ((x ^ y) & 0xff) << 16 | (y & 0xff) << 8 | (x & 0xff);
}

static bool screen_is(Gpu *g, unsigned head, unsigned width, unsigned height,
                      uint32_t (*want)(uint32_t x, uint32_t y), bool tell)
{
    unsigned w, h, x, y;
    g_autofree uint32_t *pixels = qmp_screendump(g, head, &w, &h);

    if (w != width || h != height) {
        if (tell) {
            g_test_message("head %u is %ux%u, expected %ux%u", head, w, h, width, height);
        }
        return false;
    }
    for (y = 0; y < h; y++) {
        for (x = 0; x < w; x++) {
            if (pixels[y * w + x] != want(x, y)) {
                if (tell) {
                    g_test_message("head %u, pixel (%u, %u) is %06x, expected %06x", head, x, y,
                                   pixels[y * w + x], want(x, y));
                }
                return false;
            }
        }
    }
    return true;
}

static void expect_screen(Gpu *g, unsigned head, unsigned width, unsigned height,
                          uint32_t (*want)(uint32_t x, uint32_t y))
{
    int64_t end = g_get_monotonic_time() + PICTURE_MS * 1000ll;

    while (!screen_is(g, head, width, height, want, false)) {
        if (g_get_monotonic_time() > end) {
            g_assert_true(screen_is(g, head, width, height, want, true));
        }
        g_usleep(10000);
    }
}

static void show(Gpu *g, uint32_t scanout, uint32_t id, uint32_t width, uint32_t height)
{
    gpu_picture(g, id, width, height);
    gpu_expect_ok(g, gpu_set_scanout(g, scanout, id, 0, 0, width, height));
    gpu_expect_ok(g, gpu_flush(g, id, 0, 0, width, height));
}

static void flush_shows_pixels(Gpu *g)
{
    show(g, 0, 1, 320, 200);
    expect_screen(g, 0, 320, 200, picture_pixel);
}

static void odd_width(Gpu *g)
{
    show(g, 0, 1, 333, 77);
    expect_screen(g, 0, 333, 77, picture_pixel);
}

static void large_picture(Gpu *g)
{
    show(g, 0, 1, 1920, 1080);
    expect_screen(g, 0, 1920, 1080, picture_pixel);
}

static uint32_t green_inside(uint32_t x, uint32_t y)
{
    return x >= 100 && x < 150 && y >= 40 && y < 60 ? 0x00ff00 : picture_pixel(x, y);
}

/* Only the rectangle that was transferred and flushed changes. */
static void partial_update(Gpu *g)
{
    uint64_t addr;
    unsigned y;

    addr = gpu_picture(g, 1, 320, 200);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 320, 200));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 320, 200));
    expect_screen(g, 0, 320, 200, picture_pixel);
    for (y = 0; y < 200; y++) {
        uint32_t row[320];
        unsigned x;

        for (x = 0; x < 320; x++) {
            row[x] = 0xff00ff00;
        }
        qtest_bufwrite(g->vm->qts, addr + y * 320 * 4, row, sizeof(row));
    }
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 100, 40, 50, 20, (40 * 320 + 100) * 4));
    gpu_expect_ok(g, gpu_flush(g, 1, 100, 40, 50, 20));
    expect_screen(g, 0, 320, 200, green_inside);
}

static uint32_t shifted(uint32_t x, uint32_t y)
{
    return picture_pixel(x + 30, y + 20);
}

static void part_of_a_resource(Gpu *g)
{
    gpu_picture(g, 1, 256, 256);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 30, 20, 100, 90));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 256, 256));
    expect_screen(g, 0, 100, 90, shifted);
}

static void every_head_its_own(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 4; i++) {
        show(g, i, 10 + i, 64 + 16 * i, 64);
    }
    for (i = 0; i < 4; i++) {
        expect_screen(g, i, 64 + 16 * i, 64, picture_pixel);
    }
}

static void page_flip(Gpu *g)
{
    unsigned i;

    gpu_picture(g, 1, 256, 128);
    gpu_picture(g, 2, 256, 128);
    for (i = 0; i < 200; i++) {
        uint32_t id = 1 + i % 2;

        gpu_expect_ok(g, gpu_set_scanout(g, 0, id, 0, 0, 256, 128));
        gpu_expect_ok(g, gpu_flush(g, id, 0, 0, 256, 128));
    }
    expect_screen(g, 0, 256, 128, picture_pixel);
}

static void mode_changes(Gpu *g)
{
    unsigned i;

    for (i = 1; i < 10; i++) {
        show(g, 0, i, 100 * i, 60 * i);
        expect_screen(g, 0, 100 * i, 60 * i, picture_pixel);
    }
}

/* X8R8G8B8 etc. are named by byte order in memory: red is byte 1 there. */
static uint32_t rgb_of_format;
static uint32_t flat(uint32_t x, uint32_t y)
{
    return rgb_of_format;
}

static void every_format(Gpu *g)
{
    static const struct {
        uint32_t format, pixel;
    } formats[] = {
        { VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 0xff112233 }, { VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 0xff112233 },
        { VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, 0x332211ff }, { VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, 0x332211ff },
        { VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, 0xff332211 }, { VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, 0xff332211 },
        { VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, 0x112233ff }, { VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, 0x112233ff },
    };
    unsigned i, j;

    rgb_of_format = 0x112233;
    for (i = 0; i < G_N_ELEMENTS(formats); i++) {
        uint32_t pixels[32 * 32];
        uint64_t addr = vm_alloc(g->vm, sizeof(pixels));

        g_test_message("format %u", formats[i].format);
        for (j = 0; j < 32 * 32; j++) {
            pixels[j] = formats[i].pixel;
        }
        qtest_bufwrite(g->vm->qts, addr, pixels, sizeof(pixels));
        gpu_expect_ok(g, gpu_create_2d(g, 1 + i, formats[i].format, 32, 32));
        gpu_expect_ok(g, gpu_attach(g, 1 + i, addr, sizeof(pixels)));
        gpu_expect_ok(g, gpu_transfer_2d(g, 1 + i, 0, 0, 32, 32, 0));
        gpu_expect_ok(g, gpu_set_scanout(g, 0, 1 + i, 0, 0, 32, 32));
        gpu_expect_ok(g, gpu_flush(g, 1 + i, 0, 0, 32, 32));
        expect_screen(g, 0, 32, 32, flat);
    }
}

static void before_any_scanout(Gpu *g)
{
    unsigned w, h;

    g_free(qmp_screendump(g, 0, &w, &h));
    g_assert_cmpuint(w, >, 0);
}

static void after_disable(Gpu *g)
{
    unsigned w, h;

    show(g, 0, 1, 320, 200);
    expect_screen(g, 0, 320, 200, picture_pixel);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 0, 0, 0, 0, 0));
    gpu_expect_ok(g, gpu_unref(g, 1));
    g_free(qmp_screendump(g, 0, &w, &h));
}

/* QEMU's own surface for a screen that is off is a memfd: without a descriptor for that it ended (abort). */
static void off_without_descriptors(Gpu *g)
{
    pid_t pid = qtest_pid(g->vm->qts);
    struct rlimit was;
    unsigned w, h;

    show(g, 0, 1, 320, 200);
    expect_screen(g, 0, 320, 200, picture_pixel);
    process_starve(pid, &was);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 0, 0, 0, 0, 0));
    qtest_qmp_assert_success(g->vm->qts,
                             "{ 'execute': 'query-status' }"); /* it has read what the renderer said */
    g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, &was, NULL), ==, 0);
    g_free(qmp_screendump(g, 0, &w, &h));
    g_assert_cmpuint(w, ==, 320);
    show(g, 0, 2, 320, 200);
    expect_screen(g, 0, 320, 200, picture_pixel);
}

static void after_reset(Gpu *g)
{
    unsigned w, h;

    show(g, 0, 1, 320, 200);
    expect_screen(g, 0, 320, 200, picture_pixel);
    gpu_init(g, UINT64_MAX);
    g_free(qmp_screendump(g, 0, &w, &h));
    show(g, 0, 1, 160, 100);
    expect_screen(g, 0, 160, 100, picture_pixel);
}

/* --- a VNC client that asks for another size --- */

static void vnc_read(int fd, void *buf, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = read(fd, (char *)buf + got, len - got);

        g_assert_cmpint(n, >, 0);
        got += n;
    }
}

static int vnc_connect(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    uint8_t buf[64];
    uint32_t name_len;

    g_assert_cmpuint(strlen(path), <, sizeof(addr.sun_path));
    strcpy(addr.sun_path, path);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    vnc_read(fd, buf, 12);
    g_assert_cmpint(write(fd, "RFB 003.008\n", 12), ==, 12);
    vnc_read(fd, buf, 1);
    vnc_read(fd, buf + 1, buf[0]);
    g_assert_cmpint(write(fd, "\1", 1), ==, 1); /* no authentication */
    vnc_read(fd, buf, 4);
    g_assert_cmpint(write(fd, "\1", 1), ==, 1); /* shared */
    vnc_read(fd, buf, 24);
    memcpy(&name_len, buf + 20, 4);
    name_len = ntohl(name_len);
    g_assert_cmpuint(name_len, <, sizeof(buf));
    vnc_read(fd, buf, name_len);
    return fd;
}

static void vnc_set_desktop_size(int fd, uint16_t width, uint16_t height)
{
    uint8_t msg[24] = {
        251, 0, width >> 8, width & 0xff, height >> 8, height & 0xff, 1, 0, 0, 0, 0, 0, 0, 0,
        0,   0, width >> 8, width & 0xff, height >> 8, height & 0xff, 0, 0, 0, 0,
    };

    g_assert_cmpint(write(fd, msg, sizeof(msg)), ==, sizeof(msg));
}

static void window_changes_size(Gpu *none)
{
    g_autofree char *sock = g_build_filename(g_get_tmp_dir(), "vnc", NULL);
    g_autofree char *device = g_strdup_printf("%s,id=gpu0", current_driver());
    g_autofree char *args = g_strdup_printf("-vnc unix:%s", sock);
    struct virtio_gpu_resp_display_info info;
    int64_t end = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;
    GpuVm *vm = vm_start(device, args);
    Gpu *g = gpu_find(vm, "gpu0", 0);
    int fd;

    gpu_init(g, UINT64_MAX);
    fd = vnc_connect(sock);
    vnc_set_desktop_size(fd, 1600, 904);
    while (!(qvirtio_config_readl(g->dev, 0) & VIRTIO_GPU_EVENT_DISPLAY)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    gpu_expect(g, gpu_display_info(g, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    g_assert_cmpuint(info.pmodes[0].r.width, ==, 1600);
    g_assert_cmpuint(info.pmodes[0].r.height, ==, 904);
    qpci_io_writel(g->pci->pdev, g->pci->bar,
                   g->pci->device_cfg_offset + offsetof(struct virtio_gpu_config, events_clear),
                   VIRTIO_GPU_EVENT_DISPLAY);
    g_assert_cmphex(qvirtio_config_readl(g->dev, 0), ==, 0);
    if (gpu_has(g, VIRTIO_GPU_F_EDID)) {
        struct virtio_gpu_resp_edid edid;

        gpu_expect(g, gpu_edid(g, 0, &edid), VIRTIO_GPU_RESP_OK_EDID);
        g_assert_cmpuint(edid.edid[54 + 2] | (edid.edid[54 + 4] & 0xf0) << 4, ==, 1600);
    }
    show(g, 0, 1, 1600, 904);
    expect_screen(g, 0, 1600, 904, picture_pixel);
    close(fd);
    gpu_free(g);
    vm_stop(vm);
}

const GpuCase cases_console[] = { { "console/flush-shows-pixels", flush_shows_pixels },
                                  { "console/odd-width", odd_width },
                                  { "console/large-picture", large_picture },
                                  { "console/partial-update", partial_update },
                                  { "console/part-of-a-resource", part_of_a_resource },
                                  { "console/every-head-its-own", every_head_its_own, 0, "max_outputs=4" },
                                  { "console/page-flip", page_flip },
                                  { "console/mode-changes", mode_changes },
                                  { "console/every-format", every_format },
                                  { "console/before-any-scanout", before_any_scanout },
                                  { "console/after-disable", after_disable },
                                  { "console/off-without-descriptors", off_without_descriptors, CASE_OURS },
                                  { "console/after-reset", after_reset },
                                  { "console/window-changes-size", window_changes_size, CASE_RAW },
                                  { NULL } };
