/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isolation=strict: while a VM of such a profile has work on the GPU no other VM
 * has.  The GPU is software, of as many CPUs as there are, so that others use it side
 * by side; that two do is read in their lease pages.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"
#include "vgpu/lease.h"

#define LEASE_FD 9 /* the renderer's: see the launcher */

static const struct vgpu_lease *page_of(Vgpud *d, const char *name)
{
    int pidfd = (int)syscall(SYS_pidfd_open, vgpud_renderer_pid(d, name), 0);
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, LEASE_FD, 0);
    void *map = mmap(NULL, VGPU_LEASE_SIZE, PROT_READ, MAP_SHARED, fd, 0);

    g_assert_true(map != MAP_FAILED);
    g_assert_cmphex(((const struct vgpu_lease *)map)->magic, ==, VGPU_LEASE_MAGIC);
    close(fd);
    close(pidfd);
    return map;
}

static bool works(const struct vgpu_lease *page)
{
    return __atomic_load_n(&page->state, __ATOMIC_ACQUIRE) & VGPU_LEASE_USERS_MASK;
}

/* At one moment: the first was at the same piece of work before and after. */
static bool both_work(const struct vgpu_lease *a, const struct vgpu_lease *b)
{
    uint64_t since = vgpu_stats_get(&a->busy_since_ns);
    bool both = works(a) && works(b) && works(a);

    return both && since && vgpu_stats_get(&a->busy_since_ns) == since;
}

/* How often two VMs were seen at work at the same time. */
static unsigned overlaps(Vgpud *d, const char *const profile[2])
{
    static const char *const name[2] = { "a", "b" };
    const struct vgpu_lease *page[2];
    uint64_t done[2];
    unsigned n = 0;
    Load l[2];

    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(load_start(&l[i], d, profile[i], name[i], i + 1, 500));
        page[i] = page_of(d, name[i]);
    }
    pump(l, 2, 100);
    for (unsigned i = 0; i < 2; i++) {
        done[i] = l[i].done_us;
    }
    for (unsigned round = 0; round < 500; round++) {
        pump(l, 2, 1);
        for (unsigned i = 0; i < 100; i++) {
            n += both_work(page[0], page[1]);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpuint(l[i].done_us - done[i], >, 10000); /* each had its turns */
        munmap((void *)page[i], VGPU_LEASE_SIZE);
        load_end(&l[i]);
    }
    g_assert_true(vgpud_wait_vms(d, 0, SOON));
    g_test_message("%s and %s: %u times at once", profile[0], profile[1], n);
    return n;
}

static void test_strict(gconstpointer how)
{
    static const char *const shared[2] = { "onecpu", "onecpu" }, *const one[2] = { "strict", "onecpu" },
                             *const two[2] = { "strict", "strict" };
    g_autoptr(Vgpud) d = NULL;

    if (g_get_num_processors() < 2) {
        g_test_skip("a software GPU of one CPU has one user at a time");
        return;
    }
    d = new_vgpud(how, NULL);
    g_assert_cmpuint(overlaps(d, shared), >, 0); /* this would see it */
    g_assert_cmpuint(overlaps(d, one), ==, 0);
    g_assert_cmpuint(overlaps(d, two), ==, 0);
}

/* A VM that runs becomes one, and is one no longer. */
static void test_changed(void)
{
    g_autoptr(Vgpud) d = NULL;
    const struct vgpu_lease *page[2];
    unsigned n[3] = { 0 };
    Load l[2];

    if (g_get_num_processors() < 2) {
        g_test_skip("a software GPU of one CPU has one user at a time");
        return;
    }
    d = new_vgpud("sleep", NULL);
    g_assert_true(load_start(&l[0], d, "onecpu", "a", 1, 500));
    g_assert_true(load_start(&l[1], d, "onecpu", "b", 2, 500));
    page[0] = page_of(d, "a");
    page[1] = page_of(d, "b");
    for (unsigned step = 0; step < 3; step++) {
        if (step) {
            change(d, "PATCH", "/v1/vms/a",
                   step == 1 ? "{\"profile\":\"strict\"}" : "{\"profile\":\"onecpu\"}");
        }
        pump(l, 2, 100); /* what was granted before comes to its end */
        for (unsigned round = 0; round < 200; round++) {
            pump(l, 2, 1);
            for (unsigned i = 0; i < 100; i++) {
                n[step] += both_work(page[0], page[1]);
            }
        }
    }
    g_assert_cmpuint(n[0], >, 0);
    g_assert_cmpuint(n[1], ==, 0);
    g_assert_cmpuint(n[2], >, 0);
    for (unsigned i = 0; i < 2; i++) {
        munmap((void *)page[i], VGPU_LEASE_SIZE);
        load_end(&l[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/vgpud/strict/sleep", "sleep", test_strict);
    g_test_add_data_func("/vgpud/strict/async", "async", test_strict);
    g_test_add_func("/vgpud/strict/changed", test_changed);
    return load_run_tests();
}
