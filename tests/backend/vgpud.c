/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vgpud of the test's own, and vgpuctl to ask it. */
#include "attach.h"
#include "http.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

Vgpud *vgpud_new(const char *kind, const char *conf)
{
    Vgpud *d = g_new0(Vgpud, 1);
    g_autofree char *text = NULL, *file = NULL;
    /* under a sanitizer renderers run without their sandbox: see meson.build */
    const char *args = g_getenv("VGPU_TEST_RENDERER_ARGS");
    bool open_box = args && strstr(args, "--no-sandbox");

    d->folder = g_dir_make_tmp("vgpud-test-XXXXXX", NULL);
    d->socket = g_build_filename(d->folder, "vgpud.sock", NULL);
    d->config = g_build_filename(d->folder, "etc", NULL);
    d->log_fd = memfd_create("vgpud-log", MFD_CLOEXEC);
    fcntl(d->log_fd, F_SETFL, O_APPEND);
    g_mkdir(d->config, 0700);
    file = g_build_filename(d->config, "vgpud.conf", NULL);
    text =
        g_strdup_printf("[renderer]\nkind = %s\n[gpu software0]\nmemory = 1G\n[vgpud]\ngpus = software\n%s%s",
                        kind, open_box ? "sandbox = off\n" : "", conf ? conf : "");
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    vgpud_run(d);
    return d;
}

static void child_setup(gpointer unused)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

bool vgpud_run(Vgpud *d)
{
    g_autofree char *socket = g_strdup_printf("--socket=%s", d->socket);
    g_autofree char *config = g_strdup_printf("--config=%s", d->config);
    const char *argv[] = { g_getenv("VGPUD"), socket, config, d->argument, NULL };
    g_autoptr(GError) error = NULL;
    int64_t end = g_get_monotonic_time() + ATTACH_DEADLINE * 1000ll;
    int fd = -1;

    g_assert_nonnull(argv[0]);
    if (!g_spawn_async_with_pipes_and_fds(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, child_setup, NULL, -1,
                                          d->log_fd, d->log_fd, NULL, NULL, 0, &d->pid, NULL, NULL, NULL,
                                          &error)) {
        g_test_fail_printf("vgpud does not start: %s", error->message);
        return false;
    }
    while ((fd = attach_connect(d)) < 0 && g_get_monotonic_time() < end) {
        g_usleep(10000);
    }
    if (fd < 0) {
        g_test_fail_printf("vgpud does not listen on %s", d->socket);
        return false;
    }
    close(fd);
    /*
     * It opens its other socket a moment later, and only who is answered knows that it
     * serves: what a killed vgpud was about to start has that one's socket until it is
     * executed, and takes connections to nobody.
     */
    while (g_get_monotonic_time() < end) {
        fd = http_connect(d);
        if (fd >= 0) {
            g_autoptr(HttpReply) r = NULL;

            http_send(fd, "GET /v1/gpus HTTP/1.0\r\n\r\n", 25);
            r = http_read(fd);
            close(fd);
            if (r && r->status == 200) {
                return true;
            }
        }
        g_usleep(10000);
    }
    g_test_fail_printf("vgpud does not serve its API beside %s", d->socket);
    return false;
}

void vgpud_end(Vgpud *d, int sig)
{
    int64_t deadline = g_get_monotonic_time() + ATTACH_DEADLINE * 1000ll;
    int status = 0;
    pid_t got;

    if (!d->pid) {
        return;
    }
    kill(d->pid, sig);
    while (!(got = waitpid(d->pid, &status, WNOHANG)) && g_get_monotonic_time() < deadline) {
        g_usleep(5000);
    }
    if (!got) {
        g_test_fail_printf("vgpud did not end after signal %d", sig);
        kill(d->pid, SIGKILL);
        waitpid(d->pid, &status, 0);
    } else if (sig == SIGTERM && status != 0) {
        g_test_fail_printf("vgpud ended with status 0x%x", status);
    }
    d->pid = 0;
}

void vgpud_free(Vgpud *d)
{
    if (!d) {
        return;
    }
    vgpud_end(d, SIGTERM);
    if (g_test_failed()) {
        off_t size = lseek(d->log_fd, 0, SEEK_END);
        g_autofree char *log = g_malloc0(size + 1);

        if (pread(d->log_fd, log, size, 0) >= 0) {
            g_test_message("vgpud's log:\n%s", log);
        }
    }
    close(d->log_fd);
    {
        g_autofree char *command = g_strdup_printf("rm -rf -- '%s'", d->folder);

        g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    }
    g_free(d->folder);
    g_free(d->socket);
    g_free(d->config);
    g_free(d);
}

JsonNode *vgpud_ask(Vgpud *d, const char *what)
{
    g_autofree char *socket = g_strdup_printf("--socket=%s", d->socket);
    char *argv[] = { (char *)g_getenv("VGPUCTL"), socket, (char *)what, (char *)"--json", NULL };
    g_autofree char *out = NULL, *err = NULL;
    g_autoptr(GError) error = NULL;
    JsonNode *root;
    int status = -1;

    if (!g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, &err, &status, &error) || status != 0) {
        g_test_fail_printf("vgpuctl %s: status %d, %s", what, status, error ? error->message : err);
        return NULL;
    }
    root = json_from_string(out, &error);
    if (!root || !JSON_NODE_HOLDS_ARRAY(root)) {
        g_test_fail_printf("vgpuctl %s --json prints no array: %s", what, out);
        g_clear_pointer(&root, json_node_unref);
    }
    return root;
}

JsonObject *vgpud_vm(JsonNode *list, const char *name)
{
    JsonArray *a = list ? json_node_get_array(list) : NULL;

    for (unsigned i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *o = json_array_get_object_element(a, i);

        if (!g_strcmp0(json_object_get_string_member_with_default(o, "vm", ""), name)) {
            return o;
        }
    }
    return NULL;
}

bool vgpud_wait_vms(Vgpud *d, unsigned count, int timeout)
{
    int64_t end = g_get_monotonic_time() + timeout * 1000ll;
    unsigned is = 0;

    do {
        g_autoptr(JsonNode) list = vgpud_ask(d, "list");

        if (!list) {
            return false;
        }
        is = json_array_get_length(json_node_get_array(list));
        if (is == count) {
            return true;
        }
        g_usleep(50000);
    } while (g_get_monotonic_time() < end);
    g_test_message("%u VMs are listed, not %u", is, count);
    return false;
}

char *vgpud_state(Vgpud *d, const char *name)
{
    g_autoptr(JsonNode) list = vgpud_ask(d, "list");
    JsonObject *vm = vgpud_vm(list, name);

    return g_strdup(vm ? json_object_get_string_member_with_default(vm, "state", "") : "");
}

pid_t vgpud_renderer_pid(Vgpud *d, const char *name)
{
    g_autoptr(JsonNode) list = vgpud_ask(d, "list");
    JsonObject *vm = vgpud_vm(list, name);

    return vm ? json_object_get_int_member_with_default(vm, "pid", 0) : 0;
}
