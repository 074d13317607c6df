/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The eight 2D formats of virtio 1.2, 5.7.6.8: all of 32 bits a pixel. */
#ifndef VGPU_RENDERER_FORMAT_H
#define VGPU_RENDERER_FORMAT_H

#include <linux/virtio_gpu.h>
#include <stdint.h>

/*
 * What DRM calls it, 0: not one of them.  DRM names bytes from the top of a
 * little-endian word, virtio from memory's first.
 */
static inline uint32_t format_fourcc(uint32_t format)
{
    switch (format) {
    case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
        return 0x34325241; /* AR24 */
    case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM:
        return 0x34325258; /* XR24 */
    case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
        return 0x34324142; /* BA24 */
    case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
        return 0x34325842; /* BX24 */
    case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
        return 0x34324241; /* AB24 */
    case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
        return 0x34325852; /* RX24 */
    case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
        return 0x34324152; /* RA24 */
    case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
        return 0x34324258; /* XB24 */
    default:
        return 0;
    }
}

#endif
