/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What QEMU writes down when -trace asks for it: each step of a device's life, in order. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-fake.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu/virtio.h"

#define LOST_MS 5000
#define BACK_MS 15000

static char *trace_path(void)
{
    return g_build_filename(g_get_tmp_dir(), "trace.log", NULL);
}

static GpuVm *vm_traced(const char *device, const char *events)
{
    g_autofree char *path = trace_path();
    g_autofree char *args =
        g_strdup_printf("-D %s -trace %s -device pcie-root-port,id=rp0,slot=1", path, events);

    return vm_start(device, args);
}

/*
 * The log has lines of these events, each after the one before.  An event is
 * its name and, after a space, a text that its line has.
 */
static void expect_in_order(const char *const *events, unsigned count)
{
    g_autofree char *path = trace_path(), *text = NULL;
    g_auto(GStrv) lines = NULL;
    char **line;
    unsigned i;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    line = lines = g_strsplit(text, "\n", -1);
    for (i = 0; i < count; i++) {
        const char *rest = strchr(events[i], ' ');

        while (*line &&
               !(g_str_has_prefix(*line, "vgpu_") && strchr(*line, ' ') - *line == rest - events[i] &&
                 !strncmp(*line, events[i], rest - events[i]) && strstr(*line, rest + 1))) {
            line++;
        }
        if (!*line) {
            g_test_message("no '%s' after '%s' in:\n%s", events[i], i ? events[i - 1] : "", text);
            g_assert_nonnull(*line);
        }
        line++;
    }
}

static void wait_for(const char *text)
{
    int64_t end = g_get_monotonic_time() + LOST_MS * 1000ll;
    g_autofree char *path = trace_path();

    while (true) {
        g_autofree char *log = NULL;

        if (g_file_get_contents(path, &log, NULL, NULL) && strstr(log, text)) {
            return;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(10000);
    }
}

static void every_step(Gpu *none)
{
    static const char *const steps[] = {
        "vgpu_memory_block 'mem' size 268435456",
        "vgpu_realize profile 'quarter'",
        "vgpu_state off -> starting",
        "vgpu_attach_connect vgpud.sock errno 2",
        "vgpu_attach_spawn vgpud pid ",
        "vgpu_attach_request rejoin 0",
        "vgpu_attach_accepted profile 'quarter' gpu 'software0'",
        "vgpu_channel_in request 0x1000",
        "vgpu_channel_hello kind ",
        "vgpu_link_send request 1 ",
        "vgpu_link_reply request 1,",
        "vgpu_state starting -> running",
        "vgpu_channel_out request 0x1101",
        "vgpu_channel_out request 0x1100",
        "vgpu_realized device features 0x",
        "vgpu_reset generation ",
        "vgpu_set_status status 0xf",
        "vgpu_rings_start features 0x",
        "vgpu_rings_started result 0",
        "vgpu_scanout scanout 0 64x64",
        "vgpu_update scanout 0 0,0 64x64",
        "vgpu_update_done scanout 0",
        "vgpu_cursor scanout 0 at 7,9",
        "vgpu_lose cause ",
        "vgpu_lost it ended",
        "vgpu_rings_stop 0x",
        "vgpu_state running -> lost",
        "vgpu_attach_lost cause 2",
        "vgpu_reset generation ",
        "vgpu_reattach begin",
        "vgpu_attach_request rejoin 1",
        "vgpu_reattach granted",
        "vgpu_reattach done",
        "vgpu_state starting -> running",
        "vgpu_unrealize 0x",
        "vgpu_state running -> off",
    };
    GpuVm *vm = vm_traced("vgpu-pci,id=gpu0,profile=quarter,x-revive=off", "vgpu_*");
    Gpu *g = gpu_find(vm, "gpu0", 0);
    g_autoptr(GArray) renderers = process_renderers(vm->name);
    struct virtio_gpu_update_cursor cursor = {
        .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR,
        .pos = { 0, 7, 9 },
    };

    gpu_init(g, UINT64_MAX);
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
    g_free(qmp_screendump(g, 0, &(unsigned){ 0 }, &(unsigned){ 0 }));
    gpu_expect_ok(g, gpu_cursor(g, &cursor));
    wait_for("\nvgpu_cursor ");
    process_signal(renderers, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    qtest_qmp_assert_success(vm->qts, "{ 'execute': 'system_reset' }");
    qmp_wait_state(g, "running", BACK_MS);
    qmp_timed(vm, 10000,
              "{ 'execute': 'device_add', 'arguments': "
              "{ 'driver': 'vgpu-pci', 'bus': 'rp0', 'id': 'gpu1', 'profile': 'eighth' } }");
    qtest_qmp_device_del_send(vm->qts, "gpu1");
    qtest_qmp_assert_success(vm->qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    gpu_free(g);
    vm_stop(vm);
    expect_in_order(steps, G_N_ELEMENTS(steps));
}

/* What only a driver of ours has of it. */
static void of_our_driver(Gpu *none)
{
    static const char *const steps[] = {
        "vgpu_stats page of a renderer 1",  "vgpu_realized device features 0x",
        "vgpu_rings_start queues 3",        "vgpu_lose cause ",
        "vgpu_stats page of a renderer 0",  "vgpu_state running -> lost",
        "vgpu_lost_tell the guest is told", "vgpu_reset generation ",
        "vgpu_stats page of a renderer 1",  "vgpu_state starting -> running",
    };
    GpuVm *vm = vm_traced("vgpu-pci,id=gpu0,profile=quarter", "vgpu_*");
    Gpu *g = gpu_find(vm, "gpu0", 0);
    g_autoptr(GArray) renderers = process_renderers(vm->name);

    g->extension = 1ull << VGPU_F_SUBMIT_QUEUES | 1ull << VGPU_F_LOSS;
    gpu_init(g, UINT64_MAX);
    process_signal(renderers, SIGKILL);
    wait_for("\nvgpu_lost_tell ");
    gpu_reset(g);
    qmp_wait_state(g, "running", BACK_MS);
    gpu_free(g);
    vm_stop(vm);
    expect_in_order(steps, G_N_ELEMENTS(steps));
}

/* --- a renderer that says why it ends --- */

static void die_once_when_rings_stop(Fake *f, uint32_t request)
{
    if (request == FAKE_GET_VRING_BASE && fake_renderers(f) == 1) {
        fake_cursor(f, 11, 22);
        fake_scanout(f, 64, 64);
        fake_fatal(f, "the GPU fell off the bus");
        fake_die(f);
    }
}

/* Inside a write of the guest to its status register no console changes; its words are kept. */
static void last_words(Gpu *none)
{
    static const char *const steps[] = {
        "vgpu_lose it ended",
        "vgpu_reset generation ",
        "vgpu_channel_in request 0x1004",
        "vgpu_lost it gave up: the GPU fell off the bus",
        "vgpu_reattach begin",
        "vgpu_reattach done",
    };
    Fake *f = fake_new((FakeOptions){ .on_request = die_once_when_rings_stop });
    GpuVm *vm = vm_traced("vgpu-pci,id=gpu0", "vgpu_*");
    Gpu *g = gpu_find(vm, "gpu0", 0);
    g_autofree char *path = trace_path(), *text = NULL;

    gpu_init(g, UINT64_MAX);
    gpu_reset(g);
    qmp_wait_state(g, "running", BACK_MS);
    g_assert_cmpuint(fake_renderers(f), ==, 2);
    gpu_init(g, UINT64_MAX);
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    gpu_free(g);
    vm_stop(vm);
    fake_free(f);
    expect_in_order(steps, G_N_ELEMENTS(steps));
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_null(strstr(text, "vgpu_cursor "));
    g_assert_null(strstr(text, "vgpu_scanout "));
}

static void die_when_rings_are_made(Fake *f, uint32_t request)
{
    if (request == FAKE_GET_FEATURES) {
        fake_fatal(f, "the GPU fell off the bus");
        fake_die(f);
    }
}

static void last_words_at_start(Gpu *none)
{
    Fake *f = fake_new((FakeOptions){ .on_request = die_when_rings_are_made });
    GpuVm *vm = vm_start("pcie-root-port,id=rp0,slot=1", NULL);
    g_autofree char *why = qmp_failure(vm, "{ 'execute': 'device_add', 'arguments': "
                                           "{ 'driver': 'vgpu-pci', 'bus': 'rp0', 'id': 'gpu0' } }");

    g_assert_cmpstr(why, ==,
                    "vgpu: the renderer did not get through its start: it gave up: the GPU fell off the bus");
    vm_stop(vm);
    fake_free(f);
}

#define OURS CASE_OURS | CASE_RAW

const GpuCase cases_trace[] = { { "trace/every-step", every_step, OURS },
                                { "trace/of-our-driver", of_our_driver, OURS },
                                { "trace/last-words", last_words, OURS },
                                { "trace/last-words-at-start", last_words_at_start, OURS },
                                { NULL } };
