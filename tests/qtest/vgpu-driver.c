/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM, PCI, features and rings of the mini-driver; vgpu-commands.c has the
 * commands.
 *
 * A queue of size N has N / 2 slots.  Slot s owns descriptors 2s and 2s + 1
 * and two guest pages: the request and the response.  gpu_send() takes the
 * next slot; a request with extra descriptors puts them into an indirect-free
 * run of following slots, so at most N / 2 - 1 of those may follow.
 */
#include "qemu/osdep.h"
#include "vgpu-driver.h"
#include "vgpu-cases.h"
#include "vgpu/virtio.h"
#include "libqos/malloc-pc.h"
#include "libqos/pci-pc.h"
#include "libqos/virtio-pci-modern.h"
#include "hw/pci/pci_ids.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"

GpuVm *vm_start(const char *device, const char *extra_args)
{
    static unsigned serial;
    GpuVm *vm = g_new0(GpuVm, 1);
    g_autofree char *args = NULL;

    vm->name = g_strdup_printf("qtest-%d-%u", getpid(), serial++);
    args = g_strdup_printf("-name %s -machine q35 -m 256M -nodefaults -vga none "
                           "-object memory-backend-memfd,id=mem,size=256M "
                           "-machine memory-backend=mem %s%s %s",
                           vm->name, device ? "-device " : "", device ?: "", extra_args ?: "");
    vm->qts = qtest_init(args);
    pc_alloc_init(&vm->alloc, vm->qts, ALLOC_NO_FLAGS);
    vm->bus = qpci_new_pc(vm->qts, &vm->alloc);
    return vm;
}

void vm_stop(GpuVm *vm)
{
    qpci_free_pc(vm->bus);
    alloc_destroy(&vm->alloc);
    qtest_quit(vm->qts);
    g_free(vm->name);
    g_free(vm);
}

uint64_t vm_alloc(GpuVm *vm, size_t size)
{
    size_t rounded = QEMU_ALIGN_UP(size, 4096);
    uint64_t addr = guest_alloc(&vm->alloc, rounded);

    qtest_memset(vm->qts, addr, 0, rounded);
    return addr;
}

#define PORT_BASE(n) (0xe000 + 0x400 * (n)) /* in units of 64 KiB; 63 MiB each */

/* The prefetchable windows are 256 GiB, high up: room for a window of host memory. */
void vm_open_root_ports(GpuVm *vm)
{
    int slot, bus = 1;

    for (slot = 0; slot < 32; slot++) {
        QPCIDevice *p = qpci_device_find(vm->bus, QPCI_DEVFN(slot, 0));

        if (p && qpci_config_readw(p, PCI_CLASS_DEVICE) == PCI_CLASS_BRIDGE_PCI) {
            qpci_config_writeb(p, PCI_PRIMARY_BUS, 0);
            qpci_config_writeb(p, PCI_SECONDARY_BUS, bus);
            qpci_config_writeb(p, PCI_SUBORDINATE_BUS, bus);
            qpci_config_writew(p, PCI_MEMORY_BASE, PORT_BASE(bus));
            qpci_config_writew(p, PCI_MEMORY_LIMIT, PORT_BASE(bus) + 0x3f0);
            qpci_config_writew(p, PCI_PREF_MEMORY_BASE, 0);
            qpci_config_writew(p, PCI_PREF_MEMORY_LIMIT, 0xfff0);
            qpci_config_writel(p, PCI_PREF_BASE_UPPER32, 0x40 * bus);
            qpci_config_writel(p, PCI_PREF_LIMIT_UPPER32, 0x40 * bus + 0x3f);
            qpci_config_writew(p, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
            bus++;
        }
        g_free(p);
    }
}

Gpu *gpu_behind(GpuVm *vm, const char *id, unsigned n)
{
    vm->bus->mmio_alloc_ptr = (uint64_t)PORT_BASE(n) << 16;
    return gpu_at(vm, id, n << 8);
}

Gpu *gpu_at(GpuVm *vm, const char *id, int devfn)
{
    QPCIAddress addr = { .devfn = devfn };
    Gpu *g = g_new0(Gpu, 1);

    g->vm = vm;
    g->id = g_strdup(id);
    g->devfn = devfn;
    g->ours = current_target_is_ours();
    g->pci = virtio_pci_new(vm->bus, &addr);
    g_assert_nonnull(g->pci);
    g->dev = &g->pci->vdev;
    g_assert_cmpint(g->dev->device_type, ==, 16);
    qvirtio_pci_device_enable(g->pci);
    return g;
}

Gpu *gpu_find(GpuVm *vm, const char *id, unsigned nth)
{
    int slot;

    for (slot = 0; slot < 32; slot++) {
        QPCIDevice *dev = qpci_device_find(vm->bus, QPCI_DEVFN(slot, 0));
        bool match = dev && qpci_config_readl(dev, 0) == 0x10501af4;

        g_free(dev);
        if (match && nth-- == 0) {
            return gpu_at(vm, id, QPCI_DEVFN(slot, 0));
        }
    }
    g_test_message("there is no virtio-gpu on the root bus");
    g_assert_not_reached();
}

static void gpu_drop_queues(Gpu *g)
{
    unsigned i;

    for (i = 0; i < GPU_QUEUES_MAX; i++) {
        GpuQueue *q = &g->q[i];

        if (q->vq) {
            guest_free(&g->vm->alloc, q->slots);
            qvirtqueue_cleanup(g->dev->bus, q->vq, &g->vm->alloc);
        }
        *q = (GpuQueue){ 0 };
    }
}

void gpu_free(Gpu *g)
{
    gpu_drop_queues(g);
    g_free(g->pci->pdev);
    g_free(g->pci);
    g_free(g->id);
    g_free(g);
}

uint8_t gpu_status(Gpu *g)
{
    return g->dev->bus->get_status(g->dev);
}

/* virtio 1.2, 3.1.1: the driver must wait until the status reads back 0. */
void gpu_reset(Gpu *g)
{
    int64_t end = g_get_monotonic_time() + GPU_TIMEOUT_MS * 1000ll;

    g->dev->bus->set_status(g->dev, 0);
    while (gpu_status(g) != 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    g->dev->features_negotiated = false;
    gpu_drop_queues(g);
}

uint64_t gpu_choose_features(Gpu *g, uint64_t wanted)
{
    return g->offered & ((wanted & ~GPU_EXTENSION) | g->extension | (1ull << VIRTIO_F_VERSION_1));
}

static void start(Gpu *g, uint64_t wanted, bool msix)
{
    unsigned i;

    gpu_reset(g);
    if (msix) {
        qpci_msix_enable(g->pci->pdev);
        qvirtio_pci_set_msix_configuration_vector(g->pci, &g->vm->alloc, 0);
    }
    qvirtio_set_acknowledge(g->dev);
    qvirtio_set_driver(g->dev);
    g->offered = qvirtio_get_features(g->dev);
    g->features = gpu_choose_features(g, wanted);
    qvirtio_set_features(g->dev, g->features);
    g->queues = GPU_QUEUES;
    if (gpu_has(g, VGPU_F_SUBMIT_QUEUES)) {
        g->queues += qvirtio_config_readl(g->dev, VGPU_CONFIG_OFFSET);
        g_assert_cmpuint(g->queues, <=, GPU_QUEUES_MAX);
    }
    for (i = 0; i < g->queues; i++) {
        GpuQueue *q = &g->q[i];

        q->vq = qvirtqueue_setup(g->dev, &g->vm->alloc, i);
        q->slots = vm_alloc(g->vm, q->vq->size / 2 * GPU_SLOT_SIZE);
        if (msix) {
            qvirtqueue_pci_msix_setup(g->pci, container_of(q->vq, QVirtQueuePCI, vq), &g->vm->alloc, 1 + i);
        }
    }
    qvirtio_set_driver_ok(g->dev);
}

void gpu_init(Gpu *g, uint64_t wanted)
{
    start(g, wanted, false);
}

void gpu_init_msix(Gpu *g, uint64_t wanted)
{
    start(g, wanted, true);
}

bool gpu_has(Gpu *g, unsigned feature_bit)
{
    return g->features & (1ull << feature_bit);
}

void gpu_write_desc(Gpu *g, unsigned queue, uint16_t index, const GpuDesc *desc)
{
    QEMU_BUILD_BUG_ON(sizeof(GpuDesc) != 16);
    qtest_memwrite(g->vm->qts, g->q[queue].vq->desc + 16ull * index, desc, 16);
}

void gpu_push_head(Gpu *g, unsigned queue, uint16_t head)
{
    GpuQueue *q = &g->q[queue];

    qtest_writew(g->vm->qts, q->vq->avail + 4 + 2 * (q->avail % q->vq->size), head);
    qtest_writew(g->vm->qts, q->vq->avail + 2, ++q->avail);
}

void gpu_kick(Gpu *g, unsigned queue)
{
    g->dev->bus->virtqueue_kick(g->dev, g->q[queue].vq);
}

void gpu_post_head(Gpu *g, unsigned queue, uint16_t head)
{
    gpu_push_head(g, queue, head);
    gpu_kick(g, queue);
}

bool gpu_pop(Gpu *g, unsigned queue, uint32_t *head, uint32_t *len)
{
    GpuQueue *q = &g->q[queue];
    struct vring_used_elem elem;

    if (qtest_readw(g->vm->qts, q->vq->used + 2) == q->used) {
        return false;
    }
    qtest_memread(g->vm->qts, q->vq->used + 4 + 8ull * (q->used % q->vq->size), &elem, sizeof(elem));
    q->used++;
    if (head) {
        *head = elem.id;
    }
    if (len) {
        *len = elem.len;
    }
    return true;
}

bool gpu_wait(Gpu *g, unsigned queue, uint32_t *head, uint32_t *len, int timeout_ms)
{
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;

    while (!gpu_pop(g, queue, head, len)) {
        if (g_get_monotonic_time() > end) {
            return false;
        }
        g_usleep(50);
    }
    return true;
}

uint64_t gpu_response(Gpu *g, unsigned queue, uint16_t head)
{
    return g->q[queue].slots + head / 2 * GPU_SLOT_SIZE + 4096;
}

uint16_t gpu_send(Gpu *g, unsigned queue, const void *req, size_t size, const GpuDesc *extra,
                  unsigned extra_count, uint32_t resp_size)
{
    GpuQueue *q = &g->q[queue];
    unsigned slots = q->vq->size / 2, need = 1 + DIV_ROUND_UP(extra_count, 2), i;
    uint16_t head, last;
    GpuDesc desc;

    g_assert_cmpuint(size, <=, 4096);
    g_assert_cmpuint(resp_size, <=, 4096);
    g_assert_cmpuint(need, <=, slots);
    if (q->next_slot + need > slots) {
        q->next_slot = 0;
    }
    head = 2 * q->next_slot;
    q->next_slot = (q->next_slot + need) % slots;
    qtest_bufwrite(g->vm->qts, q->slots + head / 2 * GPU_SLOT_SIZE, req, size);
    qtest_memset(g->vm->qts, gpu_response(g, queue, head), 0xee, MAX(resp_size, 24));

    /* head: the request; head + 2...: the extras; head + 1: the response */
    last = head + 1;
    desc = (GpuDesc){
        .addr = q->slots + head / 2 * GPU_SLOT_SIZE,
        .len = size,
        .flags = VRING_DESC_F_NEXT,
        .next = extra_count ? head + 2 : last,
    };
    gpu_write_desc(g, queue, head, &desc);
    for (i = 0; i < extra_count; i++) {
        desc = extra[i];
        desc.flags |= VRING_DESC_F_NEXT;
        desc.next = i + 1 < extra_count ? head + 3 + i : last;
        gpu_write_desc(g, queue, head + 2 + i, &desc);
    }
    desc = (GpuDesc){
        .addr = gpu_response(g, queue, head),
        .len = resp_size,
        .flags = VRING_DESC_F_WRITE,
    };
    gpu_write_desc(g, queue, last, &desc);
    gpu_post_head(g, queue, head);
    return head;
}

uint32_t gpu_call(Gpu *g, unsigned queue, const void *req, size_t size, const GpuDesc *extra,
                  unsigned extra_count, void *resp, uint32_t resp_size)
{
    struct virtio_gpu_ctrl_hdr hdr;
    uint16_t head = gpu_send(g, queue, req, size, extra, extra_count, resp_size);
    uint32_t used, len;

    if (!gpu_wait(g, queue, &used, &len, GPU_TIMEOUT_MS)) {
        g_test_message("no answer to command 0x%x in %d ms", ((const struct virtio_gpu_ctrl_hdr *)req)->type,
                       GPU_TIMEOUT_MS);
        return GPU_NO_ANSWER;
    }
    g_assert_cmpuint(used, ==, head);
    g_assert_cmpuint(len, <=, resp_size);
    g_assert_cmpuint(len, >=, sizeof(hdr));
    if (resp) {
        memset(resp, 0, resp_size);
        qtest_bufread(g->vm->qts, gpu_response(g, queue, head), resp, len);
    }
    qtest_bufread(g->vm->qts, gpu_response(g, queue, head), &hdr, sizeof(hdr));
    return hdr.type;
}

const char *gpu_resp_name(uint32_t type)
{
    static const char *const ok[] = {
        "OK_NODATA", "OK_DISPLAY_INFO",  "OK_CAPSET_INFO", "OK_CAPSET",
        "OK_EDID",   "OK_RESOURCE_UUID", "OK_MAP_INFO",
    };
    static const char *const error[] = {
        "ERR_UNSPEC",
        "ERR_OUT_OF_MEMORY",
        "ERR_INVALID_SCANOUT_ID",
        "ERR_INVALID_RESOURCE_ID",
        "ERR_INVALID_CONTEXT_ID",
        "ERR_INVALID_PARAMETER",
    };

    if (type >= VIRTIO_GPU_RESP_OK_NODATA && type < VIRTIO_GPU_RESP_OK_NODATA + G_N_ELEMENTS(ok)) {
        return ok[type - VIRTIO_GPU_RESP_OK_NODATA];
    }
    if (type >= VIRTIO_GPU_RESP_ERR_UNSPEC && type < VIRTIO_GPU_RESP_ERR_UNSPEC + G_N_ELEMENTS(error)) {
        return error[type - VIRTIO_GPU_RESP_ERR_UNSPEC];
    }
    switch (type) {
    case GPU_NO_ANSWER:
        return "no answer";
    case GPU_ANY_ERROR:
        return "any error";
    case GPU_ANY_ANSWER:
        return "any answer";
    default:
        return "not a response";
    }
}

static bool is_error(uint32_t type)
{
    return type >= VIRTIO_GPU_RESP_ERR_UNSPEC && type <= VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

static bool is_ok(uint32_t type)
{
    return type >= VIRTIO_GPU_RESP_OK_NODATA && type <= VIRTIO_GPU_RESP_OK_MAP_INFO;
}

void gpu_expect_at(Gpu *g, const char *file, int line, uint32_t got, uint32_t want)
{
    bool match = got == want || (want == GPU_ANY_ERROR && is_error(got)) ||
                 (want == GPU_ANY_ANSWER && (is_error(got) || is_ok(got)));

    if (match || (!g->ours && difference_is_known(got, want))) {
        return;
    }
    g_test_message("%s:%d: answered 0x%x %s, expected 0x%x %s", file, line, got, gpu_resp_name(got), want,
                   gpu_resp_name(want));
    g_assert_cmphex(got, ==, want);
}
