/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kms-show COMMAND [ARGUMENT...] [, COMMAND [ARGUMENT...]]...:
 * does to the displays what the commands say, one after another, with atomic
 * commits.  OUTPUT counts from 0.
 *
 *   outputs                      output=N connector=ID connected=0|1 edid=BYTES mode=WxH
 *   mode OUTPUT WxH              a black framebuffer of that size on the output
 *   fill OUTPUT X Y W H RRGGBB   draws into its memory, and shows nothing
 *   damage OUTPUT X Y W H        a commit with that much damage
 *   dirty OUTPUT X Y W H         the same by the DIRTYFB call
 *   flip OUTPUT COUNT            flips between two copies of it: flips=COUNT ms=TIME
 *   fences OUTPUT                a commit that waits for rendering and gives a fence
 *   cursor OUTPUT RRGGBB X Y     a square with that hot spot
 *   bad-cursor OUTPUT SIZE       one of another size: must be refused
 *   move OUTPUT X Y              the cursor
 *   off OUTPUT                   the output
 *   tell FILE, wait FILE         /share/FILE is made, is waited for
 *
 * Status 0 when all could be done, 1 when one could not.
 */
#include "args.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm_fourcc.h>
#include <virtgpu_drm.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#define OUTPUTS     16
#define CURSOR_SIZE 64

typedef struct Buffer {
    uint32_t handle, fb, width, height, pitch;
    uint64_t size;
    uint32_t *pixels;
} Buffer;

typedef struct Output {
    uint32_t connector, crtc, primary, cursor;
    Buffer front, back, pointer;
} Output;

static int fd = -1;
static Output outputs[OUTPUTS];
static unsigned count;

static void failed(const char *what)
{
    fprintf(stderr, "kms-show: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Its id, and its value now. */
static uint32_t property(uint32_t object, uint32_t type, const char *name, uint64_t *value)
{
    drmModeObjectProperties *all = drmModeObjectGetProperties(fd, object, type);
    uint32_t id = 0;

    for (uint32_t i = 0; all && i < all->count_props; i++) {
        drmModePropertyRes *one = drmModeGetProperty(fd, all->props[i]);

        if (one && !strcmp(one->name, name)) {
            id = one->prop_id;
            if (value) {
                *value = all->prop_values[i];
            }
        }
        drmModeFreeProperty(one);
    }
    drmModeFreeObjectProperties(all);
    return id;
}

static void set(drmModeAtomicReq *request, uint32_t object, uint32_t type, const char *name, uint64_t value)
{
    uint32_t id = property(object, type, name, NULL);

    if (!id) {
        fprintf(stderr, "kms-show: object %u has no property '%s'\n", object, name);
        exit(1);
    }
    drmModeAtomicAddProperty(request, object, id, value);
}

static void find_planes(void)
{
    drmModePlaneRes *all = drmModeGetPlaneResources(fd);

    for (uint32_t i = 0; all && i < all->count_planes; i++) {
        drmModePlane *plane = drmModeGetPlane(fd, all->planes[i]);
        uint64_t type = 0;

        property(plane->plane_id, DRM_MODE_OBJECT_PLANE, "type", &type);
        for (unsigned o = 0; o < count; o++) {
            if (!(plane->possible_crtcs & (1u << o))) {
                continue;
            }
            if (type == DRM_PLANE_TYPE_PRIMARY) {
                outputs[o].primary = plane->plane_id;
            } else if (type == DRM_PLANE_TYPE_CURSOR) {
                outputs[o].cursor = plane->plane_id;
            }
        }
        drmModeFreePlane(plane);
    }
    drmModeFreePlaneResources(all);
}

static void find_outputs(void)
{
    drmModeRes *all = drmModeGetResources(fd);

    if (!all) {
        failed("there are no displays");
    }
    count = all->count_crtcs < OUTPUTS ? (unsigned)all->count_crtcs : OUTPUTS;
    for (unsigned i = 0; i < count; i++) {
        outputs[i].connector = all->connectors[i];
        outputs[i].crtc = all->crtcs[i];
    }
    drmModeFreeResources(all);
    find_planes();
}

static Buffer buffer_new(uint32_t width, uint32_t height, uint32_t format)
{
    struct drm_mode_create_dumb create = { .width = width, .height = height, .bpp = 32 };
    struct drm_mode_map_dumb map = { 0 };
    Buffer b = { .width = width, .height = height };
    uint32_t handles[4] = { 0 }, pitches[4] = { 0 }, offsets[4] = { 0 };

    if (drmIoctl(fd, DRM_IOCTL_MODE_CREATE_DUMB, &create)) {
        failed("CREATE_DUMB");
    }
    map.handle = b.handle = handles[0] = create.handle;
    b.pitch = pitches[0] = create.pitch;
    b.size = create.size;
    if (drmModeAddFB2(fd, width, height, format, handles, pitches, offsets, &b.fb, 0)) {
        failed("ADDFB2");
    }
    if (drmIoctl(fd, DRM_IOCTL_MODE_MAP_DUMB, &map)) {
        failed("MAP_DUMB");
    }
    b.pixels = mmap(NULL, b.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.offset);
    if (b.pixels == MAP_FAILED) {
        failed("mmap");
    }
    memset(b.pixels, 0, b.size);
    return b;
}

static void buffer_free(Buffer *b)
{
    struct drm_mode_destroy_dumb destroy = { .handle = b->handle };

    if (!b->fb) {
        return;
    }
    munmap(b->pixels, b->size);
    drmModeRmFB(fd, b->fb);
    drmIoctl(fd, DRM_IOCTL_MODE_DESTROY_DUMB, &destroy);
    *b = (Buffer){ 0 };
}

static void commit(drmModeAtomicReq *request, uint32_t flags, const char *what)
{
    if (drmModeAtomicCommit(fd, request, flags, NULL)) {
        failed(what);
    }
    drmModeAtomicFree(request);
}

static void show_plane(drmModeAtomicReq *request, uint32_t plane, uint32_t crtc, const Buffer *b, int x,
                       int y)
{
    uint32_t type = DRM_MODE_OBJECT_PLANE;

    set(request, plane, type, "FB_ID", b->fb);
    set(request, plane, type, "CRTC_ID", crtc);
    set(request, plane, type, "CRTC_X", (uint64_t)(int64_t)x);
    set(request, plane, type, "CRTC_Y", (uint64_t)(int64_t)y);
    set(request, plane, type, "CRTC_W", b->width);
    set(request, plane, type, "CRTC_H", b->height);
    set(request, plane, type, "SRC_X", 0);
    set(request, plane, type, "SRC_Y", 0);
    set(request, plane, type, "SRC_W", (uint64_t)b->width << 16);
    set(request, plane, type, "SRC_H", (uint64_t)b->height << 16);
}

/* ------------------------------------------------------------- commands */

static Output *output_of(const char *text)
{
    unsigned long n = number(text);

    if (n >= count) {
        fprintf(stderr, "kms-show: there is no output %lu of %u\n", n, count);
        exit(1);
    }
    return &outputs[n];
}

static void show_outputs(char **arg)
{
    (void)arg;
    for (unsigned i = 0; i < count; i++) {
        drmModeConnector *c = drmModeGetConnector(fd, outputs[i].connector);
        drmModePropertyBlobRes *edid = NULL;
        uint64_t blob = 0;

        if (!c) {
            failed("GETCONNECTOR");
        }
        property(outputs[i].connector, DRM_MODE_OBJECT_CONNECTOR, "EDID", &blob);
        edid = blob ? drmModeGetPropertyBlob(fd, (uint32_t)blob) : NULL;
        printf("output=%u connector=%u connected=%d edid=%u mode=%s\n", i, c->connector_id,
               c->connection == DRM_MODE_CONNECTED, edid ? edid->length : 0,
               c->count_modes ? c->modes[0].name : "none");
        drmModeFreePropertyBlob(edid);
        drmModeFreeConnector(c);
    }
    fflush(stdout);
}

/* One of the size that is asked for; what else it says nobody looks at. */
static drmModeModeInfo mode_of(uint32_t width, uint32_t height)
{
    drmModeModeInfo mode = {
        .hdisplay = (uint16_t)width,
        .hsync_start = (uint16_t)(width + 8),
        .hsync_end = (uint16_t)(width + 16),
        .htotal = (uint16_t)(width + 32),
        .vdisplay = (uint16_t)height,
        .vsync_start = (uint16_t)(height + 2),
        .vsync_end = (uint16_t)(height + 4),
        .vtotal = (uint16_t)(height + 8),
        .type = DRM_MODE_TYPE_USERDEF,
    };

    mode.clock = (uint32_t)mode.htotal * mode.vtotal * 60 / 1000;
    mode.vrefresh = 60;
    snprintf(mode.name, sizeof(mode.name), "%ux%u", width, height);
    return mode;
}

static void set_mode(char **arg)
{
    Output *o = output_of(arg[0]);
    Buffer old = o->front;
    drmModeAtomicReq *request = drmModeAtomicAlloc();
    char *by = strchr(arg[1], 'x');
    drmModeModeInfo mode;
    uint32_t blob;

    if (!by) {
        fprintf(stderr, "kms-show: '%s' is no WxH\n", arg[1]);
        exit(2);
    }
    *by = 0;
    mode = mode_of((uint32_t)number(arg[1]), (uint32_t)number(by + 1));
    buffer_free(&o->back);
    o->front = buffer_new(mode.hdisplay, mode.vdisplay, DRM_FORMAT_XRGB8888);
    if (drmModeCreatePropertyBlob(fd, &mode, sizeof(mode), &blob)) {
        failed("a blob for the mode");
    }
    set(request, o->connector, DRM_MODE_OBJECT_CONNECTOR, "CRTC_ID", o->crtc);
    set(request, o->crtc, DRM_MODE_OBJECT_CRTC, "MODE_ID", blob);
    set(request, o->crtc, DRM_MODE_OBJECT_CRTC, "ACTIVE", 1);
    show_plane(request, o->primary, o->crtc, &o->front, 0, 0);
    commit(request, DRM_MODE_ATOMIC_ALLOW_MODESET, "a mode");
    buffer_free(&old);
}

static void fill_buffer(Buffer *b, char **xywh, uint32_t colour)
{
    uint32_t x0 = (uint32_t)number(xywh[0]), y0 = (uint32_t)number(xywh[1]);
    uint32_t w = (uint32_t)number(xywh[2]), h = (uint32_t)number(xywh[3]);

    for (uint32_t y = y0; y < y0 + h && y < b->height; y++) {
        for (uint32_t x = x0; x < x0 + w && x < b->width; x++) {
            b->pixels[y * (b->pitch / 4) + x] = colour;
        }
    }
}

static uint32_t colour_of(const char *text)
{
    unsigned value = 0;

    for (; *text; text++) {
        const char *digits = "0123456789abcdef", *digit = strchr(digits, *text);

        if (!digit) {
            fprintf(stderr, "kms-show: a colour is RRGGBB\n");
            exit(2);
        }
        value = value * 16 + (unsigned)(digit - digits);
    }
    return value;
}

static void fill(char **arg)
{
    fill_buffer(&output_of(arg[0])->front, arg + 1, colour_of(arg[5]));
}

static void damage(char **arg)
{
    Output *o = output_of(arg[0]);
    drmModeAtomicReq *request = drmModeAtomicAlloc();
    struct drm_mode_rect rect = {
        .x1 = (int32_t)number(arg[1]),
        .y1 = (int32_t)number(arg[2]),
        .x2 = (int32_t)(number(arg[1]) + number(arg[3])),
        .y2 = (int32_t)(number(arg[2]) + number(arg[4])),
    };
    uint32_t blob;

    if (drmModeCreatePropertyBlob(fd, &rect, sizeof(rect), &blob)) {
        failed("a blob for damage");
    }
    show_plane(request, o->primary, o->crtc, &o->front, 0, 0);
    set(request, o->primary, DRM_MODE_OBJECT_PLANE, "FB_DAMAGE_CLIPS", blob);
    commit(request, 0, "damage");
    drmModeDestroyPropertyBlob(fd, blob);
}

static void dirty(char **arg)
{
    Output *o = output_of(arg[0]);
    drmModeClip clip = {
        .x1 = (uint16_t)number(arg[1]),
        .y1 = (uint16_t)number(arg[2]),
        .x2 = (uint16_t)(number(arg[1]) + number(arg[3])),
        .y2 = (uint16_t)(number(arg[2]) + number(arg[4])),
    };

    if (drmModeDirtyFB(fd, o->front.fb, &clip, 1)) {
        failed("DIRTYFB");
    }
}

static unsigned flips_seen;

static void flip_seen(int unused, unsigned sequence, unsigned s, unsigned us, void *data)
{
    (void)unused, (void)sequence, (void)s, (void)us, (void)data;
    flips_seen++;
}

static void wait_for_flips(unsigned wanted)
{
    drmEventContext events = { .version = 2, .page_flip_handler = flip_seen };
    struct pollfd p = { .fd = fd, .events = POLLIN };

    while (flips_seen < wanted) {
        if (poll(&p, 1, 10000) != 1) {
            errno = ETIMEDOUT;
            failed("the event of a flip");
        }
        drmHandleEvent(fd, &events);
    }
}

/* The copy that is on the screen at the end is the front again. */
static void flip(char **arg)
{
    Output *o = output_of(arg[0]);
    unsigned wanted = (unsigned)number(arg[1]);
    double start;

    if (!o->back.fb) {
        o->back = buffer_new(o->front.width, o->front.height, DRM_FORMAT_XRGB8888);
    }
    memcpy(o->back.pixels, o->front.pixels, o->front.size);
    flips_seen = 0;
    start = seconds();
    for (unsigned i = 0; i < wanted; i++) {
        drmModeAtomicReq *request = drmModeAtomicAlloc();
        Buffer swap = o->front;

        o->front = o->back;
        o->back = swap;
        show_plane(request, o->primary, o->crtc, &o->front, 0, 0);
        commit(request, DRM_MODE_ATOMIC_NONBLOCK | DRM_MODE_PAGE_FLIP_EVENT, "a flip");
        wait_for_flips(i + 1);
    }
    printf("flips=%u ms=%.3f\n", wanted, (seconds() - start) * 1000 / wanted);
}

/* Of work of the GPU's that does nothing. */
static int rendering_fence(void)
{
    uint32_t nop[1] = { 0 };
    struct drm_virtgpu_execbuffer submit = {
        .flags = VIRTGPU_EXECBUF_FENCE_FD_OUT,
        .size = sizeof(nop),
        .command = (uintptr_t)nop,
        .fence_fd = -1,
    };

    if (drmIoctl(fd, DRM_IOCTL_VIRTGPU_EXECBUFFER, &submit)) {
        failed("EXECBUFFER");
    }
    return submit.fence_fd;
}

static void fences(char **arg)
{
    Output *o = output_of(arg[0]);
    drmModeAtomicReq *request = drmModeAtomicAlloc();
    int in = rendering_fence();
    int32_t out = -1;
    struct pollfd p = { .events = POLLIN };

    show_plane(request, o->primary, o->crtc, &o->front, 0, 0);
    set(request, o->primary, DRM_MODE_OBJECT_PLANE, "IN_FENCE_FD", (uint64_t)in);
    set(request, o->crtc, DRM_MODE_OBJECT_CRTC, "OUT_FENCE_PTR", (uintptr_t)&out);
    commit(request, DRM_MODE_ATOMIC_NONBLOCK, "fences");
    p.fd = out;
    if (out < 0 || poll(&p, 1, 10000) != 1) {
        errno = ETIMEDOUT;
        failed("the fence of a commit");
    }
    close(in);
    close(out);
    printf("fences=ok\n");
}

static void cursor(char **arg)
{
    Output *o = output_of(arg[0]);
    drmModeAtomicReq *request = drmModeAtomicAlloc();
    Buffer old = o->pointer;
    uint32_t type = DRM_MODE_OBJECT_PLANE, colour = colour_of(arg[1]);

    o->pointer = buffer_new(CURSOR_SIZE, CURSOR_SIZE, DRM_FORMAT_ARGB8888);
    for (unsigned i = 0; i < 16 * CURSOR_SIZE; i++) {
        o->pointer.pixels[i] = i % CURSOR_SIZE < 16 ? 0xff000000 | colour : 0;
    }
    show_plane(request, o->cursor, o->crtc, &o->pointer, 0, 0);
    if (property(o->cursor, type, "HOTSPOT_X", NULL)) {
        set(request, o->cursor, type, "HOTSPOT_X", number(arg[2]));
        set(request, o->cursor, type, "HOTSPOT_Y", number(arg[3]));
    }
    commit(request, 0, "a cursor");
    buffer_free(&old);
}

static void bad_cursor(char **arg)
{
    Output *o = output_of(arg[0]);
    uint32_t size = (uint32_t)number(arg[1]);
    Buffer b = buffer_new(size, size, DRM_FORMAT_ARGB8888);
    drmModeAtomicReq *request = drmModeAtomicAlloc();

    show_plane(request, o->cursor, o->crtc, &b, 0, 0);
    if (!drmModeAtomicCommit(fd, request, 0, NULL)) {
        fprintf(stderr, "kms-show: a cursor of %u pixels was taken\n", size);
        exit(1);
    }
    drmModeAtomicFree(request);
    buffer_free(&b);
}

static void move(char **arg)
{
    Output *o = output_of(arg[0]);

    if (drmModeMoveCursor(fd, o->crtc, (int)number(arg[1]), (int)number(arg[2]))) {
        failed("MOVE_CURSOR");
    }
}

static void off(char **arg)
{
    Output *o = output_of(arg[0]);
    drmModeAtomicReq *request = drmModeAtomicAlloc();

    set(request, o->crtc, DRM_MODE_OBJECT_CRTC, "ACTIVE", 0);
    commit(request, DRM_MODE_ATOMIC_ALLOW_MODESET, "switching off");
}

static const char *share_path(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "/share/%s", name);
    return path;
}

static void tell(char **arg)
{
    int file = open(share_path(arg[0]), O_WRONLY | O_CREAT, 0644);

    if (file < 0) {
        failed(arg[0]);
    }
    close(file);
}

static void wait_file(char **arg)
{
    for (unsigned n = 0; n < 600; n++) {
        if (access(share_path(arg[0]), F_OK) == 0) {
            return;
        }
        usleep(100000);
    }
    errno = ETIMEDOUT;
    failed(arg[0]);
}

static const struct {
    const char *name;
    int arguments;
    void (*run)(char **arg);
} commands[] = {
    { "outputs", 0, show_outputs },
    { "mode", 2, set_mode },
    { "fill", 6, fill },
    { "damage", 5, damage },
    { "dirty", 5, dirty },
    { "flip", 2, flip },
    { "fences", 1, fences },
    { "cursor", 4, cursor },
    { "bad-cursor", 2, bad_cursor },
    { "move", 3, move },
    { "off", 1, off },
    { "tell", 1, tell },
    { "wait", 1, wait_file },
};

static int run(int argc, char **argv)
{
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!strcmp(argv[0], commands[i].name) && argc > commands[i].arguments) {
            commands[i].run(argv + 1);
            return commands[i].arguments + 1;
        }
    }
    fprintf(stderr, "kms-show: what is '%s'?\n", argv[0]);
    exit(2);
}

int main(int argc, char **argv)
{
    int i = 1;

    fd = drmOpen("virtio_gpu", NULL);
    if (fd < 0) {
        failed("there is no virtio_gpu");
    }
    if (drmSetClientCap(fd, DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1) ||
        drmSetClientCap(fd, DRM_CLIENT_CAP_ATOMIC, 1)) {
        failed("the driver has no atomic mode setting");
    }
    drmSetClientCap(fd, DRM_CLIENT_CAP_CURSOR_PLANE_HOTSPOT, 1); /* older kernels know none */
    find_outputs();
    while (i < argc) {
        i += run(argc - i, argv + i);
        if (i < argc && !strcmp(argv[i], ",")) {
            i++;
        }
    }
    return 0;
}
