/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timeline semaphores of a device: work that waits for one may wait for the
 * guest itself, and then it does not use the GPU (gate.c).
 */
#ifndef VGPU_LAYER_SEMAPHORES_H
#define VGPU_LAYER_SEMAPHORES_H

#include <pthread.h>
#include <stdbool.h>
#include <vulkan/vulkan.h>

#define SEMAPHORES_BUCKETS 64

struct Device;
struct Timeline;

typedef struct Semaphores {
    pthread_mutex_t lock;
    uint32_t count; /* atomic */
    struct Timeline *buckets[SEMAPHORES_BUCKETS];
} Semaphores;

void semaphores_init(Semaphores *s);
void semaphores_finish(Semaphores *s);

bool semaphores_is_timeline(struct Device *d, VkSemaphore semaphore);
/* False: it is a timeline semaphore and not there yet. */
bool semaphores_reached(struct Device *d, VkSemaphore semaphore, uint64_t value);

VKAPI_ATTR VkResult VKAPI_CALL semaphores_create(VkDevice device, const VkSemaphoreCreateInfo *info,
                                                 const VkAllocationCallbacks *callbacks,
                                                 VkSemaphore *semaphore);
VKAPI_ATTR void VKAPI_CALL semaphores_destroy(VkDevice device, VkSemaphore semaphore,
                                              const VkAllocationCallbacks *callbacks);

#endif
