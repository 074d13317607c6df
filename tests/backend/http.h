/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpud's API as a client sees it, byte by byte: a library would send only
 * what makes sense.
 */
#ifndef TEST_HTTP_H
#define TEST_HTTP_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "attach.h"

#define HTTP_DEADLINE 20000 /* ms: for an answer that is sure to come */
#define JSON_TYPE     "application/json"

typedef struct HttpReply {
    unsigned status; /* 0: the connection ended without an answer, or something else than HTTP came */
    char *head;      /* status line and headers */
    char *body;
    JsonNode *json; /* of the body, NULL: it is none */
} HttpReply;

/* A connection to the API's socket; -1 when nobody takes it. */
int http_connect(Vgpud *d);

/* Root plays another user: who connects meanwhile has these ids for the kernel.  False: not root, skip. */
bool http_play(Vgpud *d, uid_t uid, gid_t gid);
void http_play_end(void);

bool http_send(int fd, const void *bytes, size_t size);
/* All that comes until the other end closes, or the deadline passes (then NULL after a test failure). */
HttpReply *http_read(int fd);
void http_reply_free(HttpReply *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpReply, http_reply_free)

/* The text of a request.  type and body may be NULL; extra: more header lines, each with CRLF, or NULL. */
char *http_request(const char *method, const char *path, const char *type, const char *body,
                   const char *extra);
HttpReply *http_parse(const char *text, gsize length);

/* A whole exchange. */
HttpReply *http_ask(Vgpud *d, const char *method, const char *path, const char *type, const char *body);
HttpReply *http_raw(Vgpud *d, const void *bytes, size_t size);

/* The value of a header, NULL: it is not there; to free. */
char *http_header(const HttpReply *r, const char *name);

/* Expects that status with {"error": "one sentence"}; the sentence. */
const char *http_expect_error(const HttpReply *r, unsigned status);
/* Expects status 200 and an object, or NULL after a test failure. */
JsonObject *http_expect_object(const HttpReply *r);
/* Expects status 200 and an array, or NULL after a test failure. */
JsonArray *http_expect_array(const HttpReply *r);

/* What vgpud wrote to its log so far; to free. */
char *http_log(Vgpud *d);

#endif
