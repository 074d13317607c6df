/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's saved graphics, as they come from a stream that anybody may have
 * written: what is read from them is well-formed, or they are an error.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/estate-checks.h"
#include "fuzz.h"
#include "renderer/saved.h"

void log_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Instead of log.c: nobody reads a million sentences. */
void log_say(const char *format, ...)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    g_autoptr(GError) error = NULL;
    Estate *e;

    fd = fd >= 0 ? fd : memfd_create("saved", MFD_CLOEXEC);
    FUZZ_ASSERT(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    e = saved_read(fd, 0, &error);
    FUZZ_ASSERT(!e == !!error);
    if (e) {
        FUZZ_ASSERT(!estate_fault(e, e->map));
    }
    estate_free(e);
    return 0;
}
