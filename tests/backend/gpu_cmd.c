/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gpu_cmd.h"

#include <string.h>

#define HDR(t) { .hdr.type = VIRTIO_GPU_CMD_##t }

uint32_t gpu_response(const Pending *p)
{
    struct virtio_gpu_ctrl_hdr h = { 0 };

    if (p && p->done && p->in_len >= sizeof(h)) {
        memcpy(&h, ram_ptr(p->f->ram, p->in_gpa), sizeof(h));
    }
    return h.type;
}

void gpu_response_copy(const Pending *p, void *resp, uint32_t size)
{
    memset(resp, 0, size);
    if (p && p->done) {
        memcpy(resp, ram_ptr(p->f->ram, p->in_gpa), MIN(size, MIN(p->in_len, p->used_len)));
    }
}

uint32_t gpu_run(Frontend *f, const void *cmd, uint32_t size, const void *data, uint32_t data_size,
                 void *resp, uint32_t resp_size)
{
    uint32_t in = resp ? resp_size : sizeof(struct virtio_gpu_ctrl_hdr), type;
    g_autoptr(Pending) p = frontend_send(f, CONTROL, cmd, size, data, data_size, in);

    if (resp) {
        memset(resp, 0, resp_size);
    }
    if (f->dead) {
        return 0;
    }
    if (!p || !frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE)) {
        uint32_t told = 0;

        memcpy(&told, cmd, MIN(size, 4));
        frontend_fail(f, "command 0x%x was not answered", told);
        return 0;
    }
    type = gpu_response(p);
    if (p->used_len > in ||
        (in >= sizeof(struct virtio_gpu_ctrl_hdr) && p->used_len < sizeof(struct virtio_gpu_ctrl_hdr))) {
        g_test_fail_printf("response 0x%x: used length %u of a buffer of %u bytes", type, p->used_len, in);
    }
    if (resp) {
        gpu_response_copy(p, resp, resp_size);
    }
    return type;
}

uint32_t gpu_create_2d(Frontend *f, uint32_t id, uint32_t format, uint32_t w, uint32_t h)
{
    struct virtio_gpu_resource_create_2d c = HDR(RESOURCE_CREATE_2D);

    c.resource_id = id;
    c.format = format;
    c.width = w;
    c.height = h;
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_unref(Frontend *f, uint32_t id)
{
    struct virtio_gpu_resource_unref c = HDR(RESOURCE_UNREF);

    c.resource_id = id;
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_attach_lie(Frontend *f, uint32_t id, uint32_t told, const struct virtio_gpu_mem_entry *e,
                        uint32_t n)
{
    struct virtio_gpu_resource_attach_backing c = HDR(RESOURCE_ATTACH_BACKING);

    c.resource_id = id;
    c.nr_entries = told;
    return gpu_run(f, &c, sizeof(c), n ? e : NULL, n * sizeof(*e), NULL, 0);
}

uint32_t gpu_attach(Frontend *f, uint32_t id, const struct virtio_gpu_mem_entry *e, uint32_t n)
{
    return gpu_attach_lie(f, id, n, e, n);
}

uint32_t gpu_attach_one(Frontend *f, uint32_t id, uint64_t gpa, uint32_t len)
{
    struct virtio_gpu_mem_entry e = { .addr = gpa, .length = len };

    return gpu_attach(f, id, &e, 1);
}

uint32_t gpu_detach(Frontend *f, uint32_t id)
{
    struct virtio_gpu_resource_detach_backing c = HDR(RESOURCE_DETACH_BACKING);

    c.resource_id = id;
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_set_scanout(Frontend *f, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y, uint32_t w,
                         uint32_t h)
{
    struct virtio_gpu_set_scanout c = HDR(SET_SCANOUT);

    c.scanout_id = scanout;
    c.resource_id = id;
    c.r = (struct virtio_gpu_rect){ x, y, w, h };
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_flush(Frontend *f, uint32_t id, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    struct virtio_gpu_resource_flush c = HDR(RESOURCE_FLUSH);

    c.resource_id = id;
    c.r = (struct virtio_gpu_rect){ x, y, w, h };
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_transfer_2d(Frontend *f, uint32_t id, uint64_t offset, uint32_t x, uint32_t y, uint32_t w,
                         uint32_t h)
{
    struct virtio_gpu_transfer_to_host_2d c = HDR(TRANSFER_TO_HOST_2D);

    c.resource_id = id;
    c.offset = offset;
    c.r = (struct virtio_gpu_rect){ x, y, w, h };
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_display_info(Frontend *f, struct virtio_gpu_resp_display_info *info)
{
    struct virtio_gpu_ctrl_hdr c = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };

    return gpu_run(f, &c, sizeof(c), NULL, 0, info, sizeof(*info));
}

uint32_t gpu_edid(Frontend *f, uint32_t scanout, struct virtio_gpu_resp_edid *edid)
{
    struct virtio_gpu_cmd_get_edid c = HDR(GET_EDID);

    c.scanout = scanout;
    return gpu_run(f, &c, sizeof(c), NULL, 0, edid, sizeof(*edid));
}

uint32_t gpu_uuid(Frontend *f, uint32_t id, struct virtio_gpu_resp_resource_uuid *uuid)
{
    struct virtio_gpu_resource_assign_uuid c = HDR(RESOURCE_ASSIGN_UUID);

    c.resource_id = id;
    return gpu_run(f, &c, sizeof(c), NULL, 0, uuid, sizeof(*uuid));
}

uint32_t gpu_capset_info(Frontend *f, uint32_t index, struct virtio_gpu_resp_capset_info *info)
{
    struct virtio_gpu_get_capset_info c = HDR(GET_CAPSET_INFO);

    c.capset_index = index;
    return gpu_run(f, &c, sizeof(c), NULL, 0, info, sizeof(*info));
}

uint32_t gpu_capset(Frontend *f, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    struct virtio_gpu_get_capset c = HDR(GET_CAPSET);
    g_autofree uint8_t *resp = g_malloc0(sizeof(struct virtio_gpu_ctrl_hdr) + size);
    uint32_t type;

    c.capset_id = id;
    c.capset_version = version;
    type = gpu_run(f, &c, sizeof(c), NULL, 0, resp, sizeof(struct virtio_gpu_ctrl_hdr) + size);
    memcpy(data, resp + sizeof(struct virtio_gpu_ctrl_hdr), size);
    return type;
}

bool gpu_find_capset(Frontend *f, uint32_t id, struct virtio_gpu_resp_capset_info *info)
{
    for (uint32_t i = 0; i < f->hello.num_capsets && i < 16; i++) {
        if (gpu_capset_info(f, i, info) == VIRTIO_GPU_RESP_OK_CAPSET_INFO && info->capset_id == id) {
            return true;
        }
    }
    return false;
}

uint32_t gpu_context_create(Frontend *f, uint32_t ctx, uint32_t capset)
{
    struct virtio_gpu_ctx_create c = HDR(CTX_CREATE);

    c.hdr.ctx_id = ctx;
    c.context_init = capset;
    c.nlen = g_snprintf(c.debug_name, sizeof(c.debug_name), "ctx%u", ctx);
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_context_destroy(Frontend *f, uint32_t ctx)
{
    struct virtio_gpu_ctx_destroy c = HDR(CTX_DESTROY);

    c.hdr.ctx_id = ctx;
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

static uint32_t context_resource(Frontend *f, uint32_t type, uint32_t ctx, uint32_t id)
{
    struct virtio_gpu_ctx_resource c = { .hdr.type = type, .hdr.ctx_id = ctx, .resource_id = id };

    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_context_attach(Frontend *f, uint32_t ctx, uint32_t id)
{
    return context_resource(f, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, ctx, id);
}

uint32_t gpu_context_detach(Frontend *f, uint32_t ctx, uint32_t id)
{
    return context_resource(f, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, ctx, id);
}

uint32_t gpu_create_3d(Frontend *f, uint32_t ctx, const struct virtio_gpu_resource_create_3d *shape)
{
    struct virtio_gpu_resource_create_3d c = *shape;

    c.hdr = (struct virtio_gpu_ctrl_hdr){ .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, .ctx_id = ctx };
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_create_texture(Frontend *f, uint32_t id, uint32_t format, uint32_t w, uint32_t h)
{
    struct virtio_gpu_resource_create_3d c = {
        .resource_id = id,
        .target = 2 /* PIPE_TEXTURE_2D */,
        .format = format,
        .bind = 1 << 1 | 1 << 3, /* RENDER_TARGET, SAMPLER_VIEW */
        .width = w,
        .height = h,
        .depth = 1,
        .array_size = 1,
    };

    return gpu_create_3d(f, 0, &c);
}

uint32_t gpu_transfer_3d(Frontend *f, bool to_host, uint32_t ctx, uint32_t id, uint64_t offset,
                         const struct virtio_gpu_box *box, uint32_t stride)
{
    struct virtio_gpu_transfer_host_3d c = {
        .hdr.type = to_host ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D : VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
        .hdr.ctx_id = ctx,
        .box = *box,
        .offset = offset,
        .resource_id = id,
        .stride = stride,
    };

    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_submit(Frontend *f, uint32_t ctx, const uint32_t *dwords, uint32_t count)
{
    struct virtio_gpu_cmd_submit c = HDR(SUBMIT_3D);

    c.hdr.ctx_id = ctx;
    c.size = count * 4;
    return gpu_run(f, &c, sizeof(c), count ? dwords : NULL, count * 4, NULL, 0);
}

static Pending *submit_fenced(Frontend *f, uint32_t ctx, const uint32_t *dwords, uint32_t count,
                              uint32_t flags, uint8_t ring, uint64_t fence)
{
    struct virtio_gpu_cmd_submit c = HDR(SUBMIT_3D);

    c.hdr.ctx_id = ctx;
    c.hdr.flags = VIRTIO_GPU_FLAG_FENCE | flags;
    c.hdr.ring_idx = ring;
    c.hdr.fence_id = fence;
    c.size = count * 4;
    return frontend_send(f, CONTROL, &c, sizeof(c), count ? dwords : NULL, count * 4,
                         sizeof(struct virtio_gpu_ctrl_hdr));
}

Pending *gpu_submit_fenced(Frontend *f, uint32_t ctx, const uint32_t *dwords, uint32_t count, uint64_t fence)
{
    return submit_fenced(f, ctx, dwords, count, 0, 0, fence);
}

Pending *gpu_submit_ring(Frontend *f, uint32_t ctx, uint8_t ring, const uint32_t *dwords, uint32_t count,
                         uint64_t fence)
{
    return submit_fenced(f, ctx, dwords, count, VIRTIO_GPU_FLAG_INFO_RING_IDX, ring, fence);
}

/* Guests give the cursor queue no room for an answer. */
static bool run_cursor(Frontend *f, const struct virtio_gpu_update_cursor *c)
{
    g_autoptr(Pending) p = frontend_send(f, CURSOR, c, sizeof(*c), NULL, 0, 0);

    if (f->dead) {
        return false;
    }
    if (!p || !frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE)) {
        frontend_fail(f, "cursor command 0x%x was not taken", c->hdr.type);
        return false;
    }
    g_assert_cmpuint(p->used_len, ==, 0);
    return true;
}

bool gpu_update_cursor(Frontend *f, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y, uint32_t hot_x,
                       uint32_t hot_y)
{
    struct virtio_gpu_update_cursor c = {
        .hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR,
        .pos = { scanout, x, y, 0 },
        .resource_id = id,
        .hot_x = hot_x,
        .hot_y = hot_y,
    };

    return run_cursor(f, &c);
}

bool gpu_move_cursor(Frontend *f, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y)
{
    struct virtio_gpu_update_cursor c = {
        .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR,
        .pos = { scanout, x, y, 0 },
        .resource_id = id,
    };

    return run_cursor(f, &c);
}

Frontend *gpu_null_frontend(const char *how)
{
    static const char *args[3] = { "--null-submit-us=-1" };
    FrontendOptions o = { .renderer = "null", .args = args };
    Frontend *f;

    args[1] = how;
    f = frontend_new(&o);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    return f;
}

bool gpu_still_works(Frontend *f)
{
    struct virtio_gpu_resp_display_info info;

    return gpu_display_info(f, &info) == VIRTIO_GPU_RESP_OK_DISPLAY_INFO && info.pmodes[0].enabled == 1;
}
