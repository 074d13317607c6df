/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records what the guest has its GPU do; the format is vgpu/recording.h's.
 * Render thread only.  Every function takes NULL: nothing is recorded.
 */
#ifndef VGPU_RENDERER_RECORDER_H
#define VGPU_RENDERER_RECORDER_H

#include "command.h"

/* fd becomes the recorder's.  NULL with *error set when nothing can be written there. */
Recorder *recorder_new(int fd, const char *vm, GError **error);
void recorder_free(Recorder *r);

/* Before the first command. */
void recorder_begin(Recorder *r, const char *renderer);

/* A command that is about to run, and before it the guest memory that it reads. */
void recorder_command(Recorder *r, Device *d, const Command *c, uint32_t size, unsigned queue);

#endif
