/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heaps as the guest sees them: no larger than the VM's slice. */
#ifndef VGPU_LAYER_HEAPS_H
#define VGPU_LAYER_HEAPS_H

#include <vulkan/vulkan.h>

VKAPI_ATTR void VKAPI_CALL heaps_properties(VkPhysicalDevice physical,
                                            VkPhysicalDeviceMemoryProperties *properties);
VKAPI_ATTR void VKAPI_CALL heaps_properties2(VkPhysicalDevice physical,
                                             VkPhysicalDeviceMemoryProperties2 *properties);

/* What the GPU has and could be mapped is not shown so where only files of ours can be (own_file.h). */
void heaps_hide(VkPhysicalDeviceMemoryProperties *p);

#endif
