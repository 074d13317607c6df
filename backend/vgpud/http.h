/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serves the API (api.h) by HTTP: on a Unix socket, and on TCP where that is configured. */
#ifndef VGPUD_HTTP_H
#define VGPUD_HTTP_H

#include "daemon.h"

typedef struct HttpServer HttpServer;

/* False with a sentence when [http] of the configuration could not be served. */
bool http_check(const Config *config, GError **error);

/* fd: a listening Unix stream socket, the server's from now on. */
HttpServer *http_serve(Daemon *d, int fd, GError **error);
void http_free(HttpServer *server); /* takes NULL */

#endif
