/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nvidia.h"
#include "units.h"

void gpu_free(gpointer data)
{
    Gpu *g = data;

    if (g) {
        g_free(g->name);
        g_free(g->node);
        g_free(g->pci);
        g_free(g->driver);
        g_free(g->device_path);
        g_strfreev(g->groups);
        g_free(g);
    }
}

uint64_t gpu_host_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (uint64_t)pages * size : 2 * GIB;
}

char *gpu_udmabuf(const char *dev, const char *sys, uint64_t memory)
{
    g_autofree char *limit = g_build_filename(sys, "module/udmabuf/parameters/size_limit_mb", NULL);
    g_autofree char *path = g_build_filename(dev, "udmabuf", NULL), *text = NULL;

    if (access(path, R_OK | W_OK) < 0 || !g_file_get_contents(limit, &text, NULL, NULL) ||
        g_ascii_strtoll(text, NULL, 10) < (int64_t)((memory + (1 << 20) - 1) >> 20)) {
        return NULL;
    }
    return g_steal_pointer(&path);
}

uint64_t gpu_default_memory(uint64_t host_memory)
{
    uint64_t size = GIB;

    while (size * 2 <= host_memory / 2) {
        size *= 2;
    }
    return size;
}

/* A sysfs link's last component, e.g. of .../device/driver. */
static char *link_name(const char *path)
{
    g_autofree char *target = g_file_read_link(path, NULL);

    return target ? g_path_get_basename(target) : NULL;
}

static bool looks_like_pci(const char *name)
{
    unsigned a, b, c, d;
    int end = 0;

    return sscanf(name, "%4x:%2x:%2x.%1x%n", &a, &b, &c, &d, &end) == 4 && name[end] == 0;
}

static void guess_memory(Gpu *g, uint64_t host_memory)
{
    if (g->memory < GIB / 4) { /* unknown, or a boot screen's carve-out */
        g->memory = gpu_default_memory(host_memory);
        g->memory_guessed = true;
    }
}

static Gpu *gpu_from_node(const char *dev, const char *sys, const char *node, unsigned index,
                          uint64_t host_memory)
{
    Gpu *g = g_new0(Gpu, 1);
    g_autofree char *device = g_build_filename(sys, "class/drm", node, "device", NULL);
    g_autofree char *driver = g_build_filename(device, "driver", NULL);
    g_autofree char *vram = g_build_filename(device, "mem_info_vram_total", NULL);
    g_autofree char *text = NULL;
    g_autofree char *base = link_name(device);

    g->name = g_strdup_printf("gpu%u", index);
    g->node = g_build_filename(dev, "dri", node, NULL);
    if (base && looks_like_pci(base)) {
        g->pci = g_steal_pointer(&base);
    }
    g->device_path = realpath(device, NULL);
    g->driver = link_name(driver);
    if (g_file_get_contents(vram, &text, NULL, NULL)) {
        g->memory = g_ascii_strtoull(text, NULL, 10);
    }
    guess_memory(g, host_memory);
    return g;
}

static Gpu *gpu_from_nvidia(const char *dev, const char *sys, const NvidiaGpu *nvidia, unsigned index,
                            uint64_t host_memory)
{
    Gpu *g = g_new0(Gpu, 1);
    g_autofree char *device = g_build_filename(sys, "bus/pci/devices", nvidia->pci, NULL);

    g->name = g_strdup_printf("gpu%u", index);
    g->node = nvidia_node(dev, nvidia->minor);
    g->pci = g_strdup(nvidia->pci);
    g->device_path = realpath(device, NULL);
    g->driver = g_strdup(NVIDIA_DRIVER);
    g->memory = nvidia_memory(nvidia->pci);
    guess_memory(g, host_memory);
    return g;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void find_nvidia(GPtrArray *gpus, const char *dev, const char *sys, const char *proc,
                        uint64_t host_memory)
{
    g_autoptr(GPtrArray) found = nvidia_list(proc);

    for (guint i = 0; i < found->len; i++) {
        const NvidiaGpu *nvidia = found->pdata[i];
        g_autofree char *node = nvidia_node(dev, nvidia->minor);

        if (access(node, F_OK) == 0) { /* else it is another container's, or nobody has made it */
            g_ptr_array_add(gpus, gpu_from_nvidia(dev, sys, nvidia, gpus->len, host_memory));
        }
    }
}

GPtrArray *gpu_find_all(const char *dev, const char *sys, const char *proc, uint64_t host_memory,
                        GpuKinds kinds)
{
    GPtrArray *gpus = g_ptr_array_new_with_free_func(gpu_free);
    g_autofree char *folder = g_build_filename(dev, "dri", NULL);
    g_autoptr(GPtrArray) nodes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = kinds == GPU_KINDS_SOFTWARE ? NULL : g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        /* those of NVIDIA's driver come by its own device files */
        if (g_str_has_prefix(name, "renderD") && !nvidia_has_render_node(sys, name)) {
            g_ptr_array_add(nodes, g_strdup(name));
        }
    }
    g_ptr_array_sort(nodes, compare_names);
    for (guint i = 0; i < nodes->len; i++) {
        g_ptr_array_add(gpus, gpu_from_node(dev, sys, nodes->pdata[i], i, host_memory));
    }
    if (kinds != GPU_KINDS_SOFTWARE) {
        find_nvidia(gpus, dev, sys, proc, host_memory);
    }
    if (!gpus->len || kinds == GPU_KINDS_ALL) {
        Gpu *g = g_new0(Gpu, 1);

        g->name = g_strdup("software0");
        g->driver = g_strdup("llvmpipe");
        g->memory = gpu_default_memory(host_memory);
        g_ptr_array_add(gpus, g);
    }
    return gpus;
}

char *gpu_names(const GPtrArray *gpus)
{
    GString *s = g_string_new(NULL);

    for (guint i = 0; i < gpus->len; i++) {
        const Gpu *g = gpus->pdata[i];

        g_string_append_printf(s, "%s%s", i ? ", " : "", g->name);
        if (g->pci) {
            g_string_append_printf(s, " (%s)", g->pci);
        }
    }
    return g_string_free(s, FALSE);
}

bool gpu_in_group(const Gpu *gpu, const char *group)
{
    return gpu->groups && g_strv_contains((const char *const *)gpu->groups, group);
}

void gpu_add_group(Gpu *gpu, const char *group)
{
    guint n = gpu->groups ? g_strv_length(gpu->groups) : 0;

    gpu->groups = g_renew(char *, gpu->groups, n + 2);
    gpu->groups[n] = g_strdup(group);
    gpu->groups[n + 1] = NULL;
}

Gpu *gpu_find(const GPtrArray *gpus, const char *name)
{
    for (guint i = 0; i < gpus->len; i++) {
        Gpu *g = gpus->pdata[i];

        if (g_str_equal(g->name, name) || (g->pci && g_ascii_strcasecmp(g->pci, name) == 0)) {
            return g;
        }
    }
    return NULL;
}
