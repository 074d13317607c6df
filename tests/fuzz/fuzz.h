/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the libFuzzer targets share. */
#ifndef VGPU_TESTS_FUZZ_H
#define VGPU_TESTS_FUZZ_H

#include <fcntl.h>
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On in every build, unlike assert(). */
#define FUZZ_ASSERT(x)                                                                                       \
    do {                                                                                                     \
        if (!(x)) {                                                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* How many are open, of the first ones: none may be left when an input is through. */
static inline unsigned fuzz_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 128; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
