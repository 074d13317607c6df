/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "screen.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOURCC(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

void screen_init(Screen *s, Channel *channel)
{
    memset(s, 0, sizeof(*s));
    s->channel = channel;
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        s->out[i].fd = -1;
    }
}

static void drop(ScreenOutput *o)
{
    if (o->map) {
        munmap((void *)o->map, o->map_size);
    }
    if (o->fd >= 0) {
        close(o->fd);
    }
    o->map = NULL;
    o->fd = -1;
    o->width = o->height = 0;
    o->outstanding = false;
}

void screen_finish(Screen *s)
{
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        drop(&s->out[i]);
    }
}

/* The checks QEMU makes before it maps a picture. */
static void take_picture(Screen *s, ChannelMsg *m)
{
    const struct vgpu_channel_shm_scanout *p = &m->shm;
    ScreenOutput *o;
    struct stat st;

    if (p->scanout_id >= VGPU_CHANNEL_MAX_SCANOUTS) {
        g_test_fail_printf("SHM_SCANOUT for scanout %u", p->scanout_id);
        return;
    }
    o = &s->out[p->scanout_id];
    drop(o);
    o->scanouts++;
    g_assert_cmpint(fcntl(m->fd, F_GET_SEALS) & F_SEAL_SHRINK, ==, F_SEAL_SHRINK);
    g_assert_cmpint(fstat(m->fd, &st), ==, 0);
    g_assert_cmpuint(p->width, >=, 1);
    g_assert_cmpuint(p->height, >=, 1);
    g_assert_cmpuint(p->width, <=, 16384);
    g_assert_cmpuint(p->height, <=, 16384);
    g_assert_cmpuint(p->stride, >=, 4 * p->width);
    g_assert_cmpuint(p->stride % 4, ==, 0);
    g_assert_cmpuint(p->offset % 4096, ==, 0);
    g_assert_cmpuint(p->pad, ==, 0);
    g_assert_cmpuint(p->size, <=, (uint64_t)st.st_size);
    if (p->offset + (uint64_t)p->stride * p->height > (uint64_t)st.st_size) {
        g_test_fail_printf("SHM_SCANOUT: %ux%u at offset %" G_GUINT64_FORMAT " does not fit %lld bytes",
                           p->width, p->height, p->offset, (long long)st.st_size);
        return;
    }
    o->map_size = st.st_size;
    o->map = mmap(NULL, o->map_size, PROT_READ, MAP_SHARED, m->fd, 0);
    if (o->map == MAP_FAILED) {
        g_test_fail_printf("the memory of a SHM_SCANOUT cannot be mapped");
        o->map = NULL;
        return;
    }
    o->fd = m->fd;
    m->fd = -1;
    o->width = p->width;
    o->height = p->height;
    o->stride = p->stride;
    o->fourcc = p->drm_fourcc;
    o->offset = p->offset;
}

static void take_update(Screen *s, ChannelMsg *m)
{
    const struct vgpu_channel_shm_update *u = &m->update;
    ScreenOutput *o;

    if (u->scanout_id >= VGPU_CHANNEL_MAX_SCANOUTS) {
        g_test_fail_printf("SHM_UPDATE for scanout %u", u->scanout_id);
        return;
    }
    o = &s->out[u->scanout_id];
    if (!o->width) {
        g_test_fail_printf("SHM_UPDATE for scanout %u, which shows nothing", u->scanout_id);
        return;
    }
    if (o->outstanding) {
        g_test_fail_printf("SHM_UPDATE for scanout %u while one is outstanding", u->scanout_id);
    }
    g_assert_cmpuint(u->width, >, 0);
    g_assert_cmpuint(u->height, >, 0);
    g_assert_cmpuint((uint64_t)u->x + u->width, <=, o->width);
    g_assert_cmpuint((uint64_t)u->y + u->height, <=, o->height);
    o->updates++;
    o->outstanding = true;
    o->last = *u;
    if (!s->hold_done) {
        screen_done(s, u->scanout_id);
    }
}

void screen_done(Screen *s, unsigned output)
{
    ScreenOutput *o = &s->out[output];
    struct vgpu_channel_update_done d = { .scanout_id = output, .serial = o->last.serial };

    if (o->outstanding) {
        o->outstanding = false;
        channel_send(s->channel, VGPU_CHANNEL_UPDATE_DONE, &d, sizeof(d));
    }
}

void screen_pump(Screen *s, int timeout)
{
    GQueue rest = G_QUEUE_INIT;
    ChannelMsg *m;

    channel_pump(s->channel, timeout);
    while ((m = g_queue_pop_head(&s->channel->messages))) {
        if (m->request == VGPU_CHANNEL_SHM_SCANOUT) {
            take_picture(s, m);
        } else if (m->request == VGPU_CHANNEL_SHM_UPDATE) {
            take_update(s, m);
        } else if (m->request == VGPU_CHANNEL_SCANOUT && m->scanout.scanout_id < VGPU_CHANNEL_MAX_SCANOUTS) {
            g_assert_true(m->scanout.width == 0 || m->scanout.height == 0);
            drop(&s->out[m->scanout.scanout_id]);
            s->out[m->scanout.scanout_id].scanouts++;
        } else {
            g_queue_push_tail(&rest, m);
            continue;
        }
        channel_msg_free(m);
    }
    s->channel->messages = rest;
}

static bool wait_count(Screen *s, const unsigned *count, unsigned n, int timeout)
{
    int64_t deadline = g_get_monotonic_time() + timeout * 1000ll;

    screen_pump(s, 0);
    while (*count < n && !s->channel->failed) {
        int64_t left = (deadline - g_get_monotonic_time() + 999) / 1000;

        if (left <= 0) {
            return false;
        }
        screen_pump(s, left);
    }
    return *count >= n;
}

bool screen_wait_update(Screen *s, unsigned output, unsigned n, int timeout)
{
    return wait_count(s, &s->out[output].updates, n, timeout);
}

bool screen_wait_scanout(Screen *s, unsigned output, unsigned n, int timeout)
{
    return wait_count(s, &s->out[output].scanouts, n, timeout);
}

void screen_settle(Screen *s, int timeout)
{
    unsigned before, now = 0;

    do {
        before = now;
        now = 0;
        g_assert_true(channel_barrier(s->channel, timeout));
        screen_pump(s, 0);
        for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
            now += s->out[i].updates + s->out[i].scanouts;
        }
    } while (now != before && !s->channel->failed);
}

uint32_t screen_pixel(Screen *s, unsigned output, uint32_t x, uint32_t y)
{
    ScreenOutput *o = &s->out[output];
    const uint8_t *p;

    if (!o->map || x >= o->width || y >= o->height) {
        g_test_fail_printf("scanout %u has no pixel %u,%u", output, x, y);
        return 0;
    }
    p = o->map + o->offset + (uint64_t)y * o->stride + x * 4;
    /* DRM fourccs name the bits of a little-endian word, from the top */
    switch (o->fourcc) {
    case FOURCC('X', 'R', '2', '4'):
        return 0xff000000u | p[2] << 16 | p[1] << 8 | p[0];
    case FOURCC('A', 'R', '2', '4'):
        return (uint32_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
    case FOURCC('X', 'B', '2', '4'):
        return 0xff000000u | p[0] << 16 | p[1] << 8 | p[2];
    case FOURCC('A', 'B', '2', '4'):
        return (uint32_t)p[3] << 24 | p[0] << 16 | p[1] << 8 | p[2];
    case FOURCC('B', 'X', '2', '4'):
        return 0xff000000u | p[1] << 16 | p[2] << 8 | p[3];
    case FOURCC('B', 'A', '2', '4'):
        return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    case FOURCC('R', 'X', '2', '4'):
        return 0xff000000u | p[3] << 16 | p[2] << 8 | p[1];
    case FOURCC('R', 'A', '2', '4'):
        return (uint32_t)p[0] << 24 | p[3] << 16 | p[2] << 8 | p[1];
    default:
        g_test_fail_printf("scanout %u has the unknown format 0x%08x", output, o->fourcc);
        return 0;
    }
}
