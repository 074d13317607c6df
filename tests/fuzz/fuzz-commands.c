/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue's decoder, and the cursor and submit queues': any request, in
 * any pieces, with room for its answer or not, in any order, while guest memory
 * comes and goes and QEMU answers, or not.  See device.h for what must hold.
 *
 * The input: renderer and features, then steps.  A step is a byte that says which
 * command (or what else happens) and one how; the command's words follow, most
 * of them of one byte (input.h).
 */
#include "device.h"
#include "vgpu/virtio.h"

#define HEADER (sizeof(struct virtio_gpu_ctrl_hdr))

enum {
    HOW_FENCE = 1,  /* fenced */
    HOW_RING = 2,   /* and of a ring of its context */
    HOW_SIZE = 4,   /* of another size than it should be */
    HOW_ROOM = 8,   /* little room for its answer */
    HOW_CUT = 16,   /* in pieces */
    HOW_QUEUE = 32, /* on another queue */
    HOW_AGAIN = 64, /* a lost renderer had it */
    HOW_COUNT = 128 /* says itself how much follows it, rightly or not */
};

#define ON(queue, type, body, data) { VIRTIO_GPU_CMD_##type, sizeof(struct body), queue, data }

static const struct {
    uint32_t type;
    uint32_t size;
    unsigned queue;
    enum { NO_DATA, ENTRIES, STREAM } data;
} commands[] = {
    ON(0, GET_DISPLAY_INFO, virtio_gpu_ctrl_hdr, NO_DATA),
    ON(0, RESOURCE_CREATE_2D, virtio_gpu_resource_create_2d, NO_DATA),
    ON(0, RESOURCE_UNREF, virtio_gpu_resource_unref, NO_DATA),
    ON(0, SET_SCANOUT, virtio_gpu_set_scanout, NO_DATA),
    ON(0, RESOURCE_FLUSH, virtio_gpu_resource_flush, NO_DATA),
    ON(0, TRANSFER_TO_HOST_2D, virtio_gpu_transfer_to_host_2d, NO_DATA),
    ON(0, RESOURCE_ATTACH_BACKING, virtio_gpu_resource_attach_backing, ENTRIES),
    ON(0, RESOURCE_DETACH_BACKING, virtio_gpu_resource_detach_backing, NO_DATA),
    ON(0, GET_CAPSET_INFO, virtio_gpu_get_capset_info, NO_DATA),
    ON(0, GET_CAPSET, virtio_gpu_get_capset, NO_DATA),
    ON(0, GET_EDID, virtio_gpu_cmd_get_edid, NO_DATA),
    ON(0, RESOURCE_ASSIGN_UUID, virtio_gpu_resource_assign_uuid, NO_DATA),
    ON(0, RESOURCE_CREATE_BLOB, virtio_gpu_resource_create_blob, ENTRIES),
    ON(0, SET_SCANOUT_BLOB, virtio_gpu_set_scanout_blob, NO_DATA),
    ON(0, CTX_CREATE, virtio_gpu_ctx_create, NO_DATA),
    ON(0, CTX_DESTROY, virtio_gpu_ctx_destroy, NO_DATA),
    ON(0, CTX_ATTACH_RESOURCE, virtio_gpu_ctx_resource, NO_DATA),
    ON(0, CTX_DETACH_RESOURCE, virtio_gpu_ctx_resource, NO_DATA),
    ON(0, RESOURCE_CREATE_3D, virtio_gpu_resource_create_3d, NO_DATA),
    ON(0, TRANSFER_TO_HOST_3D, virtio_gpu_transfer_host_3d, NO_DATA),
    ON(0, TRANSFER_FROM_HOST_3D, virtio_gpu_transfer_host_3d, NO_DATA),
    ON(0, SUBMIT_3D, virtio_gpu_cmd_submit, STREAM),
    ON(0, RESOURCE_MAP_BLOB, virtio_gpu_resource_map_blob, NO_DATA),
    ON(0, RESOURCE_UNMAP_BLOB, virtio_gpu_resource_unmap_blob, NO_DATA),
    ON(1, UPDATE_CURSOR, virtio_gpu_update_cursor, NO_DATA),
    ON(1, MOVE_CURSOR, virtio_gpu_update_cursor, NO_DATA),
    { VGPU_CMD_SUBMIT, HEADER + sizeof(struct vgpu_submit), 2, STREAM },
    { VGPU_CMD_WAIT, HEADER + sizeof(struct vgpu_wait), 0, NO_DATA },
};

/* Where a command with data says how much. */
static size_t count_at(uint32_t type)
{
    switch (type) {
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
        return offsetof(struct virtio_gpu_resource_create_blob, nr_entries);
    case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
        return offsetof(struct virtio_gpu_resource_attach_backing, nr_entries);
    case VGPU_CMD_SUBMIT:
        return HEADER + offsetof(struct vgpu_submit, size);
    default:
        return offsetof(struct virtio_gpu_cmd_submit, size);
    }
}

/* Words of the input. */
static void append(GByteArray *request, Input *in, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint32_t w = input_word(in);

        g_byte_array_append(request, (const uint8_t *)&w, sizeof(w));
    }
}

static void append_data(GByteArray *request, Input *in, unsigned command, bool counted)
{
    uint8_t n = input_byte(in);
    uint32_t count = commands[command].data == ENTRIES ? n % 9 : n % 33 * 4;

    if (commands[command].data == ENTRIES) {
        for (uint32_t i = 0; i < count; i++) {
            struct virtio_gpu_mem_entry e = { .addr = input_word(in), .length = input_word(in) };

            g_byte_array_append(request, (const uint8_t *)&e, sizeof(e));
        }
    } else {
        append(request, in, count / 4);
    }
    if (!counted) {
        memcpy(request->data + count_at(commands[command].type), &count, sizeof(count));
    }
}

static void command(Input *in, unsigned which)
{
    static uint64_t fences;
    uint8_t how = input_byte(in);
    struct virtio_gpu_ctrl_hdr hdr = {
        .type = commands[which].type,
        .flags = (how & HOW_FENCE ? VIRTIO_GPU_FLAG_FENCE : 0) |
                 (how & HOW_RING ? VIRTIO_GPU_FLAG_INFO_RING_IDX : 0),
        .fence_id = ++fences,
        .ctx_id = input_word(in),
        .ring_idx = how & HOW_RING ? input_byte(in) : 0,
    };
    g_autoptr(GByteArray) request = g_byte_array_new();
    unsigned queue = how & HOW_QUEUE ? input_byte(in) % VHOST_QUEUES : commands[which].queue;
    size_t room = how & HOW_ROOM ? input_byte(in) : 2048;
    uint8_t cut = how & HOW_CUT ? input_byte(in) : 0;

    g_byte_array_append(request, (const uint8_t *)&hdr, sizeof(hdr));
    append(request, in, (commands[which].size - HEADER) / 4);
    if (commands[which].data != NO_DATA) {
        append_data(request, in, which, how & HOW_COUNT);
    }
    if (how & HOW_SIZE) {
        g_byte_array_set_size(request, input_word(in) % (request->len + 64));
    }
    device_command(queue, request->data, request->len, room, cut, how & HOW_AGAIN ? 1 + (how & 1) : 0);
}

/* Whatever else happens. */
static void event(Input *in, uint8_t what)
{
    switch (what % 8) {
    case 0:
        device_qemu(input_byte(in), false);
        break;
    case 1:
        device_qemu(1, true);
        break;
    case 2:
        device_reset();
        break;
    case 3:
        device_plug(false);
        break;
    case 4:
        device_plug(true);
        break;
    case 5: {
        struct vgpu_channel_edid edid = { .scanout_id = input_byte(in) % 16, .size = 128 };

        device_channel(VGPU_CHANNEL_EDID, &edid, sizeof(edid));
        break;
    }
    case 6: {
        struct vgpu_channel_ping ping = { .cookie = input_byte(in) };

        device_channel(VGPU_CHANNEL_PING, &ping, sizeof(ping));
        break;
    }
    default: { /* of whatever type */
        uint32_t words[16];

        for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
            words[i] = input_word(in);
        }
        device_command(what / 8 % VHOST_QUEUES, words, input_byte(in) % (sizeof(words) + 1), 256, 0, 0);
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };
    uint8_t kind = input_byte(&in);

    /* bits 0 to 4 and the extension's: all but what the byte takes away */
    device_begin(kind & 1 ? DEVICE_2D : DEVICE_NULL,
                 ~(uint64_t)(kind >> 3) & (0x1full | 0x1full << VGPU_F_EXTENSION));
    while (in.size) {
        uint8_t what = input_byte(&in);

        if (what < 8 * G_N_ELEMENTS(commands)) {
            command(&in, what % G_N_ELEMENTS(commands));
        } else {
            event(&in, what);
        }
    }
    device_end();
    return 0;
}
