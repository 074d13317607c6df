/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Vulkan layer's books with a real driver (lavapipe): what is charged and
 * refunded, what others hold, what a process leaves that dies, the size of the
 * heaps, and that there is no Vulkan without books.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "card.h"
#include "vulkan_host.h"

#define KIB 1024ull

static void assert_used(VulkanHost *h, uint64_t bytes)
{
    g_assert_cmpuint(vulkan_host_used(h), ==, bytes);
}

static VulkanFile file_of(int fd)
{
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    return (VulkanFile){ .dev = st.st_dev, .ino = st.st_ino };
}

/* As the renderer does with a blob. */
static VulkanBlob adopt(VulkanHost *h, int fd)
{
    VulkanFile f = file_of(fd);
    VulkanBlob blob;

    g_assert_true(vulkan_books_adopt(&h->books, &f, &blob));
    return blob;
}

/* Programs of the guest's; each ends with nothing charged unless it says so. */

static void program_limit(VulkanHost *h)
{
    VkDeviceMemory a, b, c, small[65];
    Card card;
    unsigned i;

    card_open(&card);
    g_assert_cmpint(card_allocate(&card, 64 * MIB + 1, &a), ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    g_assert_cmpint(card_allocate(&card, 48 * MIB, &a), ==, VK_SUCCESS);
    g_assert_cmpint(card_allocate(&card, 16 * MIB - 128 * KIB, &b), ==, VK_SUCCESS);
    assert_used(h, 64 * MIB - 128 * KIB);
    g_assert_cmpint(card_allocate(&card, 128 * KIB + 1, &c), ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    g_assert_cmpint(card_allocate(&card, 128 * KIB, &c), ==, VK_SUCCESS);
    assert_used(h, 64 * MIB);
    /* the reserve */
    g_assert_cmpint(card_allocate(&card, 64 * KIB + 1, &small[0]), ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    for (i = 0; i < 64; i++) {
        g_assert_cmpint(card_allocate(&card, 64 * KIB, &small[i]), ==, VK_SUCCESS);
    }
    g_assert_cmpint(card_allocate(&card, 1, &small[i]), ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    while (i-- > 0) {
        vkFreeMemory(card.device, small[i], NULL);
    }
    g_assert_cmpuint(h->stats->alloc_denied, ==, 4);
    vkFreeMemory(card.device, a, NULL);
    vkFreeMemory(card.device, b, NULL);
    vkFreeMemory(card.device, c, NULL);
    vkFreeMemory(card.device, VK_NULL_HANDLE, NULL);
    assert_used(h, 0);
    card_close(&card);
}

static void program_hundred_rounds(VulkanHost *h)
{
    VkDeviceMemory memory[65];
    Card card;

    card_open(&card);
    for (unsigned round = 0; round < 100; round++) {
        unsigned n = 0;
        VkResult result;

        while ((result = card_allocate(&card, 1 * MIB, &memory[n])) == VK_SUCCESS) {
            n++;
            g_assert_cmpuint(n, <=, 64);
        }
        g_assert_cmpint(result, ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
        g_assert_cmpuint(n, ==, 64);
        assert_used(h, 64 * MIB);
        while (n-- > 0) {
            vkFreeMemory(card.device, memory[n], NULL);
        }
        assert_used(h, 0);
    }
    g_assert_cmpuint(h->stats->alloc_denied, ==, 100);
    card_close(&card);
}

/* A page is the least that memory costs, or a million of one byte each would be free. */
static void program_pages(VulkanHost *h)
{
    VkDeviceMemory a, b;
    Card card;

    card_open(&card);
    g_assert_cmpint(card_allocate(&card, 1, &a), ==, VK_SUCCESS);
    assert_used(h, 4096);
    g_assert_cmpint(card_allocate(&card, 4097, &b), ==, VK_SUCCESS);
    assert_used(h, 3 * 4096);
    vkFreeMemory(card.device, a, NULL);
    assert_used(h, 2 * 4096);
    vkFreeMemory(card.device, b, NULL);
    assert_used(h, 0);
    card_close(&card);
}

/* The limit allows it and the driver does not: it is refunded. */
static void program_driver_refuses(VulkanHost *h)
{
    VkDeviceMemory memory;
    Card card;

    card_open(&card);
    g_assert_cmpint(card_import(&card, 4096, open("/dev/null", O_RDWR | O_CLOEXEC), &memory), !=, VK_SUCCESS);
    assert_used(h, 0);
    g_assert_cmpint(card_allocate(&card, UINT64_MAX, &memory), ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    assert_used(h, 0);
    card_close(&card);
}

static void program_device_destroyed(VulkanHost *h)
{
    VkDeviceMemory memory;
    Card card;
    int fd;

    card_open(&card);
    g_assert_cmpint(card_allocate(&card, 2 * MIB, &memory), ==, VK_SUCCESS);
    memory = card_exportable(&card, 3 * MIB);
    fd = card_export(&card, memory);
    adopt(h, fd);
    g_assert_cmpint(card_import(&card, 3 * MIB, fd, &memory), ==, VK_SUCCESS);
    assert_used(h, 5 * MIB);
    card_close(&card);
    assert_used(h, 3 * MIB);
    vulkan_books_blob_gone(&h->books, 0);
    assert_used(h, 0);
}

/* Structures that we know nothing of, and the caller's own allocator. */
static unsigned blocks;

static VKAPI_ATTR void *VKAPI_CALL block_new(void *data, size_t size, size_t align,
                                             VkSystemAllocationScope scope)
{
    void *p = NULL;

    if (posix_memalign(&p, MAX(align, sizeof(void *)), size)) {
        return NULL;
    }
    blocks++;
    return p;
}

static VKAPI_ATTR void VKAPI_CALL block_free(void *data, void *p)
{
    if (p) {
        blocks--;
        free(p);
    }
}

static VKAPI_ATTR void *VKAPI_CALL block_again(void *data, void *p, size_t size, size_t align,
                                               VkSystemAllocationScope scope)
{
    return NULL;
}

static void program_passes_along(VulkanHost *h)
{
    const VkAllocationCallbacks callbacks = {
        .pfnAllocation = block_new,
        .pfnReallocation = block_again,
        .pfnFree = block_free,
    };
    const VkBufferCreateInfo buffer = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = 1 * MIB,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
    };
    VkMemoryDedicatedAllocateInfo dedicated = { .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO };
    VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .pNext = &dedicated,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_MASK_BIT,
        .deviceMask = 1,
    };
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = &flags,
        .allocationSize = 1 * MIB,
    };
    VkDeviceMemory memory;
    Card card;

    card_open(&card);
    info.memoryTypeIndex = card.memory_type;
    g_assert_cmpint(vkCreateBuffer(card.device, &buffer, NULL, &dedicated.buffer), ==, VK_SUCCESS);
    g_assert_cmpint(vkAllocateMemory(card.device, &info, &callbacks, &memory), ==, VK_SUCCESS);
    g_assert_cmpuint(blocks, >, 0);
    assert_used(h, 1 * MIB);
    g_assert_cmpint(vkBindBufferMemory(card.device, dedicated.buffer, memory, 0), ==, VK_SUCCESS);
    vkDestroyBuffer(card.device, dedicated.buffer, NULL);
    vkFreeMemory(card.device, memory, &callbacks);
    g_assert_cmpuint(blocks, ==, 0);
    assert_used(h, 0);
    card_close(&card);
}

/* Exported, a blob, freed, gone: in each order, many times over. */
static void program_exports(VulkanHost *h)
{
    Card card;

    card_open(&card);
    for (unsigned i = 0; i < 100; i++) {
        VkDeviceMemory memory = card_exportable(&card, 40 * MIB);
        int fd = card_export(&card, memory);
        VulkanBlob blob;

        assert_used(h, 40 * MIB); /* twice would not fit */
        switch (i % 3) {
        case 0:
            blob = adopt(h, fd);
            vkFreeMemory(card.device, memory, NULL);
            assert_used(h, 40 * MIB);
            vulkan_books_blob_gone(&h->books, blob.entry);
            break;
        case 1:
            vkFreeMemory(card.device, memory, NULL);
            assert_used(h, 40 * MIB);
            blob = adopt(h, fd);
            assert_used(h, 40 * MIB);
            vulkan_books_blob_gone(&h->books, blob.entry);
            break;
        default:
            blob = adopt(h, fd);
            vulkan_books_blob_gone(&h->books, blob.entry);
            assert_used(h, 40 * MIB);
            vkFreeMemory(card.device, memory, NULL);
            break;
        }
        g_assert_cmpuint(blob.bytes, ==, 40 * MIB);
        assert_used(h, 0);
        close(fd);
    }
    card_close(&card);
}

static void program_export_twice(VulkanHost *h)
{
    VkDeviceMemory memory;
    VulkanBlob a, b;
    Card card;
    int first, second;

    card_open(&card);
    memory = card_exportable(&card, 3 * MIB);
    first = card_export(&card, memory);
    second = card_export(&card, memory);
    assert_used(h, 3 * MIB);
    vkFreeMemory(card.device, memory, NULL);
    a = adopt(h, first);
    vulkan_books_blob_gone(&h->books, a.entry);
    assert_used(h, 3 * MIB);
    b = adopt(h, second);
    vulkan_books_blob_gone(&h->books, b.entry);
    assert_used(h, 0);
    card_close(&card);
}

/* The file shows at offset what the memory holds. */
static void check_offset(VulkanHost *h, const Card *card, VkDeviceMemory memory, uint64_t size)
{
    int fd = card_export(card, memory);
    VulkanBlob blob = adopt(h, fd);
    uint32_t *mapped, *file;
    void *p;

    g_assert_cmpuint(blob.offset, !=, VGPU_VULKAN_OFFSET_UNKNOWN);
    file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)blob.offset);
    g_assert_true(file != MAP_FAILED);
    for (uint64_t i = 0; i < size / 4; i += 251) {
        g_assert_cmpuint(file[i], ==, i); /* as it was before it was exported */
        file[i] = (uint32_t)~i;
    }
    g_assert_cmpint(vkMapMemory(card->device, memory, 0, VK_WHOLE_SIZE, 0, &p), ==, VK_SUCCESS);
    mapped = p;
    for (uint64_t i = 0; i < size / 4; i += 251) {
        g_assert_cmpuint(mapped[i], ==, (uint32_t)~i);
    }
    munmap(file, size);
    close(fd);
    vulkan_books_blob_gone(&h->books, blob.entry);
    vkFreeMemory(card->device, memory, NULL);
}

static void fill(const Card *card, VkDeviceMemory memory, uint64_t size)
{
    uint32_t *words;
    void *p;

    g_assert_cmpint(vkMapMemory(card->device, memory, 0, VK_WHOLE_SIZE, 0, &p), ==, VK_SUCCESS);
    words = p;
    for (uint64_t i = 0; i < size / 4; i++) {
        words[i] = (uint32_t)i;
    }
    vkUnmapMemory(card->device, memory);
}

static void program_offset(VulkanHost *h)
{
    static const uint64_t sizes[] = { 16, 100, 4096, 1 * MIB, 5 * MIB + 12 };
    Card card;

    card_open(&card);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        VkDeviceMemory memory = card_exportable(&card, sizes[i]);

        fill(&card, memory, sizes[i]);
        check_offset(h, &card, memory, sizes[i]);
        assert_used(h, 0);
    }
    card_close(&card);
}

/* The guest has it mapped already, from some byte on. */
static void program_offset_of_mapped(VulkanHost *h)
{
    VkDeviceMemory memory;
    Card card;
    void *p;

    card_open(&card);
    memory = card_exportable(&card, 1 * MIB);
    fill(&card, memory, 1 * MIB);
    g_assert_cmpint(vkMapMemory(card.device, memory, 8192 + 64, 64 * KIB, 0, &p), ==, VK_SUCCESS);
    {
        int fd = card_export(&card, memory);
        VulkanBlob blob = adopt(h, fd);

        g_assert_cmpuint(*(uint32_t *)p, ==, (8192 + 64) / 4); /* still there */
        *(uint32_t *)p = 12345;
        g_assert_cmpuint(blob.offset, !=, VGPU_VULKAN_OFFSET_UNKNOWN);
        g_assert_cmpint(pread(fd, &blob.entry, 4, (off_t)(blob.offset + 8192 + 64)), ==, 4);
        g_assert_cmpint(blob.entry, ==, 12345);
        vulkan_books_blob_gone(&h->books, 0);
        close(fd);
    }
    vkUnmapMemory(card.device, memory);
    vkFreeMemory(card.device, memory, NULL);
    assert_used(h, 0);
    card_close(&card);
}

static void program_imports(VulkanHost *h)
{
    VkDeviceMemory memory, import[20];
    Card card;
    int fd;

    card_open(&card);
    memory = card_exportable(&card, 40 * MIB);
    fd = card_export(&card, memory);
    for (unsigned i = 0; i < G_N_ELEMENTS(import); i++) {
        g_assert_cmpint(card_import(&card, 40 * MIB, dup(fd), &import[i]), ==, VK_SUCCESS);
    }
    assert_used(h, 40 * MIB);
    adopt(h, fd);
    vulkan_books_blob_gone(&h->books, 0);
    vkFreeMemory(card.device, memory, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(import); i++) {
        assert_used(h, 40 * MIB);
        vkFreeMemory(card.device, import[i], NULL);
    }
    assert_used(h, 0);
    close(fd);
    card_close(&card);
}

/* A file that the books do not know is memory like any other. */
static void program_import_of_unknown(VulkanHost *h)
{
    VkDeviceMemory memory, import, again;
    Card card;
    int fd;

    card_open(&card);
    memory = card_exportable(&card, 20 * MIB);
    fd = card_export(&card, memory);
    h->page->memories[0].ino++;
    g_assert_cmpint(card_import(&card, 20 * MIB, dup(fd), &import), ==, VK_SUCCESS);
    assert_used(h, 40 * MIB);
    g_assert_cmpint(card_import(&card, 20 * MIB, dup(fd), &again), ==, VK_SUCCESS); /* known by now */
    assert_used(h, 40 * MIB);
    g_assert_cmpint(adopt(h, fd).entry, ==, 1);
    vkFreeMemory(card.device, import, NULL);
    vkFreeMemory(card.device, again, NULL);
    assert_used(h, 40 * MIB);
    vulkan_books_blob_gone(&h->books, 1);
    assert_used(h, 20 * MIB);

    h->stats->memory_limit = 30 * MIB;
    g_assert_cmpint(card_import(&card, 20 * MIB, fd, &import), ==, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    assert_used(h, 20 * MIB);
    vkFreeMemory(card.device, memory, NULL);
    h->page->memories[0].ino--;
    adopt(h, fd);
    vulkan_books_blob_gone(&h->books, 0);
    close(fd); /* a refused import leaves it to the caller */
    assert_used(h, 0);
    card_close(&card);
}

static void program_heaps(VulkanHost *h)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT,
    };
    VkPhysicalDeviceMemoryProperties2 two = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = &budget,
    };
    VkPhysicalDeviceMemoryProperties one;
    VkDeviceMemory memory;
    Card card;

    card_open(&card);
    g_assert_cmpint(card_allocate(&card, 24 * MIB, &memory), ==, VK_SUCCESS);
    vkGetPhysicalDeviceMemoryProperties(card.physical, &one);
    vkGetPhysicalDeviceMemoryProperties2(card.physical, &two);
    g_assert_cmpuint(one.memoryHeapCount, >, 0);
    for (uint32_t i = 0; i < one.memoryHeapCount; i++) {
        g_assert_cmpuint(one.memoryHeaps[i].size, ==, 64 * MIB);
        g_assert_cmpuint(two.memoryProperties.memoryHeaps[i].size, ==, 64 * MIB);
        g_assert_cmpuint(budget.heapUsage[i], <=, 64 * MIB);
        g_assert_cmpuint(budget.heapBudget[i], >=, 40 * MIB); /* what is left */
        g_assert_cmpuint(budget.heapBudget[i], <=, 64 * MIB);
    }
    h->stats->memory_limit = 32 * MIB; /* vgpud does that at any time */
    vkGetPhysicalDeviceMemoryProperties(card.physical, &one);
    g_assert_cmpuint(one.memoryHeaps[0].size, ==, 32 * MIB);
    vkFreeMemory(card.device, memory, NULL);
    card_close(&card);
}

static gpointer allocate_and_free(gpointer data)
{
    Card *card = data;

    for (unsigned i = 0; i < 500; i++) {
        VkDeviceMemory memory;

        if (card_allocate(card, (1 + i % 32) * MIB, &memory) == VK_SUCCESS) {
            vkFreeMemory(card->device, memory, NULL);
        }
        memory = card_exportable(card, 4096);
        close(card_export(card, memory));
        vkFreeMemory(card->device, memory, NULL);
    }
    return NULL;
}

/* On two devices. */
static void program_threads(VulkanHost *h)
{
    GThread *threads[4];
    Card card, other;
    VulkanFile f;

    card_open(&card);
    other = card;
    other.device = card_device(&card);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("allocate", allocate_and_free, i % 2 ? &card : &other);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    /* What was given out and never became a blob. */
    g_assert_cmpuint(vulkan_host_used(h), ==, 2000 * 4096);
    for (unsigned i = 0; i < 2000; i++) {
        VulkanBlob blob;

        f = (VulkanFile){ .dev = h->page->memories[i].dev, .ino = h->page->memories[i].ino };
        g_assert_true(vulkan_books_adopt(&h->books, &f, &blob));
        vulkan_books_blob_gone(&h->books, blob.entry);
    }
    assert_used(h, 0);
    vkDestroyDevice(other.device, NULL);
    card_close(&card);
}

/* One process, from its hello to its end. */
static void run(gconstpointer data)
{
    VulkanProgram program = (VulkanProgram)data;
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);
    int hang_up, slot;
    pid_t pid;

    if (program == program_driver_refuses) {
        h->stats->memory_limit = UINT64_MAX - MIB;
    }
    pid = vulkan_host_start(h, program);
    slot = vulkan_host_hello(h, &hang_up);
    g_assert_cmpint(slot, ==, 0);
    vulkan_host_ended(h, pid);
    g_assert_true(readable(hang_up, DEADLINE_MS));
    close(hang_up);
    g_assert_false(readable(h->hello[0], 0)); /* said once */
    g_assert_cmpuint(vulkan_host_bury(h, slot).bytes, ==, 0);
    g_assert_cmpuint(vulkan_books_correct(&h->books), ==, 0);
    assert_used(h, 0);
}

/* ---- processes that die ---- */

static void program_holds(VulkanHost *h)
{
    VkDeviceMemory memory;
    Card card;
    int fd;

    card_open(&card);
    g_assert_cmpint(card_allocate(&card, 10 * MIB, &memory), ==, VK_SUCCESS);
    memory = card_exportable(&card, 4 * MIB);
    fd = card_export(&card, memory);
    adopt(h, fd);
    memory = card_exportable(&card, 2 * MIB);
    card_export(&card, memory);
    vulkan_host_tell_test(h);
    vulkan_host_await_test(h);
}

static void test_killed(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);
    pid_t pid = vulkan_host_start(h, program_holds);
    VulkanRemains remains;
    int hang_up, slot;

    g_assert_true(vulkan_host_await_child(h));
    slot = vulkan_host_hello(h, &hang_up);
    assert_used(h, 16 * MIB);
    g_assert_false(readable(hang_up, 0));
    vulkan_host_kill(pid);
    g_assert_true(readable(hang_up, DEADLINE_MS));
    close(hang_up);
    remains = vulkan_host_bury(h, slot);
    g_assert_cmpuint(remains.bytes, ==, 12 * MIB);
    g_assert_cmpint(remains.pid, ==, pid);
    assert_used(h, 4 * MIB);
    g_assert_cmpuint(vulkan_books_correct(&h->books), ==, 0);
    vulkan_books_blob_gone(&h->books, 0);
    assert_used(h, 0);
}

static void program_busy(VulkanHost *h)
{
    Card card;

    card_open(&card);
    vulkan_host_tell_test(h);
    for (;;) {
        VkDeviceMemory a, b;
        int fd;

        if (card_allocate(&card, 1 * MIB, &a) == VK_SUCCESS) {
            b = card_exportable(&card, 64 * KIB);
            fd = card_export(&card, b);
            vkFreeMemory(card.device, b, NULL);
            vkFreeMemory(card.device, a, NULL);
            adopt(h, fd);
            vulkan_books_blob_gone(&h->books, 0);
            close(fd);
        }
    }
}

/* At whatever point: too high by an allocation at most until nobody is left, then right. */
static void test_killed_anywhere(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);

    for (unsigned i = 0; i < 20; i++) {
        pid_t pid = vulkan_host_start(h, program_busy);
        int hang_up, slot;

        g_assert_true(vulkan_host_await_child(h));
        slot = vulkan_host_hello(h, &hang_up);
        close(hang_up);
        g_usleep((gulong)g_test_rand_int_range(0, 5000));
        vulkan_host_kill(pid);
        vulkan_host_bury(h, slot);
        g_assert_cmpuint(vulkan_host_used(h), <=, 2 * MIB);
        vulkan_books_correct(&h->books);
        /* A blob that our stand-in for the renderer was killed with is not the layer's affair. */
        if (h->page->memories[0].word & VGPU_VULKAN_BLOBS) {
            vulkan_books_blob_gone(&h->books, 0);
        }
        assert_used(h, 0);
    }
}

static void program_takes_slot(VulkanHost *h)
{
    VkInstance instance;

    h->words[1] = (uint64_t)(uint32_t)card_instance(&instance);
}

static void test_too_many_processes(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);

    for (unsigned i = 0; i < VGPU_VULKAN_PROCESSES; i++) {
        vulkan_books_enter(&h->books, 1);
    }
    vulkan_host_run(h, program_takes_slot);
    g_assert_cmpint((int)h->words[1], ==, VK_ERROR_INITIALIZATION_FAILED);
}

/* ---- no books, no Vulkan ---- */

static void refused(const char *variable, const char *sentence)
{
    if (g_test_subprocess()) {
        VkInstance instance;

        vulkan_host_environment(variable);
        g_assert_cmpint(card_instance(&instance), ==, VK_ERROR_INITIALIZATION_FAILED);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr(sentence);
}

static void test_no_variable(void)
{
    refused(NULL, "*Vulkan layer: the variable VGPU_VULKAN is not set*");
}

static void test_broken_variable(gconstpointer variable)
{
    refused(variable, "*Vulkan layer: the variable VGPU_VULKAN *\n");
}

static void test_wrong_pages(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, true);
    g_autofree char *swapped = g_strdup_printf("%d,%d,-1,-1,-1,-1", h->stats_fd, h->page_fd);
    g_autofree char *no_lease = g_strdup_printf("%d,%d,-1,%d,-1,-1", h->page_fd, h->stats_fd, h->stats_fd);
    g_autofree char *no_page = g_strdup_printf("-1,%d,-1,-1,-1,-1", h->stats_fd);
    g_autofree char *versions = vulkan_host_variable(h);
    const char *const variables[] = { swapped, no_lease, no_page };

    for (unsigned i = 0; i < G_N_ELEMENTS(variables) + 2; i++) {
        pid_t pid;
        int status;

        h->page->version = VGPU_VULKAN_VERSION + (i == 3);
        h->stats->version = VGPU_STATS_VERSION + (i == 4);
        pid = fork();
        if (pid == 0) {
            VkInstance instance;

            vulkan_host_environment(i < 3 ? variables[i] : versions);
            _exit(card_instance(&instance) == VK_ERROR_INITIALIZATION_FAILED ? 0 : 1);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
    }
}

/* ---- the render server: preloaded, and a process for each context ---- */

#define CONTEXTS 3

/* Started with the layer preloaded; says by its exit status how it went. */
static int be_server(void)
{
    pid_t pids[CONTEXTS];
    int status, bad = 0;

    for (unsigned i = 0; i < CONTEXTS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            VkDeviceMemory memory;
            Card card;

            g_usleep(50000); /* it has said hello before it does anything */
            card_open(&card);
            g_assert_cmpint(card_allocate(&card, 4 * MIB, &memory), ==, VK_SUCCESS);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < CONTEXTS; i++) {
        bad |= waitpid(pids[i], &status, 0) != pids[i] || status;
    }
    return bad ? 1 : 0;
}

static void test_server(void)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, false);
    g_autofree char *variable = vulkan_host_variable(h);
    bool seen[CONTEXTS] = { false };
    int hang_up[CONTEXTS], status;
    pid_t pid = fork();

    if (pid == 0) {
        g_autofree char *layer =
            g_build_filename(g_getenv("VGPU_VULKAN_LAYER_DIR"), "libVkLayer_vgpu.so", NULL);

        vulkan_host_environment(variable);
        g_setenv("LD_PRELOAD", layer, TRUE);
        g_setenv("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0", TRUE);
        execl("/proc/self/exe", "test-vulkan-layer", "--server", NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < CONTEXTS; i++) {
        int slot = vulkan_host_hello(h, &hang_up[i]);

        g_assert_cmpint(slot, >=, 0);
        g_assert_cmpint(slot, <, CONTEXTS); /* the server itself takes none */
        g_assert_false(seen[slot]);
        seen[slot] = true;
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    assert_used(h, CONTEXTS * 4 * MIB);
    for (int i = 0; i < CONTEXTS; i++) {
        g_assert_true(readable(hang_up[i], DEADLINE_MS));
        close(hang_up[i]);
        g_assert_cmpuint(vulkan_host_bury(h, i).bytes, ==, 4 * MIB);
    }
    assert_used(h, 0);
}

int main(int argc, char **argv)
{
    static const char *const broken[] = { "",
                                          "x",
                                          "1,2,3,4,5",
                                          "1,2,3,4,5,6,",
                                          "1,2,,4,5,6",
                                          "99,98,97,-1,-1,-1",
                                          "1,2,3,4,5,99999999999",
                                          "-2,3,4,5,6,7" };
    static const struct {
        const char *name;
        VulkanProgram program;
    } programs[] = {
        { "limit", program_limit },
        { "hundred-rounds", program_hundred_rounds },
        { "pages", program_pages },
        { "driver-refuses", program_driver_refuses },
        { "device-destroyed", program_device_destroyed },
        { "passes-along", program_passes_along },
        { "exports", program_exports },
        { "export-twice", program_export_twice },
        { "offset", program_offset },
        { "offset-of-mapped", program_offset_of_mapped },
        { "imports", program_imports },
        { "import-of-unknown", program_import_of_unknown },
        { "heaps", program_heaps },
        { "threads", program_threads },
    };

    if (argc == 2 && !strcmp(argv[1], "--server")) {
        return be_server();
    }
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(programs); i++) {
        g_autofree char *path = g_strdup_printf("/vulkan/layer/%s", programs[i].name);

        g_test_add_data_func(path, (gconstpointer)programs[i].program, run);
    }
    g_test_add_func("/vulkan/layer/killed", test_killed);
    g_test_add_func("/vulkan/layer/killed-anywhere", test_killed_anywhere);
    g_test_add_func("/vulkan/layer/too-many-processes", test_too_many_processes);
    g_test_add_func("/vulkan/layer/no-variable", test_no_variable);
    for (unsigned i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autofree char *path = g_strdup_printf("/vulkan/layer/broken-variable/%u", i);

        g_test_add_data_func(path, broken[i], test_broken_variable);
    }
    g_test_add_func("/vulkan/layer/wrong-pages", test_wrong_pages);
    g_test_add_func("/vulkan/layer/server", test_server);
    return g_test_run();
}
