/* SPDX-License-Identifier: MIT */
/*
 * The Vulkan page: who of a VM's Vulkan processes holds what.
 *
 * One page per renderer, a sealed memfd of sizeof(struct vgpu_vulkan) bytes
 * that the renderer makes and shares with the context processes of its render
 * server, where the Vulkan layer keeps these books.  It lets the renderer
 * refund what a process held that died, and lets memory that was exported stay
 * charged until all who have it have let go.
 *
 * The sum of all charges is struct vgpu_stats.memory_used (stats.h).  It is made
 * of the renderer's own charges, of vgpu_vulkan_process.charged of every process
 * and of vgpu_vulkan_memory.bytes of every exported memory.
 *
 * Any of these processes may be killed between any two instructions.  So a
 * charge is added to the sum first and to its owner after, and is taken from
 * its owner first: a kill in between leaves the sum too high, never too low, and
 * the renderer puts it right when no process is left.
 *
 * Everything of a memory that several processes may change at once is one word,
 * changed by compare-and-swap with acquire-release order; the other fields are
 * its maker's until the word says EXPORT or IMPORT, and constant after that
 * (dev and ino may be replaced while nobody else has it).  What a context
 * process writes here is its claim: the renderer uses nothing of it as an index,
 * a size or a permission without a check, and vgpud looks from outside.
 */
#ifndef VGPU_VULKAN_H
#define VGPU_VULKAN_H

#include <stdint.h>

#define VGPU_VULKAN_MAGIC     0x4e4b4c56u /* "VLKN" */
#define VGPU_VULKAN_VERSION   1
#define VGPU_VULKAN_PROCESSES 128   /* at a time */
#define VGPU_VULKAN_MEMORIES  16384 /* exported or imported, at a time */

/*
 * The environment variable that names the descriptors a context process has
 * inherited, decimal, -1 for none: page, stats, hello, lease, call, wake.
 * hello is a SOCK_SEQPACKET socket to the renderer, on which each process says
 * once which slot it has taken (uint32_t), with one end of a socket: that hangs
 * up when the process has ended, and what is written there ends it.
 */
#define VGPU_VULKAN_ENV "VGPU_VULKAN"

/* The renderer's thread that tells guests that their contexts live: vgpud gives it CPU time for sure. */
#define VGPU_VULKAN_SIGNS "vgpu-signs"

/* vgpu_vulkan_process.lease: how many users of the lease (lease.h) it is, and since when. */
#define VGPU_VULKAN_LEASE_EPOCH 0xff0000u /* VGPU_LEASE_EPOCH_MASK of the ticket */
#define VGPU_VULKAN_LEASE_USERS 0xffffu

struct vgpu_vulkan_process {
    uint32_t taken;   /* 0: free */
    int32_t pid;      /* as the renderer's pid namespace has it */
    uint64_t charged; /* bytes of memory that is not exported */
    uint32_t lease;   /* VGPU_VULKAN_LEASE_* */
    uint32_t hung;    /* it ended itself: work of its did not end */
    uint64_t pad[5];  /* 0; one cache line a process */
};

/* vgpu_vulkan_memory.word */
#define VGPU_VULKAN_KIND          0x3ull
#define VGPU_VULKAN_FREE          0x0ull
#define VGPU_VULKAN_MAKING        0x1ull /* its process writes the rest */
#define VGPU_VULKAN_EXPORT        0x2ull /* memory that others may have: it holds bytes */
#define VGPU_VULKAN_IMPORT        0x3ull /* a process' hold on the EXPORT in of */
#define VGPU_VULKAN_MEMORY        0x4ull /* EXPORT: the VkDeviceMemory is there */
#define VGPU_VULKAN_PROCESS_SHIFT 3      /* index + 1 of who made it, 0: that one is gone */
#define VGPU_VULKAN_PROCESS       (0xffull << 3)
#define VGPU_VULKAN_PENDING_ONE   (1ull << 11) /* EXPORT: descriptors given out that are no blob yet */
#define VGPU_VULKAN_PENDING       (0xffull << 11)
#define VGPU_VULKAN_BLOBS_ONE     (1ull << 19) /* EXPORT: blobs of the renderer's, adopted */
#define VGPU_VULKAN_BLOBS         (0x3fffull << 19)
#define VGPU_VULKAN_IMPORTS_ONE   (1ull << 33) /* EXPORT: memories imported from it */
#define VGPU_VULKAN_IMPORTS       (0x7fffull << 33)
#define VGPU_VULKAN_TURN_ONE      (1ull << 48) /* counts each use of the entry, wraps */
#define VGPU_VULKAN_TURN          (0xffffull << 48)
/* An EXPORT with none of these is nobody's. */
#define VGPU_VULKAN_HOLDERS                                                                                  \
    (VGPU_VULKAN_MEMORY | VGPU_VULKAN_PENDING | VGPU_VULKAN_BLOBS | VGPU_VULKAN_IMPORTS)

#define VGPU_VULKAN_OFFSET_UNKNOWN UINT64_MAX

struct vgpu_vulkan_memory {
    uint64_t word; /* VGPU_VULKAN_* */
    uint64_t dev;  /* EXPORT: fstat of the descriptor */
    uint64_t ino;
    uint64_t bytes;  /* EXPORT: charged for it */
    uint64_t offset; /* EXPORT: where in the file the memory begins, or OFFSET_UNKNOWN */
    uint64_t of;     /* IMPORT: index of the EXPORT */
    uint64_t pad[2];
};

struct vgpu_vulkan {
    uint32_t magic; /* set by the renderer */
    uint32_t version;
    uint32_t used; /* entries of memories[] ever used: no other need be looked at */
    uint32_t pad[13];
    struct vgpu_vulkan_process processes[VGPU_VULKAN_PROCESSES];
    struct vgpu_vulkan_memory memories[VGPU_VULKAN_MEMORIES];
};

_Static_assert(sizeof(struct vgpu_vulkan_process) == 64 && sizeof(struct vgpu_vulkan_memory) == 64 &&
                   sizeof(struct vgpu_vulkan) == 64 * (1 + VGPU_VULKAN_PROCESSES + VGPU_VULKAN_MEMORIES),
               "one layout");
_Static_assert(VGPU_VULKAN_PROCESSES < 0xff, "fits VGPU_VULKAN_PROCESS");

#endif
