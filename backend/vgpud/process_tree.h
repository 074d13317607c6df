/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process and all that came of it, as far as /proc tells: a renderer, its
 * render server, and a process for each of its guest's Vulkan contexts.
 */
#ifndef VGPUD_PROCESS_TREE_H
#define VGPUD_PROCESS_TREE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "process_shared.h"

/* One renderer, one server, and as many contexts as the page of include/vgpu/vulkan.h has places for, and
 * more. */
#define PROCESS_TREE_MAX 256

typedef struct ProcessTreeMember {
    pid_t pid;
    uint64_t start;  /* clock ticks since boot: with the pid, which process it is */
    uint64_t reaped; /* CPU time in ns of its children that ended and that it waited for, and of theirs */
} ProcessTreeMember;

typedef struct ProcessTree {
    GArray *members; /* ProcessTreeMember, the root first; empty: the root is gone */
    bool too_many;   /* more than PROCESS_TREE_MAX processes, or endless threads: the others are not here */
    pid_t root;
    uint64_t start;
} ProcessTree;

/* Knows the root alone until it is looked at. */
ProcessTree *process_tree_new(pid_t root, uint64_t start);
void process_tree_free(ProcessTree *t); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProcessTree, process_tree_free)

/* Who is there now. */
void process_tree_look(ProcessTree *t);

/*
 * CPU time that those seen at the last look have used, ns, all together.  As it was:
 * none of them has run, so none has forked, ended or touched memory since.  False:
 * some have ended, or it cannot be known.
 */
bool process_tree_clock(const ProcessTree *t, uint64_t *ns);

/*
 * Bytes of memory of their own, and that they have made to be shared (Vulkan's
 * software drivers allocate from that), once.  False: nothing is known.
 */
bool process_tree_memory(const ProcessTree *t, const SharedOwner *owner, uint64_t *bytes);

/* Each thread of a process, as far as there are not too many; false from each ends it. */
void process_each_thread(pid_t pid, bool (*each)(pid_t tid, void *opaque), void *opaque);

#endif
