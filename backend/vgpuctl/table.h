/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An array of JSON objects as a table for people. */
#ifndef VGPUCTL_TABLE_H
#define VGPUCTL_TABLE_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct TableColumn {
    const char *title;
    /* The cell's text, to free; NULL or "" shows "-". */
    char *(*cell)(JsonObject *row, const char *member);
    const char *member;
    bool right; /* aligned */
} TableColumn;

/* empty: the sentence for no rows. */
void table_print(FILE *out, JsonArray *rows, const TableColumn *columns, unsigned count, const char *empty);

/* The same of texts, row by row: only the columns' titles and alignment count. */
void table_print_cells(FILE *out, const GPtrArray *cells, const TableColumn *columns, unsigned count);

/* Cells. */
char *table_text(JsonObject *row, const char *member);
char *table_number(JsonObject *row, const char *member);
char *table_mib(JsonObject *row, const char *member);      /* bytes as MiB */
char *table_percent(JsonObject *row, const char *member);  /* 0.25 as 25 % */
char *table_duration(JsonObject *row, const char *member); /* microseconds */
char *table_list(JsonObject *row, const char *member);     /* an array of texts */

#endif
