/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An operator changes a running VM: what its device and its guest see of it. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"

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

const GpuCase cases_control[] = {
    { "control/stop-and-allow", stop_and_allow, CASE_VIRGL | CASE_NO_EPILOGUE },
    { "control/memory-limit-follows", memory_limit_follows, CASE_OURS },
    { NULL },
};
