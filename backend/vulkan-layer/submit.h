/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gives the GPU work, each through the gate. */
#ifndef VGPU_LAYER_SUBMIT_H
#define VGPU_LAYER_SUBMIT_H

#include <vulkan/vulkan.h>

VKAPI_ATTR VkResult VKAPI_CALL submit_queue(VkQueue queue, uint32_t count, const VkSubmitInfo *submits,
                                            VkFence fence);
VKAPI_ATTR VkResult VKAPI_CALL submit_queue2(VkQueue queue, uint32_t count, const VkSubmitInfo2 *submits,
                                             VkFence fence);
VKAPI_ATTR VkResult VKAPI_CALL submit_sparse(VkQueue queue, uint32_t count, const VkBindSparseInfo *binds,
                                             VkFence fence);
VKAPI_ATTR VkResult VKAPI_CALL submit_present(VkQueue queue, const VkPresentInfoKHR *info);
VKAPI_ATTR VkResult VKAPI_CALL submit_signal(VkDevice device, const VkSemaphoreSignalInfo *info);

#endif
