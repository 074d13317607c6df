/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an operator changes while VMs run: all of a change or none of it, in
 * force within one scheduling round, kept over a restart of vgpud.  Who may is
 * asked before (roles.h), who did is written down after (audit.h), by http.c.
 */
#ifndef VGPUD_CONTROL_H
#define VGPUD_CONTROL_H

#include "../sched/sched.h"
#include "daemon.h"

enum {
    CONTROL_PROFILE = 1 << 0, /* all the profile's values, those below on top */
    CONTROL_SHARE = 1 << 1,
    CONTROL_MEMORY = 1 << 2,
    CONTROL_QUANTUM = 1 << 3,
    CONTROL_PRIORITY = 1 << 4,
    CONTROL_FRAME_RATE = 1 << 5,
    CONTROL_HANG_TIMEOUT = 1 << 6,
};

typedef struct ControlChange {
    unsigned set; /* CONTROL_* */
    char *profile;
    uint32_t share_ppm;  /* of the GPU's time */
    uint64_t memory;     /* bytes; below what is in use refuses new allocations and takes nothing back */
    uint32_t memory_ppm; /* when memory is 0: of the GPU's memory */
    uint64_t quantum_us; /* 0: the GPU's default */
    ProfilePriority priority;
    uint32_t frame_rate_limit; /* frames per second, 0: no bound */
    uint64_t hang_timeout_us;
} ControlChange;

void control_change_clear(ControlChange *c);

/* GError codes of VGPUD_ERROR here; 0: what was asked for makes no sense. */
enum {
    CONTROL_ERROR_UNKNOWN = 1, /* no such VM or GPU */
    CONTROL_ERROR_AMBIGUOUS,   /* the name means several */
    CONTROL_ERROR_REFUSED,     /* not possible now */
};

/*
 * Puts one KEY=VALUE of a profile's grammar (share=30% or 30, memory=2G, quantum=4ms,
 * priority=high, frame-rate-limit=60, hang-timeout=5s, profile=NAME) into a
 * change.  A key that is there already is an error.
 */
bool control_change_parse(ControlChange *c, const char *key, const char *value, GError **error);

/* The VMs that a name means: its name, its UUID, or UUID/DEVICE; an error unless it is exactly one. */
Vm *control_find_vm(const Daemon *d, const char *name, GError **error);

/*
 * Refused with a sentence when the profile does not exist or what is asked for
 * does not fit.  A profile's cpus are in force at once as far as the renderer
 * has threads for them, its max-resolution and max-contexts at the VM's next
 * reset, its displays when the VM is started again.
 */
bool control_apply(Daemon *d, Vm *vm, const ControlChange *c, GError **error);

/*
 * A VM that was just granted a slice had left the books while its QEMU lived:
 * a 3D that is off stays off, and when it comes back for its slice (not as a
 * new device) it has the values that it had, as far as they fit.
 */
void control_return(Daemon *d, Vm *vm, const Vm *departed, bool for_slice);

/* What is held from before memory was lowered, as far as its renderer has let go of it; once a second. */
void control_follow_memory(const Daemon *d, Vm *vm);

/* For a GPU by name or PCI address, until it is set again; kept in the state file. */
bool control_policy(Daemon *d, const char *gpu, SchedPolicy policy, GError **error);
bool control_policy_parse(const char *text, SchedPolicy *policy);
const char *control_policy_name(SchedPolicy policy);

/* Ends the VM's renderer; until control_allow its 3D stays off (it gets a 2D renderer at its next reset). */
bool control_stop(Daemon *d, Vm *vm, const char *why, GError **error);
/* Another renderer takes the place of the VM's, which finishes what it has begun. */
bool control_restart(Daemon *d, Vm *vm, const char *why, GError **error);
/* 3D again, at the VM's next reset; forgets its hangs. */
bool control_allow(Daemon *d, Vm *vm, GError **error);

#endif
