/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that forks when it is told to: for those who look after whole families. */
#ifndef TEST_FAMILY_H
#define TEST_FAMILY_H

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct Family {
    pid_t pid;
    int fd;
} Family;

typedef enum FamilyOp {
    FAMILY_CHILD,  /* a child that burns n ms of CPU time and ends; its pid */
    FAMILY_PAUSE,  /* n children that do nothing; the last one's pid */
    FAMILY_ORPHAN, /* a child of a child that has ended, which burns n ms of CPU time; its pid */
    FAMILY_MEMORY, /* a child with n MiB of its own and n MiB shared with nobody; its pid */
    FAMILY_SHARE,  /* n MiB that it shares with its children from now on */
    FAMILY_WAIT,   /* for all its children */
    FAMILY_IGNORE, /* the ends of its children from now on */
} FamilyOp;

typedef struct FamilyCommand {
    FamilyOp op;
    unsigned n;
} FamilyCommand;

static inline void family_burn(unsigned ms)
{
    struct timespec ts;

    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    } while ((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 < ms);
}

static inline void *family_map(unsigned mib, int flags)
{
    void *map = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

    if (map != MAP_FAILED) {
        memset(map, 1, (size_t)mib << 20);
    }
    return map;
}

/* In the process: in a child returns 0. */
static inline pid_t family_fork(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

static inline pid_t family_orphan(unsigned ms)
{
    int ends[2];
    pid_t pid = 0;

    if (pipe(ends) < 0 || fork() == 0) {
        pid = fork();
        if (pid == 0) {
            family_burn(ms);
            for (;;) {
                pause();
            }
        }
        _exit(write(ends[1], &pid, sizeof(pid)) != sizeof(pid));
    }
    wait(NULL);
    return read(ends[0], &pid, sizeof(pid)) == sizeof(pid) ? pid : -1;
}

static inline pid_t family_do(const FamilyCommand *c)
{
    pid_t pid = 0;
    int ends[2];
    char ready;

    switch (c->op) {
    case FAMILY_CHILD:
        pid = family_fork();
        if (pid == 0) {
            family_burn(c->n);
            _exit(0);
        }
        return pid;
    case FAMILY_PAUSE:
        for (unsigned i = 0; i < c->n; i++) {
            pid = family_fork();
            while (pid == 0) {
                pause();
            }
        }
        return pid;
    case FAMILY_ORPHAN:
        return family_orphan(c->n);
    case FAMILY_MEMORY:
        pid = pipe(ends) < 0 ? -1 : family_fork();
        if (pid == 0) {
            family_map(c->n, MAP_PRIVATE);
            family_map(c->n, MAP_SHARED);
            pid = (pid_t)write(ends[1], "r", 1);
            for (;;) {
                pause();
            }
        }
        return read(ends[0], &ready, 1) == 1 ? pid : -1;
    case FAMILY_SHARE:
        return family_map(c->n, MAP_SHARED) == MAP_FAILED ? -1 : 1;
    case FAMILY_WAIT:
        while (wait(NULL) > 0) {
        }
        return 1;
    case FAMILY_IGNORE:
        signal(SIGCHLD, SIG_IGN);
        return 1;
    }
    return -1;
}

static inline Family family_new(void)
{
    Family f;
    int pair[2];
    FamilyCommand c;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    f.fd = pair[0];
    f.pid = fork();
    if (f.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        while (read(pair[1], &c, sizeof(c)) == sizeof(c)) {
            pid_t pid = family_do(&c);

            if (write(pair[1], &pid, sizeof(pid)) < 0) {
                break;
            }
        }
        _exit(0);
    }
    close(pair[1]);
    return f;
}

/* It does that, and has when this returns. */
static inline pid_t family_tell(Family *f, FamilyOp op, unsigned n)
{
    FamilyCommand c = { op, n };
    pid_t pid = -1;

    g_assert_cmpint(write(f->fd, &c, sizeof(c)), ==, sizeof(c));
    g_assert_cmpint(read(f->fd, &pid, sizeof(pid)), ==, sizeof(pid));
    g_assert_cmpint(pid, >, 0);
    return pid;
}

static inline void family_end(Family *f)
{
    close(f->fd);
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
}

#endif
