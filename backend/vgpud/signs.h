/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads that tell guests that their Vulkan is alive, and CPU time for them. */
#ifndef VGPUD_SIGNS_H
#define VGPUD_SIGNS_H

#include "process_tree.h"

/* At each look at the processes of a renderer: each has one such thread, or none. */
void signs_see(const ProcessTree *t);

#endif
