/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which VMs' work has hung, and whose 3D is off for it: by who the VM is, and
 * not by the QEMU it runs in, so that it cannot be got rid of by a new one.
 * Time is an argument; CLOCK_MONOTONIC in us, which goes on over a restart of
 * vgpud.
 */
#ifndef VGPUD_HANGS_H
#define VGPUD_HANGS_H

#include "books.h"

/* That many hangs within that time, and its 3D stays off. */
#define HANGS_MOST   3
#define HANGS_WITHIN (600 * (int64_t)G_USEC_PER_SEC)

#define HANGS_KEPT 1024 /* VMs; a 16th of it of one user */

typedef struct Hangs Hangs;

Hangs *hangs_new(void);
void hangs_free(Hangs *h); /* takes NULL */

/* One more, now.  True: they are too many, and its 3D is off from now on. */
bool hangs_add(Hangs *h, const Vm *vm, int64_t now);

bool hangs_off(const Hangs *h, const Vm *vm);

/* An operator says so. */
void hangs_forget(Hangs *h, const Vm *vm);

/* Groups [hangs 0] up of a state file.  same_boot: else the times in it mean nothing. */
void hangs_save(const Hangs *h, GKeyFile *file);
void hangs_load(Hangs *h, GKeyFile *file, bool same_boot, const char *path);

#endif
