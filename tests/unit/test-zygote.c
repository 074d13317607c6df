/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpud's side of the zygote, against zygotes that are none: this program again, as the first argument says.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vgpud/sandbox.h"
#include "vgpud/zygote.h"
#include "vgpud/zygote_wire.h"

#define SOON_US (10 * G_USEC_PER_SEC)

/* ---- what a zygote may do wrong ---- */

static const char *how;

static bool is(const char *name)
{
    return g_str_equal(how, name);
}

static void send_answer(uint32_t magic, uint32_t serial, pid_t pid, const int *fds, unsigned n, size_t size)
{
    struct zygote_forked m = { .magic = magic, .serial = serial, .pid = pid, .why = "it is a test" };
    char control[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
    struct iovec iov = { &m, size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    sendmsg(ZYGOTE_FD, &msg, MSG_NOSIGNAL);
}

/* A child of vgpud's, as a zygote makes it, that waits for its go. */
static pid_t make_child(int *pidfd)
{
    int go = -1;
    struct zygote_fork m;
    char control[CMSG_SPACE(LAUNCH_FDS * sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = { &m, sizeof(m) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    pid_t pid;

    if (recvmsg(ZYGOTE_FD, &msg, 0) <= 0) {
        _exit(1);
    }
    /* the test gives one descriptor: go */
    memcpy(&go, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(go));
    pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);
    if (pid == 0) {
        char byte;

        close(ZYGOTE_FD);
        _exit(read(go, &byte, 1) == 1 ? 7 : 126);
    }
    close(go);
    return pid;
}

static int bad_zygote(void)
{
    struct zygote_hello hello = { .magic = ZYGOTE_MAGIC, .release = ZYGOTE_RELEASE };
    int fds[2] = { -1, -1 };
    pid_t pid;

    if (is("silent")) {
        pause();
    }
    if (is("ends")) {
        return 1;
    }
    if (is("other-release")) {
        g_strlcpy(hello.release, "vgpu 0.0.0", sizeof(hello.release));
    }
    send(ZYGOTE_FD, &hello, is("short-hello") ? 5 : sizeof(hello), MSG_NOSIGNAL);
    pid = make_child(&fds[0]);
    fds[1] = fds[0];
    if (is("no-answer")) {
        pause();
    } else if (is("dies")) {
        return 1;
    } else if (is("refuses")) {
        send_answer(ZYGOTE_MAGIC, 1, 0, NULL, 0, sizeof(struct zygote_forked));
    } else if (is("noise")) {
        send_answer(0x12345678, 1, pid, fds, 1, sizeof(struct zygote_forked));
    } else if (is("short")) {
        send_answer(ZYGOTE_MAGIC, 1, pid, fds, 1, 9);
    } else if (is("other-serial")) {
        send_answer(ZYGOTE_MAGIC, 2, pid, fds, 1, sizeof(struct zygote_forked));
    } else if (is("no-fd")) {
        send_answer(ZYGOTE_MAGIC, 1, pid, NULL, 0, sizeof(struct zygote_forked));
    } else if (is("other-pid")) {
        send_answer(ZYGOTE_MAGIC, 1, getppid(), fds, 1, sizeof(struct zygote_forked));
    } else if (is("itself")) {
        fds[0] = (int)syscall(SYS_pidfd_open, getpid(), 0);
        send_answer(ZYGOTE_MAGIC, 1, getpid(), fds, 1, sizeof(struct zygote_forked));
    } else if (is("stranger")) {
        /* a child of its own, not of vgpud's */
        pid_t self = getpid();

        pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fds[0], NULL, NULL);
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != self) {
                _exit(1); /* it was killed before that: nobody would end us, who has the test's stderr */
            }
            pause();
        }
        send_answer(ZYGOTE_MAGIC, 1, pid, fds, 1, sizeof(struct zygote_forked));
    } else if (is("good")) {
        send_answer(ZYGOTE_MAGIC, 1, pid, fds, 2, sizeof(struct zygote_forked));
    }
    pause();
    return 0;
}

/* ---- the test ---- */

static unsigned fd_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static Zygote *start(const char *name)
{
    char *libraries[] = { (char *)name, NULL };
    g_auto(GStrv) environment = g_get_environ();
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    ZygoteConfig config = { .renderer = self, .libraries = libraries, .environment = environment };
    g_autoptr(GError) error = NULL;
    Zygote *z = zygote_new(&config, &error);

    if (!z) {
        g_test_fail_printf("there is no zygote: %s", error->message);
    }
    return z;
}

/* Until it is ready, or gone. */
static void settle(Zygote *z)
{
    gint64 end = g_get_monotonic_time() + SOON_US;

    while (!zygote_ready(z) && !zygote_is_gone(z) && g_get_monotonic_time() < end) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(1000);
    }
}

/* All that the zygote was, and all that it made, is waited for. */
static bool no_children(void)
{
    gint64 end = g_get_monotonic_time() + SOON_US;
    siginfo_t info;

    for (;;) {
        g_main_context_iteration(NULL, FALSE);
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD) {
            return true;
        }
        if (g_get_monotonic_time() > end) {
            return false;
        }
        g_usleep(1000);
    }
}

/* go: the writer's end, which stays with the caller. */
static bool ask(Zygote *z, int *go, pid_t *pid, int *pidfd, GError **error)
{
    char *arguments[] = { (char *)"renderer", NULL };
    LaunchChild launch = { 0 };
    ZygoteChild child = { .child = &launch, .renderer = "/bin/true", .arguments = arguments };
    int pair[2];
    bool ok;

    g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
    for (unsigned i = 0; i < LAUNCH_FDS; i++) {
        launch.fds[i] = i == LAUNCH_GO_FD ? pair[0] : -1;
    }
    ok = zygote_fork(z, &child, pid, pidfd, error);
    close(pair[0]);
    *go = pair[1];
    return ok;
}

static void test_no_start(gconstpointer name)
{
    unsigned before = fd_count();
    Zygote *z;

    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "the zygote, process *");
    z = start(name);
    settle(z);
    g_assert_false(zygote_ready(z));
    g_assert_true(zygote_is_gone(z));
    g_test_assert_expected_messages();
    zygote_free(z);
    g_assert_true(no_children());
    g_assert_cmpuint(fd_count(), ==, before);
}

static void test_silent(void)
{
    unsigned before = fd_count();
    Zygote *z = start("silent");

    for (unsigned i = 0; i < 20; i++) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(1000);
    }
    g_assert_false(zygote_ready(z)); /* nobody waits for it */
    g_assert_false(zygote_is_gone(z));
    zygote_free(z);
    g_assert_true(no_children());
    g_assert_cmpuint(fd_count(), ==, before);
}

static void test_bad_answer(gconstpointer name)
{
    unsigned before = fd_count();
    Zygote *z = start(name);
    g_autoptr(GError) error = NULL;
    pid_t pid = 0;
    int go = -1, pidfd = -1;

    settle(z);
    g_assert_true(zygote_ready(z));
    g_assert_false(ask(z, &go, &pid, &pidfd, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "the zygote, process "));
    g_assert_cmpint(pidfd, ==, -1);
    g_assert_true(zygote_is_gone(z));
    close(go); /* no child of its hears it */
    zygote_free(z);
    g_assert_true(no_children());
    g_assert_cmpuint(fd_count(), ==, before);
}

/* The child is ours: we give it its go, and hear how it ends, whatever becomes of the zygote. */
static void test_good_answer(void)
{
    unsigned before = fd_count();
    Zygote *z = start("good");
    g_autoptr(GError) error = NULL;
    siginfo_t info = { 0 };
    pid_t pid = 0;
    int go = -1, pidfd = -1;

    settle(z);
    g_assert_true(zygote_ready(z));
    g_assert_true(ask(z, &go, &pid, &pidfd, &error));
    g_assert_no_error(error);
    zygote_free(z);
    g_assert_cmpint(write(go, "g", 1), ==, 1);
    g_assert_cmpint(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOWAIT), ==, 0);
    g_assert_cmpint(info.si_pid, ==, pid);
    g_assert_cmpint(info.si_status, ==, 7);
    close(go);
    close(pidfd);
    g_assert_true(no_children()); /* in its group still: it made no session */
    g_assert_cmpuint(fd_count(), ==, before);
}

static void test_too_long(void)
{
    Zygote *z = start("good");
    g_autofree char *text = g_strnfill(ZYGOTE_TEXT, 'x');
    char *arguments[] = { (char *)"renderer", text, NULL };
    LaunchChild launch = { 0 };
    ZygoteChild child = { .child = &launch, .renderer = "/bin/true", .arguments = arguments };
    g_autoptr(GError) error = NULL;
    pid_t pid;
    int pidfd;

    settle(z);
    g_assert_true(zygote_ready(z));
    g_assert_false(zygote_fork(z, &child, &pid, &pidfd, &error));
    g_assert_nonnull(error);
    zygote_free(z);
    g_assert_true(no_children());
}

/* ---- vgpud is killed while it makes one ---- */

static bool killed;

bool __real_sandbox_map_nursery(pid_t child, uid_t base, unsigned count, const gid_t *groups, unsigned n,
                                GError **error);
bool __wrap_sandbox_map_nursery(pid_t child, uid_t base, unsigned count, const gid_t *groups, unsigned n,
                                GError **error);

/* Called between the zygote's clone and its go, see meson.build. */
bool __wrap_sandbox_map_nursery(pid_t child, uid_t base, unsigned count, const gid_t *groups, unsigned n,
                                GError **error)
{
    if (killed) {
        _exit(9);
    }
    return __real_sandbox_map_nursery(child, base, count, groups, n, error);
}

/* What vgpud had open, its lock and its sockets, is free again: the half-made zygote ends too. */
static void test_killed(void)
{
    int pair[2], status = 0;
    struct pollfd p;
    pid_t pid, got;
    char byte;

    g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
    g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
    pid = fork();
    if (pid == 0) {
        killed = true;
        start("silent");
        _exit(1);
    }
    close(pair[1]);
    p = (struct pollfd){ .fd = pair[0], .events = POLLIN };
    g_assert_cmpint(poll(&p, 1, SOON_US / 1000), ==, 1);
    g_assert_cmpint(read(pair[0], &byte, 1), ==, 0);
    close(pair[0]);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(WEXITSTATUS(status), ==, 9);
    got = waitpid(-1, &status, 0);
    g_assert_true(got > 0 || errno == ECHILD); /* the zygote, ours to wait for now */
    g_assert_true(no_children());
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

int main(int argc, char **argv)
{
    static const char *const no_start[] = { "ends", "other-release", "short-hello" };
    static const char *const bad[] = { "no-answer",    "dies",  "refuses",   "noise",  "short",
                                       "other-serial", "no-fd", "other-pid", "itself", "stranger" };

    if (argc > 2 && g_str_has_prefix(argv[1], ZYGOTE_OPTION)) {
        how = argv[2];
        return bad_zygote();
    }
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(no_start); i++) {
        g_autofree char *path = g_strdup_printf("/zygote/start/%s", no_start[i]);

        g_test_add_data_func(path, no_start[i], test_no_start);
    }
    g_test_add_func("/zygote/start/silent", test_silent);
    g_test_add_func("/zygote/start/killed", test_killed);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/zygote/answer/%s", bad[i]);

        g_test_add_data_func(path, bad[i], test_bad_answer);
    }
    g_test_add_func("/zygote/answer/good", test_good_answer);
    g_test_add_func("/zygote/too-long", test_too_long);
    return g_test_run();
}
