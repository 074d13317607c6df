/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The API under bad input: each mistake gets a sentence, and vgpud goes on. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http.h"
#include "proc.h"

#define PER_PEER 32 /* connections of one user */

/* It serves, it has its VM, and it is the process that was started. */
static void check_unharmed(Vgpud *d, unsigned vms)
{
    g_autoptr(HttpReply) r = http_ask(d, "GET", "/v1/vms", NULL, NULL);
    JsonArray *a = http_expect_array(r);

    g_assert_true(proc_alive(d->pid));
    if (a) {
        g_assert_cmpuint(json_array_get_length(a), ==, vms);
    }
}

typedef struct Desk {
    Vgpud *d;
    Frontend *f;
    int fd;
} Desk;

/* A vgpud with one VM, "desk". */
static void desk_open(Desk *k, const char *conf)
{
    k->d = vgpud_new("null", conf);
    k->f = attach_vm(k->d, "quarter", "desk", 1, &k->fd);
}

static void desk_close(Desk *k)
{
    frontend_free(k->f);
    close(k->fd);
    vgpud_free(k->d);
}

static void test_one_vm(void)
{
    static const char *const ids[] = {
        "desk",
        "01000000-1111-1111-1111-111111111111",
        "01000000-1111-1111-1111-111111111111%2Fvgpu0",
        "%64esk",
    };
    Desk k;

    desk_open(&k, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autofree char *path = g_strconcat("/v1/vms/", ids[i], NULL);
        g_autoptr(HttpReply) r = http_ask(k.d, "GET", path, NULL, NULL);
        JsonObject *o = http_expect_object(r);

        if (o) {
            g_assert_cmpstr(json_object_get_string_member_with_default(o, "vm", ""), ==, "desk");
            g_assert_cmpstr(json_object_get_string_member_with_default(o, "state", ""), ==, "running");
            g_assert_cmpint(json_object_get_int_member_with_default(o, "owner_uid", -1), ==, getuid());
            g_assert_cmpstr(json_object_get_string_member_with_default(o, "kind", ""), ==, "null");
        }
    }
    desk_close(&k);
}

static void test_methods(void)
{
    static const struct {
        const char *method, *path, *allow;
    } rows[] = {
        { "PUT", "/v1/vms", "GET, HEAD" },          { "DELETE", "/v1/vms/desk", "GET, HEAD, PATCH" },
        { "GET", "/v1/vms/desk/stop", "POST" },     { "POST", "/v1/gpus/software0", "GET, HEAD, PATCH" },
        { "OPTIONS", "/v1/profiles", "GET, HEAD" }, { "GETS", "/metrics", "GET, HEAD" },
    };
    Desk k;

    desk_open(&k, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(HttpReply) r = http_ask(k.d, rows[i].method, rows[i].path, NULL, NULL);
        g_autofree char *allow = http_header(r, "Allow");

        http_expect_error(r, 405);
        g_assert_cmpstr(allow, ==, rows[i].allow);
    }
    {
        g_autoptr(HttpReply) r = http_ask(k.d, "HEAD", "/v1/vms", NULL, NULL);

        g_assert_cmpuint(r->status, ==, 200);
        g_assert_cmpstr(r->body, ==, "");
    }
    check_unharmed(k.d, 1);
    desk_close(&k);
}

static void test_pages(void)
{
    static const char *const none[] = {
        "/",           "/v1",           "/v1/",        "/v1/vms/",  "/v1/vms/desk/", "/v1/vms/desk/start",
        "/v1//vms",    "/v2/vms",       "/V1/vms",

        "/v1/vms/%00", "/v1/vms/a%00b", "/v1/vms/%ff", "/v1/vms/%", "/v1/vms%2f",    "/v1/a/b/c/d/e/f/g",
        "*",
    };
    static const char *const queries[] = { "/v1/vms?", "/v1/vms?name=desk", "/v1/vms/desk?x" };
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autoptr(HttpReply) r = http_ask(d, "GET", none[i], NULL, NULL);

        g_test_message("%s", none[i]);
        http_expect_error(r, g_str_equal(none[i], "/v1/vms/%") ? 400 : 404);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(queries); i++) {
        g_autoptr(HttpReply) r = http_ask(d, "GET", queries[i], NULL, NULL);

        http_expect_error(r, 400);
    }
    check_unharmed(d, 0);
}

static void test_bad_bodies(void)
{
    static const struct {
        const char *method, *path, *type, *body;
        unsigned status;
        const char *says;
    } rows[] = {
        { "PATCH", "/v1/vms/nobody", JSON_TYPE, "{\"share\": \"30%\"}", 404, "nobody" },
        { "PATCH", "/v1/gpus/gpu9", JSON_TYPE, "{\"policy\": \"exclusive\"}", 404, "software0" },
        { "POST", "/v1/vms/nobody/stop", NULL, NULL, 404, "nobody" },
        { "POST", "/v1/vms/nobody/allow", NULL, NULL, 404, "nobody" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"share\": -30}", 400, "share" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"share\": \"-30%\"}", 400, "share" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"share\": 1.5}", 400, "share" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"memory\": 0}", 400, "memory" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"memory\": \"0\"}", 400, "memory" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"memory\": 99999999999999999999999}", 400, "memory" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"memory\": true}", 400, "memory" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"memory\": \"512G\"}", 409, "MiB" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"memory\": \"512M\", \"colour\": 1}", 400, "colour" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"share\": \"30%\", \"share\": \"40%\"}", 400, "twice" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"share\": \"30%\"", 400, "line 1, column" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "[]", 400, "object" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "", 400, "empty" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, NULL, 400, "empty" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{}", 400, "nothing" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "\xff\xfe{}", 400, "UTF-8" },
        { "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"profile\": \"none-such\"}", 400, "none-such" },
        { "PATCH", "/v1/vms/desk", "text/plain", "{\"share\": \"30%\"}", 415, JSON_TYPE },
        { "PATCH", "/v1/vms/desk", NULL, "{\"share\": \"30%\"}", 415, JSON_TYPE },
        { "PATCH", "/v1/gpus/software0", JSON_TYPE, "{\"policy\": \"luck\"}", 400, "luck" },
        { "PATCH", "/v1/gpus/software0", JSON_TYPE, "{\"policy\": 3}", 400, "policy" },
        { "PATCH", "/v1/gpus/software0", JSON_TYPE, "{\"share\": \"3%\"}", 400, "share" },
        { "POST", "/v1/vms/desk/stop", JSON_TYPE, "{\"now\": true}", 400, "empty" },
        { "POST", "/v1/vms/desk/stop", "text/plain", "now", 415, JSON_TYPE },
    };
    Desk k;

    desk_open(&k, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(HttpReply) r = http_ask(k.d, rows[i].method, rows[i].path, rows[i].type, rows[i].body);
        const char *sentence = http_expect_error(r, rows[i].status);

        if (!strstr(sentence, rows[i].says)) {
            g_test_fail_printf("row %u: '%s' is not in '%s'", i, rows[i].says, sentence);
        }
    }
    check_unharmed(k.d, 1);
    {
        g_autoptr(HttpReply) r = http_ask(k.d, "GET", "/v1/vms/desk", NULL, NULL);
        JsonObject *o = http_expect_object(r);

        g_assert_true(o && json_object_get_double_member_with_default(o, "share", 0) == 0.25);
        g_assert_true(o && json_object_get_int_member_with_default(o, "memory_limit_bytes", 0) == 256 << 20);
    }
    desk_close(&k);
}

/* Nesting that a recursive parser would pay for with its stack. */
static void test_deep_json(void)
{
    Desk k;
    g_autofree char *body = g_strnfill(60000, '[');

    desk_open(&k, NULL);
    {
        g_autoptr(HttpReply) r = http_ask(k.d, "PATCH", "/v1/vms/desk", JSON_TYPE, body);

        g_assert_nonnull(strstr(http_expect_error(r, 400), "nested"));
    }
    check_unharmed(k.d, 1);
    desk_close(&k);
}

/* The answer comes although (and before) the client has sent all it announced. */
static void test_giant(void)
{
    static const char announced[] =
        "PATCH /v1/vms/desk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 10000000000\r\n\r\n{";
    static const char overflow[] =
        "PATCH /v1/vms/desk HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n{";
    static const char negative[] = "PATCH /v1/vms/desk HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{";
    g_autofree char *body = g_strnfill(8 << 20, ' ');
    Desk k;

    desk_open(&k, "[http]\ntimeout = 1s\n");
    {
        g_autoptr(HttpReply) r = http_raw(k.d, announced, strlen(announced));

        http_expect_error(r, 413);
    }
    {
        g_autoptr(HttpReply) r = http_ask(k.d, "PATCH", "/v1/vms/desk", JSON_TYPE, body);

        http_expect_error(r, 413);
    }
    {
        g_autoptr(HttpReply) r = http_raw(k.d, overflow, strlen(overflow));

        g_assert_cmpuint(r->status, >=, 400);
        g_assert_cmpuint(r->status, <, 500);
    }
    {
        g_autoptr(HttpReply) r = http_raw(k.d, negative, strlen(negative));

        g_assert_cmpuint(r->status, >=, 400);
        g_assert_cmpuint(r->status, <, 500);
    }
    body[65536] = 0; /* as long as a body may be */
    {
        g_autoptr(HttpReply) r = http_ask(k.d, "PATCH", "/v1/vms/desk", JSON_TYPE, body);

        http_expect_error(r, 400);
    }
    check_unharmed(k.d, 1);
    desk_close(&k);
}

/*
 * Chunks without end, as fast as they can be sent: vgpud neither collects them
 * nor stays with them until they end.
 */
static void test_chunked(void)
{
    static const char head[] = "PATCH /v1/vms/desk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    g_autofree char *data = g_strnfill(65536, 'x');
    g_autofree char *chunk = g_strdup_printf("10000\r\n%s\r\n", data);
    Desk k;
    int fd;

    desk_open(&k, NULL);
    fd = http_connect(k.d);
    g_assert_true(http_send(fd, head, strlen(head)));
    for (unsigned i = 0; i < 64 && http_send(fd, chunk, strlen(chunk)); i++) {
    }
    check_unharmed(k.d, 1);
    {
        g_autoptr(HttpReply) r = http_read(fd);

        http_expect_error(r, 411);
    }
    close(fd);
    desk_close(&k);
}

/* Half a request, and then silence or an end. */
static void test_half(void)
{
    static const char *const halves[] = {
        "G",
        "GET /v1/vms",
        "PATCH /v1/vms/desk HTTP/1.1\r\nHost: x\r\n",
        "PATCH /v1/vms/desk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        "20\r\n\r\n{",
    };
    int fds[G_N_ELEMENTS(halves)];
    Desk k;

    desk_open(&k, "[http]\ntimeout = 1s\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(halves); i++) {
        fds[i] = http_connect(k.d);
        g_assert_true(http_send(fds[i], halves[i], strlen(halves[i])));
    }
    check_unharmed(k.d, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(halves); i++) {
        g_autoptr(HttpReply) r = http_read(fds[i]);

        http_expect_error(r, 408);
        close(fds[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(halves); i++) {
        int fd = http_connect(k.d);
        g_autoptr(HttpReply) r = NULL;

        g_assert_true(http_send(fd, halves[i], strlen(halves[i])));
        shutdown(fd, SHUT_WR);
        r = http_read(fd);
        http_expect_error(r, 400);
        close(fd);
    }
    check_unharmed(k.d, 1);
    desk_close(&k);
}

/* One byte now and then does not keep a connection: the deadline is of the whole request. */
static void test_drip(void)
{
    static const char text[] = "GET /v1/vms HTTP/1.1\r\nA: ";
    g_autoptr(Vgpud) d = vgpud_new("null", "[http]\ntimeout = 1s\n");
    int fd = http_connect(d);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int64_t deadline = g_get_monotonic_time() + HTTP_DEADLINE * 1000ll;

    g_assert_true(http_send(fd, text, strlen(text)));
    while (poll(&p, 1, 100) == 0 && g_get_monotonic_time() < deadline) {
        http_send(fd, "a", 1);
    }
    {
        g_autoptr(HttpReply) r = http_read(fd);

        http_expect_error(r, 408);
    }
    close(fd);
}

static void test_not_http(void)
{
    static const char *const texts[] = {
        "nonsense\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v1/vms HTTP/3.0\r\nHost: x\r\n\r\n",
        "GET /v1/vms HTTP/1.1\r\n\r\n", /* no host */
        "GET /v1/vms HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", /* TLS */
    };
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(HttpReply) r = NULL;
        int fd = http_connect(d);

        g_assert_true(http_send(fd, texts[i], strlen(texts[i])));
        shutdown(fd, SHUT_WR);
        r = http_read(fd);
        close(fd);
        g_test_message("%u", i);
        g_assert_cmpuint(r->status, >=, 400);
        g_assert_true(r->status < 500 || r->status == 501 || r->status == 505);
        http_expect_error(r, r->status);
    }
    {
        g_autoptr(HttpReply) r = http_raw(d, "GET /v1/gpus HTTP/1.0\r\n\r\n", 25);

        g_assert_cmpuint(r->status, ==, 200);
    }
    {
        g_autofree char *log = http_log(d);

        g_assert_null(strstr(log, "assertion"));
        g_assert_null(strstr(log, "CRITICAL"));
    }
    check_unharmed(d, 0);
}

static void test_long_header(void)
{
    static const char start[] = "GET /v1/vms HTTP/1.1\r\nHost: x\r\nX-Long: ";
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    g_autofree char *filler = g_strnfill(65536, 'a');
    int fd = http_connect(d);

    g_assert_true(http_send(fd, start, strlen(start)));
    for (unsigned i = 0; i < 64 && http_send(fd, filler, 65536); i++) {
    }
    {
        g_autoptr(HttpReply) r = http_read(fd);

        http_expect_error(r, 400);
    }
    close(fd);
    check_unharmed(d, 0);
}

static void test_too_many(void)
{
    g_autoptr(Vgpud) d = vgpud_new("null", NULL);
    int fds[PER_PEER];
    unsigned before;

    check_unharmed(d, 0);
    before = proc_fd_count(d->pid);
    for (unsigned i = 0; i < PER_PEER; i++) {
        fds[i] = http_connect(d);
        g_assert_cmpint(fds[i], >=, 0);
        g_assert_true(http_send(fds[i], "G", 1));
    }
    {
        g_autoptr(HttpReply) r = http_ask(d, "GET", "/v1/vms", NULL, NULL);
        g_autofree char *log = http_log(d);

        g_assert_nonnull(strstr(http_expect_error(r, 429), "32"));
        g_assert_nonnull(strstr(log, "what=connect"));
    }
    /* far too many: those that are over are closed, and none is kept */
    for (unsigned i = 0; i < 300; i++) {
        int fd = http_connect(d);

        close(fd);
    }
    if (http_play(d, 12345, 12345)) { /* another user is not locked out */
        g_autoptr(HttpReply) r = http_ask(d, "GET", "/v1/vms", NULL, NULL);

        http_play_end();
        g_assert_nonnull(http_expect_array(r));
    }
    for (unsigned i = 0; i < PER_PEER; i++) {
        close(fds[i]);
    }
    for (unsigned i = 0; proc_fd_count(d->pid) > before && i < 500; i++) {
        g_usleep(20000);
    }
    g_assert_cmpuint(proc_fd_count(d->pid), <=, before);
    check_unharmed(d, 0);
}

/* Each change and each refusal is a line, and a flood of refusals is not a flood of lines. */
static void test_audit(void)
{
    g_autofree char *log = NULL;
    g_auto(GStrv) lines = NULL;
    unsigned refused = 0;
    Desk k;

    desk_open(&k, NULL);
    {
        g_autoptr(HttpReply) r = http_ask(k.d, "PATCH", "/v1/vms/desk", JSON_TYPE, "{\"share\": 0.125}");
        JsonObject *o = http_expect_object(r);

        g_assert_true(o && json_object_get_double_member_with_default(o, "share", 0) == 0.125);
    }
    {
        g_autoptr(HttpReply) r =
            http_ask(k.d, "PATCH", "/v1/vms/a%0Aaudit%3A%20who=me", JSON_TYPE, "{\"share\": 0.125}");

        http_expect_error(r, 404);
    }
    for (unsigned i = 0; i < 100; i++) {
        g_autoptr(HttpReply) r = http_ask(k.d, "POST", "/v1/vms/nobody/stop", NULL, NULL);

        http_expect_error(r, 404);
    }
    log = http_log(k.d);
    lines = g_strsplit(log, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        refused += strstr(lines[i], "result=refused") != NULL;
        g_assert_false(g_str_has_prefix(lines[i], "audit:")); /* forged by a target with a line's end */
    }
    g_assert_nonnull(
        strstr(log, "what=set target=desk from=\"the API's socket\" change=\"share=12.5%\" result=done"));
    g_assert_nonnull(strstr(log, "what=stop target=nobody"));
    g_assert_cmpuint(refused, >=, 20);
    g_assert_cmpuint(refused, <, 60); /* 20, and a few as time goes by */
    desk_close(&k);
}

/* A socket of a journal's at a path of systemd's, -1: not on this machine. */
static int journal_socket(const char *path, int type)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || (type == SOCK_STREAM && listen(fd, 4) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The next entry that begins with audit:, as KEY=VALUE lines; to free. */
static char *journal_audit(int fd)
{
    int64_t end = g_get_monotonic_time() + HTTP_DEADLINE * 1000ll;

    while (g_get_monotonic_time() < end) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char buf[8192] = { 0 };

        if (poll(&p, 1, 100) > 0 && recv(fd, buf, sizeof(buf) - 1, 0) > 0 && strstr(buf, "MESSAGE=audit:")) {
            return g_strdup(buf);
        }
    }
    return g_strdup("");
}

/* Under systemd a line of the audit log has fields. */
static void test_journal(void)
{
    static const char folder[] = "/run/systemd/journal";
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autofree char *entry = NULL;
    int entries, out, err, log;
    Vgpud *d;

    if (g_file_test(folder, G_FILE_TEST_EXISTS) || g_mkdir_with_parents(folder, 0755) < 0 ||
        (entries = journal_socket("/run/systemd/journal/socket", SOCK_DGRAM)) < 0 ||
        (out = journal_socket("/run/systemd/journal/stdout", SOCK_STREAM)) < 0) {
        g_test_skip("this machine has a journal of its own, or we may not make one");
        return;
    }
    d = vgpud_new("null", NULL);
    vgpud_end(d, SIGTERM);
    err = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(addr.sun_path, "/run/systemd/journal/stdout", sizeof(addr.sun_path));
    g_assert_cmpint(connect(err, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    log = d->log_fd;
    d->log_fd = err;
    g_assert_true(vgpud_run(d));
    d->log_fd = log;
    {
        g_autoptr(HttpReply) r = http_ask(d, "POST", "/v1/vms/nobody/stop", NULL, NULL);

        http_expect_error(r, 404);
    }
    entry = journal_audit(entries);
    g_assert_nonnull(strstr(entry, "\nVGPU_AUDIT=refused\n"));
    g_assert_nonnull(strstr(entry, "\nVGPU_WHAT=stop\n"));
    g_assert_nonnull(strstr(entry, "\nVGPU_TARGET=nobody\n"));
    g_assert_nonnull(strstr(entry, "\nVGPU_WHO=user "));
    g_assert_nonnull(strstr(entry, "PRIORITY=5\n"));
    g_assert_nonnull(strstr(entry, "MESSAGE_ID="));
    vgpud_free(d);
    close(err);
    close(out);
    close(entries);
    unlink("/run/systemd/journal/socket");
    unlink("/run/systemd/journal/stdout");
    rmdir(folder);
    rmdir("/run/systemd");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud-http/one-vm", test_one_vm);
    g_test_add_func("/vgpud-http/methods", test_methods);
    g_test_add_func("/vgpud-http/pages", test_pages);
    g_test_add_func("/vgpud-http/bad-bodies", test_bad_bodies);
    g_test_add_func("/vgpud-http/deep-json", test_deep_json);
    g_test_add_func("/vgpud-http/giant", test_giant);
    g_test_add_func("/vgpud-http/chunked", test_chunked);
    g_test_add_func("/vgpud-http/half", test_half);
    g_test_add_func("/vgpud-http/drip", test_drip);
    g_test_add_func("/vgpud-http/not-http", test_not_http);
    g_test_add_func("/vgpud-http/long-header", test_long_header);
    g_test_add_func("/vgpud-http/too-many", test_too_many);
    g_test_add_func("/vgpud-http/audit", test_audit);
    g_test_add_func("/vgpud-http/journal", test_journal);
    return g_test_run();
}
