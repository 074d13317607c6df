/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks a vgpud: over its API's Unix socket, or over HTTPS with a token. */
#ifndef VGPUCTL_CLIENT_H
#define VGPUCTL_CLIENT_H

#include <gio/gio.h>
#include <json-glib/json-glib.h>

typedef struct Client Client;

typedef struct ClientConfig {
    const char *socket; /* vgpud's socket or its API's; NULL: the first that is served of the usual places */
    const char *url;    /* https://HOST:PORT instead of a socket, or NULL */
    const char *token_file; /* for url: a file that holds the bearer token, or NULL */
    const char *ca_file;    /* for url: who signed its certificate; NULL: whom the system trusts */
} ClientConfig;

/* NULL with a sentence when nobody listens there. */
Client *client_new(const ClientConfig *config, GError **error);
void client_free(Client *c); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)

/* The socket or the URL; lives as long as the client. */
const char *client_server(const Client *c);
/* "vgpud/0.1.0", as its last answer said; NULL: it did not say. */
const char *client_release(const Client *c);

/*
 * What METHOD path answers.  body: JSON, or NULL.  A refusal is vgpud's own
 * sentence in *error.
 */
JsonNode *client_ask(Client *c, const char *method, const char *path, JsonNode *body, GError **error);

/* GET of a path that answers an array. */
JsonNode *client_get_array(Client *c, const char *path, GError **error);

/* The same without waiting; path must live until it is done. */
void client_get_array_async(Client *c, const char *path, GCancellable *cancellable, GAsyncReadyCallback done,
                            gpointer opaque);
JsonNode *client_get_array_finish(Client *c, GAsyncResult *result, GError **error);

/* "/v1/vms/" and a name, UUID or UUID/DEVICE, escaped; to free. */
char *client_path(const char *collection, const char *id);

#endif
