/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vgpu: what the driver's files share.
 *
 * Layers, from the device up; a file calls only what is below it:
 *
 *	vgpu_vq.c	requests on virtqueues: sent, answered, checked, failed
 *	vgpu_command.c	one function per command of the device
 *	vgpu_fence.c	timelines and dma-fences, signalled by answers
 *	vgpu_gem.c	objects and their memory; vgpu_vram.c maps the host's
 *	vgpu_ctx.c	contexts of the host's renderer, one per open file
 *	vgpu_submit.c, vgpu_ioctl.c	the virtgpu user interface
 *	vgpu_kms.c ...	displays
 *	vgpu_drv.c	probe, remove, loss and reset
 *
 * Nothing waits for the device except where a comment says "waits", and there
 * every wait is killable.  Whatever the device answers is copied out of shared
 * memory once and checked before it is used.
 *
 * Loss.  A device that is lost (DEVICE_NEEDS_RESET, a broken ring, suspend)
 * answers nothing more: requests fail with -EIO at once, those in flight too,
 * and all fences signal.  vgpu_reset() then resets it, makes the objects that
 * live in guest memory again and lights the displays.  Contexts do not come
 * back: each remembers the generation of the device it was made in, and every
 * ioctl of one from an older generation returns -EIO.
 */
#ifndef VGPU_DRV_H
#define VGPU_DRV_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/dma-fence.h>
#include <linux/idr.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_ids.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <drm/drm_connector.h>
#include <drm/drm_crtc.h>
#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_encoder.h>
#include <drm/drm_file.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_gem.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_mm.h>
#include <drm/drm_print.h>
#include <drm/virtgpu_drm.h>

#include "vgpu_compat.h"
#include "vgpu_drm.h"
#include "vgpu_protocol.h"

#define VGPU_DRIVER_NAME "virtio_gpu"
#define VGPU_DRIVER_DESC "vgpu guest driver"
#define VGPU_DRIVER_DATE "0"
#define VGPU_DRIVER_MAJOR 0
#define VGPU_DRIVER_MINOR 1
#define VGPU_DRIVER_PATCHLEVEL 0

#define VGPU_MAX_RINGS 64

struct vgpu_capset_info {
	u32 id;
	u32 max_version;
	u32 max_size;
};

struct vgpu_context;
struct vgpu_device;
struct vgpu_fence;
struct vgpu_file;
struct vgpu_object;
struct vgpu_queue;
struct vgpu_request;

#include "vgpu_queue.h"

/* --------------------------------------------------------------- fences */

/* An order of fences: one of the device, one per ring of a context. */
struct vgpu_timeline {
	struct kref ref;
	spinlock_t lock;	  /* of the fences too; irqsave */
	u64 context;		  /* of dma_fence_context_alloc() */
	u64 seqno;		  /* of the last fence */
	struct list_head pending; /* not signalled, oldest first */
	bool pins_module;
	struct rcu_head rcu;
};

struct vgpu_fence {
	struct dma_fence base;
	struct list_head link;		 /* timeline->pending */
	struct vgpu_timeline *timeline;	 /* a reference */
	struct vgpu_context *context;	 /* a reference, or NULL: whose work */
	struct drm_pending_event *event; /* for polled rings, or NULL */
	u8 ring_idx;
	bool has_ring;
	u64 start_ns; /* ktime of the submit */
};

/* @pins_module: its fences go to user space */
struct vgpu_timeline *vgpu_timeline_alloc(bool pins_module);
void vgpu_timeline_put(struct vgpu_timeline *timeline);

/* Not on its timeline before the request it goes with is on a queue. */
struct vgpu_fence *vgpu_fence_alloc(struct vgpu_timeline *timeline);
/* vgpu_vq.c, with the queue's lock held: gives it its number. */
void vgpu_fence_emit(struct vgpu_device *vgpu, struct vgpu_fence *fence,
		     struct virtio_gpu_ctrl_hdr *hdr);
/* Signals it and what is older on its timeline.  error: 0 or -errno */
void vgpu_fence_signal(struct vgpu_device *vgpu, struct vgpu_fence *fence,
		       int error);

/* -------------------------------------------------------------- objects */

enum vgpu_object_kind {
	VGPU_OBJECT_2D,		/* shmem, RESOURCE_CREATE_2D */
	VGPU_OBJECT_3D,		/* shmem, RESOURCE_CREATE_3D */
	VGPU_OBJECT_GUEST_BLOB, /* shmem, also of HOST3D_GUEST */
	VGPU_OBJECT_HOST_BLOB,	/* host memory, RESOURCE_CREATE_BLOB */
};

/*
 * The GEM object's references are those of user space and displays.  @users
 * counts those of requests in flight as well, and can be dropped anywhere: with
 * the last one a worker frees the object and its pages.  So memory that the
 * device may still touch is never freed.
 */
struct vgpu_object {
	struct drm_gem_shmem_object shmem; /* first; shmem.base is the GEM */
	struct kref users;
	struct llist_node dead;
	struct list_head link; /* vgpu->objects */
	enum vgpu_object_kind kind;
	u32 id;		  /* resource id, never 0 */
	u32 generation;	  /* of the device, of the resource */
	bool dumb;	  /* made by the kernel or CREATE_DUMB */
	bool has_backing; /* ATTACH_BACKING was sent */
	bool on_host;	  /* its creation was sent */
	bool imported;	  /* its memory is another driver's */
	bool creating;	  /* counted in creating_bytes */
	bool map_sent;	  /* MAP_BLOB was sent */
	int error;	  /* the device refused to create it */

	u64 used; /* vgpu_order.c: the last submit with it, under its resv */

	/* how it was created, to do it again after a reset */
	union {
		struct {
			u32 format; /* VIRTIO_GPU_FORMAT_* */
			u32 width;
			u32 height;
		} two_d;
		struct virtio_gpu_resource_create_3d three_d;
		struct {
			u32 mem;   /* VIRTGPU_BLOB_MEM_* */
			u32 flags; /* VIRTGPU_BLOB_FLAG_* */
			u64 id;	   /* of the context's memory */
		} blob;
	};

	/* dma-buf export */
	u8 uuid[16];
	int uuid_state; /* 0: not asked, 1: known, -errno */

	/* VGPU_OBJECT_HOST_BLOB: its place in the host-visible window */
	struct drm_mm_node window;
	u32 map_info;  /* VIRTIO_GPU_MAP_CACHE_* */
	int map_state; /* 0: not mapped, 1: mapped, -errno */
};

static inline struct vgpu_object *to_vgpu_object(struct drm_gem_object *gem)
{
	return container_of(to_drm_gem_shmem_obj(gem), struct vgpu_object,
			    shmem);
}

void vgpu_object_get(struct vgpu_object *obj);
void vgpu_object_put(struct vgpu_object *obj); /* any context */

static inline bool vgpu_object_is_blob(const struct vgpu_object *obj)
{
	return obj->kind == VGPU_OBJECT_GUEST_BLOB ||
	       obj->kind == VGPU_OBJECT_HOST_BLOB;
}

/*
 * vgpu_object_create_2d - memory of the guest with a 2D resource on it
 * For dumb buffers and the console.  format: VIRTIO_GPU_FORMAT_*.
 * The GEM object holds one reference; ERR_PTR on failure.  This and the next
 * two wait, killable, where the VM's memory is nearly spent.
 */
struct vgpu_object *vgpu_object_create_2d(struct vgpu_device *vgpu, size_t size,
					  u32 format, u32 width, u32 height);
struct vgpu_object *
vgpu_object_create_3d(struct vgpu_device *vgpu, size_t size,
		      const struct virtio_gpu_resource_create_3d *params);
struct vgpu_object *vgpu_object_create_blob(struct vgpu_device *vgpu,
					    struct vgpu_context *context,
					    size_t size, u32 mem, u32 flags,
					    u64 blob_id);
int vgpu_dumb_create(struct drm_file *file, struct drm_device *drm,
		     struct drm_mode_create_dumb *args);
int vgpu_object_adopt(struct vgpu_device *vgpu, struct vgpu_object *obj);
struct drm_gem_object *vgpu_gem_create_object(struct drm_device *drm,
					      size_t size);
/* The object's memory as the device is told of it, in a payload's pieces. */
int vgpu_object_entries(struct vgpu_device *vgpu, struct vgpu_object *obj,
			struct vgpu_payload *payload, unsigned int *count);
void vgpu_objects_free_dead(struct work_struct *work);
/* After a reset: what lives in guest memory is made again, host blobs die. */
void vgpu_objects_lost(struct vgpu_device *vgpu);
void vgpu_objects_restore(struct vgpu_device *vgpu);

/* vgpu_limit.c: when to wait for the answer to a creation */
int vgpu_limit_init(struct vgpu_device *vgpu);
void vgpu_limit_fini(struct vgpu_device *vgpu);
bool vgpu_limit_near(struct vgpu_device *vgpu, u64 size);
void vgpu_limit_created(struct vgpu_device *vgpu, struct vgpu_object *obj);
void vgpu_limit_answered(struct vgpu_device *vgpu, struct vgpu_object *obj);

/* vgpu_vram.c: host blobs in the host-visible window */
int vgpu_vram_init(struct vgpu_device *vgpu);
void vgpu_vram_fini(struct vgpu_device *vgpu);
int vgpu_vram_reserve(struct vgpu_object *obj);
int vgpu_vram_map(struct vgpu_object *obj); /* sent, not waited for */
void vgpu_vram_release(struct vgpu_object *obj);
void vgpu_vram_revoke(struct vgpu_object *obj);
int vgpu_vram_mmap(struct drm_gem_object *gem, struct vm_area_struct *vma);
extern const struct vm_operations_struct vgpu_vram_vm_ops;

/* vgpu_prime.c */
struct dma_buf *vgpu_prime_export(struct drm_gem_object *gem, int flags);
struct drm_gem_object *vgpu_prime_import(struct drm_device *drm,
					 struct dma_buf *buf);
struct drm_gem_object *
vgpu_prime_import_sg_table(struct drm_device *drm,
			   struct dma_buf_attachment *attach,
			   struct sg_table *sgt);

/* ------------------------------------------------------------- contexts */

/* What fdinfo reads of one open file; any time, by anybody. */
struct vgpu_client_stats {
	atomic64_t submits;
	/* under lock: the intervals of fences overlap, their union is busy */
	spinlock_t lock;  /* irqsave */
	u32 active;	  /* fences not signalled */
	u64 active_since; /* ktime, while active */
	u64 busy_ns;	  /* before that */
	u64 counted_ns;	  /* of it, are in engine_ns */
	u64 engine_ns;	  /* what the GPU did in that time */
	u64 client_id;	  /* for fdinfo, never the same again */
};

/*
 * A context of the host's renderer.  One per open file (struct vgpu_file);
 * fences keep it alive after the file is closed.
 */
struct vgpu_context {
	struct kref ref;
	struct vgpu_device *vgpu;
	struct mutex lock; /* creation */
	u32 id;		   /* context id, never 0 */
	bool created;
	u32 generation;	    /* of the device, when created */
	atomic_t in_flight; /* fences not signalled */
	bool was_busy;	    /* so when the device was lost */
	u32 status;	    /* VGPU_RESET_STATUS_*, under reset_lock */
	u32 capset_id;	    /* 0: the device's default (virgl) */
	bool has_rings;
	u32 num_rings;
	u64 poll_rings; /* rings whose fences send an event */
	char name[64];
	struct vgpu_queue *queue;	/* of its submits */
	struct vgpu_timeline *timeline; /* of what names no ring */
	struct vgpu_timeline *control;	/* of its transfers: another queue */
	struct vgpu_timeline *ring[VGPU_MAX_RINGS]; /* made on demand */
	struct vgpu_client_stats stats;
};

struct vgpu_file {
	struct vgpu_context *context;
	struct drm_file *drm;
};

int vgpu_open(struct drm_device *drm, struct drm_file *file);
void vgpu_postclose(struct drm_device *drm, struct drm_file *file);
void vgpu_context_put(struct vgpu_context *context);
/*
 * vgpu_context_ready - the file's context, created on the host if need be
 * 0, -EIO if it was lost, -errno.  The file holds the reference.
 */
int vgpu_context_ready(struct drm_file *file, struct vgpu_context **context);
/* -EIO if it was created and lost since, else 0 */
int vgpu_context_check(struct vgpu_context *context);
bool vgpu_context_alive(struct vgpu_context *context);
int vgpu_context_order(struct vgpu_context *context);
int vgpu_context_attach(struct vgpu_context *context, struct vgpu_object *obj);
void vgpu_context_detach(struct vgpu_context *context, struct vgpu_object *obj);
struct vgpu_timeline *vgpu_context_ring(struct vgpu_context *context,
					unsigned int ring);
int vgpu_context_init_ioctl(struct drm_device *drm, void *data,
			    struct drm_file *file);

/* vgpu_order.c */
u64 vgpu_use(const struct vgpu_queue *queue, u32 seq);
u64 vgpu_use_now(struct vgpu_queue *queue);
int vgpu_order_control(struct vgpu_device *vgpu, u64 use, u32 generation);
void vgpu_order_submit(const struct vgpu_queue *queue,
		       struct vgpu_submit *submit, u64 use);

/* vgpu_reset.c */
void vgpu_reset_work(struct work_struct *work);
void vgpu_back_work(struct work_struct *work);
int vgpu_reset_wait(struct vgpu_device *vgpu);
int vgpu_freeze(struct virtio_device *vdev);
int vgpu_restore(struct virtio_device *vdev);
int vgpu_reset_status_ioctl(struct drm_device *drm, void *data,
			    struct drm_file *file);

/* vgpu_submit.c, vgpu_ioctl.c */
int vgpu_execbuffer_ioctl(struct drm_device *drm, void *data,
			  struct drm_file *file);
#define VGPU_NUM_IOCTLS (DRM_VGPU_RESET_STATUS + 1)
extern const struct drm_ioctl_desc vgpu_ioctls[VGPU_NUM_IOCTLS];

/* ------------------------------------------------------------- commands */

/*
 * One function per command.  They add to the control queue (the cursor's to
 * the cursor queue) and do not kick: vgpu_kick() after the last of a series.
 * 0, or -ENOMEM when there was no memory for the request.  @fence may be NULL.
 * Ids and numbers are in the CPU's byte order.
 */
static inline void vgpu_kick(struct vgpu_device *vgpu);

/* @wait: for the answer, killable; else the object gets to know of errors */
int vgpu_cmd_create_2d(struct vgpu_device *vgpu, struct vgpu_object *obj,
		       bool wait);
int vgpu_cmd_create_3d(struct vgpu_device *vgpu, struct vgpu_object *obj,
		       bool wait);
int vgpu_cmd_create_blob(struct vgpu_device *vgpu, u32 ctx_id,
			 struct vgpu_object *obj, bool wait);
int vgpu_cmd_attach_backing(struct vgpu_device *vgpu, struct vgpu_object *obj);
int vgpu_cmd_unref(struct vgpu_device *vgpu, struct vgpu_object *obj);
int vgpu_cmd_assign_uuid(struct vgpu_device *vgpu, struct vgpu_object *obj);
int vgpu_cmd_map_blob(struct vgpu_device *vgpu, struct vgpu_object *obj,
		      u64 offset);
int vgpu_cmd_unmap_blob(struct vgpu_device *vgpu, struct vgpu_object *obj);

int vgpu_cmd_ctx_create(struct vgpu_device *vgpu, struct vgpu_context *context);
int vgpu_cmd_ctx_destroy(struct vgpu_device *vgpu, u32 ctx_id,
			 vgpu_done_fn done, void *data);
int vgpu_cmd_ctx_attach(struct vgpu_device *vgpu, u32 ctx_id,
			struct vgpu_object *obj, bool attach);
/* For vgpu_queue_add() on @queue, with size bytes of payload. */
struct vgpu_request *vgpu_cmd_submit_request(struct vgpu_context *context,
					     struct vgpu_queue *queue,
					     u32 size);

/* Of a request for a submit queue. */
static inline struct vgpu_submit *vgpu_submit_of(struct vgpu_request *request)
{
	return (void *)(&request->hdr + 1);
}

struct vgpu_transfer {
	struct drm_virtgpu_3d_box box;
	u64 offset;
	u32 level;
	u32 stride;
	u32 layer_stride;
};

int vgpu_cmd_transfer_3d(struct vgpu_device *vgpu, u32 ctx_id,
			 struct vgpu_object *obj, bool to_host,
			 const struct vgpu_transfer *transfer,
			 struct vgpu_fence *fence);
int vgpu_cmd_transfer_to_host_2d(struct vgpu_device *vgpu,
				 struct vgpu_object *obj, u64 offset, u32 x,
				 u32 y, u32 width, u32 height,
				 struct vgpu_fence *fence);
int vgpu_cmd_set_scanout(struct vgpu_device *vgpu, u32 scanout, u32 id, u32 x,
			 u32 y, u32 width, u32 height);
int vgpu_cmd_set_scanout_blob(struct vgpu_device *vgpu, u32 scanout,
			      struct vgpu_object *obj,
			      const struct drm_framebuffer *fb, u32 format,
			      u32 x, u32 y, u32 width, u32 height);
int vgpu_cmd_flush(struct vgpu_device *vgpu, u32 id, u32 x, u32 y, u32 width,
		   u32 height, struct vgpu_fence *fence);
int vgpu_cmd_update_cursor(struct vgpu_device *vgpu, u32 scanout, u32 id, u32 x,
			   u32 y, u32 hot_x, u32 hot_y);
int vgpu_cmd_move_cursor(struct vgpu_device *vgpu, u32 scanout, u32 x, u32 y);
/* These wait, VGPU_WORKER_TIMEOUT at most; what they fill is checked. */
int vgpu_cmd_get_display_info(struct vgpu_device *vgpu,
			      struct virtio_gpu_resp_display_info *info);
int vgpu_cmd_get_edid(struct vgpu_device *vgpu, u32 scanout,
		      struct virtio_gpu_resp_edid *edid);
int vgpu_cmd_get_capset_info(struct vgpu_device *vgpu, u32 index,
			     struct vgpu_capset_info *info);
int vgpu_cmd_get_capset(struct vgpu_device *vgpu, u32 id, u32 version, void *to,
			u32 size, unsigned long timeout);

/* ------------------------------------------------------------- displays */

/* vgpu_output.c fills and owns these */
struct vgpu_output {
	u32 index; /* scanout */
	struct drm_crtc crtc;
	struct drm_encoder encoder;
	struct drm_connector connector;
	struct {
		u32 x, y;
		u32 width, height; /* 0: no proposal */
	} place;		   /* what the host proposes */
	bool enabled;
	void *edid; /* kmalloc()ed, or NULL */
	size_t edid_size;
	/* of the commit that runs */
	struct vgpu_fence *flushed; /* a reference: of the last frame sent */
	bool stale;		    /* a frame could not be sent */
	bool flipped;		    /* the commit is done when it is shown */
	bool cursor_changed;	    /* to be shown when its picture is sent */
};

/* vgpu_kms.c; without CONFIG... all of it is skipped if num_scanouts is 0 */
int vgpu_kms_init(struct vgpu_device *vgpu); /* before drm_dev_register() */
void vgpu_kms_register(struct vgpu_device *vgpu); /* after: fbdev */
void vgpu_kms_fini(struct vgpu_device *vgpu);	  /* device is unplugged */
/* VIRTIO_GPU_EVENT_DISPLAY, in a worker: re-reads, sends the hot-plug event */
void vgpu_kms_displays_changed(struct vgpu_device *vgpu);
/* after vgpu_objects_restore(), in a worker: scanouts, cursors, all planes */
void vgpu_kms_restore(struct vgpu_device *vgpu);
int vgpu_kms_suspend(struct vgpu_device *vgpu);
int vgpu_kms_resume(struct vgpu_device *vgpu);

/* ----------------------------------------------------------- statistics */

/* vgpu_stats.c, vgpu_fdinfo.c, vgpu_sysfs.c, vgpu_debugfs.c */
struct vgpu_rate {
	struct mutex lock;    /* all but closed_ns */
	atomic64_t closed_ns; /* busy time of files that are closed */
	u64 seen_ns;	      /* ktime of the last look */
	u64 seen_gpu_ns;      /* what was charged then */
	u64 seen_busy_ns;     /* and what all had been busy */
	u32 rate;	      /* 65536: charged all they were busy */
};

int vgpu_stats_init(struct vgpu_device *vgpu); /* before registration */
void vgpu_stats_fini(struct vgpu_device *vgpu);
/* A submit with a fence was put on the queue; its fence signalled. */
void vgpu_stats_submit(struct vgpu_context *context, struct vgpu_fence *fence);
void vgpu_stats_signal(struct vgpu_context *context, struct vgpu_fence *fence);
/* A context was made; it goes, none of its fences is left. */
void vgpu_stats_opened(struct vgpu_context *context);
void vgpu_stats_closed(struct vgpu_context *context);
/* after a reset, in a worker */
void vgpu_stats_was_reset(struct vgpu_device *vgpu);
/* VGPU_EVENT_PROFILE, in a worker */
void vgpu_stats_profile_changed(struct vgpu_device *vgpu);
void vgpu_show_fdinfo(struct drm_printer *p, struct drm_file *file);
/* where struct drm_driver has no show_fdinfo: of struct file_operations */
void vgpu_show_fdinfo_file(struct seq_file *m, struct file *f);
extern const struct attribute_group *vgpu_sysfs_groups[];
void vgpu_debugfs_init(struct drm_minor *minor);

/* --------------------------------------------------------------- device */

/* What GET_CAPS was answered, kept. */
struct vgpu_capset_copy {
	void *data; /* kvmalloc()ed, max_size bytes, or NULL */
	u32 version;
	u32 generation; /* of the device that gave it */
};

struct vgpu_device {
	struct drm_device drm;
	struct virtio_device *vdev; /* not to be used after unplug */

	/* negotiated; constant once probed */
	bool has_virgl;
	bool has_edid;
	bool has_uuid;
	bool has_blob;
	bool has_context_init;
	bool has_stats;
	bool has_events;
	bool has_submit_queues;
	bool has_loss;
	bool has_host_visible;
	bool use_dma_api;
	u32 num_scanouts;
	u32 num_capsets;
	u32 num_submit;
	struct vgpu_capset_info *capsets; /* checked, num_capsets of them */
	struct vgpu_capset_copy *capset_copies; /* as many */
	struct mutex capset_lock;		/* of the copies */
	u64 capset_mask;			/* of ids below 64 */
	struct vgpu_capset facts;		/* the extension's capset */

	struct vgpu_queue control;
	struct vgpu_queue cursor;
	struct vgpu_queue submit[VGPU_SUBMIT_QUEUES_MAX]; /* num_submit */
	u32 waited[VGPU_SUBMIT_QUEUES_MAX]; /* control waits for */
	struct srcu_struct rings;	    /* held where a ring is kicked */

	struct ida resource_ids;
	struct ida context_ids;
	struct vgpu_timeline *timeline; /* of all without a ring */
	atomic64_t fence_ids;		/* of the wire */

	struct workqueue_struct *workers;
	struct llist_head dead_objects;
	struct work_struct dead_work;
	struct mutex objects_lock; /* of the list */
	struct list_head objects;  /* all of them */

	/* host-visible window */
	struct virtio_shm_region window;
	struct mutex window_lock; /* window_mm, map_state, faults */
	struct drm_mm window_mm;
	wait_queue_head_t mapped; /* a MAP_BLOB was answered */

	/* statistics page of the host, read-only; NULL without */
	const struct vgpu_stats *stats;
	atomic64_t creating_bytes; /* sent and not answered */
	struct vgpu_rate rate;
	atomic64_t client_ids;

	/* loss and reset */
	u32 generation;		 /* counts resets */
	bool lost;		 /* until it takes requests again */
	wait_queue_head_t back;	 /* it is not, or who lost it is known */
	struct mutex reset_lock; /* resets and suspends one another */
	atomic64_t resets;	 /* ever */
	struct delayed_work reset_work;
	struct work_struct back_work;
	bool asleep;		  /* suspended, or shut down */
	bool has_rings;		  /* between start and stop */
	unsigned long last_reset; /* jiffies */
	unsigned long retry;	  /* the least until the next */
	struct work_struct config_work;

	struct notifier_block reboot;

	/* displays */
	struct vgpu_output outputs[VIRTIO_GPU_MAX_SCANOUTS];
};

static inline struct vgpu_device *to_vgpu(struct drm_device *drm)
{
	return container_of(drm, struct vgpu_device, drm);
}

static inline void vgpu_kick(struct vgpu_device *vgpu)
{
	vgpu_queue_kick(&vgpu->control);
}

/* vgpu_drv.c: the device is lost, reset it from a worker; any context */
void vgpu_lose(struct vgpu_device *vgpu, const char *why);

#endif
