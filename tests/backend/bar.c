/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bar.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096

Bar *bar_new(Frontend *f, uint64_t size)
{
    struct vgpu_channel_window w = { .size = size };
    Bar *b = g_new0(Bar, 1);

    b->f = f;
    b->size = size;
    b->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(b->base != MAP_FAILED);
    b->maps = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    g_queue_init(&b->held);
    f->bar = b;
    /* QEMU sends it before the rings start; these run already */
    g_assert_true(channel_send(&f->channel, VGPU_CHANNEL_WINDOW, &w, sizeof(w)));
    g_assert_true(channel_barrier(&f->channel, 10000));
    return b;
}

void bar_free(Bar *b)
{
    b->f->bar = NULL;
    munmap(b->base, b->size);
    g_hash_table_unref(b->maps);
    g_queue_clear_full(&b->held, g_free);
    g_free(b);
}

static void bar_blank(Bar *b, uint64_t offset, uint64_t size)
{
    void *p = mmap(b->base + offset, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    g_assert_true(p != MAP_FAILED);
}

static void bar_answer(Bar *b, uint64_t serial, uint32_t status)
{
    struct vgpu_channel_blob_done done = { .serial = serial, .status = status };

    if (b->hold) {
        g_queue_push_tail(&b->held, g_memdup2(&done, sizeof(done)));
    } else {
        channel_send(&b->f->channel, VGPU_CHANNEL_BLOB_DONE, &done, sizeof(done));
    }
}

static bool bar_overlaps(Bar *b, uint64_t offset, uint64_t size)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, b->maps);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        uint64_t at = *(uint64_t *)key, n = *(uint64_t *)value;

        if (offset < at + n && at < offset + size) {
            return true;
        }
    }
    return false;
}

/* Whether QEMU would put up with it. */
static bool bar_fits(Bar *b, const struct vgpu_channel_blob_map *m, int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    return m->flags == VGPU_BLOB_MAP_RW && m->size && !((m->offset | m->size | m->fd_offset) % PAGE) &&
           m->offset <= b->size && m->size <= b->size - m->offset && !bar_overlaps(b, m->offset, m->size) &&
           g_hash_table_size(b->maps) < VGPU_CHANNEL_BLOB_MAPS && seals >= 0 && (seals & F_SEAL_SHRINK) &&
           fstat(fd, &st) == 0 && m->fd_offset <= (uint64_t)st.st_size &&
           m->size <= (uint64_t)st.st_size - m->fd_offset;
}

static void bar_map(Bar *b, const ChannelMsg *msg)
{
    const struct vgpu_channel_blob_map *m = &msg->blob_map;
    void *p;

    if (m->generation != b->f->generation) {
        b->stale++;
        return;
    }
    b->mapped++;
    if (!bar_fits(b, m, msg->fd)) {
        g_test_fail_printf("QEMU would end a renderer for BLOB_MAP 0x%" G_GINT64_MODIFIER
                           "x +0x%" G_GINT64_MODIFIER "x of 0x%" G_GINT64_MODIFIER "x flags 0x%x",
                           m->offset, m->size, m->fd_offset, m->flags);
        return;
    }
    if (b->refuse) {
        b->refuse--;
        bar_answer(b, m->serial, VGPU_BLOB_NO_MEMORY);
        return;
    }
    p = mmap(b->base + m->offset, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, msg->fd,
             m->fd_offset);
    g_assert_true(p != MAP_FAILED);
    g_hash_table_insert(b->maps, g_memdup2(&m->offset, 8), g_memdup2(&m->size, 8));
    bar_answer(b, m->serial, VGPU_BLOB_OK);
}

static void bar_unmap(Bar *b, const struct vgpu_channel_blob_unmap *m)
{
    const uint64_t *size = g_hash_table_lookup(b->maps, &m->offset);

    if (m->generation != b->f->generation) {
        b->stale++;
        return;
    }
    b->unmapped++;
    if (m->pad || (size && *size != m->size)) {
        g_test_fail_printf("BLOB_UNMAP is not of what was mapped");
        return;
    }
    if (size) {
        bar_blank(b, m->offset, m->size);
        g_hash_table_remove(b->maps, &m->offset);
    }
    bar_answer(b, m->serial, size ? VGPU_BLOB_OK : VGPU_BLOB_NOT_MAPPED);
}

/* Maps and unmaps in the order they came in. */
static ChannelMsg *bar_next(Channel *c)
{
    for (GList *l = c->messages.head; l; l = l->next) {
        ChannelMsg *m = l->data;

        if (m->request == VGPU_CHANNEL_BLOB_MAP || m->request == VGPU_CHANNEL_BLOB_UNMAP) {
            g_queue_delete_link(&c->messages, l);
            return m;
        }
    }
    return NULL;
}

void bar_pump(Bar *b)
{
    ChannelMsg *m;

    channel_pump(&b->f->channel, 0);
    while ((m = bar_next(&b->f->channel))) {
        if (m->request == VGPU_CHANNEL_BLOB_MAP) {
            bar_map(b, m);
        } else {
            bar_unmap(b, &m->blob_unmap);
        }
        channel_msg_free(m);
    }
}

bool bar_wait(Bar *b, unsigned mapped, unsigned unmapped, int timeout)
{
    int64_t deadline = g_get_monotonic_time() + timeout * 1000ll;

    for (;;) {
        bar_pump(b);
        if (b->mapped >= mapped && b->unmapped >= unmapped) {
            return true;
        }
        if (g_get_monotonic_time() > deadline || b->f->channel.failed) {
            return false;
        }
        channel_pump(&b->f->channel, 10);
    }
}

void bar_release(Bar *b)
{
    struct vgpu_channel_blob_done *done;

    b->hold = false;
    while ((done = g_queue_pop_head(&b->held))) {
        channel_send(&b->f->channel, VGPU_CHANNEL_BLOB_DONE, done, sizeof(*done));
        g_free(done);
    }
}

void bar_revoke(Bar *b)
{
    bar_blank(b, 0, b->size);
    g_hash_table_remove_all(b->maps);
    g_queue_clear_full(&b->held, g_free);
}

uint32_t bar_word(const Bar *b, uint64_t offset)
{
    uint32_t word;

    memcpy(&word, b->base + offset, sizeof(word));
    return word;
}
