/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Small files, and text for people and programs. */
#ifndef VGPU_SMI_TEXT_H
#define VGPU_SMI_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/*
 * The first line of a file without its end, at most size - 1 bytes of it; ""
 * and false where there is none.  The path is made as by printf.
 */
bool text_of(char *out, size_t size, const char *path, ...)
	__attribute__((format(printf, 3, 4)));

/* A number in a file, decimal or 0x; false where there is none. */
bool number_of(uint64_t *out, const char *path, ...)
	__attribute__((format(printf, 2, 3)));

/* The last component of what a symbolic link points to; "" and false: none. */
bool link_of(char *out, size_t size, const char *path, ...)
	__attribute__((format(printf, 3, 4)));

bool path_exists(const char *path, ...) __attribute__((format(printf, 1, 2)));

/*
 * What others gave us (the host, other processes' names) for a terminal: no
 * control characters, valid UTF-8.  In place, never longer.
 */
void text_clean(char *text);

/* How many columns it takes, one for each character. */
unsigned int text_width(const char *text);

/* Bytes as "1024 MiB", nanoseconds as "1.5 s"; in buffers that rotate (8). */
const char *text_mib(uint64_t bytes);
const char *text_time(uint64_t ns);

/* A JSON string with its quotes. */
void json_string(FILE *out, const char *text);

#endif
