// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests on virtqueues (virtio 1.2, sections 2.6 and 5.7.6).
 *
 * Theory of operation.  A request is one allocation: our own words, the
 * command and the answer.  It is on one of two lists of its queue: flight,
 * while the device has it, or backlog, while the ring has no room for it; both
 * in order.  So a caller never sleeps for room and sending cannot fail: whoever
 * must (the files' clean-up, displays in atomic context) just sends.  What user
 * space can ask for without end calls vgpu_queue_throttle() first.
 *
 * Answers are taken in the interrupt handler: fences signal there, with no
 * worker in between, and done() callbacks run.
 *
 * The device is not trusted.  An answer is good if its type is the one that the
 * command asks for and if the device says that it wrote all of it; anything
 * else is an error of that request alone.  What the device returns that it was
 * never given, or twice, the virtio core refuses: it marks the ring broken, and
 * we take the device for lost.
 *
 * On a lost device requests fail at once.  Those that it had keep their memory
 * until the device is reset, as it may write until then: vgpu_queues_kill()
 * comes before the reset and vgpu_queues_stop() after it.
 *
 * Locks.  queue->lock covers both lists and the ring; a timeline's lock nests
 * inside.  The kick leaves the machine and is done outside of the lock, in an
 * SRCU section, as the ring might go away meanwhile.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vgpu_drv.h"
#include "vgpu_trace.h"

/* Pieces of a payload: as large as the page allocator likes to give. */
#define PIECE_MAX (64 * 1024)
#define PIECES_MAX 512

/* User commands wait while so many requests wait for the ring. */
#define BACKLOG_MAX 256

struct vgpu_request *vgpu_request_alloc(u32 cmd_type, u32 cmd_size,
					u32 resp_type, u32 resp_size)
{
	size_t at = ALIGN(offsetof(struct vgpu_request, hdr) + cmd_size,
			  SMP_CACHE_BYTES);
	struct vgpu_request *request;

	request = kzalloc(max(at + resp_size, sizeof(*request)), GFP_KERNEL);
	if (!request)
		return NULL;
	kref_init(&request->ref);
	INIT_LIST_HEAD(&request->link);
	init_completion(&request->answered);
	request->cmd_size = cmd_size;
	request->resp = (void *)request + at;
	request->resp_size = resp_size;
	request->resp_min = resp_size;
	request->resp_type = resp_type;
	request->hdr.type = cpu_to_le32(cmd_type);
	return request;
}

static void request_free(struct kref *ref)
{
	struct vgpu_request *request =
		container_of(ref, struct vgpu_request, ref);

	if (request->fence)
		dma_fence_put(&request->fence->base);
	if (request->object)
		vgpu_object_put(request->object);
	vgpu_payload_free(&request->payload);
	kfree(request);
}

void vgpu_request_put(struct vgpu_request *request)
{
	kref_put(&request->ref, request_free);
}

/* ------------------------------------------------------------- payloads */

int vgpu_payload_alloc(struct vgpu_queue *queue, struct vgpu_payload *payload,
		       size_t size)
{
	/* a chain is as long as the ring at most, indirect or not */
	unsigned int max =
		min_t(unsigned int, READ_ONCE(queue->size), PIECES_MAX);
	size_t left = size, piece;
	void *data;

	if (!size)
		return 0;
	payload->size = size;
	if (size <= PIECE_MAX) {
		data = kmalloc(size, GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
		if (data) {
			payload->sg = &payload->first;
			payload->count = 1;
			sg_init_one(payload->sg, data, size);
			return 0;
		}
	}
	if (max <= 2)
		return -EIO;
	max -= 2;
	if (size > (size_t)max * PIECE_MAX)
		return -E2BIG;

	payload->sg = kvcalloc(max, sizeof(*payload->sg), GFP_KERNEL);
	if (!payload->sg)
		return -ENOMEM;
	sg_init_table(payload->sg, max);
	piece = PIECE_MAX;
	while (left && payload->count < max) {
		piece = min(piece, left);
		data = kmalloc(piece, piece <= PAGE_SIZE ?
					      GFP_KERNEL :
					      GFP_KERNEL | __GFP_NOWARN |
						      __GFP_NORETRY);
		if (!data && piece > PAGE_SIZE) {
			piece = max_t(size_t, piece / 2, PAGE_SIZE);
			continue;
		}
		if (!data)
			break;
		sg_set_buf(&payload->sg[payload->count++], data, piece);
		left -= piece;
	}
	if (left) {
		vgpu_payload_free(payload);
		return -ENOMEM;
	}
	sg_mark_end(&payload->sg[payload->count - 1]);
	return 0;
}

int vgpu_payload_from_user(struct vgpu_payload *payload,
			   const void __user *from)
{
	unsigned int i;

	for (i = 0; i < payload->count; i++) {
		struct scatterlist *sg = &payload->sg[i];

		if (copy_from_user(sg_virt(sg), from, sg->length))
			return -EFAULT;
		from += sg->length;
	}
	return 0;
}

void vgpu_payload_free(struct vgpu_payload *payload)
{
	unsigned int i;

	for (i = 0; i < payload->count; i++)
		kfree(sg_virt(&payload->sg[i]));
	if (payload->sg != &payload->first)
		kvfree(payload->sg);
	memset(payload, 0, sizeof(*payload));
}

/* -------------------------------------------------------------- sending */

/* With the queue's lock held.  false: the ring has no room for it now. */
static bool put_on_ring(struct vgpu_queue *queue, struct vgpu_request *request)
{
	struct scatterlist cmd, resp, *sgs[3];
	unsigned int out = 0, in = 0;

	sg_init_one(&cmd, &request->hdr, request->cmd_size);
	sgs[out++] = &cmd;
	if (request->payload.count)
		sgs[out++] = request->payload.sg;
	if (request->resp_size) {
		sg_init_one(&resp, request->resp, request->resp_size);
		sgs[out + in++] = &resp;
	}
	if (virtqueue_add_sgs(queue->vq, sgs, out, in, request, GFP_ATOMIC))
		return false;
	list_move_tail(&request->link, &queue->flight);
	queue->in_flight++;
	queue->sent++;
	return true;
}

/* What runs for every request in the end; irqs may be off, no lock is held. */
static void finish(struct vgpu_queue *queue, struct vgpu_request *request,
		   int error)
{
	struct vgpu_device *vgpu = queue->vgpu;

	trace_vgpu_request_done(queue, request, error);
	request->error = error;
	if (request->fence)
		vgpu_fence_signal(vgpu, request->fence, error);
	if (request->done)
		request->done(vgpu, request, error);
	complete_all(&request->answered);
	vgpu_request_put(request);
}

static void finish_all(struct vgpu_queue *queue, struct list_head *list)
{
	struct vgpu_request *request, *next;

	list_for_each_entry_safe(request, next, list, link) {
		list_del_init(&request->link);
		finish(queue, request, request->error);
	}
}

bool vgpu_queue_add_numbered(struct vgpu_queue *queue,
			     struct vgpu_request *request, u32 *seq)
{
	unsigned long flags;
	bool fits;

	spin_lock_irqsave(&queue->lock, flags);
	request->sent_ns = ktime_get_ns();
	if (request->fence)
		vgpu_fence_emit(queue->vgpu, request->fence, &request->hdr);
	trace_vgpu_request_add(queue, request);
	/* what was made for the device before its reset would confuse it now */
	if (queue->dead ||
	    (request->generation &&
	     request->generation != READ_ONCE(queue->vgpu->generation))) {
		spin_unlock_irqrestore(&queue->lock, flags);
		finish(queue, request, -EIO);
		return false;
	}
	fits = list_empty(&queue->backlog) && put_on_ring(queue, request);
	if (!fits && !queue->in_flight) {
		/* no answer will make room: it never fits */
		queue->errors++;
		spin_unlock_irqrestore(&queue->lock, flags);
		finish(queue, request, -E2BIG);
		return false;
	}
	if (!fits) {
		list_add_tail(&request->link, &queue->backlog);
		queue->in_backlog++;
	}
	*seq = ++queue->seq;
	spin_unlock_irqrestore(&queue->lock, flags);
	return true;
}

void vgpu_queue_add(struct vgpu_queue *queue, struct vgpu_request *request)
{
	u32 seq;

	vgpu_queue_add_numbered(queue, request, &seq);
}

void vgpu_queue_kick(struct vgpu_queue *queue)
{
	struct vgpu_device *vgpu = queue->vgpu;
	struct virtqueue *vq = NULL;
	unsigned long flags;
	int section;

	section = srcu_read_lock(&vgpu->rings);
	spin_lock_irqsave(&queue->lock, flags);
	if (!queue->dead && virtqueue_kick_prepare(queue->vq)) {
		vq = queue->vq;
		queue->kicks++;
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	if (vq && !virtqueue_notify(vq))
		vgpu_lose(vgpu, "a queue cannot be kicked any more");
	srcu_read_unlock(&vgpu->rings, section);
}

int vgpu_queue_throttle(struct vgpu_queue *queue)
{
	if (READ_ONCE(queue->in_backlog) < BACKLOG_MAX)
		return 0;
	queue->waits++;
	return wait_event_killable(queue->room,
				   READ_ONCE(queue->in_backlog) < BACKLOG_MAX);
}

int vgpu_queue_call(struct vgpu_queue *queue, struct vgpu_request *request,
		    unsigned long timeout, struct vgpu_request **answer)
{
	long left;
	int ret;

	kref_get(&request->ref);
	vgpu_queue_add(queue, request);
	vgpu_queue_kick(queue);
	left = wait_for_completion_killable_timeout(&request->answered,
						    timeout);
	if (left < 0)
		ret = left;
	else if (!left)
		ret = -ETIMEDOUT;
	else
		ret = request->error;
	if (!ret && answer)
		*answer = request;
	else
		vgpu_request_put(request);
	return ret;
}

/* -------------------------------------------------------------- answers */

static int error_of(u32 type)
{
	switch (type) {
	case VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY:
		return -ENOMEM;
	case VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID:
	case VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID:
	case VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID:
	case VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER:
		return -EINVAL;
	case VIRTIO_GPU_RESP_ERR_UNSPEC:
		return -EREMOTEIO;
	default:
		return -EPROTO;
	}
}

static int check_answer(struct vgpu_device *vgpu, struct vgpu_queue *queue,
			const struct vgpu_request *request, unsigned int len)
{
	const struct virtio_gpu_ctrl_hdr *hdr = request->resp;
	u32 type;
	int error;

	if (!request->resp_size)
		return 0;
	if (len < sizeof(*hdr)) {
		error = -EPROTO;
		type = 0;
	} else {
		type = le32_to_cpu(READ_ONCE(hdr->type));
		if (type != request->resp_type)
			error = error_of(type);
		else if (len < request->resp_min || len > request->resp_size)
			error = -EPROTO;
		else
			return 0;
	}
	queue->errors++;
	if (error == -EPROTO)
		drm_err_ratelimited(&vgpu->drm,
				    "the device's answer to command 0x%x makes no sense: type 0x%x, %u bytes\n",
				    le32_to_cpu(request->hdr.type), type, len);
	else
		drm_dbg(&vgpu->drm, "the device refuses command 0x%x: 0x%x\n",
			le32_to_cpu(request->hdr.type), type);
	return error;
}

static struct vgpu_queue *queue_of(struct virtqueue *vq)
{
	struct vgpu_device *vgpu = vq->vdev->priv;

	switch (vq->index) {
	case 0:
		return &vgpu->control;
	case 1:
		return &vgpu->cursor;
	default:
		return &vgpu->submit[vq->index - VGPU_QUEUE_SUBMIT];
	}
}

static void queue_answered(struct virtqueue *vq)
{
	struct vgpu_queue *queue = queue_of(vq);
	struct vgpu_device *vgpu = queue->vgpu;
	struct vgpu_request *request;
	bool room = false, kick = false, misfit = false;
	unsigned long flags;
	unsigned int len;
	LIST_HEAD(done);
	int section;

	section = srcu_read_lock(&vgpu->rings);
	spin_lock_irqsave(&queue->lock, flags);
	if (queue->dead) {
		spin_unlock_irqrestore(&queue->lock, flags);
		goto out;
	}
	queue->interrupts++;
	do {
		virtqueue_disable_cb(vq);
		while ((request = virtqueue_get_buf(vq, &len))) {
			list_move_tail(&request->link, &done);
			queue->in_flight--;
			queue->answered++;
			request->error =
				check_answer(vgpu, queue, request, len);
		}
		if (virtqueue_is_broken(vq))
			break;
	} while (!virtqueue_enable_cb(vq));

	while ((request = list_first_entry_or_null(&queue->backlog,
						   struct vgpu_request,
						   link))) {
		if (!put_on_ring(queue, request)) {
			if (queue->in_flight)
				break;
			/* its number is never going to be run */
			misfit = true;
			request->error = -E2BIG;
			list_move_tail(&request->link, &done);
		}
		queue->in_backlog--;
		room = true;
	}
	if (room)
		kick = virtqueue_kick_prepare(vq);
	spin_unlock_irqrestore(&queue->lock, flags);

	if (kick)
		virtqueue_notify(vq);
	finish_all(queue, &done);
	if (room)
		wake_up_all(&queue->room);
	if (misfit)
		vgpu_lose(vgpu, "a request does not fit on an empty ring");
	else if (virtqueue_is_broken(vq))
		vgpu_lose(vgpu, "the device broke a ring");
out:
	srcu_read_unlock(&vgpu->rings, section);
}

/* ---------------------------------------------------- a queue's life */

static void queue_init(struct vgpu_device *vgpu, struct vgpu_queue *queue,
		       unsigned int index, const char *name)
{
	queue->vgpu = vgpu;
	queue->index = index;
	queue->dead = true;
	strscpy(queue->name, name, sizeof(queue->name));
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->flight);
	INIT_LIST_HEAD(&queue->backlog);
	init_waitqueue_head(&queue->room);
}

int vgpu_queues_init(struct vgpu_device *vgpu)
{
	unsigned int i;
	char name[16];

	queue_init(vgpu, &vgpu->control, 0, "control");
	queue_init(vgpu, &vgpu->cursor, 1, "cursor");
	for (i = 0; i < ARRAY_SIZE(vgpu->submit); i++) {
		snprintf(name, sizeof(name), "submit%u", i);
		queue_init(vgpu, &vgpu->submit[i], VGPU_QUEUE_SUBMIT + i, name);
	}
	return init_srcu_struct(&vgpu->rings);
}

static struct vgpu_queue *nth_queue(struct vgpu_device *vgpu, unsigned int i)
{
	return i == 0 ? &vgpu->control :
	       i == 1 ? &vgpu->cursor :
			&vgpu->submit[i - VGPU_QUEUE_SUBMIT];
}

static unsigned int num_queues(struct vgpu_device *vgpu)
{
	return VGPU_QUEUE_SUBMIT + vgpu->num_submit;
}

int vgpu_queues_start(struct vgpu_device *vgpu)
{
	struct virtqueue *vqs[VGPU_QUEUE_SUBMIT + VGPU_SUBMIT_QUEUES_MAX];
	const char *names[ARRAY_SIZE(vqs)];
	unsigned int i, n = num_queues(vgpu);
	int ret;

	memset(vgpu->waited, 0, sizeof(vgpu->waited));
	for (i = 0; i < n; i++)
		names[i] = nth_queue(vgpu, i)->name;
	ret = vgpu_find_vqs(vgpu->vdev, n, vqs, queue_answered, names);
	if (ret)
		return ret;
	vgpu->has_rings = true;
	for (i = 0; i < n; i++) {
		struct vgpu_queue *queue = nth_queue(vgpu, i);

		spin_lock_irq(&queue->lock);
		queue->vq = vqs[i];
		queue->size = virtqueue_get_vring_size(vqs[i]);
		queue->seq = 0;
		queue->dead = false;
		spin_unlock_irq(&queue->lock);
	}
	return 0;
}

void vgpu_queues_kill(struct vgpu_device *vgpu)
{
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < num_queues(vgpu); i++) {
		struct vgpu_queue *queue = nth_queue(vgpu, i);

		spin_lock_irqsave(&queue->lock, flags);
		queue->dead = true;
		spin_unlock_irqrestore(&queue->lock, flags);
	}
}

void vgpu_queues_stop(struct vgpu_device *vgpu)
{
	struct vgpu_request *request;
	unsigned int i;

	vgpu_queues_kill(vgpu);
	synchronize_srcu(&vgpu->rings);
	for (i = 0; i < num_queues(vgpu); i++) {
		struct vgpu_queue *queue = nth_queue(vgpu, i);
		LIST_HEAD(failed);

		spin_lock_irq(&queue->lock);
		queue->vq = NULL;
		list_splice_init(&queue->flight, &failed);
		list_splice_tail_init(&queue->backlog, &failed);
		queue->in_flight = 0;
		queue->in_backlog = 0;
		spin_unlock_irq(&queue->lock);

		list_for_each_entry(request, &failed, link)
			request->error = -EIO;
		finish_all(queue, &failed);
		wake_up_all(&queue->room);
	}
	if (vgpu->has_rings)
		vgpu->vdev->config->del_vqs(vgpu->vdev);
	vgpu->has_rings = false;
}
