/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libVkLayer_vgpu.so: the quota of a VM where its Vulkan is done.
 *
 * Theory of operation.  A venus guest's Vulkan calls are made by a process of
 * virglrenderer's render server, one for each context of the guest, and none of
 * them passes the virtqueue.  So the quota sits there, as a Vulkan layer that
 * the loader puts under every instance: what allocates device memory is charged
 * before the driver sees it (memory.c), what submits work waits for the VM's
 * lease of the GPU (submit.c, gate.c), and the heaps have the slice's size
 * (heaps.c).
 *
 * The same library is preloaded into the render server.  Its constructor reads
 * which descriptors the renderer has left to it; in each process that the server
 * forks it takes a slot in the Vulkan page and says hello (process.c).
 *
 * Nothing of ours is wrapped around a handle of the driver's: guests may use
 * whatever extension the server lets through, and structures that we do not know
 * pass as they are.  What we know of a handle is found beside it.
 *
 * A layer that cannot keep books refuses to make an instance: there is no way to
 * run without it.
 *
 * What is left out on purpose: memory that a driver uses for itself (pipelines,
 * descriptor and command pools) is no VkDeviceMemory and is bounded by what
 * bounds the process; images of a swapchain are made by the driver, below us,
 * and venus makes its swapchains in the guest.
 */
#ifndef VGPU_LAYER_H
#define VGPU_LAYER_H

#include <vulkan/vulkan.h>

#include "gate.h"
#include "memory.h"
#include "semaphores.h"

typedef struct Instance {
    VkInstance handle;
    PFN_vkGetInstanceProcAddr get_proc;
    PFN_vkDestroyInstance DestroyInstance;
    PFN_vkGetPhysicalDeviceMemoryProperties GetPhysicalDeviceMemoryProperties;
    PFN_vkGetPhysicalDeviceMemoryProperties2 GetPhysicalDeviceMemoryProperties2; /* or KHR's; NULL */
} Instance;

/* The next layer's or the driver's.  What a device has not is NULL. */
typedef struct DeviceTable {
    PFN_vkGetDeviceProcAddr GetDeviceProcAddr;
    PFN_vkDestroyDevice DestroyDevice;
    PFN_vkDeviceWaitIdle DeviceWaitIdle;

    PFN_vkAllocateMemory AllocateMemory;
    PFN_vkFreeMemory FreeMemory;
    PFN_vkMapMemory MapMemory;
    PFN_vkUnmapMemory UnmapMemory;
    PFN_vkMapMemory2 MapMemory2;
    PFN_vkUnmapMemory2 UnmapMemory2;
    PFN_vkGetMemoryFdKHR GetMemoryFdKHR;
    PFN_vkGetMemoryHostPointerPropertiesEXT GetMemoryHostPointerPropertiesEXT;

    PFN_vkQueueSubmit QueueSubmit;
    PFN_vkQueueSubmit2 QueueSubmit2;
    PFN_vkQueueBindSparse QueueBindSparse;
    PFN_vkQueuePresentKHR QueuePresentKHR;
    PFN_vkQueueWaitIdle QueueWaitIdle;

    PFN_vkCreateFence CreateFence;
    PFN_vkDestroyFence DestroyFence;
    PFN_vkResetFences ResetFences;
    PFN_vkGetFenceStatus GetFenceStatus;
    PFN_vkWaitForFences WaitForFences;

    PFN_vkCreateSemaphore CreateSemaphore;
    PFN_vkDestroySemaphore DestroySemaphore;
    PFN_vkGetSemaphoreCounterValue GetSemaphoreCounterValue;
    PFN_vkSignalSemaphore SignalSemaphore;
} DeviceTable;

typedef struct Device {
    VkDevice handle;
    DeviceTable next;
    uint32_t group_size; /* physical devices it is made of */
    bool own_files;      /* memory for others is ours, see own_file.h */
    VkPhysicalDeviceMemoryProperties memory_properties;
    Memories memories;
    Semaphores semaphores;
    Gate gate;
} Device;

/* By a handle of it or of its physical devices or queues; never NULL for one that lives. */
Instance *instance_of(const void *handle);
Device *device_of(const void *handle);

/* A structure that the caller gave along, or NULL. */
const void *chain_find(const void *next, VkStructureType type);

#endif
