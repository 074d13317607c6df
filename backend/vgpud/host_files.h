/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of the host, and whether they are still the ones that they were. */
#ifndef VGPUD_HOST_FILES_H
#define VGPUD_HOST_FILES_H

#include <glib.h>
#include <stdbool.h>

typedef struct HostFiles HostFiles;

/*
 * paths: what a renderer has mapped, NULL-terminated; only whole paths of
 * libraries that root or we own count.  With them the renderer's program, and the
 * folders where drivers are registered.
 */
HostFiles *host_files_new(char *const *paths, const char *renderer);
void host_files_free(HostFiles *f); /* takes NULL */

/* A line for each, to free; and back: NULL where one is damaged. */
char **host_files_text(const HostFiles *f);
HostFiles *host_files_parse(char *const *lines);

/* None has changed, come or gone. */
bool host_files_same(const HostFiles *f);

/* Paths of the libraries that are not in the array yet; borrowed. */
void host_files_libraries(const HostFiles *f, GPtrArray *paths);

#endif
