/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "remote.h"

#include <string.h>
#include <sys/stat.h>

#include "units.h"

#define BACKLOG 64

/* "127.0.0.1:9843", "[::1]:9843": numbers only, no name is looked up. */
static GSocketAddress *parse_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = g_strndup(text, colon ? colon - text : 0);
    size_t length = strlen(host);
    uint32_t port;

    if (!colon || !units_parse_uint(colon + 1, 1, G_MAXUINT16, &port)) {
        return NULL;
    }
    if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = 0;
        return g_inet_socket_address_new_from_string(host + 1, port);
    }
    return strchr(host, ':') ? NULL : g_inet_socket_address_new_from_string(host, port);
}

static bool load_certificate(Remote *r, const Config *c, GError **error)
{
    g_autoptr(GError) local = NULL;
    struct stat st;

    if (!g_tls_backend_supports_tls(g_tls_backend_get_default())) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "[http] listen=%s needs TLS, which this host's GLib does not have: install the package "
                    "glib-networking",
                    c->http_listen);
        return false;
    }
    if (stat(c->http_key, &st) == 0 && st.st_mode & (S_IRWXO | S_IWGRP)) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "the key %s can be read or written by others: give it mode 0600 or 0640 (chmod 600 %s)",
                    c->http_key, c->http_key);
        return false;
    }
    r->certificate = g_tls_certificate_new_from_files(c->http_certificate, c->http_key, &local);
    if (!r->certificate) {
        g_set_error(error, VGPUD_ERROR, 0, "the certificate %s with the key %s cannot be used: %s",
                    c->http_certificate, c->http_key, local->message);
        return false;
    }
    return true;
}

bool remote_load(const Config *c, Remote **remote, GError **error)
{
    Remote *r;

    *remote = NULL;
    if (!c->http_listen) {
        if (c->http_certificate || c->http_key || c->http_tokens) {
            g_set_error(error, VGPUD_ERROR, 0,
                        "[http] of vgpud.conf has certificate=, key= or tokens=, but no listen=: add "
                        "listen=ADDRESS:PORT, or leave them out");
            return false;
        }
        return true;
    }
    if (!c->http_certificate || !c->http_key || !c->http_tokens) {
        g_set_error(
            error, VGPUD_ERROR, 0,
            "[http] listen=%s needs %s as well: over TCP there is TLS and there are tokens, or nothing; "
            "leave listen= out to serve the Unix socket only",
            c->http_listen,
            !c->http_certificate ? "certificate="
            : !c->http_key       ? "key="
                                 : "tokens=");
        return false;
    }
    r = g_new0(Remote, 1);
    r->address = parse_address(c->http_listen);
    if (!r->address) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "[http] listen=%s is not ADDRESS:PORT with a numeric address, like 127.0.0.1:9843 or "
                    "[::1]:9843",
                    c->http_listen);
    } else if (load_certificate(r, c, error) && (r->tokens = token_set_load(c->http_tokens, error))) {
        *remote = r;
        return true;
    }
    remote_free(r);
    return false;
}

void remote_free(Remote *r)
{
    if (r) {
        g_clear_object(&r->address);
        g_clear_object(&r->certificate);
        token_set_free(r->tokens);
        g_free(r);
    }
}

GSocket *remote_open(const Remote *r, GError **error)
{
    g_autofree char *text = g_socket_connectable_to_string(G_SOCKET_CONNECTABLE(r->address));
    g_autoptr(GSocket) socket =
        g_socket_new(g_socket_address_get_family(r->address), G_SOCKET_TYPE_STREAM, 0, error);

    if (socket) {
        g_socket_set_listen_backlog(socket, BACKLOG);
    }
    if (!socket || !g_socket_bind(socket, r->address, TRUE, error) || !g_socket_listen(socket, error)) {
        g_prefix_error(error, "cannot listen on [http] listen=%s: ", text);
        return NULL;
    }
    return g_steal_pointer(&socket);
}
