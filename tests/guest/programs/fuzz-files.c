/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu-fuzz: files and what can be read of them. */
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

static int reopen(void)
{
    bool displays = fuzz_once_in(2);
    int fd = open(displays ? "/dev/dri/card0" : "/dev/dri/renderD128", O_RDWR | O_CLOEXEC | O_NONBLOCK), old;

    if (fd < 0) {
        return -errno;
    }
    old = displays ? fuzz_card : fuzz_render;
    if (displays) {
        fuzz_card = fd;
    } else {
        fuzz_render = fd;
    }
    if (old >= 0) {
        close(old);
    }
    return 0;
}

static int look(void)
{
    static const char *const names[] = {
        "/sys/kernel/debug/dri/0/vgpu-queues", "/sys/kernel/debug/dri/0/vgpu-objects",
        "/sys/kernel/debug/dri/0/vgpu-fences", "/sys/kernel/debug/dri/0/vgpu-page",
        "/sys/kernel/debug/dri/0/state",       "/sys/kernel/debug/dri/0/clients",
        "/sys/kernel/debug/dri/0/framebuffer", "/sys/class/drm/card0-Virtual-1/status",
    };
    char name[80], text[FUZZ_BYTES];
    ssize_t n = 0;
    int fd;

    switch (fuzz_below(4)) {
    case 0:
    case 1:
        snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fuzz_file());
        break;
    case 2:
        snprintf(name, sizeof(name), "/sys/bus/virtio/drivers/vgpu/virtio%u/vgpu/memory_used", fuzz_below(8));
        break;
    default:
        snprintf(name, sizeof(name), "%s", names[fuzz_below(sizeof(names) / sizeof(names[0]))]);
        break;
    }
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    n = read(fd, text, sizeof(text));
    close(fd);
    return n < 0 ? -errno : 0;
}

static int events(void)
{
    struct pollfd p = { .fd = fuzz_once_in(2) ? fuzz_display() : fuzz_file(), .events = POLLIN };
    char bytes[256];

    if (poll(&p, 1, 0) == 1 && p.revents & POLLIN && read(p.fd, bytes, fuzz_below(256)) < 0) {
        return -errno;
    }
    return 0;
}

const struct fuzz_kind fuzz_of_files[] = {
    { "reopen", reopen, 1 },
    { "look", look, 2 },
    { "events", events, 2 },
    { NULL, NULL, 0 },
};
