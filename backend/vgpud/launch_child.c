/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In the child: system calls only. */
#include "launch_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void launch_child_fail(const char *what)
{
    const char *why = strerrordesc_np(errno);
    const char *parts[] = { "cannot start the renderer: ", what, ": ", why ? why : "unknown error" };
    struct iovec iov[G_N_ELEMENTS(parts)];

    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        iov[i].iov_base = (void *)parts[i];
        iov[i].iov_len = strlen(parts[i]);
    }
    /* in one piece: the reader takes what the first read gives */
    if (writev(LAUNCH_STATUS_FD, iov, G_N_ELEMENTS(iov)) < 0) {
        _exit(126);
    }
    _exit(127);
}

/* First out of the way of each other, then to their places; nothing else stays. */
static void place_fds(LaunchChild *c)
{
    for (int i = 0; i < LAUNCH_FDS; i++) {
        c->fds[i] = fcntl(c->fds[i], F_DUPFD, 64);
    }
    for (int i = 0; i < LAUNCH_FDS; i++) {
        if (c->fds[i] < 0 && i >= LAUNCHER_LEASE_FD) {
            close(i);
        } else if (c->fds[i] < 0 || dup2(c->fds[i], i) < 0) {
            _exit(126);
        }
    }
    syscall(SYS_close_range, LAUNCH_FDS, ~0u, 0);
    fcntl(LAUNCH_STATUS_FD, F_SETFD, FD_CLOEXEC);
    fcntl(LAUNCH_GO_FD, F_SETFD, FD_CLOEXEC);
}

void launch_child_enter(LaunchChild *c)
{
    const char *what = NULL;
    sigset_t none;
    char go;

    place_fds(c);
    if (read(LAUNCH_GO_FD, &go, 1) != 1) {
        _exit(126); /* vgpud gave up, or is gone */
    }
    setsid();
    if (c->pinned) {
        sched_setaffinity(0, sizeof(c->cpus), &c->cpus);
    }
    /* before it goes into the box, where much of /proc is not */
    if (!sandbox_limit_memory(c->file, &what)) {
        launch_child_fail(what);
    }
    if (c->box && !sandbox_enter(c->box, &what)) {
        launch_child_fail(what);
    }
    if (!sandbox_limit(c->box ? c->processes : 0, &what)) {
        launch_child_fail(what);
    }
    for (int sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }
    signal(SIGPIPE, SIG_IGN); /* its log ends when vgpud does */
    signal(SIGXFSZ, SIG_IGN); /* a file too long is an error like others */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
