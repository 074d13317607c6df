/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GPU time as drivers tell it in fdinfo: texts as i915, amdgpu, msm and others write them. */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "drm_usage.h"

#define MS 1000000ull

/* As Linux 6.12's i915 writes it; the rest of the file comes first, as in any fdinfo. */
static char *i915(unsigned client, uint64_t render, uint64_t copy, uint64_t video)
{
    return g_strdup_printf(
        "pos:\t0\nflags:\t02100002\nmnt_id:\t25\nino:\t422\ndrm-driver:\ti915\n"
        "drm-client-id:\t%u\ndrm-pdev:\t0000:00:02.0\ndrm-total-system0:\t3456 KiB\n"
        "drm-engine-render:\t%" G_GUINT64_FORMAT " ns\ndrm-engine-copy:\t%" G_GUINT64_FORMAT
        " ns\ndrm-engine-video:\t%" G_GUINT64_FORMAT " ns\ndrm-engine-capacity-video:\t2\n",
        client, (guint64)render, (guint64)copy, (guint64)video);
}

static uint64_t look(DrmUsage *u, char **texts)
{
    drm_usage_begin(u);
    for (unsigned i = 0; texts[i]; i++) {
        g_assert_true(drm_usage_text(u, texts[i]));
        g_free(texts[i]);
    }
    return drm_usage_end(u);
}

#define LOOK(u, ...) look(u, (char *[]){ __VA_ARGS__, NULL })

/* What was used before the first look does not count; then the busiest engine does. */
static void test_busiest(void)
{
    g_autoptr(DrmUsage) u = drm_usage_new("0000:00:02.0");

    g_assert_cmpuint(LOOK(u, i915(7, 500 * MS, 100 * MS, 0)), ==, 0);
    g_assert_cmpuint(LOOK(u, i915(7, 530 * MS, 110 * MS, 0)), ==, 30 * MS);
    g_assert_cmpuint(LOOK(u, i915(7, 530 * MS, 150 * MS, 0)), ==, 70 * MS);
    /* two video engines that worked side by side for 50 ms */
    g_assert_cmpuint(LOOK(u, i915(7, 540 * MS, 150 * MS, 100 * MS)), ==, 120 * MS);
    g_assert_cmpuint(LOOK(u, i915(7, 540 * MS, 150 * MS, 100 * MS)), ==, 120 * MS);
}

/* A copied descriptor is the same client; several clients add up; one that goes takes nothing away. */
static void test_clients(void)
{
    g_autoptr(DrmUsage) u = drm_usage_new(NULL);

    LOOK(u, i915(1, 0, 0, 0));
    g_assert_cmpuint(LOOK(u, i915(1, 10 * MS, 0, 0), i915(1, 10 * MS, 0, 0)), ==, 10 * MS);
    g_assert_cmpuint(LOOK(u, i915(1, 20 * MS, 0, 0), i915(2, 5 * MS, 0, 0)), ==, 25 * MS);
    g_assert_cmpuint(LOOK(u, i915(2, 6 * MS, 0, 0)), ==, 26 * MS);
    g_assert_cmpuint(LOOK(u, i915(2, 1 * MS, 0, 0)), ==, 26 * MS); /* it says less than it did */
    drm_usage_begin(u);
    g_assert_cmpuint(drm_usage_end(u), ==, 26 * MS);
    g_assert_cmpuint(LOOK(u, i915(1, 30 * MS, 0, 0)), ==, 56 * MS); /* a new one with an old number */
}

static void test_texts(void)
{
    static const struct {
        const char *text;
        bool told;
        uint64_t ns;
    } cases[] = {
        { "pos:\t0\nflags:\t0100000\nmnt_id:\t9\n", false, 0 },
        { "", false, 0 },
        { "drm-driver:\tamdgpu\ndrm-client-id:\t3\ndrm-pdev:\t0000:03:00.0\npasid:\t32772\n"
          "drm-engine-gfx:\t1000 ns\ndrm-engine-compute:\t4000 ns\n",
          true, 4000 },
        { "drm-client-id:\t3\ndrm-engine-gpu:\t77 ns\ndrm-cycles-gpu:\t9\ndrm-maxfreq-gpu:\t8 Hz\n", true,
          77 },
        { "drm-client-id:\t3\ndrm-pdev:\t0000:04:00.0\ndrm-engine-gfx:\t1000 ns\n", false,
          0 }, /* another GPU */
        { "drm-client-id:\t3\ndrm-pdev:\t0000:03:00.\ndrm-engine-gfx:\t1000 ns\n", false, 0 },
        { "drm-client-id:\tx\ndrm-engine-gfx:\t1000 ns\n", false, 0 },
        { "drm-driver:\tgfx\ndrm-engine-gfx:\t1000 ns\n", false, 0 }, /* no client: it cannot be told apart */
        { "drm-client-id:\t3\ndrm-engine-gfx:\t1000\n", true, 0 },    /* of what? */
        { "drm-client-id:\t3\ndrm-engine-gfx:\t-5 ns\n", true, 0 },
        { "drm-client-id:\t3\ndrm-engine-gfx\t5 ns\n", true, 0 },
        { "drm-client-id:\t3\ndrm-engine-:\t5 ns\n", true, 0 },
        { "drm-client-id:\t3\ndrm-engine-a:\t5 ns\ndrm-engine-capacity-a:\t0\n", true, 5 },
        { "drm-client-id:\t3\ndrm-engine-a:\t8 ns\ndrm-engine-capacity-a:\t99999999\n", true, 8 },
        { "drm-client-id:\t3\ndrm-cycles-rcs:\t28257900\ndrm-total-cycles-rcs:\t7655183225\n", true,
          0 },                                                 /* xe */
        { "drm-client-id:\t3\ndrm-engine-a:\t5 ns", true, 5 }, /* cut */
        { "drm-client-id:\t3\ndrm-engine-a:", true, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(DrmUsage) u = drm_usage_new("0000:03:00.0");

        g_test_message("case %u", i);
        drm_usage_begin(u);
        drm_usage_end(u);
        drm_usage_begin(u);
        g_assert_cmpint(drm_usage_text(u, cases[i].text), ==, cases[i].told);
        g_assert_cmpuint(drm_usage_end(u), ==, cases[i].ns);
    }
}

/* However many engines and clients: bounded, and no crash. */
static void test_bounds(void)
{
    g_autoptr(DrmUsage) u = drm_usage_new(NULL);
    g_autoptr(GString) many = g_string_new("drm-client-id:\t1\n");

    for (unsigned i = 0; i < 1000; i++) {
        g_string_append_printf(many, "drm-engine-e%u:\t%u ns\n", i, i + 1);
    }
    drm_usage_begin(u);
    drm_usage_end(u);
    drm_usage_begin(u);
    g_assert_true(drm_usage_text(u, many->str));
    g_assert_cmpuint(drm_usage_end(u), ==, 32);
    drm_usage_begin(u);
    for (unsigned i = 0; i < 10000; i++) {
        g_autofree char *text = g_strdup_printf("drm-client-id:\t%u\ndrm-engine-e0:\t9 ns\n", i);

        drm_usage_text(u, text);
    }
    g_assert_cmpuint(drm_usage_end(u), <, 32 + 10000 * 9);
}

/* Processes without a render node, or that are gone: nothing is told, nothing breaks. */
static void test_look(void)
{
    g_autoptr(DrmUsage) u = drm_usage_new(NULL);
    const pid_t pids[] = { getpid(), 1 << 30 };
    int fd = open("/dev/null", O_RDONLY);
    uint64_t ns = 1;

    g_assert_false(drm_usage_look(u, pids, 2, &ns));
    g_assert_cmpuint(ns, ==, 0);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/drm-usage/busiest", test_busiest);
    g_test_add_func("/drm-usage/clients", test_clients);
    g_test_add_func("/drm-usage/texts", test_texts);
    g_test_add_func("/drm-usage/bounds", test_bounds);
    g_test_add_func("/drm-usage/look", test_look);
    return g_test_run();
}
