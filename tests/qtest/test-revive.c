/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A renderer is lost under a running guest, and nobody resets anything: the next one
 * comes by itself, the picture and the guest's objects are there, and each
 * command that was posted is answered.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-fake.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu-window.h"

#include <glib/gstdio.h>

#define BACK_MS       10000
#define LOST_MS       15000 /* the gpu channel's keep-alive */
#define SOON_FOUND_MS 8000
#define PICTURE       5
#define WIDTH         320
#define HEIGHT        200

static uint64_t backing;

static void work(Gpu *g)
{
    backing = gpu_picture(g, PICTURE, WIDTH, HEIGHT);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, PICTURE, 0, 0, WIDTH, HEIGHT));
    gpu_expect_ok(g, gpu_flush(g, PICTURE, 0, 0, WIDTH, HEIGHT));
}

/* Another renderer than those, and it is in service. */
static void await_next(Gpu *g, GArray *before)
{
    int64_t end = g_get_monotonic_time() + LOST_MS * 1000ll;

    for (;;) {
        g_autoptr(GArray) now = process_renderers(g->vm->name);
        bool other = now->len > 0;

        for (unsigned i = 0; i < now->len; i++) {
            for (unsigned k = 0; k < before->len; k++) {
                other &= g_array_index(now, pid_t, i) != g_array_index(before, pid_t, k);
            }
        }
        if (other) {
            break;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(5000);
    }
    qmp_wait_state(g, "running", BACK_MS);
}

static void strike(Gpu *g, int sig)
{
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);

    g_assert_cmpuint(renderers->len, >, 0);
    process_signal(renderers, sig);
    await_next(g, renderers);
}

/* The screen shows what is in the guest's memory, and goes on to do so. */
static void expect_picture(Gpu *g)
{
    uint32_t mark = 0x00c0ffee & 0xffffff;
    int64_t end = g_get_monotonic_time() + BACK_MS * 1000ll;
    unsigned w, h;

    gpu_expect_ok(g, gpu_flush(g, PICTURE, 0, 0, WIDTH, HEIGHT));
    for (unsigned round = 0; round < 2; round++) {
        for (;;) {
            g_autofree uint32_t *pixels = qmp_screendump(g, 0, &w, &h);
            unsigned same = 0;

            for (unsigned i = 0; w == WIDTH && h == HEIGHT && i < WIDTH * HEIGHT; i += 97) {
                same += pixels[i] == (qtest_readl(g->vm->qts, backing + i * 4) & 0xffffff);
            }
            if (same == (WIDTH * HEIGHT + 96) / 97) {
                break;
            }
            g_assert_cmpint(g_get_monotonic_time(), <, end);
            g_usleep(20000);
        }
        for (unsigned i = 0; i < WIDTH * HEIGHT; i += 97) {
            qtest_writel(g->vm->qts, backing + i * 4, mark + i);
        }
        gpu_expect_ok(g, gpu_transfer_2d(g, PICTURE, 0, 0, WIDTH, HEIGHT, 0));
        gpu_expect_ok(g, gpu_flush(g, PICTURE, 0, 0, WIDTH, HEIGHT));
    }
}

static void killed(Gpu *g)
{
    work(g);
    strike(g, SIGKILL);
    expect_picture(g);
    gpu_expect(g, gpu_create_2d(g, PICTURE, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 8, 8),
               VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect_ok(g, gpu_unref(g, PICTURE));
}

static void killed_again_and_again(Gpu *g)
{
    work(g);
    for (unsigned i = 0; i < 6; i++) {
        strike(g, SIGKILL);
        expect_picture(g);
    }
}

/* Before the guest's driver has come, and after it has gone. */
static void killed_without_driver(Gpu *g)
{
    gpu_reset(g);
    strike(g, SIGKILL);
    gpu_init(g, UINT64_MAX);
    work(g);
    expect_picture(g);
}

/* All that the ring holds is posted, and comes back. */
static void killed_under_load(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    unsigned posted = g->q[GPU_CTRL].vq->size / 2 - 1;
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);

    work(g);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < posted; i++) {
            gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
            if (!round && i == posted / 2) {
                process_signal(renderers, SIGKILL);
            }
        }
        for (unsigned i = 0; i < posted; i++) {
            uint32_t head, len;

            g_assert_true(gpu_wait(g, GPU_CTRL, &head, &len, BACK_MS));
        }
    }
    await_next(g, renderers);
    expect_picture(g);
}

/* Commands that the guest posts while there is nobody are answered when there is. */
static void posted_meanwhile(Gpu *g)
{
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    uint32_t head, len;

    work(g);
    process_signal(renderers, SIGKILL);
    g_assert_true(process_gone(renderers, BACK_MS));
    gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
    g_assert_true(gpu_wait(g, GPU_CTRL, &head, &len, BACK_MS));
    expect_picture(g);
}

/* The guest stands still meanwhile: it goes on with the new one. */
static void killed_while_paused(Gpu *g)
{
    work(g);
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'stop' }");
    strike(g, SIGKILL);
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'cont' }");
    expect_picture(g);
}

/*
 * One that stands still, and of which nobody wants anything, is found out by the
 * keep-alive, and replaced.  The VM's hang timeout says how soon that is: less than what
 * it is without one.
 */
static void stopped(Gpu *g)
{
    g_autofree char *vgpuctl = g_find_program_in_path("vgpuctl");
    char *argv[] = { vgpuctl, (char *)"set", g->vm->name, (char *)"hang-timeout=1s", NULL };
    int64_t start;
    int status;

    work(g);
    g_assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    start = g_get_monotonic_time();
    strike(g, SIGSTOP);
    g_assert_cmpint(g_get_monotonic_time() - start, <, SOON_FOUND_MS * 1000);
    expect_picture(g);
}

static void reset_at_once(Gpu *g)
{
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);

    work(g);
    process_signal(renderers, SIGKILL);
    gpu_init(g, UINT64_MAX);
    await_next(g, renderers);
    gpu_init(g, UINT64_MAX);
    work(g); /* the id is free */
    expect_picture(g);
}

/* A vgpud that is away comes back, or another one is started: no reason to give up. */
static void vgpud_away(Gpu *g)
{
    g_autoptr(GArray) vgpud = process_named("vgpud");

    work(g);
    process_signal(vgpud, SIGKILL);
    g_assert_true(process_gone(vgpud, BACK_MS));
    strike(g, SIGKILL);
    expect_picture(g);
}

/* vgpuctl restart: the same, on purpose; it returns when the next one serves. */
static void restarted(Gpu *g)
{
    g_autofree char *vgpuctl = g_find_program_in_path("vgpuctl"), *out = NULL, *err = NULL;
    char *one[] = { vgpuctl, (char *)"restart", g->vm->name, NULL };
    char *all[] = {
        vgpuctl, (char *)"restart", (char *)"--all", (char *)"--rolling", (char *)"--json", NULL
    };
    char **commands[] = { one, all, one };

    work(g);
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autoptr(GArray) before = process_renderers(g->vm->name);
        int status;

        g_clear_pointer(&out, g_free);
        g_clear_pointer(&err, g_free);
        g_assert_true(g_spawn_sync(NULL, commands[i], NULL, 0, NULL, NULL, &out, &err, &status, NULL));
        g_test_message("%s%s", out, err);
        g_assert_cmpint(status, ==, 0);
        g_assert_nonnull(strstr(out, g->vm->name));
        await_next(g, before);
        expect_picture(g);
    }
}

/* An operator takes the 3D away: the picture stays, and 3D commands are errors. */
static void stopped_by_operator(Gpu *g)
{
    g_autofree char *vgpuctl = g_find_program_in_path("vgpuctl");
    char *argv[] = { vgpuctl, (char *)"stop", g->vm->name, NULL };
    g_autoptr(GArray) before = process_renderers(g->vm->name);
    int status;

    work(g);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "before"));
    g_assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    await_next(g, before);
    expect_picture(g);
    gpu_expect(g, gpu_ctx_create(g, 2, "after"), VIRTIO_GPU_RESP_ERR_UNSPEC);
    gpu_init(g, UINT64_MAX);
    g_assert_false(gpu_has(g, VIRTIO_GPU_F_VIRGL));
}

/* What was mapped is not there any more: no stale memory, and an error for who maps it again. */
static void window_is_emptied(Gpu *g)
{
    uint64_t base;

    g_assert_cmpuint(window_open(g, &base), >, 0);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "c"));
    gpu_expect_ok(g, blob_host(g, 9, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 9, 0), VIRTIO_GPU_RESP_OK_MAP_INFO);
    g_assert_cmphex(qtest_readl(g->vm->qts, base), !=, 0);
    strike(g, SIGKILL);
    g_assert_cmphex(qtest_readl(g->vm->qts, base), ==, 0);
    gpu_expect(g, blob_map(g, 9, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect_ok(g, blob_unmap(g, 9));
    gpu_expect_ok(g, gpu_unref(g, 9));
    gpu_expect(g, gpu_unref(g, 9), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect(g, gpu_ctx_attach(g, 1, 9), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
    gpu_expect_ok(g, gpu_ctx_create(g, 2, "another"));
}

/* ---- with renderers that misbehave ---- */

static GpuVm *fake_vm(Fake *f)
{
    g_autofree char *device = g_strdup_printf("vgpu-pci,id=gpu0,hostmem=64M,socket=%s", fake_socket(f));

    return vm_start(device, NULL);
}

static void expect_adopted(Fake *f, unsigned renderer, unsigned whose)
{
    struct vgpu_channel_display_info info;

    fake_wait_renderer(f, renderer);
    /* the modes come behind it */
    g_assert_true(fake_receive(f, VGPU_CHANNEL_DISPLAY_INFO, &info, sizeof(info), FAKE_SOON_MS));
    g_assert_cmpuint(fake_adopted(f), ==, whose);
}

/* Which table a renderer is handed, when others were lost over it, and after a reset. */
static void whose_table(Gpu *none)
{
    Fake *f = fake_new((FakeOptions){ .features = 1ull << VIRTIO_GPU_F_EDID });
    GpuVm *vm = fake_vm(f);
    Gpu *g = gpu_find(vm, "gpu0", 0);

    gpu_init(g, UINT64_MAX);
    expect_adopted(f, 1, 0);
    fake_die(f);
    expect_adopted(f, 2, 1); /* and is lost over it */
    fake_die(f);
    expect_adopted(f, 3, 1);
    fake_say_adopted(f);
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    g_usleep(200000);
    fake_die(f);
    for (unsigned i = 4; i < 8; i++) {
        expect_adopted(f, i, 3); /* now that one's is as good */
        fake_die(f);
    }
    expect_adopted(f, 8, 0); /* four were lost over it: nobody else */
    fake_die(f);
    fake_wait_renderer(f, 9);
    g_usleep(2500000); /* that one lasts, so that the next comes at once */
    gpu_reset(g);
    fake_die(f);
    qmp_wait_state(g, "running", BACK_MS);
    gpu_free(g);
    vm_stop(vm);
    fake_free(f);
}

/* A QEMU that can take no descriptor has lost its renderer by that: it is not the table's fault, however
 * often. */
static void no_descriptor_left(Gpu *none)
{
    Fake *f = fake_new((FakeOptions){ .features = 1ull << VIRTIO_GPU_F_EDID });
    GpuVm *vm = fake_vm(f);
    Gpu *g = gpu_find(vm, "gpu0", 0);
    pid_t pid = qtest_pid(vm->qts);

    gpu_init(g, UINT64_MAX);
    expect_adopted(f, 1, 0);
    fake_die(f);
    for (unsigned i = 2; i < 5; i++) {
        int64_t end = g_get_monotonic_time() + FAKE_SOON_MS * 1000ll;
        struct rlimit was;
        bool lost;

        expect_adopted(f, i, 1);
        do { /* it may have closed one after that */
            process_starve(pid, &was);
            fake_scanout(f, 320, 200);
            lost = fake_hung_up(f, 500);
            g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, &was, NULL), ==, 0);
        } while (!lost && g_get_monotonic_time() < end);
        g_assert_true(lost);
    }
    expect_adopted(f, 5, 1);
    gpu_free(g);
    vm_stop(vm);
    fake_free(f);
}

/* Nobody asked it to adopt anything. */
static void adopted_unasked(Gpu *none)
{
    Fake *f = fake_new((FakeOptions){ .features = 1ull << VIRTIO_GPU_F_EDID });
    GpuVm *vm = fake_vm(f);
    Gpu *g = gpu_find(vm, "gpu0", 0);

    gpu_init(g, UINT64_MAX);
    fake_wait_renderer(f, 1);
    fake_say_adopted(f);
    g_assert_true(fake_hung_up(f, FAKE_SOON_MS));
    fake_wait_renderer(f, 2);
    gpu_free(g);
    vm_stop(vm);
    fake_free(f);
}

static void die_at_start(Fake *f, uint32_t request)
{
    if (fake_renderers(f) > 1) {
        fake_die(f);
    }
}

/* Renderers that do not live: asked for with growing pauses, and QEMU answers all the time. */
static void none_lives(Gpu *none)
{
    Fake *f = fake_new((FakeOptions){ .features = 1ull << VIRTIO_GPU_F_EDID, .on_request = die_at_start });
    GpuVm *vm = fake_vm(f);
    Gpu *g = gpu_find(vm, "gpu0", 0);
    unsigned soon, later;

    gpu_init(g, UINT64_MAX);
    fake_wait_renderer(f, 1);
    fake_die(f);
    for (unsigned i = 0; i < 40; i++) {
        qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
        g_usleep(100000);
    }
    soon = fake_renderers(f);
    g_assert_cmpuint(soon, >=, 4);
    g_assert_cmpuint(soon, <=, 9);
    g_usleep(2000000);
    later = fake_renderers(f);
    g_assert_cmpuint(later - soon, <=, 1);
    /* as soon as one does live all is well */
    fake_set_options(f, (FakeOptions){ .features = 1ull << VIRTIO_GPU_F_EDID });
    fake_wait_renderer(f, later + 1);
    qmp_wait_state(g, "running", BACK_MS);
    gpu_free(g);
    vm_stop(vm);
    fake_free(f);
}

/* One that does not serve what the guest has agreed to is of no use before a reset. */
static void other_features(Gpu *none)
{
    Fake *f =
        fake_new((FakeOptions){ .features = (1ull << VIRTIO_GPU_F_EDID) | (1ull << VIRTIO_GPU_F_VIRGL) });
    GpuVm *vm = fake_vm(f);
    Gpu *g = gpu_find(vm, "gpu0", 0);

    gpu_init(g, UINT64_MAX);
    expect_adopted(f, 1, 0);
    /* without 3D it goes on */
    fake_set_options(f, (FakeOptions){ .features = 1ull << VIRTIO_GPU_F_EDID });
    fake_die(f);
    expect_adopted(f, 2, 1);
    qmp_wait_state(g, "running", BACK_MS);
    fake_set_options(f, (FakeOptions){ .features = 1ull << VIRTIO_GPU_F_RESOURCE_UUID });
    fake_die(f);
    fake_wait_renderer(f, 4);
    gpu_reset(g);
    qmp_wait_state(g, "running", BACK_MS);
    gpu_init(g, UINT64_MAX);
    g_assert_false(gpu_has(g, VIRTIO_GPU_F_EDID));
    gpu_free(g);
    vm_stop(vm);
    fake_free(f);
}

#define OURS CASE_OURS | CASE_NO_EPILOGUE
#define RAW  CASE_OURS | CASE_RAW

const GpuCase cases_revive[] = {
    { "revive/killed", killed, OURS },
    { "revive/killed-again-and-again", killed_again_and_again, OURS },
    { "revive/killed-without-driver", killed_without_driver, OURS },
    { "revive/killed-under-load", killed_under_load, OURS },
    { "revive/posted-meanwhile", posted_meanwhile, OURS },
    { "revive/killed-while-paused", killed_while_paused, OURS },
    { "revive/stopped", stopped, OURS },
    { "revive/reset-at-once", reset_at_once, OURS },
    { "revive/vgpud-away", vgpud_away, OURS },
    { "revive/restarted", restarted, OURS },
    { "revive/stopped-by-operator", stopped_by_operator, CASE_VIRGL | CASE_NO_EPILOGUE },
    { "revive/window-is-emptied", window_is_emptied, CASE_NULL | CASE_NO_EPILOGUE },
    { "revive/whose-table", whose_table, RAW },
    { "revive/no-descriptor-left", no_descriptor_left, RAW },
    { "revive/adopted-unasked", adopted_unasked, RAW },
    { "revive/none-lives", none_lives, RAW },
    { "revive/other-features", other_features, RAW },
    { NULL },
};
