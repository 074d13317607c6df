/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "leased.h"

static gpointer acknowledge_calls(gpointer data)
{
    Leased *v = data;

    while (!g_atomic_int_get(&v->quit)) {
        uint32_t old;
        unsigned n;

        readable(v->h.call, 2);
        n = calls(&v->h);
        if (n) {
            acknowledge(&v->h);
            g_atomic_int_add(&v->calls, (gint)n);
        }
        old = state(&v->h);
        if (g_atomic_int_get(&v->generous) && (old & WANTED) && !(old & GRANTED) &&
            swap(&v->h, old, (old & ~WANTED) | GRANTED)) {
            wake(&v->h);
        }
    }
    return NULL;
}

Leased *leased_new(FrontendOptions *o, bool present)
{
    Leased *v = g_new0(Leased, 1);

    host_open_page(&v->h);
    v->fds[0] = v->h.page_fd;
    v->fds[1] = v->h.call;
    v->fds[2] = v->h.wake;
    o->lease = v->fds;
    if (present) {
        v->vgpud = g_thread_new("vgpud", acknowledge_calls, v);
    }
    v->f = frontend_new(o);
    return v;
}

void leased_free(Leased *v)
{
    frontend_free(v->f);
    g_atomic_int_set(&v->quit, 1);
    if (v->vgpud) {
        g_thread_join(v->vgpud);
    }
    host_close_page(&v->h);
    g_free(v);
}

bool leased_wait(Leased *v, uint32_t mask, uint32_t value)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_MS * 1000ll;

    while ((state(&v->h) & mask) != value) {
        if (g_get_monotonic_time() > deadline) {
            g_test_fail_printf("the lease's state is 0x%x, not 0x%x in 0x%x", state(&v->h), value, mask);
            return false;
        }
        g_usleep(200);
    }
    return true;
}

void leased_take_back(Leased *v)
{
    do {
        leased_barrier(v);
    } while (leased_wait(v, UINT32_MAX & ~VGPU_LEASE_EPOCH_MASK, GRANTED) && !swap(&v->h, GRANTED, 0));
}

void leased_barrier(Leased *v)
{
    /*
     * The cursor queue is served after the control queue, but for once in the
     * middle of it.
     */
    for (unsigned i = 0; i < 3; i++) {
        gpu_move_cursor(v->f, 0, 0, i, 0);
    }
}

Leased *leased_null(const char *how)
{
    const char *args[] = { "--null-submit-us=-1", how, NULL };
    FrontendOptions o = { .renderer = "null", .args = args };

    return leased_new(&o, true);
}

Leased *leased_null_granted(const char *how)
{
    Leased *v = leased_null(how);

    g_atomic_int_set(&v->generous, 1);
    g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
    g_atomic_int_set(&v->generous, 0);
    leased_wait(v, GRANTED | USERS, GRANTED);
    return v;
}

Pending *leased_submit(Leased *v, uint32_t us, uint64_t fence)
{
    struct virtio_gpu_cmd_submit c = { .hdr.type = VIRTIO_GPU_CMD_SUBMIT_3D, .hdr.ctx_id = 1, .size = 4 };

    if (fence) {
        return gpu_submit_fenced(v->f, 1, &us, 1, fence);
    }
    return frontend_send(v->f, CONTROL, &c, sizeof(c), &us, 4, sizeof(struct virtio_gpu_ctrl_hdr));
}

bool leased_answered(Leased *v, Pending *p)
{
    return p && frontend_wait(v->f, p, FRONTEND_COMMAND_DEADLINE) &&
           gpu_response(p) < VIRTIO_GPU_RESP_ERR_UNSPEC;
}

uint64_t leased_claim(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

void leased_claim_becomes(const uint64_t *word, uint64_t least, uint64_t most)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_MS * 1000ll;

    while ((leased_claim(word) < least || leased_claim(word) > most) && g_get_monotonic_time() < deadline) {
        g_usleep(200);
    }
    g_assert_cmpuint(leased_claim(word), >=, least);
    g_assert_cmpuint(leased_claim(word), <=, most);
}

void leased_calls_reach(Leased *v, int n)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_MS * 1000ll;

    while (g_atomic_int_get(&v->calls) < n && g_get_monotonic_time() < deadline) {
        g_usleep(200);
    }
    g_assert_cmpint(g_atomic_int_get(&v->calls), >=, n);
}
