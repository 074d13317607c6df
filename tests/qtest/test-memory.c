/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that comes while the device runs: a DIMM that can be shared is
 * good for backings, one that cannot is refused with a sentence.
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

/* NULL, or why it was refused: to be freed. */
static char *plug(GpuVm *vm, const char *backend, bool share)
{
    char *why = NULL;
    QDict *rsp;

    qtest_qmp_assert_success(vm->qts,
                             "{ 'execute': 'object-add', 'arguments': "
                             "{ 'qom-type': %s, 'id': 'm1', 'size': 134217728, 'share': %i } }",
                             backend, share);
    rsp = qtest_qmp(vm->qts, "{ 'execute': 'device_add', 'arguments': "
                             "{ 'driver': 'pc-dimm', 'id': 'd1', 'memdev': 'm1' } }");
    if (!qdict_haskey(rsp, "return")) {
        why = g_strdup(qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"));
        g_test_message("refused: %s", why);
    }
    qobject_unref(rsp);
    return why;
}

static void dimm_shareable(Gpu *none)
{
    GpuVm *vm = vm_with_slots();
    Gpu *g = gpu_find(vm, "gpu0", 0);

    gpu_init(g, UINT64_MAX);
    gpu_picture(g, 1, 64, 64);
    g_assert_null(plug(vm, "memory-backend-memfd", true));
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 0, 0, 64, 64, 0));
    gpu_expect_ok(g, gpu_create_2d(g, 2, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64));
    gpu_expect_ok(g, gpu_attach(g, 2, DIMM_ADDR, 64 * 64 * 4));
    gpu_expect_ok(g, gpu_transfer_2d(g, 2, 0, 0, 64, 64, 0));
    gpu_free(g);
    vm_stop(vm);
}

/* Refused with the name of the memory and what to do; the VM and its device go on. */
static void dimm_refused(const char *backend, bool share, const char *want)
{
    GpuVm *vm = vm_with_slots();
    Gpu *g = gpu_find(vm, "gpu0", 0);
    g_autofree char *why = NULL;

    gpu_init(g, UINT64_MAX);
    gpu_picture(g, 1, 64, 64);
    why = plug(vm, backend, share);
    g_assert_cmpstr(why, ==, want);
    /* there is no such memory in the guest */
    gpu_expect_ok(g, gpu_create_2d(g, 2, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64));
    gpu_expect(g, gpu_attach(g, 2, DIMM_ADDR, 64 * 64 * 4), GPU_ANY_ERROR);
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 0, 0, 64, 64, 0));
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    gpu_free(g);
    vm_stop(vm);
}

static void dimm_without_file(Gpu *none)
{
    dimm_refused("memory-backend-ram", false,
                 "vgpu: the VM's memory 'm1' (one of several blocks) cannot be shared with the renderer; "
                 "define it as: -object memory-backend-memfd,id=m1,size=128M");
}

static void dimm_share_off(Gpu *none)
{
    dimm_refused("memory-backend-memfd", false,
                 "vgpu: the VM's memory 'm1' cannot be shared with the renderer: it has share=off; "
                 "set share=on in its -object memory-backend-memfd,id=m1");
}

const GpuCase cases_memory[] = { { "memory/dimm-shareable", dimm_shareable, CASE_OURS | CASE_RAW },
                                 { "memory/dimm-without-file", dimm_without_file, CASE_OURS | CASE_RAW },
                                 { "memory/dimm-share-off", dimm_share_off, CASE_OURS | CASE_RAW },
                                 { NULL } };
