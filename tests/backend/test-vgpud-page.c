/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vgpud writes to a VM's statistics page, for its guest to read. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu_cmd.h"
#include "http.h"
#include "load.h"
#include "vgpu/virtio.h"

#define MIB (1ull << 20)

static void set(Vgpud *d, const char *body)
{
    change(d, "PATCH", "/v1/vms/one", body);
}

static void expect_profile(Frontend *f, const char *profile, uint64_t share, uint64_t memory)
{
    struct vgpu_stats s = *f->stats;

    g_assert_cmphex(s.magic, ==, VGPU_STATS_MAGIC);
    g_assert_cmpuint(s.version, ==, VGPU_STATS_VERSION);
    g_assert_cmpuint(s.profile_serial, >, 0);
    g_assert_cmpuint(s.profile_serial % 2, ==, 0);
    g_assert_cmpstr(s.profile, ==, profile);
    g_assert_cmpuint(s.share, ==, share);
    g_assert_cmpuint(s.memory_limit, ==, memory);
}

/* Another renderer for the VM at fd, whose last one is gone. */
static Frontend *rejoin(int fd)
{
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    FrontendOptions o = { .ram = 32ull << 20 };
    AttachPacket p;
    FrontendFds fds;

    r.flags = VGPU_ATTACH_F_REJOIN;
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_receive(fd, &p, &fds, ATTACH_DEADLINE));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_ACCEPTED);
    return frontend_adopt(&o, &fds);
}

static void drop(Frontend **f)
{
    (*f)->dead = true;
    g_clear_pointer(f, frontend_free);
}

static Frontend *lose(Vgpud *d, Frontend *f, int fd)
{
    AttachPacket p;

    kill(vgpud_renderer_pid(d, "one"), SIGKILL);
    g_assert_true(attach_receive(fd, &p, NULL, SOON));
    g_assert_cmpuint(p.event.event, ==, VGPU_EVENT_RENDERER_ENDED);
    drop(&f);
    return rejoin(fd);
}

static void test_begins(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);

    if (!f) {
        return;
    }
    expect_profile(f, "quarter", 250000, 256 * MIB);
    g_assert_cmpuint(f->stats->resets, ==, 0);
    g_assert_cmpuint(f->stats->reset_cause, ==, VGPU_RESET_NONE);
    g_assert_cmpuint(f->stats->gpu_time_ns, ==, 0);
    g_assert_cmpuint(f->stats->throttled_ns, ==, 0);
    close(fd);
}

/* Each change is there before its answer, is counted, and QEMU hears of it; the capset follows. */
static void test_changes(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);
    struct vgpu_capset caps;
    uint64_t serial;

    if (!f) {
        return;
    }
    serial = f->stats->profile_serial;
    set(d, "{\"profile\": \"half\"}");
    g_assert_true(attach_changed(fd, SOON));
    expect_profile(f, "half", 500000, 512 * MIB);
    g_assert_cmpuint(f->stats->profile_serial, ==, serial + 2);
    set(d, "{\"share\": \"10%\"}");
    g_assert_true(attach_changed(fd, SOON));
    expect_profile(f, "half", 100000, 512 * MIB);
    set(d, "{\"memory\": \"128M\"}");
    g_assert_true(attach_changed(fd, SOON));
    expect_profile(f, "half", 100000, 128 * MIB);
    g_assert_cmpuint(f->stats->profile_serial, ==, serial + 6);
    g_assert_cmphex(gpu_capset(f, VGPU_CAPSET_ID, VGPU_CAPSET_VERSION, &caps, sizeof(caps)), ==,
                    VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_cmpstr(caps.profile, ==, "half");
    g_assert_cmpuint(caps.memory_limit, ==, 128 * MIB);
    /* what is refused changes nothing, and nobody hears of it */
    {
        g_autoptr(HttpReply) r = http_ask(d, "PATCH", "/v1/vms/one", JSON_TYPE, "{\"memory\": \"128G\"}");

        http_expect_error(r, 409);
    }
    g_assert_false(attach_changed(fd, 300));
    expect_profile(f, "half", 100000, 128 * MIB);
    close(fd);
}

/* A QEMU that does not read what it is told costs nobody anything. */
static void test_not_read(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);

    if (!f) {
        return;
    }
    for (unsigned i = 0; i < 150; i++) {
        set(d, i % 2 ? "{\"share\": \"10%\"}" : "{\"share\": \"20%\"}");
    }
    expect_profile(f, "quarter", 100000, 256 * MIB);
    g_assert_true(gpu_still_works(f));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    close(fd);
}

/* Its page is another one with each renderer; what counts goes on. */
static void test_resets(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);
    uint64_t serial;
    AttachPacket p;

    if (!f) {
        return;
    }
    set(d, "{\"share\": \"30%\"}");
    serial = f->stats->profile_serial;
    f = lose(d, f, fd);
    expect_profile(f, "quarter", 300000, 256 * MIB);
    g_assert_cmpuint(f->stats->profile_serial, >, serial);
    g_assert_cmpuint(f->stats->resets, ==, 1);
    g_assert_cmpuint(f->stats->reset_cause, ==, VGPU_RESET_CRASH);
    change(d, "POST", "/v1/vms/one/stop", "{}");
    g_assert_true(attach_receive(fd, &p, NULL, SOON));
    drop(&f);
    f = rejoin(fd);
    g_assert_cmpuint(f->stats->resets, ==, 2);
    g_assert_cmpint(vm_number(d, "one", "resets"), ==, 2);
    g_assert_cmpuint(f->stats->reset_cause, ==, VGPU_RESET_OPERATOR);
    drop(&f);
    close(fd);
}

/* How long the host has been up is nobody's business: what the guest sees begins with its renderer. */
static void test_clock(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    uint64_t begin = (uint64_t)g_get_monotonic_time() * 1000, seen;
    uint32_t words[1] = { 0 };
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);

    if (!f) {
        return;
    }
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmpuint(vgpu_stats_get(&f->stats->last_submit_ns), ==, 0);
    g_assert_cmphex(gpu_submit(f, 1, words, 1), ==, OK_NODATA);
    seen = vgpu_stats_get(&f->stats->last_submit_ns);
    g_assert_cmpuint(seen, >, 0);
    g_assert_cmpuint(seen, <=, (uint64_t)g_get_monotonic_time() * 1000 - begin);
    close(fd);
}

/* GPU time is there a moment after it was used, goes on with the next renderer and with the next vgpud. */
static void test_times(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    uint64_t used, waited, burnt, passed;
    int64_t begin;
    pid_t pid;
    Load l[2];
    unsigned i;

    for (i = 0; i < 2; i++) {
        if (!load_start(&l[i], d, "even", i ? "two" : "one", 1 + i, 3000)) {
            return;
        }
    }
    for (i = 0; i < 10 && !vgpu_stats_get(&l[0].f->stats->gpu_time_ns); i++) {
        pump(l, 2, 1000); /* what starting takes is no use of the GPU */
    }
    pid = vgpud_renderer_pid(d, "one");
    used = vgpu_stats_get(&l[0].f->stats->gpu_time_ns);
    waited = vgpu_stats_get(&l[0].f->stats->throttled_ns);
    begin = g_get_monotonic_time();
    burnt = cpu_ns(pid);
    pump(l, 2, 2000);
    burnt = (cpu_ns(pid) - burnt) / g_get_num_processors();
    /* of what this host let it burn, most; it is told once a second */
    for (i = 0; i < 10 && vgpu_stats_get(&l[0].f->stats->gpu_time_ns) - used < burnt * 7 / 10; i++) {
        pump(l, 2, 500);
    }
    used = vgpu_stats_get(&l[0].f->stats->gpu_time_ns) - used;
    waited = vgpu_stats_get(&l[0].f->stats->throttled_ns) - waited;
    passed = (uint64_t)(g_get_monotonic_time() - begin) * 1000;
    g_test_message("in %.2f s: %.2f s of GPU time (%.2f s burnt in the first 2), waited for %.2f s",
                   passed / 1e9, used / 1e9, burnt / 1e9, waited / 1e9);
    g_assert_cmpuint(burnt, >, 0);
    g_assert_cmpuint(used, >=, burnt * 7 / 10);
    g_assert_cmpuint(used, <, passed + 500u * 1000 * 1000);
    g_assert_cmpuint(waited, >, 100u * 1000 * 1000);
    load_end(&l[1]);
    g_usleep(2500 * 1000);
    used = vgpu_stats_get(&l[0].f->stats->gpu_time_ns);
    waited = vgpu_stats_get(&l[0].f->stats->throttled_ns);
    vgpud_end(d, SIGKILL);
    g_assert_true(vgpud_run(d));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    g_assert_cmpuint(vgpu_stats_get(&l[0].f->stats->gpu_time_ns), >=, used);
    for (i = 0; i < 10 && vgpu_stats_get(&l[0].f->stats->gpu_time_ns) == used; i++) {
        pump(l, 1, 1000);
    }
    g_assert_cmpuint(vgpu_stats_get(&l[0].f->stats->gpu_time_ns), >, used);
    g_assert_cmpuint(vgpu_stats_get(&l[0].f->stats->throttled_ns), >=, waited);
    load_end(&l[0]);
}

/* What the renderer wrote there while vgpud was away, vgpud does not believe, and the guest does not see. */
static void test_adopted(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    int fd, mem;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);
    g_autofree char *path = NULL;
    struct vgpu_stats *theirs;

    if (!f) {
        return;
    }
    vgpud_end(d, SIGKILL);
    path = g_strdup_printf("/proc/self/fd/%d", f->stats_fd);
    mem = open(path, O_RDWR | O_CLOEXEC);
    theirs = mem >= 0 ? mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0) : MAP_FAILED;
    g_assert_true(theirs != MAP_FAILED);
    memset(theirs->profile, 'x', sizeof(theirs->profile));
    theirs->profile_serial = UINT64_MAX;
    theirs->share = theirs->resets = theirs->reset_cause = UINT64_MAX;
    theirs->gpu_time_ns = theirs->throttled_ns = UINT64_MAX;
    g_assert_true(vgpud_run(d));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    g_assert_cmpstr(theirs->profile, ==, "quarter");
    g_assert_cmpuint(theirs->share, ==, 250000);
    g_assert_cmpuint(theirs->profile_serial % 2, ==, 0);
    g_assert_cmpuint(theirs->gpu_time_ns, <=, 1ull << 54);
    munmap(theirs, VGPU_STATS_SIZE);
    close(mem);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vgpud/page/begins", test_begins);
    g_test_add_func("/vgpud/page/changes", test_changes);
    g_test_add_func("/vgpud/page/not-read", test_not_read);
    g_test_add_func("/vgpud/page/resets", test_resets);
    g_test_add_func("/vgpud/page/clock", test_clock);
    g_test_add_func("/vgpud/page/times", test_times);
    g_test_add_func("/vgpud/page/adopted", test_adopted);
    return load_run_tests();
}
