/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  QEMU maps an exported file into the guest, and must know
 * where in it the memory begins.  A dmabuf begins at 0.  lavapipe's opaque
 * descriptor is a memfd whose data comes after a header, at an offset that no
 * call tells.  /proc/self/maps would, but not in a box without a /proc of ours.
 * So the file is asked: for a moment the first bytes of the memory hold a random
 * cookie, and the offset is the one where it shows up.
 *
 * Memory that is exported has usually just been made.  If the guest's GPU work
 * writes its first bytes in this very moment, that write may be lost: a guest
 * that exports memory which is in use asks for it.
 */
#include "memory.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "layer.h"
#include "vgpu/vulkan.h"

#ifndef DMA_BUF_MAGIC
#define DMA_BUF_MAGIC 0x444d4142
#endif

#define COOKIE     16u
#define PAGE_BYTES 4096u
#define LOOKS_MAX  64u /* pages of header a driver may have */

/* The offset at which the cookie is in the file; at is where it is in the memory. */
static uint64_t look(int fd, uint64_t file_size, uint64_t size, uint64_t at, const uint8_t *cookie)
{
    uint64_t pages = file_size >= size ? (file_size - size) / PAGE_BYTES : 0;

    for (uint64_t i = 0; i <= pages && i < LOOKS_MAX; i++) {
        uint8_t found[COOKIE];

        if (pread(fd, found, COOKIE, (off_t)(i * PAGE_BYTES + at)) == COOKIE &&
            !memcmp(found, cookie, COOKIE)) {
            return i * PAGE_BYTES;
        }
    }
    return VGPU_VULKAN_OFFSET_UNKNOWN;
}

uint64_t memory_find_offset(const Device *d, const VkMemoryGetFdInfoKHR *info, int fd, uint64_t size,
                            uint32_t type, void *mapped, uint64_t mapped_offset)
{
    const VkMemoryPropertyFlags needed =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    uint64_t offset = VGPU_VULKAN_OFFSET_UNKNOWN;
    uint8_t cookie[COOKIE], kept[COOKIE];
    void *data = mapped;
    struct statfs fs;
    struct stat st;

    if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0) {
        return offset;
    }
    if ((unsigned)fs.f_type == DMA_BUF_MAGIC) {
        return 0;
    }
    if (!S_ISREG(st.st_mode) || size < COOKIE || type >= d->memory_properties.memoryTypeCount ||
        (d->memory_properties.memoryTypes[type].propertyFlags & needed) != needed ||
        mapped_offset > size - COOKIE || getrandom(cookie, COOKIE, GRND_NONBLOCK) != COOKIE) {
        return offset;
    }
    if (!data && d->next.MapMemory(d->handle, info->memory, 0, VK_WHOLE_SIZE, 0, &data) != VK_SUCCESS) {
        return offset;
    }
    memcpy(kept, data, COOKIE);
    memcpy(data, cookie, COOKIE);
    __sync_synchronize();
    offset = look(fd, (uint64_t)st.st_size, size, mapped ? mapped_offset : 0, cookie);
    memcpy(data, kept, COOKIE);
    if (!mapped) {
        d->next.UnmapMemory(d->handle, info->memory);
    }
    return offset;
}
