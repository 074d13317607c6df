/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Renderers that are forked from a zygote: in the same box as others, and nothing is lost with it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "census.h"
#include "picture.h"

#define SOON  20000
#define CROWD 20

static bool sanitized(void)
{
    if (g_getenv("VGPU_TEST_RENDERER_ARGS")) {
        g_test_skip("under a sanitizer renderers have no sandbox, and there is no zygote");
        return true;
    }
    return false;
}

static char *comm_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/comm", (int)pid);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : g_strdup("");
}

/* 0: there is none. */
static pid_t zygote_of(Vgpud *d)
{
    g_autoptr(GArray) children = proc_children(d->pid);

    for (guint i = 0; i < children->len; i++) {
        pid_t pid = g_array_index(children, pid_t, i);
        g_autofree char *comm = comm_of(pid);

        if (g_str_equal(comm, "vgpu-zygote") && proc_alive(pid)) {
            return pid;
        }
    }
    return 0;
}

static unsigned count_log(Vgpud *d, const char *text)
{
    off_t size = lseek(d->log_fd, 0, SEEK_END);
    g_autofree char *log = g_malloc0(size + 1);
    unsigned n = 0;

    if (pread(d->log_fd, log, size, 0) < 0) {
        return 0;
    }
    for (const char *at = log; (at = strstr(at, text)); at++) {
        n++;
    }
    return n;
}

static bool wait_log(Vgpud *d, const char *text, unsigned times)
{
    gint64 end = g_get_monotonic_time() + SOON * 1000ll;

    while (count_log(d, text) < times) {
        if (g_get_monotonic_time() > end) {
            g_test_fail_printf("vgpud's log does not have '%s' %u times", text, times);
            return false;
        }
        g_usleep(20000);
    }
    return true;
}

/* One whose n-th zygote is ready. */
static bool wait_ready(Vgpud *d, unsigned n)
{
    return wait_log(d, "the zygote is ready", n) && zygote_of(d) != 0;
}

static char *link_of(pid_t pid, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, what);
    char *to = g_file_read_link(path, NULL);

    return to ? to : g_strdup("");
}

/* It was not executed: then its program is the one that it is in the box. */
static bool is_of_zygote(pid_t pid)
{
    g_autofree char *exe = link_of(pid, "exe");

    return *exe && !g_str_equal(exe, "/vgpu-renderer");
}

static void check_works(Frontend *f, unsigned seed)
{
    if (!f) {
        return;
    }
    picture_resource(f, seed, BGRX, seed, 64, 64);
    g_assert_cmphex(gpu_set_scanout(f, 0, seed, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, seed, 0, 0, 64, 64), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    picture_check(f, 0, 0, 0, 64, 64, seed, 0, 0);
}

static uint32_t start_3d(Frontend *f)
{
    uint8_t caps[308];

    return gpu_capset(f, 1, 1, caps, sizeof(caps));
}

/* ---- the box ---- */

static char *file_of(pid_t pid, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, what);
    g_autofree char *text = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &text, &length, NULL)) {
        return g_strdup("cannot be read");
    }
    while (length && !text[length - 1]) {
        length--; /* of a command line written over: what is left of the room */
    }
    for (gsize i = 0; i < length; i++) {
        text[i] = text[i] ? text[i] : ' ';
    }
    return g_strndup(text, length);
}

/* A command line without the time that one started at. */
static char *untimed(char *text)
{
    char *at = strstr(text, " --clock-base=");

    if (at) {
        memmove(at, at + 1 + strcspn(at + 1, " "), strlen(at + 1 + strcspn(at + 1, " ")) + 1);
    }
    return text;
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *join_sorted(GPtrArray *lines)
{
    g_ptr_array_sort(lines, by_text);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}

/* Where, of what kind and how: not the numbers. */
static char *mounts_of(pid_t pid)
{
    g_autofree char *text = file_of(pid, "mountinfo");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);

    for (unsigned i = 0; lines[i] && *lines[i]; i++) {
        g_auto(GStrv) words = g_strsplit(lines[i], " ", -1);
        g_autofree char *rest = g_strjoinv(" ", words + 6);

        if (g_str_equal(words[4], "/proc/self")) {
            *words[3] = 0; /* its pid */
        }
        g_ptr_array_add(all, g_strdup_printf("%s %s %s %s", words[3], words[4], words[5], rest));
    }
    return join_sorted(all);
}

/* Numbers and kinds. */
static char *fds_of(pid_t pid)
{
    g_autofree char *folder = g_strdup_printf("/proc/%d/fd", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *what = g_strconcat("fd/", name, NULL);
        g_autofree char *to = link_of(pid, what);

        g_strdelimit(to, "0123456789", '#');
        g_strcanon(to, G_CSET_A_2_Z G_CSET_a_2_z "/-:", '#');
        g_ptr_array_add(all, g_strdup_printf("%s %.24s", name, to));
    }
    return join_sorted(all);
}

static char *owner_of(pid_t pid, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, what);
    struct stat st = { 0 };

    return lstat(path, &st) == 0 ? g_strdup_printf("%u %u", st.st_uid, st.st_gid) : g_strdup("none");
}

static char *threads_of(pid_t pid)
{
    g_autofree char *folder = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        pid_t tid = (pid_t)g_ascii_strtoull(name, NULL, 10);
        g_autofree char *comm = comm_of(tid), *filter = proc_status(tid, "Seccomp"),
                        *filters = proc_status(tid, "Seccomp_filters");

        g_ptr_array_add(all, g_strdup_printf("%s %s %s", comm, filter, filters));
    }
    return join_sorted(all);
}

static void same(const char *what, char *a, char *b)
{
    if (g_strcmp0(a, b)) {
        g_test_fail_printf("%s differ: '%s' of the zygote's, '%s' of the other", what, a, b);
    }
    g_free(a);
    g_free(b);
}

/* A thread gets its name a moment after it was made. */
static void same_threads(pid_t a, pid_t b)
{
    gint64 end = g_get_monotonic_time() + SOON * 1000ll;

    while (g_get_monotonic_time() < end) {
        g_autofree char *one = threads_of(a), *other = threads_of(b);

        if (g_str_equal(one, other)) {
            return;
        }
        g_usleep(20000);
    }
    same("threads", threads_of(a), threads_of(b));
}

static void compare(pid_t a, pid_t b)
{
    static const char *const fields[] = {
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "SigIgn",
        "SigBlk",
        "SigCgt",
        "ShdPnd",
        "Umask",
        "Cpus_allowed",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "Threads",
        "CoreDumping",
        "Speculation_Store_Bypass",
        "Mems_allowed",
        "THP_enabled",
    };
    static const char *const files[] = {
        "limits",  "oom_score_adj", "uid_map", "gid_map",     "setgroups",
        "cmdline", "environ",       "comm",    "personality", "timerslack_ns"
    };
    static const char *const spaces[] = { "user", "mnt", "pid", "net", "ipc", "uts", "cgroup" };

    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        same(fields[i], proc_status(a, fields[i]), proc_status(b, fields[i]));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        same(files[i], untimed(file_of(a, files[i])), untimed(file_of(b, files[i])));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(spaces); i++) {
        g_autofree char *what = g_strconcat("ns/", spaces[i], NULL);
        g_autofree char *one = link_of(a, what), *other = link_of(b, what);

        if (proc_same_namespace(a, spaces[i]) || g_str_equal(one, other)) {
            g_test_fail_printf("it shares the %s namespace", spaces[i]);
        }
    }
    same("mounts", mounts_of(a), mounts_of(b));
    same("descriptors", fds_of(a), fds_of(b));
    same_threads(a, b);
    /* of a process that is not dumpable */
    same("owners of mem", owner_of(a, "mem"), owner_of(b, "mem"));
    {
        g_autofree char *ns = proc_status(a, "NSpid");

        g_assert_true(ns && g_str_has_suffix(ns, "\t1"));
    }
}

static void test_same_box(void)
{
    g_autoptr(Vgpud) with = NULL, without = NULL;
    g_autoptr(Frontend) a = NULL, b = NULL;
    pid_t pa, pb;
    int fa, fb;

    if (sanitized()) {
        return;
    }
    with = vgpud_new("auto", NULL);
    without = vgpud_new("auto\nzygote = off", NULL);
    if (!wait_ready(with, 1) || !wait_log(without, "OpenGL starts when", 1)) {
        return;
    }
    a = attach_vm(with, "quarter", "one", 1, &fa);
    b = attach_vm(without, "quarter", "one", 1, &fb);
    check_works(a, 1);
    check_works(b, 1);
    pa = vgpud_renderer_pid(with, "one");
    pb = vgpud_renderer_pid(without, "one");
    g_assert_true(is_of_zygote(pa));
    g_assert_false(is_of_zygote(pb));
    g_assert_cmpint(zygote_of(without), ==, 0);
    compare(pa, pb);
    /* and once more where OpenGL runs */
    g_assert_cmphex(start_3d(a), ==, VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_cmphex(start_3d(b), ==, VIRTIO_GPU_RESP_OK_CAPSET);
    compare(pa, pb);
    close(fa);
    close(fb);
}

/* Nothing of one VM is in the next one's memory: the zygote forgets. */
static void test_forgets(void)
{
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(Frontend) a = NULL, b = NULL;
    g_autofree char *maps = NULL, *path = NULL, *mem = NULL;
    g_auto(GStrv) lines = NULL;
    int fa, fb, fd;
    pid_t zygote;

    if (sanitized()) {
        return;
    }
    d = vgpud_new("auto", NULL);
    if (!wait_ready(d, 1)) {
        return;
    }
    a = attach_vm(d, "quarter", "a-name-that-nobody-else-has", 1, &fa);
    b = attach_vm(d, "quarter", "two", 2, &fb);
    g_assert_true(is_of_zygote(vgpud_renderer_pid(d, "two")));
    zygote = zygote_of(d);
    maps = file_of(zygote, "maps");
    path = g_strdup_printf("/proc/%d/mem", (int)zygote);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    mem = g_malloc(1 << 20);
    lines = g_strsplit(maps, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        unsigned long from, to;
        char rights[5] = "";

        if (sscanf(lines[i], "%lx-%lx %4s", &from, &to, rights) != 3 || rights[1] != 'w') {
            continue;
        }
        for (unsigned long at = from; at < to; at += (1 << 20) - 64) {
            ssize_t n = pread(fd, mem, MIN(to - at, 1ul << 20), (off_t)at);

            if (n > 0 && memmem(mem, n, "nobody-else-has", 15)) {
                g_test_fail_printf("the zygote knows of the VM before, at %lx: %s", at, lines[i]);
            }
        }
    }
    close(fd);
    close(fa);
    close(fb);
}

/* ---- its end ---- */

static void test_killed(void)
{
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(Frontend) a = NULL, b = NULL, c = NULL;
    pid_t first, second;
    int fa, fb, fc;

    if (sanitized()) {
        return;
    }
    d = vgpud_new("auto", NULL);
    if (!wait_ready(d, 1)) {
        return;
    }
    a = attach_vm(d, "quarter", "one", 1, &fa);
    first = zygote_of(d);
    kill(first, SIGKILL);
    b = attach_vm(d, "quarter", "two", 2, &fb);
    check_works(a, 1);
    check_works(b, 2);
    g_assert_true(is_of_zygote(vgpud_renderer_pid(d, "one")));
    g_assert_false(is_of_zygote(vgpud_renderer_pid(d, "two")));
    if (!wait_ready(d, 2)) {
        return;
    }
    second = zygote_of(d);
    g_assert_cmpint(second, !=, first);
    c = attach_vm(d, "quarter", "three", 3, &fc);
    check_works(c, 3);
    g_assert_true(is_of_zygote(vgpud_renderer_pid(d, "three")));
    g_assert_false(proc_alive(first));
    close(fa);
    close(fb);
    close(fc);
    g_clear_pointer(&a, frontend_free);
    g_clear_pointer(&b, frontend_free);
    g_clear_pointer(&c, frontend_free);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    /* the second zygote, and no zombie of the first */
    {
        g_autoptr(GArray) children = proc_children(d->pid);

        g_assert_cmpuint(children->len, ==, 1);
    }
}

static void test_stopped(void)
{
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(Frontend) a = NULL;
    pid_t zygote;
    int fa;

    if (sanitized()) {
        return;
    }
    d = vgpud_new("auto", NULL);
    if (!wait_ready(d, 1)) {
        return;
    }
    zygote = zygote_of(d);
    kill(zygote, SIGSTOP);
    a = attach_vm(d, "quarter", "one", 1, &fa);
    check_works(a, 1);
    g_assert_false(is_of_zygote(vgpud_renderer_pid(d, "one")));
    g_assert_cmpuint(count_log(d, "it does not answer"), ==, 1);
    g_assert_false(proc_alive(zygote));
    close(fa);
}

/* It goes with its vgpud, whether that ends or is killed; its children do not. */
static void test_vgpud_ends(void)
{
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(Frontend) a = NULL;
    pid_t zygote, renderer;
    int fa;

    if (sanitized()) {
        return;
    }
    d = vgpud_new("auto", NULL);
    if (!wait_ready(d, 1)) {
        return;
    }
    a = attach_vm(d, "quarter", "one", 1, &fa);
    check_works(a, 1);
    renderer = vgpud_renderer_pid(d, "one");
    for (unsigned i = 0; i < 2; i++) {
        gint64 end = g_get_monotonic_time() + SOON * 1000ll;

        zygote = zygote_of(d);
        if (i) {
            kill(zygote, SIGSTOP);
        }
        vgpud_end(d, i ? SIGKILL : SIGTERM);
        while (proc_alive(zygote) && g_get_monotonic_time() < end) {
            g_usleep(10000);
        }
        g_assert_false(proc_alive(zygote));
        g_assert_true(proc_alive(renderer));
        check_works(a, 2 + i);
        if (!vgpud_run(d) || !wait_ready(d, 2 + i)) {
            return;
        }
        /* taken back, and watched as before */
        g_assert_cmpint(vgpud_renderer_pid(d, "one"), ==, renderer);
    }
    close(fa);
    g_clear_pointer(&a, frontend_free);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
}

/* An update of the renderer, or of a library: what was loaded and found is not used any more. */
static void test_changed(void)
{
    g_autofree char *folder = NULL, *program = NULL, *before = g_strdup(g_getenv("VGPU_RENDERER"));
    g_autofree char *text = NULL;
    g_autoptr(Vgpud) d = NULL;
    g_autoptr(Frontend) a = NULL, b = NULL, c = NULL;
    gsize length;
    pid_t first;
    int fa, fb, fc;

    if (sanitized()) {
        return;
    }
    folder = g_dir_make_tmp("zygote-XXXXXX", NULL);
    program = g_build_filename(folder, "vgpu-renderer", NULL);
    g_assert_true(g_file_get_contents(before, &text, &length, NULL));
    g_assert_true(g_file_set_contents_full(program, text, length, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
    g_setenv("VGPU_RENDERER", program, TRUE);
    d = vgpud_new("auto", NULL);
    g_setenv("VGPU_RENDERER", before, TRUE);
    if (!wait_ready(d, 1)) {
        return;
    }
    a = attach_vm(d, "quarter", "one", 1, &fa);
    first = zygote_of(d);
    g_assert_true(is_of_zygote(vgpud_renderer_pid(d, "one")));
    /* in its place, as a package is unpacked */
    g_assert_true(
        g_file_set_contents_full(program, text, length, G_FILE_SET_CONTENTS_CONSISTENT, 0755, NULL));
    b = attach_vm(d, "quarter", "two", 2, &fb);
    g_assert_cmpuint(count_log(d, "have changed"), ==, 1);
    g_assert_false(is_of_zygote(vgpud_renderer_pid(d, "two")));
    g_assert_cmpint(zygote_of(d), !=, first);
    check_works(a, 1);
    check_works(b, 2);
    if (wait_ready(d, 2)) {
        c = attach_vm(d, "quarter", "three", 3, &fc);
        check_works(c, 3);
        g_assert_true(is_of_zygote(vgpud_renderer_pid(d, "three")));
        g_assert_cmpuint(count_log(d, "have changed"), ==, 1);
        close(fc);
    }
    close(fa);
    close(fb);
    unlink(program);
    rmdir(folder);
}

/* ---- many ---- */

static void test_many(void)
{
    g_autoptr(Vgpud) d = NULL;
    Frontend *f[CROWD] = { NULL };
    int fd[CROWD];
    Census before;

    if (sanitized()) {
        return;
    }
    d = census_vgpud("auto", CROWD);
    if (!wait_log(d, "the zygote is ready", 1) || !zygote_of(d)) {
        return;
    }
    before = census_at_rest(d);
    for (unsigned i = 0; i < CROWD; i++) {
        g_autofree char *name = g_strdup_printf("vm%u", i);
        struct vgpu_attach_request r = attach_request("cell", name, i + 1);

        fd[i] = attach_connect(d);
        g_assert_true(attach_send(fd[i], &r, sizeof(r), NULL, 0));
    }
    for (unsigned i = 0; i < CROWD; i++) {
        FrontendOptions o = {
            .renderer = "virgl", .memory = CENSUS_CELL, .ram = 4ull << 20, .ring_size = 16
        };
        FrontendFds fds;
        AttachPacket p;

        if (!attach_receive(fd[i], &p, &fds, SOON) || p.hdr.type != VGPU_ATTACH_ACCEPTED) {
            g_test_fail_printf("VM %u: refused: %s", i, p.refused.message);
            return;
        }
        f[i] = frontend_adopt(&o, &fds);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        g_autofree char *name = g_strdup_printf("vm%u", i);

        check_works(f[i], 1);
        g_assert_true(is_of_zygote(vgpud_renderer_pid(d, name)));
        if (i % 5 == 0) {
            g_assert_cmphex(start_3d(f[i]), ==, VIRTIO_GPU_RESP_OK_CAPSET);
        }
    }
    for (unsigned i = 0; i < CROWD; i++) {
        frontend_free(f[i]);
        close(fd[i]);
    }
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_true(census_settle(d, &before));
    g_assert_cmpuint(count_log(d, "warning"), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/zygote/same-box", test_same_box);
    g_test_add_func("/zygote/forgets", test_forgets);
    g_test_add_func("/zygote/killed", test_killed);
    g_test_add_func("/zygote/stopped", test_stopped);
    g_test_add_func("/zygote/changed", test_changed);
    g_test_add_func("/zygote/vgpud-ends", test_vgpud_ends);
    g_test_add_func("/zygote/many", test_many);
    return g_test_run();
}
