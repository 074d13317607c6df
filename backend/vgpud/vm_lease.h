/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's lease of GPU time, for as long as its renderer lives; and what follows when it hangs. */
#ifndef VGPUD_VM_LEASE_H
#define VGPUD_VM_LEASE_H

#include "daemon.h"
#include "launcher.h"
#include "leases.h"

/* Makes d->leases; nothing is granted before vm_lease_all_there. */
bool vm_lease_init(Daemon *d, GError **error);
void vm_lease_all_there(Daemon *d);

/* Its renderer was started: takes the descriptors out of l. */
bool vm_lease_start(Daemon *d, Vm *vm, Launched *l, GError **error);
/* Its renderer is an earlier vgpud's: takes them out of the process. */
bool vm_lease_adopt(Daemon *d, Vm *vm, GError **error);
/* Its renderer goes. */
void vm_lease_end(Vm *vm);

/* What it is granted has changed. */
void vm_lease_update(const Daemon *d, Vm *vm);
/* A GPU's policy was set. */
void vm_lease_policy(const Daemon *d, const Gpu *gpu);

#endif
