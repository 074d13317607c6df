/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  Every draw begins with an empty window and ends with
 * doupdate(): ncurses finds out what differs from what the terminal shows.
 * Nothing but clean texts (text.h) gets here, cut to the columns there are.
 *
 * Keys are read without waiting, when the main loop says that there are some.
 */
#include "top_screen.h"

#include <math.h>
#include <ncurses.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <term.h>
#include <time.h>
#include <unistd.h>

/* term.h's */
#undef lines
#undef columns

#include "show.h"
#include "text.h"

enum { PAIR_GOOD = 1, PAIR_HIGH, PAIR_BAD, PAIR_TITLE };

#define BAR_WIDTH   24
#define NAME_MIN    8  /* columns for a VM's name before others give way */
#define LABEL_WIDTH 22 /* of the details */
#define DETAIL      60 /* width of one column of details */
#define GAP         2

static SCREEN *screen;
static bool colours;

/* Least wide, and which goes first when there is no room: the highest number. */
static const struct {
    int width, expendable;
} layout[TOP_COLUMNS] = {
    [TOP_VM] = { NAME_MIN, 0 }, [TOP_PROFILE] = { 9, 6 }, [TOP_GPU] = { 9, 8 },    [TOP_STATE] = { 8, 5 },
    [TOP_TIME] = { 6, 1 },      [TOP_SHARE] = { 6, 3 },   [TOP_USED] = { 8, 2 },   [TOP_LIMIT] = { 9, 4 },
    [TOP_FRAMES] = { 8, 7 },    [TOP_WAIT] = { 6, 9 },    [TOP_HANGS] = { 5, 10 },
};

bool top_screen_open(void)
{
    const char *no_color = getenv("NO_COLOR"), *place;
    int state;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || setupterm(NULL, STDOUT_FILENO, &state) != OK) {
        return false;
    }
    place = tigetstr("cup");
    if (!place || place == (char *)-1) {
        return false;
    }
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        return false;
    }
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    colours = has_colors() && !(no_color && *no_color);
    if (colours) {
        start_color();
        use_default_colors();
        init_pair(PAIR_GOOD, COLOR_GREEN, -1);
        init_pair(PAIR_HIGH, COLOR_YELLOW, -1);
        init_pair(PAIR_BAD, COLOR_RED, -1);
        init_pair(PAIR_TITLE, COLOR_CYAN, -1);
    }
    return true;
}

void top_screen_close(void)
{
    if (screen) {
        endwin();
        delscreen(screen);
        screen = NULL;
    }
}

void top_screen_resize(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col) {
        resizeterm(size.ws_row, size.ws_col);
    }
    clearok(stdscr, TRUE);
}

static attr_t colour(int pair)
{
    return colours ? (attr_t)COLOR_PAIR(pair) : pair == PAIR_BAD ? A_BOLD : A_NORMAL;
}

/* Text at a place, cut at the right edge; the column after it. */
static int put(int y, int x, attr_t attributes, const char *format, ...) G_GNUC_PRINTF(4, 5);

static int put(int y, int x, attr_t attributes, const char *format, ...)
{
    g_autofree char *text = NULL, *fit = NULL;
    va_list ap;

    if (y < 0 || y >= LINES || x >= COLS) {
        return x;
    }
    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    fit = text_fit(text, COLS - x);
    attron(attributes);
    mvaddstr(y, x, fit);
    attroff(attributes);
    return x + (int)text_width(fit);
}

/* ---- the parts of the picture, from top to bottom ---- */

static void draw_title(const Top *t, const TopView *view)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *clock = g_date_time_format(now, "%H:%M:%S");
    int x = put(0, 0, A_BOLD, "vgpuctl top  %s", clock);

    x = put(0, x, A_NORMAL, "  %u VMs, every %g s", t ? t->vms->len : 0, view->interval);
    if (view->paused) {
        put(0, x, A_REVERSE, "  paused ");
    }
}

static int draw_bar(int y, int x, double ratio)
{
    int filled = isnan(ratio) ? 0 : (int)lround(ratio * BAR_WIDTH);
    int pair = ratio > 0.9 ? PAIR_BAD : ratio > 0.6 ? PAIR_HIGH : PAIR_GOOD;

    x = put(y, x, A_NORMAL, "[");
    for (int i = 0; i < BAR_WIDTH; i++) {
        x = put(y, x, i < filled ? colour(pair) : A_NORMAL, "%s", i < filled ? "|" : " ");
    }
    return put(y, x, A_NORMAL, "]");
}

/* A line for each GPU, as long as they leave room for the VMs; the next free line. */
static int draw_gpus(const Top *t)
{
    int y = 1, most = MAX(1, LINES / 3);

    for (guint i = 0; i < t->gpus->len; i++, y++) {
        const TopGpu *g = t->gpus->pdata[i];
        int x;

        if ((int)i == most - 1 && t->gpus->len > (guint)most) {
            put(y, 0, A_NORMAL, "and %u more GPUs", t->gpus->len - i);
            return y + 1;
        }
        x = put(y, 0, A_BOLD, "%s", g->name);
        x = put(y, x, A_NORMAL, " ");
        x = draw_bar(y, x, g->busy);
        x = isnan(g->busy) ? put(y, x, A_NORMAL, "     - ") : put(y, x, A_NORMAL, " %4.1f %%", g->busy * 100);
        x = put(y, x, A_NORMAL, "%s", g->own ? " (your VMs)" : "");
        put(y, x, A_NORMAL, "  %s%s%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " MiB booked, %u VMs",
            g->policy ? g->policy : "", g->policy ? ", " : "", (guint64)(g->booked >> 20),
            (guint64)(g->memory >> 20), g->vms);
    }
    return y;
}

/* Which columns there is room for, and how wide they are. */
static void arrange(const Top *t, int width[TOP_COLUMNS])
{
    int sum = -GAP;

    for (unsigned c = 0; c < TOP_COLUMNS; c++) {
        width[c] = layout[c].width;
        sum += width[c] + GAP;
    }
    for (int least = 10; sum > COLS && least > 0; least--) {
        for (unsigned c = 0; c < TOP_COLUMNS; c++) {
            if (layout[c].expendable == least) {
                sum -= width[c] + GAP;
                width[c] = 0;
            }
        }
    }
    /* what is left over goes to names that need it */
    for (unsigned c = TOP_VM; c <= TOP_STATE; c++) {
        for (guint i = 0; width[c] && i < t->vms->len; i++) {
            int more = (int)text_width(((TopVm *)t->vms->pdata[i])->text[c]) - width[c];

            more = CLAMP(more, 0, MAX(COLS - sum, 0));
            width[c] += more;
            sum += more;
        }
    }
}

static attr_t cell_colour(const TopVm *vm, TopColumn c)
{
    double used = vm->value[TOP_USED] / vm->value[TOP_LIMIT];

    switch (c) {
    case TOP_STATE:
        return vm->running ? colour(PAIR_GOOD) : colour(PAIR_BAD);
    case TOP_TIME:
        return vm->value[TOP_TIME] > 1.05 * vm->value[TOP_SHARE] ? colour(PAIR_HIGH)
               : vm->value[TOP_TIME] >= 0.001                    ? colour(PAIR_GOOD)
                                                                 : A_NORMAL;
    case TOP_USED:
        return used > 0.95 ? colour(PAIR_BAD) : used > 0.8 ? colour(PAIR_HIGH) : A_NORMAL;
    case TOP_HANGS:
        return vm->value[TOP_HANGS] > 0 ? colour(PAIR_BAD) : A_NORMAL;
    default:
        return A_NORMAL;
    }
}

static void draw_row(int y, const int width[TOP_COLUMNS], const TopVm *vm, TopColumn sort, bool selected)
{
    int x = 0;

    if (!vm || selected) {
        mvhline(y, 0, ' ' | A_REVERSE, COLS);
    }
    for (unsigned c = 0; c < TOP_COLUMNS; c++) {
        g_autofree char *fit = NULL;
        attr_t attributes;

        if (!width[c]) {
            continue;
        }
        fit = text_fit(vm ? vm->text[c] : top_columns[c].title, width[c]);
        attributes = !vm        ? A_REVERSE | (c == sort ? A_BOLD | A_UNDERLINE : A_NORMAL)
                     : selected ? A_REVERSE
                                : cell_colour(vm, c);
        put(y, x + (top_columns[c].right ? width[c] - (int)text_width(fit) : 0), attributes, "%s", fit);
        x += width[c] + GAP;
    }
}

/* The selected VM's place; one that is gone gives way to who stands there now. */
static int selected_row(const Top *t, TopView *view)
{
    for (guint i = 0; i < t->vms->len; i++) {
        const TopVm *vm = t->vms->pdata[i];

        if (view->selected && g_str_equal(vm->key, view->selected)) {
            return (int)i;
        }
    }
    return t->vms->len ? 0 : -1;
}

static void draw_vms(const Top *t, TopView *view, int y, int end)
{
    int width[TOP_COLUMNS], selected = selected_row(t, view), rows = end - y - 1;

    arrange(t, width);
    draw_row(y++, width, NULL, view->sort, false);
    if (!t->vms->len) {
        put(y, 0, A_NORMAL, "no VM has a slice of a GPU");
        return;
    }
    if (rows > 0) {
        view->first = MIN(view->first, selected);
        view->first = MAX(view->first, selected - rows + 1);
        view->first = CLAMP(view->first, 0, MAX((int)t->vms->len - rows, 0));
    }
    for (int i = view->first; i < (int)t->vms->len && y < end; i++, y++) {
        draw_row(y, width, t->vms->pdata[i], view->sort, i == selected);
    }
}

static void draw_details(const Top *t, TopView *view, int y, int end)
{
    int selected = selected_row(t, view), top = y + 1, x = 0;
    g_autoptr(GPtrArray) lines = NULL;

    if (selected < 0) {
        put(y, 0, A_NORMAL, "no VM has a slice of a GPU");
        return;
    }
    lines = show_lines(((TopVm *)t->vms->pdata[selected])->object);
    put(y, 0, A_BOLD, "%s", ((TopVm *)t->vms->pdata[selected])->text[TOP_VM]);
    y = top;
    for (guint i = 0; i < lines->len && x < COLS; i++) {
        const ShowLine *line = lines->pdata[i];
        g_autofree char *text = text_fit(line->text, DETAIL - LABEL_WIDTH - GAP);

        put(y, x, colour(PAIR_TITLE), "%s", line->label);
        put(y, x + LABEL_WIDTH, A_NORMAL, "%s", text);
        if (++y >= end) {
            y = top;
            x += DETAIL;
        }
    }
}

static void draw_foot(const Top *t, const TopView *view)
{
    int y = LINES - 1;

    if (view->message) {
        put(y, 0, colour(PAIR_BAD), "%s", view->message);
        return;
    }
    put(y, 0, A_DIM, "q quit  s sort by %s  r reverse  p pause  up, down select  Enter %s%s",
        top_column_names()[view->sort], view->details ? "back" : "details",
        t && t->cpu_time ? "  (time: CPU time of the renderers)" : "");
}

void top_screen_draw(const Top *t, TopView *view)
{
    int y;

    erase();
    draw_title(t, view);
    if (t) {
        y = draw_gpus(t);
        (view->details ? draw_details : draw_vms)(t, view, y + 1, LINES - 1);
    }
    draw_foot(t, view);
    refresh();
}

/* ---- keys ---- */

static void select_row(const Top *t, TopView *view, int row)
{
    if (t && t->vms->len) {
        row = CLAMP(row, 0, (int)t->vms->len - 1);
        g_free(view->selected);
        view->selected = g_strdup(((TopVm *)t->vms->pdata[row])->key);
    }
}

static void on_key(const Top *t, TopView *view, int key)
{
    int row = t ? selected_row(t, view) : 0, page = MAX(LINES - 6, 1);

    switch (key) {
    case 'q':
    case 'Q':
        view->quit = true;
        break;
    case 's':
        view->sort = (view->sort + 1) % TOP_COLUMNS;
        view->reverse = false;
        break;
    case 'S':
        view->sort = (view->sort + TOP_COLUMNS - 1) % TOP_COLUMNS;
        view->reverse = false;
        break;
    case 'r':
        view->reverse = !view->reverse;
        break;
    case 'p':
    case ' ':
        view->paused = !view->paused;
        break;
    case '\r':
    case '\n':
    case KEY_ENTER:
        view->details = !view->details;
        break;
    case 27: /* Escape */
        view->details = false;
        break;
    case KEY_UP:
    case 'k':
        select_row(t, view, row - 1);
        break;
    case KEY_DOWN:
    case 'j':
        select_row(t, view, row + 1);
        break;
    case KEY_PPAGE:
        select_row(t, view, row - page);
        break;
    case KEY_NPAGE:
        select_row(t, view, row + page);
        break;
    case KEY_HOME:
        select_row(t, view, 0);
        break;
    case KEY_END:
        select_row(t, view, G_MAXINT);
        break;
    case 'L' & 0x1f:
        clearok(stdscr, TRUE);
        break;
    default:
        break;
    }
}

bool top_screen_keys(const Top *t, TopView *view)
{
    bool any = false;
    int key;

    while ((key = getch()) != ERR) {
        on_key(t, view, key);
        any = true;
    }
    return any;
}
