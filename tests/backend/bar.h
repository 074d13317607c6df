/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window for host-visible memory as QEMU has it: takes BLOB_MAP and
 * BLOB_UNMAP out of the channel's queue, holds them against the contract as
 * QEMU does (what QEMU would end the connection for fails the test), maps, and
 * answers.  It is served while the front-end waits for an answer.
 */
#ifndef TEST_BAR_H
#define TEST_BAR_H

#include "frontend.h"

typedef struct Bar {
    Frontend *f;
    uint64_t size;
    uint8_t *base;    /* zeros where nothing is mapped */
    GHashTable *maps; /* offset -> size, allocated */
    bool hold;        /* withhold BLOB_DONE: they are kept in held */
    GQueue held;
    unsigned refuse; /* so many maps are answered NO_MEMORY */
    unsigned mapped, unmapped, stale;
} Bar;

/* Tells the renderer of a window of size bytes. */
Bar *bar_new(Frontend *f, uint64_t size);
void bar_free(Bar *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bar, bar_free)

void bar_pump(Bar *b);
/* Until so many maps and unmaps have come, ever. */
bool bar_wait(Bar *b, unsigned mapped, unsigned unmapped, int timeout);
/* Answers what is held, and from now on at once. */
void bar_release(Bar *b);
/* As QEMU does before it sends RESET. */
void bar_revoke(Bar *b);

uint32_t bar_word(const Bar *b, uint64_t offset);

#endif
