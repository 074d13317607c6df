/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * vgpud must not wait for a renderer that starts, and the child must not touch
 * the heap (another thread of vgpud may hold its lock at the fork).  So all
 * that needs memory is made before the fork, and the child reports through a
 * pipe, status, that closes by itself when exec succeeds: end of file means
 * that the renderer runs, text is the sentence why it does not.
 *
 *   vgpud                              child
 *     clone, with all namespaces        (or the zygote does these two, see zygote.h)
 *     maps the child's ids   -- go -->   enters the box, drops rights, exec
 *
 * The renderer survives vgpud: nothing here ties it to its parent.  Its log is
 * a pipe that never blocks it: what vgpud does not read is lost, which also
 * keeps a renderer that logs without end from filling a disk.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ini.h"
#include "launch_child.h"
#include "leases.h"
#include "sandbox.h"
#include "vgpu/vulkan.h"

#define THREADS_LEAST 1024 /* that the sandbox allows */
#define CONTEXT_THREADS                                                                                      \
    32 /* and for each context of Vulkan beside the driver's, devices and rings being few */

/* Everything the child uses, made before it exists. */
typedef struct Child {
    LaunchChild launch;
    char *const *argv, *const *envp;
} Child;

uint32_t launcher_cpus_online(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0) {
        return 1;
    }
    return MAX(CPU_COUNT(&set), 1);
}

/* n of the CPUs we may use, starting at another one for each VM. */
static bool choose_cpus(uint32_t n, uint32_t slot, cpu_set_t *out)
{
    cpu_set_t set;
    unsigned online, skip, seen = 0, taken = 0;

    CPU_ZERO(out);
    if (!n || sched_getaffinity(0, sizeof(set), &set) < 0) {
        return false;
    }
    online = CPU_COUNT(&set);
    if (n >= online) {
        return false;
    }
    skip = (uint64_t)slot * n % online;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned cpu = 0; cpu < CPU_SETSIZE && taken < n; cpu++) {
            if (CPU_ISSET(cpu, &set) && seen++ >= skip) {
                CPU_SET(cpu, out);
                taken++;
            }
        }
    }
    return taken == n;
}

/* EBUSY: one that has deadlines, see signs.c. */
static bool pin_thread(pid_t tid, void *set)
{
    if (sched_setaffinity(tid, sizeof(cpu_set_t), set) < 0 && errno != ESRCH && errno != EBUSY) {
        g_message("cannot bind thread %d to other CPUs: %s", (int)tid, g_strerror(errno));
        return false;
    }
    return true;
}

void launcher_pin(ProcessTree *t, uint32_t cpus, uint32_t slot)
{
    cpu_set_t set;

    if (!choose_cpus(cpus, slot, &set) && sched_getaffinity(0, sizeof(set), &set) < 0) {
        return;
    }
    /* a thread that appears in the first round has its maker's CPUs, old or new: hence a second */
    for (unsigned round = 0; round < 2; round++) {
        process_tree_look(t);
        for (guint i = 0; i < t->members->len; i++) {
            process_each_thread(g_array_index(t->members, ProcessTreeMember, i).pid, pin_thread, &set);
        }
    }
}

static int sealed_memfd(const char *name, size_t size, GError **error)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot make %zu bytes of shared memory: %s", size,
                    strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* The page's descriptor for the renderer; QEMU's can only read. */
static int make_stats(uint64_t memory, Launched *out, GError **error)
{
    char path[64];
    struct vgpu_stats first = { .magic = VGPU_STATS_MAGIC,
                                .version = VGPU_STATS_VERSION,
                                .memory_limit = memory,
                                .kind = UINT64_MAX /* until it says */ };
    int fd = sealed_memfd("vgpu-stats", VGPU_STATS_SIZE, error);

    if (fd < 0) {
        return -1;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    out->stats = open(path, O_RDONLY | O_CLOEXEC);
    out->page = mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (pwrite(fd, &first, sizeof(first), 0) != sizeof(first) || out->stats < 0 || out->page == MAP_FAILED) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot make a statistics page: %s", strerror(errno));
        out->page = out->page == MAP_FAILED ? NULL : out->page;
        close(fd);
        return -1;
    }
    return fd;
}

void launched_clear(Launched *l)
{
    int *fds[] = { &l->pidfd, &l->vhost_user, &l->channel, &l->stats, &l->objects,
                   &l->log,   &l->status,     &l->lease,   &l->call,  &l->wake };

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
            *fds[i] = -1;
        }
    }
    if (l->page) {
        munmap(l->page, VGPU_STATS_SIZE);
        l->page = NULL;
    }
}

static bool socket_pair(int *ours, int *theirs, GError **error)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot make a socket pair: %s", strerror(errno));
        return false;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return true;
}

static bool pipe_pair(int *reader, int *writer, int flags, GError **error)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC | flags) < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    *reader = pair[0];
    *writer = pair[1];
    return true;
}

static char **make_argv(const LaunchSpec *s)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();

#define ADD(...) g_strv_builder_take(b, g_strdup_printf(__VA_ARGS__))
    ADD("%s", s->renderer);
    ADD("--vhost-user-fd=%d", LAUNCHER_VHOST_USER_FD);
    ADD("--channel-fd=%d", LAUNCHER_CHANNEL_FD);
    ADD("--stats-fd=%d", LAUNCHER_STATS_FD);
    ADD("--objects-fd=%d", LAUNCHER_OBJECTS_FD);
    ADD("--vm-name=%s", s->vm_name);
    ADD("--profile=%s", s->profile);
    ADD("--gpu=%s", s->gpu);
    ADD("--memory=%" G_GUINT64_FORMAT, (guint64)s->memory);
    ADD("--renderer=%s", s->kind);
    ADD("--clock-base=%" G_GUINT64_FORMAT, (guint64)s->clock_base);
    ADD("--max-outputs=%u", s->max_outputs);
    if (s->node) {
        ADD("--render-node=%s", s->node);
    }
    ADD("--apis=%s", s->apis);
    if (s->vulkan_layer) {
        ADD("--vulkan-layer=%s", s->sandbox ? SANDBOX_LAYER : s->vulkan_layer);
    }
    if (s->max_contexts) {
        ADD("--max-contexts=%u", s->max_contexts);
    }
    if (s->max_width && s->max_height) {
        ADD("--max-width=%u", s->max_width);
        ADD("--max-height=%u", s->max_height);
    }
    if (s->cpus) {
        ADD("--threads=%u", s->cpus);
    }
    if (s->lease) {
        ADD("--lease-fd=%d", LAUNCHER_LEASE_FD);
        ADD("--lease-call-fd=%d", LAUNCHER_CALL_FD);
        ADD("--lease-wake-fd=%d", LAUNCHER_WAKE_FD);
    }
    if (s->record >= 0) {
        ADD("--record-fd=%d", LAUNCHER_RECORD_FD);
    }
    if (s->facts) {
        ADD("--facts=%s", s->facts);
    }
    if (s->probe) {
        ADD("--probe");
    }
    if (!s->sandbox) {
        ADD("--no-sandbox");
    }
#undef ADD
    return g_strv_builder_end(b);
}

char **launcher_environment(char *const *environment)
{
    /* passed on for debugging and sanitizer builds; nothing else of ours is */
    static const char *const kept[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "G_MESSAGES_DEBUG" };
    char **envp = NULL;

    envp = g_environ_setenv(envp, "PATH", "/usr/bin:/bin", TRUE);
    envp = g_environ_setenv(envp, "HOME", "/tmp", TRUE);
    envp = g_environ_setenv(envp, "XDG_RUNTIME_DIR", "/tmp", TRUE);
    envp = g_environ_setenv(envp, "LC_ALL", "C.UTF-8", TRUE);
    /* another VM must not find what this one compiled, and there is no disk */
    envp = g_environ_setenv(envp, "MESA_SHADER_CACHE_DISABLE", "true", TRUE);
    envp = g_environ_setenv(envp, "__GL_SHADER_DISK_CACHE", "0", TRUE); /* NVIDIA's */
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++) {
        if (g_getenv(kept[i])) {
            envp = g_environ_setenv(envp, kept[i], g_getenv(kept[i]), TRUE);
        }
    }
    for (char *const *e = environment; e && *e; e++) {
        g_auto(GStrv) pair = g_strsplit(*e, "=", 2);

        if (pair[0] && pair[1]) {
            envp = g_environ_setenv(envp, pair[0], pair[1], TRUE);
        }
    }
    return envp;
}

/* ---- in vgpud ---- */

static pid_t plain_fork(int *pidfd, GError **error)
{
    pid_t pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);

    if (pid < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot start a process: %s", strerror(errno));
    }
    return pid;
}

/* False: it is to be started directly. */
static bool start_by_zygote(const LaunchSpec *spec, const Child *child, Launched *out)
{
    const ZygoteChild z = {
        .child = &child->launch,
        .renderer = spec->renderer,
        .layer = spec->vulkan_layer,
        .node = spec->node,
        .device_path = spec->device_path,
        .udmabuf = spec->udmabuf,
        .uid = spec->uid,
        .arguments = child->argv,
    };
    g_autoptr(GError) error = NULL;

    if (!spec->zygote || !child->launch.box) {
        return false;
    }
    if (!zygote_fork(spec->zygote, &z, &out->pid, &out->pidfd, &error)) {
        g_warning("VM '%s': %s; its renderer is started directly", spec->vm_name, error->message);
        return false;
    }
    return true;
}

static bool start_directly(const LaunchSpec *spec, Child *child, Launched *out, GError **error)
{
    out->pid = child->launch.box ? sandbox_fork(&out->pidfd, error) : plain_fork(&out->pidfd, error);
    if (out->pid == 0) {
        launch_child_enter(&child->launch);
        execve(child->launch.box ? SANDBOX_PROGRAM : child->argv[0], child->argv, child->envp);
        launch_child_fail(child->argv[0]);
    }
    if (out->pid < 0) {
        return false;
    }
    return !child->launch.box || sandbox_map_ids(child->launch.box, out->pid, spec->uid, error);
}

/* *go_writer: of the pipe that the child reads. */
static bool start_child(const LaunchSpec *spec, Child *child, int *go_writer, Launched *out, GError **error)
{
    int *go_reader = &child->launch.fds[LAUNCH_GO_FD];

    if (!start_by_zygote(spec, child, out)) {
        if (spec->zygote) {
            /* a child that the zygote did not tell of must not take this one's go */
            close(*go_writer);
            close(*go_reader);
            *go_writer = *go_reader = -1;
            if (!pipe_pair(go_reader, go_writer, 0, error)) {
                return false;
            }
        }
        if (!start_directly(spec, child, out, error)) {
            return false;
        }
    }
    if (write(*go_writer, "g", 1) != 1) {
        g_set_error(error, VGPUD_ERROR, 0, "the renderer's process ended at once");
        return false;
    }
    return true;
}

/*
 * One process, or with Vulkan one for each context beside it; drivers in
 * software have a thread for each CPU, and some for each device or ring.
 */
static rlim_t processes_most(const LaunchSpec *spec)
{
    rlim_t contexts = spec->vulkan_layer ? VGPU_VULKAN_PROCESSES : 0;
    rlim_t cpus = spec->cpus ? spec->cpus : launcher_cpus_online();

    return THREADS_LEAST + contexts * (CONTEXT_THREADS + cpus);
}

bool launcher_start(const LaunchSpec *spec, Launched *out, GError **error)
{
    g_auto(GStrv) argv = make_argv(spec);
    g_auto(GStrv) envp = launcher_environment(spec->environment);
    g_autoptr(Sandbox) box = spec->sandbox ? sandbox_new(spec->renderer, spec->vulkan_layer, spec->node,
                                                         spec->device_path, spec->udmabuf)
                                           : NULL;
    Child child = { .argv = argv, .envp = envp, .launch.box = box };
    int go_writer = -1, log_writer = -1;
    bool ok = false;

    *out = LAUNCHED_NONE;
    for (int i = 0; i < LAUNCH_FDS; i++) {
        child.launch.fds[i] = -1;
    }
    child.launch.processes = processes_most(spec);
    child.launch.file = spec->file_most;
    child.launch.pinned = choose_cpus(spec->cpus, spec->slot, &child.launch.cpus);

    child.launch.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (child.launch.fds[0] < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot open /dev/null: %s", strerror(errno));
        goto out;
    }
    /* the log's end never blocks its writer */
    if (!pipe_pair(&out->log, &log_writer, O_NONBLOCK, error) ||
        !socket_pair(&out->vhost_user, &child.launch.fds[LAUNCHER_VHOST_USER_FD], error) ||
        !socket_pair(&out->channel, &child.launch.fds[LAUNCHER_CHANNEL_FD], error) ||
        !pipe_pair(&out->status, &child.launch.fds[LAUNCH_STATUS_FD], 0, error) ||
        !pipe_pair(&child.launch.fds[LAUNCH_GO_FD], &go_writer, 0, error)) {
        goto out;
    }
    child.launch.fds[1] = log_writer;
    child.launch.fds[2] = log_writer;
    fcntl(out->status, F_SETFL, O_NONBLOCK);
    child.launch.fds[LAUNCHER_STATS_FD] = make_stats(spec->memory, out, error);
    if (child.launch.fds[LAUNCHER_STATS_FD] < 0) {
        goto out;
    }
    out->objects = sealed_memfd("vgpu-objects", LAUNCHER_OBJECTS_SIZE, error);
    if (out->objects < 0) {
        goto out;
    }
    if (spec->lease && !leases_make_fds(&out->lease, &out->call, &out->wake, error)) {
        goto out;
    }
    child.launch.fds[LAUNCHER_OBJECTS_FD] = out->objects;
    child.launch.fds[LAUNCHER_LEASE_FD] = out->lease;
    child.launch.fds[LAUNCHER_CALL_FD] = out->call;
    child.launch.fds[LAUNCHER_WAKE_FD] = out->wake;
    child.launch.fds[LAUNCHER_RECORD_FD] = spec->record;
    ok = start_child(spec, &child, &go_writer, out, error);
    child.launch.fds[LAUNCHER_OBJECTS_FD] = -1; /* QEMU's */
    for (int i = LAUNCHER_LEASE_FD; i < LAUNCH_FDS; i++) {
        child.launch.fds[i] = -1; /* ours, and the caller's */
    }

out:
    child.launch.fds[1] = -1; /* the same as 2 */
    for (int i = 0; i < LAUNCH_FDS; i++) {
        if (child.launch.fds[i] >= 0) {
            close(child.launch.fds[i]);
        }
    }
    if (go_writer >= 0) {
        close(go_writer);
    }
    if (!ok) {
        if (out->pid > 0) { /* it waits in a read(), so this is quick */
            kill(out->pid, SIGKILL);
            waitpid(out->pid, NULL, 0);
        }
        launched_clear(out);
    }
    return ok;
}

/* The first that there is of env's value, configured, or one beside our program and one installed. */
static char *find_file(const char *env, const char *configured, const char *beside, const char *installed,
                       int mode, char **tried)
{
    const char *named = g_getenv(env);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = g_path_get_dirname(self ? self : "/");
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    if (named && *named) {
        g_ptr_array_add(paths, g_canonicalize_filename(named, NULL));
    } else if (configured) {
        g_ptr_array_add(paths, g_strdup(configured));
    } else {
        g_ptr_array_add(paths, g_canonicalize_filename(beside, folder));
        g_ptr_array_add(paths, g_strdup(installed));
    }
    for (guint i = 0; i < paths->len; i++) {
        if (access(paths->pdata[i], mode) == 0) {
            return g_strdup(paths->pdata[i]);
        }
    }
    g_ptr_array_add(paths, NULL);
    *tried = g_strjoinv(" nor ", (char **)paths->pdata);
    return NULL;
}

char *launcher_find_renderer(const char *configured, GError **error)
{
    g_autofree char *tried = NULL;
    char *path = find_file("VGPU_RENDERER", configured, "../renderer/vgpu-renderer",
                           VGPU_LIBEXECDIR "/vgpu-renderer", X_OK, &tried);

    if (!path) {
        g_set_error(
            error, VGPUD_ERROR, 0,
            "no vgpu-renderer at %s: install it, or name it with VGPU_RENDERER or path= in [renderer] "
            "of vgpud.conf",
            tried);
    }
    return path;
}

char *launcher_find_layer(const char *configured, char **why)
{
    g_autofree char *tried = NULL, *manifest = NULL, *folder = NULL;
    char *path = find_file("VGPU_VULKAN_LAYER", configured, "../vulkan-layer/libVkLayer_vgpu.so",
                           VGPU_LIBDIR "/libVkLayer_vgpu.so", R_OK, &tried);

    if (!path) {
        *why = g_strdup_printf("no Vulkan layer at %s", tried);
        return NULL;
    }
    folder = g_path_get_dirname(path);
    manifest = g_build_filename(folder, SANDBOX_LAYER_MANIFEST, NULL);
    if (access(manifest, R_OK) < 0) {
        *why = g_strdup_printf("the Vulkan layer %s has no %s beside it", path, SANDBOX_LAYER_MANIFEST);
        g_clear_pointer(&path, g_free);
    }
    return path;
}
