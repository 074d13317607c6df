/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "card.h"

#include <glib.h>

#define OK(call) g_assert_cmpint((call), ==, VK_SUCCESS)

VkResult card_instance(VkInstance *instance)
{
    const VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .apiVersion = VK_API_VERSION_1_3,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &app,
    };

    return vkCreateInstance(&info, NULL, instance);
}

VkDevice card_device(const Card *c)
{
    static const char *const extensions[] = { VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME };
    static const float priority = 1;
    const VkPhysicalDeviceVulkan13Features features13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
        .synchronization2 = VK_TRUE,
    };
    const VkPhysicalDeviceVulkan12Features features12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .pNext = (void *)&features13,
        .timelineSemaphore = VK_TRUE,
    };
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &features12,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = G_N_ELEMENTS(extensions),
        .ppEnabledExtensionNames = extensions,
    };
    VkDevice device;

    OK(vkCreateDevice(c->physical, &info, NULL, &device));
    return device;
}

void card_open(Card *c)
{
    const VkMemoryPropertyFlags wanted =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t one = 1;

    OK(card_instance(&c->instance));
    vkEnumeratePhysicalDevices(c->instance, &one, &c->physical);
    g_assert_cmpuint(one, ==, 1);
    c->device = card_device(c);
    vkGetDeviceQueue(c->device, 0, 0, &c->queue);
    c->get_memory_fd = (PFN_vkGetMemoryFdKHR)vkGetDeviceProcAddr(c->device, "vkGetMemoryFdKHR");
    g_assert_nonnull(c->get_memory_fd);
    vkGetPhysicalDeviceMemoryProperties(c->physical, &memory);
    for (c->memory_type = 0; (memory.memoryTypes[c->memory_type].propertyFlags & wanted) != wanted;
         c->memory_type++) {
        g_assert_cmpuint(c->memory_type, <, memory.memoryTypeCount);
    }
}

void card_close(Card *c)
{
    vkDestroyDevice(c->device, NULL);
    vkDestroyInstance(c->instance, NULL);
}

VkResult card_allocate(const Card *c, uint64_t size, VkDeviceMemory *memory)
{
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = size,
        .memoryTypeIndex = c->memory_type,
    };

    return vkAllocateMemory(c->device, &info, NULL, memory);
}

VkDeviceMemory card_exportable(const Card *c, uint64_t size)
{
    const VkExportMemoryAllocateInfo export = {
        .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = &export,
        .allocationSize = size,
        .memoryTypeIndex = c->memory_type,
    };
    VkDeviceMemory memory;

    OK(vkAllocateMemory(c->device, &info, NULL, &memory));
    return memory;
}

int card_export(const Card *c, VkDeviceMemory memory)
{
    const VkMemoryGetFdInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
        .memory = memory,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
    };
    int fd = -1;

    OK(c->get_memory_fd(c->device, &info, &fd));
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

VkResult card_import(const Card *c, uint64_t size, int fd, VkDeviceMemory *memory)
{
    const VkImportMemoryFdInfoKHR import = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
        .fd = fd,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = &import,
        .allocationSize = size,
        .memoryTypeIndex = c->memory_type,
    };

    return vkAllocateMemory(c->device, &info, NULL, memory);
}

VkFence card_fence(const Card *c)
{
    const VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkFence fence;

    OK(vkCreateFence(c->device, &info, NULL, &fence));
    return fence;
}

bool card_wait(const Card *c, VkFence fence, uint64_t ms)
{
    VkResult result = vkWaitForFences(c->device, 1, &fence, VK_TRUE, ms * 1000000);

    g_assert_true(result == VK_SUCCESS || result == VK_TIMEOUT);
    return result == VK_SUCCESS;
}

VkSemaphore card_timeline(const Card *c)
{
    const VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type };
    VkSemaphore semaphore;

    OK(vkCreateSemaphore(c->device, &info, NULL, &semaphore));
    return semaphore;
}

void card_signal(const Card *c, VkSemaphore timeline, uint64_t value)
{
    const VkSemaphoreSignalInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
        .semaphore = timeline,
        .value = value,
    };

    OK(vkSignalSemaphore(c->device, &info));
}

void card_wait_timeline(const Card *c, VkSemaphore timeline, uint64_t value)
{
    const VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &timeline,
        .pValues = &value,
    };

    OK(vkWaitSemaphores(c->device, &info, 20000000000u));
}

/* ---- work ---- */

/*
 * Put together by hand: it is all the shaders there are here, and an assembler
 * in the toolbox would cost everybody who builds us a package.
 *
 *   count = words[2];
 *   do { n = atomicAdd(words[1], 1); stop = atomicLoad(words[0]); } while (!stop && n < count);
 */
#define OP(opcode, words) ((opcode) | (words) << 16)
enum {
    MAIN = 1,
    VOID,
    FUNCTION,
    UINT,
    ARRAY,
    STRUCT,
    STRUCT_PTR,
    BUFFER,
    UINT_PTR,
    ZERO,
    ONE,
    TWO,
    BOOL,
    ENTRY,
    STOP_AT,
    COUNT_AT,
    LIMIT_AT,
    LIMIT,
    LOOP,
    BODY,
    NEXT,
    END,
    COUNT,
    STOP,
    GOES_ON,
    BELOW,
    BOTH,
    BOUND
};

/* clang-format off */
static const uint32_t spin_shader[] = {
    0x07230203, 0x00010000, 0, BOUND, 0,
    OP(17, 2), 1,                                      /* Capability Shader */
    OP(14, 3), 0, 1,                                   /* MemoryModel Logical GLSL450 */
    OP(15, 5), 5, MAIN, 0x6e69616d, 0,                 /* EntryPoint GLCompute "main" */
    OP(16, 6), MAIN, 17, 1, 1, 1,                      /* LocalSize */
    OP(71, 4), ARRAY, 6, 4,                            /* ArrayStride */
    OP(71, 3), STRUCT, 3,                              /* BufferBlock */
    OP(72, 5), STRUCT, 0, 35, 0,                       /* Offset */
    OP(71, 4), BUFFER, 34, 0,                          /* DescriptorSet */
    OP(71, 4), BUFFER, 33, 0,                          /* Binding */
    OP(19, 2), VOID,
    OP(33, 3), FUNCTION, VOID,
    OP(21, 4), UINT, 32, 0,
    OP(20, 2), BOOL,
    OP(29, 3), ARRAY, UINT,
    OP(30, 3), STRUCT, ARRAY,
    OP(32, 4), STRUCT_PTR, 2, STRUCT,                  /* Uniform */
    OP(59, 4), STRUCT_PTR, BUFFER, 2,
    OP(32, 4), UINT_PTR, 2, UINT,
    OP(43, 4), UINT, ZERO, 0,
    OP(43, 4), UINT, ONE, 1,
    OP(43, 4), UINT, TWO, 2,
    OP(54, 5), VOID, MAIN, 0, FUNCTION,
    OP(248, 2), ENTRY,
    OP(65, 6), UINT_PTR, STOP_AT, BUFFER, ZERO, ZERO,  /* AccessChain */
    OP(65, 6), UINT_PTR, COUNT_AT, BUFFER, ZERO, ONE,
    OP(65, 6), UINT_PTR, LIMIT_AT, BUFFER, ZERO, TWO,
    OP(61, 4), UINT, LIMIT, LIMIT_AT,
    OP(249, 2), LOOP,
    OP(248, 2), LOOP,
    OP(246, 4), END, NEXT, 0,                          /* LoopMerge */
    OP(249, 2), BODY,
    OP(248, 2), BODY,
    OP(234, 7), UINT, COUNT, COUNT_AT, ONE, ZERO, ONE, /* AtomicIAdd, device scope */
    OP(227, 6), UINT, STOP, STOP_AT, ONE, ZERO,        /* AtomicLoad */
    OP(170, 5), BOOL, GOES_ON, STOP, ZERO,             /* IEqual */
    OP(176, 5), BOOL, BELOW, COUNT, LIMIT,             /* ULessThan */
    OP(167, 5), BOOL, BOTH, GOES_ON, BELOW,            /* LogicalAnd */
    OP(250, 4), BOTH, NEXT, END,                       /* BranchConditional */
    OP(248, 2), NEXT,
    OP(249, 2), LOOP,
    OP(248, 2), END,
    OP(253, 1),
    OP(56, 1),
};
/* clang-format on */

static void open_buffer(Spin *s, uint32_t count)
{
    const Card *c = s->card;
    const VkBufferCreateInfo buffer = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = 4096,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
    };
    VkMemoryRequirements needs;
    void *map;

    OK(vkCreateBuffer(c->device, &buffer, NULL, &s->buffer));
    vkGetBufferMemoryRequirements(c->device, s->buffer, &needs);
    OK(card_allocate(c, needs.size, &s->memory));
    OK(vkBindBufferMemory(c->device, s->buffer, s->memory, 0));
    OK(vkMapMemory(c->device, s->memory, 0, VK_WHOLE_SIZE, 0, &map));
    s->words = map;
    s->words[0] = s->words[1] = 0;
    s->words[2] = count;
}

static void open_pipeline(Spin *s)
{
    const Card *c = s->card;
    const VkShaderModuleCreateInfo code = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = sizeof(spin_shader),
        .pCode = spin_shader,
    };
    const VkDescriptorSetLayoutBinding binding = {
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
        .descriptorCount = 1,
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
    };
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 1,
        .pBindings = &binding,
    };
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &s->set_layout,
    };
    VkComputePipelineCreateInfo pipeline = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .pName = "main",
        },
    };

    OK(vkCreateDescriptorSetLayout(c->device, &set, NULL, &s->set_layout));
    OK(vkCreatePipelineLayout(c->device, &layout, NULL, &s->layout));
    OK(vkCreateShaderModule(c->device, &code, NULL, &pipeline.stage.module));
    pipeline.layout = s->layout;
    OK(vkCreateComputePipelines(c->device, VK_NULL_HANDLE, 1, &pipeline, NULL, &s->pipeline));
    vkDestroyShaderModule(c->device, pipeline.stage.module, NULL);
}

static void open_set(Spin *s)
{
    const Card *c = s->card;
    const VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1 };
    const VkDescriptorPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = 1,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    VkDescriptorSetAllocateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorSetCount = 1,
        .pSetLayouts = &s->set_layout,
    };
    const VkDescriptorBufferInfo buffer = { s->buffer, 0, VK_WHOLE_SIZE };
    VkWriteDescriptorSet write = {
        .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
        .descriptorCount = 1,
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
        .pBufferInfo = &buffer,
    };

    OK(vkCreateDescriptorPool(c->device, &pool, NULL, &s->pool));
    set.descriptorPool = s->pool;
    OK(vkAllocateDescriptorSets(c->device, &set, &s->set));
    write.dstSet = s->set;
    vkUpdateDescriptorSets(c->device, 1, &write, 0, NULL);
}

static void open_commands(Spin *s)
{
    const Card *c = s->card;
    const VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO };
    VkCommandBufferAllocateInfo command = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT,
    };

    OK(vkCreateCommandPool(c->device, &pool, NULL, &s->commands));
    command.commandPool = s->commands;
    OK(vkAllocateCommandBuffers(c->device, &command, &s->command));
    OK(vkBeginCommandBuffer(s->command, &begin));
    vkCmdBindPipeline(s->command, VK_PIPELINE_BIND_POINT_COMPUTE, s->pipeline);
    vkCmdBindDescriptorSets(s->command, VK_PIPELINE_BIND_POINT_COMPUTE, s->layout, 0, 1, &s->set, 0, NULL);
    vkCmdDispatch(s->command, 1, 1, 1);
    OK(vkEndCommandBuffer(s->command));
}

void spin_open(Spin *s, const Card *c, uint32_t count)
{
    s->card = c;
    open_buffer(s, count);
    open_pipeline(s);
    open_set(s);
    open_commands(s);
}

void spin_close(Spin *s)
{
    VkDevice device = s->card->device;

    vkDestroyCommandPool(device, s->commands, NULL);
    vkDestroyDescriptorPool(device, s->pool, NULL);
    vkDestroyPipeline(device, s->pipeline, NULL);
    vkDestroyPipelineLayout(device, s->layout, NULL);
    vkDestroyDescriptorSetLayout(device, s->set_layout, NULL);
    vkDestroyBuffer(device, s->buffer, NULL);
    vkFreeMemory(device, s->memory, NULL);
}

void spin_submit(Spin *s, VkFence fence)
{
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &s->command,
    };

    OK(vkQueueSubmit(s->card->queue, 1, &info, fence));
}
