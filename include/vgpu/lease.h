/* SPDX-License-Identifier: MIT */
/*
 * The lease page: who may use the GPU now.
 *
 * One page per VM, a sealed memfd of VGPU_LEASE_SIZE bytes that vgpud makes and
 * shares with that VM's renderer (and whatever else submits GPU work for the
 * VM, like the Vulkan layer in its render-server processes), and with nobody
 * else.  With it come an eventfd, call (renderer -> vgpud), and a pipe, wake
 * (vgpud -> renderer, of which the renderer has a description for reading and
 * writing, vgpud one of its own).  Neither side ever blocks on the other with
 * the page in a state that the other could not take back.
 *
 *      state        users   who may change it to what
 *   -  0            0       renderer: WANTED, then signals call
 *   -  WANTED       0       vgpud: GRANTED, then signals wake and FUTEX_WAKE
 *   -  GRANTED      0       renderer: GRANTED + 1 user, or past end_ns WANTED, then signals call;
 *      (or YIELD)           vgpud: 0 (takes it back unasked)
 *   -  GRANTED      n > 0   renderer: n + 1, n - 1; vgpud: YIELD, after end_ns
 *   -  GRANTED and  n > 0   renderer: n - 1, n + 1 before end_ns, WANTED on (somebody waits for the
 *      YIELD                next grant); the last user to leave: 0, or WANTED where that is on, and
 *                           then signals call.  vgpud: YIELD off (then signals wake and FUTEX_WAKE)
 *
 * So while nobody else waits, acquire and release are one compare-and-swap each
 * and no message.  When somebody waits vgpud takes an idle lease back itself;
 * from a busy one it asks by YIELD with end_ns: the slice may be used up to
 * end_ns (CLOCK_MONOTONIC; 0: return it now), then no user may be added, and
 * the last user to leave, before end_ns or after, returns the lease.  Where
 * others wait already vgpud may grant with YIELD.  Users are counted from the
 * first command to the GPU until the last fence of it has signalled: a lease
 * that is returned has no work in flight.
 *
 * Both may be shared by several processes, and are written without blocking;
 * neither is read by those who are to be told (they watch it edge-triggered),
 * wake by vgpud when it is full.
 *
 * vgpud may revoke a lease whatever its users (the process is stopped, or is
 * about to be killed): in one swap the epoch counts up, the users become 0 and
 * GRANTED and YIELD go, WANTED stays.  Who acquired in an earlier epoch must
 * not touch the count when it leaves, and asks again before it goes on.
 *
 * A VM that waits must not wait for a vgpud that is gone: vgpud counts ack up
 * for each call it serves, whatever it found.  A renderer whose call is not
 * acknowledged within VGPU_LEASE_ACK_NS works without a lease and calls again
 * every VGPU_LEASE_LOOSE_NS until one is; one that waits long for a grant calls
 * as often, in case vgpud went meanwhile.  A vgpud that comes back takes page
 * and descriptors out of the renderer.
 *
 * What a renderer writes here is its claim: vgpud checks it against the time it
 * saw the lease held and against what the kernel says of the process, charges
 * the larger, and uses nothing of it as a size, an index or a permission.
 * Words are naturally aligned; state is changed by compare-and-swap with
 * acquire-release order, the others with relaxed atomics.
 */
#ifndef VGPU_LEASE_H
#define VGPU_LEASE_H

#include <stdint.h>

#define VGPU_LEASE_MAGIC   0x5341454cu /* "LEAS" */
#define VGPU_LEASE_VERSION 2
#define VGPU_LEASE_SIZE    4096

/* vgpu_lease.state: flags, epoch, users */
#define VGPU_LEASE_GRANTED     (1u << 31) /* the GPU is this VM's */
#define VGPU_LEASE_WANTED      (1u << 30) /* the VM waits for it */
#define VGPU_LEASE_YIELD       (1u << 29) /* others wait: see end_ns */
#define VGPU_LEASE_EPOCH_SHIFT 16
#define VGPU_LEASE_EPOCH_MASK  (0xffu << VGPU_LEASE_EPOCH_SHIFT) /* counted up, wraps */
#define VGPU_LEASE_USERS_MASK  0xffffu

#define VGPU_LEASE_ACK_NS   (200ull * 1000 * 1000)
#define VGPU_LEASE_LOOSE_NS (1000ull * 1000 * 1000)

struct vgpu_lease {
    uint32_t magic; /* set by vgpud */
    uint32_t version;
    uint32_t state;  /* VGPU_LEASE_*; futex word (shared, not private) */
    uint32_t ack;    /* vgpud: calls served, wraps */
    uint64_t end_ns; /* vgpud: of the slice while YIELD is set, CLOCK_MONOTONIC */

    /* vgpud: settings in force, read by the renderer when it needs them */
    uint64_t frame_interval_ns; /* least time between two frames shown; 0: no bound */
    uint64_t quantum_ns;        /* the VM's time slice: what a batch should not exceed */
    uint64_t hang_timeout_ns;   /* vgpud: a submit that takes longer is ended, 0: never */

    /* renderer: claims */
    uint64_t busy_ns;       /* GPU time used, ever */
    uint64_t busy_since_ns; /* CLOCK_MONOTONIC when users became more than 0; 0: they are 0 */
    uint64_t batches;       /* fences signalled, ever: a hung GPU counts no more */
    uint64_t queue_depth;   /* commands waiting for the lease */
    uint64_t loose_ns;      /* time worked without a lease, vgpud being away */
};

_Static_assert(sizeof(struct vgpu_lease) == 16 + 8 * 9, "one page, one layout");

#endif
