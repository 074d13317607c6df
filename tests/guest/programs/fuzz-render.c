/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu-fuzz: calls of rendering, and those of buffers that all drivers have. */
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

#define CAPSET_VIRGL2 2
#define CAPSET_VENUS  4

static volatile uint32_t syncobjs[FUZZ_SLOTS];

/* Bytes that the guest can pay; now and then more than there are anywhere. */
static uint64_t size(void)
{
    static const uint64_t absurd[] = { 0, 1, 1ull << 46, 1ull << 62, 0x7fffffffffffffff, 0xffffffffffffffff };

    return fuzz_once_in(32) ? absurd[fuzz_below(6)]
                            : 4096ull * (1 + fuzz_below(fuzz_once_in(16) ? 512 : 16)) -
                                  (fuzz_once_in(4) ? fuzz_below(4096) : 0);
}

/* ------------------------------------------------------------ rendering */

static int getparam(void)
{
    uint64_t value[2] = { 0 };
    struct drm_virtgpu_getparam p = { .param = fuzz_below(12), .value = (uintptr_t)value };

    return fuzz_call(fuzz_file(), DRM_IOCTL_VIRTGPU_GETPARAM, &p);
}

static int get_caps(void)
{
    char caps[FUZZ_BYTES];
    struct drm_virtgpu_get_caps g = {
        .cap_set_id = fuzz_once_in(2) ? fuzz_below(20) : CAPSET_VIRGL2,
        .cap_set_ver = fuzz_below(3),
        .addr = (uintptr_t)caps,
        .size = fuzz_below(FUZZ_BYTES),
    };

    return fuzz_call(fuzz_file(), DRM_IOCTL_VIRTGPU_GET_CAPS, &g);
}

static int context_init(void)
{
    static const char name[] =
        "a name that is longer than what there is room for, which is 64 bytes with its end";
    struct drm_virtgpu_context_set_param params[5] = {
        { VIRTGPU_CONTEXT_PARAM_CAPSET_ID, fuzz_once_in(2) ? CAPSET_VENUS : CAPSET_VIRGL2 },
        { VIRTGPU_CONTEXT_PARAM_NUM_RINGS, fuzz_below(66) },
        { VIRTGPU_CONTEXT_PARAM_POLL_RINGS_MASK, fuzz_once_in(2) ? fuzz_any() : 1 },
        { 4 /* DEBUG_NAME */, (uintptr_t)name },
        { fuzz_odd(), fuzz_odd() },
    };
    struct drm_virtgpu_context_init init = { .num_params = fuzz_below(5),
                                             .ctx_set_params = (uintptr_t)params };
    int fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC | O_NONBLOCK), old = fuzz_render, ret;

    if (fd < 0) {
        return -errno;
    }
    ret = fuzz_call(fd, DRM_IOCTL_VIRTGPU_CONTEXT_INIT, &init);
    /* under the feet of the other threads */
    if (fuzz_once_in(4)) {
        fuzz_render = fd;
        fd = old;
    }
    if (fd >= 0) {
        close(fd);
    }
    return ret;
}

static int create(void)
{
    bool texture = fuzz_once_in(2);
    struct drm_virtgpu_resource_create c = {
        .target = texture           ? 2
                  : fuzz_once_in(8) ? fuzz_below(10)
                                    : 0,
        .format = texture           ? 1
                  : fuzz_once_in(8) ? fuzz_below(200)
                                    : 64,
        .bind = fuzz_once_in(8) ? fuzz_any()
                : texture       ? 2
                                : 16,
        .width = 1 + fuzz_below(256),
        .height = texture ? 1 + fuzz_below(256) : 1,
        .depth = fuzz_once_in(16) ? fuzz_odd() : 1,
        .array_size = fuzz_once_in(16) ? fuzz_odd() : 1,
        .size = (uint32_t)size() & 0xfffff,
    };
    int fd = fuzz_file(), ret = fuzz_call(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE, &c);

    if (!ret) {
        fuzz_keep_handle(fd, c.bo_handle, c.res_handle);
    }
    return ret;
}

static int create_blob(void)
{
    uint32_t nop[16] = { 0 };
    struct drm_virtgpu_resource_create_blob c = {
        .blob_mem = fuzz_once_in(16) ? fuzz_odd() : 1 + fuzz_below(3),
        .blob_flags = fuzz_below(fuzz_once_in(16) ? 16 : 4),
        .size = size(),
        .cmd_size = fuzz_once_in(4) ? 4 * fuzz_below(16) : 0,
        .cmd = (uintptr_t)nop,
        .blob_id = fuzz_once_in(4) ? fuzz_odd() : 0, /* 0: memory of the host's, in contexts of venus */
    };
    int fd = fuzz_file(), ret = fuzz_call(fd, DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB, &c);

    if (!ret) {
        fuzz_keep_handle(fd, c.bo_handle, c.res_handle);
    }
    return ret;
}

static int resource_info(void)
{
    struct drm_virtgpu_resource_info i = { .bo_handle = fuzz_slot(fuzz_handles) };

    return fuzz_call(fuzz_file(), DRM_IOCTL_VIRTGPU_RESOURCE_INFO, &i);
}

static int transfer(void)
{
    struct drm_virtgpu_3d_transfer_to_host t = {
        .bo_handle = fuzz_slot(fuzz_handles),
        .box = { 0, 0, 0, 1 + fuzz_below(64), 1, 1 },
        .offset = fuzz_once_in(8) ? fuzz_odd() : 0,
        .stride = fuzz_once_in(8) ? fuzz_odd() : 0,
    };

    return fuzz_call(
        fuzz_file(),
        fuzz_once_in(2) ? DRM_IOCTL_VIRTGPU_TRANSFER_TO_HOST : DRM_IOCTL_VIRTGPU_TRANSFER_FROM_HOST, &t);
}

static int wait_for_handle(void)
{
    struct drm_virtgpu_3d_wait w = { .handle = fuzz_slot(fuzz_handles),
                                     .flags = fuzz_once_in(4) ? 0 : VIRTGPU_WAIT_NOWAIT };

    return fuzz_call(fuzz_file(), DRM_IOCTL_VIRTGPU_WAIT, &w);
}

static int reset_status(void)
{
    struct drm_vgpu_reset_status s;

    return fuzz_call(fuzz_file(), DRM_IOCTL_VGPU_RESET_STATUS, &s);
}

/* Words of virgl's protocol: nothing, a write into a buffer, or whatever comes. */
static uint32_t commands(uint32_t *words, uint32_t most)
{
    uint32_t n = fuzz_below(most - 1) + 1;

    memset(words, 0, most * 4);
    if (most >= 16 && fuzz_once_in(2)) {
        uint32_t write[] = {
            9 | 15 << 16, fuzz_slot(fuzz_resources), 0, 0, 0, 0, 0, 0, 0, 16, 1, 1, 1, 2, 3, 4
        };

        memcpy(words, write, sizeof(write));
        return 16;
    }
    for (uint32_t i = 0; fuzz_wild && fuzz_once_in(8) && i < n;) {
        uint32_t length = fuzz_below(24);

        words[i++] = fuzz_below(60) | fuzz_below(12) << 8 | length << 16;
        for (; length && i < n; length--) {
            words[i++] = fuzz_once_in(2) ? fuzz_slot(fuzz_resources) : fuzz_odd();
        }
    }
    return n;
}

static int execbuffer(void)
{
    uint32_t words[256], bos[4];
    struct drm_virtgpu_execbuffer_syncobj in[2], out[2];
    struct drm_virtgpu_execbuffer e = {
        .flags = fuzz_once_in(16) ? fuzz_odd() : fuzz_below(8),
        .size = 4 * commands(words, 256),
        .command = (uintptr_t)words,
        .bo_handles = (uintptr_t)bos,
        .num_bo_handles = fuzz_once_in(64) ? fuzz_odd() : fuzz_below(5),
        .fence_fd = fuzz_descriptors[fuzz_below(FUZZ_SLOTS)],
        .ring_idx = fuzz_below(4),
        .syncobj_stride = fuzz_once_in(16) ? fuzz_odd() : sizeof(in[0]),
        .num_in_syncobjs = fuzz_once_in(4) ? fuzz_below(3) : 0,
        .num_out_syncobjs = fuzz_once_in(4) ? fuzz_below(3) : 0,
        .in_syncobjs = (uintptr_t)in,
        .out_syncobjs = (uintptr_t)out,
    };
    int ret;

    if (!fuzz_once_in(4)) {
        e.flags &= VIRTGPU_EXECBUF_FENCE_FD_OUT;
        e.ring_idx = 0;
    }
    for (unsigned i = 0; i < 4; i++) {
        bos[i] = fuzz_slot(fuzz_handles);
    }
    for (unsigned i = 0; i < 2; i++) {
        in[i] = (struct drm_virtgpu_execbuffer_syncobj){ fuzz_slot(syncobjs), fuzz_below(2),
                                                         fuzz_once_in(2) ? 0 : fuzz_below(100) };
        out[i] = (struct drm_virtgpu_execbuffer_syncobj){ fuzz_slot(syncobjs), 0,
                                                          fuzz_once_in(2) ? 0 : fuzz_below(100) };
    }
    ret = fuzz_call(fuzz_file(), DRM_IOCTL_VIRTGPU_EXECBUFFER, &e);
    if (!ret && e.flags & VIRTGPU_EXECBUF_FENCE_FD_OUT && e.fence_fd > 2) {
        fuzz_keep_descriptor(e.fence_fd);
    }
    return ret;
}

static int map(void)
{
    struct drm_virtgpu_map m = { .handle = fuzz_slot(fuzz_handles) };
    int fd = fuzz_file(), ret = fuzz_call(fd, DRM_IOCTL_VIRTGPU_MAP, &m);
    size_t length = 4096u * (1 + fuzz_below(fuzz_once_in(4) ? 64 : 2));
    uint8_t *at;

    if (ret) {
        return ret;
    }
    at = mmap(NULL, length, PROT_READ | (fuzz_once_in(8) ? 0 : PROT_WRITE),
              fuzz_once_in(8) ? MAP_PRIVATE : MAP_SHARED, fd,
              (off_t)(m.offset + 4096u * (fuzz_once_in(4) ? fuzz_below(16) : 0)));
    if (at == MAP_FAILED) {
        return -errno;
    }
    ret = fuzz_touch(at, length);
    if (fuzz_once_in(4)) {
        munmap(at + 4096, 4096); /* in two */
    }
    if (fuzz_once_in(8)) {
        madvise(at, length, MADV_DONTNEED);
        fuzz_touch(at, length);
    }
    munmap(at, length);
    return ret;
}

/* -------------------------------------------------- what all drivers have */

static int gem_close(void)
{
    uint32_t slot = fuzz_below(FUZZ_SLOTS);
    struct drm_gem_close c = { .handle = fuzz_handles[slot] };

    fuzz_handles[slot] = 0;
    return fuzz_call(fuzz_file(), DRM_IOCTL_GEM_CLOSE, &c);
}

static int prime_export(void)
{
    struct drm_prime_handle p = { .handle = fuzz_slot(fuzz_handles),
                                  .flags = DRM_CLOEXEC | (fuzz_once_in(4) ? 0 : DRM_RDWR) };
    int ret = fuzz_call(fuzz_file(), DRM_IOCTL_PRIME_HANDLE_TO_FD, &p);

    if (!ret && p.fd > 2) {
        uint8_t *at =
            fuzz_once_in(2) ? mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p.fd, 0) : MAP_FAILED;

        if (at != MAP_FAILED) {
            fuzz_touch(at, 4096);
            munmap(at, 4096);
        }
        fuzz_keep_descriptor(p.fd);
    }
    return ret;
}

static int prime_import(void)
{
    struct drm_prime_handle p = { .fd = fuzz_descriptors[fuzz_below(FUZZ_SLOTS)] };
    int fd = fuzz_file(), ret = fuzz_call(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &p);

    if (!ret) {
        fuzz_keep_handle(fd, p.handle, 0);
    }
    return ret;
}

static int syncobj(void)
{
    uint32_t of[2] = { fuzz_slot(syncobjs), fuzz_slot(syncobjs) };
    uint64_t points[2] = { fuzz_below(100), fuzz_below(100) };
    struct drm_syncobj_create c = { .flags = fuzz_below(2) };
    struct drm_syncobj_timeline_wait w = {
        .handles = (uintptr_t)of,
        .points = (uintptr_t)points,
        .timeout_nsec = 1,
        .count_handles = fuzz_below(3),
        .flags = fuzz_below(8),
    };
    struct drm_syncobj_timeline_array a = { (uintptr_t)of, (uintptr_t)points, fuzz_below(3), 0 };
    struct drm_syncobj_handle h = { .handle = of[0],
                                    .flags = fuzz_below(2),
                                    .fd = fuzz_descriptors[fuzz_below(FUZZ_SLOTS)] };
    struct drm_syncobj_destroy d = { .handle = of[0] };
    int fd = fuzz_file(), ret;

    switch (fuzz_below(8)) {
    case 0:
        return fuzz_call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &w);
    case 1:
        return fuzz_call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &a);
    case 2:
        return fuzz_call(fd, DRM_IOCTL_SYNCOBJ_QUERY, &a);
    case 3:
        ret = fuzz_call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &h);
        if (!ret && h.fd > 2) {
            fuzz_keep_descriptor(h.fd);
        }
        return ret;
    case 4:
        return fuzz_call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &h);
    case 5:
        return fuzz_call(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &d);
    default:
        ret = fuzz_call(fd, DRM_IOCTL_SYNCOBJ_CREATE, &c);
        if (!ret) {
            syncobjs[fuzz_below(FUZZ_SLOTS)] = c.handle;
        }
        return ret;
    }
}

/* Every number that there is, with whatever stands behind it. */
static int anything(void)
{
    uint32_t words[64];
    uint32_t nr = fuzz_once_in(2) ? fuzz_below(256) : DRM_COMMAND_BASE + fuzz_below(20);

    switch (nr) {
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_WAIT): /* may have no end: a thread is there to do more than that */
    case _IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT):
    case _IOC_NR(DRM_IOCTL_VIRTGPU_RESOURCE_CREATE): /* see bound() */
    case _IOC_NR(DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB):
    case _IOC_NR(DRM_IOCTL_MODE_CREATE_DUMB):
        return -EINVAL;
    }
    for (unsigned i = 0; i < 64; i++) {
        words[i] = fuzz_once_in(2) ? fuzz_slot(fuzz_handles) : fuzz_odd();
    }
    return fuzz_call(fuzz_file(), _IOC(_IOC_READ | _IOC_WRITE, DRM_IOCTL_BASE, nr, 4 * fuzz_below(64)),
                     words);
}

const struct fuzz_kind fuzz_of_rendering[] = {
    { "getparam", getparam, 1 },
    { "get-caps", get_caps, 2 },
    { "context-init", context_init, 2 },
    { "create", create, 8 },
    { "create-blob", create_blob, 6 },
    { "resource-info", resource_info, 1 },
    { "transfer", transfer, 6 },
    { "wait", wait_for_handle, 3 },
    { "reset-status", reset_status, 1 },
    { "execbuffer", execbuffer, 16 },
    { "map", map, 6 },
    { "gem-close", gem_close, 2 },
    { "prime-export", prime_export, 3 },
    { "prime-import", prime_import, 3 },
    { "syncobj", syncobj, 6 },
    { "anything", anything, 4 },
    { NULL, NULL, 0 },
};
