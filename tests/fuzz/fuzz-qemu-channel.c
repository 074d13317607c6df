/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gpu channel, from QEMU's end, with the device's own channel.c, console.c,
 * window.c and lost.c: whatever a renderer sends, in whatever pieces and with
 * whatever descriptors, while displays look, time passes and the guest is reset.
 * No pixel is read that is not there, the window can be read and written all over
 * at any time, what QEMU says is whole; and when the renderer is gone nothing of
 * its is left: no descriptor, no mapping, no picture, no timer.
 *
 * The rest of QEMU is played (qemu-rest.c).  The input: steps, each a byte that
 * says what, and what that takes.
 */
#include "qemu-rest.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include "input.h"

#define OUTPUTS 3
#define WINDOW  (1u << 20)

static VgpuDevice *d;
static struct vgpu_stats stats; /* the renderer's as well: any word of it */
static int renderer = -1;

/* ---- what QEMU says ---- */

static const struct {
    uint32_t request, size;
} said[] = {
    { VGPU_CHANNEL_DISPLAY_INFO, sizeof(struct vgpu_channel_display_info) },
    { VGPU_CHANNEL_EDID, sizeof(struct vgpu_channel_edid) },
    { VGPU_CHANNEL_RESET, sizeof(struct vgpu_channel_reset) },
    { VGPU_CHANNEL_PING, sizeof(struct vgpu_channel_ping) },
    { VGPU_CHANNEL_UPDATE_DONE, sizeof(struct vgpu_channel_update_done) },
    { VGPU_CHANNEL_WINDOW, sizeof(struct vgpu_channel_window) },
    { VGPU_CHANNEL_BLOB_DONE, sizeof(struct vgpu_channel_blob_done) },
};

static uint8_t heard[sizeof(struct vgpu_channel_hdr) + 2048];
static size_t have;

static void hear(size_t limit)
{
    while (limit) {
        struct vgpu_channel_hdr h = { 0 };
        size_t want = sizeof(h), i = 0;
        ssize_t n;

        memcpy(&h, heard, MIN(have, sizeof(h)));
        want = have < sizeof(h) ? sizeof(h) : sizeof(h) + h.size;
        n = recv(renderer, heard + have, MIN(want - have, limit), MSG_DONTWAIT);
        if (n <= 0) {
            return;
        }
        have += (size_t)n;
        limit -= (size_t)n;
        if (have < sizeof(h)) {
            continue;
        }
        memcpy(&h, heard, sizeof(h));
        while (i < ARRAY_SIZE(said) && said[i].request != h.request) {
            i++;
        }
        FUZZ_ASSERT(i < ARRAY_SIZE(said) && said[i].size == h.size && !h.flags);
        if (have == sizeof(h) + h.size) {
            have = 0;
        }
    }
}

/* ---- what the renderer says ---- */

enum { FD_NONE, FD_SEALED, FD_ODD, FD_UNSEALED, FD_PIPE, FD_TWO };

/* A descriptor of that kind, the caller's. */
static int make_fd(unsigned kind, uint32_t pages)
{
    int fd, ends[2];

    if (kind == FD_PIPE) {
        FUZZ_ASSERT(pipe2(ends, O_CLOEXEC) == 0);
        close(ends[1]);
        return ends[0];
    }
    fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FUZZ_ASSERT(fd >= 0 && ftruncate(fd, pages % 64 * 4096 + (kind == FD_ODD ? 100 : 0)) == 0);
    if (kind != FD_UNSEALED) {
        FUZZ_ASSERT(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    }
    return fd;
}

static void say(const void *data, size_t size, unsigned kind, uint32_t pages)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 2)];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    unsigned fds = kind == FD_NONE ? 0 : kind == FD_TWO ? 2 : 1;
    int out[2] = { -1, -1 };

    if (!size) {
        return;
    }
    if (fds) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * fds);
        for (unsigned i = 0; i < fds; i++) {
            out[i] = make_fd(kind, pages);
        }
        memcpy(CMSG_DATA(&control.align), out, sizeof(int) * fds);
    }
    /* it does not take all when nobody reads: then it is not said */
    FUZZ_ASSERT(sendmsg(renderer, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN ||
                errno == EPIPE);
    for (unsigned i = 0; i < fds; i++) {
        close(out[i]);
    }
}

static const struct {
    uint32_t request, size;
    bool fd;
} requests[] = {
    { VGPU_CHANNEL_HELLO, sizeof(struct vgpu_channel_hello), false },
    { VGPU_CHANNEL_SHM_UPDATE, sizeof(struct vgpu_channel_shm_update), false },
    { VGPU_CHANNEL_BLOB_MAP, sizeof(struct vgpu_channel_blob_map), true },
    { VGPU_CHANNEL_BLOB_UNMAP, sizeof(struct vgpu_channel_blob_unmap), false },
    { VGPU_CHANNEL_SHM_SCANOUT, sizeof(struct vgpu_channel_shm_scanout), true },
    { VGPU_CHANNEL_SCANOUT, sizeof(struct vgpu_channel_scanout), false },
    { VGPU_CHANNEL_DMABUF_SCANOUT2, sizeof(struct vgpu_channel_dmabuf_scanout2), true },
    { VGPU_CHANNEL_CURSOR_POS, sizeof(struct vgpu_channel_cursor_pos), false },
    { VGPU_CHANNEL_CURSOR_POS_HIDE, sizeof(struct vgpu_channel_cursor_pos), false },
    { VGPU_CHANNEL_CURSOR_UPDATE, sizeof(struct vgpu_channel_cursor_update), false },
    { VGPU_CHANNEL_PONG, sizeof(struct vgpu_channel_ping), false },
    { VGPU_CHANNEL_FATAL, sizeof(struct vgpu_channel_fatal), false },
    { VGPU_CHANNEL_ADOPTED, sizeof(struct vgpu_channel_adopted), false },
    { VGPU_CHANNEL_CONTEXTS, sizeof(struct vgpu_channel_contexts), false },
    { VGPU_CHANNEL_JUDGED, sizeof(struct vgpu_channel_judged), false },
    { 3, 4, false },
};

/* The words of a message that has few; of a picture and a map such as are meant well, mostly. */
static void fill(uint8_t *payload, uint32_t request, uint32_t size, Input *in)
{
    union {
        uint32_t word[10];
        struct vgpu_channel_shm_scanout shm;
        struct vgpu_channel_blob_map map;
        struct vgpu_channel_blob_unmap unmap;
    } u = { 0 };
    uint8_t well = input_byte(in);

    if (request == VGPU_CHANNEL_SHM_SCANOUT && well < 200) {
        u.shm.scanout_id = well % 4;
        u.shm.width = input_byte(in) + 1;
        u.shm.height = input_byte(in) + 1;
        u.shm.stride = u.shm.width * 4 + well / 100 * 4;
        u.shm.drm_fourcc = 0x34325258; /* XR24 */
        u.shm.offset = input_byte(in) % 8 * 4096;
    } else if ((request == VGPU_CHANNEL_BLOB_MAP || request == VGPU_CHANNEL_BLOB_UNMAP) && well < 200) {
        u.map.serial = well;
        u.map.offset = input_byte(in) * 4096;
        u.map.size = (input_byte(in) % 16 + 1) * 4096;
        if (request == VGPU_CHANNEL_BLOB_MAP) {
            u.map.fd_offset = input_byte(in) % 8 * 4096;
            u.map.generation = d->window.generation;
            u.map.flags = VGPU_BLOB_MAP_RW;
        } else {
            u.unmap.generation = d->window.generation;
            u.unmap.pad = 0;
        }
    } else {
        for (unsigned i = 0; i < MIN(size / 4, ARRAY_SIZE(u.word)); i++) {
            u.word[i] = input_word(in);
        }
    }
    memcpy(payload, &u, MIN(size, sizeof(u)));
}

static void message(Input *in)
{
    static uint8_t bytes[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];
    uint8_t which = input_byte(in) % ARRAY_SIZE(requests), how = input_byte(in);
    struct vgpu_channel_hdr h = { .request = requests[which].request, .size = requests[which].size };
    unsigned kind = requests[which].fd ? (how & 7) < 4 ? FD_SEALED : (how & 7) - 2
                    : (how & 7) == 7   ? FD_SEALED
                                       : 0;
    size_t size = sizeof(h) + h.size, cut = (how & 0x38) == 0x08 ? input_byte(in) % size : 0;
    uint32_t pages = kind ? input_byte(in) : 0;

    memset(bytes, 'x', size);
    fill(bytes + sizeof(h), h.request, h.size, in);
    h.size += (how & 0x38) == 0x38;
    h.flags = (how & 0xc0) == 0xc0;
    memcpy(bytes, &h, sizeof(h));
    if (cut) {
        say(bytes, cut, kind, pages);
        vgpu_channel_read(d);
        say(bytes + cut, size - cut, how & 0x40 ? FD_SEALED : FD_NONE, 1);
    } else {
        say(bytes, size, kind, pages);
    }
}

static void raw(Input *in)
{
    size_t size = input_byte(in);

    size = MIN(size, in->size);
    say(in->data, size, size & 1 ? FD_NONE : size % 6, 2);
    in->data += size;
    in->size -= size;
}

/* As the device does it when the guest resets it. */
static void reset(void)
{
    struct vgpu_channel_reset r = { .generation = ++d->generation };

    vgpu_window_revoke(d);
    d->window.generation = d->generation;
    vgpu_channel_send(d, VGPU_CHANNEL_RESET, &r, sizeof(r));
}

static void step(Input *in)
{
    uint8_t what = input_byte(in);

    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        message(in);
        break;
    case 3:
        raw(in);
        break;
    case 4:
        hear((size_t)input_byte(in) * input_byte(in));
        break;
    case 5:
        stats.hang_timeout_ns = (uint64_t)input_word(in) << what / 8;
        rest_advance(input_byte(in) * 10);
        break;
    case 6:
        rest_refresh(what / 8 % OUTPUTS);
        break;
    default:
        if (what & 0x80) {
            reset();
        } else {
            rest_resize(what / 8 % OUTPUTS, input_word(in), input_word(in));
        }
    }
    if (!(what & 0x40)) {
        vgpu_channel_read(d);
    }
}

/* ---- a device ---- */

static void make(void)
{
    d = g_new0(VgpuDevice, 1);
    d->parent_obj.conf.max_outputs = OUTPUTS;
    d->parent_obj.conf.flags = 1 << VIRTIO_GPU_FLAG_BLOB_ENABLED;
    d->parent_obj.conf.hostmem = WINDOW;
    d->window.size = WINDOW;
    d->stats = &stats;
    vgpu_lost_init(d);
    vgpu_channel_init(d);
    FUZZ_ASSERT(vgpu_window_init(d, NULL) && vgpu_console_init(d, NULL));
}

static void begin(void)
{
    int pair[2];

    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    renderer = pair[0];
    have = 0;
    d->losing = false;
    d->state = VGPU_STATE_RUNNING;
    d->generation = d->window.generation = 0;
    d->channel.cookie = 0;
    vgpu_channel_open(d, pair[1]);
    vgpu_channel_watch(d);
    vgpu_window_announce(d);
}

/* As lost.c's bottom half does it, and with no next renderer. */
static void lose(void)
{
    vgpu_lose(d, VGPU_LOST_CLOSED, "that was it");
    vgpu_lost_why(d);
    FUZZ_ASSERT(g_utf8_validate(d->lost_why, -1, NULL));
    vgpu_lost_drop_renderer(d);
    vgpu_console_leave(d);
    vgpu_console_clear(d);
    hear(SIZE_MAX);
    close(renderer);
    d->state = VGPU_STATE_OFF;
    FUZZ_ASSERT(!d->window.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };
    unsigned before;

    if (!d) {
        make();
    }
    before = fuzz_descriptors();
    begin();
    while (in.size && !d->losing) {
        step(&in);
    }
    rest_look_at_window(WINDOW);
    lose();
    rest_look_at_window(WINDOW);
    rest_check_idle();
    FUZZ_ASSERT(fuzz_descriptors() == before);
    return 0;
}
