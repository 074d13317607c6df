/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "estate.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format.h"
#include "log.h"

/* Gallium's numbers for what a 2D resource is to virgl, see commands_2d.c. */
#define PIPE_TEXTURE_2D    2
#define BIND_RENDER_TARGET (1u << 1)

#define BLOB_FLAGS                                                                                           \
    (VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE | VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE |                                \
     VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE)

#define SAID_MOST 8 /* refused entries in the log, by one line each */

typedef struct Parse {
    Estate *estate;
    const uint8_t *table;
    GHashTable *ids; /* seen */
    uint8_t taken[TABLE_PAGES / TABLE_BLOCK];
} Parse;

static void G_GNUC_PRINTF(2, 3) refuse(Estate *e, const char *format, ...)
{
    if (e->refused++ < SAID_MOST) {
        g_autofree char *why = NULL;
        va_list ap;

        va_start(ap, format);
        why = g_strdup_vprintf(format, ap);
        va_end(ap);
        log_say("the object table: %s: left out", why);
    }
}

/* Whether its run of pages lies in the table, and in nobody else's. */
static bool take_run(Parse *p, const struct TableResource *r)
{
    uint32_t first = r->pages_at / TABLE_BLOCK, blocks = r->pages_count / TABLE_BLOCK;

    blocks += r->pages_count % TABLE_BLOCK != 0;
    if (!r->pages_count || r->pages_at % TABLE_BLOCK || first >= G_N_ELEMENTS(p->taken) ||
        blocks > G_N_ELEMENTS(p->taken) - first || memchr(p->taken + first, 1, blocks)) {
        return false;
    }
    memset(p->taken + first, 1, blocks);
    return true;
}

static bool is_2d_shape(const ResourceShape *s)
{
    return s->target == PIPE_TEXTURE_2D && format_fourcc(s->format) && s->bind == BIND_RENDER_TARGET &&
           s->depth == 1 && s->array_size == 1 && !s->last_level && !s->nr_samples &&
           s->flags == VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP;
}

/* What it is, without its backing. */
static bool resource_makes_sense(const struct TableResource *r)
{
    static const ResourceShape none;
    uint64_t bytes;

    if (r->is_2d > 1) {
        return false;
    }
    if (r->blob_mem) {
        return !r->is_2d && memcmp(&r->shape, &none, sizeof(none)) == 0 && r->blob_size &&
               r->blob_mem <= VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST && !(r->blob_flags & ~BLOB_FLAGS);
    }
    return !r->blob_size && !r->blob_flags && resource_size(&r->shape, &bytes) &&
           (!r->is_2d || is_2d_shape(&r->shape));
}

static void parse_resource(Parse *p, uint32_t slot)
{
    Estate *e = p->estate;
    struct TableResource r;
    EstateResource out;

    memcpy(&r, p->table + TABLE_RESOURCES_AT + (size_t)slot * sizeof(r), sizeof(r));
    if (!r.state) {
        return;
    }
    if (r.state != 1 || !r.resource_id) {
        refuse(e, "entry %u is resource %u in state %u", slot, r.resource_id, r.state);
        return;
    }
    if (!resource_makes_sense(&r)) {
        refuse(e, "entry %u, resource %u, is neither a picture nor a blob", slot, r.resource_id);
        return;
    }
    if (r.backing > TABLE_BACKING_LOST || (r.backing == TABLE_BACKING_PAGES && !take_run(p, &r))) {
        refuse(e, "entry %u, resource %u, has pages [%u, +%u) that are not in the table or another's", slot,
               r.resource_id, r.pages_at, r.pages_count);
        return;
    }
    if (!g_hash_table_add(p->ids, GUINT_TO_POINTER(r.resource_id))) {
        refuse(e, "entry %u is a second resource %u", slot, r.resource_id);
        return;
    }
    out = (EstateResource){
        .id = r.resource_id,
        .is_2d = r.is_2d,
        .shape = r.shape,
        .blob_mem = r.blob_mem,
        .blob_flags = r.blob_flags,
        .blob_size = r.blob_size,
        .backing_lost = r.backing == TABLE_BACKING_LOST,
    };
    memcpy(out.uuid, r.uuid, sizeof(out.uuid));
    if (r.backing == TABLE_BACKING_PAGES) {
        out.pages = (const struct TablePages *)(p->table + TABLE_PAGES_AT) + r.pages_at;
        out.pages_count = r.pages_count;
    }
    g_array_append_val(e->resources, out);
}

/* Scanouts and cursors of resources that are not there are off. */
static void parse_scanout(Parse *p, unsigned i)
{
    struct TableScanout *s = &p->estate->scanout[i];

    memcpy(s, p->table + TABLE_SCANOUTS_AT + i * sizeof(*s), sizeof(*s));
    if (s->resource_id && !g_hash_table_contains(p->ids, GUINT_TO_POINTER(s->resource_id))) {
        refuse(p->estate, "scanout %u shows resource %u, which it has not", i, s->resource_id);
        s->resource_id = 0;
    }
    if (s->cursor.resource_id && !g_hash_table_contains(p->ids, GUINT_TO_POINTER(s->cursor.resource_id))) {
        s->cursor.resource_id = 0; /* a guest may give a cursor's picture back while it is shown */
    }
    s->cursor.visible = s->cursor.visible == 1;
}

static int by_order(const void *a, const void *b)
{
    uint64_t x = ((const EstateChain *)a)->order, y = ((const EstateChain *)b)->order;

    return (x > y) - (x < y);
}

static void parse_queue(Parse *p, unsigned q)
{
    EstateQueue *out = &p->estate->queue[q];

    memcpy(&out->ring, p->table + TABLE_QUEUES_AT + q * sizeof(out->ring), sizeof(out->ring));
    out->chain = g_new(EstateChain, TABLE_QUEUE_MAX);
    for (unsigned head = 0; head < TABLE_QUEUE_MAX; head++) {
        struct TableChain c;

        memcpy(&c, p->table + TABLE_CHAINS_AT + ((size_t)q * TABLE_QUEUE_MAX + head) * sizeof(c), sizeof(c));
        if (c.order) {
            out->chain[out->count++] = (EstateChain){ (uint16_t)head, c.tries, c.order };
        }
    }
    qsort(out->chain, out->count, sizeof(*out->chain), by_order);
}

Estate *estate_parse(const uint8_t *table, size_t filled, uint32_t generation, GError **error)
{
    g_autofree Parse *p = NULL;
    struct TableHeader h;

    memcpy(&h, table, sizeof(h));
    if (h.magic != TABLE_MAGIC || h.version != TABLE_VERSION || h.size != TABLE_SIZE ||
        h.resources != TABLE_RESOURCES || h.pages != TABLE_PAGES) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "the lost renderer's object table is none of version %d (it says 0x%x, version %u)",
                    TABLE_VERSION, h.magic, h.version);
        return NULL;
    }
    if (h.generation != generation) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "the lost renderer's object table is of the guest before its last reset");
        return NULL;
    }
    p = g_new0(Parse, 1);
    p->estate = g_new0(Estate, 1);
    p->estate->pixels_fd = -1;
    p->estate->resources = g_array_new(FALSE, FALSE, sizeof(EstateResource));
    p->table = table;
    p->ids = g_hash_table_new(NULL, NULL);
    for (uint32_t slot = 0; slot < TABLE_RESOURCES; slot++) {
        if (TABLE_RESOURCES_AT + (size_t)slot * sizeof(struct TableResource) >= filled) {
            break;
        }
        parse_resource(p, slot);
    }
    for (unsigned i = 0; i < TABLE_SCANOUTS; i++) {
        parse_scanout(p, i);
    }
    for (unsigned q = 0; q < TABLE_QUEUES; q++) {
        parse_queue(p, q);
    }
    g_hash_table_unref(p->ids);
    if (p->estate->refused > SAID_MOST) {
        log_say("the object table: %u entries in all were left out", p->estate->refused);
    }
    return p->estate;
}

/* What is a hole stays one, here and there: a table is 16 MiB, and mostly empty. */
static bool read_data(int fd, uint8_t *to, size_t *filled)
{
    off_t at = 0;

    *filled = 0;
    while (at < (off_t)TABLE_SIZE && (at = lseek(fd, at, SEEK_DATA)) >= 0 && at < (off_t)TABLE_SIZE) {
        off_t end = lseek(fd, at, SEEK_HOLE);

        end = end < 0 || end > (off_t)TABLE_SIZE ? (off_t)TABLE_SIZE : end;
        while (at < end) {
            ssize_t n = pread(fd, to + at, (size_t)(end - at), at);

            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n <= 0) {
                return false; /* it is shorter than it was */
            }
            at += n;
            *filled = (size_t)at;
        }
    }
    return true;
}

Estate *estate_read(int fd, uint32_t generation, GError **error)
{
    void *map =
        mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Estate *e = NULL;
    size_t filled;

    if (map == MAP_FAILED || !read_data(fd, map, &filled)) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "the lost renderer's object table cannot be read: %s", g_strerror(errno));
    } else {
        e = estate_parse(map, filled, generation, error);
    }
    if (e) {
        e->map = map;
    } else if (map != MAP_FAILED) {
        munmap(map, TABLE_SIZE);
    }
    return e;
}

void estate_free(Estate *e)
{
    if (!e) {
        return;
    }
    if (e->map) {
        munmap(e->map, TABLE_SIZE);
    }
    if (e->pixels_fd >= 0) {
        close(e->pixels_fd);
    }
    for (unsigned q = 0; q < TABLE_QUEUES; q++) {
        g_free(e->queue[q].chain);
    }
    g_array_unref(e->resources);
    g_free(e);
}
