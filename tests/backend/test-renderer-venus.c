/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vulkan contexts: the real renderer with virglrenderer's render server and our
 * layer in it, on whatever Vulkan driver there is.  What a guest sees of them and
 * what it could do wrong.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "bar.h"
#include "vulkan_stream.h"

/* ---- what a guest sees ---- */

static void test_capset(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
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
    g_autoptr(Frontend) f = venus_start("--apis=gl");
    struct virtio_gpu_resp_capset_info info;
    g_autoptr(GArray) children = proc_children(f->pid);

    g_assert_cmpuint(children->len, ==, 0);
    g_assert_false(gpu_find_capset(f, VENUS, &info));
    CHECK(gpu_context_create(f, 1, VENUS), ERR_PARAM);
    OKAY(gpu_context_create(f, 1, 2));
}

static void test_alone(void)
{
    g_autoptr(Frontend) f = venus_start("--apis=vulkan");
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
    g_autofree char *layer = venus_option();
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
    g_autoptr(Frontend) f = venus_start(NULL);
    pid_t server = venus_server(f);
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
    venus_expect_log(f, "does not say hello");
    OKAY(gpu_context_create(f, 1, 2));
    venus_wait_contexts(f, venus_server(f), 0);
}

/* ---- contexts ---- */

/* No process could use NVIDIA's driver that was forked after that had been loaded (see driver.h). */
static void expect_no_driver(pid_t server)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", (int)server), *maps = NULL;

    if (g_strcmp0(g_getenv("VGPU_VULKAN_DRIVER"), "nvidia") == 0 &&
        g_file_get_contents(path, &maps, NULL, NULL) && *maps) {
        g_assert_nonnull(strstr(maps, "libvulkan.so"));
        g_assert_null(strstr(maps, "libvulkan_lvp"));
        g_assert_null(strstr(maps, "libGLX_nvidia"));
    }
}

static void test_contexts(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    pid_t server = venus_server(f);
    unsigned fds, base_fds;
    uint64_t eight; /* what that one is charged with */

    OKAY(gpu_context_create(f, 7, VENUS));
    CHECK(gpu_context_create(f, 7, VENUS), ERR_CONTEXT);
    CHECK(gpu_context_create(f, 7, 2), ERR_CONTEXT);
    eight = frontend_used(f);
    OKAY(gpu_context_create(f, 8, 2));
    eight = frontend_used(f) - eight;
    CHECK(gpu_context_create(f, 8, VENUS), ERR_CONTEXT);
    g_assert_cmpuint(venus_contexts(server), ==, 1);
    expect_no_driver(server);
    OKAY(gpu_context_destroy(f, 7));
    CHECK(gpu_context_destroy(f, 7), ERR_CONTEXT);
    venus_wait_contexts(f, server, 0);
    venus_wait_used(f, eight);
    base_fds = proc_fd_count(f->pid);
    for (unsigned i = 0; i < 50 && !f->dead; i++) {
        OKAY(gpu_context_create(f, 100 + i % 3, VENUS));
        OKAY(gpu_blob_host(f, 1, 100 + i % 3, 64 * PAGE));
        OKAY(gpu_context_destroy(f, 100 + i % 3));
        OKAY(gpu_unref(f, 1));
        if (i % 8 == 7) { /* they are charged until it is known that they died, and 64 MiB are for 16 */
            venus_wait_contexts(f, server, 0);
            venus_wait_used(f, eight);
        }
    }
    venus_wait_contexts(f, server, 0);
    OKAY(gpu_context_destroy(f, 8));
    venus_wait_used(f, 0);
    gpu_still_works(f);
    fds = proc_fd_count(f->pid);
    g_assert_cmpuint(fds, <=, base_fds);
    OKAY(gpu_context_create(f, 7, VENUS));
    g_assert_cmpuint(vgpu_stats_get(&f->stats->contexts), ==, 1);
}

static void test_max_contexts(void)
{
    g_autoptr(Frontend) f = venus_start("--max-contexts=3");

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
    g_autofree char *layer = venus_option();
    const char *args[] = { layer, NULL };
    FrontendOptions o = { .renderer = "virgl", .memory = 1024 * MIB, .args = args };
    g_autoptr(Frontend) f = frontend_new(&o);
    pid_t server = venus_server(f);

    for (unsigned round = 0; round < 2 && !f->dead; round++) {
        for (unsigned i = 1; i <= 128; i++) {
            OKAY(gpu_context_create(f, i, VENUS));
        }
        CHECK(gpu_context_create(f, 129, VENUS), ERR_MEMORY);
        g_assert_cmpuint(venus_contexts(server), ==, 128);
        USED(128 * CONTEXT);
        for (unsigned i = 1; i <= 128; i++) {
            OKAY(gpu_context_destroy(f, i));
        }
    }
    venus_wait_contexts(f, server, 0);
    venus_wait_used(f, 0);
}

/* A process costs something, whatever it does. */
static void test_no_memory(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);

    for (unsigned i = 1; i <= 16; i++) {
        OKAY(gpu_context_create(f, i, VENUS));
    }
    CHECK(gpu_context_create(f, 17, VENUS), ERR_MEMORY);
    OKAY(gpu_context_destroy(f, 16));
    venus_wait_used(f, 15 * CONTEXT);
    OKAY(gpu_context_create(f, 17, VENUS));
}

/* Each has two filters: the server's, and its own on top. */
static void test_confined(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    pid_t server = venus_server(f);
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
        more = proc_status(venus_context(server), "Seccomp_filters");
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
    g_autoptr(Frontend) f = venus_start(NULL);
    int64_t deadline = g_get_monotonic_time() + SOON * 1000ll;
    pid_t server = venus_server(f);
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
    g_autoptr(Frontend) f = venus_start(NULL);
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
    venus_wait_used(f, MIB);
    OKAY(gpu_unref(f, 1));
    venus_wait_used(f, 0);
    g_assert_cmphex(bar_word(bar, 2 * MIB), ==, 0);
}

static void test_blob_fields(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
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

        venus_check(f, bad[i].what, gpu_blob(f, &bad[i].ask), bad[i].want);
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
    g_assert_cmpuint(venus_contexts(venus_server(f)), ==, 1);
}

/* ---- fences ---- */

static void test_rings(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);

    OKAY(gpu_context_create(f, 1, VENUS));
    for (unsigned i = 0; i < 200 && !f->dead; i++) {
        g_autoptr(Pending) p = venus_fenced(f, 1, 0, i + 1);

        g_assert_true(frontend_wait(f, p, SOON));
        CHECK(gpu_response(p), OK_NODATA);
    }
    for (unsigned ring = 64; ring < 256; ring += 48) {
        g_autoptr(Pending) p = venus_fenced(f, 1, ring, 1000 + ring);

        g_assert_true(frontend_wait(f, p, SOON));
        CHECK(gpu_response(p), ERR_PARAM);
    }
    g_assert_cmpuint(venus_contexts(venus_server(f)), ==, 1);
    /* a ring that its process has no queue for: that is the end of it, not of its fences */
    for (unsigned ring = 1; ring < 64; ring++) {
        g_autoptr(Pending) p = venus_fenced(f, 1, ring, 2000 + ring);

        g_assert_true(frontend_wait(f, p, SOON));
        CHECK(gpu_response(p), OK_NODATA);
    }
    venus_wait_contexts(f, venus_server(f), 0);
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_context_create(f, 1, VENUS));
}

static bool ring_lives(Bar *bar, int ms)
{
    uint32_t *status = (uint32_t *)(bar->base + VULKAN_RING_STATUS);
    int64_t deadline = g_get_monotonic_time() + ms * 1000ll;

    while (g_get_monotonic_time() < deadline) {
        if (__atomic_load_n(status, __ATOMIC_ACQUIRE) & VULKAN_RING_ALIVE) {
            return true;
        }
        g_usleep(1000);
    }
    return false;
}

static void ring_new(Frontend *f, Bar *bar)
{
    OKAY(gpu_context_create(f, 1, VENUS));
    OKAY(gpu_blob_host(f, 1, 1, 2 * PAGE));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    vulkan_ring(f, 1, 1, 3000000);
    g_assert_true(ring_lives(bar, SOON));
}

static void take_sign(Bar *bar)
{
    __atomic_and_fetch((uint32_t *)(bar->base + VULKAN_RING_STATUS), ~VULKAN_RING_ALIVE, __ATOMIC_ACQ_REL);
}

static void expect_signs(Bar *bar)
{
    for (unsigned i = 0; i < 3; i++) {
        take_sign(bar);
        g_assert_true(ring_lives(bar, 2500));
    }
}

/*
 * Mesa asks for a sign of life every 3 s, and gives a ring up that has given none
 * for 3.5 s: a host that is short of CPUs needs more than that half second.
 */
static void test_signs_of_life(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);

    ring_new(f, bar);
    expect_signs(bar);
    OKAY(gpu_context_destroy(f, 1));
}

/* The thread of a context process that gives signs; 0: there is none. */
static pid_t monitor_of(pid_t context)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", (int)context);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *tid;

    while (dir && (tid = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("%s/%s/comm", tasks, tid), *name = NULL;

        if (g_file_get_contents(path, &name, NULL, NULL) && g_str_has_prefix(name, "vkr-ringmon")) {
            return atoi(tid);
        }
    }
    return 0;
}

/* A thread of the context process that is held up, as by a lock, costs no program. */
static void test_signs_held_up(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    pid_t monitor;

    ring_new(f, bar);
    monitor = monitor_of(venus_context(venus_server(f)));
    g_assert_cmpint(monitor, >, 0);
    if (ptrace(PTRACE_SEIZE, monitor, NULL, NULL) || ptrace(PTRACE_INTERRUPT, monitor, NULL, NULL)) {
        g_test_skip("threads of a context process cannot be stopped here");
        return;
    }
    g_assert_cmpint(waitpid(monitor, NULL, __WALL), ==, monitor);
    expect_signs(bar);
    ptrace(PTRACE_DETACH, monitor, NULL, NULL);
    OKAY(gpu_context_destroy(f, 1));
}

/* The guest uses the memory of a ring that it has ended for something else. */
static void test_signs_end(void)
{
    g_autoptr(Frontend) f = venus_start(NULL);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);

    ring_new(f, bar);
    expect_signs(bar);
    vulkan_ring_end(f, 1);
    /* it is ended in its process too, once this is answered */
    OKAY(gpu_blob_host(f, 2, 1, PAGE));
    take_sign(bar);
    g_assert_false(ring_lives(bar, 1500));
    /* and another one in its place has them again */
    memset(bar->base, 0, 2 * PAGE);
    vulkan_ring(f, 1, 1, 3000000);
    g_assert_true(ring_lives(bar, SOON));
    OKAY(gpu_context_destroy(f, 1));
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
        { "/venus/signs-of-life", test_signs_of_life },
        { "/venus/signs-held-up", test_signs_held_up },
        { "/venus/signs-end", test_signs_end },
    };

    g_test_init(&argc, &argv, NULL);
    if (venus_skipped()) {
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_func(tests[i].path, tests[i].func);
    }
    return g_test_run();
}
