/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "units.h"

#include <glib.h>
#include <string.h>

#include "vgpu/attach.h"

/* Digits to *value; NULL when there are none or they overflow. */
static const char *parse_digits(const char *s, uint64_t *value)
{
    uint64_t v = 0;

    if (!g_ascii_isdigit(*s)) {
        return NULL;
    }
    for (; g_ascii_isdigit(*s); s++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v)) {
            return NULL;
        }
    }
    *value = v;
    return s;
}

static const char *skip_blanks(const char *s)
{
    while (*s == ' ' || *s == '\t') {
        s++;
    }
    return s;
}

bool units_parse_bytes(const char *text, uint64_t *bytes)
{
    static const char suffix[] = "KMGT";
    uint64_t v;
    const char *s = parse_digits(text, &v);

    if (!s) {
        return false;
    }
    s = skip_blanks(s);
    for (unsigned i = 0; suffix[i]; i++) {
        if (g_ascii_toupper(*s) == suffix[i]) {
            if (__builtin_mul_overflow(v, 1ull << (10 * (i + 1)), &v)) {
                return false;
            }
            s++;
            if (g_ascii_strcasecmp(s, "iB") == 0) {
                s += 2;
            }
            break;
        }
    }
    if (*s) {
        return false;
    }
    *bytes = v;
    return true;
}

bool units_parse_percent(const char *text, uint32_t *ppm)
{
    uint64_t whole, part = 0, scale = PPM / 100;
    const char *s = parse_digits(text, &whole);

    if (!s || whole > 100) {
        return false;
    }
    if (*s == '.') {
        s++;
        if (!g_ascii_isdigit(*s)) {
            return false;
        }
        for (; g_ascii_isdigit(*s); s++) {
            scale /= 10; /* digits past the fourth are too small to count */
            part += (uint64_t)(*s - '0') * scale;
        }
    }
    s = skip_blanks(s);
    if (s[0] != '%' || s[1]) {
        return false;
    }
    *ppm = whole * (PPM / 100) + part;
    return *ppm > 0 && *ppm <= PPM;
}

bool units_parse_duration(const char *text, uint64_t *us)
{
    static const struct {
        const char *suffix;
        uint64_t us;
    } units[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 }, { "min", 60000000 }, { "h", 3600000000 } };
    uint64_t v;
    const char *s = parse_digits(text, &v);

    if (!s) {
        return false;
    }
    s = skip_blanks(s);
    if (!*s && v == 0) {
        *us = 0;
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
        if (g_str_equal(s, units[i].suffix)) {
            return !__builtin_mul_overflow(v, units[i].us, us);
        }
    }
    return false;
}

bool units_parse_uint(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
    uint64_t v;
    const char *s = parse_digits(text, &v);

    if (!s || *s || v < min || v > max) {
        return false;
    }
    *value = v;
    return true;
}

char **units_parse_list(const char *text)
{
    g_auto(GStrv) words = g_strsplit_set(text, ",; \t", -1);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (unsigned i = 0; words[i]; i++) {
        if (*words[i]) {
            g_strv_builder_add(builder, words[i]);
        }
    }
    return g_strv_builder_end(builder);
}

bool units_name_valid(const char *text)
{
    if (!g_ascii_isalnum(*text) || strlen(text) >= VGPU_NAME_MAX) {
        return false;
    }
    for (const char *p = text; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("._-", *p)) {
            return false;
        }
    }
    return true;
}

char *units_clean_text(const char *text)
{
    char *clean = g_utf8_make_valid(text, -1);

    for (char *p = clean; *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            *p = *p == '\t' ? ' ' : '?';
        }
    }
    return clean;
}
