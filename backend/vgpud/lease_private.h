/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What leases.c, lease_round.c and lease_thread.c share: see leases.c for the theory. */
#ifndef VGPUD_LEASE_PRIVATE_H
#define VGPUD_LEASE_PRIVATE_H

#include <pthread.h>

#include "lease_meter.h"
#include "lease_page.h"
#include "leases.h"
#include "process_tree.h"

#define LEASE_MS 1000000ull

/* lease_taken.c's: what was so at a moment. */
typedef struct LeaseOthers {
    uint64_t at;
    uint64_t idle, cpu; /* ns of all CPUs; of the GPU's leases */
    uint64_t given;     /* ns of GPU time, since then */
} LeaseOthers;

/* One GPU. */
typedef struct LeaseGpu {
    Leases *all;
    char *name;
    Sched *sched;
    uint32_t capacity;
    bool software;          /* CPU time is its GPU time */
    GPtrArray *holders;     /* Lease; as many as fit side by side */
    uint32_t held_width;    /* sum of theirs */
    uint64_t clock;         /* up to when contended counts */
    uint64_t contended;     /* ns in which a lease that is held is charged for, used or not */
    uint64_t busy;          /* ns in which a lease was held or waited for */
    uint64_t used;          /* ns charged to all, ever */
    uint64_t cpu;           /* ns of CPU time of all, as far as it was counted */
    LeaseOthers others[2];  /* an earlier moment, and a later one */
    uint64_t active_weight; /* of those that held or wanted a lease in the last second */
    Lease *ended;           /* who gave its lease back last; NULL: that was looked at, or it is gone */
    uint64_t retry;         /* when to go on where a round was broken off */
} LeaseGpu;

/* lease_tree.c's: the processes of a VM, but for what its renderer's clock tells. */
typedef struct LeaseTree {
    GArray *processes; /* LeaseProcess, the renderer first; only the main thread changes who is there */
    uint64_t total;    /* ns of CPU time of the others, counted */
    bool begun;        /* what was there at the first look does not count */
} LeaseTree;

struct Lease {
    LeaseGpu *gpu;
    SchedClient *client;
    LeasePage page;
    int call;     /* the renderer's too: watched, never read */
    uint64_t key; /* in epoll; its low half is the place in Leases.leases */
    pid_t pid;
    clockid_t clock; /* CPU time of pid */
    bool clock_known;
    LeaseTree tree;
    LeaseSettings settings;
    void *vm;

    bool held; /* granted by us and not yet back */
    bool waiting;
    uint32_t held_width;
    uint64_t granted;         /* when */
    uint64_t granted_batches; /* what the page said then */
    bool entered;             /* it was seen at work since */
    uint64_t end;             /* what it is asked for; LEASE_PAGE_NEVER: not */
    uint64_t look;            /* when to look after it again; LEASE_PAGE_NEVER: not */
    uint64_t look_step;       /* the next time that much later */
    uint64_t wait_since;
    LeaseMeter meter;
    LeaseDriver driver;
    uint64_t driver_busy; /* the GPU's, at the driver's last look */
    struct {
        GArray *waiters;      /* its threads, and how long each has waited for CPUs, ever; NULL: not known */
        uint64_t unused;      /* the meter's, then */
        uint64_t at;          /* when that was */
    } taken;                  /* lease_taken.c's */
    bool warm;                /* its CPU time counts: it has begun to work, not only to start */
    uint64_t contended, busy; /* the GPU's at the last charge */
    uint64_t held_ns;         /* how long it was held, but for now */
    struct {
        uint64_t contended, busy, held_ns; /* the same at the last walk */
    } walk;

    bool stopped;               /* by a signal: gets no lease until it goes on */
    bool hung;                  /* gets no lease any more */
    bool hung_untold;           /* to the main thread */
    uint64_t hung_ns;           /* how long it did nothing */
    uint64_t batches, alive_at; /* when its batches last changed */
    bool idle;                  /* at the last tick */

    int64_t tokens; /* calls it may make */
    uint64_t tokens_at;
    uint64_t muted_until; /* in Leases.muted; 0: it is heard */

    bool active; /* it held or wanted a lease since the last tick */

    /* lease_outside.c's */
    bool outside, outside_told; /* it uses too much without; and what the main thread knows of that */
    uint64_t outside_used;      /* ns of GPU time without a lease while others had one, since the last tick */
    uint64_t outside_due;       /* the account */
    int outside_nice;           /* of its session, when it does */
    uint64_t outside_busy;      /* the GPU's, at the last tick */

    LeaseFigures figures;
};

struct Leases {
    pthread_mutex_t lock; /* all below, and every page's state as far as vgpud changes it */
    GPtrArray *gpus;      /* LeaseGpu */
    GPtrArray *leases;    /* Lease, NULL where one was removed */
    uint32_t keys;        /* keys given */
    GQueue muted;         /* Lease, by when they are heard again */
    uint64_t armed;       /* what the timer is set to */
    bool started;         /* else nothing is granted */
    bool asleep;          /* the next call wakes the main thread */
    uint64_t calls;       /* served, ever */
    bool may_nice;        /* we have the privilege */

    pthread_t thread;
    bool threaded, quit;
    int epoll, timer, kick; /* kick: an eventfd that ends the thread */

    int tell; /* eventfd to the main thread */
    guint tell_source;
    bool awake_untold;
    LeasesHung *hung;
    void *hung_opaque;
    void (*awake)(void *opaque);
    void *awake_opaque;
    LeasesOutside *outside;
    void *outside_opaque;
};

uint64_t lease_now(void);
/* Time in that lease as GPU time. */
uint64_t lease_gpu_time(const Lease *l, uint64_t ns);

/* ---- lease_round.c; the lock is held ---- */

/* First in all that changes a GPU: counts contended time up to now. */
void lease_gpu_clock(LeaseGpu *g, uint64_t now);
/* Of its processes, where it counts. */
uint64_t lease_cpu_time(Lease *l, uint64_t now, bool *known);
/* What it used since the last time. */
void lease_charge(Lease *l, uint64_t now);
/* The same with what is only known by a walk through its processes. */
void lease_charge_walk(Lease *l, const ProcessTree *seen, uint64_t now);
/* What its driver tells of it, ever: charged if that is more than all else. */
void lease_charge_driver(Lease *l, uint64_t seen, uint64_t now);
/* What its page says against what we think: it came back, it wants. */
void lease_follow(Lease *l, uint64_t now);
/* Takes it away whatever it does. */
void lease_revoke(Lease *l, uint64_t now);
/* It was found held: from an earlier vgpud. */
void lease_hold(Lease *l, uint64_t now);
/* It is to leave the GPU. */
void lease_drop(Lease *l, uint64_t now);
/* Grants and asks until there is nothing to do. */
void lease_gpu_round(LeaseGpu *g, uint64_t now);
/* Those whose time to be looked after has come. */
void lease_gpu_look(LeaseGpu *g, uint64_t now);
/* When to call lease_gpu_look; LEASE_PAGE_NEVER. */
uint64_t lease_gpu_deadline(const LeaseGpu *g, uint64_t now);
/* Once a second. */
void lease_tick(Lease *l, uint64_t now);

/* ---- lease_taken.c; the lock is held ---- */

/* After its turn: what of it the host had for itself. */
void lease_look_for_taken(Lease *l, uint64_t now);
void lease_forget_taken(Lease *l);

/* ---- lease_outside.c ---- */

/* What its share is measured by. */
uint64_t lease_weight(const Lease *l);
/* The lock is held, once a second: sets outside. */
void lease_judge(Lease *l);
/* Main thread, without the lock: all its threads are the last ones to run, or like others again. */
void lease_renice(const Lease *l, bool last);

/* ---- lease_tree.c; the lock is held ---- */

void lease_tree_init(LeaseTree *t, pid_t root);
void lease_tree_finish(LeaseTree *t); /* takes one of all zeros */
/* CPU time of those below the renderer, as far as it is known now. */
uint64_t lease_tree_time(LeaseTree *t, uint32_t cpus, uint64_t now);
/* There is nobody below it. */
bool lease_tree_is_one(const LeaseTree *t);
/* Who is there, by a walk: lease_tree_time tells of them from now on. */
void lease_tree_see(LeaseTree *t, const ProcessTree *seen, uint32_t cpus, uint64_t now);
/* Main thread, or with the lock. */
void lease_tree_each(const LeaseTree *t, void (*each)(pid_t pid, void *opaque), void *opaque);

/* ---- lease_thread.c ---- */

bool lease_thread_start(Leases *l, GError **error);
void lease_thread_stop(Leases *l); /* takes one that was not started */
bool lease_thread_watch(Leases *l, Lease *lease, GError **error);
void lease_thread_forget(Leases *l, Lease *lease);
/* The lock is held: the timer follows what has changed. */
void lease_thread_arm(Leases *l, uint64_t now);
/* The lock is held: the main thread is to look for what it was not told. */
void lease_thread_tell(Leases *l);

#endif
