/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window: the guest's BAR for host-visible memory, in which QEMU maps what
 * we hand it (include/vgpu/channel.h).
 *
 * Theory of operation.  The guest names the offset; where and how large the
 * window is, is QEMU's.  Every check a guest can fail is made here, so that
 * QEMU only ever refuses for lack of memory: to it a renderer that asks for
 * nonsense is one taken over.
 *
 * A map or unmap is an order that QEMU answers by BLOB_DONE.  Its guest's answer
 * waits for that, in a timeline like a fence (timeline.c), while later commands
 * run; orders reach QEMU in the order of the commands.  So an offset can be
 * used again as soon as its unmap was ordered.  The answer of a command with
 * several orders waits for the last, as QEMU takes them in order.
 *
 * What is mapped is memory that cannot go away under its reader: a memfd that
 * is sealed against shrinking, or a dmabuf.
 *
 * A reset forgets everything here: QEMU has revoked all maps before it says
 * RESET, and drops orders that it has not read yet.
 */
#ifndef VGPU_RENDERER_WINDOW_H
#define VGPU_RENDERER_WINDOW_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops.h"

struct Device;

/* A map: never the same twice. */
typedef struct WindowPlace {
    uint64_t id; /* 0: none */
    uint64_t offset;
} WindowPlace;

typedef struct Window {
    GMutex lock;
    uint64_t size;      /* bytes; 0: there is none */
    uint64_t serial;    /* of the last order */
    unsigned maps;      /* whatever QEMU may have mapped */
    GTree *placed;      /* offset -> WindowMap: what the guest has asked for */
    GHashTable *orders; /* serial -> WindowOrder: sent, not answered */
    GQueue prepared;    /* of WindowOrder: of the command that runs; render thread only */
} Window;

void window_init(Window *w);

/* Render thread.  VIRTIO_GPU_RESP_*; takes m->fd. */
uint32_t window_map(struct Device *d, uint64_t offset, uint64_t size, const RendererMemory *m,
                    WindowPlace *place);
/* Whether it is mapped, or on the way; QEMU may have refused it since. */
bool window_has(Window *w, const WindowPlace *place);
/* charged: bytes to be refunded once nobody can read there any more. */
void window_unmap(struct Device *d, const WindowPlace *place, uint64_t charged);
/* Everything goes. */
void window_reset(struct Device *d);

/*
 * Render thread.  Orders wait until they are sent: then the fence, if not 0, is
 * done when QEMU has answered the last of them.  Or they are taken back.
 */
static inline bool window_prepared(const Window *w)
{
    return w->prepared.length > 0;
}
void window_send(struct Device *d, uint64_t fence);
void window_cancel(struct Device *d);

/* Front thread: what QEMU said. */
void window_set_size(Window *w, uint64_t size);
void window_done(struct Device *d, uint64_t serial, uint32_t status);

/*
 * Whether [offset, offset + size) of what fd is can be shown to a guest; seals
 * a memfd where its maker left that to others.  fd may be -1.
 */
bool window_can_show(int fd, uint64_t offset, uint64_t size);

#endif
