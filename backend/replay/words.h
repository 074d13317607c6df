/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A recording in words. */
#ifndef VGPU_REPLAY_WORDS_H
#define VGPU_REPLAY_WORDS_H

#include "reader.h"

/* One line for each command, and for each command of a virgl stream when streams is set; then a summary. */
void words_print(const Recording *r, bool streams);

#endif
