/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's Vulkan programs share: a device with one queue, memory,
 * buffers, images, shaders, and how a result is printed.  No window is needed.  Unless it says otherwise a
 * function that fails says why on stderr and ends the process with status 2.
 */
#ifndef VGPU_TEST_VK_H
#define VGPU_TEST_VK_H

#include "args.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

struct vk {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t family;
    VkQueue queue;
    VkCommandPool pool;
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
};

struct vk_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    void *map; /* all buffers here can be written and read by the CPU */
    VkDeviceSize size;
};

struct vk_image {
    VkImage image;
    VkDeviceMemory memory;
    VkImageView view;
};

/* The options that all programs have; the zero value is the default. */
struct vk_options {
    const char *device;            /* --device TEXT: the first whose name contains it */
    double seconds;                /* --seconds S: measure for so long; 0: do the work once */
    bool json;                     /* --json: one line of JSON instead of key=value lines */
    const char *const *extensions; /* of the device, that the program cannot do without */
    uint32_t extension_count;
};

/* Takes argv[*i] and its value if it is one of these; false when it is not. */
bool vk_option(struct vk_options *options, int argc, char **argv, int *i);

void vk_open(struct vk *vk, const struct vk_options *options);
void vk_close(struct vk *vk);

/* The name of a result, e.g. "VK_ERROR_OUT_OF_DEVICE_MEMORY". */
const char *vk_result(VkResult result);

/* Ends the process with status 2 unless the result is VK_SUCCESS. */
void vk_check(VkResult result, const char *what);

/* Index of a memory type among those of the mask that has all these flags; -1: there is none. */
int vk_memory_type(const struct vk *vk, uint32_t mask, VkMemoryPropertyFlags flags);

void vk_buffer_make(struct vk *vk, VkDeviceSize size, VkBufferUsageFlags usage, struct vk_buffer *buffer);
void vk_buffer_free(struct vk *vk, struct vk_buffer *buffer);
void vk_image_make(struct vk *vk, VkFormat format, uint32_t side, VkImageUsageFlags usage,
                   struct vk_image *image);
void vk_image_free(struct vk *vk, struct vk_image *image);

/* All access before it is seen by all access after it. */
void vk_image_barrier(VkCommandBuffer commands, const struct vk_image *image, VkImageAspectFlags aspect,
                      VkImageLayout from, VkImageLayout to);
void vk_memory_barrier(VkCommandBuffer commands);

VkShaderModule vk_shader(struct vk *vk, const uint32_t *words, size_t bytes);

/* Sets of `count` bindings of these types (0 up), one set for each of `sets`. */
void vk_sets_make(struct vk *vk, const VkDescriptorType *types, uint32_t count, VkShaderStageFlags stages,
                  uint32_t sets, VkDescriptorSetLayout *layout, VkDescriptorPool *pool, VkDescriptorSet *set);

/* `bytes` of push constants for these stages. */
VkPipelineLayout vk_layout(struct vk *vk, VkDescriptorSetLayout sets, VkShaderStageFlags stages,
                           uint32_t bytes);

VkCommandBuffer vk_commands(struct vk *vk);
VkFence vk_fence(struct vk *vk);
void vk_begin(VkCommandBuffer commands);
VkResult vk_try_begin(VkCommandBuffer commands); /* for who can do without memory for them */

/* Submits commands that are ended; the fence must not be signalled. */
void vk_queue(struct vk *vk, VkCommandBuffer commands, VkFence fence);

/* Ends the commands and submits them; the fence must not be signalled. */
void vk_submit(struct vk *vk, VkCommandBuffer commands, VkFence fence);

/* Waits for the fence and resets it; after 60 s of nothing the process ends. */
void vk_wait(struct vk *vk, VkFence fence);

/* The result: what was counted (NULL: nothing was measured), and the exit status. */
int vk_report(const struct vk *vk, const struct vk_options *options, const char *program, const char *unit,
              double count, double took, bool right);

#endif
