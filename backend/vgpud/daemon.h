/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all of vgpud shares: made by main.c, lives as long as the main loop. */
#ifndef VGPUD_DAEMON_H
#define VGPUD_DAEMON_H

#include <glib.h>
#include <stdbool.h>

#include "books.h"
#include "config.h"
#include "profile.h"

#define DAEMON_REFUSALS 16

typedef struct Daemon {
    Config *config;
    ProfileSet *profiles;
    GPtrArray *gpus; /* Gpu */
    Books *books;
    uid_t uid_base;            /* of renderers, see ids.h; 0: they have vgpud's own */
    struct Leases *leases;     /* NULL: no GPU time is divided */
    struct Graphics *graphics; /* NULL: nothing is known of OpenGL here, see graphics.h */
    char *state_path;
    char *era;
    uint64_t since_ns;                          /* CLOCK_MONOTONIC */
    unsigned connections;                       /* of QEMUs, with or without a VM */
    uint64_t accepted, denied[DAEMON_REFUSALS]; /* VMs let in; requests refused, by enum vgpu_refusal */
    void (*idle_changed)(struct Daemon *d);     /* VMs or connections came or went */
    GMainLoop *loop;
} Daemon;

#endif
