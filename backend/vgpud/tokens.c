/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "units.h"

#define DIGEST_SIZE    32
#define TOKENS_MAX     256
#define TOKEN_NAME_MAX 64

typedef struct Token {
    Role role;
    uint8_t digest[DIGEST_SIZE];
    char *name;
    uid_t uid; /* of a tenant */
} Token;

struct TokenSet {
    GArray *tokens;
};

static void token_clear(gpointer data)
{
    g_free(((Token *)data)->name);
}

void token_set_free(TokenSet *set)
{
    if (set) {
        g_array_unref(set->tokens);
        g_free(set);
    }
}

static bool fail(GError **error, const char *path, unsigned line, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static bool fail(GError **error, const char *path, unsigned line, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_set_error(error, VGPUD_ERROR, 0, "%s:%u: %s", path, line, text);
    return false;
}

static bool parse_digest(const char *text, uint8_t digest[DIGEST_SIZE])
{
    if (strlen(text) != 2 * DIGEST_SIZE) {
        return false;
    }
    for (unsigned i = 0; i < DIGEST_SIZE; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]), low = g_ascii_xdigit_value(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        digest[i] = high << 4 | low;
    }
    return true;
}

/* In the same time wherever they differ. */
static bool digest_equal(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t differ = 0;

    for (unsigned i = 0; i < DIGEST_SIZE; i++) {
        differ |= a[i] ^ b[i];
    }
    return differ == 0;
}

static bool parse_user(const char *name, uid_t *uid)
{
    struct passwd *pw;

    if (units_parse_uint(name, 0, G_MAXUINT32 - 1, uid)) {
        return true;
    }
    pw = getpwnam(name);
    if (pw) {
        *uid = pw->pw_uid;
    }
    return pw != NULL;
}

static bool check_new(const TokenSet *set, const Token *t, const char *path, unsigned line, GError **error)
{
    if (set->tokens->len >= TOKENS_MAX) {
        return fail(error, path, line, "more than %u tokens", TOKENS_MAX);
    }
    for (guint i = 0; i < set->tokens->len; i++) {
        const Token *other = &g_array_index(set->tokens, Token, i);

        if (g_str_equal(other->name, t->name)) {
            return fail(error, path, line,
                        "two tokens have the name '%s': the audit log could not tell them apart", t->name);
        }
        if (digest_equal(other->digest, t->digest)) {
            return fail(error, path, line, "'%s' and '%s' are the same token", other->name, t->name);
        }
    }
    return true;
}

static bool parse_line(TokenSet *set, char **words, const char *path, unsigned line, GError **error)
{
    unsigned count = g_strv_length(words);
    Token t = { .uid = ROLES_NOBODY };

    if (count < 3 || count > 4) {
        return fail(error, path, line,
                    "a token is written ROLE SHA256 NAME, and a tenant's ROLE SHA256 NAME USER");
    }
    if (!roles_parse(words[0], &t.role)) {
        return fail(error, path, line, "'%.20s' is no role: there are tenant, operator and admin", words[0]);
    }
    if (!parse_digest(words[1], t.digest)) { /* not shown: somebody may have written the token itself */
        return fail(error, path, line,
                    "the second word is not the token's SHA-256, which has 64 hexadecimal digits: see "
                    "printf %%s TOKEN | sha256sum");
    }
    if (strlen(words[2]) > TOKEN_NAME_MAX || !g_str_is_ascii(words[2])) {
        return fail(error, path, line, "the token's name is longer than %u or not ASCII", TOKEN_NAME_MAX);
    }
    if ((t.role == ROLE_TENANT) != (count == 4)) {
        return fail(error, path, line,
                    t.role == ROLE_TENANT ? "a tenant's token ends with a user's name: whose VMs it sees"
                                          : "only a tenant's token ends with a user's name");
    }
    if (count == 4 && !parse_user(words[3], &t.uid)) {
        return fail(error, path, line, "this host has no user '%.60s'", words[3]);
    }
    t.name = words[2];
    if (!check_new(set, &t, path, line, error)) {
        return false;
    }
    t.name = units_clean_text(words[2]);
    g_array_append_val(set->tokens, t);
    return true;
}

static bool parse_lines(TokenSet *set, const char *path, const char *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        g_auto(GStrv) words = NULL;
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        g_auto(GStrv) pieces = g_strsplit_set(lines[i], " \t\r", -1);

        for (unsigned k = 0; pieces[k]; k++) {
            if (*pieces[k]) {
                g_strv_builder_add(builder, pieces[k]);
            }
        }
        words = g_strv_builder_end(builder);
        if (words[0] && *words[0] != '#' && !parse_line(set, words, path, i + 1, error)) {
            return false;
        }
    }
    if (!set->tokens->len) {
        g_set_error(error, VGPUD_ERROR, 0, "%s: no token is in it, so nobody could use the API over TCP",
                    path);
    }
    return set->tokens->len > 0;
}

TokenSet *token_set_parse(const char *path, const char *text, GError **error)
{
    TokenSet *set = g_new0(TokenSet, 1);

    set->tokens = g_array_new(FALSE, FALSE, sizeof(Token));
    g_array_set_clear_func(set->tokens, token_clear);
    if (!parse_lines(set, path, text, error)) {
        g_clear_pointer(&set, token_set_free);
    }
    return set;
}

/* The whole of an open file; NULL with *error set. */
static char *read_secret(int fd, const char *path, GError **error)
{
    struct stat st;
    g_autofree char *text = NULL;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0) {
        g_set_error(error, VGPUD_ERROR, 0, "cannot read the tokens in %s: %s", path, g_strerror(errno));
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > INI_FILE_MAX) {
        g_set_error(error, VGPUD_ERROR, 0, "%s is not a file of tokens", path);
        return NULL;
    }
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || st.st_mode & (S_IRWXO | S_IWGRP)) {
        g_set_error(
            error, VGPUD_ERROR, 0,
            "%s can be read or written by others: it must belong to root or to vgpud's user, and have "
            "mode 0600 or 0640 (chmod 600 %s)",
            path, path);
        return NULL;
    }
    text = g_malloc0(st.st_size + 1);
    n = pread(fd, text, st.st_size, 0);
    if (n != st.st_size || memchr(text, 0, n)) {
        g_set_error(error, VGPUD_ERROR, 0, "%s is not a file of tokens", path);
        return NULL;
    }
    return g_steal_pointer(&text);
}

TokenSet *token_set_load(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    g_autofree char *text = read_secret(fd, path, error);

    if (fd >= 0) {
        close(fd);
    }
    return text ? token_set_parse(path, text, error) : NULL;
}

bool token_set_find(const TokenSet *set, const char *token, const char *from, Caller *caller)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[DIGEST_SIZE];
    gsize size = sizeof(digest);
    const Token *found = NULL;

    g_checksum_update(sum, (const guchar *)token, -1);
    g_checksum_get_digest(sum, digest, &size);
    for (guint i = 0; i < set->tokens->len; i++) { /* all of them, always */
        const Token *t = &g_array_index(set->tokens, Token, i);

        found = digest_equal(t->digest, digest) ? t : found;
    }
    if (!found || strlen(token) < TOKEN_SHORTEST) {
        return false;
    }
    *caller = (Caller){ .role = found->role, .uid = found->uid };
    caller->who = g_strdup_printf("token %s from %s", found->name, from);
    return true;
}
