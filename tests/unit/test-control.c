/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes to running VMs: what is read, what is refused, and that it is all of a change or none. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>

#include "control.h"
#include "hangs.h"
#include "settings.h"
#include "state.h"
#include "units.h"

#define ERA "boot pid:[1]"

typedef struct Fixture {
    Daemon d;
    char *dir;
} Fixture;

static void add_gpu(Fixture *f, const char *name, uint64_t mib, bool software)
{
    Gpu *g = g_new0(Gpu, 1);

    g->name = g_strdup(name);
    g->node = software ? NULL : g_strdup("/dev/dri/none");
    g->memory = mib * MIB;
    g_ptr_array_add(f->d.gpus, g);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    static const char text[] =
        "[cad]\nmemory=2G\nshare=40%\npriority=high\nquantum=4ms\nframe-rate-limit=60\n"
        "hang-timeout=3s\nmax-contexts=9\napis=gl\nmax-resolution=1920x1080\n"
        "[alone]\nmemory=25%\nisolation=exclusive\n[twocpus]\nmemory=1G\ncpus=2\n"
        "[strict]\nmemory=1G\ncpus=2\nisolation=strict\n";
    g_autoptr(Ini) ini = ini_parse("p.conf", text, strlen(text), NULL);

    f->dir = g_dir_make_tmp("vgpu-control-XXXXXX", NULL);
    f->d.config = config_new();
    f->d.profiles = profile_set_new();
    f->d.gpus = g_ptr_array_new_with_free_func(gpu_free);
    f->d.books = books_new();
    f->d.state_path = g_build_filename(f->dir, "vgpud.state", NULL);
    f->d.era = g_strdup(ERA);
    g_assert_true(profile_set_add(f->d.profiles, ini, NULL));
    add_gpu(f, "gpu0", 8192, false);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    for (guint i = 0; i < f->d.books->vms->len; i++) {
        Vm *vm = f->d.books->vms->pdata[i];

        g_clear_pointer(&vm->page, g_free); /* not a map, as it is in vgpud */
    }
    g_remove(f->d.state_path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    config_free(f->d.config);
    profile_set_free(f->d.profiles);
    g_ptr_array_unref(f->d.gpus);
    books_free(f->d.books);
    g_free(f->d.state_path);
    g_free(f->d.era);
    g_free(f->dir);
}

/* A running VM with that profile: a page, and a process that is none. */
static Vm *add_vm(Fixture *f, const char *name, const char *profile)
{
    uint8_t bytes[16] = { [0] = f->d.books->vms->len + 1 };
    char uuid[VM_UUID_TEXT];
    Vm *vm;

    books_uuid(bytes, uuid);
    vm = books_add(f->d.books, name, uuid, "vgpu0");
    vm->profile = g_strdup(profile);
    vm->gpu = g_strdup("gpu0");
    settings_from_profile(vm, profile_set_find(f->d.profiles, profile), f->d.gpus->pdata[0], 8);
    vm->max_outputs = 1;
    vm->state = VM_RUNNING;
    vm->pid = G_MAXINT32 - 1;
    vm->pid_start = 1;
    vm->daemon = &f->d;
    vm->page = g_new0(struct vgpu_stats, 1);
    vm->page->memory_limit = vm->memory;
    return vm;
}

/* "share=30 memory=2G" to a change, applied: NULL, or the sentence. */
static char *apply(Fixture *f, Vm *vm, const char *words)
{
    g_auto(GStrv) list = g_strsplit(words, " ", -1);
    g_autoptr(GError) error = NULL;
    ControlChange c = { 0 };
    bool ok = true;

    for (unsigned i = 0; ok && list[i]; i++) {
        g_auto(GStrv) pair = g_strsplit(list[i], "=", 2);

        ok = control_change_parse(&c, pair[0], pair[1], &error);
    }
    ok = ok && control_apply(&f->d, vm, &c, &error);
    g_assert_cmpint(ok, ==, error == NULL);
    control_change_clear(&c);
    return error ? g_strdup(error->message) : NULL;
}

#define ASSERT_APPLIES(f, vm, words)                                                                         \
    do {                                                                                                     \
        g_autofree char *why_ = apply(f, vm, words);                                                         \
        g_assert_cmpstr(why_, ==, NULL);                                                                     \
    } while (0)

#define ASSERT_REFUSES(f, vm, words, sentence)                                                               \
    do {                                                                                                     \
        g_autofree char *why_ = apply(f, vm, words);                                                         \
        g_assert_cmpstr(why_, ==, sentence);                                                                 \
    } while (0)

static void test_several_values(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "quarter");

    ASSERT_APPLIES(f, vm, "share=30 memory=3G quantum=4ms priority=high frame-rate-limit=60 hang-timeout=5s");
    g_assert_cmpuint(vm->share, ==, 300000);
    g_assert_cmpuint(vm->memory, ==, 3 * GIB);
    g_assert_cmpuint(vm->page->memory_limit, ==, 3 * GIB);
    g_assert_cmpuint(vm->quantum_us, ==, 4000);
    g_assert_cmpint(vm->priority, ==, PROFILE_HIGH);
    g_assert_cmpuint(vm->frame_rate_limit, ==, 60);
    g_assert_cmpuint(vm->hang_timeout_us, ==, 5000000);
    g_assert_cmpstr(vm->profile, ==, "quarter");
    /* what is not named stays */
    ASSERT_APPLIES(f, vm, "share=12.5%");
    g_assert_cmpuint(vm->share, ==, 125000);
    g_assert_cmpuint(vm->memory, ==, 3 * GIB);
    ASSERT_APPLIES(f, vm, "memory=50% quantum=0 frame-rate-limit=0");
    g_assert_cmpuint(vm->memory, ==, 4 * GIB);
    g_assert_cmpuint(vm->quantum_us, ==, 0);
    g_assert_cmpuint(vm->frame_rate_limit, ==, 0);
    g_assert_cmpint(vm->priority, ==, PROFILE_HIGH);
}

static void test_profile(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "quarter");

    vm->max_outputs = 3;
    ASSERT_APPLIES(f, vm, "profile=cad");
    g_assert_cmpstr(vm->profile, ==, "cad");
    g_assert_cmpuint(vm->memory, ==, 2 * GIB);
    g_assert_cmpuint(vm->share, ==, 400000);
    g_assert_cmpint(vm->priority, ==, PROFILE_HIGH);
    g_assert_cmpuint(vm->quantum_us, ==, 4000);
    g_assert_cmpuint(vm->frame_rate_limit, ==, 60);
    g_assert_cmpuint(vm->hang_timeout_us, ==, 3000000);
    g_assert_cmpuint(vm->max_contexts, ==, 9);
    g_assert_cmpuint(vm->apis, ==, PROFILE_API_GL);
    g_assert_cmpuint(vm->max_width, ==, 1920);
    g_assert_cmpuint(vm->max_outputs, ==, 3); /* QEMU has that many */
    /* values on top, in whatever order they are said */
    ASSERT_APPLIES(f, vm, "share=10% profile=half");
    g_assert_cmpstr(vm->profile, ==, "half");
    g_assert_cmpuint(vm->memory, ==, 4 * GIB);
    g_assert_cmpuint(vm->share, ==, 100000);
    g_assert_cmpint(vm->priority, ==, PROFILE_NORMAL);
}

/* One bad value of several: nothing of the others is taken. */
static void test_all_or_none(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "quarter");
    Vm before = *vm;

    add_vm(f, "win10", "half");
    ASSERT_REFUSES(
        f, vm, "priority=high share=30 memory=5G",
        "VM a would have 5120 MiB of GPU memory instead of 2048; 2048 of 8192 MiB are free on gpu0 "
        "(a: 2048, win10: 4096)");
    ASSERT_REFUSES(f, vm, "share=50 profile=nope",
                   "there is no profile 'nope'; profiles are: full, half, quarter, eighth, sixteenth, cad, "
                   "alone, twocpus, strict");
    ASSERT_REFUSES(
        f, vm, "profile=full",
        "VM a would have 8192 MiB of GPU memory instead of 2048; 2048 of 8192 MiB are free on gpu0 "
        "(a: 2048, win10: 4096)");
    ASSERT_REFUSES(f, vm, "profile=alone",
                   "VM a would have gpu0 for itself (isolation=exclusive), but VM win10 uses it");
    g_assert_cmpmem(vm, sizeof(*vm), &before, sizeof(before));
    g_assert_cmpuint(vm->page->memory_limit, ==, 2 * GIB);
    g_assert_false(g_file_test(f->d.state_path, G_FILE_TEST_EXISTS));
    ASSERT_APPLIES(f, vm, "memory=4G"); /* all that is free beside the other one */
}

static void test_bad_values(Fixture *f, gconstpointer unused)
{
    static const char *const bad[] = {
        "share=0",
        "share=-1",
        "share=101",
        "share=0%",
        "share=",
        "memory=0",
        "memory=-1G",
        "memory=15M",
        "memory=99999999999G",
        "memory=101%",
        "quantum=31ms",
        "quantum=499us",
        "quantum=-1ms",
        "priority=urgent",
        "priority=",
        "frame-rate-limit=1001",
        "frame-rate-limit=-1",
        "hang-timeout=99ms",
        "hang-timeout=0",
        "hang-timeout=2h",
        "profile=",
        "displays=2",
        "cpus=1",
        "isolation=shared",
        "groups=x",
        "colour=red",
        "=",
        "share=1 share=1",
        "profile=half profile=half",
    };
    Vm *vm = add_vm(f, "a", "quarter");
    Vm before = *vm;
    ControlChange none = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *why = apply(f, vm, bad[i]);

        if (!why) {
            g_test_message("'%s' is taken", bad[i]);
            g_test_fail();
        }
    }
    ASSERT_REFUSES(f, vm, "priority=urgent", "priority=urgent is not low, normal or high");
    ASSERT_REFUSES(
        f, vm, "cpus=1",
        "a running VM has no 'cpus' to change; there are: profile, share, memory, quantum, priority, "
        "frame-rate-limit, hang-timeout");
    ASSERT_REFUSES(f, vm, "share=1 share=2", "share is there twice: say it once");
    g_assert_false(control_apply(&f->d, vm, &none, NULL));
    g_assert_cmpmem(vm, sizeof(*vm), &before, sizeof(before));
}

/* What came in does not come back as it was: it goes to logs and terminals. */
static void test_hostile_text(Fixture *f, gconstpointer unused)
{
    g_autofree char *nasty = g_strnfill(100000, 'x'), *long_value = NULL, *long_key = NULL, *a = NULL,
                    *b = NULL;
    Vm *vm = add_vm(f, "a", "quarter");
    g_autoptr(GError) error = NULL;

    nasty[1] = '\033';
    nasty[2] = (char)0xff;
    long_value = g_strconcat("priority=", nasty, NULL);
    a = apply(f, vm, long_value);
    long_key = g_strconcat(nasty, "=1", NULL);
    b = apply(f, vm, long_key);
    g_assert_cmpuint(strlen(a), <, 400);
    g_assert_cmpuint(strlen(b), <, 400);
    g_assert_null(strchr(a, '\033'));
    g_assert_null(strchr(b, '\033'));
    g_assert_null(control_find_vm(&f->d, nasty, &error));
    g_assert_cmpuint(strlen(error->message), <, 400);
    g_assert_null(strchr(error->message, '\033'));
}

/* Below what is in use: the limit falls at once, what is there stays, and stays booked. */
static void test_memory_below_use(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "half"), *other = add_vm(f, "b", "quarter");
    size_t count;

    vm->page->memory_used = 3 * GIB;
    ASSERT_APPLIES(f, vm, "memory=1G");
    g_assert_cmpuint(vm->memory, ==, 1 * GIB);
    g_assert_cmpuint(vm->page->memory_limit, ==, 1 * GIB);
    g_assert_cmpuint(vm->held, ==, 3 * GIB);
    {
        g_autofree AdmissionBooking *b = books_bookings(f->d.books, &count);

        g_assert_cmpuint(admission_free(f->d.gpus->pdata[0], b, count), ==, 3 * GIB);
    }
    ASSERT_REFUSES(
        f, other, "memory=6G",
        "VM b would have 6144 MiB of GPU memory instead of 2048; 3072 of 8192 MiB are free on gpu0 "
        "(a: 3072, b: 2048)");
    /* it lets go: what is held only falls, whatever it claims later */
    vm->page->memory_used = 2 * GIB;
    control_follow_memory(&f->d, vm);
    g_assert_cmpuint(vm->held, ==, 2 * GIB);
    vm->page->memory_used = UINT64_MAX;
    control_follow_memory(&f->d, vm);
    g_assert_cmpuint(vm->held, ==, 2 * GIB);
    vm->page->memory_used = 100 * MIB;
    vm->resident = 2 * GIB; /* the kernel says that it is not gone yet */
    control_follow_memory(&f->d, vm);
    g_assert_cmpuint(vm->held, ==, 2 * GIB - 256 * MIB);
    vm->resident = 300 * MIB;
    control_follow_memory(&f->d, vm);
    g_assert_cmpuint(vm->held, ==, 0);
    ASSERT_APPLIES(f, other, "memory=6G");
}

/* A renderer's claim: it can keep what it had, and never more. */
static void test_claimed_use(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "half");

    vm->page->memory_used = UINT64_MAX;
    ASSERT_APPLIES(f, vm, "memory=1G");
    g_assert_cmpuint(vm->held, ==, 4 * GIB);
    ASSERT_APPLIES(f, vm, "memory=512M");
    g_assert_cmpuint(vm->held, ==, 4 * GIB);
    /* growing within what is booked asks for nothing new, beyond it for all of it */
    add_vm(f, "b", "quarter");
    add_vm(f, "c", "quarter");
    ASSERT_APPLIES(f, vm, "memory=4G");
    g_assert_cmpuint(vm->held, ==, 0);
    ASSERT_REFUSES(f, vm, "memory=4097M",
                   "VM a would have 4097 MiB of GPU memory instead of 4096; 0 of 8192 MiB are free on gpu0 "
                   "(a: 4096, b: 2048, c: 2048)");
}

/* A VM whose renderer is lost holds nothing. */
static void test_memory_without_renderer(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "half");

    g_clear_pointer(&vm->page, g_free);
    vm->pid = 0;
    vm->state = VM_LOST;
    ASSERT_APPLIES(f, vm, "memory=1G share=1");
    g_assert_cmpuint(vm->held, ==, 0);
    g_assert_cmpuint(vm->memory, ==, 1 * GIB);
}

static void test_find_vm(Fixture *f, gconstpointer unused)
{
    Vm *a = add_vm(f, "a", "sixteenth"), *b1 = add_vm(f, "b", "sixteenth"), *b2 = add_vm(f, "b", "sixteenth");
    Vm *second = books_add(f->d.books, "a2", a->uuid, "vgpu1");
    g_autoptr(GError) none = NULL, many = NULL, devices = NULL;
    g_autofree char *full = g_strdup_printf("%s/vgpu1", a->uuid), *sentence = NULL;

    second->gpu = g_strdup("gpu0");
    g_assert_true(control_find_vm(&f->d, "a", NULL) == a);
    g_assert_true(control_find_vm(&f->d, b1->uuid, NULL) == b1);
    g_assert_true(control_find_vm(&f->d, full, NULL) == second);
    g_assert_null(control_find_vm(&f->d, "nope", &none));
    g_assert_error(none, VGPUD_ERROR, CONTROL_ERROR_UNKNOWN);
    g_assert_cmpstr(none->message, ==, "there is no VM 'nope'");
    g_assert_null(control_find_vm(&f->d, "b", &many));
    g_assert_error(many, VGPUD_ERROR, CONTROL_ERROR_AMBIGUOUS);
    sentence = g_strdup_printf("'b' means 2 VMs; say which: %s/vgpu0, %s/vgpu0", b1->uuid, b2->uuid);
    g_assert_cmpstr(many->message, ==, sentence);
    g_assert_null(control_find_vm(&f->d, a->uuid, &devices));
    g_assert_error(devices, VGPUD_ERROR, CONTROL_ERROR_AMBIGUOUS);
    g_assert_null(control_find_vm(&f->d, "", NULL));
}

static void test_policy(Fixture *f, gconstpointer unused)
{
    Gpu *gpu = f->d.gpus->pdata[0];
    g_autoptr(GError) no_gpu = NULL, busy = NULL;
    SchedPolicy p;

    for (SchedPolicy i = SCHED_BEST_EFFORT; i <= SCHED_EXCLUSIVE; i++) {
        g_assert_true(control_policy_parse(control_policy_name(i), &p) && p == i);
    }
    g_assert_false(control_policy_parse("fair", &p));
    g_assert_cmpint(gpu->policy, ==, SCHED_BEST_EFFORT);
    g_assert_true(control_policy(&f->d, "gpu0", SCHED_FIXED_SHARE, NULL));
    g_assert_cmpint(gpu->policy, ==, SCHED_FIXED_SHARE);
    g_assert_false(control_policy(&f->d, "gpu9", SCHED_FIXED_SHARE, &no_gpu));
    g_assert_cmpstr(no_gpu->message, ==, "there is no GPU 'gpu9'; GPUs of this host are: gpu0");
    add_vm(f, "a", "quarter");
    g_assert_true(control_policy(&f->d, "gpu0", SCHED_EXCLUSIVE, NULL));
    g_assert_true(control_policy(&f->d, "gpu0", SCHED_EQUAL_SHARE, NULL));
    add_vm(f, "b", "quarter");
    g_assert_false(control_policy(&f->d, "gpu0", SCHED_EXCLUSIVE, &busy));
    g_assert_cmpint(gpu->policy, ==, SCHED_EQUAL_SHARE);
    g_assert_cmpstr(busy->message, ==,
                    "2 VMs are on gpu0, and policy exclusive is for one: shut the others down first");
}

/* What was changed by hand outlives vgpud. */
static void test_kept(Fixture *f, gconstpointer unused)
{
    g_autoptr(Books) back = books_new();
    GPtrArray *gpus = g_ptr_array_new_with_free_func(gpu_free);
    Vm *vm = add_vm(f, "a", "half"), *again;
    const Vm hung = { .name = vm->device, .uuid_given = true, .device = vm->device };
    Gpu *gpu = g_new0(Gpu, 1);

    gpu->name = g_strdup("gpu0");
    g_ptr_array_add(gpus, gpu);
    vm->page->memory_used = 2 * GIB;
    ASSERT_APPLIES(f, vm, "share=30 memory=1G quantum=4ms priority=low frame-rate-limit=25 hang-timeout=7s");
    g_assert_true(control_policy(&f->d, "gpu0", SCHED_FIXED_SHARE, NULL));
    for (unsigned i = 0; i < HANGS_MOST; i++) { /* of one that is not here now */
        hangs_add(f->d.books->hangs, &hung, i);
    }
    vm->state = VM_LOST; /* or a process would be killed */
    g_assert_true(control_stop(&f->d, vm, "by the test", NULL));
    g_assert_true(state_load(back, gpus, f->d.state_path, ERA, NULL));
    g_assert_cmpuint(back->vms->len, ==, 1);
    again = back->vms->pdata[0];
    g_assert_cmpuint(again->share, ==, 300000);
    g_assert_cmpuint(again->memory, ==, 1 * GIB);
    g_assert_cmpuint(again->held, ==, 2 * GIB);
    g_assert_cmpuint(again->quantum_us, ==, 4000);
    g_assert_cmpint(again->priority, ==, PROFILE_LOW);
    g_assert_cmpuint(again->frame_rate_limit, ==, 25);
    g_assert_cmpuint(again->hang_timeout_us, ==, 7000000);
    g_assert_true(again->no_3d);
    g_assert_true(hangs_off(back->hangs, &hung));
    g_assert_cmpint(gpu->policy, ==, SCHED_FIXED_SHARE);
    g_assert_true(gpu->policy_set);
    /* a VM of before the boot is gone; a policy is not, and nor is what was decided of a VM that hung */
    gpu->policy = SCHED_BEST_EFFORT;
    hangs_forget(back->hangs, &hung);
    g_assert_true(state_load(back, gpus, f->d.state_path, "another boot", NULL));
    g_assert_cmpint(gpu->policy, ==, SCHED_FIXED_SHARE);
    g_assert_true(hangs_off(back->hangs, &hung));
    g_ptr_array_unref(gpus);
}

/* A policy that somebody wrote into the file by hand, and wrongly. */
static void test_damaged_policy(Fixture *f, gconstpointer unused)
{
    Gpu *gpu = f->d.gpus->pdata[0];

    g_assert_true(g_file_set_contents(
        f->d.state_path, "[vgpud]\nversion=3\nera=" ERA "\n[gpu gpu0]\npolicy=fair\n", -1, NULL));
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*[gpu gpu0] is damaged*");
    g_assert_true(state_load(f->d.books, f->d.gpus, f->d.state_path, ERA, NULL));
    g_test_assert_expected_messages();
    g_assert_cmpint(gpu->policy, ==, SCHED_BEST_EFFORT);
    g_assert_false(gpu->policy_set);
}

static void test_stop_and_allow(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "half");
    g_autoptr(GError) error = NULL;

    vm->state = VM_STARTING;
    g_assert_false(control_stop(&f->d, vm, "by the test", &error));
    g_assert_error(error, VGPUD_ERROR, CONTROL_ERROR_REFUSED);
    g_assert_cmpstr(error->message, ==, "VM a is starting: try again in a moment");
    g_assert_false(vm->no_3d);
    vm->state = VM_RUNNING;
    g_assert_true(control_allow(&f->d, vm, NULL)); /* it is allowed already */
    g_assert_cmpuint(vm->page->renew, ==, 0);
    g_assert_true(control_stop(&f->d, vm, "by the test", NULL));
    g_assert_false(hangs_off(f->d.books->hangs, vm)); /* that is for as long as its QEMU lives */
    for (unsigned i = 0; i < HANGS_MOST; i++) {
        hangs_add(f->d.books->hangs, vm, i);
    }
    g_assert_true(hangs_off(f->d.books->hangs, vm));
    g_assert_true(vm->no_3d);
    g_assert_cmpstr(vm->cause, ==, "by the test");
    g_assert_cmpint(vm->reset, ==, VM_RESET_OPERATOR);
    g_assert_true(control_allow(&f->d, vm, NULL));
    g_assert_false(vm->no_3d);
    g_assert_false(hangs_off(f->d.books->hangs, vm));
    g_assert_cmpuint(vm->page->renew, ==, 1);
}

static void test_lease(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "cad");
    LeaseSettings s;
    Gpu software = { .name = (char *)"software0", .memory = 8 * GIB };

    settings_for_lease(vm, f->d.gpus->pdata[0], 8, &s);
    g_assert_cmpuint(s.params.share_ppm, ==, 400000);
    g_assert_cmpint(s.params.priority, ==, SCHED_PRIORITY_HIGH);
    g_assert_cmpuint(s.params.quantum_ns, ==, 4000000);
    g_assert_cmpuint(s.params.width, ==, 1);
    g_assert_cmpuint(s.hang_timeout_ns, ==, 3000000000ull);
    g_assert_cmpuint(s.frame_interval_ns, ==, 16666666);
    g_assert_false(s.software);
    vm->cpus = 3;
    settings_for_lease(vm, &software, 8, &s);
    g_assert_cmpuint(s.params.width, ==, 3);
    g_assert_true(s.software);
    settings_for_lease(vm, &software, 2, &s); /* a host with fewer CPUs than once */
    g_assert_cmpuint(s.params.width, ==, 2);
    vm->cpus = 0;
    settings_for_lease(vm, &software, 8, &s);
    g_assert_cmpuint(s.params.width, ==, 8);
}

/* All of a GPU while it works there, however few CPUs it uses of it. */
static void test_strict(Fixture *f, gconstpointer unused)
{
    Vm *vm = add_vm(f, "a", "strict");
    LeaseSettings s;
    Gpu software = { .name = (char *)"software0", .memory = 8 * GIB };

    vm->cpus = 2;
    settings_for_lease(vm, &software, 8, &s);
    g_assert_cmpuint(s.params.width, ==, 8);
    g_assert_null(apply(f, vm, "profile=twocpus"));
    vm->cpus = 2;
    settings_for_lease(vm, &software, 8, &s);
    g_assert_cmpuint(s.params.width, ==, 2);
}

/* On a software GPU a larger share needs more CPUs, unless the profile says how many. */
static void test_cpus_follow_share(Fixture *f, gconstpointer unused)
{
    Gpu *software = g_new0(Gpu, 1);
    Vm *vm = add_vm(f, "a", "quarter"), *fixed = add_vm(f, "b", "twocpus");
    const Profile *quarter = profile_set_find(f->d.profiles, "quarter");

    software->memory = 8 * GIB;
    settings_from_profile(vm, quarter, software, 8);
    g_assert_cmpuint(vm->cpus, ==, 2);
    vm->share = 900000;
    settings_follow_share(vm, quarter, software, 8);
    g_assert_cmpuint(vm->cpus, ==, 8);
    fixed->share = 900000;
    settings_follow_share(fixed, profile_set_find(f->d.profiles, "twocpus"), software, 8);
    g_assert_cmpuint(fixed->cpus, ==, 2);
    gpu_free(software);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/control/" name, Fixture, NULL, set_up, func, tear_down)
    ADD("several-values", test_several_values);
    ADD("profile", test_profile);
    ADD("all-or-none", test_all_or_none);
    ADD("bad-values", test_bad_values);
    ADD("hostile-text", test_hostile_text);
    ADD("memory-below-use", test_memory_below_use);
    ADD("claimed-use", test_claimed_use);
    ADD("memory-without-renderer", test_memory_without_renderer);
    ADD("find-vm", test_find_vm);
    ADD("policy", test_policy);
    ADD("kept-over-a-restart", test_kept);
    ADD("damaged-policy", test_damaged_policy);
    ADD("stop-and-allow", test_stop_and_allow);
    ADD("lease", test_lease);
    ADD("strict", test_strict);
    ADD("cpus-follow-share", test_cpus_follow_share);
    return g_test_run();
}
