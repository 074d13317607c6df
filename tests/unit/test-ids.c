/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host ids of renderers: nobody else's, one a VM, and never root's without a word. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "ids.h"

static void test_slots(void)
{
    g_assert_cmpuint(ids_of_slot(IDS_DEFAULT, 0), ==, IDS_DEFAULT);
    g_assert_cmpuint(ids_of_slot(IDS_DEFAULT, 4095), ==, IDS_DEFAULT + 4095);
    g_assert_cmpuint(ids_of_slot(IDS_MAX, 4095), <, G_MAXUINT32 - 1);
    g_assert_cmpuint(ids_of_slot(0, 7), ==, 0);
}

static void test_overlap(void)
{
    static const struct {
        uid_t base;
        const char *who;
    } cases[] = {
        { IDS_DEFAULT, NULL },
        { 65536, NULL },
        { 100000 - IDS_COUNT, NULL },
        { 100000 - IDS_COUNT + 1, "gives ids from 100000 to user alice" },
        { 165535, "gives ids from 100000 to user alice" },
        { 165536, NULL },
        { 524288 - IDS_COUNT, NULL },
        { 524288, "systemd gives ids from 524288 to 1879048191 to containers" },
        { 1879048191, "systemd gives ids from 524288 to 1879048191 to containers" },
        { 1879048192, NULL },
        { 2000000000, "gives ids from 2000000000 to user bob" },
        { 2147352576, "systemd keeps ids from 2147352576 to 2147418111 for foreign images" },
    };
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vgpu-subuid-XXXXXX", &path, NULL);

    close(fd);
    g_assert_true(g_file_set_contents(path,
                                      "alice:100000:65536\n\nnonsense\nx:y:z\nbob:2000000000:1\n"
                                      "eve:99999999999:1\n",
                                      -1, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *who = ids_overlap(cases[i].base, path);

        if (!who != !cases[i].who || (who && !strstr(who, cases[i].who))) {
            g_test_message("%u: %s", cases[i].base, who ? who : "nobody");
            g_test_fail();
        }
    }
    g_remove(path);
    g_assert_null(ids_overlap(IDS_DEFAULT, path));
}

/* DynamicUser's ids and those of people cannot be said. */
static void test_config(void)
{
    static const struct {
        const char *value;
        bool good;
    } cases[] = { { "65536", true }, { "4294963198", true }, { "61184", false },     { "0", false },
                  { "-1", false },   { "65535", false },     { "4294963199", false } };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf("[renderer]\nuid-base=%s\n", cases[i].value);
        g_autoptr(Config) c = config_new();
        g_autoptr(Ini) ini = ini_parse("c", text, strlen(text), NULL);

        g_assert_cmpuint(c->uid_base, ==, IDS_DEFAULT);
        g_assert_cmpint(config_add(c, ini, NULL), ==, cases[i].good);
    }
}

static void test_choose(void)
{
    if (geteuid() != 0) {
        g_assert_cmpuint(ids_choose(IDS_DEFAULT), ==, 0);
        return;
    }
    g_assert_cmpuint(ids_choose(IDS_DEFAULT), ==, IDS_DEFAULT);
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING,
                          "uid-base=600000 *containers; choose 4096 ids that nobody has");
    g_assert_cmpuint(ids_choose(600000), ==, 600000);
    g_test_assert_expected_messages();
    /* no host has an id -1: said aloud, and not done in silence */
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING,
                          "renderers run with vgpud's own user id, which is root here: *set uid-base= in *");
    g_assert_cmpuint(ids_choose(G_MAXUINT32 - IDS_COUNT + 1), ==, 0);
    g_test_assert_expected_messages();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ids/slots", test_slots);
    g_test_add_func("/ids/overlap", test_overlap);
    g_test_add_func("/ids/config", test_config);
    g_test_add_func("/ids/choose", test_choose);
    return g_test_run();
}
