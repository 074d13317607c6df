/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that renderers record into, where record= of vgpud.conf asks for it. */
#ifndef VGPUD_RECORDING_H
#define VGPUD_RECORDING_H

#include <glib.h>

/*
 * A new file of that VM in folder, for writing, which only its owner may read: it
 * holds what the guest draws.  -1 with *error set, a sentence.
 */
int recording_open(const char *folder, const char *vm, GError **error);

#endif
