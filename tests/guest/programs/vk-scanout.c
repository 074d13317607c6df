/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vk-scanout --shown FILE [--device TEXT]: what a swapchain does on a screen
 * without a compositor, by hand, since it asks nothing of semaphores: two
 * pictures in memory that Vulkan gives out as dmabufs, drawn by the GPU, made
 * framebuffers of the display's and shown in turn on its first output, in the
 * mode that it prefers.
 *
 * The first picture has bands of red, green, blue and white, from top to bottom,
 * the second one the other way round.  When one is shown the program makes FILE,
 * and goes on when somebody has taken FILE away.  Exit status 0: both were.
 */
#include "vk.h"

#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BANDS 4
#define CARD  "/dev/dri/card0"

struct screen {
    int card;
    uint32_t crtc, connector;
    struct drm_mode_modeinfo mode;
};

struct picture {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint32_t framebuffer;
};

static void drm(const struct screen *s, unsigned long request, void *argument, const char *what)
{
    if (ioctl(s->card, request, argument) < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(2);
    }
}

static void open_screen(struct screen *s)
{
    uint32_t crtcs[16], connectors[16];
    struct drm_mode_modeinfo modes[64];
    struct drm_mode_card_res all = { .crtc_id_ptr = (uintptr_t)crtcs,
                                     .connector_id_ptr = (uintptr_t)connectors,
                                     .count_crtcs = 16,
                                     .count_connectors = 16 };
    struct drm_mode_get_connector c = { .modes_ptr = (uintptr_t)modes, .count_modes = 64 };

    s->card = open(CARD, O_RDWR | O_CLOEXEC);
    if (s->card < 0) {
        fprintf(stderr, CARD ": %s\n", strerror(errno));
        exit(2);
    }
    drm(s, DRM_IOCTL_MODE_GETRESOURCES, &all, "the outputs");
    if (!all.count_crtcs || !all.count_connectors) {
        fprintf(stderr, CARD " has no output\n");
        exit(2);
    }
    s->crtc = crtcs[0];
    s->connector = c.connector_id = connectors[0];
    drm(s, DRM_IOCTL_MODE_GETCONNECTOR, &c, "the first output");
    if (!c.count_modes) {
        fprintf(stderr, "the first output has no mode\n");
        exit(2);
    }
    s->mode = modes[0];
    for (uint32_t i = c.count_modes; i-- > 0;) {
        if (i < 64 && modes[i].type & DRM_MODE_TYPE_PREFERRED) {
            s->mode = modes[i];
        }
    }
}

/* ---- a picture ---- */

static void make_memory(struct vk *vk, VkDeviceSize size, struct picture *p)
{
    const VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
    };
    const VkBufferCreateInfo buffer = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                        .pNext = &external,
                                        .size = size,
                                        .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT };
    VkExportMemoryAllocateInfo given_out = { .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
                                             .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT };
    VkMemoryAllocateInfo memory = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .pNext = &given_out };
    VkMemoryRequirements needs;

    vk_check(vkCreateBuffer(vk->device, &buffer, NULL, &p->buffer), "vkCreateBuffer");
    vkGetBufferMemoryRequirements(vk->device, p->buffer, &needs);
    memory.allocationSize = needs.size;
    memory.memoryTypeIndex =
        (uint32_t)vk_memory_type(vk, needs.memoryTypeBits, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
    vk_check(vkAllocateMemory(vk->device, &memory, NULL, &p->memory), "vkAllocateMemory");
    vk_check(vkBindBufferMemory(vk->device, p->buffer, p->memory, 0), "vkBindBufferMemory");
}

static void make_framebuffer(struct vk *vk, const struct screen *s, struct picture *p)
{
    PFN_vkGetMemoryFdKHR get_fd = (PFN_vkGetMemoryFdKHR)vkGetDeviceProcAddr(vk->device, "vkGetMemoryFdKHR");
    const VkMemoryGetFdInfoKHR info = { .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
                                        .memory = p->memory,
                                        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT };
    struct drm_prime_handle prime = { .flags = 0 };
    struct drm_mode_fb_cmd2 fb = { .width = s->mode.hdisplay,
                                   .height = s->mode.vdisplay,
                                   .pixel_format = DRM_FORMAT_XRGB8888,
                                   .pitches = { s->mode.hdisplay * 4u } };

    vk_check(get_fd(vk->device, &info, &prime.fd), "vkGetMemoryFdKHR");
    drm(s, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime, "taking the dmabuf");
    close(prime.fd);
    fb.handles[0] = prime.handle;
    drm(s, DRM_IOCTL_MODE_ADDFB2, &fb, "a framebuffer of it");
    p->framebuffer = fb.fb_id;
}

static void draw(struct vk *vk, const struct screen *s, VkCommandBuffer commands, VkFence fence,
                 const struct picture *p, int up)
{
    static const uint32_t colours[BANDS] = { 0xffff0000, 0xff00ff00, 0xff0000ff, 0xffffffff };
    VkDeviceSize band = (VkDeviceSize)s->mode.hdisplay * 4 * (s->mode.vdisplay / BANDS);

    vk_begin(commands);
    for (unsigned i = 0; i < BANDS; i++) {
        vkCmdFillBuffer(commands, p->buffer, i * band, band, colours[up ? BANDS - 1 - i : i]);
    }
    vk_memory_barrier(commands);
    vk_submit(vk, commands, fence);
    vk_wait(vk, fence);
}

/* ---- on the screen ---- */

static void show_first(const struct screen *s, const struct picture *p)
{
    uint32_t connector = s->connector;
    struct drm_mode_crtc crtc = { .set_connectors_ptr = (uintptr_t)&connector,
                                  .count_connectors = 1,
                                  .crtc_id = s->crtc,
                                  .fb_id = p->framebuffer,
                                  .mode_valid = 1,
                                  .mode = s->mode };

    drm(s, DRM_IOCTL_MODE_SETCRTC, &crtc, "setting the mode");
}

static void flip(const struct screen *s, const struct picture *p)
{
    struct drm_mode_crtc_page_flip f = { .crtc_id = s->crtc, .fb_id = p->framebuffer };

    drm(s, DRM_IOCTL_MODE_PAGE_FLIP, &f, "a page flip");
}

/* Until somebody has seen it, a minute at most. */
static void say_shown(const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file) {
        perror(path);
        exit(2);
    }
    fclose(file);
    for (int i = 0; access(path, F_OK) == 0; i++) {
        if (i == 600) {
            fprintf(stderr, "nobody took %s away\n", path);
            exit(1);
        }
        usleep(100000);
    }
}

int main(int argc, char **argv)
{
    static const char *const extensions[] = { "VK_KHR_external_memory_fd", "VK_EXT_external_memory_dma_buf" };
    struct vk_options options = { .extensions = extensions, .extension_count = 2 };
    const char *shown = NULL;
    struct picture pictures[2];
    VkCommandBuffer commands;
    struct screen screen;
    VkFence fence;
    struct vk vk;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--shown") == 0 && i + 1 < argc) {
            shown = argv[++i];
        } else if (!vk_option(&options, argc, argv, &i)) {
            shown = NULL;
            break;
        }
    }
    if (!shown) {
        fprintf(stderr, "usage: vk-scanout --shown FILE [--device TEXT]\n");
        return 2;
    }
    vk_open(&vk, &options);
    open_screen(&screen);
    commands = vk_commands(&vk);
    fence = vk_fence(&vk);
    for (int i = 0; i < 2; i++) {
        make_memory(&vk, (VkDeviceSize)screen.mode.hdisplay * 4 * screen.mode.vdisplay, &pictures[i]);
        make_framebuffer(&vk, &screen, &pictures[i]);
        draw(&vk, &screen, commands, fence, &pictures[i], i);
        if (i == 0) {
            show_first(&screen, &pictures[i]);
        } else {
            flip(&screen, &pictures[i]);
        }
        say_shown(shown);
    }
    printf("size=%ux%u\n", screen.mode.hdisplay, screen.mode.vdisplay);
    return 0;
}
