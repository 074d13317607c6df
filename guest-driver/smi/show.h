/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The three ways to print what there is; all of them take the same. */
#ifndef VGPU_SMI_SHOW_H
#define VGPU_SMI_SHOW_H

#include <stdio.h>

#include "client.h"
#include "device.h"

struct smi_view {
	const struct smi_device *devices;
	unsigned int count;
	const struct smi_process *processes;
	unsigned int process_count;
};

void show_table(FILE *out, const struct smi_view *view);
void show_query(FILE *out, const struct smi_view *view);
/* One object, unknown figures are null; ends with a line end. */
void show_json(FILE *out, const struct smi_view *view);

/* "vgpu 0.1.0", "virtio_gpu (stock)", "none"; in a buffer of the caller's */
const char *show_driver(char *out, size_t size, const struct smi_device *d);

#endif
