/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object table's writer.  What is free is kept here, in our own memory:
 * nothing is ever read back from the memfd, which QEMU can write as well.
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

/* Pages are handed out in blocks of so many, to keep the bitmap small. */
#define BLOCK_PAGES 16
#define BLOCKS      (TABLE_PAGES / BLOCK_PAGES)

struct Table {
    uint8_t *map;
    uint32_t free_slots;                 /* how many are in free_slot */
    uint32_t free_slot[TABLE_RESOURCES]; /* a stack */
    uint32_t run_at[TABLE_RESOURCES];    /* the run of a slot, in blocks */
    uint32_t run_blocks[TABLE_RESOURCES];
    uint32_t next_block;
    uint8_t used[BLOCKS]; /* 1: taken */
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
    for (uint32_t i = 0; i < TABLE_RESOURCES; i++) {
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
    uint32_t blocks = count / BLOCK_PAGES + (count % BLOCK_PAGES != 0);
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
    memcpy((struct TablePages *)(t->map + TABLE_PAGES_AT) + at * BLOCK_PAGES, pages, count * sizeof(*pages));
    r->pages_at = at * BLOCK_PAGES;
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

void table_inflight(Table *t, unsigned queue, unsigned head, bool inflight)
{
    if (queue < TABLE_QUEUES && head < TABLE_QUEUE_MAX) {
        t->map[TABLE_INFLIGHT_AT + queue * TABLE_QUEUE_MAX + head] = inflight;
    }
}

void table_inflight_clear(Table *t)
{
    memset(t->map + TABLE_INFLIGHT_AT, 0, TABLE_QUEUES * TABLE_QUEUE_MAX);
}
