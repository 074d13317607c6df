/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "isolation.h"

bool isolate_initial(const int *keep, unsigned count, GError **error)
{
    return true;
}

bool isolate_starting(GError **error)
{
    return true;
}

void isolate_serving(void)
{
}
