/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vulkan_copy.h"

#include <vulkan/vulkan_core.h>

#include "vulkan_words.h"

/* Of the protocol. */
enum {
    QUEUE_SUBMIT = 18,
    BIND_BUFFER_MEMORY = 28,
    BIND_IMAGE_MEMORY = 29,
    CREATE_BUFFER = 50,
    CREATE_IMAGE = 54,
    CREATE_COMMAND_POOL = 85,
    ALLOCATE_COMMAND_BUFFERS = 88,
    BEGIN_COMMAND_BUFFER = 90,
    END_COMMAND_BUFFER = 91,
    COPY_BUFFER_TO_IMAGE = 115,
    COPY_IMAGE_TO_BUFFER = 116,
    PIPELINE_BARRIER = 126,
    GET_DEVICE_QUEUE_2 = 155,
    QUEUE_TIMELINE_INFO = 1000384005,
};

enum { QUEUE = DEVICE + 1, POOL }; /* ids */

void vulkan_queue(Frontend *f, uint32_t ctx)
{
    Stream s;

    command(&s, GET_DEVICE_QUEUE_2);
    wide(&s, DEVICE);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_DEVICE_QUEUE_INFO_2);
    there(&s, 1);
    word(&s, QUEUE_TIMELINE_INFO);
    none(&s); /* pNext */
    word(&s, VULKAN_QUEUE_RING);
    word(&s, 0); /* flags */
    word(&s, 0); /* of the first family */
    word(&s, 0); /* the first */
    there(&s, 1);
    wide(&s, QUEUE);
    send(f, ctx, &s);

    command(&s, CREATE_COMMAND_POOL);
    wide(&s, DEVICE);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
    none(&s);    /* pNext */
    word(&s, 0); /* flags */
    word(&s, 0); /* family */
    none(&s);    /* pAllocator */
    there(&s, 1);
    wide(&s, POOL);
    send(f, ctx, &s);
}

static void bind(Frontend *f, uint32_t ctx, uint32_t type, uint64_t id, uint64_t memory)
{
    Stream s;

    command(&s, type);
    wide(&s, DEVICE);
    wide(&s, id);
    wide(&s, memory);
    wide(&s, 0); /* offset */
    send(f, ctx, &s);
}

void vulkan_buffer(Frontend *f, uint32_t ctx, uint64_t id, uint64_t memory, uint64_t size)
{
    Stream s;

    command(&s, CREATE_BUFFER);
    wide(&s, DEVICE);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
    none(&s);    /* pNext */
    word(&s, 0); /* flags */
    wide(&s, size);
    word(&s, VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    word(&s, VK_SHARING_MODE_EXCLUSIVE);
    word(&s, 0); /* families */
    none(&s);
    none(&s); /* pAllocator */
    there(&s, 1);
    wide(&s, id);
    send(f, ctx, &s);
    bind(f, ctx, BIND_BUFFER_MEMORY, id, memory);
}

void vulkan_image(Frontend *f, uint32_t ctx, uint64_t id, uint64_t memory, uint32_t format, uint32_t side)
{
    Stream s;

    command(&s, CREATE_IMAGE);
    wide(&s, DEVICE);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO);
    none(&s);    /* pNext */
    word(&s, 0); /* flags */
    word(&s, VK_IMAGE_TYPE_2D);
    word(&s, format);
    word(&s, side);
    word(&s, side);
    word(&s, 1); /* depth */
    word(&s, 1); /* levels */
    word(&s, 1); /* layers */
    word(&s, VK_SAMPLE_COUNT_1_BIT);
    word(&s, VK_IMAGE_TILING_OPTIMAL);
    word(&s, VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT);
    word(&s, VK_SHARING_MODE_EXCLUSIVE);
    word(&s, 0); /* families */
    none(&s);
    word(&s, VK_IMAGE_LAYOUT_UNDEFINED);
    none(&s); /* pAllocator */
    there(&s, 1);
    wide(&s, id);
    send(f, ctx, &s);
    bind(f, ctx, BIND_IMAGE_MEMORY, id, memory);
}

static void begin(Frontend *f, uint32_t ctx, uint64_t commands)
{
    Stream s;

    command(&s, ALLOCATE_COMMAND_BUFFERS);
    wide(&s, DEVICE);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
    none(&s); /* pNext */
    wide(&s, POOL);
    word(&s, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    word(&s, 1);
    there(&s, 1);
    wide(&s, commands);
    send(f, ctx, &s);

    command(&s, BEGIN_COMMAND_BUFFER);
    wide(&s, commands);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
    none(&s); /* pNext */
    word(&s, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT);
    none(&s); /* nothing inherited */
    send(f, ctx, &s);
}

/* To the layout that copies both ways; what is in the picture is still there on software. */
static void make_general(Frontend *f, uint32_t ctx, uint64_t commands, uint64_t image, uint32_t aspect)
{
    Stream s;

    command(&s, PIPELINE_BARRIER);
    wide(&s, commands);
    word(&s, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT);
    word(&s, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT);
    word(&s, 0); /* flags */
    word(&s, 0); /* of memory */
    none(&s);
    word(&s, 0); /* of buffers */
    none(&s);
    word(&s, 1); /* of pictures */
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER);
    none(&s); /* pNext */
    word(&s, VK_ACCESS_MEMORY_WRITE_BIT);
    word(&s, VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT);
    word(&s, VK_IMAGE_LAYOUT_UNDEFINED);
    word(&s, VK_IMAGE_LAYOUT_GENERAL);
    word(&s, VK_QUEUE_FAMILY_IGNORED);
    word(&s, VK_QUEUE_FAMILY_IGNORED);
    wide(&s, image);
    word(&s, aspect);
    word(&s, 0); /* level */
    word(&s, 1);
    word(&s, 0); /* layer */
    word(&s, 1);
    send(f, ctx, &s);
}

static void end_and_submit(Frontend *f, uint32_t ctx, uint64_t commands)
{
    Stream s;

    command(&s, END_COMMAND_BUFFER);
    wide(&s, commands);
    send(f, ctx, &s);

    command(&s, QUEUE_SUBMIT);
    wide(&s, QUEUE);
    word(&s, 1);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_SUBMIT_INFO);
    none(&s);    /* pNext */
    word(&s, 0); /* waits for */
    none(&s);
    none(&s);
    word(&s, 1);
    there(&s, 1);
    wide(&s, commands);
    word(&s, 0); /* signals */
    none(&s);
    wide(&s, 0); /* fence */
    send(f, ctx, &s);
}

void vulkan_copy(Frontend *f, uint32_t ctx, uint64_t commands, bool to_image, uint64_t image, uint64_t buffer,
                 uint32_t aspect, uint32_t side)
{
    Stream s;

    begin(f, ctx, commands);
    make_general(f, ctx, commands, image, aspect);
    command(&s, to_image ? COPY_BUFFER_TO_IMAGE : COPY_IMAGE_TO_BUFFER);
    wide(&s, commands);
    if (to_image) {
        wide(&s, buffer);
        wide(&s, image);
        word(&s, VK_IMAGE_LAYOUT_GENERAL);
    } else {
        wide(&s, image);
        word(&s, VK_IMAGE_LAYOUT_GENERAL);
        wide(&s, buffer);
    }
    word(&s, 1);
    there(&s, 1);
    wide(&s, 0); /* in the buffer */
    word(&s, 0); /* as wide and */
    word(&s, 0); /* as high as the picture */
    word(&s, aspect);
    word(&s, 0); /* level */
    word(&s, 0); /* layer */
    word(&s, 1);
    for (unsigned i = 0; i < 3; i++) {
        word(&s, 0); /* from */
    }
    word(&s, side);
    word(&s, side);
    word(&s, 1);
    send(f, ctx, &s);
    end_and_submit(f, ctx, commands);
}
