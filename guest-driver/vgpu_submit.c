// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * EXECBUFFER: commands of user space to its context on the host.
 *
 * All that can fail comes before the request is on the queue: what the submit
 * waits for, its copy of the commands, the fence and everything that the fence
 * is to be put into.  From there on nothing fails, so that user space never
 * sees an error for a submit that was sent.
 */
#include <linux/dma-fence-unwrap.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/sync_file.h>
#include <linux/uaccess.h>

#include <drm/drm_gem.h>
#include <drm/drm_syncobj.h>

#include "vgpu_drv.h"
#include "vgpu_trace.h"

/* Objects and syncobjs of one submit: more is a mistake. */
#define OBJECTS_MAX 65536
#define SYNCOBJS_MAX 4096

struct post {
	struct drm_syncobj *syncobj;
	struct dma_fence_chain *chain; /* of a timeline syncobj */
	u64 point;
};

struct submit {
	struct drm_file *file;
	struct vgpu_device *vgpu;
	struct vgpu_context *context;
	struct vgpu_execbuffer *args;
	struct vgpu_timeline *timeline;
	struct vgpu_request *request;
	struct vgpu_fence *fence;
	struct drm_gem_object **objects;
	struct ww_acquire_ctx ticket;
	struct post *posts;
	u32 num_posts;
	struct sync_file *sync_file;
	int fence_fd;
};

static int check_args(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;

	if (args->flags & ~VIRTGPU_EXECBUF_FLAGS)
		return -EINVAL;
	if (args->flags & VIRTGPU_EXECBUF_RING_IDX) {
		if (!s->context->has_rings ||
		    args->ring_idx >= s->context->num_rings)
			return -EINVAL;
	} else if (args->ring_idx) {
		return -EINVAL;
	}
	if (args->num_bo_handles > OBJECTS_MAX ||
	    args->num_in_syncobjs > SYNCOBJS_MAX ||
	    args->num_out_syncobjs > SYNCOBJS_MAX)
		return -EINVAL;
	return 0;
}

/* --------------------------------------------------- what is waited for */

/* The device runs a timeline in order: of our own nothing is waited for. */
static int wait_for(struct submit *s, struct dma_fence *fence)
{
	struct dma_fence_unwrap cursor;
	struct dma_fence *each;
	int ret = 0;

	dma_fence_unwrap_for_each(each, &cursor, fence) {
		if (each->context == s->timeline->context)
			continue;
		ret = dma_fence_wait(each, true);
		if (ret)
			break;
	}
	/* the cursor holds the chain where it stopped */
	if (ret)
		dma_fence_put(cursor.chain);
	return ret;
}

static int wait_for_fd(struct submit *s)
{
	struct dma_fence *fence;
	int ret;

	if (!(s->args->flags & VIRTGPU_EXECBUF_FENCE_FD_IN))
		return 0;
	fence = sync_file_get_fence(s->args->fence_fd);
	if (!fence)
		return -EINVAL;
	ret = wait_for(s, fence);
	dma_fence_put(fence);
	return ret;
}

static int copy_syncobj(struct submit *s, u64 array, u32 i,
			struct drm_virtgpu_execbuffer_syncobj *to)
{
	u32 stride = s->args->syncobj_stride;

	memset(to, 0, sizeof(*to));
	if (copy_from_user(to, u64_to_user_ptr(array + (u64)i * stride),
			   min_t(size_t, stride, sizeof(*to))))
		return -EFAULT;
	if (to->flags & ~VIRTGPU_EXECBUF_SYNCOBJ_FLAGS)
		return -EINVAL;
	return 0;
}

static int wait_for_syncobjs(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;
	struct drm_virtgpu_execbuffer_syncobj in;
	struct dma_fence *fence;
	u32 i;
	int ret;

	for (i = 0; i < args->num_in_syncobjs; i++) {
		ret = copy_syncobj(s, args->in_syncobjs, i, &in);
		if (ret)
			return ret;
		ret = drm_syncobj_find_fence(s->file, in.handle, in.point, 0,
					     &fence);
		if (ret)
			return ret;
		ret = wait_for(s, fence);
		dma_fence_put(fence);
		if (ret)
			return ret;
	}
	return 0;
}

/* After the last failure: syncobjs that the submit has consumed. */
static void reset_syncobjs(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;
	struct drm_virtgpu_execbuffer_syncobj in;
	struct drm_syncobj *syncobj;
	u32 i;

	for (i = 0; i < args->num_in_syncobjs; i++) {
		if (copy_syncobj(s, args->in_syncobjs, i, &in) ||
		    !(in.flags & VIRTGPU_EXECBUF_SYNCOBJ_RESET))
			continue;
		syncobj = drm_syncobj_find(s->file, in.handle);
		if (!syncobj)
			continue;
		drm_syncobj_replace_fence(syncobj, NULL);
		drm_syncobj_put(syncobj);
	}
}

/* ------------------------------------------------- what the fence goes into */

static int prepare_posts(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;
	struct drm_virtgpu_execbuffer_syncobj out;
	int ret;

	if (!args->num_out_syncobjs)
		return 0;
	s->posts =
		kvcalloc(args->num_out_syncobjs, sizeof(*s->posts), GFP_KERNEL);
	if (!s->posts)
		return -ENOMEM;
	for (; s->num_posts < args->num_out_syncobjs; s->num_posts++) {
		struct post *post = &s->posts[s->num_posts];

		ret = copy_syncobj(s, args->out_syncobjs, s->num_posts, &out);
		if (ret)
			return ret;
		if (out.flags)
			return -EINVAL;
		if (out.point) {
			post->chain = dma_fence_chain_alloc();
			if (!post->chain)
				return -ENOMEM;
			post->point = out.point;
		}
		post->syncobj = drm_syncobj_find(s->file, out.handle);
		if (!post->syncobj) {
			dma_fence_chain_free(post->chain);
			return -EINVAL;
		}
	}
	return 0;
}

/* The file is told when this fence signals. */
static bool polled(const struct submit *s)
{
	return s->args->flags & VIRTGPU_EXECBUF_RING_IDX &&
	       s->context->poll_rings & BIT_ULL(s->args->ring_idx);
}

static int prepare_event(struct submit *s)
{
	struct drm_pending_event *event;
	struct drm_event *payload;
	int ret;

	if (!polled(s))
		return 0;
	/* the core frees the first member's allocation, whole */
	event = kzalloc(sizeof(*event) + sizeof(*payload), GFP_KERNEL);
	if (!event)
		return -ENOMEM;
	payload = (void *)(event + 1);
	payload->type = VIRTGPU_EVENT_FENCE_SIGNALED;
	payload->length = sizeof(*payload);
	ret = drm_event_reserve_init(&s->vgpu->drm, s->file, event, payload);
	if (ret) {
		kfree(event);
		return ret;
	}
	s->fence->event = event;
	return 0;
}

static int prepare_fence(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;
	bool fd = args->flags & VIRTGPU_EXECBUF_FENCE_FD_OUT;

	if (!fd && !args->num_out_syncobjs && !args->num_bo_handles &&
	    !polled(s))
		return 0;
	s->fence = vgpu_fence_alloc(s->timeline);
	if (!s->fence)
		return -ENOMEM;
	kref_get(&s->context->ref);
	s->fence->context = s->context;
	if (args->flags & VIRTGPU_EXECBUF_RING_IDX) {
		s->fence->has_ring = true;
		s->fence->ring_idx = args->ring_idx;
	}
	if (!fd)
		return 0;
	s->fence_fd = get_unused_fd_flags(O_CLOEXEC);
	if (s->fence_fd < 0)
		return s->fence_fd;
	s->sync_file = sync_file_create(&s->fence->base);
	return s->sync_file ? 0 : -ENOMEM;
}

static int prepare_objects(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;

	if (!args->num_bo_handles)
		return 0;
	return drm_gem_objects_lookup(s->file,
				      u64_to_user_ptr(args->bo_handles),
				      args->num_bo_handles, &s->objects);
}

static int prepare_request(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;
	int ret;

	s->request = vgpu_cmd_submit_request(s->context, s->context->queue,
					     args->size);
	if (!s->request)
		return -ENOMEM;
	ret = vgpu_payload_alloc(s->context->queue, &s->request->payload,
				 args->size);
	if (ret)
		return ret;
	return vgpu_payload_from_user(&s->request->payload,
				      u64_to_user_ptr(args->command));
}

/* One needs no ticket. */
static int lock_reservations(struct submit *s)
{
	if (s->args->num_bo_handles == 1)
		return dma_resv_lock_interruptible(s->objects[0]->resv, NULL);
	return drm_gem_lock_reservations(s->objects, s->args->num_bo_handles,
					 &s->ticket);
}

static void unlock_reservations(struct submit *s)
{
	if (s->args->num_bo_handles == 1)
		dma_resv_unlock(s->objects[0]->resv);
	else
		drm_gem_unlock_reservations(s->objects, s->args->num_bo_handles,
					    &s->ticket);
}

static int lock_objects(struct submit *s)
{
	u32 i, n = s->args->num_bo_handles;
	int ret;

	if (!n)
		return 0;
	ret = lock_reservations(s);
	if (ret)
		return ret;
	for (i = 0; i < n && !ret; i++)
		ret = dma_resv_reserve_fences(s->objects[i]->resv, 1);
	if (ret)
		unlock_reservations(s);
	return ret;
}

/* ------------------------------------------------------------- the send */

/*
 * On a queue of its own it has to say what it comes after: all that control has
 * been asked for, and who used its objects before.
 */
static void order(struct submit *s, struct vgpu_queue *queue)
{
	struct vgpu_submit *submit = vgpu_submit_of(s->request);
	u32 i;

	submit->control_seq = cpu_to_le32(READ_ONCE(s->vgpu->control.seq));
	for (i = 0; i < s->args->num_bo_handles; i++)
		vgpu_order_submit(queue, submit,
				  to_vgpu_object(s->objects[i])->used);
}

/* With the reservations of its objects held. */
static void note_use(struct submit *s, u64 use)
{
	u32 i;

	for (i = 0; i < s->args->num_bo_handles; i++)
		WRITE_ONCE(to_vgpu_object(s->objects[i])->used, use);
}

/* Nothing fails from here on. */
static void send(struct submit *s)
{
	const struct vgpu_execbuffer *args = s->args;
	struct vgpu_queue *queue = s->context->queue;
	struct vgpu_request *request = s->request;
	u32 i, seq;

	if (queue->index >= VGPU_QUEUE_SUBMIT)
		order(s, queue);
	s->request = NULL;
	if (s->fence) {
		dma_fence_get(&s->fence->base);
		request->fence = s->fence;
	}
	atomic64_inc(&s->context->stats.submits);
	trace_vgpu_submit(s->context, queue->index, args->ring_idx, args->size);
	if (vgpu_queue_add_numbered(queue, request, &seq))
		note_use(s, vgpu_use(queue, seq));
	vgpu_queue_kick(queue);

	for (i = 0; i < args->num_bo_handles; i++)
		dma_resv_add_fence(s->objects[i]->resv, &s->fence->base,
				   DMA_RESV_USAGE_WRITE);
	if (args->num_bo_handles)
		unlock_reservations(s);
	for (i = 0; i < s->num_posts; i++) {
		struct post *post = &s->posts[i];

		if (post->chain)
			drm_syncobj_add_point(post->syncobj, post->chain,
					      &s->fence->base, post->point);
		else
			drm_syncobj_replace_fence(post->syncobj,
						  &s->fence->base);
		post->chain = NULL;
	}
	reset_syncobjs(s);
	if (s->sync_file) {
		s->args->fence_fd = s->fence_fd;
		fd_install(s->fence_fd, s->sync_file->file);
		s->sync_file = NULL;
		s->fence_fd = -1;
	}
}

static void cleanup(struct submit *s)
{
	u32 i;

	for (i = 0; i < s->num_posts; i++) {
		dma_fence_chain_free(s->posts[i].chain);
		drm_syncobj_put(s->posts[i].syncobj);
	}
	kvfree(s->posts);
	if (s->objects) {
		for (i = 0; i < s->args->num_bo_handles; i++)
			if (s->objects[i])
				drm_gem_object_put(s->objects[i]);
		kvfree(s->objects);
	}
	if (s->sync_file)
		fput(s->sync_file->file);
	if (s->fence_fd >= 0)
		put_unused_fd(s->fence_fd);
	if (s->request) {
		/* never sent */
		if (s->fence && s->fence->event)
			drm_event_cancel_free(&s->vgpu->drm, s->fence->event);
		vgpu_request_put(s->request);
	}
	if (s->fence)
		dma_fence_put(&s->fence->base);
}

int vgpu_execbuffer_ioctl(struct drm_device *drm, void *data,
			  struct drm_file *file)
{
	struct submit s = {
		.file = file,
		.vgpu = to_vgpu(drm),
		.args = data,
		.fence_fd = -1,
	};
	int ret;

	if (!s.vgpu->has_virgl)
		return -EOPNOTSUPP;
	ret = vgpu_context_ready(file, &s.context);
	if (ret)
		return ret;
	ret = check_args(&s);
	if (ret)
		return ret;
	s.timeline = s.context->timeline;
	if (s.args->flags & VIRTGPU_EXECBUF_RING_IDX)
		s.timeline = vgpu_context_ring(s.context, s.args->ring_idx);
	if (!s.timeline)
		return -ENOMEM;

	ret = wait_for_fd(&s)				    ?:
		      wait_for_syncobjs(&s)		    ?:
		      vgpu_queue_throttle(s.context->queue) ?:
		      prepare_request(&s)		    ?:
		      prepare_objects(&s)		    ?:
		      prepare_posts(&s)			    ?:
		      prepare_fence(&s)			    ?:
		      prepare_event(&s)			    ?:
							      lock_objects(&s);
	if (!ret)
		send(&s);
	cleanup(&s);
	return ret;
}
