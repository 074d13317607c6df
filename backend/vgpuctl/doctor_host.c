/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel and the host's settings allow. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "doctor.h"
#include "text.h"

#define FILES_MIN    4096  /* a renderer's: buffers, fences, its libraries */
#define FILES_WANTED 65536 /* vgpud's, a dozen for each VM */

/* vgpuctl itself, as another process. */
static Child *try_self(Doctor *d, const char *command)
{
    const char *argv[] = { "/proc/self/exe", command, NULL };

    return child_run(argv, NULL, d->deadline_s);
}

/* What a try said after "vgpuctl: ", or how it ended. */
static const char *why(const Child *c)
{
    const char *text = c->ending ? c->ending : child_complaint(c);

    return g_str_has_prefix(text, "vgpuctl: ") ? text + strlen("vgpuctl: ") : text;
}

static void check_sandbox(Doctor *d)
{
    g_autoptr(Child) c = try_self(d, "try-sandbox");

    if (c->ending || c->status) {
        doctor_say(
            d, DOCTOR_FAIL, "sandbox",
            "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0), or set sandbox=off in vgpud.conf",
            "%s", why(c));
    } else {
        doctor_say(d, DOCTOR_PASS, "sandbox", NULL, "user %u may make namespaces", geteuid());
    }
}

static void check_seccomp(Doctor *d)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0) {
        doctor_say(d, DOCTOR_FAIL, "seccomp", "boot a kernel with CONFIG_SECCOMP_FILTER",
                   "this kernel filters no system calls (%s)", g_strerror(errno));
    } else {
        doctor_say(d, DOCTOR_PASS, "seccomp", NULL, "system calls can be filtered");
    }
}

static void check_landlock(Doctor *d)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version < 0) {
        doctor_say(d, DOCTOR_SKIP, "Landlock", NULL,
                   "this kernel has none; the sandbox stands on namespaces and seccomp");
    } else {
        doctor_say(d, DOCTOR_PASS, "Landlock", NULL, "version %ld", version);
    }
}

static void check_cgroup(Doctor *d)
{
    g_autofree char *controllers = NULL;

    if (!g_file_get_contents("/sys/fs/cgroup/cgroup.controllers", &controllers, NULL, NULL)) {
        doctor_say(d, DOCTOR_SKIP, "cgroups", NULL,
                   "no cgroup v2 at /sys/fs/cgroup; renderers are bounded by vgpud and by rlimits");
        return;
    }
    g_strchomp(controllers);
    doctor_say(d, DOCTOR_PASS, "cgroups", NULL, "version 2, with %s", controllers);
}

void doctor_check_kernel(Doctor *d)
{
    check_sandbox(d);
    check_seccomp(d);
    check_landlock(d);
    check_cgroup(d);
}

void doctor_check_limits(Doctor *d)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        doctor_say(d, DOCTOR_SKIP, "open files", NULL, "the limit is not known (%s)", g_strerror(errno));
    } else if (files.rlim_max < FILES_MIN) {
        doctor_say(
            d, DOCTOR_FAIL, "open files", "raise the hard limit: LimitNOFILE= of the unit, or ulimit -Hn",
            "at most %" G_GUINT64_FORMAT ", a renderer may need %d", (guint64)files.rlim_max, FILES_MIN);
    } else if (files.rlim_max < FILES_WANTED) {
        doctor_say(d, DOCTOR_WARN, "open files",
                   "for hundreds of VMs raise it to 65536, as vgpud.service does",
                   "at most %" G_GUINT64_FORMAT " in a process of this user", (guint64)files.rlim_max);
    } else {
        doctor_say(d, DOCTOR_PASS, "open files", NULL, "at most %" G_GUINT64_FORMAT " in a process",
                   (guint64)files.rlim_max);
    }
}

static void check_memfd(Doctor *d)
{
    int fd = memfd_create("vgpuctl-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, 1 << 20) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        doctor_say(d, DOCTOR_FAIL, "shared memory", "boot a kernel with CONFIG_MEMFD_CREATE",
                   "no sealed memfd: %s; guests' memory and pictures travel in such", g_strerror(errno));
    } else {
        doctor_say(d, DOCTOR_PASS, "shared memory", NULL, "memfd, with seals");
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void check_shm(Doctor *d)
{
    struct statvfs fs;
    g_autofree char *size = NULL;

    if (statvfs("/dev/shm", &fs) < 0) {
        doctor_say(d, DOCTOR_WARN, "/dev/shm", "mount a tmpfs there, or use memory-backend-memfd for guests",
                   "is not there (%s)", g_strerror(errno));
        return;
    }
    size = text_mib((uint64_t)fs.f_bsize * fs.f_bavail);
    doctor_say(d, DOCTOR_PASS, "/dev/shm", NULL,
               "%s free; bounds guests with memory-backend-file there, not those with memory-backend-memfd",
               size);
}

#define UDMABUF_LIMIT "/sys/module/udmabuf/parameters/size_limit_mb"

/* What a GPU's driver does itself, a software GPU's needs this for. */
static void check_udmabuf(Doctor *d)
{
    g_autofree char *text = NULL;

    if (access("/dev/udmabuf", R_OK | W_OK) == 0) {
        if (!g_file_get_contents(UDMABUF_LIMIT, &text, NULL, NULL)) {
            text = g_strdup("?");
        }
        doctor_say(d, DOCTOR_PASS, "udmabuf", NULL,
                   "on a software GPU, Vulkan memory of VMs with up to %s MiB of it (" UDMABUF_LIMIT
                   ") is dmabufs",
                   g_strstrip(text));
    } else if (errno == ENOENT) {
        doctor_say(d, DOCTOR_WARN, "udmabuf",
                   "modprobe udmabuf size_limit_mb=65536, if guests on a software GPU are to share Vulkan "
                   "memory between programs",
                   "there is no /dev/udmabuf");
    } else {
        doctor_say(d, DOCTOR_WARN, "udmabuf", "join the group that owns /dev/udmabuf (kvm on Debian)",
                   "/dev/udmabuf cannot be used: %s", g_strerror(errno));
    }
}

void doctor_check_memory(Doctor *d)
{
    check_memfd(d);
    check_shm(d);
    check_udmabuf(d);
}

void doctor_check_kvm(Doctor *d)
{
    g_autoptr(Child) c = NULL;

    if (access("/dev/kvm", F_OK) < 0) {
        doctor_say(
            d, DOCTOR_WARN, "KVM",
            "enable virtualization in the firmware (or nesting in the host below) and load kvm_intel or "
            "kvm_amd; until then start VMs with -accel tcg, which is slow",
            "there is no /dev/kvm");
        return;
    }
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        doctor_say(d, DOCTOR_WARN, "KVM", "let the user that runs VMs join the group kvm", "/dev/kvm: %s",
                   g_strerror(errno));
        return;
    }
    c = try_self(d, "try-kvm");
    if (c->ending || c->status) {
        doctor_say(
            d, DOCTOR_FAIL, "KVM",
            "this host (a VM itself?) lends no working KVM: repair nesting below it, or start VMs with "
            "-accel tcg; with -accel kvm they would hang",
            "/dev/kvm opens, but %s", why(c));
    } else {
        doctor_say(d, DOCTOR_PASS, "KVM", NULL, "runs a guest's instructions");
    }
}

void doctor_check_qemu(Doctor *d)
{
#if defined(__x86_64__)
    const char *name = "qemu-system-x86_64";
#elif defined(__aarch64__)
    const char *name = "qemu-system-aarch64";
#else
    const char *name = "qemu-system";
#endif
    g_autofree char *program = g_find_program_in_path(name);
    const char *argv[] = { program, "-machine", "none", "-device", "help", NULL };
    g_autoptr(Child) c = NULL;

    if (!program) {
        doctor_say(d, DOCTOR_SKIP, "QEMU", "put the QEMU with vgpu's device into PATH to have it checked",
                   "no %s in PATH", name);
        return;
    }
    c = child_run(argv, NULL, d->deadline_s);
    if (c->ending || c->status) {
        doctor_say(d, DOCTOR_FAIL, "QEMU", "install the libraries it lacks", "%s %s", program,
                   c->ending ? c->ending : child_complaint(c));
    } else if (!strstr(c->out, "\"vgpu-pci\"")) {
        doctor_say(d, DOCTOR_WARN, "QEMU", "use the QEMU that was built with vgpu's device",
                   "%s has no vgpu-pci", program);
    } else {
        doctor_say(d, DOCTOR_PASS, "QEMU", NULL, "%s has vgpu-pci", program);
    }
}
