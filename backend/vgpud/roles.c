/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "roles.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "units.h"

#define GROUPS_FIRST 64

static const char *const role_names[] = {
    [ROLE_NONE] = "none", [ROLE_TENANT] = "tenant", [ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin"
};

const char *roles_name(Role role)
{
    return role_names[role];
}

bool roles_parse(const char *text, Role *role)
{
    for (Role r = ROLE_TENANT; r <= ROLE_ADMIN; r++) {
        if (g_str_equal(text, role_names[r])) {
            *role = r;
            return true;
        }
    }
    return false;
}

/* ---- names to ids, at the start ---- */

static bool resolve_user(const char *name, uid_t *uid)
{
    struct passwd *pw;

    if (units_parse_uint(name, 0, G_MAXUINT32 - 1, uid)) {
        return true;
    }
    pw = getpwnam(name);
    if (pw) {
        *uid = pw->pw_uid;
    }
    return pw != NULL;
}

static bool resolve_group(const char *name, gid_t *gid)
{
    struct group *gr;

    if (units_parse_uint(name, 0, G_MAXUINT32 - 1, gid)) {
        return true;
    }
    gr = getgrnam(name);
    if (gr) {
        *gid = gr->gr_gid;
    }
    return gr != NULL;
}

static void resolve_role(Config *c, ConfigRole *r, const char *key)
{
    for (unsigned i = 0; r->names && r->names[i]; i++) {
        const char *name = r->names[i];
        uid_t uid;
        gid_t gid;

        if (*name == '@' && resolve_group(name + 1, &gid)) {
            g_array_append_val(r->gids, gid);
        } else if (*name != '@' && resolve_user(name, &uid)) {
            g_array_append_val(r->uids, uid);
            if (!g_ascii_isdigit(*name)) {
                g_hash_table_insert(c->user_names, GUINT_TO_POINTER(uid), g_strdup(name));
            }
        } else {
            g_warning("%s= in [roles] of vgpud.conf names a %s '%s' that this host does not have", key,
                      *name == '@' ? "group" : "user", *name == '@' ? name + 1 : name);
        }
    }
}

void roles_resolve(Config *c, const ProfileSet *profiles)
{
    resolve_role(c, &c->admin, "admin");
    resolve_role(c, &c->operator, "operator");
    resolve_role(c, &c->tenant, "tenant");
    for (guint i = 0; i < profiles->profiles->len; i++) {
        const Profile *p = profiles->profiles->pdata[i];

        for (unsigned k = 0; p->groups && p->groups[k]; k++) {
            const char *name = p->groups[k];
            gid_t gid;

            if (g_hash_table_contains(c->group_ids, name)) {
                continue;
            }
            if (resolve_group(*name == '@' ? name + 1 : name, &gid)) {
                g_hash_table_insert(c->group_ids, g_strdup(name), GUINT_TO_POINTER(gid));
            } else {
                g_warning("%s: profile '%s' is for a group '%s' that this host does not have", p->origin,
                          p->name, name);
            }
        }
    }
}

char *roles_user_name(const Config *c, uid_t uid)
{
    const char *known = g_hash_table_lookup(c->user_names, GUINT_TO_POINTER(uid));
    struct passwd *pw = NULL;
    char *name = NULL;
    FILE *file;

    if (known) {
        return g_strdup(known);
    }
    file = fopen("/etc/passwd", "re");
    while (file && (pw = fgetpwent(file)) && pw->pw_uid != uid) {
    }
    if (pw) {
        name = units_clean_text(pw->pw_name);
    }
    if (file) {
        fclose(file);
    }
    return name;
}

/* ---- callers ---- */

static bool has_gid(const gid_t *gids, size_t count, gid_t gid)
{
    for (size_t i = 0; i < count; i++) {
        if (gids[i] == gid) {
            return true;
        }
    }
    return false;
}

static bool in_role(const ConfigRole *r, uid_t uid, const gid_t *gids, size_t count)
{
    for (guint i = 0; i < r->uids->len; i++) {
        if (g_array_index(r->uids, uid_t, i) == uid) {
            return true;
        }
    }
    for (guint i = 0; i < r->gids->len; i++) {
        if (has_gid(gids, count, g_array_index(r->gids, gid_t, i))) {
            return true;
        }
    }
    return false;
}

Role roles_of(const Config *c, uid_t uid, const gid_t *gids, size_t count)
{
    if (uid == ROLES_NOBODY) {
        return ROLE_NONE;
    }
    if (uid == 0 || uid == geteuid() || in_role(&c->admin, uid, gids, count)) {
        return ROLE_ADMIN;
    }
    if (in_role(&c->operator, uid, gids, count)) {
        return ROLE_OPERATOR;
    }
    return !c->tenant.names || in_role(&c->tenant, uid, gids, count) ? ROLE_TENANT : ROLE_NONE;
}

/* The groups a peer had when it connected; its primary one first. */
static GArray *peer_groups(int fd, gid_t primary)
{
    socklen_t size = GROUPS_FIRST * sizeof(gid_t);
    GArray *gids = g_array_new(FALSE, FALSE, sizeof(gid_t));

    for (unsigned round = 0; round < 2; round++) {
        g_array_set_size(gids, 1 + size / sizeof(gid_t));
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, &g_array_index(gids, gid_t, 1), &size) == 0) {
            break;
        }
        if (errno != ERANGE) { /* it says how much it wants */
            size = 0;
        }
    }
    g_array_set_size(gids, 1 + size / sizeof(gid_t));
    g_array_index(gids, gid_t, 0) = primary;
    return gids;
}

bool roles_peer(const Config *c, int socket_fd, Caller *caller)
{
    struct ucred cred;
    socklen_t size = sizeof(cred);
    g_autofree char *name = NULL;

    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0 || cred.uid == ROLES_NOBODY) {
        return false;
    }
    *caller = (Caller){ .uid = cred.uid, .pid = cred.pid, .gids = peer_groups(socket_fd, cred.gid) };
    caller->role = roles_of(c, cred.uid, (const gid_t *)caller->gids->data, caller->gids->len);
    name = roles_user_name(c, cred.uid);
    caller->who =
        g_strdup_printf("user %s (uid %u, pid %d)", name ? name : "without a name", cred.uid, (int)cred.pid);
    return true;
}

void caller_clear(Caller *caller)
{
    g_clear_pointer(&caller->gids, g_array_unref);
    g_clear_pointer(&caller->who, g_free);
}

bool roles_may_see(const Caller *caller, const Vm *vm)
{
    return caller->role >= ROLE_OPERATOR ||
           (caller->role == ROLE_TENANT && caller->uid != ROLES_NOBODY && caller->uid == vm->owner);
}

bool roles_may_change(const Caller *caller)
{
    return caller->role >= ROLE_OPERATOR;
}

bool roles_may_start_profile(const Config *c, const Caller *caller, const Profile *p, char **why)
{
    g_autofree char *groups = NULL;

    if (caller->role == ROLE_NONE) {
        if (why) {
            *why = g_strdup_printf("%s may start no VM here: tenant= in [roles] of vgpud.conf does not name "
                                   "that user or one of its groups",
                                   caller->who);
        }
        return false;
    }
    if (!p->groups || caller->role >= ROLE_OPERATOR) {
        return true;
    }
    for (unsigned i = 0; p->groups[i]; i++) {
        gpointer gid;

        if (caller->gids && g_hash_table_lookup_extended(c->group_ids, p->groups[i], NULL, &gid) &&
            has_gid((const gid_t *)caller->gids->data, caller->gids->len, GPOINTER_TO_UINT(gid))) {
            return true;
        }
    }
    groups = g_strjoinv(", ", p->groups);
    if (why) {
        *why = g_strdup_printf("profile '%s' is for members of %s only, and %s is none: choose another "
                               "profile, or ask for that group",
                               p->name, groups, caller->who);
    }
    return false;
}
