/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vgpuctl set, set-profile, policy, stop, allow: one request each, all of it or nothing. */
#include "change.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "table.h"
#include "text.h"

static const char *const keys[] = {
    "share", "memory", "quantum", "priority", "frame-rate-limit", "hang-timeout", "profile", NULL,
};

static const char *const policies[] = { "best-effort", "equal-share", "fixed-share", "exclusive", NULL };

const char *const *change_keys(void)
{
    return keys;
}

const char *const *change_policies(void)
{
    return policies;
}

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits && (!text[digits] || (text[digits] == '.' && text[digits + 1] &&
                                        !text[digits + 1 + strspn(text + digits + 1, "0123456789")]));
}

/* share=30 is share=30%; a whole number of frames is a number; the rest goes as it was written. */
static JsonNode *value_node(const char *key, const char *value)
{
    JsonNode *node = json_node_alloc();
    guint64 number;

    if (g_str_equal(key, "share") && is_number(value)) {
        g_autofree char *percent = g_strconcat(value, "%", NULL);

        return json_node_init_string(node, percent);
    }
    if (g_str_equal(key, "frame-rate-limit") &&
        g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT32, &number, NULL)) {
        return json_node_init_int(node, (gint64)number);
    }
    return json_node_init_string(node, value);
}

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_propagate_error(error, g_error_new_valist(G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, ap));
    va_end(ap);
    return false;
}

static bool add_word(JsonObject *change, const char *word, GError **error)
{
    const char *equals = strchr(word, '=');
    g_autofree char *key = g_strndup(word, equals ? (gsize)(equals - word) : strlen(word));
    g_autofree char *member = g_strdelimit(g_strdup(key), "-", '_');
    g_autofree char *all = NULL;

    if (!g_strv_contains(keys, key)) {
        all = g_strjoinv(", ", (char **)keys);
        return fail(error, "there is no key '%s' to set; the keys are %s", key, all);
    }
    if (!equals || !equals[1]) {
        return fail(error, "'%s' has no value: write %s=VALUE", word, key);
    }
    if (!g_utf8_validate(equals + 1, -1, NULL)) {
        return fail(error, "the value of %s is not UTF-8", key);
    }
    if (json_object_has_member(change, member)) {
        return fail(error, "%s is set twice: once is enough", key);
    }
    json_object_set_member(change, member, value_node(key, equals + 1));
    return true;
}

JsonNode *change_parse(char *const *words, int count, GError **error)
{
    g_autoptr(JsonObject) change = json_object_new();
    JsonNode *root;

    for (int i = 0; i < count; i++) {
        if (!add_word(change, words[i], error)) {
            return NULL;
        }
    }
    root = json_node_alloc();
    return json_node_init_object(root, change);
}

char *change_describe(JsonObject *vm)
{
    static const struct {
        const char *before;
        char *(*cell)(JsonObject *row, const char *member);
        const char *member, *after;
    } parts[] = {
        { "profile ", table_text, "profile", "" },
        { "share ", table_percent, "share", "" },
        { "memory ", table_mib, "memory_limit_bytes", " MiB" },
        { "quantum ", table_duration, "quantum_us", "" },
        { "priority ", table_text, "priority", "" },
        { "frame rate limit ", table_number, "frame_rate_limit", "" },
        { "hang timeout ", table_duration, "hang_timeout_us", "" },
    };
    g_autofree char *name = table_text(vm, "vm"), *state = table_text(vm, "state");
    g_autofree char *cause = table_text(vm, "cause");
    GString *s = g_string_new(name ? name : "?");

    g_string_append_printf(s, ": %s", state ? state : "changed");
    if (cause && *cause) {
        g_string_append_printf(s, " (%s)", cause);
    }
    if (!json_object_get_boolean_member_with_default(vm, "allowed_3d", TRUE)) {
        g_string_append(s, "; no 3D until it is allowed");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *text = parts[i].cell(vm, parts[i].member);

        if (text && *text) {
            g_string_append_printf(s, "; %s%s%s", parts[i].before, text, parts[i].after);
        }
    }
    return g_string_free(s, FALSE);
}

/* ---- the commands ---- */

static JsonNode *send(const Ctl *ctl, const char *method, const char *path, JsonNode *body)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) client = client_new(&ctl->where, &error);
    JsonNode *root = client ? client_ask(client, method, path, body, &error) : NULL;

    if (!root) {
        command_fail(CTL_FAILED, "%s", error->message);
    }
    return root;
}

static int print_vm(const Ctl *ctl, JsonNode *root)
{
    if (!root) {
        return CTL_FAILED;
    }
    if (ctl->json) {
        command_print_json(root);
    } else if (JSON_NODE_HOLDS_OBJECT(root)) {
        g_autofree char *text = change_describe(json_node_get_object(root));

        printf("%s\n", text);
    }
    return CTL_OK;
}

static int patch_vm(const Ctl *ctl, JsonNode *change)
{
    g_autofree char *path = client_path("vms", ctl->argv[0]);
    g_autoptr(JsonNode) root = send(ctl, "PATCH", path, change);

    return print_vm(ctl, root);
}

int change_set(const Ctl *ctl)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) change = change_parse(ctl->argv + 1, ctl->argc - 1, &error);

    return change ? patch_vm(ctl, change) : command_fail(CTL_USAGE, "%s", error->message);
}

int change_profile(const Ctl *ctl)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *word = g_strconcat("profile=", ctl->argv[1], NULL);
    g_autoptr(JsonNode) change = change_parse(&word, 1, &error);

    return change ? patch_vm(ctl, change) : command_fail(CTL_USAGE, "%s", error->message);
}

int change_policy(const Ctl *ctl)
{
    g_autofree char *path = client_path("gpus", ctl->argv[0]);
    g_autoptr(JsonObject) change = json_object_new();
    g_autoptr(JsonNode) body = json_node_init_object(json_node_alloc(), change);
    g_autoptr(JsonNode) root = NULL;

    json_object_set_string_member(change, "policy", ctl->argv[1]);
    root = send(ctl, "PATCH", path, body);
    if (!root) {
        return CTL_FAILED;
    }
    if (ctl->json) {
        command_print_json(root);
    } else if (JSON_NODE_HOLDS_OBJECT(root)) {
        g_autofree char *name = table_text(json_node_get_object(root), "name");
        g_autofree char *policy = table_text(json_node_get_object(root), "policy");

        printf("%s: policy %s\n", name ? name : ctl->argv[0], policy ? policy : ctl->argv[1]);
    }
    return CTL_OK;
}

static int post_vm(const Ctl *ctl, const char *verb)
{
    g_autofree char *vm = client_path("vms", ctl->argv[0]);
    g_autofree char *path = g_strconcat(vm, "/", verb, NULL);
    g_autoptr(JsonNode) root = send(ctl, "POST", path, NULL);

    return print_vm(ctl, root);
}

int change_stop(const Ctl *ctl)
{
    return post_vm(ctl, "stop");
}

int change_allow(const Ctl *ctl)
{
    return post_vm(ctl, "allow");
}
