/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vk-memory [OPTION...]: allocates device memory until it is refused, frees it
 * all, and does so again.
 *
 *   --mib N         of each allocation (16)
 *   --most MIB      ends a round there even if nothing was refused (16384)
 *   --rounds N      (1)
 *   --host          memory that the CPU can map, and map and write to each of them
 *   --small         when refused, 4 KiB must still be there, and a submit must work
 *   --hold          at its fullest in round 1, until there is no file /tmp/vk-hold:
 *                   prints "holding" when it is there
 *   --budget        what VK_EXT_memory_budget says of the heap, before each round
 *                   and at its fullest: budget=WHEN usage_mib=N budget_mib=N
 *   --device TEXT   the first device whose name contains it
 *
 * A line for each round: what the refusal was and how much there was before it,
 *
 *   round=1 refused=VK_ERROR_OUT_OF_DEVICE_MEMORY mib=1008
 *
 * and at the end the heap as the application sees it and the rounds in which the
 * answer was the one that Vulkan has for this, and the smallest and largest sum.
 * Exit status 0: all of them; 1: not all.
 */
#include "vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALLOCATIONS_MAX 16384
#define MIB             (1024u * 1024u)
#define HOLD            "/tmp/vk-hold"

static VkDeviceMemory held[ALLOCATIONS_MAX];

struct what {
    VkDeviceSize mib, most;
    bool host, small, hold, budget;
    uint32_t type;
};

static VkResult allocate(struct vk *vk, const struct what *what, VkDeviceSize size, VkDeviceMemory *memory)
{
    const VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                        .allocationSize = size,
                                        .memoryTypeIndex = what->type };
    VkResult result = vkAllocateMemory(vk->device, &info, NULL, memory);
    void *map;

    if (result == VK_SUCCESS && what->host) {
        result = vkMapMemory(vk->device, *memory, 0, VK_WHOLE_SIZE, 0, &map);
        if (result == VK_SUCCESS) {
            memset(map, 0xa5, size);
        } else {
            vkFreeMemory(vk->device, *memory, NULL);
        }
    }
    return result;
}

/* A full slice must still let the application end what it does. */
static void still_works(struct vk *vk, const struct what *what, VkCommandBuffer commands, VkFence fence)
{
    VkDeviceMemory memory;

    vk_check(allocate(vk, what, 4096, &memory), "4 KiB of a full slice");
    vk_begin(commands);
    vk_memory_barrier(commands);
    vk_submit(vk, commands, fence);
    vk_wait(vk, fence);
    vkFreeMemory(vk->device, memory, NULL);
}

static void say_budget(const struct vk *vk, const struct what *what, const char *when)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT
    };
    VkPhysicalDeviceMemoryProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &budget
    };
    uint32_t heap = vk->memory.memoryTypes[what->type].heapIndex;

    vkGetPhysicalDeviceMemoryProperties2(vk->physical, &properties);
    printf("budget=%s usage_mib=%llu budget_mib=%llu\n", when,
           (unsigned long long)budget.heapUsage[heap] / MIB,
           (unsigned long long)budget.heapBudget[heap] / MIB);
}

static void hold(void)
{
    fclose(fopen(HOLD, "w"));
    printf("holding\n");
    fflush(stdout);
    while (access(HOLD, F_OK) == 0) {
        usleep(100000);
    }
}

int main(int argc, char **argv)
{
    static const char *const extensions[] = { VK_EXT_MEMORY_BUDGET_EXTENSION_NAME };
    struct vk_options options = { 0 };
    struct what what = { .mib = 16, .most = 16384 };
    VkMemoryPropertyFlags flags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    VkDeviceSize least = ~0ull, largest = 0;
    unsigned long rounds = 1, good = 0;
    VkCommandBuffer commands;
    VkFence fence;
    struct vk vk;
    int type;

    for (int i = 1; i < argc; i++) {
        if (vk_option(&options, argc, argv, &i)) {
            continue;
        } else if (strcmp(argv[i], "--mib") == 0 && i + 1 < argc) {
            what.mib = number(argv[++i]);
        } else if (strcmp(argv[i], "--most") == 0 && i + 1 < argc) {
            what.most = number(argv[++i]);
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            rounds = number(argv[++i]);
        } else if (strcmp(argv[i], "--host") == 0) {
            what.host = true;
            flags = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
        } else if (strcmp(argv[i], "--small") == 0) {
            what.small = true;
        } else if (strcmp(argv[i], "--hold") == 0) {
            what.hold = true;
        } else if (strcmp(argv[i], "--budget") == 0) {
            what.budget = true;
            options.extensions = extensions;
            options.extension_count = 1;
        } else {
            fprintf(stderr, "usage: vk-memory [--mib N] [--most MIB] [--rounds N] [--host] [--small] "
                            "[--hold] [--budget] [--device TEXT]\n");
            return 2;
        }
    }
    if (what.mib < 1 || what.most / what.mib > ALLOCATIONS_MAX) {
        fprintf(stderr, "--most is up to %d times --mib\n", ALLOCATIONS_MAX);
        return 2;
    }
    vk_open(&vk, &options);
    commands = vk_commands(&vk);
    fence = vk_fence(&vk);
    type = vk_memory_type(&vk, ~0u, flags);
    if (type < 0) {
        fprintf(stderr, "no memory type has the flags 0x%x\n", (unsigned)flags);
        return 2;
    }
    what.type = (uint32_t)type;
    printf("heap_mib=%llu\n",
           (unsigned long long)vk.memory.memoryHeaps[vk.memory.memoryTypes[type].heapIndex].size / MIB);
    fflush(stdout);
    for (unsigned long round = 1; round <= rounds; round++) {
        VkResult result = VK_SUCCESS;
        VkDeviceSize sum = 0;
        size_t n = 0;

        if (what.budget) {
            say_budget(&vk, &what, "empty");
        }
        while (sum + what.mib <= what.most) {
            result = allocate(&vk, &what, what.mib * MIB, &held[n]);
            if (result != VK_SUCCESS) {
                break;
            }
            n++;
            sum += what.mib;
        }
        printf("round=%lu refused=%s mib=%llu\n", round, vk_result(result), (unsigned long long)sum);
        fflush(stdout);
        if (what.budget) {
            say_budget(&vk, &what, "full");
        }
        if (what.hold && round == 1) {
            hold();
        }
        if (what.small) {
            still_works(&vk, &what, commands, fence);
        }
        while (n > 0) {
            vkFreeMemory(vk.device, held[--n], NULL);
        }
        good += result == VK_ERROR_OUT_OF_DEVICE_MEMORY;
        least = sum < least ? sum : least;
        largest = sum > largest ? sum : largest;
    }
    printf("rounds=%lu\nrefused_well=%lu\nleast_mib=%llu\nmost_mib=%llu\n", rounds, good,
           (unsigned long long)least, (unsigned long long)largest);
    vkDestroyFence(vk.device, fence, NULL);
    vk_close(&vk);
    return good == rounds ? 0 : 1;
}
