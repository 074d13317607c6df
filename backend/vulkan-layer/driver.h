/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is peculiar to the driver under the layer, which the renderer tells by an
 * environment variable; where it is not set there is nothing.
 *
 * NVIDIA's works in no process that was forked after it had been loaded, and
 * virglrenderer 1.1's render server loads all drivers before it forks.  So none may
 * be loaded until then.  And no memory of its own can be mapped by others: its
 * descriptors are all of one file, which cannot be mapped, and it makes dmabufs only
 * with a render node.  So memory that a guest may map is of our making: own_file.h.
 */
#ifndef VGPU_LAYER_DRIVER_H
#define VGPU_LAYER_DRIVER_H

#include <stdbool.h>

#define DRIVER_ENV    "VGPU_VULKAN_DRIVER"
#define DRIVER_NVIDIA "nvidia"

/* The Vulkan loader's, which drivers it loads, and what that is to be after the fork. */
#define DRIVER_SELECT_ENV "VK_LOADER_DRIVERS_SELECT"
#define DRIVER_LATE_ENV   "VGPU_VULKAN_SELECT"

bool driver_is_nvidia(void);

/* In a context process, before it uses Vulkan: its driver may be loaded. */
void driver_forked(void);

#endif
