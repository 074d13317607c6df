/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The box a renderer runs in, seen from inside: this program is started as the
 * renderer, by the launcher that vgpud uses, and tells what it can do there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ids.h"
#include "launcher.h"
#include "process.h"
#include "sandbox.h"

#define FILE_MOST (600ull << 20)

/* ---- inside: one line per fact, on the log ---- */

static void say(const char *fact, bool yes)
{
    fprintf(stderr, "%s=%d\n", fact, yes);
}

static bool can_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static bool can_connect_to_loopback(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(9),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && send(fd, "x", 1, 0) == 1;

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* What plays the part of NVIDIA's device files is in this folder. */
#define NVIDIA_ENV "VGPU_TEST_NVIDIA"

static bool can_open_nvidia(const char *name)
{
    g_autofree char *path = g_build_filename(g_getenv(NVIDIA_ENV) ?: "/dev", name, NULL);

    return can_open(path, O_RDWR);
}

/* boxed: whether to try what would do harm outside of a box. */
static G_NORETURN void inside(bool boxed)
{
    struct vgpu_stats stats = { 0 };
    struct rlimit processes;
    struct stat st;
    struct rlimit file;
    int fd;
    cpu_set_t cpus;
    char host[64] = "", c;
    unsigned fds = 0, caps = 0;

    for (fd = 0; fd < 1024; fd++) {
        fds += fstat(fd, &st) == 0;
    }
    for (int cap = 0; cap < 64; cap++) {
        caps += prctl(PR_CAPBSET_READ, cap) == 1;
    }
    say("is process 1", getpid() == 1);
    say("is nobody", getuid() == 65534 && getgid() == 65534 && geteuid() == 65534);
    say("has capabilities", caps != 0);
    say("has no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    say("reads /etc/passwd", can_open("/etc/passwd", O_RDONLY));
    say("runs programs of the host", access("/usr/bin/env", X_OK) == 0);
    say("knows where its program is",
        access(g_getenv("VGPU_TEST_SELF") ?: "/root", F_OK) == 0 || access("/home", F_OK) == 0);
    say("sees the old root", access("/old", F_OK) == 0);
    say("sees other processes", access("/proc/1/status", F_OK) == 0 && access("/proc/2/status", F_OK) == 0);
    say("opens /dev/null", can_open("/dev/null", O_RDWR));
    say("reads /dev/urandom", can_open("/dev/urandom", O_RDONLY));
    say("opens udmabuf", can_open("/dev/zero", O_RDWR)); /* that plays its part */
    say("opens nvidia0", can_open_nvidia("nvidia0"));
    say("opens nvidiactl", can_open_nvidia("nvidiactl"));
    say("opens nvidia1", can_open_nvidia("nvidia1"));
    say("opens nvidia-uvm", can_open_nvidia("nvidia-uvm"));
    say("finds libraries", access("/etc/ld.so.cache", R_OK) == 0);
    say("finds itself", access("/proc/self/maps", R_OK) == 0);
    say("has a Vulkan layer", access(SANDBOX_LAYER, R_OK) == 0);
    say("has its manifest", access(SANDBOX_LAYER_FOLDER "/" SANDBOX_LAYER_MANIFEST, R_OK) == 0);
    say("changes the Vulkan layer", can_open(SANDBOX_LAYER, O_WRONLY));
    say("reaches a network", can_connect_to_loopback());
    say("can signal a stranger", kill(2, 0) == 0);
    say("has seven descriptors", fds == 7);
    if (boxed) {
        say("can become root", setuid(0) == 0);
        say("writes to /", can_open("/x", O_CREAT | O_WRONLY));
        say("writes to /usr/lib", can_open("/usr/lib/x", O_CREAT | O_WRONLY));
        say("writes to /tmp", can_open("/tmp/x", O_CREAT | O_WRONLY));
        say("can mount", mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0);
    }
    getrlimit(RLIMIT_NPROC, &processes);
    say("may make 65 processes of 32 threads", processes.rlim_cur >= 65 * 32);
    gethostname(host, sizeof(host) - 1);
    say("knows the host's name", strcmp(host, "vgpu") != 0);
    say("has one CPU", sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1);
    say("has the stats page", pread(LAUNCHER_STATS_FD, &stats, sizeof(stats), 0) == sizeof(stats) &&
                                  stats.magic == VGPU_STATS_MAGIC && stats.version == VGPU_STATS_VERSION &&
                                  stats.memory_limit == 512 << 20);
    say("can shrink the stats page", ftruncate(LAUNCHER_STATS_FD, 0) == 0);
    say("has the object table", fstat(6, &st) == 0 && st.st_size == LAUNCHER_OBJECTS_SIZE);
    say("can shrink the object table", ftruncate(6, 0) == 0);
    say("has a secret of vgpud's", g_getenv("VGPU_TEST_SECRET") != NULL);
    say("may use the shader cache", g_getenv("MESA_SHADER_CACHE_DISABLE") == NULL);
    say("has files without bound",
        getrlimit(RLIMIT_FSIZE, &file) < 0 || file.rlim_max != FILE_MOST || file.rlim_cur != FILE_MOST);
    fd = memfd_create("x", MFD_CLOEXEC);
    say("shares a longer file", ftruncate(fd, FILE_MOST + 1) == 0 || ftruncate(fd, FILE_MOST) < 0);
    close(fd);
    say("may run before others", getrlimit(RLIMIT_RTPRIO, &file) < 0 || file.rlim_max != 0 ||
                                     getrlimit(RLIMIT_NICE, &file) < 0 || file.rlim_max != 0);
    say("dies of SIGPIPE", signal(SIGPIPE, SIG_IGN) != SIG_IGN);
    fprintf(stderr, "end\n");
    /* until QEMU's end is closed; _exit: a leak checker could not work in the box */
    _exit(read(LAUNCHER_VHOST_USER_FD, &c, 1) == 0 ? 3 : 4);
}

/* ---- outside ---- */

static char *self;

/* A layer and its manifest, in a folder of their own; to free. */
static char *make_layer(void)
{
    g_autofree char *folder = g_dir_make_tmp("vgpu-layer-XXXXXX", NULL);
    g_autofree char *manifest = g_build_filename(folder, SANDBOX_LAYER_MANIFEST, NULL);
    char *layer = g_build_filename(folder, "layer.so", NULL);

    /* the box's user is another one */
    g_chmod(folder, 0755);
    g_assert_true(g_file_set_contents_full(layer, "so", 2, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
    g_assert_true(g_file_set_contents_full(manifest, "{}", 2, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
    return layer;
}

static void remove_layer(const char *layer)
{
    g_autofree char *folder = g_path_get_dirname(layer);
    g_autofree char *manifest = g_build_filename(folder, SANDBOX_LAYER_MANIFEST, NULL);

    g_unlink(layer);
    g_unlink(manifest);
    g_rmdir(folder);
}

static LaunchSpec spec_for(bool sandbox)
{
    return (LaunchSpec){
        .record = -1,
        .renderer = self,
        .kind = "null",
        .vm_name = "vm",
        .apis = "gl,vulkan",
        .profile = "sixteenth",
        .gpu = "software0",
        .memory = 512 << 20,
        .file_most = FILE_MOST,
        .max_outputs = 1,
        .cpus = 1,
        .slot = 0,
        .uid = geteuid() == 0 ? ids_of_slot(IDS_DEFAULT, 0) : 0,
        .sandbox = sandbox,
    };
}

/* What the child said up to "end"; it runs on. */
static char *listen_to(const Launched *l)
{
    g_autoptr(GString) said = g_string_new("\n");
    struct pollfd p = { .fd = l->log, .events = POLLIN };
    char buf[512];

    while (!strstr(said->str, "\nend\n")) {
        ssize_t n;

        g_assert_cmpint(poll(&p, 1, 20000), ==, 1);
        n = read(l->log, buf, sizeof(buf));
        if (n <= 0) {
            g_test_message("the child ended early after: %s", said->str);
            g_test_fail();
            break;
        }
        g_string_append_len(said, buf, n);
    }
    return g_string_free(g_steal_pointer(&said), FALSE);
}

static char *status_of(const Launched *l)
{
    struct pollfd p = { .fd = l->status, .events = POLLIN };
    char buf[512] = "";

    g_assert_cmpint(poll(&p, 1, 20000), ==, 1);
    g_assert_cmpint(read(l->status, buf, sizeof(buf) - 1), >=, 0);
    return g_strdup(buf);
}

/* Closes QEMU's ends: the renderer ends by itself; its exit status. */
static int finish(Launched *l)
{
    struct pollfd p = { .fd = l->pidfd, .events = POLLIN };
    int status = 0;

    close(l->vhost_user);
    l->vhost_user = -1;
    g_assert_cmpint(poll(&p, 1, 20000), ==, 1);
    g_assert_cmpint(waitpid(l->pid, &status, 0), ==, l->pid);
    launched_clear(l);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_fact(const char *said, const char *fact, bool expected)
{
    g_autofree char *line = g_strdup_printf("\n%s=%d\n", fact, expected);

    if (!strstr(said, line)) {
        g_test_message("expected of the box: %s=%d", fact, expected);
        g_test_fail();
    }
}

/* How the kernel is to see it when there is no memory left. */
static int oom_score(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/oom_score_adj", (int)pid), *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 1000;
}

static void test_box(void)
{
    static const struct {
        const char *fact;
        bool expected;
    } facts[] = {
        { "is process 1", true },
        { "is nobody", true },
        { "has capabilities", false },
        { "has no_new_privs", true },
        { "can become root", false },
        { "reads /etc/passwd", false },
        { "runs programs of the host", false },
        { "sees the old root", false },
        { "knows where its program is", false },
        { "sees other processes", false },
        { "writes to /", false },
        { "writes to /usr/lib", false },
        { "writes to /tmp", true },
        { "opens /dev/null", true },
        { "reads /dev/urandom", true },
        { "opens udmabuf", true },
        { "finds libraries", true },
        { "finds itself", true },
        { "has a Vulkan layer", true },
        { "has its manifest", true },
        { "changes the Vulkan layer", false },
        { "may make 65 processes of 32 threads", true },
        { "reaches a network", false },
        { "can mount", false },
        { "can signal a stranger", false },
        { "has seven descriptors", true },
        { "knows the host's name", false },
        { "has one CPU", true },
        { "has the stats page", true },
        { "can shrink the stats page", false },
        { "has the object table", true },
        { "can shrink the object table", false },
        { "has a secret of vgpud's", false },
        { "may use the shader cache", false },
        { "has files without bound", false },
        { "shares a longer file", false },
        { "may run before others", false },
        { "dies of SIGPIPE", false },
    };
    LaunchSpec spec = spec_for(true);
    g_autoptr(GError) error = NULL;
    g_autofree char *status = NULL, *said = NULL;
    Launched l;

    g_setenv("VGPU_TEST_SECRET", "1", TRUE);
    g_autofree char *where = g_strconcat("VGPU_TEST_SELF=", self, NULL);
    char *environment[] = { where, NULL };

    g_autofree char *layer = make_layer();

    spec.environment = environment;
    spec.vulkan_layer = layer;
    spec.udmabuf = "/dev/zero";
    if (!launcher_start(&spec, &l, &error)) {
        remove_layer(layer);
        g_test_skip(error->message); /* a host that allows no namespaces */
        return;
    }
    status = status_of(&l);
    g_assert_cmpstr(status, ==, "");
    said = listen_to(&l);
    for (unsigned i = 0; i < G_N_ELEMENTS(facts); i++) {
        assert_fact(said, facts[i].fact, facts[i].expected);
    }
    remove_layer(layer);
    g_assert_cmpint(oom_score(l.pid), >, oom_score(getpid()));
    /* a page that QEMU and vgpud read, the renderer writes */
    g_assert_cmpuint(l.page->memory_limit, ==, 512 << 20);
    g_assert_cmpint(pwrite(l.stats, "x", 1, 0), ==, -1);
    g_assert_cmpint(finish(&l), ==, 3);
}

/* A VM on a GPU of NVIDIA's driver has that one and its control device, no other and no more. */
static void test_nvidia(void)
{
    static const char *const names[] = { "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm" };
    g_autofree char *folder = g_dir_make_tmp("vgpu-nvidia-XXXXXX", NULL);
    g_autofree char *node = g_build_filename(folder, "nvidia0", NULL), *said = NULL;
    g_autofree char *variable = g_strdup_printf(NVIDIA_ENV "=%s", folder);
    char *environment[] = { variable, NULL };
    LaunchSpec spec = spec_for(true);
    g_autoptr(GError) error = NULL;
    bool started;
    Launched l;

    g_chmod(folder, 0755);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);

        g_assert_true(g_file_set_contents(path, "", 0, NULL));
        g_chmod(path, 0666);
    }
    spec.environment = environment;
    spec.node = node;
    started = launcher_start(&spec, &l, &error);
    if (started) {
        said = listen_to(&l);
        assert_fact(said, "opens nvidia0", true);
        assert_fact(said, "opens nvidiactl", true);
        assert_fact(said, "opens nvidia1", false);
        assert_fact(said, "opens nvidia-uvm", false);
        g_assert_cmpint(finish(&l), ==, 3);
    } else {
        g_test_skip(error->message); /* a host that allows no namespaces */
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);

        g_unlink(path);
    }
    g_rmdir(folder);
}

/* sandbox=off is that: the same descriptors, no box. */
static void test_no_box(void)
{
    LaunchSpec spec = spec_for(false);
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;
    Launched l;

    g_assert_true(launcher_start(&spec, &l, &error));
    said = listen_to(&l);
    assert_fact(said, "is process 1", false);
    assert_fact(said, "reads /etc/passwd", true);
    assert_fact(said, "has no_new_privs", true);
    assert_fact(said, "has seven descriptors", true);
    assert_fact(said, "has the stats page", true);
    g_assert_cmpint(finish(&l), ==, 3);
}

/* What cannot be executed is told through the status pipe, with its name. */
static void test_not_a_program(void)
{
    LaunchSpec spec = spec_for(false);
    g_autoptr(GError) error = NULL;
    g_autofree char *status = NULL;
    Launched l;

    spec.renderer = "/nonexistent/renderer";
    g_assert_true(launcher_start(&spec, &l, &error));
    status = status_of(&l);
    g_assert_cmpstr(status, ==,
                    "cannot start the renderer: /nonexistent/renderer: No such file or directory");
    g_assert_cmpint(finish(&l), ==, 127);
}

/* An earlier vgpud's renderer: found by pid and start time, its page taken from it. */
static void test_adopt(void)
{
    LaunchSpec spec = spec_for(true);
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;
    uint64_t start, own;
    struct stat ours, theirs;
    int pidfd, fd;
    Launched l;

    if (!launcher_start(&spec, &l, &error)) {
        g_test_skip(error->message);
        return;
    }
    said = listen_to(&l);
    assert_fact(said, "opens udmabuf", false); /* none was named */
    g_assert_true(process_start_time(l.pid, &start));
    g_assert_true(process_own_memory(l.pid, &own));
    g_assert_cmpuint(own, >, 0);
    pidfd = process_open(l.pid, start);
    g_assert_cmpint(pidfd, >=, 0);
    fd = process_get_fd(pidfd, LAUNCHER_STATS_FD);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstat(fd, &theirs), ==, 0);
    g_assert_cmpint(fstat(l.stats, &ours), ==, 0);
    g_assert_cmpuint(ours.st_ino, ==, theirs.st_ino);
    close(fd);
    close(pidfd);
    g_assert_cmpint(finish(&l), ==, 3);
    g_assert_cmpint(process_open(l.pid, start), ==, -1);
}

int main(int argc, char **argv)
{
    if (argc > 1 && g_str_has_prefix(argv[1], "--vhost-user-fd=")) {
        inside(!g_str_equal(argv[argc - 1], "--no-sandbox"));
    }
    g_test_init(&argc, &argv, NULL);
    self = g_file_read_link("/proc/self/exe", NULL);
    g_test_add_func("/sandbox/box", test_box);
    g_test_add_func("/sandbox/nvidia", test_nvidia);
    g_test_add_func("/sandbox/off", test_no_box);
    g_test_add_func("/launcher/not-a-program", test_not_a_program);
    g_test_add_func("/launcher/adopt", test_adopt);
    return g_test_run();
}
