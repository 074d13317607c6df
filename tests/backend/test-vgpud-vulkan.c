/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vgpud does for Vulkan: which renderers are told of its layer, and what
 * their guests may use.  The renderer is the null one behind a script, which
 * takes what it is given and makes nothing of it.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "gpu_cmd.h"
#include "http.h"

static const char profiles[] =
    "[both]\nmemory=64M\n[gl]\nmemory=64M\napis=gl\n[vulkan]\nmemory=64M\napis=vulkan\n";

static char *folder, *layer, *wrapper;

/* A vgpud whose renderers are virgl's, as it believes. */
static Vgpud *new_vgpud(const char *kind)
{
    Vgpud *d = vgpud_new(kind, NULL);
    g_autofree char *sub = g_build_filename(d->config, "profiles.d", NULL);
    g_autofree char *file = g_build_filename(sub, "test.conf", NULL);

    vgpud_end(d, SIGTERM);
    g_mkdir(sub, 0700);
    g_assert_true(g_file_set_contents(file, profiles, -1, NULL));
    g_assert_true(vgpud_run(d));
    return d;
}

static void put(const char *name, const char *text, int mode)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);

    g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, mode, NULL));
}

static void take_away(const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);

    g_unlink(path);
}

static void give_layer(void)
{
    put("libVkLayer_vgpu.so", "so", 0644);
    put("VkLayer_vgpu.json", "{}", 0644);
}

/* Its renderer was told that option; NULL: none that begins so. */
static bool has_option(pid_t pid, const char *option)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid), *text = NULL;
    gsize length = 0;

    g_assert_true(g_file_get_contents(path, &text, &length, NULL));
    for (const char *arg = text; arg < text + length; arg += strlen(arg) + 1) {
        if (g_str_equal(arg, option)) {
            return true;
        }
    }
    return false;
}

static bool has_layer(pid_t pid)
{
    g_autofree char *option = g_strconcat("--vulkan-layer=", layer, NULL);

    return has_option(pid, option);
}

static void test_layer(void)
{
    g_autoptr(Vgpud) d = NULL;
    g_autofree char *log = NULL;
    Frontend *f[3];
    int fd[3];

    give_layer();
    d = new_vgpud("virgl");
    f[0] = attach_vm(d, "both", "both", 1, &fd[0]);
    f[1] = attach_vm(d, "gl", "gl", 2, &fd[1]);
    f[2] = attach_vm(d, "vulkan", "vulkan", 3, &fd[2]);
    g_assert_true(has_option(vgpud_renderer_pid(d, "both"), "--apis=gl,vulkan"));
    g_assert_true(has_layer(vgpud_renderer_pid(d, "both")));
    g_assert_true(has_option(vgpud_renderer_pid(d, "gl"), "--apis=gl"));
    g_assert_false(has_layer(vgpud_renderer_pid(d, "gl")));
    g_assert_true(has_option(vgpud_renderer_pid(d, "vulkan"), "--apis=vulkan"));
    g_assert_true(has_layer(vgpud_renderer_pid(d, "vulkan")));
    for (unsigned i = 0; i < 3; i++) {
        frontend_free(f[i]);
        close(fd[i]);
    }
    log = http_log(d);
    g_assert_null(strstr(log, "have no Vulkan"));
}

/* 2D is 2D, and after a restart of its VM's renderer too. */
static void test_no_3d(void)
{
    g_autoptr(Vgpud) d = NULL;
    Frontend *f;
    int fd;

    give_layer();
    d = new_vgpud("2d");
    f = attach_vm(d, "both", "a", 1, &fd);
    g_assert_true(has_option(vgpud_renderer_pid(d, "a"), "--apis=gl,vulkan"));
    g_assert_false(has_layer(vgpud_renderer_pid(d, "a")));
    frontend_free(f);
    close(fd);
}

/* Without it guests have OpenGL, and the log says so and what is missing, once. */
static void test_no_layer(void)
{
    static const char *const missing[] = { "libVkLayer_vgpu.so", "VkLayer_vgpu.json" };

    for (unsigned i = 0; i < G_N_ELEMENTS(missing); i++) {
        g_autoptr(Vgpud) d = NULL;
        g_autofree char *log = NULL;
        const char *said;
        Frontend *f[2];
        int fd[2];

        give_layer();
        take_away(missing[i]);
        d = new_vgpud("virgl");
        vgpud_end(d, SIGTERM);
        g_assert_cmpint(ftruncate(d->log_fd, 0), ==, 0); /* new_vgpud starts it twice */
        g_assert_true(vgpud_run(d));
        for (unsigned k = 0; k < 2; k++) {
            g_autofree char *name = g_strdup_printf("vm%u", k);

            f[k] = attach_vm(d, "both", name, k + 1, &fd[k]);
            g_assert_false(has_layer(vgpud_renderer_pid(d, name)));
        }
        for (unsigned k = 0; k < 2; k++) {
            frontend_free(f[k]);
            close(fd[k]);
        }
        log = http_log(d);
        said = strstr(log, "guests have no Vulkan: ");
        g_assert_nonnull(said);
        g_assert_nonnull(strstr(said, missing[i]));
        g_assert_null(strstr(said + 1, "guests have no Vulkan: "));
    }
}

/* What its next renderer is told follows the VM's profile, also after a restart of vgpud. */
static void test_changed_profile(void)
{
    struct vgpu_attach_request r = attach_request("both", "a", 1);
    FrontendOptions o = { .ram = 32ull << 20 };
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(HttpReply) reply = NULL;
    FrontendFds fds;
    AttachPacket p;
    Frontend *f;
    int fd;

    give_layer();
    d = new_vgpud("virgl");
    f = attach_vm(d, "both", "a", 1, &fd);
    reply = http_ask(d, "PATCH", "/v1/vms/a", JSON_TYPE, "{\"profile\":\"gl\"}");
    g_assert_cmpuint(reply->status, ==, 200);
    g_assert_true(has_option(vgpud_renderer_pid(d, "a"), "--apis=gl,vulkan"));
    vgpud_end(d, SIGKILL);
    close(fd);
    g_assert_true(vgpud_run(d));
    fd = attach_connect(d);
    r.flags = VGPU_ATTACH_F_REJOIN;
    f->exit_unchecked = true;
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_receive(fd, &p, &fds, ATTACH_DEADLINE));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_ACCEPTED);
    f->dead = true;
    frontend_free(f);
    f = frontend_adopt(&o, &fds);
    g_assert_true(has_option(vgpud_renderer_pid(d, "a"), "--apis=gl"));
    g_assert_false(has_layer(vgpud_renderer_pid(d, "a")));
    frontend_free(f);
    close(fd);
}

int main(int argc, char **argv)
{
    g_autofree char *text = NULL;
    int status;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("vgpud-vulkan-XXXXXX", NULL);
    layer = g_build_filename(folder, "libVkLayer_vgpu.so", NULL);
    wrapper = g_build_filename(folder, "renderer", NULL);
    text = g_strdup_printf("#!/bin/bash\nexec '%s' \"$@\" --renderer=null\n", g_getenv("VGPU_RENDERER"));
    put("renderer", text, 0755);
    g_setenv("VGPU_RENDERER", wrapper, TRUE);
    g_setenv("VGPU_VULKAN_LAYER", layer, TRUE);
    g_setenv("VGPU_TEST_RENDERER_ARGS", "--no-sandbox", TRUE); /* no script runs in there */

    g_test_add_func("/vgpud/vulkan/layer", test_layer);
    g_test_add_func("/vgpud/vulkan/no-3d", test_no_3d);
    g_test_add_func("/vgpud/vulkan/no-layer", test_no_layer);
    g_test_add_func("/vgpud/vulkan/changed-profile", test_changed_profile);
    status = g_test_run();
    take_away("libVkLayer_vgpu.so");
    take_away("VkLayer_vgpu.json");
    take_away("renderer");
    g_rmdir(folder);
    g_free(folder);
    g_free(layer);
    g_free(wrapper);
    return status;
}
