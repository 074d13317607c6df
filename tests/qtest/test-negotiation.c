/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Identity, features and device status. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu/virtio.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"

#define BIT64(n) (1ull << (n))

/* Windows' driver binds the subsystem id: ours are those of QEMU's device. */
static void pci_ids(Gpu *g)
{
    QPCIDevice *p = g->pci->pdev;

    g_assert_cmphex(qpci_config_readw(p, PCI_VENDOR_ID), ==, 0x1af4);
    g_assert_cmphex(qpci_config_readw(p, PCI_DEVICE_ID), ==, 0x1050);
    g_assert_cmphex(qpci_config_readw(p, PCI_SUBSYSTEM_VENDOR_ID), ==, 0x1af4);
    g_assert_cmphex(qpci_config_readw(p, PCI_SUBSYSTEM_ID), ==, 0x1100);
    g_assert_cmphex(qpci_config_readb(p, PCI_REVISION_ID), ==, 1);
    g_assert_cmphex(qpci_config_readw(p, PCI_CLASS_DEVICE), ==, 0x0380);
}

static void offers_version_1(Gpu *g)
{
    g_assert_true(g->offered & BIT64(VIRTIO_F_VERSION_1));
}

static void offers_edid(Gpu *g)
{
    g_assert_true(g->offered & BIT64(VIRTIO_GPU_F_EDID));
}

/* A bit that the back-end cannot serve must be masked. */
static void offers_nothing_unserved(Gpu *g)
{
    g_assert_false(g->offered & BIT64(VIRTIO_F_ACCESS_PLATFORM));
    g_assert_false(g->offered & BIT64(VIRTIO_F_RING_PACKED));
    g_assert_false(g->offered & BIT64(VIRTIO_F_RING_RESET));
}

static void offers_extension(Gpu *g)
{
    g_assert_true(g->offered & BIT64(VGPU_F_EXTENSION));
    /* the other device-type bits are not assigned to anything */
    g_assert_cmphex(g->offered >> (VGPU_F_LOSS + 1), ==, 0);
}

static void edid_off(Gpu *g)
{
    struct virtio_gpu_resp_edid edid;

    g_assert_false(g->offered & BIT64(VIRTIO_GPU_F_EDID));
    gpu_expect(g, gpu_edid(g, 0, &edid), GPU_ANY_ERROR);
}

/*
 * A guest that accepts what was not offered: virtio-pci in QEMU drops those
 * bits and goes on.  The device must not see them.
 */
static void accepts_unoffered_features(Gpu *g)
{
    unsigned i;

    gpu_reset(g);
    qvirtio_set_acknowledge(g->dev);
    qvirtio_set_driver(g->dev);
    g->dev->features_negotiated = true;
    g->dev->bus->set_features(g->dev, UINT64_MAX);
    g->dev->bus->set_status(g->dev, gpu_status(g) | VIRTIO_CONFIG_S_FEATURES_OK);
    if (!(gpu_status(g) & VIRTIO_CONFIG_S_FEATURES_OK)) {
        gpu_init(g, UINT64_MAX);
        return;
    }
    for (i = 0; i < GPU_QUEUES; i++) {
        g->q[i].vq = qvirtqueue_setup(g->dev, &g->vm->alloc, i);
        g->q[i].slots = vm_alloc(g->vm, g->q[i].vq->size / 2 * GPU_SLOT_SIZE);
    }
    g->dev->bus->set_status(g->dev, gpu_status(g) | VIRTIO_CONFIG_S_DRIVER_OK);
    gpu_assert_alive(g);
    gpu_expect_ok(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 8, 8));
}

static void no_optional_feature(Gpu *g)
{
    gpu_init(g, 0);
    gpu_assert_alive(g);
}

/* A 3D command of a guest that did not accept VIRGL is answered with an error. */
static void unnegotiated_3d(Gpu *g)
{
    gpu_init(g, ~BIT64(VIRTIO_GPU_F_VIRGL));
    gpu_expect(g, gpu_ctx_create(g, 1, "x"), GPU_ANY_ERROR);
}

static void unnegotiated_edid(Gpu *g)
{
    struct virtio_gpu_resp_edid edid;

    gpu_init(g, ~BIT64(VIRTIO_GPU_F_EDID));
    gpu_expect(g, gpu_edid(g, 0, &edid), GPU_ANY_ERROR);
}

static void unnegotiated_uuid(Gpu *g)
{
    struct virtio_gpu_resource_assign_uuid req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
        .resource_id = 1,
    };
    struct virtio_gpu_resp_resource_uuid resp;

    gpu_init(g, ~BIT64(VIRTIO_GPU_F_RESOURCE_UUID));
    gpu_expect_ok(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 8, 8));
    gpu_expect(g, GPU_ASK(g, req, resp), GPU_ANY_ERROR);
}

static void queue_sizes(Gpu *g)
{
    g_assert_cmpuint(g->q[GPU_CTRL].vq->size, >=, 64);
    g_assert_cmpuint(g->q[GPU_CURSOR].vq->size, >=, 16);
}

/* A VM of one CPU has one submit queue. */
static void no_further_queue(Gpu *g)
{
    g->dev->bus->queue_select(g->dev, g->ours ? 3 : 2);
    g_assert_cmpuint(g->dev->bus->get_queue_size(g->dev), ==, 0);
}

/* The device must not run before DRIVER_OK ... */
static void kick_before_driver_ok(Gpu *g)
{
    unsigned i;

    gpu_reset(g);
    qvirtio_set_acknowledge(g->dev);
    qvirtio_set_driver(g->dev);
    qvirtio_set_features(g->dev, g->features);
    for (i = 0; i < GPU_QUEUES; i++) {
        g->q[i].vq = qvirtqueue_setup(g->dev, &g->vm->alloc, i);
        g->q[i].slots = vm_alloc(g->vm, g->q[i].vq->size / 2 * GPU_SLOT_SIZE);
        gpu_kick(g, i);
    }
    qvirtio_set_driver_ok(g->dev);
}

/* ... and after a reset it must leave the old rings alone. */
static void reset_stops_queues(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    GpuQueue old;
    uint16_t before;

    gpu_assert_alive(g);
    old = g->q[GPU_CTRL];
    before = qtest_readw(g->vm->qts, old.vq->used + 2);
    g->dev->bus->set_status(g->dev, 0);
    gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 1000);
    g_usleep(200 * 1000);
    g_assert_cmpuint(qtest_readw(g->vm->qts, old.vq->used + 2), ==, before);
    gpu_init(g, UINT64_MAX);
}

/* All objects go with a reset: their ids are free again. */
static void reset_frees_resources(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 3; i++) {
        gpu_picture(g, 7, 32, 32);
        gpu_expect_ok(g, gpu_set_scanout(g, 0, 7, 0, 0, 32, 32));
        gpu_expect_ok(g, gpu_flush(g, 7, 0, 0, 32, 32));
        gpu_init(g, UINT64_MAX);
        gpu_expect(g, gpu_unref(g, 7), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    }
}

static void reset_many_times(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 30; i++) {
        gpu_init(g, UINT64_MAX);
        gpu_assert_alive(g);
    }
}

static void reset_while_busy(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    unsigned round, i;

    for (round = 0; round < 10; round++) {
        for (i = 0; i < 24; i++) {
            gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 512);
        }
        gpu_init(g, UINT64_MAX);
    }
}

static void system_reset(Gpu *g)
{
    gpu_picture(g, 3, 16, 16);
    qtest_system_reset(g->vm->qts);
    /* firmware does not run: BARs have to be mapped again */
    gpu_free(g);
}

static void system_reset_and_init(Gpu *none)
{
    g_autofree char *device = g_strdup_printf("%s,id=gpu0", current_driver());
    GpuVm *vm = vm_start(device, NULL);
    unsigned i;

    for (i = 0; i < 3; i++) {
        Gpu *g = gpu_find(vm, "gpu0", 0);

        gpu_init(g, UINT64_MAX);
        gpu_assert_alive(g);
        system_reset(g);
    }
    vm_stop(vm);
}

static void stop_and_cont(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 5; i++) {
        gpu_picture(g, 10 + i, 16, 16);
        qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
        /* the guest's objects are still there */
        gpu_expect_ok(g, gpu_transfer_2d(g, 10 + i, 0, 0, 16, 16, 0));
    }
}

const GpuCase cases_negotiation[] = {
    { "negotiation/pci-ids", pci_ids },
    { "negotiation/offers-version-1", offers_version_1 },
    { "negotiation/offers-edid", offers_edid },
    { "negotiation/offers-nothing-unserved", offers_nothing_unserved, CASE_OURS },
    { "negotiation/offers-extension", offers_extension, CASE_OURS },
    { "negotiation/edid-off", edid_off, 0, "edid=off" },
    { "negotiation/accepts-unoffered-features", accepts_unoffered_features },
    { "negotiation/no-optional-feature", no_optional_feature },
    { "negotiation/unnegotiated-3d", unnegotiated_3d },
    { "negotiation/unnegotiated-edid", unnegotiated_edid },
    { "negotiation/unnegotiated-uuid", unnegotiated_uuid },
    { "negotiation/queue-sizes", queue_sizes },
    { "negotiation/no-further-queue", no_further_queue },
    { "negotiation/kick-before-driver-ok", kick_before_driver_ok },
    { "negotiation/reset-stops-queues", reset_stops_queues },
    { "negotiation/reset-frees-resources", reset_frees_resources },
    { "negotiation/reset-many-times", reset_many_times },
    { "negotiation/reset-while-busy", reset_while_busy },
    { "negotiation/system-reset", system_reset_and_init, CASE_RAW },
    { "negotiation/stop-and-cont", stop_and_cont },
    { NULL }
};
