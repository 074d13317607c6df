/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who belongs to a renderer, as /proc tells it. */
#include "family.h"
#include "vgpud/process.h"
#include "vgpud/process_tree.h"

#define MS  1000000ull
#define MIB (1ull << 20)

static ProcessTree *tree_of(const Family *f)
{
    uint64_t start = 0;

    g_assert_true(process_start_time(f->pid, &start));
    return process_tree_new(f->pid, start);
}

static const ProcessTreeMember *member(const ProcessTree *t, guint i)
{
    g_assert_cmpuint(i, <, t->members->len);
    return &g_array_index(t->members, ProcessTreeMember, i);
}

static bool has(const ProcessTree *t, pid_t pid)
{
    for (guint i = 0; i < t->members->len; i++) {
        if (member(t, i)->pid == pid) {
            return true;
        }
    }
    return false;
}

static void wait_gone(pid_t pid)
{
    for (unsigned i = 0; i < 2000 && process_state(pid); i++) {
        g_usleep(10000);
    }
    g_assert_cmpint(process_state(pid), ==, 0);
}

static void test_members(void)
{
    Family f = family_new();
    g_autoptr(ProcessTree) t = tree_of(&f);
    pid_t child;

    g_assert_cmpuint(t->members->len, ==, 1);
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, 1);
    child = family_tell(&f, FAMILY_PAUSE, 3);
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, 4);
    g_assert_cmpint(member(t, 0)->pid, ==, f.pid);
    g_assert_true(has(t, child));
    g_assert_false(t->too_many);
    kill(child, SIGKILL);
    for (unsigned i = 0; i < 2000 && process_state(child) != 'Z'; i++) {
        g_usleep(10000);
    }
    process_tree_look(t); /* nobody waited for it yet */
    g_assert_cmpuint(t->members->len, ==, 4);
    family_end(&f);
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, 0);
}

/* Stands still while all of them sleep, and for nobody that runs, forks or ends. */
static void test_clock(void)
{
    Family f = family_new();
    g_autoptr(ProcessTree) t = tree_of(&f);
    uint64_t before = 0, now = 0;

    family_tell(&f, FAMILY_PAUSE, 2);
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, 3);
    /* it may still be on its way to sleep */
    for (unsigned i = 0; i < 500 && (!now || now != before); i++) {
        before = now;
        g_usleep(20000);
        g_assert_true(process_tree_clock(t, &now));
    }
    g_assert_cmpuint(now, ==, before);
    family_tell(&f, FAMILY_PAUSE, 1);
    g_assert_true(process_tree_clock(t, &now));
    g_assert_cmpuint(now, >, before);
    family_end(&f);
    g_assert_false(process_tree_clock(t, &now)); /* some have ended */
    process_tree_look(t);
    g_assert_false(process_tree_clock(t, &now)); /* of nobody */
}

/* What its ended children used is in its figure when it has waited for them. */
static void test_reaped(void)
{
    Family f = family_new();
    g_autoptr(ProcessTree) t = tree_of(&f);

    family_tell(&f, FAMILY_CHILD, 200);
    family_tell(&f, FAMILY_CHILD, 100);
    family_tell(&f, FAMILY_WAIT, 0);
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, 1);
    g_assert_cmpuint(member(t, 0)->reaped, >=, 260 * MS); /* the kernel's ticks are of 10 ms */
    g_assert_cmpuint(member(t, 0)->reaped, <=, 500 * MS);
    family_end(&f);
}

/* Outside of a box who loses its parent is another one's child, and still a member. */
static void test_orphan(void)
{
    Family f = family_new();
    g_autoptr(ProcessTree) t = tree_of(&f), late = tree_of(&f);
    pid_t pid;

    /* seen below its parent first: what it is below later does not matter */
    pid = family_tell(&f, FAMILY_PAUSE, 1);
    process_tree_look(t);
    g_assert_true(has(t, pid));
    kill(pid, SIGKILL);
    family_tell(&f, FAMILY_WAIT, 0);
    pid = family_tell(&f, FAMILY_ORPHAN, 0);
    {
        ProcessTreeMember m = { .pid = pid };

        g_assert_true(process_start_time(pid, &m.start));
        g_array_append_val(t->members, m);
    }
    process_tree_look(t);
    g_assert_true(has(t, pid));
    process_tree_look(t);
    g_assert_true(has(t, pid));
    kill(pid, SIGKILL);
    wait_gone(pid);
    process_tree_look(t);
    g_assert_false(has(t, pid));
    family_end(&f);
}

/* A pid that is another process' by now is nobody of ours. */
static void test_other_start(void)
{
    Family f = family_new();
    g_autoptr(ProcessTree) t = tree_of(&f);
    ProcessTreeMember m = { .pid = getpid(), .start = 1 };

    g_array_append_val(t->members, m);
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, 1);
    t->start++;
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, 0);
    family_end(&f);
}

/* However many there are, the look ends. */
static void test_too_many(void)
{
    Family f = family_new();
    g_autoptr(ProcessTree) t = tree_of(&f);
    gint64 start;

    family_tell(&f, FAMILY_PAUSE, PROCESS_TREE_MAX - 1);
    process_tree_look(t);
    g_assert_cmpuint(t->members->len, ==, PROCESS_TREE_MAX);
    g_assert_false(t->too_many);
    family_tell(&f, FAMILY_PAUSE, 100);
    start = g_get_monotonic_time();
    process_tree_look(t);
    g_test_message("a look at %u processes: %d us", t->members->len, (int)(g_get_monotonic_time() - start));
    g_assert_cmpuint(t->members->len, ==, PROCESS_TREE_MAX);
    g_assert_true(t->too_many);
    family_end(&f);
    process_tree_look(t);
    g_assert_false(t->too_many);
}

/* Its own of all, and what they have made to be shared, once. */
static void test_memory(void)
{
    const SharedOwner owner = { geteuid(), geteuid(), getpid() };
    Family f;
    g_autoptr(ProcessTree) t = NULL;
    uint64_t bytes;

    if (g_str_equal(g_getenv("VGPU_SANITIZE") ?: "", "sanitize-threads")) {
        g_test_skip("TSan takes four times the memory that a process does");
        return;
    }
    f = family_new();
    t = tree_of(&f);
    process_tree_look(t);
    g_assert_true(process_tree_memory(t, &owner, &bytes));
    g_assert_cmpuint(bytes, <, 16 * MIB);
    family_tell(&f, FAMILY_SHARE, 32);
    process_tree_look(t);
    g_assert_true(process_tree_memory(t, &owner, &bytes));
    g_assert_cmpuint(bytes, >=, 32 * MIB);
    g_assert_cmpuint(bytes, <, 48 * MIB);
    family_tell(&f, FAMILY_MEMORY, 16);
    process_tree_look(t);
    g_assert_true(process_tree_memory(t, &owner, &bytes));
    g_assert_cmpuint(bytes, >=, 64 * MIB);
    g_assert_cmpuint(bytes, <, 95 * MIB); /* with a sanitizer; what they share twice would be 96 */
    family_end(&f);
    for (unsigned i = 0; i < 2000 && process_tree_memory(t, &owner, &bytes); i++) {
        g_usleep(1000); /* its children die a moment later */
    }
    g_assert_false(process_tree_memory(t, &owner, &bytes));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/process-tree/members", test_members);
    g_test_add_func("/process-tree/clock", test_clock);
    g_test_add_func("/process-tree/reaped", test_reaped);
    g_test_add_func("/process-tree/orphan", test_orphan);
    g_test_add_func("/process-tree/other-start", test_other_start);
    g_test_add_func("/process-tree/too-many", test_too_many);
    g_test_add_func("/process-tree/memory", test_memory);
    return g_test_run();
}
