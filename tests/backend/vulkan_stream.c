/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vulkan_words.h"

#include <vulkan/vulkan_core.h>

/* Of the protocol: commands, and structures that are in no header of Vulkan's. */
enum {
    CREATE_INSTANCE = 0,
    ENUMERATE_PHYSICAL_DEVICES = 2,
    CREATE_DEVICE = 11,
    ALLOCATE_MEMORY = 21,
    FREE_MEMORY = 22,
    CREATE_RING = 188,
    DESTROY_RING = 189,
    RING_CREATE_INFO = 1000384000,
    IMPORT_MEMORY_RESOURCE_INFO = 1000384002,
    RING_MONITOR_INFO = 1000384006,
    RING_PRIORITY_INFO = 1000384007,
};

static void create_instance(Frontend *f, uint32_t ctx)
{
    Stream s;

    command(&s, CREATE_INSTANCE);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
    none(&s);    /* pNext */
    word(&s, 0); /* flags */
    none(&s);    /* pApplicationInfo */
    word(&s, 0); /* layers */
    none(&s);
    word(&s, 0); /* extensions */
    none(&s);
    none(&s); /* pAllocator */
    there(&s, 1);
    wide(&s, INSTANCE);
    send(f, ctx, &s);
}

static void enumerate(Frontend *f, uint32_t ctx)
{
    Stream s;

    command(&s, ENUMERATE_PHYSICAL_DEVICES);
    wide(&s, INSTANCE);
    there(&s, 1);
    word(&s, 1);
    there(&s, 1);
    wide(&s, PHYSICAL);
    send(f, ctx, &s);
}

static void create_device(Frontend *f, uint32_t ctx)
{
    Stream s;

    command(&s, CREATE_DEVICE);
    wide(&s, PHYSICAL);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
    none(&s);    /* pNext */
    word(&s, 0); /* flags */
    word(&s, 1); /* queues */
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
    none(&s);    /* pNext */
    word(&s, 0); /* flags */
    word(&s, 0); /* of the first family */
    word(&s, 1); /* one */
    there(&s, 1);
    word(&s, 0); /* of priority 0.0 */
    word(&s, 0); /* layers */
    none(&s);
    word(&s, 0); /* extensions: the server adds what it needs itself */
    none(&s);
    none(&s); /* pEnabledFeatures */
    none(&s); /* pAllocator */
    there(&s, 1);
    wide(&s, DEVICE);
    send(f, ctx, &s);
}

void vulkan_device(Frontend *f, uint32_t ctx)
{
    create_instance(f, ctx);
    enumerate(f, ctx);
    create_device(f, ctx);
}

/* more: of one word, or 0: nothing. */
static void allocate(Frontend *f, uint32_t ctx, uint64_t id, uint64_t size, uint32_t more, uint32_t of)
{
    Stream s;

    command(&s, ALLOCATE_MEMORY);
    wide(&s, DEVICE);
    there(&s, 1);
    word(&s, VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
    there(&s, more ? 1 : 0);
    if (more) {
        word(&s, more);
        none(&s); /* pNext */
        word(&s, of);
    }
    wide(&s, size);
    word(&s, 0); /* memory type */
    none(&s);    /* pAllocator */
    there(&s, 1);
    wide(&s, id);
    send(f, ctx, &s);
}

/* Without a word about exports: the server makes all memory that can be mapped such. */
void vulkan_memory(Frontend *f, uint32_t ctx, uint64_t id, uint64_t size)
{
    allocate(f, ctx, id, size, 0, 0);
}

void vulkan_import(Frontend *f, uint32_t ctx, uint64_t id, uint32_t resource_id, uint64_t size)
{
    allocate(f, ctx, id, size, IMPORT_MEMORY_RESOURCE_INFO, resource_id);
}

void vulkan_free(Frontend *f, uint32_t ctx, uint64_t id)
{
    Stream s;

    command(&s, FREE_MEMORY);
    wide(&s, DEVICE);
    wide(&s, id);
    none(&s); /* pAllocator */
    send(f, ctx, &s);
}

#define RING 0x1234

void vulkan_ring(Frontend *f, uint32_t ctx, uint32_t blob, uint32_t period_us)
{
    const uint64_t head = 0, tail = 64, buffer = PAGE, size = 2 * PAGE;
    Stream s;

    command(&s, CREATE_RING);
    wide(&s, RING);
    there(&s, 1);
    word(&s, RING_CREATE_INFO);
    there(&s, 1);
    word(&s, RING_MONITOR_INFO);
    there(&s, 1);
    word(&s, RING_PRIORITY_INFO);
    none(&s);
    word(&s, 0); /* priority */
    word(&s, period_us);
    word(&s, 0); /* flags */
    word(&s, blob);
    wide(&s, 0); /* offset */
    wide(&s, size);
    wide(&s, 1000000); /* idle after, ns */
    wide(&s, head);
    wide(&s, tail);
    wide(&s, VULKAN_RING_STATUS);
    wide(&s, buffer);
    wide(&s, PAGE);
    wide(&s, size); /* nothing extra */
    wide(&s, 0);
    send(f, ctx, &s);
}

void vulkan_ring_end(Frontend *f, uint32_t ctx)
{
    Stream s;

    command(&s, DESTROY_RING);
    wide(&s, RING);
    send(f, ctx, &s);
}
