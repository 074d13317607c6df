/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A renderer executes what a guest sends it, through a GL driver that was never
 * written against an attacker.  So it gets nothing but its four descriptors:
 *
 *   user      ids that own nothing on the host, no capability, no_new_privs
 *   mount     a root of its own on a tmpfs: libraries and driver data read-only,
 *             /dev/null, /dev/urandom and its render node (or NVIDIA's device files, or
 *             udmabuf), a private /tmp
 *   pid       it sees and can signal nobody; it is process 1 in there
 *   net, ipc, uts, cgroup
 *             empty ones of its own
 *
 * The renderer adds a system-call filter itself once its GL driver is loaded.
 *
 * What the box contains is worked out in vgpud (sandbox_new) as a list of
 * steps; the child only makes system calls, because it is forked from a
 * process that may have threads and so must not take a lock of malloc's.
 *
 * User ids: a process must own a user namespace to make the others without
 * rights, and it must be mapped in there to own files of its tmpfs.
 *   vgpud as root: inside 0 is root outside while the box is built; then the
 *     child becomes 65534 inside, which is a uid of the host that owns nothing
 *     and differs from VM to VM (ids.h).
 *   vgpud as a user: 65534 inside is that user outside; the box keeps it
 *     from that user's files and processes.
 *
 * The root is changed twice, as bubblewrap does it, because the new root must
 * be built while the old one is still visible, whatever the old one holds:
 * a tmpfs is mounted on /tmp, becomes the root with the host's at /old, the box
 * is built at /new from /old, becomes the root, and the rest is let go.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ini.h"
#include "nvidia.h"

#define INSIDE_ID         65534
#define INSIDE_NODE_GROUP 65533
#define FILES_MAX         16384 /* descriptors: one for each blob of host memory, and a few hundred */
#define OOM_SCORE         "500" /* of 1000: its VM loses its contexts, and lives */
#define SANDBOX_NAMESPACES                                                                                   \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |               \
     CLONE_NEWCGROUP)

typedef enum StepKind { STEP_FOLDER, STEP_FILE, STEP_LINK, STEP_BIND, STEP_TMPFS, STEP_PROC } StepKind;

typedef struct Step {
    StepKind kind;
    char *source; /* below /old, or what a link says */
    char *target; /* below /new */
    bool device;  /* a bind of a device node: usable, writable */
} Step;

struct Sandbox {
    GArray *steps;
    GHashTable *made; /* targets there are, while the list is made */
    gid_t node_group; /* of the render node or udmabuf; 0: none needed */
};

static void step_clear(gpointer data)
{
    Step *s = data;

    g_free(s->source);
    g_free(s->target);
}

static void add_step(Sandbox *box, StepKind kind, const char *source, const char *target, bool device)
{
    Step s = { .kind = kind, .device = device };

    s.target = g_strconcat("/new", target, NULL);
    if (kind == STEP_BIND) {
        s.source = g_strconcat("/old", source, NULL);
    } else {
        s.source = g_strdup(source);
    }
    g_array_append_val(box->steps, s);
    g_hash_table_add(box->made, g_strdup(target));
}

static void add_folder(Sandbox *box, const char *path)
{
    g_autofree char *parent = NULL;

    if (g_str_equal(path, "/") || g_hash_table_contains(box->made, path)) {
        return;
    }
    parent = g_path_get_dirname(path);
    add_folder(box, parent);
    add_step(box, STEP_FOLDER, NULL, path, false);
}

/* True when a path lies in something that is bound already. */
static bool covered(const Sandbox *box, const char *path)
{
    for (guint i = 0; i < box->steps->len; i++) {
        const Step *s = &g_array_index(box->steps, Step, i);
        size_t n = strlen(s->target + 4);

        if (s->kind == STEP_BIND && g_str_has_prefix(path, s->target + 4) && (!path[n] || path[n] == '/')) {
            return true;
        }
    }
    return false;
}

/* A file, folder or device of the host at the same place; what is not there is left out. */
static void add_bind(Sandbox *box, const char *path, bool device)
{
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *real = NULL;
    char *resolved;
    struct stat st;

    if (covered(box, path) || lstat(path, &st) < 0) {
        return;
    }
    if (S_ISLNK(st.st_mode) && g_str_equal(parent, "/")) { /* /lib -> usr/lib */
        g_autofree char *to = g_file_read_link(path, NULL);

        add_step(box, STEP_LINK, to, path, false);
        return;
    }
    resolved = realpath(path, NULL);
    if (!resolved || stat(resolved, &st) < 0) {
        free(resolved);
        return;
    }
    real = g_strdup(resolved);
    free(resolved);
    add_folder(box, parent);
    add_step(box, S_ISDIR(st.st_mode) ? STEP_FOLDER : STEP_FILE, NULL, path, false);
    add_step(box, STEP_BIND, real, path, device);
}

static void add_fixed(Sandbox *box)
{
    /* libraries, GL and Vulkan drivers, and what tells the loader which there are */
    static const char *const read_only[] = {
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib32",
        "/usr/libexec/virgl_render_server",
        "/lib",
        "/lib64",
        "/lib32",
        "/usr/share/glvnd",
        "/usr/share/drirc.d",
        "/usr/share/libdrm",
        "/usr/share/vulkan",
        "/etc/ld.so.cache",
        "/etc/glvnd",
        "/etc/drirc",
        "/etc/vulkan",
        "/sys/devices/system/cpu",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(read_only); i++) {
        add_bind(box, read_only[i], false);
    }
    add_bind(box, "/dev/null", true);
    add_bind(box, "/dev/urandom", true);
    add_folder(box, "/tmp");
    add_step(box, STEP_TMPFS, NULL, "/tmp", false);
    add_folder(box, "/proc");
    add_step(box, STEP_PROC, NULL, "/proc", false);
}

/* Its group is one of the renderer's. */
static void add_device(Sandbox *box, const char *node)
{
    struct stat st;

    if (stat(node, &st) == 0) {
        box->node_group = st.st_gid;
    }
    add_bind(box, node, true);
}

static void add_node(Sandbox *box, const char *node, const char *device_path)
{
    g_autofree char *name = g_path_get_basename(node);
    g_autofree char *drm_class = g_build_filename("/sys/class/drm", name, NULL);

    add_device(box, node);
    /* libdrm finds a node's driver through these */
    add_bind(box, "/sys/dev/char", false);
    add_bind(box, "/sys/class/drm", false);
    if (device_path) {
        add_bind(box, device_path, false);
    }
}

/*
 * NVIDIA's libraries look for these, and are elsewhere on some distributions.  Of
 * several GPUs the one whose device is in the box is the one that they find.
 */
static void add_nvidia(Sandbox *box, const char *node, const char *device_path)
{
    static const char *const read_only[] = { "/usr/share/nvidia", "/usr/share/egl", "/etc/egl",
                                             "/usr/local/nvidia" };
    g_autofree char *folder = g_path_get_dirname(node), *name = NULL, *address = NULL;
    g_autofree char *control = g_build_filename(folder, "nvidiactl", NULL);

    add_device(box, node);
    add_bind(box, control, true); /* neither OpenGL nor Vulkan needs another, as nvidia-uvm or -modeset */
    for (unsigned i = 0; i < G_N_ELEMENTS(read_only); i++) {
        add_bind(box, read_only[i], false);
    }
    if (device_path) { /* its registers' files are for root alone */
        name = g_path_get_basename(device_path);
        address = g_build_filename("/sys/bus/pci/devices", name, NULL);
        add_bind(box, address, false);
    }
}

/* At a place of its own: where the host has it is not the renderer's business. */
static void add_file(Sandbox *box, const char *path, const char *target)
{
    char *real = realpath(path, NULL);

    if (real) { /* else who wants it will say what is wrong with it */
        add_step(box, STEP_FILE, NULL, target, false);
        add_step(box, STEP_BIND, real, target, false);
        free(real);
    }
}

static void add_layer(Sandbox *box, const char *layer)
{
    g_autofree char *folder = g_path_get_dirname(layer);
    g_autofree char *manifest = g_build_filename(folder, SANDBOX_LAYER_MANIFEST, NULL);

    add_folder(box, SANDBOX_LAYER_FOLDER);
    add_file(box, layer, SANDBOX_LAYER);
    add_file(box, manifest, SANDBOX_LAYER_FOLDER "/" SANDBOX_LAYER_MANIFEST);
}

Sandbox *sandbox_new(const char *renderer, const char *layer, const char *node, const char *device_path,
                     const char *udmabuf)
{
    Sandbox *box = g_new0(Sandbox, 1);

    box->steps = g_array_new(FALSE, FALSE, sizeof(Step));
    g_array_set_clear_func(box->steps, step_clear);
    box->made = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    add_fixed(box);
    if (nvidia_is_node(node)) {
        add_nvidia(box, node, device_path);
    } else if (node) {
        add_node(box, node, device_path);
    }
    if (udmabuf) {
        add_device(box, udmabuf);
    }
    if (layer) {
        add_layer(box, layer);
    }
    add_file(box, renderer, SANDBOX_PROGRAM);
    return box;
}

void sandbox_free(Sandbox *box)
{
    if (box) {
        g_array_unref(box->steps);
        g_hash_table_unref(box->made);
        g_free(box);
    }
}

static pid_t fork_with(unsigned long flags, int *pidfd, int *tid, GError **error)
{
    pid_t pid;

    *pidfd = -1;
    pid = syscall(SYS_clone, flags | SANDBOX_NAMESPACES | CLONE_PIDFD | SIGCHLD, NULL, pidfd, tid, NULL);
    if (pid < 0) {
        g_set_error(
            error, VGPUD_ERROR, 0,
            "this host does not let vgpud make the renderer's sandbox (clone with user namespaces: %s): "
            "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns), or set sandbox=off in [vgpud] of vgpud.conf",
            strerror(errno));
    }
    return pid;
}

pid_t sandbox_fork(int *pidfd, GError **error)
{
    return fork_with(0, pidfd, NULL, error);
}

pid_t sandbox_fork_sibling(int *pidfd, int *tid, GError **error)
{
    return fork_with(CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, pidfd, tid, error);
}

static bool write_proc(pid_t pid, const char *file, const char *text)
{
    char path[64];
    ssize_t n;
    int fd, err;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    n = write(fd, text, strlen(text));
    err = n < 0 ? errno : EIO;
    close(fd);
    errno = err;
    return n == (ssize_t)strlen(text);
}

bool sandbox_map_ids(const Sandbox *box, pid_t child, uid_t uid, GError **error)
{
    g_autofree char *uids = NULL, *gids = NULL;

    if (uid) {
        uids = g_strdup_printf("0 0 1\n%d %u 1\n", INSIDE_ID, uid);
        gids = box->node_group ? g_strdup_printf("0 0 1\n%d %u 1\n%d %u 1\n", INSIDE_ID, uid,
                                                 INSIDE_NODE_GROUP, box->node_group)
                               : g_strdup_printf("0 0 1\n%d %u 1\n", INSIDE_ID, uid);
        if (write_proc(child, "uid_map", uids) && write_proc(child, "gid_map", gids)) {
            return true;
        }
        g_set_error(
            error, VGPUD_ERROR, 0,
            "cannot give the renderer's sandbox user id %u (%s): vgpud needs CAP_SETUID, CAP_SETGID and "
            "CAP_SETFCAP, and that id in its own user namespace",
            uid, strerror(errno));
        return false;
    }
    uids = g_strdup_printf("%d %u 1\n", INSIDE_ID, geteuid());
    gids = g_strdup_printf("%d %u 1\n", INSIDE_ID, getegid());
    if (write_proc(child, "uid_map", uids) && write_proc(child, "setgroups", "deny") &&
        write_proc(child, "gid_map", gids)) {
        return true;
    }
    g_set_error(error, VGPUD_ERROR, 0, "cannot give the renderer's sandbox a user id (%s)", strerror(errno));
    return false;
}

bool sandbox_map_nursery(pid_t child, uid_t base, unsigned count, const gid_t *groups, unsigned n,
                         GError **error)
{
    unsigned inside = base ? 0 : INSIDE_ID; /* as in the boxes, see sandbox_map_ids */
    g_autofree char *uids = g_strdup_printf("%u %u 1\n", inside, geteuid());
    g_autoptr(GString) gids = g_string_new(NULL);

    g_string_printf(gids, "%u %u 1\n", inside, getegid());
    if (base) {
        g_autofree char *own = g_steal_pointer(&uids);

        uids = g_strdup_printf("%s%u %u %u\n", own, base, base, count);
        g_string_append_printf(gids, "%u %u %u\n", base, base, count);
    }
    for (unsigned i = 0; base && i < n; i++) {
        g_string_append_printf(gids, "%u %u 1\n", groups[i], groups[i]);
    }
    if (write_proc(child, "uid_map", uids) && (base || write_proc(child, "setgroups", "deny")) &&
        write_proc(child, "gid_map", gids->str)) {
        return true;
    }
    g_set_error(error, VGPUD_ERROR, 0, "cannot give it user ids: %s", strerror(errno));
    return false;
}

/* ---- from here on in the child: system calls only ---- */

static bool make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);

    return fd >= 0 && close(fd) == 0;
}

static bool bind_step(const Step *s)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };

    /*
     * The folder may hold mounts that a user must not uncover, so all of them
     * come along; none of them is writable but for a device node.
     */
    if (mount(s->source, s->target, NULL, MS_BIND | MS_REC, NULL) < 0) {
        return false;
    }
    if (!s->device) {
        attr.attr_set |= MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;
    } else {
        attr.attr_set |= MOUNT_ATTR_NOEXEC;
    }
    return syscall(SYS_mount_setattr, AT_FDCWD, s->target, AT_RECURSIVE, &attr, sizeof(attr)) == 0;
}

/*
 * Where the outer /proc is covered in part (containers) the kernel allows no
 * proc of our own: then /proc holds nothing but this process as self.
 */
static bool proc_self_only(void)
{
    char path[32] = "/old/proc/";
    ssize_t n = readlink("/old/proc/self", path + 10, sizeof(path) - 11);

    return n > 0 && mkdir("/new/proc/self", 0555) == 0 &&
           mount(path, "/new/proc/self", NULL, MS_BIND, NULL) == 0;
}

static bool do_step(const Step *s)
{
    switch (s->kind) {
    case STEP_FOLDER:
        return mkdir(s->target, 0755) == 0 || errno == EEXIST;
    case STEP_FILE:
        return make_file(s->target);
    case STEP_LINK:
        return symlink(s->source, s->target) == 0;
    case STEP_BIND:
        return bind_step(s);
    case STEP_TMPFS:
        return mount("tmpfs", s->target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m") ==
               0;
    case STEP_PROC:
        return mount("proc", s->target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid") == 0 ||
               proc_self_only();
    }
    return false;
}

static bool change_root(const Sandbox *box, const char **what)
{
    *what = "making mounts private";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return false;
    }
    *what = "mounting a tmpfs on /tmp";
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0) {
        return false;
    }
    *what = "changing the root to a tmpfs";
    if (mkdir("/tmp/old", 0755) < 0 || mkdir("/tmp/new", 0755) < 0 || chdir("/tmp") < 0 ||
        syscall(SYS_pivot_root, "/tmp", "/tmp/old") < 0 || chdir("/") < 0 ||
        mount("tmpfs", "/new", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0) {
        return false;
    }
    for (guint i = 0; i < box->steps->len; i++) {
        const Step *s = &g_array_index(box->steps, Step, i);

        *what = s->target + 4;
        if (!do_step(s)) {
            return false;
        }
    }
    *what = "changing the root to the sandbox";
    if (chdir("/new") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0) {
        return false;
    }
    return true;
}

static bool drop_rights(const Sandbox *box, const char **what)
{
    struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { { 0 } };
    gid_t group = INSIDE_NODE_GROUP;

    *what = "changing the user";
    if (getuid() != INSIDE_ID) {
        /* raw: glibc's versions would signal threads that do not exist here */
        if (syscall(SYS_setgroups, box->node_group ? 1 : 0, &group) < 0 ||
            syscall(SYS_setresgid, INSIDE_ID, INSIDE_ID, INSIDE_ID) < 0) {
            return false;
        }
        /* so that the rights go below, one by one, and not by chance here */
        if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ||
            syscall(SYS_setresuid, INSIDE_ID, INSIDE_ID, INSIDE_ID) < 0) {
            return false;
        }
    }
    *what = "dropping capabilities";
    for (int cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL) {
            return false;
        }
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (prctl(PR_SET_SECUREBITS,
              SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                  SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
              0, 0, 0) < 0) {
        return false;
    }
    return syscall(SYS_capset, &hdr, none) == 0;
}

bool sandbox_enter(const Sandbox *box, const char **what)
{
    if (!change_root(box, what)) {
        return false;
    }
    *what = "naming the host";
    if (sethostname("vgpu", 4) < 0) {
        return false;
    }
    return drop_rights(box, what);
}

static bool limit(int what, rlim_t most)
{
    struct rlimit r;

    if (getrlimit(what, &r) < 0) {
        return false;
    }
    r.rlim_max = MIN(r.rlim_max, most);
    r.rlim_cur = r.rlim_max;
    return setrlimit(what, &r) == 0;
}

bool sandbox_limit(rlim_t processes, const char **what)
{
    *what = "setting resource limits";
    /* a core dump would hold the guest's memory */
    if (!limit(RLIMIT_CORE, 0) || !limit(RLIMIT_NOFILE, FILES_MAX)) {
        return false;
    }
    /* a desktop's user may have some for its sound: they would let a guest take CPUs for good */
    if (!limit(RLIMIT_RTPRIO, 0) || !limit(RLIMIT_NICE, 0)) {
        return false;
    }
    /* counted per user namespace: without one it would count vgpud's user */
    if (processes && !limit(RLIMIT_NPROC, processes)) {
        return false;
    }
    *what = "giving up new privileges";
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool sandbox_limit_memory(rlim_t file, const char **what)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) { /* some containers have none: then the kernel chooses by itself */
        if (write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0) {
            errno = 0;
        }
        close(fd);
    }
    *what = "setting resource limits";
    return limit(RLIMIT_FSIZE, file);
}
