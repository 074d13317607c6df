/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The box a renderer runs in: what it sees of the host, and as whom it runs. */
#ifndef VGPUD_SANDBOX_H
#define VGPUD_SANDBOX_H

#include <glib.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

typedef struct Sandbox Sandbox;

/* Where the renderer is, seen from inside. */
#define SANDBOX_PROGRAM "/vgpu-renderer"
/* And the Vulkan layer: in a folder of its own, which the Vulkan loader is told. */
#define SANDBOX_LAYER_FOLDER   "/vgpu-vulkan"
#define SANDBOX_LAYER_MANIFEST "VkLayer_vgpu.json"
#define SANDBOX_LAYER          SANDBOX_LAYER_FOLDER "/libVkLayer_vgpu.so"

/*
 * Works out what the box contains.  renderer: the program; layer: the Vulkan
 * layer, its manifest beside it, or NULL; node: render node or NULL;
 * device_path: the GPU's folder under /sys/devices or NULL; udmabuf: a device
 * that a software GPU may use, or NULL.  Of node and udmabuf one at most.
 */
Sandbox *sandbox_new(const char *renderer, const char *layer, const char *node, const char *device_path,
                     const char *udmabuf);
void sandbox_free(Sandbox *box); /* takes NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sandbox, sandbox_free)

/*
 * fork() into new namespaces.  Returns as fork does, with *pidfd set in the
 * parent; -1 with *error set, and the remedy in it.
 */
pid_t sandbox_fork(int *pidfd, GError **error);

/*
 * The same for the zygote (zygote.h), which has one thread: the child is its
 * parent's, and glibc's *tid of that thread becomes the child's.
 */
pid_t sandbox_fork_sibling(int *pidfd, int *tid, GError **error);

/*
 * Parent: the ids of a child in a user namespace of its own, below which boxes
 * are to be: vgpud's, as it is called in a box that is being built; count ids of
 * renderers from base, and the n groups, each as itself.  base 0: none of those.
 */
bool sandbox_map_nursery(pid_t child, uid_t base, unsigned count, const gid_t *groups, unsigned n,
                         GError **error);

/* Parent: says who the child is outside.  uid: of the host, for root; 0: vgpud's own. */
bool sandbox_map_ids(const Sandbox *box, pid_t child, uid_t uid, GError **error);

/*
 * Child, after its ids were mapped: goes into the box.  Only system calls, no
 * allocation (see launcher.c).  On failure returns false with errno set and
 * *what the thing that failed.
 */
bool sandbox_enter(const Sandbox *box, const char **what);

/*
 * Child, in a box or without one: no new rights, no core dumps, few files, and
 * at most so many processes and threads; 0, without a box: as many as vgpud.
 */
bool sandbox_limit(rlim_t processes, const char **what);

/* Child: no file gets longer, memory that is shared included; and when the host has no memory left, it goes
 * before a QEMU does. */
bool sandbox_limit_memory(rlim_t file, const char **what);

#endif
