/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admission: whether a VM gets the slice it asks for, and the sentence its
 * owner reads when it does not.  Pure: no clock, no I/O, no state.
 */
#ifndef VGPUD_ADMISSION_H
#define VGPUD_ADMISSION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "gpu.h"
#include "profile.h"
#include "vgpu/attach.h"

/* What a VM holds already. */
typedef struct AdmissionBooking {
    const char *vm;
    const char *gpu;
    uint64_t memory; /* bytes */
    bool exclusive;
} AdmissionBooking;

typedef struct AdmissionGrant {
    const Profile *profile; /* borrowed from the set */
    const Gpu *gpu;         /* borrowed from the GPUs */
    uint64_t memory;        /* bytes */
    bool last_resort;       /* software rendering, because none of the others has room */
} AdmissionGrant;

/*
 * profile as in struct vgpu_attach_request; gpu as well: a GPU's name or PCI
 * address, a group of GPUs, or "auto" for all.  Of several the one with most
 * free memory is taken, software rendering last.  On refusal *code is set
 * and *why is a sentence of less than VGPU_MESSAGE_MAX bytes to free.
 */
bool admission_decide(const ProfileSet *profiles, const GPtrArray *gpus, const AdmissionBooking *bookings,
                      size_t count, const char *profile, const char *gpu, AdmissionGrant *grant,
                      enum vgpu_refusal *code, char **why);

/*
 * Whether a VM that is there already, bookings[self] on this GPU, may have that
 * much memory instead, and the GPU for itself.  Having less is always possible.
 */
bool admission_resize(const Gpu *gpu, const AdmissionBooking *bookings, size_t count, size_t self,
                      uint64_t memory, bool exclusive, char **why);

/* Bytes booked and free on a GPU. */
uint64_t admission_used(const Gpu *gpu, const AdmissionBooking *bookings, size_t count);
uint64_t admission_free(const Gpu *gpu, const AdmissionBooking *bookings, size_t count);

/* How many more VMs with this profile fit on this GPU. */
unsigned admission_fits(const Profile *p, const Gpu *gpu, const AdmissionBooking *bookings, size_t count);

#endif
