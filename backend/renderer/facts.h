/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a renderer found when it started OpenGL on this host: all that QEMU and
 * the guest are told of it before the guest draws.  A line of text between two
 * renderers, which vgpud keeps and does not read (see late.h).
 */
#ifndef VGPU_RENDERER_FACTS_H
#define VGPU_RENDERER_FACTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define FACTS_CAPSETS 8

typedef struct Facts {
    unsigned capsets;
    struct {
        uint32_t id, version, size;
    } capset[FACTS_CAPSETS];
    char description[128], gl_version[128];
} Facts;

/* False: it is of another release, or no such text. */
bool facts_parse(Facts *f, const char *text);
/* To free. */
char *facts_text(const Facts *f);

#endif
