/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blobs and the window: made, mapped, shown, unmapped and given back in any order,
 * of each kind of memory, while QEMU maps them or has no memory for it, contexts
 * end, guest memory is unplugged and the guest is reset.  See device.h for what
 * must hold: QEMU is never asked for what it would end the connection for, and
 * what is charged is given back.
 *
 * The input: steps of a few bytes each.  Ids, places and sizes are few, so that
 * they meet.
 */
#include "device.h"

#define IDS      12
#define CONTEXTS 4
#define PAGE     4096u
#define LOSE     0x45534f4cu /* the null renderer then loses the context */

static uint64_t fences;

/* about: the id of a blob and of a context, and whether it is fenced. */
static struct virtio_gpu_ctrl_hdr header(uint32_t type, uint8_t about)
{
    return (struct virtio_gpu_ctrl_hdr){
        .type = type,
        .flags = about & 0x80 ? VIRTIO_GPU_FLAG_FENCE : 0,
        .fence_id = ++fences,
        .ctx_id = about / IDS % CONTEXTS,
    };
}

static uint32_t id(uint8_t about)
{
    return about % IDS + 1;
}

static void send(const void *request, size_t size)
{
    device_command(VHOST_QUEUE_CONTROL, request, size, 512, 0, 0);
}

/* Entries that are in guest memory, in the part that can be unplugged, or nowhere. */
static void create(uint8_t about, Input *in)
{
    uint8_t kind = input_byte(in), pages = input_byte(in), n = kind / 64;
    struct {
        struct virtio_gpu_resource_create_blob c;
        struct virtio_gpu_mem_entry entry[3];
    } r = {
        .c = {
            .hdr = header(VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, about),
            .resource_id = id(about),
            .blob_mem = kind % 4,
            .blob_flags = pages >> 5,
            .blob_id = kind / 4 % 8,
            .size = (uint64_t)(pages % 32) * PAGE - (kind / 32 % 2),
            .nr_entries = n,
        },
    };

    for (unsigned i = 0; i < n; i++) {
        uint8_t where = input_byte(in);

        r.entry[i].addr = (where & 0x80 ? DEVICE_PLUGGED : 0) + (where & 0x7f) * PAGE / 2;
        r.entry[i].length = (input_byte(in) % 33) * PAGE;
    }
    send(&r, sizeof(r.c) + n * sizeof(r.entry[0]));
}

static void map(uint8_t about, Input *in)
{
    struct virtio_gpu_resource_map_blob r = {
        .hdr = header(VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, about),
        .resource_id = id(about),
    };
    uint8_t place = input_byte(in);

    /* now and then past the end, or not on a page */
    r.offset = place < 250   ? (uint64_t)(place % 64) * PAGE
               : place < 253 ? DEVICE_WINDOW - PAGE
                             : place * 16ull;
    send(&r, sizeof(r));
}

/* UNREF, UNMAP, and what is of contexts and blobs */
static void simple(uint8_t about, uint32_t type)
{
    struct virtio_gpu_resource_unref r = {
        .hdr = header(type, about),
        .resource_id = id(about),
    };

    send(&r, sizeof(r));
}

static void context(uint8_t about, Input *in)
{
    struct virtio_gpu_ctx_create create = {
        .hdr = header(VIRTIO_GPU_CMD_CTX_CREATE, about),
        .context_init = input_byte(in) % 5, /* 4: venus, in another process */
    };
    struct virtio_gpu_ctrl_hdr destroy = header(VIRTIO_GPU_CMD_CTX_DESTROY, about);
    struct {
        struct virtio_gpu_cmd_submit submit;
        uint32_t word;
    } lose = { { header(VIRTIO_GPU_CMD_SUBMIT_3D, about), sizeof(uint32_t), 0 }, LOSE };

    switch (input_byte(in) % 4) {
    case 0:
        send(&destroy, sizeof(destroy));
        break;
    case 1:
        send(&lose, sizeof(lose.submit) + sizeof(lose.word));
        break;
    default:
        send(&create, sizeof(create));
    }
}

static void show(uint8_t about, Input *in)
{
    uint8_t side = input_byte(in) % 64 + 1, much = input_byte(in);
    struct virtio_gpu_set_scanout_blob set = {
        .hdr = header(VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, about),
        .r = { much & 1, much >> 1 & 1, side, side },
        .scanout_id = much % 4,
        .resource_id = much & 0x40 ? 0 : id(about),
        .width = side + (much >> 2 & 1),
        .height = side + 1,
        .format = much & 0x80 ? VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM : VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM,
        .strides = { 4 * side + (much & 0x38) },
        .offsets = { 4 * input_byte(in) },
    };
    struct virtio_gpu_resource_flush flush = {
        .hdr = header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, about),
        .r = { 0, 0, side / 2 + 1, side },
        .resource_id = id(about),
    };
    struct virtio_gpu_update_cursor cursor = {
        .hdr = header(VIRTIO_GPU_CMD_UPDATE_CURSOR, about & 0x7f),
        .pos = { .scanout_id = much % 4, .x = side },
        .resource_id = id(about),
    };

    if (much % 8 == 7) {
        device_command(VHOST_QUEUE_CURSOR, &cursor, sizeof(cursor), 24, 0, 0);
    } else if (much % 8 < 3) {
        send(&flush, sizeof(flush));
    } else {
        send(&set, sizeof(set));
    }
}

static void step(uint8_t what, Input *in)
{
    uint8_t about = input_byte(in);

    switch (what % 12) {
    case 0:
    case 1:
        create(about, in);
        break;
    case 2:
    case 3:
        map(about, in);
        break;
    case 4:
        simple(about, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB);
        break;
    case 5:
        simple(about, VIRTIO_GPU_CMD_RESOURCE_UNREF);
        break;
    case 6:
        context(about, in);
        break;
    case 7:
        show(about, in);
        break;
    case 8:
        simple(about, what & 16   ? VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE
                      : what & 32 ? VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE
                                  : VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING);
        break;
    case 9:
    case 10:
        device_qemu(about % 8 + 1, about & 0x80);
        break;
    default:
        if (about % 4 == 0) {
            device_reset();
        } else {
            device_plug(about & 4);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };

    device_begin(DEVICE_NULL, ~0ull);
    while (in.size) {
        step(input_byte(&in), &in);
    }
    device_end();
    return 0;
}
