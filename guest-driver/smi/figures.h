/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Where live figures come from: see device.h. */
#ifndef VGPU_SMI_FIGURES_H
#define VGPU_SMI_FIGURES_H

#include "device.h"

/* Finds the device's source of figures and opens it; the reverse. */
void figures_open(const char *root, struct smi_device *device);
void figures_close(struct smi_device *device);

/* Whether the PCI device has the BAR of the statistics page. */
bool figures_has_page(const char *root, const struct smi_device *device);

#endif
