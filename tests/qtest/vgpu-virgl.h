/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A little virgl: enough to make a resource, clear it, and read it back. */
#ifndef VGPU_VIRGL_H
#define VGPU_VIRGL_H

#include "vgpu-driver.h"

enum { /* pipe targets and virgl's formats and bind flags */
       PIPE_BUFFER = 0,
       PIPE_TEXTURE_1D = 1,
       PIPE_TEXTURE_2D = 2,
       PIPE_TEXTURE_3D = 3,
       PIPE_TEXTURE_CUBE = 4,
       PIPE_TEXTURE_RECT = 5,
       PIPE_TEXTURE_1D_ARRAY = 6,
       PIPE_TEXTURE_2D_ARRAY = 7,
       PIPE_TEXTURE_CUBE_ARRAY = 8,
       VIRGL_FORMAT_BGRA8 = 1,
       VIRGL_FORMAT_R8 = 64,
       VIRGL_BIND_RENDER_TARGET = 1 << 1,
       VIRGL_BIND_SAMPLER = 1 << 3,
       VIRGL_BIND_VERTEX = 1 << 4,
       VIRGL_BIND_CUSTOM = 1 << 17,
       VIRGL_BIND_STAGING = 1 << 19,
};

typedef struct VirglShape {
    uint32_t target, format, bind, width, height, depth, array_size, last_level, nr_samples, flags;
} VirglShape;

uint32_t virgl_create(Gpu *g, uint32_t id, const VirglShape *shape);
/* A render target, 2D, BGRA8 */
uint32_t virgl_create_target(Gpu *g, uint32_t id, uint32_t width, uint32_t height);
uint32_t virgl_transfer(Gpu *g, uint32_t type, uint32_t ctx, uint32_t id, uint32_t x, uint32_t y,
                        uint32_t width, uint32_t height, uint64_t offset);

/*
 * Context ctx, render target id with backing, cleared to a colour by the
 * host's GL; returns the backing, still zero.
 */
uint64_t virgl_clear(Gpu *g, uint32_t ctx, uint32_t id, uint32_t width, uint32_t height, float red,
                     float green, float blue);

#endif
