/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long it takes to map a blob into the guest's window, and to unmap it.
 *
 *   QTEST_QEMU_BINARY=qemu-system-x86_64 ./vgpu-bench-window [--json FILE]
 *
 * order_*: a renderer's order until QEMU's answer, on the gpu channel; QEMU has
 * nothing else to do.  command_*: the guest's kick until its command is used, by
 * way of the real (null) renderer; of that the kick itself, a message of qtest's,
 * is shown as command_floor: GET_DISPLAY_INFO, which no order is sent for.
 * The used ring is polled in the guest's memory itself, which is a memfd.
 */
#include "vgpu-duel.h"
#include "bench-figures.h"
#include "bench-ram.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-window.h"
#include "qemu/units.h"

#define ORDERS   3000
#define COMMANDS 1500
#define GOAL_US  200

typedef struct Figure {
    char *name;
    double p50, p99, worst; /* microseconds */
    bool has_goal;
} Figure;

static GArray *figures;

/* vgpu-driver.c asks these of the test program it is part of. */
bool current_target_is_ours(void)
{
    return true;
}

const char *current_driver(void)
{
    return "vgpu-pci";
}

bool difference_is_known(uint32_t got, uint32_t want)
{
    return false;
}

static void add_figure(const char *name, uint64_t size, int64_t *ns, unsigned n, bool has_goal)
{
    Figure f = { .has_goal = has_goal };

    f.name = size < MiB ? g_strdup_printf("%s_%" PRIu64 "k", name, size / KiB)
                        : g_strdup_printf("%s_%" PRIu64 "m", name, size / MiB);
    f.p50 = bench_percentile(ns, n, 50) / 1000.0;
    f.p99 = bench_percentile(ns, n, 99) / 1000.0;
    f.worst = ns[n - 1] / 1000.0;
    g_array_append_val(figures, f);
}

/* ---- orders ---- */

static int64_t order_took(Duel *d, int64_t start)
{
    duel_expect_done(d, VGPU_BLOB_OK);
    return bench_now_ns() - start;
}

static void orders(Duel *d, uint64_t size)
{
    g_autofree int64_t *map = g_new(int64_t, ORDERS), *unmap = g_new(int64_t, ORDERS);
    int fd = duel_memory(size, F_SEAL_SHRINK);
    unsigned i;

    for (i = 0; i < ORDERS; i++) {
        struct vgpu_channel_blob_map m = duel_map_of(d, 0, size);
        int64_t start = bench_now_ns();

        g_assert_true(duel_send_map(d, &m, fd));
        map[i] = order_took(d, start);
        start = bench_now_ns();
        g_assert_true(duel_send_unmap(d, 0, size));
        unmap[i] = order_took(d, start);
    }
    close(fd);
    add_figure("order_map", size, map, ORDERS, false);
    add_figure("order_unmap", size, unmap, ORDERS, false);
}

/* ---- commands ---- */

static int64_t command_took(Gpu *g, const uint8_t *ram, const void *req, size_t size, uint32_t want)
{
    GpuQueue *q = &g->q[GPU_CTRL];
    const uint16_t *used = (const uint16_t *)(ram + q->vq->used + 2);
    const GpuDesc desc[] = {
        { .addr = q->slots, .len = size, .flags = VRING_DESC_F_NEXT, .next = 1 },
        { .addr = q->slots + 4096, .len = 408, .flags = VRING_DESC_F_WRITE },
    };
    int64_t start;

    qtest_bufwrite(g->vm->qts, q->slots, req, size);
    gpu_write_desc(g, GPU_CTRL, 0, &desc[0]);
    gpu_write_desc(g, GPU_CTRL, 1, &desc[1]);
    gpu_push_head(g, GPU_CTRL, 0);
    start = bench_now_ns();
    gpu_kick(g, GPU_CTRL);
    while (__atomic_load_n(used, __ATOMIC_ACQUIRE) == q->used) {
        g_assert_cmpint(bench_now_ns() - start, <, GPU_TIMEOUT_MS * 1000000ll);
        sched_yield(); /* where there are few CPUs, others need this one */
    }
    start = bench_now_ns() - start;
    g_assert_true(gpu_pop(g, GPU_CTRL, NULL, NULL));
    gpu_expect(g, qtest_readl(g->vm->qts, q->slots + 4096), want);
    return start;
}

static void commands(Gpu *g, const uint8_t *ram, uint64_t size)
{
    struct virtio_gpu_ctrl_hdr ask = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    struct virtio_gpu_resource_map_blob map_req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
        .resource_id = 1,
    };
    struct virtio_gpu_resource_unmap_blob unmap_req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
        .resource_id = 1,
    };
    g_autofree int64_t *map = g_new(int64_t, COMMANDS), *unmap = g_new(int64_t, COMMANDS);
    g_autofree int64_t *floor = g_new(int64_t, COMMANDS);
    unsigned i;

    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, size));
    for (i = 0; i < COMMANDS; i++) {
        floor[i] = command_took(g, ram, &ask, sizeof(ask), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
        map[i] = command_took(g, ram, &map_req, sizeof(map_req), VIRTIO_GPU_RESP_OK_MAP_INFO);
        unmap[i] = command_took(g, ram, &unmap_req, sizeof(unmap_req), VIRTIO_GPU_RESP_OK_NODATA);
    }
    gpu_expect_ok(g, gpu_unref(g, 1));
    add_figure("command_map", size, map, COMMANDS, true);
    add_figure("command_unmap", size, unmap, COMMANDS, true);
    add_figure("command_floor", size, floor, COMMANDS, false);
}

static void null_renderer(void)
{
    g_autofree char *dir = g_build_filename(getenv("XDG_RUNTIME_DIR"), "config", NULL);
    g_autofree char *file = g_build_filename(dir, "vgpud.conf", NULL);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(file, "[renderer]\nkind=null\n", -1, NULL));
    g_setenv("VGPU_CONFIG", dir, true);
}

/* ---- figures ---- */

static int show(const char *json)
{
    g_autoptr(GString) out = g_string_new("{\"figures\": [");
    int missed = 0;

    printf("%-24s %10s %10s %10s %9s  holds\n", "figure (us)", "p50", "p99", "worst", "goal");
    for (unsigned i = 0; i < figures->len; i++) {
        const Figure *f = &g_array_index(figures, Figure, i);
        bool holds = !f->has_goal || f->p50 <= GOAL_US;

        missed += !holds;
        printf("%-24s %10.1f %10.1f %10.1f %9s  %s\n", f->name, f->p50, f->p99, f->worst,
               f->has_goal ? "<= 200" : "-",
               !f->has_goal ? "-"
               : holds      ? "yes"
                            : "NO");
        g_string_append_printf(out, "%s\n{\"name\": \"%s\", \"unit\": \"us\", \"p50\": %.1f, \"p99\": %.1f}",
                               i ? "," : "", f->name, f->p50, f->p99);
    }
    g_string_append(out, "]}\n");
    return (json && !g_file_set_contents(json, out->str, -1, NULL)) || missed ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const uint64_t sizes[] = { 4 * KiB, MiB, 64 * MiB };
    const char *json = argc == 3 && g_str_equal(argv[1], "--json") ? argv[2] : NULL;
    g_autofree char *dir = g_strdup_printf("%s/vb-XXXXXX", g_get_tmp_dir());
    uint64_t base;
    unsigned i;
    GpuVm *vm;
    Duel *d;
    Gpu *g;

    if (!getenv("QTEST_QEMU_BINARY") || (argc > 1 && !json)) {
        fprintf(stderr, "usage: QTEST_QEMU_BINARY=qemu-system-x86_64 %s [--json FILE]\n", argv[0]);
        return 2;
    }
    g_assert_nonnull(g_mkdtemp_full(dir, 0700));
    g_setenv("XDG_RUNTIME_DIR", dir, true);
    g_setenv("TMPDIR", dir, true);
    g_test_init(&argc, &argv, NULL);
    figures = g_array_new(false, false, sizeof(Figure));

    d = duel_new(DUEL_FEATURES, NULL);
    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        orders(d, sizes[i]);
    }
    duel_free(d);

    null_renderer();
    vm = vm_start("vgpu-pci,id=gpu0", NULL);
    g = gpu_find(vm, "gpu0", 0);
    gpu_init(g, UINT64_MAX);
    g_assert_cmpuint(window_open(g, &base), >, 0);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "bench"));
    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        commands(g, bench_ram(vm), sizes[i]);
    }
    gpu_free(g);
    vm_stop(vm);
    process_remove_tree(dir);
    return show(json);
}
