/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything about one VM, as lines of a label and a text. */
#ifndef VGPUCTL_SHOW_H
#define VGPUCTL_SHOW_H

#include <json-glib/json-glib.h>

typedef struct ShowLine {
    char *label, *text; /* clean */
} ShowLine;

/* What is not known of a VM has no line; what this program does not know comes last, as it is. */
GPtrArray *show_lines(JsonObject *vm); /* of ShowLine, to unref */

#endif
