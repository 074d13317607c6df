/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vk-compute [OPTION...]: words through a compute shader, compared with what
 * the CPU makes of them.
 *
 *   --words N       a multiple of 256, up to 4193280 (65536)
 *   --rounds N      work for each word (64)
 *   --seconds S     then repeat for S seconds and count dispatches, two in flight
 *   --device TEXT   the first device whose name contains it
 *   --ready FILE    make FILE once it has all that it needs; from then on wait
 *                   for memory for commands, 30 s at most, when there is none
 *   --json          one line of JSON
 *
 * Step 0 turns each word of a buffer into another buffer and into a storage
 * image, with a seed from push constants; step 1 adds up what the image holds.
 *
 * Exit status 0: all words and sums are right, the first and the last time; 1:
 * they are not.
 */
#include "vk.h"

#include "vk-compute.comp.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH    256 /* of the image; its side is as much as is needed */
#define GROUP    64
#define FLIGHT   2
#define PATIENCE 30 /* seconds */

struct push {
    uint32_t step, seed, rounds, width;
};

struct work {
    uint32_t words, rounds;
    struct vk_buffer source, target, sums;
    struct vk_image picture;
    uint32_t width;
    VkDescriptorSetLayout set_layout;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkCommandBuffer commands[FLIGHT];
    VkFence fences[FLIGHT];
    bool busy[FLIGHT];
};

static uint32_t source_word(uint32_t i)
{
    return i * 2654435761u ^ i >> 7;
}

static uint32_t seed(unsigned turn)
{
    return (turn + 1) * 0x9e3779b9u;
}

static bool result_is_right(const struct work *w, unsigned turn)
{
    const uint32_t *target = w->target.map, *sums = w->sums.map;
    uint32_t sum = 0, wrong = 0;

    for (uint32_t i = 0; i < w->words; i++) {
        uint32_t h = source_word(i) ^ seed(turn);

        for (uint32_t n = 0; n < w->rounds; n++) {
            h = h * 1664525u + 1013904223u;
            h = h << 13 | h >> 19;
        }
        if (target[i] != h && wrong++ < 3) {
            fprintf(stderr, "turn %u: word %u is %08x, not %08x\n", turn, i, target[i], h);
        }
        sum += h ^ i;
        if (i % GROUP == GROUP - 1) {
            if (sums[i / GROUP] != sum && wrong++ < 3) {
                fprintf(stderr, "turn %u: sum %u is %08x, not %08x\n", turn, i / GROUP, sums[i / GROUP], sum);
            }
            sum = 0;
        }
    }
    if (wrong) {
        fprintf(stderr, "turn %u: %u words or sums are wrong\n", turn, wrong);
    }
    return wrong == 0;
}

static void make_sets(struct vk *vk, struct work *w)
{
    static const VkDescriptorType types[] = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                              VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                              VK_DESCRIPTOR_TYPE_STORAGE_IMAGE,
                                              VK_DESCRIPTOR_TYPE_STORAGE_BUFFER };
    const VkDescriptorBufferInfo buffers[] = { { w->source.buffer, 0, VK_WHOLE_SIZE },
                                               { w->target.buffer, 0, VK_WHOLE_SIZE },
                                               { VK_NULL_HANDLE, 0, 0 },
                                               { w->sums.buffer, 0, VK_WHOLE_SIZE } };
    const VkDescriptorImageInfo image = { .imageView = w->picture.view,
                                          .imageLayout = VK_IMAGE_LAYOUT_GENERAL };

    vk_sets_make(vk, types, 4, VK_SHADER_STAGE_COMPUTE_BIT, 1, &w->set_layout, &w->pool, &w->set);
    for (uint32_t i = 0; i < 4; i++) {
        const VkWriteDescriptorSet write = { .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                             .dstSet = w->set,
                                             .dstBinding = i,
                                             .descriptorCount = 1,
                                             .descriptorType = types[i],
                                             .pImageInfo = &image,
                                             .pBufferInfo = &buffers[i] };

        vkUpdateDescriptorSets(vk->device, 1, &write, 0, NULL);
    }
}

static void make_work(struct vk *vk, struct work *w)
{
    VkDeviceSize size = (VkDeviceSize)w->words * 4;
    VkComputePipelineCreateInfo info = { .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                         .stage = { .sType =
                                                        VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                    .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                    .pName = "main" } };
    uint32_t *words;

    vk_buffer_make(vk, size, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, &w->source);
    vk_buffer_make(vk, size, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, &w->target);
    vk_buffer_make(vk, size / GROUP, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, &w->sums);
    words = w->source.map;
    for (uint32_t i = 0; i < w->words; i++) {
        words[i] = source_word(i);
    }
    memset(w->target.map, 0, size);
    for (w->width = WIDTH; w->width * w->width < w->words;) {
        w->width *= 2;
    }
    vk_image_make(vk, VK_FORMAT_R32_UINT, w->width, VK_IMAGE_USAGE_STORAGE_BIT, &w->picture);
    make_sets(vk, w);
    w->layout = vk_layout(vk, w->set_layout, VK_SHADER_STAGE_COMPUTE_BIT, sizeof(struct push));
    info.stage.module = vk_shader(vk, vk_compute_comp, sizeof(vk_compute_comp));
    info.layout = w->layout;
    vk_check(vkCreateComputePipelines(vk->device, VK_NULL_HANDLE, 1, &info, NULL, &w->pipeline),
             "vkCreateComputePipelines");
    vkDestroyShaderModule(vk->device, info.stage.module, NULL);
    for (int i = 0; i < FLIGHT; i++) {
        w->commands[i] = vk_commands(vk);
        w->fences[i] = vk_fence(vk);
    }
}

static void free_work(struct vk *vk, struct work *w)
{
    for (int i = 0; i < FLIGHT; i++) {
        vkDestroyFence(vk->device, w->fences[i], NULL);
    }
    vkDestroyPipeline(vk->device, w->pipeline, NULL);
    vkDestroyPipelineLayout(vk->device, w->layout, NULL);
    vkDestroyDescriptorPool(vk->device, w->pool, NULL);
    vkDestroyDescriptorSetLayout(vk->device, w->set_layout, NULL);
    vk_image_free(vk, &w->picture);
    vk_buffer_free(vk, &w->source);
    vk_buffer_free(vk, &w->target);
    vk_buffer_free(vk, &w->sums);
}

static VkResult record(const struct work *w, VkCommandBuffer commands, unsigned turn)
{
    struct push push = { 0, seed(turn), w->rounds, w->width };
    VkResult result = vk_try_begin(commands);

    if (result != VK_SUCCESS) {
        return result;
    }
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, w->pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, w->layout, 0, 1, &w->set, 0, NULL);
    vk_image_barrier(commands, &w->picture, VK_IMAGE_ASPECT_COLOR_BIT,
                     turn ? VK_IMAGE_LAYOUT_GENERAL : VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_GENERAL);
    vkCmdPushConstants(commands, w->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(push), &push);
    vkCmdDispatch(commands, w->words / GROUP, 1, 1);
    vk_image_barrier(commands, &w->picture, VK_IMAGE_ASPECT_COLOR_BIT, VK_IMAGE_LAYOUT_GENERAL,
                     VK_IMAGE_LAYOUT_GENERAL);
    push.step = 1;
    vkCmdPushConstants(commands, w->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(push), &push);
    vkCmdDispatch(commands, w->words / GROUP, 1, 1);
    vk_memory_barrier(commands);
    return vkEndCommandBuffer(commands);
}

/*
 * Now and then venus takes a new piece of shared memory for commands.  While
 * another process has all of the VM's that is refused, and no reason to end:
 * but Mesa has no further use for the command buffer that it happened to.
 */
static void record_patiently(struct vk *vk, const struct work *w, VkCommandBuffer *commands, unsigned turn)
{
    double end = seconds() + PATIENCE;
    unsigned refused = 0;
    VkResult result;

    while ((result = record(w, *commands, turn)) == VK_ERROR_OUT_OF_HOST_MEMORY && seconds() < end) {
        refused++;
        usleep(100 * 1000);
        vkFreeCommandBuffers(vk->device, vk->pool, 1, commands);
        *commands = vk_commands(vk);
    }
    if (refused) {
        fprintf(stderr, "turn %u: no memory for commands, %u times\n", turn, refused);
    }
    vk_check(result, "recording commands");
}

static void dispatch(struct vk *vk, struct work *w, unsigned turn, bool patient)
{
    VkCommandBuffer *commands = &w->commands[turn % FLIGHT];

    if (w->busy[turn % FLIGHT]) {
        vk_wait(vk, w->fences[turn % FLIGHT]);
    }
    if (patient) {
        record_patiently(vk, w, commands, turn);
    } else {
        vk_check(record(w, *commands, turn), "recording commands");
    }
    vk_queue(vk, *commands, w->fences[turn % FLIGHT]);
    w->busy[turn % FLIGHT] = true;
}

static void drain(struct vk *vk, struct work *w)
{
    for (int i = 0; i < FLIGHT; i++) {
        if (w->busy[i]) {
            vk_wait(vk, w->fences[i]);
            w->busy[i] = false;
        }
    }
}

int main(int argc, char **argv)
{
    struct vk_options options = { 0 };
    struct work w = { .words = 65536, .rounds = 64 };
    struct vk vk;
    const char *ready = NULL;
    unsigned turns = 0, first;
    double start, took = 0;
    bool right;
    int status;

    for (int i = 1; i < argc; i++) {
        if (vk_option(&options, argc, argv, &i)) {
            continue;
        } else if (strcmp(argv[i], "--words") == 0 && i + 1 < argc) {
            w.words = (uint32_t)number(argv[++i]);
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            w.rounds = (uint32_t)number(argv[++i]);
        } else if (strcmp(argv[i], "--ready") == 0 && i + 1 < argc) {
            ready = argv[++i];
        } else {
            fprintf(stderr, "usage: vk-compute [--words N] [--rounds N] [--seconds S] [--device TEXT] "
                            "[--ready FILE] [--json]\n");
            return 2;
        }
    }
    /* no more groups than every device has in one dimension: 65535 */
    if (w.words < 256 || w.words % 256 || w.words > 4193280) {
        fprintf(stderr, "--words is a multiple of 256, 256 to 4193280\n");
        return 2;
    }
    vk_open(&vk, &options);
    make_work(&vk, &w);
    /* each command buffer once: it may get memory when it is first used */
    first = options.seconds > 0 ? FLIGHT : 1;
    while (turns < first) {
        dispatch(&vk, &w, turns++, false);
    }
    drain(&vk, &w);
    right = result_is_right(&w, turns - 1);
    if (ready) {
        close(open(ready, O_WRONLY | O_CREAT, 0644));
    }
    if (options.seconds > 0) {
        start = seconds();
        do {
            dispatch(&vk, &w, turns++, ready);
        } while (seconds() - start < options.seconds);
        drain(&vk, &w);
        took = seconds() - start;
        right = result_is_right(&w, turns - 1) && right;
    }
    status =
        vk_report(&vk, &options, "vk-compute", took > 0 ? "dispatches" : NULL, turns - first, took, right);
    free_work(&vk, &w);
    vk_close(&vk);
    return status;
}
