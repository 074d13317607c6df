/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "adopt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "resource.h"
#include "saved.h"

/* A table's pages are the entries of the command they came in. */
G_STATIC_ASSERT(sizeof(struct TablePages) == sizeof(struct virtio_gpu_mem_entry) &&
                offsetof(struct TablePages, gpa) == offsetof(struct virtio_gpu_mem_entry, addr) &&
                offsetof(struct TablePages, length) == offsetof(struct virtio_gpu_mem_entry, length));

/* What its resources are charged here at least; the rest is decided as for a guest's command. */
static bool fits(Device *d, const Estate *e, GError **error)
{
    uint64_t need = 0, limit = ledger_limit(&d->ledger), bytes;

    for (guint i = 0; i < e->resources->len; i++) {
        const EstateResource *r = &g_array_index(e->resources, EstateResource, i);

        need += !r->blob_mem && resource_size(&r->shape, &bytes) ? bytes : 0;
    }
    if (need > limit) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
                    "the VM has %" G_GUINT64_FORMAT
                    " MiB of graphics, and profile '%s' gives it %" G_GUINT64_FORMAT
                    " MiB here: choose a larger profile",
                    need >> 20, d->options->profile, limit >> 20);
        return false;
    }
    return true;
}

static Estate *read_estate(Device *d, int fd, const struct vgpu_channel_adopt *a, GError **error)
{
    Estate *e;

    if (a->form == VGPU_ADOPT_TABLE) {
        return estate_read(fd, a->generation, error);
    }
    e = saved_read(fd, a->generation, error);
    if (e && !fits(d, e, error)) {
        g_clear_pointer(&e, estate_free);
    }
    return e;
}

void adopt_give(Device *d, int fd, const struct vgpu_channel_adopt *a)
{
    g_autoptr(GError) error = NULL;
    Estate *e = read_estate(d, fd, a, &error);

    close(fd);
    if (a->form == VGPU_ADOPT_SAVED) {
        channel_judged(d->channel, e ? NULL : error->message);
    }
    if (!e) {
        log_say("%s: the guest's pictures are gone until it makes new ones", error->message);
        channel_adopted(d->channel, &(struct vgpu_channel_adopted){ .refused = 1 });
        return;
    }
    e->guest = (uint32_t)g_atomic_int_get(&d->vhost->generation);
    vhost_inherit(d->vhost, e->queue);
    estate_free(g_atomic_pointer_exchange(&d->adoption.given, e));
    vhost_wake(d->vhost);
}

bool adopt_pending(Device *d)
{
    return d->adoption.estate || g_atomic_pointer_get(&d->adoption.given);
}

void adopt_forget_given(Device *d)
{
    estate_free(g_atomic_pointer_exchange(&d->adoption.given, NULL));
}

void adopt_forget(Device *d, uint32_t generation)
{
    if (d->adoption.estate && d->adoption.estate->guest != generation) {
        g_clear_pointer(&d->adoption.estate, estate_free);
    }
}

static bool run(Device *d, CommandHandler *handler, Command *c)
{
    uint32_t code = handler(d, c);

    g_clear_pointer(&c->big, g_free);
    return code < VIRTIO_GPU_RESP_ERR_UNSPEC;
}

static bool make_picture(Device *d, const EstateResource *e)
{
    const ResourceShape *s = &e->shape;
    Command c = { 0 };

    if (e->is_2d) {
        c.in.create_2d.resource_id = e->id;
        c.in.create_2d.format = s->format;
        c.in.create_2d.width = s->width;
        c.in.create_2d.height = s->height;
        return run(d, command_create_2d, &c);
    }
    c.in.create_3d = (struct virtio_gpu_resource_create_3d){
        .resource_id = e->id,
        .target = s->target,
        .format = s->format,
        .bind = s->bind,
        .width = s->width,
        .height = s->height,
        .depth = s->depth,
        .array_size = s->array_size,
        .last_level = s->last_level,
        .nr_samples = s->nr_samples,
        .flags = s->flags,
    };
    return run(d, command_create_3d, &c);
}

static bool make_blob(Device *d, const EstateResource *e)
{
    Command c = { .data = (void *)e->pages,
                  .data_size = e->pages_count * (uint32_t)sizeof(struct virtio_gpu_mem_entry) };

    if (e->blob_mem != VIRTIO_GPU_BLOB_MEM_GUEST) {
        return false; /* its memory went with the context that had made it */
    }
    c.in.create_blob.resource_id = e->id;
    c.in.create_blob.blob_mem = e->blob_mem;
    c.in.create_blob.blob_flags = e->blob_flags;
    c.in.create_blob.nr_entries = e->pages_count;
    c.in.create_blob.size = e->blob_size;
    return run(d, command_create_blob, &c);
}

static bool attach(Device *d, const EstateResource *e)
{
    Command c = { .data = (void *)e->pages,
                  .data_size = e->pages_count * (uint32_t)sizeof(struct virtio_gpu_mem_entry) };

    c.in.attach.resource_id = e->id;
    c.in.attach.nr_entries = e->pages_count;
    return run(d, command_attach_backing, &c);
}

/* As many lines of a 2D picture as its backing has. */
static void read_backing(Device *d, const Resource *r)
{
    uint64_t stride = (uint64_t)r->shape.width * 4, lines = r->backing_size / stride;
    Command c = { 0 };

    c.in.transfer_2d.resource_id = r->id;
    c.in.transfer_2d.r.width = r->shape.width;
    c.in.transfer_2d.r.height = (uint32_t)MIN(lines, r->shape.height);
    if (lines) {
        run(d, command_transfer_2d, &c);
    }
}

/* All of a 2D picture, as it was saved; false: it cannot be read. */
static bool read_pixels(Device *d, const Resource *r, uint64_t at)
{
    uint32_t w = r->shape.width, h = r->shape.height;
    size_t size = (size_t)w * h * 4, done = 0;
    g_autofree uint8_t *pixels = g_try_malloc(size);
    const struct iovec iov = { pixels, size };
    RendererTransfer t = { .resource_id = r->id, .box = { 0, 0, 0, w, h, 1 } };
    bool ok;

    while (pixels && done < size) {
        ssize_t n = pread(d->adoption.estate->pixels_fd, pixels + done, size - done, (off_t)(at + done));

        if (n <= 0 && errno != EINTR) {
            return false;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    ok = pixels && d->ops->backing_attach(d->renderer, r->id, &iov, 1) == VIRTIO_GPU_RESP_OK_NODATA;
    if (ok) {
        ok = d->ops->transfer_to_host(d->renderer, &t) == VIRTIO_GPU_RESP_OK_NODATA;
        d->ops->backing_detach(d->renderer, r->id);
    }
    return ok;
}

static void adopt_resource(Device *d, const EstateResource *e)
{
    static const uint8_t no_uuid[16];
    Resource *r;

    if (!(e->blob_mem ? make_blob(d, e) : make_picture(d, e))) {
        resource_set_gone(d, e->id);
        d->adoption.lost++;
        return;
    }
    r = resource_find(d, e->id);
    if (memcmp(e->uuid, no_uuid, sizeof(no_uuid)) != 0) {
        resource_set_uuid(d, r, e->uuid);
    }
    if (e->pixels_at && !read_pixels(d, r, e->pixels_at)) {
        log_say("resource %u comes back without its pixels", e->id);
    }
    if (!e->blob_mem && e->pages && attach(d, e) && r->is_2d && !e->pixels_at) {
        read_backing(d, r);
    }
    if (e->backing_lost) {
        log_say("resource %u comes back without its backing, which had too many pages to be remembered",
                e->id);
    }
}

static void adopt_cursor(Device *d, unsigned i, const struct TableCursor *t)
{
    Command c = { 0 };

    if (!t->resource_id) {
        return;
    }
    c.in.cursor.pos.scanout_id = i;
    c.in.cursor.pos.x = t->x;
    c.in.cursor.pos.y = t->y;
    c.in.cursor.resource_id = t->resource_id;
    c.in.cursor.hot_x = t->hot_x;
    c.in.cursor.hot_y = t->hot_y;
    if (run(d, command_update_cursor, &c) && !t->visible) {
        c.in.cursor.resource_id = 0;
        run(d, command_update_cursor, &c);
    }
}

static void adopt_scanout(Device *d, unsigned i, const struct TableScanout *t)
{
    const struct virtio_gpu_rect rect = { t->x, t->y, t->width, t->height };
    const Resource *r = resource_find(d, t->resource_id);
    Command c = { 0 };

    if (i >= (unsigned)d->options->max_outputs) {
        return;
    }
    if (r && r->blob) {
        c.in.set_scanout_blob.scanout_id = i;
        c.in.set_scanout_blob.resource_id = r->id;
        c.in.set_scanout_blob.r = rect;
        c.in.set_scanout_blob.width = t->frame.width;
        c.in.set_scanout_blob.height = t->frame.height;
        c.in.set_scanout_blob.format = t->frame.format;
        c.in.set_scanout_blob.strides[0] = t->frame.stride;
        c.in.set_scanout_blob.offsets[0] = t->frame.offset;
        run(d, command_set_scanout_blob, &c);
    } else if (r) {
        c.in.set_scanout.scanout_id = i;
        c.in.set_scanout.resource_id = r->id;
        c.in.set_scanout.r = rect;
        run(d, command_set_scanout, &c);
    }
    if (!d->scanout[i].resource_id) {
        channel_scanout_off(d->channel, i); /* QEMU shows the lost renderer's last picture still */
    }
    adopt_cursor(d, i, &t->cursor);
}

static void adopt_finish(Device *d)
{
    Adoption *a = &d->adoption;
    struct vgpu_channel_adopted m = {
        .resources = a->estate->resources->len - a->lost,
        .lost = a->lost,
        .refused = a->estate->refused,
        .descriptors = vhost_inherited(d->vhost, d->order.ran),
    };

    log_say("took over %s in %" G_GINT64_FORMAT
            " ms: %u resources, %u others are gone, %u commands in flight",
            a->estate->pixels_fd >= 0 ? "a saved VM" : "from a lost renderer",
            (g_get_monotonic_time() - a->began) / 1000, m.resources, m.lost, m.descriptors);
    g_clear_pointer(&a->estate, estate_free);
    channel_adopted(d->channel, &m);
}

/* Whether there is anything that needs the GPU. */
static bool entry_is_empty(const Estate *e, unsigned at)
{
    const struct TableScanout *s = at < e->resources->len ? NULL : &e->scanout[at - e->resources->len];

    return s && !s->resource_id && !s->cursor.resource_id;
}

static bool adopt_begin(Device *d)
{
    Adoption *a = &d->adoption;

    if (!a->estate) {
        a->estate = g_atomic_pointer_exchange(&a->given, NULL);
        a->next = 0;
        a->lost = 0;
        a->began = 0;
    }
    return a->estate != NULL;
}

AdoptResult adopt_work(Device *d)
{
    Adoption *a = &d->adoption;

    if (!adopt_begin(d)) {
        return ADOPT_DONE;
    }
    if (!vhost_runs(d->vhost)) {
        return ADOPT_IDLE;
    }
    a->began = a->began ? a->began : g_get_monotonic_time();
    resources_follow_memory(d);
    for (; a->next < a->estate->resources->len + TABLE_SCANOUTS; a->next++) {
        uint32_t generation;

        if (vhost_reset_wanted(d->vhost, &generation)) {
            return ADOPT_IDLE;
        }
        if (entry_is_empty(a->estate, a->next)) {
            continue;
        }
        if (!gpu_time_enter(d)) {
            return ADOPT_WAITING;
        }
        if (a->next < a->estate->resources->len) {
            adopt_resource(d, &g_array_index(a->estate->resources, EstateResource, a->next));
        } else {
            unsigned i = a->next - a->estate->resources->len;

            adopt_scanout(d, i, &a->estate->scanout[i]);
        }
        gpu_time_worked(d, false);
    }
    adopt_finish(d);
    return ADOPT_DONE;
}
