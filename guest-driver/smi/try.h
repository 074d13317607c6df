/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Programs in the program: vgpu-smi --check runs itself again for each, since a
 * driver that is broken may crash or hang.  They load their libraries when they
 * run, so that vgpu-smi itself needs none.
 *
 * On stdout they say what they found, key=value a line; on stderr a sentence
 * when they fail.
 */
#ifndef VGPU_SMI_TRY_H
#define VGPU_SMI_TRY_H

/* Their exit status. */
enum {
	TRY_OK = 0,
	TRY_FAILED = 1,	  /* it is there and does not work */
	TRY_MISSING = 2,  /* the library or the driver is not installed */
	TRY_LEFT_OUT = 3, /* vgpu-smi was built without its headers */
};

/* A small frame on the node, read back: renderer=, version=, frame=right. */
int try_gl(const char *node);
/*
 * A buffer that the device fills, on the GPU's own driver: device=, driver=,
 * buffer=right.  others= counts devices that are not the GPU (llvmpipe).
 */
int try_vulkan(const char *node);

#endif
