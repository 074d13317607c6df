/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virgl renderer's Vulkan contexts: venus.c (their life), venus_fence.c,
 * venus_guard.c, venus_ring.c, venus_signs.c and venus_blob.c.  Nobody but virgl*.c
 * includes it.
 *
 * Theory of operation.  A Vulkan context is a process of the render server
 * (render_server.h).  virglrenderer's part of it that runs here, its "proxy",
 * only talks to that process over a socket; so what a guest sends to such a
 * context is not looked into here, and the quota is kept there by our layer.
 * That a process has the layer is known by its hello, without which there is no
 * context.
 *
 * A context process may die at any time: of what the guest made it do, by its
 * own watchdog, or killed.  Its leash hangs up then.  Then its fences are
 * answered, its blobs are unmapped, virglrenderer's part is destroyed (its thread
 * would spin on the socket, and it frees fences without a word), what is left in
 * the books is refunded and the GPU's lease given back.  The context stays, lost:
 * what the guest sends to it is refused until the guest destroys it.
 *
 * A process is killed, not asked, when its context is destroyed, and ends a
 * little later: until its leash hangs up it keeps its slot and what it is charged.
 *
 * The render thread waits for these processes: for their answer to a blob, and
 * for room in their sockets.  Work that does not end is ended by the layer, with
 * its process.  But a process may also wait for the guest, for ever (a ring that
 * waits for a command that never comes), so a thread here, the guard, watches how
 * long the render thread has been waiting and ends who keeps it (venus_guard.c).
 */
#ifndef VGPU_RENDERER_VENUS_H
#define VGPU_RENDERER_VENUS_H

#include <semaphore.h>

#include "../quota/vulkan_books.h"
#include "render_server.h"
#include "virgl.h"

#define VENUS_RINGS 64

/* Where a guest's Mesa hands its commands over, as it says when it makes it. */
typedef struct VenusRing {
    uint64_t id;
    uint32_t resource_id;
    uint64_t head, status; /* two words, bytes from the beginning of the resource */
} VenusRing;

/* A ring in which signs of life are given. */
typedef struct VenusSign {
    void *base;
    size_t size;
    uint32_t *head, *status;
    bool begun; /* its process has taken it up; of the thread that gives them */
} VenusSign;

typedef struct VenusContext {
    uint32_t id;
    struct VenusProcess *process; /* NULL: lost */
    GHashTable *attached;         /* set of resource_id */
    VenusSign *sign;              /* NULL: none is given */
    VenusRing ring;               /* in which it is */
    char name[64];                /* from the guest */
} VenusContext;

typedef struct VenusProcess {
    int leash;
    int slot;
    VenusContext *context; /* NULL: destroyed, it is about to end */
} VenusProcess;

/* Fences that virglrenderer has not called back for; any thread. */
typedef struct VenusFences {
    GMutex lock;
    GHashTable *contexts; /* ctx_id -> GQueue[VENUS_RINGS] of fences, oldest first */
    void (*done)(void *opaque, uint64_t fence);
    void *opaque;
} VenusFences;

typedef struct VenusGuard {
    GMutex lock;
    GCond wake;
    GThread *thread;
    bool quit;
    unsigned processes; /* while there are none it sleeps */
    int fd;             /* of the process that the render thread is with; -1: none */
    bool socket;        /* it is to be shut down, not written to */
    int64_t since;      /* monotonic, us */
    uint64_t (*patience)(void *opaque);
    void *opaque;
} VenusGuard;

typedef struct VenusSigns {
    GThread *thread;
    sem_t wake;                              /* there is more to do, or less */
    bool quit;                               /* atomic */
    unsigned looks;                          /* atomic; odd: it looks */
    VenusSign *signs[VGPU_VULKAN_PROCESSES]; /* atomic; of contexts that have a process */
} VenusSigns;

struct Venus {
    RenderServer *server;  /* borrowed */
    VulkanBooks *books;    /* borrowed */
    bool gone;             /* the server is */
    int poll_fd;           /* epoll: the processes, the server, and virglrenderer's own */
    GHashTable *contexts;  /* ctx_id -> VenusContext */
    GHashTable *processes; /* set of VenusProcess */
    VenusFences fences;
    VenusGuard guard;
    VenusSigns signs;
};

typedef enum VenusMemory { VENUS_SHM, VENUS_DMABUF, VENUS_OPAQUE } VenusMemory;

/* The host memory of a blob; VirglResource.host. */
typedef struct VenusBlob {
    uint32_t ctx_id; /* that made it */
    bool lost;       /* and is lost */
    VenusMemory memory;
    uint64_t offset; /* of the memory in its descriptor */
    int entry;       /* in the books; -1: none, the ledger is charged */
} VenusBlob;

/* venus.c.  NULL with *error set: no Vulkan. */
Venus *venus_new(const RendererConfig *config, GError **error);
void venus_free(Venus *v); /* its contexts are destroyed; takes NULL */
/* Once virglrenderer has started. */
void venus_begin(Renderer *r);
void venus_poll(Renderer *r);
VenusContext *venus_context(Renderer *r, uint32_t ctx_id); /* NULL: none, or not one of Vulkan */
uint32_t venus_context_create(Renderer *r, uint32_t ctx_id, const char *name, uint32_t name_len);
void venus_context_destroy(Renderer *r, uint32_t ctx_id);
uint32_t venus_context_attach(Renderer *r, VenusContext *ctx, uint32_t resource_id);
void venus_context_detach(Renderer *r, VenusContext *ctx, uint32_t resource_id);
/* A resource is about to go. */
void venus_forget_resource(Renderer *r, uint32_t resource_id);
uint32_t venus_context_submit(Renderer *r, VenusContext *ctx, void *commands, uint32_t size);
uint32_t venus_context_fence(Renderer *r, VenusContext *ctx, uint32_t ring, uint64_t fence);

/* venus_fence.c */
void venus_fences_init(VenusFences *f, void (*done)(void *opaque, uint64_t fence), void *opaque);
void venus_fences_finish(VenusFences *f);
bool venus_fences_create(VenusFences *f, uint32_t ctx_id, uint32_t ring, uint64_t fence);
/* virglrenderer's callback; any thread. */
void venus_fences_signal(VenusFences *f, uint32_t ctx_id, uint32_t ring, uint64_t fence);
/* virglrenderer's part of the context is gone: those that are left are done. */
void venus_fences_finish_context(VenusFences *f, uint32_t ctx_id);

/* venus_guard.c: around each call that may wait for a context process. */
bool venus_guard_start(VenusGuard *g, uint64_t (*patience)(void *opaque), void *opaque, GError **error);
void venus_guard_stop(VenusGuard *g);
void venus_guard_enter(VenusGuard *g, const VenusContext *ctx);
void venus_guard_enter_server(VenusGuard *g, const RenderServer *s);
void venus_guard_leave(VenusGuard *g);
void venus_guard_count(VenusGuard *g, int more);

/* venus_ring.c: commands, count words of them, are changed where they make a ring; true: they make that. */
bool venus_ring_hasten(uint32_t *commands, uint32_t count, VenusRing *ring);
/* Whether they end it. */
bool venus_ring_ends(const uint32_t *commands, uint32_t count, const VenusRing *ring);

/* venus_signs.c */
bool venus_signs_start(VenusSigns *s, GError **error);
void venus_signs_stop(VenusSigns *s); /* no context has any */
/* The ring is about to be, if it is the context's first one; its memory is the context's. */
void venus_signs_begin(VenusSigns *s, VenusContext *ctx, const VenusRing *ring);
void venus_signs_end(VenusSigns *s, VenusContext *ctx);

/* venus_blob.c */
uint64_t venus_blob_bytes(const RendererBlob *blob);
uint32_t venus_blob_create(Renderer *r, VenusContext *ctx, const RendererBlob *blob);
uint32_t venus_blob_export(Renderer *r, uint32_t resource_id, const VenusBlob *host, RendererMemory *memory);
void venus_blob_free(Renderer *r, VenusBlob *host);

#endif
