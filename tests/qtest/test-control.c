/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An operator changes a running VM: what its device and its guest see of it. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu/stats.h"
#include "vgpu/virtio.h"

#define MIB     (1024ull * 1024)
#define BACK_MS 15000

/* vgpuctl COMMAND VM [WORD] */
static void vgpuctl(Gpu *g, const char *command, const char *word)
{
    g_autofree char *path = g_find_program_in_path("vgpuctl"), *err = NULL;
    char *argv[] = { path, (char *)command, (char *)g->vm->name, (char *)word, NULL };
    int status;

    g_assert_nonnull(path);
    g_assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &err, &status, NULL));
    if (status) {
        g_test_message("vgpuctl %s: %s", command, err);
    }
    g_assert_cmpint(status, ==, 0);
}

/* One system_reset, another renderer than before, and a driver that begins anew. */
static Gpu *reset_to_another_renderer(Gpu *g, GArray *before)
{
    Gpu *fresh;

    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(g->vm->qts, "RESET");
    g_assert_true(process_gone(before, BACK_MS));
    qmp_wait_state(g, "running", BACK_MS);
    fresh = gpu_at(g->vm, g->id, g->devfn);
    gpu_init(fresh, UINT64_MAX);
    gpu_picture(fresh, 1, 64, 64);
    gpu_expect_ok(fresh, gpu_set_scanout(fresh, 0, 1, 0, 0, 64, 64));
    gpu_expect_ok(fresh, gpu_flush(fresh, 1, 0, 0, 64, 64));
    return fresh;
}

/* 3D off at once, 2D after a reset; allowed again, 3D after one more, and not before. */
static void stop_and_allow(Gpu *g)
{
    g_autoptr(GArray) first = process_renderers(g->vm->name), second = NULL;
    Gpu *plain, *with_3d;

    vgpuctl(g, "stop", NULL);
    qmp_wait_state(g, "lost", BACK_MS);
    plain = reset_to_another_renderer(g, first);
    g_assert_false(gpu_has(plain, VIRTIO_GPU_F_VIRGL));
    second = process_renderers(g->vm->name);
    vgpuctl(g, "allow", NULL);
    gpu_expect_ok(plain, gpu_flush(plain, 1, 0, 0, 64, 64));
    process_assert_same(g->vm->name, second);
    with_3d = reset_to_another_renderer(plain, second);
    g_assert_true(gpu_has(with_3d, VIRTIO_GPU_F_VIRGL));
    gpu_free(with_3d);
    gpu_free(plain);
}

/* The limit in force is the one that QEMU shows and that the next allocation meets. */
static void memory_limit_follows(Gpu *g)
{
    vgpuctl(g, "set", "memory=64M");
    g_assert_cmpuint(qmp_memory(g, "memory-limit"), ==, 64 * MIB);
    gpu_expect_ok(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 2048, 2048));
    gpu_expect(g, gpu_create_2d(g, 2, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 4096, 4096),
               VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
    vgpuctl(g, "set", "memory=128M");
    g_assert_cmpuint(qmp_memory(g, "memory-limit"), ==, 128 * MIB);
    gpu_expect_ok(g, gpu_create_2d(g, 2, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 4096, 4096));
    /* below what is in use: it stays, and nothing more comes */
    vgpuctl(g, "set", "memory=32M");
    g_assert_cmpuint(qmp_memory(g, "memory-used"), >, 32 * MIB);
    gpu_expect(g, gpu_create_2d(g, 3, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 256, 256),
               VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
    gpu_expect_ok(g, gpu_unref(g, 2));
    gpu_expect_ok(g, gpu_create_2d(g, 3, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 256, 256));
}

/* --- what a driver of ours hears of a change --- */

static uint32_t events(Gpu *g)
{
    return qvirtio_config_readl(g->dev, offsetof(struct virtio_gpu_config, events_read));
}

static bool event_comes(Gpu *g, int timeout_ms)
{
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;

    while (!(events(g) & VGPU_EVENT_PROFILE)) {
        if (g_get_monotonic_time() > end) {
            return false;
        }
        g_usleep(1000);
    }
    return true;
}

static void clear_events(Gpu *g)
{
    QVirtioPCIDevice *p = g->pci;

    qpci_io_writel(p->pdev, p->bar, p->device_cfg_offset + offsetof(struct virtio_gpu_config, events_clear),
                   UINT32_MAX);
}

static void init_events(Gpu *g, uint64_t extension)
{
    g->extension = extension;
    gpu_init(g, UINT64_MAX);
    g_assert_true(g->offered & (1ull << VGPU_F_EVENTS));
    g_assert_cmphex(events(g) & VGPU_EVENT_PROFILE, ==, 0);
}

/* An interrupt, the event's bit until it is cleared, and the page says what it is now. */
static void profile_event(Gpu *g)
{
    uint64_t size;
    QPCIBar bar = qpci_iomap(g->pci->pdev, VGPU_PCI_BAR_STATS, &size);
    struct vgpu_stats s, before;
    struct vgpu_capset caps;

    qpci_msix_enable(g->pci->pdev);
    init_events(g, 1ull << VGPU_F_EVENTS);
    qvirtio_pci_set_msix_configuration_vector(g->pci, &g->vm->alloc, 0);
    qpci_memread(g->pci->pdev, bar, 0, &before, sizeof(before));
    g_assert_cmpstr(before.profile, ==, "quarter");
    vgpuctl(g, "set-profile", "eighth");
    g_assert_true(event_comes(g, 1000));
    qvirtio_wait_config_isr(g->dev, BACK_MS * 1000);
    qpci_memread(g->pci->pdev, bar, 0, &s, sizeof(s));
    g_assert_cmpstr(s.profile, ==, "eighth");
    g_assert_cmpuint(s.memory_limit, ==, before.memory_limit / 2);
    g_assert_cmpuint(s.share, ==, before.share / 2);
    g_assert_cmpuint(s.profile_serial, >, before.profile_serial);
    gpu_expect(g, gpu_capset(g, VGPU_CAPSET_ID, VGPU_CAPSET_VERSION, &caps, sizeof(caps)),
               VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_cmpstr(caps.profile, ==, "eighth");
    g_assert_cmpuint(caps.memory_limit, ==, s.memory_limit);
    clear_events(g);
    g_assert_cmphex(events(g), ==, 0);
    vgpuctl(g, "set", "share=5");
    g_assert_true(event_comes(g, 1000));
    /* a driver that begins anew has heard of nothing yet */
    init_events(g, 1ull << VGPU_F_EVENTS);
    /* nothing happened: no event */
    g_assert_false(event_comes(g, 2500));
}

/* Stock drivers would not know what to do with a bit of ours. */
static void no_event_without_the_bit(Gpu *g)
{
    init_events(g, 0);
    vgpuctl(g, "set", "memory=64M");
    g_assert_cmpuint(qmp_memory(g, "memory-limit"), ==, 64 * MIB);
    g_assert_false(event_comes(g, 2500));
}

/* A vgpud that was restarted knows no QEMU to tell: it is found out all the same. */
static void profile_event_of_the_next_vgpud(Gpu *g)
{
    g_autoptr(GArray) vgpud = process_named("vgpud");
    int status;

    init_events(g, 1ull << VGPU_F_EVENTS);
    process_signal(vgpud, SIGKILL);
    g_assert_true(process_gone(vgpud, BACK_MS));
    g_assert_true(g_spawn_command_line_sync("vgpud --autostart", NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    vgpuctl(g, "set", "share=5");
    g_assert_true(event_comes(g, 5000));
}

const GpuCase cases_control[] = {
    { "control/stop-and-allow", stop_and_allow, CASE_VIRGL | CASE_NO_EPILOGUE, "x-revive=off" },
    { "control/memory-limit-follows", memory_limit_follows, CASE_OURS },
    { "control/profile-event", profile_event, CASE_OURS, "profile=quarter" },
    { "control/no-event-without-the-bit", no_event_without_the_bit, CASE_OURS },
    { "control/profile-event-of-the-next-vgpud", profile_event_of_the_next_vgpud, CASE_OURS },
    { NULL },
};
