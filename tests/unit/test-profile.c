/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Profiles and vgpud.conf: what is read, and that each mistake names its file and line. */
#include <glib.h>
#include <glib/gstdio.h>

#include "config.h"
#include "gpu.h"
#include "profile.h"
#include "units.h"

static Ini *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    Ini *ini = ini_parse("p.conf", text, strlen(text), &error);

    g_assert_no_error(error);
    return ini;
}

/* The error for a file of profiles; fails the test when there is none. */
static char *profile_error(const char *text)
{
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Ini) ini = ini_parse("p.conf", text, strlen(text), &error);

    if (ini && profile_set_add(set, ini, &error)) {
        g_test_message("no error for: %s", text);
        g_test_fail();
        return g_strdup("");
    }
    g_assert_nonnull(error);
    return g_strdup(error->message);
}

static void assert_starts(const char *text, const char *start)
{
    if (!g_str_has_prefix(text, start)) {
        g_test_message("'%s' does not start with '%s'", text, start);
        g_test_fail();
    }
}

static void test_builtin(void)
{
    static const struct {
        const char *name;
        uint64_t mib, cpus;
    } expected[] = { { "full", 8192, 16 },
                     { "half", 4096, 8 },
                     { "quarter", 2048, 4 },
                     { "eighth", 1024, 2 },
                     { "sixteenth", 512, 1 } };
    g_autoptr(ProfileSet) set = profile_set_new();

    g_assert_cmpuint(set->profiles->len, ==, G_N_ELEMENTS(expected));
    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        const Profile *p = profile_set_find(set, expected[i].name);

        g_assert_nonnull(p);
        g_assert_cmpuint(profile_memory(p, 8 * GIB), ==, expected[i].mib * MIB);
        g_assert_cmpuint(profile_cpus(p, 8 * GIB, true, 16), ==, expected[i].cpus);
        g_assert_cmpuint(profile_cpus(p, 8 * GIB, true, 1), ==, 1);
        g_assert_cmpuint(profile_cpus(p, 8 * GIB, false, 16), ==, 0);
    }
    g_assert_true(profile_set_find(set, "") == profile_set_find(set, "full"));
    g_assert_null(profile_set_find(set, "Full"));
}

static void test_all_keys(void)
{
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Ini) ini =
        parse("# a comment\n\n[cad]\n"
              "memory = 1536M\nshare=37.5 %\npriority=high\nquantum=10ms\napis=gl\n"
              "displays=2\nmax-resolution=2560x1440\nframe-rate-limit=60\nmax-contexts=32\n"
              "cpus=3\nisolation=exclusive\nhang-timeout=5s\nidle-timeout=2min\ngroups=cad, lab\n");
    const Profile *p;

    g_assert_true(profile_set_add(set, ini, &error));
    g_assert_no_error(error);
    p = profile_set_find(set, "cad");
    g_assert_nonnull(p);
    g_assert_cmpuint(p->memory_bytes, ==, 1536 * MIB);
    g_assert_cmpuint(p->share_ppm, ==, 375000);
    g_assert_cmpint(p->priority, ==, PROFILE_HIGH);
    g_assert_cmpuint(p->quantum_us, ==, 10000);
    g_assert_cmpuint(p->apis, ==, PROFILE_API_GL);
    g_assert_cmpuint(p->displays, ==, 2);
    g_assert_cmpuint(p->max_width, ==, 2560);
    g_assert_cmpuint(p->max_height, ==, 1440);
    g_assert_cmpuint(p->frame_rate_limit, ==, 60);
    g_assert_cmpuint(p->max_contexts, ==, 32);
    g_assert_cmpuint(p->cpus, ==, 3);
    g_assert_true(p->exclusive);
    g_assert_cmpuint(p->hang_timeout_us, ==, 5000000);
    g_assert_cmpuint(p->idle_timeout_us, ==, 120000000);
    g_assert_cmpstr(p->groups[0], ==, "cad");
    g_assert_cmpstr(p->groups[1], ==, "lab");
    g_assert_cmpstr(p->origin, ==, "p.conf:3");
    g_assert_cmpuint(profile_cpus(p, 8 * GIB, true, 16), ==, 3);
    g_assert_cmpuint(profile_cpus(p, 8 * GIB, true, 2), ==, 2);
}

static void test_isolation(void)
{
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(Ini) ini = parse("[a]\nmemory=1G\nisolation=strict\n[b]\nmemory=1G\nisolation=shared\n");

    g_assert_true(profile_set_add(set, ini, NULL));
    g_assert_true(profile_set_find(set, "a")->strict);
    g_assert_false(profile_set_find(set, "a")->exclusive);
    g_assert_false(profile_set_find(set, "b")->strict);
}

/* A share that was not written follows from the memory. */
static void test_share_follows_memory(void)
{
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(Ini) ini = parse("[a]\nmemory=2G\n[b]\nmemory=12.5%\n");

    g_assert_true(profile_set_add(set, ini, NULL));
    g_assert_cmpuint(profile_share(profile_set_find(set, "a"), 8 * GIB), ==, 250000);
    g_assert_cmpuint(profile_share(profile_set_find(set, "b"), 8 * GIB), ==, 125000);
}

static void test_errors(void)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "[a]\nmemory=1G\ncolour=red\n", "p.conf:3: a profile has no key 'colour'; the keys are: memory, " },
        { "[a]\n\n# c\nmemory=0\n", "p.conf:4: memory=0 is not 16M or more" },
        { "[a]\nmemory=15M\n", "p.conf:2: memory=15M is not" },
        { "[a]\nmemory=101%\n", "p.conf:2: memory=101% is not" },
        { "[a]\nmemory=0%\n", "p.conf:2: memory=0% is not" },
        { "[a]\nmemory=-1G\n", "p.conf:2: memory=-1G is not" },
        { "[a]\nmemory=99999999999999999999G\n", "p.conf:2: memory=99999999999999999999G is not" },
        { "[a]\nmemory=20000000T\n", "p.conf:2: memory=20000000T is not" },
        { "[a]\nmemory=2X\n", "p.conf:2: memory=2X is not" },
        { "[a]\nmemory=\n", "p.conf:2: memory= is not" },
        { "[a]\nmemory=1G\nshare=0%\n", "p.conf:3: share=0% is not" },
        { "[a]\nmemory=1G\nshare=50\n", "p.conf:3: share=50 is not" },
        { "[a]\nmemory=1G\npriority=urgent\n", "p.conf:3: priority=urgent is not low, normal or high" },
        { "[a]\nmemory=1G\nquantum=2s\n", "p.conf:3: quantum=2s is not" },
        { "[a]\nmemory=1G\napis=metal\n", "p.conf:3: apis=metal is not" },
        { "[a]\nmemory=1G\napis=,\n", "p.conf:3: apis=, is not" },
        { "[a]\nmemory=1G\ndisplays=17\n", "p.conf:3: displays=17 is not" },
        { "[a]\nmemory=1G\ndisplays=0\n", "p.conf:3: displays=0 is not" },
        { "[a]\nmemory=1G\nmax-resolution=1920\n", "p.conf:3: max-resolution=1920 is not" },
        { "[a]\nmemory=1G\nmax-resolution=1920x1080x2\n", "p.conf:3: max-resolution=1920x1080x2 is not" },
        { "[a]\nmemory=1G\nmax-resolution=99999x1080\n", "p.conf:3: max-resolution=99999x1080 is not" },
        { "[a]\nmemory=1G\nframe-rate-limit=fast\n", "p.conf:3: frame-rate-limit=fast is not" },
        { "[a]\nmemory=1G\nmax-contexts=-1\n", "p.conf:3: max-contexts=-1 is not" },
        { "[a]\nmemory=1G\ncpus=0\n", "p.conf:3: cpus=0 is not" },
        { "[a]\nmemory=1G\nisolation=vm\n", "p.conf:3: isolation=vm is not" },
        { "[a]\nmemory=1G\nhang-timeout=5\n", "p.conf:3: hang-timeout=5 is not" },
        { "[a]\nmemory=1G\nidle-timeout=1ms\n", "p.conf:3: idle-timeout=1ms is not" },
        { "[a]\nmemory=1G\ngroups=\n", "p.conf:3: groups= is not" },
        { "\n[a]\nshare=5%\n", "p.conf:2: profile 'a' has no memory=" },
        { "[a]\nmemory=1G\n[b]\nmemory=1G\n[a]\nmemory=2G\n",
          "p.conf:5: the group 'a' is here twice, first on line 1" },
        { "[a]\nmemory=1G\nmemory=2G\n", "p.conf:3: the key 'memory' is here twice, first on line 2" },
        { "memory=1G\n", "p.conf:1: a key before the first [group]" },
        { "[a]\nmemory=1G\nwhat is this\n",
          "p.conf:3: neither a [group], a key=value nor a # comment: 'what is this'" },
        { "[a\nmemory=1G\n", "p.conf:1: a group is written [NAME]" },
        { "[]\nmemory=1G\n", "p.conf:1: a group is written [NAME]" },
        { "[a b]\nmemory=1G\n", "p.conf:1: 'a b' is no name for a profile" },
        { "[.]\nmemory=1G\n", "p.conf:1: '.' is no name for a profile" },
        { "[a]\nmemory=1G\n# caf\xe9\n", "p.conf:3: not UTF-8 text" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *message = profile_error(cases[i].text);

        assert_starts(message, cases[i].error);
    }
}

static void test_long_name(void)
{
    g_autofree char *name = g_strnfill(64, 'a');
    g_autofree char *text = g_strdup_printf("[%s]\nmemory=1G\n", name);
    g_autofree char *message = profile_error(text);

    assert_starts(message, "p.conf:1: 'aaa");
}

static void test_two_files(void)
{
    g_autofree char *dir = g_dir_make_tmp("vgpu-profile-XXXXXX", NULL);
    g_autofree char *a = g_build_filename(dir, "10-a.conf", NULL);
    g_autofree char *b = g_build_filename(dir, "20-b.conf", NULL);
    g_autofree char *other = g_build_filename(dir, "30-c.conf~", NULL);
    g_autofree char *expected =
        g_strdup_printf("%s:2: there is a profile 'cad' already, at %s:1; rename one of them", b, a);
    g_autoptr(ProfileSet) set = profile_set_new(), empty = profile_set_new(), replaced = profile_set_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(a, "[cad]\nmemory=1G\n", -1, NULL));
    g_assert_true(g_file_set_contents(b, "\n[cad]\nmemory=2G\n", -1, NULL));
    g_assert_true(g_file_set_contents(other, "nonsense", -1, NULL));
    g_assert_false(profile_set_add_folder(set, dir, &error));
    g_assert_cmpstr(error->message, ==, expected);

    /* a built-in profile may be replaced once */
    g_assert_true(g_file_set_contents(b, "[half]\nmemory=3G\n", -1, NULL));
    g_assert_true(profile_set_add_folder(replaced, dir, NULL));
    g_assert_cmpuint(profile_memory(profile_set_find(replaced, "half"), 8 * GIB), ==, 3 * GIB);
    g_assert_cmpuint(replaced->profiles->len, ==, 6);

    g_remove(a);
    g_remove(b);
    g_remove(other);
    g_rmdir(dir);
    g_assert_true(profile_set_add_folder(empty, dir, NULL)); /* no folder is no profile */
}

static void test_cannot_fit(void)
{
    g_autoptr(ProfileSet) set = profile_set_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Ini) ini = parse("\n[huge]\nmemory=9G\n");

    g_assert_true(profile_set_add(set, ini, NULL));
    g_assert_true(profile_set_check(set, 9 * GIB, NULL));
    g_assert_false(profile_set_check(set, 9 * GIB - 1, &error));
    g_assert_cmpstr(error->message, ==,
                    "p.conf:2: profile 'huge' needs 9216 MiB, but the largest GPU of this host has 9215 MiB");
}

static void test_config(void)
{
    g_autoptr(Config) c = config_new();
    g_autoptr(Ini) ini =
        parse("[vgpud]\nsandbox=off\ngpus=software\ngroup=kvm\n[renderer]\npath=/x/r\nkind=null\n"
              "memory-overhead=1G\nenvironment=A=1;B=2\n[gpu software0]\nmemory=8G\npolicy=fixed-share\n");
    g_autoptr(Ini) usual = parse("[vgpud]\npolicy=equal-share\n");
    GPtrArray *gpus = gpu_find_all("/nonexistent", "/nonexistent", "/nonexistent", 64 * GIB, false);
    Gpu *g = gpus->pdata[0];

    g_assert_true(config_add(c, ini, NULL));
    g_assert_false(c->sandbox);
    g_assert_cmpint(c->gpus, ==, GPU_KINDS_SOFTWARE);
    g_assert_cmpstr(c->group, ==, "kvm");
    g_assert_cmpstr(c->renderer, ==, "/x/r");
    g_assert_cmpstr(c->kind, ==, "null");
    g_assert_cmpuint(c->memory_overhead, ==, GIB);
    g_assert_cmpstr(c->environment[1], ==, "B=2");
    g_assert_cmpstr(g->name, ==, "software0");
    g_assert_cmpuint(g->memory, ==, 32 * GIB);
    config_apply(c, gpus);
    g_assert_cmpuint(g->memory, ==, 8 * GIB);
    g_assert_cmpint(g->policy, ==, SCHED_FIXED_SHARE);
    g_assert_false(g->policy_set); /* an operator's would be stronger */
    config_free(c);
    c = config_new();
    config_apply(c, gpus);
    g_assert_cmpint(g->policy, ==, SCHED_BEST_EFFORT);
    g_assert_true(config_add(c, usual, NULL));
    config_apply(c, gpus);
    g_assert_cmpint(g->policy, ==, SCHED_EQUAL_SHARE);
    g_ptr_array_unref(gpus);
}

static void test_config_errors(void)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "[vgpud]\nsandbox=maybe\n", "p.conf:2: sandbox=maybe is not on or off" },
        { "[vgpud]\n\nsandbocks=on\n", "p.conf:3: the group [vgpud] has no key 'sandbocks'" },
        { "[renderer]\npath=relative\n", "p.conf:2: path=relative is not an absolute path" },
        { "[renderer]\nkind=metal\n", "p.conf:2: kind=metal is not auto, virgl, 2d or null" },
        { "[renderer]\nenvironment=A\n", "p.conf:2: environment=A is not KEY=VALUE" },
        { "[renderer]\nmemory-overhead=1K\n", "p.conf:2: memory-overhead=1K is not 64M or more" },
        { "[gpu a]\nmemory=lots\n", "p.conf:2: memory=lots is not a size" },
        { "[gpu a]\npolicy=be\\nst\n",
          "p.conf:2: policy=be?st is not best-effort" }, /* one line, found by fuzzing */
        { "[gpu a]\npolicy=fair\n", "p.conf:2: policy=fair is not best-effort, equal-share, fixed" },
        { "[vgpud]\npolicy=1\n", "p.conf:2: policy=1 is not best-effort, equal-share, fixed" },
        { "[gpu a]\nspeed=1\n", "p.conf:2: a GPU has no key 'speed'" },
        { "[quarter]\nmemory=1G\n", "p.conf:1: there is no group [quarter] here" },
        { "[vgpud]\ngpus=some\n", "p.conf:2: gpus=some is not auto, software or all" },
        { "[group auto]\ngpus=gpu0\n", "p.conf:1: 'auto' is no name for a group of GPUs" },
        { "[group a b]\ngpus=gpu0\n", "p.conf:1: 'a b' is no name for a group of GPUs" },
        { "[group a]\ncards=gpu0\n", "p.conf:2: a group of GPUs has no key 'cards'" },
        { "[group a]\ngpus=,\n", "p.conf:2: gpus=, is not a list of names" },
        { "[vgpud]\nvms-per-user=0\n", "p.conf:2: vms-per-user=0 is not a number" },
        { "[vgpud]\nconnections-per-user=x\n", "p.conf:2: connections-per-user=x is not a number" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Config) c = config_new();
        g_autoptr(GError) error = NULL;
        g_autoptr(Ini) ini = parse(cases[i].text);

        g_assert_false(config_add(c, ini, &error));
        assert_starts(error->message, cases[i].error);
    }
}

static void test_units(void)
{
    uint64_t v;
    uint32_t ppm;
    g_autofree char *clean = units_clean_text("a\tb\nc\x1b[31m\xff");

    g_assert_true(units_parse_bytes("512", &v) && v == 512);
    g_assert_true(units_parse_bytes("2 KiB", &v) && v == 2048);
    g_assert_true(units_parse_bytes("16777215T", &v));
    g_assert_false(units_parse_bytes("16777216T", &v)); /* 2^64 */
    g_assert_false(units_parse_bytes("1GG", &v));
    g_assert_true(units_parse_percent("6.25%", &ppm) && ppm == 62500);
    g_assert_true(units_parse_percent("0.0001%", &ppm) && ppm == 1);
    g_assert_false(units_parse_percent("100.1%", &ppm));
    g_assert_false(units_parse_percent("25", &ppm));
    g_assert_true(units_parse_duration("0", &v) && v == 0);
    g_assert_false(units_parse_duration("5", &v));
    g_assert_false(units_parse_duration("99999999999999999999h", &v));
    g_assert_cmpstr(clean, ==, "a b?c?[31m\xef\xbf\xbd");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/profile/built-in", test_builtin);
    g_test_add_func("/profile/all-keys", test_all_keys);
    g_test_add_func("/profile/isolation", test_isolation);
    g_test_add_func("/profile/share-follows-memory", test_share_follows_memory);
    g_test_add_func("/profile/errors-name-file-and-line", test_errors);
    g_test_add_func("/profile/long-name", test_long_name);
    g_test_add_func("/profile/two-files", test_two_files);
    g_test_add_func("/profile/cannot-fit", test_cannot_fit);
    g_test_add_func("/config/keys", test_config);
    g_test_add_func("/config/errors-name-file-and-line", test_config_errors);
    g_test_add_func("/units", test_units);
    return g_test_run();
}
