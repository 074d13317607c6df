/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * One Client per connection.  Nothing here blocks: packets are read as they
 * come, a few per turn; what is sent must fit into the socket at once, and a
 * QEMU that does not read its replies loses its connection.  A connection
 * holds at most one VM; one without a VM is closed after some seconds.
 *
 * A renderer's start is reported later (vm.h): between REQUEST and its answer
 * the client's VM is in state STARTING.
 */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher.h"
#include "settings.h"
#include "units.h"
#include "vm.h"
#include "wire.h"

#define MAX_CONNECTIONS 1024
#define SILENT_S        10 /* a connection without a VM may last that long */

typedef struct Client {
    Daemon *daemon;
    int fd;
    guint source, timer;
    struct ucred peer;
    Vm *vm;
} Client;

/* The connection ends here, whoever wanted it. */
static void client_close(Client *c)
{
    Daemon *d = c->daemon;
    Vm *vm = c->vm;

    if (c->source) {
        g_source_remove(c->source);
    }
    if (c->timer) {
        g_source_remove(c->timer);
    }
    close(c->fd);
    g_free(c);
    d->connections--;
    if (vm) {
        vm_client_gone(vm);
    }
    d->idle_changed(d);
}

static bool client_send(Client *c, const void *data, size_t size, const int *fds, unsigned fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * VGPU_ATTACH_FD_COUNT)];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd_count) {
        struct cmsghdr *cmsg;

        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * fd_count);
    }
    return sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

static void client_refuse(Client *c, enum vgpu_refusal code, const char *why)
{
    struct vgpu_attach_refused m;

    c->daemon->denied[code < DAEMON_REFUSALS ? code : 0]++;
    g_message("refused a request of process %d (uid %u): %s", c->peer.pid, c->peer.uid, why);
    /* a socket closed with packets in it would show its peer an error first */
    for (unsigned i = 0; i < 16 && recv(c->fd, &m, sizeof(m), MSG_DONTWAIT) > 0; i++) {
    }
    wire_refused(&m, code, why);
    client_send(c, &m, sizeof(m), NULL, 0);
    client_close(c);
}

static void on_vm_started(Vm *vm, Launched *fds)
{
    Client *c = vm->client;
    int order[VGPU_ATTACH_FD_COUNT] = {
        [VGPU_ATTACH_FD_VHOST_USER] = fds->vhost_user,
        [VGPU_ATTACH_FD_CHANNEL] = fds->channel,
        [VGPU_ATTACH_FD_STATS] = fds->stats,
        [VGPU_ATTACH_FD_OBJECTS] = fds->objects,
    };
    struct vgpu_attach_accepted m = {
        .memory_limit = vm->memory,
        .max_width = vm->max_width,
        .max_height = vm->max_height,
        .max_outputs = vm->max_outputs,
    };

    wire_header(&m.hdr, VGPU_ATTACH_ACCEPTED, sizeof(m), VGPU_ATTACH_FD_COUNT);
    g_strlcpy(m.profile, vm->profile, sizeof(m.profile));
    g_strlcpy(m.gpu, vm->gpu, sizeof(m.gpu));
    if (!client_send(c, &m, sizeof(m), order, VGPU_ATTACH_FD_COUNT)) {
        g_message("%s: its QEMU does not take the answer (%s)", vm->name, g_strerror(errno));
        client_close(c);
    } else if (!vm->restarts) {
        c->daemon->accepted++;
    }
}

static void on_vm_failed(Vm *vm, const char *why)
{
    client_refuse(vm->client, VGPU_REFUSED_START, why);
}

static void on_vm_ended(Vm *vm, const char *why)
{
    struct vgpu_attach_event m;
    Client *c = vm->client;

    wire_event(&m, VGPU_EVENT_RENDERER_ENDED, why);
    if (!client_send(c, &m, sizeof(m), NULL, 0)) {
        client_close(c);
    }
}

/* Starts the VM's renderer; the answer to QEMU comes when that is decided. */
static void client_start(Client *c)
{
    g_autoptr(GError) error = NULL;

    if (!vm_start(c->daemon, c->vm, &error)) {
        client_refuse(c, VGPU_REFUSED_START, error->message);
    }
}

static void client_take(Client *c, Vm *vm)
{
    c->vm = vm;
    vm->client = c;
    vm->daemon = c->daemon;
    if (c->timer) {
        g_source_remove(c->timer);
        c->timer = 0;
    }
}

static void grant(Client *c, const struct vgpu_attach_request *r, const char *uuid, const char *device,
                  const AdmissionGrant *g)
{
    g_autofree char *clean = units_clean_text(r->name);
    const Profile *p = g->profile;
    Vm *vm = books_add(c->daemon->books, *clean ? clean : uuid, uuid, device);

    vm->profile = g_strdup(p->name);
    vm->gpu = g_strdup(g->gpu->name);
    settings_from_profile(vm, p, g->gpu, launcher_cpus_online());
    vm->max_outputs = MIN(r->max_outputs, p->displays);
    vm->owner = c->peer.uid;
    client_take(c, vm);
    g_message("%s: admitted for process %d (uid %u)", vm->name, c->peer.pid, c->peer.uid);
    client_start(c);
}

/* A VM that is in the books already asks again: true when that was answered. */
static bool again(Client *c, Vm *old, bool rejoin)
{
    g_autofree char *why = NULL;

    if (old->client) {
        why = g_strdup_printf("VM %s has this device (%s) attached already: give each VM its own -uuid and "
                              "each vgpu-pci its own id",
                              old->name, old->device);
    } else if (old->owner != c->peer.uid) {
        why = g_strdup_printf("VM %s belongs to another user (uid %u)", old->name, old->owner);
    } else if (rejoin) {
        /* It lost vgpud and now its renderer: the same slice, a new renderer. */
        vm_give_up_renderer(old);
        client_take(c, old);
        old->restarts++;
        client_start(c);
        return true;
    } else if (old->state == VM_LEAVING) {
        vm_remove(old); /* the VM was started again before its old renderer had ended */
        return false;
    } else {
        why =
            g_strdup_printf("VM %s runs already: its renderer is process %d, from before vgpud was restarted",
                            old->name, old->pid);
    }
    client_refuse(c, VGPU_REFUSED_IN_USE, why);
    return true;
}

static void handle_request(Client *c, const struct vgpu_attach_request *r)
{
    Daemon *d = c->daemon;
    bool rejoin = r->flags & VGPU_ATTACH_F_REJOIN;
    g_autofree AdmissionBooking *bookings = NULL;
    g_autofree char *device = units_clean_text(r->device);
    g_autofree char *why = NULL;
    char uuid[VM_UUID_TEXT];
    enum vgpu_refusal code;
    AdmissionGrant g;
    size_t count;
    Vm *old;

    if (c->vm) {
        if (!rejoin || c->vm->state == VM_STARTING) {
            client_refuse(c, VGPU_REFUSED_MALFORMED, "this connection has asked for its GPU already");
            return;
        }
        vm_give_up_renderer(c->vm);
        c->vm->restarts++;
        client_start(c);
        return;
    }
    books_uuid(r->uuid, uuid);
    old = books_find(d->books, uuid, device);
    if (old && again(c, old, rejoin)) {
        return;
    }
    bookings = books_bookings(d->books, &count);
    if (!admission_decide(d->profiles, d->gpus, bookings, count, r->profile, r->gpu, &g, &code, &why)) {
        client_refuse(c, code, why);
        return;
    }
    grant(c, r, uuid, device, &g);
}

static void handle_lost(Client *c, const struct vgpu_attach_lost *l)
{
    static const struct {
        VmReset reset;
        const char *why;
    } causes[] = {
        [VGPU_LOST_UNKNOWN] = { VM_RESET_QEMU, "its QEMU gave it up" },
        [VGPU_LOST_DEADLINE] = { VM_RESET_DEADLINE, "it did not answer its QEMU in time" },
        [VGPU_LOST_PROTOCOL] = { VM_RESET_PROTOCOL, "it sent its QEMU what it must not" },
    };

    if (!c->vm) {
        client_refuse(c, VGPU_REFUSED_MALFORMED,
                      "this connection has no VM that could have lost its renderer");
        return;
    }
    if (c->vm->state != VM_RUNNING) {
        return; /* we know */
    }
    if (l->cause == VGPU_LOST_CLOSED) {
        vm_closed_socket(c->vm);
    } else {
        vm_kill(c->vm, causes[l->cause].reset, causes[l->cause].why);
    }
}

/* Descriptors that came along are closed: no message of QEMU's has any. */
static unsigned close_passed_fds(struct msghdr *msg)
{
    unsigned count = 0;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
            size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            for (size_t i = 0; i < n; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
                close(fd);
                count++;
            }
        }
    }
    return msg->msg_flags & MSG_CTRUNC ? count + 1 : count;
}

/*
 * Reads and serves one packet; the client may be gone after.  One per turn of
 * the main loop: a QEMU that sends without end gets no more than its turns.
 */
static gboolean on_client(gint fd, GIOCondition condition, gpointer opaque)
{
    Client *c = opaque;
    struct { /* one byte more than the longest, to see that a packet is longer */
        struct vgpu_attach_request request;
        char more;
    } buf;
    char control[CMSG_SPACE(sizeof(int) * 8)];
    struct iovec iov = { .iov_base = &buf, .iov_len = sizeof(buf) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    g_autofree char *why = NULL;
    enum vgpu_refusal code;
    WirePacket packet;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n <= 0) {
        client_close(c);
    } else if (!wire_check(&buf, n, close_passed_fds(&msg), &packet, &code, &why)) {
        client_refuse(c, code, why);
    } else if (packet.hdr.type == VGPU_ATTACH_REQUEST) {
        handle_request(c, &packet.request);
    } else {
        handle_lost(c, &packet.lost);
    }
    return G_SOURCE_CONTINUE; /* a client that was closed has removed its source */
}

static gboolean on_silent(gpointer opaque)
{
    Client *c = opaque;

    c->timer = 0;
    client_refuse(c, VGPU_REFUSED_MALFORMED, "the connection was opened and then asked for nothing");
    return G_SOURCE_REMOVE;
}

static gboolean on_connect(gint fd, GIOCondition condition, gpointer opaque)
{
    Daemon *d = opaque;
    socklen_t size = sizeof(struct ucred);
    Client *c;
    int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (s < 0) {
        if (errno == EMFILE || errno == ENFILE) { /* not to spin on it */
            g_warning("no descriptor left for a new connection");
            g_usleep(10000);
        }
        return G_SOURCE_CONTINUE;
    }
    c = g_new0(Client, 1);
    c->daemon = d;
    c->fd = s;
    d->connections++;
    if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c->peer, &size) < 0) {
        c->peer = (struct ucred){ .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
    }
    if (d->connections > MAX_CONNECTIONS) {
        client_refuse(c, VGPU_REFUSED_START, "vgpud has too many connections already");
        return G_SOURCE_CONTINUE;
    }
    c->source = g_unix_fd_add(s, G_IO_IN | G_IO_HUP, on_client, c);
    c->timer = g_timeout_add_seconds(SILENT_S, on_silent, c);
    d->idle_changed(d);
    return G_SOURCE_CONTINUE;
}

guint attach_serve(Daemon *d, int fd)
{
    static const VmListener listener = { on_vm_started, on_vm_failed, on_vm_ended };

    vm_set_listener(&listener);
    return g_unix_fd_add(fd, G_IO_IN, on_connect, d);
}
