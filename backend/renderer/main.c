/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-renderer: the GPU of one VM, in a process of its own.  Started by vgpud
 * with the sockets in place; ends when QEMU closes one of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../vgpud/nvidia.h"
#include "egl.h"
#include "isolation.h"
#include "late.h"
#include "log.h"
#include "recorder.h"
#include "render.h"
#include "vgpu/virtio.h"
#include "zygote.h"

/* --apis=gl,vulkan */
static bool options_apis(Options *o, GError **error)
{
    g_auto(GStrv) names = g_strsplit(o->apis, ",", -1);

    for (unsigned i = 0; names[i]; i++) {
        if (!strcmp(names[i], "gl")) {
            o->gl = true;
        } else if (!strcmp(names[i], "vulkan")) {
            o->vulkan = true;
        } else {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--apis=%s is not gl, vulkan or gl,vulkan", o->apis);
            return false;
        }
    }
    return true;
}

static bool options_check(const Options *o, GError **error)
{
    Hostile hostile;
    const RendererOps *ops[3];
    const char *bad = o->vhost_user_fd < 0 ? "--vhost-user-fd=N"
                      : o->channel_fd < 0  ? "--channel-fd=N"
                      : o->stats_fd < 0    ? "--stats-fd=N"
                      : o->objects_fd < 0  ? "--objects-fd=N"
                      : o->memory <= 0     ? "--memory=BYTES"
                                           : NULL;

    if (bad) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "%s is missing: this program is started by vgpud", bad);
        return false;
    }
    if ((o->lease_fd < 0) != (o->lease_call_fd < 0) || (o->lease_fd < 0) != (o->lease_wake_fd < 0)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "a lease needs --lease-fd=N, --lease-call-fd=N and --lease-wake-fd=N, or none of them");
        return false;
    }
    if ((o->null_submit_us || o->null_lies || o->null_hostile) && strcmp(o->renderer, "null") != 0) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--null-submit-us, --null-lies and --null-hostile are for --renderer=null, not for '%s'",
                    o->renderer);
        return false;
    }
    if (o->null_hostile && !hostile_parse(o->null_hostile, &hostile, error)) {
        return false;
    }
    if (o->max_outputs < 1 || o->max_outputs > VGPU_CHANNEL_MAX_SCANOUTS) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--max-outputs=%d is out of range: 1 to %d", o->max_outputs, VGPU_CHANNEL_MAX_SCANOUTS);
        return false;
    }
    if (o->max_width < 0 || o->max_width > VGPU_MAX_SIZE || o->max_height < 0 ||
        o->max_height > VGPU_MAX_SIZE || o->max_contexts < 0 || o->threads < 0) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "a bound is out of range: sizes are 0 to %d, the others 0 or more", VGPU_MAX_SIZE);
        return false;
    }
    return render_choose(o->renderer, ops, error);
}

static bool options_parse(Options *o, int argc, char **argv, GError **error)
{
    gboolean version = FALSE;
    const GOptionEntry entries[] = {
        { "vhost-user-fd", 0, 0, G_OPTION_ARG_INT, &o->vhost_user_fd, "Connected vhost-user socket", "N" },
        { "channel-fd", 0, 0, G_OPTION_ARG_INT, &o->channel_fd, "Connected gpu channel", "N" },
        { "stats-fd", 0, 0, G_OPTION_ARG_INT, &o->stats_fd, "Statistics page", "N" },
        { "objects-fd", 0, 0, G_OPTION_ARG_INT, &o->objects_fd, "Object table", "N" },
        { "lease-fd", 0, 0, G_OPTION_ARG_INT, &o->lease_fd, "Lease page; without it the GPU is ours", "N" },
        { "lease-call-fd", 0, 0, G_OPTION_ARG_INT, &o->lease_call_fd, "Eventfd: calls vgpud", "N" },
        { "lease-wake-fd", 0, 0, G_OPTION_ARG_INT, &o->lease_wake_fd, "Eventfd: vgpud wakes us", "N" },
        { "vm-name", 0, 0, G_OPTION_ARG_STRING, &o->vm_name, "For the log", "NAME" },
        { "profile", 0, 0, G_OPTION_ARG_STRING, &o->profile, "Shown to the guest", "NAME" },
        { "gpu", 0, 0, G_OPTION_ARG_STRING, &o->gpu, "Shown to the guest", "NAME" },
        { "memory", 0, 0, G_OPTION_ARG_INT64, &o->memory, "GPU memory of the VM", "BYTES" },
        { "clock-base", 0, 0, G_OPTION_ARG_INT64, &o->clock_base,
          "What times in the statistics page are less, CLOCK_MONOTONIC", "NS" },
        { "renderer", 0, 0, G_OPTION_ARG_STRING, &o->renderer, "auto (virgl, else 2d), virgl, 2d or null",
          "NAME" },
        { "render-node", 0, 0, G_OPTION_ARG_STRING, &o->render_node, "Default: software", "PATH" },
        { "apis", 0, 0, G_OPTION_ARG_STRING, &o->apis, "What the guest may use: gl,vulkan", "LIST" },
        { "vulkan-layer", 0, 0, G_OPTION_ARG_STRING, &o->vulkan_layer,
          "libVkLayer_vgpu.so; without it there is no Vulkan", "PATH" },
        { "render-server", 0, 0, G_OPTION_ARG_FILENAME, &o->render_server, "virglrenderer's, for Vulkan",
          "PATH" },
        { "max-contexts", 0, 0, G_OPTION_ARG_INT, &o->max_contexts, "OpenGL and Vulkan contexts; 0: no bound",
          "N" },
        { "max-outputs", 0, 0, G_OPTION_ARG_INT, &o->max_outputs, "1 to 16", "N" },
        { "max-width", 0, 0, G_OPTION_ARG_INT, &o->max_width, "Of an output, pixels", "N" },
        { "max-height", 0, 0, G_OPTION_ARG_INT, &o->max_height, "Of an output, pixels", "N" },
        { "threads", 0, 0, G_OPTION_ARG_INT, &o->threads, "Of the software rasteriser; 0: its default", "N" },
        { "record-fd", 0, 0, G_OPTION_ARG_INT, &o->record_fd, "Record what the guest sends, for vgpu-replay",
          "N" },
        { "facts", 0, 0, G_OPTION_ARG_STRING, &o->facts,
          "What --probe found on this host: OpenGL starts when it is needed", "TEXT" },
        { "probe", 0, 0, G_OPTION_ARG_NONE, &o->probe,
          "Start OpenGL, write to the channel what --facts wants, and end", NULL },
        { "no-sandbox", 0, 0, G_OPTION_ARG_NONE, &o->no_sandbox, "For debugging", NULL },
        { "null-submit-us", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT64, &o->null_submit_us,
          "Tests: what a submit costs the null renderer; -1: as its first word says", "US" },
        { "null-submit-how", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &o->null_submit_how,
          "Tests: burn (a CPU's time), child (another process does), sleep (the render thread's) or async "
          "(until "
          "its fence)",
          "HOW" },
        { "null-lies", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &o->null_lies,
          "Tests: works without the lease and claims nothing", NULL },
        { "null-hostile", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &o->null_hostile,
          "Tests: answers as no device may", "KIND[:AFTER[:COUNT[:QUEUES]]]" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Show the version", NULL },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(context, "Renders for one VM. Started by vgpud, not by hand.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error)) {
        return false;
    }
    if (version) {
        printf("vgpu-renderer %s\n", VGPU_VERSION);
        exit(0);
    }
    if (argc > 1) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "'%s' is not an option: see --help",
                    argv[1]);
        return false;
    }
    return options_apis(o, error) && options_check(o, error);
}

static struct vgpu_stats *stats_map(int fd, GError **error)
{
    struct vgpu_stats *stats;
    struct stat st;
    void *map = MAP_FAILED;

    if (fstat(fd, &st) == 0 && st.st_size >= VGPU_STATS_SIZE) {
        map = mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    stats = map;
    if (map == MAP_FAILED || stats->magic != VGPU_STATS_MAGIC || stats->version != VGPU_STATS_VERSION) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "descriptor %d is not a statistics page of version %d", fd, VGPU_STATS_VERSION);
        return NULL;
    }
    return stats;
}

/* A test's: vgpud.conf can name a variable, not an option. */
static bool hostile_init(Device *d, const Options *o, GError **error)
{
    const char *how = o->null_hostile ? o->null_hostile : g_getenv(HOSTILE_ENV);
    Hostile h;

    if (!how || strcmp(o->renderer, "null") != 0) {
        return true;
    }
    if (!hostile_parse(how, &h, error)) {
        return false;
    }
    hostile_begin(d->vhost, &h);
    return true;
}

static bool device_init(Device *d, const Options *o, GError **error)
{
    d->options = o;
    d->stats = stats_map(o->stats_fd, error);
    d->table = d->stats ? table_new(o->objects_fd, error) : NULL;
    d->vhost = d->table ? vhost_new(o->vhost_user_fd, d->table, d->stats, error) : NULL;
    if (!d->vhost) {
        return false;
    }
    if (!gpu_time_init(&d->gpu_time, o->lease_fd, o->lease_call_fd, o->lease_wake_fd, error)) {
        return false;
    }
    d->gpu_time.lies = o->null_lies;
    if (!hostile_init(d, o, error)) {
        return false;
    }
    if (o->record_fd >= 0) {
        d->recorder = recorder_new(o->record_fd, o->vm_name, error);
        if (!d->recorder) {
            return false;
        }
    }
    ledger_init(&d->ledger, (uint64_t)o->memory, d->stats);
    d->front_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->drain_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->channel = channel_new(o->channel_fd, (unsigned)o->max_outputs,
                             &(ChannelCallbacks){
                                 .reset = front_reset,
                                 .window = front_window,
                                 .adopt = front_adopt,
                                 .save = front_save,
                                 .blob_done = front_blob_done,
                                 .wake_poll = front_wake,
                                 .idle = front_idle,
                                 .opaque = d,
                             });
    window_init(&d->window);
    /*
     * Until the renderer has started, what the best one would serve: QEMU
     * offers the guest only what HELLO confirms.
     */
    vhost_offer(d->vhost, ~0ull >> (64 - 5) | 1ull << VGPU_F_EXTENSION | 1ull << VGPU_F_SUBMIT_QUEUES);
    return true;
}

/* The page that the render server's processes share with us. */
static bool vulkan_page(Device *d, int *fd, GError **error)
{
    void *map = MAP_FAILED;

    *fd = memfd_create("vulkan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd >= 0 && ftruncate(*fd, sizeof(struct vgpu_vulkan)) == 0 &&
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        map = mmap(NULL, sizeof(struct vgpu_vulkan), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    }
    if (map == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "the Vulkan page: %s",
                    g_strerror(errno));
        return false;
    }
    vulkan_books_init(&d->books, map, &d->ledger);
    return true;
}

/* Before this process gives up to start others.  Without it there is OpenGL. */
static void vulkan_init(Device *d, const Options *o)
{
    g_autoptr(GError) error = NULL;
    RenderServerConfig config = {
        .program = o->render_server,
        .layer = o->vulkan_layer,
        .render_node = o->render_node,
        .stats = o->stats_fd,
        .lease = o->lease_fd,
        .call = o->lease_call_fd,
        .wake = o->lease_wake_fd,
        .unconfined = o->no_sandbox,
    };

    if (!o->vulkan_layer || !o->vulkan ||
        (strcmp(o->renderer, "auto") != 0 && strcmp(o->renderer, "virgl") != 0)) {
        return;
    }
    if (vulkan_page(d, &config.page, &error)) {
        d->render_server = render_server_start(&config, &error);
        close(config.page);
    }
    if (!d->render_server) {
        snprintf(d->warning, sizeof(d->warning), "the guest has no Vulkan: %s", error->message);
        log_say("%s", d->warning);
    }
}

static int drain_fd; /* a signal's handler has no argument */

static void on_term(int sig)
{
    eventfd_write(drain_fd, 1);
}

/* SIGTERM: another renderer is to take this one's place, see render.c. */
static void drain_on_term(const Device *d)
{
    struct sigaction action = { .sa_handler = on_term, .sa_flags = SA_RESTART };

    drain_fd = d->drain_fd;
    sigaction(SIGTERM, &action, NULL);
}

/* Before GL is loaded: its own threads, and no files in anybody's home. */
static void prepare_environment(const Options *o)
{
    if (o->threads) {
        g_autofree char *n = g_strdup_printf("%d", o->threads);
        g_setenv("LP_NUM_THREADS", n, TRUE);
    }
    g_setenv("MESA_SHADER_CACHE_DISABLE", "true", TRUE);
    g_setenv("MESA_GLTHREAD", "false", TRUE);
}

static int renderer_main(int argc, char **argv)
{
    Options options = {
        .vhost_user_fd = -1,
        .channel_fd = -1,
        .stats_fd = -1,
        .objects_fd = -1,
        .lease_fd = -1,
        .lease_call_fd = -1,
        .lease_wake_fd = -1,
        .vm_name = (char *)"vm",
        .profile = (char *)"",
        .gpu = (char *)"",
        .renderer = (char *)"auto",
        .apis = (char *)"gl,vulkan",
        .render_server = (char *)"/usr/libexec/virgl_render_server",
        .max_outputs = 1,
        .record_fd = -1,
        .null_submit_how = (char *)"burn",
    };
    g_autoptr(GError) error = NULL;
    Device *d = g_new0(Device, 1);
    pthread_t thread;

    setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8, and the options' parser asks the locale */
    if (!options_parse(&options, argc, argv, &error)) {
        fprintf(stderr, "vgpu-renderer: %s\n", error->message);
        return 2;
    }
    log_init(options.vm_name);
    signal(SIGPIPE, SIG_IGN); /* a socket or the log may close first */
    prepare_environment(&options);
    {
        const int keep[] = { options.vhost_user_fd, options.channel_fd, options.stats_fd,
                             options.objects_fd,    options.lease_fd,   options.lease_call_fd,
                             options.lease_wake_fd, options.record_fd };

        if ((!options.no_sandbox && !isolate_initial(keep, G_N_ELEMENTS(keep), &error)) ||
            !device_init(d, &options, &error)) {
            log_say("%s", error->message);
            return 1;
        }
        vulkan_init(d, &options);
        drain_on_term(d);
        if (options.probe || options.facts) {
            egl_prepare(options.render_node);
        }
        if (!options.no_sandbox && !isolate_starting(nvidia_is_node(options.render_node), &error)) {
            log_say("%s", error->message);
            return 1;
        }
    }
    if (options.probe) {
        return late_probe(d, options.channel_fd) ? 0 : 1;
    }
    /* This thread renders: its malloc arena is the one that grows in large steps. */
    if (pthread_create(&thread, NULL, front_thread, d)) {
        log_say("cannot start the front thread: %s", g_strerror(errno));
        return 1;
    }
    return render_serve(d) ? 0 : 1;
}

int main(int argc, char **argv)
{
    return zygote_is(argc, argv) ? zygote_serve(argc, argv, renderer_main) : renderer_main(argc, argv);
}
