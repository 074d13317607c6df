/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's figures, over all of its renderers.
 *
 * A renderer's page begins at 0 and ends with it, and what stands in it is the
 * renderer's claim: it may go back or be nonsense.  What is told here never
 * goes back while the VM is in the books of one vgpud, and is bounded.
 */
#ifndef VGPUD_FIGURES_H
#define VGPUD_FIGURES_H

#include "daemon.h"
#include "leases.h"

#define FIGURES_MAX (1ull << 53) /* claimed counts stop here: as far as JSON and Prometheus count by ones */

typedef struct VmFigures {
    /* claims */
    bool known; /* false: vgpud was restarted and could not take the renderer's page back; they are 0 */
    uint64_t memory_used, memory_peak; /* bytes, at most the GPU's */
    uint64_t alloc_denied;             /* requests refused for lack of quota, ever */
    uint64_t frames;                   /* shown, ever */
    uint64_t contexts_hung;            /* ended because their work hung, ever */
    uint64_t last_submit_age_ns;       /* of the last 3D command; of the VM when there was none */

    /* vgpud's own */
    LeaseFigures lease;          /* sums over all renderers */
    double gpu_share;            /* of the GPU's time, over the last second or so, or since somebody asked */
    uint64_t gpu_share_ns;       /* over so long */
    const char *gpu_time_source; /* "cpu": CPU time stands in for GPU time; or "lease" */
} VmFigures;

/* now_ns: CLOCK_MONOTONIC. */
void figures_get(const Daemon *d, Vm *vm, uint64_t now_ns, VmFigures *f);
uint64_t figures_now(void);

/* Its lease's, over all of its renderers. */
void figures_lease(Vm *vm, LeaseFigures *sum);

/* Its renderer goes: call while vm still has its page. */
void figures_renderer_ends(Vm *vm);
/* Its lease goes: call while vm still has it. */
void figures_lease_ends(Vm *vm);

/* Of all of a GPU's VMs, as gpu_share. */
double figures_gpu_busy(const Daemon *d, Gpu *gpu, uint64_t now_ns);

#endif
