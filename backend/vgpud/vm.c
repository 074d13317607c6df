/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 *            vm_start          exec worked
 *   (new) ------------> STARTING --------> RUNNING --- renderer ended ---> LOST
 *                          |                  |    \--- vm_kill ----------/  |
 *                          |                  | connection closed            | vm_start_again
 *                          \------------> LEAVING -> (gone)             STARTING
 *
 * A VM is in the books, and its memory booked, as long as its QEMU's connection
 * is open or its renderer lives.  A killed renderer lives until the kernel says
 * that it is dead: one that hangs in a driver holds its memory all the time, so
 * nobody else gets it, and no second renderer starts beside it.  After a
 * restart of vgpud the connections are gone, and VMs are RUNNING without one
 * until their renderer ends or their QEMU connects again.
 *
 * A renderer is watched and signalled by pidfd only, so a pid that was given
 * to another process is never hit.  Nothing here waits: a killed renderer is
 * reaped when its pidfd says that it is dead.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drm_usage.h"
#include "figures.h"
#include "graphics.h"
#include "ids.h"
#include "process.h"
#include "process_tree.h"
#include "recording.h"
#include "state.h"
#include "units.h"
#include "vm_lease.h"
#include "vm_page.h"
#include "vmlog.h"

#define START_DEADLINE_S 10  /* namespaces and exec; loading GL comes after */
#define CLOSED_GRACE_MS  200 /* a process that dies closes its sockets first */
#define LEAVE_GRACE_S    3   /* for a renderer whose QEMU is gone */
#define ROOM_DEADLINE_S  5   /* for one that is to finish and end */
#define ABSENT_S         10  /* for a QEMU that is not connected, after that */
#define DEATH_DEADLINE_S 5   /* for a killed renderer, before another one starts */
#define STARTS_AT_ONCE   4   /* renderers of one VM ... */
#define START_GAP_US     G_USEC_PER_SEC

#define SAVE_AGAIN_S 1

static const VmListener *vm_listener;
static bool unsaved; /* the state file is of before */
static guint save_timer;

static void start_when_due(Vm *vm);

void vm_set_listener(const VmListener *listener)
{
    vm_listener = listener;
}

static gboolean on_save_again(gpointer opaque)
{
    save_timer = 0;
    vm_save_all(opaque);
    return G_SOURCE_REMOVE;
}

/* A disk that is full has room again some time, and nothing here need change by then. */
void vm_save_all(Daemon *d)
{
    g_autoptr(GError) error = NULL;
    bool ok = state_save(d->books, d->gpus, d->state_path, d->era, &error);

    if (!ok && !unsaved) {
        g_warning("cannot write the state file, a restart of vgpud would forget its VMs: %s", error->message);
    } else if (ok && unsaved) {
        g_message("the state file is written again");
    }
    unsaved = !ok;
    if (unsaved && !save_timer) {
        save_timer = g_timeout_add_seconds(SAVE_AGAIN_S, on_save_again, d);
    }
}

/* A QEMU that is still to be answered reads what it is in the answer, which has to come first. */
void vm_tell_changed(Vm *vm)
{
    if (vm->client && vm->state == VM_RUNNING) {
        vm_listener->changed(vm);
    }
}

static void changed(Daemon *d)
{
    vm_save_all(d);
    d->idle_changed(d);
}

static void clear_source(guint *source)
{
    if (*source) {
        g_source_remove(*source);
        *source = 0;
    }
}

/*
 * How a process ended, as a sentence's end; takes it from the kernel if it is
 * our child.  *odd: its last words may say why.
 */
static char *reap(int pidfd, bool *odd)
{
    siginfo_t info = { 0 };

    *odd = false;
    if (waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid) {
        return g_strdup("ended"); /* not our child: we were restarted since */
    }
    if (info.si_code == CLD_EXITED) {
        *odd = info.si_status != 0;
        return info.si_status ? g_strdup_printf("ended with exit status %d", info.si_status)
                              : g_strdup("ended");
    }
    *odd = info.si_status != SIGKILL;
    return g_strdup_printf("was killed by signal %d (%s)", info.si_status, strsignal(info.si_status));
}

/* All that is known of a renderer, but for the process itself. */
static void forget_renderer(Vm *vm)
{
    vm_lease_end(vm);
    figures_renderer_ends(vm);
    clear_source(&vm->pid_source);
    clear_source(&vm->timer);
    clear_source(&vm->status_source);
    g_clear_pointer(&vm->log, vmlog_free);
    if (vm->starting) {
        launched_clear(vm->starting);
        g_clear_pointer(&vm->starting, g_free);
    }
    if (vm->page) {
        munmap(vm->page, VGPU_STATS_SIZE);
        vm->page = NULL;
    }
    if (vm->pidfd >= 0) {
        close(vm->pidfd);
        vm->pidfd = -1;
    }
    g_clear_pointer(&vm->tree, process_tree_free);
    g_clear_pointer(&vm->drm, drm_usage_free);
    vm->pid = 0;
    vm->pid_start = 0;
    vm->resident = 0;
    vm->held = 0;
    vm->making_room = false;
}

static void forget_qemu(Vm *vm)
{
    if (vm->qemu_source) {
        clear_source(&vm->qemu_source);
        close(vm->qemu_pidfd);
    }
}

/* Out of the books; its renderer is dead. */
static void vm_remove(Vm *vm)
{
    Daemon *d = vm->daemon;

    g_message("%s: leaves, %" G_GUINT64_FORMAT " MiB of %s are free again", vm->name,
              (guint64)(vm->memory / MIB), vm->gpu);
    clear_source(&vm->again_timer);
    forget_qemu(vm);
    forget_renderer(vm);
    books_depart(d->books, vm);
    changed(d);
    vm_listener->left(d);
}

void vm_kill(Vm *vm, VmReset reset, const char *cause)
{
    g_free(vm->cause);
    vm->reset = reset;
    vm->cause = g_strdup(cause);
    vm_lease_end(vm);
    if (vm->pidfd >= 0) {
        process_kill(vm->pidfd, SIGKILL);
        if (vm->state == VM_RUNNING) {
            vm->state = VM_LOST;
        }
    }
}

static gboolean on_room_deadline(gpointer opaque)
{
    Vm *vm = opaque;

    vm->timer = 0;
    g_message("%s: its renderer did not finish in time and is killed", vm->name);
    process_kill(vm->pidfd, SIGKILL);
    return G_SOURCE_REMOVE;
}

/* It keeps its lease: what it has begun may need the GPU. */
void vm_make_room(Vm *vm, const char *cause)
{
    g_free(vm->cause);
    vm->reset = VM_RESET_RESTART;
    vm->cause = g_strdup(cause);
    vm->making_room = true;
    vm->starts_due = 0; /* who asks for that knows how often */
    clear_source(&vm->timer);
    vm->timer = g_timeout_add_seconds(ROOM_DEADLINE_S, on_room_deadline, vm);
    process_kill(vm->pidfd, SIGTERM);
}

/* Why a child that is not a renderer yet could not become one, or NULL; to free. */
static char *status_text(const Vm *vm)
{
    char text[512];
    ssize_t n = vm->starting ? read(vm->starting->status, text, sizeof(text)) : -1;
    g_autofree char *raw = n > 0 ? g_strndup(text, n) : NULL;

    return raw ? units_clean_text(raw) : NULL;
}

static gboolean on_still_there(gpointer opaque)
{
    Vm *vm = opaque;

    vm->timer = 0;
    vm_kill(vm, VM_RESET_CRASH, "it closed a socket");
    return G_SOURCE_REMOVE;
}

void vm_closed_socket(Vm *vm)
{
    vm->state = VM_LOST;
    clear_source(&vm->timer);
    vm->timer = g_timeout_add(CLOSED_GRACE_MS, on_still_there, vm);
}

static gboolean on_absent(gpointer opaque)
{
    Vm *vm = opaque;

    vm->timer = 0;
    vm_remove(vm);
    return G_SOURCE_REMOVE;
}

/*
 * Nobody is told, as its QEMU has not been heard of since vgpud was restarted.  Where
 * it was us who ended the renderer the QEMU asks for another one in a moment.
 */
static void ended_unheard(Vm *vm, bool for_another)
{
    if (!for_another) {
        vm_remove(vm);
        return;
    }
    vm->state = VM_LOST;
    vm->resets[vm->reset]++;
    vm->timer = g_timeout_add_seconds(ABSENT_S, on_absent, vm);
    changed(vm->daemon);
}

static gboolean on_renderer_end(gint pidfd, GIOCondition condition, gpointer opaque)
{
    Vm *vm = opaque;
    Daemon *d = vm->daemon;
    bool odd;
    g_autofree char *how = NULL, *why = NULL;
    bool starting = vm->state == VM_STARTING, room = vm->making_room;

    vm_lease_end(vm); /* the others first; and its pid is nobody else's yet */
    how = reap(pidfd, &odd);
    if (vm->log) {
        vmlog_drain(vm->log);
    }
    if (starting && (why = status_text(vm))) {
        /* what the child itself says */
    } else if (vm->cause) {
        why = g_strdup_printf("the renderer of %s was ended: %s", vm->name, vm->cause);
    } else if (odd && vm->log && *vmlog_last(vm->log)) {
        why =
            g_strdup_printf("the renderer of %s %s; its last words: %s", vm->name, how, vmlog_last(vm->log));
    } else {
        why = g_strdup_printf("the renderer of %s %s", vm->name, how);
    }
    g_message("%s", why);
    vm->pid_source = 0;
    forget_renderer(vm);
    if (!vm->client) {
        ended_unheard(vm, room && vm->qemu_source);
        return G_SOURCE_REMOVE;
    }
    vm->state = VM_LOST;
    if (!vm->cause) {
        vm->reset = VM_RESET_CRASH;
        vm->cause = g_strdup(why);
    }
    vm->resets[vm->reset] += !starting;
    changed(d);
    if (vm->again) {
        start_when_due(vm);
    } else if (starting) {
        vm_listener->failed(vm, why);
    } else {
        vm_listener->ended(vm, why);
    }
    return G_SOURCE_REMOVE;
}

/* The renderer could not be started: it goes, and the QEMU hears why. */
static void start_failed(Vm *vm, const char *why)
{
    clear_source(&vm->status_source);
    clear_source(&vm->timer);
    vm_kill(vm, VM_RESET_CRASH, why);
    vm->state = VM_LOST;
    g_warning("%s: %s", vm->name, why);
    vm_listener->failed(vm, why); /* closes the connection: vm may be gone */
}

static gboolean on_start_deadline(gpointer opaque)
{
    Vm *vm = opaque;

    vm->timer = 0;
    start_failed(vm, "the renderer did not start within 10 seconds");
    return G_SOURCE_REMOVE;
}

static gboolean on_status(gint fd, GIOCondition condition, gpointer opaque)
{
    Vm *vm = opaque;
    struct pollfd dead = { .fd = vm->pidfd, .events = POLLIN };
    Launched *l;
    g_autofree char *text = status_text(vm);

    vm->status_source = 0;
    if (text) {
        start_failed(vm, text);
        return G_SOURCE_REMOVE;
    }
    if (poll(&dead, 1, 0) > 0) {
        return G_SOURCE_REMOVE; /* on_renderer_end tells why */
    }
    clear_source(&vm->timer);
    vm->state = VM_RUNNING;
    l = g_steal_pointer(&vm->starting);
    changed(vm->daemon);
    g_message("%s: renderer started, process %d, %" G_GUINT64_FORMAT " MiB of %s by profile %s", vm->name,
              vm->pid, (guint64)(vm->memory / MIB), vm->gpu, vm->profile);
    vm_listener->started(vm, l);
    launched_clear(l);
    g_free(l);
    return G_SOURCE_REMOVE;
}

/* For renderers that can have Vulkan, of profiles that allow it; to free.  main.c tells why there is none. */
static char *vulkan_layer(const Daemon *d, const Vm *vm, const char *kind)
{
    g_autofree char *why = NULL;

    if (!(vm->apis & PROFILE_API_VULKAN) || g_str_equal(kind, "2d") || g_str_equal(kind, "null")) {
        return NULL;
    }
    return launcher_find_layer(d->config->vulkan_layer, &why);
}

bool vm_start(Daemon *d, Vm *vm, GError **error)
{
    g_autofree char *renderer = launcher_find_renderer(d->config->renderer, error);
    const Gpu *gpu = gpu_find(d->gpus, vm->gpu);
    const char *kind = vm->no_3d && !g_str_equal(d->config->kind, "null") ? "2d" : d->config->kind;
    g_autofree char *layer = vulkan_layer(d, vm, kind);
    g_autofree char *udmabuf = gpu && !gpu->node && layer ? gpu_udmabuf("/dev", "/sys", vm->memory) : NULL;
    g_autoptr(GError) no_lease = NULL;
    Launched *l;
    bool started;

    if (!renderer) {
        return false;
    }
    LaunchSpec spec = {
        .renderer = renderer,
        .apis = profile_apis_text(vm->apis),
        .vulkan_layer = layer,
        .kind = kind,
        .vm_name = vm->name,
        .profile = vm->profile,
        .gpu = vm->gpu,
        .node = gpu ? gpu->node : NULL,
        .device_path = gpu ? gpu->device_path : NULL,
        .udmabuf = udmabuf,
        .environment = d->config->environment,
        .memory = vm->memory,
        .clock_base = vm->clock_base = figures_now(),
        .file_most = MAX(gpu ? gpu->memory : 0, vm->memory) + d->config->memory_overhead,
        .max_contexts = vm->max_contexts,
        .max_outputs = vm->max_outputs,
        .max_width = vm->max_width,
        .max_height = vm->max_height,
        .cpus = vm->cpus,
        .slot = vm->slot,
        .uid = ids_of_slot(d->uid_base, vm->slot),
        .sandbox = d->config->sandbox,
        .lease = d->leases != NULL,
        .record = -1,
    };
    if (g_str_equal(kind, "auto") || g_str_equal(kind, "virgl")) {
        graphics_choose(d->graphics, gpu, &spec.facts, &spec.zygote);
    }
    if (d->config->record) {
        g_autoptr(GError) unrecorded = NULL;

        spec.record = recording_open(d->config->record, vm->name, &unrecorded);
        if (unrecorded) {
            g_warning("%s", unrecorded->message);
        }
    }
    vm->daemon = d;
    vm->starts_due = MAX(vm->starts_due, g_get_monotonic_time()) + START_GAP_US;
    l = g_new0(Launched, 1);
    started = launcher_start(&spec, l, error);
    if (spec.record >= 0) {
        close(spec.record);
    }
    if (!started) {
        g_free(l);
        return false;
    }
    g_clear_pointer(&vm->cause, g_free);
    vm->state = VM_STARTING;
    vm->pid = l->pid;
    vm->pidfd = l->pidfd;
    l->pidfd = -1;
    vm->page = g_steal_pointer(&l->page);
    vm_page_begin(vm);
    if (!process_start_time(vm->pid, &vm->pid_start)) {
        vm->pid_start = 0;
    }
    vm->tree = process_tree_new(vm->pid, vm->pid_start);
    vm->log = vmlog_new(l->log, vm->name);
    l->log = -1;
    vm->starting = l;
    if (!vm_lease_start(d, vm, l, &no_lease)) {
        vm_kill(vm, VM_RESET_CRASH, no_lease->message); /* on_renderer_end tells */
    }
    vm->pid_source = g_unix_fd_add(vm->pidfd, G_IO_IN, on_renderer_end, vm);
    vm->status_source = g_unix_fd_add(l->status, G_IO_IN | G_IO_HUP, on_status, vm);
    vm->timer = g_timeout_add_seconds(START_DEADLINE_S, on_start_deadline, vm);
    changed(d);
    return true;
}

static gboolean on_leave_deadline(gpointer opaque)
{
    Vm *vm = opaque;

    vm->timer = 0;
    vm_kill(vm, VM_RESET_QEMU, "its QEMU is gone and it did not end by itself");
    return G_SOURCE_REMOVE;
}

void vm_client_gone(Vm *vm)
{
    bool starting = vm->state == VM_STARTING;

    forget_qemu(vm);
    vm->client = NULL;
    vm->again = false;
    clear_source(&vm->again_timer);
    if (vm->pidfd < 0) {
        vm_remove(vm);
        return;
    }
    vm->state = VM_LEAVING;
    clear_source(&vm->timer);
    if (starting) {
        clear_source(&vm->status_source);
        vm_kill(vm, VM_RESET_QEMU, "its QEMU is gone");
    } else {
        vm->timer = g_timeout_add_seconds(LEAVE_GRACE_S, on_leave_deadline, vm);
    }
    changed(vm->daemon);
}

void vm_hurry(Vm *vm)
{
    if (vm->state != VM_LEAVING) {
        vm_client_gone(vm);
    }
    clear_source(&vm->timer);
    vm_kill(vm, VM_RESET_QEMU, "its QEMU is gone and its slice is wanted");
}

static void again_failed(Vm *vm, const char *why)
{
    vm->again = false;
    g_warning("%s: %s", vm->name, why);
    vm_listener->failed(vm, why);
}

static gboolean on_undead(gpointer opaque)
{
    Vm *vm = opaque;
    g_autofree char *why = g_strdup_printf("its renderer, process %d, was killed and does not end: the GPU's "
                                           "driver holds it; look into the host's kernel log",
                                           (int)vm->pid);

    vm->again_timer = 0;
    again_failed(vm, why);
    return G_SOURCE_REMOVE;
}

static gboolean on_due(gpointer opaque)
{
    Vm *vm = opaque;

    vm->again_timer = 0;
    start_when_due(vm);
    return G_SOURCE_REMOVE;
}

/* Its last renderer is dead: starts the next, or waits until it may. */
static void start_when_due(Vm *vm)
{
    int64_t wait = vm->starts_due - (STARTS_AT_ONCE - 1) * START_GAP_US - g_get_monotonic_time();
    g_autoptr(GError) error = NULL;

    clear_source(&vm->again_timer);
    if (wait > 0) {
        vm->again_timer = g_timeout_add(wait / 1000 + 1, on_due, vm);
        return;
    }
    vm->again = false;
    if (!vm_start(vm->daemon, vm, &error)) {
        again_failed(vm, error->message);
    }
}

void vm_start_again(Vm *vm)
{
    bool dying = vm->state == VM_LOST && vm->timer && vm->pidfd >= 0;

    if (!dying) { /* else its end tells why, or the timer ends it: see vm_closed_socket */
        clear_source(&vm->timer);
    }
    clear_source(&vm->status_source);
    vm->state = VM_LOST;
    vm->again = true;
    vm->restarts++;
    if (vm->pidfd < 0) {
        start_when_due(vm);
        return;
    }
    if (dying) {
        /* in a moment */
    } else if (vm->cause) {
        process_kill(vm->pidfd, SIGKILL);
    } else {
        vm_kill(vm, VM_RESET_QEMU, "its QEMU asked for another one");
    }
    vm->again_timer = g_timeout_add_seconds(DEATH_DEADLINE_S, on_undead, vm);
}

/*
 * The statistics page of a renderer that an earlier vgpud started: the
 * renderer may have put anything in its place, so it must be a memfd that
 * cannot shrink under our map.
 */
static struct vgpu_stats *adopt_page(int pidfd)
{
    int fd = process_get_fd(pidfd, LAUNCHER_STATS_FD);
    int seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
    void *page = MAP_FAILED;
    struct stat st;

    if (seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 && st.st_size >= VGPU_STATS_SIZE) {
        page = mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return page == MAP_FAILED ? NULL : page;
}

static gboolean on_qemu_end(gint pidfd, GIOCondition condition, gpointer opaque)
{
    Vm *vm = opaque;

    if (!vm->client) { /* else its connection tells */
        vm_client_gone(vm);
    } else {
        forget_qemu(vm);
    }
    return G_SOURCE_CONTINUE; /* it was removed */
}

/* Its connection went with the vgpud before. */
static void watch_qemu(Vm *vm)
{
    int fd = vm->qemu_pid ? process_open(vm->qemu_pid, vm->qemu_start) : -1;

    if (fd >= 0) {
        vm->qemu_pidfd = fd;
        vm->qemu_source = g_unix_fd_add(fd, G_IO_IN, on_qemu_end, vm);
    }
}

void vm_adopt_all(Daemon *d)
{
    for (guint i = 0; i < d->books->vms->len;) {
        Vm *vm = d->books->vms->pdata[i];
        g_autoptr(GError) no_lease = NULL;
        int log;

        vm->daemon = d;
        vm->pidfd = process_open(vm->pid, vm->pid_start);
        if (vm->pidfd < 0) {
            g_message("%s: its renderer ended while vgpud was away", vm->name);
            vm->pid = 0;
            vm->pid_start = 0;
            books_depart(d->books, vm);
            continue;
        }
        vm->tree = process_tree_new(vm->pid, vm->pid_start);
        log = vmlog_take_back(vm->pidfd);
        vm->log = log >= 0 ? vmlog_new(log, vm->name) : NULL;
        vm->page = adopt_page(vm->pidfd);
        if (vm->page) {
            vm_page_adopt(vm);
        }
        vm->pid_source = g_unix_fd_add(vm->pidfd, G_IO_IN, on_renderer_end, vm);
        watch_qemu(vm);
        if (!vm_lease_adopt(d, vm, &no_lease)) {
            g_autofree char *why = g_strdup_printf("its lease cannot be taken back: %s", no_lease->message);

            g_warning("%s: %s", vm->name, why);
            vm_kill(vm, VM_RESET_PROTOCOL, why);
        }
        g_message("%s: still runs (process %d), taken back with %" G_GUINT64_FORMAT " MiB of %s", vm->name,
                  vm->pid, (guint64)(vm->memory / MIB), vm->gpu);
        i++;
    }
}
