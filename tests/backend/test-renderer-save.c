/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM that is saved and loaded, as its renderers see it: what was in flight is
 * answered there, once; what is no state is an error; and each page that was
 * written while the VM was moved is marked.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu_cmd.h"

#define SET_LOG_BASE 6
#define F_LOG_ALL    (1ull << 26)
#define PAGE         4096u

static Pending *send_create(Frontend *f, uint32_t id, uint64_t fence)
{
    struct virtio_gpu_resource_create_2d c = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
                 .flags = VIRTIO_GPU_FLAG_FENCE,
                 .fence_id = fence },
        .resource_id = id,
        .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
        .width = 16,
        .height = 16,
    };

    return frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static void expect_answer(Frontend *f, Pending *p, uint32_t type, uint64_t fence)
{
    struct virtio_gpu_ctrl_hdr h;

    g_assert_true(frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE));
    gpu_response_copy(p, &h, sizeof(h));
    g_assert_cmphex(h.type, ==, type);
    g_assert_true(h.flags & VIRTIO_GPU_FLAG_FENCE);
    g_assert_cmpuint(h.fence_id, ==, fence);
}

/* A submit that is at work for an hour, and what was posted behind the stop. */
static void test_in_flight(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=async");
    uint32_t us = 3600u * 1000000;
    g_autoptr(Pending) submit = NULL, create = send_create(f, 10, 76), later = NULL;
    g_autofree char *why = NULL, *verdict = NULL;
    struct vgpu_channel_adopted m;
    int saved;

    expect_answer(f, create, OK_NODATA, 76);
    submit = gpu_submit_fenced(f, 1, &us, 1, 77);
    for (unsigned i = 0; i < 50; i++) { /* it is taken by then */
        g_assert_true(gpu_still_works(f));
    }
    g_assert_true(frontend_stop(f));
    later = send_create(f, 11, 79);
    g_assert_cmpint(frontend_save(f, false, &why), ==, -1);
    g_test_message("%s", why);
    g_assert_nonnull(strstr(why, "contexts"));
    g_free(why);
    saved = frontend_save(f, true, &why);
    g_assert_cmpint(saved, >=, 0);
    frontend_kill(f);
    g_assert_true(frontend_replace_saved(f, saved, &verdict));
    g_assert_null(verdict);
    g_assert_true(frontend_adopted(f, &m));
    g_assert_cmpuint(m.descriptors, ==, 1);
    g_assert_cmpuint(m.resources, ==, 1);
    g_assert_true(frontend_wait(f, submit, FRONTEND_COMMAND_DEADLINE));
    g_assert_cmphex(gpu_response(submit), >=, VIRTIO_GPU_RESP_ERR_UNSPEC);
    expect_answer(f, later, OK_NODATA, 79);
    g_assert_cmphex(gpu_unref(f, 10), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 11), ==, OK_NODATA);
    close(saved);
}

/* The same renderer goes on as if it had not been saved. */
static void test_goes_on(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=async");
    g_autoptr(Pending) create = send_create(f, 10, 1);
    g_autofree char *why = NULL;
    uint32_t us = 300000;
    g_autoptr(Pending) submit = NULL;

    expect_answer(f, create, OK_NODATA, 1);
    for (unsigned i = 0; i < 3; i++) {
        int saved;

        g_clear_pointer(&submit, pending_free);
        submit = gpu_submit_fenced(f, 1, &us, 1, 100 + i);
        g_assert_true(frontend_stop(f));
        saved = frontend_save(f, true, &why);
        g_assert_cmpint(saved, >=, 0);
        close(saved);
        g_assert_true(frontend_resume(f));
        expect_answer(f, submit, OK_NODATA, 100 + i);
    }
    g_assert_cmphex(gpu_unref(f, 10), ==, OK_NODATA);
}

/* While the VM runs nothing is saved. */
static void test_running(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=async");
    g_autofree char *why = NULL;

    g_assert_cmpint(frontend_save(f, true, &why), ==, -1);
    g_assert_nonnull(strstr(why, "running"));
    g_assert_true(gpu_still_works(f));
}

/* Half a state is none: it says so, takes nothing over, and serves. */
static void test_damaged(void)
{
    g_autoptr(Frontend) f = gpu_null_frontend("--null-submit-how=async");
    g_autoptr(Pending) create = send_create(f, 10, 1);
    g_autofree char *why = NULL, *verdict = NULL;
    int saved;

    expect_answer(f, create, OK_NODATA, 1);
    g_assert_true(frontend_stop(f));
    saved = frontend_save(f, true, &why);
    g_assert_cmpint(ftruncate(saved, lseek(saved, 0, SEEK_END) / 2), ==, 0);
    frontend_kill(f);
    g_assert_true(frontend_replace_saved(f, saved, &verdict));
    g_test_message("%s", verdict);
    g_assert_nonnull(strstr(verdict, "ends early"));
    g_assert_cmphex(gpu_unref(f, 10), ==, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    g_assert_true(gpu_still_works(f));
    close(saved);
}

static bool is_marked(const uint8_t *log, uint64_t gpa)
{
    return __atomic_load_n(&log[gpa / PAGE / 8], __ATOMIC_SEQ_CST) & 1u << gpa / PAGE % 8;
}

/* Answers are marked; what the guest has above the end of the log is not, and harms nobody. */
static void test_log(void)
{
    FrontendOptions o = { .renderer = "2d" };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct {
        uint64_t size, offset;
    } base = { .size = 16 * PAGE };
    int fd = memfd_create("log", MFD_CLOEXEC);
    uint64_t reply = 1;
    uint8_t *log;

    g_assert_cmpint(ftruncate(fd, 16 * PAGE), ==, 0);
    log = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (unsigned i = 0; i < 20; i++) {
        g_autoptr(Pending) p = send_create(f, 100 + i, 1 + i);

        expect_answer(f, p, OK_NODATA, 1 + i);
        g_assert_false(is_marked(log, p->in_gpa));
    }
    g_assert_true(
        vhost_exchange(&f->vhost, SET_LOG_BASE, &base, sizeof(base), &fd, 1, &reply, sizeof(reply)));
    g_assert_cmpuint(reply, ==, 0);
    g_assert_true(vhost_set_features(&f->vhost, f->features | F_LOG_ALL));
    for (unsigned i = 0; i < 20; i++) {
        g_autoptr(Pending) p = send_create(f, 200 + i, 1 + i);

        expect_answer(f, p, OK_NODATA, 1 + i);
        g_assert_true(is_marked(log, p->in_gpa));
    }
    /* a log of a few pages, of which nothing of ours is in */
    base.size = 1;
    g_assert_true(
        vhost_exchange(&f->vhost, SET_LOG_BASE, &base, sizeof(base), &fd, 1, &reply, sizeof(reply)));
    g_assert_true(gpu_still_works(f));
    /* larger than its file: refused */
    base.size = 17 * PAGE;
    g_assert_true(
        vhost_exchange(&f->vhost, SET_LOG_BASE, &base, sizeof(base), &fd, 1, &reply, sizeof(reply)));
    g_assert_cmpuint(reply, !=, 0);
    g_assert_true(gpu_still_works(f));
    munmap(log, 16 * PAGE);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/renderer-save/in-flight", test_in_flight);
    g_test_add_func("/renderer-save/goes-on", test_goes_on);
    g_test_add_func("/renderer-save/running", test_running);
    g_test_add_func("/renderer-save/damaged", test_damaged);
    g_test_add_func("/renderer-save/log", test_log);
    return g_test_run();
}
