/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api_json.h"

#include "admission.h"
#include "control.h"
#include "figures.h"
#include "launcher.h"
#include "units.h"
#include "vgpu/channel.h"
#include "vm.h"

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

static void add_bool(JsonBuilder *b, const char *name, bool value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_boolean_value(b, value);
}

static void add_apis(JsonBuilder *b, uint32_t apis)
{
    g_auto(GStrv) names = g_strsplit(profile_apis_text(apis), ",", -1);

    json_builder_set_member_name(b, "apis");
    json_builder_begin_array(b);
    for (unsigned i = 0; names[i]; i++) {
        json_builder_add_string_value(b, names[i]);
    }
    json_builder_end_array(b);
}

static void add_ratio(JsonBuilder *b, const char *name, double ratio)
{
    json_builder_set_member_name(b, name);
    json_builder_add_double_value(b, CLAMP(ratio, 0, 1));
}

/* What vgpud cannot know is null, not 0. */
static void add_known(JsonBuilder *b, const char *name, bool known, uint64_t value)
{
    if (known) {
        add_int(b, name, value);
    } else {
        add_text(b, name, NULL);
    }
}

static const char *priority_name(ProfilePriority priority)
{
    static const char *const names[] = {
        [PROFILE_LOW] = "low", [PROFILE_NORMAL] = "normal", [PROFILE_HIGH] = "high"
    };

    return names[priority];
}

static const char *renderer_kind(const struct vgpu_stats *page)
{
    static const char *const kinds[] = {
        [VGPU_RENDERER_NULL] = "null", [VGPU_RENDERER_2D] = "2d", [VGPU_RENDERER_VIRGL] = "virgl"
    };
    uint64_t kind = page ? vgpu_stats_get(&page->kind) : G_MAXUINT64;

    return kind < G_N_ELEMENTS(kinds) ? kinds[kind] : NULL;
}

ApiView *api_view_new(Daemon *d, const Caller *caller)
{
    ApiView *view = g_new0(ApiView, 1);

    view->daemon = d;
    view->caller = caller;
    view->now_ns = figures_now();
    view->bookings = books_bookings(d->books, &view->count);
    return view;
}

void api_view_free(ApiView *view)
{
    g_free(view->bookings);
    g_free(view);
}

void api_json_vm(JsonBuilder *b, const ApiView *view, Vm *vm)
{
    const Daemon *d = view->daemon;
    g_autofree char *owner = roles_user_name(d->config, vm->owner);

    VmFigures f;

    figures_get(d, vm, view->now_ns, &f);
    json_builder_begin_object(b);
    add_text(b, "vm", vm->name);
    add_text(b, "uuid", vm->uuid);
    add_text(b, "device", vm->device);
    add_text(b, "owner", owner);
    add_int(b, "owner_uid", vm->owner);
    add_text(b, "profile", vm->profile);
    add_text(b, "gpu", vm->gpu);
    add_text(b, "state", vm_state_name(vm->state));
    add_text(b, "cause", vm->cause);
    add_text(b, "blame", vm->cause ? vm_reset_name(vm->reset) : NULL);
    add_int(b, "hangs", vm->resets[VM_RESET_HANG]);
    add_known(b, "contexts_hung", f.known, f.contexts_hung);
    add_int(b, "restarts", vm->restarts);
    add_int(b, "resets", vm_resets(vm));
    add_text(b, "last_reset", vm_resets(vm) ? vm_reset_name(vm->reset) : NULL);
    add_bool(b, "connected", vm->client != NULL);
    add_known(b, "pid", vm->pid, vm->pid);
    add_text(b, "kind", renderer_kind(vm->page));
    add_bool(b, "allowed_3d", !vm->no_3d);
    add_apis(b, vm->apis);
    add_ppm(b, "share", vm->share);
    add_text(b, "priority", priority_name(vm->priority));
    add_int(b, "quantum_us", vm->quantum_us);
    add_int(b, "frame_rate_limit", vm->frame_rate_limit);
    add_int(b, "hang_timeout_us", vm->hang_timeout_us);
    add_int(b, "cpus", vm->cpus);
    add_int(b, "memory_limit_bytes", vm->memory);
    add_int(b, "memory_held_bytes", vm->held);
    add_known(b, "memory_used_bytes", f.known, f.memory_used);
    add_known(b, "memory_peak_bytes", f.known, f.memory_peak);
    add_known(b, "allocations_denied", f.known, f.alloc_denied);
    add_known(b, "contexts", vm->page, vm->page ? vgpu_stats_get(&vm->page->contexts) : 0);
    add_known(b, "frames", f.known, f.frames);
    add_int(b, "host_memory_bytes", vm->resident);
    add_int(b, "host_memory_cap_bytes", vm_memory_cap(d, vm));
    add_int(b, "gpu_time_ns", f.lease.used_ns);
    add_text(b, "gpu_time_source", f.gpu_time_source);
    add_ratio(b, "gpu_share", f.gpu_share);
    add_int(b, "queue_wait_ns", f.lease.wait_ns);
    add_int(b, "queue_depth", f.lease.queue_depth);
    add_int(b, "preemptions", f.lease.preemptions);
    add_int(b, "overshoot_ns", f.lease.overshoot_ns);
    add_int(b, "understated_ns", f.lease.lied_ns);
    json_builder_end_object(b);
}

void api_json_profile(JsonBuilder *b, const ApiView *view, const Profile *p)
{
    const Daemon *d = view->daemon;
    const Gpu *first = d->gpus->pdata[0];
    unsigned in_use = 0, fits = 0;

    for (guint i = 0; i < d->books->vms->len; i++) {
        const Vm *vm = d->books->vms->pdata[i];

        in_use += roles_may_see(view->caller, vm) && g_str_equal(vm->profile, p->name);
    }
    json_builder_begin_object(b);
    add_text(b, "name", p->name);
    add_text(b, "origin", p->origin);
    /* of the first GPU; each GPU's below */
    add_int(b, "memory_bytes", profile_memory(p, first->memory));
    add_ppm(b, "share", profile_share(p, first->memory));
    add_int(b, "displays", p->displays);
    add_int(b, "max_contexts", p->max_contexts);
    add_apis(b, p->apis);
    json_builder_set_member_name(b, "gpus");
    json_builder_begin_array(b);
    for (guint i = 0; i < d->gpus->len; i++) {
        const Gpu *g = d->gpus->pdata[i];
        unsigned n = admission_fits(p, g, view->bookings, view->count);

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

void api_json_gpu(JsonBuilder *b, const ApiView *view, Gpu *g)
{
    const Daemon *d = view->daemon;
    uint64_t booked = 0;
    unsigned vms = 0;

    for (guint i = 0; i < d->books->vms->len; i++) {
        const Vm *vm = d->books->vms->pdata[i];

        if (roles_may_see(view->caller, vm) && g_str_equal(vm->gpu, g->name)) {
            booked += MAX(vm->memory, vm->held);
            vms++;
        }
    }
    json_builder_begin_object(b);
    add_text(b, "name", g->name);
    add_text(b, "driver", g->driver);
    add_text(b, "node", g->node);
    add_text(b, "pci", g->pci);
    add_text(b, "policy", control_policy_name(g->policy));
    add_int(b, "memory_bytes", g->memory);
    add_int(b, "memory_booked_bytes", booked);
    add_int(b, "memory_free_bytes", admission_free(g, view->bookings, view->count));
    add_bool(b, "memory_guessed", g->memory_guessed);
    add_int(b, "vms", vms);
    if (view->caller->role >= ROLE_OPERATOR) {
        add_ratio(b, "busy", figures_gpu_busy(d, g, view->now_ns));
    } else {
        add_text(b, "busy", NULL);
    }
    add_text(b, "gpu_time_source", g->node ? "lease" : "cpu");
    json_builder_end_object(b);
}

char *api_json_text(JsonBuilder *b)
{
    g_autoptr(JsonNode) root = json_builder_get_root(b);
    g_autofree char *text = json_to_string(root, TRUE);

    return g_strconcat(text, "\n", NULL);
}

char *api_json_error(const char *sentence)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    add_text(b, "error", sentence);
    json_builder_end_object(b);
    return api_json_text(b);
}
