/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The render thread.  See render.h. */
#include "render.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "blob.h"
#include "command.h"
#include "isolation.h"
#include "log.h"
#include "resource.h"
#include "scanout.h"
#include "vgpu/virtio.h"

/* virtio-gpu features that need no renderer. */
#define COMMON_FEATURES                                                                                      \
    ((1ull << VIRTIO_GPU_F_EDID) | (1ull << VIRTIO_GPU_F_RESOURCE_UUID) |                                    \
     (1ull << VIRTIO_GPU_F_RESOURCE_BLOB) | (1ull << VGPU_F_EXTENSION))

bool render_choose(const char *renderer, const RendererOps *ops[3], GError **error)
{
    bool is_auto = !strcmp(renderer, "auto");
    unsigned n = 0;

    memset(ops, 0, 3 * sizeof(ops[0]));
    if (is_auto || !strcmp(renderer, "virgl")) {
        ops[n++] = &renderer_virgl_ops;
    }
    if (is_auto || !strcmp(renderer, "2d")) {
        ops[n++] = &renderer_2d_ops;
    } else if (!strcmp(renderer, "null")) {
        ops[n++] = &renderer_null_ops;
    }
    if (!n) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--renderer=%s is not one: use auto, virgl, 2d or null", renderer);
    }
    return n > 0;
}

static void render_fence_done(void *opaque, uint64_t fence)
{
    Device *d = opaque;

    /* The next VM first: it may be waiting. */
    gpu_time_fence_end(&d->gpu_time);
    if (fence != GPU_TIME_FENCE) {
        timeline_done(d->vhost, fence);
    }
}

static void render_remote_fence_done(void *opaque, uint64_t fence)
{
    Device *d = opaque;

    timeline_done(d->vhost, fence);
}

static void render_context_lost(void *opaque, uint32_t ctx_id)
{
    blob_lose_context(opaque, ctx_id);
}

static void render_process_ended(void *opaque, uint32_t ticket, uint32_t users, bool hung)
{
    Device *d = opaque;

    gpu_time_left(&d->gpu_time, ticket, users);
    stats_add(&d->stats->contexts_hung, hung);
}

static uint64_t render_patience(void *opaque)
{
    Device *d = opaque;

    return gpu_time_patience(&d->gpu_time);
}

/* There is no Vulkan without the renderer that has it. */
static void render_free_unused_server(Device *d)
{
    if (d->ops != &renderer_virgl_ops) {
        g_clear_pointer(&d->render_server, render_server_free);
    }
}

/* The first of ops that starts on this host. */
static bool render_start(Device *d, GError **error)
{
    RendererConfig config = {
        .vm_name = d->options->vm_name,
        .render_node = d->options->render_node,
        .max_contexts = (uint32_t)d->options->max_contexts,
        .gl = d->options->gl,
        .null_submit_us = d->options->null_submit_us,
        .null_submit_how = d->options->null_submit_how,
        .ledger = &d->ledger,
        .render_server = d->render_server,
        .books = &d->books,
        .fence_done = render_fence_done,
        .remote_fence_done = render_remote_fence_done,
        .context_lost = render_context_lost,
        .process_ended = render_process_ended,
        .patience = render_patience,
        .opaque = d,
    };
    const RendererOps *ops[3];

    if (!render_choose(d->options->renderer, ops, error)) {
        return false;
    }
    for (unsigned i = 0; ops[i]; i++) {
        g_autoptr(GError) failure = NULL;

        d->ops = ops[i];
        d->renderer = ops[i]->create(&config, &failure);
        if (d->renderer) {
            render_free_unused_server(d);
            return true;
        }
        if (!ops[i + 1]) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        snprintf(d->warning, sizeof(d->warning),
                 "%s does not start on this host (%s): the guest has "
                 "2D graphics only",
                 ops[i]->name, failure->message);
        log_say("%s", d->warning);
    }
    return false;
}

static void render_hello(Device *d)
{
    struct vgpu_channel_hello hello = {
        .version = VGPU_CHANNEL_VERSION,
        .kind = d->ops->kind,
        .virtio_features = d->ops->virtio_features | COMMON_FEATURES,
    };

    hello.num_capsets = capset_count(d);
    if (!capset_has_3d(d)) {
        hello.virtio_features &= ~(1ull << VIRTIO_GPU_F_VIRGL | 1ull << VIRTIO_GPU_F_CONTEXT_INIT);
    }
    g_strlcpy(hello.description, d->ops->description(d->renderer), sizeof(hello.description));
    g_strlcpy(hello.warning, d->warning, sizeof(hello.warning));
    vhost_offer(d->vhost, hello.virtio_features);
    vgpu_stats_set(&d->stats->kind, hello.kind);
    log_say("renderer %s%s%s serves profile '%s' on %s with %" G_GINT64_FORMAT " MiB", d->ops->name,
            *hello.description ? ", " : "", hello.description, d->options->profile, d->options->gpu,
            d->options->memory >> 20);
    channel_hello(d->channel, &hello);
}

/* The guest reset the device: everything of the old generation goes. */
static void render_reset(Device *d)
{
    uint32_t generation;

    while (vhost_reset_wanted(d->vhost, &generation)) {
        frame_limit_forget(&d->frame_limit);
        scanout_disable_all(d);
        channel_unmute(d->channel);
        d->ops->reset(d->renderer);
        resources_forget(d);
        contexts_forget(d);
        window_reset(d);
        table_reset(d->table, generation);
        vhost_reset_done(d->vhost, generation);
    }
}

/* Answers that need no fence go out together, but never behind long work. */
typedef struct Answers {
    Element *first, **tail;
} Answers;

static void answers_push(Device *d, Answers *a)
{
    if (a->first) {
        queue_push(d->vhost, a->first);
    }
    a->first = NULL;
    a->tail = &a->first;
}

/* Something of that batch is left, or was there to be taken. */
static bool batch_fill(Device *d, Batch *b, unsigned queue)
{
    if (b->next == b->count) {
        b->next = 0;
        b->count = queue_pop(d->vhost, queue, b->element, DEVICE_BATCH);
    }
    return b->next < b->count;
}

/* The next one, or NULL where it is of before a reset: then it is gone. */
static Element *batch_peek(Device *d, Batch *b)
{
    Element *e = b->element[b->next];

    if (element_stale(d->vhost, e)) {
        b->next++;
        element_free(e);
        return NULL;
    }
    return e;
}

static void batch_run(Device *d, Batch *b, Answers *answers)
{
    Element *e = b->element[b->next++];

    resources_follow_memory(d);
    e = dispatch(d, e);
    if (e) {
        e->next = NULL;
        *answers->tail = e;
        answers->tail = &e->next;
    }
}

/* True when there may be more to do.  What must wait a little stays in d->pointer. */
static bool render_cursor(Device *d)
{
    Batch *b = &d->pointer;
    Answers answers = { NULL, &answers.first };
    bool more = batch_fill(d, b, VHOST_QUEUE_CURSOR);

    while (more && b->next < b->count) {
        Element *e = batch_peek(d, b);

        if (e && (dispatch_hints(d, e) & COMMAND_BRIEF) && !gpu_time_brief(d)) {
            more = false;
        } else if (e) {
            batch_run(d, b, &answers);
        }
    }
    answers_push(d, &answers);
    return more;
}

typedef enum ControlResult {
    CONTROL_IDLE,    /* there was nothing to do */
    CONTROL_WORKED,  /* there may be more */
    CONTROL_WAITING, /* for the GPU: the commands in d->taken wait */
} ControlResult;

/*
 * The control queue's next commands, in order.  They leave d->taken one by one:
 * where the GPU is not ours they stay, and nothing passes them.
 */
static ControlResult render_control(Device *d)
{
    Batch *b = &d->taken;
    Answers answers = { NULL, &answers.first };
    ControlResult result = CONTROL_WORKED;

    if (!batch_fill(d, b, VHOST_QUEUE_CONTROL)) {
        return CONTROL_IDLE;
    }
    while (b->next < b->count) {
        Element *e = batch_peek(d, b);
        uint32_t hints = e ? dispatch_hints(d, e) : 0;

        if (!e) {
            continue;
        }
        if (hints & COMMAND_LONG) {
            answers_push(d, &answers);
            /* The pointer moves although the picture is slow. */
            render_cursor(d);
        }
        if (hints & COMMAND_REMOTE) {
            /* Who it waits for may wait for the GPU: see gpu_time.h. */
            gpu_time_leave(d);
        }
        if ((hints & COMMAND_GPU) && !gpu_time_enter(d)) {
            result = CONTROL_WAITING;
            break;
        }
        batch_run(d, b, &answers);
    }
    answers_push(d, &answers);
    return result;
}

/*
 * Until there is nothing to do, or nothing that may be done now.  How long to
 * sleep at most, milliseconds; -1: until something happens.
 */
static int render_work(Device *d)
{
    ControlResult control;
    uint64_t waiting = 0;
    bool more;

    do {
        render_reset(d);
        resources_follow_memory(d);
        control = render_control(d);
        more = render_cursor(d) || control == CONTROL_WORKED;
        frame_limit_work(d);
        scanout_catch_up(d);
    } while (more && !g_atomic_int_get(&d->quit));

    gpu_time_leave(d);
    if (control == CONTROL_WAITING) {
        /* Its kicks are not read by taking more: they would not let us sleep. */
        waiting = d->taken.count - d->taken.next + queue_quiet(d->vhost, VHOST_QUEUE_CONTROL);
    }
    lease_queue_depth(d->gpu_time.lease, waiting);
    if (d->pointer.next < d->pointer.count) {
        queue_quiet(d->vhost, VHOST_QUEUE_CURSOR);
        return GPU_TIME_BRIEF_MS;
    }
    return -1;
}

static void render_watch(Device *d, int fd, uint32_t what)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u32 = what };

    if (fd >= 0) {
        epoll_ctl(d->vhost->work_fd, EPOLL_CTL_ADD, fd, &ev);
    }
}

static void render_loop(Device *d)
{
    render_watch(d, d->ops->poll_fd(d->renderer), VHOST_WORK_RENDERER);
    render_watch(d, lease_wake_fd(d->gpu_time.lease), VHOST_WORK_LEASE);
    while (!g_atomic_int_get(&d->quit)) {
        struct epoll_event events[8];
        int timeout = render_work(d);
        int n = epoll_wait(d->vhost->work_fd, events, G_N_ELEMENTS(events), timeout);

        for (int i = 0; i < n; i++) {
            eventfd_t count;

            if (events[i].data.u32 == VHOST_WORK_WAKE) {
                eventfd_read(d->vhost->wake_fd, &count);
            } else if (events[i].data.u32 == VHOST_WORK_RENDERER) {
                d->ops->poll(d->renderer);
            } else if (events[i].data.u32 == VHOST_WORK_LEASE) {
                lease_woken(d->gpu_time.lease);
            } else if (events[i].data.u32 == VHOST_WORK_FRAME) {
                frame_limit_ticked(&d->frame_limit);
            }
            /* Kicks are read where the queue is looked at. */
        }
        if (n < 0 && errno != EINTR) {
            log_say("epoll_wait: %s", g_strerror(errno));
            break;
        }
    }
}

bool render_serve(Device *d)
{
    g_autoptr(GError) error = NULL;

    resources_init(d);
    contexts_init(d);
    frame_limit_init(&d->frame_limit);
    if (!render_start(d, &error)) {
        log_say("%s", error->message);
        channel_fatal(d->channel, error->message);
        return false;
    }
    if (!d->options->no_sandbox) {
        isolate_serving();
    }
    render_hello(d);
    render_loop(d);

    scanout_disable_all(d);
    d->ops->reset(d->renderer);
    resources_forget(d);
    d->ops->destroy(d->renderer);
    render_server_free(d->render_server);
    return true;
}
