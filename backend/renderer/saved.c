/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "saved.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEADER_SIZE   24u
#define RECORD_SIZE   16u
#define QUEUE_SIZE    16u
#define CHAIN_SIZE    16u
#define SCANOUT_SIZE  68u
#define RESOURCE_SIZE 88u
#define PAGES_SIZE    16u
#define PICTURE_SIZE  16u
#define END_SIZE      8u

/* ---- words ----------------------------------------------------------------- */

static uint8_t *put32(uint8_t *p, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(p, &value, sizeof(value));
    return p + sizeof(value);
}

static uint8_t *put64(uint8_t *p, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(p, &value, sizeof(value));
    return p + sizeof(value);
}

static uint32_t get32(const uint8_t **p)
{
    uint32_t value;

    memcpy(&value, *p, sizeof(value));
    *p += sizeof(value);
    return GUINT32_FROM_LE(value);
}

static uint64_t get64(const uint8_t **p)
{
    uint64_t value;

    memcpy(&value, *p, sizeof(value));
    *p += sizeof(value);
    return GUINT64_FROM_LE(value);
}

/* These structs are words and nothing else. */
static uint8_t *put_words(uint8_t *p, const void *words, size_t size)
{
    for (size_t i = 0; i < size / 4; i++) {
        p = put32(p, ((const uint32_t *)words)[i]);
    }
    return p;
}

static void get_words(const uint8_t **p, void *words, size_t size)
{
    for (size_t i = 0; i < size / 4; i++) {
        ((uint32_t *)words)[i] = get32(p);
    }
}

G_STATIC_ASSERT(sizeof(ResourceShape) == 40 && sizeof(struct TableCursor) == 24 && sizeof(BlobFrame) == 20);
G_STATIC_ASSERT(SCANOUT_SIZE == 4 + sizeof(struct TableScanout));

/* ---- writing --------------------------------------------------------------- */

void saved_put(SavedOut *o, const void *bytes, size_t size)
{
    o->failed = o->failed || !o->put(o->opaque, bytes, size);
}

static void put_record(SavedOut *o, enum SavedRecord type, uint64_t size)
{
    uint8_t record[RECORD_SIZE];

    put64(put32(put32(record, type), 0), size);
    saved_put(o, record, sizeof(record));
    o->records++;
}

static void put_header(SavedOut *o, const uint8_t *table, uint32_t contexts)
{
    uint8_t header[HEADER_SIZE];
    uint64_t pictures = 0;
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < TABLE_RESOURCES; slot++) {
        struct TableResource r;

        memcpy(&r, table + TABLE_RESOURCES_AT + (size_t)slot * sizeof(r), sizeof(r));
        count += r.state == 1;
        pictures += r.state == 1 && r.is_2d ? (uint64_t)r.shape.width * r.shape.height * 4 : 0;
    }
    put64(put32(put32(put32(put32(header, SAVED_MAGIC), SAVED_VERSION), contexts), count), pictures);
    saved_put(o, header, sizeof(header));
}

static void put_queue(SavedOut *o, const uint8_t *rings, uint32_t q)
{
    uint8_t queue[QUEUE_SIZE + CHAIN_SIZE * TABLE_QUEUE_MAX], *p;
    struct TableQueue t;

    memcpy(&t, rings + TABLE_QUEUES_AT - TABLE_RINGS_AT + q * sizeof(t), sizeof(t));
    p = put32(put32(put32(put32(queue, q), t.used_idx), t.last_head), t.taken);
    for (uint32_t head = 0; head < TABLE_QUEUE_MAX; head++) {
        struct TableChain c;

        memcpy(&c,
               rings + TABLE_CHAINS_AT - TABLE_RINGS_AT + ((size_t)q * TABLE_QUEUE_MAX + head) * sizeof(c),
               sizeof(c));
        if (c.order) {
            p = put64(put32(put32(p, head), c.tries), c.order);
        }
    }
    put_record(o, SAVED_QUEUE, (uint64_t)(p - queue));
    saved_put(o, queue, (size_t)(p - queue));
}

static void put_scanout(SavedOut *o, const uint8_t *table, uint32_t i)
{
    uint8_t scanout[SCANOUT_SIZE];
    struct TableScanout s;

    memcpy(&s, table + TABLE_SCANOUTS_AT + i * sizeof(s), sizeof(s));
    put_words(put32(scanout, i), &s, sizeof(s));
    put_record(o, SAVED_SCANOUT, sizeof(scanout));
    saved_put(o, scanout, sizeof(scanout));
}

static void put_resource(SavedOut *o, const uint8_t *table, const struct TableResource *r)
{
    const struct TablePages *pages = (const struct TablePages *)(table + TABLE_PAGES_AT);
    uint32_t most = TABLE_PAGES - MIN(r->pages_at, TABLE_PAGES);
    uint32_t count = r->backing == TABLE_BACKING_PAGES ? MIN(r->pages_count, most) : 0;
    uint8_t out[RESOURCE_SIZE], *p;

    p = put32(put32(out, r->resource_id), r->is_2d);
    p = put_words(p, &r->shape, sizeof(r->shape));
    p = put32(put32(put32(put32(p, r->backing), r->blob_mem), r->blob_flags), 0);
    memcpy(put64(p, r->blob_size), r->uuid, sizeof(r->uuid));
    put_record(o, SAVED_RESOURCE, RESOURCE_SIZE + (uint64_t)count * PAGES_SIZE);
    saved_put(o, out, sizeof(out));
    for (uint32_t i = 0; !o->failed && i < count; i++) {
        const struct TablePages *run = &pages[r->pages_at + i];
        uint8_t one[PAGES_SIZE];

        put32(put32(put64(one, run->gpa), run->length), 0);
        saved_put(o, one, sizeof(one));
    }
}

void saved_put_table(SavedOut *o, const uint8_t *table, const uint8_t *rings, uint32_t contexts)
{
    put_header(o, table, contexts);
    for (uint32_t q = 0; q < TABLE_QUEUES; q++) {
        put_queue(o, rings, q);
    }
    for (uint32_t slot = 0; slot < TABLE_RESOURCES; slot++) {
        struct TableResource r;

        memcpy(&r, table + TABLE_RESOURCES_AT + (size_t)slot * sizeof(r), sizeof(r));
        if (r.state == 1) {
            put_resource(o, table, &r);
        }
    }
    for (uint32_t i = 0; i < TABLE_SCANOUTS; i++) {
        put_scanout(o, table, i);
    }
}

void saved_put_picture(SavedOut *o, uint32_t id, uint32_t width, uint32_t height)
{
    uint8_t out[PICTURE_SIZE];

    put32(put32(put32(put32(out, id), width), height), 0);
    put_record(o, SAVED_PICTURE, PICTURE_SIZE + (uint64_t)width * height * 4);
    saved_put(o, out, sizeof(out));
}

void saved_put_end(SavedOut *o)
{
    uint8_t out[END_SIZE];
    uint32_t before = o->records;

    put64(out, before);
    put_record(o, SAVED_END, sizeof(out));
    saved_put(o, out, sizeof(out));
}

/* ---- reading --------------------------------------------------------------- */

typedef struct SavedPicture {
    uint32_t width, height;
    uint64_t at; /* in the file */
} SavedPicture;

typedef struct Reader {
    int fd;
    uint64_t at, size; /* of the file, bytes */
    uint8_t *table;
    uint32_t contexts, resources; /* as the header says */
    uint64_t pictures;
    uint32_t records, slots, pages; /* so far */
    uint32_t queues, scanouts;      /* bit for each that came */
    GHashTable *picture;            /* id -> SavedPicture */
    bool ended;
    GError **error;
} Reader;

static bool G_GNUC_PRINTF(2, 3) fault(Reader *r, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, format);
    what = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_set_error(r->error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                "the saved state of the VM's graphics is damaged: %s (before byte %" PRIu64 " of %" PRIu64
                ")",
                what, r->at, r->size);
    return false;
}

static bool take(Reader *r, void *to, size_t size)
{
    uint8_t *p = to;

    if (size > r->size - r->at) {
        return fault(r, "it ends early");
    }
    while (size) {
        ssize_t n = pread(r->fd, p, size, (off_t)r->at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return fault(r, "it cannot be read");
        }
        p += n;
        size -= (size_t)n;
        r->at += (uint64_t)n;
    }
    return true;
}

static bool take_header(Reader *r)
{
    uint8_t header[HEADER_SIZE];
    const uint8_t *p = header;
    uint32_t magic, version;

    if (!take(r, header, sizeof(header))) {
        return false;
    }
    magic = get32(&p);
    version = get32(&p);
    if (magic == SAVED_MAGIC && version != SAVED_VERSION) {
        g_set_error(
            r->error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
            "the VM's graphics were saved in form %u, and this vgpu-renderer reads form %d: install the "
            "release of vgpu that the VM comes from, or a later one",
            version, SAVED_VERSION);
        return false;
    }
    r->contexts = get32(&p);
    r->resources = get32(&p);
    r->pictures = get64(&p);
    if (magic != SAVED_MAGIC || r->resources > TABLE_RESOURCES) {
        return fault(r, "it begins with 0x%x and %u objects", magic, r->resources);
    }
    return true;
}

static bool take_queue(Reader *r, uint64_t size)
{
    uint8_t bytes[QUEUE_SIZE + CHAIN_SIZE * TABLE_QUEUE_MAX];
    const uint8_t *p = bytes, *end;
    struct TableQueue t = { 0 };
    uint32_t q, used, last;

    if (size < QUEUE_SIZE || (size - QUEUE_SIZE) % CHAIN_SIZE || size > sizeof(bytes)) {
        return fault(r, "a queue of %" PRIu64 " bytes", size);
    }
    if (!take(r, bytes, size)) {
        return false;
    }
    end = bytes + size;
    q = get32(&p);
    used = get32(&p);
    last = get32(&p);
    t.taken = get32(&p);
    if (q >= TABLE_QUEUES || r->queues & 1u << q || used > UINT16_MAX || last > UINT16_MAX) {
        return fault(r, "there is no queue %u at %u, or it came twice", q, used);
    }
    r->queues |= 1u << q;
    t.used_idx = (uint16_t)used;
    t.last_head = (uint16_t)last;
    memcpy(r->table + TABLE_QUEUES_AT + q * sizeof(t), &t, sizeof(t));
    while (p < end) {
        struct TableChain c = { 0 };
        uint32_t head = get32(&p);

        c.tries = get32(&p);
        c.order = get64(&p);
        if (head >= TABLE_QUEUE_MAX || !c.order) {
            return fault(r, "queue %u has chain %u in flight", q, head);
        }
        memcpy(r->table + TABLE_CHAINS_AT + ((size_t)q * TABLE_QUEUE_MAX + head) * sizeof(c), &c, sizeof(c));
    }
    return true;
}

static bool take_scanout(Reader *r, uint64_t size)
{
    uint8_t bytes[SCANOUT_SIZE];
    const uint8_t *p = bytes;
    struct TableScanout s;
    uint32_t i;

    if (size != sizeof(bytes)) {
        return fault(r, "a scanout of %" PRIu64 " bytes", size);
    }
    if (!take(r, bytes, sizeof(bytes))) {
        return false;
    }
    i = get32(&p);
    get_words(&p, &s, sizeof(s));
    if (i >= TABLE_SCANOUTS || r->scanouts & 1u << i) {
        return fault(r, "there is no scanout %u, or it came twice", i);
    }
    r->scanouts |= 1u << i;
    memcpy(r->table + TABLE_SCANOUTS_AT + i * sizeof(s), &s, sizeof(s));
    return true;
}

/* Its pages, into a run of the table. */
static bool take_pages(Reader *r, struct TableResource *t, uint64_t count)
{
    uint64_t blocks = (count + TABLE_BLOCK - 1) / TABLE_BLOCK;
    struct TablePages *run = (struct TablePages *)(r->table + TABLE_PAGES_AT) + r->pages;

    if (blocks > (TABLE_PAGES - r->pages) / TABLE_BLOCK) {
        return fault(r, "resource %u: more pages than there can be", t->resource_id);
    }
    t->pages_at = r->pages;
    t->pages_count = (uint32_t)count;
    r->pages += (uint32_t)blocks * TABLE_BLOCK;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[PAGES_SIZE];
        const uint8_t *p = bytes;

        if (!take(r, bytes, sizeof(bytes))) {
            return false;
        }
        run[i].gpa = get64(&p);
        run[i].length = get32(&p);
    }
    return true;
}

static bool take_resource(Reader *r, uint64_t size)
{
    uint8_t bytes[RESOURCE_SIZE];
    const uint8_t *p = bytes;
    struct TableResource t = { .state = 1 };
    uint64_t pages = size < RESOURCE_SIZE ? 0 : (size - RESOURCE_SIZE) / PAGES_SIZE;

    if (size < RESOURCE_SIZE || (size - RESOURCE_SIZE) % PAGES_SIZE || r->slots == TABLE_RESOURCES) {
        return fault(r, "a resource of %" PRIu64 " bytes, or one too many", size);
    }
    if (!take(r, bytes, sizeof(bytes))) {
        return false;
    }
    t.resource_id = get32(&p);
    t.is_2d = get32(&p);
    get_words(&p, &t.shape, sizeof(t.shape));
    t.backing = get32(&p);
    t.blob_mem = get32(&p);
    t.blob_flags = get32(&p);
    get32(&p);
    t.blob_size = get64(&p);
    memcpy(t.uuid, p, sizeof(t.uuid));
    if ((t.backing == TABLE_BACKING_PAGES) != (pages > 0)) {
        return fault(r, "resource %u has a backing without pages, or pages without a backing", t.resource_id);
    }
    if (!take_pages(r, &t, pages)) {
        return false;
    }
    memcpy(r->table + TABLE_RESOURCES_AT + (size_t)r->slots++ * sizeof(t), &t, sizeof(t));
    return true;
}

static bool take_picture(Reader *r, uint64_t size)
{
    uint8_t bytes[PICTURE_SIZE];
    const uint8_t *p = bytes;
    SavedPicture *picture;
    uint32_t id, w, h;

    if (size < sizeof(bytes)) {
        return fault(r, "a picture of %" PRIu64 " bytes", size);
    }
    if (!take(r, bytes, sizeof(bytes))) {
        return false;
    }
    id = get32(&p);
    w = get32(&p);
    h = get32(&p);
    size -= sizeof(bytes);
    if (!id || size % 4 || size / 4 != (uint64_t)w * h ||
        g_hash_table_contains(r->picture, GUINT_TO_POINTER(id))) {
        return fault(r, "a picture of %ux%u for resource %u in %" PRIu64 " bytes, or one too many", w, h, id,
                     size);
    }
    if (size > r->size - r->at) {
        return fault(r, "it ends early");
    }
    picture = g_new(SavedPicture, 1);
    *picture = (SavedPicture){ w, h, r->at };
    g_hash_table_insert(r->picture, GUINT_TO_POINTER(id), picture);
    r->at += size;
    return true;
}

static bool take_end(Reader *r, uint64_t size)
{
    uint8_t bytes[END_SIZE];
    const uint8_t *p = bytes;
    uint64_t before;

    if (size != sizeof(bytes)) {
        return fault(r, "an end of %" PRIu64 " bytes", size);
    }
    if (!take(r, bytes, sizeof(bytes))) {
        return false;
    }
    before = get64(&p);
    if (before != r->records || r->slots != r->resources || r->at != r->size) {
        return fault(r, "it has %u records and %u objects, and says %" PRIu64 " and %u, or goes on",
                     r->records, r->slots, before, r->resources);
    }
    r->ended = true;
    return true;
}

static bool take_record(Reader *r)
{
    uint8_t record[RECORD_SIZE];
    const uint8_t *p = record;
    uint32_t type, zero;
    uint64_t size;
    bool ok;

    if (!take(r, record, sizeof(record))) {
        return false;
    }
    type = get32(&p);
    zero = get32(&p);
    size = get64(&p);
    if (zero) {
        return fault(r, "record %u has 0x%x where there is nothing", type, zero);
    }
    switch (type) {
    case SAVED_QUEUE:
        ok = take_queue(r, size);
        break;
    case SAVED_SCANOUT:
        ok = take_scanout(r, size);
        break;
    case SAVED_RESOURCE:
        ok = take_resource(r, size);
        break;
    case SAVED_PICTURE:
        ok = take_picture(r, size);
        break;
    case SAVED_END:
        ok = take_end(r, size);
        break;
    default:
        return fault(r, "there is no record of type %u", type);
    }
    r->records++;
    return ok;
}

/* Each 2D picture has its pixels, and nothing else has. */
static bool give_pictures(Reader *r, Estate *e)
{
    guint given = 0;

    for (guint i = 0; i < e->resources->len; i++) {
        EstateResource *resource = &g_array_index(e->resources, EstateResource, i);
        const SavedPicture *p = g_hash_table_lookup(r->picture, GUINT_TO_POINTER(resource->id));

        if (!resource->is_2d) {
            continue;
        }
        if (!p || p->width != resource->shape.width || p->height != resource->shape.height) {
            return fault(r, "the pixels of resource %u are missing, or those of a picture of another size",
                         resource->id);
        }
        resource->pixels_at = p->at;
        given++;
    }
    if (given != g_hash_table_size(r->picture)) {
        return fault(r, "it has pixels of what is no 2D picture");
    }
    return true;
}

static Estate *read_all(Reader *r, uint32_t generation)
{
    struct TableHeader header = {
        .magic = TABLE_MAGIC,
        .version = TABLE_VERSION,
        .size = TABLE_SIZE,
        .generation = generation,
        .resources = TABLE_RESOURCES,
        .pages = TABLE_PAGES,
    };
    Estate *e;

    if (!take_header(r)) {
        return NULL;
    }
    while (!r->ended) {
        if (!take_record(r)) {
            return NULL;
        }
    }
    memcpy(r->table, &header, sizeof(header));
    e = estate_parse(r->table, TABLE_RESOURCES_AT + r->slots * sizeof(struct TableResource), generation,
                     r->error);
    if (e && e->refused) {
        fault(r, "%u of its objects make no sense (vgpud's log says which)", e->refused);
        g_clear_pointer(&e, estate_free);
    }
    if (e && !give_pictures(r, e)) {
        g_clear_pointer(&e, estate_free);
    }
    return e;
}

Estate *saved_read(int fd, uint32_t generation, GError **error)
{
    Reader r = { .fd = fd, .error = error };
    off_t size = lseek(fd, 0, SEEK_END);
    Estate *e;

    r.size = size < 0 ? 0 : (uint64_t)size;
    r.table =
        mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r.table == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "no memory for the saved state of the VM's graphics: %s", g_strerror(errno));
        return NULL;
    }
    r.picture = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    e = read_all(&r, generation);
    g_hash_table_unref(r.picture);
    if (!e) {
        munmap(r.table, TABLE_SIZE);
        return NULL;
    }
    e->map = r.table;
    e->contexts = r.contexts;
    e->pixels_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return e;
}
