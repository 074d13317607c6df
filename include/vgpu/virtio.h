/* SPDX-License-Identifier: MIT */
/*
 * The vgpu extension of virtio-gpu (virtio 1.2, section 5.7).
 *
 * Feature bits 50 to 63 are device-type bits (virtio 1.2, section 2.2).  The
 * bits, the command range and the capset id below are NOT assigned by OASIS.
 * Nothing is appended to struct virtio_gpu_config.
 */
#ifndef VGPU_VIRTIO_H
#define VGPU_VIRTIO_H

#include <stdint.h>

/* The device has the capset below; any guest may read it. */
#define VGPU_F_EXTENSION 50

/* Commands of the extension; none is defined yet: ERR_UNSPEC. */
#define VGPU_CMD_FIRST 0x7600
#define VGPU_CMD_LAST  0x76ff

/* 16 to 30: stock Linux computes 1 << id in an int. */
#define VGPU_CAPSET_ID      16
#define VGPU_CAPSET_VERSION 1

/* Static facts, read with GET_CAPSET.  Little-endian; strings end in NUL. */
struct vgpu_capset {
    uint32_t version;      /* VGPU_CAPSET_VERSION */
    uint32_t size;         /* sizeof(struct vgpu_capset) */
    uint64_t memory_limit; /* bytes of GPU memory of this VM */
    uint32_t max_contexts; /* 0: no bound */
    uint32_t max_outputs;
    char profile[64];
    char gpu[64];
    char renderer[128];    /* the host's GL_RENDERER, or "" */
    char host_version[32]; /* of vgpu-renderer */
};

_Static_assert(sizeof(struct vgpu_capset) == 24 + 64 + 64 + 128 + 32, "wire");

#endif
