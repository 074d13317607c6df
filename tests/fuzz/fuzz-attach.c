/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attach protocol: a few QEMUs at once, each with packets good and bad in
 * any order, while renderers start, fail and end.  Whatever comes, all that is
 * said is within the protocol, no VM is there twice, and when all have gone
 * nothing is left: no VM, no connection, no descriptor.
 *
 * What starts renderers (vm.c) is played here, so that no process is needed.
 *
 * The input: steps, each one byte (what, and which QEMU) and what that takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "vgpud/attach.h"
#include "vgpud/hangs.h"
#include "vgpud/ini.h"
#include "vgpud/launcher.h"
#include "vgpud/vm.h"
#include "vgpud/wire.h"

#define QEMUS        4
#define RENDERER_PID (1 << 30) /* no process */

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static uint8_t next(Input *in)
{
    if (!in->size) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

/* ---- vm.c, played ---- */

static const VmListener *listener;
static bool starts_fail;

void vm_set_listener(const VmListener *l)
{
    listener = l;
}

bool vm_start(Daemon *d, Vm *vm, GError **error)
{
    if (starts_fail) {
        g_set_error(error, VGPUD_ERROR, 0, "there is no renderer");
        return false;
    }
    FUZZ_ASSERT(!vm->pid);
    vm->daemon = d;
    vm->state = VM_STARTING;
    vm->pid = RENDERER_PID;
    return true;
}

static void leave(Vm *vm)
{
    Daemon *d = vm->daemon;

    FUZZ_ASSERT(!vm->client && !vm->pid);
    books_depart(d->books, vm);
    listener->left(d);
}

void vm_kill(Vm *vm, VmReset reset, const char *cause)
{
    FUZZ_ASSERT(cause && *cause && reset < VM_RESET_COUNT);
    g_free(vm->cause);
    vm->cause = g_strdup(cause);
    if (vm->state == VM_RUNNING) {
        vm->state = VM_LOST;
    }
}

void vm_make_room(Vm *vm, const char *cause)
{
    vm_kill(vm, VM_RESET_RESTART, cause);
}

void vm_closed_socket(Vm *vm)
{
    vm->state = VM_LOST;
}

static void start_again(Vm *vm)
{
    g_autoptr(GError) error = NULL;

    vm->again = false;
    if (!vm_start(vm->daemon, vm, &error)) {
        listener->failed(vm, error->message);
    }
}

void vm_start_again(Vm *vm)
{
    vm->state = VM_LOST;
    vm->again = true;
    vm->restarts++;
    if (!vm->pid) {
        start_again(vm);
    }
}

void vm_client_gone(Vm *vm)
{
    FUZZ_ASSERT(vm->client || vm->state != VM_LEAVING);
    vm->client = NULL;
    vm->again = false;
    if (!vm->pid) {
        leave(vm);
    } else {
        vm->state = VM_LEAVING;
    }
}

void vm_hurry(Vm *vm)
{
    if (vm->state != VM_LEAVING) {
        vm_client_gone(vm);
    }
}

void vm_adopt_all(Daemon *d)
{
}

uint64_t vm_memory_cap(const Daemon *d, const Vm *vm)
{
    return vm->memory;
}

void vm_save_all(Daemon *d)
{
}

void vm_tell_changed(Vm *vm)
{
    if (vm->client) {
        listener->changed(vm);
    }
}

/* Something happens to a renderer. */
static void happen(Daemon *d, uint8_t what)
{
    Vm *vm = d->books->vms->len ? d->books->vms->pdata[what / 4 % d->books->vms->len] : NULL;
    Launched l = { .pid = -1, .pidfd = -1, .log = -1, .status = -1, .lease = -1, .call = -1, .wake = -1 };

    if (!vm || !vm->pid) {
        return;
    }
    if (vm->state == VM_STARTING && what % 4 == 0) {
        vm->state = VM_RUNNING;
        l.vhost_user = open("/dev/null", O_RDWR | O_CLOEXEC);
        l.channel = dup(l.vhost_user);
        l.stats = dup(l.vhost_user);
        l.objects = dup(l.vhost_user);
        listener->started(vm, &l);
        launched_clear(&l);
        return;
    }
    vm->pid = 0; /* it is dead */
    if (!vm->client) {
        leave(vm);
    } else if (vm->again) {
        start_again(vm);
    } else if (vm->state == VM_STARTING) {
        vm->state = VM_LOST;
        listener->failed(vm, "it did not start");
    } else {
        vm->state = VM_LOST;
        listener->ended(vm, vm->cause ? vm->cause : "it ended");
    }
}

/* ---- QEMUs ---- */

static Daemon *d;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_size;
static int qemu[QEMUS];

static void turn(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

static void hang_up(unsigned i)
{
    if (qemu[i] >= 0) {
        close(qemu[i]);
        qemu[i] = -1;
    }
}

static void connect_qemu(unsigned i)
{
    hang_up(i);
    qemu[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(qemu[i], (struct sockaddr *)&address, address_size) < 0) {
        FUZZ_ASSERT(errno == EAGAIN); /* too many wait to be accepted */
        hang_up(i);
    }
}

static void check_packet(const void *data, size_t size, unsigned fds)
{
    const struct vgpu_attach_hdr *hdr = data;
    const struct vgpu_attach_refused *refused = data;
    const struct vgpu_attach_event *event = data;
    const struct vgpu_attach_accepted *accepted = data;

    FUZZ_ASSERT(size >= sizeof(*hdr) && hdr->magic == VGPU_ATTACH_MAGIC &&
                hdr->version == VGPU_ATTACH_VERSION);
    FUZZ_ASSERT(hdr->size == size && hdr->fd_count == fds);
    switch (hdr->type) {
    case VGPU_ATTACH_ACCEPTED:
        FUZZ_ASSERT(size == sizeof(*accepted) && fds == VGPU_ATTACH_FD_COUNT && accepted->memory_limit);
        FUZZ_ASSERT(accepted->max_outputs >= 1 && accepted->max_outputs <= 16);
        break;
    case VGPU_ATTACH_REFUSED:
        FUZZ_ASSERT(size == sizeof(*refused) && !fds && refused->code);
        FUZZ_ASSERT(*refused->message && g_utf8_validate(refused->message, -1, NULL));
        FUZZ_ASSERT(!strpbrk(refused->message, "\n\r\x1b"));
        break;
    default:
        FUZZ_ASSERT(hdr->type == VGPU_ATTACH_EVENT && size == sizeof(*event) && !fds && *event->message);
    }
}

/* All that has come for it. */
static void hear(unsigned i)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control;
    uint8_t data[4096];

    while (qemu[i] >= 0) {
        struct iovec iov = { data, sizeof(data) };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(qemu[i], &msg, MSG_CMSG_CLOEXEC);
        struct cmsghdr *c;
        unsigned fds = 0;

        if (n < 0 && errno == EAGAIN) {
            return;
        }
        for (c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL; c; c = CMSG_NXTHDR(&msg, c)) {
            fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            for (unsigned k = 0; k < fds; k++) {
                int fd;

                memcpy(&fd, CMSG_DATA(c) + k * sizeof(int), sizeof(int));
                close(fd);
            }
        }
        if (n <= 0) {
            hang_up(i);
        } else {
            check_packet(data, (size_t)n, fds);
        }
    }
}

static void send_packet(unsigned i, const void *data, size_t size, unsigned fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 4)];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fds) {
        struct cmsghdr *c;

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
        for (unsigned k = 0; k < fds; k++) {
            int out = 2;

            memcpy(CMSG_DATA(c) + k * sizeof(int), &out, sizeof(int));
        }
    }
    /* it may be refused, or closed, by now */
    if (qemu[i] >= 0 && sendmsg(qemu[i], &msg, MSG_NOSIGNAL) < 0) {
        return;
    }
}

/* A good one of some VM, then bytes changed in it: pairs of a place and a value. */
static void request(unsigned i, Input *in)
{
    static const char *const profiles[] = { "", "full", "quarter", "sixteenth", "half", "none" };
    uint8_t who = next(in), how = next(in), changes = next(in) % 8;
    struct vgpu_attach_request r = { .max_outputs = 1 + who / 16,
                                     .flags = how & 1 ? VGPU_ATTACH_F_REJOIN : 0 };

    wire_header(&r.hdr, VGPU_ATTACH_REQUEST, sizeof(r), 0);
    g_strlcpy(r.profile, profiles[how / 2 % G_N_ELEMENTS(profiles)], sizeof(r.profile));
    g_snprintf(r.name, sizeof(r.name), "vm%u", who % 4);
    g_snprintf(r.device, sizeof(r.device), "vgpu%u", who / 4 % 2);
    r.uuid[0] = who % 4; /* 0: without -uuid */
    for (unsigned k = 0; k < changes; k++) {
        unsigned at = next(in);

        at |= (unsigned)next(in) << 8;
        ((uint8_t *)&r)[at % sizeof(r)] = next(in);
    }
    send_packet(i, &r, sizeof(r), how >> 6);
}

static void lost(unsigned i, Input *in)
{
    struct vgpu_attach_lost l = { .cause = next(in) % 5 };

    wire_header(&l.hdr, VGPU_ATTACH_LOST, sizeof(l), 0);
    send_packet(i, &l, sizeof(l), 0);
}

static void raw(unsigned i, Input *in)
{
    size_t size = next(in);

    size |= (size_t)(next(in) % 4) << 8;
    size = MIN(size, in->size);
    send_packet(i, in->data, size, 0);
    in->data += size;
    in->size -= size;
}

static void step(Input *in)
{
    uint8_t what = next(in);
    unsigned i = what / 8 % QEMUS;

    switch (what % 8) {
    case 0:
        connect_qemu(i);
        break;
    case 1:
    case 2:
        request(i, in);
        break;
    case 3:
        lost(i, in);
        break;
    case 4:
        raw(i, in);
        break;
    case 5:
        hang_up(i);
        break;
    case 6:
        happen(d, next(in));
        break;
    case 7:
        starts_fail = what & 0x80;
        break;
    }
    if (what & 0x40) {
        return; /* the next step comes before vgpud has its turn */
    }
    turn();
    for (i = 0; i < QEMUS; i++) {
        hear(i);
    }
}

/* No VM is there twice, none has a connection that is not there. */
static void check_books(void)
{
    unsigned attached = 0;

    for (guint i = 0; i < d->books->vms->len; i++) {
        const Vm *vm = d->books->vms->pdata[i];

        attached += vm->client != NULL;
        FUZZ_ASSERT(books_find(d->books, vm->uuid, vm->device) == vm);
        FUZZ_ASSERT(vm->pid || vm->client);
        FUZZ_ASSERT(vm->memory && vm->gpu && vm->profile);
    }
    FUZZ_ASSERT(attached <= d->connections);
}

static void idle_changed(Daemon *unused)
{
}

static GLogWriterOutput say_nothing(GLogLevelFlags level, const GLogField *fields, gsize count,
                                    gpointer unused)
{
    FUZZ_ASSERT(!(level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)));
    return G_LOG_WRITER_HANDLED;
}

static void set_up(void)
{
    static Daemon daemon;
    Gpu *gpu = g_new0(Gpu, 1);
    int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_log_set_writer_func(say_nothing, NULL, NULL);
    d = &daemon;
    d->config = config_new();
    d->profiles = profile_set_new();
    d->gpus = g_ptr_array_new();
    d->idle_changed = idle_changed;
    gpu->name = g_strdup("software0");
    gpu->memory = 1ull << 30;
    g_ptr_array_add(d->gpus, gpu);
    address_size = (socklen_t)(G_STRUCT_OFFSET(struct sockaddr_un, sun_path) + 1 +
                               (size_t)g_snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                                                  "vgpu-fuzz-%d", (int)getpid()));
    FUZZ_ASSERT(bind(listening, (struct sockaddr *)&address, address_size) == 0 &&
                listen(listening, 16) == 0);
    attach_serve(d, listening);
    for (unsigned i = 0; i < QEMUS; i++) {
        qemu[i] = -1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };
    unsigned before;

    if (!d) {
        set_up();
    }
    d->books = books_new();
    starts_fail = false;
    turn();
    before = fuzz_descriptors();
    while (in.size) {
        step(&in);
        check_books();
    }
    for (unsigned i = 0; i < QEMUS; i++) {
        hang_up(i);
    }
    turn();
    FUZZ_ASSERT(d->connections == 0);
    while (d->books->vms->len) { /* their renderers end */
        guint left = d->books->vms->len;

        happen(d, 1);
        turn();
        FUZZ_ASSERT(d->books->vms->len < left);
    }
    FUZZ_ASSERT(fuzz_descriptors() == before);
    books_free(d->books);
    return 0;
}
