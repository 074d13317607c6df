/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may use the API over TCP: a file of tokens, each with a role.
 *
 *   # ROLE   SHA-256 of the token                  NAME  [USER]
 *   operator 5e884898da28047151d0e56f8dc62927...   ci
 *   tenant   2c26b46b68ffc68ff99b453c1d304134...   desk  alice
 *
 * USER is for tenants: whose VMs it sees.  The file holds no token, only what
 * `printf %s TOKEN | sha256sum` prints; a token is what `openssl rand -hex 32`
 * prints.
 */
#ifndef VGPUD_TOKENS_H
#define VGPUD_TOKENS_H

#include "roles.h"

#define TOKEN_SHORTEST 20 /* characters: less could be guessed */

typedef struct TokenSet TokenSet;

/* Refuses a file that others than its owner (and its group) can read. */
TokenSet *token_set_load(const char *path, GError **error);
/* path is used in messages only. */
TokenSet *token_set_parse(const char *path, const char *text, GError **error);
void token_set_free(TokenSet *set); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TokenSet, token_set_free)

/*
 * Who has that token, in the same time whichever it is; false and nothing to
 * clear when nobody has.  from: where the caller is, for its name.
 */
bool token_set_find(const TokenSet *set, const char *token, const char *from, Caller *caller);

#endif
