/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  virglrenderer is one per process and its state belongs
 * to the render thread.  It remembers which GL context is current and trusts
 * that nobody changes it; what it does outside a guest's context (creating and
 * destroying things) it does in whatever context is current.  So each call of
 * that kind is made in its context 0 (virgl_renderer_force_ctx_0), and so is
 * everything after we made a context of our own current.
 *
 * Everything a guest can name is kept in a table of ours too: virglrenderer's
 * own reset ends its fence thread for good, so a reset here destroys object by
 * object.
 *
 * On every way out fences are drained first; see virgl_fence.c.
 *
 * Vulkan is in other processes: see venus.h.
 */
#include "venus.h"

#include <epoxy/gl.h>
#include <errno.h>
#include <gio/gio.h>
#include <string.h>

#include "log.h"
#include "memory_info.h"

#define CAPSET_VIRGL  1
#define CAPSET_VIRGL2 2

uint32_t virgl_response(int ret)
{
    switch (ret < 0 ? -ret : ret) {
    case 0:
        return VIRTIO_GPU_RESP_OK_NODATA;
    case ENOMEM:
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    case EINVAL:
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    default:
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
}

/* virglrenderer's callbacks */

static void on_fence(void *opaque, uint32_t cookie)
{
    Renderer *r = opaque;

    virgl_fences_signal(&r->fences, cookie);
}

/* Of contexts of Vulkan: we make none of OpenGL's. */
static void on_context_fence(void *opaque, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence)
{
    Renderer *r = opaque;

    if (r->venus) {
        venus_fences_signal(&r->venus->fences, ctx_id, ring_idx, fence);
    }
}

/* It would start a server of its own if there were none. */
static int on_server_fd(void *opaque, uint32_t version)
{
    Renderer *r = opaque;

    return render_server_take_socket(r->venus->server);
}

static virgl_renderer_gl_context on_create_context(void *opaque, int scanout,
                                                   struct virgl_renderer_gl_ctx_param *param)
{
    Renderer *r = opaque;

    return egl_context_new(r->egl, param->major_ver, param->minor_ver, param->compat_ctx);
}

static void on_destroy_context(void *opaque, virgl_renderer_gl_context context)
{
    Renderer *r = opaque;

    egl_context_free(r->egl, context);
}

static int on_make_current(void *opaque, int scanout, virgl_renderer_gl_context context)
{
    Renderer *r = opaque;

    return egl_make_current(r->egl, context) ? 0 : -EIO;
}

static void *on_display(void *opaque)
{
    Renderer *r = opaque;

    return egl_display(r->egl);
}

/* What virglrenderer says of a guest's mistakes; any thread. */
static void on_log(enum virgl_log_level_flags level, const char *message, void *opaque)
{
    if (level == VIRGL_LOG_LEVEL_ERROR) {
        log_guest("virglrenderer: %.*s", (int)strcspn(message, "\n"), message);
    }
}

/* Life cycle */

static bool start(Renderer *r, GError **error)
{
    int flags = VIRGL_RENDERER_THREAD_SYNC | VIRGL_RENDERER_ASYNC_FENCE_CB;
    int ret;

    if (r->venus) {
        flags |= VIRGL_RENDERER_VENUS | VIRGL_RENDERER_RENDER_SERVER;
    }

    r->callbacks = (struct virgl_renderer_callbacks){
        .version = 4,
        .write_fence = on_fence,
        .create_gl_context = on_create_context,
        .destroy_gl_context = on_destroy_context,
        .make_current = on_make_current,
        .write_context_fence = on_context_fence,
        .get_server_fd = r->venus ? on_server_fd : NULL,
        .get_egl_display = on_display,
    };
    virgl_set_log_callback(on_log, NULL, NULL);
    ret = virgl_renderer_init(r, flags, &r->callbacks);
    if (ret == 0) {
        r->started = true;
    }
    /* Without its thread and eventfd (VIRGL_DISABLE_MT) fences would need a polling timer. */
    if (ret || virgl_renderer_get_poll_fd() < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "virglrenderer does not start on '%s' (%s); it needs OpenGL 3.1 and "
                    "VIRGL_DISABLE_MT unset",
                    egl_description(r->egl), ret ? g_strerror(ret < 0 ? -ret : ret) : "no fence thread");
        return false;
    }
    return true;
}

/* The server may have ended as soon as it began: then virglrenderer would not start at all. */
static void start_venus(Renderer *r, const RendererConfig *config)
{
    g_autoptr(GError) error = NULL;

    if (!config->render_server) {
        return;
    }
    if (render_server_alive(config->render_server)) {
        r->venus = venus_new(config, &error);
    }
    if (!r->venus) {
        log_say("VM '%s' has no Vulkan: %s", r->vm_name,
                error ? error->message : "the render server ended as it began");
    }
}

static void renderer_destroy(Renderer *r);

static Renderer *renderer_create(const RendererConfig *config, GError **error)
{
    Renderer *r;

    if (!config->gl && !config->render_server) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "the profile's apis= allow no OpenGL, and there is no Vulkan");
        return NULL;
    }
    r = g_new0(Renderer, 1);
    r->vm_name = g_strdup(config->vm_name);
    r->ledger = config->ledger;
    r->max_contexts = config->max_contexts;
    r->context_lost = config->context_lost;
    r->process_began = config->process_began;
    r->process_ended = config->process_ended;
    r->opaque = config->opaque;
    r->limits.max_subcontexts = config->max_contexts;
    r->contexts = g_hash_table_new_full(NULL, NULL, NULL, virgl_context_free);
    r->resources = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_queue_init(&r->lingering);
    virgl_fences_init(&r->fences, config->fence_done, config->opaque);

    r->egl = egl_open(config->render_node, error);
    if (r->egl) {
        start_venus(r, config);
    }
    if (!r->egl || !start(r, error)) {
        renderer_destroy(r);
        return NULL;
    }
    if (r->venus) {
        venus_begin(r);
    }
    return r;
}

static void remove_all(GHashTable *table, Renderer *r, void (*remove)(Renderer *r, uint32_t id))
{
    g_autoptr(GList) ids = g_hash_table_get_keys(table);

    for (GList *l = ids; l; l = l->next) {
        remove(r, GPOINTER_TO_UINT(l->data));
    }
}

static void renderer_reset(Renderer *r)
{
    virgl_fences_drain(&r->fences);
    remove_all(r->contexts, r, virgl_context_destroy);
    if (r->venus) {
        remove_all(r->venus->contexts, r, venus_context_destroy);
    }
    remove_all(r->resources, r, virgl_resource_destroy);
    virgl_resource_settle_all(r);
    virgl_fences_drain(&r->fences);
}

static void renderer_destroy(Renderer *r)
{
    if (!r) {
        return;
    }
    if (r->started) {
        renderer_reset(r);
        if (r->framebuffer && egl_make_root_current(r->egl)) {
            glDeleteFramebuffers(1, &r->framebuffer);
            virgl_renderer_force_ctx_0();
        }
        virgl_renderer_cleanup(r);
    }
    venus_free(r->venus);
    g_hash_table_destroy(r->contexts);
    g_hash_table_destroy(r->resources);
    virgl_fences_finish(&r->fences);
    egl_close(r->egl);
    g_free(r->vm_name);
    g_free(r);
}

static const char *renderer_description(Renderer *r)
{
    return egl_description(r->egl);
}

static const char *renderer_gl_version(Renderer *r)
{
    return egl_version(r->egl);
}

static int renderer_poll_fd(Renderer *r)
{
    return r->venus ? r->venus->poll_fd : virgl_renderer_get_poll_fd();
}

static void renderer_poll(Renderer *r)
{
    if (r->venus) {
        venus_poll(r);
    } else {
        virgl_renderer_poll();
    }
}

static bool renderer_context_is_remote(Renderer *r, uint32_t ctx_id)
{
    return venus_context(r, ctx_id) != NULL;
}

static bool renderer_capset_is_remote(Renderer *r, uint32_t capset_id)
{
    return r->venus && capset_id == VIRTIO_GPU_CAPSET_VENUS;
}

/* Capsets */

static bool renderer_capset_info(Renderer *r, uint32_t index, uint32_t *id, uint32_t *version, uint32_t *size)
{
    static const uint32_t ids[] = { CAPSET_VIRGL, CAPSET_VIRGL2, VIRTIO_GPU_CAPSET_VENUS };

    if (index >= G_N_ELEMENTS(ids) - (r->venus ? 0 : 1)) {
        return false;
    }
    *id = ids[index];
    virgl_renderer_get_cap_set(*id, version, size);
    return *size > 0;
}

static bool renderer_capset(Renderer *r, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    g_autofree void *caps = NULL;
    uint32_t full = 0, newest = 0;

    if (id != CAPSET_VIRGL && id != CAPSET_VIRGL2 && !(r->venus && id == VIRTIO_GPU_CAPSET_VENUS)) {
        return false;
    }
    virgl_renderer_get_cap_set(id, &newest, &full);
    if (full == 0 || version > newest) {
        return false;
    }
    /* virglrenderer writes all of it, whatever the guest asked for. */
    caps = g_malloc0(full);
    virgl_renderer_force_ctx_0();
    virgl_renderer_fill_caps(id, version, caps);
    if (id == CAPSET_VIRGL2 &&
        !memory_info_patch_caps(caps, full, egl_description(r->egl), ledger_limit(r->ledger))) {
        log_guest("VM '%s': this virglrenderer's capset has another layout than version 1.1's; "
                  "the guest is not told its %" G_GUINT64_FORMAT " MiB of video memory",
                  r->vm_name, ledger_limit(r->ledger) >> 20);
    }
    memset(data, 0, size);
    memcpy(data, caps, MIN(size, full));
    return true;
}

const RendererOps renderer_virgl_ops = {
    .name = "virgl",
    .kind = VGPU_RENDERER_VIRGL,
    .virtio_features = 1ull << VIRTIO_GPU_F_VIRGL | 1ull << VIRTIO_GPU_F_CONTEXT_INIT,
    .create = renderer_create,
    .destroy = renderer_destroy,
    .reset = renderer_reset,
    .description = renderer_description,
    .gl_version = renderer_gl_version,
    .poll_fd = renderer_poll_fd,
    .poll = renderer_poll,
    .capset_info = renderer_capset_info,
    .capset = renderer_capset,
    .resource_create = virgl_resource_create,
    .resource_destroy = virgl_resource_destroy,
    .backing_attach = virgl_resource_attach,
    .backing_detach = virgl_resource_detach,
    .transfer_to_host = virgl_resource_to_host,
    .transfer_from_host = virgl_resource_from_host,
    .read_pixels = virgl_pixels_read,
    .context_create = virgl_context_create,
    .context_destroy = virgl_context_destroy,
    .context_attach = virgl_context_attach,
    .context_detach = virgl_context_detach,
    .context_is_remote = renderer_context_is_remote,
    .capset_is_remote = renderer_capset_is_remote,
    .submit = virgl_context_submit,
    .blob_bytes = virgl_blob_bytes,
    .blob_create = virgl_blob_create,
    .blob_export = virgl_blob_export,
    .create_fence = virgl_context_fence,
};
