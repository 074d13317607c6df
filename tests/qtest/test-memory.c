/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that comes while the device runs: a DIMM that can be shared is
 * good for backings, one that cannot is an error to the guest command that
 * names it, and to nobody else.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-qmp.h"

#define DIMM_ADDR 0x100000000ull /* q35 with less than 2 GiB: device memory starts there */

static GpuVm *vm_with_slots(void)
{
    g_autofree char *device = g_strdup_printf("%s,id=gpu0", current_driver());

    return vm_start(device, "-m 256M,slots=2,maxmem=1G");
}

static bool plug(GpuVm *vm, const char *backend)
{
    QDict *rsp;
    bool ok;

    qtest_qmp_assert_success(vm->qts,
                             "{ 'execute': 'object-add', 'arguments': "
                             "{ 'qom-type': %s, 'id': 'm1', 'size': 134217728 } }",
                             backend);
    rsp = qtest_qmp(vm->qts, "{ 'execute': 'device_add', 'arguments': "
                             "{ 'driver': 'pc-dimm', 'id': 'd1', 'memdev': 'm1' } }");
    ok = qdict_haskey(rsp, "return");
    if (!ok) {
        const char *why = qdict_get_str(qdict_get_qdict(rsp, "error"), "desc");

        g_test_message("refused: %s", why);
        g_assert_cmpuint(strlen(why), >, 20);
    }
    qobject_unref(rsp);
    return ok;
}

static void dimm_shareable(Gpu *none)
{
    GpuVm *vm = vm_with_slots();
    Gpu *g = gpu_find(vm, "gpu0", 0);

    gpu_init(g, UINT64_MAX);
    gpu_picture(g, 1, 64, 64);
    g_assert_true(plug(vm, "memory-backend-memfd"));
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 0, 0, 64, 64, 0));
    gpu_expect_ok(g, gpu_create_2d(g, 2, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64));
    gpu_expect_ok(g, gpu_attach(g, 2, DIMM_ADDR, 64 * 64 * 4));
    gpu_expect_ok(g, gpu_transfer_2d(g, 2, 0, 0, 64, 64, 0));
    gpu_free(g);
    vm_stop(vm);
}

static void dimm_not_shareable(Gpu *none)
{
    GpuVm *vm = vm_with_slots();
    Gpu *g = gpu_find(vm, "gpu0", 0);

    gpu_init(g, UINT64_MAX);
    gpu_picture(g, 1, 64, 64);
    if (plug(vm, "memory-backend-ram")) {
        gpu_expect_ok(g, gpu_create_2d(g, 2, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64));
        gpu_expect(g, gpu_attach(g, 2, DIMM_ADDR, 64 * 64 * 4), GPU_ANY_ERROR);
    }
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 0, 0, 64, 64, 0));
    qmp_timed(vm, 3000, "{ 'execute': 'query-status' }");
    gpu_free(g);
    vm_stop(vm);
}

const GpuCase cases_memory[] = { { "memory/dimm-shareable", dimm_shareable, CASE_OURS | CASE_RAW },
                                 { "memory/dimm-not-shareable", dimm_not_shareable, CASE_OURS | CASE_RAW },
                                 { NULL } };
