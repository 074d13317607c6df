/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gpu channel, from the renderer's end: whatever comes from QEMU, in whatever
 * pieces and with whatever descriptors, is taken, or is the end of the
 * connection; what the render thread wants to say meanwhile comes out whole, in
 * an order that makes sense, however little the socket takes; and when all is
 * over no descriptor is left.
 *
 * The input: steps, each a byte that says what, and what that takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "input.h"
#include "renderer/channel_private.h"

#define OUTPUTS 3

/* Instead of log.c: nobody reads a million sentences. */
void log_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

void log_say(const char *format, ...)
{
}

/* Nobody waits here: who does not listen at once is a QEMU that did not in all that time, see meson.build. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return __real_poll(fds, count, 0);
}

static Channel *c;
static int qemu = -1;
static bool over;

/* ---- what QEMU hears ---- */

static const struct {
    uint32_t request, size;
    bool fd;
} said[] = {
    { VGPU_CHANNEL_CURSOR_POS, sizeof(struct vgpu_channel_cursor_pos), false },
    { VGPU_CHANNEL_CURSOR_POS_HIDE, sizeof(struct vgpu_channel_cursor_pos), false },
    { VGPU_CHANNEL_CURSOR_UPDATE, sizeof(struct vgpu_channel_cursor_update), false },
    { VGPU_CHANNEL_SCANOUT, sizeof(struct vgpu_channel_scanout), false },
    { VGPU_CHANNEL_HELLO, sizeof(struct vgpu_channel_hello), false },
    { VGPU_CHANNEL_SHM_SCANOUT, sizeof(struct vgpu_channel_shm_scanout), true },
    { VGPU_CHANNEL_SHM_UPDATE, sizeof(struct vgpu_channel_shm_update), false },
    { VGPU_CHANNEL_PONG, sizeof(struct vgpu_channel_ping), false },
    { VGPU_CHANNEL_FATAL, sizeof(struct vgpu_channel_fatal), false },
    { VGPU_CHANNEL_BLOB_MAP, sizeof(struct vgpu_channel_blob_map), true },
    { VGPU_CHANNEL_BLOB_UNMAP, sizeof(struct vgpu_channel_blob_unmap), false },
    { VGPU_CHANNEL_ADOPTED, sizeof(struct vgpu_channel_adopted), false },
    { VGPU_CHANNEL_CONTEXTS, sizeof(struct vgpu_channel_contexts), false },
    { VGPU_CHANNEL_JUDGED, sizeof(struct vgpu_channel_judged), false },
};

static uint8_t in[sizeof(struct vgpu_channel_hdr) + VGPU_CHANNEL_MAX_PAYLOAD];
static size_t have;
static int in_fd;
static bool hello;
static uint32_t updates[VGPU_CHANNEL_MAX_SCANOUTS]; /* of the last update */

static void check(const struct vgpu_channel_hdr *h)
{
    struct vgpu_channel_shm_update u;
    unsigned i = 0;

    while (i < G_N_ELEMENTS(said) && said[i].request != h->request) {
        i++;
    }
    FUZZ_ASSERT(i < G_N_ELEMENTS(said) && said[i].size == h->size && !h->flags);
    FUZZ_ASSERT(said[i].fd == (in_fd >= 0));
    FUZZ_ASSERT(h->request != VGPU_CHANNEL_HELLO || !hello);
    hello |= h->request == VGPU_CHANNEL_HELLO;
    FUZZ_ASSERT(hello || h->request == VGPU_CHANNEL_PONG || h->request == VGPU_CHANNEL_FATAL);
    memcpy(&u, in + sizeof(*h), sizeof(u));
    if (h->request == VGPU_CHANNEL_SHM_UPDATE) {
        FUZZ_ASSERT(u.scanout_id < OUTPUTS && u.serial == ++updates[u.scanout_id]);
    }
}

/* Reads at most so many bytes. */
static void hear(size_t limit)
{
    while (limit && qemu >= 0) {
        struct vgpu_channel_hdr h = { 0 };
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        size_t want = sizeof(h);
        struct msghdr msg = { .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
        struct iovec iov;
        ssize_t n;

        memcpy(&h, in, MIN(have, sizeof(h)));
        want = have < sizeof(h) ? sizeof(h) : sizeof(h) + h.size;
        FUZZ_ASSERT(want <= sizeof(in));
        iov = (struct iovec){ in + have, MIN(want - have, limit) };
        msg.msg_iov = &iov;
        n = recvmsg(qemu, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n <= 0) {
            return;
        }
        if (CMSG_FIRSTHDR(&msg)) {
            FUZZ_ASSERT(!have && in_fd < 0);
            memcpy(&in_fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(in_fd));
        }
        have += (size_t)n;
        limit -= (size_t)n;
        memcpy(&h, in, MIN(have, sizeof(h)));
        if (have >= sizeof(h) && have == sizeof(h) + h.size) {
            check(&h);
            have = 0;
            if (in_fd >= 0) {
                close(in_fd);
                in_fd = -1;
            }
        }
    }
}

/* ---- what QEMU says ---- */

static void say(const void *data, size_t size, unsigned fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 4)];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (!size || over) {
        return;
    }
    if (fds) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * fds);
        for (unsigned k = 0; k < fds; k++) {
            int out = 2;

            memcpy(CMSG_DATA(&control.align) + k * sizeof(int), &out, sizeof(int));
        }
    }
    FUZZ_ASSERT(sendmsg(qemu, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size || errno == EAGAIN);
    over = !channel_read(c);
}

static const struct {
    uint32_t request, size;
    unsigned fds;
} requests[] = {
    { VGPU_CHANNEL_DISPLAY_INFO, sizeof(struct vgpu_channel_display_info), 0 },
    { VGPU_CHANNEL_EDID, sizeof(struct vgpu_channel_edid), 0 },
    { VGPU_CHANNEL_RESET, sizeof(struct vgpu_channel_reset), 0 },
    { VGPU_CHANNEL_PING, sizeof(struct vgpu_channel_ping), 0 },
    { VGPU_CHANNEL_UPDATE_DONE, sizeof(struct vgpu_channel_update_done), 0 },
    { VGPU_CHANNEL_WINDOW, sizeof(struct vgpu_channel_window), 0 },
    { VGPU_CHANNEL_BLOB_DONE, sizeof(struct vgpu_channel_blob_done), 0 },
    { VGPU_CHANNEL_ADOPT, sizeof(struct vgpu_channel_adopt), 1 },
    { VGPU_CHANNEL_SAVE, sizeof(struct vgpu_channel_save), 1 },
    { 0x1109, 8, 0 },
};

/* One that is well-formed but for what how takes away, cut in two. */
static void message(Input *input)
{
    uint8_t which = input_byte(input) % G_N_ELEMENTS(requests), how = input_byte(input);
    struct vgpu_channel_hdr h = { .request = requests[which].request, .size = requests[which].size };
    unsigned fds = requests[which].fds;
    uint8_t bytes[sizeof(h) + 2048] = { 0 };
    size_t size = sizeof(h) + h.size, cut;

    for (size_t i = 0; i < MIN(h.size / 4, 6); i++) {
        uint32_t w = input_word(input);

        memcpy(bytes + sizeof(h) + 4 * i, &w, sizeof(w));
    }
    h.size += (how & 7) == 7;
    h.flags = (how & 0x18) == 0x18;
    memcpy(bytes, &h, sizeof(h));
    fds += (how & 0xe0) == 0xe0;
    cut = (how & 0xe0) == 0x20 ? input_byte(input) % size : 0;
    if (cut) {
        say(bytes, cut, fds);
        say(bytes + cut, size - cut, 0);
    } else {
        say(bytes, size, fds);
    }
}

/* ---- the rest of the renderer ---- */

static void taken_fd(int fd)
{
    FUZZ_ASSERT(fcntl(fd, F_GETFD) >= 0);
    close(fd);
}

static void on_reset(void *opaque, uint32_t generation)
{
}

static void on_window(void *opaque, uint64_t size)
{
}

static void on_adopt(void *opaque, int fd, const struct vgpu_channel_adopt *a)
{
    FUZZ_ASSERT(a->form <= VGPU_ADOPT_SAVED);
    taken_fd(fd);
}

static void on_save(void *opaque, int fd, const struct vgpu_channel_save *s)
{
    taken_fd(fd);
}

static void on_blob_done(void *opaque, uint64_t serial, uint32_t status)
{
}

static void nothing(void *opaque)
{
}

static void show(unsigned i, Input *input)
{
    struct vgpu_channel_shm_scanout s = { .scanout_id = i, .width = 64, .height = 64, .stride = 256 };

    s.width = input_byte(input);
    channel_shm_scanout(c, &s, dup(2));
}

/* What the render thread does. */
static void act(Input *input)
{
    static struct vgpu_channel_cursor_update update;
    uint8_t what = input_byte(input);
    unsigned i = what >> 4 & 3;
    Rect rect = { what >> 6, 1, 8, 8 };

    i = MIN(i, OUTPUTS - 1);
    switch (what & 15) {
    case 0:
        channel_scanout_off(c, i);
        break;
    case 1:
        show(i, input);
        break;
    case 2:
    case 3:
        channel_damage(c, i, &rect);
        break;
    case 4:
        channel_unmute(c);
        break;
    case 5:
        channel_cursor_pos(c, i, what, what, what & 0x40);
        break;
    case 6:
        update.pos.scanout_id = i;
        channel_cursor_update(c, &update);
        break;
    case 7:
        channel_blob_map(c, &(struct vgpu_channel_blob_map){ .serial = what }, dup(2));
        break;
    case 8:
        channel_blob_unmap(c, &(struct vgpu_channel_blob_unmap){ .serial = what });
        break;
    case 9:
        channel_adopted(c, &(struct vgpu_channel_adopted){ .lost = what });
        break;
    case 10:
        channel_judged(c, what & 0x40 ? "no" : NULL);
        break;
    case 11:
        channel_contexts(c, what >> 4);
        break;
    case 12:
        over |= !channel_write(c);
        break;
    default: {
        struct vgpu_channel_display_info info;
        struct vgpu_channel_edid edid;

        channel_display_info(c, &info);
        FUZZ_ASSERT(info.count && info.count <= VGPU_CHANNEL_MAX_SCANOUTS);
        FUZZ_ASSERT(!channel_edid(c, i, &edid) || edid.size <= VGPU_CHANNEL_EDID_MAX);
        channel_idle(c, i);
    }
    }
}

static void raw(Input *input)
{
    size_t size = input_byte(input);

    size = MIN(size, input->size);
    say(input->data, size, size & 1 ? 0 : size >> 6);
    input->data += size;
    input->size -= size;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

/* The real one is there as long as its process. */
static void channel_free(void)
{
    channel_drop_orders(c);
    for (unsigned i = 0; i < VGPU_CHANNEL_MAX_SCANOUTS; i++) {
        close_fd(c->scanout[i].shm_fd);
        g_free(c->scanout[i].cursor);
    }
    close_fd(c->fd);
    close_fd(c->in_fd);
    close_fd(c->out_fd);
    g_free(c->hello);
    g_free(c->judged);
    g_mutex_clear(&c->lock);
    g_free(c);
}

/* listens: QEMU does, to the end; else the last words may find no room in the socket. */
static void close_all(bool listens)
{
    if (listens) {
        hear(G_MAXSIZE);
    }
    if (!over) {
        channel_fatal(c, VGPU_FATAL_ERROR, "that was it");
    }
    hear(G_MAXSIZE);
    close(qemu);
    qemu = -1;
    channel_free();
    close_fd(in_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ChannelCallbacks callbacks = {
        .reset = on_reset,
        .window = on_window,
        .adopt = on_adopt,
        .save = on_save,
        .blob_done = on_blob_done,
        .wake_poll = nothing,
        .idle = nothing,
    };
    Input input = { data, size };
    unsigned before = fuzz_descriptors();
    int pair[2], small = 1;

    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)); /* it fills up */
    qemu = pair[0];
    over = hello = false;
    have = 0;
    in_fd = -1;
    memset(updates, 0, sizeof(updates));
    c = channel_new(pair[1], OUTPUTS, &callbacks);
    channel_hello(c, &(struct vgpu_channel_hello){ .version = VGPU_CHANNEL_VERSION });
    while (input.size && !over) {
        switch (input_byte(&input) % 5) {
        case 0:
            message(&input);
            break;
        case 1:
        case 2:
            act(&input);
            break;
        case 3:
            hear((size_t)input_byte(&input) * input_byte(&input));
            break;
        default:
            raw(&input);
        }
    }
    close_all(size % 2);
    FUZZ_ASSERT(fuzz_descriptors() == before);
    return 0;
}
