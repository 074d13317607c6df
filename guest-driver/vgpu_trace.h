/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* vgpu: tracepoints: events/vgpu of tracefs. */
/* clang-format off */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vgpu

#if !defined(VGPU_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VGPU_TRACE_H

#include <linux/tracepoint.h>

#include "vgpu_drv.h"

/* A request was given to a queue: on its ring, or behind it. */
TRACE_EVENT(vgpu_request_add,
	TP_PROTO(const struct vgpu_queue *queue,
		 const struct vgpu_request *request),
	TP_ARGS(queue, request),
	TP_STRUCT__entry(
		__field(u32, queue)
		__field(u32, type)
		__field(u32, ctx_id)
		__field(u32, flags)
		__field(u32, ring_idx)
		__field(u64, fence_id)
		__field(size_t, payload)
		__field(u32, in_flight)
		__field(u32, in_backlog)
	),
	TP_fast_assign(
		__entry->queue = queue->index;
		__entry->type = le32_to_cpu(request->hdr.type);
		__entry->ctx_id = le32_to_cpu(request->hdr.ctx_id);
		__entry->flags = le32_to_cpu(request->hdr.flags);
		__entry->ring_idx = request->hdr.ring_idx;
		__entry->fence_id = le64_to_cpu(request->hdr.fence_id);
		__entry->payload = request->payload.size;
		__entry->in_flight = queue->in_flight;
		__entry->in_backlog = queue->in_backlog;
	),
	TP_printk("queue=%u type=%#x ctx=%u flags=%#x ring=%u fence=%llu payload=%zu flight=%u backlog=%u",
		  __entry->queue, __entry->type, __entry->ctx_id,
		  __entry->flags, __entry->ring_idx, __entry->fence_id,
		  __entry->payload, __entry->in_flight, __entry->in_backlog)
);

/* It was answered, or has failed. */
TRACE_EVENT(vgpu_request_done,
	TP_PROTO(const struct vgpu_queue *queue,
		 const struct vgpu_request *request, int error),
	TP_ARGS(queue, request, error),
	TP_STRUCT__entry(
		__field(u32, queue)
		__field(u32, type)
		__field(u32, ctx_id)
		__field(u64, fence_id)
		__field(u64, took_ns)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->queue = queue->index;
		__entry->type = le32_to_cpu(request->hdr.type);
		__entry->ctx_id = le32_to_cpu(request->hdr.ctx_id);
		__entry->fence_id = le64_to_cpu(request->hdr.fence_id);
		__entry->took_ns = request->sent_ns ?
				   ktime_get_ns() - request->sent_ns : 0;
		__entry->error = error;
	),
	TP_printk("queue=%u type=%#x ctx=%u fence=%llu took=%llu ns error=%d",
		  __entry->queue, __entry->type, __entry->ctx_id,
		  __entry->fence_id, __entry->took_ns, __entry->error)
);

/* Somebody's commands, before they are put on a queue. */
TRACE_EVENT(vgpu_submit,
	TP_PROTO(const struct vgpu_context *context, u32 queue, u32 ring_idx,
		 u32 size),
	TP_ARGS(context, queue, ring_idx, size),
	TP_STRUCT__entry(
		__field(u32, ctx_id)
		__field(u32, queue)
		__field(u32, ring_idx)
		__field(u32, size)
	),
	TP_fast_assign(
		__entry->ctx_id = context->id;
		__entry->queue = queue;
		__entry->ring_idx = ring_idx;
		__entry->size = size;
	),
	TP_printk("ctx=%u queue=%u ring=%u size=%u", __entry->ctx_id,
		  __entry->queue, __entry->ring_idx, __entry->size)
);

TRACE_EVENT(vgpu_fence_signal,
	TP_PROTO(const struct vgpu_fence *fence, int error),
	TP_ARGS(fence, error),
	TP_STRUCT__entry(
		__field(u32, ctx_id)
		__field(u32, ring_idx)
		__field(u64, context)
		__field(u64, seqno)
		__field(u64, took_ns)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->ctx_id = fence->context ? fence->context->id : 0;
		__entry->ring_idx = fence->ring_idx;
		__entry->context = fence->base.context;
		__entry->seqno = fence->base.seqno;
		__entry->took_ns = ktime_get_ns() - fence->start_ns;
		__entry->error = error;
	),
	TP_printk("ctx=%u ring=%u context=%llu seqno=%llu took=%llu ns error=%d",
		  __entry->ctx_id, __entry->ring_idx, __entry->context,
		  __entry->seqno, __entry->took_ns, __entry->error)
);

/* The device was found lost, and why. */
TRACE_EVENT(vgpu_lost,
	TP_PROTO(const struct vgpu_device *vgpu, const char *why),
	TP_ARGS(vgpu, why),
	TP_STRUCT__entry(
		__field(u32, minor)
		__field(u32, generation)
		__array(char, why, 64)
	),
	TP_fast_assign(
		__entry->minor = vgpu->drm.primary->index;
		__entry->generation = vgpu->generation;
		strscpy(__entry->why, why, sizeof(__entry->why));
	),
	TP_printk("card=%u generation=%u: %s", __entry->minor,
		  __entry->generation, __entry->why)
);

/* It was reset, or could not be. */
TRACE_EVENT(vgpu_reset,
	TP_PROTO(const struct vgpu_device *vgpu, int error),
	TP_ARGS(vgpu, error),
	TP_STRUCT__entry(
		__field(u32, minor)
		__field(u32, generation)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->minor = vgpu->drm.primary->index;
		__entry->generation = vgpu->generation;
		__entry->error = error;
	),
	TP_printk("card=%u generation=%u error=%d", __entry->minor,
		  __entry->generation, __entry->error)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE vgpu_trace
#include <trace/define_trace.h>
