/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The GPUs of this guest: which virtio-gpu devices there are, which driver has
 * them, and what the device says of itself.
 *
 * Facts (profile, limits, versions) come from the device's capset, which any
 * driver hands out, the stock one too.  Live figures come from the statistics
 * page: by way of sysfs where our driver is bound, else, for root, from the
 * page itself, a BAR of the PCI device.
 *
 * All of it comes from the host.  Texts are cleaned for a terminal; figures
 * are shown and not used for anything.
 */
#ifndef VGPU_SMI_DEVICE_H
#define VGPU_SMI_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "vgpu/virtio.h"

#define SMI_DEVICES 16

/* Where a figure is not known. */
#define SMI_UNKNOWN UINT64_MAX

enum smi_source {
	SMI_SOURCE_NONE,  /* no live figures */
	SMI_SOURCE_SYSFS, /* attributes of our driver */
	SMI_SOURCE_PAGE,  /* the page itself, mapped */
};

/* SMI_UNKNOWN: not known */
struct smi_figures {
	uint64_t memory_limit; /* bytes */
	uint64_t memory_used;
	uint64_t memory_peak;
	uint64_t alloc_denied;
	uint64_t share;	       /* millionths of the GPU's time */
	uint64_t gpu_time_ns;  /* ever */
	uint64_t throttled_ns; /* ever */
	uint64_t resets;       /* ever */
	uint64_t reset_cause;  /* enum vgpu_reset_cause */
	uint64_t utilisation;  /* millionths, over the last sample */
	char profile[64];      /* "": not known */
};

struct smi_device {
	char virtio[32];  /* virtio0 */
	char pci[32];	  /* 0000:00:02.0, or "" */
	char driver[32];  /* bound: vgpu, virtio_gpu, or "" */
	char render[32];  /* renderD128, or "" */
	char card[32];	  /* card0, or "" */
	char version[32]; /* of the module, where it says one */
	bool ours;	  /* the device is a vgpu, as far as it can be told */
	bool has_caps;
	int caps_error; /* errno of reading them, 0 */
	struct vgpu_capset caps;
	enum smi_source source;
	const void *page; /* of SMI_SOURCE_PAGE */
	struct smi_figures now;
};

/*
 * The devices below a root ("" for the real one), at most SMI_DEVICES; their
 * number.  Ends with smi_devices_free().
 */
unsigned int smi_devices_find(const char *root, struct smi_device *devices);
void smi_devices_free(struct smi_device *devices, unsigned int count);

/* Reads the live figures again, but for utilisation. */
void smi_figures_read(const char *root, struct smi_device *device);

/*
 * What a capset of that many bytes says; false when it is none.  Bytes the host
 * does not have are 0, texts end and are clean.
 */
bool smi_caps_parse(struct vgpu_capset *caps, const void *data, uint32_t size);

/* What a statistics page says; false when it is none. */
bool smi_page_parse(struct smi_figures *figures, const void *page);

/*
 * Watches the figures and fills in utilisation.  The host counts GPU time about
 * once a second: it is measured from one change to a later one.  Takes seconds
 * (at least 1) and a second more for the last change.
 */
void smi_sample(const char *root, struct smi_device *devices,
		unsigned int count, double seconds);

/* "hang", "crash", ...; "-" for none */
const char *smi_reset_cause(uint64_t cause);

#endif
