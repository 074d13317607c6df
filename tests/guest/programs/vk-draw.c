/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vk-draw [OPTION...]: an off-screen picture in many draws, compared with what
 * the CPU says it should be, bit for bit.
 *
 *   --side PIXELS   of the square picture, 64 to 4096 (512)
 *   --cells N       N x N cells, two draws each (16)
 *   --rounds N      work for each pixel (4)
 *   --seconds S     then draw for S seconds and count frames, two in flight
 *   --device TEXT   the first device whose name contains it
 *   --json          one line of JSON
 *
 * A cell is a triangle in front and, drawn after it, a square of two triangles
 * behind: the depth test keeps the triangle.  Colours come from one of two
 * textures and from push constants, which every frame changes.  All is whole
 * numbers, so that there is one right picture; only pixels whose centre is
 * within 1/64 of a triangle's edge may be either.
 *
 * Exit status 0: the first and the last picture are right; 1: they are not.
 */
#include "vk.h"

#include "vk-draw.frag.h"
#include "vk-draw.vert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTURE_SIDE 64
#define FLIGHT       2

struct push {
    float origin[2];
    float side;
    float picture;
    float depth;
    uint32_t tint;
    uint32_t rounds;
};

struct frame {
    VkCommandBuffer commands;
    VkFence fence;
    bool busy;
};

struct scene {
    uint32_t side, cells, rounds;
    struct vk_image colour, depth, textures[2];
    struct vk_buffer corners, upload, back;
    VkRenderPass pass;
    VkFramebuffer framebuffer;
    VkDescriptorSetLayout set_layout;
    VkDescriptorPool pool;
    VkDescriptorSet sets[2];
    VkSampler sampler;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    struct frame frames[FLIGHT];
};

/* Of a cell: the triangle, then the square as a strip. */
static const float corners[][2] = {
    { 0.125f, 0.0625f }, { 0.9375f, 0.1875f }, { 0.4375f, 0.9375f }, { 0, 0 }, { 1, 0 }, { 0, 1 }, { 1, 1 }
};

static uint32_t texel(unsigned texture, uint32_t x, uint32_t y)
{
    return (texture * 77 + x * 2654435761u + y * 40503u) ^ (y * 2246822519u >> 3);
}

static uint32_t tint(unsigned frame, uint32_t cell, bool triangle)
{
    return (frame + 1) * 0x9e3779b9u ^ cell * 0x85ebca6bu ^ (triangle ? 0x00ff00ffu : 0);
}

static uint32_t turned(uint32_t h, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        h = h * 1664525u + 1013904223u;
        h ^= h >> 15;
    }
    return h;
}

/* How far inside the triangle a point of the cell is: > 0 in, < 0 out. */
static float inside(float x, float y)
{
    float least = 1e9f;

    for (int i = 0; i < 3; i++) {
        const float *a = corners[i], *b = corners[(i + 1) % 3];
        float edge = (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]);

        least = edge < least ? edge : least;
    }
    return least;
}

static bool picture_is_right(const struct scene *s, unsigned frame)
{
    const uint32_t *got = s->back.map;
    uint32_t cell_side = s->side / s->cells, wrong = 0;

    for (uint32_t y = 0; y < s->side; y++) {
        for (uint32_t x = 0; x < s->side; x++) {
            uint32_t cell = y / cell_side * s->cells + x / cell_side;
            float in = inside(((float)(x % cell_side) + 0.5f) / (float)cell_side,
                              ((float)(y % cell_side) + 0.5f) / (float)cell_side);
            uint32_t t =
                texel(cell & 1, x / 2 % TEXTURE_SIDE, y / 2 % TEXTURE_SIDE) ^ tint(frame, cell, in > 0);

            /* edges are no longer than 1: this is at least 1/64 of a pixel */
            if (in * (float)cell_side * 64 < 1 && in * (float)cell_side * 64 > -1) {
                continue;
            }
            if (got[y * s->side + x] != turned(t, s->rounds) && wrong++ < 3) {
                fprintf(stderr, "frame %u: pixel %u,%u is %08x, not %08x\n", frame, x, y,
                        got[y * s->side + x], turned(t, s->rounds));
            }
        }
    }
    if (wrong) {
        fprintf(stderr, "frame %u: %u of %u pixels are wrong\n", frame, wrong, s->side * s->side);
    }
    return wrong == 0;
}

static void make_pass(struct vk *vk, struct scene *s)
{
    const VkAttachmentDescription attachments[] = {
        { .format = VK_FORMAT_R8G8B8A8_UNORM,
          .samples = VK_SAMPLE_COUNT_1_BIT,
          .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
          .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
          .finalLayout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL },
        { .format = VK_FORMAT_D16_UNORM,
          .samples = VK_SAMPLE_COUNT_1_BIT,
          .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
          .storeOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
          .finalLayout = VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL },
    };
    const VkAttachmentReference colour = { 0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL };
    const VkAttachmentReference depth = { 1, VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL };
    const VkSubpassDescription subpass = { .pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS,
                                           .colorAttachmentCount = 1,
                                           .pColorAttachments = &colour,
                                           .pDepthStencilAttachment = &depth };
    const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkPipelineStageFlags drawing = VK_PIPELINE_STAGE_ALL_GRAPHICS_BIT;
    const VkAccessFlags any = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
    const VkSubpassDependency dependencies[] = { { VK_SUBPASS_EXTERNAL, 0, all, drawing, any, any, 0 },
                                                 { 0, VK_SUBPASS_EXTERNAL, drawing, all, any, any, 0 } };
    const VkRenderPassCreateInfo info = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO,
                                          .attachmentCount = 2,
                                          .pAttachments = attachments,
                                          .subpassCount = 1,
                                          .pSubpasses = &subpass,
                                          .dependencyCount = 2,
                                          .pDependencies = dependencies };
    VkImageView views[2];
    VkFramebufferCreateInfo framebuffer = { .sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO,
                                            .attachmentCount = 2,
                                            .pAttachments = views,
                                            .width = s->side,
                                            .height = s->side,
                                            .layers = 1 };

    vk_image_make(vk, attachments[0].format, s->side,
                  VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT, &s->colour);
    vk_image_make(vk, attachments[1].format, s->side, VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT, &s->depth);
    vk_check(vkCreateRenderPass(vk->device, &info, NULL, &s->pass), "vkCreateRenderPass");
    framebuffer.renderPass = s->pass;
    views[0] = s->colour.view;
    views[1] = s->depth.view;
    vk_check(vkCreateFramebuffer(vk->device, &framebuffer, NULL, &s->framebuffer), "vkCreateFramebuffer");
}

static void make_pipeline(struct vk *vk, struct scene *s)
{
    const VkPipelineShaderStageCreateInfo stages[] = {
        { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
          .stage = VK_SHADER_STAGE_VERTEX_BIT,
          .module = vk_shader(vk, vk_draw_vert, sizeof(vk_draw_vert)),
          .pName = "main" },
        { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
          .stage = VK_SHADER_STAGE_FRAGMENT_BIT,
          .module = vk_shader(vk, vk_draw_frag, sizeof(vk_draw_frag)),
          .pName = "main" },
    };
    const VkVertexInputBindingDescription binding = { 0, sizeof(corners[0]), VK_VERTEX_INPUT_RATE_VERTEX };
    const VkVertexInputAttributeDescription attribute = { 0, 0, VK_FORMAT_R32G32_SFLOAT, 0 };
    const VkPipelineVertexInputStateCreateInfo input = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO,
        .vertexBindingDescriptionCount = 1,
        .pVertexBindingDescriptions = &binding,
        .vertexAttributeDescriptionCount = 1,
        .pVertexAttributeDescriptions = &attribute
    };
    const VkPipelineInputAssemblyStateCreateInfo assembly = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
        .topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_STRIP
    };
    const VkViewport viewport = { 0, 0, (float)s->side, (float)s->side, 0, 1 };
    const VkRect2D scissor = { { 0, 0 }, { s->side, s->side } };
    const VkPipelineViewportStateCreateInfo view = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
        .viewportCount = 1,
        .pViewports = &viewport,
        .scissorCount = 1,
        .pScissors = &scissor
    };
    const VkPipelineRasterizationStateCreateInfo raster = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO, .lineWidth = 1
    };
    const VkPipelineMultisampleStateCreateInfo samples = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
        .rasterizationSamples = VK_SAMPLE_COUNT_1_BIT
    };
    const VkPipelineDepthStencilStateCreateInfo depth = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_DEPTH_STENCIL_STATE_CREATE_INFO,
        .depthTestEnable = VK_TRUE,
        .depthWriteEnable = VK_TRUE,
        .depthCompareOp = VK_COMPARE_OP_LESS
    };
    const VkPipelineColorBlendAttachmentState all = { .colorWriteMask = 15 };
    const VkPipelineColorBlendStateCreateInfo blend = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
        .attachmentCount = 1,
        .pAttachments = &all
    };
    VkGraphicsPipelineCreateInfo info = { .sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO,
                                          .stageCount = 2,
                                          .pStages = stages,
                                          .pVertexInputState = &input,
                                          .pInputAssemblyState = &assembly,
                                          .pViewportState = &view,
                                          .pRasterizationState = &raster,
                                          .pMultisampleState = &samples,
                                          .pDepthStencilState = &depth,
                                          .pColorBlendState = &blend };

    s->layout = vk_layout(vk, s->set_layout, VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT,
                          sizeof(struct push));
    info.layout = s->layout;
    info.renderPass = s->pass;
    vk_check(vkCreateGraphicsPipelines(vk->device, VK_NULL_HANDLE, 1, &info, NULL, &s->pipeline),
             "vkCreateGraphicsPipelines");
    vkDestroyShaderModule(vk->device, stages[0].module, NULL);
    vkDestroyShaderModule(vk->device, stages[1].module, NULL);
}

static void upload_texture(struct vk *vk, struct scene *s, unsigned n)
{
    const VkBufferImageCopy copy = { .imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
                                     .imageExtent = { TEXTURE_SIDE, TEXTURE_SIDE, 1 } };
    struct frame *f = &s->frames[0];
    uint32_t *words = s->upload.map;

    for (uint32_t i = 0; i < TEXTURE_SIDE * TEXTURE_SIDE; i++) {
        words[i] = texel(n, i % TEXTURE_SIDE, i / TEXTURE_SIDE);
    }
    vk_begin(f->commands);
    vk_image_barrier(f->commands, &s->textures[n], VK_IMAGE_ASPECT_COLOR_BIT, VK_IMAGE_LAYOUT_UNDEFINED,
                     VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
    vkCmdCopyBufferToImage(f->commands, s->upload.buffer, s->textures[n].image,
                           VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &copy);
    vk_image_barrier(f->commands, &s->textures[n], VK_IMAGE_ASPECT_COLOR_BIT,
                     VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);
    vk_submit(vk, f->commands, f->fence);
    vk_wait(vk, f->fence);
}

static void make_textures(struct vk *vk, struct scene *s)
{
    const VkDescriptorType type = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
    const VkSamplerCreateInfo sampler = { .sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
                                          .magFilter = VK_FILTER_NEAREST,
                                          .minFilter = VK_FILTER_NEAREST,
                                          .addressModeU = VK_SAMPLER_ADDRESS_MODE_REPEAT,
                                          .addressModeV = VK_SAMPLER_ADDRESS_MODE_REPEAT,
                                          .addressModeW = VK_SAMPLER_ADDRESS_MODE_REPEAT };

    vk_sets_make(vk, &type, 1, VK_SHADER_STAGE_FRAGMENT_BIT, 2, &s->set_layout, &s->pool, s->sets);
    vk_check(vkCreateSampler(vk->device, &sampler, NULL, &s->sampler), "vkCreateSampler");
    vk_buffer_make(vk, TEXTURE_SIDE * TEXTURE_SIDE * 4, VK_BUFFER_USAGE_TRANSFER_SRC_BIT, &s->upload);
    for (unsigned n = 0; n < 2; n++) {
        VkDescriptorImageInfo image = { .sampler = s->sampler,
                                        .imageLayout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL };
        const VkWriteDescriptorSet write = { .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                             .dstSet = s->sets[n],
                                             .descriptorCount = 1,
                                             .descriptorType = type,
                                             .pImageInfo = &image };

        vk_image_make(vk, VK_FORMAT_R8G8B8A8_UNORM, TEXTURE_SIDE,
                      VK_IMAGE_USAGE_TRANSFER_DST_BIT | VK_IMAGE_USAGE_SAMPLED_BIT, &s->textures[n]);
        upload_texture(vk, s, n);
        image.imageView = s->textures[n].view;
        vkUpdateDescriptorSets(vk->device, 1, &write, 0, NULL);
    }
}

static void make_scene(struct vk *vk, struct scene *s)
{
    for (int i = 0; i < FLIGHT; i++) {
        s->frames[i] = (struct frame){ vk_commands(vk), vk_fence(vk), false };
    }
    make_textures(vk, s);
    make_pass(vk, s);
    make_pipeline(vk, s);
    vk_buffer_make(vk, sizeof(corners), VK_BUFFER_USAGE_VERTEX_BUFFER_BIT, &s->corners);
    memcpy(s->corners.map, corners, sizeof(corners));
    vk_buffer_make(vk, (VkDeviceSize)s->side * s->side * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT, &s->back);
}

static void free_scene(struct vk *vk, struct scene *s)
{
    for (int i = 0; i < FLIGHT; i++) {
        vkDestroyFence(vk->device, s->frames[i].fence, NULL);
    }
    vkDestroyPipeline(vk->device, s->pipeline, NULL);
    vkDestroyPipelineLayout(vk->device, s->layout, NULL);
    vkDestroyDescriptorPool(vk->device, s->pool, NULL);
    vkDestroyDescriptorSetLayout(vk->device, s->set_layout, NULL);
    vkDestroySampler(vk->device, s->sampler, NULL);
    vkDestroyFramebuffer(vk->device, s->framebuffer, NULL);
    vkDestroyRenderPass(vk->device, s->pass, NULL);
    vk_image_free(vk, &s->textures[0]);
    vk_image_free(vk, &s->textures[1]);
    vk_image_free(vk, &s->colour);
    vk_image_free(vk, &s->depth);
    vk_buffer_free(vk, &s->corners);
    vk_buffer_free(vk, &s->upload);
    vk_buffer_free(vk, &s->back);
}

static void draw_cells(const struct scene *s, VkCommandBuffer commands, unsigned frame)
{
    struct push push = { .side = (float)(s->side / s->cells),
                         .picture = (float)s->side,
                         .rounds = s->rounds };
    const VkShaderStageFlags stages = VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT;

    for (uint32_t cell = 0; cell < s->cells * s->cells; cell++) {
        vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, s->layout, 0, 1,
                                &s->sets[cell & 1], 0, NULL);
        push.origin[0] = push.side * (float)(cell % s->cells);
        push.origin[1] = push.side * (float)(cell / s->cells);
        push.depth = 0.25f;
        push.tint = tint(frame, cell, true);
        vkCmdPushConstants(commands, s->layout, stages, 0, sizeof(push), &push);
        vkCmdDraw(commands, 3, 1, 0, 0);
        push.depth = 0.75f;
        push.tint = tint(frame, cell, false);
        vkCmdPushConstants(commands, s->layout, stages, 0, sizeof(push), &push);
        vkCmdDraw(commands, 4, 1, 3, 0);
    }
}

/* Records and submits a frame; back: and the copy for the CPU. */
static void draw(struct vk *vk, struct scene *s, unsigned frame, bool back)
{
    const VkClearValue clear[] = { { .color.uint32 = { 0 } }, { .depthStencil = { 1, 0 } } };
    const VkRenderPassBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO,
                                          .renderPass = s->pass,
                                          .framebuffer = s->framebuffer,
                                          .renderArea = { { 0, 0 }, { s->side, s->side } },
                                          .clearValueCount = 2,
                                          .pClearValues = clear };
    const VkBufferImageCopy copy = { .imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
                                     .imageExtent = { s->side, s->side, 1 } };
    struct frame *f = &s->frames[frame % FLIGHT];
    VkDeviceSize offset = 0;

    if (f->busy) {
        vk_wait(vk, f->fence);
    }
    vk_begin(f->commands);
    vkCmdBeginRenderPass(f->commands, &begin, VK_SUBPASS_CONTENTS_INLINE);
    vkCmdBindPipeline(f->commands, VK_PIPELINE_BIND_POINT_GRAPHICS, s->pipeline);
    vkCmdBindVertexBuffers(f->commands, 0, 1, &s->corners.buffer, &offset);
    draw_cells(s, f->commands, frame);
    vkCmdEndRenderPass(f->commands);
    if (back) {
        vkCmdCopyImageToBuffer(f->commands, s->colour.image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                               s->back.buffer, 1, &copy);
        vk_memory_barrier(f->commands);
    }
    vk_submit(vk, f->commands, f->fence);
    f->busy = true;
}

static void drain(struct vk *vk, struct scene *s)
{
    for (int i = 0; i < FLIGHT; i++) {
        if (s->frames[i].busy) {
            vk_wait(vk, s->frames[i].fence);
            s->frames[i].busy = false;
        }
    }
}

int main(int argc, char **argv)
{
    struct vk_options options = { 0 };
    struct scene s = { .side = 512, .cells = 16, .rounds = 4 };
    struct vk vk;
    unsigned frames = 0;
    double start, took = 0;
    bool right;
    int status;

    for (int i = 1; i < argc; i++) {
        if (vk_option(&options, argc, argv, &i)) {
            continue;
        } else if (strcmp(argv[i], "--side") == 0 && i + 1 < argc) {
            s.side = (uint32_t)number(argv[++i]);
        } else if (strcmp(argv[i], "--cells") == 0 && i + 1 < argc) {
            s.cells = (uint32_t)number(argv[++i]);
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            s.rounds = (uint32_t)number(argv[++i]);
        } else {
            fprintf(stderr, "usage: vk-draw [--side PIXELS] [--cells N] [--rounds N] [--seconds S] "
                            "[--device TEXT] [--json]\n");
            return 2;
        }
    }
    if (s.side < 64 || s.side > 4096 || s.cells < 1 || s.side % s.cells || s.side / s.cells % 2) {
        fprintf(stderr, "--side is 64 to 4096, and an even multiple of --cells\n");
        return 2;
    }
    vk_open(&vk, &options);
    make_scene(&vk, &s);
    draw(&vk, &s, 0, true);
    drain(&vk, &s);
    right = picture_is_right(&s, 0);
    if (options.seconds > 0) {
        start = seconds();
        do {
            draw(&vk, &s, ++frames, false);
        } while (seconds() - start < options.seconds);
        drain(&vk, &s);
        took = seconds() - start;
        draw(&vk, &s, frames + 1, true);
        drain(&vk, &s);
        right = picture_is_right(&s, frames + 1) && right;
    }
    status = vk_report(&vk, &options, "vk-draw", took > 0 ? "frames" : NULL, frames, took, right);
    free_scene(&vk, &s);
    vk_close(&vk);
    return status;
}
