/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cannot be moved or loaded as it is: contexts, VMs that do not fit, damaged
 * states, renderers that misbehave.  Each is a sentence, the VM goes on where it
 * is, and QEMU lives; or, with migration=reset, the contexts are left behind.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-fake.h"
#include "vgpu-move.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu/virtio.h"
#include "standard-headers/linux/virtio_config.h"

#define DEVICE "vgpu-pci,id=gpu0"
#define MIB    (1024ull * 1024)
#define LOSS   (1ull << VGPU_F_EXTENSION | 1ull << VGPU_F_LOSS)

#define HAS(text, part)                                                                                      \
    do {                                                                                                     \
        if (!strstr(text, part)) {                                                                           \
            g_test_message("'%s' is not in: %s", part, text);                                                \
            g_assert_nonnull(strstr(text, part));                                                            \
        }                                                                                                    \
    } while (0)

/* ---- contexts ------------------------------------------------------------------ */

static void move_fails(Gpu *g, const char *uri, const char *part)
{
    g_autofree char *json = g_strdup_printf("{ 'execute': 'migrate', 'arguments': { 'uri': '%s' } }", uri);
    g_autofree char *why = qmp_failure(g->vm, json);

    g_test_message("%s", why);
    HAS(why, part);
}

static void block(const char *renderer)
{
    Gpu *g = move_begin(renderer, DEVICE, 0);
    int64_t end = g_get_monotonic_time() + MOVE_MS * 1000ll;
    g_autofree char *file = g_strdup_printf("file:%s/saved", g_get_tmp_dir()), *hmp = NULL;
    bool null = g_str_equal(renderer, "null");

    if (!null) {
        g_free(move_draw(g));
    }
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "c"));
    for (;;) { /* QEMU is told, and does not wait for it */
        QDict *rsp = qtest_qmp(g->vm->qts, "{ 'execute': 'query-migrate' }");
        bool blocked = qdict_haskey(qdict_get_qdict(rsp, "return"), "blocked-reasons");

        qobject_unref(rsp);
        if (blocked) {
            break;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    move_fails(g, file, "plug the device with migration=reset");
    hmp = qtest_hmp(g->vm->qts, "savevm x");
    HAS(hmp, "migration=reset");
    gpu_expect_ok(g, gpu_ctx_destroy(g, 1));
    g_usleep(300000);
    move_by_socket(g, DEVICE);
    if (!null) {
        move_expect_goes_on(g);
    }
    gpu_assert_alive(g);
    move_end(g);
}

static void block_null(Gpu *none)
{
    block("null");
}

static void block_virgl(Gpu *none)
{
    block("auto");
}

/* One that comes while the VM is moved: the move fails, and the VM stays. */
static void context_meanwhile(Gpu *none)
{
    Gpu *g = move_begin("null", DEVICE, 0);
    g_autofree char *uri = g_strdup_printf("unix:%s/move", g_get_tmp_dir());
    g_autofree char *why = NULL;
    GpuVm *vm = move_elsewhere(DEVICE);

    move_receive(vm, uri);
    move_slowly(g, uri);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "c"));
    move_hurry_up(g);
    g_assert_false(move_wait(g->vm, &why));
    HAS(why, "vgpu");
    move_running(g->vm);
    gpu_expect_ok(g, gpu_submit(g, 1, (uint32_t[]){ 0 }, 1));
    gpu_assert_alive(g);
    vm_stop(vm);
    move_end(g);
}

static void reset(const char *renderer)
{
    const char *device = DEVICE ",migration=reset";
    Gpu *g = move_begin(renderer, device, 0);
    bool null = g_str_equal(renderer, "null");
    g_autofree uint32_t *before = null ? NULL : move_draw(g);

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "old"));
    move_by_socket(g, device);
    if (!null) { /* the null renderer's pictures are all black */
        move_expect_screen(g, before, MOVE_WIDTH, MOVE_HEIGHT);
    }
    gpu_expect(g, gpu_submit(g, 1, (uint32_t[]){ 0 }, 1), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
    g_assert_cmphex(gpu_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET, ==, 0);
    gpu_expect_ok(g, gpu_ctx_create(g, 2, "new"));
    if (null) {
        gpu_expect_ok(g, gpu_submit(g, 2, (uint32_t[]){ 0 }, 1));
    } else {
        move_expect_goes_on(g);
    }
    gpu_assert_alive(g);
    move_end(g);
}

static void reset_null(Gpu *none)
{
    reset("null");
}

static void reset_virgl(Gpu *none)
{
    reset("auto");
}

/* Work that was posted before: its answer is an error, and comes. */
static void reset_before_work(Gpu *none)
{
    const char *device = DEVICE ",migration=reset";
    Gpu *g = move_begin("null", device, 0);
    struct virtio_gpu_cmd_submit req = {
        .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D,
                 .ctx_id = 1,
                 .flags = VIRTIO_GPU_FLAG_FENCE,
                 .fence_id = 77 },
        .size = 4,
    };
    GpuDesc extra = { .addr = vm_alloc(g->vm, 4096), .len = 4 };
    struct virtio_gpu_ctrl_hdr hdr;
    uint32_t head, len;

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "c"));
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'stop' }");
    gpu_send(g, GPU_CTRL, &req, sizeof(req), &extra, 1, 24);
    gpu_send(g, GPU_CTRL, &req, sizeof(req), &extra, 1, 24);
    move_by_file_stopped(g, device);
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(gpu_wait(g, GPU_CTRL, &head, &len, MOVE_MS));
        qtest_memread(g->vm->qts, gpu_response(g, GPU_CTRL, head), &hdr, sizeof(hdr));
        g_assert_cmphex(hdr.type, ==, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
        g_assert_cmpuint(hdr.fence_id, ==, 77);
    }
    gpu_assert_alive(g);
    move_end(g);
}

/* A driver that wants to hear of it resets the device; without contexts there is nothing to hear. */
static void reset_is_told(Gpu *none)
{
    const char *device = DEVICE ",migration=reset";
    Gpu *g = move_begin("null", device, LOSS);
    int64_t end = g_get_monotonic_time() + MOVE_MS * 1000ll;

    g_assert_true(gpu_has(g, VGPU_F_LOSS));
    gpu_picture(g, MOVE_PICTURE, 8, 8);
    move_by_socket(g, device);
    gpu_assert_alive(g);
    g_assert_cmphex(gpu_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET, ==, 0);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "c"));
    move_by_socket(g, device);
    while (!(gpu_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    gpu_init(g, UINT64_MAX);
    gpu_picture(g, MOVE_PICTURE, 8, 8);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "c"));
    move_end(g);
}

/* ---- what does not fit, and what is no state at all ---------------------------- */

/* Loading fails, with that part in what QEMU says, and QEMU lives. */
static void load_fails(const char *device, const char *file, const char *part)
{
    g_autofree char *uri = g_strdup_printf("file:%s", file), *said = NULL;
    GpuVm *vm = move_elsewhere(device);

    move_receive(vm, uri);
    g_assert_false(move_wait(vm, NULL));
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    said = move_said();
    HAS(said, part);
    vm_stop(vm);
}

static void unlike(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE ",submit-queues=2,max_outputs=2,hostmem=256M,profile=quarter", 0);
    g_autofree char *file = NULL;

    g_free(move_draw(g));
    for (unsigned i = 0; i < 20; i++) { /* 640 MiB */
        gpu_expect_ok(g, gpu_create_2d(g, 100 + i, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 4096, 2048));
        if (qmp_memory(g, "memory-used") > qmp_memory(g, "memory-limit") * 3 / 4) {
            break;
        }
    }
    file = move_to_file(g);
    load_fails(DEVICE ",submit-queues=1,max_outputs=2,hostmem=256M", file, "plug it with submit-queues=2");
    load_fails(DEVICE ",submit-queues=2,max_outputs=1,hostmem=256M", file, "plug it with max_outputs=2");
    load_fails(DEVICE ",submit-queues=2,max_outputs=2,hostmem=512M", file, "hostmem=256M");
    load_fails(DEVICE ",submit-queues=2,max_outputs=2,hostmem=256M,profile=sixteenth", file,
               "choose a larger profile");
    move_end(g);
}

/* A guest that uses 3D goes to where there is some. */
static void no_3d_there(Gpu *none)
{
    Gpu *g = move_begin("null", DEVICE, 0);
    g_autofree char *file = NULL;

    g_assert_true(gpu_has(g, VIRTIO_GPU_F_VIRGL));
    file = move_to_file(g);
    target_configure("[renderer]\nkind=2d\n");
    load_fails(DEVICE, file, "what the renderer here does not serve");
    move_end(g);
}

/* Where the renderer's part begins: at its first frame's size. */
static size_t find_state(const char *bytes, size_t size)
{
    const char *at = memmem(bytes, size, "VGSV", 4);

    g_assert_nonnull(at);
    g_assert_null(memmem(at + 1, bytes + size - at - 1, "VGSV", 4));
    return at - 4 - bytes;
}

/* Byte at of the renderer's part becomes another one, or the file ends there. */
static void damaged(Gpu *none)
{
    static const struct {
        unsigned at;
        int byte; /* -1: the file ends */
        const char *part;
    } faults[] = {
        { 0, 0x7f, "or is damaged" },        /* a frame of 2 GiB */
        { 4, 'X', "is damaged" },            /* the magic */
        { 8, 99, "install the release" },    /* the version */
        { 16, 200, "objects, and says" },    /* how many resources */
        { 28, 77, "no record of type 77" },  /* of the first record */
        { 32, 1, "where there is nothing" }, /* its zero */
        { 36, 3, "a queue of 3 bytes" },     /* its size */
        { 44, 10, "there is no queue 10" },  /* its number */
        { 100, -1, "ends early" },           /* in the middle */
    };
    Gpu *g = move_begin("2d", DEVICE, 0);
    g_autofree char *file = NULL, *bytes = NULL;
    size_t size, at;

    g_free(move_draw(g));
    file = move_to_file(g);
    g_assert_true(g_file_get_contents(file, &bytes, &size, NULL));
    at = find_state(bytes, size);
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autofree char *other = g_memdup2(bytes, size);

        if (faults[i].byte >= 0) {
            other[at + faults[i].at] = faults[i].byte;
        }
        g_assert_true(g_file_set_contents(file, other, faults[i].byte < 0 ? at + faults[i].at : size, NULL));
        load_fails(DEVICE, file, faults[i].part);
    }
    move_end(g);
}

/* ---- renderers that misbehave -------------------------------------------------- */

static Fake *fake;

static Gpu *with_fake(void)
{
    g_autofree char *device = NULL;
    GpuVm *vm;
    Gpu *g;

    fake = fake_new((FakeOptions){ .features = 1ull << VIRTIO_GPU_F_EDID });
    device = g_strdup_printf(DEVICE ",hostmem=64M,x-save-patience-ms=1000,socket=%s", fake_socket(fake));
    vm = vm_start(device, NULL);
    g = gpu_find(vm, "gpu0", 0);
    gpu_init(g, UINT64_MAX);
    fake_wait_renderer(fake, 1);
    return g;
}

/* Where QEMU wants the state. */
static int asked_to_save(Gpu *g)
{
    g_autofree char *uri = g_strdup_printf("file:%s/saved", g_get_tmp_dir());
    struct vgpu_channel_save m;

    move_send(g->vm, uri);
    g_assert_true(fake_receive(fake, VGPU_CHANNEL_SAVE, &m, sizeof(m), MOVE_MS));
    g_assert_cmpuint(m.leave_contexts, ==, 0);
    return fake_take_fd(fake);
}

static void expect_not_saved(Gpu *g, int fd)
{
    close(fd);
    g_assert_false(move_wait(g->vm, NULL));
    move_running(g->vm);
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
}

static void hostile_save(Gpu *none)
{
    Gpu *g = with_fake();
    uint32_t size = MIB;
    struct vgpu_save_refused why;
    g_autofree uint8_t *frame = g_malloc0(VGPU_SAVE_FRAME_MAX + sizeof(size));
    int fd = asked_to_save(g);

    send(fd, &size, sizeof(size), MSG_NOSIGNAL); /* a frame too large */
    expect_not_saved(g, fd);

    fd = asked_to_save(g);
    size = 1000; /* of which nothing comes */
    send(fd, &size, sizeof(size), MSG_NOSIGNAL);
    expect_not_saved(g, fd);

    fd = asked_to_save(g);
    size = 1000; /* which come so slowly that QEMU would stand still for minutes */
    send(fd, &size, sizeof(size), MSG_NOSIGNAL);
    for (unsigned i = 0; send(fd, frame, 1, MSG_NOSIGNAL) > 0; i++) {
        g_assert_cmpuint(i, <, 200);
        g_usleep(50 * 1000);
    }
    expect_not_saved(g, fd);

    fd = asked_to_save(g);
    size = VGPU_SAVE_FRAME_MAX;
    memcpy(frame, &size, sizeof(size));
    while (send(fd, frame, size + sizeof(size), MSG_NOSIGNAL) > 0) {
        /* for ever */
    }
    expect_not_saved(g, fd);

    fd = asked_to_save(g);
    size = VGPU_SAVE_REFUSED; /* with a sentence that does not end, and is none */
    memset(&why, 0x1b, sizeof(why));
    send(fd, &size, sizeof(size), MSG_NOSIGNAL);
    send(fd, &why, sizeof(why), MSG_NOSIGNAL);
    expect_not_saved(g, fd);

    fd = asked_to_save(g); /* anything at all is for the next renderer to judge */
    send(fd, "\x03\0\0\0abc\0\0\0\0", 11, MSG_NOSIGNAL);
    g_assert_true(move_wait(g->vm, NULL));
    close(fd);
    move_end(g);
    fake_free(fake);
}

static void judged_unasked(Gpu *none)
{
    Gpu *g = with_fake();
    GpuVm *vm = g->vm;
    struct vgpu_channel_judged m = { .ok = 1 };

    fake_send(fake, VGPU_CHANNEL_JUDGED, &m, sizeof(m), -1);
    g_assert_true(fake_hung_up(fake, FAKE_SOON_MS));
    fake_wait_renderer(fake, 2);
    gpu_free(g);
    vm_stop(vm);
    fake_free(fake);
}

/* The renderer there does not want it, and says why in words that are none. */
static void judged_badly(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE ",hostmem=64M", 0);
    struct vgpu_channel_judged m = { .message = "no \x1b[7mthanks" };
    struct vgpu_channel_adopt adopt;
    g_autofree char *file = NULL, *uri = NULL, *device = NULL, *said = NULL;
    GpuVm *vm;

    gpu_init(g, 1ull << VIRTIO_GPU_F_EDID);
    g_free(move_draw(g));
    file = move_to_file(g);
    uri = g_strdup_printf("file:%s", file);
    fake = fake_new(
        (FakeOptions){ .features = (1ull << VIRTIO_GPU_F_EDID) | (1ull << VIRTIO_GPU_F_RESOURCE_BLOB),
                       .socket = "there.sock" });
    device = g_strdup_printf(DEVICE ",hostmem=64M,socket=%s", fake_socket(fake));
    vm = move_elsewhere(device);
    fake_wait_renderer(fake, 1);
    move_receive(vm, uri);
    if (!fake_receive(fake, VGPU_CHANNEL_ADOPT, &adopt, sizeof(adopt), MOVE_MS)) {
        said = move_said();
        g_assert_not_reached();
    }
    g_assert_cmpuint(adopt.form, ==, VGPU_ADOPT_SAVED);
    fake_send(fake, VGPU_CHANNEL_JUDGED, &m, sizeof(m), -1);
    g_assert_false(move_wait(vm, NULL));
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    said = move_said();
    HAS(said, "no  [7mthanks");
    vm_stop(vm);
    move_end(g);
    fake_free(fake);
}

/* One that stands still is lost as soon as the move asks it for anything: the next one is moved. */
static void stopped(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);
    g_autofree char *uri = g_strdup_printf("file:%s/saved", g_get_tmp_dir());
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);

    g_free(move_draw(g));
    process_signal(renderers, SIGSTOP);
    g_assert_true(process_stopped(renderers, MOVE_MS));
    move_send(g->vm, uri);
    if (!move_wait(g->vm, NULL)) { /* it was taking over just then */
        move_running(g->vm);
    } else {
        qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
    }
    g_assert_true(process_gone(renderers, MOVE_MS));
    qmp_wait_state(g, "running", MOVE_MS);
    move_by_socket(g, DEVICE);
    move_expect_goes_on(g);
    move_end(g);
}

/*
 * The VM stands still already, and then its renderer: saving finds that out after four times the
 * deadline of 1 s, and not when its patience of 10 s is at an end.
 */
#define FOUND_OUT_MS 9000
static void stopped_while_paused(Gpu *none)
{
    Gpu *g = move_begin("2d", DEVICE, 0);
    g_autofree char *uri = g_strdup_printf("file:%s/saved", g_get_tmp_dir());
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);
    int64_t start;

    g_free(move_draw(g));
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'stop' }");
    process_signal(renderers, SIGSTOP);
    g_assert_true(process_stopped(renderers, MOVE_MS));
    start = g_get_monotonic_time();
    move_send(g->vm, uri);
    g_assert_false(move_wait(g->vm, NULL));
    g_assert_cmpint(g_get_monotonic_time() - start, <, FOUND_OUT_MS * 1000);
    g_assert_true(process_gone(renderers, MOVE_MS));
    qmp_wait_state(g, "running", MOVE_MS);
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
    move_by_socket(g, DEVICE);
    move_expect_goes_on(g);
    move_end(g);
}

#define RAW CASE_OURS | CASE_RAW

const GpuCase cases_migrate_no[] = {
    { "migrate/block-null", block_null, RAW },
    { "migrate/block-virgl", block_virgl, RAW },
    { "migrate/context-meanwhile", context_meanwhile, RAW },
    { "migrate/reset-null", reset_null, RAW },
    { "migrate/reset-virgl", reset_virgl, RAW },
    { "migrate/reset-before-work", reset_before_work, RAW },
    { "migrate/reset-is-told", reset_is_told, RAW },
    { "migrate/unlike", unlike, RAW },
    { "migrate/no-3d-there", no_3d_there, RAW },
    { "migrate/damaged", damaged, RAW },
    { "migrate/hostile-save", hostile_save, RAW },
    { "migrate/judged-unasked", judged_unasked, RAW },
    { "migrate/judged-badly", judged_badly, RAW },
    { "migrate/stopped", stopped, RAW },
    { "migrate/stopped-while-paused", stopped_while_paused, RAW },
    { NULL },
};
