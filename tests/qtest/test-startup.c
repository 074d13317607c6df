/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Start-ups that must fail, each with one clear sentence on QEMU's stderr that
 * names the value and the remedy; and property errors.  QEMU is started
 * directly here: libqtest takes an early exit for a crash.
 */
#include "qemu/osdep.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu/attach.h"

#define SHARED "-object memory-backend-memfd,id=mem,size=256M -machine memory-backend=mem "

/* Runs QEMU with these arguments; it must end with status 1 within 20 s.  Its stderr, to be freed. */
static char *refusal(const char *env, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static char *refusal(const char *env, const char *fmt, ...)
{
    g_autofree char *args = NULL, *command = NULL;
    g_autoptr(GError) error = NULL;
    char *err = NULL;
    va_list ap;
    int status;
    gint64 start = g_get_monotonic_time();

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    command = g_strdup_printf("env %s timeout -s KILL 20 %s -machine q35 -accel qtest -display none "
                              "-nodefaults -vga none -m 256M -name refused -S %s",
                              env, getenv("QTEST_QEMU_BINARY"), args);
    g_spawn_command_line_sync(command, NULL, &err, &status, &error);
    g_assert_no_error(error);
    g_test_message("%" PRId64 " ms, stderr: %s", (g_get_monotonic_time() - start) / 1000, err);
    g_assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 1) {
        g_test_message("exit status %d of: %s", WEXITSTATUS(status), command);
    }
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    return err;
}

#define HAS(text, part)                                                                                      \
    do {                                                                                                     \
        if (!strstr((text), (part))) {                                                                       \
            g_test_message("'%s' is not in: %s", (part), (text));                                            \
            g_assert_nonnull(strstr((text), (part)));                                                        \
        }                                                                                                    \
    } while (0)

/* One sentence: one line, that is not QEMU's usage or an assertion. */
static void assert_one_sentence(const char *err)
{
    g_auto(GStrv) lines = g_strsplit(g_strchomp((char *)err), "\n", -1);
    unsigned i, errors = 0;

    for (i = 0; lines[i]; i++) {
        errors += strstr(lines[i], "-device vgpu-pci") != NULL;
        g_assert_null(strstr(lines[i], "Assertion"));
    }
    g_assert_cmpuint(errors, ==, 1);
    g_assert_cmpuint(strlen(err), >, 40);
}

static void unknown_profile(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,profile=gigantic");

    HAS(err, "gigantic");
    HAS(err, "full");
    HAS(err, "half");
    HAS(err, "quarter");
    HAS(err, "eighth");
    HAS(err, "sixteenth");
    assert_one_sentence(err);
}

static void unknown_gpu(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,gpu=gpu77");

    HAS(err, "gpu77");
    assert_one_sentence(err);
}

static void assert_says_shareable(const char *err, const char *size)
{
    HAS(err, "memory-backend-memfd");
    HAS(err, "memory-backend=");
    HAS(err, size);
}

static void ram_no_backend(Gpu *none)
{
    g_autofree char *err = refusal("", "-device vgpu-pci");

    assert_says_shareable(err, "256M");
    assert_one_sentence(err);
}

static void ram_share_off(Gpu *none)
{
    g_autofree char *err = refusal("", "-object memory-backend-memfd,id=mem,size=256M,share=off "
                                       "-machine memory-backend=mem -device vgpu-pci");

    HAS(err, "mem");
    HAS(err, "share=on");
    assert_one_sentence(err);
}

static void ram_one_numa_node_of_two(Gpu *none)
{
    g_autofree char *err = refusal("", "-object memory-backend-memfd,id=m0,size=128M "
                                       "-object memory-backend-ram,id=m1,size=128M "
                                       "-smp 2 -numa node,memdev=m0 -numa node,memdev=m1 "
                                       "-device vgpu-pci");

    HAS(err, "m1");
    assert_one_sentence(err);
}

static void ram_dimm(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-m 256M,slots=2,maxmem=1G "
                                              "-object memory-backend-ram,id=dimm,size=128M "
                                              "-device pc-dimm,memdev=dimm -device vgpu-pci");

    HAS(err, "dimm");
    assert_one_sentence(err);
}

static void no_vgpud(Gpu *none)
{
    g_autofree char *err = refusal("VGPUD=/nonexistent/vgpud", SHARED "-device vgpu-pci");

    HAS(err, "/nonexistent/vgpud");
    assert_one_sentence(err);
}

static void socket_nobody_listens(Gpu *none)
{
    g_autofree char *err =
        refusal("VGPUD=/nonexistent/vgpud", SHARED "-device vgpu-pci,socket=/nonexistent/sock");

    HAS(err, "/nonexistent/sock");
    assert_one_sentence(err);
}

/* libvirt's default: QEMU may start no programs, so vgpud must be there. */
static void spawn_denied(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-sandbox on,spawn=deny -device vgpu-pci");

    HAS(err, "vgpud.socket");
    assert_one_sentence(err);
}

static void full_gpu(Gpu *none)
{
    GpuVm *vm = vm_start("vgpu-pci,profile=half,id=gpu0", NULL);
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,profile=full");

    HAS(err, "'full'");
    HAS(err, "MiB");
    HAS(err, "free");
    HAS(err, vm->name);
    HAS(err, "half"); /* profiles that fit */
    HAS(err, "sixteenth");
    assert_one_sentence(err);
    vm_stop(vm);
}

static void iommu_platform(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,iommu_platform=on");

    HAS(err, "iommu_platform");
    assert_one_sentence(err);
}

/* Not begun by the emulator, but it is there: whatever encrypts RAM is refused before. */
static void confidential_guest(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-object sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1 "
                                              "-machine confidential-guest-support=sev0 -device vgpu-pci");

    HAS(err, "a confidential guest (confidential-guest-support=sev0) is not supported");
    HAS(err, "has to read the guest's memory");
}

static void max_outputs_0(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,max_outputs=0");

    HAS(err, "max_outputs");
    HAS(err, "16");
}

static void max_outputs_17(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,max_outputs=17");

    HAS(err, "17");
    HAS(err, "16");
}

static void submit_queues_9(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,submit-queues=9");

    HAS(err, "submit-queues=9");
    HAS(err, "0 to 8");
}

static void migration_perhaps(Gpu *none)
{
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,migration=perhaps");

    HAS(err, "migration=perhaps is not possible: block or reset");
}

static void name_too_long(Gpu *none)
{
    g_autofree char *name = g_strnfill(200, 'n');
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,name=%s", name);

    HAS(err, "name");
    assert_one_sentence(err);
}

static void profile_name_too_long(Gpu *none)
{
    g_autofree char *name = g_strnfill(64, 'p');
    g_autofree char *err = refusal("", SHARED "-device vgpu-pci,profile=%s", name);

    HAS(err, "profile");
    assert_one_sentence(err);
}

/* --- a vgpud of another version, played by a thread of ours --- */

typedef struct FakeVgpud {
    int fd;
    GThread *thread;
    void *answer;
    size_t size;  /* 0: closes at once; SIZE_MAX: never answers */
    bool unasked; /* answers what it does not read */
    char *env;
} FakeVgpud;

static void *fake_vgpud(void *opaque)
{
    FakeVgpud *f = opaque;
    char request[4096];
    int c = accept(f->fd, NULL, NULL);

    if (c < 0) {
        return NULL;
    }
    if (f->size == SIZE_MAX) {
        while (recv(c, request, sizeof(request), 0) > 0) {
            /* reads and says nothing */
        }
    } else if (f->size && recv(c, request, sizeof(request), f->unasked ? MSG_PEEK : 0) > 0) {
        send(c, f->answer, f->size, MSG_NOSIGNAL);
    }
    close(c);
    return NULL;
}

static FakeVgpud *fake_start_as(void *answer, size_t size, bool unasked)
{
    FakeVgpud *f = g_new0(FakeVgpud, 1);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *dir = g_build_filename(getenv("XDG_RUNTIME_DIR"), "vgpu", NULL);

    f->answer = answer;
    f->size = size;
    f->unasked = unasked;
    f->env = g_strdup("VGPUD=/nonexistent/vgpud");
    g_mkdir_with_parents(dir, 0700);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/vgpud.sock", dir);
    f->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(f->fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(f->fd, 4), ==, 0);
    f->thread = g_thread_new("fake-vgpud", fake_vgpud, f);
    return f;
}

static FakeVgpud *fake_start(void *answer, size_t size)
{
    return fake_start_as(answer, size, false);
}

static void fake_stop(FakeVgpud *f)
{
    shutdown(f->fd, SHUT_RDWR);
    g_thread_join(f->thread);
    close(f->fd);
    g_free(f->env);
    g_free(f);
}

static struct vgpu_attach_hdr header(unsigned version, unsigned type, uint32_t size)
{
    return (struct vgpu_attach_hdr){
        .magic = VGPU_ATTACH_MAGIC,
        .version = version,
        .type = type,
        .size = size,
    };
}

static void version_refused(Gpu *none)
{
    struct vgpu_attach_refused r = {
        .hdr = header(7, VGPU_ATTACH_REFUSED, sizeof(r)),
        .code = VGPU_REFUSED_VERSION,
        .message = "this vgpud speaks version 7 of the attach protocol, this QEMU version 1: "
                   "install vgpu of one version",
    };
    FakeVgpud *f = fake_start(&r, sizeof(r));
    g_autofree char *err = refusal(f->env, SHARED "-device vgpu-pci");

    HAS(err, "version");
    HAS(err, "7");
    assert_one_sentence(err);
    fake_stop(f);
}

/* One connection too many is refused as it comes, whatever it has to ask. */
static void refused_unread(Gpu *none)
{
    struct vgpu_attach_refused r = {
        .hdr = header(VGPU_ATTACH_VERSION, VGPU_ATTACH_REFUSED, sizeof(r)),
        .code = VGPU_REFUSED_LIMIT,
        .message = "user nobody has 5 connections already, as many as vgpud allows",
    };
    FakeVgpud *f = fake_start_as(&r, sizeof(r), true);
    g_autofree char *err = refusal(f->env, SHARED "-device vgpu-pci");

    HAS(err, "5 connections already");
    assert_one_sentence(err);
    fake_stop(f);
}

static void version_unknown_to_us(Gpu *none)
{
    struct vgpu_attach_accepted a = { .hdr = header(7, VGPU_ATTACH_ACCEPTED, sizeof(a)) };
    FakeVgpud *f = fake_start(&a, sizeof(a));
    g_autofree char *err = refusal(f->env, SHARED "-device vgpu-pci");

    HAS(err, "version");
    HAS(err, "7");
    assert_one_sentence(err);
    fake_stop(f);
}

/* vgpud is trusted, what sits on its socket may not be vgpud */
static void answer_malformed(Gpu *none)
{
    static const size_t sizes[] = { 1, 8, 16, sizeof(struct vgpu_attach_refused) - 1 };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct vgpu_attach_refused r = { .hdr = header(VGPU_ATTACH_VERSION, VGPU_ATTACH_REFUSED, sizeof(r)) };
        FakeVgpud *f = fake_start(&r, sizes[i]);
        g_autofree char *err = refusal(f->env, SHARED "-device vgpu-pci");
        g_autofree char *sock = g_build_filename(getenv("XDG_RUNTIME_DIR"), "vgpu/vgpud.sock", NULL);

        assert_one_sentence(err);
        fake_stop(f);
        unlink(sock);
    }
}

static void answer_without_nul(Gpu *none)
{
    struct vgpu_attach_refused r = {
        .hdr = header(VGPU_ATTACH_VERSION, VGPU_ATTACH_REFUSED, sizeof(r)),
        .code = VGPU_REFUSED_FULL,
    };
    FakeVgpud *f;
    g_autofree char *err = NULL;

    memset(r.message, 'A', sizeof(r.message));
    f = fake_start(&r, sizeof(r));
    err = refusal(f->env, SHARED "-device vgpu-pci");
    assert_one_sentence(err);
    fake_stop(f);
}

static void accepted_without_fds(Gpu *none)
{
    struct vgpu_attach_accepted a = { .hdr = header(VGPU_ATTACH_VERSION, VGPU_ATTACH_ACCEPTED, sizeof(a)) };
    FakeVgpud *f;
    g_autofree char *err = NULL;

    a.hdr.fd_count = VGPU_ATTACH_FD_COUNT;
    f = fake_start(&a, sizeof(a));
    err = refusal(f->env, SHARED "-device vgpu-pci");
    assert_one_sentence(err);
    fake_stop(f);
}

static void vgpud_closes(Gpu *none)
{
    FakeVgpud *f = fake_start(NULL, 0);
    g_autofree char *err = refusal(f->env, SHARED "-device vgpu-pci");

    assert_one_sentence(err);
    fake_stop(f);
}

/* realize has a deadline */
static void vgpud_never_answers(Gpu *none)
{
    FakeVgpud *f = fake_start(NULL, SIZE_MAX);
    g_autofree char *err = refusal(f->env, SHARED "-device vgpu-pci");

    assert_one_sentence(err);
    fake_stop(f);
}

/* --- others --- */

static void help(Gpu *none)
{
    static const char *const ours[] = {
        "profile=", "gpu=",   "socket=",       "name=",        "max_outputs=", "xres=",          "yres=",
        "edid=",    "state=", "memory-limit=", "memory-used=", "deadline-ms=", "submit-queues=", "migration=",
    };
    g_autofree char *command = g_strdup_printf("%s -device vgpu-pci,help", getenv("QTEST_QEMU_BINARY"));
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;
    unsigned i, j;
    int status;

    g_assert_true(g_spawn_command_line_sync(command, &out, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    lines = g_strsplit(out, "\n", -1);
    for (i = 0; i < G_N_ELEMENTS(ours); i++) {
        for (j = 0; lines[j] && strncmp(lines[j] + strspn(lines[j], " "), ours[i], strlen(ours[i])); j++) {
            /* find the property's line */
        }
        if (!lines[j]) {
            g_test_message("no line for %s", ours[i]);
        }
        g_assert_nonnull(lines[j]);
        /* " - " and then words, not only a default */
        g_assert_nonnull(strstr(lines[j], " - "));
        g_assert_true(g_ascii_isalpha(strstr(lines[j], " - ")[3]));
    }
}

/* Starts a VM; what QEMU said on stderr meanwhile is *said, to be freed. */
static GpuVm *vm_start_listening(const char *device, char **said)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "stderr", NULL);
    int own = dup(2), file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    GpuVm *vm;

    g_assert_cmpint(dup2(file, 2), ==, 2);
    vm = vm_start(device, NULL);
    g_assert_cmpint(dup2(own, 2), ==, 2);
    close(own);
    close(file);
    g_assert_true(g_file_get_contents(path, said, NULL, NULL));
    g_test_message("QEMU said: %s", *said);
    return vm;
}

/* No EGL (here: libEGL finds no driver): 2D with a warning, the VM starts. */
static void without_egl_2d(Gpu *none)
{
    g_autofree char *said = NULL;
    GpuVm *vm;
    Gpu *g;

    target_configure("[renderer]\nenvironment=__EGL_VENDOR_LIBRARY_DIRS=/nonexistent\n");
    vm = vm_start_listening("vgpu-pci,id=gpu0", &said);
    HAS(said, "warning: vgpu: virgl does not start on this host (");
    HAS(said, "EGL");
    HAS(said, "): the guest has 2D graphics only\n");
    g = gpu_find(vm, "gpu0", 0);
    gpu_init(g, UINT64_MAX);
    g_assert_false(gpu_has(g, VIRTIO_GPU_F_VIRGL));
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    gpu_free(g);
    vm_stop(vm);
}

static char *vgpuctl_list(void)
{
    g_autofree char *vgpuctl = g_find_program_in_path("vgpuctl");
    char *argv[] = { vgpuctl, (char *)"list", (char *)"--json", NULL }, *out = NULL;
    int status;

    g_assert_nonnull(vgpuctl);
    g_assert_true(g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    g_test_message("vgpuctl list --json: %s", out);
    return out;
}

/* What operators call a VM: name=, else -name, else its UUID. */
static void names_of_a_vm(Gpu *none)
{
    static const char uuid[] = "00112233-4455-6677-8899-aabbccddeeff";
    static const struct {
        const char *name, *property, *want;
    } names[] = {
        { "", "", uuid },
        { "-name plain", "", "plain" },
        { "-name plain", ",name=own", "own" },
        { "", ",name=own", "own" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *args =
            g_strdup_printf("-machine q35 -m 256M -nodefaults -vga none -uuid %s %s " SHARED
                            "-device vgpu-pci,id=gpu0,profile=eighth%s",
                            uuid, names[i].name, names[i].property);
        g_autofree char *want = g_strdup_printf("\"%s\"", names[i].want), *list = NULL;
        QTestState *qts = qtest_init(args);

        list = vgpuctl_list();
        HAS(list, want);
        HAS(list, uuid);
        qtest_quit(qts);
    }
}

#define OURS CASE_OURS | CASE_RAW

const GpuCase cases_startup[] = { { "startup/unknown-profile", unknown_profile, OURS },
                                  { "startup/unknown-gpu", unknown_gpu, OURS },
                                  { "startup/ram-no-backend", ram_no_backend, OURS },
                                  { "startup/ram-share-off", ram_share_off, OURS },
                                  { "startup/ram-one-numa-node-of-two", ram_one_numa_node_of_two, OURS },
                                  { "startup/ram-dimm", ram_dimm, OURS },
                                  { "startup/no-vgpud", no_vgpud, OURS },
                                  { "startup/socket-nobody-listens", socket_nobody_listens, OURS },
                                  { "startup/spawn-denied", spawn_denied, OURS },
                                  { "startup/full-gpu", full_gpu, OURS },
                                  { "startup/iommu-platform", iommu_platform, OURS },
                                  { "startup/confidential-guest", confidential_guest, OURS },
                                  { "startup/max-outputs-0", max_outputs_0, OURS },
                                  { "startup/max-outputs-17", max_outputs_17, OURS },
                                  { "startup/submit-queues-9", submit_queues_9, OURS },
                                  { "startup/migration-perhaps", migration_perhaps, OURS },
                                  { "startup/name-too-long", name_too_long, OURS },
                                  { "startup/profile-name-too-long", profile_name_too_long, OURS },
                                  { "startup/version-refused", version_refused, OURS },
                                  { "startup/refused-unread", refused_unread, OURS },
                                  { "startup/version-unknown-to-us", version_unknown_to_us, OURS },
                                  { "startup/answer-malformed", answer_malformed, OURS },
                                  { "startup/answer-without-nul", answer_without_nul, OURS },
                                  { "startup/accepted-without-fds", accepted_without_fds, OURS },
                                  { "startup/vgpud-closes", vgpud_closes, OURS },
                                  { "startup/vgpud-never-answers", vgpud_never_answers, OURS },
                                  { "startup/help", help, OURS },
                                  { "startup/names-of-a-vm", names_of_a_vm, OURS },
                                  { "startup/without-egl-2d", without_egl_2d, OURS },
                                  { NULL } };
