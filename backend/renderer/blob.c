/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "blob.h"

#include <inttypes.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "format.h"
#include "iov.h"
#include "late.h"
#include "log.h"

#define PAGE 4096u
#define ALL_FLAGS                                                                                            \
    (VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE | VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE |                                \
     VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE)

static bool blob_is_host(const Blob *b)
{
    return b->mem != VIRTIO_GPU_BLOB_MEM_GUEST;
}

/* What a list of guest pages costs us: as the guest gave them, and translated. */
static uint64_t blob_list_bytes(uint32_t entries)
{
    uint64_t bytes = entries * (uint64_t)(sizeof(struct TablePages) + sizeof(struct iovec));

    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static uint32_t blob_check(Device *d, const struct virtio_gpu_resource_create_blob *in,
                           const struct virtio_gpu_mem_entry *entries)
{
    bool guest =
        in->blob_mem == VIRTIO_GPU_BLOB_MEM_GUEST || in->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST;
    bool host =
        in->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D || in->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST;
    uint64_t sum = 0;

    if ((!guest && !host) || in->blob_flags & ~ALL_FLAGS || !in->size || guest != (in->nr_entries > 0) ||
        in->nr_entries > BACKING_ENTRIES_MAX || (host && in->size % PAGE)) {
        log_guest("blob %u: memory %u, flags 0x%x, %" PRIu64 " bytes in %u entries are no blob",
                  in->resource_id, in->blob_mem, in->blob_flags, (uint64_t)in->size, in->nr_entries);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    for (uint32_t i = 0; i < in->nr_entries; i++) {
        sum += entries[i].length; /* 2^17 times less than 2^32 */
    }
    if (guest && sum < in->size) {
        log_guest("blob %u: %" PRIu64 " bytes in entries of %" PRIu64 " bytes", in->resource_id,
                  (uint64_t)in->size, sum);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (host && (!late_start(d) || !d->ops->blob_create)) {
        log_guest("blob %u: a %s renderer has no host memory for blobs", in->resource_id, d->ops->name);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if ((host || in->hdr.ctx_id) && !g_hash_table_contains(d->contexts, GUINT_TO_POINTER(in->hdr.ctx_id))) {
        log_guest("blob %u: there is no context %u", in->resource_id, in->hdr.ctx_id);
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t blob_create(Device *d, const struct virtio_gpu_resource_create_blob *in,
                     const struct virtio_gpu_mem_entry *entries)
{
    RendererBlob rb = {
        .resource_id = in->resource_id,
        .ctx_id = in->hdr.ctx_id,
        .mem = in->blob_mem,
        .flags = in->blob_flags,
        .blob_id = in->blob_id,
        .size = in->size,
    };
    uint64_t bytes = blob_list_bytes(in->nr_entries), own;
    uint32_t code;
    Resource *r;

    if (!resource_id_free(d, in->resource_id)) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    code = blob_check(d, in, entries);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        return code;
    }
    own = d->ops->blob_bytes ? d->ops->blob_bytes(d->renderer, &rb) : 0;
    if (__builtin_add_overflow(bytes, own, &bytes)) {
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    r = resource_new(d, in->resource_id, &(ResourceShape){ 0 }, false, bytes, &code);
    if (!r) {
        return code;
    }
    r->blob = g_new0(Blob, 1);
    *r->blob = (Blob){
        .mem = rb.mem,
        .flags = rb.flags,
        .ctx_id = rb.ctx_id,
        .size = rb.size,
        .view_fd = -1,
    };
    if (in->nr_entries) {
        code = resource_take_pages(d, r, entries, in->nr_entries);
        rb.iov = r->iov;
        rb.iov_count = r->iov_count;
    }
    if (code == VIRTIO_GPU_RESP_OK_NODATA && d->ops->blob_create) {
        code = d->ops->blob_create(d->renderer, &rb);
    }
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        resource_drop(d, r);
        return code;
    }
    r->in_renderer = d->ops->blob_create != NULL;
    r->blob->remote = blob_is_host(r->blob) && d->ops->context_is_remote &&
                      d->ops->context_is_remote(d->renderer, rb.ctx_id);
    table_resource_blob(d->table, r->slot, rb.mem, rb.flags, rb.size);
    if (in->nr_entries) {
        resource_keep_pages(d, r);
    }
    resource_publish(d, r);
    return code;
}

bool blob_is_made(Device *d, const struct virtio_gpu_resource_create_blob *in)
{
    const Resource *r = resource_find(d, in->resource_id);

    return r && r->blob && r->blob->mem == in->blob_mem && r->blob->flags == in->blob_flags &&
           r->blob->size == in->size;
}

/* ---- the window ---- */

static bool blob_is_mapped(Device *d, const Blob *b)
{
    return b->place.id && window_has(&d->window, &b->place);
}

uint32_t blob_map(Device *d, Resource *r, uint64_t offset, uint32_t *map_info)
{
    RendererMemory memory = { .fd = -1 };
    Blob *b = r->blob;
    uint32_t code;

    if (!blob_is_host(b) || !(b->flags & VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE)) {
        log_guest("blob %u was not made to be mapped", r->id);
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (blob_is_mapped(d, b)) {
        log_guest("blob %u is mapped already", r->id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    code = d->ops->blob_export(d->renderer, r->id, &memory);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        log_guest("blob %u: its memory cannot be shared", r->id);
        return code;
    }
    *map_info = memory.map_info;
    b->revoked = false;
    return window_map(d, offset, b->size, &memory, &b->place); /* ownership transferred */
}

uint32_t blob_unmap(Device *d, Resource *r)
{
    Blob *b = r->blob;

    if (b->revoked) {
        b->revoked = false; /* all that is left to do */
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (!blob_is_mapped(d, b)) {
        log_guest("blob %u is not mapped", r->id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    window_unmap(d, &b->place, 0);
    b->place.id = 0;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void blob_unmap_for_good(Device *d, Resource *r)
{
    Blob *b = r->blob;

    if (b && b->place.id) {
        window_unmap(d, &b->place, r->charged);
        r->charged = 0;
        b->place.id = 0;
    }
}

void blob_lose_context(Device *d, uint32_t ctx_id)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, d->resources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Resource *r = value;

        if (r->blob && r->blob->ctx_id == ctx_id && blob_is_mapped(d, r->blob)) {
            blob_unmap(d, r);
            r->blob->revoked = true;
        }
    }
    window_send(d, 0);
}

void blob_free(Resource *r)
{
    Blob *b = g_steal_pointer(&r->blob);

    if (!b) {
        return;
    }
    if (b->view.iov_base) {
        munmap(b->view.iov_base, b->view.iov_len);
    }
    if (b->view_fd >= 0) {
        close(b->view_fd);
    }
    g_free(b);
}

/* ---- its pixels ---- */

bool blob_frame_fits(const Resource *r, const BlobFrame *f)
{
    uint64_t end;

    if (!f->width || f->width > VGPU_MAX_SIZE || !f->height || f->height > VGPU_MAX_SIZE ||
        !format_fourcc(f->format) || f->stride % 4 || f->stride / 4 < f->width || f->offset % 4) {
        return false;
    }
    end = f->offset + (uint64_t)f->stride * (f->height - 1) + (uint64_t)f->width * 4;
    return end <= r->blob->size;
}

/* Host memory is mapped here once somebody wants to see it. */
uint32_t blob_prepare_read(Device *d, Resource *r)
{
    RendererMemory memory = { .fd = -1 };
    Blob *b = r->blob;
    struct statfs fs;
    uint32_t code;
    void *map = MAP_FAILED;

    if (!blob_is_host(b)) {
        return r->has_backing ? VIRTIO_GPU_RESP_OK_NODATA : VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (b->view.iov_base) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    code = d->ops->blob_export(d->renderer, r->id, &memory);
    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        return code;
    }
    if (window_can_show(memory.fd, memory.offset, b->size)) {
        map = mmap(NULL, b->size, PROT_READ, MAP_SHARED, memory.fd, (off_t)memory.offset);
    }
    if (map == MAP_FAILED) {
        log_guest("blob %u: this host cannot read memory of its kind", r->id);
        close(memory.fd);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    b->view = (struct iovec){ map, b->size };
    if (fstatfs(memory.fd, &fs) == 0 && (unsigned)fs.f_type == DMA_BUF_MAGIC) {
        b->view_fd = memory.fd;
    } else {
        close(memory.fd);
    }
    return code;
}

/* A dmabuf's exporter makes the CPU see what the GPU wrote. */
static void blob_sync(const Blob *b, uint64_t what)
{
    struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_READ | what };

    if (b->view_fd >= 0) {
        ioctl(b->view_fd, DMA_BUF_IOCTL_SYNC, &sync);
    }
}

uint32_t blob_read(const Resource *r, const BlobFrame *f, const Rect *rect, void *dst, uint32_t dst_stride)
{
    const Blob *b = r->blob;
    bool host = blob_is_host(b);
    const struct iovec *iov = host ? &b->view : r->iov;
    IovCursor c = {
        .iov = iov,
        .left = host ? 1 : r->iov_count,
        .offset = f->offset + (uint64_t)f->stride * rect->y + (uint64_t)rect->x * 4,
    };
    uint64_t line = (uint64_t)rect->w * 4;

    if (!iov || !iov->iov_base) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC; /* its pages were taken away since */
    }
    blob_sync(b, DMA_BUF_SYNC_START);
    for (uint32_t y = 0; y < rect->h; y++) {
        iov_cursor_read(&c, (uint8_t *)dst + (size_t)y * dst_stride, line);
        iov_cursor_skip(&c, f->stride - line);
    }
    blob_sync(b, DMA_BUF_SYNC_END);
    return VIRTIO_GPU_RESP_OK_NODATA;
}
