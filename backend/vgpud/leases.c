/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The page (include/vgpu/lease.h) is what a renderer and vgpud agree on; the
 * scheduler (backend/sched) decides; this is what brings them together.
 *
 *   renderer --- call ---> thread:  lease_follow   the page against what we think
 *                                   lease_gpu_round  sched_grant, sched_preempt: into pages
 *                                   lease_thread_arm  one timer, for the first end of a slice
 *            <-- wake ---
 *
 * So a handover is: the holder's last fence signals, it swaps its page and
 * calls; the thread wakes, charges, grants, wakes the next.  It has a thread of
 * its own because the main loop may be reading files or starting a renderer,
 * and the GPU would stand idle.  One lock is held by whoever works here, for
 * microseconds; its holder has the priority of who waits for it.
 *
 * While nobody waits nothing happens here at all: no call comes (a renderer
 * enters and leaves by itself) and no timer is set.  Once a second, as long as
 * a lease is held or asked for, the main thread's leases_tick charges, looks for
 * hangs and takes back what has been idle; after that it is silent too.
 *
 * A lease may be lost in three ways.  Its process is gone or stopped: seen when
 * a slice is over and it did not come back, and revoked.  It hangs, which is
 * being at work past the end of its slice by more than the hang timeout, or,
 * where nobody waits, for as long without a batch done: revoked, and the main
 * thread is told to kill it.  Its VM leaves: leases_remove.
 *
 * Nothing that a renderer does costs others more than it costs itself:
 *   it calls without need      it is not heard for some milliseconds (lease_thread.c)
 *   it holds on                charged for all the time that others wait (lease_meter.c), but on
 *                              a software GPU for what the host took of it (lease_taken.c)
 *   it lies about its use      charged what we see ourselves, if that is more
 *   it grants itself a lease   revoked at the next look
 *   it works without a lease   cannot be prevented here; on a software GPU it is seen and
 *                              charged as CPU time, and runs after all others (lease_outside.c);
 *                              on hardware its driver tells, and it is charged (drm_usage.c)
 *   it spoils page, eventfd or pipe   nothing of ours blocks or loops on them (lease_page.c)
 *
 * After a restart pages come back as the renderers left them: what says it is
 * granted counts as held, what waits begins to wait, and nothing is granted
 * until all are there (leases_start), or the first would be given what another
 * still has.  Claims and CPU time count from then on only.
 */
#include "leases.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "ini.h"
#include "lease_private.h"

#define LEASES_MAX 65536 /* of one vgpud */

/* Bounds of a histogram: quanta, batches, and what nobody should see. */
const uint64_t leases_wait_bound[LEASES_WAIT_BUCKETS] = {
    100000,   200000,   500000,   1000000,   2000000,   5000000,
    10000000, 20000000, 50000000, 100000000, 500000000, 2000000000,
};

uint64_t lease_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 * LEASE_MS + (uint64_t)ts.tv_nsec;
}

static void lock(Leases *l)
{
    pthread_mutex_lock(&l->lock);
}

/* After what may have changed something. */
static void unlock(Leases *l)
{
    lease_thread_arm(l, lease_now());
    pthread_mutex_unlock(&l->lock);
}

/* ---- the main thread is told ---- */

static gboolean on_tell(gint fd, GIOCondition condition, gpointer opaque)
{
    Leases *l = opaque;
    eventfd_t count;
    bool awake;

    eventfd_read(fd, &count); /* nobody else has it */
    lock(l);
    awake = l->awake_untold;
    l->awake_untold = false;
    unlock(l);
    if (awake && l->awake) {
        l->awake(l->awake_opaque);
    }
    /* Only this thread changes the list; what it calls may. */
    for (guint i = 0; i < l->leases->len; i++) {
        Lease *lease = l->leases->pdata[i];
        bool hung;

        if (!lease) {
            continue;
        }
        lock(l);
        hung = lease->hung_untold;
        lease->hung_untold = false;
        unlock(l);
        if (hung) {
            l->hung(lease->vm, lease->hung_ns, l->hung_opaque);
        }
    }
    return G_SOURCE_CONTINUE;
}

/* ---- all of it ---- */

static void gpu_free(gpointer data)
{
    LeaseGpu *g = data;

    sched_free(g->sched);
    g_ptr_array_unref(g->holders);
    g_free(g->name);
    g_free(g);
}

Leases *leases_new(LeasesHung *hung, void *opaque, GError **error)
{
    Leases *l = g_new0(Leases, 1);
    pthread_mutexattr_t attr;

    l->hung = hung;
    l->hung_opaque = opaque;
    l->epoll = l->timer = l->kick = -1;
    l->armed = LEASE_PAGE_NEVER;
    l->gpus = g_ptr_array_new_with_free_func(gpu_free);
    l->leases = g_ptr_array_new();
    g_queue_init(&l->muted);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&l->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    l->tell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->tell < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot make an eventfd: %s", g_strerror(errno));
        leases_free(l);
        return NULL;
    }
    l->tell_source = g_unix_fd_add(l->tell, G_IO_IN, on_tell, l);
    if (!lease_thread_start(l, error)) {
        leases_free(l);
        return NULL;
    }
    return l;
}

static void lease_free(Lease *lease)
{
    lease_page_close(&lease->page);
    lease_tree_finish(&lease->tree);
    lease_forget_taken(lease);
    if (lease->call >= 0) {
        close(lease->call);
    }
    g_free(lease);
}

void leases_free(Leases *l)
{
    if (!l) {
        return;
    }
    lease_thread_stop(l);
    if (l->tell_source) {
        g_source_remove(l->tell_source);
    }
    if (l->tell >= 0) {
        close(l->tell);
    }
    for (guint i = 0; i < l->leases->len; i++) {
        if (l->leases->pdata[i]) {
            lease_free(l->leases->pdata[i]);
        }
    }
    g_queue_clear(&l->muted);
    g_ptr_array_unref(l->leases);
    g_ptr_array_unref(l->gpus);
    pthread_mutex_destroy(&l->lock);
    g_free(l);
}

void leases_start(Leases *l)
{
    uint64_t now;

    lock(l);
    now = lease_now();
    l->started = true;
    for (guint i = 0; i < l->gpus->len; i++) {
        lease_gpu_round(l->gpus->pdata[i], now);
    }
    unlock(l);
}

void leases_set_awake(Leases *l, void (*awake)(void *opaque), void *opaque)
{
    lock(l);
    l->awake = awake;
    l->awake_opaque = opaque;
    unlock(l);
}

void leases_set_outside(Leases *l, LeasesOutside *outside, void *opaque)
{
    l->outside = outside;
    l->outside_opaque = opaque;
}

/* ---- GPUs ---- */

static LeaseGpu *find_gpu(const Leases *l, const char *name)
{
    for (guint i = 0; i < l->gpus->len; i++) {
        LeaseGpu *g = l->gpus->pdata[i];

        if (g_str_equal(g->name, name)) {
            return g;
        }
    }
    return NULL;
}

/* Lock held. */
static LeaseGpu *add_gpu(Leases *l, const char *name, SchedPolicy policy, uint32_t capacity)
{
    LeaseGpu *g = g_new0(LeaseGpu, 1);

    g->all = l;
    g->name = g_strdup(name);
    g->capacity = MAX(capacity, 1);
    g->sched = sched_new(policy, g->capacity);
    g->holders = g_ptr_array_new();
    g->clock = lease_now();
    g->retry = LEASE_PAGE_NEVER;
    g_ptr_array_add(l->gpus, g);
    return g;
}

void leases_set_policy(Leases *l, const char *gpu, SchedPolicy policy, uint32_t capacity)
{
    LeaseGpu *g;
    uint64_t now;

    lock(l);
    g = find_gpu(l, gpu);
    now = lease_now();
    if (g) {
        lease_gpu_clock(g, now);
        sched_set_policy(g->sched, policy, now);
        lease_gpu_round(g, now);
    } else {
        add_gpu(l, gpu, policy, capacity);
    }
    unlock(l);
}

SchedPolicy leases_policy(Leases *l, const char *gpu)
{
    SchedPolicy policy;
    const LeaseGpu *g;

    lock(l);
    g = find_gpu(l, gpu);
    policy = g ? sched_policy(g->sched) : SCHED_BEST_EFFORT;
    unlock(l);
    return policy;
}

uint64_t leases_gpu_used(Leases *l, const char *gpu)
{
    const LeaseGpu *g;
    uint64_t used;

    lock(l);
    g = find_gpu(l, gpu);
    used = g ? g->used : 0;
    unlock(l);
    return used;
}

/* ---- leases ---- */

bool leases_make_fds(int *page, int *call, int *wake, GError **error)
{
    return lease_page_make(page, call, wake, error);
}

static void put_settings(Lease *lease, const LeaseSettings *settings)
{
    lease->settings = *settings;
    lease->settings.params.width = CLAMP(settings->params.width, 1, lease->gpu->capacity);
    __atomic_store_n(&lease->page.shared->frame_interval_ns, settings->frame_interval_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&lease->page.shared->hang_timeout_ns, settings->hang_timeout_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&lease->page.shared->quantum_ns, sched_quantum(lease->gpu->sched, lease->client),
                     __ATOMIC_RELAXED);
}

/* What its page says now, perhaps from before vgpud was restarted. */
static void take_up(Lease *lease, uint64_t now)
{
    LeaseGpu *g = lease->gpu;
    struct timespec cpu = { 0 };
    bool granted = lease_page_state(&lease->page) & VGPU_LEASE_GRANTED;
    LeaseSample s = { .now = now, .claim = lease_page_get(&lease->page.shared->busy_ns) };

    lease->clock_known =
        clock_getcpuclockid(lease->pid, &lease->clock) == 0 && clock_gettime(lease->clock, &cpu) == 0;
    s.cpu = (uint64_t)cpu.tv_sec * 1000 * LEASE_MS + (uint64_t)cpu.tv_nsec;
    lease_meter_start(&lease->meter, &s);
    lease->contended = lease->walk.contended = g->contended;
    lease->busy = lease->outside_busy = lease->walk.busy = g->busy;
    if (granted && g->held_width + lease->settings.params.width <= g->capacity) {
        lease_hold(lease, now);
    }
    lease_follow(lease, now);
    /* it may have waited in vain for so long that it works without */
    lease_page_acknowledge(&lease->page);
    lease_page_wake(&lease->page);
}

/* Lock held. */
static bool enlist(Leases *l, Lease *lease, GError **error)
{
    guint place = 0;

    while (place < l->leases->len && l->leases->pdata[place]) {
        place++;
    }
    if (place == LEASES_MAX) {
        g_set_error(error, VGPUD_ERROR, 0, "there are %u leases already", LEASES_MAX);
        return false;
    }
    if (place == l->leases->len) {
        g_ptr_array_add(l->leases, NULL);
    }
    l->keys = MAX(l->keys + 1, 1);
    lease->key = (uint64_t)l->keys << 32 | place;
    if (!lease_thread_watch(l, lease, error)) {
        return false;
    }
    l->leases->pdata[place] = lease;
    return true;
}

Lease *leases_add(Leases *l, const char *gpu, int page, int call, int wake, pid_t pid,
                  const LeaseSettings *settings, void *vm, GError **error)
{
    Lease *lease = g_new0(Lease, 1);
    uint64_t now;

    lease->call = -1;
    if (!lease_page_open(&lease->page, page, call, wake, error)) {
        lease_free(lease);
        return NULL;
    }
    lease->pid = pid;
    lease_tree_init(&lease->tree, pid);
    lease->vm = vm;
    lease->end = lease->look = LEASE_PAGE_NEVER;
    lease->call = call;
    lock(l);
    now = lease_now();
    if (!enlist(l, lease, error)) {
        unlock(l);
        lease->call = -1;
        lease_free(lease);
        return NULL;
    }
    lease->gpu = find_gpu(l, gpu);
    if (!lease->gpu) {
        lease->gpu = add_gpu(l, gpu, SCHED_BEST_EFFORT, 1);
    }
    lease_gpu_clock(lease->gpu, now);
    lease->gpu->software = settings->software;
    lease->client = sched_add(lease->gpu->sched, &settings->params, lease, now);
    put_settings(lease, settings);
    take_up(lease, now);
    lease_gpu_round(lease->gpu, now);
    unlock(l);
    close(page);
    close(wake);
    return lease;
}

void leases_set(Lease *lease, const LeaseSettings *settings)
{
    Leases *l = lease->gpu->all;
    uint64_t now;

    lock(l);
    now = lease_now();
    lease_gpu_clock(lease->gpu, now);
    lease_charge(lease, now);
    sched_set_params(lease->gpu->sched, lease->client, &settings->params, now);
    put_settings(lease, settings);
    lease_gpu_round(lease->gpu, now);
    unlock(l);
}

void leases_see(Lease *lease, const ProcessTree *seen)
{
    Leases *l = lease->gpu->all;
    uint64_t now;

    if (!lease->settings.software) {
        return;
    }
    lock(l);
    now = lease_now();
    lease_gpu_clock(lease->gpu, now);
    lease_charge_walk(lease, seen, now);
    unlock(l);
}

void leases_see_driver(Lease *lease, uint64_t gpu_ns)
{
    Leases *l = lease->gpu->all;
    uint64_t now;

    if (lease->settings.software) {
        return; /* its CPU time says it better */
    }
    lock(l);
    now = lease_now();
    lease_gpu_clock(lease->gpu, now);
    lease_charge_driver(lease, gpu_ns, now);
    unlock(l);
}

void leases_remove(Lease *lease)
{
    LeaseGpu *g = lease->gpu;
    Leases *l = g->all;
    uint64_t now;

    lock(l);
    now = lease_now();
    lease_thread_forget(l, lease);
    lease_gpu_clock(g, now);
    lease_drop(lease, now);
    l->leases->pdata[(uint32_t)lease->key] = NULL;
    lease_gpu_round(g, now);
    unlock(l);
    lease_free(lease);
}

void leases_figures(Lease *lease, LeaseFigures *f)
{
    Leases *l = lease->gpu->all;

    lock(l);
    if (lease->held || lease->settings.software) {
        uint64_t now = lease_now();

        lease_gpu_clock(lease->gpu, now);
        lease_charge(lease, now);
    }
    *f = lease->figures;
    f->overshoot_ns = sched_overshoot(lease->client);
    f->lied_ns = lease->meter.lied;
    f->quantum_ns = sched_quantum(lease->gpu->sched, lease->client);
    f->queue_depth = lease_page_get(&lease->page.shared->queue_depth);
    f->holds = lease->held;
    f->wants = lease->waiting;
    unlock(l);
}

/* Lock held. */
static void count_active(Leases *l)
{
    for (guint i = 0; i < l->gpus->len; i++) {
        ((LeaseGpu *)l->gpus->pdata[i])->active_weight = 0;
    }
    for (guint i = 0; i < l->leases->len; i++) {
        const Lease *lease = l->leases->pdata[i];

        if (lease && lease->active) {
            lease->gpu->active_weight += lease_weight(lease);
        }
    }
}

/* Without the lock: a process may have many threads. */
static void tell_outside(Leases *l, Lease *lease, bool outside)
{
    if (outside || lease->outside_told) {
        lease_renice(lease, outside);
    }
    if (outside != lease->outside_told) {
        lease->outside_told = outside;
        if (l->outside) {
            l->outside(lease->vm, outside, l->outside_opaque);
        }
    }
}

bool leases_tick(Leases *l)
{
    bool awake = false;
    uint64_t calls;

    lock(l);
    calls = l->calls;
    count_active(l);
    unlock(l);
    /* The lock is let go between two leases: a handover does not wait for all of them. */
    for (guint i = 0; i < l->leases->len; i++) {
        Lease *lease = l->leases->pdata[i];
        bool outside;

        if (!lease) {
            continue;
        }
        lock(l);
        lease_tick(lease, lease_now());
        outside = lease->outside;
        awake |= lease->held || lease->waiting || lease->stopped || outside;
        unlock(l);
        tell_outside(l, lease, outside);
    }
    lock(l);
    awake |= calls != l->calls;
    l->asleep = !awake;
    unlock(l);
    return awake;
}
