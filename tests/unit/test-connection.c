/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections lent to libsoup: given back, cut off, and gone with the server. */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vgpud/connection.h"

#define BIG      (8u << 20) /* bytes: more than any socket buffer */
#define DEADLINE (20 * G_USEC_PER_SEC)

typedef struct Server {
    char *folder, *path;
    Config *config;
    SoupServer *soup;
    ConnectionSet *set;
} Server;

static void on_wrote_headers(SoupServerMessage *msg, gpointer unused)
{
    connection_answers(connection_of(msg));
}

static void on_started(SoupServer *soup, SoupServerMessage *msg, gpointer unused)
{
    g_signal_connect(msg, "wrote-headers", G_CALLBACK(on_wrote_headers), NULL);
}

static void on_request(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                       gpointer unused)
{
    size_t size = g_str_equal(path, "/big") ? BIG : 2;

    soup_server_message_set_status(msg, 200, NULL);
    soup_server_message_set_response(msg, "text/plain", SOUP_MEMORY_TAKE, g_strnfill(size, 'x'), size);
}

static void server_open(Server *s)
{
    g_autoptr(GSocket) listener = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL);
    g_autoptr(GSocketAddress) address = NULL;

    s->folder = g_dir_make_tmp("connection-XXXXXX", NULL);
    s->path = g_build_filename(s->folder, "s", NULL);
    s->config = config_new();
    s->soup = soup_server_new("raw-paths", TRUE, NULL);
    g_signal_connect(s->soup, "request-started", G_CALLBACK(on_started), NULL);
    soup_server_add_handler(s->soup, NULL, on_request, NULL, NULL);
    s->set = connection_set_new(s->config, s->soup, 1);
    address = g_unix_socket_address_new(s->path);
    g_assert_true(g_socket_bind(listener, address, TRUE, NULL) && g_socket_listen(listener, NULL));
    connection_set_listen(s->set, listener, NULL);
}

static void server_close(Server *s)
{
    connection_set_free(s->set);
    g_object_unref(s->soup);
    config_free(s->config);
    g_unlink(s->path);
    g_rmdir(s->folder);
    g_free(s->path);
    g_free(s->folder);
}

static int client(const Server *s, const char *text)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_strlcpy(addr.sun_path, s->path, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, strlen(text));
    return fd;
}

/* What comes until the end, the server being served meanwhile; NULL: no end came. */
static GByteArray *read_all(int fd)
{
    gint64 end = g_get_monotonic_time() + DEADLINE;
    GByteArray *all = g_byte_array_new();

    while (g_get_monotonic_time() < end) {
        guint8 buf[65536];
        ssize_t n = recv(fd, buf, sizeof(buf), 0);

        if (n > 0) {
            g_byte_array_append(all, buf, n);
        } else if (n == 0) {
            return all;
        }
        g_main_context_iteration(NULL, FALSE);
    }
    g_byte_array_unref(all);
    return NULL;
}

static bool cut_off(int fd)
{
    gint64 end = g_get_monotonic_time() + DEADLINE;
    struct pollfd p = { .fd = fd, .events = 0 };

    while (g_get_monotonic_time() < end) {
        if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP) {
            return true;
        }
        g_main_context_iteration(NULL, FALSE);
    }
    return false;
}

static void test_answer(void)
{
    g_autoptr(GByteArray) small = NULL, big = NULL;
    Server s;
    int fd;

    server_open(&s);
    fd = client(&s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    small = read_all(fd);
    g_assert_nonnull(small);
    g_assert_true(g_strstr_len((char *)small->data, small->len, "\r\n\r\nxx") != NULL);
    close(fd);
    fd = client(&s, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    big = read_all(fd);
    g_assert_nonnull(big);
    g_assert_cmpuint(big->len, >, BIG);
    close(fd);
    server_close(&s);
}

/* Who asks and does not read is cut off, and others are answered before. */
static void test_deaf(void)
{
    g_autoptr(GByteArray) other = NULL;
    int deaf[4], fd;
    Server s;

    server_open(&s);
    for (unsigned i = 0; i < G_N_ELEMENTS(deaf); i++) {
        deaf[i] = client(&s, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    fd = client(&s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    other = read_all(fd);
    g_assert_nonnull(other);
    g_assert_cmpuint(other->len, >, 0);
    close(fd);
    for (unsigned i = 0; i < G_N_ELEMENTS(deaf); i++) {
        g_assert_true(cut_off(deaf[i]));
        close(deaf[i]);
    }
    server_close(&s);
}

/* The server goes while connections are in each of their phases. */
static void test_server_goes(void)
{
    int fds[4];
    Server s;

    server_open(&s);
    fds[0] = client(&s, "GET / HT");
    fds[1] = client(&s, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    fds[2] = client(&s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); /* answered, and not closed by us */
    for (unsigned i = 0; i < 100; i++) {
        g_main_context_iteration(NULL, FALSE);
    }
    fds[3] = client(&s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); /* not accepted yet */
    server_close(&s);
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        g_assert_true(cut_off(fds[i]));
        close(fds[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/connection/answer", test_answer);
    g_test_add_func("/connection/deaf", test_deaf);
    g_test_add_func("/connection/server-goes", test_server_goes);
    return g_test_run();
}
