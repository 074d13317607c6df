/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A renderer: what executes decoded commands.  null, 2d and virgl are the three.
 *
 * All calls come from the render thread, in the order of the guest's control
 * queue.  Arguments were checked by dispatch.c: ids exist (or are free, for
 * create), rectangles lie within the resource, the quota was charged.  A
 * renderer returns a VIRTIO_GPU_RESP_* code and leaves nothing behind when that
 * is an error.  It never touches guest memory except through the iovecs of a
 * backing, and it never answers the guest itself.
 */
#ifndef VGPU_RENDERER_OPS_H
#define VGPU_RENDERER_OPS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../quota/ledger.h"
#include "../quota/size.h"
#include "vgpu/channel.h"

typedef struct Renderer Renderer;

typedef struct RendererConfig {
    const char *vm_name;     /* for the log */
    const char *render_node; /* path, also NVIDIA's /dev/nvidia0, or NULL: software on EGL surfaceless */
    uint32_t max_contexts;   /* contexts and GL sub-contexts; 0: no bound */
    bool gl;                 /* the profile allows it */
    Ledger *ledger;          /* borrowed */
    /* The two are borrowed, and NULL where the guest has no Vulkan. */
    struct RenderServer *render_server;
    struct VulkanBooks *books;
    int64_t null_submit_us; /* tests: what a submit costs the null renderer, see renderer_null.c */
    const char *null_submit_how;
    /* Tests: the guest wants a hostile host, see hostile.h. */
    bool (*null_hostile)(void *opaque, const uint32_t words[5]);
    /*
     * A fence is done.  May be called from any thread, also from inside
     * create_fence; must not call back into the renderer.
     */
    void (*fence_done)(void *opaque, uint64_t fence);
    /* The same for fences of contexts for which context_is_remote holds. */
    void (*remote_fence_done)(void *opaque, uint64_t fence);
    /* A context is lost with all that worked in it.  Render thread; from inside any call but blob_*. */
    void (*context_lost)(void *opaque, uint32_t ctx_id);
    /* There is a process more that works for this VM. */
    void (*process_began)(void *opaque);
    /*
     * A context's process has ended that was so many users of the lease under
     * that ticket; hung: because work of its did not end.
     */
    void (*process_ended)(void *opaque, uint32_t ticket, uint32_t users, bool hung);
    /*
     * How long the render thread waits for a process, ns; UINT64_MAX: it may be
     * waiting for the GPU, ask again.  Any thread.
     */
    uint64_t (*patience)(void *opaque);
    void *opaque;
} RendererConfig;

typedef struct RendererBox { /* as in virtio_gpu_box */
    uint32_t x, y, z, w, h, d;
} RendererBox;

typedef struct RendererTransfer {
    uint32_t resource_id;
    uint32_t ctx_id; /* 0: none */
    uint32_t level;
    uint32_t stride; /* bytes, 0: tight */
    uint32_t layer_stride;
    uint64_t offset; /* into the backing, bytes */
    RendererBox box;
} RendererTransfer;

/* As in RESOURCE_CREATE_BLOB. */
typedef struct RendererBlob {
    uint32_t resource_id;
    uint32_t ctx_id;     /* that makes it; 0: none, for guest memory only */
    uint32_t mem, flags; /* VIRTIO_GPU_BLOB_* */
    uint64_t blob_id;
    uint64_t size;           /* bytes */
    const struct iovec *iov; /* guest pages, of size bytes at least, as of backing_attach; NULL: none */
    uint32_t iov_count;
} RendererBlob;

typedef struct RendererMemory {
    int fd;            /* the caller's */
    uint64_t offset;   /* of the memory in what fd is, bytes */
    uint32_t map_info; /* VIRTIO_GPU_MAP_CACHE_* */
} RendererMemory;

typedef struct RendererOps {
    const char *name;
    enum vgpu_renderer_kind kind;
    uint64_t virtio_features; /* VIRTIO_GPU_F_* bits it can serve */

    /* NULL with *error set when this host cannot run it. */
    Renderer *(*create)(const RendererConfig *config, GError **error);
    void (*destroy)(Renderer *r);
    /* All resources and contexts go; as after create. */
    void (*reset)(Renderer *r);

    /* Host's description for HELLO and the capset, e.g. GL_RENDERER. */
    const char *(*description)(Renderer *r);
    /* The host's GL_VERSION; NULL: there is no GL. */
    const char *(*gl_version)(Renderer *r);

    /* The fd to poll for asynchronous work of the render thread, -1: none. */
    int (*poll_fd)(Renderer *r);
    void (*poll)(Renderer *r);

    /* Capsets of its own, index 0 up.  False when there is no such index or id. */
    bool (*capset_info)(Renderer *r, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size);
    bool (*capset)(Renderer *r, uint32_t id, uint32_t version, void *data, uint32_t size);

    uint32_t (*resource_create)(Renderer *r, uint32_t resource_id, const ResourceShape *shape);
    void (*resource_destroy)(Renderer *r, uint32_t resource_id);
    /* The iovecs stay valid and in place until backing_detach (or NULL/0 replaces them). */
    uint32_t (*backing_attach)(Renderer *r, uint32_t resource_id, const struct iovec *iov, uint32_t count);
    void (*backing_detach)(Renderer *r, uint32_t resource_id);
    uint32_t (*transfer_to_host)(Renderer *r, const RendererTransfer *t);
    uint32_t (*transfer_from_host)(Renderer *r, const RendererTransfer *t);

    /*
     * Copies a rectangle of a resource to a linear picture at dst, whose pixel
     * (0, 0) is the rectangle's.  *drm_fourcc: of the pixels written; it
     * depends on the resource only and can be asked for before by dst = NULL.
     */
    uint32_t (*read_pixels)(Renderer *r, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
                            void *dst, uint32_t dst_stride, uint32_t *drm_fourcc);

    /* NULL in renderers without 3D: dispatch answers ERR_UNSPEC. */
    uint32_t (*context_create)(Renderer *r, uint32_t ctx_id, uint32_t capset_id, const char *name,
                               uint32_t name_len);
    void (*context_destroy)(Renderer *r, uint32_t ctx_id);
    uint32_t (*context_attach)(Renderer *r, uint32_t ctx_id, uint32_t resource_id);
    void (*context_detach)(Renderer *r, uint32_t ctx_id, uint32_t resource_id);
    /*
     * Whether what is sent to a context works in a process of its own, which
     * takes the GPU's lease itself: no command for one needs the lease, but each
     * may wait for that process, which may wait for the lease.  NULL: none is.
     */
    bool (*context_is_remote)(Renderer *r, uint32_t ctx_id);
    /* Of contexts to be. */
    bool (*capset_is_remote)(Renderer *r, uint32_t capset_id);
    /* commands: our own copy, 4-byte aligned, size a multiple of 4, may be changed. */
    uint32_t (*submit)(Renderer *r, uint32_t ctx_id, void *commands, uint32_t size);

    /*
     * Blobs; all NULL in renderers without: blobs of guest memory are then served
     * without the renderer, others not.  resource_destroy, backing_attach and
     * _detach, context_attach and _detach are as for other resources.
     */
    /* What the ledger is to be charged for one before blob_create is called: its
     * host memory, unless that is charged for otherwise. */
    uint64_t (*blob_bytes)(Renderer *r, const RendererBlob *blob);
    uint32_t (*blob_create)(Renderer *r, const RendererBlob *blob);
    /* The host memory of a blob that has some.  Called for each map. */
    uint32_t (*blob_export)(Renderer *r, uint32_t resource_id, RendererMemory *memory);

    /*
     * fence_done(fence) once all work before this call is done: of the context
     * and its ring when ctx_id is not 0, else of everything.  fence is unique.
     * VIRTIO_GPU_RESP_OK_NODATA, or an error and the callback never comes.
     */
    uint32_t (*create_fence)(Renderer *r, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence);
} RendererOps;

extern const RendererOps renderer_null_ops, renderer_2d_ops, renderer_virgl_ops;

#endif
