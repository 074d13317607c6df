/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The renderer takes turns: it uses the GPU while it holds the lease, gives it
 * back with nothing in flight, and serves what needs no GPU while it waits.
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "leased.h"

static Pending *ask_display(Leased *v)
{
    struct virtio_gpu_ctrl_hdr c = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };

    return frontend_send(v->f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
}

static void test_waits_for_a_grant(void)
{
    g_autoptr(Leased) v = leased_null("--null-submit-how=async");
    g_autoptr(Pending) p = NULL;
    uint64_t before;

    /* what needs no GPU asks for none */
    g_assert_true(gpu_still_works(v->f));
    g_assert_cmphex(state(&v->h), ==, 0);
    before = now_ns();
    p = leased_submit(v, 1000, 1); /* there is no context 1: an error, in its turn */
    leased_wait(v, UINT32_MAX, WANTED);
    leased_barrier(v);
    g_assert_false(frontend_collect(v->f, p));
    leased_claim_becomes(&v->h.page->queue_depth, 1, 1);
    leased_calls_reach(v, 1);
    grant(&v->h);
    g_assert_true(frontend_wait(v->f, p, FRONTEND_COMMAND_DEADLINE));
    g_assert_cmphex(gpu_response(p), ==, ERR_CONTEXT);
    leased_wait(v, UINT32_MAX, GRANTED); /* nobody else waits: it stays ours */
    leased_claim_becomes(&v->h.page->busy_ns, 1, now_ns() + MS - before);
    leased_claim_becomes(&v->h.page->queue_depth, 0, 0);
}

static void test_no_message_while_nobody_waits(void)
{
    g_autoptr(Leased) v = leased_null_granted("--null-submit-how=async");
    gint calls_before;
    uint64_t batches;

    leased_barrier(v);
    calls_before = g_atomic_int_get(&v->calls);
    batches = leased_claim(&v->h.page->batches);
    for (unsigned i = 0; i < 200; i++) {
        g_autoptr(Pending) p = leased_submit(v, 10, i + 1);

        g_assert_true(leased_answered(v, p));
    }
    leased_wait(v, UINT32_MAX, GRANTED);
    g_assert_cmpint(g_atomic_int_get(&v->calls), ==, calls_before);
    leased_claim_becomes(&v->h.page->batches, batches + 200, UINT64_MAX);
    leased_claim_becomes(&v->h.page->busy_ns, 200 * 10 * 1000, UINT64_MAX);
}

/* Taken back while idle: the next command asks. */
static void test_taken_back_idle(void)
{
    g_autoptr(Leased) v = leased_null_granted("--null-submit-how=async");
    g_autoptr(Pending) p = NULL;

    leased_take_back(v);
    p = leased_submit(v, 0, 1);
    leased_wait(v, UINT32_MAX, WANTED);
    leased_barrier(v);
    g_assert_false(frontend_collect(v->f, p));
    grant(&v->h);
    g_assert_true(leased_answered(v, p));
}

static void test_order(void)
{
    g_autoptr(Leased) v = leased_null("--null-submit-how=async");
    Pending *p[64];

    g_atomic_int_set(&v->generous, 1);
    g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
    g_atomic_int_set(&v->generous, 0);
    leased_take_back(v);
    /* some that need no GPU, then a mixture */
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        p[i] = i >= 3 && i % 2 ? leased_submit(v, 10, 0) : ask_display(v);
    }
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(leased_answered(v, p[i]));
    }
    leased_wait(v, UINT32_MAX, WANTED);
    leased_barrier(v);
    frontend_collect(v->f, NULL);
    for (unsigned i = 3; i < G_N_ELEMENTS(p); i++) {
        g_assert_false(p[i]->done); /* although half of them need no GPU */
    }
    leased_claim_becomes(&v->h.page->queue_depth, G_N_ELEMENTS(p) - 3, G_N_ELEMENTS(p) - 3);
    grant(&v->h);
    for (unsigned i = 3; i < G_N_ELEMENTS(p); i++) {
        g_assert_true(leased_answered(v, p[i]));
    }
    for (unsigned i = 1; i < G_N_ELEMENTS(p); i++) {
        g_assert_cmpuint(p[i]->order, ==, p[i - 1]->order + 1);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        pending_free(p[i]);
    }
    leased_wait(v, UINT32_MAX, GRANTED);
    leased_claim_becomes(&v->h.page->queue_depth, 0, 0);
}

/* Resets, the cursor, stop and cont are served while commands wait. */
static void test_serves_while_waiting(void)
{
    g_autoptr(Leased) v = leased_null("--null-submit-how=async");

    for (unsigned round = 0; round < 5; round++) {
        Pending *p[40];

        for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
            p[i] = leased_submit(v, 0, i + 1);
        }
        leased_wait(v, WANTED, WANTED);
        leased_barrier(v);
        g_assert_true(frontend_stop(v->f));
        g_assert_true(frontend_resume(v->f));
        g_assert_true(gpu_move_cursor(v->f, 0, 0, round, 1));
        frontend_collect(v->f, NULL);
        for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
            g_assert_false(p[i]->done);
        }
        g_assert_true(frontend_reset(v->f));
        v->f->completed[CONTROL] = 0;
        g_assert_true(gpu_still_works(v->f));
        leased_barrier(v);
        frontend_collect(v->f, NULL);
        /* none of the old ones came into the new ring */
        g_assert_cmpuint(v->f->completed[CONTROL], ==, 1);
        for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
            pending_free(p[i]);
        }
    }
    g_assert_cmphex(state(&v->h), ==, WANTED); /* asked for once, and never had */
    g_assert_cmpuint(v->f->stats->submits, ==, 0);
    /* what comes after a grant that nobody needs any more */
    grant(&v->h);
    leased_barrier(v);
    g_assert_cmphex(state(&v->h), ==, GRANTED);
    g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
}

/* Pictures of the pointer come from the GPU: a few without the lease, not as many as a guest likes. */
static void test_pointer_flood(void)
{
    enum { COUNT = 60, EACH_MS = 5 };
    g_autoptr(Leased) v = leased_null("--null-submit-how=async");
    struct virtio_gpu_update_cursor c = { .hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR, .resource_id = 1 };
    Pending *p[COUNT];
    uint64_t begin;

    g_atomic_int_set(&v->generous, 1);
    g_assert_cmphex(gpu_create_2d(v->f, 1, BGRA, 64, 64), ==, OK_NODATA);
    g_atomic_int_set(&v->generous, 0);
    leased_take_back(v);
    begin = now_ns();
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = frontend_send(v->f, CURSOR, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    }
    for (unsigned i = 0, first = 0; i < COUNT; i++) {
        g_assert_true(leased_answered(v, p[i]));
        first = i ? first : p[i]->order;
        g_assert_cmpuint(p[i]->order, ==, first + i);
        pending_free(p[i]);
    }
    g_test_message("%u pictures in %.0f ms", COUNT, (double)(now_ns() - begin) / 1e6);
    g_assert_cmpuint(now_ns() - begin, >=, (COUNT - 1) * EACH_MS * MS);
    g_assert_cmphex(state(&v->h), ==, WANTED);
    /* with the lease, as many as it likes; and a reset drops those that wait */
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = frontend_send(v->f, CURSOR, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    }
    grant(&v->h);
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_true(leased_answered(v, p[i]));
        pending_free(p[i]);
    }
    leased_take_back(v);
    for (unsigned i = 0; i < COUNT; i++) {
        pending_free(frontend_send(v->f, CURSOR, &c, sizeof(c), NULL, 0, 0));
    }
    g_assert_true(frontend_reset(v->f));
    v->f->completed[CURSOR] = 0;
    leased_barrier(v);
    g_assert_cmpuint(v->f->completed[CURSOR], ==, 3);
}

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec ts;

    g_assert_cmpint(clock_getcpuclockid(pid, &clock), ==, 0);
    g_assert_cmpint(clock_gettime(clock, &ts), ==, 0);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* A guest that kicks while it waits does not keep the renderer awake. */
static void test_sleeps_while_waiting(void)
{
    g_autoptr(Leased) v = leased_null("--null-submit-how=async");
    uint64_t used;

    for (unsigned i = 0; i < 40; i++) {
        pending_free(leased_submit(v, 0, 0));
    }
    leased_wait(v, WANTED, WANTED);
    vring_kick_now(v->f->ring[CONTROL]);
    leased_barrier(v);
    vring_kick_now(v->f->ring[CONTROL]);
    used = cpu_ns(v->f->pid);
    g_usleep(1500 * 1000);
    used = cpu_ns(v->f->pid) - used;
    g_test_message("%.2f ms of CPU time in 1.5 s of waiting", (double)used / 1e6);
    g_assert_cmpuint(used, <, 100 * MS);
}

/* Stopped with the lease in its hands: it is taken away, and all is well after SIGCONT. */
static void test_stopped_and_revoked(void)
{
    g_autoptr(Leased) v = leased_null_granted("--null-submit-how=async");
    g_autoptr(Pending) p = NULL;
    g_autoptr(Pending) q = NULL;

    leased_barrier(v);
    for (unsigned round = 1; round <= 3; round++) {
        uint32_t epoch = round << VGPU_LEASE_EPOCH_SHIFT;

        p = leased_submit(v, 400 * 1000, 1);
        leased_wait(v, USERS, 1);
        kill(v->f->pid, SIGSTOP);
        take_away(&v->h);
        q = leased_submit(v, 0, 2);
        kill(v->f->pid, SIGCONT);
        leased_wait(v, UINT32_MAX, epoch | WANTED);
        g_assert_true(leased_answered(v, p)); /* it was in flight */
        leased_barrier(v);
        g_assert_false(frontend_collect(v->f, q));
        g_assert_cmphex(state(&v->h), ==, epoch | WANTED);
        grant(&v->h);
        g_assert_true(leased_answered(v, q));
        leased_wait(v, UINT32_MAX, epoch | GRANTED);
        g_clear_pointer(&p, pending_free);
        g_clear_pointer(&q, pending_free);
    }
}

/* No vgpud: the VM goes on without a lease; when there is one again it obeys. */
static void test_vgpud_gone(void)
{
    const char *args[] = { "--null-submit-us=-1", "--null-submit-how=async", NULL };
    FrontendOptions o = { .renderer = "null", .args = args };
    g_autoptr(Leased) v = leased_new(&o, false);
    uint64_t loose = 0;

    g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
    for (unsigned i = 0; i < 20; i++) {
        g_autoptr(Pending) one = leased_submit(v, 1000, i + 1);

        g_assert_true(leased_answered(v, one));
    }
    leased_wait(v, UINT32_MAX, WANTED);
    leased_claim_becomes(&v->h.page->loose_ns, 20 * MS, UINT64_MAX);
    grant(&v->h);
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(Pending) one = leased_submit(v, 1000, i + 21);

        g_assert_true(leased_answered(v, one));
        leased_wait(v, UINT32_MAX, GRANTED);
        g_assert_true(i == 0 || leased_claim(&v->h.page->loose_ns) == loose);
        loose = leased_claim(&v->h.page->loose_ns);
    }
}

/* What a test renderer that lies does; vgpud's own tests show what it gains. */
static void test_liar(void)
{
    const char *args[] = { "--null-submit-us=-1", "--null-submit-how=async", "--null-lies", NULL };
    FrontendOptions o = { .renderer = "null", .args = args };
    g_autoptr(Leased) v = leased_new(&o, true);

    g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
    for (unsigned i = 0; i < 20; i++) {
        g_autoptr(Pending) p = leased_submit(v, 5000, i + 1);

        g_assert_true(leased_answered(v, p));
        if (i == 10) {
            grant(&v->h);
        }
    }
    leased_wait(v, UINT32_MAX, GRANTED);
    g_assert_cmpuint(leased_claim(&v->h.page->busy_ns), <, 1000);
}

typedef struct Flipper {
    uint32_t *word;
    gint quit;
} Flipper;

static gpointer flip(gpointer data)
{
    Flipper *f = data;

    while (!g_atomic_int_get(&f->quit)) {
        __atomic_store_n(f->word, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, __ATOMIC_RELAXED);
        __atomic_store_n(f->word, VIRTIO_GPU_CMD_RESOURCE_UNREF, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* A command that needs no GPU until it is read again does not get it without a lease. */
static void test_changed_after_the_look(void)
{
    g_autoptr(Leased) v = leased_null("--null-submit-how=async");
    Flipper f = { 0 };
    GThread *thread;
    struct virtio_gpu_resource_unref c = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
                                           .resource_id = 1 };
    uint64_t cmd = ram_dup(v->f->ram, &c, sizeof(c)), answer = ram_alloc(v->f->ram, 512);
    int64_t end = g_get_monotonic_time() + G_USEC_PER_SEC;
    unsigned rounds = 0;

    f.word = ram_ptr(v->f->ram, cmd);
    for (; g_get_monotonic_time() < end && !v->f->dead; rounds++) {
        g_atomic_int_set(&v->generous, 1);
        g_assert_cmphex(gpu_create_2d(v->f, 1, BGRX, 16, 16), ==, OK_NODATA);
        g_atomic_int_set(&v->generous, 0);
        leased_take_back(v);
        g_atomic_int_set(&f.quit, 0);
        thread = g_thread_new("flipper", flip, &f);
        for (unsigned i = 0; i < 64; i++) {
            VringBuf out = { cmd, sizeof(c) }, in = { answer, 512 };

            pending_free(frontend_send_raw(v->f, CONTROL, &out, 1, &in, 1));
        }
        leased_barrier(v);
        g_assert_cmpuint(v->f->stats->resources, ==, 1);
        g_atomic_int_set(&f.quit, 1);
        g_thread_join(thread);
        g_assert_true(frontend_reset(v->f));
        g_assert_true(gpu_still_works(v->f));
    }
    g_test_message("%u rounds", rounds);
}

/* The same rules with real GL: a scene's worth of commands, resets in between, nothing left held. */
static void test_virgl(void)
{
    FrontendOptions o = { .renderer = "virgl" };
    g_autoptr(Leased) v = leased_new(&o, true);

    g_atomic_int_set(&v->generous, 1);
    for (unsigned round = 0; round < 3 && !v->f->dead; round++) {
        struct virtio_gpu_box box = { 0, 0, 0, 16, 16, 1 };
        uint64_t gpa = ram_alloc(v->f->ram, 4096);
        uint32_t nop = 0;

        g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
        g_assert_cmphex(gpu_create_texture(v->f, 1, BGRX, 16, 16), ==, OK_NODATA);
        g_assert_cmphex(gpu_attach_one(v->f, 1, gpa, 4096), ==, OK_NODATA);
        g_assert_cmphex(gpu_context_attach(v->f, 1, 1), ==, OK_NODATA);
        for (unsigned i = 0; i < 100; i++) {
            /* without fences, and more than the renderer leaves unfenced */
            g_assert_cmphex(gpu_transfer_3d(v->f, true, 1, 1, 0, &box, 64), ==, OK_NODATA);
        }
        g_assert_cmphex(gpu_set_scanout(v->f, 0, 1, 0, 0, 16, 16), ==, OK_NODATA);
        g_assert_cmphex(gpu_flush(v->f, 1, 0, 0, 16, 16), ==, OK_NODATA);
        for (unsigned i = 0; i < 20; i++) {
            g_autoptr(Pending) p = gpu_submit_fenced(v->f, 1, &nop, 1, i + 1);

            if (i % 5 == 4) {
                ask_back(&v->h, 0);
            }
            g_assert_true(leased_answered(v, p));
        }
        leased_barrier(v);
        leased_wait(v, USERS, 0);
        if (round == 1) {
            pending_free(gpu_submit_fenced(v->f, 1, &nop, 1, 99));
        }
        g_assert_true(frontend_reset(v->f));
        g_assert_true(gpu_still_works(v->f));
    }
    leased_barrier(v);
    leased_wait(v, USERS, 0);
    leased_claim_becomes(&v->h.page->batches, 1, UINT64_MAX);
}

/* Commands that cost nothing themselves: what is measured is all that is around them. */
static double command_ns(Frontend *f)
{
    enum { ROUNDS = 100, BATCH = 100 };
    uint32_t nop = 0;
    uint64_t begin = now_ns();

    for (unsigned r = 0; r < ROUNDS && !f->dead; r++) {
        Pending *p[BATCH];

        for (unsigned i = 0; i < BATCH; i++) {
            p[i] = gpu_submit_fenced(f, 1, &nop, 1, r * BATCH + i + 1);
        }
        for (unsigned i = 0; i < BATCH; i++) {
            frontend_wait(f, p[i], FRONTEND_COMMAND_DEADLINE);
            pending_free(p[i]);
        }
    }
    return (double)(now_ns() - begin) / (ROUNDS * BATCH);
}

/* Uploads of 16 KiB without a fence, each waited for: a fence of the renderer's own for each. */
static double upload_ns(Frontend *f)
{
    enum { ROUNDS = 1000 };
    struct virtio_gpu_box box = { 0, 0, 0, 64, 64, 1 };
    uint64_t begin = now_ns();

    for (unsigned r = 0; r < ROUNDS && !f->dead; r++) {
        gpu_transfer_3d(f, true, 1, 1, 0, &box, 256);
    }
    return (double)(now_ns() - begin) / ROUNDS;
}

/* Figures only: what a busy machine makes of them is no failure. */
static void test_figures(gconstpointer renderer)
{
    FrontendOptions o = { .renderer = renderer }, leased = o;
    double (*measure)(Frontend *f) = strcmp(renderer, "virgl") ? command_ns : upload_ns;
    double with = 1e12, without = 1e12;
    g_autoptr(Leased) v = leased_new(&leased, true);
    g_autoptr(Frontend) f = frontend_new(&o);
    Frontend *both[] = { v->f, f };

    g_atomic_int_set(&v->generous, 1);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmphex(gpu_context_create(both[i], 1, 0), ==, OK_NODATA);
        g_assert_cmphex(gpu_create_texture(both[i], 1, BGRX, 64, 64), ==, OK_NODATA);
        g_assert_cmphex(gpu_attach_one(both[i], 1, ram_alloc(both[i]->ram, 16384), 16384), ==, OK_NODATA);
        g_assert_cmphex(gpu_context_attach(both[i], 1, 1), ==, OK_NODATA);
    }
    for (unsigned i = 0; i < 5; i++) {
        with = MIN(with, measure(v->f));
        without = MIN(without, measure(f));
    }
    g_test_message("a command: %.0f ns with a lease that nobody else wants, %.0f without", with, without);
}

/* Half a lease is none. */
static void test_options(void)
{
    static const struct {
        const char *arg, *says;
    } bad[] = {
        { "--lease-fd=9", "--lease-wake-fd=N, or none of them" },
        { "--null-lies", "are for --renderer=null" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *argv[] = {
            g_getenv("VGPU_RENDERER"), "--vhost-user-fd=3", "--channel-fd=4", "--stats-fd=5",
            "--objects-fd=6",          "--memory=1000000",  bad[i].arg,       NULL
        };
        g_autofree char *err = NULL;
        int status = 0;

        g_assert_true(
            g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &err, &status, NULL));
        g_assert_cmpint(status, !=, 0);
        g_assert_nonnull(strstr(err, bad[i].says));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/lease/options", test_options);
    g_test_add_func("/lease/waits-for-a-grant", test_waits_for_a_grant);
    g_test_add_func("/lease/no-message-while-nobody-waits", test_no_message_while_nobody_waits);
    g_test_add_func("/lease/taken-back-idle", test_taken_back_idle);
    g_test_add_func("/lease/order", test_order);
    g_test_add_func("/lease/serves-while-waiting", test_serves_while_waiting);
    g_test_add_func("/lease/pointer-flood", test_pointer_flood);
    g_test_add_func("/lease/sleeps-while-waiting", test_sleeps_while_waiting);
    g_test_add_func("/lease/stopped-and-revoked", test_stopped_and_revoked);
    g_test_add_func("/lease/vgpud-gone", test_vgpud_gone);
    g_test_add_func("/lease/liar", test_liar);
    g_test_add_func("/lease/changed-after-the-look", test_changed_after_the_look);
    g_test_add_func("/lease/virgl", test_virgl);
    g_test_add_data_func("/lease/figures/null", "null", test_figures);
    g_test_add_data_func("/lease/figures/virgl", "virgl", test_figures);
    return g_test_run();
}
