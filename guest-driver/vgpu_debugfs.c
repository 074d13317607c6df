// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu: debugfs: dri/N/vgpu-queues, -objects, -fences and -page, for who wants
 * to know why something waits.  The format may change at any time.
 */
#include <linux/seq_file.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_file.h>

#include "vgpu_stats.h"

static struct vgpu_device *seq_to_vgpu(struct seq_file *m)
{
	struct drm_info_node *node = m->private;

	return to_vgpu(node->minor->dev);
}

/* Its oldest request has been with the device for @age ns. */
static void show_queue(struct seq_file *m, struct vgpu_queue *queue)
{
	struct vgpu_queue copy = {};
	struct vgpu_request *oldest;
	u64 age = 0;
	u32 type = 0;

	spin_lock_irq(&queue->lock);
	copy.size = queue->size;
	copy.in_flight = queue->in_flight;
	copy.in_backlog = queue->in_backlog;
	copy.dead = queue->dead;
	copy.sent = queue->sent;
	copy.answered = queue->answered;
	copy.errors = queue->errors;
	copy.kicks = queue->kicks;
	copy.interrupts = queue->interrupts;
	copy.waits = queue->waits;
	oldest = list_first_entry_or_null(&queue->flight, struct vgpu_request,
					  link);
	if (oldest) {
		age = ktime_get_ns() - oldest->sent_ns;
		type = le32_to_cpu(oldest->hdr.type);
	}
	spin_unlock_irq(&queue->lock);

	seq_printf(m,
		   "%-10s %5u %7u %7u %10llu %10llu %6llu %10llu %10llu %6llu",
		   queue->name, copy.size, copy.in_flight, copy.in_backlog,
		   copy.sent, copy.answered, copy.errors, copy.kicks,
		   copy.interrupts, copy.waits);
	if (oldest)
		seq_printf(m, "  %#x for %llu us", type, age / NSEC_PER_USEC);
	seq_puts(m, copy.dead ? "  lost\n" : "\n");
}

static int queues_show(struct seq_file *m, void *unused)
{
	struct vgpu_device *vgpu = seq_to_vgpu(m);
	u32 i;

	seq_puts(m,
		 "queue       size flight backlog       sent   answered errors      kicks interrupts  waits  oldest\n");
	show_queue(m, &vgpu->control);
	show_queue(m, &vgpu->cursor);
	for (i = 0; i < vgpu->num_submit; i++)
		show_queue(m, &vgpu->submit[i]);
	return 0;
}

static int objects_show(struct seq_file *m, void *unused)
{
	static const char *const kinds[] = {
		[VGPU_OBJECT_2D] = "2d",
		[VGPU_OBJECT_3D] = "3d",
		[VGPU_OBJECT_GUEST_BLOB] = "guest-blob",
		[VGPU_OBJECT_HOST_BLOB] = "host-blob",
	};
	struct vgpu_device *vgpu = seq_to_vgpu(m);
	struct vgpu_object *obj;
	size_t count = 0, bytes = 0;

	seq_puts(m, "resource kind            bytes\n");
	mutex_lock(&vgpu->objects_lock);
	list_for_each_entry(obj, &vgpu->objects, link) {
		seq_printf(m, "%8u %-10s %10zu%s%s\n", obj->id,
			   kinds[obj->kind], obj->shmem.base.size,
			   obj->dumb ? " dumb" : "",
			   obj->shmem.base.dma_buf ? " shared" : "");
		count++;
		bytes += obj->shmem.base.size;
	}
	mutex_unlock(&vgpu->objects_lock);
	seq_printf(m, "%zu objects, %zu bytes\n", count, bytes);
	return 0;
}

#define WORD(_name) { #_name, offsetof(struct vgpu_stats, _name) }

static const struct {
	const char *name;
	size_t offset;
} page_words[] = {
	WORD(memory_limit),
	WORD(memory_used),
	WORD(memory_peak),
	WORD(alloc_denied),
	WORD(alloc_denied_size),
	WORD(resources),
	WORD(contexts),
	WORD(commands),
	WORD(submits),
	WORD(fences),
	WORD(frames),
	WORD(errors),
	WORD(kind),
	WORD(contexts_hung),
	WORD(share),
	WORD(gpu_time_ns),
	WORD(throttled_ns),
	WORD(resets),
	WORD(reset_cause),
	WORD(profile_serial),
};

static int page_show(struct seq_file *m, void *unused)
{
	struct vgpu_device *vgpu = seq_to_vgpu(m);
	const struct vgpu_stats *page = vgpu_stats_page(vgpu);
	struct vgpu_profile profile;
	size_t i;

	vgpu_stats_profile(vgpu, &profile);
	seq_printf(m, "profile %s, generation %u, resets %lld\n", profile.name,
		   vgpu->generation, atomic64_read(&vgpu->resets));
	if (!page) {
		seq_puts(m, "the host shows no statistics\n");
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(page_words); i++)
		seq_printf(m, "%-18s %llu\n", page_words[i].name,
			   READ_ONCE(*(const u64 *)((const void *)page +
						    page_words[i].offset)));
	return 0;
}

static const struct drm_info_list vgpu_debugfs_files[] = {
	{ "vgpu-queues", queues_show },
	{ "vgpu-objects", objects_show },
	{ "vgpu-page", page_show },
};

void vgpu_debugfs_init(struct drm_minor *minor)
{
	drm_debugfs_create_files(vgpu_debugfs_files,
				 ARRAY_SIZE(vgpu_debugfs_files),
				 minor->debugfs_root, minor);
}
