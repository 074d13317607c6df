/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What drivers compile for a VM stays in its own processes: they keep no cache in
 * files, whatever vgpud's environment and configuration say, and the one folder in
 * which they might leave something is the VM's alone and goes with it.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "gl_stream.h"
#include "vulkan_copy.h"

#define MARK "vgpu-test-cache"

static char *home; /* of vgpud's user, as its drivers would have it */

static bool vulkan(void)
{
    return g_getenv("VGPU_VULKAN_LAYER") &&
           g_file_test("/usr/libexec/virgl_render_server", G_FILE_TEST_IS_EXECUTABLE);
}

/* Shaders of GL's and of Vulkan's drivers. */
static void work(Frontend *f)
{
    g_autoptr(GlStream) s = gl_stream_new();

    venus_check(f, "a GL context", gpu_context_create(f, 1, 0), OK_NODATA);
    venus_check(f, "a texture", gpu_create_texture(f, 1, BGRX, 64, 64), OK_NODATA);
    venus_check(f, "a texture", gpu_context_attach(f, 1, 1), OK_NODATA);
    gl_create_surface(s, 1, 1, BGRX);
    gl_set_framebuffer(s, 1);
    gl_clear(s, 0x123456);
    venus_check(f, "a clear", gpu_submit(f, 1, gl_stream_data(s), gl_stream_count(s)), OK_NODATA);
    if (vulkan()) {
        venus_check(f, "a Vulkan context", gpu_context_create(f, 2, VENUS), OK_NODATA);
        vulkan_device(f, 2);
        vulkan_queue(f, 2);
        vulkan_memory(f, 2, 100, MIB);
        vulkan_image(f, 2, 101, 100, 37 /* R8G8B8A8_UNORM */, 64);
        venus_check(f, "an answer", gpu_blob_host(f, 2, 2, PAGE), OK_NODATA); /* so all was done */
    }
}

/* A file in the /tmp that a process sees; to free. */
static char *in_tmp(pid_t pid, const char *name)
{
    return g_strdup_printf("/proc/%d/root/tmp/%s", (int)pid, name);
}

/* Names in a folder, but for the mark; -1: it cannot be read. */
static int count_files(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    int n = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_equal(name, MARK)) {
            g_test_message("%s has %s", path, name);
            n++;
        }
    }
    return dir ? n : -1;
}

static bool is_told(pid_t pid, const char *variable)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/environ", (int)pid), *text = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &text, &length, NULL)) {
        return false;
    }
    for (const char *v = text; v < text + length; v += strlen(v) + 1) {
        if (g_str_equal(v, variable)) {
            return true;
        }
    }
    return false;
}

/* The process and all below it.  How many they are. */
static unsigned expect_no_cache(pid_t pid)
{
    g_autofree char *tmp = in_tmp(pid, "");
    g_autoptr(GArray) below = proc_children(pid);
    unsigned n = 1;

    g_assert_cmpint(count_files(tmp), ==, 0);
    for (unsigned i = 0; i < below->len; i++) {
        g_assert_true(is_told(g_array_index(below, pid_t, i), "MESA_SHADER_CACHE_DISABLE=true"));
        n += expect_no_cache(g_array_index(below, pid_t, i));
    }
    return n;
}

/* Root of the host may look into the box; another user may not, and then there is nothing to see. */
static bool cannot_look(pid_t pid)
{
    g_autofree char *tmp = in_tmp(pid, "");

    if (g_strcmp0(g_getenv("VGPU_TEST_RENDERER_ARGS"), "--no-sandbox") == 0) {
        g_test_skip("run without its sandbox");
        return true;
    }
    if (g_access(tmp, R_OK | W_OK) == 0) {
        return false;
    }
    g_test_skip("this user may not look into a renderer's box");
    return true;
}

static void test_none(void)
{
    static const char *const kinds[] = {
        "virgl",
        "virgl\nenvironment = "
        "MESA_SHADER_CACHE_DISABLE=false;MESA_SHADER_CACHE_DIR=/tmp/cache;XDG_CACHE_HOME=/tmp/x",
    };

    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(Vgpud) d = vgpud_new(kinds[k], NULL);
        pid_t pid[2] = { 0 };
        Frontend *f[2];
        int fd[2];

        for (unsigned i = 0; i < 2; i++) {
            f[i] = attach_vm(d, "quarter", i ? "b" : "a", i + 1, &fd[i]);
            pid[i] = vgpud_renderer_pid(d, i ? "b" : "a");
            work(f[i]);
        }
        for (unsigned i = 0; i < 2; i++) {
            if (!cannot_look(pid[i])) {
                g_assert_cmpuint(expect_no_cache(pid[i]), ==, vulkan() ? 3 : 1);
            }
            frontend_free(f[i]);
            close(fd[i]);
        }
        g_assert_cmpint(count_files(home), ==, 0);
    }
}

static void put_mark(pid_t pid)
{
    g_autofree char *path = in_tmp(pid, MARK);

    g_assert_true(g_file_set_contents(path, "compiled", -1, NULL));
}

static bool has_mark(pid_t pid)
{
    g_autofree char *path = in_tmp(pid, MARK);

    return g_access(path, F_OK) == 0;
}

/* Each has its own: what was put into the one is in the other one's not, nor in the host's. */
static void test_private(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    g_autofree char *tmp = NULL;
    struct stat box, host;
    Frontend *f[2];
    pid_t pid[2];
    int fd[2];

    for (unsigned i = 0; i < 2; i++) {
        f[i] = attach_vm(d, "quarter", i ? "b" : "a", i + 1, &fd[i]);
        pid[i] = vgpud_renderer_pid(d, i ? "b" : "a");
    }
    if (!cannot_look(pid[0])) {
        put_mark(pid[0]);
        g_assert_true(has_mark(pid[0]));
        g_assert_false(has_mark(pid[1]));
        g_assert_cmpint(g_access("/tmp/" MARK, F_OK), <, 0);
        tmp = in_tmp(pid[0], "");
        g_assert_cmpint(stat(tmp, &box), ==, 0);
        g_assert_cmpint(stat("/tmp", &host), ==, 0);
        g_assert_true(box.st_dev != host.st_dev); /* a tmpfs: nothing of it is on a disk */
    }
    for (unsigned i = 0; i < 2; i++) {
        frontend_free(f[i]);
        close(fd[i]);
    }
}

enum { LEFT, RENDERER_KILLED, VGPUD_KILLED };

/* The same VM comes again, and finds nothing of before. */
static void test_wiped(gconstpointer how)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;
    int fd, end = GPOINTER_TO_INT(how);
    Frontend *f = attach_vm(d, "quarter", "a", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "a");

    if (cannot_look(pid)) {
        frontend_free(f);
        close(fd);
        return;
    }
    put_mark(pid);
    if (end == VGPUD_KILLED) {
        vgpud_end(d, SIGKILL);
    } else if (end == RENDERER_KILLED) {
        kill(pid, SIGKILL);
        f->exit_unchecked = f->dead = true;
    }
    frontend_free(f);
    close(fd);
    while (proc_alive(pid) && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
    }
    g_assert_false(proc_alive(pid));
    if (end == VGPUD_KILLED) {
        g_assert_true(vgpud_run(d));
    }
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    f = attach_vm(d, "quarter", "a", 1, &fd);
    pid = vgpud_renderer_pid(d, "a");
    g_assert_false(has_mark(pid));
    put_mark(pid); /* it could be seen */
    g_assert_true(has_mark(pid));
    g_assert_cmpint(g_access("/tmp/" MARK, F_OK), <, 0);
    frontend_free(f);
    close(fd);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    home = g_dir_make_tmp("vgpu-home-XXXXXX", NULL);
    g_chmod(home, 0777); /* whoever wants to leave something there */
    g_setenv("HOME", home, TRUE);
    g_setenv("XDG_CACHE_HOME", home, TRUE);
    g_setenv("MESA_SHADER_CACHE_DIR", home, TRUE);
    g_test_add_func("/caches/none", test_none);
    g_test_add_func("/caches/private", test_private);
    g_test_add_data_func("/caches/wiped/left", GINT_TO_POINTER(LEFT), test_wiped);
    g_test_add_data_func("/caches/wiped/renderer-killed", GINT_TO_POINTER(RENDERER_KILLED), test_wiped);
    g_test_add_data_func("/caches/wiped/vgpud-killed", GINT_TO_POINTER(VGPUD_KILLED), test_wiped);
    status = g_test_run();
    g_rmdir(home);
    g_free(home);
    return status;
}
