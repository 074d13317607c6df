/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP as the tests want it: with a limit on how long an answer may take. */
#ifndef VGPU_QMP_H
#define VGPU_QMP_H

#include "vgpu-driver.h"
#include "qobject/qdict.h"

/* How long QEMU may take with its renderer gone: the 1 s deadline and slack. */
#define QMP_DEADLINE_MS 3000

/* The command succeeds, and its answer comes within max_ms. */
void qmp_timed(GpuVm *vm, int max_ms, const char *json);
/* The error sentence of a command that must fail; to be freed. */
char *qmp_failure(GpuVm *vm, const char *json);

/* A property of the device by its qdev id; to be freed. */
char *qmp_state(Gpu *g);
uint64_t qmp_memory(Gpu *g, const char *property);
void qmp_wait_state(Gpu *g, const char *state, int timeout_ms);

/* screendump of one head; pixels as 0xRRGGBB, to be freed. */
uint32_t *qmp_screendump(Gpu *g, unsigned head, unsigned *width, unsigned *height);

#endif
