/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation: OpenGL late.
 *
 * To start it takes longer than all else that a renderer does before it serves
 * its guest, and more memory than all else while it does nothing; and firmware,
 * a boot loader and a text console need none of it.  But what QEMU and the
 * guest's driver are told at the start (features, capsets) depends on whether it
 * starts.  So where somebody tried it on this host before (--facts), a renderer
 * tells what was found then, serves the guest with the 2D renderer, and starts
 * virgl at the first command that needs it: GET_CAPSET, or any of contexts and 3D
 * resources.  What the guest has by then moves over with its contents.
 *
 * The one that tries (--probe) does it exactly as the others will, behind the
 * filter of isolate_serving(), which no renderer has that starts OpenGL first.
 * So being late gives a guest's first commands no right more than they had.
 * Where it does not work like that, the probe says nothing, and renderers start
 * OpenGL first, as without one.
 *
 * OpenGL that does not start then, although it did for the probe: the guest's
 * commands get errors, its pictures go on in 2D, and the log says why.  The next
 * renderer starts with what was known to its vgpud, which is not told.
 *
 * One error a stock guest never forgets: its driver asks GET_CAPSET once, and what
 * it was told then holds for all programs until it boots again.  So that command is
 * not refused at once: this process ends, a moment later, with the command in flight
 * (adopt.h), and the next one tries.  One that has the command from a lost renderer
 * answers what it can.
 */
#ifndef VGPU_RENDERER_LATE_H
#define VGPU_RENDERER_LATE_H

#include "device.h"

/* True: the 2D renderer serves, and virgl is to start when it is needed. */
bool late_begin(Device *d, GError **error);

/* The command needs 3D.  False: there is none. */
bool late_start(Device *d);

/*
 * GET_CAPSET of that capset has no answer, and no renderer was lost with it yet.  Ends
 * this process where the guest was promised 3D and asks only once.
 */
void late_make_way(Device *d, uint32_t capset_id);

/* Of the renderer that there is, or that there will be. */
bool late_capset_info(Device *d, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size);
bool late_capset_is_remote(Device *d, uint32_t capset_id);
const char *late_description(Device *d);
const char *late_gl_version(Device *d); /* NULL: there is no GL */

/* The whole of --probe: what it found goes to that descriptor.  False: nothing. */
bool late_probe(Device *d, int fd);

#endif
