/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A recording of vgpu-renderer, unpacked, given to a device by a Ring; see vgpu/recording.h. */
#ifndef BENCH_REPLAY_H
#define BENCH_REPLAY_H

#include "bench-ram.h"

typedef struct BenchReplay {
    double seconds;
    unsigned commands, refused;
} BenchReplay;

/*
 * As fast as the device takes it.  Guest memory is only written when no command
 * that reads it is in flight, as a guest waits for its fences.  Ends the program
 * when path is no recording, or one that needs more RAM than the VM has.
 */
BenchReplay bench_replay(Ring *r, const char *path);

#endif
