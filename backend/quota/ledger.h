/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger: the one place where GPU memory of a VM is charged and refunded.
 *
 * Bytes in uint64_t.  Lock-free: threads of the renderer charge and, through a
 * statistics page that they share, its Vulkan processes do.  A charge happens
 * before the allocation it is for; the caller stores the charged figure on its
 * object and refunds exactly that.  Needs nothing but libc: the Vulkan layer
 * has it too.
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
    uint64_t used;            /* atomic; bytes; without a page */
    uint64_t own;             /* atomic; bytes of used that this process refunds itself */
    uint64_t faults;          /* atomic; refunds of more than there was */
    uint64_t begun, ended;    /* atomic; steps that change used and own */
    struct vgpu_stats *stats; /* borrowed; with a page, limit and used are there */
} Ledger;

/*
 * The limit in force is the page's, which vgpud may change at any time; limit
 * is for a page that has none yet, or when there is no page.  Begins at 0.
 */
void ledger_init(Ledger *l, uint64_t limit, struct vgpu_stats *stats);
/* For another process of the VM: the page's figures go on as they are. */
void ledger_join(Ledger *l, struct vgpu_stats *stats);

/* False, and nothing charged, when it does not fit. */
bool ledger_charge(Ledger *l, uint64_t bytes);

/*
 * For what is there already and cannot be refused: goes past the limit if it
 * must.  (A resource without a name that virglrenderer still holds; its own
 * charge is refunded right after.)
 */
void ledger_carry(Ledger *l, uint64_t bytes);

/* bytes must have been charged or carried by this process. */
void ledger_refund(Ledger *l, uint64_t bytes);

/*
 * The same for what another process may refund, which is written down in the
 * Vulkan page (vulkan_books.h).  Whatever is claimed there, a refund takes
 * nothing of what this process has charged for itself.
 */
bool ledger_charge_shared(Ledger *l, uint64_t bytes);
void ledger_refund_shared(Ledger *l, uint64_t bytes);
/*
 * No other process charges now, and this is all that is shared: what a killed
 * process left is put right.  Returns how much that was,
 * in either direction.
 */
uint64_t ledger_settle_shared(Ledger *l, uint64_t bytes);

uint64_t ledger_used(const Ledger *l);
uint64_t ledger_limit(const Ledger *l);
uint64_t ledger_free(const Ledger *l); /* 0 when over the limit */

/* Lowering below use refuses new charges and takes nothing back. */
void ledger_set_limit(Ledger *l, uint64_t limit);

#endif
