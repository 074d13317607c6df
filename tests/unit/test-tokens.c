/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens of the API over TCP, and what must be there before it is served at all. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vgpud/remote.h"
#include "vgpud/tokens.h"

#define TOKEN_CI   "ci-token-0123456789-0123456789"
#define TOKEN_DESK "desk-token-0123456789-012345678"

static char *digest(const char *token)
{
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, token, -1);
}

static char *two_tokens(void)
{
    g_autofree char *ci = digest(TOKEN_CI), *desk = digest(TOKEN_DESK), *upper = g_ascii_strup(desk, -1);

    return g_strdup_printf("# who may\n\n operator\t%s  ci\ntenant %s desk 1000\r\n", ci, upper);
}

static void test_find(void)
{
    g_autofree char *text = two_tokens();
    g_autoptr(GError) error = NULL;
    g_autoptr(TokenSet) set = token_set_parse("tokens", text, &error);
    static const char *const wrong[] = { "", "ci", TOKEN_CI " ", TOKEN_CI "x",
                                         "ci-token-0123456789-012345678" };
    Caller c;

    g_assert_no_error(error);
    g_assert_true(token_set_find(set, TOKEN_CI, "10.0.0.1", &c));
    g_assert_cmpint(c.role, ==, ROLE_OPERATOR);
    g_assert_cmpuint(c.uid, ==, ROLES_NOBODY);
    g_assert_cmpstr(c.who, ==, "token ci from 10.0.0.1");
    caller_clear(&c);
    g_assert_true(token_set_find(set, TOKEN_DESK, "10.0.0.1", &c));
    g_assert_cmpint(c.role, ==, ROLE_TENANT);
    g_assert_cmpuint(c.uid, ==, 1000);
    caller_clear(&c);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_false(token_set_find(set, wrong[i], "10.0.0.1", &c));
    }
}

/* A short token could be guessed, whoever wrote its digest into the file. */
static void test_short(void)
{
    g_autofree char *sum = digest("letmein"), *line = g_strdup_printf("admin %s lazy\n", sum);
    g_autoptr(TokenSet) set = token_set_parse("tokens", line, NULL);
    Caller c;

    g_assert_nonnull(set);
    g_assert_false(token_set_find(set, "letmein", "10.0.0.1", &c));
}

static void test_bad_files(void)
{
    g_autofree char *sum = digest(TOKEN_CI), *other = digest(TOKEN_DESK);
    const struct {
        char *text;
        const char *says;
    } rows[] = {
        { g_strdup(""), "no token" },
        { g_strdup("# nothing\n"), "no token" },
        { g_strdup("admin\n"), "tokens:1: " },
        { g_strdup_printf("# x\nking %s ci\n", sum), "tokens:2: 'king' is no role" },
        { g_strdup_printf("none %s ci\n", sum), "no role" },
        { g_strdup("admin " TOKEN_CI " ci\n"), "SHA-256" },
        { g_strdup_printf("admin %sa ci\n", sum), "SHA-256" },
        { g_strdup_printf("tenant %s ci\n", sum), "user's name" },
        { g_strdup_printf("admin %s ci root\n", sum), "only a tenant" },
        { g_strdup_printf("tenant %s ci no-such-user-here\n", sum), "no-such-user-here" },
        { g_strdup_printf("admin %s ci\nadmin %s ci\n", sum, other), "tokens:2: two tokens" },
        { g_strdup_printf("admin %s ci\nadmin %s ci2\n", sum, sum), "same token" },
        { g_strdup_printf("admin %s ci extra words\n", sum), "tokens:1: " },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(token_set_parse("tokens", rows[i].text, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, rows[i].says)) {
            g_test_fail_printf("'%s' is not in '%s'", rows[i].says, error->message);
        }
        g_assert_null(strstr(error->message, TOKEN_CI)); /* what should have been secret */
        g_free(rows[i].text);
    }
}

static void test_readable_by_others(void)
{
    g_autofree char *folder = g_dir_make_tmp("tokens-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "tokens", NULL), *text = two_tokens();
    static const mode_t good[] = { 0600, 0400, 0640 }, bad[] = { 0644, 0604, 0602, 0660, 0666 };

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(TokenSet) set = NULL;

        g_chmod(path, good[i]);
        set = token_set_load(path, NULL);
        g_assert_nonnull(set);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_chmod(path, bad[i]);
        g_assert_null(token_set_load(path, &error));
        g_assert_nonnull(strstr(error->message, "chmod"));
    }
    g_unlink(path);
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(token_set_load(path, &error));
        g_assert_nonnull(strstr(error->message, path));
        g_clear_error(&error);
        g_assert_null(token_set_load(folder, &error));
        g_assert_nonnull(error);
    }
    g_rmdir(folder);
}

static Config *config_of(const char *text)
{
    g_autoptr(GError) error = NULL;
    Config *c = config_new();
    Ini *ini = ini_parse("vgpud.conf", text, strlen(text), &error);

    g_assert_no_error(error);
    g_assert_true(config_add(c, ini, &error));
    g_assert_no_error(error);
    ini_free(ini);
    return c;
}

/* TCP is off, or it has TLS and tokens: nothing in between is served. */
static void test_remote(void)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "[http]\nlisten=127.0.0.1:9843\n", "certificate=" },
        { "[http]\nlisten=127.0.0.1:9843\ncertificate=/x\n", "key=" },
        { "[http]\nlisten=127.0.0.1:9843\ncertificate=/x\nkey=/x\n", "tokens=" },
        { "[http]\ntokens=/x\n", "listen=" },
        { "[http]\nlisten=localhost:9843\ncertificate=/x\nkey=/x\ntokens=/x\n", "numeric" },
        { "[http]\nlisten=127.0.0.1:0\ncertificate=/x\nkey=/x\ntokens=/x\n", "ADDRESS:PORT" },
        { "[http]\nlisten=127.0.0.1:70000\ncertificate=/x\nkey=/x\ntokens=/x\n", "ADDRESS:PORT" },
        { "[http]\nlisten=::1:9843\ncertificate=/x\nkey=/x\ntokens=/x\n", "ADDRESS:PORT" },
        { "[http]\nlisten=:9843\ncertificate=/x\nkey=/x\ntokens=/x\n", "ADDRESS:PORT" },
        { "[http]\nlisten=[::1]:9843\ncertificate=/none\nkey=/none\ntokens=/x\n", "/none" },
    };
    g_autoptr(Config) off = config_of("[vgpud]\ngpus=software\n");
    Remote *remote = NULL;

    g_assert_true(remote_load(off, &remote, NULL));
    g_assert_null(remote);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Config) c = config_of(rows[i].text);
        g_autoptr(GError) error = NULL;

        g_assert_false(remote_load(c, &remote, &error));
        g_assert_null(remote);
        if (!strstr(error->message, rows[i].says)) {
            g_test_fail_printf("'%s' is not in '%s'", rows[i].says, error->message);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tokens/find", test_find);
    g_test_add_func("/tokens/short", test_short);
    g_test_add_func("/tokens/bad-files", test_bad_files);
    g_test_add_func("/tokens/readable-by-others", test_readable_by_others);
    g_test_add_func("/tokens/remote", test_remote);
    return g_test_run();
}
