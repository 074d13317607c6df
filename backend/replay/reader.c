/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reader.h"

#include <gio/gio.h>
#include <string.h>

#define STEP     (1u << 20)
#define MOST     (2048u << 20) /* bytes unpacked: a few KiB can pack more than there is memory */
#define ROUND(n) (((n) + 7) & ~(size_t)7)

/* All that can be unpacked; *whole: up to the end that the packer wrote. */
static GByteArray *unpack(const char *path, bool *whole, GError **error)
{
    g_autoptr(GFile) file = g_file_new_for_path(path);
    g_autoptr(GFileInputStream) packed = g_file_read(file, NULL, error);
    g_autoptr(GZlibDecompressor) gzip = g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GInputStream) in = NULL;
    gssize n;

    if (!packed) {
        return NULL;
    }
    in = g_converter_input_stream_new(G_INPUT_STREAM(packed), G_CONVERTER(gzip));
    *whole = true;
    do {
        g_autoptr(GError) ends = NULL;
        guint have = bytes->len;

        if (have > MOST - STEP) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "'%s' unpacks to more than 2 GiB: record less, or a smaller program", path);
            return NULL;
        }
        g_byte_array_set_size(bytes, have + STEP);
        n = g_input_stream_read(in, bytes->data + have, STEP, NULL, &ends);
        g_byte_array_set_size(bytes, have + (guint)MAX(n, 0));
        if (ends && !have) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "'%s' is no recording: %s", path,
                        ends->message);
            return NULL;
        }
        *whole = *whole && !ends;
    } while (n > 0);
    return g_steal_pointer(&bytes);
}

Recording *recording_read(const char *path, GError **error)
{
    bool whole;
    g_autoptr(GByteArray) bytes = unpack(path, &whole, error);
    struct vgpu_recording_head head;
    Recording *r;

    if (!bytes) {
        return NULL;
    }
    if (bytes->len < sizeof(head) || memcmp(bytes->data, VGPU_RECORDING_MAGIC, sizeof(head.magic)) != 0) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            "'%s' is no recording of vgpu-renderer: record one with record= in [renderer] of vgpud.conf",
            path);
        return NULL;
    }
    memcpy(&head, bytes->data, sizeof(head));
    if (head.version != VGPU_RECORDING_VERSION) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "'%s' is a recording of version %u; this program reads version %u", path, head.version,
                    VGPU_RECORDING_VERSION);
        return NULL;
    }
    r = g_new0(Recording, 1);
    r->head = head;
    r->head.vm[sizeof(head.vm) - 1] = 0;
    r->head.renderer[sizeof(head.renderer) - 1] = 0;
    r->bytes = g_steal_pointer(&bytes);
    r->whole = whole;
    return r;
}

void recording_free(Recording *r)
{
    if (r) {
        g_byte_array_unref(r->bytes);
        g_free(r);
    }
}

/* The head of an entry's payload, and what is behind it. */
static bool take(RecordingEntry *entry, void *head, uint32_t head_size)
{
    if (entry->size < head_size) {
        return false;
    }
    memcpy(head, entry->data, head_size);
    entry->data += head_size;
    entry->size -= head_size;
    return true;
}

bool recording_next(const Recording *r, size_t *at, RecordingEntry *entry)
{
    size_t next = MAX(*at, sizeof(r->head));

    while (r->bytes->len - next >= sizeof(struct vgpu_recording_entry)) {
        struct vgpu_recording_entry head;

        memcpy(&head, r->bytes->data + next, sizeof(head));
        next += sizeof(head);
        if (ROUND((size_t)head.size) > r->bytes->len - next) {
            return false;
        }
        *entry = (RecordingEntry){
            .kind = head.kind, .time_ns = head.time_ns, .data = r->bytes->data + next, .size = head.size
        };
        next += ROUND((size_t)head.size);
        *at = next;
        if ((entry->kind == VGPU_RECORDING_COMMAND && take(entry, &entry->command, sizeof(entry->command))) ||
            (entry->kind == VGPU_RECORDING_MEMORY && take(entry, &entry->memory, sizeof(entry->memory)))) {
            return true;
        }
    }
    return false;
}
