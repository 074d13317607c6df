/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "figures.h"

#include "gpu.h"

/* A counter of the renderer's page: past its renderers that ended, high the highest seen of this one. */
typedef struct Claim {
    uint64_t past, high;
} Claim;

typedef struct Figures {
    Claim alloc_denied, frames, contexts_hung;
    uint64_t memory_peak, last_submit_ns; /* highest seen */
    LeaseFigures past;                    /* leases that ended */
    Meter share;
} Figures;

uint64_t figures_now(void)
{
    return (uint64_t)g_get_monotonic_time() * 1000;
}

static uint64_t claim_seen(Claim *c, uint64_t claimed)
{
    c->high = MAX(c->high, MIN(claimed, FIGURES_MAX));
    return MIN(c->past + c->high, FIGURES_MAX);
}

static void claim_ends(Claim *c)
{
    c->past = claim_seen(c, 0);
    c->high = 0;
}

static Figures *figures_of(Vm *vm)
{
    if (!vm->figures) {
        vm->figures = g_new0(Figures, 1);
    }
    return vm->figures;
}

/* What the renderer's page says now, kept as far as it may not go back. */
static void read_page(Vm *vm, uint64_t most_memory, uint64_t now_ns, VmFigures *f)
{
    static const struct vgpu_stats nothing;
    const struct vgpu_stats *page = vm->page ? vm->page : &nothing;
    uint64_t submit = vgpu_stats_get(&page->last_submit_ns);
    Figures *k = figures_of(vm);

    f->known = vm->page || !vm->pid;
    f->memory_used = MIN(vgpu_stats_get(&page->memory_used), most_memory);
    k->memory_peak = MAX(k->memory_peak, MIN(vgpu_stats_get(&page->memory_peak), most_memory));
    k->memory_peak = MAX(k->memory_peak, f->memory_used);
    f->memory_peak = k->memory_peak;
    f->alloc_denied = claim_seen(&k->alloc_denied, vgpu_stats_get(&page->alloc_denied));
    f->frames = claim_seen(&k->frames, vgpu_stats_get(&page->frames));
    f->contexts_hung = claim_seen(&k->contexts_hung, vgpu_stats_get(&page->contexts_hung));
    if (submit) {
        k->last_submit_ns =
            MAX(k->last_submit_ns, MIN(submit, now_ns - MIN(vm->clock_base, now_ns)) + vm->clock_base);
    }
    f->last_submit_age_ns = now_ns - MIN(now_ns, MAX(k->last_submit_ns, vm->since_ns));
}

static void add_lease(LeaseFigures *sum, const LeaseFigures *f)
{
    sum->used_ns += f->used_ns;
    sum->overshoot_ns += f->overshoot_ns;
    sum->grants += f->grants;
    sum->preemptions += f->preemptions;
    sum->revocations += f->revocations;
    sum->lied_ns += f->lied_ns;
    sum->wait_ns += f->wait_ns;
    for (unsigned i = 0; i <= LEASES_WAIT_BUCKETS; i++) {
        sum->waits[i] += f->waits[i];
    }
    sum->quantum_ns = f->quantum_ns;
    sum->queue_depth = MIN(f->queue_depth, FIGURES_MAX);
    sum->holds = f->holds;
    sum->wants = f->wants;
}

static uint64_t most_memory(const Daemon *d, const Vm *vm)
{
    const Gpu *gpu = gpu_find(d->gpus, vm->gpu);

    return gpu ? MAX(gpu->memory, vm->memory) : vm->memory;
}

void figures_lease(Vm *vm, LeaseFigures *sum)
{
    LeaseFigures l;

    *sum = figures_of(vm)->past;
    if (vm->lease) {
        leases_figures(vm->lease, &l);
        add_lease(sum, &l);
    }
}

void figures_get(const Daemon *d, Vm *vm, uint64_t now_ns, VmFigures *f)
{
    const Gpu *gpu = gpu_find(d->gpus, vm->gpu);
    Figures *k = figures_of(vm);

    *f = (VmFigures){ 0 };
    figures_lease(vm, &f->lease);
    read_page(vm, most_memory(d, vm), now_ns, f);
    f->gpu_time_source = gpu && gpu->node ? "lease" : "cpu";
    f->gpu_share = meter_ratio(&k->share, vm->since_ns, now_ns, f->lease.used_ns, &f->gpu_share_ns);
}

void figures_renderer_ends(Vm *vm)
{
    Figures *k = figures_of(vm);
    VmFigures f;

    if (vm->page) {
        read_page(vm, most_memory(vm->daemon, vm), figures_now(), &f);
    }
    claim_ends(&k->alloc_denied);
    claim_ends(&k->frames);
    claim_ends(&k->contexts_hung);
}

void figures_lease_ends(Vm *vm)
{
    LeaseFigures l;

    leases_figures(vm->lease, &l);
    l.queue_depth = 0;
    l.holds = l.wants = false;
    add_lease(&figures_of(vm)->past, &l);
}

double figures_gpu_busy(const Daemon *d, Gpu *gpu, uint64_t now_ns)
{
    uint64_t over;

    return meter_ratio(&gpu->busy, d->since_ns, now_ns, d->leases ? leases_gpu_used(d->leases, gpu->name) : 0,
                       &over);
}
