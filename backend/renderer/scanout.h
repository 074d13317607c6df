/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest shows: each scanout is a linear picture in a sealed memfd
 * that QEMU maps.  RESOURCE_FLUSH reads the changed pixels from the renderer
 * into it and tells QEMU by the channel.  Render thread only.
 *
 * QEMU answers an update when somebody looks at the display.  Until then what
 * is flushed is only remembered: reading a frame back waits for the GPU and
 * copies megabytes, and a guest draws far more frames than anybody sees.
 *
 * A guest that flips between two buffers sets its scanout sixty times a
 * second: as long as size and format stay, so does the memfd, and QEMU only
 * hears of the damage.  The picture is then stale: the first flush reads it all.
 */
#ifndef VGPU_RENDERER_SCANOUT_H
#define VGPU_RENDERER_SCANOUT_H

#include "device.h"
#include "resource.h"

bool scanout_exists(Device *d, uint32_t scanout);
/* Whether the profile allows a picture of that size. */
bool scanout_allowed(Device *d, const Rect *rect);

/*
 * The scanout exists, rect is allowed and lies within r, or, where r is a blob,
 * within the frame, which fits it (else NULL).
 */
uint32_t scanout_set(Device *d, unsigned scanout, Resource *r, const Rect *rect, const BlobFrame *frame);
void scanout_disable(Device *d, unsigned scanout);
/* Whether rect lies within the frame of each scanout that shows r, a blob. */
bool scanout_has(Device *d, const Resource *r, const Rect *rect);
uint32_t scanout_flush(Device *d, Resource *r, const Rect *rect);
/* Reads what was flushed and is wanted by now. */
void scanout_catch_up(Device *d);
/* A frame that waited for its time (frame_limit.h): reads it, as a flush would have. */
void scanout_show(Device *d, unsigned i);
/* The resource goes: what shows it is switched off. */
void scanout_forget_resource(Device *d, Resource *r);
void scanout_disable_all(Device *d);

/* r: 64x64 pixels, or NULL: the cursor is hidden. */
uint32_t scanout_cursor(Device *d, unsigned scanout, Resource *r, uint32_t x, uint32_t y, uint32_t hot_x,
                        uint32_t hot_y);
void scanout_cursor_moved(Device *d, unsigned scanout, uint32_t x, uint32_t y);
/*
 * The guest has written to a resource: a cursor's picture is read again.  Linux waits
 * for a cursor's pixels before it shows them, but not when a signal comes meanwhile.
 */
void scanout_cursor_written(Device *d, Resource *r);

#endif
