/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a fuzzer's bytes say, for targets that are sequences of steps.  Past the
 * end all is 0.
 */
#ifndef VGPU_TESTS_FUZZ_INPUT_H
#define VGPU_TESTS_FUZZ_INPUT_H

#include "fuzz.h"

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static inline uint8_t input_byte(Input *in)
{
    if (!in->size) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

static inline uint32_t input_raw(Input *in)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++) {
        v |= (uint32_t)input_byte(in) << 8 * i;
    }
    return v;
}

/*
 * A 32-bit value of one byte where it is one that something turns upon: small
 * ones, powers of two and what is below, pages, what is near the end; or of five.
 */
static inline uint32_t input_word(Input *in)
{
    uint8_t b = input_byte(in);

    switch (b >> 5) {
    case 4:
        return 1u << (b & 31);
    case 5:
        return (1u << (b & 31)) - 1;
    case 6:
        return 4096u * (b & 31);
    case 7:
        return b < 0xf0 ? ~(uint32_t)(b & 15) : input_raw(in);
    default:
        return b;
    }
}

#endif
