/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU's console would show: the pictures behind SHM_SCANOUT, and the
 * damage told by SHM_UPDATE, checked against the contract as QEMU checks it.
 */
#ifndef TEST_SCREEN_H
#define TEST_SCREEN_H

#include "channel.h"

typedef struct ScreenOutput {
    uint32_t width, height, stride, fourcc; /* width 0: disabled */
    int fd;
    const uint8_t *map;
    size_t map_size;
    uint64_t offset;
    unsigned scanouts; /* SHM_SCANOUT and SCANOUT messages, ever */
    unsigned updates;  /* SHM_UPDATE messages, ever */
    bool outstanding;  /* an update waits for its UPDATE_DONE */
    struct vgpu_channel_shm_update last;
} ScreenOutput;

typedef struct Screen {
    Channel *channel;
    bool hold_done; /* withhold UPDATE_DONE */
    ScreenOutput out[VGPU_CHANNEL_MAX_SCANOUTS];
} Screen;

void screen_init(Screen *s, Channel *channel);
void screen_finish(Screen *s);

/* Takes scanout and update messages out of the channel's queue. */
void screen_pump(Screen *s, int timeout);
/* Waits until the n-th update (counted from 1, ever) of an output was told. */
bool screen_wait_update(Screen *s, unsigned output, unsigned n, int timeout);
/* Waits until the n-th (dis)appearance of an output's picture. */
bool screen_wait_scanout(Screen *s, unsigned output, unsigned n, int timeout);
/* Until nothing comes any more of what was asked for so far. */
void screen_settle(Screen *s, int timeout);
/* Sends the UPDATE_DONE that is due. */
void screen_done(Screen *s, unsigned output);

/* A pixel as 0xAARRGGBB whatever the format; X formats have AA = 0xff. */
uint32_t screen_pixel(Screen *s, unsigned output, uint32_t x, uint32_t y);

#endif
