/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of QEMU is played for fuzz-qemu-channel. */
#ifndef VGPU_TESTS_FUZZ_QEMU_REST_H
#define VGPU_TESTS_FUZZ_QEMU_REST_H

#include "qemu/osdep.h"

#include "fuzz.h"
#include "vgpu.h"

/* Time passes only here; what is due is called. */
void rest_advance(unsigned ms);
/* A display looks, or was resized. */
void rest_refresh(unsigned console);
void rest_resize(unsigned console, uint32_t width, uint32_t height);
/* The guest looks at all of the window. */
void rest_look_at_window(uint64_t size);
/* The consoles show nothing of a renderer, and nothing is owed. */
void rest_check_idle(void);

#endif
