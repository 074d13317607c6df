/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program that is tried: with a deadline, its output kept. */
#ifndef VGPUCTL_CHILD_H
#define VGPUCTL_CHILD_H

#include <glib.h>
#include <stdbool.h>

typedef struct Child {
    char *out, *err; /* never NULL */
    char *ending;    /* how it ended if not by itself: "crashed (Segmentation fault)"; NULL: it exited */
    bool started;    /* it is there and can be run */
    int status;      /* its exit status if it exited */
} Child;

/*
 * argv[0] is a path or found in PATH.  environment: KEY=VALUE set for it, ends
 * with NULL, may be NULL.  A program that does not start is one that ended so.
 */
Child *child_run(const char *const *argv, const char *const *environment, unsigned deadline_s);
void child_free(Child *c); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Child, child_free)

/* The last line it wrote to stderr, "" if none; the child's. */
const char *child_complaint(const Child *c);

#endif
