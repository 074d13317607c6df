// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu: figures: the host's statistics page, and whose GPU time it was.
 *
 * Theory.  The page (vgpu/stats.h) is the host's memory.  Its words are read
 * one by one and are only ever shown: none is used as a size or an index.
 *
 * The host charges a VM for its GPU time as a whole; tools ask for that of each
 * process.  What the driver sees of a process is how long it had work on the
 * host: the union of its fences, from submit to answer.  That is too much when
 * processes or VMs take turns.  So a client's busy time counts with the rate at
 * which the host charged for all busy time of late:
 *
 *	rate = GPU time charged / busy time of all clients,	at most 1
 *
 * over a window of at least RATE_WINDOW, since the host brings the charge up to
 * date once a second.  The sum over the clients is then what the VM was charged
 * (what nobody was busy for, such as the display, is nobody's).  Without a page
 * the rate is 1: busy time as it is.
 *
 * A client's busy time is kept under a lock of its own, so that submits do not
 * meet here.  All else happens when somebody reads.
 */
#include <linux/ktime.h>
#include <linux/math64.h>

#include <drm/drm_print.h>

#include "vgpu_stats.h"

#define RATE_ONE 65536u
#define RATE_WINDOW (3 * NSEC_PER_SEC)

/* ----------------------------------------------------------------- page */

const struct vgpu_stats *vgpu_stats_page(struct vgpu_device *vgpu)
{
	const struct vgpu_stats *page = vgpu->stats;

	if (!page || READ_ONCE(page->magic) != VGPU_STATS_MAGIC ||
	    READ_ONCE(page->version) < VGPU_STATS_VERSION)
		return NULL;
	return page;
}

void vgpu_stats_text(char *to, size_t to_size, const char *from,
		     size_t from_size)
{
	size_t i;
	u8 c;

	for (i = 0; i + 1 < to_size && i < from_size; i++) {
		c = READ_ONCE(from[i]);
		if (!c)
			break;
		/* UTF-8 may pass: tools know what a terminal can show */
		to[i] = c < 0x20 || c == 0x7f ? '?' : c;
	}
	to[i] = 0;
}

/* A host that never stops writing is read all the same: see stats.h. */
#define PROFILE_TRIES 100

void vgpu_stats_profile(struct vgpu_device *vgpu, struct vgpu_profile *profile)
{
	const struct vgpu_stats *page = vgpu_stats_page(vgpu);
	unsigned int i;
	u64 serial;

	if (!page) {
		vgpu_stats_text(profile->name, sizeof(profile->name),
				vgpu->facts.profile,
				sizeof(vgpu->facts.profile));
		profile->memory_limit = le64_to_cpu(vgpu->facts.memory_limit);
		profile->share = 0;
		return;
	}
	for (i = 0; i < PROFILE_TRIES; i++) {
		/* this look at the serial before the words */
		serial = smp_load_acquire(&page->profile_serial);
		vgpu_stats_text(profile->name, sizeof(profile->name),
				page->profile, sizeof(page->profile));
		profile->memory_limit = READ_ONCE(page->memory_limit);
		profile->share = READ_ONCE(page->share);
		smp_rmb(); /* the words before the serial's second look */
		if (!(serial & 1) && READ_ONCE(page->profile_serial) == serial)
			break;
		cpu_relax();
	}
}

/* -------------------------------------------------------------- clients */

void vgpu_stats_submit(struct vgpu_context *context, struct vgpu_fence *fence)
{
	struct vgpu_client_stats *stats = &context->stats;
	unsigned long flags;

	spin_lock_irqsave(&stats->lock, flags);
	if (!stats->active++)
		stats->active_since = fence->start_ns;
	spin_unlock_irqrestore(&stats->lock, flags);
}

void vgpu_stats_signal(struct vgpu_context *context, struct vgpu_fence *fence)
{
	struct vgpu_client_stats *stats = &context->stats;
	unsigned long flags;

	spin_lock_irqsave(&stats->lock, flags);
	if (!WARN_ON_ONCE(!stats->active) && !--stats->active)
		stats->busy_ns += ktime_get_ns() - stats->active_since;
	spin_unlock_irqrestore(&stats->lock, flags);
}

/* Up to now, what is still running included. */
static u64 client_busy_locked(const struct vgpu_client_stats *stats, u64 now)
{
	u64 busy = stats->busy_ns;

	if (stats->active && now > stats->active_since)
		busy += now - stats->active_since;
	return busy;
}

void vgpu_stats_opened(struct vgpu_context *context)
{
	struct vgpu_client_stats *stats = &context->stats;

	spin_lock_init(&stats->lock);
	stats->client_id = atomic64_inc_return(&context->vgpu->client_ids);
}

void vgpu_stats_closed(struct vgpu_context *context)
{
	struct vgpu_client_stats *stats = &context->stats;
	unsigned long flags;
	u64 busy;

	spin_lock_irqsave(&stats->lock, flags);
	busy = client_busy_locked(stats, ktime_get_ns());
	spin_unlock_irqrestore(&stats->lock, flags);
	atomic64_add(busy, &context->vgpu->rate.closed_ns);
}

static u64 clients_busy(struct vgpu_device *vgpu)
{
	u64 busy = atomic64_read(&vgpu->rate.closed_ns);
	struct drm_device *drm = &vgpu->drm;
	struct vgpu_client_stats *stats;
	struct vgpu_file *client;
	struct drm_file *file;

	mutex_lock(&drm->filelist_mutex);
	list_for_each_entry(file, &drm->filelist, lhead) {
		client = file->driver_priv;
		if (!client)
			continue;
		stats = &client->context->stats;
		spin_lock_irq(&stats->lock);
		busy += client_busy_locked(stats, ktime_get_ns());
		spin_unlock_irq(&stats->lock);
	}
	mutex_unlock(&drm->filelist_mutex);
	return busy;
}

/* In RATE_ONEths; sleeps. */
static u32 gpu_rate(struct vgpu_device *vgpu)
{
	const struct vgpu_stats *page = vgpu_stats_page(vgpu);
	struct vgpu_rate *rate = &vgpu->rate;
	u64 now, gpu, busy, value;
	u32 result;

	if (!page)
		return RATE_ONE;
	mutex_lock(&rate->lock);
	now = ktime_get_ns();
	if (now - rate->seen_ns >= RATE_WINDOW) {
		gpu = READ_ONCE(page->gpu_time_ns);
		busy = clients_busy(vgpu);
		if (busy > rate->seen_busy_ns && gpu >= rate->seen_gpu_ns) {
			value = min(gpu - rate->seen_gpu_ns,
				    busy - rate->seen_busy_ns);
			rate->rate =
				mul_u64_u64_div_u64(value, RATE_ONE,
						    busy - rate->seen_busy_ns);
		}
		rate->seen_ns = now;
		rate->seen_gpu_ns = gpu;
		rate->seen_busy_ns = busy;
	}
	result = rate->rate;
	mutex_unlock(&rate->lock);
	return result;
}

u64 vgpu_stats_engine_ns(struct vgpu_device *vgpu, struct vgpu_context *context)
{
	struct vgpu_client_stats *stats = &context->stats;
	u32 rate = gpu_rate(vgpu);
	u64 busy, engine;

	spin_lock_irq(&stats->lock);
	busy = client_busy_locked(stats, ktime_get_ns());
	if (busy > stats->counted_ns) {
		stats->engine_ns +=
			mul_u64_u64_div_u64(busy - stats->counted_ns, rate,
					    RATE_ONE);
		stats->counted_ns = busy;
	}
	engine = stats->engine_ns;
	spin_unlock_irq(&stats->lock);
	return engine;
}

/* --------------------------------------------------------------- device */

int vgpu_stats_init(struct vgpu_device *vgpu)
{
	const struct vgpu_stats *page = vgpu_stats_page(vgpu);
	struct vgpu_rate *rate = &vgpu->rate;

	mutex_init(&rate->lock);
	rate->rate = RATE_ONE;
	rate->seen_ns = ktime_get_ns();
	rate->seen_gpu_ns = page ? READ_ONCE(page->gpu_time_ns) : 0;
	return 0;
}

void vgpu_stats_fini(struct vgpu_device *vgpu)
{
	mutex_destroy(&vgpu->rate.lock);
}
