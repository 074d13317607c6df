/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the loader meets us: which calls are ours, and the making and ending of
 * instances and devices.  All other calls go to the driver and never come here.
 */
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>

#include "driver.h"
#include "heaps.h"
#include "layer.h"
#include "own_file.h"
#include "process.h"
#include "registry.h"
#include "submit.h"

#define LAYER_NAME "VK_LAYER_VGPU_quota"
#define EXPORT     __attribute__((visibility("default")))

EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version);

static Registry instances = { .lock = PTHREAD_MUTEX_INITIALIZER };
static Registry devices = { .lock = PTHREAD_MUTEX_INITIALIZER };

Instance *instance_of(const void *handle)
{
    return registry_find(&instances, handle);
}

Device *device_of(const void *handle)
{
    return registry_find(&devices, handle);
}

const void *chain_find(const void *next, VkStructureType type)
{
    const VkBaseInStructure *s = next;

    while (s && s->sType != type) {
        s = s->pNext;
    }
    return s;
}

/* ---- instances ---- */

/* The loader's link for us, or NULL: its structures are its own, to be moved on. */
static VkLayerInstanceCreateInfo *instance_link(const VkInstanceCreateInfo *info)
{
    const VkLayerInstanceCreateInfo *l = info->pNext;

    while (l && !(l->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO &&
                  l->function == VK_LAYER_LINK_INFO)) {
        l = l->pNext;
    }
    return (VkLayerInstanceCreateInfo *)l;
}

static PFN_vkVoidFunction either(PFN_vkVoidFunction a, PFN_vkVoidFunction b)
{
    return a ? a : b;
}

#define LOAD_INSTANCE(i, name) (i)->name = (PFN_vk##name)(i)->get_proc((i)->handle, "vk" #name)

static void instance_load(Instance *i)
{
    LOAD_INSTANCE(i, DestroyInstance);
    LOAD_INSTANCE(i, GetPhysicalDeviceMemoryProperties);
    i->GetPhysicalDeviceMemoryProperties2 = (PFN_vkGetPhysicalDeviceMemoryProperties2)either(
        i->get_proc(i->handle, "vkGetPhysicalDeviceMemoryProperties2"),
        i->get_proc(i->handle, "vkGetPhysicalDeviceMemoryProperties2KHR"));
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *callbacks,
                                                      VkInstance *instance)
{
    VkLayerInstanceCreateInfo *link = instance_link(info);
    PFN_vkGetInstanceProcAddr get_proc;
    PFN_vkCreateInstance create;
    VkResult result;
    Instance *i;

    if (!link || !link->u.pLayerInfo || !process_enter()) {
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    get_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    create = (PFN_vkCreateInstance)get_proc(VK_NULL_HANDLE, "vkCreateInstance");
    if (!create) {
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    i = calloc(1, sizeof(*i));
    if (!i) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    result = create(info, callbacks, instance);
    if (result != VK_SUCCESS) {
        free(i);
        return result;
    }
    i->handle = *instance;
    i->get_proc = get_proc;
    instance_load(i);
    if (!registry_add(&instances, *instance, i)) {
        i->DestroyInstance(*instance, callbacks);
        free(i);
        *instance = VK_NULL_HANDLE;
        return VK_ERROR_TOO_MANY_OBJECTS;
    }
    return result;
}

static VKAPI_ATTR void VKAPI_CALL destroy_instance(VkInstance instance,
                                                   const VkAllocationCallbacks *callbacks)
{
    Instance *i;

    if (!instance) {
        return;
    }
    i = instance_of(instance);
    registry_remove(&instances, instance);
    i->DestroyInstance(instance, callbacks);
    free(i);
}

/* ---- devices ---- */

static VkLayerDeviceCreateInfo *device_link(const VkDeviceCreateInfo *info)
{
    const VkLayerDeviceCreateInfo *l = info->pNext;

    while (l &&
           !(l->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && l->function == VK_LAYER_LINK_INFO)) {
        l = l->pNext;
    }
    return (VkLayerDeviceCreateInfo *)l;
}

#define LOAD(d, name) (d)->next.name = (PFN_vk##name)(d)->next.GetDeviceProcAddr((d)->handle, "vk" #name)
/* Of the core, or of the extension that it comes from. */
#define LOAD_EITHER(d, name)                                                                                 \
    (d)->next.name = (PFN_vk##name)either((d)->next.GetDeviceProcAddr((d)->handle, "vk" #name),              \
                                          (d)->next.GetDeviceProcAddr((d)->handle, "vk" #name "KHR"))

static void device_load(Device *d)
{
    LOAD(d, DestroyDevice);
    LOAD(d, DeviceWaitIdle);
    LOAD(d, AllocateMemory);
    LOAD(d, FreeMemory);
    LOAD(d, MapMemory);
    LOAD(d, UnmapMemory);
    LOAD_EITHER(d, MapMemory2);
    LOAD_EITHER(d, UnmapMemory2);
    LOAD(d, GetMemoryFdKHR);
    LOAD(d, GetMemoryHostPointerPropertiesEXT);
    LOAD(d, QueueSubmit);
    LOAD_EITHER(d, QueueSubmit2);
    LOAD(d, QueueBindSparse);
    LOAD(d, QueuePresentKHR);
    LOAD(d, QueueWaitIdle);
    LOAD(d, CreateFence);
    LOAD(d, DestroyFence);
    LOAD(d, ResetFences);
    LOAD(d, GetFenceStatus);
    LOAD(d, WaitForFences);
    LOAD(d, CreateSemaphore);
    LOAD(d, DestroySemaphore);
    LOAD_EITHER(d, GetSemaphoreCounterValue);
    LOAD_EITHER(d, SignalSemaphore);
}

static void device_free(Device *d)
{
    memories_finish(&d->memories);
    semaphores_finish(&d->semaphores);
    free(d);
}

static Device *device_new(const Instance *i, VkPhysicalDevice physical, const VkDeviceCreateInfo *info)
{
    const VkDeviceGroupDeviceCreateInfo *group =
        chain_find(info->pNext, VK_STRUCTURE_TYPE_DEVICE_GROUP_DEVICE_CREATE_INFO);
    Device *d = calloc(1, sizeof(*d));

    if (d) {
        d->group_size = group && group->physicalDeviceCount ? group->physicalDeviceCount : 1;
        i->GetPhysicalDeviceMemoryProperties(physical, &d->memory_properties);
        heaps_hide(&d->memory_properties);
        memories_init(&d->memories);
        semaphores_init(&d->semaphores);
        gate_init(&d->gate);
    }
    return d;
}

/* With the extension that own_file.c needs, where that is used. */
static VkResult create_with_own_files(PFN_vkCreateDevice create, VkPhysicalDevice physical,
                                      const VkDeviceCreateInfo *info, const VkAllocationCallbacks *callbacks,
                                      VkDevice *device)
{
    VkDeviceCreateInfo ours = *info;
    const char **names = NULL;
    VkResult result;

    if (driver_is_nvidia()) {
        names = own_file_extensions(info);
        if (!names) {
            return VK_ERROR_OUT_OF_HOST_MEMORY;
        }
        ours.enabledExtensionCount++;
        ours.ppEnabledExtensionNames = names;
    }
    result = create(physical, &ours, callbacks, device);
    free(names);
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks, VkDevice *device)
{
    const Instance *i = instance_of(physical);
    VkLayerDeviceCreateInfo *link = device_link(info);
    PFN_vkGetDeviceProcAddr get_proc;
    PFN_vkCreateDevice create;
    VkResult result;
    Device *d;

    if (!i || !link || !link->u.pLayerInfo) {
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    get_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    create = (PFN_vkCreateDevice)link->u.pLayerInfo->pfnNextGetInstanceProcAddr(i->handle, "vkCreateDevice");
    if (!create) {
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    d = device_new(i, physical, info);
    if (!d) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    result = create_with_own_files(create, physical, info, callbacks, device);
    if (result != VK_SUCCESS) {
        device_free(d);
        return result;
    }
    d->handle = *device;
    d->own_files = driver_is_nvidia();
    d->next.GetDeviceProcAddr = get_proc;
    device_load(d);
    if (!registry_add(&devices, *device, d)) {
        d->next.DestroyDevice(*device, callbacks);
        device_free(d);
        *device = VK_NULL_HANDLE;
        return VK_ERROR_TOO_MANY_OBJECTS;
    }
    return result;
}

static VKAPI_ATTR void VKAPI_CALL destroy_device(VkDevice device, const VkAllocationCallbacks *callbacks)
{
    Device *d;

    if (!device) {
        return;
    }
    d = device_of(device);
    gate_finish(d);
    registry_remove(&devices, device);
    d->next.DestroyDevice(device, callbacks);
    device_free(d);
}

/* ---- which calls are ours ---- */

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc(VkInstance instance, const char *name);
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name);

static VKAPI_ATTR VkResult VKAPI_CALL layer_properties(uint32_t *count, VkLayerProperties *properties)
{
    static const VkLayerProperties ours = { LAYER_NAME, VK_HEADER_VERSION_COMPLETE, 1,
                                            "The quota of a vgpu VM" };

    if (!properties) {
        *count = 1;
        return VK_SUCCESS;
    }
    if (!*count) {
        return VK_INCOMPLETE;
    }
    *properties = ours;
    *count = 1;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL device_layer_properties(VkPhysicalDevice physical, uint32_t *count,
                                                              VkLayerProperties *properties)
{
    return layer_properties(count, properties);
}

static VKAPI_ATTR VkResult VKAPI_CALL instance_extensions(const char *layer, uint32_t *count,
                                                          VkExtensionProperties *properties)
{
    if (layer && !strcmp(layer, LAYER_NAME)) {
        *count = 0;
        return VK_SUCCESS;
    }
    return VK_ERROR_LAYER_NOT_PRESENT;
}

typedef struct Call {
    const char *name;
    PFN_vkVoidFunction function;
} Call;

#define CALL(name, function) { name, (PFN_vkVoidFunction)(function) }

/* Without an instance, too. */
static const Call global_calls[] = {
    CALL("vkGetInstanceProcAddr", get_instance_proc),
    CALL("vkCreateInstance", create_instance),
    CALL("vkEnumerateInstanceLayerProperties", layer_properties),
    CALL("vkEnumerateInstanceExtensionProperties", instance_extensions),
};

static const Call instance_calls[] = {
    CALL("vkDestroyInstance", destroy_instance),
    CALL("vkCreateDevice", create_device),
    CALL("vkEnumerateDeviceLayerProperties", device_layer_properties),
    CALL("vkGetPhysicalDeviceMemoryProperties", heaps_properties),
    CALL("vkGetPhysicalDeviceMemoryProperties2", heaps_properties2),
    CALL("vkGetPhysicalDeviceMemoryProperties2KHR", heaps_properties2),
};

static const Call device_calls[] = {
    CALL("vkGetDeviceProcAddr", get_device_proc),
    CALL("vkDestroyDevice", destroy_device),
    CALL("vkAllocateMemory", memory_allocate),
    CALL("vkFreeMemory", memory_free),
    CALL("vkMapMemory", memory_map),
    CALL("vkUnmapMemory", memory_unmap),
    CALL("vkMapMemory2", memory_map2),
    CALL("vkMapMemory2KHR", memory_map2),
    CALL("vkUnmapMemory2", memory_unmap2),
    CALL("vkUnmapMemory2KHR", memory_unmap2),
    CALL("vkGetMemoryFdKHR", memory_get_fd),
    CALL("vkQueueSubmit", submit_queue),
    CALL("vkQueueSubmit2", submit_queue2),
    CALL("vkQueueSubmit2KHR", submit_queue2),
    CALL("vkQueueBindSparse", submit_sparse),
    CALL("vkQueuePresentKHR", submit_present),
    CALL("vkCreateSemaphore", semaphores_create),
    CALL("vkDestroySemaphore", semaphores_destroy),
    CALL("vkSignalSemaphore", submit_signal),
    CALL("vkSignalSemaphoreKHR", submit_signal),
};

static PFN_vkVoidFunction find_call(const Call *calls, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(calls[i].name, name)) {
            return calls[i].function;
        }
    }
    return NULL;
}

#define FIND_CALL(calls, name) find_call(calls, sizeof(calls) / sizeof((calls)[0]), name)

/* What the driver has not, we have not either. */
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc(VkInstance instance, const char *name)
{
    PFN_vkVoidFunction ours = FIND_CALL(global_calls, name), theirs;

    if (ours || !instance) {
        return ours;
    }
    ours = either(FIND_CALL(instance_calls, name), FIND_CALL(device_calls, name));
    theirs = instance_of(instance)->get_proc(instance, name);
    return ours && theirs ? ours : theirs;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name)
{
    PFN_vkVoidFunction ours = FIND_CALL(device_calls, name);
    PFN_vkVoidFunction theirs = device_of(device)->next.GetDeviceProcAddr(device, name);

    return ours && theirs ? ours : theirs;
}

VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version)
{
    if (version->sType != LAYER_NEGOTIATE_INTERFACE_STRUCT || version->loaderLayerInterfaceVersion < 2) {
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    version->loaderLayerInterfaceVersion = 2;
    version->pfnGetInstanceProcAddr = get_instance_proc;
    version->pfnGetDeviceProcAddr = get_device_proc;
    version->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
