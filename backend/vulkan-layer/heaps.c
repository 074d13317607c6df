/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every VkDeviceMemory is charged, in whatever heap, so no heap is larger than
 * the limit.  The budget follows what the whole VM has left.
 */
#include "heaps.h"

#include "driver.h"
#include "layer.h"
#include "process.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void cap_sizes(VkPhysicalDeviceMemoryProperties *p)
{
    uint64_t limit = ledger_limit(&process.ledger);

    for (uint32_t i = 0; i < p->memoryHeapCount; i++) {
        p->memoryHeaps[i].size = least(p->memoryHeaps[i].size, limit);
    }
    heaps_hide(p);
}

static bool is_visible(const VkMemoryType *t, VkMemoryPropertyFlags local)
{
    return (t->propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) &&
           (t->propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) == local;
}

void heaps_hide(VkPhysicalDeviceMemoryProperties *p)
{
    const VkMemoryPropertyFlags hidden = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                         VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
                                         VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    bool others = false;

    for (uint32_t i = 0; i < p->memoryTypeCount; i++) {
        others |= is_visible(&p->memoryTypes[i], 0);
    }
    for (uint32_t i = 0; i < p->memoryTypeCount && others && driver_is_nvidia(); i++) {
        if (is_visible(&p->memoryTypes[i], VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT)) {
            p->memoryTypes[i].propertyFlags &= ~hidden;
        }
    }
}

/* What others of the VM use is no use of this process, but it is gone from the budget. */
static void cap_budget(const VkPhysicalDeviceMemoryProperties *p,
                       VkPhysicalDeviceMemoryBudgetPropertiesEXT *b)
{
    uint64_t left = ledger_free(&process.ledger);

    for (uint32_t i = 0; i < p->memoryHeapCount; i++) {
        uint64_t size = p->memoryHeaps[i].size, could;

        b->heapUsage[i] = least(b->heapUsage[i], size);
        could = least(b->heapUsage[i] + left, size);
        b->heapBudget[i] = least(b->heapBudget[i], could);
    }
}

VKAPI_ATTR void VKAPI_CALL heaps_properties(VkPhysicalDevice physical,
                                            VkPhysicalDeviceMemoryProperties *properties)
{
    instance_of(physical)->GetPhysicalDeviceMemoryProperties(physical, properties);
    cap_sizes(properties);
}

VKAPI_ATTR void VKAPI_CALL heaps_properties2(VkPhysicalDevice physical,
                                             VkPhysicalDeviceMemoryProperties2 *properties)
{
    VkBaseOutStructure *out;

    instance_of(physical)->GetPhysicalDeviceMemoryProperties2(physical, properties);
    cap_sizes(&properties->memoryProperties);
    for (out = properties->pNext; out; out = out->pNext) {
        if (out->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) {
            cap_budget(&properties->memoryProperties, (VkPhysicalDeviceMemoryBudgetPropertiesEXT *)out);
        }
    }
}
