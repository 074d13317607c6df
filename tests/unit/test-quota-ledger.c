/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger: what fits, what is refused, what is published, and that threads
 * and processes which fight for the last bytes never get more than there is.
 */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quota/ledger.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static void test_charge_and_refund(void)
{
    Ledger l;

    ledger_init(&l, 10 * MIB, NULL);
    g_assert_cmpuint(ledger_limit(&l), ==, 10 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 0);
    g_assert_true(ledger_charge(&l, 4 * MIB));
    g_assert_true(ledger_charge(&l, 6 * MIB));
    g_assert_cmpuint(ledger_used(&l), ==, 10 * MIB);
    g_assert_cmpuint(ledger_free(&l), ==, 0);
    g_assert_false(ledger_charge(&l, 1 * MIB));
    g_assert_cmpuint(ledger_used(&l), ==, 10 * MIB);
    ledger_refund(&l, 4 * MIB);
    g_assert_cmpuint(ledger_free(&l), ==, 4 * MIB);
    g_assert_false(ledger_charge(&l, 4 * MIB + 1));
    g_assert_true(ledger_charge(&l, 4 * MIB));
    ledger_refund(&l, 10 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 0);
}

static void test_nothing_is_free_of_charge(void)
{
    Ledger l;

    ledger_init(&l, 1 * MIB, NULL);
    g_assert_true(ledger_charge(&l, 0));
    g_assert_cmpuint(ledger_used(&l), ==, 0);
    ledger_refund(&l, 0);
    g_assert_cmpuint(ledger_used(&l), ==, 0);
}

/* limit 1 MiB, full; the reserve of 4 MiB holds 64 charges of 64 KiB, not one of 64 KiB + 1. */
static void test_reserve(void)
{
    Ledger l;
    unsigned int i;

    ledger_init(&l, 1 * MIB, NULL);
    g_assert_true(ledger_charge(&l, 1 * MIB));
    g_assert_false(ledger_charge(&l, 64 * KIB + 1));
    for (i = 0; i < 64; i++) {
        g_assert_true(ledger_charge(&l, 64 * KIB));
    }
    g_assert_cmpuint(ledger_used(&l), ==, 5 * MIB);
    g_assert_cmpuint(ledger_free(&l), ==, 0);
    g_assert_false(ledger_charge(&l, 1));
    ledger_refund(&l, 64 * KIB);
    g_assert_true(ledger_charge(&l, 64 * KIB));
    g_assert_false(ledger_charge(&l, 1));
}

/* What is there already is counted, limit or not; it is nobody's peak and no denial. */
static void test_carry(void)
{
    struct vgpu_stats stats = { 0 };
    Ledger l;

    ledger_init(&l, 8 * MIB, &stats);
    g_assert_true(ledger_charge(&l, 6 * MIB));
    ledger_carry(&l, 6 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 12 * MIB);
    g_assert_cmpuint(stats.memory_used, ==, 12 * MIB);
    g_assert_cmpuint(stats.memory_peak, ==, 6 * MIB);
    g_assert_cmpuint(stats.alloc_denied, ==, 0);
    g_assert_cmpuint(ledger_free(&l), ==, 0);
    g_assert_false(ledger_charge(&l, 1 * MIB));
    ledger_refund(&l, 6 * MIB);
    g_assert_true(ledger_charge(&l, 2 * MIB));
    ledger_refund(&l, 8 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 0);
}

static void test_overflow(void)
{
    Ledger l;

    ledger_init(&l, UINT64_MAX, NULL);
    g_assert_true(ledger_charge(&l, UINT64_MAX - 1));
    g_assert_false(ledger_charge(&l, 2));
    g_assert_true(ledger_charge(&l, 1));
    g_assert_false(ledger_charge(&l, 1));
    g_assert_cmpuint(ledger_used(&l), ==, UINT64_MAX);

    ledger_init(&l, 1 * MIB, NULL);
    g_assert_true(ledger_charge(&l, 4096));
    g_assert_false(ledger_charge(&l, UINT64_MAX));
    g_assert_false(ledger_charge(&l, UINT64_MAX - 4095));
    g_assert_cmpuint(ledger_used(&l), ==, 4096);
}

static void test_lowered_limit(void)
{
    Ledger l;

    ledger_init(&l, 64 * MIB, NULL);
    g_assert_true(ledger_charge(&l, 48 * MIB));
    ledger_set_limit(&l, 16 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 48 * MIB);
    g_assert_cmpuint(ledger_free(&l), ==, 0);
    g_assert_false(ledger_charge(&l, 128 * KIB));
    g_assert_false(ledger_charge(&l, 4096)); /* 48 is far past 16 + 4 */
    ledger_refund(&l, 40 * MIB);
    g_assert_cmpuint(ledger_free(&l), ==, 8 * MIB);
    g_assert_true(ledger_charge(&l, 8 * MIB));
    ledger_set_limit(&l, 32 * MIB);
    g_assert_true(ledger_charge(&l, 16 * MIB));
}

static void test_published(void)
{
    struct vgpu_stats stats = { .memory_limit = 8 * MIB, .memory_used = 7, .commands = 3 };
    Ledger l;

    ledger_init(&l, 8 * MIB, &stats);
    g_assert_cmpuint(stats.memory_used, ==, 0);
    g_assert_true(ledger_charge(&l, 5 * MIB));
    g_assert_cmpuint(stats.memory_used, ==, 5 * MIB);
    g_assert_cmpuint(stats.memory_peak, ==, 5 * MIB);
    ledger_refund(&l, 3 * MIB);
    g_assert_cmpuint(stats.memory_used, ==, 2 * MIB);
    g_assert_cmpuint(stats.memory_peak, ==, 5 * MIB);
    g_assert_cmpuint(stats.alloc_denied, ==, 0);
    g_assert_false(ledger_charge(&l, 7 * MIB));
    g_assert_false(ledger_charge(&l, 9 * MIB));
    g_assert_cmpuint(stats.alloc_denied, ==, 2);
    g_assert_cmpuint(stats.alloc_denied_size, ==, 9 * MIB);
    g_assert_cmpuint(stats.memory_used, ==, 2 * MIB);
    g_assert_cmpuint(stats.memory_peak, ==, 5 * MIB);
    /* not the ledger's to write */
    g_assert_cmpuint(stats.memory_limit, ==, 8 * MIB);
    g_assert_cmpuint(stats.commands, ==, 3);
}

/* vgpud moves the limit in the page: the next charge is held to it, what there is stays. */
static void test_limit_in_the_page(void)
{
    struct vgpu_stats stats = { .memory_limit = 32 * MIB };
    Ledger l;

    ledger_init(&l, 8 * MIB, &stats); /* the page has one already, perhaps a newer one */
    g_assert_cmpuint(ledger_limit(&l), ==, 32 * MIB);
    g_assert_true(ledger_charge(&l, 24 * MIB));
    stats.memory_limit = 16 * MIB;
    g_assert_cmpuint(ledger_free(&l), ==, 0);
    g_assert_false(ledger_charge(&l, 1 * MIB));
    g_assert_cmpuint(ledger_used(&l), ==, 24 * MIB);
    ledger_refund(&l, 9 * MIB);
    g_assert_true(ledger_charge(&l, 1 * MIB));
    g_assert_false(ledger_charge(&l, 1 * MIB));
    stats.memory_limit = 64 * MIB;
    g_assert_true(ledger_charge(&l, 48 * MIB));
    ledger_set_limit(&l, 80 * MIB);
    g_assert_cmpuint(stats.memory_limit, ==, 80 * MIB);
}

/* The page's memory_used is the ledger itself; its other figures change no decision. */
static void test_page_decides(void)
{
    struct vgpu_stats stats = { 0 };
    Ledger l;

    ledger_init(&l, 8 * MIB, &stats);
    g_assert_true(ledger_charge(&l, 4 * MIB));
    stats.memory_used += 4 * MIB; /* another process of the VM */
    stats.memory_peak = UINT64_MAX;
    stats.alloc_denied = UINT64_MAX;
    g_assert_cmpuint(ledger_used(&l), ==, 8 * MIB);
    g_assert_false(ledger_charge(&l, 1 * MIB));
    stats.memory_used -= 4 * MIB;
    g_assert_true(ledger_charge(&l, 1 * MIB));
}

/* A second ledger on the page charges the same sum and begins nothing anew. */
static void test_join(void)
{
    struct vgpu_stats stats = { 0 };
    Ledger l, other;

    ledger_init(&l, 8 * MIB, &stats);
    g_assert_true(ledger_charge(&l, 3 * MIB));
    ledger_join(&other, &stats);
    g_assert_cmpuint(ledger_limit(&other), ==, 8 * MIB);
    g_assert_cmpuint(ledger_used(&other), ==, 3 * MIB);
    g_assert_true(ledger_charge_shared(&other, 5 * MIB));
    g_assert_false(ledger_charge(&l, 128 * KIB));
    g_assert_cmpuint(stats.memory_peak, ==, 8 * MIB);
    g_assert_cmpuint(stats.alloc_denied, ==, 1);
    ledger_refund_shared(&l, 5 * MIB); /* whoever had it last */
    ledger_refund(&l, 3 * MIB);
    g_assert_cmpuint(stats.memory_used, ==, 0);
    g_assert_cmpuint(l.faults + other.faults, ==, 0);
}

/* Whatever others claim to have charged, a refund leaves what the keeper has. */
static void test_claims_are_bounded(void)
{
    struct vgpu_stats stats = { 0 };
    Ledger l;

    ledger_init(&l, 8 * MIB, &stats);
    g_assert_true(ledger_charge(&l, 3 * MIB));
    g_assert_true(ledger_charge_shared(&l, 2 * MIB));
    ledger_refund_shared(&l, UINT64_MAX);
    g_assert_cmpuint(ledger_used(&l), ==, 3 * MIB);
    g_assert_cmpuint(l.faults, ==, 1);
    stats.memory_used = 1 * MIB; /* scribbled: no refund makes it more */
    ledger_refund_shared(&l, 4096);
    g_assert_cmpuint(ledger_used(&l), ==, 1 * MIB);
    ledger_refund(&l, 3 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 0);
    g_assert_cmpuint(l.faults, ==, 3);
}

static void test_settle(void)
{
    struct vgpu_stats stats = { 0 };
    Ledger l;

    ledger_init(&l, 8 * MIB, &stats);
    g_assert_true(ledger_charge(&l, 3 * MIB));
    ledger_carry(&l, 1 * MIB);
    g_assert_true(ledger_charge_shared(&l, 2 * MIB));
    g_assert_true(ledger_charge_shared(&l, 1 * MIB));
    g_assert_cmpuint(ledger_settle_shared(&l, 2 * MIB), ==, 1 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 6 * MIB);
    g_assert_cmpuint(ledger_settle_shared(&l, 2 * MIB), ==, 0);
    stats.memory_used = 0;
    g_assert_cmpuint(ledger_settle_shared(&l, 0), ==, 4 * MIB);
    g_assert_cmpuint(ledger_used(&l), ==, 4 * MIB);
}

static void test_refund_too_much(void)
{
    Ledger l;

    if (g_test_subprocess()) {
        ledger_init(&l, 8 * MIB, NULL);
        g_assert_true(ledger_charge_shared(&l, 4096));
        ledger_refund_shared(&l, 8192);
        g_assert_cmpuint(ledger_used(&l), ==, 0);
        ledger_refund_shared(&l, 1);
        g_assert_cmpuint(l.faults, ==, 2);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    /* once, however often */
    g_test_trap_assert_stderr("*refund of 8192 bytes with only 4096*");
    g_test_trap_assert_stderr_unmatched("*refund of*refund of*");
}

#define THREADS 8
#define ROUNDS  20000

typedef struct Crowd {
    Ledger ledger;
    struct vgpu_stats stats;
    uint64_t held; /* atomic: what the threads together believe they hold */
    int worst;     /* atomic: held was seen past the limit */
} Crowd;

static gpointer crowd_member(gpointer opaque)
{
    Crowd *c = opaque;
    unsigned int i;

    for (i = 0; i < ROUNDS; i++) {
        uint64_t bytes = 1 * MIB + (i % 7) * 4096;

        if (!ledger_charge(&c->ledger, bytes)) {
            continue;
        }
        if (__atomic_add_fetch(&c->held, bytes, __ATOMIC_SEQ_CST) > 4 * MIB) {
            g_atomic_int_set(&c->worst, 1);
        }
        __atomic_sub_fetch(&c->held, bytes, __ATOMIC_SEQ_CST);
        ledger_refund(&c->ledger, bytes);
    }
    return NULL;
}

typedef struct Churn {
    Ledger l;
    gint running; /* atomic */
} Churn;

static gpointer churn(gpointer data)
{
    Churn *c = data;

    for (unsigned i = 0; i < 300000; i++) {
        g_assert_true(ledger_charge(&c->l, 1 + i % 7));
        ledger_refund(&c->l, 1 + i % 7);
    }
    g_atomic_int_add(&c->running, -1);
    return NULL;
}

/* While other threads of this process charge and refund, what is settled is theirs and what is shared. */
static void test_settle_busy(void)
{
    struct vgpu_stats stats = { 0 };
    GThread *threads[2];
    Churn c = { .running = G_N_ELEMENTS(threads) };

    ledger_init(&c.l, 1024 * MIB, &stats);
    g_assert_true(ledger_charge_shared(&c.l, MIB));
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("churn", churn, &c);
    }
    while (g_atomic_int_get(&c.running)) {
        g_assert_cmpuint(ledger_settle_shared(&c.l, MIB), ==, 0);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    g_assert_cmpuint(ledger_used(&c.l), ==, MIB);
    g_assert_cmpuint(c.l.own, ==, 0);
}

/* 8 threads, room for at most 4 of their charges. */
static void test_threads(void)
{
    Crowd c = { 0 };
    GThread *threads[THREADS];
    unsigned int i;

    ledger_init(&c.ledger, 4 * MIB, &c.stats);
    for (i = 0; i < THREADS; i++) {
        threads[i] = g_thread_new("crowd", crowd_member, &c);
    }
    for (i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
    }
    g_assert_cmpint(c.worst, ==, 0);
    g_assert_cmpuint(ledger_used(&c.ledger), ==, 0);
    g_assert_cmpuint(c.stats.memory_used, ==, 0);
    g_assert_cmpuint(c.stats.memory_peak, <=, 4 * MIB);
    g_assert_cmpuint(c.stats.memory_peak, >=, 1 * MIB);
}

static gpointer hoarder(gpointer opaque)
{
    Crowd *c = opaque;
    uint64_t got = 0;

    while (ledger_charge(&c->ledger, 128 * KIB)) {
        got++;
    }
    __atomic_add_fetch(&c->held, got, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Nobody refunds: exactly 512 charges of 128 KiB fit in 64 MiB, whoever makes them. */
static void test_threads_last_bytes(void)
{
    unsigned int round;

    for (round = 0; round < 50; round++) {
        Crowd c = { 0 };
        GThread *threads[THREADS];
        unsigned int i;

        ledger_init(&c.ledger, 64 * MIB, &c.stats);
        for (i = 0; i < THREADS; i++) {
            threads[i] = g_thread_new("hoarder", hoarder, &c);
        }
        for (i = 0; i < THREADS; i++) {
            g_thread_join(threads[i]);
        }
        g_assert_cmpuint(c.held, ==, 512);
        g_assert_cmpuint(ledger_used(&c.ledger), ==, 64 * MIB);
        g_assert_cmpuint(c.stats.memory_used, ==, 64 * MIB);
        g_assert_cmpuint(c.stats.memory_peak, ==, 64 * MIB);
        g_assert_cmpuint(c.stats.alloc_denied, ==, THREADS);
    }
}

/* The same between processes, each with a ledger of its own on the page. */
static void test_processes_last_bytes(void)
{
    struct {
        struct vgpu_stats stats;
        uint64_t held;
    } *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned int round, i;

    g_assert_true(shared != MAP_FAILED);
    for (round = 0; round < 10; round++) {
        Ledger l;

        memset(shared, 0, sizeof(*shared));
        ledger_init(&l, 64 * MIB, &shared->stats);
        for (i = 0; i < 4; i++) {
            if (fork() == 0) {
                Ledger mine;

                ledger_join(&mine, &shared->stats);
                while (ledger_charge_shared(&mine, 128 * KIB)) {
                    __atomic_fetch_add(&shared->held, 1, __ATOMIC_SEQ_CST);
                }
                _exit(0);
            }
        }
        for (i = 0; i < 4; i++) {
            int status;

            g_assert_cmpint(wait(&status), >, 0);
            g_assert_cmpint(status, ==, 0);
        }
        g_assert_cmpuint(shared->held, ==, 512);
        g_assert_cmpuint(ledger_used(&l), ==, 64 * MIB);
        g_assert_cmpuint(shared->stats.memory_peak, ==, 64 * MIB);
        g_assert_cmpuint(shared->stats.alloc_denied, ==, 4);
    }
    munmap(shared, 4096);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quota/ledger/charge-and-refund", test_charge_and_refund);
    g_test_add_func("/quota/ledger/zero", test_nothing_is_free_of_charge);
    g_test_add_func("/quota/ledger/reserve", test_reserve);
    g_test_add_func("/quota/ledger/carry", test_carry);
    g_test_add_func("/quota/ledger/overflow", test_overflow);
    g_test_add_func("/quota/ledger/lowered-limit", test_lowered_limit);
    g_test_add_func("/quota/ledger/limit-in-the-page", test_limit_in_the_page);
    g_test_add_func("/quota/ledger/published", test_published);
    g_test_add_func("/quota/ledger/page-decides", test_page_decides);
    g_test_add_func("/quota/ledger/join", test_join);
    g_test_add_func("/quota/ledger/claims-are-bounded", test_claims_are_bounded);
    g_test_add_func("/quota/ledger/settle", test_settle);
    g_test_add_func("/quota/ledger/settle-busy", test_settle_busy);
    g_test_add_func("/quota/ledger/refund-too-much", test_refund_too_much);
    g_test_add_func("/quota/ledger/threads", test_threads);
    g_test_add_func("/quota/ledger/threads-last-bytes", test_threads_last_bytes);
    g_test_add_func("/quota/ledger/processes-last-bytes", test_processes_last_bytes);
    return g_test_run();
}
