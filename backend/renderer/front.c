/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The front thread.  See render.h. */
#include "render.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"

/* How long the render thread may take to leave its GL call at the end. */
#define QUIT_WAIT_US 500000

void front_wake(void *device)
{
    Device *d = device;

    eventfd_write(d->front_wake_fd, 1);
}

void front_reset(void *device, uint32_t generation)
{
    Device *d = device;

    adopt_forget_given(d); /* first: what the render thread took before, the reset makes it forget */
    vhost_reset(d->vhost, generation);
}

void front_adopt(void *device, int fd, const struct vgpu_channel_adopt *a)
{
    adopt_give(device, fd, a);
}

void front_save(void *device, int fd, const struct vgpu_channel_save *s)
{
    save_give(device, fd, s->leave_contexts);
}

void front_window(void *device, uint64_t size)
{
    Device *d = device;

    window_set_size(&d->window, size);
}

void front_blob_done(void *device, uint64_t serial, uint32_t status)
{
    window_done(device, serial, status);
}

/* Somebody looked: pixels that were not read yet are wanted now. */
void front_idle(void *device)
{
    Device *d = device;

    vhost_wake(d->vhost);
}

/*
 * The channel is read before every vhost-user message: QEMU counts on what it
 * wrote there first being known (a RESET before the rings start again).
 */
static void front_serve(Device *d)
{
    bool alive = true;

    while (alive && !g_atomic_int_get(&d->quit)) {
        struct pollfd fds[] = {
            { .fd = vhost_fd(d->vhost), .events = POLLIN },
            { .fd = channel_fd(d->channel), .events = channel_events(d->channel) },
            { .fd = d->front_wake_fd, .events = POLLIN },
        };

        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            log_say("poll: %s", g_strerror(errno));
            return;
        }
        if (fds[2].revents) {
            eventfd_t count;
            eventfd_read(d->front_wake_fd, &count);
        }
        if (fds[1].revents & POLLOUT) {
            alive = channel_write(d->channel);
        }
        if (alive && (fds[0].revents || fds[1].revents & ~POLLOUT)) {
            alive = channel_read(d->channel);
        }
        if (alive && fds[0].revents) {
            alive = vhost_serve(d->vhost);
        }
    }
}

void *front_thread(void *device)
{
    Device *d = device;

    front_serve(d);
    /* Nothing is worth waiting long for: a submit may run for 25 seconds more. */
    vhost_let_go(d->vhost);
    g_atomic_int_set(&d->quit, TRUE);
    vhost_wake(d->vhost);
    g_usleep(QUIT_WAIT_US);
    _exit(0);
}
