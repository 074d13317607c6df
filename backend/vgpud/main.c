/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpud: shares the host's GPUs among VMs.  One per host, or, with --autostart,
 * one per user that a QEMU starts when none listens and that leaves by itself.
 *
 * All that can fail at the start fails before the background process is made,
 * with a sentence on stderr; --autostart returns when the sockets listen.
 * Starts that race are told apart by a lock: one becomes the daemon, the others
 * wait until it listens and return as if they had started it.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach.h"
#include "audit.h"
#include "daemon.h"
#include "figures.h"
#include "gpu.h"
#include "graphics.h"
#include "http.h"
#include "ids.h"
#include "launcher.h"
#include "listen.h"
#include "nvidia.h"
#include "process.h"
#include "roles.h"
#include "state.h"
#include "units.h"
#include "vm.h"
#include "vm_lease.h"
#include "vm_watch.h"

#define WAIT_FOR_OTHER_S 10            /* --autostart: for a vgpud that starts at the same time */
#define WAIT_FOR_END_S   1             /* without: for what a killed vgpud was starting */
#define IDLE_FIRST_S     30            /* --autostart: leave when no VM came at all */
#define LOG_MAX          (1024 * 1024) /* --autostart: bytes */
#define IDLE_LAST_S      5             /* --autostart: leave after the last VM */
#define FILES_MAX        65536         /* descriptors */

typedef struct Options {
    char *config;
    char *socket;
    char *kind;
    char *devices; /* of tests */
    gboolean autostart, check, version;
} Options;

typedef struct Main {
    Daemon daemon; /* first: callbacks get this */
    Options options;
    Listen *listen;
    HttpServer *http;
    Attach *attach;
    guint idle_timer;
    bool had_vm;
} Main;

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer opaque)
{
    const char *domain = NULL, *message = "";

    for (gsize i = 0; i < count; i++) {
        if (g_str_equal(fields[i].key, "MESSAGE")) {
            message = fields[i].value;
        } else if (g_str_equal(fields[i].key, "GLIB_DOMAIN")) {
            domain = fields[i].value;
        }
    }
    if (g_log_writer_default_would_drop(level, domain)) {
        return G_LOG_WRITER_HANDLED;
    }
    if (g_log_writer_is_journald(STDERR_FILENO) &&
        g_log_writer_journald(level, fields, count, NULL) == G_LOG_WRITER_HANDLED) {
        return G_LOG_WRITER_HANDLED; /* with all the fields of the audit log */
    }
    fprintf(stderr, "vgpud: %s%s\n", level & G_LOG_LEVEL_WARNING ? "warning: " : "", message);
    fflush(stderr);
    return G_LOG_WRITER_HANDLED;
}

/* Configuration, profiles and GPUs; all errors name file and line. */
static bool load(Main *m, GError **error)
{
    Daemon *d = &m->daemon;
    const char *folder = m->options.config ? m->options.config : g_getenv("VGPU_CONFIG");
    g_autofree char *profiles = g_build_filename(folder ? folder : CONFIG_FOLDER, "profiles.d", NULL);
    uint64_t largest = 0;

    if (folder && !g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "--config=%s is not a folder; it may hold vgpud.conf and profiles.d/*.conf", folder);
        return false;
    }
    d->config = config_new();
    d->profiles = profile_set_new();
    if (!config_add_folder(d->config, folder ? folder : CONFIG_FOLDER, error) ||
        !profile_set_add_folder(d->profiles, profiles, error)) {
        return false;
    }
    roles_resolve(d->config, d->profiles);
    if (!http_check(d->config, error)) {
        return false;
    }
    if (m->options.kind) {
        if (!config_kind_valid(m->options.kind)) {
            g_set_error(error, VGPUD_ERROR, 0, "--renderer=%s is not auto, virgl, 2d or null",
                        m->options.kind);
            return false;
        }
        g_free(d->config->kind);
        d->config->kind = g_strdup(m->options.kind);
    }
    d->gpus = gpu_find_all(m->options.devices ? m->options.devices : "/dev", "/sys", "/proc",
                           gpu_host_memory(), d->config->gpus);
    config_apply(d->config, d->gpus);
    for (guint i = 0; i < d->gpus->len; i++) {
        largest = MAX(largest, ((Gpu *)d->gpus->pdata[i])->memory);
    }
    return profile_set_check(d->profiles, largest, error);
}

static void describe(const Main *m)
{
    const Daemon *d = &m->daemon;
    g_autofree char *layer = NULL, *no_layer = NULL;

    for (guint i = 0; i < d->gpus->len; i++) {
        const Gpu *g = d->gpus->pdata[i];
        g_autofree char *groups = g->groups ? g_strjoinv(", ", g->groups) : NULL;

        g_message("%s: %s%s%s, %" G_GUINT64_FORMAT " MiB to share%s%s%s%s%s", g->name,
                  g->driver ? g->driver : "unknown driver", g->node ? " on " : "", g->node ? g->node : "",
                  (guint64)(g->memory / MIB), g->memory_guessed ? " (nobody told: set memory= in [gpu " : "",
                  g->memory_guessed ? g->name : "", g->memory_guessed ? "] of vgpud.conf)" : "",
                  groups ? "; in group " : "", groups ? groups : "");
    }
    layer = launcher_find_layer(d->config->vulkan_layer, &no_layer);
    if (!layer) {
        g_message("guests have no Vulkan: %s", no_layer);
    }
    if (d->config->gpus == GPU_KINDS_AUTO && !((Gpu *)d->gpus->pdata[0])->node) {
        g_autoptr(GPtrArray) nvidia = nvidia_list("/proc");

        g_warning("this host has no render node in /dev/dri%s: its CPUs render, which is slow",
                  nvidia->len ? ", and of NVIDIA's GPUs the device files are missing (nvidia-modprobe -c 0 "
                                "makes /dev/nvidia0)"
                              : " and no GPU of NVIDIA's driver");
    }
    if (!d->config->sandbox) {
        g_warning("sandbox=off: renderers run with all rights of vgpud's user; a guest that breaks its "
                  "renderer has them");
    }
}

static void stop(Main *m)
{
    listen_unlink(m->listen);
    g_main_loop_quit(m->daemon.loop);
}

static gboolean on_signal(gpointer opaque)
{
    Main *m = opaque;

    g_message("stops; %u VMs run on", m->daemon.books->vms->len);
    stop(m);
    return G_SOURCE_CONTINUE;
}

static bool serve(Main *m, GError **error)
{
    m->attach = attach_serve(&m->daemon, m->listen->attach_fd);
    m->http = http_serve(&m->daemon, m->listen->api_fd, error);
    m->listen->api_fd = -1; /* http's now */
    return m->http != NULL;
}

/*
 * Nobody needs us any more.  The sockets go first; if a QEMU connected in that
 * moment, they come back and it is served.
 */
static gboolean on_idle(gpointer opaque)
{
    Main *m = opaque;
    g_autoptr(GError) error = NULL;

    m->idle_timer = 0;
    listen_unlink(m->listen);
    if (!listen_pending(m->listen)) {
        g_message("no VM is left: leaves");
        g_main_loop_quit(m->daemon.loop);
        return G_SOURCE_REMOVE;
    }
    attach_free(m->attach);
    http_free(m->http);
    int pending = m->listen->attach_fd;
    m->listen->attach_fd = -1;
    if (!listen_open(m->listen, m->daemon.config->group, &error) || !serve(m, &error)) {
        g_warning("%s", error->message);
        g_main_loop_quit(m->daemon.loop);
        return G_SOURCE_REMOVE;
    }
    attach_serve(&m->daemon, pending); /* who is in its queue is served; nobody else finds it */
    return G_SOURCE_REMOVE;
}

static void on_idle_changed(Daemon *d)
{
    Main *m = (Main *)d;
    bool idle = d->books->vms->len == 0 && d->connections == 0;

    m->had_vm |= d->books->vms->len > 0;
    vm_watch(d);
    if (m->idle_timer) {
        g_source_remove(m->idle_timer);
        m->idle_timer = 0;
    }
    if (m->options.autostart && idle) {
        m->idle_timer = g_timeout_add_seconds(m->had_vm ? IDLE_LAST_S : IDLE_FIRST_S, on_idle, m);
    }
}

/* The log beside the socket goes on over restarts; an old one is put aside. */
static int open_log(const Listen *l)
{
    g_autofree char *old = g_strconcat(l->log, ".1", NULL);
    struct stat st;

    if (stat(l->log, &st) == 0 && st.st_size > LOG_MAX) {
        rename(l->log, old);
    }
    return open(l->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* What the QEMU that started us had open is not ours to keep. */
static void close_strangers(const Listen *l)
{
    for (int fd = 3; fd < 1024; fd++) {
        if (fd != l->lock_fd && fd != l->attach_fd && fd != l->api_fd) {
            close(fd);
        }
    }
    syscall(SYS_close_range, 1024, ~0u, 0);
}

/* Into the background: the parent returns to the QEMU that waits for it. */
static bool go_to_background(const Main *m, GError **error)
{
    int log = open_log(m->listen);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid;

    if (log < 0 || null < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot write the log %s: %s", m->listen->log, g_strerror(errno));
        return false;
    }
    pid = fork();
    if (pid < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot start a process: %s", g_strerror(errno));
        return false;
    }
    if (pid > 0) {
        _exit(0);
    }
    setsid();
    if (chdir("/") < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) {
        _exit(1);
    }
    close_strangers(m->listen);
    return true;
}

/* False: another vgpud serves this socket already (*error unset), or an error. */
static bool become_the_one(Main *m, GError **error)
{
    gint64 wait = m->options.autostart ? WAIT_FOR_OTHER_S : WAIT_FOR_END_S;
    gint64 end = g_get_monotonic_time() + wait * G_USEC_PER_SEC;

    for (;;) {
        bool late = g_get_monotonic_time() > end;

        switch (listen_lock(m->listen, error)) {
        case LISTEN_LOCK_OURS:
            return true;
        case LISTEN_LOCK_FAILED:
            return false;
        case LISTEN_LOCK_THEIRS:
            break;
        }
        if (m->options.autostart && listen_is_served(m->listen)) {
            return false;
        }
        if (late && !m->options.autostart) {
            g_set_error(error, VGPUD_ERROR, 0,
                        "another vgpud serves %s already: use that one, or give another --socket",
                        m->listen->socket);
            return false;
        }
        if (late) {
            g_set_error(error, VGPUD_ERROR, 0, "another vgpud holds %s but does not listen on %s: end it",
                        m->listen->lock, m->listen->socket);
            return false;
        }
        g_usleep(20000);
    }
}

/* What an earlier vgpud left, and the GPUs' time from there on. */
static bool take_back(Main *m, GError **failure)
{
    g_autoptr(GError) error = NULL;

    if (!state_load(m->daemon.books, m->daemon.gpus, m->daemon.state_path, m->daemon.era, &error)) {
        g_autofree char *aside = g_strconcat(m->daemon.state_path, ".bad", NULL);

        g_warning("%s; it is kept as %s, and VMs that run already are not in the books", error->message,
                  aside);
        rename(m->daemon.state_path, aside);
    }
    if (!vm_lease_init(&m->daemon, failure)) {
        return false;
    }
    vm_adopt_all(&m->daemon);
    vm_lease_all_there(&m->daemon);
    vm_save_all(&m->daemon);
    return true;
}

/* What we have from whoever started us, a QEMU perhaps, made as we need it. */
static void settle_in(void)
{
    static const char *const paths[] = { "VGPU_RENDERER", "VGPU_VULKAN_LAYER" };
    struct rlimit files;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);                    /* ignored, renderers could not be waited for */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* several descriptors a VM */
        files.rlim_cur = MIN(files.rlim_max, FILES_MAX);
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        const char *named = g_getenv(paths[i]);

        if (named && *named && !g_path_is_absolute(named)) {
            g_autofree char *path = g_canonicalize_filename(named, NULL);

            g_setenv(paths[i], path, TRUE);
        }
    }
}

static bool run(Main *m, GError **error)
{
    Daemon *d = &m->daemon;

    if (!load(m, error)) {
        return false;
    }
    if (d->config->sandbox) {
        d->uid_base = ids_choose(d->config->uid_base);
    }
    if (m->options.check) {
        describe(m);
        return true;
    }
    m->listen = listen_new(m->options.socket, m->options.autostart);
    if (!listen_prepare_folder(m->listen, d->config->group, error)) {
        return false;
    }
    if (!become_the_one(m, error)) {
        return !*error;
    }
    if (!listen_open(m->listen, d->config->group, error) ||
        (m->options.autostart && !go_to_background(m, error))) {
        listen_unlink(m->listen);
        return false;
    }
    /* From here on threads may exist. */
    d->loop = g_main_loop_new(NULL, FALSE);
    d->books = books_new();
    d->since_ns = figures_now();
    d->state_path = g_strdup(m->listen->state);
    d->era = process_era();
    d->idle_changed = on_idle_changed;
    describe(m);
    if (!take_back(m, error) || !serve(m, error)) {
        listen_unlink(m->listen);
        return false;
    }
    d->graphics = graphics_new(d, m->options.autostart);
    g_unix_signal_add(SIGTERM, on_signal, m);
    g_unix_signal_add(SIGINT, on_signal, m);
    on_idle_changed(d);
    g_message("version " VGPU_VERSION " listens on %s", m->listen->socket);
    g_main_loop_run(d->loop);
    vm_save_all(d);
    http_free(m->http);
    graphics_free(d->graphics);
    leases_free(d->leases); /* renderers run on with what they have */
    audit_end();
    return true;
}

int main(int argc, char **argv)
{
    static Main m;
    const GOptionEntry entries[] = {
        { "config", 'c', 0, G_OPTION_ARG_FILENAME, &m.options.config,
          "read DIR/vgpud.conf and DIR/profiles.d/*.conf instead of those in " CONFIG_FOLDER, "DIR" },
        { "socket", 's', 0, G_OPTION_ARG_FILENAME, &m.options.socket,
          "listen on PATH; the API's socket, the lock, the state file and the log are beside it", "PATH" },
        { "autostart", 0, 0, G_OPTION_ARG_NONE, &m.options.autostart,
          "go to the background once it listens, leave after the last VM (QEMU starts it so)", NULL },
        { "renderer", 0, 0, G_OPTION_ARG_STRING, &m.options.kind, "kind of renderer: auto, virgl, 2d or null",
          "KIND" },
        { "devices", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &m.options.devices,
          "look for render nodes in DIR/dri (tests)", "DIR" },
        { "check", 0, 0, G_OPTION_ARG_NONE, &m.options.check,
          "read the configuration, show the GPUs and exit", NULL },
        { "version", 0, 0, G_OPTION_ARG_NONE, &m.options.version, "show the version and exit", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    setlocale(LC_ALL, "C.UTF-8");
    g_log_set_writer_func(write_log, NULL, NULL);
    settle_in();
    g_option_context_set_summary(
        context, "Shares the host's GPUs among virtual machines that have a vgpu-pci device.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "vgpud: %s; see vgpud --help\n", error->message);
        return 2;
    }
    if (argc > 1) {
        fprintf(stderr, "vgpud: what is '%s'? see vgpud --help\n", argv[1]);
        return 2;
    }
    if (m.options.version) {
        printf("vgpud " VGPU_VERSION "\n");
        return 0;
    }
    if (!run(&m, &error)) {
        fprintf(stderr, "vgpud: %s\n", error->message);
        return 1;
    }
    return 0;
}
