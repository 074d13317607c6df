/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <stdbool.h>

static bool is_harmless(gunichar c)
{
    switch (g_unichar_type(c)) {
    case G_UNICODE_CONTROL: /* C1 as well: some terminals obey U+009B */
    case G_UNICODE_FORMAT:  /* right-to-left overrides and the like */
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SURROGATE:
        return false;
    default:
        return true;
    }
}

char *text_clean(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *clean = g_string_new(NULL);

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(clean, c == '\t' || c == '\n' ? ' ' : is_harmless(c) ? c : '?');
    }
    return g_string_free(clean, FALSE);
}

static glong char_width(gunichar c)
{
    return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

glong text_width(const char *text)
{
    glong width = 0;

    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        width += char_width(g_utf8_get_char(p));
    }
    return width;
}

char *text_fit(const char *text, glong width)
{
    const char *p = text;
    glong filled = 0;

    if (text_width(text) <= width) {
        return g_strdup(text);
    }
    if (width < 1) {
        return g_strdup("");
    }
    for (; filled + char_width(g_utf8_get_char(p)) < width; p = g_utf8_next_char(p)) {
        filled += char_width(g_utf8_get_char(p));
    }
    return g_strdup_printf("%.*s~", (int)(p - text), text);
}

char *text_mib(uint64_t bytes)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT " MiB", (guint64)(bytes >> 20));
}

char *text_duration(uint64_t us)
{
    static const struct {
        uint64_t us;
        const char *unit;
    } units[] = { { 60000000, "min" }, { 1000000, "s" }, { 1000, "ms" }, { 1, "us" } };

    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
        /* minutes only when they are whole: 90 s is clearer than 1.5 min */
        if (us >= units[i].us && (i || us % units[i].us == 0)) {
            return g_strdup_printf("%.4g %s", (double)us / (double)units[i].us, units[i].unit);
        }
    }
    return g_strdup("0");
}

char *text_percent(double ratio)
{
    return g_strdup_printf("%.3g %%", ratio * 100);
}
