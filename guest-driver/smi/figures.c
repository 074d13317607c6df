// SPDX-License-Identifier: GPL-2.0 OR MIT
#include "figures.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "text.h"
#include "vgpu/stats.h"

#define POLL_MS 20
/* The host writes the times once a second, and may be late. */
#define LATE_S 1.3

/* the attributes of our driver, below the virtio device: numbers as they are */
#define SYSFS "%s/sys/bus/virtio/devices/%s/vgpu/%s"

static const struct {
	const char *name;
	size_t offset;
} attributes[] = {
	{ "memory_limit", offsetof(struct smi_figures, memory_limit) },
	{ "memory_used", offsetof(struct smi_figures, memory_used) },
	{ "memory_peak", offsetof(struct smi_figures, memory_peak) },
	{ "memory_denied", offsetof(struct smi_figures, alloc_denied) },
	{ "gpu_time_ns", offsetof(struct smi_figures, gpu_time_ns) },
	{ "throttled_ns", offsetof(struct smi_figures, throttled_ns) },
	{ "resets", offsetof(struct smi_figures, resets) },
};

static const char *const causes[] = {
	[VGPU_RESET_NONE] = "none",	    [VGPU_RESET_CRASH] = "crash",
	[VGPU_RESET_HANG] = "hang",	    [VGPU_RESET_RESOURCE] = "resource",
	[VGPU_RESET_OPERATOR] = "operator", [VGPU_RESET_DEADLINE] = "deadline",
};

const char *smi_reset_cause(uint64_t cause)
{
	return cause < ARRAY_SIZE(causes) ? causes[cause] : "-";
}

static uint64_t *figure(struct smi_figures *f, unsigned int i)
{
	return (uint64_t *)((char *)f + attributes[i].offset);
}

static void figures_unknown(struct smi_figures *f)
{
	uint64_t utilisation = f->utilisation;

	memset(f, 0xff, sizeof(*f)); /* SMI_UNKNOWN in each */
	f->profile[0] = '\0';
	f->utilisation = utilisation;
}

bool smi_page_parse(struct smi_figures *f, const void *page)
{
	union {
		struct vgpu_stats s;
		uint64_t words[sizeof(struct vgpu_stats) / sizeof(uint64_t)];
	} copy;
	const struct vgpu_stats *s = &copy.s;
	const volatile uint64_t *in = page;
	size_t serial = offsetof(struct vgpu_stats, profile_serial) / 8;

	figures_unknown(f);
	/* one read of each word; the host writes meanwhile */
	for (int tries = 0; tries < 100; tries++) {
		for (size_t i = 0; i < ARRAY_SIZE(copy.words); i++)
			copy.words[i] = in[i];
		if (s->magic != VGPU_STATS_MAGIC)
			return false;
		if (s->version < 2 || (!(s->profile_serial & 1) &&
				       s->profile_serial == in[serial]))
			break;
	}
	f->memory_limit = s->memory_limit;
	f->memory_used = s->memory_used;
	f->memory_peak = s->memory_peak;
	f->alloc_denied = s->alloc_denied;
	if (s->version < 2)
		return true;
	f->share = s->share;
	f->gpu_time_ns = s->gpu_time_ns;
	f->throttled_ns = s->throttled_ns;
	f->resets = s->resets;
	f->reset_cause = s->reset_cause;
	memcpy(f->profile, s->profile, sizeof(f->profile));
	f->profile[sizeof(f->profile) - 1] = '\0';
	text_clean(f->profile);
	return true;
}

/* These two are words and percent in sysfs. */
static void read_sysfs_texts(const char *root, struct smi_device *d)
{
	char text[64], *end;
	double percent;

	if (text_of(text, sizeof(text), SYSFS, root, d->virtio, "share")) {
		percent = strtod(text, &end);
		if (end != text && !*end && percent >= 0 && percent <= 100)
			d->now.share = (uint64_t)(percent * 1e4 + 0.5);
	}
	text_of(text, sizeof(text), SYSFS, root, d->virtio, "reset_cause");
	for (unsigned int i = 0; i < ARRAY_SIZE(causes); i++)
		if (!strcmp(text, causes[i]))
			d->now.reset_cause = i;
	text_of(d->now.profile, sizeof(d->now.profile), SYSFS, root, d->virtio,
		"profile");
	text_clean(d->now.profile);
}

static bool read_sysfs(const char *root, struct smi_device *d)
{
	bool any = false;

	figures_unknown(&d->now);
	for (unsigned int i = 0; i < ARRAY_SIZE(attributes); i++)
		any |= number_of(figure(&d->now, i), SYSFS, root, d->virtio,
				 attributes[i].name);
	read_sysfs_texts(root, d);
	return any;
}

void smi_figures_read(const char *root, struct smi_device *d)
{
	bool ok = false;

	if (d->source == SMI_SOURCE_SYSFS)
		ok = read_sysfs(root, d);
	else if (d->source == SMI_SOURCE_PAGE)
		ok = smi_page_parse(&d->now, d->page);
	if (!ok)
		figures_unknown(&d->now);
	/* the static facts have the limit, if nothing else */
	if (d->now.memory_limit == SMI_UNKNOWN && d->has_caps)
		d->now.memory_limit = d->caps.memory_limit;
	if (!d->now.profile[0] && d->has_caps)
		memcpy(d->now.profile, d->caps.profile, sizeof(d->now.profile));
}

/* One line a resource in the file "resource": first and last byte, flags. */
bool figures_has_page(const char *root, const struct smi_device *d)
{
	unsigned long long start, end;
	char line[128];

	if (!d->pci[0] ||
	    !text_of(line, sizeof(line), "%s/sys/bus/pci/devices/%s/resource",
		     root, d->pci))
		return false;
	return sscanf(line, "%llx %llx", &start, &end) == 2 && start &&
	       end - start + 1 == VGPU_STATS_SIZE;
}

void figures_open(const char *root, struct smi_device *d)
{
	char path[512];
	void *page;
	int fd;

	d->now.utilisation = SMI_UNKNOWN;
	if (read_sysfs(root, d)) {
		d->source = SMI_SOURCE_SYSFS;
		return;
	}
	if (!figures_has_page(root, d))
		return;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/resource%d",
		 root, d->pci, VGPU_PCI_BAR_STATS);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	page = mmap(NULL, VGPU_STATS_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED) {
		d->page = page;
		d->source = SMI_SOURCE_PAGE;
	}
}

void figures_close(struct smi_device *d)
{
	if (d->page)
		munmap((void *)d->page, VGPU_STATS_SIZE);
	d->page = NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* GPU time at its first change and at its last. */
struct watch {
	uint64_t value;
	uint64_t first_value;
	double first;
	double last;
	unsigned int changes;
};

static void watch_look(struct watch *w, uint64_t value, double t)
{
	if (value == w->value)
		return;
	w->value = value;
	if (!w->changes++) {
		w->first_value = value;
		w->first = t;
	}
	w->last = t;
}

/* Whether what was seen is enough: two changes, or none for so long. */
static bool watch_done(const struct watch *w, double begin, double seconds,
		       double t)
{
	if (t < begin + seconds)
		return false;
	return w->changes != 1 || t > w->first + LATE_S;
}

void smi_sample(const char *root, struct smi_device *devices,
		unsigned int count, double seconds)
{
	struct watch watches[SMI_DEVICES] = { 0 };
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	double begin = now(), t;
	bool done;

	for (unsigned int i = 0; i < count; i++)
		watches[i].value = devices[i].now.gpu_time_ns;
	do {
		nanosleep(&pause, NULL);
		t = now();
		done = true;
		for (unsigned int i = 0; i < count; i++) {
			smi_figures_read(root, &devices[i]);
			watch_look(&watches[i], devices[i].now.gpu_time_ns, t);
			done &= watch_done(&watches[i], begin, seconds, t);
		}
	} while (!done);
	for (unsigned int i = 0; i < count; i++) {
		struct smi_figures *f = &devices[i].now;
		const struct watch *w = &watches[i];

		f->utilisation = f->gpu_time_ns == SMI_UNKNOWN ? SMI_UNKNOWN :
								 0;
		if (w->changes > 1 && f->gpu_time_ns > w->first_value)
			f->utilisation = (uint64_t)((double)(f->gpu_time_ns -
							     w->first_value) /
						    (w->last - w->first) / 1e3);
	}
}
