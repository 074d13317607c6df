/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench-work.h"

#include <string.h>

#define COMMAND(opcode, object, length)                                                                      \
    ((uint32_t)(opcode) | (uint32_t)(object) << 8 | (uint32_t)(length) << 16)
enum { NOP = 0, CREATE_OBJECT = 1, SET_FRAMEBUFFER = 5, CLEAR = 7, OBJECT_SURFACE = 8 };
#define CLEAR_COLOR0 4

size_t work_setup(uint32_t *dwords)
{
    size_t n = 0;

    for (uint32_t i = 0; i < 2; i++) {
        dwords[n++] = COMMAND(CREATE_OBJECT, OBJECT_SURFACE, 5);
        dwords[n++] = 1 + i; /* handle */
        dwords[n++] = WORK_TARGET + i;
        dwords[n++] = WORK_FORMAT_BGRA8;
        dwords[n++] = 0; /* level */
        dwords[n++] = 0; /* layers */
    }
    return n;
}

size_t work_empty(uint32_t *dwords)
{
    dwords[0] = COMMAND(NOP, 0, 0);
    return 1;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

size_t work_clears(uint32_t *dwords, unsigned clears)
{
    size_t n = 0;

    for (unsigned i = 0; i < clears; i++) {
        dwords[n++] = COMMAND(SET_FRAMEBUFFER, 0, 3);
        dwords[n++] = 1; /* colour buffers */
        dwords[n++] = 0; /* no depth */
        dwords[n++] = 1 + i % 2;
        dwords[n++] = COMMAND(CLEAR, 0, 8);
        dwords[n++] = CLEAR_COLOR0;
        dwords[n++] = bits_of((float)(i % 16) / 16);
        dwords[n++] = bits_of((float)(i / 16 % 16) / 16);
        dwords[n++] = bits_of(0.5f);
        dwords[n++] = bits_of(1);
        dwords[n++] = 0; /* depth, a double */
        dwords[n++] = 0;
        dwords[n++] = 0; /* stencil */
    }
    return n;
}
