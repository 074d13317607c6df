/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPU time from end to end: a real vgpud, real null renderers that play a busy
 * GPU, and guests that always have work.  Bounds are those of a machine that
 * does other things too; the benchmark has the exact ones.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gpu_cmd.h"
#include "http.h"
#include "load.h"
#include "../unit/host-busy.h"

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

/* What came late, as the host was busy, is done at once afterwards. */
static void expect_at_most(double part, double most, HostTime since)
{
    if (part < most || !host_was_busy(since)) {
        g_assert_cmpfloat(part, <, most);
    }
}

/* A VM alone with the share of a quarter of a CPU gets that, and all of one when the policy changes. */
static void test_policy(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", "policy = fixed-share\n");
    Load l;
    g_autofree char *share = g_strdup_printf("{\"share\":%.6f}", 0.25 / g_get_num_processors());
    HostTime since;
    uint64_t done;

    g_assert_true(load_start(&l, d, "even", "a", 1, 500));
    change(d, "PATCH", "/v1/vms/a", share);
    pump(&l, 1, 200);
    done = l.done_us;
    since = host_time();
    pump(&l, 1, 800);
    expect_at_most((double)(l.done_us - done) / (double)(g_get_monotonic_time() - since.start_us), 0.3,
                   since);
    change(d, "PATCH", "/v1/gpus/software0", "{\"policy\":\"best-effort\"}");
    since = host_time();
    for (unsigned i = 0; i < 40; i++) {
        done = l.done_us;
        pump(&l, 1, 200);
        if (l.done_us - done > 100000) {
            break;
        }
    }
    if (l.done_us - done > 100000 || !host_was_busy(since)) {
        g_assert_cmpuint(l.done_us - done, >, 100000);
    }
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

/* Of a session that the kernel schedules as a group; -100: it does not. */
static int session_nice(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/autogroup", (int)pid);
    g_autofree char *text = NULL;
    const char *value;

    if (!g_file_get_contents(path, &text, NULL, NULL) || !(value = strstr(text, "nice "))) {
        return -100;
    }
    return atoi(value + strlen("nice "));
}

/* May this test, and so vgpud, lower a nice value? */
static bool may_nice(void)
{
    int value = getpriority(PRIO_PROCESS, 0);

    return setpriority(PRIO_PROCESS, 0, value - 1) == 0 && setpriority(PRIO_PROCESS, 0, value) == 0;
}

/* The liar's threads come after all others', until it has made up for what it took. */
static void expect_last(Vgpud *d, Load *l, pid_t liar, unsigned cpus)
{
    int before = getpriority(PRIO_PROCESS, 0);
    int64_t start = g_get_monotonic_time();
    uint64_t burnt = cpu_ns(liar);
    double part;

    for (unsigned i = 0; i < 100 && nice_value(liar) != 19; i++) {
        pump(l, 2, 100);
    }
    part = (double)(cpu_ns(liar) - burnt) / (double)(g_get_monotonic_time() - start) / 1000 / cpus;
    if (nice_value(liar) != 19 && part < 0.2) { /* a tenth is its own, and some more is let pass */
        g_test_skip("this machine gave it too little CPU time to be too much");
        return;
    }
    g_assert_cmpint(nice_value(liar), ==, 19);
    if (session_nice(liar) != -100) { /* of 10 and 90 %: 1.25 to the tenth is more than 9 */
        g_assert_cmpint(session_nice(liar), ==, 10);
    }
    g_assert_cmpint(nice_value(vgpud_renderer_pid(d, "b")), ==, before);
    for (unsigned i = 0; i < 100 && nice_value(liar) == 19; i++) {
        frontend_collect(l[0].f, NULL);
        frontend_collect(l[1].f, NULL);
        g_usleep(100000);
    }
    g_assert_cmpint(nice_value(liar), ==, before);
    g_assert_true(session_nice(liar) == -100 || session_nice(liar) == before);
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
        expect_last(d, l, pid, cpus);
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
    HostTime since = host_time();
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
    if (ratio < 0.85 || ratio > 1.15) {
        g_assert_true(host_was_busy(since));
    }
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
        HostTime since = host_time();
        double part;

        pump(&l, 1, 500);
        part = (double)(l.done_us - done) / (double)(g_get_monotonic_time() - since.start_us);
        g_test_message("%.3f of a CPU, to be at most 0.25", part);
        expect_at_most(part, 0.3, since);
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
    pid_t child;
    Load l;

    g_assert_true(load_start(&l, d, "even", "crowd", 1, 1000));
    child = child_of(vgpud_renderer_pid(d, "crowd"));
    g_assert_true(attach_receive(l.fd, &p, NULL, 3 * SOON)); /* first they have to be there */
    kill(child, SIGSTOP);                                    /* it makes no more of them */
    crowd = proc_children(child);
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    g_assert_nonnull(strstr(p.event.message, "more processes"));
    vm = vm_figures(d, "crowd");
    g_assert_cmpstr(json_object_get_string_member(json_node_get_object(vm), "blame"), ==, "processes");
    for (guint i = 0; i < crowd->len; i++) {
        kill(g_array_index(crowd, pid_t, i), SIGKILL);
    }
    kill(child, SIGKILL);
    l.f->exit_unchecked = true;
    l.f->dead = true;
    load_end(&l);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vgpud/leases/equal", test_equal);
    g_test_add_func("/vgpud/leases/weights", test_weights);
    g_test_add_func("/vgpud/leases/policy", test_policy);
    g_test_add_func("/vgpud/leases/exclusive", test_exclusive);
    g_test_add_func("/vgpud/leases/liar", test_liar);
    g_test_add_func("/vgpud/leases/children", test_children);
    g_test_add_func("/vgpud/leases/work-in-child", test_work_in_child);
    g_test_add_func("/vgpud/leases/child-policy", test_child_policy);
    g_test_add_func("/vgpud/leases/crowd", test_crowd);
    return load_run_tests();
}
