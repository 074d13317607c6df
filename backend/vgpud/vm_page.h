/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vgpud writes to a VM's statistics page (include/vgpu/stats.h), for its
 * guest: the profile, the share, GPU time, resets.  vgpud never reads these
 * words back, but for those of a page that an earlier vgpud wrote.
 */
#ifndef VGPUD_VM_PAGE_H
#define VGPUD_VM_PAGE_H

#include "daemon.h"

/* The page is new: of a renderer that was just started. */
void vm_page_begin(Vm *vm);
/* The page was an earlier vgpud's: counts go on from what it says. */
void vm_page_adopt(Vm *vm);
/* What it is granted has changed: the guest is told, if its QEMU is there. */
void vm_page_changed(Vm *vm);
/* Its GPU time, as far as vgpud knows now.  Once a second while it is at work. */
void vm_page_times(Vm *vm);

#endif
