/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A decoded command: our own copy of what the guest wrote, checked against the
 * table of commands.  Nothing below dispatch.c reads the request again.
 */
#ifndef VGPU_RENDERER_COMMAND_H
#define VGPU_RENDERER_COMMAND_H

#include <linux/virtio_gpu.h>

#include "device.h"

/* A submit; Mesa's are a few hundred KiB. */
#define COMMAND_SUBMIT_MAX (16u * 1024 * 1024)

typedef struct Command {
    union {
        struct virtio_gpu_ctrl_hdr hdr;
        struct virtio_gpu_resource_unref unref;
        struct virtio_gpu_resource_create_2d create_2d;
        struct virtio_gpu_resource_create_3d create_3d;
        struct virtio_gpu_set_scanout set_scanout;
        struct virtio_gpu_resource_flush flush;
        struct virtio_gpu_transfer_to_host_2d transfer_2d;
        struct virtio_gpu_transfer_host_3d transfer_3d;
        struct virtio_gpu_resource_attach_backing attach;
        struct virtio_gpu_resource_detach_backing detach;
        struct virtio_gpu_get_capset_info capset_info;
        struct virtio_gpu_get_capset capset;
        struct virtio_gpu_cmd_get_edid edid;
        struct virtio_gpu_resource_assign_uuid assign_uuid;
        struct virtio_gpu_ctx_create ctx_create;
        struct virtio_gpu_ctx_resource ctx_resource;
        struct virtio_gpu_cmd_submit submit;
        struct virtio_gpu_update_cursor cursor;
        struct virtio_gpu_resource_create_blob create_blob;
        struct virtio_gpu_set_scanout_blob set_scanout_blob;
        struct virtio_gpu_resource_map_blob map_blob;
        struct virtio_gpu_resource_unmap_blob unmap_blob;
        struct {
            struct virtio_gpu_ctrl_hdr hdr;
            struct vgpu_submit body;
        } queue_submit;
        struct {
            struct virtio_gpu_ctrl_hdr hdr;
            struct vgpu_wait body;
        } wait;
    } in;
    unsigned queue; /* that it came on */
    void *data;     /* what followed the struct; own, freed by dispatch */
    uint32_t data_size;
    bool replay; /* a lost renderer took it: what it asks for may be done already, see adopt.h */

    union { /* out: all zero when the handler starts */
        struct virtio_gpu_ctrl_hdr hdr;
        struct virtio_gpu_resp_display_info display_info;
        struct virtio_gpu_resp_edid edid;
        struct virtio_gpu_resp_capset_info capset_info;
        struct virtio_gpu_resp_resource_uuid uuid;
        struct virtio_gpu_resp_map_info map_info;
    } out;
    uint32_t out_size; /* of out, header included, when it is not just a header */
    void *big;         /* instead of out: header and more; own, freed by dispatch */
} Command;

/* Returns the VIRTIO_GPU_RESP_* code; fills in out (or big) and out_size for more than a header. */
typedef uint32_t CommandHandler(Device *d, Command *c);

/* commands_2d.c */
CommandHandler command_get_display_info, command_get_edid, command_create_2d, command_unref,
    command_set_scanout, command_flush, command_transfer_2d, command_attach_backing, command_detach_backing,
    command_get_capset_info, command_get_capset, command_assign_uuid, command_update_cursor,
    command_move_cursor;

/* commands_blob.c */
CommandHandler command_create_blob, command_set_scanout_blob, command_map_blob, command_unmap_blob;

/* commands_3d.c */
CommandHandler command_ctx_create, command_ctx_destroy, command_ctx_attach, command_ctx_detach,
    command_create_3d, command_transfer_to_host_3d, command_transfer_from_host_3d, command_submit,
    command_queue_submit, command_wait;
void contexts_init(Device *d);
void contexts_forget(Device *d); /* the renderer is reset */

/* capset.c: the renderer's own capsets, then ours. */
uint32_t capset_count(Device *d);
/* The VGPU_API_* that a capset is of, 0: none. */
uint32_t capset_api(uint32_t id);
/* The profile allows contexts of that capset; 0: of a guest that says none, which is OpenGL's. */
bool capset_allowed(const Device *d, uint32_t id);
/* There is something that the profile allows to make contexts for. */
bool capset_has_3d(Device *d);
bool capset_info(Device *d, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size);
bool capset_fill(Device *d, uint32_t id, uint32_t version, void *data, uint32_t size);

/*
 * dispatch.c.  Decodes and runs the command in e and sees to its answer: it is
 * pushed when its fence is done, or now, or, where NULL is not returned, by
 * the caller with others.
 */
Element *dispatch(Device *d, Element *e);
/* What the command looks like before it is decoded. */
#define COMMAND_GPU    1u  /* needs the GPU: gpu_time_enter first, or it is refused */
#define COMMAND_LONG   2u  /* may take long: answers waiting to be pushed go first */
#define COMMAND_ASYNC  4u  /* may be at work when it returns */
#define COMMAND_BRIEF  8u  /* needs the GPU for a moment: gpu_time_brief first */
#define COMMAND_REMOTE 16u /* may wait for who waits for the GPU: gpu_time_leave first */
uint32_t dispatch_hints(Device *d, const Element *e);
/* Has the renderer signal a fence of a timeline when all work so far is done. */
void dispatch_fence(Device *d, uint32_t ctx, uint32_t ring, uint64_t fence);

#endif
