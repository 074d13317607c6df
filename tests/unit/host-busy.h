/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Was a host so busy that what a test saw of time says nothing?  Who is late
 * because it waits for a CPU does not ask for the GPU meanwhile, and others have
 * its part: nothing in a scheduler of ours could give it back.
 *
 * The kernel counts for how long some thread of the host was waiting for a CPU
 * (/proc/pressure/cpu).  Ask before what is measured, and when it came out wrong;
 * a kernel that does not tell is never busy.
 */
#ifndef TEST_HOST_BUSY_H
#define TEST_HOST_BUSY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Of the time; tests that are alone on two CPUs see less than a tenth. */
#define HOST_BUSY 0.25

typedef struct HostTime {
    int64_t start_us;
    uint64_t waited_us;
} HostTime;

static inline uint64_t host_waited_us(void)
{
    g_autofree char *text = NULL;
    const char *total;

    if (!g_file_get_contents("/proc/pressure/cpu", &text, NULL, NULL) || !(total = strstr(text, "total="))) {
        return 0;
    }
    return g_ascii_strtoull(total + strlen("total="), NULL, 10);
}

static inline HostTime host_time(void)
{
    return (HostTime){ .start_us = g_get_monotonic_time(), .waited_us = host_waited_us() };
}

/* Of the time since then, the part in which somebody waited for a CPU. */
static inline double host_waited(HostTime since)
{
    return (double)(host_waited_us() - since.waited_us) /
           (double)MAX(g_get_monotonic_time() - since.start_us, 1);
}

/* The test is skipped, with the reason: the caller leaves its measurement out. */
static inline bool host_was_busy(HostTime since)
{
    double waited = host_waited(since);
    g_autofree char *why = NULL;

    if (waited < HOST_BUSY) {
        return false;
    }
    why = g_strdup_printf("for %.0f %% of the time this took somebody on this host was waiting for a CPU",
                          waited * 100);
    if (!g_test_failed()) { /* which a skip would hide */
        g_test_skip(why);
    }
    return true;
}

#endif
