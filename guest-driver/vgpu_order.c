// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The order of work on several queues.
 *
 * Theory of operation.  With one queue everything happens in the order in which
 * it was asked for, and user space relies on it.  A device with submit queues
 * (include/vgpu/virtio.h) orders the requests of each queue, and across queues
 * what a request asks for.  A context's submits all go to one queue, its other
 * requests to the control queue; so there are three kinds of order to ask for:
 *
 *	submit after control	a submit names the number of control requests
 *				that there were: those it may depend on are
 *				among them.
 *	control after submit	a request that needs a context's work behind it
 *				(a transfer, the end of the context) follows a
 *				WAIT for that queue, unless one was sent since.
 *	submit after submit	an object remembers the last submit that named
 *				it; the next one names that submit if it is on
 *				another queue.  That one did the same.
 *
 * To wait means to wait until the host has handed the work to its renderer, not
 * until it is done: what is then in front of what is the renderer's to keep.
 *
 * A use is one word, so that it is read whole: 0 is none, else a queue and the
 * number of a request on it.  Numbers start anew when the device is reset;
 * requests carry the generation of the device that theirs are of.
 */
#include "vgpu_drv.h"

#define USE_VALID BIT_ULL(63)
#define USE_QUEUE_SHIFT 32

u64 vgpu_use(const struct vgpu_queue *queue, u32 seq)
{
	if (queue->index < VGPU_QUEUE_SUBMIT)
		return 0;
	return USE_VALID |
	       (u64)(queue->index - VGPU_QUEUE_SUBMIT) << USE_QUEUE_SHIFT | seq;
}

static unsigned int use_queue(u64 use)
{
	return (use & ~USE_VALID) >> USE_QUEUE_SHIFT;
}

static u32 use_seq(u64 use)
{
	return lower_32_bits(use);
}

/* All that was put on a queue until now. */
u64 vgpu_use_now(struct vgpu_queue *queue)
{
	return vgpu_use(queue, READ_ONCE(queue->seq));
}

/*
 * vgpu_order_control - control requests that are added from now on run after
 * @use; @generation is that of the device when it was noted.
 */
int vgpu_order_control(struct vgpu_device *vgpu, u64 use, u32 generation)
{
	unsigned int i = use_queue(use);
	struct vgpu_request *request;
	struct vgpu_wait *wait;
	u32 seq;

	if (!use || i >= vgpu->num_submit ||
	    (s32)(READ_ONCE(vgpu->waited[i]) - use_seq(use)) >= 0)
		return 0;
	request = vgpu_request_alloc(VGPU_CMD_WAIT,
				     sizeof(request->hdr) + sizeof(*wait),
				     VIRTIO_GPU_RESP_OK_NODATA,
				     sizeof(struct virtio_gpu_ctrl_hdr));
	if (!request)
		return -ENOMEM;
	request->generation = generation;
	wait = (void *)(&request->hdr + 1);
	wait->wait_mask = cpu_to_le32(BIT(i));
	wait->wait_seq[i] = cpu_to_le32(use_seq(use));
	/* after it, so that who sees the number has the request in front */
	if (vgpu_queue_add_numbered(&vgpu->control, request, &seq))
		WRITE_ONCE(vgpu->waited[i], use_seq(use));
	return 0;
}

/* A submit of @queue is to run after @use. */
void vgpu_order_submit(const struct vgpu_queue *queue,
		       struct vgpu_submit *submit, u64 use)
{
	unsigned int i = use_queue(use);
	u32 mask = le32_to_cpu(submit->wait_mask);

	if (!use || i == queue->index - VGPU_QUEUE_SUBMIT)
		return;
	if (mask & BIT(i) &&
	    (s32)(le32_to_cpu(submit->wait_seq[i]) - use_seq(use)) >= 0)
		return;
	submit->wait_mask = cpu_to_le32(mask | BIT(i));
	submit->wait_seq[i] = cpu_to_le32(use_seq(use));
}
