/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks after the renderers that run: their memory, their QEMUs, their leases. */
#ifndef VGPUD_VM_WATCH_H
#define VGPUD_VM_WATCH_H

#include "daemon.h"

/* VMs came or went, or one wakes up: d->leases is there. */
void vm_watch(Daemon *d);

#endif
