/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes to VMs that run, as their renderers see them: in force at once, and after a restart of vgpud. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "gpu_cmd.h"
#include "http.h"
#include "proc.h"

#define MIB  (1ull << 20)
#define SOON 10000

/* PATCH of the VM; 200 or a test failure. */
static void change(Vgpud *d, const char *vm, const char *body)
{
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", vm);
    g_autoptr(HttpReply) r = http_ask(d, "PATCH", path, JSON_TYPE, body);

    http_expect_object(r);
}

/* The sentence of a refused PATCH; to free. */
static char *refused(Vgpud *d, const char *vm, const char *body, unsigned status)
{
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", vm);
    g_autoptr(HttpReply) r = http_ask(d, "PATCH", path, JSON_TYPE, body);

    return g_strdup(http_expect_error(r, status));
}

static gint64 figure(Vgpud *d, const char *path, const char *member)
{
    g_autoptr(HttpReply) r = http_ask(d, "GET", path, NULL, NULL);
    JsonObject *o = http_expect_object(r);

    return o ? json_object_get_int_member_with_default(o, member, -1) : -1;
}

static bool free_becomes(Vgpud *d, gint64 bytes)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    gint64 is;

    while ((is = figure(d, "/v1/gpus/software0", "memory_free_bytes")) != bytes &&
           g_get_monotonic_time() < end) {
        g_usleep(50000);
    }
    if (is != bytes) {
        g_test_message("%" G_GINT64_FORMAT " MiB are free", is / (gint64)MIB);
    }
    return is == bytes;
}

/* The next allocation meets the new limit; what there is stays, booked, until the guest lets go of it. */
static void test_memory(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "half", "one", 1, &fd);
    g_autofree char *why = NULL;

    if (!f) {
        return;
    }
    for (unsigned i = 1; i <= 3; i++) { /* 100 MiB each */
        g_assert_cmphex(gpu_create_2d(f, i, BGRX, 5120, 5120), ==, OK_NODATA);
    }
    change(d, "one", "{\"memory\": \"128M\"}");
    g_assert_cmpuint(f->stats->memory_limit, ==, 128 * MIB);
    g_assert_cmphex(gpu_create_2d(f, 9, BGRX, 256, 256), ==, ERR_MEMORY);
    g_assert_cmphex(gpu_flush(f, 3, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_cmpint(figure(d, "/v1/vms/one", "memory_limit_bytes"), ==, 128 * MIB);
    /* nobody else is promised what it still has */
    g_assert_true(free_becomes(d, 724 * MIB));
    gpu_unref(f, 1);
    gpu_unref(f, 2);
    g_assert_cmphex(gpu_create_2d(f, 9, BGRX, 256, 256), ==, OK_NODATA);
    g_assert_true(free_becomes(d, 896 * MIB));
    change(d, "one", "{\"memory\": \"1G\"}");
    g_assert_cmphex(gpu_create_2d(f, 10, BGRX, 8192, 8192), ==, OK_NODATA);
    why = refused(d, "one", "{\"share\": \"10%\", \"memory\": \"1025M\"}", 409);
    g_assert_cmpstr(
        why, ==,
        "VM one would have 1025 MiB of GPU memory instead of 1024; 0 of 1024 MiB are free on software0 "
        "(one: 1024)");
    g_assert_cmpuint(f->stats->memory_limit, ==, 1024 * MIB);
    close(fd);
}

/*
 * A renderer that takes shared memory of the host's beside what its ledger
 * charges: counted however it has it, the guest's RAM not; and past limit and
 * overhead it is ended, which gives the memory back.
 */
static void test_hoard(gconstpointer way)
{
    g_autoptr(Vgpud) d = vgpud_new("null\nmemory-overhead = 64M", NULL);
    uint32_t some[3] = { 0x52414f48u, 48, GPOINTER_TO_UINT(way) }, more[3] = { some[0], 200, some[2] };
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "eighth", "greedy", 1, &fd);
    gint64 before, after = 0;
    AttachPacket p;

    if (!f) {
        return;
    }
    g_assert_cmpint(figure(d, "/v1/vms/greedy", "host_memory_cap_bytes"), ==, (128 + 64) * MIB);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_usleep(2500000);
    before = figure(d, "/v1/vms/greedy", "host_memory_bytes");
    g_assert_cmpint(before, <, 40 * MIB); /* not the RAM, which it has mapped */
    g_assert_cmphex(gpu_submit(f, 1, some, G_N_ELEMENTS(some)), ==, OK_NODATA);
    for (unsigned i = 0; i < 100 && after < before + 48 * (gint64)MIB; i++) {
        g_usleep(50000);
        after = figure(d, "/v1/vms/greedy", "host_memory_bytes");
    }
    g_test_message("%" G_GINT64_FORMAT " KiB before, %" G_GINT64_FORMAT " KiB after", before / 1024,
                   after / 1024);
    g_assert_cmpint(after, >=, before + 48 * (gint64)MIB);
    g_assert_cmpint(after, <, before + 60 * (gint64)MIB);
    f->exit_unchecked = true;
    gpu_submit(f, 1, more, G_N_ELEMENTS(more));
    g_assert_true(attach_receive(fd, &p, NULL, SOON));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    g_test_message("%s", p.event.message);
    g_assert_nonnull(
        strstr(p.event.message, "MiB of host memory, more than its limit of 128 MiB and 64 MiB"));
    f->dead = true;
    close(fd);
}

static unsigned cpus_of(pid_t pid)
{
    cpu_set_t set;

    return sched_getaffinity(pid, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

/* Every thread of it, which are more than one. */
static bool all_threads_have(pid_t pid, unsigned cpus)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    unsigned threads = 0, right = 0;
    const char *tid;

    while (dir && (tid = g_dir_read_name(dir))) {
        threads++;
        right += cpus_of(g_ascii_strtoull(tid, NULL, 10)) == cpus;
    }
    g_test_message("%u of %u threads have %u CPUs", right, threads, cpus);
    return threads > 1 && right == threads;
}

/* On software rendering CPUs are the GPU: they follow profile and share at once. */
static void test_cpus(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    unsigned all = cpus_of(0);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "one");

    if (!f) {
        return;
    }
    if (all < 2) {
        g_test_skip("this machine has one CPU");
    } else {
        unsigned quarter = (all + 3) / 4;

        g_assert_true(all_threads_have(pid, quarter));
        change(d, "one", "{\"profile\": \"full\"}");
        g_assert_true(all_threads_have(pid, all));
        change(d, "one", "{\"share\": \"25%\"}");
        g_assert_true(all_threads_have(pid, quarter));
    }
    g_assert_true(gpu_still_works(f));
    close(fd);
}

/*
 * What was set by hand is there after vgpud died.  A renderer that wrote
 * itself another limit into the page meanwhile has vgpud's again.
 */
static void test_kept_over_a_restart(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    const uint64_t plenty = 1ull << 40;
    int fd, page;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);
    g_autofree char *path = NULL;

    if (!f) {
        return;
    }
    change(d, "one",
           "{\"profile\": \"half\", \"memory\": \"96M\", \"share\": 0.125, \"quantum\": \"5ms\", "
           "\"priority\": \"low\", \"frame_rate_limit\": 25, \"hang_timeout\": \"7s\"}");
    {
        g_autoptr(HttpReply) r =
            http_ask(d, "PATCH", "/v1/gpus/software0", JSON_TYPE, "{\"policy\": \"fixed-share\"}");

        http_expect_object(r);
    }
    vgpud_end(d, SIGKILL);
    path = g_strdup_printf("/proc/self/fd/%d", f->stats_fd);
    page = open(path, O_RDWR);
    if (page >= 0) { /* as the renderer could; root may here */
        g_assert_cmpint(pwrite(page, &plenty, sizeof(plenty), offsetof(struct vgpu_stats, memory_limit)), ==,
                        sizeof(plenty));
        close(page);
    }
    g_assert_true(vgpud_run(d));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    g_assert_cmpuint(f->stats->memory_limit, ==, 96 * MIB);
    {
        g_autoptr(HttpReply) r = http_ask(d, "GET", "/v1/vms/one", NULL, NULL);
        g_autoptr(HttpReply) g = http_ask(d, "GET", "/v1/gpus/software0", NULL, NULL);
        JsonObject *vm = http_expect_object(r), *gpu = http_expect_object(g);

        g_assert_true(vm && gpu);
        if (vm && gpu) {
            g_assert_cmpstr(json_object_get_string_member_with_default(vm, "profile", ""), ==, "half");
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "memory_limit_bytes", 0), ==,
                            96 * MIB);
            g_assert_cmpfloat(json_object_get_double_member_with_default(vm, "share", 0), ==, 0.125);
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "quantum_us", 0), ==, 5000);
            g_assert_cmpstr(json_object_get_string_member_with_default(vm, "priority", ""), ==, "low");
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "frame_rate_limit", 0), ==, 25);
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "hang_timeout_us", 0), ==, 7000000);
            g_assert_cmpstr(json_object_get_string_member_with_default(gpu, "policy", ""), ==, "fixed-share");
        }
    }
    /* and can be changed further */
    change(d, "one", "{\"memory\": \"64M\"}");
    g_assert_cmpuint(f->stats->memory_limit, ==, 64 * MIB);
    g_assert_true(gpu_still_works(f));
    frontend_free(f);
    close(fd);
}

/* A VM that was stopped stays so: whatever its QEMU asks for, its renderer is the 2D one. */
static void test_stopped_stays_stopped(void)
{
    g_autoptr(Vgpud) d = vgpud_new("auto", NULL);
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    struct vgpu_attach_lost lost = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_LOST, sizeof(lost), 0 },
    };
    static const char *const steps[] = { "stop", "rejoin", "allow", "rejoin" };
    FrontendOptions o = { .ram = 32 * MIB };
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);

    if (!f) {
        return;
    }
    g_assert_cmpuint(f->hello.kind, ==, VGPU_RENDERER_VIRGL);
    change(d, "one", "{\"share\": \"11%\", \"memory\": \"200M\"}");
    r.flags = VGPU_ATTACH_F_REJOIN;
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autofree char *path = g_strdup_printf("/v1/vms/one/%s", steps[i]);
        g_autoptr(HttpReply) reply = NULL;
        AttachPacket p;
        FrontendFds fds;

        if (strcmp(steps[i], "rejoin")) {
            reply = http_ask(d, "POST", path, JSON_TYPE, "{}");
            http_expect_object(reply);
            g_assert_cmpuint(f->stats->renew, ==, i == 2);
            if (i == 2) { /* QEMU does this at the next reset */
                g_assert_true(gpu_still_works(f));
                g_assert_true(attach_send(fd, &lost, sizeof(lost), NULL, 0));
            }
            g_assert_true(attach_receive(fd, &p, NULL, SOON));
            g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
            g_test_message("%s", p.event.message);
            f->dead = true;
            frontend_free(f);
            continue;
        }
        g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
        if (!attach_receive(fd, &p, &fds, ATTACH_DEADLINE) || p.hdr.type != VGPU_ATTACH_ACCEPTED) {
            g_test_fail_printf("no new renderer");
            return;
        }
        f = frontend_adopt(&o, &fds);
        g_assert_cmpuint(f->hello.kind, ==, i == 1 ? VGPU_RENDERER_2D : VGPU_RENDERER_VIRGL);
        if (i == 1) { /* not even after a restart of vgpud */
            vgpud_end(d, SIGKILL);
            close(fd);
            g_assert_true(vgpud_run(d));
            g_assert_true(vgpud_wait_vms(d, 1, SOON));
            f->dead = true;
            frontend_free(f);
            g_assert_true(vgpud_wait_vms(d, 0, SOON)); /* its renderer ended, and vgpud knows no more */
            vgpud_end(d, SIGKILL);
            g_assert_true(vgpud_run(d));
            fd = attach_connect(d);
            g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
            g_assert_true(attach_receive(fd, &p, &fds, ATTACH_DEADLINE));
            f = frontend_adopt(&o, &fds);
            g_assert_cmpuint(f->hello.kind, ==, VGPU_RENDERER_2D);
        }
    }
    g_assert_true(gpu_still_works(f));
    /* all the time with what an operator had set */
    g_assert_cmpuint(f->stats->memory_limit, ==, 200 * MIB);
    g_assert_cmpint(figure(d, "/v1/vms/one", "memory_limit_bytes"), ==, 200 * MIB);
    frontend_free(f);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud-control/memory", test_memory);
    if (!g_getenv("VGPU_TEST_RENDERER_ARGS")) { /* a sanitizer takes more memory than these look for */
        g_test_add_data_func("/vgpud-control/hoard/written", GUINT_TO_POINTER(0), test_hoard);
        g_test_add_data_func("/vgpud-control/hoard/closed", GUINT_TO_POINTER(1), test_hoard);
        g_test_add_data_func("/vgpud-control/hoard/no-file", GUINT_TO_POINTER(2), test_hoard);
    }
    g_test_add_func("/vgpud-control/cpus", test_cpus);
    g_test_add_func("/vgpud-control/kept-over-a-restart", test_kept_over_a_restart);
    g_test_add_func("/vgpud-control/stopped-stays-stopped", test_stopped_stays_stopped);
    return g_test_run();
}
