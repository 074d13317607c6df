/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields divided by tabs: the release, capsets as ID:VERSION:SIZE with commas, GL_RENDERER, GL_VERSION. */
#include "facts.h"

#include <string.h>

#define RELEASE "vgpu-" VGPU_VERSION

enum { FIELD_RELEASE, FIELD_CAPSETS, FIELD_DESCRIPTION, FIELD_GL_VERSION, FIELDS };

static bool parse_capset(Facts *f, const char *text)
{
    g_auto(GStrv) part = g_strsplit(text, ":", -1);
    guint64 value[3];

    if (f->capsets == FACTS_CAPSETS || g_strv_length(part) != G_N_ELEMENTS(value)) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(value); i++) {
        if (!g_ascii_string_to_unsigned(part[i], 10, 0, G_MAXUINT32, &value[i], NULL)) {
            return false;
        }
    }
    f->capset[f->capsets].id = (uint32_t)value[0];
    f->capset[f->capsets].version = (uint32_t)value[1];
    f->capset[f->capsets].size = (uint32_t)value[2];
    f->capsets++;
    return true;
}

bool facts_parse(Facts *f, const char *text)
{
    g_auto(GStrv) field = g_strsplit(text, "\t", -1);
    g_auto(GStrv) capset = NULL;

    *f = (Facts){ 0 };
    if (g_strv_length(field) != FIELDS || strcmp(field[FIELD_RELEASE], RELEASE) != 0 ||
        !g_utf8_validate(text, -1, NULL)) {
        return false;
    }
    capset = g_strsplit(field[FIELD_CAPSETS], ",", -1);
    for (unsigned i = 0; capset[i]; i++) {
        if (!parse_capset(f, capset[i])) {
            return false;
        }
    }
    return f->capsets &&
           g_strlcpy(f->description, field[FIELD_DESCRIPTION], sizeof(f->description)) <
               sizeof(f->description) &&
           g_strlcpy(f->gl_version, field[FIELD_GL_VERSION], sizeof(f->gl_version)) < sizeof(f->gl_version);
}

/* What a driver calls itself, without what divides fields and lines. */
static void append_clean(GString *s, const char *text)
{
    g_autofree char *clean = g_utf8_make_valid(text, -1);

    g_string_append_c(s, '\t');
    for (char *c = clean; *c; c++) {
        g_string_append_c(s, g_ascii_iscntrl(*c) ? ' ' : *c);
    }
}

char *facts_text(const Facts *f)
{
    GString *s = g_string_new(RELEASE);

    for (unsigned i = 0; i < f->capsets; i++) {
        g_string_append_printf(s, "%c%u:%u:%u", i ? ',' : '\t', f->capset[i].id, f->capset[i].version,
                               f->capset[i].size);
    }
    append_clean(s, f->description);
    append_clean(s, f->gl_version);
    return g_string_free(s, FALSE);
}
