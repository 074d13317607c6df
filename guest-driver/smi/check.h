/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vgpu-smi --check: from the device up to the applications, step by step, what
 * works, what does not and what to do.
 */
#ifndef VGPU_SMI_CHECK_H
#define VGPU_SMI_CHECK_H

#include <stdbool.h>

#include "device.h"

enum check_result {
	CHECK_PASS,
	CHECK_WARN, /* it works, and something better could be had */
	CHECK_FAIL,
	CHECK_SKIP, /* it cannot be looked at here */
	CHECK_RESULTS,
};

struct check {
	const char *root; /* "" for the real one */
	bool json;
	unsigned int said;
	unsigned int count[CHECK_RESULTS];
};

/* A finding.  remedy: what to do about it, or NULL. */
void check_say(struct check *c, enum check_result result, const char *what,
	       const char *remedy, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* check_driver.c: the kernel, the device, the driver that has it and why. */
void check_kernel(struct check *c);
void check_driver(struct check *c, const struct smi_device *d);
/* check_use.c: versions, OpenGL, Vulkan */
void check_versions(struct check *c, const struct smi_device *d);
void check_opengl(struct check *c, const struct smi_device *d);
void check_vulkan(struct check *c, const struct smi_device *d);

/* All of it.  0, or 1 when something failed. */
int check_run(const char *root, bool json);

#endif
