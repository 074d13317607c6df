/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Vulkan layer over a driver of the test's own: device groups, several
 * queues, sparse binding, presenting, names of extensions, and calls that fail.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_driver.h"
#include "vulkan_host.h"

static VulkanHost *host; /* of this very process */

static void assert_used(uint64_t bytes)
{
    g_assert_cmpuint(vulkan_host_used(host), ==, bytes);
}

/* How many devices of ours are users of the lease. */
static void assert_users(uint32_t users)
{
    g_assert_true(vulkan_host_wait_state(host, USERS | GRANTED, users | GRANTED));
}

/* ---- memory ---- */

static VkResult allocate(FakeCard *c, uint64_t size, uint32_t type, uint32_t mask, VkDeviceMemory *memory)
{
    const VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .flags = mask ? VK_MEMORY_ALLOCATE_DEVICE_MASK_BIT : 0,
        .deviceMask = mask,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = &flags,
        .allocationSize = size,
        .memoryTypeIndex = type,
    };

    return FAKE_CALL(c, AllocateMemory)(c->device, &info, NULL, memory);
}

/* Memory of a group's is there once for each of its devices that the mask names. */
static void test_group(void)
{
    static const struct {
        uint32_t group, type, mask, times;
    } cases[] = {
        { 1, 0, 0, 1 },          { 3, 0, 0, 3 },   { 3, 0, 5, 2 },
        { 3, 0, 0xffffffff, 3 }, { 3, 0, 8, 3 }, /* none of its devices: no way to pay less */
        { 3, 1, 0, 1 },          { 40, 0, 0, 32 }, { 3, 7, 0, 1 }, /* the driver's to refuse */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        VkDeviceMemory memory;
        FakeCard c;

        fake_open(&c, cases[i].group, false);
        g_assert_cmpint(allocate(&c, MIB, cases[i].type, cases[i].mask, &memory), ==, VK_SUCCESS);
        assert_used(cases[i].times * MIB);
        FAKE_CALL(&c, FreeMemory)(c.device, memory, NULL);
        assert_used(0);
        g_assert_cmpint(allocate(&c, UINT64_MAX / 2, cases[i].type, cases[i].mask, &memory), ==,
                        VK_ERROR_OUT_OF_DEVICE_MEMORY);
        g_assert_cmpuint(fake.allocated, ==, 1);
        fake_close(&c);
    }
}

static void test_driver_refuses(void)
{
    static const VkResult results[] = { VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_OUT_OF_HOST_MEMORY,
                                        VK_ERROR_INVALID_EXTERNAL_HANDLE, VK_ERROR_TOO_MANY_OBJECTS,
                                        VK_ERROR_DEVICE_LOST };
    VkDeviceMemory memory;
    FakeCard c;

    fake_open(&c, 1, false);
    for (unsigned i = 0; i < G_N_ELEMENTS(results); i++) {
        fake.allocate = results[i];
        g_assert_cmpint(allocate(&c, MIB, 0, 0, &memory), ==, results[i]);
        assert_used(0);
    }
    fake_close(&c);
}

static VkResult get_fd(FakeCard *c, VkDeviceMemory memory, int *fd)
{
    const VkMemoryGetFdInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
        .memory = memory,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
    };

    return FAKE_CALL(c, GetMemoryFdKHR)(c->device, &info, fd);
}

/* A descriptor that the books have no room for is not given out. */
static void test_export_refused(void)
{
    int before, fd = -1;
    VkDeviceMemory memory;
    VulkanFile other;
    FakeCard c;

    fake_open(&c, 1, false);
    g_assert_cmpint(allocate(&c, MIB, 0, 0, &memory), ==, VK_SUCCESS);
    fake.get_fd = VK_ERROR_OUT_OF_HOST_MEMORY;
    g_assert_cmpint(get_fd(&c, memory, &fd), ==, VK_ERROR_OUT_OF_HOST_MEMORY);
    g_assert_cmpuint(host->page->used, ==, 0);

    fake.get_fd = VK_SUCCESS;
    fake.fd = memfd_create("memory", MFD_CLOEXEC);
    for (uint64_t i = 0; i < VGPU_VULKAN_MEMORIES; i++) {
        other = (VulkanFile){ .ino = i };
        vulkan_books_export(&host->books, 0, 0, &other, true);
    }
    before = dup(fake.fd);
    g_assert_cmpint(get_fd(&c, memory, &fd), ==, VK_ERROR_TOO_MANY_OBJECTS);
    g_assert_cmpint(fd, ==, -1);
    g_assert_cmpint(dup(fake.fd), ==, before + 1); /* and it was closed */
    close(before);
    close(before + 1);
    assert_used(MIB);
    vulkan_books_release(&host->books, 5);
    g_assert_true(vulkan_books_adopt(&host->books, &(VulkanFile){ .ino = 5 }, &(VulkanBlob){ 0 }));
    vulkan_books_blob_gone(&host->books, 5);
    g_assert_cmpint(get_fd(&c, memory, &fd), ==, VK_SUCCESS);
    vulkan_host_adopt(host, fd);
    FAKE_CALL(&c, FreeMemory)(c.device, memory, NULL);
    assert_used(MIB);
    vulkan_books_blob_gone(&host->books, 5);
    assert_used(0);
    close(fd);
    close(fake.fd);
    memset(host->page->memories, 0, sizeof(host->page->memories));
    fake_close(&c);
}

static void test_heaps(void)
{
    VkPhysicalDeviceMemoryProperties p;
    FakeCard c;

    fake_open(&c, 1, false);
    ((PFN_vkGetPhysicalDeviceMemoryProperties)c.get_instance_proc(
        c.instance, "vkGetPhysicalDeviceMemoryProperties"))(c.physical, &p);
    g_assert_cmpuint(p.memoryHeaps[0].size, ==, 64 * MIB);
    g_assert_cmpuint(p.memoryHeaps[1].size, ==, 1 * MIB);
    fake_close(&c);
}

/* ---- names ---- */

static void test_names(void)
{
    static const char *const missing[] = { "vkMapMemory2", "vkMapMemory2KHR", "vkGetMemoryWin32HandleKHR",
                                           "vkNo" };
    static const char *const there[] = { "vkAllocateMemory", "vkQueueSubmit", "vkGetMemoryFdKHR" };

    for (unsigned khr_only = 0; khr_only < 2; khr_only++) {
        FakeCard c;

        fake_open(&c, 1, khr_only);
        for (unsigned i = 0; i < G_N_ELEMENTS(missing); i++) {
            g_assert_null(c.get_device_proc(c.device, missing[i]));
            g_assert_null(c.get_instance_proc(c.instance, missing[i]));
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(there); i++) {
            g_assert_nonnull(c.get_device_proc(c.device, there[i]));
            /* whichever way a program asks, it gets ours */
            g_assert_true(c.get_device_proc(c.device, there[i]) == c.get_instance_proc(c.instance, there[i]));
        }
        g_assert_true((c.get_device_proc(c.device, "vkQueueSubmit2KHR") != NULL) == khr_only);
        g_assert_true((c.get_device_proc(c.device, "vkQueueSubmit2") != NULL) == !khr_only);
        fake_close(&c);
    }
}

static void test_many_instances(void)
{
    VkInstance instances[256], one;

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(instances); i++) {
            g_assert_cmpint(fake_instance(&instances[i]), ==, VK_SUCCESS);
        }
        g_assert_cmpint(fake_instance(&one), ==, VK_ERROR_TOO_MANY_OBJECTS);
        for (unsigned i = 0; i < G_N_ELEMENTS(instances); i++) {
            fake_instance_end(instances[i]);
        }
    }
}

/* ---- submits ---- */

static const VkSubmitInfo batch = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO };
static const VkSubmitInfo2 batch2 = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2 };
static const VkBindSparseInfo sparse = { .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO };
static const VkPresentInfoKHR picture = { .sType = VK_STRUCTURE_TYPE_PRESENT_INFO_KHR };

/* With a fence of the guest's ours follows in a call of its own; without it is in its place. */
static void way(FakeCard *c, VkFence fence, unsigned which)
{
    const unsigned *counters[] = { &fake.submits, &fake.submits, &fake.sparse, &fake.presents };
    unsigned empties = fake.empties, calls = *counters[which];
    VkQueue q = c->queues[0];
    VkResult result;

    switch (which) {
    case 0:
        result = FAKE_CALL(c, QueueSubmit)(q, 1, &batch, fence);
        break;
    case 1:
        result = ((PFN_vkQueueSubmit2)c->get_device_proc(
            c->device, fake.khr_only ? "vkQueueSubmit2KHR" : "vkQueueSubmit2"))(q, 1, &batch2, fence);
        break;
    case 2:
        result = FAKE_CALL(c, QueueBindSparse)(q, 1, &sparse, fence);
        break;
    default:
        result = FAKE_CALL(c, QueuePresentKHR)(q, &picture);
        break;
    }
    g_assert_cmpint(result, ==, VK_SUCCESS);
    g_assert_cmpuint(*counters[which], ==, calls + 1);
    g_assert_cmpuint(fake.empties, ==, empties + (fence || which == 3));
    assert_users(1);
    g_usleep(1000);
    assert_users(1);
    fake_finish(q);
    assert_users(0);
}

static void test_ways(void)
{
    for (unsigned khr_only = 0; khr_only < 2; khr_only++) {
        FakeCard c;

        fake_open(&c, 1, khr_only);
        for (unsigned which = 0; which < 4; which++) {
            VkFence fence = fake_fence();

            way(&c, VK_NULL_HANDLE, which);
            if (which < 3) {
                way(&c, fence, which);
                g_assert_true(fake_fence_signalled(fence));
            }
            g_free((void *)(uintptr_t)fence);
        }
        fake_close(&c);
    }
}

static void test_submit_fails(void)
{
    FakeCard c;

    fake_open(&c, 1, false);
    fake.submit = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    g_assert_cmpint(FAKE_CALL(&c, QueueSubmit)(c.queues[0], 1, &batch, VK_NULL_HANDLE), ==,
                    VK_ERROR_OUT_OF_DEVICE_MEMORY);
    assert_users(0);
    g_assert_cmpint(FAKE_CALL(&c, QueuePresentKHR)(c.queues[0], &picture), ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    fake_finish(c.queues[0]); /* what shows a picture may be at work for all that */
    assert_users(0);
    fake_close(&c);
}

/* The guest's work is submitted and our fence is not: the end of it is waited for. */
static void test_fence_fails(void)
{
    VkFence fence = fake_fence();
    FakeCard c;

    fake_open(&c, 1, false);
    fake.empty = VK_ERROR_OUT_OF_HOST_MEMORY;
    g_assert_cmpint(FAKE_CALL(&c, QueueSubmit)(c.queues[0], 1, &batch, fence), ==, VK_SUCCESS);
    g_assert_cmpuint(fake.idles, ==, 1);
    assert_users(0);
    fake_finish(c.queues[0]);
    g_assert_true(fake_fence_signalled(fence));
    g_free((void *)(uintptr_t)fence);
    fake_close(&c);
}

static void test_device_lost(void)
{
    FakeCard c;

    fake_open(&c, 1, false);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(FAKE_CALL(&c, QueueSubmit)(c.queues[i], 1, &batch, VK_NULL_HANDLE), ==, VK_SUCCESS);
    }
    assert_users(1);
    fake_wait_fails(VK_ERROR_DEVICE_LOST);
    assert_users(0);
    fake_close(&c);
}

/* In flight is what is in any of its queues; more of them than are waited for at a time. */
static void test_queues(void)
{
    FakeCard c;

    fake_open(&c, 1, false);
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        for (unsigned k = 0; k < 3; k++) {
            g_assert_cmpint(
                FAKE_CALL(&c, QueueSubmit)(c.queues[i], 2, (VkSubmitInfo[]){ batch, batch }, VK_NULL_HANDLE),
                ==, VK_SUCCESS);
        }
    }
    g_assert_cmpuint(fake.submits, ==, 3 * FAKE_QUEUES);
    g_assert_cmpuint(fake.batches, ==, 6 * FAKE_QUEUES);
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        assert_users(1);
        fake_finish(c.queues[FAKE_QUEUES - 1 - i]);
        g_usleep(1000);
    }
    assert_users(0);
    fake_close(&c);
}

/* Two devices are two users. */
static void test_devices(void)
{
    FakeCard a, b;

    fake_open(&a, 1, false);
    fake_open(&b, 1, false);
    FAKE_CALL(&a, QueueSubmit)(a.queues[0], 1, &batch, VK_NULL_HANDLE);
    FAKE_CALL(&b, QueueSubmit)(b.queues[0], 1, &batch, VK_NULL_HANDLE);
    assert_users(2);
    g_assert_cmpuint(host->page->processes[0].lease & VGPU_VULKAN_LEASE_USERS, ==, 2);
    fake_finish(a.queues[0]);
    assert_users(1);
    fake_finish(b.queues[0]);
    assert_users(0);
    g_assert_cmpuint(host->page->processes[0].lease & VGPU_VULKAN_LEASE_USERS, ==, 0);
    fake_close(&a);
    fake_close(&b);
}

/* ---- batches that wait for a timeline semaphore ---- */

static VkSemaphore timeline(FakeCard *c)
{
    const VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type };
    VkSemaphore semaphore;

    FAKE_CALL(c, CreateSemaphore)(c->device, &info, NULL, &semaphore);
    return semaphore;
}

/* A call is parted before each batch that may have to wait, and only there. */
static void test_parted(void)
{
    VkSemaphore t;
    VkFence fence = fake_fence();
    FakeCard c;

    fake_open(&c, 1, false);
    t = timeline(&c);
    {
        const VkSemaphoreSubmitInfo wait = {
            .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
            .semaphore = t,
            .value = 1,
        };
        const VkSubmitInfo2 waits = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
            .waitSemaphoreInfoCount = 1,
            .pWaitSemaphoreInfos = &wait,
        };
        const VkSubmitInfo2 batches[] = { waits, batch2, batch2, waits, batch2, waits };

        g_assert_cmpint(FAKE_CALL(&c, QueueSubmit2)(c.queues[0], 6, batches, fence), ==, VK_SUCCESS);
        g_assert_cmpuint(fake.submits, ==, 3);
        g_assert_cmpuint(fake.batches, ==, 6);
        g_assert_cmpuint(fake.empties, ==, 1);
    }
    assert_users(0); /* the first of them waits: nothing is at work */
    __atomic_store_n((uint64_t *)(uintptr_t)t, 1, __ATOMIC_RELEASE);
    assert_users(1); /* seen to go on */
    fake_finish(c.queues[0]);
    assert_users(0);
    g_assert_true(fake_fence_signalled(fence));
    g_free((void *)(uintptr_t)fence);
    FAKE_CALL(&c, DestroySemaphore)(c.device, t, NULL);
    fake_close(&c);
}

/* More semaphores than are remembered: the work is taken to be busy, not to be idle. */
static void test_many_waits(void)
{
    VkSemaphore t;
    VkSemaphoreSubmitInfo waits[40];
    FakeCard c;

    fake_open(&c, 1, false);
    t = timeline(&c);
    for (unsigned i = 0; i < G_N_ELEMENTS(waits); i++) {
        waits[i] = (VkSemaphoreSubmitInfo){
            .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
            .semaphore = t,
            .value = i < 20 ? 0 : 5,
        };
    }
    {
        const VkSubmitInfo2 info = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
            .waitSemaphoreInfoCount = G_N_ELEMENTS(waits),
            .pWaitSemaphoreInfos = waits,
        };

        g_assert_cmpint(FAKE_CALL(&c, QueueSubmit2)(c.queues[0], 1, &info, VK_NULL_HANDLE), ==, VK_SUCCESS);
    }
    g_usleep(100 * 1000);
    assert_users(1);
    fake_finish(c.queues[0]);
    assert_users(0);
    FAKE_CALL(&c, DestroySemaphore)(c.device, t, NULL);
    fake_close(&c);
}

int main(int argc, char **argv)
{
    g_autofree char *variable = NULL, *layer = NULL;
    int rc;

    g_test_init(&argc, &argv, NULL);
    host = vulkan_host_new(64 * MIB, true);
    host->lease.page->state = GRANTED;
    variable = vulkan_host_variable(host);
    setenv(VGPU_VULKAN_ENV, variable, 1);
    layer = g_build_filename(g_getenv("VGPU_VULKAN_LAYER_DIR"), "libVkLayer_vgpu.so", NULL);
    fake_load(layer);
    g_test_add_func("/vulkan/driver/group", test_group);
    g_test_add_func("/vulkan/driver/refuses", test_driver_refuses);
    g_test_add_func("/vulkan/driver/export-refused", test_export_refused);
    g_test_add_func("/vulkan/driver/heaps", test_heaps);
    g_test_add_func("/vulkan/driver/names", test_names);
    g_test_add_func("/vulkan/driver/many-instances", test_many_instances);
    g_test_add_func("/vulkan/driver/ways", test_ways);
    g_test_add_func("/vulkan/driver/submit-fails", test_submit_fails);
    g_test_add_func("/vulkan/driver/fence-fails", test_fence_fails);
    g_test_add_func("/vulkan/driver/device-lost", test_device_lost);
    g_test_add_func("/vulkan/driver/queues", test_queues);
    g_test_add_func("/vulkan/driver/devices", test_devices);
    g_test_add_func("/vulkan/driver/parted", test_parted);
    g_test_add_func("/vulkan/driver/many-waits", test_many_waits);
    rc = g_test_run();
    vulkan_host_free(host);
    return rc;
}
