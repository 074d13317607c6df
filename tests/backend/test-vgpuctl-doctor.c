/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl doctor: what it finds, and that nothing it tries takes it along. */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "fake_vgpud.h"

/* Nobody listens there: the host's own vgpud has no part in this. */
#define NOWHERE "--socket=/nonexistent/vgpud.sock"

/* What is tried instead of the drivers: a shell script. */
static Run *doctor(const char *variable, const char *script, const char *option)
{
    g_autofree char *folder = g_dir_make_tmp("doctor-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "program", NULL);
    g_autofree char *set = g_strdup_printf("%s=%s", variable ? variable : "UNUSED", path);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", script ? script : "");
    const char *environment[] = { set, NULL };
    const char *argv[] = { g_getenv("VGPUCTL"), NOWHERE, "doctor", option, NULL };
    Run *r;

    if (script) {
        g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));
    }
    r = fake_spawn(argv, environment);
    g_unlink(path);
    g_rmdir(folder);
    return r;
}

/* The line of a check that says a thing; NULL: there is none. */
static const char *line_of(const Run *r, const char *check, const char *part)
{
    g_auto(GStrv) lines = g_strsplit(r->out, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        if (strlen(lines[i]) > 6 && g_str_has_prefix(lines[i] + 6, check) && strstr(lines[i], part)) {
            return strstr(r->out, lines[i]);
        }
    }
    return NULL;
}

static void expect(const Run *r, const char *result, const char *check, const char *part)
{
    const char *line = line_of(r, check, part);

    if (!line || !g_str_has_prefix(line, result)) {
        g_test_fail_printf("no '%s %s ... %s' in:\n%s", result, check, part, r->out);
    }
}

/* Whatever this host is like, the report has its form, and says what to do. */
static void test_form(void)
{
    g_autoptr(Run) r = doctor(NULL, NULL, NULL), json = doctor(NULL, NULL, "--json");
    g_auto(GStrv) lines = g_strsplit(r->out, "\n", -1);
    g_autoptr(JsonNode) root = json_from_string(json->out, NULL);
    JsonArray *array = json_node_get_array(root);
    unsigned n = g_strv_length(lines), failed = 0, findings = 0;

    g_assert_cmpstr(r->err, ==, "");
    g_assert_null(strchr(r->out, '\033')); /* no terminal, no colours */
    for (unsigned i = 0; i + 2 < n; i++) {
        bool remedy = g_str_has_prefix(lines[i], "      ");
        bool bad = g_str_has_prefix(lines[i], "WARN  ") || g_str_has_prefix(lines[i], "FAIL  ");

        if (!remedy && !bad && !g_str_has_prefix(lines[i], "PASS  ") &&
            !g_str_has_prefix(lines[i], "SKIP  ")) {
            g_test_fail_printf("what is this line: %s", lines[i]);
        }
        if (bad && !g_str_has_prefix(lines[i + 1], "      ") && !strstr(lines[i], "; ")) {
            g_test_fail_printf("what to do? %s", lines[i]);
        }
        failed += g_str_has_prefix(lines[i], "FAIL  ");
        findings += !remedy;
    }
    g_assert_nonnull(strstr(lines[n - 2], " passed, "));
    g_assert_cmpint(r->status, ==, failed ? 1 : 0);
    /* the same in JSON */
    g_assert_cmpint(json->status, ==, r->status);
    g_assert_cmpuint(json_array_get_length(array), ==, findings);
    for (const char *const *check =
             (const char *const[]){ "vgpud",         "renderer",      "sandbox",     "seccomp",
                                    "Landlock",      "cgroups",       "open files",  "shared memory",
                                    "/dev/shm",      "udmabuf",       "render node", "OpenGL",
                                    "virglrenderer", "render server", "Vulkan",      "venus",
                                    "Vulkan layer",  "KVM",           "QEMU",        NULL };
         *check; check++) {
        if (!line_of(r, *check, "")) {
            g_test_fail_printf("nothing is said of %s", *check);
        }
    }
}

/* What the tests themselves need works here, so it has to be found working. */
static void test_works_here(void)
{
    g_autoptr(Run) r = doctor(NULL, NULL, NULL);

    expect(r, "SKIP", "vgpud", "none runs");
    expect(r, "PASS", "renderer", VGPU_VERSION);
    expect(r, "PASS", "shared memory", "memfd");
    expect(r, "PASS", "OpenGL", "OpenGL ");
    expect(r, "PASS", "virglrenderer", "capset 2");
}

static void test_driver_crashes(void)
{
    g_autoptr(Run) r = doctor("VGPU_PROBE", "kill -SEGV $$", NULL);

    g_assert_cmpint(r->status, ==, 1);
    expect(r, "FAIL", "OpenGL", "crashed (Segmentation fault)");
    expect(r, "SKIP", "virglrenderer", "needs OpenGL");
    expect(r, "WARN", "Vulkan", "crashed");  /* there is OpenGL without it */
    g_assert_nonnull(line_of(r, "KVM", "")); /* it went on to the end */
}

/* It says it is well and then dies: both are findings. */
static void test_driver_crashes_late(void)
{
    g_autoptr(Run) r = doctor("VGPU_PROBE", "printf 'pass\\tOpenGL\\tfine\\t\\n'; kill -ABRT $$", NULL);

    g_assert_cmpint(r->status, ==, 1);
    expect(r, "PASS", "OpenGL", "fine");
    expect(r, "FAIL", "OpenGL", "crashed (Aborted)");
}

/* Neither a driver that hangs nor what it leaves behind holds the doctor up. */
static void test_driver_hangs(void)
{
    g_autoptr(Run) r = doctor("VGPU_PROBE", "sleep 1000 & sleep 1000", "--timeout=1");

    g_assert_cmpint(r->status, ==, 1);
    expect(r, "FAIL", "OpenGL", "did not end within 1 s");
    g_assert_nonnull(line_of(r, "KVM", ""));
}

static void test_driver_chatters(void)
{
    g_autoptr(Run) mute = doctor("VGPU_PROBE", "echo MESA: hello; echo; exit 0", NULL);
    g_autoptr(Run) odd =
        doctor("VGPU_PROBE",
               "printf 'a\\tb\\nboast\\tOpenGL\\tx\\ty\\npass\\tOpenGL\\ta\\033[2Jb\\t\\n'; exit 0", NULL);
    g_autoptr(Run) gone = doctor("VGPU_PROBE", NULL, NULL);

    expect(mute, "FAIL", "OpenGL", "it says nothing");
    expect(odd, "PASS", "OpenGL", "a?[2Jb");
    g_assert_null(strchr(odd->out, '\033'));
    expect(gone, "FAIL", "OpenGL", "does not start");
    g_assert_null(strstr(gone->out, "the driver's trial")); /* it is not the driver's fault */
    g_assert_cmpint(gone->status, ==, 1);
}

static void test_renderer(void)
{
    g_autoptr(Run) gone = doctor("VGPU_RENDERER", NULL, NULL);
    g_autoptr(Run) broken = doctor("VGPU_RENDERER", "echo 'libfoo.so.1: cannot open' >&2; exit 127", NULL);
    g_autoptr(Run) other = doctor("VGPU_RENDERER", "echo vgpu-renderer 0.0.1", NULL);

    expect(gone, "FAIL", "renderer", "does not start");
    expect(broken, "FAIL", "renderer", "libfoo.so.1: cannot open");
    expect(other, "WARN", "renderer", "'vgpu-renderer 0.0.1'");
}

static void test_limits(void)
{
    g_autofree char *low =
        g_strdup_printf("ulimit -n 1000; exec '%s' " NOWHERE " doctor", g_getenv("VGPUCTL"));
    const char *argv[] = { "sh", "-c", low, NULL };
    g_autoptr(Run) r = fake_spawn(argv, NULL);

    g_assert_cmpint(r->status, ==, 1);
    expect(r, "FAIL", "open files", "at most 1000");
}

static void test_vgpud(void)
{
    g_autoptr(Fake) f = fake_new();
    g_autoptr(Run) other = NULL, refused = NULL;

    fake_answer(f, "GET", "/v1/gpus", 200, "[]");
    other = fake_run(f, "doctor", NULL);
    expect(other, "WARN", "vgpud", "vgpud/fake");
    fake_answer(f, "GET", "/v1/gpus", 500, "{\"error\":\"vgpud is out of order\"}");
    refused = fake_run(f, "doctor", NULL);
    expect(refused, "FAIL", "vgpud", "vgpud is out of order");
    g_assert_cmpint(refused->status, ==, 1);
}

static void test_usage(void)
{
    static const char *const wrong[] = { "--timeout=-1", "--timeout=4000", "--timeout=x", "more" };

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(Run) r = doctor(NULL, NULL, wrong[i]);

        g_assert_cmpint(r->status, ==, 2);
        g_assert_cmpstr(r->out, ==, "");
    }
}

/* What vgpu-probe says of a layer with that text and manifest; NULL: that file is not there. */
static Run *probe_layer(const char *text, const char *manifest)
{
    g_autofree char *self = g_path_get_dirname(g_getenv("VGPUCTL"));
    g_autofree char *program = g_canonicalize_filename("../renderer/vgpu-probe", self);
    g_autofree char *folder = g_dir_make_tmp("doctor-XXXXXX", NULL);
    g_autofree char *layer = g_build_filename(folder, "libVkLayer_vgpu.so", NULL);
    g_autofree char *json = g_build_filename(folder, "VkLayer_vgpu.json", NULL);
    const char *argv[] = { program, "layer", layer, NULL };
    Run *r;

    g_assert_true(!text || g_file_set_contents(layer, text, -1, NULL));
    g_assert_true(!manifest || g_file_set_contents(json, manifest, -1, NULL));
    r = fake_spawn(argv, NULL);
    g_unlink(layer);
    g_unlink(json);
    g_rmdir(folder);
    return r;
}

/* Guests have OpenGL without it, so whatever it lacks is a warning; and it is not only looked at. */
static void test_layer(void)
{
    static const char manifest[] =
        "{\"file_format_version\":\"1.1.2\",\"layer\":{\"name\":\"VK_LAYER_VGPU_quota\",\"type\":\"GLOBAL\","
        "\"library_path\":\"./"
        "libVkLayer_vgpu.so\",\"api_version\":\"1.3.0\",\"implementation_version\":\"1\","
        "\"description\":\"a test\"}}";
    const char *argv[] = { g_getenv("VGPUCTL"), NOWHERE, "doctor", NULL };
    const char *environment[] = { "VGPU_VULKAN_LAYER=/nonexistent/layer.so", NULL };
    g_autofree char *self = g_path_get_dirname(g_getenv("VGPUCTL"));
    const char *named = g_getenv("VGPU_VULKAN_LAYER"); /* a sanitizer's build tests another than it builds */
    g_autofree char *built =
        g_canonicalize_filename(named ? named : "../vulkan-layer/libVkLayer_vgpu.so", self);
    g_autoptr(Run) none = fake_spawn(argv, environment), alone = NULL, broken = NULL, good = NULL;

    expect(none, "WARN", "Vulkan layer", "/nonexistent/layer.so: No such file");
    g_assert_nonnull(strstr(none->out, "vulkan-layer="));
    if (!line_of(none, "Vulkan  ", "Vulkan 1.")) {
        return; /* there is no loader */
    }
    alone = probe_layer("no library", NULL);
    g_assert_true(g_str_has_prefix(alone->out, "fail\tVulkan layer\t"));
    g_assert_nonnull(strstr(alone->out, "finds no VK_LAYER_VGPU_quota"));
    broken = probe_layer("no library", manifest);
    g_assert_true(g_str_has_prefix(broken->out, "fail\tVulkan layer\t"));
    g_assert_nonnull(strstr(broken->out, "does not load"));
    if (g_file_test(built, G_FILE_TEST_EXISTS)) {
        good = doctor(NULL, NULL, NULL);
        expect(good, "PASS", "Vulkan layer", built);
    }
}

/* vgpuctl itself loads no driver, whatever command it runs. */
static void test_links_no_driver(void)
{
    const char *argv[] = { "ldd", g_getenv("VGPUCTL"), NULL };
    g_autoptr(Run) r = fake_spawn(argv, NULL);

    g_assert_cmpint(r->status, ==, 0);
    g_assert_nonnull(strstr(r->out, "libsoup"));
    for (const char *const *lib = (const char *const[]){ "libGL", "libEGL", "libepoxy", "libvulkan",
                                                         "libvirgl", "libgbm", "libdrm", NULL };
         *lib; lib++) {
        g_assert_null(strstr(r->out, *lib));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/doctor/form", test_form);
    g_test_add_func("/doctor/works-here", test_works_here);
    g_test_add_func("/doctor/driver-crashes", test_driver_crashes);
    g_test_add_func("/doctor/driver-crashes-late", test_driver_crashes_late);
    g_test_add_func("/doctor/driver-hangs", test_driver_hangs);
    g_test_add_func("/doctor/driver-chatters", test_driver_chatters);
    g_test_add_func("/doctor/renderer", test_renderer);
    g_test_add_func("/doctor/layer", test_layer);
    g_test_add_func("/doctor/limits", test_limits);
    g_test_add_func("/doctor/vgpud", test_vgpud);
    g_test_add_func("/doctor/usage", test_usage);
    g_test_add_func("/doctor/links-no-driver", test_links_no_driver);
    return g_test_run();
}
