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
#include "channel.h"
#include "frame_limit.h"
#include "gpu_time.h"
#include "ops.h"
#include "rect.h"
#include "render_server.h"
#include "table.h"
#include "vhost.h"
#include "window.h"

/* The command line. */
typedef struct Options {
    int vhost_user_fd, channel_fd, stats_fd, objects_fd; /* -1: absent */
    int lease_fd, lease_call_fd, lease_wake_fd;          /* -1: no lease, everything runs at once */
    char *vm_name, *profile, *gpu;
    gint64 memory;              /* bytes */
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
    /* Of tests, for the null renderer. */
    gint64 null_submit_us; /* what a SUBMIT_3D costs; -1: as many as its first word says */
    char *null_submit_how; /* burn, sleep or async */
    gboolean null_lies;    /* works without the lease and claims nothing */
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
    bool cursor_visible;                    /* as the last UPDATE_CURSOR left it */
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
    gint quit;         /* atomic */
    Window window;     /* has a lock of its own */
    VulkanBooks books;
    RenderServer *render_server; /* NULL: no Vulkan */

    /* Render thread only. */
    const RendererOps *ops;
    Renderer *renderer;
    char warning[512];        /* for HELLO */
    GHashTable *resources;    /* id -> Resource, see resource.h */
    uint64_t backing_entries; /* of all resources */
    uint32_t memory_serial;   /* of the table the backings are translated with */
    GHashTable *contexts;     /* ids */
    Scanout scanout[VGPU_CHANNEL_MAX_SCANOUTS];
    Batch taken;      /* commands of the control queue, from next on not run yet */
    Batch pointer;    /* the same of the cursor queue */
    GpuTime gpu_time; /* fences of any thread too, see there */
    FrameLimit frame_limit;
} Device;

/* Counters of the statistics page that the render thread alone writes. */
static inline void stats_add(uint64_t *counter, int64_t n)
{
    vgpu_stats_set(counter, vgpu_stats_get(counter) + (uint64_t)n);
}

#endif
