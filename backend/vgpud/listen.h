/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where vgpud listens: its folder, its two sockets, and that it is alone there. */
#ifndef VGPUD_LISTEN_H
#define VGPUD_LISTEN_H

#include <glib.h>
#include <stdbool.h>

typedef struct Listen {
    char *socket; /* the attach socket's path; the others are beside it */
    char *api;    /* ...-api.sock */
    char *lock, *state, *log;
    int lock_fd;
    int attach_fd, api_fd;
    bool inherited; /* from systemd: the paths are not ours to remove */
} Listen;

/*
 * wanted: a path, or NULL for the default one.  embedded: started by a QEMU for
 * one user, so that user's folder rather than the system's.
 */
Listen *listen_new(const char *wanted, bool embedded);
void listen_free(Listen *l); /* closes, removes nothing */

/* Makes the folder, or checks that a stranger cannot change what is in it. */
bool listen_prepare_folder(const Listen *l, const char *group, GError **error);

typedef enum ListenLock { LISTEN_LOCK_OURS, LISTEN_LOCK_THEIRS, LISTEN_LOCK_FAILED } ListenLock;

/* One vgpud per socket.  THEIRS: another one has it. */
ListenLock listen_lock(Listen *l, GError **error);

/* True when somebody accepts connections on the attach socket. */
bool listen_is_served(const Listen *l);

/* Opens both sockets, or takes them from systemd (LISTEN_FDS). */
bool listen_open(Listen *l, const char *group, GError **error);

/* Removes the sockets: nobody finds them any more. */
void listen_unlink(const Listen *l);

/* True when somebody connected that was not accepted yet. */
bool listen_pending(const Listen *l);

#endif
