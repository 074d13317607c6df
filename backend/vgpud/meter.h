/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How busy something was in the last second or so, told from a counter by
 * samples that are taken when somebody asks: no timer ticks, and those who ask
 * at the same time, each at a pace of its own, do not disturb each other.
 */
#ifndef VGPUD_METER_H
#define VGPUD_METER_H

#include <stdint.h>

#define METER_SAMPLES   8
#define METER_WINDOW_NS (900ull * 1000 * 1000) /* who asks every second gets the last second */

typedef struct Meter { /* all zero: new */
    struct {
        uint64_t at_ns, used_ns;
    } samples[METER_SAMPLES];
    unsigned count, newest;
} Meter;

/*
 * The share of the time since an earlier sample that was used, 0 to 1.  That
 * sample is the newest that is METER_WINDOW_NS old, so that with nobody else
 * asking it is over the time since one asked last; *over_ns says how long.
 * used_ns: ever; it was 0 at start_ns.  now_ns: of a clock that does not go back.
 */
double meter_ratio(Meter *m, uint64_t start_ns, uint64_t now_ns, uint64_t used_ns, uint64_t *over_ns);

#endif
