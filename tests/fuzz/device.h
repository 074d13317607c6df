/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A renderer's device between a guest and a QEMU that are played here, in one
 * process: commands come as elements that no ring has, with each of their pieces
 * in memory of its own, so that a byte too far is one of nobody.
 *
 * It is checked after each step: what the renderer says to QEMU is within the
 * protocol, and what QEMU would take it for taken over for is not asked; what is
 * charged is within the limit; and at the end each command has had one answer,
 * and after a reset nothing is left of the guest.
 */
#ifndef VGPU_TESTS_FUZZ_DEVICE_H
#define VGPU_TESTS_FUZZ_DEVICE_H

#include "input.h"
#include "renderer/command.h"

#define DEVICE_LIMIT   (8ull << 20)
#define DEVICE_WINDOW  (1ull << 20)
#define DEVICE_OUTPUTS 3

/* Guest memory: two regions of that size, at 0 and at DEVICE_PLUGGED, which can be unplugged. */
#define DEVICE_REGION  (256u * 1024)
#define DEVICE_PLUGGED (1u << 20)

typedef enum DeviceKind { DEVICE_NULL, DEVICE_2D } DeviceKind;

/* Made at the first call and used again. */
void device_begin(DeviceKind kind, uint64_t features);
/*
 * The guest asks: pieces in and out as cut says, a bit each (0: in one).  tries:
 * renderers that were lost with it.
 */
void device_command(unsigned queue, const void *request, size_t size, size_t room, uint8_t cut,
                    unsigned tries);
/* QEMU reads so many messages and answers those that want it; refuse: maps for lack of memory. */
void device_qemu(unsigned messages, bool refuse);
/* QEMU says something; it may be nonsense. */
void device_channel(uint32_t request, const void *payload, uint32_t size);
void device_reset(void);
void device_plug(bool plug);
/* All is answered, and then reset. */
void device_end(void);

#endif
