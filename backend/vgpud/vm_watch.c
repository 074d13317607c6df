/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Some things are told by no event and have to be looked at: what memory and
 * CPU time a renderer and the processes below it really use, which of their
 * threads have to be on time (signs.c), whether the QEMU of an adopted renderer is
 * gone, and what a lease that nobody else waits for is used for (leases_tick).
 * And the guest is told of its GPU time (vm_page.c).
 *
 * That is done once a second while any lease is held or wanted: a renderer that
 * is at work.  When all leases have been idle and are taken back there is no
 * timer: no guest uses the GPU, and a renderer that does something all the same
 * (2D pictures, or harm) uses CPU time, which its alarm tells of.  What it can
 * take until the alarm rings is what it can write in ALARM_NS.  Only with
 * renderers whose QEMU is not known, or where the kernel has no such alarms,
 * there is a look every IDLE_S.
 *
 * While some are at work the others are not looked at each time, so that one busy
 * VM does not have a hundred idle ones cost something: whose processes have used no
 * CPU time since the last look have not changed, and get one every IDLE_S as well.
 * The first call of a renderer wakes the pace up again.
 */
#include "vm_watch.h"

#include <poll.h>
#include <unistd.h>

#include "control.h"
#include "cpu_alarm.h"
#include "drm_usage.h"
#include "ids.h"
#include "launcher.h"
#include "leases.h"
#include "process.h"
#include "process_shared.h"
#include "process_tree.h"
#include "signs.h"
#include "units.h"
#include "vm.h"
#include "vm_page.h"

#define IDLE_S       10
#define ALARM_NS     (50 * 1000 * 1000)
#define CONTEXTS_MAX 64 /* of Vulkan: more processes get no more memory */

static guint timer, timer_s; /* 0: none */

uint64_t vm_memory_cap(const Daemon *d, const Vm *vm)
{
    uint64_t cap, granted = MAX(vm->memory, vm->held), overhead = d->config->memory_overhead;
    guint others = vm->tree && vm->tree->members->len ? vm->tree->members->len - 1 : 0;

    /* each context of Vulkan has a driver and a compiler of its own */
    if (__builtin_mul_overflow(overhead / 4, 4 + MIN(others, CONTEXTS_MAX), &overhead) ||
        __builtin_add_overflow(granted, overhead, &cap)) {
        return UINT64_MAX;
    }
    return cap;
}

/*
 * After a restart nobody tells us when a QEMU goes.  The renderer's end of the
 * vhost-user socket does; what else it may have put there is only polled.
 */
static bool deserted(const Vm *vm)
{
    struct pollfd p = { .fd = process_get_fd(vm->pidfd, LAUNCHER_VHOST_USER_FD), .events = POLLRDHUP };
    bool gone = p.fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP));

    if (p.fd >= 0) {
        close(p.fd);
    }
    return gone;
}

static void check_adopted(Daemon *d)
{
    for (guint i = 0; i < d->books->vms->len; i++) {
        Vm *vm = d->books->vms->pdata[i];

        if (!vm->client && vm->state == VM_RUNNING && deserted(vm)) {
            vm_client_gone(vm); /* leaves later: the list stays as it is */
        }
    }
}

static void check_memory(Daemon *d, Vm *vm)
{
    uid_t uid = ids_of_slot(d->uid_base, vm->slot);
    const SharedOwner owner = { .uid = uid ? uid : geteuid(), .other = vm->owner, .qemu = vm->qemu_pid };
    g_autofree char *why = NULL;
    uint64_t cap, now;

    if (!process_tree_memory(vm->tree, &owner, &now)) {
        return;
    }
    cap = vm_memory_cap(d, vm);
    vm->resident = now;
    control_follow_memory(d, vm);
    if (now <= cap || vm->cause) {
        return;
    }
    why = g_strdup_printf("it used %" G_GUINT64_FORMAT
                          " MiB of host memory, more than its limit of %" G_GUINT64_FORMAT
                          " MiB and %" G_GUINT64_FORMAT " MiB for the driver",
                          (guint64)(now / MIB), (guint64)(vm->memory / MIB),
                          (guint64)((cap - MAX(vm->memory, vm->held)) / MIB));
    vm_kill(vm, VM_RESET_MEMORY, why);
}

/* On hardware: the GPU time that its driver tells of. */
static void check_driver(const Daemon *d, Vm *vm)
{
    const Gpu *gpu = gpu_find(d->gpus, vm->gpu);
    pid_t pids[PROCESS_TREE_MAX];
    uint64_t ns;

    if (!gpu || !gpu->node) {
        return;
    }
    if (!vm->drm) {
        vm->drm = drm_usage_new(gpu->pci);
    }
    for (guint i = 0; i < vm->tree->members->len; i++) {
        pids[i] = g_array_index(vm->tree->members, ProcessTreeMember, i).pid;
    }
    if (drm_usage_look(vm->drm, pids, vm->tree->members->len, &ns)) {
        leases_see_driver(vm->lease, ns);
    }
}

/*
 * Nothing that a look could find has happened since the last one began.  (Its clock
 * is of before it: who ran meanwhile, or was found by it, has another one now.)
 */
static bool slept(const Daemon *d, Vm *vm)
{
    const Gpu *gpu = gpu_find(d->gpus, vm->gpu);
    uint64_t before = vm->watched_clock;
    LeaseFigures f = { 0 };
    bool known = process_tree_clock(vm->tree, &vm->watched_clock);

    if (vm->lease) {
        leases_figures(vm->lease, &f);
    }
    /* a GPU of its own works without CPU time, and held memory is waited for */
    if (!known || vm->watched_clock != before || f.holds || f.wants || vm->held || vm->cause || !gpu ||
        gpu->node || vm->unwatched >= IDLE_S) {
        vm->unwatched = 0;
        return false;
    }
    vm->unwatched++;
    return true;
}

/* True: there is memory to come back soon. */
static bool check_processes(Daemon *d)
{
    bool soon = false;

    for (guint i = 0; i < d->books->vms->len; i++) {
        Vm *vm = d->books->vms->pdata[i];

        if (vm->pidfd < 0 || slept(d, vm)) {
            continue;
        }
        process_tree_look(vm->tree);
        if (vm->tree->too_many && !vm->cause) {
            vm_kill(vm, VM_RESET_PROCESSES, "it has more processes or threads than any VM needs");
        }
        signs_see(vm->tree);
        check_memory(d, vm);
        if (vm->lease) {
            leases_see(vm->lease, vm->tree);
            check_driver(d, vm);
        }
        soon |= vm->held != 0;
    }
    return soon;
}

static gboolean on_timer(gpointer opaque);

static void set_timer(Daemon *d, guint s)
{
    if (s == timer_s) {
        return;
    }
    if (timer) {
        g_source_remove(timer);
    }
    timer = s ? g_timeout_add_seconds(s, on_timer, d) : 0;
    timer_s = s;
}

/* Alarms for all of its processes that were there at the last look; false: there are none to be had. */
static bool set_alarms(const Vm *vm)
{
    bool ok = true;

    for (guint i = 0; vm->tree && i < vm->tree->members->len; i++) {
        ok = cpu_alarm_add(g_array_index(vm->tree->members, ProcessTreeMember, i).pid, ALARM_NS) && ok;
    }
    return ok;
}

/* All renderers sleep; how soon to look at them, or 0: when they do not any more. */
static guint idle_pace(const Daemon *d)
{
    bool look = false;

    for (guint i = 0; i < d->books->vms->len; i++) {
        const Vm *vm = d->books->vms->pdata[i];

        look |= !set_alarms(vm) || (!vm->client && !vm->qemu_source && vm->state == VM_RUNNING);
    }
    return look ? IDLE_S : 0;
}

static gboolean on_timer(gpointer opaque)
{
    Daemon *d = opaque;
    bool busy;

    busy = check_processes(d);
    check_adopted(d);
    busy |= leases_tick(d->leases);
    for (guint i = 0; i < d->books->vms->len; i++) {
        vm_page_times(d->books->vms->pdata[i]);
    }
    cpu_alarm_clear();
    set_timer(d, busy ? 1 : idle_pace(d));
    return G_SOURCE_CONTINUE; /* unless it was removed just now */
}

static void on_awake(void *opaque)
{
    vm_watch(opaque);
}

void vm_watch(Daemon *d)
{
    leases_set_awake(d->leases, on_awake, d);
    cpu_alarm_init(on_awake, d);
    cpu_alarm_clear();
    set_timer(d, d->books->vms->len ? 1 : 0);
}
