/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's graphics saved (saved.c) and read again: what was saved comes back, and
 * whatever else is in the file is an error with a sentence, or is well-formed.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "estate-checks.h"
#include "renderer/saved.h"

#define COUNT 12

static ResourceShape picture(uint32_t side)
{
    return (ResourceShape){ .target = 2,
                            .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
                            .bind = 2,
                            .width = side,
                            .height = side + 1,
                            .depth = 1,
                            .array_size = 1,
                            .flags = VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP };
}

static bool append(void *opaque, const void *bytes, size_t size)
{
    g_byte_array_append(opaque, bytes, (guint)size);
    return true;
}

/* A table with pictures, a blob, a resource of OpenGL, a scanout, a pointer and chains in flight. */
static GByteArray *save(void)
{
    GByteArray *bytes = g_byte_array_new();
    SavedOut out = { .put = append, .opaque = bytes };
    int fd = memfd_create("table", MFD_CLOEXEC);
    struct TablePages pages[40] = { 0 };
    Table *t;
    uint32_t slot;

    g_assert_cmpint(ftruncate(fd, TABLE_SIZE), ==, 0);
    t = table_new(fd, NULL);
    g_assert_nonnull(t);
    for (uint32_t i = 0; i < COUNT; i++) {
        ResourceShape shape = picture(i + 1);

        slot = table_resource_new(t, i + 1, &shape, 4096, true);
        pages[i] = (struct TablePages){ 4096ull * i, 4096, 0 };
        table_resource_backing(t, slot, pages, i % 3 ? i + 1 : 0);
    }
    slot = table_resource_new(t, 100, &(ResourceShape){ 0 }, 0, false);
    table_resource_blob(t, slot, VIRTIO_GPU_BLOB_MEM_GUEST, VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE, 40 * 4096);
    table_resource_backing(t, slot, pages, 40);
    table_resource_uuid(t, slot, (const uint8_t *)"0123456789abcdef");
    slot = table_resource_new(t, 101, &(ResourceShape){ 0, 64, 16, 65536, 1, 1, 1, 0, 0, 0 }, 65536, false);
    table_scanout(t, 1, 3, &(Rect){ 0, 1, 2, 3 }, NULL);
    table_cursor(t, 1, &(struct TableCursor){ 5, 10, 20, 1, 2, true });
    table_ring(t, 0, 65530);
    table_popped(t, 0, 7, 0);
    table_popped(t, 0, 9, 1);

    saved_put_table(&out, table_bytes(t), table_bytes(t) + TABLE_RINGS_AT, 2);
    for (uint32_t i = 0; i < COUNT; i++) {
        g_autofree uint8_t *pixels = g_malloc((i + 1) * (i + 2) * 4);

        memset(pixels, (int)i, (i + 1) * (i + 2) * 4);
        saved_put_picture(&out, i + 1, i + 1, i + 2);
        saved_put(&out, pixels, (i + 1) * (i + 2) * 4);
    }
    saved_put_end(&out);
    g_assert_false(out.failed);
    close(fd);
    return bytes;
}

static Estate *load(const uint8_t *bytes, size_t size, GError **error)
{
    int fd = memfd_create("saved", MFD_CLOEXEC);
    Estate *e;

    g_assert_cmpint(write(fd, bytes, size), ==, size);
    e = saved_read(fd, 3, error);
    close(fd);
    g_assert_true(!e == (error && *error));
    return e;
}

static void test_comes_back(void)
{
    g_autoptr(GByteArray) bytes = save();
    g_autoptr(GError) error = NULL;
    Estate *e = load(bytes->data, bytes->len, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(e->contexts, ==, 2);
    g_assert_cmpuint(e->resources->len, ==, COUNT + 2);
    g_assert_null(estate_fault(e, e->map));
    for (uint32_t i = 0; i < COUNT; i++) {
        const EstateResource *r = &g_array_index(e->resources, EstateResource, i);
        uint8_t pixel[4];

        g_assert_cmpuint(r->id, ==, i + 1);
        g_assert_true(r->is_2d);
        g_assert_cmpuint(r->shape.height, ==, i + 2);
        g_assert_cmpuint(r->pages_count, ==, i % 3 ? i + 1 : 0);
        g_assert_cmpint(pread(e->pixels_fd, pixel, 4, (off_t)r->pixels_at), ==, 4);
        g_assert_cmpuint(pixel[0], ==, i);
        g_assert_cmpint(pread(e->pixels_fd, pixel, 4, (off_t)r->pixels_at + (i + 1) * (i + 2) * 4 - 4), ==,
                        4);
        g_assert_cmpuint(pixel[3], ==, i);
    }
    {
        const EstateResource *r = &g_array_index(e->resources, EstateResource, COUNT);

        g_assert_cmpuint(r->id, ==, 100);
        g_assert_cmpuint(r->blob_size, ==, 40 * 4096);
        g_assert_cmpuint(r->pages_count, ==, 40);
        g_assert_cmpuint(r->pages[11].gpa, ==, 11 * 4096);
        g_assert_cmpmem(r->uuid, 16, "0123456789abcdef", 16);
        g_assert_cmpuint(r->pixels_at, ==, 0);
    }
    g_assert_cmpuint(e->scanout[1].resource_id, ==, 3);
    g_assert_cmpuint(e->scanout[1].height, ==, 3);
    g_assert_cmpuint(e->scanout[1].cursor.resource_id, ==, 5);
    g_assert_cmpuint(e->scanout[1].cursor.hot_y, ==, 2);
    g_assert_cmpuint(e->queue[0].count, ==, 2);
    g_assert_cmpuint(e->queue[0].chain[0].head, ==, 7);
    g_assert_cmpuint(e->queue[0].chain[1].tries, ==, 1);
    g_assert_cmpuint(e->queue[0].ring.used_idx, ==, 65530);
    estate_free(e);
}

/* Wherever it ends early, and behind its end. */
static void test_truncated(void)
{
    g_autoptr(GByteArray) bytes = save();

    for (guint n = 0; n < bytes->len; n += g_test_slow() ? 1 : 7) {
        g_autoptr(GError) error = NULL;

        g_assert_null(load(bytes->data, n, &error));
        g_assert_nonnull(strstr(error->message, "damaged"));
    }
    g_byte_array_append(bytes, (const uint8_t *)"x", 1);
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(load(bytes->data, bytes->len, &error));
        g_assert_nonnull(strstr(error->message, "or goes on"));
    }
}

static void test_another_version(void)
{
    g_autoptr(GByteArray) bytes = save();
    g_autoptr(GError) error = NULL;

    bytes->data[4]++;
    g_assert_null(load(bytes->data, bytes->len, &error));
    g_assert_nonnull(strstr(error->message, "were saved in form 2"));
}

/* Bytes anywhere: an error, or something that holds. */
static void test_random_rubbish(void)
{
    g_autoptr(GByteArray) good = save();
    unsigned rounds = g_test_slow() ? 100000 : 3000, errors = 0;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), err = dup(2);

    dup2(null, 2); /* a sentence for each */
    for (unsigned round = 0; round < rounds; round++) {
        g_autofree uint8_t *bad = g_memdup2(good->data, good->len);
        g_autoptr(GError) error = NULL;
        const char *fault = NULL;
        Estate *e;

        for (int hits = g_test_rand_int_range(1, 6); hits > 0; hits--) {
            bad[g_test_rand_int_range(0, (gint32)good->len)] =
                (uint8_t)(g_test_rand_bit() ? g_test_rand_int() : g_test_rand_int_range(0, 8));
        }
        e = load(bad, good->len, &error);
        if (e) {
            fault = estate_fault(e, e->map);
            estate_free(e);
        }
        errors += !e;
        if (fault) {
            dup2(err, 2);
            g_error("round %u: %s", round, fault);
        }
    }
    dup2(err, 2);
    close(null);
    close(err);
    g_assert_cmpuint(errors, >, rounds / 10);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/saved/comes-back", test_comes_back);
    g_test_add_func("/saved/truncated", test_truncated);
    g_test_add_func("/saved/another-version", test_another_version);
    g_test_add_func("/saved/random-rubbish", test_random_rubbish);
    return g_test_run();
}
