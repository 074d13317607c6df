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
 * the client's VM is in state STARTING, or waits for its last renderer's death.
 *
 * A VM that was ended and started again at once may come before its old QEMU
 * and renderer have died.  When that is so, its request waits for them and is
 * looked at again each time that something leaves.
 *
 * Descriptors that a client sends are never received: closing one may take for
 * ever (a file on a hung FUSE mount).  Without a control buffer the kernel drops
 * them, and where it can (SO_PASSRIGHTS, Linux 6.16) the send fails.
 */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audit.h"
#include "control.h"
#include "hangs.h"
#include "launcher.h"
#include "process.h"
#include "roles.h"
#include "settings.h"
#include "units.h"
#include "vm.h"
#include "wire.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define MAX_CONNECTIONS 4096
#define SILENT_S        10 /* a connection without a VM may last that long */
#define ROOM_WAIT_S     5  /* for the VM's last QEMU and renderer to be gone */
#define FULL_PAUSE_S    1  /* no descriptor is left: no connection is taken */

typedef struct Client {
    Daemon *daemon;
    int fd;
    guint source, timer;
    Caller who;
    uint64_t start; /* of its process; 0: not known */
    Vm *vm;
    struct vgpu_attach_request *waiting; /* for room */
    char *asked;                         /* the name it gave its VM, for the audit log */
} Client;

struct Attach {
    Daemon *daemon;
    int fd;
    guint source, pause;
};

static GPtrArray *clients; /* all of them */
static guint room_source;

static void look_for_room(Daemon *d);

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
    g_ptr_array_remove_fast(clients, c);
    caller_clear(&c->who);
    g_free(c->waiting);
    g_free(c->asked);
    g_free(c);
    d->connections--;
    if (vm) {
        vm_client_gone(vm);
        look_for_room(d);
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

/* change or refused, see audit.h */
static void client_audit(const Client *c, const char *change, const char *refused)
{
    const AuditLine line = {
        .caller = &c->who,
        .from = "the attach socket",
        .what = "attach",
        .target = c->vm ? c->vm->name : c->asked,
        .change = change,
        .refused = refused,
    };

    audit(&line);
}

static void client_refuse(Client *c, enum vgpu_refusal code, const char *why)
{
    struct vgpu_attach_refused m;

    c->daemon->denied[code < DAEMON_REFUSALS ? code : 0]++;
    client_audit(c, NULL, why);
    /* a socket closed with packets in it would show its peer an error first */
    for (unsigned i = 0; i < 16 && recv(c->fd, &m, sizeof(m), MSG_DONTWAIT) > 0; i++) {
    }
    wire_refused(&m, code, why);
    client_send(c, &m, sizeof(m), NULL, 0);
    client_close(c);
}

/*
 * Host-visible memory gets twice the quota of addresses: the guest's holes
 * between what it maps cost addresses and no memory.
 */
static uint64_t hostmem_for(uint64_t memory)
{
    uint64_t size = VGPU_HOSTMEM_MIN;

    while (size < VGPU_HOSTMEM_MAX && size / 2 < memory) {
        size *= 2;
    }
    return size;
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
        .hostmem = hostmem_for(vm->memory),
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

/* A QEMU that does not read finds out later, or never: it is its guest's loss. */
static void on_vm_changed(Vm *vm)
{
    struct vgpu_attach_event m;

    wire_event(&m, VGPU_EVENT_CHANGED, "");
    client_send(vm->client, &m, sizeof(m), NULL, 0);
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
    g_clear_pointer(&c->waiting, g_free);
    if (c->timer) {
        g_source_remove(c->timer);
        c->timer = 0;
    }
}

static void grant(Client *c, const struct vgpu_attach_request *r, const char *uuid, const char *device,
                  const AdmissionGrant *g)
{
    g_autofree char *clean = units_clean_text(r->name), *change = NULL;
    const Profile *p = g->profile;
    Vm *vm = books_add(c->daemon->books, *clean ? clean : uuid, uuid, device);
    const VmProcess q = { c->start ? c->who.pid : 0, c->start, device, vm->name };
    Vm *departed = books_return(c->daemon->books, &q);

    vm->profile = g_strdup(p->name);
    vm->gpu = g_strdup(g->gpu->name);
    settings_from_profile(vm, p, g->gpu, launcher_cpus_online());
    vm->max_outputs = MIN(r->max_outputs, p->displays);
    vm->owner = c->who.uid;
    vm->qemu_pid = c->start ? c->who.pid : 0;
    vm->qemu_start = c->start;
    vm->uuid_given = !books_uuid_is_nil(r->uuid);
    vm->no_3d = hangs_off(c->daemon->books->hangs, vm);
    if (vm->no_3d) {
        g_warning("%s: its work hung too often on %s: its 3D is off until `vgpuctl allow %s`", vm->name,
                  vm->gpu, vm->name);
    }
    client_take(c, vm);
    if (departed) {
        control_return(c->daemon, vm, departed, r->flags & VGPU_ATTACH_F_REJOIN);
        books_forget(departed);
    }
    change = g_strdup_printf("profile=%s gpu=%s memory=%" G_GUINT64_FORMAT, vm->profile, vm->gpu,
                             (guint64)vm->memory);
    client_audit(c, change, NULL);
    if (g->last_resort) {
        g_warning("%s: no render node has room for profile '%s': the CPUs render for it (%s), which is slow",
                  vm->name, vm->profile, vm->gpu);
    }
    client_start(c);
}

/* ---- a VM that is in the books already ---- */

static bool same_process(const Client *c, const Vm *vm)
{
    /* who is not known (of another pid namespace) is nobody */
    return c->start && vm->qemu_pid == c->who.pid && vm->qemu_start == c->start;
}

/* Its last QEMU is gone, or as good as: only its process is still being cleared away. */
static bool qemu_is_gone(const Vm *vm)
{
    return vm->qemu_pid && process_is_ending(vm->qemu_pid, vm->qemu_start);
}

static gboolean on_no_room(gpointer opaque)
{
    Client *c = opaque;

    c->timer = 0;
    client_refuse(
        c, VGPU_REFUSED_IN_USE,
        "this VM's last QEMU or renderer was ended and is not gone yet: try again; if that does not "
        "help, look into the host's kernel log for what holds it");
    return G_SOURCE_REMOVE;
}

static void wait_for_room(Client *c, const struct vgpu_attach_request *r)
{
    if (!c->waiting) {
        c->waiting = g_memdup2(r, sizeof(*r));
        if (c->timer) {
            g_source_remove(c->timer);
        }
        c->timer = g_timeout_add_seconds(ROOM_WAIT_S, on_no_room, c);
    }
}

/* True when nothing is left to do for this request now. */
static bool again(Client *c, const struct vgpu_attach_request *r, Vm *old)
{
    bool rejoin = r->flags & VGPU_ATTACH_F_REJOIN;
    g_autofree char *why = NULL;

    if (old->owner != c->who.uid) {
        why = g_strdup_printf("VM %s belongs to another user (uid %u)", old->name, old->owner);
    } else if (old->client && !qemu_is_gone(old)) {
        why = g_strdup_printf("VM %s has this device (%s) attached already: give each VM its own -uuid and "
                              "each vgpu-pci its own id",
                              old->name, old->device);
    } else if (old->client) {
        wait_for_room(c, r); /* the kernel closes it in a moment */
        return true;
    } else if (rejoin && same_process(c, old)) {
        /* It lost vgpud and now its renderer: the same slice, a new renderer. */
        client_take(c, old);
        vm_start_again(old);
        return true;
    } else if (old->state == VM_LEAVING || qemu_is_gone(old)) {
        vm_hurry(old); /* the VM was started again before its old renderer had ended */
        wait_for_room(c, r);
        return true;
    } else if (rejoin) {
        why = g_strdup_printf("VM %s belongs to another process (%d) of this user", old->name,
                              (int)old->qemu_pid);
    } else {
        why =
            g_strdup_printf("VM %s runs already: its renderer is process %d, from before vgpud was restarted",
                            old->name, (int)old->pid);
    }
    client_refuse(c, VGPU_REFUSED_IN_USE, why);
    return true;
}

/* What this user may: a role, a profile for its groups, so many VMs. */
static bool check_caller(const Client *c, const struct vgpu_attach_request *r, enum vgpu_refusal *code,
                         char **why)
{
    const Daemon *d = c->daemon;
    const Profile *p = profile_set_find(d->profiles, r->profile);
    unsigned vms = 0;

    if (p && !roles_may_start_profile(d->config, &c->who, p, why)) {
        *code = VGPU_REFUSED_DENIED;
        return false;
    }
    for (guint i = 0; i < d->books->vms->len; i++) {
        vms += ((Vm *)d->books->vms->pdata[i])->owner == c->who.uid;
    }
    if (c->who.role < ROLE_ADMIN && vms >= d->config->user_vms) {
        *code = VGPU_REFUSED_LIMIT;
        *why =
            g_strdup_printf("%s has %u VMs already, as many as vms-per-user= in [vgpud] of vgpud.conf allows",
                            c->who.who, vms);
        return false;
    }
    return true;
}

/* Who is refused hears what is taken, but not what other users call their VMs. */
static void hide_others(const Client *c, AdmissionBooking *bookings, size_t count)
{
    const GPtrArray *vms = c->daemon->books->vms;

    for (size_t i = 0; i < count && i < vms->len; i++) {
        if (!roles_may_see(&c->who, vms->pdata[i])) {
            bookings[i].vm = "of another user";
        }
    }
}

static void handle_request(Client *c, const struct vgpu_attach_request *r)
{
    Daemon *d = c->daemon;
    bool rejoin = r->flags & VGPU_ATTACH_F_REJOIN;
    g_autofree AdmissionBooking *bookings = NULL;
    g_autofree char *device = units_clean_text(r->device), *name = units_clean_text(r->name);
    g_autofree char *why = NULL;
    char uuid[VM_UUID_TEXT];
    enum vgpu_refusal code;
    AdmissionGrant g;
    size_t count;
    Vm *old;

    if (c->vm) {
        if (!rejoin || c->vm->state == VM_STARTING || c->vm->again) {
            client_refuse(c, VGPU_REFUSED_MALFORMED, "this connection has asked for its GPU already");
            return;
        }
        vm_start_again(c->vm);
        return;
    }
    books_uuid(r->uuid, uuid);
    g_free(c->asked);
    c->asked = g_strdup(*r->name ? r->name : uuid);
    old = books_find(d->books, uuid, device);
    if (!old && rejoin) { /* the UUID of one without -uuid is another one each time */
        const VmProcess q = { c->start ? c->who.pid : 0, c->start, device, name };

        old = books_find_process(d->books, &q);
    }
    if (old && again(c, r, old)) {
        return;
    }
    if (!check_caller(c, r, &code, &why)) {
        client_refuse(c, code, why);
        return;
    }
    bookings = books_bookings(d->books, &count);
    hide_others(c, bookings, count);
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
    if (c->vm->page && vgpu_stats_get(&c->vm->page->renew)) {
        vm_kill(c->vm, VM_RESET_OPERATOR, "it made room for one with 3D"); /* see control_allow */
    } else if (l->cause == VGPU_LOST_CLOSED) {
        vm_closed_socket(c->vm);
    } else {
        vm_kill(c->vm, causes[l->cause].reset, causes[l->cause].why);
    }
}

/* ---- requests that wait for room ---- */

static gboolean on_room(gpointer opaque)
{
    g_autoptr(GPtrArray) all = g_ptr_array_copy(clients, NULL, NULL);

    room_source = 0;
    for (guint i = 0; i < all->len; i++) {
        Client *c = all->pdata[i];

        /* one that was closed by what another did is no client any more */
        if (g_ptr_array_find(clients, c, NULL) && c->waiting) {
            struct vgpu_attach_request r = *c->waiting;

            handle_request(c, &r);
        }
    }
    return G_SOURCE_REMOVE;
}

/* Later, when nobody is in the middle of something. */
static void look_for_room(Daemon *d)
{
    if (!room_source) {
        room_source = g_idle_add(on_room, NULL);
    }
}

/* ---- the socket ---- */

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
    struct iovec iov = { .iov_base = &buf, .iov_len = sizeof(buf) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT);
    g_autofree char *why = NULL;
    enum vgpu_refusal code;
    WirePacket packet;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n <= 0) {
        client_close(c);
    } else if (!wire_check(&buf, n, msg.msg_flags & MSG_CTRUNC, &packet, &code, &why)) {
        client_refuse(c, code, why);
    } else if (packet.hdr.type == VGPU_ATTACH_LOST) {
        handle_lost(c, &packet.lost);
    } else if (c->waiting) {
        client_refuse(c, VGPU_REFUSED_MALFORMED, "this connection has asked for its GPU already");
    } else {
        handle_request(c, &packet.request);
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

static unsigned connections_of(uid_t uid)
{
    unsigned n = 0;

    for (guint i = 0; i < clients->len; i++) {
        n += ((Client *)clients->pdata[i])->who.uid == uid;
    }
    return n;
}

/* Why this one connection is one too many, or NULL; to free. */
static char *too_many(const Client *c)
{
    const Daemon *d = c->daemon;
    unsigned own = connections_of(c->who.uid);

    if (c->who.role < ROLE_ADMIN && own > d->config->user_connections) {
        return g_strdup_printf(
            "%s has %u connections already, as many as connections-per-user= in [vgpud] of "
            "vgpud.conf allows",
            c->who.who, own - 1);
    }
    return d->connections > MAX_CONNECTIONS ? g_strdup("vgpud has too many connections already") : NULL;
}

static void serve_client(Daemon *d, int s)
{
    Client *c = g_new0(Client, 1);
    g_autofree char *why = NULL;
    int no = 0;

    setsockopt(s, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
    c->daemon = d;
    c->fd = s;
    d->connections++;
    g_ptr_array_add(clients, c);
    if (!roles_peer(d->config, s, &c->who)) {
        c->who =
            (Caller){ .role = ROLE_NONE, .uid = ROLES_NOBODY, .who = g_strdup("a process without a name") };
    }
    if (!c->who.pid || !process_start_time(c->who.pid, &c->start)) {
        c->start = 0;
    }
    why = too_many(c);
    if (why) {
        client_refuse(c, VGPU_REFUSED_LIMIT, why);
        return;
    }
    c->source = g_unix_fd_add(s, G_IO_IN | G_IO_HUP, on_client, c);
    c->timer = g_timeout_add_seconds(SILENT_S, on_silent, c);
    d->idle_changed(d);
}

static gboolean on_connect(gint fd, GIOCondition condition, gpointer opaque);

static gboolean on_pause_over(gpointer opaque)
{
    Attach *a = opaque;

    a->pause = 0;
    a->source = g_unix_fd_add(a->fd, G_IO_IN, on_connect, a);
    return G_SOURCE_REMOVE;
}

static gboolean on_connect(gint fd, GIOCondition condition, gpointer opaque)
{
    Attach *a = opaque;
    int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (s >= 0) {
        serve_client(a->daemon, s);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        /* who waits would wake us at once, again and again */
        g_warning("no connection can be taken for a second: %s", g_strerror(errno));
        a->source = 0;
        a->pause = g_timeout_add_seconds(FULL_PAUSE_S, on_pause_over, a);
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

Attach *attach_serve(Daemon *d, int fd)
{
    static const VmListener listener = { on_vm_started, on_vm_failed, on_vm_ended, on_vm_changed,
                                         look_for_room };
    Attach *a = g_new0(Attach, 1);
    int no = 0;

    if (!clients) {
        clients = g_ptr_array_new();
    }
    /* older kernels do not know it */
    setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
    vm_set_listener(&listener);
    a->daemon = d;
    a->fd = fd;
    a->source = g_unix_fd_add(fd, G_IO_IN, on_connect, a);
    return a;
}

void attach_free(Attach *a)
{
    if (a) {
        if (a->source) {
            g_source_remove(a->source);
        }
        if (a->pause) {
            g_source_remove(a->pause);
        }
        g_free(a);
    }
}
