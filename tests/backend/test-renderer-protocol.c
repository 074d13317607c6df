/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every command with every field wrong: an error reply of the right kind, no
 * trace of the command, and the next good command is answered.
 */
#include <string.h>

#include "sample.h"
#include "vgpu/virtio.h"

#define NONE      0xffffffffu /* an id nobody has, a number too big */
#define ANY_ERROR 1

/* One case: the response is as wanted, and the device goes on. */
static void check(Frontend *f, const char *what, uint32_t got, uint32_t want)
{
    bool fine = want == ANY_ERROR ? got >= ERR_UNSPEC && got <= ERR_PARAM : got == want;

    if (f->dead) {
        return;
    }
    if (!fine) {
        g_test_fail_printf("%s: response 0x%x, not 0x%x", what, got, want);
    }
    if (!gpu_still_works(f)) {
        g_test_fail_printf("%s: the next good command failed", what);
    }
}

#define CHECK(call, want) check(f, #call, call, want)

static Frontend *start(gconstpointer renderer)
{
    FrontendOptions o = { .renderer = renderer, .max_outputs = 2, .ram = 256ull << 20, .ring_size = 1024 };

    return frontend_new(&o);
}

static void test_create_2d(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    CHECK(gpu_create_2d(f, 0, BGRX, 16, 16), ERR_RESOURCE);
    CHECK(gpu_create_2d(f, 1, BGRX, 16, 16), OK_NODATA);
    CHECK(gpu_create_2d(f, 1, BGRX, 16, 16), ERR_RESOURCE);
    CHECK(gpu_create_2d(f, NONE, BGRX, 16, 16), OK_NODATA);
    CHECK(gpu_unref(f, NONE), OK_NODATA);
    CHECK(gpu_create_2d(f, 2, 0, 16, 16), ERR_PARAM);
    CHECK(gpu_create_2d(f, 2, 5, 16, 16), ERR_PARAM);
    CHECK(gpu_create_2d(f, 2, 500, 16, 16), ERR_PARAM);
    CHECK(gpu_create_2d(f, 2, NONE, 16, 16), ERR_PARAM);
    CHECK(gpu_create_2d(f, 2, BGRX, 0, 16), ERR_PARAM);
    CHECK(gpu_create_2d(f, 2, BGRX, 16, 0), ERR_PARAM);
    CHECK(gpu_create_2d(f, 2, BGRX, NONE, 16), ANY_ERROR);
    CHECK(gpu_create_2d(f, 2, BGRX, 16, NONE), ANY_ERROR);
    CHECK(gpu_create_2d(f, 2, BGRX, NONE, NONE), ANY_ERROR);
    CHECK(gpu_create_2d(f, 2, BGRX, 0x80000000u, 2), ANY_ERROR);
    CHECK(gpu_create_2d(f, 2, BGRX, 0x10000, 0x10000), ANY_ERROR);
    CHECK(gpu_create_2d(f, 2, BGRX, 16384, 16384), ANY_ERROR); /* 1 GiB of 256 MiB */
    CHECK(gpu_unref(f, 2), ERR_RESOURCE);
    CHECK(gpu_unref(f, 1), OK_NODATA);
    CHECK(gpu_unref(f, 1), ERR_RESOURCE);
    CHECK(gpu_unref(f, 0), ERR_RESOURCE);
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

static void test_attach(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    struct virtio_gpu_mem_entry e[4] = { 0 };
    uint64_t ok = ram_alloc(f->ram, 4096), end = f->ram->low_size, high = RAM_HIGH_GPA + f->ram->high_size;
    static const struct {
        uint64_t addr;
        uint32_t len;
    } bad[] = {
        { RAM_NOWHERE, 4096 },  { ~0ull, 1 },    { ~0ull - 4095, 4096 },
        { ~0ull - 4095, 8192 }, { ~0ull, NONE }, { 0x7fffffffffffffffull, 4096 },
    };

    CHECK(gpu_create_2d(f, 1, BGRX, 16, 16), OK_NODATA);
    CHECK(gpu_attach_one(f, 0, ok, 1024), ERR_RESOURCE);
    CHECK(gpu_attach_one(f, 2, ok, 1024), ERR_RESOURCE);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        CHECK(gpu_attach_one(f, 1, bad[i].addr, bad[i].len), ANY_ERROR);
    }
    CHECK(gpu_attach_one(f, 1, end, 1), ANY_ERROR);
    CHECK(gpu_attach_one(f, 1, end - 1, 2), ANY_ERROR);
    CHECK(gpu_attach_one(f, 1, end - 4096, 4097), ANY_ERROR);
    CHECK(gpu_attach_one(f, 1, high - 4096, 8192), ANY_ERROR);
    CHECK(gpu_attach_one(f, 1, RAM_HIGH_GPA - 1, 4096), ANY_ERROR);
    /* a good entry, then a bad one */
    e[0].addr = ok;
    e[0].length = 512;
    e[1].addr = RAM_NOWHERE;
    e[1].length = 512;
    CHECK(gpu_attach(f, 1, e, 2), ANY_ERROR);
    e[1] = e[0];
    CHECK(gpu_attach_lie(f, 1, 3, e, 2), ANY_ERROR);
    CHECK(gpu_attach_lie(f, 1, 0x10000000, e, 2), ANY_ERROR);
    CHECK(gpu_attach_lie(f, 1, 0x10000001, e, 2), ANY_ERROR);
    CHECK(gpu_attach_lie(f, 1, 0x10000002, e, 2), ANY_ERROR);
    CHECK(gpu_attach_lie(f, 1, NONE, e, 2), ANY_ERROR);
    CHECK(gpu_attach_lie(f, 1, 1, e, 0), ANY_ERROR);
    /* none of these left a backing behind: the first good one is taken, a second is not */
    CHECK(gpu_attach_one(f, 1, ok, 1024), OK_NODATA);
    CHECK(gpu_attach_one(f, 1, ok, 1024), ANY_ERROR);
    CHECK(gpu_detach(f, 2), ERR_RESOURCE);
    CHECK(gpu_detach(f, 1), OK_NODATA);
    CHECK(gpu_detach(f, 1), ANY_ERROR);
    CHECK(gpu_attach_one(f, 1, end - 1024, 1024), OK_NODATA);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 0, 16, 16), OK_NODATA);
}

/* As many entries as a guest may need are taken; absurd numbers are not. */
static void test_attach_many(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    enum { PAGES = 2048 * 2048 * 4 / 4096 };
    g_autofree struct virtio_gpu_mem_entry *e = g_new0(struct virtio_gpu_mem_entry, 300000);
    uint64_t page = ram_alloc(f->ram, 4096);

    for (unsigned i = 0; i < 300000; i++) {
        e[i].addr = page;
        e[i].length = 4096;
    }
    CHECK(gpu_create_2d(f, 1, BGRX, 2048, 2048), OK_NODATA);
    CHECK(gpu_attach(f, 1, e, PAGES), OK_NODATA);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 0, 2048, 2048), OK_NODATA);
    CHECK(gpu_detach(f, 1), OK_NODATA);
    CHECK(gpu_attach(f, 1, e, 300000), ANY_ERROR);
    CHECK(gpu_attach(f, 1, e, 16), OK_NODATA);
}

static void test_transfer_2d(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t gpa = ram_alloc(f->ram, 4096);

    CHECK(gpu_create_2d(f, 1, BGRX, 16, 16), OK_NODATA);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 0, 16, 16), ANY_ERROR); /* no backing */
    CHECK(gpu_attach_one(f, 1, gpa, 1024), OK_NODATA);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 0, 16, 16), OK_NODATA);
    CHECK(gpu_transfer_2d(f, 0, 0, 0, 0, 16, 16), ERR_RESOURCE);
    CHECK(gpu_transfer_2d(f, 9, 0, 0, 0, 16, 16), ERR_RESOURCE);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 0, 17, 16), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 0, 16, 17), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, 16, 0, 1, 1), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 16, 1, 1), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, NONE, 0, 1, 1), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, 1, 0, NONE, 1), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, NONE, 1, 1), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, 0, 1, 1, NONE), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, NONE, NONE, NONE, NONE), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 0, 8, 8, 0xfffffff8u, 0xfffffff8u), ERR_PARAM);
    CHECK(gpu_transfer_2d(f, 1, 1, 0, 0, 16, 16), ANY_ERROR);
    CHECK(gpu_transfer_2d(f, 1, 1024, 0, 0, 1, 1), ANY_ERROR);
    CHECK(gpu_transfer_2d(f, 1, 1020, 0, 0, 1, 1), OK_NODATA);
    CHECK(gpu_transfer_2d(f, 1, ~0ull, 0, 0, 1, 1), ANY_ERROR);
    CHECK(gpu_transfer_2d(f, 1, ~0ull - 3, 0, 0, 1, 1), ANY_ERROR);
    CHECK(gpu_transfer_2d(f, 1, ~0ull - 1023, 0, 0, 16, 16), ANY_ERROR);
    CHECK(gpu_transfer_2d(f, 1, 0x8000000000000000ull, 0, 0, 16, 16), ANY_ERROR);
    CHECK(gpu_transfer_2d(f, 1, 0x100000000ull, 0, 0, 1, 1), ANY_ERROR);
}

static void test_scanout(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    CHECK(gpu_create_2d(f, 1, BGRX, 64, 64), OK_NODATA);
    CHECK(gpu_set_scanout(f, 2, 1, 0, 0, 64, 64), ERR_SCANOUT);
    CHECK(gpu_set_scanout(f, 16, 1, 0, 0, 64, 64), ERR_SCANOUT);
    CHECK(gpu_set_scanout(f, NONE, 1, 0, 0, 64, 64), ERR_SCANOUT);
    CHECK(gpu_set_scanout(f, NONE, 0, 0, 0, 0, 0), ERR_SCANOUT);
    CHECK(gpu_set_scanout(f, 0, 9, 0, 0, 64, 64), ERR_RESOURCE);
    CHECK(gpu_set_scanout(f, 0, NONE, 0, 0, 64, 64), ERR_RESOURCE);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 0, 65, 64), ERR_PARAM);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 0, 64, 65), ERR_PARAM);
    CHECK(gpu_set_scanout(f, 0, 1, 1, 0, 64, 64), ERR_PARAM);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 1, 64, 64), ERR_PARAM);
    CHECK(gpu_set_scanout(f, 0, 1, NONE, NONE, NONE, NONE), ERR_PARAM);
    CHECK(gpu_set_scanout(f, 0, 1, 32, 0, 0xffffffe0u, 64), ERR_PARAM);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 0, 0, 64), ERR_PARAM);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 0, 64, 0), ERR_PARAM);
    g_assert_true(channel_barrier(&f->channel, 5000));
    screen_pump(&f->screen, 0);
    g_assert_cmpuint(f->screen.out[0].width, ==, 0);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 0, 64, 64), OK_NODATA);
    CHECK(gpu_set_scanout(f, 1, 0, 0, 0, 0, 0), OK_NODATA);
    CHECK(gpu_flush(f, 9, 0, 0, 64, 64), ERR_RESOURCE);
    CHECK(gpu_flush(f, 0, 0, 0, 64, 64), ERR_RESOURCE);
    CHECK(gpu_flush(f, 1, 0, 0, 65, 64), ERR_PARAM);
    CHECK(gpu_flush(f, 1, 0, 0, 64, 65), ERR_PARAM);
    CHECK(gpu_flush(f, 1, 64, 0, 1, 1), ERR_PARAM);
    CHECK(gpu_flush(f, 1, NONE, NONE, NONE, NONE), ERR_PARAM);
    CHECK(gpu_flush(f, 1, 32, 32, 0xffffffe0u, 0xffffffe0u), ERR_PARAM);
    CHECK(gpu_flush(f, 1, 0, 0, 64, 64), OK_NODATA);
}

static void test_unknown_commands(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    static const uint32_t type[] = {
        0,
        1,
        0xff,
        0x10e,
        0x110,
        0x1ff,
        0x20a,
        0x2ff,
        0x302,
        0x1100,
        0x1200,
        NONE,
        0x80000100u,
        0x10100,
        VGPU_CMD_FIRST,
        VGPU_CMD_FIRST + 1,
        VGPU_CMD_LAST,
        VGPU_CMD_LAST + 1,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(type); i++) {
        struct virtio_gpu_ctrl_hdr c = { .type = type[i], .flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = i };
        g_autofree char *what = g_strdup_printf("command 0x%x", type[i]);

        check(f, what, gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0), ERR_UNSPEC);
    }
}

/* All of them in their good form: what the renderer offers works, the rest is ERR_UNSPEC. */
static void test_samples(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    for (unsigned i = 0; i < sample_count && !f->dead; i++) {
        Sample s;
        g_autofree uint8_t *resp = g_malloc(2048);

        sample_prepare(f);
        s = sample_get(f, i);
        check(f, s.name,
              gpu_run(f, s.cmd.bytes, s.size, s.data_size ? s.data : NULL, s.data_size, resp, s.resp_size),
              s.ok ? s.ok : ERR_UNSPEC);
    }
}

/* Cut short at every byte: an error, and no trace. */
static void test_truncated(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    for (unsigned i = 0; i < sample_count; i++) {
        Sample s;
        uint32_t whole;
        uint8_t all[sizeof(s.cmd) + sizeof(s.data)];

        sample_prepare(f);
        s = sample_get(f, i);
        memcpy(all, s.cmd.bytes, s.size);
        memcpy(all + s.size, s.data, s.data_size);
        whole = s.size + s.data_size;
        for (uint32_t cut = 1; cut < whole && !f->dead; cut++) {
            uint32_t got = gpu_run(f, all, cut, NULL, 0, NULL, 0);

            if (!f->dead && (got < ERR_UNSPEC || got > ERR_PARAM)) {
                g_test_fail_printf("%s cut to %u of %u bytes: response 0x%x", s.name, cut, whole, got);
            }
        }
        if (!f->dead && !gpu_still_works(f)) {
            g_test_fail_printf("%s: cut short, it broke the next good command", s.name);
        }
    }
    /* the resources of the last round are all there is */
    g_assert_cmpuint(vgpu_stats_get(&f->stats->resources), ==, SAMPLE_RESOURCES);
}

/* A byte, or a lot, after what a command is: mis-sized is an error, not a guess. */
static void test_too_long(gconstpointer renderer)
{
    static const uint32_t extra[] = { 1, 8, 4096, 20 << 20 };
    g_autoptr(Frontend) f = start(renderer);
    g_autofree uint8_t *all = g_malloc0((20 << 20) + 256);

    for (unsigned i = 0; i < sample_count; i++) {
        for (unsigned e = 0; e < G_N_ELEMENTS(extra) && !f->dead; e++) {
            Sample s;

            sample_prepare(f);
            s = sample_get(f, i);
            memcpy(all, s.cmd.bytes, s.size);
            memcpy(all + s.size, s.data, s.data_size);
            check(f, s.name, gpu_run(f, all, s.size + s.data_size + extra[e], NULL, 0, NULL, 0), ANY_ERROR);
        }
    }
    g_assert_cmpuint(vgpu_stats_get(&f->stats->resources), ==, SAMPLE_RESOURCES);
}

/* Command and answer in pieces, cut at every byte: as if they were whole. */
static void test_split(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t out = ram_alloc(f->ram, 4096), in = ram_alloc(f->ram, 4096);

    for (unsigned i = 0; i < sample_count; i++) {
        for (uint32_t cut = 1; !f->dead; cut++) {
            Sample s;
            uint32_t whole, got = 0, in_cut;
            VringBuf o[2], n[2];
            g_autoptr(Pending) p = NULL;

            sample_prepare(f);
            s = sample_get(f, i);
            whole = s.size + s.data_size;
            if (cut >= whole) {
                break;
            }
            memcpy(ram_ptr(f->ram, out), s.cmd.bytes, s.size);
            memcpy((uint8_t *)ram_ptr(f->ram, out) + s.size, s.data, s.data_size);
            in_cut = 1 + cut % (s.resp_size - 1);
            o[0] = (VringBuf){ out, cut };
            o[1] = (VringBuf){ out + cut, whole - cut };
            n[0] = (VringBuf){ in, in_cut };
            n[1] = (VringBuf){ in + in_cut, s.resp_size - in_cut };
            p = frontend_send_raw(f, CONTROL, o, 2, n, 2);
            if (!p || !frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE)) {
                frontend_fail(f, "%s split at byte %u was not answered", s.name, cut);
                break;
            }
            memcpy(&got, ram_ptr(f->ram, in), sizeof(got));
            if (got != (s.ok ? s.ok : ERR_UNSPEC)) {
                g_test_fail_printf("%s split at byte %u: response 0x%x", s.name, cut, got);
                break;
            }
        }
    }
}

/* One descriptor per byte, both ways. */
static void test_bytewise(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t out = ram_alloc(f->ram, 4096), in = ram_alloc(f->ram, 4096);

    for (unsigned i = 0; i < sample_count && !f->dead; i++) {
        VringBuf o[256], n[512];
        uint32_t whole, got = 0;
        Sample s;
        g_autoptr(Pending) p = NULL;

        sample_prepare(f);
        s = sample_get(f, i);
        whole = s.size + s.data_size;
        memcpy(ram_ptr(f->ram, out), s.cmd.bytes, s.size);
        memcpy((uint8_t *)ram_ptr(f->ram, out) + s.size, s.data, s.data_size);
        for (unsigned b = 0; b < whole; b++) {
            o[b] = (VringBuf){ out + b, 1 };
        }
        for (unsigned b = 0; b < MIN(s.resp_size, 512); b++) {
            n[b] = (VringBuf){ in + b, 1 };
        }
        p = frontend_send_raw(f, CONTROL, o, whole, n, MIN(s.resp_size, 512));
        if (!p || !frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE)) {
            frontend_fail(f, "%s in single bytes was not answered", s.name);
            break;
        }
        memcpy(&got, ram_ptr(f->ram, in), sizeof(got));
        if (s.resp_size <= 512) {
            check(f, s.name, got, s.ok ? s.ok : ERR_UNSPEC);
        }
    }
}

/* No room, or too little, for the answer: nothing is written past it. */
static void test_short_response(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t in = ram_alloc(f->ram, 4096);
    uint8_t *guard = ram_ptr(f->ram, in);

    for (unsigned i = 0; i < sample_count; i++) {
        Sample s = sample_get(f, i);

        for (uint32_t room = 0; room < s.resp_size && !f->dead; room += room < 40 ? 1 : 61) {
            g_autoptr(Pending) p = NULL;
            VringBuf o, n = { in, room };
            uint64_t out = ram_alloc(f->ram, 256);

            sample_prepare(f);
            s = sample_get(f, i);
            memset(guard, 0x5a, 4096);
            memcpy(ram_ptr(f->ram, out), s.cmd.bytes, s.size);
            memcpy((uint8_t *)ram_ptr(f->ram, out) + s.size, s.data, s.data_size);
            o = (VringBuf){ out, s.size + s.data_size };
            p = frontend_send_raw(f, CONTROL, &o, 1, &n, room ? 1 : 0);
            if (!p || !frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE)) {
                frontend_fail(f, "%s with %u bytes for its answer did not come back", s.name, room);
                break;
            }
            if (p->used_len > room) {
                g_test_fail_printf("%s: used length %u of %u bytes", s.name, p->used_len, room);
            }
            for (unsigned b = room; b < 4096; b++) {
                if (guard[b] != 0x5a) {
                    g_test_fail_printf("%s: byte %u written, the buffer has %u", s.name, b, room);
                    break;
                }
            }
            ram_release(f->ram, out);
        }
        if (!f->dead && !gpu_still_works(f)) {
            g_test_fail_printf("%s: with a short answer it broke the next good command", s.name);
        }
    }
}

/* A command on the queue it does not belong to. */
static void test_wrong_queue(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    for (unsigned i = 0; i < sample_count && !f->dead; i++) {
        Sample s = sample_get(f, i);
        g_autoptr(Pending) p = frontend_send(f, CURSOR, s.cmd.bytes, s.size, NULL, 0, 24);

        if (!p || !frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE)) {
            frontend_fail(f, "%s on the cursor queue did not come back", s.name);
        }
    }
    for (uint32_t type = 0x300; type <= 0x301 && !f->dead; type++) {
        struct virtio_gpu_update_cursor c = { .hdr.type = type };

        CHECK(gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0), ERR_UNSPEC);
    }
    g_assert_cmpuint(vgpu_stats_get(&f->stats->resources), ==, 0);
}

/* Commands of random numbers, most of them near the truth: the device goes on. */
static void test_random(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    static const uint32_t interesting[] = { 0,
                                            1,
                                            2,
                                            15,
                                            16,
                                            17,
                                            64,
                                            1024,
                                            0x7fffffff,
                                            0x80000000u,
                                            0xfffffffeu,
                                            NONE,
                                            SAMPLE_RESOURCE,
                                            SAMPLE_BARE,
                                            SAMPLE_CONTEXT };

    for (unsigned round = 0; round < 4000 && !f->dead; round++) {
        Sample s;
        unsigned bent = g_test_rand_int_range(1, 4);

        if (round % 100 == 0) {
            g_assert_true(frontend_reset(f));
            sample_prepare(f);
        }
        s = sample_get(f, g_test_rand_int_range(0, sample_count));
        while (bent--) {
            uint32_t at = g_test_rand_int_range(1, s.size / 4) * 4;
            uint32_t to = interesting[g_test_rand_int_range(0, G_N_ELEMENTS(interesting))];

            memcpy(s.cmd.bytes + at, &to, sizeof(to));
        }
        /* a submit of noise is the virgl tests' business */
        if (gpu_run(f, s.cmd.bytes, s.size, s.data_size ? s.data : NULL, s.data_size, NULL, 0) == 0) {
            g_test_message("command 0x%x in round %u", s.cmd.hdr.type, round);
        }
    }
    g_assert_true(frontend_reset(f));
    g_assert_true(gpu_still_works(f));
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

static void add(const char *renderer, const char *name, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/protocol/%s/%s", renderer, name);

    g_test_add_data_func(path, renderer, func);
}

int main(int argc, char **argv)
{
    static const char *const renderers[] = { "2d", "null" };

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    for (unsigned i = 0; i < G_N_ELEMENTS(renderers); i++) {
        add(renderers[i], "create-2d", test_create_2d);
        add(renderers[i], "attach", test_attach);
        add(renderers[i], "attach-many", test_attach_many);
        add(renderers[i], "transfer-2d", test_transfer_2d);
        add(renderers[i], "scanout", test_scanout);
        add(renderers[i], "unknown-commands", test_unknown_commands);
        add(renderers[i], "samples", test_samples);
        add(renderers[i], "truncated", test_truncated);
        add(renderers[i], "too-long", test_too_long);
        add(renderers[i], "split", test_split);
        add(renderers[i], "bytewise", test_bytewise);
        add(renderers[i], "short-response", test_short_response);
        add(renderers[i], "wrong-queue", test_wrong_queue);
        add(renderers[i], "random", test_random);
    }
    return g_test_run();
}
