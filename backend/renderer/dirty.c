/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dirty.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "log.h"

#define LOG_PAGE 4096u

/* A range past the log is none that QEMU knows of, and nothing to be sent. */
static void dirty_range(Vhost *v, uint64_t gpa, uint64_t bytes)
{
    uint64_t pages = v->dirty.size * 8, page = gpa / LOG_PAGE, end;

    if (!bytes || bytes > UINT64_MAX - gpa) {
        return;
    }
    end = MIN((gpa + bytes - 1) / LOG_PAGE + 1, pages);
    for (; page < end; page++) {
        __atomic_fetch_or(&v->dirty.map[page / 8], (uint8_t)(1u << page % 8), __ATOMIC_SEQ_CST);
    }
}

static bool dirty_is_kept(const Vhost *v)
{
    return g_atomic_int_get(&v->dirty.on) && v->dirty.map;
}

static void dirty_drop(Vhost *v)
{
    if (v->dirty.map) {
        munmap(v->dirty.map, v->dirty.size);
    }
    v->dirty.map = NULL;
    v->dirty.size = 0;
}

bool dirty_set_log(Vhost *v, const VhostUserMsg *msg)
{
    uint64_t size = msg->payload.log.mmap_size, offset = msg->payload.log.mmap_offset;
    struct stat st;
    void *map;

    if (msg->fd_num != 1 || msg->size < sizeof(msg->payload.log) || fstat(msg->fds[0], &st) < 0 || !size ||
        offset > (uint64_t)st.st_size || size > (uint64_t)st.st_size - offset) {
        log_say("SET_LOG_BASE with %d descriptors and %" G_GUINT64_FORMAT " bytes refused", msg->fd_num,
                size);
        return false;
    }
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, msg->fds[0], (off_t)offset);
    if (map == MAP_FAILED) {
        log_say("the log of written pages cannot be mapped");
        return false;
    }
    dirty_drop(v);
    v->dirty.map = map;
    v->dirty.size = size;
    return true;
}

void dirty_enable(Vhost *v, bool on)
{
    g_atomic_int_set(&v->dirty.on, on);
    if (!on) {
        dirty_drop(v);
    }
}

void dirty_iov(Vhost *v, const GuestMemory *m, const struct iovec *iov, unsigned count, uint64_t bytes)
{
    for (unsigned i = 0; dirty_is_kept(v) && bytes && i < count; i++) {
        uint64_t left = MIN(bytes, iov[i].iov_len);
        const uint8_t *p = iov[i].iov_base;

        bytes -= left;
        while (left) { /* a piece may lie in two regions that we have side by side */
            uint64_t gpa, n = left;

            if (!guest_memory_gpa(m, p, &gpa, &n)) {
                break;
            }
            dirty_range(v, gpa, n);
            p += n;
            left -= n;
        }
    }
}

void dirty_ring(Vhost *v, unsigned q)
{
    const VuVirtq *vq = vu_get_queue(&v->dev, (int)q);

    if (dirty_is_kept(v) && vq->vring.num) {
        dirty_range(v, vq->vring.log_guest_addr, 6 + 8ull * vq->vring.num);
    }
}

static void dirty_everything(Vhost *v)
{
    for (unsigned i = 0; i < v->memory->count; i++) {
        dirty_range(v, v->memory->region[i]->gpa, v->memory->region[i]->size);
    }
}

/*
 * From the table, as the resources are the render thread's.  It may be changing
 * it, which costs a page too many: what it gives back meanwhile it marks itself.
 */
void dirty_backings(Vhost *v)
{
    const uint8_t *table = table_bytes(v->table);
    const struct TablePages *pages = (const struct TablePages *)(table + TABLE_PAGES_AT);

    for (uint32_t slot = 0; dirty_is_kept(v) && slot < TABLE_RESOURCES; slot++) {
        const struct TableResource *r = (const struct TableResource *)(table + TABLE_RESOURCES_AT) + slot;
        uint32_t first = r->pages_at, count = r->pages_count;

        if (!r->state || r->is_2d || r->backing == TABLE_BACKING_NONE) {
            continue;
        }
        if (r->backing == TABLE_BACKING_LOST) {
            dirty_everything(v);
            return;
        }
        for (uint32_t i = 0; first < TABLE_PAGES && i < MIN(count, TABLE_PAGES - first); i++) {
            dirty_range(v, pages[first + i].gpa, pages[first + i].length);
        }
    }
}

void dirty_backing(Vhost *v, const GuestMemory *m, const struct iovec *iov, unsigned count)
{
    if (g_atomic_int_get(&v->dirty.on)) {
        g_mutex_lock(&v->lock);
        dirty_iov(v, m, iov, count, UINT64_MAX);
        g_mutex_unlock(&v->lock);
    }
}
