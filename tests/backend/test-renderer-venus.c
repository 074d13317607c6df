/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vulkan contexts: the real renderer with virglrenderer's render server and our
 * layer in it, on whatever Vulkan driver there is.  What a guest could do
 * wrong, and what is left when a process of theirs dies.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "bar.h"
#include "gpu_blob.h"
#include "leased.h"

#define MIB    (1ull << 20)
#define PAGE   4096u
#define WINDOW (64 * MIB)
#define VENUS  VIRTIO_GPU_CAPSET_VENUS
#define SOON   10000
/* What a context is charged at: a process. */
#define CONTEXT (4 * MIB)

static char *layer_option(void)
{
    return g_strdup_printf("--vulkan-layer=%s", g_getenv("VGPU_VULKAN_LAYER"));
}

static Frontend *start(const char *more)
{
    g_autofree char *layer = layer_option();
    const char *args[] = { layer, more, NULL };
    FrontendOptions o = { .renderer = "virgl", .ram = 64 * MIB, .memory = 64 * MIB, .args = args };

    return frontend_new(&o);
}

static void check(Frontend *f, const char *what, uint32_t got, uint32_t want)
{
    if (!f->dead && got != want) {
        g_test_fail_printf("%s: response 0x%x, not 0x%x", what, got, want);
    }
}

#define CHECK(call, want) check(f, #call, call, want)
#define OKAY(call)        CHECK(call, OK_NODATA)
#define USED(want)        g_assert_cmpuint(frontend_used(f), ==, want)

static void expect_log(Frontend *f, const char *text)
{
    g_autofree char *log = frontend_log(f);

    if (!strstr(log, text)) {
        g_test_fail_printf("the log does not say '%s'", text);
    }
}

/* ---- their processes ---- */

static pid_t child_of(pid_t pid)
{
    g_autoptr(GArray) c = proc_children(pid);

    g_assert_cmpuint(c->len, ==, 1);
    return g_array_index(c, pid_t, 0);
}

static pid_t server_of(Frontend *f)
{
    return child_of(f->pid);
}

static unsigned contexts_of(pid_t server)
{
    g_autoptr(GArray) c = proc_children(server);
    unsigned n = 0;

    for (unsigned i = 0; i < c->len; i++) {
        n += proc_alive(g_array_index(c, pid_t, i));
    }
    return n;
}

/* Where there is one only. */
static pid_t context_of(pid_t server)
{
    g_autoptr(GArray) c = proc_children(server);

    for (unsigned i = 0; i < c->len; i++) {
        if (proc_alive(g_array_index(c, pid_t, i))) {
            return g_array_index(c, pid_t, i);
        }
    }
    g_assert_not_reached();
}

static void wait_contexts(Frontend *f, pid_t server, unsigned want)
{
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;

    while (contexts_of(server) != want && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
        frontend_collect(f, NULL);
    }
    g_assert_cmpuint(contexts_of(server), ==, want);
}

/* The renderer hears of a death a moment after it. */
static void wait_used(Frontend *f, uint64_t want)
{
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;

    while (frontend_used(f) != want && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
        frontend_collect(f, NULL);
    }
    USED(want);
}

/* ---- what a guest sees ---- */

static void test_capset(void)
{
    g_autoptr(Frontend) f = start(NULL);
    struct virtio_gpu_resp_capset_info info;
    uint32_t caps[64];

    g_assert_true(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_CONTEXT_INIT);
    g_assert_true(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_RESOURCE_BLOB);
    g_assert_cmpstr(f->hello.warning, ==, "");
    g_assert_true(gpu_find_capset(f, VENUS, &info));
    g_assert_cmpuint(info.capset_max_size, >=, 160);
    g_assert_cmpuint(info.capset_max_size, <=, sizeof(caps));
    CHECK(gpu_capset(f, VENUS, 0, caps, info.capset_max_size), VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_cmpuint(caps[0], >, 0);  /* wire format */
    g_assert_cmpuint(caps[4], ==, 1); /* blob_id 0: there is a render server */
    g_assert_true(gpu_find_capset(f, 1, &info));
    g_assert_true(gpu_find_capset(f, 2, &info));
}

static void test_not_allowed(void)
{
    g_autoptr(Frontend) f = start("--apis=gl");
    struct virtio_gpu_resp_capset_info info;
    g_autoptr(GArray) children = proc_children(f->pid);

    g_assert_cmpuint(children->len, ==, 0);
    g_assert_false(gpu_find_capset(f, VENUS, &info));
    CHECK(gpu_context_create(f, 1, VENUS), ERR_PARAM);
    OKAY(gpu_context_create(f, 1, 2));
}

static void test_alone(void)
{
    g_autoptr(Frontend) f = start("--apis=vulkan");
    struct virtio_gpu_resp_capset_info info;

    g_assert_true(gpu_find_capset(f, VENUS, &info));
    g_assert_false(gpu_find_capset(f, 1, &info));
    g_assert_false(gpu_find_capset(f, 2, &info));
    CHECK(gpu_context_create(f, 1, 0), ERR_PARAM);
    CHECK(gpu_context_create(f, 1, 2), ERR_PARAM);
    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_create_2d(f, 1, BGRX, 16, 16));
}

static void missing(const char *option, const char *says)
{
    g_autofree char *layer = layer_option();
    const char *args[] = { layer, option, NULL };
    FrontendOptions o = { .renderer = "virgl", .args = args };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_resp_capset_info info;

    g_assert_nonnull(strstr(f->hello.warning, "no Vulkan"));
    g_assert_nonnull(strstr(f->hello.warning, says));
    g_assert_false(gpu_find_capset(f, VENUS, &info));
    OKAY(gpu_context_create(f, 1, 2));
}

/* Nobody wants Vulkan: what is there is a child of the renderer's that waits. */
static void test_unused(void)
{
    g_autoptr(Frontend) f = start(NULL);
    pid_t server = server_of(f);
    g_autofree char *before = proc_status(server, "Name"), *after = NULL;

    g_assert_cmpstr(before, ==, "vgpu-vulkan");
    g_assert_cmpuint(proc_fd_count(server), <=, 9);
    OKAY(gpu_context_create(f, 1, VENUS));
    after = proc_status(server, "Name");
    g_assert_cmpstr(after, ==, "virgl_render_se");
}

/* No Vulkan is no reason to have nothing. */
static void test_missing(void)
{
    missing("--render-server=/nowhere/virgl_render_server", "/nowhere/virgl_render_server");
    missing("--vulkan-layer=/nowhere/libVkLayer_vgpu.so", "/nowhere/libVkLayer_vgpu.so");
}

/* A server that has not our layer in it is not used. */
static void test_without_layer(void)
{
    const char *args[] = { "--vulkan-layer=/dev/null", NULL };
    FrontendOptions o = { .renderer = "virgl", .args = args };
    g_autoptr(Frontend) f = frontend_new(&o);

    CHECK(gpu_context_create(f, 1, VENUS), ERR_UNSPEC);
    expect_log(f, "does not say hello");
    OKAY(gpu_context_create(f, 1, 2));
    wait_contexts(f, server_of(f), 0);
}

/* ---- contexts ---- */

static void test_contexts(void)
{
    g_autoptr(Frontend) f = start(NULL);
    pid_t server = server_of(f);
    unsigned fds, base_fds;

    OKAY(gpu_context_create(f, 7, VENUS));
    CHECK(gpu_context_create(f, 7, VENUS), ERR_CONTEXT);
    CHECK(gpu_context_create(f, 7, 2), ERR_CONTEXT);
    OKAY(gpu_context_create(f, 8, 2));
    CHECK(gpu_context_create(f, 8, VENUS), ERR_CONTEXT);
    g_assert_cmpuint(contexts_of(server), ==, 1);
    OKAY(gpu_context_destroy(f, 7));
    CHECK(gpu_context_destroy(f, 7), ERR_CONTEXT);
    wait_contexts(f, server, 0);
    base_fds = proc_fd_count(f->pid);
    for (unsigned i = 0; i < 50 && !f->dead; i++) {
        OKAY(gpu_context_create(f, 100 + i % 3, VENUS));
        OKAY(gpu_blob_host(f, 1, 100 + i % 3, 64 * PAGE));
        OKAY(gpu_context_destroy(f, 100 + i % 3));
        OKAY(gpu_unref(f, 1));
    }
    wait_contexts(f, server, 0);
    OKAY(gpu_context_destroy(f, 8));
    wait_used(f, 0);
    gpu_still_works(f);
    fds = proc_fd_count(f->pid);
    g_assert_cmpuint(fds, <=, base_fds);
    OKAY(gpu_context_create(f, 7, VENUS));
    g_assert_cmpuint(vgpu_stats_get(&f->stats->contexts), ==, 1);
}

static void test_max_contexts(void)
{
    g_autoptr(Frontend) f = start("--max-contexts=3");

    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_context_create(f, 2, 2));
    OKAY(gpu_context_create(f, 3, VENUS));
    CHECK(gpu_context_create(f, 4, VENUS), ERR_MEMORY);
    CHECK(gpu_context_create(f, 4, 2), ERR_MEMORY);
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_context_create(f, 4, VENUS));
}

/* As many as there can be processes, and as many again at once. */
static void test_many(void)
{
    g_autofree char *layer = layer_option();
    const char *args[] = { layer, NULL };
    FrontendOptions o = { .renderer = "virgl", .memory = 1024 * MIB, .args = args };
    g_autoptr(Frontend) f = frontend_new(&o);
    pid_t server = server_of(f);

    for (unsigned round = 0; round < 2 && !f->dead; round++) {
        for (unsigned i = 1; i <= 128; i++) {
            OKAY(gpu_context_create(f, i, VENUS));
        }
        CHECK(gpu_context_create(f, 129, VENUS), ERR_MEMORY);
        g_assert_cmpuint(contexts_of(server), ==, 128);
        USED(128 * CONTEXT);
        for (unsigned i = 1; i <= 128; i++) {
            OKAY(gpu_context_destroy(f, i));
        }
    }
    wait_contexts(f, server, 0);
    wait_used(f, 0);
}

/* A process costs something, whatever it does. */
static void test_no_memory(void)
{
    g_autoptr(Frontend) f = start(NULL);

    for (unsigned i = 1; i <= 16; i++) {
        OKAY(gpu_context_create(f, i, VENUS));
    }
    CHECK(gpu_context_create(f, 17, VENUS), ERR_MEMORY);
    OKAY(gpu_context_destroy(f, 16));
    wait_used(f, 15 * CONTEXT);
    OKAY(gpu_context_create(f, 17, VENUS));
}

/* Each has two filters: the server's, and its own on top. */
static void test_confined(void)
{
    g_autoptr(Frontend) f = start(NULL);
    pid_t server = server_of(f);
    g_autofree char *mode = NULL, *filters = NULL, *more = NULL;
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;

    if (g_strcmp0(g_getenv("VGPU_TEST_RENDERER_ARGS"), "--no-sandbox") == 0) {
        g_test_skip("run without its sandbox");
        return;
    }
    OKAY(gpu_context_create(f, 1, VENUS));
    mode = proc_status(server, "Seccomp");
    filters = proc_status(server, "Seccomp_filters");
    do { /* it says hello first */
        g_free(more);
        more = proc_status(context_of(server), "Seccomp_filters");
    } while (g_strcmp0(more, "3") != 0 && g_get_monotonic_time() < deadline);
    g_assert_cmpstr(mode, ==, "2");
    g_assert_cmpstr(filters, ==, "2");
    g_assert_cmpstr(more, ==, "3");
}

/* What a process has open but stdio, as /proc shows it. */
static GPtrArray *open_in(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *link = g_build_filename(path, name, NULL);
        char *what = strlen(name) > 1 || name[0] > '2' ? g_file_read_link(link, NULL) : NULL;

        if (what) {
            g_ptr_array_add(all, what);
        }
    }
    return all;
}

/* How many of the renderer's sockets the server has, and how many pages. */
static unsigned shared_sockets(Frontend *f, pid_t server, unsigned *pages)
{
    g_autoptr(GPtrArray) ours = open_in(f->pid), theirs = open_in(server);
    unsigned sockets = 0;

    *pages = 0;
    for (unsigned i = 0; i < theirs->len; i++) {
        const char *what = g_ptr_array_index(theirs, i);

        sockets += g_str_has_prefix(what, "socket:") &&
                   g_ptr_array_find_with_equal_func(ours, what, g_str_equal, NULL);
        if (g_str_has_prefix(what, "/memfd:")) {
            ++*pages;
            g_assert_true(g_str_has_prefix(what, "/memfd:vulkan") || g_str_has_prefix(what, "/memfd:stats"));
        }
    }
    return sockets;
}

/* They have none of the renderer's descriptors but those meant for them. */
static void test_descriptors(void)
{
    g_autoptr(Frontend) f = start(NULL);
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;
    pid_t server = server_of(f);
    unsigned pages;

    g_assert_cmpuint(shared_sockets(f, server, &pages), ==, 0);
    g_assert_cmpuint(pages, ==, 2);
    OKAY(gpu_context_create(f, 1, VENUS));
    /* the context's own is made by the server, and let go after */
    while (shared_sockets(f, server, &pages) && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
    }
    g_assert_cmpuint(shared_sockets(f, server, &pages), ==, 0);
    g_assert_cmpuint(pages, ==, 2);
}

/* ---- blobs ---- */

static void test_blobs(void)
{
    g_autoptr(Frontend) f = start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);

    OKAY(gpu_context_create(f, 1, VENUS));
    USED(CONTEXT);
    OKAY(gpu_blob_host(f, 1, 1, MIB));
    USED(CONTEXT + MIB);
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    g_assert_cmphex(bar_word(bar, 0), ==, 0);
    memset(bar->base, 0x5a, MIB);
    OKAY(gpu_unmap(f, 1));
    CHECK(gpu_map(f, 1, 2 * MIB), OK_MAP_INFO);
    g_assert_cmphex(bar_word(bar, 2 * MIB), ==, 0x5a5a5a5a);
    g_assert_cmphex(bar_word(bar, 3 * MIB - 4), ==, 0x5a5a5a5a);
    /* attached where it was made, and nowhere else */
    OKAY(gpu_context_attach(f, 1, 1));
    OKAY(gpu_context_create(f, 2, VENUS));
    CHECK(gpu_context_attach(f, 2, 1), ERR_UNSPEC);
    OKAY(gpu_context_detach(f, 2, 1));
    OKAY(gpu_context_detach(f, 1, 1));
    OKAY(gpu_context_detach(f, 1, 1));
    /* the last of it */
    OKAY(gpu_context_destroy(f, 1));
    g_assert_cmphex(bar_word(bar, 2 * MIB), ==, 0x5a5a5a5a);
    OKAY(gpu_context_destroy(f, 2));
    wait_used(f, MIB);
    OKAY(gpu_unref(f, 1));
    wait_used(f, 0);
    g_assert_cmphex(bar_word(bar, 2 * MIB), ==, 0);
}

static void test_blob_fields(void)
{
    g_autoptr(Frontend) f = start(NULL);
    struct virtio_gpu_mem_entry e = { .addr = ram_alloc(f->ram, PAGE), .length = PAGE };
    const struct {
        const char *what;
        BlobAsk ask;
        uint32_t want;
    } bad[] = {
        { "of both kinds", { 1, 1, MEM_BOTH, MAPPABLE, 0, PAGE, 1, &e, 1 }, ERR_UNSPEC },
        { "not to be mapped", { 1, 1, MEM_HOST, 0, 0, PAGE, 0, NULL, 0 }, ERR_UNSPEC },
        { "to be shared", { 1, 1, MEM_HOST, 3, 0, PAGE, 0, NULL, 0 }, ERR_UNSPEC },
        { "no such memory", { 1, 1, MEM_HOST, MAPPABLE, 1234, PAGE, 0, NULL, 0 }, ERR_UNSPEC },
        { "no such memory either", { 1, 1, MEM_HOST, 7, UINT64_MAX, PAGE, 0, NULL, 0 }, ERR_UNSPEC },
        { "half a page", { 1, 1, MEM_HOST, MAPPABLE, 0, PAGE / 2, 0, NULL, 0 }, ERR_PARAM },
        { "too much", { 1, 1, MEM_HOST, MAPPABLE, 0, 65 * MIB, 0, NULL, 0 }, ERR_MEMORY },
        { "all there is", { 1, 1, MEM_HOST, MAPPABLE, 0, UINT64_MAX & ~4095ull, 0, NULL, 0 }, ERR_MEMORY },
        { "in no context", { 1, 0, MEM_HOST, MAPPABLE, 0, PAGE, 0, NULL, 0 }, ERR_CONTEXT },
        { "in a context of OpenGL", { 1, 2, MEM_HOST, MAPPABLE, 0, PAGE, 0, NULL, 0 }, ERR_UNSPEC },
    };

    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_context_create(f, 2, 2));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint64_t before = frontend_used(f);

        check(f, bad[i].what, gpu_blob(f, &bad[i].ask), bad[i].want);
        CHECK(gpu_unref(f, 1), ERR_RESOURCE);
        USED(before);
    }
    /* nothing of that has cost the context */
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    OKAY(gpu_blob(f, &(BlobAsk){ 2, 1, MEM_GUEST, MAPPABLE, 0, PAGE, 1, &e, 1 }));
    CHECK(gpu_context_attach(f, 1, 2), ERR_UNSPEC);
    OKAY(gpu_create_texture(f, 3, BGRA, 64, 64));
    CHECK(gpu_transfer_3d(f, true, 1, 3, 0, &(struct virtio_gpu_box){ 0, 0, 0, 1, 1, 1 }, 4), ERR_UNSPEC);
    OKAY(gpu_context_detach(f, 1, 3));
    g_assert_cmpuint(contexts_of(server_of(f)), ==, 1);
}

/* ---- fences ---- */

static Pending *fenced(Frontend *f, uint32_t ctx, unsigned ring, uint64_t fence)
{
    return gpu_submit_ring(f, ctx, (uint8_t)ring, NULL, 0, fence);
}

static void test_rings(void)
{
    g_autoptr(Frontend) f = start(NULL);

    OKAY(gpu_context_create(f, 1, VENUS));
    for (unsigned i = 0; i < 200 && !f->dead; i++) {
        g_autoptr(Pending) p = fenced(f, 1, 0, i + 1);

        g_assert_true(frontend_wait(f, p, SOON));
        CHECK(gpu_response(p), OK_NODATA);
    }
    for (unsigned ring = 64; ring < 256; ring += 48) {
        g_autoptr(Pending) p = fenced(f, 1, ring, 1000 + ring);

        g_assert_true(frontend_wait(f, p, SOON));
        CHECK(gpu_response(p), ERR_PARAM);
    }
    g_assert_cmpuint(contexts_of(server_of(f)), ==, 1);
    /* a ring that its process has no queue for: that is the end of it, not of its fences */
    for (unsigned ring = 1; ring < 64; ring++) {
        g_autoptr(Pending) p = fenced(f, 1, ring, 2000 + ring);

        g_assert_true(frontend_wait(f, p, SOON));
        CHECK(gpu_response(p), OK_NODATA);
    }
    wait_contexts(f, server_of(f), 0);
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_context_create(f, 1, VENUS));
}

/* ---- their end ---- */

/* What is left of context 1, whose process is gone: nothing, and nobody else minds. */
static void expect_lost(Frontend *f, pid_t server, unsigned others)
{
    uint32_t nothing[4] = { 0 };

    wait_contexts(f, server, others);
    gpu_still_works(f);
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
    kill(context_of(server), SIGSTOP);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        p[i] = fenced(f, 1, i, i + 1);
    }
    gpu_still_works(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        g_assert_false(p[i]->done);
    }
    kill(context_of(server), SIGKILL);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        g_assert_true(frontend_wait(f, p[i], SOON));
        pending_free(p[i]);
    }
    wait_contexts(f, server, 0);
    g_assert_true(bar_wait(bar, 1, 1, SOON));
    g_assert_cmphex(bar_word(bar, 0), ==, 0);
    OKAY(gpu_unmap(f, 1));
    CHECK(gpu_map(f, 1, 0), ERR_UNSPEC);
    CHECK(gpu_unmap(f, 1), ERR_UNSPEC);
    expect_log(f, "its process has ended");
}

static void test_killed(void)
{
    g_autoptr(Frontend) f = start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    pid_t server = server_of(f);

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
    wait_used(f, 0);
    OKAY(gpu_context_create(f, 1, VENUS));
}

/* Commands that mean nothing, in its own stream or more of them than it takes: its own end only. */
static void test_garbage(void)
{
    g_autoptr(Frontend) f = start(NULL);
    pid_t server = server_of(f);
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
    g_autofree char *layer = layer_option();
    const char *args[] = { layer, NULL };
    FrontendOptions o = { .renderer = "virgl", .memory = 64 * MIB, .args = args };
    g_autoptr(Leased) v = leased_new(&o, true);
    Frontend *f = v->f;
    pid_t server = server_of(f);
    int64_t begun;

    __atomic_store_n(&v->h.page->hang_timeout_ns, 1500ull * 1000 * 1000, __ATOMIC_RELAXED);
    g_atomic_int_set(&v->generous, 1);
    OKAY(gpu_context_create(f, 2, VENUS));
    OKAY(gpu_context_create(f, 1, VENUS));
    kill(context_of(server), SIGSTOP); /* the first of them: context 2's */
    begun = g_get_monotonic_time();
    CHECK(gpu_blob_host(f, 1, 2, PAGE), ERR_UNSPEC);
    g_assert_cmpint(g_get_monotonic_time() - begun, <, 5 * G_USEC_PER_SEC);
    expect_log(f, "has not answered");
    wait_contexts(f, server, 1);
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    wait_used(f, CONTEXT + PAGE);
    CHECK(gpu_submit(f, 2, &(uint32_t){ 0 }, 1), ERR_PARAM);
}

/* The same of the server: Vulkan is over, and nothing else. */
static void test_server_stopped(void)
{
    g_autofree char *layer = layer_option();
    const char *args[] = { layer, NULL };
    FrontendOptions o = { .renderer = "virgl", .memory = 64 * MIB, .args = args };
    g_autoptr(Leased) v = leased_new(&o, true);
    Frontend *f = v->f;
    pid_t server = server_of(f);
    g_autoptr(Pending) p = NULL;

    __atomic_store_n(&v->h.page->hang_timeout_ns, 1500ull * 1000 * 1000, __ATOMIC_RELAXED);
    g_atomic_int_set(&v->generous, 1);
    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    kill(server, SIGSTOP);
    kill(context_of(server), SIGSTOP);
    p = fenced(f, 1, 1, 1);
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    expect_log(f, "has not answered");
    expect_log(f, "has no Vulkan until");
    g_assert_true(frontend_wait(f, p, SOON));
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    OKAY(gpu_context_create(f, 3, 2));
    OKAY(gpu_context_destroy(f, 3));
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_unref(f, 1));
    wait_contexts(f, server, 0);
    wait_used(f, 0);
}

static void test_server_killed(void)
{
    g_autoptr(Frontend) f = start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    g_autoptr(Pending) p = NULL;
    g_autoptr(GArray) left = NULL;
    pid_t server = server_of(f);

    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_context_create(f, 3, 2));
    OKAY(gpu_blob_host(f, 1, 1, MIB));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    kill(context_of(server), SIGSTOP);
    p = fenced(f, 1, 5, 1);
    kill(server, SIGKILL);
    g_assert_true(frontend_wait(f, p, SOON));
    g_assert_true(bar_wait(bar, 1, 1, SOON));
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    expect_log(f, "has no Vulkan until");
    CHECK(gpu_context_create(f, 2, VENUS), ERR_UNSPEC);
    OKAY(gpu_create_texture(f, 9, BGRA, 64, 64));
    OKAY(gpu_context_attach(f, 3, 9));
    OKAY(gpu_unref(f, 9));
    OKAY(gpu_context_destroy(f, 3));
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_unref(f, 1));
    wait_used(f, 0);
    left = proc_children(f->pid);
    g_assert_cmpuint(left->len, ==, 0);
    g_assert_true(gpu_still_works(f));
}

/* With the renderer ends all that it started, whatever that is doing. */
static void test_renderer_killed(gconstpointer signal)
{
    Frontend *f = start(NULL);
    pid_t server = server_of(f), context;
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;

    OKAY(gpu_context_create(f, 1, VENUS));
    context = context_of(server);
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
    g_autoptr(Frontend) f = start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    pid_t server = server_of(f);

    for (unsigned i = 0; i < 5 && !f->dead; i++) {
        OKAY(gpu_context_create(f, 1, VENUS));
        OKAY(gpu_context_create(f, 2, VENUS));
        OKAY(gpu_blob_host(f, 1, 1, MIB));
        CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
        kill(context_of(server), SIGSTOP);
        pending_free(fenced(f, 1, 1, 1));
        pending_free(fenced(f, 2, 1, 1));
        bar_revoke(bar);
        g_assert_true(frontend_reset(f));
        OKAY(gpu_create_2d(f, 999, BGRX, 1, 1));
        OKAY(gpu_unref(f, 999));
        wait_contexts(f, server, 0);
        wait_used(f, 0);
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
    server = child_of(renderer);
    if (!proc_same_namespace(renderer, "pid")) {
        g_assert_false(proc_same_namespace(context_of(server), "mnt"));
        g_assert_false(proc_same_namespace(context_of(server), "net"));
        g_assert_false(proc_same_namespace(context_of(server), "pid"));
    }
    kill(context_of(server), SIGKILL);
    wait_contexts(f, server, 0);
    gpu_still_works(f);
    CHECK(gpu_submit(f, 1, &(uint32_t){ 0 }, 1), ERR_PARAM);
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_context_destroy(f, 2));
    wait_used(f, 0);
    OKAY(gpu_context_create(f, 1, VENUS));
    close(fd);
    frontend_free(f);
}

/* No Vulkan on this host, or a build without the layer: there is nothing to test. */
static char *venus_missing(void)
{
    FrontendOptions o = { .renderer = "auto" };
    g_autofree char *layer = NULL;
    const char *args[] = { NULL, NULL };
    struct virtio_gpu_resp_capset_info info;
    g_autoptr(Frontend) f = NULL;

    if (!g_getenv("VGPU_VULKAN_LAYER")) {
        return g_strdup("there is no Vulkan layer (VGPU_VULKAN_LAYER)");
    }
    layer = layer_option();
    args[0] = layer;
    o.args = args;
    f = frontend_new(&o);
    return gpu_find_capset(f, VENUS, &info) ? NULL : g_strdup_printf("no Vulkan here: %s", f->hello.warning);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        GTestFunc func;
    } tests[] = {
        { "/venus/capset", test_capset },
        { "/venus/not-allowed", test_not_allowed },
        { "/venus/alone", test_alone },
        { "/venus/unused", test_unused },
        { "/venus/missing", test_missing },
        { "/venus/without-layer", test_without_layer },
        { "/venus/contexts", test_contexts },
        { "/venus/max-contexts", test_max_contexts },
        { "/venus/many", test_many },
        { "/venus/no-memory", test_no_memory },
        { "/venus/confined", test_confined },
        { "/venus/descriptors", test_descriptors },
        { "/venus/blobs", test_blobs },
        { "/venus/blob-fields", test_blob_fields },
        { "/venus/rings", test_rings },
        { "/venus/killed", test_killed },
        { "/venus/garbage", test_garbage },
        { "/venus/stopped", test_stopped },
        { "/venus/server-stopped", test_server_stopped },
        { "/venus/server-killed", test_server_killed },
        { "/venus/reset", test_reset },
        { "/venus/box", test_box },
    };
    char *none;

    g_test_init(&argc, &argv, NULL);
    none = venus_missing();
    if (none) {
        g_print("1..0 # SKIP %s\n", none);
        g_free(none);
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_func(tests[i].path, tests[i].func);
    }
    g_test_add_data_func("/venus/renderer-ends", NULL, test_renderer_killed);
    g_test_add_data_func("/venus/renderer-killed", GINT_TO_POINTER(1), test_renderer_killed);
    return g_test_run();
}
