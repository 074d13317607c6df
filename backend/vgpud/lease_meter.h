/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VM is charged for: what it held while others waited, or what it used
 * if that is more: its CPU time where that is GPU time (and what is held is not
 * counted as strictly), else what its renderer claims.  Pure arithmetic; all times in ns.
 */
#ifndef VGPUD_LEASE_METER_H
#define VGPUD_LEASE_METER_H

#include <stdbool.h>
#include <stdint.h>

/* What is seen of a renderer at one moment. */
typedef struct LeaseSample {
    uint64_t now;
    uint32_t width, capacity; /* of the lease, of the GPU */
    uint64_t held;            /* held while others waited, since the last sample */
    uint64_t claim;           /* page: busy_ns */
    uint64_t busy_since;      /* page: busy_since_ns */
    bool cpu_counts;          /* and not the claim */
    uint64_t cpu;             /* CPU time of the processes, ever */
    bool cpu_late;            /* more of it may be known later */
} LeaseSample;

typedef struct LeaseMeter {
    uint64_t at;      /* of the last sample */
    uint64_t claim;   /* the highest claimed */
    uint64_t advance; /* counted as claimed for work that goes on, its claim is to come */
    uint64_t cpu;     /* the highest seen */
    int64_t claim_due, cpu_due;
    int64_t open;    /* charged since CPU time was last known in full */
    uint64_t excuse; /* time held that CPU time excuses, to come off what is held next */
    uint64_t unused; /* held beyond CPU time, where that counts, and not known to be taken */
    uint64_t refund; /* of that others had: to come off what is charged next */
    uint64_t lied;   /* charged beyond what was claimed, ever */
} LeaseMeter;

/* What was claimed and used before is not counted. */
void lease_meter_start(LeaseMeter *m, const LeaseSample *s);

/* The GPU time since the last sample. */
uint64_t lease_meter_charge(LeaseMeter *m, const LeaseSample *s);

/*
 * So much GPU time it could have used since this was last called, and others
 * did who hold no lease.  How much of it is taken off what is charged next: what
 * was charged for it.
 */
uint64_t lease_meter_taken(LeaseMeter *m, uint64_t ns);

/* The driver's own figures, looked at now and then, against what was charged since. */
typedef struct LeaseDriver {
    bool begun;
    uint64_t seen, charged; /* at the last look */
    int64_t due;
} LeaseDriver;

/*
 * seen: GPU time that the driver told of, ever; charged: that was charged, ever.
 * What is to be charged beside it; the caller counts that as charged.
 */
uint64_t lease_driver_excess(LeaseDriver *d, uint64_t seen, uint64_t charged);

#endif
