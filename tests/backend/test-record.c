/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM sends is recorded where vgpud.conf says so, and can be looked into and played. */
#include <glib/gstdio.h>
#include <linux/virtio_gpu.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attach.h"
#include "gl_stream.h"
#include "gpu_cmd.h"
#include "replay/bare.h"
#include "replay/player.h"
#include "replay/words.h"

#define SIDE  64
#define BYTES (SIDE * SIDE * 4)
#define RES   1
#define CTX   1

static char *only_file(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name = dir ? g_dir_read_name(dir) : NULL;
    char *path = name ? g_build_filename(folder, name, NULL) : NULL;

    g_assert_nonnull(path);
    g_assert_null(g_dir_read_name(dir));
    return path;
}

/* A texture with a pattern from the guest, cleared afterwards, by a VM that is recorded. */
static void a_little_work(Frontend *f, uint64_t gpa)
{
    const struct virtio_gpu_box box = { .w = SIDE, .h = SIDE, .d = 1 };
    g_autoptr(GlStream) s = gl_stream_new();

    g_assert_cmphex(gpu_context_create(f, CTX, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_texture(f, RES, BGRA, SIDE, SIDE), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, RES, gpa, BYTES), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, CTX, RES), ==, OK_NODATA);
    g_assert_cmphex(gpu_transfer_3d(f, true, CTX, RES, 0, &box, SIDE * 4), ==, OK_NODATA);
    gl_create_surface(s, 1, RES, 1);
    gl_set_framebuffer(s, 1);
    gl_clear(s, 0x123456);
    g_assert_cmphex(gpu_submit(f, CTX, gl_stream_data(s), gl_stream_count(s)), ==, OK_NODATA);
}

/* One that records into folder. */
static Vgpud *recording_vgpud(const char *kind, const char *folder)
{
    Vgpud *d = vgpud_new(kind, NULL);
    g_autofree char *file = g_build_filename(d->config, "vgpud.conf", NULL), *conf = NULL, *more = NULL;

    vgpud_end(d, SIGTERM);
    g_assert_true(g_file_get_contents(file, &conf, NULL, NULL));
    g_assert_true(g_str_has_prefix(conf, "[renderer]\n"));
    more = g_strdup_printf("[renderer]\nrecord = %s\n%s", folder, conf + strlen("[renderer]\n"));
    g_assert_true(g_file_set_contents(file, more, -1, NULL));
    g_assert_true(vgpud_run(d));
    return d;
}

static char *record(const char *folder)
{
    g_autoptr(Vgpud) d = recording_vgpud("virgl", folder);
    g_autoptr(Frontend) f = NULL;
    uint8_t *bytes;
    uint64_t gpa;
    int fd;

    f = attach_vm(d, "quarter", "a VM/of mine", 1, &fd);
    g_assert_nonnull(f);
    gpa = ram_alloc(f->ram, BYTES);
    bytes = ram_ptr(f->ram, gpa);
    for (unsigned i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 4096);
    }
    a_little_work(f, gpa);
    g_clear_pointer(&f, frontend_free);
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 0, ATTACH_DEADLINE));
    return only_file(folder);
}

/* The recording of all tests; made once. */
static char *recorded(void)
{
    static char *path;

    if (!path) {
        char *folder = g_dir_make_tmp("vgpu-record-XXXXXX", NULL);

        path = record(folder);
    }
    return path;
}

static void test_file(void)
{
    g_autofree char *name = g_path_get_basename(recorded());
    struct stat st;

    g_assert_cmpint(g_stat(recorded(), &st), ==, 0);
    g_assert_cmphex(st.st_mode & 07777, ==, 0600);
    g_assert_true(g_str_has_prefix(name, "a_VM_of_mine-"));
    g_assert_true(g_str_has_suffix(name, ".vgr.gz"));
}

static void test_commands(void)
{
    static const uint32_t want[] = {
        VIRTIO_GPU_CMD_CTX_CREATE,
        VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
        VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
        VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
        VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
        VIRTIO_GPU_CMD_SUBMIT_3D,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(Recording) r = recording_read(recorded(), &error);
    uint64_t memory = 0;
    unsigned next = 0;
    RecordingEntry e;
    size_t at = 0;

    g_assert_no_error(error);
    g_assert_true(r->whole);
    g_assert_cmpstr(r->head.vm, ==, "a VM/of mine");
    g_assert_cmpstr(r->head.renderer, !=, "");
    while (recording_next(r, &at, &e)) {
        struct virtio_gpu_ctrl_hdr hdr = { 0 };

        if (e.kind == VGPU_RECORDING_MEMORY) {
            g_assert_cmpuint(e.memory.resource_id, ==, RES);
            for (uint64_t i = 0; i < e.size; i++) {
                uint64_t n = e.memory.offset + i;

                g_assert_cmpuint(e.data[i], ==, (uint8_t)(n * 7 + n / 4096));
            }
            memory += e.size;
            g_assert_cmpuint(next, ==, 4); /* in front of the transfer that reads it */
            continue;
        }
        memcpy(&hdr, e.data, MIN(sizeof(hdr), e.size));
        if (next < G_N_ELEMENTS(want) && hdr.type == want[next]) {
            next++;
        }
        if (hdr.type == VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING) {
            g_assert_cmpuint(e.command.backing_size, ==, BYTES);
            g_assert_cmpuint(e.size, ==, sizeof(struct virtio_gpu_resource_attach_backing));
        }
    }
    g_assert_cmpuint(next, ==, G_N_ELEMENTS(want));
    g_assert_cmpuint(memory, ==, BYTES);
}

static void test_play(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Recording) r = recording_read(recorded(), &error);
    uint32_t pixels[SIDE * SIDE];
    struct iovec iov = { pixels, sizeof(pixels) };
    struct virgl_box box = { .w = SIDE, .h = SIDE, .d = 1 };
    PlayerResult result;

    g_assert_no_error(error);
    g_assert_true(bare_start(NULL, &error));
    g_assert_no_error(error);
    player_play(r, &result);
    g_assert_cmpuint(result.refused, ==, 0);
    g_assert_cmpuint(result.submits, ==, 1);
    virgl_renderer_force_ctx_0();
    g_assert_cmpint(virgl_renderer_transfer_read_iov(RES, 0, 0, SIDE * 4, 0, &box, 0, &iov, 1), ==, 0);
    g_assert_cmphex(pixels[SIDE * SIDE / 2] & 0xffffff, ==, 0x123456);
}

/* What vgpu-replay --info --streams prints; to free. */
static char *words_of(const Recording *r)
{
    g_autofree char *path = g_strconcat(recorded(), ".words", NULL);
    int out = dup(STDOUT_FILENO);
    char *text = NULL;

    fflush(stdout);
    g_assert_nonnull(freopen(path, "w", stdout));
    words_print(r, true);
    fflush(stdout);
    g_assert_cmpint(dup2(out, STDOUT_FILENO), ==, STDOUT_FILENO);
    close(out);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_unlink(path);
    return text;
}

static void test_words(void)
{
    static const char *const want[] = {
        "VM 'a VM/of mine', rendered by '",
        "RESOURCE_CREATE_3D resource 1, target 2, 64x64x1,",
        "RESOURCE_ATTACH_BACKING resource 1, 16384 bytes",
        "memory of resource 1, 16384 bytes at 0",
        "TRANSFER_TO_HOST_3D context 1, resource 1, level 0, 64x64x1 at 0,0,0",
        "SUBMIT_3D context 1,",
        "CLEAR, 8 words",
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(Recording) r = recording_read(recorded(), &error);
    g_autofree char *text = NULL;

    g_assert_no_error(error);
    text = words_of(r);
    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++) {
        if (!strstr(text, want[i])) {
            g_test_fail_printf("'%s' is not in:\n%s", want[i], text);
        }
    }
}

/* Whatever is cut off or spoilt: what is there is read, and nothing else is believed. */
static void test_spoilt(void)
{
    g_autofree char *bytes = NULL, *path = g_strconcat(recorded(), ".spoilt", NULL);
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    gsize length;

    g_assert_true(g_file_get_contents(recorded(), &bytes, &length, NULL));
    for (unsigned i = 0; i < 300; i++) {
        g_autofree char *copy = g_memdup2(bytes, length);
        gsize cut = i % 3 ? length : (gsize)g_rand_int_range(rand, 0, (gint32)length);
        g_autoptr(Recording) r = NULL;
        g_autoptr(GError) error = NULL;
        RecordingEntry e;
        size_t at = 0;

        for (unsigned n = 0; i % 3 && n < 4; n++) {
            copy[g_rand_int_range(rand, 0, (gint32)length)] ^= (char)(1 << g_rand_int_range(rand, 0, 8));
        }
        g_assert_true(g_file_set_contents(path, copy, (gssize)cut, NULL));
        r = recording_read(path, &error);
        g_assert_true(r || error);
        while (r && recording_next(r, &at, &e)) {
            g_assert_true(e.data >= r->bytes->data && e.data + e.size <= r->bytes->data + r->bytes->len);
        }
        if (r && !(i % 3)) {
            g_assert_false(r->whole);
        }
    }
    g_unlink(path);
}

static void refused(const char *text, gssize length, const char *why)
{
    g_autofree char *path = g_strconcat(recorded(), ".none", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(path, text, length, NULL));
    g_assert_null(recording_read(path, &error));
    g_assert_nonnull(strstr(error->message, why));
    g_unlink(path);
}

static void test_no_recording(void)
{
    g_autoptr(GError) error = NULL;

    refused("", 0, "is no recording");
    refused("hello, world", -1, "is no recording");
    g_assert_null(recording_read("/nowhere/at.all", &error));
    g_assert_nonnull(strstr(error->message, "/nowhere/at.all"));
}

/* A folder that is not there: the VM starts, and the log says that it is not recorded. */
static void test_no_folder(void)
{
    g_autoptr(Vgpud) d = recording_vgpud("2d", "/nowhere");
    g_autoptr(Frontend) f = NULL;
    g_autofree char *log = NULL;
    off_t size;
    int fd;

    f = attach_vm(d, "quarter", "vm", 1, &fd);
    g_assert_nonnull(f);
    g_assert_true(gpu_still_works(f));
    size = lseek(d->log_fd, 0, SEEK_END);
    log = g_malloc0((gsize)size + 1);
    g_assert_cmpint(pread(d->log_fd, log, (size_t)size, 0), ==, size);
    g_assert_nonnull(strstr(log, "VM 'vm' is not recorded: cannot make a file in '/nowhere'"));
    g_clear_pointer(&f, frontend_free);
    close(fd);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/record/file", test_file);
    g_test_add_func("/record/commands", test_commands);
    g_test_add_func("/record/words", test_words);
    g_test_add_func("/record/play", test_play);
    g_test_add_func("/record/spoilt", test_spoilt);
    g_test_add_func("/record/no-recording", test_no_recording);
    g_test_add_func("/record/no-folder", test_no_folder);
    ret = g_test_run();
    g_unlink(recorded());
    return ret;
}
