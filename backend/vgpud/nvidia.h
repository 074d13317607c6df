/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPUs of NVIDIA's own kernel driver.  They are used by its device files, with or
 * without a render node, and by its own libraries: EGL on a device of EGL's, and
 * its Vulkan driver.
 */
#ifndef VGPUD_NVIDIA_H
#define VGPUD_NVIDIA_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The kernel driver's name; Mesa's GPUs of the same vendor have "nouveau". */
#define NVIDIA_DRIVER "nvidia"

typedef struct NvidiaGpu {
    char *pci;   /* 0000:03:00.0 */
    char *model; /* for people */
    unsigned minor;
} NvidiaGpu;

/* What its driver knows of, by minor number; empty where there is none.  proc: "/proc". */
GPtrArray *nvidia_list(const char *proc);

/* DEV/nvidiaN, to free; dev: "/dev". */
char *nvidia_node(const char *dev, unsigned minor);

/* It is one of these, and no render node. */
bool nvidia_is_node(const char *node);

/* The render node of that name ("renderD128") is its driver's; sys: "/sys". */
bool nvidia_has_render_node(const char *sys, const char *name);

/*
 * Bytes of memory of the GPU at that PCI address, as nvidia-smi tells them: a process,
 * which loads the driver's library.  0: it does not.
 */
uint64_t nvidia_memory(const char *pci);

#endif
