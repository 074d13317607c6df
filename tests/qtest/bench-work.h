/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The work that is measured: virgl command streams, the same for every device
 * (bench-device.c) and for libvirglrenderer alone (../bench/device/floor.c).
 * Plain C: it is compiled in QEMU's tree and in ours.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stddef.h>
#include <stdint.h>

/* What a stream's context must have before: two render targets, attached to it. */
#define WORK_CONTEXT   1
#define WORK_TARGET    1   /* resource ids 1 and 2 */
#define WORK_SIDE      512 /* pixels, square, B8G8R8A8 */
#define WORK_CLEAR_MAX 4096

#define WORK_TARGET_2D    2 /* PIPE_TEXTURE_2D */
#define WORK_FORMAT_BGRA8 1
#define WORK_BIND_RENDER  (1u << 1 | 1u << 3) /* RENDER_TARGET, SAMPLER_VIEW */
#define WORK_UPLOAD       3                   /* a texture to write to */
#define WORK_UPLOAD_SIDE  1024                /* 4 MiB */
#define WORK_BIND_SAMPLER (1u << 3)

/* Surfaces on both targets.  Returns the number of dwords. */
size_t work_setup(uint32_t *dwords);
/* One NOP. */
size_t work_empty(uint32_t *dwords);
/*
 * Clears both targets in turn: llvmpipe would merge the clears of one.  At most
 * WORK_CLEAR_MAX; dwords holds WORK_CLEARS_DWORDS(clears).
 */
#define WORK_CLEARS_DWORDS(clears) (13u * (clears))
#define WORK_SETUP_DWORDS          16u
size_t work_clears(uint32_t *dwords, unsigned clears);

#endif
