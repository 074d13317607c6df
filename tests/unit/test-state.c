/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: what goes in comes out, and nothing else does any harm. */
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "state.h"

#define ERA "boot pid:[1]"

typedef struct Fixture {
    char *dir, *path;
    Books *books;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("vgpu-state-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "vgpud.state", NULL);
    f->books = books_new();
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    g_remove(f->path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0); /* no temporary file is left either */
    books_free(f->books);
    g_free(f->path);
    g_free(f->dir);
}

static Vm *add_vm(Books *books, const char *name, unsigned n)
{
    uint8_t bytes[16] = { [0] = n + 1 };
    char uuid[VM_UUID_TEXT];
    Vm *vm;

    books_uuid(bytes, uuid);
    vm = books_add(books, name, uuid, "vgpu0");
    vm->profile = g_strdup("quarter");
    vm->gpu = g_strdup("software0");
    vm->memory = (1ull << 40) + n;
    vm->share = 250000 + n;
    vm->max_outputs = 4;
    vm->max_width = 3840;
    vm->max_height = 2160;
    vm->max_contexts = 7;
    vm->apis = n % 2 ? PROFILE_API_VULKAN : PROFILE_API_GL | PROFILE_API_VULKAN;
    vm->held = n ? 1ull << 41 : 0;
    vm->priority = n % 3;
    vm->quantum_us = 500 + n;
    vm->frame_rate_limit = 30 + n;
    vm->hang_timeout_us = 5000000 + n;
    vm->no_3d = n & 1;
    vm->uuid_given = n & 1;
    vm->leased = !(n & 1);
    vm->cpus = 3;
    vm->exclusive = n & 1;
    vm->strict = !(n & 1);
    vm->owner = 1000;
    vm->qemu_pid = 7000 + n;
    vm->qemu_start = 1ull << 49;
    vm->pid = 100 + n;
    vm->pid_start = (1ull << 50) + n;
    return vm;
}

static struct stat stat_of(const Fixture *f)
{
    struct stat st = { 0 };

    g_assert_cmpint(stat(f->path, &st), ==, 0);
    return st;
}

/* What is there already is not written again; what is not, or no more, is. */
static void test_same(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f->books, "one", 0);
    struct stat first, second;

    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    first = stat_of(f);
    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    g_assert_cmpuint(stat_of(f).st_ino, ==, first.st_ino);
    vm->memory++;
    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    second = stat_of(f);
    g_assert_false(second.st_ino == first.st_ino && second.st_mtim.tv_nsec == first.st_mtim.tv_nsec);
    /* somebody has changed it, or taken it away */
    g_assert_true(g_file_set_contents(f->path, "rubbish", -1, NULL));
    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    g_assert_cmpint(stat_of(f).st_size, ==, second.st_size);
    g_assert_cmpint(g_unlink(f->path), ==, 0);
    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    g_assert_cmpint(stat_of(f).st_size, ==, second.st_size);
}

static void test_round_trip(Fixture *f, gconstpointer unused)
{
    g_autoptr(Books) back = books_new();
    g_autoptr(GError) error = NULL;
    Vm *none;

    add_vm(f->books, "plain", 0);
    add_vm(f->books, "odd [vm 7]\\n;= name \xc3\xa9", 1);
    none = add_vm(f->books, "no renderer", 2);
    none->pid = 0;
    none->pid_start = 0;
    g_assert_true(state_save(f->books, NULL, f->path, ERA, &error));
    g_assert_true(state_load(back, NULL, f->path, ERA, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(back->vms->len, ==, 2);      /* who has no renderer holds nothing after a restart */
    g_assert_cmpuint(back->departed->len, ==, 0); /* nor has it a QEMU */
    for (guint i = 0; i < back->vms->len; i++) {
        const Vm *a = f->books->vms->pdata[i], *b = back->vms->pdata[i];

        g_assert_cmpstr(a->name, ==, b->name);
        g_assert_cmpstr(a->uuid, ==, b->uuid);
        g_assert_cmpstr(a->device, ==, b->device);
        g_assert_cmpstr(a->profile, ==, b->profile);
        g_assert_cmpstr(a->gpu, ==, b->gpu);
        g_assert_cmpuint(a->memory, ==, b->memory);
        g_assert_cmpuint(a->held, ==, b->held);
        g_assert_cmpuint(a->share, ==, b->share);
        g_assert_cmpint(a->priority, ==, b->priority);
        g_assert_cmpuint(a->quantum_us, ==, b->quantum_us);
        g_assert_cmpuint(a->frame_rate_limit, ==, b->frame_rate_limit);
        g_assert_cmpuint(a->hang_timeout_us, ==, b->hang_timeout_us);
        g_assert_cmpint(a->no_3d, ==, b->no_3d);
        g_assert_cmpint(a->uuid_given, ==, b->uuid_given);
        g_assert_cmpint(a->leased, ==, b->leased);
        g_assert_cmpuint(a->max_outputs, ==, b->max_outputs);
        g_assert_cmpuint(a->max_width, ==, b->max_width);
        g_assert_cmpuint(a->max_height, ==, b->max_height);
        g_assert_cmpuint(a->max_contexts, ==, b->max_contexts);
        g_assert_cmpuint(a->apis, ==, b->apis);
        g_assert_cmpuint(a->cpus, ==, b->cpus);
        g_assert_cmpint(a->exclusive, ==, b->exclusive);
        g_assert_cmpint(a->strict, ==, b->strict);
        g_assert_cmpuint(a->slot, ==, b->slot);
        g_assert_cmpuint(a->owner, ==, b->owner);
        g_assert_cmpint(a->qemu_pid, ==, b->qemu_pid);
        g_assert_cmpuint(a->qemu_start, ==, b->qemu_start);
        g_assert_cmpint(a->pid, ==, b->pid);
        g_assert_cmpuint(a->pid_start, ==, b->pid_start);
    }
}

static void test_no_file(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(state_load(f->books, NULL, f->path, ERA, &error));
    g_assert_cmpuint(f->books->vms->len, ==, 0);
}

/* After a boot, or in another pid namespace, the pids mean other processes. */
static void test_other_era(Fixture *f, gconstpointer unused)
{
    g_autoptr(Books) back = books_new();

    add_vm(f->books, "a", 0);
    g_assert_true(state_save(f->books, NULL, f->path, "another boot", NULL));
    g_assert_true(state_load(back, NULL, f->path, ERA, NULL));
    g_assert_cmpuint(back->vms->len, ==, 0);
}

static void test_garbage(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *text;
        gssize length;
    } cases[] = {
        { "", 0 },
        { "\0\0\0\0", 4 },
        { "hello", -1 },
        { "[vgpud", -1 },
        { "[other]\nversion=1\n", -1 },
        { "[vgpud]\nversion=99\nera=" ERA "\n", -1 },
        { "[vgpud]\nera=" ERA "\n", -1 },
        { "[vgpud]\nversion=3\n\xff\xfe=\xff\n", -1 },
        { "[vgpud]\nversion=3\nera=" ERA "\n\0[vm 0]\n", 40 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_true(g_file_set_contents(f->path, cases[i].text, cases[i].length, NULL));
        if (state_load(f->books, NULL, f->path, ERA, &error)) {
            g_test_message("case %u is taken", i);
            g_test_fail();
            continue;
        }
        g_assert_true(strstr(error->message, f->path) != NULL);
    }
    g_assert_cmpuint(f->books->vms->len, ==, 0);
}

/* One damaged entry is left out, with a warning; its neighbours are kept. */
static void test_damaged_entry(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *from, *to;
    } damages[] = {
        { "pid=101\n", "pid=1\n" },
        { "pid=101\n", "pid=-1\n" },
        { "pid=101\n", "pid=99999999999\n" },
        { "pid=101\n", "" },
        { "pid=101\n", "pid=1x\n" },
        { "pid=101\n", "pid=0\n" }, /* and a start time */
        { "pid-start=1125899906842625\n", "pid-start=0\n" },
        { "qemu-pid=7001\n", "qemu-pid=1\n" },
        { "memory=1099511627777\n", "memory=0\n" },
        { "memory=1099511627777\n", "memory=18446744073709551615\n" },
        { "name=b\n", "" },
        { "priority=1\n", "priority=3\n" },
        { "quantum-us=501\n", "quantum-us=30001\n" },
        { "frame-rate-limit=31\n", "frame-rate-limit=1001\n" },
        { "hang-timeout-us=5000001\n", "hang-timeout-us=3600000001\n" },
        { "share=250001\n", "share=0\n" },
        { "uuid=02", "uuid=zz" },
        { "uuid=02000000", "uuid=01000000" },
    };
    g_autofree char *good = NULL;

    add_vm(f->books, "a", 0);
    add_vm(f->books, "b", 1);
    add_vm(f->books, "c", 2);
    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    g_assert_true(g_file_get_contents(f->path, &good, NULL, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autoptr(Books) back = books_new();
        g_autoptr(GString) bad = g_string_new(good);

        g_assert_cmpuint(g_string_replace(bad, damages[i].from, damages[i].to, 0), ==, 1);
        g_assert_true(g_file_set_contents(f->path, bad->str, -1, NULL));
        g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*damaged*");
        g_assert_true(state_load(back, NULL, f->path, ERA, NULL));
        g_test_assert_expected_messages();
        g_assert_cmpuint(back->vms->len, ==, 2);
        g_assert_cmpstr(((Vm *)back->vms->pdata[1])->name, ==, "c");
    }
}

static void ignore_log(const char *domain, GLogLevelFlags level, const char *message, gpointer opaque)
{
}

/* Any cut of a good file: refused or taken in part, never a crash, never a half VM. */
static void test_truncated(Fixture *f, gconstpointer unused)
{
    g_autofree char *good = NULL;
    gsize length;

    g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_FLAG_FATAL);
    g_log_set_default_handler(ignore_log, NULL); /* a warning for each cut */
    add_vm(f->books, "a", 0);
    add_vm(f->books, "b", 1);
    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    g_assert_true(g_file_get_contents(f->path, &good, &length, NULL));
    for (gsize n = 0; n < length; n += 7) {
        g_autoptr(Books) back = books_new();

        g_assert_true(g_file_set_contents(f->path, good, n, NULL));
        if (state_load(back, NULL, f->path, ERA, NULL)) {
            for (guint i = 0; i < back->vms->len; i++) {
                const Vm *vm = back->vms->pdata[i];

                g_assert_true(vm->name && vm->profile && vm->gpu && vm->memory && vm->pid > 1);
            }
        } else {
            g_assert_cmpuint(back->vms->len, ==, 0);
        }
    }
    g_log_set_default_handler(g_log_default_handler, NULL);
}

/* A VM whose QEMU lives is remembered, and by no other process, device or name. */
static void test_departed(Fixture *f, gconstpointer unused)
{
    g_autoptr(Books) back = books_new();
    VmProcess self = { .pid = getpid(), .device = "vgpu0", .name = "lost" }, other;
    Vm *lost = add_vm(f->books, "lost", 0), *gone = add_vm(f->books, "gone", 1);

    g_assert_true(process_start_time(getpid(), &self.start));
    lost->qemu_pid = self.pid;
    lost->qemu_start = self.start;
    lost->no_3d = true;
    lost->pid = 0;
    lost->pid_start = 0;
    books_depart(f->books, gone); /* its QEMU is no process */
    g_assert_cmpuint(f->books->vms->len, ==, 1);
    g_assert_cmpuint(f->books->departed->len, ==, 0);
    g_assert_true(state_save(f->books, NULL, f->path, ERA, NULL));
    g_assert_true(state_load(back, NULL, f->path, ERA, NULL)); /* lost at the restart */
    g_assert_cmpuint(back->vms->len, ==, 0);
    g_assert_cmpuint(back->departed->len, ==, 1);
    g_assert_true(state_save(back, NULL, f->path, ERA, NULL));
    g_assert_true(state_load(f->books, NULL, f->path, ERA, NULL)); /* and at the next */
    other = self;
    other.start++;
    g_assert_null(books_return(back, &other));
    other = self;
    other.name = "other";
    g_assert_null(books_return(back, &other));
    other = self;
    other.device = "vgpu1";
    g_assert_null(books_return(back, &other));
    {
        Vm *was = books_return(back, &self);

        g_assert_nonnull(was);
        g_assert_true(was->no_3d);
        g_assert_cmpuint(was->share, ==, 250000);
        books_forget(was);
    }
    g_assert_null(books_return(back, &self));
}

/* So many are remembered, and of one user so many that others' stay. */
static void test_departed_bounds(void)
{
    g_autoptr(Books) books = books_new();
    uint64_t start;

    g_assert_true(process_start_time(getpid(), &start));
    for (unsigned i = 0; i < 200; i++) {
        g_autofree char *name = g_strdup_printf("vm%u", i);
        Vm *vm = add_vm(books, name, i % 100);

        vm->owner = i == 0 ? 1 : 2;
        vm->qemu_pid = getpid();
        vm->qemu_start = start;
        books_depart(books, vm);
    }
    g_assert_cmpuint(books->vms->len, ==, 0);
    g_assert_cmpuint(books->departed->len, ==, BOOKS_DEPARTED_MAX / 16 + 1);
    books_forget(books_return(books, &(VmProcess){ getpid(), start, "vgpu0", "vm0" }));
    g_assert_cmpuint(books->departed->len, ==, BOOKS_DEPARTED_MAX / 16);
}

static void test_nil_uuid(void)
{
    static const uint8_t nil[16],
        one[16] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8 };
    char a[VM_UUID_TEXT], b[VM_UUID_TEXT];

    books_uuid(nil, a);
    books_uuid(nil, b);
    g_assert_true(g_uuid_string_is_valid(a));
    g_assert_cmpstr(a, !=, b); /* two VMs without -uuid are two VMs */
    books_uuid(one, a);
    g_assert_cmpstr(a, ==, "12345678-9abc-def0-0102-030405060708");
}

/* A pid alone is not a process: the start time must be the same. */
static void test_process(void)
{
    uint64_t start, bytes;
    int fd;

    g_assert_true(process_start_time(getpid(), &start));
    g_assert_true(process_own_memory(getpid(), &bytes));
    g_assert_cmpuint(bytes, >, 0);
    fd = process_open(getpid(), start);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_cmpint(process_open(getpid(), start + 1), ==, -1);
    g_assert_cmpint(process_open(1 << 30, start), ==, -1);
}

/* Dead, but its parent has not asked yet: as good as gone. */
static void test_ending(void)
{
    uint64_t start;
    siginfo_t info;
    pid_t child = fork();

    if (child == 0) {
        pause();
        _exit(0);
    }
    g_assert_true(process_start_time(child, &start));
    g_assert_false(process_is_ending(child, start));
    g_assert_true(process_is_ending(child, start + 1)); /* the pid is another's by now */
    kill(child, SIGKILL);
    g_assert_cmpint(waitid(P_PID, child, &info, WEXITED | WNOWAIT), ==, 0);
    g_assert_true(process_is_ending(child, start));
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
    g_assert_true(process_is_ending(child, start));
}

int main(int argc, char **argv)
{
    umask(022);
    g_test_init(&argc, &argv, NULL);
    g_test_add("/state/round-trip", Fixture, NULL, set_up, test_round_trip, tear_down);
    g_test_add("/state/same", Fixture, NULL, set_up, test_same, tear_down);
    g_test_add("/state/no-file", Fixture, NULL, set_up, test_no_file, tear_down);
    g_test_add("/state/other-era", Fixture, NULL, set_up, test_other_era, tear_down);
    g_test_add("/state/garbage", Fixture, NULL, set_up, test_garbage, tear_down);
    g_test_add("/state/damaged-entry", Fixture, NULL, set_up, test_damaged_entry, tear_down);
    g_test_add("/state/truncated", Fixture, NULL, set_up, test_truncated, tear_down);
    g_test_add("/state/departed", Fixture, NULL, set_up, test_departed, tear_down);
    g_test_add_func("/books/departed-bounds", test_departed_bounds);
    g_test_add_func("/books/nil-uuid", test_nil_uuid);
    g_test_add_func("/process/identity", test_process);
    g_test_add_func("/process/ending", test_ending);
    return g_test_run();
}
