/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl show: one VM in full. */
#include "show.h"

#include <stdio.h>

#include "command.h"
#include "table.h"
#include "text.h"

typedef char *(*Cell)(JsonObject *row, const char *member);

static char *cell_mib(JsonObject *row, const char *member)
{
    g_autofree char *text = table_mib(row, member);

    return text ? g_strconcat(text, " MiB", NULL) : NULL;
}

static char *cell_yes(JsonObject *row, const char *member)
{
    return g_strdup(json_object_get_boolean_member_with_default(row, member, FALSE) ? "yes" : "no");
}

static char *cell_ns(JsonObject *row, const char *member)
{
    gint64 ns = json_object_get_int_member_with_default(row, member, 0);

    return g_strdup_printf("%.3f s", (double)ns / 1e9);
}

static char *cell_source(JsonObject *row, const char *member)
{
    g_autofree char *text = table_text(row, member);

    if (!g_strcmp0(text, "cpu")) {
        return g_strdup("CPU time of the renderer (software GPU)");
    }
    return g_strcmp0(text, "lease") ? g_steal_pointer(&text) : g_strdup("time the renderer held the GPU");
}

static char *cell_frame_limit(JsonObject *row, const char *member)
{
    g_autofree char *text = table_number(row, member);

    return !text ? NULL : g_str_equal(text, "0") ? g_strdup("none") : g_strconcat(text, " per second", NULL);
}

static char *cell_quantum(JsonObject *row, const char *member)
{
    g_autofree char *text = table_duration(row, member);

    return g_strdup(g_strcmp0(text, "0") ? text : "as the GPU has it");
}

static char *cell_cpus(JsonObject *row, const char *member)
{
    g_autofree char *text = table_number(row, member);

    return g_strdup(g_strcmp0(text, "0") ? text : "all");
}

/* An array of words. */
static char *cell_list(JsonObject *row, const char *member)
{
    JsonArray *a = json_object_get_array_member(row, member);
    g_autoptr(GString) s = g_string_new(NULL);

    for (guint i = 0; i < json_array_get_length(a); i++) {
        JsonNode *node = json_array_get_element(a, i);

        if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_string(node)) {
            g_string_append_printf(s, "%s%s", s->len ? ", " : "", json_node_get_string(node));
        }
    }
    return text_clean(s->str);
}

static const struct {
    const char *member, *label;
    Cell cell;
} members[] = {
    { "vm", "VM", table_text },
    { "uuid", "UUID", table_text },
    { "device", "device", table_text },
    { "owner", "owner", table_text },
    { "owner_uid", "owner's uid", table_number },
    { "state", "state", table_text },
    { "cause", "cause", table_text },
    { "blame", "blame", table_text },
    { "hangs", "hangs", table_number },
    { "contexts_hung", "contexts hung", table_number },
    { "restarts", "renderers before", table_number },
    { "resets", "renderers lost", table_number },
    { "last_reset", "the last by", table_text },
    { "connected", "QEMU connected", cell_yes },
    { "pid", "renderer's PID", table_number },
    { "kind", "renderer", table_text },
    { "allowed_3d", "3D allowed", cell_yes },
    { "apis", "APIs", cell_list },
    { "profile", "profile", table_text },
    { "gpu", "GPU", table_text },
    { "share", "share of GPU time", table_percent },
    { "gpu_share", "GPU time, last second", table_percent },
    { "gpu_time_ns", "GPU time, in all", cell_ns },
    { "gpu_time_source", "GPU time is", cell_source },
    { "queue_wait_ns", "waited for the GPU", cell_ns },
    { "queue_depth", "waits now", table_number },
    { "preemptions", "preemptions", table_number },
    { "overshoot_ns", "used past its slices", cell_ns },
    { "understated_ns", "understated", cell_ns },
    { "priority", "priority", table_text },
    { "quantum_us", "quantum", cell_quantum },
    { "hang_timeout_us", "hang timeout", table_duration },
    { "cpus", "host CPUs", cell_cpus },
    { "memory_used_bytes", "memory used", cell_mib },
    { "memory_peak_bytes", "memory peak", cell_mib },
    { "memory_limit_bytes", "memory limit", cell_mib },
    { "memory_held_bytes", "memory held", cell_mib },
    { "allocations_denied", "allocations denied", table_number },
    { "host_memory_bytes", "host memory", cell_mib },
    { "host_memory_cap_bytes", "host memory cap", cell_mib },
    { "contexts", "contexts", table_number },
    { "frames", "frames", table_number },
    { "frame_rate_limit", "frame rate limit", cell_frame_limit },
};

static void line_free(gpointer data)
{
    ShowLine *line = data;

    g_free(line->label);
    g_free(line->text);
    g_free(line);
}

static void add_line(GPtrArray *lines, const char *label, char *text)
{
    ShowLine *line;

    if (!text || !*text) {
        g_free(text);
        return;
    }
    line = g_new0(ShowLine, 1);
    line->label = text_clean(label);
    line->text = text;
    g_ptr_array_add(lines, line);
}

static bool is_known(const char *member)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        if (g_str_equal(members[i].member, member)) {
            return true;
        }
    }
    return false;
}

GPtrArray *show_lines(JsonObject *vm)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(line_free);
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        node = json_object_get_member(vm, members[i].member);
        if (node &&
            (members[i].cell == cell_list ? JSON_NODE_HOLDS_ARRAY(node) : JSON_NODE_HOLDS_VALUE(node))) {
            add_line(lines, members[i].label, members[i].cell(vm, members[i].member));
        }
    }
    json_object_iter_init_ordered(&iter, vm);
    while (json_object_iter_next_ordered(&iter, &name, &node)) {
        if (!is_known(name) && !JSON_NODE_HOLDS_NULL(node)) {
            g_autofree char *json = json_to_string(node, FALSE);
            const char *text = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;

            add_line(lines, name, text_clean(text ? text : json));
        }
    }
    return lines;
}

int show_vm(const Ctl *ctl)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) client = client_new(&ctl->where, &error);
    g_autofree char *path = client_path("vms", ctl->argv[0]);
    g_autoptr(JsonNode) root = client ? client_ask(client, "GET", path, NULL, &error) : NULL;
    g_autoptr(GPtrArray) lines = NULL;

    if (!root) {
        return command_fail(CTL_FAILED, "%s", error->message);
    }
    if (!JSON_NODE_HOLDS_OBJECT(root)) {
        return command_fail(CTL_FAILED, "vgpud on %s answers %s with something else than an object",
                            client_server(client), path);
    }
    if (ctl->json) {
        command_print_json(root);
        return CTL_OK;
    }
    lines = show_lines(json_node_get_object(root));
    for (guint i = 0; i < lines->len; i++) {
        const ShowLine *line = lines->pdata[i];

        printf("%-22s %s\n", line->label, line->text);
    }
    return CTL_OK;
}
