/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state file: what a restarted vgpud must know to take running VMs back
 * into its books.  It asks nobody else: a VM has no say in what it was granted.
 */
#ifndef VGPUD_STATE_H
#define VGPUD_STATE_H

#include <glib.h>
#include <stdbool.h>

#include "books.h"

/*
 * Replaces the file in one step, so that it is always a whole one.  Of the
 * GPUs those policies are kept that an operator set.  Nothing is written where
 * the file is still the one that was written last and would be the same.
 */
bool state_save(Books *books, const GPtrArray *gpus, const char *path, const char *era, GError **error);

/*
 * Adds to the books the VMs of the file that were written in the same era
 * (see process_era).  No file is no VM.  What is damaged is left out with a
 * warning; a file that is no state file at all is an error.  The VMs' pid and
 * pid_start are claims: the caller looks whether such a process is there.
 * Policies are put into the GPUs, whatever the era.
 */
bool state_load(Books *books, GPtrArray *gpus, const char *path, const char *era, GError **error);

#endif
