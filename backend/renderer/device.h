/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One VM's GPU: what the render thread owns, and the two shared ends (vhost,
 * channel) that have locks of their own.
 */
#ifndef VGPU_RENDERER_DEVICE_H
#define VGPU_RENDERER_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "../quota/ledger.h"
#include "../quota/vulkan_books.h"
#include "adopt.h"
#include "channel.h"
#include "facts.h"
#include "frame_limit.h"
#include "gpu_time.h"
#include "ops.h"
#include "order.h"
#include "rect.h"
#include "render_server.h"
#include "save.h"
#include "table.h"
#include "vhost.h"
#include "window.h"

typedef struct Recorder Recorder;

/* The command line. */
typedef struct Options {
    int vhost_user_fd, channel_fd, stats_fd, objects_fd; /* -1: absent */
    int lease_fd, lease_call_fd, lease_wake_fd;          /* -1: no lease, everything runs at once */
    char *vm_name, *profile, *gpu;
    gint64 memory;              /* bytes */
    gint64 clock_base;          /* what times in the statistics page are less, ns */
    char *renderer;             /* auto, virgl, 2d, null */
    char *render_node;          /* NULL: none */
    char *apis;                 /* --apis as it was written */
    bool gl, vulkan;            /* what it allows */
    char *vulkan_layer;         /* NULL: no Vulkan */
    char *render_server;        /* path of virglrenderer's */
    gint max_contexts;          /* 0: no bound */
    gint max_outputs;           /* 1 to 16 */
    gint max_width, max_height; /* 0: no bound but VGPU_MAX_SIZE */
    gint threads;               /* 0: llvmpipe decides */
    gboolean no_sandbox;
    gint record_fd; /* -1: nothing is recorded */
    char *facts;    /* what --probe found, see late.h; NULL: nobody has tried */
    gboolean probe;
    /* Of tests, for the null renderer. */
    gint64 null_submit_us; /* what a SUBMIT_3D costs; -1: as many as its first word says */
    char *null_submit_how; /* burn, sleep or async */
    gboolean null_lies;    /* works without the lease and claims nothing */
    char *null_hostile;    /* see hostile.h; NULL: not */
} Options;

/* The channel's bound on a scanout's sides, pixels. */
#define VGPU_MAX_SIZE 16384

typedef struct Scanout {
    uint32_t resource_id;                   /* 0: off */
    Rect rect;                              /* the part of the resource it shows */
    BlobFrame frame;                        /* of a blob; format 0: of another resource */
    uint8_t *map;                           /* the picture QEMU reads; NULL: none */
    uint64_t size;                          /* of map, bytes; charged to the ledger */
    uint32_t width, height, stride, fourcc; /* as QEMU was told */
    Rect unread;                            /* flushed by the guest, not read into map yet; in the picture */
    struct TableCursor cursor;              /* as the guest left it; its resource is 0 when that is gone */
    bool stale;                             /* shows another resource: read it all next time */
} Scanout;

/* Descriptors taken at once: few enough that a reset or the cursor waits little. */
#define DEVICE_BATCH 16

typedef struct Batch {
    Element *element[DEVICE_BATCH];
    unsigned next, count;
} Batch;

typedef struct Device {
    const Options *options;
    struct vgpu_stats *stats;
    Ledger ledger;
    Table *table;
    Vhost *vhost;
    Channel *channel;
    int front_wake_fd; /* eventfd: the front thread's poll set changed */
    int drain_fd;      /* eventfd: another renderer is to take our place */
    gint quit;         /* atomic */
    Window window;     /* has a lock of its own */
    VulkanBooks books;
    RenderServer *render_server; /* NULL: no Vulkan */

    /* Render thread only. */
    Recorder *recorder; /* NULL: nothing is recorded */
    const RendererOps *ops;
    Renderer *renderer;
    Facts facts;              /* with late */
    bool late;                /* virgl is to start when it is needed, see late.h */
    char warning[512];        /* for HELLO */
    GHashTable *resources;    /* id -> Resource, see resource.h */
    GHashTable *gone;         /* ids: lost with a renderer before, and not given back yet */
    uint64_t backing_entries; /* of all resources */
    uint32_t memory_serial;   /* of the table the backings are translated with */
    GHashTable *contexts;     /* ids */
    Scanout scanout[VGPU_CHANNEL_MAX_SCANOUTS];
    Batch batch[VHOST_QUEUES]; /* commands of each queue, from next on not run yet */
    uint32_t look;             /* bit q: submit queue q (an index of batch) may have some */
    unsigned first;            /* of the submit queues, whose turn is next */
    Order order;
    GpuTime gpu_time; /* fences of any thread too, see there */
    FrameLimit frame_limit;
    Adoption adoption; /* its first field is the front thread's too */
    Saving saving;     /* the same */
    gint64 drain_end;  /* us: it makes room for another renderer by then; 0: it does not */
} Device;

/* Counters of the statistics page that the render thread alone writes. */
static inline void stats_add(uint64_t *counter, int64_t n)
{
    vgpu_stats_set(counter, vgpu_stats_get(counter) + (uint64_t)n);
}

#endif
