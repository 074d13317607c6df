/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the programs of tests/bench/run device tell what they measured: a line of
 * JSON for each figure.  Plain C: compiled in QEMU's tree and in ours.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdint.h>

int64_t bench_now_ns(void);

void bench_figure(const char *name, const char *unit, double value, unsigned samples);
/* NAME_p50 and NAME_p99, microseconds.  Sorts ns, of which there is one at least. */
void bench_figure_times(const char *name, int64_t *ns, unsigned count);
/* The one that so many percent do not exceed.  Sorts ns. */
int64_t bench_percentile(int64_t *ns, unsigned count, unsigned percent);

#endif
