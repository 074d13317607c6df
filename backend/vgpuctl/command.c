/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of commands, and what all of them say in the same way. */
#include "command.h"

#include <stdio.h>

#include "doctor.h"

static const struct {
    const char *name, *arguments, *help;
    int min, max; /* arguments; -1: as many as one likes */
    CommandRun run;
} commands[] = {
    { "list", "", "VMs that have a slice of a GPU", 0, 0, list_vms },
    { "show", "VM", "everything about one VM", 1, 1, show_vm },
    { "top", "", "who uses the GPUs now; --interval, --count, --sort", 0, 0, top_run },
    { "profiles", "", "profiles a VM may ask for, and how many more fit", 0, 0, list_profiles },
    { "gpus", "", "GPUs of this host and what is booked of them", 0, 0, list_gpus },
    { "set", "VM KEY=VALUE...", "changes a running VM: all of it or nothing", 2, -1, change_set },
    { "set-profile", "VM PROFILE", "gives a running VM another profile", 2, 2, change_profile },
    { "policy", "GPU POLICY", "how a GPU's time is divided", 2, 2, change_policy },
    { "stop", "VM", "ends a VM's renderer; no 3D until it is allowed again", 1, 1, change_stop },
    { "restart", "VM", "another renderer, in the VM's running; --all, --rolling", 0, 1, restart_run },
    { "allow", "VM", "3D again after a stop or hangs, at the VM's next reset", 1, 1, change_allow },
    { "doctor", "", "whether this host can share its GPUs, and what to do if not; --timeout", 0, 0,
      doctor_run },
};

/* Not for people. */
static const struct {
    const char *name;
    int arguments;
    CommandRun run;
} hidden[] = {
    { "names", 1, list_names },
    { "try-kvm", 0, try_kvm },
    { "try-sandbox", 0, try_sandbox },
};

const char *const *command_names(void)
{
    static const char *names[G_N_ELEMENTS(commands) + 1];

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        names[i] = commands[i].name;
    }
    return names;
}

int command_fail(int status, const char *format, ...)
{
    va_list ap;

    fputs("vgpuctl: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    return status;
}

void command_print_json(JsonNode *root)
{
    g_autofree char *text = json_to_string(root, TRUE);

    printf("%s\n", text);
}

char *command_help(void)
{
    GString *s = g_string_new("Commands:");

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *usage = g_strjoin(" ", commands[i].name, commands[i].arguments, NULL);

        g_string_append_printf(s, "\n  %-22s %s", usage, commands[i].help);
    }
    g_string_append(s, "\n\nVM is a name, a UUID, or UUID/DEVICE.  KEY is share, memory, quantum, priority,\n"
                       "frame-rate-limit, hang-timeout or profile.  POLICY is best-effort, equal-share,\n"
                       "fixed-share or exclusive.");
    return g_string_free(s, FALSE);
}

int command_run(const Ctl *ctl, const char *name)
{
    g_autofree char *all = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!g_str_equal(commands[i].name, name)) {
            continue;
        }
        if (ctl->argc < commands[i].min || (commands[i].max >= 0 && ctl->argc > commands[i].max)) {
            return command_fail(CTL_USAGE, "write: vgpuctl %s%s%s; see vgpuctl --help", name,
                                *commands[i].arguments ? " " : "", commands[i].arguments);
        }
        for (int a = 0; a < ctl->argc; a++) {
            if (!*ctl->argv[a] || !g_utf8_validate(ctl->argv[a], -1, NULL)) {
                return command_fail(CTL_USAGE, "argument %d of %s is %s; see vgpuctl --help", a + 1, name,
                                    *ctl->argv[a] ? "not UTF-8" : "empty");
            }
        }
        return commands[i].run(ctl);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(hidden); i++) {
        if (g_str_equal(hidden[i].name, name) && ctl->argc == hidden[i].arguments) {
            return hidden[i].run(ctl);
        }
    }
    all = g_strjoinv(", ", (char **)command_names());
    return command_fail(CTL_USAGE, "there is no command '%s'; the commands are %s", name, all);
}
