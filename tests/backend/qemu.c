/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OWN_FD 3 /* in the process: all that it has */

struct Qemu {
    pid_t pid;
    int fd;
};

/* One connection for each byte; an answer without one: there is none. */
static G_NORETURN void serve(Vgpud *d)
{
    char c;

    while (read(OWN_FD, &c, 1) == 1) {
        int fd = attach_connect(d);

        if (!attach_send(OWN_FD, &c, 1, &fd, fd >= 0 ? 1 : 0)) {
            break;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    _exit(0);
}

Qemu *qemu_new(Vgpud *d)
{
    Qemu *q = g_new0(Qemu, 1);
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    q->pid = fork();
    g_assert_cmpint(q->pid, >=, 0);
    if (q->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (pair[1] != OWN_FD && dup2(pair[1], OWN_FD) < 0) {
            _exit(1);
        }
        syscall(SYS_close_range, OWN_FD + 1, ~0u, 0);
        serve(d);
    }
    close(pair[1]);
    q->fd = pair[0];
    return q;
}

int qemu_connect(Qemu *q)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char c = 'c';
    struct iovec iov = { &c, 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *cmsg;
    int fd = -1;

    if (send(q->fd, &c, 1, MSG_NOSIGNAL) != 1 || recvmsg(q->fd, &msg, MSG_CMSG_CLOEXEC) != 1) {
        g_test_fail_printf("the process that connects is gone");
        return -1;
    }
    cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
        memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
    }
    return fd;
}

void qemu_free(Qemu *q)
{
    if (q) {
        kill(q->pid, SIGKILL);
        waitpid(q->pid, NULL, 0);
        close(q->fd);
        g_free(q);
    }
}
