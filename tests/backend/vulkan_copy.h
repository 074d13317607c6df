/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * More of Vulkan's commands (see vulkan_stream.h): pictures that no program can map,
 * and their bytes by way of a buffer.  The ids are the caller's, from
 * VULKAN_FIRST_ID on.
 */
#ifndef TEST_VULKAN_COPY_H
#define TEST_VULKAN_COPY_H

#include "vulkan_stream.h"

#define VULKAN_FIRST_ID 10

/* Of the context: a fence of it signals when what was sent to the queue before is done. */
#define VULKAN_QUEUE_RING 1

/* After vulkan_device(): its queue, and a pool for what is sent to it. */
void vulkan_queue(Frontend *f, uint32_t ctx);
/* A buffer of all of that memory. */
void vulkan_buffer(Frontend *f, uint32_t ctx, uint64_t id, uint64_t memory, uint64_t size);
/* A square picture in a VkFormat of four bytes a pixel, in that memory. */
void vulkan_image(Frontend *f, uint32_t ctx, uint64_t id, uint64_t memory, uint32_t format, uint32_t side);
/* Copies all of a picture; commands: a new id.  It is sent, not waited for. */
void vulkan_copy(Frontend *f, uint32_t ctx, uint64_t commands, bool to_image, uint64_t image, uint64_t buffer,
                 uint32_t aspect, uint32_t side);

#endif
