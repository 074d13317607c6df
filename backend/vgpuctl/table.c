/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include "text.h"

static JsonNode *value(JsonObject *row, const char *member)
{
    JsonNode *node = json_object_get_member(row, member);

    return node && JSON_NODE_HOLDS_VALUE(node) ? node : NULL;
}

char *table_text(JsonObject *row, const char *member)
{
    JsonNode *node = value(row, member);
    const char *text = node ? json_node_get_string(node) : NULL;

    return text ? text_clean(text) : NULL;
}

char *table_number(JsonObject *row, const char *member)
{
    JsonNode *node = value(row, member);

    return node ? g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node)) : NULL;
}

char *table_mib(JsonObject *row, const char *member)
{
    JsonNode *node = value(row, member);

    return node ? g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node) / (1024 * 1024)) : NULL;
}

char *table_percent(JsonObject *row, const char *member)
{
    JsonNode *node = value(row, member);

    return node ? text_percent(json_node_get_double(node)) : NULL;
}

char *table_duration(JsonObject *row, const char *member)
{
    JsonNode *node = value(row, member);

    return node ? text_duration(MAX(json_node_get_int(node), 0)) : NULL;
}

char *table_list(JsonObject *row, const char *member)
{
    JsonNode *node = json_object_get_member(row, member);
    JsonArray *array = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    GString *s = g_string_new(NULL);

    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *item = json_array_get_element(array, i);
        const char *text = JSON_NODE_HOLDS_VALUE(item) ? json_node_get_string(item) : NULL;
        g_autofree char *clean = text ? text_clean(text) : NULL;

        g_string_append_printf(s, "%s%s", s->len ? "," : "", clean ? clean : "?");
    }
    return g_string_free(s, FALSE);
}

static void pad(FILE *out, glong n)
{
    for (; n > 0; n--) {
        fputc(' ', out);
    }
}

static void print_cell(FILE *out, const char *text, glong width, bool right, bool last)
{
    glong missing = width - text_width(text);

    pad(out, right ? missing : 0);
    fputs(text, out);
    if (!last) {
        pad(out, (right ? 0 : missing) + 2);
    }
}

void table_print_cells(FILE *out, const GPtrArray *cells, const TableColumn *columns, unsigned count)
{
    g_autofree glong *width = g_new0(glong, count);

    g_return_if_fail(count > 0);
    for (unsigned c = 0; c < count; c++) {
        width[c] = text_width(columns[c].title);
    }
    for (guint i = 0; i < cells->len; i++) {
        width[i % count] = MAX(width[i % count], text_width(cells->pdata[i]));
    }
    for (unsigned c = 0; c < count; c++) {
        print_cell(out, columns[c].title, width[c], columns[c].right, c == count - 1);
    }
    fputc('\n', out);
    for (guint i = 0; i < cells->len; i++) {
        unsigned c = i % count;

        print_cell(out, cells->pdata[i], width[c], columns[c].right, c == count - 1);
        if (c == count - 1) {
            fputc('\n', out);
        }
    }
}

void table_print(FILE *out, JsonArray *rows, const TableColumn *columns, unsigned count, const char *empty)
{
    guint n = json_array_get_length(rows);
    g_autoptr(GPtrArray) cells = g_ptr_array_new_with_free_func(g_free);

    if (!n) {
        fprintf(out, "%s\n", empty);
        return;
    }
    for (guint r = 0; r < n; r++) {
        JsonNode *node = json_array_get_element(rows, r);

        for (unsigned c = 0; c < count; c++) {
            g_autofree char *text = JSON_NODE_HOLDS_OBJECT(node)
                                        ? columns[c].cell(json_node_get_object(node), columns[c].member)
                                        : NULL;

            g_ptr_array_add(cells, g_strdup(text && *text ? text : "-"));
        }
    }
    table_print_cells(out, cells, columns, count);
}
