/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user side of the device: the memory table, the virtqueues and
 * the descriptors popped from them.
 *
 * Theory of operation
 *
 * libvhost-user is not thread-safe, so one mutex, Vhost.lock, guards its VuDev
 * and all that is here.  Three kinds of threads take it, each for microseconds
 * and never around a GL call:
 *   the front thread   for one vhost-user message (vhost.c)
 *   the render thread  to pop descriptors and to push answers (queue.c)
 *   fence callbacks    to push the answers that waited for them (timeline.c)
 *
 * Memory.  We keep the table (guest_memory.h) and lend it to libvhost-user's
 * public region array; libvhost-user itself maps and unmaps nothing.  A popped
 * Element holds the generation its addresses were taken from, so they stay
 * good until it is pushed, whatever happens to the table.
 *
 * Stop and continue.  GET_VRING_BASE is answered at once with the index behind
 * the last descriptor popped.  What was popped is finished later and its
 * answer is held until the ring starts again: the ring is the same one, and
 * SET_VRING_ADDR takes the used index from it.  Nothing is popped twice.
 *
 * Reset.  The gpu channel's RESET (not the stop of a ring) is the guest's
 * reset: Vhost.generation changes, held and fenced Elements are dropped, those
 * in the render thread's hands are dropped when they come back, and nothing is
 * popped before the render thread says that its objects are gone.
 *
 * Lost renderers.  Where this process takes over from another one (adopt.h), a ring
 * goes on from what that one's table says: what it had popped and not answered is
 * popped first, as libvhost-user's own resubmission does it, and the available
 * ring is read from behind that.  QEMU cannot know that index and tells the used one.
 *
 * Broken rings.  libvhost-user calls panic for what the guest must not do
 * (loops, addresses outside RAM).  The device then is broken: no queue is
 * served, the broken ring's error eventfd is signalled, messages are served as
 * ever, and a reset mends it.
 */
#ifndef VGPU_RENDERER_VHOST_H
#define VGPU_RENDERER_VHOST_H

#include <glib.h>
#include <libvhost-user.h>
#include <stdbool.h>
#include <stdint.h>

#include "estate.h"
#include "guest_memory.h"
#include "hostile.h"
#include "table.h"
#include "vgpu/stats.h"
#include "vgpu/virtio.h"

#define VHOST_QUEUE_CONTROL 0
#define VHOST_QUEUE_CURSOR  1
#define VHOST_QUEUE_SUBMIT  VGPU_QUEUE_SUBMIT /* and those after it: VGPU_F_SUBMIT_QUEUES */
#define VHOST_QUEUES        (VHOST_QUEUE_SUBMIT + VGPU_SUBMIT_QUEUES_MAX)

/* The render thread's epoll data: a queue's index, or one of these. */
#define VHOST_WORK_WAKE     0x100
#define VHOST_WORK_RENDERER 0x101
#define VHOST_WORK_LEASE    0x102
#define VHOST_WORK_FRAME    0x103
#define VHOST_WORK_DRAIN    0x104

typedef struct Element {
    VuVirtqElement vu;    /* first: libvhost-user allocates us */
    struct Element *next; /* in whichever list it is */
    GuestMemory *memory;  /* its addresses are of this generation */
    uint32_t generation;  /* of the guest; see Reset above */
    unsigned queue;
    uint32_t tries;             /* renderers that were lost before they answered it */
    uint64_t out_size, in_size; /* bytes readable and writable */
    uint8_t *answer;            /* NULL: none yet or inline */
    uint32_t answer_size;
    uint8_t inline_answer[32];
} Element;

typedef struct VhostQueue {
    int kick_fd;                /* our duplicate, in work_fd's set; -1: not started */
    bool notify;                /* something was pushed and not notified */
    Element *held, **held_tail; /* answered while the ring was stopped */
    bool inherits;              /* the ring goes on where a lost renderer left it */
    EstateQueue inherited;
    uint32_t run; /* chains that a lost renderer has run for good; wraps */
} VhostQueue;

/* See dirty.h. */
typedef struct DirtyLog {
    gint on;       /* atomic */
    uint8_t *map;  /* NULL: none yet */
    uint64_t size; /* bytes */
} DirtyLog;

typedef struct Vhost {
    GMutex lock;
    VuDev dev;
    VhostQueue queue[VHOST_QUEUES];
    GuestMemory *memory;    /* never NULL */
    uint32_t memory_serial; /* atomic; counts changes of the table */
    bool reset_wanted;      /* the render thread must forget everything */
    bool closed;
    bool adopting;            /* nothing is popped yet */
    bool draining;            /* nothing is popped any more */
    bool let_go;              /* nor is anything answered */
    bool replaying;           /* what libvhost-user looks at is a lost renderer's */
    int at_queue;             /* whose ring libvhost-user works on; -1: none */
    uint32_t generation;      /* atomic reads without the lock; see Reset */
    uint64_t offered;         /* atomic; virtio feature bits, with VERSION_1 and kin */
    uint64_t acked;           /* atomic; as SET_FEATURES said */
    int work_fd;              /* epoll: kicks and wake_fd, for the render thread */
    int wake_fd;              /* eventfd: look again */
    Table *table;             /* borrowed */
    struct vgpu_stats *stats; /* borrowed */
    GHashTable *fences;       /* id -> Fence, see timeline.c */
    GHashTable *timelines;    /* key -> Timeline */
    uint64_t last_fence;
    uint32_t last_own; /* render thread: of timeline_own_key */
    DirtyLog dirty;
    Hostile hostile; /* a test's; kind HOSTILE_NONE */
} Vhost;

/* fd: the connected vhost-user socket, ownership transferred. */
Vhost *vhost_new(int fd, Table *table, struct vgpu_stats *stats, GError **error);

/* Front thread: one message.  False when QEMU is gone or made no sense. */
bool vhost_serve(Vhost *v);
int vhost_fd(const Vhost *v);

/* What GET_FEATURES answers: the ring features are added here. */
void vhost_offer(Vhost *v, uint64_t device_features);

/* Whether the guest took a feature; any thread. */
bool vhost_has_feature(Vhost *v, unsigned bit);

/* The memory table now; a reference for the caller.  Any thread. */
GuestMemory *vhost_memory(Vhost *v);

/* Makes the render thread look around; any thread. */
void vhost_wake(Vhost *v);

/* Front thread: the guest reset the device. */
void vhost_reset(Vhost *v, uint32_t generation);
/* Render thread: is a reset to be done, and it was done for that generation. */
bool vhost_reset_wanted(Vhost *v, uint32_t *generation);
void vhost_reset_done(Vhost *v, uint32_t generation);

/*
 * Front thread: the rings go on where a lost renderer left them, but not before
 * the render thread says vhost_inherited(): how many commands come first, and how many
 * of each queue were run before them.
 */
void vhost_inherit(Vhost *v, const EstateQueue queue[VHOST_QUEUES]);
unsigned vhost_inherited(Vhost *v, uint32_t run[VHOST_QUEUES]);
/* A ring is served: guest memory is known. */
bool vhost_runs(Vhost *v);
/* None is: what the table has of them, TABLE_RINGS_SIZE bytes; false: some is. */
bool vhost_copy_stopped(Vhost *v, uint8_t *rings);
/* This renderer is to make room for another one: takes no more commands. */
void vhost_drain(Vhost *v);
/* All that were taken are answered, or cannot be. */
bool vhost_drained(Vhost *v);
/* From now on rings and table stay as they are, for the next renderer. */
void vhost_let_go(Vhost *v);

/* queue.c, lock held: */
bool queue_running(Vhost *v, unsigned q);
void queue_push_locked(Vhost *v, Element *e); /* takes e, which has its answer */
void queue_notify_locked(Vhost *v);
void queue_release_held(Vhost *v, unsigned q);
void queue_drop_held(Vhost *v, unsigned q);
void queue_resume(Vhost *v, unsigned q); /* a ring that inherits goes on */
void element_free(Element *e);
void element_write_answer(const Element *e);

/*
 * queue.c, render thread: pops up to max descriptors of queue q.  0 when there
 * is nothing: then the guest's next one kicks.
 */
unsigned queue_pop(Vhost *v, unsigned q, Element **out, unsigned max);
/* Forgets the kicks of a queue that is not looked at for a while; how many chains wait in it. */
unsigned queue_quiet(Vhost *v, unsigned q);
/* Whether the guest was reset since e was popped. */
bool element_stale(Vhost *v, const Element *e);
/* Copies size bytes at offset of the request; false when it has fewer. */
bool element_read(const Element *e, uint64_t offset, void *dst, uint64_t size);
/* Stores the answer, cut to the room there is. */
void element_answer(Element *e, const void *answer, uint32_t size);
/* Pushes a list linked by next, in order; takes all. */
void queue_push(Vhost *v, Element *first);

/*
 * timeline.c: key is the context's id << 32 | its ring; 0: the device's.  Takes e, which has its answer; it
 * is pushed when the fence returned is done and all earlier ones with the same key are.  0: no fence is
 * needed, the guest was reset meanwhile.
 */
uint64_t timeline_add(Vhost *v, uint64_t key, Element *e);
/* For an answer that has no fence and waits all the same: a key that nobody else has. */
uint64_t timeline_own_key(Vhost *v);          /* render thread */
void timeline_done(Vhost *v, uint64_t fence); /* any thread */
/* The same; code: a VIRTIO_GPU_RESP_ERR_* that the answer is after all, or 0. */
void timeline_done_as(Vhost *v, uint64_t fence, uint32_t code);
/* The context is gone, and with it whoever would signal its fences. */
void timeline_finish_context(Vhost *v, uint32_t ctx);
void timeline_drop_all(Vhost *v); /* lock held */
void timeline_init(Vhost *v);

#endif
