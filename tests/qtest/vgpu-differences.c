/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where QEMU 10.0's own virtio-gpu-pci, our reference, answers otherwise than
 * the tests ask of a device.  Each line was seen; a line that stops being true
 * fails its test.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"

typedef struct Difference {
    const char *name;   /* of the case */
    uint32_t want, got; /* both 0: the case is not run there */
    const char *why;
    bool seen;
} Difference;

static Difference differences[] = {
#include "vgpu-differences.h"
    { NULL }
};

static const char *current;

void difference_begin(const char *name)
{
    current = name;
}

bool difference_is_known(uint32_t got, uint32_t want)
{
    Difference *d;

    for (d = differences; d->name; d++) {
        if (g_str_equal(d->name, current) && d->want == want && d->got == got) {
            d->seen = true;
            return true;
        }
    }
    return false;
}

const char *difference_skip(const char *name)
{
    Difference *d;

    for (d = differences; d->name; d++) {
        if (g_str_equal(d->name, name) && !d->want && !d->got) {
            return d->why;
        }
    }
    return NULL;
}

void difference_end(void)
{
    Difference *d;

    for (d = differences; d->name; d++) {
        if (g_str_equal(d->name, current) && !d->seen) {
            g_test_message("virtio-gpu-pci no longer differs in %s (%s): "
                           "remove that line of vgpu-differences.h",
                           d->name, d->why);
            g_test_fail();
        }
    }
}
