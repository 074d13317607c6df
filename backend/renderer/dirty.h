/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of guest pages that this process has written, for a VM that is being
 * moved while it runs: QEMU sends them again.
 *
 * Theory of operation
 *
 * QEMU hands over a bitmap, a bit for each 4 KiB of guest-physical memory
 * (VHOST_USER_SET_LOG_BASE, with the protocol feature LOG_SHMFD), and says by
 * the feature bit VHOST_F_LOG_ALL whether it is to be kept.  It takes bits out at
 * any time, then reads the pages: so a bit is set after its page was written.
 *
 * libvhost-user would do this as well, and is not told of the log: it reads the
 * descriptors once more to learn what was written, and asserts that they lie
 * within the log, so that a guest could end its renderer by changing one.  What
 * was written we know: an Element has the addresses it was popped with.
 *
 * What is written, and when it is marked:
 *   answers          when they are pushed (queue.c)
 *   used rings       when something is pushed, and when the ring stops (its flags)
 *   backings         of resources that are no 2D pictures: OpenGL and Vulkan write
 *                    there in the middle of a submit, or by query results long
 *                    after it, and which of them is not worth knowing: all of
 *                    them, when the rings stop (as the table has them) and when
 *                    one is given back; and after each transfer from the host
 * Nothing is written into guest memory for a 2D guest but the first two.  A
 * submit that is still at work when the rings stop may write later: its context
 * is left behind, and nobody is told that it is done.
 */
#ifndef VGPU_RENDERER_DIRTY_H
#define VGPU_RENDERER_DIRTY_H

#include "vhost.h"

/* All with Vhost.lock held but dirty_backing. */

/* SET_LOG_BASE.  False: it makes no sense.  Takes no descriptor. */
bool dirty_set_log(Vhost *v, const VhostUserMsg *msg);
/* SET_FEATURES: whether the log is kept from now on. */
void dirty_enable(Vhost *v, bool on);
/* The first bytes of a list of pieces of guest memory. */
void dirty_iov(Vhost *v, const GuestMemory *m, const struct iovec *iov, unsigned count, uint64_t bytes);
void dirty_ring(Vhost *v, unsigned q);
/* Of all resources that may be written at any time. */
void dirty_backings(Vhost *v);

/* The render thread: of one resource. */
void dirty_backing(Vhost *v, const GuestMemory *m, const struct iovec *iov, unsigned count);

#endif
