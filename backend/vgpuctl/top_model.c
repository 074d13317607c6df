/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top_model.h"

#include <math.h>

#include "text.h"

const TableColumn top_columns[TOP_COLUMNS] = {
    [TOP_VM] = { "VM", NULL, NULL, false },          [TOP_PROFILE] = { "PROFILE", NULL, NULL, false },
    [TOP_GPU] = { "GPU", NULL, NULL, false },        [TOP_STATE] = { "STATE", NULL, NULL, false },
    [TOP_TIME] = { "TIME%", NULL, NULL, true },      [TOP_SHARE] = { "SHARE%", NULL, NULL, true },
    [TOP_USED] = { "USED/MiB", NULL, NULL, true },   [TOP_LIMIT] = { "LIMIT/MiB", NULL, NULL, true },
    [TOP_FRAMES] = { "FRAMES/s", NULL, NULL, true }, [TOP_WAIT] = { "WAIT%", NULL, NULL, true },
    [TOP_HANGS] = { "HANGS", NULL, NULL, true },
};

static const char *const names[] = {
    "vm", "profile", "gpu", "state", "time", "share", "memory", "limit", "frames", "wait", "hangs", NULL,
};

G_STATIC_ASSERT(G_N_ELEMENTS(names) == TOP_COLUMNS + 1);

const char *const *top_column_names(void)
{
    return names;
}

TopColumn top_column(const char *name)
{
    TopColumn c = 0;

    while (c < TOP_COLUMNS && g_ascii_strcasecmp(name, names[c]) &&
           g_ascii_strcasecmp(name, top_columns[c].title)) {
        c++;
    }
    return c;
}

static void vm_free(gpointer data)
{
    TopVm *vm = data;

    for (unsigned c = 0; c < TOP_COLUMNS; c++) {
        g_free(vm->text[c]);
    }
    g_free(vm->key);
    g_free(vm->gpu);
    json_object_unref(vm->object);
    g_free(vm);
}

static void gpu_free(gpointer data)
{
    TopGpu *g = data;

    g_free(g->name);
    g_free(g->policy);
    g_free(g->driver);
    json_object_unref(g->object);
    g_free(g);
}

void top_free(Top *t)
{
    if (t) {
        g_ptr_array_unref(t->vms);
        g_ptr_array_unref(t->gpus);
        g_free(t);
    }
}

/* A figure of vgpud's; NAN when it is not there or no figure. */
static double figure(JsonObject *o, const char *member)
{
    JsonNode *node = o ? json_object_get_member(o, member) : NULL;
    GType type = node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;

    return type == G_TYPE_INT64    ? (double)json_node_get_int(node)
           : type == G_TYPE_DOUBLE ? json_node_get_double(node)
                                   : NAN;
}

/*
 * What was added to a counter.  One that went back began anew (vgpud's or the
 * renderer's restart): what it shows was added since.
 */
static double added(JsonObject *now, JsonObject *before, const char *member)
{
    double a = figure(now, member), b = figure(before, member);

    return isnan(b) ? NAN : a >= b ? a - b : a;
}

static void put_figure(TopVm *vm, TopColumn c, double value, double scale, int decimals)
{
    vm->value[c] = value;
    g_free(vm->text[c]);
    vm->text[c] = isnan(value) ? g_strdup("-") : g_strdup_printf("%.*f", decimals, value * scale);
}

static void put_text(TopVm *vm, TopColumn c, const char *member)
{
    g_autofree char *text = table_text(vm->object, member);

    vm->text[c] = g_strdup(text && *text ? text : "-");
    vm->value[c] = NAN;
}

static void put_rates(TopVm *vm, const TopVm *before, double seconds)
{
    JsonObject *now = vm->object, *then = before ? before->object : NULL;
    double time = NAN, frames = NAN, wait = NAN;

    if (then && seconds > 0) {
        time = added(now, then, "gpu_time_ns") / 1e9 / seconds;
        frames = added(now, then, "frames") / seconds;
        wait = added(now, then, "queue_wait_ns") / 1e9 / seconds;
    }
    if (isnan(time)) {
        time = figure(now, "gpu_share");
    }
    /* both clocks tick unevenly: more than all of a GPU there is not */
    put_figure(vm, TOP_TIME, isnan(time) ? NAN : CLAMP(time, 0, 1), 100, 1);
    put_figure(vm, TOP_FRAMES, frames, 1, 0);
    put_figure(vm, TOP_WAIT, isnan(wait) ? NAN : CLAMP(wait, 0, 1), 100, 1);
}

static TopVm *find_vm(const Top *t, const char *key)
{
    for (guint i = 0; t && i < t->vms->len; i++) {
        TopVm *vm = t->vms->pdata[i];

        if (g_str_equal(vm->key, key)) {
            return vm;
        }
    }
    return NULL;
}

static TopVm *vm_new(JsonObject *o, const Top *before, double seconds)
{
    TopVm *vm = g_new0(TopVm, 1);
    g_autofree char *uuid = table_text(o, "uuid"), *device = table_text(o, "device");

    vm->object = json_object_ref(o);
    vm->key = g_strdup_printf("%s/%s", uuid ? uuid : "", device ? device : "");
    put_text(vm, TOP_VM, "vm");
    put_text(vm, TOP_PROFILE, "profile");
    put_text(vm, TOP_GPU, "gpu");
    put_text(vm, TOP_STATE, "state");
    vm->gpu = g_strdup(vm->text[TOP_GPU]);
    vm->running = g_str_equal(vm->text[TOP_STATE], "running");
    put_figure(vm, TOP_SHARE, figure(o, "share"), 100, 1);
    put_figure(vm, TOP_USED, figure(o, "memory_used_bytes"), 1.0 / (1 << 20), 0);
    put_figure(vm, TOP_LIMIT, figure(o, "memory_limit_bytes"), 1.0 / (1 << 20), 0);
    put_figure(vm, TOP_HANGS, figure(o, "hangs"), 1, 0);
    put_rates(vm, find_vm(before, vm->key), seconds);
    return vm;
}

static uint64_t bytes(JsonObject *o, const char *member)
{
    double value = figure(o, member);

    return value > 0 && value < 0x1p62 ? (uint64_t)value : 0;
}

static TopGpu *gpu_new(JsonObject *o, const Top *t)
{
    TopGpu *g = g_new0(TopGpu, 1);
    g_autofree char *name = table_text(o, "name");

    g->object = json_object_ref(o);
    g->name = g_strdup(name ? name : "-");
    g->policy = table_text(o, "policy");
    g->driver = table_text(o, "driver");
    g->memory = bytes(o, "memory_bytes");
    g->booked = bytes(o, "memory_booked_bytes");
    for (guint i = 0; i < t->vms->len; i++) {
        const TopVm *vm = t->vms->pdata[i];

        if (g_str_equal(vm->gpu, g->name)) {
            g->vms++;
            g->busy += vm->value[TOP_TIME]; /* one that is not known makes the sum so */
        }
    }
    g->own = json_object_has_member(o, "busy") && json_object_get_null_member(o, "busy");
    g->busy = isnan(g->busy) ? NAN : MIN(g->busy, 1);
    return g;
}

/* The objects of an array; whatever else is in it is passed over. */
static JsonObject *object_at(JsonArray *array, guint i)
{
    JsonNode *node = json_array_get_element(array, i);

    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

Top *top_new(JsonArray *vms, JsonArray *gpus, int64_t at_us, const Top *before)
{
    Top *t = g_new0(Top, 1);

    t->vms = g_ptr_array_new_with_free_func(vm_free);
    t->gpus = g_ptr_array_new_with_free_func(gpu_free);
    t->at_us = at_us;
    t->seconds = before && at_us > before->at_us ? (double)(at_us - before->at_us) / 1e6 : 0;
    for (guint i = 0; i < json_array_get_length(vms); i++) {
        JsonObject *o = object_at(vms, i);

        if (o) {
            g_autofree char *source = table_text(o, "gpu_time_source");

            g_ptr_array_add(t->vms, vm_new(o, before, t->seconds));
            t->cpu_time |= !g_strcmp0(source, "cpu");
        }
    }
    for (guint i = 0; i < json_array_get_length(gpus); i++) {
        if (object_at(gpus, i)) {
            g_ptr_array_add(t->gpus, gpu_new(object_at(gpus, i), t));
        }
    }
    return t;
}

typedef struct Order {
    TopColumn column;
    bool reverse;
} Order;

static gint compare(gconstpointer pa, gconstpointer pb, gpointer opaque)
{
    const TopVm *a = *(TopVm *const *)pa, *b = *(TopVm *const *)pb;
    const Order *o = opaque;
    int sign = o->reverse ? -1 : 1, result;

    if (top_columns[o->column].right) {
        double x = a->value[o->column], y = b->value[o->column];

        if (isnan(x) != isnan(y)) {
            return isnan(x) ? 1 : -1;
        }
        result = x > y ? -sign : x < y ? sign : 0;
    } else {
        result = sign * g_utf8_collate(a->text[o->column], b->text[o->column]);
    }
    return result ? result : g_strcmp0(a->key, b->key); /* lines must not change places for nothing */
}

void top_sort(Top *t, TopColumn column, bool reverse)
{
    Order o = { column, reverse };

    g_ptr_array_sort_with_data(t->vms, compare, &o);
}

static void set_figure(JsonObject *o, const char *member, double value)
{
    if (!isnan(value)) {
        json_object_set_double_member(o, member, value);
    }
}

/* What was measured goes into copies of vgpud's objects. */
static JsonObject *copy(JsonObject *o)
{
    JsonObject *c = json_object_new();
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    json_object_iter_init_ordered(&iter, o);
    while (json_object_iter_next_ordered(&iter, &name, &node)) {
        json_object_set_member(c, name, json_node_copy(node));
    }
    return c;
}

JsonNode *top_json(const Top *t)
{
    JsonNode *root = json_node_alloc();
    g_autoptr(JsonObject) o = json_object_new();
    JsonArray *vms = json_array_new(), *gpus = json_array_new();

    json_object_set_double_member(o, "seconds", t->seconds);
    for (guint i = 0; i < t->vms->len; i++) {
        const TopVm *vm = t->vms->pdata[i];
        JsonObject *c = copy(vm->object);

        set_figure(c, "gpu_share", vm->value[TOP_TIME]);
        set_figure(c, "frames_per_second", vm->value[TOP_FRAMES]);
        set_figure(c, "queue_wait_share", vm->value[TOP_WAIT]);
        json_array_add_object_element(vms, c);
    }
    for (guint i = 0; i < t->gpus->len; i++) {
        const TopGpu *g = t->gpus->pdata[i];
        JsonObject *c = copy(g->object);

        set_figure(c, "busy", g->busy);
        json_array_add_object_element(gpus, c);
    }
    json_object_set_array_member(o, "vms", vms);
    json_object_set_array_member(o, "gpus", gpus);
    return json_node_init_object(root, o);
}
