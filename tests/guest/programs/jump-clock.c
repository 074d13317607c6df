/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Test only: a host's wall clock that jumps, for programs that are started with this
 * library preloaded.  The file that VGPU_TEST_CLOCK names has the seconds, as a 64-bit number,
 * that CLOCK_REALTIME is away from the truth now; the host's own clock, which others
 * need, stays as it is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *away;

__attribute__((constructor)) static void find_file(void)
{
    const char *path = getenv("VGPU_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd >= 0 ? mmap(NULL, sizeof(*away), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (fd >= 0) {
        close(fd);
    }
    away = map == MAP_FAILED ? NULL : map;
}

static int true_time(clockid_t clock, struct timespec *ts)
{
    static int (*next)(clockid_t, struct timespec *);

    if (!next) {
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    return next(clock, ts);
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    int ret = true_time(clock, ts);

    if (!ret && away && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        ts->tv_sec += *away;
    }
    return ret;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    int ret = clock_gettime(CLOCK_REALTIME, &ts);

    if (!ret) {
        *tv = (struct timeval){ ts.tv_sec, ts.tv_nsec / 1000 };
    }
    return ret;
}

time_t time(time_t *out)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_REALTIME, &ts)) {
        return -1;
    }
    if (out) {
        *out = ts.tv_sec;
    }
    return ts.tv_sec;
}
