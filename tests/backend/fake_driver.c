/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_driver.h"

#include <dlfcn.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>
#include <vulkan/vk_layer.h>

FakeDriver fake;

/* Dispatchable: the loader's word first, the same for a device and its queues. */
typedef struct Handle {
    void *loader;
    struct Fence *last; /* of a queue: its newest fence */
} Handle;

typedef struct Fence {
    bool pending, signalled;
    struct Fence *before; /* in its queue */
} Fence;

static GMutex lock;
static GCond signalled;
static PFN_vkGetInstanceProcAddr layer_instance_proc;
static PFN_vkGetDeviceProcAddr layer_device_proc;

static Fence *fence_of(VkFence handle)
{
    return (Fence *)(uintptr_t)handle;
}

/* ---- instance ---- */

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *cb, VkInstance *instance)
{
    Handle *h = g_new0(Handle, 1);

    h->loader = h;
    *instance = (VkInstance)h;
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_instance(VkInstance instance, const VkAllocationCallbacks *cb)
{
    g_free(instance);
}

static VKAPI_ATTR void VKAPI_CALL memory_properties(VkPhysicalDevice physical,
                                                    VkPhysicalDeviceMemoryProperties *p)
{
    *p = (VkPhysicalDeviceMemoryProperties){
        .memoryTypeCount = 2,
        .memoryTypes = { { .heapIndex = 0 }, { .heapIndex = 1 } },
        .memoryHeapCount = 2,
        .memoryHeaps = {
            { .size = 1ull << 34, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT | VK_MEMORY_HEAP_MULTI_INSTANCE_BIT },
            { .size = 1ull << 20 },
        },
    };
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *cb, VkDevice *device)
{
    Handle *h = g_new0(Handle, 1);

    h->loader = h;
    *device = (VkDevice)h;
    return VK_SUCCESS;
}

/* ---- device ---- */

static VKAPI_ATTR void VKAPI_CALL destroy_device(VkDevice device, const VkAllocationCallbacks *cb)
{
    g_free(device);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *cb, VkDeviceMemory *memory)
{
    if (fake.allocate == VK_SUCCESS) {
        *memory = (VkDeviceMemory)(uintptr_t)g_new0(char, 1);
        fake.allocated++;
    }
    return fake.allocate;
}

static VKAPI_ATTR void VKAPI_CALL free_memory(VkDevice device, VkDeviceMemory memory,
                                              const VkAllocationCallbacks *cb)
{
    g_free((void *)(uintptr_t)memory);
    fake.freed++;
}

static VKAPI_ATTR VkResult VKAPI_CALL get_fd(VkDevice device, const VkMemoryGetFdInfoKHR *info, int *fd)
{
    if (fake.get_fd == VK_SUCCESS) {
        *fd = dup(fake.fd);
    }
    return fake.get_fd;
}

static VkResult give(VkQueue queue, uint32_t count, VkFence fence, unsigned *counter)
{
    VkResult result = count ? fake.submit : fake.empty;

    *(count ? counter : &fake.empties) += 1;
    fake.batches += count;
    if (result == VK_SUCCESS && fence) {
        Handle *q = (Handle *)queue;

        g_mutex_lock(&lock);
        g_assert_false(fence_of(fence)->pending);
        g_assert_false(fence_of(fence)->signalled);
        *fence_of(fence) = (Fence){ .pending = true, .before = q->last };
        q->last = fence_of(fence);
        g_mutex_unlock(&lock);
    }
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *s,
                                                   VkFence fence)
{
    return give(queue, count, fence, &fake.submits);
}

static VKAPI_ATTR VkResult VKAPI_CALL queue_submit2(VkQueue queue, uint32_t count, const VkSubmitInfo2 *s,
                                                    VkFence fence)
{
    return give(queue, count, fence, &fake.submits);
}

static VKAPI_ATTR VkResult VKAPI_CALL bind_sparse(VkQueue queue, uint32_t count, const VkBindSparseInfo *s,
                                                  VkFence fence)
{
    return give(queue, count, fence, &fake.sparse);
}

static VKAPI_ATTR VkResult VKAPI_CALL present(VkQueue queue, const VkPresentInfoKHR *info)
{
    fake.presents++;
    return fake.submit;
}

static VKAPI_ATTR VkResult VKAPI_CALL queue_idle(VkQueue queue)
{
    fake.idles++;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_fence(VkDevice device, const VkFenceCreateInfo *info,
                                                   const VkAllocationCallbacks *cb, VkFence *fence)
{
    *fence = fake_fence();
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_fence(VkDevice device, VkFence fence,
                                                const VkAllocationCallbacks *cb)
{
    g_assert_false(fence_of(fence)->pending);
    g_free(fence_of(fence));
}

static VKAPI_ATTR VkResult VKAPI_CALL reset_fences(VkDevice device, uint32_t count, const VkFence *fences)
{
    g_mutex_lock(&lock);
    for (uint32_t i = 0; i < count; i++) {
        *fence_of(fences[i]) = (Fence){ 0 };
    }
    g_mutex_unlock(&lock);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL fence_status(VkDevice device, VkFence fence)
{
    return fake_fence_signalled(fence) ? VK_SUCCESS : VK_NOT_READY;
}

static bool any_signalled(uint32_t count, const VkFence *fences)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fence_of(fences[i])->signalled) {
            return true;
        }
    }
    return false;
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_fences(VkDevice device, uint32_t count, const VkFence *fences,
                                                  VkBool32 all, uint64_t timeout)
{
    gint64 end = g_get_monotonic_time() + (gint64)MIN(timeout / 1000, G_MAXINT32);
    VkResult result;

    g_mutex_lock(&lock);
    while (fake.wait == VK_SUCCESS && !any_signalled(count, fences) &&
           g_cond_wait_until(&signalled, &lock, end)) {
    }
    result = fake.wait != VK_SUCCESS ? fake.wait : any_signalled(count, fences) ? VK_SUCCESS : VK_TIMEOUT;
    g_mutex_unlock(&lock);
    return result;
}

void fake_wait_fails(VkResult result)
{
    g_mutex_lock(&lock);
    fake.wait = result;
    g_cond_broadcast(&signalled);
    g_mutex_unlock(&lock);
}

static VKAPI_ATTR VkResult VKAPI_CALL signal_semaphore(VkDevice device, const VkSemaphoreSignalInfo *info)
{
    fake.signals++;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_semaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                                       const VkAllocationCallbacks *cb,
                                                       VkSemaphore *semaphore)
{
    *semaphore = (VkSemaphore)(uintptr_t)g_new0(uint64_t, 1);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_semaphore(VkDevice device, VkSemaphore semaphore,
                                                    const VkAllocationCallbacks *cb)
{
    g_free((void *)(uintptr_t)semaphore);
}

static VKAPI_ATTR VkResult VKAPI_CALL semaphore_value(VkDevice device, VkSemaphore semaphore, uint64_t *value)
{
    *value = __atomic_load_n((uint64_t *)(uintptr_t)semaphore, __ATOMIC_ACQUIRE);
    return VK_SUCCESS;
}

/* ---- names ---- */

typedef struct Call {
    const char *name, *khr; /* khr: what the extension called it, of which it came */
    PFN_vkVoidFunction function;
} Call;

#define CALL(name, khr, function) { name, khr, (PFN_vkVoidFunction)(function) }

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name);

static const Call calls[] = {
    CALL("vkCreateInstance", NULL, create_instance),
    CALL("vkDestroyInstance", NULL, destroy_instance),
    CALL("vkGetPhysicalDeviceMemoryProperties", NULL, memory_properties),
    CALL("vkCreateDevice", NULL, create_device),
    CALL("vkGetDeviceProcAddr", NULL, get_device_proc),
    CALL("vkDestroyDevice", NULL, destroy_device),
    CALL("vkAllocateMemory", NULL, allocate),
    CALL("vkFreeMemory", NULL, free_memory),
    CALL("vkGetMemoryFdKHR", NULL, get_fd),
    CALL("vkQueueSubmit", NULL, queue_submit),
    CALL("vkQueueSubmit2", "vkQueueSubmit2KHR", queue_submit2),
    CALL("vkQueueBindSparse", NULL, bind_sparse),
    CALL("vkQueuePresentKHR", NULL, present),
    CALL("vkQueueWaitIdle", NULL, queue_idle),
    CALL("vkCreateFence", NULL, create_fence),
    CALL("vkDestroyFence", NULL, destroy_fence),
    CALL("vkResetFences", NULL, reset_fences),
    CALL("vkGetFenceStatus", NULL, fence_status),
    CALL("vkWaitForFences", NULL, wait_fences),
    CALL("vkCreateSemaphore", NULL, create_semaphore),
    CALL("vkDestroySemaphore", NULL, destroy_semaphore),
    CALL("vkGetSemaphoreCounterValue", "vkGetSemaphoreCounterValueKHR", semaphore_value),
    CALL("vkSignalSemaphore", "vkSignalSemaphoreKHR", signal_semaphore),
};

static PFN_vkVoidFunction find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        if (!strcmp(fake.khr_only && calls[i].khr ? calls[i].khr : calls[i].name, name)) {
            return calls[i].function;
        }
    }
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name)
{
    return find(name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc(VkInstance instance, const char *name)
{
    return find(name);
}

/* ---- for tests ---- */

void fake_load(const char *path)
{
    VkNegotiateLayerInterface version = { .sType = LAYER_NEGOTIATE_INTERFACE_STRUCT,
                                          .loaderLayerInterfaceVersion = 2 };
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    PFN_vkNegotiateLoaderLayerInterfaceVersion negotiate;

    if (!lib) {
        g_error("%s", dlerror());
    }
    negotiate =
        (PFN_vkNegotiateLoaderLayerInterfaceVersion)dlsym(lib, "vkNegotiateLoaderLayerInterfaceVersion");
    g_assert_nonnull(negotiate);
    g_assert_cmpint(negotiate(&version), ==, VK_SUCCESS);
    layer_instance_proc = version.pfnGetInstanceProcAddr;
    layer_device_proc = version.pfnGetDeviceProcAddr;
}

VkResult fake_instance(VkInstance *instance)
{
    VkLayerInstanceLink link = { .pfnNextGetInstanceProcAddr = get_instance_proc };
    const VkLayerInstanceCreateInfo chain = {
        .sType = VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO,
        .function = VK_LAYER_LINK_INFO,
        .u.pLayerInfo = &link,
    };
    const VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pNext = &chain };
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)layer_instance_proc(NULL, "vkCreateInstance");

    return create(&info, NULL, instance);
}

void fake_instance_end(VkInstance instance)
{
    ((PFN_vkDestroyInstance)layer_instance_proc(instance, "vkDestroyInstance"))(instance, NULL);
}

void fake_open(FakeCard *c, uint32_t group, bool khr_only)
{
    VkLayerDeviceLink link = { .pfnNextGetInstanceProcAddr = get_instance_proc,
                               .pfnNextGetDeviceProcAddr = get_device_proc };
    VkDeviceGroupDeviceCreateInfo devices = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_GROUP_DEVICE_CREATE_INFO,
        .physicalDeviceCount = group,
    };
    const VkLayerDeviceCreateInfo chain = {
        .sType = VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO,
        .pNext = &devices,
        .function = VK_LAYER_LINK_INFO,
        .u.pLayerInfo = &link,
    };
    const VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &chain };
    PFN_vkCreateDevice create;

    *c = (FakeCard){ .get_instance_proc = layer_instance_proc, .get_device_proc = layer_device_proc };
    fake = (FakeDriver){ .khr_only = khr_only, .fd = -1 };
    g_assert_cmpint(fake_instance(&c->instance), ==, VK_SUCCESS);
    c->physical = (VkPhysicalDevice)g_new0(Handle, 1);
    ((Handle *)c->physical)->loader = ((Handle *)c->instance)->loader;
    create = (PFN_vkCreateDevice)layer_instance_proc(c->instance, "vkCreateDevice");
    g_assert_cmpint(create(c->physical, &info, NULL, &c->device), ==, VK_SUCCESS);
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        c->queues[i] = (VkQueue)g_new0(Handle, 1);
        ((Handle *)c->queues[i])->loader = ((Handle *)c->device)->loader;
    }
}

void fake_close(FakeCard *c)
{
    FAKE_CALL(c, DestroyDevice)(c->device, NULL);
    fake_instance_end(c->instance);
    g_free(c->physical);
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        g_free(c->queues[i]);
    }
}

void fake_finish(VkQueue queue)
{
    Handle *q = (Handle *)queue;
    Fence *f, *before;

    g_mutex_lock(&lock);
    for (f = q->last; f; f = before) {
        before = f->before;
        *f = (Fence){ .signalled = true };
    }
    q->last = NULL;
    g_cond_broadcast(&signalled);
    g_mutex_unlock(&lock);
}

VkFence fake_fence(void)
{
    return (VkFence)(uintptr_t)g_new0(Fence, 1);
}

bool fake_fence_signalled(VkFence fence)
{
    bool is;

    g_mutex_lock(&lock);
    is = fence_of(fence)->signalled;
    g_mutex_unlock(&lock);
    return is;
}
