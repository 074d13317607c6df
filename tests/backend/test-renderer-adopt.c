/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A renderer that takes over from a lost one: the guest's pictures are there again,
 * each of its commands is answered once, and what the lost one left is taken for
 * what it may be: rubbish.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu_blob.h"
#include "picture.h"
#include "renderer/table.h"

#define SOON 10000

/* Between the two the test sends commands: the render thread takes them all at once. */
static void hold(Frontend *f)
{
    kill(f->pid, SIGSTOP);
}

static void await_taken(Frontend *f)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    const struct TableChain *chains;
    unsigned taken = 0, sent = (uint16_t)(f->ring[CONTROL]->avail_idx - f->ring[CONTROL]->last_used);
    uint8_t *table = mmap(NULL, TABLE_SIZE, PROT_READ, MAP_SHARED, f->objects_fd, 0);

    g_assert_true(table != MAP_FAILED);
    kill(f->pid, SIGCONT);
    chains = (const struct TableChain *)(table + TABLE_CHAINS_AT);
    while (taken < sent && g_get_monotonic_time() < end) {
        taken = 0;
        for (unsigned i = 0; i < TABLE_QUEUE_MAX; i++) {
            taken += __atomic_load_n(&chains[i].order, __ATOMIC_ACQUIRE) != 0;
        }
        g_usleep(200);
    }
    g_assert_cmpuint(taken, ==, sent);
    munmap(table, TABLE_SIZE);
}

static void replace(Frontend *f, struct vgpu_channel_adopted *m)
{
    frontend_kill(f);
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_true(frontend_adopted(f, m));
}

static Pending *send_create(Frontend *f, uint32_t id, uint64_t fence)
{
    struct virtio_gpu_resource_create_2d c = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
                 .flags = fence ? VIRTIO_GPU_FLAG_FENCE : 0,
                 .fence_id = fence },
        .resource_id = id,
        .format = BGRX,
        .width = 16,
        .height = 16,
    };

    return frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static Pending *send_unref(Frontend *f, uint32_t id)
{
    struct virtio_gpu_resource_unref c = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF, .resource_id = id };

    return frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static uint32_t answer(Frontend *f, Pending *p)
{
    g_assert_nonnull(p);
    g_assert_true(frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE));
    return gpu_response(p);
}

/* ---- what the guest has ---- */

static void test_pictures(void)
{
    FrontendOptions o = { .max_outputs = 2 };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_resp_resource_uuid before, after;
    struct vgpu_channel_adopted m;
    uint64_t used;

    picture_resource(f, 1, BGRX, 7, 64, 48);
    picture_resource(f, 2, BGRA, 9, 200, 100);
    g_assert_cmphex(gpu_create_2d(f, 3, BGRX, 8, 8), ==, OK_NODATA); /* without backing */
    g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, 64, 48), ==, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 1, 2, 10, 20, 100, 50), ==, OK_NODATA);
    g_assert_cmphex(gpu_uuid(f, 2, &before), ==, VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    screen_settle(&f->screen, SOON);
    used = frontend_used(f);

    for (unsigned i = 0; i < 3; i++) { /* an heir has heirs */
        replace(f, &m);
        g_assert_cmpuint(m.resources, ==, 3);
        g_assert_cmpuint(m.lost + m.refused + m.descriptors, ==, 0);
        g_assert_true(screen_wait_scanout(&f->screen, 0, 1, SOON));
        g_assert_true(screen_wait_scanout(&f->screen, 1, 1, SOON));
        picture_check(f, 0, 0, 0, 64, 48, 7, 0, 0);
        picture_check(f, 1, 0, 0, 100, 50, 9, 10, 20);
        g_assert_cmpuint(frontend_used(f), ==, used);
        g_assert_cmpuint(vgpu_stats_get(&f->stats->resources), ==, 3);
        g_assert_cmphex(gpu_uuid(f, 2, &after), ==, VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
        g_assert_cmpmem(before.uuid, 16, after.uuid, 16);
    }
    /* and it goes on */
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 64, 48), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 48), ==, OK_NODATA);
    g_assert_true(screen_wait_update(&f->screen, 0, 1, SOON));
    g_assert_cmphex(gpu_create_2d(f, 2, BGRX, 8, 8), ==, ERR_RESOURCE);
    for (uint32_t id = 1; id <= 3; id++) {
        g_assert_cmphex(gpu_unref(f, id), ==, OK_NODATA);
    }
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

static void test_blobs(void)
{
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct vgpu_channel_adopted m;
    struct virtio_gpu_set_scanout_blob s = {
        .hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
        .resource_id = 5,
        .r = { 0, 0, 32, 16 },
        .width = 32,
        .height = 16,
        .format = BGRX,
        .strides = { 32 * 4 },
    };
    uint64_t gpa = ram_alloc(f->ram, 4096);

    picture_fill(f, gpa, BGRX, 3, 32, 16, 32 * 4);
    g_assert_cmphex(gpu_blob_guest(f, 5, gpa, 4096), ==, OK_NODATA);
    g_assert_cmphex(gpu_scanout_blob(f, &s), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_blob_host(f, 6, 1, 8192), ==, OK_NODATA);
    replace(f, &m);
    g_assert_cmpuint(m.resources, ==, 1);
    g_assert_cmpuint(m.lost, ==, 1);
    g_assert_true(screen_wait_scanout(&f->screen, 0, 1, SOON));
    picture_check(f, 0, 0, 0, 32, 16, 3, 0, 0);
    /* the guest's own memory still is that blob */
    picture_fill(f, gpa, BGRX, 4, 32, 16, 32 * 4);
    g_assert_cmphex(gpu_flush(f, 5, 0, 0, 32, 16), ==, OK_NODATA);
    g_assert_true(screen_wait_update(&f->screen, 0, 1, SOON));
    picture_check(f, 0, 0, 0, 32, 16, 4, 0, 0);
    /* host memory went with its context; giving it back is no error, once */
    g_assert_cmphex(gpu_map(f, 6, 0), ==, ERR_RESOURCE);
    g_assert_cmphex(gpu_unmap(f, 6), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 6), ==, ERR_CONTEXT);
    g_assert_cmphex(gpu_unref(f, 6), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 6), ==, ERR_RESOURCE);
    g_assert_cmphex(gpu_context_create(f, 2, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_blob_host(f, 6, 2, 8192), ==, OK_NODATA);
}

static void test_cursor(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    g_autoptr(ChannelMsg) update = NULL;

    picture_resource(f, 1, BGRA, 5, 64, 64);
    g_assert_true(gpu_update_cursor(f, 0, 1, 100, 50, 3, 4));
    g_assert_true(gpu_move_cursor(f, 0, 1, 111, 55));
    replace(f, NULL);
    update = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_UPDATE, SOON);
    g_assert_nonnull(update);
    g_assert_cmpuint(update->cursor.pos.x, ==, 111);
    g_assert_cmpuint(update->cursor.pos.y, ==, 55);
    g_assert_cmpuint(update->cursor.hot_x, ==, 3);
    g_assert_cmpuint(update->cursor.hot_y, ==, 4);
}

/* What does not fit any more, and what the guest's memory has no longer. */
static void test_cannot_be_made(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    struct vgpu_channel_adopted m;

    picture_resource(f, 1, BGRX, 1, 1024, 1024);
    picture_resource(f, 2, BGRX, 2, 1024, 1024);
    frontend_kill(f);
    f->o.memory = 5u << 20; /* vgpuctl set memory= */
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_true(frontend_adopted(f, &m));
    g_assert_cmpuint(m.resources, ==, 1);
    g_assert_cmpuint(m.lost, ==, 1);
    g_assert_cmphex(gpu_transfer_2d(f, 2, 0, 0, 0, 8, 8), ==, ERR_RESOURCE);
    g_assert_cmphex(gpu_detach(f, 2), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 2), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* Contexts are gone, and say so; new ones work. */
static void test_contexts(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=burn");
    uint32_t us = 1;

    g_assert_cmphex(gpu_create_texture(f, 1, BGRX, 32, 32), ==, OK_NODATA);
    replace(f, NULL);
    g_assert_cmphex(gpu_submit(f, 1, &us, 1), ==, ERR_CONTEXT);
    g_assert_cmphex(gpu_context_attach(f, 1, 1), ==, ERR_CONTEXT);
    g_assert_cmphex(gpu_context_create(f, 2, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 2, 1), ==, OK_NODATA);
    g_assert_cmphex(gpu_submit(f, 2, &us, 1), ==, OK_NODATA);
}

/* ---- commands in flight ---- */

/* Taken and not run: run by the next one.  A submit is not, and its fence signals. */
static void test_in_flight(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=sleep");
    uint32_t us = 3600u * 1000000;
    g_autoptr(Pending) submit = NULL, create = NULL, again = NULL, drop = NULL;
    struct virtio_gpu_ctrl_hdr h;
    struct vgpu_channel_adopted m;

    hold(f);
    submit = gpu_submit_fenced(f, 1, &us, 1, 77);
    create = send_create(f, 10, 78);
    again = send_create(f, 10, 0);
    drop = send_unref(f, 11);
    await_taken(f);
    replace(f, &m);
    g_assert_cmpuint(m.descriptors, ==, 4);
    g_assert_cmphex(answer(f, submit), ==, ERR_CONTEXT);
    gpu_response_copy(submit, &h, sizeof(h));
    g_assert_true(h.flags & VIRTIO_GPU_FLAG_FENCE);
    g_assert_cmpuint(h.fence_id, ==, 77);
    g_assert_cmphex(answer(f, create), ==, OK_NODATA);
    gpu_response_copy(create, &h, sizeof(h));
    g_assert_cmpuint(h.fence_id, ==, 78);
    g_assert_cmphex(answer(f, again), ==, OK_NODATA); /* as if its effect had been there */
    g_assert_cmphex(answer(f, drop), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 10), ==, OK_NODATA);
}

/* A context that was being made when the renderer was lost is made, unless work of its is lost. */
static void test_context_in_flight(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=sleep");
    uint32_t us = 3600u * 1000000, little = 1;
    struct virtio_gpu_ctx_create make = { .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = 2 } };
    g_autoptr(Pending) stuck = NULL, made = NULL, made3 = NULL, lost = NULL;

    hold(f);
    stuck = gpu_submit_fenced(f, 1, &us, 1, 1);
    made = frontend_send(f, CONTROL, &make, sizeof(make), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    make.hdr.ctx_id = 3;
    made3 = frontend_send(f, CONTROL, &make, sizeof(make), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    lost = gpu_submit_fenced(f, 3, &little, 1, 2);
    await_taken(f);
    replace(f, NULL);
    g_assert_cmphex(answer(f, stuck), ==, ERR_CONTEXT);
    g_assert_cmphex(answer(f, made), ==, OK_NODATA);
    g_assert_cmphex(answer(f, made3), ==, OK_NODATA);
    g_assert_cmphex(answer(f, lost), ==, ERR_UNSPEC);
    g_assert_cmphex(gpu_submit(f, 2, &little, 1), ==, OK_NODATA);
    g_assert_cmphex(gpu_submit(f, 3, &little, 1), ==, ERR_CONTEXT);
}

/* A fence waits while later commands are answered: the hole in the ring's order is found. */
static void test_out_of_order(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=async");
    uint32_t us = 3600u * 1000000;
    g_autoptr(Pending) first = gpu_submit_fenced(f, 1, &us, 1, 5);

    for (unsigned i = 0; i < 600; i++) { /* more than the ring has */
        g_assert_true(gpu_still_works(f));
    }
    g_assert_false(frontend_collect(f, first));
    replace(f, NULL);
    g_assert_cmphex(answer(f, first), ==, ERR_CONTEXT);
    for (unsigned i = 0; i < 600; i++) {
        g_assert_true(gpu_still_works(f));
    }
}

/* Not taken yet when the renderer was lost: taken from the ring. */
static void test_not_taken(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    Pending *p[40];

    kill(f->pid, SIGSTOP);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        p[i] = send_create(f, 100 + i, 0);
    }
    replace(f, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        g_assert_cmphex(answer(f, p[i]), ==, OK_NODATA);
        g_assert_cmpuint(p[i]->order, ==, i + 1);
        pending_free(p[i]);
    }
}

/*
 * Killed anywhere: each command is answered once, and after it the guest's objects
 * are what its commands made.  VGPU_TEST_FULL=1: more often.
 */
static void test_killed_anywhere(void)
{
    enum { SLOTS = 64 };
    g_autoptr(Frontend) f = frontend_new(NULL);
    bool exists[SLOTS] = { false };
    unsigned rounds = g_getenv("VGPU_TEST_FULL") ? 500 : 100, sent = 0, none = f->completed[CONTROL];

    for (unsigned round = 0; round < rounds; round++) {
        Pending *p[SLOTS];
        gint64 until = g_get_monotonic_time() + g_test_rand_int_range(0, 3000);

        for (unsigned i = 0; i < SLOTS; i++) {
            p[i] = exists[i] ? send_unref(f, i + 1) : send_create(f, i + 1, i % 3 ? 0 : sent + 1);
            g_assert_nonnull(p[i]);
            sent++;
        }
        while (g_get_monotonic_time() < until) {
        }
        replace(f, NULL);
        for (unsigned i = 0; i < SLOTS; i++) {
            uint32_t code = answer(f, p[i]);

            g_assert_cmphex(code, ==, OK_NODATA);
            exists[i] = !exists[i];
            pending_free(p[i]);
        }
        g_assert_cmpuint(f->completed[CONTROL] - none, ==, sent);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        g_assert_cmphex(gpu_unref(f, i + 1), ==, exists[i] ? OK_NODATA : ERR_RESOURCE);
    }
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* ---- what it is handed ---- */

static int copy_table(Frontend *f)
{
    g_autofree uint8_t *bytes = g_malloc(TABLE_SIZE);
    int fd = memfd_create("copy", MFD_CLOEXEC);

    g_assert_cmpint(pread(f->objects_fd, bytes, TABLE_SIZE, 0), ==, TABLE_SIZE);
    g_assert_cmpint(write(fd, bytes, TABLE_SIZE), ==, TABLE_SIZE);
    return fd;
}

static void poke(int fd, off_t at, const void *value, size_t size)
{
    g_assert_cmpint(pwrite(fd, value, size, at), ==, (ssize_t)size);
}

/* Entries that lie, one at a time: that one is left out, with a sentence. */
static void test_lies(void)
{
    static const struct {
        const char *what;
        size_t at;
        uint64_t value;
        size_t size;
        unsigned back; /* of the three resources */
        bool silent;   /* left out as it cannot be made */
    } lies[] = {
        { "state", offsetof(struct TableResource, state), 2, 4, 2, false },
        { "id 0", offsetof(struct TableResource, resource_id), 0, 4, 2, false },
        { "id twice", offsetof(struct TableResource, resource_id), 2, 4, 2, false },
        { "format", offsetof(struct TableResource, shape.format), 0xffff, 4, 2, false },
        { "width 0", offsetof(struct TableResource, shape.width), 0, 4, 2, false },
        { "width", offsetof(struct TableResource, shape.width), 0xffffffff, 4, 2, false },
        { "is_2d", offsetof(struct TableResource, is_2d), 7, 4, 2, false },
        { "bind", offsetof(struct TableResource, shape.bind), 0xffff, 4, 2, false },
        { "large", offsetof(struct TableResource, shape.width), 16384, 4, 3, false },
        { "charged", offsetof(struct TableResource, charged), ~0ull, 8, 3, false },
        { "backing", offsetof(struct TableResource, backing), 9, 4, 2, false },
        { "pages at", offsetof(struct TableResource, pages_at), 0xfffffff0, 4, 2, false },
        { "pages odd", offsetof(struct TableResource, pages_at), 3, 4, 2, false },
        { "pages many", offsetof(struct TableResource, pages_count), 0xffffffff, 4, 2, false },
        { "another's pages", offsetof(struct TableResource, pages_at), TABLE_BLOCK, 4, 2, false },
        { "blob and picture", offsetof(struct TableResource, blob_mem), 1, 4, 2, false },
        { "3D", offsetof(struct TableResource, is_2d), 0, 4, 2, true },
    };
    g_autoptr(Frontend) f = frontend_new(NULL);
    int good;

    for (uint32_t id = 1; id <= 3; id++) {
        picture_resource(f, id, BGRX, id, 16, 16);
    }
    good = copy_table(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        int bad = copy_table(f);
        struct vgpu_channel_adopted m;
        g_autofree char *log = NULL;

        g_test_message("%s", lies[i].what);
        poke(bad, TABLE_RESOURCES_AT + lies[i].at, &lies[i].value, lies[i].size);
        frontend_kill(f);
        g_assert_true(frontend_replace(f, bad));
        g_assert_true(frontend_adopted(f, &m));
        log = frontend_log(f);
        g_assert_cmpuint(m.resources, ==, lies[i].back);
        g_assert_cmpuint(m.refused + m.lost, ==, 3 - lies[i].back);
        g_assert_true(!!strstr(log, "left out") == (lies[i].back < 3 && !lies[i].silent));
        g_assert_true(gpu_still_works(f));
        close(bad);
        /* and back to what is right */
        frontend_kill(f);
        g_assert_true(frontend_replace(f, good));
        g_assert_true(frontend_adopted(f, &m));
        g_assert_cmpuint(m.resources, ==, 3);
    }
    close(good);
}

/* Pages that are nowhere in guest memory are no backing; the picture is there. */
static void test_pages_outside(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    struct TablePages nowhere = { RAM_NOWHERE, 1024, 0 };
    struct vgpu_channel_adopted m;
    int bad;

    picture_resource(f, 1, BGRX, 1, 16, 16);
    bad = copy_table(f);
    poke(bad, TABLE_PAGES_AT, &nowhere, sizeof(nowhere));
    frontend_kill(f);
    g_assert_true(frontend_replace(f, bad));
    g_assert_true(frontend_adopted(f, &m));
    g_assert_cmpuint(m.resources, ==, 1);
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 8, 8), ==, ERR_UNSPEC);
    close(bad);
}

/* Commands in flight that are none, and more of them than the guest waits for. */
static void test_chains_lie(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    Pending *p[4];
    int bad = copy_table(f);
    struct vgpu_channel_adopted m;

    for (unsigned i = 0; i < TABLE_QUEUE_MAX; i++) {
        struct TableChain c = { .order = i + 1, .tries = 0xffffffff };

        poke(bad, TABLE_CHAINS_AT + i * sizeof(c), &c, sizeof(c));
    }
    kill(f->pid, SIGSTOP);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        p[i] = send_create(f, 10 + i, 0);
    }
    frontend_kill(f);
    g_assert_true(frontend_replace(f, bad));
    g_assert_true(frontend_adopted(f, &m));
    g_assert_cmpuint(m.descriptors, ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        g_assert_cmphex(answer(f, p[i]), ==, OK_NODATA);
        pending_free(p[i]);
    }
    close(bad);
}

/* A table that is none, and one of before a reset: nothing of it, and life goes on. */
static void test_not_a_table(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    uint32_t wrong = 99;
    int bad = copy_table(f), empty = memfd_create("empty", MFD_CLOEXEC);
    struct vgpu_channel_adopted m;
    int old;

    poke(bad, 0, &wrong, sizeof(wrong));
    for (unsigned i = 0; i < 2; i++) {
        frontend_kill(f);
        g_assert_true(frontend_replace(f, i ? empty : bad));
        g_assert_true(frontend_adopted(f, &m));
        g_assert_cmpuint(m.resources, ==, 0);
        g_assert_true(gpu_still_works(f));
    }
    picture_resource(f, 1, BGRX, 1, 16, 16);
    old = copy_table(f);
    g_assert_true(frontend_reset(f));
    frontend_kill(f);
    g_assert_true(frontend_replace(f, old));
    g_assert_true(frontend_adopted(f, &m));
    g_assert_cmpuint(m.resources, ==, 0);
    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 8, 8), ==, OK_NODATA);
    close(old);
    close(bad);
    close(empty);
}

/*
 * A renderer that wrote rubbish before it died: random bytes over random parts.
 * The next one lives, serves, and its books are right.
 */
static void test_rubbish(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    unsigned rounds = g_getenv("VGPU_TEST_FULL") ? 1000 : 20;
    int good;

    for (uint32_t id = 1; id <= 20; id++) {
        picture_resource(f, id, BGRX, id, 16, 16);
    }
    g_assert_cmphex(gpu_set_scanout(f, 0, 3, 0, 0, 16, 16), ==, OK_NODATA);
    good = copy_table(f);
    for (unsigned round = 0; round < rounds; round++) {
        static const struct {
            uint32_t from, size;
        } parts[] = { { sizeof(struct TableHeader), 4096 },
                      { TABLE_SCANOUTS_AT, 1024 },
                      { TABLE_QUEUES_AT, 64 },
                      { TABLE_CHAINS_AT, 4096 },
                      { TABLE_RESOURCES_AT, 20 * sizeof(struct TableResource) },
                      { TABLE_PAGES_AT, 20 * TABLE_BLOCK * sizeof(struct TablePages) } };
        int bad = copy_table(f);

        g_assert_cmpint(lseek(good, 0, SEEK_SET), ==, 0);
        for (unsigned n = (unsigned)g_test_rand_int_range(1, 40); n > 0; n--) {
            unsigned k = (unsigned)g_test_rand_int_range(0, G_N_ELEMENTS(parts));
            uint32_t at = parts[k].from + (uint32_t)g_test_rand_int_range(0, (gint32)parts[k].size);
            uint32_t word =
                g_test_rand_bit() ? (uint32_t)g_test_rand_int() : (uint32_t)g_test_rand_int_range(0, 32);

            poke(bad, at & ~3u, &word, sizeof(word));
        }
        frontend_kill(f);
        g_assert_true(frontend_replace(f, bad));
        g_assert_true(frontend_adopted(f, NULL));
        g_assert_true(gpu_still_works(f));
        g_assert_true(frontend_used(f) <= f->o.memory);
        g_assert_true(frontend_reset(f));
        g_assert_true(gpu_still_works(f));
        g_assert_cmpuint(frontend_used(f), ==, 0);
        close(bad);
        f->generation = 0;
        frontend_kill(f);
        g_assert_true(frontend_replace(f, good));
        g_assert_true(frontend_adopted(f, NULL));
    }
    close(good);
}

/* A reset of the guest while the next one has not begun: it begins with nothing. */
static void test_reset_meanwhile(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);

    picture_resource(f, 1, BGRX, 1, 16, 16);
    frontend_kill(f);
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_true(frontend_reset(f));
    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 8, 8), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* ---- making room ---- */

/* SIGTERM: what was begun is finished, then it ends by itself and leaves its table. */
static void test_make_room(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=async");
    uint32_t us = 300 * 1000;
    g_autoptr(Pending) submit = gpu_submit_fenced(f, 1, &us, 1, 9);
    g_autoptr(ChannelMsg) last = NULL;
    g_autoptr(Pending) late = NULL;
    struct vgpu_channel_adopted m;

    picture_resource(f, 1, BGRX, 1, 16, 16);
    kill(f->pid, SIGTERM);
    g_usleep(50000);
    late = send_create(f, 2, 0);
    g_assert_cmphex(answer(f, submit), ==, OK_NODATA);
    last = channel_find(&f->channel, VGPU_CHANNEL_FATAL, SOON);
    g_assert_nonnull(last);
    g_assert_cmpuint(last->fatal.cause, ==, VGPU_FATAL_PLANNED);
    {
        int status;

        g_assert_cmpint(waitpid(f->pid, &status, 0), ==, f->pid);
        g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        f->pid = 0;
    }
    frontend_kill(f);
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_true(frontend_adopted(f, &m));
    g_assert_cmpuint(m.resources, ==, 1);
    g_assert_cmpuint(m.descriptors, ==, 0);
    g_assert_cmphex(answer(f, late), ==, OK_NODATA);
}

/* One that has too much to do ends all the same, and the next one answers. */
static void test_make_room_late(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=async");
    uint32_t us = 3600u * 1000000;
    g_autoptr(Pending) submit = gpu_submit_fenced(f, 1, &us, 1, 9);
    gint64 began = g_get_monotonic_time();
    int status;

    await_taken(f);
    kill(f->pid, SIGTERM);
    g_assert_cmpint(waitpid(f->pid, &status, 0), ==, f->pid);
    f->pid = 0;
    g_assert_cmpint(g_get_monotonic_time() - began, <, 5 * G_USEC_PER_SEC);
    frontend_kill(f);
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_cmphex(answer(f, submit), ==, ERR_CONTEXT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/renderer-adopt/pictures", test_pictures);
    g_test_add_func("/renderer-adopt/blobs", test_blobs);
    g_test_add_func("/renderer-adopt/cursor", test_cursor);
    g_test_add_func("/renderer-adopt/cannot-be-made", test_cannot_be_made);
    g_test_add_func("/renderer-adopt/contexts", test_contexts);
    g_test_add_func("/renderer-adopt/in-flight", test_in_flight);
    g_test_add_func("/renderer-adopt/context-in-flight", test_context_in_flight);
    g_test_add_func("/renderer-adopt/out-of-order", test_out_of_order);
    g_test_add_func("/renderer-adopt/not-taken", test_not_taken);
    g_test_add_func("/renderer-adopt/killed-anywhere", test_killed_anywhere);
    g_test_add_func("/renderer-adopt/lies", test_lies);
    g_test_add_func("/renderer-adopt/pages-outside", test_pages_outside);
    g_test_add_func("/renderer-adopt/chains-lie", test_chains_lie);
    g_test_add_func("/renderer-adopt/not-a-table", test_not_a_table);
    g_test_add_func("/renderer-adopt/rubbish", test_rubbish);
    g_test_add_func("/renderer-adopt/reset-meanwhile", test_reset_meanwhile);
    g_test_add_func("/renderer-adopt/make-room", test_make_room);
    g_test_add_func("/renderer-adopt/make-room-late", test_make_room_late);
    return g_test_run();
}
