/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu-fuzz: calls of displays. */
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

static volatile uint32_t blobs[FUZZ_SLOTS];

/* Of the displays, asked for once. */
static uint32_t objects[64], properties[256];
static unsigned num_objects, num_properties;

static void note_object(uint32_t id)
{
    uint32_t ids[64];
    uint64_t values[64];
    struct drm_mode_obj_get_properties p = {
        .props_ptr = (uintptr_t)ids,
        .prop_values_ptr = (uintptr_t)values,
        .count_props = 64,
        .obj_id = id,
    };

    if (num_objects < 64) {
        objects[num_objects++] = id;
    }
    if (ioctl(fuzz_card, DRM_IOCTL_MODE_OBJ_GETPROPERTIES, &p) || p.count_props > 64) {
        return;
    }
    for (uint32_t i = 0; i < p.count_props && num_properties < 256; i++) {
        properties[num_properties++] = ids[i];
    }
}

void fuzz_find_displays(void)
{
    uint32_t crtcs[16], connectors[16], planes[32];
    struct drm_set_client_cap universal = { DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1 },
                              atomics = { DRM_CLIENT_CAP_ATOMIC, 1 };
    struct drm_mode_card_res r = {
        .crtc_id_ptr = (uintptr_t)crtcs,
        .connector_id_ptr = (uintptr_t)connectors,
        .count_crtcs = 16,
        .count_connectors = 16,
    };
    struct drm_mode_get_plane_res p = { .plane_id_ptr = (uintptr_t)planes, .count_planes = 32 };

    ioctl(fuzz_card, DRM_IOCTL_SET_CLIENT_CAP, &universal);
    ioctl(fuzz_card, DRM_IOCTL_SET_CLIENT_CAP, &atomics);
    if (!ioctl(fuzz_card, DRM_IOCTL_MODE_GETRESOURCES, &r) && r.count_crtcs <= 16 &&
        r.count_connectors <= 16) {
        for (uint32_t i = 0; i < r.count_crtcs; i++) {
            note_object(crtcs[i]);
        }
        for (uint32_t i = 0; i < r.count_connectors; i++) {
            note_object(connectors[i]);
        }
    }
    if (!ioctl(fuzz_card, DRM_IOCTL_MODE_GETPLANERESOURCES, &p) && p.count_planes <= 32) {
        for (uint32_t i = 0; i < p.count_planes; i++) {
            note_object(planes[i]);
        }
    }
}

static uint32_t object(void)
{
    return num_objects && !fuzz_once_in(16) ? objects[fuzz_below(num_objects)] : fuzz_odd();
}

static int dumb(void)
{
    struct drm_mode_create_dumb c = { .width = 1 + fuzz_below(fuzz_once_in(32) ? 8192 : 256),
                                      .height = 1 + fuzz_below(256),
                                      .bpp = 32 };
    int fd = fuzz_display(), ret;

    if (fuzz_once_in(2)) {
        c.width = c.height = 64; /* a cursor's */
    }
    ret = fuzz_call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &c);
    if (!ret) {
        struct drm_mode_fb_cmd2 f = {
            .width = c.width,
            .height = c.height,
            .pixel_format = fuzz_once_in(2) ? DRM_FORMAT_XRGB8888 : DRM_FORMAT_ARGB8888,
            .handles = { c.handle },
            .pitches = { c.pitch },
        };

        fuzz_keep_handle(fd, c.handle, 0);
        ret = fuzz_call(fd, DRM_IOCTL_MODE_ADDFB2, &f);
        if (!ret) {
            fuzz_framebuffers[fuzz_below(FUZZ_SLOTS)] = f.fb_id;
        }
    }
    return ret;
}

static int framebuffer(void)
{
    uint32_t id = fuzz_slot(fuzz_framebuffers);
    struct drm_clip_rect clip = { (uint16_t)fuzz_odd(), (uint16_t)fuzz_odd(), (uint16_t)fuzz_odd(),
                                  (uint16_t)fuzz_odd() };
    struct drm_mode_fb_dirty_cmd d = { .fb_id = id,
                                       .num_clips = fuzz_below(3),
                                       .clips_ptr = (uintptr_t)&clip };
    struct drm_mode_map_dumb m = { .handle = fuzz_slot(fuzz_handles) };
    struct drm_mode_destroy_dumb k = { .handle = fuzz_slot(fuzz_handles) };

    switch (fuzz_below(4)) {
    case 0:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_DIRTYFB, &d);
    case 1:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_MAP_DUMB, &m);
    case 2:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_DESTROY_DUMB, &k);
    default:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_RMFB, &id);
    }
}

static int mode_set(void)
{
    uint32_t connector = object();
    uint16_t w = (uint16_t)(1 + fuzz_below(256)), h = (uint16_t)(1 + fuzz_below(256));
    struct drm_mode_crtc c = {
        .set_connectors_ptr = (uintptr_t)&connector,
        .count_connectors = fuzz_below(2),
        .crtc_id = object(),
        .fb_id = fuzz_slot(fuzz_framebuffers),
        .mode_valid = !fuzz_once_in(4),
        .mode = { .clock = 25000,
                  .hdisplay = w,
                  .hsync_start = w + 8,
                  .hsync_end = w + 16,
                  .htotal = w + 32,
                  .vdisplay = h,
                  .vsync_start = h + 2,
                  .vsync_end = h + 4,
                  .vtotal = h + 8 },
    };
    struct drm_mode_crtc_page_flip f = { .crtc_id = object(),
                                         .fb_id = fuzz_slot(fuzz_framebuffers),
                                         .flags = fuzz_below(4) };
    struct drm_mode_cursor2 p = {
        .flags = fuzz_below(4),
        .crtc_id = object(),
        .x = (int32_t)fuzz_odd(),
        .y = (int32_t)fuzz_odd(),
        .width = 64,
        .height = 64,
        .handle = fuzz_slot(fuzz_handles),
        .hot_x = (int32_t)fuzz_below(64),
    };
    struct drm_mode_set_plane s = {
        .plane_id = object(),
        .crtc_id = object(),
        .fb_id = fuzz_slot(fuzz_framebuffers),
        .crtc_w = w,
        .crtc_h = h,
        .src_w = (uint32_t)w << 16,
        .src_h = (uint32_t)h << 16,
    };

    switch (fuzz_below(8)) {
    case 0:
        return fuzz_call(fuzz_display(), DRM_IOCTL_SET_MASTER, &p);
    case 1:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_PAGE_FLIP, &f);
    case 2:
    case 3:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_CURSOR2, &p);
    case 4:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_SETPLANE, &s);
    default:
        return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_SETCRTC, &c);
    }
}

static int atomic(void)
{
    uint32_t of[4], counts[4], ids[8];
    uint64_t values[8];
    struct drm_mode_atomic a = {
        .flags = (fuzz_once_in(2) ? DRM_MODE_ATOMIC_NONBLOCK : 0) |
                 (fuzz_once_in(2) ? DRM_MODE_ATOMIC_ALLOW_MODESET : 0) |
                 (fuzz_once_in(4) ? DRM_MODE_PAGE_FLIP_EVENT : 0) |
                 (fuzz_once_in(8) ? DRM_MODE_ATOMIC_TEST_ONLY : 0),
        .count_objs = 1 + fuzz_below(4),
        .objs_ptr = (uintptr_t)of,
        .count_props_ptr = (uintptr_t)counts,
        .props_ptr = (uintptr_t)ids,
        .prop_values_ptr = (uintptr_t)values,
    };
    char blob[128] = { 0 };
    struct drm_mode_create_blob b = { .data = (uintptr_t)blob,
                                      .length = fuzz_once_in(2) ? 68 : fuzz_below(128) };

    if (fuzz_once_in(4)) {
        int ret = fuzz_call(fuzz_display(), DRM_IOCTL_MODE_CREATEPROPBLOB, &b);

        if (!ret) {
            blobs[fuzz_below(FUZZ_SLOTS)] = b.blob_id;
        }
        return ret;
    }
    for (unsigned i = 0; i < 8; i++) {
        uint32_t kind = fuzz_below(4);

        of[i % 4] = object();
        counts[i % 4] = 1 + fuzz_below(2);
        ids[i] = num_properties ? properties[fuzz_below(num_properties)] : fuzz_odd();
        values[i] = kind == 0   ? fuzz_slot(fuzz_framebuffers)
                    : kind == 1 ? object()
                    : kind == 2 ? fuzz_slot(blobs)
                                : fuzz_odd();
    }
    return fuzz_call(fuzz_display(), DRM_IOCTL_MODE_ATOMIC, &a);
}

const struct fuzz_kind fuzz_of_displays[] = {
    { "dumb", dumb, 3 },         { "framebuffer", framebuffer, 3 },
    { "mode-set", mode_set, 2 }, { "atomic", atomic, 4 },
    { NULL, NULL, 0 },
};
