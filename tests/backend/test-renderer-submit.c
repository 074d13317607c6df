/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Submit queues: what runs on them, the order between queues, and guests that
 * ask for an order that never comes.  On the null renderer: a submit's first word
 * says how long it takes.
 */
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "gpu_cmd.h"
#include "vgpu/virtio.h"

#define SOON      5000
#define NOT_YET   150
#define CONTEXT   7
#define OF_QUEUES 4

typedef struct QueueSubmit {
    struct virtio_gpu_ctrl_hdr hdr;
    struct vgpu_submit body;
} QueueSubmit;

typedef struct ControlWait {
    struct virtio_gpu_ctrl_hdr hdr;
    struct vgpu_wait body;
} ControlWait;

G_STATIC_ASSERT(sizeof(QueueSubmit) == sizeof(struct virtio_gpu_ctrl_hdr) + sizeof(struct vgpu_submit));

/* A guest, and what it has made available on each queue. */
typedef struct Guest {
    Frontend *f;
    uint32_t control;
} Guest;

static Guest start(void)
{
    static const char *const args[] = { "--null-submit-us=-1", "--null-submit-how=sleep", NULL };
    FrontendOptions o = { .renderer = "null", .submit_queues = OF_QUEUES, .args = args };
    Guest g = { .f = frontend_new(&o) };

    g_assert_cmphex(gpu_context_create(g.f, CONTEXT, 0), ==, OK_NODATA);
    g.control = 1;
    return g;
}

static QueueSubmit submit_of(uint32_t control_seq)
{
    return (QueueSubmit){ .hdr = { .type = VGPU_CMD_SUBMIT, .ctx_id = CONTEXT },
                          .body = { .size = 4, .control_seq = control_seq } };
}

/* us: how long it takes. */
static Pending *post(Guest *g, unsigned queue, const QueueSubmit *s, uint32_t us)
{
    return frontend_send(g->f, SUBMIT + queue, s, sizeof(*s), &us, sizeof(us),
                         sizeof(struct virtio_gpu_ctrl_hdr));
}

static Pending *post_plain(Guest *g, unsigned queue)
{
    QueueSubmit s = submit_of(0);

    return post(g, queue, &s, 0);
}

static Pending *post_wait(Guest *g, uint32_t mask, unsigned queue, uint32_t seq)
{
    ControlWait w = { .hdr.type = VGPU_CMD_WAIT, .body.wait_mask = mask };

    w.body.wait_seq[queue] = seq;
    g->control++;
    return frontend_send(g->f, CONTROL, &w, sizeof(w), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static Pending *post_control(Guest *g)
{
    struct virtio_gpu_ctrl_hdr c = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };

    g->control++;
    return frontend_send(g->f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
}

static void expect(Guest *g, Pending *p, uint32_t response)
{
    g_assert_true(frontend_wait(g->f, p, SOON));
    g_assert_cmphex(gpu_response(p), ==, response);
    pending_free(p);
}

static void expect_not_yet(Guest *g, const Pending *p)
{
    g_assert_false(frontend_wait(g->f, p, NOT_YET));
    g_assert_false(g->f->dead);
}

static void finish(Guest *g)
{
    g_assert_true(frontend_alive(g->f));
    frontend_free(g->f);
}

/* ---- what is served there ------------------------------------------------------ */

static void test_offered(void)
{
    Guest plain = { .f = frontend_new(&(FrontendOptions){ .renderer = "2d", .submit_queues = 1 }) };
    Guest g = start();

    g_assert_true(g.f->hello.virtio_features & 1ull << VGPU_F_SUBMIT_QUEUES);
    /* without 3D nobody waits for an answer that does not come */
    g_assert_true(plain.f->hello.virtio_features & 1ull << VGPU_F_SUBMIT_QUEUES);
    expect(&plain, post_plain(&plain, 0), ERR_UNSPEC);
    finish(&plain);
    for (unsigned i = 0; i < OF_QUEUES; i++) {
        expect(&g, post_plain(&g, i), OK_NODATA);
    }
    g_assert_cmpuint(vgpu_stats_get(&g.f->stats->submits), ==, OF_QUEUES);
    finish(&g);
}

/* Rings of queues that the guest did not take with the feature are not looked at. */
static void test_not_taken(void)
{
    Guest g = start();
    Pending *p;

    g.f->features &= ~(1ull << VGPU_F_SUBMIT_QUEUES);
    g_assert_true(frontend_reset(g.f));
    g_assert_cmphex(gpu_context_create(g.f, CONTEXT, 0), ==, OK_NODATA);
    p = post_plain(&g, 0);
    expect_not_yet(&g, p);
    pending_free(p);
    g_assert_cmphex(gpu_response(p = post_wait(&g, 0, 0, 0)), ==, 0);
    expect(&g, p, ERR_UNSPEC);
    g_assert_true(gpu_still_works(g.f));
    finish(&g);
}

static void test_refused(void)
{
    Guest g = start();
    struct {
        const char *what;
        QueueSubmit s;
        uint32_t len, data;
        uint32_t answer;
    } bad[] = {
        { "size below what follows", submit_of(0), sizeof(QueueSubmit), 8, ERR_PARAM },
        { "size above what follows", submit_of(0), sizeof(QueueSubmit), 0, ERR_PARAM },
        { "no whole words", submit_of(0), sizeof(QueueSubmit), 6, ERR_PARAM },
        { "padding", submit_of(0), sizeof(QueueSubmit), 4, ERR_PARAM },
        { "a queue above the last", submit_of(0), sizeof(QueueSubmit), 4, ERR_PARAM },
        { "its own queue", submit_of(0), sizeof(QueueSubmit), 4, ERR_PARAM },
        { "no context", submit_of(0), sizeof(QueueSubmit), 4, ERR_CONTEXT },
        { "half a request", submit_of(0), 40, 0, ERR_PARAM },
        { "half a header", submit_of(0), 12, 0, ERR_PARAM },
        { "another command", submit_of(0), sizeof(QueueSubmit), 4, ERR_UNSPEC },
        { "SUBMIT_3D", submit_of(0), sizeof(struct virtio_gpu_cmd_submit), 4, ERR_UNSPEC },
        { "WAIT", submit_of(0), sizeof(ControlWait), 0, ERR_UNSPEC },
    };
    uint32_t words[2] = { 0 };

    bad[2].s.body.size = 6;
    bad[3].s.body.padding = 1;
    bad[4].s.body.wait_mask = 1u << VGPU_SUBMIT_QUEUES_MAX;
    bad[5].s.body.wait_mask = 1u << 1;
    bad[5].s.body.wait_seq[1] = 1000; /* what is refused waits for nothing */
    bad[6].s.hdr.ctx_id = CONTEXT + 1;
    bad[9].s.hdr.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO;
    bad[10].s.hdr.type = VIRTIO_GPU_CMD_SUBMIT_3D;
    bad[11].s.hdr.type = VGPU_CMD_WAIT;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        Pending *p = frontend_send(g.f, SUBMIT + 1, &bad[i].s, bad[i].len, bad[i].data ? words : NULL,
                                   bad[i].data, sizeof(struct virtio_gpu_ctrl_hdr));

        g_test_message("%s", bad[i].what);
        expect(&g, p, bad[i].answer);
    }
    /* and ours on the wrong queues */
    {
        QueueSubmit s = submit_of(0);
        ControlWait w = { .hdr.type = VGPU_CMD_WAIT, .body.padding = 1 };

        expect(&g, frontend_send(g.f, CONTROL, &s, sizeof(s), words, 4, 24), ERR_UNSPEC);
        expect(&g, frontend_send(g.f, CURSOR, &s, sizeof(s), words, 4, 24), ERR_UNSPEC);
        expect(&g, frontend_send(g.f, CONTROL, &w, sizeof(w), NULL, 0, 24), ERR_PARAM);
        expect(&g, frontend_send(g.f, CONTROL, &w, sizeof(w) - 4, NULL, 0, 24), ERR_PARAM);
        g.control += 3;
        expect(&g, post_wait(&g, 1u << 31, 0, 0), ERR_PARAM);
    }
    /* all of them count: the 13th of that queue has run when this one is answered */
    expect(&g, post_plain(&g, 1), OK_NODATA);
    expect(&g, post_wait(&g, 1u << 1, 1, G_N_ELEMENTS(bad) + 1), OK_NODATA);
    finish(&g);
}

static void test_fences(void)
{
    Guest g = start();
    Pending *p[OF_QUEUES];

    for (unsigned i = 0; i < OF_QUEUES; i++) {
        QueueSubmit s = submit_of(0);

        s.hdr.flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;
        s.hdr.ring_idx = i;
        s.hdr.fence_id = 100 + i;
        p[i] = post(&g, i, &s, 1000);
    }
    for (unsigned i = 0; i < OF_QUEUES; i++) {
        struct virtio_gpu_ctrl_hdr h;

        g_assert_true(frontend_wait(g.f, p[i], SOON));
        gpu_response_copy(p[i], &h, sizeof(h));
        g_assert_cmphex(h.type, ==, OK_NODATA);
        g_assert_cmphex(h.flags, ==, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
        g_assert_cmpuint(h.fence_id, ==, 100 + i);
        g_assert_cmpuint(h.ring_idx, ==, i);
        pending_free(p[i]);
    }
    finish(&g);
}

/* ---- order --------------------------------------------------------------------- */

static void test_in_order(void)
{
    enum { N = 200 };
    Guest g = start();
    Pending *p[N];

    for (unsigned i = 0; i < N; i++) {
        p[i] = post_plain(&g, 0);
        g_assert_nonnull(p[i]);
        if (i % 60 == 59) {
            g_assert_true(frontend_wait(g.f, p[i], SOON));
        }
    }
    for (unsigned i = 0; i < N; i++) {
        g_assert_true(frontend_wait(g.f, p[i], SOON));
        g_assert_cmpuint(p[i]->order, ==, i + 1);
        pending_free(p[i]);
    }
    finish(&g);
}

/* After the control queue has come so far, and not before. */
static void test_after_control(void)
{
    Guest g = start();
    QueueSubmit s = submit_of(g.control + 2);
    Pending *p = post(&g, 0, &s, 0), *behind = post_plain(&g, 0);

    expect_not_yet(&g, p);
    g_assert_false(behind->done);
    expect(&g, post_control(&g), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    expect_not_yet(&g, p);
    expect(&g, post_control(&g), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    expect(&g, p, OK_NODATA);
    expect(&g, behind, OK_NODATA);
    finish(&g);
}

/* What it uses is made on the control queue by a request that is put there after it. */
static void test_uses_what_control_makes(void)
{
    Guest g = start();
    QueueSubmit s = submit_of(g.control + 1);
    Pending *p;

    s.hdr.ctx_id = CONTEXT + 1;
    p = post(&g, 2, &s, 0);
    expect_not_yet(&g, p);
    g_assert_cmphex(gpu_context_create(g.f, CONTEXT + 1, 0), ==, OK_NODATA);
    expect(&g, p, OK_NODATA);
    finish(&g);
}

static void test_after_another(void)
{
    Guest g = start();
    QueueSubmit s = submit_of(0);
    Pending *p;

    s.body.wait_mask = 1u << 1 | 1u << 3;
    s.body.wait_seq[1] = 2;
    s.body.wait_seq[3] = 1;
    s.body.wait_seq[2] = 99; /* not in the mask */
    p = post(&g, 0, &s, 0);
    expect_not_yet(&g, p);
    expect(&g, post_plain(&g, 1), OK_NODATA);
    expect(&g, post_plain(&g, 3), OK_NODATA);
    expect_not_yet(&g, p);
    expect(&g, post_plain(&g, 1), OK_NODATA);
    expect(&g, p, OK_NODATA);
    finish(&g);
}

/* WAIT holds up the control queue, and what is behind it finds the submit done. */
static void test_control_waits(void)
{
    Guest g = start();
    Pending *w = post_wait(&g, 1u << 2, 2, 1), *behind = post_control(&g);

    expect_not_yet(&g, behind);
    g_assert_false(w->done);
    expect(&g, post_plain(&g, 0), OK_NODATA);
    expect_not_yet(&g, behind);
    expect(&g, post_plain(&g, 2), OK_NODATA);
    expect(&g, w, OK_NODATA);
    expect(&g, behind, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    expect(&g, post_wait(&g, 0, 0, 0), OK_NODATA);
    finish(&g);
}

/* Round and round, each waiting for the one before it: a chain through all queues. */
static void test_chain(void)
{
    enum { ROUNDS = 25 };
    Guest g = start();
    Pending *p[ROUNDS][OF_QUEUES];
    int64_t begin = g_get_monotonic_time();

    for (unsigned r = 0; r < ROUNDS; r++) {
        for (int q = OF_QUEUES - 1; q >= 0; q--) {
            QueueSubmit s = submit_of(g.control);
            unsigned before = q ? q - 1 : OF_QUEUES - 1;

            s.body.wait_mask = 1u << before;
            s.body.wait_seq[before] = q ? r + 1 : r;
            p[r][q] = post(&g, q, &s, 0);
        }
    }
    for (unsigned r = 0; r < ROUNDS; r++) {
        for (unsigned q = 0; q < OF_QUEUES; q++) {
            expect(&g, p[r][q], OK_NODATA);
        }
    }
    g_test_message("%u links in %.1f ms", ROUNDS * OF_QUEUES, (g_get_monotonic_time() - begin) / 1e3);
    finish(&g);
}

/* Numbers wrap: what is up to 2^31 behind was reached long ago. */
static void test_numbers_wrap(void)
{
    static const uint32_t reached[] = { 0, UINT32_MAX, 0x80000001u + 1 };
    Guest g = start();

    for (unsigned i = 0; i < G_N_ELEMENTS(reached); i++) {
        QueueSubmit s = submit_of(reached[i]);

        expect(&g, post(&g, 0, &s, 0), OK_NODATA);
    }
    finish(&g);
}

/* ---- what never comes ------------------------------------------------------------ */

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec ts;

    g_assert_cmpint(clock_getcpuclockid(pid, &clock), ==, 0);
    g_assert_cmpint(clock_gettime(clock, &ts), ==, 0);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Each in a way of its own, three queues wait for ever; the others do not notice, and nobody is busy with it.
 */
static void test_never_reached(void)
{
    Guest g = start();
    QueueSubmit far = submit_of(g.control + 0x7fffffff), a = submit_of(0), b = submit_of(0);
    Pending *never[60];
    uint64_t used;

    a.body.wait_mask = 1u << 2;
    a.body.wait_seq[2] = 1;
    b.body.wait_mask = 1u << 1;
    b.body.wait_seq[1] = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(never); i += 3) {
        never[i] = post(&g, 0, &far, 0);
        never[i + 1] = post(&g, 1, &a, 0); /* these two wait for each other */
        never[i + 2] = post(&g, 2, &b, 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        expect(&g, post_plain(&g, 3), OK_NODATA);
        expect(&g, post_control(&g), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    }
    used = cpu_ns(g.f->pid);
    for (unsigned i = 0; i < 50; i++) {
        for (unsigned q = 0; q < 3; q++) {
            vring_kick_now(g.f->ring[SUBMIT + q]);
        }
        g_usleep(20 * 1000);
    }
    used = cpu_ns(g.f->pid) - used;
    g_test_message("%.2f ms of CPU time in 1 s", used / 1e6);
    g_assert_cmpuint(used, <, 100 * 1000 * 1000);
    /* the control queue as well */
    pending_free(post_wait(&g, 1, 0, 1));
    never[0] = (pending_free(never[0]), post_control(&g));
    expect_not_yet(&g, never[0]);
    expect(&g, post_plain(&g, 3), OK_NODATA);
    g_assert_true(frontend_alive(g.f));
    /* and all are let go by a reset, after which the numbers begin anew */
    g_assert_true(frontend_reset(g.f));
    g_assert_cmphex(gpu_context_create(g.f, CONTEXT, 0), ==, OK_NODATA);
    for (unsigned i = 0; i < G_N_ELEMENTS(never); i++) {
        g_assert_false(never[i]->done);
        pending_free(never[i]);
    }
    {
        QueueSubmit s = submit_of(1);
        Pending *p;

        expect(&g, post(&g, 0, &s, 0), OK_NODATA);
        s = submit_of(2);
        p = post(&g, 0, &s, 0);
        expect_not_yet(&g, p);
        expect(&g, post_control(&g), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
        expect(&g, p, OK_NODATA);
    }
    finish(&g);
}

/* A guest that leaves with everything waiting: the renderer ends as ever (frontend_free looks). */
static void test_leaves_while_waiting(void)
{
    Guest g = start();
    QueueSubmit far = submit_of(g.control + 5);

    for (unsigned q = 0; q < OF_QUEUES; q++) {
        pending_free(post(&g, q, &far, 0));
    }
    pending_free(post_wait(&g, 0xf, 0, 9));
    finish(&g);
}

/* stop and cont in between: nothing is lost, nothing is run twice. */
static void test_stopped_while_waiting(void)
{
    Guest g = start();
    QueueSubmit s = submit_of(g.control + 1);
    Pending *p = post(&g, 0, &s, 0), *w = post_wait(&g, 2, 1, 1);
    uint64_t submits = vgpu_stats_get(&g.f->stats->submits);

    expect_not_yet(&g, w);
    g_assert_true(frontend_stop(g.f));
    g_assert_true(frontend_resume(g.f));
    expect_not_yet(&g, w);
    expect(&g, post_plain(&g, 1), OK_NODATA);
    expect(&g, w, OK_NODATA);
    expect(&g, p, OK_NODATA);
    g_assert_cmpuint(vgpu_stats_get(&g.f->stats->submits), ==, submits + 2);
    finish(&g);
}

/* A guest that rewrites its numbers while they are looked at: its own order is lost, nothing else. */
static void test_rewritten(void)
{
    Guest g = start();
    int64_t end = g_get_monotonic_time() + G_USEC_PER_SEC;
    unsigned n = 0;

    while (g_get_monotonic_time() < end && !g.f->dead) {
        QueueSubmit s = submit_of(g.control + 1);
        Pending *p = post(&g, n % OF_QUEUES, &s, 0);
        volatile uint32_t *words = ram_ptr(g.f->ram, p->out_gpa);
        uint32_t at = (n * 7) % (sizeof(s) / 4);

        for (unsigned i = 0; i < 200; i++) {
            words[at] = i * 0x01234567u;
            words[offsetof(QueueSubmit, body.control_seq) / 4] = i & 1 ? g.control + 5 : 0;
        }
        memcpy(ram_ptr(g.f->ram, p->out_gpa), &s, sizeof(s));
        words[offsetof(QueueSubmit, body.control_seq) / 4] = 0;
        vring_kick_now(g.f->ring[SUBMIT + n % OF_QUEUES]);
        /* the next command of any queue has it looked at again */
        expect(&g, post_control(&g), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
        g_assert_true(frontend_wait(g.f, p, SOON));
        pending_free(p);
        n++;
    }
    g_test_message("%u submits", n);
    finish(&g);
}

/* ---- shares ------------------------------------------------------------------------ */

/*
 * Three queues are full of work that takes long; the fourth's turn comes all the same.
 * Counted is the others' work that went before, not time: a host that stops all of us
 * for a while changes nothing.
 */
static void test_turns(void)
{
    enum { LONG_US = 3000, ROUNDS = 10, OTHERS = 300 };
    Guest g = start();
    QueueSubmit s = submit_of(0);
    uint64_t before, others;

    for (unsigned i = 0; i < OTHERS; i++) {
        pending_free(post(&g, i % 3, &s, LONG_US));
    }
    before = vgpu_stats_get(&g.f->stats->submits);
    for (unsigned i = 0; i < ROUNDS; i++) {
        expect(&g, post_plain(&g, 3), OK_NODATA);
    }
    others = vgpu_stats_get(&g.f->stats->submits) - before - ROUNDS;
    g_test_message("%.1f of three queues' requests before each of the fourth's", (double)others / ROUNDS);
    /* one of each other queue; more where this thread was late to ask again */
    g_assert_cmpuint(others, <, OTHERS / 2);
    finish(&g);
}

/* Empty submits one after the other through 1 and through 4 queues: a figure, not a bound. */
static void test_rate(void)
{
    enum { N = 4000, DEEP = 64 };

    for (unsigned queues = 1; queues <= OF_QUEUES; queues *= 4) {
        Guest g = start();
        QueueSubmit s = submit_of(0);
        Pending *p[DEEP] = { NULL };
        int64_t begin = g_get_monotonic_time();

        s.body.size = 0;
        for (unsigned i = 0; i < N; i++) {
            if (p[i % DEEP]) {
                expect(&g, p[i % DEEP], OK_NODATA);
            }
            p[i % DEEP] = frontend_send(g.f, SUBMIT + i % queues, &s, sizeof(s), NULL, 0, 24);
        }
        for (unsigned i = 0; i < DEEP; i++) {
            expect(&g, p[i], OK_NODATA);
        }
        g_test_message("%u queues: %.0f submits in a second", queues,
                       N * 1e6 / (double)(g_get_monotonic_time() - begin));
        finish(&g);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/renderer/submit/offered", test_offered);
    g_test_add_func("/renderer/submit/not-taken", test_not_taken);
    g_test_add_func("/renderer/submit/refused", test_refused);
    g_test_add_func("/renderer/submit/fences", test_fences);
    g_test_add_func("/renderer/submit/in-order", test_in_order);
    g_test_add_func("/renderer/submit/after-control", test_after_control);
    g_test_add_func("/renderer/submit/uses-what-control-makes", test_uses_what_control_makes);
    g_test_add_func("/renderer/submit/after-another", test_after_another);
    g_test_add_func("/renderer/submit/control-waits", test_control_waits);
    g_test_add_func("/renderer/submit/chain", test_chain);
    g_test_add_func("/renderer/submit/numbers-wrap", test_numbers_wrap);
    g_test_add_func("/renderer/submit/never-reached", test_never_reached);
    g_test_add_func("/renderer/submit/leaves-while-waiting", test_leaves_while_waiting);
    g_test_add_func("/renderer/submit/stopped-while-waiting", test_stopped_while_waiting);
    g_test_add_func("/renderer/submit/rewritten", test_rewritten);
    g_test_add_func("/renderer/submit/turns", test_turns);
    g_test_add_func("/renderer/submit/rate", test_rate);
    return g_test_run();
}
