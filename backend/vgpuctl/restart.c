/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpuctl restart: another renderer in the place of a VM's.  vgpud answers at once;
 * that the next one serves is seen by looking: another process, which has told what
 * it is.  Rolling, the next VM's turn comes only then, so that a new version
 * that does not work costs one VM its picture and not all.
 */
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "command.h"
#include "table.h"

#define LOOK_US 50000
#define WAIT_S  30

typedef struct Target {
    char *path, *name;
    gint64 pid; /* before */
    JsonNode *now;
} Target;

static void target_free(gpointer p)
{
    Target *t = p;

    g_free(t->path);
    g_free(t->name);
    g_clear_pointer(&t->now, json_node_unref);
    g_free(t);
}

static gint64 pid_of(JsonObject *vm)
{
    return json_object_has_member(vm, "pid") && !json_object_get_null_member(vm, "pid")
               ? json_object_get_int_member_with_default(vm, "pid", 0)
               : 0;
}

static bool is_text(JsonObject *vm, const char *member, const char *wanted)
{
    g_autofree char *text = table_text(vm, member);

    return wanted ? text && g_str_equal(text, wanted) : text && *text;
}

static Target *target_new(JsonObject *vm)
{
    g_autofree char *uuid = table_text(vm, "uuid"), *device = table_text(vm, "device");
    g_autofree char *id = g_strdup_printf("%s/%s", uuid ? uuid : "", device ? device : "");
    Target *t = g_new0(Target, 1);

    t->path = client_path("vms", id);
    t->name = table_text(vm, "vm");
    t->pid = pid_of(vm);
    return t;
}

static bool begin(Client *client, Target *t, GError **error)
{
    g_autofree char *path = g_strconcat(t->path, "/restart", NULL);

    t->now = client_ask(client, "POST", path, NULL, error);
    return t->now != NULL;
}

/* Until the new one serves. */
static bool wait_for(Client *client, Target *t, GError **error)
{
    gint64 end = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;

    while (g_get_monotonic_time() < end) {
        g_autoptr(JsonNode) now = client_ask(client, "GET", t->path, NULL, error);
        JsonObject *vm;
        gint64 pid;

        if (!now || !JSON_NODE_HOLDS_OBJECT(now)) {
            return false;
        }
        vm = json_node_get_object(now);
        pid = pid_of(vm);
        json_node_unref(t->now);
        t->now = json_node_ref(now);
        if (pid && pid != t->pid && is_text(vm, "state", "running") && is_text(vm, "kind", NULL)) {
            return true;
        }
        g_usleep(LOOK_US);
    }
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
        "VM %s has no new renderer after %d s: its QEMU asks for it, and says in its log why it gets none",
        t->name, WAIT_S);
    return false;
}

static void say(const Ctl *ctl, const Target *t)
{
    if (!ctl->json) {
        g_autofree char *text = change_describe(json_node_get_object(t->now));

        printf("%s\n", text);
        fflush(stdout);
    }
}

/* Those that run, or the one that was named. */
static GPtrArray *targets(const Ctl *ctl, Client *client, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(target_free);
    g_autoptr(JsonNode) root = NULL;

    if (!ctl->all) {
        g_autofree char *path = client_path("vms", ctl->argv[0]);

        root = client_ask(client, "GET", path, NULL, error);
        if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
            return NULL;
        }
        g_ptr_array_add(all, target_new(json_node_get_object(root)));
        return g_steal_pointer(&all);
    }
    root = client_get_array(client, "/v1/vms", error);
    if (!root) {
        return NULL;
    }
    for (guint i = 0; i < json_array_get_length(json_node_get_array(root)); i++) {
        JsonObject *vm = json_array_get_object_element(json_node_get_array(root), i);

        if (is_text(vm, "state", "running")) {
            g_ptr_array_add(all, target_new(vm));
        } else if (!ctl->json) {
            g_autofree char *name = table_text(vm, "vm"), *state = table_text(vm, "state");

            printf("%s: %s, left alone: its next renderer is a new one anyway\n", name ? name : "?",
                   state ? state : "?");
        }
    }
    return g_steal_pointer(&all);
}

static void print_json(const Ctl *ctl, const GPtrArray *all)
{
    g_autoptr(JsonArray) array = json_array_new();
    g_autoptr(JsonNode) root = NULL;

    if (!ctl->all) {
        command_print_json(((Target *)all->pdata[0])->now);
        return;
    }
    for (guint i = 0; i < all->len; i++) {
        json_array_add_element(array, json_node_ref(((Target *)all->pdata[i])->now));
    }
    root = json_node_init_array(json_node_alloc(), array);
    command_print_json(root);
}

int restart_run(const Ctl *ctl)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) client = NULL;
    g_autoptr(GPtrArray) all = NULL;

    if (ctl->all == (ctl->argc > 0)) {
        return command_fail(CTL_USAGE,
                            "write: vgpuctl restart VM, or vgpuctl restart --all; see vgpuctl --help");
    }
    if (ctl->rolling && !ctl->all) {
        return command_fail(CTL_USAGE, "--rolling goes with --all: one VM alone has nobody before it");
    }
    client = client_new(&ctl->where, &error);
    all = client ? targets(ctl, client, &error) : NULL;
    for (guint i = 0; all && !ctl->rolling && i < all->len; i++) {
        if (!begin(client, all->pdata[i], &error)) {
            return command_fail(CTL_FAILED, "%s", error->message);
        }
    }
    for (guint i = 0; all && i < all->len; i++) {
        Target *t = all->pdata[i];

        if ((ctl->rolling && !begin(client, t, &error)) || !wait_for(client, t, &error)) {
            break;
        }
        say(ctl, t);
    }
    if (!all || error) {
        return command_fail(CTL_FAILED, "%s", error ? error->message : "vgpud's answer is none");
    }
    if (ctl->json) {
        print_json(ctl, all);
    }
    return CTL_OK;
}
