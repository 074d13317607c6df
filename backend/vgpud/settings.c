/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "settings.h"

_Static_assert((int)PROFILE_LOW == (int)SCHED_PRIORITY_LOW &&
                   (int)PROFILE_NORMAL == (int)SCHED_PRIORITY_NORMAL &&
                   (int)PROFILE_HIGH == (int)SCHED_PRIORITY_HIGH,
               "the same priorities");

void settings_from_profile(Vm *vm, const Profile *p, const Gpu *gpu, uint32_t cpus)
{
    vm->memory = profile_memory(p, gpu->memory);
    vm->share = profile_share(p, gpu->memory);
    vm->priority = p->priority;
    vm->quantum_us = p->quantum_us;
    vm->frame_rate_limit = p->frame_rate_limit;
    vm->hang_timeout_us = p->hang_timeout_us;
    vm->cpus = profile_cpus_by_share(p, vm->share, !gpu->node, cpus);
    vm->max_width = p->max_width;
    vm->max_height = p->max_height;
    vm->max_contexts = p->max_contexts;
    vm->apis = p->apis;
    vm->exclusive = p->exclusive;
    vm->strict = p->strict;
}

void settings_follow_share(Vm *vm, const Profile *p, const Gpu *gpu, uint32_t cpus)
{
    vm->cpus = profile_cpus_by_share(p, vm->share, !gpu->node, cpus);
}

void settings_copy(Vm *to, const Vm *from)
{
    to->memory = from->memory;
    to->share = from->share;
    to->priority = from->priority;
    to->quantum_us = from->quantum_us;
    to->frame_rate_limit = from->frame_rate_limit;
    to->hang_timeout_us = from->hang_timeout_us;
    to->cpus = from->cpus;
    to->max_width = from->max_width;
    to->max_height = from->max_height;
    to->max_contexts = from->max_contexts;
    to->apis = from->apis;
    to->exclusive = from->exclusive;
    to->strict = from->strict;
}

uint32_t settings_capacity(const Gpu *gpu, uint32_t cpus)
{
    return gpu && !gpu->node ? MAX(cpus, 1) : 1;
}

void settings_for_lease(const Vm *vm, const Gpu *gpu, uint32_t cpus, LeaseSettings *s)
{
    uint32_t capacity = settings_capacity(gpu, cpus);
    /* strict: as wide as the GPU, whatever it uses of it, so that no other lease fits beside its own */
    uint32_t width = vm->cpus && !vm->strict ? MIN(vm->cpus, capacity) : capacity;

    *s = (LeaseSettings){
        .params = {
            .share_ppm = vm->share,
            .priority = (SchedPriority)vm->priority,
            .quantum_ns = vm->quantum_us * 1000,
            .width = width,
        },
        .hang_timeout_ns = vm->hang_timeout_us * 1000,
        .frame_interval_ns = vm->frame_rate_limit ? 1000000000ull / vm->frame_rate_limit : 0,
        .software = gpu && !gpu->node,
    };
}
