/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's end of the gpu channel, as strict as QEMU is. */
#ifndef VGPU_TESTS_FUZZ_DEVICE_QEMU_H
#define VGPU_TESTS_FUZZ_DEVICE_QEMU_H

#include <stdbool.h>
#include <stdint.h>

/* The renderer's end, the caller's. */
int qemu_connect(void);
void qemu_say(uint32_t request, const void *payload, uint32_t size);
/*
 * Takes one message, if a whole one is there, and answers it where it wants an
 * answer.  refuse: a map is answered as where the host has no memory for it.
 */
bool qemu_hear(bool refuse);
/* It takes all maps away and says RESET, which the caller does. */
void qemu_reset(uint32_t generation);

#endif
