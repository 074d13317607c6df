/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One GPU's leases: followed, charged, granted, asked back, taken away.  See leases.c for the theory. */
#include <sys/types.h>
#include <time.h>

#include "lease_private.h"
#include "process.h"

#define NEVER LEASE_PAGE_NEVER

#define LOOK_AFTER (LEASE_MS / 2) /* past the end of a slice */
#define LOOK_STEP  (2 * LEASE_MS) /* from the first look to the second, then twice as long each time */
#define LOOK_MOST  (50 * LEASE_MS)
#define GRACE      (10 * LEASE_MS)   /* to begin with what was granted: the host may be busy */
#define ROUND_MAX  64                /* decisions at once, beside two for each that fits */
#define STARTING   (2000 * LEASE_MS) /* CPU time to load a driver, which is no use of the GPU */
#define RETRY      LEASE_MS

uint64_t lease_gpu_time(const Lease *l, uint64_t ns)
{
    __extension__ unsigned __int128 wide = ns;

    return (uint64_t)(wide * l->settings.params.width / l->gpu->capacity);
}

void lease_gpu_clock(LeaseGpu *g, uint64_t now)
{
    if (now > g->clock) {
        /* it is in somebody's way, or beyond what is told of its use there is only this to bound it by */
        if (sched_contended(g->sched) || (sched_policy(g->sched) == SCHED_FIXED_SHARE && !g->software)) {
            g->contended += now - g->clock;
        }
        if (g->holders->len || sched_contended(g->sched)) {
            g->busy += now - g->clock;
        }
        g->clock = now;
    }
}

uint64_t lease_cpu_time(Lease *l, uint64_t now, bool *known)
{
    struct timespec ts;

    *known = l->settings.software && l->clock_known && clock_gettime(l->clock, &ts) == 0;
    if (!*known) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * 1000 * LEASE_MS + (uint64_t)ts.tv_nsec +
           lease_tree_time(&l->tree, l->gpu->capacity, now);
}

static LeaseSample sample(Lease *l, uint64_t now)
{
    const struct vgpu_lease *page = l->page.shared;
    LeaseSample s = {
        .now = now,
        .width = l->settings.params.width,
        .capacity = l->gpu->capacity,
        .held = l->held ? l->gpu->contended - l->contended : 0,
        .claim = lease_page_get(&page->busy_ns),
        .busy_since = lease_page_get(&page->busy_since_ns),
    };

    s.cpu = lease_cpu_time(l, now, &s.cpu_counts);
    return s;
}

/* GPU time since the last time; late: there may be more that is not known yet. */
static uint64_t measure(Lease *l, bool late, uint64_t now)
{
    LeaseGpu *g = l->gpu;
    LeaseSample s = sample(l, now);
    uint64_t used;

    s.cpu_late = late;
    if (!l->warm) {
        l->meter.cpu = s.cpu;
        l->warm = s.cpu > STARTING; /* whether it asks for a lease or not */
    }
    g->cpu += s.cpu > l->meter.cpu ? s.cpu - l->meter.cpu : 0;
    used = lease_meter_charge(&l->meter, &s);
    l->contended = g->contended;
    l->busy = g->busy;
    l->figures.used_ns += used;
    g->used += used;
    return used;
}

/*
 * Of what was used without a lease the scheduler hears no more than the time in
 * which others had one: the rest was in nobody's way, is told in the figures,
 * and is not to be paid back.  Unless shares are fixed: then all counts.
 */
void lease_charge(Lease *l, uint64_t now)
{
    LeaseGpu *g = l->gpu;
    uint64_t most = lease_gpu_time(l, g->busy - l->busy),
             used = measure(l, !lease_tree_is_one(&l->tree), now);

    if (used) {
        bool all = l->held || sched_policy(g->sched) == SCHED_FIXED_SHARE;

        sched_charge(g->sched, l->client, all ? used : MIN(used, most), now);
        l->outside_used += l->held ? 0 : MIN(used, most);
    }
}

static uint64_t held_time(const Lease *l, uint64_t now)
{
    return l->held_ns + (l->held ? now - MIN(l->granted, now) : 0);
}

/*
 * Who has the lease now says nothing of what came late: it is in the others'
 * way as far as they had or wanted the GPU since the last walk, and it was
 * without a lease as far as it is more than the lease was held.
 */
void lease_charge_walk(Lease *l, const ProcessTree *seen, uint64_t now)
{
    LeaseGpu *g = l->gpu;
    uint64_t held, most, used;

    lease_charge(l, now);
    lease_tree_see(&l->tree, seen, g->capacity, now);
    held = lease_gpu_time(l, held_time(l, now) - l->walk.held_ns);
    most = lease_gpu_time(l, l->held ? g->contended - l->walk.contended : g->busy - l->walk.busy);
    used = measure(l, false, now);
    if (used) {
        uint64_t counted = MIN(used, most);

        sched_charge(g->sched, l->client, sched_policy(g->sched) == SCHED_FIXED_SHARE ? used : counted, now);
        l->outside_used += l->held ? 0 : counted - MIN(counted, held);
    }
    l->walk.contended = g->contended;
    l->walk.busy = g->busy;
    l->walk.held_ns = held_time(l, now);
}

/*
 * On hardware: what a renderer uses without a lease, or claims less of, its
 * driver has seen.  As above the scheduler hears of no more than the time in
 * which others had the GPU or wanted it.
 */
void lease_charge_driver(Lease *l, uint64_t seen, uint64_t now)
{
    LeaseGpu *g = l->gpu;
    uint64_t excess, most;

    lease_charge(l, now);
    most = g->busy - l->driver_busy;
    excess = lease_driver_excess(&l->driver, seen, l->figures.used_ns);
    l->driver_busy = g->busy;
    if (excess) {
        l->figures.used_ns += excess;
        l->meter.lied += excess;
        g->used += excess;
        sched_charge(g->sched, l->client,
                     sched_policy(g->sched) == SCHED_FIXED_SHARE ? excess : MIN(excess, most), now);
    }
}

/* ---- held and waiting ---- */

static void begin_hold(Lease *l, uint64_t now)
{
    l->held = l->active = true;
    l->held_width = l->settings.params.width;
    l->granted = l->alive_at = now;
    l->granted_batches = l->batches = lease_page_get(&l->page.shared->batches);
    l->entered = false;
    l->idle = false;
    l->end = l->look = NEVER;
    l->contended = l->gpu->contended;
    l->busy = l->gpu->busy;
    l->gpu->held_width += l->held_width;
    g_ptr_array_add(l->gpu->holders, l);
}

static void end_hold(Lease *l, uint64_t now)
{
    lease_charge(l, now);
    sched_return(l->gpu->sched, l->client, now);
    l->held_ns = held_time(l, now);
    l->held = false;
    l->end = l->look = NEVER;
    l->gpu->ended = l;
    l->gpu->held_width -= l->held_width;
    g_ptr_array_remove_fast(l->gpu->holders, l);
}

static void set_waiting(Lease *l, bool waiting, uint64_t now)
{
    if (waiting && !l->waiting) {
        lease_charge(l, now);
        l->warm = l->active = true;
        sched_want(l->gpu->sched, l->client, now);
        l->wait_since = now;
    } else if (!waiting && l->waiting) {
        sched_unwant(l->gpu->sched, l->client, now);
    }
    l->waiting = waiting;
}

void lease_follow(Lease *l, uint64_t now)
{
    uint32_t state = lease_page_state(&l->page);

    lease_gpu_clock(l->gpu, now);
    if (l->held && !(state & VGPU_LEASE_GRANTED)) {
        l->figures.preemptions += l->end != NEVER && (state & VGPU_LEASE_WANTED);
        end_hold(l, now);
    } else if (!l->held && (state & VGPU_LEASE_GRANTED)) {
        lease_page_revoke(&l->page); /* it gave that to itself */
        l->figures.revocations++;
    }
    set_waiting(l, (state & VGPU_LEASE_WANTED) && !l->held && !l->stopped && !l->hung, now);
}

void lease_revoke(Lease *l, uint64_t now)
{
    if (l->held) {
        l->figures.revocations++;
        lease_page_revoke(&l->page);
        lease_follow(l, now);
    }
}

void lease_hold(Lease *l, uint64_t now)
{
    lease_gpu_clock(l->gpu, now);
    sched_hold(l->gpu->sched, l->client, now);
    begin_hold(l, now);
    l->entered = l->warm = true;
}

void lease_drop(Lease *l, uint64_t now)
{
    l->hung = true; /* no more */
    lease_page_revoke(&l->page);
    lease_follow(l, now);
    lease_charge(l, now);
    l->gpu->ended = l->gpu->ended == l ? NULL : l->gpu->ended;
    sched_remove(l->gpu->sched, l->client, now);
}

/* ---- granting and asking ---- */

/* Did it begin to work with what it was granted? */
static bool entered(Lease *l)
{
    l->entered |= (lease_page_state(&l->page) & VGPU_LEASE_USERS_MASK) ||
                  lease_page_get(&l->page.shared->batches) != l->granted_batches;
    return l->entered;
}

static void count_wait(Lease *l, uint64_t ns)
{
    unsigned i = 0;

    while (i < LEASES_WAIT_BUCKETS && ns > leases_wait_bound[i]) {
        i++;
    }
    l->figures.waits[i]++;
    l->figures.wait_ns += ns;
    l->figures.grants++;
}

static void look_later(Lease *l, uint64_t at)
{
    l->look = at;
    l->look_step = LOOK_STEP;
}

static void grant(Lease *l, uint64_t slice, uint64_t now)
{
    uint64_t quantum = sched_quantum(l->gpu->sched, l->client);

    l->waiting = false;
    begin_hold(l, now);
    l->end = slice == SCHED_NEVER ? NEVER : now + slice;
    __atomic_store_n(&l->page.shared->quantum_ns, quantum, __ATOMIC_RELAXED);
    if (!lease_page_grant(&l->page, l->end)) {
        end_hold(l, now); /* it wants it no longer; if it does again it calls */
        return;
    }
    count_wait(l, now - l->wait_since);
    if (l->end != NEVER) {
        look_later(l, l->end + LOOK_AFTER);
    }
}

static void ask(Lease *l, uint64_t end, uint64_t now)
{
    l->end = end;
    if (end == NEVER) {
        l->look = NEVER;
        lease_page_keep(&l->page);
        return;
    }
    look_later(l, end + LOOK_AFTER);
    if (lease_page_ask(&l->page, end, entered(l)) != LEASE_ASKED) {
        lease_follow(l, now);
    }
}

void lease_gpu_round(LeaseGpu *g, uint64_t now)
{
    SchedClient *holder;
    SchedGrant next;
    uint64_t end;

    if (!g->all->started) {
        return;
    }
    lease_gpu_clock(g, now);
    g->retry = NEVER;
    for (unsigned i = 0; i < ROUND_MAX + 2 * g->capacity; i++) {
        if (sched_grant(g->sched, now, &next)) {
            grant(next.opaque, next.slice_ns, now);
        } else if (sched_preempt(g->sched, now, &holder, &end)) {
            ask(sched_opaque(holder), end, now);
        } else {
            return;
        }
    }
    g->retry = now + RETRY; /* a renderer changes its page as fast as we look at it */
}

/* ---- looking after those that hold ---- */

static void hang(Lease *l, uint64_t ns, uint64_t now)
{
    l->hung = true;
    l->hung_untold = true;
    l->hung_ns = ns;
    lease_revoke(l, now);
    lease_thread_tell(l->gpu->all);
}

/* By a signal, or for ever. */
static bool is_stopped(const Lease *l)
{
    char state = process_state(l->pid);

    return state == 'T' || state == 't' || state == 'Z' || state == 'X' || !state;
}

/* Nothing was finished for that long: is it stopped, or is it hung? */
static void overdue(Lease *l, uint64_t ns, uint64_t now)
{
    if (is_stopped(l)) {
        l->stopped = true;
        lease_revoke(l, now);
    } else if (l->settings.hang_timeout_ns && ns >= l->settings.hang_timeout_ns) {
        hang(l, ns, now);
    }
}

static void look_at(Lease *l, uint64_t now)
{
    uint64_t late = now - MIN(l->end, now);

    lease_follow(l, now);
    if (!l->held) {
        return;
    }
    if (!entered(l) && now - l->granted < GRACE) {
        /* It did not run yet, and could not begin any more: another slice. */
        l->end = now + sched_quantum(l->gpu->sched, l->client);
        look_later(l, l->end + LOOK_AFTER);
        lease_page_ask(&l->page, l->end, false);
    } else if (lease_page_take_idle(&l->page) == LEASE_ASKED) {
        if (late >= LOOK_STEP) { /* a batch may well be longer than a slice */
            overdue(l, late, now);
        }
        l->look = now + l->look_step;
        l->look_step = MIN(2 * l->look_step, LOOK_MOST);
    }
    lease_follow(l, now);
}

void lease_gpu_look(LeaseGpu *g, uint64_t now)
{
    bool looked = false;

    for (guint i = g->holders->len; i-- > 0;) { /* the last takes the place of one that goes */
        Lease *l = g->holders->pdata[i];

        if (l->look <= now) {
            look_at(l, now);
            looked = true;
        }
    }
    if (looked || g->retry <= now || sched_next(g->sched, now) <= now) {
        lease_gpu_round(g, now);
    }
    if (g->ended) { /* when the next one is at work */
        lease_look_for_taken(g->ended, now);
        g->ended = NULL;
    }
}

uint64_t lease_gpu_deadline(const LeaseGpu *g, uint64_t now)
{
    uint64_t first = g->all->started ? MIN(sched_next(g->sched, now), g->retry) : NEVER;

    for (guint i = 0; i < g->holders->len; i++) {
        first = MIN(first, ((const Lease *)g->holders->pdata[i])->look);
    }
    return first;
}

/* Held: it finishes something, or is idle, or is stuck. */
static void tick_held(Lease *l, uint64_t now)
{
    uint64_t batches = lease_page_get(&l->page.shared->batches);
    bool busy = lease_page_state(&l->page) & VGPU_LEASE_USERS_MASK;
    bool alive = batches != l->batches || !busy;

    if (alive) {
        l->alive_at = now;
    } else if (now - l->alive_at >= l->settings.hang_timeout_ns) {
        overdue(l, now - l->alive_at, now);
        return;
    }
    if (!busy && l->idle && batches == l->batches) {
        lease_page_take_idle(&l->page);
        lease_follow(l, now);
        return;
    }
    l->batches = batches;
    l->idle = !busy;
}

void lease_tick(Lease *l, uint64_t now)
{
    if (l->stopped && !is_stopped(l)) {
        l->stopped = false;
    }
    lease_follow(l, now);
    if (l->held || l->settings.software) {
        lease_charge(l, now);
    }
    l->active = l->held || l->waiting;
    lease_judge(l);
    if (l->held) {
        tick_held(l, now);
    }
    lease_gpu_round(l->gpu, now);
}
