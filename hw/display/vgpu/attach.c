/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Getting a renderer: the client side of include/vgpu/attach.h.
 *
 * One state machine, vgpu_attach_step(), that never blocks: connect (and start
 * a vgpud if none listens), send REQUEST, wait for the answer.  realize calls
 * it in a loop, as it has to wait anyway; after a loss lost.c calls it from a
 * timer.  The connection then stays open: vgpud sees the VM leave by its
 * end, and tells us here when the renderer dies.
 *
 * vgpud is trusted, but packets are checked all the same: it may be another
 * version.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/cutils.h"
#include "qemu/main-loop.h"
#include "qemu/option.h"
#include "qemu/sockets.h"
#include "qemu/uuid.h"
#include "system/system.h"
#include "vgpu.h"
#include "trace.h"

#include <sys/un.h>

static void attach_close(VgpuAttach *a)
{
    if (a->fd >= 0) {
        qemu_set_fd_handler(a->fd, NULL, NULL, NULL);
        close(a->fd);
        a->fd = -1;
    }
    a->waiting = false;
}

static void attach_drop_fds(VgpuAttach *a)
{
    for (int i = 0; i < VGPU_ATTACH_FD_COUNT; i++) {
        if (a->fds[i] >= 0) {
            close(a->fds[i]);
            a->fds[i] = -1;
        }
    }
}

void vgpu_attach_init(VgpuDevice *d)
{
    VgpuAttach *a = &d->attach;

    *a = (VgpuAttach){ .fd = -1 };
    for (int i = 0; i < VGPU_ATTACH_FD_COUNT; i++) {
        a->fds[i] = -1;
    }
    d->objects_fd = -1;
}

static void attach_drop_grant(VgpuDevice *d)
{
    vgpu_stats_unmap(d);
    if (d->objects_fd >= 0) {
        close(d->objects_fd);
        d->objects_fd = -1;
    }
    attach_drop_fds(&d->attach);
}

static void attach_child_ended(GPid pid, gint status, gpointer opaque)
{
}

/* Whatever becomes of the vgpud that was started, GLib takes its status. */
static void attach_disown_child(VgpuAttach *a)
{
    if (a->child) {
        g_child_watch_add(a->child, attach_child_ended, NULL);
        a->child = 0;
    }
}

void vgpu_attach_fini(VgpuDevice *d)
{
    attach_disown_child(&d->attach);
    attach_close(&d->attach);
    attach_drop_grant(d);
}

void vgpu_attach_begin(VgpuDevice *d, bool rejoin)
{
    VgpuAttach *a = &d->attach;

    attach_drop_fds(a);
    attach_disown_child(a);
    if (a->waiting) {
        attach_close(a); /* the answer to an earlier request must not count */
    }
    if (a->fd >= 0) {
        qemu_set_fd_handler(a->fd, NULL, NULL, NULL);
    }
    a->rejoin = rejoin;
    a->spawned = false;
    a->expires = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + d->attach_deadline_ms;
}

/* 0, or a negative errno. */
static int attach_connect_to(VgpuDevice *d, const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd, err = 0;

    if (strlen(path) >= sizeof(un.sun_path)) {
        return -ENAMETOOLONG;
    }
    pstrcpy(un.sun_path, sizeof(un.sun_path), path);
    fd = qemu_socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (fd < 0) {
        return -errno;
    }
    qemu_socket_set_nonblock(fd);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
        err = -errno;
        close(fd);
    } else {
        d->attach.fd = fd;
    }
    trace_vgpu_attach_connect(d, path, -err);
    return err;
}

static bool attach_nobody(int err)
{
    return err == -ENOENT || err == -ECONNREFUSED || err == -ENOTDIR;
}

/*
 * QEMU's own seccomp filter would be inherited by vgpud and all it starts, and
 * with spawn=deny there is no starting anything.
 */
static bool attach_sandboxed(void)
{
    QemuOptsList *list = qemu_find_opts_err("sandbox", NULL);
    QemuOpts *opts = list ? qemu_opts_find(list, NULL) : NULL;

    return opts && qemu_opt_get_bool(opts, "enable", false);
}

/* QEMU blocks signals that it takes by signalfd; vgpud must not inherit that. */
static void attach_child_setup(gpointer data)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool attach_spawn(VgpuDevice *d, Error **errp)
{
    const char *program = getenv("VGPUD");
    g_autoptr(GError) gerr = NULL;
    char *argv[] = { NULL, (char *)"--autostart", NULL };
    GPid pid;

    if (attach_sandboxed()) {
        error_setg(errp,
                   "vgpu: no vgpud is listening at %s, and under -sandbox QEMU cannot"
                   " start one: start it with 'systemctl start vgpud.socket', or name its"
                   " socket with socket=PATH",
                   VGPU_SOCKET_SYSTEM);
        return false;
    }
    argv[0] = (char *)(program && *program ? program : "vgpud");
    d->attach.spawned = true;
    if (!g_spawn_async(NULL, argv, NULL,
                       G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
                       attach_child_setup, NULL, &pid, &gerr)) {
        error_setg(errp,
                   "vgpu: no vgpud is listening at %s, and '%s' cannot be started (%s):"
                   " start it with 'systemctl start vgpud.socket', install it, or name it in the"
                   " environment variable VGPUD",
                   VGPU_SOCKET_SYSTEM, argv[0], gerr->message);
        return false;
    }
    d->attach.child = pid;
    trace_vgpu_attach_spawn(d, argv[0], pid);
    return true;
}

/* vgpud --autostart ends with status 0 once its daemon listens. */
static bool attach_reap(VgpuDevice *d, Error **errp)
{
    VgpuAttach *a = &d->attach;
    int status;

    if (!a->child || waitpid(a->child, &status, WNOHANG) != a->child) {
        return true;
    }
    a->child = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    error_setg(errp,
               "vgpu: no vgpud is listening, and the one that was started ended with %s %d"
               " (what it said is above): run 'vgpud --autostart' by hand to see why",
               WIFEXITED(status) ? "status" : "signal",
               WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return false;
}

/* Adds a socket unless somebody else could have put it into its folder. */
static void attach_add_own(GPtrArray *paths, char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    struct stat st;

    if (lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 0022)) {
        g_ptr_array_add(paths, path);
    } else {
        g_free(path);
    }
}

/*
 * Where a vgpud may listen: the system's, then this user's.  The last two are
 * those of a vgpud that was started without XDG_RUNTIME_DIR, as we were.
 */
static GPtrArray *attach_paths(const VgpuDevice *d)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (d->socket) {
        g_ptr_array_add(paths, g_strdup(d->socket));
        return paths;
    }
    g_ptr_array_add(paths, g_strdup(VGPU_SOCKET_SYSTEM));
    if (runtime && *runtime) {
        g_ptr_array_add(paths, g_build_filename(runtime, VGPU_SOCKET_USER, NULL));
    } else {
        attach_add_own(paths, g_strdup_printf("/run/user/%u/" VGPU_SOCKET_USER, geteuid()));
        attach_add_own(paths, g_strdup_printf("/tmp/vgpu-%u/vgpud.sock", geteuid()));
    }
    return paths;
}

/* 1: connected, 0: try again, -1: error */
static int attach_connect(VgpuDevice *d, Error **errp)
{
    g_autoptr(GPtrArray) paths = attach_paths(d);

    for (int i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);
        int err = attach_connect_to(d, path);

        if (err == 0) {
            return 1;
        } else if (err == -EAGAIN || err == -EINTR) {
            return 0; /* its backlog is full */
        } else if (!attach_nobody(err)) {
            error_setg(errp, "vgpu: cannot connect to vgpud at %s: %s%s", path, strerror(-err),
                       err == -EACCES ? "; ask for access to that socket, or name another with"
                                        " socket=PATH"
                                      : "");
            return -1;
        }
    }
    if (d->socket) {
        error_setg(errp,
                   "vgpu: no vgpud is listening at %s: start one there, or leave socket=%s"
                   " away",
                   d->socket, d->socket);
        return -1;
    }
    if (!attach_reap(d, errp)) {
        return -1;
    }
    return d->attach.spawned || attach_spawn(d, errp) ? 0 : -1;
}

static bool attach_send(VgpuDevice *d, void *packet, uint16_t type, uint32_t size)
{
    struct vgpu_attach_hdr *h = packet;
    ssize_t n;

    *h = (struct vgpu_attach_hdr){
        .magic = VGPU_ATTACH_MAGIC,
        .version = VGPU_ATTACH_VERSION,
        .type = type,
        .size = size,
    };
    n = RETRY_ON_EINTR(send(d->attach.fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL));
    return n == size;
}

static bool attach_request(VgpuDevice *d)
{
    struct vgpu_attach_request r = {
        .max_outputs = d->parent_obj.conf.max_outputs,
        .flags = d->attach.rejoin ? VGPU_ATTACH_F_REJOIN : 0,
    };
    static QemuUUID made_up;
    QemuUUID uuid = qemu_uuid;

    if (!qemu_uuid_set) {
        /* (uuid, device) is the key of a slice: two VMs must not share one. */
        if (qemu_uuid_is_null(&made_up)) {
            qemu_uuid_generate(&made_up);
        }
        uuid = made_up;
    }
    if (!d->vm_name[0]) {
        const char *name = d->name ?: qemu_get_vm_name();

        if (name && *name) {
            pstrcpy(d->vm_name, sizeof(d->vm_name), name);
        } else {
            QEMU_BUILD_BUG_ON(sizeof(d->vm_name) < UUID_STR_LEN);
            qemu_uuid_unparse(&uuid, d->vm_name);
        }
    }
    pstrcpy(r.profile, sizeof(r.profile), d->profile ?: "");
    pstrcpy(r.gpu, sizeof(r.gpu), d->gpu ?: "");
    pstrcpy(r.name, sizeof(r.name), d->vm_name);
    pstrcpy(r.device, sizeof(r.device), d->device_name);
    memcpy(r.uuid, uuid.data, sizeof(r.uuid));
    trace_vgpu_attach_request(d, d->attach.fd, d->attach.rejoin);
    return attach_send(d, &r, VGPU_ATTACH_REQUEST, sizeof(r));
}

typedef union AttachPacket {
    struct vgpu_attach_hdr hdr;
    struct vgpu_attach_accepted accepted;
    struct vgpu_attach_refused refused;
    struct vgpu_attach_event event;
} AttachPacket;

/*
 * One packet, checked.  1: got it, with its descriptors in attach.fds;
 * 0: none there; -1: the connection is over or *errp says what is wrong.
 */
static int attach_receive(VgpuDevice *d, AttachPacket *p, Error **errp)
{
    VgpuAttach *a = &d->attach;
    union {
        struct cmsghdr hdr;
        char space[CMSG_SPACE(VGPU_ATTACH_FD_COUNT * sizeof(int))];
    } control;
    struct iovec iov = { p, sizeof(*p) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *c;
    uint32_t size, fds = 0;
    ssize_t n;

    memset(p, 0, sizeof(*p));
    do {
        n = recvmsg(a->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        /* it closed with something of ours unread: told once, before what it had sent */
    } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n <= 0) {
        error_setg(errp, "vgpu: vgpud closed the connection before it answered; its log says why");
        return -1;
    }
    for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            attach_drop_fds(a);
            fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(a->fds, CMSG_DATA(c), fds * sizeof(int));
        }
    }
    if (n < sizeof(p->hdr) || p->hdr.magic != VGPU_ATTACH_MAGIC) {
        error_setg(errp, "vgpu: what listens on vgpud's socket is not vgpud: name vgpud's with"
                         " socket=PATH");
        return -1;
    }
    switch (p->hdr.type) {
    case VGPU_ATTACH_ACCEPTED:
        size = sizeof(p->accepted);
        break;
    case VGPU_ATTACH_REFUSED:
        size = sizeof(p->refused); /* its layout is that of every version */
        break;
    case VGPU_ATTACH_EVENT:
        size = sizeof(p->event);
        break;
    default:
        size = 0;
    }
    if (p->hdr.version != VGPU_ATTACH_VERSION && p->hdr.type != VGPU_ATTACH_REFUSED) {
        error_setg(errp,
                   "vgpu: vgpud speaks version %u of the attach protocol and this QEMU"
                   " version %u: install a vgpud and a QEMU of the same vgpu release",
                   p->hdr.version, VGPU_ATTACH_VERSION);
        return -1;
    }
    if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || n != size || p->hdr.size != size ||
        p->hdr.fd_count != fds || fds != (p->hdr.type == VGPU_ATTACH_ACCEPTED ? VGPU_ATTACH_FD_COUNT : 0)) {
        error_setg(errp,
                   "vgpu: vgpud sent a malformed message (type %u, %zd bytes, %u"
                   " descriptors): install a vgpud and a QEMU of the same vgpu release",
                   p->hdr.type, n, fds);
        return -1;
    }
    return 1;
}

static int attach_answer(VgpuDevice *d, Error **errp)
{
    VgpuAttach *a = &d->attach;
    char text[VGPU_MESSAGE_MAX];
    AttachPacket p;
    int r = attach_receive(d, &p, errp);

    if (r <= 0) {
        return r;
    }
    switch (p.hdr.type) {
    case VGPU_ATTACH_ACCEPTED:
        a->waiting = false;
        a->grant = p.accepted;
        a->grant.profile[sizeof(a->grant.profile) - 1] = 0;
        a->grant.gpu[sizeof(a->grant.gpu) - 1] = 0;
        trace_vgpu_attach_accepted(d, a->grant.profile, a->grant.gpu, a->grant.memory_limit,
                                   a->grant.max_outputs);
        return 1;
    case VGPU_ATTACH_REFUSED:
        vgpu_clean_text(text, sizeof(text), p.refused.message, sizeof(p.refused.message));
        trace_vgpu_attach_refused(d, p.refused.code, text);
        if (text[0]) {
            error_setg(errp, "%s", text);
        } else {
            error_setg(errp, "vgpu: vgpud refused the VM without a word (code %u)", p.refused.code);
        }
        return -1;
    default:
        return 0; /* an EVENT about the renderer before */
    }
}

int vgpu_attach_step(VgpuDevice *d, Error **errp)
{
    VgpuAttach *a = &d->attach;
    bool fresh = a->fd < 0;
    int r = 0;

    if (fresh) {
        r = attach_connect(d, errp);
        if (r < 0) {
            return -1;
        }
    }
    if (a->fd >= 0 && !a->waiting) {
        /* whoever was refused as it connected finds the reason where the answer is read */
        a->waiting = attach_request(d) || (fresh && errno == EPIPE);
        if (!a->waiting) {
            attach_close(a);
            if (fresh) {
                error_setg(errp, "vgpu: vgpud closed the connection before it answered; its log"
                                 " says why");
                return -1;
            }
            return 0; /* that vgpud is gone: connect again */
        }
    }
    if (a->waiting) {
        r = attach_answer(d, errp);
        if (r < 0) {
            attach_close(a);
            attach_drop_fds(a);
            return -1;
        }
    } else {
        r = 0;
    }
    if (r == 0 && qemu_clock_get_ms(QEMU_CLOCK_REALTIME) >= a->expires) {
        error_setg(errp,
                   a->waiting ? "vgpu: vgpud did not answer within %u ms; its log says why"
                              : "vgpu: no vgpud was listening within %u ms: start it with"
                                " 'systemctl start vgpud.socket'",
                   d->attach_deadline_ms);
        attach_close(a);
        return -1;
    }
    return r;
}

bool vgpu_attach_take(VgpuDevice *d, Error **errp)
{
    VgpuAttach *a = &d->attach;

    if (!vgpu_stats_map(d, a->fds[VGPU_ATTACH_FD_STATS], errp)) {
        return false;
    }
    close(a->fds[VGPU_ATTACH_FD_STATS]);
    a->fds[VGPU_ATTACH_FD_STATS] = -1;
    if (d->objects_fd >= 0) {
        close(d->objects_fd);
    }
    d->objects_fd = a->fds[VGPU_ATTACH_FD_OBJECTS];
    a->fds[VGPU_ATTACH_FD_OBJECTS] = -1;
    return true;
}

/* News from vgpud between requests. */
static void attach_readable(void *opaque)
{
    VgpuDevice *d = opaque;
    char text[VGPU_MESSAGE_MAX];
    AttachPacket p;
    int r = attach_receive(d, &p, NULL);

    attach_drop_fds(&d->attach);
    if (r < 0) {
        /* It restarts without us; we connect again when we need it. */
        trace_vgpu_attach_closed(d);
        attach_close(&d->attach);
    } else if (r > 0 && p.hdr.type == VGPU_ATTACH_EVENT) {
        vgpu_clean_text(text, sizeof(text), p.event.message, sizeof(p.event.message));
        trace_vgpu_attach_event(d, p.event.event, text);
        if (p.event.event == VGPU_EVENT_RENDERER_ENDED) {
            vgpu_lose(d, VGPU_LOST_CLOSED, "%s", text[0] ? text : "it ended");
        } else if (p.event.event == VGPU_EVENT_CHANGED) {
            vgpu_check_profile(d);
        }
    }
}

void vgpu_attach_watch(VgpuDevice *d)
{
    attach_disown_child(&d->attach);
    if (d->attach.fd >= 0) {
        qemu_set_fd_handler(d->attach.fd, attach_readable, NULL, d);
    }
}

void vgpu_attach_send_lost(VgpuDevice *d, enum vgpu_lost_cause cause)
{
    struct vgpu_attach_lost lost = { .cause = cause };

    if (d->attach.fd >= 0) {
        trace_vgpu_attach_lost(d, cause);
        attach_send(d, &lost, VGPU_ATTACH_LOST, sizeof(lost));
    }
}
