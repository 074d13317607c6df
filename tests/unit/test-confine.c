/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the render server and its context processes can do once they are
 * confined: this program, started again as one of them, tries.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vulkan-layer/confine.h"

/* Each returns like a system call. */

static int try_fork(void)
{
    pid_t pid = fork();
    siginfo_t info;

    if (pid == 0) {
        _exit(0);
    }
    return pid < 0 ? -1 : waitid(P_ALL, 0, &info, WEXITED);
}

static int try_kill_child(void)
{
    pid_t pid = fork();
    siginfo_t info;

    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return pid < 0 || kill(pid, SIGKILL) < 0 ? -1 : waitid(P_PID, (id_t)pid, &info, WEXITED);
}

static int try_kill_all(void)
{
    return kill(-1, SIGKILL);
}

static int try_stop_parent(void)
{
    return kill(getppid(), SIGSTOP);
}

/* virglrenderer's server does it once in each child. */
static int try_wait(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 && errno == ECHILD ? 0 : -1;
}

static gpointer nothing(gpointer unused)
{
    return NULL;
}

static int try_thread(void)
{
    g_thread_join(g_thread_new("thread", nothing, NULL));
    return 0;
}

static int try_socketpair(void)
{
    int fds[2];

    return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds);
}

static int try_signalfd(void)
{
    sigset_t set;

    sigemptyset(&set);
    return signalfd(-1, &set, 0);
}

static int try_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int try_read_file(void)
{
    return open("/proc/self/maps", O_RDONLY);
}

static int try_open_rdwr(void)
{
    return open("/dev/null", O_RDWR);
}

static int try_open_wronly(void)
{
    return open("/dev/null", O_WRONLY);
}

static int try_create(void)
{
    return open("/tmp/vgpu-confine", O_RDWR | O_CREAT, 0600);
}

static int try_unlink(void)
{
    return unlink("/tmp/there-is-none");
}

static int try_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_connect(void)
{
    struct sockaddr a = { .sa_family = AF_UNIX };

    return connect(0, &a, sizeof(a));
}

static int try_bind(void)
{
    struct sockaddr a = { .sa_family = AF_UNIX };

    return bind(0, &a, sizeof(a));
}

static int try_exec(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int try_mount(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static int try_unshare(void)
{
    return unshare(CLONE_NEWUSER);
}

static int try_new_namespace(void)
{
    return (int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
}

static int try_type(void)
{
    return ioctl(0, TIOCSTI, "x");
}

static int try_type_wide(void)
{
    return (int)syscall(SYS_ioctl, 0, TIOCSTI | 1ull << 32, "x");
}

static int try_affinity(void)
{
    cpu_set_t set;

    memset(&set, 0xff, sizeof(set));
    return sched_setaffinity(0, sizeof(set), &set);
}

static int try_limit(void)
{
    struct rlimit r = { 100, 100 };

    return setrlimit(RLIMIT_NOFILE, &r);
}

static int try_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int try_signal_owner(void)
{
    return fcntl(0, F_SETOWN, getppid());
}

static int try_core(void)
{
    return prctl(PR_GET_DUMPABLE) == 0 ? 0 : -1;
}

#define FAILS  0 /* -1 */
#define WORKS  1
#define KILLED 2 /* by SIGSYS */

static const struct {
    const char *what;
    int (*call)(void);
    int server, context;
} tries[] = {
    { "fork", try_fork, WORKS, KILLED },
    { "kill-child", try_kill_child, WORKS, KILLED },
    { "kill-all", try_kill_all, FAILS, KILLED },
    { "stop-parent", try_stop_parent, FAILS, KILLED },
    { "wait", try_wait, WORKS, WORKS },
    { "thread", try_thread, WORKS, WORKS },
    { "socketpair", try_socketpair, WORKS, WORKS },
    { "signalfd", try_signalfd, WORKS, WORKS },
    { "code", try_code, WORKS, WORKS },
    { "read-file", try_read_file, WORKS, WORKS },
    { "open-rdwr", try_open_rdwr, FAILS, FAILS },
    { "open-wronly", try_open_wronly, FAILS, FAILS },
    { "create", try_create, FAILS, FAILS },
    { "unlink", try_unlink, FAILS, FAILS },
    { "socket", try_socket, FAILS, FAILS },
    { "connect", try_connect, FAILS, FAILS },
    { "bind", try_bind, KILLED, KILLED },
    { "exec", try_exec, KILLED, KILLED },
    { "ptrace", try_ptrace, KILLED, KILLED },
    { "mount", try_mount, KILLED, KILLED },
    { "unshare", try_unshare, KILLED, KILLED },
    { "new-namespace", try_new_namespace, FAILS, KILLED },
    { "type", try_type, FAILS, FAILS },
    { "type-wide", try_type_wide, FAILS, FAILS },
    { "affinity", try_affinity, FAILS, FAILS },
    { "limit", try_limit, FAILS, FAILS },
    { "undump", try_dumpable, WORKS, FAILS },
    { "signal-owner", try_signal_owner, WORKS, FAILS },
    { "no-core", try_core, WORKS, FAILS }, /* it cannot ask */
};

/* ---- the process that tries ---- */

static const char *self;

static int outcome(int (*call)(void))
{
    return call() >= 0 ? WORKS : FAILS;
}

static int try_as_context(int (*call)(void))
{
    siginfo_t info;
    pid_t pid = fork();

    if (pid == 0) {
        confine_context();
        _exit(outcome(call));
    }
    if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0) {
        return -1;
    }
    return info.si_code == CLD_EXITED ? info.si_status : info.si_status == SIGSYS ? KILLED : -1;
}

static int try_here(const char *what, bool context)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(tries); i++) {
        if (!strcmp(tries[i].what, what)) {
            return context ? try_as_context(tries[i].call) : outcome(tries[i].call);
        }
    }
    return 99;
}

/* ---- the test ---- */

static int run(const char *how, const char *what, const char *context)
{
    char *argv[] = { (char *)self, (char *)"--try", (char *)what, (char *)context, NULL };
    g_auto(GStrv) env = g_environ_setenv(g_get_environ(), CONFINE_ENV, how, TRUE);
    g_autoptr(GError) error = NULL;
    int status;

    g_spawn_sync(NULL, argv, env, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, &error);
    g_assert_no_error(error);
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGSYS ? KILLED : -1;
    }
    return WEXITSTATUS(status);
}

static void test_software(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(tries); i++) {
        int server = run("software", tries[i].what, "server");
        int context = run("software", tries[i].what, "context");

        if (server != tries[i].server || context != tries[i].context) {
            g_test_fail_printf("%s: server %d, not %d; context %d, not %d", tries[i].what, server,
                               tries[i].server, context, tries[i].context);
        }
    }
}

/* With a GPU its node is opened for writing, and nothing else is new. */
static void test_device(void)
{
    g_assert_cmpint(run("device", "open-rdwr", "server"), ==, WORKS);
    g_assert_cmpint(run("device", "open-rdwr", "context"), ==, WORKS);
    g_assert_cmpint(run("device", "open-wronly", "context"), ==, FAILS);
    g_assert_cmpint(run("device", "create", "context"), ==, FAILS);
    g_assert_cmpint(run("device", "exec", "context"), ==, KILLED);
}

static void test_none(void)
{
    g_assert_cmpint(run("none", "create", "context"), ==, WORKS);
    unlink("/tmp/vgpu-confine");
    g_assert_cmpint(run("none", "exec", "server"), ==, 0);
}

/* What holds the leash ends the process: by a byte, or by going. */
static void test_leash(gconstpointer byte)
{
    int leash, pair[2];
    siginfo_t info;
    char c;
    pid_t pid;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), ==, 0);
    g_setenv(CONFINE_ENV, "none", TRUE);
    confine(); /* this is the server */
    g_unsetenv(CONFINE_ENV);
    pid = fork();
    if (pid == 0) {
        struct msghdr msg = { 0 };
        char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
        struct iovec iov = { (void *)"x", 1 };
        struct cmsghdr *h;
        int mine = confine_leash();

        msg = (struct msghdr){
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        h = CMSG_FIRSTHDR(&msg);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &mine, sizeof(mine));
        if (sendmsg(pair[1], &msg, 0) != 1) {
            _exit(9);
        }
        close(mine);
        signal(SIGIO, SIG_IGN);
        for (;;) {
            pause();
        }
    } else {
        char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
        struct iovec iov = { &c, 1 };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };

        g_assert_cmpint(recvmsg(pair[0], &msg, 0), ==, 1);
        memcpy(&leash, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(leash));
    }
    g_usleep(20000);
    g_assert_cmpint(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), ==, 0);
    if (byte) {
        g_assert_cmpint(write(leash, "x", 1), ==, 1);
    } else {
        close(leash);
    }
    g_assert_cmpint(waitid(P_PID, (id_t)pid, &info, WEXITED), ==, 0);
    g_assert_cmpint(info.si_code, ==, CLD_KILLED);
    g_assert_cmpint(info.si_status, ==, SIGKILL);
    if (byte) {
        g_assert_cmpint(poll(&(struct pollfd){ .fd = leash }, 1, 0), ==, 1); /* it has hung up */
        close(leash);
    }
    close(pair[0]);
    close(pair[1]);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 4 && !strcmp(argv[1], "--try")) {
        confine();
        return try_here(argv[2], !strcmp(argv[3], "context"));
    }
    g_test_init(&argc, &argv, NULL);
    if (g_getenv("VGPU_SANITIZE")) {
        printf("1..0 # SKIP a sanitizer's own system calls are not on the lists\n");
        return 0;
    }
    g_test_add_func("/confine/software", test_software);
    g_test_add_func("/confine/device", test_device);
    g_test_add_func("/confine/none", test_none);
    g_test_add_data_func("/confine/leash/byte", GINT_TO_POINTER(1), test_leash);
    g_test_add_data_func("/confine/leash/gone", NULL, test_leash);
    return g_test_run();
}
