/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No VM sees what another one left: the first fills all its slice with a pattern and
 * ends, or is killed; the next makes every kind of object that it need not fill, and
 * reads it.  That this would see old bytes each VM shows by the first of them: what
 * is written into an object of that kind is found again on the same way.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "bar.h"
#include "gl_stream.h"
#include "vulkan_copy.h"

#define OLD   0x5a       /* three in a row are found again in whatever format they pass */
#define NEVER 0x11       /* where something is to be read to */
#define DEPTH 0x3f5a5a5a /* the same, as a number between 0 and 1 */
#define MOST  (1u << 20) /* of one object */
#define SIDE  256u

enum { BUFFER, TEXTURE_1D, TEXTURE_2D, TEXTURE_3D, CUBE, RECT, ARRAY_1D, ARRAY_2D };
enum { DEPTH_STENCIL = 1, TARGET = 2, SAMPLED = 8, VERTICES = 16 };

typedef struct Kind {
    const char *name;
    uint32_t target, format, bind, width, height, depth, layers, last_level, level, samples, texel;
    uint32_t word; /* 0: OLD four times */
    bool no_alpha; /* each fourth byte is what GL says that alpha is */
    uint32_t blit; /* what is copied where there are samples: 0xf colours, 0x10 depth, 0x30 and stencil */
} Kind;

static const Kind kinds[] = {
    { "buffer", BUFFER, 64, VERTICES, MOST, 1, 1, 1, .texel = 1 },
    { "texture", TEXTURE_2D, 67, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 4 },
    { "texture-bgra", TEXTURE_2D, 1, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 4 },
    { "texture-bgrx", TEXTURE_2D, 2, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 4, .no_alpha = true },
    { "texture-565", TEXTURE_2D, 7, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 2 },
    { "texture-r8", TEXTURE_2D, 64, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 1 },
    { "texture-half", TEXTURE_2D, 94, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 8 },
    { "texture-float", TEXTURE_2D, 31, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 16 },
    { "texture-sampled", TEXTURE_2D, 67, SAMPLED, SIDE, SIDE, 1, 1, .texel = 4 },
    { "texture-odd", TEXTURE_2D, 67, TARGET | SAMPLED, 251, 239, 1, 1, .texel = 4 },
    { "texture-small", TEXTURE_2D, 67, TARGET | SAMPLED, 16, 16, 1, 1, .texel = 4 },
    { "texture-level", TEXTURE_2D, 67, TARGET | SAMPLED, SIDE, SIDE, 1, 1, 4, 2, .texel = 4 },
    { "texture-1d", TEXTURE_1D, 67, SAMPLED, 2048, 1, 1, 1, .texel = 4 },
    { "texture-3d", TEXTURE_3D, 67, SAMPLED, 64, 64, 32, 1, .texel = 4 },
    { "texture-rect", RECT, 67, TARGET | SAMPLED, SIDE, SIDE, 1, 1, .texel = 4 },
    { "texture-cube", CUBE, 67, TARGET | SAMPLED, 128, 128, 1, 6, .texel = 4 },
    { "texture-array", ARRAY_2D, 67, TARGET | SAMPLED, 128, 128, 1, 8, .texel = 4 },
    { "depth-16", TEXTURE_2D, 16, DEPTH_STENCIL, SIDE, SIDE, 1, 1, .texel = 2 },
    { "depth-float", TEXTURE_2D, 18, DEPTH_STENCIL, SIDE, SIDE, 1, 1, .texel = 4, .word = DEPTH },
    { "depth-stencil", TEXTURE_2D, 20, DEPTH_STENCIL, SIDE, SIDE, 1, 1, .texel = 4 },
    { "depth-float-stencil", TEXTURE_2D, 126, DEPTH_STENCIL, SIDE, SIDE, 1, 1, .texel = 8, .word = DEPTH },
    { "samples", TEXTURE_2D, 67, TARGET, 128, 128, 1, 1, .samples = 4, .texel = 4, .blit = 0xf },
    { "samples-2", TEXTURE_2D, 67, TARGET, 128, 128, 1, 1, .samples = 2, .texel = 4, .blit = 0xf },
    { "samples-depth-stencil", TEXTURE_2D, 20, DEPTH_STENCIL, 128, 128, 1, 1, .samples = 4, .texel = 4,
      .blit = 0x30 },
    { "samples-depth", TEXTURE_2D, 18, DEPTH_STENCIL, 128, 128, 1, 1, .samples = 4, .texel = 4, .word = DEPTH,
      .blit = 0x10 },
};

#define IS(call, want) venus_check(vm->f, #call, call, want)
#define DONE(call)     IS(call, OK_NODATA)

typedef struct Vm {
    Vgpud *d;
    Frontend *f;
    int fd;
    pid_t renderer;
    uint64_t gpa; /* MOST bytes that things are read to and written from */
    uint8_t *bytes;
    uint32_t last; /* resource id */
    uint64_t fence;
} Vm;

static void begin(Vm *vm, Vgpud *d, unsigned number)
{
    g_autofree char *name = g_strdup_printf("vm%u", number);

    *vm = (Vm){ .d = d, .last = 10 };
    vm->f = attach_vm(d, "eighth", name, number, &vm->fd);
    g_assert_nonnull(vm->f);
    vm->renderer = vgpud_renderer_pid(d, name);
    vm->gpa = ram_alloc(vm->f->ram, MOST);
    vm->bytes = ram_ptr(vm->f->ram, vm->gpa);
}

static void end(Vm *vm, bool killed)
{
    if (killed) {
        kill(vm->renderer, SIGKILL);
        vm->f->exit_unchecked = vm->f->dead = true;
    }
    frontend_free(vm->f);
    close(vm->fd);
    g_assert_true(vgpud_wait_vms(vm->d, 0, SOON));
}

G_GNUC_PRINTF(1, 2) static void wrong(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_test_message("%s", text); /* each of them, not the last */
    g_test_fail();
}

static void expect_old(const char *what, const uint8_t *p, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        n += p[i] == OLD;
    }
    if (n < size / 8 * 3) { /* depth and stencil: three bytes of eight */
        wrong("%s: what was written there is not read again: %zu of %zu bytes, begins %02x%02x%02x%02x", what,
              n, size, p[0], p[1], p[2], p[3]);
    }
}

static void expect_nothing(const char *what, const uint8_t *p, size_t size, bool no_alpha)
{
    size_t old = 0, other = 0, unread = 0;

    for (size_t i = 0; i < size; i++) {
        bool alpha = no_alpha && i % 4 == 3;

        old += i + 3 <= size && p[i] == OLD && p[i + 1] == OLD && p[i + 2] == OLD;
        unread += !alpha && p[i] == NEVER;
        other += !alpha && p[i] != 0 && p[i] != NEVER;
    }
    if (old) {
        wrong("%s: ANOTHER VM'S BYTES, %zu of %zu", what, old, size);
    } else if (other) {
        wrong("%s: %zu of %zu bytes are not zero", what, other, size);
    } else if (unread) {
        wrong("%s: %zu of %zu bytes were not read", what, unread, size);
    }
}

/* ---- OpenGL ---- */

static uint32_t at_level(uint32_t size, uint32_t level)
{
    return MAX(size >> level, 1u);
}

static size_t bytes_of(const Kind *k)
{
    return (size_t)at_level(k->width, k->level) * at_level(k->height, k->level) * k->depth * k->layers *
           k->texel;
}

static uint32_t create(Vm *vm, const Kind *k, uint32_t samples)
{
    struct virtio_gpu_resource_create_3d c = {
        .resource_id = ++vm->last,
        .target = k->target,
        .format = k->format,
        .bind = k->bind,
        .width = k->width,
        .height = k->height,
        .depth = k->depth,
        .array_size = k->layers,
        .last_level = k->last_level,
        .nr_samples = samples,
    };

    if (gpu_create_3d(vm->f, 1, &c) != OK_NODATA) {
        return 0;
    }
    DONE(gpu_attach_one(vm->f, vm->last, vm->gpa, MOST));
    DONE(gpu_context_attach(vm->f, 1, vm->last));
    return vm->last;
}

/* Layer by layer, or slice by slice, where there are some: virglrenderer reads one at a time. */
static void transfer(Vm *vm, const Kind *k, bool to_host, uint32_t id)
{
    struct virtio_gpu_transfer_host_3d c = {
        .hdr.type = to_host ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D : VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
        .hdr.ctx_id = 1,
        .box = { .w = at_level(k->width, k->level), .h = at_level(k->height, k->level), .d = 1 },
        .resource_id = id,
        .level = k->level,
    };

    for (uint32_t layer = 0; layer < k->depth * k->layers; layer++) {
        c.box.z = layer;
        c.offset = bytes_of(k) / (k->depth * k->layers) * layer;
        venus_check(vm->f, k->name, gpu_run(vm->f, &c, sizeof(c), NULL, 0, NULL, 0), OK_NODATA);
    }
}

static void blit(Vm *vm, const Kind *k, uint32_t to, uint32_t from)
{
    g_autoptr(GlStream) s = gl_stream_new();

    gl_command(s, GL_BLIT, 0, 21);
    gl_dword(s, k->blit); /* and the nearest pixel */
    gl_dword(s, 0);
    gl_dword(s, 0);
    for (unsigned i = 0; i < 2; i++) {
        gl_dword(s, i ? from : to);
        gl_dword(s, 0); /* level */
        gl_dword(s, k->format);
        gl_dword(s, 0);
        gl_dword(s, 0);
        gl_dword(s, 0);
        gl_dword(s, k->width);
        gl_dword(s, k->height);
        gl_dword(s, 1);
    }
    venus_check(vm->f, k->name, gpu_submit(vm->f, 1, gl_stream_data(s), gl_stream_count(s)), OK_NODATA);
}

/* What id holds into the guest's memory; plain: where samples are resolved to. */
static void read_back(Vm *vm, const Kind *k, uint32_t id, uint32_t plain)
{
    if (plain) {
        blit(vm, k, plain, id);
    }
    memset(vm->bytes, NEVER, MOST);
    transfer(vm, k, false, plain ? plain : id);
}

static void fill(Vm *vm, const Kind *k, uint32_t id, uint32_t plain)
{
    for (size_t i = 0; k->word && i < MOST; i += 4) {
        memcpy(vm->bytes + i, &k->word, 4);
    }
    if (!k->word) {
        memset(vm->bytes, OLD, MOST);
    }
    transfer(vm, k, true, plain ? plain : id);
    if (plain) {
        blit(vm, k, id, plain);
        memset(vm->bytes, NEVER, MOST);
        transfer(vm, k, true, plain); /* so that what is read came from the samples */
    }
}

static void each_kind(Vm *vm, bool first)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds) && !vm->f->dead; i++) {
        const Kind *k = &kinds[i];
        uint32_t id = create(vm, k, k->samples), plain = k->samples ? create(vm, k, 0) : 0;

        if (!id || (k->samples && !plain)) {
            wrong("%s cannot be made", k->name);
            continue;
        }
        if (first) {
            fill(vm, k, id, plain);
            read_back(vm, k, id, plain);
            expect_old(k->name, vm->bytes, bytes_of(k));
        } else {
            read_back(vm, k, id, plain);
            expect_nothing(k->name, vm->bytes, bytes_of(k), k->no_alpha);
        }
    }
}

/* All that is left of the slice. */
static void each_byte(Vm *vm, bool first)
{
    static const Kind all = {
        "the rest of the slice", TEXTURE_2D, 67, TARGET | SAMPLED, 512, 512, 1, 1, .texel = 4
    };
    unsigned n = 0;
    uint32_t id;

    for (; !vm->f->dead && (id = create(vm, &all, 0)); n++) {
        if (first) {
            fill(vm, &all, id, 0);
        } else {
            read_back(vm, &all, id, 0);
            expect_nothing(all.name, vm->bytes, bytes_of(&all), false);
        }
    }
    g_assert_cmpuint(n, >, 32);
}

/* A picture of the 2D commands, on the screen and, where there is 3D, read back. */
static void each_picture(Vm *vm, bool first, bool gl)
{
    static const Kind two = { "2D picture", TEXTURE_2D, BGRA, 0, SIDE, SIDE, 1, 1, .texel = 4 };
    ScreenOutput *o = &vm->f->screen.out[0];
    uint32_t id = ++vm->last;
    unsigned updates = o->updates;

    DONE(gpu_create_2d(vm->f, id, BGRA, SIDE, SIDE));
    DONE(gpu_attach_one(vm->f, id, vm->gpa, MOST));
    if (first) {
        memset(vm->bytes, OLD, MOST);
        DONE(gpu_transfer_2d(vm->f, id, 0, 0, 0, SIDE, SIDE));
    }
    DONE(gpu_set_scanout(vm->f, 0, id, 0, 0, SIDE, SIDE));
    DONE(gpu_flush(vm->f, id, 0, 0, SIDE, SIDE));
    g_assert_true(screen_wait_update(&vm->f->screen, 0, updates + 1, SOON));
    for (unsigned i = 0; i < 2 && (!i || gl); i++) {
        const uint8_t *p = i ? vm->bytes : o->map + o->offset;

        if (i) {
            DONE(gpu_context_attach(vm->f, 1, id));
            read_back(vm, &two, id, 0);
        }
        if (first) {
            expect_old(i ? two.name : "2D picture on the screen", p, SIDE * SIDE * 4);
        } else {
            expect_nothing(i ? two.name : "2D picture on the screen", p, SIDE * SIDE * 4, true);
        }
    }
}

/* An allocator whose memory is full of what somebody left: then the driver clears it. */
#define POISONED "virgl\nenvironment = MALLOC_PERTURB_=165" /* the complement of OLD */

static void test_gl(gconstpointer how)
{
    g_autoptr(Vgpud) d = vgpud_new(g_strcmp0(how, "poisoned") ? "virgl" : POISONED, NULL);

    for (unsigned i = 1; i <= 2; i++) {
        Vm it, *vm = &it;

        begin(vm, d, i);
        DONE(gpu_context_create(vm->f, 1, 0));
        each_kind(vm, i == 1);
        each_picture(vm, i == 1, true);
        each_byte(vm, i == 1);
        end(vm, how != NULL);
    }
}

static void test_2d(gconstpointer killed)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);

    for (unsigned i = 1; i <= 2; i++) {
        Vm it, *vm = &it;

        begin(vm, d, i);
        for (unsigned n = 0; n < 64; n++) {
            each_picture(vm, i == 1, false);
        }
        end(vm, killed != NULL);
    }
}

/* ---- Vulkan ---- */

#define FORMAT_RGBA8     37
#define FORMAT_D32       126
#define ASPECT_COLOUR    1
#define ASPECT_DEPTH     2
#define WINDOW_OF(index) ((uint64_t)(index) * MIB)

/* Memory of the device in the guest's window, at the index-th place. */
static bool mapped_memory(Vm *vm, uint64_t memory, unsigned index)
{
    uint32_t id = ++vm->last;

    vulkan_memory(vm->f, 1, memory, MIB);
    return gpu_blob(vm->f, &(BlobAsk){ .id = id,
                                       .ctx = 1,
                                       .mem = MEM_HOST,
                                       .flags = MAPPABLE,
                                       .blob_id = memory,
                                       .size = MIB }) == OK_NODATA &&
           gpu_map(vm->f, id, WINDOW_OF(index)) == OK_MAP_INFO;
}

/* All that was copied so far is. */
static void wait_for_queue(Vm *vm)
{
    g_autoptr(Pending) p = venus_fenced(vm->f, 1, VULKAN_QUEUE_RING, ++vm->fence);

    g_assert_true(frontend_wait(vm->f, p, SOON));
}

/* buffer: of the memory at base. */
static void image(Vm *vm, bool first, uint64_t ids, uint64_t buffer, uint8_t *base, uint32_t format,
                  uint32_t aspect)
{
    const char *what = aspect == ASPECT_DEPTH ? "depth image" : "image";
    const size_t size = SIDE * SIDE * 4;
    const uint32_t depth = DEPTH;

    vulkan_memory(vm->f, 1, ids, MIB);
    vulkan_image(vm->f, 1, ids + 1, ids, format, SIDE);
    if (first) {
        for (size_t i = 0; i < size; i += 4) {
            memcpy(base + i, &depth, 4);
        }
        vulkan_copy(vm->f, 1, ids + 2, true, ids + 1, buffer, aspect, SIDE);
        wait_for_queue(vm);
    }
    memset(base, NEVER, size);
    vulkan_copy(vm->f, 1, ids + 3, false, ids + 1, buffer, aspect, SIDE);
    wait_for_queue(vm);
    if (first) {
        expect_old(what, base, size);
    } else {
        expect_nothing(what, base, size, false);
    }
}

static void test_vulkan(gconstpointer killed)
{
    g_autoptr(Vgpud) d = vgpud_new("virgl", NULL);

    for (unsigned i = 1; i <= 2; i++) {
        bool first = i == 1;
        unsigned n = 0;
        Vm it, *vm = &it;
        Bar *bar;

        begin(vm, d, i);
        bar = bar_new(vm->f, WINDOW);
        DONE(gpu_context_create(vm->f, 1, VENUS));
        vulkan_device(vm->f, 1);
        vulkan_queue(vm->f, 1);
        /* of the server's own, and the device's */
        DONE(gpu_blob_host(vm->f, ++vm->last, 1, MIB));
        IS(gpu_map(vm->f, vm->last, WINDOW_OF(0)), OK_MAP_INFO);
        g_assert_true(mapped_memory(vm, 100, 1));
        for (unsigned k = 0; k < 2; k++) {
            if (first) {
                memset(bar->base + WINDOW_OF(k), OLD, MIB);
            } else {
                expect_nothing(k ? "device memory" : "host memory", bar->base + WINDOW_OF(k), MIB, false);
            }
        }
        vulkan_buffer(vm->f, 1, 101, 100, MIB);
        image(vm, first, 110, 101, bar->base + WINDOW_OF(1), FORMAT_RGBA8, ASPECT_COLOUR);
        image(vm, first, 120, 101, bar->base + WINDOW_OF(1), FORMAT_D32, ASPECT_DEPTH);
        for (n = 2; n < WINDOW / MIB && mapped_memory(vm, 200 + n, n); n++) {
            if (first) {
                memset(bar->base + WINDOW_OF(n), OLD, MIB);
            } else {
                expect_nothing("the rest of the slice", bar->base + WINDOW_OF(n), MIB, false);
            }
        }
        g_assert_cmpuint(n, >, 16);
        bar_free(bar);
        end(vm, killed != NULL);
    }
}

int main(int argc, char **argv)
{
    bool vulkan = g_getenv("VGPU_VULKAN_LAYER") &&
                  g_file_test("/usr/libexec/virgl_render_server", G_FILE_TEST_IS_EXECUTABLE);

    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/old-bytes/2d/left", NULL, test_2d);
    g_test_add_data_func("/old-bytes/2d/killed", "killed", test_2d);
    g_test_add_data_func("/old-bytes/gl/left", NULL, test_gl);
    g_test_add_data_func("/old-bytes/gl/killed", "killed", test_gl);
    g_test_add_data_func("/old-bytes/gl/poisoned", "poisoned", test_gl);
    if (vulkan) {
        g_test_add_data_func("/old-bytes/vulkan/left", NULL, test_vulkan);
        g_test_add_data_func("/old-bytes/vulkan/killed", "killed", test_vulkan);
    }
    return g_test_run();
}
