/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading from a list of pieces of memory. */
#ifndef VGPU_RENDERER_IOV_H
#define VGPU_RENDERER_IOV_H

#include <glib.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* A place in such a list.  Only ever moves forward. */
typedef struct IovCursor {
    const struct iovec *iov;
    uint32_t left;   /* iovecs, this one included */
    uint64_t offset; /* into this one; may lie behind it */
} IovCursor;

/* Copies what there is; a list that ends early leaves the rest as it was. */
static inline void iov_cursor_read(IovCursor *c, uint8_t *dst, uint64_t size)
{
    while (size && c->left) {
        uint64_t n;

        if (c->offset >= c->iov->iov_len) {
            c->offset -= c->iov->iov_len;
            c->iov++;
            c->left--;
            continue;
        }
        n = MIN(size, c->iov->iov_len - c->offset);
        memcpy(dst, (const uint8_t *)c->iov->iov_base + c->offset, n);
        dst += n;
        size -= n;
        c->offset += n;
    }
}

static inline void iov_cursor_skip(IovCursor *c, uint64_t size)
{
    c->offset += size;
}

#endif
