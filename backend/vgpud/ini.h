/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A configuration file: GKeyFile's syntax, read strictly, with line numbers.
 *
 * GKeyFile itself merges groups of one name, lets the last of two equal keys
 * win and reports no lines.  Here each of these is an error "FILE:LINE: ...".
 */
#ifndef VGPUD_INI_H
#define VGPUD_INI_H

#include <glib.h>
#include <stdbool.h>

#define VGPUD_ERROR (vgpud_error_quark())
GQuark vgpud_error_quark(void);

#define INI_FILE_MAX (1024u * 1024) /* bytes: a configuration is small */

typedef struct Ini {
    char *path; /* for messages */
    GKeyFile *keys;
    GArray *lines; /* IniLine, where each group and key stands */
} Ini;

Ini *ini_load(const char *path, GError **error);
/* path is used in messages only. */
Ini *ini_parse(const char *path, const char *text, gsize length, GError **error);
void ini_free(Ini *ini); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ini, ini_free)

/* The line of a group (key NULL) or key, 1 up; 0 when it is not there. */
unsigned ini_line(const Ini *ini, const char *group, const char *key);

/* Sets *error to "FILE:LINE: sentence" and returns false. */
bool ini_fail(const Ini *ini, const char *group, const char *key, GError **error, const char *format, ...)
    G_GNUC_PRINTF(5, 6);

/* The value without blanks around it; NULL with *error set when it is no text. */
char *ini_value(const Ini *ini, const char *group, const char *key, GError **error);

#endif
