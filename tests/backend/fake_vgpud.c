/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_vgpud.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <libsoup/soup.h>
#include <signal.h>
#include <string.h>

#define DEADLINE_S 60 /* of one run: long, a loaded machine is not a failure */

typedef struct Answer {
    unsigned status;
    char *body;
    char *(*make)(gpointer opaque);
    gpointer opaque;
} Answer;

struct Fake {
    SoupServer *soup;
    char *folder, *socket, *url, *token;
    GHashTable *answers; /* "METHOD PATH" -> Answer */
    GString *asked;
};

static void answer_free(gpointer data)
{
    Answer *a = data;

    g_free(a->body);
    g_free(a);
}

static bool may(Fake *f, SoupServerMessage *msg)
{
    const char *header;

    if (!f->token || !g_str_equal(g_uri_get_scheme(soup_server_message_get_uri(msg)), "https")) {
        return true;
    }
    header = soup_message_headers_get_one(soup_server_message_get_request_headers(msg), "Authorization");
    return header && g_str_has_prefix(header, "Bearer ") && g_str_equal(header + 7, f->token);
}

static void on_request(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                       gpointer opaque)
{
    Fake *f = opaque;
    const char *method = soup_server_message_get_method(msg);
    /* as it came, not as it is meant: whether it was escaped is part of the test */
    const char *raw = g_uri_get_path(soup_server_message_get_uri(msg));
    g_autofree char *key = g_strdup_printf("%s %s", method, raw);
    SoupMessageBody *body = soup_server_message_get_request_body(msg);
    Answer *a = g_hash_table_lookup(f->answers, key);
    const char *text = "{\"error\": \"the fake knows no such page\"}";
    g_autofree char *made = NULL;

    g_string_append_printf(f->asked, "%s %.*s\n", key, (int)body->length, body->length ? body->data : "");
    if (!may(f, msg)) {
        soup_server_message_set_status(msg, 401, NULL);
        text = "{\"error\": \"the token is not known here\"}";
    } else if (a) {
        made = a->make ? a->make(a->opaque) : g_strdup(a->body);
        text = made;
        soup_server_message_set_status(msg, a->status, NULL);
    } else {
        soup_server_message_set_status(msg, 404, NULL);
    }
    soup_server_message_set_response(msg, "application/json", SOUP_MEMORY_COPY, text, strlen(text));
}

Fake *fake_new(void)
{
    Fake *f = g_new0(Fake, 1);
    g_autofree char *api = NULL;
    g_autoptr(GSocket) s = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL);
    g_autoptr(GSocketAddress) address = NULL;

    f->folder = g_dir_make_tmp("fake-vgpud-XXXXXX", NULL);
    f->socket = g_build_filename(f->folder, "vgpud.sock", NULL);
    api = g_build_filename(f->folder, "vgpud-api.sock", NULL);
    f->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, answer_free);
    f->asked = g_string_new(NULL);
    f->soup = soup_server_new("server-header", "vgpud/fake", "raw-paths", TRUE, NULL);
    soup_server_add_handler(f->soup, NULL, on_request, f, NULL);
    address = g_unix_socket_address_new(api);
    g_assert_true(g_socket_bind(s, address, TRUE, NULL) && g_socket_listen(s, NULL));
    g_assert_true(soup_server_listen_socket(f->soup, s, 0, NULL));
    return f;
}

void fake_free(Fake *f)
{
    const char *rm[] = { "rm", "-rf", "--", f->folder, NULL };

    soup_server_disconnect(f->soup);
    g_object_unref(f->soup);
    run_free(fake_spawn(rm, NULL));
    g_hash_table_unref(f->answers);
    g_string_free(f->asked, TRUE);
    g_free(f->folder);
    g_free(f->socket);
    g_free(f->url);
    g_free(f->token);
    g_free(f);
}

static Answer *put(Fake *f, const char *method, const char *path, unsigned status)
{
    Answer *a = g_new0(Answer, 1);

    a->status = status;
    g_hash_table_insert(f->answers, g_strdup_printf("%s %s", method, path), a);
    return a;
}

void fake_answer(Fake *f, const char *method, const char *path, unsigned status, const char *body)
{
    put(f, method, path, status)->body = g_strdup(body);
}

void fake_answer_by(Fake *f, const char *path, char *(*make)(gpointer opaque), gpointer opaque)
{
    Answer *a = put(f, "GET", path, 200);

    a->make = make;
    a->opaque = opaque;
}

const char *fake_asked(const Fake *f)
{
    return f->asked->str;
}

void fake_forget(Fake *f)
{
    g_string_truncate(f->asked, 0);
}

const char *fake_serve_tls(Fake *f, const char *certificate, const char *key, const char *token)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GTlsCertificate) tls = g_tls_certificate_new_from_files(certificate, key, &error);
    g_autoptr(GSocket) s = g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, 0, NULL);
    g_autoptr(GSocketAddress) any = g_inet_socket_address_new_from_string("127.0.0.1", 0), bound = NULL;

    g_assert_no_error(error);
    soup_server_set_tls_certificate(f->soup, tls);
    g_assert_true(g_socket_bind(s, any, TRUE, NULL) && g_socket_listen(s, NULL));
    bound = g_socket_get_local_address(s, NULL);
    f->url =
        g_strdup_printf("https://127.0.0.1:%u", g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound)));
    g_assert_true(soup_server_listen_socket(f->soup, s, SOUP_SERVER_LISTEN_HTTPS, NULL));
    f->token = g_strdup(token);
    return f->url;
}

const char *fake_socket(const Fake *f)
{
    return f->socket;
}

const char *fake_folder(const Fake *f)
{
    return f->folder;
}

/* ---- programs ---- */

typedef struct Waiting {
    GSubprocess *process;
    Run *run;
    bool done;
} Waiting;

/* g_strndup makes nothing of nothing */
static char *text_of(GBytes *bytes)
{
    gsize size = bytes ? g_bytes_get_size(bytes) : 0;

    return size ? g_strndup(g_bytes_get_data(bytes, NULL), size) : g_strdup("");
}

static void on_done(GObject *source, GAsyncResult *result, gpointer opaque)
{
    Waiting *w = opaque;
    g_autoptr(GBytes) out = NULL, err = NULL;

    g_subprocess_communicate_finish(w->process, result, &out, &err, NULL);
    w->run->out = text_of(out);
    w->run->err = text_of(err);
    w->done = true;
}

static gboolean on_deadline(gpointer opaque)
{
    Waiting *w = opaque;

    g_test_fail_printf("a program took longer than %d s", DEADLINE_S);
    g_subprocess_force_exit(w->process);
    return G_SOURCE_REMOVE;
}

Run *fake_spawn(const char *const *argv, const char *const *environment)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autoptr(GError) error = NULL;
    g_autoptr(GSource) deadline = g_timeout_source_new_seconds(DEADLINE_S);
    Waiting w = { .run = g_new0(Run, 1) };

    for (; environment && *environment; environment++) {
        g_auto(GStrv) pair = g_strsplit(*environment, "=", 2);

        g_subprocess_launcher_setenv(launcher, pair[0], pair[1], TRUE);
    }
    w.process = g_subprocess_launcher_spawnv(launcher, argv, &error);
    g_assert_no_error(error);
    g_source_set_callback(deadline, on_deadline, &w, NULL);
    g_source_attach(deadline, NULL);
    g_subprocess_communicate_async(w.process, NULL, NULL, on_done, &w);
    while (!w.done) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_destroy(deadline);
    w.run->status = g_subprocess_get_if_exited(w.process) ? g_subprocess_get_exit_status(w.process) : -1;
    g_object_unref(w.process);
    return w.run;
}

Run *fake_run(Fake *f, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    const char *word;
    va_list ap;

    g_ptr_array_add(argv, g_strdup(g_getenv("VGPUCTL")));
    g_ptr_array_add(argv, g_strdup_printf("--socket=%s", f->socket));
    va_start(ap, f);
    while ((word = va_arg(ap, const char *))) {
        g_ptr_array_add(argv, g_strdup(word));
    }
    va_end(ap);
    g_ptr_array_add(argv, NULL);
    return fake_spawn((const char *const *)argv->pdata, NULL);
}

void run_free(Run *r)
{
    if (r) {
        g_free(r->out);
        g_free(r->err);
        g_free(r);
    }
}
