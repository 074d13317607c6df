/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vgpud that answers what the test wants and remembers what it was asked, on
 * the API's Unix socket; and vgpuctl run against it while it serves.
 */
#ifndef TEST_FAKE_VGPUD_H
#define TEST_FAKE_VGPUD_H

#include <gio/gio.h>
#include <stdbool.h>

typedef struct Fake Fake;

Fake *fake_new(void);
void fake_free(Fake *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fake, fake_free)

/* What METHOD PATH is answered from now on; a path nobody set is 404. */
void fake_answer(Fake *f, const char *method, const char *path, unsigned status, const char *body);
/* The same with a body made anew for each request; to free. */
void fake_answer_by(Fake *f, const char *path, char *(*make)(gpointer opaque), gpointer opaque);

/* One line for each request so far: "METHOD PATH BODY".  The fake's; fake_forget empties it. */
const char *fake_asked(const Fake *f);
void fake_forget(Fake *f);

/* Also serves HTTPS on a port of 127.0.0.1; only with that token.  The URL, the fake's. */
const char *fake_serve_tls(Fake *f, const char *certificate, const char *key, const char *token);

const char *fake_socket(const Fake *f);
const char *fake_folder(const Fake *f);

typedef struct Run {
    int status; /* exit status, -1: ended by a signal or the deadline */
    char *out, *err;
} Run;

/* vgpuctl with --socket and these arguments, the last of them NULL. */
Run *fake_run(Fake *f, ...) G_GNUC_NULL_TERMINATED;
/* Any program, in an environment with these too (KEY=VALUE, ends with NULL; may be NULL). */
Run *fake_spawn(const char *const *argv, const char *const *environment);
void run_free(Run *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Run, run_free)

#endif
