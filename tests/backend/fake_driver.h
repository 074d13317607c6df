/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Vulkan driver of the test's own, and the loader's part of putting the layer
 * over it: for what lavapipe has not or does not do when told.
 */
#ifndef TEST_FAKE_DRIVER_H
#define TEST_FAKE_DRIVER_H

#include <stdbool.h>
#include <vulkan/vulkan.h>

#define FAKE_QUEUES 48

/* What it is to do, and what was asked of it. */
typedef struct FakeDriver {
    VkResult allocate, get_fd, submit, empty, wait; /* results; empty: of a submit of no batches */
    bool khr_only;                                  /* knows the extensions' names only */
    int fd;                                         /* what GetMemoryFdKHR gives copies of */
    unsigned allocated, freed, submits, empties, sparse, presents, idles, batches, signals;
} FakeDriver;

extern FakeDriver fake;

typedef struct FakeCard {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queues[FAKE_QUEUES];
    PFN_vkGetInstanceProcAddr get_instance_proc; /* the layer's */
    PFN_vkGetDeviceProcAddr get_device_proc;
} FakeCard;

/* Loads the layer; its variable is set. */
void fake_load(const char *path);

/* fake begins anew.  group: physical devices; khr_only as in FakeDriver. */
void fake_open(FakeCard *c, uint32_t group, bool khr_only);
void fake_close(FakeCard *c);
VkResult fake_instance(VkInstance *instance);
void fake_instance_end(VkInstance instance);

/* The layer's function of that name for this device. */
#define FAKE_CALL(c, name) ((PFN_vk##name)(c)->get_device_proc((c)->device, "vk" #name))

/* What a queue was given last ends, and what came before it. */
void fake_finish(VkQueue queue);
/* What waits for fences has that result from now on, also who waits already. */
void fake_wait_fails(VkResult result);
VkFence fake_fence(void);
bool fake_fence_signalled(VkFence fence);

#endif
