/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vk_result(VkResult result)
{
    switch (result) {
    case VK_SUCCESS:
        return "VK_SUCCESS";
    case VK_TIMEOUT:
        return "VK_TIMEOUT";
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "VK_ERROR_OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "VK_ERROR_INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST:
        return "VK_ERROR_DEVICE_LOST";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "VK_ERROR_MEMORY_MAP_FAILED";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "VK_ERROR_TOO_MANY_OBJECTS";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "VK_ERROR_INCOMPATIBLE_DRIVER";
    default:
        return "another VkResult";
    }
}

void vk_check(VkResult result, const char *what)
{
    if (result != VK_SUCCESS) {
        fprintf(stderr, "%s: %s (%d)\n", what, vk_result(result), result);
        exit(2);
    }
}

bool vk_option(struct vk_options *options, int argc, char **argv, int *i)
{
    if (strcmp(argv[*i], "--json") == 0) {
        options->json = true;
    } else if (strcmp(argv[*i], "--seconds") == 0) {
        options->seconds = (double)number(*i + 1 < argc ? argv[++*i] : NULL);
    } else if (strcmp(argv[*i], "--device") == 0 && *i + 1 < argc) {
        options->device = argv[++*i];
    } else {
        return false;
    }
    return true;
}

static void choose_device(struct vk *vk, const char *name)
{
    VkPhysicalDevice devices[16];
    uint32_t count = 16;
    VkResult result = vkEnumeratePhysicalDevices(vk->instance, &count, devices);

    if (result != VK_INCOMPLETE) {
        vk_check(result, "vkEnumeratePhysicalDevices");
    }
    for (uint32_t i = 0; i < count; i++) {
        vkGetPhysicalDeviceProperties(devices[i], &vk->properties);
        if (!name || strstr(vk->properties.deviceName, name)) {
            vk->physical = devices[i];
            return;
        }
    }
    fprintf(stderr, "no Vulkan device%s%s among %u\n", name ? " is called " : "", name ? name : "", count);
    exit(2);
}

static uint32_t choose_family(VkPhysicalDevice physical)
{
    VkQueueFamilyProperties families[16];
    uint32_t count = 16;
    VkQueueFlags both = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT;

    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if ((families[i].queueFlags & both) == both) {
            return i;
        }
    }
    fprintf(stderr, "the device has no queue for graphics and compute\n");
    exit(2);
}

void vk_open(struct vk *vk, const struct vk_options *options)
{
    const VkApplicationInfo application = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                            .apiVersion = VK_API_VERSION_1_1 };
    const VkInstanceCreateInfo instance = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                            .pApplicationInfo = &application };
    const float priority = 1.0f;
    VkDeviceQueueCreateInfo queue = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                      .queueCount = 1,
                                      .pQueuePriorities = &priority };
    const VkDeviceCreateInfo device = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                        .queueCreateInfoCount = 1,
                                        .pQueueCreateInfos = &queue,
                                        .enabledExtensionCount = options->extension_count,
                                        .ppEnabledExtensionNames = options->extensions };
    VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                     .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT };

    vk_check(vkCreateInstance(&instance, NULL, &vk->instance), "vkCreateInstance");
    choose_device(vk, options->device);
    vk->family = queue.queueFamilyIndex = pool.queueFamilyIndex = choose_family(vk->physical);
    vk_check(vkCreateDevice(vk->physical, &device, NULL, &vk->device), "vkCreateDevice");
    vkGetDeviceQueue(vk->device, vk->family, 0, &vk->queue);
    vk_check(vkCreateCommandPool(vk->device, &pool, NULL, &vk->pool), "vkCreateCommandPool");
    vkGetPhysicalDeviceMemoryProperties(vk->physical, &vk->memory);
}

void vk_close(struct vk *vk)
{
    vkDestroyCommandPool(vk->device, vk->pool, NULL);
    vkDestroyDevice(vk->device, NULL);
    vkDestroyInstance(vk->instance, NULL);
}

int vk_memory_type(const struct vk *vk, uint32_t mask, VkMemoryPropertyFlags flags)
{
    for (uint32_t i = 0; i < vk->memory.memoryTypeCount; i++) {
        if (mask & 1u << i && (vk->memory.memoryTypes[i].propertyFlags & flags) == flags) {
            return (int)i;
        }
    }
    return -1;
}

static VkDeviceMemory allocate(struct vk *vk, const VkMemoryRequirements *needs, VkMemoryPropertyFlags flags)
{
    VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                  .allocationSize = needs->size };
    int type = vk_memory_type(vk, needs->memoryTypeBits, flags);
    VkDeviceMemory memory;

    if (type < 0) {
        fprintf(stderr, "no memory type has the flags 0x%x\n", (unsigned)flags);
        exit(2);
    }
    info.memoryTypeIndex = (uint32_t)type;
    vk_check(vkAllocateMemory(vk->device, &info, NULL, &memory), "vkAllocateMemory");
    return memory;
}

void vk_buffer_make(struct vk *vk, VkDeviceSize size, VkBufferUsageFlags usage, struct vk_buffer *buffer)
{
    const VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                      .size = size,
                                      .usage = usage };
    VkMemoryRequirements needs;

    buffer->size = size;
    vk_check(vkCreateBuffer(vk->device, &info, NULL, &buffer->buffer), "vkCreateBuffer");
    vkGetBufferMemoryRequirements(vk->device, buffer->buffer, &needs);
    buffer->memory =
        allocate(vk, &needs, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
    vk_check(vkBindBufferMemory(vk->device, buffer->buffer, buffer->memory, 0), "vkBindBufferMemory");
    vk_check(vkMapMemory(vk->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->map), "vkMapMemory");
}

void vk_buffer_free(struct vk *vk, struct vk_buffer *buffer)
{
    vkDestroyBuffer(vk->device, buffer->buffer, NULL);
    vkFreeMemory(vk->device, buffer->memory, NULL);
}

void vk_image_make(struct vk *vk, VkFormat format, uint32_t side, VkImageUsageFlags usage,
                   struct vk_image *image)
{
    const VkImageCreateInfo info = { .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                                     .imageType = VK_IMAGE_TYPE_2D,
                                     .format = format,
                                     .extent = { side, side, 1 },
                                     .mipLevels = 1,
                                     .arrayLayers = 1,
                                     .samples = VK_SAMPLE_COUNT_1_BIT,
                                     .tiling = VK_IMAGE_TILING_OPTIMAL,
                                     .usage = usage };
    VkImageViewCreateInfo view = { .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
                                   .viewType = VK_IMAGE_VIEW_TYPE_2D,
                                   .format = format,
                                   .subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 } };
    VkMemoryRequirements needs;

    if (usage & VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT) {
        view.subresourceRange.aspectMask = VK_IMAGE_ASPECT_DEPTH_BIT;
    }
    vk_check(vkCreateImage(vk->device, &info, NULL, &image->image), "vkCreateImage");
    vkGetImageMemoryRequirements(vk->device, image->image, &needs);
    image->memory = allocate(vk, &needs, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
    vk_check(vkBindImageMemory(vk->device, image->image, image->memory, 0), "vkBindImageMemory");
    view.image = image->image;
    vk_check(vkCreateImageView(vk->device, &view, NULL, &image->view), "vkCreateImageView");
}

void vk_image_free(struct vk *vk, struct vk_image *image)
{
    vkDestroyImageView(vk->device, image->view, NULL);
    vkDestroyImage(vk->device, image->image, NULL);
    vkFreeMemory(vk->device, image->memory, NULL);
}

void vk_image_barrier(VkCommandBuffer commands, const struct vk_image *image, VkImageAspectFlags aspect,
                      VkImageLayout from, VkImageLayout to)
{
    const VkImageMemoryBarrier barrier = { .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
                                           .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                           .dstAccessMask =
                                               VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
                                           .oldLayout = from,
                                           .newLayout = to,
                                           .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                           .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                           .image = image->image,
                                           .subresourceRange = { aspect, 0, 1, 0, 1 } };

    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0,
                         0, NULL, 0, NULL, 1, &barrier);
}

void vk_memory_barrier(VkCommandBuffer commands)
{
    const VkMemoryBarrier barrier = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                      .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                      .dstAccessMask =
                                          VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT };

    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                         VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0,
                         NULL, 0, NULL);
}

VkShaderModule vk_shader(struct vk *vk, const uint32_t *words, size_t bytes)
{
    const VkShaderModuleCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                            .codeSize = bytes,
                                            .pCode = words };
    VkShaderModule module;

    vk_check(vkCreateShaderModule(vk->device, &info, NULL, &module), "vkCreateShaderModule");
    return module;
}

#define BINDINGS_MAX 4
#define SETS_MAX     4

void vk_sets_make(struct vk *vk, const VkDescriptorType *types, uint32_t count, VkShaderStageFlags stages,
                  uint32_t sets, VkDescriptorSetLayout *layout, VkDescriptorPool *pool, VkDescriptorSet *set)
{
    VkDescriptorSetLayoutBinding bindings[BINDINGS_MAX] = { 0 };
    VkDescriptorPoolSize sizes[BINDINGS_MAX];
    VkDescriptorSetLayout layouts[SETS_MAX];
    const VkDescriptorSetLayoutCreateInfo layout_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = count,
        .pBindings = bindings
    };
    const VkDescriptorPoolCreateInfo pool_info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                                   .maxSets = sets,
                                                   .poolSizeCount = count,
                                                   .pPoolSizes = sizes };
    VkDescriptorSetAllocateInfo set_info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                             .descriptorSetCount = sets,
                                             .pSetLayouts = layouts };

    for (uint32_t i = 0; i < count; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){ i, types[i], 1, stages, NULL };
        sizes[i] = (VkDescriptorPoolSize){ types[i], sets };
    }
    vk_check(vkCreateDescriptorSetLayout(vk->device, &layout_info, NULL, layout),
             "vkCreateDescriptorSetLayout");
    vk_check(vkCreateDescriptorPool(vk->device, &pool_info, NULL, pool), "vkCreateDescriptorPool");
    for (uint32_t i = 0; i < sets; i++) {
        layouts[i] = *layout;
    }
    set_info.descriptorPool = *pool;
    vk_check(vkAllocateDescriptorSets(vk->device, &set_info, set), "vkAllocateDescriptorSets");
}

VkPipelineLayout vk_layout(struct vk *vk, VkDescriptorSetLayout sets, VkShaderStageFlags stages,
                           uint32_t bytes)
{
    const VkPushConstantRange range = { stages, 0, bytes };
    const VkPipelineLayoutCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                              .setLayoutCount = 1,
                                              .pSetLayouts = &sets,
                                              .pushConstantRangeCount = 1,
                                              .pPushConstantRanges = &range };
    VkPipelineLayout layout;

    vk_check(vkCreatePipelineLayout(vk->device, &info, NULL, &layout), "vkCreatePipelineLayout");
    return layout;
}

VkCommandBuffer vk_commands(struct vk *vk)
{
    const VkCommandBufferAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                               .commandPool = vk->pool,
                                               .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                               .commandBufferCount = 1 };
    VkCommandBuffer commands;

    vk_check(vkAllocateCommandBuffers(vk->device, &info, &commands), "vkAllocateCommandBuffers");
    return commands;
}

VkFence vk_fence(struct vk *vk)
{
    const VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkFence fence;

    vk_check(vkCreateFence(vk->device, &info, NULL, &fence), "vkCreateFence");
    return fence;
}

VkResult vk_try_begin(VkCommandBuffer commands)
{
    const VkCommandBufferBeginInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };

    return vkBeginCommandBuffer(commands, &info);
}

void vk_begin(VkCommandBuffer commands)
{
    vk_check(vk_try_begin(commands), "vkBeginCommandBuffer");
}

void vk_queue(struct vk *vk, VkCommandBuffer commands, VkFence fence)
{
    const VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                .commandBufferCount = 1,
                                .pCommandBuffers = &commands };

    vk_check(vkQueueSubmit(vk->queue, 1, &info, fence), "vkQueueSubmit");
}

void vk_submit(struct vk *vk, VkCommandBuffer commands, VkFence fence)
{
    vk_check(vkEndCommandBuffer(commands), "vkEndCommandBuffer");
    vk_queue(vk, commands, fence);
}

void vk_wait(struct vk *vk, VkFence fence)
{
    vk_check(vkWaitForFences(vk->device, 1, &fence, VK_TRUE, 60000000000ull), "vkWaitForFences");
    vk_check(vkResetFences(vk->device, 1, &fence), "vkResetFences");
}

int vk_report(const struct vk *vk, const struct vk_options *options, const char *program, const char *unit,
              double count, double took, bool right)
{
    double rate = took > 0 ? count / took : 0;

    if (options->json) {
        /* device names have no character that JSON would want escaped */
        printf("{\"program\": \"%s\", \"device\": \"%s\", \"right\": %s", program, vk->properties.deviceName,
               right ? "true" : "false");
        if (unit) {
            printf(", \"unit\": \"%s\", \"count\": %.0f, \"seconds\": %.3f, \"per_second\": %.3f", unit,
                   count, took, rate);
        }
        printf("}\n");
    } else {
        printf("device=%s\n", vk->properties.deviceName);
        if (unit) {
            printf("%s=%.0f\nseconds=%.3f\n%s_per_second=%.3f\n", unit, count, took, unit, rate);
        }
        printf("result=%s\n", right ? "right" : "wrong");
    }
    return right ? 0 : 1;
}
