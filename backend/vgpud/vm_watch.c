/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Three things are told by no event and have to be looked at: what memory a
 * renderer really uses, whether the QEMU of an adopted renderer is gone, and
 * what a lease that nobody else waits for is used for (leases_tick).
 *
 * That is done once a second while any lease is held or wanted: a renderer that
 * is at work.  When all leases have been idle and are taken back it is done
 * every IDLE_S, because then no guest uses the GPU: its renderer's memory grows
 * by what needs no GPU only (2D pictures, which its ledger charges), and a
 * renderer that was taken over could do as much harm in one second as in ten.
 * The first call of a renderer wakes the pace up again.  With no VM there is no
 * timer at all.
 */
#include "vm_watch.h"

#include <poll.h>
#include <unistd.h>

#include "control.h"
#include "launcher.h"
#include "leases.h"
#include "process.h"
#include "units.h"
#include "vm.h"

#define IDLE_S 10

static guint timer, timer_s; /* 0: none */

uint64_t vm_memory_cap(const Daemon *d, const Vm *vm)
{
    uint64_t cap, granted = MAX(vm->memory, vm->held);

    return __builtin_add_overflow(granted, d->config->memory_overhead, &cap) ? UINT64_MAX : cap;
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

/* True: there is memory to come back soon. */
static bool check_memory(Daemon *d)
{
    bool soon = false;

    for (guint i = 0; i < d->books->vms->len; i++) {
        Vm *vm = d->books->vms->pdata[i];
        uint64_t cap, now;
        g_autofree char *why = NULL;

        if (vm->pidfd < 0 || !process_own_memory(vm->pid, &now)) {
            continue;
        }
        vm->resident = now;
        control_follow_memory(d, vm);
        soon |= vm->held != 0;
        cap = vm_memory_cap(d, vm);
        if (now <= cap || vm->cause) {
            continue;
        }
        why = g_strdup_printf(
            "it used %" G_GUINT64_FORMAT " MiB of host memory, more than its limit of %" G_GUINT64_FORMAT
            " MiB and %" G_GUINT64_FORMAT " MiB for the driver",
            (guint64)(now / MIB), (guint64)(vm->memory / MIB), (guint64)(d->config->memory_overhead / MIB));
        vm_kill(vm, VM_RESET_MEMORY, why);
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

static gboolean on_timer(gpointer opaque)
{
    Daemon *d = opaque;
    bool busy;

    busy = check_memory(d);
    check_adopted(d);
    busy |= leases_tick(d->leases);
    set_timer(d, !d->books->vms->len ? 0 : busy ? 1 : IDLE_S);
    return G_SOURCE_CONTINUE; /* unless it was removed just now */
}

static void on_awake(void *opaque)
{
    vm_watch(opaque);
}

void vm_watch(Daemon *d)
{
    leases_set_awake(d->leases, on_awake, d);
    set_timer(d, d->books->vms->len ? 1 : 0);
}
