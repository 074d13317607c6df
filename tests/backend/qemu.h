/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process whose connections the test uses: for vgpud that is the VMs' QEMU,
 * and it can end while the test goes on.
 */
#ifndef TEST_QEMU_H
#define TEST_QEMU_H

#include "attach.h"

typedef struct Qemu Qemu;

/* Has nothing open of what the test has; call it while there is one thread only. */
Qemu *qemu_new(Vgpud *d);
/* A connection to vgpud that is the test's from then on, -1: nobody listens. */
int qemu_connect(Qemu *q);
/* Ends the process; its connections stay open where the test has them.  Takes NULL. */
void qemu_free(Qemu *q);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qemu, qemu_free)

#endif
