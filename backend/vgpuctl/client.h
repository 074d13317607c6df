/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks a vgpud over its API's Unix socket. */
#ifndef VGPUCTL_CLIENT_H
#define VGPUCTL_CLIENT_H

#include <json-glib/json-glib.h>

/*
 * The array that GET path answers.  socket: vgpud's socket or its API's, or
 * NULL for the first one that is served of the usual places.
 */
JsonNode *client_get(const char *socket, const char *path, GError **error);

#endif
