/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The null renderer: takes every command, draws nothing.  Queues, quota,
 * dispatch and fences are tested with it where there is no graphics at all.
 *
 * Its fences are done by a thread of its own a moment later, as a GPU's are:
 * so it is the renderer that shows whether asynchronous answers work.
 *
 * It can play a GPU that is busy, for tests of whatever divides GPU time: a
 * submit costs as much as an option says, and it burns that much of a CPU's
 * time (as software rendering does), sleeps (a call that does not return) or is
 * async: then that thread does one submit after the other, as hardware does.  Or
 * a child process burns it, as one of Vulkan's does (outside of a sandbox, which
 * lets no renderer fork).
 * A submit of the one word NULL_LOSE loses its context.  A context of capset
 * VIRTIO_GPU_CAPSET_VENUS works as if in another process.  A submit of NULL_HOARD
 * and two more takes shared memory that nobody asked for, as a renderer does
 * that its guest has taken over: so many MiB, in the way that the next one says,
 * and if there is one more, so many milliseconds later, when nobody expects it.
 *
 * A submit of NULL_HOSTILE and four more makes it a hostile host: see hostile.h.
 *
 * Its blobs of host memory are memfds, of the kinds that real renderers have
 * and those that nobody should: blob_id says which (enum NullBlobKind).  The
 * first word of each of the first NULL_MARKED pages tells whose it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_gpu.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"
#include "ops.h"

/* AR24: what its black pixels are. */
#define NULL_FOURCC 0x34325241u

/* However much a submit asks for, microseconds. */
#define COST_MAX_US (60 * G_TIME_SPAN_SECOND)

/* "LOSE" */
#define NULL_LOSE 0x45534f4cu

/* "HOAR" */
#define NULL_HOARD 0x52414f48u

typedef enum NullHoardWay {
    NULL_HOARD_WRITTEN, /* to a file that is never mapped */
    NULL_HOARD_CLOSED,  /* a file that is mapped and no longer open */
    NULL_HOARD_NO_FILE, /* a shared mapping alone */
} NullHoardWay;

typedef enum NullBlobKind {
    NULL_BLOB_SEALED = 0,
    NULL_BLOB_BEHIND_HEADER = 1, /* of a page, as lavapipe's OPAQUE memory is */
    NULL_BLOB_UNSEALED = 2,      /* whoever shares it has to */
    NULL_BLOB_NO_FILE = 3,       /* nothing that could be mapped */
    NULL_BLOB_SHORT = 4,         /* a page too short */
    NULL_BLOB_PRIVATE = 5,       /* not to be exported */
    NULL_BLOB_FAILS = 6,         /* not to be made */
} NullBlobKind;

#define NULL_PAGE   4096u
#define NULL_MARKED 16u /* pages */

typedef struct NullBlob {
    NullBlobKind kind;
    int fd;
    uint64_t offset;
} NullBlob;

typedef enum NullHow { NULL_BURN, NULL_SLEEP, NULL_ASYNC, NULL_CHILD } NullHow;

typedef struct NullJob {
    enum { NULL_FENCE, NULL_REMOTE_FENCE, NULL_WORK, NULL_END } kind;
    uint64_t value; /* the fence, or microseconds */
} NullJob;

struct Renderer {
    void (*fence_done)(void *opaque, uint64_t fence);
    void (*remote_fence_done)(void *opaque, uint64_t fence);
    void (*context_lost)(void *opaque, uint32_t ctx_id);
    bool (*hostile)(void *opaque, const uint32_t words[5]);
    void *opaque;
    GHashTable *remote; /* ids of contexts that are as if they were in other processes */
    GHashTable *blobs;  /* resource_id -> NullBlob, those of host memory */
    int64_t submit_us;  /* of a submit; -1: it says so itself */
    NullHow how;
    GAsyncQueue *jobs; /* of NullJob, allocated */
    GThread *thread;
    int child; /* the socket to it, -1: none */
};

static gpointer null_fence_thread(gpointer data)
{
    Renderer *r = data;

    for (;;) {
        g_autofree NullJob *job = g_async_queue_pop(r->jobs);

        if (job->kind == NULL_END) {
            return NULL;
        }
        if (job->kind == NULL_WORK) {
            g_usleep(job->value);
        } else if (job->kind == NULL_REMOTE_FENCE) {
            r->remote_fence_done(r->opaque, job->value);
        } else {
            r->fence_done(r->opaque, job->value);
        }
    }
}

static void null_push(Renderer *r, NullJob job)
{
    g_async_queue_push(r->jobs, g_memdup2(&job, sizeof(job)));
}

static int64_t null_cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * G_USEC_PER_SEC + ts.tv_nsec / 1000;
}

static void null_burn(int64_t us)
{
    int64_t end = null_cpu_us() + us;

    while (null_cpu_us() < end) {
        continue;
    }
}

/* In the child, which has no other thread: burns what it is told to until nobody tells it any more. */
static G_NORETURN void null_child(int fd)
{
    int64_t us;

    while (read(fd, &us, sizeof(us)) == sizeof(us)) {
        null_burn(us);
        if (write(fd, &us, sizeof(us)) < 0) {
            break;
        }
    }
    _exit(0);
}

static void null_burn_in_child(const Renderer *r, int64_t us)
{
    if (write(r->child, &us, sizeof(us)) == sizeof(us)) {
        while (read(r->child, &us, sizeof(us)) < 0 && errno == EINTR) {
        }
    }
}

static bool null_start_child(Renderer *r, GError **error)
{
    int pair[2];
    pid_t pid = -1;

    if (r->how != NULL_CHILD) {
        return true;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
        pid = fork();
        if (pid == 0) {
            /* nobody's end but its own: their other ends are to see when they close */
            dup2(pair[1], 3);
            close_range(4, ~0u, 0);
            null_child(3);
        }
        close(pair[1]);
        r->child = pair[0];
    }
    if (pid < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "cannot make a process: %s",
                    g_strerror(errno));
    }
    return pid > 0;
}

static bool null_how(const char *name, NullHow *how, GError **error)
{
    static const char *const names[] = { "burn", "sleep", "async", "child" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!g_strcmp0(name, names[i])) {
            *how = (NullHow)i;
            return true;
        }
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--null-submit-how=%s is not one: use burn, sleep, async or child", name);
    return false;
}

static void null_blob_free(gpointer blob)
{
    NullBlob *b = blob;

    if (b->fd >= 0) {
        close(b->fd);
    }
    g_free(b);
}

static Renderer *null_create(const RendererConfig *config, GError **error)
{
    Renderer *r = g_new0(Renderer, 1);

    r->fence_done = config->fence_done;
    r->remote_fence_done = config->remote_fence_done;
    r->context_lost = config->context_lost;
    r->hostile = config->null_hostile;
    r->remote = g_hash_table_new(NULL, NULL);
    r->opaque = config->opaque;
    r->blobs = g_hash_table_new_full(NULL, NULL, NULL, null_blob_free);
    r->submit_us = config->null_submit_us;
    r->jobs = g_async_queue_new_full(g_free);
    r->child = -1;
    r->thread = null_how(config->null_submit_how, &r->how, error) && null_start_child(r, error)
                    ? g_thread_try_new("fences", null_fence_thread, r, error)
                    : NULL;
    if (!r->thread) {
        g_async_queue_unref(r->jobs);
        g_hash_table_unref(r->blobs);
        g_hash_table_unref(r->remote);
        g_free(r);
        return NULL;
    }
    return r;
}

static void null_destroy(Renderer *r)
{
    null_push(r, (NullJob){ .kind = NULL_END });
    g_thread_join(r->thread);
    if (r->child >= 0) {
        close(r->child);
        wait(NULL);
    }
    g_async_queue_unref(r->jobs);
    g_hash_table_unref(r->blobs);
    g_hash_table_unref(r->remote);
    g_free(r);
}

static void null_reset(Renderer *r)
{
    g_hash_table_remove_all(r->blobs);
    g_hash_table_remove_all(r->remote);
}

static const char *null_description(Renderer *r)
{
    return "null";
}

static int null_poll_fd(Renderer *r)
{
    return -1;
}

static void null_poll(Renderer *r)
{
}

static bool null_capset_info(Renderer *r, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size)
{
    return false;
}

static bool null_capset(Renderer *r, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    return false;
}

static uint32_t null_resource_create(Renderer *r, uint32_t resource_id, const ResourceShape *shape)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void null_resource_destroy(Renderer *r, uint32_t resource_id)
{
    g_hash_table_remove(r->blobs, GUINT_TO_POINTER(resource_id));
}

static uint32_t null_backing_attach(Renderer *r, uint32_t resource_id, const struct iovec *iov,
                                    uint32_t count)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void null_backing_detach(Renderer *r, uint32_t resource_id)
{
}

static uint32_t null_transfer(Renderer *r, const RendererTransfer *t)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t null_read_pixels(Renderer *r, uint32_t resource_id, uint32_t x, uint32_t y, uint32_t w,
                                 uint32_t h, void *dst, uint32_t dst_stride, uint32_t *drm_fourcc)
{
    *drm_fourcc = NULL_FOURCC;
    for (uint32_t i = 0; dst && i < h; i++) {
        memset((uint8_t *)dst + (size_t)i * dst_stride, 0, (size_t)w * 4);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static bool null_context_is_remote(Renderer *r, uint32_t ctx_id)
{
    return g_hash_table_contains(r->remote, GUINT_TO_POINTER(ctx_id));
}

static bool null_capset_is_remote(Renderer *r, uint32_t capset_id)
{
    return capset_id == VIRTIO_GPU_CAPSET_VENUS;
}

static uint32_t null_context_create(Renderer *r, uint32_t ctx_id, uint32_t capset_id, const char *name,
                                    uint32_t name_len)
{
    if (null_capset_is_remote(r, capset_id)) {
        g_hash_table_add(r->remote, GUINT_TO_POINTER(ctx_id));
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void null_context_destroy(Renderer *r, uint32_t ctx_id)
{
    g_hash_table_remove(r->remote, GUINT_TO_POINTER(ctx_id));
}

static uint32_t null_context_attach(Renderer *r, uint32_t ctx_id, uint32_t resource_id)
{
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static void null_context_detach(Renderer *r, uint32_t ctx_id, uint32_t resource_id)
{
}

/* Kept until the process ends. */
static void null_hoard(uint32_t mib, uint32_t way)
{
    size_t size = (size_t)mib << 20;
    int fd = way == NULL_HOARD_NO_FILE ? -1 : memfd_create("vgpu-hoard", MFD_CLOEXEC);
    void *map;

    if (way != NULL_HOARD_NO_FILE && posix_fallocate(fd, 0, (off_t)size)) {
        close(fd);
        return;
    }
    if (way == NULL_HOARD_WRITTEN) {
        return;
    }
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    if (map != MAP_FAILED && fd < 0) {
        memset(map, 1, size);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static gpointer null_hoard_later(gpointer data)
{
    g_autofree uint32_t *words = data;

    g_usleep(words[3] * 1000ul);
    null_hoard(words[1], words[2]);
    return NULL;
}

static uint32_t null_submit(Renderer *r, uint32_t ctx_id, void *commands, uint32_t size)
{
    uint32_t word = *(const uint32_t *)commands;
    int64_t us = r->submit_us < 0 ? word : r->submit_us;

    if (size == sizeof(word) && word == NULL_LOSE) {
        r->context_lost(r->opaque, ctx_id);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (size == 5 * sizeof(word) && word == NULL_HOSTILE) {
        return r->hostile(r->opaque, commands) ? VIRTIO_GPU_RESP_OK_NODATA
                                               : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (size == 3 * sizeof(word) && word == NULL_HOARD) {
        null_hoard(((const uint32_t *)commands)[1], ((const uint32_t *)commands)[2]);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (size == 4 * sizeof(word) && word == NULL_HOARD) {
        g_thread_unref(g_thread_new("hoard", null_hoard_later, g_memdup2(commands, size)));
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    us = MIN(us, COST_MAX_US);
    if (!us) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    switch (r->how) {
    case NULL_BURN:
        null_burn(us);
        break;
    case NULL_SLEEP:
        g_usleep((gulong)us);
        break;
    case NULL_CHILD:
        null_burn_in_child(r, us);
        break;
    case NULL_ASYNC:
        null_push(r, (NullJob){ NULL_WORK, (uint64_t)us });
        break;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static bool null_blob_is_host(const RendererBlob *blob)
{
    return blob->mem != VIRTIO_GPU_BLOB_MEM_GUEST;
}

static uint64_t null_blob_bytes(Renderer *r, const RendererBlob *blob)
{
    return null_blob_is_host(blob) ? blob->size : 0;
}

static bool null_blob_mark(const NullBlob *b, uint32_t resource_id, uint64_t size)
{
    for (uint32_t page = 0; page < MIN(size / NULL_PAGE, NULL_MARKED); page++) {
        uint32_t mark = resource_id << 8 | page;

        if (pwrite(b->fd, &mark, sizeof(mark), (off_t)(b->offset + page * NULL_PAGE)) != sizeof(mark)) {
            return false;
        }
    }
    return true;
}

static bool null_blob_fill(NullBlob *b, const RendererBlob *blob)
{
    uint64_t size = blob->size;

    switch (b->kind) {
    case NULL_BLOB_NO_FILE:
        b->fd = eventfd(0, EFD_CLOEXEC);
        return b->fd >= 0;
    case NULL_BLOB_BEHIND_HEADER:
        b->offset = NULL_PAGE;
        size += NULL_PAGE;
        break;
    case NULL_BLOB_SHORT:
        size -= NULL_PAGE;
        break;
    default:
        break;
    }
    b->fd = memfd_create("vgpu-null-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return b->fd >= 0 && ftruncate(b->fd, (off_t)size) == 0 &&
           null_blob_mark(b, blob->resource_id, size - b->offset) &&
           (b->kind == NULL_BLOB_UNSEALED || fcntl(b->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
}

static uint32_t null_blob_create(Renderer *r, const RendererBlob *blob)
{
    NullBlob *b;

    if (!null_blob_is_host(blob)) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (blob->blob_id >= NULL_BLOB_FAILS) {
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    b = g_new0(NullBlob, 1);
    b->kind = (NullBlobKind)blob->blob_id;
    b->fd = -1;
    if (!null_blob_fill(b, blob)) {
        null_blob_free(b);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    g_hash_table_insert(r->blobs, GUINT_TO_POINTER(blob->resource_id), b);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t null_blob_export(Renderer *r, uint32_t resource_id, RendererMemory *memory)
{
    const NullBlob *b = g_hash_table_lookup(r->blobs, GUINT_TO_POINTER(resource_id));

    if (!b || b->kind == NULL_BLOB_PRIVATE) {
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    *memory = (RendererMemory){
        .fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 3),
        .offset = b->offset,
        .map_info = VIRTIO_GPU_MAP_CACHE_CACHED,
    };
    return memory->fd >= 0 ? VIRTIO_GPU_RESP_OK_NODATA : VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
}

static uint32_t null_create_fence(Renderer *r, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence)
{
    null_push(r, (NullJob){ null_context_is_remote(r, ctx_id) ? NULL_REMOTE_FENCE : NULL_FENCE, fence });
    return VIRTIO_GPU_RESP_OK_NODATA;
}

const RendererOps renderer_null_ops = {
    .name = "null",
    .kind = VGPU_RENDERER_NULL,
    .virtio_features = 1ull << VIRTIO_GPU_F_VIRGL | 1ull << VIRTIO_GPU_F_CONTEXT_INIT,
    .create = null_create,
    .destroy = null_destroy,
    .reset = null_reset,
    .description = null_description,
    .poll_fd = null_poll_fd,
    .poll = null_poll,
    .capset_info = null_capset_info,
    .capset = null_capset,
    .resource_create = null_resource_create,
    .resource_destroy = null_resource_destroy,
    .backing_attach = null_backing_attach,
    .backing_detach = null_backing_detach,
    .transfer_to_host = null_transfer,
    .transfer_from_host = null_transfer,
    .read_pixels = null_read_pixels,
    .context_create = null_context_create,
    .context_destroy = null_context_destroy,
    .context_attach = null_context_attach,
    .context_detach = null_context_detach,
    .context_is_remote = null_context_is_remote,
    .capset_is_remote = null_capset_is_remote,
    .submit = null_submit,
    .blob_bytes = null_blob_bytes,
    .blob_create = null_blob_create,
    .blob_export = null_blob_export,
    .create_fence = null_create_fence,
};
