/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that is a file of ours, which the driver imports by its address
 * (VK_EXT_external_memory_host): what a guest may map where the driver's own memory
 * cannot be shared, see driver.h.  Its type is one of the host's memory; those of the
 * GPU's own that the host could map are shown as ones that it cannot (heaps.c).
 */
#ifndef VGPU_LAYER_OWN_FILE_H
#define VGPU_LAYER_OWN_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

typedef struct Device Device;

typedef struct OwnFile {
    int fd; /* -1: there is none */
    void *data;
    uint64_t size;
} OwnFile;

#define OWN_FILE_NONE ((OwnFile){ .fd = -1 })

/* These names and ours, to free; NULL: no memory. */
const char **own_file_extensions(const VkDeviceCreateInfo *info);

/* Visible memory that is to be exported. */
bool own_file_wanted(const Device *d, const VkMemoryAllocateInfo *info);

/*
 * vkAllocateMemory; info's size in whole pages.  The second makes it of the descriptor
 * in there, which is of such a file, and gone when that succeeds.
 */
VkResult own_file_allocate(const Device *d, const VkMemoryAllocateInfo *info,
                           const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory, OwnFile *file);
VkResult own_file_import(const Device *d, const VkMemoryAllocateInfo *info,
                         const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory, OwnFile *file);

/* After the memory is freed; of none, too. */
void own_file_free(OwnFile *file);

/* A descriptor of it, the caller's; -1: there is none left. */
int own_file_export(const OwnFile *file);

#endif
