/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  The constructor runs in the render server (preloaded)
 * or in a program that asked for the layer; it maps the pages and remembers why
 * when it cannot.  A child that is forked inherits the maps, but is nobody in
 * the books yet: the handler that pthread_atfork runs in it takes a slot, makes
 * a lease client of its own and says hello to the renderer, which waits for that.
 * The server has one thread, so its child may do all of that.
 *
 * The leash whose end goes to the renderer (confine.h) is made here and not
 * before the fork: no other process has its other end, so that it hangs up when
 * this one ends, however it ends.
 */
#include "process.h"

#include "confine.h"
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REFUSALS_S 20 /* between two of them in the log */

Process process = { .slot = -1 };

enum { PAGE, STATS, HELLO, LEASE, CALL, WAKE, DESCRIPTORS };

static int fds[DESCRIPTORS] = { -1, -1, -1, -1, -1, -1 };
static const char *refusal = "its constructor has not run"; /* NULL: there are books to keep */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *sentence)
{
    fprintf(stderr, "vgpu: Vulkan layer: %s\n", sentence);
}

/* Six numbers and commas. */
static bool parse_descriptors(const char *text)
{
    for (unsigned i = 0; i < DESCRIPTORS; i++) {
        char *end;
        long fd;

        errno = 0;
        fd = strtol(text, &end, 10);
        if (end == text || errno || fd < -1 || fd > 1 << 20 || *end != (i + 1 < DESCRIPTORS ? ',' : '\0')) {
            return false;
        }
        fds[i] = (int)fd;
        text = end + 1;
    }
    return true;
}

static void *map_fd(int fd, size_t size)
{
    struct stat st;
    void *map;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)size) {
        return NULL;
    }
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

/* NULL, or why there are no books. */
static const char *open_books(const char *text)
{
    struct vgpu_stats *stats;
    struct vgpu_vulkan *page;

    if (!text) {
        return "the variable " VGPU_VULKAN_ENV " is not set: there is no Vulkan without the VM's books";
    }
    if (!parse_descriptors(text)) {
        return "the variable " VGPU_VULKAN_ENV " is not six descriptors: page,stats,hello,lease,call,wake";
    }
    stats = map_fd(fds[STATS], VGPU_STATS_SIZE);
    if (!stats || stats->magic != VGPU_STATS_MAGIC || stats->version != VGPU_STATS_VERSION) {
        return "the variable " VGPU_VULKAN_ENV " names no statistics page of this version";
    }
    page = map_fd(fds[PAGE], sizeof(*page));
    ledger_join(&process.ledger, stats);
    if (!page || !vulkan_books_join(&process.books, page, &process.ledger)) {
        return "the variable " VGPU_VULKAN_ENV " names no Vulkan page of this version";
    }
    return NULL;
}

/* Which slot is ours, with what hangs up when we are gone. */
static bool say_hello(void)
{
    union {
        char buffer[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    uint32_t slot = (uint32_t)process.slot;
    struct iovec iov = { .iov_base = &slot, .iov_len = sizeof(slot) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.buffer,
        .msg_controllen = sizeof(control.buffer),
    };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    int leash;
    bool sent;

    if (fds[HELLO] < 0) {
        return true;
    }
    leash = confine_leash();
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &leash, sizeof(int));
    sent = sendmsg(fds[HELLO], &msg, MSG_NOSIGNAL) == sizeof(slot);
    close(leash);
    return sent;
}

/* NULL, or why this process cannot be in the books. */
static const char *enter(void)
{
    process.slot = vulkan_books_enter(&process.books, getpid());
    if (process.slot < 0) {
        return "this VM has too many Vulkan processes";
    }
    process.lease = lease_new(fds[LEASE], fds[CALL], fds[WAKE]);
    if (!process.lease) {
        return "the variable " VGPU_VULKAN_ENV " names no lease of this version";
    }
    return say_hello() ? NULL : "the renderer does not hear this process";
}

static void enter_locked(void)
{
    if (!refusal && process.slot < 0) {
        refusal = enter();
    }
}

bool process_enter(void)
{
    pthread_mutex_lock(&lock);
    enter_locked();
    if (refusal) {
        say(refusal);
    }
    pthread_mutex_unlock(&lock);
    return !refusal;
}

/* Our parent's slot and lease are not ours. */
static void forked(void)
{
    pthread_mutex_init(&lock, NULL);
    process.slot = -1;
    process.lease = NULL; /* never freed: its maps and descriptors are the parent's view of it */
    enter_locked();
    driver_forked();
    confine_context();
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv(VGPU_VULKAN_ENV);

    refusal = open_books(text);
    pthread_atfork(NULL, NULL, forked);
    confine();
}

void process_say_refused(uint64_t bytes)
{
    static uint64_t said_at, unsaid; /* atomic */
    uint64_t before = __atomic_load_n(&said_at, __ATOMIC_RELAXED), now;
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    now = (uint64_t)ts.tv_sec + 1;
    if ((before && now - before < REFUSALS_S) ||
        !__atomic_compare_exchange_n(&said_at, &before, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&unsaid, 1, __ATOMIC_RELAXED);
        return;
    }
    fprintf(stderr,
            "vgpu: Vulkan layer: refused %" PRIu64 " KiB of device memory: %" PRIu64 " of %" PRIu64
            " KiB are in use (and %" PRIu64 " times before)\n",
            bytes / 1024, ledger_used(&process.ledger) / 1024, ledger_limit(&process.ledger) / 1024,
            __atomic_exchange_n(&unsaid, 0, __ATOMIC_RELAXED));
}

void process_end_hung(uint64_t waited_ns)
{
    vulkan_books_hung(&process.books, process.slot);
    fprintf(stderr, "vgpu: Vulkan layer: work on the GPU has not ended in %u ms: ending this context\n",
            (unsigned)(waited_ns / 1000000));
    _exit(1);
}
