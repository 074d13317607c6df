/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  What a VkDeviceMemory costs is allocationSize in whole
 * pages, for each physical device that gets an instance of it.  Memory made of a
 * descriptor that the books know costs nothing and holds on to what it is made
 * of; one that they do not know is charged like any other, since a context
 * process can make such a file itself and import it.
 *
 * The charge moves to an entry of the books when vkGetMemoryFdKHR gives a
 * descriptor out, or at once where memory is made of a descriptor: then the file
 * may become a blob without our being asked.
 *
 * A handle's record is made after the driver has made the handle and taken away
 * before the driver frees it, so that a handle value that is used again at once
 * finds no old record.
 */
#include "memory.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"
#include "own_file.h"
#include "process.h"

#define PAGE_BYTES 4096u

typedef struct Memory {
    struct Memory *next;
    VkDeviceMemory handle;
    uint64_t size;    /* allocationSize */
    uint64_t charged; /* bytes, by whoever holds them */
    int entry;        /* of the books, that holds charged; or VULKAN_BOOKS_UNKNOWN: our slot does */
    int import;       /* of the books; or VULKAN_BOOKS_UNKNOWN */
    OwnFile own;      /* that it is, where the driver's cannot be shared */
    uint32_t type;
    void *mapped; /* by the guest, from mapped_offset on */
    uint64_t mapped_offset;
} Memory;

void memories_init(Memories *m)
{
    pthread_mutex_init(&m->lock, NULL);
}

/* ---- what it costs ---- */

static uint64_t instances(const Device *d, const VkMemoryAllocateInfo *info)
{
    const VkMemoryAllocateFlagsInfo *flags =
        chain_find(info->pNext, VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO);
    const VkPhysicalDeviceMemoryProperties *p = &d->memory_properties;
    uint32_t all = d->group_size < 32 ? (1u << d->group_size) - 1 : UINT32_MAX, mask = all;

    if (d->group_size < 2 || info->memoryTypeIndex >= p->memoryTypeCount ||
        !(p->memoryHeaps[p->memoryTypes[info->memoryTypeIndex].heapIndex].flags &
          VK_MEMORY_HEAP_MULTI_INSTANCE_BIT)) {
        return 1;
    }
    if (flags && (flags->flags & VK_MEMORY_ALLOCATE_DEVICE_MASK_BIT) && (flags->deviceMask & all)) {
        mask &= flags->deviceMask;
    }
    return (uint64_t)__builtin_popcount(mask);
}

/* UINT64_MAX, which no slice has, where it is more than that. */
static uint64_t price(const Device *d, const VkMemoryAllocateInfo *info)
{
    uint64_t bytes;

    if (__builtin_add_overflow(info->allocationSize, PAGE_BYTES - 1, &bytes) ||
        __builtin_mul_overflow(bytes / PAGE_BYTES * PAGE_BYTES, instances(d, info), &bytes)) {
        return UINT64_MAX;
    }
    return bytes;
}

static bool file_of(int fd, VulkanFile *f)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return false;
    }
    *f = (VulkanFile){ .dev = st.st_dev, .ino = st.st_ino, .offset = VGPU_VULKAN_OFFSET_UNKNOWN };
    return true;
}

/* The descriptor that it is made of. */
static bool imported_file(const VkMemoryAllocateInfo *info, VulkanFile *f)
{
    const VkImportMemoryFdInfoKHR *import =
        chain_find(info->pNext, VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);

    return import && import->handleType && file_of(import->fd, f);
}

/* ---- the charge ---- */

static VkResult charge(const Device *d, const VkMemoryAllocateInfo *info, const VulkanFile *file, Memory *m)
{
    if (file) {
        m->import = vulkan_books_import(&process.books, process.slot, file);
        if (m->import >= 0) {
            return VK_SUCCESS;
        }
        if (m->import == VULKAN_BOOKS_FULL) {
            return VK_ERROR_TOO_MANY_OBJECTS;
        }
    }
    m->charged = price(d, info);
    if (!vulkan_books_charge(&process.books, process.slot, m->charged)) {
        process_say_refused(m->charged);
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
    return VK_SUCCESS;
}

static void refund(const Memory *m)
{
    if (m->import >= 0) {
        vulkan_books_drop_import(&process.books, m->import);
    } else if (m->entry >= 0) {
        vulkan_books_release(&process.books, m->entry);
    } else {
        vulkan_books_refund(&process.books, process.slot, m->charged);
    }
}

/* ---- the records ---- */

static Memory **bucket(Memories *all, VkDeviceMemory handle)
{
    uint64_t hash = (uint64_t)handle * 0x9e3779b97f4a7c15ull;

    return &all->buckets[hash >> 56];
}

/* Lock held. */
static Memory *find(Memories *all, VkDeviceMemory handle)
{
    Memory *m = *bucket(all, handle);

    while (m && m->handle != handle) {
        m = m->next;
    }
    return m;
}

static Memory *take(Memories *all, VkDeviceMemory handle)
{
    Memory **at, *m;

    pthread_mutex_lock(&all->lock);
    for (at = bucket(all, handle); (m = *at) && m->handle != handle; at = &m->next) {
    }
    if (m) {
        *at = m->next;
    }
    pthread_mutex_unlock(&all->lock);
    return m;
}

void memories_finish(Memories *all)
{
    for (unsigned i = 0; i < MEMORIES_BUCKETS; i++) {
        Memory *m;

        while ((m = all->buckets[i])) {
            all->buckets[i] = m->next;
            own_file_free(&m->own);
            refund(m);
            free(m);
        }
    }
    pthread_mutex_destroy(&all->lock);
}

/*
 * What is exported is mapped in whole pages, and lavapipe's file ends where the
 * memory does: the last page would be refused by who looks at the file's size.
 */
static VkMemoryAllocateInfo in_whole_pages(const VkMemoryAllocateInfo *info)
{
    const VkExportMemoryAllocateInfo *exported =
        chain_find(info->pNext, VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
    VkMemoryAllocateInfo whole = *info;

    if (exported && exported->handleTypes && whole.allocationSize <= UINT64_MAX - PAGE_BYTES) {
        whole.allocationSize = (whole.allocationSize + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    }
    return whole;
}

VKAPI_ATTR VkResult VKAPI_CALL memory_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory)
{
    Device *d = device_of(device);
    Memory *m = malloc(sizeof(*m));
    VulkanFile file;
    bool imported = imported_file(info, &file); /* now: the driver closes it */
    VkMemoryAllocateInfo whole = in_whole_pages(info);
    VkResult result;
    Memory **at;

    if (!m) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    *m = (Memory){
        .size = info->allocationSize,
        .entry = VULKAN_BOOKS_UNKNOWN,
        .import = VULKAN_BOOKS_UNKNOWN,
        .own = OWN_FILE_NONE,
        .type = info->memoryTypeIndex,
    };
    result = charge(d, info, imported ? &file : NULL, m);
    if (result != VK_SUCCESS) {
        free(m);
        return result;
    }
    if (imported && d->own_files) {
        result = own_file_import(d, &whole, callbacks, memory, &m->own);
    } else if (!imported && own_file_wanted(d, info)) {
        result = own_file_allocate(d, &whole, callbacks, memory, &m->own);
    } else {
        result = d->next.AllocateMemory(device, imported ? info : &whole, callbacks, memory);
    }
    if (result != VK_SUCCESS) {
        refund(m);
        free(m);
        return result;
    }
    if (imported && m->import < 0) {
        m->entry = vulkan_books_export(&process.books, process.slot, m->charged, &file, false);
    }
    m->handle = *memory;
    pthread_mutex_lock(&d->memories.lock);
    at = bucket(&d->memories, m->handle);
    m->next = *at;
    *at = m;
    pthread_mutex_unlock(&d->memories.lock);
    return result;
}

VKAPI_ATTR void VKAPI_CALL memory_free(VkDevice device, VkDeviceMemory memory,
                                       const VkAllocationCallbacks *callbacks)
{
    Device *d = device_of(device);
    Memory *m = memory ? take(&d->memories, memory) : NULL;

    d->next.FreeMemory(device, memory, callbacks);
    if (m) {
        own_file_free(&m->own);
        refund(m);
        free(m);
    }
}

/* ---- given to others ---- */

/* Lock held.  The books know of the descriptor, or it must not be given out. */
static bool book_export(const Device *d, Memory *m, const VkMemoryGetFdInfoKHR *info, int fd)
{
    VulkanFile file;

    if (m->import >= 0) {
        return true; /* its file has an entry, which this memory holds */
    }
    if (!file_of(fd, &file)) {
        return false;
    }
    file.offset =
        m->own.fd >= 0 ? 0 : memory_find_offset(d, info, fd, m->size, m->type, m->mapped, m->mapped_offset);
    if (m->entry >= 0) {
        return vulkan_books_export_again(&process.books, m->entry, &file);
    }
    m->entry = vulkan_books_export(&process.books, process.slot, m->charged, &file, true);
    return m->entry >= 0;
}

/* Where files of ours are what is shared, the driver's own descriptors all look the same to the books. */
static VkResult make_fd(const Device *d, const Memory *m, const VkMemoryGetFdInfoKHR *info, int *fd)
{
    if (m && m->own.fd >= 0) {
        *fd = own_file_export(&m->own);
        return *fd < 0 ? VK_ERROR_TOO_MANY_OBJECTS : VK_SUCCESS;
    }
    return d->own_files ? VK_ERROR_TOO_MANY_OBJECTS : d->next.GetMemoryFdKHR(d->handle, info, fd);
}

VKAPI_ATTR VkResult VKAPI_CALL memory_get_fd(VkDevice device, const VkMemoryGetFdInfoKHR *info, int *fd)
{
    Device *d = device_of(device);
    VkResult result;
    Memory *m;

    pthread_mutex_lock(&d->memories.lock);
    m = find(&d->memories, info->memory);
    result = make_fd(d, m, info, fd);
    if (result == VK_SUCCESS && (!m || !book_export(d, m, info, *fd))) {
        close(*fd);
        *fd = -1;
        result = VK_ERROR_TOO_MANY_OBJECTS;
    }
    pthread_mutex_unlock(&d->memories.lock);
    return result;
}

/* ---- mapped by the guest: we cannot map it a second time ---- */

static void note_map(Device *d, VkDeviceMemory memory, void *mapped, uint64_t offset)
{
    Memory *m = find(&d->memories, memory);

    if (m) {
        m->mapped = mapped;
        m->mapped_offset = offset;
    }
}

VKAPI_ATTR VkResult VKAPI_CALL memory_map(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset,
                                          VkDeviceSize size, VkMemoryMapFlags flags, void **data)
{
    Device *d = device_of(device);
    VkResult result;

    pthread_mutex_lock(&d->memories.lock);
    result = d->next.MapMemory(device, memory, offset, size, flags, data);
    if (result == VK_SUCCESS) {
        note_map(d, memory, *data, offset);
    }
    pthread_mutex_unlock(&d->memories.lock);
    return result;
}

VKAPI_ATTR void VKAPI_CALL memory_unmap(VkDevice device, VkDeviceMemory memory)
{
    Device *d = device_of(device);

    pthread_mutex_lock(&d->memories.lock);
    note_map(d, memory, NULL, 0);
    d->next.UnmapMemory(device, memory);
    pthread_mutex_unlock(&d->memories.lock);
}

VKAPI_ATTR VkResult VKAPI_CALL memory_map2(VkDevice device, const VkMemoryMapInfo *info, void **data)
{
    Device *d = device_of(device);
    VkResult result;

    pthread_mutex_lock(&d->memories.lock);
    result = d->next.MapMemory2(device, info, data);
    if (result == VK_SUCCESS) {
        note_map(d, info->memory, *data, info->offset);
    }
    pthread_mutex_unlock(&d->memories.lock);
    return result;
}

VKAPI_ATTR VkResult VKAPI_CALL memory_unmap2(VkDevice device, const VkMemoryUnmapInfo *info)
{
    Device *d = device_of(device);
    VkResult result;

    pthread_mutex_lock(&d->memories.lock);
    note_map(d, info->memory, NULL, 0);
    result = d->next.UnmapMemory2(device, info);
    pthread_mutex_unlock(&d->memories.lock);
    return result;
}
