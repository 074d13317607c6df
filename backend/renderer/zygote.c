/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The zygote's side; see ../vgpud/zygote.h for the theory. */
#include "zygote.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../vgpud/zygote_wire.h"

#define NAME "vgpu-zygote"

/* What is written over in a child, so that it is called what a renderer is called that was executed. */
typedef struct Room {
    char *at;
    size_t size;
} Room;

/* One message and its descriptors, in the only place where the zygote has them. */
static struct {
    struct zygote_fork m;
    int fds[LAUNCH_FDS + 1]; /* as many as a buffer of whole words may bring */
    unsigned count;
} request;

bool zygote_is(int argc, char *const *argv)
{
    return argc > 2 && g_str_has_prefix(argv[1], ZYGOTE_OPTION);
}

G_GNUC_PRINTF(1, 2) static void say(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fputs(NAME ": ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* ---- loading ---- */

static void load(int count, char *const *libraries)
{
    for (int i = 0; i < count; i++) {
        /* one that cannot be had like this is loaded by who wants it */
        if (!dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL)) {
            say("%s", dlerror());
        }
    }
}

static unsigned entries(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned n = 0;

    while (dir && readdir(dir)) {
        n++;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

/* Two entries are the folder and its parent, and one the descriptor that it is read by. */
static bool is_alone(void)
{
    if (entries("/proc/self/task") != 2 + 1) {
        say("a library has made a thread: renderers cannot be forked from this process");
        return false;
    }
    if (entries("/proc/self/fd") != 2 + ZYGOTE_FD + 1 + 1) {
        say("a library has opened a file: renderers cannot be forked from this process");
        return false;
    }
    return true;
}

/* ---- in the child ---- */

static void rename_to(const Room *room, int argc, char *const *argv)
{
    size_t at = 0;

    memset(room->at, 0, room->size);
    for (int i = 0; i < argc && at < room->size - 1; i++) {
        at += g_strlcpy(room->at + at, argv[i], room->size - at) + 1;
    }
    prctl(PR_SET_NAME, "vgpu-renderer");
}

/* NULL: it is empty. */
static const char *text_of(char *const *texts, unsigned which)
{
    return texts[which] && *texts[which] ? texts[which] : NULL;
}

static char **texts_of(const struct zygote_fork *m)
{
    char **texts = g_new0(char *, m->texts + 1);
    const char *at = m->text;

    for (unsigned i = 0; i < m->texts; i++) {
        texts[i] = g_strdup(at);
        at += strlen(at) + 1;
    }
    return texts;
}

static G_NORETURN void be_renderer(const Sandbox *box, char **texts, const Room *room,
                                   int (*run)(int argc, char **argv))
{
    char **argv = texts + ZYGOTE_ARGUMENTS;
    LaunchChild child = {
        .box = box,
        .pinned = request.m.pinned,
        .cpus = request.m.cpus,
        .processes = request.m.processes,
        .file = request.m.file,
    };
    unsigned n = 0;

    for (unsigned i = 0; i < LAUNCH_FDS; i++) {
        child.fds[i] = request.m.fds & (1u << i) ? request.fds[n++] : -1;
    }
    launch_child_enter(&child);
    rename_to(room, (int)g_strv_length(argv), argv);
    close(LAUNCH_GO_FD);
    close(LAUNCH_STATUS_FD); /* vgpud: it runs */
    exit(run((int)g_strv_length(argv), argv));
}

/* ---- here ---- */

/* Takes its descriptors, whatever it is.  False: vgpud has gone, or is not one. */
static bool receive(void)
{
    char control[CMSG_SPACE(LAUNCH_FDS * sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = { &request.m, sizeof(request.m) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    size_t head = offsetof(struct zygote_fork, text), texts = 0;
    ssize_t n;

    do {
        n = recvmsg(ZYGOTE_FD, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return false;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            request.count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(request.fds, CMSG_DATA(c), request.count * sizeof(int));
        }
    }
    for (size_t i = head; i < (size_t)n; i++) {
        texts += !request.m.text[i - head];
    }
    return (size_t)n > head && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
           request.m.magic == ZYGOTE_MAGIC && !request.m.text[(size_t)n - head - 1] &&
           texts == request.m.texts && texts > ZYGOTE_ARGUMENTS &&
           (unsigned)__builtin_popcount(request.m.fds) == request.count && !(request.m.fds >> LAUNCH_FDS);
}

static void forget(char **texts)
{
    for (unsigned i = 0; i < request.count; i++) {
        close(request.fds[i]);
    }
    for (char **t = texts; t && *t; t++) {
        explicit_bzero(*t, strlen(*t));
    }
    g_strfreev(texts);
    explicit_bzero(&request, sizeof(request));
}

static bool answer(pid_t pid, int pidfd, const char *why)
{
    struct zygote_forked m = { .magic = ZYGOTE_MAGIC, .serial = request.m.serial, .pid = pid };
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
    struct iovec iov = { &m, sizeof(m) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    g_strlcpy(m.why, why, sizeof(m.why));
    if (pid) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pidfd, sizeof(int));
    }
    return sendmsg(ZYGOTE_FD, &msg, MSG_NOSIGNAL) == sizeof(m);
}

static bool serve_one(int *tid, const Room *room, int (*run)(int argc, char **argv))
{
    g_autoptr(GError) error = NULL;
    Sandbox *box;
    char **texts;
    int pidfd = -1;
    pid_t pid;
    bool ok;

    if (!receive()) {
        return false;
    }
    texts = texts_of(&request.m);
    box = sandbox_new(texts[ZYGOTE_RENDERER], text_of(texts, ZYGOTE_LAYER), text_of(texts, ZYGOTE_NODE),
                      text_of(texts, ZYGOTE_DEVICE_PATH), text_of(texts, ZYGOTE_UDMABUF));
    pid = sandbox_fork_sibling(&pidfd, tid, &error);
    if (pid == 0) {
        be_renderer(box, texts, room, run);
    }
    ok = pid > 0 && sandbox_map_ids(box, pid, request.m.uid, &error);
    ok = answer(ok ? pid : 0, pidfd, ok ? "" : error->message) && ok;
    if (pidfd >= 0) {
        close(pidfd);
    }
    sandbox_free(box);
    forget(texts);
    return ok; /* else vgpud has no use for this process, and a child waits for a go that does not come */
}

/* Where glibc has this thread's id, which a fork of its own would set. */
static int *find_tid(void)
{
    int *tid = NULL;

    return prctl(PR_GET_TID_ADDRESS, &tid, 0, 0, 0) == 0 && tid && *tid == getpid() ? tid : NULL;
}

int zygote_serve(int argc, char **argv, int (*run)(int argc, char **argv))
{
    struct zygote_hello hello = { .magic = ZYGOTE_MAGIC, .release = ZYGOTE_RELEASE };
    Room room = { argv[0], (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]) };
    int *tid = find_tid();

    prctl(PR_SET_NAME, NAME);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!tid) {
        say("this kernel does not say where glibc has its thread's id (CONFIG_CHECKPOINT_RESTORE)");
        return 1;
    }
    load(argc - 3, argv + 2); /* the last is room */
    if (!is_alone() || send(ZYGOTE_FD, &hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello)) {
        return 1;
    }
    while (serve_one(tid, &room, run)) {
        continue;
    }
    return 0;
}
