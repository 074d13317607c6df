/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-glinfo [NODE]: what this guest sees of its GPU, one key=value a line.
 * From OpenGL: GL_VENDOR, GL_RENDERER, GL_VERSION, video_memory_total_kib,
 * video_memory_available_kib.  From the device's own capset (include/vgpu/
 * virtio.h): profile, gpu, memory_limit_bytes, max_contexts, max_outputs,
 * host_renderer, host_version.  Status 0, 1 when one part is missing, 2 when
 * there is no OpenGL.
 */
#include "gl.h"

#include <drm/drm.h>
#include <drm/virtgpu_drm.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vgpu/virtio.h"

#define NVX_DEDICATED 0x9047 /* GL_NVX_gpu_memory_info, KiB */
#define NVX_AVAILABLE 0x9049

static bool has_extension(const char *name)
{
    int count = 0;

    gl.GetIntegerv(GL_NUM_EXTENSIONS, &count);
    for (int i = 0; i < count; i++) {
        if (strcmp((const char *)gl.GetStringi(GL_EXTENSIONS, (unsigned)i), name) == 0) {
            return true;
        }
    }
    return false;
}

static bool show_gl(const char *device)
{
    int total = -1, available = -1;

    gl_open(device);
    printf("GL_VENDOR=%s\nGL_RENDERER=%s\nGL_VERSION=%s\n", (const char *)gl.GetString(GL_VENDOR),
           (const char *)gl.GetString(GL_RENDERER), (const char *)gl.GetString(GL_VERSION));
    if (!has_extension("GL_NVX_gpu_memory_info")) {
        fprintf(stderr, "OpenGL has no GL_NVX_gpu_memory_info\n");
        return false;
    }
    gl.GetIntegerv(NVX_DEDICATED, &total);
    gl.GetIntegerv(NVX_AVAILABLE, &available);
    printf("video_memory_total_kib=%d\nvideo_memory_available_kib=%d\n", total, available);
    return true;
}

static bool is_virtio_gpu(int fd)
{
    char name[32] = "";
    struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };

    return ioctl(fd, DRM_IOCTL_VERSION, &version) == 0 && strcmp(name, "virtio_gpu") == 0;
}

/* -1: none */
static int first_device(void)
{
    char path[64];
    int fd;

    for (int i = 0; i < 32; i++) {
        if (i < 16) {
            snprintf(path, sizeof(path), "/dev/dri/renderD%d", 128 + i);
        } else {
            snprintf(path, sizeof(path), "/dev/dri/card%d", i - 16);
        }
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && is_virtio_gpu(fd)) {
            return fd;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return -1;
}

/* The node, or the first virtio-gpu there is; -1: none within 10 s (a slow guest may still probe). */
static int open_device(const char *device)
{
    int fd = -1;

    for (int tries = 0; fd < 0 && tries < 100; tries++) {
        if (tries) {
            usleep(100 * 1000);
        }
        fd = device ? open(device, O_RDWR | O_CLOEXEC) : first_device();
    }
    return fd;
}

static bool show_capset(const char *device)
{
    struct vgpu_capset caps = { 0 };
    struct drm_virtgpu_get_caps get = {
        .cap_set_id = VGPU_CAPSET_ID,
        .cap_set_ver = VGPU_CAPSET_VERSION,
        .addr = (uintptr_t)&caps,
        .size = sizeof(caps),
    };
    int fd = open_device(device);
    int ret;

    if (fd < 0) {
        fprintf(stderr, "there is no virtio-gpu in /dev/dri\n");
        return false;
    }
    ret = ioctl(fd, DRM_IOCTL_VIRTGPU_GET_CAPS, &get);
    close(fd);
    if (ret) {
        fprintf(stderr, "the virtio-gpu has no capset %d: %s\n", VGPU_CAPSET_ID, strerror(errno));
        return false;
    }
    if (caps.version != VGPU_CAPSET_VERSION || caps.size != sizeof(caps)) {
        fprintf(stderr, "capset %d is version %" PRIu32 " of %" PRIu32 " bytes\n", VGPU_CAPSET_ID,
                caps.version, caps.size);
        return false;
    }
    printf("profile=%.64s\ngpu=%.64s\nmemory_limit_bytes=%" PRIu64 "\nmax_contexts=%" PRIu32
           "\nmax_outputs=%" PRIu32 "\nhost_renderer=%.128s\nhost_version=%.32s\n",
           caps.profile, caps.gpu, (uint64_t)caps.memory_limit, caps.max_contexts, caps.max_outputs,
           caps.renderer, caps.host_version);
    return true;
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : NULL;
    bool capset = show_capset(device);

    fflush(stdout); /* gl_open() may end the process */
    return show_gl(device) && capset ? 0 : 1;
}
