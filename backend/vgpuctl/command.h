/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a command of vgpuctl is given, and which there are. */
#ifndef VGPUCTL_COMMAND_H
#define VGPUCTL_COMMAND_H

#include <stdbool.h>

#include "client.h"

enum {
    CTL_OK = 0,
    CTL_FAILED = 1, /* vgpud refused, or nobody answered; of doctor: a check failed */
    CTL_USAGE = 2,  /* the command line is wrong; nothing was asked of vgpud */
};

typedef struct Ctl {
    ClientConfig where;
    gboolean json;
    /* of top */
    double interval; /* seconds, 0: the default */
    int count;       /* rounds, 0: the default */
    char *sort;      /* a column, NULL: the default */
    /* of restart */
    gboolean all, rolling;
    /* of doctor */
    int timeout; /* seconds, 0: the default */
    /* what follows the command's name */
    int argc;
    char **argv;
} Ctl;

typedef int (*CommandRun)(const Ctl *ctl);

int list_vms(const Ctl *ctl);
int list_profiles(const Ctl *ctl);
int list_gpus(const Ctl *ctl);
/* Names for the shells' completion, one per line: vms, profiles, gpus, commands, keys, columns, policies. */
int list_names(const Ctl *ctl);
int show_vm(const Ctl *ctl);
int top_run(const Ctl *ctl);
int doctor_run(const Ctl *ctl);
int change_set(const Ctl *ctl);
int change_profile(const Ctl *ctl);
int change_policy(const Ctl *ctl);
int change_stop(const Ctl *ctl);
int change_allow(const Ctl *ctl);
int restart_run(const Ctl *ctl);

/* Runs the command of that name; the exit status. */
int command_run(const Ctl *ctl, const char *name);
/* The list of commands for --help; to free. */
char *command_help(void);

/* Writes "vgpuctl: sentence" to stderr and returns status. */
int command_fail(int status, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* JSON to stdout. */
void command_print_json(JsonNode *root);

/* The commands' names, for list_names; ends with NULL. */
const char *const *command_names(void);

#endif
