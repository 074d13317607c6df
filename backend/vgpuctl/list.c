/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl list, profiles, gpus: an array of vgpud's as a table. */
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "command.h"
#include "table.h"
#include "text.h"
#include "top_model.h"

static const TableColumn vm_columns[] = {
    { "VM", table_text, "vm", false },
    { "DEVICE", table_text, "device", false },
    { "PROFILE", table_text, "profile", false },
    { "GPU", table_text, "gpu", false },
    { "STATE", table_text, "state", false },
    { "GPU TIME", table_percent, "gpu_share", true },
    { "SHARE", table_percent, "share", true },
    { "USED/MiB", table_mib, "memory_used_bytes", true },
    { "LIMIT/MiB", table_mib, "memory_limit_bytes", true },
    { "PID", table_number, "pid", true },
    { "CAUSE", table_text, "cause", false },
};

static const TableColumn profile_columns[] = {
    { "PROFILE", table_text, "name", false },  { "MEMORY/MiB", table_mib, "memory_bytes", true },
    { "SHARE", table_percent, "share", true }, { "IN USE", table_number, "in_use", true },
    { "FITS", table_number, "fits", true },    { "FROM", table_text, "origin", false },
};

static const TableColumn gpu_columns[] = {
    { "GPU", table_text, "name", false },
    { "DRIVER", table_text, "driver", false },
    { "NODE", table_text, "node", false },
    { "PCI", table_text, "pci", false },
    { "POLICY", table_text, "policy", false },
    { "BUSY", table_percent, "busy", true },
    { "MEMORY/MiB", table_mib, "memory_bytes", true },
    { "BOOKED/MiB", table_mib, "memory_booked_bytes", true },
    { "FREE/MiB", table_mib, "memory_free_bytes", true },
    { "VMS", table_number, "vms", true },
};

static JsonNode *ask(const Ctl *ctl, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) client = client_new(&ctl->where, &error);
    JsonNode *root = client ? client_get_array(client, path, &error) : NULL;

    if (!root) {
        command_fail(CTL_FAILED, "%s", error->message);
    }
    return root;
}

/* Where GPU time is something else than the GPU's own, whoever reads the figures has to know. */
static void note_source(JsonArray *vms)
{
    for (guint i = 0; i < json_array_get_length(vms); i++) {
        JsonNode *node = json_array_get_element(vms, i);
        JsonObject *vm = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;

        if (vm && !g_strcmp0(json_object_get_string_member_with_default(vm, "gpu_time_source", ""), "cpu")) {
            printf("GPU time on a software GPU is the CPU time of the renderers.\n");
            return;
        }
    }
}

static int list(const Ctl *ctl, const char *path, const TableColumn *columns, unsigned count,
                const char *empty)
{
    g_autoptr(JsonNode) root = ask(ctl, path);

    if (!root) {
        return CTL_FAILED;
    }
    if (ctl->json) {
        command_print_json(root);
        return CTL_OK;
    }
    table_print(stdout, json_node_get_array(root), columns, count, empty);
    note_source(json_node_get_array(root));
    return CTL_OK;
}

int list_vms(const Ctl *ctl)
{
    return list(ctl, "/v1/vms", vm_columns, G_N_ELEMENTS(vm_columns), "no VM has a slice of a GPU");
}

int list_profiles(const Ctl *ctl)
{
    return list(ctl, "/v1/profiles", profile_columns, G_N_ELEMENTS(profile_columns), "there are no profiles");
}

int list_gpus(const Ctl *ctl)
{
    return list(ctl, "/v1/gpus", gpu_columns, G_N_ELEMENTS(gpu_columns), "there are no GPUs");
}

/* ---- for the shells' completion ---- */

static int print_all(const char *const *names)
{
    for (; *names; names++) {
        printf("%s\n", *names);
    }
    return CTL_OK;
}

static const char *member(JsonArray *array, guint i, const char *name)
{
    JsonNode *node = json_array_get_element(array, i);

    return JSON_NODE_HOLDS_OBJECT(node)
               ? json_object_get_string_member_with_default(json_node_get_object(node), name, "")
               : "";
}

/* A name that means one thing only: what is not unique is replaced by the UUID. */
static const char *unique(JsonArray *array, guint i, const char *name, const char *otherwise)
{
    for (guint k = 0; k < json_array_get_length(array); k++) {
        if (k != i && g_str_equal(member(array, k, name), member(array, i, name))) {
            return member(array, i, otherwise);
        }
    }
    return member(array, i, name);
}

int list_names(const Ctl *ctl)
{
    static const struct {
        const char *what, *path, *member, *otherwise;
    } lists[] = {
        { "vms", "/v1/vms", "vm", "uuid" },
        { "profiles", "/v1/profiles", "name", "name" },
        { "gpus", "/v1/gpus", "name", "name" },
    };
    const char *what = ctl->argv[0];
    g_autoptr(JsonNode) root = NULL;
    JsonArray *array;
    unsigned l = 0;

    if (g_str_equal(what, "commands")) {
        return print_all(command_names());
    }
    if (g_str_equal(what, "keys")) {
        return print_all(change_keys());
    }
    if (g_str_equal(what, "columns")) {
        return print_all(top_column_names());
    }
    if (g_str_equal(what, "policies")) {
        return print_all(change_policies());
    }
    while (l < G_N_ELEMENTS(lists) && !g_str_equal(lists[l].what, what)) {
        l++;
    }
    if (l == G_N_ELEMENTS(lists)) {
        return command_fail(CTL_USAGE, "there are no names of '%s'", what);
    }
    root = ask(ctl, lists[l].path);
    if (!root) {
        return CTL_FAILED;
    }
    array = json_node_get_array(root);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        const char *name = unique(array, i, lists[l].member, lists[l].otherwise);
        g_autofree char *clean = text_clean(name);

        /* what a terminal should not see cannot be completed */
        if (*name && g_str_equal(clean, name)) {
            printf("%s\n", name);
        }
    }
    return CTL_OK;
}
