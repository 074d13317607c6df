/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Prometheus scrapes. */
#ifndef VGPUD_METRICS_H
#define VGPUD_METRICS_H

#include "daemon.h"
#include "roles.h"

/*
 * The figures of all GPUs, and of the VMs that caller may see (NULL: all), of
 * type PROMTEXT_TYPE; to free.  Every family is there always, a figure that
 * vgpud cannot know is left out.
 */
char *metrics_text(Daemon *d, const Caller *caller);

#endif
