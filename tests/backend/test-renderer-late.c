/* SPDX-License-Identifier: GPL-2.0-or-later */
/* OpenGL that starts when the guest needs it: what was made before moves over, and nobody sees a difference.
 */
#include <string.h>
#include <sys/wait.h>

#include "gl_stream.h"
#include "gpu_blob.h"
#include "picture.h"

#define MIB   (1ull << 20)
#define SOON  10000
#define NAME  "a GPU that somebody tried"
#define FACTS "--facts=vgpu-" VGPU_VERSION "\t1:1:308,2:2:1384\t" NAME "\t4.5 (of the test)"

/* The eight formats of virtio's 2D resources. */
static const uint32_t formats[] = {
    VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM,
    VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM,
    VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM,
};

static Frontend *start(const char *facts)
{
    FrontendOptions o = { .renderer = "auto", .memory = 256 * MIB, .ram = 64 * MIB, .extra = facts };

    return frontend_new(&o);
}

static bool logged(Frontend *f, const char *text)
{
    g_autofree char *log = frontend_log(f);

    return strstr(log, text) != NULL;
}

/* A GET_CAPSET, as a guest's first program sends it. */
static uint32_t ask(Frontend *f)
{
    uint8_t caps[308];

    return gpu_capset(f, 1, 1, caps, sizeof(caps));
}

static void show(Frontend *f, uint32_t id, unsigned seed)
{
    g_assert_cmphex(gpu_set_scanout(f, 0, id, 0, 0, 64, 48), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, id, 0, 0, 64, 48), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    picture_check(f, 0, 0, 0, 64, 48, seed, 0, 0);
}

static void test_hello(void)
{
    g_autoptr(Frontend) f = start(FACTS);
    struct virtio_gpu_resp_capset_info info;

    g_assert_cmpuint(f->hello.kind, ==, VGPU_RENDERER_VIRGL);
    g_assert_true(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_VIRGL);
    g_assert_cmpstr(f->hello.description, ==, NAME);
    g_assert_cmpstr(f->hello.warning, ==, "");
    g_assert_cmpuint(f->hello.num_capsets, ==, 3);
    g_assert_true(gpu_find_capset(f, 1, &info));
    g_assert_true(gpu_find_capset(f, 2, &info));
    g_assert_cmpuint(info.capset_max_size, ==, 1384);
    g_assert_true(gpu_find_capset(f, 16, &info));
    g_assert_true(gpu_still_works(f));
    g_assert_false(logged(f, "OpenGL started"));
    g_assert_cmphex(ask(f), ==, VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_true(logged(f, "OpenGL started"));
}

/* Facts that are none: as without. */
static void test_other_release(void)
{
    g_autoptr(Frontend) f = start("--facts=vgpu-0.0.0\t1:1:308\t" NAME "\t4.5");

    g_assert_cmpuint(f->hello.kind, ==, VGPU_RENDERER_VIRGL);
    g_assert_cmpstr(f->hello.description, !=, NAME);
    g_assert_true(logged(f, "another release"));
    g_assert_cmphex(ask(f), ==, VIRTIO_GPU_RESP_OK_CAPSET);
}

/* A picture of each format, made before and seen after, also where only the host has its contents. */
static void test_pictures(void)
{
    g_autoptr(Frontend) f = start(FACTS);
    uint64_t used;

    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        picture_resource(f, 1 + i, formats[i], i, 64, 48);
    }
    g_assert_cmphex(gpu_detach(f, 1), ==, OK_NODATA);
    show(f, 1, 0);
    used = frontend_used(f);
    g_assert_false(logged(f, "OpenGL started"));
    g_assert_cmphex(ask(f), ==, VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_true(logged(f, "OpenGL started"));
    g_assert_false(logged(f, "does not come over"));
    g_assert_cmpuint(frontend_used(f), ==, used);
    /* the one on the screen is still there, and is read from OpenGL now */
    screen_settle(&f->screen, SOON);
    picture_check(f, 0, 0, 0, 64, 48, 0, 0, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        show(f, 1 + i, i);
    }
    /* the backing came along */
    for (unsigned i = 1; i < G_N_ELEMENTS(formats); i++) {
        g_assert_cmphex(gpu_transfer_2d(f, 1 + i, 0, 0, 0, 64, 48), ==, OK_NODATA);
        show(f, 1 + i, i);
    }
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 64, 48), ==, ERR_UNSPEC);
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_assert_cmphex(gpu_unref(f, 1 + i), ==, OK_NODATA);
    }
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* One whose bytes OpenGL gives in another order is shown again while nobody flushes. */
static void test_shown(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(Frontend) f = start(FACTS);

        picture_resource(f, 5, formats[i], i, 64, 48);
        show(f, 5, i);
        g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
        screen_settle(&f->screen, SOON);
        picture_check(f, 0, 0, 0, 64, 48, i, 0, 0);
        show(f, 5, i);
    }
}

/* Blobs of guest memory, which OpenGL has to know; and a context that uses what was there. */
static void test_blob(void)
{
    g_autoptr(Frontend) f = start(FACTS);
    g_autoptr(GlStream) s = gl_stream_new();
    uint64_t gpa = ram_alloc(f->ram, 1 << 20);

    g_assert_cmphex(gpu_blob_guest(f, 7, gpa, 1 << 20), ==, OK_NODATA);
    picture_resource(f, 8, BGRX, 1, 64, 48);
    g_assert_false(logged(f, "OpenGL started"));
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 7), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 8), ==, OK_NODATA);
    gl_create_surface(s, 3, 8, BGRX);
    gl_set_framebuffer(s, 3);
    gl_clear(s, 0x336699);
    g_assert_cmphex(gpu_submit(f, 1, gl_stream_data(s), gl_stream_count(s)), ==, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 0, 8, 0, 0, 64, 48), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, 8, 0, 0, 64, 48), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    g_assert_cmphex(screen_pixel(&f->screen, 0, 5, 5) & 0xffffff, ==, 0x336699);
    g_assert_cmphex(gpu_unref(f, 7), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 8), ==, OK_NODATA);
}

/* A reset in between: what is made after it is OpenGL's at once. */
static void test_reset(void)
{
    g_autoptr(Frontend) f = start(FACTS);

    picture_resource(f, 1, BGRX, 1, 64, 48);
    g_assert_true(frontend_reset(f));
    g_assert_false(logged(f, "OpenGL started"));
    picture_resource(f, 1, BGRX, 2, 64, 48);
    show(f, 1, 2);
    g_assert_cmphex(gpu_create_texture(f, 2, BGRX, 64, 48), ==, OK_NODATA);
    g_assert_true(logged(f, "OpenGL started"));
    g_assert_true(frontend_reset(f));
    g_assert_true(gpu_still_works(f));
    g_assert_cmpuint(frontend_used(f), ==, 0);
    picture_resource(f, 1, BGRX, 3, 64, 48);
    show(f, 1, 3);
}

static void break_opengl(void)
{
    g_setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent.json", TRUE);
}

static void mend_opengl(void)
{
    g_unsetenv("__EGL_VENDOR_LIBRARY_FILENAMES");
}

/* It did start for somebody, and does not for us: 2D goes on, and the log has the reason. */
static void test_fails(void)
{
    g_autoptr(Frontend) f = NULL;

    break_opengl();
    f = start(FACTS);
    mend_opengl();
    picture_resource(f, 1, BGRX, 1, 64, 48);
    show(f, 1, 1);
    g_assert_cmphex(ask(f), >=, ERR_UNSPEC);
    g_assert_true(logged(f, "does not start, though it did"));
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, ERR_UNSPEC);
    g_assert_cmphex(gpu_create_texture(f, 2, BGRX, 16, 16), ==, ERR_UNSPEC);
    show(f, 1, 1);
    g_assert_true(gpu_still_works(f));
}

/* A guest that asks once: broken OpenGL, and a picture on its screen. */
static Frontend *start_stock(const char *renderer)
{
    FrontendOptions o = {
        .renderer = renderer, .memory = 256 * MIB, .ram = 64 * MIB, .extra = FACTS, .stock = true
    };
    Frontend *f;

    break_opengl();
    f = frontend_new(&o);
    picture_resource(f, 1, BGRX, 1, 64, 48);
    show(f, 1, 1);
    return f;
}

static Pending *send_ask(Frontend *f)
{
    struct virtio_gpu_get_capset c = { .hdr.type = VIRTIO_GPU_CMD_GET_CAPSET,
                                       .capset_id = 1,
                                       .capset_version = 1 };

    return frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr) + 308);
}

/* The renderer ends by itself, with its reason; the next one has the command in flight. */
static void await_way(Frontend *f)
{
    g_autoptr(ChannelMsg) msg = channel_find(&f->channel, VGPU_CHANNEL_FATAL, FRONTEND_COMMAND_DEADLINE);
    struct vgpu_channel_adopted m;
    int status = 0;

    g_assert_nonnull(msg);
    g_assert_true(logged(f, "does not start, though it did"));
    g_assert_true(logged(f, "the next renderer tries again"));
    g_assert_cmpint(waitpid(f->pid, &status, 0), ==, f->pid);
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    f->pid = 0;
    frontend_kill(f); /* as one that is gone */
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_true(frontend_adopted(f, &m));
    g_assert_cmpuint(m.resources, ==, 1);
    g_assert_cmpuint(m.descriptors, ==, 1);
}

/* It starts for the next one, which answers. */
static void test_makes_way(void)
{
    g_autoptr(Frontend) f = start_stock("auto");
    g_autoptr(Pending) p = send_ask(f);

    mend_opengl();
    await_way(f);
    g_assert_true(frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE));
    g_assert_cmphex(gpu_response(p), ==, VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    show(f, 1, 1);
}

/* Nor for that one: then it is no, and the picture stays.  What comes later is another question. */
static void test_makes_way_once(void)
{
    g_autoptr(Frontend) f = start_stock("auto");
    g_autoptr(Pending) p = NULL, again = NULL;

    /* its own commands fail before; that ends no renderer */
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, ERR_UNSPEC);
    p = send_ask(f);
    await_way(f);
    g_assert_true(frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE));
    g_assert_cmphex(gpu_response(p), >=, ERR_UNSPEC);
    g_assert_true(logged(f, "does not start, though it did"));
    g_assert_false(logged(f, "the next renderer tries again"));
    g_assert_true(gpu_still_works(f));
    show(f, 1, 1);
    mend_opengl();
    again = send_ask(f);
    await_way(f);
    g_assert_true(frontend_wait(f, again, FRONTEND_COMMAND_DEADLINE));
    g_assert_cmphex(gpu_response(again), ==, VIRTIO_GPU_RESP_OK_CAPSET);
}

/* One that is to have no 3D is asked, and just says no; so is one of a capset that nobody has. */
static void test_no_way(void)
{
    g_autoptr(Frontend) f = start_stock("auto");
    uint8_t caps[308];

    f->o.renderer = "2d";
    frontend_kill(f);
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_true(frontend_adopted(f, NULL));
    g_assert_cmphex(ask(f), >=, ERR_UNSPEC);
    f->o.renderer = "auto";
    frontend_kill(f);
    g_assert_true(frontend_replace(f, f->objects_fd));
    g_assert_true(frontend_adopted(f, NULL));
    mend_opengl();
    g_assert_cmphex(gpu_capset(f, 9, 1, caps, sizeof(caps)), >=, ERR_UNSPEC);
    g_assert_true(gpu_still_works(f));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/late/hello", test_hello);
    g_test_add_func("/late/other-release", test_other_release);
    g_test_add_func("/late/pictures", test_pictures);
    g_test_add_func("/late/shown", test_shown);
    g_test_add_func("/late/blob", test_blob);
    g_test_add_func("/late/reset", test_reset);
    g_test_add_func("/late/fails", test_fails);
    g_test_add_func("/late/makes-way", test_makes_way);
    g_test_add_func("/late/makes-way/once", test_makes_way_once);
    g_test_add_func("/late/makes-way/no", test_no_way);
    return g_test_run();
}
