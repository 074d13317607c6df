/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vgpud answers is what /v1/openapi.json says, in both directions. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "openapi.h"

static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

static OpenApi *fetch(Vgpud *d)
{
    g_autoptr(HttpReply) r = http_ask(d, "GET", "/v1/openapi.json", NULL, NULL);
    OpenApi *o = http_expect_object(r) ? openapi_new(r->body) : NULL;

    if (!o) {
        g_test_fail_printf("there is no description");
    }
    return o;
}

static bool has_prefix_brace(const char *segment)
{
    return *segment == '{';
}

/* "/v1/vms/{vm}/stop" -> "/v1/vms/desk/stop" */
static char *real_path(const char *path, const char *vm)
{
    g_auto(GStrv) segments = g_strsplit(path, "/", -1);

    for (unsigned i = 0; segments[i]; i++) {
        if (has_prefix_brace(segments[i])) {
            const char *value = g_str_equal(segments[i], "{vm}") ? vm : "software0";

            g_free(segments[i]);
            segments[i] = g_strdup(value);
        }
    }
    return g_strjoinv("/", segments);
}

/* Expects that the answer's status and type are described, and that it is as described. */
static void check_reply(const OpenApi *o, const char *path, const char *method, const HttpReply *r)
{
    g_autofree char *type = r ? http_header(r, "Content-Type") : NULL;
    JsonObject *operation = openapi_operation(o, path, method);
    JsonObject *schema = operation && r ? openapi_answer(o, operation, r->status, type) : NULL;
    g_autoptr(GString) wrong = g_string_new(NULL);

    if (!schema) {
        g_test_fail_printf("%s %s: an answer with status %u of type %s is not described", method, path,
                           r ? r->status : 0, type);
        return;
    }
    if (g_str_has_prefix(type, "application/json") && !r->json) {
        g_test_fail_printf("%s %s: the answer is no JSON", method, path);
    } else if (r->json && !openapi_valid(o, schema, r->json, wrong)) {
        g_test_fail_printf("%s %s, status %u: %s", method, path, r->status, wrong->str);
    }
}

static const char *good_body(const char *path, const char *method)
{
    if (!g_str_equal(method, "PATCH")) {
        return NULL;
    }
    return strstr(path, "/gpus/") ? "{\"policy\": \"equal-share\"}" : "{\"priority\": \"low\"}";
}

static HttpReply *ask(Vgpud *d, const char *method, const char *path, const char *body)
{
    return http_ask(d, method, path, body ? JSON_TYPE : NULL, body);
}

typedef struct Desk {
    Vgpud *d;
    OpenApi *o;
    Frontend *f[3];
    int fd[3];
    bool second; /* round of questions */
} Desk;

/* A vgpud with a VM "desk", one to be stopped and one to be restarted. */
static void desk_open(Desk *k)
{
    k->second = false;
    k->d = vgpud_new("null", NULL);
    k->f[0] = attach_vm(k->d, "quarter", "desk", 1, &k->fd[0]);
    k->f[1] = attach_vm(k->d, "eighth", "victim", 2, &k->fd[1]);
    k->f[2] = attach_vm(k->d, "eighth", "renewed", 3, &k->fd[2]);
    k->o = fetch(k->d);
}

static void desk_close(Desk *k)
{
    openapi_free(k->o);
    for (unsigned i = 0; i < 3; i++) {
        frontend_free(k->f[i]);
        close(k->fd[i]);
    }
    vgpud_free(k->d);
}

typedef void PathRun(Desk *k, const char *path, JsonObject *item);

static void each_path(Desk *k, PathRun *run)
{
    JsonObject *paths = json_object_get_object_member(k->o->doc, "paths");
    JsonObjectIter iter;
    const char *path;
    JsonNode *item;

    json_object_iter_init_ordered(&iter, paths);
    while (json_object_iter_next_ordered(&iter, &path, &item)) {
        run(k, path, json_node_get_object(item));
    }
}

/* ---- the document ---- */

static void check_operation(Desk *k, const char *path, const char *method, JsonObject *operation)
{
    JsonObject *responses = json_object_get_object_member(operation, "responses");
    JsonObjectIter iter;
    const char *status;
    JsonNode *node;

    g_assert_true(json_object_has_member(operation, "operationId"));
    g_assert_true(json_object_has_member(responses, "200"));
    g_assert_true(json_object_has_member(responses, "default"));
    json_object_iter_init(&iter, responses);
    while (json_object_iter_next(&iter, &status, &node)) {
        JsonObject *r = openapi_resolve(k->o, json_node_get_object(node));

        if (!r || !json_object_has_member(r, "description") || !json_object_has_member(r, "content")) {
            g_test_fail_printf("%s %s: the answer %s is not described", method, path, status);
        }
    }
    if (g_str_equal(method, "patch")) {
        g_assert_true(json_object_has_member(operation, "requestBody"));
    }
}

static void check_item(Desk *k, const char *path, JsonObject *item)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    g_assert_true(!strchr(path, '{') || json_object_has_member(item, "parameters"));
    json_object_iter_init(&iter, item);
    while (json_object_iter_next(&iter, &name, &node)) {
        if (!g_str_equal(name, "parameters")) {
            check_operation(k, path, name, json_node_get_object(node));
        }
    }
}

static void test_document(void)
{
    g_autoptr(GString) wrong = g_string_new(NULL);
    JsonObjectIter iter;
    const char *name;
    JsonNode *schema;
    Desk k;

    desk_open(&k);
    g_assert_true(
        g_str_has_prefix(json_object_get_string_member_with_default(k.o->doc, "openapi", ""), "3.1."));
    each_path(&k, check_item);
    json_object_iter_init(
        &iter, openapi_resolve(k.o, json_object_get_object_member(
                                        json_object_get_object_member(k.o->doc, "components"), "schemas")));
    while (json_object_iter_next(&iter, &name, &schema)) {
        if (!openapi_schema_known(k.o, json_node_get_object(schema), wrong)) {
            g_test_fail_printf("schema %s: %s", name, wrong->str);
        }
    }
    desk_close(&k);
}

/* The validator itself: it must be able to say no. */
static void test_validator(void)
{
    static const struct {
        const char *schema, *value;
        bool valid;
    } rows[] = {
        { "{\"type\": \"integer\"}", "3", true },
        { "{\"type\": \"integer\"}", "3.5", false },
        { "{\"type\": \"integer\"}", "\"3\"", false },
        { "{\"type\": \"number\"}", "3", true },
        { "{\"type\": [\"string\", \"null\"]}", "null", true },
        { "{\"type\": [\"string\", \"null\"]}", "true", false },
        { "{\"minimum\": 0}", "-1", false },
        { "{\"maximum\": 1}", "1.01", false },
        { "{\"exclusiveMinimum\": 0}", "0", false },
        { "{\"enum\": [\"a\", null]}", "\"a\"", true },
        { "{\"enum\": [\"a\", null]}", "null", true },
        { "{\"enum\": [\"a\", null]}", "\"b\"", false },
        { "{\"minLength\": 1}", "\"\"", false },
        { "{\"pattern\": \"^a+$\"}", "\"aab\"", false },
        { "{\"pattern\": \"^a+$\"}", "\"aa\"", true },
        { "{\"required\": [\"a\"]}", "{\"b\": 1}", false },
        { "{\"minProperties\": 1}", "{}", false },
        { "{\"minItems\": 1}", "[]", false },
        { "{\"items\": {\"type\": \"string\"}}", "[\"a\", 1]", false },
        { "{\"properties\": {\"a\": {\"type\": \"string\"}}}", "{\"a\": 1}", false },
        { "{\"properties\": {\"a\": {\"type\": \"string\"}}}", "{\"b\": 1}", true },
        { "{\"additionalProperties\": false, \"properties\": {\"a\": {}}}", "{\"a\": 1, \"b\": 1}", false },
        { "{\"$ref\": \"#/s\"}", "\"x\"", true },
        { "{\"$ref\": \"#/s\"}", "1", false },
        { "{\"$ref\": \"#/none\"}", "1", false },
    };
    g_autoptr(OpenApi) o = openapi_new("{\"s\": {\"type\": \"string\"}}");

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(JsonNode) schema = json_from_string(rows[i].schema, NULL);
        g_autoptr(JsonNode) value = json_from_string(rows[i].value, NULL);
        g_autoptr(GString) wrong = g_string_new(NULL);

        if (openapi_valid(o, json_node_get_object(schema), value, wrong) != rows[i].valid) {
            g_test_fail_printf("%s against %s", rows[i].value, rows[i].schema);
        }
    }
    {
        g_autoptr(JsonNode) schema = json_from_string("{\"properties\": {\"a\": {\"oneOf\": []}}}", NULL);
        g_autoptr(GString) wrong = g_string_new(NULL);

        g_assert_false(openapi_schema_known(o, json_node_get_object(schema), wrong));
    }
}

/* ---- the server ---- */

static void ask_documented(Desk *k, const char *path, JsonObject *item)
{
    bool ends = g_str_has_suffix(path, "/stop") || g_str_has_suffix(path, "/allow");
    bool renews = g_str_has_suffix(path, "/restart");
    g_autofree char *real = real_path(path, ends ? "victim" : renews ? "renewed" : "desk");

    for (unsigned i = 0; i < G_N_ELEMENTS(methods); i++) {
        if (openapi_operation(k->o, path, methods[i])) {
            g_autoptr(HttpReply) r = ask(k->d, methods[i], real, good_body(path, methods[i]));

            /* it was restarted in the first round, and no QEMU has asked for the next one */
            g_assert_cmpuint(r->status, ==, renews && k->second ? 409 : 200);
            check_reply(k->o, path, methods[i], r);
        }
    }
}

static void test_answers(void)
{
    Desk k;

    desk_open(&k);
    each_path(&k, ask_documented);
    kill(vgpud_renderer_pid(k.d, "desk"), SIGKILL);
    for (unsigned i = 0; i < 500; i++) {
        g_autofree char *state = vgpud_state(k.d, "desk");

        if (g_str_equal(state, "lost")) {
            break;
        }
        g_usleep(20000);
    }
    k.second = true;
    each_path(&k, ask_documented); /* a lost VM and a stopped one have other members that are null */
    desk_close(&k);
}

static void ask_wrong(Desk *k, const char *path, JsonObject *item)
{
    g_autofree char *real = real_path(path, "nobody"), *there = real_path(path, "desk");

    for (unsigned i = 0; i < G_N_ELEMENTS(methods); i++) {
        const char *body = good_body(path, methods[i]);

        if (!openapi_operation(k->o, path, methods[i])) {
            continue;
        }
        if (strstr(path, "{vm}")) {
            g_autoptr(HttpReply) r = ask(k->d, methods[i], real, body);

            g_assert_cmpuint(r->status, ==, 404);
            check_reply(k->o, path, methods[i], r);
        }
        if (body) {
            g_autoptr(HttpReply) bad = ask(k->d, methods[i], there, "{\"x\": 1}");
            g_autoptr(HttpReply) text = http_ask(k->d, methods[i], there, "text/plain", body);

            g_assert_cmpuint(bad->status, ==, 400);
            check_reply(k->o, path, methods[i], bad);
            g_assert_cmpuint(text->status, ==, 415);
            check_reply(k->o, path, methods[i], text);
        }
    }
}

static void test_refusals(void)
{
    Desk k;

    desk_open(&k);
    each_path(&k, ask_wrong);
    {
        g_autoptr(HttpReply) r = ask(k.d, "PATCH", "/v1/vms/desk", "{\"memory\": \"900G\"}");

        g_assert_cmpuint(r->status, ==, 409);
        check_reply(k.o, "/v1/vms/{vm}", "PATCH", r);
    }
    desk_close(&k);
}

/* A method that is not described is not served, and Allow says which are. */
static void ask_undocumented(Desk *k, const char *path, JsonObject *item)
{
    g_autofree char *real = real_path(path, "desk");

    for (unsigned i = 0; i < G_N_ELEMENTS(methods); i++) {
        g_autoptr(HttpReply) r = NULL;
        g_autofree char *allow = NULL;

        if (openapi_operation(k->o, path, methods[i])) {
            continue;
        }
        r = ask(k->d, methods[i], real, NULL);
        http_expect_error(r, 405);
        allow = http_header(r, "Allow");
        for (unsigned m = 0; m < G_N_ELEMENTS(methods); m++) {
            g_auto(GStrv) allowed = g_strsplit(allow ? allow : "", ", ", -1);

            g_assert_cmpint(g_strv_contains((const char *const *)allowed, methods[m]), ==,
                            openapi_operation(k->o, path, methods[m]) != NULL);
        }
    }
}

static void test_methods(void)
{
    Desk k;

    desk_open(&k);
    each_path(&k, ask_undocumented);
    desk_close(&k);
}

/* Each member of a change that is described is taken, as each type that is described. */
static void test_change_members(void)
{
    static const struct {
        const char *member, *value;
    } rows[] = {
        { "profile", "\"eighth\"" },
        { "share", "\"30%\"" },
        { "share", "0.3" },
        { "share", "1" },
        { "memory", "\"128M\"" },
        { "memory", "134217728" },
        { "memory", "\"25%\"" },
        { "quantum", "\"4ms\"" },
        { "priority", "\"low\"" },
        { "priority", "\"normal\"" },
        { "priority", "\"high\"" },
        { "frame_rate_limit", "60" },
        { "frame_rate_limit", "\"60\"" },
        { "hang_timeout", "\"5s\"" },
    };
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    JsonObject *schema;
    JsonObjectIter iter;
    const char *name;
    Desk k;

    desk_open(&k);
    schema = json_object_get_object_member(
        json_object_get_object_member(json_object_get_object_member(k.o->doc, "components"), "schemas"),
        "VmChange");
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *body = g_strdup_printf("{\"%s\": %s}", rows[i].member, rows[i].value);
        g_autoptr(JsonNode) value = json_from_string(body, NULL);
        g_autoptr(HttpReply) r = ask(k.d, "PATCH", "/v1/vms/desk", body);
        g_autoptr(GString) wrong = g_string_new(NULL);

        if (!openapi_valid(k.o, schema, value, wrong)) {
            g_test_fail_printf("%s is taken, and not described: %s", body, wrong->str);
        }
        http_expect_object(r);
        check_reply(k.o, "/v1/vms/{vm}", "PATCH", r);
        g_hash_table_add(seen, (char *)rows[i].member);
    }
    json_object_iter_init(&iter, json_object_get_object_member(schema, "properties"));
    while (json_object_iter_next(&iter, &name, NULL)) {
        if (!g_hash_table_contains(seen, name)) {
            g_test_fail_printf("%s is described and was not tried", name);
        }
    }
    desk_close(&k);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/vgpud-openapi/document", test_document);
    g_test_add_func("/vgpud-openapi/validator", test_validator);
    g_test_add_func("/vgpud-openapi/answers", test_answers);
    g_test_add_func("/vgpud-openapi/refusals", test_refusals);
    g_test_add_func("/vgpud-openapi/methods", test_methods);
    g_test_add_func("/vgpud-openapi/change-members", test_change_members);
    return g_test_run();
}
