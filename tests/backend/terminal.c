/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "terminal.h"

#include <errno.h>
#include <glib-unix.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#define DEADLINE_S 60
#define ROWS_MAX   200
#define COLS_MAX   400

struct Terminal {
    int fd;
    pid_t pid; /* 0: reaped */
    int status;
    struct termios before;
    unsigned rows, columns, row, column;
    char screen[ROWS_MAX][COLS_MAX];
    GString *written;
    char sequence[64]; /* an escape sequence that has begun */
    unsigned length;
};

static void blank(Terminal *t, unsigned row, unsigned from, unsigned to)
{
    memset(t->screen[row] + from, ' ', to - from);
}

/* ESC [ parameters letter */
static void control(Terminal *t, const char *parameters, char letter)
{
    char *rest;
    unsigned a = strtoul(parameters, &rest, 10), b = *rest == ';' ? strtoul(rest + 1, NULL, 10) : 0;

    switch (letter) {
    case 'H':
        t->row = MIN(a ? a - 1 : 0, t->rows - 1);
        t->column = MIN(b ? b - 1 : 0, t->columns - 1);
        break;
    case 'A':
        t->row -= MIN(t->row, MAX(a, 1));
        break;
    case 'B':
        t->row = MIN(t->row + MAX(a, 1), t->rows - 1);
        break;
    case 'C':
        t->column = MIN(t->column + MAX(a, 1), t->columns - 1);
        break;
    case 'D':
        t->column -= MIN(t->column, MAX(a, 1));
        break;
    case 'J':
        blank(t, t->row, t->column, t->columns);
        for (unsigned r = t->row + 1; r < t->rows; r++) {
            blank(t, r, 0, t->columns);
        }
        break;
    case 'K':
        blank(t, t->row, a == 1 ? 0 : t->column, a == 1 ? t->column + 1 : t->columns);
        break;
    default: /* colours, modes */
        break;
    }
}

static void show(Terminal *t, char c)
{
    if (t->length) {
        t->sequence[t->length++] = c;
        if (t->length == 2 && c != '[' && c != '(' && c != ')') {
            t->length = 0;
        } else if (t->length > 2 && t->sequence[1] != '[') {
            t->length = 0;
        } else if (t->length > 2 && c >= 0x40 && c <= 0x7e) {
            t->sequence[t->length - 1] = 0;
            control(t, t->sequence + 2, c);
            t->length = 0;
        } else if (t->length >= sizeof(t->sequence) - 1) {
            t->length = 0;
        }
        return;
    }
    switch (c) {
    case '\033':
        t->sequence[t->length++] = c;
        break;
    case '\r':
        t->column = 0;
        break;
    case '\n':
        t->row = MIN(t->row + 1, t->rows - 1);
        break;
    case '\b':
        t->column -= t->column > 0;
        break;
    default:
        if ((unsigned char)c >= ' ') {
            t->screen[t->row][MIN(t->column, t->columns - 1)] = c;
            t->column++;
        }
        break;
    }
}

static gboolean on_output(int fd, GIOCondition condition, gpointer opaque)
{
    Terminal *t = opaque;
    char data[4096];
    ssize_t n = read(fd, data, sizeof(data));

    if (n <= 0) {
        return n < 0 && errno == EINTR;
    }
    g_string_append_len(t->written, data, n);
    for (ssize_t i = 0; i < n; i++) {
        show(t, data[i]);
    }
    return G_SOURCE_CONTINUE;
}

static void resize(Terminal *t, unsigned rows, unsigned columns)
{
    struct winsize size = { .ws_row = rows, .ws_col = columns };

    g_assert_true(rows <= ROWS_MAX && columns <= COLS_MAX);
    t->rows = rows;
    t->columns = columns;
    t->row = MIN(t->row, rows - 1);
    t->column = MIN(t->column, columns - 1);
    memset(t->screen, ' ', sizeof(t->screen));
    if (t->fd >= 0) {
        ioctl(t->fd, TIOCSWINSZ, &size);
    }
}

Terminal *terminal_new(const char *const *argv, const char *term, unsigned rows, unsigned columns)
{
    Terminal *t = g_new0(Terminal, 1);
    g_auto(GStrv) envp = g_environ_setenv(g_get_environ(), "TERM", term, TRUE);
    struct winsize size = { .ws_row = rows, .ws_col = columns };
    int theirs;

    envp = g_environ_unsetenv(envp, "LINES");
    envp = g_environ_unsetenv(envp, "COLUMNS");
    t->fd = -1;
    t->written = g_string_new(NULL);
    resize(t, rows, columns);
    g_assert_cmpint(openpty(&t->fd, &theirs, NULL, NULL, &size), ==, 0);
    tcgetattr(t->fd, &t->before); /* before the program can have changed it */
    t->pid = fork();
    g_assert_cmpint(t->pid, >=, 0);
    if (t->pid == 0) {
        close(t->fd);
        login_tty(theirs);
        execve(argv[0], (char *const *)argv, envp);
        _exit(127);
    }
    close(theirs);
    g_unix_fd_add(t->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_output, t);
    return t;
}

void terminal_free(Terminal *t)
{
    if (!t) {
        return;
    }
    if (t->pid) {
        kill(t->pid, SIGKILL);
        waitpid(t->pid, NULL, 0);
    }
    g_source_remove_by_user_data(t);
    close(t->fd);
    g_string_free(t->written, TRUE);
    g_free(t);
}

void terminal_type(Terminal *t, const char *keys)
{
    g_assert_cmpint(write(t->fd, keys, strlen(keys)), ==, strlen(keys));
}

void terminal_resize(Terminal *t, unsigned rows, unsigned columns)
{
    resize(t, rows, columns);
}

char *terminal_screen(const Terminal *t)
{
    GString *s = g_string_new(NULL);

    for (unsigned r = 0; r < t->rows; r++) {
        g_string_append_len(s, t->screen[r], t->columns);
        g_string_append_c(s, '\n');
    }
    return g_string_free(s, FALSE);
}

const char *terminal_written(const Terminal *t)
{
    return t->written->str;
}

int terminal_row(const Terminal *t, const char *text)
{
    for (unsigned r = 0; r < t->rows; r++) {
        g_autofree char *line = g_strndup(t->screen[r], t->columns);

        if (strstr(line, text)) {
            return (int)r;
        }
    }
    return -1;
}

/* So that a wait ends when nothing at all happens. */
static gboolean on_tick(gpointer unused)
{
    return G_SOURCE_CONTINUE;
}

typedef bool (*Wanted)(const Terminal *t, const char *const *texts);

static bool until(Terminal *t, Wanted wanted, const char *const *texts, const char *what)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;
    guint tick = g_timeout_add(50, on_tick, NULL);
    bool is;

    while (!(is = wanted(t, texts)) && g_get_monotonic_time() < end) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(tick);
    if (!is) {
        g_autofree char *screen = terminal_screen(t), *all = g_strjoinv(", ", (char **)texts);

        g_test_message("screen:\n%s", screen);
        g_test_fail_printf("the screen %s %s", what, all);
    }
    return is;
}

static bool shown(const Terminal *t, const char *const *texts)
{
    return terminal_row(t, texts[0]) >= 0;
}

static bool hidden(const Terminal *t, const char *const *texts)
{
    return terminal_row(t, texts[0]) < 0;
}

static bool ordered(const Terminal *t, const char *const *texts)
{
    int row = -1;

    for (; *texts; texts++) {
        int next = terminal_row(t, *texts);

        if (next <= row) {
            return false;
        }
        row = next;
    }
    return true;
}

bool terminal_shows(Terminal *t, const char *text)
{
    return until(t, shown, (const char *const[]){ text, NULL }, "does not show");
}

bool terminal_hides(Terminal *t, const char *text)
{
    return until(t, hidden, (const char *const[]){ text, NULL }, "goes on showing");
}

bool terminal_orders(Terminal *t, ...)
{
    const char *texts[16] = { NULL };
    va_list ap;

    va_start(ap, t);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts) - 1 && (texts[i] = va_arg(ap, const char *)); i++) {
    }
    va_end(ap);
    return until(t, ordered, texts, "does not show in that order");
}

int terminal_status(Terminal *t)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;
    guint tick = g_timeout_add(20, on_tick, NULL);

    while (t->pid && g_get_monotonic_time() < end) {
        if (waitpid(t->pid, &t->status, WNOHANG) == t->pid) {
            t->pid = 0;
        } else {
            g_main_context_iteration(NULL, TRUE);
        }
    }
    g_source_remove(tick);
    return !t->pid && WIFEXITED(t->status) ? WEXITSTATUS(t->status) : -1;
}

bool terminal_is_sane(const Terminal *t)
{
    struct termios now;

    return tcgetattr(t->fd, &now) == 0 && now.c_lflag == t->before.c_lflag &&
           now.c_iflag == t->before.c_iflag && now.c_oflag == t->before.c_oflag;
}

void terminal_signal(Terminal *t, int sig)
{
    kill(t->pid, sig);
}
