/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "resource.h"

#include <inttypes.h>
#include <string.h>

#include "blob.h"
#include "dirty.h"
#include "log.h"
#include "scanout.h"

static void resource_drop_backing(Device *d, Resource *r)
{
    if (r->has_backing && !r->is_2d) {
        dirty_backing(d->vhost, r->memory, r->iov, r->iov_count); /* the last moment, see dirty.h */
    }
    d->backing_entries -= r->pages_count;
    g_clear_pointer(&r->pages, g_free);
    g_clear_pointer(&r->iov, g_free);
    g_clear_pointer(&r->memory, guest_memory_unref);
    r->pages_count = r->iov_count = 0;
    r->backing_size = 0;
    r->has_backing = false;
}

/* Our part of a resource; the renderer's part went before. */
void resource_drop(Device *d, Resource *r)
{
    resource_drop_backing(d, r);
    blob_free(r);
    table_resource_free(d->table, r->slot);
    ledger_refund(&d->ledger, r->charged);
    g_free(r);
}

void resources_init(Device *d)
{
    d->resources = g_hash_table_new(NULL, NULL);
    d->gone = g_hash_table_new(NULL, NULL);
}

void resource_set_gone(Device *d, uint32_t id)
{
    g_hash_table_add(d->gone, GUINT_TO_POINTER(id));
}

bool resource_is_gone(Device *d, uint32_t id)
{
    return g_hash_table_contains(d->gone, GUINT_TO_POINTER(id));
}

bool resource_forget_gone(Device *d, uint32_t id)
{
    return g_hash_table_remove(d->gone, GUINT_TO_POINTER(id));
}

void resource_set_uuid(Device *d, Resource *r, const uint8_t uuid[16])
{
    memcpy(r->uuid, uuid, sizeof(r->uuid));
    r->has_uuid = true;
    table_resource_uuid(d->table, r->slot, r->uuid);
}

Resource *resource_find(Device *d, uint32_t id)
{
    return g_hash_table_lookup(d->resources, GUINT_TO_POINTER(id));
}

bool resource_id_free(Device *d, uint32_t id)
{
    if (!id || resource_find(d, id)) {
        log_guest("resource id %u is %s", id, id ? "taken" : "not one");
        return false;
    }
    return true;
}

Resource *resource_new(Device *d, uint32_t id, const ResourceShape *shape, bool is_2d, uint64_t bytes,
                       uint32_t *code)
{
    Resource *r;
    uint32_t slot;

    if (!resource_id_free(d, id)) {
        *code = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
        return NULL;
    }
    *code = VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    if (!ledger_charge(&d->ledger, bytes)) {
        log_guest("resource %u of %" PRIu64 " KiB refused: %" PRIu64 " of %" PRIu64
                  " KiB of GPU memory are in use",
                  id, bytes / 1024, ledger_used(&d->ledger) / 1024, ledger_limit(&d->ledger) / 1024);
        return NULL;
    }
    slot = table_resource_new(d->table, id, shape, bytes, is_2d);
    if (slot == G_MAXUINT32) {
        log_guest("resource %u refused: there are %u already", id, TABLE_RESOURCES);
        ledger_refund(&d->ledger, bytes);
        return NULL;
    }
    r = g_new0(Resource, 1);
    r->id = id;
    r->is_2d = is_2d;
    r->shape = *shape;
    r->charged = bytes;
    r->slot = slot;
    *code = VIRTIO_GPU_RESP_OK_NODATA;
    return r;
}

void resource_publish(Device *d, Resource *r)
{
    resource_forget_gone(d, r->id);
    g_hash_table_insert(d->resources, GUINT_TO_POINTER(r->id), r);
    stats_add(&d->stats->resources, 1);
}

uint32_t resource_create(Device *d, uint32_t id, const ResourceShape *shape, bool is_2d)
{
    Resource *r;
    uint64_t bytes;
    uint32_t code;

    if (!resource_id_free(d, id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    if (!resource_size(shape, &bytes)) {
        log_guest("resource %u: %ux%ux%u, format %u, target %u is not a shape", id, shape->width,
                  shape->height, shape->depth, shape->format, shape->target);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    r = resource_new(d, id, shape, is_2d, bytes, &code);
    if (!r) {
        return code;
    }
    code = d->ops->resource_create(d->renderer, id, shape);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        resource_drop(d, r);
        return code;
    }
    r->in_renderer = true;
    resource_publish(d, r);
    return code;
}

/* The renderer's part of its backing. */
static void resource_let_go(Device *d, Resource *r)
{
    if (r->in_renderer) {
        d->ops->backing_detach(d->renderer, r->id);
    }
}

void resource_destroy(Device *d, Resource *r)
{
    scanout_forget_resource(d, r);
    blob_unmap_for_good(d, r);
    if (r->has_backing) {
        resource_let_go(d, r);
    }
    if (r->in_renderer) {
        d->ops->resource_destroy(d->renderer, r->id);
    }
    g_hash_table_remove(d->resources, GUINT_TO_POINTER(r->id));
    stats_add(&d->stats->resources, -1);
    resource_drop(d, r);
}

void resources_forget(Device *d)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, d->resources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_hash_table_iter_remove(&iter);
        resource_drop(d, value);
    }
    g_hash_table_remove_all(d->gone);
    vgpu_stats_set(&d->stats->resources, 0);
}

/*
 * r->pages in m, as iovecs.  False when a page is not in RAM; then nothing
 * changed.  What is adjacent for us too becomes one iovec.
 */
static bool resource_translate(const Resource *r, GuestMemory *m, struct iovec **iov_out, uint32_t *count_out,
                               uint64_t *size_out)
{
    g_autoptr(GArray) iov = g_array_new(FALSE, FALSE, sizeof(struct iovec));
    uint64_t size = 0;

    for (uint32_t i = 0; i < r->pages_count; i++) {
        uint64_t gpa = r->pages[i].gpa, left = r->pages[i].length;

        while (left) {
            uint64_t len = left;
            uint8_t *p = guest_memory_at(m, gpa, &len);
            struct iovec *last = iov->len ? &g_array_index(iov, struct iovec, iov->len - 1) : NULL;

            if (!p) {
                return false;
            }
            if (last && (uint8_t *)last->iov_base + last->iov_len == p) {
                last->iov_len += len;
            } else {
                struct iovec one = { .iov_base = p, .iov_len = len };
                g_array_append_val(iov, one);
            }
            gpa += len;
            left -= len;
            size += len;
        }
    }
    *count_out = iov->len;
    *size_out = size;
    *iov_out = (struct iovec *)g_array_free(g_steal_pointer(&iov), FALSE);
    return true;
}

uint32_t resource_take_pages(Device *d, Resource *r, const struct virtio_gpu_mem_entry *entries,
                             uint32_t count)
{
    if (!count || count > BACKING_ENTRIES_MAX) {
        log_guest("resource %u: a backing of %u entries (1 to %u are possible)", r->id, count,
                  BACKING_ENTRIES_MAX);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (count > BACKING_ENTRIES_ALL - d->backing_entries) {
        log_guest("resource %u: all backings together would have more than %u entries", r->id,
                  BACKING_ENTRIES_ALL);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    r->pages = g_try_new0(struct TablePages, count);
    if (!r->pages) {
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    r->pages_count = count;
    d->backing_entries += count;
    for (uint32_t i = 0; i < count; i++) {
        r->pages[i].gpa = entries[i].addr;
        r->pages[i].length = entries[i].length;
    }
    r->memory = vhost_memory(d->vhost);
    if (!resource_translate(r, r->memory, &r->iov, &r->iov_count, &r->backing_size)) {
        log_guest("resource %u: a page of its backing is not in guest memory", r->id);
        resource_drop_backing(d, r);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void resource_keep_pages(Device *d, Resource *r)
{
    r->has_backing = true;
    table_resource_backing(d->table, r->slot, r->pages, r->pages_count);
}

uint32_t resource_attach(Device *d, Resource *r, const struct virtio_gpu_mem_entry *entries, uint32_t count)
{
    uint32_t code;

    if (r->has_backing || r->blob) {
        log_guest("resource %u has a backing already, or is a blob", r->id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    code = resource_take_pages(d, r, entries, count);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        return code;
    }
    code = d->ops->backing_attach(d->renderer, r->id, r->iov, r->iov_count);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        resource_drop_backing(d, r);
        return code;
    }
    resource_keep_pages(d, r);
    return code;
}

void resource_detach(Device *d, Resource *r)
{
    resource_let_go(d, r);
    table_resource_backing(d->table, r->slot, NULL, 0);
    resource_drop_backing(d, r);
}

static void resource_follow(Device *d, Resource *r, GuestMemory *m)
{
    struct iovec *iov, *old = r->iov;
    uint32_t count, code;
    uint64_t size;

    if (!resource_translate(r, m, &iov, &count, &size)) {
        log_guest("resource %u lost its backing: its guest memory is gone", r->id);
        resource_detach(d, r);
        return;
    }
    if (count == r->iov_count && !memcmp(iov, old, count * sizeof(*iov))) {
        g_free(iov);
    } else {
        resource_let_go(d, r);
        r->iov = iov;
        r->iov_count = count;
        g_free(old);
        code = r->in_renderer ? d->ops->backing_attach(d->renderer, r->id, iov, count)
                              : VIRTIO_GPU_RESP_OK_NODATA;
        if (code != VIRTIO_GPU_RESP_OK_NODATA) {
            table_resource_backing(d->table, r->slot, NULL, 0);
            resource_drop_backing(d, r);
            return;
        }
    }
    guest_memory_unref(r->memory);
    r->memory = guest_memory_ref(m);
}

void resources_follow_memory(Device *d)
{
    uint32_t serial = __atomic_load_n(&d->vhost->memory_serial, __ATOMIC_RELAXED);
    GHashTableIter iter;
    gpointer value;
    GuestMemory *m;

    if (serial == d->memory_serial) {
        return;
    }
    d->memory_serial = serial;
    m = vhost_memory(d->vhost);
    g_hash_table_iter_init(&iter, d->resources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Resource *r = value;

        if (r->has_backing && r->memory != m) {
            resource_follow(d, r, m);
        }
    }
    guest_memory_unref(m);
}
