/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *api_socket(Vgpud *d)
{
    return g_build_filename(d->folder, "vgpud-api.sock", NULL);
}

int http_connect(Vgpud *d)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *path = api_socket(d);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool http_play(Vgpud *d, uid_t uid, gid_t gid)
{
    g_autofree char *path = api_socket(d);

    if (getuid() != 0) {
        return false;
    }
    g_assert_cmpint(chmod(d->folder, 0711), ==, 0);
    g_assert_cmpint(chmod(d->socket, 0666), ==, 0);
    g_assert_cmpint(chmod(path, 0666), ==, 0);
    g_assert_cmpint(setgroups(0, NULL), ==, 0);
    g_assert_cmpint(setegid(gid), ==, 0);
    g_assert_cmpint(seteuid(uid), ==, 0);
    return true;
}

void http_play_end(void)
{
    g_assert_cmpint(seteuid(0), ==, 0);
    g_assert_cmpint(setegid(0), ==, 0);
}

bool http_send(int fd, const void *bytes, size_t size)
{
    const char *p = bytes;

    while (size) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        size -= n;
    }
    return true;
}

HttpReply *http_parse(const char *text, gsize length)
{
    HttpReply *r = g_new0(HttpReply, 1);
    const char *end = length ? g_strstr_len(text, length, "\r\n\r\n") : NULL;

    if (!end || length < 12 || (memcmp(text, "HTTP/1.1 ", 9) != 0 && memcmp(text, "HTTP/1.0 ", 9) != 0)) {
        return r;
    }
    r->status = g_ascii_strtoull(text + 9, NULL, 10);
    r->head = g_strndup(text, end + 2 - text);
    r->body = g_strndup(end + 4, text + length - end - 4);
    r->json = json_from_string(r->body, NULL);
    return r;
}

HttpReply *http_read(int fd)
{
    int64_t deadline = g_get_monotonic_time() + HTTP_DEADLINE * 1000ll;
    g_autoptr(GByteArray) all = g_byte_array_new();

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int left = (deadline - g_get_monotonic_time()) / 1000;
        guint8 buf[4096];
        ssize_t n;

        if (left <= 0 || poll(&p, 1, left) == 0) {
            g_test_fail_printf("vgpud did not end the connection; %u bytes came", all->len);
            return NULL;
        }
        n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0) {
            return http_parse((const char *)all->data, all->len);
        }
        g_byte_array_append(all, buf, n);
    }
}

void http_reply_free(HttpReply *r)
{
    if (r) {
        g_free(r->head);
        g_free(r->body);
        g_clear_pointer(&r->json, json_node_unref);
        g_free(r);
    }
}

char *http_request(const char *method, const char *path, const char *type, const char *body,
                   const char *extra)
{
    GString *s = g_string_new(NULL);

    g_string_append_printf(s, "%s %s HTTP/1.1\r\nHost: vgpud\r\n%s", method, path, extra ? extra : "");
    if (type) {
        g_string_append_printf(s, "Content-Type: %s\r\n", type);
    }
    if (body) {
        g_string_append_printf(s, "Content-Length: %zu\r\n", strlen(body));
    }
    g_string_append_printf(s, "\r\n%s", body ? body : "");
    return g_string_free(s, FALSE);
}

HttpReply *http_raw(Vgpud *d, const void *bytes, size_t size)
{
    int fd = http_connect(d);
    HttpReply *r;

    if (fd < 0) {
        g_test_fail_printf("nobody takes connections to the API");
        return NULL;
    }
    http_send(fd, bytes, size); /* it may be refused before its end */
    r = http_read(fd);
    close(fd);
    return r;
}

HttpReply *http_ask(Vgpud *d, const char *method, const char *path, const char *type, const char *body)
{
    g_autofree char *text = http_request(method, path, type, body, NULL);

    return http_raw(d, text, strlen(text));
}

char *http_header(const HttpReply *r, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(r && r->head ? r->head : "", "\r\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        size_t length = strlen(name);

        if (g_ascii_strncasecmp(lines[i], name, length) == 0 && lines[i][length] == ':') {
            return g_strstrip(g_strdup(lines[i] + length + 1));
        }
    }
    return NULL;
}

static void fail_reply(const HttpReply *r, const char *expected)
{
    g_autofree char *head = g_strescape(r && r->head ? r->head : "no answer", NULL);
    g_autofree char *body = g_strescape(r && r->body ? r->body : "", NULL);

    g_test_fail_printf("%s was expected, and there came %s %.300s", expected, head, body);
}

const char *http_expect_error(const HttpReply *r, unsigned status)
{
    g_autofree char *type = r ? http_header(r, "Content-Type") : NULL;
    JsonObject *o;
    const char *sentence;

    if (!r || r->status != status || !r->json || !JSON_NODE_HOLDS_OBJECT(r->json)) {
        g_autofree char *expected = g_strdup_printf("status %u with a sentence", status);

        fail_reply(r, expected);
        return "";
    }
    g_assert_cmpstr(type, ==, JSON_TYPE);
    o = json_node_get_object(r->json);
    sentence = json_object_get_string_member_with_default(o, "error", "");
    g_assert_cmpuint(json_object_get_size(o), ==, 1);
    g_assert_cmpuint(strlen(sentence), >, 10);
    g_assert_null(strpbrk(sentence, "\r\n"));
    return sentence;
}

static bool is_ok(const HttpReply *r)
{
    if (r && r->status == 200 && r->json) {
        return true;
    }
    fail_reply(r, "status 200 with JSON");
    return false;
}

JsonObject *http_expect_object(const HttpReply *r)
{
    if (!is_ok(r)) {
        return NULL;
    }
    g_assert_true(JSON_NODE_HOLDS_OBJECT(r->json));
    return JSON_NODE_HOLDS_OBJECT(r->json) ? json_node_get_object(r->json) : NULL;
}

JsonArray *http_expect_array(const HttpReply *r)
{
    if (!is_ok(r)) {
        return NULL;
    }
    g_assert_true(JSON_NODE_HOLDS_ARRAY(r->json));
    return JSON_NODE_HOLDS_ARRAY(r->json) ? json_node_get_array(r->json) : NULL;
}

char *http_log(Vgpud *d)
{
    off_t size = lseek(d->log_fd, 0, SEEK_END);
    char *log = g_malloc0(size + 1);

    g_assert_cmpint(pread(d->log_fd, log, size, 0), ==, size);
    return log;
}
