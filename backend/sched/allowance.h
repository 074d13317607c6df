/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client under fixed-share may use now: grows with time at the rate of
 * its share, shrinks by what it uses, and below 0 is what it owes.
 */
#ifndef VGPU_SCHED_ALLOWANCE_H
#define VGPU_SCHED_ALLOWANCE_H

#include <stdint.h>

typedef struct Allowance {
    int64_t ns;  /* GPU time */
    uint64_t at; /* as of then */
} Allowance;

/* Grows it until now, up to most; what it has above that it keeps. */
void allowance_grow(Allowance *a, uint32_t share_ppm, int64_t most, uint64_t now);
void allowance_use(Allowance *a, uint64_t ns);
/* When it will be that much, UINT64_MAX - 1 at the latest. */
uint64_t allowance_time(const Allowance *a, uint32_t share_ppm, int64_t needed);

#endif
