/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nvidia.h"

#include <stdio.h>
#include <string.h>

#include "units.h"

#define SMI_S "10" /* seconds that nvidia-smi gets; without its daemon it starts the GPU first */

static void nvidia_free(gpointer data)
{
    NvidiaGpu *g = data;

    g_free(g->pci);
    g_free(g->model);
    g_free(g);
}

/* What is behind "KEY:" in its information file, to free, or NULL. */
static char *value_of(char *const *lines, const char *key)
{
    for (; *lines; lines++) {
        const char *colon = strchr(*lines, ':');

        if (colon && strlen(key) == (size_t)(colon - *lines) && g_str_has_prefix(*lines, key)) {
            return g_strstrip(g_strdup(colon + 1));
        }
    }
    return NULL;
}

static NvidiaGpu *gpu_new(const char *folder, const char *pci)
{
    g_autofree char *path = g_build_filename(folder, pci, "information", NULL), *text = NULL, *number = NULL;
    g_auto(GStrv) lines = NULL;
    guint64 minor;
    NvidiaGpu *g;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    number = value_of(lines, "Device Minor");
    if (!number || !g_ascii_string_to_unsigned(number, 10, 0, 4095, &minor, NULL)) {
        return NULL;
    }
    g = g_new0(NvidiaGpu, 1);
    g->pci = g_ascii_strdown(pci, -1);
    g->model = value_of(lines, "Model");
    g->minor = (unsigned)minor;
    return g;
}

static gint by_minor(gconstpointer a, gconstpointer b)
{
    const NvidiaGpu *const *x = a, *const *y = b;

    return (*x)->minor<(*y)->minor ? -1 : (*x)->minor>(*y)->minor;
}

GPtrArray *nvidia_list(const char *proc)
{
    GPtrArray *gpus = g_ptr_array_new_with_free_func(nvidia_free);
    g_autofree char *folder = g_build_filename(proc, "driver/nvidia/gpus", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *pci;

    while (dir && (pci = g_dir_read_name(dir))) {
        NvidiaGpu *g = gpu_new(folder, pci);

        if (g) {
            g_ptr_array_add(gpus, g);
        }
    }
    g_ptr_array_sort(gpus, by_minor);
    return gpus;
}

char *nvidia_node(const char *dev, unsigned minor)
{
    return g_strdup_printf("%s/nvidia%u", dev, minor);
}

bool nvidia_is_node(const char *node)
{
    const char *name = node ? strrchr(node, '/') : NULL;

    return name && g_str_has_prefix(name, "/nvidia") && g_ascii_isdigit(name[7]);
}

bool nvidia_has_render_node(const char *sys, const char *name)
{
    g_autofree char *link = g_build_filename(sys, "class/drm", name, "device/driver", NULL);
    g_autofree char *target = g_file_read_link(link, NULL);

    return target && g_str_has_suffix(target, "/" NVIDIA_DRIVER);
}

uint64_t nvidia_memory(const char *pci)
{
    static const char *const argv[] = { "timeout",
                                        "--kill-after=1",
                                        SMI_S,
                                        "nvidia-smi",
                                        "--query-gpu=pci.bus_id,memory.total",
                                        "--format=csv,noheader,nounits",
                                        NULL };
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                      &out, NULL, NULL, NULL)) {
        return 0;
    }
    lines = g_strsplit(out, "\n", -1);
    for (char **l = lines; *l; l++) {
        g_auto(GStrv) fields = g_strsplit(*l, ",", 2);
        g_autofree char *address = fields[0] ? g_ascii_strdown(g_strstrip(fields[0]), -1) : NULL;
        guint64 mib;

        /* its domain has eight digits */
        if (address && fields[1] && g_str_has_suffix(address, pci) &&
            g_ascii_string_to_unsigned(g_strstrip(fields[1]), 10, 1, G_MAXUINT32, &mib, NULL)) {
            return mib * MIB;
        }
    }
    return 0;
}
