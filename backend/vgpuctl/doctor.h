/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpuctl doctor: whether this host can give VMs a slice of its GPUs, step by
 * step, and what to do where it cannot.
 */
#ifndef VGPUCTL_DOCTOR_H
#define VGPUCTL_DOCTOR_H

#include "child.h"
#include "command.h"

typedef enum DoctorResult { DOCTOR_PASS, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP, DOCTOR_RESULTS } DoctorResult;

typedef struct Doctor {
    const Ctl *ctl;
    unsigned deadline_s; /* of one program that is tried */
    bool optional;       /* what fails now is a warning: vgpu works without it */
    unsigned count[DOCTOR_RESULTS];
    JsonArray *json; /* NULL: text, at once */
} Doctor;

/* A finding.  remedy: what to do about it, or NULL. */
void doctor_say(Doctor *d, DoctorResult result, const char *check, const char *remedy, const char *format,
                ...) G_GNUC_PRINTF(5, 6);

/* A program of ours: beside this one in a build folder, else where it is installed; to free. */
char *doctor_program(const char *name);

/* doctor_host.c */
void doctor_check_kernel(Doctor *d);
void doctor_check_memory(Doctor *d);
void doctor_check_limits(Doctor *d);
void doctor_check_kvm(Doctor *d);
void doctor_check_qemu(Doctor *d);
/* doctor_gpu.c */
void doctor_check_gpus(Doctor *d);
void doctor_check_vulkan(Doctor *d);

/*
 * Run in a process of their own by the checks (vgpuctl try-kvm, try-sandbox):
 * they may not come back.  A sentence on stderr says why they failed.
 */
int try_kvm(const Ctl *ctl);
int try_sandbox(const Ctl *ctl);

#endif
