/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  An event is the end of a batch or the arrival of work.
 * A VM without end of work has no event for each batch: its run is drawn up to
 * the end of its slice in one go, or when an end becomes known (plan()).
 */
#include "sched-sim.h"

#include <stdio.h>

typedef struct SimEvent SimEvent;

static void schedule(Sim *sim, SimEvent *e, uint64_t at)
{
    if (e->queued) {
        heap_rekey(&sim->events, &e->at, at);
    } else {
        heap_push(&sim->events, &e->at, at);
        e->queued = true;
    }
}

static void cancel(Sim *sim, SimEvent *e)
{
    if (e->queued) {
        heap_remove(&sim->events, &e->at);
        e->queued = false;
    }
}

uint64_t sim_seed(bool fresh)
{
    const char *given = g_getenv("VGPU_TEST_SEED");
    uint64_t seed = given ? g_ascii_strtoull(given, NULL, 0) : fresh ? (uint64_t)g_get_real_time() : 1;

    printf("# VGPU_TEST_SEED=%" G_GUINT64_FORMAT "\n", seed);
    return seed;
}

uint64_t sim_random(Sim *sim, uint64_t least, uint64_t most)
{
    /* splitmix64: the same numbers everywhere for one seed */
    uint64_t z = (sim->random += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return least + z % (most - least + 1);
}

static uint64_t draw(Sim *sim, const SimVm *vm)
{
    return sim_random(sim, vm->load.batch_min, vm->load.batch_max);
}

static void sample(Sim *sim, SimVm *vm, uint64_t from, uint64_t to)
{
    double rate = (double)vm->params.width / sim->capacity;

    if (!vm->used_in) {
        return;
    }
    g_array_set_size(vm->used_in, MAX(vm->used_in->len, (guint)(to / SIM_SAMPLE) + 1));
    while (from < to) {
        uint64_t next = MIN((from / SIM_SAMPLE + 1) * SIM_SAMPLE, to);

        g_array_index(vm->used_in, double, from / SIM_SAMPLE) += (double)(next - from) * rate;
        from = next;
    }
}

static void charge(Sim *sim, SimVm *vm)
{
    uint64_t used = 0;

    if (vm->busy) {
        used = (sim->now - vm->charged_to) * vm->params.width / sim->capacity;
        sample(sim, vm, vm->charged_to, sim->now);
        vm->charged_to = sim->now;
    }
    vm->used += used;
    sched_charge(sim->sched, vm->client, used, sim->now);
}

static void give_back(Sim *sim, SimVm *vm)
{
    charge(sim, vm);
    if (vm->end != SCHED_NEVER && sim->now > vm->end) {
        vm->slip = MAX(vm->slip, sim->now - vm->end);
    }
    vm->busy = false;
    cancel(sim, &vm->batch);
    sched_return(sim->sched, vm->client, sim->now);
    g_assert_false(sched_holds(vm->client));
    g_ptr_array_remove_fast(sim->holders, vm);
}

static void want(Sim *sim, SimVm *vm)
{
    for (guint i = 0; i < sim->holders->len; i++) {
        charge(sim, g_ptr_array_index(sim->holders, i));
    }
    sched_want(sim->sched, vm->client, sim->now);
    g_assert_true(sched_wants(vm->client));
    vm->wanted_at = sim->now;
    sim->wanting++;
}

/* The end of the batch, or of the last one that it may begin. */
static void plan(Sim *sim, SimVm *vm)
{
    uint64_t at = vm->run_from;

    if (vm->backlog != SCHED_NEVER) {
        at += draw(sim, vm);
    } else if (vm->end == SCHED_NEVER) {
        return;
    } else {
        do {
            at += draw(sim, vm);
        } while (at < vm->end || at < sim->now);
    }
    vm->run_from = SCHED_NEVER;
    schedule(sim, &vm->batch, at);
}

static void begin(Sim *sim, SimVm *vm, uint64_t from)
{
    if (!vm->busy) {
        vm->busy = true;
        vm->charged_to = sim->now;
    }
    vm->run_from = from;
    plan(sim, vm);
}

static void batch_done(Sim *sim, SimVm *vm)
{
    charge(sim, vm);
    if (vm->backlog != SCHED_NEVER && vm->backlog > 0) {
        vm->backlog--;
        vm->batches_done++;
        if (!vm->backlog && vm->load.kind == SIM_FRAMES) {
            uint32_t us = (uint32_t)((sim->now - vm->arrived_at) / SIM_US);

            g_array_append_val(vm->latencies, us);
        }
    }
    if (vm->load.kind == SIM_CHAINED) {
        schedule(sim, &vm->arrival, sim->now + vm->load.period);
    }
    if (vm->backlog && sim->now < vm->end) {
        begin(sim, vm, sim->now);
    } else if (vm->backlog) {
        give_back(sim, vm);
        want(sim, vm);
    } else if (vm->end != SCHED_NEVER) {
        give_back(sim, vm);
    } else {
        vm->busy = false; /* and keeps the lease */
    }
}

static void arrive(Sim *sim, SimVm *vm)
{
    uint64_t before = vm->backlog;

    switch (vm->load.kind) {
    case SIM_IDLE:
        return;
    case SIM_SATURATING:
        vm->backlog = SCHED_NEVER;
        break;
    case SIM_FRAMES:
        if (!vm->backlog) {
            vm->backlog = sim_random(sim, 1, vm->load.burst);
            vm->batches_arrived += vm->backlog;
            vm->arrived_at = sim->now;
        }
        schedule(sim, &vm->arrival, sim->now + vm->load.period);
        break;
    case SIM_CHAINED:
        vm->backlog = 1;
        vm->batches_arrived++;
        break;
    case SIM_BURSTY:
        vm->backlog += sim_random(sim, 1, vm->load.burst);
        vm->batches_arrived += vm->backlog - before;
        schedule(sim, &vm->arrival, sim->now + sim_random(sim, 1, 2 * vm->load.period));
        break;
    case SIM_SLEEPY:
        vm->backlog = vm->backlog ? 0 : SCHED_NEVER;
        if (vm->backlog) {
            vm->awake_since = sim->now;
        } else {
            vm->awake += sim->now - vm->awake_since;
        }
        schedule(sim, &vm->arrival, sim->now + sim_random(sim, 1, 2 * vm->load.period));
        break;
    }
    if (!before && vm->backlog) {
        if (!sched_holds(vm->client)) {
            want(sim, vm);
        } else if (!vm->busy) {
            begin(sim, vm, sim->now);
        } /* else its last batch goes on */
    } else if (before && !vm->backlog) {
        if (!sched_holds(vm->client)) {
            sched_unwant(sim->sched, vm->client, sim->now);
            sim->wanting--;
        } else if (vm->run_from != SCHED_NEVER) { /* an unbounded run ends with the batch it is in */
            uint64_t at = vm->run_from;

            while (at <= sim->now) {
                at += draw(sim, vm);
            }
            vm->run_from = SCHED_NEVER;
            schedule(sim, &vm->batch, at);
        }
    }
}

void sim_settle(Sim *sim)
{
    SchedGrant g;
    SchedClient *holder;
    uint64_t end;
    bool changed;

    do {
        changed = false;
        while (sched_grant(sim->sched, sim->now, &g)) {
            SimVm *vm = g.opaque;

            g_assert_true(g.client == vm->client && g.slice_ns);
            vm->wait_max = MAX(vm->wait_max, sim->now - vm->wanted_at);
            vm->grants++;
            vm->end = g.slice_ns == SCHED_NEVER ? SCHED_NEVER : sim->now + g.slice_ns;
            g_ptr_array_add(sim->holders, vm);
            begin(sim, vm, sim->now + sim->handover);
            sim->decisions++;
            sim->wanting--;
        }
        while (sched_preempt(sim->sched, sim->now, &holder, &end)) {
            SimVm *vm = NULL;

            for (guint i = 0; i < sim->holders->len && (!vm || vm->client != holder); i++) {
                vm = g_ptr_array_index(sim->holders, i);
            }
            g_assert_true(vm && vm->client == holder);
            g_assert_cmpuint(end, >=, sim->now);
            g_assert_cmpuint(end, !=, vm->end); /* told once */
            vm->end = end;
            if (!vm->busy && end != SCHED_NEVER) {
                vm->end = SCHED_NEVER;
                give_back(sim, vm);
                changed = true;
            } else if (vm->busy && vm->run_from != SCHED_NEVER) {
                plan(sim, vm);
            }
        }
    } while (changed);
    if (sim->check) {
        sim->check(sim, sim->opaque);
    }
}

void sim_run(Sim *sim, uint64_t until)
{
    for (;;) {
        HeapEntry *top = heap_top(&sim->events);
        uint64_t next = sched_next(sim->sched, sim->now), at = top ? (uint64_t)top->key : SCHED_NEVER;

        at = MIN(at, next);
        if (at > until) {
            break;
        }
        g_assert_cmpuint(at, >=, sim->now);
        if (!sim->holders->len && sim->wanting) {
            sim->wasted += at - sim->now;
        }
        sim->now = at;
        if (top && (uint64_t)top->key == at) {
            SimEvent *e = (SimEvent *)top;

            cancel(sim, e);
            if (e->arrival) {
                arrive(sim, e->vm);
            } else {
                batch_done(sim, e->vm);
            }
        }
        sim_settle(sim);
    }
    sim->now = until;
    for (guint i = 0; i < sim->holders->len; i++) {
        charge(sim, g_ptr_array_index(sim->holders, i));
    }
}

Sim *sim_new(SchedPolicy policy, uint32_t capacity, uint64_t seed)
{
    Sim *sim = g_new0(Sim, 1);

    sim->sched = sched_new(policy, capacity);
    sim->capacity = capacity;
    sim->random = seed;
    sim->handover = 20 * SIM_US;
    sim->vms = g_ptr_array_new();
    sim->holders = g_ptr_array_new();
    heap_init(&sim->events);
    return sim;
}

static void vm_free(SimVm *vm)
{
    g_array_unref(vm->latencies);
    if (vm->used_in) {
        g_array_unref(vm->used_in);
    }
    g_free(vm);
}

void sim_free(Sim *sim)
{
    for (guint i = 0; i < sim->vms->len; i++) {
        vm_free(g_ptr_array_index(sim->vms, i));
    }
    sched_free(sim->sched);
    g_ptr_array_unref(sim->vms);
    g_ptr_array_unref(sim->holders);
    heap_clear(&sim->events);
    g_free(sim);
}

SimVm *sim_add(Sim *sim, const SchedParams *params, const SimLoad *load, bool sampled)
{
    SimVm *vm = g_new0(SimVm, 1);

    vm->params = *params;
    vm->load = *load;
    vm->run_from = SCHED_NEVER;
    vm->end = SCHED_NEVER;
    vm->batch.vm = vm->arrival.vm = vm;
    vm->arrival.arrival = true;
    vm->latencies = g_array_new(false, false, sizeof(uint32_t));
    vm->used_in = sampled ? g_array_new(false, true, sizeof(double)) : NULL;
    vm->client = sched_add(sim->sched, params, vm, sim->now);
    g_ptr_array_add(sim->vms, vm);
    schedule(sim, &vm->arrival, sim->now + sim_random(sim, 0, load->period));
    return vm;
}

void sim_remove(Sim *sim, SimVm *vm)
{
    if (sched_holds(vm->client)) {
        charge(sim, vm);
        g_ptr_array_remove_fast(sim->holders, vm);
    }
    sim->wanting -= sched_wants(vm->client);
    cancel(sim, &vm->batch);
    cancel(sim, &vm->arrival);
    sched_remove(sim->sched, vm->client, sim->now);
    g_ptr_array_remove_fast(sim->vms, vm);
    vm_free(vm);
    sim_settle(sim);
}

static gint compare(gconstpointer a, gconstpointer b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

uint64_t sim_percentile(const SimVm *vm, double part)
{
    g_autoptr(GArray) sorted = g_array_copy(vm->latencies);

    g_assert_cmpuint(sorted->len, >, 100);
    g_array_sort(sorted, compare);
    return g_array_index(sorted, uint32_t, (guint)((double)(sorted->len - 1) * part)) * SIM_US;
}

void sim_sum_up(Sim *sim)
{
    for (guint i = 0; i < sim->vms->len; i++) {
        const SimVm *vm = g_ptr_array_index(sim->vms, i);
        double sum = 0;

        if (!vm->used_in) {
            continue;
        }
        g_array_set_size(vm->used_in, (guint)(sim->now / SIM_SAMPLE) + 1);
        for (guint k = 0; k < vm->used_in->len; k++) { /* now: used until the beginning of k */
            double in = g_array_index(vm->used_in, double, k);

            g_array_index(vm->used_in, double, k) = sum;
            sum += in;
        }
    }
}

double sim_used_between(const SimVm *vm, uint64_t from, uint64_t to)
{
    return g_array_index(vm->used_in, double, to / SIM_SAMPLE) -
           g_array_index(vm->used_in, double, from / SIM_SAMPLE);
}
