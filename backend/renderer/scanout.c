/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scanout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blob.h"
#include "format.h"
#include "log.h"

/*
 * A guest whose applications took all its GPU memory still gets a picture of
 * up to 4096x2160: it could not even say so otherwise.
 */
#define SCANOUT_SURE (4096u * 2160 * 4)

#define FOURCC(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

static void scanout_drop_picture(Device *d, Scanout *s)
{
    if (s->map) {
        munmap(s->map, s->size);
        ledger_refund(&d->ledger, s->size);
    }
    s->map = NULL;
    s->size = 0;
    s->width = s->height = 0;
}

static void scanout_unlink(Device *d, unsigned i)
{
    Resource *r = resource_find(d, d->scanout[i].resource_id);

    if (r) {
        r->scanouts &= ~(1u << i);
    }
    d->scanout[i].resource_id = 0;
}

bool scanout_exists(Device *d, uint32_t id)
{
    if (id >= (uint32_t)d->options->max_outputs) {
        log_guest("there is no scanout %u", id);
        return false;
    }
    return true;
}

bool scanout_allowed(Device *d, const Rect *rect)
{
    uint32_t max_w = d->options->max_width ? d->options->max_width : VGPU_MAX_SIZE;
    uint32_t max_h = d->options->max_height ? d->options->max_height : VGPU_MAX_SIZE;

    if (rect->w > max_w || rect->h > max_h) {
        log_guest("a scanout of %ux%u pixels: the profile allows %ux%u", rect->w, rect->h, max_w, max_h);
        return false;
    }
    return true;
}

/* A new picture, charged like any GPU memory.  *out: its memfd, the caller's. */
static uint32_t scanout_make_picture(Device *d, unsigned i, uint32_t width, uint32_t height, uint32_t fourcc,
                                     int *out)
{
    Scanout *s = &d->scanout[i];
    uint32_t stride = width * 4;
    uint64_t size = ((uint64_t)stride * height + 4095) & ~4095ull;
    void *map = MAP_FAILED;
    int fd;

    scanout_drop_picture(d, s);
    if (ledger_charge(&d->ledger, size)) {
        /* the usual case */
    } else if (size <= SCANOUT_SURE) {
        ledger_carry(&d->ledger, size);
    } else {
        log_guest("scanout %u: a picture of %" PRIu64 " KiB does not fit into the VM's GPU memory", i,
                  size / 1024);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    fd = memfd_create("vgpu-scanout", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, size) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (map == MAP_FAILED) {
        log_guest("scanout %u: no memory for its picture: %s", i, g_strerror(errno));
        ledger_refund(&d->ledger, size);
        if (fd >= 0) {
            close(fd);
        }
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    s->map = map;
    s->size = size;
    s->width = width;
    s->height = height;
    s->stride = stride;
    s->fourcc = fourcc;
    *out = fd;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void scanout_announce(Device *d, unsigned i, int fd)
{
    const Scanout *s = &d->scanout[i];
    struct vgpu_channel_shm_scanout shm = {
        .scanout_id = i,
        .width = s->width,
        .height = s->height,
        .stride = s->stride,
        .drm_fourcc = s->fourcc,
        .offset = 0,
        .size = s->size,
    };

    channel_shm_scanout(d->channel, &shm, fd); /* ownership transferred */
}

/* Reads part of the picture. */
static uint32_t scanout_read(Device *d, unsigned i, const Rect *part)
{
    Scanout *s = &d->scanout[i];
    Rect rect = { s->rect.x + part->x, s->rect.y + part->y, part->w, part->h };
    uint8_t *to = s->map + (size_t)part->y * s->stride + (size_t)part->x * 4;
    uint32_t fourcc;

    if (s->frame.format) {
        return blob_read(resource_find(d, s->resource_id), &s->frame, &rect, to, s->stride);
    }
    return d->ops->read_pixels(d->renderer, s->resource_id, rect.x, rect.y, rect.w, rect.h, to, s->stride,
                               &fourcc);
}

/* Reads what is not read yet, when QEMU would hear of it at once. */
static uint32_t scanout_update(Device *d, unsigned i)
{
    Scanout *s = &d->scanout[i];
    Rect part = s->unread;
    uint32_t code;

    if (!part.w || !channel_idle(d->channel, i)) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    s->unread = (Rect){ 0 };
    code = scanout_read(d, i, &part);
    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        channel_damage(d->channel, i, &part);
    }
    return code;
}

/* One that waits for its time is not behind. */
static bool scanout_behind(Device *d, unsigned i)
{
    return d->scanout[i].unread.w && channel_idle(d->channel, i) && !frame_limit_waits(&d->frame_limit, i);
}

void scanout_catch_up(Device *d)
{
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        if (scanout_behind(d, i) && gpu_time_enter(d)) {
            scanout_update(d, i);
        }
    }
}

void scanout_show(Device *d, unsigned i)
{
    if (d->scanout[i].unread.w) {
        stats_add(&d->stats->frames, 1);
        scanout_update(d, i);
    }
}

/* What its pixels are, if they can be read. */
static uint32_t scanout_fourcc(Device *d, Resource *r, const Rect *rect, const BlobFrame *frame,
                               uint32_t *fourcc)
{
    if (frame) {
        *fourcc = format_fourcc(frame->format);
        return blob_prepare_read(d, r);
    }
    return d->ops->read_pixels(d->renderer, r->id, rect->x, rect->y, rect->w, rect->h, NULL, 0, fourcc);
}

uint32_t scanout_set(Device *d, unsigned i, Resource *r, const Rect *rect, const BlobFrame *frame)
{
    Scanout *s = &d->scanout[i];
    uint32_t fourcc = 0, code;
    int fd = -1;
    bool same;

    code = scanout_fourcc(d, r, rect, frame, &fourcc);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        log_guest("scanout %u: resource %u cannot be shown", i, r->id);
        return code;
    }
    same = s->map && s->width == rect->w && s->height == rect->h && s->fourcc == fourcc;
    if (!same) {
        code = scanout_make_picture(d, i, rect->w, rect->h, fourcc, &fd);
        if (code != VIRTIO_GPU_RESP_OK_NODATA) {
            scanout_disable(d, i);
            return code;
        }
    }
    scanout_unlink(d, i);
    s->resource_id = r->id;
    s->rect = *rect;
    s->frame = frame ? *frame : (BlobFrame){ 0 };
    s->stale = true;
    r->scanouts |= 1u << i;
    table_scanout(d->table, i, r->id, rect, frame);
    if (!same) {
        /* A new picture is filled before QEMU hears of it: no black flash. */
        s->stale = false;
        s->unread = (Rect){ 0 };
        code = scanout_read(d, i, &(Rect){ 0, 0, rect->w, rect->h });
        scanout_announce(d, i, fd);
        frame_limit_pass(d, i); /* this one is shown, the next one waits */
    }
    return code;
}

void scanout_disable(Device *d, unsigned i)
{
    Scanout *s = &d->scanout[i];

    if (!s->resource_id && !s->map) {
        return;
    }
    scanout_unlink(d, i);
    scanout_drop_picture(d, s);
    s->unread = (Rect){ 0 };
    table_scanout(d->table, i, 0, NULL, NULL);
    channel_scanout_off(d->channel, i);
}

bool scanout_has(Device *d, const Resource *r, const Rect *rect)
{
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        const BlobFrame *f = &d->scanout[i].frame;

        if ((r->scanouts & (1u << i)) && !rect_within(rect, f->width, f->height)) {
            log_guest("blob %u is shown as %ux%u: %ux%u+%u+%u is not within", r->id, f->width, f->height,
                      rect->w, rect->h, rect->x, rect->y);
            return false;
        }
    }
    return rect->w && rect->h;
}

uint32_t scanout_flush(Device *d, Resource *r, const Rect *rect)
{
    uint32_t code = VIRTIO_GPU_RESP_OK_NODATA;

    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        Scanout *s = &d->scanout[i];
        uint32_t one;
        Rect part;

        if (!(r->scanouts & (1u << i)) || !rect_intersect(rect, &s->rect, &part)) {
            continue;
        }
        if (s->stale) {
            part = s->rect;
            s->stale = false;
        }
        part.x -= s->rect.x;
        part.y -= s->rect.y;
        rect_unite(&s->unread, &part);
        if (!frame_limit_pass(d, i)) {
            continue;
        }
        one = scanout_update(d, i);
        if (one != VIRTIO_GPU_RESP_OK_NODATA) {
            code = one;
        }
        stats_add(&d->stats->frames, 1);
    }
    return code;
}

void scanout_forget_resource(Device *d, Resource *r)
{
    for (unsigned i = 0; r->scanouts && i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        if (r->scanouts & (1u << i)) {
            scanout_disable(d, i);
        }
    }
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        if (d->scanout[i].cursor.resource_id == r->id) {
            d->scanout[i].cursor.resource_id = 0; /* it stays as it was */
        }
    }
}

void scanout_disable_all(Device *d)
{
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        scanout_disable(d, i);
        d->scanout[i].cursor = (struct TableCursor){ 0 };
    }
}

/*
 * To B8G8R8A8, whatever of the eight 32-bit formats it is.  A cursor has alpha
 * even where its format has none: Linux makes its dumb buffers B8G8R8X8, and
 * Xorg's modesetting driver draws its cursors into those.
 */
static void cursor_convert(uint32_t *data, uint32_t fourcc)
{
    /* Bit positions of r, g, b and a in a little-endian word. */
    static const struct {
        uint32_t fourcc;
        uint8_t r, g, b, a;
    } formats[] = {
        { FOURCC('A', 'R', '2', '4'), 16, 8, 0, 24 }, { FOURCC('X', 'R', '2', '4'), 16, 8, 0, 24 },
        { FOURCC('A', 'B', '2', '4'), 0, 8, 16, 24 }, { FOURCC('X', 'B', '2', '4'), 0, 8, 16, 24 },
        { FOURCC('B', 'A', '2', '4'), 8, 16, 24, 0 }, { FOURCC('B', 'X', '2', '4'), 8, 16, 24, 0 },
        { FOURCC('R', 'A', '2', '4'), 24, 16, 8, 0 }, { FOURCC('R', 'X', '2', '4'), 24, 16, 8, 0 },
    };

    for (unsigned f = 1; f < G_N_ELEMENTS(formats); f++) {
        if (formats[f].fourcc != fourcc) {
            continue;
        }
        for (unsigned i = 0; i < VGPU_CHANNEL_CURSOR_SIZE * VGPU_CHANNEL_CURSOR_SIZE; i++) {
            uint32_t p = data[i];

            data[i] = ((p >> formats[f].a) & 0xff) << 24 | ((p >> formats[f].r) & 0xff) << 16 |
                      ((p >> formats[f].g) & 0xff) << 8 | ((p >> formats[f].b) & 0xff);
        }
        return;
    }
}

#define CURSOR_SIDE VGPU_CHANNEL_CURSOR_SIZE

/* A blob has no shape: its pixels are those of a cursor, if it has enough. */
static uint32_t cursor_read_blob(Device *d, Resource *r, uint32_t *data)
{
    const BlobFrame frame = { CURSOR_SIDE, CURSOR_SIDE, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, CURSOR_SIDE * 4,
                              0 };
    uint32_t code;

    if (!blob_frame_fits(r, &frame)) {
        log_guest("blob %u has %" PRIu64 " bytes: a cursor has %u", r->id, r->blob->size,
                  CURSOR_SIDE * CURSOR_SIDE * 4);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    code = blob_prepare_read(d, r);
    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        code = blob_read(r, &frame, &(Rect){ 0, 0, CURSOR_SIDE, CURSOR_SIDE }, data, frame.stride);
    }
    return code;
}

static uint32_t cursor_read(Device *d, Resource *r, uint32_t *data)
{
    uint32_t fourcc = 0, code;

    if (r->blob) {
        return cursor_read_blob(d, r, data);
    }
    if (r->shape.width != CURSOR_SIDE || r->shape.height != CURSOR_SIDE) {
        log_guest("resource %u is %ux%u: a cursor is %ux%u", r->id, r->shape.width, r->shape.height,
                  CURSOR_SIDE, CURSOR_SIDE);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    code = d->ops->read_pixels(d->renderer, r->id, 0, 0, CURSOR_SIDE, CURSOR_SIDE, data, CURSOR_SIDE * 4,
                               &fourcc);
    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        cursor_convert(data, fourcc);
    }
    return code;
}

uint32_t scanout_cursor(Device *d, unsigned scanout, Resource *r, uint32_t x, uint32_t y, uint32_t hot_x,
                        uint32_t hot_y)
{
    struct vgpu_channel_cursor_update *u;
    uint32_t code;

    if (!r) {
        d->scanout[scanout].cursor = (struct TableCursor){ .x = x, .y = y };
        channel_cursor_pos(d->channel, scanout, x, y, false);
        table_cursor_move(d->table, scanout, x, y, false);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    u = g_new0(struct vgpu_channel_cursor_update, 1);
    u->pos = (struct vgpu_channel_cursor_pos){ scanout, x, y };
    u->hot_x = MIN(hot_x, CURSOR_SIDE - 1);
    u->hot_y = MIN(hot_y, CURSOR_SIDE - 1);
    code = cursor_read(d, r, u->data);
    if (code == VIRTIO_GPU_RESP_OK_NODATA) {
        d->scanout[scanout].cursor = (struct TableCursor){ r->id, x, y, u->hot_x, u->hot_y, true };
        channel_cursor_update(d->channel, u);
        table_cursor(d->table, scanout, &d->scanout[scanout].cursor);
    }
    g_free(u);
    return code;
}

void scanout_cursor_moved(Device *d, unsigned scanout, uint32_t x, uint32_t y)
{
    struct TableCursor *p = &d->scanout[scanout].cursor;

    p->x = x;
    p->y = y;
    channel_cursor_pos(d->channel, scanout, x, y, p->visible);
    table_cursor_move(d->table, scanout, x, y, p->visible);
}

void scanout_cursor_written(Device *d, Resource *r)
{
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        const struct TableCursor p = d->scanout[i].cursor;

        if (p.visible && p.resource_id == r->id) {
            scanout_cursor(d, i, r, p.x, p.y, p.hot_x, p.hot_y);
        }
    }
}
