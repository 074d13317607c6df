/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a Vulkan command is put together, for vulkan_stream.c and vulkan_copy.c. */
#ifndef TEST_VULKAN_WORDS_H
#define TEST_VULKAN_WORDS_H

#include "vulkan_stream.h"

enum { INSTANCE = 1, PHYSICAL, DEVICE }; /* ids */

typedef struct Stream {
    uint32_t words[96];
    unsigned n;
} Stream;

static inline void word(Stream *s, uint32_t w)
{
    g_assert_cmpuint(s->n, <, G_N_ELEMENTS(s->words));
    s->words[s->n++] = w;
}

static inline void wide(Stream *s, uint64_t w)
{
    word(s, (uint32_t)w);
    word(s, (uint32_t)(w >> 32));
}

/* Pointers and arrays say how many there are of what follows; a NULL is none. */
static inline void there(Stream *s, uint64_t count)
{
    wide(s, count);
}

static inline void none(Stream *s)
{
    wide(s, 0);
}

static inline void command(Stream *s, uint32_t type)
{
    *s = (Stream){ 0 };
    word(s, type);
    word(s, 0); /* no answer */
}

static inline void send(Frontend *f, uint32_t ctx, const Stream *s)
{
    venus_check(f, "Vulkan commands", gpu_submit(f, ctx, s->words, s->n), OK_NODATA);
}

#endif
