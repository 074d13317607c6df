/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server of include/vgpu/attach.h: QEMUs come here for a slice. */
#ifndef VGPUD_ATTACH_H
#define VGPUD_ATTACH_H

#include "daemon.h"

typedef struct Attach Attach;

/* Serves a listening, non-blocking SOCK_SEQPACKET socket; fd stays the caller's. */
Attach *attach_serve(Daemon *d, int fd);
/* Takes no more connections; those there are go on. Takes NULL. */
void attach_free(Attach *a);

#endif
