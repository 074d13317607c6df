/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Vulkan layer's books with a real driver (lavapipe): what is charged and
 * refunded, what exports and imports hold, and the size of the heaps.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "card.h"
#include "vulkan_host.h"

#define KIB 1024ull

static void assert_used(VulkanHost *h, uint64_t bytes)
{
    g_assert_cmpuint(vulkan_host_used(h), ==, bytes);
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
    vulkan_host_adopt(h, fd);
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
            blob = vulkan_host_adopt(h, fd);
            vkFreeMemory(card.device, memory, NULL);
            assert_used(h, 40 * MIB);
            vulkan_books_blob_gone(&h->books, blob.entry);
            break;
        case 1:
            vkFreeMemory(card.device, memory, NULL);
            assert_used(h, 40 * MIB);
            blob = vulkan_host_adopt(h, fd);
            assert_used(h, 40 * MIB);
            vulkan_books_blob_gone(&h->books, blob.entry);
            break;
        default:
            blob = vulkan_host_adopt(h, fd);
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
    a = vulkan_host_adopt(h, first);
    vulkan_books_blob_gone(&h->books, a.entry);
    assert_used(h, 3 * MIB);
    b = vulkan_host_adopt(h, second);
    vulkan_books_blob_gone(&h->books, b.entry);
    assert_used(h, 0);
    card_close(&card);
}

/* The file shows at offset what the memory holds. */
static void check_offset(VulkanHost *h, const Card *card, VkDeviceMemory memory, uint64_t size)
{
    int fd = card_export(card, memory);
    VulkanBlob blob = vulkan_host_adopt(h, fd);
    uint32_t *mapped, *file;
    void *p;

    g_assert_cmpuint(blob.offset, !=, VGPU_VULKAN_OFFSET_UNKNOWN);
    if (g_strcmp0(g_getenv("VGPU_VULKAN_DRIVER"), "nvidia") == 0) {
        g_assert_cmpuint(blob.offset, ==, 0); /* a file of the layer's, lavapipe's have a header */
    }
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
        VulkanBlob blob = vulkan_host_adopt(h, fd);

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
    vulkan_host_adopt(h, fd);
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
    g_assert_cmpint(vulkan_host_adopt(h, fd).entry, ==, 1);
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
    vulkan_host_adopt(h, fd);
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

int main(int argc, char **argv)
{
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

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(programs); i++) {
        g_autofree char *path = g_strdup_printf("/vulkan/memory/%s", programs[i].name);

        g_test_add_data_func(path, (gconstpointer)programs[i].program, run);
    }
    return g_test_run();
}
