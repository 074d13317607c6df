/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of Vulkan contexts and of what serves them: fences are answered, maps
 * revoked, books right, and nobody else minds.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "bar.h"
#include "leased.h"
#include "venus.h"

/* What is left of context 1, whose process is gone: nothing, and nobody else minds. */
static void expect_lost(Frontend *f, pid_t server, unsigned others)
{
    uint32_t nothing[4] = { 0 };

    venus_wait_contexts(f, server, others);
    gpu_still_works(f);
    g_assert_cmphex(gpu_submit(f, 1, nothing, 4), !=, OK_NODATA); /* it may be the first to notice */
    CHECK(gpu_submit(f, 1, nothing, 4), ERR_PARAM);
    CHECK(gpu_blob_host(f, 99, 1, PAGE), ERR_PARAM);
    OKAY(gpu_context_destroy(f, 1));
}

static void lose(Frontend *f, Bar *bar, pid_t server)
{
    Pending *p[64];

    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_blob_host(f, 1, 1, MIB));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    memset(bar->base, 0x5a, MIB);
    kill(venus_context(server), SIGSTOP);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        p[i] = venus_fenced(f, 1, i, i + 1);
    }
    gpu_still_works(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        g_assert_false(p[i]->done);
    }
    kill(venus_context(server), SIGKILL);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        g_assert_true(frontend_wait(f, p[i], SOON));
        pending_free(p[i]);
    }
    venus_wait_contexts(f, server, 0);
    g_assert_true(bar_wait(bar, 1, 1, SOON));
    g_assert_cmphex(bar_word(bar, 0), ==, 0);
    OKAY(gpu_unmap(f, 1));
    CHECK(gpu_map(f, 1, 0), ERR_UNSPEC);
    CHECK(gpu_unmap(f, 1), ERR_UNSPEC);
    venus_expect_log(f, "its process has ended");
}

static void test_killed(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    pid_t server = venus_server(f);

    lose(f, bar, server);
    OKAY(gpu_context_create(f, 2, VENUS));
    OKAY(gpu_blob_host(f, 2, 2, MIB));
    OKAY(gpu_context_detach(f, 1, 1));
    expect_lost(f, server, 1);
    USED(CONTEXT + 2 * MIB);
    OKAY(gpu_unref(f, 1));
    CHECK(gpu_map(f, 2, 0), OK_MAP_INFO);
    OKAY(gpu_unref(f, 2));
    OKAY(gpu_context_destroy(f, 2));
    venus_wait_used(f, 0);
    OKAY(gpu_context_create(f, 1, VENUS));
}

/* Commands that mean nothing, in its own stream or more of them than it takes: its own end only. */
static void test_garbage(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    pid_t server = venus_server(f);
    g_autofree uint32_t *noise = g_malloc(128 * 1024);
    static const unsigned dwords[] = { 1, 2, 64, 65, 1000, 16384, 16385, 32768 };

    OKAY(gpu_context_create(f, 2, VENUS));
    for (unsigned i = 0; i < G_N_ELEMENTS(dwords) && !f->dead; i++) {
        for (unsigned k = 0; k < 32768; k++) {
            noise[k] = g_test_rand_int();
        }
        OKAY(gpu_context_create(f, 1, VENUS));
        gpu_submit(f, 1, noise, dwords[i]);
        expect_lost(f, server, 1);
        CHECK(gpu_unref(f, 1), ERR_RESOURCE);
    }
    OKAY(gpu_blob_host(f, 1, 2, PAGE));
}

/* A process that does not answer: the render thread waits for it, and somebody watches that. */
static void test_stopped(void)
{
    g_autofree char *layer = venus_option();
    const char *args[] = { layer, NULL };
    FrontendOptions o = { .renderer = "virgl", .memory = 64 * MIB, .args = args };
    g_autoptr(Leased) v = leased_new(&o, true);
    Frontend *f = v->f;
    pid_t server = venus_server(f);
    int64_t begun;

    __atomic_store_n(&v->h.page->hang_timeout_ns, 1500ull * 1000 * 1000, __ATOMIC_RELAXED);
    g_atomic_int_set(&v->generous, 1);
    OKAY(gpu_context_create(f, 2, VENUS));
    OKAY(gpu_context_create(f, 1, VENUS));
    kill(venus_context(server), SIGSTOP); /* the first of them: context 2's */
    begun = g_get_monotonic_time();
    CHECK(gpu_blob_host(f, 1, 2, PAGE), ERR_UNSPEC);
    g_assert_cmpint(g_get_monotonic_time() - begun, <, 5 * G_USEC_PER_SEC);
    venus_expect_log(f, "has not answered");
    venus_wait_contexts(f, server, 1);
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    venus_wait_used(f, CONTEXT + PAGE);
    CHECK(gpu_submit(f, 2, &(uint32_t){ 0 }, 1), ERR_PARAM);
}

/* vgpud, which looks away from a VM whose leases are idle, hears of each new process. */
static void test_tells_vgpud(void)
{
    g_autofree char *layer = venus_option();
    const char *args[] = { layer, NULL };
    FrontendOptions o = { .renderer = "virgl", .memory = 64 * MIB, .args = args };
    g_autoptr(Leased) v = leased_new(&o, true);
    Frontend *f = v->f;
    int64_t deadline;

    g_assert_cmpint(g_atomic_int_get(&v->calls), ==, 0);
    for (int n = 1; n <= 2; n++) {
        OKAY(gpu_context_create(f, (uint32_t)n, VENUS));
        deadline = g_get_monotonic_time() + SOON * 1000ll;
        while (g_atomic_int_get(&v->calls) < n && g_get_monotonic_time() < deadline) {
            g_usleep(1000);
        }
        g_assert_cmpint(g_atomic_int_get(&v->calls), ==, n);
    }
    g_assert_cmphex(state(&v->h), ==, 0);
}

/* The same of the server: Vulkan is over, and nothing else. */
static void test_server_stopped(void)
{
    g_autofree char *layer = venus_option();
    const char *args[] = { layer, NULL };
    FrontendOptions o = { .renderer = "virgl", .memory = 64 * MIB, .args = args };
    g_autoptr(Leased) v = leased_new(&o, true);
    Frontend *f = v->f;
    pid_t server = venus_server(f);
    g_autoptr(Pending) p = NULL;

    __atomic_store_n(&v->h.page->hang_timeout_ns, 1500ull * 1000 * 1000, __ATOMIC_RELAXED);
    g_atomic_int_set(&v->generous, 1);
    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    kill(server, SIGSTOP);
    kill(venus_context(server), SIGSTOP);
    p = venus_fenced(f, 1, 1, 1);
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    venus_expect_log(f, "has not answered");
    venus_expect_log(f, "has no Vulkan until");
    g_assert_true(frontend_wait(f, p, SOON));
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    OKAY(gpu_context_create(f, 3, 2));
    OKAY(gpu_context_destroy(f, 3));
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_unref(f, 1));
    venus_wait_contexts(f, server, 0);
    venus_wait_used(f, 0);
}

static void test_server_killed(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    g_autoptr(Pending) p = NULL;
    g_autoptr(GArray) left = NULL;
    pid_t server = venus_server(f);

    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_context_create(f, 3, 2));
    OKAY(gpu_blob_host(f, 1, 1, MIB));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    kill(venus_context(server), SIGSTOP);
    p = venus_fenced(f, 1, 5, 1);
    kill(server, SIGKILL);
    g_assert_true(frontend_wait(f, p, SOON));
    g_assert_true(bar_wait(bar, 1, 1, SOON));
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    venus_expect_log(f, "has no Vulkan until");
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    OKAY(gpu_create_texture(f, 9, BGRA, 64, 64));
    OKAY(gpu_context_attach(f, 3, 9));
    OKAY(gpu_unref(f, 9));
    OKAY(gpu_context_destroy(f, 3));
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_unref(f, 1));
    venus_wait_used(f, 0);
    left = proc_children(f->pid);
    g_assert_cmpuint(left->len, ==, 0);
    g_assert_true(gpu_still_works(f));
}

/* With the renderer ends all that it started, whatever that is doing. */
static void test_renderer_killed(gconstpointer signal)
{
    Frontend *f = venus_start(NULL);
    pid_t server = venus_server(f), context;
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;

    OKAY(gpu_context_create(f, 1, VENUS));
    context = venus_context(server);
    kill(context, SIGSTOP);
    if (signal) {
        kill(f->pid, SIGKILL);
        f->exit_unchecked = true;
    }
    frontend_free(f);
    while ((proc_alive(server) || proc_alive(context)) && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
    }
    g_assert_false(proc_alive(server));
    g_assert_false(proc_alive(context));
}

static void test_reset(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    pid_t server = venus_server(f);

    for (unsigned i = 0; i < 5 && !f->dead; i++) {
        OKAY(gpu_context_create(f, 1, VENUS));
        OKAY(gpu_context_create(f, 2, VENUS));
        OKAY(gpu_blob_host(f, 1, 1, MIB));
        CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
        kill(venus_context(server), SIGSTOP);
        pending_free(venus_fenced(f, 1, 1, 1));
        pending_free(venus_fenced(f, 2, 1, 1));
        bar_revoke(bar);
        g_assert_true(frontend_reset(f));
        OKAY(gpu_create_2d(f, 999, BGRX, 1, 1));
        OKAY(gpu_unref(f, 999));
        venus_wait_contexts(f, server, 0);
        venus_wait_used(f, 0);
    }
}

/*
 * As vgpud starts it: in namespaces of its own, where the renderer is process 1
 * and there is no /proc but its own.
 */
static void test_box(void)
{
    g_autoptr(Vgpud) d = NULL;
    Frontend *f;
    pid_t renderer, server;
    int fd;

    if (!g_getenv("VGPUD") || !g_getenv("VGPUCTL")) {
        g_test_skip("built without vgpud");
        return;
    }
    d = vgpud_new("virgl", NULL);
    f = attach_vm(d, "quarter", "boxed", 1, &fd);
    g_assert_nonnull(f);
    renderer = vgpud_renderer_pid(d, "boxed");
    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_context_create(f, 2, 2));
    OKAY(gpu_blob_host(f, 1, 1, MIB));
    server = venus_child_of(renderer);
    if (!proc_same_namespace(renderer, "pid")) {
        g_assert_false(proc_same_namespace(venus_context(server), "mnt"));
        g_assert_false(proc_same_namespace(venus_context(server), "net"));
        g_assert_false(proc_same_namespace(venus_context(server), "pid"));
    }
    kill(venus_context(server), SIGKILL);
    venus_wait_contexts(f, server, 0);
    gpu_still_works(f);
    g_assert_cmphex(gpu_submit(f, 1, &(uint32_t){ 0 }, 1), !=, OK_NODATA); /* it may be the first to notice */
    CHECK(gpu_submit(f, 1, &(uint32_t){ 0 }, 1), ERR_PARAM);
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_context_destroy(f, 2));
    venus_wait_used(f, 0);
    OKAY(gpu_context_create(f, 1, VENUS));
    close(fd);
    frontend_free(f);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        GTestFunc func;
    } tests[] = {
        { "/venus-end/killed", test_killed },
        { "/venus-end/garbage", test_garbage },
        { "/venus-end/tells-vgpud", test_tells_vgpud },
        { "/venus-end/stopped", test_stopped },
        { "/venus-end/server-stopped", test_server_stopped },
        { "/venus-end/server-killed", test_server_killed },
        { "/venus-end/reset", test_reset },
        { "/venus-end/box", test_box },
    };

    g_test_init(&argc, &argv, NULL);
    if (venus_skipped()) {
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_func(tests[i].path, tests[i].func);
    }
    g_test_add_data_func("/venus-end/renderer-ends", NULL, test_renderer_killed);
    g_test_add_data_func("/venus-end/renderer-killed", GINT_TO_POINTER(1), test_renderer_killed);
    return g_test_run();
}
