/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vgpud makes of clients that mean harm, and of VMs that come back at once. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "gpu_cmd.h"
#include "proc.h"

#define MIB      (1ull << 20)
#define SOON     10000
#define STRANGER 65534u /* a user that is not vgpud's */

/* ---- a client in a process of its own: says what it was answered by its exit status ---- */

typedef enum Answer { ANSWER_NONE = 100, ANSWER_ACCEPTED = 101 } Answer; /* else: the code of REFUSED */

/* REQUEST on a connected socket; in a child, so without GLib's tests. */
static int answer_to(int fd, const struct vgpu_attach_request *r)
{
    union {
        struct vgpu_attach_refused refused;
        struct vgpu_attach_event event;
    } p = { 0 };
    char control[CMSG_SPACE(sizeof(int) * VGPU_ATTACH_FD_COUNT)]; /* kept open until this process ends */
    struct iovec iov = { &p, sizeof(p) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };

    ssize_t n = send(fd, r, sizeof(*r), MSG_NOSIGNAL);

    if (n < 0 && errno != EPIPE) { /* refused already: the answer is there */
        return ANSWER_NONE;
    }
    do { /* with the request unread, perhaps */
        n = recvmsg(fd, &msg, 0);
    } while (n < 0 && errno == ECONNRESET);
    if (n <= 0) {
        return ANSWER_NONE;
    }
    return p.refused.hdr.type == VGPU_ATTACH_REFUSED ? (int)p.refused.code : ANSWER_ACCEPTED;
}

static int child_connect(const Vgpud *d, int fd)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    g_strlcpy(addr.sun_path, d->socket, sizeof(addr.sun_path));
    return connect(fd, (struct sockaddr *)&addr, sizeof(addr));
}

static pid_t fork_child(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(ATTACH_DEADLINE / 1000);
    }
    return pid;
}

static int exit_status(pid_t pid)
{
    int status = 0;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One request of another process of the same user. */
static int ask_from_elsewhere(const Vgpud *d, const struct vgpu_attach_request *r)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

        _exit(child_connect(d, fd) < 0 ? ANSWER_NONE : answer_to(fd, r));
    }
    return exit_status(pid);
}

/* ---- */

static char *refused(Vgpud *d, const struct vgpu_attach_request *r, uint32_t code)
{
    int fd = attach_connect(d);
    char *text;

    g_assert_true(attach_send(fd, r, sizeof(*r), NULL, 0));
    text = attach_refused(fd, code);
    close(fd);
    return text;
}

/* The next packet is ACCEPTED; its descriptors are closed. */
static bool accepted(int fd)
{
    AttachPacket p;
    FrontendFds fds;

    if (!attach_receive(fd, &p, &fds, ATTACH_DEADLINE)) {
        g_test_message("no answer");
        return false;
    }
    if (p.hdr.type != VGPU_ATTACH_ACCEPTED) {
        g_test_message("answer %u: %s", p.hdr.type, p.refused.message);
        return false;
    }
    close(fds.vhost);
    close(fds.channel);
    close(fds.stats);
    close(fds.objects);
    return true;
}

static bool wait_children(Vgpud *d, unsigned count)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;
    unsigned is;

    do {
        g_autoptr(GArray) children = proc_children(d->pid);

        is = children->len;
        if (is == count) {
            return true;
        }
        g_usleep(10000);
    } while (g_get_monotonic_time() < end);
    g_test_message("%u renderers, not %u", is, count);
    return false;
}

/*
 * Descriptors in a packet are not taken out of it: closing one could take for
 * ever.  Were they received, the sentence would know how many they were.
 */
static void test_descriptors_not_received(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    const int fds[] = { d->log_fd, d->log_fd, d->log_fd };
    g_autofree char *text = NULL;
    int fd = attach_connect(d);

    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    if (!attach_send(fd, &r, sizeof(r), fds, 3)) {
        g_assert_cmpint(errno, ==, EPERM); /* this kernel does not even let them be sent */
        close(fd);
        return;
    }
    text = attach_refused(fd, VGPU_REFUSED_MALFORMED);
    close(fd);
    g_assert_cmpstr(text, ==, "a message of type 1 came with descriptors and says 0; it should have none");
}

/* After a restart of vgpud a VM's slice goes to the process that had it, not to any of that user. */
static void test_rejoin_of_another_process(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    pid_t renderer;
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);

    if (!f) {
        return;
    }
    renderer = vgpud_renderer_pid(d, "one");
    r.flags = VGPU_ATTACH_F_REJOIN;
    g_assert_cmpint(ask_from_elsewhere(d, &r), ==, VGPU_REFUSED_IN_USE); /* while it is connected */
    close(fd);
    vgpud_end(d, SIGKILL);
    g_assert_true(vgpud_run(d));
    g_assert_cmpint(ask_from_elsewhere(d, &r), ==, VGPU_REFUSED_IN_USE);
    g_assert_cmpint(vgpud_renderer_pid(d, "one"), ==, renderer);
    g_assert_true(gpu_still_works(f));
    /* the one that had it gets another renderer */
    fd = attach_connect(d);
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    g_assert_true(accepted(fd));
    f->dead = true;
    frontend_free(f);
    close(fd);
}

/* REJOIN without end: one renderer at a time, and after a few no more than one a second. */
static void test_rejoin_loop(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    int fd = attach_connect(d);
    int64_t begin = g_get_monotonic_time();

    for (unsigned i = 0; i < 7; i++) { /* four at once, then three with a second before each */
        g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
        if (!accepted(fd)) {
            g_test_fail_printf("renderer %u was not started", i);
            break;
        }
        g_autoptr(GArray) children = proc_children(d->pid);

        g_assert_cmpuint(children->len, <=, 1);
        r.flags = VGPU_ATTACH_F_REJOIN;
    }
    g_assert_cmpint((g_get_monotonic_time() - begin) / 1000, >=, 2900);
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_true(wait_children(d, 0));
}

/*
 * A killed renderer that does not die, as one that hangs in a driver: its
 * memory stays booked and its VM starts no second one, until it is dead.
 */
static void test_undead_renderer(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("full", "other", 2);
    pid_t pid;
    int fd, again, status;
    Frontend *f = attach_vm(d, "half", "one", 1, &fd);

    if (!f) {
        return;
    }
    pid = vgpud_renderer_pid(d, "one");
    if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) < 0) {
        g_test_skip("this process may not trace a renderer, to stop it in the middle of its death");
    } else {
        g_autofree char *text = NULL;
        struct vgpu_attach_request same = attach_request("half", "one", 1);

        close(fd);
        g_assert_cmpint(waitpid(pid, &status, __WALL), ==, pid); /* it is dying, and stays so */
        g_assert_cmpint(status >> 8, ==, SIGTRAP | PTRACE_EVENT_EXIT << 8);
        text = refused(d, &r, VGPU_REFUSED_FULL);
        g_assert_nonnull(strstr(text, "(one: 512)"));
        again = attach_connect(d);
        g_assert_true(attach_send(again, &same, sizeof(same), NULL, 0));
        g_assert_true(vgpud_wait_vms(d, 1, SOON));
        g_assert_cmpint(vgpud_renderer_pid(d, "one"), ==, pid);
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
        g_assert_true(accepted(again));
        g_assert_cmpint(vgpud_renderer_pid(d, "one"), !=, pid);
        close(again);
        fd = -1;
    }
    f->dead = true;
    frontend_free(f);
    if (fd >= 0) {
        close(fd);
    }
}

/* A VM that is started again before its last renderer has ended. */
static void test_started_again_at_once(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);

    for (unsigned i = 0; i < 3; i++) {
        int fd;
        Frontend *f = attach_vm(d, "full", "one", 1, &fd);

        if (!f) {
            return;
        }
        kill(vgpud_renderer_pid(d, "one"), SIGSTOP); /* it does not leave by itself */
        close(fd);
        f->dead = true;
        frontend_free(f);
    }
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
}

/* ... or its last QEMU: killed, its connection still open while the kernel clears its memory away. */
static void test_old_qemu_is_dying(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("full", "one", 1);
    int old = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd;
    struct vgpu_attach_request second = attach_request("full", "one", 1);
    int held[2];
    pid_t qemu;

    g_assert_cmpint(pipe2(held, O_CLOEXEC), ==, 0);
    qemu = fork_child();
    if (qemu == 0) {
        char c;
        int answer = child_connect(d, old) < 0 ? ANSWER_NONE : answer_to(old, &r);

        close(held[1]);
        _exit(read(held[0], &c, 1) == 0 ? answer : ANSWER_NONE);
    }
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    {
        g_autofree char *state = NULL;
        int64_t end = g_get_monotonic_time() + SOON * 1000ll;

        while (g_strcmp0(state, "running") && g_get_monotonic_time() < end) {
            g_free(state);
            state = vgpud_state(d, "one");
        }
    }
    /* while it lives, it is in use */
    g_free(refused(d, &second, VGPU_REFUSED_IN_USE));
    close(held[0]);
    close(held[1]);
    fd = attach_connect(d);
    {
        siginfo_t info;

        g_assert_cmpint(waitid(P_PID, qemu, &info, WEXITED | WNOWAIT), ==, 0); /* dead, not cleared away */
    }
    g_assert_true(attach_send(fd, &second, sizeof(second), NULL, 0));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    close(old); /* our copy was the last */
    g_assert_true(accepted(fd));
    g_assert_cmpint(exit_status(qemu), ==, ANSWER_ACCEPTED);
    close(fd);
}

/* Who asked and waits may not ask again, and may leave. */
static void test_waiting_client_leaves(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("full", "one", 1);
    int old, first = attach_connect(d), second = attach_connect(d), third = attach_connect(d);
    Frontend *f = attach_vm(d, "full", "one", 1, &old);
    pid_t pid;

    if (!f) {
        return;
    }
    pid = vgpud_renderer_pid(d, "one");
    kill(pid, SIGSTOP);
    close(old);
    g_assert_true(attach_send(first, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_send(first, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_send(second, &r, sizeof(r), NULL, 0));
    close(second);
    g_assert_true(attach_send(third, &r, sizeof(r), NULL, 0));
    /* the slice goes to somebody, and vgpud to nobody's grave */
    f->dead = true;
    frontend_free(f);
    close(first);
    close(third);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_true(wait_children(d, 0));
}

static uint64_t cpu_ms(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid), *text = NULL;
    unsigned long user = 0, system = 0;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpint(
        sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
        ==, 2);
    return (user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

/* No descriptor left: vgpud neither spins nor stops, and goes on when there are some again. */
static void test_out_of_descriptors(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct rlimit enough, few;
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    uint64_t before;
    int fds[64];

    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_cmpint(prlimit(d->pid, RLIMIT_NOFILE, NULL, &enough), ==, 0);
    few = (struct rlimit){ .rlim_cur = 40, .rlim_max = enough.rlim_max };
    g_assert_cmpint(prlimit(d->pid, RLIMIT_NOFILE, &few, NULL), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = attach_connect(d);
    }
    g_usleep(300000);
    before = cpu_ms(d->pid);
    g_usleep(1500000);
    g_assert_cmpuint(cpu_ms(d->pid) - before, <, 300);
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        close(fds[i]);
    }
    g_assert_cmpint(prlimit(d->pid, RLIMIT_NOFILE, &enough, NULL), ==, 0); /* a renderer's are other ones */
    fds[0] = attach_connect(d);
    g_assert_true(attach_send(fds[0], &r, sizeof(r), NULL, 0));
    g_assert_true(accepted(fds[0]));
    close(fds[0]);
}

/* ---- another user ---- */

/* Lets another user in to the socket; false when this test cannot be one. */
static bool let_in(Vgpud *d)
{
    if (geteuid() != 0) {
        g_test_skip("only root can be another user");
        return false;
    }
    g_assert_cmpint(chmod(d->folder, 0711), ==, 0);
    g_assert_cmpint(chmod(d->socket, 0666), ==, 0);
    return true;
}

/*
 * A child of another user, with groups: connects so often, asks on the last
 * connections for VMs with these profiles, and ends with the last answer.
 */
static int stranger(Vgpud *d, const gid_t *groups, unsigned count, unsigned idle, const char *const *profiles)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        int answer = ANSWER_NONE;

        if (setgroups(count, groups) < 0 || setgid(STRANGER) < 0 || setuid(STRANGER) < 0) {
            _exit(99);
        }
        for (unsigned i = 0; i < idle; i++) {
            child_connect(d, socket(AF_UNIX, SOCK_SEQPACKET, 0));
        }
        for (unsigned i = 0; profiles[i]; i++) {
            struct vgpu_attach_request r = attach_request(profiles[i], "theirs", 1000 + i);
            int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

            answer = child_connect(d, fd) < 0 ? ANSWER_NONE : answer_to(fd, &r);
        }
        _exit(answer);
    }
    return exit_status(pid);
}

static void test_vms_of_one_user(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", "vms-per-user = 2\n");
    const char *two[] = { "sixteenth", "sixteenth", NULL },
               *three[] = { "sixteenth", "sixteenth", "sixteenth", NULL };

    if (!let_in(d)) {
        return;
    }
    g_assert_cmpint(stranger(d, NULL, 0, 0, two), ==, ANSWER_ACCEPTED);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_cmpint(stranger(d, NULL, 0, 0, three), ==, VGPU_REFUSED_LIMIT);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
}

static void test_connections_of_one_user(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", "connections-per-user = 5\n");
    const char *one[] = { "sixteenth", NULL };
    int fds[8];

    if (!let_in(d)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) { /* an admin's do not count */
        fds[i] = attach_connect(d);
    }
    g_assert_cmpint(stranger(d, NULL, 0, 4, one), ==, ANSWER_ACCEPTED);
    g_assert_true(vgpud_wait_vms(d, 0, SOON)); /* it has seen all of them go: until then they count */
    g_assert_cmpint(stranger(d, NULL, 0, 5, one), ==, VGPU_REFUSED_LIMIT);
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        close(fds[i]);
    }
}

static void write_profile(Vgpud *d, const char *text)
{
    g_autofree char *folder = g_build_filename(d->config, "profiles.d", NULL);
    g_autofree char *file = g_build_filename(folder, "test.conf", NULL);

    g_mkdir(folder, 0700);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    g_assert_true(vgpud_wait_vms(d, 0, SOON)); /* it has started in full */
    vgpud_end(d, SIGTERM);
    g_assert_true(vgpud_run(d));
}

static bool log_has(Vgpud *d, const char *text)
{
    off_t size = lseek(d->log_fd, 0, SEEK_END);
    g_autofree char *log = g_malloc0(size + 1);

    g_assert_cmpint(pread(d->log_fd, log, size, 0), ==, size);
    return strstr(log, text) != NULL;
}

/* A profile for a group, and who is in it. */
static void test_profile_for_a_group(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    const char *cad[] = { "cad", NULL }, *half[] = { "half", NULL };
    const gid_t in[] = { 70000, 70001 }, out[] = { 70002 };
    struct vgpu_attach_request r = attach_request("cad", "admin's", 1);
    int fd;

    write_profile(d, "[cad]\nmemory=64M\ngroups=70001\n");
    fd = attach_connect(d);
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    g_assert_true(accepted(fd)); /* vgpud's own user may */
    close(fd);
    if (!let_in(d)) {
        return;
    }
    g_assert_cmpint(stranger(d, out, 1, 0, cad), ==, VGPU_REFUSED_DENIED);
    g_assert_cmpint(stranger(d, NULL, 0, 0, cad), ==, VGPU_REFUSED_DENIED);
    g_assert_true(log_has(d, "who=\"user nobody (uid 65534, pid "));
    g_assert_true(
        log_has(d, " what=attach target=theirs from=\"the attach socket\" result=refused why=\"profile "
                   "'cad' is for members of 70001 only, and "));
    g_assert_cmpint(stranger(d, in, 2, 0, cad), ==, ANSWER_ACCEPTED);
    g_assert_true(log_has(d, " what=attach target=theirs from=\"the attach socket\" change=\"profile=cad "
                             "gpu=software0 memory=67108864\" result=done"));
    g_assert_cmpint(stranger(d, out, 1, 0, half), ==, ANSWER_ACCEPTED);
}

/* tenant= names who may start VMs; others may not. */
static void test_not_a_tenant(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", "[roles]\ntenant = @70001\n");
    const char *half[] = { "half", NULL };
    const gid_t in[] = { 70001 }, out[] = { 70002 };

    if (!let_in(d)) {
        return;
    }
    g_assert_cmpint(stranger(d, out, 1, 0, half), ==, VGPU_REFUSED_DENIED);
    g_assert_cmpint(stranger(d, in, 1, 0, half), ==, ANSWER_ACCEPTED);
}

/* The only render node is full: the CPUs have to do, and the log says so. */
static void test_last_resort(void)
{
    static const char conf[] = "[renderer]\nkind = null\n[vgpud]\ngpus = all\nsandbox = off\n"
                               "[gpu gpu0]\nmemory = 1G\n[gpu software0]\nmemory = 1G\n";
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    g_autofree char *dri = g_build_filename(d->folder, "dri", NULL);
    g_autofree char *node = g_build_filename(dri, "renderD128", NULL);
    g_autofree char *file = g_build_filename(d->config, "vgpud.conf", NULL);
    g_autofree char *argument = g_strdup_printf("--devices=%s", d->folder);
    struct vgpu_attach_request first = attach_request("full", "first", 1);
    struct vgpu_attach_request second = attach_request("full", "second", 2);
    int fd[2];

    vgpud_end(d, SIGTERM);
    g_assert_cmpint(g_mkdir(dri, 0700), ==, 0);
    g_assert_true(g_file_set_contents(node, "", 0, NULL));
    g_assert_true(g_file_set_contents(file, conf, -1, NULL));
    d->argument = argument;
    g_assert_true(vgpud_run(d));
    fd[0] = attach_connect(d);
    g_assert_true(attach_send(fd[0], &first, sizeof(first), NULL, 0));
    g_assert_true(accepted(fd[0]));
    g_assert_false(log_has(d, "no render node has room"));
    fd[1] = attach_connect(d);
    g_assert_true(attach_send(fd[1], &second, sizeof(second), NULL, 0));
    g_assert_true(accepted(fd[1]));
    g_assert_true(log_has(d, "second: no render node has room for profile 'full': the CPUs render for it "
                             "(software0), which is slow"));
    close(fd[0]);
    close(fd[1]);
}

/* Who may write the folder could put another's file in the place of the state. */
static void test_foreign_folder(void)
{
    static const unsigned bad[] = { 0770, 0707, 0777 };
    g_autofree char *folder = g_dir_make_tmp("vgpud-folder-XXXXXX", NULL);
    g_autofree char *socket = g_strdup_printf("--socket=%s/vgpud.sock", folder);
    g_autofree char *config = g_strdup_printf("--config=%s", folder);
    char *argv[] = { (char *)g_getenv("VGPUD"), socket, config, NULL };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *err = NULL;
        int status = 0;

        g_assert_cmpint(chmod(folder, bad[i]), ==, 0);
        g_assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &err,
                                   &status, NULL));
        g_assert_cmpint(status, !=, 0);
        g_assert_nonnull(strstr(err, "is not a folder that only this user can write"));
    }
    g_assert_cmpint(g_rmdir(folder), ==, 0); /* it wrote nothing there */
}

/* A state file that is somebody else's, or a way to somebody else's, puts no VM into the books. */
static void test_foreign_state_file(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    g_autofree char *state = g_build_filename(d->folder, "vgpud.state", NULL);
    g_autofree char *other = g_build_filename(d->folder, "other", NULL);
    int fd;
    Frontend *f = attach_vm(d, "half", "one", 1, &fd);

    if (!f) {
        return;
    }
    close(fd);
    vgpud_end(d, SIGKILL);
    g_assert_cmpint(chmod(state, 0666), ==, 0);
    g_assert_true(vgpud_run(d));
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    vgpud_end(d, SIGTERM);
    {
        g_autofree char *bad = g_strconcat(state, ".bad", NULL);

        g_assert_cmpint(rename(bad, other), ==, 0);
        g_assert_cmpint(chmod(other, 0600), ==, 0);
        g_unlink(state);
        g_assert_cmpint(symlink(other, state), ==, 0);
        g_assert_true(vgpud_run(d));
        g_assert_true(vgpud_wait_vms(d, 0, SOON));
        vgpud_end(d, SIGTERM);
        /* and as it was, it is taken */
        g_assert_cmpint(rename(other, state), ==, 0);
        g_assert_true(vgpud_run(d));
        g_assert_true(vgpud_wait_vms(d, 1, SOON));
    }
    frontend_free(f);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
}

int main(int argc, char **argv)
{
    umask(022);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud-attach/descriptors-not-received", test_descriptors_not_received);
    g_test_add_func("/vgpud-attach/rejoin-of-another-process", test_rejoin_of_another_process);
    g_test_add_func("/vgpud-attach/rejoin-loop", test_rejoin_loop);
    g_test_add_func("/vgpud-attach/undead-renderer", test_undead_renderer);
    g_test_add_func("/vgpud-attach/started-again-at-once", test_started_again_at_once);
    g_test_add_func("/vgpud-attach/old-qemu-is-dying", test_old_qemu_is_dying);
    g_test_add_func("/vgpud-attach/waiting-client-leaves", test_waiting_client_leaves);
    g_test_add_func("/vgpud-attach/out-of-descriptors", test_out_of_descriptors);
    g_test_add_func("/vgpud-attach/vms-of-one-user", test_vms_of_one_user);
    g_test_add_func("/vgpud-attach/connections-of-one-user", test_connections_of_one_user);
    g_test_add_func("/vgpud-attach/profile-for-a-group", test_profile_for_a_group);
    g_test_add_func("/vgpud-attach/not-a-tenant", test_not_a_tenant);
    g_test_add_func("/vgpud-attach/last-resort", test_last_resort);
    g_test_add_func("/vgpud-attach/foreign-folder", test_foreign_folder);
    g_test_add_func("/vgpud-attach/foreign-state-file", test_foreign_state_file);
    return g_test_run();
}
