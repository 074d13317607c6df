/* SPDX-License-Identifier: MIT */
/*
 * The vgpu extension of virtio-gpu (virtio 1.2, section 5.7).
 *
 * Feature bits 50 to 63 are device-type bits (virtio 1.2, section 2.2).  The
 * bits, the command range and the capset id below are NOT assigned by OASIS.
 * Nothing is appended to struct virtio_gpu_config: newer kernels have a next
 * field there.
 *
 * A driver that takes none of these bits has a plain virtio-gpu: nothing below
 * happens to it.  All numbers on the wire are little-endian.  The kernel's
 * names for types are used, so that the guest's driver can include this; the
 * structs of requests do not begin with struct virtio_gpu_ctrl_hdr (24 bytes,
 * linux/virtio_gpu.h), they follow it.
 */
#ifndef VGPU_VIRTIO_H
#define VGPU_VIRTIO_H

#include <linux/types.h>

/* ---- features -------------------------------------------------------------- */

/*
 * The device has the capset below, which any guest may read.  A driver that takes
 * one of the bits after it takes it as well, or FEATURES_OK does not stay set.
 */
#define VGPU_F_EXTENSION 50
/* The statistics page: see VGPU_PCI_BAR_STATS. */
#define VGPU_F_STATS 51
/* VGPU_EVENT_* in events_read of struct virtio_gpu_config. */
#define VGPU_F_EVENTS 52
/*
 * More virtqueues, for VGPU_CMD_SUBMIT; and VGPU_CMD_WAIT on the control queue.
 * Offered with VIRTIO_GPU_F_VIRGL or without: a device that had 3D may come back
 * from a reset without, and then refuses every submit (ERR_UNSPEC).  A driver
 * that takes this takes VGPU_F_LOSS as well, or FEATURES_OK does not stay set: what
 * the device counts is lost with its renderer.
 */
#define VGPU_F_SUBMIT_QUEUES 53
/*
 * The device says when it has lost what it held for the guest: it sets
 * DEVICE_NEEDS_RESET in the device status (virtio 1.2, section 2.1.2) and sends
 * a configuration change interrupt.  From then on it answers no request on any
 * queue; what was not answered is lost, fences included.  Every context,
 * resource, scanout and mapping is gone, whatever was mapped in the host-visible
 * window reads as zeroes.  The driver resets the device and starts from nothing.
 * It may do so at once, and as often as it likes: the device asks for its next
 * renderer at that reset, at most once a second, and takes requests meanwhile.
 * Where there is no next renderer it needs a reset again.  What happened is in
 * vgpu_stats.resets and reset_cause (stats.h) after the reset.
 *
 * Without this bit the device has no such moment: requests of before may be
 * answered with errors.
 */
#define VGPU_F_LOSS 54

/* ---- the statistics page ----------------------------------------------------- */

/*
 * With VGPU_F_STATS, on PCI: this BAR is one page of VGPU_STATS_SIZE bytes of
 * memory that holds struct vgpu_stats (stats.h) at its offset 0: the very page
 * that the host's daemon and renderer write.  It can be read at any time, before
 * DRIVER_OK too; what is written to it is ignored.  While the device has no
 * renderer it reads as zeroes, so that the magic is missing; another renderer's
 * page appears in its place without notice.
 *
 * It is no virtio shared memory region: behind a PCIe port the capabilities of a
 * device with a host-visible window fill the configuration space to the byte.
 */
#define VGPU_PCI_BAR_STATS 0

/* ---- events -------------------------------------------------------------------- */

/*
 * With VGPU_F_EVENTS, in events_read and events_clear of struct
 * virtio_gpu_config, beside VIRTIO_GPU_EVENT_DISPLAY.  With each there is a
 * configuration change interrupt.
 *
 * PROFILE: the profile or a limit has changed.  What it is now stands in the
 * statistics page; the capset says so from now on as well.
 */
#define VGPU_EVENT_PROFILE (1u << 16)

/* ---- submit queues --------------------------------------------------------------- */

/*
 * With VGPU_F_SUBMIT_QUEUES the device configuration has a struct vgpu_config
 * at this offset, and the virtqueues are: 0 control, 1 cursor, 2 + i submit
 * queue i, for i below submit_queues.
 *
 * The requests of one queue are run in the order in which they were made
 * available.  Between two queues there is no order but what a request asks for:
 *
 *   Each queue counts the requests that were run since the device was reset, in
 *   32 bits that wrap; the driver counts those that it makes available.  Any
 *   request counts, refused or not.  One has been run when what it asks for was
 *   handed to the renderer in full: what is run later finds it done, or in
 *   front of it on the GPU.  Its answer may come later (a fence, a mapping).
 *
 *   That a queue has come to seq means (__s32)(run - seq) >= 0.
 *
 * So a driver that puts (control requests made available so far) into
 * control_seq has the order of one queue.  A request that waits holds its own
 * queue up and no other; one that waits for what never comes waits until the
 * device is reset.
 */
#define VGPU_CONFIG_OFFSET     256
#define VGPU_SUBMIT_QUEUES_MAX 8
#define VGPU_QUEUE_SUBMIT      2 /* index of the first */

struct vgpu_config {
    __le32 submit_queues; /* 1 to VGPU_SUBMIT_QUEUES_MAX */
};

/* Commands of the extension; all others in this range: ERR_UNSPEC. */
#define VGPU_CMD_FIRST 0x7600
#define VGPU_CMD_LAST  0x76ff

/*
 * SUBMIT, on a submit queue alone (and nothing else is served there): what
 * VIRTIO_GPU_CMD_SUBMIT_3D is on the control queue, hdr.ctx_id, hdr.ring_idx and
 * fences included.  Run not before control_seq requests of the control queue
 * were, and for each bit i of wait_mask wait_seq[i] of submit queue i.
 *
 * Request: header, struct vgpu_submit, size bytes of commands.  Answer: a
 * header, RESP_OK_NODATA or
 *   ERR_UNSPEC              another queue, or the feature was not taken
 *   ERR_INVALID_PARAMETER   size is not that of what follows, not a multiple of
 *                           4, or too large; padding is not 0; a bit of wait_mask is
 *                           not below VGPU_SUBMIT_QUEUES_MAX, or of this very queue
 *   ERR_INVALID_CONTEXT_ID  there is no such context (any more)
 *   ERR_OUT_OF_MEMORY       the commands need memory that the profile does not give
 * A request that is refused waits for nothing.
 */
#define VGPU_CMD_SUBMIT 0x7600

struct vgpu_submit {
    __le32 size; /* of the commands, bytes */
    __le32 control_seq;
    __le32 wait_mask; /* bit i: submit queue i */
    __le32 padding;   /* 0 */
    __le32 wait_seq[VGPU_SUBMIT_QUEUES_MAX];
};

/*
 * WAIT, on the control queue alone: the requests behind it are run not before
 * the submit queues have come that far.  For what must find the work of another
 * queue done: a transfer from the host, a flush of a scanout, the end of a
 * context or of a resource.  Answer: a header, when the wait is over; errors as above.
 */
#define VGPU_CMD_WAIT 0x7601

struct vgpu_wait {
    __le32 wait_mask;
    __le32 padding; /* 0 */
    __le32 wait_seq[VGPU_SUBMIT_QUEUES_MAX];
};

/* ---- the capset ---------------------------------------------------------------------- */

/* 16 to 30: stock Linux computes 1 << id in an int. */
#define VGPU_CAPSET_ID      16
#define VGPU_CAPSET_VERSION 2

#define VGPU_API_GL     (1u << 0)
#define VGPU_API_VULKAN (1u << 1)

/*
 * Facts, read with GET_CAPSET; they may change with VGPU_EVENT_PROFILE and with
 * a reset.  Strings are UTF-8 and end in NUL.  Later versions append: a reader
 * takes any version that is not below what it needs, and as many bytes as size
 * says.
 */
struct vgpu_capset {
    __le32 version;      /* VGPU_CAPSET_VERSION */
    __le32 size;         /* sizeof(struct vgpu_capset) */
    __le64 memory_limit; /* bytes of GPU memory of this VM */
    __le32 max_contexts; /* 0: no bound */
    __le32 max_outputs;
    char profile[64];
    char gpu[64];
    char renderer[128];    /* the host's GL_RENDERER, or "" */
    char host_version[32]; /* of vgpu-renderer */
    /* version 2 */
    __le32 apis; /* VGPU_API_*: what this VM's renderer serves */
    __le32 padding;
    char gl_version[96]; /* the host's GL_VERSION, or "": names the release of its driver */
};

_Static_assert(sizeof(struct vgpu_submit) == 16 + 4 * VGPU_SUBMIT_QUEUES_MAX, "wire");
_Static_assert(sizeof(struct vgpu_wait) == 8 + 4 * VGPU_SUBMIT_QUEUES_MAX, "wire");
_Static_assert(sizeof(struct vgpu_capset) == 24 + 64 + 64 + 128 + 32 + 8 + 96, "wire");

#endif
