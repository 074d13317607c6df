/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON API: GET /v1/vms, /v1/profiles, /v1/gpus.  Each answers an array. */
#ifndef VGPUD_HTTP_H
#define VGPUD_HTTP_H

#include "daemon.h"

typedef struct HttpServer HttpServer;

/* fd: a listening Unix stream socket, the server's from now on. */
HttpServer *http_serve(Daemon *d, int fd, GError **error);
void http_free(HttpServer *server); /* takes NULL */

#endif
