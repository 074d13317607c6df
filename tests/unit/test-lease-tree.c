/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU time of a VM's processes below its renderer: all of it is charged, none
 * of it twice, whether they live, have ended, or were never seen alive.
 */
#include <time.h>

#include "family.h"
#include "lease-player.h"
#include "vgpud/process.h"

#define TICKS 60 /* ms: what ticks of 10 ms, and this machine's other work, may put there or take away */

typedef struct Fixture {
    Leases *l;
    Family family;
    ProcessTree *tree;
    Player p;
} Fixture;

static void no_hang(void *vm, uint64_t ns, void *opaque)
{
}

static uint64_t see(Fixture *f)
{
    process_tree_look(f->tree);
    leases_see(f->p.lease, f->tree);
    return player_figures(&f->p).used_ns / MS;
}

/* A lease that nobody waits for, on a software GPU of one CPU. */
static void set_up(Fixture *f, gconstpointer unused)
{
    LeaseSettings s = player_settings(1);
    uint64_t start = 0;
    uint32_t ticket;

    s.software = true;
    f->l = leases_new(no_hang, NULL, NULL);
    leases_set_policy(f->l, "gpu0", SCHED_BEST_EFFORT, 1);
    leases_start(f->l);
    f->family = family_new();
    g_assert_true(process_start_time(f->family.pid, &start));
    f->tree = process_tree_new(f->family.pid, start);
    player_open(&f->p, NULL, &s);
    player_attach(&f->p, f->l, f->family.pid, &s);
    g_assert_true(lease_enter(f->p.client, &ticket)); /* it works: its time counts */
    lease_leave(f->p.client, ticket, 0);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    player_close(&f->p);
    leases_free(f->l);
    process_tree_free(f->tree);
    family_end(&f->family);
}

static void expect_about(uint64_t ms, uint64_t wanted)
{
    g_test_message("%u ms, to be %u", (unsigned)ms, (unsigned)wanted);
    g_assert_cmpuint(ms + TICKS, >=, wanted);
    g_assert_cmpuint(ms, <=, wanted + TICKS);
}

/* Looks until it has ended. */
static void see_out(Fixture *f, pid_t pid)
{
    char state;

    while ((state = process_state(pid)) && state != 'Z') {
        see(f);
        g_usleep(10000);
    }
}

static void test_seen_alive(Fixture *f, gconstpointer unused)
{
    uint64_t before = see(f);
    pid_t pid = family_tell(&f->family, FAMILY_CHILD, 300);

    see_out(f, pid);
    expect_about(see(f) - before, 300);
    family_tell(&f->family, FAMILY_WAIT, 0); /* now it is its parent's time */
    expect_about(see(f) - before, 300);
    expect_about(see(f) - before, 300);
}

/* The clocks that are known tell in time, without a look. */
static void test_in_time(Fixture *f, gconstpointer unused)
{
    uint64_t before = see(f), seen;
    pid_t pid = family_tell(&f->family, FAMILY_CHILD, 400);

    seen = see(f) - before;
    g_assert_cmpuint(seen, <=, 400);
    while (process_state(pid) != 'Z') {
        g_usleep(10000);
    }
    expect_about(player_figures(&f->p).used_ns / MS - before, 400);
    expect_about(see(f) - before, 400);
}

static void test_never_seen(Fixture *f, gconstpointer unused)
{
    uint64_t before = see(f);

    family_tell(&f->family, FAMILY_CHILD, 200);
    family_tell(&f->family, FAMILY_WAIT, 0);
    expect_about(see(f) - before, 200);
}

/* Some were seen, some were not, some live. */
static void test_mixed(Fixture *f, gconstpointer unused)
{
    uint64_t before = see(f);

    for (unsigned i = 0; i < 5; i++) {
        family_tell(&f->family, FAMILY_CHILD, 60);
        if (i % 2) {
            see(f);
        }
        family_tell(&f->family, FAMILY_CHILD, 40);
        g_usleep(20000);
        see(f);
        family_tell(&f->family, FAMILY_WAIT, 0);
    }
    family_tell(&f->family, FAMILY_PAUSE, 2);
    expect_about(see(f) - before, 500);
}

/* Outside of a box it belongs to another parent, and is charged on. */
static void test_orphan(Fixture *f, gconstpointer unused)
{
    uint64_t before = see(f), start = 0;
    pid_t pid = family_tell(&f->family, FAMILY_ORPHAN, 300);
    ProcessTreeMember m = { .pid = pid };

    g_assert_true(process_start_time(pid, &start));
    m.start = start;
    g_array_append_val(f->tree->members, m); /* as if it had been seen in time */
    for (unsigned i = 0; i < 1000 && process_state(pid) != 'S'; i++) {
        see(f);
        g_usleep(10000);
    }
    expect_about(see(f) - before, 300);
    kill(pid, SIGKILL);
    while (process_state(pid) && process_state(pid) != 'Z') {
        g_usleep(10000);
    }
    see(f);
    /* its time is gone with it, and nobody else's is taken for it */
    expect_about(see(f) - before, 300);
}

/* Who does not wait for its children hides nothing that was seen, and nothing of those that come later. */
static void test_children_ignored(Fixture *f, gconstpointer unused)
{
    uint64_t before = see(f);

    family_tell(&f->family, FAMILY_IGNORE, 0);
    for (unsigned i = 0; i < 3; i++) {
        see_out(f, family_tell(&f->family, FAMILY_CHILD, 200));
    }
    g_assert_cmpuint(see(f) - before, >=, 500);
    g_assert_cmpuint(see(f) - before, <=, 600 + TICKS);
}

static void wait_for_cpu(pid_t pid, int ms)
{
    struct timespec used = { 0 };
    clockid_t clock;

    g_assert_cmpint(clock_getcpuclockid(pid, &clock), ==, 0);
    while (clock_gettime(clock, &used) == 0 && !used.tv_sec && used.tv_nsec < ms * 1000000l) {
        g_usleep(1000);
    }
}

/* After a restart of vgpud: what was used before is not charged, what is used after is. */
static void test_first_look(Fixture *f, gconstpointer unused)
{
    pid_t pid;
    uint64_t before;

    family_tell(&f->family, FAMILY_CHILD, 200);
    family_tell(&f->family, FAMILY_WAIT, 0);
    pid = family_tell(&f->family, FAMILY_CHILD, 400);
    wait_for_cpu(pid, 60); /* however long that takes on a busy machine */
    before = player_figures(&f->p).used_ns / MS;
    g_assert_cmpuint(see(f) - before, <=, 20);
    see_out(f, pid);
    g_assert_cmpuint(see(f) - before, >=, 50);
    g_assert_cmpuint(see(f) - before, <=, 350);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, func) g_test_add("/lease-tree/" path, Fixture, NULL, set_up, func, tear_down)
    ADD("seen-alive", test_seen_alive);
    ADD("in-time", test_in_time);
    ADD("never-seen", test_never_seen);
    ADD("mixed", test_mixed);
    ADD("orphan", test_orphan);
    ADD("children-ignored", test_children_ignored);
    ADD("first-look", test_first_look);
    return g_test_run();
}
