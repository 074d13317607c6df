/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shared memory that a renderer's processes have made: what no figure of a process' own memory counts. */
#ifndef VGPUD_PROCESS_SHARED_H
#define VGPUD_PROCESS_SHARED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose memory it is that they have open or mapped. */
typedef struct SharedOwner {
    uid_t uid;   /* of the renderer, on the host */
    uid_t other; /* of its QEMU: where it is another, a file's owner tells whose it is */
    pid_t qemu; /* else what this process has open is its guest's memory, and not counted; 0: nothing is known
                 */
} SharedOwner;

/*
 * Bytes of memfds and of shared mappings without a file, each counted once.
 * False when nothing could be seen of any of them.
 */
bool process_shared_memory(const pid_t *pids, unsigned count, const SharedOwner *owner, uint64_t *bytes);

#endif
