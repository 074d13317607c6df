/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virgl renderer, shared by its files virgl.c (life cycle, capsets),
 * virgl_resource.c, virgl_blob.c, virgl_context.c and virgl_pixels.c, and by venus*.c.  Nobody else
 * includes it.
 */
#ifndef VGPU_RENDERER_VIRGL_H
#define VGPU_RENDERER_VIRGL_H

#include <linux/virtio_gpu.h>
#include <virglrenderer.h>

#include "../quota/stream.h"
#include "egl.h"
#include "ops.h"
#include "virgl_fence.h"

typedef struct Venus Venus;

struct Renderer {
    char *vm_name;
    Ledger *ledger; /* borrowed */
    Egl *egl;
    VirglFences fences;
    struct virgl_renderer_callbacks callbacks;
    bool started;          /* virglrenderer is */
    Venus *venus;          /* NULL: the guest has no Vulkan */
    uint32_t max_contexts; /* 0: no bound */
    StreamLimits limits;   /* counts contexts and sub-contexts, those of Vulkan too */
    GHashTable *contexts;  /* ctx_id -> VirglContext */
    GHashTable *resources; /* resource_id -> VirglResource */
    GQueue lingering;      /* of VirglLinger: see virgl_resource.c */
    uint32_t framebuffer;  /* in the root context, to read from */
    void (*context_lost)(void *opaque, uint32_t ctx_id);
    void (*process_began)(void *opaque);
    void (*process_ended)(void *opaque, uint32_t ticket, uint32_t users, bool hung);
    void *opaque;
};

typedef struct VirglResource {
    ResourceShape shape;     /* all zero: a blob */
    uint64_t bytes;          /* what it was charged at */
    struct VenusBlob *host;  /* NULL: it is none of Vulkan's */
    const struct iovec *iov; /* borrowed while attached */
    uint32_t iov_count;
} VirglResource;

typedef struct VirglContext {
    uint32_t id;
    StreamContext *books;
    GHashTable *attached; /* set of resource_id */
    char name[64];        /* from the guest */
    bool lost;
} VirglContext;

/* virglrenderer's errno, of either sign, as VIRTIO_GPU_RESP_*. */
uint32_t virgl_response(int ret);
/* A name is the guest's: up to its NUL, for the log only. */
void virgl_set_name(char *to, size_t size, const char *name, uint32_t name_len);

uint32_t virgl_context_create(Renderer *r, uint32_t ctx_id, uint32_t capset_id, const char *name,
                              uint32_t name_len);
void virgl_context_destroy(Renderer *r, uint32_t ctx_id); /* any kind of */
uint32_t virgl_context_attach(Renderer *r, uint32_t ctx_id, uint32_t resource_id);
void virgl_context_detach(Renderer *r, uint32_t ctx_id, uint32_t resource_id);
uint32_t virgl_context_submit(Renderer *r, uint32_t ctx_id, void *commands, uint32_t size);
uint32_t virgl_context_fence(Renderer *r, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence);
void virgl_context_free(gpointer context);
/* A resource goes: virglrenderer detaches it everywhere, so do we. */
void virgl_context_forget_resource(Renderer *r, uint32_t resource_id);

uint32_t virgl_resource_create(Renderer *r, uint32_t resource_id, const ResourceShape *shape);
void virgl_resource_destroy(Renderer *r, uint32_t resource_id);
uint32_t virgl_resource_attach(Renderer *r, uint32_t resource_id, const struct iovec *iov, uint32_t count);
void virgl_resource_detach(Renderer *r, uint32_t resource_id);
uint32_t virgl_resource_to_host(Renderer *r, const RendererTransfer *t);
uint32_t virgl_resource_from_host(Renderer *r, const RendererTransfer *t);
/* Refunds lingering resources that virglrenderer has let go of since. */
void virgl_resource_settle(Renderer *r);
/* Refunds all of them: no context is left that could hold one. */
void virgl_resource_settle_all(Renderer *r);

uint64_t virgl_blob_bytes(Renderer *r, const RendererBlob *blob);
uint32_t virgl_blob_create(Renderer *r, const RendererBlob *blob);
uint32_t virgl_blob_export(Renderer *r, uint32_t resource_id, RendererMemory *memory);

uint32_t virgl_pixels_read(Renderer *r, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
                           void *dst, uint32_t dst_stride, uint32_t *drm_fourcc);

#endif
