/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes on beside the work that is measured, each on a thread of its own. */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <glib.h>

/* Asks QEMU for query-status every 2 ms on a QMP socket of its own. */
typedef struct QmpProbe QmpProbe;
QmpProbe *qmp_probe_start(const char *socket_path);
GArray *qmp_probe_stop(QmpProbe *p); /* of int64_t, ns each answer took; to be freed */

/* A VNC viewer of raw pixels that asks for the next update when it has one. */
typedef struct VncProbe VncProbe;
VncProbe *vnc_probe_start(const char *socket_path);
unsigned vnc_probe_updates(VncProbe *p); /* with pixels in them, so far */
void vnc_probe_stop(VncProbe *p);

#endif
