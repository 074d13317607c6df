/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The renderer's log: one sentence a line on stderr, which vgpud collects.
 * Thread-safe.  A message carries no newline.
 */
#ifndef VGPU_RENDERER_LOG_H
#define VGPU_RENDERER_LOG_H

#include <glib.h>

/* vm: shown in each line; borrowed for ever. */
void log_init(const char *vm);

/* For what the operator should know: start, fall-backs, the end. */
void log_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

/*
 * For what the guest did wrong: a guest can do wrong a million times a second,
 * so only a few lines in each interval come through, then their number.
 */
void log_guest(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* For what that costs it: a context, the device.  These lines are as few, and not taken by the others. */
void log_guest_loses(const char *format, ...) G_GNUC_PRINTF(1, 2);

#endif
