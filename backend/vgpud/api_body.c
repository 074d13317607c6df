/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api_body.h"

#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

#define COUNT_MAX                                                                                            \
    (1ll << 53)        /* as far as all JSON parsers agree; json-glib stops at 2^63 - 1 without a word */
#define QUOTE_MAX   80 /* characters of a client's words in an answer */
#define NESTING_MAX 8  /* one would do; json-glib's own parser recurses */

typedef enum BodyKind {
    BODY_TEXT = 1 << 0,
    BODY_COUNT = 1 << 1, /* a whole number, 0 up */
    BODY_RATIO = 1 << 2, /* a number above 0, up to 1: a percentage */
} BodyKind;

typedef struct BodyMember {
    const char *name; /* in JSON */
    const char *key;  /* in a profile */
    unsigned kinds;   /* BodyKind */
    const char *expected;
} BodyMember;

static const BodyMember change_members[] = {
    { "profile", "profile", BODY_TEXT, "a profile's name" },
    { "share", "share", BODY_TEXT | BODY_RATIO, "a percentage such as \"30%\" or a number above 0, up to 1" },
    { "memory", "memory", BODY_TEXT | BODY_COUNT, "a size such as \"2G\" or a number of bytes" },
    { "quantum", "quantum", BODY_TEXT, "a time such as \"4ms\"" },
    { "priority", "priority", BODY_TEXT, "\"low\", \"normal\" or \"high\"" },
    { "frame_rate_limit", "frame-rate-limit", BODY_TEXT | BODY_COUNT,
      "a number of frames per second, 0 for no limit" },
    { "hang_timeout", "hang-timeout", BODY_TEXT, "a time such as \"5s\"" },
};

static const BodyMember policy_members[] = {
    { "policy", NULL, BODY_TEXT, "best-effort, equal-share, fixed-share or exclusive" },
};

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_clear_error(error);
    if (error) {
        *error = g_error_new_valist(VGPUD_ERROR, 0, format, ap);
    }
    va_end(ap);
    return false;
}

/* Line and column of a byte, from 1. */
static void position(const char *text, size_t at, unsigned *line, unsigned *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < at; i++) {
        *column = text[i] == '\n' ? 1 : *column + 1;
        *line += text[i] == '\n';
    }
}

static bool fail_at(GError **error, const char *text, size_t at, const char *what)
{
    unsigned line, column;

    position(text, at, &line, &column);
    return fail(error, "the body is no JSON object: %s, in line %u, column %u", what, line, column);
}

/* What the parser must not see: text that is none, and depth without end. */
static bool check_text(const char *text, size_t length, GError **error)
{
    bool quoted = false;
    unsigned depth = 0;
    const char *bad;

    if (!g_utf8_validate_len(text, length, &bad)) {
        return fail_at(error, text, bad - text, "not UTF-8 text");
    }
    for (size_t i = 0; i < length; i++) {
        if (quoted) {
            if (text[i] == '\\') {
                if (length - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0) { /* would end a C string */
                    return fail_at(error, text, i, "a NUL character");
                }
                i++;
            } else {
                quoted = text[i] != '"';
            }
        } else if (text[i] == '"') {
            quoted = true;
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > NESTING_MAX) {
                return fail_at(error, text, i, "nested too deeply");
            }
        } else if (text[i] == '}' || text[i] == ']') {
            depth -= depth > 0;
        }
    }
    return true;
}

/* A client's text, short enough and clean enough for a sentence; to free. */
static char *quote(const char *text)
{
    g_autofree char *clean = units_clean_text(text);

    return g_utf8_strlen(clean, -1) > QUOTE_MAX ? g_utf8_substring(clean, 0, QUOTE_MAX)
                                                : g_steal_pointer(&clean);
}

/* json-glib says "<data>:LINE:COLUMN: Parse error: WHAT". */
static void fail_parse(GError **error, const char *message)
{
    g_autofree char *what = NULL;
    unsigned line = 0, column = 0;
    int rest = 0;

    sscanf(message, "<data>:%u:%u: Parse error: %n", &line, &column, &rest);
    what = quote(message + rest); /* the client's words may be in it */
    if (rest) {
        fail(error, "the body is no JSON object: %s, in line %u, column %u", what, line, column);
    } else {
        fail(error, "the body is no JSON object: %s", what);
    }
}

typedef struct Seen {
    GHashTable *names;
    char *twice;
} Seen;

static void on_member(JsonParser *parser, JsonObject *object, const char *name, gpointer opaque)
{
    Seen *seen = opaque;

    if (!g_hash_table_add(seen->names, g_strdup_printf("%p %s", (void *)object, name)) && !seen->twice) {
        seen->twice = g_strdup(name);
    }
}

/* NULL with *error set; else to unref. */
static JsonObject *parse_object(const char *text, size_t length, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GError) local = NULL;
    g_autofree char *twice = NULL;
    Seen seen = { names, NULL };
    JsonNode *root;

    if (length == 0) {
        fail(error, "the body is empty: send a JSON object");
        return NULL;
    }
    if (!check_text(text, length, error)) {
        return NULL;
    }
    json_parser_set_strict(parser, TRUE);
    g_signal_connect(parser, "object-member", G_CALLBACK(on_member), &seen);
    if (!json_parser_load_from_data(parser, text, length, &local)) {
        fail_parse(error, local->message);
        g_free(seen.twice);
        return NULL;
    }
    twice = seen.twice;
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        fail(error, "the body is JSON, but no object: send { ... }");
        return NULL;
    }
    if (twice) {
        g_autofree char *clean = quote(twice);

        fail(error, "the body has the member '%s' twice", clean);
        return NULL;
    }
    return json_object_ref(json_node_get_object(root));
}

/* A value as the profiles' grammar writes it; NULL: it is of the wrong kind.  To free. */
static char *value_text(const BodyMember *m, JsonNode *node)
{
    GType type = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;

    if (type == G_TYPE_STRING && m->kinds & BODY_TEXT) {
        return json_node_dup_string(node);
    }
    if (type == G_TYPE_INT64 && m->kinds & BODY_COUNT && json_node_get_int(node) >= 0 &&
        json_node_get_int(node) <= COUNT_MAX) {
        return g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
    }
    if ((type == G_TYPE_INT64 || type == G_TYPE_DOUBLE) && m->kinds & BODY_RATIO) {
        double ratio = json_node_get_double(node);
        uint32_t ppm = ratio > 0 && ratio <= 1 ? (uint32_t)(ratio * PPM + 0.5) : 0;

        if (ppm > 0) {
            return g_strdup_printf("%u.%04u%%", ppm / 10000, ppm % 10000);
        }
    }
    return NULL;
}

static bool fail_value(GError **error, const BodyMember *m, JsonNode *node)
{
    g_autofree char *value = json_to_string(node, FALSE), *is = quote(value);

    return fail(error, "\"%s\": %s is not %s", m->name, is, m->expected);
}

static const BodyMember *find_member(const BodyMember *members, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (g_str_equal(members[i].name, name)) {
            return &members[i];
        }
    }
    return NULL;
}

static bool fail_unknown(GError **error, const BodyMember *members, size_t count, const char *name)
{
    g_autoptr(GString) all = g_string_new(NULL);
    g_autofree char *clean = quote(name);

    for (size_t i = 0; i < count; i++) {
        g_string_append_printf(all, "%s%s", i ? i + 1 < count ? ", " : " and " : "", members[i].name);
    }
    return fail(error, "there is no '%s' to change; there %s %s", clean, count > 1 ? "are" : "is", all->str);
}

static bool take_change(ControlChange *change, const char *name, JsonNode *node, GError **error)
{
    const BodyMember *m = find_member(change_members, G_N_ELEMENTS(change_members), name);
    g_autofree char *text = NULL, *valid = NULL;
    g_autoptr(GError) local = NULL;

    if (!m) {
        return fail_unknown(error, change_members, G_N_ELEMENTS(change_members), name);
    }
    text = value_text(m, node);
    if (!text) {
        return fail_value(error, m, node);
    }
    if (!control_change_parse(change, m->key, text, &local)) {
        valid = units_clean_text(local->message); /* it may have cut a character in two */
        return fail(error, "%s", valid);
    }
    return true;
}

bool api_body_change(const char *text, size_t length, ControlChange *change, GError **error)
{
    g_autoptr(JsonObject) object = parse_object(text, length, error);
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    if (!object) {
        return false;
    }
    json_object_iter_init_ordered(&iter, object);
    while (json_object_iter_next_ordered(&iter, &name, &node)) {
        if (!take_change(change, name, node, error)) {
            return false;
        }
    }
    if (!change->set) {
        return fail(error, "the body names nothing to change: send {\"share\": \"30%%\"}, for example");
    }
    return true;
}

bool api_body_policy(const char *text, size_t length, SchedPolicy *policy, GError **error)
{
    g_autoptr(JsonObject) object = parse_object(text, length, error);
    g_autoptr(GList) names = object ? json_object_get_members(object) : NULL;
    g_autofree char *value = NULL;

    if (!object) {
        return false;
    }
    for (GList *l = names; l; l = l->next) {
        if (!find_member(policy_members, G_N_ELEMENTS(policy_members), l->data)) {
            return fail_unknown(error, policy_members, G_N_ELEMENTS(policy_members), l->data);
        }
    }
    if (!names) {
        return fail(error,
                    "the body names nothing to change: send {\"policy\": \"fixed-share\"}, for example");
    }
    value = value_text(&policy_members[0], json_object_get_member(object, "policy"));
    if (!value || !control_policy_parse(value, policy)) {
        return fail_value(error, &policy_members[0], json_object_get_member(object, "policy"));
    }
    return true;
}

bool api_body_empty(const char *text, size_t length, GError **error)
{
    g_autoptr(JsonObject) object = length ? parse_object(text, length, error) : NULL;

    if (!length) {
        return true;
    }
    return object && (json_object_get_size(object) == 0 ||
                      fail(error, "nothing can be said in the body here: leave it empty"));
}
