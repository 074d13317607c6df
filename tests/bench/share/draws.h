/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Draws that a rasteriser cannot leave out or merge, whose work lies in their
 * pixels: a triangle over all of a square colour buffer, blended, some
 * operations for each pixel.
 */
#ifndef BENCH_SHARE_DRAWS_H
#define BENCH_SHARE_DRAWS_H

#include "gl_stream.h"

/* Once for a context: binds what the draws need; after that gl_set_framebuffer. */
void draws_prepare(GlStream *s, uint32_t side);
void draws_one(GlStream *s);

#endif
