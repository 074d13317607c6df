/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Consoles: the renderer's pictures on QEMU's displays, and the displays'
 * wishes on their way to the renderer.
 *
 * A picture is a piece of a memfd that the renderer writes and QEMU maps
 * read-only; F_SEAL_SHRINK makes sure that it stays readable.  The mapping lives
 * as long as its pixman image has a user (VNC may hold one past a switch).
 *
 * Who pays for pixels: reading a frame back costs the renderer, so it does so
 * only for somebody who looks.  One SHM_UPDATE is outstanding per scanout, and
 * UPDATE_DONE asks for the next one.  While a display refreshes, that is at
 * most every ACK_MS; when none does, it waits for the next refresh.  screendump
 * is such a refresh: it goes on when the update that it caused has come, or
 * after REFRESH_WAIT_MS (the renderer may be busy, or have nothing new).
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "standard-headers/drm/drm_fourcc.h"
#include "ui/qemu-pixman.h"
#include "ui/vgafont.h"
#include "qemu/main-loop.h"
#include "vgpu.h"
#include "trace.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#define FONT_WIDTH  8 /* of vgafont16 */
#define FONT_HEIGHT 16

#define ACK_MS          16
#define LOOKED_AT_MS    250
#define REFRESH_WAIT_MS 100
#define SIZE_MAX_PIXELS 16384
#define STRIDE_MAX      (SIZE_MAX_PIXELS * 4 * 2)

/* drm fourccs are little-endian, pixman formats are native. */
static const struct {
    uint32_t fourcc;
    pixman_format_code_t pixman;
} formats[] = {
    { DRM_FORMAT_XRGB8888, PIXMAN_LE_x8r8g8b8 }, { DRM_FORMAT_ARGB8888, PIXMAN_LE_a8r8g8b8 },
    { DRM_FORMAT_XBGR8888, PIXMAN_LE_x8b8g8r8 }, { DRM_FORMAT_ABGR8888, PIXMAN_LE_a8b8g8r8 },
#if !HOST_BIG_ENDIAN
    { DRM_FORMAT_RGBX8888, PIXMAN_r8g8b8x8 },    { DRM_FORMAT_RGBA8888, PIXMAN_r8g8b8a8 },
    { DRM_FORMAT_BGRX8888, PIXMAN_b8g8r8x8 },    { DRM_FORMAT_BGRA8888, PIXMAN_b8g8r8a8 },
#endif
};

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

static QemuConsole *scanout_console(VgpuScanout *s)
{
    return s->dev->parent_obj.scanout[s->id].con;
}

static VgpuScanout *scanout_get(VgpuDevice *d, uint32_t id)
{
    return id < d->parent_obj.conf.max_outputs && d->scanouts[id].dev ? &d->scanouts[id] : NULL;
}

/* ---- damage and refresh ------------------------------------------------- */

static void scanout_ack(VgpuScanout *s)
{
    struct vgpu_channel_update_done done = {
        .scanout_id = s->id,
        .serial = s->update_serial,
    };

    timer_del(s->ack_timer);
    s->update_pending = false;
    s->acked = now_ms();
    trace_vgpu_update_done(s->dev, s->id, done.serial);
    vgpu_channel_send(s->dev, VGPU_CHANNEL_UPDATE_DONE, &done, sizeof(done));
}

static void scanout_ack_timer(void *opaque)
{
    VgpuScanout *s = opaque;

    if (s->update_pending) {
        scanout_ack(s);
    }
}

static void scanout_refreshed(VgpuScanout *s)
{
    if (s->refresh_waits) {
        s->refresh_waits = false;
        timer_del(s->refresh_timer);
        graphic_hw_update_done(scanout_console(s));
    }
}

static void scanout_refresh_timer(void *opaque)
{
    scanout_refreshed(opaque);
}

/* A display, or screendump, wants to see the current picture. */
static void console_refresh(void *opaque)
{
    VgpuScanout *s = opaque;

    s->refreshed = now_ms();
    if (s->update_pending) {
        scanout_ack(s);
        if (!s->refresh_waits && !s->dev->losing) {
            s->refresh_waits = true;
            timer_mod(s->refresh_timer, now_ms() + REFRESH_WAIT_MS);
        }
    }
    if (!s->refresh_waits) {
        graphic_hw_update_done(scanout_console(s));
    }
}

bool vgpu_console_shm_update(VgpuDevice *d, const void *payload, int *fd)
{
    struct vgpu_channel_shm_update u;
    VgpuScanout *s;

    memcpy(&u, payload, sizeof(u));
    s = scanout_get(d, u.scanout_id);
    if (!s || !s->shown || s->update_pending || u.x > s->width || u.width > s->width - u.x ||
        u.y > s->height || u.height > s->height - u.y) {
        return false;
    }
    trace_vgpu_update(d, s->id, u.x, u.y, u.width, u.height, u.serial);
    dpy_gfx_update(scanout_console(s), u.x, u.y, u.width, u.height);
    s->update_pending = true;
    s->update_serial = u.serial;
    scanout_refreshed(s);
    if (now_ms() - s->refreshed < LOOKED_AT_MS) {
        timer_mod(s->ack_timer, MAX(s->acked + ACK_MS, now_ms()));
    }
    return true;
}

/* ---- scanouts ------------------------------------------------------------ */

typedef struct Mapping {
    void *addr;
    size_t size;
} Mapping;

static void mapping_release(pixman_image_t *image, void *opaque)
{
    Mapping *m = opaque;

    munmap(m->addr, m->size);
    g_free(m);
}

/* What was outstanding for the old picture is moot. */
static void scanout_forget(VgpuScanout *s)
{
    timer_del(s->ack_timer);
    s->update_pending = false;
    s->shown = false;
    scanout_refreshed(s);
}

static bool shm_scanout_fits(VgpuDevice *d, const struct vgpu_channel_shm_scanout *m, int fd)
{
    uint32_t max_w = d->attach.grant.max_width ?: SIZE_MAX_PIXELS;
    uint32_t max_h = d->attach.grant.max_height ?: SIZE_MAX_PIXELS;
    uint64_t need;
    struct statfs fs;
    struct stat st;
    int seals;

    if (m->width < 1 || m->width > MIN(max_w, SIZE_MAX_PIXELS) || m->height < 1 ||
        m->height > MIN(max_h, SIZE_MAX_PIXELS) || m->stride < 4 * m->width || m->stride % 4 ||
        m->stride > STRIDE_MAX || m->pad || m->offset % 4096) {
        return false;
    }
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0) {
        return false;
    }
    /* Huge pages: munmap() of what we map would fail, and the pool can run dry under us. */
    if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
        return false;
    }
    need = (uint64_t)m->stride * m->height;
    return m->offset <= st.st_size && need <= st.st_size - m->offset;
}

bool vgpu_console_shm_scanout(VgpuDevice *d, const void *payload, int *fd)
{
    struct vgpu_channel_shm_scanout m;
    pixman_format_code_t format = 0;
    DisplaySurface *surface;
    VgpuScanout *s;
    Mapping *map;
    size_t size;
    void *addr;

    memcpy(&m, payload, sizeof(m));
    for (int i = 0; i < ARRAY_SIZE(formats); i++) {
        if (formats[i].fourcc == m.drm_fourcc) {
            format = formats[i].pixman;
        }
    }
    s = scanout_get(d, m.scanout_id);
    if (!s || !format || !shm_scanout_fits(d, &m, *fd)) {
        return false;
    }
    size = (size_t)m.stride * m.height;
    addr = mmap(NULL, size, PROT_READ, MAP_SHARED, *fd, m.offset);
    if (addr == MAP_FAILED) {
        return false;
    }
    trace_vgpu_scanout(d, s->id, m.width, m.height, m.drm_fourcc);
    map = g_new(Mapping, 1);
    *map = (Mapping){ addr, size };
    surface = qemu_create_displaysurface_from(m.width, m.height, format, m.stride, addr);
    pixman_image_set_destroy_function(surface->image, mapping_release, map);
    scanout_forget(s);
    s->shown = true;
    s->left = false;
    s->width = m.width;
    s->height = m.height;
    d->parent_obj.enable = 1;
    dpy_gfx_replace_surface(scanout_console(s), surface);
    return true;
}

static void message_release(pixman_image_t *image, void *pixels)
{
    g_free(pixels);
}

/*
 * A line of text in place of a picture.  QEMU has such surfaces as well, but makes them of a
 * memfd and ends (error_abort) where the host has none to give: no descriptor is left, or
 * no memory of that kind.  A renderer is lost just then.  Without memory for ours the old picture stays.
 */
static void scanout_say(VgpuScanout *s, unsigned width, unsigned height, const char *text)
{
    pixman_color_t black = QEMU_PIXMAN_COLOR_BLACK, grey = QEMU_PIXMAN_COLOR_GRAY;
    unsigned length = MIN(strlen(text), width / FONT_WIDTH);
    unsigned x = (width / FONT_WIDTH - length) / 2, y = MAX(height / FONT_HEIGHT, 1) / 2;
    void *pixels = g_try_malloc0_n(height, width * 4);
    DisplaySurface *surface;

    if (!pixels) {
        return;
    }
    surface = qemu_create_displaysurface_from(width, height, PIXMAN_x8r8g8b8, width * 4, pixels);
    pixman_image_set_destroy_function(surface->image, message_release, pixels);
    for (unsigned i = 0; i < length; i++) {
        pixman_image_t *glyph = qemu_pixman_glyph_from_vgafont(FONT_HEIGHT, vgafont16, text[i]);

        qemu_pixman_glyph_render(glyph, surface->image, &grey, &black, x + i, y, FONT_WIDTH, FONT_HEIGHT);
        qemu_pixman_image_unref(glyph);
    }
    surface->flags |= QEMU_PLACEHOLDER_FLAG;
    dpy_gfx_replace_surface(scanout_console(s), surface);
    dpy_gfx_update_full(scanout_console(s));
}

static void scanout_disable(VgpuScanout *s)
{
    if (s->shown || s->left) {
        scanout_forget(s);
        s->left = false;
        scanout_say(s, qemu_console_get_width(scanout_console(s), 640),
                    qemu_console_get_height(scanout_console(s), 480), "Display output is not active.");
    }
}

/* Of vhost-user-gpu's SCANOUT only "off" is left: pictures come by SHM_SCANOUT. */
bool vgpu_console_scanout(VgpuDevice *d, const void *payload, int *fd)
{
    struct vgpu_channel_scanout m;
    VgpuScanout *s;

    memcpy(&m, payload, sizeof(m));
    s = scanout_get(d, m.scanout_id);
    if (!s || (m.width && m.height)) {
        return false;
    }
    trace_vgpu_scanout_disable(d, s->id);
    scanout_disable(s);
    return true;
}

/* Not yet: no display here takes dmabufs.  Legal, so no reason to end. */
bool vgpu_console_dmabuf_scanout(VgpuDevice *d, const void *payload, int *fd)
{
    struct vgpu_channel_dmabuf_scanout2 m;

    memcpy(&m, payload, sizeof(m));
    if (!scanout_get(d, m.scanout_id)) {
        return false;
    }
    trace_vgpu_scanout_dmabuf_dropped(d, m.scanout_id);
    return true;
}

/* ---- cursor ---------------------------------------------------------------- */

static bool cursor_move(VgpuDevice *d, const void *payload, bool on)
{
    struct vgpu_channel_cursor_pos p;
    VgpuScanout *s;

    memcpy(&p, payload, sizeof(p));
    s = scanout_get(d, p.scanout_id);
    if (!s) {
        return false;
    }
    trace_vgpu_cursor(d, s->id, p.x, p.y, on, false);
    /* The guest's own numbers: a cursor may hang over the left and upper edge. */
    dpy_mouse_set(scanout_console(s), MIN(MAX((int32_t)p.x, -VGPU_CHANNEL_CURSOR_SIZE), SIZE_MAX_PIXELS),
                  MIN(MAX((int32_t)p.y, -VGPU_CHANNEL_CURSOR_SIZE), SIZE_MAX_PIXELS), on);
    return true;
}

bool vgpu_console_cursor_pos(VgpuDevice *d, const void *payload, int *fd)
{
    return cursor_move(d, payload, true);
}

bool vgpu_console_cursor_hide(VgpuDevice *d, const void *payload, int *fd)
{
    return cursor_move(d, payload, false);
}

bool vgpu_console_cursor_update(VgpuDevice *d, const void *payload, int *fd)
{
    const struct vgpu_channel_cursor_update *u = payload;
    VgpuScanout *s = scanout_get(d, u->pos.scanout_id);
    QEMUCursor *cursor;

    if (!s) {
        return false;
    }
    trace_vgpu_cursor(d, s->id, u->pos.x, u->pos.y, true, true);
    cursor = cursor_alloc(VGPU_CHANNEL_CURSOR_SIZE, VGPU_CHANNEL_CURSOR_SIZE);
    cursor->hot_x = MIN(u->hot_x, VGPU_CHANNEL_CURSOR_SIZE - 1);
    cursor->hot_y = MIN(u->hot_y, VGPU_CHANNEL_CURSOR_SIZE - 1);
    memcpy(cursor->data, u->data, sizeof(u->data));
    dpy_cursor_define(scanout_console(s), cursor);
    cursor_unref(cursor);
    return cursor_move(d, payload, true);
}

/* ---- modes and EDIDs ------------------------------------------------------- */

static void push_display_info(VgpuDevice *d)
{
    VirtIOGPUBase *b = &d->parent_obj;
    struct vgpu_channel_display_info info = { .count = b->conf.max_outputs };

    for (int i = 0; i < b->conf.max_outputs; i++) {
        if (b->enabled_output_bitmask & (1 << i)) {
            info.mode[i] = (struct vgpu_channel_mode){
                .enabled = 1,
                .x = MAX(b->req_state[i].x, 0),
                .y = MAX(b->req_state[i].y, 0),
                .width = b->req_state[i].width,
                .height = b->req_state[i].height,
            };
        }
    }
    vgpu_channel_send(d, VGPU_CHANNEL_DISPLAY_INFO, &info, sizeof(info));
}

static void push_edid(VgpuDevice *d, uint32_t id)
{
    struct virtio_gpu_resp_edid e = {};
    struct vgpu_channel_edid edid = { .scanout_id = id };

    QEMU_BUILD_BUG_ON(sizeof(e.edid) != sizeof(edid.edid));
    virtio_gpu_base_generate_edid(&d->parent_obj, id, &e);
    edid.size = le32_to_cpu(e.size);
    memcpy(edid.edid, e.edid, sizeof(edid.edid));
    vgpu_channel_send(d, VGPU_CHANNEL_EDID, &edid, sizeof(edid));
}

void vgpu_console_push_modes(VgpuDevice *d)
{
    for (int i = 0; i < d->parent_obj.conf.max_outputs; i++) {
        push_edid(d, i);
    }
    push_display_info(d);
}

/* A display was resized, plugged or unplugged. */
static void console_ui_info(void *opaque, uint32_t head, QemuUIInfo *info)
{
    VgpuScanout *s = opaque;
    VgpuDevice *d = s->dev;
    VirtIOGPUBase *b = &d->parent_obj;
    struct virtio_gpu_requested_state *r = &b->req_state[s->id];

    trace_vgpu_ui_info(d, s->id, info->width, info->height);
    r->x = info->xoff;
    r->y = info->yoff;
    r->refresh_rate = info->refresh_rate;
    r->width = MIN(info->width, SIZE_MAX_PIXELS);
    r->height = MIN(info->height, SIZE_MAX_PIXELS);
    r->width_mm = info->width_mm;
    r->height_mm = info->height_mm;
    if (r->width && r->height) {
        b->enabled_output_bitmask |= 1 << s->id;
    } else {
        b->enabled_output_bitmask &= ~(1 << s->id);
    }
    if (d->state == VGPU_STATE_RUNNING) {
        push_edid(d, s->id);
        push_display_info(d);
        /* The guest must not ask before the renderer has read these. */
        d->channel.notify_after = vgpu_channel_ping(d);
    }
}

static void console_invalidate(void *opaque)
{
}

static const GraphicHwOps console_ops = {
    .invalidate = console_invalidate,
    .gfx_update = console_refresh,
    .gfx_update_async = true,
    .ui_info = console_ui_info,
};

bool vgpu_console_init(VgpuDevice *d, Error **errp)
{
    VirtIOGPUBase *b = &d->parent_obj;

    b->enabled_output_bitmask = 1;
    b->req_state[0].width = b->conf.xres;
    b->req_state[0].height = b->conf.yres;
    b->hw_ops = &console_ops;
    for (int i = 0; i < b->conf.max_outputs; i++) {
        VgpuScanout *s = &d->scanouts[i];

        *s = (VgpuScanout){ .dev = d, .id = i };
        s->ack_timer = timer_new_ms(QEMU_CLOCK_REALTIME, scanout_ack_timer, s);
        /* Also runs while HMP's screendump polls QEMU's AioContext and nothing else. */
        s->refresh_timer =
            aio_timer_new(qemu_get_aio_context(), QEMU_CLOCK_REALTIME, SCALE_MS, scanout_refresh_timer, s);
        b->scanout[i].con = graphic_console_init(DEVICE(d), i, &console_ops, s);
    }
    return true;
}

void vgpu_console_fini(VgpuDevice *d)
{
    VirtIOGPUBase *b = &d->parent_obj;

    for (int i = 0; i < b->conf.max_outputs; i++) {
        VgpuScanout *s = &d->scanouts[i];

        if (!b->scanout[i].con) {
            continue;
        }
        scanout_forget(s);
        graphic_console_close(b->scanout[i].con);
        b->scanout[i].con = NULL;
        timer_free(s->ack_timer);
        timer_free(s->refresh_timer);
        *s = (VgpuScanout){};
    }
}

void vgpu_console_leave(VgpuDevice *d)
{
    for (int i = 0; i < d->parent_obj.conf.max_outputs; i++) {
        VgpuScanout *s = &d->scanouts[i];

        s->left |= s->shown;
        scanout_forget(s);
    }
}

void vgpu_console_clear(VgpuDevice *d)
{
    for (int i = 0; i < d->parent_obj.conf.max_outputs; i++) {
        VgpuScanout *s = &d->scanouts[i];

        if (s->left) {
            dpy_mouse_set(scanout_console(s), 0, 0, false);
            scanout_disable(s);
        }
    }
}

/* Says on the screen what happened and what helps. */
void vgpu_console_lost(VgpuDevice *d)
{
    VirtIOGPUBase *b = &d->parent_obj;
    const unsigned width = 1024, height = 768;
    g_autofree char *text = g_strdup_printf("vgpu: renderer lost (%.60s). %s", d->lost_why,
                                            vgpu_revive_will(d) ? "Waiting for a new one."
                                                                : "Reset the VM to bring graphics back.");

    for (int i = 0; i < b->conf.max_outputs; i++) {
        VgpuScanout *s = &d->scanouts[i];
        bool used = s->shown || s->left || (b->enabled_output_bitmask & (1 << i));

        scanout_forget(s);
        dpy_mouse_set(scanout_console(s), 0, 0, false);
        s->left = used;
        if (used) {
            scanout_say(s, width, height, text);
        }
    }
}
