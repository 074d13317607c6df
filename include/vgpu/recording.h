/* SPDX-License-Identifier: MIT */
/*
 * A recording of what a guest had its GPU do: written by vgpu-renderer --record-fd,
 * read by vgpu-replay and by the benchmarks.
 *
 * A recording is one gzip member (RFC 1952): struct vgpu_recording_head, then
 * entries, each a struct vgpu_recording_entry and as many bytes as it says,
 * padded with zeroes to a multiple of 8.  Little-endian.  A recorder that was
 * killed leaves a stream that ends early: what is there up to then is good, and
 * an entry that is not whole is left out.
 *
 * A reader must not trust one: sizes and ids are whatever a guest wrote.
 */
#ifndef VGPU_RECORDING_H
#define VGPU_RECORDING_H

#include <stdint.h>

#define VGPU_RECORDING_MAGIC   "vgpu-rec"
#define VGPU_RECORDING_VERSION 1

struct vgpu_recording_head {
    char magic[8]; /* VGPU_RECORDING_MAGIC, without a NUL */
    uint32_t version;
    uint32_t pad;
    char vm[64];        /* ends in NUL */
    char renderer[128]; /* the host's GL_RENDERER, or "" */
};

enum vgpu_recording_kind {
    VGPU_RECORDING_COMMAND = 1, /* struct vgpu_recording_command, then the request */
    VGPU_RECORDING_MEMORY  = 2, /* struct vgpu_recording_memory, then bytes */
};

struct vgpu_recording_entry {
    uint32_t kind;    /* enum vgpu_recording_kind; others are to be skipped */
    uint32_t size;    /* bytes that follow, without the padding */
    uint64_t time_ns; /* since the recording began */
};

/*
 * A command before it ran, as the guest wrote it (virtio 1.2, section 5.7.6).
 * Of RESOURCE_ATTACH_BACKING and RESOURCE_CREATE_BLOB the entries are left out:
 * where the guest's pages were means nothing elsewhere.  What came on a submit
 * queue (vgpu/virtio.h) stands here as a SUBMIT_3D, where its turn was.
 */
struct vgpu_recording_command {
    uint32_t queue; /* 0: control, 1: cursor */
    uint32_t pad;
    uint64_t backing_size; /* bytes of the pages that were left out, else 0 */
};

/* What the guest has put into a resource's backing, as far as it changed, before the command that reads it.
 */
struct vgpu_recording_memory {
    uint32_t resource_id;
    uint32_t pad;
    uint64_t offset; /* bytes into the backing */
};

_Static_assert(sizeof(struct vgpu_recording_head) == 208, "format");
_Static_assert(sizeof(struct vgpu_recording_entry) == 16, "format");
_Static_assert(sizeof(struct vgpu_recording_command) == 16, "format");
_Static_assert(sizeof(struct vgpu_recording_memory) == 16, "format");

#endif
