/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "profile.h"

#include <string.h>

#include "../sched/sched.h"
#include "units.h"
#include "vgpu/attach.h"

typedef bool (*ProfileParse)(Profile *p, const char *value);

static bool parse_memory(Profile *p, const char *value)
{
    if (units_parse_percent(value, &p->memory_ppm)) {
        return true;
    }
    return units_parse_bytes(value, &p->memory_bytes) && p->memory_bytes >= PROFILE_MEMORY_MIN;
}

static bool parse_share(Profile *p, const char *value)
{
    return units_parse_percent(value, &p->share_ppm);
}

static bool parse_priority(Profile *p, const char *value)
{
    static const char *const names[] = { "low", "normal", "high" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(value, names[i])) {
            p->priority = i;
            return true;
        }
    }
    return false;
}

static bool parse_quantum(Profile *p, const char *value)
{
    return units_parse_duration(value, &p->quantum_us) &&
           (!p->quantum_us ||
            (p->quantum_us >= SCHED_QUANTUM_MIN_NS / 1000 && p->quantum_us <= SCHED_QUANTUM_MAX_NS / 1000));
}

static bool parse_apis(Profile *p, const char *value)
{
    g_auto(GStrv) words = units_parse_list(value);

    p->apis = 0;
    for (unsigned i = 0; words[i]; i++) {
        if (g_str_equal(words[i], "gl")) {
            p->apis |= PROFILE_API_GL;
        } else if (g_str_equal(words[i], "vulkan")) {
            p->apis |= PROFILE_API_VULKAN;
        } else {
            return false;
        }
    }
    return p->apis != 0;
}

static bool parse_displays(Profile *p, const char *value)
{
    return units_parse_uint(value, 1, 16, &p->displays);
}

static bool parse_max_resolution(Profile *p, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, "x", -1);

    return g_strv_length(parts) == 2 && units_parse_uint(parts[0], 320, 16384, &p->max_width) &&
           units_parse_uint(parts[1], 200, 16384, &p->max_height);
}

static bool parse_frame_rate_limit(Profile *p, const char *value)
{
    return units_parse_uint(value, 0, 1000, &p->frame_rate_limit);
}

static bool parse_max_contexts(Profile *p, const char *value)
{
    return units_parse_uint(value, 0, 65536, &p->max_contexts);
}

static bool parse_cpus(Profile *p, const char *value)
{
    p->cpus_all = g_str_equal(value, "all");
    return p->cpus_all || units_parse_uint(value, 1, 4096, &p->cpus);
}

static bool parse_isolation(Profile *p, const char *value)
{
    p->exclusive = g_str_equal(value, "exclusive");
    p->strict = g_str_equal(value, "strict");
    return p->exclusive || p->strict || g_str_equal(value, "shared");
}

static bool parse_hang_timeout(Profile *p, const char *value)
{
    return units_parse_duration(value, &p->hang_timeout_us) && p->hang_timeout_us >= 100000 &&
           p->hang_timeout_us <= 3600000000ull;
}

static bool parse_idle_timeout(Profile *p, const char *value)
{
    return units_parse_duration(value, &p->idle_timeout_us) &&
           (p->idle_timeout_us == 0 || p->idle_timeout_us >= 1000000);
}

static bool parse_groups(Profile *p, const char *value)
{
    g_strfreev(p->groups);
    p->groups = units_parse_list(value);
    return *p->groups != NULL;
}

/* One line per key: what is not here is an unknown key. */
static const struct {
    const char *key;
    ProfileParse parse;
    const char *expected;
} profile_keys[] = {
    { "memory", parse_memory, "16M or more (K, M, G, T), or a percentage of the GPU up to 100%" },
    { "share", parse_share, "a percentage of the GPU's time up to 100%" },
    { "priority", parse_priority, "low, normal or high" },
    { "quantum", parse_quantum, "a time from 500us to 30ms, or 0 for the GPU's default" },
    { "apis", parse_apis, "gl, vulkan or both" },
    { "displays", parse_displays, "a number from 1 to 16" },
    { "max-resolution", parse_max_resolution, "WIDTHxHEIGHT, from 320x200 to 16384x16384" },
    { "frame-rate-limit", parse_frame_rate_limit, "frames per second up to 1000, or 0 for no limit" },
    { "max-contexts", parse_max_contexts, "a number up to 65536, or 0 for no limit" },
    { "cpus", parse_cpus, "a number of host CPUs from 1, or all" },
    { "isolation", parse_isolation, "shared, strict or exclusive" },
    { "hang-timeout", parse_hang_timeout, "a time from 100ms to 1h" },
    { "idle-timeout", parse_idle_timeout, "a time from 1s, or 0 for never" },
    { "groups", parse_groups, "names of groups" },
};

static void profile_free(gpointer data)
{
    Profile *p = data;

    if (p) {
        g_free(p->name);
        g_free(p->origin);
        g_strfreev(p->groups);
        g_free(p);
    }
}

static Profile *profile_new(const char *name, const char *origin)
{
    Profile *p = g_new0(Profile, 1);

    p->name = g_strdup(name);
    p->origin = g_strdup(origin);
    p->priority = PROFILE_NORMAL;
    p->apis = PROFILE_API_GL | PROFILE_API_VULKAN;
    p->displays = 16;
    p->hang_timeout_us = 10000000;
    return p;
}

ProfileSet *profile_set_new(void)
{
    static const struct {
        const char *name;
        uint32_t ppm;
    } builtin[] = {
        { "full", 1000000 },  { "half", 500000 },     { "quarter", 250000 },
        { "eighth", 125000 }, { "sixteenth", 62500 },
    };
    ProfileSet *set = g_new0(ProfileSet, 1);

    set->profiles = g_ptr_array_new_with_free_func(profile_free);
    for (unsigned i = 0; i < G_N_ELEMENTS(builtin); i++) {
        Profile *p = profile_new(builtin[i].name, "built in");

        p->memory_ppm = builtin[i].ppm;
        p->share_ppm = builtin[i].ppm;
        g_ptr_array_add(set->profiles, p);
    }
    return set;
}

void profile_set_free(ProfileSet *set)
{
    if (set) {
        g_ptr_array_unref(set->profiles);
        g_free(set);
    }
}

const char *profile_apis_text(uint32_t apis)
{
    static const char *const texts[] = {
        [PROFILE_API_GL] = "gl",
        [PROFILE_API_VULKAN] = "vulkan",
        [PROFILE_API_GL | PROFILE_API_VULKAN] = "gl,vulkan",
    };

    return texts[apis & (PROFILE_API_GL | PROFILE_API_VULKAN)];
}

bool profile_set_value(Profile *p, const char *key, const char *value, char **why)
{
    g_autoptr(GString) all = NULL;

    for (unsigned k = 0; k < G_N_ELEMENTS(profile_keys); k++) {
        if (!g_str_equal(key, profile_keys[k].key)) {
            continue;
        }
        if (profile_keys[k].parse(p, value)) {
            return true;
        }
        *why = g_strdup_printf("%s=%s is not %s", key, value, profile_keys[k].expected);
        return false;
    }
    all = g_string_new(NULL);
    for (unsigned k = 0; k < G_N_ELEMENTS(profile_keys); k++) {
        g_string_append_printf(all, "%s%s", k ? ", " : "", profile_keys[k].key);
    }
    *why = g_strdup_printf("a profile has no key '%s'; the keys are: %s", key, all->str);
    return false;
}

static Profile *profile_parse(const Ini *ini, const char *name, GError **error)
{
    g_autofree char *origin = g_strdup_printf("%s:%u", ini->path, ini_line(ini, name, NULL));
    g_auto(GStrv) keys = g_key_file_get_keys(ini->keys, name, NULL, NULL);
    Profile *p = profile_new(name, origin);

    for (unsigned i = 0; keys && keys[i]; i++) {
        g_autofree char *value = ini_value(ini, name, keys[i], error), *why = NULL;

        if (!value) {
            goto fail;
        }
        if (!profile_set_value(p, keys[i], value, &why)) {
            ini_fail(ini, name, keys[i], error, "%s", why);
            goto fail;
        }
    }
    if (!p->memory_bytes && !p->memory_ppm) {
        ini_fail(ini, name, NULL, error,
                 "profile '%s' has no memory=; give it bytes (2G) or a percentage (25%%)", name);
        goto fail;
    }
    return p;

fail:
    profile_free(p);
    return NULL;
}

static bool profile_set_put(ProfileSet *set, const Ini *ini, Profile *p, GError **error)
{
    for (guint i = 0; i < set->profiles->len; i++) {
        Profile *old = set->profiles->pdata[i];

        if (!g_str_equal(old->name, p->name)) {
            continue;
        }
        if (!g_str_equal(old->origin, "built in")) {
            ini_fail(ini, p->name, NULL, error, "there is a profile '%s' already, at %s; rename one of them",
                     p->name, old->origin);
            profile_free(p);
            return false;
        }
        profile_free(old);
        set->profiles->pdata[i] = p;
        return true;
    }
    g_ptr_array_add(set->profiles, p);
    return true;
}

bool profile_set_add(ProfileSet *set, const Ini *ini, GError **error)
{
    g_auto(GStrv) names = g_key_file_get_groups(ini->keys, NULL);

    for (unsigned i = 0; names[i]; i++) {
        Profile *p;

        if (!units_name_valid(names[i])) {
            return ini_fail(ini, names[i], NULL, error,
                            "'%s' is no name for a profile: use up to %d letters, digits, '.', '_' and '-', "
                            "a letter or digit first",
                            names[i], VGPU_NAME_MAX - 1);
        }
        p = profile_parse(ini, names[i], error);
        if (!p || !profile_set_put(set, ini, p, error)) {
            return false;
        }
    }
    return true;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool profile_set_add_folder(ProfileSet *set, const char *folder, GError **error)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) local = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &local);
    const char *name;

    if (!dir) {
        if (g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    while ((name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, ".conf") && name[0] != '.') {
            g_ptr_array_add(files, g_build_filename(folder, name, NULL));
        }
    }
    g_ptr_array_sort(files, compare_names);
    for (guint i = 0; i < files->len; i++) {
        g_autoptr(Ini) ini = ini_load(files->pdata[i], error);

        if (!ini || !profile_set_add(set, ini, error)) {
            return false;
        }
    }
    return true;
}

bool profile_set_check(const ProfileSet *set, uint64_t largest_gpu, GError **error)
{
    for (guint i = 0; i < set->profiles->len; i++) {
        const Profile *p = set->profiles->pdata[i];

        if (p->memory_bytes > largest_gpu) {
            g_set_error(error, VGPUD_ERROR, 0,
                        "%s: profile '%s' needs %" G_GUINT64_FORMAT
                        " MiB, but the largest GPU of this host has %" G_GUINT64_FORMAT " MiB",
                        p->origin, p->name, (guint64)(p->memory_bytes / MIB), (guint64)(largest_gpu / MIB));
            return false;
        }
    }
    return true;
}

const Profile *profile_set_find(const ProfileSet *set, const char *name)
{
    if (!*name) {
        name = PROFILE_DEFAULT;
    }
    for (guint i = 0; i < set->profiles->len; i++) {
        const Profile *p = set->profiles->pdata[i];

        if (g_str_equal(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

char *profile_set_names(const ProfileSet *set)
{
    GString *s = g_string_new(NULL);

    for (guint i = 0; i < set->profiles->len; i++) {
        const Profile *p = set->profiles->pdata[i];

        g_string_append_printf(s, "%s%s", i ? ", " : "", p->name);
    }
    return g_string_free(s, FALSE);
}

uint64_t profile_memory(const Profile *p, uint64_t gpu_memory)
{
    uint64_t bytes = p->memory_bytes;

    if (!bytes) {
        bytes = (uint64_t)((unsigned __int128)gpu_memory * p->memory_ppm / PPM);
    }
    return MAX(bytes / MIB * MIB, PROFILE_MEMORY_MIN);
}

uint32_t profile_share(const Profile *p, uint64_t gpu_memory)
{
    uint64_t ppm = p->share_ppm;

    if (!ppm) {
        ppm = gpu_memory ? (uint64_t)((unsigned __int128)profile_memory(p, gpu_memory) * PPM / gpu_memory)
                         : PPM;
    }
    return CLAMP(ppm, 1, PPM);
}

/* On software rendering the CPUs are the GPU: a share of it is one of them. */
uint32_t profile_cpus_by_share(const Profile *p, uint32_t share_ppm, bool software, uint32_t online)
{
    if (p->cpus) {
        return MIN(p->cpus, online);
    }
    if (p->cpus_all || !software) {
        return 0;
    }
    return CLAMP(((uint64_t)share_ppm * online + PPM - 1) / PPM, 1, online);
}

uint32_t profile_cpus(const Profile *p, uint64_t gpu_memory, bool software, uint32_t online)
{
    return profile_cpus_by_share(p, profile_share(p, gpu_memory), software, online);
}
