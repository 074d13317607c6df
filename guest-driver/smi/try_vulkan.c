// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Vulkan without a display: a buffer that the device fills, read back. */
#include "try.h"

#include <stdio.h>

#if !__has_include(<vulkan/vulkan_core.h>)
int try_vulkan(const char *node)
{
	(void)node;
	fprintf(stderr, "vgpu-smi was built without the headers of Vulkan\n");
	return TRY_LEFT_OUT;
}
#else

#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan_core.h>

#define WORDS 4096
#define PATTERN 0x76677075u

static PFN_vkGetInstanceProcAddr get;
static VkInstance instance;

#define CALL(name) ((PFN_##name)function(#name))

static PFN_vkVoidFunction function(const char *name)
{
	PFN_vkVoidFunction f = get(instance, name);

	if (!f) {
		fprintf(stderr, "the Vulkan loader has no %s\n", name);
		exit(TRY_FAILED);
	}
	return f;
}

static bool good(VkResult result, const char *what)
{
	if (result == VK_SUCCESS)
		return true;
	fprintf(stderr, "%s gives VkResult %d\n", what, (int)result);
	return false;
}

/* VK_ERROR_INCOMPATIBLE_DRIVER: no driver is installed */
static VkResult make_instance(void)
{
	VkApplicationInfo app = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.pApplicationName = "vgpu-smi",
		.apiVersion = VK_API_VERSION_1_1,
	};
	VkInstanceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &app,
	};

	return CALL(vkCreateInstance)(&info, NULL, &instance);
}

/* Venus on a GPU of this guest; VK_NULL_HANDLE: there is none. */
static VkPhysicalDevice find_device(void)
{
	VkPhysicalDevice all[16], found = VK_NULL_HANDLE;
	uint32_t count = 16, others = 0;

	if (CALL(vkEnumeratePhysicalDevices)(instance, &count, all) < 0)
		count = 0;
	for (uint32_t i = 0; i < count; i++) {
		VkPhysicalDeviceDriverProperties driver = {
			.sType =
				VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
		};
		VkPhysicalDeviceProperties2 p = {
			.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
			.pNext = &driver,
		};

		CALL(vkGetPhysicalDeviceProperties2)(all[i], &p);
		/* older Mesa has no number for it, but the name */
		if (driver.driverID != VK_DRIVER_ID_MESA_VENUS &&
		    !strstr(p.properties.deviceName, "Venus")) {
			others++;
			continue;
		}
		if (found)
			continue;
		found = all[i];
		printf("device=%s\ndriver=%s %s\n", p.properties.deviceName,
		       driver.driverName, driver.driverInfo);
	}
	printf("others=%u\n", others);
	fflush(stdout);
	return found;
}

/* A queue family that can transfer; any that draws or computes can. */
static uint32_t find_family(VkPhysicalDevice physical)
{
	VkQueueFamilyProperties families[16];
	uint32_t count = 16;

	CALL(vkGetPhysicalDeviceQueueFamilyProperties)(physical, &count,
						       families);
	for (uint32_t i = 0; i < count; i++)
		if (families[i].queueFlags &
		    (VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT |
		     VK_QUEUE_TRANSFER_BIT))
			return i;
	return 0;
}

struct work {
	VkDevice device;
	VkQueue queue;
	uint32_t family;
	VkBuffer buffer;
	VkDeviceMemory memory;
	uint32_t *words;
};

static bool make_device(struct work *w, VkPhysicalDevice physical)
{
	const float priority = 1;
	VkDeviceQueueCreateInfo queue = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueCount = 1,
		.pQueuePriorities = &priority,
	};
	VkDeviceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue,
	};

	w->family = find_family(physical);
	queue.queueFamilyIndex = w->family;
	if (!good(CALL(vkCreateDevice)(physical, &info, NULL, &w->device),
		  "vkCreateDevice"))
		return false;
	CALL(vkGetDeviceQueue)(w->device, w->family, 0, &w->queue);
	return true;
}

static bool make_buffer(struct work *w, VkPhysicalDevice physical)
{
	const VkMemoryPropertyFlags wanted =
		VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
		VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
	VkBufferCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = WORDS * sizeof(uint32_t),
		.usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT,
	};
	VkMemoryAllocateInfo allocate = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.memoryTypeIndex = UINT32_MAX,
	};
	VkPhysicalDeviceMemoryProperties types;
	VkMemoryRequirements needs;

	if (!good(CALL(vkCreateBuffer)(w->device, &info, NULL, &w->buffer),
		  "vkCreateBuffer"))
		return false;
	CALL(vkGetBufferMemoryRequirements)(w->device, w->buffer, &needs);
	CALL(vkGetPhysicalDeviceMemoryProperties)(physical, &types);
	for (uint32_t i = types.memoryTypeCount; i--;)
		if (needs.memoryTypeBits & 1u << i &&
		    (types.memoryTypes[i].propertyFlags & wanted) == wanted)
			allocate.memoryTypeIndex = i;
	if (allocate.memoryTypeIndex == UINT32_MAX) {
		fprintf(stderr, "there is no memory that the CPU can read\n");
		return false;
	}
	allocate.allocationSize = needs.size;
	return good(CALL(vkAllocateMemory)(w->device, &allocate, NULL,
					   &w->memory),
		    "vkAllocateMemory") &&
	       good(CALL(vkBindBufferMemory)(w->device, w->buffer, w->memory,
					     0),
		    "vkBindBufferMemory") &&
	       good(CALL(vkMapMemory)(w->device, w->memory, 0, VK_WHOLE_SIZE, 0,
				      (void **)&w->words),
		    "vkMapMemory");
}

static bool fill(struct work *w)
{
	VkCommandPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.queueFamilyIndex = w->family,
	};
	VkCommandBufferAllocateInfo allocate = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandBufferCount = 1,
	};
	VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
	};
	VkMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_HOST_READ_BIT,
	};
	VkCommandBuffer commands;
	VkSubmitInfo submit = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &commands,
	};

	if (!good(CALL(vkCreateCommandPool)(w->device, &pool_info, NULL,
					    &allocate.commandPool),
		  "vkCreateCommandPool") ||
	    !good(CALL(vkAllocateCommandBuffers)(w->device, &allocate,
						 &commands),
		  "vkAllocateCommandBuffers") ||
	    !good(CALL(vkBeginCommandBuffer)(commands, &begin),
		  "vkBeginCommandBuffer"))
		return false;
	CALL(vkCmdFillBuffer)(commands, w->buffer, 0, VK_WHOLE_SIZE, PATTERN);
	CALL(vkCmdPipelineBarrier)(commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
				   VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier,
				   0, NULL, 0, NULL);
	return good(CALL(vkEndCommandBuffer)(commands), "vkEndCommandBuffer") &&
	       good(CALL(vkQueueSubmit)(w->queue, 1, &submit, VK_NULL_HANDLE),
		    "vkQueueSubmit") &&
	       good(CALL(vkQueueWaitIdle)(w->queue), "vkQueueWaitIdle");
}

static bool buffer_is_right(const struct work *w)
{
	for (uint32_t i = 0; i < WORDS; i++) {
		if (w->words[i] == PATTERN)
			continue;
		fprintf(stderr,
			"word %u of the buffer is %08x, should be %08x\n", i,
			w->words[i], PATTERN);
		return false;
	}
	return true;
}

int try_vulkan(const char *node)
{
	void *lib = dlopen("libvulkan.so.1", RTLD_NOW);
	struct work w = { 0 };
	VkPhysicalDevice physical;
	VkResult result;

	(void)node; /* venus takes the first GPU it finds */
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return TRY_MISSING;
	}
	get = (PFN_vkGetInstanceProcAddr)dlsym(lib, "vkGetInstanceProcAddr");
	if (!get) {
		fprintf(stderr, "libvulkan.so.1 is no Vulkan loader\n");
		return TRY_FAILED;
	}
	result = make_instance();
	if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
		printf("others=0\n");
		return TRY_MISSING;
	}
	if (!good(result, "vkCreateInstance"))
		return TRY_FAILED;
	physical = find_device();
	if (!physical)
		return TRY_MISSING;
	if (!make_device(&w, physical) || !make_buffer(&w, physical) ||
	    !fill(&w) || !buffer_is_right(&w))
		return TRY_FAILED;
	printf("buffer=right\n");
	return TRY_OK;
}

#endif
