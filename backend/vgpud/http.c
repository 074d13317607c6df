/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http.h"

#include <gio/gio.h>
#include <libsoup/soup.h>
#include <string.h>

#include "api.h"
#include "api_json.h"
#include "audit.h"
#include "connection.h"
#include "remote.h"

struct HttpServer {
    Daemon *daemon;
    SoupServer *soup;
    ConnectionSet *connections;
    Remote *remote; /* NULL: no TCP */
};

static void answer(SoupServerMessage *msg, const ApiAnswer *a)
{
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(msg);

    soup_message_body_truncate(soup_server_message_get_response_body(msg));
    if (a->status) {
        soup_server_message_set_status(msg, a->status, NULL);
    }
    soup_server_message_set_response(msg, a->content_type, SOUP_MEMORY_COPY, a->text, strlen(a->text));
    soup_message_headers_replace(headers, "Connection", "close");
    soup_message_headers_replace(headers, "Cache-Control", "no-store");
    if (a->allow) {
        soup_message_headers_replace(headers, "Allow", a->allow);
    }
}

/* Refused before its body is read. */
static void reject(SoupServerMessage *msg, const Caller *caller, unsigned status, const char *sentence)
{
    Connection *c = connection_of(msg);
    const AuditLine line = {
        .caller = caller,
        .from = c->from,
        .what = "ask",
        .target = g_uri_get_path(soup_server_message_get_uri(msg)),
        .refused = sentence,
    };

    audit(&line);
    connection_reject(c, msg, status, sentence);
}

/* A TCP client's token tells who it is. */
static bool authenticate(HttpServer *s, Connection *c, SoupServerMessage *msg)
{
    const char *header =
        soup_message_headers_get_one(soup_server_message_get_request_headers(msg), "Authorization");

    if (header && g_ascii_strncasecmp(header, "Bearer ", 7) == 0 && s->remote &&
        token_set_find(s->remote->tokens, header + 7, c->from, &c->caller)) {
        return true;
    }
    reject(msg, NULL, SOUP_STATUS_UNAUTHORIZED,
           header ? "this token is not known here"
                  : "who asks over TCP needs a token: send it with Authorization: Bearer TOKEN");
    return false;
}

/*
 * The header is there, and nothing of the body was read.  libsoup would read
 * all of it, however long, before it let an answer out, and would not return
 * to the main loop while a chunked one goes on.
 */
static void on_header(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                      gpointer opaque)
{
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(msg);
    HttpServer *s = opaque;
    Connection *c = connection_of(msg);

    if (c->tcp && !authenticate(s, c, msg)) {
        return;
    }
    if (soup_message_headers_get_encoding(headers) == SOUP_ENCODING_CHUNKED) {
        reject(msg, &c->caller, SOUP_STATUS_LENGTH_REQUIRED,
               "the body's length must be known: send it with Content-Length, not in chunks");
    } else if (soup_message_headers_get_content_length(headers) > API_BODY_MAX_KIB * 1024) {
        reject(msg, &c->caller, SOUP_STATUS_REQUEST_ENTITY_TOO_LARGE,
               "the body is longer than " G_STRINGIFY(API_BODY_MAX_KIB) " KiB, and no change is that long");
    }
    soup_message_headers_remove(headers, "Range"); /* a part of an answer is of no use */
}

static void on_request(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                       gpointer opaque)
{
    HttpServer *s = opaque;
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(msg);
    g_autoptr(GBytes) body = soup_message_body_flatten(soup_server_message_get_request_body(msg));
    GUri *uri = soup_server_message_get_uri(msg);
    Connection *c = connection_of(msg);
    ApiAnswer a = { 0 };
    ApiRequest r = {
        .caller = &c->caller,
        .from = c->from,
        .method = soup_server_message_get_method(msg),
        .path = g_uri_get_path(uri),
        .query = g_uri_get_query(uri),
        .content_type = soup_message_headers_get_content_type(headers, NULL),
    };

    r.body = g_bytes_get_data(body, &r.length);
    api_serve(s->daemon, &r, &a);
    answer(msg, &a);
    api_answer_clear(&a);
}

static void on_wrote_headers(SoupServerMessage *msg, gpointer unused)
{
    connection_answers(connection_of(msg));
}

/* What libsoup refuses by itself gets a sentence, too: it is there before the request is. */
static void on_started(SoupServer *soup, SoupServerMessage *msg, gpointer unused)
{
    g_autofree char *text = api_json_error("this is not a request that vgpud understands");
    const ApiAnswer a = { .status = 0, .content_type = "application/json", .text = text };

    answer(msg, &a);
    g_signal_connect(msg, "wrote-headers", G_CALLBACK(on_wrote_headers), NULL);
}

bool http_check(const Config *config, GError **error)
{
    Remote *remote;

    if (!remote_load(config, &remote, error)) {
        return false;
    }
    remote_free(remote);
    return true;
}

static bool listen_tcp(HttpServer *s, GError **error)
{
    g_autoptr(GSocket) socket = NULL;

    if (!remote_load(s->daemon->config, &s->remote, error)) {
        return false;
    }
    if (s->remote) {
        socket = remote_open(s->remote, error);
        if (!socket) {
            return false;
        }
        connection_set_listen(s->connections, socket, s->remote->certificate);
        g_message("the API is served on https://%s too", s->daemon->config->http_listen);
    }
    return true;
}

HttpServer *http_serve(Daemon *d, int fd, GError **error)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, error);
    HttpServer *s;

    if (!socket) {
        return NULL;
    }
    s = g_new0(HttpServer, 1);
    s->daemon = d;
    s->soup = soup_server_new("server-header", "vgpud/" VGPU_VERSION, "raw-paths", TRUE, NULL);
    g_signal_connect(s->soup, "request-started", G_CALLBACK(on_started), NULL);
    soup_server_add_early_handler(s->soup, NULL, on_header, s, NULL);
    soup_server_add_handler(s->soup, NULL, on_request, s, NULL);
    s->connections = connection_set_new(d->config, s->soup, d->config->http_timeout_s);
    connection_set_listen(s->connections, socket, NULL);
    if (!listen_tcp(s, error)) {
        http_free(s);
        return NULL;
    }
    return s;
}

void http_free(HttpServer *s)
{
    if (s) {
        connection_set_free(s->connections);
        g_object_unref(s->soup);
        remote_free(s->remote);
        g_free(s);
    }
}
