/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <libsoup/soup.h>
#include <stdbool.h>
#include <unistd.h>

#include "vgpu/attach.h"

#define API_SUFFIX "-api.sock"
#define TIMEOUT_S  10

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

JsonNode *client_get(const char *socket, const char *path, GError **error)
{
    g_autofree char *server = find_server(socket, error);
    g_autofree char *uri = g_strconcat("http://vgpud", path, NULL);
    g_autoptr(GSocketAddress) address = NULL;
    g_autoptr(SoupSession) session = NULL;
    g_autoptr(SoupMessage) message = soup_message_new("GET", uri);
    g_autoptr(GBytes) body = NULL;
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;

    if (!server) {
        return NULL;
    }
    address = g_unix_socket_address_new(server);
    session = soup_session_new_with_options("remote-connectable", address, "timeout", TIMEOUT_S, NULL);
    body = soup_session_send_and_read(session, message, NULL, error);
    if (!body) {
        g_prefix_error(error, "vgpud on %s does not answer: ", server);
        return NULL;
    }
    text = g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body));
    if (soup_message_get_status(message) != SOUP_STATUS_OK) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "vgpud on %s answers %s with status %u: is it of another release?", server, path,
                    soup_message_get_status(message));
        return NULL;
    }
    root = json_from_string(text, error);
    if (root && !JSON_NODE_HOLDS_ARRAY(root)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "vgpud on %s answers %s with something else than an array", server, path);
        return NULL;
    }
    return g_steal_pointer(&root);
}
