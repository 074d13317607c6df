/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text for people: what others wrote made harmless, figures made readable.  What is returned is to free. */
#ifndef VGPUCTL_TEXT_H
#define VGPUCTL_TEXT_H

#include <glib.h>
#include <stdint.h>

/*
 * Names come from VMs' owners: no control characters, nothing that changes the
 * direction of the text around it, valid UTF-8.
 */
char *text_clean(const char *text);

/* Columns of a terminal that a clean text fills. */
glong text_width(const char *text);

/* At most that many columns, the last of them "~" when something was cut off. */
char *text_fit(const char *text, glong width);

char *text_mib(uint64_t bytes);   /* "1536 MiB" */
char *text_duration(uint64_t us); /* "500 us", "4 ms", "2.5 s", "3 min"; 0: "0" */
char *text_percent(double ratio); /* 0.25: "25 %", 0.3333: "33.3 %" */

#endif
