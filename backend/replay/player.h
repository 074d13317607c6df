/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plays a recording into libvirglrenderer, in this process. */
#ifndef VGPU_REPLAY_PLAYER_H
#define VGPU_REPLAY_PLAYER_H

#include "reader.h"

typedef struct PlayerResult {
    uint64_t commands, submits, refused;
    double seconds;
} PlayerResult;

/* bare_start() before.  As fast as it goes; the guest's memory is as it was when each command ran. */
void player_play(const Recording *r, PlayerResult *out);

#endif
