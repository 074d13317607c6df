/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vgpud and its renderers in the test's own process, so that a test can say
 * anything to QEMU that a renderer could say.
 *
 * A thread answers what QEMU waits for: the attach protocol (every request is
 * accepted) and vhost-user (every message is acknowledged, no ring is served).
 * The gpu channel is the test's: it reads and writes it as it likes.  Or the
 * thread serves that as well, and a hook of the test's does its worst in it.
 */
#ifndef VGPU_FAKE_H
#define VGPU_FAKE_H

#include "qemu/osdep.h"
#include "vgpu/channel.h"

#define FAKE_SOON_MS 10000

/* From docs/interop/vhost-user.rst. */
#define FAKE_GET_FEATURES   1
#define FAKE_GET_VRING_BASE 11

typedef struct Fake Fake;

typedef struct FakeOptions {
    uint64_t features; /* of HELLO: VIRTIO_GPU_F_* */
    uint64_t hostmem;  /* of ACCEPTED */
    /*
     * Runs in the thread before a vhost-user request is answered, so QEMU's main
     * loop waits meanwhile.  With it the thread serves the gpu channel.
     */
    void (*on_request)(Fake *f, uint32_t request);
    const char *socket; /* name of another one than where the next VM looks for its vgpud */
} FakeOptions;

Fake *fake_new(FakeOptions options);
void fake_free(Fake *f);
/* For the next renderer. */
void fake_set_options(Fake *f, FakeOptions options);
const char *fake_socket(Fake *f); /* for socket= */

/* Renderers that QEMU was given so far. */
unsigned fake_renderers(Fake *f);
/* Until QEMU has been given n renderers in all; the channel is then that of the last. */
void fake_wait_renderer(Fake *f, unsigned n);

/* False when QEMU has closed the channel, or does not read it any more. */
bool fake_send(Fake *f, uint32_t request, const void *payload, uint32_t size, int fd);
bool fake_send_bytes(Fake *f, const void *bytes, size_t size, const int *fds, unsigned n_fds);
void fake_cursor(Fake *f, uint32_t x, uint32_t y);
void fake_scanout(Fake *f, uint32_t width, uint32_t height); /* on scanout 0 */
void fake_fatal(Fake *f, const char *message);
/* The renderer is gone, as far as QEMU can see. */
void fake_die(Fake *f);

/* The next message of that kind; PINGs are answered, what else comes first is dropped. */
bool fake_receive(Fake *f, uint32_t request, void *payload, uint32_t size, int timeout_ms);
/* Reads until nothing comes for a while. */
void fake_drain(Fake *f);
bool fake_hung_up(Fake *f, int timeout_ms);

/* Of what was received. */
uint64_t fake_window(Fake *f);
uint32_t fake_generation(Fake *f);
/*
 * The object table that QEMU handed over by ADOPT: by which of our renderers it was, from
 * 1; 0: none was handed over.
 */
unsigned fake_adopted(Fake *f);
void fake_say_adopted(Fake *f);
/* The descriptor of the SAVE received last: the caller's. */
int fake_take_fd(Fake *f);
/* Guest memory that vhost-user was told of last: bytes, and the highest address. */
uint64_t fake_memory(Fake *f, uint64_t *end);

#endif
