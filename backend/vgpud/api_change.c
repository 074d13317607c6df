/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api_change.h"

#include <libsoup/soup.h>

#include "api_body.h"
#include "units.h"

/* What control.c refuses, in HTTP's words. */
static void refuse(ApiAnswer *a, const GError *error)
{
    static const unsigned statuses[] = {
        [0] = SOUP_STATUS_BAD_REQUEST,
        [CONTROL_ERROR_UNKNOWN] = SOUP_STATUS_NOT_FOUND,
        [CONTROL_ERROR_AMBIGUOUS] = SOUP_STATUS_CONFLICT,
        [CONTROL_ERROR_REFUSED] = SOUP_STATUS_CONFLICT,
    };
    bool known =
        error->domain == VGPUD_ERROR && error->code >= 0 && error->code < (int)G_N_ELEMENTS(statuses);

    api_refuse(a, known ? statuses[error->code] : SOUP_STATUS_CONFLICT, "%s", error->message);
}

Vm *api_find_vm(const Daemon *d, const Caller *caller, const char *id, ApiAnswer *a)
{
    /* a tenant must not even learn that another's VM has that name */
    g_autoptr(GPtrArray) seen = g_ptr_array_new();
    Books books = { .vms = seen };
    Daemon view = *d;
    g_autoptr(GError) error = NULL;
    Vm *vm;

    for (guint i = 0; i < d->books->vms->len; i++) {
        if (roles_may_see(caller, d->books->vms->pdata[i])) {
            g_ptr_array_add(seen, d->books->vms->pdata[i]);
        }
    }
    view.books = &books;
    vm = control_find_vm(&view, id, &error);
    if (!vm) {
        refuse(a, error);
    }
    return vm;
}

Gpu *api_find_gpu(const Daemon *d, const char *id, ApiAnswer *a)
{
    Gpu *g = gpu_find(d->gpus, id);
    g_autofree char *clean = units_clean_text(id);
    g_autofree char *all = gpu_names(d->gpus);

    if (!g) {
        api_refuse(a, SOUP_STATUS_NOT_FOUND, "this host has no GPU '%.60s'; it has %s", clean, all);
    }
    return g;
}

char *api_change_text(const ControlChange *change)
{
    GString *s = g_string_new(NULL);

    if (change->set & CONTROL_PROFILE) {
        g_string_append_printf(s, " profile=%s", change->profile);
    }
    if (change->set & CONTROL_SHARE) {
        g_string_append_printf(s, " share=%g%%", (double)change->share_ppm * 100 / PPM);
    }
    if (change->set & CONTROL_MEMORY && !change->memory) {
        g_string_append_printf(s, " memory=%g%%", (double)change->memory_ppm * 100 / PPM);
    } else if (change->set & CONTROL_MEMORY) {
        g_string_append_printf(s, " memory=%" G_GUINT64_FORMAT, (guint64)change->memory);
    }
    if (change->set & CONTROL_QUANTUM) {
        g_string_append_printf(s, " quantum=%" G_GUINT64_FORMAT "us", (guint64)change->quantum_us);
    }
    if (change->set & CONTROL_PRIORITY) {
        g_string_append_printf(s, " priority=%s",
                               change->priority == PROFILE_LOW    ? "low"
                               : change->priority == PROFILE_HIGH ? "high"
                                                                  : "normal");
    }
    if (change->set & CONTROL_FRAME_RATE) {
        g_string_append_printf(s, " frame-rate-limit=%u", change->frame_rate_limit);
    }
    if (change->set & CONTROL_HANG_TIMEOUT) {
        g_string_append_printf(s, " hang-timeout=%" G_GUINT64_FORMAT "us", (guint64)change->hang_timeout_us);
    }
    if (s->len) {
        g_string_erase(s, 0, 1);
    }
    return g_string_free(s, FALSE);
}

static bool is_json(ApiChange *c)
{
    const ApiRequest *r = c->request;

    if (r->length && (!r->content_type || g_ascii_strcasecmp(r->content_type, "application/json") != 0)) {
        api_refuse(c->answer, SOUP_STATUS_UNSUPPORTED_MEDIA_TYPE,
                   "the body must be JSON: send it with Content-Type: application/json");
        return false;
    }
    return true;
}

static bool find_vm(ApiChange *c)
{
    c->vm = api_find_vm(c->daemon, c->request->caller, c->id, c->answer);
    return c->vm != NULL;
}

void api_change_vm(ApiChange *c)
{
    g_autoptr(GError) error = NULL;
    ControlChange change = { 0 };

    if (is_json(c)) {
        if (!api_body_change(c->request->body, c->request->length, &change, &error)) {
            refuse(c->answer, error);
        } else {
            c->text = api_change_text(&change);
            if (find_vm(c) && !control_apply(c->daemon, c->vm, &change, &error)) {
                refuse(c->answer, error);
            }
        }
    }
    control_change_clear(&change);
}

static bool has_no_body(ApiChange *c)
{
    g_autoptr(GError) error = NULL;

    if (!is_json(c)) {
        return false;
    }
    if (!api_body_empty(c->request->body, c->request->length, &error)) {
        refuse(c->answer, error);
        return false;
    }
    return true;
}

void api_change_stop(ApiChange *c)
{
    g_autofree char *why = g_strdup_printf("stopped by %s", c->request->caller->who);
    g_autoptr(GError) error = NULL;

    if (has_no_body(c) && find_vm(c) && !control_stop(c->daemon, c->vm, why, &error)) {
        refuse(c->answer, error);
    }
}

void api_change_restart(ApiChange *c)
{
    g_autofree char *why = g_strdup_printf("restarted by %s", c->request->caller->who);
    g_autoptr(GError) error = NULL;

    if (has_no_body(c) && find_vm(c) && !control_restart(c->daemon, c->vm, why, &error)) {
        refuse(c->answer, error);
    }
}

void api_change_allow(ApiChange *c)
{
    g_autoptr(GError) error = NULL;

    if (has_no_body(c) && find_vm(c) && !control_allow(c->daemon, c->vm, &error)) {
        refuse(c->answer, error);
    }
}

void api_change_policy(ApiChange *c)
{
    g_autoptr(GError) error = NULL;
    SchedPolicy policy;

    if (!is_json(c)) {
        return;
    }
    if (!api_body_policy(c->request->body, c->request->length, &policy, &error)) {
        refuse(c->answer, error);
        return;
    }
    c->text = g_strdup_printf("policy=%s", control_policy_name(policy));
    c->gpu = api_find_gpu(c->daemon, c->id, c->answer);
    if (c->gpu && !control_policy(c->daemon, c->gpu->name, policy, &error)) {
        refuse(c->answer, error);
    }
}
