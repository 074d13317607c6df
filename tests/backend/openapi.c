/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "openapi.h"

#include <string.h>

OpenApi *openapi_new(const char *text)
{
    JsonNode *root = json_from_string(text, NULL);
    OpenApi *o;

    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_clear_pointer(&root, json_node_unref);
        return NULL;
    }
    o = g_new0(OpenApi, 1);
    o->root = root;
    o->doc = json_node_get_object(root);
    return o;
}

void openapi_free(OpenApi *o)
{
    if (o) {
        json_node_unref(o->root);
        g_free(o);
    }
}

static JsonObject *member(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;

    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

JsonObject *openapi_resolve(const OpenApi *o, JsonObject *object)
{
    const char *ref = object ? json_object_get_string_member_with_default(object, "$ref", NULL) : NULL;
    g_auto(GStrv) steps = NULL;

    if (!ref) {
        return object;
    }
    if (!g_str_has_prefix(ref, "#/")) {
        return NULL;
    }
    steps = g_strsplit(ref + 2, "/", -1);
    object = o->doc;
    for (unsigned i = 0; object && steps[i]; i++) {
        object = member(object, steps[i]);
    }
    return openapi_resolve(o, object);
}

/* ---- schemas ---- */

typedef struct Check {
    const OpenApi *o;
    GString *wrong;
    const char *where;
} Check;

static void wrong(const Check *c, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void wrong(const Check *c, const char *format, ...)
{
    va_list ap;

    g_string_append_printf(c->wrong, "%s: ", c->where);
    va_start(ap, format);
    g_string_append_vprintf(c->wrong, format, ap);
    va_end(ap);
    g_string_append(c->wrong, "; ");
}

static const char *type_of(JsonNode *value)
{
    switch (json_node_get_node_type(value)) {
    case JSON_NODE_OBJECT:
        return "object";
    case JSON_NODE_ARRAY:
        return "array";
    case JSON_NODE_NULL:
        return "null";
    case JSON_NODE_VALUE:
        break;
    }
    switch (json_node_get_value_type(value)) {
    case G_TYPE_INT64:
        return "integer";
    case G_TYPE_DOUBLE:
        return "number";
    case G_TYPE_BOOLEAN:
        return "boolean";
    default:
        return "string";
    }
}

static bool is_number(JsonNode *value)
{
    return g_str_equal(type_of(value), "integer") || g_str_equal(type_of(value), "number");
}

static bool is_of(JsonNode *value, const char *type)
{
    const char *is = type_of(value);

    return g_str_equal(is, type) || (g_str_equal(type, "number") && g_str_equal(is, "integer"));
}

static void check_type(const Check *c, JsonNode *rule, JsonNode *value)
{
    JsonArray *a = JSON_NODE_HOLDS_ARRAY(rule) ? json_node_get_array(rule) : NULL;
    bool good = !a && is_of(value, json_node_get_string(rule));

    for (unsigned i = 0; a && i < json_array_get_length(a); i++) {
        good |= is_of(value, json_array_get_string_element(a, i));
    }
    if (!good) {
        wrong(c, "it is of type %s", type_of(value));
    }
}

static void check_enum(const Check *c, JsonNode *rule, JsonNode *value)
{
    JsonArray *a = json_node_get_array(rule);

    for (unsigned i = 0; i < json_array_get_length(a); i++) {
        if (json_node_equal(json_array_get_element(a, i), value)) {
            return;
        }
    }
    wrong(c, "it is none of those listed");
}

static void check_minimum(const Check *c, JsonNode *rule, JsonNode *value)
{
    if (is_number(value) && json_node_get_double(value) < json_node_get_double(rule)) {
        wrong(c, "%g is too small", json_node_get_double(value));
    }
}

static void check_above(const Check *c, JsonNode *rule, JsonNode *value)
{
    if (is_number(value) && json_node_get_double(value) <= json_node_get_double(rule)) {
        wrong(c, "%g is too small", json_node_get_double(value));
    }
}

static void check_maximum(const Check *c, JsonNode *rule, JsonNode *value)
{
    if (is_number(value) && json_node_get_double(value) > json_node_get_double(rule)) {
        wrong(c, "%g is too large", json_node_get_double(value));
    }
}

static void check_min_length(const Check *c, JsonNode *rule, JsonNode *value)
{
    if (is_of(value, "string") && g_utf8_strlen(json_node_get_string(value), -1) < json_node_get_int(rule)) {
        wrong(c, "it is too short");
    }
}

static void check_pattern(const Check *c, JsonNode *rule, JsonNode *value)
{
    if (is_of(value, "string") &&
        !g_regex_match_simple(json_node_get_string(rule), json_node_get_string(value), 0, 0)) {
        wrong(c, "'%s' does not match", json_node_get_string(value));
    }
}

static void check_required(const Check *c, JsonNode *rule, JsonNode *value)
{
    JsonArray *a = json_node_get_array(rule);

    for (unsigned i = 0; is_of(value, "object") && i < json_array_get_length(a); i++) {
        if (!json_object_has_member(json_node_get_object(value), json_array_get_string_element(a, i))) {
            wrong(c, "%s is missing", json_array_get_string_element(a, i));
        }
    }
}

static void check_min_properties(const Check *c, JsonNode *rule, JsonNode *value)
{
    if (is_of(value, "object") &&
        json_object_get_size(json_node_get_object(value)) < json_node_get_int(rule)) {
        wrong(c, "it has too few members");
    }
}

static void check_min_items(const Check *c, JsonNode *rule, JsonNode *value)
{
    if (is_of(value, "array") &&
        json_array_get_length(json_node_get_array(value)) < json_node_get_int(rule)) {
        wrong(c, "it has too few elements");
    }
}

static void check_one(const Check *c, const char *name, JsonObject *schema, JsonNode *value)
{
    g_autofree char *where = g_strconcat(c->where, "/", name, NULL);
    const Check below = { c->o, c->wrong, where };

    schema = openapi_resolve(c->o, schema);
    if (!schema) {
        wrong(&below, "its schema is not there");
        return;
    }
    openapi_valid(c->o, schema, value, below.wrong);
}

static void check_properties(const Check *c, JsonNode *rule, JsonNode *value)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *schema;

    if (!is_of(value, "object")) {
        return;
    }
    json_object_iter_init(&iter, json_node_get_object(rule));
    while (json_object_iter_next(&iter, &name, &schema)) {
        JsonNode *one = json_object_get_member(json_node_get_object(value), name);

        if (one) {
            check_one(c, name, json_node_get_object(schema), one);
        }
    }
}

static void check_items(const Check *c, JsonNode *rule, JsonNode *value)
{
    JsonArray *a = is_of(value, "array") ? json_node_get_array(value) : NULL;

    for (unsigned i = 0; a && i < json_array_get_length(a); i++) {
        g_autofree char *name = g_strdup_printf("%u", i);

        check_one(c, name, json_node_get_object(rule), json_array_get_element(a, i));
    }
}

static const struct {
    const char *keyword;
    void (*check)(const Check *c, JsonNode *rule, JsonNode *value); /* NULL: says nothing of the value */
} keywords[] = {
    { "type", check_type },
    { "enum", check_enum },
    { "minimum", check_minimum },
    { "exclusiveMinimum", check_above },
    { "maximum", check_maximum },
    { "minLength", check_min_length },
    { "pattern", check_pattern },
    { "required", check_required },
    { "minProperties", check_min_properties },
    { "minItems", check_min_items },
    { "properties", check_properties },
    { "items", check_items },
    { "additionalProperties", NULL }, /* with properties, below */
    { "description", NULL },
    { "$ref", NULL },
};

static void check_additional(const Check *c, JsonObject *schema, JsonNode *value)
{
    JsonObject *properties = member(schema, "properties");
    JsonObjectIter iter;
    const char *name;

    if (!is_of(value, "object") ||
        json_object_get_boolean_member_with_default(schema, "additionalProperties", TRUE)) {
        return;
    }
    json_object_iter_init(&iter, json_node_get_object(value));
    while (json_object_iter_next(&iter, &name, NULL)) {
        if (!properties || !json_object_has_member(properties, name)) {
            wrong(c, "%s is not described", name);
        }
    }
}

bool openapi_valid(const OpenApi *o, JsonObject *schema, JsonNode *value, GString *wrongs)
{
    const Check c = { o, wrongs,
                      json_object_get_string_member_with_default(schema, "description", "a value") };
    size_t before = wrongs->len;

    schema = openapi_resolve(o, schema);
    if (!schema) {
        g_string_append(wrongs, "there is no such schema; ");
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(keywords); i++) {
        JsonNode *rule = json_object_get_member(schema, keywords[i].keyword);

        if (rule && keywords[i].check) {
            keywords[i].check(&c, rule, value);
        }
    }
    check_additional(&c, schema, value);
    return wrongs->len == before;
}

static void check_keywords(const Check *c, JsonObject *schema)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *rule;

    if (json_object_has_member(schema, "$ref") && !openapi_resolve(c->o, schema)) {
        wrong(c, "%s names nothing", json_object_get_string_member(schema, "$ref"));
    }
    json_object_iter_init(&iter, schema);
    while (json_object_iter_next(&iter, &name, &rule)) {
        unsigned i = 0;

        while (i < G_N_ELEMENTS(keywords) && !g_str_equal(keywords[i].keyword, name)) {
            i++;
        }
        if (i == G_N_ELEMENTS(keywords)) {
            wrong(c, "%s is a keyword that this test does not check", name);
        }
        if (g_str_equal(name, "properties")) {
            JsonObjectIter inner;
            JsonNode *one;

            json_object_iter_init(&inner, json_node_get_object(rule));
            while (json_object_iter_next(&inner, &name, &one)) {
                openapi_schema_known(c->o, json_node_get_object(one), c->wrong);
            }
        } else if (g_str_equal(name, "items")) {
            openapi_schema_known(c->o, json_node_get_object(rule), c->wrong);
        }
    }
}

bool openapi_schema_known(const OpenApi *o, JsonObject *schema, GString *wrongs)
{
    const Check c = { o, wrongs,
                      json_object_get_string_member_with_default(schema, "description", "a schema") };
    size_t before = wrongs->len;

    check_keywords(&c, schema);
    return wrongs->len == before;
}

/* ---- paths ---- */

JsonObject *openapi_operation(const OpenApi *o, const char *path, const char *method)
{
    g_autofree char *lower = g_ascii_strdown(method, -1);

    return member(member(member(o->doc, "paths"), path), lower);
}

JsonObject *openapi_answer(const OpenApi *o, JsonObject *operation, unsigned status, const char *type)
{
    g_autofree char *key = g_strdup_printf("%u", status);
    JsonObject *responses = member(operation, "responses");
    JsonObject *r = member(responses, key);
    g_auto(GStrv) parts = g_strsplit(type ? type : "", ";", 2);

    if (!r && status >= 400) {
        r = member(responses, "default");
    }
    r = openapi_resolve(o, r);
    return member(member(member(r, "content"), parts[0] ? parts[0] : ""), "schema");
}
