/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Who uses a GPU: the processes of this guest that have it open, with what the
 * kernel says of each open file in /proc/PID/fdinfo (Documentation/gpu/
 * drm-usage-stats.rst).  The stock driver says nothing there: then a process is
 * listed without figures.  Without root only one's own processes are seen.
 */
#ifndef VGPU_SMI_CLIENT_H
#define VGPU_SMI_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "device.h"

struct smi_process {
	int pid;
	unsigned int device;  /* index */
	char name[64];	      /* clean */
	unsigned int clients; /* open files of it, duplicates once */
	uint64_t memory;      /* bytes resident, SMI_UNKNOWN */
	uint64_t total;	      /* bytes allocated, SMI_UNKNOWN */
	uint64_t engine_ns;   /* ever, SMI_UNKNOWN */
	uint64_t utilisation; /* millionths, SMI_UNKNOWN before a sample */
};

/* Of one open file. */
struct smi_fdinfo {
	uint64_t client; /* SMI_UNKNOWN: the driver says nothing */
	uint64_t engine_ns;
	uint64_t total;
	uint64_t resident;
};

/* Reads one fdinfo; unknown keys and units are passed over. */
void smi_fdinfo_parse(struct smi_fdinfo *info, FILE *file);

/*
 * The processes that have one of the devices open, by device and pid; to be
 * freed.  root: "" for the real one.
 */
struct smi_process *smi_processes_find(const char *root,
				       const struct smi_device *devices,
				       unsigned int count,
				       unsigned int *processes);

/* Fills in utilisation from an earlier look at the same, seconds ago. */
void smi_processes_rate(struct smi_process *now, unsigned int count,
			const struct smi_process *before,
			unsigned int before_count, double seconds);

#endif
