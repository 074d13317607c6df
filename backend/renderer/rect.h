/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rectangles of pixels.  The one check that a rectangle of the guest's fits. */
#ifndef VGPU_RENDERER_RECT_H
#define VGPU_RENDERER_RECT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Rect {
    uint32_t x, y, w, h;
} Rect;

/* True when a span of n from x lies within 0..size; cannot overflow. */
static inline bool span_within(uint32_t x, uint32_t n, uint32_t size)
{
    return x <= size && n <= size - x;
}

/* True when the rectangle lies within a picture of width x height. */
static inline bool rect_within(const Rect *r, uint32_t width, uint32_t height)
{
    return span_within(r->x, r->w, width) && span_within(r->y, r->h, height);
}

/* False when they share no pixel.  Both must lie within some picture. */
static inline bool rect_intersect(const Rect *a, const Rect *b, Rect *out)
{
    uint32_t x0 = a->x > b->x ? a->x : b->x;
    uint32_t y0 = a->y > b->y ? a->y : b->y;
    uint32_t x1 = a->x + a->w < b->x + b->w ? a->x + a->w : b->x + b->w;
    uint32_t y1 = a->y + a->h < b->y + b->h ? a->y + a->h : b->y + b->h;

    if (x0 >= x1 || y0 >= y1) {
        return false;
    }
    *out = (Rect){ x0, y0, x1 - x0, y1 - y0 };
    return true;
}

/* Grows *a to hold b too; an empty *a becomes b. */
static inline void rect_unite(Rect *a, const Rect *b)
{
    uint32_t x0, y0, x1, y1;

    if (!a->w || !a->h) {
        *a = *b;
        return;
    }
    x0 = a->x < b->x ? a->x : b->x;
    y0 = a->y < b->y ? a->y : b->y;
    x1 = a->x + a->w > b->x + b->w ? a->x + a->w : b->x + b->w;
    y1 = a->y + a->h > b->y + b->h ? a->y + a->h : b->y + b->h;
    *a = (Rect){ x0, y0, x1 - x0, y1 - y0 };
}

#endif
