/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options and figures of the guest's test programs. */
#ifndef VGPU_TEST_ARGS_H
#define VGPU_TEST_ARGS_H

/* A decimal number, or the end of the program with status 2. */
unsigned long number(const char *text);

/* Monotonic. */
double seconds(void);

#endif
