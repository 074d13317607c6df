/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vgpud and a renderer that are threads of the test: they let the device
 * start, and then do what no renderer of ours does.
 *
 * It serves no ring.  It answers the vhost-user requests of QEMU's core and
 * PINGs, until the test's hook takes over: that runs in the renderer's thread,
 * before a vhost-user request is answered, so QEMU's main loop waits meanwhile.
 */
#ifndef VGPU_HOSTILE_H
#define VGPU_HOSTILE_H

#include "vgpu/attach.h"
#include "vgpu/channel.h"

/* From docs/interop/vhost-user.rst. */
#define HOSTILE_GET_FEATURES   1
#define HOSTILE_GET_VRING_BASE 11

typedef struct Hostile Hostile;

struct Hostile {
    /* Set before the VM starts; may be NULL. */
    void (*on_request)(Hostile *h, uint32_t request);
    void *opaque;

    /* counters, to be read with hostile_count() */
    unsigned attached, requests;

    /* private */
    int listener, vhost, channel;
    GThread *thread, *server;
};

/* Listens where the next VM looks for its vgpud. */
Hostile *hostile_start(void (*on_request)(Hostile *h, uint32_t request));
/* Ends its threads; the VM has ended. */
void hostile_stop(Hostile *h);
unsigned hostile_count(const unsigned *counter);

/* For the hook. */
void hostile_say(Hostile *h, uint32_t request, const void *payload, uint32_t size, int fd);
void hostile_cursor(Hostile *h, uint32_t x, uint32_t y);
/* A picture of w x h pixels on scanout 0. */
void hostile_scanout(Hostile *h, uint32_t w, uint32_t h_);
void hostile_fatal(Hostile *h, const char *message);
/* It is gone, as far as QEMU can see. */
void hostile_die(Hostile *h);

#endif
