/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/sync_file.h>
#include <xf86drm.h>

/* Of virgl's protocol, which has no header in Debian. */
#define VIRGL_CCMD_RESOURCE_INLINE_WRITE 9
#define VIRGL_FORMAT_R8_UNORM            64
#define VIRGL_BIND_VERTEX_BUFFER         (1u << 4)
#define PIPE_BUFFER                      0

void raw_failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

int raw_call(int fd, unsigned long request, void *argument)
{
    return drmIoctl(fd, request, argument) ? -errno : 0;
}

int raw_open(void)
{
    char path[32];
    int fd = -1;

    /* who wants another one than the first hides the others */
    for (int minor = 128; fd < 0 && minor < 136; minor++) {
        snprintf(path, sizeof(path), "/dev/dri/renderD%d", minor);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT) {
            raw_failed(path);
        }
    }
    if (fd < 0) {
        raw_failed("/dev/dri/renderD*");
    }
    return fd;
}

int raw_buffer(int fd, uint32_t size, struct raw_buffer *b)
{
    struct drm_virtgpu_resource_create create = {
        .target = PIPE_BUFFER,
        .format = VIRGL_FORMAT_R8_UNORM,
        .bind = VIRGL_BIND_VERTEX_BUFFER,
        .width = size,
        .height = 1,
        .depth = 1,
        .array_size = 1,
        .size = size,
    };
    int ret = raw_call(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, &create);

    *b = (struct raw_buffer){ .handle = create.bo_handle, .resource = create.res_handle, .size = size };
    return ret;
}

void raw_map(int fd, struct raw_buffer *b)
{
    struct drm_virtgpu_map map = { .handle = b->handle };

    if (drmIoctl(fd, DRM_IOCTL_VIRTGPU_MAP, &map)) {
        raw_failed("MAP");
    }
    b->words = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.offset);
    if (b->words == MAP_FAILED) {
        raw_failed("mmap");
    }
}

void raw_close(int fd, uint32_t handle)
{
    struct drm_gem_close close = { .handle = handle };

    if (drmIoctl(fd, DRM_IOCTL_GEM_CLOSE, &close)) {
        raw_failed("GEM_CLOSE");
    }
}

int raw_submit(int fd, const struct raw_submit *s)
{
    static const uint32_t nothing[1];
    struct drm_virtgpu_execbuffer_syncobj out = { .handle = s->timeline, .point = s->point };
    struct drm_virtgpu_execbuffer submit = {
        .flags = s->fence ? VIRTGPU_EXECBUF_FENCE_FD_OUT : 0,
        .size = s->commands ? s->count * 4 : sizeof(nothing),
        .command = (uintptr_t)(s->commands ?: nothing),
        .bo_handles = (uintptr_t)&s->handle,
        .num_bo_handles = s->handle ? 1 : 0,
        .fence_fd = -1,
        .syncobj_stride = sizeof(out),
        .num_out_syncobjs = s->timeline ? 1 : 0,
        .out_syncobjs = (uintptr_t)&out,
    };
    int ret = raw_call(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &submit);

    if (ret) {
        return ret;
    }
    return s->fence ? submit.fence_fd : 0;
}

uint32_t raw_write(uint32_t *commands, const struct raw_buffer *b, const uint32_t *words, uint32_t count)
{
    uint32_t head[RAW_WRITE_HEAD] = {
        VIRGL_CCMD_RESOURCE_INLINE_WRITE | (RAW_WRITE_HEAD - 1 + count) << 16,
        b->resource,
        0, /* level */
        0, /* usage */
        0, /* stride */
        0, /* layer stride */
        0, /* x */
        0, /* y */
        0, /* z */
        count * 4,
        1,
        1,
    };

    memcpy(commands, head, sizeof(head));
    memcpy(commands + RAW_WRITE_HEAD, words, count * 4);
    return RAW_WRITE_HEAD + count;
}

int raw_transfer(int fd, const struct raw_buffer *b, bool to_host)
{
    struct drm_virtgpu_3d_transfer_to_host to = {
        .bo_handle = b->handle,
        .box = { .w = b->size, .h = 1, .d = 1 },
    };
    struct drm_virtgpu_3d_transfer_from_host from = { .bo_handle = to.bo_handle, .box = to.box };

    return to_host ? raw_call(fd, DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST, &to)
                   : raw_call(fd, DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST, &from);
}

int raw_wait(int fd, uint32_t handle)
{
    struct drm_virtgpu_3d_wait wait = { .handle = handle };

    return raw_call(fd, DRM_IOCTL_VIRTGPU_WAIT, &wait);
}

bool raw_fence(int fence, int ms, int *status)
{
    struct sync_file_info info = { 0 };
    struct pollfd p = { .fd = fence, .events = POLLIN };

    if (poll(&p, 1, ms) != 1 || ioctl(fence, SYNC_IOC_FILE_INFO, &info)) {
        return false;
    }
    *status = info.status;
    return true;
}
