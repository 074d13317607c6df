/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The null renderer as a hostile host (backend/renderer/hostile.h): each way of
 * it is on the ring as a guest's driver sees it, so that a driver's test which
 * asks for it has had it; and it ends.  The ring is read here word by word.
 */
#include <string.h>

#include "gpu_cmd.h"
#include "../../backend/renderer/hostile.h"

#define SOON    5000
#define NOT_YET 100
#define CONTEXT 1
#define GUESS   0xa5a5a5a5u /* what a buffer holds that nobody wrote to */

typedef struct Seen {
    bool moved; /* the used index */
    uint16_t by;
    struct vring_used_elem used;
    uint8_t answer[512];
} Seen;

static Frontend *start(const char *option)
{
    FrontendOptions o = { .renderer = "null", .extra = option };

    Frontend *f = frontend_new(&o);

    if (f->dead) {
        frontend_free(f); /* which shows the renderer's log */
        g_assert_not_reached();
    }
    return f;
}

static uint16_t used_idx(const Vring *vr)
{
    return __atomic_load_n(&vr->used->idx, __ATOMIC_ACQUIRE);
}

/* Sends one GET_DISPLAY_INFO and looks at what the device makes of it; the front-end knows nothing of that.
 */
static Seen ask(Frontend *f, unsigned timeout)
{
    struct virtio_gpu_ctrl_hdr c = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO, .fence_id = 5 };
    Vring *vr = f->ring[CONTROL];
    uint16_t before = used_idx(vr);
    int64_t end = g_get_monotonic_time() + timeout * 1000ll;
    Pending *p =
        frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
    Seen s = { 0 };

    g_assert_nonnull(p);
    while (used_idx(vr) == before && g_get_monotonic_time() < end) {
        g_usleep(500);
    }
    g_usleep(2000); /* for whatever comes on top of it */
    s.by = (uint16_t)(used_idx(vr) - before);
    s.moved = s.by != 0;
    s.used = vr->used->ring[before % vr->num];
    memcpy(s.answer, ram_ptr(f->ram, p->in_gpa), sizeof(struct virtio_gpu_resp_display_info));
    /* the driver takes it as if it had been good, or nothing could be sent any more */
    vr->last_used = used_idx(vr);
    for (unsigned h = 0; h < G_N_ELEMENTS(f->by_head[CONTROL]); h++) {
        f->by_head[CONTROL][h] = NULL;
    }
    return s;
}

static uint32_t word(const Seen *s, unsigned at)
{
    uint32_t w;

    memcpy(&w, s->answer + at, sizeof(w));
    return w;
}

static void expect_good(Frontend *f)
{
    Seen s = ask(f, SOON);

    g_assert_true(s.moved);
    g_assert_cmpuint(s.by, ==, 1);
    g_assert_cmphex(word(&s, 0), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    g_assert_cmpuint(s.used.len, ==, sizeof(struct virtio_gpu_resp_display_info));
}

static void expect_bad(Frontend *f, HostileKind kind)
{
    const uint32_t whole = sizeof(struct virtio_gpu_resp_display_info);
    Seen s = ask(f, kind == HOSTILE_STOP ? NOT_YET : SOON);

    g_test_message("kind %u: %s used by %u, id %u, length %u, type 0x%x", kind, s.moved ? "" : "not", s.by,
                   s.used.id, s.used.len, word(&s, 0));
    g_assert_true(s.moved == (kind != HOSTILE_STOP));
    switch (kind) {
    case HOSTILE_SHORT:
        g_assert_cmpuint(s.used.len, ==, 8);
        g_assert_cmphex(word(&s, 8), ==, GUESS);
        break;
    case HOSTILE_EMPTY:
        g_assert_cmpuint(s.used.len, ==, 0);
        g_assert_cmphex(word(&s, 0), ==, GUESS);
        break;
    case HOSTILE_TYPE:
        g_assert_cmphex(word(&s, 0), ==, 0);
        g_assert_cmpuint(s.used.len, ==, whole);
        break;
    case HOSTILE_FENCE:
        g_assert_cmphex(word(&s, 4), ==, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
        g_assert_cmphex(word(&s, 16), ==, UINT32_MAX);
        break;
    case HOSTILE_BODY:
        g_assert_cmphex(word(&s, 0), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
        g_assert_cmphex(word(&s, 24), ==, UINT32_MAX);
        g_assert_cmphex(word(&s, whole - 4), ==, UINT32_MAX);
        break;
    case HOSTILE_ID:
        g_assert_cmpuint(s.used.id, >=, f->ring[CONTROL]->num);
        break;
    case HOSTILE_TWICE:
        g_assert_cmpuint(s.by, ==, 2);
        break;
    case HOSTILE_LENGTH:
        g_assert_cmpuint(s.used.len, >, whole);
        break;
    case HOSTILE_JUMP:
        g_assert_cmpuint(s.by, ==, 6);
        break;
    default:
        break;
    }
}

static const char *const names[] = { "",   "short", "empty",  "type", "fence", "body",
                                     "id", "twice", "length", "stop", "jump" };

/* From the start of the renderer, after so many good answers, so often; a reset does not end it. */
static void test_option(gconstpointer data)
{
    HostileKind kind = GPOINTER_TO_UINT(data);
    g_autofree char *option = g_strdup_printf("--null-hostile=%s:2:1", names[kind]);
    g_autoptr(Frontend) f = start(option);

    expect_good(f);
    g_assert_true(frontend_reset(f));
    expect_good(f);
    expect_bad(f, kind);
    g_assert_true(frontend_reset(f));
    expect_good(f);
    g_assert_true(gpu_still_works(f));
}

/* Asked for by a guest: on the queues it says, until it resets the device. */
static void test_asked(gconstpointer data)
{
    HostileKind kind = GPOINTER_TO_UINT(data);
    g_autoptr(Frontend) f = start(NULL);
    uint32_t words[5] = { NULL_HOSTILE, kind, 1u << CURSOR, 0, UINT32_MAX };

    g_assert_cmphex(gpu_context_create(f, CONTEXT, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_submit(f, CONTEXT, words, 5), ==, OK_NODATA);
    expect_good(f);
    words[2] = 1u << CONTROL;
    words[3] = 1; /* this submit's own answer */
    g_assert_cmphex(gpu_submit(f, CONTEXT, words, 5), ==, OK_NODATA);
    expect_bad(f, kind);
    g_assert_true(frontend_reset(f));
    expect_good(f);
    expect_good(f);
    g_assert_true(gpu_still_works(f));
}

/* No renderer but the null one, and no nonsense. */
static void test_refused(void)
{
    g_autoptr(Frontend) f = start(NULL);
    uint32_t words[5] = { NULL_HOSTILE, HOSTILE_KINDS, 1, 0, 1 };
    static const char *const bad[] = { "--null-hostile=", "--null-hostile=rude", "--null-hostile=type:x",
                                       "--null-hostile=type:1:1:1:1" };

    g_assert_cmphex(gpu_context_create(f, CONTEXT, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_submit(f, CONTEXT, words, 5), ==, ERR_PARAM);
    expect_good(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad) + 1; i++) {
        const char *argv[] = { g_getenv("VGPU_RENDERER"),
                               "--vhost-user-fd=3",
                               "--channel-fd=4",
                               "--stats-fd=5",
                               "--objects-fd=6",
                               "--memory=1048576",
                               "--no-sandbox",
                               i < G_N_ELEMENTS(bad) ? "--renderer=null" : "--renderer=2d",
                               i < G_N_ELEMENTS(bad) ? bad[i] : "--null-hostile=type",
                               NULL };
        g_autofree char *err = NULL;
        int status;

        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, 0, NULL, NULL, NULL, &err, &status, NULL));
        g_assert_cmpint(status, !=, 0);
        g_test_message("%s", err);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = HOSTILE_SHORT; i < HOSTILE_KINDS; i++) {
        g_autofree char *option = g_strconcat("/renderer/hostile/option/", names[i], NULL);
        g_autofree char *asked = g_strconcat("/renderer/hostile/asked/", names[i], NULL);

        g_test_add_data_func(option, GUINT_TO_POINTER(i), test_option);
        g_test_add_data_func(asked, GUINT_TO_POINTER(i), test_asked);
    }
    g_test_add_func("/renderer/hostile/refused", test_refused);
    return g_test_run();
}
