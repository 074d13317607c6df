/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every command, in every wrong size.  A truncated request is an error, one
 * with bytes after its end is answered (by ours with an error: a request has the
 * size of its struct), and the response buffer is never overrun.  These tests
 * know nothing of what a command does.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"

typedef struct Command {
    uint32_t type, size;
} Command;

#define COMMAND(type, s) { VIRTIO_GPU_CMD_##type, sizeof(struct virtio_gpu_##s) }

static const Command commands[] = {
    COMMAND(GET_DISPLAY_INFO, ctrl_hdr),
    COMMAND(RESOURCE_CREATE_2D, resource_create_2d),
    COMMAND(RESOURCE_UNREF, resource_unref),
    COMMAND(SET_SCANOUT, set_scanout),
    COMMAND(RESOURCE_FLUSH, resource_flush),
    COMMAND(TRANSFER_TO_HOST_2D, transfer_to_host_2d),
    COMMAND(RESOURCE_ATTACH_BACKING, resource_attach_backing),
    COMMAND(RESOURCE_DETACH_BACKING, resource_detach_backing),
    COMMAND(GET_CAPSET_INFO, get_capset_info),
    COMMAND(GET_CAPSET, get_capset),
    COMMAND(GET_EDID, cmd_get_edid),
    COMMAND(RESOURCE_ASSIGN_UUID, resource_assign_uuid),
    COMMAND(RESOURCE_CREATE_BLOB, resource_create_blob),
    COMMAND(SET_SCANOUT_BLOB, set_scanout_blob),
    COMMAND(CTX_CREATE, ctx_create),
    COMMAND(CTX_DESTROY, ctx_destroy),
    COMMAND(CTX_ATTACH_RESOURCE, ctx_resource),
    COMMAND(CTX_DETACH_RESOURCE, ctx_resource),
    COMMAND(RESOURCE_CREATE_3D, resource_create_3d),
    COMMAND(TRANSFER_TO_HOST_3D, transfer_host_3d),
    COMMAND(TRANSFER_FROM_HOST_3D, transfer_host_3d),
    COMMAND(SUBMIT_3D, cmd_submit),
    COMMAND(RESOURCE_MAP_BLOB, resource_map_blob),
    COMMAND(RESOURCE_UNMAP_BLOB, resource_unmap_blob),
};

/* The header says what it is; all else are 1s, which no id or size is here. */
static void fill(const Command *c, uint8_t *req, uint8_t byte)
{
    struct virtio_gpu_ctrl_hdr hdr = { .type = c->type, .ctx_id = byte };

    memset(req, byte, 4096);
    memcpy(req, &hdr, sizeof(hdr));
}

static void truncated(Gpu *g)
{
    uint8_t req[4096];
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(commands); i++) {
        const Command *c = &commands[i];
        uint32_t size;

        fill(c, req, 1);
        for (size = sizeof(struct virtio_gpu_ctrl_hdr); size < c->size; size += 4) {
            uint32_t type = gpu_do(g, req, size);

            if (type < VIRTIO_GPU_RESP_ERR_UNSPEC) {
                g_test_message("command 0x%x, %u of %u bytes", c->type, size, c->size);
            }
            gpu_expect(g, type, GPU_ANY_ERROR);
        }
    }
}

static void header_only(Gpu *g)
{
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(commands); i++) {
        struct virtio_gpu_ctrl_hdr hdr = { .type = commands[i].type };
        uint32_t type = gpu_do(g, &hdr, sizeof(hdr));

        if (commands[i].size > sizeof(hdr)) {
            gpu_expect(g, type, GPU_ANY_ERROR);
        } else {
            /* no context 0, and no room for what GET_DISPLAY_INFO answers */
            gpu_expect_ours(g, type, GPU_ANY_ERROR);
        }
    }
}

static void too_long(Gpu *g)
{
    uint8_t req[4096];
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(commands); i++) {
        fill(&commands[i], req, 1);
        gpu_expect_ours(g, gpu_do(g, req, commands[i].size + 1), GPU_ANY_ERROR);
        gpu_expect_ours(g, gpu_do(g, req, sizeof(req)), GPU_ANY_ERROR);
    }
}

static void all_bytes(Gpu *g, uint8_t byte)
{
    uint8_t req[4096];
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(commands); i++) {
        bool scanout = commands[i].type == VIRTIO_GPU_CMD_SET_SCANOUT ||
                       commands[i].type == VIRTIO_GPU_CMD_SET_SCANOUT_BLOB;

        fill(&commands[i], req, byte);
        /* all zeroes switch scanout 0 off; all else has an id or a size that is none */
        gpu_expect_ours(g, gpu_do(g, req, commands[i].size),
                        !byte && scanout ? VIRTIO_GPU_RESP_OK_NODATA : GPU_ANY_ERROR);
    }
}

static void all_zeroes(Gpu *g)
{
    all_bytes(g, 0);
}

static void all_ones(Gpu *g)
{
    all_bytes(g, 0xff);
}

static void response_too_small(Gpu *g)
{
    uint8_t req[4096];
    unsigned i, room;

    for (i = 0; i < G_N_ELEMENTS(commands); i++) {
        fill(&commands[i], req, 1);
        for (room = 1; room < 24; room += 11) {
            uint16_t head = gpu_send(g, GPU_CTRL, req, commands[i].size, NULL, 0, room);
            uint32_t used, len;

            g_assert_true(gpu_wait(g, GPU_CTRL, &used, &len, GPU_TIMEOUT_MS));
            g_assert_cmpuint(used, ==, head);
            g_assert_cmpuint(len, <=, room);
            g_assert_cmphex(qtest_readb(g->vm->qts, gpu_response(g, GPU_CTRL, head) + room), ==, 0xee);
        }
    }
}

/* A fixed seed: what fails once fails again. */
static void random_fields(Gpu *g)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(0x76677075);
    uint8_t req[4096];
    unsigned i, n, j;

    for (n = 0; n < 60; n++) {
        for (i = 0; i < G_N_ELEMENTS(commands); i++) {
            uint32_t *words = (uint32_t *)req;

            fill(&commands[i], req, 0);
            words[1] = g_rand_int_range(rand, 0, 4); /* flags */
            words[4] = g_rand_int_range(rand, 0, 3); /* ctx_id */
            for (j = 6; j < commands[i].size / 4; j++) {
                switch (g_rand_int_range(rand, 0, 4)) {
                case 0:
                    words[j] = g_rand_int_range(rand, 0, 5);
                    break;
                case 1:
                    words[j] = 1u << g_rand_int_range(rand, 0, 32);
                    break;
                case 2:
                    words[j] = UINT32_MAX - g_rand_int_range(rand, 0, 3);
                    break;
                default:
                    words[j] = g_rand_int(rand);
                    break;
                }
            }
            gpu_expect(g, gpu_do(g, req, commands[i].size), GPU_ANY_ANSWER);
        }
    }
}

const GpuCase cases_sizes[] = {
    { "sizes/truncated", truncated },         { "sizes/header-only", header_only },
    { "sizes/too-long", too_long },           { "sizes/all-zeroes", all_zeroes },
    { "sizes/all-ones", all_ones },           { "sizes/response-too-small", response_too_small },
    { "sizes/random-fields", random_fields }, { NULL }
};
