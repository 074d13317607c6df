/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device-qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "vgpu/channel.h"

#define PAGE 4096u

typedef struct Message {
    struct vgpu_channel_hdr hdr;
    union {
        uint8_t bytes[VGPU_CHANNEL_MAX_PAYLOAD];
        struct vgpu_channel_cursor_pos pos;
        struct vgpu_channel_scanout scanout;
        struct vgpu_channel_shm_scanout shm;
        struct vgpu_channel_shm_update update;
        struct vgpu_channel_blob_map map;
        struct vgpu_channel_blob_unmap unmap;
    };
} Message;

typedef struct Map {
    uint64_t offset, size;
} Map;

static int end = -1;
static Message in;
static size_t have; /* bytes of its header and what follows */
static int in_fd = -1;
static uint32_t generation;
static GArray *maps; /* of Map */
static struct {
    uint32_t width, height; /* 0: off */
    bool outstanding;
} picture[DEVICE_OUTPUTS];

int qemu_connect(void)
{
    int pair[2];

    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    end = pair[0];
    maps = g_array_new(FALSE, FALSE, sizeof(Map));
    return pair[1];
}

void qemu_say(uint32_t request, const void *payload, uint32_t size)
{
    struct vgpu_channel_hdr hdr = { .request = request, .size = size };
    struct iovec iov[] = { { &hdr, sizeof(hdr) }, { (void *)payload, size } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    FUZZ_ASSERT(sendmsg(end, &msg, MSG_NOSIGNAL) == (ssize_t)(sizeof(hdr) + size));
}

void qemu_reset(uint32_t new_generation)
{
    generation = new_generation;
    g_array_set_size(maps, 0);
}

/* ---- what it wants of each message ---- */

/* Memory that cannot go away, of that size at least. */
static void check_memory(int fd, uint64_t offset, uint64_t size)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);

    FUZZ_ASSERT(seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0);
    FUZZ_ASSERT(offset % PAGE == 0 && offset <= (uint64_t)st.st_size);
    FUZZ_ASSERT(size <= ((uint64_t)st.st_size + PAGE - 1) / PAGE * PAGE - offset);
}

static void check_place(uint64_t offset, uint64_t size)
{
    FUZZ_ASSERT(offset % PAGE == 0 && size && size % PAGE == 0);
    FUZZ_ASSERT(offset <= DEVICE_WINDOW && size <= DEVICE_WINDOW - offset);
}

static void done(uint64_t serial, uint32_t status)
{
    struct vgpu_channel_blob_done answer = { .serial = serial, .status = status };

    qemu_say(VGPU_CHANNEL_BLOB_DONE, &answer, sizeof(answer));
}

static void hear_map(bool refuse)
{
    const struct vgpu_channel_blob_map *m = &in.map;
    Map new = { m->offset, m->size };

    if (m->generation != generation) {
        return;
    }
    FUZZ_ASSERT(m->flags == VGPU_BLOB_MAP_RW && maps->len < VGPU_CHANNEL_BLOB_MAPS);
    check_place(m->offset, m->size);
    check_memory(in_fd, m->fd_offset, m->size);
    for (guint i = 0; i < maps->len; i++) {
        const Map *old = &g_array_index(maps, Map, i);

        FUZZ_ASSERT(new.offset + new.size <= old->offset || old->offset + old->size <= new.offset);
    }
    if (!refuse) {
        g_array_append_val(maps, new);
    }
    done(m->serial, refuse ? VGPU_BLOB_NO_MEMORY : VGPU_BLOB_OK);
}

static void hear_unmap(void)
{
    const struct vgpu_channel_blob_unmap *m = &in.unmap;
    uint32_t status = VGPU_BLOB_NOT_MAPPED;

    if (m->generation != generation) {
        return;
    }
    FUZZ_ASSERT(!m->pad);
    check_place(m->offset, m->size);
    for (guint i = 0; i < maps->len; i++) {
        const Map *old = &g_array_index(maps, Map, i);

        if (m->offset < old->offset + old->size && old->offset < m->offset + m->size) {
            FUZZ_ASSERT(m->offset == old->offset && m->size == old->size);
            g_array_remove_index_fast(maps, i);
            status = VGPU_BLOB_OK;
            break;
        }
    }
    done(m->serial, status);
}

static void hear_picture(void)
{
    const struct vgpu_channel_shm_scanout *s = &in.shm;

    FUZZ_ASSERT(s->scanout_id < DEVICE_OUTPUTS && !s->pad);
    FUZZ_ASSERT(s->width && s->width <= VGPU_MAX_SIZE && s->height && s->height <= VGPU_MAX_SIZE);
    FUZZ_ASSERT(s->stride % 4 == 0 && s->stride / 4 >= s->width);
    check_memory(in_fd, s->offset, (uint64_t)s->stride * s->height);
    picture[s->scanout_id].width = s->width;
    picture[s->scanout_id].height = s->height;
    picture[s->scanout_id].outstanding = false;
}

static void hear_update(void)
{
    const struct vgpu_channel_shm_update *u = &in.update;
    struct vgpu_channel_update_done answer = { u->scanout_id, u->serial };

    FUZZ_ASSERT(u->scanout_id < DEVICE_OUTPUTS && u->width && u->height);
    FUZZ_ASSERT(span_within(u->x, u->width, picture[u->scanout_id].width));
    FUZZ_ASSERT(span_within(u->y, u->height, picture[u->scanout_id].height));
    qemu_say(VGPU_CHANNEL_UPDATE_DONE, &answer, sizeof(answer));
}

static void hear_scanout(void)
{
    FUZZ_ASSERT(in.scanout.scanout_id < DEVICE_OUTPUTS && !in.scanout.width && !in.scanout.height);
    picture[in.scanout.scanout_id].width = picture[in.scanout.scanout_id].height = 0;
}

static void hear_pointer(void)
{
    FUZZ_ASSERT(in.pos.scanout_id < DEVICE_OUTPUTS);
}

static void hear_nothing(void)
{
}

static const struct {
    uint32_t request, size;
    bool fd;
    void (*hear)(void);
} rules[] = {
    { VGPU_CHANNEL_CURSOR_POS, sizeof(struct vgpu_channel_cursor_pos), false, hear_pointer },
    { VGPU_CHANNEL_CURSOR_POS_HIDE, sizeof(struct vgpu_channel_cursor_pos), false, hear_pointer },
    { VGPU_CHANNEL_CURSOR_UPDATE, sizeof(struct vgpu_channel_cursor_update), false, hear_pointer },
    { VGPU_CHANNEL_SCANOUT, sizeof(struct vgpu_channel_scanout), false, hear_scanout },
    { VGPU_CHANNEL_HELLO, sizeof(struct vgpu_channel_hello), false, hear_nothing },
    { VGPU_CHANNEL_SHM_SCANOUT, sizeof(struct vgpu_channel_shm_scanout), true, hear_picture },
    { VGPU_CHANNEL_SHM_UPDATE, sizeof(struct vgpu_channel_shm_update), false, hear_update },
    { VGPU_CHANNEL_PONG, sizeof(struct vgpu_channel_ping), false, hear_nothing },
    { VGPU_CHANNEL_BLOB_MAP, sizeof(struct vgpu_channel_blob_map), true, NULL },
    { VGPU_CHANNEL_BLOB_UNMAP, sizeof(struct vgpu_channel_blob_unmap), false, hear_unmap },
    { VGPU_CHANNEL_ADOPTED, sizeof(struct vgpu_channel_adopted), false, hear_nothing },
    { VGPU_CHANNEL_CONTEXTS, sizeof(struct vgpu_channel_contexts), false, hear_nothing },
    { VGPU_CHANNEL_JUDGED, sizeof(struct vgpu_channel_judged), false, hear_nothing },
};

/* Reads towards want bytes of the message. */
static bool fill(size_t want)
{
    while (have < want) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = { have < sizeof(in.hdr) ? (uint8_t *)&in.hdr + have
                                                   : in.bytes + (have - sizeof(in.hdr)),
                             want - have };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(end, &msg, MSG_CMSG_CLOEXEC);

        if (n < 0 && errno == EAGAIN) {
            return false;
        }
        FUZZ_ASSERT(n > 0 && !(msg.msg_flags & MSG_CTRUNC));
        if (CMSG_FIRSTHDR(&msg)) {
            FUZZ_ASSERT(!have && in_fd < 0); /* with the first byte of its message */
            memcpy(&in_fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(in_fd));
        }
        have += (size_t)n;
    }
    return true;
}

bool qemu_hear(bool refuse)
{
    unsigned i = 0;

    if (!fill(sizeof(in.hdr))) {
        return false;
    }
    while (i < G_N_ELEMENTS(rules) && rules[i].request != in.hdr.request) {
        i++;
    }
    FUZZ_ASSERT(i < G_N_ELEMENTS(rules) && rules[i].size == in.hdr.size && !in.hdr.flags);
    FUZZ_ASSERT(rules[i].fd == (in_fd >= 0));
    if (!fill(sizeof(in.hdr) + in.hdr.size)) {
        return false;
    }
    if (rules[i].hear) {
        rules[i].hear();
    } else {
        hear_map(refuse);
    }
    if (in_fd >= 0) {
        close(in_fd);
        in_fd = -1;
    }
    have = 0;
    return true;
}
