/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A POSIX timer on another process' CPU clock: Linux lets everybody have one on
 * any process, looks at it when that process runs, and sends the owner a
 * signal.  Which one rang is not asked: whoever hears it looks at all of them.
 */
#include "cpu_alarm.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <time.h>

#define NS_PER_S 1000000000ull

static GArray *timers; /* timer_t */
static void (*on_ring)(void *opaque);
static void *ring_opaque;

static gboolean on_signal(gpointer unused)
{
    if (timers->len) { /* one from somebody else is nothing */
        on_ring(ring_opaque);
    }
    return G_SOURCE_CONTINUE;
}

void cpu_alarm_init(void (*ring)(void *opaque), void *opaque)
{
    on_ring = ring;
    ring_opaque = opaque;
    if (!timers) {
        timers = g_array_new(FALSE, FALSE, sizeof(timer_t));
        g_unix_signal_add(SIGUSR2, on_signal, NULL);
    }
}

bool cpu_alarm_add(pid_t pid, uint64_t ns)
{
    struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
    struct itimerspec when = { .it_value = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) } };
    clockid_t clock;
    timer_t timer;
    int why = clock_getcpuclockid(pid, &clock);

    if (why == ESRCH) {
        return true; /* it uses none any more */
    }
    if (why || timer_create(clock, &ev, &timer) < 0) {
        return false;
    }
    if (timer_settime(timer, 0, &when, NULL) < 0) {
        timer_delete(timer);
        return errno == ESRCH;
    }
    g_array_append_val(timers, timer);
    return true;
}

void cpu_alarm_clear(void)
{
    for (guint i = 0; timers && i < timers->len; i++) {
        timer_delete(g_array_index(timers, timer_t, i));
    }
    if (timers) {
        g_array_set_size(timers, 0);
    }
}
