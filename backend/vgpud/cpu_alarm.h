/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rings when a process has used some CPU time: a watch over one that sleeps, which costs nothing as long as
 * it does. */
#ifndef VGPUD_CPU_ALARM_H
#define VGPUD_CPU_ALARM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What is called, on the main loop, whichever process it was.  Once, first. */
void cpu_alarm_init(void (*ring)(void *opaque), void *opaque);

/* Once that process has used so much more, all its threads together.  False: the kernel does not do that. */
bool cpu_alarm_add(pid_t pid, uint64_t ns);

/* None is set any more. */
void cpu_alarm_clear(void);

#endif
