/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM of the fake front-end: one memfd, seen by the guest as two regions
 * with a hole between them, so that a back-end which forgets to translate, or
 * which lets a buffer run over the end of a region, is found out.
 */
#ifndef TEST_RAM_H
#define TEST_RAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define RAM_LOW_GPA  0x0ull
#define RAM_HIGH_GPA 0x100000000ull
/* What the front-end tells as its own addresses: deliberately not ours. */
#define RAM_LOW_QVA  0x550000000000ull
#define RAM_HIGH_QVA 0x660000000000ull
/* In the hole: never backed. */
#define RAM_NOWHERE 0x80000000ull

typedef struct Ram {
    int fd;
    uint8_t *host; /* all of it, low region first */
    uint64_t low_size;
    uint64_t high_size;
    uint64_t low_next; /* guest physical addresses not handed out yet */
    uint64_t high_next;
    GHashTable *sizes; /* gpa -> size class of what is handed out */
    GQueue freed[40];  /* by size class: gpa that were given back */
} Ram;

/* Sizes in bytes, multiples of 4096. */
Ram *ram_new(uint64_t low_size, uint64_t high_size);
void ram_free(Ram *ram);

/* Zeroed memory at a guest physical address, aligned to its size up to a page. */
uint64_t ram_alloc(Ram *ram, uint64_t size);
uint64_t ram_alloc_high(Ram *ram, uint64_t size);
void ram_release(Ram *ram, uint64_t gpa);

/* The test's own pointer to guest memory; gpa must be in RAM. */
void *ram_ptr(Ram *ram, uint64_t gpa);
/* The address as the front-end names it to the back-end. */
uint64_t ram_qva(Ram *ram, uint64_t gpa);

/* Copies data into fresh guest memory. */
uint64_t ram_dup(Ram *ram, const void *data, uint64_t size);

#endif
