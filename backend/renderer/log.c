/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Lines a guest may cause per interval. */
#define GUEST_LINES       10
#define GUEST_INTERVAL_US (10 * G_USEC_PER_SEC)

typedef struct Budget {
    gint64 interval_start;
    unsigned lines, suppressed;
} Budget;

static const char *log_vm = "";
static GMutex log_lock;
static Budget log_wrongs, log_losses;

void log_init(const char *vm)
{
    log_vm = vm;
}

/* One write per line, so that lines of two threads do not mix. */
static void log_line(const char *format, va_list ap)
{
    char text[1024];
    g_autofree char *line = NULL;
    ssize_t rc;

    vsnprintf(text, sizeof(text), format, ap);
    /* Names in a message may come from the guest: no control characters. */
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }
    line = g_strdup_printf("vgpu-renderer[%s]: %s\n", log_vm, text);
    rc = write(STDERR_FILENO, line, strlen(line));
    (void)rc; /* nobody to tell */
}

static void log_plain(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void log_plain(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_line(format, ap);
    va_end(ap);
}

void log_say(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_line(format, ap);
    va_end(ap);
}

static void log_within(Budget *b, const char *format, va_list ap)
{
    gint64 now = g_get_monotonic_time();
    unsigned suppressed = 0;
    bool show;

    g_mutex_lock(&log_lock);
    if (!b->interval_start || now - b->interval_start > GUEST_INTERVAL_US) {
        suppressed = b->suppressed;
        *b = (Budget){ .interval_start = now };
    }
    show = b->lines < GUEST_LINES;
    if (show) {
        b->lines++;
    } else {
        b->suppressed++;
    }
    g_mutex_unlock(&log_lock);

    if (suppressed) {
        log_plain("%u more messages about this guest were left out", suppressed);
    }
    if (show) {
        log_line(format, ap);
    }
}

void log_guest(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_within(&log_wrongs, format, ap);
    va_end(ap);
}

void log_guest_loses(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_within(&log_losses, format, ap);
    va_end(ap);
}
