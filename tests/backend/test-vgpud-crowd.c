/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs by the hundred: all of them work, and nothing of them stays; idle ones cost next to nothing. */
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "census.h"
#include "gpu_cmd.h"
#include "http.h"
#include "qemu.h"

#define SOON      20000 /* ms */
#define CROWD     200
#define FDS_EACH  12 /* of a front-end, more than enough */
#define ROUNDS    6
#define LEAK_KIB  512                   /* of memory: less than 3 KiB of each VM */
#define IDLE_MS   3000                  /* to watch it for */
#define IDLE_CPU  (30ull * 1000 * 1000) /* ns of that: one look at every VM takes some */
#define IDLE_WAKE 2                     /* a look a second would be more */

/* A VM; one without a front-end does nothing but hold its descriptors. */
typedef struct Guest {
    int fd;
    FrontendFds fds;
    Frontend *f;
} Guest;

/* A sanitizer makes renderers ten times as big, and keeps freed memory. */
static bool sanitized(void)
{
    return g_getenv("VGPU_TEST_RENDERER_ARGS") != NULL;
}

static unsigned crowd(void)
{
    return sanitized() ? CROWD / 10 : CROWD;
}

static void allow_descriptors(unsigned count)
{
    struct rlimit r;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &r), ==, 0);
    r.rlim_cur = MAX(r.rlim_cur, MIN(r.rlim_max, count));
    setrlimit(RLIMIT_NOFILE, &r);
    g_assert_cmpuint(r.rlim_cur, >=, count);
}

static void ask(Qemu *q, Guest *g, unsigned number)
{
    g_autofree char *name = g_strdup_printf("vm%u", number);
    struct vgpu_attach_request r = attach_request("cell", name, number);

    g->fd = qemu_connect(q);
    g_assert_cmpint(g->fd, >=, 0);
    g_assert_true(attach_send(g->fd, &r, sizeof(r), NULL, 0));
}

/* False: refused, and g is as before ask. */
static bool join(Guest *g)
{
    AttachPacket p = { 0 };

    if (g->fd < 0) {
        return false;
    }
    if (attach_receive(g->fd, &p, &g->fds, SOON) && p.hdr.type == VGPU_ATTACH_ACCEPTED) {
        return true;
    }
    if (p.hdr.type != VGPU_ATTACH_REFUSED || p.refused.code != VGPU_REFUSED_FULL) {
        g_test_fail_printf("not accepted: %s", p.refused.message);
    }
    close(g->fd);
    g->fd = -1;
    return false;
}

static bool work(Guest *g)
{
    FrontendOptions o = { .renderer = "null", .memory = CENSUS_CELL, .ram = 1ull << 20, .ring_size = 16 };

    g->f = frontend_adopt(&o, &g->fds);
    return gpu_still_works(g->f);
}

static void leave(Guest *g)
{
    if (g->fd < 0) {
        return;
    }
    if (g->f) {
        g_clear_pointer(&g->f, frontend_free);
    } else {
        close(g->fds.vhost);
        close(g->fds.channel);
        close(g->fds.stats);
        close(g->fds.objects);
    }
    close(g->fd);
    g->fd = -1;
}

/* All at once, as on a host that starts. */
static bool come(Qemu *q, Guest *g, unsigned count)
{
    int64_t start = g_get_monotonic_time();
    bool ok = true;

    for (unsigned i = 0; i < count; i++) {
        ask(q, &g[i], i);
    }
    for (unsigned i = 0; i < count; i++) {
        ok &= join(&g[i]);
    }
    g_test_message("%u VMs came in %.1f s", count, (double)(g_get_monotonic_time() - start) / 1e6);
    return ok;
}

/* As when the host ends them. */
static void go(Qemu *q, Guest *g, unsigned count)
{
    qemu_free(q);
    for (unsigned i = 0; i < count; i++) {
        leave(&g[i]);
    }
}

static void expect_listed(Vgpud *d, Guest *g, unsigned count)
{
    g_autoptr(GHashTable) pids = g_hash_table_new(NULL, NULL);
    g_autoptr(JsonNode) root = NULL, gpus = NULL;
    JsonArray *a = census_ask(d, "/v1/vms", &root);
    JsonObject *gpu;

    g_assert_cmpuint(a ? json_array_get_length(a) : 0, ==, count);
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("vm%u", i);
        JsonObject *vm = vgpud_vm(root, name);

        if (!vm) {
            g_test_fail_printf("%s is not listed", name);
            continue;
        }
        g_assert_cmpstr(json_object_get_string_member_with_default(vm, "state", ""), ==, "running");
        g_assert_cmpint(json_object_get_int_member_with_default(vm, "memory_limit_bytes", 0), ==,
                        CENSUS_CELL);
        g_assert_cmpuint(frontend_used(g[i].f), >, i * 4096);
        g_assert_cmpuint(json_object_get_int_member_with_default(vm, "memory_used_bytes", -1), ==,
                         frontend_used(g[i].f));
        g_hash_table_add(pids, GSIZE_TO_POINTER(json_object_get_int_member_with_default(vm, "pid", 0)));
    }
    g_assert_cmpuint(g_hash_table_size(pids), ==, count);
    if (census_ask(d, "/v1/gpus", &gpus)) {
        gpu = json_array_get_object_element(json_node_get_array(gpus), 0);
        g_assert_cmpint(json_object_get_int_member(gpu, "vms"), ==, count);
        g_assert_cmpuint(json_object_get_int_member(gpu, "memory_booked_bytes"), ==, count * CENSUS_CELL);
        g_assert_cmpint(json_object_get_int_member(gpu, "memory_free_bytes"), ==, 0);
    }
}

/* One more is one too many, until one leaves. */
static void expect_full(Qemu *q, Guest *g, unsigned count)
{
    g_autofree char *why = NULL;
    Guest more = { .fd = -1 };
    unsigned left = count / 2;
    bool in = false;

    ask(q, &more, count);
    why = attach_refused(more.fd, VGPU_REFUSED_FULL);
    g_assert_nonnull(strstr(why, "0 of "));
    close(more.fd);
    leave(&g[left]);
    for (unsigned i = 0; i < 200 && !in; i++) { /* its renderer has to be gone, too */
        ask(q, &g[left], left);
        in = join(&g[left]);
        if (!in) {
            g_usleep(50000);
        }
    }
    g_assert_true(in);
    g_assert_true(in && work(&g[left]));
}

/* Until it has seen that nobody works any more; then it may look at them once in that time. */
static void expect_idle(Vgpud *d, unsigned vms)
{
    uint64_t cpu = 0, wakeups = 0;

    g_usleep(1500000);
    for (unsigned i = 0; i < 12; i++) {
        Census before = census_take(d), after;

        g_usleep(IDLE_MS * 1000);
        after = census_take(d);
        cpu = after.cpu_ns - before.cpu_ns;
        wakeups = after.wakeups - before.wakeups;
        if (cpu <= IDLE_CPU && wakeups <= IDLE_WAKE) {
            break;
        }
    }
    g_test_message("%u idle VMs: %.3f ms of CPU time and %u wakeups in %.1f s", vms, (double)cpu / 1e6,
                   (unsigned)wakeups, IDLE_MS / 1e3);
    g_assert_cmpuint(cpu, <=, IDLE_CPU);
    g_assert_cmpuint(wakeups, <=, IDLE_WAKE);
}

/* All of them at work, and the books to the byte. */
static void crowd_at_work(Vgpud *d, Qemu *q, Guest *g, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        g_assert_true(work(&g[i]));
        g_assert_cmphex(gpu_create_2d(g[i].f, 1, BGRX, 1024, 16 + i), ==, OK_NODATA);
    }
    expect_listed(d, g, count);
    expect_idle(d, count);
    for (unsigned i = 0; i < count; i++) {
        g_assert_true(gpu_still_works(g[i].f));
    }
    expect_full(q, g, count);
}

static void test_crowd(void)
{
    unsigned count = crowd();
    g_autoptr(Vgpud) d = census_vgpud("null", count);
    g_autofree Guest *g = g_new0(Guest, count);
    Census none, one, all;
    Qemu *q;
    uint64_t rss = 0;

    allow_descriptors(count * FDS_EACH + 100);
    for (unsigned i = 0; i < count; i++) {
        g[i].fd = -1;
    }
    none = census_at_rest(d);
    q = qemu_new(d);
    g_assert_true(come(q, g, 1));
    one = census_at_rest(d);
    g_assert_cmpuint(one.children, ==, 1);
    g_assert_cmpuint(one.fds, >, none.fds);
    go(q, g, 1);
    g_assert_true(census_expect_nothing(d, &none));
    /*
     * The first time it gets the memory that it needs for so many and for their list, the
     * second for their work, and sometimes the pieces do not fit a third: what leaks grows
     * with every round.
     */
    for (unsigned round = 0; round < ROUNDS; round++) {
        q = qemu_new(d);
        g_assert_true(come(q, g, count));
        all = census_at_rest(d);
        g_assert_cmpuint(all.children, ==, count);
        g_assert_cmpuint(all.fds - none.fds, ==, count * (one.fds - none.fds));
        g_assert_cmpuint(all.maps - none.maps, ==, count * (one.maps - none.maps));
        if (!round) {
            g_autoptr(JsonNode) root = NULL;

            g_assert_nonnull(census_ask(d, "/v1/vms", &root));
        } else if (!g_test_failed()) {
            crowd_at_work(d, q, g, count);
        }
        go(q, g, count);
        if (!census_expect_nothing(d, &none)) {
            return;
        }
        all = census_at_rest(d);
        if (round >= 2 && (sanitized() || all.rss_kib <= rss + LEAK_KIB)) {
            return;
        }
        g_test_message("%u KiB after round %u", (unsigned)all.rss_kib, round);
        rss = all.rss_kib;
    }
    g_test_fail_printf("it grows by more than %u KiB with every %u VMs", LEAK_KIB, count);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    census_adopt_orphans();
    g_test_add_func("/vgpud/crowd", test_crowd);
    return g_test_run();
}
