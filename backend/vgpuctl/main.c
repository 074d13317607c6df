/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl: shows what vgpud shares, with whom. */
#include <gio/gio.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "table.h"

static const TableColumn vm_columns[] = {
    { "VM", table_text, "vm", false },
    { "DEVICE", table_text, "device", false },
    { "PROFILE", table_text, "profile", false },
    { "GPU", table_text, "gpu", false },
    { "STATE", table_text, "state", false },
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
    { "MEMORY/MiB", table_mib, "memory_bytes", true },
    { "BOOKED/MiB", table_mib, "memory_booked_bytes", true },
    { "FREE/MiB", table_mib, "memory_free_bytes", true },
    { "VMS", table_number, "vms", true },
};

static const struct {
    const char *name, *path, *help, *empty;
    const TableColumn *columns;
    unsigned count;
} commands[] = {
    { "list", "/v1/vms", "VMs that have a slice of a GPU", "no VM has a slice of a GPU", vm_columns,
      G_N_ELEMENTS(vm_columns) },
    { "profiles", "/v1/profiles", "profiles a VM may ask for, and how many more fit", "there are no profiles",
      profile_columns, G_N_ELEMENTS(profile_columns) },
    { "gpus", "/v1/gpus", "GPUs of this host and what is booked of them", "there are no GPUs", gpu_columns,
      G_N_ELEMENTS(gpu_columns) },
};

static int fail(int status, const char *format, ...) G_GNUC_PRINTF(2, 3);

static int fail(int status, const char *format, ...)
{
    va_list ap;

    fputs("vgpuctl: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    return status;
}

int main(int argc, char **argv)
{
    g_autofree char *socket = NULL;
    gboolean json = FALSE, version = FALSE;
    const GOptionEntry entries[] = {
        { "json", 'j', 0, G_OPTION_ARG_NONE, &json, "an array of objects instead of a table", NULL },
        { "socket", 's', 0, G_OPTION_ARG_FILENAME, &socket,
          "vgpud's socket; default: the host's, else this user's", "PATH" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &version, "show the version and exit", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("COMMAND");
    g_autoptr(GString) summary = g_string_new("Commands:");
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = NULL;
    unsigned c = 0;

    setlocale(LC_ALL, "C.UTF-8");
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_string_append_printf(summary, "\n  %-10s %s", commands[i].name, commands[i].help);
    }
    g_option_context_set_summary(context, summary->str);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        return fail(2, "%s; see vgpuctl --help", error->message);
    }
    if (version) {
        printf("vgpuctl " VGPU_VERSION "\n");
        return 0;
    }
    if (argc != 2) {
        return fail(2, argc < 2 ? "what shall it do? list, profiles or gpus; see vgpuctl --help"
                                : "one command at a time; see vgpuctl --help");
    }
    while (c < G_N_ELEMENTS(commands) && !g_str_equal(commands[c].name, argv[1])) {
        c++;
    }
    if (c == G_N_ELEMENTS(commands)) {
        return fail(2, "there is no command '%s'; there are list, profiles and gpus", argv[1]);
    }
    root = client_get(socket, commands[c].path, &error);
    if (!root) {
        return fail(1, "%s", error->message);
    }
    if (json) {
        g_autofree char *text = json_to_string(root, TRUE);

        printf("%s\n", text);
    } else {
        table_print(stdout, json_node_get_array(root), commands[c].columns, commands[c].count,
                    commands[c].empty);
    }
    return 0;
}
