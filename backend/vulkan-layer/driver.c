/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

bool driver_is_nvidia(void)
{
    const char *name = getenv(DRIVER_ENV);

    return name && !strcmp(name, DRIVER_NVIDIA);
}

void driver_forked(void)
{
    const char *select = getenv(DRIVER_LATE_ENV);

    if (select) {
        setenv(DRIVER_SELECT_ENV, select, 1);
    }
}
