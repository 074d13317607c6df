/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of the gpu channel share: channel.c says, channel_take.c hears. */
#ifndef VGPU_RENDERER_CHANNEL_PRIVATE_H
#define VGPU_RENDERER_CHANNEL_PRIVATE_H

#include "channel.h"

typedef struct ChannelScanout {
    bool off_pending; /* say SCANOUT 0x0 */
    bool shm_pending; /* say shm, with shm_fd */
    struct vgpu_channel_shm_scanout shm;
    int shm_fd;
    bool outstanding; /* an update was not answered yet */
    uint32_t serial;
    Rect damage; /* empty: none */
    bool pos_pending, pos_visible;
    struct vgpu_channel_cursor_pos pos;
    struct vgpu_channel_cursor_update *cursor; /* NULL: nothing to say */
    struct vgpu_channel_edid edid;             /* size 0: none yet */
} ChannelScanout;

/* One of the two, not sent yet. */
typedef struct ChannelOrder {
    bool is_map;
    union {
        struct vgpu_channel_blob_map map;
        struct vgpu_channel_blob_unmap unmap;
    };
    int fd; /* of a map */
} ChannelOrder;

struct Channel {
    int fd;
    unsigned outputs;
    ChannelCallbacks call;

    GMutex lock; /* guards all below but in */
    bool failed;
    bool muted;    /* between a RESET and the end of what was shown before */
    bool poll_out; /* the socket is full */
    struct vgpu_channel_hello *hello;
    bool hello_sent;
    bool adopted_pending;
    struct vgpu_channel_adopted adopted;
    struct vgpu_channel_judged *judged; /* NULL: nothing to say */
    bool contexts_pending;
    uint32_t contexts;
    bool pong_pending;
    struct vgpu_channel_ping pong;
    uint32_t generation; /* of the last RESET */
    GQueue orders;       /* of ChannelOrder */
    ChannelScanout scanout[VGPU_CHANNEL_MAX_SCANOUTS];
    unsigned next_scanout; /* whose turn it is */
    struct vgpu_channel_display_info info;

    size_t out_size, out_done; /* one message on its way */
    int out_fd;
    uint8_t out[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];

    size_t in_size; /* front thread only */
    int in_fd;      /* came with what is in in[], or -1 */
    uint8_t in[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];
};

/* Lock held: sends what the socket takes; maps that were not sent are wanted no more. */
void channel_pump(Channel *c);
void channel_drop_orders(Channel *c);

#endif
