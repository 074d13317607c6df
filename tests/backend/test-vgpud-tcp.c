/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The API over TCP: TLS and a token, or nothing. */
#include <arpa/inet.h>
#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http.h"
#include "proc.h"

#define OPERATOR_TOKEN "operator-token-0123456789abcdef"
#define TENANT_TOKEN   "tenant-token-0123456789abcdef00"

typedef struct Remote {
    Vgpud *d;
    char *folder, *certificate, *key, *tokens;
    uint16_t port;
} Remote;

/* One that is free now; that it still is in a moment is likely enough to try a few times. */
static uint16_t free_port(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&addr, &size), ==, 0);
    close(fd);
    return ntohs(addr.sin_port);
}

static bool make_certificate(Remote *r)
{
    const char *argv[] = { "openssl",
                           "req",
                           "-x509",
                           "-newkey",
                           "ec",
                           "-pkeyopt",
                           "ec_paramgen_curve:P-256",
                           "-nodes",
                           "-days",
                           "2",
                           "-subj",
                           "/CN=127.0.0.1",
                           "-addext",
                           "subjectAltName=IP:127.0.0.1",
                           "-keyout",
                           r->key,
                           "-out",
                           r->certificate,
                           NULL };
    int status = -1;

    if (!g_spawn_sync(NULL, (char **)argv, NULL,
                      G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                      NULL, NULL, NULL, &status, NULL) ||
        status != 0) {
        g_test_skip("openssl makes no certificate here");
        return false;
    }
    return true;
}

static bool remote_open(Remote *r, const char *more)
{
    g_autofree char *a = g_compute_checksum_for_string(G_CHECKSUM_SHA256, OPERATOR_TOKEN, -1);
    g_autofree char *b = g_compute_checksum_for_string(G_CHECKSUM_SHA256, TENANT_TOKEN, -1);
    g_autofree char *lines = g_strdup_printf("operator %s ci\ntenant %s desk 12345\n", a, b);
    g_autofree char *conf = NULL;

    r->folder = g_dir_make_tmp("vgpud-tcp-XXXXXX", NULL);
    r->certificate = g_build_filename(r->folder, "cert.pem", NULL);
    r->key = g_build_filename(r->folder, "key.pem", NULL);
    r->tokens = g_build_filename(r->folder, "tokens", NULL);
    if (!make_certificate(r)) {
        return false;
    }
    chmod(r->key, 0600);
    g_assert_true(g_file_set_contents_full(r->tokens, lines, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    r->port = free_port();
    conf = g_strdup_printf("[http]\nlisten = 127.0.0.1:%u\ncertificate = %s\nkey = %s\ntokens = %s\n%s",
                           r->port, r->certificate, r->key, r->tokens, more ? more : "");
    r->d = vgpud_new("null", conf);
    return true;
}

static void remote_close(Remote *r)
{
    const char *rm[] = { "rm", "-rf", "--", r->folder, NULL };

    vgpud_free(r->d);
    g_spawn_sync(NULL, (char **)rm, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    g_free(r->folder);
    g_free(r->certificate);
    g_free(r->key);
    g_free(r->tokens);
}

static int plain_connect(const Remote *r)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(r->port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    return fd;
}

static GIOStream *tls_connect(const Remote *r)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) plain = NULL;
    g_autoptr(GSocketAddress) address = g_inet_socket_address_new_from_string("127.0.0.1", r->port);
    g_autoptr(GTlsDatabase) trusted = g_tls_file_database_new(r->certificate, NULL);
    g_autoptr(GIOStream) tls = NULL;
    g_autoptr(GError) error = NULL;

    g_socket_client_set_timeout(client, HTTP_DEADLINE / 1000);
    plain = g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, &error);
    if (!plain) {
        g_test_fail_printf("nobody listens: %s", error->message);
        return NULL;
    }
    tls = g_tls_client_connection_new(G_IO_STREAM(plain), G_SOCKET_CONNECTABLE(address), &error);
    g_tls_connection_set_database(G_TLS_CONNECTION(tls), trusted);
    if (!g_tls_connection_handshake(G_TLS_CONNECTION(tls), NULL, &error)) {
        g_test_fail_printf("no TLS: %s", error->message);
        return NULL;
    }
    return g_steal_pointer(&tls);
}

static HttpReply *tls_raw(const Remote *r, const char *text, size_t length)
{
    g_autoptr(GIOStream) tls = tls_connect(r);
    g_autoptr(GByteArray) all = g_byte_array_new();
    guint8 buf[4096];
    gssize n;

    if (!tls) {
        return NULL;
    }
    g_output_stream_write_all(g_io_stream_get_output_stream(tls), text, length, NULL, NULL, NULL);
    while ((n = g_input_stream_read(g_io_stream_get_input_stream(tls), buf, sizeof(buf), NULL, NULL)) > 0) {
        g_byte_array_append(all, buf, n);
    }
    return http_parse((const char *)all->data, all->len);
}

static HttpReply *tls_ask(const Remote *r, const char *token, const char *method, const char *path,
                          const char *body)
{
    g_autofree char *extra = token ? g_strdup_printf("Authorization: Bearer %s\r\n", token) : NULL;
    g_autofree char *text = http_request(method, path, body ? JSON_TYPE : NULL, body, extra);

    return tls_raw(r, text, strlen(text));
}

static void test_token(void)
{
    static const char *const wrong[] = { NULL, "", "x", OPERATOR_TOKEN "x",
                                         "operator-token-0123456789abcdeF" };
    Remote r;

    if (!remote_open(&r, NULL)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(HttpReply) reply = tls_ask(&r, wrong[i], "GET", "/v1/vms", NULL);
        g_autofree char *how = http_header(reply, "WWW-Authenticate");

        http_expect_error(reply, 401);
        g_assert_cmpstr(how, ==, "Bearer");
    }
    {
        g_autoptr(HttpReply) reply = tls_ask(&r, OPERATOR_TOKEN, "GET", "/v1/vms", NULL);
        g_autofree char *log = http_log(r.d);

        g_assert_nonnull(http_expect_array(reply));
        g_assert_nonnull(
            strstr(log, "who=\"somebody unknown\" what=ask target=/v1/vms from=127.0.0.1 result=refused"));
        g_assert_null(strstr(log, "operator-token")); /* no token in a log, right or wrong */
    }
    remote_close(&r);
}

static void test_roles(void)
{
    Remote r;

    if (!remote_open(&r, NULL)) {
        return;
    }
    {
        int fd;
        Frontend *f = attach_vm(r.d, "quarter", "desk", 1, &fd);
        g_autoptr(HttpReply) all = tls_ask(&r, OPERATOR_TOKEN, "GET", "/v1/vms", NULL);
        g_autoptr(HttpReply) own = tls_ask(&r, TENANT_TOKEN, "GET", "/v1/vms", NULL);
        g_autoptr(HttpReply) set = tls_ask(&r, OPERATOR_TOKEN, "PATCH", "/v1/vms/desk", "{\"share\": 0.5}");
        g_autoptr(HttpReply) may_not = tls_ask(&r, TENANT_TOKEN, "POST", "/v1/vms/desk/stop", NULL);
        JsonArray *a = http_expect_array(all), *o = http_expect_array(own);
        g_autofree char *log = http_log(r.d);

        g_assert_cmpuint(a ? json_array_get_length(a) : 0, ==, 1);
        g_assert_cmpuint(o ? json_array_get_length(o) : 1, ==, 0); /* it is root's */
        http_expect_object(set);
        http_expect_error(may_not, 403);
        g_assert_nonnull(strstr(log, "who=\"token ci from 127.0.0.1\" what=set target=desk from=127.0.0.1"));
        g_assert_nonnull(strstr(log, "who=\"token desk from 127.0.0.1\" what=stop"));
        frontend_free(f);
        close(fd);
    }
    remote_close(&r);
}

/* A token does not make another of who the kernel says is there. */
static void test_token_on_socket(void)
{
    static const char text[] =
        "GET /v1/vms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " OPERATOR_TOKEN "\r\n\r\n";
    Remote r;

    if (getuid() != 0) {
        g_test_skip("only root can play other users");
        return;
    }
    if (!remote_open(&r, "[roles]\ntenant = 1\n")) {
        return;
    }
    http_play(r.d, 12345, 12345);
    {
        g_autoptr(HttpReply) reply = http_raw(r.d, text, strlen(text));

        http_play_end();
        http_expect_error(reply, 403);
    }
    remote_close(&r);
}

/* Who speaks no TLS, or nothing, is cut off, and nobody waits for it. */
static void test_no_tls(void)
{
    static const char text[] =
        "GET /v1/vms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " OPERATOR_TOKEN "\r\n\r\n";
    int fds[8];
    Remote r;

    if (!remote_open(&r, "timeout = 1s\n")) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = plain_connect(&r);
        if (i % 2) {
            http_send(fds[i], text, strlen(text));
        }
    }
    {
        g_autoptr(HttpReply) reply = tls_ask(&r, OPERATOR_TOKEN, "GET", "/v1/vms", NULL);

        g_assert_nonnull(http_expect_array(reply));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        g_autoptr(HttpReply) reply = http_read(fds[i]);

        g_assert_nonnull(reply);
        g_assert_cmpuint(reply ? reply->status : 200, ==, 0); /* a TLS alert at most */
        close(fds[i]);
    }
    g_assert_true(proc_alive(r.d->pid));
    remote_close(&r);
}

static void test_limits(void)
{
    g_autofree char *big = g_strnfill(1 << 20, ' ');
    Remote r;

    if (!remote_open(&r, "timeout = 1s\n")) {
        return;
    }
    {
        g_autoptr(HttpReply) giant = tls_ask(&r, OPERATOR_TOKEN, "PATCH", "/v1/vms/x", big);
        g_autoptr(HttpReply) half = tls_raw(&r, "GET /v1/vms HT", 14);

        http_expect_error(giant, 413);
        http_expect_error(half, 408);
    }
    {
        int fds[40];
        g_autoptr(HttpReply) reply = NULL;

        for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
            fds[i] = plain_connect(&r);
        }
        reply = http_ask(r.d, "GET", "/v1/vms", NULL, NULL); /* the Unix socket is for others */
        http_expect_array(reply);
        for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
            close(fds[i]);
        }
    }
    g_assert_true(proc_alive(r.d->pid));
    remote_close(&r);
}

/* Started with half a configuration vgpud ends with a sentence, and serves nothing. */
static void test_refuses_to_start(void)
{
    static const struct {
        const char *conf, *says;
    } rows[] = {
        { "[http]\nlisten = 127.0.0.1:9843\n", "TLS" },
        { "[http]\nlisten = 127.0.0.1:9843\ncertificate = /none\nkey = /none\n", "tokens=" },
        { "[http]\nlisten = 127.0.0.1:9843\ncertificate = /none\nkey = /none\ntokens = /none\n", "/none" },
    };
    g_autofree char *folder = g_dir_make_tmp("vgpud-conf-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(folder, "vgpud.conf", NULL);
    g_autofree char *config = g_strdup_printf("--config=%s", folder);
    g_autofree char *socket = g_strdup_printf("--socket=%s/vgpud.sock", folder);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *argv[] = { g_getenv("VGPUD"), config, socket, NULL };
        g_autofree char *err = NULL;
        int status = 0;

        g_assert_true(g_file_set_contents(file, rows[i].conf, -1, NULL));
        g_assert_true(
            g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &err, &status, NULL));
        g_assert_cmpint(status, !=, 0);
        g_assert_nonnull(strstr(err, rows[i].says));
    }
    unlink(file);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud-tcp/token", test_token);
    g_test_add_func("/vgpud-tcp/roles", test_roles);
    g_test_add_func("/vgpud-tcp/token-on-socket", test_token_on_socket);
    g_test_add_func("/vgpud-tcp/no-tls", test_no_tls);
    g_test_add_func("/vgpud-tcp/limits", test_limits);
    g_test_add_func("/vgpud-tcp/refuses-to-start", test_refuses_to_start);
    return g_test_run();
}
