/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See venus.h for the theory. */
#include "venus.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"

/* How long a context process may take from its fork to its hello. */
#define HELLO_MS 5000

/*
 * What a process has of its own before it does anything (measured); what its
 * driver takes later is bounded by what bounds the processes of the VM.
 */
#define PROCESS_BYTES (4u * 1024 * 1024)

/* How long one that was destroyed may take to go when there is no room for others. */
#define GOING_MS 1000

/*
 * Mesa sends some ten bytes to wake a ring; all else is in shared memory.
 * virglrenderer sends what it is given in one message, which must fit into the
 * buffer of a socket.
 */
#define SUBMIT_MAX (64u * 1024)

/* What the poll set tells apart from a process. */
static char poll_virgl, poll_server, poll_log;

static void watch(Venus *v, int fd, void *what)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = what };

    if (fd >= 0) {
        epoll_ctl(v->poll_fd, EPOLL_CTL_ADD, fd, &ev);
    }
}

Venus *venus_new(const RendererConfig *config, GError **error)
{
    Venus *v = g_new0(Venus, 1);

    v->server = config->render_server;
    v->books = config->books;
    v->contexts = g_hash_table_new(NULL, NULL);
    v->processes = g_hash_table_new(NULL, NULL);
    venus_fences_init(&v->fences, config->remote_fence_done, config->opaque);
    v->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (v->poll_fd < 0 || !venus_guard_start(&v->guard, config->patience, config->opaque, error) ||
        !venus_signs_start(&v->signs, error)) {
        if (error && !*error) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "epoll: %s", g_strerror(errno));
        }
        venus_free(v);
        return NULL;
    }
    return v;
}

void venus_begin(Renderer *r)
{
    Venus *v = r->venus;

    watch(v, virgl_renderer_get_poll_fd(), &poll_virgl);
    watch(v, render_server_fd(v->server), &poll_server);
    watch(v, render_server_log_fd(v->server), &poll_log);
}

static void process_free(Venus *v, VenusProcess *p)
{
    close(p->leash); /* ends it, if it has not ended */
    ledger_refund(v->books->ledger, PROCESS_BYTES);
    g_hash_table_remove(v->processes, p);
    venus_guard_count(&v->guard, -1);
    g_free(p);
}

void venus_free(Venus *v)
{
    g_autoptr(GList) processes = NULL;

    if (!v) {
        return;
    }
    processes = g_hash_table_get_keys(v->processes);
    for (GList *l = processes; l; l = l->next) {
        process_free(v, l->data);
    }
    venus_guard_stop(&v->guard);
    venus_signs_stop(&v->signs);
    g_hash_table_destroy(v->contexts);
    g_hash_table_destroy(v->processes);
    venus_fences_finish(&v->fences);
    if (v->poll_fd >= 0) {
        close(v->poll_fd);
    }
    g_free(v);
}

VenusContext *venus_context(Renderer *r, uint32_t ctx_id)
{
    return r->venus ? g_hash_table_lookup(r->venus->contexts, GUINT_TO_POINTER(ctx_id)) : NULL;
}

/* ---- the end of a context, and of a process ---- */

/* virglrenderer's part of it, and its process. */
static void end(Renderer *r, VenusContext *ctx)
{
    ctx->process->context = NULL;
    ctx->process = NULL;
    venus_signs_end(&r->venus->signs, ctx);
    virgl_renderer_context_destroy(ctx->id);
    g_hash_table_remove_all(ctx->attached);
    venus_fences_finish_context(&r->venus->fences, ctx->id);
}

static void lose_blobs(Renderer *r, uint32_t ctx_id)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, r->resources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        VenusBlob *host = ((VirglResource *)value)->host;

        if (host && host->ctx_id == ctx_id) {
            host->lost = true;
        }
    }
}

static void lose(Renderer *r, VenusContext *ctx, const char *why)
{
    log_guest_loses("VM '%s': the Vulkan context %u of '%s' is lost: %s", r->vm_name, ctx->id, ctx->name,
                    why);
    end(r, ctx);
    lose_blobs(r, ctx->id);
    r->context_lost(r->opaque, ctx->id);
}

static void process_gone(Renderer *r, VenusProcess *p)
{
    Venus *v = r->venus;
    VulkanRemains remains;
    uint64_t wrong;

    vulkan_books_bury(v->books, p->slot, &remains);
    r->process_ended(r->opaque, remains.lease_ticket, remains.lease_users, remains.hung);
    if (p->context) {
        lose(r, p->context,
             remains.hung ? "its work on the GPU took longer than the profile's hang-timeout"
                          : "its process has ended");
    }
    process_free(v, p);
    if (g_hash_table_size(v->processes) == 0) {
        wrong = vulkan_books_correct(v->books);
        if (wrong) {
            log_say("the books of Vulkan were wrong by %" G_GUINT64_FORMAT " bytes and are right again",
                    wrong);
        }
    }
}

/* They would end by themselves, if they can. */
static void end_all_processes(Venus *v)
{
    GHashTableIter iter;
    gpointer process;

    g_hash_table_iter_init(&iter, v->processes);
    while (g_hash_table_iter_next(&iter, &process, NULL)) {
        if (write(((VenusProcess *)process)->leash, "", 1) < 0) {
            continue; /* it has ended */
        }
    }
}

static void server_gone(Renderer *r)
{
    Venus *v = r->venus;
    g_autoptr(GList) contexts = g_hash_table_get_values(v->contexts);

    epoll_ctl(v->poll_fd, EPOLL_CTL_DEL, render_server_fd(v->server), NULL);
    if (v->gone) {
        return;
    }
    v->gone = true;
    log_say("the render server has ended: VM '%s' has no Vulkan until it gets another renderer", r->vm_name);
    end_all_processes(v);
    for (GList *l = contexts; l; l = l->next) {
        VenusContext *ctx = l->data;

        if (ctx->process) {
            lose(r, ctx, "the render server has ended");
        }
    }
}

void venus_poll(Renderer *r)
{
    struct epoll_event events[16];
    int n = epoll_wait(r->venus->poll_fd, events, G_N_ELEMENTS(events), 0);

    for (int i = 0; i < n; i++) {
        void *what = events[i].data.ptr;

        if (what == &poll_virgl) {
            virgl_renderer_poll();
        } else if (what == &poll_log) {
            render_server_log(r->venus->server);
        } else if (what == &poll_server) {
            server_gone(r);
        } else if (events[i].events & (EPOLLHUP | EPOLLERR)) {
            process_gone(r, what);
        }
    }
}

/* ---- contexts ---- */

static void context_free(VenusContext *ctx)
{
    g_hash_table_destroy(ctx->attached);
    g_free(ctx);
}

/* Of processes that are no context's any more: one that said hello too late. */
static void forget_hellos(Venus *v)
{
    uint32_t slot;
    int leash;

    while (render_server_hello(v->server, 0, &slot, &leash)) {
        close(leash);
    }
}

static bool slot_is_free(Venus *v, uint32_t slot)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, v->processes);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if ((uint32_t)((VenusProcess *)key)->slot == slot) {
            return false;
        }
    }
    return slot < VGPU_VULKAN_PROCESSES && vulkan_books_taken(v->books, (int)slot);
}

/* The process of the context that virglrenderer has just made; NULL: it is not one of ours. */
static VenusProcess *process_new(Renderer *r)
{
    Venus *v = r->venus;
    VenusProcess *p;
    uint32_t slot;
    int leash;

    if (!render_server_hello(v->server, HELLO_MS, &slot, &leash)) {
        log_guest("VM '%s': refused a Vulkan context: its process does not say hello; is the Vulkan layer "
                  "in place?",
                  r->vm_name);
        return NULL;
    }
    if (!slot_is_free(v, slot)) {
        log_guest("VM '%s': refused a Vulkan context: its process says it has slot %u, which it has not",
                  r->vm_name, slot);
        close(leash);
        return NULL;
    }
    p = g_new0(VenusProcess, 1);
    p->slot = (int)slot;
    p->leash = leash;
    g_hash_table_add(v->processes, p);
    venus_guard_count(&v->guard, 1);
    watch(v, leash, p);
    r->process_began(r->opaque);
    return p;
}

/* Whether there is room for one more process; waits for those that are about to end. */
static bool room_for_process(Renderer *r)
{
    Venus *v = r->venus;
    int64_t deadline = g_get_monotonic_time() + GOING_MS * 1000;

    while (g_hash_table_size(v->processes) >= VGPU_VULKAN_PROCESSES) {
        struct pollfd p = { .fd = v->poll_fd, .events = POLLIN };

        if (g_hash_table_size(v->contexts) >= VGPU_VULKAN_PROCESSES || g_get_monotonic_time() > deadline) {
            return false;
        }
        poll(&p, 1, 10);
        venus_poll(r);
    }
    return true;
}

/* Charges for it. */
static uint32_t check_new(Renderer *r, uint32_t ctx_id)
{
    Venus *v = r->venus;

    if (ctx_id == 0 || venus_context(r, ctx_id) ||
        g_hash_table_contains(r->contexts, GUINT_TO_POINTER(ctx_id))) {
        return VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
    }
    if (v->gone) {
        log_guest("VM '%s': refused a Vulkan context: the render server has ended", r->vm_name);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (r->max_contexts && r->limits.subcontexts >= r->max_contexts) {
        log_guest("VM '%s': refused a Vulkan context: its profile's max-contexts=%u are in use", r->vm_name,
                  r->max_contexts);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    if (!room_for_process(r)) {
        log_guest("VM '%s': refused a Vulkan context: there are %u already", r->vm_name,
                  VGPU_VULKAN_PROCESSES);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    if (!ledger_charge(r->ledger, PROCESS_BYTES)) {
        log_guest("VM '%s': refused a Vulkan context: its %u KiB do not fit into the %" G_GUINT64_FORMAT
                  " MiB that are free of %" G_GUINT64_FORMAT " MiB",
                  r->vm_name, PROCESS_BYTES >> 10, ledger_free(r->ledger) >> 20,
                  ledger_limit(r->ledger) >> 20);
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t venus_context_create(Renderer *r, uint32_t ctx_id, const char *name, uint32_t name_len)
{
    uint32_t code = check_new(r, ctx_id);
    VenusContext *ctx;
    int ret;

    if (code != VIRTIO_GPU_RESP_OK_NODATA) {
        return code;
    }
    ctx = g_new0(VenusContext, 1);
    ctx->id = ctx_id;
    ctx->attached = g_hash_table_new(NULL, NULL);
    virgl_set_name(ctx->name, sizeof(ctx->name), name, name_len);
    render_server_wake(r->venus->server);
    forget_hellos(r->venus);
    venus_guard_enter_server(&r->venus->guard, r->venus->server);
    ret = virgl_renderer_context_create_with_flags(ctx_id, VIRTIO_GPU_CAPSET_VENUS,
                                                   (uint32_t)strlen(ctx->name), ctx->name);
    venus_guard_leave(&r->venus->guard);
    if (ret) {
        context_free(ctx);
        ledger_refund(r->ledger, PROCESS_BYTES);
        if (!render_server_alive(r->venus->server)) {
            server_gone(r);
            return VIRTIO_GPU_RESP_ERR_UNSPEC;
        }
        return virgl_response(ret);
    }
    ctx->process = process_new(r);
    if (!ctx->process) {
        virgl_renderer_context_destroy(ctx_id);
        context_free(ctx);
        ledger_refund(r->ledger, PROCESS_BYTES);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    ctx->process->context = ctx;
    r->limits.subcontexts++;
    g_hash_table_insert(r->venus->contexts, GUINT_TO_POINTER(ctx_id), ctx);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void venus_context_destroy(Renderer *r, uint32_t ctx_id)
{
    VenusContext *ctx = venus_context(r, ctx_id);

    if (ctx->process) {
        end(r, ctx);
    }
    g_hash_table_remove(r->venus->contexts, GUINT_TO_POINTER(ctx_id));
    r->limits.subcontexts--;
    context_free(ctx);
}

/*
 * virglrenderer 1.1 can give a context process what is a dmabuf, and says
 * nothing where it cannot.
 */
static bool can_be_attached(uint32_t resource_id)
{
    uint32_t type = 0;
    int fd;

    if (virgl_renderer_resource_export_blob(resource_id, &type, &fd)) {
        return false;
    }
    close(fd);
    return type == VIRGL_RENDERER_BLOB_FD_TYPE_DMABUF;
}

uint32_t venus_context_attach(Renderer *r, VenusContext *ctx, uint32_t resource_id)
{
    if (!g_hash_table_contains(r->resources, GUINT_TO_POINTER(resource_id))) {
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    }
    if (g_hash_table_contains(ctx->attached, GUINT_TO_POINTER(resource_id))) {
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (!ctx->process) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    virgl_renderer_force_ctx_0();
    if (!can_be_attached(resource_id)) {
        log_guest("VM '%s': resource %u is not of a kind that the Vulkan context of '%s' could be given: "
                  "this host shares only what is a dmabuf",
                  r->vm_name, resource_id, ctx->name);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    venus_guard_enter(&r->venus->guard, ctx);
    virgl_renderer_ctx_attach_resource((int)ctx->id, (int)resource_id);
    venus_guard_leave(&r->venus->guard);
    g_hash_table_add(ctx->attached, GUINT_TO_POINTER(resource_id));
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void venus_context_detach(Renderer *r, VenusContext *ctx, uint32_t resource_id)
{
    if (!g_hash_table_remove(ctx->attached, GUINT_TO_POINTER(resource_id))) {
        return;
    }
    if (ctx->sign && ctx->ring.resource_id == resource_id) {
        venus_signs_end(&r->venus->signs, ctx);
    }
    venus_guard_enter(&r->venus->guard, ctx);
    virgl_renderer_ctx_detach_resource((int)ctx->id, (int)resource_id);
    venus_guard_leave(&r->venus->guard);
}

void venus_forget_resource(Renderer *r, uint32_t resource_id)
{
    GHashTableIter iter;
    gpointer value;

    if (!r->venus) {
        return;
    }
    g_hash_table_iter_init(&iter, r->venus->contexts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        venus_context_detach(r, value, resource_id);
    }
}

/* It does not hear any more.  Where its death is known it is told as that. */
static bool has_died(VenusContext *ctx)
{
    return render_server_has_hung_up(ctx->process->leash);
}

uint32_t venus_context_submit(Renderer *r, VenusContext *ctx, void *commands, uint32_t size)
{
    VenusRing ring;
    int ret;

    if (!ctx->process) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (has_died(ctx)) {
        process_gone(r, ctx->process);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    if (size > SUBMIT_MAX) {
        lose(r, ctx, "it was sent more commands at once than a context process takes");
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (venus_ring_hasten(commands, size / 4, &ring)) {
        venus_signs_begin(&r->venus->signs, ctx, &ring);
    } else if (ctx->sign && venus_ring_ends(commands, size / 4, &ctx->ring)) {
        venus_signs_end(&r->venus->signs, ctx);
    }
    venus_guard_enter(&r->venus->guard, ctx);
    ret = virgl_renderer_submit_cmd(commands, (int)ctx->id, (int)(size / 4));
    venus_guard_leave(&r->venus->guard);
    return ret ? VIRTIO_GPU_RESP_ERR_UNSPEC : VIRTIO_GPU_RESP_OK_NODATA;
}

/*
 * One that has died is not asked for a fence: virglrenderer 1.1 may free it on
 * its own thread while it takes back what it could not send.
 */
uint32_t venus_context_fence(Renderer *r, VenusContext *ctx, uint32_t ring, uint64_t fence)
{
    bool made;

    if (!ctx->process || ring >= VENUS_RINGS) {
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    }
    if (has_died(ctx)) {
        process_gone(r, ctx->process);
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    }
    venus_guard_enter(&r->venus->guard, ctx);
    made = venus_fences_create(&r->venus->fences, ctx->id, ring, fence);
    venus_guard_leave(&r->venus->guard);
    return made ? VIRTIO_GPU_RESP_OK_NODATA : VIRTIO_GPU_RESP_ERR_UNSPEC;
}
