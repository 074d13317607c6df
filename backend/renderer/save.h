/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving: what another renderer needs to go on (saved.h), written into a socket of
 * QEMU's while the VM stands still.
 *
 * Theory of operation
 *
 * QEMU has stopped the rings before it sends SAVE.  The render thread then stands
 * between two commands; what was taken and is not answered, run or not, is in the
 * table as in flight, and the one who takes over answers it (adopt.h).  So nothing
 * is waited for, and nothing changes here: the same VM may well go on.
 *
 * Reading pictures needs the GPU as commands do, with this VM's lease.  Writing
 * waits for QEMU, which waits for its network, so the lease is given back before.
 * QEMU's end is its own: when it has enough, the write fails and that was it.
 */
#ifndef VGPU_RENDERER_SAVE_H
#define VGPU_RENDERER_SAVE_H

#include <glib.h>
#include <stdbool.h>

#include "saved.h"

struct Device;

typedef struct SaveJob SaveJob;

typedef enum SaveResult {
    SAVE_DONE,    /* there is nothing (more) to save */
    SAVE_WAITING, /* for the GPU */
} SaveResult;

typedef struct Saving {
    SaveJob *given; /* atomic: from the front thread to the render thread */
    SaveJob *job;   /* render thread only from here on; NULL: none */
} Saving;

/* Front thread: SAVE came.  Takes fd. */
void save_give(struct Device *d, int fd, bool leave_contexts);

/* Render thread. */
SaveResult save_work(struct Device *d);

#endif
