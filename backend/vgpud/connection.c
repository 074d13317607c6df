/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  A connection is accepted here and given to libsoup as
 * a stream that libsoup cannot close: when it is done with it (answered, or
 * the request made no sense), the connection comes back.  So a client that
 * never gets to a whole request hears a sentence all the same, and whoever
 * still sends when it is refused reads the refusal before an error: a socket
 * closed with data in it would reset the connection.
 *
 *   HANDSHAKE   TLS only; on a thread of GIO's
 *   SERVED      libsoup has it
 *   LINGERING   our side is shut down; what still comes in is thrown away
 *
 * Each phase has one deadline and no other timer.  Nothing here waits: what
 * does not fit into the socket's buffer of a client that does not read is lost
 * with the client.
 */
#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "api_json.h"
#include "audit.h"

#define HANDSHAKE_S     5
#define LINGER_S        2
#define LINGER_MAX      (64u << 20) /* bytes thrown away */
#define REFUSED_AT_ONCE 8           /* of one peer, over its limit: these are told; more are just closed */
#define NO_FD_PAUSE_S   1
#define TOO_MANY        429 /* which libsoup does not know */

typedef enum Phase { HANDSHAKE, SERVED, LINGERING } Phase;

typedef struct Listener {
    ConnectionSet *set;
    GSocket *socket;
    GTlsCertificate *certificate; /* NULL: a Unix socket */
    GSource *source;              /* NULL: paused */
    guint pause;
} Listener;

struct ConnectionSet {
    const Config *config;
    SoupServer *soup;
    unsigned timeout_s;
    GPtrArray *listeners;
    GPtrArray *connections;
    GHashTable *peers; /* "uid 1000" or an address -> how many */
};

typedef struct ConnectionState {
    Phase phase;
    char *peer;
    GSocket *socket;
    GIOStream *stream; /* what is spoken over: the socket's, or TLS on it */
    GSocketAddress *remote;
    GCancellable *handshake;
    GSource *source; /* LINGERING */
    guint timer;
    bool answered;
    size_t discarded;
} ConnectionState;

static void connection_released(Connection *c);

/* ---- the stream that libsoup gets ---- */

#define BORROWED_TYPE_STREAM (borrowed_stream_get_type())
G_DECLARE_FINAL_TYPE(BorrowedStream, borrowed_stream, BORROWED, STREAM, GIOStream)

struct _BorrowedStream {
    GIOStream parent;
    GIOStream *base;
    Connection *connection;
};

G_DEFINE_FINAL_TYPE(BorrowedStream, borrowed_stream, G_TYPE_IO_STREAM)

static GInputStream *borrowed_input(GIOStream *stream)
{
    return g_io_stream_get_input_stream(BORROWED_STREAM(stream)->base);
}

static GOutputStream *borrowed_output(GIOStream *stream)
{
    return g_io_stream_get_output_stream(BORROWED_STREAM(stream)->base);
}

/* Called once, by whoever drops it. */
static gboolean borrowed_close(GIOStream *stream, GCancellable *cancellable, GError **error)
{
    connection_released(BORROWED_STREAM(stream)->connection);
    return TRUE;
}

static void borrowed_finalize(GObject *object)
{
    g_object_unref(BORROWED_STREAM(object)->base);
    G_OBJECT_CLASS(borrowed_stream_parent_class)->finalize(object);
}

static void borrowed_stream_class_init(BorrowedStreamClass *class)
{
    G_OBJECT_CLASS(class)->finalize = borrowed_finalize;
    G_IO_STREAM_CLASS(class)->get_input_stream = borrowed_input;
    G_IO_STREAM_CLASS(class)->get_output_stream = borrowed_output;
    G_IO_STREAM_CLASS(class)->close_fn = borrowed_close;
}

static void borrowed_stream_init(BorrowedStream *self)
{
}

/* ---- a connection ---- */

static unsigned peer_count(const ConnectionSet *set, const char *peer)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(set->peers, peer));
}

/* It is not of the set any more, and has no deadline. */
static void connection_forget(Connection *c)
{
    ConnectionState *s = c->state;
    ConnectionSet *set = c->set;
    unsigned others;

    if (!set) {
        return;
    }
    others = peer_count(set, s->peer) - 1;
    if (others) {
        g_hash_table_insert(set->peers, g_strdup(s->peer), GUINT_TO_POINTER(others));
    } else {
        g_hash_table_remove(set->peers, s->peer);
    }
    g_ptr_array_remove_fast(set->connections, c);
    c->set = NULL;
    g_clear_handle_id(&s->timer, g_source_remove);
}

static void connection_free(Connection *c)
{
    ConnectionState *s = c->state;

    connection_forget(c);
    if (s->source) {
        g_source_destroy(s->source);
        g_source_unref(s->source);
    }
    if (s->remote) {
        g_object_set_data(G_OBJECT(s->remote), "vgpu-connection", NULL);
    }
    g_socket_close(s->socket, NULL); /* first: closing TLS has nothing left to wait for */
    g_clear_object(&s->remote);
    g_clear_object(&s->stream);
    g_clear_object(&s->handshake);
    g_object_unref(s->socket);
    g_free(s->peer);
    g_free(s);
    caller_clear(&c->caller);
    g_free(c->from);
    g_free(c);
}

/* Nobody reads or writes it any more; who polls it notices. */
static void connection_cut(Connection *c)
{
    g_socket_shutdown(c->state->socket, TRUE, TRUE, NULL);
}

static bool can_write(const ConnectionState *s)
{
    struct pollfd p = { .fd = g_socket_get_fd(s->socket), .events = POLLOUT };

    return poll(&p, 1, 0) > 0 && !(p.revents & (POLLERR | POLLHUP));
}

/* An answer without libsoup: as much of it as fits, which is all unless the client never reads. */
static void say(Connection *c, unsigned status, const char *sentence)
{
    ConnectionState *s = c->state;
    g_autofree char *body = api_json_error(sentence);
    g_autofree char *text = g_strdup_printf(
        "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
        "Connection: close\r\n%s\r\n%s",
        status, status == TOO_MANY ? "Too Many Requests" : soup_status_get_phrase(status), strlen(body),
        status == SOUP_STATUS_UNAUTHORIZED ? "WWW-Authenticate: Bearer\r\n" : "", body);

    s->answered = true;
    g_pollable_output_stream_write_nonblocking(
        G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(s->stream)), text, strlen(text), NULL, NULL);
}

static gboolean on_linger(GSocket *socket, GIOCondition condition, gpointer opaque)
{
    Connection *c = opaque;
    char buf[16384];
    ssize_t n = recv(g_socket_get_fd(socket), buf, sizeof(buf), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n > 0) {
        c->state->discarded += n;
        if (c->state->discarded < LINGER_MAX) {
            return G_SOURCE_CONTINUE;
        }
    }
    connection_free(c);
    return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer opaque)
{
    Connection *c = opaque;
    ConnectionState *s = c->state;

    s->timer = 0;
    switch (s->phase) {
    case HANDSHAKE:
        g_cancellable_cancel(s->handshake); /* which frees it */
        break;
    case SERVED:
        if (!s->answered) {
            say(c, SOUP_STATUS_REQUEST_TIMEOUT, "the request did not come to its end in time");
        }
        connection_cut(c); /* libsoup notices and gives it back */
        break;
    case LINGERING:
        connection_free(c);
        break;
    }
    return G_SOURCE_REMOVE;
}

static void set_deadline(Connection *c, Phase phase, unsigned seconds)
{
    ConnectionState *s = c->state;

    s->phase = phase;
    g_clear_handle_id(&s->timer, g_source_remove);
    s->timer = g_timeout_add_seconds(seconds, on_deadline, c);
}

/* libsoup has no more to say, or never had it: what we say is said, too. */
static void connection_released(Connection *c)
{
    ConnectionState *s = c->state;

    if (!s->answered) {
        say(c, SOUP_STATUS_BAD_REQUEST,
            "the request ended before it was whole, or its header is longer than 100 KiB");
    }
    if (G_IS_TLS_CONNECTION(s->stream) && can_write(s)) { /* its good-bye is written by a blocking call */
        g_output_stream_close(g_io_stream_get_output_stream(s->stream), NULL, NULL);
    }
    g_socket_shutdown(s->socket, FALSE, TRUE, NULL);
    set_deadline(c, LINGERING, LINGER_S);
    s->source = g_socket_create_source(s->socket, G_IO_IN, NULL);
    g_source_set_callback(s->source, G_SOURCE_FUNC(on_linger), c, NULL);
    g_source_attach(s->source, NULL);
}

static void connection_serve(Connection *c)
{
    /* libsoup takes the host of an HTTP/1.0 request from it, and it must be an IP address */
    g_autoptr(GSocketAddress) local = g_inet_socket_address_new_from_string("127.0.0.1", 80);
    g_autoptr(BorrowedStream) stream = g_object_new(BORROWED_TYPE_STREAM, NULL);
    ConnectionState *s = c->state;

    stream->base = g_object_ref(s->stream);
    stream->connection = c;
    s->remote = g_inet_socket_address_new_from_string("127.0.0.1", 80);
    g_object_set_data(G_OBJECT(s->remote), "vgpu-connection", c);
    set_deadline(c, SERVED, c->set->timeout_s);
    soup_server_accept_iostream(c->set->soup, G_IO_STREAM(stream), local, s->remote, NULL);
}

static void on_handshake(GObject *object, GAsyncResult *result, gpointer opaque)
{
    Connection *c = opaque;

    if (g_tls_connection_handshake_finish(G_TLS_CONNECTION(object), result, NULL) && c->set) {
        connection_serve(c);
    } else {
        connection_free(c);
    }
}

static void connection_secure(Connection *c, GTlsCertificate *certificate)
{
    ConnectionState *s = c->state;
    g_autoptr(GIOStream) plain = g_steal_pointer(&s->stream);
    g_autoptr(GError) error = NULL;

    s->stream = g_tls_server_connection_new(plain, certificate, &error);
    if (!s->stream) {
        g_warning("no TLS for a connection of %s: %s", c->from, error->message);
        connection_free(c);
        return;
    }
    g_tls_connection_set_require_close_notify(G_TLS_CONNECTION(s->stream), FALSE);
    s->handshake = g_cancellable_new();
    set_deadline(c, HANDSHAKE, MIN(HANDSHAKE_S, c->set->timeout_s));
    g_tls_connection_handshake_async(G_TLS_CONNECTION(s->stream), G_PRIORITY_DEFAULT, s->handshake,
                                     on_handshake, c);
}

/* ---- accepting ---- */

static void refuse_peer(const Connection *c, const char *why)
{
    const AuditLine line = {
        .caller = c->tcp ? NULL : &c->caller, .from = c->from, .what = "connect", .refused = why
    };

    audit(&line);
}

/* A user of this host, or an address: what connections are counted by. */
static bool identify(Connection *c, GSocketAddress *address)
{
    ConnectionState *s = c->state;

    if (G_IS_INET_SOCKET_ADDRESS(address)) {
        c->tcp = true;
        c->caller.uid = ROLES_NOBODY;
        c->from = g_inet_address_to_string(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)));
        s->peer = g_strdup(c->from);
        return true;
    }
    c->from = g_strdup("the API's socket");
    if (!roles_peer(c->set->config, g_socket_get_fd(s->socket), &c->caller)) {
        c->caller.uid = ROLES_NOBODY;
        s->peer = g_strdup("unknown");
        return false;
    }
    s->peer = g_strdup_printf("uid %u", c->caller.uid);
    return true;
}

/* NULL: welcome.  *silent: not even told, there are too many of its kind. */
static const char *too_many(const Connection *c, bool *silent)
{
    unsigned mine = peer_count(c->set, c->state->peer);
    /* nobody locks an admin out of the host's own socket */
    bool shared = c->tcp || c->caller.role < ROLE_ADMIN;

    *silent = mine >= CONNECTION_PER_PEER + REFUSED_AT_ONCE ||
              (shared && c->set->connections->len >= CONNECTION_MAX + 4 * REFUSED_AT_ONCE);
    if (mine >= CONNECTION_PER_PEER) {
        return "this user or address has " G_STRINGIFY(
            CONNECTION_PER_PEER) " connections to vgpud already: end some";
    }
    if (shared && c->set->connections->len >= CONNECTION_MAX) {
        return "vgpud has " G_STRINGIFY(CONNECTION_MAX) " connections already: try again later";
    }
    return NULL;
}

static void welcome(Listener *l, GSocket *socket)
{
    g_autoptr(GSocketAddress) address = g_socket_get_remote_address(socket, NULL);
    Connection *c = g_new0(Connection, 1);
    ConnectionState *s = g_new0(ConnectionState, 1);
    bool known, silent;
    const char *why;

    c->set = l->set;
    c->state = s;
    s->socket = g_object_ref(socket);
    known = identify(c, address);
    why = too_many(c, &silent);
    if (why) {
        refuse_peer(c, why);
    }
    g_hash_table_insert(l->set->peers, g_strdup(s->peer), GUINT_TO_POINTER(peer_count(l->set, s->peer) + 1));
    g_ptr_array_add(l->set->connections, c);
    if (!known || (why && (silent || l->certificate))) { /* no TLS for who is refused */
        connection_free(c);
        return;
    }
    s->stream = G_IO_STREAM(g_socket_connection_factory_create_connection(socket));
    if (why) {
        say(c, TOO_MANY, why);
        connection_released(c);
    } else if (l->certificate) {
        connection_secure(c, l->certificate);
    } else {
        connection_serve(c);
    }
}

static void listener_watch(Listener *l);

static gboolean on_pause_over(gpointer opaque)
{
    Listener *l = opaque;

    l->pause = 0;
    listener_watch(l);
    return G_SOURCE_REMOVE;
}

/* One per turn of the main loop. */
static gboolean on_connect(GSocket *listener, GIOCondition condition, gpointer opaque)
{
    Listener *l = opaque;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) socket = g_socket_accept(listener, NULL, &error);

    if (socket) {
        welcome(l, socket);
        return G_SOURCE_CONTINUE;
    }
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED)) {
        return G_SOURCE_CONTINUE;
    }
    g_warning("no connection to the API can be accepted for a second: %s", error->message);
    g_clear_pointer(&l->source, g_source_unref);
    l->pause = g_timeout_add_seconds(NO_FD_PAUSE_S, on_pause_over, l);
    return G_SOURCE_REMOVE;
}

static void listener_watch(Listener *l)
{
    l->source = g_socket_create_source(l->socket, G_IO_IN, NULL);
    g_source_set_callback(l->source, G_SOURCE_FUNC(on_connect), l, NULL);
    g_source_attach(l->source, NULL);
}

static void listener_free(gpointer data)
{
    Listener *l = data;

    if (l->source) {
        g_source_destroy(l->source);
        g_source_unref(l->source);
    }
    g_clear_handle_id(&l->pause, g_source_remove);
    g_clear_object(&l->certificate);
    g_socket_close(l->socket, NULL);
    g_object_unref(l->socket);
    g_free(l);
}

/* ---- the set ---- */

ConnectionSet *connection_set_new(const Config *config, SoupServer *soup, unsigned timeout_s)
{
    ConnectionSet *set = g_new0(ConnectionSet, 1);

    set->config = config;
    set->soup = g_object_ref(soup);
    set->timeout_s = timeout_s;
    set->listeners = g_ptr_array_new_with_free_func(listener_free);
    set->connections = g_ptr_array_new();
    set->peers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return set;
}

void connection_set_listen(ConnectionSet *set, GSocket *listener, GTlsCertificate *certificate)
{
    Listener *l = g_new0(Listener, 1);

    l->set = set;
    l->socket = g_object_ref(listener);
    l->certificate = certificate ? g_object_ref(certificate) : NULL;
    g_socket_set_blocking(listener, FALSE);
    g_ptr_array_add(set->listeners, l);
    listener_watch(l);
}

void connection_set_free(ConnectionSet *set)
{
    if (!set) {
        return;
    }
    g_ptr_array_unref(set->listeners);
    soup_server_disconnect(set->soup); /* what it has comes back */
    while (set->connections->len) {
        Connection *c = g_ptr_array_steal_index_fast(set->connections, 0);

        if (c->state->phase == HANDSHAKE) { /* a thread has it still */
            connection_forget(c);
            g_cancellable_cancel(c->state->handshake);
        } else {
            connection_free(c);
        }
    }
    g_ptr_array_unref(set->connections);
    g_hash_table_unref(set->peers);
    g_object_unref(set->soup);
    g_free(set);
}

Connection *connection_of(SoupServerMessage *msg)
{
    return g_object_get_data(G_OBJECT(soup_server_message_get_remote_address(msg)), "vgpu-connection");
}

void connection_reject(Connection *c, SoupServerMessage *msg, unsigned status, const char *sentence)
{
    g_autoptr(GIOStream) stream = NULL;

    say(c, status, sentence);
    stream = soup_server_message_steal_connection(msg);
}

void connection_answers(Connection *c)
{
    c->state->answered = true;
    set_deadline(c, SERVED, c->set->timeout_s);
}
