/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a VM's renderer: started, watched, lost, started again, ended. */
#ifndef VGPUD_VM_H
#define VGPUD_VM_H

#include "daemon.h"
#include "launcher.h"

/* Who hears of it: the QEMU's connection (attach.c). */
typedef struct VmListener {
    void (*started)(Vm *vm, Launched *fds);  /* fds: the listener may take what it wants */
    void (*failed)(Vm *vm, const char *why); /* the renderer did not start */
    void (*ended)(Vm *vm, const char *why);  /* it ran, and is gone */
    void (*changed)(Vm *vm);                 /* what it is granted is another now */
    void (*left)(Daemon *d);                 /* some VM left the books */
} VmListener;

void vm_set_listener(const VmListener *listener);

/* What it is granted has changed, and its page says so: its QEMU hears of it, if it is there. */
void vm_tell_changed(Vm *vm);

/*
 * Starts a renderer for a VM that has none.  The listener hears started or
 * failed later; when this returns false neither.
 */
bool vm_start(Daemon *d, Vm *vm, GError **error);

/* Its renderer goes; the VM stays in the books, lost, with that cause. */
void vm_kill(Vm *vm, VmReset reset, const char *cause);

/*
 * The same for a renderer that did nothing wrong: it finishes what it has begun,
 * and is killed if that takes it too long.  Its QEMU asks for the next one.
 */
void vm_make_room(Vm *vm, const char *cause);

/*
 * It closed a socket.  Most likely it is dying, and in a moment the kernel
 * tells why; if not it is killed.
 */
void vm_closed_socket(Vm *vm);

/*
 * Its QEMU wants another renderer: kills the one it has and, when that is dead
 * and not more often than once a second for long, starts the next.  The
 * listener hears started or failed later, or even before this returns.
 */
void vm_start_again(Vm *vm);

/* Somebody waits for its slice, and its QEMU is gone or goes: so does it, now. */
void vm_hurry(Vm *vm);

/*
 * Its QEMU's connection ended.  The renderer gets a few seconds to end by
 * itself.  When it is dead, or there is none, the VM leaves the books: vm may
 * be gone when this returns.
 */
void vm_client_gone(Vm *vm);

/* Takes the VMs of the state file back, as far as their renderers still run. */
void vm_adopt_all(Daemon *d);

/* Bytes its renderer may use of the host's memory. */
uint64_t vm_memory_cap(const Daemon *d, const Vm *vm);

void vm_save_all(Daemon *d);

#endif
