/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPU time from end to end: a real vgpud, real null renderers that play a busy
 * GPU, and guests that always have work.  Bounds are those of a machine that
 * does other things too; the benchmark has the exact ones.
 */
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "gpu_cmd.h"
#include "http.h"
#include "qemu.h"

#define SOON      20000 /* ms */
#define MOST_VMS  4
#define IN_FLIGHT 16 /* so that this test may be late */

/* All of the host's CPUs, so that one VM at a time has the GPU. */
static const char profiles[] = "[even]\nmemory=64M\nshare=25%\ncpus=all\n"
                               "[tenth]\nmemory=64M\nshare=10%\ncpus=all\n"
                               "[rest]\nmemory=64M\nshare=90%\ncpus=all\n"
                               "[onecpu]\nmemory=64M\nshare=25%\ncpus=1\n"
                               "[brittle]\nmemory=64M\nshare=25%\ncpus=all\nhang-timeout=1s\n";

/* A guest that always has IN_FLIGHT submits queued, each of so many microseconds. */
typedef struct Load {
    Frontend *f;
    int fd;
    uint32_t us;
    Pending *p[IN_FLIGHT];
    uint64_t fence;
    uint64_t done_us; /* ever */
} Load;

static char *wrapper;

/*
 * Renderers whose submits cost what they say, for vgpud of kind "auto" those
 * with 3D; liars, strays, which lose their
 * lease, parents, which have a child that burns CPU time whatever they do, those
 * whose work a child does, and crowds are named so.
 */
static void make_wrapper(const char *how)
{
    g_autofree char *text = NULL;

    text = g_strdup_printf("#!/bin/bash\n"
                           "how=%s\n"
                           "for a; do shift; set -- \"$@\" \"${a/--renderer=auto/--renderer=null}\"; done\n"
                           "case \"$*\" in\n"
                           "*--vm-name=child*) how=child ;;\n"
                           "*--vm-name=liar*) set -- \"$@\" --null-lies ;;\n"
                           "*--vm-name=stray*)\n"
                           "    for a; do shift; [[ $a = --lease-* ]] || set -- \"$@\" \"$a\"; done\n"
                           "    exec 9>&- 10>&- 11>&- ;;\n"
                           "*--vm-name=parent*)\n"
                           "    (exec 3>&- 4>&- 5>&- 6>&- 9>&- 10>&- 11>&-\n"
                           "     while ((SECONDS < 60)); do :; done) & ;;\n"
                           "*--vm-name=crowd*)\n"
                           "    (exec 3>&- 4>&- 5>&- 6>&- 9>&- 10>&- 11>&-\n"
                           "     for ((i = 0; i < 300; i++)); do sleep 20 & done; wait) & ;;\n"
                           "esac\n"
                           "[[ \"$*\" = *--renderer=2d* ]] ||\n"
                           "    set -- --null-submit-us=-1 --null-submit-how=$how \"$@\"\n"
                           "exec '%s' \"$@\"\n",
                           how, g_getenv("VGPU_TEST_REAL_RENDERER"));
    g_assert_true(g_file_set_contents_full(wrapper, text, -1, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
}

static Vgpud *new_vgpud_of(const char *kind, const char *how, const char *conf)
{
    Vgpud *d;
    g_autofree char *folder = NULL, *file = NULL;

    make_wrapper(how);
    d = vgpud_new(kind, conf);
    vgpud_end(d, SIGTERM);
    folder = g_build_filename(d->config, "profiles.d", NULL);
    file = g_build_filename(folder, "test.conf", NULL);
    g_mkdir(folder, 0700);
    g_assert_true(g_file_set_contents(file, profiles, -1, NULL));
    g_assert_true(vgpud_run(d));
    return d;
}

static Vgpud *new_vgpud(const char *how, const char *conf)
{
    return new_vgpud_of("null", how, conf);
}

/* ---- guests ---- */

static bool load_start(Load *l, Vgpud *d, const char *profile, const char *name, unsigned number, uint32_t us)
{
    *l = (Load){ .fd = -1, .us = us };
    l->f = attach_vm(d, profile, name, number, &l->fd);
    return l->f && gpu_context_create(l->f, 1, 0) == OK_NODATA;
}

static void load_pump(Load *l)
{
    if (!l->f) {
        return;
    }
    frontend_collect(l->f, NULL);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        if (l->p[i] && l->p[i]->done) {
            g_clear_pointer(&l->p[i], pending_free);
            l->done_us += l->us;
        }
        if (!l->p[i]) {
            l->p[i] = gpu_submit_fenced(l->f, 1, &l->us, 1, ++l->fence);
        }
    }
}

static void pump(Load *l, unsigned count, unsigned ms)
{
    int64_t end = g_get_monotonic_time() + ms * 1000ll;

    while (g_get_monotonic_time() < end) {
        for (unsigned i = 0; i < count; i++) {
            load_pump(&l[i]);
        }
        g_usleep(200);
    }
}

static void load_end(Load *l)
{
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        if (l->p[i]) {
            frontend_wait(l->f, l->p[i], FRONTEND_COMMAND_DEADLINE);
            g_clear_pointer(&l->p[i], pending_free);
        }
    }
    g_clear_pointer(&l->f, frontend_free);
    if (l->fd >= 0) {
        close(l->fd);
    }
}

/*
 * Each should do its share of the work from now on, give or take, and does in
 * the end if time is divided as it should be.
 */
static void expect_shares(Load *l, unsigned count, const double *want, double tolerance)
{
    uint64_t before[MOST_VMS], sum;
    double share[MOST_VMS], worst;
    unsigned tries = 0;

    for (unsigned i = 0; i < count; i++) {
        before[i] = l[i].done_us;
    }
    pump(l, count, 300);
    do {
        pump(l, count, 300);
        sum = 0;
        worst = 0;
        for (unsigned i = 0; i < count; i++) {
            sum += l[i].done_us - before[i];
        }
        for (unsigned i = 0; i < count; i++) {
            share[i] = (double)(l[i].done_us - before[i]) / (double)MAX(sum, 1);
            worst = MAX(worst, ABS(share[i] / want[i] - 1));
        }
    } while (worst > tolerance && ++tries < 40);
    for (unsigned i = 0; i < count; i++) {
        g_test_message("%u: %.3f of %.3f s, to be %.3f", i, share[i], (double)sum / 1e6, want[i]);
    }
    g_assert_cmpfloat(worst, <=, tolerance);
}

/* ---- what vgpud says ---- */

static JsonNode *vm_figures(Vgpud *d, const char *name)
{
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", name);
    g_autoptr(HttpReply) r = http_ask(d, "GET", path, NULL, NULL);
    JsonObject *o = http_expect_object(r);

    return o ? json_node_ref(r->json) : NULL;
}

static int64_t vm_number(Vgpud *d, const char *name, const char *figure)
{
    g_autoptr(JsonNode) node = vm_figures(d, name);

    return node ? json_object_get_int_member(json_node_get_object(node), figure) : -1;
}

static bool vm_flag(Vgpud *d, const char *name, const char *figure)
{
    g_autoptr(JsonNode) node = vm_figures(d, name);

    return node && json_object_get_boolean_member(json_node_get_object(node), figure);
}

static void change(Vgpud *d, const char *method, const char *path, const char *body)
{
    g_autoptr(HttpReply) r = http_ask(d, method, path, body ? JSON_TYPE : NULL, body);

    g_assert_cmpuint(r->status, ==, 200);
}

/* ---- tests ---- */

static void test_equal(void)
{
    static const double want[2][4] = { { 0.5, 0.5 }, { 0.25, 0.25, 0.25, 0.25 } };
    static const char *const names[] = { "a", "b", "c", "d" };
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    Load l[4] = { 0 };

    for (unsigned n = 0; n < 2; n++) {
        unsigned count = n ? 4 : 2;

        for (unsigned i = n ? 2 : 0; i < count; i++) {
            g_assert_true(load_start(&l[i], d, "even", names[i], i + 1, 1000));
        }
        expect_shares(l, count, want[n], 0.1);
    }
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(vm_number(d, names[i], "gpu_time_ns"), >, 0);
        g_assert_cmpint(vm_number(d, names[i], "queue_wait_ns"), >, 0);
        g_assert_cmpint(vm_number(d, names[i], "preemptions"), >, 0);
        g_assert_cmpint(vm_number(d, names[i], "hangs"), ==, 0);
        load_end(&l[i]);
    }
}

/* 10:90, and the other way round while they run. */
static void test_weights(void)
{
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    Load l[2];

    g_assert_true(load_start(&l[0], d, "tenth", "a", 1, 1000));
    g_assert_true(load_start(&l[1], d, "rest", "b", 2, 1000));
    expect_shares(l, 2, (const double[]){ 0.1, 0.9 }, 0.15);
    change(d, "PATCH", "/v1/vms/a", "{\"share\":0.9}");
    change(d, "PATCH", "/v1/vms/b", "{\"share\":0.1}");
    expect_shares(l, 2, (const double[]){ 0.9, 0.1 }, 0.15);
    load_end(&l[0]);
    load_end(&l[1]);
}

/* A VM alone with the share of a quarter of a CPU gets that, and all of one when the policy changes. */
static void test_policy(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", "policy = fixed-share\n");
    Load l;
    g_autofree char *share = g_strdup_printf("{\"share\":%.6f}", 0.25 / g_get_num_processors());
    uint64_t done;
    int64_t start;

    g_assert_true(load_start(&l, d, "even", "a", 1, 500));
    change(d, "PATCH", "/v1/vms/a", share);
    pump(&l, 1, 200);
    done = l.done_us;
    start = g_get_monotonic_time();
    pump(&l, 1, 800);
    g_assert_cmpfloat((double)(l.done_us - done) / (double)(g_get_monotonic_time() - start), <, 0.3);
    change(d, "PATCH", "/v1/gpus/software0", "{\"policy\":\"best-effort\"}");
    for (unsigned i = 0; i < 40; i++) {
        done = l.done_us;
        pump(&l, 1, 200);
        if (l.done_us - done > 100000) {
            break;
        }
    }
    g_assert_cmpuint(l.done_us - done, >, 100000);
    load_end(&l);
}

static void test_exclusive(void)
{
    g_autoptr(Vgpud) d = new_vgpud("sleep", "policy = exclusive\n");
    struct vgpu_attach_request r = attach_request("even", "b", 2);
    g_autofree char *why = NULL;
    Load l;
    int fd;

    g_assert_true(load_start(&l, d, "even", "a", 1, 500));
    fd = attach_connect(d);
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    why = attach_refused(fd, VGPU_REFUSED_FULL);
    g_assert_nonnull(strstr(why, "exclusive"));
    g_assert_nonnull(strstr(why, "VM a"));
    close(fd);
    pump(&l, 1, 100);
    g_assert_cmpuint(l.done_us, >, 0);
    load_end(&l);
}

static uint64_t cpu_ns(pid_t pid)
{
    struct timespec ts;
    clockid_t clock;

    g_assert_cmpint(clock_getcpuclockid(pid, &clock), ==, 0);
    g_assert_cmpint(clock_gettime(clock, &ts), ==, 0);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Its threads' nice value, all alike; -100 when they are not. */
static int nice_value(pid_t pid)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *tid;
    int value = -100;

    while (dir && (tid = g_dir_read_name(dir))) {
        int one = getpriority(PRIO_PROCESS, (id_t)atoi(tid));

        if (value != -100 && value != one) {
            return -100;
        }
        value = one;
    }
    return value;
}

/* May this test, and so vgpud, lower a nice value? */
static bool may_nice(void)
{
    int value = getpriority(PRIO_PROCESS, 0);

    return setpriority(PRIO_PROCESS, 0, value - 1) == 0 && setpriority(PRIO_PROCESS, 0, value) == 0;
}

/*
 * A renderer that does not wait for its turns and claims nothing: its CPU time
 * is charged all the same; and as it has more than its share of it, its threads
 * run after all others until that is made up for.
 */
static void test_liar(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    unsigned cpus = g_get_num_processors();
    uint64_t used, burnt;
    pid_t pid;
    Load l[2];

    g_assert_true(load_start(&l[0], d, "tenth", "liar", 1, 1000));
    g_assert_true(load_start(&l[1], d, "rest", "b", 2, 1000));
    pump(l, 2, 100);
    pid = vgpud_renderer_pid(d, "liar");
    used = (uint64_t)vm_number(d, "liar", "gpu_time_ns");
    burnt = cpu_ns(pid);
    pump(l, 2, 1000);
    burnt = cpu_ns(pid) - burnt;
    used = (uint64_t)vm_number(d, "liar", "gpu_time_ns") - used;
    g_test_message("the liar was charged %.3f s for %.3f s of CPU time; it did %.3f s, the other %.3f s",
                   (double)used / 1e9, (double)burnt / 1e9, (double)l[0].done_us / 1e6,
                   (double)l[1].done_us / 1e6);
    g_assert_cmpfloat((double)used, >, 0.8 * (double)burnt / cpus);
    g_assert_cmpint(vm_number(d, "liar", "understated_ns"), >, 0);
    if (may_nice() && cpus <= 4) { /* of more, its one thread has no more than its share */
        for (unsigned i = 0; i < 100 && nice_value(pid) != 19; i++) {
            pump(l, 2, 100);
        }
        g_assert_cmpint(nice_value(pid), ==, 19);
        g_assert_cmpint(nice_value(vgpud_renderer_pid(d, "b")), ==, getpriority(PRIO_PROCESS, 0));
        for (unsigned i = 0; i < 100 && nice_value(pid) == 19; i++) {
            frontend_collect(l[0].f, NULL);
            frontend_collect(l[1].f, NULL);
            g_usleep(100000);
        }
        g_assert_cmpint(nice_value(pid), ==, getpriority(PRIO_PROCESS, 0));
    }
    load_end(&l[0]);
    load_end(&l[1]);
}

/* ---- processes below the renderer ---- */

static pid_t child_of(pid_t pid)
{
    g_autoptr(GArray) children = proc_children(pid);

    g_assert_cmpuint(children->len, ==, 1);
    return g_array_index(children, pid_t, 0);
}

/* What the child burns is charged to the VM from now on, and once. */
static void expect_child_charged(Vgpud *d, Load *l, unsigned loads, pid_t child)
{
    unsigned cpus = g_get_num_processors();
    uint64_t used, burnt;
    double ratio = 0;

    for (unsigned tries = 0; tries < 5 && (ratio < 0.85 || ratio > 1.15); tries++) {
        used = (uint64_t)vm_number(d, "parent", "gpu_time_ns");
        burnt = cpu_ns(child);
        pump(l, loads, 2000);
        used = (uint64_t)vm_number(d, "parent", "gpu_time_ns") - used;
        burnt = cpu_ns(child) - burnt;
        ratio = (double)used * cpus / (double)burnt;
        g_test_message("charged %.3f s for %.3f s of CPU time", (double)used / 1e9, (double)burnt / 1e9);
    }
    g_assert_cmpfloat(ratio, >=, 0.85);
    g_assert_cmpfloat(ratio, <=, 1.15);
}

static unsigned cpus_of(pid_t pid)
{
    cpu_set_t set;

    g_assert_cmpint(sched_getaffinity(pid, sizeof(set), &set), ==, 0);
    return CPU_COUNT(&set);
}

/*
 * A child of a renderer burns CPU time: it is charged, after a restart of vgpud
 * too; it goes where the VM's CPUs are; and beside others it runs after them.
 */
static void test_children(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    pid_t pid, child;
    Load l[2];

    g_assert_true(load_start(&l[0], d, "even", "parent", 1, 1000));
    pid = vgpud_renderer_pid(d, "parent");
    child = child_of(pid);
    pump(l, 1, 100); /* it is at work: its time counts */
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        if (l[0].p[i]) {
            frontend_wait(l[0].f, l[0].p[i], FRONTEND_COMMAND_DEADLINE);
            g_clear_pointer(&l[0].p[i], pending_free);
        }
    }
    expect_child_charged(d, NULL, 0, child);
    vgpud_end(d, SIGKILL);
    g_assert_true(vgpud_run(d));
    expect_child_charged(d, NULL, 0, child);
    if (g_get_num_processors() > 1) {
        change(d, "PATCH", "/v1/vms/parent", "{\"profile\":\"onecpu\"}");
        g_assert_cmpuint(cpus_of(pid), ==, 1);
        g_assert_cmpuint(cpus_of(child), ==, 1);
        change(d, "PATCH", "/v1/vms/parent", "{\"profile\":\"even\"}");
        g_assert_cmpuint(cpus_of(child), ==, g_get_num_processors());
    }
    change(d, "PATCH", "/v1/vms/parent", "{\"share\":0.05}");
    g_assert_true(load_start(&l[1], d, "rest", "b", 2, 1000));
    if (may_nice() && g_get_num_processors() <= 4) {
        for (unsigned i = 0; i < 150 && nice_value(child) != 19; i++) {
            pump(&l[1], 1, 100);
        }
        g_assert_cmpint(nice_value(child), ==, 19);
        g_assert_cmpint(nice_value(vgpud_renderer_pid(d, "b")), ==, getpriority(PRIO_PROCESS, 0));
    }
    kill(child, SIGKILL);
    l[0].f->exit_unchecked = true;
    load_end(&l[0]);
    load_end(&l[1]);
}

/* One whose work a process below it does has what another has that does its own: no less, no more. */
static void test_work_in_child(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    Load l[2];

    g_assert_true(load_start(&l[0], d, "even", "child", 1, 1000));
    g_assert_true(load_start(&l[1], d, "even", "b", 2, 1000));
    pump(l, 2, 1500); /* it is known by then */
    expect_shares(l, 2, (const double[]){ 0.5, 0.5 }, 0.1);
    load_end(&l[0]);
    load_end(&l[1]);
}

/* The same as the burner's: never more than its share, at any moment. */
static void test_child_policy(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", "policy = fixed-share\n");
    g_autofree char *share = g_strdup_printf("{\"share\":%.6f}", 0.25 / g_get_num_processors());
    Load l;

    g_assert_true(load_start(&l, d, "even", "child", 1, 500));
    change(d, "PATCH", "/v1/vms/child", share);
    pump(&l, 1, 2000);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t done = l.done_us;
        int64_t start = g_get_monotonic_time();
        double part;

        pump(&l, 1, 500);
        part = (double)(l.done_us - done) / (double)(g_get_monotonic_time() - start);
        g_test_message("%.3f of a CPU, to be at most 0.25", part);
        g_assert_cmpfloat(part, <, 0.3);
    }
    load_end(&l);
}

/* So many processes are more than anybody could look after: its renderer is ended, and it is told why. */
static void test_crowd(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    g_autoptr(GArray) crowd = NULL;
    g_autofree char *blame = NULL;
    g_autoptr(JsonNode) vm = NULL;
    AttachPacket p = { 0 };
    Load l;

    g_assert_true(load_start(&l, d, "even", "crowd", 1, 1000));
    crowd = proc_children(child_of(vgpud_renderer_pid(d, "crowd")));
    g_assert_true(attach_receive(l.fd, &p, NULL, SOON));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    g_assert_nonnull(strstr(p.event.message, "more processes"));
    vm = vm_figures(d, "crowd");
    g_assert_cmpstr(json_object_get_string_member(json_node_get_object(vm), "blame"), ==, "processes");
    for (guint i = 0; i < crowd->len; i++) {
        kill(g_array_index(crowd, pid_t, i), SIGKILL);
    }
    l.f->exit_unchecked = true;
    l.f->dead = true;
    load_end(&l);
}

/* ---- restarts ---- */

static int64_t used_by(Vgpud *d, const char *const *names, unsigned count)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += vm_number(d, names[i], "gpu_time_ns");
    }
    return sum;
}

/*
 * vgpud is killed under load and started again: each VM has the renderer that it
 * had; from two seconds after the start on each has its share, at the first
 * look and to the end; and no time is charged twice, or not at all.
 */
static void test_restart(void)
{
    static const char *const names[] = { "a", "b", "c", "d" }, *const profile[] = { "tenth", "even", "even", "rest" };
    static const double want[] = { 10.0 / 150, 25.0 / 150, 25.0 / 150, 90.0 / 150 };
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    uint64_t done[4], work = 0;
    int64_t charged, since;
    pid_t pid[4];
    Load l[4];

    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(load_start(&l[i], d, profile[i], names[i], i + 1, 2000));
    }
    pump(l, 4, 500);
    for (unsigned i = 0; i < 4; i++) {
        pid[i] = vgpud_renderer_pid(d, names[i]);
    }
    vgpud_end(d, SIGKILL);
    pump(l, 4, 1500); /* nobody divides: all work */
    g_assert_true(vgpud_run(d));
    pump(l, 4, 2000);
    charged = used_by(d, names, 4);
    since = g_get_monotonic_time();
    for (unsigned i = 0; i < 4; i++) {
        done[i] = l[i].done_us;
    }
    pump(l, 4, 3000);
    charged = used_by(d, names, 4) - charged;
    since = g_get_monotonic_time() - since;
    for (unsigned i = 0; i < 4; i++) {
        done[i] = l[i].done_us - done[i];
        work += done[i];
    }
    for (unsigned i = 0; i < 4; i++) {
        double share = (double)done[i] / (double)work;

        g_test_message("%s: %.3f, to be %.3f", names[i], share, want[i]);
        g_assert_cmpfloat(ABS(share / want[i] - 1), <=, 0.15);
        g_assert_cmpint(vgpud_renderer_pid(d, names[i]), ==, pid[i]);
        g_assert_cmpint(vm_number(d, names[i], "hangs"), ==, 0);
    }
    g_test_message("%.3f s of GPU time charged for %.3f s of work in %.3f s", (double)charged / 1e9,
                   (double)work / 1e6, (double)since / 1e6);
    g_assert_cmpfloat((double)charged, <, (double)since * 1000 * 1.02);
    /* each was seen to be done up to 16 of 2 ms late, at either end */
    g_assert_cmpfloat((double)charged, >, (double)work * 1000 * 0.9 - 64e6);
    for (unsigned i = 0; i < 4; i++) {
        load_end(&l[i]);
    }
}

/* A renderer that was given a lease and has none any more would use the GPU without. */
static void test_restart_without_lease(void)
{
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    g_autofree char *log = NULL;
    pid_t pid;
    Load l;

    g_assert_true(load_start(&l, d, "even", "stray", 1, 1000));
    pump(&l, 1, 100);
    pid = vgpud_renderer_pid(d, "stray");
    vgpud_end(d, SIGKILL);
    g_assert_true(proc_alive(pid));
    g_assert_true(vgpud_run(d));
    for (unsigned i = 0; i < SOON / 10 && proc_alive(pid); i++) {
        g_usleep(10000);
    }
    g_assert_false(proc_alive(pid));
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    log = http_log(d);
    g_assert_nonnull(strstr(log, "stray: its lease cannot be taken back"));
    l.f->exit_unchecked = true;
    l.f->dead = true;
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        g_clear_pointer(&l.p[i], pending_free);
    }
    load_end(&l);
}

/* ---- hangs ---- */

/* The work of this VM hangs, and it is told who is to blame, for how long, and what to do. */
static void hang_once(Vgpud *d, Load *l, Load *other, AttachPacket *p)
{
    static const uint32_t forever = 60 * 1000 * 1000;
    uint64_t done = other->done_us;

    g_assert_nonnull(gpu_submit_fenced(l->f, 1, &forever, 1, ++l->fence));
    for (unsigned i = 0; i < 200 && !attach_receive(l->fd, p, NULL, 0); i++) {
        pump(other, 1, 100);
    }
    g_assert_cmpuint(p->hdr.type, ==, VGPU_ATTACH_EVENT);
    pump(other, 1, 100);
    g_assert_cmpuint(other->done_us, >, done);
}

/* Its QEMU takes the next renderer; which kind it is. */
static const char *rejoin(Vgpud *d, Load *l)
{
    struct vgpu_attach_request r = attach_request("brittle", "unlucky", 1);
    FrontendOptions o = { .ram = 32ull << 20 };
    FrontendFds fds;
    AttachPacket p;

    l->f->exit_unchecked = true;
    l->f->dead = true; /* it is, and nothing of it is to be waited for */
    g_clear_pointer(&l->f, frontend_free);
    r.flags = VGPU_ATTACH_F_REJOIN;
    g_assert_true(attach_send(l->fd, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_receive(l->fd, &p, &fds, ATTACH_DEADLINE));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_ACCEPTED);
    l->f = frontend_adopt(&o, &fds);
    return l->f->hello.kind == VGPU_RENDERER_2D ? "2d" : "3d";
}

/* The same VM in a new QEMU; which kind of renderer it gets. */
static const char *start_anew(Vgpud *d)
{
    Qemu *q = qemu_new(d);
    int fd = qemu_connect(q);
    Frontend *f = attach_vm_over(fd, "brittle", "unlucky", 1);
    const char *kind = f && f->hello.kind == VGPU_RENDERER_2D ? "2d" : "3d";

    g_assert_nonnull(f);
    g_assert_cmpint(vm_flag(d, "unlucky", "allowed_3d"), ==, strcmp(kind, "2d") != 0);
    qemu_free(q);
    frontend_free(f);
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 1, SOON)); /* the other */
    return kind;
}

/* Whose 3D is off may have it back while it runs, and keeps it. */
static void test_allowed_again(Vgpud *d)
{
    Qemu *q = qemu_new(d);
    int fd = qemu_connect(q);
    Frontend *f = attach_vm_over(fd, "brittle", "unlucky", 1);
    Load other;

    g_assert_nonnull(f);
    change(d, "POST", "/v1/vms/unlucky/allow", NULL);
    g_assert_true(vm_flag(d, "unlucky", "allowed_3d"));
    qemu_free(q);
    frontend_free(f);
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_true(load_start(&other, d, "even", "b", 2, 1000));
    g_assert_cmpstr(start_anew(d), ==, "3d");
    load_end(&other);
}

/*
 * The third hang is one too many: the VM's next renderer is the 2D one, and so
 * is that of its next QEMU, and that of the next vgpud, until it is allowed.
 */
static void test_hang(void)
{
    g_autoptr(Vgpud) d = new_vgpud_of("auto", "sleep", NULL);
    g_autofree char *log = NULL;
    Qemu *q = qemu_new(d);
    Load l = { .fd = qemu_connect(q), .us = 1000 }, other;
    AttachPacket p;

    l.f = attach_vm_over(l.fd, "brittle", "unlucky", 1);
    g_assert_true(l.f && gpu_context_create(l.f, 1, 0) == OK_NODATA);
    g_assert_true(load_start(&other, d, "even", "b", 2, 1000));
    for (unsigned n = 1; n <= 3; n++) {
        hang_once(d, &l, &other, &p);
        g_test_message("%s", p.event.message);
        g_assert_nonnull(strstr(p.event.message, "unlucky"));
        g_assert_nonnull(strstr(p.event.message, "hung"));
        g_assert_nonnull(strstr(p.event.message, " s,"));
        g_assert_cmpint(vm_number(d, "unlucky", "hangs"), ==, n);
        g_assert_cmpint(vm_flag(d, "unlucky", "allowed_3d"), ==, n < 3);
        g_assert_cmpint(strstr(p.event.message, "`vgpuctl allow unlucky`") != NULL, ==, n == 3);
        g_assert_cmpstr(rejoin(d, &l), ==, n < 3 ? "3d" : "2d");
        if (n < 3) {
            g_assert_cmphex(gpu_context_create(l.f, 1, 0), ==, OK_NODATA);
        }
    }
    log = http_log(d);
    g_assert_nonnull(strstr(log, "unlucky: its work hung"));
    qemu_free(q);
    load_end(&l);
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    g_assert_cmpstr(start_anew(d), ==, "2d");
    load_end(&other);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    vgpud_end(d, SIGKILL);
    g_assert_true(vgpud_run(d));
    g_assert_true(load_start(&other, d, "even", "b", 2, 1000));
    g_assert_cmpstr(start_anew(d), ==, "2d");
    load_end(&other);
    test_allowed_again(d);
}

/* ---- idle ---- */

/* Context switches of all its threads that it made by itself. */
static uint64_t wakeups(pid_t pid)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *tid;
    uint64_t sum = 0;

    while (dir && (tid = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("%s/%s/status", tasks, tid), *text = NULL;
        const char *s;

        if (g_file_get_contents(path, &text, NULL, NULL) &&
            (s = strstr(text, "\nvoluntary_ctxt_switches:"))) {
            sum += g_ascii_strtoull(strchr(s + 1, ':') + 1, NULL, 10);
        }
    }
    return sum;
}

static uint64_t wakeups_in(Vgpud *d, unsigned ms)
{
    uint64_t before = wakeups(d->pid);

    g_usleep(ms * 1000);
    return wakeups(d->pid) - before;
}

/* Until vgpud sleeps, and so long. */
static bool sleeps(Vgpud *d, Load *l, unsigned ms)
{
    uint64_t n = 1;

    for (unsigned i = 0; i < 20 && n; i++) {
        frontend_collect(l->f, NULL);
        n = wakeups_in(d, 2200);
    }
    return n == 0 && wakeups_in(d, ms) == 0;
}

/* No timer ticks, neither without VMs nor with idle ones; and a VM that wakes up is watched again. */
static void test_idle(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    uint64_t used;
    Load l;

    g_usleep(500000); /* vgpud_run's own connection is closed */
    g_assert_cmpuint(wakeups_in(d, 1200), ==, 0);
    g_assert_true(load_start(&l, d, "even", "a", 1, 1000));
    pump(&l, 1, 200);
    g_assert_true(sleeps(d, &l, 11000));
    used = cpu_ns(d->pid);
    pump(&l, 1, 2500);
    g_assert_cmpint(vm_number(d, "a", "gpu_time_ns") * g_get_num_processors(), >, 300000000);
    g_test_message("%.1f ms of CPU time in %.1f s of one VM's work", (double)(cpu_ns(d->pid) - used) / 1e6, 2.5);
    load_end(&l);
}

/* A renderer that was idle and takes memory all at once, without a word to vgpud, is seen at once. */
static void test_idle_hoard(void)
{
    static const uint32_t hoard[] = { 0x52414f48u, 1500, 0, 10000 }; /* MiB, past all limits; ms from now */
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    int64_t end;
    AttachPacket p;
    Load l;

    g_assert_true(load_start(&l, d, "even", "a", 1, 1000));
    end = g_get_monotonic_time() + 10000000;
    g_assert_cmphex(gpu_submit(l.f, 1, hoard, G_N_ELEMENTS(hoard)), ==, OK_NODATA);
    g_assert_true(sleeps(d, &l, 1000));
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    l.f->exit_unchecked = true;
    g_assert_true(attach_receive(l.fd, &p, NULL, SOON));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    g_assert_nonnull(strstr(p.event.message, "MiB of host memory"));
    g_test_message("%s; seen after %.2f s", p.event.message, (double)(g_get_monotonic_time() - end) / 1e6);
    l.f->dead = true;
    load_end(&l);
}

int main(int argc, char **argv)
{
    g_autofree char *folder = NULL;
    int status;

    g_test_init(&argc, &argv, NULL);
    /* a script that adds arguments is no program of the sandbox's */
    folder = g_dir_make_tmp("vgpud-leases-XXXXXX", NULL);
    wrapper = g_build_filename(folder, "renderer", NULL);
    g_setenv("VGPU_TEST_REAL_RENDERER", g_getenv("VGPU_RENDERER"), TRUE);
    g_setenv("VGPU_RENDERER", wrapper, TRUE);
    g_setenv("VGPU_TEST_RENDERER_ARGS", "--no-sandbox", TRUE);

    g_test_add_func("/vgpud/leases/equal", test_equal);
    g_test_add_func("/vgpud/leases/weights", test_weights);
    g_test_add_func("/vgpud/leases/policy", test_policy);
    g_test_add_func("/vgpud/leases/exclusive", test_exclusive);
    g_test_add_func("/vgpud/leases/liar", test_liar);
    g_test_add_func("/vgpud/leases/children", test_children);
    g_test_add_func("/vgpud/leases/work-in-child", test_work_in_child);
    g_test_add_func("/vgpud/leases/child-policy", test_child_policy);
    g_test_add_func("/vgpud/leases/crowd", test_crowd);
    g_test_add_func("/vgpud/leases/restart", test_restart);
    g_test_add_func("/vgpud/leases/restart-without-lease", test_restart_without_lease);
    g_test_add_func("/vgpud/leases/hang", test_hang);
    g_test_add_func("/vgpud/leases/idle/quiet", test_idle);
    g_test_add_func("/vgpud/leases/idle/hoard", test_idle_hoard);
    status = g_test_run();
    g_unlink(wrapper);
    g_rmdir(folder);
    g_free(wrapper);
    return status;
}
