/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl: shows what vgpud shares with whom, and changes it. */
#include <gio/gio.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

/* So that a VM may be called -x: GLib leaves "--" where it is. */
static int remove_dashes(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (g_str_equal(argv[i], "--")) {
            memmove(argv + i, argv + i + 1, (size_t)(argc - i) * sizeof(*argv));
            return argc - 1;
        }
    }
    return argc;
}

int main(int argc, char **argv)
{
    Ctl ctl = { 0 };
    g_autofree char *socket = NULL, *url = NULL, *token_file = NULL, *ca_file = NULL;
    gboolean version = FALSE;
    int status;
    const GOptionEntry entries[] = {
        { "json", 'j', 0, G_OPTION_ARG_NONE, &ctl.json, "JSON, as vgpud has it, instead of text", NULL },
        { "socket", 's', 0, G_OPTION_ARG_FILENAME, &socket,
          "vgpud's socket; default: the host's, else this user's", "PATH" },
        { "url", 'u', 0, G_OPTION_ARG_STRING, &url, "ask a vgpud elsewhere: https://HOST:PORT", "URL" },
        { "token-file", 0, 0, G_OPTION_ARG_FILENAME, &token_file, "holds the token for --url", "FILE" },
        { "ca-file", 0, 0, G_OPTION_ARG_FILENAME, &ca_file,
          "who signed the certificate at --url, if not whom this system trusts", "FILE" },
        { "interval", 'n', 0, G_OPTION_ARG_DOUBLE, &ctl.interval, "of top: between two looks, default 1",
          "SECONDS" },
        { "count", 0, 0, G_OPTION_ARG_INT, &ctl.count,
          "of top: how many; default 1, on a terminal until one types q", "N" },
        { "sort", 0, 0, G_OPTION_ARG_STRING, &ctl.sort, "of top: by this column, default time", "COLUMN" },
        { "all", 0, 0, G_OPTION_ARG_NONE, &ctl.all, "of restart: all VMs", NULL },
        { "rolling", 0, 0, G_OPTION_ARG_NONE, &ctl.rolling,
          "of restart: one VM after the other, up to the first that fails", NULL },
        { "timeout", 0, 0, G_OPTION_ARG_INT, &ctl.timeout, "of doctor: for each program it tries, default 30",
          "SECONDS" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &version, "show the version and exit", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("COMMAND [ARGUMENT...]");
    g_autofree char *summary = command_help();
    g_autoptr(GError) error = NULL;

    setlocale(LC_ALL, "C.UTF-8");
    g_option_context_set_summary(context, summary);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        return command_fail(CTL_USAGE, "%s; see vgpuctl --help", error->message);
    }
    if (version) {
        printf("vgpuctl " VGPU_VERSION "\n");
        return CTL_OK;
    }
    argc = remove_dashes(argc, argv);
    if (argc < 2) {
        g_autofree char *all = g_strjoinv(", ", (char **)command_names());

        return command_fail(CTL_USAGE, "what shall it do? %s; see vgpuctl --help", all);
    }
    if ((token_file || ca_file) && !url) {
        return command_fail(CTL_USAGE, "--token-file and --ca-file are for --url");
    }
    if (url && socket) {
        return command_fail(CTL_USAGE, "give --socket or --url, not both");
    }
    if ((ctl.interval || ctl.count || ctl.sort) && !g_str_equal(argv[1], "top")) {
        return command_fail(CTL_USAGE, "--interval, --count and --sort are for top");
    }
    if ((ctl.all || ctl.rolling) && !g_str_equal(argv[1], "restart")) {
        return command_fail(CTL_USAGE, "--all and --rolling are for restart");
    }
    if (ctl.timeout && !g_str_equal(argv[1], "doctor")) {
        return command_fail(CTL_USAGE, "--timeout is for doctor");
    }
    ctl.where = (ClientConfig){ socket, url, token_file, ca_file };
    ctl.argc = argc - 2;
    ctl.argv = argv + 2;
    status = command_run(&ctl, argv[1]);
    g_free(ctl.sort);
    return status;
}
