/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vgpuctl top makes of two looks at vgpud. */
#include <glib.h>
#include <math.h>

#include "vgpuctl/top_model.h"

#define SECOND G_USEC_PER_SEC

static Top *look(const char *vms, int64_t at_us, const Top *before)
{
    g_autoptr(JsonNode) v = json_from_string(vms, NULL);
    g_autoptr(JsonNode) g = json_from_string(
        "[{\"name\":\"gpu0\",\"memory_bytes\":1024,\"memory_booked_bytes\":512},{\"name\":\"gpu1\"}]", NULL);

    g_assert_nonnull(v);
    return top_new(json_node_get_array(v), json_node_get_array(g), at_us, before);
}

static const TopVm *vm(const Top *t, guint i)
{
    g_assert_cmpuint(i, <, t->vms->len);
    return t->vms->pdata[i];
}

static void test_rates(void)
{
    g_autoptr(Top) a = look("[{\"vm\":\"a\",\"uuid\":\"1\",\"gpu\":\"gpu0\",\"gpu_time_ns\":1000000000,"
                            "\"frames\":5,\"queue_wait_ns\":5},"
                            " {\"vm\":\"b\",\"uuid\":\"2\",\"gpu\":\"gpu0\",\"gpu_time_ns\":0,\"frames\":0}]",
                            10 * SECOND, NULL);
    g_autoptr(Top) b =
        look("[{\"vm\":\"b\",\"uuid\":\"2\",\"gpu\":\"gpu0\",\"gpu_time_ns\":200000000,\"frames\":100},"
             " {\"vm\":\"a\",\"uuid\":\"1\",\"gpu\":\"gpu0\",\"gpu_time_ns\":2000000000,\"frames\":5,\"queue_"
             "wait_ns\":500000005}]",
             12 * SECOND, a);

    g_assert_cmpfloat(a->seconds, ==, 0);
    g_assert_true(isnan(vm(a, 0)->value[TOP_TIME]));
    g_assert_cmpstr(vm(a, 0)->text[TOP_TIME], ==, "-");
    g_assert_cmpfloat(b->seconds, ==, 2);
    /* each with its own past, wherever it stands in the list */
    g_assert_cmpfloat_with_epsilon(vm(b, 0)->value[TOP_TIME], 0.1, 1e-9);
    g_assert_cmpstr(vm(b, 0)->text[TOP_TIME], ==, "10.0");
    g_assert_cmpfloat(vm(b, 0)->value[TOP_FRAMES], ==, 50);
    g_assert_cmpfloat_with_epsilon(vm(b, 1)->value[TOP_TIME], 0.5, 1e-9);
    g_assert_cmpfloat(vm(b, 1)->value[TOP_FRAMES], ==, 0);
    g_assert_cmpfloat_with_epsilon(vm(b, 1)->value[TOP_WAIT], 0.25, 1e-9);
    g_assert_true(isnan(vm(b, 0)->value[TOP_WAIT]));
    g_assert_cmpfloat_with_epsilon(((TopGpu *)b->gpus->pdata[0])->busy, 0.6, 1e-9);
    g_assert_cmpuint(((TopGpu *)b->gpus->pdata[0])->vms, ==, 2);
    g_assert_cmpfloat(((TopGpu *)b->gpus->pdata[1])->busy, ==, 0);
}

/* Of the same name in two VMs, of two devices in one. */
static void test_same_names(void)
{
    g_autoptr(Top) a = look("[{\"vm\":\"x\",\"uuid\":\"1\",\"device\":\"d0\",\"gpu_time_ns\":0},"
                            " {\"vm\":\"x\",\"uuid\":\"1\",\"device\":\"d1\",\"gpu_time_ns\":500000000}]",
                            SECOND, NULL);
    g_autoptr(Top) b = look("[{\"vm\":\"x\",\"uuid\":\"1\",\"device\":\"d1\",\"gpu_time_ns\":600000000},"
                            " {\"vm\":\"x\",\"uuid\":\"1\",\"device\":\"d0\",\"gpu_time_ns\":200000000}]",
                            2 * SECOND, a);

    g_assert_cmpfloat_with_epsilon(vm(b, 0)->value[TOP_TIME], 0.1, 1e-9);
    g_assert_cmpfloat_with_epsilon(vm(b, 1)->value[TOP_TIME], 0.2, 1e-9);
}

/* vgpud was restarted, a VM came, a clock did not move. */
static void test_breaks(void)
{
    g_autoptr(Top) a = look("[{\"uuid\":\"1\",\"gpu_time_ns\":90000000000,\"frames\":9000}]", SECOND, NULL);
    g_autoptr(Top) b = look("[{\"uuid\":\"1\",\"gpu_time_ns\":100000000,\"frames\":6},"
                            " {\"uuid\":\"2\",\"gpu_time_ns\":7000000000,\"gpu_share\":0.25}]",
                            2 * SECOND, a);
    g_autoptr(Top) c = look("[{\"uuid\":\"1\",\"gpu_time_ns\":200000000}]", 2 * SECOND, b);
    g_autoptr(Top) d = look("[{\"uuid\":\"1\",\"gpu_time_ns\":9000000000}]", 3 * SECOND, c);

    g_assert_cmpfloat_with_epsilon(vm(b, 0)->value[TOP_TIME], 0.1, 1e-9);
    g_assert_cmpfloat(vm(b, 0)->value[TOP_FRAMES], ==, 6);
    /* no past: as vgpud has it */
    g_assert_cmpfloat(vm(b, 1)->value[TOP_TIME], ==, 0.25);
    g_assert_true(isnan(vm(b, 1)->value[TOP_FRAMES]));
    g_assert_cmpfloat(c->seconds, ==, 0);
    g_assert_true(isnan(vm(c, 0)->value[TOP_TIME]));
    /* more than all of a GPU there is not */
    g_assert_cmpfloat(vm(d, 0)->value[TOP_TIME], ==, 1);
}

static void test_odd_objects(void)
{
    g_autoptr(Top) a =
        look("[{}, 1, null, [], {\"vm\":7,\"share\":\"much\",\"gpu_time_ns\":-5,\"state\":true,"
             "\"memory_used_bytes\":{},\"frames\":null}]",
             SECOND, NULL);
    g_autoptr(Top) b =
        look("[{\"gpu_time_ns\":\"x\"}, {\"gpu_time_ns\":9223372036854775807}]", 2 * SECOND, a);
    g_autoptr(JsonNode) json = top_json(b);
    g_autofree char *text = json_to_string(json, FALSE);

    g_assert_cmpuint(a->vms->len, ==, 2);
    g_assert_cmpstr(vm(a, 0)->text[TOP_VM], ==, "-");
    g_assert_cmpstr(vm(a, 1)->text[TOP_SHARE], ==, "-");
    g_assert_null(g_strstr_len(text, -1, "nan"));
}

static void expect_order(Top *t, TopColumn column, bool reverse, const char *order)
{
    g_autoptr(GString) s = g_string_new(NULL);

    top_sort(t, column, reverse);
    for (guint i = 0; i < t->vms->len; i++) {
        g_string_append(s, vm(t, i)->text[TOP_VM]);
    }
    g_assert_cmpstr(s->str, ==, order);
}

static void test_sort(void)
{
    g_autoptr(Top) t = look("[{\"vm\":\"c\",\"uuid\":\"1\",\"share\":0.5,\"hangs\":2},"
                            " {\"vm\":\"a\",\"uuid\":\"2\",\"share\":0.25},"
                            " {\"vm\":\"d\",\"uuid\":\"3\"},"
                            " {\"vm\":\"b\",\"uuid\":\"4\",\"share\":0.5,\"hangs\":1}]",
                            SECOND, NULL);

    expect_order(t, TOP_VM, false, "abcd");
    expect_order(t, TOP_VM, true, "dcba");
    /* equal ones keep their places; who has no figure comes last, either way */
    expect_order(t, TOP_SHARE, false, "cbad");
    expect_order(t, TOP_SHARE, true, "acbd");
    expect_order(t, TOP_HANGS, false, "cbad");
    expect_order(t, TOP_HANGS, true, "bcad");
}

static void test_columns(void)
{
    g_assert_cmpint(top_column("time"), ==, TOP_TIME);
    g_assert_cmpint(top_column("TIME%"), ==, TOP_TIME);
    g_assert_cmpint(top_column("Memory"), ==, TOP_USED);
    g_assert_cmpint(top_column("used/mib"), ==, TOP_USED);
    g_assert_cmpint(top_column(""), ==, TOP_COLUMNS);
    g_assert_cmpint(top_column("tim"), ==, TOP_COLUMNS);
    for (unsigned c = 0; c < TOP_COLUMNS; c++) {
        g_assert_cmpint(top_column(top_column_names()[c]), ==, c);
        g_assert_cmpint(top_column(top_columns[c].title), ==, c);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/top/rates", test_rates);
    g_test_add_func("/top/same-names", test_same_names);
    g_test_add_func("/top/breaks", test_breaks);
    g_test_add_func("/top/odd-objects", test_odd_objects);
    g_test_add_func("/top/sort", test_sort);
    g_test_add_func("/top/columns", test_columns);
    return g_test_run();
}
