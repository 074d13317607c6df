/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The renderer's end of the gpu channel (include/vgpu/channel.h).
 *
 * Theory of operation
 *
 * Nobody here ever waits for the socket.  What is to be said is kept as state,
 * not as a queue of messages: per scanout "the picture it has now", "damage not
 * yet told", "where the cursor is".  When the socket takes bytes the next piece
 * of state that changed is put into one output buffer and sent.  So a guest
 * that flips, moves and flushes a million times costs no memory, and QEMU sees
 * the newest state.  Damage is merged while an update is unanswered; QEMU
 * answers when somebody looks, so the render thread asks channel_idle() before
 * it reads pixels that nobody wants yet.
 *
 * Maps of blobs are the exception: each of them is an order that QEMU answers.
 * Those not sent yet are a queue, which its one user (window.h) bounds.
 *
 * From RESET on the channel is mute for what the old guest still shows and maps,
 * until the render thread has switched its scanouts off.
 *
 * The render thread and fence threads change state and try to send; the front
 * thread sends the rest when poll says so, and reads.
 */
#ifndef VGPU_RENDERER_CHANNEL_H
#define VGPU_RENDERER_CHANNEL_H

#include <glib.h>
#include <stdbool.h>

#include "rect.h"
#include "vgpu/channel.h"

typedef struct Channel Channel;

/*
 * reset, window, adopt, save and blob_done are called by channel_read, wake_poll whenever
 * channel_events() may have changed, idle when channel_idle() became true.
 */
typedef struct ChannelCallbacks {
    void (*reset)(void *opaque, uint32_t generation);
    void (*window)(void *opaque, uint64_t size);
    void (*adopt)(void *opaque, int fd, const struct vgpu_channel_adopt *a); /* fd: ownership transferred */
    void (*save)(void *opaque, int fd, const struct vgpu_channel_save *s);   /* the same */
    void (*blob_done)(void *opaque, uint64_t serial, uint32_t status);       /* enum vgpu_blob_status */
    void (*wake_poll)(void *opaque);
    void (*idle)(void *opaque);
    void *opaque;
} ChannelCallbacks;

/* fd: ownership transferred. */
Channel *channel_new(int fd, unsigned outputs, const ChannelCallbacks *callbacks);

/* Front thread.  channel_read takes all there is; false: closed or nonsense. */
int channel_fd(const Channel *c);
short channel_events(Channel *c); /* for poll */
bool channel_read(Channel *c);
bool channel_write(Channel *c);

/* Any thread. */
void channel_hello(Channel *c, const struct vgpu_channel_hello *hello);
void channel_scanout_off(Channel *c, unsigned scanout);
/* fd: ownership transferred. */
void channel_shm_scanout(Channel *c, const struct vgpu_channel_shm_scanout *s, int fd);
void channel_damage(Channel *c, unsigned scanout, const Rect *rect);
/* Whether damage told now would go out at once. */
bool channel_idle(Channel *c, unsigned scanout);
void channel_unmute(Channel *c);
void channel_cursor_pos(Channel *c, unsigned scanout, uint32_t x, uint32_t y, bool visible);
void channel_cursor_update(Channel *c, const struct vgpu_channel_cursor_update *u);
/*
 * Orders about the window; the channel fills in the generation.  Between a RESET
 * and channel_unmute they are dropped, as QEMU would.  fd: ownership transferred.
 */
void channel_blob_map(Channel *c, const struct vgpu_channel_blob_map *m, int fd);
void channel_blob_unmap(Channel *c, const struct vgpu_channel_blob_unmap *m);
void channel_adopted(Channel *c, const struct vgpu_channel_adopted *m);
/* message: NULL where the guest can go on from it. */
void channel_judged(Channel *c, const char *message);
/* How many there are; QEMU hears of the first and of the last. */
void channel_contexts(Channel *c, uint32_t count);
/* Last words, before the process ends; waits for the socket a moment. */
void channel_fatal(Channel *c, enum vgpu_fatal_cause cause, const char *message);

/* What QEMU sent last; a default before that. */
void channel_display_info(Channel *c, struct vgpu_channel_display_info *out);
bool channel_edid(Channel *c, unsigned scanout, struct vgpu_channel_edid *out);

#endif
