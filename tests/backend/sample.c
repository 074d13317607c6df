/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sample.h"

#include <string.h>

#include "gpu_blob.h"

#define EDGE  16
#define BYTES (EDGE * EDGE * 4)

static uint64_t backing_gpa(Frontend *f)
{
    if (!f->sample_gpa) {
        f->sample_gpa = ram_alloc(f->ram, BYTES);
    }
    return f->sample_gpa;
}

static bool has_3d(Frontend *f)
{
    return f->hello.kind != VGPU_RENDERER_2D;
}

void sample_prepare(Frontend *f)
{
    gpu_unref(f, SAMPLE_RESOURCE);
    gpu_unref(f, SAMPLE_BARE);
    gpu_unref(f, SAMPLE_FREE);
    gpu_unref(f, SAMPLE_BLOB);
    g_assert_cmphex(gpu_create_2d(f, SAMPLE_RESOURCE, BGRX, EDGE, EDGE), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_2d(f, SAMPLE_BARE, BGRX, EDGE, EDGE), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, SAMPLE_RESOURCE, backing_gpa(f), BYTES), ==, OK_NODATA);
    g_assert_cmphex(gpu_blob_guest(f, SAMPLE_BLOB, backing_gpa(f), BYTES), ==, OK_NODATA);
    if (has_3d(f)) {
        gpu_context_destroy(f, SAMPLE_CONTEXT);
        gpu_context_destroy(f, SAMPLE_FREE_CTX);
        g_assert_cmphex(gpu_context_create(f, SAMPLE_CONTEXT, 0), ==, OK_NODATA);
        g_assert_cmphex(gpu_context_attach(f, SAMPLE_CONTEXT, SAMPLE_RESOURCE), ==, OK_NODATA);
    }
}

/* clang-format off: one case reads as a list of fields */
#define BEGIN(kind, type_, resp, okay)                                                                       \
    {                                                                                                        \
        struct kind *c = (struct kind *)(void *)s.cmd.bytes;                                                 \
        G_STATIC_ASSERT(sizeof(*c) <= sizeof(s.cmd));                                                        \
        s.name = #type_;                                                                                     \
        s.size = sizeof(*c);                                                                                 \
        s.resp_size = sizeof(struct resp);                                                                   \
        s.ok = okay;                                                                                         \
        s.cmd.hdr.type = VIRTIO_GPU_CMD_##type_;
#define END                                                                                                  \
    break;                                                                                                   \
    }

const unsigned sample_count = 26;

Sample sample_get(Frontend *f, unsigned index)
{
    static const struct virtio_gpu_rect whole = { 0, 0, EDGE, EDGE };
    struct virtio_gpu_mem_entry entry = { .addr = backing_gpa(f), .length = BYTES };
    Sample s = { 0 };

    switch (index) {
    case 0: {
        s = (Sample){ .name = "GET_DISPLAY_INFO",
                      .size = sizeof(s.cmd.hdr),
                      .resp_size = sizeof(struct virtio_gpu_resp_display_info),
                      .ok = VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
                      .cmd.hdr.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
        break;
    }
    case 1:
        BEGIN(virtio_gpu_resource_create_2d, RESOURCE_CREATE_2D, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_FREE;
        c->format = BGRX;
        c->width = c->height = EDGE;
    END case 2:
        BEGIN(virtio_gpu_resource_unref, RESOURCE_UNREF, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_RESOURCE;
    END case 3:
        BEGIN(virtio_gpu_set_scanout, SET_SCANOUT, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_RESOURCE;
        c->r = whole;
    END case 4:
        BEGIN(virtio_gpu_resource_flush, RESOURCE_FLUSH, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_RESOURCE;
        c->r = whole;
    END case 5:
        BEGIN(virtio_gpu_transfer_to_host_2d, TRANSFER_TO_HOST_2D, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_RESOURCE;
        c->r = whole;
    END case 6:
        BEGIN(virtio_gpu_resource_attach_backing, RESOURCE_ATTACH_BACKING, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_BARE;
        c->nr_entries = 1;
        s.data_size = sizeof(entry);
        memcpy(s.data, &entry, sizeof(entry));
    END case 7:
        BEGIN(virtio_gpu_resource_detach_backing, RESOURCE_DETACH_BACKING, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_RESOURCE;
    END case 8:
        BEGIN(virtio_gpu_get_capset_info, GET_CAPSET_INFO, virtio_gpu_resp_capset_info,
              VIRTIO_GPU_RESP_OK_CAPSET_INFO)
        c->capset_index = f->hello.num_capsets - 1;
    END case 9:
        BEGIN(virtio_gpu_get_capset, GET_CAPSET, virtio_gpu_resp_edid, VIRTIO_GPU_RESP_OK_CAPSET)
        c->capset_id = 16;
        c->capset_version = 1;
    END case 10:
        BEGIN(virtio_gpu_cmd_get_edid, GET_EDID, virtio_gpu_resp_edid, VIRTIO_GPU_RESP_OK_EDID)
        c->scanout = 0;
    END case 11:
        BEGIN(virtio_gpu_resource_assign_uuid, RESOURCE_ASSIGN_UUID, virtio_gpu_resp_resource_uuid,
              VIRTIO_GPU_RESP_OK_RESOURCE_UUID)
        c->resource_id = SAMPLE_RESOURCE;
    END case 12:
        BEGIN(virtio_gpu_resource_create_blob, RESOURCE_CREATE_BLOB, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_FREE;
        c->blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST;
        c->nr_entries = 1;
        c->size = BYTES;
        s.data_size = sizeof(entry);
        memcpy(s.data, &entry, sizeof(entry));
    END case 13:
        BEGIN(virtio_gpu_set_scanout_blob, SET_SCANOUT_BLOB, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_BLOB;
        c->r = whole;
        c->width = c->height = EDGE;
        c->format = BGRX;
        c->strides[0] = EDGE * 4;
    END case 14:
        BEGIN(virtio_gpu_ctx_create, CTX_CREATE, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->hdr.ctx_id = SAMPLE_FREE_CTX;
        c->nlen = 4;
        memcpy(c->debug_name, "name", 4);
        s.needs_3d = true;
    END case 15:
        BEGIN(virtio_gpu_ctx_destroy, CTX_DESTROY, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->hdr.ctx_id = SAMPLE_CONTEXT;
        s.needs_3d = true;
    END case 16:
        BEGIN(virtio_gpu_ctx_resource, CTX_ATTACH_RESOURCE, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->hdr.ctx_id = SAMPLE_CONTEXT;
        c->resource_id = SAMPLE_BARE;
        s.needs_3d = true;
    END case 17:
        BEGIN(virtio_gpu_ctx_resource, CTX_DETACH_RESOURCE, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->hdr.ctx_id = SAMPLE_CONTEXT;
        c->resource_id = SAMPLE_RESOURCE;
        s.needs_3d = true;
    END case 18:
        BEGIN(virtio_gpu_resource_create_3d, RESOURCE_CREATE_3D, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->resource_id = SAMPLE_FREE;
        c->target = 2;
        c->format = BGRX;
        c->bind = 1 << 1 | 1 << 3;
        c->width = c->height = EDGE;
        c->depth = c->array_size = 1;
        s.needs_3d = true;
    END case 19:
        BEGIN(virtio_gpu_transfer_host_3d, TRANSFER_TO_HOST_3D, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->hdr.ctx_id = SAMPLE_CONTEXT;
        c->resource_id = SAMPLE_RESOURCE;
        c->box = (struct virtio_gpu_box){ 0, 0, 0, EDGE, EDGE, 1 };
        s.needs_3d = true;
    END case 20:
        BEGIN(virtio_gpu_transfer_host_3d, TRANSFER_FROM_HOST_3D, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->hdr.ctx_id = SAMPLE_CONTEXT;
        c->resource_id = SAMPLE_RESOURCE;
        c->box = (struct virtio_gpu_box){ 0, 0, 0, EDGE, EDGE, 1 };
        s.needs_3d = true;
    END case 21:
        BEGIN(virtio_gpu_cmd_submit, SUBMIT_3D, virtio_gpu_ctrl_hdr, OK_NODATA)
        c->hdr.ctx_id = SAMPLE_CONTEXT;
        c->size = 4;
        s.data_size = 4; /* VIRGL_CCMD_NOP of no length */
        s.needs_3d = true;
    END case 22:
        BEGIN(virtio_gpu_resource_map_blob, RESOURCE_MAP_BLOB, virtio_gpu_resp_map_info, ERR_PARAM)
        c->resource_id = SAMPLE_BLOB; /* guest memory is mapped by the guest */
    END case 23:
        BEGIN(virtio_gpu_resource_unmap_blob, RESOURCE_UNMAP_BLOB, virtio_gpu_ctrl_hdr, 0)
        c->resource_id = SAMPLE_BLOB;
    END case 24:
        BEGIN(virtio_gpu_ctx_destroy, GET_DISPLAY_INFO, virtio_gpu_ctrl_hdr, 0)
        c->hdr.type = 0x7600; /* the extension's first: none is defined yet */
        s.name = "extension";
        END default : BEGIN(virtio_gpu_ctx_destroy, GET_DISPLAY_INFO, virtio_gpu_ctrl_hdr, 0) c->hdr.type =
            0x0110;
        s.name = "unknown";
        END
    }
    if (s.needs_3d && !has_3d(f)) {
        s.ok = 0;
    }
    return s;
}
/* clang-format on */
