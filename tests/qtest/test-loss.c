/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGPU_F_LOSS: the device tells its driver that it lost what it held, the driver
 * resets it and begins anew.  Without the bit nothing of that happens.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-fake.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu/virtio.h"
#include "standard-headers/linux/virtio_config.h"

#define LOST_MS 5000
#define BACK_MS 15000
#define IRQ_US  (5 * G_USEC_PER_SEC)

static void kill_renderer(Gpu *g)
{
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);

    g_assert_cmpuint(renderers->len, >, 0);
    process_signal(renderers, SIGKILL);
    g_assert_true(process_gone(renderers, LOST_MS));
}

/* A driver of ours, with interrupts if it wants them. */
static void init_aware(Gpu *g, bool msix)
{
    g->extension = (1ull << VGPU_F_LOSS);
    if (msix && !g->pci->pdev->msix_enabled) {
        qpci_msix_enable(g->pci->pdev);
    }
    gpu_init(g, UINT64_MAX);
    if (msix) {
        qvirtio_pci_set_msix_configuration_vector(g->pci, &g->vm->alloc, 0);
    }
    g_assert_true(gpu_has(g, VGPU_F_LOSS));
}

static bool wait_needs_reset(Gpu *g, int timeout_ms)
{
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;

    while (!(gpu_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        if (g_get_monotonic_time() > end) {
            return false;
        }
        g_usleep(1000);
    }
    return true;
}

static void work(Gpu *g)
{
    gpu_picture(g, 5, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 5, 0, 0, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, 5, 0, 0, 64, 64));
}

static void told_with_an_interrupt(Gpu *g)
{
    init_aware(g, true);
    work(g);
    g_assert_false(gpu_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET);
    kill_renderer(g);
    g_assert_true(wait_needs_reset(g, LOST_MS));
    qvirtio_wait_config_isr(g->dev, IRQ_US);
    /* the rest of the status is as the driver left it */
    g_assert_cmphex(gpu_status(g) & ~VIRTIO_CONFIG_S_NEEDS_RESET, ==,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
                        VIRTIO_CONFIG_S_DRIVER_OK);
}

/* Its reset is what brings the next renderer; what it asks for meanwhile is answered then. */
static void reset_brings_the_next(Gpu *g)
{
    init_aware(g, true);
    work(g);
    kill_renderer(g);
    g_assert_true(wait_needs_reset(g, LOST_MS));
    gpu_reset(g);
    g_assert_cmphex(gpu_status(g), ==, 0);
    init_aware(g, true);
    work(g);
    g_assert_false(gpu_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET);
    qmp_wait_state(g, "running", BACK_MS);
}

/* Nobody brings it back behind the back of a driver that knows better. */
static void waits_for_the_reset(Gpu *g)
{
    g_autoptr(GArray) renderers = NULL;
    g_autofree char *state = NULL;

    init_aware(g, false);
    kill_renderer(g);
    g_assert_true(wait_needs_reset(g, LOST_MS));
    g_usleep(2500 * 1000);
    state = qmp_state(g);
    g_assert_cmpstr(state, ==, "lost");
    renderers = process_renderers(g->vm->name);
    g_assert_cmpuint(renderers->len, ==, 0);
    gpu_reset(g);
    init_aware(g, false);
    work(g);
}

static void not_told_without_the_bit(Gpu *g)
{
    gpu_init(g, UINT64_MAX);
    g_assert_true(g->offered & (1ull << VGPU_F_LOSS));
    g_assert_false(gpu_has(g, VGPU_F_LOSS));
    kill_renderer(g);
    g_assert_false(wait_needs_reset(g, 2000));
}

/* Requests on a device that needs a reset wait for it; they harm nobody. */
static void requests_meanwhile(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    unsigned i;

    init_aware(g, false);
    kill_renderer(g);
    g_assert_true(wait_needs_reset(g, LOST_MS));
    for (i = 0; i < 50; i++) {
        gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 408);
    }
    g_assert_false(gpu_wait(g, GPU_CTRL, NULL, NULL, 300));
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    init_aware(g, false);
    work(g);
}

static void again_and_again(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 4; i++) {
        init_aware(g, i & 1);
        work(g);
        kill_renderer(g);
        g_assert_true(wait_needs_reset(g, LOST_MS));
    }
    init_aware(g, false);
    work(g);
}

/*
 * No vgpud, no renderer: the driver's reset finds none, and it is told so whether
 * it was quicker than that or slower.
 */
static void told_again_where_there_is_none(Gpu *none)
{
    Fake *fake = fake_new((FakeOptions){ .features = (1ull << VGPU_F_EXTENSION) });
    g_autofree char *device = g_strdup_printf("vgpu-pci,id=gpu0,socket=%s", fake_socket(fake));
    GpuVm *vm = vm_start(device, NULL);
    Gpu *g;
    unsigned i;

    fake_wait_renderer(fake, 1);
    g = gpu_find(vm, "gpu0", 0);
    init_aware(g, false);
    fake_free(fake);
    g_assert_true(wait_needs_reset(g, LOST_MS));
    for (i = 0; i < 4; i++) {
        gpu_reset(g);
        if (i & 1) {
            qmp_wait_state(g, "lost", BACK_MS);
        }
        init_aware(g, false);
        g_assert_true(wait_needs_reset(g, BACK_MS));
        qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    }
    gpu_free(g);
    vm_stop(vm);
}

const GpuCase cases_loss[] = {
    { "loss/told-with-an-interrupt", told_with_an_interrupt, CASE_OURS | CASE_NO_EPILOGUE },
    { "loss/reset-brings-the-next", reset_brings_the_next, CASE_OURS | CASE_NO_EPILOGUE },
    { "loss/waits-for-the-reset", waits_for_the_reset, CASE_OURS | CASE_NO_EPILOGUE },
    { "loss/not-told-without-the-bit", not_told_without_the_bit, CASE_OURS | CASE_NO_EPILOGUE },
    { "loss/requests-meanwhile", requests_meanwhile, CASE_OURS | CASE_NO_EPILOGUE },
    { "loss/again-and-again", again_and_again, CASE_OURS | CASE_NO_EPILOGUE },
    { "loss/told-again-where-there-is-none", told_again_where_there_is_none, CASE_OURS | CASE_RAW },
    { NULL },
};
