/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object table: what the guest believes to exist, in a memfd that QEMU
 * holds and that outlives this process.  Written here, read by whoever takes
 * over from a lost renderer - who must check every field as if the guest had
 * written it.  This header is the format.
 *
 *   0                    struct TableHeader, padded to 4096 bytes
 *   TABLE_SCANOUTS_AT    struct TableScanout [TABLE_SCANOUTS]
 *   TABLE_QUEUES_AT      struct TableQueue [TABLE_QUEUES]
 *   TABLE_CHAINS_AT      struct TableChain [TABLE_QUEUES][TABLE_QUEUE_MAX], by head
 *   TABLE_RESOURCES_AT   struct TableResource [TABLE_RESOURCES]
 *   TABLE_PAGES_AT       struct TablePages [...]: backings, in runs
 *
 * Host byte order.  An entry is in use while its state is 1: state is stored
 * last when it is made and first when it goes, so that a process killed
 * anywhere leaves no half entry in use.
 *
 * A chain is in flight from when it was popped until its answer is in the used
 * ring.  A process may be killed between the ring and this table, hence
 * TableQueue: where the ring's used index is not used_idx any more, the answer
 * to last_head got there and no other one did.  A chain that was popped and is
 * not entered yet is the last one taken: it is found in the available ring again.
 */
#ifndef VGPU_RENDERER_TABLE_H
#define VGPU_RENDERER_TABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "../quota/size.h"
#include "rect.h"

#define TABLE_MAGIC     0x4c424f56u /* "VOBL" */
#define TABLE_VERSION   3
#define TABLE_SIZE      (16u * 1024 * 1024)
#define TABLE_SCANOUTS  16
#define TABLE_QUEUES    10
#define TABLE_QUEUE_MAX 1024
/* A desktop has a few thousand, a game some ten thousand. */
#define TABLE_RESOURCES 65536

struct TableHeader {
    uint32_t magic, version;
    uint64_t size;       /* TABLE_SIZE */
    uint32_t generation; /* of the guest: resets so far */
    uint32_t resources;  /* TABLE_RESOURCES */
    uint32_t pages;      /* how many struct TablePages there are */
    uint32_t pad;
};

/* How a blob lies in memory as a picture. */
typedef struct BlobFrame {
    uint32_t width, height; /* pixels */
    uint32_t format;        /* VIRTIO_GPU_FORMAT_*, of the 2D ones; 0: it is no blob's */
    uint32_t stride;        /* bytes from row to row */
    uint32_t offset;        /* bytes to the first */
} BlobFrame;

/* The pointer, as the last UPDATE_CURSOR and MOVE_CURSOR left it. */
struct TableCursor {
    uint32_t resource_id; /* 0: none */
    uint32_t x, y, hot_x, hot_y;
    uint32_t visible;
};

struct TableScanout {
    uint32_t resource_id;         /* 0: off */
    uint32_t x, y, width, height; /* part of the resource */
    BlobFrame frame;              /* five words */
    struct TableCursor cursor;    /* six words */
};

struct TableQueue {
    uint16_t used_idx;  /* of the used ring, as far as this table follows it */
    uint16_t last_head; /* whose answer was written after that */
    uint32_t taken;     /* chains since the reset, or one less; wraps */
    uint64_t pad2;
};

struct TableChain {
    uint64_t order; /* in which they were popped; 0: not in flight */
    uint32_t tries; /* renderers that were lost with it */
    uint32_t pad;
};

enum TableBacking {
    TABLE_BACKING_NONE = 0,
    TABLE_BACKING_PAGES = 1, /* pages_at, pages_count */
    TABLE_BACKING_LOST = 2,  /* there is one, but it did not fit in here */
};

struct TableResource {
    uint32_t state; /* 1: in use */
    uint32_t resource_id;
    ResourceShape shape; /* ten words */
    uint64_t charged;    /* bytes */
    uint32_t is_2d;      /* made by RESOURCE_CREATE_2D */
    uint32_t backing;    /* enum TableBacking */
    uint32_t pages_at;   /* index of the first struct TablePages */
    uint32_t pages_count;
    uint8_t uuid[16];  /* all zero: none */
    uint32_t blob_mem; /* VIRTIO_GPU_BLOB_MEM_*; 0: no blob.  A blob's shape is all zero */
    uint32_t blob_flags;
    uint64_t blob_size; /* bytes */
};

struct TablePages {
    uint64_t gpa;
    uint32_t length;
    uint32_t pad;
};

#define TABLE_SCANOUTS_AT  4096u
#define TABLE_QUEUES_AT    8192u
#define TABLE_CHAINS_AT    12288u
#define TABLE_CHAINS_SIZE  (TABLE_QUEUES * TABLE_QUEUE_MAX * (uint32_t)sizeof(struct TableChain))
#define TABLE_RESOURCES_AT ((TABLE_CHAINS_AT + TABLE_CHAINS_SIZE + 4095u) & ~4095u)
#define TABLE_PAGES_AT     (TABLE_RESOURCES_AT + TABLE_RESOURCES * (uint32_t)sizeof(struct TableResource))
/* All of the rings, which threads change under the vhost lock; the rest is the render thread's. */
#define TABLE_RINGS_AT   TABLE_QUEUES_AT
#define TABLE_RINGS_SIZE (TABLE_RESOURCES_AT - TABLE_RINGS_AT)
/* Pages are handed out in blocks of so many. */
#define TABLE_BLOCK 16u
#define TABLE_PAGES ((TABLE_SIZE - TABLE_PAGES_AT) / (uint32_t)sizeof(struct TablePages))

G_STATIC_ASSERT(sizeof(struct TableScanout) == 64);
G_STATIC_ASSERT(sizeof(struct TableResource) == 104);
G_STATIC_ASSERT(sizeof(struct TableQueue) == 16);
G_STATIC_ASSERT(sizeof(struct TableChain) == 16);
G_STATIC_ASSERT(TABLE_SCANOUTS_AT + TABLE_SCANOUTS * sizeof(struct TableScanout) <= TABLE_QUEUES_AT);
G_STATIC_ASSERT(TABLE_QUEUES_AT + TABLE_QUEUES * sizeof(struct TableQueue) <= TABLE_CHAINS_AT);
G_STATIC_ASSERT(TABLE_PAGES_AT + 4u * 1024 * 1024 < TABLE_SIZE);

typedef struct Table Table;

/* fd is borrowed.  Clears the table. */
Table *table_new(int fd, GError **error);

/* Render thread: everything goes, for a new generation. */
void table_reset(Table *t, uint32_t generation);

/* A slot for a resource, G_MAXUINT32 when all are taken. */
uint32_t table_resource_new(Table *t, uint32_t resource_id, const ResourceShape *shape, uint64_t charged,
                            bool is_2d);
void table_resource_blob(Table *t, uint32_t slot, uint32_t mem, uint32_t flags, uint64_t size);
void table_resource_free(Table *t, uint32_t slot);
void table_resource_uuid(Table *t, uint32_t slot, const uint8_t uuid[16]);
/* pages: NULL takes the backing away. */
void table_resource_backing(Table *t, uint32_t slot, const struct TablePages *pages, uint32_t count);
/* frame: NULL where the resource is no blob. */
void table_scanout(Table *t, unsigned scanout, uint32_t resource_id, const Rect *rect,
                   const BlobFrame *frame);

void table_cursor(Table *t, unsigned scanout, const struct TableCursor *cursor);
void table_cursor_move(Table *t, unsigned scanout, uint32_t x, uint32_t y, bool visible);

/* Under Vhost.lock: a ring starts, a chain was popped, its answer is pushed. */
void table_ring(Table *t, unsigned queue, uint16_t used_idx);
void table_popped(Table *t, unsigned queue, unsigned head, uint32_t tries);
void table_taken(Table *t, unsigned queue, uint32_t taken); /* that many, before this renderer */
void table_push_begin(Table *t, unsigned queue, unsigned head);
void table_push_end(Table *t, unsigned queue, unsigned head, uint16_t used_idx);
void table_rings_clear(Table *t);
/*
 * All TABLE_SIZE bytes as they are now, to be saved or looked through: QEMU can
 * write there, so they are as good as what a lost renderer left.
 */
const uint8_t *table_bytes(const Table *t);
/* Another renderer is to read it: what is written from now on goes nowhere. */
void table_let_go(Table *t);

#endif
