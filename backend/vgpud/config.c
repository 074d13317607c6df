/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "control.h"
#include "gpu.h"
#include "ids.h"
#include "units.h"
#include "vgpu/attach.h"

static void role_init(ConfigRole *r)
{
    r->uids = g_array_new(FALSE, FALSE, sizeof(uid_t));
    r->gids = g_array_new(FALSE, FALSE, sizeof(gid_t));
}

static void role_finish(ConfigRole *r)
{
    g_strfreev(r->names);
    g_array_unref(r->uids);
    g_array_unref(r->gids);
}

Config *config_new(void)
{
    Config *c = g_new0(Config, 1);

    c->sandbox = true;
    c->zygote = true;
    c->user_vms = 256;
    c->user_connections = 512;
    c->group = g_strdup("vgpu");
    c->kind = g_strdup("auto");
    c->memory_overhead = 512 * MIB;
    c->uid_base = IDS_DEFAULT;
    c->http_timeout_s = 10;
    c->gpu_memory = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    c->gpu_policy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    c->gpu_groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_strfreev);
    c->user_names = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    c->group_ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    role_init(&c->admin);
    role_init(&c->operator);
    role_init(&c->tenant);
    return c;
}

void config_free(Config *c)
{
    if (c) {
        g_free(c->group);
        g_free(c->renderer);
        g_free(c->vulkan_layer);
        g_free(c->record);
        g_free(c->kind);
        g_free(c->http_listen);
        g_free(c->http_certificate);
        g_free(c->http_key);
        g_free(c->http_tokens);
        g_strfreev(c->environment);
        g_hash_table_unref(c->gpu_memory);
        g_hash_table_unref(c->gpu_policy);
        g_hash_table_unref(c->gpu_groups);
        g_hash_table_unref(c->user_names);
        g_hash_table_unref(c->group_ids);
        role_finish(&c->admin);
        role_finish(&c->operator);
        role_finish(&c->tenant);
        g_free(c);
    }
}

bool config_kind_valid(const char *kind)
{
    static const char *const kinds[] = { "auto", "virgl", "2d", "null", NULL };

    return g_strv_contains(kinds, kind);
}

static void replace(char **where, const char *value)
{
    g_free(*where);
    *where = g_strdup(value);
}

static bool set_sandbox(Config *c, const char *value)
{
    c->sandbox = g_str_equal(value, "on");
    return c->sandbox || g_str_equal(value, "off");
}

static bool set_zygote(Config *c, const char *value)
{
    c->zygote = g_str_equal(value, "on");
    return c->zygote || g_str_equal(value, "off");
}

static bool set_gpus(Config *c, const char *value)
{
    static const char *const names[] = {
        [GPU_KINDS_AUTO] = "auto", [GPU_KINDS_SOFTWARE] = "software", [GPU_KINDS_ALL] = "all"
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(value, names[i])) {
            c->gpus = (GpuKinds)i;
            return true;
        }
    }
    return false;
}

static bool set_group(Config *c, const char *value)
{
    replace(&c->group, value);
    return *value != 0;
}

static bool set_policy(Config *c, const char *value)
{
    return control_policy_parse(value, &c->policy);
}

static bool set_user_vms(Config *c, const char *value)
{
    return units_parse_uint(value, 1, 65536, &c->user_vms);
}

static bool set_user_connections(Config *c, const char *value)
{
    return units_parse_uint(value, 1, 65536, &c->user_connections);
}

static bool set_path(Config *c, const char *value)
{
    replace(&c->renderer, value);
    return g_path_is_absolute(value);
}

static bool set_vulkan_layer(Config *c, const char *value)
{
    replace(&c->vulkan_layer, value);
    return g_path_is_absolute(value);
}

static bool set_record(Config *c, const char *value)
{
    replace(&c->record, value);
    return g_path_is_absolute(value);
}

static bool set_kind(Config *c, const char *value)
{
    replace(&c->kind, value);
    return config_kind_valid(value);
}

static bool set_overhead(Config *c, const char *value)
{
    return units_parse_bytes(value, &c->memory_overhead) && c->memory_overhead >= 64 * MIB;
}

static bool set_uid_base(Config *c, const char *value)
{
    return units_parse_uint(value, IDS_MIN, IDS_MAX, &c->uid_base);
}

static bool set_environment(Config *c, const char *value)
{
    g_strfreev(c->environment);
    c->environment = g_strsplit(value, ";", -1);
    for (unsigned i = 0; c->environment[i]; i++) {
        const char *eq = strchr(c->environment[i], '=');

        if (*c->environment[i] && (!eq || eq == c->environment[i])) {
            return false;
        }
    }
    return true;
}

static bool set_listen(Config *c, const char *value)
{
    replace(&c->http_listen, value);
    return strchr(value, ':') != NULL; /* the rest is remote.c's */
}

static bool set_file(char **where, const char *value)
{
    replace(where, value);
    return g_path_is_absolute(value);
}

static bool set_certificate(Config *c, const char *value)
{
    return set_file(&c->http_certificate, value);
}

static bool set_key(Config *c, const char *value)
{
    return set_file(&c->http_key, value);
}

static bool set_tokens(Config *c, const char *value)
{
    return set_file(&c->http_tokens, value);
}

static bool set_timeout(Config *c, const char *value)
{
    uint64_t us;

    if (!units_parse_duration(value, &us) || us < G_USEC_PER_SEC || us > 300 * (uint64_t)G_USEC_PER_SEC) {
        return false;
    }
    c->http_timeout_s = us / G_USEC_PER_SEC;
    return true;
}

/* Users and @groups; that they exist is looked at later. */
static bool set_role(ConfigRole *r, const char *value)
{
    g_strfreev(r->names);
    r->names = units_parse_list(value);
    return *r->names && !g_strv_contains((const char *const *)r->names, "@");
}

static bool set_admin(Config *c, const char *value)
{
    return set_role(&c->admin, value);
}

static bool set_operator(Config *c, const char *value)
{
    return set_role(&c->operator, value);
}

static bool set_tenant(Config *c, const char *value)
{
    return set_role(&c->tenant, value);
}

#define EXPECT_POLICY "best-effort, equal-share, fixed-share or exclusive"
#define EXPECT_ROLE   "a list of users and @groups"

static const struct {
    const char *group, *key;
    bool (*set)(Config *c, const char *value);
    const char *expected;
} config_keys[] = {
    { "vgpud", "sandbox", set_sandbox, "on or off" },
    { "vgpud", "gpus", set_gpus, "auto, software or all" },
    { "vgpud", "group", set_group, "a group's name" },
    { "vgpud", "policy", set_policy, EXPECT_POLICY },
    { "vgpud", "vms-per-user", set_user_vms, "a number from 1 to 65536" },
    { "vgpud", "connections-per-user", set_user_connections, "a number from 1 to 65536" },
    { "renderer", "path", set_path, "an absolute path" },
    { "renderer", "vulkan-layer", set_vulkan_layer, "an absolute path" },
    { "renderer", "record", set_record, "an absolute path" },
    { "renderer", "kind", set_kind, "auto, virgl, 2d or null" },
    { "renderer", "memory-overhead", set_overhead, "64M or more" },
    { "renderer", "uid-base", set_uid_base, "a user id from 65536 to 4294963198" },
    { "renderer", "zygote", set_zygote, "on or off" },
    { "renderer", "environment", set_environment, "KEY=VALUE, several separated by ';'" },
    { "http", "listen", set_listen, "ADDRESS:PORT" },
    { "http", "certificate", set_certificate, "an absolute path" },
    { "http", "key", set_key, "an absolute path" },
    { "http", "tokens", set_tokens, "an absolute path" },
    { "http", "timeout", set_timeout, "a time from 1s to 5min" },
    { "roles", "admin", set_admin, EXPECT_ROLE },
    { "roles", "operator", set_operator, EXPECT_ROLE },
    { "roles", "tenant", set_tenant, EXPECT_ROLE },
};

static bool known_group(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++) {
        if (g_str_equal(config_keys[i].group, name)) {
            return true;
        }
    }
    return false;
}

static bool config_add_gpu(Config *c, const Ini *ini, const char *group, const char *key, GError **error)
{
    const char *name = group + strlen("gpu ");
    g_autofree char *value = ini_value(ini, group, key, error);
    SchedPolicy policy;
    uint64_t bytes;

    if (!value) {
        return false;
    }
    if (g_str_equal(key, "policy")) {
        if (!control_policy_parse(value, &policy)) {
            return ini_fail(ini, group, key, error, "policy=%s is not " EXPECT_POLICY, value);
        }
        g_hash_table_insert(c->gpu_policy, g_strdup(name), GINT_TO_POINTER(policy));
        return true;
    }
    if (!g_str_equal(key, "memory")) {
        return ini_fail(ini, group, key, error, "a GPU has no key '%s'; the keys are: memory, policy", key);
    }
    if (!units_parse_bytes(value, &bytes) || bytes < 64 * MIB || bytes > 1024 * 1024 * GIB) {
        return ini_fail(ini, group, key, error, "memory=%s is not a size from 64M (K, M, G, T)", value);
    }
    g_hash_table_insert(c->gpu_memory, g_strdup(name), g_memdup2(&bytes, sizeof(bytes)));
    return true;
}

/* [group NAME]: what a VM may name in place of one GPU. */
static bool config_add_gpu_group(Config *c, const Ini *ini, const char *group, const char *key,
                                 GError **error)
{
    const char *name = group + strlen("group ");
    g_autofree char *value = NULL;
    g_auto(GStrv) gpus = NULL;

    if (!units_name_valid(name) || g_str_equal(name, "auto")) {
        return ini_fail(
            ini, group, NULL, error,
            "'%s' is no name for a group of GPUs: use up to %d letters, digits, '.', '_' and '-', a "
            "letter or digit first, and not 'auto'",
            name, VGPU_NAME_MAX - 1);
    }
    if (!g_str_equal(key, "gpus")) {
        return ini_fail(ini, group, key, error, "a group of GPUs has no key '%s'; the keys are: gpus", key);
    }
    value = ini_value(ini, group, key, error);
    if (!value) {
        return false;
    }
    gpus = units_parse_list(value);
    if (!gpus[0]) {
        return ini_fail(ini, group, key, error, "gpus=%s is not a list of names or PCI addresses of GPUs",
                        value);
    }
    g_hash_table_insert(c->gpu_groups, g_strdup(name), g_steal_pointer(&gpus));
    return true;
}

static bool config_add_key(Config *c, const Ini *ini, const char *group, const char *key, GError **error)
{
    g_autoptr(GString) all = g_string_new(NULL);
    g_autofree char *value = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++) {
        if (!g_str_equal(config_keys[i].group, group)) {
            continue;
        }
        g_string_append_printf(all, "%s%s", all->len ? ", " : "", config_keys[i].key);
        if (!g_str_equal(config_keys[i].key, key)) {
            continue;
        }
        value = ini_value(ini, group, key, error);
        if (!value) {
            return false;
        }
        if (!config_keys[i].set(c, value)) {
            return ini_fail(ini, group, key, error, "%s=%s is not %s", key, value, config_keys[i].expected);
        }
        return true;
    }
    return ini_fail(ini, group, key, error, "the group [%s] has no key '%s'; the keys are: %s", group, key,
                    all->str);
}

bool config_add(Config *c, const Ini *ini, GError **error)
{
    g_auto(GStrv) groups = g_key_file_get_groups(ini->keys, NULL);

    for (unsigned i = 0; groups[i]; i++) {
        g_auto(GStrv) keys = g_key_file_get_keys(ini->keys, groups[i], NULL, NULL);
        bool (*add)(Config *, const Ini *, const char *, const char *, GError **) = NULL;

        if (g_str_has_prefix(groups[i], "gpu ") && groups[i][4]) {
            add = config_add_gpu;
        } else if (g_str_has_prefix(groups[i], "group ") && groups[i][6]) {
            add = config_add_gpu_group;
        } else if (known_group(groups[i])) {
            add = config_add_key;
        } else {
            return ini_fail(
                ini, groups[i], NULL, error,
                "there is no group [%s] here; the groups are [vgpud], [renderer], [http], [roles], "
                "[gpu NAME] and [group NAME]; profiles go into profiles.d/*.conf",
                groups[i]);
        }
        for (unsigned k = 0; keys && keys[k]; k++) {
            if (!add(c, ini, groups[i], keys[k], error)) {
                return false;
            }
        }
    }
    return true;
}

bool config_add_folder(Config *c, const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "vgpud.conf", NULL);
    g_autoptr(GError) local = NULL;
    g_autoptr(Ini) ini = ini_load(path, &local);

    if (!ini) {
        if (g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    return config_add(c, ini, error);
}

/* A GPU that vgpud.conf names, NULL after a warning when the host has none of that name. */
static Gpu *named_gpu(GPtrArray *gpus, const char *name)
{
    Gpu *g = gpu_find(gpus, name);

    if (!g) {
        g_warning("vgpud.conf names a GPU '%s' that this host does not have", name);
    }
    return g;
}

static void apply_groups(const Config *c, GPtrArray *gpus)
{
    GHashTableIter iter;
    gpointer name, members;

    g_hash_table_iter_init(&iter, c->gpu_groups);
    while (g_hash_table_iter_next(&iter, &name, &members)) {
        if (gpu_find(gpus, name)) {
            g_warning("[group %s] in vgpud.conf has the name of a GPU: who names it gets that GPU",
                      (char *)name);
        }
        for (char **m = members; *m; m++) {
            Gpu *g = gpu_find(gpus, *m);

            if (!g) {
                g_warning("[group %s] in vgpud.conf names a GPU '%s' that this host does not have",
                          (char *)name, *m);
            } else if (!gpu_in_group(g, name)) {
                gpu_add_group(g, name);
            }
        }
    }
}

void config_apply(const Config *c, GPtrArray *gpus)
{
    GHashTableIter iter;
    gpointer name, value;
    Gpu *g;

    for (guint i = 0; i < gpus->len; i++) {
        ((Gpu *)gpus->pdata[i])->policy = c->policy;
    }
    g_hash_table_iter_init(&iter, c->gpu_memory);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g = named_gpu(gpus, name);
        if (g) {
            g->memory = *(uint64_t *)value;
            g->memory_guessed = false;
        }
    }
    g_hash_table_iter_init(&iter, c->gpu_policy);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g = named_gpu(gpus, name);
        if (g) {
            g->policy = (SchedPolicy)GPOINTER_TO_INT(value);
        }
    }
    apply_groups(c, gpus);
}
