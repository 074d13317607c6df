/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases in bad times: vgpud is killed, and work hangs. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu_cmd.h"
#include "http.h"
#include "load.h"
#include "proc.h"
#include "qemu.h"

/* ---- restarts ---- */

static int64_t used_by(Vgpud *d, const char *const *names, unsigned count)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += vm_number(d, names[i], "gpu_time_ns");
    }
    return sum;
}

/*
 * vgpud is killed under load and started again: each VM has the renderer that it
 * had; from two seconds after the start on each has its share, at the first
 * look and to the end; and no time is charged twice, or not at all.
 */
static void test_restart(void)
{
    static const char *const names[] = { "a", "b", "c", "d" }, *const profile[] = { "tenth", "even", "even",
                                                                                    "rest" };
    static const double want[] = { 10.0 / 150, 25.0 / 150, 25.0 / 150, 90.0 / 150 };
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    uint64_t done[4], work = 0;
    int64_t charged, since;
    pid_t pid[4];
    Load l[4];

    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(load_start(&l[i], d, profile[i], names[i], i + 1, 2000));
    }
    pump(l, 4, 500);
    for (unsigned i = 0; i < 4; i++) {
        pid[i] = vgpud_renderer_pid(d, names[i]);
    }
    vgpud_end(d, SIGKILL);
    pump(l, 4, 1500); /* nobody divides: all work */
    g_assert_true(vgpud_run(d));
    pump(l, 4, 2000);
    charged = used_by(d, names, 4);
    since = g_get_monotonic_time();
    for (unsigned i = 0; i < 4; i++) {
        done[i] = l[i].done_us;
    }
    pump(l, 4, 3000);
    charged = used_by(d, names, 4) - charged;
    since = g_get_monotonic_time() - since;
    for (unsigned i = 0; i < 4; i++) {
        done[i] = l[i].done_us - done[i];
        work += done[i];
    }
    for (unsigned i = 0; i < 4; i++) {
        double share = (double)done[i] / (double)work;

        g_test_message("%s: %.3f, to be %.3f", names[i], share, want[i]);
        g_assert_cmpfloat(ABS(share / want[i] - 1), <=, 0.15);
        g_assert_cmpint(vgpud_renderer_pid(d, names[i]), ==, pid[i]);
        g_assert_cmpint(vm_number(d, names[i], "hangs"), ==, 0);
    }
    g_test_message("%.3f s of GPU time charged for %.3f s of work in %.3f s", (double)charged / 1e9,
                   (double)work / 1e6, (double)since / 1e6);
    g_assert_cmpfloat((double)charged, <, (double)since * 1000 * 1.02);
    /* each was seen to be done up to 16 of 2 ms late, at either end */
    g_assert_cmpfloat((double)charged, >, (double)work * 1000 * 0.9 - 64e6);
    for (unsigned i = 0; i < 4; i++) {
        load_end(&l[i]);
    }
}

/* A renderer that was given a lease and has none any more would use the GPU without. */
static void test_restart_without_lease(void)
{
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    g_autofree char *log = NULL;
    pid_t pid;
    Load l;

    g_assert_true(load_start(&l, d, "even", "stray", 1, 1000));
    pump(&l, 1, 100);
    pid = vgpud_renderer_pid(d, "stray");
    vgpud_end(d, SIGKILL);
    g_assert_true(proc_alive(pid));
    g_assert_true(vgpud_run(d));
    for (unsigned i = 0; i < SOON / 10 && proc_alive(pid); i++) {
        g_usleep(10000);
    }
    g_assert_false(proc_alive(pid));
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    log = http_log(d);
    g_assert_nonnull(strstr(log, "stray: its lease cannot be taken back"));
    l.f->exit_unchecked = true;
    l.f->dead = true;
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        g_clear_pointer(&l.p[i], pending_free);
    }
    load_end(&l);
}

/* ---- hangs ---- */

/* The work of this VM hangs, and it is told who is to blame, for how long, and what to do. */
static void hang_once(Vgpud *d, Load *l, Load *other, AttachPacket *p)
{
    static const uint32_t forever = 60 * 1000 * 1000;
    uint64_t done = other->done_us;

    g_assert_nonnull(gpu_submit_fenced(l->f, 1, &forever, 1, ++l->fence));
    for (unsigned i = 0; i < 200 && !attach_receive(l->fd, p, NULL, 0); i++) {
        pump(other, 1, 100);
    }
    g_assert_cmpuint(p->hdr.type, ==, VGPU_ATTACH_EVENT);
    pump(other, 1, 100);
    g_assert_cmpuint(other->done_us, >, done);
}

/* Its QEMU takes the next renderer; which kind it is. */
static const char *rejoin(Vgpud *d, Load *l)
{
    struct vgpu_attach_request r = attach_request("brittle", "unlucky", 1);
    FrontendOptions o = { .ram = 32ull << 20 };
    FrontendFds fds;
    AttachPacket p;

    l->f->exit_unchecked = true;
    l->f->dead = true; /* it is, and nothing of it is to be waited for */
    g_clear_pointer(&l->f, frontend_free);
    r.flags = VGPU_ATTACH_F_REJOIN;
    g_assert_true(attach_send(l->fd, &r, sizeof(r), NULL, 0));
    g_assert_true(attach_receive(l->fd, &p, &fds, ATTACH_DEADLINE));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_ACCEPTED);
    l->f = frontend_adopt(&o, &fds);
    return l->f->hello.kind == VGPU_RENDERER_2D ? "2d" : "3d";
}

/* The same VM in a new QEMU; which kind of renderer it gets. */
static const char *start_anew(Vgpud *d)
{
    Qemu *q = qemu_new(d);
    int fd = qemu_connect(q);
    Frontend *f = attach_vm_over(fd, "brittle", "unlucky", 1);
    const char *kind = f && f->hello.kind == VGPU_RENDERER_2D ? "2d" : "3d";

    g_assert_nonnull(f);
    g_assert_cmpint(vm_flag(d, "unlucky", "allowed_3d"), ==, strcmp(kind, "2d") != 0);
    qemu_free(q);
    frontend_free(f);
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 1, SOON)); /* the other */
    return kind;
}

/* Whose 3D is off may have it back while it runs, and keeps it. */
static void test_allowed_again(Vgpud *d)
{
    Qemu *q = qemu_new(d);
    int fd = qemu_connect(q);
    Frontend *f = attach_vm_over(fd, "brittle", "unlucky", 1);
    Load other;

    g_assert_nonnull(f);
    change(d, "POST", "/v1/vms/unlucky/allow", NULL);
    g_assert_true(vm_flag(d, "unlucky", "allowed_3d"));
    qemu_free(q);
    frontend_free(f);
    close(fd);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_assert_true(load_start(&other, d, "even", "b", 2, 1000));
    g_assert_cmpstr(start_anew(d), ==, "3d");
    load_end(&other);
}

/*
 * The third hang is one too many: the VM's next renderer is the 2D one, and so
 * is that of its next QEMU, and that of the next vgpud, until it is allowed.
 */
static void test_hang(void)
{
    g_autoptr(Vgpud) d = new_vgpud_of("auto", "sleep", NULL);
    g_autofree char *log = NULL;
    Qemu *q = qemu_new(d);
    Load l = { .fd = qemu_connect(q), .us = 1000 }, other;
    AttachPacket p;

    l.f = attach_vm_over(l.fd, "brittle", "unlucky", 1);
    g_assert_true(l.f && gpu_context_create(l.f, 1, 0) == OK_NODATA);
    g_assert_true(load_start(&other, d, "even", "b", 2, 1000));
    for (unsigned n = 1; n <= 3; n++) {
        hang_once(d, &l, &other, &p);
        g_test_message("%s", p.event.message);
        g_assert_nonnull(strstr(p.event.message, "unlucky"));
        g_assert_nonnull(strstr(p.event.message, "hung"));
        g_assert_nonnull(strstr(p.event.message, " s,"));
        g_assert_cmpint(vm_number(d, "unlucky", "hangs"), ==, n);
        g_assert_cmpint(vm_flag(d, "unlucky", "allowed_3d"), ==, n < 3);
        g_assert_cmpint(strstr(p.event.message, "`vgpuctl allow unlucky`") != NULL, ==, n == 3);
        g_assert_cmpstr(rejoin(d, &l), ==, n < 3 ? "3d" : "2d");
        if (n < 3) {
            g_assert_cmphex(gpu_context_create(l.f, 1, 0), ==, OK_NODATA);
        }
    }
    log = http_log(d);
    g_assert_nonnull(strstr(log, "unlucky: its work hung"));
    qemu_free(q);
    load_end(&l);
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    g_assert_cmpstr(start_anew(d), ==, "2d");
    load_end(&other);
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    vgpud_end(d, SIGKILL);
    g_assert_true(vgpud_run(d));
    g_assert_true(load_start(&other, d, "even", "b", 2, 1000));
    g_assert_cmpstr(start_anew(d), ==, "2d");
    load_end(&other);
    test_allowed_again(d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vgpud/lease-life/restart", test_restart);
    g_test_add_func("/vgpud/lease-life/restart-without-lease", test_restart_without_lease);
    g_test_add_func("/vgpud/lease-life/hang", test_hang);
    return load_run_tests();
}
