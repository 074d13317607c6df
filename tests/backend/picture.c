/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "picture.h"

uint32_t picture_colour(unsigned seed, uint32_t x, uint32_t y)
{
    return ((x * 7 + seed * 31) & 0xff) << 16 | ((y * 13 + seed * 3) & 0xff) << 8 |
           ((x * 3 + y * 5 + seed) & 0xff);
}

void picture_store(uint8_t *at, uint32_t format, uint32_t rgb)
{
    uint8_t r = rgb >> 16, g = rgb >> 8, b = rgb;
    /* where red, green, blue and the fourth byte lie */
    unsigned ri, gi, bi, ai;

    switch (format) {
    case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
    case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM:
        bi = 0, gi = 1, ri = 2, ai = 3;
        break;
    case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
    case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
        ai = 0, ri = 1, gi = 2, bi = 3;
        break;
    case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
    case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
        ri = 0, gi = 1, bi = 2, ai = 3;
        break;
    default: /* A8B8G8R8, X8B8G8R8 */
        ai = 0, bi = 1, gi = 2, ri = 3;
        break;
    }
    at[ri] = r;
    at[gi] = g;
    at[bi] = b;
    at[ai] = 0xff;
}

void picture_fill(Frontend *f, uint64_t gpa, uint32_t format, unsigned seed, uint32_t w, uint32_t h,
                  uint32_t stride)
{
    uint8_t *base = ram_ptr(f->ram, gpa);

    for (uint32_t y = 0; y < h; y++) {
        for (uint32_t x = 0; x < w; x++) {
            picture_store(base + (size_t)y * stride + x * 4, format, picture_colour(seed, x, y));
        }
    }
}

uint64_t picture_resource(Frontend *f, uint32_t id, uint32_t format, unsigned seed, uint32_t w, uint32_t h)
{
    uint64_t gpa = ram_alloc(f->ram, (uint64_t)w * h * 4);

    picture_fill(f, gpa, format, seed, w, h, w * 4);
    g_assert_cmphex(gpu_create_2d(f, id, format, w, h), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, id, gpa, w * h * 4), ==, OK_NODATA);
    g_assert_cmphex(gpu_transfer_2d(f, id, 0, 0, 0, w, h), ==, OK_NODATA);
    return gpa;
}

void picture_check(Frontend *f, unsigned output, uint32_t sx, uint32_t sy, uint32_t w, uint32_t h,
                   unsigned seed, uint32_t px, uint32_t py)
{
    if (f->dead) {
        return;
    }
    for (uint32_t y = 0; y < h; y++) {
        for (uint32_t x = 0; x < w; x++) {
            uint32_t want = picture_colour(seed, px + x, py + y);
            uint32_t is = screen_pixel(&f->screen, output, sx + x, sy + y) & 0xffffff;

            if (want != is) {
                g_test_fail_printf("pixel %u,%u of output %u is 0x%06x, not 0x%06x", sx + x, sy + y, output,
                                   is, want);
                return;
            }
        }
    }
}
