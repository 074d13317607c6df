/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts one renderer: its sockets and shared memory, its sandbox, its command
 * line.  Returns before the renderer runs; whether it does is told by status.
 */
#ifndef VGPUD_LAUNCHER_H
#define VGPUD_LAUNCHER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "launch_child.h"
#include "process_tree.h"
#include "vgpu/stats.h"
#include "zygote.h"

#define LAUNCHER_OBJECTS_SIZE (16u * 1024 * 1024)
typedef struct LaunchSpec {
    const char *renderer;     /* path */
    const char *apis;         /* --apis */
    const char *vulkan_layer; /* path, NULL: no Vulkan */
    const char *kind;         /* --renderer */
    const char *vm_name, *profile, *gpu;
    const char *node;         /* render node, NULL: software */
    const char *device_path;  /* of the node under /sys, or NULL */
    const char *udmabuf;      /* gpu_udmabuf's, of a software GPU; or NULL */
    char *const *environment; /* KEY=VALUE, or NULL */
    uint64_t memory;          /* bytes */
    uint64_t file_most;       /* bytes of one file or piece of shared memory */
    uint64_t clock_base;      /* what its times in the statistics page are less, ns */
    uint32_t max_contexts, max_outputs, max_width, max_height;
    uint32_t cpus; /* 0: no bound */
    uint32_t slot; /* small number, different for each VM alive */
    uid_t uid;     /* of the host, for its sandbox, when vgpud is root; 0: vgpud's own */
    bool sandbox;
    int record; /* descriptor to record to, -1: none */
    bool lease; /* it uses the GPU only while it holds one */
    /* see graphics.h */
    const char *facts; /* --facts, or NULL */
    bool probe;        /* it is one: its channel gets what it finds */
    Zygote *zygote;    /* that forks it, NULL: none */
} LaunchSpec;

typedef struct Launched {
    pid_t pid;
    int pidfd;
    int vhost_user, channel, stats, objects; /* for QEMU */
    int log;                                 /* the renderer's stderr, to read; non-blocking */
    int status;                              /* end of file: it runs; text: why it does not */
    struct vgpu_stats *page;                 /* writable map of stats */
    int lease, call, wake;                   /* for leases_add; -1: none */
} Launched;

/* Of none. */
#define LAUNCHED_NONE                                                                                        \
    (Launched){ .pid = -1,                                                                                   \
                .pidfd = -1,                                                                                 \
                .vhost_user = -1,                                                                            \
                .channel = -1,                                                                               \
                .stats = -1,                                                                                 \
                .objects = -1,                                                                               \
                .log = -1,                                                                                   \
                .status = -1,                                                                                \
                .lease = -1,                                                                                 \
                .call = -1,                                                                                  \
                .wake = -1 }

/* The descriptors and the map are the caller's. */
bool launcher_start(const LaunchSpec *spec, Launched *out, GError **error);

/* Of a renderer: ours is not for it; environment: more of it, KEY=VALUE, or NULL. */
char **launcher_environment(char *const *environment);

/* Binds all threads of a running renderer's processes to other CPUs; cpus 0: all. */
void launcher_pin(ProcessTree *t, uint32_t cpus, uint32_t slot);

/* Closes and unmaps what is left of it; the process is left alone. */
void launched_clear(Launched *l);

/* VGPU_RENDERER, configured, beside our own program, or libexecdir's; to free. */
char *launcher_find_renderer(const char *configured, GError **error);

/*
 * The same of the Vulkan layer, whose manifest lies beside it: VGPU_VULKAN_LAYER,
 * configured, the build tree's or libdir's.  NULL: there is none, with *why a
 * sentence to free.
 */
char *launcher_find_layer(const char *configured, char **why);

/* CPUs this process may use, at least 1. */
uint32_t launcher_cpus_online(void);

#endif
