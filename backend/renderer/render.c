/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The render thread.  See render.h. */
#include "render.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../vgpud/nvidia.h"
#include "blob.h"
#include "command.h"
#include "isolation.h"
#include "late.h"
#include "log.h"
#include "recorder.h"
#include "resource.h"
#include "scanout.h"
#include "vgpu/virtio.h"

/* How long what was begun may take before another renderer takes our place. */
#define DRAIN_US      2000000
#define DRAIN_STEP_MS 10

/* virtio-gpu features that need no renderer. */
#define COMMON_FEATURES                                                                                      \
    ((1ull << VIRTIO_GPU_F_EDID) | (1ull << VIRTIO_GPU_F_RESOURCE_UUID) |                                    \
     (1ull << VIRTIO_GPU_F_RESOURCE_BLOB) | (1ull << VGPU_F_EXTENSION) | (1ull << VGPU_F_SUBMIT_QUEUES))

/* Of work of one queue, before the others have their turn, us. */
#define TURN_US 2000

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

/* vgpud, which may have looked away, knows of the processes that it has seen. */
static void render_process_began(void *opaque)
{
    Device *d = opaque;

    lease_look(d->gpu_time.lease);
}

static void render_process_ended(void *opaque, uint32_t ticket, uint32_t users, bool hung)
{
    Device *d = opaque;

    gpu_time_left(&d->gpu_time, ticket, users);
    stats_add(&d->stats->contexts_hung, hung);
}

static bool render_hostile(void *opaque, const uint32_t words[5])
{
    Device *d = opaque;

    return hostile_asked(d->vhost, words);
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

void render_config(Device *d, RendererConfig *config)
{
    *config = (RendererConfig){
        .vm_name = d->options->vm_name,
        .render_node = d->options->render_node,
        .max_contexts = (uint32_t)d->options->max_contexts,
        .gl = d->options->gl,
        .null_submit_us = d->options->null_submit_us,
        .null_submit_how = d->options->null_submit_how,
        .null_hostile = render_hostile,
        .ledger = &d->ledger,
        .render_server = d->render_server,
        .books = &d->books,
        .fence_done = render_fence_done,
        .remote_fence_done = render_remote_fence_done,
        .context_lost = render_context_lost,
        .process_began = render_process_began,
        .process_ended = render_process_ended,
        .patience = render_patience,
        .opaque = d,
    };
}

/* The first of ops that starts on this host. */
static bool render_start(Device *d, GError **error)
{
    RendererConfig config;
    const RendererOps *ops[3];

    if (late_begin(d, error)) {
        return true;
    }
    if ((error && *error) || !render_choose(d->options->renderer, ops, error)) {
        return false;
    }
    render_config(d, &config);
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
    const RendererOps *told = d->late ? &renderer_virgl_ops : d->ops;
    struct vgpu_channel_hello hello = {
        .version = VGPU_CHANNEL_VERSION,
        .kind = told->kind,
        .virtio_features = told->virtio_features | COMMON_FEATURES,
    };

    hello.num_capsets = capset_count(d);
    if (!capset_has_3d(d)) {
        hello.virtio_features &= ~(1ull << VIRTIO_GPU_F_VIRGL | 1ull << VIRTIO_GPU_F_CONTEXT_INIT);
    }
    g_strlcpy(hello.description, late_description(d), sizeof(hello.description));
    g_strlcpy(hello.warning, d->warning, sizeof(hello.warning));
    vhost_offer(d->vhost, hello.virtio_features);
    vgpu_stats_set(&d->stats->kind, hello.kind);
    log_say("renderer %s%s%s serves profile '%s' on %s with %" G_GINT64_FORMAT " MiB", told->name,
            *hello.description ? ", " : "", hello.description, d->options->profile, d->options->gpu,
            d->options->memory >> 20);
    channel_hello(d->channel, &hello);
}

void render_reset(Device *d)
{
    uint32_t generation;

    while (vhost_reset_wanted(d->vhost, &generation)) {
        frame_limit_forget(&d->frame_limit);
        scanout_disable_all(d);
        channel_unmute(d->channel);
        adopt_forget(d, generation);
        d->ops->reset(d->renderer);
        resources_forget(d);
        contexts_forget(d);
        window_reset(d);
        table_reset(d->table, generation);
        d->order = (Order){ 0 };
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
    unsigned queue = e->queue;

    resources_follow_memory(d);
    e = dispatch(d, e);
    order_ran(&d->order, queue);
    if (e) {
        e->next = NULL;
        *answers->tail = e;
        answers->tail = &e->next;
    }
}

/* True when there may be more to do.  What must wait a little stays in its batch. */
static bool render_cursor(Device *d)
{
    Batch *b = &d->batch[VHOST_QUEUE_CURSOR];
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

typedef enum QueueState {
    QUEUE_IDLE,    /* there was nothing to do */
    QUEUE_WORKED,  /* there may be more */
    QUEUE_WAITING, /* for the GPU: the commands in its batch wait */
    QUEUE_HELD,    /* the same, for another queue */
} QueueState;

/*
 * The next commands of the control queue or of a submit queue, in order.  They
 * leave the batch one by one: where the GPU is not ours, or what they wait for is
 * not done, they stay, and nothing of that queue passes them.  *ran: one was run.
 */
static QueueState render_queue(Device *d, unsigned queue, bool *ran)
{
    Batch *b = &d->batch[queue];
    Answers answers = { NULL, &answers.first };
    QueueState state = QUEUE_WORKED;
    int64_t end = d->look ? g_get_monotonic_time() + TURN_US : 0; /* others may wait for their turn */

    if (!batch_fill(d, b, queue)) {
        return QUEUE_IDLE;
    }
    while (b->next < b->count) {
        Element *e = batch_peek(d, b);
        uint32_t hints;

        if (!e) {
            continue;
        }
        if (!order_may_run(d, e)) {
            state = QUEUE_HELD;
            break;
        }
        hints = dispatch_hints(d, e);
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
            state = QUEUE_WAITING;
            break;
        }
        batch_run(d, b, &answers);
        *ran = true;
        if (end && g_get_monotonic_time() >= end) {
            break;
        }
    }
    answers_push(d, &answers);
    return state;
}

/*
 * Each submit queue that may have something, in turn; another one begins each
 * time.  *more: one of them may have more.
 */
static void render_submits(Device *d, QueueState state[VHOST_QUEUES], bool *ran, bool *more)
{
    for (unsigned i = 0; d->look && i < VGPU_SUBMIT_QUEUES_MAX; i++) {
        unsigned q = VHOST_QUEUE_SUBMIT + (d->first + i) % VGPU_SUBMIT_QUEUES_MAX;

        if (!(d->look & 1u << q)) {
            continue;
        }
        state[q] = render_queue(d, q, ran);
        *more |= state[q] == QUEUE_WORKED;
        if (state[q] == QUEUE_IDLE) {
            d->look &= ~(1u << q); /* its next kick says when */
        }
    }
    d->first = (d->first + 1) % VGPU_SUBMIT_QUEUES_MAX;
}

/* Kicks of queues that have commands they cannot run are not read by taking more: they would not let us
 * sleep.  How many commands wait for the GPU. */
static uint64_t render_quiet(Device *d, const QueueState state[VHOST_QUEUES])
{
    uint64_t waiting = 0;

    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        if (state[q] == QUEUE_WAITING || state[q] == QUEUE_HELD) {
            unsigned n = queue_quiet(d->vhost, q) + d->batch[q].count - d->batch[q].next;

            waiting += state[q] == QUEUE_WAITING ? n : 0;
        }
    }
    return waiting;
}

/* All submit queues, where there are any. */
static void render_look(Device *d)
{
    if (vhost_has_feature(d->vhost, VGPU_F_SUBMIT_QUEUES)) {
        d->look = ((1u << VGPU_SUBMIT_QUEUES_MAX) - 1) << VHOST_QUEUE_SUBMIT;
    }
}

void render_watch(Device *d, int fd, uint32_t what)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u32 = what };

    if (fd >= 0) {
        epoll_ctl(d->vhost->work_fd, EPOLL_CTL_ADD, fd, &ev);
    }
}

/*
 * Making room.  Another renderer is to take this one's place, of a newer version
 * perhaps.  What the guest asked for so far is finished first, as far as that
 * does not take long; what is not finished the next one finds in the table.
 */
static void render_drain(Device *d)
{
    log_say("another renderer is to take this one's place: finishing what was begun");
    d->drain_end = g_get_monotonic_time() + DRAIN_US;
    vhost_drain(d->vhost);
}

static bool render_all_run(const Device *d)
{
    for (unsigned q = 0; q < VHOST_QUEUES; q++) {
        if (d->batch[q].next < d->batch[q].count) {
            return false;
        }
    }
    return true;
}

/* How long to sleep at most, milliseconds; -1: until something happens. */
static int render_make_room(Device *d, int timeout)
{
    if (!d->drain_end) {
        return timeout;
    }
    if ((render_all_run(d) && vhost_drained(d->vhost)) || g_get_monotonic_time() >= d->drain_end) {
        vhost_let_go(d->vhost);
        channel_fatal(d->channel, VGPU_FATAL_PLANNED, "another one takes its place");
        _exit(0); /* the guest's objects stay in the table */
    }
    return timeout < 0 ? DRAIN_STEP_MS : MIN(timeout, DRAIN_STEP_MS);
}

/* What has happened, waiting for it so many ms. */
static bool render_events(Device *d, int timeout)
{
    struct epoll_event events[16];
    int n = epoll_wait(d->vhost->work_fd, events, G_N_ELEMENTS(events), timeout);

    for (int i = 0; i < n; i++) {
        eventfd_t count;

        if (events[i].data.u32 == VHOST_WORK_WAKE) {
            eventfd_read(d->vhost->wake_fd, &count);
            render_look(d); /* rings may have come, or a reset gone by */
        } else if (events[i].data.u32 == VHOST_WORK_RENDERER) {
            d->ops->poll(d->renderer);
        } else if (events[i].data.u32 == VHOST_WORK_LEASE) {
            lease_woken(d->gpu_time.lease);
        } else if (events[i].data.u32 == VHOST_WORK_FRAME) {
            frame_limit_ticked(&d->frame_limit);
        } else if (events[i].data.u32 == VHOST_WORK_DRAIN) {
            if (eventfd_read(d->drain_fd, &count) == 0 && !d->drain_end) {
                render_drain(d);
            }
        } else if (events[i].data.u32 >= VHOST_QUEUE_SUBMIT) {
            d->look |= 1u << events[i].data.u32;
        }
        /* Kicks are read where the queue is looked at. */
    }
    if (n < 0 && errno != EINTR) {
        log_say("epoll_wait: %s", g_strerror(errno));
        return false;
    }
    return true;
}

/*
 * Until there is nothing to do, or nothing that may be done now.  How long to
 * sleep at most, milliseconds; -1: until something happens.
 */
static int render_work(Device *d)
{
    QueueState state[VHOST_QUEUES];
    const Batch *pointer = &d->batch[VHOST_QUEUE_CURSOR];
    AdoptResult adopted;
    SaveResult saved;
    bool more;

    do {
        bool ran = false;

        memset(state, 0, sizeof(state)); /* QUEUE_IDLE */
        render_reset(d);
        resources_follow_memory(d);
        adopted = adopt_work(d);
        saved = save_work(d);
        state[VHOST_QUEUE_CONTROL] = render_queue(d, VHOST_QUEUE_CONTROL, &ran);
        more = render_cursor(d) || state[VHOST_QUEUE_CONTROL] == QUEUE_WORKED;
        render_submits(d, state, &ran, &more);
        /* What was run may be what another queue waits for. */
        more |= ran && d->look;
        frame_limit_work(d);
        scanout_catch_up(d);
        if (more && d->look) {
            render_events(d, 0); /* another queue may have been kicked: its turn is next */
        }
    } while (more && !g_atomic_int_get(&d->quit));

    gpu_time_leave(d);
    lease_queue_depth(d->gpu_time.lease,
                      render_quiet(d, state) + (adopted == ADOPT_WAITING) + (saved == SAVE_WAITING));
    if (pointer->next < pointer->count) {
        queue_quiet(d->vhost, VHOST_QUEUE_CURSOR);
        return GPU_TIME_BRIEF_MS;
    }
    return -1;
}

static void render_loop(Device *d)
{
    int timeout;

    render_watch(d, d->ops->poll_fd(d->renderer), VHOST_WORK_RENDERER);
    render_watch(d, lease_wake_fd(d->gpu_time.lease), VHOST_WORK_LEASE);
    render_watch(d, d->drain_fd, VHOST_WORK_DRAIN);
    do {
        timeout = render_make_room(d, render_work(d));
    } while (!g_atomic_int_get(&d->quit) && render_events(d, timeout));
}

bool render_serve(Device *d)
{
    g_autoptr(GError) error = NULL;

    resources_init(d);
    contexts_init(d);
    frame_limit_init(&d->frame_limit);
    if (!render_start(d, &error)) {
        log_say("%s", error->message);
        channel_fatal(d->channel, VGPU_FATAL_ERROR, error->message);
        return false;
    }
    if (!d->options->no_sandbox) {
        isolate_serving(nvidia_is_node(d->options->render_node));
    }
    recorder_begin(d->recorder, late_description(d));
    render_hello(d);
    render_loop(d);
    recorder_free(d->recorder);

    scanout_disable_all(d);
    d->ops->reset(d->renderer);
    resources_forget(d);
    d->ops->destroy(d->renderer);
    render_server_free(d->render_server);
    return true;
}
