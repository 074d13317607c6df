/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A renderer gets its lease when it is started and has it until it ends; what a
 * restart of vgpud finds must still be there, or the VM would use the GPU
 * without one: such a renderer is ended, and its VM gets another.
 *
 * A hang is a guest's fault or a driver's, and it often comes back: after
 * HANGS_MOST of them in HANGS_WITHIN the next renderer is the 2D one, so that
 * the VM keeps its screen and the GPU its other users, until an operator says
 * otherwise: see hangs.c.
 */
#include "vm_lease.h"

#include <string.h>
#include <unistd.h>

#include "figures.h"
#include "hangs.h"
#include "process.h"
#include "settings.h"
#include "vm.h"

#define PLENTY 16 /* characters of a time */

static void seconds(char text[PLENTY], double s)
{
    g_snprintf(text, PLENTY, s < 9.95 ? "%.1f" : "%.0f", s);
}

static void on_hung(void *opaque, uint64_t ns, void *daemon)
{
    Vm *vm = opaque;
    char took[PLENTY], allowed[PLENTY];
    g_autofree char *cause = NULL;
    bool too_often = hangs_add(((Daemon *)daemon)->books->hangs, vm, g_get_monotonic_time());

    seconds(took, (double)ns / 1e9);
    seconds(allowed, (double)vm->hang_timeout_us / G_USEC_PER_SEC);
    cause = g_strdup_printf(
        "its work hung on %s for %s s, and its hang timeout is %s s%s%s%s", vm->gpu, took, allowed,
        too_often ? "; that is the third time in ten minutes: its 3D is off until `vgpuctl allow " : "",
        too_often ? vm->name : "", too_often ? "`" : "");
    g_warning("%s: %s", vm->name, cause);
    vm->no_3d |= too_often;
    vm_kill(vm, VM_RESET_HANG, cause);
    vm_save_all(daemon);
}

static void on_outside(void *opaque, bool outside, void *daemon)
{
    const Vm *vm = opaque;

    if (outside) {
        g_warning("%s: its renderer uses more than its share of %s without waiting for its turns: it gets "
                  "what CPU time others leave until that is made up for",
                  vm->name, vm->gpu);
    } else {
        g_message("%s: its renderer has made up for what it used out of turn", vm->name);
    }
}

static void settings_of(const Daemon *d, const Vm *vm, LeaseSettings *s)
{
    settings_for_lease(vm, gpu_find(d->gpus, vm->gpu), launcher_cpus_online(), s);
}

bool vm_lease_init(Daemon *d, GError **error)
{
    d->leases = leases_new(on_hung, d, error);
    if (d->leases) {
        leases_set_outside(d->leases, on_outside, d);
    }
    for (guint i = 0; d->leases && i < d->gpus->len; i++) {
        vm_lease_policy(d, d->gpus->pdata[i]);
    }
    return d->leases != NULL;
}

/* VMs that came under another policy. */
static void check_exclusive(const Daemon *d, const Gpu *gpu)
{
    unsigned vms = 0;

    for (guint i = 0; i < d->books->vms->len; i++) {
        vms += g_str_equal(((const Vm *)d->books->vms->pdata[i])->gpu, gpu->name);
    }
    if (gpu->policy == SCHED_EXCLUSIVE && vms > 1) {
        g_warning("%s: its policy is exclusive and %u VMs are there: only the first gets GPU time, until it "
                  "leaves or `vgpuctl policy %s best-effort`",
                  gpu->name, vms, gpu->name);
    }
}

void vm_lease_all_there(Daemon *d)
{
    for (guint i = 0; i < d->gpus->len; i++) {
        check_exclusive(d, d->gpus->pdata[i]);
    }
    leases_start(d->leases);
}

static bool add(Daemon *d, Vm *vm, int page, int call, int wake, GError **error)
{
    LeaseSettings s;

    settings_of(d, vm, &s);
    vm->lease = leases_add(d->leases, vm->gpu, page, call, wake, vm->pid, &s, vm, error);
    if (vm->lease) { /* what is there already counts from now on */
        process_tree_look(vm->tree);
        leases_see(vm->lease, vm->tree);
    }
    return vm->lease != NULL;
}

bool vm_lease_start(Daemon *d, Vm *vm, Launched *l, GError **error)
{
    vm->leased = l->lease >= 0;
    if (!vm->leased) {
        return true;
    }
    if (!add(d, vm, l->lease, l->call, l->wake, error)) {
        return false;
    }
    l->lease = l->call = l->wake = -1; /* the lease's now */
    return true;
}

bool vm_lease_adopt(Daemon *d, Vm *vm, GError **error)
{
    static const int places[] = { LAUNCHER_LEASE_FD, LAUNCHER_CALL_FD, LAUNCHER_WAKE_FD };
    int fds[G_N_ELEMENTS(places)];

    if (!d->leases || !vm->leased) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        fds[i] = process_get_fd(vm->pidfd, places[i]);
    }
    if (add(d, vm, fds[0], fds[1], fds[2], error)) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    return false;
}

void vm_lease_end(Vm *vm)
{
    if (vm->lease) {
        figures_lease_ends(vm);
        leases_remove(vm->lease);
        vm->lease = NULL;
    }
}

void vm_lease_update(const Daemon *d, Vm *vm)
{
    LeaseSettings s;

    if (vm->lease) {
        settings_of(d, vm, &s);
        leases_set(vm->lease, &s);
    }
}

void vm_lease_policy(const Daemon *d, const Gpu *gpu)
{
    if (d->leases) {
        leases_set_policy(d->leases, gpu->name, gpu->policy, settings_capacity(gpu, launcher_cpus_online()));
    }
}
