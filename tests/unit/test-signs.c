/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which threads of a renderer and of its contexts have CPU time for sure, and how much. */
#include <glib.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vgpu/vulkan.h>

#include "vgpud/process.h"
#include "vgpud/process_tree.h"
#include "vgpud/signs.h"

#define MS 1000000ull

enum { RING, MONITOR, OTHER, SIGNS, THREADS }; /* SIGNS is the renderer's */

/* Between this test and the context: a renderer's child with threads. */
typedef struct Shared {
    pid_t context;
    pid_t tids[THREADS]; /* atomic; 0: not there yet */
    gint burn;           /* atomic: the monitor does */
    gint name;           /* atomic: the monitor takes another */
} Shared;

typedef struct Context {
    Shared *shared;
    ProcessTree *tree;
    pid_t renderer;
} Context;

static Shared *shared; /* in the context */

static void *thread(void *opaque)
{
    static const char *const names[THREADS] = { "vkr-ring-2", "vkr-ringmon-2", "vkr-ringmon-2",
                                                VGPU_VULKAN_SIGNS };
    unsigned which = GPOINTER_TO_UINT(opaque);

    prctl(PR_SET_NAME, names[which]);
    __atomic_store_n(&shared->tids[which], gettid(), __ATOMIC_RELEASE);
    for (;;) {
        if (which == MONITOR && g_atomic_int_get(&shared->name)) {
            prctl(PR_SET_NAME, "somebody");
            g_atomic_int_set(&shared->name, 0);
        }
        if (which != MONITOR || !g_atomic_int_get(&shared->burn)) {
            g_usleep(1000);
        }
    }
    return NULL;
}

static void begin(unsigned which)
{
    pthread_t t;

    if (pthread_create(&t, NULL, thread, GUINT_TO_POINTER(which))) {
        _exit(1);
    }
    while (!__atomic_load_n(&shared->tids[which], __ATOMIC_ACQUIRE)) {
        g_usleep(1000); /* they come in this order in /proc */
    }
}

static void be_context(bool pinned)
{
    cpu_set_t first;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (pinned) {
        sched_setaffinity(0, sizeof(first), &first);
    }
    begin(RING);
    begin(MONITOR);
    begin(OTHER);
    for (;;) {
        pause();
    }
}

static Context context_new(bool pinned)
{
    Context c = { 0 };
    uint64_t start;

    shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(shared != MAP_FAILED);
    c.shared = shared;
    c.renderer = fork();
    if (c.renderer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fork() == 0) {
            be_context(pinned);
        }
        while (!__atomic_load_n(&shared->tids[OTHER], __ATOMIC_ACQUIRE)) {
            g_usleep(1000);
        }
        begin(SIGNS);
        for (;;) {
            pause();
        }
    }
    for (unsigned i = 0; i < 2000 && !__atomic_load_n(&c.shared->tids[SIGNS], __ATOMIC_ACQUIRE); i++) {
        g_usleep(10000);
    }
    g_assert_cmpint(c.shared->tids[SIGNS], >, 0);
    g_assert_true(process_start_time(c.renderer, &start));
    c.tree = process_tree_new(c.renderer, start);
    process_tree_look(c.tree);
    g_assert_cmpuint(c.tree->members->len, ==, 2);
    return c;
}

static void context_end(Context *c)
{
    kill(c->renderer, SIGKILL);
    waitpid(c->renderer, NULL, 0);
    process_tree_free(c->tree);
    munmap(c->shared, sizeof(Shared));
}

static bool has_deadlines(const Context *c, unsigned which)
{
    struct sched_attr attr = { 0 };

    g_assert_cmpint(sched_getattr(c->shared->tids[which], &attr, sizeof(attr), 0), ==, 0);
    return attr.sched_policy == SCHED_DEADLINE;
}

static void *try_deadlines(void *got)
{
    struct sched_attr attr = {
        .size = sizeof(attr),
        .sched_policy = SCHED_DEADLINE,
        .sched_runtime = 100000,
        .sched_deadline = 100 * MS,
        .sched_period = 100 * MS,
    };

    *(bool *)got = sched_setattr(0, &attr, 0) == 0;
    return NULL;
}

/* May this test give them? */
static bool skipped(void)
{
    pthread_t t;
    bool may = false;

    g_assert_cmpint(pthread_create(&t, NULL, try_deadlines, &may), ==, 0);
    pthread_join(t, NULL);
    if (!may) {
        g_test_skip("deadlines need CAP_SYS_NICE");
    }
    return !may;
}

static void expect_one_each(const Context *c)
{
    g_assert_false(has_deadlines(c, RING));
    g_assert_true(has_deadlines(c, MONITOR));
    g_assert_false(has_deadlines(c, OTHER));
    g_assert_true(has_deadlines(c, SIGNS));
}

/* One of each process, whatever its threads are called; also when it has to keep to one CPU. */
static void test_one(void)
{
    for (unsigned pinned = 0; pinned < 2; pinned++) {
        Context c;

        if (skipped()) {
            return;
        }
        c = context_new(pinned);
        signs_see(c.tree);
        expect_one_each(&c);
        signs_see(c.tree);
        expect_one_each(&c);
        g_atomic_int_set(&c.shared->name, 1);
        while (g_atomic_int_get(&c.shared->name)) {
            g_usleep(1000);
        }
        signs_see(c.tree);
        expect_one_each(&c);
        context_end(&c);
    }
}

static uint64_t cpu_ns(pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/schedstat", (int)tid);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return g_ascii_strtoull(text, NULL, 10);
}

/* One that would use it for something else gets next to nothing. */
static void test_bounded(void)
{
    uint64_t used;
    Context c;

    if (skipped()) {
        return;
    }
    c = context_new(false);
    signs_see(c.tree);
    expect_one_each(&c);
    used = cpu_ns(c.shared->tids[MONITOR]);
    g_atomic_int_set(&c.shared->burn, 1);
    g_usleep(2000000);
    used = cpu_ns(c.shared->tids[MONITOR]) - used;
    g_test_message("it had %.1f ms in 2 s", (double)used / MS);
    g_assert_cmpuint(used, >, 0);
    g_assert_cmpuint(used, <, 60 * MS); /* a tick more than 4 ms */
    context_end(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/signs/one", test_one);
    g_test_add_func("/signs/bounded", test_bounded);
    return g_test_run();
}
