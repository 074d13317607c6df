/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal of vgpuctl top, by ncurses.  One at a time. */
#ifndef VGPUCTL_TOP_SCREEN_H
#define VGPUCTL_TOP_SCREEN_H

#include "top_model.h"

/* What the user chose. */
typedef struct TopView {
    TopColumn sort;
    bool reverse, paused, details, quit;
    char *selected; /* a VM's key; NULL: the first one shown */
    int first;      /* the row that is shown on top */
    double interval;
    char *message; /* why there is nothing newer, or NULL */
} TopView;

/* False: this is no terminal on which one can move about. */
bool top_screen_open(void);
void top_screen_close(void);

void top_screen_draw(const Top *t, TopView *view);

/* What was typed, all of it; true when something has to be drawn. */
bool top_screen_keys(const Top *t, TopView *view);

/* The terminal has another size. */
void top_screen_resize(void);

#endif
