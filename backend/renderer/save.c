/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "save.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "format.h"
#include "log.h"
#include "resource.h"

/* Of a picture that is read at once, bytes. */
#define BAND_SIZE (1024u * 1024)

#define FOURCC_XR24 0x34325258u
#define FOURCC_AR24 0x34325241u

struct SaveJob {
    int fd;
    bool leave_contexts;
    bool begun;
    SavedOut out;
    GArray *pictures; /* ids of 2D resources, when begun */
    guint next;       /* of them */
    uint8_t rings[TABLE_RINGS_SIZE];
    size_t filled; /* of frame, behind its size */
    uint8_t frame[sizeof(uint32_t) + VGPU_SAVE_FRAME_MAX];
};

static void job_free(SaveJob *j)
{
    if (j) {
        close(j->fd);
        if (j->pictures) {
            g_array_unref(j->pictures);
        }
        g_free(j);
    }
}

void save_give(Device *d, int fd, bool leave_contexts)
{
    SaveJob *j = g_new0(SaveJob, 1);

    j->fd = fd;
    j->leave_contexts = leave_contexts;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    job_free(g_atomic_pointer_exchange(&d->saving.given, j));
    vhost_wake(d->vhost);
}

/* ---- the socket ------------------------------------------------------------- */

static bool write_all(int fd, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    while (size) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static bool flush(SaveJob *j)
{
    uint32_t size = (uint32_t)j->filled;

    j->filled = 0;
    memcpy(j->frame, &size, sizeof(size));
    return write_all(j->fd, j->frame, sizeof(size) + size);
}

static bool put(void *opaque, const void *bytes, size_t size)
{
    SaveJob *j = opaque;
    const uint8_t *p = bytes;

    while (size) {
        size_t n = MIN(size, VGPU_SAVE_FRAME_MAX - j->filled);

        memcpy(j->frame + sizeof(uint32_t) + j->filled, p, n);
        j->filled += n;
        p += n;
        size -= n;
        if (j->filled == VGPU_SAVE_FRAME_MAX && !flush(j)) {
            return false;
        }
    }
    return true;
}

/* ---- the render thread -------------------------------------------------------- */

static void end_job(Device *d)
{
    g_clear_pointer(&d->saving.job, job_free);
}

static void G_GNUC_PRINTF(2, 3) refuse(Device *d, const char *format, ...)
{
    SaveJob *j = d->saving.job;
    struct {
        uint32_t size;
        struct vgpu_save_refused refused;
    } m = { .size = VGPU_SAVE_REFUSED };
    va_list ap;

    va_start(ap, format);
    g_vsnprintf(m.refused.message, sizeof(m.refused.message), format, ap);
    va_end(ap);
    log_say("not saved: %s", m.refused.message);
    if (!j->filled || flush(j)) {
        write_all(j->fd, &m, sizeof(m));
    }
    end_job(d);
}

static bool begin(Device *d)
{
    SaveJob *j = d->saving.job;
    guint contexts = g_hash_table_size(d->contexts);
    GHashTableIter iter;
    gpointer value;

    /* what follows reads a copy: a QEMU that changes its mind lets the rings go on while we write */
    if (!vhost_copy_stopped(d->vhost, j->rings)) {
        refuse(d, "the VM is running");
        return false;
    }
    if (adopt_pending(d)) {
        refuse(d, "what the guest has is being taken over still: let the VM run for a moment");
        return false;
    }
    if (contexts && !j->leave_contexts) {
        refuse(d, "%u OpenGL or Vulkan contexts are in use", contexts);
        return false;
    }
    j->begun = true;
    j->out = (SavedOut){ .put = put, .opaque = j };
    j->pictures = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_hash_table_iter_init(&iter, d->resources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Resource *r = value;

        if (r->is_2d) {
            g_array_append_val(j->pictures, r->id);
        }
    }
    saved_put_table(&j->out, table_bytes(d->table), j->rings, contexts);
    return true;
}

/* What was read as B8G8R8A8, as the guest would write it. */
static void reorder(uint8_t *pixels, size_t count, uint32_t format)
{
    static const uint8_t argb[] = { 3, 2, 1, 0 }, rgba[] = { 2, 1, 0, 3 }, abgr[] = { 3, 0, 1, 2 };
    const uint8_t *order;

    switch (format) {
    case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
    case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
        order = argb;
        break;
    case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
    case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
        order = rgba;
        break;
    case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
    case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
        order = abgr;
        break;
    default:
        return;
    }
    for (size_t i = 0; i < count; i++, pixels += 4) {
        const uint8_t in[] = { pixels[0], pixels[1], pixels[2], pixels[3] };

        for (unsigned k = 0; k < 4; k++) {
            pixels[k] = in[order[k]];
        }
    }
}

/* Some rows of a picture, by way of band; false: the renderer could not. */
static bool read_band(Device *d, const Resource *r, uint32_t y, uint32_t rows, uint8_t *band)
{
    uint32_t w = r->shape.width, fourcc = 0;

    if (d->ops->read_pixels(d->renderer, r->id, 0, y, w, rows, band, w * 4, &fourcc) !=
        VIRTIO_GPU_RESP_OK_NODATA) {
        return false;
    }
    if (fourcc != format_fourcc(r->shape.format) && (fourcc == FOURCC_AR24 || fourcc == FOURCC_XR24)) {
        reorder(band, (size_t)w * rows, r->shape.format);
    }
    return true;
}

/* One picture.  Its reading is one use of the GPU, however long that is. */
static bool save_picture(Device *d, const Resource *r)
{
    SaveJob *j = d->saving.job;
    uint32_t w = r->shape.width, h = r->shape.height;
    size_t size = (size_t)w * h * 4;
    uint32_t rows = MAX(BAND_SIZE / (w * 4), 1);
    g_autofree uint8_t *pixels = g_try_malloc(size);
    bool ok = pixels != NULL;

    for (uint32_t y = 0; ok && y < h; y += rows) {
        ok = read_band(d, r, y, MIN(rows, h - y), pixels + (size_t)y * w * 4);
    }
    gpu_time_worked(d, false);
    gpu_time_leave(d);
    if (ok) {
        saved_put_picture(&j->out, r->id, w, h);
        saved_put(&j->out, pixels, size);
    }
    return ok;
}

SaveResult save_work(Device *d)
{
    Saving *s = &d->saving;
    SaveJob *later = g_atomic_pointer_exchange(&s->given, NULL);

    if (later) {
        end_job(d);
        s->job = later;
    }
    if (!s->job || (!s->job->begun && !begin(d))) {
        return SAVE_DONE;
    }
    while (!s->job->out.failed && s->job->next < s->job->pictures->len) {
        const Resource *r = resource_find(d, g_array_index(s->job->pictures, uint32_t, s->job->next));

        if (r && !gpu_time_enter(d)) {
            return SAVE_WAITING;
        }
        s->job->next++;
        if (!r || !save_picture(d, r)) { /* the guest was reset meanwhile, or there is no memory */
            refuse(d, "a picture of the guest's cannot be read");
            return SAVE_DONE;
        }
    }
    saved_put_end(&s->job->out);
    if (!s->job->out.failed && (!s->job->filled || flush(s->job))) {
        write_all(s->job->fd, &(uint32_t){ 0 }, sizeof(uint32_t));
    }
    end_job(d);
    return SAVE_DONE;
}
