/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The Vulkan layer of the guest's package: memory errors at the call, and
 * VK_EXT_memory_budget, on devices whose kernel driver is vgpu.
 *
 * Theory of operation.  Mesa's venus sends vkAllocateMemory to the host without
 * waiting for its answer, and ends the process when that is a refusal.  What is
 * used and what the limit is stands in the VM's statistics page, which vgpu.ko
 * shows in sysfs, and the host counts an allocation there as it does it.  So
 * the layer can say beforehand what the host would: used, and what was sent and
 * may not have been counted yet, and what is asked for, have to be within the
 * limit.  Where they are not the layer waits until the host has done what was
 * sent (a call that venus waits for, vgpu_memory.c) and looks again.  Well
 * below the limit nothing is waited for.
 *
 * It is advice.  The host enforces the limit whatever is said here, and two
 * processes that take the last bytes at one moment can still both be told yes:
 * one of them then ends as without the layer.  Where a figure cannot be read
 * (the stock driver, no renderer now) all calls are passed on as they are.
 *
 * An instance of Vulkan 1.0 without VK_KHR_get_physical_device_properties2 can
 * say of no device which one it is: there the layer does nothing.
 */
#ifndef VGPU_LAYER_H
#define VGPU_LAYER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

#define LAYER_NAME "VK_LAYER_VGPU_memory"

/* ---- the VM's slice of one GPU: vgpu_slice.c ---- */

/* For as long as the process lives. */
struct slice {
	struct slice *next;
	int64_t major, minor; /* of the render node */
	int used, limit;      /* files of sysfs */
	pthread_mutex_t lock; /* of all that follows */
	uint64_t unseen;      /* bytes sent, perhaps not in the page yet */
	uint64_t held[VK_MAX_MEMORY_HEAPS]; /* bytes of this process */
	struct device *devices;
};

/* Of the render node; NULL: vgpu does not drive it. */
struct slice *slice_of(int64_t major, int64_t minor);

/* What the host says now.  False: nothing. */
bool slice_read(const struct slice *s, uint64_t *used, uint64_t *limit);

/* ---- what is known of Vulkan's objects: vgpu_layer.c ---- */

struct physical {
	struct physical *next;
	VkPhysicalDevice handle;
	struct slice *slice; /* NULL: of no concern to us */
	bool has_budget;     /* the driver offers the extension itself */
	VkPhysicalDeviceMemoryProperties memory;
};

struct instance {
	struct instance *next;
	VkInstance handle;
	PFN_vkGetInstanceProcAddr get_proc;
	PFN_vkDestroyInstance DestroyInstance;
	PFN_vkGetPhysicalDeviceProperties2 GetPhysicalDeviceProperties2;

	PFN_vkGetPhysicalDeviceMemoryProperties
		GetPhysicalDeviceMemoryProperties;
	PFN_vkGetPhysicalDeviceMemoryProperties2
		GetPhysicalDeviceMemoryProperties2;
	PFN_vkEnumerateDeviceExtensionProperties
		EnumerateDeviceExtensionProperties;
	struct physical *physicals;
};

#define MEMORY_BUCKETS 256

struct memory {
	struct memory *next;
	VkDeviceMemory handle;
	uint64_t size;
	uint32_t heap;
};

struct device {
	struct device *next; /* of all */
	struct device *next_in_slice;
	VkDevice handle;
	const struct physical *physical;
	PFN_vkGetDeviceProcAddr get_proc;
	PFN_vkDestroyDevice DestroyDevice;
	PFN_vkAllocateMemory AllocateMemory;
	PFN_vkFreeMemory FreeMemory;
	PFN_vkCreateImage CreateImage;
	PFN_vkDestroyImage DestroyImage;
	PFN_vkGetImageSubresourceLayout GetImageSubresourceLayout;
	/* under the slice's lock */
	bool unseen;   /* something was sent since it was waited for */
	VkImage image; /* to wait with; made when it is wanted */
	struct memory *memories[MEMORY_BUCKETS];
};

/* By a handle of it or of one of its children. */
struct device *device_of(const void *handle);
struct instance *instance_of(const void *handle);
const struct physical *physical_of(struct instance *i, VkPhysicalDevice handle);

/* ---- memory: vgpu_memory.c ---- */

/* Of a device that has a slice: before its first call, and before its end. */
void memory_begin(struct device *d);
void memory_end(struct device *d);

VKAPI_ATTR VkResult VKAPI_CALL
memory_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
		const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory);
VKAPI_ATTR void VKAPI_CALL memory_free(VkDevice device, VkDeviceMemory memory,
				       const VkAllocationCallbacks *callbacks);
VKAPI_ATTR void VKAPI_CALL
memory_properties2(VkPhysicalDevice physical,
		   VkPhysicalDeviceMemoryProperties2 *properties);

#endif
