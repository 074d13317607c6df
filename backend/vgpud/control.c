/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A change is worked out on a copy of the VM's values, checked as a whole, and
 * then copied over: until the copy nothing has happened, after it nothing can
 * fail.  Then the values go to where they are in force: the lease (share,
 * priority, quantum, frame rate, hang timeout), the statistics page (memory),
 * the renderer's threads (CPUs), the state file.
 *
 * Memory below what is in use: the renderer's ledger refuses what is new, and
 * what there is stays until the guest lets go of it.  Until then it is booked
 * (Vm.held), or it would be promised to another VM while it is still taken, and
 * the renderer is not killed for having it.  How much it is, the renderer and
 * the kernel say; vgpud lets that figure only fall, from the old limit down.
 */
#include "control.h"

#include <string.h>

#include "hangs.h"
#include "ini.h"
#include "launcher.h"
#include "settings.h"
#include "units.h"
#include "vm.h"
#include "vm_lease.h"
#include "vm_page.h"

static bool fail(GError **error, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool fail(GError **error, int code, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    if (error) {
        *error = g_error_new_valist(VGPUD_ERROR, code, format, ap);
    }
    va_end(ap);
    return false;
}

/* ---- changes ---- */

static const struct {
    const char *key;
    unsigned set;
} control_keys[] = {
    { "profile", CONTROL_PROFILE },
    { "share", CONTROL_SHARE },
    { "memory", CONTROL_MEMORY },
    { "quantum", CONTROL_QUANTUM },
    { "priority", CONTROL_PRIORITY },
    { "frame-rate-limit", CONTROL_FRAME_RATE },
    { "hang-timeout", CONTROL_HANG_TIMEOUT },
};

void control_change_clear(ControlChange *c)
{
    g_free(c->profile);
    *c = (ControlChange){ 0 };
}

static bool unknown_key(const char *key, GError **error)
{
    g_autoptr(GString) all = g_string_new(NULL);
    g_autofree char *clean = units_clean_text(key);

    for (unsigned i = 0; i < G_N_ELEMENTS(control_keys); i++) {
        g_string_append_printf(all, "%s%s", i ? ", " : "", control_keys[i].key);
    }
    return fail(error, 0, "a running VM has no '%.64s' to change; there are: %s", clean, all->str);
}

/* "30" is a share of 30 %, as vgpuctl's users write it. */
static char *as_profile_writes(const char *key, const char *value)
{
    uint32_t number;

    if (g_str_equal(key, "share") && units_parse_uint(value, 0, 100, &number)) {
        return g_strconcat(value, "%", NULL);
    }
    return g_strdup(value);
}

bool control_change_parse(ControlChange *c, const char *key, const char *value, GError **error)
{
    g_autofree char *written = as_profile_writes(key, value), *why = NULL, *clean = NULL;
    Profile p = { 0 };
    unsigned k = 0;

    while (k < G_N_ELEMENTS(control_keys) && !g_str_equal(key, control_keys[k].key)) {
        k++;
    }
    if (k == G_N_ELEMENTS(control_keys)) {
        return unknown_key(key, error);
    }
    if (c->set & control_keys[k].set) {
        return fail(error, 0, "%s is there twice: say it once", key);
    }
    if (control_keys[k].set == CONTROL_PROFILE) {
        if (!*value || strlen(value) >= VGPU_NAME_MAX) {
            return fail(error, 0, "profile= wants the name of a profile");
        }
        c->profile = g_strdup(value);
    } else if (!profile_set_value(&p, key, written, &why)) {
        clean = units_clean_text(why);
        return fail(error, 0, "%.300s", clean);
    }
    switch (control_keys[k].set) {
    case CONTROL_SHARE:
        c->share_ppm = p.share_ppm;
        break;
    case CONTROL_MEMORY:
        c->memory = p.memory_bytes;
        c->memory_ppm = p.memory_ppm;
        break;
    case CONTROL_QUANTUM:
        c->quantum_us = p.quantum_us;
        break;
    case CONTROL_PRIORITY:
        c->priority = p.priority;
        break;
    case CONTROL_FRAME_RATE:
        c->frame_rate_limit = p.frame_rate_limit;
        break;
    case CONTROL_HANG_TIMEOUT:
        c->hang_timeout_us = p.hang_timeout_us;
        break;
    }
    c->set |= control_keys[k].set;
    return true;
}

/* ---- names ---- */

Vm *control_find_vm(const Daemon *d, const char *name, GError **error)
{
    g_autofree char *clean = units_clean_text(name);
    g_autoptr(GString) all = g_string_new(NULL);
    unsigned count = 0;
    Vm *found = NULL;

    for (guint i = 0; i < d->books->vms->len; i++) {
        Vm *vm = d->books->vms->pdata[i];
        g_autofree char *full = g_strdup_printf("%s/%s", vm->uuid, vm->device);

        if (g_strcmp0(name, full) == 0) {
            return vm;
        }
        if (!g_str_equal(name, vm->name) && g_ascii_strcasecmp(name, vm->uuid) != 0) {
            continue;
        }
        found = vm;
        if (count++ < 8) {
            g_string_append_printf(all, "%s%s", count > 1 ? ", " : "", full);
        }
    }
    if (count == 1) {
        return found;
    }
    if (!count) {
        fail(error, CONTROL_ERROR_UNKNOWN, "there is no VM '%.128s'", clean);
    } else {
        fail(error, CONTROL_ERROR_AMBIGUOUS, "'%.128s' means %u VMs; say which: %s%s", clean, count, all->str,
             count > 8 ? ", ..." : "");
    }
    return NULL;
}

/* ---- values ---- */

static const Profile *find_profile(const Daemon *d, const char *name, GError **error)
{
    const Profile *p = profile_set_find(d->profiles, name);

    if (!p) {
        g_autofree char *clean = units_clean_text(name), *names = profile_set_names(d->profiles);

        fail(error, 0, "there is no profile '%.64s'; profiles are: %.1000s", clean, names);
    }
    return p;
}

/* All values after the change, none in force yet; *name: of the new profile, or NULL. */
static bool work_out(Daemon *d, const Vm *vm, const ControlChange *c, const Gpu *gpu, Vm *wanted,
                     const char **name, GError **error)
{
    const Profile *p = profile_set_find(d->profiles, vm->profile);
    uint32_t cpus = launcher_cpus_online();

    *wanted = *vm;
    *name = NULL;
    if (c->set & CONTROL_PROFILE) {
        p = find_profile(d, c->profile, error);
        if (!p) {
            return false;
        }
        *name = p->name;
        settings_from_profile(wanted, p, gpu, cpus);
    }
    if (c->set & CONTROL_SHARE) {
        wanted->share = c->share_ppm;
        if (p) { /* it may be gone from the configuration since */
            settings_follow_share(wanted, p, gpu, cpus);
        }
    }
    if (c->set & CONTROL_MEMORY) {
        Profile only = { .memory_bytes = c->memory, .memory_ppm = c->memory_ppm };

        wanted->memory = profile_memory(&only, gpu->memory);
    }
    if (c->set & CONTROL_QUANTUM) {
        wanted->quantum_us = c->quantum_us;
    }
    if (c->set & CONTROL_PRIORITY) {
        wanted->priority = c->priority;
    }
    if (c->set & CONTROL_FRAME_RATE) {
        wanted->frame_rate_limit = c->frame_rate_limit;
    }
    if (c->set & CONTROL_HANG_TIMEOUT) {
        wanted->hang_timeout_us = c->hang_timeout_us;
    }
    return true;
}

static bool check_room(Daemon *d, const Vm *vm, const Vm *wanted, const Gpu *gpu, GError **error)
{
    g_autofree AdmissionBooking *bookings = NULL;
    g_autofree char *why = NULL;
    size_t count, self = 0;

    bookings = books_bookings(d->books, &count);
    while (self < count && d->books->vms->pdata[self] != vm) {
        self++;
    }
    if (self < count &&
        admission_resize(gpu, bookings, count, self, wanted->memory, wanted->exclusive, &why)) {
        return true;
    }
    return fail(error, CONTROL_ERROR_REFUSED, "%s", why ? why : "this VM is just leaving");
}

/*
 * What its ledger says, or what the kernel says of the process if that is more:
 * freed memory may stay with its allocator for a while.  Half of the driver's
 * part is left as room to move.
 */
static uint64_t held_now(const Daemon *d, const Vm *vm)
{
    uint64_t slack = (vm_memory_cap(d, vm) - MAX(vm->memory, vm->held)) / 2;
    uint64_t own = vm->resident > slack ? vm->resident - slack : 0;

    return vm->page ? MAX(vgpu_stats_get(&vm->page->memory_used), own) : UINT64_MAX;
}

void control_follow_memory(const Daemon *d, Vm *vm)
{
    if (vm->held) {
        vm->held = MIN(vm->held, held_now(d, vm));
        if (vm->held <= vm->memory) {
            vm->held = 0;
        }
    }
}

static void put_memory_in_force(const Daemon *d, Vm *vm, uint64_t before)
{
    if (vm->page) {
        vgpu_stats_set(&vm->page->memory_limit, vm->memory);
    }
    /* asked after the limit is in force: what is there now only falls */
    vm->held = vm->pid ? MAX(before, vm->held) : 0;
    control_follow_memory(d, vm);
}

static void put_in_force(Daemon *d, Vm *vm, const Gpu *gpu, const Vm *before)
{
    if (vm->memory != before->memory) {
        put_memory_in_force(d, vm, before->memory);
    }
    if (vm->cpus != before->cpus && vm->tree) {
        launcher_pin(vm->tree, vm->cpus, vm->slot);
    }
    vm_lease_update(d, vm);
    vm_page_changed(vm);
    vm_save_all(d);
}

bool control_apply(Daemon *d, Vm *vm, const ControlChange *c, GError **error)
{
    const Gpu *gpu = gpu_find(d->gpus, vm->gpu);
    Vm before = *vm, wanted;
    const char *name;

    if (!c->set) {
        return fail(error, 0,
                    "there is nothing to change: say at least one of profile, share, memory, quantum, "
                    "priority, frame-rate-limit and hang-timeout");
    }
    if (!gpu) {
        return fail(error, CONTROL_ERROR_REFUSED,
                    "VM %s was started on %s, which this host has no longer: start the VM again", vm->name,
                    vm->gpu);
    }
    if (!work_out(d, vm, c, gpu, &wanted, &name, error) || !check_room(d, vm, &wanted, gpu, error)) {
        return false;
    }
    settings_copy(vm, &wanted);
    if (name) {
        g_free(vm->profile);
        vm->profile = g_strdup(name);
    }
    put_in_force(d, vm, gpu, &before);
    return true;
}

void control_return(Daemon *d, Vm *vm, const Vm *departed, bool for_slice)
{
    const Gpu *gpu = gpu_find(d->gpus, vm->gpu);
    Vm wanted = *vm;

    vm->no_3d |= departed->no_3d;
    if (!for_slice || !g_str_equal(vm->gpu, departed->gpu)) {
        return;
    }
    settings_copy(&wanted, departed);
    if (!check_room(d, vm, &wanted, gpu, NULL)) {
        g_message("%s: back, with the values of profile %s: there is no room for those that were set",
                  vm->name, vm->profile);
        return;
    }
    settings_copy(vm, &wanted);
    g_free(vm->profile);
    vm->profile = g_strdup(departed->profile);
}

/* ---- GPUs ---- */

static const char *const policy_names[] = {
    [SCHED_BEST_EFFORT] = "best-effort",
    [SCHED_EQUAL_SHARE] = "equal-share",
    [SCHED_FIXED_SHARE] = "fixed-share",
    [SCHED_EXCLUSIVE] = "exclusive",
};

const char *control_policy_name(SchedPolicy policy)
{
    return policy_names[policy];
}

bool control_policy_parse(const char *text, SchedPolicy *policy)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(policy_names); i++) {
        if (g_str_equal(text, policy_names[i])) {
            *policy = (SchedPolicy)i;
            return true;
        }
    }
    return false;
}

bool control_policy(Daemon *d, const char *name, SchedPolicy policy, GError **error)
{
    Gpu *gpu = gpu_find(d->gpus, name);
    unsigned vms = 0;

    if (!gpu) {
        g_autofree char *clean = units_clean_text(name), *names = gpu_names(d->gpus);

        return fail(error, CONTROL_ERROR_UNKNOWN, "there is no GPU '%.64s'; GPUs of this host are: %.1000s",
                    clean, names);
    }
    for (guint i = 0; i < d->books->vms->len; i++) {
        vms += g_str_equal(((Vm *)d->books->vms->pdata[i])->gpu, gpu->name);
    }
    if (policy == SCHED_EXCLUSIVE && vms > 1) {
        return fail(error, CONTROL_ERROR_REFUSED,
                    "%u VMs are on %s, and policy exclusive is for one: shut the others down first", vms,
                    gpu->name);
    }
    gpu->policy = policy;
    gpu->policy_set = true;
    vm_lease_policy(d, gpu);
    vm_save_all(d);
    return true;
}

/* ---- 3D off and on ---- */

bool control_stop(Daemon *d, Vm *vm, const char *why, GError **error)
{
    if (vm->state == VM_STARTING || vm->state == VM_LEAVING) {
        return fail(error, CONTROL_ERROR_REFUSED, "VM %s is %s: try again in a moment", vm->name,
                    vm_state_name(vm->state));
    }
    vm->no_3d = true;
    if (vm->state == VM_RUNNING) {
        vm_kill(vm, VM_RESET_OPERATOR, why);
    }
    vm_save_all(d);
    return true;
}

bool control_restart(Daemon *d, Vm *vm, const char *why, GError **error)
{
    if (vm->making_room) {
        return fail(error, CONTROL_ERROR_REFUSED, "VM %s is being restarted already", vm->name);
    }
    if (vm->state == VM_LOST) {
        return fail(error, CONTROL_ERROR_REFUSED,
                    "VM %s has lost its renderer (%s): its next one is a new one anyway", vm->name,
                    vm->cause ? vm->cause : "it ended");
    }
    if (vm->state != VM_RUNNING) {
        return fail(error, CONTROL_ERROR_REFUSED, "VM %s is %s: try again in a moment", vm->name,
                    vm_state_name(vm->state));
    }
    vm_make_room(vm, why);
    return true;
}

bool control_allow(Daemon *d, Vm *vm, GError **error)
{
    if (vm->no_3d && vm->page) { /* its renderer is the 2D one, and makes room at the next reset */
        vgpu_stats_set(&vm->page->renew, 1);
    }
    vm->no_3d = false;
    hangs_forget(d->books->hangs, vm);
    vm_save_all(d);
    return true;
}
