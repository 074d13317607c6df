/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may see and do what over the API's socket.  Root plays the others: the
 * kernel tells vgpud the ids that a client had when it connected.
 */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http.h"

#define ALICE    12345 /* tenants */
#define BOB      12346
#define OPERATOR 12347
#define STRANGER 12348
#define NO_GROUP 54321
#define HELPDESK 54322 /* a group of operators */

static const char roles[] = "[roles]\ntenant = 12345, 12346\noperator = 12347, @54322\n";

typedef struct House {
    Vgpud *d;
    Frontend *f[3];
    int fd[3];
} House;

static HttpReply *ask_as(Vgpud *d, uid_t uid, gid_t gid, const char *method, const char *path,
                         const char *body)
{
    HttpReply *r;

    http_play(d, uid, gid);
    r = http_ask(d, method, path, body ? JSON_TYPE : NULL, body);
    http_play_end();
    return r;
}

static HttpReply *get_as(Vgpud *d, uid_t uid, const char *path)
{
    return ask_as(d, uid, NO_GROUP, "GET", path, NULL);
}

/* Alice has "desk", Bob has "desk" and "lab". */
static bool house_open(House *h)
{
    static const struct {
        uid_t uid;
        const char *profile, *name;
    } vms[] = { { ALICE, "quarter", "desk" }, { BOB, "eighth", "desk" }, { BOB, "sixteenth", "lab" } };

    if (getuid() != 0) {
        g_test_skip("only root can play other users");
        return false;
    }
    h->d = vgpud_new("null", roles);
    for (unsigned i = 0; i < G_N_ELEMENTS(vms); i++) {
        http_play(h->d, vms[i].uid, NO_GROUP);
        h->f[i] = attach_vm(h->d, vms[i].profile, vms[i].name, i + 1, &h->fd[i]);
        http_play_end();
    }
    return true;
}

static void house_close(House *h)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(h->f); i++) {
        frontend_free(h->f[i]);
        close(h->fd[i]);
    }
    vgpud_free(h->d);
}

static void test_sees(void)
{
    static const struct {
        uid_t uid;
        unsigned vms;
    } rows[] = { { ALICE, 1 }, { BOB, 2 }, { OPERATOR, 3 }, { 0, 3 } };
    House h;

    if (!house_open(&h)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(HttpReply) r = get_as(h.d, rows[i].uid, "/v1/vms");
        JsonArray *a = http_expect_array(r);

        for (unsigned k = 0; a && k < json_array_get_length(a); k++) {
            int64_t owner =
                json_object_get_int_member_with_default(json_array_get_object_element(a, k), "owner_uid", -1);

            g_assert_true(rows[i].vms == 3 || owner == rows[i].uid);
        }
        g_assert_cmpuint(a ? json_array_get_length(a) : 0, ==, rows[i].vms);
    }
    house_close(&h);
}

/* A name that two tenants gave means one VM to each of them, and two to an operator. */
static void test_same_name(void)
{
    House h;

    if (!house_open(&h)) {
        return;
    }
    {
        g_autoptr(HttpReply) alice = get_as(h.d, ALICE, "/v1/vms/desk"),
                             bob = get_as(h.d, BOB, "/v1/vms/desk");
        g_autoptr(HttpReply) all = get_as(h.d, OPERATOR, "/v1/vms/desk");
        JsonObject *a = http_expect_object(alice), *b = http_expect_object(bob);

        g_assert_cmpstr(json_object_get_string_member_with_default(a, "profile", ""), ==, "quarter");
        g_assert_cmpstr(json_object_get_string_member_with_default(b, "profile", ""), ==, "eighth");
        g_assert_nonnull(strstr(http_expect_error(all, 409), "vgpu0"));
    }
    house_close(&h);
}

/* Another's VM is as one that is not there, in every word. */
static void test_hidden(void)
{
    static const char *const ids[] = { "lab", "03000000-1111-1111-1111-111111111111",
                                       "03000000-1111-1111-1111-111111111111%2Fvgpu0" };
    static const char *const none[] = { "bal", "04000000-1111-1111-1111-111111111111",
                                        "04000000-1111-1111-1111-111111111111%2Fvgpu0" };
    House h;

    if (!house_open(&h)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autofree char *path = g_strconcat("/v1/vms/", ids[i], NULL);
        g_autofree char *other = g_strconcat("/v1/vms/", none[i], NULL);
        g_autoptr(HttpReply) hidden = get_as(h.d, ALICE, path), absent = get_as(h.d, ALICE, other);
        g_autoptr(HttpReply) bob = get_as(h.d, BOB, path);
        const char *a = http_expect_error(hidden, 404), *b = http_expect_error(absent, 404);

        http_expect_object(bob);
        g_assert_cmpuint(strlen(a), ==, strlen(b));
    }
    house_close(&h);
}

static void test_others_figures(void)
{
    House h;

    if (!house_open(&h)) {
        return;
    }
    {
        g_autoptr(HttpReply) gpu = get_as(h.d, ALICE, "/v1/gpus/software0");
        g_autoptr(HttpReply) all = get_as(h.d, OPERATOR, "/v1/gpus/software0");
        g_autoptr(HttpReply) metrics = get_as(h.d, ALICE, "/metrics"),
                             more = get_as(h.d, OPERATOR, "/metrics");
        JsonObject *g = http_expect_object(gpu), *o = http_expect_object(all);

        g_assert_cmpint(json_object_get_int_member_with_default(g, "vms", 0), ==, 1);
        g_assert_cmpint(json_object_get_int_member_with_default(g, "memory_booked_bytes", 0), ==, 256 << 20);
        g_assert_true(json_object_get_null_member(g, "busy"));
        g_assert_cmpint(json_object_get_int_member_with_default(o, "vms", 0), ==, 3);
        g_assert_false(json_object_get_null_member(o, "busy"));
        g_assert_nonnull(strstr(metrics->body, "vm=\"desk\""));
        g_assert_null(strstr(metrics->body, "vm=\"lab\""));
        g_assert_nonnull(strstr(more->body, "vm=\"lab\""));
    }
    house_close(&h);
}

static void test_changes(void)
{
    static const struct {
        const char *method, *path, *body;
    } rows[] = {
        { "PATCH", "/v1/vms/lab", "{\"share\": 0.5}" },
        { "PATCH", "/v1/gpus/software0", "{\"policy\": \"equal-share\"}" },
        { "POST", "/v1/vms/lab/restart", NULL },
        { "POST", "/v1/vms/lab/stop", NULL },
        { "POST", "/v1/vms/lab/allow", NULL },
    };
    House h;

    if (!house_open(&h)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(HttpReply) owner = ask_as(h.d, BOB, NO_GROUP, rows[i].method, rows[i].path, rows[i].body);
        g_autoptr(HttpReply) other = ask_as(h.d, ALICE, NO_GROUP, rows[i].method, rows[i].path, rows[i].body);

        g_assert_nonnull(strstr(http_expect_error(owner, 403), "operator"));
        http_expect_error(other, 403);
    }
    {
        g_autoptr(HttpReply) r = get_as(h.d, OPERATOR, "/v1/vms/lab");
        JsonObject *o = http_expect_object(r);
        g_autofree char *log = http_log(h.d);

        g_assert_cmpfloat(json_object_get_double_member_with_default(o, "share", 0), ==, 0.0625);
        g_assert_cmpstr(json_object_get_string_member_with_default(o, "state", ""), ==, "running");
        g_assert_nonnull(strstr(log, "uid 12346"));
        g_assert_nonnull(strstr(log, "what=stop target=lab"));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool by_group = i % 2;
        g_autoptr(HttpReply) r = ask_as(h.d, by_group ? ALICE : OPERATOR, by_group ? HELPDESK : NO_GROUP,
                                        rows[i].method, rows[i].path, rows[i].body);

        http_expect_object(r);
    }
    {
        g_autofree char *state = vgpud_state(h.d, "lab"), *log = http_log(h.d);

        g_assert_cmpstr(state, ==, "lost"); /* stopped */
        g_assert_nonnull(strstr(log, "change=\"share=50%\" result=done"));
        g_assert_nonnull(strstr(log, "what=restart target=lab from=\"the API's socket\" result=done"));
        g_assert_nonnull(strstr(log, "what=stop target=lab from=\"the API's socket\" result=done"));
    }
    house_close(&h);
}

static void test_stranger(void)
{
    static const char *const paths[] = { "/v1/vms",          "/v1/vms/desk", "/v1/gpus",
                                         "/v1/openapi.json", "/metrics",     "/x" };
    House h;

    if (!house_open(&h)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(HttpReply) r = get_as(h.d, STRANGER, paths[i]);

        g_assert_nonnull(strstr(http_expect_error(r, 403), "[roles]"));
    }
    {
        g_autoptr(HttpReply) r = ask_as(h.d, STRANGER, NO_GROUP, "POST", "/v1/vms/desk/stop", NULL);
        g_autofree char *log = http_log(h.d);

        http_expect_error(r, 403);
        g_assert_nonnull(strstr(log, "uid 12348"));
    }
    house_close(&h);
}

/* Profiles for one group are not shown to who could not have them. */
static void test_profiles(void)
{
    House h;

    if (!house_open(&h)) {
        return;
    }
    {
        g_autofree char *folder = g_build_filename(h.d->config, "profiles.d", NULL);
        g_autofree char *file = g_build_filename(folder, "lab.conf", NULL);

        g_assert_cmpint(mkdir(folder, 0755), ==, 0);
        g_assert_true(g_file_set_contents(file, "[secret]\nmemory=64M\ngroups=54399\n", -1, NULL));
        vgpud_end(h.d, SIGTERM);
        g_assert_true(vgpud_run(h.d));
    }
    {
        g_autoptr(HttpReply) alice = get_as(h.d, ALICE, "/v1/profiles");
        g_autoptr(HttpReply) member = ask_as(h.d, ALICE, 54399, "GET", "/v1/profiles", NULL);
        g_autoptr(HttpReply) all = get_as(h.d, OPERATOR, "/v1/profiles");

        g_assert_nonnull(http_expect_array(alice));
        g_assert_null(strstr(alice->body, "secret"));
        g_assert_nonnull(strstr(alice->body, "quarter"));
        g_assert_nonnull(strstr(member->body, "secret"));
        g_assert_nonnull(strstr(all->body, "secret"));
    }
    house_close(&h);
}

/* What a refused VM hears names its own user's VMs, and nobody else's. */
static void test_refused_start(void)
{
    static const struct {
        uid_t uid;
        bool lab;
    } rows[] = { { ALICE, false }, { BOB, true } };
    House h;

    if (!house_open(&h)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct vgpu_attach_request r = attach_request("full", "more", 10 + i);
        g_autofree char *why = NULL;
        int fd;

        http_play(h.d, rows[i].uid, NO_GROUP);
        fd = attach_connect(h.d);
        http_play_end();
        g_assert_true(attach_send(fd, &r, sizeof(r), NULL, 0));
        why = attach_refused(fd, VGPU_REFUSED_FULL);
        g_assert_cmpint(strstr(why, "lab: 64") != NULL, ==, rows[i].lab);
        g_assert_nonnull(strstr(why, "of another user: "));
        close(fd);
    }
    house_close(&h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud-roles/sees", test_sees);
    g_test_add_func("/vgpud-roles/same-name", test_same_name);
    g_test_add_func("/vgpud-roles/hidden", test_hidden);
    g_test_add_func("/vgpud-roles/others-figures", test_others_figures);
    g_test_add_func("/vgpud-roles/changes", test_changes);
    g_test_add_func("/vgpud-roles/stranger", test_stranger);
    g_test_add_func("/vgpud-roles/profiles", test_profiles);
    g_test_add_func("/vgpud-roles/refused-start", test_refused_start);
    return g_test_run();
}
