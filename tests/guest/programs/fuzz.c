/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu-fuzz: chance, and one call. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>
#include <drm/virtgpu_drm.h>
#include <vgpu_drm.h>

__thread struct fuzz_thread fuzz_me;
volatile uint32_t fuzz_handles[FUZZ_SLOTS], fuzz_resources[FUZZ_SLOTS], fuzz_framebuffers[FUZZ_SLOTS];
volatile int fuzz_descriptors[FUZZ_SLOTS];
volatile int fuzz_render = -1, fuzz_card = -1;
int fuzz_common = -1;
bool fuzz_wild;

uint32_t fuzz_any(void)
{
    fuzz_me.random = fuzz_me.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(fuzz_me.random >> 32);
}

uint32_t fuzz_below(uint32_t n)
{
    return fuzz_any() % n;
}

bool fuzz_once_in(uint32_t n)
{
    return fuzz_below(n) == 0;
}

uint32_t fuzz_odd(void)
{
    static const uint32_t words[] = { 0,    1,     2,      3,      4,          0x10,       0x40,
                                      0xff, 0x100, 0x1000, 0x1001, 0x7fffffff, 0x80000000, 0xffffffff };

    return fuzz_once_in(4) ? fuzz_any() : words[fuzz_below(sizeof(words) / sizeof(words[0]))];
}

uint32_t fuzz_slot(volatile uint32_t *slots)
{
    return slots[fuzz_below(FUZZ_SLOTS)];
}

int fuzz_file(void)
{
    uint32_t which = fuzz_below(8);

    return which == 0   ? fuzz_common
           : which == 1 ? fuzz_card
           : which == 2 ? fuzz_descriptors[fuzz_below(FUZZ_SLOTS)]
                        : fuzz_render;
}

int fuzz_display(void)
{
    return fuzz_once_in(8) ? fuzz_file() : fuzz_card;
}

void fuzz_keep_descriptor(int fd)
{
    volatile int *slot = &fuzz_descriptors[fuzz_below(FUZZ_SLOTS)];

    if (*slot > 2) {
        close(*slot);
    }
    *slot = fd;
}

/*
 * Sizes that the guest could just pay are of no use here: all its memory would go
 * into one buffer.  Those that nobody can pay stay.  DRM's core allocates an array
 * for any count of syncobjs at all, and has the kernel warn where that is too large.
 */
static void bound(unsigned long request, void *argument)
{
    struct drm_virtgpu_resource_create *create = argument;
    struct drm_virtgpu_resource_create_blob *blob = argument;
    struct drm_mode_create_dumb *dumb = argument;
    struct drm_syncobj_wait *wait = argument;
    struct drm_syncobj_timeline_wait *timeline_wait = argument;
    struct drm_syncobj_array *array = argument;
    struct drm_syncobj_timeline_array *timeline_array = argument;

    switch (_IOC_NR(request)) {
    case _IOC_NR(DRM_IOCTL_VIRTGPU_RESOURCE_CREATE):
        create->size &= 0x1fffff;
        break;
    case _IOC_NR(DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB):
        blob->size &= blob->size < 1ull << 46 ? 0x1fffff : UINT64_MAX;
        break;
    case _IOC_NR(DRM_IOCTL_MODE_CREATE_DUMB):
        dumb->width &= 0x1fff;
        dumb->height &= 0xff;
        break;
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_WAIT):
        wait->count_handles &= 0xffff;
        break;
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT):
        timeline_wait->count_handles &= 0xffff;
        break;
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_RESET):
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_SIGNAL):
        array->count_handles &= 0xffff;
        break;
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_QUERY):
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL):
        timeline_array->count_handles &= 0xffff;
        break;
    }
}

int fuzz_call(int fd, unsigned long request, void *argument)
{
    uint32_t length = _IOC_SIZE(request) / 4;
    char bytes[FUZZ_BYTES] = { 0 };

    if (length && fuzz_once_in(8)) {
        ((uint32_t *)argument)[fuzz_below(length)] = fuzz_odd();
    }
    bound(request, argument);
    if (fuzz_once_in(64)) {
        /* what is too large comes back as such */
        memcpy(bytes, argument, length * 4);
        request = _IOC(_IOC_DIR(request), _IOC_TYPE(request), _IOC_NR(request), fuzz_below(FUZZ_BYTES));
        argument = bytes;
    } else if (fuzz_once_in(64)) {
        argument = fuzz_once_in(2) ? NULL : (void *)(uintptr_t)fuzz_any();
    }
    return ioctl(fd, request, argument) ? -errno : 0;
}

void fuzz_keep_handle(int fd, uint32_t handle, uint32_t resource)
{
    uint32_t slot = fuzz_below(FUZZ_SLOTS);
    struct drm_gem_close close = { .handle = fuzz_handles[slot] };

    if (close.handle && !fuzz_once_in(4)) {
        ioctl(fd, DRM_IOCTL_GEM_CLOSE, &close);
    }
    fuzz_handles[slot] = handle;
    fuzz_resources[slot] = resource;
}

int fuzz_touch(uint8_t *at, size_t length)
{
    size_t where = length > 64 ? fuzz_below((uint32_t)(length - 64)) : 0;
    char bytes[64];
    int ret = 0;

    if (write(fuzz_me.pipe[1], at + where, 64) != 64) {
        ret = -errno;
    }
    while (read(fuzz_me.pipe[0], fuzz_once_in(2) ? (void *)(at + where) : bytes, 64) > 0) {
    }
    while (read(fuzz_me.pipe[0], bytes, 64) > 0) {
    }
    return ret;
}
