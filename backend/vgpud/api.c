/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api.h"

#include <libsoup/soup.h>
#include <string.h>

#include "api_change.h"
#include "api_json.h"
#include "audit.h"
#include "metrics.h"
#include "openapi.h"
#include "promtext.h"
#include "units.h"

#define SEGMENTS_MAX 6

typedef struct ApiCall {
    Daemon *daemon;
    const ApiRequest *request;
    ApiAnswer *answer;
    const char *id; /* what stands for the * of the route's path, decoded */
} ApiCall;

typedef struct ApiRoute {
    const char *method, *path;
    void (*get)(ApiCall *c);
    ApiChangeRun *change; /* instead */
    const char *what;     /* in the audit log */
} ApiRoute;

void api_refuse(ApiAnswer *a, unsigned status, const char *format, ...)
{
    g_autofree char *text = NULL, *sentence = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    sentence = units_clean_text(text); /* a client's words are in it, perhaps cut in the middle */
    g_free(a->text);
    a->status = status;
    a->content_type = "application/json";
    a->text = api_json_error(sentence);
    g_free(a->why);
    a->why = g_steal_pointer(&sentence);
}

void api_answer_clear(ApiAnswer *a)
{
    g_clear_pointer(&a->allow, g_free);
    g_clear_pointer(&a->text, g_free);
    g_clear_pointer(&a->why, g_free);
}

static void answer_json(ApiAnswer *a, JsonBuilder *b)
{
    a->status = SOUP_STATUS_OK;
    a->content_type = "application/json";
    a->text = api_json_text(b);
}

/* ---- what is shown ---- */

static void get_vms(ApiCall *c)
{
    g_autoptr(ApiView) view = api_view_new(c->daemon, c->request->caller);
    g_autoptr(JsonBuilder) b = json_builder_new();
    const GPtrArray *vms = c->daemon->books->vms;

    json_builder_begin_array(b);
    for (guint i = 0; i < vms->len; i++) {
        if (roles_may_see(c->request->caller, vms->pdata[i])) {
            api_json_vm(b, view, vms->pdata[i]);
        }
    }
    json_builder_end_array(b);
    answer_json(c->answer, b);
}

static void show_vm(ApiCall *c, Vm *vm)
{
    g_autoptr(ApiView) view = api_view_new(c->daemon, c->request->caller);
    g_autoptr(JsonBuilder) b = json_builder_new();

    api_json_vm(b, view, vm);
    answer_json(c->answer, b);
}

static void get_vm(ApiCall *c)
{
    Vm *vm = api_find_vm(c->daemon, c->request->caller, c->id, c->answer);

    if (vm) {
        show_vm(c, vm);
    }
}

static void get_profiles(ApiCall *c)
{
    g_autoptr(ApiView) view = api_view_new(c->daemon, c->request->caller);
    g_autoptr(JsonBuilder) b = json_builder_new();
    const GPtrArray *profiles = c->daemon->profiles->profiles;

    json_builder_begin_array(b);
    for (guint i = 0; i < profiles->len; i++) {
        if (roles_may_start_profile(c->daemon->config, c->request->caller, profiles->pdata[i], NULL)) {
            api_json_profile(b, view, profiles->pdata[i]);
        }
    }
    json_builder_end_array(b);
    answer_json(c->answer, b);
}

static void get_gpus(ApiCall *c)
{
    g_autoptr(ApiView) view = api_view_new(c->daemon, c->request->caller);
    g_autoptr(JsonBuilder) b = json_builder_new();
    const GPtrArray *gpus = c->daemon->gpus;

    json_builder_begin_array(b);
    for (guint i = 0; i < gpus->len; i++) {
        api_json_gpu(b, view, gpus->pdata[i]);
    }
    json_builder_end_array(b);
    answer_json(c->answer, b);
}

static void show_gpu(ApiCall *c, Gpu *g)
{
    g_autoptr(ApiView) view = api_view_new(c->daemon, c->request->caller);
    g_autoptr(JsonBuilder) b = json_builder_new();

    api_json_gpu(b, view, g);
    answer_json(c->answer, b);
}

static void get_gpu(ApiCall *c)
{
    Gpu *g = api_find_gpu(c->daemon, c->id, c->answer);

    if (g) {
        show_gpu(c, g);
    }
}

static void get_openapi(ApiCall *c)
{
    g_autoptr(GBytes) bytes = g_resource_lookup_data(openapi_get_resource(), "/vgpu/openapi.json",
                                                     G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);

    c->answer->status = SOUP_STATUS_OK;
    c->answer->content_type = "application/json";
    c->answer->text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void get_metrics(ApiCall *c)
{
    c->answer->status = SOUP_STATUS_OK;
    c->answer->content_type = PROMTEXT_TYPE;
    c->answer->text = metrics_text(c->daemon, c->request->caller);
}

/* ---- which request is which ---- */

static const ApiRoute routes[] = {
    { "GET", "/v1/vms", .get = get_vms },
    { "GET", "/v1/vms/*", .get = get_vm },
    { "PATCH", "/v1/vms/*", .change = api_change_vm, .what = "set" },
    { "POST", "/v1/vms/*/stop", .change = api_change_stop, .what = "stop" },
    { "POST", "/v1/vms/*/restart", .change = api_change_restart, .what = "restart" },
    { "POST", "/v1/vms/*/allow", .change = api_change_allow, .what = "allow" },
    { "GET", "/v1/profiles", .get = get_profiles },
    { "GET", "/v1/gpus", .get = get_gpus },
    { "GET", "/v1/gpus/*", .get = get_gpu },
    { "PATCH", "/v1/gpus/*", .change = api_change_policy, .what = "policy" },
    { "GET", "/v1/openapi.json", .get = get_openapi },
    { "GET", "/metrics", .get = get_metrics },
};

/* True when the path is one of the route's; then *id is what stands for its *, or NULL, to free. */
static bool path_matches(const char *pattern, const char *path, char **id)
{
    g_auto(GStrv) want = g_strsplit(pattern, "/", -1);
    g_auto(GStrv) have = g_strsplit(path, "/", SEGMENTS_MAX + 1);
    g_autofree char *found = NULL;

    if (g_strv_length(want) != g_strv_length(have)) {
        return false;
    }
    for (unsigned i = 0; want[i]; i++) {
        g_autofree char *segment = g_uri_unescape_string(have[i], NULL);

        if (!segment || !g_utf8_validate(segment, -1, NULL)) {
            return false;
        }
        if (g_str_equal(want[i], "*") && *segment) {
            found = g_steal_pointer(&segment);
        } else if (!g_str_equal(want[i], segment)) {
            return false;
        }
    }
    *id = g_steal_pointer(&found);
    return true;
}

/* NULL: there is none; then *allow says what there is for that path, and is NULL when it is no path. */
static const ApiRoute *find_route(const ApiRequest *r, char **id, char **allow)
{
    const char *method = g_str_equal(r->method, "HEAD") ? "GET" : r->method;
    g_autoptr(GString) methods = g_string_new(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(routes); i++) {
        g_autofree char *found = NULL;

        if (!path_matches(routes[i].path, r->path, &found)) {
            continue;
        }
        if (g_str_equal(routes[i].method, method)) {
            *id = g_steal_pointer(&found);
            return &routes[i];
        }
        g_string_append_printf(methods, "%s%s", methods->len ? ", " : "", routes[i].method);
        if (g_str_equal(routes[i].method, "GET")) {
            g_string_append(methods, ", HEAD");
        }
    }
    *allow = methods->len ? g_strdup(methods->str) : NULL;
    return NULL;
}

static void serve_change(ApiCall *call, const ApiRoute *route)
{
    const ApiRequest *r = call->request;
    ApiChange c = { .daemon = call->daemon, .request = r, .answer = call->answer, .id = call->id };
    AuditLine line = { .caller = r->caller, .from = r->from, .what = route->what, .target = call->id };

    if (!roles_may_change(r->caller)) {
        api_refuse(
            call->answer, SOUP_STATUS_FORBIDDEN,
            "%s may change nothing here: that takes the role operator or admin, see [roles] of vgpud.conf",
            r->caller->who);
    } else {
        route->change(&c);
    }
    line.change = c.text;
    line.refused = call->answer->why;
    audit(&line);
    if (!call->answer->why && c.vm) {
        show_vm(call, c.vm);
    } else if (!call->answer->why) {
        show_gpu(call, c.gpu);
    }
    g_free(c.text);
}

static void refuse_stranger(const ApiRequest *r, ApiAnswer *a)
{
    AuditLine line = { .caller = r->caller, .from = r->from, .what = "ask", .target = r->path };

    api_refuse(a, SOUP_STATUS_FORBIDDEN, "%s has no role here: see [roles] of vgpud.conf", r->caller->who);
    line.refused = a->why;
    audit(&line);
}

void api_serve(Daemon *d, const ApiRequest *r, ApiAnswer *a)
{
    g_autofree char *id = NULL;
    const ApiRoute *route;
    ApiCall call = { d, r, a, NULL };

    if (r->caller->role == ROLE_NONE) {
        refuse_stranger(r, a);
        return;
    }
    route = find_route(r, &id, &a->allow);
    call.id = id;
    if (!route && a->allow) {
        api_refuse(a, SOUP_STATUS_METHOD_NOT_ALLOWED, "this page knows %s only", a->allow);
    } else if (!route) {
        api_refuse(a, SOUP_STATUS_NOT_FOUND, "there is no such page; /v1/openapi.json says which there are");
    } else if (r->query) {
        api_refuse(a, SOUP_STATUS_BAD_REQUEST, "no page here takes a query: leave out ? and what follows");
    } else if (route->change) {
        serve_change(&call, route);
    } else {
        route->get(&call);
    }
}
