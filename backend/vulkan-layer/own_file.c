/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "own_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"

#define PAGE_BYTES 4096u

const char **own_file_extensions(const VkDeviceCreateInfo *info)
{
    uint32_t n = info->enabledExtensionCount;
    const char **names = malloc((n + 1) * sizeof(*names));

    if (!names) {
        return NULL;
    }
    names[n] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    for (uint32_t i = 0; i < n; i++) {
        names[i] = info->ppEnabledExtensionNames[i];
        if (!strcmp(names[i], names[n])) {
            names[n] = names[i]; /* twice is allowed */
        }
    }
    return names;
}

static VkExportMemoryAllocateInfo *export_of(const VkMemoryAllocateInfo *info)
{
    return (VkExportMemoryAllocateInfo *)chain_find(info->pNext,
                                                    VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO);
}

static VkImportMemoryFdInfoKHR *import_of(const VkMemoryAllocateInfo *info)
{
    return (VkImportMemoryFdInfoKHR *)chain_find(info->pNext, VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR);
}

bool own_file_wanted(const Device *d, const VkMemoryAllocateInfo *info)
{
    const VkPhysicalDeviceMemoryProperties *p = &d->memory_properties;
    const VkExportMemoryAllocateInfo *export = export_of(info);

    return d->own_files && export && export->handleTypes && info->memoryTypeIndex < p->memoryTypeCount &&
           (p->memoryTypes[info->memoryTypeIndex].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
}

/* Nobody who is given it can make it smaller. */
static bool make(OwnFile *file, uint64_t size)
{
    *file = (OwnFile){ .fd = memfd_create("vgpu-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING), .size = size };
    file->data = MAP_FAILED;
    if (file->fd >= 0 && ftruncate(file->fd, (off_t)size) == 0 &&
        fcntl(file->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        file->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    }
    if (file->data == MAP_FAILED) {
        file->data = NULL;
        own_file_free(file);
        return false;
    }
    return true;
}

/* The driver takes it as memory of that type. */
static bool can_import(const Device *d, const OwnFile *file, uint32_t type)
{
    VkMemoryHostPointerPropertiesEXT p = { .sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT };

    return d->next.GetMemoryHostPointerPropertiesEXT(d->handle,
                                                     VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
                                                     file->data, &p) == VK_SUCCESS &&
           (p.memoryTypeBits & (1u << type));
}

/*
 * The driver makes memory of the file.  What the caller wants of descriptors is done
 * here: its structures say nothing of them meanwhile, and are as they were when we return.
 */
static VkResult allocate(const Device *d, const VkMemoryAllocateInfo *info,
                         const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory, const OwnFile *file)
{
    VkExportMemoryAllocateInfo none = { 0 }, *export = export_of(info);
    VkImportMemoryFdInfoKHR no_fd = { 0 }, *fd = import_of(info);
    VkExternalMemoryHandleTypeFlags types;
    VkExternalMemoryHandleTypeFlagBits type;
    VkImportMemoryHostPointerInfoEXT import = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .pNext = info->pNext,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
        .pHostPointer = file->data,
    };
    VkMemoryAllocateInfo ours = *info;
    VkResult result;

    if (!can_import(d, file, info->memoryTypeIndex)) {
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
    export = export ? export : &none;
    fd = fd ? fd : &no_fd;
    types = export->handleTypes;
    type = fd->handleType;
    export->handleTypes = 0;
    fd->handleType = 0;
    ours.pNext = &import;
    ours.allocationSize = file->size;
    result = d->next.AllocateMemory(d->handle, &ours, callbacks, memory);
    export->handleTypes = types;
    fd->handleType = type;
    return result;
}

VkResult own_file_allocate(const Device *d, const VkMemoryAllocateInfo *info,
                           const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory, OwnFile *file)
{
    VkResult result;

    if (!make(file, info->allocationSize)) {
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    }
    result = allocate(d, info, callbacks, memory, file);
    if (result != VK_SUCCESS) {
        own_file_free(file);
    }
    return result;
}

/* False: it is none of ours, or too small. */
static bool map(OwnFile *file, int fd, uint64_t size)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    size = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES; /* as much as it was charged as */
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || (uint64_t)st.st_size < size) {
        return false;
    }
    *file = (OwnFile){ .fd = fd, .size = size };
    file->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return file->data != MAP_FAILED;
}

VkResult own_file_import(const Device *d, const VkMemoryAllocateInfo *info,
                         const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory, OwnFile *file)
{
    VkResult result;

    if (!map(file, import_of(info)->fd, info->allocationSize)) {
        *file = OWN_FILE_NONE;
        return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    }
    result = allocate(d, info, callbacks, memory, file);
    if (result != VK_SUCCESS) {
        munmap(file->data, file->size); /* the descriptor is still the caller's */
        *file = OWN_FILE_NONE;
    }
    return result;
}

void own_file_free(OwnFile *file)
{
    if (file->data) {
        munmap(file->data, file->size);
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    *file = OWN_FILE_NONE;
}

int own_file_export(const OwnFile *file)
{
    return fcntl(file->fd, F_DUPFD_CLOEXEC, 3);
}
