/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contexts in processes of their own, which take the lease themselves, as
 * Vulkan's do; the null renderer plays them.
 */
#include "leased.h"

static Leased *start(void)
{
    const char *args[] = { "--null-submit-us=-1", "--null-submit-how=async", NULL };
    FrontendOptions o = { .renderer = "null", .args = args };

    return leased_new(&o, true);
}

static Pending *submit(Leased *v, uint32_t us, uint64_t fence)
{
    struct virtio_gpu_cmd_submit c = { .hdr.type = VIRTIO_GPU_CMD_SUBMIT_3D, .hdr.ctx_id = 1, .size = 4 };

    if (fence) {
        return gpu_submit_fenced(v->f, 1, &us, 1, fence);
    }
    return frontend_send(v->f, CONTROL, &c, sizeof(c), &us, 4, sizeof(struct virtio_gpu_ctrl_hdr));
}

static bool answered(Leased *v, Pending *p)
{
    return p && frontend_wait(v->f, p, FRONTEND_COMMAND_DEADLINE) &&
           gpu_response(p) < VIRTIO_GPU_RESP_ERR_UNSPEC;
}

/* A context in a process of its own, which takes the lease itself: nothing here waits for it. */
static void test_no_lease(void)
{
    g_autoptr(Leased) v = start();
    g_autoptr(Pending) plain = NULL;
    uint32_t none = 0;

    g_assert_cmphex(gpu_context_create(v->f, 2, VIRTIO_GPU_CAPSET_VENUS), ==, OK_NODATA);
    g_assert_cmphex(gpu_submit(v->f, 2, &none, 1), ==, OK_NODATA);
    for (unsigned ring = 0; ring < 256; ring++) {
        g_autoptr(Pending) p = gpu_submit_ring(v->f, 2, (uint8_t)ring, &none, 1, ring + 1);

        g_assert_true(frontend_wait(v->f, p, FRONTEND_COMMAND_DEADLINE));
        g_assert_cmphex(gpu_response(p), ==, ring < 64 ? OK_NODATA : ERR_PARAM);
    }
    g_assert_cmphex(gpu_context_destroy(v->f, 2), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_create(v->f, 2, VIRTIO_GPU_CAPSET_VENUS), ==, OK_NODATA);
    g_assert_cmphex(state(&v->h), ==, 0);
    /* a fence of the device's comes after the GPU's other work */
    plain = gpu_submit_fenced(v->f, 2, &none, 1, 300);
    leased_wait(v, UINT32_MAX, WANTED);
    leased_barrier(v);
    g_assert_false(frontend_collect(v->f, plain));
    grant(&v->h);
    g_assert_true(answered(v, plain));
}

/* The slice is over with work in flight: what needs no turn does not wait for the next. */
static void test_slice_over(void)
{
    enum { COST_US = 500 * 1000 };
    g_autoptr(Leased) v = start();
    g_autoptr(Pending) first = NULL;
    uint32_t none = 0;
    uint64_t sent;

    g_atomic_int_set(&v->generous, 1);
    g_assert_cmphex(gpu_context_create(v->f, 2, VIRTIO_GPU_CAPSET_VENUS), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
    g_atomic_int_set(&v->generous, 0);
    leased_wait(v, GRANTED | USERS, GRANTED);
    sent = now_ns();
    first = submit(v, COST_US, 0);
    g_assert_true(answered(v, first));
    ask_back(&v->h, 0);
    g_assert_cmphex(gpu_submit(v->f, 2, &none, 1), ==, OK_NODATA);
    g_assert_cmpuint(now_ns() - sent, <, COST_US * 1000ull);
    leased_wait(v, GRANTED, 0);
    g_assert_cmphex(gpu_submit(v->f, 2, &none, 1), ==, OK_NODATA);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote/no-lease", test_no_lease);
    g_test_add_func("/remote/slice-over", test_slice_over);
    return g_test_run();
}
