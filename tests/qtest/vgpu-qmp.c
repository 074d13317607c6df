/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "vgpu-qmp.h"

/* ns that this thread was ready to run and did not; 0: not known */
static uint64_t waited_for_cpu(const char *schedstat)
{
    g_autofree char *text = NULL;
    uint64_t ran, waited = 0;

    if (!g_file_get_contents(schedstat, &text, NULL, NULL) ||
        sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &waited) != 2) {
        return 0;
    }
    return waited;
}

static uint64_t all_waited(GpuVm *vm)
{
    int pid = qtest_pid(vm->qts);
    g_autofree char *main_thread = g_strdup_printf("/proc/%d/task/%d/schedstat", pid, pid);

    return waited_for_cpu(main_thread) + waited_for_cpu("/proc/thread-self/schedstat");
}

QmpClock qmp_clock(GpuVm *vm)
{
    return (QmpClock){ .vm = vm, .start = g_get_monotonic_time(), .waited = all_waited(vm) };
}

int qmp_elapsed_ms(const QmpClock *c, int *wall)
{
    int64_t took = g_get_monotonic_time() - c->start;

    if (wall) {
        *wall = took / 1000;
    }
    return (took - (int64_t)(all_waited(c->vm) - c->waited) / 1000) / 1000;
}

int qmp_timed(GpuVm *vm, int max_ms, const char *json)
{
    QmpClock c = qmp_clock(vm);
    QDict *rsp = qtest_qmp(vm->qts, json, NULL);
    int wall, took = qmp_elapsed_ms(&c, &wall);

    if (!qdict_haskey(rsp, "return")) {
        g_test_message("%s: %s", json, qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"));
        g_test_fail();
    }
    qobject_unref(rsp);
    g_test_message("%s answered in %d ms (%d with waiting for a CPU)", json, took, wall);
    g_assert_cmpint(took, <=, max_ms);
    return took;
}

char *qmp_failure(GpuVm *vm, const char *json)
{
    QDict *rsp = qtest_qmp(vm->qts, json, NULL);
    char *desc;

    g_assert_true(qdict_haskey(rsp, "error"));
    desc = g_strdup(qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"));
    qobject_unref(rsp);
    return desc;
}

static QDict *qom_get(Gpu *g, const char *property)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", g->id);
    QDict *rsp = qtest_qmp(g->vm->qts,
                           "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': %s, 'property': %s } }",
                           path, property);

    if (!qdict_haskey(rsp, "return")) {
        g_test_message("%s has no property %s", path, property);
        g_assert_not_reached();
    }
    return rsp;
}

char *qmp_state(Gpu *g)
{
    QDict *rsp = qom_get(g, "state");
    char *state = g_strdup(qdict_get_str(rsp, "return"));

    qobject_unref(rsp);
    return state;
}

uint64_t qmp_memory(Gpu *g, const char *property)
{
    QDict *rsp = qom_get(g, property);
    uint64_t value = qdict_get_int(rsp, "return");

    qobject_unref(rsp);
    return value;
}

void qmp_wait_state(Gpu *g, const char *state, int timeout_ms)
{
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;

    while (true) {
        g_autofree char *now = qmp_state(g);

        if (g_str_equal(now, state)) {
            return;
        }
        if (g_get_monotonic_time() > end) {
            g_test_message("state is still '%s' after %d ms", now, timeout_ms);
            g_assert_cmpstr(now, ==, state);
        }
        g_usleep(10000);
    }
}

uint32_t *qmp_screendump(Gpu *g, unsigned head, unsigned *width, unsigned *height)
{
    g_autofree char *file = g_build_filename(g_get_tmp_dir(), "screen.ppm", NULL);
    g_autofree uint8_t *data = NULL;
    uint32_t *pixels;
    size_t len, stride, i;
    int start = 0;

    qtest_qmp_assert_success(g->vm->qts,
                             "{ 'execute': 'screendump', 'arguments': "
                             "{ 'filename': %s, 'device': %s, 'head': %u } }",
                             file, g->id, head);
    g_assert_true(g_file_get_contents(file, (char **)&data, &len, NULL));
    unlink(file);
    g_assert_cmpint(sscanf((char *)data, "P6 %u %u 255%n", width, height, &start), ==, 2);
    start++; /* one white space ends the header */
    /* QEMU 10.0 pads each row to 4 bytes, against the format */
    stride = (len - start) / *height;
    g_assert_cmpuint(stride, >=, *width * 3);
    g_assert_cmpuint(stride, <, *width * 3 + 4);
    g_assert_cmpuint(len, ==, start + stride * *height);
    pixels = g_new(uint32_t, *width **height);
    for (i = 0; i < *width * *height; i++) {
        const uint8_t *p = data + start + stride * (i / *width) + 3 * (i % *width);

        pixels[i] = p[0] << 16 | p[1] << 8 | p[2];
    }
    return pixels;
}

#define ACPI_PCIHP 0x0cc0 /* q35: 4 down, 8 eject, 0x10 bus select */

void vm_unplug(GpuVm *vm, const char *id)
{
    unsigned bsel;

    qtest_qmp_device_del_send(vm->qts, id);
    for (bsel = 0; bsel < 4; bsel++) {
        qtest_outl(vm->qts, ACPI_PCIHP + 0x10, bsel);
        if (qtest_inl(vm->qts, ACPI_PCIHP + 4) & 1) {
            qtest_outl(vm->qts, ACPI_PCIHP + 8, 1);
        }
    }
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
}
