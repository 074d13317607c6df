/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program on a terminal of the test's: what a VT100 would show of it.  The
 * default main context runs while one waits, so that a fake vgpud can answer.
 */
#ifndef TEST_TERMINAL_H
#define TEST_TERMINAL_H

#include <glib.h>
#include <stdbool.h>

typedef struct Terminal Terminal;

/* term: TERM, which the screen understands if it is "vt100". */
Terminal *terminal_new(const char *const *argv, const char *term, unsigned rows, unsigned columns);
void terminal_free(Terminal *t); /* ends the program if it runs still */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Terminal, terminal_free)

void terminal_type(Terminal *t, const char *keys);
void terminal_resize(Terminal *t, unsigned rows, unsigned columns);

/* Waits until the screen shows a text; false and a failed test after the deadline. */
bool terminal_shows(Terminal *t, const char *text);
/* Until it does not show it any more. */
bool terminal_hides(Terminal *t, const char *text);
/* Until the texts, which end with NULL, stand on rows in that order from top to bottom. */
bool terminal_orders(Terminal *t, ...) G_GNUC_NULL_TERMINATED;
/* The row (from 0) that holds a text now, -1: none. */
int terminal_row(const Terminal *t, const char *text);
/* The whole screen, a line for each row; to free. */
char *terminal_screen(const Terminal *t);
/* All that was ever written. */
const char *terminal_written(const Terminal *t);

/* Waits for the program's end: its exit status, -1: a signal or the deadline. */
int terminal_status(Terminal *t);
/* It left the terminal as it found it: echo, line by line. */
bool terminal_is_sane(const Terminal *t);
void terminal_signal(Terminal *t, int sig);

#endif
