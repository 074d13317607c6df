/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A table of families, each with what writes its samples.  The labels of a
 * VM's series never change while it is there: (uuid, device) is its key, vm
 * its name, gpu where it is.  What can change (profile, state) stands in
 * vgpu_info alone, to be joined by (uuid, device), so that a new profile
 * begins no new series.
 *
 * Nothing is kept for those who ask: figures.h sees to it that no counter goes
 * back and that they do not disturb each other.
 */
#include "metrics.h"

#include "figures.h"
#include "gpu.h"
#include "promtext.h"
#include "units.h"

/* A VM of the page. */
typedef struct Row {
    const Vm *vm;
    char *labels;
    VmFigures f;
} Row;

#define CLAIM "; as the VM's renderer claims"

typedef struct VmFamily {
    const char *name, *type, *help;
    void (*add)(GString *s, const char *name, const Row *r);
} VmFamily;

static void add_info(GString *s, const char *name, const Row *r)
{
    g_autofree char *more =
        promtext_labels("profile", r->vm->profile, "state", vm_state_name(r->vm->state), NULL);

    promtext_uint(s, name, r->labels, more, 1);
}

static void add_memory_used(GString *s, const char *name, const Row *r)
{
    if (r->f.known) {
        promtext_uint(s, name, r->labels, NULL, r->f.memory_used);
    }
}

static void add_memory_limit(GString *s, const char *name, const Row *r)
{
    promtext_uint(s, name, r->labels, NULL, r->vm->memory);
}

static void add_memory_peak(GString *s, const char *name, const Row *r)
{
    if (r->f.known) {
        promtext_uint(s, name, r->labels, NULL, r->f.memory_peak);
    }
}

static void add_alloc_denied(GString *s, const char *name, const Row *r)
{
    if (r->f.known) {
        promtext_uint(s, name, r->labels, "reason=\"quota\"", r->f.alloc_denied);
    }
}

static void add_gpu_time(GString *s, const char *name, const Row *r)
{
    g_autofree char *more = promtext_labels("engine", "render", "source", r->f.gpu_time_source, NULL);

    promtext_seconds(s, name, r->labels, more, r->f.lease.used_ns);
}

static void add_share(GString *s, const char *name, const Row *r)
{
    promtext_ratio(s, name, r->labels, NULL, r->f.gpu_share);
}

static void add_share_limit(GString *s, const char *name, const Row *r)
{
    promtext_ratio(s, name, r->labels, NULL, (double)r->vm->share / PPM);
}

static void add_queue_wait(GString *s, const char *name, const Row *r)
{
    promtext_histogram(s, name, r->labels, leases_wait_bound, r->f.lease.waits, LEASES_WAIT_BUCKETS,
                       r->f.lease.wait_ns);
}

static void add_queue_depth(GString *s, const char *name, const Row *r)
{
    promtext_uint(s, name, r->labels, NULL, r->f.lease.queue_depth);
}

static void add_preemptions(GString *s, const char *name, const Row *r)
{
    promtext_uint(s, name, r->labels, NULL, r->f.lease.preemptions);
}

static void add_overshoot(GString *s, const char *name, const Row *r)
{
    promtext_seconds(s, name, r->labels, NULL, r->f.lease.overshoot_ns);
}

static void add_resets(GString *s, const char *name, const Row *r)
{
    for (unsigned i = 0; i < VM_RESET_COUNT; i++) {
        g_autofree char *more = promtext_labels("cause", vm_reset_name(i), NULL);

        promtext_uint(s, name, r->labels, more, r->vm->resets[i]);
    }
    if (r->f.known) {
        promtext_uint(s, name, r->labels, "cause=\"context_hang\"", r->f.contexts_hung);
    }
}

static void add_restarts(GString *s, const char *name, const Row *r)
{
    promtext_uint(s, name, r->labels, NULL, r->vm->restarts);
}

static void add_submit_age(GString *s, const char *name, const Row *r)
{
    if (r->f.known) {
        promtext_seconds(s, name, r->labels, NULL, r->f.last_submit_age_ns);
    }
}

static void add_frames(GString *s, const char *name, const Row *r)
{
    if (r->f.known) {
        promtext_uint(s, name, r->labels, NULL, r->f.frames);
    }
}

static void add_frame_rate_limit(GString *s, const char *name, const Row *r)
{
    promtext_uint(s, name, r->labels, NULL, r->vm->frame_rate_limit);
}

static const VmFamily vm_families[] = {
    { "vgpu_info", "gauge", "A VM's slice of a GPU: 1, with its profile and state", add_info },
    { "vgpu_memory_used_bytes", "gauge", "GPU memory in use" CLAIM, add_memory_used },
    { "vgpu_memory_limit_bytes", "gauge", "GPU memory the VM may use", add_memory_limit },
    { "vgpu_memory_peak_bytes", "gauge", "Most GPU memory that was in use at once" CLAIM, add_memory_peak },
    { "vgpu_alloc_denied_total", "counter", "Allocations refused because the slice was full" CLAIM,
      add_alloc_denied },
    { "vgpu_gpu_time_seconds_total", "counter",
      "GPU time charged; source=cpu: the CPU time of software rendering over the CPUs of the host stands in "
      "for it",
      add_gpu_time },
    { "vgpu_gpu_share_ratio", "gauge",
      "Share of the GPU's time used, over about the last second or since anybody asked before that",
      add_share },
    { "vgpu_gpu_share_limit_ratio", "gauge", "Share of the GPU's time promised to the VM", add_share_limit },
    { "vgpu_queue_wait_seconds", "histogram", "Time work waited for the GPU because others had it",
      add_queue_wait },
    { "vgpu_queue_depth", "gauge", "Commands that wait for the GPU now" CLAIM, add_queue_depth },
    { "vgpu_preemptions_total", "counter", "Times the GPU was asked back because another VM waited",
      add_preemptions },
    { "vgpu_overshoot_seconds_total", "counter", "GPU time used past the ends of time slices",
      add_overshoot },
    { "vgpu_resets_total", "counter",
      "Renderers the VM lost while it ran, and with them its contexts; cause=context_hang: Vulkan contexts "
      "that were ended alone because their work hung" CLAIM,
      add_resets },
    { "vgpu_renderer_restarts_total", "counter", "Renderers started for the VM after its first",
      add_restarts },
    { "vgpu_last_submit_age_seconds", "gauge",
      "Time since the last 3D command, or since the VM came when there was none" CLAIM, add_submit_age },
    { "vgpu_frames_presented_total", "counter", "Frames shown on the VM's screens" CLAIM, add_frames },
    { "vgpu_frame_rate_limit", "gauge", "Frames per second the VM may show, 0: no bound",
      add_frame_rate_limit },
};

static void add_vms(GString *s, Daemon *d, const Caller *caller, uint64_t now)
{
    const GPtrArray *vms = d->books->vms;
    g_autofree Row *rows = g_new0(Row, vms->len + 1);
    unsigned count = 0;

    for (guint i = 0; i < vms->len; i++) {
        Vm *vm = vms->pdata[i];
        Row *r = &rows[count];

        if (caller && !roles_may_see(caller, vm)) {
            continue;
        }
        r->vm = vm;
        r->labels =
            promtext_labels("vm", vm->name, "uuid", vm->uuid, "device", vm->device, "gpu", vm->gpu, NULL);
        figures_get(d, vm, now, &r->f);
        count++;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(vm_families); i++) {
        const VmFamily *f = &vm_families[i];

        promtext_family(s, f->name, f->type, f->help);
        for (unsigned k = 0; k < count; k++) {
            f->add(s, f->name, &rows[k]);
        }
    }
    for (unsigned k = 0; k < count; k++) {
        g_free(rows[k].labels);
    }
}

typedef struct Host { /* of one GPU */
    uint64_t total, reserved, free;
    double busy;
    char *labels;
} Host;

static void add_host_memory(GString *s, const char *name, const char *help, const Host *hosts, unsigned count,
                            size_t offset)
{
    promtext_family(s, name, "gauge", help);
    for (unsigned i = 0; i < count; i++) {
        promtext_uint(s, name, hosts[i].labels, NULL, G_STRUCT_MEMBER(uint64_t, &hosts[i], offset));
    }
}

static void add_hosts(GString *s, const Daemon *d, uint64_t now)
{
    size_t booked;
    g_autofree AdmissionBooking *bookings = books_bookings(d->books, &booked);
    g_autofree Host *hosts = g_new0(Host, d->gpus->len + 1);
    unsigned count = d->gpus->len;

    for (unsigned i = 0; i < count; i++) {
        Gpu *g = d->gpus->pdata[i];

        hosts[i] = (Host){
            .total = g->memory,
            .reserved = admission_used(g, bookings, booked),
            .free = admission_free(g, bookings, booked),
            .busy = figures_gpu_busy(d, g, now),
            .labels = promtext_labels("gpu", g->name, NULL),
        };
    }
    add_host_memory(s, "vgpu_host_memory_total_bytes", "GPU memory there is to share", hosts, count,
                    G_STRUCT_OFFSET(Host, total));
    add_host_memory(s, "vgpu_host_memory_free_bytes", "GPU memory that no VM has reserved", hosts, count,
                    G_STRUCT_OFFSET(Host, free));
    add_host_memory(s, "vgpu_host_memory_reserved_bytes", "GPU memory that VMs have reserved, used or not",
                    hosts, count, G_STRUCT_OFFSET(Host, reserved));
    promtext_family(s, "vgpu_host_busy_ratio", "gauge",
                    "Share of the GPU's time that VMs used, over about the last second or since anybody "
                    "asked before that");
    for (unsigned i = 0; i < count; i++) {
        promtext_ratio(s, "vgpu_host_busy_ratio", hosts[i].labels, NULL, hosts[i].busy);
        g_free(hosts[i].labels);
    }
}

static void add_admission(GString *s, const Daemon *d)
{
    static const struct {
        enum vgpu_refusal code;
        const char *reason;
    } refusals[] = {
        { VGPU_REFUSED_MALFORMED, "reason=\"malformed\"" },
        { VGPU_REFUSED_VERSION, "reason=\"version\"" },
        { VGPU_REFUSED_NO_PROFILE, "reason=\"no_profile\"" },
        { VGPU_REFUSED_NO_GPU, "reason=\"no_gpu\"" },
        { VGPU_REFUSED_FULL, "reason=\"full\"" },
        { VGPU_REFUSED_IN_USE, "reason=\"in_use\"" },
        { VGPU_REFUSED_START, "reason=\"start\"" },
        { VGPU_REFUSED_DENIED, "reason=\"denied\"" },
        { VGPU_REFUSED_LIMIT, "reason=\"limit\"" },
    };
    uint64_t other = 0;

    promtext_family(s, "vgpu_admission_accepted_total", "counter", "VMs that got a slice of a GPU");
    promtext_uint(s, "vgpu_admission_accepted_total", NULL, NULL, d->accepted);
    promtext_family(s, "vgpu_admission_denied_total", "counter", "Requests for a slice that were refused");
    for (unsigned i = 0; i < DAEMON_REFUSALS; i++) {
        other += d->denied[i];
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        uint64_t n = d->denied[refusals[i].code];

        promtext_uint(s, "vgpu_admission_denied_total", NULL, refusals[i].reason, n);
        other -= n;
    }
    promtext_uint(s, "vgpu_admission_denied_total", NULL, "reason=\"other\"", other);
}

char *metrics_text(Daemon *d, const Caller *caller)
{
    GString *s = g_string_new(NULL);
    uint64_t now = figures_now();

    add_vms(s, d, caller, now);
    add_hosts(s, d, now);
    add_admission(s, d);
    return g_string_free(s, FALSE);
}
