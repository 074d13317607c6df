/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the virtio-gpu qtests.
 *
 *   QTEST_QEMU_BINARY=qemu-system-x86_64 ./vgpu-test --tap [--verbose] [-l] [-j N] [-p PREFIX]...
 *
 * This process is only the conductor: it starts itself once per test, with a
 * time limit and an XDG_RUNTIME_DIR of its own, two at a time, and prints TAP.
 * So a test that crashes, hangs or kills its QEMU costs one "not ok" line.
 * What a test leaves running (vgpud, renderers) is ended with it.
 *
 * Paths: /vgpu/GROUP/BEHAVIOUR for our device, /vgpu-2d/... for it with the 2D
 * renderer, /vgpu-null/... with the null one, /virtio-gpu/... for QEMU's.
 */
#include "qemu/osdep.h"
#include <sys/prctl.h>
#include <sys/wait.h>
#include "vgpu-cases.h"
#include "vgpu-process.h"

#define CASE_TIMEOUT_S 90
#define CHILD_ENV      "VGPU_QTEST_CASE"

typedef struct Target {
    const char *prefix;
    const char *driver;
    bool ours;
    const char *config; /* vgpud.conf, or NULL */
    bool plain_only;    /* only what needs no 3D and starts no VM of its own */
    bool null;          /* runs what asks for the null renderer, and nothing else */
} Target;

static const Target targets[] = {
    { "virtio-gpu", "virtio-gpu-pci", false },
    { "vgpu", "vgpu-pci", true },
    { "vgpu-2d", "vgpu-pci", true, "[renderer]\nkind=2d\n", true },
    { "vgpu-null", "vgpu-pci", true, "[renderer]\nkind=null\n", false, true },
};

static const GpuCase *const groups[] = {
    cases_negotiation, cases_config,  cases_2d,     cases_2d_invalid, cases_cursor,     cases_fences,
    cases_interrupts,  cases_console, cases_chains, cases_sizes,      cases_blob,       cases_3d,
    cases_3d_invalid,  cases_memory,  cases_quota,  cases_startup,    cases_lifecycle,  cases_hotplug,
    cases_control,     cases_trace,   cases_window, cases_hostile,    cases_running,    cases_stats,
    cases_loss,        cases_submit,  cases_revive, cases_migrate,    cases_migrate_no,
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
    device = g_strdup_printf("%s,id=gpu0%s%s", target->driver, c->props ? "," : "", c->props ?: "");
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
    if (t->null != !!(c->flags & CASE_NULL)) {
        return false;
    }
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

typedef struct Job {
    char *path;
    const char *why; /* not run on this target, or NULL */
    char *dir;       /* its runtime folder, while it runs */
    pid_t pid;       /* of its keeper */
    bool done, ok;
    char *output;
} Job;

/*
 * The keeper of one test: a process between us and the test that inherits what
 * the test leaves behind, here vgpud and renderers, and ends it.
 */
static void G_NORETURN keep(const char *self, const Job *job)
{
    int64_t end = g_get_monotonic_time() + CASE_TIMEOUT_S * G_USEC_PER_SEC;
    g_autofree char *log = g_build_filename(job->dir, "output", NULL);
    int status = 0, fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);
    pid_t pid, done;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(fd, 1);
    dup2(fd, 2);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("XDG_RUNTIME_DIR", job->dir, 1);
        setenv("TMPDIR", job->dir, 1);
        setenv(CHILD_ENV, job->path, 1);
        execl(self, self, "--tap", "-k", NULL);
        _exit(127);
    }
    while ((done = waitpid(pid, &status, WNOHANG)) == 0) {
        if (g_get_monotonic_time() > end) {
            dprintf(2, "killed after %d s\n", CASE_TIMEOUT_S);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        g_usleep(5000);
    }
    process_kill_orphans();
    _exit(done == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void job_start(const char *self, Job *job)
{
    job->dir = g_strdup_printf("%s/vq-XXXXXX", g_get_tmp_dir());
    g_assert_nonnull(g_mkdtemp_full(job->dir, 0700));
    fflush(NULL);
    job->pid = fork();
    if (job->pid == 0) {
        keep(self, job);
    }
}

static void job_end(Job *job, int status)
{
    g_autofree char *log = g_build_filename(job->dir, "output", NULL);

    job->ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    job->done = true;
    g_file_get_contents(log, &job->output, NULL, NULL);
    process_remove_tree(job->dir);
    g_clear_pointer(&job->dir, g_free);
}

static void job_free(gpointer opaque)
{
    Job *job = opaque;

    g_free(job->path);
    g_free(job->output);
    g_free(job);
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

static GPtrArray *jobs_of(char **prefixes, unsigned n)
{
    GPtrArray *jobs = g_ptr_array_new_with_free_func(job_free);
    const GpuCase *c;
    unsigned t, i;

    for (i = 0; i < G_N_ELEMENTS(groups); i++) {
        for (t = 0; t < G_N_ELEMENTS(targets); t++) {
            for (c = groups[i]; c->name; c++) {
                g_autofree char *p = g_strdup_printf("/%s/%s", targets[t].prefix, c->name);

                if (applies(&targets[t], c) && selected(p, prefixes, n)) {
                    Job *job = g_new0(Job, 1);

                    job->path = g_steal_pointer(&p);
                    job->why = targets[t].ours ? NULL : difference_skip(c->name);
                    job->done = job->ok = job->why != NULL;
                    g_ptr_array_add(jobs, job);
                }
            }
        }
    }
    return jobs;
}

static void print_job(unsigned number, const Job *job, bool verbose)
{
    if (job->why) {
        printf("ok %u %s # SKIP %s\n", number, job->path, job->why);
    } else {
        printf("%sok %u %s%s\n", job->ok ? "" : "not ", number, job->path,
               job->ok && skipped(job->output) ? " # SKIP" : "");
        if (!job->ok || verbose) {
            print_diagnostics(job->output);
        }
    }
    fflush(stdout);
}

/* Up to parallel tests at once, printed in the order of the list. */
static int conduct(const char *self, GPtrArray *jobs, unsigned parallel, bool verbose)
{
    unsigned started = 0, running = 0, printed = 0, failed = 0, i;

    printf("TAP version 13\n1..%u\n", jobs->len);
    while (printed < jobs->len) {
        int status;
        pid_t pid;

        for (; started < jobs->len && running < parallel; started++) {
            Job *job = jobs->pdata[started];

            if (!job->done) {
                job_start(self, job);
                running++;
            }
        }
        if (running) {
            pid = waitpid(-1, &status, 0);
            for (i = 0; i < started; i++) {
                Job *job = jobs->pdata[i];

                if (!job->done && job->pid == pid) {
                    job_end(job, status);
                    running--;
                }
            }
        }
        while (printed < started && ((Job *)jobs->pdata[printed])->done) {
            Job *job = jobs->pdata[printed++];

            failed += !job->ok;
            print_job(printed, job, verbose);
        }
    }
    printf("# %u passed or skipped, %u failed\n", jobs->len - failed, failed);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    const char *one = getenv(CHILD_ENV);
    g_autoptr(GPtrArray) prefixes = g_ptr_array_new(), jobs = NULL;
    unsigned parallel = MIN(g_get_num_processors(), 2), j;
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
        } else if (g_str_equal(argv[i], "-j") && i + 1 < argc) {
            parallel = MAX(atoi(argv[++i]), 1);
        } else if (!g_str_equal(argv[i], "--tap") && !g_str_equal(argv[i], "-k")) {
            fprintf(stderr, "usage: %s [--tap] [--verbose] [-l] [-j N] [-p PREFIX]...\n", argv[0]);
            return 2;
        }
    }
    if (!list && !getenv("QTEST_QEMU_BINARY")) {
        fprintf(stderr, "QTEST_QEMU_BINARY is not set: name the qemu-system-x86_64 to test\n");
        return 2;
    }
    jobs = jobs_of((char **)prefixes->pdata, prefixes->len);
    for (j = 0; list && j < jobs->len; j++) {
        puts(((Job *)jobs->pdata[j])->path);
    }
    return list ? 0 : conduct(self, jobs, parallel, verbose);
}
