/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "promtext.h"

#include <stdarg.h>

#define NS 1000000000u

void promtext_family(GString *s, const char *name, const char *type, const char *help)
{
    g_string_append_printf(s, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void append_value(GString *s, const char *raw)
{
    g_autofree char *valid = g_utf8_make_valid(raw, -1);

    for (const char *p = valid; *p; p++) {
        if (*p == '\n') {
            g_string_append(s, "\\n");
            continue;
        }
        if (*p == '"' || *p == '\\') {
            g_string_append_c(s, '\\');
        }
        g_string_append_c(s, *p);
    }
}

char *promtext_labels(const char *name, ...)
{
    GString *s = g_string_new(NULL);
    va_list ap;

    va_start(ap, name);
    for (; name; name = va_arg(ap, const char *)) {
        g_string_append_printf(s, "%s%s=\"", s->len ? "," : "", name);
        append_value(s, va_arg(ap, const char *));
        g_string_append_c(s, '"');
    }
    va_end(ap);
    return g_string_free(s, FALSE);
}

static void append_name(GString *s, const char *name, const char *suffix, const char *labels,
                        const char *more)
{
    g_string_append(s, name);
    g_string_append(s, suffix);
    if (labels || more) {
        g_string_append_c(s, '{');
        g_string_append(s, labels ? labels : "");
        g_string_append(s, labels && more ? "," : "");
        g_string_append(s, more ? more : "");
        g_string_append_c(s, '}');
    }
    g_string_append_c(s, ' ');
}

static void append_seconds(GString *s, uint64_t ns)
{
    g_string_append_printf(s, "%" G_GUINT64_FORMAT, (guint64)(ns / NS));
    if (ns % NS) {
        g_string_append_printf(s, ".%09u", (unsigned)(ns % NS));
        while (s->str[s->len - 1] == '0') {
            g_string_truncate(s, s->len - 1);
        }
    }
}

void promtext_uint(GString *s, const char *name, const char *labels, const char *more, uint64_t value)
{
    append_name(s, name, "", labels, more);
    g_string_append_printf(s, "%" G_GUINT64_FORMAT "\n", (guint64)value);
}

void promtext_seconds(GString *s, const char *name, const char *labels, const char *more, uint64_t ns)
{
    append_name(s, name, "", labels, more);
    append_seconds(s, ns);
    g_string_append_c(s, '\n');
}

void promtext_ratio(GString *s, const char *name, const char *labels, const char *more, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    append_name(s, name, "", labels, more);
    g_string_append(s, g_ascii_formatd(text, sizeof(text), "%.6g", value));
    g_string_append_c(s, '\n');
}

void promtext_histogram(GString *s, const char *name, const char *labels, const uint64_t *bounds_ns,
                        const uint64_t *counts, unsigned n, uint64_t sum_ns)
{
    uint64_t total = 0;

    for (unsigned i = 0; i <= n; i++) {
        g_autoptr(GString) le = g_string_new("le=\"");

        total += counts[i];
        if (i < n) {
            append_seconds(le, bounds_ns[i]);
        } else {
            g_string_append(le, "+Inf");
        }
        g_string_append_c(le, '"');
        append_name(s, name, "_bucket", labels, le->str);
        g_string_append_printf(s, "%" G_GUINT64_FORMAT "\n", (guint64)total);
    }
    append_name(s, name, "_sum", labels, NULL);
    append_seconds(s, sum_ns);
    g_string_append_c(s, '\n');
    append_name(s, name, "_count", labels, NULL);
    g_string_append_printf(s, "%" G_GUINT64_FORMAT "\n", (guint64)total);
}
