/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hot-plug and hot-unplug behind a PCIe root port, and several devices in one VM. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-fake.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "qobject/qlist.h"

static void add(GpuVm *vm, const char *id, const char *bus)
{
    g_autofree char *json = g_strdup_printf(
        "{ 'execute': 'device_add', 'arguments': { 'driver': '%s', 'id': '%s', 'bus': '%s'%s } }",
        current_driver(), id, bus, current_target_is_ours() ? ", 'profile': 'eighth'" : "");

    qmp_timed(vm, 10000, json);
}

/* The driver behind root port n (1 up) at work. */
static Gpu *drive(GpuVm *vm, const char *id, unsigned n)
{
    Gpu *g;

    g = gpu_behind(vm, id, n);
    gpu_init(g, UINT64_MAX);
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
    return g;
}

static unsigned console_count(GpuVm *vm)
{
    QDict *rsp = qtest_qmp(vm->qts, "{ 'execute': 'qom-list', 'arguments': "
                                    "{ 'path': '/backend' } }");
    QList *list = qdict_get_qlist(rsp, "return");
    const QListEntry *e;
    unsigned n = 0;

    QLIST_FOREACH_ENTRY(list, e)
    {
        QDict *d = qobject_to(QDict, qlist_entry_obj(e));

        n += g_str_has_prefix(qdict_get_str(d, "name"), "console");
    }
    qobject_unref(rsp);
    return n;
}

static void plug_and_drive(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    Gpu *g;

    add(vm, "gpu0", "rp0");
    vm_open_root_ports(vm);
    g = drive(vm, "gpu0", 1);
    gpu_free(g);
    vm_stop(vm);
}

static void unplug(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    g_autoptr(GArray) renderers = NULL;
    unsigned consoles = console_count(vm);
    Gpu *g;

    add(vm, "gpu0", "rp0");
    renderers = process_renderers(vm->name);
    g_assert_cmpuint(renderers->len, >, 0);
    vm_open_root_ports(vm);
    g = drive(vm, "gpu0", 1);
    g_free(qmp_screendump(g, 0, &(unsigned){ 0 }, &(unsigned){ 0 }));
    vm_unplug(vm, "gpu0");
    g_assert_true(process_gone(renderers, 5000));
    g_assert_cmpuint(console_count(vm), ==, consoles);
    g_free(qmp_failure(vm, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': '/machine/peripheral/gpu0', 'property': 'state' } }"));
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    gpu_free(g);
    vm_stop(vm);
}

static void unplug_and_plug_again(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    unsigned i;

    for (i = 0; i < 4; i++) {
        Gpu *g;

        add(vm, "gpu0", "rp0");
        vm_open_root_ports(vm);
        g = drive(vm, "gpu0", 1);
        vm_unplug(vm, "gpu0");
        gpu_free(g);
    }
    vm_stop(vm);
}

/* A guest that never ejects: the reset does. */
static void unplug_by_reset(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);

    add(vm, "gpu0", "rp0");
    qtest_qmp_device_del_send(vm->qts, "gpu0");
    qtest_qmp_assert_success(vm->qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    add(vm, "gpu0", "rp0");
    vm_stop(vm);
}

static void unplug_with_lost_renderer(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    g_autoptr(GArray) renderers = NULL;
    QmpClock c;
    Gpu *g;

    add(vm, "gpu0", "rp0");
    vm_open_root_ports(vm);
    g = drive(vm, "gpu0", 1);
    renderers = process_renderers(vm->name);
    process_signal(renderers, SIGSTOP);
    c = qmp_clock(vm);
    vm_unplug(vm, "gpu0");
    g_assert_cmpint(qmp_elapsed_ms(&c, NULL), <=, QMP_DEADLINE_MS);
    gpu_free(g);
    vm_stop(vm);
}

static void refused_plug_leaves_nothing(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    unsigned consoles = console_count(vm), i;

    for (i = 0; i < 3; i++) {
        g_autofree char *why =
            qmp_failure(vm, "{ 'execute': 'device_add', 'arguments': "
                            "{ 'driver': 'vgpu-pci', 'bus': 'rp0', 'id': 'gpu0', 'profile': 'nosuch' } }");

        g_assert_nonnull(strstr(why, "nosuch"));
        g_assert_cmpuint(console_count(vm), ==, consoles);
    }
    add(vm, "gpu0", "rp0");
    vm_stop(vm);
}

/* --- with a renderer that chooses the worst moment --- */

/* Pictures, a cursor, and the end, all at once. */
static void outburst(Fake *f)
{
    for (unsigned i = 0; i < 8; i++) {
        fake_cursor(f, i, i);
    }
    fake_scanout(f, 64, 64);
    fake_cursor(f, 1, 1);
    fake_die(f);
}

static void die_when_rings_stop(Fake *f, uint32_t request)
{
    if (request == FAKE_GET_VRING_BASE) {
        outburst(f);
    }
}

static void die_when_rings_are_made(Fake *f, uint32_t request)
{
    if (request == FAKE_GET_FEATURES) {
        outburst(f);
    }
}

/* Surprise removal: the guest's driver still runs, so the device stops its rings itself. */
static void unplug_with_hostile_renderer(Gpu *none)
{
    Fake *f = fake_new((FakeOptions){ .on_request = die_when_rings_stop });
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    unsigned consoles = console_count(vm), i;

    for (i = 0; i < 2; i++) {
        Gpu *g;

        add(vm, "gpu0", "rp0");
        vm_open_root_ports(vm);
        vm->bus->mmio_alloc_ptr = 0xe400ull << 16;
        g = gpu_at(vm, "gpu0", 1 << 8);
        gpu_init(g, UINT64_MAX);
        vm_unplug(vm, "gpu0");
        qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
        g_assert_cmpuint(console_count(vm), ==, consoles);
        gpu_free(g);
    }
    g_assert_cmpuint(fake_renderers(f), ==, 2);
    vm_stop(vm);
    fake_free(f);
}

/* The same while the device is made: there are no consoles yet. */
static void plug_with_hostile_renderer(Gpu *none)
{
    Fake *f = fake_new((FakeOptions){ .on_request = die_when_rings_are_made });
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    unsigned consoles = console_count(vm), i;

    for (i = 0; i < 3; i++) {
        g_autofree char *why = qmp_failure(vm, "{ 'execute': 'device_add', 'arguments': "
                                               "{ 'driver': 'vgpu-pci', 'bus': 'rp0', 'id': 'gpu0' } }");

        g_test_message("%s", why);
        g_assert_nonnull(strstr(why, "did not get through its start: it ended"));
        g_assert_cmpuint(console_count(vm), ==, consoles);
    }
    g_assert_cmpuint(fake_renderers(f), ==, 3);
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    vm_stop(vm);
    fake_free(f);
}

/* --- several in one VM --- */

static void two_devices(Gpu *none)
{
    g_autofree char *device =
        g_strdup_printf("%s,id=gpu0%s", current_driver(), current_target_is_ours() ? ",profile=quarter" : "");
    g_autofree char *other = g_strdup_printf("-device %s,id=gpu1%s", current_driver(),
                                             current_target_is_ours() ? ",profile=eighth" : "");
    GpuVm *vm = vm_start(device, other);
    Gpu *a = gpu_find(vm, "gpu0", 0), *b = gpu_find(vm, "gpu1", 1);

    gpu_init(a, UINT64_MAX);
    gpu_init(b, UINT64_MAX);
    gpu_expect_ok(a, gpu_create_2d(a, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64));
    /* ids are each device's own */
    gpu_expect(b, gpu_unref(b, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect_ok(b, gpu_create_2d(b, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64));
    gpu_init(a, UINT64_MAX);
    gpu_expect_ok(b, gpu_unref(b, 1));
    if (current_target_is_ours()) {
        g_assert_cmpuint(qmp_memory(a, "memory-limit"), ==, 2 * qmp_memory(b, "memory-limit"));
    }
    gpu_free(a);
    gpu_free(b);
    vm_stop(vm);
}

static void four_devices(Gpu *none)
{
    GpuVm *vm =
        vm_start("vgpu-pci,id=gpu0,profile=eighth", "-device vgpu-pci,id=gpu1,profile=eighth "
                                                    "-device vgpu-pci,id=gpu2,profile=eighth,max_outputs=4 "
                                                    "-device vgpu-pci,id=gpu3,profile=eighth");
    unsigned i;

    for (i = 0; i < 4; i++) {
        g_autofree char *id = g_strdup_printf("gpu%u", i);
        Gpu *g = gpu_find(vm, id, i);

        gpu_init(g, UINT64_MAX);
        gpu_picture(g, 1, 64, 64);
        gpu_reset(g); /* the next device's rings will be where this one's were */
        gpu_free(g);
    }
    vm_stop(vm);
}

#define OURS CASE_OURS | CASE_RAW

const GpuCase cases_hotplug[] = {
    { "hotplug/plug-and-drive", plug_and_drive, OURS },
    { "hotplug/unplug", unplug, OURS },
    { "hotplug/unplug-and-plug-again", unplug_and_plug_again, OURS },
    { "hotplug/unplug-by-reset", unplug_by_reset, OURS },
    { "hotplug/unplug-with-lost-renderer", unplug_with_lost_renderer, OURS },
    { "hotplug/refused-plug-leaves-nothing", refused_plug_leaves_nothing, OURS },
    { "hotplug/unplug-with-hostile-renderer", unplug_with_hostile_renderer, OURS },
    { "hotplug/plug-with-hostile-renderer", plug_with_hostile_renderer, OURS },
    { "hotplug/two-devices", two_devices, CASE_RAW },
    { "hotplug/four-devices", four_devices, OURS },
    { NULL }
};
