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
