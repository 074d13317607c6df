/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device is given the recorded requests with new memory behind them: each
 * backing gets a place of its own in the VM's RAM, and answers are not looked at
 * but for being errors.  A command goes onto the ring when there is room; what
 * it reads in guest memory must stay until it was answered, so before a piece of
 * memory is written that a command in flight may read, all answers are awaited.
 */
#include "qemu/osdep.h"
#include "bench-replay.h"
#include "bench-figures.h"
#include "qemu/units.h"
#include "vgpu/recording.h"

#define VIRGL_TRANSFER3D      43 /* in a stream: reads or writes backings */
#define VIRGL_COPY_TRANSFER3D 45

typedef struct Backing {
    uint64_t addr, size;
    bool busy; /* a command that may read it is in flight */
} Backing;

typedef struct Replay {
    Ring *r;
    GHashTable *backings; /* resource id -> Backing */
    uint64_t next, end;   /* guest memory to give out */
    BenchReplay result;
} Replay;

static void give_up(const char *what)
{
    fprintf(stderr, "the recording cannot be played: %s\n", what);
    exit(1);
}

static Backing *backing_of(Replay *p, uint32_t id)
{
    return g_hash_table_lookup(p->backings, GUINT_TO_POINTER(id));
}

/* Not returned when it goes: recordings are short, and zeroed memory is wanted. */
static Backing *backing_new(Replay *p, uint32_t id, uint64_t size)
{
    Backing *b = g_new0(Backing, 1);

    size = QEMU_ALIGN_UP(size, 4096);
    if (size > p->end - p->next) {
        give_up("its resources need more memory than this VM has");
    }
    b->addr = p->next;
    b->size = size;
    p->next += size;
    g_hash_table_insert(p->backings, GUINT_TO_POINTER(id), b);
    return b;
}

static void used_by_last(Replay *p, uint32_t id)
{
    Backing *b = backing_of(p, id);

    if (b) {
        b->busy = true;
    }
}

static void write_memory(Replay *p, const struct vgpu_recording_memory *m, const uint8_t *data, uint32_t size)
{
    Backing *b = backing_of(p, m->resource_id);

    if (!b || m->offset > b->size || size > b->size - m->offset) {
        return;
    }
    if (b->busy) {
        ring_wait(p->r, 0);
        b->busy = false;
    }
    memcpy(p->r->ram + b->addr + m->offset, data, size);
}

static void stream_uses(Replay *p, const uint8_t *data, uint32_t size)
{
    uint32_t count = size / 4, at = 0, header, id;

    while (at < count) {
        memcpy(&header, data + at * 4ull, 4);
        if (header >> 16 >= count - at) {
            return;
        }
        if ((header & 0xff) == VIRGL_TRANSFER3D && header >> 16 >= 1) {
            memcpy(&id, data + (at + 1) * 4ull, 4);
            used_by_last(p, id);
        } else if ((header & 0xff) == VIRGL_COPY_TRANSFER3D && header >> 16 >= 12) {
            memcpy(&id, data + (at + 12) * 4ull, 4);
            used_by_last(p, id);
        }
        at += 1 + (header >> 16);
    }
}

static void play_attach(Replay *p, const uint8_t *data, uint64_t size)
{
    struct {
        struct virtio_gpu_resource_attach_backing req;
        struct virtio_gpu_mem_entry entry;
    } attach;
    Backing *b;

    memcpy(&attach.req, data, sizeof(attach.req));
    attach.req.nr_entries = 1;
    b = backing_new(p, attach.req.resource_id, size);
    attach.entry = (struct virtio_gpu_mem_entry){ .addr = b->addr, .length = size };
    ring_push(p->r, &attach.req.hdr, sizeof(attach), NULL, 0, attach.req.hdr.flags & VIRTIO_GPU_FLAG_FENCE);
}

static void play(Replay *p, const struct vgpu_recording_command *c, const uint8_t *data, uint32_t size)
{
    struct virtio_gpu_ctrl_hdr hdr;
    struct virtio_gpu_cmd_submit submit;
    uint32_t id = 0;

    if (c->queue != GPU_CTRL || size < sizeof(hdr)) {
        return;
    }
    memcpy(&hdr, data, sizeof(hdr));
    if (size >= sizeof(hdr) + 4) {
        memcpy(&id, data + sizeof(hdr), 4);
    }
    p->result.commands++;
    if (hdr.type == VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING &&
        size >= sizeof(struct virtio_gpu_resource_attach_backing)) {
        play_attach(p, data, c->backing_size);
    } else if (hdr.type == VIRTIO_GPU_CMD_SUBMIT_3D && size >= sizeof(submit)) {
        memcpy(&submit, data, sizeof(submit));
        ring_push(p->r, &submit.hdr, sizeof(submit), data + sizeof(submit), size - sizeof(submit),
                  hdr.flags & VIRTIO_GPU_FLAG_FENCE);
        stream_uses(p, data + sizeof(submit), size - sizeof(submit));
    } else {
        uint8_t copy[512];

        g_assert_cmpuint(size, <=, sizeof(copy));
        memcpy(copy, data, size);
        ring_push(p->r, (struct virtio_gpu_ctrl_hdr *)copy, size, NULL, 0, hdr.flags & VIRTIO_GPU_FLAG_FENCE);
        if (hdr.type == VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D) {
            used_by_last(p, ((struct virtio_gpu_transfer_to_host_2d *)copy)->resource_id);
        } else if (hdr.type == VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D) {
            used_by_last(p, ((struct virtio_gpu_transfer_host_3d *)copy)->resource_id);
        } else if (hdr.type == VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING ||
                   hdr.type == VIRTIO_GPU_CMD_RESOURCE_UNREF) {
            g_hash_table_remove(p->backings, GUINT_TO_POINTER(id));
        }
    }
    ring_kick(p->r);
}

BenchReplay bench_replay(Ring *r, const char *path)
{
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, false, NULL);
    const uint8_t *bytes = file ? (uint8_t *)g_mapped_file_get_contents(file) : NULL;
    size_t length = file ? g_mapped_file_get_length(file) : 0, at = sizeof(struct vgpu_recording_head);
    Replay p = { .r = r, .backings = g_hash_table_new_full(NULL, NULL, NULL, g_free) };
    int64_t start;

    if (length < at || memcmp(bytes, VGPU_RECORDING_MAGIC, 8) != 0) {
        give_up("it is none, or still packed");
    }
    /* the upper half is nobody's: see vm_alloc() */
    p.next = GPU_RAM / 4;
    p.end = GPU_RAM - 16 * MiB;
    start = bench_now_ns();
    while (length - at >= sizeof(struct vgpu_recording_entry)) {
        const struct vgpu_recording_entry *e = (const void *)(bytes + at);
        const uint8_t *payload = bytes + at + sizeof(*e);

        at += sizeof(*e) + QEMU_ALIGN_UP((size_t)e->size, 8);
        if (at > length) {
            break;
        }
        if (e->kind == VGPU_RECORDING_MEMORY && e->size >= sizeof(struct vgpu_recording_memory)) {
            write_memory(&p, (const void *)payload, payload + sizeof(struct vgpu_recording_memory),
                         e->size - sizeof(struct vgpu_recording_memory));
        } else if (e->kind == VGPU_RECORDING_COMMAND && e->size >= sizeof(struct vgpu_recording_command)) {
            play(&p, (const void *)payload, payload + sizeof(struct vgpu_recording_command),
                 e->size - sizeof(struct vgpu_recording_command));
        }
    }
    ring_wait(r, 0);
    p.result.seconds = (bench_now_ns() - start) / 1e9;
    p.result.refused = r->errors;
    g_hash_table_destroy(p.backings);
    return p.result;
}
