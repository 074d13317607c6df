/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor chains no driver would make.  The device may answer with an
 * error, give the buffer back unused, or declare itself broken (NEEDS_RESET);
 * after at most a reset it must work.  It may not stay silent: a guest whose
 * queue hangs without a word has nothing to act on.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "standard-headers/linux/virtio_config.h"

#define BROKEN_MS 2000
#define NEXT      VRING_DESC_F_NEXT
#define WRITE     VRING_DESC_F_WRITE
#define INDIRECT  VRING_DESC_F_INDIRECT

typedef struct Buffers {
    uint64_t req, resp;
} Buffers;

static Buffers buffers(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    Buffers b = { .req = vm_alloc(g->vm, 4096), .resp = vm_alloc(g->vm, 4096) };

    qtest_bufwrite(g->vm->qts, b.req, &req, sizeof(req));
    return b;
}

static bool broken(Gpu *g)
{
    return gpu_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* Waits until the device took a stand on what was posted, then resets it if need be. */
static void survive(Gpu *g)
{
    int64_t end = g_get_monotonic_time() + BROKEN_MS * 1000ll;
    bool answered = false;

    while (!answered && !broken(g)) {
        if (g_get_monotonic_time() > end) {
            g_test_message("neither an answer nor NEEDS_RESET in %d ms", BROKEN_MS);
            g_test_fail();
            break;
        }
        answered = gpu_wait(g, GPU_CTRL, NULL, NULL, 20);
    }
    if (answered && !broken(g)) {
        gpu_assert_alive(g);
        return;
    }
    gpu_init(g, UINT64_MAX);
    gpu_assert_alive(g);
}

static void post(Gpu *g, const GpuDesc *desc, unsigned count)
{
    unsigned i;

    for (i = 0; i < count; i++) {
        gpu_write_desc(g, GPU_CTRL, i, &desc[i]);
    }
    gpu_post_head(g, GPU_CTRL, 0);
}

#define POST(g, ...)                                                                                         \
    do {                                                                                                     \
        const GpuDesc d_[] = { __VA_ARGS__ };                                                                \
        post((g), d_, G_N_ELEMENTS(d_));                                                                     \
    } while (0)

/* --- what is unusual but allowed --- */

static void response_in_pieces(Gpu *g)
{
    struct virtio_gpu_resp_display_info info;
    Buffers b = buffers(g);
    unsigned i, n = 34;
    uint32_t len;

    gpu_write_desc(g, GPU_CTRL, 0, &(GpuDesc){ b.req, 24, NEXT, 1 });
    for (i = 0; i < n; i++) {
        gpu_write_desc(g, GPU_CTRL, 1 + i,
                       &(GpuDesc){
                           b.resp + 12 * i,
                           12,
                           WRITE | (i + 1 < n ? NEXT : 0),
                           2 + i,
                       });
    }
    gpu_post_head(g, GPU_CTRL, 0);
    g_assert_true(gpu_wait(g, GPU_CTRL, NULL, &len, GPU_TIMEOUT_MS));
    g_assert_cmpuint(len, ==, sizeof(info));
    qtest_bufread(g->vm->qts, b.resp, &info, sizeof(info));
    g_assert_cmphex(info.hdr.type, ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    g_assert_cmpuint(info.pmodes[0].r.width, ==, 1280);
}

static void request_in_single_bytes(Gpu *g)
{
    Buffers b = buffers(g);
    unsigned i;

    for (i = 0; i < 24; i++) {
        gpu_write_desc(g, GPU_CTRL, i, &(GpuDesc){ b.req + i, 1, NEXT, i + 1 });
    }
    gpu_write_desc(g, GPU_CTRL, 24, &(GpuDesc){ b.resp, 512, WRITE });
    gpu_post_head(g, GPU_CTRL, 0);
    g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
    g_assert_cmphex(qtest_readl(g->vm->qts, b.resp), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

static void indirect(Gpu *g)
{
    Buffers b = buffers(g);
    uint64_t table = vm_alloc(g->vm, 4096);
    GpuDesc d[2] = { { b.req, 24, NEXT, 1 }, { b.resp, 512, WRITE } };

    g_assert_true(gpu_has(g, VIRTIO_RING_F_INDIRECT_DESC));
    qtest_bufwrite(g->vm->qts, table, d, sizeof(d));
    POST(g, { table, sizeof(d), INDIRECT });
    g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
    g_assert_cmphex(qtest_readl(g->vm->qts, b.resp), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

static void high_descriptor_first(Gpu *g)
{
    Buffers b = buffers(g);
    uint16_t last = g->q[GPU_CTRL].vq->size - 1;

    gpu_write_desc(g, GPU_CTRL, last, &(GpuDesc){ b.req, 24, NEXT, 0 });
    gpu_write_desc(g, GPU_CTRL, 0, &(GpuDesc){ b.resp, 512, WRITE });
    gpu_post_head(g, GPU_CTRL, last);
    g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
    g_assert_cmphex(qtest_readl(g->vm->qts, b.resp), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

/* --- chains too short --- */

static void no_response_buffer(Gpu *g)
{
    POST(g, { buffers(g).req, 24 });
    survive(g);
}

static void no_request_buffer(Gpu *g)
{
    POST(g, { buffers(g).resp, 512, WRITE });
    survive(g);
}

static void empty_descriptor(Gpu *g)
{
    Buffers b = buffers(g);

    POST(g, { b.req, 0 });
    survive(g);
    POST(g, { b.req, 0, NEXT, 1 }, { b.resp, 0, WRITE });
    survive(g);
    POST(g, { b.req, 0, NEXT, 1 }, { b.req, 24, NEXT, 2 }, { b.resp, 512, WRITE });
    survive(g);
}

static void request_cut(Gpu *g)
{
    Buffers b = buffers(g);
    unsigned size;

    for (size = 1; size < 24; size++) {
        POST(g, { b.req, size, NEXT, 1 }, { b.resp, 512, WRITE });
        survive(g);
    }
}

static void response_cut(Gpu *g)
{
    static const uint32_t sizes[] = { 1, 4, 23, 24, 25, 100, 407 };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Buffers b = buffers(g);

        qtest_memset(g->vm->qts, b.resp, 0x5a, 512);
        POST(g, { b.req, 24, NEXT, 1 }, { b.resp, sizes[i], WRITE });
        survive(g);
        /* not one byte past the buffer */
        g_assert_cmphex(qtest_readb(g->vm->qts, b.resp + sizes[i]), ==, 0x5a);
    }
}

/* --- chains too long, looped, out of order --- */

static void loop_on_itself(Gpu *g)
{
    POST(g, { buffers(g).req, 24, NEXT, 0 });
    survive(g);
}

static void loop_of_two(Gpu *g)
{
    Buffers b = buffers(g);

    POST(g, { b.req, 24, NEXT, 1 }, { b.req, 24, NEXT, 0 });
    survive(g);
}

static void loop_in_the_response(Gpu *g)
{
    Buffers b = buffers(g);

    POST(g, { b.req, 24, NEXT, 1 }, { b.resp, 512, WRITE | NEXT, 1 });
    survive(g);
}

static void whole_ring_in_one_chain(Gpu *g)
{
    Buffers b = buffers(g);
    unsigned size = g->q[GPU_CTRL].vq->size, i;

    for (i = 0; i < size; i++) {
        gpu_write_desc(g, GPU_CTRL, i,
                       &(GpuDesc){
                           i + 1 < size ? b.req : b.resp,
                           24,
                           i + 1 < size ? NEXT : WRITE,
                           i + 1,
                       });
    }
    gpu_post_head(g, GPU_CTRL, 0);
    survive(g);
}

static void next_past_ring(Gpu *g)
{
    Buffers b = buffers(g);

    POST(g, { b.req, 24, NEXT, g->q[GPU_CTRL].vq->size });
    survive(g);
    POST(g, { b.req, 24, NEXT, 0xffff });
    survive(g);
}

static void head_past_ring(Gpu *g)
{
    gpu_post_head(g, GPU_CTRL, g->q[GPU_CTRL].vq->size);
    survive(g);
    gpu_post_head(g, GPU_CTRL, 0xffff);
    survive(g);
}

static void response_before_request(Gpu *g)
{
    Buffers b = buffers(g);

    POST(g, { b.resp, 512, WRITE | NEXT, 1 }, { b.req, 24 });
    survive(g);
}

static void avail_index_jumps(Gpu *g)
{
    GpuQueue *q = &g->q[GPU_CTRL];

    q->avail += q->vq->size + 1;
    qtest_writew(g->vm->qts, q->vq->avail + 2, q->avail);
    gpu_kick(g, GPU_CTRL);
    survive(g);
}

static void avail_index_backwards(Gpu *g)
{
    GpuQueue *q = &g->q[GPU_CTRL];

    gpu_assert_alive(g);
    q->avail -= 2;
    qtest_writew(g->vm->qts, q->vq->avail + 2, q->avail);
    gpu_kick(g, GPU_CTRL);
    /* 65534 stale heads: done one by one, or refused; a reset ends it */
    g_usleep(100 * 1000);
    gpu_init(g, UINT64_MAX);
    gpu_assert_alive(g);
}

/* --- indirect tables --- */

static void indirect_in_indirect(Gpu *g)
{
    uint64_t table = vm_alloc(g->vm, 4096);
    GpuDesc d = { table, 16, INDIRECT };

    qtest_bufwrite(g->vm->qts, table, &d, sizeof(d));
    POST(g, { table, 16, INDIRECT });
    survive(g);
}

static void indirect_loop(Gpu *g)
{
    uint64_t table = vm_alloc(g->vm, 4096);
    Buffers b = buffers(g);
    GpuDesc d[2] = { { b.req, 24, NEXT, 1 }, { b.req, 24, NEXT, 0 } };

    qtest_bufwrite(g->vm->qts, table, d, sizeof(d));
    POST(g, { table, sizeof(d), INDIRECT });
    survive(g);
}

static void indirect_next_past_table(Gpu *g)
{
    uint64_t table = vm_alloc(g->vm, 4096);
    GpuDesc d = { buffers(g).req, 24, NEXT, 5 };

    qtest_bufwrite(g->vm->qts, table, &d, sizeof(d));
    POST(g, { table, sizeof(d), INDIRECT });
    survive(g);
}

static void indirect_bad_length(Gpu *g)
{
    static const uint32_t lengths[] = { 0, 1, 15, 17, 0xfffffff0, UINT32_MAX };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(lengths); i++) {
        POST(g, { vm_alloc(g->vm, 4096), lengths[i], INDIRECT });
        survive(g);
    }
}

static void indirect_with_next(Gpu *g)
{
    uint64_t table = vm_alloc(g->vm, 4096);
    Buffers b = buffers(g);
    GpuDesc d = { b.req, 24 };

    qtest_bufwrite(g->vm->qts, table, &d, sizeof(d));
    POST(g, { table, sizeof(d), INDIRECT | NEXT, 1 }, { b.resp, 512, WRITE });
    survive(g);
}

/* --- outside RAM --- */

static const uint64_t bad_addresses[] = {
    GPU_RAM, GPU_RAM - 8, 1ull << 40, UINT64_MAX - 23, UINT64_MAX - 8, UINT64_MAX, 0xe0000000, 0xfee00000,
};

static void request_outside_ram(Gpu *g)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad_addresses); i++) {
        g_test_message("request at 0x%" PRIx64, bad_addresses[i]);
        POST(g, { bad_addresses[i], 24, NEXT, 1 }, { buffers(g).resp, 512, WRITE });
        survive(g);
    }
}

static void response_outside_ram(Gpu *g)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad_addresses); i++) {
        g_test_message("response at 0x%" PRIx64, bad_addresses[i]);
        POST(g, { buffers(g).req, 24, NEXT, 1 }, { bad_addresses[i], 512, WRITE });
        survive(g);
    }
}

static void indirect_table_outside_ram(Gpu *g)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad_addresses); i++) {
        g_test_message("table at 0x%" PRIx64, bad_addresses[i]);
        POST(g, { bad_addresses[i], 32, INDIRECT });
        survive(g);
    }
}

static void length_past_ram(Gpu *g)
{
    Buffers b = buffers(g);

    POST(g, { b.req, UINT32_MAX, NEXT, 1 }, { b.resp, 512, WRITE });
    survive(g);
    POST(g, { b.req, 24, NEXT, 1 }, { b.resp, UINT32_MAX, WRITE });
    survive(g);
    POST(g, { b.req, 0x80000000, NEXT, 1 }, { b.req, 0x80000000, NEXT, 2 }, { b.resp, 512, WRITE });
    survive(g);
}

/* --- rings in bad places --- */

static void set_rings(Gpu *g, uint64_t desc, uint64_t avail, uint64_t used)
{
    QVirtQueue vq = { .desc = desc, .avail = avail, .used = used };

    g->dev->bus->set_queue_address(g->dev, &vq);
}

static void ring_outside_ram(Gpu *g)
{
    unsigned which, i;

    for (which = 0; which < 3; which++) {
        for (i = 0; i < 3; i++) {
            uint64_t bad = i == 0 ? GPU_RAM : i == 1 ? 1ull << 40 : UINT64_MAX & ~0xfffull;
            uint64_t good = vm_alloc(g->vm, 16384);

            gpu_reset(g);
            qvirtio_set_acknowledge(g->dev);
            qvirtio_set_driver(g->dev);
            qvirtio_set_features(g->dev, g->features);
            g->q[GPU_CTRL].vq = qvirtqueue_setup(g->dev, &g->vm->alloc, GPU_CTRL);
            g->dev->bus->queue_select(g->dev, GPU_CTRL);
            set_rings(g, which == 0 ? bad : good, which == 1 ? bad : good + 4096,
                      which == 2 ? bad : good + 8192);
            g->dev->bus->set_status(g->dev, gpu_status(g) | VIRTIO_CONFIG_S_DRIVER_OK);
            qtest_writew(g->vm->qts, good + 4096 + 2, 1);
            gpu_kick(g, GPU_CTRL);
            g_usleep(20000);
            g->q[GPU_CTRL].slots = vm_alloc(g->vm, 4096);
            gpu_init(g, UINT64_MAX);
            gpu_assert_alive(g);
        }
    }
}

const GpuCase cases_chains[] = { { "chains/response-in-pieces", response_in_pieces },
                                 { "chains/request-in-single-bytes", request_in_single_bytes },
                                 { "chains/indirect", indirect },
                                 { "chains/high-descriptor-first", high_descriptor_first },
                                 { "chains/no-response-buffer", no_response_buffer },
                                 { "chains/no-request-buffer", no_request_buffer },
                                 { "chains/empty-descriptor", empty_descriptor },
                                 { "chains/request-cut", request_cut },
                                 { "chains/response-cut", response_cut },
                                 { "chains/loop-on-itself", loop_on_itself },
                                 { "chains/loop-of-two", loop_of_two },
                                 { "chains/loop-in-the-response", loop_in_the_response },
                                 { "chains/whole-ring-in-one-chain", whole_ring_in_one_chain },
                                 { "chains/next-past-ring", next_past_ring },
                                 { "chains/head-past-ring", head_past_ring },
                                 { "chains/response-before-request", response_before_request },
                                 { "chains/avail-index-jumps", avail_index_jumps },
                                 { "chains/avail-index-backwards", avail_index_backwards },
                                 { "chains/indirect-in-indirect", indirect_in_indirect },
                                 { "chains/indirect-loop", indirect_loop },
                                 { "chains/indirect-next-past-table", indirect_next_past_table },
                                 { "chains/indirect-bad-length", indirect_bad_length },
                                 { "chains/indirect-with-next", indirect_with_next },
                                 { "chains/request-outside-ram", request_outside_ram },
                                 { "chains/response-outside-ram", response_outside_ram },
                                 { "chains/indirect-table-outside-ram", indirect_table_outside_ram },
                                 { "chains/length-past-ram", length_past_ram },
                                 { "chains/ring-outside-ram", ring_outside_ram },
                                 { NULL } };
