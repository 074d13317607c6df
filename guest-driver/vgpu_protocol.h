/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vgpu: the wire.  The standard's part is linux/virtio_gpu.h; this adds what
 * older kernels' copy lacks, and the vgpu extension.
 */
#ifndef VGPU_PROTOCOL_H
#define VGPU_PROTOCOL_H

#include <linux/types.h>
#include <linux/virtio_gpu.h>

#include "vgpu_compat.h"

#include <vgpu/stats.h>
#include <vgpu/virtio.h>

/* what user space may know of before its kernel's headers do */
#include <drm/virtgpu_drm.h>

#ifndef VIRTGPU_PARAM_EXPLICIT_DEBUG_NAME
#define VIRTGPU_PARAM_EXPLICIT_DEBUG_NAME 8
#define VIRTGPU_CONTEXT_PARAM_DEBUG_NAME 0x0004
#endif

/* 6.6: EXECBUFFER with syncobjs; the core tells the two sizes apart */
#if VGPU_KERNEL(6, 6)
#define vgpu_execbuffer drm_virtgpu_execbuffer
#else
#define VIRTGPU_EXECBUF_SYNCOBJ_RESET 0x01
#define VIRTGPU_EXECBUF_SYNCOBJ_FLAGS VIRTGPU_EXECBUF_SYNCOBJ_RESET

struct drm_virtgpu_execbuffer_syncobj {
	__u32 handle;
	__u32 flags;
	__u64 point;
};

struct vgpu_execbuffer {
	__u32 flags;
	__u32 size;
	__u64 command;
	__u64 bo_handles;
	__u32 num_bo_handles;
	__s32 fence_fd;
	__u32 ring_idx;
	__u32 syncobj_stride;
	__u32 num_in_syncobjs;
	__u32 num_out_syncobjs;
	__u64 in_syncobjs;
	__u64 out_syncobjs;
};
#endif

#endif
