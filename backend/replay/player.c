/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ids in a recording are the guest's, and nobody says that it is one of
 * ours: what is not known here is refused, and virglrenderer refuses the rest.
 * Whoever plays a stranger's recording runs a stranger's shaders on his driver,
 * as with any program for the GPU.
 */
#include "player.h"

#include <linux/virtio_gpu.h>
#include <string.h>
#include <sys/uio.h>

#include "../quota/virgl.h"
#include "bare.h"

#define BACKING_MOST (1ull << 30)

typedef struct Backing {
    struct iovec iov;
    bool attached;
} Backing;

typedef struct Player {
    GHashTable *backings; /* resource id -> Backing */
    GHashTable *shown;    /* resource id -> anything: it is on a screen */
    GByteArray *scratch;  /* a stream: virglrenderer may change it */
    GByteArray *picture;  /* what a screen is read into */
} Player;

static void backing_free(gpointer data)
{
    Backing *b = data;

    g_free(b->iov.iov_base);
    g_free(b);
}

static Backing *backing_of(Player *p, uint32_t id)
{
    return g_hash_table_lookup(p->backings, GUINT_TO_POINTER(id));
}

static int attach(Player *p, uint32_t id, uint64_t size)
{
    Backing *b;

    if (!size || size > BACKING_MOST || backing_of(p, id)) {
        return -1;
    }
    b = g_new0(Backing, 1);
    b->iov.iov_base = g_malloc0(size);
    b->iov.iov_len = size;
    g_hash_table_insert(p->backings, GUINT_TO_POINTER(id), b);
    b->attached = virgl_renderer_resource_attach_iov((int)id, &b->iov, 1) == 0;
    return b->attached ? 0 : -1;
}

static void detach(Player *p, uint32_t id)
{
    Backing *b = backing_of(p, id);

    if (b && b->attached) {
        struct iovec *iov;
        int count;

        virgl_renderer_resource_detach_iov((int)id, &iov, &count);
    }
    g_hash_table_remove(p->backings, GUINT_TO_POINTER(id));
}

static int create(uint32_t id, uint32_t target, uint32_t format, uint32_t bind, const uint32_t size[4],
                  const uint32_t more[3])
{
    struct virgl_renderer_resource_create_args args = {
        .handle = id,
        .target = target,
        .format = format,
        .bind = bind,
        .width = size[0],
        .height = size[1],
        .depth = size[2],
        .array_size = size[3],
        .last_level = more[0],
        .nr_samples = more[1],
        .flags = more[2],
    };

    virgl_renderer_force_ctx_0();
    return virgl_renderer_resource_create(&args, NULL, 0);
}

static int transfer(const struct virtio_gpu_transfer_host_3d *t, bool to_host)
{
    struct virgl_box box = { t->box.x, t->box.y, t->box.z, t->box.w, t->box.h, t->box.d };

    return to_host ? virgl_renderer_transfer_write_iov(t->resource_id, t->hdr.ctx_id, (int)t->level,
                                                       t->stride, t->layer_stride, &box, t->offset, NULL, 0)
                   : virgl_renderer_transfer_read_iov(t->resource_id, t->hdr.ctx_id, t->level, t->stride,
                                                      t->layer_stride, &box, t->offset, NULL, 0);
}

/* A screen's pixels have to get somewhere: read, as any device without a GPU must. */
static int flush(Player *p, const struct virtio_gpu_resource_flush *f)
{
    struct virgl_box box = { f->r.x, f->r.y, 0, f->r.width, f->r.height, 1 };
    struct iovec iov;
    uint64_t size = 4ull * f->r.width * f->r.height;

    if (!g_hash_table_contains(p->shown, GUINT_TO_POINTER(f->resource_id)) || !size || size > BACKING_MOST) {
        return 0;
    }
    g_byte_array_set_size(p->picture, (guint)size);
    iov = (struct iovec){ p->picture->data, size };
    virgl_renderer_force_ctx_0();
    return virgl_renderer_transfer_read_iov(f->resource_id, 0, 0, f->r.width * 4, 0, &box, 0, &iov, 1);
}

static int submit(Player *p, const RecordingEntry *e, uint32_t ctx)
{
    uint32_t skip = sizeof(struct virtio_gpu_cmd_submit), size;

    if (e->size < skip) {
        return -1;
    }
    size = (e->size - skip) & ~3u;
    if (!size) {
        return 0; /* only its fence is wanted */
    }
    g_byte_array_set_size(p->scratch, size);
    memcpy(p->scratch->data, e->data + skip, size);
    return virgl_renderer_submit_cmd(p->scratch->data, (int)ctx, (int)(size / 4));
}

#define IS(cmd, type, var)                                                                                   \
    case VIRTIO_GPU_CMD_##cmd: {                                                                             \
        struct type var;                                                                                     \
        memset(&var, 0, sizeof(var));                                                                        \
        memcpy(&var, e->data, MIN(sizeof(var), e->size));

/* 0: virglrenderer did it, or there is nothing to do here. */
static int play(Player *p, const RecordingEntry *e, uint32_t type)
{
    switch (type) {
        IS(CTX_CREATE, virtio_gpu_ctx_create, c)
        if ((c.context_init & 0xff) > 2) {
            return -1; /* Vulkan's are not in a recording */
        }
        return virgl_renderer_context_create(c.hdr.ctx_id, MIN(c.nlen, sizeof(c.debug_name)), c.debug_name);
    }
    IS(CTX_DESTROY, virtio_gpu_ctrl_hdr, c)
    virgl_renderer_context_destroy(c.ctx_id);
    return 0;
}
IS(CTX_ATTACH_RESOURCE, virtio_gpu_ctx_resource, c)
virgl_renderer_ctx_attach_resource((int)c.hdr.ctx_id, (int)c.resource_id);
return 0;
}
IS(CTX_DETACH_RESOURCE, virtio_gpu_ctx_resource, c)
virgl_renderer_ctx_detach_resource((int)c.hdr.ctx_id, (int)c.resource_id);
return 0;
}
IS(RESOURCE_CREATE_2D, virtio_gpu_resource_create_2d, c)
return create(c.resource_id, PIPE_TEXTURE_2D, c.format, 1u << 1, (uint32_t[]){ c.width, c.height, 1, 1 },
              (uint32_t[]){ 0, 0, 0 });
}
IS(RESOURCE_CREATE_3D, virtio_gpu_resource_create_3d, c)
return create(c.resource_id, c.target, c.format, c.bind,
              (uint32_t[]){ c.width, c.height, c.depth, c.array_size },
              (uint32_t[]){ c.last_level, c.nr_samples, c.flags });
}
IS(RESOURCE_UNREF, virtio_gpu_resource_unref, c)
detach(p, c.resource_id);
g_hash_table_remove(p->shown, GUINT_TO_POINTER(c.resource_id));
virgl_renderer_force_ctx_0();
virgl_renderer_resource_unref(c.resource_id);
return 0;
}
IS(RESOURCE_ATTACH_BACKING, virtio_gpu_resource_attach_backing, c)
return attach(p, c.resource_id, e->command.backing_size);
}
IS(RESOURCE_DETACH_BACKING, virtio_gpu_resource_detach_backing, c)
detach(p, c.resource_id);
return 0;
}
IS(TRANSFER_TO_HOST_2D, virtio_gpu_transfer_to_host_2d, c)
const struct virtio_gpu_transfer_host_3d t = {
    .resource_id = c.resource_id,
    .offset = c.offset,
    .box = { c.r.x, c.r.y, 0, c.r.width, c.r.height, 1 },
};

virgl_renderer_force_ctx_0();
return transfer(&t, true);
}
IS(TRANSFER_TO_HOST_3D, virtio_gpu_transfer_host_3d, c)
return transfer(&c, true);
}
IS(TRANSFER_FROM_HOST_3D, virtio_gpu_transfer_host_3d, c)
return transfer(&c, false);
}
IS(SET_SCANOUT, virtio_gpu_set_scanout, c)
if (c.resource_id) {
    g_hash_table_add(p->shown, GUINT_TO_POINTER(c.resource_id));
}
return 0;
}
IS(RESOURCE_FLUSH, virtio_gpu_resource_flush, c)
return flush(p, &c);
}
IS(SUBMIT_3D, virtio_gpu_cmd_submit, c)
return submit(p, e, c.hdr.ctx_id);
}
default:
return 0;
}
}

static void remember(Player *p, const RecordingEntry *e)
{
    Backing *b = backing_of(p, e->memory.resource_id);

    if (b && e->memory.offset <= b->iov.iov_len && e->size <= b->iov.iov_len - e->memory.offset) {
        memcpy((uint8_t *)b->iov.iov_base + e->memory.offset, e->data, e->size);
    }
}

void player_play(const Recording *r, PlayerResult *out)
{
    Player p = {
        .backings = g_hash_table_new_full(NULL, NULL, NULL, backing_free),
        .shown = g_hash_table_new(NULL, NULL),
        .scratch = g_byte_array_new(),
        .picture = g_byte_array_new(),
    };
    int64_t start = g_get_monotonic_time();
    RecordingEntry e;
    size_t at = 0;

    *out = (PlayerResult){ 0 };
    while (recording_next(r, &at, &e)) {
        struct virtio_gpu_ctrl_hdr hdr = { 0 };

        if (e.kind == VGPU_RECORDING_MEMORY) {
            remember(&p, &e);
            continue;
        }
        memcpy(&hdr, e.data, MIN(sizeof(hdr), e.size));
        out->commands++;
        out->submits += hdr.type == VIRTIO_GPU_CMD_SUBMIT_3D;
        out->refused += play(&p, &e, hdr.type) != 0;
    }
    if (bare_fence_begin()) {
        bare_fence_wait();
    }
    out->seconds = (double)(g_get_monotonic_time() - start) / 1e6;
    g_hash_table_destroy(p.shown);
    g_byte_array_unref(p.scratch);
    g_byte_array_unref(p.picture);
    /* virglrenderer still points into what it was given: the process ends with it */
    g_hash_table_steal_all(p.backings);
    g_hash_table_destroy(p.backings);
}
