/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Submit queues as a driver finds them; what runs on them is tested at the renderer. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu/virtio.h"
#include "standard-headers/linux/virtio_config.h"

#define CONTEXT 3
#define LOST_MS 5000
#define BACK_MS 15000
#define IRQ_US  (5 * G_USEC_PER_SEC)
#define SUBMITS (1ull << VGPU_F_SUBMIT_QUEUES)
#define TAKEN   (SUBMITS | (1ull << VGPU_F_LOSS)) /* which it needs */

typedef struct QueueSubmit {
    struct virtio_gpu_ctrl_hdr hdr;
    struct vgpu_submit body;
} QueueSubmit;

static void init(Gpu *g)
{
    g->extension = TAKEN;
    gpu_init(g, UINT64_MAX);
    g_assert_true(gpu_has(g, VGPU_F_SUBMIT_QUEUES));
    gpu_expect_ok(g, gpu_ctx_create(g, CONTEXT, "submit"));
}

/* An empty submit: only its place in the order counts. */
static uint16_t post(Gpu *g, unsigned i, uint32_t control_seq, uint32_t mask, unsigned of, uint32_t seq)
{
    QueueSubmit s = { .hdr = { .type = VGPU_CMD_SUBMIT, .ctx_id = CONTEXT },
                      .body = { .control_seq = control_seq, .wait_mask = mask } };

    s.body.wait_seq[of] = seq;
    return gpu_send(g, GPU_SUBMIT + i, &s, sizeof(s), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static void expect_answer(Gpu *g, unsigned queue, uint16_t head, uint32_t want)
{
    struct virtio_gpu_ctrl_hdr hdr;
    uint32_t used, len;

    g_assert_true(gpu_wait(g, queue, &used, &len, GPU_TIMEOUT_MS));
    g_assert_cmpuint(used, ==, head);
    g_assert_cmpuint(len, ==, sizeof(hdr));
    qtest_memread(g->vm->qts, gpu_response(g, queue, head), &hdr, sizeof(hdr));
    gpu_expect(g, hdr.type, want);
}

static void submit_all(Gpu *g)
{
    for (unsigned i = 0; i < g->queues - GPU_SUBMIT; i++) {
        expect_answer(g, GPU_SUBMIT + i, post(g, i, 1, 0, 0, 0), VIRTIO_GPU_RESP_OK_NODATA);
    }
}

/* One for each vCPU (the VM has one), but not more than four. */
static void count_by_default(Gpu *g)
{
    static const struct {
        const char *args;
        unsigned queues;
    } vms[] = { { "-smp 1", 1 }, { "-smp 3", 3 }, { "-smp 6", 4 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(vms); i++) {
        GpuVm *vm = vm_start("vgpu-pci,id=gpu0,profile=sixteenth", vms[i].args);
        Gpu *one = gpu_find(vm, "gpu0", 0);

        init(one);
        g_assert_cmpuint(one->queues, ==, GPU_SUBMIT + vms[i].queues);
        submit_all(one);
        gpu_free(one);
        vm_stop(vm);
    }
}

static void count_as_asked(Gpu *g)
{
    init(g);
    g_assert_cmpuint(g->queues, ==, GPU_SUBMIT + 8);
    submit_all(g);
}

/* There is nothing to take, and nothing of it in the configuration. */
static void none_as_asked(Gpu *g)
{
    gpu_init(g, UINT64_MAX);
    g_assert_false(g->offered & SUBMITS);
    g_assert_cmpuint(qvirtio_config_readl(g->dev, VGPU_CONFIG_OFFSET), ==, 0);
    g_assert_true(g->offered & (1ull << VGPU_F_LOSS));
}

/* A driver that does not take them finds the device as ever. */
static void not_taken(Gpu *g)
{
    uint16_t head;

    gpu_init(g, UINT64_MAX);
    g_assert_true(g->offered & SUBMITS);
    g_assert_cmpuint(g->queues, ==, GPU_QUEUES);
    gpu_expect_ok(g, gpu_ctx_create(g, CONTEXT, "stock"));
    /* and one that sets a queue up all the same is not served there */
    init(g);
    g->extension = 0;
    gpu_reset(g);
    qvirtio_set_acknowledge(g->dev);
    qvirtio_set_driver(g->dev);
    g->features = gpu_choose_features(g, UINT64_MAX);
    qvirtio_set_features(g->dev, g->features);
    for (unsigned i = 0; i < 3; i++) {
        g->q[i].vq = qvirtqueue_setup(g->dev, &g->vm->alloc, i);
        g->q[i].slots = vm_alloc(g->vm, g->q[i].vq->size / 2 * GPU_SLOT_SIZE);
    }
    qvirtio_set_driver_ok(g->dev);
    head = post(g, 0, 0, 0, 0, 0);
    g_assert_false(gpu_wait(g, GPU_SUBMIT, NULL, NULL, 300));
    g_assert_cmpuint(head, ==, 0);
    gpu_assert_alive(g);
}

static bool features_ok(Gpu *g, uint64_t features)
{
    gpu_reset(g);
    qvirtio_set_acknowledge(g->dev);
    qvirtio_set_driver(g->dev);
    g->dev->bus->set_features(g->dev, features);
    g->dev->bus->set_status(g->dev, gpu_status(g) | VIRTIO_CONFIG_S_FEATURES_OK);
    return gpu_status(g) & VIRTIO_CONFIG_S_FEATURES_OK;
}

/* A driver that takes what stands on another bit without that one is not let on. */
static void needs_other_bits(Gpu *g)
{
    const uint64_t plain = (1ull << VIRTIO_F_VERSION_1), extension = 1ull << VGPU_F_EXTENSION;

    g_assert_true(features_ok(g, plain));
    g_assert_true(features_ok(g, plain | extension));
    g_assert_true(features_ok(g, plain | extension | TAKEN));
    g_assert_false(features_ok(g, plain | extension | SUBMITS));
    g_assert_false(features_ok(g, plain | (1ull << VGPU_F_STATS)));
    g_assert_false(features_ok(g, plain | TAKEN));
    init(g);
}

static void ordered(Gpu *g)
{
    struct {
        struct virtio_gpu_ctrl_hdr hdr;
        struct vgpu_wait body;
    } wait = { .hdr.type = VGPU_CMD_WAIT, .body = { .wait_mask = 1u << 1, .wait_seq[1] = 1 } };
    struct virtio_gpu_ctrl_hdr info = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    uint16_t first, second, waits;

    init(g);
    first = post(g, 0, 1, 1u << 1, 1, 2); /* after two of queue 1 */
    waits = gpu_send(g, GPU_CTRL, &wait, sizeof(wait), NULL, 0, 24);
    g_assert_false(gpu_wait(g, GPU_SUBMIT, NULL, NULL, 100));
    g_assert_false(gpu_wait(g, GPU_CTRL, NULL, NULL, 100));
    second = post(g, 1, 1, 0, 0, 0);
    expect_answer(g, GPU_SUBMIT + 1, second, VIRTIO_GPU_RESP_OK_NODATA);
    expect_answer(g, GPU_CTRL, waits, VIRTIO_GPU_RESP_OK_NODATA);
    g_assert_false(gpu_wait(g, GPU_SUBMIT, NULL, NULL, 100));
    second = post(g, 1, 3, 0, 0, 0); /* after the context, the wait and one more */
    g_assert_false(gpu_wait(g, GPU_SUBMIT + 1, NULL, NULL, 100));
    gpu_expect(g, gpu_call(g, GPU_CTRL, &info, sizeof(info), NULL, 0, NULL, 408),
               VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    expect_answer(g, GPU_SUBMIT + 1, second, VIRTIO_GPU_RESP_OK_NODATA);
    expect_answer(g, GPU_SUBMIT, first, VIRTIO_GPU_RESP_OK_NODATA);
}

/* A vector for each queue and one for the configuration. */
static void interrupts(Gpu *g)
{
    unsigned i, j;

    g->extension = TAKEN;
    gpu_reset(g);
    qpci_msix_enable(g->pci->pdev);
    g_assert_cmpuint(qpci_msix_table_size(g->pci->pdev), >=, 1 + GPU_SUBMIT + 4);
    qvirtio_pci_set_msix_configuration_vector(g->pci, &g->vm->alloc, 0);
    qvirtio_set_acknowledge(g->dev);
    qvirtio_set_driver(g->dev);
    g->features = gpu_choose_features(g, UINT64_MAX) & ~(1ull << VIRTIO_RING_F_EVENT_IDX);
    qvirtio_set_features(g->dev, g->features);
    g->queues = GPU_SUBMIT + 4;
    for (i = 0; i < g->queues; i++) {
        g->q[i].vq = qvirtqueue_setup(g->dev, &g->vm->alloc, i);
        g->q[i].slots = vm_alloc(g->vm, g->q[i].vq->size / 2 * GPU_SLOT_SIZE);
        qvirtqueue_pci_msix_setup(g->pci, container_of(g->q[i].vq, QVirtQueuePCI, vq), &g->vm->alloc, 1 + i);
    }
    qvirtio_set_driver_ok(g->dev);
    gpu_expect_ok(g, gpu_ctx_create(g, CONTEXT, "submit"));
    g_usleep(100 * 1000); /* each is signalled once when it starts */
    for (i = 0; i < g->queues; i++) {
        g->dev->bus->get_queue_isr_status(g->dev, g->q[i].vq);
    }
    for (i = 0; i < 4; i++) {
        expect_answer(g, GPU_SUBMIT + i, post(g, i, 1, 0, 0, 0), VIRTIO_GPU_RESP_OK_NODATA);
        qvirtio_wait_queue_isr(g->vm->qts, g->dev, g->q[GPU_SUBMIT + i].vq, IRQ_US);
        for (j = 0; j < g->queues; j++) {
            g_assert_false(g->dev->bus->get_queue_isr_status(g->dev, g->q[j].vq));
        }
    }
}

/* What waits when the VM stops waits on when it goes on. */
static void stop_and_cont(Gpu *g)
{
    uint16_t first, second;

    init(g);
    first = post(g, 0, 1, 1u << 1, 1, 1);
    g_assert_false(gpu_wait(g, GPU_SUBMIT, NULL, NULL, 50));
    for (unsigned i = 0; i < 3; i++) {
        qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'stop' }");
        qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'cont' }");
    }
    g_assert_false(gpu_wait(g, GPU_SUBMIT, NULL, NULL, 50));
    second = post(g, 1, 1, 0, 0, 0);
    expect_answer(g, GPU_SUBMIT + 1, second, VIRTIO_GPU_RESP_OK_NODATA);
    expect_answer(g, GPU_SUBMIT, first, VIRTIO_GPU_RESP_OK_NODATA);
}

/* With requests waiting for ever: a reset, a loss and an unplugging are as quick as without. */
static void wait_for_ever(Gpu *g)
{
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned n = 0; n < 40; n++) {
            post(g, i, 1000, 0, 0, 0);
        }
    }
}

static void reset_and_lost(Gpu *g)
{
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);
    QmpClock c;

    init(g);
    wait_for_ever(g);
    c = qmp_clock(g->vm);
    gpu_reset(g);
    g_assert_cmpint(qmp_elapsed_ms(&c, NULL), <=, QMP_DEADLINE_MS);
    init(g);
    submit_all(g);
    wait_for_ever(g);
    process_signal(renderers, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    gpu_reset(g);
    qmp_wait_state(g, "running", BACK_MS);
    init(g);
    submit_all(g);
}

static void plugged_and_unplugged(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);

    vm_open_root_ports(vm);
    for (unsigned i = 0; i < 2; i++) {
        Gpu *g;

        qmp_timed(vm, 10000,
                  "{ 'execute': 'device_add', 'arguments': { 'driver': 'vgpu-pci', 'id': 'gpu0',"
                  " 'bus': 'rp0', 'profile': 'eighth', 'submit-queues': 4 } }");
        g = gpu_behind(vm, "gpu0", 1);
        init(g);
        submit_all(g);
        wait_for_ever(g);
        vm_unplug(vm, "gpu0");
        gpu_free(g);
    }
    vm_stop(vm);
}

#define FOUR "submit-queues=4"

const GpuCase cases_submit[] = {
    { "submit/count-by-default", count_by_default, CASE_VIRGL | CASE_RAW },
    { "submit/count-as-asked", count_as_asked, CASE_VIRGL, "submit-queues=8" },
    { "submit/none-as-asked", none_as_asked, CASE_VIRGL, "submit-queues=0" },
    { "submit/not-taken", not_taken, CASE_VIRGL },
    { "submit/needs-other-bits", needs_other_bits, CASE_VIRGL },
    { "submit/ordered", ordered, CASE_VIRGL, FOUR },
    { "submit/interrupts", interrupts, CASE_VIRGL, FOUR },
    { "submit/stop-and-cont", stop_and_cont, CASE_VIRGL, FOUR },
    { "submit/reset-and-lost", reset_and_lost, CASE_VIRGL | CASE_NO_EPILOGUE, FOUR },
    { "submit/plugged-and-unplugged", plugged_and_unplugged, CASE_VIRGL | CASE_RAW },
    { NULL },
};
