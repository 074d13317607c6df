/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See graphics.h for the theory. */
#include "graphics.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "figures.h"
#include "host_files.h"
#include "ids.h"
#include "ini.h"
#include "launcher.h"
#include "nvidia.h"
#include "process.h"
#include "vmlog.h"

#define ANSWER_MAX   (64u * 1024) /* bytes of a probe's */
#define ANSWER_FILES 512
#define PROBE_S      30 /* a driver that starts at all has started by then */
#define PROBE_MEMORY (256ull << 20)
/* Between two that did not last: twice as long each time. */
#define ZYGOTE_GAP_MS     2000
#define ZYGOTE_GAP_MAX_MS (300 * 1000)
#define ZYGOTE_LASTS_US   (60 * G_USEC_PER_SEC)

/* Of one GPU. */
typedef struct Known {
    char *gpu;
    char *key;        /* of what the probe was made with */
    char *facts;      /* NULL: nothing, OpenGL does not start or not late */
    HostFiles *files; /* with facts */
} Known;

struct Graphics {
    Daemon *daemon;
    char *path;
    GPtrArray *known; /* Known */

    /* the probe that runs */
    Launched probe;
    char *probe_gpu, *probe_key;
    VmLog *probe_log;
    GString *answer;
    guint answer_source, end_source, deadline;
    bool failed; /* its answer is none */

    Zygote *zygote;
    gint64 zygote_began; /* us; 0: there was none yet */
    guint zygote_gap;    /* ms */
    guint zygote_timer;
};

static void probe_next(Graphics *g);

static void known_free(gpointer p)
{
    Known *k = p;

    g_free(k->gpu);
    g_free(k->key);
    g_free(k->facts);
    host_files_free(k->files);
    g_free(k);
}

static Known *find(const Graphics *g, const char *gpu)
{
    for (guint i = 0; i < g->known->len; i++) {
        Known *k = g->known->pdata[i];

        if (g_str_equal(k->gpu, gpu)) {
            return k;
        }
    }
    return NULL;
}

static void forget(Graphics *g, Known *k)
{
    g_ptr_array_remove(g->known, k);
}

static char *layer_of(const Graphics *g)
{
    g_autofree char *why = NULL;

    return launcher_find_layer(g->daemon->config->vulkan_layer, &why);
}

static char *renderer_of(const Graphics *g)
{
    return launcher_find_renderer(g->daemon->config->renderer, NULL);
}

/* All that decides what a probe finds, but for files. */
static char *make_key(const Graphics *g, const Gpu *gpu, const char *renderer, const char *layer)
{
    const Config *c = g->daemon->config;
    g_autofree char *environment = c->environment ? g_strjoinv(";", c->environment) : NULL;

    return g_strdup_printf("%s|%s|%s|%s|%s", VGPU_VERSION, renderer, layer ? layer : "",
                           gpu->node ? gpu->node : "", environment ? environment : "");
}

/* ---- the file ---- */

static void save(const Graphics *g)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL, *folder = g->path ? g_path_get_dirname(g->path) : NULL;
    gsize length;

    for (guint i = 0; i < g->known->len; i++) {
        const Known *k = g->known->pdata[i];

        if (k->facts) {
            g_auto(GStrv) files = host_files_text(k->files);

            g_key_file_set_string(file, k->gpu, "key", k->key);
            g_key_file_set_string(file, k->gpu, "facts", k->facts);
            g_key_file_set_string_list(file, k->gpu, "files", (const char *const *)files,
                                       g_strv_length(files));
        }
    }
    if (!g->path) {
        return;
    }
    text = g_key_file_to_data(file, &length, NULL);
    g_mkdir_with_parents(folder, 0700);
    if (!g_file_set_contents_full(g->path, text, length, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error)) {
        g_message("what is known of this host's OpenGL is not kept for the next vgpud: %s", error->message);
    }
}

static void load(Graphics *g)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_auto(GStrv) groups = NULL;
    struct stat st;

    if (!g->path || stat(g->path, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 022 ||
        !g_key_file_load_from_file(file, g->path, G_KEY_FILE_NONE, NULL)) {
        return;
    }
    groups = g_key_file_get_groups(file, NULL);
    for (unsigned i = 0; groups[i]; i++) {
        g_auto(GStrv) lines = g_key_file_get_string_list(file, groups[i], "files", NULL, NULL);
        Known *k = g_new0(Known, 1);

        k->gpu = g_strdup(groups[i]);
        k->key = g_key_file_get_string(file, groups[i], "key", NULL);
        k->facts = g_key_file_get_string(file, groups[i], "facts", NULL);
        k->files = lines ? host_files_parse(lines) : NULL;
        if (k->key && k->facts && k->files && !find(g, k->gpu)) {
            g_ptr_array_add(g->known, k);
        } else {
            known_free(k);
        }
    }
}

/* ---- the zygote ---- */

static void note_group(GArray *groups, const char *path)
{
    struct stat st;

    if (!path || stat(path, &st) < 0 || !st.st_gid) {
        return;
    }
    for (guint i = 0; i < groups->len; i++) {
        if (g_array_index(groups, gid_t, i) == st.st_gid) {
            return;
        }
    }
    g_array_append_val(groups, st.st_gid);
}

static void zygote_later(Graphics *g);

static void on_zygote_gone(void *opaque)
{
    zygote_later(opaque);
}

/* NVIDIA's libraries do not take being loaded in one process and used in its children. */
static bool can_be_forked(const Gpu *gpu)
{
    return gpu && !nvidia_is_node(gpu->node);
}

static void zygote_begin(Graphics *g)
{
    g_autoptr(GPtrArray) libraries = g_ptr_array_new();
    g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
    g_auto(GStrv) environment = launcher_environment(g->daemon->config->environment);
    g_autofree char *renderer = renderer_of(g);
    g_autoptr(GError) error = NULL;
    ZygoteConfig config = {
        .renderer = renderer, .uid_base = g->daemon->uid_base, .gone = on_zygote_gone, .opaque = g
    };

    for (guint i = 0; i < g->known->len; i++) {
        const Known *k = g->known->pdata[i];

        if (k->facts && can_be_forked(gpu_find(g->daemon->gpus, k->gpu))) {
            host_files_libraries(k->files, libraries);
        }
    }
    if (!renderer || !libraries->len) {
        return;
    }
    g_ptr_array_add(libraries, NULL);
    for (guint i = 0; i < g->daemon->gpus->len; i++) {
        note_group(groups, ((Gpu *)g->daemon->gpus->pdata[i])->node);
    }
    note_group(groups, "/dev/udmabuf");
    config.libraries = (char *const *)libraries->pdata;
    config.environment = environment;
    config.groups = (const gid_t *)(void *)groups->data;
    config.group_count = groups->len;
    g->zygote_began = g_get_monotonic_time();
    g->zygote = zygote_new(&config, &error);
    if (!g->zygote) {
        g_warning("there is no zygote, renderers start without: %s", error->message);
    }
}

static gboolean on_zygote_due(gpointer opaque)
{
    Graphics *g = opaque;

    g->zygote_timer = 0;
    g_clear_pointer(&g->zygote, zygote_free);
    zygote_begin(g);
    return G_SOURCE_REMOVE;
}

/* Another one, at once where the last one had lasted. */
static void zygote_later(Graphics *g)
{
    gint64 lasted = g_get_monotonic_time() - g->zygote_began;

    if (!g->daemon->config->zygote || g->zygote_timer) {
        return;
    }
    if (!g->zygote_began || lasted >= ZYGOTE_LASTS_US) {
        g->zygote_gap = 0;
    } else {
        g->zygote_gap = CLAMP(2 * g->zygote_gap, ZYGOTE_GAP_MS, ZYGOTE_GAP_MAX_MS);
    }
    g->zygote_timer = g_timeout_add(g->zygote_gap, on_zygote_due, g);
}

/* Others are to be loaded; what was before does not count. */
static void zygote_renew(Graphics *g)
{
    g_clear_pointer(&g->zygote, zygote_free);
    g->zygote_began = 0;
    zygote_later(g);
}

/* ---- the probe ---- */

static void probe_clear(Graphics *g)
{
    guint *sources[] = { &g->answer_source, &g->end_source, &g->deadline };

    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++) {
        if (*sources[i]) {
            g_source_remove(*sources[i]);
            *sources[i] = 0;
        }
    }
    launched_clear(&g->probe);
    g_clear_pointer(&g->probe_log, vmlog_free);
    g_clear_pointer(&g->probe_gpu, g_free);
    g_clear_pointer(&g->probe_key, g_free);
    if (g->answer) {
        g_string_free(g->answer, TRUE);
        g->answer = NULL;
    }
}

/* The first line is for renderers, the others are files. */
static void take_answer(Graphics *g)
{
    g_auto(GStrv) lines = g_strsplit(g->answer->str, "\n", ANSWER_FILES);
    g_autofree char *renderer = renderer_of(g);
    Known *k = g_new0(Known, 1), *old = find(g, g->probe_gpu);

    k->gpu = g_strdup(g->probe_gpu);
    k->key = g_strdup(g->probe_key);
    if (!g->failed && *lines && **lines && g_utf8_validate(g->answer->str, -1, NULL)) {
        k->facts = g_strdup(lines[0]);
        k->files = host_files_new(lines + 1, renderer);
        g_message("%s: OpenGL starts when a VM needs it", k->gpu);
    } else {
        g_message("%s: OpenGL does not start, or not late: renderers try it when they start", k->gpu);
    }
    if (old) {
        forget(g, old);
    }
    g_ptr_array_add(g->known, k);
    if (k->facts) {
        save(g);
        zygote_renew(g);
    }
}

static gboolean on_answer(gint fd, GIOCondition condition, gpointer opaque)
{
    Graphics *g = opaque;
    char text[4096];
    ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n > 0 && g->answer->len + (size_t)n <= ANSWER_MAX) {
        g_string_append_len(g->answer, text, n);
        return G_SOURCE_CONTINUE;
    }
    g->failed |= n != 0;
    g->answer_source = 0;
    return G_SOURCE_REMOVE;
}

static gboolean on_probe_end(gint pidfd, GIOCondition condition, gpointer opaque)
{
    Graphics *g = opaque;
    siginfo_t info = { 0 };

    g->end_source = 0;
    vmlog_drain(g->probe_log);
    if (g->answer_source) {
        g_source_remove(g->answer_source);
        while (on_answer(g->probe.channel, G_IO_IN, g) == G_SOURCE_CONTINUE) {
            continue; /* its end is closed: what there is, and then nothing */
        }
    }
    waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
    g->failed |= info.si_code != CLD_EXITED || info.si_status != 0;
    take_answer(g);
    probe_clear(g);
    probe_next(g);
    return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer opaque)
{
    Graphics *g = opaque;

    g->deadline = 0;
    g->failed = true;
    process_kill(g->probe.pidfd, SIGKILL); /* on_probe_end */
    return G_SOURCE_REMOVE;
}

static bool probe_begin(Graphics *g, const Gpu *gpu, const char *renderer, const char *layer)
{
    Daemon *d = g->daemon;
    g_autofree char *name = g_strdup_printf("probe of %s", gpu->name);
    g_autofree char *udmabuf = !gpu->node && layer ? gpu_udmabuf("/dev", "/sys", PROBE_MEMORY) : NULL;
    g_autoptr(GError) error = NULL;
    LaunchSpec spec = {
        .renderer = renderer,
        .apis = "gl,vulkan",
        .vulkan_layer = layer,
        .kind = "virgl",
        .vm_name = name,
        .profile = "",
        .gpu = gpu->name,
        .node = gpu->node,
        .device_path = gpu->device_path,
        .udmabuf = udmabuf,
        .environment = d->config->environment,
        .memory = PROBE_MEMORY,
        .file_most = PROBE_MEMORY + d->config->memory_overhead,
        .clock_base = figures_now(),
        .max_outputs = 1,
        .uid = ids_of_slot(d->uid_base, IDS_COUNT - 1), /* of no VM but the 4096th */
        .sandbox = true,
        .record = -1,
        .probe = true,
    };

    if (!launcher_start(&spec, &g->probe, &error)) {
        g_message("%s: OpenGL cannot be tried: %s", gpu->name, error->message);
        return false;
    }
    g->probe_gpu = g_strdup(gpu->name);
    g->probe_key = make_key(g, gpu, renderer, layer);
    g->probe_log = vmlog_new(g->probe.log, name);
    g->probe.log = -1;
    g->answer = g_string_new(NULL);
    g->failed = false;
    g->answer_source = g_unix_fd_add(g->probe.channel, G_IO_IN | G_IO_HUP, on_answer, g);
    g->end_source = g_unix_fd_add(g->probe.pidfd, G_IO_IN, on_probe_end, g);
    g->deadline = g_timeout_add_seconds(PROBE_S, on_deadline, g);
    return true;
}

/* One at a time: each takes all the CPU it gets. */
static void probe_next(Graphics *g)
{
    g_autofree char *renderer = renderer_of(g), *layer = layer_of(g);

    for (guint i = 0; renderer && !g->answer && i < g->daemon->gpus->len; i++) {
        const Gpu *gpu = g->daemon->gpus->pdata[i];

        if (!find(g, gpu->name) && !probe_begin(g, gpu, renderer, layer)) {
            return;
        }
    }
}

/* ---- all of it ---- */

/* What is not so any more is forgotten. */
static void check(Graphics *g, const Gpu *gpu, const char *renderer, const char *layer)
{
    Known *k = find(g, gpu->name);
    g_autofree char *key = make_key(g, gpu, renderer, layer);

    if (k && (!g_str_equal(k->key, key) || (k->facts && !host_files_same(k->files)))) {
        g_message("%s: renderer, driver or libraries have changed: OpenGL is tried again", gpu->name);
        forget(g, k);
        g_clear_pointer(&g->zygote, zygote_free); /* it has the old ones */
    }
}

/* Of programs that are built in different places each their own. */
static char *user_path(const char *renderer)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, renderer, -1);

    return g_strdup_printf("%s/vgpu/graphics-%.16s", g_get_user_cache_dir(), sum);
}

static char *path_beside(const char *state_path)
{
    g_autofree char *folder = g_path_get_dirname(state_path);

    return g_build_filename(folder, "vgpud.graphics", NULL);
}

Graphics *graphics_new(Daemon *d, bool user)
{
    const char *kind = d->config->kind;
    g_autofree char *renderer = NULL, *layer = NULL;
    Graphics *g;

    if (!d->config->sandbox || (!g_str_equal(kind, "auto") && !g_str_equal(kind, "virgl"))) {
        return NULL;
    }
    g = g_new0(Graphics, 1);
    g->daemon = d;
    renderer = renderer_of(g);
    layer = layer_of(g);
    g->path = user ? user_path(renderer ? renderer : "") : path_beside(d->state_path);
    g->known = g_ptr_array_new_with_free_func(known_free);
    g->probe = LAUNCHED_NONE;
    load(g);
    for (guint i = 0; renderer && i < d->gpus->len; i++) {
        check(g, d->gpus->pdata[i], renderer, layer);
    }
    if (g->known->len) {
        zygote_renew(g);
    }
    probe_next(g);
    return g;
}

void graphics_free(Graphics *g)
{
    if (!g) {
        return;
    }
    if (g->probe.pidfd >= 0) {
        process_kill(g->probe.pidfd, SIGKILL);
    }
    probe_clear(g);
    if (g->zygote_timer) {
        g_source_remove(g->zygote_timer);
    }
    zygote_free(g->zygote);
    g_ptr_array_unref(g->known);
    g_free(g->path);
    g_free(g);
}

void graphics_choose(Graphics *g, const Gpu *gpu, const char **facts, Zygote **zygote)
{
    g_autofree char *renderer = NULL, *layer = NULL;
    const Known *k;

    *facts = NULL;
    *zygote = NULL;
    if (!g || !gpu) {
        return;
    }
    renderer = renderer_of(g);
    layer = layer_of(g);
    if (!renderer) {
        return;
    }
    check(g, gpu, renderer, layer);
    k = find(g, gpu->name);
    *facts = k ? k->facts : NULL;
    if (!can_be_forked(gpu)) {
        /* it is started directly */
    } else if (k && k->facts && !g->zygote) { /* it could not be started */
        zygote_later(g);
    } else if (g->zygote && zygote_ready(g->zygote)) {
        *zygote = g->zygote;
    }
    probe_next(g);
}
