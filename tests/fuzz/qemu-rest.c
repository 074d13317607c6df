/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The functions of QEMU and of the device's other files that the channel, the
 * consoles and the window call, as far as they matter here: consoles that read
 * each pixel they are told of, a clock that goes when it is told to, a window that
 * the guest looks at.
 */
#include "qemu-rest.h"

#include "exec/ramblock.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "ui/qemu-pixman.h"

#define TIMERS 16

/* ---- time ---- */

int use_rt_clock = 1;
QEMUTimerListGroup main_loop_tlg;
static int64_t now; /* ns */
static QEMUTimer *timers[TIMERS];
static unsigned timer_count;

int64_t qemu_clock_get_ns(QEMUClockType type)
{
    return now;
}

void timer_init_full(QEMUTimer *ts, QEMUTimerListGroup *group, QEMUClockType type, int scale, int attributes,
                     QEMUTimerCB *cb, void *opaque)
{
    *ts = (QEMUTimer){ .expire_time = -1, .cb = cb, .opaque = opaque, .scale = scale };
    FUZZ_ASSERT(timer_count < TIMERS);
    timers[timer_count++] = ts;
}

void timer_del(QEMUTimer *ts)
{
    ts->expire_time = -1;
}

void timer_mod(QEMUTimer *ts, int64_t expire_time)
{
    ts->expire_time = expire_time * ts->scale;
}

void rest_advance(unsigned ms)
{
    now += ms * SCALE_MS;
    for (unsigned i = 0; i < timer_count; i++) {
        if (timers[i]->expire_time >= 0 && timers[i]->expire_time <= now) {
            timers[i]->expire_time = -1;
            timers[i]->cb(timers[i]->opaque);
        }
    }
}

/* ---- consoles ---- */

struct QemuConsole {
    const GraphicHwOps *ops;
    void *opaque;
    DisplaySurface *surface; /* the renderer's, or a line of text; NULL: none yet */
    bool asked;              /* for an update */
};

static QemuConsole consoles[VGPU_CHANNEL_MAX_SCANOUTS];
static volatile uint32_t sink;

QemuConsole *graphic_console_init(DeviceState *dev, uint32_t head, const GraphicHwOps *ops, void *opaque)
{
    consoles[head] = (QemuConsole){ .ops = ops, .opaque = opaque };
    return &consoles[head];
}

void graphic_console_close(QemuConsole *con)
{
}

void graphic_hw_update_done(QemuConsole *con)
{
    FUZZ_ASSERT(con->asked);
    con->asked = false;
}

DisplaySurface *qemu_create_displaysurface_from(int width, int height, pixman_format_code_t format,
                                                int linesize, uint8_t *data)
{
    DisplaySurface *s = g_new0(DisplaySurface, 1);

    s->image = pixman_image_create_bits(format, width, height, (void *)data, linesize);
    FUZZ_ASSERT(s->image);
    return s;
}

DisplaySurface *qemu_create_placeholder_surface(int w, int h, const char *msg)
{
    return NULL;
}

void dpy_gfx_replace_surface(QemuConsole *con, DisplaySurface *surface)
{
    if (con->surface) {
        pixman_image_unref(con->surface->image);
        g_free(con->surface);
    }
    con->surface = surface;
}

/* Each of them is there to be read. */
void dpy_gfx_update(QemuConsole *con, int x, int y, int w, int h)
{
    const uint8_t *pixels;
    int stride;

    FUZZ_ASSERT(con->surface && x >= 0 && y >= 0 && w >= 0 && h >= 0);
    FUZZ_ASSERT(x + w <= pixman_image_get_width(con->surface->image));
    FUZZ_ASSERT(y + h <= pixman_image_get_height(con->surface->image));
    pixels = (const uint8_t *)pixman_image_get_data(con->surface->image);
    stride = pixman_image_get_stride(con->surface->image);
    for (int i = y; w && i < y + h; i++) {
        sink += *(const volatile uint8_t *)(pixels + (size_t)i * stride + 4 * x);
        sink += *(const volatile uint8_t *)(pixels + (size_t)i * stride + 4 * (x + w) - 1);
    }
}

void dpy_gfx_update_full(QemuConsole *con)
{
    dpy_gfx_update(con, 0, 0, pixman_image_get_width(con->surface->image),
                   pixman_image_get_height(con->surface->image));
}

int qemu_console_get_width(QemuConsole *con, int fallback)
{
    return con->surface ? pixman_image_get_width(con->surface->image) : fallback;
}

int qemu_console_get_height(QemuConsole *con, int fallback)
{
    return con->surface ? pixman_image_get_height(con->surface->image) : fallback;
}

pixman_image_t *qemu_pixman_glyph_from_vgafont(int height, const uint8_t *font, unsigned int ch)
{
    return pixman_image_create_bits(PIXMAN_a8, 8, height, NULL, 0);
}

/* x and y count glyphs. */
void qemu_pixman_glyph_render(pixman_image_t *glyph, pixman_image_t *surface, pixman_color_t *fgcol,
                              pixman_color_t *bgcol, int x, int y, int cw, int ch)
{
    FUZZ_ASSERT(x >= 0 && (x + 1) * cw <= pixman_image_get_width(surface) && y >= 0);
}

void qemu_pixman_image_unref(pixman_image_t *image)
{
    pixman_image_unref(image);
}

void dpy_mouse_set(QemuConsole *con, int x, int y, bool on)
{
    FUZZ_ASSERT(x >= -VGPU_CHANNEL_CURSOR_SIZE && x <= 16384 && y >= -VGPU_CHANNEL_CURSOR_SIZE && y <= 16384);
}

QEMUCursor *cursor_alloc(uint16_t width, uint16_t height)
{
    QEMUCursor *c = g_malloc0(sizeof(*c) + width * height * sizeof(uint32_t));

    c->width = width;
    c->height = height;
    c->refcount = 1;
    return c;
}

void cursor_unref(QEMUCursor *c)
{
    g_free(c);
}

void dpy_cursor_define(QemuConsole *con, QEMUCursor *c)
{
    FUZZ_ASSERT(c->hot_x >= 0 && c->hot_x < c->width && c->hot_y >= 0 && c->hot_y < c->height);
}

void virtio_gpu_base_generate_edid(VirtIOGPUBase *g, int scanout, struct virtio_gpu_resp_edid *edid)
{
    edid->size = 128;
}

void rest_refresh(unsigned console)
{
    consoles[console].asked = true;
    consoles[console].ops->gfx_update(consoles[console].opaque);
}

void rest_resize(unsigned console, uint32_t width, uint32_t height)
{
    QemuUIInfo info = { .width = width, .height = height };

    consoles[console].ops->ui_info(consoles[console].opaque, console, &info);
}

void rest_check_idle(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(consoles); i++) {
        FUZZ_ASSERT(!consoles[i].surface || consoles[i].surface->flags & QEMU_PLACEHOLDER_FLAG);
        FUZZ_ASSERT(!consoles[i].asked);
    }
    for (unsigned i = 0; i < timer_count; i++) {
        FUZZ_ASSERT(timers[i]->expire_time == -1);
    }
}

/* ---- memory ---- */

static uint8_t *window;
static RAMBlock window_block;

void memory_region_init_ram_device_ptr(MemoryRegion *mr, Object *owner, const char *name, uint64_t size,
                                       void *ptr)
{
    window = ptr;
    mr->ram_block = &window_block;
}

void memory_region_add_subregion(MemoryRegion *mr, hwaddr offset, MemoryRegion *subregion)
{
}

void memory_region_del_subregion(MemoryRegion *mr, MemoryRegion *subregion)
{
}

int qemu_memfd_create(const char *name, size_t size, bool hugetlb, uint64_t hugetlbsize, unsigned int seals,
                      Error **errp)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    FUZZ_ASSERT(fd >= 0 && ftruncate(fd, size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

int qemu_madvise(void *addr, size_t len, int advice)
{
    return madvise(addr, len, advice);
}

void rest_look_at_window(uint64_t size)
{
    for (uint64_t at = 0; at < size; at += 4096) {
        sink += *(volatile uint8_t *)(window + at);
        *(volatile uint8_t *)(window + at + 4095) = 1;
    }
}

void call_rcu1(struct rcu_head *head, RCUCBFunc *func)
{
    func(head);
}

/* ---- the main loop: nobody else runs ---- */

__thread CPUState *current_cpu;
static AioContext context;
static char bh;

AioContext *qemu_get_aio_context(void)
{
    return &context;
}

AioContext *iohandler_get_aio_context(void)
{
    return &context;
}

void aio_set_fd_handler(AioContext *ctx, int fd, IOHandler *io_read, IOHandler *io_write, AioPollFn *io_poll,
                        IOHandler *io_poll_ready, void *opaque)
{
}

QEMUBH *aio_bh_new_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name,
                        MemReentrancyGuard *guard)
{
    return (QEMUBH *)&bh;
}

void aio_bh_schedule_oneshot_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name)
{
}

void qemu_bh_schedule(QEMUBH *b)
{
}

void qemu_bh_cancel(QEMUBH *b)
{
}

void qemu_bh_delete(QEMUBH *b)
{
}

void qemu_socket_set_nonblock(int fd)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* ---- objects and messages ---- */

Object *object_dynamic_cast_assert(Object *obj, const char *type, const char *file, int line,
                                   const char *func)
{
    return obj;
}

BusState *qdev_get_parent_bus(const DeviceState *dev)
{
    static DeviceState function;
    static BusState bus = { .parent = &function };

    return &bus;
}

Object *object_ref(void *obj)
{
    return obj;
}

void object_unref(void *obj)
{
}

void warn_report(const char *format, ...)
{
}

void error_report(const char *format, ...)
{
}

void error_setg_internal(Error **errp, const char *src, int line, const char *func, const char *fmt, ...)
{
    abort();
}

void error_setg_errno_internal(Error **errp, const char *src, int line, const char *func, int os_errno,
                               const char *fmt, ...)
{
    abort();
}

/* ---- the device's other files ---- */

void virtio_notify_config(VirtIODevice *vdev)
{
}

void vgpu_check_profile(VgpuDevice *d)
{
}

void vgpu_migrate_look(VgpuDevice *d)
{
}

bool vgpu_migrate_contexts(VgpuDevice *d, const void *payload, int *fd)
{
    return true;
}

bool vgpu_migrate_judged(VgpuDevice *d, const void *payload, int *fd)
{
    return true;
}

bool vgpu_revive_adopted(VgpuDevice *d, const void *payload, int *fd)
{
    return true;
}

bool vgpu_revive_will(VgpuDevice *d)
{
    return false;
}

void vgpu_revive_keep(VgpuDevice *d)
{
}

void vgpu_revive_soon(VgpuDevice *d)
{
}

void vgpu_rejoin(VgpuDevice *d)
{
}

void vgpu_link_kill(VgpuLink *l)
{
}

void vgpu_rings_fini(VgpuDevice *d)
{
}

void vgpu_rings_rewind(VgpuDevice *d)
{
}

void vgpu_stats_unmap(VgpuDevice *d)
{
}

void vgpu_migrate_lost(VgpuDevice *d)
{
}

void vgpu_set_state(VgpuDevice *d, VgpuState state)
{
    d->state = state;
}

void vgpu_attach_send_lost(VgpuDevice *d, enum vgpu_lost_cause cause)
{
}
