/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many bytes of GPU memory a resource takes: worked out from what the
 * guest asked for, before anything is allocated.
 */
#ifndef VGPU_QUOTA_SIZE_H
#define VGPU_QUOTA_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* As in virtio-gpu's RESOURCE_CREATE_3D; formats and targets are virgl's. */
typedef struct ResourceShape {
    uint32_t target; /* PIPE_BUFFER, PIPE_TEXTURE_2D, ... */
    uint32_t format; /* VIRGL_FORMAT_* */
    uint32_t bind;
    uint32_t width, height, depth;
    uint32_t array_size;
    uint32_t last_level;
    uint32_t nr_samples;
    uint32_t flags;
} ResourceShape;

/*
 * False when the shape is not one (unknown format or target, a size of 0,
 * a dimension past its cap, more levels than its size has).  *bytes is rounded
 * up to 4096.
 */
bool resource_size(const ResourceShape *shape, uint64_t *bytes);

#endif
