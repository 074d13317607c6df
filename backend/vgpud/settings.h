/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM was granted, from its profile to its entry in the books to its lease. */
#ifndef VGPUD_SETTINGS_H
#define VGPUD_SETTINGS_H

#include "books.h"
#include "leases.h"

/*
 * All of a profile's values on that GPU, but for the number of outputs, which
 * is a matter between the profile and QEMU.  cpus: of this host.
 */
void settings_from_profile(Vm *vm, const Profile *p, const Gpu *gpu, uint32_t cpus);

/* The share was changed by hand: on a software GPU the CPUs follow unless the profile says how many. */
void settings_follow_share(Vm *vm, const Profile *p, const Gpu *gpu, uint32_t cpus);

/* The values that may change while the VM runs. */
void settings_copy(Vm *to, const Vm *from);

/* GPU time is CPU time on a software GPU, and all of its CPUs are its capacity. */
uint32_t settings_capacity(const Gpu *gpu, uint32_t cpus);

/* gpu NULL: the host has it no longer; as hardware. */
void settings_for_lease(const Vm *vm, const Gpu *gpu, uint32_t cpus, LeaseSettings *s);

#endif
