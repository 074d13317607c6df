/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known pixels: written into guest memory in a virtio format, found again on the screen. */
#ifndef TEST_PICTURE_H
#define TEST_PICTURE_H

#include "gpu_cmd.h"

/* The colour every test expects at x, y of a picture: no two neighbours alike. */
uint32_t picture_colour(unsigned seed, uint32_t x, uint32_t y);

/* Stores 0xRRGGBB as one pixel of a virtio-gpu format; the fourth byte is 0xff. */
void picture_store(uint8_t *at, uint32_t format, uint32_t rgb);

/* Fills w x h pixels at a guest address, rows stride bytes apart. */
void picture_fill(Frontend *f, uint64_t gpa, uint32_t format, unsigned seed, uint32_t w, uint32_t h,
                  uint32_t stride);

/* A 2D resource with one backing entry and a picture in both; its backing. */
uint64_t picture_resource(Frontend *f, uint32_t id, uint32_t format, unsigned seed, uint32_t w, uint32_t h);

/*
 * Fails the test unless the pixels of the screen's rectangle at sx, sy are
 * those of the picture at px, py.  One message for the first that differs.
 */
void picture_check(Frontend *f, unsigned output, uint32_t sx, uint32_t sy, uint32_t w, uint32_t h,
                   unsigned seed, uint32_t px, uint32_t py);

#endif
