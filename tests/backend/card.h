/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Vulkan program's own side: a device, memory, and work that takes as long as
 * it is told to.  What cannot fail here is asserted.
 */
#ifndef TEST_CARD_H
#define TEST_CARD_H

#include <stdbool.h>
#include <vulkan/vulkan.h>

typedef struct Card {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t memory_type; /* host visible and coherent */
    PFN_vkGetMemoryFdKHR get_memory_fd;
} Card;

/* VK_SUCCESS, or why there is no instance. */
VkResult card_instance(VkInstance *instance);
void card_open(Card *c);
void card_close(Card *c);
/* One more device of the same card. */
VkDevice card_device(const Card *c);

VkResult card_allocate(const Card *c, uint64_t size, VkDeviceMemory *memory);
/* The same, to be exported. */
VkDeviceMemory card_exportable(const Card *c, uint64_t size);
int card_export(const Card *c, VkDeviceMemory memory);
/* fd is gone then. */
VkResult card_import(const Card *c, uint64_t size, int fd, VkDeviceMemory *memory);

/*
 * Work on the GPU: it counts words[1] up until words[0] is not 0 or words[1]
 * passes words[2].
 */
typedef struct Spin {
    const Card *card;
    VkDeviceMemory memory;
    VkBuffer buffer;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    VkCommandPool commands;
    VkCommandBuffer command;
    volatile uint32_t *words; /* as the GPU sees them */
} Spin;

#define SPIN_FOREVER UINT32_MAX

void spin_open(Spin *s, const Card *c, uint32_t count);
void spin_close(Spin *s);
void spin_submit(Spin *s, VkFence fence);

VkFence card_fence(const Card *c);
/* False after ms. */
bool card_wait(const Card *c, VkFence fence, uint64_t ms);
VkSemaphore card_timeline(const Card *c);
void card_signal(const Card *c, VkSemaphore timeline, uint64_t value);
/* lavapipe 25.0 may signal a fence before the timeline semaphores of the same batch. */
void card_wait_timeline(const Card *c, VkSemaphore timeline, uint64_t value);

#endif
