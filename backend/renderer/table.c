/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object table's writer.  What is free is kept here, in our own memory:
 * nothing here is read back from the memfd, which QEMU can write as well.
 *
 * Runs of pages are taken by next fit from a bitmap of blocks.  When no run is
 * long enough the backing is marked lost: a later renderer then loses that
 * resource's contents, nothing else.
 */
#include "table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of pages, to keep the bitmap small. */
#define BLOCKS (TABLE_PAGES / TABLE_BLOCK)

struct Table {
    uint8_t *map;
    uint32_t free_slots;                 /* how many are in free_slot */
    uint32_t free_slot[TABLE_RESOURCES]; /* a stack, the first slots on top */
    uint32_t touched;                    /* no slot from here on was taken since the reset */
    uint32_t run_at[TABLE_RESOURCES];    /* the run of a slot, in blocks */
    uint32_t run_blocks[TABLE_RESOURCES];
    uint32_t next_block;
    uint8_t used[BLOCKS]; /* 1: taken */
    uint64_t order;       /* of the chain popped last */
};

static struct TableHeader *table_header(Table *t)
{
    return (struct TableHeader *)t->map;
}

static struct TableResource *table_entry(Table *t, uint32_t slot)
{
    return (struct TableResource *)(t->map + TABLE_RESOURCES_AT) + slot;
}

static void table_forget(Table *t)
{
    t->free_slots = TABLE_RESOURCES;
    for (uint32_t i = 0; i < TABLE_RESOURCES; i++) {
        t->free_slot[i] = TABLE_RESOURCES - 1 - i;
    }
    memset(t->run_blocks, 0, sizeof(t->run_blocks));
    memset(t->used, 0, sizeof(t->used));
    t->next_block = 0;
    t->touched = 0;
}

Table *table_new(int fd, GError **error)
{
    struct stat st;
    Table *t;
    void *map;

    if (fstat(fd, &st) < 0 || st.st_size < (off_t)TABLE_SIZE) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "the object table (descriptor %d) is not a memory file of %u bytes", fd, TABLE_SIZE);
        return NULL;
    }
    map = mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot map the object table (descriptor %d): %s", fd, g_strerror(errno));
        return NULL;
    }
    t = g_new0(Table, 1);
    t->map = map;
    table_forget(t);
    *table_header(t) = (struct TableHeader){
        .magic = TABLE_MAGIC,
        .version = TABLE_VERSION,
        .size = TABLE_SIZE,
        .resources = TABLE_RESOURCES,
        .pages = TABLE_PAGES,
    };
    return t;
}

void table_reset(Table *t, uint32_t generation)
{
    /* Not all of them: to look at a page of the file is to have it. */
    for (uint32_t i = 0; i < t->touched; i++) {
        if (table_entry(t, i)->state) {
            __atomic_store_n(&table_entry(t, i)->state, 0, __ATOMIC_RELEASE);
        }
    }
    memset(t->map + TABLE_SCANOUTS_AT, 0, TABLE_SCANOUTS * sizeof(struct TableScanout));
    table_forget(t);
    table_header(t)->generation = generation;
}

uint32_t table_resource_new(Table *t, uint32_t resource_id, const ResourceShape *shape, uint64_t charged,
                            bool is_2d)
{
    struct TableResource *r;
    uint32_t slot;

    if (!t->free_slots) {
        return G_MAXUINT32;
    }
    slot = t->free_slot[--t->free_slots];
    t->touched = MAX(t->touched, slot + 1);
    r = table_entry(t, slot);
    *r = (struct TableResource){
        .resource_id = resource_id,
        .shape = *shape,
        .charged = charged,
        .is_2d = is_2d,
    };
    __atomic_store_n(&r->state, 1, __ATOMIC_RELEASE);
    return slot;
}

void table_resource_blob(Table *t, uint32_t slot, uint32_t mem, uint32_t flags, uint64_t size)
{
    struct TableResource *r = table_entry(t, slot);

    r->blob_flags = flags;
    r->blob_size = size;
    __atomic_store_n(&r->blob_mem, mem, __ATOMIC_RELEASE);
}

static void table_run_free(Table *t, uint32_t slot)
{
    memset(t->used + t->run_at[slot], 0, t->run_blocks[slot]);
    t->run_blocks[slot] = 0;
}

void table_resource_free(Table *t, uint32_t slot)
{
    __atomic_store_n(&table_entry(t, slot)->state, 0, __ATOMIC_RELEASE);
    table_run_free(t, slot);
    t->free_slot[t->free_slots++] = slot;
}

void table_resource_uuid(Table *t, uint32_t slot, const uint8_t uuid[16])
{
    memcpy(table_entry(t, slot)->uuid, uuid, 16);
}

/* A run of blocks, from where the last search ended; G_MAXUINT32: none. */
static uint32_t table_run_find(Table *t, uint32_t blocks)
{
    uint32_t at = t->next_block, run = 0;

    for (uint32_t seen = 0; seen < BLOCKS + blocks; seen++, at++) {
        if (at >= BLOCKS) {
            at = 0;
            run = 0;
        }
        run = t->used[at] ? 0 : run + 1;
        if (run == blocks) {
            t->next_block = (at + 1) % BLOCKS;
            return at + 1 - blocks;
        }
    }
    return G_MAXUINT32;
}

void table_resource_backing(Table *t, uint32_t slot, const struct TablePages *pages, uint32_t count)
{
    struct TableResource *r = table_entry(t, slot);
    uint32_t blocks = count / TABLE_BLOCK + (count % TABLE_BLOCK != 0);
    uint32_t at;

    __atomic_store_n(&r->backing, TABLE_BACKING_NONE, __ATOMIC_RELEASE);
    table_run_free(t, slot);
    if (!pages || !count) {
        return;
    }
    at = blocks <= BLOCKS ? table_run_find(t, blocks) : G_MAXUINT32;
    if (at == G_MAXUINT32) {
        __atomic_store_n(&r->backing, TABLE_BACKING_LOST, __ATOMIC_RELEASE);
        return;
    }
    memset(t->used + at, 1, blocks);
    t->run_at[slot] = at;
    t->run_blocks[slot] = blocks;
    memcpy((struct TablePages *)(t->map + TABLE_PAGES_AT) + at * TABLE_BLOCK, pages, count * sizeof(*pages));
    r->pages_at = at * TABLE_BLOCK;
    r->pages_count = count;
    __atomic_store_n(&r->backing, TABLE_BACKING_PAGES, __ATOMIC_RELEASE);
}

void table_scanout(Table *t, unsigned scanout, uint32_t resource_id, const Rect *rect, const BlobFrame *frame)
{
    struct TableScanout *s = (struct TableScanout *)(t->map + TABLE_SCANOUTS_AT) + scanout;

    __atomic_store_n(&s->resource_id, 0, __ATOMIC_RELEASE);
    if (resource_id) {
        s->x = rect->x;
        s->y = rect->y;
        s->width = rect->w;
        s->height = rect->h;
        s->frame = frame ? *frame : (BlobFrame){ 0 };
        __atomic_store_n(&s->resource_id, resource_id, __ATOMIC_RELEASE);
    }
}

static struct TableCursor *table_cursor_of(Table *t, unsigned scanout)
{
    return &((struct TableScanout *)(t->map + TABLE_SCANOUTS_AT))[scanout].cursor;
}

void table_cursor(Table *t, unsigned scanout, const struct TableCursor *cursor)
{
    struct TableCursor *c = table_cursor_of(t, scanout), later = *cursor;

    __atomic_store_n(&c->resource_id, 0, __ATOMIC_RELEASE);
    later.resource_id = 0;
    *c = later;
    __atomic_store_n(&c->resource_id, cursor->resource_id, __ATOMIC_RELEASE);
}

void table_cursor_move(Table *t, unsigned scanout, uint32_t x, uint32_t y, bool visible)
{
    struct TableCursor *c = table_cursor_of(t, scanout);

    c->x = x;
    c->y = y;
    c->visible = visible;
}

static struct TableQueue *table_queue(Table *t, unsigned queue)
{
    return (struct TableQueue *)(t->map + TABLE_QUEUES_AT) + queue;
}

/* NULL: a ring longer than any we make has such heads. */
static struct TableChain *table_chain(Table *t, unsigned queue, unsigned head)
{
    return queue < TABLE_QUEUES && head < TABLE_QUEUE_MAX
               ? (struct TableChain *)(t->map + TABLE_CHAINS_AT) + queue * TABLE_QUEUE_MAX + head
               : NULL;
}

void table_ring(Table *t, unsigned queue, uint16_t used_idx)
{
    __atomic_store_n(&table_queue(t, queue)->used_idx, used_idx, __ATOMIC_RELEASE);
}

void table_popped(Table *t, unsigned queue, unsigned head, uint32_t tries)
{
    struct TableChain *c = table_chain(t, queue, head);

    if (c) {
        c->tries = tries;
        __atomic_store_n(&c->order, ++t->order, __ATOMIC_RELEASE);
    }
    if (!tries) {
        __atomic_store_n(&table_queue(t, queue)->taken, table_queue(t, queue)->taken + 1, __ATOMIC_RELAXED);
    }
}

void table_taken(Table *t, unsigned queue, uint32_t taken)
{
    __atomic_store_n(&table_queue(t, queue)->taken, taken, __ATOMIC_RELAXED);
}

void table_push_begin(Table *t, unsigned queue, unsigned head)
{
    __atomic_store_n(&table_queue(t, queue)->last_head, (uint16_t)head, __ATOMIC_SEQ_CST);
}

void table_push_end(Table *t, unsigned queue, unsigned head, uint16_t used_idx)
{
    struct TableChain *c = table_chain(t, queue, head);

    if (c) {
        __atomic_store_n(&c->order, 0, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&table_queue(t, queue)->used_idx, used_idx, __ATOMIC_SEQ_CST);
}

void table_rings_clear(Table *t)
{
    memset(t->map + TABLE_CHAINS_AT, 0, TABLE_QUEUES * TABLE_QUEUE_MAX * sizeof(struct TableChain));
    memset(t->map + TABLE_QUEUES_AT, 0, TABLE_QUEUES * sizeof(struct TableQueue));
}

const uint8_t *table_bytes(const Table *t)
{
    return t->map;
}

void table_let_go(Table *t)
{
    /* In place, as other threads go on writing.  Where that fails only our end keeps it as it is. */
    if (mmap(t->map, TABLE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED) {
        _exit(1);
    }
}
