/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <libsoup/soup.h>

#include "admission.h"
#include "launcher.h"
#include "metrics.h"
#include "promtext.h"
#include "units.h"
#include "vm.h"

struct HttpServer {
    SoupServer *soup;
};

static void add_int(JsonBuilder *b, const char *name, uint64_t value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_int_value(b, MIN(value, (uint64_t)G_MAXINT64));
}

static void add_text(JsonBuilder *b, const char *name, const char *value)
{
    json_builder_set_member_name(b, name);
    if (value) {
        json_builder_add_string_value(b, value);
    } else {
        json_builder_add_null_value(b);
    }
}

static void add_ppm(JsonBuilder *b, const char *name, uint32_t ppm)
{
    json_builder_set_member_name(b, name);
    json_builder_add_double_value(b, (double)ppm / PPM);
}

/* A counter of the renderer's page: its claim; null when there is no page. */
static void add_counter(JsonBuilder *b, const char *name, const Vm *vm, size_t offset)
{
    if (vm->page) {
        add_int(b, name, vgpu_stats_get((const uint64_t *)((const char *)vm->page + offset)));
    } else {
        add_text(b, name, NULL);
    }
}

static void add_vm(JsonBuilder *b, const Daemon *d, const Vm *vm)
{
    json_builder_begin_object(b);
    add_text(b, "vm", vm->name);
    add_text(b, "uuid", vm->uuid);
    add_text(b, "device", vm->device);
    add_text(b, "profile", vm->profile);
    add_text(b, "gpu", vm->gpu);
    add_text(b, "state", vm_state_name(vm->state));
    add_text(b, "cause", vm->cause);
    add_int(b, "memory_limit_bytes", vm->memory);
    add_counter(b, "memory_used_bytes", vm, offsetof(struct vgpu_stats, memory_used));
    add_counter(b, "memory_peak_bytes", vm, offsetof(struct vgpu_stats, memory_peak));
    add_counter(b, "allocations_denied", vm, offsetof(struct vgpu_stats, alloc_denied));
    add_counter(b, "contexts", vm, offsetof(struct vgpu_stats, contexts));
    add_counter(b, "frames", vm, offsetof(struct vgpu_stats, frames));
    add_int(b, "host_memory_bytes", vm->resident);
    add_int(b, "host_memory_cap_bytes", vm_memory_cap(d, vm));
    add_ppm(b, "share", vm->share);
    add_int(b, "cpus", vm->cpus);
    json_builder_set_member_name(b, "pid");
    if (vm->pid) {
        json_builder_add_int_value(b, vm->pid);
    } else {
        json_builder_add_null_value(b);
    }
    add_int(b, "restarts", vm->restarts);
    json_builder_set_member_name(b, "connected");
    json_builder_add_boolean_value(b, vm->client != NULL);
    json_builder_end_object(b);
}

static void add_vms(JsonBuilder *b, const Daemon *d)
{
    for (guint i = 0; i < d->books->vms->len; i++) {
        add_vm(b, d, d->books->vms->pdata[i]);
    }
}

static void add_profile(JsonBuilder *b, const Daemon *d, const Profile *p, const AdmissionBooking *bookings,
                        size_t count)
{
    unsigned in_use = 0, fits = 0;

    for (guint i = 0; i < d->books->vms->len; i++) {
        in_use += g_str_equal(((Vm *)d->books->vms->pdata[i])->profile, p->name);
    }
    json_builder_begin_object(b);
    add_text(b, "name", p->name);
    add_text(b, "origin", p->origin);
    /* of the first GPU; each GPU's below */
    add_int(b, "memory_bytes", profile_memory(p, ((Gpu *)d->gpus->pdata[0])->memory));
    add_ppm(b, "share", profile_share(p, ((Gpu *)d->gpus->pdata[0])->memory));
    add_int(b, "displays", p->displays);
    add_int(b, "max_contexts", p->max_contexts);
    json_builder_set_member_name(b, "gpus");
    json_builder_begin_array(b);
    for (guint i = 0; i < d->gpus->len; i++) {
        const Gpu *g = d->gpus->pdata[i];
        unsigned n = admission_fits(p, g, bookings, count);

        json_builder_begin_object(b);
        add_text(b, "gpu", g->name);
        add_int(b, "memory_bytes", profile_memory(p, g->memory));
        add_int(b, "cpus", profile_cpus(p, g->memory, !g->node, launcher_cpus_online()));
        add_int(b, "fits", n);
        json_builder_end_object(b);
        fits += n;
    }
    json_builder_end_array(b);
    add_int(b, "fits", fits);
    add_int(b, "in_use", in_use);
    json_builder_end_object(b);
}

static void add_profiles(JsonBuilder *b, const Daemon *d)
{
    size_t count;
    g_autofree AdmissionBooking *bookings = books_bookings(d->books, &count);

    for (guint i = 0; i < d->profiles->profiles->len; i++) {
        add_profile(b, d, d->profiles->profiles->pdata[i], bookings, count);
    }
}

static void add_gpus(JsonBuilder *b, const Daemon *d)
{
    size_t count;
    g_autofree AdmissionBooking *bookings = books_bookings(d->books, &count);

    for (guint i = 0; i < d->gpus->len; i++) {
        const Gpu *g = d->gpus->pdata[i];
        unsigned vms = 0;

        for (size_t k = 0; k < count; k++) {
            vms += g_str_equal(bookings[k].gpu, g->name);
        }
        json_builder_begin_object(b);
        add_text(b, "name", g->name);
        add_text(b, "driver", g->driver);
        add_text(b, "node", g->node);
        add_text(b, "pci", g->pci);
        add_int(b, "memory_bytes", g->memory);
        add_int(b, "memory_booked_bytes", admission_used(g, bookings, count));
        add_int(b, "memory_free_bytes", admission_free(g, bookings, count));
        json_builder_set_member_name(b, "memory_guessed");
        json_builder_add_boolean_value(b, g->memory_guessed);
        add_int(b, "vms", vms);
        json_builder_end_object(b);
    }
}

static const struct {
    const char *path;
    void (*add)(JsonBuilder *b, const Daemon *d);
} http_paths[] = {
    { "/v1/vms", add_vms },
    { "/v1/profiles", add_profiles },
    { "/v1/gpus", add_gpus },
};

static void answer(SoupServerMessage *msg, unsigned status, JsonBuilder *b)
{
    g_autoptr(JsonNode) root = json_builder_get_root(b);
    g_autofree char *text = json_to_string(root, TRUE);
    g_autofree char *line = g_strconcat(text, "\n", NULL);

    soup_server_message_set_status(msg, status, NULL);
    soup_server_message_set_response(msg, "application/json", SOUP_MEMORY_COPY, line, strlen(line));
}

static void answer_error(SoupServerMessage *msg, unsigned status, const char *sentence)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    add_text(b, "error", sentence);
    json_builder_end_object(b);
    answer(msg, status, b);
}

static void on_request(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                       gpointer opaque)
{
    Daemon *d = opaque;

    if (g_str_equal(path, "/metrics") && soup_server_message_get_method(msg) == SOUP_METHOD_GET) {
        char *text = metrics_text(d, NULL);

        soup_server_message_set_status(msg, SOUP_STATUS_OK, NULL);
        soup_server_message_set_response(msg, PROMTEXT_TYPE, SOUP_MEMORY_TAKE, text, strlen(text));
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(http_paths); i++) {
        g_autoptr(JsonBuilder) b = NULL;

        if (!g_str_equal(path, http_paths[i].path)) {
            continue;
        }
        if (soup_server_message_get_method(msg) != SOUP_METHOD_GET) {
            answer_error(msg, SOUP_STATUS_METHOD_NOT_ALLOWED, "only GET is allowed here");
            return;
        }
        b = json_builder_new();
        json_builder_begin_array(b);
        http_paths[i].add(b, d);
        json_builder_end_array(b);
        answer(msg, SOUP_STATUS_OK, b);
        return;
    }
    answer_error(msg, SOUP_STATUS_NOT_FOUND,
                 "there is no such page; there are /v1/vms, /v1/profiles, /v1/gpus and /metrics");
}

HttpServer *http_serve(Daemon *d, int fd, GError **error)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, error);
    HttpServer *s;

    if (!socket) {
        return NULL;
    }
    s = g_new0(HttpServer, 1);
    s->soup = soup_server_new("server-header", "vgpud/" VGPU_VERSION, NULL);
    soup_server_add_handler(s->soup, NULL, on_request, d, NULL);
    if (!soup_server_listen_socket(s->soup, socket, 0, error)) {
        http_free(s);
        return NULL;
    }
    return s;
}

void http_free(HttpServer *s)
{
    if (s) {
        soup_server_disconnect(s->soup);
        g_object_unref(s->soup);
        g_free(s);
    }
}
