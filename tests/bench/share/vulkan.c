/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the Vulkan layer costs: the same program twice, with the layer (books and
 * a lease that nobody else wants) and without, a round each in turns.  A round is
 * measured by the process' CPU time, which is lavapipe's GPU time too, and the
 * best round of each counts, so that a busy machine disturbs little.  Prints, for
 * each kind of program, "NAME RATIO US": throughput with the layer over without,
 * and what one submit or allocation costs more.
 *
 *   bench-share-vulkan [ROUNDS [NAME]]
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "card.h"
#include "vulkan_host.h"

typedef struct Kind {
    const char *name;
    uint32_t count;     /* iterations of the shader in each submit; 0: allocations instead */
    unsigned per_round; /* submits */
    unsigned in_flight;
} Kind;

static const Kind kinds[] = {
    { "frames_16ms", 1200000, 6, 2 },     { "frames_2ms", 150000, 40, 2 },
    { "submits_200us", 15000, 300, 2 },   { "one_by_one_200us", 15000, 300, 1 },
    { "dispatches_40us", 3000, 1500, 2 }, { "allocations_1mib", 0, 500, 1 },
};

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Each that is in flight has words of its own: it must take as long as any other. */
static void submits(const Kind *k, const Card *card, Spin *spins, VkFence *fences)
{
    for (unsigned i = 0; i < k->per_round + k->in_flight; i++) {
        VkFence *fence = &fences[i % k->in_flight];

        if (i >= k->in_flight) {
            g_assert_true(card_wait(card, *fence, 60000));
            vkResetFences(card->device, 1, fence);
        }
        if (i < k->per_round) {
            spins[i % k->in_flight].words[1] = 0;
            spin_submit(&spins[i % k->in_flight], *fence);
        }
    }
}

static void allocations(const Kind *k, const Card *card)
{
    for (unsigned i = 0; i < k->per_round; i++) {
        VkDeviceMemory memory;

        g_assert_cmpint(card_allocate(card, MIB, &memory), ==, VK_SUCCESS);
        vkFreeMemory(card->device, memory, NULL);
    }
}

/* One of the two programs: a round for each word that comes. */
static void program(const Kind *k, int from, int to)
{
    VkFence fences[2];
    Card card;
    Spin spins[2];
    char c;

    card_open(&card);
    for (unsigned i = 0; i < 2; i++) {
        spin_open(&spins[i], &card, k->count);
        fences[i] = card_fence(&card);
    }
    while (read(from, &c, 1) == 1) {
        uint64_t took = cpu_ns();

        if (k->count) {
            submits(k, &card, spins, fences);
        } else {
            allocations(k, &card);
        }
        took = cpu_ns() - took;
        g_assert_cmpint(write(to, &took, sizeof(took)), ==, sizeof(took));
    }
    _exit(0);
}

typedef struct Side {
    int to, from;
    pid_t pid;
} Side;

static Side side_new(const Kind *k, const char *variable)
{
    int to[2], from[2];
    Side s;

    g_assert_cmpint(pipe2(to, O_CLOEXEC) + pipe2(from, O_CLOEXEC), ==, 0);
    s = (Side){ .to = to[1], .from = from[0], .pid = fork() };
    if (s.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(to[1]);
        vulkan_host_environment(variable);
        if (!variable) {
            unsetenv("VK_INSTANCE_LAYERS");
        }
        program(k, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    return s;
}

static uint64_t side_round(const Side *s)
{
    uint64_t took = 0;

    g_assert_cmpint(write(s->to, "", 1), ==, 1);
    if (read(s->from, &took, sizeof(took)) != sizeof(took)) {
        fprintf(stderr, "a Vulkan program has ended\n");
        exit(1);
    }
    return took;
}

static void side_free(Side *s)
{
    close(s->to);
    close(s->from);
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}

static void measure(const Kind *k, unsigned rounds)
{
    g_autoptr(VulkanHost) h = vulkan_host_new(64 * MIB, true);
    g_autofree char *variable = vulkan_host_variable(h);
    uint64_t best[2] = { UINT64_MAX, UINT64_MAX };
    Side sides[2]; /* without, with */

    h->lease.page->state = GRANTED;
    sides[0] = side_new(k, NULL);
    sides[1] = side_new(k, variable);
    for (unsigned i = 0; i < 2 * rounds; i++) {
        unsigned side = (i + i / 2) % 2; /* each is first as often as the other */
        uint64_t took = side_round(&sides[side]);

        if (i >= 2) {
            best[side] = MIN(best[side], took);
        }
    }
    side_free(&sides[0]);
    side_free(&sides[1]);
    g_assert_true(!k->count || h->lease.page->batches > 0); /* it was in the way */
    printf("%s %.4f %.2f\n", k->name, (double)best[0] / (double)best[1],
           ((double)best[1] - (double)best[0]) / k->per_round / 1000);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 40;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (argc < 3 || !strcmp(argv[2], kinds[i].name)) {
            measure(&kinds[i], MAX(rounds, 2));
        }
    }
    return 0;
}
