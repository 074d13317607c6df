/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's graphics, saved: what another renderer, on another host perhaps and of
 * a later version, needs to go on where this one is.  This header is the format.
 *
 * Theory of operation
 *
 * It is the object table (table.h) without its holes, and the pixels of each 2D
 * picture.  They are what the guest transferred, and no backing can stand in
 * for them: a guest draws into a backing before it transfers, and the picture
 * that a user sees is of before.  (A lost renderer leaves no pixels, so its heir
 * reads backings.)  Blobs of guest memory are guest memory, and come with that.
 *
 * All numbers are little-endian words of 32 or 64 bits.  A header, then records,
 * each of a type, a zero word, and how many bytes follow:
 *
 *   header    magic, version, contexts left behind, resources; bytes of all pictures (64)
 *   QUEUE     number, used index, last head, taken; then per chain in flight: head, tries, order (64)
 *   SCANOUT   number, resource, x, y, width, height; frame: width, height, format, stride, offset;
 *             cursor: resource, x, y, hot x, hot y, visible
 *   RESOURCE  id, 2D or not, the ten words of its shape, backing, blob memory, blob flags, 0,
 *             blob size (64), UUID (16 bytes); then per run of pages: address (64), length, 0
 *   PICTURE   id, width, height, 0; then the pixels, row by row, as the guest would write them
 *   END       how many records came before
 *
 * Resources come before pictures, END last.  Who reads it takes it for hostile: it
 * is brought into the form of a table and read as one that a lost renderer left
 * (estate.h), and what is not whole, known and consistent is an error that says where.
 */
#ifndef VGPU_RENDERER_SAVED_H
#define VGPU_RENDERER_SAVED_H

#include "estate.h"

#define SAVED_MAGIC   0x56534756u /* "VGSV" */
#define SAVED_VERSION 1

enum SavedRecord {
    SAVED_QUEUE = 1,
    SAVED_SCANOUT = 2,
    SAVED_RESOURCE = 3,
    SAVED_PICTURE = 4,
    SAVED_END = 5,
};

/* Where it is written to; put says false when nothing more is taken. */
typedef struct SavedOut {
    bool (*put)(void *opaque, const void *bytes, size_t size);
    void *opaque;
    bool failed; /* it said so: nothing more is put */
    uint32_t records;
} SavedOut;

/* All but the pictures of its 2D resources and the end.  table: TABLE_SIZE bytes; rings: what is read instead
 * of the table's own, TABLE_RINGS_SIZE bytes. */
void saved_put_table(SavedOut *o, const uint8_t *table, const uint8_t *rings, uint32_t contexts);
/* Begins a picture of width * height * 4 bytes, which saved_put() puts. */
void saved_put_picture(SavedOut *o, uint32_t id, uint32_t width, uint32_t height);
void saved_put(SavedOut *o, const void *bytes, size_t size);
void saved_put_end(SavedOut *o);

/* fd: a memory file, borrowed.  The estate is of the guest of that generation. */
Estate *saved_read(int fd, uint32_t generation, GError **error);

#endif
