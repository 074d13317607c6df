/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's end of the gpu channel (include/vgpu/channel.h): a strict parser.
 * Whatever breaks the contract (size, fd count, flags, order, a value out of
 * its range) is a test failure, told once, and the channel counts as failed.
 */
#ifndef TEST_CHANNEL_H
#define TEST_CHANNEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vgpu/channel.h"

typedef struct ChannelMsg {
    uint32_t request;
    uint32_t size;
    int fd; /* -1: none; closed with the message */
    union {
        uint8_t data[VGPU_CHANNEL_MAX_PAYLOAD];
        struct vgpu_channel_hello hello;
        struct vgpu_channel_shm_scanout shm;
        struct vgpu_channel_shm_update update;
        struct vgpu_channel_scanout scanout;
        struct vgpu_channel_cursor_pos pos;
        struct vgpu_channel_cursor_update cursor;
        struct vgpu_channel_ping ping;
        struct vgpu_channel_fatal fatal;
        struct vgpu_channel_adopted adopted;
        struct vgpu_channel_judged judged;
        struct vgpu_channel_blob_map blob_map;
        struct vgpu_channel_blob_unmap blob_unmap;
    };
} ChannelMsg;

typedef struct Channel {
    int fd;
    bool failed;
    bool greeted;    /* HELLO was seen */
    GQueue messages; /* ChannelMsg *, in order */
    uint8_t buf[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];
    size_t have;
    int pending_fd;  /* came with bytes of the message being read */
    unsigned pieces; /* 1: send byte by byte */
} Channel;

/* Takes fd. */
void channel_init(Channel *c, int fd);
void channel_finish(Channel *c);
void channel_msg_free(ChannelMsg *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ChannelMsg, channel_msg_free)

/* Reads what is there; waits up to timeout ms for the first byte. */
void channel_pump(Channel *c, int timeout);
/* The oldest message not taken yet, or NULL after timeout ms. */
ChannelMsg *channel_next(Channel *c, int timeout);
/* The oldest of one kind; the others stay. */
ChannelMsg *channel_find(Channel *c, uint32_t request, int timeout);

bool channel_send(Channel *c, uint32_t request, const void *payload, uint32_t size);
/* Everything the renderer sent before it read this is in the queue after it. */
bool channel_barrier(Channel *c, int timeout);

#endif
