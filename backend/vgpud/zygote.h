/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation: the zygote.
 *
 * A renderer spends most of its start with loading libraries: Mesa and LLVM are
 * 150 MiB with hundreds of thousands of relocations and constructors, and what
 * those write is memory of its own in each renderer.  So vgpud keeps one process
 * that has loaded them and nothing else (backend/renderer/zygote.c), and has it
 * forked for each VM: the child has all that at once, and shares the pages.
 *
 *   vgpud                     zygote                     child
 *     -- fork + descriptors -->  clone, as vgpud's child
 *                                maps the child's ids
 *     <- pidfd, pid ---------
 *     checks that this is a child of its own
 *     -- go ------------------------------------------->   enters the box, drops rights,
 *                                                           and goes on as the renderer
 *
 * The child goes through the code that a directly started one goes through
 * (launch_child.c, sandbox.c), from the same namespaces and ids to the filter
 * that the renderer loads itself; but for the exec at its end.  CLONE_PARENT
 * makes it vgpud's child, so that vgpud waits for it, watches and kills it like any
 * other; and it lives on when the zygote or vgpud ends.
 *
 * Without an exec a process keeps the user namespace that its memory belongs to,
 * and that is whose rights are asked for by who looks into a process that is not
 * dumpable.  So the zygote is executed in a user namespace that vgpud made for it:
 * as its owner vgpud has all rights over those below, as it has over the boxes of
 * renderers that it started itself.  In there are the ids of the renderers and
 * vgpud's own, and no right over anything else of the host.
 *
 * The zygote runs no guest's code and sees no guest's data.  It makes no thread and
 * opens nothing that a child must not share; one that finds a thread or a
 * descriptor after loading ends.  What it was told of one VM it wipes before the
 * next.  What all its children have in common is where their libraries are, and
 * the stack's canary: who breaks one renderer knows that of the others.  zygote=off
 * gives each its own.
 *
 * vgpud trusts the zygote no further than it must: it waits for an answer for
 * ZYGOTE_PATIENCE_MS and no longer, takes a pidfd only of a child of its own, and
 * when anything is wrong ends the zygote and starts the renderer itself, as it does
 * while there is none.  A child that vgpud has not heard of ends by itself when its go
 * does not come; it is in the zygote's process group until then, and so are those
 * that vgpud waits for to be rid of them.
 */
#ifndef VGPUD_ZYGOTE_H
#define VGPUD_ZYGOTE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "launch_child.h"

#define ZYGOTE_PATIENCE_MS 500

typedef struct Zygote Zygote;

typedef struct ZygoteConfig {
    const char *renderer;     /* path */
    char *const *libraries;   /* to load, paths */
    char *const *environment; /* of the renderers */
    uid_t uid_base;           /* of the renderers, see ids.h; 0: they have vgpud's own */
    const gid_t *groups;      /* of devices that a box may have */
    unsigned group_count;
    /* It is of no use any more; not called by zygote_free, which must not be called from it. */
    void (*gone)(void *opaque);
    void *opaque;
} ZygoteConfig;

typedef struct ZygoteChild {
    const LaunchChild *child; /* but for its box, which the zygote makes of the following */
    const char *renderer, *layer, *node, *device_path, *udmabuf; /* see sandbox_new */
    uid_t uid;
    char *const *arguments;
} ZygoteChild;

/* It loads; until then it is not ready.  NULL with *error set. */
Zygote *zygote_new(const ZygoteConfig *config, GError **error);
void zygote_free(Zygote *z); /* takes NULL; its children run on */

bool zygote_ready(const Zygote *z);
/* It has ended, or is of no use. */
bool zygote_is_gone(const Zygote *z);
pid_t zygote_pid(const Zygote *z);

/*
 * As sandbox_fork and sandbox_map_ids: the child waits for its go.  False with
 * *error set: there is no child, and the zygote is gone.
 */
bool zygote_fork(Zygote *z, const ZygoteChild *child, pid_t *pid, int *pidfd, GError **error);

#endif
