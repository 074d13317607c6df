/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The renderer dies (SIGKILL) or stops answering (SIGSTOP): QEMU's main loop
 * waits at most its deadline, the VM runs on, the state says "lost", and
 * system_reset brings graphics back.  vgpud dies: nobody notices.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"

#define LOST_MS 5000
#define BACK_MS 15000

static void strike(Gpu *g, int sig)
{
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);

    process_signal(renderers, sig);
    if (sig == SIGKILL) {
        g_assert_true(process_gone(renderers, 5000));
    } else if (sig == SIGSTOP) {
        g_assert_true(process_stopped(renderers, 5000));
    }
}

/* system_reset, wait for the new renderer, and drive it as if nothing had been. */
static void recover(Gpu *g)
{
    Gpu *fresh;

    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(g->vm->qts, "RESET");
    qmp_wait_state(g, "running", BACK_MS);
    fresh = gpu_at(g->vm, g->id, g->devfn);
    gpu_init(fresh, UINT64_MAX);
    gpu_picture(fresh, 1, 64, 64);
    gpu_expect_ok(fresh, gpu_set_scanout(fresh, 0, 1, 0, 0, 64, 64));
    gpu_expect_ok(fresh, gpu_flush(fresh, 1, 0, 0, 64, 64));
    gpu_free(fresh);
}

static void work(Gpu *g)
{
    gpu_picture(g, 5, 640, 480);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 5, 0, 0, 640, 480));
    gpu_expect_ok(g, gpu_flush(g, 5, 0, 0, 640, 480));
}

/* Fills the control queue and does not wait. */
static void load(Gpu *g)
{
    struct virtio_gpu_resource_flush req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
        .r = { 0, 0, 640, 480 },
        .resource_id = 5,
    };
    unsigned i;

    for (i = 0; i < g->q[GPU_CTRL].vq->size / 2 - 1; i++) {
        gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 24);
    }
}

static void everyday_commands(Gpu *g)
{
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'stop' }");
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'cont' }");
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
}

static void state_is_running(Gpu *g)
{
    g_autofree char *state = qmp_state(g);

    g_assert_cmpstr(state, ==, "running");
    g_assert_cmpuint(qmp_memory(g, "memory-limit"), >, 0);
}

static void memory_used_follows(Gpu *g)
{
    uint64_t before = qmp_memory(g, "memory-used"), during;

    gpu_expect_ok(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 1024, 1024));
    during = qmp_memory(g, "memory-used");
    g_assert_cmpuint(during, >=, before + 4 * 1024 * 1024);
    gpu_expect_ok(g, gpu_unref(g, 1));
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, before);
}

/* Operators see it too. */
static void expect_listed(Gpu *g, const char *state)
{
    g_autofree char *vgpuctl = g_find_program_in_path("vgpuctl"), *out = NULL;
    g_autofree char *vm = g_strdup_printf("\"%s\"", g->vm->name);
    g_autofree char *want = g_strdup_printf("\"%s\"", state);
    char *argv[] = { vgpuctl, (char *)"list", (char *)"--json", NULL };
    int status;

    g_assert_nonnull(vgpuctl);
    g_assert_true(g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, NULL, &status, NULL));
    g_test_message("vgpuctl list --json: %s", out);
    g_assert_cmpint(status, ==, 0);
    g_assert_nonnull(strstr(out, vm));
    g_assert_nonnull(strstr(out, want));
}

static void list_shows_lost(Gpu *g)
{
    expect_listed(g, "running");
    strike(g, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    g_usleep(200 * 1000);
    expect_listed(g, "lost");
    recover(g);
    expect_listed(g, "running");
}

/* --- SIGKILL --- */

static void kill_idle(Gpu *g)
{
    work(g);
    strike(g, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    everyday_commands(g);
    recover(g);
}

static void kill_under_load(Gpu *g)
{
    work(g);
    load(g);
    strike(g, SIGKILL);
    everyday_commands(g);
    qmp_wait_state(g, "lost", LOST_MS);
    recover(g);
}

static void kill_before_driver(Gpu *g)
{
    gpu_reset(g);
    strike(g, SIGKILL);
    everyday_commands(g);
    qmp_wait_state(g, "lost", LOST_MS);
    recover(g);
}

static void kill_again_and_again(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 4; i++) {
        strike(g, SIGKILL);
        qmp_wait_state(g, "lost", LOST_MS);
        recover(g);
    }
}

/* A guest that goes on posting to a lost device harms nobody. */
static void guest_goes_on_while_lost(Gpu *g)
{
    work(g);
    strike(g, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    load(g);
    gpu_kick(g, GPU_CURSOR);
    qvirtio_config_readl(g->dev, offsetof(struct virtio_gpu_config, num_scanouts));
    everyday_commands(g);
    recover(g);
}

/* The driver's own reset while lost ends within the deadline as well. */
static void driver_reset_while_lost(Gpu *g)
{
    QmpClock c;

    work(g);
    strike(g, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    c = qmp_clock(g->vm);
    gpu_reset(g);
    g_assert_cmpint(qmp_elapsed_ms(&c, NULL), <=, QMP_DEADLINE_MS);
    recover(g);
}

static void screendump_while_lost(Gpu *g)
{
    unsigned w, h;

    work(g);
    strike(g, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    g_free(qmp_screendump(g, 0, &w, &h));
    recover(g);
}

/* --- SIGSTOP --- */

static void stopped_query_status(Gpu *g)
{
    work(g);
    strike(g, SIGSTOP);
    qmp_timed(g->vm, 500, "{ 'execute': 'query-status' }");
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(g->vm->qts, "RESET");
    recover(g);
}

static void stopped_stop(Gpu *g)
{
    work(g);
    strike(g, SIGSTOP);
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'stop' }");
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'cont' }");
    qmp_wait_state(g, "lost", LOST_MS);
    recover(g);
}

static void stopped_under_load(Gpu *g)
{
    work(g);
    load(g);
    strike(g, SIGSTOP);
    load(g);
    everyday_commands(g);
    qmp_wait_state(g, "lost", LOST_MS);
    recover(g);
}

static void stopped_system_reset(Gpu *g)
{
    work(g);
    strike(g, SIGSTOP);
    recover(g);
}

static void stopped_driver_reset(Gpu *g)
{
    QmpClock c;

    work(g);
    strike(g, SIGSTOP);
    c = qmp_clock(g->vm);
    gpu_reset(g);
    g_assert_cmpint(qmp_elapsed_ms(&c, NULL), <=, QMP_DEADLINE_MS);
    /* the reset that found it gone gets the new one */
    qmp_wait_state(g, "running", BACK_MS);
    recover(g);
}

/* A second of pause with nothing asked of it is no reason to be lost. */
static void stopped_and_continued(Gpu *g)
{
    work(g);
    strike(g, SIGSTOP);
    g_usleep(300 * 1000);
    strike(g, SIGCONT);
    gpu_assert_alive(g);
    state_is_running(g);
}

static void stopped_device_add(Gpu *none)
{
    GpuVm *vm = vm_start("pcie-root-port,id=rp0,slot=1", "-device pcie-root-port,id=rp1,slot=2 "
                                                         "-device vgpu-pci,id=gpu0,profile=quarter");
    Gpu *g = gpu_find(vm, "gpu0", 0);

    gpu_init(g, UINT64_MAX);
    work(g);
    strike(g, SIGSTOP);
    qmp_timed(vm, QMP_DEADLINE_MS,
              "{ 'execute': 'device_add', 'arguments': "
              "{ 'driver': 'virtio-balloon-pci', 'bus': 'rp0', 'id': 'other' } }");
    qmp_timed(vm, 2 * QMP_DEADLINE_MS,
              "{ 'execute': 'device_add', 'arguments': "
              "{ 'driver': 'vgpu-pci', 'bus': 'rp1', 'id': 'gpu1', "
              "'profile': 'quarter' } }");
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    recover(g);
    gpu_free(g);
    vm_stop(vm);
}

/* It is deadline-ms that QEMU waits: not less, and hardly more, whatever it is set to. */
static void deadline_as_configured(Gpu *none)
{
    static const int deadlines[] = { 100, 400, 1000, 1700 };

    for (unsigned i = 0; i < G_N_ELEMENTS(deadlines); i++) {
        g_autofree char *device =
            g_strdup_printf("vgpu-pci,id=gpu0,profile=sixteenth,deadline-ms=%d", deadlines[i]);
        GpuVm *vm = vm_start(device, NULL);
        Gpu *g = gpu_find(vm, "gpu0", 0);
        int wall;
        QmpClock c;

        gpu_init(g, UINT64_MAX);
        work(g);
        strike(g, SIGSTOP);
        c = qmp_clock(vm);
        qmp_timed(vm, deadlines[i] + QMP_MARGIN_MS, "{ 'execute': 'stop' }");
        qmp_elapsed_ms(&c, &wall);
        g_assert_cmpint(wall, >=, deadlines[i]);
        qmp_timed(vm, QMP_MARGIN_MS, "{ 'execute': 'cont' }");
        gpu_free(g);
        vm_stop(vm);
    }
}

static void quit_while_stopped(Gpu *g)
{
    work(g);
    strike(g, SIGSTOP);
    /* vm_stop() waits for QEMU to end */
}

/* --- vgpud --- */

static void vgpud_killed(Gpu *g)
{
    g_autoptr(GArray) vgpud = process_named("vgpud");

    work(g);
    process_signal(vgpud, SIGKILL);
    g_assert_true(process_gone(vgpud, 5000));
    g_usleep(300 * 1000);
    gpu_assert_alive(g);
    state_is_running(g);
    everyday_commands(g);
    gpu_expect_ok(g, gpu_unref(g, 5));
    work(g);
}

static void vgpud_stopped(Gpu *g)
{
    g_autoptr(GArray) vgpud = process_named("vgpud");

    process_signal(vgpud, SIGSTOP);
    everyday_commands(g);
    gpu_assert_alive(g);
    process_signal(vgpud, SIGCONT);
}

static void renderer_killed_after_vgpud(Gpu *g)
{
    g_autoptr(GArray) vgpud = process_named("vgpud");

    work(g);
    process_signal(vgpud, SIGKILL);
    g_assert_true(process_gone(vgpud, 5000));
    strike(g, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    everyday_commands(g);
    recover(g);
}

/* The embedded default leaves with its last VM. */
static void all_ends_with_the_vm(Gpu *none)
{
    GpuVm *vm = vm_start("vgpu-pci,id=gpu0", NULL);
    g_autofree char *name = g_strdup(vm->name);
    g_autoptr(GArray) vgpud = process_named("vgpud");
    g_autoptr(GArray) renderers = process_renderers(name);

    g_assert_cmpuint(vgpud->len, >, 0);
    g_assert_cmpuint(renderers->len, >, 0);
    vm_stop(vm);
    g_assert_true(process_gone(renderers, 5000));
    g_assert_true(process_gone(vgpud, 15000));
}

static void qemu_killed(Gpu *none)
{
    GpuVm *vm = vm_start("vgpu-pci,id=gpu0", NULL);
    g_autoptr(GArray) renderers = process_renderers(vm->name);

    g_assert_cmpuint(renderers->len, >, 0);
    kill(qtest_pid(vm->qts), SIGKILL);
    g_assert_true(process_gone(renderers, 5000));
}

#define OURS CASE_OURS | CASE_NO_EPILOGUE
/* Where nobody but a reset asks for the next renderer; else see test-revive.c. */
#define LOST "x-revive=off"

const GpuCase cases_lifecycle[] = {
    { "lifecycle/state-is-running", state_is_running, CASE_OURS },
    { "lifecycle/memory-used-follows", memory_used_follows, CASE_OURS },
    { "lifecycle/list-shows-lost", list_shows_lost, OURS, LOST },
    { "lifecycle/kill-idle", kill_idle, OURS, LOST },
    { "lifecycle/kill-under-load", kill_under_load, OURS, LOST },
    { "lifecycle/kill-before-driver", kill_before_driver, OURS, LOST },
    { "lifecycle/kill-again-and-again", kill_again_and_again, OURS, LOST },
    { "lifecycle/guest-goes-on-while-lost", guest_goes_on_while_lost, OURS, LOST },
    { "lifecycle/driver-reset-while-lost", driver_reset_while_lost, OURS, LOST },
    { "lifecycle/screendump-while-lost", screendump_while_lost, OURS, LOST },
    { "lifecycle/stopped-query-status", stopped_query_status, OURS, LOST },
    { "lifecycle/stopped-stop", stopped_stop, OURS, LOST },
    { "lifecycle/stopped-under-load", stopped_under_load, OURS, LOST },
    { "lifecycle/stopped-system-reset", stopped_system_reset, OURS, LOST },
    { "lifecycle/stopped-driver-reset", stopped_driver_reset, OURS, LOST },
    { "lifecycle/stopped-and-continued", stopped_and_continued, CASE_OURS },
    { "lifecycle/stopped-device-add", stopped_device_add, CASE_OURS | CASE_RAW },
    { "lifecycle/deadline-as-configured", deadline_as_configured, CASE_OURS | CASE_RAW },
    { "lifecycle/quit-while-stopped", quit_while_stopped, OURS },
    { "lifecycle/vgpud-killed", vgpud_killed, CASE_OURS },
    { "lifecycle/vgpud-stopped", vgpud_stopped, CASE_OURS },
    { "lifecycle/renderer-killed-after-vgpud", renderer_killed_after_vgpud, OURS, LOST },
    { "lifecycle/all-ends-with-the-vm", all_ends_with_the_vm, CASE_OURS | CASE_RAW },
    { "lifecycle/qemu-killed", qemu_killed, CASE_OURS | CASE_RAW },
    { NULL }
};
