/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI-X: each queue has a vector, config changes have one; polling needs none. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "standard-headers/linux/virtio_config.h"

#define IRQ_US (5 * G_USEC_PER_SEC)

static bool interrupted(Gpu *g, unsigned queue)
{
    return g->dev->bus->get_queue_isr_status(g->dev, g->q[queue].vq);
}

static void init_with_msix(Gpu *g, bool event_idx)
{
    unsigned i;

    gpu_init_msix(g, event_idx ? UINT64_MAX : ~(1ull << VIRTIO_RING_F_EVENT_IDX));
    /* a vhost back-end signals each queue once when it starts: allowed, unasked */
    g_usleep(100 * 1000);
    for (i = 0; i < GPU_QUEUES; i++) {
        interrupted(g, i);
    }
}

static void control_queue(Gpu *g)
{
    unsigned i;

    init_with_msix(g, false);
    for (i = 0; i < 5; i++) {
        gpu_assert_alive(g);
        qvirtio_wait_queue_isr(g->vm->qts, g->dev, g->q[GPU_CTRL].vq, IRQ_US);
    }
    g_assert_false(interrupted(g, GPU_CURSOR));
}

static void cursor_queue(Gpu *g)
{
    struct virtio_gpu_update_cursor c = { .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR };

    init_with_msix(g, false);
    gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_OK_NODATA);
    qvirtio_wait_queue_isr(g->vm->qts, g->dev, g->q[GPU_CURSOR].vq, IRQ_US);
    g_assert_false(interrupted(g, GPU_CTRL));
}

static void no_interrupt_flag(Gpu *g)
{
    init_with_msix(g, false);
    gpu_assert_alive(g);
    qvirtio_wait_queue_isr(g->vm->qts, g->dev, g->q[GPU_CTRL].vq, IRQ_US);
    qtest_writew(g->vm->qts, g->q[GPU_CTRL].vq->avail, VRING_AVAIL_F_NO_INTERRUPT);
    gpu_assert_alive(g);
    g_usleep(100 * 1000);
    g_assert_false(interrupted(g, GPU_CTRL));
    qtest_writew(g->vm->qts, g->q[GPU_CTRL].vq->avail, 0);
    gpu_assert_alive(g);
    qvirtio_wait_queue_isr(g->vm->qts, g->dev, g->q[GPU_CTRL].vq, IRQ_US);
}

/* With EVENT_IDX the used_event index says from when on. */
static void event_index(Gpu *g)
{
    QVirtQueue *vq;
    unsigned i;

    init_with_msix(g, true);
    vq = g->q[GPU_CTRL].vq;
    g_assert_true(vq->event);
    /* a device that has signalled nothing yet signals once whatever the index */
    gpu_assert_alive(g);
    qvirtio_wait_queue_isr(g->vm->qts, g->dev, vq, IRQ_US);
    qvirtqueue_set_used_event(g->vm->qts, vq, 4);
    for (i = 0; i < 3; i++) {
        gpu_assert_alive(g);
    }
    g_usleep(50 * 1000);
    g_assert_false(interrupted(g, GPU_CTRL));
    gpu_assert_alive(g);
    qvirtio_wait_queue_isr(g->vm->qts, g->dev, vq, IRQ_US);
}

static void vectors(Gpu *g)
{
    qpci_msix_enable(g->pci->pdev);
    g_assert_cmpuint(qpci_msix_table_size(g->pci->pdev), >=, 3);
}

const GpuCase cases_interrupts[] = {
    { "interrupts/vectors", vectors },           { "interrupts/control-queue", control_queue },
    { "interrupts/cursor-queue", cursor_queue }, { "interrupts/no-interrupt-flag", no_interrupt_flag },
    { "interrupts/event-index", event_index },   { NULL }
};
