/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vk-hang [--device TEXT]: a compute shader that never ends by itself.  Prints
 * "hanging" when it is submitted and waits; says what became of it where the
 * driver lives to tell: Mesa's venus ends the process when its host side is gone.
 */
#include "vk.h"

#include "vk-hang.comp.h"

#include <stdio.h>
#include <string.h>

#define WORDS 256

int main(int argc, char **argv)
{
    const VkDescriptorType type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    VkComputePipelineCreateInfo info = { .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                         .stage = { .sType =
                                                        VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                    .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                    .pName = "main" } };
    struct vk_options options = { 0 };
    VkDescriptorBufferInfo range = { .range = VK_WHOLE_SIZE };
    VkWriteDescriptorSet write = { .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                   .descriptorCount = 1,
                                   .descriptorType = type,
                                   .pBufferInfo = &range };
    VkDescriptorSetLayout set_layout;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    struct vk_buffer words;
    VkCommandBuffer commands;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkResult result;
    VkFence fence;
    struct vk vk;
    double start;

    for (int i = 1; i < argc; i++) {
        if (!vk_option(&options, argc, argv, &i)) {
            fprintf(stderr, "usage: vk-hang [--device TEXT]\n");
            return 2;
        }
    }
    vk_open(&vk, &options);
    vk_buffer_make(&vk, WORDS * 4, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, &words);
    memset(words.map, 0, WORDS * 4);
    vk_sets_make(&vk, &type, 1, VK_SHADER_STAGE_COMPUTE_BIT, 1, &set_layout, &pool, &set);
    range.buffer = words.buffer;
    write.dstSet = set;
    vkUpdateDescriptorSets(vk.device, 1, &write, 0, NULL);
    info.layout = layout = vk_layout(&vk, set_layout, VK_SHADER_STAGE_COMPUTE_BIT, 4);
    info.stage.module = vk_shader(&vk, vk_hang_comp, sizeof(vk_hang_comp));
    vk_check(vkCreateComputePipelines(vk.device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline),
             "vkCreateComputePipelines");
    commands = vk_commands(&vk);
    fence = vk_fence(&vk);
    vk_begin(commands);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    vkCmdDispatch(commands, WORDS / 64, 1, 1);
    vk_submit(&vk, commands, fence);
    printf("hanging\n");
    fflush(stdout);
    start = seconds();
    do {
        result = vkWaitForFences(vk.device, 1, &fence, VK_TRUE, 1000000000);
    } while (result == VK_TIMEOUT);
    printf("after %.1f s: %s\n", seconds() - start, vk_result(result));
    return result == VK_SUCCESS ? 1 : 0;
}
