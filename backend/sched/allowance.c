/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "allowance.h"

#include <glib.h>

#define ALL 1000000 /* ppm */

__extension__ typedef __int128 Wide;

void allowance_grow(Allowance *a, uint32_t share_ppm, int64_t most, uint64_t now)
{
    Wide grown = a->ns + (Wide)(now - a->at) * share_ppm / ALL;

    a->ns = (int64_t)MIN(grown, MAX(most, a->ns));
    a->at = now;
}

void allowance_use(Allowance *a, uint64_t ns)
{
    a->ns = (int64_t)MAX((Wide)a->ns - ns, INT64_MIN / 2);
}

uint64_t allowance_time(const Allowance *a, uint32_t share_ppm, int64_t needed)
{
    Wide lacks = (Wide)needed - a->ns, at = a->at;

    if (lacks > 0) {
        at += (lacks * ALL + share_ppm - 1) / share_ppm;
    }
    return at < UINT64_MAX ? (uint64_t)at : UINT64_MAX - 1;
}
