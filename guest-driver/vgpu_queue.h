/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* vgpu_vq.c: requests, and the virtqueues that they go by. */
#ifndef VGPU_QUEUE_H
#define VGPU_QUEUE_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_gpu.h>
#include <linux/wait.h>

struct vgpu_device;
struct vgpu_fence;
struct vgpu_object;
struct vgpu_queue;
struct vgpu_request;

/*
 * Called once per request, when it was answered or has failed, in the
 * interrupt handler or wherever the device was found lost: it must not sleep.
 * @error: 0, or -errno: -ENOMEM and -EINVAL are the device's answers,
 *	-EPROTO is an answer that makes no sense, -EIO a lost device.
 * request->resp holds the answer, whole and of the type asked for, if !error.
 */
typedef void (*vgpu_done_fn)(struct vgpu_device *vgpu,
			     struct vgpu_request *request, int error);

/* What follows a command: pieces that the device reads one after another. */
struct vgpu_payload {
	size_t size;
	unsigned int count;	/* 0: nothing follows */
	struct scatterlist *sg; /* &first, or allocated */
	struct scatterlist first;
};

/*
 * One command on its way.  Made by vgpu_request_alloc(), owned by the queue
 * from vgpu_queue_add() on.
 */
struct vgpu_request {
	struct kref ref;
	struct list_head link; /* queue->backlog or ->flight */
	u32 cmd_size;
	u32 resp_size;
	u32 resp_min;		    /* a good answer has as many bytes */
	u32 resp_type;		    /* VIRTIO_GPU_RESP_OK_* expected */
	int error;		    /* valid once done */
	u32 generation;		    /* of the device, or 0: any */
	vgpu_done_fn done;	    /* may be NULL */
	void *data;		    /* for done() */
	struct vgpu_object *object; /* vgpu_object_get(), put after done() */
	struct vgpu_fence *fence;   /* a reference, signalled before done() */
	struct vgpu_payload payload;
	struct completion answered;
	u64 sent_ns; /* ktime, for statistics */
	void *resp;  /* resp_size bytes */
	/* the command; the answer follows it */
	struct virtio_gpu_ctrl_hdr hdr;
};

struct vgpu_queue {
	struct vgpu_device *vgpu;
	char name[16];
	unsigned int index;

	spinlock_t lock;	  /* all below; irqsave */
	struct virtqueue *vq;	  /* NULL while there is none */
	unsigned int size;	  /* descriptors of the ring */
	struct list_head flight;  /* on the ring, oldest first */
	struct list_head backlog; /* did not fit, oldest first */
	unsigned int in_flight;
	unsigned int in_backlog;
	bool dead;		/* requests fail at once */
	u32 seq;		/* requests added since the reset */
	wait_queue_head_t room; /* the backlog got shorter */

	/* statistics, ever */
	u64 sent;
	u64 answered;
	u64 errors;
	u64 kicks;
	u64 interrupts;
	u64 waits; /* for room */
};

/*
 * vgpu_request_alloc - zeroed but for its header
 * @cmd_type:	VIRTIO_GPU_CMD_*
 * @cmd_size:	bytes of the command with its header
 * @resp_type:	VIRTIO_GPU_RESP_OK_* that is the only good answer
 * @resp_size:	bytes of the answer with its header
 * Returns NULL without memory.  May sleep.
 */
struct vgpu_request *vgpu_request_alloc(u32 cmd_type, u32 cmd_size,
					u32 resp_type, u32 resp_size);
void vgpu_request_put(struct vgpu_request *request);

/*
 * vgpu_payload_alloc - room for @size bytes behind the command
 * -E2BIG if it is more than the queue's ring can carry, -ENOMEM.
 */
int vgpu_payload_alloc(struct vgpu_queue *queue, struct vgpu_payload *payload,
		       size_t size);
int vgpu_payload_from_user(struct vgpu_payload *payload,
			   const void __user *from);
void vgpu_payload_free(struct vgpu_payload *payload);

/*
 * vgpu_queue_add - give a request to a queue; consumes the caller's reference
 *
 * Never sleeps and never fails: what does not fit waits in the backlog, and on
 * a lost device done() is called with -EIO before this returns.  The device
 * need not look before the next vgpu_queue_kick().
 */
void vgpu_queue_add(struct vgpu_queue *queue, struct vgpu_request *request);
/* The same; its number on the queue, or false if it has failed. */
bool vgpu_queue_add_numbered(struct vgpu_queue *queue,
			     struct vgpu_request *request, u32 *seq);
void vgpu_queue_kick(struct vgpu_queue *queue);

/*
 * vgpu_queue_call - add, kick and wait for the answer; consumes the reference
 * @timeout: jiffies; a worker cannot be killed and must have one
 * Waits, killable.  0, the request's error, -ETIMEDOUT or -ERESTARTSYS.  On
 * success *@answer, if not NULL, is the request with its answer, to be put.
 */
int vgpu_queue_call(struct vgpu_queue *queue, struct vgpu_request *request,
		    unsigned long timeout, struct vgpu_request **answer);

#define VGPU_WORKER_TIMEOUT (30 * HZ)

/* Waits, killable, until a queue's backlog is short: before user commands. */
int vgpu_queue_throttle(struct vgpu_queue *queue);

/* All of the device's queues: found and started; made to fail; taken away. */
int vgpu_queues_init(struct vgpu_device *vgpu); /* once, before the rest */
int vgpu_queues_start(struct vgpu_device *vgpu);
void vgpu_queues_kill(struct vgpu_device *vgpu);
/* The device was reset: what was in flight fails with -EIO, rings are freed. */
void vgpu_queues_stop(struct vgpu_device *vgpu);

#endif
