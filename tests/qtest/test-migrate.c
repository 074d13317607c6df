/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs that are moved to another QEMU, with another vgpud and another renderer:
 * the picture is the same to the pixel, each command is answered once, and what
 * cannot be moved is refused with a sentence, the VM going on where it is.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-move.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu-window.h"

#define DEVICE "vgpu-pci,id=gpu0"
#define BLOB   8

/* ---- the picture ------------------------------------------------------------- */

static void picture(const char *renderer, void (*move)(Gpu *g, const char *device))
{
    Gpu *g = move_begin(renderer, DEVICE, 0);
    g_autofree uint32_t *before = move_draw(g);

    move_expect_detached(g);
    move(g, DEVICE);
    move_expect_screen(g, before, MOVE_WIDTH, MOVE_HEIGHT);
    move_expect_detached(g);
    /* and on, from there */
    move(g, DEVICE);
    move_expect_screen(g, before, MOVE_WIDTH, MOVE_HEIGHT);
    move_expect_goes_on(g);
    move_end(g);
}

static void picture_by_socket(Gpu *none)
{
    picture("2d", move_by_socket);
}

static void picture_by_file(Gpu *none)
{
    picture("2d", move_by_file);
}

static void picture_of_virgl(Gpu *none)
{
    picture("auto", move_by_socket);
}

/* Guest memory that is shown as it is. */
static void guest_blob(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);
    uint64_t memory = vm_alloc(g->vm, 64 * 64 * 4);
    g_autofree uint32_t *want = g_new(uint32_t, 64 * 64);

    for (unsigned i = 0; i < 64 * 64; i++) {
        want[i] = 0x00010305 * i & 0xffffff;
        qtest_writel(g->vm->qts, memory + i * 4, want[i]);
    }
    gpu_expect_ok(g, blob_guest(g, BLOB, memory, 64 * 64 * 4));
    gpu_expect_ok(g, blob_show(g, BLOB, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, BLOB, 0, 0, 64, 64));
    move_expect_screen(g, want, 64, 64);
    move_by_socket(g, DEVICE);
    move_expect_screen(g, want, 64, 64);
    gpu_expect_ok(g, gpu_unref(g, BLOB));
    move_end(g);
}

/* Firmware, or a guest that has just been reset: there is nothing to take over. */
static void without_driver(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);

    g_free(move_draw(g));
    gpu_reset(g);
    move_by_socket(g, DEVICE);
    gpu_init(g, UINT64_MAX);
    g_free(move_draw(g));
    move_end(g);
}

/* Saved again before the VM ran, by a QEMU that only passes it on. */
static void passed_on(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);
    g_autofree uint32_t *before = move_draw(g);

    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'stop' }");
    move_by_file_stopped(g, DEVICE);
    move_by_file_stopped(g, DEVICE);
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
    move_expect_screen(g, before, MOVE_WIDTH, MOVE_HEIGHT);
    move_expect_goes_on(g);
    move_end(g);
}

/* The renderer that took over is lost, later or at once. */
static void lost_there(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);
    g_autofree uint32_t *before = move_draw(g);
    g_autoptr(GArray) first = NULL;

    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'stop' }");
    move_by_file_stopped(g, DEVICE);
    first = process_renderers(g->vm->name);
    process_signal(first, SIGKILL);
    g_assert_true(process_gone(first, MOVE_MS));
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
    qmp_wait_state(g, "running", MOVE_MS);
    move_expect_screen(g, before, MOVE_WIDTH, MOVE_HEIGHT);
    move_expect_goes_on(g);
    move_end(g);
}

/* savevm and loadvm: back to what was, in the same QEMU with the same renderer, as often as one likes. */
static void snapshot(Gpu *none)
{
    g_autofree char *disk = g_build_filename(g_get_tmp_dir(), "disk.qcow2", NULL);
    g_autofree char *make = g_strdup_printf("qemu-img create -q -f qcow2 %s 1G", disk);
    g_autofree char *args = g_strdup_printf("-drive if=none,id=d,file=%s,format=qcow2", disk);
    g_autofree uint32_t *before = NULL;
    GpuVm *vm;
    Gpu *g;
    int status;

    g_assert_true(g_spawn_command_line_sync(make, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    target_configure("[renderer]\nkind=2d\n");
    vm = vm_start(DEVICE, args);
    g = gpu_find(vm, "gpu0", 0);
    gpu_init(g, UINT64_MAX);
    before = move_draw(g);
    for (unsigned i = 0; i < 2; i++) {
        GpuQueue queues[GPU_QUEUES];
        g_autofree char *said = qtest_hmp(vm->qts, "savevm one"), *again = NULL;

        g_assert_cmpstr(said, ==, "");
        memcpy(queues, g->q, sizeof(queues));
        move_running(vm);
        gpu_expect_ok(g, gpu_transfer_2d(g, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT, 0));
        gpu_expect_ok(g, gpu_flush(g, MOVE_PICTURE, 0, 0, MOVE_WIDTH, MOVE_HEIGHT));
        gpu_expect_ok(g, gpu_unref(g, MOVE_DETACHED));
        again = qtest_hmp(vm->qts, "loadvm one");
        g_assert_cmpstr(again, ==, "");
        memcpy(g->q, queues, sizeof(queues)); /* the driver's memory goes back as well */
        move_running(vm);
        move_expect_screen(g, before, MOVE_WIDTH, MOVE_HEIGHT);
        move_expect_detached(g);
    }
    move_expect_goes_on(g);
    move_end(g);
}

/* ---- commands ------------------------------------------------------------------ */

/* Posted while the VM stood still here: answered there, each once and in order. */
static void posted_before(Gpu *none)
{
    Gpu *g = move_begin("null", DEVICE, 0);
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
                                       .flags = VIRTIO_GPU_FLAG_FENCE };
    unsigned posted = g->q[GPU_CTRL].vq->size / 2 - 1;
    g_autofree uint16_t *head = g_new(uint16_t, posted);

    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'stop' }");
    for (unsigned i = 0; i < posted; i++) {
        req.fence_id = 1000 + i;
        head[i] =
            gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
    }
    move_by_file_stopped(g, DEVICE);
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
    for (unsigned i = 0; i < posted; i++) {
        struct virtio_gpu_ctrl_hdr hdr;
        uint32_t used, len;

        g_assert_true(gpu_wait(g, GPU_CTRL, &used, &len, MOVE_MS));
        g_assert_cmpuint(used, ==, head[i]);
        qtest_memread(g->vm->qts, gpu_response(g, GPU_CTRL, used), &hdr, sizeof(hdr));
        g_assert_cmphex(hdr.type, ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
        g_assert_cmpuint(hdr.fence_id, ==, 1000 + i);
    }
    g_assert_false(gpu_pop(g, GPU_CTRL, NULL, NULL));
    gpu_assert_alive(g);
    move_end(g);
}

/*
 * What the renderer writes while the VM is moved arrives: the answers of requests
 * that were in memory before, and were posted after it had been sent.
 */
static void written_meanwhile(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);
    g_autofree char *uri = g_strdup_printf("unix:%s/move", g_get_tmp_dir());
    struct virtio_gpu_cmd_get_edid req = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID };
    struct virtio_gpu_resp_edid before, after;
    GpuVm *vm = move_elsewhere(DEVICE);
    uint16_t head[16];
    unsigned i;

    g_free(move_draw(g));
    for (i = 0; i < G_N_ELEMENTS(head); i++) {
        head[i] = gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, sizeof(before));
        g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, MOVE_MS));
    }
    qtest_memread(g->vm->qts, gpu_response(g, GPU_CTRL, head[0]), &before, sizeof(before));
    g_assert_cmphex(before.hdr.type, ==, VIRTIO_GPU_RESP_OK_EDID);
    for (i = 0; i < G_N_ELEMENTS(head); i++) {
        qtest_memset(g->vm->qts, gpu_response(g, GPU_CTRL, head[i]), 0xee, sizeof(before));
    }
    move_receive(vm, uri);
    move_slowly(g, uri);
    for (i = 0; i < G_N_ELEMENTS(head); i++) {
        gpu_post_head(g, GPU_CTRL, head[i]);
    }
    for (i = 0; i < G_N_ELEMENTS(head); i++) {
        while (qtest_readw(g->vm->qts, g->q[GPU_CTRL].vq->used + 2) !=
               (uint16_t)(g->q[GPU_CTRL].used + G_N_ELEMENTS(head))) {
            g_usleep(1000);
        }
    }
    move_hurry_up(g);
    g_assert_true(move_wait(g->vm, NULL));
    move_running(vm);
    move_driver(g, vm);
    for (i = 0; i < G_N_ELEMENTS(head); i++) {
        uint32_t used, len;

        g_assert_true(gpu_pop(g, GPU_CTRL, &used, &len));
        g_assert_cmpuint(used, ==, head[i]);
        g_assert_cmpuint(len, ==, sizeof(after));
        qtest_memread(g->vm->qts, gpu_response(g, GPU_CTRL, used), &after, sizeof(after));
        g_assert_cmpmem(&after, sizeof(after), &before, sizeof(before));
    }
    gpu_assert_alive(g);
    move_end(g);
}

/* The renderer is lost while the VM is moved, and its heir keeps the log. */
static void lost_meanwhile(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);
    g_autofree char *uri = g_strdup_printf("unix:%s/move", g_get_tmp_dir());
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);
    struct virtio_gpu_resp_display_info info;
    GpuVm *vm = move_elsewhere(DEVICE);

    g_free(move_draw(g));
    move_receive(vm, uri);
    move_slowly(g, uri);
    process_signal(renderers, SIGKILL);
    g_assert_true(process_gone(renderers, MOVE_MS));
    gpu_expect(g, gpu_display_info(g, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    qmp_wait_state(g, "running", MOVE_MS);
    move_hurry_up(g);
    g_assert_true(move_wait(g->vm, NULL));
    move_running(vm);
    move_driver(g, vm);
    move_expect_goes_on(g);
    move_end(g);
}

#define RAW CASE_OURS | CASE_RAW

const GpuCase cases_migrate[] = {
    { "migrate/picture-by-socket", picture_by_socket, RAW },
    { "migrate/picture-by-file", picture_by_file, RAW },
    { "migrate/picture-of-virgl", picture_of_virgl, RAW },
    { "migrate/guest-blob", guest_blob, RAW },
    { "migrate/without-driver", without_driver, RAW },
    { "migrate/passed-on", passed_on, RAW },
    { "migrate/lost-there", lost_there, RAW },
    { "migrate/snapshot", snapshot, RAW },
    { "migrate/posted-before", posted_before, RAW },
    { "migrate/written-meanwhile", written_meanwhile, RAW },
    { "migrate/lost-meanwhile", lost_meanwhile, RAW },
    { NULL },
};
