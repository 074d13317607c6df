/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs that do nothing at all, and a vgpud that sleeps meanwhile and still hears of what matters. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_cmd.h"
#include "load.h"
#include "qemu.h"

/* Context switches of all its threads that it made by itself. */
static uint64_t wakeups(pid_t pid)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *tid;
    uint64_t sum = 0;

    while (dir && (tid = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("%s/%s/status", tasks, tid), *text = NULL;
        const char *s;

        if (g_file_get_contents(path, &text, NULL, NULL) &&
            (s = strstr(text, "\nvoluntary_ctxt_switches:"))) {
            sum += g_ascii_strtoull(strchr(s + 1, ':') + 1, NULL, 10);
        }
    }
    return sum;
}

static uint64_t wakeups_in(Vgpud *d, unsigned ms)
{
    uint64_t before = wakeups(d->pid);

    g_usleep(ms * 1000);
    return wakeups(d->pid) - before;
}

/* Until vgpud sleeps, and so long. */
static bool sleeps(Vgpud *d, Load *l, unsigned ms)
{
    uint64_t n = 1;

    for (unsigned i = 0; i < 20 && n; i++) {
        frontend_collect(l->f, NULL);
        n = wakeups_in(d, 2200);
    }
    return n == 0 && wakeups_in(d, ms) == 0;
}

/* No timer ticks, neither without VMs nor with idle ones; and a VM that wakes up is watched again. */
static void test_idle(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    uint64_t used;
    Load l;

    g_usleep(500000); /* vgpud_run's own connection is closed */
    g_assert_cmpuint(wakeups_in(d, 1200), ==, 0);
    g_assert_true(load_start(&l, d, "even", "a", 1, 1000));
    pump(&l, 1, 200);
    g_assert_true(sleeps(d, &l, 11000));
    used = cpu_ns(d->pid);
    pump(&l, 1, 2500);
    g_assert_cmpint(vm_number(d, "a", "gpu_time_ns") * g_get_num_processors(), >, 300000000);
    g_test_message("%.1f ms of CPU time in %.1f s of one VM's work", (double)(cpu_ns(d->pid) - used) / 1e6,
                   2.5);
    load_end(&l);
}

/* The same after a restart, when no connection tells what becomes of the VM's QEMU: its end is seen at once.
 */
static void test_idle_adopted(void)
{
    g_autoptr(Vgpud) d = new_vgpud("burn", NULL);
    Qemu *q = qemu_new(d);
    Load l = { .fd = qemu_connect(q), .us = 1000 };

    l.f = attach_vm_over(l.fd, "even", "a", 1);
    g_assert_true(l.f && gpu_context_create(l.f, 1, 0) == OK_NODATA);
    pump(&l, 1, 200);
    vgpud_end(d, SIGKILL);
    g_assert_true(vgpud_run(d));
    g_assert_true(sleeps(d, &l, 11000));
    g_assert_true(vgpud_wait_vms(d, 1, SOON));
    qemu_free(q);
    g_assert_true(vgpud_wait_vms(d, 0, 8000)); /* the renderer has three seconds to go by itself */
    l.f->exit_unchecked = true;
    l.f->dead = true;
    load_end(&l);
}

/* A renderer that was idle and takes memory all at once, without a word to vgpud, is seen at once. */
static void test_idle_hoard(void)
{
    static const uint32_t hoard[] = { 0x52414f48u, 1500, 0, 10000 }; /* MiB, past all limits; ms from now */
    g_autoptr(Vgpud) d = new_vgpud("sleep", NULL);
    int64_t end;
    AttachPacket p;
    Load l;

    g_assert_true(load_start(&l, d, "even", "a", 1, 1000));
    end = g_get_monotonic_time() + 10000000;
    g_assert_cmphex(gpu_submit(l.f, 1, hoard, G_N_ELEMENTS(hoard)), ==, OK_NODATA);
    g_assert_true(sleeps(d, &l, 1000));
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    l.f->exit_unchecked = true;
    g_assert_true(attach_receive(l.fd, &p, NULL, SOON));
    g_assert_cmpuint(p.hdr.type, ==, VGPU_ATTACH_EVENT);
    g_assert_nonnull(strstr(p.event.message, "MiB of host memory"));
    g_test_message("%s; seen after %.2f s", p.event.message, (double)(g_get_monotonic_time() - end) / 1e6);
    l.f->dead = true;
    load_end(&l);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vgpud/idle/quiet", test_idle);
    g_test_add_func("/vgpud/idle/adopted", test_idle_adopted);
    g_test_add_func("/vgpud/idle/hoard", test_idle_hoard);
    return load_run_tests();
}
