/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Not strtoul(): a build against a new libc would not run in an old guest. */
unsigned long number(const char *text)
{
    unsigned long value = 0;

    if (!text || !*text || strlen(text) > 9 || strspn(text, "0123456789") != strlen(text)) {
        fprintf(stderr, "'%s' is not a number\n", text ? text : "");
        exit(2);
    }
    for (; *text; text++) {
        value = value * 10 + (unsigned long)(*text - '0');
    }
    return value;
}

double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
