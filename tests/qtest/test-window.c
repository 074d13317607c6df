/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blobs of host memory in the guest's window, from the command to what the guest
 * reads in BAR 4, with the null renderer: its blobs say on each page whose they
 * are.  Wherever nothing is mapped the guest reads zeros.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu-window.h"

#define MIB     (1ull * 1024 * 1024)
#define BACK_MS 15000
#define OK_MAP  VIRTIO_GPU_RESP_OK_MAP_INFO

static uint64_t base, size;

static uint32_t word(Gpu *g, uint64_t offset)
{
    return qtest_readl(g->vm->qts, base + offset);
}

static void write_word(Gpu *g, uint64_t offset, uint32_t value)
{
    qtest_writel(g->vm->qts, base + offset, value);
}

#define EXPECT_WORD(g, offset, want) g_assert_cmphex(word(g, offset), ==, want)

/* Context 1, which all blobs here are of, and the window. */
static void open_window(Gpu *g)
{
    size = window_open(g, &base);
    g_assert_cmpuint(size, >, 0);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "blobs"));
}

/* All of the window is holes: its first and last pages, and some in between. */
static void expect_empty(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 64; i++) {
        EXPECT_WORD(g, i * PAGE, 0);
        EXPECT_WORD(g, size / 64 * i, 0);
    }
    EXPECT_WORD(g, size - PAGE, 0);
}

static void size_follows_profile(Gpu *g)
{
    uint64_t limit = qmp_memory(g, "memory-limit");

    open_window(g);
    g_assert_cmpuint(size, ==, window_capability(g));
    g_assert_cmpuint(size & (size - 1), ==, 0);
    g_assert_cmpuint(size, >=, 2 * limit);
    g_assert_cmpuint(size, >=, 256 * MIB);
    expect_empty(g);
}

static void hostmem_property(Gpu *g)
{
    open_window(g);
    g_assert_cmpuint(size, ==, 64 * MIB);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 64 * MIB), GPU_ANY_ERROR);
    gpu_expect(g, blob_map(g, 1, 64 * MIB - PAGE), OK_MAP);
    EXPECT_WORD(g, 64 * MIB - PAGE, BLOB_MARK(1, 0));
}

static void hostmem_refused(Gpu *none)
{
    static const uint64_t bad[] = { 1, 4097, MIB / 2, 3 * MIB, 100 * MIB, 1ull << 39, UINT64_MAX };
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *json =
            g_strdup_printf("{ 'execute': 'device_add', 'arguments': { 'driver': 'vgpu-pci', 'bus': 'rp0',"
                            " 'id': 'gpu0', 'hostmem': %" PRIu64 " } }",
                            bad[i]);
        g_autofree char *why = qmp_failure(vm, json);

        g_test_message("hostmem=%" PRIu64 ": %s", bad[i], why);
        g_assert_nonnull(strstr(why, "hostmem="));
        g_assert_nonnull(strstr(why, "power of two"));
    }
    vm_stop(vm);
}

/* --- what the guest reads --- */

static void map_and_read(Gpu *g)
{
    unsigned page;

    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, 4 * PAGE));
    gpu_expect_ok(g, blob_host(g, 2, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 16 * PAGE), OK_MAP);
    gpu_expect(g, blob_map(g, 2, 20 * PAGE), OK_MAP);
    for (page = 0; page < 4; page++) {
        EXPECT_WORD(g, (16 + page) * PAGE, BLOB_MARK(1, page));
    }
    EXPECT_WORD(g, 15 * PAGE, 0);
    EXPECT_WORD(g, 20 * PAGE, BLOB_MARK(2, 0));
    EXPECT_WORD(g, 21 * PAGE, 0);
    /* what the guest writes is kept, wherever it is mapped next */
    write_word(g, 19 * PAGE + 8, 0x5a5a5a5a);
    gpu_expect_ok(g, blob_unmap(g, 1));
    for (page = 0; page < 4; page++) {
        EXPECT_WORD(g, (16 + page) * PAGE, 0);
    }
    EXPECT_WORD(g, 20 * PAGE, BLOB_MARK(2, 0));
    gpu_expect(g, blob_map(g, 1, size - 4 * PAGE), OK_MAP);
    EXPECT_WORD(g, size - PAGE + 8, 0x5a5a5a5a);
    gpu_expect_ok(g, blob_unmap(g, 1));
    gpu_expect_ok(g, blob_unmap(g, 2));
    expect_empty(g);
}

/* Over many chunks of what holes are made of, and in the middle of one. */
static void map_large(Gpu *g)
{
    const uint64_t at[] = { 0, 64 * MIB, 3 * MIB + PAGE };
    unsigned i;

    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, 32 * MIB));
    for (i = 0; i < G_N_ELEMENTS(at); i++) {
        gpu_expect(g, blob_map(g, 1, at[i]), OK_MAP);
        EXPECT_WORD(g, at[i], BLOB_MARK(1, 0));
        EXPECT_WORD(g, at[i] + 15 * PAGE, BLOB_MARK(1, 15));
        EXPECT_WORD(g, at[i] + 32 * MIB, 0);
        write_word(g, at[i] + 32 * MIB - 4, 0xabcdef);
        gpu_expect_ok(g, blob_unmap(g, 1));
        EXPECT_WORD(g, at[i] + 32 * MIB - 4, 0);
        expect_empty(g);
    }
}

/* Bytes of memory behind all holes of the VM's window. */
static uint64_t behind_holes(GpuVm *vm)
{
    g_autofree char *dir = g_strdup_printf("/proc/%d/fd", (int)qtest_pid(vm->qts));
    g_autoptr(GDir) fds = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(fds))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_autofree char *link = g_file_read_link(path, NULL);
        struct stat st;

        if (link && strstr(link, "memfd:vgpu-window") && stat(path, &st) == 0) {
            return st.st_blocks * 512ull;
        }
    }
    g_assert_not_reached();
}

/* Holes take what is written, show it to nobody, and take next to no memory. */
static void holes(Gpu *g)
{
    uint64_t at;

    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 8 * PAGE), OK_MAP);
    g_assert_cmpuint(behind_holes(g->vm), ==, 0);
    /* a good part of the window, and a word here and there in the rest */
    qtest_memset(g->vm->qts, base + MIB, 0xff, 31 * MIB);
    for (at = MIB; at < size; at += size / 512) {
        write_word(g, at, 0xffffffff);
    }
    g_assert_cmpuint(behind_holes(g->vm), <=, 2 * MIB);
    EXPECT_WORD(g, 8 * PAGE, BLOB_MARK(1, 0));
    gpu_expect_ok(g, blob_unmap(g, 1));
    expect_empty(g);
    for (at = MIB; at < size; at += size / 512) {
        EXPECT_WORD(g, at, 0);
    }
}

/* A guest that has touched every page there is can hold up QEMU no longer for it. */
static void holes_all_touched(Gpu *g)
{
    uint64_t at;
    unsigned i;

    open_window(g);
    for (at = 0; at < size; at += 16 * MIB) {
        qtest_memset(g->vm->qts, base + at, 0xff, 16 * MIB);
    }
    for (i = 0; i < 20; i++) {
        gpu_expect_ok(g, blob_host(g, 1 + i, BLOB_SEALED, PAGE));
        gpu_expect(g, blob_map(g, 1 + i, i * PAGE), OK_MAP);
        write_word(g, size - PAGE, 0x77777777);
        gpu_expect_ok(g, gpu_unref(g, 1 + i));
        qmp_timed(g->vm, 500, "{ 'execute': 'query-status' }");
        EXPECT_WORD(g, size - PAGE, 0);
    }
    expect_empty(g);
}

/* What a host driver may hand out, and what cannot be shown to a guest. */
static void kinds(Gpu *g)
{
    static const struct {
        uint64_t kind;
        uint32_t want;
    } table[] = {
        { BLOB_SEALED, OK_MAP },         { BLOB_BEHIND_HEADER, OK_MAP }, { BLOB_UNSEALED, OK_MAP },
        { BLOB_NO_FILE, GPU_ANY_ERROR }, { BLOB_SHORT, GPU_ANY_ERROR },  { BLOB_PRIVATE, GPU_ANY_ERROR },
    };
    unsigned i;

    open_window(g);
    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        gpu_expect_ok(g, blob_host(g, 1, table[i].kind, 2 * PAGE));
        gpu_expect(g, blob_map(g, 1, 0), table[i].want);
        EXPECT_WORD(g, 0, table[i].want == OK_MAP ? BLOB_MARK(1, 0) : 0);
        EXPECT_WORD(g, PAGE, table[i].want == OK_MAP ? BLOB_MARK(1, 1) : 0);
        gpu_expect_ok(g, gpu_unref(g, 1));
        expect_empty(g);
    }
    gpu_expect(g, blob_host(g, 1, BLOB_FAILS, PAGE), GPU_ANY_ERROR);
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 0);
}

/* --- wrong commands: an error, and nothing in the BAR --- */

static void create_fields(Gpu *g)
{
    const struct virtio_gpu_resource_create_blob good = {
        .hdr.ctx_id = 1, .resource_id = 1, .blob_mem = 2, .blob_flags = 1, .size = PAGE
    };
    struct virtio_gpu_resource_create_blob bad[10];
    unsigned i;

    open_window(g);
    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        bad[i] = good;
    }
    bad[0].hdr.ctx_id = 0;
    bad[1].hdr.ctx_id = 2;
    bad[2].size = 0;
    bad[3].size = PAGE + 1;
    bad[4].size = UINT64_MAX;
    bad[5].size = ~(uint64_t)PAGE + 1;
    bad[6].size = qmp_memory(g, "memory-limit") + PAGE * 2048ull;
    bad[7].nr_entries = 1;
    bad[8].blob_mem = 3; /* without the guest's part */
    bad[9].blob_flags = 8;
    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        gpu_expect(g, blob_create(g, &bad[i], NULL, 0), GPU_ANY_ERROR);
        gpu_expect(g, gpu_unref(g, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
        g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 0);
    }
    gpu_expect_ok(g, blob_create(g, &good, NULL, 0));
    gpu_expect(g, blob_create(g, &good, NULL, 0), GPU_ANY_ERROR); /* the id is taken */
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    EXPECT_WORD(g, 0, BLOB_MARK(1, 0));
}

static void map_fields(Gpu *g)
{
    struct virtio_gpu_resource_create_blob unmappable = {
        .hdr.ctx_id = 1, .resource_id = 3, .blob_mem = 2, .size = PAGE
    };
    uint64_t bad[8];
    unsigned i;

    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, 4 * PAGE));
    gpu_expect_ok(g, blob_create(g, &unmappable, NULL, 0));
    gpu_expect_ok(g, gpu_create_2d(g, 5, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 16, 16));
    gpu_expect(g, blob_map(g, 0, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect(g, blob_map(g, 99, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect(g, blob_map(g, 3, 0), GPU_ANY_ERROR);
    gpu_expect(g, blob_map(g, 5, 0), GPU_ANY_ERROR);
    bad[0] = 1;
    bad[1] = PAGE / 2;
    bad[2] = size;
    bad[3] = size - 3 * PAGE;
    bad[4] = size + PAGE;
    bad[5] = UINT64_MAX;
    bad[6] = ~(uint64_t)PAGE + 1;
    bad[7] = 1ull << 63;
    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        gpu_expect(g, blob_map(g, 1, bad[i]), GPU_ANY_ERROR);
    }
    expect_empty(g);
    gpu_expect(g, blob_map(g, 1, size - 4 * PAGE), OK_MAP);
    EXPECT_WORD(g, size - 4 * PAGE, BLOB_MARK(1, 0));
}

static void map_twice(Gpu *g)
{
    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    gpu_expect(g, blob_map(g, 1, 0), GPU_ANY_ERROR);
    gpu_expect(g, blob_map(g, 1, 8 * PAGE), GPU_ANY_ERROR);
    EXPECT_WORD(g, 0, BLOB_MARK(1, 0));
    EXPECT_WORD(g, 8 * PAGE, 0);
    gpu_expect_ok(g, blob_unmap(g, 1));
    expect_empty(g);
}

static void map_overlapping(Gpu *g)
{
    static const uint32_t taken[] = { 16, 13, 17, 19, 15 };
    unsigned i;

    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, 4 * PAGE));
    gpu_expect_ok(g, blob_host(g, 2, BLOB_SEALED, 4 * PAGE));
    gpu_expect(g, blob_map(g, 1, 16 * PAGE), OK_MAP);
    for (i = 0; i < G_N_ELEMENTS(taken); i++) {
        gpu_expect(g, blob_map(g, 2, taken[i] * PAGE), GPU_ANY_ERROR);
    }
    for (i = 0; i < 4; i++) {
        EXPECT_WORD(g, (12 + i) * PAGE, 0);
        EXPECT_WORD(g, (16 + i) * PAGE, BLOB_MARK(1, i));
        EXPECT_WORD(g, (20 + i) * PAGE, 0);
    }
    /* neighbours do not overlap */
    gpu_expect(g, blob_map(g, 2, 12 * PAGE), OK_MAP);
    gpu_expect_ok(g, blob_unmap(g, 2));
    gpu_expect(g, blob_map(g, 2, 20 * PAGE), OK_MAP);
    EXPECT_WORD(g, 19 * PAGE, BLOB_MARK(1, 3));
    EXPECT_WORD(g, 20 * PAGE, BLOB_MARK(2, 0));
}

static void unmap_fields(Gpu *g)
{
    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect_ok(g, blob_host(g, 2, BLOB_SEALED, PAGE));
    gpu_expect_ok(g, gpu_create_2d(g, 5, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 16, 16));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    gpu_expect(g, blob_unmap(g, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect(g, blob_unmap(g, 99), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_expect(g, blob_unmap(g, 2), GPU_ANY_ERROR);
    gpu_expect(g, blob_unmap(g, 5), GPU_ANY_ERROR);
    EXPECT_WORD(g, 0, BLOB_MARK(1, 0));
    gpu_expect_ok(g, blob_unmap(g, 1));
    gpu_expect(g, blob_unmap(g, 1), GPU_ANY_ERROR);
    expect_empty(g);
}

/* As much as fits, and not a page more; what is unmapped makes room. */
static void window_exhausted(Gpu *g)
{
    unsigned i;

    open_window(g);
    for (i = 0; i < 16; i++) {
        gpu_expect_ok(g, blob_host(g, 1 + i, BLOB_SEALED, size / 16));
        gpu_expect(g, blob_map(g, 1 + i, size / 16 * i), OK_MAP);
    }
    gpu_expect_ok(g, blob_host(g, 99, BLOB_SEALED, PAGE));
    for (i = 0; i < 16; i++) {
        gpu_expect(g, blob_map(g, 99, size / 16 * i), GPU_ANY_ERROR);
        EXPECT_WORD(g, size / 16 * i, BLOB_MARK(1 + i, 0));
    }
    gpu_expect(g, blob_map(g, 99, size), GPU_ANY_ERROR);
    gpu_expect_ok(g, gpu_unref(g, 8));
    gpu_expect(g, blob_map(g, 99, size / 16 * 7), OK_MAP);
    EXPECT_WORD(g, size / 16 * 7, BLOB_MARK(99, 0));
    EXPECT_WORD(g, size / 16 * 7 + PAGE, 0);
    for (i = 0; i < 16; i++) {
        if (i != 7) {
            gpu_expect_ok(g, gpu_unref(g, 1 + i));
        }
    }
    gpu_expect_ok(g, gpu_unref(g, 99));
    expect_empty(g);
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 0);
}

/* --- the ends of maps --- */

static void destroyed_while_mapped(Gpu *g)
{
    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, 4 * PAGE));
    gpu_expect(g, blob_map(g, 1, 4 * PAGE), OK_MAP);
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 4 * PAGE);
    gpu_expect_ok(g, gpu_unref(g, 1));
    expect_empty(g);
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 0);
    /* its place is free, its id too */
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 5 * PAGE), OK_MAP);
    EXPECT_WORD(g, 5 * PAGE, BLOB_MARK(1, 0));
    EXPECT_WORD(g, 4 * PAGE, 0);
}

/* While a display shows it, unmapping takes nothing from the picture. */
static void unmapped_while_shown(Gpu *g)
{
    unsigned width, height;
    uint32_t *shown;

    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, 64 * 64 * 4));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    qtest_memset(g->vm->qts, base, 0x33, 64 * 64 * 4);
    gpu_expect_ok(g, blob_show(g, 1, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
    gpu_expect_ok(g, blob_unmap(g, 1));
    EXPECT_WORD(g, 0, 0);
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
    shown = qmp_screendump(g, 0, &width, &height);
    g_assert_cmphex(shown[64 * 64 - 1], ==, 0x333333);
    g_free(shown);
    gpu_expect_ok(g, gpu_unref(g, 1));
    expect_empty(g);
}

/* A blob outlives the context that made it: another may have it. */
static void context_destroyed(Gpu *g)
{
    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect_ok(g, blob_host(g, 2, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    gpu_expect_ok(g, gpu_ctx_destroy(g, 1));
    EXPECT_WORD(g, 0, BLOB_MARK(1, 0));
    gpu_expect(g, blob_map(g, 2, PAGE), OK_MAP);
    EXPECT_WORD(g, PAGE, BLOB_MARK(2, 0));
    gpu_expect_ok(g, gpu_unref(g, 1));
    gpu_expect_ok(g, gpu_unref(g, 2));
    expect_empty(g);
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 0);
}

/* Whoever polls memory of a lost context must not do so for ever. */
static void context_lost(Gpu *g)
{
    const uint32_t lose = 0x45534f4c;

    open_window(g);
    gpu_expect_ok(g, gpu_ctx_create(g, 2, "other"));
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    EXPECT_WORD(g, 0, BLOB_MARK(1, 0));
    gpu_expect(g, gpu_submit(g, 1, &lose, 1), GPU_ANY_ERROR);
    gpu_assert_alive(g); /* answered after the unmap was ordered */
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    expect_empty(g);
}

static void reset_with_maps(Gpu *g)
{
    unsigned round, i;

    open_window(g);
    for (round = 0; round < 5; round++) {
        for (i = 0; i < 20; i++) {
            gpu_expect_ok(g, blob_host(g, 1 + i, BLOB_SEALED, 2 * PAGE));
            gpu_expect(g, blob_map(g, 1 + i, size / 64 * i), OK_MAP);
            write_word(g, size / 64 * i + 64, 0x11111111);
        }
        gpu_reset(g);
        expect_empty(g);
        for (i = 0; i < 20; i++) {
            EXPECT_WORD(g, size / 64 * i + 64, 0);
        }
        gpu_init(g, UINT64_MAX);
        g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 0);
        gpu_expect_ok(g, gpu_ctx_create(g, 1, "blobs"));
    }
}

/* Orders on their way when the reset comes: none of them shows up after it. */
static void reset_while_mapping(Gpu *g)
{
    unsigned round, i;

    open_window(g);
    for (round = 0; round < 10; round++) {
        for (i = 0; i < 20; i++) {
            gpu_expect_ok(g, blob_host(g, 1 + i, BLOB_SEALED, PAGE));
        }
        for (i = 0; i < 20; i++) {
            struct virtio_gpu_resource_map_blob req = {
                .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
                .resource_id = 1 + i,
                .offset = i * PAGE,
            };

            gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 32);
        }
        gpu_reset(g);
        expect_empty(g);
        gpu_init(g, UINT64_MAX);
        gpu_assert_alive(g);
        expect_empty(g);
        gpu_expect_ok(g, gpu_ctx_create(g, 1, "blobs"));
    }
}

static void stop_and_cont(Gpu *g)
{
    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'stop' }");
    EXPECT_WORD(g, 0, BLOB_MARK(1, 0));
    qtest_qmp_assert_success(g->vm->qts, "{ 'execute': 'cont' }");
    EXPECT_WORD(g, 0, BLOB_MARK(1, 0));
    gpu_expect_ok(g, blob_unmap(g, 1));
    expect_empty(g);
}

/* The window stays, what was in it goes, and the next renderer can use it. */
static void renderer_killed(Gpu *g)
{
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);
    uint64_t before;
    Gpu *fresh;

    open_window(g);
    before = size;
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    process_signal(renderers, SIGKILL);
    qmp_wait_state(g, "lost", BACK_MS);
    expect_empty(g);
    write_word(g, 0, 0x22222222);
    qmp_timed(g->vm, QMP_DEADLINE_MS, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(g->vm->qts, "RESET");
    qmp_wait_state(g, "running", BACK_MS);
    fresh = gpu_at(g->vm, g->id, g->devfn);
    gpu_init(fresh, UINT64_MAX);
    g_assert_true(gpu_has(fresh, VIRTIO_GPU_F_RESOURCE_BLOB));
    open_window(fresh);
    g_assert_cmpuint(size, ==, before);
    expect_empty(fresh);
    gpu_expect_ok(fresh, blob_host(fresh, 1, BLOB_SEALED, PAGE));
    gpu_expect(fresh, blob_map(fresh, 1, 8 * PAGE), OK_MAP);
    EXPECT_WORD(fresh, 8 * PAGE, BLOB_MARK(1, 0));
    gpu_expect_ok(fresh, gpu_unref(fresh, 1));
    expect_empty(fresh);
    gpu_free(fresh);
}

static void two_devices(Gpu *none)
{
    GpuVm *vm = vm_start("vgpu-pci,id=gpu0,profile=quarter,hostmem=512M",
                         "-device vgpu-pci,id=gpu1,profile=eighth,hostmem=256M");
    uint64_t at[2], sizes[2];
    Gpu *g[2];
    unsigned i;

    for (i = 0; i < 2; i++) {
        g_autofree char *id = g_strdup_printf("gpu%u", i);

        g[i] = gpu_find(vm, id, i);
        gpu_init(g[i], UINT64_MAX);
        open_window(g[i]);
        at[i] = base;
        sizes[i] = size;
        gpu_expect_ok(g[i], blob_host(g[i], 5 + i, BLOB_SEALED, PAGE));
        gpu_expect(g[i], blob_map(g[i], 5 + i, 0), OK_MAP);
    }
    g_assert_cmpuint(sizes[0], ==, 512 * MIB);
    g_assert_cmpuint(sizes[1], ==, 256 * MIB);
    for (i = 0; i < 2; i++) {
        g_assert_cmphex(qtest_readl(vm->qts, at[i]), ==, BLOB_MARK(5 + i, 0));
    }
    gpu_reset(g[0]);
    g_assert_cmphex(qtest_readl(vm->qts, at[0]), ==, 0);
    g_assert_cmphex(qtest_readl(vm->qts, at[1]), ==, BLOB_MARK(6, 0));
    gpu_free(g[0]);
    gpu_free(g[1]);
    vm_stop(vm);
}

static unsigned mappings_of(GpuVm *vm, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", (int)qtest_pid(vm->qts)), *maps = NULL;
    const char *p;
    unsigned n = 0;

    g_assert_true(g_file_get_contents(path, &maps, NULL, NULL));
    for (p = maps; (p = strstr(p, what)); p++) {
        n++;
    }
    return n;
}

/* Neither a blob nor a hole of it stays behind in QEMU. */
static void unplug_with_maps(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS " -device vgpu-pci,id=gpu0,bus=rp0");
    int64_t end = g_get_monotonic_time() + BACK_MS * 1000ll;
    Gpu *g;

    vm_open_root_ports(vm);
    g = gpu_behind(vm, "gpu0", 1);
    gpu_init(g, UINT64_MAX);
    open_window(g);
    gpu_expect_ok(g, blob_host(g, 1, BLOB_SEALED, PAGE));
    gpu_expect(g, blob_map(g, 1, 0), OK_MAP);
    g_assert_cmpuint(mappings_of(vm, "memfd:vgpu-null-blob"), ==, 1);
    g_assert_cmpuint(mappings_of(vm, "memfd:vgpu-window"), >, 0);
    g_assert_cmpuint(mappings_of(vm, "memfd:vgpu-window"), <=, 2049);
    qtest_qmp_device_del_send(vm->qts, "gpu0");
    qtest_qmp_assert_success(vm->qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    g_assert_cmpuint(mappings_of(vm, "memfd:vgpu-null-blob"), ==, 0);
    while (mappings_of(vm, "memfd:vgpu-window")) { /* after a grace period of RCU */
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(10000);
    }
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    gpu_free(g);
    vm_stop(vm);
}

/* However often: as many mappings in QEMU, and as much memory charged, as before. */
static void nothing_leaks(Gpu *g)
{
    unsigned round, before = 0, i;

    open_window(g);
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 8; i++) {
            gpu_expect_ok(g, blob_host(g, 1 + i, BLOB_SEALED, (1 + i) * 16 * PAGE));
            gpu_expect(g, blob_map(g, 1 + i, i * 3 * MIB + round * PAGE), OK_MAP);
        }
        for (i = 0; i < 8; i++) {
            if (i % 2) {
                gpu_expect_ok(g, blob_unmap(g, 1 + i));
            }
            gpu_expect_ok(g, gpu_unref(g, 1 + i));
        }
        if (!round) {
            before = mappings_of(g->vm, "memfd:vgpu");
        }
    }
    expect_empty(g);
    g_assert_cmpuint(mappings_of(g->vm, "memfd:vgpu-null-blob"), ==, 0);
    g_assert_cmpuint(mappings_of(g->vm, "memfd:vgpu"), ==, before);
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, 0);
}

#define NULL_RAW CASE_NULL | CASE_RAW

const GpuCase cases_window[] = {
    { "window/size-follows-profile", size_follows_profile, CASE_NULL, "profile=quarter" },
    { "window/hostmem-property", hostmem_property, CASE_NULL, "hostmem=64M" },
    { "window/hostmem-refused", hostmem_refused, NULL_RAW },
    { "window/map-and-read", map_and_read, CASE_NULL },
    { "window/map-large", map_large, CASE_NULL },
    { "window/holes", holes, CASE_NULL, "hostmem=1G" },
    { "window/holes-all-touched", holes_all_touched, CASE_NULL, "hostmem=256M" },
    { "window/kinds", kinds, CASE_NULL },
    { "window/create-fields", create_fields, CASE_NULL },
    { "window/map-fields", map_fields, CASE_NULL },
    { "window/map-twice", map_twice, CASE_NULL },
    { "window/map-overlapping", map_overlapping, CASE_NULL },
    { "window/unmap-fields", unmap_fields, CASE_NULL },
    { "window/exhausted", window_exhausted, CASE_NULL, "hostmem=16M" },
    { "window/destroyed-while-mapped", destroyed_while_mapped, CASE_NULL },
    { "window/unmapped-while-shown", unmapped_while_shown, CASE_NULL },
    { "window/context-destroyed", context_destroyed, CASE_NULL },
    { "window/context-lost", context_lost, CASE_NULL },
    { "window/reset-with-maps", reset_with_maps, CASE_NULL },
    { "window/reset-while-mapping", reset_while_mapping, CASE_NULL },
    { "window/stop-and-cont", stop_and_cont, CASE_NULL },
    { "window/renderer-killed", renderer_killed, CASE_NULL | CASE_NO_EPILOGUE, "x-revive=off" },
    { "window/two-devices", two_devices, NULL_RAW },
    { "window/unplug-with-maps", unplug_with_maps, NULL_RAW },
    { "window/nothing-leaks", nothing_leaks, CASE_NULL },
    { NULL },
};
