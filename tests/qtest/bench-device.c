/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives a virtio-gpu device as fast as it goes, with no guest CPU in the way.
 *
 *   QTEST_QEMU_BINARY=qemu-system-x86_64 ./vgpu-bench-device --device SPEC [--args 'QEMU ARGS']
 *       [--seconds S] [--batch N] [--clears-1ms N --clears-5ms N] PART...
 *
 * Prints one line of JSON for each figure: {"name", "unit", "value", "samples"}.
 * --recording FILE is what the part replay plays: one of vgpu-renderer's, unpacked.
 * Parts: doorbell replay empty fenced fence fence_1ms fence_5ms transfer flush capset attach.
 *
 * The VM has a vCPU that halts at once and clocks that run (a device whose
 * fences wait for a timer of QEMU's virtual clock would never finish there
 * otherwise).  Rings and buffers are written in the memfd behind its RAM; only
 * doorbells are qtest messages, which cost every device the same: the figure
 * "doorbell" says how much.  A round trip ends when the interrupt's message has
 * landed in RAM, which is where a guest would begin to run.
 *
 * QEMU's main loop is asked for query-status all the while: qmp_PART.
 */
#include "qemu/osdep.h"
#include "bench-figures.h"
#include "bench-probe.h"
#include "bench-replay.h"
#include "bench-ram.h"
#include "bench-work.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "qapi/error.h"
#include "qobject/qjson.h"

#define PICTURE      10 /* a 2D resource on scanout 0 */
#define WIDTH        1920
#define HEIGHT       1080
#define ALL_BUT_BLOB (~(1ull << VIRTIO_GPU_F_RESOURCE_BLOB))

static char *device = (char *)"vgpu-pci,profile=full", *more_args = (char *)"", *recording, *runtime;
static int seconds = 3, clears_1ms, clears_5ms, batch = 32;

/* vgpu-driver.c asks these of the test program it is part of. */
bool current_target_is_ours(void)
{
    return g_str_has_prefix(device, "vgpu-");
}

const char *current_driver(void)
{
    return device;
}

bool difference_is_known(uint32_t got, uint32_t want)
{
    return false;
}

/* ---- the VM ---- */

typedef struct Bench {
    GpuVm *vm;
    Gpu *g;
    Ring ring;
    char *qmp, *vnc; /* sockets */
} Bench;

static int64_t deadline(void)
{
    return bench_now_ns() + seconds * 1000000000ll;
}

/* A VNC server only where it is looked at: QEMU has none beside a GL display. */
static void bench_open(Bench *b, bool vnc)
{
    static unsigned serial;
    g_autofree char *idle = bench_idle_cpu(runtime), *spec = NULL, *args = NULL;

    b->qmp = g_strdup_printf("%s/qmp-%u", runtime, serial);
    b->vnc = g_strdup_printf("%s/vnc-%u", runtime, serial++);
    spec = g_strdup_printf("%s,id=gpu0,xres=%d,yres=%d", device, WIDTH, HEIGHT);
    args = g_strdup_printf("%s -qmp unix:%s,server=on,wait=off %s%s %s", idle, b->qmp,
                           vnc ? "-vnc unix:" : "", vnc ? b->vnc : "", more_args);
    b->vm = vm_start(spec, args);
    b->g = gpu_find(b->vm, "gpu0", 0);
    gpu_init_msix(b->g, ALL_BUT_BLOB);
    ring_open(&b->ring, b->g, GPU_CTRL);
}

static void bench_close(Bench *b)
{
    gpu_free(b->g);
    vm_stop(b->vm);
    g_free(b->qmp);
    g_free(b->vnc);
}

static void command(Bench *b, void *req, size_t size)
{
    ring_push(&b->ring, req, size, NULL, 0, false);
    ring_kick(&b->ring);
    ring_wait(&b->ring, 0);
}

static void target(Bench *b, uint32_t id, uint32_t side, uint32_t bind, bool backed)
{
    struct virtio_gpu_resource_create_3d create = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
        .resource_id = id,
        .target = WORK_TARGET_2D,
        .format = WORK_FORMAT_BGRA8,
        .bind = bind,
        .width = side,
        .height = side,
        .depth = 1,
        .array_size = 1,
    };
    struct {
        struct virtio_gpu_resource_attach_backing req;
        struct virtio_gpu_mem_entry entry;
    } attach = {
        .req.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
        .req.resource_id = id,
        .req.nr_entries = 1,
    };
    struct virtio_gpu_ctx_resource join = {
        .hdr = { .type = VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, .ctx_id = WORK_CONTEXT },
        .resource_id = id,
    };

    command(b, &create, sizeof(create));
    if (backed) {
        attach.entry = (struct virtio_gpu_mem_entry){ .addr = vm_alloc(b->vm, side * side * 4),
                                                      .length = side * side * 4 };
        command(b, &attach, sizeof(attach));
    }
    command(b, &join, sizeof(join));
}

/* The context and all that the streams want. */
static void prepare_3d(Bench *b)
{
    struct virtio_gpu_ctx_create create = { .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE,
                                                     .ctx_id = WORK_CONTEXT } };
    uint32_t setup[WORK_SETUP_DWORDS];

    command(b, &create, sizeof(create));
    target(b, WORK_TARGET, WORK_SIDE, WORK_BIND_RENDER, false);
    target(b, WORK_TARGET + 1, WORK_SIDE, WORK_BIND_RENDER, false);
    target(b, WORK_UPLOAD, WORK_UPLOAD_SIDE, WORK_BIND_SAMPLER, true);
    ring_push_submit(&b->ring, WORK_CONTEXT, setup, work_setup(setup), false);
    ring_kick(&b->ring);
    ring_wait(&b->ring, 0);
    ring_expect_ok(&b->ring);
}

/* ---- parts ---- */

/* Two batches are in flight: while the device works on one the other is made. */
static void submits(Bench *b, const char *name, bool fenced)
{
    uint32_t nop[1];
    size_t count = work_empty(nop);
    uint64_t done = 0;
    int64_t start = bench_now_ns(), end = deadline();

    b->ring.kicks = 0;
    while (bench_now_ns() < end) {
        for (unsigned i = 0; i < (unsigned)batch; i++) {
            ring_push_submit(&b->ring, WORK_CONTEXT, nop, count, fenced);
        }
        ring_kick(&b->ring);
        ring_wait(&b->ring, batch);
        done += batch;
    }
    ring_wait(&b->ring, 0);
    bench_figure(name, "1/s", done * 1e9 / (bench_now_ns() - start), done);
    ring_expect_ok(&b->ring);
}

static void empty(Bench *b)
{
    submits(b, "empty_submits", false);
}

static void fenced(Bench *b)
{
    submits(b, "fenced_submits", true);
}

static void round_trips(Bench *b, const char *name, const uint32_t *dwords, size_t count)
{
    g_autoptr(GArray) took = g_array_new(false, false, sizeof(int64_t));
    int64_t end = deadline();

    while (bench_now_ns() < end) {
        int64_t start;

        ring_push_submit(&b->ring, WORK_CONTEXT, dwords, count, true);
        start = bench_now_ns();
        ring_kick(&b->ring);
        ring_wait_interrupt(&b->ring, 0);
        start = bench_now_ns() - start;
        g_array_append_val(took, start);
    }
    bench_figure_times(name, (int64_t *)took->data, took->len);
    ring_expect_ok(&b->ring);
}

static void fence(Bench *b)
{
    uint32_t nop[1];

    round_trips(b, "fence", nop, work_empty(nop));
}

static void fence_of(Bench *b, const char *name, int clears)
{
    g_autofree uint32_t *dwords = g_new(uint32_t, WORK_CLEARS_DWORDS(clears));

    round_trips(b, name, dwords, work_clears(dwords, clears));
}

static void fence_1ms(Bench *b)
{
    fence_of(b, "fence_1ms", clears_1ms);
}

static void fence_5ms(Bench *b)
{
    fence_of(b, "fence_5ms", clears_5ms);
}

static void transfer(Bench *b)
{
    struct virtio_gpu_transfer_host_3d req = {
        .hdr = { .type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, .ctx_id = WORK_CONTEXT },
        .resource_id = WORK_UPLOAD,
        .box = { .w = WORK_UPLOAD_SIDE, .h = WORK_UPLOAD_SIDE, .d = 1 },
        .stride = WORK_UPLOAD_SIDE * 4,
    };
    int64_t start = bench_now_ns(), end = deadline();
    unsigned done = 0;

    for (; bench_now_ns() < end; done++) {
        ring_push(&b->ring, &req.hdr, sizeof(req), NULL, 0, false);
        ring_kick(&b->ring);
        ring_wait(&b->ring, 1);
    }
    ring_wait(&b->ring, 0);
    bench_figure("transfer_4m", "MB/s",
                 done * (WORK_UPLOAD_SIDE * WORK_UPLOAD_SIDE * 4e-6) * 1e9 / (bench_now_ns() - start), done);
    ring_expect_ok(&b->ring);
}

/* A guest that draws its whole screen as often as it can, and a VNC viewer. */
static void flush(Bench *b)
{
    struct virtio_gpu_transfer_to_host_2d up = {
        .hdr.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
        .resource_id = PICTURE,
        .r = { .width = WIDTH, .height = HEIGHT },
    };
    struct virtio_gpu_resource_flush flush_req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
        .resource_id = PICTURE,
        .r = { .width = WIDTH, .height = HEIGHT },
    };
    uint64_t addr = gpu_picture(b->g, PICTURE, WIDTH, HEIGHT);
    unsigned flushes = 0, updates;
    int64_t start, end;
    VncProbe *vnc;

    gpu_expect_ok(b->g, gpu_set_scanout(b->g, 0, PICTURE, 0, 0, WIDTH, HEIGHT));
    ring_open(&b->ring, b->g, GPU_CTRL);
    vnc = vnc_probe_start(b->vnc);
    g_usleep(500000);
    updates = vnc_probe_updates(vnc);
    start = bench_now_ns();
    end = deadline();
    for (; bench_now_ns() < end; flushes++) {
        memset(b->ring.ram + addr, flushes, WIDTH * HEIGHT * 4);
        ring_push(&b->ring, &up.hdr, sizeof(up), NULL, 0, false);
        ring_push(&b->ring, &flush_req.hdr, sizeof(flush_req), NULL, 0, false);
        ring_kick(&b->ring);
        ring_wait(&b->ring, 0);
    }
    updates = vnc_probe_updates(vnc) - updates;
    bench_figure("vnc_updates", "1/s", updates * 1e9 / (bench_now_ns() - start), updates);
    bench_figure("flushes", "1/s", flushes * 1e9 / (bench_now_ns() - start), flushes);
    vnc_probe_stop(vnc);
    ring_expect_ok(&b->ring);
}

/* What a message of qtest's costs: a register read, which is answered. */
static void doorbell(Bench *b)
{
    g_autoptr(GArray) took = g_array_new(false, false, sizeof(int64_t));

    for (unsigned i = 0; i < 2000; i++) {
        int64_t start = bench_now_ns();

        gpu_status(b->g);
        start = bench_now_ns() - start;
        g_array_append_val(took, start);
    }
    bench_figure_times("doorbell", (int64_t *)took->data, took->len);
}

/* From DRIVER_OK: how long the device takes until it has described its OpenGL. */
static void capset(void)
{
    Bench b;
    int64_t start;
    uint8_t data[4096];

    bench_open(&b, false);
    start = bench_now_ns();
    g_assert_cmpuint(gpu_capset(b.g, 2, 2, data, 2048), ==, VIRTIO_GPU_RESP_OK_CAPSET);
    bench_figure("first_capset", "ms", (bench_now_ns() - start) / 1e6, 1);
    bench_close(&b);
}

/* A device that is plugged into a running VM, until it has told of its screens. */
static void attach(void)
{
    g_autofree char *idle = bench_idle_cpu(runtime), *args = NULL, *driver = NULL, *props = NULL;
    struct virtio_gpu_resp_display_info info;
    const char *comma = strchr(device, ',');
    g_autoptr(GString) json = g_string_new(NULL);
    int64_t start;
    GpuVm *vm;
    Gpu *g;

    args = g_strdup_printf("%s " VM_ROOT_PORTS " %s", idle, more_args);
    vm = vm_start(NULL, args);
    vm_open_root_ports(vm);
    driver = comma ? g_strndup(device, comma - device) : g_strdup(device);
    for (unsigned i = 0; i < 2; i++) {
        /* the second one finds vgpud running */
        g_string_printf(json, "{'driver': '%s', 'bus': 'rp%u', 'id': 'gpu%u'", driver, i, i);
        if (comma) {
            g_auto(GStrv) words = g_strsplit(comma + 1, ",", -1);

            for (unsigned w = 0; words[w]; w++) {
                g_auto(GStrv) pair = g_strsplit(words[w], "=", 2);

                g_string_append_printf(json, ", '%s': '%s'", pair[0], pair[1]);
            }
        }
        g_string_append(json, "}");
        start = bench_now_ns();
        qtest_qmp_assert_success(vm->qts, "{'execute': 'device_add', 'arguments': %p}",
                                 qobject_from_json(json->str, &error_abort));
        g = gpu_behind(vm, "gpu", 1 + i);
        gpu_init(g, ALL_BUT_BLOB);
        g_assert_cmpuint(gpu_display_info(g, &info), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
        bench_figure(i ? "attach_next" : "attach_first", "ms", (bench_now_ns() - start) / 1e6, 1);
        gpu_free(g);
    }
    vm_stop(vm);
}

static void replay(Bench *b)
{
    BenchReplay result;

    if (!recording) {
        fprintf(stderr, "replay needs --recording=FILE\n");
        exit(2);
    }
    result = bench_replay(&b->ring, recording);
    bench_figure("replay", "ms", result.seconds * 1000, result.commands);
    bench_figure("replay_refused", "", result.refused, result.commands);
}

typedef struct Part {
    const char *name;
    void (*run)(Bench *b);
    void (*alone)(void);
    bool is_3d;
} Part;

static const Part parts[] = {
    { "doorbell", doorbell, NULL, false },  { "empty", empty, NULL, true },
    { "fenced", fenced, NULL, true },       { "fence", fence, NULL, true },
    { "fence_1ms", fence_1ms, NULL, true }, { "fence_5ms", fence_5ms, NULL, true },
    { "transfer", transfer, NULL, true },   { "flush", flush, NULL, false },
    { "replay", replay, NULL, false },      { "capset", NULL, capset, true },
    { "attach", NULL, attach, false },
};

static void idle_qmp(Bench *b)
{
    QmpProbe *probe = qmp_probe_start(b->qmp);
    g_autoptr(GArray) took = NULL;

    g_usleep(seconds * G_USEC_PER_SEC);
    took = qmp_probe_stop(probe);
    bench_figure_times("qmp_idle", (int64_t *)took->data, took->len);
}

static void run(const Part *part)
{
    g_autofree char *name = g_strdup_printf("qmp_%s", part->name);
    Bench b;

    if (part->alone) {
        part->alone();
        return;
    }
    bench_open(&b, part->run == flush);
    if (part->is_3d) {
        prepare_3d(&b);
    }
    if (part->run == doorbell) {
        idle_qmp(&b);
        part->run(&b);
    } else {
        QmpProbe *probe = qmp_probe_start(b.qmp);
        g_autoptr(GArray) took = NULL;

        part->run(&b);
        took = qmp_probe_stop(probe);
        bench_figure_times(name, (int64_t *)took->data, took->len);
    }
    bench_close(&b);
}

static bool parse(int *argc, char ***argv)
{
    const GOptionEntry options[] = {
        { "device", 0, 0, G_OPTION_ARG_STRING, &device, NULL, NULL },
        { "args", 0, 0, G_OPTION_ARG_STRING, &more_args, NULL, NULL },
        { "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, NULL, NULL },
        { "recording", 0, 0, G_OPTION_ARG_FILENAME, &recording, NULL, NULL },
        { "batch", 0, 0, G_OPTION_ARG_INT, &batch, NULL, NULL },
        { "clears-1ms", 0, 0, G_OPTION_ARG_INT, &clears_1ms, NULL, NULL },
        { "clears-5ms", 0, 0, G_OPTION_ARG_INT, &clears_5ms, NULL, NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("PART...");
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return false;
    }
    batch = CLAMP(batch, 1, 40); /* two of them fit into the ring */
    clears_1ms = CLAMP(clears_1ms, 1, WORK_CLEAR_MAX);
    clears_5ms = CLAMP(clears_5ms, 1, WORK_CLEAR_MAX);
    return *argc > 1 && getenv("QTEST_QEMU_BINARY");
}

int main(int argc, char **argv)
{
    if (!parse(&argc, &argv)) {
        fprintf(stderr, "usage: QTEST_QEMU_BINARY=qemu-system-x86_64 %s --device SPEC [OPTION...] PART...\n",
                argv[0]);
        return 2;
    }
    runtime = g_strdup_printf("%s/vb-XXXXXX", g_get_tmp_dir());
    g_assert_nonnull(g_mkdtemp_full(runtime, 0700));
    g_setenv("XDG_RUNTIME_DIR", runtime, true);
    g_setenv("TMPDIR", runtime, true);
    g_test_init(&(int){ 1 }, &(char **){ (char *[]){ argv[0], NULL } }, NULL);
    for (int i = 1; i < argc; i++) {
        unsigned p = 0;

        while (p < G_N_ELEMENTS(parts) && !g_str_equal(parts[p].name, argv[i])) {
            p++;
        }
        if (p == G_N_ELEMENTS(parts)) {
            fprintf(stderr, "there is no part '%s'; the file's head lists them\n", argv[i]);
            return 2;
        }
        run(&parts[p]);
    }
    process_remove_tree(runtime);
    return 0;
}
