/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the virtio-gpu qtests.
 *
 *   QTEST_QEMU_BINARY=qemu-system-x86_64 ./vgpu-test --tap [-l] [-p PREFIX]...
 *
 * Without -p of a single test this process is only the conductor: it starts
 * itself once per test, with a time limit and an XDG_RUNTIME_DIR of its own,
 * and prints TAP.  So a test that crashes, hangs or kills its QEMU costs one
 * "not ok" line.  What a test leaves running (vgpud, renderers) is our child
 * by PR_SET_CHILD_SUBREAPER and is killed before the next.
 *
 * Paths: /vgpu/GROUP/BEHAVIOUR for our device, /vgpu-2d/... for it with the 2D
 * renderer, /virtio-gpu/... for QEMU's.
 */
#include "qemu/osdep.h"
#include <sys/prctl.h>
#include <sys/wait.h>
#include "vgpu-cases.h"
#include "vgpu-process.h"

#define CASE_TIMEOUT_S  90
#define CHILD_ENV       "VGPU_QTEST_CASE"

typedef struct Target {
    const char *prefix;
    const char *driver;
    bool ours;
    const char *config;   /* vgpud.conf, or NULL */
    bool plain_only;      /* only what needs no 3D and starts no VM of its own */
} Target;

static const Target targets[] = {
    { "virtio-gpu", "virtio-gpu-pci", false },
    { "vgpu", "vgpu-pci", true },
    { "vgpu-2d", "vgpu-pci", true, "[renderer]\nkind=2d\n", true },
};

static const GpuCase *const groups[] = {
    cases_negotiation, cases_config, cases_2d, cases_2d_invalid, cases_cursor, cases_fences,
    cases_interrupts, cases_console, cases_chains, cases_sizes, cases_blob, cases_3d,
    cases_3d_invalid, cases_memory, cases_quota, cases_startup, cases_lifecycle, cases_hotplug,
};

static const Target *target;

bool current_target_is_ours(void)
{
    return target->ours;
}

const char *current_driver(void)
{
    return target->driver;
}

void target_configure(const char *text)
{
    g_autofree char *dir = g_build_filename(getenv("XDG_RUNTIME_DIR"), "config", NULL);
    g_autofree char *file = g_build_filename(dir, "vgpud.conf", NULL);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    g_setenv("VGPU_CONFIG", dir, true);
}

static void run_case(const GpuCase *c)
{
    g_autofree char *device = NULL;
    g_autoptr(GArray) before = NULL;
    GpuVm *vm;
    Gpu *g;

    difference_begin(c->name);
    if (target->config) {
        target_configure(target->config);
    }
    if (c->flags & CASE_RAW) {
        c->run(NULL);
        return;
    }
    device = g_strdup_printf("%s,id=gpu0%s%s", target->driver, c->props ? "," : "",
                             c->props ?: "");
    vm = vm_start(device, NULL);
    g = gpu_find(vm, "gpu0", 0);
    gpu_init(g, UINT64_MAX);
    if (target->ours) {
        before = process_renderers(vm->name);
        g_assert_cmpuint(before->len, >, 0);
    }
    if ((c->flags & CASE_VIRGL) && !gpu_has(g, VIRTIO_GPU_F_VIRGL)) {
        g_test_message("the device offers no VIRGL: this host's renderer fell back to 2D");
        g_test_fail();
    } else {
        c->run(g);
    }
    if (!(c->flags & CASE_NO_EPILOGUE)) {
        gpu_assert_alive(g);
        if (target->ours) {
            process_assert_same(vm->name, before);
        } else {
            difference_end();
        }
    }
    gpu_free(g);
    vm_stop(vm);
}

static bool applies(const Target *t, const GpuCase *c)
{
    if (t->plain_only && (c->flags & (CASE_OURS | CASE_VIRGL | CASE_RAW))) {
        return false;
    }
    return t->ours || !(c->flags & (CASE_OURS | CASE_VIRGL));
}

/* --- one test, in its own process --- */

static int run_one(const char *path)
{
    unsigned t, i;
    const GpuCase *c;

    for (t = 0; t < G_N_ELEMENTS(targets); t++) {
        for (i = 0; i < G_N_ELEMENTS(groups); i++) {
            for (c = groups[i]; c->name; c++) {
                g_autofree char *p = g_strdup_printf("/%s/%s", targets[t].prefix, c->name);

                if (g_str_equal(p, path)) {
                    target = &targets[t];
                    g_test_add_data_func(p, c, (GTestDataFunc)run_case);
                    return g_test_run();
                }
            }
        }
    }
    fprintf(stderr, "no test is called %s\n", path);
    return 1;
}

/* --- the conductor --- */

static char *run_child(const char *self, const char *path, bool *ok)
{
    g_autofree char *dir = g_strdup_printf("%s/vq-XXXXXX", g_get_tmp_dir());
    g_autofree char *log = NULL;
    char *output = NULL;
    int64_t end = g_get_monotonic_time() + CASE_TIMEOUT_S * G_USEC_PER_SEC;
    int status = 0;
    pid_t pid, done;

    g_assert_nonnull(g_mkdtemp_full(dir, 0700));
    log = g_build_filename(dir, "output", NULL);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);

        dup2(fd, 1);
        dup2(fd, 2);
        setenv("XDG_RUNTIME_DIR", dir, 1);
        setenv("TMPDIR", dir, 1);
        setenv(CHILD_ENV, path, 1);
        execl(self, self, "--tap", "-k", NULL);
        _exit(127);
    }
    while ((done = waitpid(pid, &status, WNOHANG)) == 0) {
        if (g_get_monotonic_time() > end) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            done = -1;
            break;
        }
        g_usleep(5000);
    }
    *ok = done == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    process_kill_orphans();
    g_file_get_contents(log, &output, NULL, NULL);
    if (done == -1) {
        char *more = g_strdup_printf("%s\nkilled after %d s\n", output ?: "", CASE_TIMEOUT_S);

        g_free(output);
        output = more;
    }
    process_remove_tree(dir);
    return output;
}

static bool skipped(const char *output)
{
    return output && strstr(output, " # SKIP");
}

static void print_diagnostics(const char *output)
{
    g_auto(GStrv) lines = g_strsplit(output ?: "", "\n", -1);
    char **l;

    for (l = lines; *l; l++) {
        if (**l) {
            printf("%s%s\n", **l == '#' ? "" : "# ", *l);
        }
    }
}

static bool selected(const char *path, char **prefixes, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (g_str_has_prefix(path, prefixes[i])) {
            return true;
        }
    }
    return n == 0;
}

static int conduct(const char *self, char **prefixes, unsigned n, bool list, bool verbose)
{
    unsigned t, i, number = 0, failed = 0;
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    const GpuCase *c;

    for (i = 0; i < G_N_ELEMENTS(groups); i++) {
        for (t = 0; t < G_N_ELEMENTS(targets); t++) {
            for (c = groups[i]; c->name; c++) {
                g_autofree char *p = g_strdup_printf("/%s/%s", targets[t].prefix, c->name);

                if (applies(&targets[t], c) && selected(p, prefixes, n)) {
                    g_ptr_array_add(paths, g_steal_pointer(&p));
                }
            }
        }
    }
    if (list) {
        for (i = 0; i < paths->len; i++) {
            puts(paths->pdata[i]);
        }
        return 0;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    printf("TAP version 13\n1..%u\n", paths->len);
    for (i = 0; i < paths->len; i++) {
        const char *path = paths->pdata[i], *name = strchr(path + 1, '/') + 1;
        const char *why = g_str_has_prefix(path, "/virtio-gpu/") ? difference_skip(name) : NULL;
        g_autofree char *output = NULL;
        bool ok = true;

        number++;
        if (why) {
            printf("ok %u %s # SKIP %s\n", number, path, why);
        } else {
            output = run_child(self, path, &ok);
            failed += !ok;
            printf("%sok %u %s%s\n", ok ? "" : "not ", number, path,
                   ok && skipped(output) ? " # SKIP" : "");
            if (!ok || verbose) {
                print_diagnostics(output);
            }
        }
        fflush(stdout);
    }
    printf("# %u passed or skipped, %u failed\n", number - failed, failed);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    const char *one = getenv(CHILD_ENV);
    g_autoptr(GPtrArray) prefixes = g_ptr_array_new();
    bool list = false, verbose = false;
    int i;

    if (one) {
        g_autofree char *path = g_strdup(one);

        unsetenv(CHILD_ENV);
        g_test_init(&argc, &argv, NULL);
        return run_one(path);
    }
    for (i = 1; i < argc; i++) {
        if (g_str_equal(argv[i], "-l")) {
            list = true;
        } else if (g_str_equal(argv[i], "--verbose")) {
            verbose = true;
        } else if (g_str_equal(argv[i], "-p") && i + 1 < argc) {
            g_ptr_array_add(prefixes, argv[++i]);
        } else if (!g_str_equal(argv[i], "--tap") && !g_str_equal(argv[i], "-k")) {
            fprintf(stderr, "usage: %s [--tap] [--verbose] [-l] [-p PREFIX]...\n", argv[0]);
            return 2;
        }
    }
    if (!list && !getenv("QTEST_QEMU_BINARY")) {
        fprintf(stderr, "QTEST_QEMU_BINARY is not set: name the qemu-system-x86_64 to test\n");
        return 2;
    }
    return conduct(self, (char **)prefixes->pdata, prefixes->len, list, verbose);
}
