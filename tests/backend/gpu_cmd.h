/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One helper per virtio-gpu command (linux/virtio_gpu.h).  Each returns the
 * type of the response, 0 when none came (the test has failed by then).
 */
#ifndef TEST_GPU_CMD_H
#define TEST_GPU_CMD_H

#include <linux/virtio_gpu.h>

#include "frontend.h"

/* Short names for what every second assertion needs. */
#define OK_NODATA    VIRTIO_GPU_RESP_OK_NODATA
#define ERR_UNSPEC   VIRTIO_GPU_RESP_ERR_UNSPEC
#define ERR_MEMORY   VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define ERR_SCANOUT  VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID
#define ERR_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define ERR_CONTEXT  VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
#define ERR_PARAM    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM

/* Any command and its answer; resp may be NULL (a header's room is given). */
uint32_t gpu_run(Frontend *f, const void *cmd, uint32_t size, const void *data, uint32_t data_size,
                 void *resp, uint32_t resp_size);
/* The type in the answer of a command that is done. */
uint32_t gpu_response(const Pending *p);
/* As a copy of the whole response. */
void gpu_response_copy(const Pending *p, void *resp, uint32_t size);

uint32_t gpu_create_2d(Frontend *f, uint32_t id, uint32_t format, uint32_t w, uint32_t h);
uint32_t gpu_unref(Frontend *f, uint32_t id);
uint32_t gpu_attach(Frontend *f, uint32_t id, const struct virtio_gpu_mem_entry *e, uint32_t n);
/* The number of entries told and that sent, apart. */
uint32_t gpu_attach_lie(Frontend *f, uint32_t id, uint32_t told, const struct virtio_gpu_mem_entry *e,
                        uint32_t n);
uint32_t gpu_attach_one(Frontend *f, uint32_t id, uint64_t gpa, uint32_t len);
uint32_t gpu_detach(Frontend *f, uint32_t id);
uint32_t gpu_set_scanout(Frontend *f, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y, uint32_t w,
                         uint32_t h);
uint32_t gpu_flush(Frontend *f, uint32_t id, uint32_t x, uint32_t y, uint32_t w, uint32_t h);
uint32_t gpu_transfer_2d(Frontend *f, uint32_t id, uint64_t offset, uint32_t x, uint32_t y, uint32_t w,
                         uint32_t h);
uint32_t gpu_display_info(Frontend *f, struct virtio_gpu_resp_display_info *info);
uint32_t gpu_edid(Frontend *f, uint32_t scanout, struct virtio_gpu_resp_edid *edid);
uint32_t gpu_uuid(Frontend *f, uint32_t id, struct virtio_gpu_resp_resource_uuid *uuid);
uint32_t gpu_capset_info(Frontend *f, uint32_t index, struct virtio_gpu_resp_capset_info *info);
/* data: size bytes, zeroed first. */
uint32_t gpu_capset(Frontend *f, uint32_t id, uint32_t version, void *data, uint32_t size);
/* The index of a capset and what is told of it; false when there is none. */
bool gpu_find_capset(Frontend *f, uint32_t id, struct virtio_gpu_resp_capset_info *info);

uint32_t gpu_context_create(Frontend *f, uint32_t ctx, uint32_t capset);
uint32_t gpu_context_destroy(Frontend *f, uint32_t ctx);
uint32_t gpu_context_attach(Frontend *f, uint32_t ctx, uint32_t id);
uint32_t gpu_context_detach(Frontend *f, uint32_t ctx, uint32_t id);
uint32_t gpu_create_3d(Frontend *f, uint32_t ctx, const struct virtio_gpu_resource_create_3d *shape);
/* A plain 2D texture that can be rendered to. */
uint32_t gpu_create_texture(Frontend *f, uint32_t id, uint32_t format, uint32_t w, uint32_t h);
uint32_t gpu_transfer_3d(Frontend *f, bool to_host, uint32_t ctx, uint32_t id, uint64_t offset,
                         const struct virtio_gpu_box *box, uint32_t stride);
uint32_t gpu_submit(Frontend *f, uint32_t ctx, const uint32_t *dwords, uint32_t count);
/* With a fence on, not waited for. */
Pending *gpu_submit_fenced(Frontend *f, uint32_t ctx, const uint32_t *dwords, uint32_t count, uint64_t fence);
/* The same with a fence of one of the context's rings. */
Pending *gpu_submit_ring(Frontend *f, uint32_t ctx, uint8_t ring, const uint32_t *dwords, uint32_t count,
                         uint64_t fence);

/* No answer is asked for; true when the device took it. */
bool gpu_update_cursor(Frontend *f, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y, uint32_t hot_x,
                       uint32_t hot_y);
/* id 0 hides it, as QEMU's own device understands the command. */
bool gpu_move_cursor(Frontend *f, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y);

/*
 * A null renderer with a context 1, whose submits last as many microseconds as their
 * first word says; how: --null-submit-how=...
 */
Frontend *gpu_null_frontend(const char *how);

/* A command that any renderer answers well: proof that it goes on. */
bool gpu_still_works(Frontend *f);

#endif
