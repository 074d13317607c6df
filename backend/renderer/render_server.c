/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See render_server.h for the theory. */
#include "render_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../vgpud/nvidia.h"
#include "../vulkan-layer/confine.h"
#include "../vulkan-layer/driver.h"
#include "log.h"
#include "vgpu/vulkan.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

/* Of the layer's manifest. */
#define LAYER_NAME "VK_LAYER_VGPU_quota"

/*
 * A software driver takes memory for the commands of each frame and frees all of
 * it at the end.  glibc would give most of that back to the kernel, and have as
 * many page faults in the next frame: half of what frames of many draws cost.
 * It keeps as much as it would come to by itself in processes that free large
 * pieces.  What is larger than the second goes back at once, as ever.
 */
#define KEEP_FREED "glibc.malloc.trim_threshold=67108864:glibc.malloc.mmap_threshold=1048576"

/* Read at once: a flood of lines is no reason to keep the guest waiting. */
#define LOG_STEP 4096

struct RenderServer {
    int socket; /* virglrenderer's end; -1: given away */
    int cut;    /* another descriptor of the same, to shut it down by */
    int hello;
    int log;
    int pidfd;
    int wake;       /* the child waits for a byte of it; -1: it has it */
    char line[512]; /* begun, not ended */
    size_t length;
};

/* The ends of the child. */
typedef struct Inherited {
    int socket, log, hello, wake;
    const RenderServerConfig *config;
} Inherited;

static bool fail(GError **error, const char *what)
{
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", what, g_strerror(errno));
    return false;
}

/* ---- the child ---- */

/* With which Mesa's software driver makes dmabufs: it has to open it. */
static bool has_udmabuf(void)
{
    return access("/dev/udmabuf", R_OK | W_OK) == 0;
}

static char **server_environment(const RenderServerConfig *c, int hello)
{
    g_autofree char *folder = g_path_get_dirname(c->layer);
    g_autofree char *fds =
        g_strdup_printf("%d,%d,%d,%d,%d,%d", c->page, c->stats, hello, c->lease, c->call, c->wake);
    char **env = g_get_environ();

    env = g_environ_setenv(env, VGPU_VULKAN_ENV, fds, TRUE);
    env = g_environ_setenv(env, "LD_PRELOAD", c->layer, TRUE);
    env = g_environ_setenv(env, "VK_LAYER_PATH", folder, TRUE);
    env = g_environ_setenv(env, "VK_INSTANCE_LAYERS", LAYER_NAME, TRUE);
    /* The profile's GPU is the guest's, and a CPU where that is what it has. */
    if (nvidia_is_node(c->render_node)) {
        env = g_environ_setenv(env, DRIVER_SELECT_ENV, "*nvidia*", FALSE);
        env = g_environ_setenv(env, DRIVER_ENV, DRIVER_NVIDIA, TRUE);
    } else if (c->render_node) {
        env = g_environ_setenv(env, "VK_LOADER_DRIVERS_DISABLE", "*lvp*,*virtio*,*gfxstream*", FALSE);
    } else {
        env = g_environ_setenv(env, DRIVER_SELECT_ENV, "*lvp*", FALSE);
        env = g_environ_setenv(env, "GLIBC_TUNABLES", KEEP_FREED, FALSE);
    }
    if (g_strcmp0(g_environ_getenv(env, DRIVER_ENV), DRIVER_NVIDIA) == 0) { /* or a test says so */
        env = g_environ_setenv(env, DRIVER_LATE_ENV, g_environ_getenv(env, DRIVER_SELECT_ENV), TRUE);
        env = g_environ_setenv(env, DRIVER_SELECT_ENV, "none", TRUE);
    }
    return g_environ_setenv(env, CONFINE_ENV,
                            c->unconfined                     ? "none"
                            : c->render_node || has_udmabuf() ? "device"
                                                              : "software",
                            TRUE);
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* All but stdio and these, which stay open over exec. */
static bool keep_only(int *fds, unsigned count)
{
    unsigned first = 3;

    qsort(fds, count, sizeof(*fds), compare_ints);
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] < (int)first) {
            continue; /* none, or the same again */
        }
        if (fds[i] > (int)first && close_range(first, (unsigned)fds[i] - 1, 0) < 0) {
            return false;
        }
        first = (unsigned)fds[i] + 1;
        fcntl(fds[i], F_SETFD, 0);
    }
    return close_range(first, ~0u, 0) == 0;
}

/* A byte: go ahead.  The end: there will be nobody to serve. */
static bool wait_to_be_wanted(int wake)
{
    char go;
    ssize_t n;

    do {
        n = read(wake, &go, 1);
    } while (n < 0 && errno == EINTR);
    close(wake);
    return n == 1;
}

/* Between fork and exec.  There are no threads that malloc could be waiting for. */
static void be_server(const Inherited *in, char *const argv[], char *const envp[], pid_t parent)
{
    const RenderServerConfig *c = in->config;
    int kept[] = { in->socket, in->hello, in->wake, c->page, c->stats, c->lease, c->call, c->wake };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "vgpu-vulkan");
    if (getppid() != parent || dup2(in->log, STDOUT_FILENO) < 0 || dup2(in->log, STDERR_FILENO) < 0 ||
        !keep_only(kept, G_N_ELEMENTS(kept)) || !wait_to_be_wanted(in->wake)) {
        _exit(0);
    }
    execve(c->program, argv, envp);
    dprintf(STDERR_FILENO, "'%s' does not start: %s\n", c->program, strerror(errno));
    _exit(127);
}

static pid_t fork_server(const Inherited *in, GError **error)
{
    g_autofree char *socket = g_strdup_printf("%d", in->socket);
    char *argv[] = { (char *)in->config->program, (char *)"--socket-fd", socket, NULL };
    g_auto(GStrv) envp = server_environment(in->config, in->hello);
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        be_server(in, argv, envp, parent);
    }
    if (pid < 0) {
        fail(error, "fork");
    }
    return pid;
}

/* ---- here ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static bool there_is(const char *what, const char *path, int mode, GError **error)
{
    if (access(path, mode) == 0) {
        return true;
    }
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "there is no %s '%s': %s", what, path,
                g_strerror(errno));
    return false;
}

static bool start(RenderServer *s, const RenderServerConfig *config, GError **error)
{
    int socket[2] = { -1, -1 }, hello[2] = { -1, -1 }, log[2] = { -1, -1 }, wake[2] = { -1, -1 };
    Inherited in = { .config = config };
    pid_t pid = -1;

    if (!there_is("Vulkan layer", config->layer, R_OK, error) ||
        !there_is("render server", config->program, X_OK, error)) {
        return false;
    }
    /* Nobody waits for the children of this process, also not those of a server that has ended. */
    signal(SIGCHLD, SIG_IGN);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socket) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, hello) < 0 ||
        pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(wake, O_CLOEXEC) < 0) {
        fail(error, "socketpair");
    } else {
        in.socket = socket[1];
        in.hello = hello[1];
        in.log = log[1];
        in.wake = wake[0];
        pid = fork_server(&in, error);
    }
    s->socket = socket[0];
    s->cut = fcntl(socket[0], F_DUPFD_CLOEXEC, 3);
    s->hello = hello[0];
    s->log = log[0];
    s->wake = wake[1];
    close_fd(&socket[1]);
    close_fd(&hello[1]);
    close_fd(&log[1]);
    close_fd(&wake[0]);
    if (pid < 0) {
        return false;
    }
    s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    /* It has ended already where there is no such process any more. */
    return s->pidfd >= 0 || fail(error, "the render server");
}

RenderServer *render_server_start(const RenderServerConfig *config, GError **error)
{
    RenderServer *s = g_new0(RenderServer, 1);

    s->socket = s->cut = s->hello = s->log = s->pidfd = s->wake = -1;
    if (!start(s, config, error)) {
        render_server_free(s);
        return NULL;
    }
    return s;
}

void render_server_free(RenderServer *s)
{
    if (!s) {
        return;
    }
    /* It ends when nobody is at the other end of its socket. */
    close_fd(&s->wake);
    close_fd(&s->socket);
    close_fd(&s->cut);
    close_fd(&s->hello);
    close_fd(&s->log);
    close_fd(&s->pidfd);
    g_free(s);
}

void render_server_wake(RenderServer *s)
{
    if (s->wake >= 0 && write(s->wake, "", 1) < 0) {
        log_say("the render server has ended before it began"); /* who waits for it will see */
    }
    close_fd(&s->wake);
}

int render_server_take_socket(RenderServer *s)
{
    int fd = s->socket;

    s->socket = -1;
    return fd;
}

int render_server_socket(const RenderServer *s)
{
    return s->cut;
}

int render_server_fd(const RenderServer *s)
{
    return s->pidfd;
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n;

    do {
        n = poll(&p, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

bool render_server_alive(const RenderServer *s)
{
    return !render_server_has_hung_up(s->cut) && !readable(s->pidfd, 0);
}

/* ---- its log ---- */

int render_server_log_fd(const RenderServer *s)
{
    return s->log;
}

static void log_byte(RenderServer *s, char c)
{
    if (c != '\n' && s->length < sizeof(s->line) - 1) {
        s->line[s->length++] = c;
    }
    if (c == '\n' && s->length) {
        s->line[s->length] = 0;
        log_guest("render server: %s", s->line);
        s->length = 0;
    }
}

void render_server_log(RenderServer *s)
{
    char text[LOG_STEP];
    ssize_t n = read(s->log, text, sizeof(text));

    for (ssize_t i = 0; i < n; i++) {
        log_byte(s, text[i]);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_fd(&s->log); /* nobody is left to write */
    }
}

/* ---- hello ---- */

/* The one descriptor of a message, -1 when it has not exactly one: then there is none left. */
static int only_fd(struct msghdr *msg)
{
    int fd = -1;
    unsigned count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n = c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        for (size_t i = 0; i < n; i++) {
            int got;

            memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
            if (count++ == 0) {
                fd = got;
            } else {
                close(got);
            }
        }
    }
    if (count > 1) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool render_server_hello(RenderServer *s, int timeout_ms, uint32_t *slot, int *leash)
{
    char control[CMSG_SPACE(4 * sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = { slot, sizeof(*slot) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n;

    if (!readable(s->hello, timeout_ms)) {
        return false;
    }
    n = recvmsg(s->hello, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    *leash = n >= 0 ? only_fd(&msg) : -1;
    if (*leash >= 0 && (n != sizeof(*slot) || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        close_fd(leash);
    }
    return *leash >= 0;
}

bool render_server_has_hung_up(int fd)
{
    struct pollfd p = { .fd = fd };

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}
