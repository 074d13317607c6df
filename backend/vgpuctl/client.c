/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

#include <gio/gunixsocketaddress.h>
#include <libsoup/soup.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "text.h"
#include "vgpu/attach.h"

#define API_SUFFIX "-api.sock"
#define TIMEOUT_S  10
#define TOKEN_MAX  4096 /* bytes: a token is a line */

struct Client {
    SoupSession *session;
    char *server;  /* for messages */
    char *base;    /* of the URIs */
    char *token;   /* "Bearer ..." or NULL */
    char *release; /* of the last answer */
};

/* /run/vgpu/vgpud.sock -> /run/vgpu/vgpud-api.sock */
static char *api_path(const char *socket)
{
    g_autofree char *stem = g_strdup(socket);

    if (g_str_has_suffix(socket, API_SUFFIX)) {
        return g_steal_pointer(&stem);
    }
    if (g_str_has_suffix(stem, ".sock")) {
        stem[strlen(stem) - strlen(".sock")] = 0;
    }
    return g_strconcat(stem, API_SUFFIX, NULL);
}

/* Where a vgpud may listen: the system's, then this user's. */
static GPtrArray *candidates(const char *socket)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");

    if (socket) {
        g_ptr_array_add(paths, api_path(socket));
        return paths;
    }
    g_ptr_array_add(paths, api_path(VGPU_SOCKET_SYSTEM));
    if (runtime && *runtime) {
        g_autofree char *path = g_build_filename(runtime, VGPU_SOCKET_USER, NULL);

        g_ptr_array_add(paths, api_path(path));
    } else {
        g_ptr_array_add(paths, g_strdup_printf("/run/user/%u/vgpu/vgpud" API_SUFFIX, geteuid()));
        g_ptr_array_add(paths, g_strdup_printf("/tmp/vgpu-%u/vgpud" API_SUFFIX, geteuid()));
    }
    return paths;
}

/* Whether somebody listens; *denied is set when only rights are missing. */
static bool is_served(const char *path, bool *denied)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocket) s = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL);
    g_autoptr(GError) error = NULL;

    if (s && g_socket_connect(s, address, NULL, &error)) {
        return true;
    }
    *denied |= g_error_matches(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
    return false;
}

static char *find_server(const char *socket, GError **error)
{
    g_autoptr(GPtrArray) paths = candidates(socket);
    g_autofree char *all = NULL;
    bool denied = false;

    for (guint i = 0; i < paths->len; i++) {
        if (is_served(paths->pdata[i], &denied)) {
            return g_strdup(paths->pdata[i]);
        }
    }
    g_ptr_array_add(paths, NULL);
    all = g_strjoinv(" nor on ", (char **)paths->pdata);
    if (denied) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    "this user may not talk to vgpud on %s: be root or a member of the group vgpu", all);
    } else {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
            "no vgpud listens on %s: a VM with -device vgpu-pci starts one, or start the service with "
            "'systemctl start vgpud.socket', or run vgpud",
            all);
    }
    return NULL;
}

static bool use_socket(Client *c, const char *socket, GError **error)
{
    g_autoptr(GSocketAddress) address = NULL;

    c->server = find_server(socket, error);
    if (!c->server) {
        return false;
    }
    address = g_unix_socket_address_new(c->server);
    c->session = soup_session_new_with_options("remote-connectable", address, "timeout", TIMEOUT_S, NULL);
    c->base = g_strdup("http://vgpud");
    return true;
}

static bool read_token(Client *c, const char *file, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(file, &text, &length, error)) {
        g_prefix_error(error, "cannot read the token: ");
        return false;
    }
    g_strstrip(text);
    if (!*text || length > TOKEN_MAX || strpbrk(text, "\r\n") || !g_str_is_ascii(text)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the file %s does not hold a token: it must be one line of ASCII", file);
        return false;
    }
    c->token = g_strconcat("Bearer ", text, NULL);
    return true;
}

static bool use_url(Client *c, const ClientConfig *config, GError **error)
{
    g_autoptr(GUri) uri = g_uri_parse(config->url, SOUP_HTTP_URI_FLAGS, error);

    if (!uri) {
        g_prefix_error(error, "'%s' is not a URL: ", config->url);
        return false;
    }
    if (!g_str_equal(g_uri_get_scheme(uri), "https")) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "'%s' does not begin with https://: anybody on the way could read the token",
                    config->url);
        return false;
    }
    if (!g_uri_get_host(uri) || !*g_uri_get_host(uri)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "'%s' names no host: write https://HOST:PORT", config->url);
        return false;
    }
    c->server = g_strdup(config->url);
    c->base = g_strdup(config->url);
    if (g_str_has_suffix(c->base, "/")) {
        c->base[strlen(c->base) - 1] = 0;
    }
    c->session = soup_session_new_with_options("timeout", TIMEOUT_S, NULL);
    if (config->ca_file) {
        g_autoptr(GTlsDatabase) trusted = g_tls_file_database_new(config->ca_file, error);

        if (!trusted) {
            g_prefix_error(error, "cannot use %s: ", config->ca_file);
            return false;
        }
        soup_session_set_tls_database(c->session, trusted);
    }
    return !config->token_file || read_token(c, config->token_file, error);
}

Client *client_new(const ClientConfig *config, GError **error)
{
    g_autoptr(Client) c = g_new0(Client, 1);

    if (!(config->url ? use_url(c, config, error) : use_socket(c, config->socket, error))) {
        return NULL;
    }
    return g_steal_pointer(&c);
}

void client_free(Client *c)
{
    if (c) {
        g_clear_object(&c->session);
        g_free(c->server);
        g_free(c->base);
        g_free(c->token);
        g_free(c->release);
        g_free(c);
    }
}

const char *client_server(const Client *c)
{
    return c->server;
}

const char *client_release(const Client *c)
{
    return c->release;
}

static SoupMessage *make_message(Client *c, const char *method, const char *path, JsonNode *body)
{
    g_autofree char *uri = g_strconcat(c->base, path, NULL);
    SoupMessage *message = soup_message_new(method, uri);

    if (!message) {
        return NULL;
    }
    if (c->token) {
        soup_message_headers_replace(soup_message_get_request_headers(message), "Authorization", c->token);
    }
    if (body) {
        char *text = json_to_string(body, FALSE);
        g_autoptr(GBytes) bytes = g_bytes_new_take(text, strlen(text));

        soup_message_set_request_body_from_bytes(message, "application/json", bytes);
    }
    return message;
}

/* The sentence of an {"error": ...}; NULL when the answer is none. */
static char *refusal(JsonNode *root)
{
    JsonObject *o = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
    const char *sentence = o ? json_object_get_string_member_with_default(o, "error", NULL) : NULL;

    return sentence ? text_clean(sentence) : NULL;
}

static JsonNode *parse_answer(Client *c, SoupMessage *message, GBytes *body, GError **error)
{
    g_autofree char *text = NULL, *sentence = NULL;
    g_autoptr(JsonNode) root = NULL;
    g_autoptr(GError) local = NULL;
    const char *release;

    if (!body) {
        g_prefix_error(error, "vgpud on %s does not answer: ", c->server);
        if (g_error_matches(error ? *error : NULL, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE)) {
            g_prefix_error(error, "give the authority that signed its certificate with --ca-file: ");
        }
        return NULL;
    }
    release = soup_message_headers_get_one(soup_message_get_response_headers(message), "Server");
    g_free(c->release);
    c->release = release ? text_clean(release) : NULL;

    text = g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body));
    root = text && *text ? json_from_string(text, &local) : NULL;
    if (SOUP_STATUS_IS_SUCCESSFUL(soup_message_get_status(message)) && root) {
        return g_steal_pointer(&root);
    }
    sentence = refusal(root);
    if (sentence) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, sentence);
    } else {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_FAILED,
            "vgpud on %s answers %s with status %u and no JSON that says why: is it of another release?",
            c->server, g_uri_get_path(soup_message_get_uri(message)), soup_message_get_status(message));
    }
    return NULL;
}

JsonNode *client_ask(Client *c, const char *method, const char *path, JsonNode *body, GError **error)
{
    g_autoptr(SoupMessage) message = make_message(c, method, path, body);
    g_autoptr(GBytes) bytes = NULL;

    if (!message) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "'%s%s' is not a URL", c->base, path);
        return NULL;
    }
    bytes = soup_session_send_and_read(c->session, message, NULL, error);
    return parse_answer(c, message, bytes, error);
}

static JsonNode *expect_array(Client *c, JsonNode *root, GError **error)
{
    if (root && !JSON_NODE_HOLDS_ARRAY(root)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "vgpud on %s answers with something else than an array: is it of another release?",
                    c->server);
        g_clear_pointer(&root, json_node_unref);
    }
    return root;
}

JsonNode *client_get_array(Client *c, const char *path, GError **error)
{
    return expect_array(c, client_ask(c, "GET", path, NULL, error), error);
}

void client_get_array_async(Client *c, const char *path, GCancellable *cancellable, GAsyncReadyCallback done,
                            gpointer opaque)
{
    g_autoptr(SoupMessage) message = make_message(c, "GET", path, NULL);

    soup_session_send_and_read_async(c->session, message, G_PRIORITY_DEFAULT, cancellable, done, opaque);
}

JsonNode *client_get_array_finish(Client *c, GAsyncResult *result, GError **error)
{
    SoupMessage *message = soup_session_get_async_result_message(c->session, result);
    g_autoptr(GBytes) bytes = soup_session_send_and_read_finish(c->session, result, error);

    return expect_array(c, parse_answer(c, message, bytes, error), error);
}

char *client_path(const char *collection, const char *id)
{
    g_autofree char *escaped = g_uri_escape_string(id, NULL, FALSE);

    return g_strdup_printf("/v1/%s/%s", collection, escaped);
}
