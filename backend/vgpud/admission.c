/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admission.h"

#include <string.h>

#include "units.h"

/* What of a sentence names VMs and GPUs is cut here, so that its end is read. */
#define DETAIL_MAX 1100

static bool booked_on(const AdmissionBooking *b, const Gpu *gpu)
{
    return g_str_equal(b->gpu, gpu->name);
}

uint64_t admission_used(const Gpu *gpu, const AdmissionBooking *bookings, size_t count)
{
    uint64_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (booked_on(&bookings[i], gpu) && __builtin_add_overflow(used, bookings[i].memory, &used)) {
            return UINT64_MAX;
        }
    }
    return used;
}

uint64_t admission_free(const Gpu *gpu, const AdmissionBooking *bookings, size_t count)
{
    uint64_t used = admission_used(gpu, bookings, count);

    /* A GPU whose memory= was lowered may hold more than it has. */
    return used < gpu->memory ? gpu->memory - used : 0;
}

/* The VM that keeps all others off, or that would have to go for an exclusive one. */
static const char *admission_blocker(const Profile *p, const Gpu *gpu, const AdmissionBooking *bookings,
                                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (booked_on(&bookings[i], gpu) &&
            (bookings[i].exclusive || p->exclusive || gpu->policy == SCHED_EXCLUSIVE)) {
            return bookings[i].vm;
        }
    }
    return NULL;
}

unsigned admission_fits(const Profile *p, const Gpu *gpu, const AdmissionBooking *bookings, size_t count)
{
    uint64_t n;

    if (admission_blocker(p, gpu, bookings, count)) {
        return 0;
    }
    n = admission_free(gpu, bookings, count) / profile_memory(p, gpu->memory);
    return MIN(n, p->exclusive || gpu->policy == SCHED_EXCLUSIVE ? 1 : G_MAXUINT16);
}

/* "1024 of 8192 MiB are free on gpu0 (win10: 4096, ci-7: 3072)" */
static void describe_gpu(GString *s, const Gpu *gpu, const AdmissionBooking *bookings, size_t count)
{
    unsigned shown = 0, left = 0;

    g_string_append_printf(s, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " MiB are free on %s",
                           (guint64)(admission_free(gpu, bookings, count) / MIB),
                           (guint64)(gpu->memory / MIB), gpu->name);
    for (size_t i = 0; i < count; i++) {
        if (!booked_on(&bookings[i], gpu)) {
            continue;
        }
        if (s->len > DETAIL_MAX) {
            left++;
            continue;
        }
        g_string_append_printf(s, "%s%s: %" G_GUINT64_FORMAT, shown ? ", " : " (", bookings[i].vm,
                               (guint64)(bookings[i].memory / MIB));
        shown++;
    }
    if (left) {
        g_string_append_printf(s, "%s%u more", shown ? ", and " : " (", left);
        shown++;
    }
    if (shown) {
        g_string_append_c(s, ')');
    }
}

/* " Profiles that fit: eighth, sixteenth." */
static void describe_alternatives(GString *s, const ProfileSet *profiles, const GPtrArray *gpus,
                                  const AdmissionBooking *bookings, size_t count)
{
    unsigned shown = 0;

    for (guint i = 0; i < profiles->profiles->len; i++) {
        const Profile *p = profiles->profiles->pdata[i];
        bool fits = false;

        for (guint g = 0; g < gpus->len; g++) {
            fits |= admission_fits(p, gpus->pdata[g], bookings, count) > 0;
        }
        if (!fits) {
            continue;
        }
        if (s->len > VGPU_MESSAGE_MAX - 2 * VGPU_NAME_MAX) {
            g_string_append(s, ", ...");
            break;
        }
        g_string_append_printf(s, "%s%s", shown ? ", " : " Profiles that fit: ", p->name);
        shown++;
    }
    if (!shown) {
        g_string_append(s, " No profile fits: shut down one of these VMs first");
    }
    g_string_append_c(s, '.');
}

static char *refuse_full(const Profile *p, const ProfileSet *profiles, const GPtrArray *gpus,
                         const AdmissionBooking *bookings, size_t count)
{
    GString *s = g_string_new(NULL);
    const Gpu *first = gpus->pdata[0];
    const char *blocker = admission_blocker(p, first, bookings, count);

    if (blocker && p->exclusive) {
        g_string_append_printf(s,
                               "profile '%s' wants %s for itself (isolation=exclusive), but VM %s uses it; ",
                               p->name, first->name, blocker);
    } else if (blocker && first->policy == SCHED_EXCLUSIVE) {
        g_string_append_printf(s, "%s is for one VM at a time (policy exclusive), and VM %s uses it; ",
                               first->name, blocker);
    } else if (blocker) {
        g_string_append_printf(s, "VM %s has %s for itself (isolation=exclusive); ", blocker, first->name);
    } else {
        g_string_append_printf(s, "profile '%s' needs %" G_GUINT64_FORMAT " MiB of GPU memory; ", p->name,
                               (guint64)(profile_memory(p, first->memory) / MIB));
    }
    for (guint i = 0; i < gpus->len; i++) {
        if (s->len > DETAIL_MAX) {
            g_string_append_printf(s, " and no more on %u other GPUs", gpus->len - i);
            break;
        }
        if (i) {
            g_string_append(s, ", ");
        }
        describe_gpu(s, gpus->pdata[i], bookings, count);
    }
    g_string_append_c(s, '.');
    describe_alternatives(s, profiles, gpus, bookings, count);
    return g_string_free(s, FALSE);
}

/* "...; groups are: fast, slow" after the names of GPUs; to free. */
static char *gpu_and_group_names(const GPtrArray *gpus)
{
    g_autofree char *names = gpu_names(gpus);
    g_autoptr(GPtrArray) seen = g_ptr_array_new();
    GString *s = g_string_new(names);

    for (guint i = 0; i < gpus->len; i++) {
        const Gpu *g = gpus->pdata[i];

        for (char **group = g->groups; group && *group; group++) {
            if (!g_ptr_array_find_with_equal_func(seen, *group, g_str_equal, NULL)) {
                g_string_append_printf(s, "%s%s", seen->len ? ", " : "; groups are: ", *group);
                g_ptr_array_add(seen, *group);
            }
        }
    }
    return g_string_free(s, FALSE);
}

/* Those that a name means, in their order. */
static GPtrArray *candidates_for(const GPtrArray *gpus, const char *name)
{
    GPtrArray *all = g_ptr_array_new();
    bool any = !*name || g_str_equal(name, "auto");

    if (!any && gpu_find(gpus, name)) {
        g_ptr_array_add(all, gpu_find(gpus, name));
        return all;
    }
    for (guint i = 0; i < gpus->len; i++) {
        if (any || gpu_in_group(gpus->pdata[i], name)) {
            g_ptr_array_add(all, gpus->pdata[i]);
        }
    }
    return all;
}

/* Most free memory, of hardware or of software. */
static const Gpu *best_of(const GPtrArray *candidates, bool software, const Profile *p,
                          const AdmissionBooking *bookings, size_t count)
{
    const Gpu *best = NULL;

    for (guint i = 0; i < candidates->len; i++) {
        const Gpu *g = candidates->pdata[i];

        if (!g->node == software && admission_fits(p, g, bookings, count) &&
            (!best || admission_free(g, bookings, count) > admission_free(best, bookings, count))) {
            best = g;
        }
    }
    return best;
}

static char *refuse_names(const char *what, const char *name, const char *are, const char *names)
{
    g_autofree char *clean = units_clean_text(name);
    char *s = g_strdup_printf("there is no %s '%s'; %s: %s.", what, clean, are, names);

    if (strlen(s) >= VGPU_MESSAGE_MAX) {
        char *end = g_utf8_find_prev_char(s, s + VGPU_MESSAGE_MAX - 8);

        strcpy(end, " ...");
    }
    return s;
}

bool admission_resize(const Gpu *gpu, const AdmissionBooking *bookings, size_t count, size_t self,
                      uint64_t memory, bool exclusive, char **why)
{
    const AdmissionBooking *own = &bookings[self];
    uint64_t others = 0;
    GString *s;

    for (size_t i = 0; i < count; i++) {
        if (i == self || !booked_on(&bookings[i], gpu)) {
            continue;
        }
        if (exclusive && !own->exclusive) {
            *why = g_strdup_printf("VM %s would have %s for itself (isolation=exclusive), but VM %s uses it",
                                   own->vm, gpu->name, bookings[i].vm);
            return false;
        }
        if (__builtin_add_overflow(others, bookings[i].memory, &others)) {
            others = UINT64_MAX;
        }
    }
    if (memory <= own->memory || (others <= gpu->memory && memory <= gpu->memory - others)) {
        return true;
    }
    s = g_string_new(NULL);
    g_string_append_printf(
        s, "VM %s would have %" G_GUINT64_FORMAT " MiB of GPU memory instead of %" G_GUINT64_FORMAT "; ",
        own->vm, (guint64)(memory / MIB), (guint64)(own->memory / MIB));
    describe_gpu(s, gpu, bookings, count);
    *why = g_string_free(s, FALSE);
    return false;
}

bool admission_decide(const ProfileSet *profiles, const GPtrArray *gpus, const AdmissionBooking *bookings,
                      size_t count, const char *profile, const char *gpu, AdmissionGrant *grant,
                      enum vgpu_refusal *code, char **why)
{
    const Profile *p = profile_set_find(profiles, profile);
    g_autoptr(GPtrArray) candidates = candidates_for(gpus, gpu);
    const Gpu *best;

    if (!p) {
        g_autofree char *names = profile_set_names(profiles);

        *code = VGPU_REFUSED_NO_PROFILE;
        *why = refuse_names("profile", profile, "profiles are", names);
        return false;
    }
    if (!candidates->len) {
        g_autofree char *names = gpu_and_group_names(gpus);

        *code = VGPU_REFUSED_NO_GPU;
        *why = refuse_names("GPU", gpu, "GPUs of this host are", names);
        return false;
    }
    best = best_of(candidates, false, p, bookings, count);
    grant->last_resort = !best && ((Gpu *)candidates->pdata[0])->node;
    if (!best) {
        best = best_of(candidates, true, p, bookings, count);
    }
    if (!best) {
        *code = VGPU_REFUSED_FULL;
        *why = refuse_full(p, profiles, candidates, bookings, count);
        return false;
    }
    grant->profile = p;
    grant->gpu = best;
    grant->memory = profile_memory(p, best->memory);
    return true;
}
