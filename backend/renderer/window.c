/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See window.h for the theory. */
#include "window.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/virtio_gpu.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "device.h"
#include "log.h"

#define PAGE 4096u

typedef struct WindowMap {
    unsigned refs; /* being placed, and each order */
    uint64_t id, offset, size;
    uint64_t charged; /* to refund at its end */
} WindowMap;

typedef struct WindowOrder {
    uint64_t serial;
    WindowMap *map;
    bool unmap;
    RendererMemory memory; /* of a map */
    uint64_t fence;        /* that waits for it, 0: none */
} WindowOrder;

static int window_compare(gconstpointer a, gconstpointer b, gpointer unused)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void window_init(Window *w)
{
    g_mutex_init(&w->lock);
    w->placed = g_tree_new_full(window_compare, NULL, NULL, NULL);
    w->orders = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_queue_init(&w->prepared);
}

/* Lock held.  The bytes to refund, when that was the last anybody held of it. */
static uint64_t window_unref(Window *w, WindowMap *m)
{
    uint64_t charged = m->charged;

    if (--m->refs) {
        return 0;
    }
    w->maps--;
    g_free(m);
    return charged;
}

/* Lock held.  Somebody else holds a reference; its resource pays for it. */
static void window_unplace(Window *w, WindowMap *m)
{
    if (g_tree_lookup(w->placed, &m->offset) == m) {
        g_tree_remove(w->placed, &m->offset);
        window_unref(w, m);
    }
}

/* Lock held.  NULL: QEMU refused it, or it is unmapped. */
static WindowMap *window_find(Window *w, const WindowPlace *place)
{
    WindowMap *m = g_tree_lookup(w->placed, &place->offset);

    return m && m->id == place->id ? m : NULL;
}

/* Lock held. */
static bool window_overlaps(Window *w, uint64_t offset, uint64_t size)
{
    GTreeNode *after = g_tree_lower_bound(w->placed, &offset);
    GTreeNode *before = after ? g_tree_node_previous(after) : g_tree_node_last(w->placed);
    const WindowMap *m;

    if (after) {
        m = g_tree_node_value(after);
        if (m->offset < offset + size) {
            return true;
        }
    }
    if (before) {
        m = g_tree_node_value(before);
        return offset < m->offset + m->size;
    }
    return false;
}

/* Lock held. */
static uint32_t window_check(Window *w, uint64_t offset, uint64_t size)
{
    if (offset % PAGE || !size || size % PAGE || offset > w->size || size > w->size - offset) {
        log_guest("0x%" PRIx64 " +0x%" PRIx64 " is no place in the window of 0x%" PRIx64 " bytes", offset,
                  size, w->size);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (window_overlaps(w, offset, size)) {
        log_guest("0x%" PRIx64 " +0x%" PRIx64 " of the window is in use", offset, size);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (w->maps >= VGPU_CHANNEL_BLOB_MAPS) {
        log_guest("there are %u blobs in the window already", VGPU_CHANNEL_BLOB_MAPS);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint64_t fd_size(int fd, bool dmabuf)
{
    struct stat st;
    off_t end;

    if (!dmabuf) {
        /* its last page is there in whole */
        return fstat(fd, &st) == 0 ? ((uint64_t)st.st_size + PAGE - 1) / PAGE * PAGE : 0;
    }
    end = lseek(fd, 0, SEEK_END);
    return end < 0 ? 0 : (uint64_t)end;
}

bool window_can_show(int fd, uint64_t offset, uint64_t size)
{
    struct statfs fs;
    bool dmabuf;
    uint64_t end;
    int seals;

    if (fd < 0 || offset % PAGE || fstatfs(fd, &fs) < 0) {
        return false;
    }
    dmabuf = (unsigned)fs.f_type == DMA_BUF_MAGIC;
    if (!dmabuf) {
        seals = (unsigned)fs.f_type == TMPFS_MAGIC ? fcntl(fd, F_GET_SEALS) : -1;
        if (seals < 0 || (!(seals & F_SEAL_SHRINK) && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)) {
            return false;
        }
    }
    end = fd_size(fd, dmabuf);
    return offset <= end && size <= end - offset;
}

uint32_t window_map(Device *d, uint64_t offset, uint64_t size, const RendererMemory *memory,
                    WindowPlace *place)
{
    Window *w = &d->window;
    WindowOrder *o;
    WindowMap *m;
    uint32_t code;

    if (!window_can_show(memory->fd, memory->offset, size)) {
        log_guest("this host cannot share memory of that kind with the guest");
        close(memory->fd);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    g_mutex_lock(&w->lock);
    code = window_check(w, offset, size);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        g_mutex_unlock(&w->lock);
        close(memory->fd);
        return code;
    }
    m = g_new0(WindowMap, 1);
    *m = (WindowMap){ .refs = 2, .id = ++w->serial, .offset = offset, .size = size };
    w->maps++;
    g_tree_insert(w->placed, &m->offset, m);
    g_mutex_unlock(&w->lock);

    o = g_new0(WindowOrder, 1);
    *o = (WindowOrder){ .serial = m->id, .map = m, .memory = *memory };
    g_queue_push_tail(&w->prepared, o);
    *place = (WindowPlace){ m->id, offset };
    return code;
}

bool window_has(Window *w, const WindowPlace *place)
{
    bool has;

    g_mutex_lock(&w->lock);
    has = window_find(w, place) != NULL;
    g_mutex_unlock(&w->lock);
    return has;
}

void window_unmap(Device *d, const WindowPlace *place, uint64_t charged)
{
    Window *w = &d->window;
    WindowOrder *o;
    WindowMap *m;

    g_mutex_lock(&w->lock);
    m = window_find(w, place);
    if (!m) {
        g_mutex_unlock(&w->lock);
        ledger_refund(&d->ledger, charged);
        return;
    }
    g_tree_remove(w->placed, &m->offset); /* its reference is the order's now */
    m->charged = charged;
    o = g_new0(WindowOrder, 1);
    *o = (WindowOrder){ .serial = ++w->serial, .map = m, .unmap = true, .memory.fd = -1 };
    g_mutex_unlock(&w->lock);
    g_queue_push_tail(&w->prepared, o);
}

static void window_say(Device *d, WindowOrder *o)
{
    const WindowMap *m = o->map;

    if (o->unmap) {
        channel_blob_unmap(d->channel, &(struct vgpu_channel_blob_unmap){
                                           .serial = o->serial,
                                           .offset = m->offset,
                                           .size = m->size,
                                       });
    } else {
        channel_blob_map(d->channel,
                         &(struct vgpu_channel_blob_map){
                             .serial = o->serial,
                             .offset = m->offset,
                             .size = m->size,
                             .fd_offset = o->memory.offset,
                             .flags = VGPU_BLOB_MAP_RW,
                         },
                         o->memory.fd); /* ownership transferred */
        o->memory.fd = -1;
    }
}

/* An order can be answered as soon as it is said: the lock keeps it until we are through with it. */
void window_send(Device *d, uint64_t fence)
{
    Window *w = &d->window;
    WindowOrder *last = g_queue_peek_tail(&w->prepared);

    if (!last) {
        return;
    }
    last->fence = fence;
    while (!g_queue_is_empty(&w->prepared)) {
        WindowOrder *o = g_queue_pop_head(&w->prepared);

        g_mutex_lock(&w->lock);
        g_hash_table_insert(w->orders, &o->serial, o);
        window_say(d, o);
        g_mutex_unlock(&w->lock);
    }
}

/* Lock held. */
static uint64_t window_order_free(Window *w, WindowOrder *o)
{
    /* the order's own reference: the place in the window had another */
    uint64_t refund = window_unref(w, o->map); /* NOLINT(clang-analyzer-unix.Malloc) */

    if (o->memory.fd >= 0) {
        close(o->memory.fd);
    }
    g_free(o);
    return refund;
}

void window_cancel(Device *d)
{
    Window *w = &d->window;
    WindowOrder *o;

    while ((o = g_queue_pop_head(&w->prepared))) {
        uint64_t refund;

        g_mutex_lock(&w->lock);
        if (!o->unmap) {
            window_unplace(w, o->map);
        }
        refund = window_order_free(w, o);
        g_mutex_unlock(&w->lock);
        ledger_refund(&d->ledger, refund);
    }
}

static gboolean window_drop_place(gpointer key, gpointer value, gpointer window)
{
    window_unref(window, value); /* its resource paid for it and has gone */
    return FALSE;
}

void window_reset(Device *d)
{
    Window *w = &d->window;
    GHashTableIter iter;
    gpointer order;
    uint64_t refund = 0;

    window_cancel(d);
    g_mutex_lock(&w->lock);
    g_hash_table_iter_init(&iter, w->orders);
    while (g_hash_table_iter_next(&iter, NULL, &order)) {
        g_hash_table_iter_remove(&iter);
        refund += window_order_free(w, order);
    }
    g_tree_foreach(w->placed, window_drop_place, w);
    g_tree_remove_all(w->placed);
    g_mutex_unlock(&w->lock);
    ledger_refund(&d->ledger, refund);
}

void window_set_size(Window *w, uint64_t size)
{
    g_mutex_lock(&w->lock);
    w->size = size;
    g_mutex_unlock(&w->lock);
}

void window_done(Device *d, uint64_t serial, uint32_t status)
{
    Window *w = &d->window;
    uint64_t refund = 0, fence;
    WindowOrder *o;
    bool refused;

    g_mutex_lock(&w->lock);
    o = g_hash_table_lookup(w->orders, &serial);
    if (!o) {
        g_mutex_unlock(&w->lock);
        return; /* from before a reset */
    }
    g_hash_table_remove(w->orders, &o->serial);
    fence = o->fence;
    refused = !o->unmap && status != VGPU_BLOB_OK;
    if (refused) {
        window_unplace(w, o->map);
    }
    refund = window_order_free(w, o);
    g_mutex_unlock(&w->lock);

    ledger_refund(&d->ledger, refund);
    if (refused) {
        log_guest("QEMU could not map a blob for lack of memory");
    }
    if (fence) {
        timeline_done_as(d->vhost, fence, refused ? VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY : 0);
    }
}
