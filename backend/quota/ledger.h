/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger: the one place where GPU memory of a VM is charged and refunded.
 *
 * Bytes in uint64_t.  Thread-safe (lock-free): render threads charge while the
 * vhost-user thread reads.  A charge happens before the allocation it is for;
 * the caller stores the charged figure on its object and refunds exactly that.
 */
#ifndef VGPU_QUOTA_LEDGER_H
#define VGPU_QUOTA_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "vgpu/stats.h"

/* A full slice still synchronises: charges up to this size ... */
#define LEDGER_SMALL_MAX (64u * 1024)
/* ... may go this far past the limit. */
#define LEDGER_RESERVE (4u * 1024 * 1024)

typedef struct Ledger {
    uint64_t limit;           /* atomic; bytes; without a page */
    uint64_t used;            /* atomic; bytes */
    struct vgpu_stats *stats; /* borrowed; where the figures are published */
} Ledger;

/*
 * The limit in force is the page's, which vgpud may change at any time; limit
 * is for a page that has none yet, or when there is no page.
 */
void ledger_init(Ledger *l, uint64_t limit, struct vgpu_stats *stats);

/* False, and nothing charged, when it does not fit. */
bool ledger_charge(Ledger *l, uint64_t bytes);

/*
 * For what is there already and cannot be refused: goes past the limit if it
 * must.  (A resource without a name that virglrenderer still holds; its own
 * charge is refunded right after.)
 */
void ledger_carry(Ledger *l, uint64_t bytes);

/* bytes must have been charged. */
void ledger_refund(Ledger *l, uint64_t bytes);

uint64_t ledger_used(const Ledger *l);
uint64_t ledger_limit(const Ledger *l);
uint64_t ledger_free(const Ledger *l); /* 0 when over the limit */

/* Lowering below use refuses new charges and takes nothing back. */
void ledger_set_limit(Ledger *l, uint64_t limit);

#endif
