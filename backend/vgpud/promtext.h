/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prometheus' text format, version 0.0.4: families of samples, label values
 * escaped, figures whole (a counter in nanoseconds does not lose its last
 * digits) and independent of the locale.
 */
#ifndef VGPUD_PROMTEXT_H
#define VGPUD_PROMTEXT_H

#include <glib.h>
#include <stdint.h>

#define PROMTEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Before a family's samples; type: "gauge", "counter", "histogram". */
void promtext_family(GString *s, const char *name, const char *type, const char *help);

/* `a="1",b="2"` of (name, value) pairs that end with NULL; to free.  Values may be any bytes. */
char *promtext_labels(const char *name, ...) G_GNUC_NULL_TERMINATED;

/* One sample each.  labels, more: of promtext_labels, either may be NULL. */
void promtext_uint(GString *s, const char *name, const char *labels, const char *more, uint64_t value);
void promtext_seconds(GString *s, const char *name, const char *labels, const char *more, uint64_t ns);
void promtext_ratio(GString *s, const char *name, const char *labels, const char *more, double value);

/*
 * The samples of a histogram of times: counts[i] took at most bounds_ns[i] and
 * more than the bound before, counts[n] took longer than all; sum_ns: all of them together.
 */
void promtext_histogram(GString *s, const char *name, const char *labels, const uint64_t *bounds_ns,
                        const uint64_t *counts, unsigned n, uint64_t sum_ns);

#endif
