/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A renderer that works while it waits for its turn has been taken over by its
 * guest, or is broken.  On hardware only the driver could see that.  On a
 * software GPU the kernel counts its CPU time, and who waits uses next to none:
 * the one thread that draws is asleep, and nothing passes what it waits for.
 *
 * The kernel brings the clock of another process' thread up to date when the
 * thread stops running, or else at its next tick, so what is read when the wait
 * begins may be milliseconds old.  Hence probes: now and then one lease that
 * has waited for a while already is looked at, and again when its wait ends or
 * some milliseconds later.  In between an honest renderer's clock stands still.
 *
 * Who was seen at work is charged for it like for anything else and gets no
 * turn before that is paid back; but it does not wait for turns.  So its
 * threads get what CPU time all others leave, the lowest nice value, until for
 * some seconds they do as they should.  Who raises a nice value needs a
 * privilege to lower it again: without it nothing is done.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lease_private.h"

#define PROBE_EVERY (5 * LEASE_MS)
#define PROBE_AFTER LEASE_MS       /* from the beginning of a wait */
#define PROBE_LEAST (LEASE_MS / 2) /* shorter ones tell nothing */
#define PROBE_MOST  (10 * LEASE_MS)

#define ENOUGH      (20 * LEASE_MS) /* of probes, for a verdict */
#define GUILTY      4               /* this part of it at work */
#define CALM_TICKS  3               /* without a look that says so, before it is forgiven */
#define NICE_LAST   19
#define THREADS_MAX 1024

void lease_probe_end(Lease *lease, uint64_t now)
{
    Leases *l = lease->gpu->all;
    bool known;
    uint64_t cpu;

    if (l->probe != lease) {
        return;
    }
    l->probe = NULL;
    cpu = lease_cpu_time(lease, &known);
    if (known && cpu >= l->probe_cpu && now - l->probe_at >= PROBE_LEAST) {
        lease->probed += now - l->probe_at;
        lease->probed_cpu += cpu - l->probe_cpu;
    }
}

void lease_probe(Leases *l, uint64_t now)
{
    Lease *lease;
    bool known;

    if (l->probe && now - l->probe_at >= PROBE_MOST) {
        lease_probe_end(l->probe, now);
    }
    if (l->probe || now < l->probe_due || !l->leases->len) {
        return;
    }
    l->probe_next = (l->probe_next + 1) % l->leases->len;
    lease = l->leases->pdata[l->probe_next];
    if (!lease || !lease->waiting || now - lease->wait_since < PROBE_AFTER) {
        return;
    }
    l->probe_cpu = lease_cpu_time(lease, &known);
    if (known) {
        l->probe = lease;
        l->probe_at = now;
        l->probe_due = now + PROBE_EVERY;
    }
}

void lease_judge(Lease *l)
{
    bool guilty = l->probed >= ENOUGH && l->probed_cpu > l->probed / GUILTY;

    if (guilty) {
        l->outside_calm = 0;
        l->outside = l->gpu->all->may_nice;
    } else if (l->outside && ++l->outside_calm >= CALM_TICKS) {
        l->outside = false;
    }
    if (l->probed >= ENOUGH) {
        l->probed = l->probed_cpu = 0;
    }
}

void lease_renice(pid_t pid, bool last)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    int value = last ? NICE_LAST : getpriority(PRIO_PROCESS, (id_t)getpid());
    const char *tid;

    for (unsigned n = 0; dir && n < THREADS_MAX && (tid = g_dir_read_name(dir)); n++) {
        setpriority(PRIO_PROCESS, (id_t)atoi(tid), value); /* it may be gone */
    }
}
