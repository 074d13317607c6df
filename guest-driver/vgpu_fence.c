// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Fences.
 *
 * Theory of operation.  A fenced request is answered when its work is done
 * (virtio 1.2, section 5.7.6.7), so a fence belongs to its request and signals
 * with its answer; the id on the wire is for the device's own use.
 *
 * A timeline is an order: the fences of one signal oldest first.  Every context
 * has one of its own for submits that name no ring, and one for each ring; the
 * kernel's own requests share one.  The device may answer out of order all the
 * same (it is not trusted, and other drivers rely on the order of our
 * sequence numbers), so a fence takes those before it along.
 *
 * A fence may be held by anybody after its file, its context and the device
 * are gone: it keeps its timeline, in which its lock lies, and a timeline of
 * user space keeps the module.  The module is let go in an RCU callback and
 * waits for all of those when it leaves, so that no code of ours runs then.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "vgpu_drv.h"
#include "vgpu_trace.h"

static const char *fence_driver_name(struct dma_fence *base)
{
	return VGPU_DRIVER_NAME;
}

static const char *fence_timeline_name(struct dma_fence *base)
{
	return "vgpu";
}

static void fence_release(struct dma_fence *base)
{
	struct vgpu_fence *fence = container_of(base, struct vgpu_fence, base);
	struct vgpu_timeline *timeline = fence->timeline;

	if (fence->context)
		vgpu_context_put(fence->context);
	dma_fence_free(base);
	vgpu_timeline_put(timeline);
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = fence_driver_name,
	.get_timeline_name = fence_timeline_name,
	.release = fence_release,
};

struct vgpu_timeline *vgpu_timeline_alloc(bool pins_module)
{
	struct vgpu_timeline *timeline;

	timeline = kzalloc(sizeof(*timeline), GFP_KERNEL);
	if (!timeline)
		return NULL;
	kref_init(&timeline->ref);
	spin_lock_init(&timeline->lock);
	INIT_LIST_HEAD(&timeline->pending);
	timeline->context = dma_fence_context_alloc(1);
	timeline->pins_module = pins_module;
	if (pins_module)
		__module_get(THIS_MODULE);
	return timeline;
}

static void timeline_free_rcu(struct rcu_head *rcu)
{
	struct vgpu_timeline *timeline =
		container_of(rcu, struct vgpu_timeline, rcu);
	bool pins_module = timeline->pins_module;

	kfree(timeline);
	if (pins_module)
		module_put(THIS_MODULE);
}

static void timeline_free(struct kref *ref)
{
	struct vgpu_timeline *timeline =
		container_of(ref, struct vgpu_timeline, ref);

	/* a reader may have looked a fence up by RCU and want its lock */
	call_rcu(&timeline->rcu, timeline_free_rcu);
}

void vgpu_timeline_put(struct vgpu_timeline *timeline)
{
	if (timeline)
		kref_put(&timeline->ref, timeline_free);
}

struct vgpu_fence *vgpu_fence_alloc(struct vgpu_timeline *timeline)
{
	struct vgpu_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);

	if (!fence)
		return NULL;
	kref_get(&timeline->ref);
	fence->timeline = timeline;
	INIT_LIST_HEAD(&fence->link);
	/* its number comes with vgpu_fence_emit(), before anybody sees it */
	dma_fence_init(&fence->base, &fence_ops, &timeline->lock,
		       timeline->context, 0);
	return fence;
}

void vgpu_fence_emit(struct vgpu_device *vgpu, struct vgpu_fence *fence,
		     struct virtio_gpu_ctrl_hdr *hdr)
{
	struct vgpu_timeline *timeline = fence->timeline;
	u64 id = atomic64_inc_return(&vgpu->fence_ids);

	hdr->flags |= cpu_to_le32(VIRTIO_GPU_FLAG_FENCE);
	hdr->fence_id = cpu_to_le64(id);
	if (fence->has_ring) {
		hdr->flags |= cpu_to_le32(VIRTIO_GPU_FLAG_INFO_RING_IDX);
		hdr->ring_idx = fence->ring_idx;
	}
	fence->start_ns = ktime_get_ns();
	if (fence->context) {
		atomic_inc(&fence->context->in_flight);
		vgpu_stats_submit(fence->context, fence);
	}

	/* the caller has the queue's lock, with interrupts off */
	spin_lock(&timeline->lock);
	fence->base.seqno = ++timeline->seqno;
	list_add_tail(&fence->link, &timeline->pending);
	spin_unlock(&timeline->lock);
}

void vgpu_fence_signal(struct vgpu_device *vgpu, struct vgpu_fence *fence,
		       int error)
{
	struct vgpu_timeline *timeline = fence->timeline;
	struct vgpu_fence *each, *next;
	unsigned long flags;
	LIST_HEAD(done);

	spin_lock_irqsave(&timeline->lock, flags);
	if (test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->base.flags)) {
		/* a later one took it along */
		spin_unlock_irqrestore(&timeline->lock, flags);
		return;
	}
	list_for_each_entry_safe(each, next, &timeline->pending, link) {
		list_move_tail(&each->link, &done);
		/* the request that holds it may be finished beside us */
		dma_fence_get(&each->base);
		if (each == fence && error)
			dma_fence_set_error(&each->base, error);
		dma_fence_signal_locked(&each->base);
		if (each == fence)
			break;
	}
	spin_unlock_irqrestore(&timeline->lock, flags);

	list_for_each_entry_safe(each, next, &done, link) {
		trace_vgpu_fence_signal(each, each == fence ? error : 0);
		if (each->context) {
			atomic_dec(&each->context->in_flight);
			vgpu_stats_signal(each->context, each);
		}
		if (each->event)
			drm_send_event(&vgpu->drm, each->event);
		each->event = NULL;
		dma_fence_put(&each->base);
	}
}
