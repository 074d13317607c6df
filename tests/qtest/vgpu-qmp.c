/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "vgpu-qmp.h"

void qmp_timed(GpuVm *vm, int max_ms, const char *json)
{
    int64_t start = g_get_monotonic_time(), took;
    QDict *rsp = qtest_qmp(vm->qts, json, NULL);

    took = (g_get_monotonic_time() - start) / 1000;
    if (!qdict_haskey(rsp, "return")) {
        g_test_message("%s: %s", json, qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"));
        g_test_fail();
    }
    qobject_unref(rsp);
    g_test_message("%s answered in %" PRId64 " ms", json, took);
    g_assert_cmpint(took, <=, max_ms);
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
