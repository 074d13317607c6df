// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <stdlib.h>
#include <string.h>

#include "layer.h"

#define PAGE 4096u

/* The host keeps a reserve for these: see the limits in README.md. */
#define SMALL (64u << 10)

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- until the host has done what was sent ---- */

/*
 * The layout of an image is asked for: venus remembers answers to most
 * questions, but has to ask the host this one, behind all that was sent before.
 */
static void wait_for_host(struct device *d)
{
	static const VkImageCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
		.imageType = VK_IMAGE_TYPE_2D,
		.format = VK_FORMAT_R8G8B8A8_UNORM,
		.extent = { 1, 1, 1 },
		.mipLevels = 1,
		.arrayLayers = 1,
		.samples = VK_SAMPLE_COUNT_1_BIT,
		.tiling = VK_IMAGE_TILING_LINEAR,
		.usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
	};
	static const VkImageSubresource part = {
		.aspectMask = VK_IMAGE_ASPECT_COLOR_BIT,
	};
	VkSubresourceLayout layout;

	if (!d->image &&
	    d->CreateImage(d->handle, &info, NULL, &d->image) != VK_SUCCESS)
		d->image = VK_NULL_HANDLE;
	if (d->image)
		d->GetImageSubresourceLayout(d->handle, d->image, &part,
					     &layout);
}

/* Lock held. */
static void see_all(struct slice *s)
{
	for (struct device *d = s->devices; d; d = d->next_in_slice) {
		if (d->unseen)
			wait_for_host(d);
		d->unseen = false;
	}
	s->unseen = 0;
}

/* Lock held.  What the host says nothing of it takes. */
static bool fits(const struct slice *s, uint64_t bytes)
{
	uint64_t used, limit;

	return !slice_read(s, &used, &limit) ||
	       add(add(used, s->unseen), bytes) <= limit;
}

/* ---- allocation ---- */

static const void *chain_find(const void *next, VkStructureType type)
{
	const VkBaseInStructure *at = next;

	while (at && at->sType != type)
		at = at->pNext;
	return at;
}

/* What the host will count for it: nothing where it is made of a descriptor. */
static uint64_t price(const VkMemoryAllocateInfo *info)
{
	const VkImportMemoryFdInfoKHR *fd =
		chain_find(info->pNext,
			   VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);

	if (fd && fd->handleType)
		return 0;
	return add(info->allocationSize, PAGE - 1) / PAGE * PAGE;
}

static struct memory **bucket(struct device *d, VkDeviceMemory handle)
{
	uint64_t hash = (uint64_t)handle * 0x9e3779b97f4a7c15ull;

	return &d->memories[hash >> 56];
}

/* Lock held. */
static VkResult allocate(struct device *d, const VkMemoryAllocateInfo *info,
			 const VkAllocationCallbacks *callbacks,
			 VkDeviceMemory *memory, struct memory *m)
{
	struct slice *s = d->physical->slice;
	struct memory **at;
	VkResult result;

	if (m->size > SMALL && !fits(s, m->size)) {
		see_all(s);
		if (!fits(s, m->size))
			return VK_ERROR_OUT_OF_DEVICE_MEMORY;
	}
	result = d->AllocateMemory(d->handle, info, callbacks, memory);
	if (result != VK_SUCCESS)
		return result;
	s->unseen = add(s->unseen, m->size);
	s->held[m->heap] += m->size;
	d->unseen = true;
	m->handle = *memory;
	at = bucket(d, m->handle);
	m->next = *at;
	*at = m;
	return result;
}

VKAPI_ATTR VkResult VKAPI_CALL
memory_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
		const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory)
{
	struct device *d = device_of(device);
	const struct physical *p = d->physical;
	struct memory *m;
	VkResult result;

	if (!p->slice || info->memoryTypeIndex >= p->memory.memoryTypeCount)
		return d->AllocateMemory(device, info, callbacks, memory);
	m = calloc(1, sizeof(*m));
	if (!m)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	m->size = price(info);
	m->heap = p->memory.memoryTypes[info->memoryTypeIndex].heapIndex;
	pthread_mutex_lock(&p->slice->lock);
	result = allocate(d, info, callbacks, memory, m);
	pthread_mutex_unlock(&p->slice->lock);
	if (result != VK_SUCCESS)
		free(m);
	return result;
}

/* Lock held. */
static struct memory *take(struct device *d, VkDeviceMemory handle)
{
	struct memory **at = bucket(d, handle), *m;

	while ((m = *at) && m->handle != handle)
		at = &m->next;
	if (m) {
		*at = m->next;
		d->physical->slice->held[m->heap] -= m->size;
	}
	return m;
}

/* The record goes first: the handle may be another's as soon as it is freed. */
VKAPI_ATTR void VKAPI_CALL memory_free(VkDevice device, VkDeviceMemory memory,
				       const VkAllocationCallbacks *callbacks)
{
	struct device *d = device_of(device);
	struct slice *s = d->physical->slice;

	if (s && memory) {
		pthread_mutex_lock(&s->lock);
		free(take(d, memory));
		/* until it is waited for the page counts what is freed here */
		d->unseen = true;
		pthread_mutex_unlock(&s->lock);
	}
	d->FreeMemory(device, memory, callbacks);
}

void memory_begin(struct device *d)
{
	struct slice *s = d->physical->slice;

	pthread_mutex_lock(&s->lock);
	d->next_in_slice = s->devices;
	s->devices = d;
	pthread_mutex_unlock(&s->lock);
}

void memory_end(struct device *d)
{
	struct slice *s = d->physical->slice;
	struct device **at;
	struct memory *m;

	pthread_mutex_lock(&s->lock);
	for (at = &s->devices; *at != d; at = &(*at)->next_in_slice)
		;
	*at = d->next_in_slice;
	if (d->image)
		d->DestroyImage(d->handle, d->image, NULL);
	/* what the application has not freed goes with the device */
	for (unsigned int i = 0; i < MEMORY_BUCKETS; i++)
		while ((m = d->memories[i]))
			free(take(d, m->handle));
	pthread_mutex_unlock(&s->lock);
}

/* ---- VK_EXT_memory_budget ---- */

/* All heaps are of one slice: what is left can go to any of them. */
static void fill(struct slice *s, const VkPhysicalDeviceMemoryProperties *p,
		 VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget)
{
	uint64_t used = 0, limit = 0, left;
	bool known;

	memset(budget->heapUsage, 0, sizeof(budget->heapUsage));
	memset(budget->heapBudget, 0, sizeof(budget->heapBudget));
	pthread_mutex_lock(&s->lock);
	see_all(s);
	known = slice_read(s, &used, &limit);
	left = used < limit ? limit - used : 0;
	for (uint32_t i = 0; i < p->memoryHeapCount; i++) {
		uint64_t size = p->memoryHeaps[i].size;

		budget->heapUsage[i] = s->held[i];
		budget->heapBudget[i] = known ? least(s->held[i] + left, size) :
						size;
	}
	pthread_mutex_unlock(&s->lock);
}

VKAPI_ATTR void VKAPI_CALL
memory_properties2(VkPhysicalDevice handle,
		   VkPhysicalDeviceMemoryProperties2 *properties)
{
	struct instance *i = instance_of(handle);
	const struct physical *p = physical_of(i, handle);
	VkBaseOutStructure *out;

	i->GetPhysicalDeviceMemoryProperties2(handle, properties);
	if (!p || !p->slice)
		return;
	for (out = properties->pNext; out; out = out->pNext)
		if (out->sType ==
		    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT)
			fill(p->slice, &properties->memoryProperties,
			     (void *)out);
}
