/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may do what, by the ids that the kernel says are behind a socket.
 *
 *   tenant     starts VMs and sees those of its own user
 *   operator   sees all VMs, changes quotas and policies, stops and allows VMs
 *   admin      everything
 *
 * vgpud.conf: [roles] with admin=, operator= and tenant=, each a list of users
 * and @groups.  Root and the user vgpud runs as are always admin.  Without
 * tenant= everybody who may open the socket is a tenant.
 *
 * No directory is asked while VMs run (a name service may take seconds): names
 * become ids in roles_resolve, and a peer's groups come from the kernel.
 */
#ifndef VGPUD_ROLES_H
#define VGPUD_ROLES_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "books.h"
#include "config.h"
#include "profile.h"

typedef enum Role { ROLE_NONE, ROLE_TENANT, ROLE_OPERATOR, ROLE_ADMIN } Role;

#define ROLES_NOBODY ((uid_t) - 1) /* a caller that is no user of this host */

typedef struct Caller {
    Role role;
    uid_t uid;
    pid_t pid;    /* 0: unknown */
    GArray *gids; /* gid_t; NULL: none */
    char *who;    /* "user alice (uid 1000, pid 42)", "token ci from 10.0.0.1" */
} Caller;

/* Names in [roles] and in profiles' groups= to ids, once, at the start; warns of those there are not. */
void roles_resolve(Config *c, const ProfileSet *profiles);

/* Who is at the other end of a Unix socket; false, and nothing to clear, when the kernel does not say. */
bool roles_peer(const Config *c, int socket_fd, Caller *caller);
void caller_clear(Caller *caller);

Role roles_of(const Config *c, uid_t uid, const gid_t *gids, size_t count);

bool roles_may_see(const Caller *caller, const Vm *vm);
bool roles_may_change(const Caller *caller);

/* By the profile's groups=; *why is a sentence to free, and may be NULL. */
bool roles_may_start_profile(const Config *c, const Caller *caller, const Profile *p, char **why);

const char *roles_name(Role role);
bool roles_parse(const char *text, Role *role); /* not "none" */

/* A user's name, NULL when neither vgpud.conf nor /etc/passwd names that uid; to free. */
char *roles_user_name(const Config *c, uid_t uid);

#endif
