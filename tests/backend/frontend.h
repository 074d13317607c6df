/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fake QEMU: starts the real vgpu-renderer (or takes the descriptors vgpud
 * handed out), gives it guest RAM and rings, and drives it as a guest would.
 *
 * Nothing here waits for ever.  The first missed deadline fails the test with
 * a sentence and marks the front-end dead; everything after that returns at
 * once, so that one hung renderer costs one deadline and not one per command.
 */
#ifndef TEST_FRONTEND_H
#define TEST_FRONTEND_H

#include "proc.h"
#include "screen.h"
#include "vgpu/stats.h"
#include "vgpu/virtio.h"
#include "vhost.h"

#define CONTROL 0
#define CURSOR  1
#define SUBMIT  VGPU_QUEUE_SUBMIT /* the first submit queue */

#define FRONTEND_QUEUES (SUBMIT + VGPU_SUBMIT_QUEUES_MAX)

/* Milliseconds: to say HELLO (GL starts), to answer a command, to exit. */
#define FRONTEND_HELLO_DEADLINE   30000
#define FRONTEND_COMMAND_DEADLINE 20000
#define FRONTEND_EXIT_DEADLINE    10000

/* Everything 0: the 2d renderer with 256 MiB, one output, rings of 256. */
typedef struct FrontendOptions {
    const char *renderer; /* --renderer= */
    const char *vm_name;
    uint64_t memory; /* bytes */
    unsigned max_contexts, max_outputs;
    unsigned max_width, max_height;
    uint64_t ram; /* bytes below the hole; as much above it */
    uint16_t ring_size;
    unsigned submit_queues;  /* the guest takes VGPU_F_SUBMIT_QUEUES when it has some */
    bool plain_rings;        /* neither indirect nor event idx */
    bool stock;              /* the guest's driver knows nothing of the extension */
    bool mem_table;          /* SET_MEM_TABLE, not ADD_MEM_REG */
    bool channel_in_pieces;  /* our channel messages go out byte by byte */
    const char *extra;       /* one more argument of the renderer */
    const char *const *args; /* more of them, NULL-terminated; NULL: none */
    const int *lease;        /* its page, call and wake; NULL: none */
} FrontendOptions;

typedef struct Pending {
    struct Frontend *f;
    unsigned queue;
    uint64_t out_gpa, data_gpa, in_gpa; /* 0: none; released with the Pending */
    uint32_t in_len;
    bool done;
    uint32_t used_len; /* as the device told */
    unsigned order;    /* of completion in its queue, from 1 */
} Pending;

typedef struct Frontend {
    FrontendOptions o;
    GPid pid;   /* of what we started, 0: vgpud did */
    int log_fd; /* memfd: the renderer's stderr */
    Ram *ram;
    unsigned queues; /* of the next: control, cursor and submit queues */
    Vring *ring[FRONTEND_QUEUES];
    uint16_t base[FRONTEND_QUEUES];
    Vhost vhost;
    Channel channel;
    Screen screen;
    int stats_fd, objects_fd;
    struct vgpu_stats *stats;
    struct vgpu_channel_hello hello;
    uint64_t features; /* agreed with the guest */
    uint32_t generation;
    bool running;
    bool dead;
    bool exit_unchecked; /* the test killed it */
    Pending *by_head[FRONTEND_QUEUES][1024];
    unsigned completed[FRONTEND_QUEUES];
    uint64_t sample_gpa; /* sample.c's */
    struct Bar *bar;     /* NULL: no window */
} Frontend;

typedef struct FrontendFds {
    int vhost, channel, stats, objects;
} FrontendFds;

/* Starts a renderer and brings the device up to DRIVER_OK. */
Frontend *frontend_new(const FrontendOptions *o);
/* The same with a renderer that somebody else started; takes the descriptors. */
Frontend *frontend_adopt(const FrontendOptions *o, const FrontendFds *fds);
/* Kills the renderer as if it had crashed; the guest notices nothing. */
void frontend_kill(Frontend *f);
/*
 * Another renderer takes the place of one that is dead, as QEMU does it: the rings go
 * on, and the lost one's object table is handed over (or -1: none is).  table_fd: a
 * copy of it that the caller made, or f->objects_fd.  False when it does not come up.
 */
bool frontend_replace(Frontend *f, int table_fd);
/*
 * What another renderer needs to go on, in a memory file for the caller; the rings are
 * stopped.  -1: it was refused, *why says so, to be freed.
 */
int frontend_save(Frontend *f, bool leave_contexts, char **why);
/* As frontend_replace(), from that.  *why: NULL where it goes on, else why not; to be freed. */
bool frontend_replace_saved(Frontend *f, int saved_fd, char **why);
/* Until it has said ADOPTED, which is in *m (may be NULL). */
bool frontend_adopted(Frontend *f, struct vgpu_channel_adopted *m);
/* Closes the sockets and checks that the renderer leaves with status 0. */
void frontend_free(Frontend *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Frontend, frontend_free)

G_GNUC_PRINTF(2, 3) void frontend_fail(Frontend *f, const char *format, ...);

/* What vhost does at stop, cont and at a reset by the guest. */
bool frontend_stop(Frontend *f);
bool frontend_resume(Frontend *f);
bool frontend_reset(Frontend *f);

/* Pushes one mode per output and an EDID made of marker bytes. */
void frontend_push_display(Frontend *f, unsigned outputs, uint32_t width, uint32_t height);

/*
 * Puts a command on a ring.  out and data are readable (data may be NULL), in
 * is writable (in_len 0: none).  NULL when the ring is full or f is dead.
 */
Pending *frontend_send(Frontend *f, unsigned queue, const void *out, uint32_t out_len, const void *data,
                       uint32_t data_len, uint32_t in_len);
/* The same with buffers as the test laid them out; it owns them. */
Pending *frontend_send_raw(Frontend *f, unsigned queue, const VringBuf *out, unsigned n_out,
                           const VringBuf *in, unsigned n_in);
/* Collects what is done; true when p is (NULL: never). */
bool frontend_collect(Frontend *f, const Pending *p);
bool frontend_wait(Frontend *f, const Pending *p, int timeout);
/* A Pending that is not done stays known to the ring: stop or reset first. */
void pending_free(Pending *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pending, pending_free)

/* The renderer's log so far. */
char *frontend_log(Frontend *f);
/* The process that does the work: the last below the one we started. */
pid_t frontend_worker(Frontend *f);
/* The process lives and GET_FEATURES is answered. */
bool frontend_alive(Frontend *f);

uint64_t frontend_used(Frontend *f);

#endif
