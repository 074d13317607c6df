/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench-figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

void bench_figure(const char *name, const char *unit, double value, unsigned samples)
{
    printf("{\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.3f, \"samples\": %u}\n", name, unit, value,
           samples);
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int64_t bench_percentile(int64_t *ns, unsigned count, unsigned percent)
{
    qsort(ns, count, sizeof(*ns), compare);
    return ns[(uint64_t)count * percent / 100];
}

void bench_figure_times(const char *name, int64_t *ns, unsigned count)
{
    char text[128];

    snprintf(text, sizeof(text), "%s_p50", name);
    bench_figure(text, "us", (double)bench_percentile(ns, count, 50) / 1000, count);
    snprintf(text, sizeof(text), "%s_p99", name);
    bench_figure(text, "us", (double)bench_percentile(ns, count, 99) / 1000, count);
}
