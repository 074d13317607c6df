/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpud's side; see zygote.h for the theory. */
#include "zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ids.h"
#include "ini.h"
#include "process.h"
#include "zygote_wire.h"

#define SWEEP_MS  100
#define SWEEP_MAX 100 /* times: what has not ended by then is not ours to wait for */

struct Zygote {
    pid_t pid; /* and its process group */
    int pidfd;
    int fd; /* -1: gone */
    uint32_t serial;
    bool ready;
    guint hello_source, end_source;
    void (*gone)(void *opaque); /* or NULL */
    void *opaque;
};

/* ---- those that nobody else waits for ---- */

typedef struct Sweep {
    pid_t group;
    unsigned times;
} Sweep;

/* The zygote itself, and children of its that were never told of. */
static gboolean on_sweep(gpointer opaque)
{
    Sweep *s = opaque;
    pid_t got;

    do {
        got = waitpid(-s->group, NULL, WNOHANG);
    } while (got > 0);
    if (got < 0 || ++s->times == SWEEP_MAX) {
        g_free(s);
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

static void sweep(pid_t group)
{
    Sweep *s = g_new0(Sweep, 1);

    s->group = group;
    if (on_sweep(s) == G_SOURCE_CONTINUE) {
        g_timeout_add(SWEEP_MS, on_sweep, s);
    }
}

static void clear_source(guint *source)
{
    if (*source) {
        g_source_remove(*source);
        *source = 0;
    }
}

/* It is ended, and whoever waits for a go of its will get none. */
static void give_up(Zygote *z)
{
    if (z->fd < 0) {
        return;
    }
    clear_source(&z->hello_source);
    clear_source(&z->end_source);
    close(z->fd);
    z->fd = -1;
    z->ready = false;
    process_kill(z->pidfd, SIGKILL);
    close(z->pidfd);
    z->pidfd = -1;
    sweep(z->pid);
    if (z->gone) {
        z->gone(z->opaque);
    }
}

void zygote_free(Zygote *z)
{
    if (z) {
        z->gone = NULL;
        give_up(z);
        g_free(z);
    }
}

bool zygote_ready(const Zygote *z)
{
    return z->ready;
}

bool zygote_is_gone(const Zygote *z)
{
    return z->fd < 0;
}

pid_t zygote_pid(const Zygote *z)
{
    return z->pid;
}

/* ---- its start ---- */

static gboolean on_end(gint fd, GIOCondition condition, gpointer opaque)
{
    Zygote *z = opaque;

    z->end_source = 0;
    g_warning("the zygote, process %d, has ended: renderers start without it until there is another one",
              (int)z->pid);
    give_up(z);
    return G_SOURCE_REMOVE;
}

static gboolean on_hello(gint fd, GIOCondition condition, gpointer opaque)
{
    Zygote *z = opaque;
    struct zygote_hello hello = { 0 };
    ssize_t n = recv(fd, &hello, sizeof(hello), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    z->hello_source = 0;
    if (n == 0) {
        return G_SOURCE_REMOVE; /* on_end tells */
    }
    hello.release[sizeof(hello.release) - 1] = 0;
    if (n != sizeof(hello) || hello.magic != ZYGOTE_MAGIC || strcmp(hello.release, ZYGOTE_RELEASE) != 0) {
        g_warning("the zygote, process %d, is not of this release: it is ended, and renderers start without",
                  (int)z->pid);
        give_up(z);
        return G_SOURCE_REMOVE;
    }
    z->ready = true;
    g_message("the zygote is ready, process %d", (int)z->pid);
    return G_SOURCE_REMOVE;
}

static char **make_argv(const ZygoteConfig *c)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();
    g_autofree char *room = g_strnfill(ZYGOTE_ROOM_SIZE, ' ');

    g_strv_builder_add(b, c->renderer);
    g_strv_builder_take(b, g_strdup_printf(ZYGOTE_OPTION "%d", ZYGOTE_FD));
    g_strv_builder_addv(b, (const char **)c->libraries);
    g_strv_builder_take(b, g_strconcat(ZYGOTE_ROOM, room, NULL));
    return g_strv_builder_end(b);
}

/*
 * In the child: system calls only, see launcher.c.  Before it waits it keeps nothing of vgpud's: with the
 * lock and the listening sockets, and the other end of go, it would hold them for ever once vgpud is killed.
 */
static G_NORETURN void be_zygote(int fd, int go, char *const argv[], char *const envp[])
{
    sigset_t none;
    char byte;

    /* vgpud's stderr is its own, too */
    if (dup2(go, 0) < 0 || dup2(2, 1) < 0 || dup2(fd, ZYGOTE_FD) < 0) {
        _exit(126);
    }
    fcntl(ZYGOTE_FD, F_SETFD, 0);
    syscall(SYS_close_range, ZYGOTE_FD + 1, ~0u, 0);
    if (read(0, &byte, 1) != 1 || close(0) < 0 || open("/dev/null", O_RDONLY) != 0) {
        _exit(126);
    }
    for (int sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(argv[0], argv, envp);
    _exit(127);
}

static bool start(Zygote *z, const ZygoteConfig *c, int theirs, int go[2], GError **error)
{
    g_auto(GStrv) argv = make_argv(c);

    z->pid = syscall(SYS_clone, CLONE_NEWUSER | CLONE_PIDFD | SIGCHLD, NULL, &z->pidfd, NULL, NULL);
    if (z->pid == 0) {
        be_zygote(theirs, go[0], argv, c->environment);
    }
    if (z->pid < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot start a process in a user namespace: %s", strerror(errno));
        return false;
    }
    setpgid(z->pid, z->pid); /* see sweep */
    if (!sandbox_map_nursery(z->pid, c->uid_base, IDS_COUNT, c->groups, c->group_count, error)) {
        return false;
    }
    if (write(go[1], "g", 1) != 1) {
        g_set_error(error, VGPUD_ERROR, 0, "its process ended at once");
        return false;
    }
    return true;
}

Zygote *zygote_new(const ZygoteConfig *config, GError **error)
{
    Zygote *z = g_new0(Zygote, 1);
    int pair[2] = { -1, -1 }, go[2] = { -1, -1 };
    bool ok = false;

    z->pid = z->pidfd = z->fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || pipe2(go, O_CLOEXEC) < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "no descriptors: %s", strerror(errno));
    } else {
        z->fd = pair[0];
        ok = start(z, config, pair[1], go, error);
    }
    const int done[] = { pair[1], go[0], go[1], ok ? -1 : pair[0] };

    for (unsigned i = 0; i < G_N_ELEMENTS(done); i++) {
        if (done[i] >= 0) {
            close(done[i]);
        }
    }
    if (!ok) {
        if (z->pid > 0) { /* it waits in a read() */
            kill(z->pid, SIGKILL);
            waitpid(z->pid, NULL, 0);
            close(z->pidfd);
        }
        g_free(z);
        return NULL;
    }
    z->gone = config->gone;
    z->opaque = config->opaque;
    z->hello_source = g_unix_fd_add(z->fd, G_IO_IN | G_IO_HUP, on_hello, z);
    z->end_source = g_unix_fd_add(z->pidfd, G_IO_IN, on_end, z);
    return z;
}

/* ---- a child ---- */

static bool put(struct zygote_fork *m, size_t *at, const char *text)
{
    size_t size = strlen(text ? text : "") + 1;

    if (size > sizeof(m->text) - *at) {
        return false;
    }
    memcpy(m->text + *at, text ? text : "", size);
    *at += size;
    m->texts++;
    return true;
}

static bool put_all(struct zygote_fork *m, size_t *at, const ZygoteChild *c)
{
    bool ok = put(m, at, c->renderer) && put(m, at, c->layer) && put(m, at, c->node) &&
              put(m, at, c->device_path) && put(m, at, c->udmabuf);

    for (char *const *a = c->arguments; ok && *a; a++) {
        ok = put(m, at, *a);
    }
    return ok;
}

static bool ask(Zygote *z, const ZygoteChild *c)
{
    g_autofree struct zygote_fork *m = g_new0(struct zygote_fork, 1);
    char control[CMSG_SPACE(LAUNCH_FDS * sizeof(int))] __attribute__((aligned(8)));
    int fds[LAUNCH_FDS];
    unsigned n = 0;
    size_t text = 0;

    *m = (struct zygote_fork){
        .magic = ZYGOTE_MAGIC,
        .serial = ++z->serial,
        .uid = c->uid,
        .pinned = c->child->pinned,
        .processes = c->child->processes,
        .file = c->child->file,
        .cpus = c->child->cpus,
    };
    for (unsigned i = 0; i < LAUNCH_FDS; i++) {
        if (c->child->fds[i] >= 0) {
            m->fds |= 1u << i;
            fds[n++] = c->child->fds[i];
        }
    }
    if (!put_all(m, &text, c)) {
        errno = E2BIG;
        return false;
    }
    struct iovec iov = { m, offsetof(struct zygote_fork, text) + text };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = CMSG_SPACE(n * sizeof(int)),
    };
    struct cmsghdr *cmsg;

    memset(control, 0, sizeof(control));
    cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
    return sendmsg(z->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)iov.iov_len;
}

/* The descriptors of a message: the first, and none beside it. */
static int only_fd(struct msghdr *msg)
{
    int found = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n = c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (found < 0) {
                found = fd;
            } else {
                close(fd);
            }
        }
    }
    return found;
}

/* A process of that pid that is our child, and not the zygote itself. */
static bool is_our_child(const Zygote *z, int pidfd, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", pidfd), *text = NULL;
    g_autofree char *line = g_strdup_printf("\nPid:\t%d\n", (int)pid);
    siginfo_t info = { 0 };

    return pid > 0 && pid != z->pid && g_file_get_contents(path, &text, NULL, NULL) && strstr(text, line) &&
           waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* NULL: it has one; else what is wrong. */
static const char *take_answer(Zygote *z, struct zygote_forked *m, int *pidfd)
{
    char control[CMSG_SPACE(4 * sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = { m, sizeof(*m) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct pollfd p = { .fd = z->fd, .events = POLLIN };
    gint64 end = g_get_monotonic_time() + ZYGOTE_PATIENCE_MS * 1000;
    ssize_t n;
    int ret;

    do {
        ret = poll(&p, 1, (int)MAX((end - g_get_monotonic_time()) / 1000, 0));
    } while (ret < 0 && errno == EINTR);
    if (ret <= 0) {
        return "it does not answer";
    }
    n = recvmsg(z->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0) {
        return "it has ended";
    }
    *pidfd = only_fd(&msg);
    if (n != sizeof(*m) || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || m->magic != ZYGOTE_MAGIC ||
        m->serial != z->serial) {
        return "its answer is none";
    }
    m->why[sizeof(m->why) - 1] = 0;
    if (!m->pid) {
        return *m->why ? m->why : "it does not say why";
    }
    return *pidfd >= 0 && is_our_child(z, *pidfd, m->pid) ? NULL : "what it names is no child of ours";
}

bool zygote_fork(Zygote *z, const ZygoteChild *child, pid_t *pid, int *pidfd, GError **error)
{
    struct zygote_forked answer = { 0 };
    const char *why;

    *pidfd = -1;
    why = ask(z, child) ? take_answer(z, &answer, pidfd) : strerror(errno);
    if (!why) {
        *pid = answer.pid;
        return true;
    }
    g_set_error(error, VGPUD_ERROR, 0, "the zygote, process %d, is ended: %s", (int)z->pid, why);
    if (*pidfd >= 0) {
        close(*pidfd);
        *pidfd = -1;
    }
    give_up(z);
    return false;
}
