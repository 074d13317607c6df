/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API over TCP: off unless vgpud.conf has [http] listen=, and then only
 * with TLS and tokens.
 */
#ifndef VGPUD_REMOTE_H
#define VGPUD_REMOTE_H

#include <gio/gio.h>

#include "config.h"
#include "tokens.h"

typedef struct Remote {
    GSocketAddress *address;
    GTlsCertificate *certificate; /* with its key */
    TokenSet *tokens;
} Remote;

/* *remote is NULL when TCP is off.  False: what is configured cannot be served. */
bool remote_load(const Config *config, Remote **remote, GError **error);
void remote_free(Remote *remote); /* takes NULL */

/* A listening socket; to unref. */
GSocket *remote_open(const Remote *remote, GError **error);

#endif
