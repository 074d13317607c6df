/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A GKeyFile: [vgpud] with version and era, [gpu NAME] with the policy that an
 * operator set, one group per VM, [vm 0] up, and [hangs 0] up, see hangs.h.
 * All figures are written as text in decimal.  The file is vgpud's own, and
 * another's is not read, but what is in it is looked at as if anybody had
 * written it: it may be damaged or of another release.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "hangs.h"
#include "ini.h"
#include "settings.h"
#include "units.h"

#define STATE_VERSION  3
#define STATE_MAX_VMS  4096
#define STATE_MAX_SIZE (8u * 1024 * 1024)

/*
 * Each VM that comes or goes has all of them written, so this is what one of many
 * costs: the text is made as GKeyFile would, without its lists and tables, and
 * without printf's.  GKeyFile is asked itself how to write what is no plain word.
 */
static void put(GString *text, const char *key, const char *value)
{
    g_string_append(text, key);
    g_string_append_c(text, '=');
    g_string_append(text, value);
    g_string_append_c(text, '\n');
}

static bool plain(const char *value)
{
    while (g_ascii_isalnum(*value) || (*value >= '-' && *value <= '/') || *value == ':' || *value == '_') {
        value++;
    }
    return !*value;
}

static void put_string(GString *text, const char *key, const char *value)
{
    g_autoptr(GKeyFile) file = NULL;
    g_autofree char *escaped = NULL;

    if (plain(value)) {
        put(text, key, value);
        return;
    }
    file = g_key_file_new();
    g_key_file_set_string(file, "g", key, value);
    escaped = g_key_file_get_value(file, "g", key, NULL);
    put(text, key, escaped);
}

static void put_number(GString *text, const char *key, uint64_t value)
{
    char digits[21], *first = digits + sizeof(digits) - 1;

    *first = 0;
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(text, key, first);
}

static void put_boolean(GString *text, const char *key, bool value)
{
    put(text, key, value ? "true" : "false");
}

static void save_vm(GString *text, unsigned index, const Vm *vm)
{
    g_string_append_printf(text, "\n[vm %u]\n", index);
    put_string(text, "name", vm->name);
    put_string(text, "uuid", vm->uuid);
    put_boolean(text, "uuid-given", vm->uuid_given);
    put_string(text, "device", vm->device);
    put_string(text, "profile", vm->profile);
    put_string(text, "gpu", vm->gpu);
    put_number(text, "memory", vm->memory);
    put_number(text, "held", vm->held);
    put_number(text, "share", vm->share);
    put_number(text, "priority", vm->priority);
    put_number(text, "quantum-us", vm->quantum_us);
    put_number(text, "frame-rate-limit", vm->frame_rate_limit);
    put_number(text, "hang-timeout-us", vm->hang_timeout_us);
    put_boolean(text, "no-3d", vm->no_3d);
    put_number(text, "max-outputs", vm->max_outputs);
    put_number(text, "max-width", vm->max_width);
    put_number(text, "max-height", vm->max_height);
    put_number(text, "max-contexts", vm->max_contexts);
    put_number(text, "apis", vm->apis);
    put_number(text, "cpus", vm->cpus);
    put_boolean(text, "exclusive", vm->exclusive);
    put_boolean(text, "strict", vm->strict);
    put_number(text, "slot", vm->slot);
    put_number(text, "owner", vm->owner);
    put_number(text, "qemu-pid", vm->qemu_pid);
    put_number(text, "qemu-start", vm->qemu_start);
    put_number(text, "pid", vm->pid);
    put_number(text, "pid-start", vm->pid_start);
    put_number(text, "clock-base", vm->clock_base);
    put_boolean(text, "leased", vm->leased);
}

/* By name: that is how people know a GPU, and what its VMs are booked on. */
static void save_policies(GKeyFile *file, const GPtrArray *gpus)
{
    for (guint i = 0; gpus && i < gpus->len; i++) {
        const Gpu *g = gpus->pdata[i];
        g_autofree char *group = g_strdup_printf("gpu %s", g->name);

        if (g->policy_set) {
            g_key_file_set_string(file, group, "policy", control_policy_name(g->policy));
        }
    }
}

static void load_policies(GKeyFile *file, GPtrArray *gpus, const char *path)
{
    for (guint i = 0; gpus && i < gpus->len; i++) {
        Gpu *g = gpus->pdata[i];
        g_autofree char *group = g_strdup_printf("gpu %s", g->name);
        g_autofree char *text = g_key_file_get_string(file, group, "policy", NULL);
        SchedPolicy policy;

        if (!text) {
            continue;
        }
        if (!control_policy_parse(text, &policy)) {
            g_warning("%s: the entry [%s] is damaged; leaving it out", path, group);
            continue;
        }
        if (policy != g->policy) {
            g_message("%s: policy %s, as an operator set it", g->name, text);
        }
        g->policy = policy;
        g->policy_set = true;
    }
}

/*
 * For a vgpud that is killed, not for a host that is: what the file is about ends
 * with the host.  So it is replaced in one step, and nobody waits for a disk, as
 * GLib would with a flag for consistency: all VMs stand in each of these files.
 */
static bool replace(const char *path, const GString *text, GError **error)
{
    g_autofree char *next = g_strconcat(path, ".next", NULL);

    unlink(next);
    if (!g_file_set_contents_full(next, text->str, (gssize)text->len, G_FILE_SET_CONTENTS_NONE, 0600,
                                  error)) {
        return false;
    }
    if (rename(next, path) < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s cannot be replaced: %s", path,
                    g_strerror(errno));
        return false;
    }
    return true;
}

/* Of what is saved for safety's sake much is there already. */
static bool is_written(const BooksSaved *saved, const char *path, const GString *text)
{
    struct stat st;

    return saved->text && g_string_equal(saved->text, text) && lstat(path, &st) == 0 &&
           st.st_ino == saved->inode && st.st_dev == saved->device &&
           st.st_mtim.tv_sec == saved->mtime.tv_sec && st.st_mtim.tv_nsec == saved->mtime.tv_nsec;
}

static void remember(BooksSaved *saved, const char *path, GString *text)
{
    struct stat st;

    if (saved->text) {
        g_string_free(saved->text, TRUE);
        saved->text = NULL;
    }
    if (lstat(path, &st) < 0) {
        g_string_free(text, TRUE);
        return;
    }
    saved->text = text;
    saved->inode = st.st_ino;
    saved->device = st.st_dev;
    saved->mtime = st.st_mtim;
}

bool state_save(Books *books, const GPtrArray *gpus, const char *path, const char *era, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GString) text = g_string_sized_new(1024 + 512 * books->vms->len);
    g_autofree char *rest = NULL;
    unsigned index = 0;
    gsize length;

    g_key_file_set_integer(file, "vgpud", "version", STATE_VERSION);
    g_key_file_set_string(file, "vgpud", "era", era);
    save_policies(file, gpus);
    hangs_save(books->hangs, file);
    rest = g_key_file_to_data(file, &length, NULL);
    g_string_append_len(text, rest, (gssize)length);
    for (guint i = 0; i < books->vms->len; i++) {
        const Vm *vm = books->vms->pdata[i];

        if ((vm->pid > 0 && vm->pid_start) || vm->qemu_pid) {
            save_vm(text, index++, vm);
        }
    }
    for (guint i = 0; i < books->departed->len; i++) {
        save_vm(text, index++, books->departed->pdata[i]);
    }
    if (is_written(&books->saved, path, text)) {
        return true;
    }
    if (!replace(path, text, error)) {
        return false;
    }
    remember(&books->saved, path, g_steal_pointer(&text));
    return true;
}

typedef struct Reader {
    GKeyFile *file;
    const char *group;
    bool ok;
} Reader;

static char *read_text(Reader *r, const char *key, size_t max)
{
    g_autofree char *raw = g_key_file_get_string(r->file, r->group, key, NULL);

    if (!raw || strlen(raw) >= max) {
        r->ok = false;
        return NULL;
    }
    return units_clean_text(raw);
}

static uint64_t read_number(Reader *r, const char *key, uint64_t min, uint64_t max)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_key_file_get_value(r->file, r->group, key, &error);
    uint64_t v = 0;

    if (!text || !g_ascii_string_to_unsigned(text, 10, min, max, &v, NULL)) {
        r->ok = false;
    }
    return v;
}

static bool load_vm(Books *books, GKeyFile *file, const char *group)
{
    Reader r = { .file = file, .group = group, .ok = true };
    g_autofree char *name = read_text(&r, "name", VGPU_VM_NAME_MAX * 6);
    g_autofree char *uuid = read_text(&r, "uuid", VM_UUID_TEXT);
    g_autofree char *device = read_text(&r, "device", VGPU_NAME_MAX * 6);
    g_autofree char *profile = read_text(&r, "profile", VGPU_NAME_MAX);
    g_autofree char *gpu = read_text(&r, "gpu", VGPU_NAME_MAX);
    Vm vm = {
        .memory = read_number(&r, "memory", 1, G_MAXUINT64 / 2),
        .held = read_number(&r, "held", 0, G_MAXUINT64 / 2),
        .share = read_number(&r, "share", 1, PPM),
        .priority = read_number(&r, "priority", PROFILE_LOW, PROFILE_HIGH),
        .quantum_us = read_number(&r, "quantum-us", 0, SCHED_QUANTUM_MAX_NS / 1000),
        .frame_rate_limit = read_number(&r, "frame-rate-limit", 0, 1000),
        .hang_timeout_us = read_number(&r, "hang-timeout-us", 0, 3600000000ull),
        .max_outputs = read_number(&r, "max-outputs", 1, 16),
        .max_width = read_number(&r, "max-width", 0, 16384),
        .max_height = read_number(&r, "max-height", 0, 16384),
        .max_contexts = read_number(&r, "max-contexts", 0, 65536),
        .apis = read_number(&r, "apis", 1, PROFILE_API_GL | PROFILE_API_VULKAN),
        .cpus = read_number(&r, "cpus", 0, 4096),
        .slot = read_number(&r, "slot", 0, STATE_MAX_VMS),
        .owner = read_number(&r, "owner", 0, G_MAXUINT32 - 1),
        .qemu_pid = read_number(&r, "qemu-pid", 0, G_MAXINT32),
        .qemu_start = read_number(&r, "qemu-start", 0, G_MAXUINT64),
        .pid = read_number(&r, "pid", 0, G_MAXINT32),
        .pid_start = read_number(&r, "pid-start", 0, G_MAXUINT64),
    };
    Vm *v;

    if (!r.ok || !g_uuid_string_is_valid(uuid) || books_find(books, uuid, device) || vm.pid == 1 ||
        !vm.pid != !vm.pid_start || vm.qemu_pid == 1 || !(vm.pid || vm.qemu_pid)) {
        return false;
    }
    v = books_add(books, name, uuid, device);
    v->profile = g_steal_pointer(&profile);
    v->gpu = g_steal_pointer(&gpu);
    settings_copy(v, &vm);
    v->held = vm.held;
    v->max_outputs = vm.max_outputs;
    v->exclusive = g_key_file_get_boolean(file, group, "exclusive", NULL);
    v->strict = g_key_file_get_boolean(file, group, "strict", NULL); /* an earlier vgpud's file has none */
    v->clock_base = MIN(g_key_file_get_uint64(file, group, "clock-base", NULL), (guint64)G_MAXINT64);
    v->leased = g_key_file_get_boolean(file, group, "leased", NULL);
    v->uuid_given = g_key_file_get_boolean(file, group, "uuid-given", NULL);
    v->no_3d = g_key_file_get_boolean(file, group, "no-3d", NULL);
    v->slot = vm.slot;
    v->owner = vm.owner;
    v->qemu_pid = vm.qemu_pid;
    v->qemu_start = vm.qemu_start;
    v->pid = vm.pid;
    v->pid_start = vm.pid_start;
    v->state = VM_RUNNING;
    if (!v->pid) { /* one without a renderer holds nothing after a restart */
        books_depart(books, v);
    }
    return true;
}

/* Whoever can write the file can put processes of others into our books. */
static bool read_file(const char *path, char **text, gsize *length, GError **error)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    bool ok = false;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "cannot read %s: %s", path,
                    g_strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "%s is not a file that only vgpud's user (uid %u) can write: uid %u, mode %o", path,
                    geteuid(), st.st_uid, st.st_mode & 07777);
    } else if (st.st_size > STATE_MAX_SIZE) {
        g_set_error(error, VGPUD_ERROR, 0, "%s is no state file of vgpud: it has %" G_GINT64_FORMAT " bytes",
                    path, (gint64)st.st_size);
    } else {
        *text = g_malloc0(st.st_size + 1);
        for (*length = 0; (n = read(fd, *text + *length, st.st_size - *length)) > 0; *length += n) {
        }
        ok = true;
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

bool state_load(Books *books, GPtrArray *gpus, const char *path, const char *era, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) local = NULL;
    g_autofree char *text = NULL, *written = NULL;
    g_auto(GStrv) groups = NULL;
    gsize length;

    if (!read_file(path, &text, &length, &local)) {
        if (g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    if (length == 0 || memchr(text, 0, length) ||
        !g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, &local) ||
        !g_key_file_has_key(file, "vgpud", "version", NULL) ||
        !g_key_file_has_key(file, "vgpud", "era", NULL)) {
        g_set_error(error, VGPUD_ERROR, 0, "%s is no state file of vgpud%s%s", path, local ? ": " : "",
                    local ? local->message : "");
        return false;
    }
    if (g_key_file_get_integer(file, "vgpud", "version", NULL) != STATE_VERSION) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "%s was written by another release of vgpud (its version is not %d)", path,
                    STATE_VERSION);
        return false;
    }
    load_policies(file, gpus, path);
    written = g_key_file_get_string(file, "vgpud", "era", NULL);
    hangs_load(books->hangs, file, g_strcmp0(written, era) == 0, path);
    if (g_strcmp0(written, era) != 0) {
        return true; /* the host was started again: none of these processes lives */
    }
    groups = g_key_file_get_groups(file, NULL);
    for (unsigned i = 0; groups[i] && books->vms->len < STATE_MAX_VMS; i++) {
        if (g_str_has_prefix(groups[i], "vm ") && !load_vm(books, file, groups[i])) {
            g_warning("%s: the entry [%s] is damaged; leaving it out", path, groups[i]);
        }
    }
    return true;
}
