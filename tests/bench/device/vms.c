/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VM costs the host beside how many others: fake front-ends on null
 * renderers of a vgpud of its own.
 *
 *   bench-device-vms attach N      with N - 1 others there, one comes and goes
 *   bench-device-vms handover N    of N, two always have work
 *
 * attach_N      ms from the connection to vgpud to GET_DISPLAY_INFO answered
 * vgpud_N       us of vgpud's CPU time for one that comes and goes
 * idle_vgpud_N  us of vgpud's CPU time a second and VM, while nobody does anything
 * memory_N      MiB a VM: written pages of all that vgpud started and of itself, over
 *               those without a VM.  (Code is one copy, however many there are.)
 * handover_N    us from one VM's turn to the other's: the time that was nobody's by the
 *               number of turns; the renderers play a GPU (--null-submit-us, in device.py)
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "gpu_cmd.h"
#include "load.h"
#include "proc.h"
#include "../../qtest/bench-figures.h"

#define MOST       100
#define CYCLES     20
#define IDLE_S     4
#define HANDOVER_S 4

typedef struct Vm {
    Frontend *f;
    int fd;
} Vm;

/* A profile of which a hundred fit, and a GPU that they fit into. */
static bool make_room(Vgpud *d)
{
    g_autofree char *folder = g_build_filename(d->config, "profiles.d", NULL);
    g_autofree char *profile = g_build_filename(folder, "cell.conf", NULL);
    g_autofree char *conf = g_build_filename(d->config, "vgpud.conf", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GString) larger = NULL;

    vgpud_end(d, SIGTERM);
    g_mkdir(folder, 0700);
    if (!g_file_get_contents(conf, &text, NULL, NULL)) {
        return false;
    }
    larger = g_string_new(text);
    return g_string_replace(larger, "memory = 1G", "memory = 4G", 1) == 1 &&
           g_file_set_contents(conf, larger->str, -1, NULL) &&
           g_file_set_contents(profile, "[cell]\nmemory=16M\nshare=1%\ncpus=all\n", -1, NULL) && vgpud_run(d);
}

static void figure(const char *name, unsigned n, const char *unit, double value, unsigned samples)
{
    g_autofree char *full = g_strdup_printf("%s_%u", name, n);

    bench_figure(full, unit, value, samples);
}

static bool come(Vm *v, Vgpud *d, unsigned number)
{
    g_autofree char *name = g_strdup_printf("vm%u", number);
    struct virtio_gpu_resp_display_info info;

    v->f = attach_vm(d, "cell", name, number, &v->fd);
    return v->f && gpu_display_info(v->f, &info) == VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

static void go(Vm *v)
{
    g_clear_pointer(&v->f, frontend_free);
    close(v->fd);
}

/* Until vgpud has so many renderers; to ask vgpud itself would cost it time. */
static bool wait_renderers(Vgpud *d, unsigned n)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;

    while (g_get_monotonic_time() < end) {
        g_autoptr(GArray) children = proc_children(d->pid);

        if (children->len == n) {
            return true;
        }
        g_usleep(2000);
    }
    return false;
}

static double cpu_us(pid_t pid)
{
    return (double)cpu_ns(pid) / 1000;
}

/* Written pages, its own or shared, of a process and all below it, KiB; a shared one divided. */
static double written_kib(pid_t pid)
{
    static const char *const kinds[] = { "\nPss_Anon:", "\nPss_Shmem:" };
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", (int)pid);
    g_autoptr(GArray) below = proc_children(pid);
    g_autofree char *text = NULL;
    double sum = 0;

    if (g_file_get_contents(path, &text, NULL, NULL)) {
        for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
            const char *line = strstr(text, kinds[i]);

            sum += line ? strtod(line + strlen(kinds[i]), NULL) : 0;
        }
    }
    for (guint i = 0; i < below->len; i++) {
        sum += written_kib(g_array_index(below, pid_t, i));
    }
    return sum;
}

static bool attach(Vgpud *d, unsigned n)
{
    int64_t took[CYCLES], start;
    Vm vms[MOST] = { 0 };
    double before, cpu;

    /* One has come and gone before anything is measured: vgpud has all that it keeps. */
    if (!come(&vms[0], d, 1)) {
        return false;
    }
    go(&vms[0]);
    if (!wait_renderers(d, 0)) {
        return false;
    }
    before = written_kib(d->pid);
    for (unsigned i = 0; i + 1 < n; i++) {
        if (!come(&vms[i], d, i + 1)) {
            return false;
        }
    }
    g_usleep(2 * G_USEC_PER_SEC); /* what vgpud looks at after a start has been looked at */
    cpu = cpu_us(d->pid);
    for (unsigned i = 0; i < CYCLES; i++) {
        start = bench_now_ns();
        if (!come(&vms[n - 1], d, n)) {
            return false;
        }
        took[i] = bench_now_ns() - start;
        if (i + 1 < CYCLES) {
            go(&vms[n - 1]);
            if (!wait_renderers(d, n - 1)) {
                return false;
            }
        }
    }
    figure("vgpud", n, "us", (cpu_us(d->pid) - cpu) / CYCLES, CYCLES);
    figure("attach", n, "ms", (double)bench_percentile(took, CYCLES, 50) / 1e6, CYCLES);
    g_usleep(G_USEC_PER_SEC);
    figure("memory", n, "MiB", (written_kib(d->pid) - before) / 1024 / n, n);
    cpu = cpu_us(d->pid);
    g_usleep(IDLE_S * G_USEC_PER_SEC);
    figure("idle_vgpud", n, "us", (cpu_us(d->pid) - cpu) / IDLE_S / n, 1);
    for (unsigned i = 0; i < n; i++) {
        go(&vms[i]);
    }
    return true;
}

/* Of all VMs */
static double sum_of(Vgpud *d, const char *figure)
{
    return (double)(vm_number(d, "busy0", figure) + vm_number(d, "busy1", figure));
}

static bool handover(Vgpud *d, unsigned n)
{
    Vm idle[MOST] = { 0 };
    Load busy[2] = { 0 };
    double used, turns, passed;
    int64_t start;

    for (unsigned i = 0; i + 2 < n; i++) {
        if (!come(&idle[i], d, i + 1)) {
            return false;
        }
    }
    if (!load_start(&busy[0], d, "cell", "busy0", MOST + 1, 1000) ||
        !load_start(&busy[1], d, "cell", "busy1", MOST + 2, 1000)) {
        return false;
    }
    pump(busy, 2, 1000);
    used = sum_of(d, "gpu_time_ns");
    turns = sum_of(d, "preemptions");
    start = bench_now_ns();
    pump(busy, 2, HANDOVER_S * 1000);
    used = sum_of(d, "gpu_time_ns") - used;
    passed = (double)(bench_now_ns() - start);
    turns = sum_of(d, "preemptions") - turns;
    figure("handover", n, "us", (passed - used) / MAX(turns, 1) / 1000, (unsigned)turns);
    load_end(&busy[0]);
    load_end(&busy[1]);
    for (unsigned i = 0; i + 2 < n; i++) {
        go(&idle[i]);
    }
    return true;
}

static unsigned how_many;

/* What the tests' front-end finds wrong is a failure of this run. */
static void run(const void *data)
{
    bool (*measure)(Vgpud *, unsigned) = *(bool (*const *)(Vgpud *, unsigned))data;
    g_autoptr(Vgpud) d = vgpud_new("null", "vms-per-user = 1000\nconnections-per-user = 1000\n");

    if (!make_room(d) || !measure(d, how_many)) {
        g_test_fail_printf("a VM did not come, or not go");
    }
}

int main(int argc, char **argv)
{
    static bool (*const measures[])(Vgpud *, unsigned) = { attach, handover };
    unsigned hands = argc == 3 && g_str_equal(argv[1], "handover");

    how_many = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (how_many < 1 + hands || how_many > MOST || (!hands && !g_str_equal(argv[1], "attach"))) {
        fprintf(stderr, "usage: bench-device-vms attach 1..%d | handover 2..%d\n", MOST, MOST);
        return 2;
    }
    argc = 1;
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_data_func("/vms", &measures[hands], run);
    return g_test_run();
}
