/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prometheus' text format: what is escaped, what figures look like. */
#include <glib.h>
#include <locale.h>
#include <string.h>

#include "vgpud/promtext.h"

static void test_labels(void)
{
    g_autofree char *plain = promtext_labels("vm", "win10", "uuid", "", NULL);
    g_autofree char *hostile = promtext_labels("vm", "a\"} 1\nvgpu_x{vm=\"\\", NULL);
    g_autofree char *bytes = promtext_labels("vm", "\xff\xc3(", NULL);

    g_assert_cmpstr(plain, ==, "vm=\"win10\",uuid=\"\"");
    g_assert_cmpstr(hostile, ==, "vm=\"a\\\"} 1\\nvgpu_x{vm=\\\"\\\\\"");
    g_assert_true(g_utf8_validate(bytes, -1, NULL));
    g_assert_null(strchr(hostile, '\n'));
}

static void check(void (*add)(GString *, uint64_t), uint64_t value, const char *text)
{
    g_autoptr(GString) s = g_string_new(NULL);

    add(s, value);
    g_assert_cmpstr(s->str, ==, text);
}

static void add_uint(GString *s, uint64_t v)
{
    promtext_uint(s, "x", NULL, NULL, v);
}

static void add_seconds(GString *s, uint64_t v)
{
    promtext_seconds(s, "x", "a=\"1\"", "b=\"2\"", v);
}

static void add_ratio(GString *s, uint64_t v)
{
    promtext_ratio(s, "x", NULL, "b=\"2\"", (double)v / 8);
}

static void test_figures(void)
{
    check(add_uint, 0, "x 0\n");
    check(add_uint, UINT64_MAX, "x 18446744073709551615\n");
    check(add_seconds, 0, "x{a=\"1\",b=\"2\"} 0\n");
    check(add_seconds, 1, "x{a=\"1\",b=\"2\"} 0.000000001\n");
    check(add_seconds, 1500000000, "x{a=\"1\",b=\"2\"} 1.5\n");
    check(add_seconds, 100000000000, "x{a=\"1\",b=\"2\"} 100\n");
    check(add_seconds, UINT64_MAX, "x{a=\"1\",b=\"2\"} 18446744073.709551615\n");
    check(add_ratio, 0, "x{b=\"2\"} 0\n");
    check(add_ratio, 1, "x{b=\"2\"} 0.125\n");
    check(add_ratio, 8, "x{b=\"2\"} 1\n");
}

static void test_histogram(void)
{
    static const uint64_t bounds[] = { 100000, 1000000000 }, counts[] = { 3, 2, 1 };
    g_autoptr(GString) s = g_string_new(NULL);

    promtext_family(s, "w", "histogram", "waits");
    promtext_histogram(s, "w", "a=\"1\"", bounds, counts, 2, 2500000000);
    g_assert_cmpstr(s->str, ==,
                    "# HELP w waits\n"
                    "# TYPE w histogram\n"
                    "w_bucket{a=\"1\",le=\"0.0001\"} 3\n"
                    "w_bucket{a=\"1\",le=\"1\"} 5\n"
                    "w_bucket{a=\"1\",le=\"+Inf\"} 6\n"
                    "w_sum{a=\"1\"} 2.5\n"
                    "w_count{a=\"1\"} 6\n");
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/promtext/labels are escaped", test_labels);
    g_test_add_func("/promtext/figures are whole", test_figures);
    g_test_add_func("/promtext/buckets are cumulative", test_histogram);
    return g_test_run();
}
