// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vgpu: sysfs: the slice of the GPU that this VM has, in the folder vgpu of the
 * virtio device (/sys/class/drm/cardN/device, or virtioM in it):
 *
 *	profile		its name
 *	gpu, renderer	the host's GPU, and what its OpenGL calls it
 *	host_version	of the renderer
 *	memory_limit	bytes of GPU memory it may use
 *	memory_used	bytes it uses, Vulkan's included
 *	memory_peak	the highest that was, bytes
 *	memory_denied	requests that were refused for lack of it, ever
 *	share		of the GPU's time, percent
 *	gpu_time_ns	the GPU worked for this VM, ever
 *	throttled_ns	this VM had work and waited for its turn, ever
 *	resets		renderers that were lost, ever
 *	reset_cause	of the last: none crash hang resource operator deadline
 *
 * All are read-only; they hold the host's figures, and reading one that the
 * host does not give now (it has no renderer, or is older) fails with ENODATA.
 * profile, memory_limit and share can be polled (POLLPRI): they wake when the
 * host changes them, and the card sends a uevent with VGPU_EVENT=PROFILE.
 * resets and reset_cause wake when a renderer was lost.
 */
#include <linux/device.h>
#include <linux/math64.h>
#include <linux/nospec.h>
#include <linux/sysfs.h>

#include <drm/drm_print.h>

#include "vgpu_stats.h"

#define VGPU_SYSFS_GROUP "vgpu"

static struct vgpu_device *dev_to_vgpu(struct device *dev)
{
	return dev_to_virtio(dev)->priv;
}

static ssize_t text_emit(char *buf, const char *from, size_t size)
{
	char text[VGPU_TEXT_SIZE];

	vgpu_stats_text(text, sizeof(text), from, size);
	return sysfs_emit(buf, "%s\n", text);
}

static ssize_t gpu_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	const struct vgpu_capset *facts = &dev_to_vgpu(dev)->facts;

	return text_emit(buf, facts->gpu, sizeof(facts->gpu));
}
static DEVICE_ATTR_RO(gpu);

static ssize_t renderer_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	const struct vgpu_capset *facts = &dev_to_vgpu(dev)->facts;

	return text_emit(buf, facts->renderer, sizeof(facts->renderer));
}
static DEVICE_ATTR_RO(renderer);

static ssize_t host_version_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	const struct vgpu_capset *facts = &dev_to_vgpu(dev)->facts;

	return text_emit(buf, facts->host_version, sizeof(facts->host_version));
}
static DEVICE_ATTR_RO(host_version);

/* A word of the page. */
struct host_number {
	struct device_attribute attr;
	size_t offset;
};

static ssize_t number_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	const struct host_number *number =
		container_of(attr, struct host_number, attr);
	const void *page = vgpu_stats_page(dev_to_vgpu(dev));

	if (!page)
		return -ENODATA;
	return sysfs_emit(buf, "%llu\n",
			  READ_ONCE(*(const u64 *)(page + number->offset)));
}

#define HOST_NUMBER(_name, _field)                                             \
	static struct host_number host_##_name = {                             \
		.attr = __ATTR(_name, 0444, number_show, NULL),                \
		.offset = offsetof(struct vgpu_stats, _field),                 \
	}

HOST_NUMBER(memory_used, memory_used);
HOST_NUMBER(memory_peak, memory_peak);
HOST_NUMBER(memory_denied, alloc_denied);
HOST_NUMBER(gpu_time_ns, gpu_time_ns);
HOST_NUMBER(throttled_ns, throttled_ns);
HOST_NUMBER(resets, resets);

static ssize_t profile_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct vgpu_profile profile;

	vgpu_stats_profile(dev_to_vgpu(dev), &profile);
	return sysfs_emit(buf, "%s\n", profile.name);
}
static DEVICE_ATTR_RO(profile);

static ssize_t memory_limit_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	struct vgpu_profile profile;

	vgpu_stats_profile(dev_to_vgpu(dev), &profile);
	return sysfs_emit(buf, "%llu\n", profile.memory_limit);
}
static DEVICE_ATTR_RO(memory_limit);

/* Millionths to percent, and no more digits than there are. */
static ssize_t share_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct vgpu_profile profile;
	int digits = 4;
	u32 rest;
	u64 whole;

	vgpu_stats_profile(dev_to_vgpu(dev), &profile);
	if (!profile.share)
		return -ENODATA;
	whole = div_u64_rem(profile.share, 10000, &rest);
	if (!rest)
		return sysfs_emit(buf, "%llu\n", whole);
	for (; rest % 10 == 0; rest /= 10)
		digits--;
	return sysfs_emit(buf, "%llu.%0*u\n", whole, digits, rest);
}
static DEVICE_ATTR_RO(share);

static ssize_t reset_cause_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	static const char *const causes[] = {
		[VGPU_RESET_NONE] = "none",
		[VGPU_RESET_CRASH] = "crash",
		[VGPU_RESET_HANG] = "hang",
		[VGPU_RESET_RESOURCE] = "resource",
		[VGPU_RESET_OPERATOR] = "operator",
		[VGPU_RESET_DEADLINE] = "deadline",
	};
	const struct vgpu_stats *page = vgpu_stats_page(dev_to_vgpu(dev));
	u64 cause;

	if (!page)
		return -ENODATA;
	cause = READ_ONCE(page->reset_cause);
	if (cause >= ARRAY_SIZE(causes))
		return sysfs_emit(buf, "unknown (%llu)\n", cause);
	return sysfs_emit(buf, "%s\n",
			  causes[array_index_nospec(cause, ARRAY_SIZE(causes))]);
}
static DEVICE_ATTR_RO(reset_cause);

static struct attribute *vgpu_attributes[] = {
	&dev_attr_profile.attr,	      &dev_attr_gpu.attr,
	&dev_attr_renderer.attr,      &dev_attr_host_version.attr,
	&dev_attr_memory_limit.attr,  &host_memory_used.attr.attr,
	&host_memory_peak.attr.attr,  &host_memory_denied.attr.attr,
	&dev_attr_share.attr,	      &host_gpu_time_ns.attr.attr,
	&host_throttled_ns.attr.attr, &host_resets.attr.attr,
	&dev_attr_reset_cause.attr,   NULL,
};

static const struct attribute_group vgpu_sysfs_group = {
	.name = VGPU_SYSFS_GROUP,
	.attrs = vgpu_attributes,
};

const struct attribute_group *vgpu_sysfs_groups[] = { &vgpu_sysfs_group, NULL };

/* Wakes who polls the files, and tells udev and the desktop. */
static void changed(struct vgpu_device *vgpu, const char *const *files,
		    char *event)
{
	for (; *files; files++)
		sysfs_notify(&vgpu->vdev->dev.kobj, VGPU_SYSFS_GROUP, *files);
	kobject_uevent_env(&vgpu->drm.primary->kdev->kobj, KOBJ_CHANGE,
			   (char *[]){ event, NULL });
}

void vgpu_stats_profile_changed(struct vgpu_device *vgpu)
{
	static const char *const files[] = { "profile", "memory_limit", "share",
					     NULL };
	struct vgpu_profile profile;

	vgpu_stats_profile(vgpu, &profile);
	drm_info(&vgpu->drm,
		 "the host gave this VM the profile '%s': %llu MiB of GPU memory\n",
		 profile.name, profile.memory_limit >> 20);
	changed(vgpu, files, "VGPU_EVENT=PROFILE");
}

void vgpu_stats_was_reset(struct vgpu_device *vgpu)
{
	static const char *const files[] = { "resets", "reset_cause", NULL };

	changed(vgpu, files, "VGPU_EVENT=RESET");
}
