/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpud from outside: who gets in, what a VM gets, and what happens when one of them dies. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "picture.h"

#define MIB  (1ull << 20)
#define SOON 10000

/* Draws a picture and finds it on the screen. */
static void check_works(Frontend *f, unsigned seed)
{
    if (!f) {
        return;
    }
    gpu_unref(f, seed);
    picture_resource(f, seed, BGRX, seed, 64, 64);
    g_assert_cmphex(gpu_set_scanout(f, 0, seed, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, seed, 0, 0, 64, 64), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    picture_check(f, 0, 0, 0, 64, 64, seed, 0, 0);
}

/* Sends a request and expects a refusal; the sentence. */
static char *refused(Vgpud *d, const struct vgpu_attach_request *r, uint32_t code)
{
    int fd = attach_connect(d);
    char *text;

    g_assert_true(attach_send(fd, r, sizeof(*r), NULL, 0));
    text = attach_refused(fd, code);
    close(fd);
    return text;
}

static void test_accepted(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    FrontendOptions o = { .max_outputs = 2 };
    FrontendFds fds;
    AttachPacket p;
    Frontend *f;
    struct stat st;
    int fd = attach_connect(d);

    r.max_outputs = 2;
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    if (!attach_receive(fd, &p, &fds, ATTACH_DEADLINE) || p.hdr.type != VGPU_ATTACH_ACCEPTED) {
        g_test_fail_printf("refused: %s", p.refused.message);
        return;
    }
    g_assert_cmpuint(p.accepted.memory_limit, ==, 256 * MIB);
    g_assert_cmpstr(p.accepted.profile, ==, "quarter");
    g_assert_cmpstr(p.accepted.gpu, ==, "software0");
    g_assert_cmpuint(p.accepted.max_outputs, ==, 2);
    g_assert_cmpuint(p.accepted.pad, ==, 0);
    g_assert_cmpuint(p.accepted.hostmem, ==, 512 * MIB);
    g_assert_cmpint(fstat(fds.objects, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 16 * MIB);
    g_assert_cmpint(fcntl(fds.objects, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW), ==,
                    F_SEAL_SHRINK | F_SEAL_GROW);
    g_assert_cmpint(fcntl(fds.stats, F_GET_SEALS) & F_SEAL_SHRINK, ==, F_SEAL_SHRINK);
    f = frontend_adopt(&o, &fds);
    g_assert_cmpuint(f->stats->memory_limit, ==, 256 * MIB);
    check_works(f, 1);
    {
        g_autoptr(JsonNode) list = vgpud_ask(d, "list");
        JsonObject *vm = vgpud_vm(list, "one");

        g_assert_nonnull(vm);
        if (vm) {
            g_assert_cmpstr(json_object_get_string_member_with_default(vm, "profile", ""), ==, "quarter");
            g_assert_cmpstr(json_object_get_string_member_with_default(vm, "gpu", ""), ==, "software0");
            g_assert_cmpstr(json_object_get_string_member_with_default(vm, "state", ""), ==, "running");
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "memory_limit_bytes", 0), ==,
                            256 * MIB);
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "memory_used_bytes", 0), ==,
                            frontend_used(f));
            g_assert_cmpuint(strlen(json_object_get_string_member_with_default(vm, "uuid", "")), ==, 36);
        }
    }
    /* the slice comes back when the connection and the renderer are gone */
    frontend_free(f);
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
}

static void test_unknown_names(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    struct vgpu_attach_request r = attach_request("quater", "one", 1);
    g_autofree char *profile = refused(d, &r, VGPU_REFUSED_NO_PROFILE), *gpu = NULL, *noise = NULL;

    g_assert_nonnull(strstr(profile, "'quater'"));
    for (const char *const *n =
             (const char *const[]){ "full", "half", "quarter", "eighth", "sixteenth", NULL };
         *n; n++) {
        if (!strstr(profile, *n)) {
            g_test_fail_printf("'%s' does not name the profile %s", profile, *n);
        }
    }
    r = attach_request("quarter", "one", 1);
    g_strlcpy(r.gpu, "gpu77", sizeof(r.gpu));
    gpu = refused(d, &r, VGPU_REFUSED_NO_GPU);
    g_assert_nonnull(strstr(gpu, "'gpu77'"));
    g_assert_nonnull(strstr(gpu, "software0"));
    /* what a terminal would obey does not come back */
    r = attach_request("\033[2Jx\n\x80\xff", "one", 1);
    noise = refused(d, &r, VGPU_REFUSED_NO_PROFILE);
    g_assert_null(strchr(noise, '\033'));
    g_assert_null(strchr(noise, '\n'));
    g_assert_true(g_utf8_validate(noise, -1, NULL));
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
}

static void test_full(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("half", "third", 3);
    int a, b;
    g_autoptr(Frontend) fa = attach_vm(d, "half", "win10", 1, &a);
    g_autoptr(Frontend) fb = attach_vm(d, "quarter", "ci-7", 2, &b);
    g_autofree char *text = refused(d, &r, VGPU_REFUSED_FULL);

    g_assert_cmpstr(text, ==,
                    "profile 'half' needs 512 MiB of GPU memory; 256 of 1024 MiB are free on software0 "
                    "(win10: 512, ci-7: 256). Profiles that fit: quarter, eighth, sixteenth.");
    close(a);
    close(b);
}

static void test_version(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    struct vgpu_attach_request r = attach_request("quarter", "one", 1);
    g_autofree char *text = NULL, *cut = NULL;
    int fd;

    r.hdr.version = 77;
    text = refused(d, &r, VGPU_REFUSED_VERSION);
    g_assert_nonnull(strstr(text, "77"));
    g_assert_nonnull(strstr(text, " 2"));
    /* of another version nothing but the header's layout is known */
    r.hdr.size = 100;
    fd = attach_connect(d);
    g_assert_true(attach_send(fd, &r, 100, NULL, 0));
    cut = attach_refused(fd, VGPU_REFUSED_VERSION);
    close(fd);
}

/* One bad packet, then proof that vgpud goes on. */
static void bad(Vgpud *d, const char *what, const void *packet, size_t size, int passed)
{
    AttachPacket p;
    int fd = attach_connect(d);

    if (fd < 0) {
        g_test_fail_printf("%s: vgpud is gone", what);
        return;
    }
    if (!attach_send(fd, packet, size, &passed, passed >= 0 ? 1 : 0) && errno == EPERM) {
        g_test_message("%s: the kernel does not let it pass", what);
    } else if (!attach_receive(fd, &p, NULL, ATTACH_DEADLINE)) {
        g_test_fail_printf("%s: no answer", what);
    } else if (p.hdr.type != VGPU_ATTACH_REFUSED || p.refused.code != VGPU_REFUSED_MALFORMED) {
        g_test_fail_printf("%s: answer %u, code %u", what, p.hdr.type, p.refused.code);
    }
    close(fd);
}

/* No more descriptors than that, once what was just closed at our end is closed at theirs. */
static bool fds_settle(Vgpud *d, unsigned max)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;

    while (proc_fd_count(d->pid) > max && g_get_monotonic_time() < end) {
        g_usleep(20000);
    }
    g_test_message("%u descriptors, at most %u expected", proc_fd_count(d->pid), max);
    return proc_fd_count(d->pid) <= max;
}

static void test_malformed(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    const struct vgpu_attach_request good = attach_request("quarter", "one", 1);
    struct vgpu_attach_lost lost = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_LOST, sizeof(lost), 0 },
    };
    struct {
        struct vgpu_attach_request r;
        char more[4000];
    } longer = { .r = good };
    struct vgpu_attach_request r;
    unsigned fds;

    /* it has started in full once it answered on both sockets */
    bad(d, "truncated to one byte", &good, 1, -1);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    fds = proc_fd_count(d->pid);
    for (size_t cut = 1; cut < sizeof(good); cut += cut < 20 ? 1 : 13) {
        bad(d, "truncated", &good, cut, -1);
        r = good;
        r.hdr.size = cut;
        bad(d, "truncated and admitted", &r, cut, -1);
    }
    bad(d, "one byte too long", &longer, sizeof(good) + 1, -1);
    bad(d, "far too long", &longer, sizeof(longer), -1);
#define BAD(field, value)                                                                                    \
    r = good;                                                                                                \
    r.field = value;                                                                                         \
    bad(d, #field " = " #value, &r, sizeof(r), -1)
    BAD(hdr.magic, 0);
    BAD(hdr.type, 0);
    BAD(hdr.type, VGPU_ATTACH_ACCEPTED);
    BAD(hdr.type, 0xffff);
    BAD(hdr.size, 0);
    BAD(hdr.size, 0xffffffff);
    BAD(hdr.fd_count, 1);
    BAD(hdr.fd_count, 0xffffffff);
    BAD(max_outputs, 0);
    BAD(max_outputs, 17);
    BAD(max_outputs, 0xffffffff);
    BAD(flags, 2);
    BAD(flags, 0xffffffff);
#define UNENDED(field)                                                                                       \
    r = good;                                                                                                \
    memset(r.field, 'x', sizeof(r.field));                                                                   \
    bad(d, #field " without NUL", &r, sizeof(r), -1)
    UNENDED(profile);
    UNENDED(gpu);
    UNENDED(name);
    UNENDED(device);
    /* a descriptor nobody asked for, announced and not: it is closed */
    bad(d, "a descriptor", &good, sizeof(good), d->log_fd);
    r = good;
    r.hdr.fd_count = 1;
    bad(d, "a descriptor announced", &r, sizeof(r), d->log_fd);
    bad(d, "LOST first", &lost, sizeof(lost), -1);
    lost.cause = 99;
    bad(d, "LOST with a cause of 99", &lost, sizeof(lost), -1);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_true(fds_settle(d, fds));
}

static void test_two_vms(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int a, b;
    g_autoptr(Frontend) fa = attach_vm(d, "half", "a", 1, &a);
    g_autoptr(Frontend) fb = attach_vm(d, "quarter", "b", 2, &b);

    if (!fa || !fb) {
        return;
    }
    g_assert_cmpuint(fa->stats->memory_limit, ==, 512 * MIB);
    g_assert_cmpuint(fb->stats->memory_limit, ==, 256 * MIB);
    for (unsigned i = 1; i < 5; i++) {
        check_works(fa, i);
        check_works(fb, i + 10);
    }
    /* one at its limit changes nothing for the other */
    g_assert_cmphex(gpu_create_2d(fb, 100, BGRX, 8192, 8192), ==, ERR_MEMORY);
    g_assert_cmphex(gpu_create_2d(fa, 100, BGRX, 8192, 8192), ==, OK_NODATA);
    check_works(fb, 30);
    g_assert_true(vgpud_wait_vms(d, 2, SOON));
    close(a);
    close(b);
}

static void test_in_use(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    struct vgpu_attach_request r = attach_request("eighth", "again", 1);
    int a;
    g_autoptr(Frontend) fa = attach_vm(d, "eighth", "first", 1, &a);
    g_autofree char *text = refused(d, &r, VGPU_REFUSED_IN_USE);
    AttachPacket p;
    FrontendFds fds;
    int b = attach_connect(d);

    g_assert_nonnull(strstr(text, "first"));
    /* a second device of the same VM is another thing */
    g_strlcpy(r.device, "vgpu1", sizeof(r.device));
    g_assert_true(attach_send(b, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_receive(b, &p, &fds, ATTACH_DEADLINE));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_ACCEPTED);
    g_assert_true(vgpud_wait_vms(d, 2, SOON));
    if (p.hdr.type == VGPU_ATTACH_ACCEPTED) {
        FrontendOptions o = { .ram = 32 * MIB };

        frontend_free(frontend_adopt(&o, &fds));
    }
    close(a);
    close(b);
}

static Frontend *rejoin(int fd, unsigned number)
{
    struct vgpu_attach_request r = attach_request("quarter", "one", number);
    FrontendOptions o = { .ram = 32 * MIB };
    AttachPacket p;
    FrontendFds fds;

    r.flags = VGPU_ATTACH_F_REJOIN;
    g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
    if (!attach_receive(fd, &p, &fds, ATTACH_DEADLINE) || p.hdr.type != VGPU_ATTACH_ACCEPTED) {
        g_test_fail_printf("no new renderer: %s",
                           p.hdr.type == VGPU_ATTACH_REFUSED ? p.refused.message : "no answer");
        return NULL;
    }
    g_assert_cmpuint(p.accepted.memory_limit, ==, 256 * MIB);
    return frontend_adopt(&o, &fds);
}

static void expect_event(int fd)
{
    AttachPacket p;

    if (!attach_receive(fd, &p, NULL, SOON)) {
        g_test_fail_printf("no event");
        return;
    }
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    g_assert_cmpuint(p.event.event, ==, VGPU_EVENT_RENDERER_ENDED);
    g_assert_cmpstr(p.event.message, !=, "");
    g_test_message("%s", p.event.message);
}

/* QEMU gives a renderer up: it is killed, its slice stays booked, a new one comes. */
static void test_lost_and_rejoin(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    struct vgpu_attach_lost lost = {
        .hdr = { VGPU_ATTACH_MAGIC, VGPU_ATTACH_VERSION, VGPU_ATTACH_LOST, sizeof(lost), 0 },
        .cause = VGPU_LOST_DEADLINE,
    };
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "one");
    g_autofree char *state = NULL;

    if (!f) {
        return;
    }
    check_works(f, 1);
    kill(pid, SIGSTOP); /* what makes QEMU miss its deadline */
    g_assert_true(attach_send(fd, &lost, sizeof(lost), NULL, 0));
    expect_event(fd);
    g_assert_false(proc_alive(pid));
    state = vgpud_state(d, "one");
    g_assert_cmpstr(state, ==, "lost");
    f->dead = true;
    frontend_free(f);
    f = rejoin(fd, 1);
    if (f) {
        check_works(f, 2);
        g_assert_cmpint(vgpud_renderer_pid(d, "one"), !=, pid);
        g_assert_true(vgpud_wait_vms(d, 1, SOON));
        frontend_free(f);
    }
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
}

static void test_renderer_killed(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int a, b;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &a);
    g_autoptr(Frontend) n = attach_vm(d, "quarter", "neighbour", 2, &b);

    if (!f || !n) {
        return;
    }
    check_works(n, 1);
    kill(vgpud_renderer_pid(d, "one"), SIGKILL);
    expect_event(a);
    f->dead = true;
    frontend_free(f);
    check_works(n, 2);
    f = rejoin(a, 1);
    check_works(f, 3);
    frontend_free(f);
    close(a);
    close(b);
}

/* vgpud dies: VMs run on, the next vgpud has them in its books, and their end is seen. */
static void test_vgpud_killed(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "one");
    struct vgpu_attach_request r = attach_request("full", "big", 9);

    if (!f) {
        return;
    }
    check_works(f, 1);
    vgpud_end(d, SIGKILL);
    g_assert_true(attach_closed(fd, SOON));
    close(fd);
    g_assert_true(proc_alive(pid));
    check_works(f, 2);
    g_assert_true(vgpud_run(d));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    g_assert_cmpint(vgpud_renderer_pid(d, "one"), ==, pid);
    {
        g_autoptr(JsonNode) list = vgpud_ask(d, "list");
        JsonObject *vm = vgpud_vm(list, "one");
        g_autofree char *text = refused(d, &r, VGPU_REFUSED_FULL);

        g_assert_nonnull(vm);
        if (vm) {
            g_assert_cmpstr(json_object_get_string_member_with_default(vm, "state", ""), ==, "running");
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "memory_limit_bytes", 0), ==,
                            256 * MIB);
            g_assert_cmpint(json_object_get_int_member_with_default(vm, "memory_used_bytes", -1), ==,
                            frontend_used(f));
        }
        g_assert_nonnull(strstr(text, "one: 256"));
    }
    check_works(f, 3);
    frontend_free(f);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_false(proc_alive(pid));
}

/* The same, and then the renderer is lost: QEMU connects again and gets a new one. */
static void test_rejoin_after_restart(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    struct vgpu_attach_request r = attach_request("quarter", "thief", 1);
    int fd;
    Frontend *f = attach_vm(d, "quarter", "one", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "one");
    g_autofree char *text = NULL;

    if (!f) {
        return;
    }
    close(fd);
    vgpud_end(d, SIGKILL);
    g_assert_true(vgpud_run(d));
    /* who does not say REJOIN is a stranger with the same UUID */
    text = refused(d, &r, VGPU_REFUSED_IN_USE);
    fd = attach_connect(d);
    f->dead = true;
    frontend_free(f);
    f = rejoin(fd, 1);
    check_works(f, 2);
    g_assert_cmpint(vgpud_renderer_pid(d, "one"), !=, pid);
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    frontend_free(f);
    close(fd);
}

/* Closing the connection alone: a renderer that does not leave by itself is made to. */
static void test_connection_closed(void)
{
    g_autoptr(Vgpud) d = vgpud_new("2d", NULL);
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "one");

    if (!f) {
        return;
    }
    kill(pid, SIGSTOP);
    close(fd);
    f->dead = true;
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_false(proc_alive(pid));
}

/* What a guest that took its renderer over could reach. */
static void test_sandbox(void)
{
    g_autoptr(Vgpud) d = vgpud_new("auto", NULL);
    static const char *const spaces[] = { "user", "mnt", "pid", "net", "ipc", "uts" };
    static const char *const hidden[] = { "home", "work", "root", "etc/passwd", "etc/shadow", "run", "var" };
    static const char *const zero[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
    int fd;
    g_autoptr(Frontend) f = attach_vm(d, "quarter", "one", 1, &fd);
    pid_t pid = vgpud_renderer_pid(d, "one");
    g_autofree char *privs = NULL, *filter = NULL, *ids = NULL, *ns = NULL;
    uint64_t uid;

    if (!f || g_getenv("VGPU_TEST_RENDERER_ARGS")) {
        g_test_skip("under a sanitizer renderers have no sandbox");
        return;
    }
    check_works(f, 1);
    privs = proc_status(pid, "NoNewPrivs");
    filter = proc_status(pid, "Seccomp");
    g_assert_cmpstr(privs, ==, "1");
    g_assert_cmpstr(filter, ==, "2");
    for (unsigned i = 0; i < G_N_ELEMENTS(zero); i++) {
        g_autofree char *caps = proc_status(pid, zero[i]);

        if (g_strcmp0(caps, "0000000000000000")) {
            g_test_fail_printf("%s is %s", zero[i], caps);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(spaces); i++) {
        if (proc_same_namespace(pid, spaces[i])) {
            g_test_fail_printf("the renderer shares the %s namespace of the host", spaces[i]);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(hidden); i++) {
        g_autofree char *path = g_strdup_printf("/proc/%d/root/%s", pid, hidden[i]);

        if (access(path, F_OK) == 0) {
            g_test_fail_printf("the renderer sees /%s", hidden[i]);
        }
    }
    {
        g_autofree char *lib = g_strdup_printf("/proc/%d/root/usr/lib", pid);

        /* proof that the path above is looked up in the right place */
        g_assert_cmpint(access(lib, F_OK), ==, 0);
    }
    ids = proc_status(pid, "Uid");
    uid = ids ? g_ascii_strtoull(ids, NULL, 10) : 0;
    if (geteuid() == 0) {
        g_assert_cmpuint(uid, >=, 2130706432); /* see backend/vgpud/ids.h */
        g_assert_cmpuint(uid, <, 2130706432 + 4096);
    }
    ns = proc_status(pid, "NSpid");
    g_assert_nonnull(ns);
    g_assert_true(ns && g_str_has_suffix(ns, "\t1"));
    /* its threads as well */
    {
        g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
        g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
        const char *tid;

        while (dir && (tid = g_dir_read_name(dir))) {
            g_autofree char *s = proc_status(g_ascii_strtoull(tid, NULL, 10), "Seccomp");

            if (g_strcmp0(s, "2")) {
                g_test_fail_printf("thread %s runs without the filter (Seccomp: %s)", tid, s);
            }
        }
    }
    close(fd);
}

/* Connections that say nothing, half of something, or never read: others do not wait. */
static void test_slow_clients(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    const struct vgpu_attach_request good = attach_request("sixteenth", "slow", 50);
    int silent[100], deaf = attach_connect(d), fd;
    int64_t t0;
    Frontend *f;

    for (unsigned i = 0; i < G_N_ELEMENTS(silent); i++) {
        silent[i] = attach_connect(d);
    }
    for (unsigned i = 0; i < 1000 && attach_send(deaf, &good, 8, NULL, 0); i++) {
    }
    t0 = g_get_monotonic_time();
    f = attach_vm(d, "eighth", "quick", 1, &fd);
    g_assert_cmpint((g_get_monotonic_time() - t0) / 1000, <, 3000);
    g_assert_true(gpu_still_works(f));
    frontend_free(f);
    close(fd);
    /* somebody who hangs up in the middle of the start gives the slice back */
    fd = attach_connect(d);
    g_assert_true(attach_send(fd, &good, sizeof(good), NULL, 0));
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    for (unsigned i = 0; i < G_N_ELEMENTS(silent); i++) {
        close(silent[i]);
    }
    close(deaf);
}

/* VMs by the dozen, all at once and again: no descriptor, no memory and no process stays. */
static void test_many_vms(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    unsigned fds = 0;

    for (unsigned round = 0; round < 3; round++) {
        Frontend *f[16];
        int fd[16];

        for (unsigned i = 0; i < 16; i++) {
            g_autofree char *name = g_strdup_printf("vm%u", i);

            f[i] = attach_vm(d, "sixteenth", name, i, &fd[i]);
        }
        for (unsigned i = 0; i < 16; i++) {
            if (f[i]) {
                g_assert_true(gpu_still_works(f[i]));
            }
            frontend_free(f[i]);
            close(fd[i]);
        }
        g_assert_true(vgpud_wait_vms(d, 0, SOON));
        if (round == 0) {
            fds = proc_fd_count(d->pid);
        }
    }
    g_assert_true(fds_settle(d, fds));
    {
        g_autoptr(GArray) left = proc_children(d->pid);

        g_assert_cmpuint(left->len, ==, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud/accepted", test_accepted);
    g_test_add_func("/vgpud/unknown-names", test_unknown_names);
    g_test_add_func("/vgpud/full", test_full);
    g_test_add_func("/vgpud/version", test_version);
    g_test_add_func("/vgpud/malformed", test_malformed);
    g_test_add_func("/vgpud/two-vms", test_two_vms);
    g_test_add_func("/vgpud/in-use", test_in_use);
    g_test_add_func("/vgpud/lost-and-rejoin", test_lost_and_rejoin);
    g_test_add_func("/vgpud/renderer-killed", test_renderer_killed);
    g_test_add_func("/vgpud/vgpud-killed", test_vgpud_killed);
    g_test_add_func("/vgpud/rejoin-after-restart", test_rejoin_after_restart);
    g_test_add_func("/vgpud/connection-closed", test_connection_closed);
    g_test_add_func("/vgpud/sandbox", test_sandbox);
    g_test_add_func("/vgpud/slow-clients", test_slow_clients);
    g_test_add_func("/vgpud/many-vms", test_many_vms);
    return g_test_run();
}
