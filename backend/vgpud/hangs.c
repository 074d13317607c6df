/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A VM is its UUID, its device and its user; one without -uuid has another UUID
 * each time, so its name stands for it.  Whoever may write a VM's command line
 * can make another VM of it, and that is not what this is against: it is
 * against a guest, which can shut down and be started again.
 *
 * What is no longer of use, hangs of long ago, is let go of at the next hang of
 * any VM.  Of one user's too many the oldest goes, first of those that are not
 * off.
 */
#include "hangs.h"

#include <string.h>

#include "units.h"

typedef struct Hung {
    char *vm; /* "uuid UUID" or "name NAME" */
    char *device;
    uid_t owner;
    bool off;
    int64_t at[HANGS_MOST]; /* the last one first; 0: none */
} Hung;

struct Hangs {
    GPtrArray *all; /* Hung, the one that hung last at the end */
};

static void hung_free(gpointer data)
{
    Hung *u = data;

    g_free(u->vm);
    g_free(u->device);
    g_free(u);
}

Hangs *hangs_new(void)
{
    Hangs *h = g_new0(Hangs, 1);

    h->all = g_ptr_array_new_with_free_func(hung_free);
    return h;
}

void hangs_free(Hangs *h)
{
    if (h) {
        g_ptr_array_unref(h->all);
        g_free(h);
    }
}

static char *key_of(const Vm *vm)
{
    return vm->uuid_given ? g_strconcat("uuid ", vm->uuid, NULL) : g_strconcat("name ", vm->name, NULL);
}

static guint find(const Hangs *h, const char *vm, const char *device, uid_t owner)
{
    guint i = 0;

    while (i < h->all->len) {
        const Hung *u = h->all->pdata[i];

        if (u->owner == owner && g_str_equal(u->vm, vm) && g_str_equal(u->device, device)) {
            break;
        }
        i++;
    }
    return i;
}

static guint find_vm(const Hangs *h, const Vm *vm)
{
    g_autofree char *key = key_of(vm);

    return find(h, key, vm->device, vm->owner);
}

static void drop_old(Hangs *h, int64_t now)
{
    for (guint i = h->all->len; i-- > 0;) {
        const Hung *u = h->all->pdata[i];

        if (!u->off && now - u->at[0] > HANGS_WITHIN) {
            g_ptr_array_remove_index(h->all, i);
        }
    }
}

static void make_room(Hangs *h, uid_t owner)
{
    guint own = 0, oldest = G_MAXUINT;
    bool whole = h->all->len >= HANGS_KEPT;

    for (guint i = h->all->len; i-- > 0;) {
        const Hung *u = h->all->pdata[i];

        own += u->owner == owner;
        if ((whole || u->owner == owner) &&
            (oldest == G_MAXUINT || !u->off || ((const Hung *)h->all->pdata[oldest])->off)) {
            oldest = i;
        }
    }
    if (own >= HANGS_KEPT / 16 || whole) {
        g_ptr_array_remove_index(h->all, oldest);
    }
}

/* The one of that VM, at the end of the list; made when there is none. */
static Hung *hung_of(Hangs *h, const Vm *vm)
{
    guint i = find_vm(h, vm);
    Hung *u;

    if (i < h->all->len) {
        u = g_ptr_array_steal_index(h->all, i);
    } else {
        make_room(h, vm->owner);
        u = g_new0(Hung, 1);
        u->vm = key_of(vm);
        u->device = g_strdup(vm->device);
        u->owner = vm->owner;
    }
    g_ptr_array_add(h->all, u);
    return u;
}

bool hangs_add(Hangs *h, const Vm *vm, int64_t now)
{
    int64_t first;
    Hung *u;

    drop_old(h, now);
    u = hung_of(h, vm);
    memmove(u->at + 1, u->at, (HANGS_MOST - 1) * sizeof(u->at[0]));
    u->at[0] = MAX(now, 1);
    first = u->at[HANGS_MOST - 1];
    u->off |= first && now - first <= HANGS_WITHIN;
    return u->off;
}

bool hangs_off(const Hangs *h, const Vm *vm)
{
    guint i = find_vm(h, vm);

    return i < h->all->len && ((const Hung *)h->all->pdata[i])->off;
}

void hangs_forget(Hangs *h, const Vm *vm)
{
    guint i = find_vm(h, vm);

    if (i < h->all->len) {
        g_ptr_array_remove_index(h->all, i);
    }
}

/* ---- the state file ---- */

void hangs_save(const Hangs *h, GKeyFile *file)
{
    for (guint i = 0; i < h->all->len; i++) {
        const Hung *u = h->all->pdata[i];
        g_autofree char *group = g_strdup_printf("hangs %u", i);

        g_key_file_set_string(file, group, "vm", u->vm);
        g_key_file_set_string(file, group, "device", u->device);
        g_key_file_set_uint64(file, group, "owner", u->owner);
        g_key_file_set_boolean(file, group, "off", u->off);
        for (unsigned k = 0; k < HANGS_MOST; k++) {
            g_autofree char *key = g_strdup_printf("at-%u", k);

            g_key_file_set_uint64(file, group, key, (guint64)u->at[k]);
        }
    }
}

static bool read_number(GKeyFile *file, const char *group, const char *key, uint64_t most, uint64_t *v)
{
    g_autofree char *text = g_key_file_get_value(file, group, key, NULL);

    return text && g_ascii_string_to_unsigned(text, 10, 0, most, v, NULL);
}

static bool load(Hangs *h, GKeyFile *file, const char *group, bool same_boot)
{
    g_autofree char *raw = g_key_file_get_string(file, group, "vm", NULL);
    g_autofree char *device = g_key_file_get_string(file, group, "device", NULL);
    g_autofree char *vm = raw ? units_clean_text(raw) : NULL;
    bool off = g_key_file_get_boolean(file, group, "off", NULL), ok = vm && device && *device;
    int64_t at[HANGS_MOST] = { 0 };
    uint64_t owner, when;
    Hung *u;

    ok = ok && (g_str_has_prefix(vm, "uuid ") || g_str_has_prefix(vm, "name ")) &&
         read_number(file, group, "owner", G_MAXUINT32 - 1, &owner) && strlen(vm) < 2048 &&
         strlen(device) < 1024 && find(h, vm, device, (uid_t)owner) == h->all->len;
    for (unsigned k = 0; ok && k < HANGS_MOST; k++) {
        g_autofree char *key = g_strdup_printf("at-%u", k);

        ok = read_number(file, group, key, G_MAXINT64, &when);
        at[k] = same_boot && ok ? (int64_t)when : 0;
    }
    if (!ok) {
        return false;
    }
    u = g_new0(Hung, 1);
    u->vm = g_steal_pointer(&vm);
    u->device = g_steal_pointer(&device);
    u->owner = (uid_t)owner;
    u->off = off;
    memcpy(u->at, at, sizeof(at));
    g_ptr_array_add(h->all, u);
    return true;
}

void hangs_load(Hangs *h, GKeyFile *file, bool same_boot, const char *path)
{
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);

    for (unsigned i = 0; groups[i] && h->all->len < HANGS_KEPT; i++) {
        if (g_str_has_prefix(groups[i], "hangs ") && !load(h, file, groups[i], same_boot)) {
            g_warning("%s: the entry [%s] is damaged; leaving it out", path, groups[i]);
        }
    }
}
