/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini.h"

#include <string.h>

#include "units.h"

typedef struct IniLine {
    char *group;
    char *key; /* NULL: the group's own line */
    unsigned number;
} IniLine;

static void ini_line_clear(gpointer data)
{
    IniLine *l = data;

    g_free(l->group);
    g_free(l->key);
}

void ini_free(Ini *ini)
{
    if (!ini) {
        return;
    }
    g_free(ini->path);
    g_clear_pointer(&ini->keys, g_key_file_free);
    g_clear_pointer(&ini->lines, g_array_unref);
    g_free(ini);
}

unsigned ini_line(const Ini *ini, const char *group, const char *key)
{
    for (guint i = 0; i < ini->lines->len; i++) {
        const IniLine *l = &g_array_index(ini->lines, IniLine, i);

        if (g_str_equal(l->group, group) && g_strcmp0(l->key, key) == 0) {
            return l->number;
        }
    }
    return 0;
}

/* What is quoted of the file may hold anything: a value's "\\n" is a line break by now. */
static void ini_say(const char *path, unsigned line, const char *text, GError **error)
{
    g_autofree char *clean = units_clean_text(text);

    g_set_error(error, VGPUD_ERROR, 0, "%s:%u: %s", path, line, clean);
}

bool ini_fail(const Ini *ini, const char *group, const char *key, GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    ini_say(ini->path, ini_line(ini, group, key), text, error);
    return false;
}

static bool ini_fail_at(const Ini *ini, unsigned line, GError **error, const char *format, const char *arg,
                        unsigned first)
{
    g_autofree char *text = NULL;

    if (first) {
        text = g_strdup_printf("%s '%s' is here twice, first on line %u", format, arg, first);
    } else {
        text = g_strdup_printf("%s: '%.60s'", format, arg);
    }
    ini_say(ini->path, line, text, error);
    return false;
}

/*
 * Notes where every group and key stands, and refuses what GKeyFile would
 * merge, override or report without a line.
 */
static bool ini_scan(Ini *ini, const char *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *group = NULL;

    for (unsigned i = 0; lines[i]; i++) {
        char *s = g_strstrip(lines[i]);
        IniLine found = { .number = i + 1 };
        unsigned first;
        char *end;

        if (!*s || *s == '#') {
            continue;
        }
        if (*s == '[') {
            end = strchr(s, ']');
            if (!end || end[1] || end == s + 1) {
                return ini_fail_at(ini, i + 1, error, "a group is written [NAME], this is not one", s, 0);
            }
            *end = 0;
            g_free(group);
            group = g_strdup(s + 1);
            first = ini_line(ini, group, NULL);
            if (first) {
                return ini_fail_at(ini, i + 1, error, "the group", group, first);
            }
        } else {
            end = strchr(s, '=');
            if (!end || end == s) {
                return ini_fail_at(ini, i + 1, error, "neither a [group], a key=value nor a # comment", s, 0);
            }
            if (!group) {
                return ini_fail_at(ini, i + 1, error, "a key before the first [group]", s, 0);
            }
            *end = 0;
            found.key = g_strdup(g_strchomp(s));
            first = ini_line(ini, group, found.key);
            if (first) {
                g_free(found.key);
                return ini_fail_at(ini, i + 1, error, "the key", s, first);
            }
        }
        found.group = g_strdup(group);
        g_array_append_val(ini->lines, found);
    }
    return true;
}

Ini *ini_parse(const char *path, const char *text, gsize length, GError **error)
{
    g_autofree char *copy = NULL;
    g_autoptr(GError) local = NULL;
    g_autoptr(Ini) ini = NULL;
    const char *bad;

    if (!g_utf8_validate(text, length, &bad)) { /* a NUL byte is not valid either */
        unsigned line = 1;

        for (const char *p = text; p < bad; p++) {
            line += *p == '\n';
        }
        g_set_error(error, VGPUD_ERROR, 0, "%s:%u: not UTF-8 text", path, line);
        return NULL;
    }
    ini = g_new0(Ini, 1);
    ini->path = g_strdup(path);
    ini->keys = g_key_file_new();
    ini->lines = g_array_new(FALSE, FALSE, sizeof(IniLine));
    g_array_set_clear_func(ini->lines, ini_line_clear);
    copy = g_strndup(text, length);
    if (!ini_scan(ini, copy, error)) {
        return NULL;
    }
    if (*copy && !g_key_file_load_from_data(ini->keys, copy, length, G_KEY_FILE_NONE, &local)) {
        ini_say(path, 1, local->message, error);
        return NULL;
    }
    return g_steal_pointer(&ini);
}

Ini *ini_load(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, error)) {
        return NULL;
    }
    if (length > INI_FILE_MAX) {
        g_set_error(error, VGPUD_ERROR, 0, "%s:1: %zu bytes are more than a configuration may have (%u)",
                    path, length, INI_FILE_MAX);
        return NULL;
    }
    return ini_parse(path, text, length, error);
}

char *ini_value(const Ini *ini, const char *group, const char *key, GError **error)
{
    g_autoptr(GError) local = NULL;
    char *value = g_key_file_get_string(ini->keys, group, key, &local);

    if (!value) {
        ini_fail(ini, group, key, error, "%s= cannot be read: %s", key, local->message);
        return NULL;
    }
    return g_strstrip(value);
}
