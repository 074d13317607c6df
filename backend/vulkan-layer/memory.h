/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VkDeviceMemory: charged before the driver allocates it, refunded after it is
 * freed, by the same figure.
 */
#ifndef VGPU_LAYER_MEMORY_H
#define VGPU_LAYER_MEMORY_H

#include <pthread.h>
#include <vulkan/vulkan.h>

#define MEMORIES_BUCKETS 256

struct Device;
struct Memory;

typedef struct Memories {
    pthread_mutex_t lock;
    struct Memory *buckets[MEMORIES_BUCKETS];
} Memories;

void memories_init(Memories *m);
/* The device is gone, and with it what the guest did not free. */
void memories_finish(Memories *m);

/*
 * Where in the file of fd this memory begins, or VGPU_VULKAN_OFFSET_UNKNOWN
 * (offset.c).  mapped: what the caller has mapped of it, from mapped_offset on,
 * or NULL; the caller sees to it that nobody maps or unmaps it meanwhile.
 */
uint64_t memory_find_offset(const struct Device *d, const VkMemoryGetFdInfoKHR *info, int fd, uint64_t size,
                            uint32_t type, void *mapped, uint64_t mapped_offset);

VKAPI_ATTR VkResult VKAPI_CALL memory_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks,
                                               VkDeviceMemory *memory);
VKAPI_ATTR void VKAPI_CALL memory_free(VkDevice device, VkDeviceMemory memory,
                                       const VkAllocationCallbacks *callbacks);
VKAPI_ATTR VkResult VKAPI_CALL memory_get_fd(VkDevice device, const VkMemoryGetFdInfoKHR *info, int *fd);
VKAPI_ATTR VkResult VKAPI_CALL memory_map(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset,
                                          VkDeviceSize size, VkMemoryMapFlags flags, void **data);
VKAPI_ATTR void VKAPI_CALL memory_unmap(VkDevice device, VkDeviceMemory memory);
VKAPI_ATTR VkResult VKAPI_CALL memory_map2(VkDevice device, const VkMemoryMapInfo *info, void **data);
VKAPI_ATTR VkResult VKAPI_CALL memory_unmap2(VkDevice device, const VkMemoryUnmapInfo *info);

#endif
