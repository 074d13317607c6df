/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving a VM between two QEMUs of one test, each with a vgpud and renderers of
 * its own.
 *
 * The guest of a qtest is the test, so its driver moves along: after move_by()
 * the same Gpu drives the device in the other QEMU, rings and all.
 */
#ifndef VGPU_MOVE_H
#define VGPU_MOVE_H

#include "vgpu-driver.h"

#define MOVE_MS 30000

/* A VM with that renderer ("2d", "null", "auto") and a driver that runs. */
Gpu *move_begin(const char *renderer, const char *device, uint64_t extension);
void move_end(Gpu *g);

/* A QEMU that waits to be told where a VM comes from, with a vgpud of its own. */
GpuVm *move_elsewhere(const char *device);
/* What it said on stderr since; to be freed. */
char *move_said(void);

/* QMP's migrate, migrate-incoming (which does not end QEMU when it fails) and query-migrate. */
void move_send(GpuVm *vm, const char *uri);
void move_receive(GpuVm *vm, const char *uri);
char *move_status(GpuVm *vm);
/* True: completed; false: failed.  *why (or NULL): to be freed. */
bool move_wait(GpuVm *vm, char **why);
void move_running(GpuVm *vm);

/* The driver goes on in vm; the QEMU it was in ends. */
void move_driver(Gpu *g, GpuVm *vm);

/* All of it.  device: as it is plugged there. */
void move_by_socket(Gpu *g, const char *device);
void move_by_file(Gpu *g, const char *device);
void move_by_file_stopped(Gpu *g, const char *device); /* and it stays so */

/*
 * A picture on scanout 0, of which the backing is another one by now (it is all
 * 0x77); one that has no backing any more, of another format; and a pointer.
 */
#define MOVE_PICTURE  5
#define MOVE_DETACHED 6
#define MOVE_CURSOR   7
#define MOVE_WIDTH    321 /* no multiple of anything */
#define MOVE_HEIGHT   199
uint32_t *move_draw(Gpu *g); /* what the screen shows; to be freed */
/* The one without backing is as it was drawn. */
void move_expect_detached(Gpu *g);
/* Waits for a screen of that size; to be freed. */
uint32_t *move_screen(Gpu *g, unsigned w, unsigned h);
/* Waits for it: a renderer that has taken over reads the picture when the VM runs. */
void move_expect_screen(Gpu *g, const uint32_t *want, unsigned w, unsigned h);
/* All of these are there, and new ones can be drawn. */
void move_expect_goes_on(Gpu *g);

/* Moving lasts from now on until move_hurry_up(): when this returns, memory below 160 MiB was sent once. */
void move_slowly(Gpu *g, const char *uri);
void move_hurry_up(Gpu *g);

/* A file of a stopped or running VM that is saved: its name, to be freed. */
char *move_to_file(Gpu *g);

#endif
