/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The books of a VM's Vulkan memory, kept in the Vulkan page (vgpu/vulkan.h) by
 * the layer in each context process, and by the renderer.  Lock-free, any
 * thread, and whoever shares the page may die at any point.  Needs nothing but
 * libc.
 *
 * A process takes a slot and charges its memories to it.  Memory whose
 * descriptor is given out gets an entry of its own, found by what fstat() says
 * of the descriptor, and stays charged until its VkDeviceMemory, the blobs made
 * of it and the memories imported from it are all gone.
 *
 * The figures that bury and correct work with are claims of those processes:
 * they can make the sum of this VM wrong, never take off what the renderer
 * itself has charged.
 */
#ifndef VGPU_QUOTA_VULKAN_BOOKS_H
#define VGPU_QUOTA_VULKAN_BOOKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger.h"
#include "vgpu/vulkan.h"

typedef struct VulkanBooks {
    struct vgpu_vulkan *page; /* borrowed */
    Ledger *ledger;           /* borrowed; with the statistics page of the VM */
} VulkanBooks;

/* A new page, all zeros: the renderer's. */
void vulkan_books_init(VulkanBooks *b, struct vgpu_vulkan *page, Ledger *ledger);
/* A page that there is.  False: it is none. */
bool vulkan_books_join(VulkanBooks *b, struct vgpu_vulkan *page, Ledger *ledger);

/* ---- a context process: slot is its own ---- */

/* -1: there are too many processes. */
int vulkan_books_enter(VulkanBooks *b, pid_t pid);

/* False, and nothing charged, when it does not fit. */
bool vulkan_books_charge(VulkanBooks *b, int slot, uint64_t bytes);
void vulkan_books_refund(VulkanBooks *b, int slot, uint64_t bytes); /* exactly what was charged */

/* What a descriptor leads to. */
typedef struct VulkanFile {
    uint64_t dev, ino;
    uint64_t offset; /* where the memory begins in it, or VGPU_VULKAN_OFFSET_UNKNOWN */
} VulkanFile;

#define VULKAN_BOOKS_UNKNOWN (-1)
#define VULKAN_BOOKS_FULL    (-2)

/*
 * Memory of the slot's, charged with bytes, can be had by others now: bytes go
 * over to an entry.  given_out: its descriptor, of which somebody is to make a
 * blob.  Returns the entry, or VULKAN_BOOKS_FULL and nothing has changed.
 */
int vulkan_books_export(VulkanBooks *b, int slot, uint64_t bytes, const VulkanFile *f, bool given_out);
/* One more descriptor of the same memory.  False: too many of them wait to become a blob. */
bool vulkan_books_export_again(VulkanBooks *b, int entry, const VulkanFile *f);
/* Its VkDeviceMemory is freed. */
void vulkan_books_release(VulkanBooks *b, int entry);

/*
 * Memory is made of a descriptor.  Returns what vulkan_books_drop_import wants
 * when it is freed; VULKAN_BOOKS_UNKNOWN: no entry is for it, so it costs what
 * any memory does.
 */
int vulkan_books_import(VulkanBooks *b, int slot, const VulkanFile *f);
void vulkan_books_drop_import(VulkanBooks *b, int import);

/*
 * One more, or one less, user of the VM's GPU lease under the epoch of this
 * ticket, which is not a loose one.
 */
void vulkan_books_lease_entered(VulkanBooks *b, int slot, uint32_t ticket);
void vulkan_books_lease_left(VulkanBooks *b, int slot, uint32_t ticket);

/* It ends itself, because work of its did not end. */
void vulkan_books_hung(VulkanBooks *b, int slot);

/* ---- the renderer ---- */

typedef struct VulkanBlob {
    int entry;
    uint64_t bytes;  /* charged for it: a claim, like offset */
    uint64_t offset; /* VGPU_VULKAN_OFFSET_UNKNOWN: not said */
} VulkanBlob;

/*
 * A blob was made of what this descriptor leads to (offset is not looked at):
 * it stays charged until vulkan_books_blob_gone(entry).  False: the books do
 * not know it, or it has too many blobs.
 */
bool vulkan_books_adopt(VulkanBooks *b, const VulkanFile *f, VulkanBlob *blob);
void vulkan_books_blob_gone(VulkanBooks *b, int entry);

/* What a process left, for who buries it. */
typedef struct VulkanRemains {
    pid_t pid;            /* what it said */
    uint64_t bytes;       /* charged to it and refunded now */
    bool hung;            /* it ended itself */
    uint32_t lease_users; /* how often to call lease_leave(), and with what ticket */
    uint32_t lease_ticket;
} VulkanRemains;

bool vulkan_books_taken(const VulkanBooks *b, int slot); /* any number: false when it is none */
uint64_t vulkan_books_charged(const VulkanBooks *b, int slot);

/* The one in slot, which is taken, has ended: refunds what only it had, drops its holds, and frees the slot.
 */
void vulkan_books_bury(VulkanBooks *b, int slot, VulkanRemains *remains);

/*
 * No process is left, and none begins now: buries who has not been, and puts
 * the sum of all charges right.  Returns by how much it was wrong.
 */
uint64_t vulkan_books_correct(VulkanBooks *b);

#endif
