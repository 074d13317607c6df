/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "meter.h"

#include <glib.h>

/* Samples this far apart: the oldest of a full meter is older than the window. */
#define SPACING_NS (METER_WINDOW_NS / (METER_SAMPLES - 2))

static void put(Meter *m, uint64_t at_ns, uint64_t used_ns)
{
    m->newest = m->count ? (m->newest + 1) % METER_SAMPLES : 0;
    m->count = MIN(m->count + 1, METER_SAMPLES);
    m->samples[m->newest].at_ns = at_ns;
    m->samples[m->newest].used_ns = used_ns;
}

double meter_ratio(Meter *m, uint64_t start_ns, uint64_t now_ns, uint64_t used_ns, uint64_t *over_ns)
{
    unsigned back = 0, i;
    uint64_t over, used;

    if (!m->count) {
        put(m, start_ns, 0);
    }
    do {
        i = (m->newest + METER_SAMPLES - back) % METER_SAMPLES;
        over = now_ns > m->samples[i].at_ns ? now_ns - m->samples[i].at_ns : 0;
        used = used_ns > m->samples[i].used_ns ? used_ns - m->samples[i].used_ns : 0;
    } while (over < METER_WINDOW_NS && ++back < m->count);
    if (now_ns > m->samples[m->newest].at_ns && now_ns - m->samples[m->newest].at_ns >= SPACING_NS) {
        put(m, now_ns, used_ns);
    }
    *over_ns = over;
    return over ? MIN((double)used / (double)over, 1.0) : 0;
}
