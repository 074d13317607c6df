/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's GPUs: what there is to share.  No driver is loaded into vgpud to find out. */
#ifndef VGPUD_GPU_H
#define VGPUD_GPU_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "../sched/sched.h"
#include "meter.h"

/* Which of a host's GPUs are shared. */
typedef enum GpuKinds {
    GPU_KINDS_AUTO,     /* its hardware, or software when it has none */
    GPU_KINDS_SOFTWARE, /* software only */
    GPU_KINDS_ALL,      /* both */
} GpuKinds;

typedef struct Gpu {
    char *name;          /* gpu0, gpu1, ... or software0 */
    char *node;          /* /dev/dri/renderD128 or NVIDIA's /dev/nvidia0; NULL: software */
    char *pci;           /* 0000:03:00.0, or NULL */
    char *driver;        /* kernel driver, or "llvmpipe" */
    char *device_path;   /* its folder under /sys/devices, or NULL */
    uint64_t memory;     /* bytes to share */
    Meter busy;          /* its time, as charged to VMs */
    SchedPolicy policy;  /* how its time is divided; control_policy changes it */
    bool policy_set;     /* by an operator: kept in the state file */
    char **groups;       /* it is in, or NULL */
    bool memory_guessed; /* nobody told: it is a share of the host's RAM */
} Gpu;

void gpu_free(gpointer gpu);

/*
 * The render nodes of a host, the GPUs of NVIDIA's driver, and its one software
 * GPU last.  dev, sys, proc: "/dev" and so on (tests have their own); host_memory:
 * bytes of RAM.
 */
GPtrArray *gpu_find_all(const char *dev, const char *sys, const char *proc, uint64_t host_memory,
                        GpuKinds kinds);

bool gpu_in_group(const Gpu *gpu, const char *group);
void gpu_add_group(Gpu *gpu, const char *group);

/* "gpu0, gpu1 (0000:03:00.0)", to free. */
char *gpu_names(const GPtrArray *gpus);

/* By name or PCI address; NULL when there is none. */
Gpu *gpu_find(const GPtrArray *gpus, const char *name);

/*
 * The device that makes memory of a software GPU's a dmabuf, DEV/udmabuf, to
 * free; NULL: there is none, or its size_limit_mb is below memory, the VM's.
 * (Mesa makes all Vulkan memory that can be mapped of it, or none.)
 */
char *gpu_udmabuf(const char *dev, const char *sys, uint64_t memory);

/* Half of the host's RAM, rounded down to a power of two, at least 1 GiB. */
uint64_t gpu_default_memory(uint64_t host_memory);

/* /proc/meminfo's MemTotal, bytes. */
uint64_t gpu_host_memory(void);

#endif
