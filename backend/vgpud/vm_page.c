/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm_page.h"

#include <string.h>

#include "figures.h"
#include "vm.h"

/* Of a page that its renderer could write: far from where sums would wrap. */
#define CLAIM_MAX FIGURES_MAX

static const enum vgpu_reset_cause causes[VM_RESET_COUNT] = {
    [VM_RESET_CRASH] = VGPU_RESET_CRASH,       [VM_RESET_HANG] = VGPU_RESET_HANG,
    [VM_RESET_DEADLINE] = VGPU_RESET_DEADLINE, [VM_RESET_PROTOCOL] = VGPU_RESET_CRASH,
    [VM_RESET_MEMORY] = VGPU_RESET_RESOURCE,   [VM_RESET_PROCESSES] = VGPU_RESET_RESOURCE,
    [VM_RESET_OPERATOR] = VGPU_RESET_OPERATOR, [VM_RESET_QEMU] = VGPU_RESET_OPERATOR,
    [VM_RESET_RESTART] = VGPU_RESET_OPERATOR,
};

/* The guest's readers see a number change before and after the words. */
static void write_profile(Vm *vm)
{
    struct vgpu_stats *page = vm->page;
    char name[sizeof(page->profile)] = "";

    vm->page_serial += 2;
    g_strlcpy(name, vm->profile, sizeof(name));
    __atomic_store_n(&page->profile_serial, vm->page_serial - 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(page->profile, name, sizeof(name));
    vgpu_stats_set(&page->share, vm->share);
    vgpu_stats_set(&page->memory_limit, vm->memory);
    vgpu_stats_set(&page->hang_timeout_ns, vm->hang_timeout_us * 1000);
    __atomic_store_n(&page->profile_serial, vm->page_serial, __ATOMIC_RELEASE);
}

static void write_times(Vm *vm)
{
    LeaseFigures f;

    figures_lease(vm, &f);
    vgpu_stats_set(&vm->page->gpu_time_ns, vm->page_before.gpu_time_ns + f.used_ns);
    vgpu_stats_set(&vm->page->throttled_ns, vm->page_before.throttled_ns + f.wait_ns);
}

void vm_page_begin(Vm *vm)
{
    uint64_t own = vm_resets(vm), lost = vm->page_before.resets + own;

    if (own) {
        vm->page_before.cause = causes[vm->reset];
    }
    vgpu_stats_set(&vm->page->resets, lost);
    vgpu_stats_set(&vm->page->reset_cause, lost ? vm->page_before.cause : VGPU_RESET_NONE);
    write_times(vm);
    write_profile(vm);
}

void vm_page_adopt(Vm *vm)
{
    const struct vgpu_stats *page = vm->page;

    vm->page_serial = vgpu_stats_get(&page->profile_serial) & ~1ull;
    vm->page_before.resets = MIN(vgpu_stats_get(&page->resets), CLAIM_MAX);
    vm->page_before.gpu_time_ns = MIN(vgpu_stats_get(&page->gpu_time_ns), CLAIM_MAX);
    vm->page_before.throttled_ns = MIN(vgpu_stats_get(&page->throttled_ns), CLAIM_MAX);
    vm->page_before.cause = MIN(vgpu_stats_get(&page->reset_cause), (uint64_t)VGPU_RESET_DEADLINE);
    vm_page_begin(vm); /* its renderer may have written other words there meanwhile */
}

void vm_page_changed(Vm *vm)
{
    if (vm->page) {
        write_profile(vm);
        vm_tell_changed(vm);
    }
}

void vm_page_times(Vm *vm)
{
    if (vm->page) {
        write_times(vm);
    }
}
