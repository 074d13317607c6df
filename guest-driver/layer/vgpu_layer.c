// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Where the loader meets the layer: which calls are ours, and what is known of
 * instances, physical devices and devices.  No handle is wrapped.
 */
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>

#include "layer.h"

#define BUDGET VK_EXT_MEMORY_BUDGET_EXTENSION_NAME
#define EXPORT __attribute__((visibility("default")))

EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version);

/* of the lists, and of each instance's list of physical devices */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct instance *instances;
static struct device *devices;

/* The loader's first word is the same for an object and its children. */
static const void *key_of(const void *handle)
{
	return *(const void *const *)handle;
}

struct instance *instance_of(const void *handle)
{
	struct instance *i;

	pthread_mutex_lock(&lock);
	for (i = instances; i && key_of(i->handle) != key_of(handle);)
		i = i->next;
	pthread_mutex_unlock(&lock);
	return i;
}

struct device *device_of(const void *handle)
{
	struct device *d;

	pthread_mutex_lock(&lock);
	for (d = devices; d && key_of(d->handle) != key_of(handle);)
		d = d->next;
	pthread_mutex_unlock(&lock);
	return d;
}

/* ---- physical devices ---- */

static bool offers_budget(struct instance *i, VkPhysicalDevice handle)
{
	VkExtensionProperties *list;
	uint32_t count = 0;
	bool found = false;

	i->EnumerateDeviceExtensionProperties(handle, NULL, &count, NULL);
	list = calloc(count ? count : 1, sizeof(*list));
	if (list && i->EnumerateDeviceExtensionProperties(handle, NULL, &count,
							  list) == VK_SUCCESS)
		for (uint32_t n = 0; n < count && !found; n++)
			found = !strcmp(list[n].extensionName, BUDGET);
	free(list);
	return found;
}

static void physical_look(struct instance *i, struct physical *p)
{
	VkPhysicalDeviceDrmPropertiesEXT drm = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRM_PROPERTIES_EXT,
	};
	VkPhysicalDeviceProperties2 properties = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
		.pNext = &drm,
	};

	if (!i->GetPhysicalDeviceProperties2)
		return;
	i->GetPhysicalDeviceProperties2(p->handle, &properties);
	if (!drm.hasRender)
		return;
	p->slice = slice_of(drm.renderMajor, drm.renderMinor);
	p->has_budget = p->slice && offers_budget(i, p->handle);
	i->GetPhysicalDeviceMemoryProperties(p->handle, &p->memory);
}

/* NULL: there is no memory to remember it. */
const struct physical *physical_of(struct instance *i, VkPhysicalDevice handle)
{
	struct physical *p, *made;

	pthread_mutex_lock(&lock);
	for (p = i->physicals; p && p->handle != handle;)
		p = p->next;
	pthread_mutex_unlock(&lock);
	if (p)
		return p;
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	made->handle = handle;
	physical_look(i, made);
	/* two threads may have looked: one record more does no harm */
	pthread_mutex_lock(&lock);
	made->next = i->physicals;
	i->physicals = made;
	pthread_mutex_unlock(&lock);
	return made;
}

static VKAPI_ATTR VkResult VKAPI_CALL
device_extensions(VkPhysicalDevice handle, const char *layer, uint32_t *count,
		  VkExtensionProperties *list)
{
	static const VkExtensionProperties ours = {
		BUDGET, VK_EXT_MEMORY_BUDGET_SPEC_VERSION
	};
	struct instance *i = instance_of(handle);
	const struct physical *p = physical_of(i, handle);
	uint32_t room = *count;
	VkResult result;

	if (layer && !strcmp(layer, LAYER_NAME)) {
		*count = 0;
		return VK_SUCCESS;
	}
	result = i->EnumerateDeviceExtensionProperties(handle, layer, count,
						       list);
	if (layer || !p || !p->slice || p->has_budget || result != VK_SUCCESS)
		return result;
	if (list) {
		if (*count >= room)
			return VK_INCOMPLETE;
		list[*count] = ours;
	}
	++*count;
	return VK_SUCCESS;
}

/* ---- instances ---- */

/* The loader's link for us, which is its own, to be moved on; or NULL. */
static VkLayerInstanceCreateInfo *
instance_link(const VkInstanceCreateInfo *info)
{
	const VkLayerInstanceCreateInfo *l = info->pNext;

	while (l &&
	       !(l->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO &&
		 l->function == VK_LAYER_LINK_INFO))
		l = l->pNext;
	return (VkLayerInstanceCreateInfo *)l;
}

#define PROC(get, handle, name) ((PFN_vk##name)get(handle, "vk" #name))

static void instance_load(struct instance *i)
{
	PFN_vkGetInstanceProcAddr get = i->get_proc;
	VkInstance h = i->handle;

	i->DestroyInstance = PROC(get, h, DestroyInstance);
	i->EnumerateDeviceExtensionProperties =
		PROC(get, h, EnumerateDeviceExtensionProperties);
	i->GetPhysicalDeviceMemoryProperties =
		PROC(get, h, GetPhysicalDeviceMemoryProperties);
	i->GetPhysicalDeviceProperties2 =
		PROC(get, h, GetPhysicalDeviceProperties2);
	if (!i->GetPhysicalDeviceProperties2)
		i->GetPhysicalDeviceProperties2 =
			PROC(get, h, GetPhysicalDeviceProperties2KHR);
	i->GetPhysicalDeviceMemoryProperties2 =
		PROC(get, h, GetPhysicalDeviceMemoryProperties2);
	if (!i->GetPhysicalDeviceMemoryProperties2)
		i->GetPhysicalDeviceMemoryProperties2 =
			PROC(get, h, GetPhysicalDeviceMemoryProperties2KHR);
}

static VKAPI_ATTR VkResult VKAPI_CALL
create_instance(const VkInstanceCreateInfo *info,
		const VkAllocationCallbacks *callbacks, VkInstance *instance)
{
	VkLayerInstanceCreateInfo *link = instance_link(info);
	PFN_vkGetInstanceProcAddr get_proc;
	PFN_vkCreateInstance create;
	struct instance *i;
	VkResult result;

	if (!link || !link->u.pLayerInfo)
		return VK_ERROR_INITIALIZATION_FAILED;
	get_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
	create = (PFN_vkCreateInstance)get_proc(VK_NULL_HANDLE,
						"vkCreateInstance");
	if (!create)
		return VK_ERROR_INITIALIZATION_FAILED;
	link->u.pLayerInfo = link->u.pLayerInfo->pNext;
	i = calloc(1, sizeof(*i));
	if (!i)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	result = create(info, callbacks, instance);
	if (result != VK_SUCCESS) {
		free(i);
		return result;
	}
	i->handle = *instance;
	i->get_proc = get_proc;
	instance_load(i);
	pthread_mutex_lock(&lock);
	i->next = instances;
	instances = i;
	pthread_mutex_unlock(&lock);
	return result;
}

static VKAPI_ATTR void VKAPI_CALL
destroy_instance(VkInstance instance, const VkAllocationCallbacks *callbacks)
{
	struct instance **at, *i;
	struct physical *p;

	if (!instance)
		return;
	i = instance_of(instance);
	pthread_mutex_lock(&lock);
	for (at = &instances; *at != i; at = &(*at)->next)
		;
	*at = i->next;
	pthread_mutex_unlock(&lock);
	i->DestroyInstance(instance, callbacks);
	while ((p = i->physicals)) {
		i->physicals = p->next;
		free(p);
	}
	free(i);
}

/* ---- devices ---- */

static VkLayerDeviceCreateInfo *device_link(const VkDeviceCreateInfo *info)
{
	const VkLayerDeviceCreateInfo *l = info->pNext;

	while (l && !(l->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO &&
		      l->function == VK_LAYER_LINK_INFO))
		l = l->pNext;
	return (VkLayerDeviceCreateInfo *)l;
}

static void device_load(struct device *d)
{
	PFN_vkGetDeviceProcAddr get = d->get_proc;
	VkDevice h = d->handle;

	d->DestroyDevice = PROC(get, h, DestroyDevice);
	d->AllocateMemory = PROC(get, h, AllocateMemory);
	d->FreeMemory = PROC(get, h, FreeMemory);
	d->CreateImage = PROC(get, h, CreateImage);
	d->DestroyImage = PROC(get, h, DestroyImage);
	d->GetImageSubresourceLayout = PROC(get, h, GetImageSubresourceLayout);
}

/*
 * Below us nobody knows of the extension that is offered here.  names has room
 * for all; the new number of them.
 */
static uint32_t without_budget(const VkDeviceCreateInfo *info,
			       const char **names)
{
	uint32_t count = 0;

	for (uint32_t n = 0; n < info->enabledExtensionCount; n++)
		if (strcmp(info->ppEnabledExtensionNames[n], BUDGET))
			names[count++] = info->ppEnabledExtensionNames[n];
	return count;
}

static VkResult device_make(const struct physical *p, PFN_vkCreateDevice create,
			    const VkDeviceCreateInfo *info,
			    const VkAllocationCallbacks *callbacks,
			    VkDevice *device)
{
	VkDeviceCreateInfo changed = *info;
	const char **names;
	VkResult result;

	if (!p->slice || p->has_budget)
		return create(p->handle, info, callbacks, device);
	names = calloc(info->enabledExtensionCount + 1u, sizeof(*names));
	if (!names)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	changed.enabledExtensionCount = without_budget(info, names);
	changed.ppEnabledExtensionNames = names;
	result = create(p->handle, &changed, callbacks, device);
	free(names);
	return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL
create_device(VkPhysicalDevice handle, const VkDeviceCreateInfo *info,
	      const VkAllocationCallbacks *callbacks, VkDevice *device)
{
	struct instance *i = instance_of(handle);
	const struct physical *p = physical_of(i, handle);
	VkLayerDeviceCreateInfo *link = device_link(info);
	PFN_vkGetDeviceProcAddr get_proc;
	PFN_vkCreateDevice create;
	struct device *d;
	VkResult result;

	if (!p)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	if (!link || !link->u.pLayerInfo)
		return VK_ERROR_INITIALIZATION_FAILED;
	get_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
	create = (PFN_vkCreateDevice)link->u.pLayerInfo
			 ->pfnNextGetInstanceProcAddr(i->handle,
						      "vkCreateDevice");
	if (!create)
		return VK_ERROR_INITIALIZATION_FAILED;
	link->u.pLayerInfo = link->u.pLayerInfo->pNext;
	d = calloc(1, sizeof(*d));
	if (!d)
		return VK_ERROR_OUT_OF_HOST_MEMORY;
	result = device_make(p, create, info, callbacks, device);
	if (result != VK_SUCCESS) {
		free(d);
		return result;
	}
	d->handle = *device;
	d->physical = p;
	d->get_proc = get_proc;
	device_load(d);
	if (p->slice)
		memory_begin(d);
	pthread_mutex_lock(&lock);
	d->next = devices;
	devices = d;
	pthread_mutex_unlock(&lock);
	return result;
}

static VKAPI_ATTR void VKAPI_CALL
destroy_device(VkDevice device, const VkAllocationCallbacks *callbacks)
{
	struct device **at, *d;

	if (!device)
		return;
	d = device_of(device);
	if (d->physical->slice)
		memory_end(d);
	pthread_mutex_lock(&lock);
	for (at = &devices; *at != d; at = &(*at)->next)
		;
	*at = d->next;
	pthread_mutex_unlock(&lock);
	d->DestroyDevice(device, callbacks);
	free(d);
}

/* ---- which calls are ours ---- */

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
get_instance_proc(VkInstance instance, const char *name);
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
get_device_proc(VkDevice device, const char *name);

struct call {
	const char *name;
	PFN_vkVoidFunction function;
};

#define CALL(name, function) { name, (PFN_vkVoidFunction)(function) }

static const struct call instance_calls[] = {
	CALL("vkGetInstanceProcAddr", get_instance_proc),
	CALL("vkCreateInstance", create_instance),
	CALL("vkDestroyInstance", destroy_instance),
	CALL("vkCreateDevice", create_device),
	CALL("vkEnumerateDeviceExtensionProperties", device_extensions),
	CALL("vkGetPhysicalDeviceMemoryProperties2", memory_properties2),
	CALL("vkGetPhysicalDeviceMemoryProperties2KHR", memory_properties2),
};

static const struct call device_calls[] = {
	CALL("vkGetDeviceProcAddr", get_device_proc),
	CALL("vkDestroyDevice", destroy_device),
	CALL("vkAllocateMemory", memory_allocate),
	CALL("vkFreeMemory", memory_free),
};

static PFN_vkVoidFunction find_call(const struct call *calls, size_t count,
				    const char *name)
{
	for (size_t n = 0; n < count; n++)
		if (!strcmp(calls[n].name, name))
			return calls[n].function;
	return NULL;
}

#define FIND_CALL(calls, name)                                                 \
	find_call(calls, sizeof(calls) / sizeof((calls)[0]), name)

/* What the driver has not, the layer has not either. */
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
get_instance_proc(VkInstance instance, const char *name)
{
	PFN_vkVoidFunction ours = FIND_CALL(instance_calls, name), theirs;

	if (!ours)
		ours = FIND_CALL(device_calls, name);
	if (!instance)
		return ours;
	theirs = instance_of(instance)->get_proc(instance, name);
	return ours && theirs ? ours : theirs;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
get_device_proc(VkDevice device, const char *name)
{
	PFN_vkVoidFunction ours = FIND_CALL(device_calls, name);
	PFN_vkVoidFunction theirs = device_of(device)->get_proc(device, name);

	return ours && theirs ? ours : theirs;
}

VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version)
{
	if (version->sType != LAYER_NEGOTIATE_INTERFACE_STRUCT ||
	    version->loaderLayerInterfaceVersion < 2)
		return VK_ERROR_INITIALIZATION_FAILED;
	version->loaderLayerInterfaceVersion = 2;
	version->pfnGetInstanceProcAddr = get_instance_proc;
	version->pfnGetDeviceProcAddr = get_device_proc;
	version->pfnGetPhysicalDeviceProcAddr = NULL;
	return VK_SUCCESS;
}
