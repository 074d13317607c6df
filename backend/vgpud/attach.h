/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server of include/vgpu/attach.h: QEMUs come here for a slice. */
#ifndef VGPUD_ATTACH_H
#define VGPUD_ATTACH_H

#include "daemon.h"

/* Serves a listening, non-blocking SOCK_SEQPACKET socket; returns the source's id. */
guint attach_serve(Daemon *d, int fd);

#endif
