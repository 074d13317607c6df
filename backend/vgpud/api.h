/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The JSON API: which paths there are, which methods each of them has, and who
 * may use them.  Knows nothing of sockets.  openapi.json describes it for
 * clients.
 */
#ifndef VGPUD_API_H
#define VGPUD_API_H

#include "daemon.h"
#include "roles.h"

#define API_BODY_MAX_KIB 64 /* a change is small */

typedef struct ApiRequest {
    const Caller *caller;
    const char *from; /* for the audit log */
    const char *method;
    const char *path;         /* percent-encoded */
    const char *query;        /* NULL: none */
    const char *content_type; /* without parameters; NULL: none */
    const char *body;         /* not terminated; may be NULL when length is 0 */
    size_t length;
} ApiRequest;

typedef struct ApiAnswer {
    unsigned status;
    const char *content_type; /* a constant */
    char *allow;              /* for 405; NULL: none */
    char *text;
    char *why; /* it is a refusal: the sentence */
} ApiAnswer;

void api_serve(Daemon *d, const ApiRequest *r, ApiAnswer *a);
void api_answer_clear(ApiAnswer *a);

/* An error of that status, in place of what the answer was. */
void api_refuse(ApiAnswer *a, unsigned status, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
