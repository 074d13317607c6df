/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A context process may be killed between any two instructions.  One is run a
 * single instruction at a time, and after each the books are buried as if it had
 * been killed there: on a copy, so that one run tells of all its deaths.
 */
#include <glib.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quota/vulkan_books.h"

#define MIB     (1024 * 1024ull)
#define ENTRIES 16 /* more than are used: the rest of the page is not copied */
#define LARGEST (16 * MIB)

typedef struct Shared {
    struct vgpu_stats stats;
    struct vgpu_vulkan page;
} Shared;

#define COPIED (offsetof(Shared, page.memories) + ENTRIES * sizeof(struct vgpu_vulkan_memory))

static Shared *shared_new(void)
{
    void *map = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    g_assert_true(map != MAP_FAILED);
    return map;
}

static VulkanFile file(uint64_t ino)
{
    return (VulkanFile){ .dev = 5, .ino = ino };
}

/* All that a process does with its books. */
static void live(Shared *s)
{
    VulkanFile first = file(1), mine = file(2), other = file(3);
    VulkanBooks b;
    Ledger l;
    int slot, a, c;

    ledger_join(&l, &s->stats);
    vulkan_books_join(&b, &s->page, &l);
    slot = vulkan_books_enter(&b, 1);
    vulkan_books_charge(&b, slot, 1 * MIB);
    vulkan_books_charge(&b, slot, LARGEST);
    vulkan_books_refund(&b, slot, LARGEST);
    vulkan_books_charge(&b, slot, 2 * MIB);
    a = vulkan_books_export(&b, slot, 2 * MIB, &mine, true);
    vulkan_books_export_again(&b, a, &mine);
    vulkan_books_release(&b, a);
    c = vulkan_books_import(&b, slot, &first);
    vulkan_books_import(&b, slot, &mine);
    vulkan_books_drop_import(&b, c);
    vulkan_books_charge(&b, slot, 4 * MIB);
    a = vulkan_books_export(&b, slot, 4 * MIB, &other, false);
    vulkan_books_release(&b, a);
}

/* Buries the copy.  Returns by how much its sum is off then. */
static uint64_t bury(Shared *s, uint64_t own, uint64_t *off_at_once)
{
    VulkanRemains remains;
    VulkanBooks b = { .page = &s->page };
    Ledger l;
    uint64_t used;

    ledger_join(&l, &s->stats);
    l.own = own;
    b.ledger = &l;
    if (vulkan_books_taken(&b, 1)) {
        vulkan_books_bury(&b, 1, &remains);
    }
    used = s->stats.memory_used;
    /* The first process, which is alive, has 8 MiB exported and as a blob. */
    g_assert_cmpuint(used, >=, own + 8 * MIB);
    g_assert_cmpuint(used, <=, own + 8 * MIB + LARGEST);
    *off_at_once = used - own - 8 * MIB;

    /* It ends too. */
    vulkan_books_bury(&b, 0, &remains);
    vulkan_books_correct(&b);
    g_assert_cmpuint(s->stats.memory_used, ==, own + 8 * MIB);
    vulkan_books_blob_gone(&b, 0);
    g_assert_cmpuint(s->stats.memory_used, ==, own);
    for (unsigned i = 0; i < ENTRIES; i++) {
        g_assert_cmphex(s->page.memories[i].word & VGPU_VULKAN_KIND, ==, VGPU_VULKAN_FREE);
    }
    return l.faults;
}

static void test_death_anywhere(void)
{
    Shared *s = shared_new(), *copy = shared_new();
    uint64_t own = 3 * MIB, off, steps = 0, off_steps = 0;
    VulkanFile first = file(1);
    VulkanBooks b;
    Ledger l;
    int status, slot;
    pid_t child;

    ledger_init(&l, 64 * MIB, &s->stats);
    g_assert_true(ledger_charge(&l, own));
    vulkan_books_init(&b, &s->page, &l);
    slot = vulkan_books_enter(&b, 2);
    g_assert_true(vulkan_books_charge(&b, slot, 8 * MIB));
    g_assert_cmpint(vulkan_books_export(&b, slot, 8 * MIB, &first, true), ==, 0);
    g_assert_true(vulkan_books_adopt(&b, &first, &(VulkanBlob){ 0 }));

    child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) {
            _exit(77);
        }
        raise(SIGSTOP);
        live(s);
        raise(SIGUSR1);
        _exit(1);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        g_test_skip("this machine does not let a process be traced");
        return;
    }
    for (;;) {
        g_assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) == SIGUSR1) {
            break;
        }
        memcpy(copy, s, COPIED);
        g_assert_cmpuint(bury(copy, own, &off), ==, 0);
        steps++;
        off_steps += off > 0;
        g_assert_cmpint(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), ==, 0);
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    }
    g_assert_cmpuint(s->page.used, <=, ENTRIES);
    kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_test_message("off after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " instructions", off_steps, steps);
    g_assert_cmpuint(steps, >, 500);
    g_assert_cmpuint(off_steps, >, 0); /* or this has not seen what it is about */
    munmap(s, sizeof(*s));
    munmap(copy, sizeof(*copy));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quota/vulkan/death-anywhere", test_death_anywhere);
    return g_test_run();
}
