/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gpu-fuzz SECONDS SEED [wild]: calls every entry point of the kernel's driver with
 * arguments that are nearly right, or not at all, from several threads of several
 * processes, which are killed in the middle and started again.
 *
 * What earlier calls gave (handles, fences, descriptors, ids) goes into later ones,
 * so that most arguments mean something; then one in eight has a word replaced, and
 * one in sixty-four goes by a bad pointer or a wrong size.  A file is shared by all
 * processes and outlives them.  Memory that is mapped is touched by way of a pipe,
 * where a page that cannot be had is an error and no signal.  The host's renderer
 * gets commands that make sense, but with 'wild', when they may be anything.
 *
 * Prints for each kind of call how many there were and how many went well, and
 * ended=ok when all processes could be ended.  Status 0; 1 when one could not be.
 */
#define _GNU_SOURCE
#include "args.h"
#include "fuzz.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES   3
#define THREADS     3
#define LIFE_MAX_MS 1500
#define DEATH_S     60 /* who has not ended then is stuck */
#define KINDS_MAX   32

/* All kinds of calls, of the three parts. */
static struct fuzz_kind kinds[KINDS_MAX];
static unsigned num_kinds, all_weights;

/* Seen by all processes. */
static struct count {
    unsigned long calls, well;
} *counts;

static void add_kinds(const struct fuzz_kind *from)
{
    for (; from->name && num_kinds < KINDS_MAX; from++) {
        kinds[num_kinds++] = *from;
        all_weights += from->weight;
    }
}

static void *thread_main(void *seed)
{
    fuzz_me.random = (uintptr_t)seed;
    if (pipe2(fuzz_me.pipe, O_NONBLOCK | O_CLOEXEC)) {
        return NULL;
    }
    for (;;) {
        unsigned which = 0, left = fuzz_below(all_weights);

        while (left >= kinds[which].weight) {
            left -= kinds[which++].weight;
        }
        __atomic_fetch_add(&counts[which].calls, 1, __ATOMIC_RELAXED);
        if (!kinds[which].run()) {
            __atomic_fetch_add(&counts[which].well, 1, __ATOMIC_RELAXED);
        }
    }
}

static pid_t process_start(uint32_t seed)
{
    pid_t pid = fork();

    if (pid) {
        return pid;
    }
    for (unsigned i = 0; i < FUZZ_SLOTS; i++) {
        fuzz_descriptors[i] = -1;
    }
    fuzz_render = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    fuzz_card = open("/dev/dri/card0", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    fuzz_find_displays();
    for (uintptr_t i = 1; i < THREADS; i++) {
        pthread_t thread;

        pthread_create(&thread, NULL, thread_main, (void *)((uintptr_t)seed * THREADS + i));
    }
    thread_main((void *)((uintptr_t)seed * THREADS));
    _exit(1);
}

/* Where its threads are, for the report. */
static void show_stacks(pid_t pid)
{
    char command[64];

    printf("stuck=%d\n", (int)pid);
    fflush(stdout);
    snprintf(command, sizeof(command), "cat /proc/%d/task/*/stack", (int)pid);
    if (system(command)) {
        printf("its stacks cannot be read\n");
    }
}

/* Whether it could be ended. */
static bool process_end(pid_t pid)
{
    double end = seconds() + DEATH_S;

    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (seconds() > end) {
            show_stacks(pid);
            return false;
        }
        usleep(5000);
    }
    return true;
}

int main(int argc, char **argv)
{
    struct {
        pid_t pid;
        double end;
    } running[PROCESSES] = { { 0 } };
    struct rlimit files = { 4096, 4096 };
    bool good = true;
    uint32_t seed;
    double end;

    if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "wild"))) {
        fprintf(stderr, "gpu-fuzz SECONDS SEED [wild]\n");
        return 2;
    }
    end = seconds() + (double)number(argv[1]);
    seed = (uint32_t)number(argv[2]);
    add_kinds(fuzz_of_rendering);
    add_kinds(fuzz_of_displays);
    add_kinds(fuzz_of_files);
    fuzz_wild = argc == 4;
    fuzz_me.random = seed;
    setrlimit(RLIMIT_NOFILE, &files);
    counts =
        mmap(NULL, num_kinds * sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED) {
        return 1;
    }
    for (unsigned turn = 0; seconds() < end && good; turn++) {
        for (unsigned i = 0; i < PROCESSES; i++) {
            if (running[i].pid && seconds() < running[i].end) {
                continue;
            }
            if (running[i].pid) {
                good = process_end(running[i].pid) && good;
            }
            if (turn % 64 == 0 || fuzz_common < 0) {
                close(fuzz_common);
                fuzz_common = open("/dev/dri/renderD128", O_RDWR | O_NONBLOCK);
            }
            running[i].pid = process_start(++seed);
            running[i].end = seconds() + fuzz_below(LIFE_MAX_MS) / 1000.0;
        }
        usleep(20000);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        good = (!running[i].pid || process_end(running[i].pid)) && good;
    }
    close(fuzz_common);
    for (unsigned i = 0; i < num_kinds; i++) {
        printf("%s calls=%lu well=%lu\n", kinds[i].name, counts[i].calls, counts[i].well);
    }
    printf("ended=%s seed=%u\n", good ? "ok" : "stuck", seed);
    return good ? 0 : 1;
}
