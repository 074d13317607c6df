/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP as the tests want it: with a limit on how long an answer may take.
 *
 * The limit is on what QEMU does and waits for by its own decision.  What its
 * main thread, or ours, was ready to run and waited for a CPU on a busy machine
 * is known from the kernel (schedstat) and not counted.
 */
#ifndef VGPU_QMP_H
#define VGPU_QMP_H

#include "vgpu-driver.h"
#include "qobject/qdict.h"

/* What a command takes beside waiting for a renderer. */
#define QMP_MARGIN_MS 250
/* How long QEMU may take with its renderer gone: deadline-ms and that. */
#define QMP_DEADLINE_MS (1000 + QMP_MARGIN_MS)

typedef struct QmpClock {
    GpuVm *vm;
    int64_t start;
    uint64_t waited;
} QmpClock;

QmpClock qmp_clock(GpuVm *vm);
/* Since then, less what was spent waiting for a CPU; *wall (or NULL): all of it. */
int qmp_elapsed_ms(const QmpClock *c, int *wall);

/* The command succeeds, and its answer comes within max_ms; returns what it took. */
int qmp_timed(GpuVm *vm, int max_ms, const char *json);
/* The error sentence of a command that must fail; to be freed. */
char *qmp_failure(GpuVm *vm, const char *json);

/* A property of the device by its qdev id; to be freed. */
char *qmp_state(Gpu *g);
uint64_t qmp_memory(Gpu *g, const char *property);
void qmp_wait_state(Gpu *g, const char *state, int timeout_ms);

/* device_del, and the guest's ACPI code ejects. */
void vm_unplug(GpuVm *vm, const char *id);

/* screendump of one head; pixels as 0xRRGGBB, to be freed. */
uint32_t *qmp_screendump(Gpu *g, unsigned head, unsigned *width, unsigned *height);

#endif
