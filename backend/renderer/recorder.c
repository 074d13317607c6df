/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  A command stream is worth nothing without the memory it
 * reads: vertices and textures lie in the backings of resources and never pass
 * the queues.  So before a command that reads backings (a transfer to the host,
 * or a submit with such transfers in it) each of those is compared, page by
 * page, with what the recording has of it, and pages that differ are written.
 * That costs a comparison of the whole backing each time: recording is for
 * looking into a VM, not for running it.
 *
 * Vulkan passes by the queues, in memory that guest and render server share:
 * of it the recording has only what its contexts send here.
 *
 * When nothing more can be written (a full disk) the recording ends there, and
 * the VM goes on.
 */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixoutputstream.h>
#include <string.h>

#include "../quota/virgl.h"
#include "iov.h"
#include "log.h"
#include "resource.h"
#include "vgpu/recording.h"
#include "vgpu/virtio.h"

#define PAGE   4096u
#define LEVEL  1 /* of compression: the guest waits */
#define BUFFER (256 * 1024)
#define SHADOWS_MOST                                                                                         \
    (2048ull << 20) /* bytes kept of backings; beyond, memory is recorded whole each time                    \
                     */

/* Words of VIRGL_CCMD_TRANSFER3D and COPY_TRANSFER3D after the header, from 1 up. */
#define TRANSFER3D_RESOURCE    1
#define TRANSFER3D_DIRECTION   13
#define COPY_TRANSFER3D_SOURCE 12
#define TRANSFER3D_TO_HOST     1

struct Recorder {
    GOutputStream *out;  /* NULL: it failed */
    int64_t start;       /* us */
    GHashTable *shadows; /* id -> Shadow */
    uint64_t shadow_bytes;
    char *vm;
};

typedef struct Shadow {
    uint64_t size;
    uint8_t *bytes; /* NULL: too large to keep */
} Shadow;

static void shadow_free(gpointer data)
{
    Shadow *s = data;

    g_free(s->bytes);
    g_free(s);
}

static void recorder_write(Recorder *r, const void *data, size_t size)
{
    g_autoptr(GError) error = NULL;

    if (r->out && !g_output_stream_write_all(r->out, data, size, NULL, NULL, &error)) {
        log_say("the recording of VM '%s' ends here: %s", r->vm, error->message);
        g_clear_object(&r->out);
    }
}

/* The first part of an entry: more bytes follow, and then recorder_pad(). */
static void recorder_entry(Recorder *r, uint32_t kind, const void *head, size_t head_size, uint64_t more)
{
    struct vgpu_recording_entry entry = {
        .kind = kind,
        .size = (uint32_t)(head_size + more),
        .time_ns = (uint64_t)(g_get_monotonic_time() - r->start) * 1000,
    };

    recorder_write(r, &entry, sizeof(entry));
    recorder_write(r, head, head_size);
}

static void recorder_pad(Recorder *r, uint64_t size)
{
    static const uint8_t zeroes[8];

    recorder_write(r, zeroes, -size & 7);
}

Recorder *recorder_new(int fd, const char *vm, GError **error)
{
    g_autoptr(GOutputStream) file = g_unix_output_stream_new(fd, TRUE);
    g_autoptr(GZlibCompressor) gzip = g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP, LEVEL);
    g_autoptr(GOutputStream) packed = g_converter_output_stream_new(file, G_CONVERTER(gzip));
    Recorder *r;

    /* the stream would say so only when its buffer is full */
    if (fcntl(fd, F_GETFL) < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "cannot record to descriptor %d: %s",
                    fd, g_strerror(errno));
        return NULL;
    }
    r = g_new0(Recorder, 1);
    r->out = g_buffered_output_stream_new_sized(packed, BUFFER);
    r->start = g_get_monotonic_time();
    r->shadows = g_hash_table_new_full(NULL, NULL, NULL, shadow_free);
    r->vm = g_strdup(vm);
    return r;
}

void recorder_free(Recorder *r)
{
    if (!r) {
        return;
    }
    if (r->out && !g_output_stream_close(r->out, NULL, NULL)) {
        log_say("the end of the recording of VM '%s' is lost: its disk may be full", r->vm);
    }
    g_clear_object(&r->out);
    g_hash_table_destroy(r->shadows);
    g_free(r->vm);
    g_free(r);
}

void recorder_begin(Recorder *r, const char *renderer)
{
    struct vgpu_recording_head head = { .version = VGPU_RECORDING_VERSION };

    if (!r) {
        return;
    }
    memcpy(head.magic, VGPU_RECORDING_MAGIC, sizeof(head.magic));
    g_strlcpy(head.vm, r->vm, sizeof(head.vm));
    g_strlcpy(head.renderer, renderer, sizeof(head.renderer));
    recorder_write(r, &head, sizeof(head));
    log_say("everything that VM '%s' sends to its GPU is recorded", r->vm);
}

/* ---- memory ---- */

static void recorder_forget(Recorder *r, uint32_t id)
{
    const Shadow *s = g_hash_table_lookup(r->shadows, GUINT_TO_POINTER(id));

    if (s) {
        r->shadow_bytes -= s->bytes ? s->size : 0;
        g_hash_table_remove(r->shadows, GUINT_TO_POINTER(id));
    }
}

static Shadow *recorder_shadow(Recorder *r, const Resource *resource)
{
    gpointer key = GUINT_TO_POINTER(resource->id);
    Shadow *s = g_hash_table_lookup(r->shadows, key);

    if (s && s->size != resource->backing_size) {
        recorder_forget(r, resource->id);
        s = NULL;
    }
    if (!s) {
        s = g_new0(Shadow, 1);
        s->size = resource->backing_size;
        if (r->shadow_bytes + s->size <= SHADOWS_MOST) {
            s->bytes = g_try_malloc0(s->size); /* as the replayer's memory begins */
            r->shadow_bytes += s->bytes ? s->size : 0;
        }
        g_hash_table_insert(r->shadows, key, s);
    }
    return s;
}

static void recorder_pages(Recorder *r, uint32_t id, uint64_t offset, const uint8_t *bytes, uint64_t size)
{
    struct vgpu_recording_memory memory = { .resource_id = id, .offset = offset };

    recorder_entry(r, VGPU_RECORDING_MEMORY, &memory, sizeof(memory), size);
    recorder_write(r, bytes, size);
    recorder_pad(r, size);
}

/* What changed of a backing; runs of pages go together. */
static void recorder_memory(Recorder *r, Device *d, uint32_t id)
{
    const Resource *resource = resource_find(d, id);
    g_autoptr(GByteArray) run = NULL;
    uint8_t page[PAGE];
    IovCursor cursor;
    uint64_t from = 0;
    Shadow *s;

    if (!resource || !resource->has_backing || !resource->iov_count) {
        return;
    }
    s = recorder_shadow(r, resource);
    run = g_byte_array_new();
    cursor = (IovCursor){ .iov = resource->iov, .left = resource->iov_count };
    for (uint64_t at = 0; at < resource->backing_size; at += PAGE) {
        uint64_t n = MIN(PAGE, resource->backing_size - at);

        iov_cursor_read(&cursor, page, n);
        if (s->bytes && memcmp(s->bytes + at, page, n) == 0) {
            if (run->len) {
                recorder_pages(r, id, from, run->data, run->len);
                g_byte_array_set_size(run, 0);
            }
            continue;
        }
        if (s->bytes) {
            memcpy(s->bytes + at, page, n);
        }
        from = run->len ? from : at;
        g_byte_array_append(run, page, (guint)n);
        if (run->len >= BUFFER) {
            recorder_pages(r, id, from, run->data, run->len);
            g_byte_array_set_size(run, 0);
        }
    }
    if (run->len) {
        recorder_pages(r, id, from, run->data, run->len);
    }
}

/* The backings that a virgl stream reads.  A malformed one is refused later; here it only ends. */
static void recorder_stream(Recorder *r, Device *d, const uint32_t *words, uint32_t count)
{
    for (uint32_t at = 0; at < count;) {
        uint32_t opcode = words[at] & 0xff, length = words[at] >> 16;

        if (length >= count - at) {
            return;
        }
        if (opcode == VIRGL_CCMD_TRANSFER3D && length >= TRANSFER3D_DIRECTION &&
            words[at + TRANSFER3D_DIRECTION] == TRANSFER3D_TO_HOST) {
            recorder_memory(r, d, words[at + TRANSFER3D_RESOURCE]);
        } else if (opcode == VIRGL_CCMD_COPY_TRANSFER3D && length >= COPY_TRANSFER3D_SOURCE) {
            recorder_memory(r, d, words[at + COPY_TRANSFER3D_SOURCE]);
        }
        at += 1 + length;
    }
}

/* ---- commands ---- */

static uint64_t backing_bytes(const Command *c)
{
    const struct virtio_gpu_mem_entry *entries = c->data;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < c->data_size / sizeof(*entries); i++) {
        bytes += entries[i].length;
    }
    return bytes;
}

void recorder_command(Recorder *r, Device *d, const Command *c, uint32_t size, unsigned queue)
{
    struct vgpu_recording_command head = { .queue = queue };
    struct virtio_gpu_cmd_submit submit = { .hdr = c->in.hdr, .size = c->data_size };
    const void *request = &c->in;
    uint32_t data_size = c->data_size;

    if (!r || !r->out) {
        return;
    }
    switch (c->in.hdr.type) {
    case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
        head.backing_size = backing_bytes(c);
        data_size = 0;
        break;
    case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D:
        recorder_memory(r, d, c->in.transfer_2d.resource_id);
        break;
    case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D:
        recorder_memory(r, d, c->in.transfer_3d.resource_id);
        break;
    case VGPU_CMD_SUBMIT:
        /* its turn has come, and that is all that makes it another one: any device can play it so */
        submit.hdr.type = VIRTIO_GPU_CMD_SUBMIT_3D;
        head.queue = VHOST_QUEUE_CONTROL;
        request = &submit;
        size = sizeof(submit);
        recorder_stream(r, d, c->data, c->data_size / 4);
        break;
    case VIRTIO_GPU_CMD_SUBMIT_3D:
        recorder_stream(r, d, c->data, c->data_size / 4);
        break;
    case VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING:
    case VIRTIO_GPU_CMD_RESOURCE_UNREF:
        recorder_forget(r, c->in.unref.resource_id);
        break;
    default:
        break;
    }
    recorder_entry(r, VGPU_RECORDING_COMMAND, &head, sizeof(head), (uint64_t)size + data_size);
    recorder_write(r, request, size);
    recorder_write(r, c->data, data_size);
    recorder_pad(r, (uint64_t)size + data_size);
}
