/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpud is killed, again and again, while guests work: they work on, and the
 * next one has the same books.  How GPU time is divided after that is
 * test-vgpud-leases.c's.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "census.h"
#include "gpu_cmd.h"
#include "http.h"

#define VMS       6
#define CELLS     8
#define KEPT      4     /* resources of a guest */
#define SOON      20000 /* ms */
#define WORKED    20    /* steps that show that it works */
#define KILLED    4     /* times */
#define FIRST_OLD 1000  /* id of a resource that stays */

/* Guests that work on a thread of their own; whoever holds the lock may look at them. */
typedef struct Vm {
    char name[8];
    int fd;
    pid_t pid;
    Frontend *f; /* NULL: has left */
    unsigned steps;
} Vm;

typedef struct Host {
    Vgpud *d;
    Vm vm[VMS];
    GMutex lock;
    GThread *guests;
    gint quit;
} Host;

static void guest_step(Vm *v)
{
    static const uint32_t nothing[] = { 0 };
    uint32_t id = 1 + v->steps % KEPT;

    if (!v->f || v->f->dead) {
        return;
    }
    if (v->steps >= KEPT) {
        g_assert_cmphex(gpu_unref(v->f, id), ==, OK_NODATA);
    }
    g_assert_cmphex(gpu_create_2d(v->f, id, BGRX, 64, 1 + v->steps * 7 % 512), ==, OK_NODATA);
    g_assert_cmphex(gpu_submit(v->f, 1, nothing, 1), ==, OK_NODATA);
    v->steps++;
}

static gpointer guests_work(gpointer data)
{
    Host *h = data;

    while (!g_atomic_int_get(&h->quit)) {
        for (unsigned i = 0; i < VMS; i++) {
            g_mutex_lock(&h->lock);
            guest_step(&h->vm[i]);
            g_mutex_unlock(&h->lock);
        }
        g_usleep(500);
    }
    return NULL;
}

/* Every guest that is there comes on. */
static void expect_work(Host *h)
{
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;

    for (unsigned i = 0; i < VMS; i++) {
        unsigned first = 0, now = 0;
        bool there = true, seen = false;

        do {
            g_mutex_lock(&h->lock);
            now = h->vm[i].steps;
            there = h->vm[i].f && !h->vm[i].f->dead;
            g_mutex_unlock(&h->lock);
            first = seen ? first : now;
            seen = true;
            g_usleep(2000);
        } while (there && now < first + WORKED && g_get_monotonic_time() < end);
        if (there) {
            g_assert_cmpuint(now, >=, first + WORKED);
        }
    }
}

static JsonObject *listed(JsonNode *root, const Vm *v)
{
    JsonObject *o = vgpud_vm(root, v->name);

    if (!o) {
        g_test_fail_printf("%s is not listed", v->name);
    }
    return o;
}

/* The guests as they are, to the byte, and nobody else. */
static void expect_books(Host *h)
{
    g_autoptr(JsonNode) root = NULL, gpus = NULL;
    JsonArray *a;
    unsigned vms = 0;

    g_mutex_lock(&h->lock); /* no guest changes anything now */
    a = census_ask(h->d, "/v1/vms", &root);
    for (unsigned i = 0; i < VMS; i++) {
        JsonObject *o = h->vm[i].f ? listed(root, &h->vm[i]) : NULL;

        if (!o) {
            continue;
        }
        vms++;
        g_assert_cmpint(json_object_get_int_member(o, "pid"), ==, h->vm[i].pid);
        g_assert_cmpstr(json_object_get_string_member(o, "state"), ==, "running");
        g_assert_cmpint(json_object_get_int_member(o, "memory_limit_bytes"), ==, CENSUS_CELL);
        g_assert_cmpint(json_object_get_int_member(o, "memory_used_bytes"), ==, frontend_used(h->vm[i].f));
        g_assert_cmpint(json_object_get_int_member(o, "restarts"), ==, 0);
    }
    g_mutex_unlock(&h->lock);
    g_assert_cmpuint(a ? json_array_get_length(a) : 0, ==, vms);
    a = census_ask(h->d, "/v1/gpus", &gpus);
    if (a) {
        JsonObject *gpu = json_array_get_object_element(a, 0);

        g_assert_cmpint(json_object_get_int_member(gpu, "vms"), ==, vms);
        g_assert_cmpuint(json_object_get_int_member(gpu, "memory_booked_bytes"), ==, vms * CENSUS_CELL);
        g_assert_cmpuint(json_object_get_int_member(gpu, "memory_free_bytes"), ==,
                         (CELLS - vms) * CENSUS_CELL);
    }
}

/* As many more as there is room for, and not one more. */
static void expect_room(Host *h, unsigned room)
{
    int fd[CELLS + 1];
    AttachPacket p;
    FrontendFds fds;

    for (unsigned i = 0; i <= room; i++) {
        struct vgpu_attach_request r = attach_request("cell", "more", 100 + i);

        fd[i] = attach_connect(h->d);
        g_assert_true(attach_send(fd[i], &r, sizeof(r), NULL, 0));
        g_assert_true(attach_receive(fd[i], &p, &fds, SOON));
        g_assert_cmpuint(p.hdr.type, ==, i < room ? VGPU_ATTACH_ACCEPTED : VGPU_ATTACH_REFUSED);
        if (p.hdr.type == VGPU_ATTACH_ACCEPTED) {
            close(fds.vhost);
            close(fds.channel);
            close(fds.stats);
            close(fds.objects);
        } else {
            g_assert_cmpuint(p.refused.code, ==, VGPU_REFUSED_FULL);
        }
    }
    for (unsigned i = 0; i <= room; i++) {
        close(fd[i]);
    }
    g_assert_true(vgpud_wait_vms(h->d, CELLS - room, SOON));
}

static void change(Host *h, const char *path, const char *body)
{
    g_autoptr(HttpReply) r = http_ask(h->d, "PATCH", path, JSON_TYPE, body);

    http_expect_object(r);
}

/* What an operator set is in force still. */
static void expect_settings(Host *h)
{
    g_autoptr(JsonNode) root = NULL, gpus = NULL;
    JsonArray *a;
    JsonObject *o;

    if (!census_ask(h->d, "/v1/vms", &root) || !(o = listed(root, &h->vm[1]))) {
        return;
    }
    g_assert_cmpfloat(json_object_get_double_member(o, "share"), ==, 0.4);
    g_assert_cmpstr(json_object_get_string_member(o, "priority"), ==, "high");
    g_assert_cmpint(json_object_get_int_member(o, "quantum_us"), ==, 4000);
    a = census_ask(h->d, "/v1/gpus", &gpus);
    if (a) {
        o = json_array_get_object_element(a, 0);
        g_assert_cmpstr(json_object_get_string_member(o, "policy"), ==, "equal-share");
    }
}

static Host *host_new(void)
{
    Host *h = g_new0(Host, 1);

    h->d = census_vgpud("null", CELLS);
    g_mutex_init(&h->lock);
    for (unsigned i = 0; i < VMS; i++) {
        Vm *v = &h->vm[i];

        g_snprintf(v->name, sizeof(v->name), "vm%u", i);
        v->f = attach_vm(h->d, "cell", v->name, i, &v->fd);
        if (!v->f) {
            break;
        }
        v->pid = vgpud_renderer_pid(h->d, v->name);
        g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
        g_assert_cmphex(gpu_create_2d(v->f, FIRST_OLD, BGRX, 64, 64), ==, OK_NODATA);
    }
    h->guests = g_thread_new("guests", guests_work, h);
    return h;
}

/* Its QEMU is gone. */
static void vm_leave(Host *h, Vm *v)
{
    g_mutex_lock(&h->lock);
    g_clear_pointer(&v->f, frontend_free);
    g_mutex_unlock(&h->lock);
    if (v->fd >= 0) {
        close(v->fd);
        v->fd = -1;
    }
}

static void host_free(Host *h)
{
    for (unsigned i = 0; i < VMS; i++) {
        vm_leave(h, &h->vm[i]);
    }
    g_atomic_int_set(&h->quit, 1);
    g_thread_join(h->guests);
    vgpud_free(h->d);
    g_mutex_clear(&h->lock);
    g_free(h);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

static void lose_vgpud(Host *h)
{
    vgpud_end(h->d, SIGKILL);
    for (unsigned i = 0; i < VMS; i++) {
        Vm *v = &h->vm[i];

        if (v->fd >= 0) {
            g_assert_true(attach_closed(v->fd, SOON));
            close(v->fd);
            v->fd = -1;
        }
    }
}

static void test_under_load(void)
{
    g_autoptr(Host) h = host_new();

    expect_work(h);
    change(h, "/v1/vms/vm1", "{\"share\":0.4,\"priority\":\"high\",\"quantum\":\"4ms\"}");
    change(h, "/v1/gpus/software0", "{\"policy\":\"equal-share\"}");
    for (unsigned n = 0; n < KILLED && !g_test_failed(); n++) {
        lose_vgpud(h);
        expect_work(h);
        g_assert_true(vgpud_run(h->d));
        expect_books(h); /* at once: no client has to do anything for it */
        expect_settings(h);
        expect_work(h);
        expect_room(h, CELLS - VMS);
        expect_books(h);
    }
    g_mutex_lock(&h->lock); /* a front-end is one thread's at a time */
    for (unsigned i = 0; i < VMS; i++) {
        g_assert_cmphex(gpu_unref(h->vm[i].f, FIRST_OLD), ==, OK_NODATA);
    }
    g_mutex_unlock(&h->lock);
}

/* QEMU has no renderer any more and asks for one. */
static void rejoin(Host *h, Vm *v)
{
    struct vgpu_attach_request r = attach_request("cell", v->name, (unsigned)(v - h->vm));
    FrontendOptions o = { .ram = 32ull << 20 };
    AttachPacket p;
    FrontendFds fds;
    Frontend *f, *old;

    g_mutex_lock(&h->lock);
    old = g_steal_pointer(&v->f);
    if (old) {
        old->dead = true; /* as its QEMU sees it */
    }
    g_mutex_unlock(&h->lock);
    r.flags = VGPU_ATTACH_F_REJOIN;
    v->fd = attach_connect(h->d);
    g_assert_true(attach_send(v->fd, &r, sizeof(r), NULL, 0));
    if (!attach_receive(v->fd, &p, &fds, SOON) || p.hdr.type != VGPU_ATTACH_ACCEPTED) {
        g_test_fail_printf("%s gets no renderer: %s", v->name, p.refused.message);
        return;
    }
    g_clear_pointer(
        &old, frontend_free); /* not before: a renderer that ends while nobody is connected is forgotten */
    f = frontend_adopt(&o, &fds);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    v->pid = vgpud_renderer_pid(h->d, v->name);
    g_mutex_lock(&h->lock);
    v->steps = 0;
    v->f = f;
    g_mutex_unlock(&h->lock);
}

/* Nobody told vgpud what became of its VMs while it was away, nor does anybody after it came back. */
static void test_changes_meanwhile(void)
{
    g_autoptr(Host) h = host_new();
    Vm *stays = &h->vm[0], *left = &h->vm[1], *crashed = &h->vm[2], *crashes = &h->vm[3],
       *starts_again = &h->vm[4], *leaves = &h->vm[5];
    int64_t end;

    expect_work(h);
    lose_vgpud(h);
    vm_leave(h, left);
    g_mutex_lock(&h->lock);
    kill(crashed->pid, SIGKILL);
    crashed->f->dead = true;
    g_clear_pointer(&crashed->f, frontend_free);
    g_mutex_unlock(&h->lock);
    end = g_get_monotonic_time() + SOON * 1000ll;
    while (census_orphans(h->d) > VMS - 2 && g_get_monotonic_time() < end) {
        g_usleep(10000);
    }
    g_assert_true(vgpud_run(h->d));
    expect_books(h);
    rejoin(h, crashed); /* vgpud has forgotten it: it comes as a new one */
    expect_books(h);

    /* one that its QEMU gives up; the slice is the same */
    pid_t was = starts_again->pid;
    rejoin(h, starts_again);
    g_assert_cmpint(starts_again->pid, !=, was);
    {
        g_autoptr(JsonNode) root = NULL;
        JsonObject *o = census_ask(h->d, "/v1/vms", &root) ? listed(root, starts_again) : NULL;

        g_assert_true(o && json_object_get_int_member(o, "restarts") == 1);
    }
    g_assert_true(vgpud_wait_vms(h->d, VMS - 1, SOON));

    /* one that crashes while no QEMU is connected, and one that leaves so */
    g_mutex_lock(&h->lock);
    kill(crashes->pid, SIGKILL);
    crashes->f->dead = true;
    g_clear_pointer(&crashes->f, frontend_free);
    g_mutex_unlock(&h->lock);
    vm_leave(h, leaves);
    g_assert_true(vgpud_wait_vms(h->d, VMS - 3, SOON));
    expect_work(h);
    expect_room(h, CELLS - VMS + 3);
    g_assert_true(proc_alive(stays->pid));
    rejoin(h, crashes);
    g_assert_true(vgpud_wait_vms(h->d, VMS - 2, SOON));
    expect_work(h);
}

static bool logged(Host *h, const char *text)
{
    off_t size = lseek(h->d->log_fd, 0, SEEK_END);
    g_autofree char *log = g_malloc0(size + 1);

    return pread(h->d->log_fd, log, size, 0) == size && strstr(log, text);
}

/* What a renderer has to say is in the next vgpud's log: it had nobody to tell for the rest of its life. */
static void test_log(void)
{
    g_autoptr(Host) h = host_new();
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;

    expect_work(h);
    lose_vgpud(h);
    g_assert_true(vgpud_run(h->d));
    g_mutex_lock(&h->lock);
    g_assert_cmphex(gpu_unref(h->vm[0].f, 777001), !=, OK_NODATA);
    g_mutex_unlock(&h->lock);
    while (!logged(h, "vm0: vgpu-renderer[vm0]: there is no resource 777001")) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        if (g_test_failed()) {
            break;
        }
        g_usleep(10000);
    }
}

/*
 * A state file that could not be written, as on a full disk, is written when that is over, though nothing
 * else changes by then: a vgpud that was restarted later did not know its VMs.
 */
static void test_state_again(void)
{
    g_autoptr(Host) h = host_new();
    g_autofree char *state = g_build_filename(h->d->folder, "vgpud.state", NULL);
    g_autofree char *inside = g_build_filename(state, "in-the-way", NULL);
    int64_t end = g_get_monotonic_time() + SOON * 1000ll;

    g_assert_cmpint(g_unlink(state), ==, 0);
    g_assert_cmpint(g_mkdir_with_parents(inside, 0700), ==, 0);
    change(h, "/v1/vms/vm1", "{\"share\":0.4}");
    g_assert_true(logged(h, "cannot write the state file"));
    g_assert_cmpint(g_rmdir(inside), ==, 0);
    g_assert_cmpint(g_rmdir(state), ==, 0);
    while (!g_file_test(state, G_FILE_TEST_IS_REGULAR) && g_get_monotonic_time() < end) {
        g_usleep(10000);
    }
    g_assert_true(g_file_test(state, G_FILE_TEST_IS_REGULAR));
    lose_vgpud(h);
    g_assert_true(vgpud_run(h->d));
    expect_books(h);
    expect_work(h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    census_adopt_orphans();
    g_test_add_func("/vgpud/restart/under-load", test_under_load);
    g_test_add_func("/vgpud/restart/changes-meanwhile", test_changes_meanwhile);
    g_test_add_func("/vgpud/restart/log", test_log);
    g_test_add_func("/vgpud/restart/state-again", test_state_again);
    return g_test_run();
}
