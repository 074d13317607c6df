/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vgpud and its zygote say to each other, a message each in a packet of a
 * SOCK_SEQPACKET.  Both are of one release: HELLO says which.
 *
 *   zygote -> vgpud   hello    once, when everything is loaded
 *   vgpud -> zygote   fork     with the child's descriptors; the next one only after the answer
 *   zygote -> vgpud   forked   with the child's pidfd, or why there is no child
 */
#ifndef VGPUD_ZYGOTE_WIRE_H
#define VGPUD_ZYGOTE_WIRE_H

#include <sched.h>
#include <stdint.h>

#include "launch_child.h"

#define ZYGOTE_OPTION "--zygote-fd="
#define ZYGOTE_FD     3
/* An argument of the zygote's that is there to be written over: what its children are called. */
#define ZYGOTE_ROOM      "--"
#define ZYGOTE_ROOM_SIZE 2048u

#define ZYGOTE_MAGIC   0x7a796731u
#define ZYGOTE_RELEASE "vgpu " VGPU_VERSION
#define ZYGOTE_TEXT    16384u /* bytes of all of fork's texts */

/*
 * Of fork.text, in this order, each with its NUL; empty: NULL.  What follows
 * are the arguments, the first the program.
 */
enum { ZYGOTE_RENDERER, ZYGOTE_LAYER, ZYGOTE_NODE, ZYGOTE_DEVICE_PATH, ZYGOTE_UDMABUF, ZYGOTE_ARGUMENTS };

struct zygote_hello {
    uint32_t magic;
    char release[60];
};

struct zygote_fork {
    uint32_t magic, serial;
    uint32_t fds;    /* bit i: the message brings what becomes descriptor i, in order of i */
    uint32_t uid;    /* as of sandbox_map_ids */
    uint32_t pinned; /* to cpus */
    uint32_t texts;
    uint64_t processes, file; /* limits, see launch_child.h */
    cpu_set_t cpus;
    char text[ZYGOTE_TEXT]; /* as much of it as there is */
};

struct zygote_forked {
    uint32_t magic, serial;
    int32_t pid; /* 0: there is no child */
    char why[256];
};

#endif
